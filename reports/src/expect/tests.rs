use proptest::prelude::*;
use proxy_core::time::Duration;

use super::*;
use crate::figures::tests::{ms, small, steady};
use crate::ids::{EdgeId, FaultId};
use crate::outcome::AttemptKind;
use crate::result::RunResult;
use crate::verdict::{State, Unit};

fn names() -> Names {
    Names::from(small().setup())
}

/// The problem of an expectation: the text it points at, the message, the help.
fn problem(text: &str) -> (String, String, String) {
    let error = match Expectation::parse(text) {
        Err(error) => error,
        Ok(e) => e.check(&names()).into_iter().next().expect("a problem"),
    };
    let at = text[error.range.clone()].to_owned();
    (at, error.message, error.help)
}

fn result() -> RunResult {
    let mut r = small();
    steady(&mut r, 0..10, 10, 200);
    steady(&mut r, 10..20, 400, 503);
    steady(&mut r, 20..40, 10, 200);
    r.fault_started(FaultId(0), ms(10_000));
    r.fault_ended(FaultId(0), ms(20_000));
    for at in 2..10 {
        r.attempt_started(EdgeId(0), ms(at * 1_000), AttemptKind::First, None);
    }
    r.attempt_started(EdgeId(0), ms(11_000), AttemptKind::Retry, None);
    r.finish(ms(41_000))
}

fn judged(text: &str) -> crate::verdict::Verdict {
    let expectation = Expectation::parse(text).unwrap();
    assert_eq!(expectation.check(&names()), []);
    expectation.evaluate(&result())
}

#[test]
fn expectations_come_out() {
    use State::{Failed, Held, Inconclusive};
    let rows = [
        ("latency('shoppers').p99 < duration('500ms')", Held),
        ("latency('shoppers').p50 > duration('11ms')", Failed),
        (
            "latency('shoppers', '10s', '20s').mean == duration('400ms')",
            Held,
        ),
        ("okLatency('shoppers').max == duration('10ms')", Held),
        (
            "success('shoppers') >= 0.73 && success('shoppers') < 0.74",
            Held,
        ),
        ("success('shoppers', '10s', '20s') == 0", Held),
        ("goodput('shoppers', '30s', '35s') == 10", Held),
        ("throughput('shoppers') == 10.0", Held),
        ("errors('shoppers', 'status5xx') == 100", Held),
        ("errors('shoppers', 'timeout') == 0", Held),
        ("attempts('a', 'b') == 9", Held),
        ("amplification('a', 'shop/b') < 1.125", Failed),
        (
            "ejections('b') == 0 && ejections('outbound|80||b') == 0",
            Held,
        ),
        ("utilization('a') < 1.0", Inconclusive),
        ("queue('a') == 0 && queue('b').max < 1", Held),
        ("recovery('slow') < duration('15s')", Held),
        ("amplification('a', 'b', '30s', '40s') < 2.0", Inconclusive),
        (
            "utilization('a') < 1.0 && success('shoppers') > 0.9",
            Failed,
        ),
        ("utilization('a') < 1.0 || success('shoppers') > 0.1", Held),
        (
            "utilization('a') < 1.0 || success('shoppers') > 0.9",
            Inconclusive,
        ),
        ("!(success('shoppers') < 0.5)", Held),
        (
            "latency('shoppers').p99 < 60 * latency('shoppers').p50",
            Held,
        ),
        (
            "latency('shoppers').p99 / latency('shoppers').p50 < 2.0",
            Failed,
        ),
        ("success('shoppers') > 0.9 ? false : true", Held),
        (
            "latency('shoppers').max / duration('1m30s') == latency('shoppers').max / duration('90s')",
            Held,
        ),
        ("1 - success('shoppers') < -0.1 + 0.5", Held),
        ("1 / errors('shoppers', 'timeout') > 0", Inconclusive),
    ];
    for (text, expected) in rows {
        let verdict = judged(text);
        assert_eq!(verdict.state, expected, "{text}: {verdict:?}");
        assert_eq!(verdict.note.is_empty(), expected != Inconclusive, "{text}");
    }
}

#[test]
fn a_verdict_says_by_how_much() {
    let verdict = judged("duration('500ms') > latency('shoppers').max");
    assert_eq!(verdict.unit, Unit::Nanos);
    assert_eq!((verdict.value, verdict.bound), (Some(400e6), Some(500e6)));
    assert!((verdict.margin.unwrap() - 0.2).abs() < 1e-12);
    assert_eq!(verdict.spark[5], Some(10e6));
    assert_eq!(verdict.spark[15], Some(400e6));
}

#[test]
fn of_several_comparisons_the_tightest_is_shown() {
    let verdict = judged("errors('shoppers', 'timeout') < 10 && success('shoppers') >= 0.9");
    assert_eq!((verdict.unit, verdict.bound), (Unit::Share, Some(0.9)));
    assert_eq!(verdict.state, State::Failed);
}

#[test]
fn a_recovery_that_never_came_fails_and_says_so() {
    let mut r = small();
    steady(&mut r, 0..10, 10, 200);
    steady(&mut r, 10..40, 900, 503);
    r.fault_started(FaultId(0), ms(10_000));
    r.fault_ended(FaultId(0), ms(20_000));
    let verdict = Expectation::parse("recovery('slow') < duration('15s')")
        .unwrap()
        .evaluate(&r.finish(ms(41_000)));
    assert_eq!(verdict.state, State::Failed);
    assert_eq!(
        (verdict.value, verdict.note.as_str()),
        (None, "never within the run")
    );
}

#[test]
fn problems_are_found_before_the_run_and_located() {
    let rows = [
        (
            "latncy('shoppers').p99 < duration('1s')",
            "latncy",
            "there is no function `latncy`",
            "did you mean `latency`?",
        ),
        (
            "latency('shoppers').p95 < duration('1s')",
            "p95",
            "`latency` has no field `p95`",
            "did you mean `p90`?",
        ),
        (
            "latency('shoppers') < duration('1s')",
            "latency('shoppers')",
            "`latency` is a distribution, not one number",
            "add one of `.mean`, `.p50`, `.p90`, `.p99`, `.p999`, `.max`",
        ),
        (
            "success('shopers') > 0.9",
            "'shopers'",
            "there is no load `shopers`",
            "did you mean `shoppers`?",
        ),
        (
            "success(shoppers) > 0.9",
            "shoppers",
            "arguments are strings",
            "write `'shoppers'`",
        ),
        (
            "recovery('fast') < duration('1s')",
            "'fast'",
            "there is no fault `fast`",
            "there are: `slow`",
        ),
        (
            "attempts('b', 'a') < 3",
            "'a'",
            "`b` does not call `a`",
            "it calls nothing",
        ),
        (
            "attempts('a', 'c') < 3",
            "'c'",
            "there is no workload `c`",
            "did you mean `a`?",
        ),
        (
            "latency('shoppers').p99 < 400",
            "latency('shoppers').p99 < 400",
            "a duration and a number do not go together here",
            "write `duration('400s')` or `duration('400ms')`",
        ),
        (
            "latency('shoppers').p99 < '400ms'",
            "'400ms'",
            "a string stands only as an argument of a function",
            "did you mean `duration('400ms')`?",
        ),
        (
            "latency('shoppers').p99 < duration('400 ms')",
            "'400 ms'",
            "`400 ms` is not a duration",
            "durations read like `400ms`, `1.5s` or `1m30s`",
        ),
        (
            "latency('shoppers', '50s', '30s').p99 < duration('1s')",
            "'50s', '30s'",
            "the window ends before it begins",
            "write `latency('load', '30s', '50s').p99`",
        ),
        (
            "success('shoppers', '50s', '60s') > 0.5",
            "'50s', '60s'",
            "the run ends at 40s",
            "move the window into the run",
        ),
        (
            "success('shoppers', '50s') > 0.5",
            "success('shoppers', '50s')",
            "wrong number of arguments: 2",
            "write `success('load')`, or over a window `success('load', '30s', '50s')`",
        ),
        (
            "success('shoppers')",
            "success('shoppers')",
            "an expectation is a truth value, this is a number",
            "compare it: `… >= 0.99`",
        ),
        (
            "success('shoppers').p99 > 1",
            "p99",
            "`success` has no field `p99`",
            "leave it out",
        ),
        (
            "errors('shoppers', 'timeouts') > 1",
            "'timeouts'",
            "there is no reason `timeouts`",
            "did you mean `timeout`?",
        ),
        (
            "success > 0.5",
            "success",
            "there is no value `success`",
            "`success` is a function: `success(…)`",
        ),
        (
            "[1, 2].exists(x, x > 1)",
            "(",
            "lists, maps and macros have no place in an expectation",
            "",
        ),
        (
            "true && success('shoppers')",
            "success('shoppers')",
            "a truth value belongs here, this is a number",
            "",
        ),
        (
            "success('shoppers') > ",
            "",
            "syntax error: mismatched input 'end of text'",
            "an expectation reads like `latency('shoppers').p99 < duration('400ms')`",
        ),
        (
            "success('shoppers) > 1",
            "'",
            "syntax error: token recognition error at: ''shoppers) > 1'",
            "a string begins here and has no end",
        ),
        (
            "success('sh\u{f6}pper') > 0.9",
            "'sh\u{f6}pper'",
            "there is no load `sh\u{f6}pper`",
            "did you mean `shoppers`?",
        ),
        (
            "errors('\u{f6}', 'timeout') == 0 && success('x\u{f6}', '1s', '2s') > 0.9",
            "'\u{f6}'",
            "there is no load `\u{f6}`",
            "there are: `shoppers`",
        ),
        (
            "success('shoppers', '\u{f6}') == 0 || attempts('\u{f6}', 'b').p99 > 0",
            "success('shoppers', '\u{f6}')",
            "wrong number of arguments: 2",
            "write `success('load')`, or over a window `success('load', '30s', '50s')`",
        ),
        (
            "1 % 2 == 1",
            "%",
            "this operator has no place in an expectation",
            "",
        ),
        (
            "'a'.size() > 1",
            "'a'.size()",
            "an expectation has no methods",
            "",
        ),
    ];
    for (text, at, message, help) in rows {
        assert_eq!(
            problem(text),
            (at.into(), message.into(), help.into()),
            "{text}"
        );
    }
}

#[test]
fn length_and_nesting_are_capped_before_the_parser_sees_them() {
    let deep =
        |open: &str, close: &str, n: usize| format!("{}1 < 2{}", open.repeat(n), close.repeat(n));
    assert!(Expectation::parse(&deep("(", ")", MAX_NESTING)).is_ok());
    let long = format!("true{}", " && true".repeat(200));
    let rows = [
        ("brackets", deep("(", ")", MAX_NESTING + 1), "nests at most"),
        ("lists", deep("[", "]", 400), "nests at most"),
        (
            "minus",
            format!("{}1 < 2", "- ".repeat(400)),
            "nests at most",
        ),
        ("not", format!("{}true", "!".repeat(400)), "nests at most"),
        ("long", long, "at most 1000 bytes"),
        (
            "conditionals",
            format!("{}true", "true ? true : ".repeat(60)),
            "nests at most",
        ),
        ("huge", "(".repeat(1_000_000), "at most 1000 bytes"),
    ];
    for (name, text, expected) in rows {
        let error = Expectation::parse(&text).expect_err(name);
        assert!(
            error.message.contains(expected),
            "{name}: {}",
            error.message
        );
    }
}

#[test]
fn an_expectation_whose_verdict_is_certain_is_refused_at_its_place() {
    let share = "a share is from 0 to 1: every run has the same verdict";
    let same = "this is the same in every run";
    let whole = "this is the same in every run: it asks nothing of the result";
    let zero = "nothing can be divided by zero";
    for (text, at, message, help) in [
        (
            "success('shoppers') >= 99",
            "99",
            share,
            "did you mean `0.99`?",
        ),
        (
            "99.5 <= success('shoppers')",
            "99.5",
            share,
            "did you mean `0.995`?",
        ),
        ("utilization('a') < 80", "80", share, "did you mean `0.8`?"),
        ("success('shoppers') > 0 - 1", "0 - 1", share, "as in"),
        (
            "success('shoppers') > 9 * 9 * 9",
            "9 * 9 * 9",
            share,
            "as in",
        ),
        ("1/0 > 0", "1/0 > 0", whole, "compare a figure"),
        ("true", "true", whole, "compare a figure"),
        ("!(1 < 2)", "!(1 < 2)", whole, "compare a figure"),
        (
            "true || success('shoppers') > 0.9",
            "true",
            same,
            "leave it out",
        ),
        (
            "success('shoppers') > 0.9 && 1 < 2",
            "1 < 2",
            same,
            "leave it out",
        ),
        ("success('shoppers') / 0 > 1", "0", zero, ""),
    ] {
        let errors = Expectation::parse(text).expect(text).check(&names());
        let [error] = &errors[..] else {
            panic!("{text}: {errors:?}");
        };
        assert_eq!(&text[error.range.clone()], at, "{text}");
        assert_eq!(error.message, message, "{text}");
        assert!(error.help.contains(help), "{text}: {}", error.help);
    }
    for text in [
        "success('shoppers') >= 1",
        "success('shoppers') > 0.0",
        "success('shoppers') * 100 >= 99",
        "latency('shoppers').p99 < duration('1s') * 2",
    ] {
        let errors = Expectation::parse(text).expect(text).check(&names());
        assert_eq!(errors, [], "{text}");
    }
}

#[test]
fn names_of_edges_are_left_alone_when_nobody_knows_them() {
    let expectation = Expectation::parse("attempts('b', 'a') < 3").unwrap();
    let unknown = Names {
        edges: None,
        ..names()
    };
    assert_eq!(expectation.check(&unknown), []);
}

#[test]
fn go_durations_are_read_and_written() {
    for (text, nanos) in [
        ("400ms", 400_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5s", 1_500_000_000),
        ("2h", 7_200_000_000_000),
        ("0s", 0),
        ("7us", 7_000),
    ] {
        assert_eq!(parse_go(text), Some(nanos as f64), "{text}");
        assert_eq!(format_go(nanos), text);
    }
    for text in ["", "5", "s", "-1s", "1 s", "1x", "..s", "9999999h"] {
        assert_eq!(parse_go(text), None, "{text}");
    }
    assert_eq!(
        Duration::from_nanos(parse_go("1h1ns").unwrap() as u64).as_nanos(),
        3_600_000_000_001
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_text_panics(text in "[a-z0-9'()\\[\\]{}.,<>=!&|?:+*/ \\-\"\\\\\u{e9}\u{1f600}]{0,60}") {
        if let Err(error) = Expectation::parse(&text) {
            prop_assert!(text.get(error.range).is_some());
        }
    }

    #[test]
    fn no_expression_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "latency('shoppers')", ".p99", "success('shoppers')", "queue('a').max", "duration('1s')", "1", "0.5", "true",
        " < ", " == ", " && ", " || ", " + ", " - ", " * ", " / ", "!", "-", "(", ")", " ? ", " : ", "recovery('slow')",
    ]), 0..12)) {
        let text = parts.concat();
        match Expectation::parse(&text) {
            Ok(expectation) => { let _ = expectation.evaluate(&small().finish(ms(40_000))); }
            Err(error) => prop_assert!(text.get(error.range).is_some()),
        }
    }
}
