//! How many requests, connections and retries a cluster takes at a time.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::map;
use crate::bootstrap::http2_options;
use crate::case::{Answer, Ask, Backend, Body, Case, Host, Order};
use crate::dice::Dice;

/// Between two requests: enough for one to be where it waits.
const STEP: Duration = Duration::from_millis(80);
/// Longer than it takes to send all requests.
const LONG: Duration = Duration::from_millis(1500);

/// A case of limits.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x6c69_6d69);
    let dice = &mut dice;
    let mut fields = Map::new();
    let mut thresholds = vec![limits(None, dice)];
    if dice.percent(30) {
        thresholds.push(limits(Some("HIGH"), dice));
    }
    let mut breakers = json!({"thresholds": thresholds});
    if dice.percent(20) {
        let most = json!([{"max_connections": dice.between(1, 3)}]);
        breakers["per_host_thresholds"] = most;
    }
    fields.insert("circuit_breakers".to_owned(), breakers);
    if dice.percent(50) {
        let mut options = http2_options();
        if dice.percent(60) {
            let of = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            options[of]["explicit_http_config"]["http2_protocol_options"] =
                json!({"max_concurrent_streams": dice.between(1, 4)});
        }
        fields.insert("typed_extension_protocol_options".to_owned(), options);
    }
    let retries = dice.percent(40);
    let mut action = map(json!({"cluster": "@up"}));
    if retries {
        let policy = json!({
            "retry_on": "5xx",
            "num_retries": dice.between(1, 2),
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
        });
        action.insert("retry_policy".to_owned(), policy);
    }
    let mut high = action.clone();
    high.insert("priority".to_owned(), json!("HIGH"));
    let routes = json!([
        {"match": {"prefix": "/high"}, "route": high},
        {"match": {"prefix": "/"}, "route": action},
    ]);
    let host = json!({"name": "all", "domains": ["*"], "routes": routes});
    let manager = map(json!({"route_config": {"virtual_hosts": [host]}}));
    let http2 = dice.percent(50);
    let both = dice.percent(40);
    if both && let Some(breakers) = fields.get_mut("circuit_breakers") {
        // what they make of connections of both priorities differs
        breakers["per_host_thresholds"] = json!([]);
    }
    let asks = (0..10).map(|_| ask(http2, both, retries, dice)).collect();
    Case {
        seed,
        manager,
        clusters: vec![Backend {
            name: "up",
            slot: 0,
            fields,
            hosts: vec![Host::default()],
            order: Order::Fixed,
            copies: false,
        }],
        asks,
        draws: false,
        counted: false,
    }
}

fn limits(priority: Option<&str>, dice: &mut Dice) -> Value {
    let mut limits = Map::new();
    if let Some(priority) = priority {
        limits.insert("priority".to_owned(), json!(priority));
    }
    for (name, least, share) in [
        ("max_connections", 1, 50),
        ("max_pending_requests", 0, 60),
        ("max_requests", 0, 40),
        ("max_retries", 0, 40),
    ] {
        if dice.percent(share) {
            limits.insert(name.to_owned(), json!(dice.between(least, 4)));
        }
    }
    if dice.percent(25) {
        let mut budget = json!({"budget_percent": {"value": dice.pick(&[0.0, 25.0, 50.0])}});
        if dice.percent(60) {
            budget["min_retry_concurrency"] = json!(dice.below(3));
        }
        limits.insert("retry_budget".to_owned(), budget);
    }
    if dice.percent(30) {
        limits.insert("track_remaining".to_owned(), json!(true));
    }
    Value::from(limits)
}

fn ask(http2: bool, both: bool, retries: bool, dice: &mut Dice) -> Ask {
    let held = Answer {
        after: LONG,
        ..Answer::status(200)
    };
    let answers = if retries && dice.percent(60) {
        vec![Answer::status(503), held]
    } else {
        vec![held]
    };
    let target = if both && dice.percent(50) {
        "/high"
    } else {
        "/"
    };
    Ask {
        http2,
        method: "GET".to_owned(),
        target: target.to_owned(),
        authority: Some("a.test".to_owned()),
        headers: Vec::new(),
        body: Body::None,
        answers,
        pause: STEP,
        beside: true,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}
