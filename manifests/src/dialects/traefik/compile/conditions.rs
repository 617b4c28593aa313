//! The conditions of a rule in the core's words.

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};

use crate::dialects::traefik::rules::normal::{Alternative, Literal};
use crate::dialects::traefik::rules::{HostPattern, Matcher};

/// Which requests a list of routes is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hosts<'a> {
    /// Those to this host, in lower case.
    One(&'a str),
    /// Those to no host that any rule names in full.
    Others,
}

/// When a route applies that stands for an alternative of a rule; none: never for these hosts.
pub(super) fn route_match(
    alternative: &Alternative<Matcher>,
    hosts: Hosts<'_>,
) -> Option<RouteMatch> {
    let mut matches = RouteMatch::path(path(alternative));
    for Literal { matcher, negated } in alternative {
        let negated = *negated;
        match matcher {
            Matcher::Host(pattern) => {
                host(
                    |host| pattern.takes(host),
                    pattern.condition(),
                    pattern,
                    (hosts, negated),
                    &mut matches,
                )?;
            }
            Matcher::HostRegexp(pattern) => {
                let any = HostPattern::OneLabel(String::new());
                let takes = |host: &str| pattern.regex().is_match(host);
                host(
                    takes,
                    Some(pattern.host_condition()),
                    &any,
                    (hosts, negated),
                    &mut matches,
                )?;
            }
            Matcher::Path(_) | Matcher::PathPrefix(_) | Matcher::PathRegexp(_) => {
                if !negated && is_own(matcher, &matches.path) {
                    continue;
                }
                let value = path_condition(matcher);
                matches.headers.push(condition(":pathname", value, negated));
            }
            Matcher::Method(method) if !negated && matches.methods.is_empty() => {
                matches.methods.push(method.as_str().into());
            }
            Matcher::Method(method) => {
                let value = TextMatch::Exact(method.as_str().into());
                matches.headers.push(condition(":method", value, negated));
            }
            Matcher::Header(name, value) => {
                let value = TextMatch::Exact(value.as_str().into());
                matches.headers.push(condition(name, value, negated));
            }
            Matcher::HeaderRegexp(name, pattern) => {
                matches
                    .headers
                    .push(condition(name, pattern.condition(), negated));
            }
            Matcher::Query(key, value) => {
                let value = TextMatch::Exact(value.as_str().into());
                matches.params.push(param(key, value, negated));
            }
            Matcher::QueryRegexp(key, pattern) => {
                matches
                    .params
                    .push(param(key, pattern.condition(), negated));
            }
            Matcher::ClientIp(blocks) => {
                let value = TextMatch::Address(blocks.as_slice().into());
                matches.headers.push(condition(":client", value, negated));
            }
            // what never holds always fails to
            Matcher::Never if negated => {}
            Matcher::Never => return None,
        }
    }
    Some(matches)
}

/// A condition on a host: known for a host that is known, a condition of the route for others.
fn host(
    takes: impl Fn(&str) -> bool,
    condition_of: Option<TextMatch>,
    pattern: &HostPattern,
    (hosts, negated): (Hosts<'_>, bool),
    matches: &mut RouteMatch,
) -> Option<()> {
    let known = match (hosts, pattern) {
        (Hosts::One(host), _) => Some(takes(host)),
        (Hosts::Others, HostPattern::Any) => Some(true),
        // a host that is named in full has a list of its own
        (Hosts::Others, HostPattern::Exact(_)) => Some(false),
        (Hosts::Others, HostPattern::OneLabel(_)) => None,
    };
    match (known, condition_of) {
        (Some(holds), _) => (holds != negated).then_some(()),
        (None, Some(value)) => {
            matches.headers.push(condition(":hostname", value, negated));
            Some(())
        }
        (None, None) => Some(()),
    }
}

/// The route's own path condition: of those that must hold the one that says most.
fn path(alternative: &Alternative<Matcher>) -> PathMatch {
    let asked = || {
        let positive = alternative.iter().filter(|literal| !literal.negated);
        positive.map(|literal| &literal.matcher)
    };
    let exact = asked().find_map(|matcher| match matcher {
        Matcher::Path(path) => Some(PathMatch::Exact(path.as_str().into())),
        _ => None,
    });
    let prefix = || {
        let prefixes = asked().filter_map(|matcher| match matcher {
            Matcher::PathPrefix(prefix) => Some(prefix),
            _ => None,
        });
        let longest = prefixes.max_by_key(|prefix| prefix.len())?;
        Some(PathMatch::Prefix(longest.as_str().into()))
    };
    let any = || PathMatch::Prefix("/".into());
    exact.or_else(prefix).unwrap_or_else(any)
}

/// Whether a condition on the path follows from the route's own.
fn is_own(matcher: &Matcher, own: &PathMatch) -> bool {
    match (matcher, own) {
        (Matcher::Path(path), PathMatch::Exact(own)) => **path == **own,
        (Matcher::PathPrefix(prefix), PathMatch::Prefix(own) | PathMatch::Exact(own)) => {
            own.starts_with(prefix.as_str())
        }
        _ => false,
    }
}

fn path_condition(matcher: &Matcher) -> TextMatch {
    match matcher {
        Matcher::Path(path) => TextMatch::Exact(path.as_str().into()),
        Matcher::PathRegexp(pattern) => pattern.condition(),
        Matcher::PathPrefix(prefix) => TextMatch::Prefix(prefix.as_str().into()),
        Matcher::Host(_)
        | Matcher::HostRegexp(_)
        | Matcher::Method(_)
        | Matcher::Header(..)
        | Matcher::HeaderRegexp(..)
        | Matcher::Query(..)
        | Matcher::QueryRegexp(..)
        | Matcher::ClientIp(_)
        | Matcher::Never => TextMatch::Present,
    }
}

/// A condition on a header or on a part of the request.
pub(super) fn condition(name: &str, value: TextMatch, invert: bool) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value,
        invert,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

fn param(key: &str, value: TextMatch, invert: bool) -> ParamMatch {
    ParamMatch {
        name: key.into(),
        value,
        invert,
    }
}
