//! Rules for requests and calls to routes.

use proxy_core::config::{
    ClusterIndex, Cors, DirectResponse, Forward, HeaderEdits, Mirror, Name, Redirect, RetryPolicy,
    Route, RouteAction, RouteMatch, Session, SessionCarrier, Share, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::RetryOn;
use proxy_core::time::Duration;

use super::clusters::{Clusters, Spoken};
use super::filters::{Filters, redirect, rewrite};
use super::matching::{self, Rank, Ranked};
use super::systems::{Count, Field, Lacking, Retries, System};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::gateway_api::types::{
    BackendRef, Filter, HttpRule, Retry, SessionPersistence, Timeouts, text,
};
use crate::gateway_api::{Api, RouteId, RouteKind, parse_duration};
use crate::text::{Span, Spanned};

/// What carries a session where nobody names it.
const SESSION_NAME: &str = "gateway-session";

/// A route and what decides whether it comes before others.
#[derive(Clone, Debug)]
pub(super) struct RankedRoute {
    pub(super) rank: Rank,
    /// Age and name of the object, then the place in its list.
    pub(super) after: (usize, usize),
    pub(super) route: Route,
}

/// Where requests came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) scheme: &'static str,
    pub(super) port: u16,
}

/// What is common to the rules of both kinds.
struct Rule<'a> {
    name: Name,
    matches: Vec<Ranked>,
    filters: &'a [Filter],
    backends: &'a [BackendRef],
    timeouts: Option<&'a Timeouts>,
    retry: Option<&'a Retry>,
    session: Option<&'a SessionPersistence>,
    span: Span,
}

/// One outcome of a rule: requests have a share of the outcomes, where there are several.
struct Outcome {
    /// Of those that came so far; none: all that are left.
    until: Option<Share>,
    action: RouteAction,
    request: HeaderEdits,
    response: HeaderEdits,
    cors: Option<Cors>,
}

/// The routes of an HTTPRoute or GRPCRoute; `age` is its place among all that a listener has.
pub(super) fn routes(
    id: RouteId,
    age: usize,
    entry: Entry,
    clusters: &mut Clusters<'_, '_>,
    cx: &mut Compile<'_>,
) -> Vec<RankedRoute> {
    let api = clusters.api;
    let rules = match id.kind {
        RouteKind::Http => http_rules(api, id, cx.diagnostics),
        RouteKind::Grpc => grpc_rules(api, id, cx.diagnostics),
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => Vec::new(),
    };
    let namespace = &api.route(id).key.namespace;
    let system = clusters.system;
    if system.lacking == Lacking::NoRoute && rules.iter().any(|rule| rule.is_lacking(system)) {
        return Vec::new();
    }
    let mut made = Vec::new();
    for (nth, rule) in rules.iter().enumerate() {
        let origin = cx.origins.written(rule.span);
        let compiler = Compiler {
            rule,
            of: (id.kind, namespace),
            entry,
            origin,
        };
        let outcomes = compiler.outcomes(clusters, cx);
        for (rank, matches) in &rule.matches {
            for outcome in &outcomes {
                made.push(RankedRoute {
                    rank: *rank,
                    after: (age, nth),
                    route: Route {
                        name: rule.name.clone(),
                        matches: RouteMatch {
                            fraction: outcome.until,
                            ..matches.clone()
                        },
                        action: outcome.action.clone(),
                        request_edits: outcome.request.clone(),
                        response_edits: outcome.response.clone(),
                        fault: None,
                        rate_limit: None,
                        gates: Vec::new(),
                        cors: outcome.cors.clone().map(Box::new),
                        tracing: None,
                        origin,
                    },
                });
            }
        }
    }
    made
}

fn http_rules<'a>(api: &'a Api, id: RouteId, out: &mut Diagnostics) -> Vec<Rule<'a>> {
    let route = &api.http[id.at];
    let all = route.spec.rules.iter().enumerate();
    all.map(|(nth, rule): (usize, &HttpRule)| Rule {
        name: rule_name(&route.full_name(), rule.name.as_ref(), nth),
        matches: matching::of_http(&rule.matches, out),
        filters: &rule.filters,
        backends: &rule.backend_refs,
        timeouts: rule.timeouts.as_ref(),
        retry: rule.retry.as_ref(),
        session: rule.session_persistence.as_ref(),
        span: rule_span(rule.name.as_ref(), &rule.backend_refs, route.span),
    })
    .collect()
}

fn grpc_rules<'a>(api: &'a Api, id: RouteId, out: &mut Diagnostics) -> Vec<Rule<'a>> {
    let route = &api.grpc[id.at];
    let all = route.spec.rules.iter().enumerate();
    all.map(|(nth, rule)| Rule {
        name: rule_name(&route.full_name(), rule.name.as_ref(), nth),
        matches: matching::of_grpc(&rule.matches, out),
        filters: &rule.filters,
        backends: &rule.backend_refs,
        timeouts: None,
        retry: None,
        session: rule.session_persistence.as_ref(),
        span: rule_span(rule.name.as_ref(), &rule.backend_refs, route.span),
    })
    .collect()
}

/// `namespace/name/rule`, a rule without a name by its number.
fn rule_name(route: &str, name: Option<&Spanned<String>>, nth: usize) -> Name {
    match name {
        Some(name) => format!("{route}/{name}").into(),
        None => format!("{route}/{nth}").into(),
    }
}

fn rule_span(name: Option<&Spanned<String>>, backends: &[BackendRef], route: Span) -> Span {
    let backend = backends.first().map(|backend| backend.name.span);
    name.map(|name| name.span).or(backend).unwrap_or(route)
}

impl Rule<'_> {
    /// Whether there is a filter that a system does not carry out.
    fn is_lacking(&self, system: &System) -> bool {
        let lacks = |filter: &Filter| system.lacks.contains(&filter.r#type.as_str());
        let mut backends = self.backends.iter();
        self.filters.iter().any(lacks)
            || backends.any(|backend| {
                backend.filters.iter().any(lacks)
                    || (!system.backend_filters && !backend.filters.is_empty())
            })
    }
}

/// A rule where requests come in.
struct Compiler<'r, 'a> {
    rule: &'r Rule<'a>,
    of: (RouteKind, &'a str),
    entry: Entry,
    origin: OriginId,
}

impl Compiler<'_, '_> {
    /// What becomes of the rule's requests. One outcome serves all, unless backends have filters that a share of a route cannot have: each
    /// is an outcome of its own then.
    fn outcomes(&self, clusters: &mut Clusters<'_, '_>, cx: &mut Compile<'_>) -> Vec<Outcome> {
        let filters = Filters::of(self.rule.filters, cx.diagnostics);
        if filters.is_broken || self.rule.is_lacking(clusters.system) {
            return vec![Outcome::error(500)];
        }
        if let Some(to) = filters.redirect {
            return vec![
                self.redirected(redirect(to, (self.entry.scheme, self.entry.port)), &filters),
            ];
        }
        let weighed: Vec<(&BackendRef, u32)> = self
            .rule
            .backends
            .iter()
            .map(|backend| (backend, backend.weight.as_ref().map_or(1, |it| it.value)))
            .collect();
        let total: u64 = weighed.iter().map(|(_, weight)| u64::from(*weight)).sum();
        // source: `HTTPRouteRule.backendRefs`: without any, and where all weigh nothing, the answer is 500
        if total == 0 {
            return vec![Outcome::error(500)];
        }
        let own: Vec<Filters<'_>> = weighed
            .iter()
            .map(|(backend, _)| Filters::of(&backend.filters, cx.diagnostics))
            .collect();
        let is_plain = |it: &Filters<'_>| {
            it.redirect.is_none() && it.rewrite.is_none() && it.mirrors.is_empty() && !it.is_broken
        };
        if own.iter().all(is_plain) {
            let split: Vec<_> = weighed.iter().copied().zip(&own).collect();
            return vec![self.forwarded(&split, &filters, None, clusters, cx)];
        }
        let mut outcomes = Vec::new();
        let mut so_far = 0_u64;
        for ((backend, weight), own) in weighed.iter().copied().zip(&own) {
            if weight == 0 {
                continue;
            }
            so_far += u64::from(weight);
            let mut outcome = if own.is_broken {
                Outcome::error(500)
            } else if let Some(to) = own.redirect {
                let entry = (self.entry.scheme, self.entry.port);
                self.redirected(redirect(to, entry), &filters)
            } else {
                self.forwarded(&[((backend, 1), own)], &filters, Some(own), clusters, cx)
            };
            let ppm = u32::try_from(so_far * 1_000_000 / total).unwrap_or(1_000_000);
            outcome.until = (so_far < total).then(|| Share::from_ppm(ppm));
            outcomes.push(outcome);
        }
        outcomes
    }

    fn redirected(&self, to: Redirect, filters: &Filters<'_>) -> Outcome {
        Outcome {
            until: None,
            action: RouteAction::Redirect(Box::new(to)),
            request: Vec::new(),
            response: filters.response.clone(),
            cors: filters.cors.clone(),
        }
    }

    fn forwarded(
        &self,
        split: &[((&BackendRef, u32), &Filters<'_>)],
        filters: &Filters<'_>,
        own: Option<&Filters<'_>>,
        clusters: &mut Clusters<'_, '_>,
        cx: &mut Compile<'_>,
    ) -> Outcome {
        let spoken = match self.of.0 {
            RouteKind::Grpc => Spoken::Calls,
            RouteKind::Http | RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => Spoken::Requests,
        };
        let has_own = split
            .iter()
            .any(|(_, own)| !own.request.is_empty() || !own.response.is_empty());
        let mut weighted = Vec::new();
        for ((backend, weight), own) in split {
            let mut request = Vec::new();
            let mut response = Vec::new();
            if has_own {
                // what a backend's filters do stands upon what those of the rule have done
                request = [&filters.request[..], &own.request[..]].concat();
                response = [&own.response[..], &filters.response[..]].concat();
            }
            weighted.push(WeightedCluster {
                cluster: clusters.of(backend, self.of, spoken, cx),
                weight: *weight,
                request_edits: request,
                response_edits: response,
                origin: cx.origins.written(backend.name.span),
            });
        }
        let mut mirrors = Vec::new();
        let copies = filters.mirrors.iter();
        for (backend, share) in copies.chain(own.iter().flat_map(|own| &own.mirrors)) {
            // one that cannot be reached gets no copies
            if let Some(cluster) = clusters.of(backend, self.of, spoken, cx) {
                mirrors.push(Mirror {
                    cluster,
                    share: Sourced::new(*share, cx.origins.written(backend.name.span)),
                    shadow_host: false,
                });
            }
        }
        let rewritten = own.and_then(|own| own.rewrite).or(filters.rewrite);
        let (path, host) = rewritten.map(rewrite).unwrap_or_default();
        if clusters.system.spares_missing
            && weighted
                .iter()
                .any(|it| it.cluster.is_some() && it.weight > 0)
        {
            weighted.retain(|it| it.cluster.is_some());
        }
        let (timeout, per_try) = self.timeouts(clusters, cx);
        let to: Vec<ClusterIndex> = weighted.iter().filter_map(|it| it.cluster).collect();
        let retry = self.retries(per_try, (&*clusters, &to[..]), cx);
        let system = clusters.system;
        let forward = Forward {
            clusters: weighted,
            missing_status: 500,
            timeout,
            idle_timeout: self.stream_silence(timeout, system),
            retry: retry.map(Box::new),
            largest_body: system
                .largest_body
                .map(|most| Sourced::new(most, clusters.defaults)),
            rewrite: path,
            host,
            mirrors,
            session: self
                .session(cx)
                .filter(|_| system.reads(Field::Session))
                .map(Box::new),
            ..Forward::to(ClusterIndex(0))
        };
        let (request, response) = if has_own {
            (Vec::new(), Vec::new())
        } else {
            (filters.request.clone(), filters.response.clone())
        };
        Outcome {
            until: None,
            action: RouteAction::Forward(Box::new(forward)),
            request,
            response,
            cors: filters.cors.clone(),
        }
    }

    /// Source: GEP-1619. A cookie that lasts has the absolute timeout for its age.
    fn session(&self, cx: &mut Compile<'_>) -> Option<Session> {
        let written = self.rule.session?;
        let name = text(&written.session_name).unwrap_or(SESSION_NAME);
        let carrier = match text(&written.r#type) {
            Some("Header") => SessionCarrier::Header(name.to_ascii_lowercase().into()),
            Some(_) | None => {
                let lifetime = written.cookie_config.as_ref();
                let lifetime = lifetime.and_then(|it| text(&it.lifetime_type));
                let age = written
                    .absolute_timeout
                    .as_ref()
                    .filter(|_| lifetime == Some("Permanent"));
                SessionCarrier::Cookie {
                    name: name.into(),
                    ttl: age.and_then(|age| length(age, cx)).map(|age| age.value),
                    path: Some("/".into()),
                }
            }
        };
        Some(Session {
            carrier,
            origin: self.origin,
        })
    }

    /// That of all tries together, and that of each; zero is none.
    fn timeouts(
        &self,
        clusters: &Clusters<'_, '_>,
        cx: &mut Compile<'_>,
    ) -> (Sourced<Option<Duration>>, Option<Sourced<Duration>>) {
        let (system, defaults) = (clusters.system, clusters.defaults);
        let written = self.rule.timeouts;
        let request = written.and_then(|it| it.request.as_ref());
        let request = request
            .filter(|_| system.reads(Field::RequestTimeout))
            .and_then(|text| length(text, cx));
        let backend = written.and_then(|it| it.backend_request.as_ref());
        let backend = backend
            .filter(|_| system.reads(Field::BackendTimeout))
            .and_then(|text| length(text, cx))
            .filter(|it| !it.value.is_zero());
        let usual = Sourced::new(system.request, defaults);
        let whole = match request {
            Some(it) if it.value.is_zero() => Sourced::new(None, it.origin),
            Some(it) => Sourced::new(Some(it.value), it.origin),
            // one that bounds silences alone has no whole
            None if system.silence.is_some() => usual,
            // without retries there is one try
            None => match (backend, self.rule.retry) {
                (Some(it), None) => return (Sourced::new(Some(it.value), it.origin), None),
                (Some(_) | None, _) => usual,
            },
        };
        (whole, backend)
    }

    /// How long a stream of the route may be silent: an hour where it has a timeout, or as long as that.
    ///
    /// Source: envoyproxy/gateway 1.8 `internal/xds/translator/route.go` (`idleTimeout`).
    fn stream_silence(
        &self,
        whole: Sourced<Option<Duration>>,
        system: &System,
    ) -> Option<Sourced<Duration>> {
        self.rule
            .timeouts
            .filter(|_| system.stream_silence.is_some())?;
        let length = match whole.value {
            None => Duration::ZERO,
            Some(whole) => whole.max(Duration::from_secs(3600)),
        };
        Some(Sourced::new(length, whole.origin))
    }

    /// What is tried again: as the route has it, or else as the system has it.
    fn retries(
        &self,
        bound: Option<Sourced<Duration>>,
        (clusters, to): (&Clusters<'_, '_>, &[ClusterIndex]),
        cx: &mut Compile<'_>,
    ) -> Option<RetryPolicy> {
        let (system, defaults) = (clusters.system, clusters.defaults);
        let written = self.rule.retry.filter(|_| system.reads(Field::Retry));
        let silence = system.silence.map(|usual| {
            let usual = Sourced::new(usual, defaults);
            bound.unwrap_or(usual)
        });
        // where silences are bounded, what is written bounds them
        let per_try = bound.filter(|_| silence.is_none());
        let Retries {
            count,
            on,
            statuses,
            picks,
            pauses,
            spares,
        } = match (written, system.unasked) {
            (Some(_), _) => system.asked,
            (None, Some(unasked)) => unasked,
            (None, None) if per_try.is_some() || silence.is_some() => Retries {
                count: Count::Times(0),
                on: RetryOn::NONE,
                ..system.asked
            },
            (None, None) => return None,
        };
        let is_own = written.is_some() || per_try.is_some();
        let origin = if is_own { self.origin } else { defaults };
        let retries = match written.and_then(|retry| retry.attempts) {
            Some(attempts) => cx.origins.sourced(attempts),
            None if count == Count::Times(0) => Sourced::new(0, origin),
            None => Sourced::new(clusters.count(count, to, cx), defaults),
        };
        let backoff = written.and_then(|retry| length(retry.backoff.as_ref()?, cx));
        let backoff = match backoff {
            Some(least) => Sourced::new(
                Backoff::FullJitter(FullJitter::new(least.value, None)),
                least.origin,
            ),
            None if pauses => Sourced::new(Backoff::FullJitter(FullJitter::envoy_v3()), defaults),
            None => Sourced::new(Backoff::None, defaults),
        };
        let named = written.map_or(&[][..], |retry| &retry.codes);
        let named: Vec<u16> = named.iter().map(|status| status.value).collect();
        Some(RetryPolicy {
            on: Sourced::new(on, origin),
            statuses: match named.is_empty() {
                true => statuses.to_vec(),
                false => named,
            },
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries,
            per_try_timeout: per_try,
            per_try_idle_timeout: silence,
            backoff,
            rate_limited_backoff: None,
            avoid_previous: picks.map(|picks| Sourced::new(picks, defaults)),
            previous_priorities: None,
            spare_sent_non_idempotent: spares,
            last_try_unbounded: false,
            no_try_after: None,
            failures_have_statuses: false,
            body_limit: None,
            origin,
        })
    }
}

impl Outcome {
    fn error(status: u16) -> Self {
        Self {
            until: None,
            action: RouteAction::Direct(DirectResponse {
                status,
                body: "".into(),
            }),
            request: Vec::new(),
            response: Vec::new(),
            cors: None,
        }
    }
}

/// A length of time; what is none is an error.
fn length(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let duration = checked(text, cx.diagnostics)?;
    Some(Sourced::new(duration, cx.origins.written(text.span)))
}

/// A length of time; what is none is an error.
pub(super) fn checked(text: &Spanned<String>, out: &mut Diagnostics) -> Option<Duration> {
    let duration = parse_duration(text);
    if duration.is_none() {
        out.push(
            Diagnostic::error(
                "gateway-api::duration",
                format!("`{text}` is no length of time"),
            )
            .label(text.span, "this value")
            .help("write whole numbers with units, such as `500ms` or `1m30s`"),
        );
    }
    duration
}
