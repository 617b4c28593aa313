//! What is not compared, and why.

use crate::case::{Body, Case};
use crate::compare::Difference;
use crate::outcome::Outcome;

/// Headers whose values say when or who, with what is kept of them.
///
/// - `date`: the moment.
/// - `server`: who answers.
/// - `x-envoy-upstream-service-time`: how long it took.
/// - `x-request-id`: drawn.
const PRESENCE_ALONE: [&str; 4] = [
    "date",
    "server",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

/// How a message is framed on one connection, which says nothing of the message.
///
/// Source: RFC 9110 §7.6.1.
const OF_THE_CONNECTION: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

/// The value of a header as it is compared; none: it is not.
///
/// Lines of one name are one list (RFC 9110 §5.3), of cookies by semicolons (RFC 9113 §8.2.3), but for those that are set.
pub(crate) fn value(name: &str, values: &[String]) -> Option<String> {
    if OF_THE_CONNECTION.contains(&name) {
        return None;
    }
    Some(match name {
        _ if PRESENCE_ALONE.contains(&name) => "(there)".to_owned(),
        "set-cookie" => values.join("\n"),
        "cookie" => values.join("; "),
        _ => {
            // an empty one adds nothing to a list
            let told = values.iter().filter(|value| !value.is_empty());
            let told: Vec<&str> = told.map(String::as_str).collect();
            told.join(",")
        }
    })
}

/// A difference that is known.
struct Exception {
    /// Where it shows.
    at: fn(&str) -> bool,
    holds: fn(&Case, &Difference, &Outcome) -> bool,
}

/// What is meant. docs/envoy.md says so in the same words.
const DEPARTURES: &[Exception] = &[
    // A copy does not say from which host it comes.
    Exception {
        at: |at| at.starts_with("copy ") && at.ends_with(" header x-forwarded-for"),
        holds: |_, it, _| it.ours == NONE,
    },
    // Trailers pass over HTTP/1.1, too.
    Exception {
        at: |at| at.starts_with("client trailer"),
        holds: |_, it, _| it.envoy == NONE,
    },
    // A hedge of a request that is not to be retried has its body; Envoy keeps none of it, and its second try never ends.
    Exception {
        at: |at| !at.starts_with("copy "),
        holds: |case, it, ours| {
            let fields = serde_json::Value::from(case.manager.clone()).to_string();
            let hedges = fields.contains("hedge_on_per_try_timeout")
                && fields.contains("retriable_request_headers");
            let was_hedged = hedges && ours.tries.len() > 1;
            was_hedged && case.asks[it.ask].body != Body::None
        },
    },
];

/// Headers of the route's time that gRPC has, where a stream has a longest time.
///
/// `grpc-timeout` goes on as it came; Envoy tells upstreams the longest time of the stream.
const GRPC_TIME: &[Exception] = &[Exception {
    at: |at| at.starts_with("try ") && at.ends_with(" header grpc-timeout"),
    holds: |case, _, _| {
        let fields = serde_json::Value::from(case.manager.clone()).to_string();
        fields.contains("max_stream_duration")
    },
}];

/// What depends on which of two things that are under way at once comes first.
const RACES: &[Exception] = &[
    // The time is told once the request's end has been seen, before which an upstream may have answered.
    Exception {
        at: |at| at == "client header x-envoy-upstream-service-time",
        holds: |case, it, _| case.asks[it.ask].body != Body::None,
    },
];

/// What depends on how much of a request was read before it was answered.
const READ: &[Exception] = &[Exception {
    at: |at| at == "log bytes received",
    holds: |case, it, _| case.asks[it.ask].body != Body::None,
}];

/// What is still to be mended.
const TO_MEND: &[Exception] = &[
    // A request is copied when its end has been seen, which may be after an answer without a body.
    Exception {
        at: |at| at.starts_with("copy "),
        holds: |case, it, _| it.ours == NONE && case.asks[it.ask].body != Body::None,
    },
];

/// What stands where a value is not there.
pub(crate) const NONE: &str = "(not there)";

/// Whether a difference is one that is known.
pub(crate) fn holds(case: &Case, it: &Difference, ours: &Outcome) -> bool {
    let all = DEPARTURES
        .iter()
        .chain(GRPC_TIME)
        .chain(RACES)
        .chain(READ)
        .chain(TO_MEND);
    let mut known = all.filter(|known| (known.at)(&it.at));
    known.any(|known| (known.holds)(case, it, ours))
}
