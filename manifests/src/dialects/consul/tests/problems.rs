//! What Consul refuses, and what is said of it.

use super::harness::*;

#[test]
fn entries_that_consul_refuses_are_errors() {
    let router = |routes: &str| {
        vec![
            http("api"),
            entry("ServiceRouter", "api", &format!("{{routes: [{routes}]}}")),
        ]
    };
    let matching = |http: &str| router(&format!("{{match: {{http: {{{http}}}}}}}"));
    let destination = |fields: &str| router(&format!("{{destination: {{{fields}}}}}"));
    let splitter = |splits: &str| {
        vec![
            http("api"),
            entry("ServiceSplitter", "api", &format!("{{splits: [{splits}]}}")),
        ]
    };
    let resolver = |spec: &str| {
        vec![
            http("api"),
            entry("ServiceResolver", "api", &format!("{{{spec}}}")),
        ]
    };
    let service = |spec: &str| {
        vec![entry(
            "ServiceDefaults",
            "api",
            &format!("{{protocol: http, {spec}}}"),
        )]
    };
    let bad = "consul::bad-value";
    let rows: Vec<(Vec<String>, &str)> = vec![
        (router("{unknown: 1}"), "field::unknown"),
        (matching("pathExact: a"), bad),
        (matching("pathExact: /a, pathPrefix: /b"), bad),
        (matching("pathRegex: '('"), bad),
        (matching("methods: [FETCH]"), bad),
        (matching("methods: [GET, get]"), bad),
        (matching("header: [{exact: a}]"), bad),
        (matching("header: [{name: a}]"), bad),
        (matching("header: [{name: a, exact: b, prefix: c}]"), bad),
        (matching("queryParam: [{name: a}]"), bad),
        (destination("prefixRewrite: /"), bad),
        (destination("retryOn: [5xxx]"), "consul::retry-on"),
        (destination("retryOnStatusCodes: [7]"), bad),
        (destination("requestTimeout: 5"), "field::type"),
        (destination("requestTimeout: 5x"), "consul::duration"),
        (destination("namespace: other"), "consul::enterprise"),
        (destination("service: apu"), "consul::unknown-service"),
        (destination("serviceSubset: v3"), "consul::unknown-subset"),
        (destination("requestHeaders: {set: {':path': x}}"), bad),
        (destination("requestHeaders: {remove: [host]}"), bad),
        (splitter(""), bad),
        (splitter("{weight: 50}"), "consul::weights"),
        (splitter("{weight: 101}"), bad),
        (splitter("{weight: 50}, {weight: 50}"), bad),
        (
            splitter("{weight: 100, service: nobody}"),
            "consul::unknown-service",
        ),
        (resolver("defaultSubset: v1"), "consul::unknown-subset"),
        (resolver("subsets: {V1: {}}"), bad),
        (
            resolver("subsets: {v1: {filter: 'Service.Meta.version =='}}"),
            "consul::filter",
        ),
        (resolver("redirect: {}"), bad),
        (resolver("redirect: {serviceSubset: v1}"), bad),
        (
            resolver("redirect: {service: db}, failover: {'*': {service: db}}"),
            bad,
        ),
        (
            resolver("redirect: {service: db, partition: p}"),
            "consul::enterprise",
        ),
        (resolver("failover: {'*': {}}"), bad),
        (
            resolver("failover: {v1: {service: db}}"),
            "consul::unknown-subset",
        ),
        (
            resolver("failover: {'*': {service: db, targets: [{service: web}]}}"),
            bad,
        ),
        (
            resolver("failover: {'*': {service: db, policy: {mode: order-by-locality}}}"),
            "consul::enterprise",
        ),
        (resolver("connectTimeout: -1s"), bad),
        (resolver("requestTimeout: -1s"), bad),
        (
            resolver("prioritizeByLocality: {mode: failover}"),
            "consul::enterprise",
        ),
        (resolver("loadBalancer: {policy: best}"), bad),
        (
            resolver("loadBalancer: {policy: random, ringHashConfig: {minimumRingSize: 1}}"),
            bad,
        ),
        (
            resolver("loadBalancer: {policy: random, leastRequestConfig: {choiceCount: 2}}"),
            bad,
        ),
        (
            resolver("loadBalancer: {policy: random, hashPolicies: [{sourceIP: true}]}"),
            bad,
        ),
        // what is not written of a configuration is sent to Envoy as zero
        (
            resolver("loadBalancer: {policy: ring_hash, ringHashConfig: {minimumRingSize: 1024}}"),
            bad,
        ),
        (
            resolver("loadBalancer: {policy: ring_hash, ringHashConfig: {maximumRingSize: 1024}}"),
            bad,
        ),
        (
            resolver("loadBalancer: {policy: least_request, leastRequestConfig: {}}"),
            bad,
        ),
        (
            resolver("loadBalancer: {policy: maglev, hashPolicies: [{field: header}]}"),
            bad,
        ),
        (
            resolver(
                "loadBalancer: {policy: maglev, hashPolicies: [{field: path, fieldValue: x}]}",
            ),
            bad,
        ),
        (
            resolver(
                "loadBalancer: {policy: maglev, hashPolicies: [{field: header, fieldValue: x, sourceIP: true}]}",
            ),
            bad,
        ),
        (
            resolver(
                "loadBalancer: {policy: maglev, hashPolicies: [{field: cookie, fieldValue: x, cookieConfig: {session: true, ttl: 1s}}]}",
            ),
            bad,
        ),
        (
            vec![entry("ServiceDefaults", "api", "{protocol: htpp}")],
            "consul::unknown-protocol",
        ),
        (service("mode: transparent"), bad),
        (service("transparentProxy: {outboundListenerPort: 1}"), bad),
        (service("mutualTLSMode: loose"), bad),
        (service("meshGateway: {mode: far}"), bad),
        (service("maxInboundConnections: -1"), bad),
        (service("balanceInboundConnections: fair"), bad),
        (service("upstreamConfig: {defaults: {name: db}}"), bad),
        (
            service("upstreamConfig: {overrides: [{protocol: http}]}"),
            bad,
        ),
        (service("upstreamConfig: {overrides: [{name: '*'}]}"), bad),
        (
            service("upstreamConfig: {defaults: {limits: {maxConnections: -1}}}"),
            bad,
        ),
        (
            service("upstreamConfig: {defaults: {passiveHealthCheck: {maxEjectionPercent: 101}}}"),
            bad,
        ),
        (
            service("upstreamConfig: {defaults: {passiveHealthCheck: {interval: -1s}}}"),
            bad,
        ),
        (service("destination: {addresses: [], port: 80}"), bad),
        (
            service("destination: {addresses: [a.example], port: 0}"),
            bad,
        ),
        (
            service("rateLimits: {instanceLevel: {requestsMaxBurst: 5}}"),
            bad,
        ),
        (vec![entry("ProxyDefaults", "local", "{}")], bad),
        (vec![entry("Mesh", "other", "{}")], bad),
        (
            vec![entry(
                "ProxyDefaults",
                "global",
                "{config: {local_connect_timeout_ms: soon}}",
            )],
            bad,
        ),
        (
            vec![entry("ServiceRooter", "api", "{}")],
            "consul::unknown-kind",
        ),
        (
            vec![entry(
                "ServiceIntentions",
                "api",
                "{destination: {name: api}, sources: []}",
            )],
            bad,
        ),
        (
            vec![entry(
                "ServiceIntentions",
                "api",
                "{destination: {name: api}, sources: [{name: web, action: perhaps}]}",
            )],
            bad,
        ),
        (
            vec![entry(
                "ServiceIntentions",
                "api",
                "{destination: {name: api}, sources: [{name: web, action: allow, permissions: [{action: allow, http: {}}]}]}",
            )],
            bad,
        ),
        (
            vec![app("bad", "consul.hashicorp.com/connect-inject: \"yes\"")],
            "consul::bad-annotation",
        ),
        (
            vec![app("bad", "consul.hashicorp.com/connect-injekt: \"true\"")],
            "consul::unknown-annotation",
        ),
        (
            vec![app(
                "bad",
                "consul.hashicorp.com/transparent-proxy-exclude-inbound-ports: \"80-90\"",
            )],
            "consul::bad-annotation",
        ),
        (
            vec![app(
                "bad",
                &format!("{MESHED}, consul.hashicorp.com/proxy-config-map: '{{'"),
            )],
            "consul::bad-annotation",
        ),
    ];
    for (parts, code) in rows {
        let world = with(&parts);
        let errors = world.diagnostics.sorted();
        let found: Vec<&str> = errors
            .iter()
            .filter(|it| it.severity() == crate::diagnostics::Severity::Error)
            .map(|it| it.code)
            .collect();
        assert!(found.contains(&code), "{parts:?}: {found:?}, not {code}");
        for diagnostic in world.diagnostics.sorted() {
            let placed = !diagnostic.labels.is_empty()
                || diagnostic.severity() == crate::diagnostics::Severity::Note;
            assert!(placed, "{}", diagnostic.message);
        }
    }
}

#[test]
fn a_router_needs_http_and_until_then_bytes_are_carried() {
    let router = entry(
        "ServiceRouter",
        "api",
        "{routes: [{destination: {numRetries: 3, retryOn: [5xx]}}]}",
    );
    let world = with(&[router]);
    assert_eq!(world.complaints(), ["consul::needs-http"]);
    bytes_of(&world.service_connection("web", "api"));
}

#[test]
fn chains_that_lead_to_services_that_speak_differently_are_refused() {
    let router = entry(
        "ServiceRouter",
        "api",
        "{routes: [{destination: {service: db}}]}",
    );
    let world = with(&[http("api"), router]);
    assert_eq!(world.complaints(), ["consul::protocols"]);
    // Consul goes on without it
    let (_, clusters) = world.call("web", "api", get("/"));
    assert_eq!(&*clusters[0].service, "api");
}

#[test]
fn chains_that_lead_back_to_themselves_are_refused() {
    let redirects = [
        entry("ServiceResolver", "api", "{redirect: {service: db}}"),
        entry("ServiceResolver", "db", "{redirect: {service: api}}"),
    ];
    let world = with(&redirects);
    assert!(world.complaints().contains(&"consul::circle"));
    bytes_of(&world.service_connection("web", "api"));
    let splits = [
        http("api"),
        http("db"),
        entry(
            "ServiceSplitter",
            "api",
            "{splits: [{weight: 100, service: db}]}",
        ),
        entry(
            "ServiceSplitter",
            "db",
            "{splits: [{weight: 100, service: api}]}",
        ),
    ];
    let world = with(&splits);
    assert!(world.complaints().contains(&"consul::circle"));
    http_of(&world.service_connection("web", "api"));
}

#[test]
fn two_entries_of_one_name_are_one_too_many() {
    let other = http("api").replace(
        "metadata: {name: api}",
        "metadata: {name: api, namespace: other}",
    );
    assert_eq!(with(&[http("api"), other]).complaints(), ["consul::twice"]);
}

#[test]
fn what_is_said_of_nobody_has_no_effect() {
    for (name, spec) in [
        ("apo", "{protocol: http}"),
        (
            "web",
            "{upstreamConfig: {overrides: [{name: apo, protocol: http}]}}",
        ),
    ] {
        let world = with(&[entry("ServiceDefaults", name, spec)]);
        assert_eq!(world.complaints(), ["consul::unknown-service"], "{name}");
        assert!(
            world.lines().contains("did you mean `api`?"),
            "{}",
            world.lines()
        );
    }
}

#[test]
fn settings_for_one_of_two_ways_to_the_same_instances_count_by_chance() {
    let redirect = entry("ServiceResolver", "db", "{redirect: {service: api}}");
    let calls = |fields: &str| {
        let spec = format!("{{upstreamConfig: {{overrides: [{{name: api, {fields}}}]}}}}");
        entry("ServiceDefaults", "web", &spec)
    };
    let told = |entries: &[String]| with(entries).complaints().contains(&"consul::one-cluster");
    let limits = "limits: {maxConnections: 5}";
    assert!(told(&[redirect.clone(), calls(limits)]));
    assert!(!told(&[calls(limits)]), "one way");
    // part of the cluster's name
    let both = format!("connectTimeoutMs: 100, {limits}");
    for fields in ["connectTimeoutMs: 100", &both] {
        assert!(!told(&[redirect.clone(), calls(fields)]), "{fields}");
    }
    let all = "{upstreamConfig: {defaults: {limits: {maxConnections: 5}}, overrides: [{name: api, limits: {maxConnections: 5}}]}}";
    assert!(!told(&[redirect, entry("ServiceDefaults", "web", all)]));
}

#[test]
fn kinds_that_are_not_modelled_are_told_with_what_that_means() {
    for (kind, spec, meaning) in [
        (
            "IngressGateway",
            "{listeners: [{port: 8080, protocol: http, services: [{name: api}]}]}",
            "no gateway of its own serves",
        ),
        (
            "TerminatingGateway",
            "{services: [{name: out}]}",
            "services outside are called",
        ),
        (
            "JWTProvider",
            "{issuer: a}",
            "requests that it would refuse with 401 are served",
        ),
        ("ExportedServices", "{services: []}", "there is one cluster"),
        (
            "SamenessGroup",
            "{includeLocal: true}",
            "there is one cluster",
        ),
        (
            "PeeringAcceptor",
            "{peer: {secret: {name: a}}}",
            "there is one cluster",
        ),
        (
            "PeeringDialer",
            "{peer: {secret: {name: a}}}",
            "there is one cluster",
        ),
        (
            "ControlPlaneRequestLimit",
            "{mode: enforcing, readRate: 1}",
            "it bounds what Consul's own servers are asked",
        ),
        ("Registration", "{node: a}", "no instance of any service"),
        (
            "GatewayPolicy",
            "{}",
            "requests that it would refuse are served",
        ),
        (
            "ServiceIntentions",
            "{destination: {name: api}, sources: [{name: web, action: allow}]}",
            "are served",
        ),
    ] {
        let world = with(&[entry(kind, "one", spec)]);
        assert!(world.lines().contains(meaning), "{kind}: {}", world.lines());
        assert_eq!(world.complaints(), Vec::<&str>::new(), "{kind}");
        // unknown keys are errors there, too
        if kind != "GatewayPolicy" {
            let world = with(&[entry(kind, "one", "{nonsense: 1}")]);
            assert!(world.complaints().contains(&"field::unknown"), "{kind}");
        }
    }
}

#[test]
fn an_intention_that_refuses_somebody_is_told_aloud() {
    for (sources, is_open) in [
        ("{name: web, action: allow}", false),
        ("{name: '*', action: deny}", true),
        (
            "{name: web, permissions: [{action: allow, http: {pathPrefix: /}}]}",
            true,
        ),
    ] {
        let spec = format!("{{destination: {{name: api}}, sources: [{sources}]}}");
        let world = with(&[entry("ServiceIntentions", "api", &spec)]);
        let told = world.complaints().contains(&"consul::open");
        assert_eq!(told, is_open, "{sources}");
    }
}

#[test]
fn diagnostics_show_the_text() {
    let world = with(&[
        entry(
            "ServiceRouter",
            "api",
            "{routes: [{match: {http: {pathPrefix: /x}}, destination: {service: dp}}]}",
        ),
        entry(
            "ServiceSplitter",
            "db",
            "{splits: [{weight: 60}, {weight: 30, service: api}]}",
        ),
        entry(
            "ServiceResolver",
            "db",
            "{subsets: {v1: {filter: 'ServiceMeta.version == v1'}}}",
        ),
    ]);
    let errors: Vec<String> = world
        .lines()
        .lines()
        .filter(|line| line.contains("error["))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_gateway_outside_the_mesh_is_refused_and_told_how_to_join() {
    let ingress = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: edge}
spec:
  ingressClassName: kong
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}}]
---
";
    let router = entry(
        "ServiceRouter",
        "api",
        "{routes: [{destination: {requestTimeout: 1s}}]}",
    );
    let world = with(&[http("api"), router, ingress.to_owned()]);
    let complaints = world.complaints();
    assert!(complaints.contains(&"mesh::refused"), "{complaints:?}");
    assert!(complaints.contains(&"mesh::unasked"), "{complaints:?}");
    let lines = world.lines();
    assert!(lines.contains("never asks ServiceRouter/api"), "{lines}");
    assert!(
        lines.contains("annotate them with `consul.hashicorp.com/connect-inject"),
        "{lines}"
    );
}
