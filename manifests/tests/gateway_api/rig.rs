//! Manifests, and what becomes of requests there.

use std::net::SocketAddr;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, Objects};
use manifests::model::{Input, MeshWish, Model, NodeRef, Place, Pods, SidecarRules};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{
    ChainAction, ClusterIndex, FilterChain, NodeConfig, Route, RouteAction, Section, ServerName,
    TableIndex,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::Arrival;
use proxy_core::route::{Departure, RequestView, find_route, redirect_location, write_request};

/// A class, a namespace `shop` and one `other`, and Services in both that all have ports 80 and 81.
pub(crate) const BASE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: edge}
spec: {controllerName: example.com/edge}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tier: front}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {tier: back}}
";

pub(crate) fn service(namespace: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  selector: {{app: {name}}}\n  ports:\n  - \
         {{name: web, port: 80, targetPort: 8080{more}}}\n  - {{name: alt, port: 81, targetPort: 8081}}\n"
    )
}

/// A route of a Gateway for requests in the clear, with these rules.
pub(crate) fn with_rules(rules: &str) -> Built {
    build(&[gateway(HTTP), route("r", &format!("rules:\n{rules}"))])
}

/// A Gateway `shop/edge`; listeners as a flow sequence.
pub(crate) fn gateway(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: shop, generation: 3}}\nspec:\n  \
         gatewayClassName: edge\n  listeners: [{listeners}]\n"
    )
}

pub(crate) const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";

/// An HTTPRoute of `shop/edge`.
pub(crate) fn route(name: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: shop, generation: 7}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  {spec}\n"
    )
}

/// An HTTPRoute of one listener of `shop/edge`.
pub(crate) fn route_at(section: &str, name: &str, spec: &str) -> String {
    let at = format!("{{name: edge, sectionName: {section}}}");
    route(name, spec).replacen("{name: edge}", &at, 1)
}

/// A rule that sends everything to a Service.
pub(crate) fn to(service: &str) -> String {
    format!("rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]")
}

pub(crate) struct Built {
    pub(crate) model: Model,
    pub(crate) problems: Diagnostics,
    pub(crate) text: String,
}

pub(crate) fn build(parts: &[String]) -> Built {
    build_with(parts, MeshWish::None, &[])
}

pub(crate) fn build_with(parts: &[String], mesh: MeshWish, inject: &[&str]) -> Built {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let mut objects = Objects::default();
    let mut all = vec![BASE.to_owned()];
    for name in ["a", "b"] {
        all.push(service("shop", name, ""));
    }
    all.push(service("other", "c", ""));
    all.extend_from_slice(parts);
    let layer = Layer::text("edge.yaml", all.join("\n---\n"));
    objects.apply(&layer, &mut sources, &mut problems);
    let input = Input {
        objects,
        mesh,
        sidecars: SidecarRules {
            inject: inject.iter().map(|name| (*name).into()).collect(),
            skip: Vec::new(),
        },
        ..Input::default()
    };
    let model = Model::build(input, &mut Origins::default(), &mut problems).expect("a model");
    let text = problems.render(&sources);
    Built {
        model,
        problems,
        text,
    }
}

pub(crate) fn named(mesh: &str) -> MeshWish {
    MeshWish::Named {
        system: mesh.to_owned(),
        release: None,
        span: Span::NOWHERE,
    }
}

/// A request.
#[derive(Clone, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) seed: u64,
}

pub(crate) fn get<'a>(host: &'a str, path: &'a str) -> Ask<'a> {
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
    pub(crate) fn node(&self, node: NodeRef) -> std::sync::Arc<NodeConfig> {
        let place = Place {
            locality: "".into(),
            node: "".into(),
        };
        let config = self.model.config(node, &place, &Pods::listed());
        config.unwrap_or_else(|| panic!("it is served\n{}", self.text))
    }

    pub(crate) fn gateway(&self) -> std::sync::Arc<NodeConfig> {
        self.node(NodeRef::Gateway(manifests::model::GatewayId(0)))
    }

    /// What becomes of a request that comes over the chain of a server name (empty: in the clear).
    pub(crate) fn asked(&self, port: u16, sni: &str, ask: &Ask<'_>) -> String {
        let config = self.gateway();
        let at = SocketAddr::new([127, 0, 0, 1].into(), port);
        let section = &config.sections[0];
        let Some(listener) = section.listener(Arrival::Dialled, at) else {
            return "nothing listens".to_owned();
        };
        let listener = &section.listeners()[listener as usize];
        let Some(chain) = chain_for(&listener.chains, sni) else {
            return "closed".to_owned();
        };
        outcome(section, chain, ask)
    }

    /// Where datagrams to a port go.
    pub(crate) fn datagrams(&self, port: u16) -> String {
        let config = self.gateway();
        let at = SocketAddr::new([127, 0, 0, 1].into(), port);
        let section = &config.sections[0];
        let Some(listener) = section.listener(Arrival::Datagrams, at) else {
            return "nobody takes them".to_owned();
        };
        let chain = &section.listeners()[listener as usize].chains[0];
        outcome(section, chain, &Ask::default())
    }

    /// The same of a request in the clear to port 80.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> String {
        self.asked(80, "", ask)
    }

    pub(crate) fn has(&self, code: &str) -> bool {
        self.problems.codes().contains(code)
    }
}

fn chain_for<'a>(chains: &'a [FilterChain], sni: &str) -> Option<&'a FilterChain> {
    let weight = |chain: &FilterChain| -> Option<usize> {
        let names = &chain.matches.server_names;
        if names.is_empty() {
            return Some(0);
        }
        let fitting = names.iter().filter_map(|name| match name {
            ServerName::Exact(name) => (**name == *sni).then_some(1000),
            ServerName::Suffix(suffix) => sni.ends_with(&**suffix).then_some(suffix.len()),
        });
        fitting.max()
    };
    let fitting = chains.iter().filter(|chain| weight(chain).is_some());
    fitting.max_by_key(|chain| weight(chain))
}

fn shares(section: &Section, split: &[(ClusterIndex, u32)]) -> String {
    let names = split
        .iter()
        .map(|(index, weight)| format!("{}*{weight}", section.clusters()[index.0 as usize].name));
    names.collect::<Vec<_>>().join(" ")
}

/// What a chain does with a request, in words.
pub(crate) fn outcome(section: &Section, chain: &FilterChain, ask: &Ask<'_>) -> String {
    let http = match &chain.action {
        ChainAction::Http(http) => http,
        ChainAction::Tcp(tcp) => return shares(section, &tcp.clusters),
        ChainAction::Udp(udp) => return shares(section, &udp.clusters),
        ChainAction::Close(_) => return "closed".to_owned(),
    };
    let Some(route) = taken(section, http.table, ask) else {
        return "404".to_owned();
    };
    let view = view(ask);
    match &route.action {
        RouteAction::Direct(direct) => direct.status.to_string(),
        RouteAction::Redirect(redirect) => {
            let tls = !matches!(
                chain.transport,
                proxy_core::config::DownstreamTransport::Plaintext
            );
            let scheme = if tls { "https" } else { "http" };
            let to = redirect_location(route, redirect, scheme, view);
            format!("{} {to}", redirect.status)
        }
        RouteAction::Forward(forward) => {
            let shares = forward.clusters.iter().map(|weighted| {
                let name = weighted.cluster.map_or_else(
                    || "500".to_owned(),
                    |index| section.clusters()[index.0 as usize].name.to_string(),
                );
                match forward.clusters.len() {
                    1 => name,
                    _ => format!("{name}*{}", weighted.weight),
                }
            });
            let shares: Vec<String> = shares.collect();
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
            write_request(route, view, departure, &mut sent);
            let mut said = shares.join(" ");
            if sent.path != ask.path || sent.host != ask.host {
                said.push_str(&format!(" as {}{}", sent.host, sent.path));
            }
            for (name, value) in sent
                .lines
                .iter()
                .filter(|(name, value)| !ask.headers.contains(&(name.as_str(), value.as_str())))
            {
                said.push_str(&format!(" +{name}={value}"));
            }
            for (name, _) in ask.headers.iter().filter(|(name, _)| !sent.has(name)) {
                said.push_str(&format!(" -{name}"));
            }
            said
        }
    }
}

fn view<'a>(ask: &'a Ask<'a>) -> RequestView<'a, Ask<'a>> {
    RequestView {
        heads: ask,
        head: HeadId(0),
        edge: true,
    }
}

pub(crate) fn taken<'s>(
    section: &'s Section,
    table: TableIndex,
    ask: &Ask<'_>,
) -> Option<&'s Route> {
    let number = section.virtual_host(table, ask.host)?;
    let host = &section.tables()[table.0 as usize].virtual_hosts[number as usize];
    let route = find_route(host, view(ask), DrawKey::root(ask.seed))?;
    Some(&host.routes[route as usize])
}
