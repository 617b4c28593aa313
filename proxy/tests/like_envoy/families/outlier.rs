//! Which endpoints are taken out for what they did.

use std::time::Duration;

use serde_json::{Value, json};

use super::words::map;
use crate::bootstrap::http2_options;
use crate::case::{Answer, Ask, Backend, Body, Case, Deed, Host, Order, Response};
use crate::dice::Dice;

/// As often as every number of endpoints up to four goes round.
const ROUND: usize = 12;

/// Time for an ejection to be known.
///
/// Source: Envoy v3 `CommonLbConfig.update_merge_window`: of several changes of a cluster's health within a second the first is known
/// at once.
const SETTLED: Duration = Duration::from_millis(2300);

/// A case of ejections: requests that bring them about, and requests that show where the others go.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x6f75_746c);
    let dice = &mut dice;
    let mut fields = map(json!({
        "outlier_detection": detection(dice),
        "common_lb_config": {"healthy_panic_threshold": {"value": dice.pick(&[0, 0, 50])}},
    }));
    let http2 = dice.percent(40);
    if http2 {
        let key = "typed_extension_protocol_options";
        fields.insert(key.to_owned(), http2_options());
    }
    let count = dice.between(1, 4);
    let bad = dice.between(1, count);
    // all that fail fail alike, since where a rotation begins decides which go out first
    let failing = failing(dice);
    let mut hosts = vec![failing; bad];
    hosts.resize(count, Host::default());
    let action = json!({"cluster": "@up", "timeout": "0.25s"});
    let route = json!({"match": {"prefix": "/"}, "route": action});
    let host = json!({"name": "all", "domains": ["*"], "routes": [route]});
    let warm = ROUND * dice.between(1, 5);
    let grpc = dice.percent(20);
    let asks = (0..warm + ROUND).map(|number| Ask {
        // ejections come when they come
        pause: if number == warm {
            SETTLED
        } else {
            Duration::ZERO
        },
        ..ask(number < warm, grpc)
    });
    Case {
        seed,
        manager: map(json!({"route_config": {"virtual_hosts": [host]}})),
        asks: asks.collect(),
        clusters: vec![Backend {
            name: "up",
            slot: 0,
            fields,
            hosts,
            order: Order::Drawn,
            copies: false,
        }],
        draws: false,
        counted: true,
    }
}

fn detection(dice: &mut Dice) -> Value {
    // no sweep comes in the time of a case
    let mut detection = map(json!({"interval": "60s", "base_ejection_time": "60s"}));
    for (name, share) in [
        ("consecutive_5xx", 60),
        ("consecutive_gateway_failure", 40),
        ("consecutive_local_origin_failure", 40),
    ] {
        if dice.percent(share) {
            detection.insert(name.to_owned(), json!(dice.between(1, 5)));
        }
    }
    for (name, share) in [
        ("enforcing_consecutive_5xx", 25),
        ("enforcing_consecutive_gateway_failure", 60),
        ("enforcing_consecutive_local_origin_failure", 25),
    ] {
        if dice.percent(share) {
            detection.insert(name.to_owned(), json!(dice.pick(&[0, 100, 100])));
        }
    }
    if dice.percent(70) {
        let most = dice.pick(&[0, 25, 34, 50, 100, 100]);
        detection.insert("max_ejection_percent".to_owned(), json!(most));
    }
    if dice.percent(30) {
        let any = dice.percent(70);
        detection.insert("always_eject_one_host".to_owned(), json!(any));
    }
    if dice.percent(50) {
        let key = "split_external_local_origin_errors";
        detection.insert(key.to_owned(), json!(true));
    }
    Value::from(detection)
}

fn failing(dice: &mut Dice) -> Host {
    let answer = match dice.below(8) {
        0 => {
            return Host {
                refuses: true,
                ..Host::default()
            };
        }
        1 => Answer {
            after: Duration::ZERO,
            deed: Deed::Reset(0),
        },
        2 => {
            let mut response = Response::status(200);
            let status = dice.pick(&["13", "14", "5", "4"]);
            response
                .headers
                .push(("grpc-status".to_owned(), status.to_owned()));
            response.body = Body::None;
            Answer::of(response)
        }
        3 => Answer::status(dice.pick(&[404, 429])),
        _ => Answer::status(dice.pick(&[500, 502, 503, 504])),
    };
    Host {
        does: Some(answer),
        ..Host::default()
    }
}

fn ask(warm: bool, grpc: bool) -> Ask {
    let mut headers = Vec::new();
    if grpc {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    Ask {
        http2: false,
        method: "GET".to_owned(),
        target: "/".to_owned(),
        authority: Some("a.test".to_owned()),
        headers,
        body: Body::None,
        answers: vec![Answer::status(200)],
        pause: Duration::ZERO,
        beside: false,
        aside: warm,
        stall: Duration::ZERO,
        carried: None,
    }
}
