//! Faults and changes, resolved.

use manifests::text::{Span, Spanned};
use proxy_core::time::Time;

use super::environment::Window;
use super::ids::{DistId, LoadId, NodeId, WorkloadId, ZoneId};

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub name: Box<str>,
    pub window: Window,
    pub kind: FaultKind,
    /// Where it is written.
    pub span: Span,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Work takes `factor` times as long.
    Slow { select: Select, factor: f64 },
    /// `share` of the requests that arrive are answered `status` at once.
    Error {
        select: Select,
        status: u16,
        share: f64,
    },
    /// The process dies. It starts again when the window ends; without a length, at once.
    Crash { select: Select },
    /// The process stands still.
    Freeze { select: Select },
    /// At least one of the two is given.
    Capacity {
        select: Select,
        slots: Option<u32>,
        cores: Option<f64>,
    },
    /// Every message takes longer, one way.
    Delay { select: Select, add: DistId },
    /// `share` of the messages is lost and sent again.
    Loss { select: Select, share: f64 },
    /// Nothing gets through, and nobody is told.
    Partition { select: Select },
    /// `share` of the connections is reset when a request goes over them.
    Reset { select: Select, share: f64 },
    /// `share` of the requests is taken and never answered.
    Blackhole { select: Select, share: f64 },
    /// The pods of the zone crash, and nothing gets in or out.
    Outage { zone: ZoneId },
    /// Names are not resolved by the selected callers.
    Dns { select: Select },
    /// The selected pods' certificates are out of date.
    Expire { select: Select },
    /// The load is multiplied; the arrivals of the plan hold it already.
    Surge { load: LoadId, factor: f64 },
    /// Manifests that are applied, and taken back when the window ends.
    Push {
        apply: Vec<Spanned<String>>,
        propagation: Option<DistId>,
    },
}

impl FaultKind {
    /// Its key in scenarios.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::Error { .. } => "error",
            Self::Crash { .. } => "crash",
            Self::Freeze { .. } => "freeze",
            Self::Capacity { .. } => "capacity",
            Self::Delay { .. } => "delay",
            Self::Loss { .. } => "loss",
            Self::Partition { .. } => "partition",
            Self::Reset { .. } => "reset",
            Self::Blackhole { .. } => "blackhole",
            Self::Outage { .. } => "outage",
            Self::Dns { .. } => "dns",
            Self::Expire { .. } => "expire",
            Self::Surge { .. } => "surge",
            Self::Push { .. } => "push",
        }
    }

    /// What it strikes, for the kinds that select.
    #[must_use]
    pub fn select(&self) -> Option<&Select> {
        match self {
            Self::Slow { select, .. }
            | Self::Error { select, .. }
            | Self::Crash { select }
            | Self::Freeze { select }
            | Self::Capacity { select, .. }
            | Self::Delay { select, .. }
            | Self::Loss { select, .. }
            | Self::Partition { select }
            | Self::Reset { select, .. }
            | Self::Blackhole { select, .. }
            | Self::Dns { select }
            | Self::Expire { select } => Some(select),
            Self::Outage { .. } | Self::Surge { .. } | Self::Push { .. } => None,
        }
    }
}

/// Which pods or connections a fault strikes: all that every given part holds for.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub workload: Option<WorkloadId>,
    /// Place in the workload's versions; only with a workload.
    pub version: Option<usize>,
    pub pods: Pods,
    pub zone: Option<ZoneId>,
    pub node: Option<NodeId>,
    /// What goes from the first to the second; for the kinds that strike connections.
    pub edge: Option<(Peer, Peer)>,
}

/// How many of the pods; which ones is drawn by [`proxy_core::draw::Purpose::FaultSelection`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pods {
    All,
    Count(u32),
    /// Rounded up: a share above zero strikes at least one.
    Share(f64),
}

impl Pods {
    /// How many of `total` are struck.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::All => total,
            Self::Count(count) => total.min(count as usize),
            Self::Share(share) => (libm::ceil(total as f64 * share) as usize).min(total),
        }
    }
}

/// One end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Workload(WorkloadId),
    /// Clients of this load.
    Load(LoadId),
    /// Every gateway.
    Gateways,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub name: Box<str>,
    pub at: Time,
    pub kind: ChangeKind,
    /// Until each proxy has new configuration; none: at once.
    pub propagation: Option<DistId>,
    /// Where it is written.
    pub span: Span,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    /// Adds a layer of manifests and takes objects away.
    Apply {
        apply: Vec<Spanned<String>>,
        remove: Vec<Spanned<String>>,
    },
    /// Sets the number of pods of a version.
    Scale {
        workload: WorkloadId,
        version: usize,
        replicas: u32,
    },
    /// Replaces all pods by new ones of the same version.
    Restart { workload: WorkloadId, pace: Pace },
    /// Replaces all pods by ones of the version at `to`.
    Rollout {
        workload: WorkloadId,
        to: usize,
        pace: Pace,
    },
}

/// How fast pods are replaced. Source: Kubernetes Deployment `strategy.rollingUpdate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// More pods than wanted.
    pub max_surge: CountOrShare,
    /// Fewer ready pods than wanted.
    pub max_unavailable: CountOrShare,
}

/// So many, or a share of the wanted pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CountOrShare {
    Count(u32),
    Share(f64),
}

impl Pace {
    /// More and fewer pods as numbers for a workload of `replicas`: shares of surge are rounded up, of absence down; both zero
    /// becomes one unavailable, so that the rollout goes on.
    #[must_use]
    pub fn of(self, replicas: u32) -> (u32, u32) {
        let part = |what, round: fn(f64) -> f64| match what {
            CountOrShare::Count(count) => count,
            CountOrShare::Share(share) => round(f64::from(replicas) * share) as u32,
        };
        let surge = part(self.max_surge, libm::ceil);
        let unavailable = part(self.max_unavailable, libm::floor).min(replicas);
        if surge == 0 && unavailable == 0 {
            (0, 1)
        } else {
            (surge, unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_always_may_replace_a_pod() {
        let share = CountOrShare::Share;
        for (surge, unavailable, replicas, expected) in [
            (share(0.25), share(0.25), 4, (1, 1)),
            (share(0.25), share(0.25), 1, (1, 0)),
            (share(0.25), share(0.25), 10, (3, 2)),
            (CountOrShare::Count(0), CountOrShare::Count(0), 3, (0, 1)),
        ] {
            let pace = Pace {
                max_surge: surge,
                max_unavailable: unavailable,
            };
            assert_eq!(pace.of(replicas), expected);
        }
    }

    #[test]
    fn a_share_of_pods_strikes_at_least_one() {
        assert_eq!(Pods::Share(0.1).of(3), 1);
        assert_eq!(Pods::Share(0.5).of(4), 2);
        assert_eq!(Pods::Share(0.0).of(4), 0);
        assert_eq!(Pods::Count(9).of(4), 4);
    }
}
