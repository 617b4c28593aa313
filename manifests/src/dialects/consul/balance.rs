//! How an instance is chosen: `loadBalancer` of ServiceResolvers.
//!
//! Source: hashicorp/consul 1.21 `agent/xds/clusters.go` (`injectLBToCluster`), `agent/xds/routes.go` (`injectLBToRouteAction`).

use proxy_core::config::{Balancer, HashPolicy, HashSource};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::duration;
use super::notes::{Defaults, bad_value, given, left_out};
use super::policy::BalancePolicy;
use super::types::{self, LoadBalancer};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::Spanned;

/// Envoy's sizes of a ring.
const RING: (u64, u64) = (1024, 8_388_608);
/// Envoy's size of a Maglev table.
const MAGLEV: u64 = 65_537;
/// Ways to choose an instance.
const POLICIES: [&str; 5] = [
    "random",
    "round_robin",
    "least_request",
    "ring_hash",
    "maglev",
];

/// Reads how an instance is chosen.
pub(super) fn balance(
    written: &Spanned<LoadBalancer>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> BalancePolicy {
    let policy = given(written.policy.as_ref());
    let word = policy.map(|policy| policy.as_str());
    let balancer = match word {
        None => None,
        Some("random") => Some(Balancer::Random),
        Some("round_robin") => Some(Balancer::RoundRobin),
        Some("least_request") => Some(least_request(written, cx)),
        Some("ring_hash") => Some(ring(written, cx)),
        Some("maglev") => Some(Balancer::Maglev {
            size: MAGLEV,
            bound: None,
        }),
        Some(other) => {
            let span = policy.map_or(written.span, |policy| policy.span);
            let message = format!("no policy of balancing is called `{other}`");
            cx.diagnostics.push(
                Diagnostic::error("consul::bad-value", message)
                    .label(span, "this value")
                    .help(
                        did_you_mean(other, POLICIES)
                            .unwrap_or_else(|| format!("write one of {}", POLICIES.join(", "))),
                    ),
            );
            None
        }
    };
    if let Some(config) = &written.ring_hash_config
        && word != Some("ring_hash")
    {
        bad_value(config.span, "is for the policy `ring_hash`", cx.diagnostics);
    }
    if let Some(config) = &written.least_request_config
        && word != Some("least_request")
    {
        bad_value(
            config.span,
            "is for the policy `least_request`",
            cx.diagnostics,
        );
    }
    let is_hashed = matches!(word, Some("ring_hash" | "maglev"));
    if let Some(first) = written.hash_policies.first()
        && !is_hashed
    {
        let message = "hashes are for the policies `ring_hash` and `maglev`";
        bad_value(first.span, message, cx.diagnostics);
    }
    let hash = written
        .hash_policies
        .iter()
        .filter_map(|one| self::hash(one, cx))
        .collect();
    let span = policy.map_or(written.span, |policy| policy.span);
    let origin = match policy {
        Some(_) => cx.origins.written(span),
        None => defaults.origin,
    };
    BalancePolicy {
        balancer: balancer.map(|balancer| Sourced::new(balancer, origin)),
        hash,
    }
}

/// What is not written of a configuration is sent to Envoy as 0, which it refuses.
fn least_request(written: &LoadBalancer, cx: &mut Compile<'_>) -> Balancer {
    let mut choices = 2;
    if let Some(config) = &written.least_request_config {
        match config.choice_count.filter(|count| count.value >= 2) {
            Some(count) => choices = count.value,
            None => {
                let message = "needs a `choiceCount` of 2 or more: Envoy refuses the cluster";
                bad_value(config.span, message, cx.diagnostics);
            }
        }
    }
    Balancer::LeastRequest {
        choices,
        bias: 1.0,
        full_scan: false,
    }
}

fn ring(written: &LoadBalancer, cx: &mut Compile<'_>) -> Balancer {
    let (mut min_size, mut max_size) = RING;
    if let Some(config) = &written.ring_hash_config {
        let least = config.minimum_ring_size.map_or(0, |size| size.value);
        let most = config.maximum_ring_size.map_or(0, |size| size.value);
        if least == 0 || most < least || most > RING.1 {
            let message = format!(
                "needs a `minimumRingSize` above 0 and a `maximumRingSize` of that at least, {} at most: Envoy has no ring otherwise",
                RING.1
            );
            bad_value(config.span, message, cx.diagnostics);
        } else {
            (min_size, max_size) = (least, most);
        }
    }
    Balancer::RingHash {
        min_size,
        max_size,
        bound: None,
    }
}

fn hash(written: &Spanned<types::HashPolicy>, cx: &mut Compile<'_>) -> Option<HashPolicy> {
    let field = given(written.field.as_ref());
    let value = given(written.field_value.as_ref());
    let mut refuse = |message: &str| {
        bad_value(written.span, message, cx.diagnostics);
        None
    };
    if written.source_ip {
        if field.is_some() || value.is_some() {
            return refuse("`sourceIP` excludes `field` and `fieldValue`");
        }
        return Some(HashPolicy {
            source: HashSource::SourceAddress,
            terminal: written.terminal,
        });
    }
    let (Some(field), Some(value)) = (field, value) else {
        return refuse("needs `field` and `fieldValue`, or `sourceIP`");
    };
    if written.cookie_config.is_some() && field.as_str() != "cookie" {
        return refuse("`cookieConfig` is for the field `cookie`");
    }
    let name: Box<str> = value.as_str().into();
    let source = match field.as_str() {
        "header" => HashSource::Header(name.to_ascii_lowercase().into()),
        "query_parameter" => HashSource::Param(name),
        "cookie" => HashSource::Cookie {
            name,
            ttl: cookie_life(written, cx)?,
        },
        _ => return refuse("`field` is `header`, `cookie` or `query_parameter`"),
    };
    Some(HashPolicy {
        source,
        terminal: written.terminal,
    })
}

/// How long a cookie lives that the proxy makes; none inside: it makes none. None: it is refused.
fn cookie_life(
    written: &Spanned<types::HashPolicy>,
    cx: &mut Compile<'_>,
) -> Option<Option<Duration>> {
    let Some(config) = &written.cookie_config else {
        return Some(None);
    };
    if let Some(path) = given(config.path.as_ref()) {
        let meaning = "clients send the cookie on every path";
        left_out(path.span, "the path of a cookie", meaning, cx.diagnostics);
    }
    let ttl = duration::positive(config.ttl.as_ref(), cx).map(|ttl| ttl.value);
    if config.session && ttl.is_some() {
        let message = "a cookie of the session has no `ttl`";
        bad_value(config.span, message, cx.diagnostics);
        return None;
    }
    Some(if config.session {
        Some(Duration::ZERO)
    } else {
        ttl
    })
}
