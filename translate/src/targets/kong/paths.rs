//! Paths of rules as Kong has them, and the order in which Kong asks its routes.
//!
//! Source: Kong/kubernetes-ingress-controller `internal/dataplane/translator/subtranslator/ingress.go`; Kong `kong/router/transform.lua`
//! (`get_priority`): the number of kinds of conditions, hosts without wildcards, the number of headers, regular expressions before plain paths,
//! `regex_priority`, the length of a plain path.

use proxy_core::config::{PathMatch, PathRewrite, RouteMatch};

use super::Said;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::hosts::Domain;
use crate::targets::edge::{overlap, patterns};

/// What decides which of two routes is asked first; the greater is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    kinds: u8,
    plain_hosts: bool,
    headers: usize,
    regex: bool,
    priority: u64,
    length: usize,
}

/// A path of Kong's, and where its route stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    rank: Rank,
    /// Which paths it takes.
    takes: PathMatch,
    /// Whether it is written as a regular expression for the sake of its place.
    numbered: bool,
}

/// A path as an Ingress writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// The path.
    pub(super) text: String,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub(super) kind: &'static str,
}

/// A rewrite in Kong's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rewritten {
    /// What the path of the route matched goes (`strip-path`).
    Stripped,
    /// The path is written anew (`rewrite`).
    Anew {
        /// With `$1` for a group.
        to: String,
        /// The route's path, where it needs groups that it has not.
        path: Option<Written>,
    },
}

impl Entry {
    fn of(rule: &Rule<'_>, takes: PathMatch, plain_length: Option<usize>) -> Self {
        let matches = &rule.matches;
        let has_hosts = !rule.domains.contains(&Domain::Any);
        let headers = rule.headers().count() + usize::from(matches.grpc);
        let kinds = [!matches.methods.is_empty(), has_hosts, headers > 0, true];
        let is_plain = |it: &Domain| matches!(it, Domain::Exact(_));
        Self {
            rank: Rank {
                kinds: kinds.iter().map(|asked| u8::from(*asked)).sum(),
                plain_hosts: has_hosts && rule.domains.iter().all(is_plain),
                headers,
                regex: plain_length.is_none(),
                priority: 0,
                length: plain_length.unwrap_or_default(),
            },
            takes,
            numbered: false,
        }
    }

    /// The one of a rule whose path is a regular expression.
    pub(super) fn of_pattern(rule: &Rule<'_>) -> Self {
        Self::of(rule, rule.matches.path.clone(), None)
    }

    /// Makes it a regular expression with a priority of its own.
    pub(super) fn as_regex(&mut self, priority: u64) {
        self.rank.regex = true;
        self.rank.length = 0;
        self.rank.priority = priority;
        self.numbered = true;
    }

    fn meets(&self, other: &Self) -> bool {
        let path = |entry: &Self| RouteMatch::path(entry.takes.clone());
        overlap::may_meet(&path(self), &path(other))
    }

    const fn class(&self) -> (u8, bool, usize) {
        (self.rank.kinds, self.rank.plain_hosts, self.rank.headers)
    }
}

/// Whether a path means the same where it stands in a regular expression.
fn is_plain(path: &str) -> bool {
    path.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_/~%".contains(c))
}

/// Kong's paths of a rule; none: there are none.
pub(super) fn entries(rule: &Rule<'_>) -> Option<Vec<Entry>> {
    let matches = &rule.matches;
    let regex = || pattern(matches).map(|_| vec![Entry::of_pattern(rule)]);
    let plain = !matches.ignore_case;
    match &matches.path {
        PathMatch::Exact(path) if plain && is_plain(path) => regex(),
        PathMatch::Segments(path) if path.is_empty() => Some(vec![Entry::of(
            rule,
            PathMatch::Prefix("/".into()),
            Some(1),
        )]),
        // the controller makes two of it
        PathMatch::Segments(path) if plain && is_plain(path) => {
            let below = format!("{path}/");
            let length = below.len();
            Some(vec![
                Entry::of(rule, PathMatch::Prefix(below.into()), Some(length)),
                Entry::of(rule, PathMatch::Exact(path.clone()), None),
            ])
        }
        PathMatch::Prefix(path) if plain => Some(vec![Entry::of(
            rule,
            matches.path.clone(),
            Some(path.len()),
        )]),
        PathMatch::Exact(_)
        | PathMatch::Segments(_)
        | PathMatch::Prefix(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => regex(),
    }
}

/// The path of a rule as an Ingress writes it.
pub(super) fn written(rule: &Rule<'_>, entries: &[Entry]) -> Written {
    let matches = &rule.matches;
    let natural = |text: &str, kind| Written {
        text: text.to_owned(),
        kind,
    };
    let plain = !matches.ignore_case && entries.iter().all(|entry| !entry.numbered);
    match &matches.path {
        PathMatch::Exact(path) if plain && is_plain(path) => natural(path, "Exact"),
        PathMatch::Segments(path) if plain && path.is_empty() => natural("/", "Prefix"),
        PathMatch::Segments(path) if plain && is_plain(path) => natural(path, "Prefix"),
        PathMatch::Prefix(path) if plain && &**path == "/" => natural("/", "Prefix"),
        PathMatch::Prefix(path) if plain => natural(path, "ImplementationSpecific"),
        PathMatch::Exact(_)
        | PathMatch::Segments(_)
        | PathMatch::Prefix(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => marked(&pattern(matches).unwrap_or_else(|| "/".to_owned())),
    }
}

/// A regular expression as an Ingress marks it for Kong.
fn marked(pattern: &str) -> Written {
    Written {
        text: format!("/~{pattern}"),
        kind: "ImplementationSpecific",
    }
}

/// The regular expression of a path, at its start; none: it does not begin with a slash, which Kong asks for.
fn pattern(matches: &RouteMatch) -> Option<String> {
    let found = match &matches.path {
        PathMatch::Exact(path) => format!("{}$", patterns::escaped(path)),
        PathMatch::Segments(path) if path.is_empty() => "/".to_owned(),
        PathMatch::Segments(path) => format!("{}(?:/|$)", patterns::escaped(path)),
        PathMatch::Prefix(path) => patterns::escaped(path),
        PathMatch::Regex(regex) => format!("{}$", patterns::grouped(patterns::whole(regex))),
        PathMatch::RegexStart(regex) => patterns::start(regex).to_owned(),
        PathMatch::Connect => return None,
    };
    let rooted = rooted(&found)?;
    Some(match matches.ignore_case {
        true => rooted.replacen('/', "/(?i)", 1),
        false => rooted,
    })
}

/// The same pattern with a slash at its start.
fn rooted(pattern: &str) -> Option<String> {
    if pattern.starts_with('/') {
        return Some(pattern.to_owned());
    }
    if let Some(rest) = pattern.strip_prefix("(?i)/") {
        return Some(format!("/(?i){rest}"));
    }
    // every path begins with one
    pattern.starts_with(".*").then(|| format!("/{pattern}"))
}

/// Hosts whose rules Kong would ask in another order, which priorities of regular expressions can put right.
pub(super) fn to_be_numbered(all: &[Said<'_>]) -> Vec<Vec<Domain>> {
    let mut found: Vec<Vec<Domain>> = Vec::new();
    for (first, second) in pairs(all) {
        let same_class = first.entries[0].class() == second.entries[0].class();
        if same_class && is_misordered(first, second) {
            for domains in [&first.rule.domains, &second.rule.domains] {
                if !found.contains(domains) {
                    found.push(domains.clone());
                }
            }
        }
    }
    found
}

/// Rules that Kong asks in another order, whatever is written; of one rule the first such is told.
pub(super) fn misordered<'r>(all: &[Said<'r>]) -> Vec<(&'r Rule<'r>, &'r Rule<'r>)> {
    let mut found: Vec<(&Rule<'_>, &Rule<'_>)> = Vec::new();
    for (first, second) in pairs(all) {
        let known = found.iter().any(|(it, _)| std::ptr::eq(*it, first.rule));
        if !known && is_misordered(first, second) {
            found.push((first.rule, second.rule));
        }
    }
    found
}

/// Rules that one request may be for, each with those after it.
fn pairs<'s, 'r>(all: &'s [Said<'r>]) -> impl Iterator<Item = (&'s Said<'r>, &'s Said<'r>)> {
    let each = all.iter().enumerate();
    each.flat_map(move |(at, first)| {
        let after = all[at + 1..].iter();
        let meeting = after.filter(move |second| first.rule.meets(second.rule));
        meeting.map(move |second| (first, second))
    })
}

fn is_misordered(first: &Said<'_>, second: &Said<'_>) -> bool {
    first.entries.iter().any(|a| {
        let mut others = second.entries.iter();
        others.any(|b| a.meets(b) && a.rank <= b.rank)
    })
}

/// A rewrite in Kong's words; none: it has none for it.
pub(super) fn rewrite(matches: &RouteMatch, rewrite: &PathRewrite) -> Option<Rewritten> {
    let anew = |to: String, path: Option<String>| {
        Some(Rewritten::Anew {
            to,
            path: path.map(|path| marked(&path)),
        })
    };
    let fold = |pattern: String| match matches.ignore_case {
        true => pattern.replacen('/', "/(?i)", 1),
        false => pattern,
    };
    match (rewrite, &matches.path) {
        (PathRewrite::Full(to), _) => anew(literal(to), None),
        (
            PathRewrite::JoinedPrefix(to) | PathRewrite::Prefix(to),
            PathMatch::Exact(_) | PathMatch::Regex(_),
        ) => anew(literal(if to.is_empty() { "/" } else { to }), None),
        (PathRewrite::JoinedPrefix(to), PathMatch::Segments(_) | PathMatch::Prefix(_))
            if &**to == "/" =>
        {
            Some(Rewritten::Stripped)
        }
        (PathRewrite::Prefix(to), PathMatch::Prefix(path))
            if &**to == "/" && path.ends_with('/') =>
        {
            Some(Rewritten::Stripped)
        }
        (PathRewrite::Prefix(to), PathMatch::Segments(_)) if to.is_empty() => {
            Some(Rewritten::Stripped)
        }
        (PathRewrite::JoinedPrefix(to), PathMatch::Segments(path)) => {
            let base = literal(to.trim_end_matches('/'));
            let pattern = format!("{}(/.*|$)", patterns::escaped(path));
            anew(
                format!("{base}$1"),
                rooted(&fold(pattern)).or_else(|| Some("(/.*)".to_owned())),
            )
        }
        (PathRewrite::JoinedPrefix(to), PathMatch::Prefix(path)) => {
            let base = literal(to.trim_end_matches('/'));
            let pattern = format!("{}/?(.*)", patterns::escaped(path.trim_end_matches('/')));
            anew(format!("{base}/$1"), rooted(&fold(pattern)))
        }
        (PathRewrite::Prefix(to), PathMatch::Segments(path) | PathMatch::Prefix(path)) => {
            let pattern = format!("{}(.*)", patterns::escaped(path));
            anew(format!("{}$1", literal(to)), rooted(&fold(pattern)))
        }
        (PathRewrite::Regex(regex, to), PathMatch::Regex(own) | PathMatch::RegexStart(own)) => {
            let same = patterns::bare(regex.as_str()) == patterns::bare(own.as_str());
            if same { anew(groups(to)?, None) } else { None }
        }
        (
            PathRewrite::JoinedPrefix(_) | PathRewrite::Prefix(_),
            PathMatch::RegexStart(_) | PathMatch::Connect,
        )
        | (PathRewrite::Regex(..) | PathRewrite::Sequence(_), _) => None,
    }
}

/// A replacement with `\1` for a group, with `$1` in its place; none: a digit stands behind a group, which Kong would take for its number.
fn groups(to: &str) -> Option<String> {
    let out = patterns::dollars(&literal(to));
    (!out.contains("${")).then_some(out)
}

/// Text that stands for itself in a rewrite.
fn literal(text: &str) -> String {
    text.replace('$', "\\$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    #[test]
    fn patterns_begin_with_a_slash() {
        let regex = |text: &str| of(PathMatch::regex(text).expect("valid"));
        for (matches, expected) in [
            (of(PathMatch::Exact("/a.b".into())), Some(r"/a\.b$")),
            (of(PathMatch::segments("/a")), Some("/a(?:/|$)")),
            (of(PathMatch::Prefix("/a".into())), Some("/a")),
            (regex("/v[0-9]/.*"), Some("/v[0-9]/.*$")),
            (regex(r".*\.png"), Some(r"/.*\.png$")),
            (regex("(a|b)"), None),
            (of(PathMatch::Connect), None),
        ] {
            assert_eq!(pattern(&matches).as_deref(), expected, "{matches:?}");
        }
        let mut folded = of(PathMatch::Exact("/a".into()));
        folded.ignore_case = true;
        assert_eq!(pattern(&folded).as_deref(), Some("/(?i)a$"));
    }

    #[test]
    fn a_prefix_that_a_slash_takes_the_place_of_is_stripped() {
        let slash = PathRewrite::JoinedPrefix("/".into());
        let said = rewrite(&of(PathMatch::segments("/api")), &slash);
        assert_eq!(said, Some(Rewritten::Stripped));
    }

    #[test]
    fn another_prefix_is_written_anew_with_a_group() {
        let to = PathRewrite::JoinedPrefix("/v2".into());
        let said = rewrite(&of(PathMatch::segments("/api")), &to);
        let path = Written {
            text: "/~/api(/.*|$)".into(),
            kind: "ImplementationSpecific",
        };
        let expected = Rewritten::Anew {
            to: "/v2$1".into(),
            path: Some(path),
        };
        assert_eq!(said, Some(expected));
        let full = rewrite(
            &of(PathMatch::segments("/api")),
            &PathRewrite::Full("/$x".into()),
        );
        let expected = Rewritten::Anew {
            to: r"/\$x".into(),
            path: None,
        };
        assert_eq!(full, Some(expected));
    }

    #[test]
    fn groups_of_the_routes_own_pattern_may_be_used() {
        let own = of(PathMatch::regex_start("(?i)/api(/|$)(.*)").expect("valid"));
        let whole = regex::Regex::new("^(?i:/api(/|$)(.*))(?s:.*)$").expect("valid");
        let said = rewrite(&own, &PathRewrite::Regex(Box::new(whole), r"/\2".into()));
        let expected = Rewritten::Anew {
            to: "/$2".into(),
            path: None,
        };
        assert_eq!(said, Some(expected));
        let other = regex::Regex::new("^/x(.*)$").expect("valid");
        let said = rewrite(&own, &PathRewrite::Regex(Box::new(other), r"/\1".into()));
        assert_eq!(said, None);
    }
}
