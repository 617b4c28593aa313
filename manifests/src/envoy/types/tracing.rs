//! Tracing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Fraction, Length, Percent, Whole};
use super::{Extension, HeaderValue, HeaderValueOption, NO_BEARING};
use crate::text::{Node, Present, Spanned};

const NAMES: &str = "spans have their usual names";

/// `HttpConnectionManager.Tracing`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ManagerTracing {
    pub(in super::super) client_sampling: Option<Spanned<Percent>>,
    pub(in super::super) random_sampling: Option<Spanned<Percent>>,
    pub(in super::super) overall_sampling: Option<Spanned<Percent>>,
    #[serde(default)]
    pub(in super::super) verbose: bool,
    pub(in super::super) max_path_tag_length: Option<Whole<u32>>,
    #[serde(default)]
    pub(in super::super) custom_tags: Vec<Node>,
    pub(in super::super) provider: Option<Spanned<Extension>>,
    #[serde(default)]
    pub(in super::super) spawn_upstream_span: bool,
}

impl Message for ManagerTracing {
    const OTHERS: Others = &[(NAMES, &["operation", "upstream_operation"])];
}

/// `config.trace.v3.Tracing` of a bootstrap.
#[derive(Debug, Deserialize)]
pub(in super::super) struct BootstrapTracing {
    pub(in super::super) http: Option<Spanned<Extension>>,
}

/// `config.route.v3.Tracing`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RouteTracing {
    pub(in super::super) client_sampling: Option<Fraction>,
    pub(in super::super) random_sampling: Option<Fraction>,
    pub(in super::super) overall_sampling: Option<Fraction>,
    #[serde(default)]
    pub(in super::super) custom_tags: Vec<Node>,
}

impl Message for RouteTracing {
    const OTHERS: Others = &[(NAMES, &["operation", "upstream_operation"])];
}

/// `config.route.v3.Decorator`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Decorator {
    pub(in super::super) operation: Spanned<String>,
    pub(in super::super) propagate: Option<bool>,
}

/// `type.tracing.v3.CustomTag`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct CustomTag {
    pub(in super::super) tag: Spanned<String>,
    pub(in super::super) literal: Option<LiteralTag>,
    pub(in super::super) environment: Option<NamedTag>,
    pub(in super::super) request_header: Option<NamedTag>,
    pub(in super::super) metadata: Option<Spanned<MetadataTag>>,
    pub(in super::super) value: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct LiteralTag {
    pub(in super::super) value: String,
}

#[derive(Debug, Deserialize)]
pub(in super::super) struct NamedTag {
    pub(in super::super) name: Spanned<String>,
    #[serde(default)]
    pub(in super::super) default_value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct MetadataTag {
    #[serde(rename = "kind")]
    _kind: Option<Present>,
    #[serde(rename = "metadata_key")]
    _metadata_key: Option<Present>,
    #[serde(default)]
    pub(in super::super) default_value: String,
}

/// `config.trace.v3.OpenTelemetryConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct OpenTelemetry {
    pub(in super::super) grpc_service: Option<Node>,
    pub(in super::super) http_service: Option<Node>,
    #[serde(default)]
    pub(in super::super) service_name: String,
    #[serde(default)]
    pub(in super::super) resource_detectors: Vec<Spanned<Extension>>,
    pub(in super::super) sampler: Option<Spanned<Extension>>,
    pub(in super::super) max_cache_size: Option<Whole<u32>>,
}

impl Message for OpenTelemetry {
    const OTHERS: Others = &[];
}

/// `config.core.v3.GrpcService`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct GrpcService {
    pub(in super::super) envoy_grpc: Option<Node>,
    pub(in super::super) google_grpc: Option<Present>,
    pub(in super::super) timeout: Option<Spanned<Length>>,
    #[serde(default)]
    pub(in super::super) initial_metadata: Vec<HeaderValue>,
}

impl Message for GrpcService {
    const OTHERS: Others = &[("what fails is not sent again", &["retry_policy"])];
}

/// `GrpcService.EnvoyGrpc`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct EnvoyGrpc {
    pub(in super::super) cluster_name: Spanned<String>,
    #[serde(default)]
    pub(in super::super) authority: String,
}

impl Message for EnvoyGrpc {
    const OTHERS: Others = &[
        ("what fails is not sent again", &["retry_policy"]),
        (
            NO_BEARING,
            &["max_receive_message_length", "skip_envoy_headers"],
        ),
    ];
}

/// `config.core.v3.HttpService`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpService {
    pub(in super::super) http_uri: Option<HttpUri>,
    #[serde(default)]
    pub(in super::super) request_headers_to_add: Vec<HeaderValueOption>,
}

impl Message for HttpService {
    const OTHERS: Others = &[(
        "headers are those that the file writes",
        &["formatters", "credentials"],
    )];
}

/// `config.core.v3.HttpUri`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpUri {
    pub(in super::super) uri: Spanned<String>,
    pub(in super::super) cluster: Spanned<String>,
    pub(in super::super) timeout: Option<Spanned<Length>>,
}

/// `extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct StaticAttributes {
    #[serde(default)]
    pub(in super::super) attributes: BTreeMap<String, String>,
}

impl Message for StaticAttributes {
    const OTHERS: Others = &[];
}

/// `extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct ParentBased {
    pub(in super::super) wrapped_sampler: Option<Extension>,
}

impl Message for ParentBased {
    const OTHERS: Others = &[];
}

/// `config.trace.v3.ZipkinConfig`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Zipkin {
    pub(in super::super) collector_cluster: Option<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) collector_endpoint: String,
    #[serde(default)]
    pub(in super::super) collector_hostname: String,
    #[serde(default)]
    pub(in super::super) trace_id_128bit: bool,
    pub(in super::super) shared_span_context: Option<bool>,
    pub(in super::super) collector_endpoint_version: Option<Spanned<ZipkinVersion>>,
    #[serde(default)]
    pub(in super::super) trace_context_option: TraceContextOption,
    pub(in super::super) collector_service: Option<Node>,
}

impl Message for Zipkin {
    const OTHERS: Others = &[(
        "whether tries have spans of their own is said by `spawn_upstream_span`",
        &["split_spans_for_request"],
    )];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(in super::super) enum ZipkinVersion {
    #[serde(rename = "DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE")]
    Deprecated,
    #[serde(rename = "HTTP_JSON")]
    Json,
    #[serde(rename = "HTTP_PROTO")]
    Proto,
    #[serde(rename = "GRPC")]
    Grpc,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum TraceContextOption {
    #[default]
    UseB3,
    UseB3WithW3cPropagation,
}
