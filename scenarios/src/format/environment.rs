//! What surrounds the services: mesh, gateways, proxies, topology, network.

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::Located;
use super::distribution::{
    Exponential, Gamma, LogNormal, Pareto, Part, Shape, Times, Uniform, Weibull,
};
use super::either::{ScalarOrMap, scalar_or_map};
use super::scalars::{Count, Period, Scalar, Share};

/// A gateway, by the name that its objects give it; what is left out comes from the manifests.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    /// Which program it is: `kong`, `istio`, …; default: by class and controller.
    pub kind: Option<Located<String>>,
    /// Where its pods run; this decides whether they have a sidecar. Default: the namespace of its name.
    pub namespace: Option<Located<String>>,
    /// Labels of its pods.
    pub labels: IndexMap<String, String>,
    /// Its pods; default 1.
    pub replicas: Option<Located<Count<1, 1000>>>,
}

/// Who has a sidecar where no Namespace or Pod object of the manifests decides.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Sidecars {
    /// Namespaces, or workloads as `namespace/name`, that have one.
    pub inject: Vec<Located<String>>,
    /// Namespaces, or workloads as `namespace/name`, that have none.
    pub skip: Vec<Located<String>>,
}

/// The proxy processes.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Proxies {
    /// Worker threads of each; default 2, as Istio sets it.
    pub concurrency: Option<Located<Count<1, 256>>>,
    /// Whose processor time they take; default `measured`.
    pub cpu: Option<ProxyCpu>,
}

/// Whose processor time a proxy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProxyCpu {
    /// Envoy's, as measured; it queues on the proxy's workers.
    Measured,
    /// The same of `windtunnel-proxy`.
    Windtunnel,
    /// It takes no time.
    Free,
}

/// Zones and machines.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Topology {
    /// The zones; default one, `a`.
    pub zones: Option<Vec<Located<String>>>,
    /// Machines, dealt to the zones in turn; default two a zone.
    pub nodes: Option<Located<Count<1, 10_000>>>,
    /// How the pods of a workload are laid on machines; default `even`.
    pub spread: Option<Spread>,
}

/// How the pods of a workload are laid on machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Spread {
    /// In turn over the zones, and over the machines of each.
    Even,
    /// All on one machine; workloads take the machines in turn.
    Packed,
}

/// The network between pods.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    /// One way, by distance; one value serves all distances.
    pub latency: Option<Located<Latency>>,
    /// The share of messages that are lost, and arrive after a retransmission; default none.
    pub loss: Option<Located<Share>>,
}

/// Latency one way, by distance; what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// The same at every distance, to clients outside too; given alone.
    pub everywhere: Option<Times>,
    /// Between pods of one machine.
    pub same_node: Option<Located<Times>>,
    /// Between machines of one zone.
    pub same_zone: Option<Located<Times>>,
    /// Between zones.
    pub cross_zone: Option<Located<Times>>,
    /// Between a client outside and the cluster.
    pub external: Option<Located<Times>>,
}

/// One-way latency: by distance, or one distribution that serves all distances.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LatencyMap {
    /// Between pods of one machine; default 50us.
    pub same_node: Option<Located<Times>>,
    /// Between machines of one zone; default 250us.
    pub same_zone: Option<Located<Times>>,
    /// Between zones; default 1ms.
    pub cross_zone: Option<Located<Times>>,
    /// Between a client outside and the cluster; default 20ms.
    pub external: Option<Located<Times>>,
    /// Always this long.
    pub constant: Option<Located<Period>>,
    /// Equally likely anywhere from `from` to `to`.
    pub uniform: Option<Uniform>,
    /// Memoryless, with this mean.
    pub exponential: Option<Exponential>,
    /// By its middle and its width.
    pub lognormal: Option<LogNormal>,
    /// A heavy tail.
    pub pareto: Option<Pareto>,
    /// P(X > x) = exp(-(x / scale)^shape).
    pub weibull: Option<Weibull>,
    /// With this mean.
    pub gamma: Option<Gamma>,
    /// Parts with weights.
    pub mixture: Option<Vec<Part>>,
    /// Straight lines between percentiles.
    pub percentiles: Option<IndexMap<Located<String>, Located<Period>>>,
    /// A file with one observed duration a line.
    pub file: Option<Located<String>>,
}

impl ScalarOrMap for Latency {
    type Map = LatencyMap;

    fn scalar(text: &str) -> Result<Self, String> {
        Period::parse(text).map(|period| Self {
            everywhere: Some(Times::Constant(period)),
            ..Self::default()
        })
    }

    fn map(map: LatencyMap) -> Self {
        let shape = Shape {
            constant: map.constant,
            uniform: map.uniform,
            exponential: map.exponential,
            lognormal: map.lognormal,
            pareto: map.pareto,
            weibull: map.weibull,
            gamma: map.gamma,
            mixture: map.mixture,
            percentiles: map.percentiles,
            file: map.file,
        };
        let everywhere = (shape != Shape::default()).then(|| Times::Shape(Box::new(shape)));
        Self {
            everywhere,
            same_node: map.same_node,
            same_zone: map.same_zone,
            cross_zone: map.cross_zone,
            external: map.external,
        }
    }
}

scalar_or_map!(Latency, Period);
