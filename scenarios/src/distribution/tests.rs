use super::*;
use proptest::prelude::*;
use proxy_core::draw::{DrawKey, Purpose};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::Distribution as Oracle;

/// One of every kind, with the parameters that rand_distr is given below.
fn every_kind() -> Vec<(&'static str, Distribution)> {
    let d = |made: Result<Distribution>| made.expect("valid");
    vec![
        ("constant", d(Distribution::constant(4.0))),
        ("uniform", d(Distribution::uniform(1.0, 5.0))),
        ("exponential", d(Distribution::exponential(3.0))),
        (
            "lognormal",
            d(Distribution::lognormal(
                Centre::Median(5.0),
                Spread::Sigma(0.8),
            )),
        ),
        ("pareto", d(Distribution::pareto(2.0, 5.0, f64::INFINITY))),
        ("bounded pareto", d(Distribution::pareto(2.0, 1.0, 40.0))),
        ("weibull", d(Distribution::weibull(7.0, 1.7))),
        ("gamma", d(Distribution::gamma(6.0, 3.0))),
        ("gamma below one", d(Distribution::gamma(6.0, 0.3))),
        (
            "mixture",
            d(Distribution::mixture([
                (0.9, d(Distribution::exponential(1.0))),
                (0.1, d(Distribution::exponential(50.0))),
            ])),
        ),
        (
            "mixture with a jump",
            d(Distribution::mixture([
                (0.5, d(Distribution::constant(3.0))),
                (0.5, d(Distribution::uniform(1.0, 9.0))),
            ])),
        ),
        (
            "percentiles",
            d(Distribution::percentiles([
                (50.0, 5.0),
                (99.0, 80.0),
                (90.0, 20.0),
                (100.0, 400.0),
            ])),
        ),
        ("observed", d(Distribution::observed([3.0, 1.0, 2.0, 2.0]))),
    ]
}

/// The two-sample Kolmogorov-Smirnov distance times sqrt(n m / (n + m)).
fn distance(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut worst) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        if a[i] <= b[j] {
            i += 1;
        } else {
            j += 1;
        }
        worst = worst.max((i as f64 / n - j as f64 / m).abs());
    }
    worst * (n * m / (n + m)).sqrt()
}

#[test]
fn samples_agree_with_rand_distr() {
    const N: usize = 50_000;
    let mut rng = SmallRng::seed_from_u64(11);
    let mut oracle = |name: &str| -> Option<Vec<f64>> {
        let rng = &mut rng;
        fn many(d: impl Oracle<f64>, rng: &mut SmallRng) -> Vec<f64> {
            d.sample_iter(rng).take(N).collect()
        }
        Some(match name {
            "uniform" => many(rand_distr::Uniform::new(1.0, 5.0).unwrap(), rng),
            "exponential" => many(rand_distr::Exp::new(1.0 / 3.0).unwrap(), rng),
            "lognormal" => many(
                rand_distr::LogNormal::new(libm::log(5.0), 0.8).unwrap(),
                rng,
            ),
            "pareto" => many(rand_distr::Pareto::new(2.0, 5.0).unwrap(), rng),
            "weibull" => many(rand_distr::Weibull::new(7.0, 1.7).unwrap(), rng),
            "gamma" => many(rand_distr::Gamma::new(3.0, 2.0).unwrap(), rng),
            "gamma below one" => many(rand_distr::Gamma::new(0.3, 20.0).unwrap(), rng),
            "mixture" => {
                let fast = many(rand_distr::Exp::new(1.0).unwrap(), rng);
                let slow = many(rand_distr::Exp::new(0.02).unwrap(), rng);
                let pick = many(rand_distr::Uniform::new(0.0, 1.0).unwrap(), rng);
                (0..N)
                    .map(|i| if pick[i] < 0.9 { fast[i] } else { slow[i] })
                    .collect()
            }
            _ => return None,
        })
    };
    let mut compared = 0;
    for (name, ours) in every_kind() {
        let Some(theirs) = oracle(name) else { continue };
        let key = DrawKey::root(5);
        let samples = (0..N as u32)
            .map(|i| ours.quantile(key.unit(Purpose::ServiceTime, i)))
            .collect();
        let d = distance(samples, theirs);
        // Kolmogorov's 99.9 % point
        assert!(d < 1.95, "{name}: {d}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}

#[test]
fn the_distribution_function_inverts_every_quantile() {
    for (name, d) in every_kind() {
        for i in 1..400 {
            let u = f64::from(i) / 400.0;
            let x = d.quantile(u);
            assert!(d.cdf(x * (1.0 + 1e-9) + 2e-6) >= u - 1e-9, "{name} at {u}");
            assert!(d.cdf(x * (1.0 - 1e-9) - 2e-6) <= u + 1e-7, "{name} at {u}");
        }
    }
}

#[test]
fn moments_agree_with_the_integral_of_the_quantile() {
    const N: u32 = 2_000_000;
    for (name, d) in every_kind() {
        if name.starts_with("gamma") || name.starts_with("mixture") {
            continue; // too slow for two million points; checked by closed forms below
        }
        let (mut m1, mut m2) = (0.0, 0.0);
        for i in 0..N {
            let x = d.quantile((f64::from(i) + 0.5) / f64::from(N));
            m1 += x / f64::from(N);
            m2 += x * x / f64::from(N);
        }
        let cv = (m2 / (m1 * m1) - 1.0).max(0.0).sqrt();
        assert!(
            (d.mean() / m1 - 1.0).abs() < 2e-3,
            "{name}: {} {m1}",
            d.mean()
        );
        assert!(
            (d.cv() - cv).abs() < 0.02 * cv.max(0.05),
            "{name}: {} {cv}",
            d.cv()
        );
    }
}

#[test]
fn moments_of_mixtures_and_gammas_are_the_closed_ones() {
    let gamma = Distribution::gamma(6.0, 4.0).unwrap();
    assert!((gamma.mean() - 6.0).abs() < 1e-12 && (gamma.cv() - 0.5).abs() < 1e-12);
    // hyperexponential: E[X] = sum p m, E[X²] = sum 2 p m²
    let (_, h2) = every_kind().swap_remove(9);
    assert!((h2.mean() - 5.9).abs() < 1e-12);
    let cv2: f64 = (2.0 * 0.9 + 2.0 * 0.1 * 2500.0) / (5.9 * 5.9) - 1.0;
    assert!((h2.cv() - cv2.sqrt()).abs() < 1e-9);
    let wild = Distribution::pareto(1.0, 0.9, f64::INFINITY).unwrap();
    assert!(wild.mean().is_infinite() && wild.cv().is_infinite());
}

#[test]
fn a_lognormal_meets_the_percentiles_it_was_given() {
    for (centre, spread) in [
        (
            Centre::Median(5e6),
            Spread::Quantile {
                at: 0.99,
                value: 5e7,
            },
        ),
        (
            Centre::Mean(5e6),
            Spread::Quantile {
                at: 0.99,
                value: 5e7,
            },
        ),
        (
            Centre::Mean(5e6),
            Spread::Quantile {
                at: 0.9,
                value: 9e6,
            },
        ),
        (Centre::Mean(5e6), Spread::Cv(2.0)),
        (Centre::Median(5e6), Spread::Cv(0.0)),
    ] {
        let d = Distribution::lognormal(centre, spread).unwrap();
        let middle = match centre {
            Centre::Median(_) => d.quantile(0.5),
            Centre::Mean(_) => d.mean(),
        };
        assert!((middle / 5e6 - 1.0).abs() < 1e-9, "{centre:?} {spread:?}");
        match spread {
            Spread::Quantile { at, value } => {
                assert!((d.quantile(at) / value - 1.0).abs() < 1e-9, "{spread:?}");
            }
            Spread::Cv(cv) => assert!((d.cv() - cv).abs() < 1e-9),
            Spread::Sigma(_) => {}
        }
    }
}

#[test]
fn parameters_that_make_no_distribution_are_refused() {
    let refused: [(&str, Result<Distribution>); 12] = [
        ("negative constant", Distribution::constant(-1.0)),
        ("NaN", Distribution::exponential(f64::NAN)),
        ("zero mean", Distribution::exponential(0.0)),
        ("infinite mean", Distribution::exponential(f64::INFINITY)),
        ("uniform backwards", Distribution::uniform(5.0, 1.0)),
        (
            "p99 below the median",
            Distribution::lognormal(
                Centre::Median(5.0),
                Spread::Quantile {
                    at: 0.99,
                    value: 4.0,
                },
            ),
        ),
        (
            "p99 too far above the mean",
            Distribution::lognormal(
                Centre::Mean(1.0),
                Spread::Quantile {
                    at: 0.99,
                    value: 1e3,
                },
            ),
        ),
        ("pareto max below min", Distribution::pareto(2.0, 1.0, 1.0)),
        (
            "pareto without mean",
            Distribution::pareto_with_mean(2.0, 1.0),
        ),
        ("empty mixture", Distribution::mixture([])),
        (
            "percentiles falling",
            Distribution::percentiles([(50.0, 5.0), (90.0, 4.0)]),
        ),
        ("no values", Distribution::observed([])),
    ];
    for (name, made) in refused {
        assert!(made.is_err(), "{name}");
    }
}

#[test]
fn percentiles_run_in_straight_lines() {
    let d = Distribution::percentiles([(50.0, 10.0), (90.0, 50.0)]).unwrap();
    for (u, value) in [
        (0.25, 5.0),
        (0.5, 10.0),
        (0.7, 30.0),
        (0.9, 50.0),
        (0.999, 50.0),
    ] {
        assert!((d.quantile(u) - value).abs() < 1e-9, "{u}");
    }
}

fn any_distribution() -> impl Strategy<Value = Distribution> {
    let simple = prop_oneof![
        (0.0..1e12).prop_map(Distribution::constant),
        (0.0..1e9, 0.0..1e9).prop_map(|(a, w)| Distribution::uniform(a, a + w)),
        (1e-3..1e12).prop_map(Distribution::exponential),
        (1.0..1e12, 0.0..4.0)
            .prop_map(|(m, s)| Distribution::lognormal(Centre::Median(m), Spread::Sigma(s))),
        (1.0..1e9, 0.05..50.0, 1.01..1e6).prop_map(|(min, shape, over)| Distribution::pareto(
            min,
            shape,
            min * over
        )),
        (1.0..1e12, 0.2..50.0).prop_map(|(m, s)| Distribution::weibull_with_mean(m, s)),
        (1.0..1e12, 0.05..500.0).prop_map(|(m, s)| Distribution::gamma(m, s)),
        prop::collection::vec(0.0..1e12, 1..20).prop_map(Distribution::observed),
    ]
    .prop_map(|made| made.expect("in range"));
    let mixed = prop::collection::vec((0.01..10.0, simple.clone()), 1..5)
        .prop_map(|parts| Distribution::mixture(parts).expect("in range"));
    prop_oneof![3 => simple, 1 => mixed]
}

proptest! {
    #[test]
    fn quantiles_rise_with_u(d in any_distribution(), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let inside = |u: f64| u.clamp(1.0 / 9_007_199_254_740_992.0, 1.0 - 1.0 / 9_007_199_254_740_992.0);
        let (low, high) = (d.quantile(inside(a)), d.quantile(inside(b)));
        prop_assert!(low >= 0.0 && !high.is_nan());
        // the numerically inverted kinds agree to a relative 1e-12
        prop_assert!(low <= high * (1.0 + 4e-12) + 2e-6, "{low} {high}");
    }
}
