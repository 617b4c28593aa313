//! Manifests, and what becomes of requests there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::load::{Layer, load};
use manifests::model::{GatewayId, Input, MeshWish, Model, NodeRef, Place, Pods};
use manifests::origins::Origins;
use manifests::text::Sources;
use proxy_core::config::{
    ChainAction, Forward, NodeConfig, RateLimit, RouteAction, Section, TableIndex,
};
use proxy_core::config::{Gate, GateKind, Route};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::node::Arrival;
use proxy_core::route::{Departure, RequestView, find_route, redirect_location, write_request};

pub(crate) struct Built {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) sources: Sources,
    pub(crate) origins: Origins,
    pub(crate) problems: Diagnostics,
    pub(crate) model: Model,
}

/// Manifests.
pub(crate) struct Layers(Vec<Layer>);

impl Layers {
    /// Files of `tests/data/nginx`.
    pub(crate) fn files(names: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nginx");
        let layers = names.iter().map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).expect(name);
            Layer::text(*name, text)
        });
        Self(layers.collect())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self(vec![Layer::text("edge.yaml", text)])
    }
}

/// A request: method, address, and headers.
struct Asked<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

impl Heads for Asked<'_> {
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
        let found = headers.find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }
    fn status(&self, _: HeadId) -> u16 {
        0
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

#[derive(Default)]
struct Sent {
    path: String,
}

impl HeadWriter for Sent {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }
    fn set_authority(&mut self, _: &str) {}
    fn set(&mut self, _: &str, _: &str) {}
    fn append(&mut self, _: &str, _: &str) {}
    fn remove(&mut self, _: &str) {}
    fn has(&self, _: &str) -> bool {
        false
    }
    fn first(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Built {
    pub(crate) fn of(layers: &Layers) -> Self {
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let input = Input {
            objects: load(&layers.0, &mut sources, &mut problems),
            mesh: MeshWish::None,
            ..Input::default()
        };
        let mut origins = Origins::default();
        let model = Model::build(input, &mut origins, &mut problems).expect("a model");
        let place = Place {
            locality: "".into(),
            node: "".into(),
        };
        let node = NodeRef::Gateway(GatewayId(0));
        let config = model.config(node, &place, &Pods::listed()).expect("served");
        Self {
            config,
            sources,
            origins,
            problems,
            model,
        }
    }

    /// What becomes of a request in plaintext: a status, where to, or a cluster and the path that it is asked for.
    pub(crate) fn outcome(&self, host: &str, path: &str) -> String {
        let asked = Asked {
            method: "GET",
            host,
            path,
            headers: &[],
        };
        let Some(route) = self.taken(self.table(80), &asked) else {
            return "404".to_owned();
        };
        match &route.action {
            RouteAction::Direct(direct) => direct.status.to_string(),
            RouteAction::Redirect(redirect) => {
                let to = redirect_location(route, redirect, "http", view(&asked));
                format!("{} {to}", redirect.status)
            }
            RouteAction::Forward(forward) => {
                let index = forward.clusters[0].cluster.expect("a cluster").0 as usize;
                let cluster = &self.section().clusters()[index].name;
                format!("{cluster} as {}", sent(route, &asked))
            }
        }
    }

    fn taken(&self, table: TableIndex, asked: &Asked<'_>) -> Option<&Route> {
        let number = self.section().virtual_host(table, asked.host)?;
        let host = &self.section().tables()[table.0 as usize].virtual_hosts[number as usize];
        let at = find_route(host, view(asked), DrawKey::root(1))?;
        Some(&host.routes[at as usize])
    }

    fn section(&self) -> &Section {
        &self.config.sections[0]
    }

    fn table(&self, port: u16) -> TableIndex {
        let at = SocketAddr::new([127, 0, 0, 1].into(), port);
        let section = self.section();
        let listener = section.listener(Arrival::Dialled, at).expect("a listener");
        let mut chains = section.listeners()[listener as usize].chains.iter();
        let table = chains.find_map(|chain| match &chain.action {
            ChainAction::Http(http) => Some(http.table),
            ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
        });
        table.expect("requests")
    }

    /// What becomes of a request, each value with where it is from.
    pub(crate) fn asked(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> String {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let asked = Asked {
            method,
            host,
            path: if path.is_empty() { "/" } else { path },
            headers,
        };
        let table = self.table(if scheme == "https" { 443 } else { 80 });
        let mut out = format!("{method} {url} {headers:?}\n");
        let Some(route) = self.taken(table, &asked) else {
            out.push_str("  no route\n");
            return out;
        };
        let from = self.from(route.origin);
        match &route.action {
            RouteAction::Direct(direct) => {
                let _ = writeln!(out, "  {} by {from}", direct.status);
            }
            RouteAction::Redirect(redirect) => {
                let to = redirect_location(route, redirect, scheme, view(&asked));
                let _ = writeln!(out, "  {} to {to} by {from}", redirect.status);
            }
            RouteAction::Forward(forward) => {
                let _ = writeln!(out, "  as {} by {from}", sent(route, &asked));
                self.sent_on(route, forward, &mut out);
            }
        }
        out
    }

    fn sent_on(&self, route: &Route, forward: &Forward, out: &mut String) {
        for gate in &route.gates {
            let _ = writeln!(out, "  passes {} ({})", words(gate), self.from(gate.origin));
        }
        for weighted in &forward.clusters {
            let index = weighted.cluster.expect("a cluster").0 as usize;
            let cluster = &self.section().clusters()[index];
            let balancer = format!("{:?}", cluster.balancer.value);
            let connect = cluster.connect_timeout;
            let _ = writeln!(
                out,
                "  to {} of {}: {balancer} ({}), connection in {} s ({})",
                weighted.weight,
                cluster.name,
                self.from(cluster.balancer.origin),
                connect.value.as_millis() / 1000,
                self.from(connect.origin)
            );
        }
        let retry = forward.retry.as_ref().expect("retries");
        let silence = retry.per_try_idle_timeout.expect("a bound");
        let _ = writeln!(
            out,
            "  {} tries ({}) on {} {:?} ({}), {} s of silence ({})",
            retry.retries.value + 1,
            self.from(retry.retries.origin),
            retry.on.value,
            retry.statuses,
            self.from(retry.on.origin),
            silence.value.as_millis() / 1000,
            self.from(silence.origin)
        );
        if let Some(total) = retry.no_try_after {
            let seconds = total.value.as_millis() / 1000;
            let _ = writeln!(
                out,
                "  no try after {seconds} s ({})",
                self.from(total.origin)
            );
        }
        if let Some(largest) = forward.largest_body {
            let from = self.from(largest.origin);
            let _ = writeln!(out, "  bodies up to {} bytes ({from})", largest.value);
        }
        if let Some(session) = &forward.session {
            let _ = writeln!(
                out,
                "  {:?} ({})",
                session.carrier,
                self.from(session.origin)
            );
        }
    }

    fn from(&self, origin: proxy_core::origin::OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }
}

fn view<'a>(asked: &'a Asked<'a>) -> RequestView<'a, Asked<'a>> {
    RequestView {
        heads: asked,
        head: HeadId(0),
        edge: true,
    }
}

/// The path that a request leaves with.
fn sent(route: &Route, asked: &Asked<'_>) -> String {
    let mut sent = Sent {
        path: asked.path.to_owned(),
    };
    write_request(route, view(asked), Departure::PLAIN, &mut sent);
    sent.path
}

fn words(gate: &Gate) -> String {
    let kind = match &gate.kind {
        GateKind::Rate {
            limit: RateLimit::Leaky(buckets),
            ..
        } => format!("{buckets:?}"),
        GateKind::InFlight { most, .. } => format!("{most} under way"),
        GateKind::Rate { .. } | GateKind::Breaker(_) => format!("{:?}", gate.kind),
    };
    format!("{} else {}: {kind}", gate.name, gate.status)
}
