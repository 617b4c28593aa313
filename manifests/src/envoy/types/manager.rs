//! The HTTP connection manager.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Length, Whole};
use super::{CidrRange, NO_BEARING};
use crate::text::{Node, Present, Spanned};

/// `extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpConnectionManager {
    #[serde(default)]
    pub(in super::super) codec_type: Option<Spanned<Codec>>,
    pub(in super::super) stat_prefix: Option<String>,
    pub(in super::super) route_config: Option<Node>,
    pub(in super::super) rds: Option<Present>,
    pub(in super::super) scoped_routes: Option<Present>,
    #[serde(default)]
    pub(in super::super) http_filters: Vec<Node>,
    #[serde(default)]
    pub(in super::super) access_log: Vec<Node>,
    pub(in super::super) common_http_protocol_options: Option<Node>,
    pub(in super::super) stream_idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) request_timeout: Option<Spanned<Length>>,
    pub(in super::super) request_headers_timeout: Option<Spanned<Length>>,
    pub(in super::super) use_remote_address: Option<Spanned<bool>>,
    pub(in super::super) http_protocol_options: Option<Node>,
    pub(in super::super) max_request_headers_kb: Option<Spanned<Whole<u32>>>,
    pub(in super::super) normalize_path: Option<bool>,
    #[serde(default)]
    pub(in super::super) merge_slashes: bool,
    #[serde(default)]
    pub(in super::super) path_with_escaped_slashes_action: SlashesAction,
    #[serde(default)]
    pub(in super::super) strip_any_host_port: bool,
    #[serde(default)]
    pub(in super::super) strip_matching_host_port: bool,
    #[serde(default)]
    pub(in super::super) strip_trailing_host_dot: bool,
    pub(in super::super) xff_num_trusted_hops: Option<Spanned<Whole<u32>>>,
    #[serde(default)]
    pub(in super::super) skip_xff_append: bool,
    pub(in super::super) internal_address_config: Option<InternalAddresses>,
    pub(in super::super) original_ip_detection_extensions: Option<Present>,
    #[serde(default)]
    pub(in super::super) append_x_forwarded_port: bool,
    pub(in super::super) add_user_agent: Option<bool>,
    pub(in super::super) server_name: Option<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) server_header_transformation: ServerHeader,
    pub(in super::super) scheme_header_transformation: Option<SchemeHeader>,
    pub(in super::super) via: Option<Spanned<String>>,
    pub(in super::super) generate_request_id: Option<bool>,
    #[serde(default)]
    pub(in super::super) preserve_external_request_id: bool,
    #[serde(default)]
    pub(in super::super) always_set_request_id_in_response: bool,
    pub(in super::super) request_id_extension: Option<RequestIdExtension>,
    #[serde(default)]
    pub(in super::super) forward_client_cert_details: ClientCertificate,
    #[serde(default)]
    pub(in super::super) set_current_client_cert_details: ClientCertificateDetails,
    pub(in super::super) proxy_100_continue: Option<Spanned<bool>>,
    #[serde(default)]
    pub(in super::super) upgrade_configs: Vec<Spanned<ManagerUpgrade>>,
    pub(in super::super) http2_protocol_options: Option<Node>,
    pub(in super::super) tracing: Option<Node>,
}

impl Message for HttpConnectionManager {
    const OTHERS: Others = &[
        (
            "the connection's own protocol has its usual settings",
            &[
                "http3_protocol_options",
                "http1_safe_max_connection_duration",
            ],
        ),
        (
            "Envoy does not look at it either",
            &[
                "path_normalization_options",
                "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
                "typed_header_validation_config",
            ],
        ),
        (
            "heads are changed by this manager's other fields alone",
            &["early_header_mutation_extensions"],
        ),
        (
            "the proxy's own answers have Envoy's usual form",
            &["local_reply_config", "stream_error_on_invalid_http_message"],
        ),
        (
            "draining takes Envoy's usual course",
            &[
                "drain_timeout",
                "delayed_close_timeout",
                "stream_flush_timeout",
            ],
        ),
        (
            "every request has the certificate's details that `forward_client_cert_details` asks for",
            &["forward_client_cert_matcher"],
        ),
        (
            "`x-forwarded-proto` says whether the connection has TLS",
            &["forward_proto_config"],
        ),
        (
            "the header is not written, and nothing here goes by it",
            &["proxy_status_config", "append_local_overload"],
        ),
        (
            "access logs have a record of a request when it is over, and no other",
            &[
                "access_log_flush_interval",
                "flush_access_log_on_new_request",
                "access_log_options",
            ],
        ),
        (NO_BEARING, &["add_proxy_protocol_connection_state"]),
    ];
}

/// `HttpConnectionManager.UpgradeConfig`.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct ManagerUpgrade {
    #[serde(default)]
    pub(in super::super) upgrade_type: String,
    #[serde(default)]
    pub(in super::super) filters: Vec<Present>,
    pub(in super::super) enabled: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum Codec {
    Auto,
    Http1,
    Http2,
    Http3,
}

/// `HttpConnectionManager.PathWithEscapedSlashesAction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum SlashesAction {
    #[default]
    ImplementationSpecificDefault,
    KeepUnchanged,
    RejectRequest,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

/// `HttpConnectionManager.InternalAddressConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct InternalAddresses {
    #[serde(rename = "unix_sockets")]
    _unix_sockets: Option<bool>,
    #[serde(default)]
    pub(in super::super) cidr_ranges: Vec<CidrRange>,
}

/// `HttpConnectionManager.ServerHeaderTransformation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ServerHeader {
    #[default]
    Overwrite,
    AppendIfAbsent,
    PassThrough,
}

/// `config.core.v3.SchemeHeaderTransformation`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct SchemeHeader {
    pub(in super::super) scheme_to_overwrite: Option<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) match_upstream: bool,
}

/// `RequestIDExtension`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RequestIdExtension {
    pub(in super::super) typed_config: Option<Node>,
}

/// `extensions.request_id.uuid.v3.UuidRequestIdConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct UuidRequestId {
    pub(in super::super) pack_trace_reason: Option<bool>,
    pub(in super::super) use_request_id_for_trace_sampling: Option<bool>,
}

impl Message for UuidRequestId {
    const OTHERS: Others = &[];
}

/// `HttpConnectionManager.ForwardClientCertDetails`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ClientCertificate {
    #[default]
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// `HttpConnectionManager.SetCurrentClientCertDetails`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct ClientCertificateDetails {
    #[serde(default)]
    pub(in super::super) subject: bool,
    #[serde(default)]
    pub(in super::super) cert: bool,
    #[serde(default)]
    pub(in super::super) chain: bool,
    #[serde(default)]
    pub(in super::super) dns: bool,
    #[serde(default)]
    pub(in super::super) uri: bool,
}

/// `config.core.v3.Http1ProtocolOptions` of a client's connection.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct ClientHttp1 {
    #[serde(default)]
    pub(in super::super) accept_http_10: bool,
    #[serde(default)]
    pub(in super::super) default_host_for_http_10: String,
}

impl Message for ClientHttp1 {
    const OTHERS: Others = &[(
        "the connection's own protocol has its usual settings",
        &[
            "allow_absolute_url",
            "header_key_format",
            "enable_trailers",
            "allow_chunked_length",
            "override_stream_error_on_invalid_http_message",
            "send_fully_qualified_url",
            "use_balsa_parser",
            "allow_custom_methods",
            "ignore_http_11_upgrade",
        ],
    )];
}

/// `config.core.v3.HttpProtocolOptions` of a client's connection.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct ClientHttp {
    pub(in super::super) idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) max_connection_duration: Option<Spanned<Length>>,
    pub(in super::super) max_stream_duration: Option<Spanned<Length>>,
    pub(in super::super) max_requests_per_connection: Option<Spanned<Whole<u32>>>,
    pub(in super::super) max_headers_count: Option<Spanned<Whole<u32>>>,
    #[serde(default)]
    pub(in super::super) headers_with_underscores_action: UnderscoresAction,
}

impl Message for ClientHttp {
    const OTHERS: Others = &[(
        "responses are taken whatever their headers",
        &["max_response_headers_kb"],
    )];
}

/// `HttpProtocolOptions.HeadersWithUnderscoresAction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum UnderscoresAction {
    #[default]
    Allow,
    RejectRequest,
    DropHeader,
}

/// `config.core.v3.HttpProtocolOptions` of a connection to an endpoint.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct CommonHttp {
    pub(in super::super) idle_timeout: Option<Spanned<Length>>,
    pub(in super::super) max_connection_duration: Option<Spanned<Length>>,
    pub(in super::super) max_stream_duration: Option<Spanned<Length>>,
    pub(in super::super) max_requests_per_connection: Option<Spanned<Whole<u32>>>,
}

impl Message for CommonHttp {
    const OTHERS: Others = &[(
        "heads are taken whatever their headers",
        &[
            "max_headers_count",
            "max_response_headers_kb",
            "headers_with_underscores_action",
        ],
    )];
}

/// `HttpConnectionManager.HttpFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpFilter {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) typed_config: Option<Node>,
    pub(in super::super) config_discovery: Option<Present>,
    #[serde(rename = "is_optional")]
    _is_optional: Option<bool>,
    #[serde(default)]
    pub(in super::super) disabled: bool,
}
