//! The policies that Kuma creates with every mesh. They stand nowhere, so that their values are the release's own.
//!
//! Source: kuma 2.14 and 3.0's head, `pkg/defaults/mesh/{meshtimeout,meshretry,meshcircuitbreaker}.go`; the same since 2.10.

use crate::text::{Entry, Key, Map, Node, Span, Value};

/// The kinds that there are stock policies of.
pub(super) const KINDS: [&str; 3] = ["MeshTimeout", "MeshRetry", "MeshCircuitBreaker"];

/// Timeouts of what is sent.
pub(super) fn timeouts() -> Node {
    map([
        ("connectionTimeout", text("5s")),
        ("idleTimeout", text("1h")),
        (
            "http",
            map([
                ("requestTimeout", text("15s")),
                ("streamIdleTimeout", text("30m")),
            ]),
        ),
    ])
}

/// Timeouts of what arrives: longer than those of what is sent, or none.
pub(super) fn arriving_timeouts() -> Node {
    map([
        ("connectionTimeout", text("10s")),
        ("idleTimeout", text("2h")),
        (
            "http",
            map([
                ("requestTimeout", text("0s")),
                ("streamIdleTimeout", text("1h")),
                ("maxStreamDuration", text("0s")),
            ]),
        ),
    ])
}

/// Five retries, whose tries may take longer than the request.
pub(super) fn retries() -> Node {
    let requests = || {
        map([
            ("numRetries", number(5)),
            ("perTryTimeout", text("16s")),
            (
                "backOff",
                map([
                    ("baseInterval", text("25ms")),
                    ("maxInterval", text("250ms")),
                ]),
            ),
        ])
    };
    map([
        ("tcp", map([("maxConnectAttempt", number(5))])),
        ("http", requests()),
        ("grpc", requests()),
    ])
}

/// Limits, and no ejection.
pub(super) fn limits() -> Node {
    let limits = map([
        ("maxConnections", number(1024)),
        ("maxPendingRequests", number(1024)),
        ("maxRequests", number(1024)),
        ("maxRetries", number(3)),
    ]);
    map([("connectionLimits", limits)])
}

fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
    let mut map = Map::default();
    for (key, value) in entries {
        map.insert(Entry {
            key: Key {
                text: key.to_owned(),
                span: Span::NOWHERE,
            },
            value,
        });
    }
    node(Value::Map(map))
}

fn text(value: &str) -> Node {
    node(Value::String(value.to_owned()))
}

fn number(value: i128) -> Node {
    node(Value::Int(value))
}

const fn node(value: Value) -> Node {
    Node {
        span: Span::NOWHERE,
        value,
    }
}
