//! Annotations of Services, pods and namespaces, value by value, and what is made of connections by their first bytes.

use proxy_core::node::{Peek, PeekedProtocol, TlsHello, select_chain};

use super::*;

/// What becomes of a connection that begins so: `requests`, `bytes` or `closed`.
fn meets(section: &Section, listener: u32, at: SocketAddr, peek: &Peek<'_>) -> &'static str {
    let listener = &section.listeners()[listener as usize];
    match select_chain(listener, at, Some(peek)) {
        None => "closed",
        Some(chain) => match &listener.chains[chain as usize].action {
            ChainAction::Http(_) => "requests",
            ChainAction::Tcp(_) => "bytes",
            ChainAction::Close(_) => "closed",
            ChainAction::Udp(_) => panic!("no datagrams"),
        },
    }
}

const HTTP1: Peek<'static> = plaintext(PeekedProtocol::Http1);
const HTTP2: Peek<'static> = plaintext(PeekedProtocol::Http2);
const OTHER: Peek<'static> = plaintext(PeekedProtocol::Unknown);

const fn plaintext(protocol: PeekedProtocol) -> Peek<'static> {
    Peek {
        tls: None,
        protocol,
    }
}

fn tls(sni: &str) -> Peek<'_> {
    Peek {
        tls: Some(TlsHello {
            sni: Some(sni),
            alpn: &["h2", "http/1.1"],
        }),
        protocol: PeekedProtocol::Unknown,
    }
}

#[test]
fn what_leaves_is_looked_into_and_carried_where_it_is_no_request() {
    let mut cluster = Cluster_::with("");
    let section = cluster.outbound();
    let service = SocketAddr::new(ip(0), 80);
    let of_service = section
        .listener(Arrival::Outbound, service)
        .expect("there is one");
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 5_000));
    let rest = section
        .rest_listener(Arrival::Outbound)
        .expect("there is one");
    let rows = [
        ("HTTP/1.1", HTTP1, "requests"),
        ("HTTP/2", HTTP2, "requests"),
        ("bytes of a server that speaks first", OTHER, "bytes"),
        ("TLS of the application", tls("api.example"), "bytes"),
    ];
    for (name, peek, expected) in rows {
        let meets = |listener, at| meets(&section, listener, at, &peek);
        assert_eq!(meets(of_service, service), expected, "{name} to a Service");
        assert_eq!(meets(rest, elsewhere), expected, "{name} to another");
    }
}

#[test]
fn what_arrives_is_looked_into_and_carried_where_it_is_no_request() {
    let own = "a.default.serviceaccount.identity.linkerd.cluster.local";
    let rows = [
        (
            "all-unauthenticated",
            ["requests", "requests", "bytes", "bytes"],
        ),
        // plaintext requests are read to be refused with 403
        (
            "all-authenticated",
            ["requests", "requests", "closed", "closed"],
        ),
        ("deny", ["requests", "requests", "closed", "closed"]),
    ];
    for (policy, expected) in rows {
        let mut cluster = Cluster_::with("");
        cluster.workloads[0].annotations.insert(
            "config.linkerd.io/default-inbound-policy".into(),
            policy.into(),
        );
        let section = cluster.inbound();
        let at = SocketAddr::new(ip(0), 8080);
        let listener = section
            .listener(Arrival::Inbound, at)
            .expect("there is one");
        let found = [tls(own), HTTP1, OTHER, tls("other.example")]
            .map(|peek| meets(&section, listener, at, &peek));
        assert_eq!(found, expected, "{policy}");
    }
}

#[test]
fn calls_of_grpc_reach_the_application_in_http2() {
    let protocol = |declared: Option<&str>, kind: &str| {
        let mut cluster = Cluster_::with("");
        cluster.services[0].ports[0].app_protocol = declared.map(Into::into);
        let section = cluster.inbound();
        let at = SocketAddr::new(ip(0), 8080);
        let listener = section
            .listener(Arrival::Inbound, at)
            .expect("there is one");
        let call = Request {
            method: "POST",
            path: "/shop.Cart/Add",
            headers: &[("content-type", kind)],
        };
        let listener = &section.listeners()[listener as usize];
        let route = route_in(&section, listener, 0, &call).expect("a route");
        let RouteAction::Forward(forward) = route.action else {
            panic!("sent on")
        };
        let at = forward.clusters[0].cluster.expect("somebody");
        section.clusters()[at.0 as usize].protocol
    };
    let rows = [
        (None, "application/json", UpstreamProtocol::Http1),
        (None, "application/grpc", UpstreamProtocol::Http2),
        (None, "application/grpc+proto", UpstreamProtocol::Http2),
        (Some("http"), "application/json", UpstreamProtocol::Http1),
        (
            Some("kubernetes.io/h2c"),
            "application/json",
            UpstreamProtocol::Http2,
        ),
    ];
    for (declared, kind, expected) in rows {
        assert_eq!(protocol(declared, kind), expected, "{declared:?} {kind}");
    }
}

#[test]
fn ports_declare_that_they_are_opaque_from_2_18_on() {
    let looked_into = |release, declared: Option<&str>, annotation: &[(&str, &str)]| {
        let mut cluster = Cluster_::annotated(annotation, "");
        cluster.release = release;
        cluster.services[0].ports[0].app_protocol = declared.map(Into::into);
        let section = cluster.outbound();
        let at = SocketAddr::new(ip(0), 80);
        let listener = section
            .listener(Arrival::Outbound, at)
            .expect("there is one");
        meets(&section, listener, at, &HTTP1) == "requests"
    };
    type Row = (
        &'static str,
        &'static str,
        Option<&'static str>,
        &'static [(&'static str, &'static str)],
        bool,
    );
    let listed = &[("config.linkerd.io/opaque-ports", "80")];
    let rows: [Row; 8] = [
        ("undeclared", "2.18", None, &[], true),
        ("undeclared and listed", "2.18", None, listed, false),
        ("opaque", "2.18", Some("linkerd.io/opaque"), &[], false),
        ("tcp", "2.19", Some("linkerd.io/tcp"), &[], false),
        ("any case", "2.19", Some("Linkerd.io/TCP"), &[], false),
        (
            "declared before the list",
            "2.18",
            Some("http"),
            listed,
            true,
        ),
        ("before 2.18", "2.17", Some("linkerd.io/opaque"), &[], true),
        ("listed before 2.18", "2.17", Some("http"), listed, false),
    ];
    for (name, release, declared, annotation, expected) in rows {
        assert_eq!(
            looked_into(release, declared, annotation),
            expected,
            "{name}"
        );
    }
}

#[test]
fn opaque_ports_are_the_services_else_the_namespaces_else_the_charts() {
    let opaque = |namespace: Option<&str>, service: Option<&str>| {
        let lines = service.map_or(Vec::new(), |it| {
            vec![("config.linkerd.io/opaque-ports", it)]
        });
        let mut cluster = Cluster_::annotated(&lines, "");
        if let Some(ports) = namespace {
            let yaml = format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: default, annotations: {{linkerd.io/inject: enabled, config.linkerd.io/opaque-ports: '{ports}'}}}}\n"
            );
            let layer = Layer::text("namespace.yaml", yaml);
            cluster
                .objects
                .apply(&layer, &mut cluster.sources, &mut cluster.diagnostics);
        }
        let section = cluster.outbound();
        let of = |id: u32, port: u16| {
            let at = SocketAddr::new(ip(id), port);
            let listener = section
                .listener(Arrival::Outbound, at)
                .expect("there is one");
            meets(&section, listener, at, &HTTP1) == "bytes"
        };
        [of(0, 80), of(2, 6_379)]
    };
    let rows = [
        ("the chart's list has Redis", None, None, [false, true]),
        (
            "the namespace's takes its place",
            Some("80"),
            None,
            [true, false],
        ),
        (
            "the Service's before both",
            Some("81"),
            Some("80"),
            [true, false],
        ),
        ("a range", None, Some("79-81"), [true, true]),
    ];
    for (name, namespace, service, expected) in rows {
        assert_eq!(opaque(namespace, service), expected, "{name}");
    }
}

#[test]
fn retries_by_annotation_value_by_value() {
    const HTTP: &str = "retry.linkerd.io/http";
    const GRPC: &str = "retry.linkerd.io/grpc";
    const LIMIT: &str = "retry.linkerd.io/limit";
    const TIMEOUT: &str = "retry.linkerd.io/timeout";
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<(u32, usize, Option<u64>)>,
    );
    // tries more, how many statuses, and the bound of a try in milliseconds
    let rows: [Row; 12] = [
        ("nothing", &[], None),
        (
            "statuses alone: one try more",
            &[(HTTP, "5xx")],
            Some((1, 100, None)),
        ),
        (
            "gateway errors",
            &[(HTTP, "gateway-error")],
            Some((1, 3, None)),
        ),
        ("words in any case", &[(HTTP, "5XX")], Some((1, 100, None))),
        (
            "numbers and ranges",
            &[(HTTP, "404,500-502")],
            Some((1, 4, None)),
        ),
        (
            "calls alone",
            &[(GRPC, "internal,UNAVAILABLE")],
            Some((1, 0, None)),
        ),
        (
            "a limit alone: no status",
            &[(LIMIT, "4")],
            Some((4, 0, None)),
        ),
        (
            "a bound alone: no status",
            &[(TIMEOUT, "2s")],
            Some((1, 0, Some(2_000))),
        ),
        ("a limit of 0 is none", &[(LIMIT, "0")], None),
        (
            "… and 1 where there are statuses",
            &[(HTTP, "5xx"), (LIMIT, "0")],
            Some((1, 100, None)),
        ),
        ("a bound of 0 is none", &[(TIMEOUT, "0")], None),
        (
            "all",
            &[(HTTP, "503"), (LIMIT, "65535"), (TIMEOUT, "1m")],
            Some((65_535, 1, Some(60_000))),
        ),
    ];
    for (name, annotations, expected) in rows {
        let mut cluster = Cluster_::annotated(annotations, "");
        let retry = cluster.forward("/").retry;
        let found = retry.map(|it| {
            let bound = it.per_try_timeout.map(|it| it.value.as_millis());
            (it.retries.value, it.statuses.len(), bound)
        });
        assert_eq!(found, expected, "{name}");
        assert_eq!(cluster.problems(), "", "{name}");
    }
}

#[test]
fn annotations_that_linkerd_would_pass_over_are_errors_at_their_place() {
    const ACCRUAL: &str = "balancer.linkerd.io/failure-accrual";
    let rows = [
        ("retry.linkerd.io/http", "5xx, 429"),
        ("retry.linkerd.io/http", "99"),
        ("retry.linkerd.io/http", "503-500"),
        ("retry.linkerd.io/grpc", "unknown"),
        ("retry.linkerd.io/limit", "-1"),
        ("retry.linkerd.io/limit", "65536"),
        ("retry.linkerd.io/timeout", "1.5s"),
        ("retry.linkerd.io/timeout", "500"),
        ("timeout.linkerd.io/request", "1us"),
        ("timeout.linkerd.io/response", "soon"),
        ("timeout.linkerd.io/idle", "1h30m"),
        ("config.linkerd.io/opaque-ports", "80-70"),
        (ACCRUAL, "sometimes"),
    ];
    for (key, value) in rows {
        let problems = Cluster_::annotated(&[(key, value)], "").problems();
        let expected = format!("error[linkerd::bad-annotation]: `{key}` cannot be `{value}`");
        assert!(problems.contains(&expected), "{key}: {value}\n{problems}");
        assert!(problems.starts_with("linkerd.yaml:10:"), "{problems}");
    }
    let rows = [
        ("-consecutive-max-failures", "many"),
        ("-consecutive-min-penalty", "1"),
        ("-consecutive-max-penalty", "forever"),
        ("-consecutive-jitter-ratio", "-0.1"),
        ("-consecutive-jitter-ratio", "101"),
    ];
    for (suffix, value) in rows {
        let key = format!("{ACCRUAL}{suffix}");
        let problems =
            Cluster_::annotated(&[(ACCRUAL, "consecutive"), (&key, value)], "").problems();
        let expected = format!("error[linkerd::bad-annotation]: `{key}` cannot be `{value}`");
        assert!(problems.contains(&expected), "{key}: {value}\n{problems}");
    }
}

#[test]
fn failure_accrual_setting_by_setting() {
    const KEY: &str = "balancer.linkerd.io/failure-accrual";
    let of = |settings: &[(&str, &str)]| {
        let keys: Vec<(String, &str)> = settings
            .iter()
            .map(|(suffix, value)| (format!("{KEY}-consecutive-{suffix}"), *value))
            .collect();
        let mut all = vec![(KEY, "consecutive")];
        all.extend(keys.iter().map(|(key, value)| (key.as_str(), *value)));
        let mut cluster = Cluster_::annotated(&all, "");
        let (_, clusters) = cluster.get("/").expect("a route");
        let accrual = clusters[0].accrual.map(|it| it.value);
        (accrual, cluster.problems())
    };
    let usual = Settings::linkerd();
    let seconds = Duration::from_secs;
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Settings,
    );
    let rows: [Row; 6] = [
        ("nothing", &[], usual),
        (
            "failures",
            &[("max-failures", "1")],
            Settings {
                max_failures: 1,
                ..usual
            },
        ),
        (
            "the least",
            &[("min-penalty", "60s")],
            Settings {
                min_penalty: seconds(60),
                ..usual
            },
        ),
        (
            "the greatest",
            &[("max-penalty", "1s")],
            Settings {
                max_penalty: seconds(1),
                ..usual
            },
        ),
        (
            "no jitter",
            &[("jitter-ratio", "0")],
            Settings {
                jitter: 0.0,
                ..usual
            },
        ),
        (
            "much jitter",
            &[("jitter-ratio", "100")],
            Settings {
                jitter: 100.0,
                ..usual
            },
        ),
    ];
    for (name, settings, expected) in rows {
        assert_eq!(of(settings), (Some(expected), String::new()), "{name}");
    }
    let wrong: [&[(&str, &str)]; 3] = [
        &[("min-penalty", "61s")],
        &[("max-penalty", "999ms")],
        &[("min-penalty", "3s"), ("max-penalty", "2s")],
    ];
    for wrong in wrong {
        let (accrual, problems) = of(wrong);
        assert_eq!(accrual, None, "{wrong:?}");
        assert!(problems.contains("error[linkerd::penalties]"), "{problems}");
    }
}

#[test]
fn what_pods_and_namespaces_set_is_checked_at_its_place() {
    let rows = [
        (
            "linkerd.io/inject",
            "true",
            "error[linkerd::bad-annotation]",
        ),
        (
            "linkerd.io/inject",
            "ingress",
            "not modelled[linkerd::not-modelled]: `linkerd.io/inject: ingress`",
        ),
        (
            "config.linkerd.io/opaque-ports",
            "x",
            "error[linkerd::bad-annotation]",
        ),
        (
            "config.linkerd.io/skip-inbound-ports",
            "1-",
            "error[linkerd::bad-annotation]",
        ),
        (
            "config.linkerd.io/skip-outbound-ports",
            "70000",
            "error[linkerd::bad-annotation]",
        ),
        (
            "config.linkerd.io/default-inbound-policy",
            "denyy",
            "did you mean `deny`?",
        ),
        (
            "config.linkerd.io/proxy-outbound-connect-timeout",
            "5s",
            "not modelled[linkerd::not-modelled]",
        ),
        ("config.linkerd.io/proxy-cpu-limit", "1", ""),
        ("config.linkerd.io/skip-outbound-ports", "25,4000-4002", ""),
    ];
    for (key, value, expected) in rows {
        let deployment = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec: {{template: {{metadata: {{annotations: {{{key}: '{value}'}}}}}}}}\n"
        );
        let problems = Cluster_::with(&deployment).problems();
        match expected.is_empty() {
            true => assert_eq!(problems, "", "{key}"),
            false => assert!(problems.contains(expected), "{key}: {value}\n{problems}"),
        }
    }
}

#[test]
fn skipped_inbound_ports_are_left_alone() {
    let mut cluster = Cluster_::with("");
    for (key, value) in [
        ("config.linkerd.io/skip-inbound-ports", "8080"),
        ("config.linkerd.io/default-inbound-policy", "deny"),
    ] {
        cluster.workloads[0]
            .annotations
            .insert(key.into(), value.into());
    }
    let section = cluster.inbound();
    let at = SocketAddr::new(ip(0), 8080);
    let listener = section
        .listener(Arrival::Inbound, at)
        .expect("there is one");
    for peek in [HTTP1, OTHER, tls("any.example")] {
        assert_eq!(meets(&section, listener, at, &peek), "bytes", "{peek:?}");
    }
}
