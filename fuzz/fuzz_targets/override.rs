//! `--set PATH=VALUE`: any text is an override or refused with a place in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifests::diagnostics::Diagnostics;
use manifests::text::Sources;
use scenarios::read::Override;

fuzz_target!(|text: &str| {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let parsed = Override::parse(text, &mut sources, &mut problems);
    assert!(
        parsed.is_some() || problems.has_errors(),
        "refused without a word"
    );
    let _ = problems.render(&sources);
});
