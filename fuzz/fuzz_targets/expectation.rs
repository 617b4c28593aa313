//! Expectations in CEL: any text is one or refused with a place in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::expect::Expectation;

fuzz_target!(|text: &str| {
    if let Err(errors) = Expectation::parse(text) {
        let _ = format!("{errors}");
    }
});
