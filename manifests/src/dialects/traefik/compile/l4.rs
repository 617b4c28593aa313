//! TCP and UDP routers to chains.

use proxy_core::config::{
    CarriedLogs, ChainAction, ChainMatch, CloseReason, DownstreamTransport, FilterChain,
    ServerName, TcpRoute, TransportProtocol, UdpRoute,
};

use super::clusters::Clusters;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::dialects::traefik::install::EntryPoint;
use crate::dialects::traefik::policy::{TcpRouter, TcpTls, UdpRouter};
use crate::dialects::traefik::rules::{HostPattern, TcpMatcher};

/// The longest datagram.
const LARGEST: u16 = u16::MAX;

/// What a TCP router takes, in a chain's words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Taken {
    /// Server names; none: any, or none at all.
    pub(super) names: Vec<ServerName>,
    /// Protocols offered.
    pub(super) protocols: Vec<Box<str>>,
}

impl Taken {
    pub(super) fn matches(&self, over_tls: bool) -> ChainMatch {
        ChainMatch {
            server_names: self.names.clone(),
            protocols: self.protocols.clone(),
            transport: Some(if over_tls {
                TransportProtocol::Tls
            } else {
                TransportProtocol::Raw
            }),
            ..ChainMatch::default()
        }
    }
}

/// A server name as a chain asks for it; none: any.
pub(super) fn server_name(host: &HostPattern) -> Option<ServerName> {
    match host {
        HostPattern::Any => None,
        HostPattern::Exact(name) => Some(ServerName::Exact(name.as_str().into())),
        HostPattern::OneLabel(rest) => Some(ServerName::Suffix(rest.as_str().into())),
    }
}

/// What the alternatives of a TCP router take; those that a chain cannot ask for are left out, which is told.
pub(super) fn taken(router: &TcpRouter, cx: &mut Compile<'_>) -> Vec<Taken> {
    let mut all = Vec::new();
    for alternative in &router.alternatives {
        let mut taken = Taken {
            names: Vec::new(),
            protocols: Vec::new(),
        };
        let mut is_said = true;
        for literal in alternative {
            match &literal.matcher {
                TcpMatcher::HostSni(host) if !literal.negated => {
                    is_said &= taken.names.is_empty();
                    taken.names.extend(server_name(host));
                }
                TcpMatcher::Alpn(protocol) if !literal.negated => {
                    is_said &= taken.protocols.is_empty();
                    taken.protocols.push(protocol.as_str().into());
                }
                TcpMatcher::HostSni(_)
                | TcpMatcher::Alpn(_)
                | TcpMatcher::HostSniRegexp(_)
                | TcpMatcher::ClientIp(_) => is_said = false,
            }
        }
        if is_said {
            all.push(taken);
            continue;
        }
        let message = "conditions on connections beyond HostSNI and ALPN are not modelled";
        let meaning = "this alternative of the rule takes no connection: it goes to other routers, or is closed";
        let mut note = Diagnostic::not_modelled("traefik::not-modelled", message, meaning);
        if let Some(span) = cx.origins.span(router.origin) {
            note = note.label(span, "");
        }
        cx.diagnostics.push(note);
    }
    all
}

/// What becomes of the connections that a TCP router takes.
pub(super) fn chain(
    router: &TcpRouter,
    matches: ChainMatch,
    ends: DownstreamTransport,
    clusters: &mut Clusters,
    cx: &Compile<'_>,
) -> FilterChain {
    let split: Vec<_> = router
        .servers
        .iter()
        .map(|(servers, weight)| (clusters.bytes(servers, false, cx), *weight))
        .collect();
    let action = if split.iter().all(|(_, weight)| *weight == 0) {
        ChainAction::Close(CloseReason::UpstreamFailed)
    } else {
        ChainAction::Tcp(TcpRoute {
            clusters: split,
            idle_timeout: None,
            connect_retries: 0,
            max_duration: None,
            logs: CarriedLogs::default(),
            origin: router.origin,
        })
    };
    FilterChain {
        matches,
        transport: match router.tls {
            TcpTls::None | TcpTls::Passes => DownstreamTransport::Plaintext,
            TcpTls::Ends => ends,
        },
        action,
        origin: router.origin,
    }
}

/// Where the datagrams of an entry point go: to those of the first router that is there.
pub(super) fn datagrams(
    entry: &EntryPoint,
    routers: &[UdpRouter],
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Option<UdpRoute> {
    let mut here = routers
        .iter()
        .filter(|it| it.entry_points.is_empty() || it.entry_points.contains(&entry.name));
    let first = here.next()?;
    for other in here {
        let mut note = Diagnostic::warning(
            "traefik::udp-routes",
            format!(
                "two routers for the datagrams of `{}`: one has all of them",
                entry.name
            ),
        );
        if let Some(span) = cx.origins.span(other.origin) {
            note = note.label(span, "it gets nothing here");
        }
        cx.diagnostics.push(note);
    }
    let split: Vec<_> = first
        .servers
        .iter()
        .map(|(servers, weight)| (clusters.bytes(servers, true, cx), *weight))
        .collect();
    split
        .iter()
        .any(|(_, weight)| *weight > 0)
        .then(|| UdpRoute {
            name: entry.name.as_str().into(),
            clusters: split,
            idle_timeout: Some(entry.udp_timeout),
            per_datagram: false,
            hash: None,
            largest_request: LARGEST,
            largest_answer: LARGEST,
            origin: first.origin,
        })
}
