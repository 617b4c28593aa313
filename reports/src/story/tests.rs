use super::*;
use crate::demo::{Shape, run};
use crate::figures::tests::{ms, small, steady};

fn told(result: &RunResult) -> String {
    let sentences: Vec<String> = story(result).iter().map(Sentence::with_moment).collect();
    sentences.join("\n")
}

#[test]
fn a_storm_is_told_in_order_with_its_rules() {
    insta::assert_snapshot!(told(&run(Shape::Storm, 7)));
}

#[test]
fn a_budget_that_heals_is_told() {
    insta::assert_snapshot!(told(&run(Shape::Budget, 7)));
}

#[test]
fn what_never_worked_is_told_from_the_start() {
    insta::assert_snapshot!(told(&run(Shape::Refused, 7)));
}

#[test]
fn a_quiet_run_is_said_to_be_quiet() {
    let mut r = small();
    steady(&mut r, 0..40, 10, 200);
    insta::assert_snapshot!(told(&r.finish(ms(41_000))));
    insta::assert_snapshot!(told(&small().finish(ms(40_000))));
}
