//! Emissary over some manifests, and what becomes of requests there.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, Cluster, DownstreamTransport, FilterChain, Forward, HttpConnections, NodeConfig,
    Route, RouteAction, Section, ServerName,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;
use proxy_core::route::{Departure, RequestView, find_route, redirect_location, write_request};

use crate::diagnostics::Diagnostics;
use crate::load::{Layer, Objects};
use crate::model::{GatewayId, GatewayOverride, Input, Model, NodeRef, Place, Pods};
use crate::origins::Origins;
use crate::text::Sources;

/// Services `a` and `b` (80 and 443, to 8080) and `pods` (headless) in `default`, `far` in `other`.
const BASE: &str = "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: web, port: 80, targetPort: 8080}, {name: tls, port: 443, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: b}, ports: [{name: web, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: pods}
spec: {clusterIP: None, selector: {app: a}, ports: [{port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: other}
spec: {selector: {app: far}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b}
spec: {selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: b, image: b}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: far, namespace: other}
spec: {selector: {matchLabels: {app: far}}, template: {metadata: {labels: {app: far}}, spec: {containers: [{name: far, image: far}]}}}
";

/// Takes Hosts of every namespace; 8080 of the pods, 80 of their Service.
pub(super) const LISTENER: &str = "
apiVersion: getambassador.io/v3alpha1
kind: Listener
metadata: {name: http, namespace: emissary}
spec: {port: 8080, protocol: HTTP, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}
";

/// Takes every name, and requests in the clear.
pub(super) const HOST: &str = "
apiVersion: getambassador.io/v3alpha1
kind: Host
metadata: {name: any, namespace: emissary}
spec: {hostname: '*', requestPolicy: {insecure: {action: Route}}}
";

/// An object of v3alpha1; `spec` in flow style.
pub(super) fn object(kind: &str, name: &str, spec: &str) -> String {
    of_version("v3alpha1", kind, name, spec)
}

pub(super) fn of_version(version: &str, kind: &str, name: &str, spec: &str) -> String {
    labelled(version, kind, name, "{}", spec)
}

pub(super) fn labelled(version: &str, kind: &str, name: &str, labels: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "apiVersion: getambassador.io/{version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}\nspec: {spec}\n"
    )
}

/// A Mapping of every name.
pub(super) fn mapping(name: &str, spec: &str) -> String {
    let spec = spec.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let spec = spec.expect("a mapping in flow style");
    object("Mapping", name, &format!("{{hostname: '*', {spec}}}"))
}

pub(super) struct Built {
    pub(super) model: Model,
    pub(super) problems: Diagnostics,
    pub(super) text: String,
    pub(super) origins: Origins,
    pub(super) sources: Sources,
}

/// With a Listener and a Host that take everything.
pub(super) fn served(parts: &[String]) -> Built {
    let mut all = vec![LISTENER.to_owned(), HOST.to_owned()];
    all.extend_from_slice(parts);
    build(&all)
}

/// One Mapping to `a`, of every name.
pub(super) fn with(spec: &str) -> Built {
    served(&[mapping(
        "m",
        &format!("{{prefix: /x/, service: a, {spec}}}"),
    )])
}

pub(super) fn build(parts: &[String]) -> Built {
    build_with(parts, Vec::new())
}

pub(super) fn build_with(parts: &[String], overrides: Vec<GatewayOverride>) -> Built {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let mut objects = Objects::default();
    let all: Vec<&str> = std::iter::once(BASE)
        .chain(parts.iter().map(String::as_str))
        .collect();
    let layer = Layer::text("edge.yaml", all.join("\n---\n"));
    objects.apply(&layer, &mut sources, &mut problems);
    let input = Input {
        objects,
        overrides,
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut problems).expect("a model");
    let text = problems.render(&sources);
    Built {
        model,
        problems,
        text,
        origins,
        sources,
    }
}

/// A request.
#[derive(Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) seed: u64,
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
        let found = headers.find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
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
        let found = self.lines.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Built {
    pub(super) fn config(&self) -> Arc<NodeConfig> {
        let place = Place {
            locality: "".into(),
            node: "".into(),
        };
        let node = NodeRef::Gateway(GatewayId(0));
        let config = self.model.config(node, &place, &Pods::listed());
        config.unwrap_or_else(|| panic!("it is served\n{}", self.text))
    }

    /// What becomes of a request over the chain of a server name (empty: in the clear), at a port of the pods.
    pub(super) fn asked(&self, port: u16, sni: &str, ask: Ask<'_>) -> String {
        let config = self.config();
        let section = &config.sections[0];
        let Some(chain) = chain(section, port, sni) else {
            return "nothing listens".to_owned();
        };
        outcome(section, chain, &ask)
    }

    /// The same of a request in the clear.
    pub(super) fn ask(&self, ask: Ask<'_>) -> String {
        self.asked(8080, "", ask)
    }

    pub(super) fn get(&self, host: &str, path: &str) -> String {
        self.ask(get(host, path))
    }

    /// The route that takes `GET http://h/x/`.
    pub(super) fn route(&self) -> Route {
        let config = self.config();
        let section = &config.sections[0];
        let chain = chain(section, 8080, "").expect("a chain");
        let http = http(chain);
        let ask = get("h", "/x/");
        let route = taken(section, http, &ask);
        route
            .unwrap_or_else(|| panic!("a route takes it\n{}", self.text))
            .clone()
    }

    pub(super) fn forward(&self) -> Forward {
        match self.route().action {
            RouteAction::Forward(forward) => *forward,
            RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("it is sent on"),
        }
    }

    /// The cluster behind `GET http://h/x/`.
    pub(super) fn cluster(&self) -> Cluster {
        let index = self.forward().clusters[0].cluster.expect("a cluster");
        (*self.config().sections[0].clusters()[index.0 as usize]).clone()
    }

    pub(super) fn http(&self) -> HttpConnections {
        let config = self.config();
        let chain = chain(&config.sections[0], 8080, "").expect("a chain");
        http(chain).clone()
    }

    /// Where a value comes from, in words.
    pub(super) fn origin(&self, id: OriginId) -> String {
        self.origins.text(id, &self.sources)
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.problems.codes().contains(code)
    }

    /// That nothing was found which a person would have to mend.
    pub(super) fn is_clean(&self) -> &Self {
        let grave = self.problems.clone().into_iter().filter(|it| {
            matches!(
                it.kind,
                crate::diagnostics::Kind::Error | crate::diagnostics::Kind::Warning
            )
        });
        assert_eq!(grave.count(), 0, "{}", self.text);
        self
    }
}

pub(super) fn chain<'a>(section: &'a Section, port: u16, sni: &str) -> Option<&'a FilterChain> {
    let at = SocketAddr::new([127, 0, 0, 1].into(), port);
    let listener = section.listener(Arrival::Dialled, at)?;
    let chains = &section.listeners()[listener as usize].chains;
    let weight = |chain: &&FilterChain| -> Option<usize> {
        let matches = &chain.matches;
        if sni.is_empty() {
            return matches.transport.is_none().then_some(0);
        }
        let over_tls = usize::from(matches.transport.is_some());
        if matches.server_names.is_empty() {
            return Some(over_tls);
        }
        let names = matches.server_names.iter();
        let fitting = names.filter_map(|name| match name {
            ServerName::Exact(name) => (**name == *sni).then_some(1000),
            ServerName::Suffix(suffix) => sni.ends_with(&**suffix).then_some(1 + suffix.len()),
        });
        fitting.max()
    };
    let fitting = chains.iter().filter(|chain| weight(chain).is_some());
    fitting.max_by_key(|chain| weight(chain))
}

pub(super) fn http(chain: &FilterChain) -> &HttpConnections {
    match &chain.action {
        ChainAction::Http(http) => http,
        ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => {
            panic!("requests are read from it")
        }
    }
}

fn taken<'s>(section: &'s Section, http: &HttpConnections, ask: &Ask<'_>) -> Option<&'s Route> {
    let number = section.virtual_host(http.table, ask.host)?;
    let host = &section.tables()[http.table.0 as usize].virtual_hosts[number as usize];
    let route = find_route(host, view(ask), DrawKey::root(ask.seed))?;
    Some(&host.routes[route as usize])
}

fn view<'a>(ask: &'a Ask<'a>) -> RequestView<'a, Ask<'a>> {
    RequestView {
        heads: ask,
        head: HeadId(0),
        edge: true,
    }
}

/// What a chain does with a request, in words.
pub(super) fn outcome(section: &Section, chain: &FilterChain, ask: &Ask<'_>) -> String {
    let name = |index: proxy_core::config::ClusterIndex| {
        let name = &section.clusters()[index.0 as usize].name;
        // of a Service and a Mapping of one namespace it is said once
        name.trim_start_matches("cluster_")
            .replace("_default_default", "_default")
    };
    let http = match &chain.action {
        ChainAction::Http(http) => http,
        ChainAction::Tcp(tcp) => {
            let shares = tcp.clusters.iter();
            let shares = shares.map(|(index, weight)| format!("{}*{weight}", name(*index)));
            return shares.collect::<Vec<_>>().join(" ");
        }
        ChainAction::Udp(_) | ChainAction::Close(_) => return "closed".to_owned(),
    };
    let Some(route) = taken(section, http, ask) else {
        return "404".to_owned();
    };
    match &route.action {
        RouteAction::Direct(direct) => direct.status.to_string(),
        RouteAction::Redirect(redirect) => {
            let scheme = match chain.transport {
                DownstreamTransport::Plaintext => "http",
                DownstreamTransport::Tls { .. } => "https",
            };
            let to = redirect_location(route, redirect, scheme, view(ask));
            format!("{} {to}", redirect.status)
        }
        RouteAction::Forward(forward) => {
            let mut said = name(forward.clusters[0].cluster.expect("a cluster"));
            let mut sent = Sent {
                path: ask.path.to_owned(),
                host: ask.host.to_owned(),
                lines: Vec::new(),
            };
            for (name, value) in ask.headers {
                sent.append(name, value);
            }
            let departure = Departure {
                tells: false,
                ..Departure::PLAIN
            };
            write_request(route, view(ask), departure, &mut sent);
            if sent.host != ask.host {
                said.push_str(&format!(" at {}", sent.host));
            }
            said.push_str(&format!(" {}", sent.path));
            for (name, value) in &sent.lines {
                said.push_str(&format!(" {name}={value}"));
            }
            said
        }
    }
}
