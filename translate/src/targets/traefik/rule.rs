//! Conditions of routes as rules of Traefik.
//!
//! Source: traefik 3.7 `docs/content/reference/routing-configuration/http/routing/rules-and-priority.md`. Each matcher is asked of the request as
//! the client sent it; patterns are looked for anywhere, so that they are anchored here.

use proxy_core::config::{Absent, Cidr, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};

use crate::targets::edge::hosts::Domain;
use crate::targets::edge::patterns;

/// A condition that Traefik has no matcher for, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unsaid(pub(super) String);

/// The rule of a route for some hosts; `not` are hosts that others serve although these domains take them.
///
/// # Errors
/// The first condition that cannot be said.
pub(super) fn rule(
    domains: &[Domain],
    not: &[Domain],
    matches: &RouteMatch,
) -> Result<String, Unsaid> {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(hosts(domains));
    for domain in not {
        let taken = host(domain).ok_or_else(|| Unsaid("a host that is none".into()))?;
        parts.push(format!("!{taken}"));
    }
    parts.extend(path(matches)?);
    let methods = matches.methods.iter().map(|it| call("Method", &[it]));
    parts.extend(any_of(methods.collect()));
    for condition in &matches.headers {
        parts.push(header(condition)?);
    }
    for condition in &matches.params {
        parts.push(param(condition)?);
    }
    if matches.grpc {
        parts.push(call(
            "HeaderRegexp",
            &["Content-Type", r"^application/grpc(?:$|\+)"],
        ));
    }
    if let Some(share) = matches.fraction {
        let percent = share.as_fraction() * 100.0;
        return Err(Unsaid(format!("a share of {percent} % of the requests")));
    }
    if parts.is_empty() {
        // a rule may not be empty
        parts.push(call("PathPrefix", &["/"]));
    }
    Ok(parts.join(" && "))
}

fn hosts(domains: &[Domain]) -> Option<String> {
    if domains.contains(&Domain::Any) {
        return None;
    }
    any_of(domains.iter().filter_map(host).collect())
}

/// The matcher of a host; none: it takes all.
fn host(domain: &Domain) -> Option<String> {
    Some(match domain {
        Domain::Exact(host) => call("Host", &[host]),
        // `Host(*.…)` would take one label alone
        Domain::Under(rest) => call("HostRegexp", &[&format!("^.+{}$", patterns::escaped(rest))]),
        Domain::Starting(start) => call(
            "HostRegexp",
            &[&format!("^{}.+$", patterns::escaped(start))],
        ),
        Domain::Any => return None,
    })
}

/// Alternatives, in brackets where there are several.
fn any_of(mut all: Vec<String>) -> Option<String> {
    match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(format!("({})", all.join(" || "))),
    }
}

fn path(matches: &RouteMatch) -> Result<Option<String>, Unsaid> {
    if matches.ignore_case
        && let PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::Segments(_) = &matches.path
        && let Some(pattern) = patterns::path(&matches.path, true)
        && pattern != "^/"
    {
        return Ok(Some(call("PathRegexp", &[&pattern])));
    }
    Ok(match &matches.path {
        PathMatch::Exact(path) => Some(call("Path", &[path])),
        PathMatch::Prefix(path) if &**path == "/" => None,
        PathMatch::Prefix(path) => Some(call("PathPrefix", &[path])),
        PathMatch::Segments(path) if path.is_empty() => None,
        // `PathPrefix` goes by letters
        PathMatch::Segments(path) => any_of(vec![
            call("Path", &[path]),
            call("PathPrefix", &[&format!("{path}/")]),
        ]),
        PathMatch::Regex(_) | PathMatch::RegexStart(_) => {
            patterns::path(&matches.path, false).map(|it| call("PathRegexp", &[&it]))
        }
        PathMatch::Connect => return Err(Unsaid("CONNECT".into())),
    })
}

fn header(condition: &HeaderMatch) -> Result<String, Unsaid> {
    let HeaderMatch {
        name,
        value,
        invert,
        ignore_case,
        absent,
    } = condition;
    let unsaid = || Unsaid(format!("the condition on `{name}`"));
    let is_pseudo = name.starts_with(':');
    let positive = match (&**name, value) {
        (":client", TextMatch::Address(blocks)) => clients(blocks).ok_or_else(unsaid)?,
        (":method", TextMatch::Exact(method)) if !ignore_case => call("Method", &[method]),
        (":authority" | ":hostname" | "host", value) => authority(value).ok_or_else(unsaid)?,
        (":pathname", value) => {
            let pattern = patterns::search(value, *ignore_case).ok_or_else(unsaid)?;
            call("PathRegexp", &[&pattern])
        }
        _ if is_pseudo => return Err(unsaid()),
        (name, TextMatch::Exact(text)) if !ignore_case && !text.is_empty() => {
            call("Header", &[name, text])
        }
        (name, value) => {
            let pattern = patterns::search(value, *ignore_case).ok_or_else(unsaid)?;
            call("HeaderRegexp", &[name, &pattern])
        }
    };
    if is_pseudo || &**name == "host" {
        return Ok(turned(&positive, *invert));
    }
    let there = || call("HeaderRegexp", &[name, ".*"]);
    Ok(match absent {
        // without the header a matcher does not hold, and its contrary does
        Absent::Unequal => turned(&positive, *invert),
        Absent::Refused if *invert => format!("{} && !{positive}", there()),
        Absent::Refused => positive,
        Absent::Empty => match (value.matches(""), *invert) {
            (true, false) => format!("(!{} || {positive})", there()),
            (true, true) => format!("{} && !{positive}", there()),
            (false, invert) => turned(&positive, invert),
        },
    })
}

fn turned(matcher: &str, invert: bool) -> String {
    if invert {
        format!("!{matcher}")
    } else {
        matcher.to_owned()
    }
}

/// A condition on the host; its port, which Traefik leaves out of account, may be asked for by patterns that do without it, too.
fn authority(value: &TextMatch) -> Option<String> {
    let without_port = |pattern: &str| {
        let rest = pattern.strip_suffix("(?::[0-9]+)?");
        rest.unwrap_or(pattern).to_owned()
    };
    match value {
        TextMatch::Exact(host) => Some(call("Host", &[host])),
        TextMatch::Regex(regex) => {
            let pattern = without_port(patterns::whole(regex));
            let pattern = format!("^{}$", patterns::grouped(&pattern));
            Some(call("HostRegexp", &[&pattern]))
        }
        TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Present => patterns::search(value, false).map(|it| call("HostRegexp", &[&it])),
        TextMatch::Range(..) | TextMatch::Address(_) => None,
    }
}

fn clients(blocks: &[Cidr]) -> Option<String> {
    let each = blocks.iter().map(|it| {
        let block = format!("{}/{}", it.address, it.bits);
        call("ClientIP", &[&block])
    });
    any_of(each.collect())
}

fn param(condition: &ParamMatch) -> Result<String, Unsaid> {
    let name = &*condition.name;
    let matcher = match &condition.value {
        TextMatch::Exact(text) if !text.is_empty() => call("Query", &[name, text]),
        value @ (TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present) => {
            let pattern = patterns::search(value, false);
            let pattern = pattern.ok_or_else(|| Unsaid(format!("the condition on `?{name}=`")))?;
            call("QueryRegexp", &[name, &pattern])
        }
    };
    Ok(turned(&matcher, condition.invert))
}

/// A matcher with its arguments, in the quotes that Go's raw strings have, or in those of others where they have one in them.
fn call(name: &str, args: &[&str]) -> String {
    let quoted = args.iter().map(|arg| match arg.contains('`') {
        false => format!("`{arg}`"),
        true => format!("\"{}\"", arg.replace('\\', "\\\\").replace('"', "\\\"")),
    });
    let quoted: Vec<String> = quoted.collect();
    format!("{name}({})", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::Share;

    fn said(matches: &RouteMatch) -> String {
        rule(&[Domain::Any], &[], matches).expect("it can be said")
    }

    fn path(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    fn with(name: &str, value: TextMatch, invert: bool, absent: Absent) -> RouteMatch {
        let mut all = RouteMatch::all();
        all.headers.push(HeaderMatch {
            name: name.into(),
            value,
            invert,
            ignore_case: false,
            absent,
        });
        all
    }

    #[test]
    fn each_path_has_the_matcher_that_takes_the_same() {
        let regex = |text: &str| PathMatch::regex(text).expect("valid");
        for (condition, expected) in [
            (PathMatch::Exact("/a".into()), "Path(`/a`)"),
            (PathMatch::Prefix("/a".into()), "PathPrefix(`/a`)"),
            (PathMatch::Prefix("/".into()), "PathPrefix(`/`)"),
            (
                PathMatch::segments("/a"),
                "(Path(`/a`) || PathPrefix(`/a/`))",
            ),
            (PathMatch::segments("/"), "PathPrefix(`/`)"),
            (regex("/v[0-9]+"), "PathRegexp(`^/v[0-9]+$`)"),
            (
                PathMatch::regex_start("/a|/b").expect("valid"),
                "PathRegexp(`^(?:/a|/b)`)",
            ),
        ] {
            assert_eq!(said(&path(condition.clone())), expected, "{condition:?}");
        }
        let mut folded = path(PathMatch::Exact("/a".into()));
        folded.ignore_case = true;
        assert_eq!(said(&folded), "PathRegexp(`(?i)^/a$`)");
    }

    #[test]
    fn a_wildcard_takes_any_number_of_labels() {
        let all = RouteMatch::all();
        let under = [Domain::of("*.example.com")];
        assert_eq!(
            rule(&under, &[], &all).as_deref(),
            Ok(r"HostRegexp(`^.+\.example\.com$`)")
        );
        let two = [Domain::of("a.com"), Domain::of("b.com")];
        assert_eq!(
            rule(&two, &[], &all).as_deref(),
            Ok("(Host(`a.com`) || Host(`b.com`))")
        );
        let not = [Domain::of("a.com")];
        assert_eq!(
            rule(&[Domain::Any], &not, &all).as_deref(),
            Ok("!Host(`a.com`)")
        );
    }

    #[test]
    fn headers_are_asked_for_with_what_their_absence_means() {
        let exact = || TextMatch::Exact("b".into());
        for (value, invert, absent, expected) in [
            (exact(), false, Absent::Unequal, "Header(`x-a`, `b`)"),
            (exact(), true, Absent::Unequal, "!Header(`x-a`, `b`)"),
            (
                exact(),
                true,
                Absent::Refused,
                "HeaderRegexp(`x-a`, `.*`) && !Header(`x-a`, `b`)",
            ),
            (
                TextMatch::Present,
                false,
                Absent::Unequal,
                "HeaderRegexp(`x-a`, `.*`)",
            ),
            (
                TextMatch::Present,
                true,
                Absent::Unequal,
                "!HeaderRegexp(`x-a`, `.*`)",
            ),
            (
                TextMatch::Prefix("b".into()),
                false,
                Absent::Unequal,
                "HeaderRegexp(`x-a`, `^b`)",
            ),
            (
                TextMatch::regex(".*").expect("valid"),
                false,
                Absent::Empty,
                "(!HeaderRegexp(`x-a`, `.*`) || HeaderRegexp(`x-a`, `^.*$`))",
            ),
        ] {
            assert_eq!(said(&with("x-a", value, invert, absent)), expected);
        }
    }

    #[test]
    fn what_the_core_asks_of_the_whole_request_has_its_matcher() {
        let block = Cidr {
            address: [10, 0, 0, 0].into(),
            bits: 8,
        };
        let host = TextMatch::regex(r"(?i:[\w-]+\.example\.com)(?::[0-9]+)?").expect("valid");
        for (name, value, expected) in [
            (
                ":client",
                TextMatch::Address([block].into()),
                "ClientIP(`10.0.0.0/8`)",
            ),
            (
                ":authority",
                host,
                r"HostRegexp(`^(?i:[\w-]+\.example\.com)$`)",
            ),
            (
                ":pathname",
                TextMatch::Prefix("/a".into()),
                "PathRegexp(`^/a`)",
            ),
            (":method", TextMatch::Exact("GET".into()), "Method(`GET`)"),
        ] {
            assert_eq!(
                said(&with(name, value, false, Absent::Unequal)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn methods_and_parameters_stand_beside_the_path() {
        let mut both = path(PathMatch::Exact("/a".into()));
        both.methods = vec!["GET".into(), "HEAD".into()];
        both.params.push(ParamMatch {
            name: "v".into(),
            value: TextMatch::Exact("2".into()),
            invert: false,
        });
        assert_eq!(
            said(&both),
            "Path(`/a`) && (Method(`GET`) || Method(`HEAD`)) && Query(`v`, `2`)"
        );
    }

    #[test]
    fn what_no_matcher_says_is_named() {
        let range = with("x-n", TextMatch::Range(1, 5), false, Absent::Unequal);
        let told = rule(&[Domain::Any], &[], &range);
        assert_eq!(told, Err(Unsaid("the condition on `x-n`".into())));
        let mut some = RouteMatch::all();
        some.fraction = Some(Share::from_percent(10.0));
        let told = rule(&[Domain::Any], &[], &some);
        assert_eq!(told, Err(Unsaid("a share of 10 % of the requests".into())));
        let connect = rule(&[Domain::Any], &[], &path(PathMatch::Connect));
        assert!(connect.is_err());
    }

    #[test]
    fn a_backtick_in_a_text_takes_other_quotes() {
        let odd = with(
            "x-a",
            TextMatch::Exact("a`\"b\\".into()),
            false,
            Absent::Unequal,
        );
        assert_eq!(said(&odd), r#"Header(`x-a`, "a`\"b\\")"#);
    }
}
