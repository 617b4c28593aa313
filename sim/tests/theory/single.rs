//! One station at light load: any number of servers, any service time.

use crate::kit::NARROW;
use crate::kit::flights::Traffic;
use crate::kit::interval::Comparison;
use crate::kit::stations::{CONSTANT, EXPONENTIAL, HYPEREXPONENTIAL, LOGNORMAL, mg1, mmc, sharing};

#[test]
fn mmc_sojourns_have_their_mean_and_percentiles() {
    let mut comparison = Comparison::default();
    for (servers, rho, requests) in [
        (1, 0.5, 1.8e6),
        (4, 0.5, 270e3),
        (16, 0.5, 220e3),
        (16, 0.7, 230e3),
    ] {
        let traffic = Traffic {
            servers,
            rho,
            requests,
        };
        mmc(&mut comparison, traffic, NARROW);
    }
    comparison.finish();
}

#[test]
fn mg1_sojourns_are_pollaczek_and_khinchines() {
    let mut comparison = Comparison::default();
    for (shape, requests) in [
        (CONSTANT, 60e3),
        (LOGNORMAL, 150e3),
        (HYPEREXPONENTIAL, 400e3),
    ] {
        mg1(&mut comparison, shape, 0.3, requests);
    }
    comparison.finish();
}

#[test]
fn processor_sharing_does_not_feel_the_shape_of_service_times() {
    let mut comparison = Comparison::default();
    for (shape, requests) in [(CONSTANT, 150e3), (EXPONENTIAL, 350e3)] {
        sharing(&mut comparison, shape, 0.5, requests);
    }
    comparison.finish();
}
