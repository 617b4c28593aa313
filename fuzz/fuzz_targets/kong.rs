//! Manifests under Kong.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/kong/kong.yaml");

fuzz_target!(|text: &str| dialect::read("kong", false, BASE, text));
