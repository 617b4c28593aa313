//! What a configuration makes of a request, asked of the core by nobody but this file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use manifests::model::{GatewayId, Members, Model, Upstream, WorkloadId};
use proxy_core::config::{
    ChainAction, Domains, ListenerAddress, RouteAction, RouteTable, SectionDraft, WeightedCluster,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::route::{Departure, RequestView, find_route_for, redirect_location, write_request};
use proxy_core::time::Duration;

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Heads for Request {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }
    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }
    fn path(&self, _: HeadId) -> &str {
        &self.path
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.first(name)
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for Request {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }
    fn set_authority(&mut self, authority: &str) {
        authority.clone_into(&mut self.authority);
    }
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }
    fn append(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }
    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }
    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
    fn first(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Decision {
    /// It is sent on.
    Sent(Box<Sent>),
    /// It is answered: a status, and where a redirect leads.
    Answered(u16, String),
    /// Nothing takes it.
    Nothing,
}

/// What becomes of a request that is sent on.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sent {
    /// Shares in millionths by the labels and the port of whom they go to.
    pub(crate) to: BTreeMap<String, u32>,
    pub(crate) path: String,
    pub(crate) authority: String,
    /// Headers that are not about tracing or the proxies themselves.
    pub(crate) headers: Vec<(String, String)>,
    /// None and zero are the same.
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) per_try: Duration,
}

/// What a sidecar of a caller makes of a request to a Service's port.
pub(crate) fn of_caller(
    model: &Model,
    caller: WorkloadId,
    service: &str,
    port: u16,
    request: &Request,
) -> Decision {
    let part = model.outbound_part(caller).expect("a sidecar");
    let (draft, upstreams) = model.parts().nth(part).expect("its section");
    let service = model.services().iter().find(|it| it.full_name() == service);
    let ip = service
        .expect("the Service")
        .cluster_ip()
        .expect("an address");
    let at = SocketAddr::new(ip, port);
    let own = draft
        .listeners
        .iter()
        .find(|it| it.address == ListenerAddress::OutboundTo(at));
    let by_port = ListenerAddress::OutboundPort(port);
    let listener = own.or_else(|| draft.listeners.iter().find(|it| it.address == by_port));
    let chains = listener.into_iter().flat_map(|it| &it.chains);
    decide(model, draft, upstreams, chains, request)
}

/// What a gateway makes of a request to a port that clients dial.
pub(crate) fn of_gateway(
    model: &Model,
    gateway: GatewayId,
    port: u16,
    request: &Request,
) -> Decision {
    let part = model.served_part(gateway).expect("a section");
    let (draft, upstreams) = model.parts().nth(part).expect("its section");
    let listens = &model.gateways()[gateway.index()].listens;
    let bound = listens
        .iter()
        .find(|it| it.port == port)
        .map_or(port, |it| it.bound);
    let is_it = |address: ListenerAddress| matches!(address, ListenerAddress::Socket(at) if at.port() == bound);
    let listener = draft.listeners.iter().find(|it| is_it(it.address));
    let chains = listener.into_iter().flat_map(|it| &it.chains);
    decide(model, draft, upstreams, chains, request)
}

fn decide<'a>(
    model: &Model,
    draft: &'a SectionDraft,
    upstreams: &[Upstream],
    mut chains: impl Iterator<Item = &'a proxy_core::config::FilterChain>,
    request: &Request,
) -> Decision {
    let http = chains.find_map(|chain| match &chain.action {
        ChainAction::Http(http) => Some(http),
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
    });
    let Some(http) = http else {
        return Decision::Nothing;
    };
    let table: &RouteTable = &draft.tables[http.table.0 as usize];
    let domains = Domains::of(table).expect("domains stand once");
    let Some(host) = domains.virtual_host(&request.authority) else {
        return Decision::Nothing;
    };
    let host = &table.virtual_hosts[host as usize];
    let view = RequestView {
        heads: request,
        head: HeadId(0),
        edge: false,
    };
    let Some(at) = find_route_for(host, view, None, DrawKey::root(1)) else {
        return Decision::Nothing;
    };
    let route = &host.routes[at as usize];
    let forward = match &route.action {
        RouteAction::Redirect(redirect) => {
            let place = redirect_location(route, redirect, "http", view);
            return Decision::Answered(redirect.status, place);
        }
        RouteAction::Direct(answer) => {
            return match answer.status {
                // the same to clients, whoever says it
                404 => Decision::Nothing,
                status => Decision::Answered(status, String::new()),
            };
        }
        RouteAction::Forward(forward) => forward,
    };
    let total: u64 = forward.clusters.iter().map(|it| u64::from(it.weight)).sum();
    let mut to: BTreeMap<String, u32> = BTreeMap::new();
    for weighted in forward.clusters.iter().filter(|it| it.weight > 0) {
        let share = u64::from(weighted.weight) * 1_000_000 / total;
        let whom = whom(model, upstreams, weighted);
        *to.entry(whom).or_default() += u32::try_from(share).expect("a share");
    }
    let mut sent = request.clone();
    write_request(route, view, Departure::PLAIN, &mut sent);
    let mut headers = sent.headers;
    headers.retain(|(name, _)| !name.starts_with("x-envoy-"));
    headers.sort();
    let retry = forward
        .retry
        .as_deref()
        .filter(|it| !it.on.value.is_empty());
    let timeout = forward.timeout.value.unwrap_or_default();
    let per_try = retry.and_then(|it| it.per_try_timeout).map(|it| it.value);
    let per_try = per_try.filter(|each| timeout.is_zero() || *each < timeout);
    Decision::Sent(Box::new(Sent {
        to,
        path: sent.path,
        authority: sent.authority,
        headers,
        timeout,
        retries: retry.map_or(0, |it| it.retries.value),
        per_try: per_try.unwrap_or_default(),
    }))
}

/// Labels and port of the pods behind a destination, whatever Service stands for them.
fn whom(model: &Model, upstreams: &[Upstream], weighted: &WeightedCluster) -> String {
    let Some(cluster) = weighted.cluster else {
        return "nobody".to_owned();
    };
    match &upstreams[cluster.0 as usize].members {
        Members::Pods {
            service,
            port,
            labels,
        } => {
            let service = &model.services()[service.index()];
            let mut selector: BTreeMap<String, String> = BTreeMap::new();
            for (key, value) in service.selector.iter() {
                selector.insert(key.to_string(), value.to_string());
            }
            for (key, value) in labels {
                selector.insert(key.to_string(), value.to_string());
            }
            format!("{selector:?}:{port}")
        }
        Members::Address { service, port } => {
            let service = &model.services()[service.index()];
            let selector: BTreeMap<String, String> = service
                .selector
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect();
            format!("{selector:?}:{port}")
        }
        Members::Workloads { workloads, .. } => {
            let mut labels: BTreeMap<String, String> = BTreeMap::new();
            for id in workloads {
                for (key, value) in &model.workloads()[id.index()].labels {
                    labels.insert(key.to_string(), value.to_string());
                }
            }
            format!("{labels:?}")
        }
        Members::None
        | Members::Datagrams { .. }
        | Members::Fixed(_)
        | Members::Several(_)
        | Members::Ranked(_) => format!("{:?}", upstreams[cluster.0 as usize].members),
    }
}
