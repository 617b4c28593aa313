//! What is executed: a scenario compiled to flat tables, the same for the simulator and for real services.
//!
//! [`Plan::compile`] takes one flight of a scenario file and what the manifests hold ([`Known`]); every name becomes a dense id, every
//! wrong one a diagnostic with its place.

pub(crate) mod compile;
pub mod environment;
pub mod events;
pub mod ids;
pub mod known;
pub mod load;
pub mod program;
pub mod workload;

use std::sync::Arc;

use manifests::text::{Span, Spanned};
use proxy_core::draw::DrawKey;
use proxy_core::time::Duration;

use crate::assumptions::Assumption;

pub use environment::{
    GatewayOverride, Machine, MeshChoice, MeshSystem, Network, Proxies, ProxyCpu, SidecarOverrides,
    Spread, Topology, Window,
};
pub use events::{Change, ChangeKind, Fault, FaultKind, Pace, Peer, Pods, Select};
pub use ids::*;
pub use known::{Declared, Known, KnownService, KnownWorkload};
pub use load::{Client, Load, Process, Protocol, Via};
pub use program::Program;
pub use workload::{HeaderValue, RequestTemplate, Service, Version, Workload};

/// A scenario, ready to be flown.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Which flight of it this is.
    pub flight: String,
    /// What the scenario shows.
    pub description: Option<String>,
    /// What the nodes believe the time is at the start, in seconds since 1970.
    pub epoch: u64,
    pub duration: Duration,
    /// Left out of the statistics.
    pub warmup: Duration,
    pub seed: u64,
    /// Files and folders beside the scenario file: layers, the later wins.
    pub manifests: Vec<Spanned<String>>,
    /// Objects that are taken away from them, as `Kind/name` or `Kind/namespace/name`.
    pub remove: Vec<Spanned<String>>,
    /// None: what the manifests show.
    pub mesh: Option<MeshChoice>,
    pub gateways: Vec<GatewayOverride>,
    pub sidecars: SidecarOverrides,
    pub proxies: Proxies,
    pub topology: Topology,
    pub network: Network,
    /// What the services do; distributions and policies of everything else are in its tables too.
    pub program: Arc<Program>,
    pub requests: Vec<RequestTemplate>,
    pub workloads: Vec<Workload>,
    pub services: Vec<Service>,
    pub loads: Vec<Arc<Load>>,
    pub faults: Vec<Fault>,
    pub changes: Vec<Change>,
    /// CEL, as written.
    pub expectations: Vec<Expectation>,
    /// What nobody knew for sure, by path.
    pub assumptions: Vec<Assumption>,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub text: String,
    pub span: Span,
}

impl Plan {
    /// The root of all draws of a run with this seed.
    #[must_use]
    pub fn root(seed: u64) -> DrawKey {
        DrawKey::root(seed)
    }

    /// The workload of this name, as `namespace/name` or `name` when only one has it.
    #[must_use]
    pub fn workload_named(&self, name: &str) -> Option<WorkloadId> {
        let mut found =
            self.workloads
                .iter()
                .enumerate()
                .filter(|(_, workload)| match name.split_once('/') {
                    Some((namespace, name)) => {
                        *workload.namespace == *namespace && *workload.name == *name
                    }
                    None => *workload.name == *name,
                });
        let first = found.next()?;
        found.next().is_none().then(|| WorkloadId::at(first.0))
    }
}
