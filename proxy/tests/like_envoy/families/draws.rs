//! Cases whose requests are all alike and draw what becomes of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::single;
use crate::case::{Answer, Ask, Body, Case};
use crate::dice::Dice;

/// Enough to tell a third from a quarter, nearly always.
const REQUESTS: usize = 400;

/// Draws of routes and of clusters.
pub(crate) fn case(seed: u64, dice: &mut Dice) -> Case {
    let clusters = vec![
        single("one", 0, dice),
        single("two", 1, dice),
        single("three", 2, dice),
    ];
    let mut routes: Vec<Value> = (0..dice.below(4))
        .map(|number| {
            let numerator = dice.pick(&[10, 25, 40, 50, 75]);
            json!({
                "match": {
                    "prefix": "/",
                    "runtime_fraction": {"default_value": {"numerator": numerator}},
                },
                "direct_response": {"status": 210 + number},
            })
        })
        .collect();
    let parts: Vec<Value> = ["@one", "@two", "@three"]
        .iter()
        .map(|name| {
            let value = format!("to {name}");
            let header = json!([{"header": {"key": "x-drawn", "value": value}}]);
            let weight = dice.pick(&[0, 1, 10, 20, 50]);
            json!({
                "name": name,
                "weight": weight + usize::from(*name == "@one"),
                "request_headers_to_add": header,
                "response_headers_to_add": header,
            })
        })
        .collect();
    routes.push(json!({
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": parts}},
    }));
    let host = json!({"name": "all", "domains": ["*"], "routes": routes});
    let mut manager = Map::new();
    manager.insert("route_config".to_owned(), json!({"virtual_hosts": [host]}));
    let ask = Ask {
        http2: dice.percent(50),
        method: "GET".to_owned(),
        target: "/".to_owned(),
        authority: Some("a.test".to_owned()),
        headers: Vec::new(),
        body: Body::None,
        answers: vec![Answer::status(200)],
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    };
    Case {
        seed,
        manager,
        clusters,
        asks: vec![ask; REQUESTS],
        draws: true,
        counted: false,
    }
}
