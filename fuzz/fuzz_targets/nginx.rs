//! Manifests under ingress-nginx.

#![no_main]

mod dialect;

use libfuzzer_sys::fuzz_target;

const BASE: &str = include_str!("../../scenarios/eight-systems/nginx/nginx.yaml");

fuzz_target!(|text: &str| dialect::read("nginx", false, BASE, text));
