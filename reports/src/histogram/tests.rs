use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn quantiles_agree_with_hdrhistogram(samples in prop::collection::vec(1_u64..60_000_000_000, 1..400)) {
        let mut ours = Histogram::new(FINE);
        let mut theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for &s in &samples {
            ours.record(s);
            theirs.record(s).unwrap();
        }
        for q in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let (a, b) = (ours.quantile(q).unwrap() as f64, theirs.value_at_quantile(q) as f64);
            prop_assert!((a - b).abs() <= 0.0015 * b + 1.0, "q {q}: {a} against {b}");
        }
    }

    #[test]
    fn the_order_of_merges_does_not_matter(
        a in prop::collection::vec(0_u64..u64::MAX, 0..50),
        b in prop::collection::vec(0_u64..1_000_000, 0..50),
    ) {
        let fill = |samples: &[u64]| {
            let mut h = Histogram::new(COARSE);
            samples.iter().for_each(|&s| h.record(s));
            h
        };
        let (mut ab, mut ba) = (fill(&a), fill(&b));
        ab.merge(&fill(&b));
        ba.merge(&fill(&a));
        ab.shrink();
        ba.shrink();
        prop_assert_eq!(&ab, &ba);
        let text = serde_json::to_string(&ab).unwrap();
        prop_assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), ab);
    }

    #[test]
    fn a_value_lies_in_its_own_bucket(value: u64, bits in 1_u32..=FINE) {
        let h = Histogram::new(bits);
        let (low, width) = Histogram::bounds_of(bits, h.bucket_of(value));
        prop_assert!(low <= value && value - low < width);
        prop_assert!(width == 1 || (width as f64) <= value as f64 / f64::from(1 << bits) + 1.0);
    }
}

#[test]
fn mean_and_extremes_are_exact() {
    let mut h = Histogram::new(COARSE);
    [5, 1_000_003, 77].iter().for_each(|&s| h.record(s));
    assert_eq!(h.mean(), Some((5 + 1_000_003 + 77) as f64 / 3.0));
    assert_eq!((h.min(), h.max()), (Some(5), Some(1_000_003)));
    assert_eq!(Histogram::new(COARSE).quantile(0.5), None);
}
