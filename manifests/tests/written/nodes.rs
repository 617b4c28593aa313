//! Small nodes.

use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, DirectResponse, DownstreamTransport, FilterChain, HttpConnections,
    Listener, ListenerAddress, NodeConfig, NodeKind, ReplyProfile, RetryPolicy, Route, RouteAction,
    RouteMatch, RouteTable, SectionDraft, VirtualHost,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::retry::conditions::{Condition, RetryOn};

pub(crate) fn direct(body: &str) -> RouteAction {
    RouteAction::Direct(DirectResponse {
        status: 200,
        body: body.into(),
    })
}

pub(crate) fn route(matches: RouteMatch, action: RouteAction) -> Route {
    Route {
        name: "r".into(),
        matches,
        action,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId::NONE,
    }
}

pub(crate) fn host(domain: &str, routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: domain.into(),
        domains: vec![domain.into()],
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
        origin: OriginId::NONE,
    }
}

pub(crate) fn listener(
    draft: &mut SectionDraft,
    name: &str,
    address: ListenerAddress,
    hosts: Vec<VirtualHost>,
) {
    let table = draft.add_table(RouteTable {
        name: name.into(),
        virtual_hosts: hosts,
        ignore_port: false,
    });
    let http = HttpConnections {
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        upgrades: proxy_core::config::Upgrades::default(),
        table,
        filters: Vec::new(),
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: None,
        max_connection_duration: None,
        head_timeout: None,
        max_requests_per_connection: None,
        retained_bytes: 1 << 20,
        replies: ReplyProfile::Envoy,
        edge: false,
        heads: None,
        origin: OriginId::NONE,
    };
    draft.listeners.push(Listener {
        name: name.into(),
        address,
        chains: vec![FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: ChainAction::Http(Box::new(http)),
            origin: OriginId::NONE,
        }],
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin: OriginId::NONE,
    });
}

pub(crate) fn node(draft: SectionDraft) -> NodeConfig {
    NodeConfig {
        name: "n".into(),
        kind: NodeKind::Sidecar,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    }
}

pub(crate) fn retried(times: u32) -> RetryPolicy {
    RetryPolicy {
        on: Sourced::unsourced(RetryOn::NONE.with(Condition::ConnectFailure)),
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::unsourced(times),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::unsourced(Backoff::None),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: OriginId::NONE,
    }
}
