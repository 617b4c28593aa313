//! Servers to clusters.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use proxy_core::config::{
    Cluster, ClusterIndex, ConnectionPool, Endpoint, EndpointSet, HashPolicy, HashSource, Limits,
    LocalityBalance, Name, PrefaceVersion, Share, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::{OriginId, Sourced};

use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::policy::{Connect, Place, Scheme, Servers, TcpServers};
use crate::dialects::{Compile, Compiled};
use crate::gateway_api::Roots;
use crate::model::{Credential, Members, ServiceId, Upstream};

/// The clusters of one Traefik while it is compiled.
pub(super) struct Clusters {
    pub(super) out: Compiled,
    pub(super) defaults: OriginId,
    known: Vec<(Known, ClusterIndex)>,
}

#[derive(Clone, PartialEq, Debug)]
enum Known {
    Requests(Box<Servers>),
    Bytes(TcpServers, bool),
}

impl Clusters {
    pub(super) fn new(defaults: OriginId) -> Self {
        Self {
            out: Compiled::default(),
            defaults,
            known: Vec::new(),
        }
    }

    fn of<T>(&self, value: T) -> Sourced<T> {
        Sourced::new(value, self.defaults)
    }

    /// A name that no cluster has yet.
    fn name(&self, base: &str) -> String {
        let taken = |name: &str| self.out.draft.clusters.iter().any(|it| *it.name == *name);
        let numbered = (2..).map(|nth| format!("{base}#{nth}"));
        let mut names = std::iter::once(base.to_owned()).chain(numbered);
        names.find(|name| !taken(name)).expect("numbers do not end")
    }

    fn find(&self, wanted: &Known) -> Option<ClusterIndex> {
        let mut known = self.known.iter();
        known.find(|(known, _)| known == wanted).map(|(_, at)| *at)
    }

    /// The cluster of servers that requests are sent to; equal ones share it.
    pub(super) fn requests(&mut self, servers: &Servers, cx: &mut Compile<'_>) -> ClusterIndex {
        let neutral = Servers {
            // what is the route's matter makes no other cluster
            keeps_host: Sourced::new(true, OriginId::NONE),
            session: None,
            origin: OriginId::NONE,
            ..servers.clone()
        };
        let known = Known::Requests(Box::new(neutral));
        if let Some(at) = self.find(&known) {
            return at;
        }
        let (service, port) = named(&servers.at);
        let service = &cx.services[service.index()];
        let (host, full, origin) = (service.host(), service.full_name(), service.origin);
        let name = self.name(&format!("{full}:{port}"));
        let over_tls = servers.scheme.value == Scheme::Https;
        let transport = if over_tls {
            self.tls(&name, &host, servers, cx)
        } else {
            UpstreamTransport::Plaintext
        };
        let cluster = Cluster {
            service: full.into(),
            balancer: servers.balancer.clone(),
            passive: servers.passive,
            health_checks: servers.check.iter().cloned().collect(),
            connect_timeout: servers.transport.dial_timeout,
            protocol: match servers.scheme.value {
                Scheme::Http | Scheme::Https => UpstreamProtocol::Http1,
                Scheme::H2c => UpstreamProtocol::Http2,
            },
            transport,
            pool: ConnectionPool {
                idle_timeout: Some(servers.transport.idle_timeout),
                max_streams: self.of((1 << 31) - 1),
                ..ConnectionPool::default()
            },
            origin,
            ..self.plain(&name)
        };
        let at = self.out.add(cluster, upstream(&servers.at));
        self.known.push((known, at));
        at
    }

    /// The cluster of servers that bytes or datagrams are carried to.
    pub(super) fn bytes(
        &mut self,
        servers: &TcpServers,
        datagrams: bool,
        cx: &Compile<'_>,
    ) -> ClusterIndex {
        let neutral = TcpServers {
            origin: OriginId::NONE,
            ..servers.clone()
        };
        let known = Known::Bytes(neutral, datagrams);
        if let Some(at) = self.find(&known) {
            return at;
        }
        let (id, port) = named(&servers.at);
        let service = &cx.services[id.index()];
        let kind = if datagrams { "udp" } else { "tcp" };
        let name = self.name(&format!("{}:{port}/{kind}", service.full_name()));
        let cluster = Cluster {
            service: service.full_name().into(),
            connect_timeout: servers.dial_timeout,
            preface: servers.preface.map(|version| match version {
                1 => PrefaceVersion::V1,
                _ => PrefaceVersion::V2,
            }),
            transport: if servers.tls {
                UpstreamTransport::Tls {
                    sni: service.host().into(),
                    certificate: None,
                }
            } else {
                UpstreamTransport::Plaintext
            },
            origin: service.origin,
            ..self.plain(&name)
        };
        let upstream = if datagrams {
            let members = Members::Datagrams { service: id, port };
            Upstream {
                members,
                ..Upstream::default()
            }
        } else {
            upstream(&servers.at)
        };
        let at = self.out.add(cluster, upstream);
        self.known.push((known, at));
        at
    }

    /// A cluster as Traefik has it unless something is said: everything well or nothing, and no limits.
    fn plain(&self, name: &str) -> Cluster {
        Cluster {
            balancer: self.of(proxy_core::config::Balancer::TraefikTurns),
            locality: self.of(LocalityBalance::Ignored),
            panic_threshold: self.of(Share::ZERO),
            fail_traffic_on_panic: true,
            limits: [Limits::unlimited(self.defaults); 2],
            ..Cluster::envoy(name, EndpointSet::default())
        }
    }

    fn tls(
        &mut self,
        name: &str,
        host: &str,
        servers: &Servers,
        cx: &mut Compile<'_>,
    ) -> UpstreamTransport {
        let transport = &servers.transport;
        let sni: Name = transport.server_name.as_deref().unwrap_or(host).into();
        let roots = authorities(transport, cx);
        if roots.is_none() && !transport.skips_verification {
            let message = "certificates of servers are taken as valid";
            let meaning = "Traefik asks them for its machine's authorities and for the address that it dials, and answers 500 where they fail";
            let mut note = Diagnostic::assumed("traefik::server-certificates", message, meaning);
            if let Some(span) = cx
                .origins
                .span(servers.scheme.origin)
                .or_else(|| cx.origins.span(servers.origin))
            {
                note = note.label(span, "spoken to in TLS");
            }
            cx.diagnostics.push(note.help("a ServersTransport says what is believed: `rootCAs`, `serverName`, `insecureSkipVerify`"));
        }
        let credential: Name = format!("traefik to {name}").into();
        self.out.credentials.insert(
            credential.clone(),
            Credential {
                pairs: transport.certificates.clone(),
                checks_host: roots.is_some(),
                roots,
                names: Vec::new(),
                takes_any: false,
                alpn: vec!["http/1.1".into()],
            },
        );
        UpstreamTransport::Tls {
            sni,
            certificate: Some(credential),
        }
    }
}

/// Whose certificates are believed, as far as that is among the manifests.
fn authorities(transport: &Connect, cx: &Compile<'_>) -> Option<Roots> {
    if transport.skips_verification {
        return None;
    }
    let pem = transport.authorities.iter().filter_map(|(name, is_map)| {
        let (namespace, name) = name.split_once('/')?;
        let kind = if *is_map { "ConfigMap" } else { "Secret" };
        let object = cx.objects.get("", kind, namespace, name)?;
        ["tls.ca", "ca.crt"].into_iter().find_map(|key| {
            let at = |part: &str| object.node.get(part)?.get(key)?.as_str();
            let plain = at("stringData").map(str::to_owned);
            let text = plain.or_else(|| {
                let data = at("data")?;
                if *is_map {
                    return Some(data.to_owned());
                }
                let bytes = BASE64.decode(data.trim().as_bytes()).ok()?;
                String::from_utf8(bytes).ok()
            });
            text.map(Arc::<str>::from)
        })
    });
    let pem: Vec<Arc<str>> = pem.collect();
    (!pem.is_empty()).then_some(Roots::Pem(pem))
}

fn named(at: &Place) -> (ServiceId, u16) {
    match at {
        Place::Pods(service, port) | Place::Address(service, port) => (*service, *port),
        Place::Fixed(service, all, _) => {
            (*service, all.first().map_or(0, std::net::SocketAddr::port))
        }
    }
}

fn upstream(at: &Place) -> Upstream {
    let members = match at {
        Place::Pods(service, port) => Members::Pods {
            service: *service,
            port: *port,
            labels: Vec::new(),
        },
        Place::Address(service, port) => Members::Address {
            service: *service,
            port: *port,
        },
        Place::Fixed(_, all, host) => Members::Fixed(
            all.iter()
                .map(|address| Endpoint {
                    hostname: host.as_str().into(),
                    ..Endpoint::at(*address)
                })
                .collect(),
        ),
    };
    Upstream {
        members,
        ..Upstream::default()
    }
}

/// What `hrw` goes by: the client's address.
pub(super) fn hash() -> HashPolicy {
    HashPolicy {
        source: HashSource::SourceAddress,
        terminal: true,
    }
}

/// Any address of this machine.
pub(super) const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
