//! TCP and UDP.

use std::net::SocketAddr;

use proxy_core::config::ChainAction;
use proxy_core::node::Arrival;

use super::rig::*;

fn tcp(more: &str, rule: &str, service: &str) -> String {
    object(
        "IngressRouteTCP",
        &format!("tcp-{service}"),
        &format!(
            "{more}\nroutes: [{{match: '{rule}', services: [{{name: {service}, port: 80}}]}}]"
        ),
    )
}

/// Where a connection to the entry point with TLS goes.
fn lands(built: &Built, tls: bool, name: &str) -> String {
    let port = 8443;
    let Some(chain) = built.chain(port, tls, name) else {
        return "closed".to_owned();
    };
    let ends = if is_plain(&chain) { "" } else { " in TLS" };
    match chain.action {
        ChainAction::Tcp(tcp) => {
            let each = tcp
                .clusters
                .iter()
                .map(|(at, weight)| format!("{}*{weight}", built.cluster(*at).name));
            format!("{}{ends}", each.collect::<Vec<_>>().join(" "))
        }
        ChainAction::Http(_) => format!("requests{ends}"),
        ChainAction::Udp(_) | ChainAction::Close(_) => "else".to_owned(),
    }
}

#[test]
fn connections_go_by_their_server_name_and_those_of_http_routers_come_first() {
    let built = build(&[
        tcp(
            "entryPoints: [websecure]\ntls: {passthrough: true}",
            "HostSNI(`db.com`) || HostSNI(`shop.com`)",
            "b",
        ),
        object(
            "IngressRoute",
            "web",
            "entryPoints: [websecure]\nroutes: [{match: 'Host(`shop.com`)', services: [{name: a, port: 80}]}]",
        ),
    ]);
    for (name, want) in [
        ("db.com", "default/b:80/tcp*1"),
        ("shop.com", "requests in TLS"),
        ("else.com", "requests in TLS"),
    ] {
        assert_eq!(lands(&built, true, name), want, "{name}\n{}", built.lines());
    }
    assert_eq!(lands(&built, false, ""), "requests");
}

#[test]
fn a_router_for_every_name_has_what_no_http_router_names() {
    let all = tcp("entryPoints: [websecure]\ntls: {}", "HostSNI(`*`)", "b");
    let named = object(
        "IngressRoute",
        "web",
        "entryPoints: [websecure]\nroutes: [{match: 'Host(`shop.com`)', services: [{name: a, port: 80}]}]",
    );
    let built = build(&[all.clone(), named]);
    for (name, want) in [
        ("shop.com", "requests in TLS"),
        ("else.com", "default/b:80/tcp*1 in TLS"),
        ("", "default/b:80/tcp*1 in TLS"),
    ] {
        assert_eq!(lands(&built, true, name), want, "{name}");
    }
    let unnamed = object(
        "IngressRoute",
        "web",
        "entryPoints: [websecure]\nroutes: [{match: 'Path(`/`)', services: [{name: a, port: 80}]}]",
    );
    let built = build(&[all, unnamed]);
    assert_eq!(lands(&built, true, "else.com"), "requests in TLS");
}

#[test]
fn without_tls_one_router_has_every_connection() {
    let built = build(&[tcp("entryPoints: [websecure]", "HostSNI(`*`)", "b")]);
    assert_eq!(lands(&built, false, ""), "default/b:80/tcp*1");
    let named = build(&[tcp("entryPoints: [websecure]", "HostSNI(`db.com`)", "b")]);
    assert_eq!(lands(&named, false, ""), "requests");
    assert!(named.lines().contains("error[traefik::sni]"));
}

#[test]
fn conditions_that_chains_cannot_ask_are_told() {
    let built = build(&[tcp(
        "entryPoints: [websecure]\ntls: {}",
        "HostSNI(`db.com`) && ClientIP(`10.0.0.1`)",
        "b",
    )]);
    assert_eq!(lands(&built, true, "db.com"), "requests in TLS");
    assert!(built.lines().contains("beyond HostSNI and ALPN"));
}

#[test]
fn datagrams_go_to_the_one_route_of_their_entry_point() {
    let route = |name: &str, entry: &str| {
        object(
            "IngressRouteUDP",
            name,
            &format!("entryPoints: [{entry}]\nroutes: [{{services: [{{name: a, port: dns}}]}}]"),
        )
    };
    let args = [
        "--entrypoints.dns.address=:53/udp",
        "--entrypoints.dns.udp.timeout=10s",
        "--entrypoints.web.address=:8000",
        "--providers.kubernetescrd",
    ];
    let built = build(&[
        route("first", "dns"),
        route("second", "dns"),
        started(&args),
    ]);
    let section = built.section();
    let at = section
        .listener(
            Arrival::Datagrams,
            SocketAddr::new([127, 0, 0, 1].into(), 53),
        )
        .expect("a listener");
    let ChainAction::Udp(udp) = &section.listeners()[at as usize].chains[0].action else {
        panic!("no datagrams");
    };
    assert_eq!(
        udp.idle_timeout.map(|it| it.value.as_millis()),
        Some(10_000)
    );
    assert_eq!(&*built.cluster(udp.clusters[0].0).name, "default/a:53/udp");
    assert!(built.lines().contains("warning[traefik::udp-routes]"));
    let wrong = build(&[route("first", "web"), started(&args)]);
    assert!(wrong.lines().contains("error[traefik::entry-point]"));
}
