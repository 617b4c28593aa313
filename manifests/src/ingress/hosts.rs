//! Hosts of Ingresses as virtual hosts: one for each host written in full, one for each wildcard, one for all others.

use proxy_core::config::{Absent, HeaderMatch, Route, RouteTable, TextMatch, VirtualHost};
use proxy_core::origin::OriginId;

/// The host of all requests that no other host has.
pub(crate) const ANY_HOST: &str = "*";

/// The routes of a host.
#[derive(Clone, Debug)]
pub(crate) struct HostRoutes {
    /// The host, perhaps with `*.` for one label at its start, or [`ANY_HOST`].
    pub(crate) host: String,
    /// Other hosts served alike; `*.` at the start takes any number of labels.
    pub(crate) aliases: Vec<String>,
    /// In the order in which they are tried.
    pub(crate) routes: Vec<Route>,
    /// The first Ingress that has it.
    pub(crate) origin: OriginId,
}

/// The virtual hosts of Ingresses' hosts.
///
/// A wildcard takes one label: what has more of them goes where the requests of other hosts go. A port in the request's Host does not count.
/// Source: Kubernetes `networking.k8s.io/v1` (`IngressRule.host`).
pub(crate) fn route_table(name: &str, hosts: Vec<HostRoutes>) -> RouteTable {
    let default = hosts.iter().find(|it| it.host == ANY_HOST);
    let default: Vec<Route> = default.map_or_else(Vec::new, |it| it.routes.clone());
    let virtual_hosts = hosts.into_iter().map(|host| {
        let mut domains: Vec<Box<str>> = vec![host.host.as_str().into()];
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

/// Takes hosts with one label before `rest`, and the others that are served alike, whatever port follows.
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
        // a pattern that is too long takes no request
        value: value.unwrap_or_else(|_| TextMatch::Exact("\0".into())),
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}
