//! What goes wrong, and what operators do meanwhile.

use schemars::JsonSchema;

use super::Located;
use super::distribution::Times;
use super::scalars::{Count, CountOrShare, Factor, Period, Share, Status};

/// Something that goes wrong for a while; exactly one kind is given.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Its name.
    pub name: Located<String>,
    /// When it begins.
    pub at: Located<Period>,
    /// How long it lasts; default until the end, for `crash` no longer than the pods take to start.
    #[serde(rename = "for")]
    pub lasts: Option<Located<Period>>,
    /// Work takes `factor` times as long.
    pub slow: Option<Located<Slow>>,
    /// A share of requests is answered with a status at once.
    pub error: Option<Located<ErrorFault>>,
    /// The process dies; what it was doing is lost. It starts again when the fault is over.
    pub crash: Option<Located<Selected>>,
    /// The process stands still (a long garbage collection) and goes on afterwards.
    pub freeze: Option<Located<Selected>>,
    /// Fewer slots or cores.
    pub capacity: Option<Located<Capacity>>,
    /// Every message takes longer.
    pub delay: Option<Located<Delay>>,
    /// A share of messages is lost and sent again.
    pub loss: Option<Located<Striking>>,
    /// Nothing gets through, and nobody is told.
    pub partition: Option<Located<Selected>>,
    /// A share of connections is reset.
    pub reset: Option<Located<Striking>>,
    /// A share of requests is taken and never answered.
    pub blackhole: Option<Located<Striking>>,
    /// A zone goes dark: its pods crash, and nothing gets in or out.
    pub outage: Option<Located<Outage>>,
    /// Names are not resolved.
    pub dns: Option<Located<Selected>>,
    /// Certificates are out of date: new connections with mutual TLS fail.
    pub expire: Option<Located<Selected>>,
    /// A load is multiplied.
    pub surge: Option<Located<Surge>>,
    /// A bad configuration is applied, and taken back at the end.
    pub push: Option<Located<Push>>,
}

/// Which pods or connections a fault strikes; every key narrows it down.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Select {
    /// Pods of this workload.
    pub workload: Option<Located<String>>,
    /// Pods of this version of the workload.
    pub version: Option<Located<String>>,
    /// So many of them, or such a share; default all.
    pub pods: Option<Located<CountOrShare>>,
    /// Pods in this zone.
    pub zone: Option<Located<String>>,
    /// Pods on this machine.
    pub node: Option<Located<String>>,
    /// What goes from the first to the second: workloads, loads, or `gateway`.
    pub edge: Option<Located<(Located<String>, Located<String>)>>,
}

/// A fault that has nothing but a target.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Selected {
    /// What it strikes.
    pub select: Located<Select>,
}

/// Work takes `factor` times as long.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Slow {
    /// What it strikes.
    pub select: Located<Select>,
    /// How many times as long.
    pub factor: Located<Factor>,
}

/// A share of requests is answered with `status` at once.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct ErrorFault {
    /// What it strikes.
    pub select: Located<Select>,
    /// Default 500.
    pub status: Option<Located<Status>>,
    /// Default all.
    pub share: Option<Located<Share>>,
}

/// Fewer slots or cores.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Capacity {
    /// What it strikes.
    pub select: Located<Select>,
    /// Requests worked on at once.
    pub slots: Option<Located<Count<1, 1_000_000>>>,
    /// Processors.
    pub cores: Option<Located<Factor>>,
}

/// Every message takes longer by `add`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Delay {
    /// What it strikes.
    pub select: Located<Select>,
    /// One way.
    pub add: Located<Times>,
}

/// A fault that strikes a share.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Striking {
    /// What it strikes.
    pub select: Located<Select>,
    /// Default all.
    pub share: Option<Located<Share>>,
}

/// A zone goes dark.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Outage {
    /// Which.
    pub zone: Located<String>,
}

/// A load is multiplied.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Surge {
    /// Which.
    pub load: Located<String>,
    /// By how much; users of a closed load likewise.
    pub factor: Located<Factor>,
}

/// A bad configuration.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Push {
    /// Files or folders beside this file.
    pub apply: Vec<Located<String>>,
    /// How long it takes to reach each proxy; default no time.
    pub propagation: Option<Located<Times>>,
}

/// What an operator does; `apply` and `remove` may go together, else exactly one verb is given.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its name.
    pub name: Located<String>,
    /// When.
    pub at: Located<Period>,
    /// Manifests that are applied: files or folders beside this file.
    #[serde(default)]
    pub apply: Vec<Located<String>>,
    /// Objects that are deleted, as `Kind/name` or `Kind/namespace/name`.
    #[serde(default)]
    pub remove: Vec<Located<String>>,
    /// Sets the number of pods.
    pub scale: Option<Located<Scale>>,
    /// Replaces all pods by new ones, some at a time.
    pub restart: Option<Located<Restart>>,
    /// Replaces all pods by ones of another version, some at a time.
    pub rollout: Option<Located<Rollout>>,
    /// How long new configuration takes to reach each proxy; default no time.
    pub propagation: Option<Located<Times>>,
}

/// Sets the number of pods.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Scale {
    /// Of this workload.
    pub workload: Located<String>,
    /// Of this version; default those without one.
    pub version: Option<Located<String>>,
    /// To so many.
    pub replicas: Located<Count<0, 10_000>>,
}

/// Replaces all pods by new ones, as `kubectl rollout restart` does.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Of this workload.
    pub workload: Located<String>,
    /// How many more pods there may be meanwhile; default 25%, rounded up.
    pub max_surge: Option<Located<CountOrShare>>,
    /// How many fewer ready pods there may be meanwhile; default 25%, rounded down.
    pub max_unavailable: Option<Located<CountOrShare>>,
}

/// Replaces all pods by ones of another version.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Of this workload.
    pub workload: Located<String>,
    /// The version.
    pub to: Located<String>,
    /// How many more pods there may be meanwhile; default 25%, rounded up.
    pub max_surge: Option<Located<CountOrShare>>,
    /// How many fewer ready pods there may be meanwhile; default 25%, rounded down.
    pub max_unavailable: Option<Located<CountOrShare>>,
}
