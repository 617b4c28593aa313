//! Kinds that are read, checked and not modelled.

use serde::Deserialize;

use super::{HeaderModifiers, PassiveHealthCheck};
use crate::text::{Present, Spanned};

/// `ServiceIntentions.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Intentions {
    /// Who is called.
    pub destination: IntentionDestination,
    /// Who calls.
    pub sources: Vec<Spanned<Source>>,
    /// Tokens that are asked of everybody.
    pub jwt: Option<Jwt>,
}

/// Who is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IntentionDestination {
    /// Service; `*`: any.
    pub name: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
}

/// Who calls, and whether they may.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// Service; `*`: any.
    pub name: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Another cluster.
    pub peer: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Enterprise.
    pub sameness_group: Option<Spanned<String>>,
    /// `allow` or `deny`.
    pub action: Option<Spanned<String>>,
    /// By request; in the place of `action`.
    pub permissions: Vec<Spanned<Permission>>,
    /// Words.
    pub description: Option<Present>,
}

/// Whether some requests may pass.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// `allow` or `deny`.
    pub action: Option<Spanned<String>>,
    /// Which requests.
    pub http: Option<Spanned<IntentionHttp>>,
    /// Tokens that are asked for.
    pub jwt: Option<Jwt>,
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntentionHttp {
    /// This path.
    pub path_exact: Option<Spanned<String>>,
    /// Paths that begin so.
    pub path_prefix: Option<Spanned<String>>,
    /// Paths that match.
    pub path_regex: Option<Spanned<String>>,
    /// Headers.
    pub header: Vec<Spanned<IntentionHeader>>,
    /// Methods.
    pub methods: Vec<Spanned<String>>,
}

/// A condition on a header.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntentionHeader {
    /// Name.
    pub name: Option<Spanned<String>>,
    /// It is there.
    pub present: bool,
    /// It is this.
    pub exact: Option<Spanned<String>>,
    /// It begins so.
    pub prefix: Option<Spanned<String>>,
    /// It ends so.
    pub suffix: Option<Spanned<String>>,
    /// It has this somewhere.
    pub contains: Option<Spanned<String>>,
    /// It matches.
    pub regex: Option<Spanned<String>>,
    /// Whether case is of no account.
    pub ignore_case: bool,
    /// Turns the answer round.
    pub invert: bool,
}

/// Tokens that are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Jwt {
    /// Any of these.
    pub providers: Vec<Spanned<JwtUse>>,
}

/// A provider, and what its tokens must say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtUse {
    /// A JWTProvider.
    pub name: Option<Spanned<String>>,
    /// Claims.
    pub verify_claims: Vec<Present>,
}

/// `JWTProvider.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtProvider {
    /// Keys.
    pub json_web_key_set: Option<Present>,
    /// Who signs.
    pub issuer: Option<Present>,
    /// For whom.
    pub audiences: Option<Present>,
    /// Where tokens are.
    pub locations: Option<Present>,
    /// What goes on.
    pub forwarding: Option<Present>,
    /// How far clocks may differ.
    pub clock_skew_seconds: Option<Present>,
    /// How many are kept.
    pub cache_config: Option<Present>,
}

/// `IngressGateway.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressGateway {
    /// TLS of all listeners.
    pub tls: Option<Present>,
    /// Where clients dial.
    pub listeners: Vec<Spanned<IngressListener>>,
    /// Bounds of all services.
    pub defaults: Option<Present>,
}

/// Where clients dial.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressListener {
    /// Port.
    pub port: Option<Spanned<i64>>,
    /// Protocol.
    pub protocol: Option<Spanned<String>>,
    /// TLS.
    pub tls: Option<Present>,
    /// Services.
    pub services: Vec<Spanned<IngressService>>,
}

/// A service behind a listener.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressService {
    /// Service; `*`: any.
    pub name: Option<Spanned<String>>,
    /// Hosts.
    pub hosts: Option<Present>,
    /// Enterprise.
    pub namespace: Option<Present>,
    /// Enterprise.
    pub partition: Option<Present>,
    /// TLS.
    pub tls: Option<Present>,
    /// Edits toward the upstream.
    pub request_headers: Option<HeaderModifiers>,
    /// Edits toward the client.
    pub response_headers: Option<HeaderModifiers>,
    /// Connections.
    pub max_connections: Option<Present>,
    /// Requests that wait.
    pub max_pending_requests: Option<Present>,
    /// Requests.
    pub max_concurrent_requests: Option<Present>,
    /// Instances that fail are taken out.
    pub passive_health_check: Option<PassiveHealthCheck>,
}

/// `TerminatingGateway.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TerminatingGateway {
    /// Services outside.
    pub services: Vec<Spanned<LinkedService>>,
}

/// A service outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinkedService {
    /// Enterprise.
    pub namespace: Option<Present>,
    /// Service; `*`: any.
    pub name: Option<Spanned<String>>,
    /// Authorities.
    pub ca_file: Option<Present>,
    /// Certificate.
    pub cert_file: Option<Present>,
    /// Key.
    pub key_file: Option<Present>,
    /// Server name.
    pub sni: Option<Present>,
    /// Whether the authority stays.
    pub disable_auto_host_rewrite: Option<Present>,
}

/// `ExportedServices.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExportedServices {
    /// Which.
    pub services: Vec<Spanned<ExportedService>>,
}

/// A service that others may call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExportedService {
    /// Service; `*`: any.
    pub name: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Present>,
    /// Who.
    pub consumers: Option<Present>,
}

/// `SamenessGroup.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SamenessGroup {
    /// Whether all services fail over by it.
    pub default_for_failover: Option<Present>,
    /// Whether this cluster is the first of them.
    pub include_local: Option<Present>,
    /// Who is in it.
    pub members: Option<Present>,
}

/// `ControlPlaneRequestLimit.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestLimit {
    /// Whether it is in force.
    pub mode: Option<Present>,
    /// Reads a second.
    pub read_rate: Option<Present>,
    /// Writes a second.
    pub write_rate: Option<Present>,
    /// Of this part.
    pub acl: Option<Present>,
    /// Of this part.
    pub catalog: Option<Present>,
    /// Of this part.
    pub config_entry: Option<Present>,
    /// Of this part.
    #[serde(rename = "connectCA")]
    pub connect_ca: Option<Present>,
    /// Of this part.
    pub coordinate: Option<Present>,
    /// Of this part.
    pub discovery_chain: Option<Present>,
    /// Of this part.
    pub health: Option<Present>,
    /// Of this part.
    pub intention: Option<Present>,
    /// Of this part.
    pub kv: Option<Present>,
    /// Of this part.
    pub tenancy: Option<Present>,
    /// Of this part.
    pub prepared_query: Option<Present>,
    /// Of this part.
    pub session: Option<Present>,
    /// Of this part.
    pub txn: Option<Present>,
}

/// `Registration.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Registration {
    /// Id.
    pub id: Option<Present>,
    /// Node.
    pub node: Option<Present>,
    /// Address.
    pub address: Option<Present>,
    /// More addresses.
    pub tagged_addresses: Option<Present>,
    /// Words.
    pub node_meta: Option<Present>,
    /// Datacenter.
    pub datacenter: Option<Present>,
    /// Service.
    pub service: Option<Present>,
    /// Whether the node stays.
    pub skip_node_update: Option<Present>,
    /// Enterprise.
    pub partition: Option<Present>,
    /// Check.
    pub check: Option<Present>,
    /// Place.
    pub locality: Option<Present>,
}

/// `PeeringAcceptor.spec` and `PeeringDialer.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Another cluster.
    pub peer: Option<Present>,
}
