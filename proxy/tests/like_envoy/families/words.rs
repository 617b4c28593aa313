//! Few words, so that what is asked often meets what is configured.

use serde_json::{Map, Value, json};

use crate::bootstrap::http2_options;
use crate::case::{Backend, Host, Order};
use crate::dice::Dice;

pub(crate) const HOSTS: [&str; 12] = [
    "a.test",
    "b.test",
    "x.a.test",
    "A.Test",
    "a.test:8080",
    "x.b.test:8080",
    "a.test.",
    "a.org",
    "test",
    "-b.test",
    "127.0.0.1:80",
    "[::1]:80",
];

pub(crate) const DOMAINS: [&str; 14] = [
    "a.test",
    "b.test",
    "x.a.test",
    "*.test",
    "*.a.test",
    "*-b.test",
    "a.*",
    "x.*",
    "a.test:8080",
    "a.test:*",
    "*:8080",
    "127.0.0.1",
    "[::1]",
    "test",
];

pub(crate) const PATHS: [&str; 25] = [
    "/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/ab/c", "/A", "/A/b", "//a", "/a//b", "/a/../b",
    "/a/./b", "/a%2Fb", "/a%2fb", "/%61", "/a%20b", "/a_b", "/a.b", "/a;p=1", "/a:b", "/b", "/b/a",
    "/a+b", "/a~b",
];

pub(crate) const QUERIES: [&str; 16] = [
    "",
    "",
    "",
    "?",
    "?q=1",
    "?q=2",
    "?q",
    "?q=",
    "?q=1&q=2",
    "?p=1&q=ab",
    "?Q=1",
    "?q=1%20",
    "?q=a?b",
    "?x&q=1",
    "?q=1=2",
    "?&q=1&",
];

pub(crate) const NAMES: [&str; 4] = ["x-a", "x-b", "x_c", "content-type"];

pub(crate) const VALUES: [&str; 14] = [
    "1", "2", "10", "-5", "007", "a", "ab", "AB", "abc", "a,b", "", "1.5", "b", "a b",
];

pub(crate) const METHODS: [&str; 10] = [
    "GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE",
];

pub(crate) fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("no object: {value}");
    };
    map
}

/// A cluster with one endpoint.
pub(crate) fn single(name: &'static str, slot: u8, dice: &mut Dice) -> Backend {
    let mut fields = Map::new();
    if dice.percent(40) {
        fields.insert(
            "typed_extension_protocol_options".to_owned(),
            http2_options(),
        );
    }
    let mut host = Host::default();
    if dice.percent(30) {
        host.fields.insert("hostname".to_owned(), json!("up.test"));
    }
    Backend {
        name,
        slot,
        fields,
        hosts: vec![host],
        order: Order::Fixed,
        copies: false,
    }
}
