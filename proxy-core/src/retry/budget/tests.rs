use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn budget(ratio: f32, min_per_second: u32, ttl_seconds: u64) -> RateBudget {
    RateBudget::new(ratio, min_per_second, Duration::from_secs(ttl_seconds)).unwrap()
}

/// One balance that starts at time zero.
struct Account {
    words: Vec<u64>,
    budget: RateBudget,
}

impl Account {
    fn new(budget: RateBudget) -> Self {
        Self {
            words: vec![0; Balance::WORDS],
            budget,
        }
    }

    fn deposit(&mut self, millis: u64) {
        Balance::new(0).deposit(&mut self.words, &self.budget, at(millis));
    }

    fn withdraw(&mut self, millis: u64) -> bool {
        Balance::new(0).withdraw(&mut self.words, &self.budget, at(millis))
    }
}

#[test]
fn envoys_budget_is_a_share_of_the_requests_with_a_floor() {
    let rows = [
        (20.0, 3, 0, 3),
        (20.0, 3, 19, 3),
        (20.0, 3, 24, 4),
        (25.0, 3, 100, 25),
        (0.0, 0, 9, 0),
        (12.5, 1, 23, 2),
        (20.0, 0, 4, 0),
        (20.0, 0, 5, 1),
        (20.0, 3, 15, 3),
        (20.0, 3, 20, 4),
        // 0.29 × 100 is a little less than 29 in Envoy's doubles, too
        (29.0, 0, 100, 28),
        (100.0, 0, 7, 7),
        (100.0, 9, 7, 9),
    ];
    for (percent, min_concurrency, requests, expected) in rows {
        let budget = ConcurrencyBudget {
            percent,
            min_concurrency,
            interval: None,
        };
        assert_eq!(
            budget.limit(requests),
            expected,
            "{percent} % of {requests}"
        );
    }
}

#[test]
fn a_request_leaves_the_window_after_nine_to_ten_tenths() {
    let interval = Duration::from_secs(10);
    let mut words = vec![0; RequestWindow::WORDS];
    let window = RequestWindow::new(0);
    window.start(&mut words, at(500));
    window.record(&mut words, interval, at(600));
    window.record(&mut words, interval, at(1_499));
    window.record(&mut words, interval, at(1_500));
    let count = |millis| window.count(&words, interval, at(millis));
    assert_eq!(count(1_500), 3);
    assert_eq!(count(10_499), 3);
    assert_eq!(count(10_500), 1);
    assert_eq!(count(11_500), 0);
    assert_eq!(count(1_000_000_000), 0);
}

#[test]
fn the_reserve_alone_pays_for_the_minimum() {
    let mut account = Account::new(budget(1.0, 5, 1));
    let paid: Vec<bool> = (0..6).map(|_| account.withdraw(0)).collect();
    assert_eq!(paid, [true, true, true, true, true, false]);
}

#[test]
fn nothing_deposited_and_no_reserve_pays_for_nothing() {
    assert!(!Account::new(budget(1.0, 0, 1)).withdraw(0));
    let mut no_ratio = Account::new(budget(0.0, 0, 1));
    no_ratio.deposit(0);
    assert!(!no_ratio.withdraw(0));
}

#[test]
fn deposits_expire() {
    let mut account = Account::new(budget(1.0, 0, 1));
    account.deposit(0);
    assert!(!account.withdraw(3_000));
}

#[test]
fn deposits_of_several_slots_add_up_until_they_expire() {
    let mut account = Account::new(budget(0.5, 0, 1));
    account.deposit(0);
    account.deposit(0);
    assert!(account.withdraw(901));
    account.deposit(2_902);
    account.deposit(3_203);
    account.deposit(4_004);
    assert!(
        account.withdraw(4_004),
        "the second and third deposit pay, the first is gone"
    );
    assert!(!account.withdraw(4_004));
}

#[test]
fn linkerds_default_gives_one_retry_per_five_outcomes_beyond_the_reserve() {
    let mut account = Account::new(RateBudget::linkerd());
    let reserve = (0..200).filter(|_| account.withdraw(0)).count();
    assert_eq!(reserve, 100, "10 per second for 10 s");
    for _ in 0..4 {
        account.deposit(0);
    }
    assert!(!account.withdraw(0));
    account.deposit(0);
    assert!(account.withdraw(0));
}

#[test]
fn a_ratio_above_one_gives_several_retries_per_outcome() {
    let mut account = Account::new(budget(2.0, 0, 1));
    account.deposit(0);
    assert_eq!((0..5).filter(|_| account.withdraw(0)).count(), 2);
}

#[test]
fn impossible_budgets_are_refused() {
    let ttl = Duration::from_millis(999);
    assert_eq!(RateBudget::new(0.2, 10, ttl), Err(InvalidBudget::Ttl(ttl)));
    let long = Duration::from_secs(61);
    assert_eq!(
        RateBudget::new(0.2, 10, long),
        Err(InvalidBudget::Ttl(long))
    );
    assert_eq!(
        RateBudget::new(-0.1, 10, Duration::from_secs(10)),
        Err(InvalidBudget::Ratio(-0.1))
    );
    assert!(RateBudget::new(f32::NAN, 10, Duration::from_secs(10)).is_err());
}

/// The slow obvious balance: every movement with the number of the slot it fell into.
struct Ledger {
    budget: RateBudget,
    slot: i64,
    began: u64,
    movements: Vec<(i64, i64)>,
}

impl Ledger {
    fn roll(&mut self, nanos: u64) {
        let width = self.budget.slot.as_nanos();
        let mut elapsed = nanos - self.began;
        if elapsed < width {
            return;
        }
        self.slot += 1;
        while elapsed > width {
            elapsed -= width;
            self.slot += 1;
        }
        self.began = nanos;
    }

    /// What the running slot and the ten before it come to.
    fn balance(&self) -> i64 {
        let kept = self
            .movements
            .iter()
            .filter(|(slot, _)| *slot >= self.slot - 10);
        kept.map(|(_, amount)| amount).sum::<i64>() + self.budget.reserve
    }

    fn withdraw(&mut self, nanos: u64) -> bool {
        self.roll(nanos);
        let affordable = self.balance() >= self.budget.withdrawal;
        if affordable {
            self.movements.push((self.slot, -self.budget.withdrawal));
        }
        affordable
    }

    fn deposit(&mut self, nanos: u64) {
        self.roll(nanos);
        self.movements.push((self.slot, self.budget.deposit));
    }
}

proptest! {
    #[test]
    fn envoys_limit_is_never_below_its_floor_and_never_above_the_larger_of_both(
        percent in 0.0_f64..100.0, min_concurrency in 0_u32..20, requests in 0_u64..10_000
    ) {
        let budget = ConcurrencyBudget { percent, min_concurrency, interval: None };
        let (limit, floor) = (budget.limit(requests), u64::from(min_concurrency));
        prop_assert!(limit >= floor);
        prop_assert!(limit as f64 <= (percent / 100.0 * requests as f64).max(f64::from(min_concurrency)));
        prop_assert!(limit == floor || (limit + 1) as f64 > percent / 100.0 * requests as f64);
        prop_assert!(budget.limit(requests + 1) >= limit);
    }

    #[test]
    fn balances_agree_with_a_ledger(
        ratio in prop_oneof![Just(0.2_f32), Just(1.0), Just(0.0), Just(0.33), Just(3.0)],
        min in 0_u32..3, steps in prop::collection::vec((0_u64..400, any::<bool>()), 0..300)
    ) {
        let budget = budget(ratio, min, 1);
        let mut account = Account::new(budget);
        let mut ledger = Ledger { budget, slot: 0, began: 0, movements: vec![] };
        let mut millis = 0;
        for (gap, retry) in steps {
            // mostly close together, sometimes longer than the ttl
            millis += if gap > 390 { gap * 10 } else { gap / 8 };
            if retry {
                prop_assert_eq!(account.withdraw(millis), ledger.withdraw(millis * 1_000_000));
            } else {
                account.deposit(millis);
                ledger.deposit(millis * 1_000_000);
            }
        }
    }

    #[test]
    fn retries_over_any_half_ttl_stay_within_deposits_and_reserve(
        min in 0_u32..3, steps in prop::collection::vec((0_u64..60, any::<bool>()), 0..400)
    ) {
        let budget = budget(0.2, min, 1);
        let mut account = Account::new(budget);
        let (mut millis, mut deposits, mut retries) = (0, vec![], vec![]);
        for (gap, retry) in steps {
            millis += gap;
            if !retry {
                account.deposit(millis);
                deposits.push(millis);
            } else if account.withdraw(millis) {
                retries.push(millis);
                let within = retries.iter().filter(|&&r| r + 500 > millis).count() as i64;
                // a slot may be longer than a tenth by the longest gap, and eleven are kept
                let kept = deposits.iter().filter(|&&d| d + 11 * (100 + 60) >= millis).count() as i64;
                prop_assert!(within * budget.withdrawal <= kept * budget.deposit + budget.reserve);
            }
        }
    }

    #[test]
    fn the_window_counts_like_a_list_of_times(gaps in prop::collection::vec(0_u64..3_000, 1..200)) {
        let interval = Duration::from_secs(10);
        let mut words = vec![0; RequestWindow::WORDS];
        let (mut millis, mut times) = (0, vec![]);
        for gap in gaps {
            millis += gap;
            RequestWindow::new(0).record(&mut words, interval, at(millis));
            times.push(millis);
            let kept = times.iter().filter(|&&t| t / 1_000 + 10 > millis / 1_000).count() as u64;
            prop_assert_eq!(RequestWindow::new(0).count(&words, interval, at(millis)), kept);
        }
    }
}
