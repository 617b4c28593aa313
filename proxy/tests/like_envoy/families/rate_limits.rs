//! Requests that a token bucket lets through.

use std::time::Duration;

use serde_json::{Value, json};

use super::words::{map, single};
use crate::case::{Answer, Ask, Body, Case};
use crate::dice::Dice;

const LIMIT: &str =
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
const NAME: &str = "envoy.filters.http.local_ratelimit";

/// A case of rate limits.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x7261_7465);
    let dice = &mut dice;
    let filter = if dice.percent(30) {
        json!({"@type": LIMIT, "stat_prefix": "none"})
    } else {
        limit(dice)
    };
    let mut own = json!({
        "match": {"prefix": "/own"},
        "route": {"cluster": "@up"},
        "typed_per_filter_config": {NAME: limit(dice)},
    });
    if dice.percent(20) {
        let edit = json!([{"header": {"key": "x-route", "value": "own"}}]);
        own["response_headers_to_add"] = edit;
    }
    let routes = json!([
        own,
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/"}, "route": {"cluster": "@up"}},
    ]);
    let host = json!({"name": "all", "domains": ["*"], "routes": routes});
    let manager = map(json!({
        "http_filters": [{"name": NAME, "typed_config": filter}],
        "route_config": {"virtual_hosts": [host]},
    }));
    Case {
        seed,
        manager,
        clusters: vec![single("up", 0, dice)],
        asks: (0..10).map(|_| ask(dice)).collect(),
        draws: false,
        counted: false,
    }
}

fn limit(dice: &mut Dice) -> Value {
    // no token comes in the time of a case
    let mut bucket = json!({"max_tokens": dice.between(1, 5), "fill_interval": "600s"});
    if dice.percent(50) {
        bucket["tokens_per_fill"] = json!(dice.between(1, 5));
    }
    let mut limit = json!({"@type": LIMIT, "stat_prefix": "limit", "token_bucket": bucket});
    for field in ["filter_enabled", "filter_enforced"] {
        if dice.percent(90) {
            let share = dice.pick(&[100, 100, 100, 100, 0]);
            limit[field] = json!({"default_value": {"numerator": share}});
        }
    }
    if dice.percent(30) {
        let code = dice.pick(&[
            "TooManyRequests",
            "ServiceUnavailable",
            "Forbidden",
            "OK",
            "NotFound",
        ]);
        limit["status"] = json!({"code": code});
    }
    limit
}

fn ask(dice: &mut Dice) -> Ask {
    let mut headers: Vec<(String, String)> = Vec::new();
    if dice.percent(20) {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    let method = dice.pick(&["GET", "GET", "POST", "HEAD"]);
    Ask {
        http2: dice.percent(50),
        method: method.to_owned(),
        target: dice.pick(&["/", "/", "/own", "/own", "/direct"]).to_owned(),
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
