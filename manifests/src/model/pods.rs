//! The pods that are there at one moment, as a driver keeps them.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::config::Name;

use super::{Labels, WorkloadId};

/// Where a pod, or a caller, is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct Place {
    /// `region/zone/subzone`, as far as known.
    pub locality: Name,
    /// The node, if known.
    pub node: Name,
}

/// One pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Its address.
    pub ip: IpAddr,
    /// Its name.
    pub name: Name,
    /// Where it is.
    pub place: Place,
    /// Whether it passes its readiness check: only then is it an endpoint.
    pub ready: bool,
    /// On its way out: no endpoint any more, running requests go on.
    pub draining: bool,
    /// Its labels, where they differ from its workload's (versions of a scenario).
    pub labels: Option<Arc<Labels>>,
}

/// All pods, workload by workload; or those that EndpointSlices name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pods {
    workloads: Vec<Vec<Pod>>,
    listed: bool,
    generation: u64,
}

impl Pods {
    /// No pods yet of `workloads` workloads.
    #[must_use]
    pub fn new(workloads: usize) -> Self {
        Self {
            workloads: vec![Vec::new(); workloads],
            ..Self::default()
        }
    }

    /// The pods are those of the [`Listed`](super::Listed) endpoints of Services, and no others.
    #[must_use]
    pub fn listed() -> Self {
        Self {
            listed: true,
            ..Self::default()
        }
    }

    /// Whether EndpointSlices say which pods there are.
    #[must_use]
    pub const fn are_listed(&self) -> bool {
        self.listed
    }

    /// The pods of a workload, in a fixed order.
    #[must_use]
    pub fn of(&self, workload: WorkloadId) -> &[Pod] {
        self.workloads
            .get(workload.index())
            .map_or(&[], Vec::as_slice)
    }

    /// The pods of a workload, to change them.
    pub fn of_mut(&mut self, workload: WorkloadId) -> &mut Vec<Pod> {
        self.generation += 1;
        let needed = workload.index() + 1;
        if self.workloads.len() < needed {
            self.workloads.resize(needed, Vec::new());
        }
        &mut self.workloads[workload.index()]
    }

    /// Every pod with its workload.
    pub fn iter(&self) -> impl Iterator<Item = (WorkloadId, &Pod)> {
        let workloads = self.workloads.iter().enumerate();
        workloads.flat_map(|(at, pods)| pods.iter().map(move |pod| (WorkloadId(at as u32), pod)))
    }

    /// Differs after every change.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}
