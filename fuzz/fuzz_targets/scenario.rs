//! Scenario files: every variant of any text is assembled to a plan, or refused with a place in it.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use manifests::diagnostics::Diagnostics;
use manifests::origins::Origins;
use manifests::text::Sources;
use scenarios::assemble::assemble;
use scenarios::read::File;

fuzz_target!(|text: &str| {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let source = sources.add("scenario.yaml", text);
    if let Some(file) = File::parse(&sources, source, &mut problems) {
        let variants: Vec<String> = file.flights().into_iter().map(str::to_owned).collect();
        for variant in &variants {
            let before = problems.len();
            let assembled = assemble(
                &file,
                Some(variant),
                &[],
                Path::new("no-such-folder"),
                &mut sources,
                &mut Origins::default(),
                &mut problems,
            );
            let told = problems.len() > before;
            assert!(
                assembled.is_some() || told,
                "`{variant}` is refused without a word"
            );
        }
    } else {
        assert!(problems.has_errors(), "refused without a word");
    }
    let _ = problems.render(&sources);
});
