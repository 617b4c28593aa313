//! Settings of policies for what proxies send; MeshTimeout's and MeshCircuitBreaker's hold for what arrives, too.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::values::{Length, Number};
use super::HeaderMatch;
use crate::text::{Present, Spanned};

/// `MeshTimeout`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Until a connection stands; none: 5 s.
    pub connection_timeout: Option<Spanned<Length>>,
    /// Without a byte or request; none: 1 h.
    pub idle_timeout: Option<Spanned<Length>>,
    /// Of requests.
    pub http: Option<HttpTimeouts>,
}

/// Timeouts of requests; zero is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpTimeouts {
    /// All tries together; none: 15 s.
    pub request_timeout: Option<Spanned<Length>>,
    /// Nothing happens on a stream; none: 30 min.
    pub stream_idle_timeout: Option<Spanned<Length>>,
    /// The whole stream; none: no bound.
    pub max_stream_duration: Option<Spanned<Length>>,
    /// A connection's age; none: no bound.
    pub max_connection_duration: Option<Spanned<Length>>,
    /// Until the head of a request is there; none: no bound.
    pub request_headers_timeout: Option<Spanned<Length>>,
}

/// `MeshRetry`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Of connections.
    pub tcp: Option<Spanned<TcpRetry>>,
    /// Of requests to ports that speak HTTP/1.1.
    pub http: Option<Spanned<HttpRetry>>,
    /// Of calls.
    pub grpc: Option<Spanned<GrpcRetry>>,
}

/// Retries of connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRetry {
    /// Endpoints that are tried.
    pub max_connect_attempt: Option<Spanned<u32>>,
}

/// Retries of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRetry {
    /// Tries after the first; none: 1.
    pub num_retries: Option<Spanned<u32>>,
    /// Bound of one try; zero: none.
    pub per_try_timeout: Option<Spanned<Length>>,
    /// Pause before a try.
    pub back_off: Option<Spanned<Backoff>>,
    /// Pause that the answer asks for.
    pub rate_limited_back_off: Option<Spanned<RateLimitedBackoff>>,
    /// Conditions, statuses and methods; none: `GatewayError`, `ConnectFailure`, `RefusedStream`.
    pub retry_on: Option<Vec<Spanned<String>>>,
    /// Answers with one of these are tried again.
    pub retriable_response_headers: Option<Vec<HeaderMatch>>,
    /// Only requests with one of these are tried again.
    pub retriable_request_headers: Option<Vec<HeaderMatch>>,
    /// Which endpoints a further try avoids.
    pub host_selection: Option<Vec<HostSelection>>,
    /// Picks before giving in; none: 1.
    pub host_selection_max_attempts: Option<Spanned<i64>>,
}

/// Retries of calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRetry {
    /// Tries after the first; none: 1.
    pub num_retries: Option<Spanned<u32>>,
    /// Bound of one try; zero: none.
    pub per_try_timeout: Option<Spanned<Length>>,
    /// Pause before a try.
    pub back_off: Option<Spanned<Backoff>>,
    /// Pause that the answer asks for.
    pub rate_limited_back_off: Option<Spanned<RateLimitedBackoff>>,
    /// Conditions.
    pub retry_on: Option<Vec<Spanned<String>>>,
}

/// Pause before a try.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// Below this at first; none: 25 ms.
    pub base_interval: Option<Spanned<Length>>,
    /// Below this at most; none: 10 × base.
    pub max_interval: Option<Spanned<Length>>,
}

/// Pause that the answer asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitedBackoff {
    /// Headers that may say how long, tried in their order.
    pub reset_headers: Option<Vec<ResetHeader>>,
    /// Longer pauses are not taken from a header; none: 300 s.
    pub max_interval: Option<Spanned<Length>>,
}

/// A header that says how long.
#[derive(Clone, Debug, Deserialize)]
pub struct ResetHeader {
    /// Name.
    pub name: Spanned<String>,
    /// `Seconds` or `UnixTimestamp`.
    pub format: Spanned<String>,
}

/// Which endpoints a further try avoids.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSelection {
    /// How.
    pub predicate: Spanned<Predicate>,
    /// For `OmitHostsWithTags`.
    #[serde(default)]
    pub tags: Option<Present>,
    /// For `OmitPreviousPriorities`: after so many tries; none: 2.
    #[serde(default)]
    pub update_frequency: Option<Spanned<i32>>,
}

/// How endpoints are avoided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Predicate {
    /// Those already tried.
    OmitPreviousHosts,
    /// By tags.
    OmitHostsWithTags,
    /// Priorities already tried.
    OmitPreviousPriorities,
}

/// `MeshCircuitBreaker`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Breaker {
    /// What may be under way at once.
    pub connection_limits: Option<ConnectionLimits>,
    /// Endpoints that fail are taken out.
    pub outlier_detection: Option<Spanned<OutlierDetection>>,
}

/// What may be under way at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionLimits {
    /// Connections.
    pub max_connections: Option<Spanned<u32>>,
    /// Pools.
    pub max_connection_pools: Option<Spanned<u32>>,
    /// Requests that wait.
    pub max_pending_requests: Option<Spanned<u32>>,
    /// Retries.
    pub max_retries: Option<Spanned<u32>>,
    /// Requests.
    pub max_requests: Option<Spanned<u32>>,
}

/// When endpoints are taken out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// Between sweeps; none: 10 s.
    pub interval: Option<Spanned<Length>>,
    /// The first time out; none: 30 s.
    pub base_ejection_time: Option<Spanned<Length>>,
    /// Share that may be out; none: 10.
    pub max_ejection_percent: Option<Spanned<u32>>,
    /// Whether failures of the proxy's own are judged apart.
    pub split_external_and_local_errors: Option<Spanned<bool>>,
    /// By what.
    pub detectors: Option<Detectors>,
    /// Below this share of healthy endpoints all are used; none: 50.
    pub healthy_panic_threshold: Option<Spanned<Number>>,
}

/// What endpoints are judged by; one that is not written is off.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Detectors {
    /// 5xx in a row.
    pub total_failures: Option<Consecutive>,
    /// 502, 503 and 504 in a row.
    pub gateway_failures: Option<Consecutive>,
    /// Failures of the proxy's own in a row.
    pub local_origin_failures: Option<Consecutive>,
    /// Success rates far below the others'.
    pub success_rate: Option<SuccessRate>,
    /// A share of failures.
    pub failure_percentage: Option<FailurePercentage>,
}

/// So many in a row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Consecutive {
    /// Without a number the detector is off.
    pub consecutive: Option<Spanned<u32>>,
}

/// Success rates far below the others'.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SuccessRate {
    /// Endpoints with enough requests that it takes; none: 5.
    pub minimum_hosts: Option<Spanned<u32>>,
    /// Requests that are enough; none: 100.
    pub request_volume: Option<Spanned<u32>>,
    /// Deviations below the mean; none: 1.9.
    pub standard_deviation_factor: Option<Spanned<Number>>,
}

/// A share of failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailurePercentage {
    /// Endpoints with enough requests that it takes; none: 5.
    pub minimum_hosts: Option<Spanned<u32>>,
    /// Requests that are enough; none: 50.
    pub request_volume: Option<Spanned<u32>>,
    /// From this percentage on; none: 85.
    pub threshold: Option<Spanned<u32>>,
}

/// `MeshHealthCheck`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Between checks; none: 1 min.
    pub interval: Option<Spanned<Length>>,
    /// For an answer; none: 15 s.
    pub timeout: Option<Spanned<Length>>,
    /// Failures in a row; none: 5.
    pub unhealthy_threshold: Option<Spanned<i32>>,
    /// Successes in a row; none: 1.
    pub healthy_threshold: Option<Spanned<i32>>,
    /// Before the first check.
    pub initial_jitter: Option<Present>,
    /// On top of each interval.
    pub interval_jitter: Option<Spanned<Length>>,
    /// The same as a share of the interval.
    pub interval_jitter_percent: Option<Spanned<i32>>,
    /// In panic, nobody is served.
    pub fail_traffic_on_panic: Option<Spanned<bool>>,
    /// For reports.
    pub event_log_path: Option<Present>,
    /// For reports.
    pub always_log_health_check_failures: Option<Present>,
    /// While there are no requests; none: 60 s.
    pub no_traffic_interval: Option<Spanned<Length>>,
    /// The same as MeshCircuitBreaker's (2.x).
    pub healthy_panic_threshold: Option<Spanned<Number>>,
    /// For ports that speak TCP, and where the others are disabled.
    pub tcp: Option<Spanned<TcpCheck>>,
    /// For ports that speak HTTP.
    pub http: Option<Spanned<HttpCheck>>,
    /// For ports that speak gRPC.
    pub grpc: Option<Spanned<GrpcCheck>>,
    /// Whether connections of checks are kept; none: they are.
    pub reuse_connection: Option<Present>,
}

/// A check by connecting.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpCheck {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// What is sent.
    pub send: Option<Present>,
    /// What must come.
    pub receive: Option<Present>,
}

/// A check by a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCheck {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// What is asked for; none: `/`.
    pub path: Option<Spanned<String>>,
    /// Headers sent with it.
    pub request_headers_to_add: Option<Present>,
    /// Statuses that are healthy; none: 200.
    pub expected_statuses: Option<Vec<Spanned<i32>>>,
}

/// A check by a call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcCheck {
    /// Not at all.
    pub disabled: Option<Spanned<bool>>,
    /// Which service.
    pub service_name: Option<Present>,
    /// Its authority.
    pub authority: Option<Present>,
}

/// `MeshLoadBalancingStrategy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// Nearest first.
    pub locality_awareness: Option<LocalityAwareness>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// What a hashing balancer goes by.
    pub hash_policies: Option<Vec<HashPolicy>>,
}

/// Nearest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityAwareness {
    /// All endpoints alike.
    pub disabled: Option<Spanned<bool>>,
    /// Within a zone.
    pub local_zone: Option<LocalZone>,
    /// To other zones.
    pub cross_zone: Option<Spanned<CrossZone>>,
}

/// Within a zone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalZone {
    /// Endpoints whose tag is the caller's own get more.
    pub affinity_tags: Option<Spanned<Vec<AffinityTag>>>,
}

/// A tag that is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct AffinityTag {
    /// Which.
    pub key: Spanned<String>,
    /// Share.
    #[serde(default)]
    pub weight: Option<Spanned<u32>>,
}

/// To other zones.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CrossZone {
    /// Which come next.
    pub failover: Option<Present>,
    /// Below which share of live endpoints.
    pub failover_threshold: Option<Present>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// By which.
    pub r#type: Spanned<LoadBalancerType>,
    /// In turn.
    #[serde(default)]
    pub round_robin: Option<Present>,
    /// The less busy.
    #[serde(default)]
    pub least_request: Option<LeastRequest>,
    /// A ring.
    #[serde(default)]
    pub ring_hash: Option<RingHash>,
    /// Any.
    #[serde(default)]
    pub random: Option<Present>,
    /// A table.
    #[serde(default)]
    pub maglev: Option<Maglev>,
}

/// By which an endpoint is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum LoadBalancerType {
    /// In turn.
    RoundRobin,
    /// The less busy of some.
    LeastRequest,
    /// A ring.
    RingHash,
    /// Any.
    Random,
    /// A table.
    Maglev,
}

/// The less busy of some.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeastRequest {
    /// Of so many; none: 2.
    pub choice_count: Option<Spanned<u32>>,
    /// How much the busy count less where weights differ; none: 1.
    pub active_request_bias: Option<Spanned<Number>>,
}

/// A ring.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// `XXHash` or `MurmurHash2`; none: the former.
    pub hash_function: Option<Spanned<String>>,
    /// Least entries; none: 1024.
    pub min_ring_size: Option<Spanned<u32>>,
    /// Most entries; none: 8 388 608.
    pub max_ring_size: Option<Spanned<u32>>,
    /// The same as those of the strategy itself (2.x).
    pub hash_policies: Option<Vec<HashPolicy>>,
}

/// A table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// Entries; none: 65 537.
    pub table_size: Option<Spanned<u32>>,
    /// The same as those of the strategy itself (2.x).
    pub hash_policies: Option<Vec<HashPolicy>>,
}

/// What a hash is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashPolicy {
    /// Of what.
    pub r#type: Spanned<HashPolicyType>,
    /// Ends the list once there is a hash.
    #[serde(default)]
    pub terminal: Option<Spanned<bool>>,
    /// For `Header`.
    #[serde(default)]
    pub header: Option<Named>,
    /// For `Cookie`.
    #[serde(default)]
    pub cookie: Option<Named>,
    /// For `Connection` and `SourceIP`.
    #[serde(default)]
    pub connection: Option<BTreeMap<String, Spanned<bool>>>,
    /// For `QueryParameter`.
    #[serde(default)]
    pub query_parameter: Option<Named>,
    /// For `FilterState`.
    #[serde(default)]
    pub filter_state: Option<Present>,
}

/// Of what a hash is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum HashPolicyType {
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The client's address.
    Connection,
    /// The same (2.x).
    SourceIP,
    /// A query parameter.
    QueryParameter,
    /// Something that filters know.
    FilterState,
}

/// A header, parameter or cookie.
#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: Spanned<String>,
    /// How long a cookie that is made lasts; none: none is made.
    #[serde(default)]
    pub ttl: Option<Spanned<Length>>,
    /// A cookie's path.
    #[serde(default)]
    pub path: Option<Spanned<String>>,
}
