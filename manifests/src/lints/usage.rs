//! What a scenario knows of the use of a model: who asks whom, how often it tries, and how much room there is.

use std::collections::BTreeMap;

use proxy_core::time::Duration;

use crate::model::{Labels, ServiceId, WorkloadId};
use crate::text::Span;

/// What is known of a model's use; manifests alone know nothing.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Who asks whom.
    pub asks: Vec<Ask>,
    /// How much the pods of a workload work on at once.
    pub rooms: BTreeMap<WorkloadId, Room>,
    /// Pods of a workload by their labels, where a scenario says more of them than the manifests.
    pub pods: BTreeMap<WorkloadId, Vec<(Labels, u32)>>,
}

/// One request that is made over and over, and how its caller tries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Who asks.
    pub asker: Asker,
    /// Where the request enters.
    pub entrance: Entrance,
    /// Its method.
    pub method: String,
    /// Its authority.
    pub authority: String,
    /// Its path.
    pub path: String,
    /// All tries of the caller itself, the first among them.
    pub tries: u32,
    /// How long the caller waits for each.
    pub timeout: Option<Duration>,
    /// Where it is written.
    pub span: Span,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asker {
    /// A client outside, by the name of its load.
    Client(String),
    /// The pods of a workload.
    Workload(WorkloadId),
}

/// Where a request enters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entrance {
    /// A Service and its port.
    Service(ServiceId, u16),
    /// A gateway: this one, or any that serves its authority.
    Gateway(Option<String>),
}

/// How much all pods of a workload work on at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Requests at work.
    pub slots: u64,
    /// Requests that may wait besides; none: as many as come.
    pub queue: Option<u64>,
}
