//! What nodes decide, in words.

use std::net::SocketAddr;

use proxy_core::config::{Route, VirtualHost};
use proxy_core::event::{
    AttemptFailure, AttemptResult, ConnectionChoice, Decision, Next, TimeoutKind,
};
use proxy_core::ids::ClusterId;
use proxy_core::node::{Node, RouteRef};
use proxy_core::reply::ReplyReason;

/// A decision in words; `named` knows whose an address is.
pub(crate) fn words(
    node: &Node,
    decision: &Decision,
    named: &dyn Fn(SocketAddr) -> Option<String>,
) -> String {
    match *decision {
        Decision::Route {
            section,
            table,
            host,
            route,
        } => {
            let at = RouteRef {
                section,
                table,
                host,
                route,
            };
            route_words(node, at)
        }
        Decision::NoRoute => "no route takes it".to_owned(),
        Decision::Cluster(id) => format!("cluster {}", cluster_name(node, id)),
        Decision::Endpoint {
            cluster,
            endpoint,
            candidates,
            panic,
        } => {
            let address = node.endpoint(cluster, endpoint);
            let name = address.map_or_else(
                || "an endpoint".to_owned(),
                |address| named(address).unwrap_or_else(|| address.to_string()),
            );
            let panic = if panic { ", health disregarded" } else { "" };
            format!("endpoint {name} out of {candidates}{panic}")
        }
        Decision::Connection(ConnectionChoice::Reused) => "on a standing connection".to_owned(),
        Decision::Connection(ConnectionChoice::Opened) => "on a new connection".to_owned(),
        Decision::Connection(ConnectionChoice::Queued) => "waits for a connection".to_owned(),
        Decision::Timeout { kind, after } => format!("{} of {after}", timeout_words(kind)),
        Decision::TimeoutVoid(kind) => {
            format!("{} is void: another one comes first", timeout_words(kind))
        }
        Decision::Retry { number, after } if after.is_zero() => format!("try {number} at once"),
        Decision::Retry { number, after } => format!("try {number} after a pause of {after}"),
        Decision::NoRetry(next) => {
            let why = next_words(next);
            if why.is_empty() {
                "no retry".to_owned()
            } else {
                format!("no retry: {why}")
            }
        }
        Decision::Hedge => "a second try beside the first".to_owned(),
        Decision::FaultDelay(after) => format!("an injected fault pauses it for {after}"),
        Decision::FaultAbort(status) => format!("an injected fault answers {status}"),
        Decision::RateLimit { admitted: true } => "within the rate limit".to_owned(),
        Decision::RateLimit { admitted: false } => "beyond the rate limit".to_owned(),
        Decision::GateDelay(after) => format!("waits for {after} to be within the rate limit"),
        Decision::InFlight { admitted: true } => "few enough are under way".to_owned(),
        Decision::InFlight { admitted: false } => "too many are under way".to_owned(),
        Decision::Breaker { admitted: true } => "the breaker lets it pass".to_owned(),
        Decision::Breaker { admitted: false } => "the breaker lets it not pass".to_owned(),
        Decision::Mirror(id) => format!("a copy goes to {}", cluster_name(node, id)),
        Decision::LocalReply(reason) => format!("answers itself: {}", reply_words(reason)),
    }
}

fn route_words(node: &Node, at: RouteRef) -> String {
    route_at(node, at).map_or_else(
        || "a route of an earlier configuration".to_owned(),
        |(host, route)| format!("route {} of host {}", route.name, host.name),
    )
}

/// A route of the configuration in force, with its virtual host.
pub(crate) fn route_at(node: &Node, at: RouteRef) -> Option<(&VirtualHost, &Route)> {
    let section = node.config().sections.get(usize::from(at.section))?;
    let table = section.tables().get(at.table as usize)?;
    let host = table.virtual_hosts.get(at.host as usize)?;
    Some((host, host.routes.get(at.route as usize)?))
}

fn cluster_name(node: &Node, id: ClusterId) -> String {
    let cluster = node.cluster(id);
    cluster.map_or_else(|| "?".to_owned(), |cluster| cluster.name.to_string())
}

const fn timeout_words(kind: TimeoutKind) -> &'static str {
    match kind {
        TimeoutKind::Route => "request timeout",
        TimeoutKind::PerTry => "per-try timeout",
        TimeoutKind::PerTryIdle => "per-try idle timeout",
        TimeoutKind::StreamIdle => "stream idle timeout",
        TimeoutKind::MaxStreamDuration => "longest stream duration",
        TimeoutKind::Connect => "connect timeout",
    }
}

/// How a try ended, and whether that is bad.
pub(crate) fn result_words(result: AttemptResult) -> (String, bool) {
    match result {
        AttemptResult::Response(status) => (status.to_string(), status >= 500),
        AttemptResult::Cancelled => ("given up".to_owned(), false),
        AttemptResult::Failed(failure) => (failure_words(failure).to_owned(), true),
    }
}

const fn failure_words(failure: AttemptFailure) -> &'static str {
    match failure {
        AttemptFailure::NoHealthyUpstream => "no healthy endpoint",
        AttemptFailure::Overflow => "refused by a concurrency limit",
        AttemptFailure::ConnectRefused => "connection refused",
        AttemptFailure::ConnectTimeout => "connect timeout",
        AttemptFailure::Terminated => "connection closed by the upstream",
        AttemptFailure::Reset => "stream reset",
        AttemptFailure::RefusedStream => "stream refused",
        AttemptFailure::PerTryTimeout => "per-try timeout",
        AttemptFailure::PerTryIdle => "per-try idle timeout",
        AttemptFailure::RouteTimeout => "request timeout",
        AttemptFailure::Protocol => "protocol error",
    }
}

/// What became of a try; empty where that goes without saying.
pub(crate) const fn next_words(next: Next) -> &'static str {
    match next {
        Next::Final => "",
        Next::Retried => "tried again",
        Next::RetriesExhausted => "no retries left",
        Next::OutOfTime => "too much time has passed",
        Next::RetryOverflow => "too many retries under way",
        Next::NotRetriable => "not a failure that the policy retries",
        Next::Superseded => "another try goes on",
    }
}

/// Why a node answers itself.
pub(crate) const fn reply_words(reason: ReplyReason) -> &'static str {
    match reason {
        ReplyReason::NoRoute => "no route (NR)",
        ReplyReason::NoCluster => "no such destination (NC)",
        ReplyReason::NoHealthyUpstream => "no healthy upstream (UH)",
        ReplyReason::Failfast => "no endpoint became ready in time (failfast)",
        ReplyReason::LoadShed => "load shed",
        ReplyReason::ConnectFailure => "connection failure (UF)",
        ReplyReason::ConnectTimeout => "connect timeout (UF)",
        ReplyReason::Overflow => "a concurrency limit (UO)",
        ReplyReason::UpstreamTermination => "the upstream closed the connection (UC)",
        ReplyReason::UpstreamReset => "the upstream reset the stream (UR)",
        ReplyReason::UpstreamRefused => "the upstream refused the stream (UR)",
        ReplyReason::LocalReset => "reset here (LR)",
        ReplyReason::RouteTimeout => "request timeout (UT)",
        ReplyReason::PerTryTimeout => "per-try timeout (UT)",
        ReplyReason::PerTryIdle => "per-try idle timeout (UT)",
        ReplyReason::StreamIdle => "stream idle timeout (SI)",
        ReplyReason::MaxStreamDuration => "longest stream duration",
        ReplyReason::RequestTimeout => "the request did not arrive in time",
        ReplyReason::BodyTooLarge => "its body is longer than the route takes",
        ReplyReason::RateLimited => "rate limited (RL)",
        ReplyReason::TooManyInFlight => "too many requests under way (RL)",
        ReplyReason::BreakerOpen => "the breaker is open (UO)",
        ReplyReason::FaultAbort => "injected abort (FI)",
        ReplyReason::Direct => "direct response",
        ReplyReason::Redirect => "redirect",
        ReplyReason::UpstreamProtocolError => "upstream protocol error (UPE)",
        ReplyReason::Draining => "draining",
        ReplyReason::BadHead(_) => "its head may not pass",
        ReplyReason::UpgradeRefused => "the connection may not become what the client wants",
        ReplyReason::Preflight => "it asks what pages of another origin may do",
        ReplyReason::MalformedBody => "what follows its head is no body (DPE)",
    }
}
