//! What none of these systems can say.

use compare::Area;
use proxy_core::config::{
    Cluster, Forward, Gate, GateKind, HttpConnections, HttpFilter, LocalityBalance, Priority,
    RouteAction, UpstreamTransport,
};
use proxy_core::origin::OriginId;

use super::flat::{Flat, Rule};
use super::words;
use crate::intent::{Destination, Intent, Leads, Serves};
use crate::loss::{Loss, Reach};
use crate::object::Written;

/// What is lost of gateways as a whole: ports, bytes, client certificates, how heads are read.
pub(crate) fn of_gateways(
    flats: &[Flat<'_>],
    (system, dialect): (&str, &str),
    written: &mut Written,
) {
    for flat in flats {
        let reach = Reach::Gateway(flat.gateway.id);
        for beyond in &flat.beyond {
            let why = format!(
                "{system} is written with a port for plaintext and one for TLS, for requests alone"
            );
            let loss = Loss::new(reach, Area::Connection, beyond.origin, &beyond.what, why);
            written.lose(loss.nearest(&beyond.nearest));
        }
        for shown in flat.shown.iter().filter(|it| it.mutual) {
            let what = "clients have to show a certificate";
            let why = format!("no object of {system}'s that is written here asks for one");
            written
                .lose(Loss::new(reach, Area::Tls, shown.origin, what, why).also(Area::Connection));
        }
        if flat.gateway.facts.dialect == dialect {
            // it is its own
            continue;
        }
        for door in &flat.gateway.doors {
            if let Serves::Requests { http, .. } = &door.serves {
                of_connections(http, reach, system, written);
            }
        }
    }
    if let [first, second, ..] = flats {
        for flat in &flats[1..] {
            let what = format!("a gateway of its own ({})", flat.gateway.facts.name);
            let why = format!("all gateways are one {system} here");
            let nearest = format!(
                "its hosts are served beside those of {}",
                first.gateway.facts.name
            );
            let reach = Reach::Gateway(flat.gateway.id);
            let loss = Loss::new(
                reach,
                Area::Connection,
                flat.gateway.facts.origin,
                what,
                why,
            );
            written.lose(
                loss.nearest(nearest)
                    .also(Area::Destination)
                    .also(Area::Answer),
            );
        }
        let reach = Reach::Gateway(first.gateway.id);
        let what = "hosts of other gateways are not served";
        let why = format!("all gateways are one {system} here");
        let loss = Loss::new(
            reach,
            Area::Connection,
            second.gateway.facts.origin,
            what,
            why,
        );
        written.lose(loss.also(Area::Destination).also(Area::Answer));
    }
}

fn of_connections(http: &HttpConnections, reach: Reach, system: &str, written: &mut Written) {
    let own = format!("{system} has its own for the whole gateway, which is its administrator's");
    let timers = [
        (http.stream_idle_timeout, "a stream's idle timeout"),
        (http.request_timeout, "the time for a whole request"),
        (http.max_stream_duration, "the longest stream"),
        (
            http.idle_timeout,
            "the idle timeout of clients' connections",
        ),
        (http.max_connection_duration, "the longest connection"),
        (http.head_timeout, "the time for a head"),
    ];
    for (timer, what) in timers {
        if let Some(timer) = timer {
            let what = format!("{what}: {}", words::length(timer.value));
            written.lose(
                Loss::new(reach, Area::Timeout, timer.origin, what, &own).also(Area::Connection),
            );
        }
    }
    if let Some(most) = http.max_requests_per_connection {
        let what = format!("{} requests over a client's connection", most.value);
        written.lose(Loss::new(reach, Area::Limit, most.origin, what, &own));
    }
    for filter in &http.filters {
        match filter {
            HttpFilter::Fault(Some(fault)) => {
                let what = "injected failures of a whole listener";
                let why = format!("{system} injects none");
                written.lose(Loss::new(reach, Area::Fault, fault.origin, what, why));
            }
            HttpFilter::LocalRateLimit(Some(limit)) => {
                let what = "a rate limit of a whole listener";
                let why = format!("{system} limits by route");
                written.lose(Loss::new(reach, Area::Limit, limit.origin, what, why));
            }
            HttpFilter::Fault(None) | HttpFilter::LocalRateLimit(None) | HttpFilter::Cors => {}
        }
    }
}

/// What is lost of a route whichever of these systems it is written for.
pub(crate) fn of_rule(rule: &Rule<'_>, system: &str, written: &mut Written) {
    let reach = Reach::Gateway(rule.gateway);
    let route = rule.route();
    if let Some(fault) = &route.fault {
        let why = format!("{system} injects none");
        written.lose(Loss::new(
            reach,
            Area::Fault,
            fault.origin,
            "injected failures",
            why,
        ));
    }
    let RouteAction::Forward(forward) = &route.action else {
        return;
    };
    of_forward(forward, route.origin, reach, system, written);
    for (to, mirror) in rule.of.mirrors.iter().zip(&forward.mirrors) {
        if to.service().is_none() {
            let what = "copies of requests";
            let why = format!("{system} sends copies to Services alone");
            written.lose(Loss::new(
                reach,
                Area::Mirror,
                mirror.share.origin,
                what,
                why,
            ));
        }
    }
}

fn of_forward(
    forward: &Forward,
    rule: OriginId,
    reach: Reach,
    system: &str,
    written: &mut Written,
) {
    if let Some(hedge) = &forward.hedge {
        let why = format!("{system} sends one try at a time");
        let what = "a second try beside the first";
        written.lose(Loss::new(reach, Area::Retry, hedge.origin, what, why));
    }
    let timers = [
        (forward.idle_timeout, "a stream's idle timeout"),
        (forward.max_stream_duration, "the longest stream"),
    ];
    for (timer, what) in timers {
        if let Some(timer) = timer.filter(|it| !it.value.is_zero()) {
            let what = format!("{what}: {}", words::length(timer.value));
            let why = format!("{system} has none of a route");
            written.lose(Loss::new(reach, Area::Timeout, timer.origin, what, why));
        }
    }
    let flags = [
        (
            forward.grpc_timeout_max.is_some(),
            Area::Timeout,
            "`grpc-timeout` of calls is obeyed",
        ),
        (
            forward.priority == Priority::High,
            Area::Limit,
            "limits of their own for requests of high priority",
        ),
        (
            forward.forwarded_host,
            Area::Rewrite,
            "servers see the old host in `x-forwarded-host`",
        ),
        (
            forward.ends_connect,
            Area::Upgrade,
            "CONNECT ends at the gateway",
        ),
        (
            !forward.subset.is_empty(),
            Area::Destination,
            "endpoints by labels that a route asks for",
        ),
    ];
    for (is, area, what) in flags {
        if is {
            let why = format!("{system} has no means for it");
            written.lose(Loss::new(reach, area, rule, what, why));
        }
    }
    let shadowed = forward.mirrors.iter().find(|it| it.shadow_host);
    if let Some(mirror) = shadowed {
        let what = "copies have a Host that ends in `-shadow`";
        let why = format!("copies of {system}'s have the Host of their request");
        written.lose(Loss::new(
            reach,
            Area::Mirror,
            mirror.share.origin,
            what,
            why,
        ));
    }
}

/// A destination that no Service stands for.
pub(crate) fn of_destination(
    intent: &Intent<'_>,
    rule: &Rule<'_>,
    to: &Destination<'_>,
    system: &str,
    written: &mut Written,
) {
    let origin = to
        .weighted
        .map_or_else(|| rule.route().origin, |it| it.origin);
    let what = match (&to.leads, to.cluster) {
        (Leads::Missing, _) => {
            "requests to a Service that is not there are answered by the gateway".to_owned()
        }
        (Leads::Other | Leads::Service { .. }, Some(cluster)) => {
            format!("requests go to `{}`", cluster.service)
        }
        (Leads::Other | Leads::Service { .. }, None) => "requests go elsewhere".to_owned(),
    };
    let why = match &to.leads {
        Leads::Missing => format!("{system} takes no rule that leads to nothing"),
        Leads::Service { service, .. } => format!(
            "`{}` has no selector, so that no Service can have some of its pods",
            intent.source.service(*service).full_name()
        ),
        Leads::Other => format!("{system} leads to Services alone, and it is none, or several"),
    };
    let loss = Loss::new(
        Reach::Gateway(rule.gateway),
        Area::Destination,
        origin,
        what,
        why,
    );
    written.lose(loss.also(Area::Answer));
}

/// What is lost of how endpoints of a destination are called, whichever of these systems it is written for.
pub(crate) fn of_cluster(cluster: &Cluster, rule: &Rule<'_>, system: &str, written: &mut Written) {
    let reach = Reach::Gateway(rule.gateway);
    let mut lose = |area, origin, what: &str, why: String| {
        written.lose(Loss::new(reach, area, origin, what, why));
    };
    if let Some(start) = &cluster.slow_start {
        let why = format!("with {system} they have it at once");
        lose(
            Area::Balance,
            start.origin,
            "new endpoints get their share by and by",
            why,
        );
    }
    match &cluster.locality.value {
        LocalityBalance::Ignored => {}
        LocalityBalance::Weighted | LocalityBalance::ZoneAware(_) => {
            let why = format!("places are of no account to {system}");
            let what = "endpoints are chosen by where they are";
            lose(Area::Balance, cluster.locality.origin, what, why);
        }
    }
    if let Some(budget) = cluster
        .retry_budget
        .as_ref()
        .or(cluster.high_retry_budget.as_ref())
    {
        let why = format!("{system} counts the tries of one request");
        lose(
            Area::Retry,
            budget.origin,
            "retries of all requests together are bounded",
            why,
        );
    }
    if let Some(queue) = &cluster.queue {
        let why = format!("{system} answers at once where no endpoint is ready");
        lose(
            Area::Limit,
            queue.origin,
            "requests wait for an endpoint",
            why,
        );
    }
    match &cluster.transport {
        UpstreamTransport::Mesh { .. } => {
            let why = format!("{system} is not part of the mesh");
            let what = "mutual TLS with the mesh's identities";
            lose(Area::Tls, cluster.origin, what, why);
        }
        UpstreamTransport::Plaintext | UpstreamTransport::Tls { .. } => {}
    }
    let panic = cluster.panic_threshold;
    if panic.value.as_ppm() > 0 && !cluster.fail_traffic_on_panic {
        let what = format!(
            "when fewer than {} % of endpoints are well all of them are used",
            panic.value.as_fraction() * 100.0
        );
        let why = format!("{system} has no such threshold");
        let loss = Loss::new(reach, Area::Balance, panic.origin, what, why);
        written.lose(loss.also(Area::Ejection));
    }
}

/// Limits on what may be under way to a destination, as they are written: `1024 connections, 3 retries`; empty: none.
pub(crate) fn limits(cluster: &Cluster) -> String {
    let limits = cluster.limits[0];
    let named = [
        (limits.connections.value, "connections"),
        (limits.pending.value, "waiting requests"),
        (limits.requests.value, "requests"),
        (limits.retries.value, "retries"),
    ];
    let each = named.iter().filter(|(most, _)| *most != u32::MAX);
    let each: Vec<String> = each.map(|(most, what)| format!("{most} {what}")).collect();
    each.join(", ")
}

/// A gate in words.
pub(crate) fn gate(gate: &Gate) -> &'static str {
    match &gate.kind {
        GateKind::Rate { .. } => "a rate limit",
        GateKind::InFlight { .. } => "a limit of requests under way",
        GateKind::Breaker(_) => "a circuit breaker",
    }
}
