//! What is asked of retries.

use super::super::notes::{bad_value, left_out};
use super::super::types::{Backoff, GrpcRetry, HttpRetry, Predicate, RateLimitedBackoff, Retry};
use super::above_zero;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::{Span, Spanned};

/// Words of `retryOn` that are no status, with what Envoy calls them; methods, with the method.
pub(in super::super) const RETRY_ON: &[(&str, &str)] = &[
    ("5xx", "5xx"),
    ("GatewayError", "gateway-error"),
    ("Reset", "reset"),
    ("Retriable4xx", "retriable-4xx"),
    ("ConnectFailure", "connect-failure"),
    ("EnvoyRatelimited", "envoy-ratelimited"),
    ("RefusedStream", "refused-stream"),
    ("Http3PostConnectFailure", "http3-post-connect-failure"),
];
pub(in super::super) const METHODS: &[(&str, &str)] = &[
    ("HttpMethodConnect", "CONNECT"),
    ("HttpMethodDelete", "DELETE"),
    ("HttpMethodGet", "GET"),
    ("HttpMethodHead", "HEAD"),
    ("HttpMethodOptions", "OPTIONS"),
    ("HttpMethodPatch", "PATCH"),
    ("HttpMethodPost", "POST"),
    ("HttpMethodPut", "PUT"),
    ("HttpMethodTrace", "TRACE"),
];
/// The same of calls. `Canceled` is passed on as `canceled`, which Envoy does not know.
pub(in super::super) const GRPC_RETRY_ON: &[(&str, &str)] = &[
    ("Canceled", "canceled"),
    ("DeadlineExceeded", "deadline-exceeded"),
    ("Internal", "internal"),
    ("ResourceExhausted", "resource-exhausted"),
    ("Unavailable", "unavailable"),
];

/// The status that a word of `retryOn` names. Envoy is told of those that have a name in HTTP.
pub(in super::super) fn status_of(word: &str) -> Option<u16> {
    let status = word.parse::<u16>().ok()?;
    let named = matches!(
        status,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
            | 500..=508 | 510 | 511
    );
    named.then_some(status)
}

pub(in super::super) fn retry(conf: &Spanned<Retry>, out: &mut Diagnostics) {
    if conf.tcp.is_none() && conf.http.is_none() && conf.grpc.is_none() {
        bad_value(
            conf.span,
            "one of `tcp`, `http` and `grpc` must be set",
            out,
        );
    }
    if let Some(tcp) = &conf.tcp {
        match tcp.max_connect_attempt {
            None => bad_value(tcp.span, "`maxConnectAttempt` must be set", out),
            Some(most) if most.value == 0 => bad_value(most.span, "must be greater than zero", out),
            Some(_) => {}
        }
    }
    if let Some(http) = &conf.http {
        http_retry(http, out);
    }
    if let Some(grpc) = &conf.grpc {
        grpc_retry(grpc, out);
    }
}

fn http_retry(http: &Spanned<HttpRetry>, out: &mut Diagnostics) {
    let HttpRetry {
        num_retries,
        per_try_timeout,
        back_off,
        rate_limited_back_off,
        retry_on,
        retriable_response_headers,
        retriable_request_headers,
        host_selection,
        host_selection_max_attempts: _,
    } = &http.value;
    let none = num_retries.is_none()
        && per_try_timeout.is_none()
        && back_off.is_none()
        && retry_on.is_none()
        && retriable_request_headers.is_none()
        && retriable_response_headers.is_none()
        && rate_limited_back_off.is_none()
        && host_selection.is_none();
    if none {
        bad_value(http.span, "`http` must not be empty", out);
    }
    backoffs(back_off.as_ref(), rate_limited_back_off.as_ref(), out);
    for word in retry_on.iter().flatten() {
        let known = || RETRY_ON.iter().chain(METHODS).map(|row| row.0);
        if status_of(word).is_none() && !known().any(|name| name == word.value) {
            unknown_word(word, known(), out);
        }
    }
    if let Some(first) = retriable_response_headers.iter().flatten().next() {
        out.push(
            Diagnostic::warning(
                "kuma::no-effect",
                "`retriableResponseHeaders` has no effect: Kuma does not ask Envoy to look at them",
            )
            .label(first.name.span, "no answer is tried again for it")
            .help("name statuses under `retryOn`"),
        );
    }
    let headers = retriable_response_headers.iter().flatten();
    for header in headers.chain(retriable_request_headers.iter().flatten()) {
        super::super::routes::header_match(header, out);
    }
    let mut by_priority: Option<Span> = None;
    for selection in host_selection.iter().flatten() {
        let span = selection.predicate.span;
        match selection.predicate.value {
            Predicate::OmitPreviousHosts => {}
            Predicate::OmitHostsWithTags => {
                if selection.tags.is_none() {
                    bad_value(span, "`tags` must be set", out);
                }
                let meaning = "further tries may go to endpoints with these tags";
                left_out(span, "`OmitHostsWithTags`", meaning, out);
            }
            Predicate::OmitPreviousPriorities => {
                if let Some(first) = by_priority {
                    out.push(
                        Diagnostic::error(
                            "kuma::bad-value",
                            "`OmitPreviousPriorities` may stand once",
                        )
                        .label(span, "a second time")
                        .label(first, "the first time"),
                    );
                }
                by_priority = Some(span);
                if let Some(often) = selection.update_frequency.filter(|it| it.value <= 0) {
                    bad_value(often.span, "must be greater than zero", out);
                }
            }
        }
    }
}

fn grpc_retry(grpc: &Spanned<GrpcRetry>, out: &mut Diagnostics) {
    let GrpcRetry {
        num_retries,
        per_try_timeout,
        back_off,
        rate_limited_back_off,
        retry_on,
    } = &grpc.value;
    let none = num_retries.is_none()
        && per_try_timeout.is_none()
        && back_off.is_none()
        && retry_on.is_none()
        && rate_limited_back_off.is_none();
    if none {
        bad_value(grpc.span, "`grpc` must not be empty", out);
    }
    backoffs(back_off.as_ref(), rate_limited_back_off.as_ref(), out);
    for word in retry_on.iter().flatten() {
        let mut known = GRPC_RETRY_ON.iter().map(|row| row.0);
        if !known.any(|name| name == word.value) {
            unknown_word(word, GRPC_RETRY_ON.iter().map(|row| row.0), out);
        }
        if word.value == "Canceled" {
            out.push(
                Diagnostic::warning(
                    "kuma::canceled",
                    "calls that end with `cancelled` are not tried again for this",
                )
                .label(
                    word.span,
                    "Kuma tells Envoy `canceled`, a word that Envoy does not know",
                )
                .help("leave `retryOn` out: `cancelled` is among Kuma's own conditions"),
            );
        }
    }
}

fn unknown_word<'a>(
    word: &Spanned<String>,
    known: impl Iterator<Item = &'a str>,
    out: &mut Diagnostics,
) {
    out.push(
        Diagnostic::error("kuma::bad-value", format!("`{word}` is no condition"))
            .label(word.span, "this one")
            .maybe_help(did_you_mean(word, known)),
    );
}

fn backoffs(
    backoff: Option<&Spanned<Backoff>>,
    limited: Option<&Spanned<RateLimitedBackoff>>,
    out: &mut Diagnostics,
) {
    if let Some(backoff) = backoff {
        if backoff.base_interval.is_none() && backoff.max_interval.is_none() {
            bad_value(backoff.span, "`backOff` must not be empty", out);
        }
        above_zero(backoff.base_interval, "baseInterval", out);
    }
    let Some(limited) = limited else {
        return;
    };
    above_zero(limited.max_interval, "maxInterval", out);
    if limited.reset_headers.is_none() {
        bad_value(limited.span, "`resetHeaders` must be set", out);
    }
    for header in limited.reset_headers.iter().flatten() {
        if !matches!(header.format.as_str(), "Seconds" | "UnixTimestamp") {
            bad_value(
                header.format.span,
                "write `Seconds` or `UnixTimestamp`",
                out,
            );
        }
    }
}
