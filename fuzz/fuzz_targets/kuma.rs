//! Manifests under Kuma.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/kuma/kuma.yaml");

fuzz_target!(|text: &str| dialect::read("kuma", true, BASE, text));
