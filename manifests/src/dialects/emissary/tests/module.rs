//! The Module `ambassador`: a Mapping's own word counts before it.

use proxy_core::config::{CertificateForwarding, EscapedSlashes, StripPort, Underscores};
use proxy_core::time::Duration;

use super::rig::*;

fn module(config: &str) -> String {
    object(
        "Module",
        "emissary/ambassador",
        &format!("{{config: {{{config}}}}}"),
    )
}

fn both(config: &str, spec: &str) -> Built {
    served(&[
        module(config),
        mapping("m", &format!("{{prefix: /x/, service: a, {spec}}}")),
    ])
}

#[test]
fn a_mappings_own_settings_take_the_place_of_the_modules() {
    let timeout = |config, spec| {
        both(config, spec)
            .forward()
            .timeout
            .value
            .map(Duration::as_millis)
    };
    assert_eq!(timeout("cluster_request_timeout_ms: 9000", ""), Some(9000));
    assert_eq!(
        timeout("cluster_request_timeout_ms: 9000", "timeout_ms: 1"),
        Some(1)
    );
    assert_eq!(
        timeout("cluster_request_timeout_ms: 9000", "timeout_ms: 0"),
        None
    );
    assert_eq!(timeout("cluster_request_timeout_ms: 0", ""), None);

    let retries = |config, spec| {
        both(config, spec)
            .forward()
            .retry
            .map(|it| it.retries.value)
    };
    let policy = "retry_policy: {retry_on: 5xx, num_retries: 7}";
    assert_eq!(retries(policy, ""), Some(7));
    // all of it: the number of the Module does not stay
    assert_eq!(
        retries(policy, "retry_policy: {retry_on: gateway-error}"),
        Some(1)
    );

    let limits = |config, spec| {
        let limits = both(config, spec).cluster().limits[0];
        (limits.connections.value, limits.requests.value)
    };
    let breakers = "circuit_breakers: [{max_connections: 5}]";
    assert_eq!(limits(breakers, ""), (5, 1024));
    assert_eq!(
        limits(breakers, "circuit_breakers: [{max_requests: 6}]"),
        (1024, 6)
    );

    let cors = |config, spec, origin| {
        both(config, spec)
            .route()
            .cors
            .is_some_and(|it| it.allows(origin))
    };
    let policy = "cors: {origins: [http://a.com]}";
    assert!(cors(policy, "", "http://a.com"));
    assert!(!cors(
        policy,
        "cors: {origins: [http://b.com]}",
        "http://a.com"
    ));

    let pool = |config, spec| both(config, spec).cluster().pool;
    let idle = |config, spec| {
        pool(config, spec)
            .idle_timeout
            .map(|it| it.value.as_millis())
    };
    assert_eq!(idle("cluster_idle_timeout_ms: 5000", ""), Some(5000));
    assert_eq!(
        idle(
            "cluster_idle_timeout_ms: 5000",
            "cluster_idle_timeout_ms: 6000"
        ),
        Some(6000)
    );
    let life = |config, spec| {
        pool(config, spec)
            .max_duration
            .map(|it| it.value.as_millis())
    };
    assert_eq!(
        life("cluster_max_connection_lifetime_ms: 5000", ""),
        Some(5000)
    );
}

#[test]
fn the_resolver_and_the_balancer_may_be_the_modules() {
    let built = both(
        "resolver: endpoint, load_balancer: {policy: maglev, header: x-user}",
        "",
    );
    built.is_clean();
    assert_eq!(
        &*built.cluster().name,
        "cluster_a_default_default_er_maglev_hdr_x_user"
    );
    assert_eq!(built.forward().hash.len(), 1);
    // a balancer of the Module is no mistake where the Service is dialled
    both("load_balancer: {policy: round_robin}", "").is_clean();
    assert!(both("resolver: nobody", "").has("emissary::unknown-resolver"));
    let home = both("use_ambassador_namespace_for_service_resolution: true", "");
    assert!(home.has("emissary::unknown-service"), "{}", home.text);
}

#[test]
fn defaults_are_for_mappings_that_say_nothing() {
    let all = "defaults: {add_request_headers: {x-all: all}, httpmapping: {add_response_headers: {x-r: {value: r}}, remove_request_headers: [x-gone]}}";
    let built = both(all, "");
    built.is_clean();
    let ask = Ask {
        headers: &[("x-gone", "1")],
        ..get("h", "/x/")
    };
    assert_eq!(built.ask(ask), "a_default / x-all=all");
    assert_eq!(built.route().response_edits.len(), 1);
    let own = both(
        all,
        "add_request_headers: {x-own: {value: own}}, remove_request_headers: []",
    );
    assert_eq!(own.ask(ask), "a_default / x-gone=1 x-own=own");
    assert_eq!(
        both("add_linkerd_headers: true", "").get("h", "/x/"),
        "a_default / l5d-dst-override=a.default:80"
    );
    assert_eq!(
        both("add_linkerd_headers: true", "add_linkerd_headers: false").get("h", "/x/"),
        "a_default /"
    );
}

#[test]
fn heads_are_treated_as_the_module_says() {
    let rules = |config: &str| {
        let built = both(config, "");
        built.is_clean();
        (*built.http().heads.expect("rules")).clone()
    };
    let usual = rules("");
    assert!(usual.client.remote_address && usual.path.normalizes && usual.tells);
    assert!(!usual.path.merges_slashes && !usual.http10 && !usual.request_id.keeps_external);
    assert_eq!((usual.limits.bytes, usual.limits.headers), (60 << 10, 100));
    assert_eq!(usual.server.name, "envoy");
    assert_eq!(usual.host.strip_port, StripPort::Never);
    assert_eq!(usual.underscores, Underscores::Allow);
    assert_eq!(
        usual.certificate.forwarding,
        CertificateForwarding::Sanitize
    );
    let other = rules(
        "use_remote_address: false, merge_slashes: true, enable_http10: true, preserve_external_request_id: true, max_request_headers_kb: 8, server_name: edge, strip_matching_host_port: true, headers_with_underscores_action: REJECT_REQUEST, reject_requests_with_escaped_slashes: true, suppress_envoy_headers: true, forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {subject: true, dns: true}",
    );
    assert!(!other.client.remote_address && other.path.merges_slashes && other.http10);
    assert!(other.request_id.keeps_external && !other.tells);
    assert_eq!(other.limits.bytes, 8 << 10);
    assert_eq!(other.server.name, "edge");
    assert_eq!(other.host.strip_port, StripPort::Matching);
    assert_eq!(other.underscores, Underscores::Reject);
    assert_eq!(other.path.escaped_slashes, EscapedSlashes::Reject);
    assert_eq!(
        other.certificate.forwarding,
        CertificateForwarding::SanitizeSet
    );
    assert!(other.certificate.subject && other.certificate.names && !other.certificate.uris);
    for config in [
        "headers_with_underscores_action: DENY",
        "forward_client_cert_details: FORWARD",
    ] {
        assert!(both(config, "").has("emissary::choice"), "{config}");
    }
    let idle = both("listener_idle_timeout_ms: 1000", "")
        .http()
        .idle_timeout;
    assert_eq!(idle.map(|it| it.value.as_millis()), Some(1000));
    assert_eq!(
        both("buffer_limit_bytes: 4096", "").http().retained_bytes,
        4096
    );
    assert_eq!(both("", "").http().retained_bytes, 1 << 20);
    assert!(!both("use_remote_address: false", "").http().edge);
}

#[test]
fn settings_that_nothing_is_made_of_are_told_and_unknown_ones_are_errors() {
    for (config, code) in [
        ("ip_allow: [{remote: 10.0.0.0/8}]", "emissary::not-modelled"),
        ("ip_deny: [{peer: 10.0.0.0/8}]", "emissary::not-modelled"),
        ("lua_scripts: x", "emissary::not-modelled"),
        ("buffer: {max_request_bytes: 1}", "emissary::not-modelled"),
        ("gzip: {}", "emissary::not-modelled"),
        ("grpc_stats: {}", "emissary::not-modelled"),
        ("enable_grpc_web: true", "emissary::not-modelled"),
        ("enable_grpc_http11_bridge: true", "emissary::not-modelled"),
        ("proper_case: true", "emissary::not-modelled"),
        ("header_case_overrides: [X-A]", "emissary::not-modelled"),
        ("envoy_log_type: json", "emissary::not-modelled"),
        ("keepalive: {time: 1}", "emissary::not-modelled"),
        ("default_labels: {}", "emissary::not-modelled"),
        ("runtime_flags: {}", "emissary::not-modelled"),
        ("diagnostics: {enabled: false}", "emissary::not-modelled"),
        ("x_forwarded_proto_redirect: true", "emissary::ignored"),
        ("use_proxy_proto: true", "emissary::ignored"),
        ("xff_num_trusted_hops: 1", "emissary::ignored"),
        ("error_response_overrides: []", "emissary::ignored"),
        ("service_port: 8080", "emissary::ignored"),
        ("cluster_request_timout_ms: 1", "field::unknown"),
    ] {
        let built = both(config, "");
        assert!(built.has(code), "{config}\n{}", built.text);
        assert_eq!(
            built.problems.has_errors(),
            code == "field::unknown",
            "{config}"
        );
    }
    let open = both("ip_allow: [{remote: 10.0.0.0/8}]", "").text;
    assert!(open.contains("CLIENTS THAT IT WOULD REFUSE"), "{open}");
}

#[test]
fn one_module_counts_and_it_is_called_ambassador() {
    let built = served(&[
        object(
            "Module",
            "a/ambassador",
            "{config: {cluster_request_timeout_ms: 1}}",
        ),
        object(
            "Module",
            "b/ambassador",
            "{config: {cluster_request_timeout_ms: 2}}",
        ),
        object("Module", "b/settings", "{config: {anything: goes}}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(built.has("emissary::second-module") && built.has("emissary::module"));
    assert_eq!(
        built.forward().timeout.value.map(Duration::as_millis),
        Some(1)
    );
    let open = served(&[
        object("Module", "authentication", "{config: {}}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(open.text.contains("EVERY ROUTE IS OPEN"), "{}", open.text);
}
