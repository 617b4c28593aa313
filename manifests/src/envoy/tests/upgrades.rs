//! What connections may become.

use proxy_core::config::{PathMatch, Unlisted, Upgrade};

use super::harness::*;

/// What is said of each kind.
fn said(upgrades: &[Upgrade]) -> Vec<(&str, bool)> {
    let said = upgrades.iter().map(|it| (&*it.kind, it.allowed));
    said.collect()
}

#[test]
fn a_manager_says_what_connections_may_become() {
    for (fields, listed, http2) in [
        ("merge_slashes: false", &[][..], false),
        ("upgrade_configs: []", &[], false),
        (
            "upgrade_configs: [{upgrade_type: websocket}]",
            &[("websocket", true)],
            false,
        ),
        (
            "upgrade_configs: [{upgrade_type: WebSocket, enabled: false}, {upgrade_type: CONNECT}]",
            &[("WebSocket", false), ("CONNECT", true)],
            false,
        ),
        (
            "upgrade_configs: [{upgrade_type: foo, enabled: true}]\nhttp2_protocol_options: {allow_connect: true}",
            &[("foo", true)],
            true,
        ),
        ("http2_protocol_options: {allow_connect: false}", &[], false),
    ] {
        let b = accepted(&with_manager(fields, "{}"));
        let upgrades = &b.http().upgrades;
        assert_eq!(said(&upgrades.listed), listed, "{fields}");
        assert_eq!(upgrades.others, Unlisted::Refused, "{fields}");
        assert_eq!(upgrades.http2, http2, "{fields}");
        assert_eq!(b.notes(), [""; 0], "{fields}");
        for each in &upgrades.listed {
            assert!(b.origin(each.origin).starts_with("b.yaml:"), "{fields}");
        }
    }
}

#[test]
fn a_route_may_say_otherwise_and_end_a_connect() {
    for (fields, listed, ends) in [
        ("cluster: a", &[][..], false),
        (
            "cluster: a\nupgrade_configs: [{upgrade_type: websocket, enabled: false}]",
            &[("websocket", false)],
            false,
        ),
        (
            "cluster: a\nupgrade_configs: [{upgrade_type: CONNECT}]",
            &[("CONNECT", true)],
            false,
        ),
        (
            "cluster: a\nupgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}, {upgrade_type: foo}]",
            &[("CONNECT", true), ("foo", true)],
            true,
        ),
        (
            "cluster: a\nupgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: false}}]",
            &[("CONNECT", true)],
            true,
        ),
    ] {
        let b = accepted(&with_action(fields));
        let forward = b.forward();
        assert_eq!(said(&forward.upgrades), listed, "{fields}");
        assert_eq!(forward.ends_connect, ends, "{fields}");
        assert_eq!(b.notes(), [""; 0], "{fields}");
    }
}

#[test]
fn a_connect_is_matched_by_its_own_matcher() {
    let b = accepted(&with_routes(
        "- match: {connect_matcher: {}, headers: [{name: x, present_match: true}]}\n  route: {cluster: a}",
    ));
    assert!(matches!(b.route().matches.path, PathMatch::Connect));
    assert_eq!(b.route().matches.headers.len(), 1);
    let both = refused(&with_routes(
        "- match: {connect_matcher: {}, prefix: /}\n  route: {cluster: a}",
    ));
    assert_eq!(both.errors().len(), 1);
}

#[test]
fn what_is_not_modelled_of_upgrades_is_noted() {
    let of_manager = |fields: &str| with_manager(fields, "{}");
    let config = |field: &str| {
        with_action(&format!(
            "cluster: a\nupgrade_configs: [{{upgrade_type: CONNECT, connect_config: {{{field}}}}}]"
        ))
    };
    for (text, note) in [
        (
            of_manager("upgrade_configs: [{upgrade_type: websocket, filters: [{name: x}]}]"),
            "`filters` of an upgrade is not modelled",
        ),
        (
            of_manager("http2_protocol_options: {max_concurrent_streams: 7}"),
            "`max_concurrent_streams` of clients is not modelled",
        ),
        (config("allow_post: true"), "`allow_post` is not modelled"),
        (
            config("proxy_protocol_config: {version: V1}"),
            "`proxy_protocol_config` is not modelled",
        ),
    ] {
        let b = accepted(&text);
        assert_eq!(b.notes(), [note]);
    }
}

/// Envoy 1.40 takes neither.
#[test]
fn an_upgrade_stands_once_and_only_connect_may_end() {
    for text in [
        with_manager(
            "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: WebSocket}]",
            "{}",
        ),
        with_action("cluster: a\nupgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]"),
        with_action("cluster: a\nupgrade_configs: [{upgrade_type: websocket, connect_config: {}}]"),
    ] {
        assert_eq!(refused(&text).errors().len(), 1, "{text}");
    }
}
