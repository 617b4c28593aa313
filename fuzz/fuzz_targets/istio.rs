//! Manifests under Istio.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/istio/istio.yaml");

fuzz_target!(|text: &str| dialect::read("istio", true, BASE, text));
