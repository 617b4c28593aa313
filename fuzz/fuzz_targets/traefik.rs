//! Manifests under Traefik.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/traefik/traefik.yaml");

fuzz_target!(|text: &str| dialect::read("traefik", false, BASE, text));
