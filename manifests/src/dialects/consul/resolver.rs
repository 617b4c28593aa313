//! ServiceResolvers.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry_discoverychain.go` (`ServiceResolverConfigEntry.Validate`),
//! `agent/xds/clusters.go` (`injectLBToCluster`), `agent/xds/routes.go` (`injectLBToRouteAction`).

use std::collections::BTreeMap;

use proxy_core::config::{Balancer, HashPolicy, HashSource, Name};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::duration;
use super::filter;
use super::notes::{Defaults, bad_value, enterprise, given, left_out, needs_enterprise};
use super::policy::{BalancePolicy, ResolverPolicy, SubsetPolicy, Target};
use super::router::reference;
use super::types::{self, Failover, LoadBalancer, Redirect, Resolver, Subset};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Span, Spanned};

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

/// Reads a ServiceResolver.
pub(super) fn read(
    object: &Object,
    written: &Resolver,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> ResolverPolicy {
    let name = object.key.name.as_str();
    if let Some(policy) = &written.prioritize_by_locality
        && given(policy.mode.as_ref()).is_some()
    {
        needs_enterprise(policy.span, "preferring near instances", cx.diagnostics);
    }
    let mut subsets = BTreeMap::new();
    for (key, subset) in &written.subsets {
        if !is_label(key) {
            let message =
                "a subset's name has lower-case letters, digits and `-` between them, 63 at most";
            bad_value(key.span, message, cx.diagnostics);
        }
        subsets.insert(Name::from(key.as_str()), self::subset(subset, cx));
    }
    let default_subset = given(written.default_subset.as_ref());
    let default_subset = default_subset.filter(|subset| has(&subsets, subset, name, cx));
    if let Some(redirect) = &written.redirect
        && !written.failover.is_empty()
    {
        let message = "`redirect` and `failover` exclude each other";
        bad_value(redirect.span, message, cx.diagnostics);
    }
    let redirect = written
        .redirect
        .as_ref()
        .and_then(|it| self::redirect(it, name, &subsets, cx));
    let mut failover = BTreeMap::new();
    for (key, one) in &written.failover {
        let known = key.as_str() == "*" || has(&subsets, key, name, cx);
        let targets = self::failover(one, name, &subsets, cx);
        if known {
            failover.insert(Name::from(key.as_str()), targets);
        }
    }
    ResolverPolicy {
        default_subset: default_subset.map(|subset| subset.as_str().into()),
        subsets,
        redirect,
        failover,
        connect_timeout: duration::positive(written.connect_timeout.as_ref(), cx),
        request_timeout: duration::positive(written.request_timeout.as_ref(), cx),
        balance: written
            .load_balancer
            .as_ref()
            .map(|it| balance(it, defaults, cx)),
        span: object.name_span,
        origin: cx.origins.written(object.name_span),
    }
}

/// `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, 63 letters at most.
fn is_label(text: &str) -> bool {
    let inner =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let fits = !text.is_empty() && text.len() <= 63 && text.chars().all(inner);
    fits && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether a subset is defined; one that is not is an error.
fn has(
    subsets: &BTreeMap<Name, SubsetPolicy>,
    subset: &Spanned<String>,
    service: &str,
    cx: &mut Compile<'_>,
) -> bool {
    if subsets.contains_key(subset.as_str()) {
        return true;
    }
    unknown_subset(service, subset, subset.span, subsets.keys(), cx);
    false
}

/// Says that a service has no such subset.
pub(super) fn unknown_subset<'a>(
    service: &str,
    subset: &str,
    span: Span,
    known: impl Iterator<Item = &'a Name>,
    cx: &mut Compile<'_>,
) {
    let known: Vec<&str> = known.map(|name| &**name).collect();
    let help = did_you_mean(subset, known.iter().copied()).unwrap_or_else(|| match known[..] {
        [] => format!("no ServiceResolver gives `{service}` subsets"),
        [..] => format!("it has {}", known.join(", ")),
    });
    cx.diagnostics.push(
        Diagnostic::error(
            "consul::unknown-subset",
            format!("`{service}` has no subset `{subset}`"),
        )
        .label(span, "this subset")
        .help(help),
    );
}

fn subset(written: &Spanned<Subset>, cx: &mut Compile<'_>) -> SubsetPolicy {
    let origin = cx.origins.written(written.span);
    let Some(text) = given(written.filter.as_ref()) else {
        return SubsetPolicy {
            filter: None,
            origin,
        };
    };
    // whether a check warns or passes is one here: pods are ready or not
    match filter::parse(text) {
        Ok(filter) => {
            if let Some(field) = filter.unknown() {
                let what = format!("a filter by `{field}`");
                let meaning = "that condition is taken to hold for every instance";
                left_out(text.span, &what, meaning, cx.diagnostics);
            }
            SubsetPolicy {
                filter: Some(filter),
                origin,
            }
        }
        Err(problem) => {
            let message = format!("`{text}` is no filter: {}", problem.message);
            cx.diagnostics.push(
                Diagnostic::error("consul::filter", message)
                    .label(text.span, "this expression")
                    .maybe_help(problem.help),
            );
            SubsetPolicy {
                filter: None,
                origin,
            }
        }
    }
}

fn redirect(
    written: &Spanned<Redirect>,
    own: &str,
    subsets: &BTreeMap<Name, SubsetPolicy>,
    cx: &mut Compile<'_>,
) -> Option<Target> {
    enterprise(
        written.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    enterprise(written.partition.as_ref(), "a partition", cx.diagnostics);
    enterprise(
        written.sameness_group.as_ref(),
        "a sameness group",
        cx.diagnostics,
    );
    let service = given(written.service.as_ref());
    let subset = given(written.service_subset.as_ref());
    let datacenter = given(written.datacenter.as_ref());
    let peer = given(written.peer.as_ref());
    if service.is_none() && subset.is_none() && datacenter.is_none() && peer.is_none() {
        bad_value(written.span, "a redirect needs a `service`", cx.diagnostics);
        return None;
    }
    if service.is_none()
        && let Some(text) = subset.or(peer)
    {
        bad_value(text.span, "is nothing without a `service`", cx.diagnostics);
        return None;
    }
    if let (Some(peer), Some(_)) = (peer, subset.or(datacenter)) {
        let message = "excludes `serviceSubset` and `datacenter`";
        bad_value(peer.span, message, cx.diagnostics);
        return None;
    }
    if let Some(subset) = subset
        && service.is_none_or(|service| service.as_str() == own)
        && !has(subsets, subset, own, cx)
    {
        return None;
    }
    let elsewhere = elsewhere(datacenter, peer, cx);
    Some(Target {
        to: reference(service, subset, written.span),
        elsewhere,
    })
}

/// Whether it is in another datacenter or cluster, which is reported.
fn elsewhere(
    datacenter: Option<&Spanned<String>>,
    peer: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> bool {
    let place = peer.or(datacenter.filter(|name| name.as_str() != "dc1"));
    let Some(place) = place else {
        return false;
    };
    let what = format!("a service in `{place}`");
    let meaning = "there is one cluster and one datacenter: nobody answers there";
    left_out(place.span, &what, meaning, cx.diagnostics);
    true
}

fn failover(
    written: &Spanned<Failover>,
    own: &str,
    subsets: &BTreeMap<Name, SubsetPolicy>,
    cx: &mut Compile<'_>,
) -> Vec<Target> {
    enterprise(
        written.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    enterprise(
        written.sameness_group.as_ref(),
        "a sameness group",
        cx.diagnostics,
    );
    if let Some(policy) = &written.policy
        && let Some(mode) = given(policy.mode.as_ref())
    {
        needs_enterprise(mode.span, "an order of failover", cx.diagnostics);
    }
    let service = given(written.service.as_ref());
    let subset = given(written.service_subset.as_ref());
    let is_empty = service.is_none()
        && subset.is_none()
        && written.datacenters.is_empty()
        && written.targets.is_empty()
        && written.namespace.is_none()
        && written.sameness_group.is_none();
    if is_empty {
        let message = "needs one of `service`, `serviceSubset`, `datacenters` and `targets`";
        bad_value(written.span, message, cx.diagnostics);
        return Vec::new();
    }
    let others = !written.datacenters.is_empty() || service.is_some() || subset.is_some();
    if let Some(first) = written.targets.first()
        && others
    {
        let message = "`targets` excludes `service`, `serviceSubset` and `datacenters`";
        bad_value(first.span, message, cx.diagnostics);
    }
    let known = |service: Option<&Spanned<String>>,
                 subset: Option<&Spanned<String>>,
                 cx: &mut Compile<'_>| {
        let is_own = service.is_none_or(|service| service.as_str() == own);
        subset.is_none_or(|subset| !is_own || has(subsets, subset, own, cx))
    };
    if !written.datacenters.is_empty() {
        let mut targets = Vec::new();
        for place in &written.datacenters {
            if place.is_empty() {
                bad_value(place.span, "a datacenter has a name", cx.diagnostics);
                continue;
            }
            targets.push(Target {
                to: reference(service, subset, written.span),
                elsewhere: elsewhere(Some(place), None, cx),
            });
        }
        return targets;
    }
    if written.targets.is_empty() {
        if !known(service, subset, cx) {
            return Vec::new();
        }
        return vec![Target {
            to: reference(service, subset, written.span),
            elsewhere: false,
        }];
    }
    let mut targets = Vec::new();
    for one in &written.targets {
        enterprise(
            one.namespace.as_ref(),
            "a namespace of Consul",
            cx.diagnostics,
        );
        enterprise(one.partition.as_ref(), "a partition", cx.diagnostics);
        let (service, subset) = (
            given(one.service.as_ref()),
            given(one.service_subset.as_ref()),
        );
        let (datacenter, peer) = (given(one.datacenter.as_ref()), given(one.peer.as_ref()));
        if let (Some(peer), Some(_)) = (peer, subset.or(datacenter)) {
            let message = "excludes `serviceSubset` and `datacenter`";
            bad_value(peer.span, message, cx.diagnostics);
            continue;
        }
        if known(service, subset, cx) {
            targets.push(Target {
                to: reference(service, subset, one.span),
                elsewhere: elsewhere(datacenter, peer, cx),
            });
        }
    }
    targets
}

fn balance(
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
