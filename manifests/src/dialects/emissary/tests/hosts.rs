use super::rig::*;

fn host(name: &str, spec: &str) -> String {
    object("Host", name, spec)
}

fn listener(spec: &str) -> String {
    object("Listener", "emissary/l", spec)
}

const HTTPS: &str =
    "{port: 8443, protocol: HTTPS, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}";
const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\ntype: kubernetes.io/tls\n";

#[test]
fn a_mapping_belongs_to_hosts_by_its_name_and_their_selectors() {
    let selector = "mappingSelector: {matchLabels: {of: one, and: two}}";
    let labels = "{of: one, and: two, more: three}";
    for (row, of_host, of_mapping, labels, want) in [
        ("name", "hostname: a.com", "hostname: a.com", "{}", true),
        (
            "other name",
            "hostname: a.com",
            "hostname: b.com",
            "{}",
            false,
        ),
        (
            "glob of the Host",
            "hostname: '*.com'",
            "hostname: a.com",
            "{}",
            true,
        ),
        (
            "glob of the Mapping",
            "hostname: a.com",
            "hostname: '*.com'",
            "{}",
            true,
        ),
        ("no name", "hostname: a.com", "", "{}", false),
        ("no name, no Host's name", "", "", "{}", false),
        ("any name", "hostname: a.com", "hostname: '*'", "{}", true),
        (
            "labels",
            &format!("hostname: a.com, {selector}"),
            "",
            labels,
            true,
        ),
        (
            "not all labels",
            &format!("hostname: a.com, {selector}"),
            "",
            "{of: one}",
            false,
        ),
        (
            "labels and name",
            &format!("hostname: a.com, {selector}"),
            "hostname: a.com",
            labels,
            true,
        ),
        (
            "labels, other name",
            &format!("hostname: a.com, {selector}"),
            "hostname: b.com",
            labels,
            false,
        ),
        (
            "name, no labels",
            &format!("hostname: a.com, {selector}"),
            "hostname: a.com",
            "{}",
            false,
        ),
        (
            "older selector",
            "hostname: a.com, selector: {matchLabels: {of: one}}",
            "",
            labels,
            true,
        ),
        (
            "pattern",
            "hostname: a.com",
            "host: '.*', host_regex: true",
            "{}",
            true,
        ),
        ("older name", "hostname: a.com", "host: a.com", "{}", true),
        (
            "header",
            "hostname: a.com",
            "headers: {':authority': a.com}",
            "{}",
            true,
        ),
    ] {
        let parts = [
            LISTENER.to_owned(),
            host(
                "one",
                &format!("{{{of_host}, requestPolicy: {{insecure: {{action: Route}}}}}}")
                    .replace("{, ", "{"),
            ),
            labelled(
                "v3alpha1",
                "Mapping",
                "m",
                labels,
                &format!("{{prefix: /x/, service: a, {of_mapping}}}"),
            ),
        ];
        let built = build(&parts);
        let got = built.get("a.com", "/x/") != "404";
        assert_eq!(got, want, "{row}\n{}", built.text);
        assert_eq!(
            built.has("emissary::no-host"),
            !want,
            "{row}\n{}",
            built.text
        );
    }
}

#[test]
fn a_host_takes_the_requests_of_its_name_alone() {
    let built = build(&[
        LISTENER.to_owned(),
        host(
            "one",
            "{hostname: one.com, requestPolicy: {insecure: {action: Route}}}",
        ),
        host(
            "sub",
            "{hostname: '*.two.com', requestPolicy: {insecure: {action: Route}}}",
        ),
        mapping("m", "{prefix: /x/, service: a}"),
        object(
            "Mapping",
            "n",
            "{hostname: s.two.com, prefix: /x/, service: b}",
        ),
    ]);
    built.is_clean();
    for (name, want) in [
        ("one.com", "a_default /"),
        ("two.com", "404"),
        ("r.two.com", "a_default /"),
        ("s.two.com", "b_default /"),
        ("three.com", "404"),
        // a port in the Host is another name
        ("one.com:8080", "404"),
    ] {
        assert_eq!(built.get(name, "/x/"), want, "{name}");
    }
}

#[test]
fn without_any_host_every_name_is_served_in_the_clear() {
    let built = build(&[
        LISTENER.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    // the Listener of `emissary` takes the Host that is made there
    built.is_clean();
    assert_eq!(built.get("any.com", "/x/"), "a_default /");
}

#[test]
fn requests_in_the_clear_go_to_https_unless_the_host_says_otherwise() {
    for (policy, want) in [
        ("", "301 https://a.com/x/y"),
        (
            "requestPolicy: {insecure: {action: Redirect}}",
            "301 https://a.com/x/y",
        ),
        ("requestPolicy: {insecure: {action: Route}}", "a_default /y"),
        ("requestPolicy: {insecure: {action: Reject}}", "404"),
    ] {
        let built = build(&[
            LISTENER.to_owned(),
            host("one", &format!("{{hostname: a.com, {policy}}}")),
            mapping("m", "{prefix: /x/, service: a}"),
            mapping(
                "c",
                "{prefix: /.well-known/acme-challenge/, service: b, rewrite: ''}",
            ),
        ]);
        assert_eq!(built.get("a.com", "/x/y"), want, "{policy}");
        let challenge = built.get("a.com", "/.well-known/acme-challenge/t");
        assert_eq!(
            challenge, "b_default /.well-known/acme-challenge/t",
            "{policy}"
        );
        // what no Mapping takes is not redirected either
        assert_eq!(built.get("a.com", "/other"), "404", "{policy}");
    }
}

#[test]
fn tls_ends_by_the_hosts_secret_and_requests_over_it_are_routed() {
    let built = build(&[
        listener(HTTPS),
        SECRET.to_owned(),
        host("one", "{hostname: a.com, tlsSecret: {name: cert}}"),
        host(
            "any",
            "{hostname: '*.b.com', tlsSecret: {name: cert}, tls: {alpn_protocols: 'h2,http/1.1'}}",
        ),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    built.is_clean();
    assert_eq!(
        built.asked(8443, "a.com", get("a.com", "/x/")),
        "a_default /"
    );
    assert_eq!(
        built.asked(8443, "s.b.com", get("s.b.com", "/x/")),
        "a_default /"
    );
    // the port takes plaintext, too
    assert_eq!(
        built.asked(8443, "", get("a.com", "/x/")),
        "301 https://a.com/x/"
    );
    let config = built.config();
    let of = |sni| {
        let chain = chain(&config.sections[0], 8443, sni).expect("a chain");
        chain.transport.clone()
    };
    use proxy_core::config::DownstreamTransport::Tls;
    let Tls {
        alpn,
        certificate,
        mutual,
    } = of("a.com")
    else {
        panic!("TLS")
    };
    assert_eq!(
        (alpn.len(), &*certificate, mutual),
        (0, "default/cert", false)
    );
    let Tls { alpn, .. } = of("s.b.com") else {
        panic!("TLS")
    };
    assert_eq!(alpn, ["h2".into(), "http/1.1".into()]);
}

#[test]
fn a_listener_for_plaintext_has_no_chains_for_tls() {
    let built = build(&[
        LISTENER.to_owned(),
        SECRET.to_owned(),
        host("one", "{hostname: a.com, tlsSecret: {name: cert}}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    let config = built.config();
    assert_eq!(config.sections[0].listeners()[0].chains.len(), 1);
}

#[test]
fn the_security_model_says_which_requests_are_secure() {
    let parts = |model: &str, depth: &str| {
        build(&[
            listener(&format!(
                "{{port: 8443, protocol: HTTPS, securityModel: {model}, {depth} hostBinding: {{namespace: {{from: ALL}}}}}}"
            )),
            SECRET.to_owned(),
            host("one", "{hostname: a.com, tlsSecret: {name: cert}}"),
            mapping("m", "{prefix: /x/, service: a}"),
        ])
    };
    let routed = "a_default /";
    let redirected = "301 https://a.com/x/";
    let https: &[(&str, &str)] = &[("x-forwarded-proto", "https")];
    let http: &[(&str, &str)] = &[("x-forwarded-proto", "http")];
    for (row, built, sni, headers, want) in [
        (
            "secure, in the clear",
            parts("SECURE", ""),
            "",
            &[][..],
            routed,
        ),
        ("secure, TLS", parts("SECURE", ""), "a.com", &[], routed),
        (
            "insecure, in the clear",
            parts("INSECURE", ""),
            "",
            &[],
            redirected,
        ),
        (
            "insecure, TLS",
            parts("INSECURE", ""),
            "a.com",
            &[],
            redirected,
        ),
        (
            "by connection, in the clear",
            parts("XFP", ""),
            "",
            &[],
            redirected,
        ),
        ("by connection, TLS", parts("XFP", ""), "a.com", &[], routed),
        (
            "nobody is believed",
            parts("XFP", ""),
            "",
            https,
            redirected,
        ),
        (
            "behind a proxy, in the clear",
            parts("XFP", "l7Depth: 1,"),
            "",
            &[],
            redirected,
        ),
        (
            "behind a proxy, TLS",
            parts("XFP", "l7Depth: 1,"),
            "a.com",
            &[],
            routed,
        ),
        (
            "behind a proxy that says https",
            parts("XFP", "l7Depth: 1,"),
            "",
            https,
            routed,
        ),
        (
            "behind a proxy that says http",
            parts("XFP", "l7Depth: 1,"),
            "a.com",
            http,
            redirected,
        ),
    ] {
        let ask = Ask {
            headers,
            ..get("a.com", "/x/")
        };
        let got = built.asked(8443, sni, ask);
        assert!(got.starts_with(want), "{row}: {got}\n{}", built.text);
    }
}

#[test]
fn a_listener_takes_the_hosts_of_its_own_namespace_or_of_all_and_by_label() {
    for (binding, own, other, labelled_one) in [
        ("{namespace: {from: SELF}}", true, false, false),
        ("{namespace: {from: ALL}}", true, true, true),
        (
            "{namespace: {from: ALL}, selector: {matchLabels: {edge: 'yes'}}}",
            false,
            false,
            true,
        ),
        (
            "{selector: {matchLabels: {edge: 'yes'}}}",
            false,
            false,
            false,
        ),
    ] {
        let policy = "requestPolicy: {insecure: {action: Route}}";
        let built = build(&[
            listener(&format!(
                "{{port: 8080, protocol: HTTP, securityModel: XFP, hostBinding: {binding}}}"
            )),
            host("emissary/own", &format!("{{hostname: own.com, {policy}}}")),
            host("other", &format!("{{hostname: other.com, {policy}}}")),
            labelled(
                "v3alpha1",
                "Host",
                "by-label",
                "{edge: 'yes'}",
                &format!("{{hostname: label.com, {policy}}}"),
            ),
            mapping("m", "{prefix: /x/, service: a}"),
        ]);
        let nothing = !(own || other || labelled_one);
        assert_eq!(built.has("emissary::idle-listener"), nothing, "{binding}");
        for (name, want) in [
            ("own.com", own),
            ("other.com", other),
            ("label.com", labelled_one),
        ] {
            let got = built.get(name, "/x/") == "a_default /";
            assert_eq!(got, want, "{binding} {name}\n{}", built.text);
        }
    }
}

#[test]
fn without_a_listener_nothing_is_served_and_that_is_told() {
    let built = build(&[HOST.to_owned(), mapping("m", "{prefix: /x/, service: a}")]);
    assert!(built.text.contains("NOTHING IS SERVED"), "{}", built.text);
    assert!(built.config().sections[0].listeners().is_empty());
}

#[test]
fn a_host_has_a_tls_context_by_name_by_its_own_name_or_of_its_own() {
    let context = object(
        "TLSContext",
        "ctx",
        "{hosts: [a.com], secret: cert, alpn_protocols: h2}",
    );
    let implicit = object(
        "TLSContext",
        "one-context",
        "{hosts: [a.com], secret: cert, alpn_protocols: h2}",
    );
    let other = object("TLSContext", "ctx", "{hosts: [a.com], secret: else}");
    for (row, spec, parts, error, has_h2) in [
        (
            "named",
            "tlsContext: {name: ctx}",
            vec![context.clone()],
            "",
            true,
        ),
        ("of the Host's name", "", vec![implicit], "", true),
        ("own", "tls: {alpn_protocols: h2}", vec![], "", true),
        ("none", "", vec![], "", false),
        (
            "missing",
            "tlsContext: {name: ctz}",
            vec![context.clone()],
            "emissary::unknown-context",
            false,
        ),
        (
            "both",
            "tlsContext: {name: ctx}, tls: {alpn_protocols: h2}",
            vec![context],
            "emissary::host-tls",
            false,
        ),
        (
            "another Secret",
            "tlsContext: {name: ctx}",
            vec![other],
            "emissary::other-secret",
            false,
        ),
    ] {
        let mut all = vec![
            listener(HTTPS),
            SECRET.to_owned(),
            host(
                "one",
                &format!("{{hostname: a.com, tlsSecret: {{name: cert}}, {spec}}}"),
            ),
            mapping("m", "{prefix: /x/, service: a}"),
        ];
        all.extend(parts);
        let built = build(&all);
        if !error.is_empty() {
            assert!(built.has(error), "{row}\n{}", built.text);
            continue;
        }
        let config = built.config();
        let chain = chain(&config.sections[0], 8443, "a.com").expect("a chain");
        let offers = matches!(&chain.transport, proxy_core::config::DownstreamTransport::Tls { alpn, .. } if alpn.contains(&"h2".into()));
        assert_eq!(offers, has_h2, "{row}\n{}", built.text);
    }
}

#[test]
fn a_context_without_the_hosts_secret_ends_no_tls() {
    let built = build(&[
        listener(HTTPS),
        object("TLSContext", "ctx", "{hosts: [a.com], secret: cert}"),
        host("one", "{hostname: a.com, tlsContext: {name: ctx}}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(built.has("emissary::no-certificate"), "{}", built.text);
    let got = built.asked(8443, "a.com", get("a.com", "/x/"));
    assert_eq!(got, "301 https://a.com/x/");
}

#[test]
fn a_secret_that_is_not_there_is_taken_to_be_in_the_cluster() {
    let built = build(&[
        listener(HTTPS),
        host(
            "one",
            "{hostname: a.com, tlsSecret: {name: cert, namespace: certs}}",
        ),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(built.has("emissary::secret"), "{}", built.text);
    assert!(built.text.contains("certs/cert"), "{}", built.text);
    assert_eq!(
        built.asked(8443, "a.com", get("a.com", "/x/")),
        "a_default /"
    );
}
