//! Servers as virtual hosts: one for each host written in full, one for each wildcard, one for all others.

use proxy_core::config::{
    Absent, HeaderMatch, PathMatch, Route, RouteTable, TextMatch, VirtualHost,
};
use proxy_core::origin::OriginId;

use super::policy::DEFAULT_HOST;

/// The routes of a server.
#[derive(Clone, Debug)]
pub(super) struct HostRoutes {
    /// Its host, or [`DEFAULT_HOST`].
    pub(super) host: String,
    /// Other hosts; `*.` at the start takes any number of labels.
    pub(super) aliases: Vec<String>,
    /// In the order in which they are tried.
    pub(super) routes: Vec<Route>,
    /// The first Ingress that has it.
    pub(super) origin: OriginId,
}

/// The virtual hosts of servers.
///
/// A wildcard takes one label: what has more of them goes to the default server. A port in the request's Host does not count. Source:
/// `internal/ingress/controller/template/template.go` (`buildServerName`).
pub(super) fn route_table(name: &str, hosts: Vec<HostRoutes>) -> RouteTable {
    let default = hosts.iter().find(|it| it.host == DEFAULT_HOST);
    let default: Vec<Route> = default.map_or_else(Vec::new, |it| it.routes.clone());
    let virtual_hosts = hosts.into_iter().map(|host| {
        let mut domains: Vec<Box<str>> = vec![match host.host.as_str() {
            DEFAULT_HOST => "*".into(),
            host => host.into(),
        }];
        domains.extend(host.aliases.iter().map(|alias| alias.as_str().into()));
        let routes = match host.host.strip_prefix("*.") {
            Some(rest) => {
                let mut routes = host.routes;
                for route in &mut routes {
                    route.matches.headers.push(one_label(rest, &host.aliases));
                }
                routes.extend(default.iter().cloned());
                routes
            }
            None => host.routes,
        };
        VirtualHost {
            name: host.host.as_str().into(),
            domains,
            routes,
            attempt_count: false,
            attempt_count_in_response: false,
            origin: host.origin,
        }
    });
    RouteTable {
        name: name.into(),
        virtual_hosts: virtual_hosts.collect(),
        ignore_port: true,
    }
}

/// Takes hosts with one label before `rest`, and the other hosts of their server, whatever port follows.
fn one_label(rest: &str, aliases: &[String]) -> HeaderMatch {
    let mut hosts = vec![format!(r"[\w-]+\.{}", regex::escape(rest))];
    for alias in aliases {
        hosts.push(match alias.strip_prefix("*.") {
            Some(rest) => format!(r".+\.{}", regex::escape(rest)),
            None => regex::escape(alias),
        });
    }
    let value = TextMatch::regex(&format!("(?i:{})(?::[0-9]+)?", hosts.join("|")));
    HeaderMatch {
        name: ":authority".into(),
        value: value.expect("escaped hosts make a small pattern"),
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// How the path of a location is compared: as it is, or as a regular expression at the start of paths, whatever its case and whatever the
/// path's type.
///
/// Source: `buildLocation`.
///
/// # Errors
/// When the regular expression does not compile.
pub(super) fn path_match(path: &str, exact: bool, regex: bool) -> Result<PathMatch, regex::Error> {
    if regex {
        return PathMatch::regex_start(&format!("(?i){}", rust_pattern(path)));
    }
    Ok(match exact {
        true => PathMatch::Exact(path.into()),
        false => PathMatch::Prefix(path.into()),
    })
}

/// A pattern of PCRE in the `regex` crate's words.
pub(super) fn rust_pattern(pattern: &str) -> String {
    // groups with names; look-behind begins alike
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find("(?<") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let after = &found[3..];
        let is_name = !after.starts_with(['=', '!']);
        out.push_str(if is_name { "(?P<" } else { "(?<" });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups_are_written_as_the_regex_crate_has_them() {
        let rows = [
            ("/a", "/a"),
            ("/(?<v>v1)/(?<w>x)", "/(?P<v>v1)/(?P<w>x)"),
            ("/(?P<v>v1)", "/(?P<v>v1)"),
            ("(?<=a)b", "(?<=a)b"),
        ];
        for (pattern, expected) in rows {
            assert_eq!(rust_pattern(pattern), expected, "{pattern}");
        }
    }
}
