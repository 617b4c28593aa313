//! Retries of a route.

use compare::Area;
use proxy_core::config::{Forward, RetryPolicy, TextMatch};
use proxy_core::retry::conditions::Condition;

use super::{Fields, Unsaid, length};
use crate::targets::common::duration::whole;
use crate::targets::common::retries;
use crate::yaml::{Map, Value};

/// What a port speaks, as far as its retries differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Speaks {
    Http,
    Http2,
    Grpc,
}

impl Speaks {
    /// By what the port declares.
    pub(in super::super) fn of(app_protocol: Option<&str>) -> Self {
        match app_protocol {
            Some("grpc") => Self::Grpc,
            Some("http2" | "kubernetes.io/h2c") => Self::Http2,
            Some(_) | None => Self::Http,
        }
    }
}

/// Retries of a route.
pub(in super::super) fn retry(forward: &Forward, speaks: Speaks, unsaid: &mut Unsaid) -> Fields {
    let mut fields = Fields::new();
    let kind = match speaks {
        Speaks::Http => "http",
        Speaks::Grpc => "grpc",
        Speaks::Http2 => {
            if retries::effective(forward).is_some() {
                unsaid.push((
                    Area::Retry,
                    "requests to a port that declares HTTP/2 are tried again".to_owned(),
                    "they are not".to_owned(),
                ));
            }
            return fields;
        }
    };
    let mut set = |field: &str, value: Value| {
        fields.insert(format!("{kind}.{field}"), value);
    };
    let Some(policy) = retries::effective(forward) else {
        set("numRetries", 0_u32.into());
        return fields;
    };
    set("numRetries", policy.retries.value.into());
    // one that is void stays so
    set(
        "perTryTimeout",
        length(policy.per_try_timeout.map(|it| it.value)),
    );
    match retries::pauses(policy.backoff.value) {
        Ok(Some((base, most))) => {
            set("backOff.baseInterval", whole(base).into());
            set("backOff.maxInterval", whole(most).into());
        }
        Ok(None) => {
            set("backOff.baseInterval", "25ms".into());
            set("backOff.maxInterval", "250ms".into());
        }
        Err(what) => {
            unsaid.push((
                Area::Retry,
                what.to_owned(),
                "pauses of 25 to 250 ms at random".to_owned(),
            ));
            set("backOff.baseInterval", "25ms".into());
            set("backOff.maxInterval", "250ms".into());
        }
    }
    let (words, unknown) = words(policy, speaks);
    if !unknown.is_empty() {
        unsaid.push((
            Area::Retry,
            format!("tries follow `{}`", unknown.join("`, `")),
            "they do not".to_owned(),
        ));
    }
    let own = words
        .iter()
        .any(|it| it.parse::<u16>().is_err() && !it.starts_with("HttpMethod"));
    if !own {
        unsaid.push((
            Area::Retry,
            "no word of Kuma's is among the conditions of retries".to_owned(),
            "Kuma's own conditions hold besides".to_owned(),
        ));
    }
    set("retryOn", Value::from(words));
    if speaks == Speaks::Http {
        let mut selection = Vec::new();
        if let Some(picks) = policy.avoid_previous {
            selection.push(Map::new().with("predicate", "OmitPreviousHosts"));
            if picks.value != 1 {
                set("hostSelectionMaxAttempts", picks.value.into());
            }
        }
        if let Some(often) = policy.previous_priorities {
            let predicate = Map::new().with("predicate", "OmitPreviousPriorities");
            selection.push(predicate.with("updateFrequency", often));
        }
        set("hostSelection", Value::from(selection));
    } else if policy.avoid_previous.is_some() {
        unsaid.push((
            Area::Retry,
            "endpoints that were tried are avoided".to_owned(),
            "calls may go to the same endpoint again".to_owned(),
        ));
    }
    for extra in retries::extras(policy) {
        unsaid.push((Area::Retry, extra, String::new()));
    }
    fields
}

/// Conditions in Kuma's words, and those that it has none for.
fn words(policy: &RetryPolicy, speaks: Speaks) -> (Vec<String>, Vec<&'static str>) {
    let (mut words, mut unknown) = (Vec::new(), Vec::new());
    for condition in policy.on.value.iter() {
        let word = match (condition, speaks) {
            (Condition::ServerError, Speaks::Http) => "5xx",
            (Condition::GatewayError, Speaks::Http) => "GatewayError",
            (Condition::Reset, Speaks::Http) => "Reset",
            (Condition::ConnectFailure, Speaks::Http) => "ConnectFailure",
            (Condition::EnvoyRateLimited, Speaks::Http) => "EnvoyRatelimited",
            (Condition::Retriable4xx, Speaks::Http) => "Retriable4xx",
            (Condition::RefusedStream, Speaks::Http) => "RefusedStream",
            (Condition::Http3PostConnectFailure, Speaks::Http) => "Http3PostConnectFailure",
            (Condition::DeadlineExceeded, Speaks::Grpc) => "DeadlineExceeded",
            (Condition::Internal, Speaks::Grpc) => "Internal",
            (Condition::ResourceExhausted, Speaks::Grpc) => "ResourceExhausted",
            (Condition::Unavailable, Speaks::Grpc) => "Unavailable",
            // listed one by one below
            (Condition::RetriableStatusCodes, Speaks::Http) => continue,
            (condition, _) => {
                unknown.push(condition.name());
                continue;
            }
        };
        words.push(word.to_owned());
    }
    if speaks == Speaks::Http {
        if policy.on.value.has(Condition::RetriableStatusCodes) {
            words.extend(policy.statuses.iter().map(ToString::to_string));
        }
        for header in &policy.request_headers {
            match &header.value {
                TextMatch::Exact(method) if *header.name == *":method" => {
                    let mut method = method.to_ascii_lowercase();
                    if let Some(first) = method.get_mut(..1) {
                        first.make_ascii_uppercase();
                    }
                    words.push(format!("HttpMethod{method}"));
                }
                TextMatch::Exact(_)
                | TextMatch::Prefix(_)
                | TextMatch::Suffix(_)
                | TextMatch::Contains(_)
                | TextMatch::Regex(_)
                | TextMatch::Range(..)
                | TextMatch::Address(_)
                | TextMatch::Present => unknown.push("requests with some headers"),
            }
        }
    }
    (words, unknown)
}
