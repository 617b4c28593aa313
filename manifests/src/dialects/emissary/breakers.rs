//! `circuit_breakers` and `load_balancer`: what may be under way at once, and how an endpoint is chosen.

use proxy_core::config::{Balancer, HashPolicy, HashSource, Limits};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::duration;
use super::types::{CircuitBreaker, LoadBalancer};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::origins::Origins;
use crate::text::{Span, Spanned};

/// Bounds as they are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Breakers(Vec<Breaker>);

#[derive(Clone, Debug)]
struct Breaker {
    /// Whether it is for requests of high priority.
    is_high: bool,
    /// What Emissary adds to the name of a cluster.
    name: String,
    bounds: [Option<Spanned<u32>>; 4],
}

impl PartialEq for Breaker {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Breaker {}

impl Breakers {
    /// Reads them; a priority that there is not is an error.
    ///
    /// Source: emissary `python/ambassador/src/ambassador/ir/irbasemapping.py` (`validate_circuit_breakers`).
    pub(super) fn read(written: &[CircuitBreaker], out: &mut Diagnostics) -> Self {
        let breakers = written.iter().map(|one| {
            let priority = one.priority.as_ref();
            let is_high = match priority.map(|it| it.to_ascii_lowercase()).as_deref() {
                None | Some("default") => false,
                Some("high") => true,
                Some(other) => {
                    let span = priority.map_or(Span::NOWHERE, |it| it.span);
                    out.push(
                        Diagnostic::error(
                            "emissary::priority",
                            format!("there is no priority `{other}`"),
                        )
                        .label(span, "this priority")
                        .help("write `default` or `high`"),
                    );
                    false
                }
            };
            let bounds = [
                one.max_connections,
                one.max_pending_requests,
                one.max_requests,
                one.max_retries,
            ];
            let mut name = String::from(match (priority.is_some(), is_high) {
                (false, _) => "cbn",
                (true, false) => "cbd",
                (true, true) => "cbh",
            });
            for (letter, bound) in ["c", "p", "r", "t"].into_iter().zip(bounds) {
                if let Some(bound) = bound {
                    name.push_str(&format!("{letter}{}", bound.value));
                }
            }
            Breaker {
                is_high,
                name,
                bounds,
            }
        });
        Self(breakers.collect())
    }

    /// What Emissary adds to the name of a cluster.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|breaker| breaker.name.as_str())
    }

    /// The bounds of both priorities. Of several for one priority Envoy takes the first; what is not written is Envoy's.
    pub(super) fn limits(&self, defaults: OriginId, origins: &mut Origins) -> [Limits; 2] {
        [false, true].map(|is_high| {
            let found = self.0.iter().find(|breaker| breaker.is_high == is_high);
            let bounds = found.map_or([None; 4], |breaker| breaker.bounds);
            let usual = Limits::envoy();
            let mut bound = |at: usize, usual: Sourced<u32>| match bounds[at] {
                Some(written) => origins.sourced(written),
                None => Sourced::new(usual.value, defaults),
            };
            Limits {
                connections: bound(0, usual.connections),
                pending: bound(1, usual.pending),
                requests: bound(2, usual.requests),
                retries: bound(3, usual.retries),
            }
        })
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    pub(super) balancer: Balancer,
    /// What it goes by.
    pub(super) hash: Option<HashSource>,
    /// What Emissary adds to the name of a cluster.
    pub(super) name: String,
    pub(super) span: Span,
}

impl PartialEq for Balance {
    fn eq(&self, other: &Self) -> bool {
        (&self.balancer, &self.hash) == (&other.balancer, &other.hash)
    }
}

const POLICIES: [&str; 4] = ["round_robin", "least_request", "ring_hash", "maglev"];

impl Balance {
    /// Reads it; what does not belong together is an error.
    ///
    /// Source: emissary `python/ambassador/src/ambassador/ir/irhttpmapping.py` (`validate_load_balancer`), `ircluster.py`,
    /// `envoy/v3/v3route.py` (`generate_hash_policy`).
    pub(super) fn read(written: &Spanned<LoadBalancer>, out: &mut Diagnostics) -> Option<Self> {
        let policy = written.policy.as_ref();
        let text = policy.map_or("", |policy| policy.value.as_str());
        let balancer = match text {
            "round_robin" => Balancer::RoundRobin,
            "least_request" => Balancer::LeastRequest {
                choices: 2,
                bias: 1.0,
                full_scan: false,
            },
            "ring_hash" => Balancer::RingHash {
                min_size: 1024,
                max_size: 8 << 20,
                bound: None,
            },
            "maglev" => Balancer::Maglev {
                size: 65_537,
                bound: None,
            },
            other => {
                let span = policy.map_or(written.span, |policy| policy.span);
                let help = did_you_mean(other, POLICIES)
                    .unwrap_or_else(|| format!("known: {}", POLICIES.join(", ")));
                out.push(
                    Diagnostic::error(
                        "emissary::load-balancer",
                        format!("there is no policy `{other}`"),
                    )
                    .label(span, "this policy")
                    .help(help),
                );
                return None;
            }
        };
        let hashes = matches!(text, "ring_hash" | "maglev");
        let sources = [
            written.cookie.as_ref().map(|it| it.span),
            written.header.as_ref().map(|it| it.span),
            written.source_ip.as_ref().map(|it| it.span),
        ];
        let count = sources.iter().flatten().count();
        if count != usize::from(hashes) {
            let span = sources.into_iter().flatten().last().unwrap_or(written.span);
            let message = match hashes {
                true => "a hash goes by one of `cookie`, `header` and `source_ip`",
                false => "only `ring_hash` and `maglev` go by something",
            };
            out.push(Diagnostic::error("emissary::load-balancer", message).label(span, "here"));
            return None;
        }
        let mut name = format!("er-{text}");
        let hash = Self::source(written, &mut name, out);
        Some(Self {
            balancer,
            hash,
            name,
            span: written.span,
        })
    }

    fn source(
        written: &LoadBalancer,
        name: &mut String,
        out: &mut Diagnostics,
    ) -> Option<HashSource> {
        if let Some(cookie) = &written.cookie {
            let Some(called) = &cookie.name else {
                out.push(
                    Diagnostic::error("emissary::load-balancer", "a cookie has a name")
                        .label(cookie.span, "without `name`"),
                );
                return None;
            };
            if let Some(path) = cookie.path {
                let meaning = "a cookie that is made holds for every path";
                out.push(
                    Diagnostic::not_modelled(
                        "emissary::not-modelled",
                        "`path` of a cookie",
                        meaning,
                    )
                    .label(path.span, ""),
                );
            }
            name.push_str(&format!("-cookie-{called}"));
            let ttl = cookie.ttl.as_ref().filter(|ttl| !ttl.is_empty());
            let ttl: Option<Duration> = ttl.and_then(|ttl| duration::seconds(ttl, out));
            return Some(HashSource::Cookie {
                name: called.as_str().into(),
                ttl,
            });
        }
        if let Some(header) = &written.header {
            name.push_str(&format!("-hdr-{header}"));
            return Some(HashSource::Header(header.to_ascii_lowercase().into()));
        }
        let by_address = written.source_ip.as_ref()?;
        name.push_str("-srcip");
        // `false` makes a policy of Envoy's that finds nothing
        by_address.value.then_some(HashSource::SourceAddress)
    }

    /// What routes go by.
    pub(super) fn policies(&self) -> Vec<HashPolicy> {
        let source = self.hash.clone().into_iter();
        source
            .map(|source| HashPolicy {
                source,
                terminal: false,
            })
            .collect()
    }
}
