//! MeshPassthrough: what becomes of connections to where nobody is known.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proxy_core::config::{
    ChainAction, ChainMatch, Cidr, CloseReason, ClusterIndex, DirectResponse, FilterChain,
    ListenerAddress, RouteAction, RouteMatch, RouteTable, ServerName, TransportProtocol,
    UpstreamProtocol, VirtualHost,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::chains::{IDLE, bytes, chain, dialled, forward, http, listener, route};
use super::clusters::Clusters;
use super::notes::bad_value;
use super::settings::Requests;
use super::types::{Passthrough, PassthroughMatch, PassthroughMode};
use crate::diagnostics::Diagnostic;
use crate::diagnostics::{Diagnostics, did_you_mean};
use crate::model::Upstream;

/// What HTTP looks like in plaintext.
const PLAIN_HTTP: [&str; 2] = ["http/1.1", "h2c"];
/// What is spoken to a destination outside.
const PROTOCOLS: [&str; 6] = ["tcp", "tls", "grpc", "http", "http2", "mysql"];
/// What hosts are answered that no match is for. Source: kuma 2.14
/// `pkg/plugins/policies/meshpassthrough/plugin/xds/listeners_filter_chain.go`.
const NO_MATCH: &str = "This response comes from Kuma Sidecar. No routes matched this domain - check configuration of your MeshPassthrough policy.\n";

/// What Kuma's own validation asks of a match.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshpassthrough/api/v1alpha1/validator.go`.
pub(super) fn check(one: &PassthroughMatch, out: &mut Diagnostics) {
    let protocol = one.protocol.as_ref();
    let word = protocol.map_or("tcp", |it| it.as_str());
    if let Some(protocol) = protocol.filter(|it| !PROTOCOLS.contains(&it.as_str())) {
        out.push(
            Diagnostic::error("kuma::bad-value", format!("no protocol `{protocol}`"))
                .label(protocol.span, "this one")
                .maybe_help(did_you_mean(protocol, PROTOCOLS)),
        );
    }
    if word == "mysql" && one.port.is_none() {
        bad_value(one.r#type.span, "`port` must be set for `mysql`", out);
    }
    if let Some(port) = one.port.filter(|it| it.value == 0) {
        bad_value(port.span, "must be from 1 to 65535", out);
    }
    let value = one.value.as_str();
    match one.r#type.as_str() {
        "IP" => {
            if value.parse::<IpAddr>().is_err() {
                bad_value(one.value.span, "is no address", out);
            }
        }
        "CIDR" => {
            if cidr(value).is_none() {
                bad_value(one.value.span, "is no address block", out);
            }
        }
        "Domain" => {
            if matches!(word, "tcp" | "mysql") {
                let span = protocol.map_or(one.r#type.span, |it| it.span);
                let message = format!("`{word}` does not tell domains apart");
                bad_value(span, message, out);
            }
            let is_partial = value.starts_with('*') && !value.starts_with("*.") && value != "*";
            if is_partial || value.is_empty() || value.contains(char::is_whitespace) {
                bad_value(one.value.span, "is no domain", out);
            }
            let is_http = matches!(word, "http" | "http2" | "grpc");
            if value.starts_with('*') && is_http && one.port.is_none() {
                let message = "`port` must be set for a wildcard of requests";
                bad_value(one.value.span, message, out);
            }
        }
        _ => bad_value(one.r#type.span, "write `Domain`, `IP` or `CIDR`", out),
    }
}

fn cidr(text: &str) -> Option<Cidr> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some(Cidr { address, bits })
}

fn single(text: &str) -> Option<Cidr> {
    let address: IpAddr = text.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    Some(Cidr { address, bits })
}

impl Clusters<'_, '_, '_> {
    /// The listener for addresses that belong to no destination; `cluster` dials what was dialled.
    pub(super) fn pass(&mut self, cluster: ClusterIndex) {
        let (policies, proxy, defaults) = (self.policies, self.proxy, self.defaults);
        let conf: Option<Passthrough> = policies.passthrough.own(proxy);
        let of_mesh = policies.meshes.get(&proxy.mesh);
        let of_mesh = of_mesh.and_then(|it| it.passthrough);
        let mode = match &conf {
            Some(conf) => {
                let mode = conf.passthrough_mode;
                defaults.or(mode, PassthroughMode::Matched, self.cx)
            }
            None => of_mesh.map_or_else(
                || defaults.of(PassthroughMode::All),
                |passes| {
                    let mode = if passes.value {
                        PassthroughMode::All
                    } else {
                        PassthroughMode::None
                    };
                    Sourced::new(mode, passes.origin)
                },
            ),
        };
        let dialled = bytes(vec![(cluster, 1)], defaults.of(IDLE), 0, mode.origin);
        let closed = ChainAction::Close(CloseReason::BlackHole);
        let mut chains = Vec::new();
        let rest = match mode.value {
            PassthroughMode::All => dialled,
            PassthroughMode::None => closed,
            PassthroughMode::Matched => {
                let matches = conf.and_then(|it| it.append_match).unwrap_or_default();
                chains = self.matched(&matches, cluster);
                closed
            }
        };
        chains.push(chain(ChainMatch::default(), rest, mode.origin));
        let name = "outbound:passthrough";
        let address = ListenerAddress::OutboundRest;
        let made = listener(name, address, chains, mode.origin);
        self.out.draft.listeners.push(made);
    }

    fn matched(&mut self, matches: &[PassthroughMatch], cluster: ClusterIndex) -> Vec<FilterChain> {
        let mut chains: Vec<FilterChain> = Vec::new();
        let mut by_host: Vec<(Option<u16>, &str, Vec<&PassthroughMatch>)> = Vec::new();
        for one in matches {
            let port = one.port.map(|it| it.value);
            let word = one.protocol.as_ref().map_or("tcp", |it| it.as_str());
            let is_http = matches!(word, "http" | "http2" | "grpc");
            if one.r#type.value == "Domain" && is_http {
                let at = by_host.iter().position(|it| (it.0, it.1) == (port, word));
                let at = at.unwrap_or_else(|| {
                    by_host.push((port, word, Vec::new()));
                    by_host.len() - 1
                });
                by_host[at].2.push(one);
                continue;
            }
            let Some(mut matched) = address_match(one) else {
                continue;
            };
            matched.port = port;
            let origin = self.cx.origins.written(one.value.span);
            let (transport, action) = match word {
                "tls" => (TransportProtocol::Tls, self.carried(cluster, origin)),
                _ if is_http => {
                    matched.protocols = PLAIN_HTTP.map(Into::into).to_vec();
                    let hosts = vec![(vec!["*".into()], one.value.as_str(), origin)];
                    (TransportProtocol::Raw, self.hosts(word, hosts, origin))
                }
                _ => (TransportProtocol::Raw, self.carried(cluster, origin)),
            };
            matched.transport = Some(transport);
            // of equal matches the first counts
            if !chains.iter().any(|it| it.matches == matched) {
                chains.push(chain(matched, action, origin));
            }
        }
        for (port, word, matches) in by_host {
            let origin = self.cx.origins.written(matches[0].value.span);
            let hosts = matches.iter().map(|one| {
                let value = one.value.to_ascii_lowercase();
                let with_port = match port {
                    Some(port) => format!("{value}:{port}"),
                    None => format!("{value}:*"),
                };
                let domains = vec![value.into(), with_port.into()];
                let origin = self.cx.origins.written(one.value.span);
                (domains, one.value.as_str(), origin)
            });
            let hosts = hosts.collect();
            let matched = ChainMatch {
                port,
                transport: Some(TransportProtocol::Raw),
                protocols: PLAIN_HTTP.map(Into::into).to_vec(),
                ..ChainMatch::default()
            };
            let action = self.hosts(word, hosts, origin);
            if !chains.iter().any(|it| it.matches == matched) {
                chains.push(chain(matched, action, origin));
            }
        }
        at_every_port(&mut chains);
        chains
    }

    fn carried(&self, cluster: ClusterIndex, origin: OriginId) -> ChainAction {
        bytes(vec![(cluster, 1)], self.defaults.of(IDLE), 0, origin)
    }

    /// Requests to some hosts, which are dialled where they were meant for; others are answered 503.
    fn hosts(
        &mut self,
        word: &str,
        hosts: Vec<(Vec<Box<str>>, &str, OriginId)>,
        origin: OriginId,
    ) -> ChainAction {
        let defaults = self.defaults;
        let name = format!("outbound:passthrough:{word}");
        let known = self
            .out
            .draft
            .clusters
            .iter()
            .position(|it| *it.name == *name);
        let cluster = match known {
            Some(at) => ClusterIndex(u32::try_from(at).expect("fewer than 2^32 clusters")),
            None => {
                let mut made = dialled(&name, "outbound:passthrough", defaults);
                made.protocol = match word {
                    "http" => UpstreamProtocol::Http1,
                    _ => UpstreamProtocol::Http2,
                };
                self.out.add(made, Upstream::default())
            }
        };
        let seconds = |seconds| defaults.of(Duration::from_secs(seconds));
        // no policy has a say here: Envoy's own timeouts hold
        let requests = Requests {
            timeout: seconds(15),
            stream_idle: seconds(300),
            max_stream: None,
            head: None,
        };
        let mut taken: Vec<Box<str>> = Vec::new();
        let mut made = Vec::new();
        for (mut domains, value, origin) in hosts {
            domains.retain(|it| !taken.contains(it));
            taken.extend(domains.iter().cloned());
            if domains.is_empty() {
                continue;
            }
            let forward = forward(cluster, &requests, origin);
            let action = RouteAction::Forward(Box::new(forward));
            made.push(VirtualHost {
                name: value.into(),
                domains,
                routes: vec![route(value, RouteMatch::all(), action, origin)],
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            });
        }
        if !taken.iter().any(|it| **it == *"*") {
            let action = RouteAction::Direct(DirectResponse {
                status: 503,
                body: NO_MATCH.into(),
            });
            made.push(VirtualHost {
                name: "no_match".into(),
                domains: vec!["*".into()],
                routes: vec![route("no_match", RouteMatch::all(), action, origin)],
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            });
        }
        let table = self.out.draft.add_table(RouteTable {
            name: name.into(),
            virtual_hosts: made,
            ignore_port: false,
        });
        let mut action = http(table, Vec::new(), &requests, defaults);
        if let ChainAction::Http(connections) = &mut action {
            connections.idle_timeout = Some(defaults.of(IDLE));
        }
        action
    }
}

/// Matches without a port hold at the ports of others, too: Envoy looks at the port before all else.
///
/// Source: what kuma 2.14.3 makes, `pkg/plugins/policies/meshpassthrough/plugin/xds`.
fn at_every_port(chains: &mut Vec<FilterChain>) {
    let ports: BTreeSet<u16> = chains.iter().filter_map(|it| it.matches.port).collect();
    let anywhere = chains.iter().filter(|it| it.matches.port.is_none());
    let anywhere: Vec<FilterChain> = anywhere.cloned().collect();
    for one in anywhere {
        for port in &ports {
            let mut copy = one.clone();
            copy.matches.port = Some(*port);
            if !chains.iter().any(|it| it.matches == copy.matches) {
                chains.push(copy);
            }
        }
    }
}

/// Addresses or server names that a match is for.
fn address_match(one: &PassthroughMatch) -> Option<ChainMatch> {
    let mut matched = ChainMatch::default();
    let value = one.value.as_str();
    match one.r#type.as_str() {
        "IP" => matched.destinations = vec![single(value)?],
        "CIDR" => matched.destinations = vec![cidr(value)?],
        _ => {
            let lower = value.to_ascii_lowercase();
            let name = match lower.strip_prefix('*') {
                Some("") => return Some(matched),
                Some(suffix) => ServerName::Suffix(suffix.into()),
                None => ServerName::Exact(lower.into()),
            };
            matched.server_names = vec![name];
        }
    }
    Some(matched)
}
