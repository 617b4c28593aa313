use super::*;
use proptest::prelude::*;

/// Istio's default `retry_on`.
const ISTIO: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

fn on(list: &str) -> RetryOn {
    RetryOn::parse(list, Vocabulary::Both, |word| panic!("unknown word {word}"))
}

fn response(status: u16) -> ResponseHead {
    ResponseHead {
        status,
        grpc_status: None,
        rate_limited: false,
        early_data: false,
    }
}

fn grpc(status: u32) -> ResponseHead {
    ResponseHead {
        grpc_status: Some(status),
        ..response(200)
    }
}

fn started(reset: Reset) -> ResetContext {
    ResetContext {
        reset,
        request_started: true,
        http3_with_fallback: false,
    }
}

#[test]
fn lists_are_read_and_printed_with_their_unknown_words_reported() {
    let mut unknown = vec![];
    let set = RetryOn::parse(
        " 5xx, gateway-errors ,,503,reset",
        Vocabulary::Both,
        |word| {
            unknown.push(word);
        },
    );
    assert_eq!(set.to_string(), "5xx,reset");
    assert_eq!(unknown, ["gateway-errors", "503"]);
    let words = Condition::ALL
        .into_iter()
        .filter(|c| *c != Condition::PerTryTimeout);
    for condition in words {
        assert_eq!(on(condition.name()), RetryOn::NONE.with(condition));
    }
}

#[test]
fn linkerds_retry_timeout_is_no_word_and_takes_per_try_timeouts_alone() {
    let mut unknown = vec![];
    let set = RetryOn::parse("per-try-timeout", Vocabulary::Both, |word| {
        unknown.push(word)
    });
    assert_eq!((set, unknown), (RetryOn::NONE, vec!["per-try-timeout"]));

    let set = RetryOn::NONE.with(Condition::PerTryTimeout);
    let resets = [
        (Reset::PerTryTimeout, Some(Condition::PerTryTimeout)),
        (Reset::Disconnect, None),
        (Reset::ConnectFailure, None),
        (Reset::Overflow, None),
    ];
    for (reset, expected) in resets {
        let context = ResetContext {
            reset,
            request_started: true,
            http3_with_fallback: false,
        };
        assert_eq!(
            decide_on_reset(set, context).condition(),
            expected,
            "{reset:?}"
        );
    }
}

#[test]
fn each_header_has_its_own_words() {
    let mut unknown = vec![];
    let http = RetryOn::parse("5xx,unavailable", Vocabulary::Http, |word| {
        unknown.push(word)
    });
    let grpc = RetryOn::parse("5xx,unavailable", Vocabulary::Grpc, |word| {
        unknown.push(word)
    });
    assert_eq!(http, on("5xx"));
    assert_eq!(grpc, on("unavailable"));
    assert_eq!(unknown, ["unavailable", "5xx"]);
    assert_eq!(http.union(grpc), on("5xx,unavailable"));
}

#[test]
fn responses_are_retried_by_the_first_condition_that_holds() {
    let limited = ResponseHead {
        rate_limited: true,
        ..response(503)
    };
    let early = ResponseHead {
        early_data: true,
        ..response(425)
    };
    type Row = (
        &'static str,
        &'static str,
        ResponseHead,
        &'static [u16],
        Option<Condition>,
    );
    let rows: &[Row] = &[
        (
            "5xx takes 500",
            "5xx",
            response(500),
            &[],
            Some(Condition::ServerError),
        ),
        (
            "5xx takes 599",
            "5xx",
            response(599),
            &[],
            Some(Condition::ServerError),
        ),
        ("5xx leaves 499", "5xx", response(499), &[], None),
        ("5xx leaves 600", "5xx", response(600), &[], None),
        (
            "gateway-error leaves 500",
            "gateway-error",
            response(500),
            &[],
            None,
        ),
        (
            "gateway-error takes 502",
            "gateway-error",
            response(502),
            &[],
            Some(Condition::GatewayError),
        ),
        (
            "gateway-error takes 504",
            "gateway-error",
            response(504),
            &[],
            Some(Condition::GatewayError),
        ),
        (
            "gateway-error leaves 505",
            "gateway-error",
            response(505),
            &[],
            None,
        ),
        (
            "5xx comes first",
            "gateway-error,5xx",
            response(503),
            &[],
            Some(Condition::ServerError),
        ),
        (
            "retriable-4xx is 409",
            "retriable-4xx",
            response(409),
            &[],
            Some(Condition::Retriable4xx),
        ),
        (
            "retriable-4xx is not 429",
            "retriable-4xx",
            response(429),
            &[],
            None,
        ),
        (
            "a listed status",
            "retriable-status-codes",
            response(429),
            &[503, 429],
            Some(Condition::RetriableStatusCodes),
        ),
        (
            "a list without its word",
            "5xx",
            response(429),
            &[429],
            None,
        ),
        (
            "a word without its list",
            "retriable-status-codes",
            response(503),
            &[],
            None,
        ),
        (
            "rate limited is not retried by 5xx",
            "5xx",
            limited,
            &[],
            None,
        ),
        (
            "rate limited by its word",
            "envoy-ratelimited",
            limited,
            &[],
            Some(Condition::EnvoyRateLimited),
        ),
        (
            "Istio's default leaves a plain 500",
            ISTIO,
            response(500),
            &[503],
            None,
        ),
        (
            "Istio's default takes 503",
            ISTIO,
            response(503),
            &[503],
            Some(Condition::RetriableStatusCodes),
        ),
        (
            "gRPC unavailable",
            ISTIO,
            grpc(14),
            &[503],
            Some(Condition::Unavailable),
        ),
        ("gRPC ok", ISTIO, grpc(0), &[503], None),
        (
            "gRPC internal without its word",
            ISTIO,
            grpc(13),
            &[503],
            None,
        ),
        (
            "gRPC deadline",
            "deadline-exceeded",
            grpc(4),
            &[],
            Some(Condition::DeadlineExceeded),
        ),
        (
            "gRPC resource exhausted",
            "resource-exhausted",
            grpc(8),
            &[],
            Some(Condition::ResourceExhausted),
        ),
        (
            "early data goes back",
            "retriable-status-codes",
            early,
            &[425],
            None,
        ),
    ];
    for (name, list, head, codes, expected) in rows {
        let decision = decide_on_response(on(list), *head, codes, || false);
        assert_eq!(
            decision,
            expected.map_or(Decision::No, Decision::WithBackoff),
            "{name}"
        );
    }
}

#[test]
fn too_early_is_retried_at_once() {
    let decision = decide_on_response(on("retriable-status-codes"), response(425), &[425], || {
        false
    });
    assert_eq!(
        decision,
        Decision::Immediately(Condition::RetriableStatusCodes)
    );
}

#[test]
fn header_matchers_are_asked_only_when_they_decide() {
    let set = on("5xx,retriable-headers");
    let matched = decide_on_response(set, response(404), &[], || true);
    assert_eq!(matched, Decision::WithBackoff(Condition::RetriableHeaders));
    assert_eq!(
        decide_on_response(set, response(404), &[], || false),
        Decision::No
    );
    let decided = decide_on_response(set, response(503), &[], || panic!("5xx decides"));
    assert_eq!(decided, Decision::WithBackoff(Condition::ServerError));
}

#[test]
fn resets_are_retried_by_the_first_condition_that_holds() {
    let unsent = |reset| ResetContext {
        request_started: false,
        ..started(reset)
    };
    let everything: RetryOn = Condition::ALL.into_iter().collect();
    let rows = [
        ("overflow never", everything, unsent(Reset::Overflow), None),
        (
            "connect failure",
            on(ISTIO),
            started(Reset::ConnectFailure),
            Some(Condition::ConnectFailure),
        ),
        (
            "connect failure by 5xx",
            on("5xx"),
            started(Reset::ConnectFailure),
            Some(Condition::ServerError),
        ),
        (
            "Istio leaves a per-try timeout",
            on(ISTIO),
            started(Reset::PerTryTimeout),
            None,
        ),
        (
            "Istio leaves a disconnect",
            on(ISTIO),
            started(Reset::Disconnect),
            None,
        ),
        (
            "Istio takes a refused stream",
            on(ISTIO),
            started(Reset::RefusedStream),
            Some(Condition::RefusedStream),
        ),
        (
            "gateway-error takes a timeout",
            on("gateway-error"),
            started(Reset::PerTryTimeout),
            Some(Condition::GatewayError),
        ),
        (
            "reset takes a disconnect",
            on("reset"),
            started(Reset::Disconnect),
            Some(Condition::Reset),
        ),
        (
            "reset takes a refused stream",
            on("reset"),
            started(Reset::RefusedStream),
            Some(Condition::Reset),
        ),
        (
            "unsent",
            on("reset-before-request"),
            unsent(Reset::Disconnect),
            Some(Condition::ResetBeforeRequest),
        ),
        (
            "sent",
            on("reset-before-request"),
            started(Reset::Disconnect),
            None,
        ),
        (
            "status words alone",
            on("retriable-status-codes,retriable-4xx,unavailable"),
            unsent(Reset::Disconnect),
            None,
        ),
        (
            "no HTTP/3",
            on("http3-post-connect-failure"),
            started(Reset::Disconnect),
            None,
        ),
    ];
    for (name, set, context, expected) in rows {
        let decision = decide_on_reset(set, context);
        assert_eq!(
            decision,
            expected.map_or(Decision::No, Decision::WithBackoff),
            "{name}"
        );
    }
}

#[test]
fn a_failure_after_an_http3_handshake_is_retried_at_once_without_it() {
    let set = on("http3-post-connect-failure,5xx");
    let over_http3 = |reset| ResetContext {
        http3_with_fallback: true,
        ..started(reset)
    };
    let after = decide_on_reset(set, over_http3(Reset::Disconnect));
    assert_eq!(
        after,
        Decision::Immediately(Condition::Http3PostConnectFailure)
    );
    let before = decide_on_reset(set, over_http3(Reset::ConnectFailure));
    assert_eq!(before, Decision::WithBackoff(Condition::ServerError));
}

proptest! {
    #[test]
    fn a_larger_set_never_retries_less(bits in 0_u32..1 << 16, more in 0_u32..1 << 16, status in 200_u16..600, grpc in 0_u32..17) {
        let head = ResponseHead { grpc_status: Some(grpc), ..response(status) };
        let decide = |bits| decide_on_response(RetryOn(bits), head, &[429, 503], || false);
        prop_assert!(decide(bits) == Decision::No || decide(bits | more) != Decision::No);
    }

    #[test]
    fn only_conditions_of_the_set_apply(bits in 0_u32..1 << 16, status in 200_u16..600, sent in any::<bool>()) {
        let set = RetryOn(bits);
        let by_response = decide_on_response(set, response(status), &[503], || true);
        prop_assert!(by_response.condition().is_none_or(|c| set.has(c)));
        for reset in [Reset::ConnectFailure, Reset::RefusedStream, Reset::Disconnect, Reset::PerTryTimeout] {
            let by_reset = decide_on_reset(set, ResetContext { request_started: sent, ..started(reset) });
            prop_assert!(by_reset.condition().is_none_or(|c| set.has(c)));
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse(bits in 0_u32..1 << 16) {
        prop_assert_eq!(on(&RetryOn(bits).to_string()), RetryOn(bits));
    }
}
