//! Certificates and who is trusted.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::{DataSource, NO_BEARING, StringMatcher};
use crate::text::{Node, Present, Spanned};

/// `extensions.transport_sockets.tls.v3.DownstreamTlsContext`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct DownstreamTls {
    pub(in super::super) common_tls_context: Option<Node>,
    #[serde(default)]
    pub(in super::super) require_client_certificate: bool,
    #[serde(default)]
    pub(in super::super) full_scan_certs_on_sni_mismatch: bool,
}

impl Message for DownstreamTls {
    const OTHERS: Others = &[
        ("clients need not send a server name", &["require_sni"]),
        (
            "sessions are resumed as the TLS library has it",
            &[
                "session_ticket_keys",
                "session_ticket_keys_sds_secret_config",
                "disable_stateless_session_resumption",
                "disable_stateful_session_resumption",
                "session_timeout",
            ],
        ),
        (
            "the handshake goes as the TLS library has it",
            &["ocsp_staple_policy", "prefer_client_ciphers"],
        ),
    ];
}

/// `extensions.transport_sockets.tls.v3.UpstreamTlsContext`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UpstreamTls {
    pub(in super::super) common_tls_context: Option<Node>,
    #[serde(default)]
    pub(in super::super) sni: String,
}

impl Message for UpstreamTls {
    const OTHERS: Others = &[
        (
            "the server name sent is `sni`",
            &["auto_host_sni", "auto_sni_san_validation"],
        ),
        (
            "the handshake goes as the TLS library has it",
            &[
                "allow_renegotiation",
                "max_session_keys",
                "enforce_rsa_key_usage",
            ],
        ),
    ];
}

/// `extensions.transport_sockets.tls.v3.CommonTlsContext`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct CommonTls {
    pub(in super::super) tls_params: Option<Node>,
    #[serde(default)]
    pub(in super::super) tls_certificates: Vec<Node>,
    #[serde(default)]
    pub(in super::super) tls_certificate_sds_secret_configs: Vec<SdsConfig>,
    pub(in super::super) validation_context: Option<Node>,
    pub(in super::super) validation_context_sds_secret_config: Option<SdsConfig>,
    pub(in super::super) combined_validation_context: Option<CombinedValidation>,
    #[serde(default)]
    pub(in super::super) alpn_protocols: Vec<String>,
}

impl Message for CommonTls {
    const OTHERS: Others = &[
        (
            "certificates are those of `tls_certificates` and the file's secrets",
            &[
                "tls_certificate_provider_instance",
                "custom_tls_certificate_selector",
                "tls_certificate_certificate_provider",
                "tls_certificate_certificate_provider_instance",
            ],
        ),
        (
            "who is trusted is said by `validation_context` alone",
            &[
                "validation_context_certificate_provider",
                "validation_context_certificate_provider_instance",
            ],
        ),
        (
            "the handshake goes as the TLS library has it",
            &["custom_handshaker"],
        ),
        (NO_BEARING, &["key_log"]),
    ];
}

/// `TlsParameters`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TlsParameters {
    pub(in super::super) tls_minimum_protocol_version: Option<TlsVersion>,
    pub(in super::super) tls_maximum_protocol_version: Option<TlsVersion>,
}

impl Message for TlsParameters {
    const OTHERS: Others = &[(
        "the handshake goes as the TLS library has it",
        &[
            "cipher_suites",
            "ecdh_curves",
            "signature_algorithms",
            "compliance_policies",
        ],
    )];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(in super::super) enum TlsVersion {
    #[serde(rename = "TLS_AUTO")]
    Auto,
    #[serde(rename = "TLSv1_0")]
    V1_0,
    #[serde(rename = "TLSv1_1")]
    V1_1,
    #[serde(rename = "TLSv1_2")]
    V1_2,
    #[serde(rename = "TLSv1_3")]
    V1_3,
}

/// `SdsSecretConfig`: without a source it names a secret of the file.
#[derive(Debug, Deserialize)]
pub(in super::super) struct SdsConfig {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) sds_config: Option<Present>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct CombinedValidation {
    pub(in super::super) default_validation_context: Option<Node>,
    pub(in super::super) validation_context_sds_secret_config: Option<SdsConfig>,
}

/// `TlsCertificate`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TlsCertificate {
    pub(in super::super) certificate_chain: Option<DataSource>,
    pub(in super::super) private_key: Option<DataSource>,
}

impl Message for TlsCertificate {
    const OTHERS: Others = &[
        (
            "the key is that of `private_key`, without a password",
            &["pkcs12", "private_key_provider", "password"],
        ),
        ("files are read once", &["watched_directory"]),
        (
            "the handshake goes as the TLS library has it",
            &["ocsp_staple", "signed_certificate_timestamp"],
        ),
    ];
}

/// `CertificateValidationContext`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ValidationContext {
    pub(in super::super) trusted_ca: Option<DataSource>,
    pub(in super::super) system_root_certs: Option<Present>,
    #[serde(default)]
    pub(in super::super) match_typed_subject_alt_names: Vec<SubjectMatcher>,
    #[serde(default)]
    pub(in super::super) match_subject_alt_names: Vec<StringMatcher>,
    #[serde(default)]
    pub(in super::super) allow_expired_certificate: bool,
    pub(in super::super) trust_chain_verification: Option<Spanned<TrustChain>>,
}

impl Message for ValidationContext {
    const OTHERS: Others = &[
        (
            "certificates are trusted by `trusted_ca` and their names alone",
            &[
                "ca_certificate_provider_instance",
                "verify_certificate_spki",
                "verify_certificate_hash",
                "require_signed_certificate_timestamp",
                "crl",
                "custom_validator_config",
                "only_verify_leaf_cert_crl",
                "max_verify_depth",
            ],
        ),
        ("files are read once", &["watched_directory"]),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum TrustChain {
    VerifyTrustChain,
    AcceptUntrusted,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct SubjectMatcher {
    pub(in super::super) san_type: Option<SanType>,
    pub(in super::super) matcher: StringMatcher,
    #[serde(rename = "oid")]
    _oid: Option<Present>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum SanType {
    #[serde(rename = "SAN_TYPE_UNSPECIFIED")]
    Unspecified,
    Email,
    Dns,
    Uri,
    IpAddress,
    OtherName,
}

/// `Secret`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Secret {
    pub(in super::super) name: Option<String>,
    pub(in super::super) tls_certificate: Option<Node>,
    pub(in super::super) validation_context: Option<Node>,
}

impl Message for Secret {
    const OTHERS: Others = &[(
        "nothing that is modelled asks for it",
        &["session_ticket_keys", "generic_secret"],
    )];
}
