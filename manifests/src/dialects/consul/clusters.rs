//! Clusters of what callers reach, made as they are asked for.
//!
//! Source: hashicorp/consul 1.21 `agent/xds/clusters.go`, `makeUpstreamClustersForDiscoveryChain`.

use std::collections::BTreeMap;

use proxy_core::config::{Cluster, ClusterIndex, Name, UpstreamProtocol, UpstreamTransport};
use proxy_core::origin::Sourced;

use super::chain::{Place, Resolved};
use super::compile::{CONNECT, instances};
use super::injection::TRUST_DOMAIN;
use super::notes::Defaults;
use super::policy::{Policies, Protocol, UpstreamPolicy};
use crate::dialects::Compiled;
use crate::model::{Members, Upstream};

/// For whom clusters are made: of two upstreams that lead to the same instances with different settings, each has its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The service that is called.
    pub(super) upstream: &'a Name,
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// How it is called.
    pub(super) policy: &'a UpstreamPolicy,
    /// Whether that is said of this upstream alone.
    pub(super) is_override: bool,
}

type Key = (Place, Vec<Place>, &'static str, Option<Name>);

/// A section of outgoing traffic under construction.
pub(super) struct Clusters<'a> {
    /// What was made.
    pub(super) out: Compiled,
    policies: &'a Policies,
    identity: &'a str,
    defaults: Defaults,
    made: BTreeMap<Key, ClusterIndex>,
}

impl<'a> Clusters<'a> {
    /// Nothing yet; `identity` is what the callers' proxies prove.
    pub(super) fn new(policies: &'a Policies, identity: &'a str, defaults: Defaults) -> Self {
        Self {
            out: Compiled::default(),
            policies,
            identity,
            defaults,
            made: BTreeMap::new(),
        }
    }

    /// The cluster of instances, and of those that come after them.
    pub(super) fn get(&mut self, resolved: &Resolved<'_>, wanted: Wanted<'_>) -> ClusterIndex {
        let key = (
            resolved.place.clone(),
            resolved.failover.clone(),
            wanted.protocol.name(),
            wanted.is_override.then(|| wanted.upstream.clone()),
        );
        if let Some(index) = self.made.get(&key) {
            return *index;
        }
        let mut name = sni(&resolved.place);
        if self.out.draft.clusters.iter().any(|it| *it.name == *name) {
            name = format!("{}~{}~{name}", wanted.upstream, wanted.protocol.name());
        }
        let cluster = self.cluster(&name, resolved, wanted);
        let upstream = Upstream {
            members: self.members(resolved),
            ..Upstream::default()
        };
        let index = self.out.add(cluster, upstream);
        self.made.insert(key, index);
        index
    }

    fn cluster(&self, name: &str, resolved: &Resolved<'_>, wanted: Wanted<'_>) -> Cluster {
        let Resolved { place, policy, .. } = resolved;
        let mut cluster = instances(name, &place.title(), self.defaults);
        cluster.origin = self.origin(resolved);
        // what a caller says comes before the resolver
        cluster.connect_timeout = wanted
            .policy
            .connect_timeout
            .or_else(|| policy.and_then(|policy| policy.connect_timeout))
            .unwrap_or_else(|| self.defaults.of(CONNECT));
        let balance = policy.and_then(|policy| policy.balance.as_ref());
        if let Some(balancer) = balance.and_then(|balance| balance.balancer.as_ref()) {
            cluster.balancer = balancer.clone();
        }
        if let Some(limits) = wanted.policy.limits {
            for own in &mut cluster.limits[..1] {
                let set = |limit: &mut Sourced<u32>, value: Option<Sourced<u32>>| {
                    *limit = value.unwrap_or(*limit);
                };
                set(&mut own.connections, limits.connections);
                set(&mut own.pending, limits.pending);
                set(&mut own.requests, limits.requests);
            }
        }
        if let Some(health) = wanted.policy.health {
            cluster.outlier = Some(health);
        }
        cluster.protocol = if wanted.protocol.is_http2() {
            UpstreamProtocol::Http2
        } else {
            UpstreamProtocol::Http1
        };
        cluster.transport = UpstreamTransport::Mesh {
            sni: sni(place).into(),
            identity: self.identity.into(),
            alpn: offered(wanted.protocol),
            only_where_meshed: false,
        };
        cluster
    }

    fn origin(&self, resolved: &Resolved<'_>) -> proxy_core::origin::OriginId {
        let subset = resolved.place.subset.as_ref();
        let subset = subset.and_then(|subset| resolved.policy?.subsets.get(subset));
        let registered = self.policies.registry.get(&resolved.place.service);
        subset
            .map(|subset| subset.origin)
            .or_else(|| resolved.policy.map(|policy| policy.origin))
            .or_else(|| registered.map(|registered| registered.origin))
            .unwrap_or(self.defaults.origin)
    }

    fn members(&self, resolved: &Resolved<'_>) -> Members {
        let first = self.instances(&resolved.place);
        if resolved.failover.is_empty() {
            return first;
        }
        let others = resolved.failover.iter().map(|place| self.instances(place));
        Members::Ranked([first].into_iter().chain(others).collect())
    }

    fn instances(&self, place: &Place) -> Members {
        let registered = self.policies.registry.get(&place.service);
        let Some(registered) = registered.filter(|_| !place.elsewhere) else {
            return Members::None;
        };
        let resolver = self.policies.resolvers.get(&place.service);
        let subset = place.subset.as_ref();
        let subset = subset.and_then(|subset| resolver?.subsets.get(subset));
        registered.instances(subset.and_then(|subset| subset.filter.as_ref()))
    }
}

/// What instances are asked for by: also the name of their cluster.
///
/// Source: hashicorp/consul 1.21 `agent/connect/sni.go`, `ServiceSNI`.
fn sni(place: &Place) -> String {
    let datacenter = if place.elsewhere { "elsewhere" } else { "dc1" };
    format!(
        "{}.default.{datacenter}.internal.{TRUST_DOMAIN}",
        place.title()
    )
}

/// The protocols that a proxy agrees to: its callers speak the first.
///
/// Source: hashicorp/consul 1.21 `agent/xds/listeners.go`, `getAlpnProtocols`.
pub(super) fn agreed(protocol: Protocol) -> Vec<Box<str>> {
    match protocol {
        Protocol::Tcp => Vec::new(),
        Protocol::Http => vec!["http/1.1".into()],
        Protocol::Http2 | Protocol::Grpc => vec!["h2".into(), "http/1.1".into()],
    }
}

/// What a caller offers.
fn offered(protocol: Protocol) -> Vec<Box<str>> {
    match protocol {
        Protocol::Tcp => Vec::new(),
        Protocol::Http => vec!["http/1.1".into()],
        Protocol::Http2 | Protocol::Grpc => vec!["h2".into()],
    }
}
