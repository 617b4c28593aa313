//! A request that a route takes, to be followed further.

use proxy_core::config::{PathMatch, Route, RouteMatch, TextMatch, VirtualHost};
use proxy_core::heads::{HeadWriter, OwnedHead};
use proxy_core::route::{Departure, write_request};

/// A request that `route` of `host` takes, as far as its conditions show one.
pub(super) fn sample_of(host: &VirtualHost, route: &Route) -> OwnedHead {
    let matches = &route.matches;
    let method = matches.methods.first().map_or("GET", |method| method);
    let domain = host.domains.first().map_or("*", |domain| domain);
    let mut sample = OwnedHead::new(method, false, &authority_of(domain), &path_of(matches));
    for condition in matches.headers.iter().filter(|it| !it.invert) {
        let value = match &condition.value {
            TextMatch::Exact(text)
            | TextMatch::Prefix(text)
            | TextMatch::Suffix(text)
            | TextMatch::Contains(text) => Some(&**text),
            TextMatch::Present
            | TextMatch::Regex(_)
            | TextMatch::Range(..)
            | TextMatch::Address(_) => None,
        };
        match (&*condition.name, value) {
            (":authority" | ":hostname" | "host", Some(host)) => {
                host.clone_into(&mut sample.authority)
            }
            (":method", Some(method)) => method.clone_into(&mut sample.method),
            (":path" | ":pathname", Some(path)) if path.starts_with('/') => {
                path.clone_into(&mut sample.path);
            }
            (name, _) if name.starts_with(':') => {}
            (name, value) => sample.append(name, value.unwrap_or("x")),
        }
    }
    sample
}

/// A request as `route` sends it to its cluster of this place, whose endpoint is called `endpoint`.
pub(super) fn sent_through(
    head: &OwnedHead,
    route: &Route,
    weighted: usize,
    endpoint: &str,
) -> OwnedHead {
    let mut out = head.clone();
    let departure = Departure {
        weighted,
        endpoint_host: endpoint,
        tells: false,
        ..Departure::PLAIN
    };
    write_request(route, head.view(), departure, &mut out);
    out
}

/// A name that a domain takes; `*` takes any.
fn authority_of(domain: &str) -> String {
    match domain {
        "*" => "client.example".to_owned(),
        _ => match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(suffix), _) => format!("any{suffix}"),
            (None, Some(prefix)) => format!("{prefix}any"),
            (None, None) => domain.to_owned(),
        },
    }
}

/// A path that a condition takes; of a pattern, what it begins with.
fn path_of(matches: &RouteMatch) -> String {
    let path = match &matches.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Segments(path) => {
            path.to_string()
        }
        PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => {
            literal_start(regex.as_str()).to_owned()
        }
        PathMatch::Connect => String::new(),
    };
    match path.starts_with('/') {
        true => path,
        false => format!("/{path}"),
    }
}

/// What every match of a pattern of paths begins with, as far as that is plain to see: the core puts `^(?:…)` around it.
pub(super) fn literal_start(pattern: &str) -> &str {
    let inner = pattern.strip_prefix("^(?:").unwrap_or(pattern);
    let inner = inner.strip_prefix('^').unwrap_or(inner);
    if inner.contains('|') {
        return "";
    }
    let special = |c: char| r".+*?()[]{}\^$".contains(c);
    let Some(at) = inner.find(special) else {
        return inner;
    };
    // what may be left out, or stand several times, is no part of it
    let optional = inner[at..].starts_with(['?', '*', '{']);
    let last = inner[..at].chars().next_back().filter(|_| optional);
    &inner[..at - last.map_or(0, char::len_utf8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_shows_what_its_matches_begin_with() {
        for (pattern, expected) in [
            ("^(?:/api/v1/.*)$", "/api/v1/"),
            ("^(?:/api/v[0-9]+)", "/api/v"),
            ("^(?:/items?/x)$", "/item"),
            ("^(?:/a|/b)$", ""),
            ("^(?:(?i)/a)$", ""),
            ("^/plain", "/plain"),
        ] {
            assert_eq!(literal_start(pattern), expected, "{pattern}");
        }
    }
}
