//! Gateways as people write them.
//!
//! Source: istio/api `networking/v1alpha3/gateway.proto`; `v1alpha3`, `v1beta1` and `v1` are one schema.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::{Present, Spanned};

/// `Gateway.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// What it listens for.
    pub servers: Vec<Spanned<Server>>,
    /// Labels of the pods that do it; none: every gateway's.
    pub selector: BTreeMap<Spanned<String>, Spanned<String>>,
}

/// One port with its hosts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Where clients dial.
    pub port: Port,
    /// Hosts that are served, each with the namespace of its VirtualServices before a slash, if only these may serve it.
    pub hosts: Vec<Spanned<String>>,
    /// TLS; none: as it comes.
    #[serde(default)]
    pub tls: Option<Spanned<ServerTls>>,
    /// An address of the pod to listen on.
    #[serde(default)]
    pub bind: Option<Present>,
    /// A loopback endpoint; Istio does not read it.
    #[serde(default)]
    pub default_endpoint: Option<Present>,
    /// For reports.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
}

/// A port.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port of the gateway's Service.
    pub number: Spanned<u16>,
    /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS.
    pub protocol: Spanned<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
    /// Istio does not read it.
    #[serde(default)]
    pub target_port: Option<Present>,
}

/// What is done with TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTls {
    /// Whether plaintext requests are sent to HTTPS.
    pub https_redirect: Option<Spanned<bool>>,
    /// Who ends it; none: passed through.
    pub mode: Option<Spanned<TlsMode>>,
    /// A Secret with the certificate.
    pub credential_name: Option<Spanned<String>>,
    /// Several of them.
    pub credential_names: Option<Present>,
    /// A file with the certificate.
    pub server_certificate: Option<Present>,
    /// A file with its key.
    pub private_key: Option<Present>,
    /// A file with what client certificates must be signed by.
    pub ca_certificates: Option<Present>,
    /// A Secret with the same.
    pub ca_cert_credential_name: Option<Present>,
    /// A file with client certificates that are taken back.
    pub ca_crl: Option<Present>,
    /// Several certificates.
    pub tls_certificates: Option<Present>,
    /// Names that a client's certificate must have.
    pub subject_alt_names: Option<Present>,
    /// Keys that a client's certificate must have.
    pub verify_certificate_spki: Option<Present>,
    /// Hashes that a client's certificate must have.
    pub verify_certificate_hash: Option<Present>,
    /// Oldest TLS.
    pub min_protocol_version: Option<Present>,
    /// Newest TLS.
    pub max_protocol_version: Option<Present>,
    /// Ciphers.
    pub cipher_suites: Option<Present>,
}

/// Who ends TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum TlsMode {
    /// The server behind; the name asked for chooses it.
    #[serde(rename = "PASSTHROUGH")]
    Passthrough,
    /// The gateway.
    #[serde(rename = "SIMPLE")]
    Simple,
    /// The gateway, which asks for a client certificate.
    #[serde(rename = "MUTUAL")]
    Mutual,
    /// The server behind, which is chosen by a name that other meshes make.
    #[serde(rename = "AUTO_PASSTHROUGH")]
    AutoPassthrough,
    /// The gateway, for clients of the mesh.
    #[serde(rename = "ISTIO_MUTUAL")]
    IstioMutual,
    /// The gateway, which takes a client certificate where there is one.
    #[serde(rename = "OPTIONAL_MUTUAL")]
    OptionalMutual,
}
