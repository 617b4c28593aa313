//! Manifests under Linkerd.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/linkerd/linkerd.yaml");

fuzz_target!(|text: &str| dialect::read("linkerd", true, BASE, text));
