//! Backends to clusters.

use std::collections::BTreeMap;

use proxy_core::config::{
    Cluster, ClusterIndex, ConnectionPool, EndpointSet, Limits, Name, Share, UpstreamProtocol,
    UpstreamTransport,
};
use proxy_core::origin::{OriginId, Sourced};

use super::systems::{Count, System};
use crate::dialects::{Compile, Compiled};
use crate::gateway_api::types::{BackendRef, text};
use crate::gateway_api::{Api, BackendProblem, Lookup, Resolved, RouteKind, find_backend};
use crate::model::{Credential, Members, ServiceId, Upstream};

/// What is spoken to a backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(super) enum Spoken {
    /// Requests, as the port's `appProtocol` has it.
    Requests,
    /// Calls: HTTP/2.
    Calls,
    /// Whatever comes.
    Bytes,
    /// Datagrams.
    Datagrams,
}

/// The clusters of one gateway while it is compiled.
pub(super) struct Clusters<'a, 'c> {
    pub(super) api: &'a Api,
    pub(super) resolved: &'a Resolved,
    /// The Secret with the certificate that backends are shown.
    client_certificate: Option<Name>,
    /// Whether requests go on in the protocol that they came in.
    pub(super) as_client: bool,
    /// The Service whose routes are compiled: they may lead to it wherever they stand.
    pub(super) parent: Option<ServiceId>,
    /// Who serves.
    pub(super) system: &'static System,
    pub(super) defaults: OriginId,
    pub(super) out: Compiled,
    known: BTreeMap<(ServiceId, u16, Spoken), Option<ClusterIndex>>,
    services: &'c [crate::model::Service],
    nowhere: Option<ClusterIndex>,
}

impl<'a, 'c> Clusters<'a, 'c> {
    pub(super) fn new(
        api: &'a Api,
        resolved: &'a Resolved,
        client_certificate: Option<Name>,
        (system, defaults): (&'static System, OriginId),
        cx: &Compile<'c>,
    ) -> Self {
        Self {
            api,
            resolved,
            client_certificate,
            as_client: false,
            parent: None,
            system,
            defaults,
            out: Compiled::default(),
            known: BTreeMap::new(),
            services: cx.services,
            nowhere: None,
        }
    }

    /// The cluster of a backend; none: it cannot be reached.
    pub(super) fn of(
        &mut self,
        backend: &BackendRef,
        (kind, namespace): (RouteKind, &str),
        spoken: Spoken,
        cx: &Compile<'_>,
    ) -> Option<ClusterIndex> {
        let lookup = Lookup {
            objects: cx.objects,
            services: cx.services,
        };
        let (service, port) = match find_backend(self.api, lookup, (kind, namespace), backend) {
            Ok(found) => found,
            Err(BackendProblem::NotPermitted) => self.parent_named(namespace, backend)?,
            Err(_) => return None,
        };
        self.of_port(service, port, spoken)
    }

    /// A route's own parent, where the backend is that one.
    fn parent_named(&self, namespace: &str, backend: &BackendRef) -> Option<(ServiceId, u16)> {
        let parent = &self.services[self.parent?.index()];
        let of = text(&backend.namespace).unwrap_or(namespace);
        let port = backend.port.as_ref()?.value;
        let is_it = *parent.name == *backend.name.value && *parent.namespace == *of;
        (is_it && parent.port(port).is_some()).then_some((parent.id, port))
    }

    /// The cluster of a Service's port; none: it cannot be reached.
    pub(super) fn of_port(
        &mut self,
        service: ServiceId,
        port: u16,
        spoken: Spoken,
    ) -> Option<ClusterIndex> {
        let key = (service, port, spoken);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let made = self.make(service, port, spoken);
        self.known.insert(key, made);
        made
    }

    /// A cluster that leads nowhere: connections to it fail.
    pub(super) fn nowhere(&mut self) -> ClusterIndex {
        if let Some(known) = self.nowhere {
            return known;
        }
        let cluster = Cluster::envoy("nowhere", EndpointSet::default());
        let made = self.out.add(cluster, Upstream::default());
        self.nowhere = Some(made);
        made
    }

    /// How many retries are meant; one for each endpoint but the first goes by what the manifests ask for of pods.
    pub(super) fn count(&self, count: Count, to: &[ClusterIndex], cx: &Compile<'_>) -> u32 {
        let pods = || {
            let services = self.known.iter().filter_map(|((service, ..), at)| {
                at.filter(|at| to.contains(at))
                    .map(|_| &self.services[service.index()])
            });
            let pods = services.map(|service| {
                let workloads = service.workloads.iter();
                workloads
                    .map(|id| cx.workloads[id.index()].replicas)
                    .sum::<u32>()
            });
            pods.max().unwrap_or(1)
        };
        match count {
            Count::Times(times) => times,
            Count::Endpoints => pods().saturating_sub(1),
        }
    }

    fn make(&mut self, id: ServiceId, number: u16, spoken: Spoken) -> Option<ClusterIndex> {
        let service = &self.services[id.index()];
        let port = match spoken {
            Spoken::Datagrams => service.datagram_port(number)?,
            Spoken::Requests | Spoken::Calls | Spoken::Bytes => service.port(number)?,
        };
        let over_http2 = match (spoken, port.app_protocol.as_deref()) {
            (Spoken::Calls, _) | (Spoken::Requests, Some("kubernetes.io/h2c")) => true,
            (Spoken::Requests | Spoken::Bytes | Spoken::Datagrams, _) => false,
        };
        let mut name = format!("{}:{number}", service.full_name());
        name.push_str(match spoken {
            Spoken::Requests => "",
            Spoken::Calls => "/grpc",
            Spoken::Bytes => "/bytes",
            Spoken::Datagrams => "/datagrams",
        });
        let is_datagrams = spoken == Spoken::Datagrams;
        let policy = self.resolved.policy_for(id, port.name.as_deref());
        let policy = policy.filter(|_| !is_datagrams);
        let transport = match policy {
            None => UpstreamTransport::Plaintext,
            Some(policy) => {
                let trust = policy.trust.as_ref().filter(|_| policy.is_accepted())?;
                let credential: Name = format!("backend {name}").into();
                self.out.credentials.insert(
                    credential.clone(),
                    Credential::of_backend(trust, self.client_certificate.clone(), over_http2),
                );
                UpstreamTransport::Tls {
                    sni: trust.hostname.as_str().into(),
                    certificate: Some(credential),
                }
            }
        };
        let system = self.system;
        let of = |length| Sourced::new(length, self.defaults);
        let limits = match system.retries_at_once {
            Some(retries) => Limits {
                retries: of(retries),
                ..Limits::envoy()
            },
            None => Limits::unlimited(self.defaults),
        };
        let plain = Cluster::envoy(&name, EndpointSet::default());
        let panic_threshold = match system.panics {
            true => plain.panic_threshold,
            false => Sourced::new(Share::ZERO, self.defaults),
        };
        let cluster = Cluster {
            service: service.full_name().into(),
            protocol: match (over_http2, self.as_client) {
                (true, _) => UpstreamProtocol::Http2,
                (false, true) => UpstreamProtocol::Downstream,
                (false, false) => UpstreamProtocol::Http1,
            },
            transport,
            balancer: Sourced::new(system.balancer.clone(), self.defaults),
            panic_threshold,
            fail_traffic_on_panic: !system.panics,
            connect_timeout: Sourced::new(system.connect, self.defaults),
            pool: ConnectionPool {
                max_requests_per_connection: system
                    .requests_of_connection
                    .map(|most| Sourced::new(most, self.defaults)),
                idle_timeout: Some(Sourced::new(system.idle, self.defaults)),
                ..plain.pool
            },
            limits: [limits; 2],
            origin: service.origin,
            ..plain
        };
        let members = match spoken {
            Spoken::Datagrams => Members::Datagrams {
                service: id,
                port: number,
            },
            Spoken::Requests | Spoken::Calls | Spoken::Bytes => Members::Pods {
                service: id,
                port: number,
                labels: Vec::new(),
            },
        };
        let upstream = Upstream {
            members,
            ..Upstream::default()
        };
        Some(self.out.add(cluster, upstream))
    }
}
