//! Instances that callers reach by several services' chains, with settings for one of these alone.
//!
//! Consul calls a cluster by its instances, the protocol and the connect timeout, so that both chains make one of the same name; which of
//! the two is told to a proxy is chance, and changes from one answer to the next. Recorded of 1.14.11, whose `CustomizeClusterName` is
//! 1.21's.
//!
//! Source: hashicorp/consul 1.21 `agent/consul/discoverychain/compile.go` (`CustomizationHash`), `agent/xds/clusters.go`.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::chain::{self, Chain, Next, Place, Resolved, Start};
use super::notes::Defaults;
use super::policy::{Policies, ServicePolicy, UpstreamPolicy};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::Span;

/// Reports settings of an upstream that count or not.
pub(super) fn report(policies: &Policies, defaults: Defaults, cx: &mut Compile<'_>) {
    for (caller, own) in &policies.services {
        for (upstream, span) in &own.named {
            let Some(policy) = own.overrides.get(upstream) else {
                continue;
            };
            let others = policies.registry.names();
            let mut others = others.filter(|name| **name != **upstream);
            let ours = clusters(policies, own, upstream, defaults);
            let same = others.find(|name| {
                let other = Name::from(*name);
                let theirs = clusters(policies, own, &other, defaults);
                let differs = !alike(&policy.or(&own.upstreams), &of(own, &other));
                differs && !ours.is_disjoint(&theirs)
            });
            if let Some(other) = same {
                tell(caller, upstream, other, *span, cx);
            }
        }
    }
}

fn tell(caller: &str, upstream: &str, other: &str, span: Span, cx: &mut Compile<'_>) {
    let message = format!(
        "what `{caller}` sends to `{other}` leads to instances of `{upstream}`, too: Consul makes one cluster of both"
    );
    cx.diagnostics.push(
        Diagnostic::warning("consul::one-cluster", message)
            .label(span, "whether these settings count is chance")
            .help("write them in `defaults`, for all that it calls"),
    );
}

/// How a caller calls an upstream.
fn of(own: &ServicePolicy, upstream: &Name) -> UpstreamPolicy {
    match own.overrides.get(upstream) {
        Some(one) => one.or(&own.upstreams),
        None => own.upstreams.clone(),
    }
}

/// Whether settings that are no part of a cluster's name are the same.
fn alike(one: &UpstreamPolicy, other: &UpstreamPolicy) -> bool {
    let limits = |policy: &UpstreamPolicy| {
        let limits = policy.limits.unwrap_or_default();
        [limits.connections, limits.pending, limits.requests].map(|it| it.map(|it| it.value))
    };
    let health = |policy: &UpstreamPolicy| policy.health.map(|it| it.value);
    limits(one) == limits(other) && health(one) == health(other)
}

/// The clusters that a chain makes: instances, whether they stand among others for a failover, and what else is part of their name.
fn clusters(
    policies: &Policies,
    own: &ServicePolicy,
    upstream: &Name,
    defaults: Defaults,
) -> BTreeSet<(Place, bool, &'static str, Option<u64>)> {
    let policy = of(own, upstream);
    let Ok(chain) = chain::compile(policies, upstream, policy.protocol, defaults) else {
        return BTreeSet::new();
    };
    let connect = policy.connect_timeout.map(|it| it.value.as_nanos());
    let protocol = chain.protocol.value.name();
    let mut all = BTreeSet::new();
    for resolved in resolved(&chain) {
        let is_failover = !resolved.failover.is_empty();
        let places = [&resolved.place].into_iter().chain(&resolved.failover);
        all.extend(places.map(|place| (place.clone(), is_failover, protocol, connect)));
    }
    all
}

fn resolved<'a, 'b>(chain: &'b Chain<'a>) -> Vec<&'b Resolved<'a>> {
    let nexts: Vec<&Next<'a>> = match &chain.start {
        Start::Router(branches) => branches.iter().map(|branch| &branch.next).collect(),
        Start::Next(next) => vec![next],
    };
    let mut all = Vec::new();
    for next in nexts {
        match next {
            Next::Splitter(split) => all.extend(split.legs.iter().map(|leg| &leg.to)),
            Next::Resolver(resolved) => all.push(resolved),
        }
    }
    all
}
