//! What a route says of requests that it sends on.

use std::collections::BTreeSet;

use proxy_core::config::{
    Balancer, HashPolicy, HashSource, Mirror, Priority, Session, SessionCarrier,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::connections::{Upgrading, upgrades};
use super::retry::retry;
use super::words::{length, list, share, yes};
use crate::requests::{Sent, named};
use crate::tell::{NONE, Sheet, maybe, sourced};
use crate::{Area, Side};

/// Everything that holds of all requests that go one way; `both` are the ways of both sides, since some of it counts where either has a use
/// for it.
pub(crate) fn forward(sent: Sent<'_>, both: [Sent<'_>; 2], side: &Side<'_>) -> Sheet {
    let mut sheet = Sheet::default();
    let (forward, around) = (sent.forward, sent.route.origin);
    timeouts(&mut sheet, sent);
    retry(&mut sheet, forward, around);
    let (text, origin) = sourced(forward.largest_body, around, |it| format!("{it} bytes"));
    sheet.row(Area::Limit, "longest body", text, origin);
    let priority = match forward.priority {
        Priority::Default => "default",
        Priority::High => "high",
    };
    sheet.row(Area::Limit, "priority", priority, around);
    mirrors(&mut sheet, sent, side);
    if both.iter().any(|it| hashes(*it)) {
        let hash = forward.hash.iter().map(hash);
        sheet.row(Area::Session, "hash", list(hash), around);
    }
    let session = forward.session.as_deref();
    let origin = session.map_or(around, |it| it.origin);
    sheet.row(Area::Session, "session", maybe(session, of_session), origin);
    if both
        .iter()
        .any(|it| it.cluster.is_some_and(|it| it.subsets.is_some()))
    {
        let labels = forward
            .subset
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        sheet.row(Area::Balance, "labels asked for", list(labels), around);
    }
    sheet.row(
        Area::Headers,
        "attempt count for upstreams",
        yes(sent.host.attempt_count),
        sent.host.origin,
    );
    sheet.row(
        Area::Headers,
        "attempt count for clients",
        yes(sent.host.attempt_count_in_response),
        sent.host.origin,
    );
    if both.iter().any(|it| it.forward.host.is_some()) {
        let told = yes(forward.forwarded_host);
        sheet.row(Area::Headers, "x-forwarded-host", told, around);
    }
    let of = both.map(|it| Upgrading {
        http: it.http,
        route: &it.forward.upgrades,
    });
    let kinds: BTreeSet<String> = of.iter().flat_map(|it| it.kinds()).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let own = Upgrading {
        http: sent.http,
        route: &forward.upgrades,
    };
    upgrades(&mut sheet, &own, &kinds);
    if kinds.iter().any(|kind| kind == "connect") {
        let ends = yes(forward.ends_connect);
        sheet.row(Area::Upgrade, "CONNECT ends here", ends, around);
    }
    sheet
}

fn timeouts(sheet: &mut Sheet, sent: Sent<'_>) {
    let (forward, http, around) = (sent.forward, sent.http, sent.route.origin);
    let timeout = forward
        .timeout
        .value
        .map_or_else(|| NONE.to_owned(), length);
    sheet.row(Area::Timeout, "timeout", timeout, forward.timeout.origin);
    let mut timer = |what: &'static str, own: Option<Sourced<Duration>>, of_listener| {
        let (text, origin) = sourced(own.or(of_listener), around, length);
        sheet.row(Area::Timeout, what, text, origin);
    };
    timer(
        "idle timeout",
        forward.idle_timeout,
        http.stream_idle_timeout,
    );
    timer(
        "longest stream",
        forward.max_stream_duration,
        http.max_stream_duration,
    );
    let grpc = match forward.grpc_timeout_max {
        None => "is not heeded".to_owned(),
        Some(most) if most.is_zero() => "is obeyed".to_owned(),
        Some(most) => format!("is obeyed up to {most}"),
    };
    sheet.row(Area::Timeout, "grpc-timeout", grpc, around);
}

fn mirrors(sheet: &mut Sheet, sent: Sent<'_>, side: &Side<'_>) {
    let all: Vec<&Mirror> = sent
        .forward
        .mirrors
        .iter()
        .filter(|it| it.share.value.as_ppm() > 0)
        .collect();
    let origin = all.first().map_or(sent.route.origin, |it| it.share.origin);
    let mut words: Vec<String> = all
        .iter()
        .map(|it| {
            let host = if it.shadow_host {
                ""
            } else {
                ", under the same host"
            };
            let to = named(sent.section, it.cluster, side);
            format!("{} to {to}{host}", share(it.share.value))
        })
        .collect();
    words.sort();
    sheet.row(Area::Mirror, "mirrors", list(words), origin);
}

/// Whether somebody goes by the hash of requests.
fn hashes(sent: Sent<'_>) -> bool {
    sent.cluster
        .is_some_and(|cluster| match cluster.balancer.value {
            Balancer::RingHash { .. } | Balancer::Maglev { .. } | Balancer::TraefikRendezvous => {
                true
            }
            Balancer::RoundRobin
            | Balancer::LeastRequest { .. }
            | Balancer::Random
            | Balancer::PeakEwma { .. }
            | Balancer::KongRing
            | Balancer::KongLeastConnections
            | Balancer::KongLatency
            | Balancer::NginxEwma
            | Balancer::TraefikTurns
            | Balancer::TraefikTwoChoices
            | Balancer::TraefikLeastTime
            | Balancer::OriginalDestination => false,
        })
}

fn hash(policy: &HashPolicy) -> String {
    let of = match &policy.source {
        HashSource::Header(name) => format!("header {name}"),
        HashSource::Cookie { name, ttl: None } => format!("cookie {name}"),
        HashSource::Cookie {
            name,
            ttl: Some(ttl),
        } => format!("cookie {name}, made for {ttl}"),
        HashSource::SourceAddress => "the client's address".to_owned(),
        HashSource::Param(name) => format!("parameter {name}"),
        HashSource::Path => "the path".to_owned(),
    };
    let ends = if policy.terminal {
        " and no further"
    } else {
        ""
    };
    format!("{of}{ends}")
}

fn of_session(session: &Session) -> String {
    match &session.carrier {
        SessionCarrier::Cookie { name, ttl, path } => {
            let ttl = maybe(*ttl, |it| it.to_string());
            let path = maybe(path.as_deref(), str::to_owned);
            format!("cookie {name}, lifetime {ttl}, path {path}")
        }
        SessionCarrier::Header(name) => format!("header {name}"),
    }
}
