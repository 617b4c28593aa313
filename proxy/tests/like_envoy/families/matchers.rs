//! Conditions of routes, on what requests have.

use serde_json::{Map, Value, json};

use super::words::{NAMES, VALUES, map};
use crate::dice::Dice;

const PREFIXES: [&str; 11] = [
    "/", "/a", "/a/", "/ab", "/A", "/a/b", "/b", "//", "/a%2", "/a_", "/%61",
];
const REGEXES: [&str; 10] = [
    "/a.*",
    "/[ab]+",
    "/a/b|/b",
    ".*b",
    "/a(/b)?/?",
    "(?i)/a",
    "/a",
    "/(a|b)/.*",
    "[^%]*",
    "/a%2[Ff]b",
];

/// What a route applies to.
pub(crate) fn route(dice: &mut Dice) -> Value {
    let mut matcher = Map::new();
    let (kind, text) = match dice.below(10) {
        0..5 => ("prefix", json!(dice.pick(&PREFIXES))),
        5..7 => ("path", json!(dice.pick(&super::words::PATHS))),
        7 => (
            "path_separated_prefix",
            json!(dice.pick(&["/a", "/A", "/a/b", "/b", "/ab"])),
        ),
        _ => ("safe_regex", json!({"regex": dice.pick(&REGEXES)})),
    };
    matcher.insert(kind.to_owned(), text);
    if dice.percent(15) {
        matcher.insert("case_sensitive".to_owned(), json!(dice.percent(20)));
    }
    if dice.percent(30) {
        let count = dice.between(1, 2);
        let headers: Vec<Value> = (0..count).map(|_| header(dice)).collect();
        matcher.insert("headers".to_owned(), json!(headers));
    }
    if dice.percent(15) {
        let count = dice.between(1, 2);
        let params: Vec<Value> = (0..count).map(|_| param(dice)).collect();
        matcher.insert("query_parameters".to_owned(), json!(params));
    }
    if dice.percent(4) {
        matcher.insert("grpc".to_owned(), json!({}));
    }
    if dice.percent(6) {
        let share = if dice.percent(50) { 100 } else { 0 };
        let fraction = json!({"default_value": {"numerator": share}});
        matcher.insert("runtime_fraction".to_owned(), fraction);
    }
    Value::from(matcher)
}

/// A condition on a header or pseudo header.
pub(crate) fn header(dice: &mut Dice) -> Value {
    let name = match dice.below(12) {
        0 => ":method",
        1 => ":path",
        2 => ":authority",
        3 => ":scheme",
        4 => "host",
        5 => "X-A",
        _ => dice.pick(&NAMES),
    };
    let value = match name {
        ":method" => dice.pick(&["GET", "POST", "HEAD", "get"]),
        ":path" => dice.pick(&["/a", "/a/b", "/a?q=1", "/"]),
        ":authority" | "host" => dice.pick(&["a.test", "A.Test", "a.test:8080", "b.test"]),
        ":scheme" => dice.pick(&["http", "https"]),
        "content-type" => dice.pick(&["application/grpc", "application/grpc+proto", "text/plain"]),
        _ => dice.pick(&VALUES),
    };
    let mut matcher = map(json!({"name": name}));
    let (key, condition) = match dice.below(10) {
        0 => ("present_match", json!(dice.percent(50))),
        1 => {
            let start = dice.pick(&[-10, 0, 1, 7]);
            let end = start + dice.pick(&[1, 2, 10, 100]);
            ("range_match", json!({"start": start, "end": end}))
        }
        2 => ("exact_match", json!(value)),
        3 => ("safe_regex_match", json!({"regex": regex(value, dice)})),
        4 => return Value::from(unvalued(matcher, dice)),
        _ => ("string_match", text(value, dice)),
    };
    // an old matcher of nothing is none
    if key == "exact_match" && value.is_empty() {
        return Value::from(unvalued(matcher, dice));
    }
    matcher.insert(key.to_owned(), condition);
    Value::from(unvalued(matcher, dice))
}

fn unvalued(mut matcher: Map<String, Value>, dice: &mut Dice) -> Map<String, Value> {
    if dice.percent(25) {
        matcher.insert("invert_match".to_owned(), json!(true));
    }
    if dice.percent(10) {
        matcher.insert("treat_missing_header_as_empty".to_owned(), json!(true));
    }
    matcher
}

fn regex(value: &str, dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => ".*".to_owned(),
        1 => "[0-9]+".to_owned(),
        2 => format!("{value}.*"),
        3 => "a|b|ab".to_owned(),
        _ => "[a-z]*".to_owned(),
    }
}

/// A `StringMatcher`.
fn text(value: &str, dice: &mut Dice) -> Value {
    let half = &value[..value.len().div_ceil(2)];
    let mut matcher = match dice.below(5) {
        1 if !half.is_empty() => json!({"prefix": half}),
        2 if !half.is_empty() => json!({"suffix": &value[value.len() / 2..]}),
        3 if !half.is_empty() => json!({"contains": half}),
        4 => return json!({"safe_regex": {"regex": regex(value, dice)}}),
        _ => json!({"exact": value}),
    };
    if dice.percent(25) {
        matcher["ignore_case"] = json!(true);
    }
    matcher
}

fn param(dice: &mut Dice) -> Value {
    let name = dice.pick(&["q", "p", "Q", "x"]);
    let value = dice.pick(&["1", "2", "ab", "", "a?b", "1=2", "1%20"]);
    match dice.below(6) {
        0 => json!({"name": name, "present_match": true}),
        1 => json!({"name": name, "present_match": false}),
        2 => json!({"name": name}),
        _ => json!({"name": name, "string_match": text(value, dice)}),
    }
}
