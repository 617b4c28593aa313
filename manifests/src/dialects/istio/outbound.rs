//! What leaves meshed pods: one listener for each port that speaks HTTP, one for each address of the others, and the rest as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, CloseReason, ClusterIndex, DirectResponse, FilterChain,
    HttpFilter, ListenerAddress, Route, RouteAction, RouteTable, ServerName, TransportProtocol,
    VirtualHost,
};
use proxy_core::origin::Sourced;

use super::chains::{self, bytes, chain, forward, http, listener, looks_like_http, route, to};
use super::clusters::{Caller, Carried, Clusters};
use super::notes::Defaults;
use super::protocol::Protocol;
use super::read::Policies;
use super::registry::{Behind, Host};
use super::sidecars::{Known, Scope, Unknown, known};
use super::virtual_service::names::MESH;
use super::virtual_service::{L4Chain, RouteDefaults, default_retry};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::model::Upstream;

/// What Istio calls the cluster of destinations that are not known.
const PASSTHROUGH: &str = "PassthroughCluster";

/// What a sidecar is told besides policies.
#[derive(Clone, Debug)]
pub(super) struct Sidecar<'a> {
    /// Its Sidecar resource.
    pub(super) scope: Option<&'a Scope>,
    /// Ports whose connections leave the pod without it.
    pub(super) excluded: BTreeSet<u16>,
}

/// The outbound section of a caller.
pub(super) fn section(
    policies: &Policies,
    caller: Caller<'_>,
    sidecar: &Sidecar<'_>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Compiled {
    let clusters = Clusters::new(policies, caller, cx.services, cx.workloads, defaults);
    let scope = sidecar.scope;
    let unknown = scope.and_then(|scope| scope.unknown);
    let mut section = Section {
        policies,
        clusters,
        defaults,
        unknown: unknown.unwrap_or_else(|| defaults.of(Unknown::Dialled)),
        passthrough: ClusterIndex(0),
        listeners: BTreeMap::new(),
    };
    let passed = chains::unknown(PASSTHROUGH, PASSTHROUGH, defaults);
    section.passthrough = section.clusters.out.add(passed, Upstream::default());
    let mut locked = BTreeSet::new();
    let mut alone = true;
    let known = known(scope, &policies.registry, caller.namespace);
    for one in &known {
        let name = section.host(one.host).name.clone();
        section.clusters.known.entry(name).or_insert(one.host);
    }
    let taken = |known: &Known| !sidecar.excluded.contains(&known.port);
    for known in known.into_iter().filter(taken) {
        if alone && !known.alone {
            locked = section.listeners.keys().copied().collect();
            alone = false;
        }
        section.add(known, &locked, cx);
    }
    section.pass(&sidecar.excluded);
    section.finish()
}

/// A listener's address, none for all, and its port.
type Key = (Option<IpAddr>, u16);

/// What a listener takes, before it is made.
#[derive(Debug, Default)]
struct Draft {
    /// Hosts that share it, told apart by the requests' authority.
    shared: Vec<usize>,
    /// The one host whose requests it takes, whatever their authority.
    own: Option<usize>,
    /// Bytes, by address; no address: all.
    carried: Vec<Bytes>,
}

/// Connections to a host that are carried as bytes.
#[derive(Debug)]
struct Bytes {
    /// Addresses dialled; none: all.
    blocks: Vec<Cidr>,
    host: usize,
    protocol: Protocol,
}

struct Section<'a> {
    policies: &'a Policies,
    clusters: Clusters<'a>,
    defaults: Defaults,
    unknown: Sourced<Unknown>,
    passthrough: ClusterIndex,
    listeners: BTreeMap<Key, Draft>,
}

impl<'a> Section<'a> {
    fn host(&self, at: usize) -> &'a Host {
        &self.policies.registry.hosts()[at]
    }

    /// Source: istio 1.29 `pilot/pkg/networking/core/listener.go`, `buildSidecarOutboundListener`.
    fn add(&mut self, known: Known, locked: &BTreeSet<Key>, cx: &mut Compile<'_>) {
        let Known {
            host: at,
            port,
            protocol,
            ..
        } = known;
        let host = self.host(at);
        if protocol.is_http() {
            let key = (None, port);
            if !locked.contains(&key) {
                self.draft(key).shared.push(at);
            }
            return;
        }
        let (single, blocks): (Vec<Cidr>, Vec<Cidr>) =
            host.addresses.iter().partition(|block| is_single(block));
        for block in single {
            let key = (Some(block.address), port);
            if !locked.contains(&key) {
                self.take(key, at, protocol, Vec::new());
            }
        }
        if host.addresses.is_empty() || !blocks.is_empty() {
            let key = (None, port);
            if locked.contains(&key) {
                return;
            }
            if host.addresses.is_empty() {
                self.tell_taken(host, port, cx);
            }
            self.take(key, at, protocol, blocks);
        }
    }

    fn draft(&mut self, key: Key) -> &mut Draft {
        self.listeners.entry(key).or_default()
    }

    fn take(&mut self, key: Key, at: usize, protocol: Protocol, blocks: Vec<Cidr>) {
        let shared = key.0.is_none();
        let draft = self.draft(key);
        // the first for an address counts; those that are told apart by server name all do
        let apart = |other: &Bytes| {
            [other.protocol, protocol] == [Protocol::Tls, Protocol::Tls] && other.host != at
        };
        let mut others = draft.carried.iter();
        if !others.any(|other| other.blocks == blocks && !(shared && apart(other))) {
            draft.carried.push(Bytes {
                blocks,
                host: at,
                protocol,
            });
        }
        if protocol == Protocol::Detected && draft.own.is_none() && draft.shared.is_empty() {
            draft.own = Some(at);
        }
    }

    /// Istio listens at the address of each pod of such a Service; addresses of pods come and go here.
    fn tell_taken(&self, host: &Host, port: u16, cx: &mut Compile<'_>) {
        if matches!(host.behind, Behind::Headless(_)) {
            let meaning = format!(
                "connections to port {port} of any address that no other listener takes count as for it, not those to its pods alone"
            );
            let message = format!(
                "{} is headless, and its port {port} is not declared as HTTP",
                host.title
            );
            let span = cx
                .origins
                .span(host.origin)
                .unwrap_or(crate::text::Span::NOWHERE);
            cx.diagnostics
                .push(Diagnostic::assumed("istio::headless", message, meaning).label(span, ""));
        }
    }

    /// What goes to these ports passes as it comes, whether its destination is known or not.
    fn pass(&mut self, ports: &BTreeSet<u16>) {
        for port in ports {
            let action = bytes(self.passthrough, None, self.defaults);
            let chains = vec![chain(to(Vec::new()), action, self.defaults.origin)];
            let address = ListenerAddress::OutboundPort(*port);
            let name = format!("excluded:{port}");
            let made = listener(&name, address, chains, self.defaults.origin);
            self.clusters.out.draft.listeners.push(made);
        }
    }

    fn finish(mut self) -> Compiled {
        for (key, draft) in std::mem::take(&mut self.listeners) {
            self.listener(key, draft);
        }
        let origin = self.unknown.origin;
        let chains = vec![chain(to(Vec::new()), self.rest(), origin)];
        let rest = listener(
            "virtualOutbound",
            ListenerAddress::OutboundRest,
            chains,
            origin,
        );
        self.clusters.out.draft.listeners.push(rest);
        self.clusters.out
    }

    fn listener(&mut self, (address, port): Key, draft: Draft) {
        let shared = address.is_none();
        let (name, address) = match address {
            Some(ip) => {
                let address = SocketAddr::new(ip, port);
                (address.to_string(), ListenerAddress::OutboundTo(address))
            }
            None => (
                format!("0.0.0.0:{port}"),
                ListenerAddress::OutboundPort(port),
            ),
        };
        let mut chains: Vec<FilterChain> = Vec::new();
        let mut origin = self.defaults.origin;
        let hosts = match draft.own {
            Some(at) if draft.shared.is_empty() => {
                origin = self.host(at).origin;
                vec![self.virtual_host(at, port, vec!["*".into()])]
            }
            Some(_) | None if draft.shared.is_empty() => Vec::new(),
            Some(_) | None => self.shared_hosts(&draft.shared, port),
        };
        if !hosts.is_empty() {
            let table = RouteTable {
                name: name.as_str().into(),
                virtual_hosts: hosts,
                ignore_port: true,
            };
            let table = self.clusters.out.draft.add_table(table);
            // faults and pages of other origins are the routes' own
            let filters = vec![HttpFilter::Fault(None), HttpFilter::Cors];
            chains.push(chain(
                looks_like_http(),
                http(table, filters, self.defaults),
                origin,
            ));
        }
        let mut takes_all = false;
        for bytes in draft.carried {
            let by_name = shared && bytes.protocol == Protocol::Tls;
            takes_all |= bytes.blocks.is_empty() && !by_name;
            chains.extend(self.carried(&bytes, port, by_name));
        }
        if !takes_all {
            chains.push(chain(to(Vec::new()), self.rest(), self.unknown.origin));
        }
        let made = listener(&name, address, chains, origin);
        self.clusters.out.draft.listeners.push(made);
    }

    /// Chains of a VirtualService's rules for connections, and one to the host itself where they leave any.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/core/tls.go`.
    /// `by_name`: hosts without an address of their own share the listener, and are told apart by server name.
    fn carried(&mut self, connections: &Bytes, port: u16, by_name: bool) -> Vec<FilterChain> {
        let Bytes {
            blocks,
            host: at,
            protocol,
        } = connections;
        let host = self.host(*at);
        let carried = if *protocol == Protocol::Detected {
            Carried::Bytes
        } else {
            Carried::Declared
        };
        self.clusters.carried = carried;
        let (defaults, caller) = (self.route_defaults(), self.clusters.caller.asks());
        let rules = &self.policies.routes;
        let is_tls = *protocol == Protocol::Tls;
        let governed = if is_tls {
            rules.tls(
                &host.name,
                port,
                caller,
                MESH,
                &mut self.clusters,
                &defaults,
            )
        } else {
            rules.tcp(
                &host.name,
                port,
                caller,
                MESH,
                &mut self.clusters,
                &defaults,
            )
        };
        // rules for TLS leave nothing to the host itself
        let all_taken = if is_tls {
            !governed.is_empty()
        } else {
            governed
                .last()
                .is_some_and(|last| last.destinations.is_empty())
        };
        let mut chains: Vec<FilterChain> = governed
            .into_iter()
            .map(|rule| governed_chain(rule, blocks))
            .collect();
        if all_taken {
            return chains;
        }
        if let Some(cluster) = self.clusters.get(*at, None, port, carried) {
            let idle = self.clusters.tcp_idle(*at, port);
            let action = bytes(cluster, idle, self.defaults);
            let mut matches = to(blocks.clone());
            if by_name {
                matches.transport = Some(TransportProtocol::Tls);
                matches.server_names = vec![match host.name.strip_prefix('*') {
                    Some(suffix) => ServerName::Suffix(suffix.into()),
                    None => ServerName::Exact((*host.name).into()),
                }];
            }
            chains.push(chain(matches, action, host.origin));
        }
        chains
    }

    /// Virtual hosts of all hosts of a port, and one for every other authority.
    fn shared_hosts(&mut self, shared: &[usize], port: u16) -> Vec<VirtualHost> {
        let whole: BTreeSet<&str> = shared.iter().map(|at| &*self.host(*at).name).collect();
        let mut taken: BTreeSet<Box<str>> = BTreeSet::new();
        let mut hosts = Vec::new();
        for at in shared {
            let host = self.host(*at);
            let mut domains = domains(host, self.clusters.caller.namespace, self.policies);
            // a short form never hides another host's whole name
            domains.retain(|domain| {
                (**domain == *host.name || !whole.contains(&**domain))
                    && taken.insert(domain.clone())
            });
            if !domains.is_empty() {
                hosts.push(self.virtual_host(*at, port, domains));
            }
        }
        self.hosts_of_rules(shared, port, &mut taken, &mut hosts);
        if !taken.contains("*") {
            hosts.push(self.other_hosts());
        }
        hosts
    }

    /// Hosts that a VirtualService has and nobody on this port.
    fn hosts_of_rules(
        &mut self,
        shared: &[usize],
        port: u16,
        taken: &mut BTreeSet<Box<str>>,
        hosts: &mut Vec<VirtualHost>,
    ) {
        let http: BTreeSet<&str> = shared.iter().map(|at| &*self.host(*at).name).collect();
        let all = self.clusters.known.iter();
        let all = all.filter(|(_, at)| self.host(**at).port(port).is_some());
        let all: BTreeSet<&str> = all.map(|(name, _)| &**name).collect();
        let rules = &self.policies.routes;
        let names = rules.hosts(self.clusters.caller.asks(), port, &all, &http);
        for name in names {
            let Some(routes) = self.governed(&name, port) else {
                continue;
            };
            if taken.insert(name.as_str().into()) {
                let origin = routes
                    .first()
                    .map_or(self.defaults.origin, |route| route.origin);
                hosts.push(VirtualHost {
                    name: format!("{name}:{port}").into(),
                    domains: vec![name.into()],
                    routes,
                    attempt_count: true,
                    attempt_count_in_response: false,
                    origin,
                });
            }
        }
    }

    fn virtual_host(&mut self, at: usize, port: u16, domains: Vec<Box<str>>) -> VirtualHost {
        let host = self.host(at);
        VirtualHost {
            name: format!("{}:{port}", host.name).into(),
            domains,
            routes: self.routes(at, port),
            attempt_count: true,
            attempt_count_in_response: false,
            origin: host.origin,
        }
    }

    /// The routes of the VirtualService that governs a host, else one to the host itself.
    fn routes(&mut self, at: usize, port: u16) -> Vec<Route> {
        let host = self.host(at);
        let governed = self.governed(&host.name, port);
        if let Some(routes) = governed {
            return routes;
        }
        let hash = self.clusters.hash_of(at, None, port);
        let Some(cluster) = self.clusters.get(at, None, port, Carried::Declared) else {
            return Vec::new();
        };
        let mut forward = forward(cluster, self.defaults);
        forward.clusters[0].origin = host.origin;
        // a hash does not count for retries where no VirtualService makes the route
        let retry = default_retry(self.policies.release.0, false, self.defaults.origin);
        forward.retry = Some(Box::new(retry));
        forward.hash = hash;
        let action = RouteAction::Forward(Box::new(forward));
        vec![route("default", action, host.origin)]
    }

    fn governed(&mut self, host: &str, port: u16) -> Option<Vec<Route>> {
        let defaults = self.route_defaults();
        self.clusters.carried = Carried::Declared;
        let caller = self.clusters.caller.asks();
        let routes = &self.policies.routes;
        routes.routes(host, port, caller, MESH, &mut self.clusters, &defaults)
    }

    const fn route_defaults(&self) -> RouteDefaults {
        RouteDefaults {
            release: self.policies.release.0,
            origin: self.defaults.origin,
            scheme: "http",
        }
    }

    /// Requests for hosts that are not known.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/core/httproute.go`, `buildCatchAllVirtualHost`.
    fn other_hosts(&self) -> VirtualHost {
        let origin = self.unknown.origin;
        let (name, action) = match self.unknown.value {
            Unknown::Dialled => (
                "allow_any",
                RouteAction::Forward(Box::new(forward(self.passthrough, self.defaults))),
            ),
            Unknown::Refused => (
                "block_all",
                RouteAction::Direct(DirectResponse {
                    status: 502,
                    body: "".into(),
                }),
            ),
        };
        VirtualHost {
            name: name.into(),
            domains: vec!["*".into()],
            routes: vec![route(name, action, origin)],
            attempt_count: true,
            attempt_count_in_response: false,
            origin,
        }
    }

    /// What becomes of bytes to where nobody is known.
    fn rest(&self) -> ChainAction {
        match self.unknown.value {
            Unknown::Dialled => bytes(self.passthrough, None, self.defaults),
            Unknown::Refused => ChainAction::Close(CloseReason::BlackHole),
        }
    }
}

/// A rule's chain; addresses that it does not choose itself are those of the host.
fn governed_chain(rule: L4Chain, blocks: &[Cidr]) -> FilterChain {
    let transport = (!rule.server_names.is_empty()).then_some(TransportProtocol::Tls);
    let destinations = if rule.destinations.is_empty() {
        blocks.to_vec()
    } else {
        rule.destinations
    };
    let matches = ChainMatch {
        destinations,
        server_names: rule.server_names,
        transport,
        ..ChainMatch::default()
    };
    chain(matches, rule.action, rule.origin)
}

const fn is_single(block: &Cidr) -> bool {
    block.bits == if block.address.is_ipv4() { 32 } else { 128 }
}

/// The authorities by which callers of `namespace` reach a host, without ports, which are of no account.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/httproute.go`, `generateVirtualHostDomains`.
fn domains(host: &Host, namespace: &str, policies: &Policies) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = Vec::new();
    for name in std::iter::once(&host.name).chain(&host.aliases) {
        found.push((&**name).into());
        let is_pattern = name.starts_with('*');
        if policies.release.knows_last_dot() && !is_pattern && name.parse::<IpAddr>().is_err() {
            found.push(format!("{name}.").into());
        }
        let Some(short) = name.strip_suffix(".svc.cluster.local") else {
            continue;
        };
        let Some((service, home)) = short.split_once('.') else {
            continue;
        };
        if home == namespace {
            found.push(service.into());
        }
        found.push(short.into());
        found.push(format!("{short}.svc").into());
    }
    if matches!(host.behind, Behind::Headless(_)) {
        let pods: Vec<Box<str>> = found
            .iter()
            .map(|domain| format!("*.{domain}").into())
            .collect();
        found.extend(pods);
    }
    let addresses = host.addresses.iter().filter(|block| is_single(block));
    found.extend(addresses.map(|block| bracketed(block.address)));
    found
}

/// An address as an authority has it.
fn bracketed(ip: IpAddr) -> Box<str> {
    match ip {
        IpAddr::V4(ip) => ip.to_string().into(),
        IpAddr::V6(ip) => format!("[{ip}]").into(),
    }
}
