//! One station at heavy load.

use crate::HEAVY;
use crate::kit::NARROW;
use crate::kit::flights::Traffic;
use crate::kit::interval::Comparison;
use crate::kit::stations::{CONSTANT, EXPONENTIAL, HYPEREXPONENTIAL, LOGNORMAL, mg1, mmc, sharing};

fn mmc_at(rho: f64, widest: f64, rows: [(u32, f64); 3]) {
    let mut comparison = Comparison::default();
    for (servers, requests) in rows {
        let traffic = Traffic {
            servers,
            rho,
            requests,
        };
        mmc(&mut comparison, traffic, widest);
    }
    comparison.finish();
}

#[test]
fn mmc_at_seven_tenths() {
    mmc_at(0.7, NARROW, [(1, 7.5e6), (4, 1.6e6), (16, 220e3)]);
}

#[test]
fn mmc_at_nine_tenths() {
    mmc_at(0.9, NARROW, [(1, 70e6), (4, 70e6), (16, 6.5e6)]);
}

#[test]
fn mmc_at_nineteen_twentieths() {
    mmc_at(0.95, HEAVY, [(1, 80e6), (4, 54e6), (16, 24e6)]);
}

#[test]
fn mg1_sojourns_are_pollaczek_and_khinchines() {
    let mut comparison = Comparison::default();
    for (shape, requests) in [
        (CONSTANT, 400e3),
        (LOGNORMAL, 1.5e6),
        (HYPEREXPONENTIAL, 4e6),
    ] {
        mg1(&mut comparison, shape, 0.7, requests);
    }
    comparison.finish();
}

#[test]
fn processor_sharing_does_not_feel_the_shape_of_service_times() {
    let mut comparison = Comparison::default();
    for (shape, requests) in [
        (CONSTANT, 1.8e6),
        (EXPONENTIAL, 3.7e6),
        (HYPEREXPONENTIAL, 6.6e6),
    ] {
        sharing(&mut comparison, shape, 0.8, requests);
    }
    comparison.finish();
}
