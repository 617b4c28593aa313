//! A coffee shop under Consul: what every caller's proxy does with its requests, and what is said of it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use manifests::diagnostics::Diagnostics;
use manifests::envoy::{Written, write};
use manifests::load::{Layer, load};
use manifests::model::{Input, MeshWish, Model, NodeRef, Place, Pod, Pods};
use manifests::origins::Origins;
use manifests::text::Sources;
use proxy_core::config::{
    ChainAction, Cluster, FilterChain, Forward, Listener, Route, RouteAction, Section,
};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;

struct Shop {
    model: Model,
    pods: Pods,
    origins: Origins,
    sources: Sources,
    problems: Diagnostics,
}

fn shop() -> Shop {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hashicups");
    let objects = load(
        &[Layer::path("hashicups", path)],
        &mut sources,
        &mut problems,
    );
    let input = Input {
        objects,
        mesh: MeshWish::Shown,
        ..Input::default()
    };
    let mut origins = Origins::default();
    let model = Model::build(input, &mut origins, &mut problems).expect("Consul is known");
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
    Shop {
        model,
        pods,
        origins,
        sources,
        problems,
    }
}

impl Shop {
    fn sections(&self, workload: &str) -> [std::sync::Arc<Section>; 2] {
        let mut all = self.model.workloads().iter();
        let id = all.find(|it| &*it.name == workload).expect("a workload").id;
        let config = self
            .model
            .config(NodeRef::Sidecar(id), &Place::default(), &self.pods)
            .expect("a proxy");
        [config.sections[0].clone(), config.sections[1].clone()]
    }

    fn address(&self, service: &str) -> SocketAddr {
        let mut all = self.model.services().iter();
        let service = all.find(|it| &*it.name == service).expect("a Service");
        let ip = service.cluster_ip().expect("an address");
        SocketAddr::new(ip, service.ports[0].number)
    }

    fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }

    /// What the proxy of a workload does with what is sent to a Service.
    fn calls(&self, from: &str, to: &str) -> String {
        let [_, section] = self.sections(from);
        let address = self.address(to);
        let listener = section.listener(Arrival::Outbound, address);
        let listener = listener.or_else(|| section.rest_listener(Arrival::Outbound));
        let listener = &section.listeners()[listener.expect("a listener") as usize];
        let mut out = format!("{from} → {to}\n");
        match &chain_of(listener, address.ip()).action {
            ChainAction::Http(http) => {
                let hosts = &section.tables()[http.table.0 as usize].virtual_hosts;
                for route in hosts.iter().flat_map(|host| &host.routes) {
                    self.route(route, &section, &mut out);
                }
            }
            ChainAction::Tcp(route) => {
                let _ = writeln!(out, "  bytes ({})", self.origin(route.origin));
                for (cluster, _) in &route.clusters {
                    self.cluster(&section.clusters()[cluster.0 as usize], &mut out);
                }
            }
            ChainAction::Udp(_) | ChainAction::Close(_) => out.push_str("  nothing\n"),
        }
        out
    }

    fn route(&self, route: &Route, section: &Section, out: &mut String) {
        let matches = &route.matches;
        let _ = write!(out, "  {:?}", matches.path);
        for header in &matches.headers {
            let _ = write!(out, " {} {:?}", header.name, header.value);
        }
        if !matches.methods.is_empty() {
            let _ = write!(out, " {}", matches.methods.join(","));
        }
        let _ = writeln!(out, " ({})", self.origin(route.origin));
        let RouteAction::Forward(forward) = &route.action else {
            return;
        };
        self.forward(forward, out);
        for leg in &forward.clusters {
            let Some(at) = leg.cluster else {
                continue;
            };
            if forward.clusters.len() > 1 {
                let _ = write!(out, "    {}/10000", leg.weight);
            }
            self.cluster(&section.clusters()[at.0 as usize], out);
        }
    }

    fn forward(&self, forward: &Forward, out: &mut String) {
        let timeout = forward
            .timeout
            .value
            .map_or_else(|| "none".to_owned(), |it| format!("{} ms", it.as_millis()));
        let origin = self.origin(forward.timeout.origin);
        let _ = writeln!(out, "    timeout {timeout} ({origin})");
        if let Some(retry) = &forward.retry {
            let retries = retry.retries;
            let origin = self.origin(retries.origin);
            let on = retry.on.value;
            let _ = writeln!(
                out,
                "    {} retries ({origin}) on {on:?} {:?}",
                retries.value, retry.statuses
            );
        }
        if let Some(rewrite) = &forward.rewrite {
            let _ = writeln!(out, "    {rewrite:?}");
        }
    }

    fn cluster(&self, cluster: &Cluster, out: &mut String) {
        let _ = writeln!(out, "    {} {:?}", cluster.service, cluster.balancer.value);
        let limits = cluster.limits[0];
        let _ = writeln!(
            out,
            "      connect {} ms ({}), {} connections, {} waiting, {} requests, {} retries ({})",
            cluster.connect_timeout.value.as_millis(),
            self.origin(cluster.connect_timeout.origin),
            limits.connections.value,
            limits.pending.value,
            limits.requests.value,
            limits.retries.value,
            self.origin(limits.connections.origin),
        );
        if let Some(outlier) = &cluster.outlier {
            let settings = outlier.value;
            let _ = writeln!(
                out,
                "      out after {} 5xx, {:?} at most, looked at every {} ms ({})",
                settings.consecutive_5xx,
                settings.max_ejection_share,
                settings.interval.as_millis(),
                self.origin(outlier.origin)
            );
        }
        for endpoint in &cluster.endpoints.endpoints {
            let _ = writeln!(
                out,
                "      {} {}:{}",
                endpoint.priority,
                endpoint.hostname,
                endpoint.address.port()
            );
        }
    }
}

fn chain_of(listener: &Listener, ip: IpAddr) -> &FilterChain {
    let takes = |chain: &&FilterChain| {
        let mut blocks = chain.matches.destinations.iter();
        blocks.any(|block| block.contains(ip))
    };
    let rest = || {
        let mut chains = listener.chains.iter();
        chains.find(|chain| chain.matches.destinations.is_empty())
    };
    let found = listener.chains.iter().find(takes);
    found.or_else(rest).expect("a chain")
}

#[test]
fn the_manifests_show_which_mesh_runs() {
    let shop = shop();
    assert_eq!(shop.model.mesh(), Some("consul@1.21"));
}

#[test]
fn requests_of_every_caller() {
    let shop = shop();
    let calls = [
        ("frontend", "public-api"),
        ("public-api", "products-api"),
        ("public-api", "payments"),
        ("frontend", "payments"),
        ("products-api-v1", "products-db"),
    ];
    let told: Vec<String> = calls
        .iter()
        .map(|(from, to)| shop.calls(from, to))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_said_of_it() {
    let shop = shop();
    insta::assert_snapshot!(shop.problems.to_lines(&shop.sources));
}

#[test]
fn its_proxies_are_envoys_but_for_what_is_told() {
    let shop = shop();
    let mut told = Vec::new();
    for workload in shop.model.workloads() {
        let node = NodeRef::Sidecar(workload.id);
        let config = shop
            .model
            .config(node, &Place::default(), &shop.pods)
            .expect("a proxy");
        let likeness = write(&config, &Written::default());
        let departures = likeness.departures.iter();
        told.extend(departures.map(|it| format!("{}: {}", workload.name, it.what)));
    }
    told.sort();
    told.dedup();
    insta::assert_snapshot!(told.join("\n"));
}
