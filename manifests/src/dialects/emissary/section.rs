//! Listeners to chains and tables.
//!
//! Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3listener.py`.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::config::{
    CarriedLogs, ChainAction, ChainMatch, DownstreamTransport, FilterChain, HeadRules,
    HttpConnections, HttpFilter, ListenerAddress, Preface, ReplyProfile, RouteTable, ServerName,
    TcpRoute, TransportProtocol, Upgrades, VirtualHost,
};
use proxy_core::log::Logs;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::clusters::Clusters;
use super::hosts::{Ends, Host};
use super::listeners::Listener;
use super::read::Reading;
use super::routes::{Safety, Seed, Usual, seeds};
use super::tcp::TcpGroup;
use super::types::Security;
use super::version::Version;
use super::{cors, globs, heads, retries};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};

/// Request bytes kept for a retry. Source: Envoy v3 `Listener.per_connection_buffer_limit_bytes`.
const RETAINED: u64 = 1 << 20;
/// A request on which nothing happens. Source: Envoy v3 `HttpConnectionManager.stream_idle_timeout`.
const SILENCE: Duration = Duration::from_secs(300);
/// A connection without requests, or without bytes where they are carried. Source: Envoy v3 `HttpProtocolOptions.idle_timeout`,
/// `TcpProxy.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

pub(super) fn compile(reading: &Reading, defaults: OriginId, cx: &mut Compile<'_>) -> Compiled {
    let mut clusters = Clusters::new(reading, defaults, cx);
    let module = &reading.module;
    let retry = module.retry_policy.as_ref();
    let cors = module.cors.as_ref();
    let usual = Usual {
        retry: retry.and_then(|written| retries::policy(written, defaults, cx)),
        // the Module's settings are of no version
        cors: cors.map(|written| cors::policy(written, Version::Old, cx)),
    };
    let seeds = seeds(&mut clusters, &usual, cx);
    let mut section = Section {
        reading,
        seeds,
        clusters,
        defaults,
    };
    for listener in &reading.listeners {
        section.listener(listener, cx);
    }
    section.clusters.out
}

struct Section<'a> {
    reading: &'a Reading,
    seeds: Vec<Seed>,
    clusters: Clusters<'a>,
    defaults: OriginId,
}

/// What is behind one server name, or in the clear.
struct Chain<'a> {
    ends: Option<&'a Ends>,
    /// By host name.
    hosts: BTreeMap<&'a str, &'a Host>,
}

impl<'a> Section<'a> {
    fn listener(&mut self, listener: &'a Listener, cx: &mut Compile<'_>) {
        let mut chains = self.carried(listener, cx);
        if listener.http {
            for (name, chain) in self.by_name(listener, cx) {
                let matches = matches(name);
                let is_taken = chains.iter().any(|chain| chain.matches == matches);
                if is_taken {
                    report_taken(listener, &chain, cx);
                    continue;
                }
                let made = self.requests(listener, name, &chain);
                chains.push(made);
            }
        }
        if chains.is_empty() {
            report_idle(listener, cx);
            return;
        }
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let address = ListenerAddress::Socket(SocketAddr::new(any, listener.port));
        let made = proxy_core::config::Listener {
            name: listener.name.as_str().into(),
            address,
            chains,
            max_connections: None,
            preface: listener.proxy.then_some(Preface {
                optional: false,
                v1: true,
                v2: true,
            }),
            process_limit: None,
            logs: Logs::default(),
            origin: listener.origin,
        };
        self.clusters.out.draft.listeners.push(made);
    }

    /// Hosts that the Listener takes, by the server name that their chain has; in the clear all stand in one.
    ///
    /// Source: emissary `v3listener.py` (`compute_httpchains`): a Host without a certificate is in the clear alone, and requests in the clear are
    /// taken where TLS ends, too.
    fn by_name(
        &self,
        listener: &Listener,
        cx: &mut Compile<'_>,
    ) -> BTreeMap<Option<&'a str>, Chain<'a>> {
        let reading = self.reading;
        let loose = reading.install.loose_selectors;
        let mut hosts: Vec<&Host> = reading.hosts.iter().collect();
        hosts.retain(|host| listener.takes(host, loose));
        hosts.sort_by(|a, b| a.hostname.cmp(&b.hostname));
        let mut chains: BTreeMap<Option<&str>, Chain<'_>> = BTreeMap::new();
        for host in hosts {
            if let Some(ends) = host.tls.as_ref().filter(|_| listener.tls) {
                let chain = chains.entry(Some(host.server_name()));
                let chain = chain.or_insert_with(|| Chain {
                    ends: Some(ends),
                    hosts: BTreeMap::new(),
                });
                if chain
                    .ends
                    .is_some_and(|first| first.context != ends.context)
                {
                    let first = chain.hosts.values().next();
                    report_twin(host, first.copied(), "over TLS", cx);
                } else {
                    chain.hosts.insert(&host.hostname, host);
                }
            }
            let rejects = host.insecure == super::types::Action::Reject;
            if listener.security == Security::Insecure && rejects {
                continue;
            }
            let chain = chains.entry(None);
            let chain = chain.or_insert_with(|| Chain {
                ends: None,
                hosts: BTreeMap::new(),
            });
            if let Some(before) = chain.hosts.insert(&host.hostname, host) {
                report_twin(before, Some(host), "in the clear", cx);
            }
        }
        chains
    }

    fn requests(
        &mut self,
        listener: &Listener,
        name: Option<&str>,
        chain: &Chain<'_>,
    ) -> FilterChain {
        let safety = self.safety(listener, chain.ends.is_some());
        let loose = self.reading.install.loose_selectors;
        let mut virtual_hosts = Vec::new();
        for (hostname, host) in &chain.hosts {
            let seeds = self.seeds.iter().filter(|seed| {
                let group = &self.reading.groups[seed.group];
                host.takes(group.asks(&self.reading.mappings), loose)
            });
            let routes = seeds.flat_map(|seed| seed.routes(safety, host.insecure));
            virtual_hosts.push(VirtualHost {
                name: format!("{}-{hostname}", listener.name).into(),
                domains: vec![(*hostname).into()],
                routes: routes.collect(),
                attempt_count: false,
                attempt_count_in_response: false,
                origin: host.origin,
            });
        }
        let label = match name {
            Some(name) => format!("{}-tls-{name}", listener.name),
            None => format!("{}-cleartext", listener.name),
        };
        let table = self.clusters.out.draft.add_table(RouteTable {
            name: label.into(),
            virtual_hosts,
            ignore_port: false,
        });
        FilterChain {
            matches: matches(name),
            transport: transport(chain.ends),
            action: ChainAction::Http(Box::new(self.connections(table, listener))),
            origin: listener.origin,
        }
    }

    /// Whether requests are secure: where nobody before this proxy is believed, their connection says it.
    fn safety(&self, listener: &Listener, over_tls: bool) -> Safety {
        match listener.security {
            Security::Secure => Safety::Secure,
            Security::Insecure => Safety::Insecure,
            Security::Xfp => match (
                heads::is_edge(&self.reading.module) && listener.depth == 0,
                over_tls,
            ) {
                (true, true) => Safety::Secure,
                (true, false) => Safety::Insecure,
                (false, over_tls) => Safety::Forwarded { over_tls },
            },
        }
    }

    fn connections(
        &self,
        table: proxy_core::config::TableIndex,
        listener: &Listener,
    ) -> HttpConnections {
        let module = &self.reading.module;
        let defaults = self.defaults;
        let idle = module.listener_idle_timeout_ms.filter(|it| it.value > 0);
        let idle = idle.map_or(IDLE, |it| Duration::from_millis(it.value));
        let retained = module.buffer_limit_bytes.filter(|it| it.value > 0);
        let rules: HeadRules = heads::rules(module, listener.depth);
        HttpConnections {
            table,
            filters: vec![HttpFilter::Cors],
            stream_idle_timeout: Some(Sourced::new(SILENCE, defaults)),
            request_timeout: None,
            max_stream_duration: None,
            idle_timeout: Some(Sourced::new(idle, defaults)),
            max_connection_duration: None,
            head_timeout: None,
            max_requests_per_connection: None,
            retained_bytes: retained.map_or(RETAINED, |it| it.value),
            replies: ReplyProfile::Envoy,
            edge: heads::is_edge(module),
            heads: Some(Arc::new(rules)),
            upgrades: Upgrades::default(),
            logs: Logs::default(),
            tracing: None,
            origin: listener.origin,
        }
    }

    /// The chains of TCPMappings. One with a server name ends TLS by the Host or the TLSContext that has the name.
    fn carried(&mut self, listener: &Listener, cx: &mut Compile<'_>) -> Vec<FilterChain> {
        let reading = self.reading;
        let mut chains = Vec::new();
        for group in reading.tcp.iter().filter(|it| it.port == listener.port) {
            let transport = match &group.host {
                None => DownstreamTransport::Plaintext,
                Some(host) => match self.ends_of(host) {
                    Some(transport) => transport,
                    None => {
                        report_no_context(group, host, cx);
                        continue;
                    }
                },
            };
            let clusters = group.mappings.iter().zip(&group.weights);
            let clusters: Vec<_> = clusters
                .map(|(mapping, weight)| (self.clusters.of_tcp(mapping, cx), *weight))
                .collect();
            chains.push(FilterChain {
                matches: matches(group.host.as_deref()),
                transport,
                action: ChainAction::Tcp(TcpRoute {
                    clusters,
                    idle_timeout: Some(Sourced::new(IDLE, self.defaults)),
                    connect_retries: 0,
                    max_duration: None,
                    logs: CarriedLogs::default(),
                    origin: group.origin,
                }),
                origin: group.origin,
            });
        }
        chains
    }

    /// Source: emissary `v3listener.py` (`tlscontext_for_tcpmapping`).
    fn ends_of(&self, host: &str) -> Option<DownstreamTransport> {
        let mut hosts: Vec<&Host> = self.reading.hosts.iter().collect();
        hosts.sort_by(|a, b| a.hostname.cmp(&b.hostname));
        let mut hosts = hosts.into_iter().filter(|it| it.tls.is_some());
        if let Some(found) = hosts.find(|it| globs::meet(&it.hostname, host)) {
            return Some(transport(found.tls.as_ref()));
        }
        let contexts = self.reading.contexts.iter();
        let mut contexts = contexts.filter(|it| it.has_certificate);
        let context = contexts.find(|it| it.hosts.iter().any(|name| name == host))?;
        Some(DownstreamTransport::Tls {
            mutual: false,
            alpn: context.alpn.clone(),
            // one without a Secret has files of the pods
            certificate: context
                .secret
                .clone()
                .unwrap_or_else(|| context.name.as_str().into()),
        })
    }
}

fn transport(ends: Option<&Ends>) -> DownstreamTransport {
    match ends {
        None => DownstreamTransport::Plaintext,
        Some(ends) => DownstreamTransport::Tls {
            mutual: false,
            alpn: ends.alpn.clone(),
            certificate: ends.certificate.clone(),
        },
    }
}

/// What connections of a server name look like; none: those in the clear, and all that no other chain takes.
fn matches(name: Option<&str>) -> ChainMatch {
    let Some(name) = name else {
        return ChainMatch::default();
    };
    let server_name = match name.strip_prefix('*') {
        Some("") => None,
        Some(suffix) => Some(ServerName::Suffix(suffix.into())),
        None => Some(ServerName::Exact(name.into())),
    };
    ChainMatch {
        server_names: server_name.into_iter().collect(),
        transport: Some(TransportProtocol::Tls),
        ..ChainMatch::default()
    }
}

fn report_idle(listener: &Listener, cx: &mut Compile<'_>) {
    let span = super::span_of(listener.origin, cx);
    cx.diagnostics.push(
        Diagnostic::warning(
            "emissary::idle-listener",
            format!("nothing is served on port {}: no Host belongs to its Listener", listener.port),
        )
        .label(span, "this Listener")
        .help("`hostBinding` says whose Hosts it takes: of its own namespace alone unless `namespace.from` is `ALL`"),
    );
}

fn report_twin(host: &Host, other: Option<&Host>, way: &str, cx: &mut Compile<'_>) {
    let here = super::span_of(host.origin, cx);
    let there = other.map(|it| super::span_of(it.origin, cx));
    let message = format!("two Hosts have the name `{}` {way}", host.hostname);
    let mut warning =
        Diagnostic::warning("emissary::second-host", message).label(here, "has no effect there");
    if let Some(there) = there {
        warning = warning.label(there, "counts");
    }
    cx.diagnostics.push(warning);
}

fn report_taken(listener: &Listener, chain: &Chain<'_>, cx: &mut Compile<'_>) {
    for host in chain.hosts.values() {
        let here = super::span_of(host.origin, cx);
        let message = format!(
            "a TCPMapping has the connections of `{}` on port {}",
            host.hostname, listener.port
        );
        cx.diagnostics.push(
            Diagnostic::warning("emissary::second-host", message)
                .label(here, "has no effect there"),
        );
    }
}

fn report_no_context(group: &TcpGroup, host: &str, cx: &mut Compile<'_>) {
    let span = super::span_of(group.origin, cx);
    cx.diagnostics.push(
        Diagnostic::warning(
            "emissary::no-certificate",
            format!("nobody ends TLS for the TCPMapping's host `{host}`"),
        )
        .label(span, "left out")
        .help("a Host with a `tlsSecret` does, or a TLSContext with the name among its `hosts`"),
    );
}
