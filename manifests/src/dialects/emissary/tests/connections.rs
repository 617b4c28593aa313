//! Listeners and TCPMappings.

use proxy_core::config::{ChainAction, DownstreamTransport};

use super::rig::*;

fn listener(spec: &str) -> Built {
    build(&[
        object("Listener", "emissary/l", &format!("{{{spec}}}")),
        HOST.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ])
}

const REST: &str = "securityModel: XFP, hostBinding: {namespace: {from: ALL}}";

#[test]
fn a_listener_says_what_is_spoken() {
    for (spec, proxied) in [
        ("protocol: HTTP", false),
        ("protocol: HTTPS", false),
        ("protocol: HTTPPROXY", true),
        ("protocol: HTTPSPROXY", true),
        ("protocolStack: [HTTP, TCP]", false),
        ("protocolStack: [TLS, PROXY, HTTP, TCP]", true),
    ] {
        let built = listener(&format!("port: 8080, {spec}, {REST}"));
        built.is_clean();
        assert_eq!(built.get("h", "/x/"), "a_default /", "{spec}");
        let config = built.config();
        assert_eq!(
            config.sections[0].listeners()[0].preface.is_some(),
            proxied,
            "{spec}"
        );
    }
    for spec in ["protocol: TCP", "protocol: TLS"] {
        let built = listener(&format!("port: 8080, {spec}, {REST}"));
        assert!(
            built.has("emissary::idle-listener"),
            "{spec}\n{}",
            built.text
        );
    }
    let both = listener(&format!(
        "port: 8080, protocol: TCP, protocolStack: [HTTP, TCP], {REST}"
    ));
    assert!(both.has("emissary::listener") && both.get("h", "/x/") != "404");
}

#[test]
fn what_a_listener_lacks_is_an_error() {
    for spec in [
        format!("protocol: HTTP, {REST}"),
        format!("port: 8080, {REST}"),
        "port: 8080, protocol: HTTP, hostBinding: {namespace: {from: ALL}}".to_owned(),
        "port: 8080, protocol: HTTP, securityModel: XFP".to_owned(),
        "port: 8080, protocol: HTTP, securityModel: XFP, hostBinding: {}".to_owned(),
        "port: 8080, protocol: HTTP, securityModel: XFP, hostBinding: {namespace: {from: SOME}}"
            .to_owned(),
        format!("port: 8080, protocol: UDP, {REST}"),
        format!("port: 8080, protocolStack: [TCP, HTTP], {REST}"),
        format!("port: 8080, protocol: FTP, {REST}"),
        "port: 8080, protocol: HTTP, securityModel: MAYBE, hostBinding: {namespace: {from: ALL}}"
            .to_owned(),
    ] {
        let built = listener(&spec);
        assert!(built.problems.has_errors(), "{spec}\n{}", built.text);
    }
    let quic = listener(&format!(
        "port: 8443, protocolStack: [TLS, HTTP, UDP], {REST}"
    ));
    assert!(quic.text.contains("HTTP/3"), "{}", quic.text);
    let streams = listener(&format!(
        "port: 8080, protocol: HTTP, http2MaxConcurrentStreams: 10, {REST}"
    ));
    assert!(streams.has("emissary::not-modelled"));
}

#[test]
fn of_two_listeners_of_one_port_the_first_by_name_counts() {
    let one = |name: &str, protocol: &str| {
        object(
            "Listener",
            name,
            &format!("{{port: 8080, protocol: {protocol}, {REST}}}"),
        )
    };
    let built = build(&[
        one("emissary/b", "HTTP"),
        one("emissary/a", "HTTPS"),
        HOST.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(built.has("emissary::second-listener"), "{}", built.text);
    assert_eq!(&*built.config().sections[0].listeners()[0].name, "a");
}

fn tcp(name: &str, spec: &str) -> String {
    object("TCPMapping", name, &format!("{{{spec}}}"))
}

#[test]
fn a_tcp_mapping_has_a_port_and_makes_its_own_listener() {
    let built = build(&[tcp("t", "port: 6379, service: far.other:8080")]);
    built.is_clean();
    assert_eq!(
        built.asked(6379, "", get("h", "/")),
        "far_other_8080_default*100"
    );
    let config = built.config();
    let listener = &config.sections[0].listeners()[0];
    assert_eq!(&*listener.name, "listener-0.0.0.0-6379");
    let ChainAction::Tcp(route) = &listener.chains[0].action else {
        panic!("bytes")
    };
    assert_eq!(
        route.idle_timeout.map(|it| it.value.as_millis()),
        Some(3_600_000)
    );
}

#[test]
fn a_tcp_mapping_with_a_host_ends_tls_by_it() {
    let mapping = tcp("t", "port: 6379, host: db.com, service: a");
    let context = object("TLSContext", "ctx", "{hosts: [db.com], secret: cert}");
    let host = object(
        "Host",
        "db",
        "{hostname: '*.com', tlsSecret: {name: host-cert}}",
    );
    for (row, parts, want) in [
        (
            "context",
            vec![mapping.clone(), context.clone()],
            Some("default/cert"),
        ),
        (
            "a Host before a context",
            vec![mapping.clone(), context, host],
            Some("default/host-cert"),
        ),
        ("nobody", vec![mapping], None),
    ] {
        let built = build(&parts);
        assert_eq!(
            built.has("emissary::no-certificate"),
            want.is_none(),
            "{row}\n{}",
            built.text
        );
        let Some(want) = want else { continue };
        let config = built.config();
        let chain = chain(&config.sections[0], 6379, "db.com").expect("a chain");
        let DownstreamTransport::Tls { certificate, .. } = &chain.transport else {
            panic!("TLS")
        };
        assert_eq!(&**certificate, want, "{row}");
    }
}

#[test]
fn tcp_mappings_are_weighed_by_sums_of_their_weights() {
    let built = build(&[
        tcp("m", "port: 6379, service: a, weight: 50"),
        tcp("n", "port: 6379, service: b, weight: 50"),
    ]);
    assert!(
        built.text.contains("33.3 %") && built.text.contains("66.7 %"),
        "{}",
        built.text
    );
    assert_eq!(
        built.asked(6379, "", get("h", "/")),
        "a_default*50 b_default*100"
    );
}

#[test]
fn tcp_mappings_of_one_port_must_agree() {
    let built = build(&[
        tcp("m", "port: 6379, service: a"),
        tcp(
            "n",
            "port: 6379, service: b, circuit_breakers: [{max_connections: 1}]",
        ),
    ]);
    assert!(built.has("emissary::left-out"), "{}", built.text);
    assert_eq!(built.asked(6379, "", get("h", "/")), "a_default*100");
}

#[test]
fn fields_of_tcp_mappings_are_checked() {
    for (spec, code, error) in [
        ("service: a", "emissary::missing", true),
        ("port: 6379", "emissary::missing", true),
        ("port: 6379, service: c", "emissary::unknown-service", true),
        (
            "port: 6379, service: a, resolver: nobody",
            "emissary::unknown-resolver",
            true,
        ),
        (
            "port: 6379, service: a, tls: nobody",
            "emissary::unknown-context",
            true,
        ),
        ("port: 6379, service: a, prot: 1", "field::unknown", true),
        (
            "port: 6379, service: a, idle_timeout_ms: '1000'",
            "emissary::ignored",
            false,
        ),
        (
            "port: 6379, service: a, address: 10.0.0.1",
            "emissary::not-modelled",
            false,
        ),
        (
            "port: 6379, service: a, enable_ipv6: true",
            "emissary::not-modelled",
            false,
        ),
    ] {
        let built = build(&[tcp("t", spec)]);
        assert!(built.has(code), "{spec}\n{}", built.text);
        assert_eq!(built.problems.has_errors(), error, "{spec}\n{}", built.text);
    }
    let limits = build(&[tcp(
        "t",
        "port: 6379, service: a, circuit_breakers: [{max_connections: 3}]",
    )]);
    let config = limits.config();
    let cluster = &config.sections[0].clusters()[0];
    assert_eq!(cluster.limits[0].connections.value, 3);
    assert_eq!(cluster.connect_timeout.value.as_millis(), 3000);
}

#[test]
fn a_tcp_mapping_takes_the_connections_of_a_host_of_its_name() {
    let built = build(&[
        object(
            "Listener",
            "emissary/l",
            &format!("{{port: 8443, protocol: HTTPS, {REST}}}"),
        ),
        object("Host", "h", "{hostname: a.com, tlsSecret: {name: cert}}"),
        mapping("m", "{prefix: /x/, service: a}"),
        tcp("t", "port: 8443, host: a.com, service: b"),
    ]);
    assert!(built.has("emissary::second-host"), "{}", built.text);
    assert_eq!(
        built.asked(8443, "a.com", get("a.com", "/x/")),
        "b_default*100"
    );
}

#[test]
fn contexts_are_known_by_name_and_what_they_lack_is_told() {
    let context = |spec: &str| {
        served(&[
            object("TLSContext", "ctx", spec),
            mapping("m", "{prefix: /x/, service: a, tls: ctx}"),
        ])
    };
    for (spec, words) in [
        (
            "{secret: cert, ca_secret: ca}",
            "CLIENTS WITHOUT A CERTIFICATE",
        ),
        (
            "{secret: cert, cert_required: true}",
            "CLIENTS WITHOUT A CERTIFICATE",
        ),
        ("{secret: cert, crl_secret: crl}", "taken back"),
        ("{cert_chain_file: /c, private_key_file: /k}", "from a file"),
        ("{secret: cert, cipher_suites: [x]}", "ciphers"),
        ("{secret: cert, min_tls_version: v1.2}", "versions of TLS"),
        (
            "{secret: cert, redirect_cleartext_from: 8080}",
            "does not read this field",
        ),
    ] {
        let built = context(spec);
        assert!(built.text.contains(words), "{spec}\n{}", built.text);
        assert!(!built.problems.has_errors(), "{spec}\n{}", built.text);
    }
    assert!(
        context("{secret: cert, min_tls_version: v2}")
            .problems
            .has_errors()
    );
    let twice = served(&[
        object("TLSContext", "a/ctx", "{secret: one}"),
        object("TLSContext", "b/ctx", "{secret: two}"),
    ]);
    assert!(twice.has("emissary::second-context"), "{}", twice.text);
}
