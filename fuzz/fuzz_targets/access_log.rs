//! Formats of access logs: any text is one or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = proxy_core::log::parse(text) {
        assert!(!error.to_string().is_empty(), "refused without a word");
    }
});
