//! Routes that no request reaches, since an earlier one of the same virtual host takes all of theirs.

use std::collections::BTreeMap;

use proxy_core::config::{
    HeaderMatch, ParamMatch, PathMatch, Route, RouteMatch, Share, TextMatch, VirtualHost,
};
use proxy_core::origin::OriginId;
use rustc_hash::FxHashMap;

use super::Lint;
use super::sample::literal_start;
use super::view::View;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Span;

/// A route comes too late.
pub(super) static UNREACHABLE: Lint = Lint::warning(
    "route::unreachable",
    "A route that no request reaches",
    "Of the routes of a host the first that takes a request has it; which is first, the dialect decides: the order written, the longer \
     path, the older object. A route all of whose requests an earlier one takes does nothing.",
    "put the narrower rule first, narrow the earlier one, or take this one away",
);

/// The earlier rule that takes everything, and the later one; shared by whoever sees it in a text before it is compiled.
pub(crate) fn unreachable(late: Span, early: Span, all: bool) -> Diagnostic {
    let takes = match all {
        true => "takes every request",
        false => "takes all of its requests",
    };
    UNREACHABLE
        .found("no request reaches this rule")
        .label(late, "comes too late")
        .label(early, takes)
}

/// How a written rule fares: how many routes it became, and for those that come too late, an earlier one.
#[derive(Default)]
struct Fate {
    routes: usize,
    late: usize,
    earlier: Option<(OriginId, bool)>,
}

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    let mut fates: BTreeMap<OriginId, Fate> = BTreeMap::new();
    for section in &view.sections {
        for host in section
            .draft
            .tables
            .iter()
            .flat_map(|table| &table.virtual_hosts)
        {
            judge(view, host, &mut fates);
        }
    }
    for (late, fate) in fates {
        let Some((early, all)) = fate.earlier.filter(|_| fate.late == fate.routes) else {
            continue;
        };
        out.push(unreachable(view.span(late), view.span(early), all));
    }
}

fn judge(view: &View<'_>, host: &VirtualHost, fates: &mut BTreeMap<OriginId, Fate>) {
    let mut before = Before::default();
    for (at, route) in host.routes.iter().enumerate() {
        if view.is_written(route.origin) {
            let fate = fates.entry(route.origin).or_default();
            fate.routes += 1;
            let earlier = before.taking(&host.routes, &route.matches);
            let earlier = earlier.map(|at| &host.routes[at]);
            // parts of one rule may overlap
            let other = earlier.filter(|it| it.origin != route.origin);
            if let Some(earlier) = other.filter(|it| view.is_written(it.origin)) {
                fate.late += 1;
                fate.earlier
                    .get_or_insert_with(|| (earlier.origin, takes_all(&earlier.matches)));
            }
        }
        before.add(at, route);
    }
}

/// The routes so far, by their paths: which of them may take all of a path is then a few look-ups.
#[derive(Default)]
struct Before<'a> {
    exact: FxHashMap<&'a str, Vec<usize>>,
    prefixes: FxHashMap<&'a str, Vec<usize>>,
    segments: FxHashMap<&'a str, Vec<usize>>,
    patterns: FxHashMap<&'a str, Vec<usize>>,
    /// Patterns in their order, as far as each is tried on exact paths.
    tried: Vec<usize>,
    /// Conditions of other kinds, and those that look past case.
    others: Vec<usize>,
}

/// So many patterns are tried on each exact path.
const TRIED: usize = 100;

impl<'a> Before<'a> {
    fn add(&mut self, at: usize, route: &'a Route) {
        if !is_for_all(route.matches.fraction) {
            return;
        }
        if route.matches.ignore_case {
            return self.others.push(at);
        }
        match &route.matches.path {
            PathMatch::Exact(path) => self.exact.entry(path).or_default().push(at),
            PathMatch::Prefix(path) => self.prefixes.entry(path).or_default().push(at),
            PathMatch::Segments(path) => self.segments.entry(path).or_default().push(at),
            PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => {
                let pattern = regex.as_str();
                self.patterns.entry(pattern).or_default().push(at);
                if self.tried.len() < TRIED {
                    self.tried.push(at);
                }
            }
            PathMatch::Connect => self.others.push(at),
        }
    }

    /// The first route that takes all that `late` takes.
    fn taking(&self, routes: &[Route], late: &RouteMatch) -> Option<usize> {
        let path = path_start(&late.path);
        let mut candidates: Vec<usize> = Vec::new();
        let mut from = |list: Option<&Vec<usize>>| candidates.extend(list.into_iter().flatten());
        if let PathMatch::Exact(path) = &late.path {
            from(self.exact.get(&**path));
        }
        if let PathMatch::Regex(regex) | PathMatch::RegexStart(regex) = &late.path {
            from(self.patterns.get(regex.as_str()));
        }
        for end in (0..=path.len()).filter(|end| path.is_char_boundary(*end)) {
            let start = &path[..end];
            from(self.prefixes.get(start));
            from(self.segments.get(start));
        }
        // every path begins with a slash
        from(self.prefixes.get("/"));
        from(Some(&self.tried));
        from(Some(&self.others));
        candidates.sort_unstable();
        candidates.dedup();
        let mut candidates = candidates.into_iter();
        candidates.find(|at| takes(&routes[*at].matches, late))
    }
}

/// What every path that a condition takes begins with, as far as that is known.
fn path_start(path: &PathMatch) -> &str {
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Segments(path) => path,
        PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => literal_start(regex.as_str()),
        PathMatch::Connect => "",
    }
}

/// Whether `early` takes every request that `late` takes, as far as that is plain.
fn takes(early: &RouteMatch, late: &RouteMatch) -> bool {
    is_for_all(early.fraction)
        && (early.methods.is_empty()
            || !late.methods.is_empty() && late.methods.iter().all(|it| early.methods.contains(it)))
        && (!early.grpc || late.grpc)
        && early
            .headers
            .iter()
            .all(|it| late.headers.iter().any(|other| same_header(it, other)))
        && early
            .params
            .iter()
            .all(|it| late.params.iter().any(|other| same_param(it, other)))
        && path_takes(early, late)
}

fn takes_all(matches: &RouteMatch) -> bool {
    let any = RouteMatch::all();
    takes(matches, &any)
}

fn is_for_all(fraction: Option<Share>) -> bool {
    fraction.is_none_or(|share| share == Share::ALL)
}

fn path_takes(early: &RouteMatch, late: &RouteMatch) -> bool {
    if early.ignore_case {
        let lower = |path: &PathMatch| match path {
            PathMatch::Exact(path) => PathMatch::Exact(path.to_ascii_lowercase().into()),
            PathMatch::Prefix(path) => PathMatch::Prefix(path.to_ascii_lowercase().into()),
            PathMatch::Segments(path) => PathMatch::Segments(path.to_ascii_lowercase().into()),
            PathMatch::Regex(_) | PathMatch::RegexStart(_) | PathMatch::Connect => path.clone(),
        };
        return covers(&lower(&early.path), &lower(&late.path));
    }
    let has_case = |path: &str| path.bytes().any(|byte| byte.is_ascii_alphabetic());
    if late.ignore_case && has_case(path_start(&early.path)) {
        return false;
    }
    covers(&early.path, &late.path)
}

fn covers(early: &PathMatch, late: &PathMatch) -> bool {
    if let (PathMatch::Connect, _) | (_, PathMatch::Connect) = (early, late) {
        return matches!((early, late), (PathMatch::Connect, PathMatch::Connect));
    }
    let start = path_start(late);
    match early {
        PathMatch::Exact(path) => matches!(late, PathMatch::Exact(other) if other == path),
        PathMatch::Prefix(path) => &**path == "/" || start.starts_with(&**path),
        PathMatch::Segments(path) => match start.strip_prefix(&**path) {
            // a prefix by bytes, or a pattern, goes on with anything
            Some("") => {
                path.is_empty() || matches!(late, PathMatch::Exact(_) | PathMatch::Segments(_))
            }
            Some(rest) => rest.starts_with('/') || path.is_empty(),
            None => path.is_empty(),
        },
        PathMatch::Regex(regex) => match late {
            PathMatch::Exact(path) => regex.is_match(path),
            PathMatch::Regex(other) => regex.as_str() == other.as_str() || is_any(regex.as_str()),
            PathMatch::Prefix(_)
            | PathMatch::Segments(_)
            | PathMatch::RegexStart(_)
            | PathMatch::Connect => is_any(regex.as_str()),
        },
        PathMatch::RegexStart(regex) => match late {
            PathMatch::Exact(path) => regex.is_match(path),
            PathMatch::RegexStart(other) | PathMatch::Regex(other) => {
                regex.as_str() == other.as_str() || is_any(regex.as_str())
            }
            PathMatch::Prefix(_) | PathMatch::Segments(_) | PathMatch::Connect => {
                is_any(regex.as_str())
            }
        },
        PathMatch::Connect => false,
    }
}

/// Whether a pattern takes every path, as people write that.
fn is_any(pattern: &str) -> bool {
    let inner = pattern.strip_prefix("^(?:").unwrap_or(pattern);
    let inner = inner
        .strip_suffix(")$")
        .or_else(|| inner.strip_suffix(')'))
        .unwrap_or(inner);
    matches!(
        inner,
        ".*" | "/.*" | "^/.*" | "/.*$" | "^/.*$" | "(.*)" | "/(.*)"
    )
}

fn same_header(left: &HeaderMatch, right: &HeaderMatch) -> bool {
    left.name == right.name
        && left.invert == right.invert
        && left.ignore_case == right.ignore_case
        && left.absent == right.absent
        && same_text(&left.value, &right.value)
        || is_presence(left) && left.name == right.name && !right.invert
}

/// Whether a condition only asks that the header is there.
const fn is_presence(condition: &HeaderMatch) -> bool {
    matches!(condition.value, TextMatch::Present) && !condition.invert
}

fn same_param(left: &ParamMatch, right: &ParamMatch) -> bool {
    left.name == right.name
        && (left.invert == right.invert && same_text(&left.value, &right.value)
            || matches!(left.value, TextMatch::Present) && !left.invert && !right.invert)
}

fn same_text(left: &TextMatch, right: &TextMatch) -> bool {
    match (left, right) {
        (TextMatch::Exact(left), TextMatch::Exact(right))
        | (TextMatch::Prefix(left), TextMatch::Prefix(right))
        | (TextMatch::Suffix(left), TextMatch::Suffix(right))
        | (TextMatch::Contains(left), TextMatch::Contains(right)) => left == right,
        (TextMatch::Regex(left), TextMatch::Regex(right)) => left.as_str() == right.as_str(),
        (TextMatch::Range(from, below), TextMatch::Range(start, end)) => {
            (from, below) == (start, end)
        }
        (TextMatch::Address(left), TextMatch::Address(right)) => left == right,
        (TextMatch::Present, TextMatch::Present) => true,
        (
            TextMatch::Exact(_)
            | TextMatch::Prefix(_)
            | TextMatch::Suffix(_)
            | TextMatch::Contains(_)
            | TextMatch::Regex(_)
            | TextMatch::Range(..)
            | TextMatch::Address(_)
            | TextMatch::Present,
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(path: &str) -> PathMatch {
        PathMatch::Exact(path.into())
    }

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.into())
    }

    fn regex(pattern: &str) -> PathMatch {
        PathMatch::regex(pattern).unwrap()
    }

    #[test]
    fn a_path_condition_takes_all_of_another() {
        let segments = PathMatch::segments;
        let start = |pattern: &str| PathMatch::regex_start(pattern).unwrap();
        for (early, late, expected) in [
            (exact("/a"), exact("/a"), true),
            (exact("/a"), exact("/b"), false),
            (exact("/a"), prefix("/a"), false),
            (prefix("/a"), exact("/ab"), true),
            (prefix("/a"), prefix("/ab"), true),
            (prefix("/ab"), prefix("/a"), false),
            (prefix("/"), regex("/x.*"), true),
            (prefix("/x"), regex("/xy[0-9]+"), true),
            (prefix("/xy"), regex("/xy?z"), false),
            (prefix("/x"), regex("/x|/y"), false),
            (segments("/a"), exact("/a"), true),
            (segments("/a"), exact("/a/b"), true),
            (segments("/a"), exact("/ab"), false),
            (segments("/a"), segments("/a/b"), true),
            (segments("/a"), prefix("/a"), false),
            (segments("/a"), prefix("/a/"), true),
            (segments("/"), prefix("/x"), true),
            (segments("/"), regex("[^/].*"), true),
            (segments("/a/b"), segments("/a"), false),
            (regex("/a.*"), exact("/ab"), true),
            (regex("/a.*"), regex("/a.*"), true),
            (regex("/a.*"), prefix("/ab"), false),
            (regex(".*"), prefix("/ab"), true),
            (start("/a"), exact("/ab"), true),
            (start("/a[0-9]"), exact("/ab"), false),
            (PathMatch::Connect, PathMatch::Connect, true),
            (prefix("/"), PathMatch::Connect, false),
        ] {
            let row = format!("{early:?} {late:?}");
            assert_eq!(covers(&early, &late), expected, "{row}");
        }
    }

    #[test]
    fn conditions_narrow_a_route() {
        let route = |change: fn(&mut RouteMatch)| {
            let mut matches = RouteMatch::all();
            change(&mut matches);
            matches
        };
        let header = |value: TextMatch| HeaderMatch {
            name: "x-tier".into(),
            value,
            invert: false,
            ignore_case: false,
            absent: proxy_core::config::Absent::Unequal,
        };
        let all = RouteMatch::all();
        let get = route(|it| it.methods = vec!["GET".into()]);
        let both = route(|it| it.methods = vec!["GET".into(), "POST".into()]);
        let share = route(|it| it.fraction = Some(Share::from_ppm(5)));
        let grpc = route(|it| it.grpc = true);
        let mut gold = RouteMatch::all();
        gold.headers.push(header(TextMatch::Exact("gold".into())));
        let mut some = RouteMatch::all();
        some.headers.push(header(TextMatch::Present));
        for (name, early, late, expected) in [
            ("all and all", &all, &all, true),
            ("all and one method", &all, &get, true),
            ("one method and all", &get, &all, false),
            ("more methods", &both, &get, true),
            ("fewer methods", &get, &both, false),
            ("a share", &share, &all, false),
            ("of a share", &all, &share, true),
            ("gRPC", &grpc, &all, false),
            ("a header", &gold, &all, false),
            ("the same header", &gold, &gold, true),
            ("that it is there", &some, &gold, true),
            ("more than that", &gold, &some, false),
        ] {
            assert_eq!(takes(early, late), expected, "{name}");
        }
    }

    #[test]
    fn case_is_of_account_unless_a_route_says_otherwise() {
        let folded = |path: PathMatch| RouteMatch {
            ignore_case: true,
            ..RouteMatch::path(path)
        };
        let plain = RouteMatch::path;
        for (early, late, expected) in [
            (folded(prefix("/A")), plain(exact("/ab")), true),
            (plain(prefix("/a")), folded(exact("/ab")), false),
            (plain(prefix("/")), folded(exact("/ab")), true),
            (plain(prefix("/A")), plain(exact("/ab")), false),
        ] {
            assert_eq!(takes(&early, &late), expected, "{early:?} {late:?}");
        }
    }
}
