//! TLS at listeners and toward backends.

use manifests::gateway_api::Roots;
use manifests::model::{GatewayId, NodeRef};
use proxy_core::config::{DownstreamTransport, UpstreamTransport};

use super::rig::*;

fn pem(label: &str) -> String {
    format!("-----BEGIN {label}-----\\nMAAA\\n-----END {label}-----\\n")
}

fn secret(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: \"{}\", \
         tls.key: \"{}\"}}\n",
        pem("CERTIFICATE"),
        pem("PRIVATE KEY")
    )
}

fn authority(name: &str, text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{ca.crt: \"{text}\"}}\n"
    )
}

fn https(name: &str, hostname: &str, secret: &str) -> String {
    let host = if hostname.is_empty() {
        String::new()
    } else {
        format!(", hostname: '{hostname}'")
    };
    format!(
        "{{name: {name}, port: 443, protocol: HTTPS{host}, tls: {{certificateRefs: [{{name: {secret}}}]}}}}"
    )
}

/// Source: GEP-3567.
#[test]
fn a_request_that_came_over_another_listeners_connection_is_misdirected() {
    let listeners = [
        https("any", "", "cert"),
        https("wild", "*.example.com", "cert"),
        https("one", "one.example.com", "cert"),
    ];
    let on = |name: &str, service: &str, host: &str| {
        route(name, &format!("hostnames: ['{host}']\n{}", to(service)))
    };
    let built = build(&[
        gateway(&listeners.join(", ")),
        secret("shop", "cert"),
        on("one", "a", "one.example.com"),
        on("two", "b", "two.example.com"),
        on("else", "a", "else.org"),
    ]);
    for (sni, host, want) in [
        ("one.example.com", "one.example.com", "shop/a:80"),
        ("one.example.com", "two.example.com", "421"),
        ("one.example.com", "else.org", "421"),
        ("two.example.com", "two.example.com", "shop/b:80"),
        ("two.example.com", "three.example.com", "404"),
        ("two.example.com", "one.example.com", "421"),
        ("else.org", "else.org", "shop/a:80"),
        ("else.org", "more.org", "404"),
        ("else.org", "one.example.com", "421"),
    ] {
        let said = built.asked(443, sni, &get(host, "/"));
        assert_eq!(said, want, "{sni}, {host}");
    }
}

#[test]
fn a_listener_serves_with_the_certificates_that_can_be_used() {
    let rows = [
        ("there", "[{name: cert}]", "shop/cert", "shop/a:80"),
        ("not there", "[{name: gone}]", "", "nothing listens"),
        (
            "of another kind",
            "[{kind: Thing, group: example.com, name: cert}]",
            "",
            "nothing listens",
        ),
        (
            "elsewhere, without a grant",
            "[{name: cert, namespace: other}]",
            "",
            "nothing listens",
        ),
        ("none", "[]", "", "nothing listens"),
        (
            "one of two",
            "[{name: gone}, {name: cert}]",
            "shop/cert",
            "shop/a:80",
        ),
        (
            "two",
            "[{name: cert}, {name: second}]",
            "listener shop/edge/https:443",
            "shop/a:80",
        ),
    ];
    for (name, references, certificate, want) in rows {
        let listener = format!(
            "{{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: {references}}}}}"
        );
        let built = build(&[
            gateway(&format!("{HTTP}, {listener}")),
            secret("shop", "cert"),
            secret("shop", "second"),
            secret("other", "cert"),
            route("r", &to("a")),
        ]);
        assert_eq!(built.asked(443, "x", &get("x", "/")), want, "{name}");
        let config = built.gateway();
        let listeners = config.sections[0].listeners().iter();
        let shown: Vec<String> = listeners
            .flat_map(|it| &it.chains)
            .filter_map(|chain| match &chain.transport {
                DownstreamTransport::Tls { certificate, .. } => Some(certificate.to_string()),
                DownstreamTransport::Plaintext => None,
            })
            .collect();
        let want: Vec<&str> = Some(certificate)
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect();
        assert_eq!(shown, want, "{name}");
    }
}

/// Source: GEP-91: settings of a port take the place of the default.
#[test]
fn clients_are_checked_as_their_port_has_it() {
    let ca = |name: &str| {
        format!(
            "{{validation: {{caCertificateRefs: [{{kind: ConfigMap, group: '', name: {name}}}]}}}}"
        )
    };
    let rows = [
        ("default", format!("{{default: {}}}", ca("first")), Some(("first", true))),
        (
            "of the port",
            format!("{{default: {}, perPort: [{{port: 443, tls: {}}}]}}", ca("first"), ca("second")),
            Some(("second", true)),
        ),
        (
            "of another port",
            format!("{{default: {}, perPort: [{{port: 444, tls: {}}}]}}", ca("first"), ca("second")),
            Some(("first", true)),
        ),
        ("turned off for the port", format!("{{default: {}, perPort: [{{port: 443, tls: {{}}}}]}}", ca("first")), None),
        (
            "whatever they show",
            "{default: {validation: {caCertificateRefs: [{kind: ConfigMap, group: '', name: first}], mode: AllowInsecureFallback}}}".to_owned(),
            Some(("", false)),
        ),
    ];
    for (name, frontend, want) in rows {
        let edge = gateway(&https("https", "", "cert")).replacen(
            "  listeners:",
            &format!("  tls: {{frontend: {frontend}}}\n  listeners:"),
            1,
        );
        let first = pem("CERTIFICATE");
        let second = format!("# second\\n{first}");
        let built = build(&[
            edge,
            secret("shop", "cert"),
            authority("first", &first),
            authority("second", &second),
            route("r", &to("a")),
        ]);
        let config = built.gateway();
        let chain = &config.sections[0].listeners()[0].chains[0];
        let DownstreamTransport::Tls {
            mutual,
            certificate,
            ..
        } = &chain.transport
        else {
            panic!("TLS ends there");
        };
        let credential = built
            .model
            .credential(NodeRef::Gateway(GatewayId(0)), certificate);
        let Some((authority, demanded)) = want else {
            assert!(credential.is_none() && !mutual, "{name}");
            continue;
        };
        let credential = credential.expect("more than a Secret");
        assert_eq!(
            (*mutual, credential.takes_any),
            (demanded, !demanded),
            "{name}"
        );
        match &credential.roots {
            None => assert_eq!(authority, "", "{name}"),
            Some(Roots::Pem(texts)) => {
                let is_second = texts[0].starts_with("# second");
                assert_eq!(is_second, authority == "second", "{name}");
            }
            Some(Roots::System) => panic!("{name}"),
        }
    }
    let edge = gateway(&https("https", "", "cert")).replacen(
        "  listeners:",
        &format!(
            "  tls: {{frontend: {{default: {}}}}}\n  listeners:",
            ca("gone")
        ),
        1,
    );
    let built = build(&[
        gateway(HTTP).replace("edge, namespace", "plain, namespace"),
        edge,
        secret("shop", "cert"),
    ]);
    assert!(
        built.has("gateway-api::listener"),
        "nobody could be checked: it does not serve"
    );
}

/// Source: `TLSRoute`, GEP-2643; names that no route has are refused.
#[test]
fn connections_by_name_are_passed_on_or_end_here() {
    let tls = |name: &str, hosts: &str, service: &str, section: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  parentRefs: [{{name: edge, \
             sectionName: {section}}}]\n  hostnames: [{hosts}]\n  rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]\n"
        )
    };
    let built = build(&[
        gateway(
            "{name: pass, port: 443, protocol: TLS, hostname: '*.pass.example', tls: {mode: Passthrough}}, {name: end, port: 443, protocol: TLS, hostname: \
             end.example, tls: {certificateRefs: [{name: cert}]}}",
        ),
        secret("shop", "cert"),
        tls("pass", "a.pass.example", "a", "pass"),
        tls("end", "'*.example', end.example", "b", "end"),
    ]);
    for (sni, want) in [
        ("a.pass.example", "shop/a:80/bytes*1"),
        ("b.pass.example", "closed"),
        ("end.example", "shop/b:80/bytes*1"),
        ("x.example", "closed"),
        ("", "closed"),
    ] {
        assert_eq!(built.asked(443, sni, &get("", "")), want, "{sni}");
    }
}

fn policy(name: &str, section: &str, validation: &str) -> String {
    let section = if section.is_empty() {
        String::new()
    } else {
        format!(", sectionName: {section}")
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  targetRefs: [{{group: '', \
         kind: Service, name: a{section}}}]\n  validation: {validation}\n"
    )
}

/// Source: `BackendTLSPolicy`.
#[test]
fn backends_are_reached_over_tls_as_their_policy_has_it() {
    let ca = "caCertificateRefs: [{kind: ConfigMap, group: '', name: ca}]";
    let rows = [
        ("none", vec![], Some("plaintext")),
        (
            "by name",
            vec![policy("p", "", &format!("{{{ca}, hostname: h.example}}"))],
            Some("h.example true 0"),
        ),
        (
            "of the port before the Service's",
            vec![
                policy("p", "", &format!("{{{ca}, hostname: h.example}}")),
                policy("q", "web", &format!("{{{ca}, hostname: i.example}}")),
            ],
            Some("i.example true 0"),
        ),
        (
            "the first of two",
            vec![
                policy("q", "", &format!("{{{ca}, hostname: q.example}}")),
                policy("p", "", &format!("{{{ca}, hostname: p.example}}")),
            ],
            Some("p.example true 0"),
        ),
        (
            "other names",
            vec![policy(
                "p",
                "",
                &format!(
                    "{{{ca}, hostname: h.example, subjectAltNames: [{{type: Hostname, hostname: x.example}}, {{type: URI, uri: 'spiffe://x'}}]}}"
                ),
            )],
            Some("h.example false 2"),
        ),
        (
            "believed by the machine",
            vec![policy(
                "p",
                "",
                "{wellKnownCACertificates: System, hostname: h.example}",
            )],
            Some("h.example true 0"),
        ),
        (
            "no authority",
            vec![policy(
                "p",
                "",
                "{caCertificateRefs: [{kind: ConfigMap, group: '', name: gone}], hostname: h.example}",
            )],
            None,
        ),
    ];
    for (name, policies, want) in rows {
        let mut parts = vec![
            gateway(HTTP),
            authority("ca", &pem("CERTIFICATE")),
            route("r", &to("a")),
        ];
        parts.extend(policies);
        let built = build(&parts);
        let Some(want) = want else {
            assert_eq!(built.ask(&get("x", "/")), "500", "{name}");
            continue;
        };
        assert_eq!(built.ask(&get("x", "/")), "shop/a:80", "{name}");
        let config = built.gateway();
        let said = match &config.sections[0].clusters()[0].transport {
            UpstreamTransport::Plaintext => "plaintext".to_owned(),
            UpstreamTransport::Tls { sni, certificate } => {
                let certificate = certificate.as_deref().expect("a credential");
                let credential = built
                    .model
                    .credential(NodeRef::Gateway(GatewayId(0)), certificate);
                let credential = credential.expect("it is known");
                assert!(credential.roots.is_some(), "{name}");
                format!(
                    "{sni} {} {}",
                    credential.checks_host,
                    credential.names.len()
                )
            }
            UpstreamTransport::Mesh { .. } => panic!("{name}"),
        };
        assert_eq!(said, want, "{name}");
    }
}
