//! Annotations of Ingresses and Services, and the fields of Ingresses and classes, value by value.

use proxy_core::config::{UpstreamProtocol, UpstreamTransport};

use super::*;

type Annotations = &'static [(&'static str, &'static str)];

const GET: Request<'static> = Request {
    method: "GET",
    host: "a.example.com",
    path: "/a/x?q=1",
    headers: &[],
};

#[test]
fn paths_and_hosts_leave_as_annotations_say() {
    const STRIP: (&str, &str) = ("konghq.com/strip-path", "true");
    const HOST: (&str, &str) = ("konghq.com/preserve-host", "false");
    type Row = (&'static str, Annotations, Annotations, &'static str);
    // of the Ingress, of the Service, and what leaves
    let rows: [Row; 15] = [
        ("nothing: as it came", &[], &[], "a.example.com/a/x?q=1"),
        ("stripped", &[STRIP], &[], "a.example.com/x?q=1"),
        (
            "TRUE is true",
            &[("konghq.com/strip-path", "TRUE")],
            &[],
            "a.example.com/x?q=1",
        ),
        (
            "not stripped",
            &[("konghq.com/strip-path", "false")],
            &[],
            "a.example.com/a/x?q=1",
        ),
        (
            "a path of the Service",
            &[],
            &[("konghq.com/path", "/v1")],
            "a.example.com/v1/a/x?q=1",
        ),
        (
            "… with a slash at its end",
            &[],
            &[("konghq.com/path", "/v1/")],
            "a.example.com/v1/a/x?q=1",
        ),
        (
            "… and stripped",
            &[STRIP],
            &[("konghq.com/path", "/v1")],
            "a.example.com/v1/x?q=1",
        ),
        (
            "… that is the root",
            &[],
            &[("konghq.com/path", "/")],
            "a.example.com/a/x?q=1",
        ),
        (
            "version 1 joins plainly",
            &[("konghq.com/path-handling", "v1")],
            &[("konghq.com/path", "/v1/")],
            "a.example.com/v1//a/x?q=1",
        ),
        (
            "version 0 by name",
            &[("konghq.com/path-handling", "v0")],
            &[("konghq.com/path", "/v1")],
            "a.example.com/v1/a/x?q=1",
        ),
        (
            "rewritten",
            &[("konghq.com/rewrite", "/new")],
            &[],
            "a.example.com/new?q=1",
        ),
        (
            "rewritten to nothing",
            &[("konghq.com/rewrite", "")],
            &[],
            "a.example.com/?q=1",
        ),
        ("the host of the pod", &[HOST], &[], "pod/a/x?q=1"),
        (
            "the host that is set",
            &[HOST],
            &[("konghq.com/host-header", "in.example")],
            "in.example/a/x?q=1",
        ),
        (
            "a kept host before it",
            &[("konghq.com/preserve-host", "true")],
            &[("konghq.com/host-header", "in.example")],
            "a.example.com/a/x?q=1",
        ),
    ];
    for (name, ingress, service, expected) in rows {
        let lines: String = service
            .iter()
            .map(|(key, value)| format!("    {key}: {value:?}\n"))
            .collect();
        let service = match lines.is_empty() {
            true => String::new(),
            false => format!(
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n{lines}"
            ),
        };
        let mut kong = Kong::ingress(ingress, "/a", "Prefix", &service);
        let taken = kong.take(&GET).expect("a route");
        assert_eq!(format!("{}{}", taken.host, taken.path), expected, "{name}");
        assert!(
            !kong.diagnostics.has_errors(),
            "{name}: {}",
            kong.problems()
        );
    }
}

#[test]
fn annotations_say_which_requests_are_taken() {
    type Row = (&'static str, Annotations, Request<'static>, bool);
    let with = |headers: Headers| Request { headers, ..GET };
    let rows: [Row; 16] = [
        ("a method", &[("konghq.com/methods", "GET")], GET, true),
        (
            "another",
            &[("konghq.com/methods", "PUT, POST")],
            GET,
            false,
        ),
        (
            "one of two",
            &[("konghq.com/methods", "PUT, GET")],
            GET,
            true,
        ),
        (
            "an empty list asks for nothing",
            &[("konghq.com/methods", "")],
            GET,
            true,
        ),
        (
            "a header",
            &[("konghq.com/headers.x-tier", "gold")],
            with(&[("x-tier", "gold")]),
            true,
        ),
        (
            "a header, its name and value in any case",
            &[("konghq.com/headers.X-Tier", "Gold")],
            with(&[("x-tier", "GOLD")]),
            true,
        ),
        (
            "no header",
            &[("konghq.com/headers.x-tier", "gold")],
            GET,
            false,
        ),
        (
            "one of two values",
            &[("konghq.com/headers.x-tier", "gold,silver")],
            with(&[("x-tier", "silver")]),
            true,
        ),
        (
            "another separator",
            &[
                ("konghq.com/headers.x-tier", "a,b;c"),
                ("konghq.com/headers-separator", ";"),
            ],
            with(&[("x-tier", "a,b")]),
            true,
        ),
        (
            "a pattern anywhere in the value",
            &[("konghq.com/headers.x-tier", "~*go.d")],
            with(&[("x-tier", "very gold")]),
            true,
        ),
        (
            "dots that are no pattern",
            &[("konghq.com/headers.x-tier", "go.d")],
            with(&[("x-tier", "gold")]),
            false,
        ),
        (
            "both of two headers",
            &[
                ("konghq.com/headers.x-a", "1"),
                ("konghq.com/headers.x-b", "2"),
            ],
            with(&[("x-a", "1")]),
            false,
        ),
        (
            "another name of the host",
            &[("konghq.com/host-aliases", "B.example.com,c.example.com")],
            Request {
                host: "b.example.com",
                ..GET
            },
            true,
        ),
        (
            "… beside its own",
            &[("konghq.com/host-aliases", "b.example.com")],
            GET,
            true,
        ),
        (
            "gRPC alone: plaintext all the same",
            &[("konghq.com/protocols", "grpc")],
            GET,
            true,
        ),
        (
            "tags are of no account",
            &[("konghq.com/tags", "a,b")],
            GET,
            true,
        ),
    ];
    for (name, annotations, request, expected) in rows {
        let mut kong = Kong::ingress(annotations, "/a", "Prefix", "");
        assert_eq!(kong.take(&request).is_some(), expected, "{name}");
        assert_eq!(kong.diagnostics.errors(), 0, "{name}: {}", kong.problems());
    }
}

#[test]
fn the_regex_priority_orders_patterns() {
    let ingress = |name: &str, service: &str, priority: &str, path: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, annotations: {{konghq.com/regex-priority: '{priority}'}}}}\n\
             spec:\n  ingressClassName: kong\n  rules: [{{http: {{paths: [{{path: '{path}', pathType: ImplementationSpecific, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]\n---\n"
        )
    };
    for (first, second, expected) in [("1", "2", "b"), ("2", "1", "a"), ("0", "0", "a")] {
        let yaml = ingress("one", "a", first, "/~/x.*") + &ingress("two", "b", second, "/~/.y");
        let taken = Kong::over(&yaml)
            .get("any.example", "/xy")
            .expect("a route");
        assert_eq!(
            &*taken.cluster.name,
            format!("{expected}.default.80.svc"),
            "{first} {second}"
        );
    }
}

#[test]
fn annotations_of_a_service_say_how_it_is_spoken_to() {
    let rows: [(&str, Annotations, UpstreamProtocol, bool); 5] = [
        ("nothing", &[], UpstreamProtocol::Http1, false),
        (
            "http",
            &[("konghq.com/protocol", "http")],
            UpstreamProtocol::Http1,
            false,
        ),
        (
            "https",
            &[("konghq.com/protocol", "https")],
            UpstreamProtocol::Http1,
            true,
        ),
        (
            "grpc",
            &[("konghq.com/protocol", "grpc")],
            UpstreamProtocol::Http2,
            false,
        ),
        (
            "grpcs",
            &[("konghq.com/protocol", "grpcs")],
            UpstreamProtocol::Http2,
            true,
        ),
    ];
    for (name, annotations, protocol, tls) in rows {
        let mut kong = Kong::annotated_service(annotations, "");
        let cluster = kong.get("a.example.com", "/").expect("a route").cluster;
        let is_tls = matches!(&cluster.transport, UpstreamTransport::Tls { sni, .. } if &**sni == "a.default.svc.cluster.local");
        assert_eq!((cluster.protocol, is_tls), (protocol, tls), "{name}");
    }
}

#[test]
fn timeouts_and_retries_value_by_value() {
    let usual = (60_000, 60_000, 5);
    let rows: [(&str, Annotations, (u64, u64, u32)); 7] = [
        ("nothing", &[], usual),
        (
            "to connect",
            &[("konghq.com/connect-timeout", "1")],
            (1, 60_000, 5),
        ),
        (
            "to read",
            &[("konghq.com/read-timeout", "90000")],
            (60_000, 90_000, 5),
        ),
        (
            "no retries",
            &[("konghq.com/retries", "0")],
            (60_000, 60_000, 0),
        ),
        (
            "the most retries",
            &[("konghq.com/retries", "32767")],
            (60_000, 60_000, 32_767),
        ),
        (
            "too many retries",
            &[("konghq.com/retries", "32768")],
            usual,
        ),
        ("no number", &[("konghq.com/connect-timeout", "5s")], usual),
    ];
    for (name, annotations, expected) in rows {
        let mut kong = Kong::annotated_service(annotations, "");
        let taken = kong.get("a.example.com", "/").expect("a route");
        let read = taken.retry().per_try_idle_timeout.expect("a bound").value;
        let found = (
            taken.cluster.connect_timeout.value.as_millis(),
            read.as_millis(),
            taken.retry().retries.value,
        );
        assert_eq!(found, expected, "{name}");
        let passed_over = expected == usual && !annotations.is_empty();
        assert_eq!(kong.diagnostics.has_errors(), passed_over, "{name}");
    }
    let mut short = Kong::annotated_service(&[("konghq.com/write-timeout", "999")], "");
    assert!(
        short
            .problems()
            .contains("`konghq.com/write-timeout` is not modelled")
    );
    let mut long = Kong::annotated_service(&[("konghq.com/write-timeout", "1000")], "");
    assert_eq!(long.problems().lines().count(), 1, "{}", long.problems());
}

#[test]
fn request_bodies_are_kept_for_other_tries_unless_they_are_not_buffered() {
    for (value, expected) in [(None, None), (Some("true"), None), (Some("false"), Some(0))] {
        let annotations: Vec<(&str, &str)> = value
            .map(|value| ("konghq.com/request-buffering", value))
            .into_iter()
            .collect();
        let mut kong = Kong::ingress(&annotations, "/", "Prefix", "");
        let taken = kong.get("a.example.com", "/").expect("a route");
        assert_eq!(taken.retry().body_limit, expected, "{value:?}");
    }
}

#[test]
fn values_that_kong_would_pass_over_are_errors() {
    let of_ingress = [
        ("preserve-host", "no"),
        ("protocols", "http,ws"),
        ("methods", "GET,post"),
        ("regex-priority", "-1"),
        ("path-handling", "v2"),
        ("https-redirect-status-code", "303"),
        ("request-buffering", "off"),
    ];
    for (key, value) in of_ingress {
        let key = format!("konghq.com/{key}");
        let problems = Kong::ingress(&[(&key, value)], "/", "Prefix", "").problems();
        let expected = format!("error[kong::bad-annotation]: `{key}` cannot be `{value}`");
        assert!(problems.contains(&expected), "{problems}");
    }
    let of_service = [
        ("konghq.com/protocol", "tcp"),
        ("konghq.com/path", "v1"),
        ("konghq.com/read-timeout", "1.5"),
        ("konghq.com/retries", "-1"),
        ("ingress.kubernetes.io/service-upstream", "yes"),
    ];
    for (key, value) in of_service {
        let problems = Kong::annotated_service(&[(key, value)], "").problems();
        let expected = format!("error[kong::bad-annotation]: `{key}` cannot be `{value}`");
        assert!(problems.contains(&expected), "{problems}");
    }
}

#[test]
fn what_is_not_modelled_is_told_with_its_meaning() {
    let of_ingress = [
        (
            "konghq.com/response-buffering",
            "true",
            "answers are passed on as they come",
        ),
        (
            "konghq.com/snis",
            "a.example.com",
            "whatever their server name",
        ),
    ];
    for (key, value, expected) in of_ingress {
        let problems = Kong::ingress(&[(key, value)], "/", "Prefix", "").problems();
        assert!(
            problems.contains("not modelled[kong::not-modelled]") && problems.contains(expected),
            "{problems}"
        );
    }
    for key in [
        "client-cert",
        "tls-verify",
        "tls-verify-depth",
        "ca-certificates-secrets",
        "ca-certificates-configmaps",
    ] {
        let problems =
            Kong::annotated_service(&[(&format!("konghq.com/{key}"), "1")], "").problems();
        assert!(
            problems.contains("certificates of upstreams are taken as valid"),
            "{key}: {problems}"
        );
    }
}

#[test]
fn annotations_on_the_wrong_object_are_told() {
    for key in [
        "retries",
        "protocol",
        "path",
        "host-header",
        "upstream-policy",
        "connect-timeout",
    ] {
        let problems =
            Kong::ingress(&[(&format!("konghq.com/{key}"), "x")], "/", "Prefix", "").problems();
        assert!(
            problems.contains("warning[kong::misplaced-annotation]")
                && problems.contains("the Service that it sends to"),
            "{problems}"
        );
    }
    for key in [
        "strip-path",
        "methods",
        "rewrite",
        "headers.x-a",
        "regex-prefix",
    ] {
        let problems =
            Kong::annotated_service(&[(&format!("konghq.com/{key}"), "x")], "").problems();
        assert!(
            problems.contains("warning[kong::misplaced-annotation]")
                && problems.contains("Kong reads it on the Ingress"),
            "{problems}"
        );
    }
}

#[test]
fn a_backends_port_is_a_number_a_name_or_the_only_one() {
    let to = |backend: &str| {
        let mut kong = Kong::over(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec:\n  ingressClassName: kong\n  rules:\n  - http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {backend}\n"
        ));
        let taken = kong.get("any.example", "/");
        (taken.map(|it| it.cluster.name.to_string()), kong.problems())
    };
    let rows = [
        (
            "by number",
            "{service: {name: b, port: {number: 8081}}}",
            Some("b.default.8081.svc"),
            "",
        ),
        (
            "by name",
            "{service: {name: a, port: {name: web}}}",
            Some("a.default.80.svc"),
            "",
        ),
        (
            "the only one",
            "{service: {name: a}}",
            Some("a.default.80.svc"),
            "",
        ),
        (
            "none of two",
            "{service: {name: b}}",
            None,
            "error[kong::unknown-port]",
        ),
        (
            "another name",
            "{service: {name: a, port: {name: wep}}}",
            None,
            "error[kong::unknown-port]",
        ),
        (
            "a resource",
            "{resource: {apiGroup: g, kind: k, name: n}}",
            None,
            "not modelled[kong::not-modelled]: a backend that is no Service",
        ),
    ];
    for (name, backend, expected, problem) in rows {
        // without any path there is no Kong at all
        let (found, problems) = to(backend);
        assert_eq!(found.as_deref(), expected, "{name}");
        assert!(problems.contains(problem), "{name}: {problems}");
    }
}

#[test]
fn a_headless_service_has_its_pods_whatever_is_asked_for() {
    let yaml = "apiVersion: v1\nkind: Service\nmetadata: {name: headless, annotations: {ingress.kubernetes.io/service-upstream: 'true'}}\n---\n\
                apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  ingressClassName: kong\n  defaultBackend: {service: {name: headless, port: {number: 80}}}\n";
    let taken = Kong::over(yaml).get("any.example", "/").expect("a route");
    assert!(matches!(taken.upstream.members, Members::Pods { .. }));
}

#[test]
fn parameters_of_a_class_hold_where_a_service_says_nothing() {
    let class = |parameters: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: kong}}\nspec: {{controller: ingress-controllers.konghq.com/kong, \
             parameters: {{apiGroup: configuration.konghq.com, kind: IngressClassParameters, name: p, scope: Namespace, namespace: kong}}}}\n---\n\
             apiVersion: configuration.konghq.com/v1alpha1\nkind: IngressClassParameters\nmetadata: {{name: p, namespace: kong}}\nspec: {parameters}\n---\n"
        )
    };
    let service = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a, annotations: {{ingress.kubernetes.io/service-upstream: '{value}'}}}}\n"
        )
    };
    let rows = [
        ("nothing", class("{}"), false),
        ("the class", class("{serviceUpstream: true}"), true),
        (
            "the Service before the class",
            class("{serviceUpstream: true}") + &service("false"),
            false,
        ),
        ("the Service alone", service("true"), true),
    ];
    for (name, others, expected) in rows {
        let mut kong = Kong::ingress(&[], "/", "Prefix", &others);
        let taken = kong.get("a.example.com", "/").expect("a route");
        let dials_service = matches!(taken.upstream.members, Members::Address { .. });
        assert_eq!(dials_service, expected, "{name}");
    }
    let mut legacy = Kong::ingress(
        &[],
        "/a[0-9]",
        "ImplementationSpecific",
        &class("{enableLegacyRegexDetection: true}"),
    );
    assert!(
        legacy
            .problems()
            .contains("`enableLegacyRegexDetection` is not modelled"),
        "{}",
        legacy.problems()
    );
    let mut plain = Kong::ingress(
        &[],
        "/a",
        "ImplementationSpecific",
        &class("{enableLegacyRegexDetection: true}"),
    );
    assert!(
        !plain.problems().contains("enableLegacyRegexDetection"),
        "{}",
        plain.problems()
    );
    let missing = class("{}").replace("metadata: {name: p,", "metadata: {name: q,");
    let mut missing = Kong::ingress(&[], "/", "Prefix", &missing);
    assert!(
        missing
            .problems()
            .contains("error[kong::unknown-parameters]"),
        "{}",
        missing.problems()
    );
}
