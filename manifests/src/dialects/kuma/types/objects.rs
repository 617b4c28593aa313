//! Meshes, services and identities.

use serde::Deserialize;

use super::Written;
use crate::text::{Present, ScalarOr, Spanned};

/// `Mesh.spec`. Release 3.0 has `skipCreatingInitialPolicies` alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mesh {
    /// Mutual TLS.
    pub mtls: Option<Spanned<Mtls>>,
    /// Of policies older than those that are modelled.
    pub tracing: Option<Present>,
    /// The same.
    pub logging: Option<Present>,
    /// Figures.
    pub metrics: Option<Present>,
    /// What leaves the mesh.
    pub networking: Option<Networking>,
    /// Zones.
    pub routing: Option<Present>,
    /// Which proxies may join.
    pub constraints: Option<Present>,
    /// Stock policies that it goes without.
    pub skip_creating_initial_policies: Option<Vec<Spanned<String>>>,
    /// Whether MeshServices are made of Services.
    pub mesh_services: Option<MeshServices>,
}

/// Mutual TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mtls {
    /// The one in use; none: mutual TLS is off.
    pub enabled_backend: Option<Spanned<String>>,
    /// Authorities.
    pub backends: Option<Vec<Backend>>,
    /// Takes authorities unseen.
    pub skip_validation: Option<Present>,
}

/// An authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Name.
    pub name: Spanned<String>,
    /// Kind.
    #[serde(default)]
    pub r#type: Option<Present>,
    /// Certificates.
    #[serde(default)]
    pub dp_cert: Option<Present>,
    /// Settings of its kind.
    #[serde(default)]
    pub conf: Option<Present>,
    /// Whether plaintext is taken; none: it is not.
    #[serde(default)]
    pub mode: Option<Spanned<BackendMode>>,
    /// The authority's own certificate.
    #[serde(default)]
    pub root_chain: Option<Present>,
}

/// Whether plaintext is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum BackendMode {
    /// It is not.
    #[serde(rename = "STRICT")]
    Strict,
    /// It is.
    #[serde(rename = "PERMISSIVE")]
    Permissive,
}

/// What leaves the mesh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Networking {
    /// What leaves it.
    pub outbound: Option<OutboundNetworking>,
}

/// What leaves the mesh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutboundNetworking {
    /// Whether destinations that are not known are dialled; none: they are.
    pub passthrough: Option<Spanned<bool>>,
}

/// Whether MeshServices are made of Services.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MeshServices {
    /// Where they are in use; none: nowhere.
    pub mode: Option<Spanned<Passing>>,
}

/// Where MeshServices are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Passing {
    /// None are made.
    Disabled,
    /// Beside the tags of old.
    Everywhere,
    /// Where a proxy asks for them.
    ReachableBackends,
    /// In the place of the tags of old.
    Exclusive,
}

/// Labels that are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All of these.
    pub match_labels: Option<Written>,
}

/// `MeshService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshService {
    /// Whether it has a proxy that is ready.
    pub state: Option<Present>,
    /// Who is behind it.
    pub selector: Taken,
    /// Its ports.
    pub ports: Vec<PortOf>,
    /// What its proxies prove.
    pub identities: Option<Present>,
}

/// Who is behind a MeshService.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taken {
    /// By labels.
    pub dataplane_labels: Option<LabelSelector>,
    /// By tags (2.x).
    pub dataplane_tags: Option<Written>,
    /// One proxy.
    pub dataplane_ref: Option<Present>,
}

/// A port.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortOf {
    /// Name; none: its number.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
    /// Number.
    pub port: Spanned<u16>,
    /// What is dialled; none: the same number.
    #[serde(default)]
    pub target_port: Option<ScalarOr<Present>>,
    /// What is spoken; none: `tcp`.
    #[serde(default)]
    pub app_protocol: Option<Spanned<String>>,
}

/// `MeshMultiZoneService.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MultiZone {
    /// Which MeshServices.
    pub selector: MultiZoneSelector,
    /// Its ports.
    pub ports: Vec<PortOf>,
}

/// Which MeshServices.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MultiZoneSelector {
    /// By labels.
    pub mesh_service: LabelSelector,
}

/// `MeshExternalService.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalService {
    /// How callers ask for it.
    pub r#match: ExternalMatch,
    /// A provider's own.
    #[serde(default)]
    pub extension: Option<Present>,
    /// Where it is.
    #[serde(default)]
    pub endpoints: Option<Vec<EndpointAt>>,
    /// TLS to it.
    #[serde(default)]
    pub tls: Option<Present>,
}

impl Default for ExternalService {
    fn default() -> Self {
        Self {
            r#match: ExternalMatch {
                r#type: None,
                port: Spanned::new(0, crate::text::Span::NOWHERE),
                protocol: None,
            },
            extension: None,
            endpoints: None,
            tls: None,
        }
    }
}

/// How callers ask for a service outside.
#[derive(Clone, Debug, Deserialize)]
pub struct ExternalMatch {
    /// `HostnameGenerator`.
    #[serde(default)]
    pub r#type: Option<Present>,
    /// Port.
    pub port: Spanned<u16>,
    /// What is spoken; none: `tcp`.
    #[serde(default)]
    pub protocol: Option<Spanned<String>>,
}

/// An address outside.
#[derive(Clone, Debug, Deserialize)]
pub struct EndpointAt {
    /// An address or a name.
    pub address: Spanned<String>,
    /// Port; none: 0, for what is no address.
    #[serde(default)]
    pub port: Option<Spanned<u16>>,
    /// 0 is used first.
    #[serde(default)]
    pub priority: Option<Spanned<u8>>,
}

/// `MeshIdentity.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Who has it.
    pub selector: Option<IdentitySelector>,
    /// What is proved.
    #[serde(rename = "spiffeID")]
    pub spiffe_id: Option<SpiffeId>,
    /// By whom.
    pub provider: Option<IdentityProvider>,
}

/// Who has an identity; nobody without `dataplane`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IdentitySelector {
    /// By labels.
    pub dataplane: Option<LabelSelector>,
}

/// What is proved, with places to fill.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpiffeId {
    /// None: `{{ .Mesh }}.{{ .Zone }}.mesh.local`.
    pub trust_domain: Option<Spanned<String>>,
    /// None: `/ns/{{ .Namespace }}/sa/{{ .ServiceAccount }}`.
    pub path: Option<Spanned<String>>,
}

/// By whom identities are given.
#[derive(Clone, Debug, Deserialize)]
pub struct IdentityProvider {
    /// `Bundled`, `Spire` or `Extension`.
    pub r#type: Spanned<String>,
    /// For `Bundled`.
    #[serde(default)]
    pub bundled: Option<Bundled>,
    /// For `Spire`.
    #[serde(default)]
    pub spire: Option<Present>,
    /// For `Extension`.
    #[serde(default)]
    pub extension: Option<Present>,
}

/// Identities that Kuma itself gives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bundled {
    /// Whether a MeshTrust is made.
    pub mesh_trust_creation: Option<Present>,
    /// Takes an authority that signs itself.
    pub insecure_allow_self_signed: Option<Present>,
    /// An authority is made.
    pub autogenerate: Option<Present>,
    /// An authority is given.
    pub ca: Option<Present>,
    /// Certificates.
    pub certificate_parameters: Option<Present>,
}
