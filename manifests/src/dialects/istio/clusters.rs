//! Clusters of what callers reach, made as they are asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proxy_core::config::{
    Balancer, Cluster, ClusterIndex, Discovery, Endpoint, HashPolicy, LocalityBalance, Name, Share,
    UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::chains::{MESH_BYTES, apply, cluster, names};
use super::destination_rule::{Balance, Locality, Rule, SubsetRule, Tls, Traffic, Viewer};
use super::notes::Defaults;
use super::peers::Mode;
use super::protocol::Protocol;
use super::read::Policies;
use super::registry::{Behind, EntryEndpoint, Host, Place, Port};
use super::virtual_service::{self, Destinations};
use crate::dialects::Compiled;
use crate::model::{
    Failover, Labels, Members, Placement, Service, ServiceId, TargetPort, Upstream, Workload,
    WorkloadId, selects,
};

/// Who calls: all that a section of outgoing traffic depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// Namespace.
    pub(super) namespace: &'a str,
    /// Labels of its pods.
    pub(super) labels: &'a Labels,
    /// The name that its proxy proves.
    pub(super) identity: &'a str,
    /// A gateway: it balances over the pods of headless Services itself, and never speaks as the client does unless told to.
    pub(super) gateway: bool,
}

impl<'a> Caller<'a> {
    /// What VirtualServices ask about it.
    pub(super) const fn asks(self) -> virtual_service::Caller<'a> {
        virtual_service::Caller {
            namespace: self.namespace,
            labels: self.labels,
        }
    }
}

/// What a connection carries, as far as it makes a difference to a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Carried {
    /// Requests, or whatever the port declares.
    Declared,
    /// Bytes of a port that is looked into. Envoy offers the server's proxy other protocols then; here it is a cluster of its own.
    Bytes,
}

/// By name: of several hosts with one name a section has the one that was asked for first.
type Key = (Name, Option<Name>, u16, Carried);

/// A section of outgoing traffic under construction: its clusters, made as they are asked for.
pub(super) struct Clusters<'a> {
    /// What was made.
    pub(super) out: Compiled,
    /// Who calls.
    pub(super) caller: Caller<'a>,
    /// What connections carry to the destinations that are asked for by name.
    pub(super) carried: Carried,
    /// Hosts by name that the caller's Sidecar brings in, before any others of that name.
    pub(super) known: BTreeMap<Name, usize>,
    policies: &'a Policies,
    services: &'a [Service],
    workloads: &'a [Workload],
    defaults: Defaults,
    made: BTreeMap<Key, ClusterIndex>,
}

/// A host's port or subset that was looked up.
struct Target<'a> {
    host: &'a Host,
    port: &'a Port,
    rule: Option<&'a Rule>,
    subset: Option<&'a SubsetRule>,
}

impl<'a> Clusters<'a> {
    /// Nothing yet.
    pub(super) fn new(
        policies: &'a Policies,
        caller: Caller<'a>,
        services: &'a [Service],
        workloads: &'a [Workload],
        defaults: Defaults,
    ) -> Self {
        Self {
            out: Compiled::default(),
            caller,
            carried: Carried::Declared,
            known: BTreeMap::new(),
            policies,
            services,
            workloads,
            defaults,
            made: BTreeMap::new(),
        }
    }

    /// The cluster of a host's port, or of a subset of it; none: there is no such port or subset.
    pub(super) fn get(
        &mut self,
        host: usize,
        subset: Option<&str>,
        port: u16,
        carried: Carried,
    ) -> Option<ClusterIndex> {
        let target = self.target(host, subset, port)?;
        let traffic = target.traffic();
        let carried = match target.port.protocol {
            Protocol::Detected => carried,
            Protocol::Http1 | Protocol::Http2 | Protocol::Grpc | Protocol::Tcp | Protocol::Tls => {
                Carried::Declared
            }
        };
        let key = (
            target.host.name.clone(),
            subset.map(Name::from),
            port,
            carried,
        );
        if let Some(index) = self.made.get(&key) {
            return Some(*index);
        }
        let (cluster, upstream) = self.make(&target, &traffic, carried);
        let index = self.out.add(cluster, upstream);
        self.made.insert(key, index);
        Some(index)
    }

    fn find(&self, host: &str) -> Option<usize> {
        let known = self.known.get(host).copied();
        known.or_else(|| self.policies.registry.find(host, self.caller.namespace))
    }

    /// What a hashing balancer of a destination goes by.
    pub(super) fn hash_of(&self, host: usize, subset: Option<&str>, port: u16) -> Vec<HashPolicy> {
        let traffic = self
            .target(host, subset, port)
            .map(|target| target.traffic());
        traffic
            .and_then(|traffic| traffic.balance)
            .map(|balance| balance.hash)
            .unwrap_or_default()
    }

    /// How long a carried connection to a host may be silent, where a rule says so.
    pub(super) fn tcp_idle(&self, host: usize, port: u16) -> Option<Sourced<Duration>> {
        self.target(host, None, port)?.traffic().pool?.tcp_idle
    }

    fn target(&self, host: usize, subset: Option<&str>, port: u16) -> Option<Target<'a>> {
        let policies = self.policies;
        let host = &policies.registry.hosts()[host];
        let port = host.port(port)?;
        let viewer = Viewer {
            namespace: self.caller.namespace,
            labels: Some(self.caller.labels),
        };
        let rule = policies.rules.find(&host.name, &host.namespace, viewer);
        let subset = match subset {
            None => None,
            Some(name) => Some(rule?.subset(name)?),
        };
        Some(Target {
            host,
            port,
            rule,
            subset,
        })
    }

    fn make(
        &self,
        target: &Target<'_>,
        traffic: &Traffic,
        carried: Carried,
    ) -> (Cluster, Upstream) {
        let Target {
            host, port, subset, ..
        } = target;
        let part = subset.map_or("", |subset| &subset.name);
        let mut name = format!("outbound|{}|{part}|{}", port.number, host.name);
        if carried == Carried::Bytes {
            name.push_str("|bytes");
        }
        let mut made = cluster(&name, &host.title, self.defaults);
        made.origin = subset.map_or(host.origin, |subset| subset.origin);
        made.protocol = self.protocol(port);
        apply(&mut made, traffic);
        self.calm(&mut made, host, traffic);
        let dials = made.balancer.value == Balancer::OriginalDestination
            || (host.is_dialled() && !(self.caller.gateway && has_pods(host)));
        if dials {
            made.discovery = Discovery::OriginalDestination;
            made.balancer = match traffic.balance.as_ref().and_then(|it| it.balancer.as_ref()) {
                Some(written) => Sourced::new(Balancer::OriginalDestination, written.origin),
                None => self.defaults.of(Balancer::OriginalDestination),
            };
            made.slow_start = None;
        }
        made.transport = self.transport(target, traffic, dials, made.protocol, carried);
        let mut upstream = Upstream::default();
        if !dials {
            upstream.members = self.members(target);
            upstream.plaintext = self.without_tls(host, port);
            let (placement, locality) = place(traffic, host);
            if placement != Placement::Alike {
                let written = traffic.balance.as_ref().and_then(|it| it.locality.as_ref());
                let origin = written.map_or(made.origin, |it| it.origin);
                made.locality = Sourced::new(locality, origin);
            }
            upstream.placement = placement;
        }
        (made, upstream)
    }

    /// Turns panic routing off where endpoints are told that are not ready. With outlier detection a share of it counts, but not for Services
    /// that prefer near endpoints.
    ///
    /// Source: istio 1.31 `pilot/pkg/networking/core/cluster_traffic_policy.go` (`applyOutlierDetection`, `applyLoadBalancer`),
    /// `pilot/pkg/model/service.go` (`SupportsUnhealthyEndpoints`).
    fn calm(&self, made: &mut Cluster, host: &Host, traffic: &Traffic) {
        let always = !host.nearest.is_empty();
        let judged = traffic.outlier.is_some();
        if always || !judged && self.policies.release.tells_of_unready() {
            made.panic_threshold = self.defaults.of(Share::ZERO);
        }
    }

    fn protocol(&self, port: &Port) -> UpstreamProtocol {
        match port.protocol {
            Protocol::Http2 | Protocol::Grpc => UpstreamProtocol::Http2,
            Protocol::Detected if !self.caller.gateway => UpstreamProtocol::Downstream,
            Protocol::Detected | Protocol::Http1 | Protocol::Tcp | Protocol::Tls => {
                UpstreamProtocol::Http1
            }
        }
    }

    /// Source: istio 1.29 `pilot/pkg/networking/core/cluster_tls.go`, `buildUpstreamTLSSettings`.
    fn transport(
        &self,
        target: &Target<'_>,
        traffic: &Traffic,
        dials: bool,
        protocol: UpstreamProtocol,
        carried: Carried,
    ) -> UpstreamTransport {
        let Target {
            host, port, subset, ..
        } = target;
        let mesh = |sni: Option<&Name>, only_where_meshed| UpstreamTransport::Mesh {
            sni: sni.cloned().unwrap_or_else(|| {
                let part = subset.map_or("", |subset| &subset.name);
                format!("outbound_.{}_.{part}_.{}", port.number, host.name).into()
            }),
            identity: self.caller.identity.into(),
            alpn: names(offered(port.protocol, protocol, carried)),
            only_where_meshed,
        };
        match traffic.tls.as_ref().map(|tls| &tls.value) {
            Some(Tls::Disable) => UpstreamTransport::Plaintext,
            Some(Tls::Simple { sni, certificate }) => UpstreamTransport::Tls {
                sni: sni.clone().unwrap_or_else(|| host.name.clone()),
                certificate: certificate.clone(),
            },
            Some(Tls::Mesh { sni }) => mesh(sni.as_ref(), false),
            None if host.external || self.policies.peers.is_off_in(&host.namespace) => {
                UpstreamTransport::Plaintext
            }
            // one socket for all of a cluster without endpoints: TLS only where everybody behind it takes it
            None if dials => {
                if self.all_take_tls(host, port) {
                    mesh(None, false)
                } else {
                    UpstreamTransport::Plaintext
                }
            }
            None => mesh(None, true),
        }
    }

    fn members(&self, target: &Target<'_>) -> Members {
        let labels: Vec<(Name, Name)> = target
            .subset
            .map(|subset| subset.labels.clone().into_iter().collect())
            .unwrap_or_default();
        match &target.host.behind {
            Behind::Service(service) | Behind::Headless(service) => Members::Pods {
                service: *service,
                port: target.port.number,
                labels,
            },
            Behind::Dialled => Members::None,
            Behind::Workloads(workloads) => {
                let wanted = |id: &&WorkloadId| {
                    let own = &self.workloads[id.index()].labels;
                    labels
                        .iter()
                        .all(|(key, value)| own.get(key) == Some(value))
                };
                Members::Workloads {
                    workloads: workloads.iter().filter(wanted).copied().collect(),
                    port: TargetPort::Number(target.port.target),
                }
            }
            Behind::Endpoints(endpoints) => {
                let wanted: Labels = labels.into_iter().collect();
                let members = endpoints
                    .iter()
                    .filter(|endpoint| selects(&wanted, &endpoint.labels))
                    .map(|endpoint| member(endpoint, target.port));
                Members::Several(members.collect())
            }
        }
    }

    /// Workloads behind a host whose port has mutual TLS off: nobody tries it with them.
    fn without_tls(&self, host: &Host, port: &Port) -> Vec<WorkloadId> {
        let behind = self.behind(host, port);
        let off = behind.into_iter().filter(|(id, number)| {
            let workload = &self.workloads[id.index()];
            let mode = self
                .policies
                .peers
                .mode(workload, *number, self.defaults.origin);
            mode.value == Mode::Disable
        });
        off.map(|(id, _)| id).collect()
    }

    fn all_take_tls(&self, host: &Host, port: &Port) -> bool {
        let behind = self.behind(host, port);
        let off = self.without_tls(host, port);
        !behind.is_empty()
            && behind
                .iter()
                .all(|(id, _)| self.workloads[id.index()].sidecar.is_some() && !off.contains(id))
    }

    /// The workloads behind a host, and which port of theirs is dialled.
    fn behind(&self, host: &Host, port: &Port) -> Vec<(WorkloadId, u16)> {
        match &host.behind {
            Behind::Service(service) | Behind::Headless(service) => {
                self.behind_service(*service, port.number)
            }
            Behind::Workloads(workloads) => workloads.iter().map(|id| (*id, port.target)).collect(),
            Behind::Dialled | Behind::Endpoints(_) => Vec::new(),
        }
    }

    fn behind_service(&self, service: ServiceId, port: u16) -> Vec<(WorkloadId, u16)> {
        let service = &self.services[service.index()];
        let Some(port) = service.port(port) else {
            return Vec::new();
        };
        let workloads = service.workloads.iter();
        workloads
            .filter_map(|id| {
                let number = self.workloads[id.index()].target_port(&port.target)?;
                Some((*id, number))
            })
            .collect()
    }
}

impl Destinations for Clusters<'_> {
    fn cluster(
        &mut self,
        host: &str,
        subset: Option<&str>,
        port: Option<u16>,
    ) -> Option<ClusterIndex> {
        let host = self.find(host)?;
        self.get(host, subset, port?, self.carried)
    }

    fn hash(&mut self, host: &str, subset: Option<&str>, port: Option<u16>) -> Vec<HashPolicy> {
        let host = self.find(host);
        host.zip(port)
            .map(|(host, port)| self.hash_of(host, subset, port))
            .unwrap_or_default()
    }
}

impl Target<'_> {
    fn traffic(&self) -> Traffic {
        self.rule
            .map(|rule| rule.traffic(self.subset, self.port.number))
            .unwrap_or_default()
    }
}

const fn has_pods(host: &Host) -> bool {
    matches!(host.behind, Behind::Headless(_))
}

fn member(endpoint: &EntryEndpoint, port: &Port) -> Members {
    let number = endpoint
        .ports
        .get(&port.name)
        .copied()
        .unwrap_or(port.target);
    match endpoint.at {
        Place::Service(service) => Members::Address {
            service,
            port: number,
        },
        Place::Address(ip) => Members::Fixed(vec![Endpoint {
            hostname: ip.to_string().into(),
            locality: endpoint.locality.clone(),
            weight: endpoint.weight,
            labels: endpoint
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            identity: endpoint.identity.clone(),
            ..Endpoint::at(SocketAddr::new(ip, number))
        }]),
    }
}

/// What a sidecar offers to another for what a connection carries.
///
/// Source: istio 1.29 `pilot/pkg/networking/util/util.go` (`ALPNInMesh…`), `pilot/pkg/xds/filters/filters.go` (the `istio.alpn` filter).
fn offered(
    declared: Protocol,
    protocol: UpstreamProtocol,
    carried: Carried,
) -> &'static [&'static str] {
    if declared.is_bytes() || carried == Carried::Bytes {
        return MESH_BYTES;
    }
    match protocol {
        UpstreamProtocol::Http1 => &["istio-http/1.1", "istio", "http/1.1"],
        UpstreamProtocol::Http2 => &["istio-h2", "istio", "h2"],
        UpstreamProtocol::Downstream => &["istio-http/1.1", "istio-h2", "istio", "http/1.1", "h2"],
    }
}

/// How places count. Failing over to farther ones needs outlier detection, which by itself turns it on.
///
/// Source: istio 1.29 `pilot/pkg/networking/core/loadbalancer/loadbalancer.go`, `GetEffectiveLbSetting`, `ApplyLocalityLoadBalancer`.
fn place(traffic: &Traffic, host: &Host) -> (Placement, LocalityBalance) {
    let written = traffic
        .balance
        .as_ref()
        .and_then(|Balance { locality, .. }| locality.as_ref());
    let fails_over = traffic.outlier.is_some();
    let failover = |labels: Vec<(Name, Option<Name>)>, regions: Vec<(Name, Name)>| {
        let weighted = !labels.is_empty() || !regions.is_empty();
        let placement = Placement::Failover(Failover {
            localities: labels.is_empty() || !regions.is_empty(),
            labels,
            regions,
            weighted,
        });
        let balance = if weighted {
            LocalityBalance::Weighted
        } else {
            LocalityBalance::Ignored
        };
        (placement, balance)
    };
    match written.map(|it| &it.value) {
        Some(Locality::Off) => (Placement::Alike, LocalityBalance::Ignored),
        Some(Locality::Shares(shares)) => (
            Placement::Distribute(shares.clone()),
            LocalityBalance::Weighted,
        ),
        Some(Locality::Failover { regions, labels }) if fails_over => {
            failover(labels.clone(), regions.clone())
        }
        Some(Locality::Failover { .. }) => (Placement::Alike, LocalityBalance::Ignored),
        None if !host.nearest.is_empty() => {
            let labels = host.nearest.iter().map(|label| (label.clone(), None));
            failover(labels.collect(), Vec::new())
        }
        None if fails_over => failover(Vec::new(), Vec::new()),
        None => (Placement::Alike, LocalityBalance::Ignored),
    }
}
