//! Manifests under Consul.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/consul/consul.yaml");

fuzz_target!(|text: &str| dialect::read("consul", true, BASE, text));
