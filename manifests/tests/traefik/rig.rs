//! Manifests, and what becomes of requests there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, Objects};
use manifests::model::{GatewayId, Input, MeshWish, Model, NodeRef, Place, Pods};
use manifests::origins::Origins;
use manifests::text::Sources;
use proxy_core::config::{
    ChainAction, Cluster, ClusterIndex, DownstreamTransport, FilterChain, Forward, Listener,
    NodeConfig, Route, RouteAction, Section, ServerName, TransportProtocol,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::route::{
    Departure, RequestView, find_route_for, redirect_location, write_request, write_response,
};

/// Services `a`, `b` and `secure` of namespace `default`, and `c` of `other`.
const BASE: &str = "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: web, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: b}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: secure}
spec: {selector: {app: secure}, ports: [{name: https-api, port: 8443}, {name: tls, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: a}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: c, namespace: other}
spec: {selector: {app: c}, ports: [{port: 80}]}
";

pub(crate) struct Built {
    pub(crate) model: Model,
    pub(crate) problems: Diagnostics,
    sources: Sources,
    origins: Origins,
}

/// An IngressRoute `web` with these routes, each a mapping of YAML's flow style.
pub(crate) fn routes(routes: &[&str]) -> String {
    object(
        "IngressRoute",
        "web",
        &format!("routes:\n- {}", routes.join("\n- ")),
    )
}

/// A route by its rule to Service `a`.
pub(crate) fn to_a(rule: &str) -> String {
    format!("{{match: '{rule}', services: [{{name: a, port: 80}}]}}")
}

/// A route by its rule to Service `b`.
pub(crate) fn to_b(rule: &str) -> String {
    to_a(rule).replace("name: a", "name: b")
}

/// An object of Traefik's.
pub(crate) fn object(kind: &str, name: &str, spec: &str) -> String {
    let spec = spec.trim().replace('\n', "\n  ");
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    )
}

/// A route for everything to `a`, through these middlewares, each of which is called by its number from 0.
pub(crate) fn through(specs: &[&str]) -> Built {
    let names: Vec<String> = (0..specs.len())
        .map(|nth| format!("{{name: m{nth}}}"))
        .collect();
    let route = format!(
        "{{match: 'PathPrefix(`/`)', middlewares: [{}], services: [{{name: a, port: 80}}]}}",
        names.join(", ")
    );
    let mut all = vec![routes(&[&route])];
    for (nth, spec) in specs.iter().enumerate() {
        all.push(object("Middleware", &format!("m{nth}"), spec));
    }
    build(&all)
}

/// Traefik's own Deployment and Service, started with these arguments.
pub(crate) fn started(args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: traefik, namespace: edge}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: traefik}}}}\n  \
         template:\n    metadata: {{labels: {{app: traefik}}}}\n    spec:\n      containers:\n      - {{name: traefik, image: 'traefik:v3.7.9', args: [{}]}}\n",
        args.join(", ")
    )
}

pub(crate) fn build(parts: &[String]) -> Built {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let mut objects = Objects::default();
    let mut all = vec![BASE.to_owned()];
    all.extend_from_slice(parts);
    let layer = Layer::text("traefik.yaml", all.join("\n---\n"));
    objects.apply(&layer, &mut sources, &mut problems);
    let input = Input {
        objects,
        mesh: MeshWish::None,
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut problems).expect("a model");
    Built {
        model,
        problems,
        sources,
        origins,
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) client: &'a str,
    pub(crate) tls: bool,
}

pub(crate) fn get<'a>(host: &'a str, path: &'a str) -> Ask<'a> {
    Ask {
        method: "GET",
        host,
        path,
        headers: &[],
        client: "203.0.113.9",
        tls: false,
    }
}

pub(crate) fn over_tls<'a>(host: &'a str, path: &'a str) -> Ask<'a> {
    Ask {
        tls: true,
        ..get(host, path)
    }
}

impl Heads for Ask<'_> {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }
    fn authority(&self, _: HeadId) -> &str {
        self.host
    }
    fn path(&self, _: HeadId) -> &str {
        self.path
    }
    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

/// A head as it leaves.
#[derive(Clone, Default)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) lines: Vec<(String, String)>,
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
        self.lines.retain(|(key, _)| key != name);
    }
    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
    fn first(&self, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter();
        lines
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Built {
    pub(crate) fn config(&self) -> Arc<NodeConfig> {
        let node = NodeRef::Gateway(GatewayId(0));
        let config = self.model.config(node, &Place::default(), &Pods::listed());
        config.unwrap_or_else(|| panic!("no Traefik\n{}", self.lines()))
    }

    pub(crate) fn section(&self) -> Arc<Section> {
        self.config().sections[0].clone()
    }

    pub(crate) fn lines(&self) -> String {
        self.problems.to_lines(&self.sources)
    }

    pub(crate) fn rendered(&self) -> String {
        self.problems.render(&self.sources)
    }

    pub(crate) fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    pub(crate) fn listener(&self, port: u16) -> Option<Listener> {
        let section = self.section();
        let at = SocketAddr::new([127, 0, 0, 1].into(), port);
        let at = section.listener(Arrival::Dialled, at)?;
        Some(section.listeners()[at as usize].clone())
    }

    /// The chain of a port that takes a connection, by its server name where it has TLS.
    pub(crate) fn chain(&self, port: u16, tls: bool, name: &str) -> Option<FilterChain> {
        let listener = self.listener(port)?;
        let wanted = if tls {
            TransportProtocol::Tls
        } else {
            TransportProtocol::Raw
        };
        let fits = |chain: &&FilterChain| -> Option<usize> {
            if chain.matches.transport.is_some_and(|it| it != wanted) {
                return None;
            }
            let names = &chain.matches.server_names;
            if names.is_empty() {
                return Some(0);
            }
            let fitting = names.iter().filter_map(|it| match it {
                ServerName::Exact(it) => (**it == *name).then_some(1_000),
                ServerName::Suffix(it) => name.ends_with(&**it).then_some(it.len()),
            });
            fitting.max()
        };
        let chains = listener.chains.iter().filter(|chain| fits(chain).is_some());
        chains.max_by_key(|chain| fits(chain)).cloned()
    }

    /// The route that takes a request to the entry point of its scheme.
    pub(crate) fn route(&self, ask: &Ask<'_>) -> Option<Route> {
        let port = if ask.tls { 8443 } else { 8000 };
        self.route_at(port, ask)
    }

    pub(crate) fn route_at(&self, port: u16, ask: &Ask<'_>) -> Option<Route> {
        let section = self.section();
        let name = ask.host.split(':').next().unwrap_or_default();
        let chain = self.chain(port, ask.tls, name)?;
        let ChainAction::Http(http) = &chain.action else {
            panic!("no requests: {:?}", chain.action)
        };
        let host = section.virtual_host(http.table, ask.host)?;
        let host = &section.tables()[http.table.0 as usize].virtual_hosts[host as usize];
        let client: IpAddr = ask.client.parse().expect("an address");
        let found = find_route_for(host, view(ask), Some(client), DrawKey::root(1))?;
        Some(host.routes[found as usize].clone())
    }

    pub(crate) fn forward(&self, ask: &Ask<'_>) -> Forward {
        let route = self
            .route(ask)
            .unwrap_or_else(|| panic!("404\n{}", self.lines()));
        match route.action {
            RouteAction::Forward(forward) => *forward,
            RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("not sent on"),
        }
    }

    pub(crate) fn cluster(&self, at: ClusterIndex) -> Cluster {
        (*self.section().clusters()[at.0 as usize]).clone()
    }

    /// The one cluster of a request.
    pub(crate) fn only_cluster(&self, ask: &Ask<'_>) -> Cluster {
        self.cluster(self.forward(ask).clusters[0].cluster.expect("a cluster"))
    }

    /// What becomes of a request, in words.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> String {
        let port = if ask.tls { 8443 } else { 8000 };
        self.ask_at(port, ask)
    }

    pub(crate) fn ask_at(&self, port: u16, ask: &Ask<'_>) -> String {
        let Some(route) = self.route_at(port, ask) else {
            return "404".to_owned();
        };
        match &route.action {
            RouteAction::Direct(direct) => direct.status.to_string(),
            RouteAction::Redirect(redirect) => {
                let scheme = if ask.tls { "https" } else { "http" };
                let to = redirect_location(&route, redirect, scheme, view(ask));
                format!("{} {to}", redirect.status)
            }
            RouteAction::Forward(forward) => {
                let shares = forward.clusters.iter().map(|weighted| {
                    let at = weighted.cluster.expect("a cluster");
                    let name = self.cluster(at).name.to_string();
                    let name = name.replace("default/", "");
                    match forward.clusters.len() {
                        1 => name,
                        _ => format!("{name}*{}", weighted.weight),
                    }
                });
                let mut said = shares.collect::<Vec<_>>().join(" ");
                let sent = self.sent(&route, ask);
                if sent.path != ask.path || sent.host != ask.host {
                    said.push_str(&format!(" as {}{}", sent.host, sent.path));
                }
                for (name, value) in &sent.lines {
                    if !ask.headers.contains(&(name, value)) {
                        said.push_str(&format!(" +{name}={value}"));
                    }
                }
                for (name, _) in ask.headers.iter().filter(|(name, _)| !sent.has(name)) {
                    said.push_str(&format!(" -{name}"));
                }
                said
            }
        }
    }

    fn sent(&self, route: &Route, ask: &Ask<'_>) -> Sent {
        let lines = ask.headers.iter();
        let mut sent = Sent {
            path: ask.path.to_owned(),
            host: ask.host.to_owned(),
            lines: lines
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let departure = Departure {
            tells: false,
            endpoint_host: "pod",
            ..Departure::PLAIN
        };
        write_request(route, view(ask), departure, &mut sent);
        sent
    }

    /// The headers of an answer of `200` with these, as the client sees them.
    pub(crate) fn answered(
        &self,
        ask: &Ask<'_>,
        headers: &[(&str, &str)],
    ) -> Vec<(String, String)> {
        let route = self.route(ask).expect("a route");
        let mut head = Sent::default();
        for (name, value) in headers {
            head.append(name, value);
        }
        write_response(&route, 0, &mut head);
        head.lines
    }
}

pub(crate) fn is_plain(chain: &FilterChain) -> bool {
    matches!(chain.transport, DownstreamTransport::Plaintext)
}

fn view<'a>(ask: &'a Ask<'a>) -> RequestView<'a, Ask<'a>> {
    RequestView {
        heads: ask,
        head: HeadId(0),
        edge: true,
    }
}
