//! Rules of a host as locations: a path each, with the rules for a header that stand before it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{HeaderMatch, PathMatch, PathRewrite, RouteAction, RouteMatch};

use super::{PREFIX, Writer, canaries};
use crate::targets::edge::flat::{Flat, Rule, Sides};
use crate::targets::edge::hosts::Domain;
use crate::targets::edge::patterns;

/// A path of a host.
pub(super) struct Location<'r> {
    /// The rule for all of its requests.
    pub(super) rule: &'r Rule<'r>,
    /// Rules for those with a header, with what they ask.
    pub(super) turned: Vec<(&'r Rule<'r>, &'r HeaderMatch)>,
    /// Over which connections it is served.
    pub(super) sides: Sides,
    /// As an Ingress writes it.
    pub(super) path: String,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub(super) kind: &'static str,
    /// What the path and its answers need of annotations.
    pub(super) annotations: BTreeMap<String, String>,
}

/// What a rewrite needs: the path as a pattern, and the target.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Target {
    path: Option<String>,
    to: String,
}

impl Writer<'_, '_> {
    /// The locations of a host.
    pub(super) fn locations<'r>(
        &mut self,
        flat: &'r Flat<'r>,
        domains: &[Domain],
    ) -> Vec<Location<'r>> {
        let rules = self.rules(flat, domains);
        let is_pattern = |rule: &&Rule<'_>| needs_pattern(rule);
        let regex = rules.iter().any(is_pattern);
        let mut locations: Vec<Location<'r>> = Vec::new();
        let mut waiting: Vec<(&'r Rule<'r>, &'r HeaderMatch)> = Vec::new();
        for rule in rules {
            let Some(condition) = self.condition(rule) else {
                continue;
            };
            if let Some(condition) = condition {
                waiting.push((rule, condition));
                continue;
            }
            let Some(mut location) = self.of_rule(rule, regex) else {
                continue;
            };
            let same = |it: &Location<'_>| it.path == location.path && it.kind == location.kind;
            if locations.iter().any(same) {
                // a rule before it takes all of its requests
                continue;
            }
            let own = |it: &(&Rule<'_>, &HeaderMatch)| same_path(it.0, rule);
            location.turned = waiting.iter().copied().filter(own).collect();
            waiting.retain(|it| !own(it));
            locations.push(location);
        }
        for (rule, _) in waiting {
            let why = "a header is asked for by the canary of a path that has a rule of its own";
            let what = "a rule for a header, whose path no other rule has";
            self.left_out(rule, what, why);
        }
        self.order(&locations, regex);
        locations
    }

    /// The rules that count for a host: those over TLS where there are some, since NGINX has one list for both.
    fn rules<'r>(&mut self, flat: &'r Flat<'r>, domains: &[Domain]) -> Vec<&'r Rule<'r>> {
        let own = || {
            let rules = flat.rules.iter();
            rules.filter(|it| it.domains == domains && !it.is_beyond_label(&flat.rules))
        };
        let has_tls = own().any(|it| it.sides != Sides::Plain);
        let (kept, left): (Vec<_>, Vec<_>) =
            own().partition(|it| !has_tls || it.sides != Sides::Plain);
        if flat.upgrade(domains).is_none() {
            for rule in left {
                let why = "ingress-nginx has one list of paths for both";
                let what = "rules for requests in plaintext that are not those over TLS";
                self.left_out(rule, what, why);
            }
        }
        kept
    }

    /// The header that a rule asks for, if it does; none: it asks for something that no annotation says, which is told.
    fn condition<'r>(&mut self, rule: &'r Rule<'r>) -> Option<Option<&'r HeaderMatch>> {
        let matches = &rule.matches;
        let headers: Vec<&HeaderMatch> = rule.headers().collect();
        let told = if !matches.methods.is_empty() {
            Some("methods".to_owned())
        } else if let Some(param) = matches.params.first() {
            Some(format!("the parameter `{}`", param.name))
        } else if matches.grpc {
            Some("calls of gRPC alone".to_owned())
        } else {
            matches.fraction.map(|share| {
                format!(
                    "a share of {} % of the requests",
                    share.as_fraction() * 100.0
                )
            })
        };
        let why =
            "a path of an Ingress takes every request, but for what its canary has by one header";
        if let Some(told) = told {
            self.left_out(rule, &format!("a rule for {told}"), why);
            return None;
        }
        match headers[..] {
            [] => Some(None),
            [only] if canaries::can_ask(only) && sends_on(rule) => Some(Some(only)),
            [first, ..] => {
                self.left_out(
                    rule,
                    &format!("a rule for the header `{}`", first.name),
                    why,
                );
                None
            }
        }
    }

    pub(super) fn left_out(&mut self, rule: &Rule<'_>, what: &str, why: &str) {
        let loss = self.loss(rule, Area::Destination, rule.route().origin, what, why);
        let loss = loss.nearest("the rule is left out: its requests go to the rules after it");
        self.written.lose(
            loss.also(Area::Answer)
                .also(Area::Redirect)
                .also(Area::Rewrite),
        );
    }

    /// A rule as a location; none: its path cannot be said, which is told.
    fn of_rule<'r>(&mut self, rule: &'r Rule<'r>, regex: bool) -> Option<Location<'r>> {
        let matches = &rule.matches;
        let mut annotations = BTreeMap::new();
        let mut set = |name: &str, value: String| {
            annotations.insert(format!("{PREFIX}{name}"), value);
        };
        let mut path = match regex {
            true => pattern(matches),
            false => plain(matches),
        };
        let mut kind = if regex {
            "ImplementationSpecific"
        } else if matches!(matches.path, PathMatch::Exact(_)) {
            "Exact"
        } else {
            "Prefix"
        };
        if regex && path.as_deref() == Some("/") {
            kind = "Prefix";
        }
        match &rule.route().action {
            RouteAction::Forward(_) => {
                if let Some(rewrite) = rule.rewrite() {
                    match target(matches, rewrite) {
                        Some(target) => {
                            if let Some(own) = target.path {
                                path = Some(own);
                                kind = "ImplementationSpecific";
                            }
                            set("rewrite-target", target.to);
                        }
                        None => {
                            let why =
                                "`rewrite-target` is a path with groups of the rule's own path";
                            let origin = rule.route().origin;
                            self.lose(
                                rule,
                                Area::Rewrite,
                                origin,
                                "a rewrite of the path",
                                why,
                                "the path stays",
                            );
                        }
                    }
                }
            }
            RouteAction::Redirect(redirect) => {
                for (name, value) in self.redirect(rule, redirect)? {
                    set(name, value);
                }
            }
            RouteAction::Direct(answer) => {
                self.direct(rule, answer);
                set("denylist-source-range", "0.0.0.0/0,::/0".into());
            }
        }
        if regex {
            set("use-regex", "true".into());
            let folds = matches.ignore_case
                || !path
                    .as_deref()
                    .unwrap_or("/")
                    .chars()
                    .any(char::is_alphabetic);
            if !folds {
                let why = "patterns of ingress-nginx take paths in any case, and all paths of a host are patterns where one is";
                let loss = self.loss(
                    rule,
                    Area::Destination,
                    rule.route().origin,
                    "the case of paths counts",
                    why,
                );
                self.written
                    .lose(loss.also(Area::Answer).also(Area::Rewrite));
            }
        }
        let Some(path) = path else {
            self.left_out(
                rule,
                "a rule for CONNECT, or for a path that no Ingress has",
                "an Ingress has whole paths, starts by segments, and patterns",
            );
            return None;
        };
        Some(Location {
            rule,
            turned: Vec::new(),
            sides: rule.sides,
            path,
            kind,
            annotations,
        })
    }

    /// Tells of locations that NGINX looks at in another order.
    fn order(&mut self, locations: &[Location<'_>], regex: bool) {
        let key = |it: &Location<'_>| (!regex && it.kind != "Exact", Reverse(it.path.len()));
        for (at, first) in locations.iter().enumerate() {
            let after = locations[at + 1..].iter();
            let mut meeting = after.filter(|it| first.rule.meets(it.rule));
            if let Some(second) = meeting.find(|it| key(it) < key(first)) {
                let what = format!(
                    "the rule `{}` is asked before `{}`",
                    first.rule.route().name,
                    second.rule.route().name
                );
                let why = "ingress-nginx asks whole paths first and the longer of others, or the longer text of patterns";
                let loss = self.loss(
                    first.rule,
                    Area::Destination,
                    first.rule.route().origin,
                    what,
                    why,
                );
                self.written.lose(
                    loss.also(Area::Answer)
                        .also(Area::Redirect)
                        .also(Area::Rewrite),
                );
            }
        }
    }
}

fn sends_on(rule: &Rule<'_>) -> bool {
    matches!(rule.route().action, RouteAction::Forward(_))
}

fn same_path(one: &Rule<'_>, other: &Rule<'_>) -> bool {
    let path = |rule: &Rule<'_>| {
        let matches = &rule.matches;
        format!("{:?} {}", matches.path, matches.ignore_case)
    };
    path(one) == path(other)
}

/// Whether a rule's path has to be a pattern.
fn needs_pattern(rule: &Rule<'_>) -> bool {
    let matches = &rule.matches;
    let target = rule.rewrite().and_then(|it| target(matches, it));
    target.is_some() || plain(matches).is_none()
}

/// A path that is none of patterns.
fn plain(matches: &RouteMatch) -> Option<String> {
    // what the release lets a path be made of
    let known = |path: &str| {
        path.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./%~".contains(c))
    };
    let path = match &matches.path {
        PathMatch::Exact(path) => path,
        PathMatch::Segments(path) if path.is_empty() => return Some("/".to_owned()),
        PathMatch::Segments(path) => path,
        // one that ends in a slash is by segments anyway
        PathMatch::Prefix(path) if path.ends_with('/') => path,
        PathMatch::Prefix(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => return None,
    };
    (!matches.ignore_case && known(path)).then(|| path.to_string())
}

/// A path as a pattern at the start of paths.
fn pattern(matches: &RouteMatch) -> Option<String> {
    Some(match &matches.path {
        PathMatch::Exact(path) => format!("{}$", patterns::escaped(path)),
        PathMatch::Segments(path) if path.is_empty() => "/".to_owned(),
        PathMatch::Segments(path) => format!("{}(/|$)", patterns::escaped(path)),
        PathMatch::Prefix(path) => patterns::escaped(path),
        PathMatch::Regex(regex) => {
            let text = patterns::whole(regex);
            format!(
                "{}$",
                patterns::grouped(text.strip_prefix("(?i)").unwrap_or(text))
            )
        }
        PathMatch::RegexStart(regex) => {
            let text = patterns::start(regex);
            text.strip_prefix("(?i)").unwrap_or(text).to_owned()
        }
        PathMatch::Connect => return None,
    })
}

/// What a rewrite needs; none: it cannot be said.
fn target(matches: &RouteMatch, rewrite: &PathRewrite) -> Option<Target> {
    let made = match (rewrite, &matches.path) {
        (PathRewrite::Full(to), _) => Target {
            path: None,
            to: to.to_string(),
        },
        (
            PathRewrite::JoinedPrefix(to) | PathRewrite::Prefix(to),
            PathMatch::Exact(_) | PathMatch::Regex(_),
        ) => Target {
            path: None,
            to: if to.is_empty() {
                "/".to_owned()
            } else {
                to.to_string()
            },
        },
        (PathRewrite::JoinedPrefix(to), PathMatch::Segments(path) | PathMatch::Prefix(path)) => {
            let start = patterns::escaped(path.trim_end_matches('/'));
            match to.trim_end_matches('/') {
                "" => Target {
                    path: Some(format!("{start}(/|$)(.*)")),
                    to: "/$2".to_owned(),
                },
                base => Target {
                    path: Some(format!("{start}(/.*|$)")),
                    to: format!("{base}$1"),
                },
            }
        }
        (PathRewrite::Prefix(to), PathMatch::Segments(path)) => Target {
            path: Some(format!("{}(/.*|$)", patterns::escaped(path))),
            to: format!("{to}$1"),
        },
        (PathRewrite::Prefix(to), PathMatch::Prefix(path)) => Target {
            path: Some(format!("{}(.*)", patterns::escaped(path))),
            to: format!("{to}$1"),
        },
        (PathRewrite::Regex(regex, to), PathMatch::Regex(own) | PathMatch::RegexStart(own)) => {
            if patterns::bare(regex.as_str()) != patterns::bare(own.as_str()) {
                return None;
            }
            let to = patterns::dollars(to);
            Target {
                path: None,
                to: Some(to).filter(|to| !to.contains('{'))?,
            }
        }
        (
            PathRewrite::JoinedPrefix(_) | PathRewrite::Prefix(_),
            PathMatch::RegexStart(_) | PathMatch::Connect,
        )
        | (PathRewrite::Regex(..) | PathRewrite::Sequence(_), _) => return None,
    };
    // what the release lets a target be made of
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~/:$".contains(c);
    made.to.chars().all(known).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    #[test]
    fn paths_are_plain_where_they_can_be() {
        for (matches, expected) in [
            (of(PathMatch::Exact("/a".into())), Some("/a")),
            (of(PathMatch::segments("/a/")), Some("/a")),
            (of(PathMatch::segments("/")), Some("/")),
            (of(PathMatch::Prefix("/".into())), Some("/")),
            (of(PathMatch::Prefix("/a/".into())), Some("/a/")),
            (of(PathMatch::Prefix("/a".into())), None),
            (of(PathMatch::regex("/a.*").expect("valid")), None),
        ] {
            assert_eq!(plain(&matches).as_deref(), expected, "{matches:?}");
        }
    }

    #[test]
    fn patterns_take_what_the_rule_takes() {
        for (matches, expected) in [
            (of(PathMatch::Exact("/a.b".into())), r"/a\.b$"),
            (of(PathMatch::segments("/a")), "/a(/|$)"),
            (
                of(PathMatch::regex("/v[0-9]+/.*").expect("valid")),
                "/v[0-9]+/.*$",
            ),
            (of(PathMatch::regex_start("(?i)/a").expect("valid")), "/a"),
        ] {
            assert_eq!(pattern(&matches).as_deref(), Some(expected), "{matches:?}");
        }
    }

    #[test]
    fn prefixes_are_replaced_with_groups() {
        let target_of = |path: PathMatch, rewrite: PathRewrite| {
            target(&of(path), &rewrite).map(|it| (it.path.unwrap_or_default(), it.to))
        };
        let joined = |to: &str| PathRewrite::JoinedPrefix(to.into());
        let api = || PathMatch::segments("/api");
        let pair = |path: &str, to: &str| Some((path.to_owned(), to.to_owned()));
        assert_eq!(target_of(api(), joined("/")), pair("/api(/|$)(.*)", "/$2"));
        assert_eq!(
            target_of(api(), joined("/v2")),
            pair("/api(/.*|$)", "/v2$1")
        );
        assert_eq!(
            target_of(api(), PathRewrite::Full("/x".into())),
            pair("", "/x")
        );
        let odd = PathRewrite::Full("/a?b".into());
        assert_eq!(target_of(api(), odd), None);
    }
}
