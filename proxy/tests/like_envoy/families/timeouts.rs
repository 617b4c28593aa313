//! Which timer of a request runs out first, and what its client is told then.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::map;
use crate::bootstrap::http2_options;
use crate::case::{Answer, Ask, Backend, Body, Case, Deed, Host, Order, Response};
use crate::dice::Dice;

/// Timers of each kind, and the silences of upstreams and clients: whatever is added up, no two of them end within 100 ms.
const ROUTE: [&str; 2] = ["0.7s", "0s"];
const TRY: &str = "0.3s";
const TRY_IDLE: &str = "0.4s";
/// Silence, or the length of a stream: a case has one of them.
const STREAM: [&str; 3] = ["1s", "1s", "0s"];
const REQUEST: &str = "0.45s";
const SILENCES: [u64; 3] = [0, 150, 1500];

/// A case of timers.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x7469_6d65);
    let dice = &mut dice;
    let mut action = map(json!({"cluster": "@up"}));
    let mut manager = Map::new();
    let idles = dice.percent(50);
    if idles && dice.percent(50) {
        let idle = dice.pick(&STREAM);
        manager.insert("stream_idle_timeout".to_owned(), json!(idle));
    }
    if !idles && dice.percent(40) {
        let longest = json!({"max_stream_duration": dice.pick(&STREAM)});
        manager.insert("common_http_protocol_options".to_owned(), longest);
    }
    if dice.percent(15) {
        manager.insert("request_timeout".to_owned(), json!(REQUEST));
    }
    timers(idles, &mut action, dice);
    let controlled = dice.percent(50);
    if controlled {
        // clients of one's own have a say
        let own = json!({"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]});
        manager.insert("internal_address_config".to_owned(), own);
    }
    let mut route = json!({"match": {"prefix": "/"}, "route": action});
    if dice.percent(20) {
        let edit = json!([{"header": {"key": "x-route", "value": "here"}}]);
        route["response_headers_to_add"] = edit;
    }
    let host = json!({"name": "all", "domains": ["*"], "routes": [route]});
    manager.insert("route_config".to_owned(), json!({"virtual_hosts": [host]}));
    let asks = (0..8).map(|_| ask(controlled, dice)).collect();
    Case {
        seed,
        manager,
        clusters: vec![cluster(dice)],
        asks,
        draws: false,
        counted: false,
    }
}

fn timers(idles: bool, action: &mut Map<String, Value>, dice: &mut Dice) {
    if dice.percent(60) {
        action.insert("timeout".to_owned(), json!(dice.pick(&ROUTE)));
    }
    if idles && dice.percent(50) {
        action.insert("idle_timeout".to_owned(), json!(dice.pick(&STREAM)));
    }
    if !idles && dice.percent(30) {
        let mut longest = map(json!({}));
        if dice.percent(70) {
            longest.insert("max_stream_duration".to_owned(), json!(dice.pick(&STREAM)));
        }
        action.insert("max_stream_duration".to_owned(), Value::from(longest));
    }
    if dice.percent(50) {
        let mut policy = json!({
            "retry_on": dice.pick(&["5xx", "connect-failure", "reset"]),
            "num_retries": dice.below(2),
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
        });
        match dice.below(3) {
            0 => policy["per_try_timeout"] = json!(TRY),
            1 => policy["per_try_idle_timeout"] = json!(TRY_IDLE),
            _ => {}
        }
        action.insert("retry_policy".to_owned(), policy);
    }
}

fn cluster(dice: &mut Dice) -> Backend {
    // as many retries as there may be
    let limits = json!({"thresholds": [{"max_retries": 100}]});
    let mut fields = map(json!({"circuit_breakers": limits}));
    if dice.percent(45) {
        let key = "typed_extension_protocol_options";
        fields.insert(key.to_owned(), http2_options());
    }
    Backend {
        name: "up",
        slot: 0,
        fields,
        hosts: vec![Host::default()],
        order: Order::Fixed,
        copies: false,
    }
}

const CONTROLS: [(&str, &[&str]); 4] = [
    ("x-envoy-upstream-rq-timeout-ms", &["700", "0"]),
    ("x-envoy-upstream-rq-per-try-timeout-ms", &["300"]),
    ("x-envoy-upstream-rq-timeout-alt-response", &["1"]),
    ("x-envoy-expected-rq-timeout-ms", &["300"]),
];

fn ask(controlled: bool, dice: &mut Dice) -> Ask {
    let mut headers: Vec<(String, String)> = Vec::new();
    if dice.percent(20) {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
        if dice.percent(50) {
            headers.push(("grpc-timeout".to_owned(), "700m".to_owned()));
        }
    }
    if controlled {
        headers.push(("x-forwarded-for".to_owned(), "10.0.0.1".to_owned()));
        for (name, values) in CONTROLS {
            if dice.percent(20) {
                headers.push((name.to_owned(), dice.pick(values).to_owned()));
            }
        }
    }
    let slow = dice.percent(30);
    Ask {
        http2: dice.percent(50),
        method: if slow { "POST" } else { "GET" }.to_owned(),
        target: "/".to_owned(),
        authority: Some("a.test".to_owned()),
        headers,
        body: if slow { Body::Sized(100) } else { Body::None },
        answers: (0..dice.between(1, 3)).map(|_| answer(dice)).collect(),
        pause: Duration::from_millis(10),
        beside: true,
        aside: false,
        stall: if slow && dice.percent(70) {
            Duration::from_millis(dice.pick(&SILENCES))
        } else {
            Duration::ZERO
        },
        carried: None,
    }
}

fn answer(dice: &mut Dice) -> Answer {
    let after = Duration::from_millis(dice.pick(&SILENCES));
    let mut response = Response::status(dice.pick(&[200, 200, 503]));
    match dice.below(8) {
        0 => {
            let deed = Deed::Reset(dice.pick(&[0, 2]));
            return Answer { after, deed };
        }
        1..4 => {
            response.body = dice.pick(&[Body::Chunked(100), Body::Sized(100)]);
            response.pause = Duration::from_millis(dice.pick(&SILENCES));
        }
        _ => {}
    }
    Answer {
        after,
        deed: Deed::Respond(response),
    }
}
