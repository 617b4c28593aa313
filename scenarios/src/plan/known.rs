//! What the manifests hold, as far as a scenario refers to it.

/// The workloads and Services of the manifests. Ids of a plan's tables follow the order given here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub workloads: Vec<KnownWorkload>,
    pub services: Vec<KnownService>,
    /// Gateways as `namespace/name`.
    pub gateways: Vec<String>,
}

/// A Deployment, StatefulSet, DaemonSet or bare Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownWorkload {
    pub namespace: String,
    pub name: String,
    pub replicas: u32,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownService {
    pub namespace: String,
    pub name: String,
    /// In the order written.
    pub ports: Vec<u16>,
    /// Places in [`Known::workloads`] of those whose pods it selects.
    pub workloads: Vec<usize>,
}

impl KnownWorkload {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
