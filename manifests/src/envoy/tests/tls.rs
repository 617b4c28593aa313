use proxy_core::config::{DownstreamTransport, UpstreamTransport};

use super::harness::{accepted, refused, with_cluster};
use crate::envoy::{DataSource, SubjectKind, TlsVersion};

fn upstream(common: &str) -> String {
    with_cluster(&format!(
        "transport_socket:\n  name: tls\n  typed_config:\n    '@type': x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n    sni: shop\n    common_tls_context: {{{common}}}"
    ))
}

#[test]
fn a_cluster_names_what_it_presents_and_trusts() {
    let b = accepted(&upstream(
        "alpn_protocols: [h2], tls_params: {tls_minimum_protocol_version: TLSv1_3}, tls_certificates: [{certificate_chain: {filename: c.pem}, private_key: {filename: k.pem}}], validation_context: {trusted_ca: {filename: ca.pem}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: shop}}]}",
    ));
    let expected = UpstreamTransport::Tls {
        sni: "shop".into(),
        certificate: Some("cluster/x".into()),
    };
    assert_eq!(b.cluster("x").transport, expected);
    let tls = &b.tls[0];
    assert_eq!(&*tls.name, "cluster/x");
    assert_eq!(tls.pairs[0].chain, DataSource::File("c.pem".into()));
    assert_eq!(tls.pairs[0].key, DataSource::File("k.pem".into()));
    assert_eq!(tls.trusted_ca, Some(DataSource::File("ca.pem".into())));
    assert_eq!(tls.subjects[0].kind, Some(SubjectKind::Dns));
    assert!(tls.subjects[0].matches.matches("shop"));
    assert_eq!(
        (&*tls.alpn[0], tls.min_version, tls.max_version),
        ("h2", Some(TlsVersion::V1_3), None)
    );
}

#[test]
fn tls_without_anything_presents_nothing_and_trusts_anybody() {
    let b = accepted(&upstream(""));
    assert!(b.tls[0].pairs.is_empty() && b.tls[0].trusted_ca.is_none());
}

#[test]
fn a_secret_of_the_file_is_found_by_its_name() {
    let secrets = "  secrets:\n  - {name: s, tls_certificate: {certificate_chain: {filename: c}, private_key: {filename: k}}}\n  - {name: t, validation_context: {trusted_ca: {filename: ca}}}\n";
    let common = "tls_certificate_sds_secret_configs: [{name: s}], validation_context_sds_secret_config: {name: t}";
    let b = accepted(&format!("{}{secrets}", upstream(common)));
    assert_eq!(b.tls[0].pairs[0].key, DataSource::File("k".into()));
    assert_eq!(b.tls[0].trusted_ca, Some(DataSource::File("ca".into())));
    let missing = refused(&upstream(common)).errors();
    assert_eq!(
        missing,
        [
            "envoy::unknown-secret: there is no secret `s` for this",
            "envoy::unknown-secret: there is no secret `t` for this"
        ]
    );
}

#[test]
fn inline_keys_are_shown_nowhere() {
    let common = "tls_certificates: [{certificate_chain: {inline_string: chain}, private_key: {inline_string: hidden}}]";
    let b = accepted(&upstream(common));
    assert_eq!(
        b.tls[0].pairs[0].key,
        DataSource::Inline(b"hidden"[..].into())
    );
    let shown = format!("{:?} {:?}", b.tls, b.sources);
    assert!(!shown.contains("hidden"), "{shown}");
    let error = refused(&format!("{}    nonsense: 1\n", upstream(common)));
    assert!(!format!("{error} {error:?}").contains("hidden"));
}

#[test]
fn a_chain_ends_tls_and_may_ask_for_a_certificate() {
    for (more, mutual) in [("", false), ("require_client_certificate: true, ", true)] {
        let text = format!(
            "static_resources: {{listeners: [{{name: l, address: {{socket_address: {{address: 0.0.0.0, port_value: 1}}}}, filter_chains: [{{filters: [], transport_socket: {{name: t, typed_config: {{'@type': x/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, {more}common_tls_context: {{alpn_protocols: [h2, http/1.1], tls_certificates: [{{certificate_chain: {{filename: c}}, private_key: {{filename: k}}}}]}}}}}}}}]}}]}}"
        );
        let b = accepted(&text);
        let expected = DownstreamTransport::Tls {
            mutual,
            alpn: vec!["h2".into(), "http/1.1".into()],
            certificate: "listener/l/0".into(),
        };
        assert_eq!(b.chain().transport, expected);
        assert_eq!(&*b.tls[0].name, "listener/l/0");
        let bare = text.replace(
            "tls_certificates: [{certificate_chain: {filename: c}, private_key: {filename: k}}]",
            "",
        );
        assert_eq!(refused(&bare).errors().len(), 1);
    }
}
