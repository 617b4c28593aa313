//! The systems whose resources are understood: one folder each, none knows of another.
//!
//! A dialect reads its own objects out of the loaded [`Objects`], checks them, and compiles them to
//! [`proxy_core::config`] behind one or both of two borders: [`Mesh`] (sidecars) and [`Gateway`] (proxies that clients
//! dial). Adding one is a folder with a [`Dialect`] and a line in [`DIALECTS`].
//!
//! A folder has `mod.rs` (the [`Dialect`]), `types.rs` (its resources as people write them), `read.rs` (objects to
//! validated policies, with diagnostics) and `compile.rs` (policies to sections); larger dialects split these further.

use std::collections::BTreeMap;

use proxy_core::config::{Name, SectionDraft};
use proxy_core::origin::OriginId;

use crate::diagnostics::Diagnostics;
use crate::gateway_api::status::ObjectStatus;
use crate::load::{ObjectKey, Objects};
use crate::model::{
    Credential, Directory, GatewayFacts, GatewayId, GatewayOverride, Service, ServiceId,
    SidecarFacts, SidecarRules, Upstream, Workload, WorkloadId,
};
use crate::origins::Origins;

pub mod consul;
pub mod emissary;
pub mod gateway_api;
pub mod istio;
pub mod kong;
pub mod kuma;
pub mod linkerd;
pub mod nginx;
pub mod plain;
pub mod traefik;

/// Every dialect, in the order in which reports list them.
pub static DIALECTS: &[&Dialect] = &[
    &istio::DIALECT,
    &linkerd::DIALECT,
    &consul::DIALECT,
    &kuma::DIALECT,
    &kong::DIALECT,
    &emissary::DIALECT,
    &nginx::DIALECT,
    &traefik::DIALECT,
    &gateway_api::DIALECT,
];

/// One system.
pub struct Dialect {
    /// What scenarios call it: `istio`, `kong`, …
    pub name: &'static str,
    /// The releases whose defaults it knows: first the one that counts where nobody names one, then the others, newest first; never empty.
    pub releases: &'static [&'static str],
    /// Whether objects of this API group (`networking.istio.io`; empty for the core) and kind are its own. Kinds that
    /// several systems read (Ingress, Gateway API) belong to none.
    pub reads: fn(group: &str, kind: &str) -> bool,
    /// What in the manifests shows that this mesh runs, in words (`istio-injection on namespace default`).
    pub shows: fn(objects: &Objects) -> Option<String>,
    /// Reads a mesh's policies for one of `releases`.
    pub mesh: Option<ReadMesh>,
    /// Reads what its gateways go by; asked whether or not any object of the dialect is there.
    pub gateways: Option<ReadGateways>,
}

/// Reads a mesh's policies for a release.
pub type ReadMesh = fn(release: &'static str, cx: &mut Compile<'_>) -> Box<dyn Mesh>;
/// Reads what a kind of gateway goes by, for a release.
pub type ReadGateways = fn(release: &'static str, cx: &mut Compile<'_>) -> Box<dyn Gateway>;

/// What is lent to a dialect: everything neutral that was read, and where to put what it finds.
pub struct Compile<'a> {
    /// Every object.
    pub objects: &'a Objects,
    /// Services by [`ServiceId`].
    pub services: &'a [Service],
    /// Workloads by [`WorkloadId`], those of gateways among them once gateways are known. While policies are read,
    /// nobody has a sidecar yet; while sections are compiled, that is decided.
    pub workloads: &'a [Workload],
    /// Gateways by [`GatewayId`]; empty until all are known.
    pub gateways: &'a [GatewayFacts],
    /// Names and addresses.
    pub directory: &'a Directory,
    /// What the scenario says of gateways.
    pub overrides: &'a [GatewayOverride],
    /// What the scenario says of sidecars.
    pub sidecars: &'a SidecarRules,
    /// Where values come from.
    pub origins: &'a mut Origins,
    /// What a person should know.
    pub diagnostics: &'a mut Diagnostics,
}

/// Workloads of equal key share one outbound section. Anything that tells scopes apart, in the dialect's own words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ScopeKey(pub Name);

/// A section and, cluster by cluster, whom it leads to.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// Listeners, tables and clusters; clusters without endpoints, which the model puts in from `upstreams`.
    pub draft: SectionDraft,
    /// One for each cluster of the draft, in its order. Made together by [`Compiled::add`].
    pub upstreams: Vec<Upstream>,
    /// What names of certificates in the draft stand for, where they are not those of a Secret or of a mesh.
    pub credentials: BTreeMap<Name, Credential>,
}

impl Compiled {
    /// Adds a cluster and whom it leads to.
    pub fn add(
        &mut self,
        cluster: proxy_core::config::Cluster,
        upstream: Upstream,
    ) -> proxy_core::config::ClusterIndex {
        self.upstreams.push(upstream);
        self.draft.add_cluster(cluster)
    }
}

/// A mesh: what stands beside the application, and by which policies.
pub trait Mesh: Send + Sync {
    /// `istio@1.29`.
    fn release(&self) -> &str;

    /// Whether the pods of `workload` have a sidecar, and why; the same question is asked for the pods of gateways.
    fn sidecar(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Option<SidecarFacts>;

    /// What arrives at pods of `workload`, which has a sidecar.
    fn inbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled;

    /// Which outbound section the sidecars of `workload` take.
    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey;

    /// What leaves pods of `workload`, which has a sidecar; equal for every workload of equal scope.
    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled;

    /// The objects that say how pods of `caller` would call a Service, by name. A sidecar goes by them only for what is sent to the
    /// Service's address.
    fn rules_for_callers(
        &self,
        _cx: &Compile<'_>,
        _caller: WorkloadId,
        _service: ServiceId,
    ) -> Vec<(String, OriginId)> {
        Vec::new()
    }

    /// The rule by which `port` of the pods of `workload`, which has a sidecar, takes no plaintext.
    fn refuses_plaintext(
        &self,
        _cx: &mut Compile<'_>,
        _workload: WorkloadId,
        _port: u16,
    ) -> Option<OriginId> {
        None
    }

    /// How pods of a namespace get a sidecar, as help.
    fn joining(&self, _namespace: &str) -> Option<String> {
        None
    }
}

/// Where a gateway's rules lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lead {
    /// The Service.
    pub service: ServiceId,
    /// Its port.
    pub port: u16,
    /// Whether it picks pods and dials those, in the place of the Service's own address.
    pub dials_pods: bool,
    /// How it would be made to dial the Service, as help.
    pub remedy: String,
    /// The rule.
    pub origin: OriginId,
}

/// A kind of gateway: which there are, and what they serve.
pub trait Gateway: Send + Sync {
    /// `kong@3.9`.
    fn release(&self) -> &str;

    /// The gateways of this kind that the manifests and the scenario bring.
    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts>;

    /// Whether one of them serves this Ingress; kinds that read no Ingress serve none.
    fn serves(&self, _ingress: &ObjectKey) -> bool {
        false
    }

    /// Where the rules of one of them lead, in the order written; a gateway that is part of the mesh itself need not say so.
    fn leads(&self, _cx: &Compile<'_>, _gateway: GatewayId) -> Vec<Lead> {
        Vec::new()
    }

    /// The objects of this kind with the status that a controller would write.
    fn statuses(&self, _cx: &Compile<'_>) -> Vec<ObjectStatus> {
        Vec::new()
    }

    /// What one of them serves. A gateway that is part of the mesh itself needs no sidecar and speaks with
    /// the identity of its [`GatewayFacts`].
    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled;
}

impl Compile<'_> {
    /// The origin of a default: `default of istio@1.29`.
    pub fn default_of(&mut self, release: &str) -> OriginId {
        self.origins.default_of(release)
    }
}
