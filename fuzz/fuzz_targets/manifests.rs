//! Kubernetes manifests: any text is read and compiled for every proxy, or refused with a place in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifests::diagnostics::Diagnostics;
use manifests::load::{self, Layer};
use manifests::model::{Input, Model};
use manifests::origins::Origins;
use manifests::text::Sources;

fuzz_target!(|text: &str| {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let layers = [Layer::text("manifests.yaml", text)];
    let objects = load::load(&layers, &mut sources, &mut problems);
    let input = Input {
        objects,
        ..Input::default()
    };
    Model::build(input, &mut Origins::default(), &mut problems);
    let _ = problems.render(&sources);
});
