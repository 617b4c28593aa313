//! What arrives at meshed pods.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use proxy_core::config::{
    ChainAction, ChainMatch, CloseReason, ClusterIndex, DownstreamTransport, Fault, FaultAbort,
    FaultDelay, FilterChain, HttpFilter, ListenerAddress, LocalRateLimit, Name, RouteAction,
    RouteMatch, RouteTable, Share, TransportProtocol, VirtualHost,
};
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::origin::{OriginId, Sourced};

use super::annotations::{EXCLUDE_INBOUND, ports};
use super::chains::{IDLE, bytes, chain, dialled, forward, http, listener, route};
use super::clusters::ALPN;
use super::dataplane::{Dataplane, Inbound};
use super::policies::Policies;
use super::release::Defaults;
use super::settings::{apply_breaker, apply_connections, timeouts};
use super::types::{Breaker, Faults, HttpFault, RateLimits, Timeouts, TlsMode};
use crate::dialects::{Compile, Compiled};
use crate::model::Upstream;
use crate::text::Spanned;

/// Where what a proxy passes on to its application comes from: redirect rules let it through.
///
/// Source: kuma 2.14 `pkg/xds/generator/metadata` (`TransparentInPassThroughIPv4`).
const OWN_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// The inbound section of a proxy. A port that several Services lead to is that of the first by name.
///
/// Source: kuma 2.14 `pkg/xds/generator/inbound_proxy_generator.go`, `transparent_proxy_generator.go`.
pub(super) fn section(
    policies: &Policies,
    proxy: &Dataplane<'_>,
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Compiled {
    let identity = policies.name_of(proxy);
    let mut section = Section {
        policies,
        proxy,
        identity,
        defaults,
        cx,
        out: Compiled::default(),
    };
    let excluded = ports(proxy.workload, EXCLUDE_INBOUND);
    let mut seen: BTreeSet<u16> = excluded.iter().copied().collect();
    let mut strict = policies
        .proof(proxy)
        .filter(|proof| proof.mode == TlsMode::Strict)
        .map(|proof| proof.origin);
    // what arrives at a gateway of another system is its own
    let served: &[Inbound] = if proxy.is_gateway {
        &[]
    } else {
        &proxy.inbounds
    };
    for port in served {
        if seen.insert(port.number) {
            let mode = section.port(port);
            strict = mode
                .filter(|mode| mode.value == TlsMode::Strict)
                .map(|mode| mode.origin);
        }
    }
    let closes = policies.release.closes_other_ports() && !proxy.is_gateway;
    section.others(&excluded, strict.filter(|_| closes));
    section.out
}

struct Section<'s, 'r, 'a> {
    policies: &'s Policies,
    proxy: &'s Dataplane<'s>,
    identity: Name,
    defaults: Defaults,
    cx: &'r mut Compile<'a>,
    out: Compiled,
}

impl Section<'_, '_, '_> {
    /// A port, and whether it takes plaintext.
    fn port(&mut self, port: &Inbound) -> Option<Sourced<TlsMode>> {
        let (policies, proxy, defaults) = (self.policies, self.proxy, self.defaults);
        let name = format!("inbound:{}", port.number);
        let conf: Timeouts = policies.timeouts.arriving(proxy, port).unwrap_or_default();
        let (connections, requests) = timeouts(&conf, defaults, self.cx);
        let mut made = dialled(&name, &proxy.workload.full_name(), defaults);
        made.protocol = port.protocol.of_application();
        made.source_address = Some(OWN_SOURCE);
        apply_connections(&mut made, &connections, port.protocol);
        if let Some(conf) = policies.breakers.arriving::<Breaker>(proxy, port) {
            apply_breaker(&mut made, &conf, defaults, self.cx);
        }
        let origin = self.cx.services[port.service.index()].origin;
        made.origin = origin;
        let cluster = self.out.add(made, Upstream::default());
        let action = if port.protocol.is_http() {
            let forward = forward(cluster, &requests, origin);
            let action = RouteAction::Forward(Box::new(forward));
            let table = self.out.draft.add_table(RouteTable {
                name: name.as_str().into(),
                virtual_hosts: vec![VirtualHost {
                    name: name.as_str().into(),
                    domains: vec!["*".into()],
                    routes: vec![route("default", RouteMatch::all(), action, origin)],
                    attempt_count: false,
                    attempt_count_in_response: false,
                    origin,
                }],
                ignore_port: false,
            });
            let filters = self.filters(port);
            http(table, filters, &requests, defaults)
        } else {
            bytes(vec![(cluster, 1)], connections.idle, 0, origin)
        };
        let mode = policies.mode(proxy, port, defaults, self.cx);
        let chains = self.chains(&action, mode, origin);
        let address = ListenerAddress::InboundPort(port.number);
        let made = listener(&name, address, chains, origin);
        self.out.draft.listeners.push(made);
        mode
    }

    /// Faults, then the rate limit: filters stand in the order of their policies' names.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/xds/http_filters.go`; each fault is a filter of its own.
    fn filters(&mut self, port: &Inbound) -> Vec<HttpFilter> {
        let (policies, proxy) = (self.policies, self.proxy);
        let mut filters = Vec::new();
        for conf in policies.faults.each_arriving::<Faults>(proxy, port) {
            for written in conf.http.iter().flatten() {
                let origin = self.defaults.at(written.span, self.cx);
                filters.push(HttpFilter::Fault(Some(fault(written, origin))));
            }
        }
        let conf = policies.limits.arriving::<RateLimits>(proxy, port);
        if let Some(limit) = conf.and_then(|conf| self.limit(&conf, port)) {
            filters.push(HttpFilter::LocalRateLimit(Some(limit)));
        }
        filters
    }

    /// A bucket that holds what an interval brings; each proxy has its own.
    ///
    /// Source: kuma 2.14 `pkg/xds/envoy/routes/v3/ratelimit.go`.
    fn limit(&mut self, conf: &RateLimits, port: &Inbound) -> Option<LocalRateLimit> {
        let http = conf.local.as_ref()?.http.as_ref()?;
        if http.disabled.is_some_and(|it| it.value) {
            return None;
        }
        let rate = http.request_rate.as_ref()?;
        let status = http.on_rate_limit.as_ref().and_then(|it| it.status);
        Some(LocalRateLimit {
            bucket: Settings {
                max_tokens: rate.num.value,
                tokens_per_fill: rate.num.value,
                fill_interval: rate.interval.value.0,
                refill: Refill::Continuous,
            },
            status: status.map_or(429, |it| it.value),
            name: format!("{}:{}", self.proxy.workload.full_name(), port.number).into(),
            origin: self.defaults.at(rate.span, self.cx),
        })
    }

    /// Source: kuma 2.14 `pkg/plugins/policies/meshtls/plugin/v1alpha1/plugin.go`, `configureListener`.
    fn chains(
        &self,
        action: &ChainAction,
        mode: Option<Sourced<TlsMode>>,
        origin: OriginId,
    ) -> Vec<FilterChain> {
        let Some(mode) = mode else {
            return vec![chain(ChainMatch::default(), action.clone(), origin)];
        };
        let of = |transport, protocols: Vec<Box<str>>| ChainMatch {
            transport: Some(transport),
            protocols,
            ..ChainMatch::default()
        };
        let (raw, tls) = (TransportProtocol::Raw, TransportProtocol::Tls);
        let mutual = |matches: ChainMatch| FilterChain {
            matches,
            transport: DownstreamTransport::Tls {
                mutual: true,
                alpn: Vec::new(),
                certificate: self.identity.clone(),
            },
            action: action.clone(),
            origin: mode.origin,
        };
        match mode.value {
            TlsMode::Strict => vec![mutual(of(tls, Vec::new()))],
            // TLS of the application's own passes as it comes
            TlsMode::Permissive => vec![
                chain(of(raw, Vec::new()), action.clone(), mode.origin),
                chain(of(tls, Vec::new()), action.clone(), mode.origin),
                mutual(of(tls, vec![ALPN.into()])),
            ],
        }
    }

    /// Ports that no Service leads to: where mutual TLS is asked for they are closed, from 2.13 on; else they are carried as bytes.
    fn others(&mut self, excluded: &[u16], strict: Option<OriginId>) {
        let defaults = self.defaults;
        let name = "inbound:passthrough";
        let mut made = dialled(name, &self.proxy.workload.full_name(), defaults);
        made.source_address = Some(OWN_SOURCE);
        let cluster: ClusterIndex = self.out.add(made, Upstream::default());
        let carried = || bytes(vec![(cluster, 1)], defaults.of(IDLE), 0, defaults.origin);
        for port in excluded {
            let chains = vec![chain(ChainMatch::default(), carried(), defaults.origin)];
            let address = ListenerAddress::InboundPort(*port);
            let name = format!("excluded:{port}");
            let made = listener(&name, address, chains, defaults.origin);
            self.out.draft.listeners.push(made);
        }
        let (action, origin) = match strict {
            Some(origin) => (ChainAction::Close(CloseReason::NoFilterChain), origin),
            None => (carried(), defaults.origin),
        };
        let chains = vec![chain(ChainMatch::default(), action, origin)];
        let made = listener(name, ListenerAddress::InboundRest, chains, origin);
        self.out.draft.listeners.push(made);
    }
}

fn fault(written: &Spanned<HttpFault>, origin: OriginId) -> Fault {
    let share = |percentage: f64| Share::from_percent(percentage);
    Fault {
        delay: written.delay.as_ref().map(|delay| FaultDelay {
            fixed: Some(delay.value.value.0),
            share: share(delay.percentage.value.0),
        }),
        abort: written.abort.as_ref().map(|abort| FaultAbort {
            status: u16::try_from(abort.http_status.value).ok(),
            grpc: None,
            share: share(abort.percentage.value.0),
        }),
        headers: Vec::new(),
        max_active: None,
        origin,
    }
}
