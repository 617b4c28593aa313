//! How a target is chosen: KongUpstreamPolicies and the upstream part of KongIngresses, validated.

use proxy_core::config::{Balancer, HashPolicy, HashSource};
use proxy_core::time::Duration;

use super::health::{Health, health};
use super::types::{Algorithm, Hash, HashInput, Upstream};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Span, Spanned};

/// A choice of targets, with the places that made it.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// How; none: the default.
    pub(super) balancer: Option<Spanned<Balancer>>,
    /// By what a hashing balancer goes.
    pub(super) hash: Vec<HashPolicy>,
    /// Which targets are left out.
    pub(super) health: Health,
}

/// Slots of a ring. Source: Kong `kong/db/schema/entities/upstreams.lua`.
const SLOTS: (u32, std::ops::RangeInclusive<u32>) = (10_000, 10..=65_536);

/// Checks an upstream's settings.
///
/// Source: Kong/kubernetes-ingress-controller `pkg/apis/configuration/v1beta1/kongupstreampolicy_types.go` and its validation rules.
pub(super) fn choice(upstream: &Upstream, out: &mut Diagnostics) -> Choice {
    if let Some(sticky) = &upstream.sticky_sessions {
        not_modelled(
            sticky.span,
            "stickySessions",
            "clients are not held to one target",
            out,
        );
    }
    let slots = upstream.slots.as_ref().map_or(SLOTS.0, |slots| slots.value);
    if let Some(slots) = upstream
        .slots
        .as_ref()
        .filter(|slots| !SLOTS.1.contains(&slots.value))
    {
        out.push(
            Diagnostic::error(
                "kong::slots",
                format!("an upstream cannot have {slots} slots"),
            )
            .label(slots.span, "not from 10 to 65536"),
        );
    }
    let hashes = is_hashing(upstream);
    let balancer = upstream.algorithm.as_ref().map(|algorithm| {
        let balancer = match algorithm.value {
            Algorithm::RoundRobin => Balancer::KongRing,
            Algorithm::LeastConnections => Balancer::KongLeastConnections,
            Algorithm::ConsistentHashing => Balancer::RingHash {
                min_size: slots.into(),
                max_size: slots.into(),
                bound: None,
            },
            Algorithm::Latency => Balancer::KongLatency,
            Algorithm::StickySessions => {
                not_modelled(
                    algorithm.span,
                    "algorithm: sticky-sessions",
                    "targets are used in turn; clients are not held to one",
                    out,
                );
                Balancer::KongRing
            }
        };
        Spanned::new(balancer, algorithm.span)
    });
    let mut hash = Vec::new();
    for (source, first) in [
        (&upstream.hash_on, true),
        (&upstream.hash_on_fallback, false),
    ] {
        let Some(source) = source else { continue };
        if !hashes {
            out.push(
                Diagnostic::error(
                    "kong::hash-without-hashing",
                    "a hash needs `algorithm: consistent-hashing`",
                )
                .label(source.span, "has no use here"),
            );
            continue;
        }
        hash.extend(hash_policy(source, first, out));
    }
    if let Some(cookie) = upstream
        .hash_on
        .as_ref()
        .and_then(|hash| hash.cookie.as_ref())
        && let Some(fallback) = &upstream.hash_on_fallback
    {
        out.push(
            Diagnostic::error(
                "kong::cookie-fallback",
                "a cookie is made where it is missing, so there is nothing to fall back to",
            )
            .label(fallback.span, "never used")
            .label(cookie.span, "the cookie"),
        );
    }
    let checks = upstream.healthchecks.as_ref();
    let health = checks.map(|checks| health(checks, out)).unwrap_or_default();
    Choice {
        balancer,
        hash,
        health,
    }
}

fn is_hashing(upstream: &Upstream) -> bool {
    upstream
        .algorithm
        .as_ref()
        .is_some_and(|algorithm| algorithm.value == Algorithm::ConsistentHashing)
}

fn hash_policy(hash: &Spanned<Hash>, first: bool, out: &mut Diagnostics) -> Option<HashPolicy> {
    let named = [
        hash.header
            .as_ref()
            .map(|it| (it.span, HashSource::Header(it.to_ascii_lowercase().into()))),
        hash.cookie.as_ref().map(|it| {
            (
                it.span,
                HashSource::Cookie {
                    name: it.value.as_str().into(),
                    ttl: Some(Duration::ZERO),
                },
            )
        }),
        hash.query_arg
            .as_ref()
            .map(|it| (it.span, HashSource::Param(it.value.as_str().into()))),
    ];
    let mut sources: Vec<(Span, Option<HashSource>)> = named
        .into_iter()
        .flatten()
        .map(|(span, source)| (span, Some(source)))
        .collect();
    sources.extend(hash.uri_capture.as_ref().map(|it| (it.span, None)));
    if let Some(input) = &hash.input {
        let source = match input.value {
            HashInput::Ip => Some(HashSource::SourceAddress),
            HashInput::Path => Some(HashSource::Path),
            HashInput::Consumer => None,
            HashInput::None => return None,
        };
        sources.push((input.span, source));
    }
    if let [(one, _), (other, _), ..] = sources[..] {
        out.push(
            Diagnostic::error("kong::hash-sources", "a hash has one source")
                .label(other, "one too many")
                .label(one, "the first"),
        );
    }
    let Some((span, source)) = sources.into_iter().next() else {
        out.push(
            Diagnostic::error("kong::hash-sources", "a hash needs a source")
                .label(hash.span, "none here"),
        );
        return None;
    };
    let Some(source) = source else {
        let meaning = "without plugins there is no consumer, and groups of paths are not hashed: such requests go to any target";
        not_modelled(span, "this source of a hash", meaning, out);
        return None;
    };
    // the fallback counts where the first finds nothing
    Some(HashPolicy {
        source,
        terminal: first,
    })
}

fn not_modelled(span: Span, what: &str, meaning: &str, out: &mut Diagnostics) {
    out.push(
        Diagnostic::not_modelled(
            "kong::not-modelled",
            format!("`{what}` is not modelled"),
            meaning,
        )
        .label(span, ""),
    );
}
