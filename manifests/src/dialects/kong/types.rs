//! Kong's own kinds as people write them.
//!
//! Source: Kong/kubernetes-ingress-controller `pkg/apis/configuration/{v1,v1beta1,v1alpha1}`. The fields of a KongIngress are written with
//! underscores, those of a KongUpstreamPolicy in camel case; the types below read both.

use serde::Deserialize;

use crate::text::{Node, Present, Spanned};

/// An object with a `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole<T> {
    /// API group and version.
    #[serde(default)]
    pub api_version: Option<Present>,
    /// Kind.
    #[serde(default)]
    pub kind: Option<Present>,
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// What it asks for.
    #[serde(default)]
    pub spec: T,
}

/// `KongUpstreamPolicy.spec` and `KongIngress.upstream`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Upstream {
    /// How a target is chosen.
    pub algorithm: Option<Spanned<Algorithm>>,
    /// Places on the ring of `consistent-hashing`.
    pub slots: Option<Spanned<u32>>,
    /// What `consistent-hashing` hashes.
    pub hash_on: Option<Spanned<Hash>>,
    /// What it hashes when that is missing.
    pub hash_on_fallback: Option<Spanned<Hash>>,
    /// Which targets are left out.
    pub healthchecks: Option<Spanned<HealthChecks>>,
    /// Enterprise: a cookie names the target.
    pub sticky_sessions: Option<Present>,
}

/// A balancing algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// A weighted ring.
    RoundRobin,
    /// By a hash of the request.
    ConsistentHashing,
    /// Fewest connections by weight.
    LeastConnections,
    /// Shortest answers lately.
    Latency,
    /// Enterprise.
    StickySessions,
}

/// A source of a hash; one of its fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hash {
    /// A source without a name.
    pub input: Option<Spanned<HashInput>>,
    /// A header.
    pub header: Option<Spanned<String>>,
    /// A cookie, made where it is missing.
    pub cookie: Option<Spanned<String>>,
    /// The made cookie's path.
    pub cookie_path: Option<Spanned<String>>,
    /// A query parameter.
    pub query_arg: Option<Spanned<String>>,
    /// A named group of the route's regular expression.
    pub uri_capture: Option<Spanned<String>>,
}

/// A source of a hash that needs no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashInput {
    /// The client's address.
    Ip,
    /// The consumer that a plugin recognised.
    Consumer,
    /// The path.
    Path,
    /// Nothing.
    None,
}

/// Active and passive checks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthChecks {
    /// Probes.
    pub active: Option<ActiveCheck>,
    /// What answers and failures say.
    pub passive: Option<PassiveCheck>,
    /// Least share of healthy weight, in per cent.
    pub threshold: Option<Spanned<u32>>,
}

/// Probes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActiveCheck {
    /// What is spoken.
    pub r#type: Option<Spanned<CheckType>>,
    /// Targets probed at a time.
    pub concurrency: Option<Spanned<u32>>,
    /// When a target is taken in.
    pub healthy: Option<Healthy>,
    /// When it is taken out.
    pub unhealthy: Option<Unhealthy>,
    /// Path asked for.
    #[serde(alias = "http_path")]
    pub http_path: Option<Spanned<String>>,
    /// Server name sent.
    #[serde(alias = "https_sni")]
    pub https_sni: Option<Present>,
    /// Whether the certificate is checked.
    #[serde(alias = "https_verify_certificate")]
    pub https_verify_certificate: Option<Present>,
    /// Seconds until a probe counts as a timeout.
    pub timeout: Option<Spanned<u32>>,
    /// Headers sent.
    pub headers: Option<Present>,
}

/// What answers and failures say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PassiveCheck {
    /// What is spoken.
    pub r#type: Option<Spanned<CheckType>>,
    /// What counts as a success.
    pub healthy: Option<Healthy>,
    /// What counts as a failure, and how many are one too many.
    pub unhealthy: Option<Unhealthy>,
}

/// What a check speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// HTTP: statuses count.
    Http,
    /// HTTP in TLS.
    Https,
    /// Connecting counts.
    Tcp,
    /// gRPC.
    Grpc,
    /// gRPC in TLS.
    Grpcs,
}

/// When a target is taken in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Healthy {
    /// Statuses that are successes.
    #[serde(alias = "http_statuses")]
    pub http_statuses: Option<Spanned<Vec<u16>>>,
    /// Seconds between probes of a healthy target; 0: none.
    pub interval: Option<Spanned<u32>>,
    /// Successes that take a target in; 0: never.
    pub successes: Option<Spanned<u32>>,
}

/// When a target is taken out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unhealthy {
    /// Failing statuses that take a target out; 0: never.
    #[serde(alias = "http_failures")]
    pub http_failures: Option<Spanned<u32>>,
    /// Statuses that are failures.
    #[serde(alias = "http_statuses")]
    pub http_statuses: Option<Spanned<Vec<u16>>>,
    /// Connection failures that take a target out; 0: never.
    #[serde(alias = "tcp_failures")]
    pub tcp_failures: Option<Spanned<u32>>,
    /// Timeouts that take a target out; 0: never.
    pub timeouts: Option<Spanned<u32>>,
    /// Seconds between probes of an unhealthy target; 0: none.
    pub interval: Option<Spanned<u32>>,
}

/// `KongIngress`, which the controller's third major release reads the `upstream` of alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KongIngress {
    /// API group and version.
    pub api_version: Option<Present>,
    /// `KongIngress`.
    pub kind: Option<Present>,
    /// Who it is.
    pub metadata: Option<Present>,
    /// How targets are chosen.
    pub upstream: Option<LegacyUpstream>,
    /// Timeouts and retries; annotations took its place.
    pub proxy: Option<Present>,
    /// Conditions and rewrites; annotations took its place.
    pub route: Option<Present>,
}

/// `KongIngress.upstream`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LegacyUpstream {
    /// The Host of requests whose own is not kept.
    pub host_header: Option<Spanned<String>>,
    /// How a target is chosen.
    pub algorithm: Option<Spanned<Algorithm>>,
    /// Places on the ring.
    pub slots: Option<Spanned<u32>>,
    /// Which targets are left out.
    pub healthchecks: Option<Spanned<HealthChecks>>,
    /// What is hashed.
    pub hash_on: Option<Spanned<LegacyHash>>,
    /// What is hashed when that is missing.
    pub hash_fallback: Option<Spanned<LegacyHash>>,
    /// Header for `hash_on: header`.
    pub hash_on_header: Option<Spanned<String>>,
    /// Header for `hash_fallback: header`.
    pub hash_fallback_header: Option<Spanned<String>>,
    /// Cookie for either.
    pub hash_on_cookie: Option<Spanned<String>>,
    /// The made cookie's path.
    pub hash_on_cookie_path: Option<Spanned<String>>,
    /// Query parameter for `hash_on: query_arg`.
    pub hash_on_query_arg: Option<Spanned<String>>,
    /// Query parameter for `hash_fallback: query_arg`.
    pub hash_fallback_query_arg: Option<Spanned<String>>,
    /// Group for `hash_on: uri_capture`.
    pub hash_on_uri_capture: Option<Spanned<String>>,
    /// Group for `hash_fallback: uri_capture`.
    pub hash_fallback_uri_capture: Option<Spanned<String>>,
}

/// What a KongIngress hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegacyHash {
    /// Nothing.
    None,
    /// The consumer that a plugin recognised.
    Consumer,
    /// The client's address.
    Ip,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// The path.
    Path,
    /// A query parameter.
    QueryArg,
    /// A named group.
    UriCapture,
}

impl LegacyUpstream {
    /// The same in the words of a KongUpstreamPolicy.
    #[must_use]
    pub fn modern(&self) -> Upstream {
        let hash = |kind: &Option<Spanned<LegacyHash>>,
                    header: &Option<Spanned<String>>,
                    query,
                    capture| {
            kind.as_ref()
                .map(|kind| Spanned::new(self.hash(kind, header, query, capture), kind.span))
        };
        Upstream {
            algorithm: self.algorithm,
            slots: self.slots,
            hash_on: hash(
                &self.hash_on,
                &self.hash_on_header,
                &self.hash_on_query_arg,
                &self.hash_on_uri_capture,
            ),
            hash_on_fallback: hash(
                &self.hash_fallback,
                &self.hash_fallback_header,
                &self.hash_fallback_query_arg,
                &self.hash_fallback_uri_capture,
            ),
            healthchecks: self.healthchecks.clone(),
            sticky_sessions: None,
        }
    }

    fn hash(
        &self,
        kind: &Spanned<LegacyHash>,
        header: &Option<Spanned<String>>,
        query: &Option<Spanned<String>>,
        capture: &Option<Spanned<String>>,
    ) -> Hash {
        let input = |input| Hash {
            input: Some(Spanned::new(input, kind.span)),
            ..Hash::default()
        };
        match kind.value {
            LegacyHash::None => input(HashInput::None),
            LegacyHash::Consumer => input(HashInput::Consumer),
            LegacyHash::Ip => input(HashInput::Ip),
            LegacyHash::Path => input(HashInput::Path),
            LegacyHash::Header => Hash {
                header: header.clone(),
                ..Hash::default()
            },
            LegacyHash::Cookie => Hash {
                cookie: self.hash_on_cookie.clone(),
                cookie_path: self.hash_on_cookie_path.clone(),
                ..Hash::default()
            },
            LegacyHash::QueryArg => Hash {
                query_arg: query.clone(),
                ..Hash::default()
            },
            LegacyHash::UriCapture => Hash {
                uri_capture: capture.clone(),
                ..Hash::default()
            },
        }
    }
}

/// `KongPlugin` and `KongClusterPlugin`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plugin {
    /// API group and version.
    #[serde(default)]
    pub api_version: Option<Present>,
    /// `KongPlugin` or `KongClusterPlugin`.
    #[serde(default)]
    pub kind: Option<Present>,
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// Its kind, for example `rate-limiting`.
    pub plugin: Spanned<String>,
    /// Turned off.
    #[serde(default)]
    pub disabled: Option<Spanned<bool>>,
    /// Settings, by plugin.
    #[serde(default)]
    pub config: Option<Node>,
    /// Settings from a Secret.
    #[serde(default)]
    pub config_from: Option<Present>,
    /// Settings changed from Secrets.
    #[serde(default)]
    pub config_patches: Option<Present>,
    /// Only for this consumer.
    #[serde(default)]
    pub consumer_ref: Option<Present>,
    /// Where it runs.
    #[serde(default, rename = "run_on", alias = "runOn")]
    pub run_on: Option<Present>,
    /// For which protocols.
    #[serde(default)]
    pub protocols: Option<Present>,
    /// Enterprise: another place in the order.
    #[serde(default)]
    pub ordering: Option<Present>,
    /// A name that tells two of a kind apart.
    #[serde(default, rename = "instance_name", alias = "instanceName")]
    pub instance_name: Option<Present>,
}

/// `IngressClassParameters.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassParameters {
    /// Sends to the Service's address for every Service.
    pub service_upstream: Option<Spanned<bool>>,
    /// Takes paths with odd characters for regular expressions, as Kong 2 did.
    pub enable_legacy_regex_detection: Option<Spanned<bool>>,
}
