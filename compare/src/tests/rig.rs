//! A small shop behind a gateway, and what its configurations differ in.

use std::sync::Arc;

use proxy_core::config::{
    Absent, ChainAction, ChainMatch, Cluster, ClusterIndex, DirectResponse, DownstreamTransport,
    EndpointSet, FilterChain, Forward, HeaderMatch, HttpConnections, HttpFilter, Listener,
    ListenerAddress, PathMatch, ReplyProfile, RetryPolicy, Route, RouteAction, RouteMatch,
    RouteTable, Section, SectionDraft, TableIndex, TcpRoute, TextMatch, Upgrades, VirtualHost,
    WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use crate::{Comparison, Destination, Options, Side, compare};

/// The first clusters of [`shop`].
pub(crate) const CART: ClusterIndex = ClusterIndex(0);
pub(crate) const WEB: ClusterIndex = ClusterIndex(1);
pub(crate) const SPARE: ClusterIndex = ClusterIndex(2);

/// A change of a part of a configuration.
pub(crate) type Edit<T> = fn(&mut T);

/// A route to the first cluster.
pub(crate) fn route(matches: RouteMatch) -> Route {
    to(matches, Forward::to(CART))
}

pub(crate) fn to(matches: RouteMatch, forward: Forward) -> Route {
    does(matches, RouteAction::Forward(Box::new(forward)))
}

pub(crate) fn does(matches: RouteMatch, action: RouteAction) -> Route {
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
        origin: OriginId(1),
    }
}

pub(crate) fn direct(status: u16) -> RouteAction {
    RouteAction::Direct(DirectResponse {
        status,
        body: "".into(),
    })
}

pub(crate) fn prefix(path: &str) -> RouteMatch {
    RouteMatch::path(PathMatch::Prefix(path.into()))
}

pub(crate) fn header(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value: TextMatch::Exact(value.into()),
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

pub(crate) fn host(domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: domains[0].into(),
        domains: domains.iter().map(|it| (*it).into()).collect(),
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
        origin: OriginId(2),
    }
}

pub(crate) fn table(hosts: Vec<VirtualHost>) -> RouteTable {
    RouteTable {
        name: "t".into(),
        virtual_hosts: hosts,
        ignore_port: false,
    }
}

pub(crate) fn connections(table: TableIndex) -> HttpConnections {
    HttpConnections {
        table,
        filters: vec![
            HttpFilter::Fault(None),
            HttpFilter::LocalRateLimit(None),
            HttpFilter::Cors,
        ],
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
        upgrades: Upgrades::default(),
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin: OriginId(3),
    }
}

pub(crate) fn http(table: TableIndex) -> ChainAction {
    ChainAction::Http(Box::new(connections(table)))
}

pub(crate) fn bytes(clusters: &[(ClusterIndex, u32)]) -> ChainAction {
    ChainAction::Tcp(TcpRoute {
        clusters: clusters.to_vec(),
        idle_timeout: None,
        connect_retries: 0,
        max_duration: None,
        logs: proxy_core::config::CarriedLogs::default(),
        origin: OriginId(4),
    })
}

pub(crate) fn chain(matches: ChainMatch, action: ChainAction) -> FilterChain {
    FilterChain {
        matches,
        transport: DownstreamTransport::Plaintext,
        action,
        origin: OriginId(5),
    }
}

pub(crate) fn listener(address: ListenerAddress, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name: format!("{address:?}").into(),
        address,
        chains,
        max_connections: None,
        preface: None,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        origin: OriginId(6),
    }
}

/// A listener whose requests all go by one table.
pub(crate) fn serving(draft: &mut SectionDraft, address: ListenerAddress, hosts: Vec<VirtualHost>) {
    let table = draft.add_table(table(hosts));
    let chain = chain(ChainMatch::default(), http(table));
    draft.listeners.push(listener(address, vec![chain]));
}

pub(crate) fn cluster(name: &str) -> Cluster {
    Cluster {
        origin: OriginId(7),
        ..Cluster::envoy(name, EndpointSet::default())
    }
}

/// Clusters that drafts begin with.
pub(crate) fn draft() -> SectionDraft {
    let mut draft = SectionDraft::default();
    for name in ["cart", "web", "spare"] {
        draft.add_cluster(cluster(name));
    }
    draft
}

pub(crate) fn port(port: u16) -> ListenerAddress {
    ListenerAddress::Socket(([0, 0, 0, 0], port).into())
}

/// Port 80 of a gateway: requests of `shop` for `/cart` go to the cart, others to the web.
pub(crate) fn shop() -> SectionDraft {
    let mut draft = draft();
    let mut cart = Forward::to(CART);
    cart.retry = Some(Box::new(retries()));
    let routes = vec![
        to(prefix("/cart"), cart),
        to(RouteMatch::all(), Forward::to(WEB)),
    ];
    serving(&mut draft, port(80), vec![host(&["shop"], routes)]);
    draft
}

pub(crate) fn retries() -> RetryPolicy {
    let on: RetryOn = [Condition::ServerError, Condition::RetriableStatusCodes]
        .into_iter()
        .collect();
    RetryPolicy {
        on: Sourced::new(on, OriginId(8)),
        statuses: vec![429],
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::new(2, OriginId(8)),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::new(Backoff::FullJitter(FullJitter::envoy_v3()), OriginId(8)),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: OriginId(8),
    }
}

pub(crate) fn weighted(cluster: ClusterIndex, weight: u32) -> WeightedCluster {
    WeightedCluster {
        weight,
        ..Forward::to(cluster).clusters.remove(0)
    }
}

pub(crate) const fn secs(secs: u64) -> Sourced<Duration> {
    Sourced::new(Duration::from_secs(secs), OriginId(9))
}

/// The route of `/cart`, to change it.
pub(crate) fn cart(draft: &mut SectionDraft) -> &mut Route {
    &mut draft.tables[0].virtual_hosts[0].routes[0]
}

/// What that route sends on, to change it.
pub(crate) fn cart_forward(draft: &mut SectionDraft) -> &mut Forward {
    match &mut cart(draft).action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Redirect(_) | RouteAction::Direct(_) => unreachable!("it is sent on"),
    }
}

pub(crate) fn cart_retry(draft: &mut SectionDraft) -> &mut RetryPolicy {
    cart_forward(draft).retry.as_mut().expect("it has retries")
}

/// What becomes of connections to port 80, to change it.
pub(crate) fn requests(draft: &mut SectionDraft) -> &mut HttpConnections {
    match &mut draft.listeners[0].chains[0].action {
        ChainAction::Http(http) => http,
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => {
            unreachable!("requests are read")
        }
    }
}

pub(crate) fn built(draft: SectionDraft) -> [Arc<Section>; 1] {
    [Arc::new(draft.build().expect("a section"))]
}

pub(crate) fn told(left: SectionDraft, right: SectionDraft) -> Comparison {
    told_with(left, right, &Options::default())
}

pub(crate) fn told_with(left: SectionDraft, right: SectionDraft, options: &Options) -> Comparison {
    let (left, right) = (built(left), built(right));
    let origin = |id: OriginId| match id {
        OriginId::NONE => String::new(),
        OriginId(nth) => format!("rule {nth}"),
    };
    let side = |sections| Side::new(sections, &origin, &Destination::of_cluster);
    compare(&side(&left), &side(&right), options)
}

/// What a change of the shop is told as: `what: left | right`.
pub(crate) fn changed(change: impl FnOnce(&mut SectionDraft)) -> Vec<String> {
    let mut other = shop();
    change(&mut other);
    said(&told(shop(), other))
}

pub(crate) fn said(comparison: &Comparison) -> Vec<String> {
    let differences = comparison.differences.iter();
    differences
        .map(|it| format!("{}: {} | {}", it.what, it.left.text, it.right.text))
        .collect()
}
