//! Limits and ejections that never act, or always do.

use proxy_core::config::{
    ChainAction, Cluster, Gate, GateKind, HttpFilter, LocalRateLimit, RateLimit, Share,
    UpstreamProtocol,
};
use proxy_core::origin::OriginId;
use proxy_core::outlier::Census;

use super::Lint;
use super::view::{Section, View};
use crate::diagnostics::Diagnostics;
use crate::model::{Members, Upstream};

/// A limit of zero.
pub(super) static NOTHING: Lint = Lint::warning(
    "limit::nothing-passes",
    "A limit that lets nothing pass",
    "A limit of zero refuses every request. Where \"no limit\" was meant, only taking the limit away says that.",
    "set it above zero, or take it away",
);
/// Retries that a limit refuses.
pub(super) static NO_RETRIES: Lint = Lint::warning(
    "limit::no-retries",
    "Retries that a limit refuses",
    "The cluster lets no retry be under way, so those of the routes that lead to it are never made.",
    "raise the limit of retries, or take the retries away",
);
/// A limit that something else keeps from being reached.
pub(super) static NEVER: Lint = Lint::advice(
    "limit::never-reached",
    "A limit that is never reached",
    "Something narrower refuses before: over HTTP/1.1 a connection carries one request at a time, so a limit of connections bounds the \
     requests; and a server whose slots and queue are full refuses itself.",
    "set it below what bounds the requests already, or take it away",
);
/// An ejection that its cap forbids.
pub(super) static NO_EJECTION: Lint = Lint::warning(
    "outlier::never-ejects",
    "An ejection that its cap always forbids",
    "At most a share of the endpoints may be out at once, and of so few endpoints the share is less than one: nothing is ever ejected.",
    "raise the share (`maxEjectionPercent`) to at least one endpoint, or run more replicas",
);
/// The only endpoint may be ejected.
pub(super) static ONLY_ONE: Lint = Lint::warning(
    "outlier::only-endpoint",
    "The only endpoint is taken out",
    "Taking an endpoint out helps where others are left. With one endpoint, a few failures in a row make every request fail for as long as it \
     is out. The address of a Service is one endpoint, too, however many pods are behind it.",
    "run more replicas, let the proxy know the pods, or leave the ejection to a layer that does",
);
/// An ejection that panic undoes.
pub(super) static PANIC: Lint = Lint::advice(
    "outlier::panic",
    "An ejection that panic undoes",
    "With less than the panic threshold of the endpoints healthy, all of them are used. Of so few endpoints the first ejection falls below \
     it, so the ejected endpoint goes on taking requests.",
    "lower the panic threshold, or run more replicas",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        let retried = retried(section);
        for (at, cluster) in section.draft.clusters.iter().enumerate() {
            let upstream = &section.upstreams[at];
            check_limits(
                view,
                cluster,
                upstream,
                retried.get(at).copied().flatten(),
                out,
            );
            check_ejection(view, cluster, upstream, out);
        }
        check_gates(view, section, out);
        for limit in rate_limits(section) {
            if limit.bucket.max_tokens == 0 && view.is_written(limit.origin) {
                let message = format!("the rate limit `{}` refuses every request", limit.name);
                let span = view.span(limit.origin);
                out.push(NOTHING.found(message).label(span, "holds no token"));
            }
        }
    }
}

fn check_gates(view: &View<'_>, section: &Section<'_>, out: &mut Diagnostics) {
    let hosts = section.draft.tables.iter().flat_map(|it| &it.virtual_hosts);
    let routes = hosts.flat_map(|host| &host.routes);
    for gate in routes.flat_map(|route| &route.gates) {
        if !view.is_written(gate.origin) {
            continue;
        }
        let span = view.span(gate.origin);
        let found = match passes(gate) {
            Some(false) => NOTHING
                .found(format!("`{}` refuses every request", gate.name))
                .label(span, "lets nothing pass"),
            Some(true) => NEVER
                .found(format!("`{}` never refuses a request", gate.name))
                .label(span, "never acts"),
            None => continue,
        };
        out.push(found);
    }
}

/// Whether a gate lets everything pass, or nothing; none: that depends.
fn passes(gate: &Gate) -> Option<bool> {
    match &gate.kind {
        GateKind::InFlight { most: 0, .. } => Some(false),
        GateKind::InFlight { .. } => None,
        GateKind::Rate { limit, .. } => match limit {
            RateLimit::Leaky(buckets) => {
                let stuck = buckets.iter().any(|bucket| bucket.leaks == 0);
                stuck.then_some(false)
            }
            RateLimit::Windows(windows) => {
                let none = windows.limits.iter().any(|(_, limit)| *limit == 0);
                none.then_some(false)
            }
            RateLimit::Delaying(bucket) => (bucket.average == 0).then_some(true),
        },
        GateKind::Breaker(breaker) => breaker.expression.foregone().map(|opens| !opens),
    }
}

/// For each cluster of a section, a rule by which requests to it are tried again.
fn retried(section: &Section<'_>) -> Vec<Option<OriginId>> {
    let mut found = vec![None; section.draft.clusters.len()];
    for sending in section.sendings() {
        let policy = sending.forward.retry.as_deref();
        let policy = policy.filter(|it| it.retries.value > 0 && !it.on.value.is_empty());
        let Some(policy) = policy else { continue };
        for cluster in sending.forward.clusters.iter().filter_map(|it| it.cluster) {
            if let Some(known) = found.get_mut(cluster.0 as usize) {
                known.get_or_insert(policy.retries.origin);
            }
        }
    }
    found
}

/// Every local rate limit of a section: of its listeners, and of its routes.
fn rate_limits<'a>(section: &Section<'a>) -> impl Iterator<Item = &'a LocalRateLimit> + use<'a> {
    let chains = section.draft.listeners.iter().flat_map(|it| &it.chains);
    let filters = chains.flat_map(|chain| match &chain.action {
        ChainAction::Http(http) => &http.filters[..],
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => &[],
    });
    let of_listeners = filters.filter_map(|filter| match filter {
        HttpFilter::LocalRateLimit(limit) => limit.as_ref(),
        HttpFilter::Fault(_) | HttpFilter::Cors => None,
    });
    let hosts = section.draft.tables.iter().flat_map(|it| &it.virtual_hosts);
    let routes = hosts.flat_map(|host| &host.routes);
    of_listeners.chain(routes.filter_map(|route| route.rate_limit.as_deref()))
}

fn check_limits(
    view: &View<'_>,
    cluster: &Cluster,
    upstream: &Upstream,
    retried: Option<OriginId>,
    out: &mut Diagnostics,
) {
    let limits = cluster.limits[0];
    for (what, limit) in [
        ("no request may be under way", limits.requests),
        (
            "no request may wait for a connection, and the first one has to",
            limits.pending,
        ),
    ] {
        if limit.value == 0 && view.is_written(limit.origin) {
            let message = format!("every request to `{}` is refused: {what}", cluster.service);
            out.push(
                NOTHING
                    .found(message)
                    .label(view.span(limit.origin), "refuses all"),
            );
        }
    }
    if let Some(policy) = retried
        && limits.retries.value == 0
        && cluster.retry_budget.is_none()
        && view.is_written(limits.retries.origin)
    {
        let message = format!("requests to `{}` are never tried again", cluster.service);
        out.push(
            NO_RETRIES
                .found(message)
                .label(
                    view.span(limits.retries.origin),
                    "lets no retry be under way",
                )
                .label(view.span(policy), "wants them tried again"),
        );
    }
    check_reach(view, cluster, upstream, out);
}

fn check_reach(view: &View<'_>, cluster: &Cluster, upstream: &Upstream, out: &mut Diagnostics) {
    let [limits, _] = cluster.limits;
    let requests = limits.requests;
    if !view.is_written(requests.origin) || requests.value == u32::MAX || requests.value == 0 {
        return;
    }
    let connections = limits.connections;
    let carries_one = cluster.protocol == UpstreamProtocol::Http1;
    if carries_one && connections.value < requests.value && connections.value > 0 {
        let message = format!(
            "of {} requests to `{}` at a time no more than {} can be under way",
            requests.value, cluster.service, connections.value
        );
        out.push(
            NEVER
                .found(message)
                .label(view.span(requests.origin), "never reached")
                .label(
                    view.span(connections.origin),
                    "so many connections, a request each",
                ),
        );
        return;
    }
    let Some(most) = room(view, upstream) else {
        return;
    };
    if u64::from(requests.value) > most {
        let message = format!(
            "`{}` has room for {most} requests at work and waiting, and refuses more itself",
            cluster.service
        );
        let span = view.span(requests.origin);
        out.push(NEVER.found(message).label(span, "never reached"));
    }
}

/// How many requests the servers behind a cluster take before they refuse; none: not known, or as many as come.
fn room(view: &View<'_>, upstream: &Upstream) -> Option<u64> {
    let (service, ..) = View::target(upstream)?;
    let workloads = &view.service(service).workloads;
    let rooms = workloads.iter().map(|id| {
        let room = view.usage.rooms.get(id)?;
        Some(room.slots + room.queue?)
    });
    let all: Option<Vec<u64>> = rooms.collect();
    all.filter(|all| !all.is_empty())
        .map(|all| all.iter().sum())
}

fn check_ejection(view: &View<'_>, cluster: &Cluster, upstream: &Upstream, out: &mut Diagnostics) {
    let Some(hosts) = view.endpoints(upstream).filter(|hosts| *hosts > 0) else {
        return;
    };
    if let Some(accrual) = cluster.accrual.filter(|it| view.is_written(it.origin))
        && hosts == 1
    {
        return only_one(view, cluster, upstream, accrual.origin, out);
    }
    if let Some(passive) = cluster.passive.filter(|it| view.is_written(it.origin))
        && hosts == 1
    {
        return only_one(view, cluster, upstream, passive.origin, out);
    }
    let Some(outlier) = cluster.outlier.filter(|it| view.is_written(it.origin)) else {
        return;
    };
    let span = view.span(outlier.origin);
    let census = Census { ejected: 0, hosts };
    if !outlier.value.has_room(census) {
        let percent = outlier.value.max_ejection_share.as_fraction() * 100.0;
        let message = format!(
            "no endpoint of `{}` is ever ejected: {percent} % of {hosts} is less than one",
            cluster.service
        );
        return out.push(NO_EJECTION.found(message).label(span, "never acts"));
    }
    let left = Share::from_ppm((hosts - 1).saturating_mul(1_000_000 / hosts));
    let panics = left < cluster.panic_threshold.value;
    if panics && !cluster.fail_traffic_on_panic {
        let threshold = cluster.panic_threshold;
        let message = format!(
            "an ejection has no effect for `{}`: with one of {hosts} out, less than {} % are healthy, and all are used",
            cluster.service,
            threshold.value.as_fraction() * 100.0
        );
        out.push(
            PANIC
                .found(message)
                .label(span, "takes an endpoint out")
                .label(view.span(threshold.origin), "puts it back in use"),
        );
    } else if hosts == 1 {
        only_one(view, cluster, upstream, outlier.origin, out);
    }
}

fn only_one(
    view: &View<'_>,
    cluster: &Cluster,
    upstream: &Upstream,
    rule: OriginId,
    out: &mut Diagnostics,
) {
    let what = match upstream.members {
        Members::Address { .. } => "its own address, with all its pods behind it",
        Members::None
        | Members::Pods { .. }
        | Members::Datagrams { .. }
        | Members::Workloads { .. }
        | Members::Fixed(_)
        | Members::Several(_)
        | Members::Ranked(_) => "its only pod",
    };
    let message = format!(
        "a few failures take all of `{}` out: the one endpoint is {what}",
        cluster.service
    );
    let span = view.span(rule);
    out.push(ONLY_ONE.found(message).label(span, "takes it out"));
}

#[cfg(test)]
mod tests {
    use proxy_core::breaker::Expression;
    use proxy_core::config::{Breaker, Cluster, EndpointSet, GateKey, Limits};
    use proxy_core::limit::delaying_bucket::DelayingBucket;
    use proxy_core::limit::leaky_bucket::LeakyBucket;
    use proxy_core::limit::windows::{Period, Windows};
    use proxy_core::origin::Sourced;
    use proxy_core::time::Duration;

    use super::*;
    use crate::lints::view::tests::with_view;

    fn gate(kind: GateKind) -> Gate {
        Gate {
            name: "gate".into(),
            kind,
            status: 429,
            exempt: Vec::new(),
            origin: OriginId(1),
        }
    }

    fn rate(limit: RateLimit) -> GateKind {
        GateKind::Rate {
            limit,
            key: GateKey::All,
        }
    }

    #[test]
    fn a_gate_may_let_everything_pass_or_nothing() {
        let in_flight = |most| GateKind::InFlight {
            most,
            key: GateKey::All,
        };
        let breaker = |text| {
            GateKind::Breaker(Breaker {
                expression: Expression::parse(text).unwrap(),
                check_period: Duration::from_millis(100),
                fallback: Duration::from_secs(10),
                recovery: Duration::from_secs(10),
            })
        };
        let windows = |limit| {
            rate(RateLimit::Windows(Windows {
                limits: vec![(Period::Minute, limit)],
                tells: true,
            }))
        };
        let delaying = |average| {
            rate(RateLimit::Delaying(DelayingBucket {
                average,
                period: Duration::from_secs(1),
                burst: 1,
            }))
        };
        let leaky = |rate| RateLimit::Leaky(vec![LeakyBucket::per_second(rate, 5)]);
        for (name, kind, expected) in [
            ("no seat", in_flight(0), Some(false)),
            ("a seat", in_flight(1), None),
            ("nothing leaks", rate(leaky(0)), Some(false)),
            ("something leaks", rate(leaky(5)), None),
            ("no request in a window", windows(0), Some(false)),
            ("some in a window", windows(10), None),
            ("no rate at all", delaying(0), Some(true)),
            ("a rate", delaying(3), None),
            (
                "always open",
                breaker("NetworkErrorRatio() >= 0.0"),
                Some(false),
            ),
            (
                "never open",
                breaker("NetworkErrorRatio() > 1.0"),
                Some(true),
            ),
            ("sometimes open", breaker("NetworkErrorRatio() > 0.5"), None),
        ] {
            assert_eq!(passes(&gate(kind)), expected, "{name}");
        }
    }

    /// Codes of what is found for a cluster with these limits, to which requests are retried or not.
    fn found(change: fn(&mut Limits, OriginId), retried: bool) -> Vec<&'static str> {
        with_view(|view, written| {
            let mut cluster = Cluster::envoy("app", EndpointSet::default());
            cluster.protocol = UpstreamProtocol::Http1;
            change(&mut cluster.limits[0], written);
            let mut out = Diagnostics::default();
            let policy = retried.then_some(written);
            check_limits(view, &cluster, &Upstream::default(), policy, &mut out);
            out.sorted().iter().map(|each| each.code).collect()
        })
    }

    #[test]
    fn limits_of_zero_and_limits_out_of_reach_are_told_where_somebody_wrote_them() {
        assert_eq!(found(|_, _| {}, true), [""; 0]);
        let none = |limits: &mut Limits, by| limits.requests = Sourced::new(0, by);
        assert_eq!(found(none, false), ["limit::nothing-passes"]);
        let by_nobody = |limits: &mut Limits, _| limits.requests = Sourced::unsourced(0);
        assert_eq!(found(by_nobody, false), [""; 0]);
        let no_queue = |limits: &mut Limits, by| limits.pending = Sourced::new(0, by);
        assert_eq!(found(no_queue, false), ["limit::nothing-passes"]);
        let no_retries = |limits: &mut Limits, by| limits.retries = Sourced::new(0, by);
        assert_eq!(found(no_retries, true), ["limit::no-retries"]);
        assert_eq!(found(no_retries, false), [""; 0]);
        let beyond = |limits: &mut Limits, by| {
            limits.connections = Sourced::new(10, by);
            limits.requests = Sourced::new(11, by);
        };
        assert_eq!(found(beyond, false), ["limit::never-reached"]);
        let within = |limits: &mut Limits, by| {
            limits.connections = Sourced::new(10, by);
            limits.requests = Sourced::new(10, by);
        };
        assert_eq!(found(within, false), [""; 0]);
    }
}
