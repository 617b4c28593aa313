//! What arrives at meshed pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proxy_core::config::{
    ChainAction, ChainMatch, ClusterIndex, DownstreamTransport, FilterChain, ListenerAddress, Name,
    RouteAction, RouteTable, TransportProtocol, UpstreamProtocol, VirtualHost,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::annotations::{EXCLUDE_INBOUND, ports};
use super::chains::{
    self, MESH_BYTES, MESH_HTTP, PLAIN_HTTP, apply_pool, bytes, dialled, forward, http, listener,
    names, retries, route,
};
use super::destination_rule::{Pool, Viewer};
use super::notes::Defaults;
use super::peers::Mode;
use super::protocol::Protocol;
use super::read::Policies;
use super::registry::{Behind, Host};
use super::sidecars::Scope;
use crate::dialects::{Compile, Compiled};
use crate::model::{Upstream, Workload};

/// What a sidecar agrees to, best first.
const AGREED: &[&str] = &["istio-http/1.1", "http/1.1", "istio-h2", "h2"];

/// A port of the pods that a Service leads to.
struct Served<'a> {
    host: &'a Host,
    port: u16,
    protocol: Protocol,
}

/// The inbound section of `workload`, whose proxy has `identity`.
///
/// A port that several Services lead to is that of the first by name. Ports that none leads to are taken as they come, by the
/// workload's mode.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/listener_inbound.go`.
pub(super) fn section(
    policies: &Policies,
    workload: &Workload,
    identity: &str,
    scope: Option<&Scope>,
    defaults: Defaults,
    cx: &Compile<'_>,
) -> Compiled {
    let mut section = Section {
        policies,
        workload,
        identity,
        scope,
        defaults,
        out: Compiled::default(),
    };
    let excluded = ports(workload, EXCLUDE_INBOUND);
    let mut served = served(policies, workload, cx);
    served.retain(|number, _| !excluded.contains(number));
    for (number, served) in &served {
        section.served(*number, served);
    }
    let cluster = section.passthrough();
    for number in excluded.iter().copied() {
        let mode = defaults.of(Mode::Disable);
        let name = format!("excluded:{number}");
        let chains = section.chains(&name, Protocol::Tcp, cluster, None, mode);
        let address = ListenerAddress::InboundPort(number);
        let made = listener(&name, address, chains, defaults.origin);
        section.out.draft.listeners.push(made);
    }
    for number in policies.peers.ports(workload) {
        if !served.contains_key(&number) && !excluded.contains(&number) {
            let mode = policies.peers.mode(workload, number, defaults.origin);
            section.other(
                ListenerAddress::InboundPort(number),
                &format!("inbound:{number}"),
                cluster,
                mode,
            );
        }
    }
    // no port is called 0: the mode of those that have none of their own
    let mode = policies.peers.mode(workload, 0, defaults.origin);
    section.other(
        ListenerAddress::InboundRest,
        "virtualInbound",
        cluster,
        mode,
    );
    section.out
}

fn served<'a>(
    policies: &'a Policies,
    workload: &Workload,
    cx: &Compile<'_>,
) -> BTreeMap<u16, Served<'a>> {
    let mut hosts: Vec<&Host> = policies.registry.hosts().iter().collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = BTreeMap::new();
    for host in hosts {
        for port in &host.ports {
            let number = match &host.behind {
                Behind::Service(service) | Behind::Headless(service) => {
                    let service = &cx.services[service.index()];
                    let written = service.port(port.number);
                    written
                        .filter(|_| service.workloads.contains(&workload.id))
                        .and_then(|written| workload.target_port(&written.target))
                }
                Behind::Workloads(workloads) => {
                    workloads.contains(&workload.id).then_some(port.target)
                }
                Behind::Dialled | Behind::Endpoints(_) => None,
            };
            if let Some(number) = number {
                found.entry(number).or_insert(Served {
                    host,
                    port: port.number,
                    protocol: port.protocol,
                });
            }
        }
    }
    found
}

struct Section<'a> {
    policies: &'a Policies,
    workload: &'a Workload,
    identity: &'a str,
    scope: Option<&'a Scope>,
    defaults: Defaults,
    out: Compiled,
}

/// Where what a sidecar passes on to its application comes from: redirect rules let it through.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/cluster.go`, `InboundPassthroughBindIpv4`.
const OWN_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

impl Section<'_> {
    fn served(&mut self, number: u16, served: &Served<'_>) {
        let mut cluster = dialled(
            &format!("inbound|{number}||"),
            &served.host.title,
            self.defaults,
        );
        cluster.origin = served.host.origin;
        cluster.source_address = Some(OWN_SOURCE);
        cluster.protocol = match served.protocol {
            Protocol::Http2 | Protocol::Grpc => UpstreamProtocol::Http2,
            Protocol::Detected => UpstreamProtocol::Downstream,
            Protocol::Http1 | Protocol::Tcp | Protocol::Tls => UpstreamProtocol::Http1,
        };
        let pool = self.pool(served);
        if let Some(pool) = &pool {
            // what is spoken to the application is declared, never upgraded
            let declared = Pool {
                upgrade: false,
                ..pool.clone()
            };
            apply_pool(&mut cluster, &declared);
        }
        let cluster = self.out.add(cluster, Upstream::default());
        let mode = self
            .policies
            .peers
            .mode(self.workload, number, self.defaults.origin);
        let name = format!("inbound:{number}");
        let idle = pool.and_then(|pool| pool.tcp_idle);
        let chains = self.chains(&name, served.protocol, cluster, idle, mode);
        self.out.draft.listeners.push(listener(
            &name,
            ListenerAddress::InboundPort(number),
            chains,
            served.host.origin,
        ));
    }

    /// `connectionPool` of the DestinationRule for the port, which holds on the server's side too, or the Sidecar's own.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/core/cluster_builder.go`, `buildInboundCluster`.
    fn pool(&self, served: &Served<'_>) -> Option<Pool> {
        if let Some(pool) = self.scope.and_then(|scope| scope.inbound.as_ref()) {
            return Some(pool.clone());
        }
        let viewer = Viewer {
            namespace: &self.workload.namespace,
            labels: None,
        };
        let host = served.host;
        let rule = self
            .policies
            .rules
            .find(&host.name, &host.namespace, viewer)?;
        rule.traffic(None, served.port).pool
    }

    fn passthrough(&mut self) -> ClusterIndex {
        let name = "InboundPassthroughCluster";
        let mut cluster = chains::unknown(name, &self.workload.full_name(), self.defaults);
        cluster.source_address = Some(OWN_SOURCE);
        self.out.add(cluster, Upstream::default())
    }

    fn other(
        &mut self,
        address: ListenerAddress,
        name: &str,
        cluster: ClusterIndex,
        mode: Sourced<Mode>,
    ) {
        let mut chains = self.chains(name, Protocol::Detected, cluster, None, mode);
        if address == ListenerAddress::InboundRest && mode.value == Mode::Disable {
            // where no port is named TLS is looked for all the same, and taken by nobody
            let tls = Some(TransportProtocol::Tls);
            chains.retain(|chain| chain.matches.transport != tls);
        }
        let made = listener(name, address, chains, self.defaults.origin);
        self.out.draft.listeners.push(made);
    }

    /// Source: istio 1.29 `pilot/pkg/networking/core/filterchain_options.go`, `getFilterChainMatchOptions`.
    fn chains(
        &mut self,
        name: &str,
        protocol: Protocol,
        cluster: ClusterIndex,
        idle: Option<Sourced<Duration>>,
        mode: Sourced<Mode>,
    ) -> Vec<FilterChain> {
        let (raw, tls) = (TransportProtocol::Raw, TransportProtocol::Tls);
        let origin = mode.origin;
        let carried = bytes(cluster, idle, self.defaults);
        let requests = (!protocol.is_bytes()).then(|| self.requests(name, protocol, cluster));
        let (takes_tls, takes_plain) = match mode.value {
            Mode::Strict => (true, false),
            Mode::Permissive => (true, true),
            Mode::Disable => (false, true),
        };
        let permissive = takes_tls && takes_plain;
        let all_mesh = || [MESH_BYTES, MESH_HTTP].concat();
        let mut chains = Vec::new();
        match (protocol, requests) {
            (Protocol::Detected, Some(requests)) => {
                if takes_tls {
                    chains.push(self.mutual(matching(tls, MESH_HTTP), requests.clone(), origin));
                    let offers: &[&str] = if permissive { MESH_BYTES } else { &[] };
                    chains.push(self.mutual(matching(tls, offers), carried.clone(), origin));
                }
                if takes_plain {
                    chains.push(plain(matching(raw, PLAIN_HTTP), requests, origin));
                    chains.push(plain(matching(raw, &[]), carried.clone(), origin));
                    // TLS that is none of the mesh's passes as bytes; without mutual TLS nobody even looks for it
                    chains.push(plain(matching(tls, &[]), carried, origin));
                }
            }
            (_, Some(requests)) => {
                if takes_tls {
                    let offers = if permissive { all_mesh() } else { Vec::new() };
                    chains.push(self.mutual(matching(tls, &offers), requests.clone(), origin));
                }
                if takes_plain {
                    chains.push(plain(matching(raw, &[]), requests, origin));
                }
            }
            (_, None) => {
                if takes_tls {
                    let offers = if permissive { all_mesh() } else { Vec::new() };
                    chains.push(self.mutual(matching(tls, &offers), carried.clone(), origin));
                }
                if permissive {
                    chains.push(plain(matching(tls, &[]), carried.clone(), origin));
                }
                if takes_plain {
                    let any = if permissive {
                        matching(raw, &[])
                    } else {
                        ChainMatch::default()
                    };
                    chains.push(plain(any, carried, origin));
                }
            }
        }
        chains
    }

    fn mutual(&self, matches: ChainMatch, action: ChainAction, origin: OriginId) -> FilterChain {
        FilterChain {
            matches,
            transport: DownstreamTransport::Tls {
                mutual: true,
                alpn: names(AGREED),
                certificate: Name::from(self.identity),
            },
            action,
            origin,
        }
    }

    /// All requests go to the application, without a timeout; one that was reset before anything of it was sent is sent again, twice at
    /// most.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/core/route/route.go`, `BuildDefaultHTTPInboundRoute`.
    fn requests(&mut self, name: &str, protocol: Protocol, cluster: ClusterIndex) -> ChainAction {
        let origin = self.defaults.origin;
        let mut forward = forward(cluster, self.defaults);
        forward.clusters[0].origin = origin;
        if self.policies.release.retries_inbound() && protocol != Protocol::Grpc {
            let on = RetryOn::NONE.with(Condition::ResetBeforeRequest);
            forward.retry = Some(Box::new(retries(on, 2, self.defaults)));
        }
        let action = RouteAction::Forward(Box::new(forward));
        let table = self.out.draft.add_table(RouteTable {
            name: name.into(),
            virtual_hosts: vec![VirtualHost {
                name: name.into(),
                domains: vec!["*".into()],
                routes: vec![route("default", action, origin)],
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            }],
            ignore_port: false,
        });
        http(table, Vec::new(), self.defaults)
    }
}

fn matching(transport: TransportProtocol, protocols: &[&str]) -> ChainMatch {
    ChainMatch {
        transport: Some(transport),
        protocols: names(protocols),
        ..ChainMatch::default()
    }
}

fn plain(matches: ChainMatch, action: ChainAction, origin: OriginId) -> FilterChain {
    super::chains::chain(matches, action, origin)
}
