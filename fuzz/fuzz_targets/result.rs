//! Results of runs: any text is refused, or what was read is written and read again the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::json;

fuzz_target!(|text: &str| {
    if let Ok(read) = json::read(text) {
        let written = json::write(&read);
        let again = json::read(&written).expect("what was written is read");
        assert_eq!(json::write(&again), written);
    }
});
