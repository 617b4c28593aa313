//! Verdicts as a JUnit file, for CI systems that list tests: a suite a result, a case an expectation.
//!
//! What is inconclusive fails as what did not hold, with `inconclusive` as its type. There is no clock in the file: the same results
//! give the same bytes.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::result::RunResult;
use crate::verdict::{State, Verdict};
use crate::words;

/// The results as JUnit XML.
#[must_use]
pub fn write(results: &[RunResult]) -> String {
    let mut report = Report::new("windtunnel");
    for result in results {
        let name = match &result.variant {
            Some(variant) => format!("{}/{variant}", result.scenario),
            None => result.scenario.clone(),
        };
        let mut suite = TestSuite::new(name.as_str());
        for verdict in &result.expectations {
            let mut case = TestCase::new(verdict.expression.as_str(), status(verdict));
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
    let mut message = format!("{}: measured {}", verdict.state.word(), verdict.measured());
    if let Some(bound) = verdict.bound {
        message.push_str(&format!(", bound {}", words::quantity(bound, verdict.unit)));
    }
    if !verdict.note.is_empty() {
        message.push_str(&format!(": {}", verdict.note));
    }
    status.set_type(verdict.state.word()).set_message(message);
    status
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
}
