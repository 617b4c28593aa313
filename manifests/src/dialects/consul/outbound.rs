//! What leaves meshed pods.
//!
//! A transparent proxy goes by the address that was dialled: that of a Kubernetes Service, whatever the port, is the service's chain; any
//! other, that of the pods' own service among them, is dialled as it is, unless the mesh forbids it. An upstream that pods name has a port of its own on loopback in the place of that.
//!
//! Source: hashicorp/consul 1.21 `agent/xds/listeners.go` (`listenersFromSnapshotConnectProxy`), `agent/xds/routes.go`,
//! `agent/consul/state/intention.go` (`intentionTopologyTxn`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, CloseReason, ClusterIndex, FilterChain, Forward, HashPolicy,
    HeadRules, ListenerAddress, Name, PathRewrite, Route, RouteAction, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};

use super::annotations::Explicit;
use super::chain::{self, Branch, Chain, Next, Split, Start};
use super::clusters::{Clusters, Wanted};
use super::compile::{
    bytes, chain as plaintext, dialled, forward, http, listener, route, table, to,
};
use super::notes::Defaults;
use super::policy::{BalancePolicy, Policies, ServicePolicy, UpstreamPolicy};
use super::registry::Registered;
use crate::dialects::{Compile, Compiled};
use crate::model::Upstream;

/// Where what is in no catalog goes. Source: hashicorp/consul 1.21 `agent/xds/naming/naming.go`.
const ORIGINAL: &str = "original-destination";

/// Who calls: all that an outbound section depends on.
#[derive(Clone, Debug)]
pub(super) struct Callers {
    /// Their service.
    pub(super) service: Name,
    /// Their identity.
    pub(super) identity: Name,
    /// Whether their proxies take everything that they send.
    pub(super) is_transparent: bool,
    /// Upstreams with ports of their own.
    pub(super) explicit: Vec<Explicit>,
    /// Ports that they call without their proxies.
    pub(super) excluded_ports: Vec<u16>,
    /// Addresses likewise.
    pub(super) excluded: Vec<Cidr>,
}

/// The outbound section of `callers`.
pub(super) fn section(
    policies: &Policies,
    callers: &Callers,
    defaults: Defaults,
    cx: &Compile<'_>,
) -> Compiled {
    let own = policies.services.get(&callers.service);
    let mut heads = HeadRules::unwritten("envoy");
    if let Some(bytes) = own_head_bytes(policies, own) {
        heads.limits.bytes = bytes;
    }
    let mut section = Section {
        policies,
        callers,
        own,
        defaults,
        cx,
        heads: Arc::new(heads),
        clusters: Clusters::new(policies, &callers.identity, defaults),
        tables: BTreeMap::new(),
    };
    section.explicit();
    section.rest();
    section.clusters.out
}

fn own_head_bytes(policies: &Policies, own: Option<&ServicePolicy>) -> Option<u64> {
    let own = own.and_then(|own| own.own.head_bytes);
    own.or(policies.proxy.head_bytes).map(|bytes| bytes.value)
}

struct Section<'a> {
    policies: &'a Policies,
    callers: &'a Callers,
    own: Option<&'a ServicePolicy>,
    defaults: Defaults,
    cx: &'a Compile<'a>,
    heads: Arc<HeadRules>,
    clusters: Clusters<'a>,
    /// What becomes of connections to a service.
    tables: BTreeMap<Name, ChainAction>,
}

impl Section<'_> {
    /// What an application sends to an upstream that its pods name goes to that upstream's port on loopback; who calls the Service here
    /// is taken to do so.
    fn explicit(&mut self) {
        let cx = self.cx;
        let mut seen: BTreeSet<SocketAddr> = BTreeSet::new();
        for upstream in &self.callers.explicit {
            let name = Name::from(upstream.service.as_str());
            let registered = self.policies.registry.get(&name);
            let Some(registered) = registered.filter(|_| upstream.elsewhere.is_none()) else {
                continue;
            };
            let action = self.action(&name, registered);
            for id in &registered.kubernetes {
                let service = &cx.services[id.index()];
                let Some(ip) = service.cluster_ip() else {
                    continue;
                };
                for port in service.ports.iter().filter(|port| !port.udp) {
                    let address = SocketAddr::new(ip, port.number);
                    if !seen.insert(address) {
                        continue;
                    }
                    let made = listener(
                        &format!("{name}:127.0.0.1:{}:{}", upstream.port, port.number),
                        ListenerAddress::OutboundTo(address),
                        vec![plaintext(
                            ChainMatch::default(),
                            action.clone(),
                            registered.origin,
                        )],
                        registered.origin,
                    );
                    self.clusters.out.draft.listeners.push(made);
                }
            }
        }
    }

    fn is_explicit(&self, name: &str) -> bool {
        let mut named = self.callers.explicit.iter();
        named.any(|upstream| upstream.service == name && upstream.elsewhere.is_none())
    }

    fn rest(&mut self) {
        let defaults = self.defaults;
        let origin = defaults.origin;
        let original = dialled(ORIGINAL, defaults);
        let original = self.clusters.out.add(original, Upstream::default());
        let passed = || bytes(original, origin, defaults);
        let mut chains: Vec<FilterChain> = Vec::new();
        if self.callers.is_transparent {
            if !self.callers.excluded.is_empty() {
                let excluded = to(self.callers.excluded.clone());
                chains.push(plaintext(excluded, passed(), origin));
            }
            let registry = &self.policies.registry;
            for (name, registered) in registry.all() {
                let addresses = registered.addresses.iter();
                let addresses: Vec<Cidr> = addresses
                    .filter(|ip| !self.callers.excluded.iter().any(|it| it.contains(**ip)))
                    .map(|ip| whole(*ip))
                    .collect();
                // a proxy is not told of its own service: what is sent there goes to the address as it is
                let is_own = *name == self.callers.service;
                if addresses.is_empty() || is_own || self.is_explicit(name) {
                    continue;
                }
                let action = self.action(name, registered);
                chains.push(plaintext(to(addresses), action, registered.origin));
            }
        }
        let only = self.policies.mesh.destinations_only;
        chains.push(match only.filter(|_| self.callers.is_transparent) {
            Some(rule) => {
                let closed = ChainAction::Close(CloseReason::BlackHole);
                plaintext(ChainMatch::default(), closed, rule)
            }
            None => plaintext(ChainMatch::default(), passed(), origin),
        });
        let mut listeners = vec![listener(
            "outbound_listener",
            ListenerAddress::OutboundRest,
            chains,
            origin,
        )];
        if self.callers.is_transparent {
            for port in &self.callers.excluded_ports {
                let chain = plaintext(ChainMatch::default(), passed(), origin);
                listeners.push(listener(
                    &format!("excluded:{port}"),
                    ListenerAddress::OutboundPort(*port),
                    vec![chain],
                    origin,
                ));
            }
        }
        self.clusters.out.draft.listeners.extend(listeners);
    }

    /// What becomes of a connection to a service.
    fn action(&mut self, name: &Name, registered: &Registered) -> ChainAction {
        if let Some(action) = self.tables.get(name) {
            return action.clone();
        }
        let policies = self.policies;
        let (policy, is_override) = self.policy(name);
        let compiled = chain::compile(policies, name, policy.protocol, self.defaults);
        // what Consul refuses was reported, and is not in force
        let chain = compiled
            .unwrap_or_else(|_| chain::plain(policies, name, policy.protocol, self.defaults));
        let wanted = Wanted {
            upstream: name,
            protocol: chain.protocol.value,
            policy: &policy,
            is_override,
        };
        let action = if chain.protocol.value.is_http() {
            let routes = self.routes(&chain, wanted, registered.origin);
            let table = table(name, routes, registered.origin);
            let table = self.clusters.out.draft.add_table(table);
            http(table, self.heads.clone(), self.defaults)
        } else {
            let cluster = self.bytes_to(&chain, wanted);
            bytes(cluster, chain.protocol.origin, self.defaults)
        };
        self.tables.insert(name.clone(), action.clone());
        action
    }

    /// How these callers call a service, and whether that is said of it alone.
    ///
    /// Source: hashicorp/consul 1.21 `agent/configentry/resolve.go` (`ComputeResolvedServiceConfig`): of what is named, the protocol is
    /// that of the caller's override, of its defaults, of the service, or of ProxyDefaults; of what is not named, the caller's defaults or
    /// the chain's own.
    fn policy(&self, name: &Name) -> (UpstreamPolicy, bool) {
        let defaults = self.own.map(|own| &own.upstreams);
        let defaults = defaults.cloned().unwrap_or_default();
        let one = self.own.and_then(|own| own.overrides.get(name));
        let mut policy = match one {
            Some(one) => one.or(&defaults),
            None => defaults,
        };
        if one.is_some() || self.is_explicit(name) {
            let service = self.policies.services.get(name);
            let service = service.and_then(|service| service.own.protocol);
            policy.protocol = policy.protocol.or(service).or(self.policies.proxy.protocol);
        }
        (policy, one.is_some())
    }

    /// Bytes have neither router nor splitter.
    fn bytes_to(&mut self, chain: &Chain<'_>, wanted: Wanted<'_>) -> ClusterIndex {
        let resolved = match &chain.start {
            Start::Next(Next::Resolver(resolved)) => resolved.clone(),
            Start::Next(Next::Splitter(_)) | Start::Router(_) => {
                chain::plain_resolved(self.policies, wanted.upstream, self.defaults)
            }
        };
        self.clusters.get(&resolved, wanted)
    }

    fn routes(&mut self, chain: &Chain<'_>, wanted: Wanted<'_>, service: OriginId) -> Vec<Route> {
        match &chain.start {
            Start::Router(branches) => branches
                .iter()
                .map(|branch| self.branch(branch, wanted))
                .collect(),
            Start::Next(next) => {
                let mut forward = self.forward(next, wanted);
                let origin = match next {
                    Next::Splitter(split) => split.legs.first().map_or(service, |leg| leg.origin),
                    Next::Resolver(resolved) => {
                        // a resolver's own timeout counts where nothing stands before it
                        let timeout = resolved.policy.and_then(|it| it.request_timeout);
                        if let Some(timeout) = timeout {
                            forward.timeout = Sourced::new(Some(timeout.value), timeout.origin);
                        }
                        resolved.policy.map_or(service, |policy| policy.origin)
                    }
                };
                let action = RouteAction::Forward(Box::new(forward));
                vec![route("default", action, origin)]
            }
        }
    }

    fn branch(&mut self, branch: &Branch<'_>, wanted: Wanted<'_>) -> Route {
        let mut forward = self.forward(&branch.next, wanted);
        let Some(rule) = branch.rule else {
            let action = RouteAction::Forward(Box::new(forward));
            return route("default", action, branch.origin);
        };
        if let Some(timeout) = rule.timeout {
            forward.timeout = timeout;
        }
        forward.idle_timeout = rule.idle;
        forward.rewrite = rule.rewrite.clone().map(PathRewrite::Prefix);
        forward.retry = rule.retry.clone().map(Box::new);
        let action = RouteAction::Forward(Box::new(forward));
        Route {
            matches: rule.matches.clone(),
            request_edits: rule.request.edits(),
            response_edits: rule.response.edits(),
            ..route(wanted.upstream, action, rule.origin)
        }
    }

    fn forward(&mut self, next: &Next<'_>, wanted: Wanted<'_>) -> Forward {
        match next {
            Next::Splitter(split) => self.split(split, wanted),
            Next::Resolver(resolved) => {
                let cluster = self.clusters.get(resolved, wanted);
                let origin = resolved.policy.map_or(self.defaults.origin, |it| it.origin);
                let mut forward = forward(cluster, origin, self.defaults);
                let balance = resolved.policy.and_then(|policy| policy.balance.as_ref());
                forward.hash = hash_of(balance.filter(|balance| balance.is_hashed()));
                forward
            }
        }
    }

    fn split(&mut self, split: &Split<'_>, wanted: Wanted<'_>) -> Forward {
        let mut clusters = Vec::new();
        for leg in &split.legs {
            clusters.push(WeightedCluster {
                cluster: Some(self.clusters.get(&leg.to, wanted)),
                weight: leg.weight,
                request_edits: leg.request.edits(),
                response_edits: leg.response.edits(),
                origin: leg.origin,
            });
        }
        // the first stands for the shape; all of them are put in its place
        let first = clusters
            .first()
            .and_then(|leg| leg.cluster)
            .unwrap_or(ClusterIndex(0));
        let mut forward = forward(first, self.defaults.origin, self.defaults);
        forward.clusters = clusters;
        forward.hash = hash_of(split.hash);
        forward
    }
}

fn hash_of(balance: Option<&BalancePolicy>) -> Vec<HashPolicy> {
    balance
        .map(|balance| balance.hash.clone())
        .unwrap_or_default()
}

const fn whole(ip: IpAddr) -> Cidr {
    let bits = match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    Cidr { address: ip, bits }
}
