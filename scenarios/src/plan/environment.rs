//! What surrounds the services, resolved.

use manifests::text::Span;
use proxy_core::time::Duration;

use super::ids::{DistId, NodeId, ZoneId};

/// Which mesh runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshChoice {
    /// The system.
    pub system: MeshSystem,
    /// The release after `@`; none: the newest that is known.
    pub release: Option<String>,
    /// Where it is written.
    pub span: Span,
}

/// The meshes that a scenario may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeshSystem {
    None,
    Istio,
    Linkerd,
    Consul,
    Kuma,
}

impl MeshSystem {
    /// Every system with its name in scenarios.
    pub const ALL: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("istio", Self::Istio),
        ("linkerd", Self::Linkerd),
        ("consul", Self::Consul),
        ("kuma", Self::Kuma),
    ];

    /// Its name in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, system)| *system == self)
            .map_or("none", |(name, _)| name)
    }
}

/// What the scenario says about a gateway of the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayOverride {
    /// `namespace/name` of the object that brings it: an Ingress, a Gateway, a Deployment.
    pub target: String,
    /// Which program it is.
    pub kind: Option<String>,
    /// Where its pods run.
    pub namespace: Option<String>,
    /// Labels of its pods, by name.
    pub labels: Vec<(String, String)>,
    /// Its pods.
    pub replicas: Option<u32>,
    /// Where it is written.
    pub span: Span,
}

/// Who has a sidecar where the manifests do not decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidecarOverrides {
    /// Namespaces or `namespace/name`.
    pub inject: Vec<(String, Span)>,
    /// Namespaces or `namespace/name`.
    pub skip: Vec<(String, Span)>,
}

/// The proxy processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxies {
    /// Worker threads of each.
    pub concurrency: u32,
    /// Whose processor time they take.
    pub cpu: ProxyCpu,
}

/// Whose processor time a proxy takes, as measured from the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyCpu {
    /// None at all.
    Free,
    /// Envoy's.
    Envoy,
    /// That of `windtunnel-proxy`.
    Windtunnel,
}

/// Zones and machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Names of the zones.
    pub zones: Vec<Box<str>>,
    /// Every machine.
    pub nodes: Vec<Machine>,
    /// How the pods of a workload are laid on machines.
    pub spread: Spread,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `node-1` and so on.
    pub name: Box<str>,
    /// Where it stands.
    pub zone: ZoneId,
}

/// How the pods of a workload are laid on machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// In turn over the zones, and over the machines of each.
    Even,
    /// All on one machine.
    Packed,
}

impl Topology {
    /// The machine of pod `number` of the workload or gateway that is `order`-th in its table.
    ///
    /// Even: pods go over the zones in turn, starting where the workloads before left off, and in each zone over its machines;
    /// zones without machines are passed over. Packed: all pods of a workload on one machine.
    #[must_use]
    pub fn place(&self, order: usize, number: usize) -> NodeId {
        let count = self.nodes.len();
        // Machines are dealt to the zones in turn, so neighbours in the table stand in different zones.
        match self.spread {
            Spread::Even => NodeId::at((order + number) % count),
            Spread::Packed => NodeId::at(order % count),
        }
    }

    /// The zone of a machine.
    #[must_use]
    pub fn zone_of(&self, node: NodeId) -> ZoneId {
        self.nodes[node.index()].zone
    }
}

/// The network between pods: latencies are one way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Between pods of one machine.
    pub same_node: DistId,
    /// Between machines of one zone.
    pub same_zone: DistId,
    /// Between zones.
    pub cross_zone: DistId,
    /// Between a client outside and the cluster.
    pub external: DistId,
    /// The share of messages that are lost, and arrive after a retransmission.
    pub loss: f64,
    /// Whether every message arrives at once and none is lost.
    pub is_free: bool,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on.
    pub from: proxy_core::time::Time,
    /// None: until the end.
    pub length: Option<Duration>,
}

impl Window {
    /// Where it ends.
    #[must_use]
    pub fn until(&self) -> proxy_core::time::Time {
        self.length
            .map_or(proxy_core::time::Time::MAX, |length| self.from + length)
    }
}
