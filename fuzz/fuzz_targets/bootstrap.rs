//! Bootstraps of Envoy: any text is refused with a reason, or what was read is written as a bootstrap that is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifests::envoy::{self, Written};

fuzz_target!(|text: &str| {
    match envoy::read("envoy.yaml", text) {
        Ok(read) => {
            let likeness = envoy::write(&read.config, &Written::default());
            let again = likeness.bootstrap.to_string();
            if let Err(refused) = envoy::read("written.json", &again) {
                panic!("{refused}\n{again}");
            }
        }
        Err(refused) => assert!(refused.diagnostics.has_errors(), "refused without a word"),
    }
});
