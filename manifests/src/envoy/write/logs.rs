//! What an Envoy writes down of requests and tries, as JSON, a line each.

use serde_json::{Value, json};

use super::Logs;
use super::message::{Message, extension};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";

/// What both logs say: when it began and when it was over (seconds of the wall clock), how it ended, and to whom it went.
///
/// Of a try Envoy knows no number: tries of one request have its `id`, and come in the order of `began`.
const SAID: [(&str, &str); 8] = [
    ("began", "%START_TIME(%s.%9f)%"),
    ("ended", "%EMIT_TIME(%s.%9f)%"),
    ("id", "%REQ(X-REQUEST-ID)%"),
    ("status", "%RESPONSE_CODE%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("route", "%ROUTE_NAME%"),
    ("cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("endpoint", "%UPSTREAM_HOST%"),
];
/// What only whole requests say.
const OF_REQUESTS: [(&str, &str); 2] = [
    ("tries", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
];

fn log(path: &str, fields: impl Iterator<Item = (&'static str, &'static str)>) -> Value {
    let mut format = Message::default();
    fields.for_each(|(name, said)| format.set(name, said));
    let mut config = Message::any(FILE);
    config.set("path", path);
    config.set("log_format", json!({"json_format": Value::from(format)}));
    vec![extension("envoy.access_loggers.file", config)].into()
}

/// Has a connection manager log its requests. They have ids then, whether or not they would otherwise.
pub(super) fn requests(logs: Option<&Logs>, message: &mut Message) {
    if let Some(logs) = logs {
        let fields = SAID.into_iter().chain(OF_REQUESTS);
        message.set("access_log", log(&logs.requests, fields));
        message.set("generate_request_id", true);
    }
}

/// Has a router log its tries.
pub(super) fn tries(logs: Option<&Logs>, message: &mut Message) {
    if let Some(logs) = logs {
        message.set("upstream_log", log(&logs.tries, SAID.into_iter()));
    }
}
