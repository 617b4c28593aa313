//! Policies to sections.
//!
//! An entry point takes connections with and without TLS on one port. Of those with TLS a router of a host comes first, then TCP routers, then
//! whatever else is left. Source: traefik `pkg/server/router/tcp/router.go` (`ServeTCP`).

mod branches;
mod clusters;
mod conditions;
mod l4;
mod routes;

use core::net::SocketAddr;
use std::cmp::Reverse;
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, ClientRules, DownstreamTransport, FilterChain, HeadLimits, HeadRules,
    HttpConnections, HttpFilter, Listener, ListenerAddress, Name, PathRules, ReplyProfile,
    ServerName, ServerRules, ServerTransformation, TransportProtocol, Unlisted, Upgrades,
};

use self::branches::Side;
use self::clusters::{ANY, Clusters};
use self::l4::server_name;
use self::routes::Served;
use super::install::{EntryPoint, Install};
use super::policy::{Leads, Policies, Router, Step, StepKind, Target, TcpRouter, TcpTls};
use super::rules::{self, HostPattern, Matcher, Syntax};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::model::Credential;

/// The most bytes of a head. Source: Go `http.DefaultMaxHeaderBytes`.
const HEAD_BYTES: u64 = 1 << 20;

/// Traefik's listeners, routes and clusters.
pub(super) fn section(
    install: &Install,
    policies: &Policies,
    release: &str,
    cx: &mut Compile<'_>,
) -> Compiled {
    let defaults = cx.default_of(release);
    let mut section = Section {
        install,
        policies,
        clusters: Clusters::new(defaults),
        certificate: "".into(),
    };
    section.certificate = section.certificate();
    for entry in &install.entry_points {
        if entry.udp {
            section.datagrams(entry, cx);
        } else {
            section.entry_point(entry, cx);
        }
    }
    section.clusters.out
}

/// The routers of an entry point that serve requests on one side, those first that are asked first.
pub(super) fn served<'p>(
    entry: &EntryPoint,
    policies: &'p Policies,
    over_tls: bool,
) -> Vec<&'p Router> {
    let here = policies
        .routers
        .iter()
        .filter(|router| match &router.entry_points[..] {
            [] => entry.is_default,
            named => named.contains(&entry.name),
        });
    let side = here.filter(|router| (router.tls.is_some() || entry.tls.is_some()) == over_tls);
    side.collect()
}

struct Section<'a> {
    install: &'a Install,
    policies: &'a Policies,
    clusters: Clusters,
    certificate: Name,
}

impl Section<'_> {
    /// What stands for the certificates that clients are shown.
    fn certificate(&mut self) -> Name {
        let mut pairs: Vec<Name> = self.policies.default_certificate.iter().cloned().collect();
        let more = self.policies.certificates.iter();
        pairs.extend(
            more.filter(|it| Some(*it) != self.policies.default_certificate.as_ref())
                .cloned(),
        );
        if pairs.is_empty() {
            return "traefik-default-certificate".into();
        }
        let name: Name = "certificates of traefik".into();
        self.clusters.out.credentials.insert(
            name.clone(),
            Credential {
                pairs,
                roots: None,
                names: Vec::new(),
                checks_host: false,
                takes_any: false,
                alpn: Vec::new(),
            },
        );
        name
    }

    fn entry_point(&mut self, entry: &EntryPoint, cx: &mut Compile<'_>) {
        let mut chains = Vec::new();
        self.plain(entry, &mut chains, cx);
        self.over_tls(entry, &mut chains, cx);
        self.clusters.out.draft.listeners.push(Listener {
            name: entry.name.as_str().into(),
            address: ListenerAddress::Socket(SocketAddr::new(ANY, entry.port)),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: entry.origin,
        });
    }

    fn tcp(&self, entry: &EntryPoint, over_tls: bool) -> Vec<TcpRouter> {
        let here = self
            .policies
            .tcp
            .iter()
            .filter(|router| match &router.entry_points[..] {
                [] => entry.is_default,
                named => named.contains(&entry.name),
            });
        let side = here.filter(|router| (router.tls != TcpTls::None) == over_tls);
        side.cloned().collect()
    }

    /// Connections without TLS: those of a TCP router, else requests.
    fn plain(&mut self, entry: &EntryPoint, chains: &mut Vec<FilterChain>, cx: &mut Compile<'_>) {
        for router in self.tcp(entry, false) {
            for taken in l4::taken(&router, cx) {
                let matches = taken.matches(false);
                if chains.iter().any(|chain| chain.matches == matches) {
                    continue;
                }
                let ends = DownstreamTransport::Plaintext;
                chains.push(l4::chain(&router, matches, ends, &mut self.clusters, cx));
            }
        }
        let raw = ChainMatch {
            transport: Some(TransportProtocol::Raw),
            ..ChainMatch::default()
        };
        let routers = served(entry, self.policies, false);
        if let Some(chain) = chains.iter().find(|chain| chain.matches == raw) {
            if let Some(router) = routers.first() {
                let spans = [chain.origin, router.origin].map(|origin| cx.origins.span(origin));
                let mut note = Diagnostic::warning(
                    "traefik::tcp-takes-all",
                    format!(
                        "the TCP router takes every connection without TLS to `{}`",
                        entry.name
                    ),
                );
                for (span, text) in spans
                    .into_iter()
                    .zip(["all of them", "no request gets here"])
                {
                    if let Some(span) = span {
                        note = note.label(span, text);
                    }
                }
                cx.diagnostics.push(note);
            }
            return;
        }
        let action = self.requests(entry, &routers, Side::Plain, cx);
        chains.push(FilterChain {
            matches: raw,
            transport: DownstreamTransport::Plaintext,
            action,
            origin: entry.origin,
        });
    }

    /// Connections with TLS.
    fn over_tls(
        &mut self,
        entry: &EntryPoint,
        chains: &mut Vec<FilterChain>,
        cx: &mut Compile<'_>,
    ) {
        let routers = served(entry, self.policies, true);
        let action = self.requests(entry, &routers, Side::Tls, cx);
        let ends = |alpn: &[String], certificate: &Name| DownstreamTransport::Tls {
            mutual: false,
            alpn: alpn.iter().map(|it| it.as_str().into()).collect(),
            certificate: certificate.clone(),
        };
        let usual = ["h2".to_owned(), "http/1.1".to_owned()];
        let alpn = self.policies.alpn.as_deref().unwrap_or(&usual).to_vec();
        let (hosts, all_named) = hosts_of(&routers);
        let names: Vec<ServerName> = hosts.iter().filter_map(server_name).collect();
        let all = ChainMatch {
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        };
        let mut tcp_takes_rest = false;
        for router in self.tcp(entry, true) {
            for mut taken in l4::taken(&router, cx) {
                let is_rest = taken.names.is_empty();
                if is_rest && !routers.is_empty() && !all_named {
                    // a router without hosts has whatever nobody else has
                    continue;
                }
                taken.names.retain(|name| !names.contains(name));
                if taken.names.is_empty() && !is_rest {
                    continue;
                }
                let matches = taken.matches(true);
                if chains.iter().any(|chain| chain.matches == matches) {
                    continue;
                }
                tcp_takes_rest |= matches == all;
                let none: [String; 0] = [];
                let ends = ends(&none, &self.certificate);
                chains.push(l4::chain(&router, matches, ends, &mut self.clusters, cx));
            }
        }
        let matches = if tcp_takes_rest {
            ChainMatch {
                server_names: names,
                ..all
            }
        } else {
            all
        };
        if tcp_takes_rest && matches.server_names.is_empty() {
            return;
        }
        chains.push(FilterChain {
            matches,
            transport: ends(&alpn, &self.certificate),
            action,
            origin: entry.origin,
        });
    }

    fn requests(
        &mut self,
        entry: &EntryPoint,
        routers: &[&Router],
        side: Side,
        cx: &mut Compile<'_>,
    ) -> ChainAction {
        let name = match side {
            Side::Plain => entry.name.clone(),
            Side::Tls => format!("{} tls", entry.name),
        };
        let redirect = redirect(entry, self.install, cx);
        let of_entry = self.policies.entry_steps.get(&entry.name);
        let before: &[Step] = of_entry.map_or(&[], |steps| steps.as_deref().unwrap_or(&[]));
        let is_broken = of_entry.is_some_and(Option::is_none);
        let mut all: Vec<Served<'_>> = Vec::new();
        if !is_broken {
            let each = routers.iter().map(|router| Served {
                router,
                before,
                key: self.key(entry, router),
            });
            all.extend(each);
        }
        let redirects = entry.tls.is_some() == (side == Side::Tls);
        if let Some(redirect) = redirect.as_ref().filter(|_| redirects && !is_broken) {
            all.push(Served {
                router: redirect,
                before,
                key: format!("{} redirect", entry.name),
            });
        }
        all.sort_by_key(|it| Reverse(it.router.priority));
        let table = routes::table(&name, &all, side, entry.origin, &mut self.clusters, cx);
        let table = self.clusters.out.draft.add_table(table);
        ChainAction::Http(Box::new(HttpConnections {
            table,
            filters: vec![HttpFilter::Cors],
            stream_idle_timeout: None,
            request_timeout: entry.read_timeout,
            max_stream_duration: None,
            idle_timeout: entry.idle_timeout,
            max_connection_duration: entry.max_age,
            head_timeout: None,
            max_requests_per_connection: entry.max_requests,
            // a body is passed on as it comes, and none of it has gone where a request is sent again
            retained_bytes: u64::MAX,
            replies: ReplyProfile::Traefik,
            edge: true,
            heads: Some(Arc::new(heads(entry))),
            upgrades: Upgrades {
                others: Unlisted::Allowed,
                ..Upgrades::of(&["websocket"], entry.origin)
            },
            logs: proxy_core::log::Logs::default(),
            tracing: None,
            origin: entry.origin,
        }))
    }

    /// What names the state of a router's middlewares here. An entry point with settings for its routers has copies of its own.
    ///
    /// Source: traefik `pkg/server/aggregator.go` (`applyModel`), `pkg/server/router/router.go` (`routerHandlers`).
    fn key(&self, entry: &EntryPoint, router: &Router) -> String {
        let has_model = entry.tls.is_some() || !entry.middlewares.is_empty();
        let shared = match &router.entry_points[..] {
            [] => self
                .install
                .entry_points
                .iter()
                .filter(|it| it.is_default && !it.udp)
                .count(),
            named => named.len(),
        };
        if has_model && shared > 1 {
            return format!("{}-{}", entry.name, router.key);
        }
        router.key.to_string()
    }

    fn datagrams(&mut self, entry: &EntryPoint, cx: &mut Compile<'_>) {
        let route = l4::datagrams(entry, &self.policies.udp, &mut self.clusters, cx);
        let Some(route) = route else { return };
        self.clusters.out.draft.listeners.push(Listener {
            name: entry.name.as_str().into(),
            address: ListenerAddress::Datagrams(SocketAddr::new(ANY, entry.port)),
            chains: vec![FilterChain {
                matches: ChainMatch::default(),
                transport: DownstreamTransport::Plaintext,
                action: ChainAction::Udp(route),
                origin: entry.origin,
            }],
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: entry.origin,
        });
    }
}

/// The hosts that routers name, and whether each of them names one.
fn hosts_of(routers: &[&Router]) -> (Vec<HostPattern>, bool) {
    let mut hosts = Vec::new();
    let mut all_named = true;
    for router in routers {
        let literals = router.alternatives.iter().flatten();
        let named: Vec<HostPattern> = literals
            .filter_map(|literal| match &literal.matcher {
                Matcher::Host(host) => Some(host.clone()),
                _ => None,
            })
            .collect();
        all_named &= !named.is_empty() && !named.contains(&HostPattern::Any);
        hosts.extend(named);
    }
    (hosts, all_named)
}

/// The router that redirects an entry point.
///
/// Source: traefik `pkg/provider/traefik/internal.go` (`redirection`): the port is the one that the other entry point listens on.
fn redirect(entry: &EntryPoint, install: &Install, cx: &mut Compile<'_>) -> Option<Router> {
    let redirect = entry.redirect.as_ref()?;
    let port = match redirect.to.strip_prefix(':') {
        Some(port) => port.parse().ok(),
        None => install.entry_point(&redirect.to).map(|it| it.port),
    };
    let Some(port) = port else {
        let message = format!("no entry point `{}` to redirect to", redirect.to);
        cx.diagnostics.push(
            Diagnostic::error("traefik::unknown-entrypoint", message)
                .label(redirect.span, "nothing is redirected"),
        );
        return None;
    };
    let own = match redirect.scheme.as_str() {
        "http" => 80,
        _ => 443,
    };
    let origin = cx.origins.written(redirect.span);
    let alternatives = rules::http("HostRegexp(`^.+$`)", Syntax::V3).ok()?;
    Some(Router {
        name: format!("{} to {}", entry.name, redirect.to).into(),
        key: format!("{} to {}", entry.name, redirect.to).into(),
        alternatives,
        priority: redirect.priority,
        entry_points: vec![entry.name.clone()],
        tls: None,
        steps: vec![Step {
            name: "redirect".into(),
            kind: StepKind::RedirectScheme {
                scheme: redirect.scheme.clone(),
                port: Some(port).filter(|port| *port != own),
                permanent: redirect.permanent,
            },
            origin,
        }],
        leads: Leads::To(Box::new(Target::Split {
            parts: Vec::new(),
            session: None,
        })),
        origin,
    })
}

/// What is done to heads. Source: traefik `pkg/server/server_entrypoint_tcp.go` (`newHTTPServer`), `pkg/middlewares/forwardedheaders`.
///
/// Departs: of `X-Forwarded-For` what a client sends stays, before its address.
fn heads(entry: &EntryPoint) -> HeadRules {
    let mut rules = HeadRules::unwritten("traefik");
    rules.client = ClientRules {
        remote_address: true,
        forwarded_port: true,
        ..ClientRules::default()
    };
    rules.request_id.generates = false;
    rules.request_id.keeps_external = true;
    rules.path = PathRules {
        normalizes: entry.sanitizes,
        merges_slashes: entry.sanitizes,
        ..PathRules::default()
    };
    rules.limits = HeadLimits {
        headers: u32::MAX,
        bytes: HEAD_BYTES,
    };
    rules.http10 = true;
    rules.server = ServerRules {
        name: "traefik".into(),
        transformation: ServerTransformation::PassThrough,
    };
    rules.tells = false;
    rules
}
