//! Hosts and TLSContexts.

use serde::Deserialize;

use super::Texts;
use crate::text::{Node, Present, Spanned};

/// `Host.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSpec {
    /// Whose it is.
    #[serde(rename = "ambassador_id")]
    pub ambassador_id: Option<Node>,
    /// The same as v2 once had it.
    #[serde(rename = "ambassadorId")]
    pub old_ambassador_id: Option<Node>,
    /// A glob.
    pub hostname: Option<Spanned<String>>,
    /// The older name of `mappingSelector`.
    pub selector: Option<Spanned<Selector>>,
    /// Labels of the Mappings that it takes.
    pub mapping_selector: Option<Spanned<Selector>>,
    /// Who would sign its certificate.
    pub acme_provider: Option<Present>,
    /// The Secret with its certificate.
    pub tls_secret: Option<Spanned<ObjectName>>,
    /// What is done with requests.
    pub request_policy: Option<RequestPolicy>,
    /// Of a product that is no more.
    pub preview_url: Option<Present>,
    /// A TLSContext.
    pub tls_context: Option<Spanned<ObjectName>>,
    /// A TLSContext of its own.
    pub tls: Option<Spanned<Tls>>,
}

/// Labels that are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// All of them.
    pub match_labels: Option<Texts>,
    /// Nothing reads it.
    pub match_expressions: Option<Present>,
}

/// An object by its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectName {
    /// Its name.
    pub name: Option<Spanned<String>>,
    /// Its namespace.
    pub namespace: Option<Spanned<String>>,
}

/// What is done with requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestPolicy {
    /// With those that do not come over TLS.
    pub insecure: Option<Insecure>,
}

/// What is done with requests that do not come over TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Insecure {
    /// `Redirect` unless set.
    pub action: Option<Spanned<Action>>,
    /// Nothing reads it.
    pub additional_port: Option<Present>,
}

/// What is done with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Deserialize)]
pub enum Action {
    /// It is sent to HTTPS.
    Redirect,
    /// No route takes it.
    Reject,
    /// Routes take it.
    Route,
}

/// How TLS ends, in a Host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// A file.
    #[serde(alias = "certChainFile")]
    pub cert_chain_file: Option<Present>,
    /// A file.
    #[serde(alias = "privateKeyFile")]
    pub private_key_file: Option<Present>,
    /// Whose certificates clients must have.
    #[serde(alias = "caSecret")]
    pub ca_secret: Option<Present>,
    /// The same as a file.
    #[serde(alias = "cacertChainFile")]
    pub cacert_chain_file: Option<Present>,
    /// Certificates that are taken back.
    #[serde(alias = "crlSecret", alias = "v3CRLSecret")]
    pub crl_secret: Option<Present>,
    /// Protocols that are offered, with commas between.
    #[serde(alias = "alpnProtocols")]
    pub alpn_protocols: Option<Spanned<String>>,
    /// Whether clients must show a certificate.
    #[serde(alias = "certRequired")]
    pub cert_required: Option<Present>,
    /// Oldest TLS.
    #[serde(alias = "minTlsVersion")]
    pub min_tls_version: Option<Spanned<TlsVersion>>,
    /// Newest TLS.
    #[serde(alias = "maxTlsVersion")]
    pub max_tls_version: Option<Spanned<TlsVersion>>,
    /// Ciphers.
    #[serde(alias = "cipherSuites")]
    pub cipher_suites: Option<Present>,
    /// Curves.
    #[serde(alias = "ecdhCurves")]
    pub ecdh_curves: Option<Present>,
    /// Nothing reads it.
    #[serde(alias = "redirectCleartextFrom")]
    pub redirect_cleartext_from: Option<Present>,
    /// The server name asked for, on the way to a service.
    pub sni: Option<Spanned<String>>,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.0.
    #[serde(rename = "v1.0")]
    V10,
    /// TLS 1.1.
    #[serde(rename = "v1.1")]
    V11,
    /// TLS 1.2.
    #[serde(rename = "v1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "v1.3")]
    V13,
}

/// `TLSContext.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContextSpec {
    /// Whose it is.
    pub ambassador_id: Option<Node>,
    /// Server names that it is for.
    pub hosts: Vec<Spanned<String>>,
    /// A Secret, with a dot before its namespace.
    pub secret: Option<Spanned<String>>,
    /// A file.
    pub cert_chain_file: Option<Present>,
    /// A file.
    pub private_key_file: Option<Present>,
    /// Whose certificates the other side must have.
    pub ca_secret: Option<Present>,
    /// The same as a file.
    pub cacert_chain_file: Option<Present>,
    /// Certificates that are taken back.
    #[serde(alias = "v3CRLSecret")]
    pub crl_secret: Option<Present>,
    /// Protocols that are offered, with commas between.
    pub alpn_protocols: Option<Spanned<String>>,
    /// Whether clients must show a certificate.
    pub cert_required: Option<Present>,
    /// Oldest TLS.
    pub min_tls_version: Option<Spanned<TlsVersion>>,
    /// Newest TLS.
    pub max_tls_version: Option<Spanned<TlsVersion>>,
    /// Ciphers.
    pub cipher_suites: Option<Present>,
    /// Curves.
    pub ecdh_curves: Option<Present>,
    /// Whether a dot in a Secret's name stands before its namespace.
    pub secret_namespacing: Option<Spanned<bool>>,
    /// Nothing reads it.
    pub redirect_cleartext_from: Option<Present>,
    /// The server name asked for, on the way to a service.
    pub sni: Option<Spanned<String>>,
}
