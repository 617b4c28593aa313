//! What does not pass, or not as it is.

use super::*;
use crate::config::{StripPort, Underscores};
use crate::heads::HeadWriter;

#[test]
fn what_concerns_one_connection_stays_behind() {
    let gone = |lines: &[(&str, &str)]| {
        let head = Manager::new(|_| ()).get(lines);
        lines_but(&head, &["x-request-id", "x-forwarded-proto"])
    };
    for (lines, want) in [
        (&[("connection", "close"), ("keep-alive", "5")][..], &[][..]),
        (
            &[("proxy-connection", "keep-alive"), ("upgrade", "h2c")],
            &[],
        ),
        (&[("transfer-encoding", "chunked")], &[]),
        (
            &[
                ("connection", "X-Foo, close"),
                ("x-foo", "1"),
                ("x-bar", "1"),
            ],
            &["x-bar: 1"],
        ),
        (
            &[
                ("connection", "a"),
                ("connection", "b"),
                ("a", "1"),
                ("b", "1"),
            ],
            &[],
        ),
        (&[("te", "gzip")], &[]),
        (&[("te", "gzip, trailers")], &["te: trailers"]),
        (&[("te", "trailers;q=1")], &[]),
        (
            &[("connection", "te"), ("te", "trailers")],
            &["te: trailers"],
        ),
        (&[("connection", "te"), ("te", "gzip")], &[]),
        (&[("referer", "about:blank")], &[]),
        (&[("referer", "http://a/b")], &["referer: http://a/b"]),
        (&[("referer", "http://a"), ("referer", "http://b")], &[]),
        (&[("expect", "100-Continue")], &[]),
        (&[("expect", "else")], &["expect: else"]),
        (
            &[("trailer", "a"), ("proxy-authorization", "b")],
            &["trailer: a", "proxy-authorization: b"],
        ),
    ] {
        assert_eq!(gone(lines), want, "{lines:?}");
    }
    // an id that Connection names is not the client's any more
    let head = Manager::new(|_| ()).get(&[("connection", "x-request-id"), ("x-request-id", "q")]);
    assert_ne!(head.said("x-request-id").unwrap(), "q");
}

/// Envoy 1.40: `Utility::isUpgrade`; h2c is never one.
#[test]
fn an_upgrade_is_asked_for_by_its_name_and_by_connection() {
    let upgrade = &[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ];
    for (version, lines, want) in [
        (Version::Http11, &upgrade[..], Asks::Upgrade),
        (Version::Http2, upgrade, Asks::Upgrade),
        (
            Version::Http11,
            &[
                ("connection", "a"),
                ("connection", "UPGRADE"),
                ("upgrade", "foo"),
            ],
            Asks::Upgrade,
        ),
        (Version::Http11, &[("upgrade", "websocket")], Asks::Nothing),
        (Version::Http11, &[("connection", "upgrade")], Asks::Nothing),
        (
            Version::Http11,
            &[("connection", "close"), ("upgrade", "websocket")],
            Asks::Nothing,
        ),
        (
            Version::Http11,
            &[
                ("connection", "Upgrade, HTTP2-Settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AA"),
            ],
            Asks::Nothing,
        ),
        (
            Version::Http11,
            &[("connection", "upgrade"), ("upgrade", "")],
            Asks::Nothing,
        ),
    ] {
        let head = Asked {
            version,
            ..Asked::with(lines)
        };
        let (received, head) = Manager::new(|_| ()).receive(head);
        assert_eq!((received.refused, received.asks), (None, want), "{lines:?}");
        let kept = head.has("upgrade") && head.has("connection");
        assert_eq!(kept, want == Asks::Upgrade, "{lines:?}");
        assert!(!head.has("http2-settings"), "{lines:?}");
    }
}

/// Envoy 1.40 leaves what `Connection` names where it is for the sake of what it asks for.
#[test]
fn of_an_upgrade_only_what_says_nothing_of_it_stays_behind() {
    let head = Manager::new(|_| ()).get(&[
        ("connection", "keep-alive, Upgrade, x-foo"),
        ("upgrade", "websocket"),
        ("x-foo", "1"),
        ("te", "gzip, trailers"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
    ]);
    assert_eq!(
        lines_but(&head, &["x-request-id", "x-forwarded-proto"]),
        [
            "connection: keep-alive, Upgrade, x-foo",
            "upgrade: websocket",
            "x-foo: 1",
            "te: trailers"
        ]
    );
}

#[test]
fn what_is_not_heard_is_not_asked() {
    let mut manager = Manager::new(|_| ());
    manager.upgrades = Upgrades {
        others: Unlisted::Unheard,
        ..Upgrades::of(&["websocket"], crate::origin::OriginId::NONE)
    };
    for (kind, want) in [("WebSocket", Asks::Upgrade), ("other", Asks::Nothing)] {
        let lines = [("connection", "upgrade"), ("upgrade", kind)];
        let (received, head) = manager.receive(Asked::with(&lines));
        assert_eq!(received.asks, want, "{kind}");
        assert_eq!(head.has("upgrade"), want == Asks::Upgrade, "{kind}");
    }
}

/// Envoy 1.40, which answers 400 to each of these.
#[test]
fn a_connect_has_an_authority_with_a_port_and_no_body() {
    for (version, authority, path, lines, want) in [
        (Version::Http11, "h:443", "", &[][..], None),
        (
            Version::Http11,
            "h:443",
            "",
            &[("content-length", "0")],
            None,
        ),
        (Version::Http2, "h", "", &[], None),
        (Version::Http11, "h", "", &[], Some(BadHead::Target)),
        (Version::Http11, "h:x", "", &[], Some(BadHead::Target)),
        (Version::Http11, "h:443", "/foo", &[], Some(BadHead::Target)),
        (
            Version::Http11,
            "h:443",
            "",
            &[("content-length", "4")],
            Some(BadHead::Target),
        ),
        (
            Version::Http11,
            "h:443",
            "",
            &[("transfer-encoding", "chunked")],
            Some(BadHead::Target),
        ),
    ] {
        let head = Asked {
            version,
            method: "CONNECT".to_owned(),
            authority: Some(authority.to_owned()),
            path: path.to_owned(),
            ..Asked::with(lines)
        };
        let (received, _) = Manager::new(|_| ()).receive(head);
        assert_eq!(received.refused, want, "{authority}{path} {lines:?}");
        if want.is_none() {
            assert_eq!(received.asks, Asks::Connect);
        }
    }
}

#[test]
fn a_client_cannot_hide_by_connection_where_a_request_comes_from() {
    let nine = "h0,h1,h2,h3,h4,h5,h6,h7,h8";
    let ten = format!("{nine},h9");
    let long = "x".repeat(256);
    for (lines, want) in [
        (
            &[("connection", "x-forwarded-for")][..],
            Some(BadHead::Connection),
        ),
        (
            &[("connection", "X-Forwarded-Proto")],
            Some(BadHead::Connection),
        ),
        (&[("connection", ":path")], Some(BadHead::Connection)),
        (&[("connection", &ten)], Some(BadHead::Connection)),
        (
            &[("connection", "te"), ("te", &long)],
            Some(BadHead::Connection),
        ),
        (&[("connection", "host")], Some(BadHead::NoHost)),
        (&[("connection", nine)], None),
        (&[("connection", ",,")], None),
        (&[("connection", "connection")], None),
    ] {
        assert_eq!(
            Manager::new(|_| ()).refused(Asked::with(lines)),
            want,
            "{lines:?}"
        );
    }
}

#[test]
fn too_many_headers_and_too_many_bytes_are_refused() {
    let at_most = |headers, bytes| {
        Manager::new(move |rules| {
            rules.limits.headers = headers;
            rules.limits.bytes = bytes;
        })
    };
    let with = |version, count: usize, extra: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("h{n}")).collect();
        let value = "y".repeat(extra);
        let lines: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), value.as_str()))
            .collect();
        Asked {
            version,
            ..Asked::with(&lines)
        }
    };
    for (version, headers, refused) in [
        (Version::Http11, 5, false),
        (Version::Http11, 6, true),
        // the method, the scheme, the authority and the path count
        (Version::Http2, 1, false),
        (Version::Http2, 2, true),
    ] {
        let got = at_most(5, 1 << 20).refused(with(version, headers, 1));
        assert_eq!(
            got,
            refused.then_some(BadHead::TooLarge),
            "{version:?} {headers}"
        );
    }
    // GET / HTTP/1.1, h0, and the line between head and body
    let around = 14 + 2 + 2 + 2 + 2 + 2;
    for (extra, refused) in [(1024 - around, false), (1025 - around, true)] {
        let got = at_most(100, 1024).refused(with(Version::Http11, 1, extra));
        assert_eq!(got, refused.then_some(BadHead::TooLarge), "{extra}");
    }
    // :method GET, :path /, :scheme http, :authority h.example, h0
    let around = 10 + 6 + 11 + 19 + 2;
    for (extra, refused) in [(1024 - around, false), (1025 - around, true)] {
        let got = at_most(100, 1024).refused(with(Version::Http2, 1, extra));
        assert_eq!(got, refused.then_some(BadHead::TooLarge), "{extra}");
    }
}

#[test]
fn underscores_are_dropped_or_refused_where_they_are_not_allowed() {
    for (rule, refused, stays) in [
        (Underscores::Allow, None, true),
        (Underscores::Drop, None, false),
        (Underscores::Reject, Some(BadHead::Underscore), true),
    ] {
        let manager = Manager::new(|rules| rules.underscores = rule);
        let (received, head) = manager.receive(Asked::with(&[("a_b", "1"), ("x", "2")]));
        assert_eq!(received.refused, refused, "{rule:?}");
        assert_eq!((head.has("a_b"), head.has("x")), (stays, true), "{rule:?}");
    }
}

#[test]
fn requests_without_host_or_slash_and_of_old_versions_are_refused() {
    let asked = |tune: fn(&mut Asked)| {
        let mut head = Asked::with(&[]);
        tune(&mut head);
        head
    };
    let plain = Manager::new(|_| ());
    for (name, head, want) in [
        (
            "no host",
            asked(|it| it.authority = None),
            Some(BadHead::NoHost),
        ),
        (
            "an empty host",
            asked(|it| it.authority = Some(String::new())),
            None,
        ),
        (
            "HTTP/1.0",
            asked(|it| it.version = Version::Http10),
            Some(BadHead::Version),
        ),
        (
            "no slash",
            asked(|it| it.path = "*".to_owned()),
            Some(BadHead::PathForm),
        ),
    ] {
        assert_eq!(plain.refused(head), want, "{name}");
    }
    let old = Manager::new(|rules| {
        rules.http10 = true;
        rules.default_host = Some("fallback".into());
    });
    let without = asked(|it| {
        it.version = Version::Http10;
        it.authority = None;
    });
    let (received, head) = old.receive(without);
    assert_eq!(received.refused, None);
    assert_eq!(head.authority.as_deref(), Some("fallback"));
}

#[test]
fn paths_and_hosts_are_settled_before_anybody_looks_at_them() {
    let manager = Manager::new(|rules| {
        rules.path.normalizes = true;
        rules.path.merges_slashes = true;
        rules.host.strip_port = StripPort::Matching;
        rules.host.strip_dot = true;
    });
    let mut head = Asked::with(&[]);
    head.path = "/a/../b//c?d=/../e".to_owned();
    head.authority = Some("h.example.:8080".to_owned());
    let (_, head) = manager.receive(head);
    assert_eq!(head.path, "/b/c?d=/../e");
    assert_eq!(head.authority.as_deref(), Some("h.example"));
}

#[test]
fn escaped_slashes_are_kept_refused_redirected_or_unescaped() {
    use EscapedSlashes::{Forward, Keep, Redirect, Reject};
    for (rule, grpc, refused, path) in [
        (Keep, false, None, "/a%2Fb"),
        (Reject, false, Some(BadHead::Path), "/a%2Fb"),
        (Redirect, false, Some(BadHead::PathRedirect), "/a/b"),
        (Redirect, true, Some(BadHead::Path), "/a%2Fb"),
        (Forward, false, None, "/a/b"),
    ] {
        let kind = if grpc {
            "application/grpc+proto"
        } else {
            "text/html"
        };
        let mut head = Asked::with(&[("content-type", kind)]);
        head.path = "/a%2Fb".to_owned();
        let manager = Manager::new(|rules| rules.path.escaped_slashes = rule);
        let (received, head) = manager.receive(head);
        assert_eq!(
            (received.refused, &*head.path),
            (refused, path),
            "{rule:?} {grpc}"
        );
    }
}
