//! What the manifests hold, as far as a scenario refers to it.

use manifests::model;

/// Where things live when nobody says.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
/// The port of a Service that a scenario makes.
pub(crate) const DEFAULT_PORT: u16 = 80;

/// Workloads and Services that are there before a plan is compiled. Ids of the plan's tables follow the order given here, so that a
/// [`WorkloadId`](super::WorkloadId) of the plan and of the model are the same number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub workloads: Vec<KnownWorkload>,
    pub services: Vec<KnownService>,
    /// Gateways as `namespace/name`.
    pub gateways: Vec<String>,
}

/// A Deployment, StatefulSet, DaemonSet or bare Pod, or a workload that the scenario declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorkload {
    pub namespace: String,
    pub name: String,
    pub replicas: u32,
    /// Whether a manifest has it.
    pub in_manifests: bool,
    /// Whether its pods are a gateway's: then nothing needs to be known of what they do.
    pub is_gateway: bool,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownService {
    pub namespace: String,
    pub name: String,
    /// In the order written.
    pub ports: Vec<u16>,
    /// Places in [`Known::workloads`] of those whose pods it selects.
    pub workloads: Vec<usize>,
    /// Whether a manifest has it.
    pub in_manifests: bool,
}

/// A workload that a scenario names, for a model to add when no manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub namespace: String,
    pub name: String,
    pub replicas: u32,
    /// Labels of its pods.
    pub labels: Vec<(String, String)>,
    /// Ports of the Service of its name.
    pub ports: Vec<u16>,
    /// Where it is named.
    pub span: manifests::text::Span,
}

impl Known {
    /// What a model of the manifests holds; `gateways` as `namespace/name`.
    #[must_use]
    pub fn of(
        workloads: &[model::Workload],
        services: &[model::Service],
        gateways: Vec<String>,
    ) -> Self {
        let workloads = workloads.iter().map(|workload| KnownWorkload {
            namespace: workload.namespace.to_string(),
            name: workload.name.to_string(),
            replicas: workload.replicas,
            in_manifests: workload.kind != model::WorkloadKind::Scenario,
            is_gateway: workload.kind == model::WorkloadKind::Gateway,
        });
        let services = services.iter().map(|service| KnownService {
            namespace: service.namespace.to_string(),
            name: service.name.to_string(),
            ports: service
                .ports
                .iter()
                .filter(|port| !port.udp)
                .map(|port| port.number)
                .collect(),
            workloads: service.workloads.iter().map(|id| id.0 as usize).collect(),
            in_manifests: !service.span.is_nowhere(),
        });
        Self {
            workloads: workloads.collect(),
            services: services.collect(),
            gateways,
        }
    }
}

impl KnownWorkload {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
