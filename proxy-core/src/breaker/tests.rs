use super::*;

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

struct Bench {
    settings: Breaker,
    words: Vec<u64>,
}

impl Bench {
    fn of(expression: &str) -> Self {
        let expression = Expression::parse(expression).unwrap();
        Self {
            words: vec![0; BreakerState::words(&expression)],
            settings: Breaker {
                expression,
                check_period: Duration::from_millis(100),
                fallback: Duration::from_secs(10),
                recovery: Duration::from_secs(10),
            },
        }
    }

    fn record(&mut self, status: u16, millis: u64) -> Option<Change> {
        let took = Duration::from_millis(5);
        let unix = 1_000_000 + millis / 1_000;
        BreakerState::new(0).record(
            &mut self.words,
            &self.settings,
            (status, took),
            at(millis),
            unix,
        )
    }

    fn admit(&mut self, millis: u64) -> (bool, Option<Change>) {
        BreakerState::new(0).admit(&mut self.words, &self.settings, at(millis))
    }
}

const ERRORS: &str = "ResponseCodeRatio(500, 600, 0, 600) > 0.5";

#[test]
fn it_opens_when_its_expression_holds_and_refuses_everything() {
    let mut bench = Bench::of(ERRORS);
    assert_eq!(bench.admit(0), (true, None));
    assert_eq!(bench.record(500, 10), Some(Change::Opened), "one of one");
    assert_eq!(bench.admit(11), (false, None));
    assert_eq!(bench.admit(10_009), (false, None));
}

#[test]
fn its_expression_is_looked_at_once_in_a_period_and_only_when_a_result_comes() {
    let mut bench = Bench::of(ERRORS);
    assert_eq!(bench.record(200, 10), None);
    for millis in 11..=110 {
        assert_eq!(bench.record(500, millis), None, "{millis}");
    }
    assert_eq!(
        bench.admit(5_000),
        (true, None),
        "nothing comes, nothing happens"
    );
    assert_eq!(bench.record(200, 5_001), Some(Change::Opened));
}

#[test]
fn results_of_more_than_ten_seconds_ago_do_not_count() {
    let mut bench =
        Bench::of("ResponseCodeRatio(500, 600, 0, 600) > 0.5 && RequestThreshold() > 3");
    for _ in 0..3 {
        assert_eq!(bench.record(500, 50), None);
    }
    assert_eq!(bench.record(500, 11_000), None);
    assert_eq!(bench.record(500, 11_101), None);
}

#[test]
fn what_ends_while_it_is_open_counts_and_changes_nothing() {
    let mut bench = Bench::of(ERRORS);
    assert_eq!(bench.record(500, 0), Some(Change::Opened));
    assert_eq!(bench.record(500, 5_000), None);
    assert_eq!(bench.admit(10_001), (false, Some(Change::Recovering)));
    // what was measured before it opened is forgotten, what came since is not
    assert_eq!(bench.record(200, 10_200), None, "one of two");
    assert_eq!(
        bench.record(500, 10_400),
        Some(Change::Opened),
        "two of three"
    );
}

#[test]
fn a_recovering_breaker_lets_half_pass_in_the_end() {
    let mut bench = Bench::of(ERRORS);
    let _ = bench.record(500, 0);
    let mut passed = [0_u32; 10];
    for millis in 10_000..20_000 {
        let (passes, _) = bench.admit(millis);
        passed[(millis as usize - 10_000) / 1_000] += u32::from(passes);
    }
    // the share of all so far is half of the share of the time: of each second's thousand 50, 150, 250 and so on
    for (second, count) in passed.iter().enumerate() {
        let want = 50 + 100 * second as u32;
        assert!(count.abs_diff(want) <= 3, "{second}: {count}");
    }
    assert_eq!(bench.admit(20_001), (true, Some(Change::Closed)));
    assert_eq!(bench.admit(20_002), (true, None));
}

#[test]
fn a_recovering_breaker_opens_again() {
    let mut bench = Bench::of(ERRORS);
    let _ = bench.record(500, 0);
    let _ = bench.admit(12_000);
    assert_eq!(bench.record(503, 12_500), Some(Change::Opened));
    assert_eq!(bench.admit(22_499), (false, None));
    assert_eq!(bench.admit(22_500).1, Some(Change::Recovering));
}

#[test]
fn without_requests_an_open_breaker_stays_open_until_one_comes() {
    let mut bench = Bench::of(ERRORS);
    let _ = bench.record(500, 0);
    let (passes, change) = bench.admit(3_600_000);
    assert_eq!(
        (passes, change),
        (false, Some(Change::Recovering)),
        "its share is none yet"
    );
}

#[test]
fn latencies_open_it() {
    let mut bench = Bench::of("LatencyAtQuantileMS(50.0) > 4");
    assert_eq!(bench.record(200, 0), Some(Change::Opened));
}

#[test]
fn no_time_of_recovery_means_half_and_then_all() {
    let mut bench = Bench::of(ERRORS);
    bench.settings.recovery = Duration::ZERO;
    let _ = bench.record(500, 0);
    assert_eq!(bench.admit(10_000), (false, Some(Change::Recovering)));
    assert_eq!(bench.admit(10_001), (true, Some(Change::Closed)));
}

#[test]
fn an_expression_may_be_foregone() {
    for (text, expected) in [
        ("NetworkErrorRatio() > 0.5", None),
        ("NetworkErrorRatio() > 1.0", Some(false)),
        ("NetworkErrorRatio() >= 1.0", None),
        ("NetworkErrorRatio() >= 0.0", Some(true)),
        ("NetworkErrorRatio() < 0.0", Some(false)),
        ("NetworkErrorRatio() <= 1.5", Some(true)),
        ("NetworkErrorRatio() == 1.5", Some(false)),
        ("NetworkErrorRatio() != 1.5", Some(true)),
        ("LatencyAtQuantileMS(50.0) > 100", None),
        ("LatencyAtQuantileMS(50.0) >= 0", Some(true)),
        (
            "NetworkErrorRatio() > 1.0 && LatencyAtQuantileMS(50.0) > 100",
            Some(false),
        ),
        (
            "NetworkErrorRatio() > 1.0 || LatencyAtQuantileMS(50.0) > 100",
            None,
        ),
        (
            "NetworkErrorRatio() > 1.0 || LatencyAtQuantileMS(50.0) >= 0",
            Some(true),
        ),
        ("ResponseCodeRatio(500, 600, 0, 600) > 1.0", None),
    ] {
        let expression = Expression::parse(text).expect(text);
        assert_eq!(expression.foregone(), expected, "{text}");
    }
}
