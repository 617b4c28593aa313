//! ServersTransport, ServersTransportTCP, TLSOption, TLSStore.

use serde::Deserialize;

use super::Scalar;
use super::routes::ProxyProtocol;
use crate::text::{Present, Spanned};

/// `ServersTransport.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServersTransport {
    /// The server name sent.
    pub server_name: Option<Spanned<String>>,
    /// Whether certificates are not looked at.
    pub insecure_skip_verify: Option<Spanned<bool>>,
    /// Whose certificates are believed.
    #[serde(rename = "rootCAs")]
    pub root_cas: Vec<RootCa>,
    /// The same by Secret, deprecated.
    #[serde(rename = "rootCAsSecrets")]
    pub root_cas_secrets: Vec<Spanned<String>>,
    /// Secrets with the certificate that is shown.
    pub certificates_secrets: Vec<Spanned<String>>,
    /// Ciphers.
    pub cipher_suites: Option<Present>,
    /// The oldest version of TLS.
    pub min_version: Option<Present>,
    /// The newest version of TLS.
    pub max_version: Option<Present>,
    /// Idle connections kept to a server; 0: 2, as Go has it.
    pub max_idle_conns_per_host: Option<Spanned<i32>>,
    /// How long it waits.
    pub forwarding_timeouts: Option<ForwardingTimeouts>,
    /// Whether HTTP/2 is not spoken.
    #[serde(rename = "disableHTTP2")]
    pub disable_http2: Option<Spanned<bool>>,
    /// A URI that certificates must have.
    #[serde(rename = "peerCertURI")]
    pub peer_cert_uri: Option<Spanned<String>>,
    /// Identities of SPIFFE.
    pub spiffe: Option<Present>,
}

/// Whose certificates are believed: one of its fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RootCa {
    /// A Secret.
    pub secret: Option<Spanned<String>>,
    /// A ConfigMap.
    pub config_map: Option<Spanned<String>>,
}

/// How long it waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardingTimeouts {
    /// For a connection; none: 30 s.
    pub dial_timeout: Option<Scalar>,
    /// For the head of an answer; none or 0: for ever.
    pub response_header_timeout: Option<Scalar>,
    /// Until an idle connection is closed; none: 90 s.
    pub idle_conn_timeout: Option<Scalar>,
    /// Until a silent connection of HTTP/2 is asked.
    pub read_idle_timeout: Option<Present>,
    /// For its answer.
    pub ping_timeout: Option<Present>,
}

/// `ServersTransportTCP.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServersTransportTcp {
    /// For a connection; none: 30 s.
    pub dial_timeout: Option<Scalar>,
    /// Between probes of a silent connection.
    pub dial_keep_alive: Option<Present>,
    /// Whether connections begin with who the client is.
    pub proxy_protocol: Option<Spanned<ProxyProtocol>>,
    /// How long one side may go on when the other has ended.
    pub termination_delay: Option<Present>,
    /// TLS to the server.
    pub tls: Option<TlsClient>,
}

/// TLS to a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsClient {
    /// The server name sent.
    pub server_name: Option<Spanned<String>>,
    /// Whether certificates are not looked at.
    pub insecure_skip_verify: Option<Spanned<bool>>,
    /// Whose certificates are believed.
    #[serde(rename = "rootCAs")]
    pub root_cas: Vec<RootCa>,
    /// The same by Secret, deprecated.
    #[serde(rename = "rootCAsSecrets")]
    pub root_cas_secrets: Vec<Spanned<String>>,
    /// Secrets with the certificate that is shown.
    pub certificates_secrets: Vec<Spanned<String>>,
    /// A URI that certificates must have.
    #[serde(rename = "peerCertURI")]
    pub peer_cert_uri: Option<Spanned<String>>,
    /// Identities of SPIFFE.
    pub spiffe: Option<Present>,
}

/// `TLSOption.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOption {
    /// The oldest version of TLS.
    pub min_version: Option<Present>,
    /// The newest version of TLS.
    pub max_version: Option<Present>,
    /// Ciphers.
    pub cipher_suites: Option<Present>,
    /// Curves.
    pub curve_preferences: Option<Present>,
    /// Whether clients show a certificate.
    pub client_auth: Option<Spanned<ClientAuth>>,
    /// Whether clients without a known server name are refused.
    pub sni_strict: Option<Spanned<bool>>,
    /// Protocols offered.
    pub alpn_protocols: Option<Spanned<Vec<String>>>,
    /// Whether sessions are not resumed.
    pub disable_session_tickets: Option<Present>,
    /// Deprecated.
    pub prefer_server_cipher_suites: Option<Present>,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientAuth {
    /// Secrets with whose certificates are believed.
    pub secret_names: Vec<Spanned<String>>,
    /// What is asked.
    pub client_auth_type: Option<Spanned<String>>,
}

/// `TLSStore.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsStore {
    /// For names that no certificate has.
    pub default_certificate: Option<Certificate>,
    /// The same, issued.
    pub default_generated_cert: Option<Present>,
    /// More certificates.
    pub certificates: Vec<Certificate>,
}

/// A certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Its Secret.
    pub secret_name: Spanned<String>,
}
