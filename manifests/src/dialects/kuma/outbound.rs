//! What leaves meshed pods: one listener for each port of each Service that has a proxy behind it, and the rest by MeshPassthrough.

use std::net::SocketAddr;

use proxy_core::config::{
    ChainAction, ChainMatch, CloseReason, ClusterIndex, ListenerAddress, RouteTable, VirtualHost,
};

use super::annotations::{EXCLUDE_OUTBOUND, ports};
use super::backends::Backend;
use super::chains::{IDLE, bytes, chain, dialled, http, listener};
use super::clusters::Clusters;
use super::dataplane::Dataplane;
use super::notes::left_out;
use super::policies::{Policies, TcpEntry};
use super::registry::{Behind, ItemPort};
use super::release::Defaults;
use super::retries;
use super::rules::Toward;
use super::settings::timeouts;
use super::types::{Retry, Timeouts};
use crate::dialects::{Compile, Compiled};
use crate::model::{Labels, Upstream};

/// The outbound section of a proxy.
pub(super) fn section(
    policies: &Policies,
    proxy: &Dataplane<'_>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Compiled {
    let mut clusters = Clusters::new(policies, proxy, defaults, cx);
    let excluded = ports(proxy.workload, EXCLUDE_OUTBOUND);
    for at in 0..policies.registry.items.len() {
        clusters.destination(at, &excluded);
    }
    let rest = clusters.rest();
    for port in excluded {
        let action = bytes(vec![(rest, 1)], defaults.of(IDLE), 0, defaults.origin);
        let chains = vec![chain(ChainMatch::default(), action, defaults.origin)];
        let made = listener(
            &format!("excluded:{port}"),
            ListenerAddress::OutboundPort(port),
            chains,
            defaults.origin,
        );
        clusters.out.draft.listeners.push(made);
    }
    clusters.out
}

impl Clusters<'_, '_, '_> {
    fn destination(&mut self, at: usize, excluded: &[u16]) {
        let policies = self.policies;
        let item = &policies.registry.items[at];
        let Behind::Service(service) = item.behind else {
            return;
        };
        if item.mesh != self.proxy.mesh || self.behind(item).is_empty() {
            return;
        }
        let service = &self.cx.services[service.index()];
        let Some(ip) = service.cluster_ip() else {
            // Kuma listens at the address of each of its pods; addresses of pods come and go here
            let what = format!("the headless Service {} as a destination", item.title());
            let meaning =
                "connections to its pods pass as they come, without policies and mutual TLS";
            left_out(service.span, &what, meaning, self.cx.diagnostics);
            return;
        };
        for port in item
            .ports
            .iter()
            .filter(|it| !excluded.contains(&it.number))
        {
            let address = SocketAddr::new(ip, port.number);
            let Some(action) = self.port(at, port) else {
                continue;
            };
            let chains = vec![chain(ChainMatch::default(), action, item.origin)];
            let name = format!("{}_{}_svc_{}", item.name, item.namespace, port.number);
            let address = ListenerAddress::OutboundTo(address);
            let made = listener(&name, address, chains, item.origin);
            self.out.draft.listeners.push(made);
        }
    }

    /// What becomes of connections to a port. Nothing is detected: what the port declares decides.
    fn port(&mut self, at: usize, port: &ItemPort) -> Option<ChainAction> {
        let (policies, proxy) = (self.policies, self.proxy);
        let item = &policies.registry.items[at];
        let mut entries = policies.tcp_routes.iter().rev();
        let of_bytes = entries.find(|it| it.scope.takes(proxy) && it.to.takes(item, port));
        let has_rules = || {
            let mut routes = policies.routes_to(proxy, item, port);
            routes.any(|it| !it.rules.is_empty())
        };
        // of an HTTP port, a MeshTCPRoute counts where there is no MeshHTTPRoute
        if port.protocol.is_http() && (of_bytes.is_none() || has_rules()) {
            return self.requests(at, port);
        }
        let toward = Toward {
            item,
            port,
            route: None,
        };
        let conf: Timeouts = policies.timeouts.toward(proxy, toward);
        let (connections, _) = timeouts(&conf, self.defaults, self.cx);
        let conf: Retry = policies.retries.toward(proxy, toward);
        let retries = retries::of_connections(&conf, port.protocol);
        let clusters = match of_bytes {
            Some(entry) => self.shares_of_bytes(entry),
            None => vec![(self.get(at, port.number, &Labels::new())?, 1)],
        };
        if clusters.is_empty() {
            return Some(ChainAction::Close(CloseReason::BlackHole));
        }
        let origin = of_bytes.map_or(item.origin, |entry| entry.origin);
        Some(bytes(clusters, connections.idle, retries, origin))
    }

    fn requests(&mut self, at: usize, port: &ItemPort) -> Option<ChainAction> {
        let (policies, proxy, defaults) = (self.policies, self.proxy, self.defaults);
        let item = &policies.registry.items[at];
        let name = format!("{}_{}_svc_{}", item.name, item.namespace, port.number);
        let routes = self.routes(at, port);
        let table = self.out.draft.add_table(RouteTable {
            name: name.as_str().into(),
            virtual_hosts: vec![VirtualHost {
                name: name.into(),
                domains: vec!["*".into()],
                routes,
                attempt_count: false,
                attempt_count_in_response: false,
                origin: item.origin,
            }],
            ignore_port: false,
        });
        let toward = Toward {
            item,
            port,
            route: None,
        };
        let conf: Timeouts = policies.timeouts.toward(proxy, toward);
        let (_, requests) = timeouts(&conf, defaults, self.cx);
        Some(http(table, Vec::new(), &requests, defaults))
    }

    fn shares_of_bytes(&mut self, entry: &TcpEntry) -> Vec<(ClusterIndex, u32)> {
        let policies = self.policies;
        let mut shares = Vec::new();
        for backend in &entry.backends {
            let weight = backend.weight.map_or(1, |it| it.value);
            let found = policies.backend(backend, &entry.scope.namespace, &self.proxy.mesh);
            let Some(Backend { item, port, tags }) = found.filter(|_| weight > 0) else {
                continue;
            };
            if let Some(cluster) = self.get(item, port, &tags) {
                shares.push((cluster, weight));
            }
        }
        shares
    }

    /// A cluster that dials whatever was dialled, and what goes to addresses that belong to no destination.
    fn rest(&mut self) -> ClusterIndex {
        let name = "outbound:passthrough";
        let made = dialled(name, name, self.defaults);
        let cluster = self.out.add(made, Upstream::default());
        self.pass(cluster);
        cluster
    }
}
