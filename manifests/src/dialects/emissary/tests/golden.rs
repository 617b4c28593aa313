//! Sets of manifests as people have them, and what Emissary makes of them.

use std::fmt::Write as _;

use proxy_core::config::{ChainAction, RouteAction, Section};

use super::rig::*;

/// What a section says, in lines.
fn drawn(built: &Built) -> String {
    let config = built.config();
    let section = &config.sections[0];
    let mut out = String::new();
    for listener in section.listeners() {
        let _ = writeln!(out, "listener {} {:?}", listener.name, listener.address);
        for chain in &listener.chains {
            let names: Vec<String> = chain
                .matches
                .server_names
                .iter()
                .map(|name| format!("{name:?}"))
                .collect();
            let _ = writeln!(
                out,
                "  chain {:?} [{}] {:?}",
                chain.matches.transport,
                names.join(", "),
                chain.transport
            );
            if let ChainAction::Http(http) = &chain.action {
                table(section, http.table, built, &mut out);
            } else if let ChainAction::Tcp(tcp) = &chain.action {
                for (index, weight) in &tcp.clusters {
                    let _ = writeln!(
                        out,
                        "    to {} ({weight})",
                        section.clusters()[index.0 as usize].name
                    );
                }
            }
        }
    }
    for cluster in section.clusters() {
        let limits = cluster.limits[0];
        let _ = writeln!(
            out,
            "cluster {} {:?} connect {} ms, limits {}/{}/{}/{}, {} checks [{}]",
            cluster.name,
            cluster.balancer.value,
            cluster.connect_timeout.value.as_millis(),
            limits.connections.value,
            limits.pending.value,
            limits.requests.value,
            limits.retries.value,
            cluster.health_checks.len(),
            built.origin(cluster.origin),
        );
    }
    out
}

fn table(
    section: &Section,
    index: proxy_core::config::TableIndex,
    built: &Built,
    out: &mut String,
) {
    for host in &section.tables()[index.0 as usize].virtual_hosts {
        let _ = writeln!(
            out,
            "    host {} [{}]",
            host.domains.join(" "),
            built.origin(host.origin)
        );
        for route in &host.routes {
            let fraction = route
                .matches
                .fraction
                .map_or(String::new(), |it| format!(" {}%", it.as_ppm() / 10_000));
            let _ = write!(out, "      {:?}{fraction} ", route.matches.path);
            let _ = match &route.action {
                RouteAction::Forward(forward) => {
                    let index = forward.clusters[0].cluster.expect("a cluster");
                    let name = &section.clusters()[index.0 as usize].name;
                    let timeout = forward.timeout.value.map_or(0, |it| it.as_millis());
                    let retries = forward.retry.as_ref().map_or(0, |it| it.retries.value);
                    writeln!(
                        out,
                        "-> {name} in {timeout} ms, {retries} retries [{} {}]",
                        route.name,
                        built.origin(route.origin)
                    )
                }
                RouteAction::Redirect(redirect) => writeln!(
                    out,
                    "-> {} {:?} {:?}",
                    redirect.status, redirect.scheme, redirect.host
                ),
                RouteAction::Direct(direct) => writeln!(out, "-> {}", direct.status),
            };
        }
    }
}

/// The quick start of the documentation, with a Host for TLS and a canary.
#[test]
fn the_quick_start_with_tls_and_a_canary() {
    let built = build(&["apiVersion: getambassador.io/v3alpha1
kind: Listener
metadata: {name: http-listener, namespace: emissary}
spec:
  port: 8080
  protocol: HTTP
  securityModel: XFP
  hostBinding: {namespace: {from: ALL}}
---
apiVersion: getambassador.io/v3alpha1
kind: Listener
metadata: {name: https-listener, namespace: emissary}
spec:
  port: 8443
  protocol: HTTPS
  securityModel: XFP
  hostBinding: {namespace: {from: ALL}}
---
apiVersion: v1
kind: Secret
metadata: {name: tls-cert}
type: kubernetes.io/tls
---
apiVersion: getambassador.io/v3alpha1
kind: Host
metadata: {name: quote-host}
spec:
  hostname: quote.example.com
  tlsSecret: {name: tls-cert}
  mappingSelector: {matchLabels: {app: quote}}
---
apiVersion: getambassador.io/v3alpha1
kind: Host
metadata: {name: wildcard-host}
spec:
  hostname: '*.example.com'
  requestPolicy: {insecure: {action: Route}}
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: quote-backend, labels: {app: quote}}
spec:
  hostname: quote.example.com
  prefix: /backend/
  service: a
  timeout_ms: 4000
  retry_policy: {retry_on: gateway-error, num_retries: 3}
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: quote-backend-canary, labels: {app: quote}}
spec:
  hostname: quote.example.com
  prefix: /backend/
  service: b
  weight: 10
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: api}
spec:
  hostname: '*'
  prefix: /api/
  rewrite: ''
  service: far.other:8080
  resolver: endpoint
  load_balancer: {policy: least_request}
  circuit_breakers: [{max_connections: 100, max_requests: 200}]
  health_checks: [{health_check: {http: {path: /healthz}}}]
"
    .to_owned()]);
    built.is_clean();
    insta::assert_snapshot!(drawn(&built));
}

/// An installation of the older versions: a Module, v2 objects, a TCPMapping, an AuthService.
#[test]
fn an_installation_of_the_older_versions() {
    let built = build(&[
        LISTENER.to_owned(),
        "apiVersion: getambassador.io/v2
kind: Module
metadata: {name: ambassador, namespace: emissary}
spec:
  config:
    cluster_request_timeout_ms: 10000
    retry_policy: {retry_on: connect-failure, num_retries: 2}
    circuit_breakers: [{max_retries: 10}]
---
apiVersion: getambassador.io/v2
kind: Host
metadata: {name: shop}
spec:
  hostname: shop.example.com
  requestPolicy: {insecure: {action: Route}}
---
apiVersion: getambassador.io/v2
kind: Mapping
metadata: {name: cart}
spec:
  host: shop.example.com
  prefix: /cart/
  service: https://a
  headers: {x-user: true}
---
apiVersion: getambassador.io/v2
kind: Mapping
metadata: {name: any}
spec: {prefix: /, service: b, timeout_ms: 0}
---
apiVersion: getambassador.io/v2
kind: TCPMapping
metadata: {name: db}
spec: {port: 5432, service: 'far.other:8080'}
---
apiVersion: getambassador.io/v2
kind: AuthService
metadata: {name: authentication}
spec: {auth_service: 'a:80', proto: http}
"
        .to_owned(),
    ]);
    assert!(!built.problems.has_errors(), "{}", built.text);
    insta::assert_snapshot!(format!("{}\n{}", drawn(&built), built.text));
}
