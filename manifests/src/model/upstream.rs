//! Whom a cluster leads to, in words that every dialect shares; live pods turn it into endpoints.

use proxy_core::config::{Endpoint, Name, Subset};

use super::{ServiceId, TargetPort, WorkloadId};

/// Whom a cluster leads to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Upstream {
    /// Who.
    pub members: Members,
    /// How their places count.
    pub placement: Placement,
    /// Workloads that are spoken to in plaintext although they have a sidecar (their port has mutual TLS off).
    pub plaintext: Vec<WorkloadId>,
}

/// Who is behind a cluster.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Members {
    /// Nobody that configuration knows: an original destination, or a service without selector.
    #[default]
    None,
    /// The pods behind a Service's port.
    Pods {
        /// The Service.
        service: ServiceId,
        /// Its port.
        port: u16,
        /// Labels that their pods must have besides; empty: all.
        labels: Subset,
    },
    /// The pods behind a Service's port for datagrams.
    Datagrams {
        /// The Service.
        service: ServiceId,
        /// Its port.
        port: u16,
    },
    /// The pods of these workloads, whatever Service they stand behind.
    Workloads {
        /// Whose pods.
        workloads: Vec<WorkloadId>,
        /// What is dialled on them.
        port: TargetPort,
    },
    /// The Service's own address: kube-proxy picks the pod of each connection.
    Address {
        /// The Service.
        service: ServiceId,
        /// Its port.
        port: u16,
    },
    /// These.
    Fixed(Vec<Endpoint>),
    /// All of several.
    Several(Vec<Self>),
    /// Each of several at a priority of its own: the first is used first. Who is in two of them is in the first.
    Ranked(Vec<Self>),
}

/// How the places of pods count.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Placement {
    /// Not: one priority, no weights.
    #[default]
    Alike,
    /// One priority, localities weighted by their number of endpoints.
    Weighted,
    /// Nearest first; see [`Failover`].
    Failover(Failover),
    /// Shares by locality; see [`Distribution`].
    Distribute(Vec<Distribution>),
}

/// Nearest pods at the first priority, the others after them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Failover {
    /// Labels (topology labels among them) in their order: the more of them agree from the start, the better. A value replaces the
    /// caller's own. Empty: by region, zone and subzone alone.
    pub labels: Vec<(Name, Option<Name>)>,
    /// Whether region, zone and subzone count (after `labels`, if there are any).
    pub localities: bool,
    /// For callers of a region, the region that comes next.
    pub regions: Vec<(Name, Name)>,
    /// Whether localities of one priority share by their number of endpoints.
    pub weighted: bool,
}

/// Where the requests of callers in a locality go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Distribution {
    /// `region/zone/subzone` of callers; `*` at any level takes all below.
    pub from: Name,
    /// The same of endpoints, and their shares.
    pub to: Vec<(Name, u32)>,
}
