//! Manifests under Emissary.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/emissary/emissary.yaml");

fuzz_target!(|text: &str| dialect::read("emissary", false, BASE, text));
