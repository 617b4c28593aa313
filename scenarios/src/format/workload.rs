//! What a service does with a request.

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::Located;
use super::distribution::Times;
use super::either::{ScalarOrMap, scalar_or_map};
use super::scalars::{Bytes, Count, Factor, Period, Scalar, Share, Status, scalar};

/// A workload: pods that behave alike.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Workload {
    /// Pods at the start; default: the manifest's, or 1.
    pub replicas: Option<Located<Count<1, 10_000>>>,
    /// Requests that a replica works on at once; default 16.
    pub concurrency: Option<Located<Count<1, 1_000_000>>>,
    /// Processors; default: never short.
    pub cpu: Option<Cpu>,
    /// Where requests wait for a slot; default without bound, first in first out.
    pub queue: Option<Queue>,
    /// What becomes of work whose caller has given up; default `continue`.
    pub on_caller_gone: Option<CallerGone>,
    /// How long pods take to come back after a crash, a scale-up or a rollout.
    pub start: Option<Start>,
    /// What it does by method and path; the first match answers, none: 404.
    pub handlers: Option<Vec<Located<Handler>>>,
    /// Labels of its pods, for a workload that no manifest has.
    pub labels: IndexMap<String, String>,
    /// Ports of its Service, for a workload that no manifest has; default 80.
    pub ports: Option<Vec<Located<Count<1, 65_535>>>>,
    /// Versions that differ from the above; each has the label `version` and may be rolled out by a change.
    pub versions: IndexMap<Located<String>, Version>,
}

/// What a version of a workload does differently; what is left out is as the workload has it.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Version {
    /// Pods of this version at the start, beside those of the workload itself; default 0.
    pub replicas: Option<Located<Count<0, 10_000>>>,
    /// Requests that a replica works on at once.
    pub concurrency: Option<Located<Count<1, 1_000_000>>>,
    /// Processors.
    pub cpu: Option<Cpu>,
    /// Where requests wait for a slot.
    pub queue: Option<Queue>,
    /// What becomes of work whose caller has given up.
    pub on_caller_gone: Option<CallerGone>,
    /// How long pods take to start.
    pub start: Option<Start>,
    /// What it does by method and path.
    pub handlers: Option<Vec<Located<Handler>>>,
    /// Further labels of its pods.
    pub labels: IndexMap<String, String>,
}

/// Processors of a replica.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Cpu {
    /// Cores.
    pub cores: Located<Factor>,
}

/// Where requests wait for a slot.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Queue {
    /// How many may wait; more are answered 503. Default: no bound.
    pub limit: Option<Located<Count<0, 100_000_000>>>,
    /// Who is next; default `fifo`.
    pub discipline: Option<Discipline>,
}

/// Which waiting request is served next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Discipline {
    /// The one that has waited longest.
    Fifo,
    /// The one that came last.
    Lifo,
    /// None waits: all share the slots (processor sharing).
    Ps,
}

/// What becomes of work whose caller has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallerGone {
    /// It goes on, and its answer goes nowhere.
    Continue,
    /// It is dropped or stopped, and its own calls are cancelled.
    Abort,
}

/// How long a pod takes to start.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default)]
pub struct Start {
    /// From the start of the process until it listens; default 5s.
    pub after: Option<Located<Times>>,
    /// From listening until the readiness probe has passed; default 2s.
    pub ready: Option<Located<Times>>,
}

/// Which requests a handler takes, and what it does with them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Method and path: `GET /items`, any method: `/items`, not what lies below: `GET =/items`.
    #[serde(rename = "match")]
    pub matches: Located<Match>,
    /// How long it holds its slot before its steps; default no time.
    pub time: Option<Located<Times>>,
    /// The share of `time` that needs a processor; default all of it.
    pub cpu: Option<Located<Share>>,
    /// The share of requests that are answered 500 after `time`, without the steps.
    pub error_rate: Option<Located<Share>>,
    /// The answer; default 200 with 1KiB.
    pub response: Option<Response>,
    /// Whether it keeps its slot while it only waits for calls; default `held`.
    pub slot_during_calls: Option<SlotDuringCalls>,
    /// What it does, one after the other.
    #[serde(default)]
    pub steps: Vec<Located<Step>>,
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default)]
pub struct Response {
    /// Default 200.
    pub status: Option<Located<Status>>,
    /// Bytes of the body; default 1KiB.
    pub size: Option<Located<Bytes>>,
}

/// Whether a handler keeps its slot while it only waits for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SlotDuringCalls {
    /// As a thread per request does.
    Held,
    /// As an event loop does.
    Released,
}

/// One step; exactly one of `call`, `parallel`, `steps` and `time` is given.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Step {
    /// Calls another service and waits for the answer.
    pub call: Option<Located<Call>>,
    /// Does these at once and waits for all.
    pub parallel: Option<Vec<Located<Self>>>,
    /// Does these one after the other; useful as a branch of `parallel`.
    pub steps: Option<Vec<Located<Self>>>,
    /// Works for so long.
    pub time: Option<Located<Times>>,
    /// The share of `time` that needs a processor; default all of it.
    pub cpu: Option<Located<Share>>,
}

/// A call to another service.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The workload whose Service is called.
    pub workload: Option<Located<String>>,
    /// The Service that is called, as `name` or `namespace/name`; instead of `workload`.
    pub service: Option<Located<String>>,
    /// Port of the Service; default its first.
    pub port: Option<Located<Count<1, 65_535>>>,
    /// Method and path.
    pub request: Located<RequestLine>,
    /// Header values.
    #[serde(default)]
    pub headers: IndexMap<Located<String>, Located<HeaderValue>>,
    /// Bytes of the body; default none.
    pub size: Option<Located<Bytes>>,
    /// How likely the call is made; default always.
    pub probability: Option<Located<Share>>,
    /// How often it is made, one after the other; default once.
    pub times: Option<Located<Count<1, 1000>>>,
    /// How long each try may take; default for ever.
    pub timeout: Option<Located<Period>>,
    /// Tries after the first; default none.
    pub retries: Option<Located<Count<0, 100>>>,
    /// Waits between tries; default none.
    pub backoff: Option<Located<Backoff>>,
    /// A second copy of a call that is slow.
    pub hedge: Option<Located<Hedge>>,
    /// What a failed call means to the handler; default `fail`.
    pub on_error: Option<Located<OnError>>,
}

/// Waits between tries: `base` × `factor`^(n-1), at most `max`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Backoff {
    /// Before the first retry.
    pub base: Located<Period>,
    /// Default 2.
    pub factor: Option<Located<Factor>>,
    /// Default ten times `base`.
    pub max: Option<Located<Period>>,
    /// Which part is left to chance; default `full`.
    pub jitter: Option<Jitter>,
}

/// Which part of a back-off is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Jitter {
    /// None.
    None,
    /// Uniform between half the wait and the whole.
    Equal,
    /// Uniform between zero and the wait.
    Full,
}

/// Further copies of a request that is slow; the first good answer counts.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
pub struct Hedge {
    /// How long after the last copy the next is sent.
    pub after: Located<Period>,
    /// Copies beside the first; default 1.
    pub max: Option<Located<Count<1, 100>>>,
}

/// What a failed call means to its handler.
#[derive(Clone, Debug, PartialEq)]
pub enum OnError {
    /// The handler answers with this status (default 500) and stops.
    Fail(Option<Located<Status>>),
    /// As if it had succeeded.
    Ignore,
    /// The handler goes on; its answer has this status (default 200) and counts as degraded.
    Fallback(Option<Located<Status>>),
}

/// The long forms of `onError`; exactly one is given.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct OnErrorMap {
    /// The handler answers with this status and stops.
    pub fail: Option<ErrorStatus>,
    /// The handler goes on, and answers with this status in the end.
    pub fallback: Option<ErrorStatus>,
}

/// A status.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorStatus {
    /// The status.
    pub status: Option<Located<Status>>,
}

/// The short forms of `onError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum OnErrorWord {
    /// The handler answers 500 and stops.
    #[expect(dead_code, reason = "names a word of the schema")]
    Fail,
    /// As if the call had succeeded.
    #[expect(dead_code, reason = "names a word of the schema")]
    Ignore,
}

impl ScalarOrMap for OnError {
    type Map = OnErrorMap;

    fn scalar(text: &str) -> Result<Self, String> {
        match text {
            "fail" => Ok(Self::Fail(None)),
            "ignore" => Ok(Self::Ignore),
            "fallback" => Ok(Self::Fallback(None)),
            _ => Err(format!(
                "`{text}` is not `fail`, `ignore` or `{{fallback: {{status: 200}}}}`"
            )),
        }
    }

    fn map(map: OnErrorMap) -> Self {
        match (map.fail, map.fallback) {
            (_, Some(fallback)) => Self::Fallback(fallback.status),
            (fail, None) => Self::Fail(fail.and_then(|fail| fail.status)),
        }
    }
}

scalar_or_map!(OnError, OnErrorWord);

/// A header's value: a text, or drawn anew for each request.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// Always this.
    Fixed(String),
    /// Drawn.
    Drawn(Box<DrawnValue>),
}

/// A value drawn for each request; exactly one key is given.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct DrawnValue {
    /// A few values are frequent: the k-th is drawn in proportion to 1/k^exponent.
    pub zipf: Option<Located<Zipf>>,
    /// All values are equally likely.
    pub uniform: Option<Located<Many>>,
    /// These values, equally likely.
    pub list: Option<Located<Vec<String>>>,
}

/// `prefix` with a number from 1 to `count`, all equally likely.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Many {
    /// How many values there are.
    pub count: Located<Count<1, 1_000_000>>,
    /// What stands before the number; default nothing.
    pub prefix: Option<String>,
}

/// `prefix` with a number from 1 to `count`, the k-th in proportion to 1/k^exponent.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zipf {
    /// How many values there are.
    pub count: Located<Count<1, 1_000_000>>,
    /// Default 1.
    pub exponent: Option<Located<Factor>>,
    /// What stands before the number; default nothing.
    pub prefix: Option<String>,
}

impl ScalarOrMap for HeaderValue {
    type Map = DrawnValue;

    fn scalar(text: &str) -> Result<Self, String> {
        if text.bytes().any(|b| b.is_ascii_control()) {
            return Err("a header's value has no control characters".to_owned());
        }
        Ok(Self::Fixed(text.to_owned()))
    }

    fn map(map: DrawnValue) -> Self {
        Self::Drawn(Box::new(map))
    }
}

scalar_or_map!(HeaderValue, String);

/// Which requests a handler takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// None: any method.
    pub method: Option<String>,
    /// The path that was written, without `=`.
    pub path: String,
    /// Whether only this very path is taken, not what lies below.
    pub exact: bool,
}

scalar!(
    Match,
    schemars::json_schema!({ "type": "string", "pattern": "^([A-Z]+ +)?=?/.*$" })
);

impl Scalar for Match {
    const EXPECTED: &'static str =
        "method and path such as `GET /items`, or `GET =/items` for this very path";

    fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = match text.split_once(char::is_whitespace) {
            Some((method, path)) => (Some(self::method(method)?), path.trim()),
            None => (None, text),
        };
        let exact = path.starts_with('=');
        let path = self::path(path.trim_start_matches('=').trim())?;
        Ok(Self {
            method,
            path,
            exact,
        })
    }
}

/// The request that a call makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
}

scalar!(
    RequestLine,
    schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]+ +/.*$" })
);

impl Scalar for RequestLine {
    const EXPECTED: &'static str = "method and path such as `GET /items`";

    fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))?;
        Ok(Self {
            method: self::method(method)?,
            path: self::path(path.trim())?,
        })
    }
}

/// A method by RFC 9110 §9.1, in capitals as all methods in use are.
pub(super) fn method(text: &str) -> Result<String, String> {
    if (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a method such as `GET`"))
    }
}

/// A path by RFC 9110 §4.1, with a query or without.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("a path starts with `/`, `{text}` does not"));
    }
    if text.len() > 8192 || text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#') {
        return Err(format!("`{}` is not a path", text.escape_debug()));
    }
    Ok(text.to_owned())
}
