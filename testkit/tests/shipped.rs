//! What the shipped scenarios say of themselves, in their comments and in the README, is what their flights show.
//!
//! Each variant is flown whole, on the scenario's seed and on the one after it: a story that only one seed tells is no story.

use reports::expect::Expectation;
use reports::figures::recovery::{Recovery, recovery};
use reports::outcome::{ErrorReason, Handled, Limit, Refusal, RetryCondition};
use reports::result::{EdgeResult, RunResult};
use reports::verdict::State;
use sim::Options;
use testkit::flights::shipped_flight;

/// One variant, flown on two seeds.
struct Tale {
    name: String,
    flown: Vec<RunResult>,
}

impl Tale {
    /// Flies a variant on two seeds.
    fn of(scenario: &str, variant: Option<&str>) -> Self {
        let flight = shipped_flight(scenario, variant, &[]);
        let first = flight.plan.seed;
        let fly = |seed| sim::fly(&flight, seed, Options::default()).result;
        Self {
            name: format!("{scenario}/{}", variant.unwrap_or("as it stands")),
            flown: [first, first + 1].map(fly).into(),
        }
    }

    /// What must hold on both seeds, in the words of expectations.
    fn holds(&self, claims: &[&str]) -> &Self {
        for (nth, result) in self.flown.iter().enumerate() {
            self.hold(nth, result, claims);
        }
        self
    }

    /// What must hold on the scenario's own seed: the numbers that its readers are told.
    fn told(&self, claims: &[&str]) -> &Self {
        self.hold(0, &self.flown[0], claims);
        self
    }

    fn hold(&self, nth: usize, result: &RunResult, claims: &[&str]) {
        for claim in claims {
            let parsed = Expectation::parse(claim).unwrap_or_else(|e| panic!("{claim}: {e}"));
            let verdict = parsed.evaluate(result);
            assert_eq!(
                verdict.state,
                State::Held,
                "{}, seed {}: {claim}: {:?} {}",
                self.name,
                result.seeds[0],
                verdict.value,
                if nth == 0 { "" } else { "(the next seed)" },
            );
        }
    }

    /// The end of the only fault, on each seed.
    fn recoveries(&self) -> Vec<Recovery> {
        self.flown.iter().map(|it| recovery(it, 0)).collect()
    }

    fn never_recovers(&self) -> &Self {
        assert_eq!(self.recoveries(), [Recovery::Never; 2], "{}", self.name);
        self
    }

    /// What must hold on both seeds of the way between two workloads.
    fn edge(&self, from: &str, to: &str, holds: impl Fn(&RunResult, &EdgeResult)) -> &Self {
        for result in &self.flown {
            let (from, to) = (result.workloads_named(from), result.workloads_named(to));
            let joins = |e: &&EdgeResult| {
                from.contains(&(e.from as usize)) && to.contains(&(e.to as usize))
            };
            let edge = result.edges.iter().find(joins);
            holds(result, edge.expect("they talk to each other"));
        }
        self
    }

    /// Requests that a workload dealt with so, on the scenario's own seed.
    fn handled(&self, workload: &str, how: Handled) -> u64 {
        let result = &self.flown[0];
        let at = result.workloads_named(workload)[0];
        result.workloads[at].handled.get(&how).copied().unwrap_or(0)
    }

    /// Everything that a load's requests ended in, on each seed.
    fn reasons(&self, load: &str) -> Vec<Vec<ErrorReason>> {
        let reasons = |result: &RunResult| {
            let load = result.load(load).expect("a load of this name");
            load.reasons.keys().copied().collect()
        };
        self.flown.iter().map(reasons).collect()
    }

    /// A quantile of the latency of a load between two seconds, in milliseconds, on the scenario's own seed.
    fn quantile(&self, load: &str, (from, to): (u64, u64), share: f64) -> f64 {
        let result = &self.flown[0];
        let load = result.load(load).expect("a load of this name");
        let span = result.time.span(from * 1_000_000_000, to * 1_000_000_000);
        let latency = load.latency(false, Some(span)).quantile(share);
        latency.expect("some finished") as f64 / 1e6
    }

    /// Failures of a load on its own seed.
    fn failed(&self, load: &str) -> f64 {
        self.flown[0].load(load).expect("a load").failed as f64
    }
}

/// The rule at an origin, its folder left out.
fn rule(result: &RunResult, origin: Option<u32>) -> &str {
    let text = origin.map_or("", |at| &result.origins[at as usize].text);
    text.rsplit("scenarios/").next().unwrap_or(text)
}

/// Every retry of an edge was asked for by this rule, on this condition.
fn all_retried_by(result: &RunResult, edge: &EdgeResult, condition: RetryCondition, by: &str) {
    let [retried] = edge.retried.as_slice() else {
        panic!("one rule retries, not {:?}", edge.retried);
    };
    assert_eq!(retried.condition, condition);
    assert!(
        rule(result, retried.origin).starts_with(by),
        "{}",
        rule(result, retried.origin)
    );
}

/// Every refusal of an edge came from this limit of this rule.
fn all_refused_by(result: &RunResult, edge: &EdgeResult, limit: Limit, by: &str) {
    let [refused] = edge.rejected.as_slice() else {
        panic!("one limit refuses, not {:?}", edge.rejected);
    };
    assert_eq!(refused.limit, limit);
    assert!(
        rule(result, refused.origin).starts_with(by),
        "{}",
        rule(result, refused.origin)
    );
}

fn served_only(tale: &Tale, load: &str) {
    assert_eq!(
        tale.reasons(load),
        [[ErrorReason::None]; 2],
        "{}",
        tale.name
    );
}

// tutorial

#[test]
fn each_try_that_strict_refuses_says_so_with_its_rule() {
    let flight = shipped_flight("tutorial", Some("guide"), &[]);
    let seed = flight.plan.seed;
    let flown = sim::fly(&flight, seed, Options::default());
    let waterfalls = sim::waterfalls(&flight, seed, &flown.picks, Options::default());
    let failed = waterfalls.iter().find(|it| it.failed);
    let failed = failed.expect("all requests of the guide fail");
    let marks = failed.spans.iter().flat_map(|span| &span.marks);
    let refused = marks.filter(|mark| mark.text.contains("refuses the connection"));
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 6, "{failed:#?}");
    for mark in refused {
        let (by, why) = mark
            .text
            .split_once(" refuses the connection: ")
            .expect("both");
        assert!(
            by.starts_with("service-a-") && by.ends_with(" sidecar"),
            "{by}"
        );
        assert_eq!(why, Refusal::MutualTls.text());
        let rule = mark.origin.as_deref().unwrap_or_default();
        assert!(rule.contains("istio-policies.yaml:"), "{rule}");
    }
}

#[test]
fn the_guide_serves_nobody_and_kong_tries_each_request_six_times() {
    let guide = Tale::of("tutorial", Some("guide"));
    guide
        .holds(&[
            "success('shoppers') == 0.0",
            "amplification('api-gateway', 'service-a') > 5.99",
            "amplification('api-gateway', 'service-a') < 6.01",
            "utilization('service-a') == 0.0",
        ])
        .edge("api-gateway", "service-a", |result, edge| {
            all_retried_by(result, edge, RetryCondition::Reset, "default of kong");
        });
    assert_eq!(guide.reasons("shoppers"), [[ErrorReason::Reset]; 2]);
    for result in &guide.flown {
        let [refused] = result.refused.as_slice() else {
            panic!("STRICT alone refuses, not {:?}", result.refused);
        };
        assert_eq!(refused.why, Refusal::MutualTls);
        let by = "tutorial/layered/istio-policies.yaml:";
        assert!(rule(result, refused.origin).starts_with(by));
        let origin = refused.origin.map(|at| &result.origins[at as usize]);
        assert_eq!(origin.map(|it| it.snippet.as_str()), Some("mode: STRICT"));
        let tries = result.between("api-gateway", "service-a", None);
        let tries = tries.expect("Kong dials it").attempts();
        assert!(refused.count.abs_diff(tries) < 10, "a connection each");
    }
}

#[test]
fn kong_in_the_mesh_retries_nothing_and_heals_by_itself() {
    Tale::of("tutorial", Some("meshed"))
        .told(&["success('shoppers') > 0.705 && success('shoppers') < 0.715"])
        .holds(&[
            "amplification('api-gateway', 'service-a') == 1.0",
            // perTryTimeout: 2s is a timeout of 2 s
            "latency('shoppers').max < duration('2100ms')",
            "success('shoppers', '35s', '65s') == 0.0",
            "recovery('slow-a') >= duration('20s') && recovery('slow-a') <= duration('30s')",
        ]);
}

#[test]
fn the_storm_outlives_its_cause_to_the_end() {
    let storm = Tale::of("tutorial", Some("storm"));
    storm
        .told(&[
            "success('shoppers') > 0.145 && success('shoppers') < 0.155",
            "amplification('api-gateway', 'service-a') > 3.45",
            "amplification('api-gateway', 'service-a') < 3.55",
        ])
        .holds(&[
            "success('shoppers', '10s', '30s') >= 0.99",
            "success('shoppers', '35s', '140s') == 0.0",
        ])
        .never_recovers()
        .edge("api-gateway", "service-a", |result, edge| {
            let by = "tutorial/storm/retries.yaml:16";
            all_retried_by(result, edge, RetryCondition::PerTryTimeout, by);
        });
    let (wasted, served) = (Handled::Wasted, Handled::Served);
    let [wasted, served] = [wasted, served].map(|how| storm.handled("service-a", how) as f64);
    let share = wasted / (wasted + served);
    assert!((0.955..0.965).contains(&share), "{share} is for nobody");
}

#[test]
fn a_budget_ends_the_storm_later_than_no_retries_at_all() {
    Tale::of("tutorial", Some("budget"))
        .told(&[
            "success('shoppers') > 0.535 && success('shoppers') < 0.545",
            "amplification('api-gateway', 'service-a') > 1.115",
            "amplification('api-gateway', 'service-a') < 1.125",
        ])
        .holds(&[
            "recovery('slow-a') > duration('30s') && recovery('slow-a') < duration('70s')",
            "success('shoppers', '115s', '150s') >= 0.999",
        ])
        .edge("api-gateway", "service-a", |result, edge| {
            let by = "tutorial/budget/budget.yaml:10";
            all_refused_by(result, edge, Limit::RetryBudget, by);
            let wanted = edge.totals.retries + edge.totals.rejected;
            let share = edge.totals.retries as f64 / wanted as f64;
            assert!((0.15..0.3).contains(&share), "{share} of the retries pass");
        });
}

#[test]
fn limits_refuse_what_is_too_much_at_once_and_take_pods_out_in_turn() {
    Tale::of("tutorial", Some("limits"))
        .told(&[
            "success('shoppers') > 0.77 && success('shoppers') < 0.785",
            "recovery('slow-a') == duration('30s')",
        ])
        .holds(&[
            "success('shoppers', '30s', '50s') > 0.05",
            "success('shoppers', '30s', '50s') < 0.11",
            // refused in milliseconds
            "latency('shoppers', '32s', '48s').p50 < duration('20ms')",
            "amplification('api-gateway', 'service-a') < 1.015",
            "recovery('slow-a') <= duration('30s')",
            "queue('service-a').max <= 256.0",
            "ejections('service-a') == 2.0",
            // the one that is left works for most
            "success('shoppers', '50s', '65s') > 0.6 && success('shoppers', '50s', '65s') < 0.85",
        ])
        .edge("api-gateway", "service-a", |result, edge| {
            let by = "tutorial/limits/limits.yaml:17";
            all_refused_by(result, edge, Limit::Pending, by);
        });
}

#[test]
fn under_linkerd_callers_wait_until_they_give_up() {
    let linkerd = Tale::of("tutorial", Some("linkerd"));
    linkerd
        .told(&["success('shoppers') > 0.815 && success('shoppers') < 0.830"])
        .holds(&[
            "amplification('api-gateway', 'service-a') == 1.0",
            "latency('shoppers', '35s', '50s').p50 >= duration('7900ms')",
            "recovery('slow-a') >= duration('20s') && recovery('slow-a') <= duration('35s')",
        ]);
    let ends = [ErrorReason::None, ErrorReason::Timeout];
    assert_eq!(linkerd.reasons("shoppers"), [ends; 2]);
}

// retry-storm

#[test]
fn a_retry_storm_is_metastable() {
    let storm = Tale::of("retry-storm", Some("storm"));
    storm
        .holds(&[
            "success('shoppers', '10s', '30s') >= 0.99",
            "success('shoppers', '40s', '178s') == 0.0",
            // four tries for each call
            "amplification('shop', 'orders', '60s', '170s') > 3.9",
            "queue('orders', '170s', '180s').mean > queue('orders', '60s', '70s').mean",
        ])
        .never_recovers()
        .edge("shop", "orders", |result, edge| {
            let by = "retry-storm/policy/retries.yaml";
            all_retried_by(result, edge, RetryCondition::PerTryTimeout, by);
        });
}

#[test]
fn a_budget_ends_the_retry_storm_in_five_times_its_cause() {
    Tale::of("retry-storm", Some("budget"))
        .holds(&[
            "recovery('slow-orders') >= duration('45s') && recovery('slow-orders') <= duration('60s')",
            "amplification('shop', 'orders') < 1.2",
            "success('shoppers', '150s', '180s') >= 0.99",
        ])
        .edge("shop", "orders", |result, edge| {
            let by = "retry-storm/budget/budget.yaml";
            all_refused_by(result, edge, Limit::RetryBudget, by);
        });
}

#[test]
fn a_short_queue_heals_within_seconds_and_serves_nobody_meanwhile() {
    Tale::of("retry-storm", Some("short-queue")).holds(&[
        "success('shoppers', '30s', '40s') < 0.05",
        "success('shoppers', '43s', '180s') >= 0.999",
        "recovery('slow-orders') <= duration('10s')",
    ]);
}

#[test]
fn newest_first_serves_what_can_be_served_and_heals_within_seconds() {
    Tale::of("retry-storm", Some("newest-first")).holds(&[
        "success('shoppers', '30s', '40s') > 0.05",
        "success('shoppers', '30s', '40s') < 0.3",
        "success('shoppers', '43s', '180s') >= 0.999",
        // the oldest are never served
        "queue('orders', '170s', '180s').mean > 0.0",
    ]);
}

// cascading-failure

#[test]
fn waiting_threads_take_the_shop_window_down_with_the_ledger() {
    Tale::of("cascading-failure", Some("threads")).holds(&[
        "success('browsers', '10s', '30s') == 1.0",
        "success('browsers', '40s', '60s') < 0.01",
        "success('buyers', '40s', '60s') < 0.01",
        "recovery('slow-ledger') == duration('10s')",
    ]);
}

#[test]
fn fewer_retries_hardly_help_where_threads_are_short() {
    Tale::of("cascading-failure", Some("no-retries"))
        .holds(&["success('browsers', '40s', '60s') < 0.02"]);
}

#[test]
fn short_queues_keep_the_shop_window_lit_although_nobody_can_buy() {
    Tale::of("cascading-failure", Some("short-queues")).holds(&[
        "success('browsers', '30s', '40s') < 0.8",
        "success('browsers', '40s', '120s') == 1.0",
        "success('buyers', '35s', '55s') < 0.01",
    ]);
}

#[test]
fn event_loops_never_touch_browsing_and_bury_the_ledger_under_retries() {
    let loops = Tale::of("cascading-failure", Some("event-loops"));
    served_only(&loops, "browsers");
    loops
        .holds(&[
            "latency('browsers', '30s', '60s').p99 < duration('100ms')",
            // two calls a buyer, doubled by each of four layers
            "attempts('pricing', 'ledger', '60s', '110s') + attempts('stock', 'ledger', '60s', '110s') > 31.0 * throughput('buyers', '60s', '110s') * 50.0",
            "attempts('pricing', 'ledger', '60s', '110s') + attempts('stock', 'ledger', '60s', '110s') < 33.0 * throughput('buyers', '60s', '110s') * 50.0",
            "success('buyers', '60s', '115s') == 0.0",
        ])
        .never_recovers();
}

#[test]
fn who_can_do_without_the_ledger_and_gives_up_early_serves_everybody() {
    let fast = Tale::of("cascading-failure", Some("fail-fast"));
    served_only(&fast, "browsers");
    served_only(&fast, "buyers");
    fast.holds(&[
        "latency('buyers', '30s', '60s').p99 < duration('250ms')",
        "recovery('slow-ledger') == duration('0s')",
    ]);
}

// social-network

#[test]
fn with_a_warm_cache_half_of_the_users_do_not_notice_the_slow_store() {
    let warm = Tale::of("social-network", Some("benchmark"));
    served_only(&warm, "users");
    warm.holds(&[
        "latency('users', '40s', '60s').p50 < duration('5ms')",
        "latency('users', '40s', '60s').p99 > duration('50ms')",
        "recovery('slow-posts') == duration('0s')",
    ]);
}

#[test]
fn with_a_cold_cache_who_reads_from_the_store_waits_for_seconds() {
    let cold = Tale::of("social-network", Some("cold-cache"));
    cold.holds(&[
        "errors('users', 'status5xx') >= 5.0 && errors('users', 'status5xx') <= 50.0",
        "latency('users', '45s', '60s').p90 > duration('2s')",
        "recovery('slow-posts') == duration('5s')",
        "amplification('post-storage-service', 'post-storage-mongodb') == 1.0",
    ]);
}

// canary

#[test]
fn a_bad_canary_fails_one_request_in_twenty_until_it_is_taken_back() {
    Tale::of("canary", Some("split")).holds(&[
        "success('readers', '10s', '30s') == 1.0",
        "success('readers', '35s', '90s') > 0.94",
        "success('readers', '35s', '90s') < 0.96",
        "success('readers', '95s', '120s') == 1.0",
        "amplification('shop', 'reviews-v1') == 1.0 && amplification('shop', 'reviews-v2') == 1.0",
    ])
    .edge("shop", "reviews-v1", |_, edge| {
        assert_eq!(edge.totals.calls_failed, 0);
        assert!(edge.totals.calls().abs_diff(edge.totals.first) < 5);
    })
    .edge("shop", "reviews-v2", |_, edge| {
        assert_eq!(edge.totals.calls_failed, edge.totals.status_5xx);
        assert!(edge.totals.calls().abs_diff(edge.totals.first) < 5);
    });
}

#[test]
fn ejecting_the_only_pod_of_a_version_makes_more_errors_than_it_saves() {
    let (split, own) = (
        Tale::of("canary", Some("split")),
        Tale::of("canary", Some("per-version")),
    );
    let ratio = own.failed("readers") / split.failed("readers");
    assert!((1.6..2.0).contains(&ratio), "{ratio} times as many");
    own.holds(&[
        "ejections('reviews') > 0.0",
        "success('readers', '35s', '90s') < 0.95",
        "success('readers', '95s', '120s') == 1.0",
    ])
    .edge("shop", "reviews-v2", |result, edge| {
        let by = "canary/per-version/outliers.yaml";
        all_refused_by(result, edge, Limit::NoHealthy, by);
    });
}

#[test]
fn one_pool_of_both_versions_sends_the_bad_share_to_the_good_one() {
    Tale::of("canary", Some("whole-service")).holds(&[
        "ejections('reviews') > 0.0",
        "success('readers', '35s', '90s') >= 0.97",
        "success('readers', '95s', '120s') == 1.0",
    ]);
}

// zone-outage

#[test]
fn without_a_policy_a_dark_zone_costs_one_request_in_eleven() {
    let anywhere = Tale::of("zone-outage", Some("anywhere"));
    anywhere.holds(&[
        "success('visitors', '10s', '38s') == 1.0",
        "success('visitors', '40s', '80s') > 0.89",
        "success('visitors', '40s', '80s') < 0.93",
    ]);
    // one in five waits for a second
    assert!(anywhere.quantile("visitors", (40, 80), 0.8) > 900.0);
    assert!(anywhere.quantile("visitors", (40, 80), 0.6) < 500.0);
}

#[test]
fn calls_that_stay_in_their_zone_do_not_notice_the_dark_one() {
    let locality = Tale::of("zone-outage", Some("locality"));
    served_only(&locality, "visitors");
    locality.holds(&[
        "latency('visitors', '40s', '80s').p99 < duration('150ms')",
        "recovery('zone-b-dark') == duration('0s')",
    ]);
    for result in &locality.flown {
        let load = result.load("visitors").expect("a load");
        let again = load.client_attempts - load.succeeded;
        assert!((1..60).contains(&again), "{again} try again");
    }
}

// hedging

#[test]
fn a_page_of_fifty_meets_a_slow_one_four_times_in_ten() {
    let patient = Tale::of("hedging", Some("patient"));
    assert!(patient.quantile("pages", (10, 120), 0.59) < 100.0);
    assert!(patient.quantile("pages", (10, 120), 0.63) > 200.0);
    patient.holds(&[
        "latency('pages').p99 > duration('900ms')",
        "latency('lookups').p999 > duration('500ms')",
    ]);
}

#[test]
fn a_second_copy_of_the_late_ones_cuts_the_tail_for_one_percent_more() {
    let hedged = Tale::of("hedging", Some("hedged"));
    hedged.holds(&[
        "latency('pages').p99 < duration('60ms')",
        "latency('lookups').p999 < duration('60ms')",
        "amplification('page', 'lookup') > 1.01 && amplification('page', 'lookup') < 1.02",
    ]);
    hedged.edge("page", "lookup", |_, edge| {
        assert_eq!(edge.totals.hedges, edge.retried[0].count);
        assert_eq!(edge.retried[0].condition, RetryCondition::HedgeDelay);
        assert_eq!(edge.totals.timeouts, 0);
    });
}

// noisy-neighbour

#[test]
fn an_export_takes_the_search_away_from_the_shop() {
    Tale::of("noisy-neighbour", Some("shared")).holds(&[
        "utilization('search', '10s', '30s') > 0.24 && utilization('search', '10s', '30s') < 0.28",
        "success('shoppers', '10s', '35s') == 1.0",
        "success('shoppers', '45s', '80s') == 0.0",
        "success('export', '65s', '80s') == 0.0",
        "success('shoppers', '105s', '120s') == 1.0",
    ]);
}

#[test]
fn a_limit_at_the_callers_sidecars_leaves_the_shop_alone() {
    let limits = Tale::of("noisy-neighbour", Some("limits"));
    served_only(&limits, "shoppers");
    limits
        .holds(&[
            "latency('shoppers', '40s', '80s').p99 < duration('150ms')",
            "success('export', '45s', '80s') < 0.4",
            "latency('export', '45s', '80s').p50 < duration('20ms')",
        ])
        .edge("exporter", "search", |result, edge| {
            let by = "noisy-neighbour/limits/exporter.yaml";
            all_refused_by(result, edge, Limit::Pending, by);
            assert_eq!(edge.active.max.iter().max(), Some(&20), "of 48 slots");
        });
}

// bad-push

#[test]
fn a_bad_timeout_spreads_proxy_by_proxy_and_fades_in_the_same_way() {
    Tale::of("bad-push", Some("pushed")).holds(&[
        "success('customers', '10s', '40s') == 1.0",
        // errors grow
        "success('customers', '40s', '42s') > success('customers', '43s', '46s')",
        "success('customers', '43s', '46s') > success('customers', '50s', '80s')",
        "success('customers', '50s', '80s') > 0.54 && success('customers', '50s', '80s') < 0.62",
        // what is left looks better than ever
        "okLatency('customers', '55s', '80s').p99 < 0.35 * okLatency('customers', '10s', '40s').p99",
        // and they fade
        "success('customers', '80s', '83s') < success('customers', '84s', '90s')",
        "success('customers', '81s', '84s') < 0.95",
        "success('customers', '95s', '150s') == 1.0",
    ]);
}

#[test]
fn a_push_given_minutes_reaches_some_and_takes_as_long_to_be_got_rid_of() {
    let slow = Tale::of("bad-push", Some("slow-rollout"));
    slow.told(&[
        "success('customers', '65s', '80s') > 0.66 && success('customers', '65s', '80s') < 0.75",
    ])
    .holds(&[
        "success('customers', '40s', '50s') > success('customers', '60s', '80s')",
        "success('customers', '90s', '100s') < 0.9",
        "success('customers', '120s', '150s') >= 0.999",
    ]);
}

#[test]
fn a_push_taken_back_at_once_never_reaches_the_others() {
    Tale::of("bad-push", Some("stopped-early")).holds(&[
        "success('customers', '40s', '80s') >= 0.99",
        "success('customers', '50s', '150s') == 1.0",
    ]);
}

// mm1

#[test]
fn one_server_waits_as_its_closed_form_says() {
    Tale::of("mm1", None).holds(&[
        "latency('users').mean > duration('38ms') && latency('users').mean < duration('42ms')",
        "latency('users').p50 > duration('26.3ms') && latency('users').p50 < duration('29.1ms')",
        "latency('users').p99 > duration('173ms') && latency('users').p99 < duration('196ms')",
        "utilization('server') > 0.78 && utilization('server') < 0.82",
        "success('users') == 1.0",
    ]);
    Tale::of("mm1", Some("lighter")).holds(&[
        "latency('users').mean > duration('15.6ms') && latency('users').mean < duration('16.4ms')",
        "latency('users').p99 > duration('71ms') && latency('users').p99 < duration('76.4ms')",
    ]);
}

#[test]
fn four_servers_wait_as_erlang_says() {
    Tale::of("mm1", Some("four-servers")).holds(&[
        "latency('users').mean > duration('13.4ms') && latency('users').mean < duration('14.5ms')",
        "utilization('server') > 0.78 && utilization('server') < 0.82",
    ]);
}

/// Under the defaults of each system: what is served while one pod answers 503, while one breaks connections, and while the stock is slow.
#[test]
fn eight_systems_serve_as_different_shares_of_one_outage_as_their_defaults_are() {
    let told = [
        ("istio", [(0.50, 0.65), (0.50, 0.65), (0.30, 0.42)]),
        ("linkerd", [(0.45, 0.60), (0.43, 0.60), (0.30, 0.42)]),
        ("consul", [(0.74, 0.76), (0.74, 0.76), (0.30, 0.42)]),
        ("kuma", [(0.88, 0.94), (0.88, 0.94), (0.15, 0.27)]),
        ("kong", [(0.74, 0.76), (0.999, 1.0), (0.30, 0.42)]),
        ("emissary", [(0.40, 0.90), (0.99, 1.0), (0.0, 0.08)]),
        ("nginx", [(0.74, 0.76), (0.999, 1.0), (0.30, 0.42)]),
        ("traefik", [(0.74, 0.76), (0.74, 0.76), (0.30, 0.42)]),
    ];
    let spans = [("20s", "35s"), ("50s", "65s"), ("80s", "100s")];
    for (system, shares) in told {
        let claims = spans
            .iter()
            .zip(shares)
            .flat_map(|((from, to), (least, most))| {
                let share = format!("success('shoppers', '{from}', '{to}')");
                [
                    format!("{share} >= {least:?}"),
                    format!("{share} <= {most:?}"),
                ]
            });
        let claims: Vec<String> = claims.collect();
        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
        let tale = Tale::of("eight-systems", Some(system));
        tale.holds(&claims);
        tale.holds(&["success('shoppers', '110s', '150s') >= 0.99"]);
    }
}
