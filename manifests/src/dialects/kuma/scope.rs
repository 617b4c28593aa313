//! Whose proxies a policy is for, and which of several policies is the more specific.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::dataplane::{Dataplane, Inbound, has_tags};
use crate::model::{Labels, WorkloadKind};

/// Whose proxies a policy is for.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The policy's mesh.
    pub(super) mesh: Name,
    /// The policy's namespace.
    pub(super) namespace: Name,
    /// The policy's name.
    pub(super) name: Name,
    pub(super) top: Top,
    pub(super) role: Role,
    pub(super) from: ControlPlane,
    /// Where the policy is written; of stock ones nowhere.
    pub(super) origin: OriginId,
}

/// Which proxies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Top {
    /// All of the mesh.
    Mesh,
    /// Those with these labels, or the one of this name; of what arrives, that for one port.
    Dataplane {
        name: Option<(Name, Name)>,
        labels: Labels,
        section: Option<Name>,
    },
    /// Those one port of which has these tags; `ranked` as the kind that asks.
    Tags { ranked: u8, tags: Labels },
    /// Those of built-in gateways, of which there are none here.
    Gateway,
    /// All of the mesh, for the requests of a route.
    Route,
}

/// On whose behalf a policy was written, the less specific first.
///
/// Source: kuma 2.14 `pkg/core/resources/labels/compute.go`, `ComputePolicyRole`; `api/mesh/v1alpha1/dataplane_helpers.go`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// For everybody: it stands in the control plane's namespace.
    System,
    /// By those who own the destination, for everybody who calls it.
    Producer,
    /// By those who call, for the callers of its namespace.
    Consumer,
    /// By those who own the proxies, for those of its namespace.
    WorkloadOwner,
}

/// Whose object a policy is, the less specific first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum ControlPlane {
    /// The global control plane's.
    Global,
    /// The zone's own.
    Zone,
}

impl Top {
    /// Its place among kinds, the less specific first. Source: kuma 2.14 `api/common/v1alpha1/targetref.go`.
    fn rank(&self) -> (u8, bool, bool) {
        match self {
            Self::Mesh => (1, false, false),
            Self::Dataplane { name, section, .. } => (2, name.is_some(), section.is_some()),
            Self::Tags { ranked, .. } => (*ranked, false, false),
            Self::Gateway => (4, false, false),
            Self::Route => (9, false, false),
        }
    }

    /// Whether it takes some proxies of a mesh and not others.
    pub(super) const fn is_narrow(&self) -> bool {
        match self {
            Self::Mesh | Self::Route | Self::Gateway => false,
            Self::Dataplane { .. } | Self::Tags { .. } => true,
        }
    }
}

impl Scope {
    /// The less specific is the lesser; equal ranks are told apart by the name, of which the first counts most.
    pub(super) fn rank(&self) -> ((u8, bool, bool), ControlPlane, Role) {
        (self.top.rank(), self.from, self.role)
    }

    /// Whether a policy has a say in what a proxy sends.
    pub(super) fn takes(&self, proxy: &Dataplane<'_>) -> bool {
        self.holds_for(proxy)
            && match &self.top {
                Top::Mesh | Top::Route => true,
                Top::Dataplane { name, labels, .. } => of_labels(name.as_ref(), labels, proxy),
                Top::Tags { tags, .. } => proxy.has_tags(tags),
                Top::Gateway => false,
            }
    }

    /// Whether a policy has a say in what arrives for a port.
    pub(super) fn takes_port(&self, proxy: &Dataplane<'_>, port: &Inbound) -> bool {
        self.holds_for(proxy)
            && match &self.top {
                Top::Mesh => true,
                Top::Dataplane {
                    name,
                    labels,
                    section,
                } => {
                    let is_port = section.as_ref().is_none_or(|it| *it == port.name);
                    is_port && of_labels(name.as_ref(), labels, proxy)
                }
                Top::Tags { tags, .. } => has_tags(&port.tags, tags),
                Top::Gateway | Top::Route => false,
            }
    }

    /// Mesh and namespace. Policies of callers and of owners hold in their own namespace alone.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/matchers/dataplane.go`, `dppSelectedByNamespace`.
    fn holds_for(&self, proxy: &Dataplane<'_>) -> bool {
        let is_near = match self.role {
            Role::System | Role::Producer => true,
            Role::Consumer | Role::WorkloadOwner => self.namespace == proxy.workload.namespace,
        };
        self.mesh == proxy.mesh && is_near
    }
}

fn of_labels(name: Option<&(Name, Name)>, labels: &Labels, proxy: &Dataplane<'_>) -> bool {
    let workload = proxy.workload;
    let named = name.is_none_or(|(namespace, name)| {
        workload.kind == WorkloadKind::Pod
            && *namespace == workload.namespace
            && *name == workload.name
    });
    let mut wanted = labels.iter();
    named && wanted.all(|(key, value)| proxy.labels.get(key) == Some(value))
}
