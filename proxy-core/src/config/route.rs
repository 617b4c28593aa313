//! Virtual hosts, routes and what a route does.

use regex::Regex;

use super::{
    Cidr, ClusterIndex, Cors, Gate, LocalRateLimit, Name, RouteTracing, Session, Share, Upgrade,
};
use crate::heads::HeaderOp;
use crate::origin::{OriginId, Sourced};
use crate::retry::backoff::{Backoff, ResetFormat};
use crate::retry::conditions::RetryOn;
use crate::time::Duration;

/// The virtual hosts of one listener or port.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// For logs and reports.
    pub name: Box<str>,
    /// A domain may stand in one virtual host only.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Whether the authority's port is of no account (Envoy: `ignore_port_in_host_matching`).
    pub ignore_port: bool,
}

/// One virtual host.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// For logs and reports.
    pub name: Name,
    /// Lower case, with or without port: exact, `*.suffix`, `prefix.*` or `*`; chosen in this order, longer before shorter.
    pub domains: Vec<Box<str>>,
    /// The first that matches wins.
    pub routes: Vec<Route>,
    /// Whether upstreams see `x-envoy-attempt-count`.
    pub attempt_count: bool,
    /// Whether clients see it.
    pub attempt_count_in_response: bool,
    /// The rule that made it.
    pub origin: OriginId,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// For logs and reports.
    pub name: Name,
    /// When it applies.
    pub matches: RouteMatch,
    /// What it does.
    pub action: RouteAction,
    /// Edits toward the upstream.
    pub request_edits: HeaderEdits,
    /// Edits toward the client.
    pub response_edits: HeaderEdits,
    /// Replaces the listener's fault filter settings.
    pub fault: Option<Box<Fault>>,
    /// Replaces the listener's local rate limit.
    pub rate_limit: Option<Box<LocalRateLimit>>,
    /// Which pages of other origins may read its answers, where the listener has the filter for it.
    pub cors: Option<Box<Cors>>,
    /// What its requests have to pass before they are sent on, or answered by it.
    pub gates: Vec<Gate>,
    /// What it has to say of tracing.
    pub tracing: Option<Box<RouteTracing>>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// Edits of one head, carried out in their order.
pub type HeaderEdits = Vec<HeaderOp>;

/// How a text is compared. Regular expressions must match the whole text.
#[derive(Clone, Debug)]
pub enum TextMatch {
    /// Equal.
    Exact(Box<str>),
    /// Begins with.
    Prefix(Box<str>),
    /// Ends with.
    Suffix(Box<str>),
    /// Contains.
    Contains(Box<str>),
    /// Whole text matches; build with [`TextMatch::regex`].
    Regex(Box<Regex>),
    /// A whole number from the first to below the second.
    Range(i64, i64),
    /// An address in one of these blocks.
    Address(Box<[Cidr]>),
    /// The header or parameter is there.
    Present,
}

impl TextMatch {
    /// A whole-text match of `pattern`, RE2 syntax without look-around and back-references.
    ///
    /// # Errors
    /// When the pattern does not compile or is larger than 1 MiB compiled.
    pub fn regex(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self::Regex(Box::new(whole_regex(pattern)?)))
    }

    /// Whether `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => &**want == text,
            Self::Prefix(want) => text.starts_with(&**want),
            Self::Suffix(want) => text.ends_with(&**want),
            Self::Contains(want) => text.contains(&**want),
            Self::Regex(regex) => regex.is_match(text),
            Self::Range(from, below) => {
                let number = text.trim_ascii().parse();
                number.is_ok_and(|number| (*from..*below).contains(&number))
            }
            Self::Address(blocks) => {
                let address = text.parse();
                address.is_ok_and(|address| blocks.iter().any(|block| block.contains(address)))
            }
            Self::Present => true,
        }
    }
}

fn whole_regex(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(1 << 20)
        .build()
}

/// How the path (without query) is compared.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Equal.
    Exact(Box<str>),
    /// Begins with these bytes: `/foo` takes `/foobar`.
    Prefix(Box<str>),
    /// Begins with these segments: `/foo` takes `/foo` and `/foo/bar`. Kept without a trailing slash; `/` is empty.
    Segments(Box<str>),
    /// The whole path matches (Envoy, Istio, Gateway API); build with [`PathMatch::regex`].
    Regex(Box<Regex>),
    /// The path begins with a match (Kong, NGINX); build with [`PathMatch::regex_start`].
    RegexStart(Box<Regex>),
    /// There is none, since the request is a CONNECT (Envoy: `connect_matcher`). Nothing else takes such a request.
    Connect,
}

impl PathMatch {
    /// A whole-path regular expression.
    ///
    /// # Errors
    /// When the pattern does not compile or is larger than 1 MiB compiled.
    pub fn regex(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self::Regex(Box::new(whole_regex(pattern)?)))
    }

    /// A regular expression anchored at the start alone.
    ///
    /// # Errors
    /// When the pattern does not compile or is larger than 1 MiB compiled.
    pub fn regex_start(pattern: &str) -> Result<Self, regex::Error> {
        let regex = regex::RegexBuilder::new(&format!("^(?:{pattern})"))
            .size_limit(1 << 20)
            .build()?;
        Ok(Self::RegexStart(Box::new(regex)))
    }

    /// A match by segments: a trailing slash of `path` is of no account.
    #[must_use]
    pub fn segments(path: &str) -> Self {
        Self::Segments(path.trim_end_matches('/').into())
    }
}

/// A header condition.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Lower case; `:method`, `:authority`, `:path` and `:scheme` name the pseudo headers. In the conditions of a route there are besides:
    /// `:hostname`, the authority without its port; `:pathname`, the path without its query; `:http` and `:https`, the URL as it is over
    /// either; `:client`, the address of whoever made the connection, or of whom the rules for heads take for the client.
    pub name: Box<str>,
    /// What the value must be. Of several values one must be.
    pub value: TextMatch,
    /// Turns the answer round.
    pub invert: bool,
    /// Compares without regard to case.
    pub ignore_case: bool,
    /// What an absent header counts as.
    pub absent: Absent,
}

/// What an absent header counts as, where a condition asks for its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Default)]
pub enum Absent {
    /// As a value that matches nothing: turned round, it holds.
    #[default]
    Unequal,
    /// As something of which the condition does not hold, turned round or not.
    Refused,
    /// As an empty value.
    Empty,
}

/// A query parameter condition; of a repeated key the first value counts.
#[derive(Clone, Debug)]
pub struct ParamMatch {
    /// Key.
    pub name: Box<str>,
    /// What the value must be.
    pub value: TextMatch,
    /// Turns the answer round: with [`TextMatch::Present`] the parameter must be absent.
    pub invert: bool,
}

/// When a route applies: all conditions at once.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// Path condition.
    pub path: PathMatch,
    /// Compares the path without regard to case (not regular expressions).
    pub ignore_case: bool,
    /// Methods, any of them; empty: all.
    pub methods: Vec<Box<str>>,
    /// Header conditions.
    pub headers: Vec<HeaderMatch>,
    /// Query conditions.
    pub params: Vec<ParamMatch>,
    /// Only requests with a gRPC content type.
    pub grpc: bool,
    /// Taken by this share of the requests that match otherwise; the rest fall through to later routes.
    pub fraction: Option<Share>,
}

impl RouteMatch {
    /// Matches every request.
    #[must_use]
    pub fn all() -> Self {
        Self::path(PathMatch::Prefix("/".into()))
    }

    /// Matches by path alone.
    #[must_use]
    pub fn path(path: PathMatch) -> Self {
        Self {
            path,
            ignore_case: false,
            methods: Vec::new(),
            headers: Vec::new(),
            params: Vec::new(),
            grpc: false,
            fraction: None,
        }
    }
}

/// What a route does.
#[derive(Clone, Debug)]
pub enum RouteAction {
    /// Sends the request on.
    Forward(Box<Forward>),
    /// Answers with a redirect.
    Redirect(Box<Redirect>),
    /// Answers itself.
    Direct(DirectResponse),
}

/// A cluster and its share.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Where to; `None` is a destination that does not exist (its requests get `missing_status`).
    pub cluster: Option<ClusterIndex>,
    /// Relative to the sum of all.
    pub weight: u32,
    /// Edits toward the upstream, after the route's.
    pub request_edits: HeaderEdits,
    /// Edits toward the client, after the route's.
    pub response_edits: HeaderEdits,
    /// The rule that made it.
    pub origin: OriginId,
}

/// Sends a request on.
#[derive(Clone, Debug)]
pub struct Forward {
    /// One or several; the draw holds for the request's life, retries included.
    pub clusters: Vec<WeightedCluster>,
    /// Answer for a destination that does not exist. Envoy: 503 (flag NC).
    pub missing_status: u16,
    /// From the request's end to the response's end, all tries included; none: off. Envoy's default is 15 s.
    pub timeout: Sourced<Option<Duration>>,
    /// Replaces the listener's stream idle timeout.
    pub idle_timeout: Option<Sourced<Duration>>,
    /// Replaces the listener's longest stream.
    pub max_stream_duration: Option<Sourced<Duration>>,
    /// Longest `grpc-timeout` that is obeyed; none: the header is ignored.
    pub grpc_timeout_max: Option<Duration>,
    /// Tries after the first.
    pub retry: Option<Box<RetryPolicy>>,
    /// Second tries beside the first.
    pub hedge: Option<Hedge>,
    /// Longest body of a request, in bytes: 413 beyond (NGINX: `client_max_body_size`); none: any.
    pub largest_body: Option<Sourced<u64>>,
    /// Change of the path.
    pub rewrite: Option<PathRewrite>,
    /// Change of the authority.
    pub host: Option<HostRewrite>,
    /// Whether upstreams see a rewritten authority in `x-forwarded-host` (Envoy: `append_x_forwarded_host`).
    pub forwarded_host: bool,
    /// Copies sent elsewhere.
    pub mirrors: Vec<Mirror>,
    /// What a hashing balancer goes by.
    pub hash: Vec<HashPolicy>,
    /// Which of a cluster's two sets of limits counts.
    pub priority: Priority,
    /// Labels that an endpoint must have where its cluster has [`Subsets`](super::Subsets), sorted by key (Envoy: `metadata_match`).
    pub subset: Vec<(Name, Name)>,
    /// What connections may become here, whatever their listener says.
    pub upgrades: Vec<Upgrade>,
    /// Whether a CONNECT ends here: the bytes after it are carried to the endpoint as they are (Envoy: `connect_config`). Else it is sent on.
    pub ends_connect: bool,
    /// Whether clients stay with one endpoint.
    pub session: Option<Box<Session>>,
}

impl Forward {
    /// Sends everything to one cluster: no timeout, no retries.
    #[must_use]
    pub fn to(cluster: ClusterIndex) -> Self {
        Self {
            clusters: vec![WeightedCluster {
                cluster: Some(cluster),
                weight: 1,
                request_edits: Vec::new(),
                response_edits: Vec::new(),
                origin: OriginId::NONE,
            }],
            missing_status: 503,
            timeout: Sourced::unsourced(None),
            idle_timeout: None,
            max_stream_duration: None,
            grpc_timeout_max: None,
            retry: None,
            hedge: None,
            largest_body: None,
            rewrite: None,
            host: None,
            forwarded_host: false,
            mirrors: Vec::new(),
            hash: Vec::new(),
            priority: Priority::Default,
            subset: Vec::new(),
            upgrades: Vec::new(),
            ends_connect: false,
            session: None,
        }
    }
}

/// Which of a cluster's two sets of limits counts (Envoy: `RoutingPriority`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// The usual one.
    #[default]
    Default,
    /// For what must go through.
    High,
}

/// When and how often a request is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Conditions.
    pub on: Sourced<RetryOn>,
    /// Statuses for `retriable-status-codes`.
    pub statuses: Vec<u16>,
    /// Response headers for `retriable-headers`.
    pub headers: Vec<HeaderMatch>,
    /// If not empty, a request that matches none is never retried.
    pub request_headers: Vec<HeaderMatch>,
    /// Tries after the first.
    pub retries: Sourced<u32>,
    /// Bound of each try, the first included; void when not shorter than the route's timeout.
    pub per_try_timeout: Option<Sourced<Duration>>,
    /// Bound of a try's silence.
    pub per_try_idle_timeout: Option<Sourced<Duration>>,
    /// Pause before a retry.
    pub backoff: Sourced<Backoff>,
    /// Pause that the response asks for.
    pub rate_limited_backoff: Option<RateLimitedBackoff>,
    /// Avoids endpoints already tried, with this many picks before giving in; none: any endpoint.
    pub avoid_previous: Option<Sourced<u32>>,
    /// Drops priorities already tried after every so many tries (Envoy: `previous_priorities`).
    pub previous_priorities: Option<u32>,
    /// Whether a request of a non-idempotent method is left alone once bytes of it were sent (NGINX, Kong).
    pub spare_sent_non_idempotent: bool,
    /// Whether a per-try timeout is dropped on the last try (Linkerd).
    pub last_try_unbounded: bool,
    /// No try begins once this much time has passed since the first did: what is at hand then is the answer (NGINX:
    /// `proxy_next_upstream_timeout`, Traefik: `timeout`). None, or zero: off.
    pub no_try_after: Option<Sourced<Duration>>,
    /// Whether `statuses` also hold of what a try that failed would be answered with: 502 or 504 (Traefik).
    pub failures_have_statuses: bool,
    /// Bodies longer than this are not retried (Linkerd: 64 KiB; Envoy: the connection's buffer).
    pub body_limit: Option<u64>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// A pause that the response asks for.
#[derive(Clone, Debug)]
pub struct RateLimitedBackoff {
    /// Response headers that may say how long, tried in their order.
    pub headers: Vec<(Box<str>, ResetFormat)>,
    /// Longer pauses are not taken from a header. Envoy: 300 s.
    pub max_interval: Duration,
}

/// A second try beside the first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hedge {
    /// The per-try timeout starts another try and lets the first run (Envoy: `hedge_on_per_try_timeout`).
    pub on_per_try_timeout: bool,
    /// The rule that made it.
    pub origin: OriginId,
}

/// A change of the path; the query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Replaces what the route's path matched, byte by byte.
    Prefix(Box<str>),
    /// Replaces what the route's path matched; exactly one slash joins the halves.
    JoinedPrefix(Box<str>),
    /// Replaces the whole path.
    Full(Box<str>),
    /// Replaces every match of a pattern; `\1` stands for a group.
    Regex(Box<Regex>, Box<str>),
    /// Several, each of what the one before has made.
    Sequence(Vec<Self>),
}

/// A change of the authority.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// To this.
    Literal(Box<str>),
    /// To the endpoint's host name.
    Endpoint,
    /// To a header's value, where it is there.
    Header(Box<str>),
}

/// Answers with a redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`; none: as asked.
    pub scheme: Option<Box<str>>,
    /// Host; none: as asked.
    pub host: Option<Box<str>>,
    /// Port; none: as asked, or the scheme's own if that changed.
    pub port: Option<u16>,
    /// Path; none: as asked.
    pub path: Option<PathRedirect>,
    /// Drops the query.
    pub strip_query: bool,
    /// Leaves a port out that is the scheme's own (the Gateway API); else it is written as it is set (Envoy).
    pub omits_own_port: bool,
}

/// The path of a redirect.
#[derive(Clone, Debug)]
pub enum PathRedirect {
    /// Replaces all of it.
    Full(Box<str>),
    /// Replaces what the route's path matched, byte by byte.
    Prefix(Box<str>),
    /// Replaces what the route's path matched; exactly one slash joins the halves.
    JoinedPrefix(Box<str>),
    /// Replaces every match of a pattern; `\1` stands for a group.
    Regex(Box<Regex>, Box<str>),
    /// Replaces every match of a pattern in the whole URL, query and all, which makes the location; `\1` stands for a group.
    Url(Box<Regex>, Box<str>),
}

/// An answer without an upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectResponse {
    /// Status.
    pub status: u16,
    /// Body; Envoy takes at most 4 KiB.
    pub body: Box<str>,
}

/// Copies of requests.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where the copies go.
    pub cluster: ClusterIndex,
    /// Share of requests copied.
    pub share: Sourced<Share>,
    /// Whether the copy's Host gets the suffix `-shadow`.
    pub shadow_host: bool,
}

/// One source of the hash that a ring or table balancer goes by.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// Where from.
    pub source: HashSource,
    /// Ends the list once a hash is there.
    pub terminal: bool,
}

/// Where a hash comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HashSource {
    /// A header's value.
    Header(Box<str>),
    /// A cookie; with a lifetime it is made where it is missing.
    Cookie {
        /// Name.
        name: Box<str>,
        /// Lifetime of a made cookie; none: not made.
        ttl: Option<Duration>,
    },
    /// The client's address.
    SourceAddress,
    /// A query parameter.
    Param(Box<str>),
    /// The path without query.
    Path,
}

/// Injected failures.
///
/// Source: Envoy v3 `HTTPFault`; delay first, then abort, drawn independently; neither is retried by this proxy.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// Pause before the request goes on.
    pub delay: Option<FaultDelay>,
    /// Answer instead of the request going on.
    pub abort: Option<FaultAbort>,
    /// Only requests that match all of these.
    pub headers: Vec<HeaderMatch>,
    /// Requests under a fault at a time; none: no bound.
    pub max_active: Option<u32>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// An injected pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultDelay {
    /// How long; none: as the header `x-envoy-fault-delay-request` says.
    pub fixed: Option<Duration>,
    /// Share of requests; for header control the most that `…-percentage` may ask for.
    pub share: Share,
}

/// An injected answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultAbort {
    /// Status; none: as the header `x-envoy-fault-abort-request` says.
    pub status: Option<u16>,
    /// gRPC status, answered with HTTP 200.
    pub grpc: Option<u32>,
    /// Share of requests.
    pub share: Share,
}
