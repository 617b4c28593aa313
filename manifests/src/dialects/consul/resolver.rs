//! ServiceResolvers.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry_discoverychain.go` (`ServiceResolverConfigEntry.Validate`).

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::balance::balance;
use super::notes::{Defaults, bad_value, enterprise, given, left_out, needs_enterprise};
use super::policy::{ResolverPolicy, SubsetPolicy, Target};
use super::router::reference;
use super::types::{Failover, Redirect, Resolver, Subset};
use super::{duration, filter};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Span, Spanned};

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
    let other = datacenter.filter(|name| name.as_str() != "dc1");
    let place = peer.or(other);
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
