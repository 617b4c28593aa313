//! The matchers of HTTP routers.
//!
//! Source: traefik `pkg/muxer/http/matcher.go`, `pkg/muxer/muxer.go` (`DomainMatchHostExpression`).

use proxy_core::config::{Cidr, TextMatch};
use regex::Regex;

use super::super::blocks;
use super::parse::{Call, Problem};
use super::{arguments, known_name};

/// What a request is asked for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Matcher {
    /// The host.
    Host(HostPattern),
    /// A match anywhere in the host.
    HostRegexp(Pattern),
    /// The whole path.
    Path(String),
    /// The first bytes of the path: `/products` takes `/products-for-sale`.
    PathPrefix(String),
    /// A match anywhere in the path.
    PathRegexp(Pattern),
    /// The method.
    Method(String),
    /// A value of a header; its name in lower case.
    Header(String, String),
    /// A match anywhere in a value of a header.
    HeaderRegexp(String, Pattern),
    /// A value of a query parameter.
    Query(String, String),
    /// A match anywhere in a value of a query parameter.
    QueryRegexp(String, Pattern),
    /// The client's address.
    ClientIp(Vec<Cidr>),
    /// Nothing: Go takes `Host` out of the headers, so that no condition on it ever holds.
    Never,
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HostPattern {
    /// Any, none at all among them.
    Any,
    /// This one, in lower case, without a dot at its end.
    Exact(String),
    /// Any label before this, which begins with a dot.
    OneLabel(String),
}

/// A regular expression that matches anywhere, and was found to compile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Checks a pattern.
    pub(crate) fn new(text: &str) -> Result<Self, regex::Error> {
        let pattern = Self(text.to_owned());
        pattern.compiled()?;
        Ok(pattern)
    }

    fn compiled(&self) -> Result<TextMatch, regex::Error> {
        TextMatch::regex(&format!("(?s:.*)(?:{})(?s:.*)", self.0))
    }

    /// The pattern as a condition.
    pub(crate) fn condition(&self) -> TextMatch {
        self.compiled().expect("it was compiled once")
    }

    /// The pattern as a condition on a host, whose letters Traefik makes small before it looks.
    pub(crate) fn host_condition(&self) -> TextMatch {
        let small = format!("(?i)(?s:.*)(?:{})(?s:.*)", self.0);
        TextMatch::regex(&small).unwrap_or_else(|_| self.condition())
    }

    /// The pattern itself, which matches anywhere.
    pub(crate) fn regex(&self) -> Regex {
        Regex::new(&self.0).expect("it was compiled once, with more around it")
    }
}

impl HostPattern {
    /// A host as `Host` or `HostSNI` has it.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        match text.strip_prefix('*') {
            Some("") => Self::Any,
            Some(rest) => Self::OneLabel(rest.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Whether it takes a host in lower case.
    pub(crate) fn takes(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == host,
            Self::OneLabel(rest) => {
                let first = host.find('.').unwrap_or(host.len());
                host[first..] == **rest
            }
        }
    }

    /// What is asked of `:hostname`; none: nothing.
    pub(crate) fn condition(&self) -> Option<TextMatch> {
        match self {
            Self::Any => None,
            Self::Exact(exact) => Some(pattern_of(&regex::escape(exact))),
            Self::OneLabel(rest) => Some(pattern_of(&format!("[^.]*{}", regex::escape(rest)))),
        }
    }
}

fn pattern_of(pattern: &str) -> TextMatch {
    TextMatch::regex(&format!(r"(?i:{pattern})\.?")).expect("an escaped host makes a small pattern")
}

const MATCHERS: &[&str] = &[
    "Host",
    "HostRegexp",
    "Path",
    "PathPrefix",
    "PathRegexp",
    "Method",
    "Header",
    "HeaderRegexp",
    "Query",
    "QueryRegexp",
    "ClientIP",
];

pub(super) fn matcher(call: &Call) -> Result<Matcher, Problem> {
    let name = known_name(call, MATCHERS)?;
    let counts = match name {
        "Header" | "HeaderRegexp" => 2..=2,
        "Query" | "QueryRegexp" => 1..=2,
        _ => 1..=1,
    };
    let args = arguments(call, counts)?;
    let first = args[0];
    let second = args.get(1).copied().unwrap_or_default();
    let header = || first.to_ascii_lowercase();
    Ok(match name {
        "Host" => Matcher::Host(HostPattern::new(ascii(call, first)?)),
        "HostRegexp" => Matcher::HostRegexp(pattern(call, 0)?),
        "Path" => Matcher::Path(rooted(call, first)?),
        "PathPrefix" => Matcher::PathPrefix(rooted(call, first)?),
        "PathRegexp" => Matcher::PathRegexp(pattern(call, 0)?),
        "Method" => Matcher::Method(first.to_ascii_uppercase()),
        "Header" | "HeaderRegexp" if header() == "host" => Matcher::Never,
        "Header" => Matcher::Header(header(), second.to_owned()),
        "HeaderRegexp" => Matcher::HeaderRegexp(header(), pattern(call, 1)?),
        "QueryRegexp" if args.len() == 2 => {
            Matcher::QueryRegexp(first.to_owned(), pattern(call, 1)?)
        }
        "Query" | "QueryRegexp" => Matcher::Query(first.to_owned(), second.to_owned()),
        _ => Matcher::ClientIp(vec![block(call, 0)?]),
    })
}

pub(super) fn ascii<'t>(call: &Call, text: &'t str) -> Result<&'t str, Problem> {
    if text.is_ascii() {
        return Ok(text);
    }
    let message = "a host is written in ASCII (`xn--…`)";
    Err(Problem::new(call.args[0].at.clone(), message))
}

fn rooted(call: &Call, path: &str) -> Result<String, Problem> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Err(Problem::new(
        call.args[0].at.clone(),
        "a path begins with `/`",
    ))
}

pub(super) fn pattern(call: &Call, nth: usize) -> Result<Pattern, Problem> {
    let arg = &call.args[nth];
    Pattern::new(&arg.text).map_err(|error| bad_pattern(arg.at.clone(), &error))
}

pub(super) fn bad_pattern(at: std::ops::Range<usize>, error: &regex::Error) -> Problem {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    Problem::new(at, format!("no regular expression of Go's: {last}"))
}

pub(super) fn block(call: &Call, nth: usize) -> Result<Cidr, Problem> {
    let arg = &call.args[nth];
    blocks::parse(&arg.text)
        .ok_or_else(|| Problem::new(arg.at.clone(), "neither an address nor a block of them"))
}

#[cfg(test)]
mod tests {
    use super::super::{RuleError, Syntax, http};
    use super::*;

    fn only(rule: &str) -> Matcher {
        let all = http(rule, Syntax::V3).expect(rule);
        all[0][0].matcher.clone()
    }

    #[test]
    fn each_matcher_has_its_arguments() {
        let pattern = |text: &str| Pattern::new(text).expect("valid");
        let text = |text: &str| text.to_owned();
        for (rule, want) in [
            (
                "Host(`A.Example.com.`)",
                Matcher::Host(HostPattern::Exact(text("a.example.com"))),
            ),
            ("Host(`*`)", Matcher::Host(HostPattern::Any)),
            (
                "Host(`*.b.c`)",
                Matcher::Host(HostPattern::OneLabel(text(".b.c"))),
            ),
            ("HostRegexp(`^a`)", Matcher::HostRegexp(pattern("^a"))),
            ("Path(`/a`)", Matcher::Path(text("/a"))),
            ("PathPrefix(`/a`)", Matcher::PathPrefix(text("/a"))),
            ("PathRegexp(`a$`)", Matcher::PathRegexp(pattern("a$"))),
            ("Method(`get`)", Matcher::Method(text("GET"))),
            (
                "Header(`X-A`, `b`)",
                Matcher::Header(text("x-a"), text("b")),
            ),
            ("Header(`Host`, `b`)", Matcher::Never),
            (
                "HeaderRegexp(`X-A`, `b`)",
                Matcher::HeaderRegexp(text("x-a"), pattern("b")),
            ),
            ("Query(`a`, `b`)", Matcher::Query(text("a"), text("b"))),
            ("Query(`a`)", Matcher::Query(text("a"), text(""))),
            (
                "QueryRegexp(`a`, `b`)",
                Matcher::QueryRegexp(text("a"), pattern("b")),
            ),
            ("QueryRegexp(`a`)", Matcher::Query(text("a"), text(""))),
            (
                "ClientIP(`10.0.0.0/8`)",
                Matcher::ClientIp(vec![blocks::parse("10.0.0.0/8").expect("a block")]),
            ),
        ] {
            assert_eq!(only(rule), want, "{rule}");
        }
    }

    #[test]
    fn what_a_matcher_does_not_take_is_told_with_its_place() {
        for (rule, at, message) in [
            ("Host(`a`, `b`)", 0..4, "`Host` takes one argument, not 2"),
            ("Header(`a`)", 0..6, "`Header` takes 2 arguments, not 1"),
            ("Query()", 0..5, "`Query` takes 1 or 2 arguments, not 0"),
            ("Path(``)", 5..7, "an argument may not be empty"),
            ("Path(`a`)", 5..8, "a path begins with `/`"),
            (
                "Host(`bücher.de`)",
                5..17,
                "a host is written in ASCII (`xn--…`)",
            ),
            (
                "ClientIP(`10.0.0.0/40`)",
                9..22,
                "neither an address nor a block of them",
            ),
            ("PathRegexp(`(`)", 11..14, "no regular expression of Go's"),
        ] {
            let Err(RuleError::Problem(problem)) = http(rule, Syntax::V3) else {
                panic!("{rule} is no rule");
            };
            assert_eq!(problem.at, at, "{rule}");
            assert!(
                problem.message.starts_with(message),
                "{rule}: {}",
                problem.message
            );
        }
        let Err(RuleError::Problem(problem)) = http("Host(`a`, `b`)", Syntax::V3) else {
            panic!("two hosts");
        };
        assert_eq!(
            problem.help.as_deref(),
            Some("write Host(`a`) || Host(`b`)")
        );
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (pattern, host, want) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("example.com", "example.com", true),
            ("example.com", "a.example.com", false),
            ("*", "anything", true),
        ] {
            let pattern = HostPattern::new(pattern);
            assert_eq!(pattern.takes(host), want, "{pattern:?}, {host}");
            let condition = pattern.condition();
            let holds = condition.is_none_or(|it| it.matches(&host.to_ascii_uppercase()));
            assert_eq!(holds, want, "{pattern:?}, {host}");
        }
    }
}
