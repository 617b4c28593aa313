use proxy_core::config::{
    Caller, CertificateForwarding, CertificateRules, EscapedSlashes, HeadRules, HostRules,
    PathRules, Scheme, ServerTransformation, StripPort, Underscores,
};

use super::harness::{accepted, refused, with_filters, with_manager, with_routes};

/// The rules of a manager with these fields.
#[track_caller]
fn rules(fields: &str) -> HeadRules {
    let b = accepted(&with_manager(fields, "{}"));
    assert!(b.notices.is_empty(), "{fields}: {:?}", b.notes());
    HeadRules::clone(b.http().heads.as_deref().expect("a manager has rules"))
}

#[test]
fn a_manager_that_says_nothing_has_envoys_rules_and_our_name() {
    let rules = rules("");
    assert!(!rules.client.remote_address && rules.client.internal.is_empty());
    assert!(rules.request_id.generates && rules.request_id.says_traced && rules.tells);
    assert_eq!(rules.limits.headers, 100);
    assert_eq!(rules.limits.bytes, 60 * 1024);
    assert_eq!(rules.server.name, "windtunnel");
    assert_eq!(rules.path, PathRules::default());
    assert_eq!(rules.certificate, CertificateRules::default());
}

#[test]
fn clients_are_known_as_the_file_has_it() {
    let rules = rules(
        "use_remote_address: true
xff_num_trusted_hops: 2
skip_xff_append: true
append_x_forwarded_port: true
internal_address_config: {cidr_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}]}",
    );
    let client = &rules.client;
    assert!(client.remote_address && client.keeps_forwarded_for && client.forwarded_port);
    assert_eq!(client.trusted_hops, 2);
    let [range] = &client.internal[..] else {
        panic!("{:?}", client.internal);
    };
    assert_eq!(
        (range.address.to_string().as_str(), range.bits),
        ("10.1.0.0", 16)
    );
}

#[test]
fn internal_addresses_that_are_not_named_are_the_private_ones() {
    let rules = rules("internal_address_config: {unix_sockets: true}");
    for (address, internal) in [
        ("10.0.0.1", true),
        ("172.31.0.1", true),
        ("172.32.0.1", false),
        ("192.168.1.1", true),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("8.8.8.8", false),
        ("fd00::1", true),
        ("fc00::1", false),
        ("::1", true),
    ] {
        let address = address.parse().unwrap();
        let found = rules
            .client
            .internal
            .iter()
            .any(|range| range.contains(address));
        assert_eq!(found, internal, "{address}");
    }
}

#[test]
fn request_ids_are_made_kept_and_returned_as_the_file_has_it() {
    let written = rules(
        "generate_request_id: false
preserve_external_request_id: true
always_set_request_id_in_response: true",
    );
    let ids = written.request_id;
    assert!(!ids.generates && ids.keeps_external && ids.in_response && ids.says_traced);
    let uuid = |field: &str| {
        format!(
            "request_id_extension:
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
    {field}"
        )
    };
    assert!(
        !rules(&uuid("pack_trace_reason: false"))
            .request_id
            .says_traced
    );
    assert!(
        rules(&uuid("pack_trace_reason: true"))
            .request_id
            .says_traced
    );
    let other = "request_id_extension: {typed_config: {'@type': type.googleapis.com/x.Y}}";
    let b = accepted(&with_manager(other, "{}"));
    assert_eq!(
        b.notes(),
        ["the request id extension `x.Y` is not modelled"]
    );
}

#[test]
fn paths_and_hosts_are_settled_as_the_file_has_it() {
    for (fields, want) in [
        ("normalize_path: true", (true, false, EscapedSlashes::Keep)),
        (
            "normalize_path: false\nmerge_slashes: true",
            (false, true, EscapedSlashes::Keep),
        ),
        (
            "path_with_escaped_slashes_action: KEEP_UNCHANGED",
            (false, false, EscapedSlashes::Keep),
        ),
        (
            "path_with_escaped_slashes_action: REJECT_REQUEST",
            (false, false, EscapedSlashes::Reject),
        ),
        (
            "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
            (false, false, EscapedSlashes::Redirect),
        ),
        (
            "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
            (false, false, EscapedSlashes::Forward),
        ),
    ] {
        let path = rules(fields).path;
        let got = (path.normalizes, path.merges_slashes, path.escaped_slashes);
        assert_eq!(got, want, "{fields}");
    }
    for (fields, strip_port, strip_dot) in [
        ("strip_any_host_port: true", StripPort::Any, false),
        ("strip_matching_host_port: true", StripPort::Matching, false),
        ("strip_trailing_host_dot: true", StripPort::Never, true),
    ] {
        let want = HostRules {
            strip_port,
            strip_dot,
        };
        assert_eq!(rules(fields).host, want, "{fields}");
    }
}

#[test]
fn what_is_too_much_and_what_is_no_name_is_as_the_file_has_it() {
    let written = rules(
        "max_request_headers_kb: 96
common_http_protocol_options: {max_headers_count: 7, headers_with_underscores_action: DROP_HEADER}
http_protocol_options: {accept_http_10: true, default_host_for_http_10: fallback}",
    );
    assert_eq!(
        (written.limits.bytes, written.limits.headers),
        (96 << 10, 7)
    );
    assert_eq!(written.underscores, Underscores::Drop);
    assert_eq!(
        (written.http10, written.default_host.as_deref()),
        (true, Some("fallback"))
    );
    let rejects = "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}";
    assert_eq!(rules(rejects).underscores, Underscores::Reject);
}

#[test]
fn what_is_said_of_this_proxy_is_as_the_file_has_it() {
    let written = rules(
        "via: me
server_name: envoy
server_header_transformation: APPEND_IF_ABSENT
scheme_header_transformation: {scheme_to_overwrite: https}",
    );
    assert_eq!(written.via.as_deref(), Some("me"));
    assert_eq!(written.server.name, "envoy");
    assert_eq!(
        written.server.transformation,
        ServerTransformation::AppendIfAbsent
    );
    assert_eq!(written.scheme, Some(Scheme::Https));
    assert!(!written.scheme_of_upstream);
    assert!(rules("scheme_header_transformation: {match_upstream: true}").scheme_of_upstream);
    assert_eq!(rules("server_name: ''").server.name, "windtunnel");
    let passes = rules("server_header_transformation: PASS_THROUGH").server;
    assert_eq!(passes.transformation, ServerTransformation::PassThrough);
}

#[test]
fn upstreams_are_told_the_nodes_own_names() {
    let file = with_manager("add_user_agent: true", "{}");
    let b = accepted(&format!("node: {{id: nid, cluster: ncl}}\n{file}"));
    let caller = Caller {
        cluster: "ncl".into(),
        node: "nid".into(),
    };
    let rules = b.http().heads.as_deref().unwrap();
    assert_eq!(rules.caller, Some(caller));
}

#[test]
fn certificates_are_told_as_the_file_has_it() {
    use CertificateForwarding::{
        AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet,
    };
    for (name, forwarding) in [
        ("SANITIZE", Sanitize),
        ("FORWARD_ONLY", ForwardOnly),
        ("APPEND_FORWARD", AppendForward),
        ("SANITIZE_SET", SanitizeSet),
        ("ALWAYS_FORWARD_ONLY", AlwaysForwardOnly),
    ] {
        let written = rules(&format!("forward_client_cert_details: {name}"));
        assert_eq!(written.certificate.forwarding, forwarding, "{name}");
    }
    for (field, pick) in [
        (
            "subject",
            (|it| it.subject) as fn(&CertificateRules) -> bool,
        ),
        ("cert", |it| it.certificate),
        ("chain", |it| it.chain),
        ("dns", |it| it.names),
        ("uri", |it| it.uris),
    ] {
        let written = rules(&format!(
            "set_current_client_cert_details: {{{field}: true}}"
        ));
        assert!(pick(&written.certificate), "{field}");
        let it = &written.certificate;
        let all = [it.subject, it.certificate, it.chain, it.names, it.uris];
        assert_eq!(all.into_iter().filter(|told| *told).count(), 1, "{field}");
    }
}

#[test]
fn the_router_may_be_silent_and_routes_have_headers_of_their_own() {
    let silent = with_filters("", "", "{}").replace(
        "router.v3.Router}",
        "router.v3.Router, suppress_envoy_headers: true}",
    );
    let b = accepted(&silent);
    assert!(!b.http().heads.as_deref().unwrap().tells);
    let table = "internal_only_headers: [X-Only]
virtual_hosts:
- name: v
  domains: ['*']
  include_attempt_count_in_response: true
  routes:
  - match: {prefix: /}
    route: {cluster: a, host_rewrite_literal: b, append_x_forwarded_host: true}";
    let b = accepted(&with_manager("", table));
    assert!(b.notices.is_empty(), "{:?}", b.notes());
    let only = &b.http().heads.as_deref().unwrap().internal_only;
    assert_eq!(only[..], ["x-only".into()]);
    assert!(b.forward().forwarded_host);
    assert!(b.section().tables()[0].virtual_hosts[0].attempt_count_in_response);
    let plain = accepted(&with_routes("- match: {prefix: /}\n  route: {cluster: a}"));
    assert!(!plain.forward().forwarded_host);
}

/// What 1.40.0 refuses.
#[test]
fn what_envoy_refuses_of_heads_is_refused() {
    for (fields, why) in [
        (
            "strip_any_host_port: true\nstrip_matching_host_port: true",
            "write one of `strip_any_host_port` and `strip_matching_host_port`",
        ),
        ("max_request_headers_kb: 0", "must be from 1 to 8192"),
        ("max_request_headers_kb: 8193", "must be from 1 to 8192"),
        (
            "common_http_protocol_options: {max_headers_count: 0}",
            "must be at least 1",
        ),
        ("via: \"a\\nb\"", "a header's value is one line"),
        ("server_name: \"a\\nb\"", "a header's value is one line"),
        (
            "scheme_header_transformation: {scheme_to_overwrite: ftp}",
            "must be `http` or `https`",
        ),
        (
            "use_remote_address: true\noriginal_ip_detection_extensions: [{name: x}]",
            "`original_ip_detection_extensions` go with neither `use_remote_address` nor `xff_num_trusted_hops`",
        ),
    ] {
        let errors = refused(&with_manager(fields, "{}")).errors();
        assert_eq!(errors, [format!("envoy::value: {why}")], "{fields}");
    }
    for accepted in ["max_request_headers_kb: 8192", "server_name: \"a\\tb\""] {
        rules(accepted);
    }
}

#[test]
fn what_of_heads_is_not_modelled_is_noted() {
    for (fields, what) in [
        (
            "proxy_100_continue: true",
            "`proxy_100_continue` is not modelled",
        ),
        (
            "original_ip_detection_extensions: [{name: x}]",
            "`original_ip_detection_extensions` is not modelled",
        ),
        (
            "forward_client_cert_matcher: {}",
            "`forward_client_cert_matcher` is not modelled",
        ),
        (
            "early_header_mutation_extensions: []",
            "`early_header_mutation_extensions` is not modelled",
        ),
    ] {
        let b = accepted(&with_manager(fields, "{}"));
        assert_eq!(b.notes(), [what], "{fields}");
    }
    rules("proxy_100_continue: false");
}
