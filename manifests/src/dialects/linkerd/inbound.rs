//! What arrives at meshed pods.

use proxy_core::config::{
    ChainAction, ChainMatch, Cluster, ClusterIndex, DirectResponse, DownstreamTransport,
    FilterChain, Forward, Listener, ListenerAddress, RouteAction, RouteMatch, RouteTable,
    ServerName, TableIndex, TransportProtocol, UpstreamProtocol, VirtualHost,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::annotations::Ports;
use super::compile::{Defaults, chain, detected, http, original_destination, tcp};
use super::outbound::route;
use crate::dialects::{Compile, Compiled};
use crate::model::{Upstream, Workload};

/// Who may call, where no Server says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DefaultPolicy {
    /// Anyone.
    AllUnauthenticated,
    /// Meshed callers.
    AllAuthenticated,
    /// Anyone in the cluster.
    ClusterUnauthenticated,
    /// Meshed callers of the cluster.
    ClusterAuthenticated,
    /// Nobody.
    Deny,
    /// Anyone, and what would be refused is logged.
    Audit,
}

impl DefaultPolicy {
    /// The words of `config.linkerd.io/default-inbound-policy`.
    pub(super) const NAMES: [(&str, Self); 6] = [
        ("all-unauthenticated", Self::AllUnauthenticated),
        ("all-authenticated", Self::AllAuthenticated),
        ("cluster-unauthenticated", Self::ClusterUnauthenticated),
        ("cluster-authenticated", Self::ClusterAuthenticated),
        ("deny", Self::Deny),
        ("audit", Self::Audit),
    ];

    const fn takes_plaintext(self) -> bool {
        match self {
            Self::AllUnauthenticated | Self::ClusterUnauthenticated | Self::Audit => true,
            Self::AllAuthenticated | Self::ClusterAuthenticated | Self::Deny => false,
        }
    }

    const fn takes_meshed(self) -> bool {
        !matches!(self, Self::Deny)
    }
}

/// What an inbound section depends on besides the workload.
#[derive(Clone, Debug)]
pub(super) struct Inbound {
    /// Who may call.
    pub(super) policy: Sourced<DefaultPolicy>,
    /// Ports that are not looked into.
    pub(super) opaque: Ports,
    /// Ports that the proxy leaves alone.
    pub(super) skipped: Ports,
}

/// The inbound section of `workload`, whose proxy has `identity`.
///
/// Every port is served alike; those that a Service declares as HTTP/2 or gRPC are spoken to so. Departs: a port that declares nothing
/// is spoken to in HTTP/1.1 but for calls of gRPC, where Linkerd gives it what the client spoke. Source: linkerd/linkerd2
/// `policy-controller/k8s/index/src/defaults.rs`; the connect timeout is the chart's 100 ms.
pub(super) fn section(
    workload: &Workload,
    identity: &str,
    inbound: &Inbound,
    defaults: Defaults,
    cx: &Compile<'_>,
) -> Compiled {
    let mut section = Section {
        identity,
        inbound,
        defaults,
        out: Compiled::default(),
    };
    for (port, http2) in ports(workload, cx) {
        section.listener(
            ListenerAddress::InboundPort(port),
            &format!("inbound:{port}"),
            port,
            http2,
        );
    }
    // port 0 stands for all the others: none of the lists has it
    section.listener(ListenerAddress::InboundRest, "inbound", 0, false);
    section.out
}

/// The ports of a workload that Services lead to or a list names, and whether HTTP/2 is declared for them.
fn ports(workload: &Workload, cx: &Compile<'_>) -> Vec<(u16, bool)> {
    let mut found: Vec<(u16, bool)> = workload
        .ports
        .iter()
        .map(|port| (port.number, false))
        .collect();
    for service in cx
        .services
        .iter()
        .filter(|service| service.workloads.contains(&workload.id))
    {
        for port in service.ports.iter().filter(|port| !port.udp) {
            let Some(number) = workload.target_port(&port.target) else {
                continue;
            };
            let declared = port.app_protocol.as_deref().unwrap_or_default();
            found.push((
                number,
                matches!(
                    declared,
                    "kubernetes.io/h2c" | "linkerd.io/h2c" | "grpc" | "http2"
                ),
            ));
        }
    }
    found.sort_unstable_by_key(|(port, http2)| (*port, !http2));
    found.dedup_by_key(|(port, _)| *port);
    found
}

struct Section<'a> {
    identity: &'a str,
    inbound: &'a Inbound,
    defaults: Defaults,
    out: Compiled,
}

impl Section<'_> {
    fn listener(&mut self, address: ListenerAddress, name: &str, port: u16, http2: bool) {
        let mut cluster = original_destination(name, self.defaults);
        cluster.connect_timeout = self.defaults.of(Duration::from_millis(100));
        // proxies speak HTTP/2 to each other; the application gets what it declares, else HTTP/1.1
        cluster.protocol = if http2 {
            UpstreamProtocol::Http2
        } else {
            UpstreamProtocol::Http1
        };
        let calls = Cluster {
            name: format!("{name} gRPC").into(),
            protocol: UpstreamProtocol::Http2,
            ..cluster.clone()
        };
        let cluster = self.out.add(cluster, Upstream::default());
        let carried = self.inbound.skipped.has(port) || self.inbound.opaque.has(port);
        let calls = (!http2 && !carried).then(|| self.out.add(calls, Upstream::default()));
        let to = Leads {
            requests: cluster,
            calls: calls.unwrap_or(cluster),
        };
        let origin = self.inbound.policy.origin;
        let defaults = self.defaults;
        let bytes = || ChainAction::Tcp(tcp(cluster, defaults));
        let policy = self.inbound.policy.value;
        let refused = || ChainAction::Close(proxy_core::config::CloseReason::NoFilterChain);
        let mut chains = Vec::new();
        if self.inbound.skipped.has(port) {
            chains.push(chain(ChainMatch::default(), bytes(), self.defaults.origin));
        } else {
            let opaque = self.inbound.opaque.has(port);
            let meshed = if opaque {
                if policy.takes_meshed() {
                    bytes()
                } else {
                    refused()
                }
            } else {
                let to = policy.takes_meshed().then_some(to);
                http(self.table(name, "meshed", to, origin), self.defaults)
            };
            chains.push(FilterChain {
                matches: ChainMatch {
                    server_names: vec![ServerName::Exact(self.identity.into())],
                    transport: Some(TransportProtocol::Tls),
                    ..ChainMatch::default()
                },
                transport: DownstreamTransport::Tls {
                    mutual: true,
                    alpn: Vec::new(),
                    certificate: self.identity.into(),
                },
                action: meshed,
                origin,
            });
            let other = || match policy.takes_plaintext() {
                true => bytes(),
                false => refused(),
            };
            if opaque {
                chains.push(chain(ChainMatch::default(), other(), origin));
            } else {
                let to = policy.takes_plaintext().then_some(to);
                let table = self.table(name, "plaintext", to, origin);
                chains.extend(detected(http(table, self.defaults), other, origin));
            }
        }
        self.out.draft.listeners.push(Listener {
            name: name.into(),
            address,
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: self.defaults.origin,
        });
    }

    /// All requests go to the application, or are refused with 403. Calls of gRPC travel on HTTP/2 whatever is declared.
    fn table(
        &mut self,
        listener: &str,
        callers: &str,
        to: Option<Leads>,
        origin: OriginId,
    ) -> TableIndex {
        let forward = |cluster| {
            let mut forward = Forward::to(cluster);
            forward.clusters[0].origin = origin;
            forward.timeout = self.defaults.of(None);
            RouteAction::Forward(Box::new(forward))
        };
        let calls = RouteMatch {
            grpc: true,
            ..RouteMatch::all()
        };
        let routes = match to {
            Some(to) if to.calls != to.requests => vec![
                route(callers, calls, forward(to.calls), origin),
                route(callers, RouteMatch::all(), forward(to.requests), origin),
            ],
            Some(to) => vec![route(
                callers,
                RouteMatch::all(),
                forward(to.requests),
                origin,
            )],
            None => {
                let refused = DirectResponse {
                    status: 403,
                    body: "".into(),
                };
                vec![route(
                    callers,
                    RouteMatch::all(),
                    RouteAction::Direct(refused),
                    origin,
                )]
            }
        };
        self.out.draft.add_table(RouteTable {
            name: format!("{listener} {callers}").into(),
            virtual_hosts: vec![VirtualHost {
                name: callers.into(),
                domains: vec!["*".into()],
                routes,
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            }],
            ignore_port: false,
        })
    }
}

/// Where requests and calls of gRPC go.
#[derive(Clone, Copy)]
struct Leads {
    requests: ClusterIndex,
    calls: ClusterIndex,
}
