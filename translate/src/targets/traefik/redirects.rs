//! Redirects as middlewares.

use compare::Area;
use proxy_core::config::{PathMatch, PathRedirect, Redirect};

use super::Writer;
use crate::targets::edge::flat::{Rule, Sides};
use crate::targets::edge::patterns;
use crate::yaml::Map;

/// The parts of a URL before its path: scheme, host, port.
const FRONT: &str = r"^(https?)://(\[[\w:.]+\]|[\w._-]+)(:\d+)?";

impl Writer<'_, '_> {
    /// The middleware of a redirect; none: it cannot be said, which is told.
    pub(super) fn redirect(
        &mut self,
        rule: &Rule<'_>,
        redirect: &Redirect,
    ) -> Option<(&'static str, Map)> {
        let origin = rule.route().origin;
        let permanent = matches!(redirect.status, 301 | 308);
        let (get, others) = if permanent { (301, 308) } else { (302, 307) };
        if redirect.status != get || redirect.status != others {
            let what = format!("every request is redirected with {}", redirect.status);
            let why = format!("Traefik redirects GET with {get} and other methods with {others}");
            self.lose(rule, Area::Redirect, origin, what, why, "");
        }
        if let Some(spec) = to_scheme(redirect, rule.sides) {
            let spec = permanently(spec, permanent);
            return Some(("to-https", Map::new().with("redirectScheme", spec)));
        }
        let matched = &rule.matches.path;
        let (regex, to) = match by_pattern(redirect, matched) {
            Some(said) => said,
            None => {
                let why = "Traefik replaces what one pattern over the whole URL matches";
                let what = "a redirect to a path that a regular expression makes";
                self.lose(
                    rule,
                    Area::Redirect,
                    origin,
                    what,
                    why,
                    "the path stays as it was asked for",
                );
                let plain = Redirect {
                    path: None,
                    ..redirect.clone()
                };
                if let Some(spec) = to_scheme(&plain, rule.sides) {
                    let spec = permanently(spec, permanent);
                    return Some(("to-https", Map::new().with("redirectScheme", spec)));
                }
                by_pattern(&plain, matched)?
            }
        };
        let spec = Map::new().with("regex", regex).with("replacement", to);
        let spec = permanently(spec, permanent);
        Some(("redirect", Map::new().with("redirectRegex", spec)))
    }
}

fn permanently(mut spec: Map, permanent: bool) -> Map {
    if permanent {
        spec.set("permanent", true);
    }
    spec
}

/// A redirect to another scheme and nothing else.
fn to_scheme(redirect: &Redirect, sides: Sides) -> Option<Map> {
    let scheme = redirect.scheme.as_deref()?;
    let changes_more = redirect.host.is_some() || redirect.path.is_some() || redirect.strip_query;
    // where it has the scheme already a request would go on
    let is_other = match sides {
        Sides::Plain => scheme == "https",
        Sides::Tls => scheme == "http",
        Sides::Both => false,
    };
    if changes_more || !is_other {
        return None;
    }
    let own = if scheme == "https" { 443 } else { 80 };
    let port = redirect.port.filter(|port| *port != own);
    Some(
        Map::new()
            .with("scheme", scheme)
            .maybe("port", port.map(|port| port.to_string())),
    )
}

/// The pattern over the whole URL, and what it becomes.
fn by_pattern(redirect: &Redirect, matched: &PathMatch) -> Option<(String, String)> {
    if let Some(PathRedirect::Url(regex, to)) = &redirect.path {
        return Some((regex.as_str().to_owned(), patterns::dollars(to)));
    }
    let scheme = redirect.scheme.as_deref().unwrap_or("${1}");
    let host = redirect
        .host
        .as_deref()
        .map_or_else(|| "${2}".to_owned(), literal);
    let own = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let port = match redirect.port {
        Some(port) if redirect.omits_own_port && Some(port) == own => String::new(),
        Some(port) => format!(":{port}"),
        // another scheme has a port of its own, and so has another host that names one
        None if redirect.scheme.is_some() || redirect.host.is_some() => String::new(),
        None => "${3}".to_owned(),
    };
    let (path, to) = match &redirect.path {
        None => (r"([^?]*)".to_owned(), "${4}".to_owned()),
        Some(PathRedirect::Full(to)) => (r"([^?]*)".to_owned(), literal(to)),
        Some(PathRedirect::Prefix(to)) => {
            let prefix = prefix(matched)?;
            (
                format!(r"{}([^?]*)", patterns::escaped(prefix)),
                format!("{}${{4}}", literal(to)),
            )
        }
        Some(PathRedirect::JoinedPrefix(to)) => {
            let prefix = patterns::escaped(prefix(matched)?.trim_end_matches('/'));
            match to.trim_end_matches('/') {
                "" => (format!(r"{prefix}/*([^?]*)"), "/${4}".to_owned()),
                base if to.ends_with('/') => (
                    format!(r"{prefix}/?([^?]*)"),
                    format!("{}/${{4}}", literal(base)),
                ),
                base => (
                    format!(r"{prefix}([^?]*)"),
                    format!("{}${{4}}", literal(base)),
                ),
            }
        }
        Some(PathRedirect::Regex(..) | PathRedirect::Url(..)) => return None,
    };
    let query = if redirect.strip_query { "" } else { "${5}" };
    let regex = format!(r"{FRONT}{path}(\?.*)?$");
    Some((regex, format!("{scheme}://{host}{port}{to}{query}")))
}

/// What a path begins with that a rule takes.
fn prefix(matched: &PathMatch) -> Option<&str> {
    match matched {
        PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Segments(path) => Some(path),
        PathMatch::Regex(_) | PathMatch::RegexStart(_) | PathMatch::Connect => None,
    }
}

/// Text that stands for itself in a replacement.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect() -> Redirect {
        Redirect {
            status: 302,
            scheme: None,
            host: None,
            port: None,
            path: None,
            strip_query: false,
            omits_own_port: true,
        }
    }

    fn location(redirect: &Redirect, matched: &PathMatch, url: &str) -> String {
        let (pattern, to) = by_pattern(redirect, matched).expect("it can be said");
        let pattern = regex::Regex::new(&pattern).expect("valid");
        pattern.replace(url, to.as_str()).into_owned()
    }

    #[test]
    fn another_scheme_alone_has_a_middleware_of_its_own() {
        let https = Redirect {
            scheme: Some("https".into()),
            port: Some(443),
            ..redirect()
        };
        let expected = Map::new().with("scheme", "https");
        assert_eq!(to_scheme(&https, Sides::Plain), Some(expected));
        assert_eq!(to_scheme(&https, Sides::Both), None);
        let odd = Redirect {
            port: Some(8443),
            ..https.clone()
        };
        let expected = Map::new().with("scheme", "https").with("port", "8443");
        assert_eq!(to_scheme(&odd, Sides::Plain), Some(expected));
        let host = Redirect {
            host: Some("a".into()),
            ..https
        };
        assert_eq!(to_scheme(&host, Sides::Plain), None);
    }

    #[test]
    fn other_redirects_replace_the_whole_url() {
        let all = PathMatch::segments("/");
        let old = PathMatch::segments("/old");
        let host = Redirect {
            host: Some("new.example.com".into()),
            ..redirect()
        };
        let full = Redirect {
            path: Some(PathRedirect::Full("/b".into())),
            strip_query: true,
            ..redirect()
        };
        let joined = Redirect {
            path: Some(PathRedirect::JoinedPrefix("/new".into())),
            ..redirect()
        };
        let rooted = Redirect {
            path: Some(PathRedirect::JoinedPrefix("/".into())),
            ..redirect()
        };
        for (to, matched, url, expected) in [
            (
                &host,
                &all,
                "http://a.com:81/x?y=1",
                "http://new.example.com/x?y=1",
            ),
            (&full, &all, "http://a.com:81/x?y=1", "http://a.com:81/b"),
            (
                &joined,
                &old,
                "https://a.com/old/x?y",
                "https://a.com/new/x?y",
            ),
            (&joined, &old, "https://a.com/old", "https://a.com/new"),
            (&rooted, &old, "https://a.com/old/x", "https://a.com/x"),
            (&rooted, &old, "https://a.com/old", "https://a.com/"),
        ] {
            assert_eq!(location(to, matched, url), expected);
        }
    }

    #[test]
    fn a_path_that_a_pattern_makes_cannot_be_said() {
        let pattern = regex::Regex::new("/$").expect("valid");
        let odd = Redirect {
            path: Some(PathRedirect::Regex(Box::new(pattern), "".into())),
            ..redirect()
        };
        assert_eq!(by_pattern(&odd, &PathMatch::segments("/")), None);
    }
}
