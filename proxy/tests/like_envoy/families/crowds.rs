//! Requests that are under way together.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::retries::previous_hosts;
use super::words::map;
use crate::bootstrap::http2_options;
use crate::case::{Answer, Ask, Backend, Body, Case, Host, Order};
use crate::dice::Dice;

/// Between two requests: enough for the first try of each to be over.
const STEP: Duration = Duration::from_millis(70);
/// How long a retry is under way: longer than it takes to send all requests.
const LONG: Duration = Duration::from_millis(1500);

fn cluster(fields: Value, hosts: usize, order: Order, dice: &mut Dice) -> Backend {
    let mut fields = map(fields);
    if dice.percent(50) {
        fields.insert(
            "typed_extension_protocol_options".to_owned(),
            http2_options(),
        );
    }
    Backend {
        name: "up",
        slot: 0,
        fields,
        hosts: vec![Host::default(); hosts],
        order,
        copies: false,
    }
}

fn manager(action: Value) -> Map<String, Value> {
    let route = json!({"match": {"prefix": "/"}, "route": action});
    let host = json!({"name": "all", "domains": ["*"], "routes": [route]});
    map(json!({"route_config": {"virtual_hosts": [host]}}))
}

fn ask(http2: bool, answers: Vec<Answer>) -> Ask {
    Ask {
        http2,
        method: "GET".to_owned(),
        target: "/".to_owned(),
        authority: Some("a.test".to_owned()),
        headers: Vec::new(),
        body: Body::None,
        answers,
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}

/// Retries that hold their places while others ask for one, or draws of other endpoints.
pub(crate) fn retries(seed: u64, dice: &mut Dice) -> Case {
    if dice.percent(30) {
        return other_hosts(seed, dice);
    }
    let limits = if dice.percent(50) {
        json!({"max_retries": dice.below(4)})
    } else {
        let mut budget = json!({"budget_percent": {"value": dice.pick(&[0.0, 20.0, 40.0, 100.0])}});
        if dice.percent(70) {
            budget["min_retry_concurrency"] = json!(dice.below(4));
        }
        json!({"retry_budget": budget})
    };
    let limits = json!({"circuit_breakers": {"thresholds": [limits]}});
    let policy = json!({
        "retry_on": "5xx",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.001s"},
    });
    let answers = vec![
        Answer::status(503),
        Answer {
            after: LONG,
            ..Answer::status(200)
        },
    ];
    let http2 = dice.percent(50);
    let asks = (0..10).map(|_| Ask {
        pause: STEP,
        beside: true,
        ..ask(http2, answers.clone())
    });
    Case {
        seed,
        manager: manager(json!({"cluster": "@up", "retry_policy": policy})),
        asks: asks.collect(),
        clusters: vec![cluster(limits, 1, Order::Fixed, dice)],
        draws: false,
        counted: false,
    }
}

/// How often a retry finds another endpoint than those before, where endpoints are drawn.
fn other_hosts(seed: u64, dice: &mut Dice) -> Case {
    let mut policy = json!({
        "retry_on": "5xx",
        "num_retries": dice.between(1, 3),
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
    });
    if dice.percent(70) {
        policy["retry_host_predicate"] = previous_hosts();
        policy["host_selection_retry_max_attempts"] = json!(dice.between(1, 4));
    }
    let fields = json!({"lb_policy": dice.pick(&["RANDOM", "LEAST_REQUEST"])});
    let hosts = dice.between(2, 3);
    let answers = vec![Answer::status(503)];
    let http2 = dice.percent(50);
    Case {
        seed,
        manager: manager(json!({"cluster": "@up", "retry_policy": policy})),
        asks: vec![ask(http2, answers); 300],
        clusters: vec![cluster(fields, hosts, Order::Drawn, dice)],
        draws: true,
        counted: false,
    }
}
