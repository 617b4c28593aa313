//! Which route takes a request, where it goes, and what becomes of its head and of that of the answer.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::{DOMAINS, HOSTS, METHODS, NAMES, PATHS, QUERIES, VALUES, map, single};
use super::{draws, endpoints, matchers};
use crate::case::{Answer, Ask, Backend, Body, Case, Response};
use crate::dice::Dice;

const CLUSTERS: [&str; 3] = ["@one", "@two", "@three"];

/// A case of routes.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let dice = &mut dice;
    if dice.percent(5) {
        return draws::case(seed, dice);
    }
    let mut clusters = vec![
        single("one", 0, dice),
        single("two", 1, dice),
        single("three", 2, dice),
    ];
    clusters.push(Backend {
        copies: true,
        ..single("copies", 3, dice)
    });
    clusters.push(endpoints::hashing("hashing", 4, dice));
    clusters.push(endpoints::subsets("subsets", 5, dice));
    let mut manager = Map::new();
    manager.insert("route_config".to_owned(), table(dice));
    let asks = (0..dice.between(10, 14)).map(|_| ask(dice)).collect();
    Case {
        seed,
        manager,
        clusters,
        asks,
        draws: false,
        counted: false,
    }
}

fn table(dice: &mut Dice) -> Value {
    let mut hosts = Vec::new();
    let mut domains = dice.some(&DOMAINS, 6);
    domains.push("*");
    let count = dice.between(1, 3).min(domains.len());
    let each = domains.len().div_ceil(count);
    for (number, domains) in domains.chunks(each).enumerate() {
        hosts.push(virtual_host(number, domains, dice));
    }
    let mut table = map(json!({"virtual_hosts": hosts, "validate_clusters": false}));
    edits(&mut table, 15, dice);
    if dice.percent(30) {
        table.insert(
            "most_specific_header_mutations_wins".to_owned(),
            json!(true),
        );
    }
    if dice.percent(15) {
        table.insert("ignore_port_in_host_matching".to_owned(), json!(true));
    }
    Value::from(table)
}

fn virtual_host(number: usize, domains: &[&str], dice: &mut Dice) -> Value {
    let mut routes: Vec<Value> = (0..dice.between(1, 5)).map(|_| route(dice)).collect();
    if dice.percent(60) {
        let last = json!({"match": {"prefix": "/"}, "route": {"cluster": "@three"}});
        routes.push(last);
    }
    let mut host = map(json!({
        "name": format!("host{number}"),
        "domains": domains,
        "routes": routes,
    }));
    edits(&mut host, 20, dice);
    if dice.percent(20) {
        host.insert("include_request_attempt_count".to_owned(), json!(true));
    }
    if dice.percent(5) {
        host.insert("request_mirror_policies".to_owned(), mirrors(dice));
    }
    Value::from(host)
}

fn route(dice: &mut Dice) -> Value {
    let matches = matchers::route(dice);
    let action = match dice.below(10) {
        0 => ("redirect", redirect(dice)),
        1 => ("direct_response", direct(dice)),
        _ => ("route", forward(&matches, dice)),
    };
    let mut route = map(json!({"match": matches}));
    route.insert(action.0.to_owned(), action.1);
    edits(&mut route, 30, dice);
    Value::from(route)
}

fn redirect(dice: &mut Dice) -> Value {
    let mut to = Map::new();
    match dice.below(5) {
        0 => {
            to.insert("https_redirect".to_owned(), json!(true));
        }
        1 => {
            let scheme = dice.pick(&["https", "http", "HTTPS"]);
            to.insert("scheme_redirect".to_owned(), json!(scheme));
        }
        _ => {}
    }
    if dice.percent(40) {
        let host = dice.pick(&["new.test", "new.test:81", "[::2]"]);
        to.insert("host_redirect".to_owned(), json!(host));
    }
    if dice.percent(30) {
        let port = dice.pick(&[80, 443, 8443]);
        to.insert("port_redirect".to_owned(), json!(port));
    }
    match dice.below(5) {
        0 => {
            let path = dice.pick(&["/new", "/new?n=1", "/"]);
            to.insert("path_redirect".to_owned(), json!(path));
        }
        1 => {
            let prefix = dice.pick(&["/new", "/new/", "/", "/n?m=1"]);
            to.insert("prefix_rewrite".to_owned(), json!(prefix));
        }
        2 => {
            to.insert("regex_rewrite".to_owned(), substitution(dice));
        }
        _ => {}
    }
    if dice.percent(25) {
        to.insert("strip_query".to_owned(), json!(true));
    }
    if dice.percent(50) {
        let code = dice.pick(&[
            "FOUND",
            "SEE_OTHER",
            "TEMPORARY_REDIRECT",
            "PERMANENT_REDIRECT",
        ]);
        to.insert("response_code".to_owned(), json!(code));
    }
    Value::from(to)
}

fn substitution(dice: &mut Dice) -> Value {
    let (regex, to) = dice.pick(&[
        ("/a", "/z"),
        ("^/(a|b)", "/\\1\\1"),
        ("/([^/]+)/([^/]+)", "/\\2/\\1"),
        ("b", ""),
        ("[a-z]", "$0-"),
        ("(a)?b", "(\\1)"),
    ]);
    json!({"pattern": {"regex": regex}, "substitution": to})
}

fn direct(dice: &mut Dice) -> Value {
    let status = dice.pick(&[200, 204, 403, 404, 418, 503]);
    if status == 204 || dice.percent(30) {
        return json!({"status": status});
    }
    let body = dice.pick(&["no", "", "a longer text\nof two lines"]);
    json!({"status": status, "body": {"inline_string": body}})
}

fn forward(matches: &Value, dice: &mut Dice) -> Value {
    let mut action = Map::new();
    match dice.below(12) {
        0..3 => {
            action.insert("weighted_clusters".to_owned(), split(dice));
        }
        3 => {
            if dice.percent(70) {
                let status =
                    dice.pick(&["NOT_FOUND", "SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR"]);
                let key = "cluster_not_found_response_code";
                action.insert(key.to_owned(), json!(status));
            }
            action.insert("cluster".to_owned(), json!("@missing"));
        }
        4..6 => {
            action.insert("cluster".to_owned(), json!("@hashing"));
            action.insert("hash_policy".to_owned(), endpoints::hash_policy(dice));
        }
        6 => {
            action.insert("cluster".to_owned(), json!("@subsets"));
            if dice.percent(90) {
                action.insert("metadata_match".to_owned(), endpoints::subset(dice));
            }
        }
        _ => {
            action.insert("cluster".to_owned(), json!(dice.pick(&CLUSTERS)));
        }
    }
    rewrites(matches, &mut action, dice);
    if dice.percent(8) {
        action.insert("request_mirror_policies".to_owned(), mirrors(dice));
    }
    if dice.percent(15) {
        action.insert(
            "timeout".to_owned(),
            json!(dice.pick(&["0s", "3s", "7.5s"])),
        );
    }
    if dice.percent(8) {
        action.insert("priority".to_owned(), json!("HIGH"));
    }
    Value::from(action)
}

fn rewrites(matches: &Value, action: &mut Map<String, Value>, dice: &mut Dice) {
    if matches.get("connect_matcher").is_none() && dice.percent(25) {
        if dice.percent(70) {
            let prefix = dice.pick(&["/new", "/new/", "/", "/n?m=1"]);
            action.insert("prefix_rewrite".to_owned(), json!(prefix));
        } else {
            action.insert("regex_rewrite".to_owned(), substitution(dice));
        }
    }
    let (key, value) = match dice.below(12) {
        0 => ("host_rewrite_literal", json!("new.test")),
        1 => ("auto_host_rewrite", json!(true)),
        2 => ("host_rewrite_header", json!("x-host")),
        _ => return,
    };
    action.insert(key.to_owned(), value);
}

/// All weight is on one, since draws are compared elsewhere.
fn split(dice: &mut Dice) -> Value {
    let taken = dice.below(3);
    let clusters: Vec<Value> = (0..3)
        .map(|number| {
            let weight = if number == taken { 100 } else { 0 };
            let mut each = map(json!({"name": CLUSTERS[number], "weight": weight}));
            edits(&mut each, 40, dice);
            Value::from(each)
        })
        .collect();
    json!({"clusters": clusters})
}

fn mirrors(dice: &mut Dice) -> Value {
    let mut mirror = json!({"cluster": "@copies"});
    match dice.below(4) {
        0 => mirror["runtime_fraction"] = json!({"default_value": {"numerator": 0}}),
        1 => mirror["runtime_fraction"] = json!({"default_value": {"numerator": 100}}),
        _ => {}
    }
    if dice.percent(30) {
        mirror["disable_shadow_host_suffix_append"] = json!(true);
    }
    json!([mirror])
}

/// Edits of heads, at whichever level has them.
fn edits(level: &mut Map<String, Value>, share: usize, dice: &mut Dice) {
    const EDITED: [&str; 5] = ["x-a", "x-b", "X-A", "x-new", "content-type"];
    for what in ["request", "response"] {
        if dice.percent(share) {
            let options: Vec<Value> = (0..dice.between(1, 3))
                .map(|_| addition(dice.pick(&EDITED), dice))
                .collect();
            level.insert(format!("{what}_headers_to_add"), json!(options));
        }
        if dice.percent(share / 2) {
            let names = dice.some(&["x-a", "x-b", "x_c", "X-New", "content-type"], 2);
            level.insert(format!("{what}_headers_to_remove"), json!(names));
        }
    }
}

fn addition(name: &str, dice: &mut Dice) -> Value {
    let value = dice.pick(&["new", "newer", "", "a%%b", "a,b"]);
    let mut option = json!({"header": {"key": name, "value": value}});
    if dice.percent(75) {
        option["append_action"] = json!(dice.pick(&[
            "APPEND_IF_EXISTS_OR_ADD",
            "ADD_IF_ABSENT",
            "OVERWRITE_IF_EXISTS_OR_ADD",
            "OVERWRITE_IF_EXISTS",
        ]));
    } else if dice.percent(30) {
        option["append"] = json!(dice.percent(50));
    }
    if dice.percent(30) {
        option["keep_empty_value"] = json!(true);
    }
    option
}

fn ask(dice: &mut Dice) -> Ask {
    let http2 = dice.percent(40);
    let method = dice.pick(&METHODS);
    let mut target = format!("{}{}", dice.pick(&PATHS), dice.pick(&QUERIES));
    if http2 {
        target.retain(|c| c.is_ascii());
    }
    let authority = dice.pick(&HOSTS);
    let mut headers = Vec::new();
    for _ in 0..dice.below(4) {
        let name = dice.pick(&NAMES);
        let value = if name == "content-type" {
            dice.pick(&["application/grpc", "application/grpc+proto", "text/plain"])
        } else {
            dice.pick(&VALUES)
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    if dice.percent(15) {
        let cookie = dice.pick(&["user=1", "a=b; user=2", "user=\"3\"", "users=1"]);
        headers.push(("cookie".to_owned(), cookie.to_owned()));
    }
    if dice.percent(20) {
        let host = dice.pick(&["other.test", "other.test:81", ""]);
        headers.push(("x-host".to_owned(), host.to_owned()));
    }
    if !http2 && dice.percent(5) {
        target = format!("http://{}{target}", dice.pick(&HOSTS));
    }
    Ask {
        http2,
        method: method.to_owned(),
        target,
        authority: Some(authority.to_owned()),
        headers,
        body: body(method, dice),
        answers: vec![answer(dice)],
        pause: Duration::ZERO,
        beside: false,
        aside: false,
        stall: Duration::ZERO,
        carried: None,
    }
}

fn body(method: &str, dice: &mut Dice) -> Body {
    if !matches!(method, "POST" | "PUT" | "PATCH") {
        return Body::None;
    }
    match dice.below(4) {
        0 => Body::None,
        1 => Body::Sized(0),
        2 => Body::Sized(dice.pick(&[1, 100, 70_000])),
        _ => Body::Chunked(dice.pick(&[1, 100, 70_000])),
    }
}

fn answer(dice: &mut Dice) -> Answer {
    let status = dice.pick(&[200, 200, 200, 201, 204, 304, 404, 500]);
    let mut response = Response::status(status);
    if status == 204 || status == 304 {
        response.body = Body::None;
    } else {
        match dice.below(4) {
            0 => response.body = Body::None,
            1 => {
                response.body = Body::Chunked(100);
                if dice.percent(20) {
                    let trailer = ("x-end".to_owned(), "1".to_owned());
                    response.trailers.push(trailer);
                }
            }
            _ => {}
        }
    }
    for _ in 0..dice.below(3) {
        let name = dice.pick(&["x-a", "x-b", "content-type", "set-cookie"]);
        let value = match name {
            "content-type" => "text/html",
            _ => dice.pick(&["up", "a=b", "upper"]),
        };
        response.headers.push((name.to_owned(), value.to_owned()));
    }
    Answer::of(response)
}
