//! Manifests, and what becomes of requests there.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, Cluster, ClusterIndex, FilterChain, Forward, HttpConnections, NodeConfig, Route,
    RouteAction, Section, ServerName, TableIndex,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::Arrival;
use proxy_core::route::{
    Departure, RequestView, find_route_for, redirect_location, write_request, write_response,
};

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, load};
use crate::model::{GatewayId, GatewayOverride, Input, MeshWish, Model, NodeRef, Place, Pods};
use crate::origins::Origins;
use crate::text::Sources;

/// Services `a` (80, to 8080) and `b` (80, named `web`, and 81) of `shop`, and one without an address.
pub(super) const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {selector: {app: b}, ports: [{name: web, port: 80, targetPort: 8080}, {name: alt, port: 81, targetPort: 8081}]}
---
apiVersion: v1
kind: Service
metadata: {name: c, namespace: shop}
spec: {clusterIP: None, selector: {app: c}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
";

/// An Ingress of class nginx in `shop`. Lines of `rules` are paths as `host path type service`.
pub(super) fn ingress(name: &str, annotations: &[(&str, &str)], rules: &[&str]) -> String {
    ingress_with(name, annotations, rules, "")
}

/// The same with more of its specification.
pub(super) fn ingress_with(
    name: &str,
    annotations: &[(&str, &str)],
    rules: &[&str],
    more: &str,
) -> String {
    let mut out = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n"
    );
    if !annotations.is_empty() {
        out.push_str("  annotations:\n");
    }
    for (key, value) in annotations {
        let key = match key.contains('/') {
            true => (*key).to_owned(),
            false => format!("nginx.ingress.kubernetes.io/{key}"),
        };
        out.push_str(&format!("    {key}: {value:?}\n"));
    }
    out.push_str("spec:\n  ingressClassName: nginx\n");
    out.push_str(more);
    if !rules.is_empty() {
        out.push_str("  rules:\n");
    }
    for rule in rules {
        let words: Vec<&str> = rule.split(' ').collect();
        let [host, path, kind, service] = words[..] else {
            panic!("{rule}");
        };
        let host = match host {
            "*" => String::new(),
            host => format!("host: {host:?}, "),
        };
        let kind = match kind {
            "any" => "ImplementationSpecific",
            "exact" => "Exact",
            _ => "Prefix",
        };
        out.push_str(&format!(
            "  - {{{host}http: {{paths: [{{path: '{path}', pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}\n"
        ));
    }
    out
}

/// A ConfigMap of the controller.
pub(super) fn settings(data: &[(&str, &str)]) -> String {
    let data: String = data
        .iter()
        .map(|(key, value)| format!("  {key}: {value:?}\n"))
        .collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ingress-nginx-controller, namespace: ingress-nginx}}\ndata:\n{data}"
    )
}

/// A controller's Deployment with these arguments.
pub(super) fn controller(args: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: ingress-nginx-controller, namespace: ingress-nginx}}\nspec:\n  selector: \
         {{matchLabels: {{app: ingress}}}}\n  template:\n    metadata: {{labels: {{app: ingress}}}}\n    spec:\n      containers:\n      - name: \
         controller\n        image: registry.k8s.io/ingress-nginx/controller:v1.15.0\n        args: [/nginx-ingress-controller, {args}]\n"
    )
}

pub(super) struct Built {
    pub(super) model: Model,
    pub(super) problems: Diagnostics,
    pub(super) origins: Origins,
    pub(super) sources: Sources,
}

pub(super) fn build(parts: &[String]) -> Built {
    build_over(parts, &[])
}

/// With gateways of the scenario, as `target kind`.
pub(super) fn build_over(parts: &[String], over: &[(&str, &str)]) -> Built {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let mut all = vec![SERVICES.to_owned()];
    all.extend_from_slice(parts);
    let layers = [Layer::text("edge.yaml", all.join("---\n"))];
    let objects = load(&layers, &mut sources, &mut problems);
    let overrides = over.iter().map(|(target, kind)| GatewayOverride {
        target: (*target).into(),
        kind: Some((*kind).into()),
        ..GatewayOverride::default()
    });
    let input = Input {
        objects,
        mesh: MeshWish::None,
        overrides: overrides.collect(),
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut problems).expect("a model");
    Built {
        model,
        problems,
        origins,
        sources,
    }
}

/// One Ingress `web` with these annotations and a path `/` to `a`.
pub(super) fn annotated(annotations: &[(&str, &str)]) -> Built {
    build(&[ingress("web", annotations, &["a.example.com / prefix a"])])
}

/// The same beside other objects.
pub(super) fn annotated_with(annotations: &[(&str, &str)], others: &[String]) -> Built {
    let mut parts = vec![ingress("web", annotations, &["a.example.com / prefix a"])];
    parts.extend_from_slice(others);
    build(&parts)
}

/// A request.
#[derive(Clone, Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) tls: bool,
    pub(super) client: Option<std::net::IpAddr>,
}

pub(super) fn get<'a>(host: &'a str, path: &'a str) -> Ask<'a> {
    Ask {
        method: "GET",
        host,
        path,
        ..Ask::default()
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
        0
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

/// A head as it leaves.
#[derive(Default)]
pub(super) struct Sent {
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
    pub(super) fn config(&self) -> Arc<NodeConfig> {
        self.config_of(0)
    }

    pub(super) fn config_of(&self, gateway: u32) -> Arc<NodeConfig> {
        let place = Place {
            locality: "".into(),
            node: "".into(),
        };
        let node = NodeRef::Gateway(GatewayId(gateway));
        let config = self.model.config(node, &place, &Pods::listed());
        config.unwrap_or_else(|| panic!("it is served\n{}", self.lines()))
    }

    /// Every problem, one a line.
    pub(super) fn lines(&self) -> String {
        self.problems.to_lines(&self.sources)
    }

    /// The codes of problems, without what is only listed or assumed of the controller itself.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let all = self.problems.sorted();
        let codes = all.iter().map(|it| it.code);
        codes
            .filter(|code| *code != "nginx::assumed-pods")
            .collect()
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.codes().contains(&code)
    }

    pub(super) fn origin(&self, id: proxy_core::origin::OriginId) -> String {
        self.origins.text(id, &self.sources)
    }

    /// The chain that takes a connection.
    pub(super) fn chain(&self, port: u16, sni: &str) -> FilterChain {
        let config = self.config();
        let section = &config.sections[0];
        let at = SocketAddr::new([127, 0, 0, 1].into(), port);
        let listener = section.listener(Arrival::Dialled, at).expect("a listener");
        let chains = &section.listeners()[listener as usize].chains;
        let weight = |chain: &&FilterChain| {
            let names = chain.matches.server_names.iter();
            let fits = names.map(|name| match name {
                ServerName::Exact(name) => (**name == *sni).then_some(1000),
                ServerName::Suffix(suffix) => sni.ends_with(&**suffix).then_some(suffix.len()),
            });
            let any = chain.matches.server_names.is_empty().then_some(0);
            fits.flatten().max().or(any)
        };
        let fitting = chains.iter().filter(|chain| weight(chain).is_some());
        fitting
            .max_by_key(weight)
            .expect("one for all other names")
            .clone()
    }

    pub(super) fn http(&self, tls: bool) -> HttpConnections {
        let chain = self.chain(if tls { 443 } else { 80 }, "");
        match chain.action {
            ChainAction::Http(http) => *http,
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => {
                panic!("no requests")
            }
        }
    }

    /// The route that takes a request.
    pub(super) fn route(&self, ask: &Ask<'_>) -> Option<Route> {
        let config = self.config();
        let section = &config.sections[0];
        taken(section, self.http(ask.tls).table, ask).cloned()
    }

    /// How a request is sent on.
    pub(super) fn forward(&self, ask: &Ask<'_>) -> Forward {
        let route = self.route(ask).expect("a route");
        match route.action {
            RouteAction::Forward(forward) => *forward,
            RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("{:?}", route.action),
        }
    }

    pub(super) fn cluster(&self, ask: &Ask<'_>) -> Cluster {
        let index = self.forward(ask).clusters[0].cluster.expect("a cluster");
        self.config().sections[0].clusters()[index.0 as usize]
            .as_ref()
            .clone()
    }

    /// What becomes of a request, in words.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> String {
        let Some(route) = self.route(ask) else {
            return "no route".to_owned();
        };
        let view = view(ask);
        match &route.action {
            RouteAction::Direct(direct) => direct.status.to_string(),
            RouteAction::Redirect(redirect) => {
                let scheme = if ask.tls { "https" } else { "http" };
                let to = redirect_location(&route, redirect, scheme, view);
                format!("{} {to}", redirect.status)
            }
            RouteAction::Forward(forward) => {
                let config = self.config();
                let clusters = config.sections[0].clusters();
                let name = |index: ClusterIndex| clusters[index.0 as usize].name.to_string();
                let shares = forward.clusters.iter().map(|weighted| {
                    let name = weighted.cluster.map_or_else(String::new, name);
                    match forward.clusters.len() {
                        1 => name,
                        _ => format!("{name}*{}", weighted.weight),
                    }
                });
                let mut said = shares.collect::<Vec<_>>().join(" ");
                let sent = sent(&route, ask);
                if sent.path != ask.path || sent.host != ask.host {
                    said.push_str(&format!(" as {}{}", sent.host, sent.path));
                }
                said
            }
        }
    }

    /// The headers that a request leaves with beyond its own.
    pub(super) fn request_headers(&self, ask: &Ask<'_>) -> Vec<String> {
        let route = self.route(ask).expect("a route");
        let lines = sent(&route, ask).lines;
        let own = |(name, value): &(String, String)| {
            ask.headers.contains(&(name.as_str(), value.as_str()))
        };
        let more = lines.iter().filter(|line| !own(line));
        more.map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    /// The headers that an answer leaves with.
    pub(super) fn response_headers(&self, ask: &Ask<'_>) -> Vec<String> {
        let route = self.route(ask).expect("a route");
        let mut out = Sent::default();
        write_response(&route, 0, &mut out);
        let lines = out.lines.iter();
        lines
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }
}

fn view<'a>(ask: &'a Ask<'a>) -> RequestView<'a, Ask<'a>> {
    RequestView {
        heads: ask,
        head: HeadId(0),
        edge: true,
    }
}

fn sent(route: &Route, ask: &Ask<'_>) -> Sent {
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
        ..Departure::PLAIN
    };
    write_request(route, view(ask), departure, &mut sent);
    sent
}

fn taken<'s>(section: &'s Section, table: TableIndex, ask: &Ask<'_>) -> Option<&'s Route> {
    let number = section.virtual_host(table, ask.host)?;
    let host = &section.tables()[table.0 as usize].virtual_hosts[number as usize];
    let route = find_route_for(host, view(ask), ask.client, DrawKey::root(1))?;
    Some(&host.routes[route as usize])
}
