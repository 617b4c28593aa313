//! What was read, compiled per node: services, workloads, gateways, their names and addresses, and the configuration of each proxy.
//!
//! The [`facts`](Service) here are neutral: every dialect sees them alike and none adds to them.

mod bridge;
mod build;
mod compiled;
mod credentials;
mod directory;
mod endpoints;
mod facts;
mod ids;
mod pods;
mod upstream;

pub use build::{Declared, Input, MeshWish, Seen};
pub use compiled::Model;
pub use credentials::Credential;
pub use directory::{Destination, Directory};
pub use endpoints::{Caller, Cast, ready_addresses};
pub use facts::{
    ContainerPort, GatewayFacts, GatewayOverride, Labels, Listed, Listen, Service, ServiceAddress,
    ServiceKind, ServicePort, SidecarFacts, SidecarRules, TargetPort, Workload, WorkloadKind,
    selects,
};
pub use ids::{GatewayId, NodeRef, ServiceId, WorkloadId};
pub use pods::{Place, Pod, Pods};
pub use upstream::{Distribution, Failover, Members, Placement, Upstream};
