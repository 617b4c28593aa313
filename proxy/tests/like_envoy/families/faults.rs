//! Delays and aborts that the fault filter makes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::{map, single};
use crate::case::{Answer, Ask, Body, Case};
use crate::dice::Dice;

const FAULT: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const NAME: &str = "envoy.filters.http.fault";

/// A case of faults.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x6661_756c);
    let dice = &mut dice;
    let draws = dice.percent(10);
    let mut filter = json!({"name": NAME, "typed_config": fault(draws, dice)});
    if !draws && dice.percent(20) {
        filter["typed_config"] = json!({"@type": FAULT});
    }
    let mut routes = vec![json!({"match": {"prefix": "/"}, "route": {"cluster": "@up"}})];
    if !draws {
        let of_route = json!({
            "match": {"prefix": "/own"},
            "route": {"cluster": "@up"},
            "typed_per_filter_config": {NAME: fault(false, dice)},
            "response_headers_to_add": [{"header": {"key": "x-route", "value": "own"}}],
        });
        routes.insert(0, of_route);
        let direct = json!({"match": {"prefix": "/direct"}, "direct_response": {"status": 204}});
        routes.insert(0, direct);
    }
    let host = json!({"name": "all", "domains": ["*"], "routes": routes});
    let manager = map(json!({
        "http_filters": [filter],
        "route_config": {"virtual_hosts": [host]},
    }));
    let asks = if draws {
        vec![ask(true, dice); 300]
    } else {
        (0..8).map(|_| ask(false, dice)).collect()
    };
    Case {
        seed,
        manager,
        clusters: vec![single("up", 0, dice)],
        asks,
        draws,
        counted: false,
    }
}

fn percentage(draws: bool, dice: &mut Dice) -> Value {
    if draws {
        return match dice.below(3) {
            0 => json!({"numerator": dice.pick(&[10, 30, 60])}),
            1 => json!({"numerator": dice.pick(&[1500, 4000]), "denominator": "TEN_THOUSAND"}),
            _ => json!({"numerator": 250_000, "denominator": "MILLION"}),
        };
    }
    json!({"numerator": dice.pick(&[100, 100, 100, 0])})
}

fn fault(draws: bool, dice: &mut Dice) -> Value {
    let mut fault = map(json!({"@type": FAULT}));
    if dice.percent(if draws { 30 } else { 50 }) {
        let mut delay = Map::new();
        if draws || dice.percent(60) {
            let length = if draws { "0.001s" } else { "0.1s" };
            delay.insert("fixed_delay".to_owned(), json!(length));
        } else {
            delay.insert("header_delay".to_owned(), json!({}));
        }
        delay.insert("percentage".to_owned(), percentage(draws, dice));
        fault.insert("delay".to_owned(), Value::from(delay));
    }
    if draws || dice.percent(70) {
        let mut abort = Map::new();
        match dice.below(if draws { 2 } else { 3 }) {
            0 => abort.insert(
                "http_status".to_owned(),
                json!(dice.pick(&[503, 429, 200, 404])),
            ),
            1 => abort.insert("grpc_status".to_owned(), json!(dice.pick(&[0, 5, 14]))),
            _ => abort.insert("header_abort".to_owned(), json!({})),
        };
        abort.insert("percentage".to_owned(), percentage(draws, dice));
        fault.insert("abort".to_owned(), Value::from(abort));
    }
    if !draws && dice.percent(25) {
        let condition = json!({"name": "x-a", "string_match": {"exact": "1"}});
        fault.insert("headers".to_owned(), json!([condition]));
    }
    if !draws && dice.percent(15) {
        fault.insert("max_active_faults".to_owned(), json!(dice.below(2)));
    }
    Value::from(fault)
}

const CONTROLS: [(&str, &[&str]); 5] = [
    ("x-envoy-fault-delay-request", &["100", "0", "x"]),
    ("x-envoy-fault-delay-request-percentage", &["100", "0"]),
    (
        "x-envoy-fault-abort-request",
        &["503", "418", "199", "600", "x"],
    ),
    ("x-envoy-fault-abort-grpc-request", &["5", "14", "99"]),
    ("x-envoy-fault-abort-request-percentage", &["100", "0", "x"]),
];

fn ask(draws: bool, dice: &mut Dice) -> Ask {
    let mut headers: Vec<(String, String)> = Vec::new();
    if !draws {
        if dice.percent(50) {
            headers.push(("x-a".to_owned(), "1".to_owned()));
        }
        for (name, values) in CONTROLS {
            if dice.percent(25) {
                headers.push((name.to_owned(), dice.pick(values).to_owned()));
            }
        }
    }
    if dice.percent(20) {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    let target = dice.pick(&["/", "/own", "/own", "/direct"]);
    let method = dice.pick(&["GET", "GET", "POST"]);
    Ask {
        http2: dice.percent(50),
        method: method.to_owned(),
        target: if draws { "/" } else { target }.to_owned(),
        authority: Some("a.test".to_owned()),
        headers,
        body: if method == "POST" {
            Body::Sized(100)
        } else {
            Body::None
        },
        answers: vec![Answer::status(200)],
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}
