//! `retries`, where they differ from the release's.

use compare::Area;
use proxy_core::config::{Forward, RetryPolicy};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn};

use super::rules::Unsaid;
use crate::targets::common::duration::whole;
use crate::targets::common::retries;
use crate::yaml::Map;

/// Words of `retryOn` that Istio takes.
const WORDS: [Condition; 15] = [
    Condition::ServerError,
    Condition::GatewayError,
    Condition::Reset,
    Condition::ResetBeforeRequest,
    Condition::ConnectFailure,
    Condition::EnvoyRateLimited,
    Condition::Retriable4xx,
    Condition::RefusedStream,
    Condition::RetriableHeaders,
    Condition::Http3PostConnectFailure,
    Condition::Cancelled,
    Condition::DeadlineExceeded,
    Condition::ResourceExhausted,
    Condition::Internal,
    Condition::Unavailable,
];
/// Picks before an endpoint that was tried is taken all the same.
const PICKS: u32 = 5;

/// `retries`, where they differ from the release's.
pub(super) fn retries(forward: &Forward, hashed: bool, unsaid: &mut Unsaid) -> Option<Map> {
    let Some(policy) = retries::effective(forward) else {
        return Some(Map::new().with("attempts", 0_u32));
    };
    let (words, statuses) = conditions(policy, unsaid);
    let default = RetryOn::NONE
        .with(Condition::ConnectFailure)
        .with(Condition::RefusedStream)
        .with(Condition::Unavailable)
        .with(Condition::Cancelled);
    let is_default = words == default && statuses.is_empty();
    let mut map = Map::new().with("attempts", policy.retries.value);
    if let Some(bound) = retries::per_try(forward) {
        map.set("perTryTimeout", whole(bound));
    }
    if !is_default {
        let mut list: Vec<String> = words.iter().map(|it| it.name().to_owned()).collect();
        list.extend(statuses.iter().map(ToString::to_string));
        if list.is_empty() {
            return Some(Map::new().with("attempts", 0_u32));
        }
        map.set("retryOn", list.join(","));
    }
    if policy.previous_priorities.is_some() {
        map.set("retryRemoteLocalities", true);
    }
    let avoids = policy.avoid_previous.is_some();
    if avoids == hashed {
        map.set("retryIgnorePreviousHosts", avoids);
    }
    if policy.avoid_previous.is_some_and(|it| it.value != PICKS) {
        unsaid.push((
            Area::Retry,
            "so many picks are made before an endpoint that was tried is taken again".to_owned(),
            format!("{PICKS} picks"),
        ));
    }
    match retries::pauses(policy.backoff.value) {
        Ok(None) => {}
        Ok(Some((first, most))) => {
            map.set("backoff", whole(first));
            let stock = Backoff::FullJitter(FullJitter::new(first, None));
            if policy.backoff.value != stock {
                unsaid.push((
                    Area::Retry,
                    format!("pauses grow up to {}", whole(most)),
                    "pauses grow up to ten times the first".to_owned(),
                ));
            }
        }
        Err(what) => unsaid.push((
            Area::Retry,
            what.to_owned(),
            "pauses of 25 ms and more, at random".to_owned(),
        )),
    }
    for extra in retries::extras(policy) {
        unsaid.push((Area::Retry, extra, String::new()));
    }
    if !policy.request_headers.is_empty() {
        unsaid.push((
            Area::Retry,
            "only some requests are tried again".to_owned(),
            "all are".to_owned(),
        ));
    }
    if policy.last_try_unbounded && retries::per_try(forward).is_some() {
        unsaid.push((
            Area::Retry,
            "the last try may take as long as it needs".to_owned(),
            "it is bound as the others are".to_owned(),
        ));
    }
    if let Some(most) = policy.body_limit {
        unsaid.push((
            Area::Retry,
            format!("bodies of more than {most} bytes are not tried again"),
            "those that fit Envoy's buffer are".to_owned(),
        ));
    }
    let is_bare = map.iter().count() == 1 && policy.retries.value == 2;
    (!is_bare).then_some(map)
}

/// Words and statuses that Istio takes; a whole class of statuses is a word.
fn conditions(policy: &RetryPolicy, unsaid: &mut Unsaid) -> (RetryOn, Vec<u16>) {
    let on = policy.on.value;
    let mut words: RetryOn = on.iter().filter(|it| WORDS.contains(it)).collect();
    let mut statuses: Vec<u16> = match on.has(Condition::RetriableStatusCodes) {
        true => policy.statuses.clone(),
        false => Vec::new(),
    };
    if retries::is_class(&statuses) {
        statuses.retain(|status| *status < 500);
        words = words.with(Condition::ServerError);
        unsaid.push((
            Area::Retry,
            "every status from 500 to 599 is tried again, and no failure without one".to_owned(),
            "`5xx`, which stands for failures without an answer, too".to_owned(),
        ));
    }
    if on.has(Condition::PerTryTimeout) && !words.has(Condition::ServerError) {
        unsaid.push((
            Area::Retry,
            "a try that takes too long is tried again".to_owned(),
            "`gateway-error`, which stands for it and for 502, 503 and 504".to_owned(),
        ));
        words = words.with(Condition::GatewayError);
    }
    (words, statuses)
}
