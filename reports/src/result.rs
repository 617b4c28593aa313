//! What a run leaves behind: totals and series of everything that was named in its setup.
//!
//! Times are integer nanoseconds since the start (`…Ns`), series have one entry a window, shares are computed by whoever
//! reads them. Nothing here depends on the host or on a clock, so the same run gives the same bytes.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::outcome::{EjectionReason, ErrorReason, Handled, Limit, Refusal, RetryCondition};
use crate::setup::{Origin, PolicyValue, Reaches, WorkloadKind};

/// The version of the JSON that [`RunResult`] becomes. It changes when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// One run, or several of one scenario on different seeds pooled into one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The variant's name; none for the scenario as it is.
    pub variant: Option<String>,
    /// The seeds, in order; several when replications were pooled.
    pub seeds: Vec<u64>,
    /// The axis that all series share.
    pub time: TimeAxis,
    /// What each load saw.
    pub loads: Vec<LoadResult>,
    /// What each workload, gateway or external service did.
    pub workloads: Vec<WorkloadResult>,
    /// What went from each caller to each service it calls.
    pub edges: Vec<EdgeResult>,
    /// Connections that proxies refused by policy; absent where there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedBy>,
    /// Ejections and limits by cluster.
    pub clusters: Vec<ClusterResult>,
    /// Proxies, busiest first when pooled; only those whose CPU was watched.
    pub proxies: Vec<ProxyResult>,
    /// Faults.
    pub faults: Vec<FaultResult>,
    /// Changes.
    pub changes: Vec<ChangeResult>,
    /// Where rules come from; `origin` fields elsewhere are positions here.
    pub origins: Vec<Origin>,
    /// Notable moments of the first seed, in order of time.
    pub notes: Vec<Noted>,
    /// Notable moments that were too many to keep.
    pub notes_dropped: u64,
    /// The verdict of each expectation.
    pub expectations: Vec<crate::verdict::Verdict>,
    /// Main figures of each seed, for intervals.
    pub replications: Vec<Replication>,
    /// Waterfalls of chosen requests, of the first seed.
    pub waterfalls: Vec<crate::waterfall::Waterfall>,
    /// What the result rests on.
    pub basis: Basis,
}

/// The axis that all series share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeAxis {
    /// How long requests were sent and measured.
    pub duration_ns: u64,
    /// Requests meant to be sent before this are left out of the totals.
    pub warmup_ns: u64,
    /// Width of a window.
    pub window_ns: u64,
    /// Number of windows; the last may be shorter.
    pub windows: usize,
    /// The wall clock that the nodes believed in at the start.
    pub start_time: Option<String>,
    /// When the run was cut short, the moment until which it was measured.
    pub cut_at_ns: Option<u64>,
    /// How many runs the series and totals add up; whoever reads a rate or a mean divides by it.
    pub runs: u64,
}

/// What a load saw.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadResult {
    /// Its name.
    pub name: String,
    /// The workload its requests enter by, a position in `workloads`.
    pub enters: Option<u32>,
    /// Of a closed load, which sends as much as its answers let it, how many users there are; absent of any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// Requests meant to be sent after the warm-up: `sent = succeeded + failed + unfinished`.
    pub sent: u64,
    /// Answered below 500 within the client's timeout.
    pub succeeded: u64,
    /// Finished otherwise.
    pub failed: u64,
    /// Not finished when the run ended.
    pub unfinished: u64,
    /// Requests of the warm-up, left out of the above.
    pub warmup_sent: u64,
    /// Tries by the client itself over all finished requests.
    pub client_attempts: u64,
    /// Finished requests by why they were not served; `none` is served. A 429 is a success and `rateLimited` at once.
    pub reasons: BTreeMap<ErrorReason, u64>,
    /// Latency of successes, from the moment each was meant to be sent.
    pub ok_latency: Histogram,
    /// Latency of failures.
    pub failed_latency: Histogram,
    /// By the window in which requests were meant to be sent; `completed` by the window in which they finished.
    pub series: LoadSeries,
}

/// A load over time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadSeries {
    /// Requests meant to be sent in the window.
    pub sent: Vec<u64>,
    /// Those of `sent` that succeeded, whenever they did.
    pub succeeded: Vec<u64>,
    /// Those of `sent` that finished, by reason; reasons that never occurred are absent.
    pub reasons: BTreeMap<ErrorReason, Vec<u64>>,
    /// Successes that completed in the window, whenever they were sent: goodput.
    pub completed: Vec<u64>,
    /// Latencies of those of `sent` that succeeded.
    pub ok_latency: Vec<Histogram>,
    /// Latencies of those of `sent` that failed.
    pub failed_latency: Vec<Histogram>,
}

/// A level over time: exact time-weighted mean, and maximum, of each window.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Levels {
    /// Level times nanoseconds, summed over the window; divide by the time covered for the mean.
    pub area: Vec<u64>,
    /// The highest level in the window.
    pub max: Vec<u64>,
}

/// What a workload did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadResult {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What it is.
    pub kind: WorkloadKind,
    /// Pods at the start.
    pub replicas: u32,
    /// Requests by how they were dealt with, after the warm-up.
    pub handled: BTreeMap<Handled, u64>,
    /// Requests dealt with in each window.
    pub handled_series: BTreeMap<Handled, Vec<u64>>,
    /// Requests waiting, all replicas together.
    pub queue: Levels,
    /// Slots at work, all replicas together.
    pub busy: Levels,
    /// Slots there are, all replicas together.
    pub capacity: Levels,
}

/// What went from a caller to a service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeResult {
    /// The caller, a position in `workloads`.
    pub from: u32,
    /// The service called, a position in `workloads`.
    pub to: u32,
    /// Policy values that hold here.
    pub policies: Vec<PolicyValue>,
    /// After the warm-up.
    pub totals: EdgeTotals,
    /// Latency of attempts after the warm-up, from dispatch to the end, whatever the end.
    pub latency: Histogram,
    /// Attempts over time.
    pub series: EdgeSeries,
    /// Retries and hedges by the rule and condition that made them.
    pub retried: Vec<RetriedBy>,
    /// Calls and attempts refused, by the limit that did.
    pub rejected: Vec<RejectedBy>,
    /// Requests under way on the edge.
    pub active: Levels,
}

/// Counts of an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeTotals {
    /// First attempts.
    pub first: u64,
    /// Retries.
    pub retries: u64,
    /// Hedges.
    pub hedges: u64,
    /// Attempts served.
    pub ok: u64,
    /// Attempts that ended in an answer of 500 or above.
    pub status_5xx: u64,
    /// Attempts that ran into a timeout.
    pub timeouts: u64,
    /// Attempts that ended otherwise without an answer.
    pub broken: u64,
    /// Attempts given up by the caller's side.
    pub cancelled: u64,
    /// Calls and attempts refused by a limit.
    pub rejected: u64,
    /// Calls, with all their attempts, that ended well.
    pub calls_ok: u64,
    /// Calls that did not.
    pub calls_failed: u64,
    /// Calls that an application gave up before they had ended: one beside it had failed, its own caller had gone, or it died.
    #[serde(default)]
    pub calls_given_up: u64,
}

impl EdgeTotals {
    /// All attempts.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        self.first + self.retries + self.hedges
    }

    /// All calls that are over.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls_ok + self.calls_failed + self.calls_given_up
    }

    /// Adds the counts of another window or seed.
    pub const fn add(&mut self, other: &Self) {
        self.first += other.first;
        self.retries += other.retries;
        self.hedges += other.hedges;
        self.ok += other.ok;
        self.status_5xx += other.status_5xx;
        self.timeouts += other.timeouts;
        self.broken += other.broken;
        self.cancelled += other.cancelled;
        self.rejected += other.rejected;
        self.calls_ok += other.calls_ok;
        self.calls_failed += other.calls_failed;
        self.calls_given_up += other.calls_given_up;
    }
}

/// An edge over time. Attempts count in the window they start in, ends in the window they end in.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeSeries {
    /// Counts of each window.
    pub counts: Vec<EdgeTotals>,
    /// Latencies of attempts that ended in the window.
    pub latency: Vec<Histogram>,
}

/// Attempts that a rule made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetriedBy {
    /// The rule; none is the application's or the client's own.
    pub origin: Option<u32>,
    /// The condition it saw.
    pub condition: RetryCondition,
    /// After the warm-up.
    pub count: u64,
    /// By window.
    pub series: Vec<u64>,
}

/// Calls and attempts that a limit refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedBy {
    /// The limit.
    pub limit: Limit,
    /// Where it comes from.
    pub origin: Option<u32>,
    /// After the warm-up.
    pub count: u64,
    /// By window.
    pub series: Vec<u64>,
}

/// Connections that proxies refused, by who dialled, whose proxies they were, and the rule.
///
/// What was to be sent over them is told elsewhere: as attempts that broke, and as requests that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedBy {
    /// Whose pods dialled, a position in `workloads`; none for clients outside.
    pub from: Option<u32>,
    /// Whose proxies refused, a position in `workloads`; a sidecar refuses its own pod what may not leave.
    pub by: u32,
    /// What about the connections was refused.
    pub why: Refusal,
    /// By which rule.
    pub origin: Option<u32>,
    /// After the warm-up.
    pub count: u64,
    /// By window.
    pub series: Vec<u64>,
}

/// What happened to a cluster's endpoints.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterResult {
    /// Its name.
    pub name: String,
    /// The edge it serves, a position in `edges`.
    pub edge: Option<u32>,
    /// Names of its endpoints.
    pub endpoints: Vec<String>,
    /// Ejections that started after the warm-up, by every proxy that made one.
    pub ejections: u64,
    /// Ejections in order of their start, as many as were kept.
    pub ejected: Vec<Ejected>,
    /// Ejections in force, over all proxies.
    pub out: Levels,
    /// When a limit or breaker refused, in order; overlapping ones of several proxies, and those less than a window apart,
    /// are joined.
    pub open: Vec<Open>,
}

/// One endpoint out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ejected {
    /// A position in the cluster's `endpoints`.
    pub endpoint: u32,
    /// Which proxy did it, a position in `proxies`, where it is known.
    pub proxy: Option<u32>,
    /// From when.
    pub from_ns: u64,
    /// Until when; none when it lasted to the end.
    pub to_ns: Option<u64>,
    /// Why.
    pub reason: EjectionReason,
    /// By which rule.
    pub origin: Option<u32>,
}

/// A limit or breaker refusing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// Which limit.
    pub limit: Limit,
    /// From when.
    pub from_ns: u64,
    /// Until when; none when it lasted to the end.
    pub to_ns: Option<u64>,
    /// By which rule.
    pub origin: Option<u32>,
}

/// A proxy's CPU.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyResult {
    /// Its name.
    pub name: String,
    /// The workload it stands before, a position in `workloads`.
    pub workload: Option<u32>,
    /// Its workers.
    pub workers: u32,
    /// Workers at work.
    pub busy: Levels,
}

/// A fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultResult {
    /// Its name.
    pub name: String,
    /// What it did, in words.
    pub what: String,
    /// When it was to start.
    pub start_ns: u64,
    /// When it was to end.
    pub end_ns: u64,
    /// When it did start; none when it never did.
    pub started_ns: Option<u64>,
    /// When it did end; none when it never did.
    pub ended_ns: Option<u64>,
}

/// A change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeResult {
    /// Its name.
    pub name: String,
    /// What it did, in words.
    pub what: String,
    /// When it was made.
    pub at_ns: u64,
    /// When the first proxy or pod had it.
    pub first_applied_ns: Option<u64>,
    /// When the last one had it.
    pub last_applied_ns: Option<u64>,
    /// How many have it.
    pub applied: u64,
    /// How many of what; absent for proxies.
    #[serde(default, skip_serializing_if = "Reaches::is_default")]
    pub reaches: Reaches,
}

/// A notable moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    /// When.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// What can be notable; numbers are positions in the lists of the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Note {
    /// A bounded queue turned a request away for the first time since it last had room.
    QueueFull { workload: u32 },
    /// A pod went away.
    PodDown { workload: u32, pod: u32 },
    /// A pod became ready.
    PodReady { workload: u32, pod: u32 },
    /// A cluster began to ignore health because too few endpoints were left.
    PanicEntered { cluster: u32, origin: Option<u32> },
    /// A cluster heeds health again.
    PanicLeft { cluster: u32 },
    /// A cluster has no endpoint left to offer.
    NoEndpoint { cluster: u32 },
    /// Traffic of a cluster went to another priority or locality.
    FailedOver { cluster: u32, origin: Option<u32> },
    /// A proxy refused a configuration.
    ConfigRefused { change: u32, proxy: u32 },
}

/// Main figures of one seed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// The seed.
    pub seed: u64,
    /// Figures by name: `latency(shoppers).p99`, durations in nanoseconds.
    pub figures: IndexMap<String, f64>,
    /// The value of each expectation, in their order; none without samples.
    pub expectations: Vec<Option<f64>>,
    /// Whether each expectation held on this seed alone.
    pub held: Vec<Option<bool>>,
}

/// What a result rests on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// Version of the program.
    pub version: String,
    /// The command that reproduces the result.
    pub command: String,
    /// Digests of the files it read: name, digest.
    pub digests: Vec<(String, String)>,
    /// Systems and the releases whose defaults hold: `istio`, `1.29`.
    pub releases: Vec<(String, String)>,
    /// Values that nobody stated.
    pub assumptions: Vec<Assumption>,
    /// Values that the command line set in the place of the scenario's: path, value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Fields that are not modelled.
    pub not_modelled: Vec<NotModelled>,
    /// What was said while reading, as text.
    pub diagnostics: String,
    /// Where proxies that stood in the place of our own decide otherwise than they are meant to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departures: Vec<String>,
    /// Why not all that was asked for was run; empty when it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub partial: String,
    /// The manifests in one text, so that variants can be set side by side; empty when not asked for.
    #[serde(default)]
    pub manifests: Vec<(String, String)>,
}

/// A value that nobody stated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assumption {
    /// What it is about.
    pub what: String,
    /// The value taken.
    pub value: String,
    /// Where it is written, or which default.
    pub origin: String,
    /// Other values that were tried in its place, one at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// Another value in the place of an assumed one, everything else as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The value.
    pub value: String,
    /// What comes out otherwise with it, in words: an expectation and its verdict; empty when every verdict stays.
    pub flips: Vec<String>,
}

impl Tried {
    /// In words that can stand alone: ``with 4ms `success('users') > 0.9` failed``.
    #[must_use]
    pub fn text(&self) -> String {
        if self.flips.is_empty() {
            format!("with {} every verdict stays", self.value)
        } else {
            format!("with {}: {}", self.value, crate::words::list(&self.flips))
        }
    }
}

/// A field that is not modelled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotModelled {
    /// The field, with file and line.
    pub field: String,
    /// What that means for the result.
    pub means: String,
    /// Whether it lies on a path that carried load.
    pub on_loaded_path: bool,
}
