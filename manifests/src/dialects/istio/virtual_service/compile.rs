//! Policies to routes.

use std::collections::BTreeSet;

use proxy_core::config::{
    ChainAction, CloseReason, Forward, HostRewrite, Mirror, Name, PathRedirect, Redirect, Route,
    RouteAction, RouteMatch, TcpRoute, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::super::release::Release;
use super::matching::takes_all;
use super::names::{MESH, is_wildcard, is_within};
use super::policy::{
    Action, Condition, DestinationPolicy, Edits, ForwardPolicy, L4Condition, L4Rule,
    RedirectPolicy, RedirectPort, Rule, Target, VirtualServicePolicy,
};
use super::references::Registry;
use super::retries::retry_policy;
use super::{Caller, Destinations, KIND, L4Chain, RouteDefaults, Server, VirtualServices, read};
use crate::dialects::Compile;

/// A connection carried as bytes ends after this long without any. Source: Envoy v3 `TcpProxy.idle_timeout`.
const TCP_IDLE: Duration = Duration::from_secs(3600);

impl VirtualServices {
    /// Reads and checks all of them.
    pub(in super::super) fn read(cx: &mut Compile<'_>) -> Self {
        let registry = Registry::of(cx);
        let written = read::written(cx);
        for one in &written {
            registry.check(one, cx.diagnostics);
        }
        Self {
            all: read::policies(&written, cx),
            registry,
        }
    }

    /// The routes, in their order, for requests of `caller` to a host and port; none: no VirtualService governs it there, so that its own
    /// default route counts.
    ///
    /// `host` is complete; `gateway` is `mesh` for sidecars, else `namespace/name`. Of several for one host the oldest that has a route for
    /// this caller and port counts; an exact host comes before wildcards, the longest of these first.
    pub(in super::super) fn routes(
        &self,
        host: &str,
        port: u16,
        caller: Caller<'_>,
        gateway: &str,
        to: &mut dyn Destinations,
        defaults: &RouteDefaults,
    ) -> Option<Vec<Route>> {
        let host = host.to_ascii_lowercase();
        let at = Place {
            port,
            caller,
            gateway,
            defaults,
            registry: &self.registry,
        };
        let bound = || self.bound(caller, gateway);
        let mut exact = bound().filter(|one| one.hosts.contains(&host)).peekable();
        if exact.peek().is_some() {
            let mut routes = exact.map(|one| at.routes_of(one, to));
            return routes.find(|routes| !routes.is_empty());
        }
        let fit = |one: &VirtualServicePolicy| {
            let fitting = one.hosts.iter().filter(|it| is_within(&host, it));
            fitting.map(String::len).max()
        };
        // of equally long wildcards the first, which is the oldest
        let mut best: Option<(usize, &VirtualServicePolicy)> = None;
        for one in bound() {
            if let Some(len) = fit(one)
                && best.is_none_or(|(longest, _)| len > longest)
            {
                best = Some((len, one));
            }
        }
        Some(at.routes_of(best?.1, to)).filter(|routes| !routes.is_empty())
    }

    /// Hosts of VirtualServices that nobody has who listens on a port, in order: sidecars serve them beside those that are there, and on port
    /// 80 without any, by their Host alone.
    ///
    /// `all` are the hosts with that port, `http` those of them that read requests. Source: istio 1.31
    /// `pilot/pkg/networking/core/route/route.go` (`separateVSHostsAndServices`, `buildSidecarVirtualHostsForVirtualService`).
    pub(in super::super) fn hosts(
        &self,
        caller: Caller<'_>,
        port: u16,
        all: &BTreeSet<&str>,
        http: &BTreeSet<&str>,
    ) -> BTreeSet<String> {
        let has = |known: &BTreeSet<&str>, host: &String| match is_wildcard(host) {
            true => known.iter().any(|it| is_within(it, host)),
            false => known.contains(host.as_str()),
        };
        let serves = |one: &&VirtualServicePolicy| {
            port == 80 || one.hosts.iter().any(|host| has(http, host))
        };
        let bound = self.bound(caller, MESH).filter(serves);
        let hosts = bound.flat_map(|one| &one.hosts);
        hosts.filter(|host| !has(all, host)).cloned().collect()
    }

    /// The one that sidecars of a caller go by toward a host, by name: a whole name beats wildcards.
    pub(in super::super) fn of_sidecars(
        &self,
        host: &str,
        caller: Caller<'_>,
    ) -> Option<(String, OriginId)> {
        let whole = |one: &VirtualServicePolicy| one.hosts.iter().any(|it| it == host);
        let mut all = self.governing(host, caller, MESH);
        let first = all.next()?;
        let one = std::iter::once(first).chain(all).find(|one| whole(one));
        let one = one.unwrap_or(first);
        let name = format!("{KIND}/{}/{}", one.namespace, one.name);
        Some((name, one.origin))
    }

    /// What tells callers apart beyond their namespace: whether their labels are those that some condition asks for.
    pub(in super::super) fn tells_apart(&self, caller: Caller<'_>) -> String {
        let http = self.all.iter().flat_map(|one| &one.http);
        let http = http.flat_map(|rule| &rule.conditions);
        let l4 = self
            .all
            .iter()
            .flat_map(|one| one.tls.iter().chain(&one.tcp));
        let l4 = l4.flat_map(|rule| &rule.conditions);
        let audiences = http
            .map(|condition| &condition.audience)
            .chain(l4.map(|condition| &condition.audience));
        let asked = audiences.filter(|audience| !audience.labels.is_empty());
        asked
            .map(|audience| {
                if crate::model::selects(&audience.labels, caller.labels) {
                    '1'
                } else {
                    '0'
                }
            })
            .collect()
    }

    /// Chains by server name for TLS connections to a host and port that are not looked into; empty: no VirtualService governs them.
    pub(in super::super) fn tls(
        &self,
        host: &str,
        port: u16,
        caller: Caller<'_>,
        gateway: &str,
        to: &mut dyn Destinations,
        defaults: &RouteDefaults,
    ) -> Vec<L4Chain> {
        let at = Place {
            port,
            caller,
            gateway,
            defaults,
            registry: &self.registry,
        };
        let mut chains = Vec::new();
        for one in self.governing(host, caller, gateway) {
            at.tls_of(one, to, &mut chains);
        }
        chains
    }

    /// Chains for other connections to a host and port; empty: no VirtualService governs them. The last one may take any address.
    pub(in super::super) fn tcp(
        &self,
        host: &str,
        port: u16,
        caller: Caller<'_>,
        gateway: &str,
        to: &mut dyn Destinations,
        defaults: &RouteDefaults,
    ) -> Vec<L4Chain> {
        let at = Place {
            port,
            caller,
            gateway,
            defaults,
            registry: &self.registry,
        };
        let mut chains = Vec::new();
        for one in self.governing(host, caller, gateway) {
            if at.tcp_of(one, to, &mut chains) {
                break;
            }
        }
        chains
    }

    /// What a gateway's server makes of every VirtualService that is bound to it, the oldest first: those whose hosts it shares, with the
    /// shared hosts and their routes.
    pub(in super::super) fn served(
        &self,
        server: &Server<'_>,
        to: &mut dyn Destinations,
        defaults: &RouteDefaults,
    ) -> Vec<(Vec<String>, Vec<Route>)> {
        let at = self.place(server, defaults);
        let bound = self.bound(server.caller, server.gateway);
        let shared = bound.map(|one| (one, server.shared(&one.hosts, &one.namespace)));
        let shared = shared.filter(|(_, hosts)| !hosts.is_empty());
        shared
            .map(|(one, hosts)| (hosts, at.routes_of(one, to)))
            .collect()
    }

    /// The hosts that a gateway's server shares with what is bound to it.
    pub(in super::super) fn shared_hosts(&self, server: &Server<'_>) -> BTreeSet<String> {
        let bound = self.bound(server.caller, server.gateway);
        bound
            .flat_map(|one| server.shared(&one.hosts, &one.namespace))
            .collect()
    }

    /// The chains of a gateway's server that carries bytes: by server name where it looks at TLS without ending it.
    pub(in super::super) fn carried(
        &self,
        server: &Server<'_>,
        passes_tls: bool,
        to: &mut dyn Destinations,
        defaults: &RouteDefaults,
    ) -> Vec<L4Chain> {
        let at = self.place(server, defaults);
        let mut chains = Vec::new();
        for one in self.bound(server.caller, server.gateway) {
            if server.shared(&one.hosts, &one.namespace).is_empty() {
                continue;
            }
            if passes_tls {
                at.tls_of(one, to, &mut chains);
            } else if at.tcp_of(one, to, &mut chains) {
                break;
            }
        }
        chains
    }

    /// Where VirtualServices are written that a gateway takes, and that share no host with any of its servers.
    pub(in super::super) fn unserved<'a>(
        &'a self,
        gateway: &'a str,
        servers: &'a [Server<'a>],
    ) -> impl Iterator<Item = OriginId> + 'a {
        let bound = self.all.iter();
        let bound = bound.filter(move |one| one.gateways.iter().any(|it| it == gateway));
        bound
            .filter(|one| {
                let mut servers = servers.iter();
                !servers.any(|server| !server.shared(&one.hosts, &one.namespace).is_empty())
            })
            .map(|one| one.origin)
    }

    fn place<'a>(&'a self, server: &Server<'a>, defaults: &'a RouteDefaults) -> Place<'a> {
        Place {
            port: server.port,
            caller: server.caller,
            gateway: server.gateway,
            defaults,
            registry: &self.registry,
        }
    }

    /// Those that a gateway takes and its caller sees, the oldest first.
    fn bound<'a>(
        &'a self,
        caller: Caller<'a>,
        gateway: &'a str,
    ) -> impl Iterator<Item = &'a VirtualServicePolicy> {
        self.all.iter().filter(move |one| {
            one.gateways.iter().any(|it| it == gateway)
                && one.exported.shows(&one.namespace, caller.namespace)
        })
    }

    fn governing<'a>(
        &'a self,
        host: &'a str,
        caller: Caller<'a>,
        gateway: &'a str,
    ) -> impl Iterator<Item = &'a VirtualServicePolicy> {
        let takes =
            move |one: &&VirtualServicePolicy| one.hosts.iter().any(|it| is_within(host, it));
        self.bound(caller, gateway).filter(takes)
    }
}

/// Where routes are made for.
#[derive(Clone, Copy)]
struct Place<'a> {
    port: u16,
    caller: Caller<'a>,
    gateway: &'a str,
    defaults: &'a RouteDefaults,
    registry: &'a Registry,
}

impl Place<'_> {
    /// The routes of one VirtualService; none follow a route that takes everything.
    fn routes_of(&self, one: &VirtualServicePolicy, to: &mut dyn Destinations) -> Vec<Route> {
        let mut routes = Vec::new();
        for (nth, rule) in one.http.iter().enumerate() {
            if rule.conditions.is_empty() {
                let name = name_of(one, nth, rule, None);
                routes.push(self.route(name, rule, RouteMatch::all(), to));
                break;
            }
            for condition in &rule.conditions {
                if !self.takes_requests(condition) {
                    continue;
                }
                let name = name_of(one, nth, rule, Some(condition));
                routes.push(self.route(name, rule, condition.matches.clone(), to));
                if condition.scheme.is_none() && takes_all(&condition.matches) {
                    return routes;
                }
            }
        }
        routes
    }

    fn takes_requests(&self, condition: &Condition) -> bool {
        let of_scheme = condition.scheme.as_ref();
        let audience = &condition.audience;
        audience.takes_requests(self.caller, self.gateway, self.port)
            && of_scheme.is_none_or(|scheme| scheme.matches(self.defaults.scheme))
    }

    fn takes_connections(&self, condition: &L4Condition) -> bool {
        let audience = &condition.audience;
        audience.takes_connections(self.caller, self.gateway, self.port)
    }

    /// Adds a chain for each condition of one VirtualService's `tls` whose like is not there yet.
    fn tls_of(
        &self,
        one: &VirtualServicePolicy,
        to: &mut dyn Destinations,
        chains: &mut Vec<L4Chain>,
    ) {
        for rule in &one.tls {
            for condition in &rule.conditions {
                let handled = |chain: &L4Chain| {
                    chain.server_names == condition.server_names
                        && chain.destinations == condition.destinations
                };
                if self.takes_connections(condition) && !chains.iter().any(handled) {
                    chains.push(self.chain(rule, condition, to));
                }
            }
        }
    }

    /// Adds the chains of one VirtualService's `tcp`; whether the last of them takes any address, so that none may follow.
    fn tcp_of(
        &self,
        one: &VirtualServicePolicy,
        to: &mut dyn Destinations,
        chains: &mut Vec<L4Chain>,
    ) -> bool {
        let everything = L4Condition::default();
        for rule in &one.tcp {
            let conditions = rule.conditions.iter();
            let taken = conditions.filter(|one| self.takes_connections(one));
            let any = if rule.conditions.is_empty() {
                Some(&everything)
            } else {
                taken.clone().find(|one| one.destinations.is_empty())
            };
            if let Some(any) = any {
                chains.push(self.chain(rule, any, to));
                return true;
            }
            chains.extend(taken.map(|condition| self.chain(rule, condition, to)));
        }
        false
    }

    fn route(
        &self,
        name: Name,
        rule: &Rule,
        matches: RouteMatch,
        to: &mut dyn Destinations,
    ) -> Route {
        let mut edits = rule.edits.clone();
        let action = match &rule.action {
            Action::Forward(policy) => self.forward(policy, &mut edits, to),
            Action::Redirect(redirect) => RouteAction::Redirect(Box::new(self.redirect(redirect))),
            Action::Direct(response) => RouteAction::Direct(response.clone()),
        };
        Route {
            name,
            matches,
            action,
            request_edits: edits.of_request(),
            response_edits: edits.of_response(),
            fault: rule.fault.clone().map(Box::new),
            rate_limit: None,
            gates: Vec::new(),
            cors: rule.cors.clone().map(Box::new),
            tracing: None,
            origin: rule.origin,
        }
    }

    fn forward(
        &self,
        policy: &ForwardPolicy,
        edits: &mut Edits,
        to: &mut dyn Destinations,
    ) -> RouteAction {
        let mut authority = policy.authority.clone().or_else(|| edits.authority.clone());
        let mut hash = Vec::new();
        for destination in &policy.destinations {
            let (host, subset, port) = self.asked(&destination.to);
            hash.extend(to.hash(host, subset, port));
        }
        let mut clusters: Vec<WeightedCluster> = policy
            .destinations
            .iter()
            .map(|destination| self.weighted(destination, to))
            .collect();
        // only a single destination that is hashed keeps retries on its endpoint
        let mut hashed = false;
        if let [only] = &policy.destinations[..] {
            hashed = !hash.is_empty();
            authority = authority.or_else(|| only.edits.authority.clone());
            *edits = edits.then(&only.edits);
        } else {
            // Envoy carries out a destination's edits before the route's
            for (cluster, destination) in clusters.iter_mut().zip(&policy.destinations) {
                let all = destination.edits.then(edits);
                cluster.request_edits = all.of_request();
                cluster.response_edits = all.of_response();
            }
            *edits = Edits::default();
        }
        let defaults = self.defaults;
        let timeout = policy.timeout.filter(|timeout| !timeout.value.is_zero());
        let mut mirrors = Vec::new();
        for mirror in &policy.mirrors {
            let (host, subset, port) = self.asked(&mirror.to);
            // copies for nobody are not made
            if let Some(cluster) = to.cluster(host, subset, port) {
                mirrors.push(Mirror {
                    cluster,
                    share: mirror.share,
                    shadow_host: Release(defaults.release).marks_copies(),
                });
            }
        }
        RouteAction::Forward(Box::new(Forward {
            clusters,
            missing_status: 503,
            timeout: match (timeout, policy.timeout) {
                (Some(timeout), _) => Sourced::new(Some(timeout.value), timeout.origin),
                (None, Some(off)) => Sourced::new(None, off.origin),
                (None, None) => Sourced::new(None, defaults.origin),
            },
            // `grpc-timeout` counts, up to the route's timeout where there is one
            grpc_timeout_max: Some(timeout.map_or(Duration::ZERO, |timeout| timeout.value)),
            retry: retry_policy(
                policy.retries.as_ref(),
                defaults.release,
                hashed,
                defaults.origin,
            )
            .map(Box::new),
            largest_body: None,
            rewrite: policy.rewrite.clone(),
            forwarded_host: false,
            host: authority.map(HostRewrite::Literal),
            mirrors,
            hash,
            upgrades: Vec::new(),
            ends_connect: false,
            session: None,
            idle_timeout: None,
            max_stream_duration: None,
            hedge: None,
            priority: proxy_core::config::Priority::Default,
            subset: Vec::new(),
        }))
    }

    fn weighted(
        &self,
        destination: &DestinationPolicy,
        to: &mut dyn Destinations,
    ) -> WeightedCluster {
        let (host, subset, port) = self.asked(&destination.to);
        WeightedCluster {
            cluster: to.cluster(host, subset, port),
            weight: destination.weight,
            request_edits: Vec::new(),
            response_edits: Vec::new(),
            origin: destination.origin,
        }
    }

    /// Where requests go. For sidecars a host that does not listen on the port dialled has no other: without one of its own a destination is
    /// not found there.
    ///
    /// Source: istio 1.31 `pilot/pkg/networking/core/httproute.go` (`BuildSidecarOutboundVirtualHosts`: `servicesByName` has the hosts of one
    /// port), `route/route.go` (`GetDestinationCluster`).
    fn asked<'t>(&self, target: &'t Target) -> (&'t str, Option<&'t str>, Option<u16>) {
        if self.gateway != MESH {
            return self.address(target);
        }
        let port = target.port.unwrap_or(self.port);
        (&target.host, target.subset.as_deref(), Some(port))
    }

    fn address<'t>(&self, target: &'t Target) -> (&'t str, Option<&'t str>, Option<u16>) {
        let sole = || self.registry.port(&target.host, self.port);
        let port = target.port.unwrap_or_else(sole);
        (&target.host, target.subset.as_deref(), Some(port))
    }

    fn redirect(&self, policy: &RedirectPolicy) -> Redirect {
        let scheme = policy.scheme.as_deref().unwrap_or(self.defaults.scheme);
        let usual = |port: &u16| matches!((scheme, *port), ("http", 80) | ("https", 443));
        let port = match policy.port {
            RedirectPort::Unsaid => None,
            RedirectPort::OfRequest => Some(self.port),
            RedirectPort::Number(port) => Some(port),
        };
        Redirect {
            status: policy.status,
            scheme: policy.scheme.clone(),
            host: policy.authority.clone(),
            port: port.filter(|port| *port != 0 && !usual(port)),
            path: match (&policy.path, &policy.prefix) {
                (Some(path), _) => Some(PathRedirect::Full(path.clone())),
                (None, prefix) => prefix.clone().map(PathRedirect::Prefix),
            },
            strip_query: false,
            omits_own_port: false,
        }
    }

    fn chain(&self, rule: &L4Rule, condition: &L4Condition, to: &mut dyn Destinations) -> L4Chain {
        let mut clusters = Vec::new();
        for destination in &rule.destinations {
            let (host, subset, port) = self.address(&destination.to);
            if let Some(cluster) = to.cluster(host, subset, port) {
                clusters.push((cluster, destination.weight));
            }
        }
        let action = if clusters.is_empty() {
            ChainAction::Close(CloseReason::UpstreamFailed)
        } else {
            ChainAction::Tcp(TcpRoute {
                clusters,
                idle_timeout: Some(Sourced::new(TCP_IDLE, self.defaults.origin)),
                connect_retries: 0,
                max_duration: None,
                logs: proxy_core::config::CarriedLogs::default(),
                origin: rule.origin,
            })
        };
        L4Chain {
            server_names: condition.server_names.clone(),
            destinations: condition.destinations.clone(),
            action,
            origin: rule.origin,
        }
    }
}

/// `namespace/name`, with the names of rule and condition where they have any, and else the place of the rule among several.
fn name_of(
    one: &VirtualServicePolicy,
    nth: usize,
    rule: &Rule,
    condition: Option<&Condition>,
) -> Name {
    let mut name = format!("{}/{}", one.namespace, one.name);
    if !rule.name.is_empty() {
        name = format!("{name} {}", rule.name);
    } else if one.http.len() > 1 {
        name = format!("{name} #{}", nth + 1);
    }
    if let Some(of_condition) = condition.and_then(|condition| condition.name.as_ref()) {
        name = format!("{name}.{of_condition}");
    }
    name.into()
}
