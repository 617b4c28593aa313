//! Verdicts as a JUnit file, for CI systems that list tests: a suite a result, a case an expectation.
//!
//! What is inconclusive fails as what did not hold, with `inconclusive` as its type. Of a run that was cut short every expectation is an
//! error of the type `partial`, whatever came out so far: a list of tests that turned out well would be a verdict. There is no
//! clock in the file: the same results give the same bytes.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::result::RunResult;
use crate::verdict::{State, Verdict};
use crate::words;

/// The type of an error that is no result but the lack of one.
const PARTIAL: &str = "partial";

/// The results as JUnit XML.
#[must_use]
pub fn write(results: &[RunResult]) -> String {
    let mut report = Report::new("windtunnel");
    for result in results {
        let name = match &result.variant {
            Some(variant) => format!("{}/{variant}", result.scenario),
            None => result.scenario.clone(),
        };
        let partial = result.why_partial();
        let mut suite = TestSuite::new(name.as_str());
        for verdict in &result.expectations {
            let status = match &partial {
                Some(why) => so_far(verdict, why),
                None => status(verdict),
            };
            let mut case = TestCase::new(verdict.expression.as_str(), status);
            case.set_classname(name.as_str());
            suite.add_test_case(case);
        }
        if let (Some(why), true) = (&partial, result.expectations.is_empty()) {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type(PARTIAL).set_message(why.as_str());
            let mut case = TestCase::new("all was run", status);
            case.set_classname(name.as_str());
            suite.add_test_case(case);
        }
        if !result.basis.command.is_empty() {
            suite.set_system_out(result.basis.command.as_str());
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .expect("XML goes into memory, and its strings hold no control characters")
}

fn status(verdict: &Verdict) -> TestCaseStatus {
    if verdict.state == State::Held {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type(verdict.state.word())
        .set_message(message(verdict, verdict.state.word()));
    status
}

/// What came out until the run was cut short, which is no verdict.
fn so_far(verdict: &Verdict, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let message = message(verdict, verdict.state.word_so_far());
    status
        .set_type(PARTIAL)
        .set_message(format!("{why}; {message}"));
    status
}

fn message(verdict: &Verdict, word: &str) -> String {
    let mut message = format!("{word}: measured {}", verdict.measured());
    if let Some(bound) = verdict.bound {
        message.push_str(&format!(", bound {}", words::quantity(bound, verdict.unit)));
    }
    if !verdict.note.is_empty() {
        message.push_str(&format!(": {}", verdict.note));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Shape, run};

    #[test]
    fn each_expectation_is_a_case_and_what_did_not_hold_a_failure() {
        let results = [run(Shape::Storm, 7), run(Shape::Budget, 7)];
        let text = write(&results);
        let all: usize = results.iter().map(|r| r.expectations.len()).sum();
        let verdicts = results.iter().flat_map(|r| &r.expectations);
        let bad = verdicts.filter(|v| v.state != State::Held).count();
        assert_eq!(text.matches("<testcase ").count(), all);
        assert_eq!(text.matches("<failure ").count(), bad);
        assert!(
            bad > 0 && bad < all && !text.contains("timestamp"),
            "{text}"
        );
        assert_eq!(text, write(&results));
    }

    #[test]
    fn of_a_run_that_was_cut_short_no_expectation_succeeds() {
        let mut cut = run(Shape::Budget, 7);
        cut.time.cut_at_ns = Some(12_300_000_000);
        let all = cut.expectations.len();
        let text = write(&[cut.clone()]);
        assert_eq!(text.matches("type=\"partial\"").count(), all, "{text}");
        assert!(
            text.contains("the run was cut short at 00:12.3 of 02:00.0; held so far: measured")
        );
        cut.expectations.clear();
        assert!(write(&[cut]).contains("errors=\"1\""));
    }
}
