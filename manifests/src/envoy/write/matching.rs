//! When a route applies.

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, pattern, regex, runtime_fraction, string_match};

/// Writes a route's match; none where Envoy has no such condition: the route is left out.
pub(super) fn route(matches: &RouteMatch, cx: &mut Cx<'_>) -> Option<Value> {
    let mut message = Message::default();
    path(&matches.path, &mut message);
    if matches.ignore_case {
        message.set("case_sensitive", false);
    }
    let mut conditions = Vec::new();
    conditions.extend(methods(&matches.methods));
    let own = headers(&matches.headers);
    let params: Option<Vec<Value>> = matches.params.iter().map(param).collect();
    let (Some(own), Some(params)) = (own, params) else {
        cx.departs("the route is left out: Envoy has no such condition");
        return None;
    };
    conditions.extend(own);
    message.list("headers", conditions);
    message.list("query_parameters", params);
    if matches.grpc {
        message.set("grpc", json!({}));
    }
    message.maybe("runtime_fraction", matches.fraction.map(runtime_fraction));
    Some(message.into())
}

fn path(path: &PathMatch, message: &mut Message) {
    match path {
        PathMatch::Exact(text) => message.set("path", &**text),
        PathMatch::Prefix(text) => message.set("prefix", &**text),
        // every path begins with it
        PathMatch::Segments(text) if text.is_empty() => message.set("prefix", "/"),
        PathMatch::Segments(text) if text.starts_with('/') && !text.contains(['?', '#']) => {
            message.set("path_separated_prefix", &**text);
        }
        PathMatch::Segments(text) => {
            let pattern = format!("{}(?s:/.*)?", regex::escape(text));
            message.set("safe_regex", regex(&pattern));
        }
        PathMatch::Regex(compiled) => message.set("safe_regex", regex(pattern(compiled))),
        PathMatch::Connect => message.set("connect_matcher", json!({})),
        PathMatch::RegexStart(compiled) => {
            let pattern = format!("(?:{})(?s:.*)", pattern(compiled));
            message.set("safe_regex", regex(&pattern));
        }
    }
}

fn methods(methods: &[Box<str>]) -> Option<Value> {
    let matcher = match methods {
        [] => return None,
        [one] => json!({"exact": &**one}),
        several => {
            let escaped: Vec<String> = several.iter().map(|each| regex::escape(each)).collect();
            json!({"safe_regex": regex(&escaped.join("|"))})
        }
    };
    Some(json!({"name": ":method", "string_match": matcher}))
}

/// Writes conditions on headers; none where Envoy has not got one of them.
pub(super) fn headers(conditions: &[HeaderMatch]) -> Option<Vec<Value>> {
    let all: Option<Vec<Vec<Value>>> = conditions.iter().map(header).collect();
    Some(all?.concat())
}

/// One condition, which may take two of Envoy's.
fn header(condition: &HeaderMatch) -> Option<Vec<Value>> {
    let is_ours =
        [":hostname", ":pathname", ":http", ":https", ":client"].contains(&&*condition.name);
    if is_ours {
        return None;
    }
    let mut message = Message::default();
    message.set("name", &*condition.name);
    match &condition.value {
        TextMatch::Present => message.set("present_match", true),
        TextMatch::Address(_) => return None,
        TextMatch::Range(start, end) => {
            message.set("range_match", json!({"start": start, "end": end}));
        }
        text @ (TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)) => {
            message.maybe("string_match", string_match(text, condition.ignore_case));
        }
    }
    message.flag("invert_match", condition.invert);
    let is_presence = matches!(condition.value, TextMatch::Present);
    let as_empty = match condition.absent {
        Absent::Empty => true,
        Absent::Refused if is_presence && condition.invert => {
            // neither there nor absent
            let there = json!({"name": &*condition.name, "present_match": true});
            return Some(vec![message.into(), there]);
        }
        // Envoy: an absent header has no value that could be another
        Absent::Refused => false,
        Absent::Unequal if is_presence || !condition.invert => false,
        Absent::Unequal if condition.value.matches("") => return None,
        Absent::Unequal => true,
    };
    message.flag("treat_missing_header_as_empty", as_empty);
    Some(vec![message.into()])
}

fn param(condition: &ParamMatch) -> Option<Value> {
    let mut message = Message::default();
    message.set("name", &*condition.name);
    match &condition.value {
        TextMatch::Present => message.set("present_match", !condition.invert),
        // Envoy turns only the presence of a parameter round
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_) => {
            if condition.invert {
                return None;
            }
            message.set("string_match", string_match(&condition.value, false)?);
        }
    }
    Some(message.into())
}
