//! The scenario format as it is written: `windtunnel.dev/v1alpha1`, kind `Scenario`.
//!
//! Types here hold what one text says, each value with its place. What a value by itself can get wrong (a negative rate, a share of
//! 130 %) is refused while it is read; what it means among the others is decided when [`crate::plan`] compiles it.

mod distribution;
mod either;
mod environment;
mod events;
mod load;
mod located;
pub mod scalars;
mod workload;

use indexmap::IndexMap;
use schemars::JsonSchema;

pub use distribution::{
    Exponential, Gamma, LogNormal, Pareto, Part, Shape, Times, Uniform, Weibull,
};
pub use environment::{
    Gateway, Latency, LatencyMap, Network, Proxies, ProxyCpu, Sidecars, Spread, Topology,
};
pub use events::{
    Capacity, Change, Delay, ErrorFault, Fault, Outage, Push, Restart, Rollout, Scale, Select,
    Selected, Slow, Striking, Surge,
};
pub use load::{
    Arrivals, Client, Closed, Host, Load, Method, Open, Path, Protocol, Request, Stage,
};
pub use located::Located;
pub use workload::{
    Backoff, Call, CallerGone, Cpu, Discipline, DrawnValue, ErrorStatus, Handler, HeaderValue,
    Hedge, Jitter, Many, Match, OnError, OnErrorMap, Queue, RequestLine, Response, SlotDuringCalls,
    Start, Step, Version, Workload, Zipf,
};

use scalars::{Period, Timestamp};

/// The `apiVersion` of every scenario.
pub const API_VERSION: &str = "windtunnel.dev/v1alpha1";
/// The `kind` of every scenario.
pub const KIND: &str = "Scenario";

/// A scenario file.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// `windtunnel.dev/v1alpha1`.
    pub api_version: Located<String>,
    /// `Scenario`.
    pub kind: Located<String>,
    /// Its name.
    pub metadata: Metadata,
    /// What happens.
    pub spec: Spec,
}

/// What a scenario is called.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Metadata {
    /// A short name in lower case.
    pub name: Located<String>,
    /// What it shows, in a sentence.
    pub description: Option<String>,
}

/// What happens in a scenario.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// What the nodes believe the time is at the start; only calendar rules care.
    pub start_time: Option<Located<Timestamp>>,
    /// How long it lasts.
    pub duration: Located<Period>,
    /// Left out of the statistics; default none.
    pub warmup: Option<Located<Period>>,
    /// Where chance starts; default 1.
    pub seed: Option<Located<u64>>,
    /// Files or folders beside this file; layers, the later wins.
    #[serde(default)]
    pub manifests: Vec<Located<String>>,
    /// Objects of the manifests that are left out, as `Kind/name` or `Kind/namespace/name`.
    #[serde(default)]
    pub remove: Vec<Located<String>>,
    /// `none`, `istio`, `linkerd`, `consul` or `kuma`, with `@release`; default: what the manifests show.
    pub mesh: Option<Located<String>>,
    /// Gateways as `namespace/name`.
    #[serde(default)]
    pub gateways: IndexMap<Located<String>, Gateway>,
    /// Who has a sidecar where the manifests do not say.
    #[serde(default)]
    pub sidecars: Sidecars,
    /// The proxy processes.
    #[serde(default)]
    pub proxies: Proxies,
    /// Zones and machines.
    #[serde(default)]
    pub topology: Topology,
    /// The network between pods.
    #[serde(default)]
    pub network: Network,
    /// Services, by the name of their Deployment or StatefulSet (`namespace/name`), or new ones.
    #[serde(default)]
    pub workloads: IndexMap<Located<String>, Workload>,
    /// Who sends requests.
    #[serde(default)]
    pub load: Vec<Located<Load>>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Located<Fault>>,
    /// What operators do meanwhile.
    #[serde(default)]
    pub changes: Vec<Located<Change>>,
    /// The same scenario, differently: edits of this `spec` by name. `key+` appends to a list, `key` merges or replaces, null takes away.
    #[serde(default)]
    pub variants: IndexMap<String, IndexMap<String, serde_json::Value>>,
    /// What must hold, in CEL.
    #[serde(default)]
    pub expect: Vec<Located<String>>,
}
