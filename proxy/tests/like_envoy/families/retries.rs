//! Which tries are followed by another, where it goes, and when there are no more.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::crowds;
use super::words::map;
use crate::bootstrap::http2_options;
use crate::case::{Answer, Ask, Backend, Body, Case, Deed, Host, Order, Response};
use crate::dice::Dice;

/// What is too slow for it.
pub(crate) const SLOW: Duration = Duration::from_millis(900);

const WORDS: [&str; 17] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "resource-exhausted",
    "internal",
    "unavailable",
    "no-such-word",
];

/// A case of retries.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x7265_7472);
    let dice = &mut dice;
    if dice.percent(10) {
        return crowds::retries(seed, dice);
    }
    let cluster = cluster(dice);
    let mut action = map(json!({"cluster": "@up"}));
    let mut host = map(json!({"name": "all", "domains": ["*"]}));
    let policy = policy(dice);
    if dice.percent(25) {
        host.insert("retry_policy".to_owned(), policy);
        if dice.percent(30) {
            action.insert("retry_policy".to_owned(), self::policy(dice));
        }
    } else if dice.percent(90) {
        action.insert("retry_policy".to_owned(), policy);
    }
    if dice.percent(20) {
        let on = json!({"hedge_on_per_try_timeout": dice.percent(80)});
        let at = if dice.percent(80) {
            &mut action
        } else {
            &mut host
        };
        at.insert("hedge_policy".to_owned(), on);
    }
    if dice.percent(15) {
        action.insert("timeout".to_owned(), json!(dice.pick(&["0.4s", "0s"])));
    }
    if dice.percent(50) {
        host.insert("include_request_attempt_count".to_owned(), json!(true));
    }
    let route = json!({"match": {"prefix": "/"}, "route": action});
    host.insert("routes".to_owned(), json!([route]));
    let mut manager = Map::new();
    manager.insert("route_config".to_owned(), json!({"virtual_hosts": [host]}));
    let controlled = dice.percent(40);
    if controlled {
        // clients of one's own have a say
        let own = json!({"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]});
        manager.insert("internal_address_config".to_owned(), own);
    }
    let asks = (0..10).map(|_| ask(controlled, dice)).collect();
    Case {
        seed,
        manager,
        clusters: vec![cluster],
        asks,
        draws: false,
        counted: false,
    }
}

fn cluster(dice: &mut Dice) -> Backend {
    let mut fields = Map::new();
    if dice.percent(45) {
        fields.insert(
            "typed_extension_protocol_options".to_owned(),
            http2_options(),
        );
    }
    if dice.percent(8) {
        let limits = json!({"thresholds": [{"max_retries": 0}]});
        fields.insert("circuit_breakers".to_owned(), limits);
    }
    // endpoints that refuse are alone, since where a rotation begins is drawn
    let refuses = dice.percent(10);
    let levels = dice.percent(20);
    let count = dice.between(1, 4);
    let hosts = (0..count).map(|number| Host {
        refuses,
        does: None,
        fields: Map::new(),
        around: if levels {
            map(json!({"priority": number}))
        } else {
            Map::new()
        },
    });
    Backend {
        name: "up",
        slot: 0,
        fields,
        hosts: hosts.collect(),
        order: if levels {
            Order::Fixed
        } else {
            Order::Rotation
        },
        copies: false,
    }
}

fn policy(dice: &mut Dice) -> Value {
    let words = dice.some(&WORDS, 4);
    let mut policy = Map::new();
    if !words.is_empty() || dice.percent(90) {
        let words = if words.is_empty() { vec!["5xx"] } else { words };
        let between = dice.pick(&[",", ", "]);
        policy.insert("retry_on".to_owned(), json!(words.join(between)));
    }
    if dice.percent(75) {
        policy.insert("num_retries".to_owned(), json!(dice.below(5)));
    }
    match dice.below(10) {
        0..4 => {
            policy.insert("per_try_timeout".to_owned(), json!("0.25s"));
        }
        4 => {
            policy.insert("per_try_idle_timeout".to_owned(), json!("0.25s"));
        }
        _ => {}
    }
    if dice.percent(50) {
        let codes = dice.some(&[200, 404, 409, 425, 500, 503], 3);
        policy.insert("retriable_status_codes".to_owned(), json!(codes));
    }
    if dice.percent(20) {
        let matcher = dice.pick(&[
            json!({"name": "x-a", "present_match": true}),
            json!({"name": "x-a", "string_match": {"exact": "1"}}),
            json!({"name": "X-B", "present_match": true}),
            json!({"name": ":status", "string_match": {"prefix": "4"}}),
        ]);
        policy.insert("retriable_headers".to_owned(), json!([matcher]));
    }
    if dice.percent(15) {
        let matcher = dice.pick(&[
            json!({"name": ":method", "string_match": {"exact": "GET"}}),
            json!({"name": "x-a", "present_match": true, "invert_match": true}),
        ]);
        policy.insert("retriable_request_headers".to_owned(), json!([matcher]));
    }
    if dice.percent(60) {
        let mut back_off = json!({"base_interval": "0.001s"});
        if dice.percent(50) {
            back_off["max_interval"] = json!("0.005s");
        }
        policy.insert("retry_back_off".to_owned(), back_off);
    }
    if dice.percent(15) {
        let back_off = json!({
            "reset_headers": [
                {"name": "X-Reset", "format": "SECONDS"},
                {"name": "x-unix", "format": "UNIX_TIMESTAMP"},
            ],
            "max_interval": "2s",
        });
        policy.insert("rate_limited_retry_back_off".to_owned(), back_off);
    }
    if dice.percent(25) {
        policy.insert("retry_host_predicate".to_owned(), previous_hosts());
        if dice.percent(60) {
            policy.insert(
                "host_selection_retry_max_attempts".to_owned(),
                json!(dice.between(1, 5)),
            );
        }
    }
    if dice.percent(25) {
        policy.insert(
            "retry_priority".to_owned(),
            json!({
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                    "update_frequency": dice.between(1, 2),
                },
            }),
        );
    }
    Value::from(policy)
}

pub(crate) fn previous_hosts() -> Value {
    json!([{
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        },
    }])
}

fn ask(controlled: bool, dice: &mut Dice) -> Ask {
    let method = dice.pick(&["GET", "GET", "POST"]);
    let mut headers: Vec<(String, String)> = Vec::new();
    if dice.percent(20) {
        headers.push(("x-a".to_owned(), "1".to_owned()));
    }
    if dice.percent(25) {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    if controlled {
        let client = ("x-forwarded-for".to_owned(), "10.0.0.1".to_owned());
        headers.push(client);
        for (name, values) in CONTROLS {
            if dice.percent(15) {
                headers.push((name.to_owned(), dice.pick(values).to_owned()));
            }
        }
    }
    let mut answers: Vec<Answer> = (0..dice.between(1, 4)).map(|_| answer(dice)).collect();
    if dice.percent(60) {
        answers.push(Answer::status(200));
    }
    Ask {
        http2: dice.percent(50),
        method: method.to_owned(),
        target: "/".to_owned(),
        authority: Some("a.test".to_owned()),
        headers,
        body: match (method, dice.below(3)) {
            ("GET", _) | (_, 0) => Body::None,
            (_, 1) => Body::Sized(100),
            (_, _) => Body::Chunked(30_000),
        },
        answers,
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}

/// Headers by which a request has its say.
const CONTROLS: [(&str, &[&str]); 9] = [
    (
        "x-envoy-retry-on",
        &[
            "5xx",
            "retriable-4xx,reset",
            "connect-failure",
            "retriable-status-codes",
            "cancelled",
            "nonsense",
        ],
    ),
    (
        "x-envoy-retry-grpc-on",
        &["unavailable", "cancelled, internal", "5xx"],
    ),
    ("x-envoy-max-retries", &["0", "1", "3", "x", "-1"]),
    (
        "x-envoy-retriable-status-codes",
        &["404", "409, 500", "x,404"],
    ),
    ("x-envoy-retriable-header-names", &["x-a", "X-B, x-a", ""]),
    ("x-envoy-upstream-rq-per-try-timeout-ms", &["250", "0", "x"]),
    ("x-envoy-upstream-rq-timeout-ms", &["400", "0", "x"]),
    ("x-envoy-upstream-rq-timeout-alt-response", &["1"]),
    ("x-envoy-hedge-on-per-try-timeout", &["true", "false", "x"]),
];

fn answer(dice: &mut Dice) -> Answer {
    let mut response = Response::status(200);
    match dice.below(16) {
        0..5 => response.status = dice.pick(&[500, 502, 503, 504, 409, 404, 425]),
        5 => {
            response.status = dice.pick(&[429, 503]);
            let header = ("x-envoy-ratelimited".to_owned(), "true".to_owned());
            response.headers.push(header);
        }
        6 => {
            response.status = 503;
            let header = ("x-envoy-overloaded".to_owned(), "true".to_owned());
            response.headers.push(header);
        }
        7 => {
            let name = dice.pick(&["x-a", "x-b"]);
            response.headers.push((name.to_owned(), "1".to_owned()));
        }
        8 => {
            let code = dice.pick(&["1", "4", "8", "13", "14", "0", "5", "x"]);
            let header = ("grpc-status".to_owned(), code.to_owned());
            response.headers.push(header);
            response.body = Body::None;
        }
        9 => {
            let code = dice.pick(&["1", "14"]);
            let trailer = ("grpc-status".to_owned(), code.to_owned());
            response.trailers.push(trailer);
            response.body = Body::Chunked(20);
        }
        10 => {
            response.status = dice.pick(&[200, 503]);
            response.breaks = true;
        }
        11 => {
            response.status = dice.pick(&[503, 429]);
            let (name, value) = dice.pick(&[
                ("x-reset", "0"),
                ("x-reset", "x"),
                ("x-reset", "100"),
                ("x-unix", "1"),
            ]);
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        12 => {
            return Answer {
                after: Duration::ZERO,
                deed: Deed::Reset(dice.pick(&[0, 2, 7, 8])),
            };
        }
        13 => {
            return Answer {
                after: Duration::ZERO,
                deed: Deed::Reset(0),
            };
        }
        _ => {
            response.status = dice.pick(&[200, 503]);
            return Answer {
                after: SLOW,
                deed: Deed::Respond(response),
            };
        }
    }
    Answer::of(response)
}
