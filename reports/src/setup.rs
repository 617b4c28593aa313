//! What a run is about, named once.

use proxy_core::time::{Duration, Time};
use serde::{Deserialize, Serialize};

use crate::ids::{EdgeId, WorkloadId};

/// Everything a recorder must know before the first request. Positions in the lists are the ids of the calls.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The scenario's name.
    pub scenario: String,
    /// The variant's name; none for the scenario as it is.
    pub variant: Option<String>,
    /// The seed.
    pub seed: u64,
    /// How long requests are sent and measured.
    pub duration: Duration,
    /// Requests meant to be sent before this are left out of the totals.
    pub warmup: Duration,
    /// Width of a window of the series; none chooses 1 s, less for short runs, more for very long ones.
    pub window: Option<Duration>,
    /// What the nodes believe to be the wall clock at the start, for the ends of the time axis.
    pub start_time: Option<String>,
    /// Sources of requests.
    pub loads: Vec<LoadSetup>,
    /// Services and workloads.
    pub workloads: Vec<WorkloadSetup>,
    /// Who calls whom.
    pub edges: Vec<EdgeSetup>,
    /// Clusters whose ejections and limits are watched.
    pub clusters: Vec<ClusterSetup>,
    /// Proxies whose CPU is watched.
    pub proxies: Vec<ProxySetup>,
    /// Faults.
    pub faults: Vec<FaultSetup>,
    /// Changes.
    pub changes: Vec<ChangeSetup>,
    /// Where rules come from.
    pub origins: Vec<Origin>,
}

/// A source of requests.
#[derive(Clone, Debug, Default)]
pub struct LoadSetup {
    /// Its name in the scenario.
    pub name: String,
    /// The workload or gateway its requests enter by.
    pub enters: Option<WorkloadId>,
    /// Of a closed load, whose users wait for their answers, how many there are; none of any other.
    pub users: Option<u32>,
}

/// A service, workload or gateway.
#[derive(Clone, Debug, Default)]
pub struct WorkloadSetup {
    /// Its name, as expectations use it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What it is.
    pub kind: WorkloadKind,
    /// Pods at the start.
    pub replicas: u32,
}

/// What stands in the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkloadKind {
    /// An application.
    #[default]
    Application,
    /// A gateway.
    Gateway,
    /// Something outside that is called.
    External,
}

/// One caller and the service it calls.
#[derive(Clone, Debug)]
pub struct EdgeSetup {
    /// The caller.
    pub from: WorkloadId,
    /// The service called.
    pub to: WorkloadId,
    /// Policy values that hold on this edge.
    pub policies: Vec<PolicyValue>,
}

/// One value that decides something on an edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyValue {
    /// What it is, in the field's words: `per-try timeout`.
    pub name: String,
    /// The value as a person writes it: `2s`.
    pub value: String,
    /// `vs.yaml:14` or `default of istio@1.29`.
    pub origin: String,
}

/// A cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterSetup {
    /// Its name, as expectations use it.
    pub name: String,
    /// The edge it serves.
    pub edge: Option<EdgeId>,
    /// Names of the endpoints known at the start.
    pub endpoints: Vec<String>,
}

/// A proxy.
#[derive(Clone, Debug, Default)]
pub struct ProxySetup {
    /// Its name.
    pub name: String,
    /// The workload it stands before.
    pub workload: Option<WorkloadId>,
    /// Its workers.
    pub workers: u32,
}

/// A fault, from its start to its end.
#[derive(Clone, Debug, Default)]
pub struct FaultSetup {
    /// Its name.
    pub name: String,
    /// What it does, in words that follow the time: `service-b slowed 10×`.
    pub what: String,
    /// When it starts.
    pub start: Time,
    /// When it ends.
    pub end: Time,
}

/// A change by an operator.
#[derive(Clone, Debug, Default)]
pub struct ChangeSetup {
    /// Its name.
    pub name: String,
    /// What it does, in words that follow the time.
    pub what: String,
    /// When it is made.
    pub at: Time,
    /// What it reaches, one after the other.
    pub reaches: Reaches,
}

/// What a change reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reaches {
    /// Proxies, which are sent a configuration.
    #[default]
    Proxies,
    /// Pods, which are started, stopped or replaced.
    Pods,
}

impl Reaches {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a rule comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// `vs.yaml:14` or `default of istio@1.29`.
    pub text: String,
    /// The lines themselves; empty for a default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snippet: String,
    /// What sort of rule it is: `retries of VirtualService default/service-b`.
    pub kind: String,
}

/// The width of a window that suits a run: 1 s, finer when that gives fewer than 60 windows, coarser beyond 600,
/// and a divisor of the warm-up where one of the widths is.
#[must_use]
pub fn window_for(duration: Duration, warmup: Duration) -> Duration {
    const MILLIS: [u64; 15] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000,
    ];
    let widest = MILLIS.len() - 1;
    let target = if duration.as_millis() < 60_000 {
        60
    } else {
        600
    };
    let mut pick = if target == 60 {
        let fits = |ms: u64| duration.as_millis() / ms >= target;
        MILLIS.iter().rposition(|&ms| fits(ms)).unwrap_or(0)
    } else {
        let fits = |ms: u64| duration.as_millis() / ms <= target;
        let first = MILLIS.iter().position(|&ms| fits(ms)).unwrap_or(widest);
        first.max(9)
    };
    while pick > 0
        && !warmup.as_nanos().is_multiple_of(MILLIS[pick] * 1_000_000)
        && duration.as_millis() / MILLIS[pick - 1] <= 1_200
    {
        pick -= 1;
    }
    Duration::from_millis(MILLIS[pick])
}
