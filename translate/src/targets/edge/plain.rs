//! Conditions in the plainest words: a regular expression that stands for a text is that text, and a path beside everything below it is one by
//! segments.
//!
//! Gateways that have no segments have two routes for one rule, or a pattern (Kong `/cart/` and `/cart$`, NGINX `/cart/` and `= /cart`).

use proxy_core::config::{Forward, PathMatch, PathRewrite, RouteAction, RouteMatch};
use proxy_core::origin::OriginId;

use super::flat::Rule;
use super::{overlap, patterns};

/// The conditions of a route in the plainest words.
pub(crate) fn plainest(matches: &RouteMatch, action: &RouteAction) -> RouteMatch {
    let mut plain = matches.clone();
    if goes_by_groups(action) {
        // what is written anew needs the pattern
        return plain;
    }
    let (text, whole) = match &matches.path {
        PathMatch::Regex(regex) => (patterns::whole(regex), true),
        PathMatch::RegexStart(regex) => (patterns::start(regex), false),
        PathMatch::Exact(_)
        | PathMatch::Prefix(_)
        | PathMatch::Segments(_)
        | PathMatch::Connect => return plain,
    };
    let (text, fold) = match text.strip_prefix("(?i)") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if let Some(path) = of_pattern(text, whole) {
        plain.path = path;
        plain.ignore_case = fold;
    }
    plain
}

fn goes_by_groups(action: &RouteAction) -> bool {
    match action {
        RouteAction::Forward(forward) => matches!(
            forward.rewrite,
            Some(PathRewrite::Regex(..) | PathRewrite::Sequence(_) | PathRewrite::Prefix(_))
        ),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => false,
    }
}

/// The path that a pattern stands for, of whole paths or of their start; none: it says more.
fn of_pattern(pattern: &str, whole: bool) -> Option<PathMatch> {
    let exact = |text: &str| literal(text).map(|text| PathMatch::Exact(text.into()));
    let prefix = |text: &str| literal(text).map(|text| PathMatch::Prefix(text.into()));
    if whole {
        let start = pattern.strip_suffix(".*");
        return exact(pattern).or_else(|| prefix(start?));
    }
    for end in ["(?:/|$)", "(/|$)"] {
        if let Some(text) = pattern.strip_suffix(end) {
            return literal(text).map(|text| PathMatch::segments(&text));
        }
    }
    match pattern.strip_suffix('$') {
        Some(text) => exact(text),
        None => prefix(pattern),
    }
}

/// The text that a pattern stands for; none: it stands for several.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                return None;
            }
            c => text.push(c),
        }
    }
    text.starts_with('/').then_some(text)
}

/// The same rules, those for a path and for everything below it as one by segments, where nothing between them is for either.
pub(crate) fn joined(mut rules: Vec<Rule<'_>>) -> Vec<Rule<'_>> {
    let mut at = 0;
    while at < rules.len() {
        let Some(below) = below(&rules, at) else {
            at += 1;
            continue;
        };
        let between = |rule: &Rule<'_>, of: &Rule<'_>| {
            rule.domains == of.domains && overlap::may_meet(&rule.matches, &of.matches)
        };
        let inner = &rules[at + 1..below];
        let up = inner.iter().all(|it| !between(it, &rules[below]));
        let down = inner.iter().all(|it| !between(it, &rules[at]));
        let path = match (&rules[at].matches.path, &rules[below].matches.path) {
            (PathMatch::Exact(path), _) | (_, PathMatch::Exact(path)) => PathMatch::segments(path),
            (_, _) => {
                at += 1;
                continue;
            }
        };
        if up {
            rules[at].matches.path = path;
            rules.remove(below);
        } else if down {
            rules[below].matches.path = path;
            rules.remove(at);
            continue;
        }
        at += 1;
    }
    rules
}

/// The rule after this one that is the other half of it.
fn below(rules: &[Rule<'_>], at: usize) -> Option<usize> {
    let one = &rules[at];
    let halves = |a: &PathMatch, b: &PathMatch| match (a, b) {
        (PathMatch::Exact(exact), PathMatch::Prefix(prefix))
        | (PathMatch::Prefix(prefix), PathMatch::Exact(exact)) => {
            prefix.strip_suffix('/') == Some(exact) && !exact.is_empty()
        }
        (_, _) => false,
    };
    let found = rules[at + 1..].iter().position(|other| {
        halves(&one.matches.path, &other.matches.path)
            && one.domains == other.domains
            && one.sides == other.sides
            && is_alike(one, other)
    });
    found.map(|nth| at + 1 + nth)
}

/// Whether two rules do the same, but for the path that they are for.
fn is_alike(one: &Rule<'_>, other: &Rule<'_>) -> bool {
    let digest = |rule: &Rule<'_>| {
        let mut route = rule.route().clone();
        route.matches = RouteMatch {
            path: PathMatch::Prefix("/".into()),
            ..rule.matches.clone()
        };
        route.name = "".into();
        route.origin = OriginId::NONE;
        for gate in &mut route.gates {
            gate.name = "".into();
        }
        format!("{route:?}")
    };
    let keeps = |rule: &Rule<'_>| match &rule.route().action {
        RouteAction::Forward(forward) => !changes_path(forward),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => true,
    };
    keeps(one) && keeps(other) && digest(one) == digest(other)
}

/// Whether a path of its own and one below it would be changed in other ways.
const fn changes_path(forward: &Forward) -> bool {
    matches!(
        forward.rewrite,
        Some(PathRewrite::Prefix(_) | PathRewrite::Regex(..) | PathRewrite::Sequence(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::ClusterIndex;

    fn plain(path: PathMatch) -> String {
        let action = RouteAction::Forward(Box::new(Forward::to(ClusterIndex(0))));
        let plain = plainest(&RouteMatch::path(path), &action);
        let fold = if plain.ignore_case {
            " in any case"
        } else {
            ""
        };
        format!("{:?}{fold}", plain.path)
    }

    #[test]
    fn a_pattern_that_stands_for_a_text_is_that_text() {
        let whole = |text: &str| PathMatch::regex(text).expect("valid");
        let start = |text: &str| PathMatch::regex_start(text).expect("valid");
        for (path, expected) in [
            (whole("/a"), r#"Exact("/a")"#),
            (whole(r"/a\.b"), r#"Exact("/a.b")"#),
            (whole("/a/.*"), r#"Prefix("/a/")"#),
            (start("/a$"), r#"Exact("/a")"#),
            (start("/a/"), r#"Prefix("/a/")"#),
            (start("/a(/|$)"), r#"Segments("/a")"#),
            (start("(?i)/a(?:/|$)"), r#"Segments("/a") in any case"#),
        ] {
            assert_eq!(plain(path), expected);
        }
    }

    #[test]
    fn a_pattern_that_says_more_stays() {
        for text in ["/a.b", "/v[0-9]", "/a|/b", "/a(b)"] {
            let path = PathMatch::regex(text).expect("valid");
            assert!(plain(path).starts_with("Regex("), "{text}");
        }
    }
}
