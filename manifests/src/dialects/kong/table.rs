//! Kong's one list of routes as virtual hosts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proxy_core::config::{
    Absent, Cors, Gate, HeaderMatch, PathMatch, Route, RouteAction, RouteMatch, RouteTable,
    TextMatch, VirtualHost,
};
use proxy_core::origin::OriginId;

use super::paths::Rank;

/// A route with one path, ready to be ordered.
#[derive(Clone, Debug)]
pub(super) struct KongRoute {
    /// `namespace.ingress.service.host.port`, as the controller calls it, and the path.
    pub(super) name: String,
    /// Lower case, `*.suffix` and `prefix.*` among them; none: any.
    pub(super) hosts: Vec<String>,
    /// The path.
    pub(super) path: PathMatch,
    /// Methods, none: any.
    pub(super) methods: Vec<String>,
    /// Headers, all of them.
    pub(super) headers: Vec<HeaderMatch>,
    /// Where it stands.
    pub(super) rank: Rank,
    /// What it does for requests in plaintext.
    pub(super) plain: RouteAction,
    /// What it does for requests in TLS.
    pub(super) tls: RouteAction,
    /// What requests pass before that, unless they are to come again in TLS.
    pub(super) gates: Vec<Gate>,
    /// Which pages of other origins may read answers, unless requests are to come again in TLS.
    pub(super) cors: Option<Cors>,
    /// Whether plaintext is served.
    pub(super) takes_plaintext: bool,
    /// The rule.
    pub(super) origin: OriginId,
}

/// Which requests a table is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Those that came in plaintext.
    Plain,
    /// Those that came in TLS.
    Tls,
}

/// The virtual hosts that give Kong's answer for every host: one for each host written in full, and one for all others.
///
/// Kong has no virtual hosts: a route without hosts may come before one with the very host when it asks for more. So each virtual host
/// has every route that may take its requests, in Kong's order. A wildcard matches any number of labels, and a port in the request's
/// Host does not count. Source: Kong `kong/router/transform.lua` (`get_expression`).
pub(super) fn route_table(
    name: &str,
    mut routes: Vec<KongRoute>,
    side: Side,
    origin: OriginId,
) -> RouteTable {
    routes.sort_by_key(|route| Reverse(route.rank));
    let mut hosts: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
    let exact = routes
        .iter()
        .flat_map(|route| &route.hosts)
        .filter(|host| !host.contains('*'));
    for host in exact {
        hosts.entry(host).or_default();
    }
    let mut others = Vec::new();
    for route in &routes {
        for (host, list) in &mut hosts {
            if route.hosts.is_empty()
                || route
                    .hosts
                    .iter()
                    .any(|pattern| host_matches(pattern, host))
            {
                list.push(route.compiled(side, None));
            }
        }
        let wildcards: Vec<&str> = route
            .hosts
            .iter()
            .map(String::as_str)
            .filter(|host| host.contains('*'))
            .collect();
        if route.hosts.is_empty() {
            others.push(route.compiled(side, None));
        } else if !wildcards.is_empty() {
            others.push(route.compiled(side, Some(host_condition(&wildcards))));
        }
    }
    let mut virtual_hosts: Vec<VirtualHost> = hosts
        .into_iter()
        .map(|(host, routes)| virtual_host(host, routes, origin))
        .collect();
    virtual_hosts.push(virtual_host("*", others, origin));
    RouteTable {
        name: name.into(),
        virtual_hosts,
        ignore_port: true,
    }
}

fn virtual_host(domain: &str, routes: Vec<Route>, origin: OriginId) -> VirtualHost {
    VirtualHost {
        name: domain.into(),
        domains: vec![domain.into()],
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
        origin,
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => host.ends_with(suffix),
        (None, Some(prefix)) => host.starts_with(prefix),
        (None, None) => pattern == host,
    }
}

/// Takes the hosts that one of the wildcards matches, whatever port follows.
fn host_condition(wildcards: &[&str]) -> HeaderMatch {
    let patterns: Vec<String> = wildcards
        .iter()
        .map(|host| regex::escape(host).replace("\\*", "[^:]*"))
        .collect();
    let value = TextMatch::regex(&format!("(?i:{})(?::[0-9]+)?", patterns.join("|")))
        .expect("escaped hosts make a small pattern");
    HeaderMatch {
        name: ":authority".into(),
        value,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

impl KongRoute {
    fn compiled(&self, side: Side, host: Option<HeaderMatch>) -> Route {
        let mut matches = RouteMatch::path(self.path.clone());
        matches.methods = self
            .methods
            .iter()
            .map(|method| method.as_str().into())
            .collect();
        matches.headers = host
            .into_iter()
            .chain(self.headers.iter().cloned())
            .collect();
        let action = match side {
            Side::Plain => &self.plain,
            Side::Tls => &self.tls,
        };
        // what is to come again in TLS meets no plugin
        let meets_plugins = side == Side::Tls || self.takes_plaintext;
        Route {
            name: self.name.as_str().into(),
            matches,
            action: action.clone(),
            request_edits: Vec::new(),
            response_edits: Vec::new(),
            fault: None,
            rate_limit: None,
            gates: match meets_plugins {
                true => self.gates.clone(),
                false => Vec::new(),
            },
            cors: self.cors.clone().filter(|_| meets_plugins).map(Box::new),
            tracing: None,
            origin: self.origin,
        }
    }
}
