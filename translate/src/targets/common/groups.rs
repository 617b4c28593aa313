//! Routes that do the same, one after another, as one rule; and those that no request reaches.

use proxy_core::config::{PathMatch, PathRedirect, PathRewrite, RouteAction, RouteMatch};

use super::matching::simple;
use crate::intent::Rule;

/// Routes in a row that differ in their match alone.
pub(crate) struct Group<'r, 'a> {
    /// Never empty.
    pub(crate) rules: Vec<&'r Rule<'a>>,
}

impl<'r, 'a> Group<'r, 'a> {
    /// The one that says what all of them do.
    pub(crate) fn first(&self) -> &'r Rule<'a> {
        self.rules[0]
    }

    /// Their matches.
    pub(crate) fn matches(&self) -> impl Iterator<Item = &'r RouteMatch> + '_ {
        self.rules.iter().map(|rule| &rule.route.matches)
    }
}

/// Routes in their order as rules, without those that an earlier one leaves nothing to.
pub(crate) fn groups<'r, 'a>(rules: &'r [Rule<'a>]) -> Vec<Group<'r, 'a>> {
    let mut groups: Vec<Group<'r, 'a>> = Vec::new();
    let mut before: Vec<&RouteMatch> = Vec::new();
    for rule in rules {
        if before.iter().any(|it| covers(it, &rule.route.matches)) {
            continue;
        }
        before.push(&rule.route.matches);
        match groups.last_mut() {
            Some(last) if is_alike(last.first(), rule) => last.rules.push(rule),
            Some(_) | None => groups.push(Group { rules: vec![rule] }),
        }
    }
    groups
}

/// Whether two routes do the same, to what their paths have matched, too.
fn is_alike(this: &Rule<'_>, other: &Rule<'_>) -> bool {
    let changes = |rule: &Rule<'_>| match &rule.route.action {
        RouteAction::Forward(forward) => matches!(
            forward.rewrite,
            Some(PathRewrite::Prefix(_) | PathRewrite::JoinedPrefix(_))
        ),
        RouteAction::Redirect(to) => matches!(
            to.path,
            Some(PathRedirect::Prefix(_) | PathRedirect::JoinedPrefix(_))
        ),
        RouteAction::Direct(_) => false,
    };
    let shape = |rule: &Rule<'_>| match &*simple(&rule.route.matches.path) {
        PathMatch::Exact(_) => (0, false),
        PathMatch::Prefix(path) => (1, path.ends_with('/')),
        PathMatch::Segments(path) => (2, path.is_empty()),
        PathMatch::Regex(_) | PathMatch::RegexStart(_) | PathMatch::Connect => (3, false),
    };
    action(this) == action(other) && (!changes(this) || shape(this) == shape(other))
}

/// Everything that a route does, in a form that can be compared.
pub(crate) fn action(rule: &Rule<'_>) -> String {
    let route = rule.route;
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        route.origin,
        route.action,
        route.request_edits,
        route.response_edits,
        route.fault,
        route.rate_limit,
        route.gates,
        route.cors,
    )
}

/// Whether every request that `other` takes is taken by `this`, as far as can be told.
pub(crate) fn covers(this: &RouteMatch, other: &RouteMatch) -> bool {
    let (own_path, other_path) = (simple(&this.path), simple(&other.path));
    let path = match (&*own_path, &*other_path) {
        (PathMatch::Prefix(own), _) if matches!(&**own, "" | "/") => {
            !matches!(*other_path, PathMatch::Connect)
        }
        (PathMatch::Segments(own), _) if own.is_empty() => {
            !matches!(*other_path, PathMatch::Connect)
        }
        (PathMatch::Prefix(own), PathMatch::Prefix(it) | PathMatch::Exact(it)) => {
            it.starts_with(&**own)
        }
        (PathMatch::Prefix(own), PathMatch::Segments(it)) => it.starts_with(&**own),
        (PathMatch::Segments(own), PathMatch::Segments(it) | PathMatch::Exact(it)) => {
            let rest = it.strip_prefix(&**own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (PathMatch::Exact(own), PathMatch::Exact(it)) => own == it,
        (PathMatch::Regex(own), PathMatch::Regex(it))
        | (PathMatch::RegexStart(own), PathMatch::RegexStart(it)) => own.as_str() == it.as_str(),
        (PathMatch::Connect, PathMatch::Connect) => true,
        (
            PathMatch::Prefix(_)
            | PathMatch::Segments(_)
            | PathMatch::Exact(_)
            | PathMatch::Regex(_)
            | PathMatch::RegexStart(_)
            | PathMatch::Connect,
            _,
        ) => false,
    };
    let has = |all: &[String], one: &String| all.contains(one);
    let headers = |it: &RouteMatch| -> Vec<String> {
        it.headers.iter().map(|one| format!("{one:?}")).collect()
    };
    let params = |it: &RouteMatch| -> Vec<String> {
        it.params.iter().map(|one| format!("{one:?}")).collect()
    };
    let methods = this.methods.is_empty()
        || (!other.methods.is_empty()
            && other.methods.iter().all(|one| this.methods.contains(one)));
    let (own, others) = (headers(this), headers(other));
    let (own_params, other_params) = (params(this), params(other));
    path && methods
        && this.fraction.is_none()
        && (!this.grpc || other.grpc)
        && (!other.ignore_case || this.ignore_case || is_any(&this.path))
        && own.iter().all(|one| has(&others, one))
        && own_params.iter().all(|one| has(&other_params, one))
}

/// Whether a path condition takes every path.
pub(crate) fn is_any(path: &PathMatch) -> bool {
    match path {
        PathMatch::Prefix(path) => matches!(&**path, "" | "/"),
        PathMatch::Segments(path) => path.is_empty(),
        PathMatch::Exact(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => false,
    }
}

/// Whether some request may be taken by both, as far as can be told.
pub(crate) fn may_overlap(this: &RouteMatch, other: &RouteMatch) -> bool {
    let methods = this.methods.is_empty()
        || other.methods.is_empty()
        || this.methods.iter().any(|one| other.methods.contains(one));
    methods && paths_overlap(this, other) && headers_overlap(this, other)
}

fn paths_overlap(this: &RouteMatch, other: &RouteMatch) -> bool {
    if this.ignore_case || other.ignore_case {
        return true;
    }
    let (own_path, other_path) = (simple(&this.path), simple(&other.path));
    match (&*own_path, &*other_path) {
        (PathMatch::Exact(own), PathMatch::Exact(it)) => own == it,
        (PathMatch::Exact(whole), PathMatch::Prefix(start))
        | (PathMatch::Prefix(start), PathMatch::Exact(whole)) => whole.starts_with(&**start),
        (PathMatch::Exact(whole), PathMatch::Segments(start))
        | (PathMatch::Segments(start), PathMatch::Exact(whole)) => {
            let rest = whole.strip_prefix(&**start);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (
            PathMatch::Prefix(own) | PathMatch::Segments(own),
            PathMatch::Prefix(it) | PathMatch::Segments(it),
        ) => own.starts_with(&**it) || it.starts_with(&**own),
        (PathMatch::Exact(whole), PathMatch::Regex(regex) | PathMatch::RegexStart(regex))
        | (PathMatch::Regex(regex) | PathMatch::RegexStart(regex), PathMatch::Exact(whole)) => {
            regex.is_match(whole)
        }
        (PathMatch::Connect, it) | (it, PathMatch::Connect) => matches!(it, PathMatch::Connect),
        (PathMatch::Regex(_) | PathMatch::RegexStart(_), _)
        | (_, PathMatch::Regex(_) | PathMatch::RegexStart(_)) => true,
    }
}

/// Headers of one name with different exact values tell requests apart.
fn headers_overlap(this: &RouteMatch, other: &RouteMatch) -> bool {
    use proxy_core::config::TextMatch::Exact;
    let apart = |(own, it): (
        &proxy_core::config::HeaderMatch,
        &proxy_core::config::HeaderMatch,
    )| {
        let values = match (&own.value, &it.value) {
            (Exact(own), Exact(it)) => own != it,
            (_, _) => false,
        };
        own.name == it.name && !own.invert && !it.invert && values
    };
    let mut pairs = this
        .headers
        .iter()
        .flat_map(|own| other.headers.iter().map(move |it| (own, it)));
    !pairs.any(apart)
}

/// Which rules a target asks before others that stood before them, where that may matter: pairs of what comes too late and what comes too
/// early. `ranked` has rules in their order, each with its place in the target's order (the least is asked first) and what it does.
pub(crate) fn overtaken<R: Ord>(ranked: &[(R, &RouteMatch, String)]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (late, (own, matches, does)) in ranked.iter().enumerate() {
        for (early, (rank, other, also)) in ranked.iter().enumerate().skip(late + 1) {
            if rank < own && does != also && may_overlap(matches, other) {
                pairs.push((late, early));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    fn exact(text: &str) -> RouteMatch {
        path(PathMatch::Exact(text.into()))
    }

    fn prefix(text: &str) -> RouteMatch {
        path(PathMatch::Prefix(text.into()))
    }

    fn segments(text: &str) -> RouteMatch {
        path(PathMatch::segments(text))
    }

    #[test]
    fn a_route_that_takes_all_of_another_leaves_it_nothing() {
        let post = RouteMatch {
            methods: vec!["POST".into()],
            ..prefix("/")
        };
        let rows = [
            ("all", RouteMatch::all(), exact("/a"), true),
            ("a longer prefix", prefix("/a"), prefix("/ab"), true),
            ("segments", segments("/a"), segments("/ab"), false),
            ("segments below", segments("/a"), exact("/a/b"), true),
            ("a method", post.clone(), RouteMatch::all(), false),
            ("all methods", RouteMatch::all(), post, true),
        ];
        for (name, this, other, covered) in rows {
            assert_eq!(covers(&this, &other), covered, "{name}");
        }
    }

    #[test]
    fn rules_that_take_none_of_the_same_requests_may_be_asked_in_any_order() {
        let rows = [
            ("two paths", exact("/a"), exact("/b"), false),
            ("a path below", prefix("/a"), exact("/a/b"), true),
            ("another prefix", segments("/a"), segments("/b"), false),
            ("a sibling", segments("/a"), exact("/ab"), false),
        ];
        for (name, this, other, overlap) in rows {
            assert_eq!(may_overlap(&this, &other), overlap, "{name}");
        }
        let all = RouteMatch::all();
        let narrow = exact("/a");
        let ranked = [
            (1, &all, "one".to_owned()),
            (0, &narrow, "other".to_owned()),
        ];
        assert_eq!(overtaken(&ranked), [(0, 1)]);
        let alike = [(1, &all, "one".to_owned()), (0, &narrow, "one".to_owned())];
        assert!(overtaken(&alike).is_empty());
    }
}
