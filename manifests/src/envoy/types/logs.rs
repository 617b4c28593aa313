//! Access logs.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Fraction, Runtime, Whole};
use super::{DataSource, HeaderMatcher};
use crate::text::{Node, Present, Spanned};

/// `config.accesslog.v3.AccessLog`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct AccessLog {
    pub(in super::super) name: Option<Spanned<String>>,
    pub(in super::super) filter: Option<Node>,
    pub(in super::super) typed_config: Option<Node>,
}

/// `extensions.access_loggers.file.v3.FileAccessLog`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FileAccessLog {
    pub(in super::super) path: Spanned<String>,
    pub(in super::super) format: Option<Spanned<String>>,
    pub(in super::super) json_format: Option<Node>,
    pub(in super::super) typed_json_format: Option<Node>,
    pub(in super::super) log_format: Option<Node>,
}

/// `extensions.access_loggers.stream.v3.StdoutAccessLog` and `StderrAccessLog`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct StreamAccessLog {
    pub(in super::super) log_format: Option<Node>,
}

/// `config.core.v3.SubstitutionFormatString`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LogFormat {
    pub(in super::super) text_format: Option<Spanned<String>>,
    pub(in super::super) text_format_source: Option<Spanned<DataSource>>,
    pub(in super::super) json_format: Option<Node>,
    #[serde(default)]
    pub(in super::super) omit_empty_values: bool,
    #[serde(rename = "content_type")]
    _content_type: Option<String>,
    #[serde(rename = "json_format_options")]
    _json_format_options: Option<Present>,
}

impl Message for LogFormat {
    const OTHERS: Others = &[(
        "the format's operators are those that Envoy itself has",
        &["formatters"],
    )];
}

/// `config.accesslog.v3.AccessLogFilter`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct AccessLogFilter {
    pub(in super::super) status_code_filter: Option<Compared>,
    pub(in super::super) duration_filter: Option<Compared>,
    pub(in super::super) not_health_check_filter: Option<Present>,
    pub(in super::super) traceable_filter: Option<Present>,
    pub(in super::super) runtime_filter: Option<RuntimeFilter>,
    pub(in super::super) and_filter: Option<Filters>,
    pub(in super::super) or_filter: Option<Filters>,
    pub(in super::super) header_filter: Option<HeaderFilter>,
    pub(in super::super) response_flag_filter: Option<FlagFilter>,
    pub(in super::super) grpc_status_filter: Option<GrpcFilter>,
    pub(in super::super) extension_filter: Option<Present>,
    pub(in super::super) metadata_filter: Option<Present>,
    pub(in super::super) log_type_filter: Option<Present>,
}

/// `StatusCodeFilter` and `DurationFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Compared {
    pub(in super::super) comparison: Comparison,
}

/// `ComparisonFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Comparison {
    #[serde(default)]
    pub(in super::super) op: Op,
    pub(in super::super) value: Option<Runtime<Whole<u32>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum Op {
    #[default]
    Eq,
    Ge,
    Le,
    Ne,
}

/// `RuntimeFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct RuntimeFilter {
    #[serde(rename = "runtime_key")]
    _runtime_key: Option<String>,
    pub(in super::super) percent_sampled: Option<Fraction>,
    #[serde(rename = "use_independent_randomness")]
    _use_independent_randomness: Option<bool>,
}

/// `AndFilter` and `OrFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Filters {
    #[serde(default)]
    pub(in super::super) filters: Vec<Node>,
}

/// `HeaderFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HeaderFilter {
    pub(in super::super) header: Spanned<HeaderMatcher>,
}

/// `ResponseFlagFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FlagFilter {
    #[serde(default)]
    pub(in super::super) flags: Vec<Spanned<String>>,
}

/// `GrpcStatusFilter`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct GrpcFilter {
    #[serde(default)]
    pub(in super::super) statuses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in super::super) exclude: bool,
}
