//! Plans to sections: listeners, chains, tables.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::config::{
    ChainAction, ChainMatch, ClientRules, DownstreamTransport, FilterChain, HeadRules,
    HttpConnections, HttpFilter, Listener, ListenerAddress, Name, PathRules, ReplyProfile,
    ServerName, ServerRules, ServerTransformation, TableIndex, TcpRoute, TransportProtocol,
    Underscores, Unlisted, Upgrade, Upgrades,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::clusters::{Clusters, Spoken, Wanted};
use super::locations::Locations;
use super::policy::{Controller, DEFAULT_HOST};
use super::servers::{Certificate, Plan, Server};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::ingress::route_table;

/// Where ingress-nginx listens for plaintext, unless it is told otherwise.
pub(super) const PLAIN_PORT: u16 = 80;
/// Where it listens for TLS.
pub(super) const TLS_PORT: u16 = 443;

/// What one controller serves.
pub(super) fn section(
    controller: &Controller,
    default: OriginId,
    cx: &mut Compile<'_>,
) -> Compiled {
    let plan = Plan::of(controller, cx.diagnostics);
    let mut clusters = Clusters::new(default);
    for tls in [false, true] {
        let mut locations = Locations {
            controller,
            plan: &plan,
            tls,
            clusters: &mut clusters,
        };
        let hosts = locations.hosts(cx);
        let name = if tls { "https" } else { "http" };
        let table = clusters.out.draft.add_table(route_table(name, hosts));
        let http = connections(controller, table, default, cx);
        let chains = if tls {
            tls_chains(controller, &plan, &http, &mut clusters, cx)
        } else {
            vec![FilterChain {
                matches: ChainMatch {
                    transport: Some(TransportProtocol::Raw),
                    ..ChainMatch::default()
                },
                transport: DownstreamTransport::Plaintext,
                action: ChainAction::Http(Box::new(http)),
                origin: controller.origin,
            }]
        };
        let port = bound_port(controller, tls);
        clusters.out.draft.listeners.push(Listener {
            name: format!("nginx-{name}").into(),
            address: ListenerAddress::Socket(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
            )),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: controller.origin,
        });
    }
    clusters.out
}

/// A port that the controller listens on.
pub(super) fn bound_port(controller: &Controller, tls: bool) -> u16 {
    match tls {
        true => controller.flags.port("https-port", TLS_PORT),
        false => controller.flags.port("http-port", PLAIN_PORT),
    }
}

/// A chain for each certificate, for each host that TLS passes by, and for all other hosts.
fn tls_chains(
    controller: &Controller,
    plan: &Plan<'_>,
    http: &HttpConnections,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Vec<FilterChain> {
    let own: Name = controller
        .flags
        .text("default-ssl-certificate")
        .map_or("ingress-nginx-default-certificate", |it| it.as_str())
        .into();
    let chain = |names: Vec<ServerName>, certificate: Name, origin| FilterChain {
        matches: ChainMatch {
            server_names: names,
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        transport: DownstreamTransport::Tls {
            mutual: false,
            alpn: match controller.settings.flag("use-http2", true) {
                true => vec!["h2".into(), "http/1.1".into()],
                false => vec!["http/1.1".into()],
            },
            certificate,
        },
        action: ChainAction::Http(Box::new(http.clone())),
        origin,
    };
    let mut chains = vec![chain(Vec::new(), own, controller.origin)];
    for server in plan.servers.values().filter(|it| it.host != DEFAULT_HOST) {
        if server.passthrough
            && let Some(passing) = passthrough(controller, plan, server, clusters, cx)
        {
            chains.push(passing);
            continue;
        }
        if let Some(Certificate::Secret(secret)) = &server.certificate {
            let hosts = std::iter::once(&server.host).chain(&server.aliases);
            let names = hosts.map(|host| server_name(host)).collect();
            chains.push(chain(names, secret.clone(), server.origin));
        }
    }
    chains
}

fn server_name(host: &str) -> ServerName {
    match host.strip_prefix('*') {
        Some(suffix) => ServerName::Suffix(suffix.into()),
        None => ServerName::Exact(host.into()),
    }
}

/// TLS that is carried to the endpoints of the host's root as it is; none: the controller does not do so.
///
/// Source: `getConfiguration` (`PassthroughBackends`), `internal/ingress/controller/nginx.go`.
fn passthrough(
    controller: &Controller,
    plan: &Plan<'_>,
    server: &Server<'_>,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Option<FilterChain> {
    let root = server.locations.iter().find(|it| it.path == "/");
    let ingress = root.and_then(|it| it.ingress);
    let span = ingress.and_then(|it| it.notes.text("ssl-passthrough"));
    let span = span.map_or(crate::text::Span::NOWHERE, |it| it.span);
    if controller.workload.is_some() && !controller.flags.is_set("enable-ssl-passthrough") {
        cx.diagnostics.push(
            Diagnostic::warning(
                "nginx::passthrough",
                "the controller runs without `--enable-ssl-passthrough`",
            )
            .label(span, "has no effect: TLS ends at the controller"),
        );
        return None;
    }
    if controller.workload.is_none() {
        cx.diagnostics.push(
            Diagnostic::assumed(
                "nginx::passthrough",
                "TLS passes the controller by",
                "it runs with `--enable-ssl-passthrough`, which is off unless it is told so",
            )
            .label(span, ""),
        );
    }
    let backend = root.and_then(|it| it.backend);
    let upstream = backend.and_then(|it| Some((it, plan.upstreams.get(&it)?)));
    let Some((backend, upstream)) = upstream else {
        cx.diagnostics.push(
            Diagnostic::warning("nginx::passthrough", "the host has no backend for `/`")
                .label(span, "has no effect: TLS ends at the controller"),
        );
        return None;
    };
    let wanted = Wanted {
        backend,
        spoken: Spoken::Http,
        connect: 5,
    };
    let default = clusters.default;
    let cluster = clusters.of(wanted, default, controller, upstream, cx);
    let origin = cx.origins.written(span);
    Some(FilterChain {
        matches: ChainMatch {
            server_names: vec![server_name(&server.host)],
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        transport: DownstreamTransport::Plaintext,
        action: ChainAction::Tcp(TcpRoute {
            clusters: vec![(cluster, 1)],
            idle_timeout: None,
            connect_retries: 0,
            max_duration: None,
            logs: proxy_core::config::CarriedLogs::default(),
            origin,
        }),
        origin,
    })
}

fn connections(
    controller: &Controller,
    table: TableIndex,
    default: OriginId,
    cx: &mut Compile<'_>,
) -> HttpConnections {
    let settings = &controller.settings;
    let origins = &mut *cx.origins;
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let number = |text: &str| text.parse::<u32>().ok();
    let minute = Duration::from_secs(60);
    HttpConnections {
        table,
        filters: vec![HttpFilter::Cors],
        stream_idle_timeout: None,
        request_timeout: None,
        max_stream_duration: None,
        idle_timeout: Some(settings.or("keep-alive", seconds, Duration::from_secs(75), origins)),
        max_connection_duration: None,
        head_timeout: Some(settings.or("client-header-timeout", seconds, minute, origins)),
        max_requests_per_connection: Some(settings.or(
            "keep-alive-requests",
            number,
            1000,
            origins,
        )),
        // request bodies are kept whole, on disk where they are long
        retained_bytes: u64::MAX,
        replies: ReplyProfile::Nginx,
        edge: true,
        heads: Some(Arc::new(heads(controller))),
        upgrades: Upgrades {
            listed: vec![Upgrade {
                kind: "CONNECT".into(),
                allowed: false,
                origin: Sourced::new((), default).origin,
            }],
            // whatever a client wants the endpoint hears of
            others: Unlisted::Allowed,
            http2: false,
        },
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        origin: controller.origin,
    }
}

/// What is done to heads: clients are known by their connection, paths have one form, and the proxy says nothing of itself.
///
/// Source: `nginx.tmpl`; NGINX `merge_slashes`, `ignore_invalid_headers`. Departs: endpoints see the path's one form, where NGINX sends it as it
/// came, and the client's address at the end of `x-forwarded-for`, where it stands alone.
fn heads(controller: &Controller) -> HeadRules {
    HeadRules {
        client: ClientRules {
            remote_address: true,
            forwarded_port: true,
            ..ClientRules::default()
        },
        path: PathRules {
            normalizes: true,
            merges_slashes: true,
            ..PathRules::default()
        },
        underscores: match controller
            .settings
            .flag("enable-underscores-in-headers", false)
        {
            true => Underscores::Allow,
            false => Underscores::Drop,
        },
        http10: true,
        server: ServerRules {
            name: "nginx".into(),
            transformation: ServerTransformation::PassThrough,
        },
        tells: false,
        ..HeadRules::unwritten("nginx")
    }
}
