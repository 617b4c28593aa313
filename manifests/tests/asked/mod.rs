//! Manifests, and what the proxies that they describe decide for requests.

mod cluster;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{
    Destination, GatewayId, Input, MeshWish, Model, NodeRef, Place, Pod, Pods, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{
    ChainAction, DownstreamTransport, FilterChain, HttpConnections, HttpFilter, NodeConfig, Route,
    RouteAction, Section, TcpRoute,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::{Arrival, Peek, PeekedProtocol, TlsHello, select_chain};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::route::{
    Departure, RequestView, find_route_for, redirect_location, write_request, write_response,
};

/// Where clients of gateways are.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Whom a name stands for that is not of the cluster.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// Manifests, read.
pub(crate) struct World {
    model: Model,
    pods: Pods,
    origins: Origins,
    sources: Sources,
    problems: Diagnostics,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    tls: bool,
    host: String,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
}

/// A request by its method and `scheme://host/path`.
pub(crate) fn ask(method: &'static str, url: &str) -> Ask {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ask {
        method,
        tls: scheme == "https",
        host: host.to_owned(),
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        headers: Vec::new(),
    }
}

pub(crate) fn get(url: &str) -> Ask {
    ask("GET", url)
}

impl Ask {
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn words(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let mut words = format!("{} {scheme}://{}{}", self.method, self.host, self.path);
        for (name, value) in &self.headers {
            let _ = write!(words, " [{name}: {value}]");
        }
        words
    }

    /// Host and port as they are dialled.
    fn target(&self) -> (&str, u16) {
        let usual = if self.tls { 443 } else { 80 };
        match self.host.split_once(':') {
            Some((host, port)) => (host, port.parse().expect("a port")),
            None => (&self.host, usual),
        }
    }
}

impl Heads for Ask {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }
    fn authority(&self, _: HeadId) -> &str {
        &self.host
    }
    fn path(&self, _: HeadId) -> &str {
        &self.path
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

/// A head as it leaves.
#[derive(Clone, PartialEq, Debug, Default)]
struct Sent {
    path: String,
    host: String,
    lines: Vec<(String, String)>,
}

impl HeadWriter for Sent {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }
    fn set_authority(&mut self, authority: &str) {
        authority.clone_into(&mut self.host);
    }
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }
    fn append(&mut self, name: &str, value: &str) {
        self.lines.push((name.to_owned(), value.to_owned()));
    }
    fn remove(&mut self, name: &str) {
        self.lines.retain(|(known, _)| known != name);
    }
    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
    fn first(&self, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter();
        let found = lines.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl World {
    /// Files by name and text, one layer each, without a mesh.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::with(files, MeshWish::None)
    }

    /// The same in a mesh, as `istio@1.29`.
    pub(crate) fn meshed(files: &[(&str, &str)], mesh: &str) -> Self {
        let (system, release) = mesh.split_once('@').expect("a release");
        let wish = MeshWish::Named {
            system: system.into(),
            release: Some(release.into()),
            span: Span::NOWHERE,
        };
        Self::with(files, wish)
    }

    fn with(files: &[(&str, &str)], mesh: MeshWish) -> Self {
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let layers: Vec<Layer> = files
            .iter()
            .map(|(name, text)| Layer::text(*name, *text))
            .collect();
        let input = Input {
            objects: load(&layers, &mut sources, &mut problems),
            mesh,
            ..Input::default()
        };
        let mut origins = Origins::default();
        let model = Model::build(input, &mut origins, &mut problems).expect("a model");
        let mut pods = Pods::new(model.workloads().len());
        for workload in model.workloads() {
            for nth in 0..workload.replicas {
                let ip = Ipv4Addr::new(10, 128, workload.id.0 as u8, nth as u8 + 1);
                pods.of_mut(workload.id).push(Pod {
                    ip: IpAddr::V4(ip),
                    name: format!("{}-{nth}", workload.name).into(),
                    place: Place::default(),
                    ready: true,
                    draining: false,
                    labels: None,
                });
            }
        }
        Self {
            model,
            pods,
            origins,
            sources,
            problems,
        }
    }

    /// Everything that people are told, a line each.
    pub(crate) fn lines(&self) -> String {
        self.problems.to_lines(&self.sources)
    }

    /// Who has a sidecar, and which gateways there are.
    pub(crate) fn proxies(&self) -> String {
        let mut out = String::new();
        for workload in self.model.workloads() {
            let why = workload
                .sidecar
                .as_ref()
                .map_or("no sidecar", |it| it.why.as_str());
            let _ = writeln!(out, "{}: {why}", workload.full_name());
        }
        for facts in self.model.gateways() {
            let listens = facts.listens.iter().map(|it| {
                let tls = if it.tls { " TLS" } else { "" };
                format!("{} to {}{tls}", it.port, it.bound)
            });
            let listens: Vec<String> = listens.collect();
            let _ = writeln!(
                out,
                "gateway {} of {} listens on {} for {}",
                facts.name,
                facts.dialect,
                listens.join(", "),
                facts.hosts.join(" ")
            );
        }
        out
    }

    /// What becomes of requests, and at the end what they are sent to.
    pub(crate) fn asked(&self) -> Told<'_> {
        Told {
            world: self,
            out: String::new(),
            met: BTreeMap::new(),
        }
    }

    fn sidecar(&self, workload: &str) -> (WorkloadId, Arc<NodeConfig>) {
        let mut all = self.model.workloads().iter();
        let id = all.find(|it| &*it.name == workload).expect(workload).id;
        let node = NodeRef::Sidecar(id);
        let config = self.model.config(node, &Place::default(), &self.pods);
        (id, config.expect("a sidecar"))
    }

    fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    fn sourced<T: std::fmt::Display>(&self, value: &Sourced<T>) -> String {
        format!("{} ({})", value.value, self.origin(value.origin))
    }
}

/// What becomes of requests.
pub(crate) struct Told<'a> {
    world: &'a World,
    out: String,
    /// Each cluster that a request may be sent to, described.
    met: BTreeMap<String, String>,
}

/// Where a connection arrives.
struct Way {
    arrival: Arrival,
    at: SocketAddr,
    edge: bool,
}

impl Told<'_> {
    /// The proxy of a workload is sent this by its application.
    pub(crate) fn from(mut self, workload: &str, ask: &Ask) -> Self {
        let _ = writeln!(self.out, "\n{workload} asks {}", ask.words());
        let (id, config) = self.world.sidecar(workload);
        let way = Way {
            arrival: Arrival::Outbound,
            at: self.destination(id, ask),
            edge: false,
        };
        self.arrives(&config, &way, ask, Hello::of(ask));
        self
    }

    /// The proxy of a workload is sent this by another, at a port; `meshed`: by another proxy of the mesh.
    pub(crate) fn into(mut self, workload: &str, port: u16, meshed: bool, ask: &Ask) -> Self {
        let how = if meshed { "another proxy" } else { "plaintext" };
        let _ = writeln!(
            self.out,
            "\n{workload}:{port} is asked by {how} {}",
            ask.words()
        );
        let (id, config) = self.world.sidecar(workload);
        let workload = &self.world.model.workloads()[id.index()];
        let facts = workload.sidecar.as_ref().expect("a sidecar");
        let way = Way {
            arrival: Arrival::Inbound,
            at: SocketAddr::new(self.world.pods.of(id)[0].ip, port),
            edge: false,
        };
        let hello = Hello {
            sni: meshed.then(|| facts.identity.to_string()),
            alpn: if meshed { &["istio"] } else { &[] },
            bytes: false,
        };
        self.arrives(&config, &way, ask, hello);
        self
    }

    /// A client dials the gateway, at the port that the URL says.
    pub(crate) fn at(mut self, gateway: &str, ask: &Ask) -> Self {
        let _ = writeln!(self.out, "\n{gateway} is asked {}", ask.words());
        let gateways = self.world.model.gateways();
        let nth = gateways.iter().position(|it| &*it.name == gateway);
        let nth = nth.unwrap_or_else(|| panic!("{}", self.world.proxies()));
        let node = NodeRef::Gateway(GatewayId(nth as u32));
        let config = self
            .world
            .model
            .config(node, &Place::default(), &self.world.pods)
            .expect("served");
        let (_, port) = ask.target();
        let mut listens = gateways[nth].listens.iter();
        let bound = listens
            .find(|it| it.port == port)
            .map_or(port, |it| it.bound);
        let way = Way {
            arrival: Arrival::Dialled,
            at: SocketAddr::from(([127, 0, 0, 1], bound)),
            edge: true,
        };
        self.arrives(&config, &way, ask, Hello::of(ask));
        self
    }

    /// The proxy of a workload carries bytes that are not requests to a host and port.
    pub(crate) fn carries(mut self, workload: &str, to: &str) -> Self {
        let _ = writeln!(self.out, "\n{workload} connects to {to}");
        let (id, config) = self.world.sidecar(workload);
        let ask = get(&format!("http://{to}/"));
        let way = Way {
            arrival: Arrival::Outbound,
            at: self.destination(id, &ask),
            edge: false,
        };
        let hello = Hello {
            bytes: true,
            ..Hello::of(&ask)
        };
        self.arrives(&config, &way, &ask, hello);
        self
    }

    /// A client's bytes that are not requests arrive at a port of a gateway's pods; `name`: with TLS for this server name.
    pub(crate) fn connects(mut self, gateway: &str, port: u16, name: Option<&str>) -> Self {
        let how = name.map_or_else(|| "bytes".to_owned(), |it| format!("TLS for {it}"));
        let _ = writeln!(self.out, "\n{gateway} is sent {how} at {port}");
        let mut gateways = self.world.model.gateways().iter();
        let nth = gateways.position(|it| &*it.name == gateway).expect(gateway);
        let config = self
            .world
            .model
            .config(
                NodeRef::Gateway(GatewayId(nth as u32)),
                &Place::default(),
                &self.world.pods,
            )
            .expect("served");
        let way = Way {
            arrival: Arrival::Dialled,
            at: SocketAddr::from(([127, 0, 0, 1], port)),
            edge: true,
        };
        let hello = Hello {
            sni: name.map(str::to_owned),
            alpn: &[],
            bytes: true,
        };
        self.arrives(&config, &way, &get("http://anything/"), hello);
        self
    }

    /// Everything, with what requests may be sent to.
    pub(crate) fn told(self) -> String {
        let mut out = self.out;
        out.push_str("\n--- where they go ---\n");
        for text in self.met.values() {
            out.push_str(text);
        }
        out
    }

    fn destination(&self, caller: WorkloadId, ask: &Ask) -> SocketAddr {
        let model = &self.world.model;
        let namespace = &model.workloads()[caller.index()].namespace;
        let (host, port) = ask.target();
        let found = model
            .directory()
            .resolve(model.services(), namespace, host, port);
        match found {
            Some(Destination::Service(it)) => it.address,
            Some(Destination::Outside(all)) => all[0],
            Some(Destination::Headless { .. }) => panic!("one of its pods is dialled: which?"),
            None => SocketAddr::new(OUTSIDE, port),
        }
    }

    fn arrives(&mut self, config: &NodeConfig, way: &Way, ask: &Ask, hello: Hello) {
        let of = |section: &Arc<Section>| section.listener(way.arrival, way.at);
        let rest = |section: &Arc<Section>| section.rest_listener(way.arrival);
        let mut sections = config.sections.iter();
        let exact = sections.find_map(|it| Some((it.clone(), of(it)?)));
        let mut sections = config.sections.iter();
        let found = exact.or_else(|| sections.find_map(|it| Some((it.clone(), rest(it)?))));
        let Some((section, at)) = found else {
            self.out.push_str("  nobody listens\n");
            return;
        };
        let listener = &section.listeners()[at as usize];
        let chain = hello.select(listener, way.at);
        let Some(chain) = chain else {
            let _ = writeln!(self.out, "  {} closes it: no chain takes it", listener.name);
            return;
        };
        let transport = match &chain.transport {
            DownstreamTransport::Plaintext => "",
            DownstreamTransport::Tls { mutual: false, .. } => ", TLS ends",
            DownstreamTransport::Tls { mutual: true, .. } => ", mutual TLS ends",
        };
        let by = self.world.origin(chain.origin);
        let _ = writeln!(
            self.out,
            "  taken by listener {}{transport} ({by})",
            listener.name
        );
        self.chain(&section, chain, way, ask);
    }

    fn chain(&mut self, section: &Section, chain: &FilterChain, way: &Way, ask: &Ask) {
        match &chain.action {
            ChainAction::Http(http) => self.request(section, http, way, ask),
            ChainAction::Tcp(tcp) => self.bytes(section, tcp),
            ChainAction::Close(reason) => {
                let _ = writeln!(self.out, "  closed: {reason:?}");
            }
            ChainAction::Udp(_) => self.out.push_str("  datagrams\n"),
        }
    }

    fn bytes(&mut self, section: &Section, tcp: &TcpRoute) {
        let by = self.world.origin(tcp.origin);
        let _ = writeln!(self.out, "  carried as bytes ({by})");
        let all: u32 = tcp.clusters.iter().map(|(_, weight)| weight).sum();
        for (at, weight) in &tcp.clusters {
            let cluster = &section.clusters()[at.0 as usize];
            let share = words::share_of(*weight, all);
            let _ = writeln!(self.out, "    {share}to [{}]", cluster.name);
            self.meet(cluster);
        }
        if let Some(idle) = &tcp.idle_timeout {
            let _ = writeln!(self.out, "    silent for {}", self.world.sourced(idle));
        }
    }

    fn request(&mut self, section: &Section, http: &HttpConnections, way: &Way, ask: &Ask) {
        self.filters(http);
        let Some(host) = section.virtual_host(http.table, &ask.host) else {
            self.out.push_str("  404: no virtual host takes it\n");
            return;
        };
        let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
        let view = RequestView {
            heads: ask,
            head: HeadId(0),
            edge: way.edge,
        };
        let found = find_route_for(host, view, Some(CLIENT), DrawKey::root(1));
        let Some(found) = found else {
            let _ = writeln!(self.out, "  404: no route of {} takes it", host.name);
            return;
        };
        let route = &host.routes[found as usize];
        let by = self.world.origin(route.origin);
        let _ = writeln!(self.out, "  by {} ({by})", words::route(route));
        self.route(section, route, view, ask);
    }

    fn filters(&mut self, http: &HttpConnections) {
        for filter in &http.filters {
            match filter {
                HttpFilter::Fault(Some(fault)) => {
                    let text = self.world.fault(fault);
                    let _ = writeln!(self.out, "  {text}");
                }
                HttpFilter::LocalRateLimit(Some(limit)) => {
                    let by = self.world.origin(limit.origin);
                    let _ = writeln!(self.out, "  limited by {} ({by})", limit.name);
                }
                HttpFilter::Fault(None) | HttpFilter::LocalRateLimit(None) | HttpFilter::Cors => {}
            }
        }
        let silence = http.stream_idle_timeout.as_ref();
        let whole = http.max_stream_duration.as_ref();
        for (what, bound) in [("silence", silence), ("stream", whole)] {
            if let Some(bound) = bound {
                let _ = writeln!(self.out, "  {what} at most {}", self.world.sourced(bound));
            }
        }
    }

    fn route(&mut self, section: &Section, route: &Route, view: RequestView<'_, Ask>, ask: &Ask) {
        for gate in &route.gates {
            let text = self.world.gate(gate);
            let _ = writeln!(self.out, "    {text}");
        }
        if let Some(fault) = &route.fault {
            let text = self.world.fault(fault);
            let _ = writeln!(self.out, "    {text}");
        }
        match &route.action {
            RouteAction::Direct(direct) => {
                let body = &direct.body;
                let _ = writeln!(self.out, "    answered {} {body:?}", direct.status);
            }
            RouteAction::Redirect(redirect) => {
                let scheme = if ask.tls { "https" } else { "http" };
                let to = redirect_location(route, redirect, scheme, view);
                let _ = writeln!(self.out, "    redirected with {} to {to}", redirect.status);
            }
            RouteAction::Forward(forward) => {
                let text = self.world.forward(forward, section);
                self.out.push_str(&text);
                for (nth, leg) in forward.clusters.iter().enumerate() {
                    let leaves = leaves(route, view, ask, nth);
                    if nth == 0 || leaves != self::leaves(route, view, ask, 0) {
                        let whom = if nth == 0 { "" } else { "of the other share, " };
                        let _ = writeln!(self.out, "    {whom}sent as {leaves}");
                    }
                    let answered = answered(route, nth);
                    if nth == 0 && !answered.is_empty() {
                        let _ = writeln!(self.out, "    answered with {answered}");
                    }
                    if let Some(at) = leg.cluster {
                        self.meet(&section.clusters()[at.0 as usize]);
                    }
                }
                for mirror in &forward.mirrors {
                    self.meet(&section.clusters()[mirror.cluster.0 as usize]);
                }
            }
        }
    }

    fn meet(&mut self, cluster: &proxy_core::config::Cluster) {
        let text = self.world.cluster(cluster);
        let before = self.met.insert(cluster.name.to_string(), text.clone());
        let told = before.is_none_or(|before| before == text);
        assert!(told, "two clusters are called {}", cluster.name);
    }
}

/// How a connection begins.
struct Hello {
    sni: Option<String>,
    alpn: &'static [&'static str],
    bytes: bool,
}

impl Hello {
    fn of(ask: &Ask) -> Self {
        let (host, _) = ask.target();
        Self {
            sni: ask.tls.then(|| host.to_owned()),
            alpn: if ask.tls { &["h2", "http/1.1"] } else { &[] },
            bytes: false,
        }
    }

    fn select<'a>(
        &self,
        listener: &'a proxy_core::config::Listener,
        at: SocketAddr,
    ) -> Option<&'a FilterChain> {
        let tls = self.sni.as_deref().map(|sni| TlsHello {
            sni: Some(sni),
            alpn: self.alpn,
        });
        let protocol = match (&tls, self.bytes) {
            (None, false) => PeekedProtocol::Http1,
            (None, true) | (Some(_), _) => PeekedProtocol::Unknown,
        };
        let chosen = select_chain(listener, at, Some(&Peek { tls, protocol }))?;
        Some(&listener.chains[chosen as usize])
    }
}

/// The head that leaves toward a share of the route, where it differs from the one that came.
fn leaves(route: &Route, view: RequestView<'_, Ask>, ask: &Ask, weighted: usize) -> String {
    let lines = ask.headers.iter();
    let lines = lines.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut sent = Sent {
        path: ask.path.clone(),
        host: ask.host.clone(),
        lines: lines.collect(),
    };
    let departure = Departure {
        weighted,
        endpoint_host: "the-endpoint",
        ..Departure::PLAIN
    };
    write_request(route, view, departure, &mut sent);
    let mut out = format!("{}{}", sent.host, sent.path);
    for (name, value) in &sent.lines {
        let mut came = ask.headers.iter();
        let as_it_came = came.any(|(known, was)| *known == *name && *was == *value);
        if !as_it_came {
            let _ = write!(out, " +{name}: {value}");
        }
    }
    for (name, _) in ask.headers.iter().filter(|(name, _)| !sent.has(name)) {
        let _ = write!(out, " -{name}");
    }
    out
}

/// The headers that an answer of `server: app` has afterwards.
fn answered(route: &Route, weighted: usize) -> String {
    let mut head = Sent::default();
    head.append("server", "app");
    write_response(route, weighted, &mut head);
    if head.lines == [("server".to_owned(), "app".to_owned())] {
        return String::new();
    }
    let lines = head.lines.iter();
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join(", ")
}
