//! Upgrades and CONNECT: who lets them pass, and what becomes of those that pass and of those that do not.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::{map, single};
use crate::case::{Answer, Ask, Backend, Body, Carried, Case, Deed, Host, Response};
use crate::dice::Dice;

/// What is allowed or not.
const KINDS: [&str; 4] = ["websocket", "WebSocket", "foo", "CONNECT"];

/// A case of upgrades.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed ^ 0x7570_6772);
    let dice = &mut dice;
    let mut manager = map(json!({"route_config": {"virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": routes(dice)},
    ]}}));
    if dice.percent(70) {
        manager.insert("upgrade_configs".to_owned(), upgrades(false, dice));
    }
    if dice.percent(20) {
        manager.insert("use_remote_address".to_owned(), json!(true));
    }
    let dead = Backend {
        hosts: vec![Host {
            refuses: true,
            ..Host::default()
        }],
        ..single("dead", 1, dice)
    };
    Case {
        seed,
        manager,
        clusters: vec![single_http1(dice), dead],
        asks: (0..8).map(|_| ask(dice)).collect(),
        draws: false,
        counted: false,
    }
}

/// Upstreams speak HTTP/1.1: what asks over HTTP/2 is asked by proxies.
fn single_http1(dice: &mut Dice) -> Backend {
    let mut up = single("up", 0, dice);
    up.fields.remove("typed_extension_protocol_options");
    up
}

/// Names once each, whatever their case; `of_route`: a CONNECT may end there.
fn upgrades(of_route: bool, dice: &mut Dice) -> Value {
    let mut kinds = dice.some(&KINDS, 3);
    kinds.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    let configs = kinds.into_iter().map(|kind| {
        let mut config = json!({"upgrade_type": kind});
        if dice.percent(40) {
            config["enabled"] = json!(dice.percent(60));
        }
        if of_route && kind == "CONNECT" && dice.percent(50) {
            config["connect_config"] = json!({});
        }
        config
    });
    Value::from(configs.collect::<Vec<_>>())
}

fn routes(dice: &mut Dice) -> Vec<Value> {
    let mut routes = Vec::new();
    if dice.percent(70) {
        routes.push(json!({"match": {"connect_matcher": {}}, "route": action(true, dice)}));
    }
    let direct = json!({"status": 200, "body": {"inline_string": "direct"}});
    let mut direct = json!({"match": {"prefix": "/direct"}, "direct_response": direct});
    if dice.percent(50) {
        let added = json!([{"header": {"key": "x-added", "value": "direct"}}]);
        direct["response_headers_to_add"] = added;
    }
    routes.push(direct);
    routes.push(json!({"match": {"prefix": "/away"}, "redirect": {"host_redirect": "b.test"}}));
    routes.push(json!({"match": {"prefix": "/dead"}, "route": {"cluster": "@dead"}}));
    if dice.percent(30) {
        let condition = json!({"name": "upgrade", "string_match": {"exact": "foo"}});
        routes.push(json!({
            "match": {"prefix": "/", "headers": [condition]},
            "route": action(false, dice),
        }));
    }
    let mut own = json!({"match": {"prefix": "/own"}, "route": action(false, dice)});
    if dice.percent(50) {
        let added = json!([{"header": {"key": "x-added", "value": "here"}}]);
        own["request_headers_to_add"] = added.clone();
        own["response_headers_to_add"] = added;
    }
    routes.push(own);
    if dice.percent(90) {
        routes.push(json!({"match": {"prefix": "/"}, "route": {"cluster": "@up"}}));
    }
    routes
}

fn action(connect: bool, dice: &mut Dice) -> Value {
    let cluster = if connect && dice.percent(15) {
        "@dead"
    } else {
        "@up"
    };
    let mut action: Map<String, Value> = map(json!({"cluster": cluster}));
    if dice.percent(70) {
        action.insert("upgrade_configs".to_owned(), upgrades(true, dice));
    }
    if dice.percent(30) {
        let policy = json!({
            "retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"},
        });
        action.insert("retry_policy".to_owned(), policy);
    }
    if !connect && dice.percent(20) {
        action.insert("prefix_rewrite".to_owned(), json!("/new"));
    }
    Value::from(action)
}

fn answer(connect: bool, dice: &mut Dice) -> Answer {
    let mut response = Response::status(if connect {
        dice.pick(&[403, 503])
    } else {
        dice.pick(&[200, 302, 404, 503])
    });
    if dice.percent(30) {
        response.headers.push(("x-b".to_owned(), "1".to_owned()));
    }
    if dice.percent(20) {
        response.body = Body::Chunked(40);
    }
    let deed = match dice.below(10) {
        0 => Deed::Reset(0),
        1..4 => Deed::Respond(response),
        _ => {
            response.status = 200;
            Deed::Switch(response)
        }
    };
    Answer {
        after: Duration::ZERO,
        deed,
    }
}

fn ask(dice: &mut Dice) -> Ask {
    let connect = dice.percent(30);
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    let wants = !connect && dice.percent(90);
    if wants {
        let kind = dice.pick(&[
            "websocket",
            "websocket",
            "WebSocket",
            "foo",
            "foo, websocket",
            "h2c",
        ]);
        put("upgrade", kind);
        match dice.below(10) {
            0 => {}
            1 => put("connection", "keep-alive"),
            2 => put("connection", "keep-alive, upgrade"),
            _ => put("connection", "Upgrade"),
        }
    }
    if dice.percent(20) {
        put("te", "trailers");
    }
    let target = dice.pick(&["/", "/", "/own", "/own/x?a=1", "/direct", "/away", "/dead"]);
    Ask {
        http2: false,
        method: if connect { "CONNECT" } else { "GET" }.to_owned(),
        target: if connect { "db.test:5432" } else { target }.to_owned(),
        authority: Some(if connect { "db.test:5432" } else { "a.test" }.to_owned()),
        headers,
        body: Body::None,
        answers: (0..2).map(|_| answer(connect, dice)).collect(),
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: Some(if connect {
            Carried::Request
        } else {
            Carried::Bytes(dice.pick(&[1, 40, 70_000]))
        }),
    }
}
