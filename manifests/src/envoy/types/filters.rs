//! Filters before the router.

use serde::Deserialize;

use super::super::read::{Message, Others};
use super::super::values::{Fraction, Length, Runtime, Whole};
use super::{HeaderMatcher, NO_BEARING, StringMatcher};
use crate::text::{Present, Spanned};

/// `extensions.filters.http.router.v3.Router`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Router {
    #[serde(default)]
    pub(in super::super) suppress_envoy_headers: bool,
}

impl Message for Router {
    const OTHERS: Others = &[
        (
            "control headers that make no sense are left aside",
            &["strict_check_headers"],
        ),
        (
            "a caller's own time is known by `x-envoy-upstream-rq-timeout-ms` alone",
            &["respect_expected_rq_timeout"],
        ),
        (
            "requests pass it untouched",
            &["upstream_http_filters", "reject_connect_request_early_data"],
        ),
        (
            NO_BEARING,
            &[
                "dynamic_stats",
                "start_child_span",
                "upstream_log",
                "upstream_log_options",
                "suppress_grpc_request_failure_code_stats",
            ],
        ),
    ];
}

/// `extensions.filters.http.fault.v3.HTTPFault`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpFault {
    pub(in super::super) delay: Option<FaultDelay>,
    pub(in super::super) abort: Option<FaultAbort>,
    #[serde(default)]
    pub(in super::super) headers: Vec<Spanned<HeaderMatcher>>,
    pub(in super::super) max_active_faults: Option<Whole<u32>>,
}

impl Message for HttpFault {
    const OTHERS: Others = &[
        (
            "the fault applies whatever the cluster and the client's node",
            &["upstream_cluster", "downstream_nodes"],
        ),
        ("responses come at full speed", &["response_rate_limit"]),
        (
            NO_BEARING,
            &[
                "delay_percent_runtime",
                "abort_percent_runtime",
                "delay_duration_runtime",
                "abort_http_status_runtime",
                "max_active_faults_runtime",
                "response_rate_limit_percent_runtime",
                "abort_grpc_status_runtime",
                "disable_downstream_cluster_stats",
                "filter_metadata",
            ],
        ),
    ];
}

/// `extensions.filters.http.cors.v3.CorsPolicy`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct CorsPolicy {
    #[serde(default)]
    pub(in super::super) allow_origin_string_match: Vec<Spanned<StringMatcher>>,
    pub(in super::super) allow_methods: Option<String>,
    pub(in super::super) allow_headers: Option<String>,
    pub(in super::super) expose_headers: Option<String>,
    pub(in super::super) max_age: Option<String>,
    pub(in super::super) allow_credentials: Option<bool>,
    pub(in super::super) filter_enabled: Option<Spanned<Runtime<Fraction>>>,
    pub(in super::super) forward_not_matching_preflights: Option<bool>,
}

impl Message for CorsPolicy {
    const OTHERS: Others = &[
        (
            "preflights for private networks are answered as any other",
            &["allow_private_network_access"],
        ),
        (NO_BEARING, &["shadow_enabled"]),
    ];
}

/// `extensions.filters.common.fault.v3.FaultDelay`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FaultDelay {
    pub(in super::super) fixed_delay: Option<Length>,
    #[serde(rename = "header_delay")]
    _header_delay: Option<Present>,
    pub(in super::super) percentage: Option<Fraction>,
}

/// `extensions.filters.http.fault.v3.FaultAbort`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct FaultAbort {
    pub(in super::super) http_status: Option<Spanned<Whole<u16>>>,
    pub(in super::super) grpc_status: Option<Whole<u32>>,
    #[serde(rename = "header_abort")]
    _header_abort: Option<Present>,
    pub(in super::super) percentage: Option<Fraction>,
}

/// `extensions.filters.http.local_ratelimit.v3.LocalRateLimit`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct LocalRateLimit {
    #[serde(rename = "stat_prefix")]
    _stat_prefix: Option<String>,
    pub(in super::super) status: Option<HttpStatus>,
    pub(in super::super) token_bucket: Option<Spanned<TokenBucket>>,
    pub(in super::super) filter_enabled: Option<Spanned<Runtime<Fraction>>>,
    pub(in super::super) filter_enforced: Option<Spanned<Runtime<Fraction>>>,
}

impl Message for LocalRateLimit {
    const OTHERS: Others = &[
        (
            "every request takes from the one bucket",
            &[
                "descriptors",
                "rate_limits",
                "stage",
                "vh_rate_limits",
                "always_consume_default_token_bucket",
                "max_dynamic_descriptors",
            ],
        ),
        (
            "the bucket is the process's",
            &[
                "local_rate_limit_per_downstream_connection",
                "local_cluster_rate_limit",
            ],
        ),
        (
            "the header is not written, and nothing here goes by it",
            &[
                "request_headers_to_add_when_not_enforced",
                "response_headers_to_add",
                "enable_x_ratelimit_headers",
            ],
        ),
        (
            "a refused gRPC request is told that the proxy is unavailable",
            &["rate_limited_as_resource_exhausted"],
        ),
    ];
}

/// `type.v3.HttpStatus`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct HttpStatus {
    pub(in super::super) code: Status,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Status(pub(in super::super) u16);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusVisitor).map(Self)
    }
}

struct StatusVisitor;

impl serde::de::Visitor<'_> for StatusVisitor {
    type Value = u16;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a status code, as a number or as `type.v3.StatusCode` names it")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u16, E> {
        u16::try_from(value)
            .ok()
            .filter(|s| (100..600).contains(s))
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u16, E> {
        let named = STATUSES.iter().find(|(name, _)| *name == value);
        named
            .map(|(_, code)| *code)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(value), &self))
    }
}

/// The names of `type.v3.StatusCode`, but for `Empty` and `Continue`.
const STATUSES: [(&str, u16); 55] = [
    ("OK", 200),
    ("Created", 201),
    ("Accepted", 202),
    ("NonAuthoritativeInformation", 203),
    ("NoContent", 204),
    ("ResetContent", 205),
    ("PartialContent", 206),
    ("MultiStatus", 207),
    ("AlreadyReported", 208),
    ("IMUsed", 226),
    ("MultipleChoices", 300),
    ("MovedPermanently", 301),
    ("Found", 302),
    ("SeeOther", 303),
    ("NotModified", 304),
    ("UseProxy", 305),
    ("TemporaryRedirect", 307),
    ("PermanentRedirect", 308),
    ("BadRequest", 400),
    ("Unauthorized", 401),
    ("PaymentRequired", 402),
    ("Forbidden", 403),
    ("NotFound", 404),
    ("MethodNotAllowed", 405),
    ("NotAcceptable", 406),
    ("ProxyAuthenticationRequired", 407),
    ("RequestTimeout", 408),
    ("Conflict", 409),
    ("Gone", 410),
    ("LengthRequired", 411),
    ("PreconditionFailed", 412),
    ("PayloadTooLarge", 413),
    ("URITooLong", 414),
    ("UnsupportedMediaType", 415),
    ("RangeNotSatisfiable", 416),
    ("ExpectationFailed", 417),
    ("MisdirectedRequest", 421),
    ("UnprocessableEntity", 422),
    ("Locked", 423),
    ("FailedDependency", 424),
    ("UpgradeRequired", 426),
    ("PreconditionRequired", 428),
    ("TooManyRequests", 429),
    ("RequestHeaderFieldsTooLarge", 431),
    ("InternalServerError", 500),
    ("NotImplemented", 501),
    ("BadGateway", 502),
    ("ServiceUnavailable", 503),
    ("GatewayTimeout", 504),
    ("HTTPVersionNotSupported", 505),
    ("VariantAlsoNegotiates", 506),
    ("InsufficientStorage", 507),
    ("LoopDetected", 508),
    ("NotExtended", 510),
    ("NetworkAuthenticationRequired", 511),
];

/// `type.v3.TokenBucket`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct TokenBucket {
    pub(in super::super) max_tokens: Whole<u32>,
    pub(in super::super) tokens_per_fill: Option<Whole<u32>>,
    pub(in super::super) fill_interval: Spanned<Length>,
}
