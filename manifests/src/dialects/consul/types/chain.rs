//! Routers, splitters and resolvers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::HeaderModifiers;
use crate::text::Spanned;

/// `ServiceRouter.spec`; its name is the service's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Router {
    /// In their order; the first that matches counts, and after all of them the service itself.
    pub routes: Vec<Spanned<Route>>,
}

/// A route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Which requests; none: all.
    pub r#match: Option<RouteMatch>,
    /// Where they go; none: to the service itself.
    pub destination: Option<Spanned<RouteDestination>>,
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RouteMatch {
    /// By HTTP.
    pub http: Option<Spanned<HttpMatch>>,
}

/// Which requests: all conditions at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Whether the case of exact paths and prefixes is of no account.
    pub case_insensitive: bool,
    /// This path.
    pub path_exact: Option<Spanned<String>>,
    /// Paths that begin so, byte by byte.
    pub path_prefix: Option<Spanned<String>>,
    /// Paths that match as a whole.
    pub path_regex: Option<Spanned<String>>,
    /// Headers.
    pub header: Vec<Spanned<HeaderCondition>>,
    /// Query parameters.
    pub query_param: Vec<Spanned<QueryCondition>>,
    /// Methods; none: all.
    pub methods: Vec<Spanned<String>>,
}

/// A condition on a header.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderCondition {
    /// Name.
    pub name: Option<Spanned<String>>,
    /// It is there.
    pub present: bool,
    /// It is this.
    pub exact: Option<Spanned<String>>,
    /// It begins so.
    pub prefix: Option<Spanned<String>>,
    /// It ends so.
    pub suffix: Option<Spanned<String>>,
    /// It matches as a whole.
    pub regex: Option<Spanned<String>>,
    /// Turns the answer round.
    pub invert: bool,
}

/// A condition on a query parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueryCondition {
    /// Name.
    pub name: Option<Spanned<String>>,
    /// It is there.
    pub present: bool,
    /// It is this.
    pub exact: Option<Spanned<String>>,
    /// It matches as a whole.
    pub regex: Option<Spanned<String>>,
}

/// Where requests go, and how.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteDestination {
    /// Service; none: the router's own.
    pub service: Option<Spanned<String>>,
    /// Subset of it, past its splitter.
    pub service_subset: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Takes the place of what matched of the path.
    pub prefix_rewrite: Option<Spanned<String>>,
    /// Silence of a stream; below zero: no bound.
    pub idle_timeout: Option<Spanned<String>>,
    /// All tries together; below zero: no bound, none: Envoy's 15 s.
    pub request_timeout: Option<Spanned<String>>,
    /// Tries after the first; 0: 1 where anything else of retries is written.
    pub num_retries: Option<Spanned<i64>>,
    /// Tries again when no connection could be made.
    pub retry_on_connect_failure: Option<Spanned<bool>>,
    /// Conditions.
    pub retry_on: Vec<Spanned<String>>,
    /// Statuses that are tried again.
    pub retry_on_status_codes: Vec<Spanned<i64>>,
    /// Edits toward the upstream.
    pub request_headers: Option<HeaderModifiers>,
    /// Edits toward the client.
    pub response_headers: Option<HeaderModifiers>,
}

/// `ServiceSplitter.spec`; its name is the service's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Splitter {
    /// Shares that are 100 together.
    pub splits: Vec<Spanned<Split>>,
}

/// A share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Split {
    /// Per cent, by hundredths.
    pub weight: Option<Spanned<f64>>,
    /// Service; none: the splitter's own.
    pub service: Option<Spanned<String>>,
    /// Subset of it.
    pub service_subset: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Edits toward the upstream.
    pub request_headers: Option<HeaderModifiers>,
    /// Edits toward the client.
    pub response_headers: Option<HeaderModifiers>,
}

/// `ServiceResolver.spec`; its name is the service's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resolver {
    /// The subset where none is asked for.
    pub default_subset: Option<Spanned<String>>,
    /// Subsets by name.
    pub subsets: BTreeMap<Spanned<String>, Spanned<Subset>>,
    /// Another service in its place.
    pub redirect: Option<Spanned<Redirect>>,
    /// Where requests go without healthy instances, by subset; `*`: any other.
    pub failover: BTreeMap<Spanned<String>, Spanned<Failover>>,
    /// Until a connection stands; none: 5 s.
    pub connect_timeout: Option<Spanned<String>>,
    /// All tries together, where nothing stands before the resolver.
    pub request_timeout: Option<Spanned<String>>,
    /// How an instance is chosen.
    pub load_balancer: Option<Spanned<LoadBalancer>>,
    /// Enterprise.
    pub prioritize_by_locality: Option<Spanned<PrioritizeByLocality>>,
}

/// A subset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Which instances; none: all.
    pub filter: Option<Spanned<String>>,
    /// Whether a check that warns counts as failed.
    pub only_passing: Option<Spanned<bool>>,
}

/// Another service in the place of one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// Service.
    pub service: Option<Spanned<String>>,
    /// Subset of it.
    pub service_subset: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Another datacenter.
    pub datacenter: Option<Spanned<String>>,
    /// Another cluster.
    pub peer: Option<Spanned<String>>,
    /// Enterprise.
    pub sameness_group: Option<Spanned<String>>,
}

/// Where requests go without healthy instances.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Service; none: the same.
    pub service: Option<Spanned<String>>,
    /// Subset of it.
    pub service_subset: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Other datacenters.
    pub datacenters: Vec<Spanned<String>>,
    /// Several, one after the other.
    pub targets: Vec<Spanned<FailoverTarget>>,
    /// Enterprise.
    pub policy: Option<Spanned<FailoverPolicy>>,
    /// Enterprise.
    pub sameness_group: Option<Spanned<String>>,
}

/// One of several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverTarget {
    /// Service; none: the same.
    pub service: Option<Spanned<String>>,
    /// Subset of it.
    pub service_subset: Option<Spanned<String>>,
    /// Enterprise.
    pub partition: Option<Spanned<String>>,
    /// Enterprise.
    pub namespace: Option<Spanned<String>>,
    /// Another datacenter.
    pub datacenter: Option<Spanned<String>>,
    /// Another cluster.
    pub peer: Option<Spanned<String>>,
}

/// In which order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FailoverPolicy {
    /// `sequential` or `order-by-locality`.
    pub mode: Option<Spanned<String>>,
    /// Regions in their order.
    pub regions: Vec<Spanned<String>>,
}

/// Whether near instances come first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrioritizeByLocality {
    /// `none` or `failover`.
    pub mode: Option<Spanned<String>>,
}

/// How an instance is chosen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// `random`, `round_robin`, `least_request`, `ring_hash` or `maglev`.
    pub policy: Option<Spanned<String>>,
    /// For `ring_hash`.
    pub ring_hash_config: Option<Spanned<RingHashConfig>>,
    /// For `least_request`.
    pub least_request_config: Option<Spanned<LeastRequestConfig>>,
    /// What the hash is made of.
    pub hash_policies: Vec<Spanned<HashPolicy>>,
}

/// The size of a ring.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHashConfig {
    /// Least.
    pub minimum_ring_size: Option<Spanned<u64>>,
    /// Most.
    pub maximum_ring_size: Option<Spanned<u64>>,
}

/// How many are compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeastRequestConfig {
    /// So many.
    pub choice_count: Option<Spanned<u32>>,
}

/// A part of the hash.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashPolicy {
    /// `header`, `cookie` or `query_parameter`.
    pub field: Option<Spanned<String>>,
    /// Its name.
    pub field_value: Option<Spanned<String>>,
    /// For `cookie`.
    pub cookie_config: Option<Spanned<CookieConfig>>,
    /// The client's address.
    #[serde(rename = "sourceIP")]
    pub source_ip: bool,
    /// Ends the list once a hash is there.
    pub terminal: bool,
}

/// A cookie that the proxy makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CookieConfig {
    /// Until the client ends.
    pub session: bool,
    /// So long.
    pub ttl: Option<Spanned<String>>,
    /// For these paths.
    pub path: Option<Spanned<String>>,
}
