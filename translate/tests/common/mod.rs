//! Manifests read, translated, and read again.
#![allow(
    dead_code,
    reason = "each test file takes what it needs of what they share"
)]

pub(crate) mod decide;

use std::path::Path;

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::load::{Layer, load};
use manifests::model::{Input, MeshWish, Model, SidecarRules};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use translate::intent::Source;
use translate::targets::{Injection, Target};
use translate::{Translation, stream, to_text};

/// What was read.
pub(crate) struct Read {
    pub(crate) model: Model,
    pub(crate) origins: Origins,
    pub(crate) sources: Sources,
}

/// Reads a text; it must have no errors.
pub(crate) fn read(yaml: &str) -> Read {
    layers(&[Layer::text("shop.yaml", yaml)])
}

/// Reads folders below the repository's own, in layers.
pub(crate) fn shipped(paths: &[&str]) -> Read {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let layers: Vec<Layer> = paths
        .iter()
        .map(|path| Layer::path(*path, root.join(path)))
        .collect();
    self::layers(&layers)
}

pub(crate) fn layers(layers: &[Layer]) -> Read {
    build(layers, Input::default())
}

fn build(layers: &[Layer], input: Input<'_>) -> Read {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut origins = Origins::default();
    let objects = load(layers, &mut sources, &mut problems);
    let model = Model::build(Input { objects, ..input }, &mut origins, &mut problems);
    let all = problems.sorted();
    let errors = all.iter().filter(|it| it.severity() == Severity::Error);
    let errors: Vec<String> = errors.map(|it| it.to_line(&sources)).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    Read {
        model: model.expect("the mesh is known"),
        origins,
        sources,
    }
}

impl Read {
    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            model: &self.model,
            origins: &self.origins,
            sources: &self.sources,
        }
    }

    /// For a target by its name; what is written must be readable.
    pub(crate) fn to(&self, target: &str) -> Translation {
        let target = Target::named(target).expect("a target");
        let translation = translate::translate(self.source(), target);
        assert!(
            translation.faults.is_empty(),
            "{:#?}\n{}",
            translation.faults,
            stream(&translation)
        );
        translation
    }

    /// What was written, read again by nobody who had a hand in it.
    pub(crate) fn again(&self, translation: &Translation) -> Self {
        let target = translation.target;
        let meshed = self.model.mesh().is_some() && target.injection.is_some();
        let workloads = self.model.workloads().iter();
        let named = workloads
            .filter(|it| target.injection == Some(Injection::Named) && it.sidecar.is_some());
        let input = Input {
            mesh: match meshed {
                true => MeshWish::Named {
                    system: target.dialect.to_owned(),
                    release: Some(target.release.to_owned()),
                    span: Span::NOWHERE,
                },
                false => MeshWish::None,
            },
            sidecars: SidecarRules {
                inject: named.map(|it| it.full_name().into()).collect(),
                skip: Vec::new(),
            },
            before: Some(&self.model),
            ..Input::default()
        };
        build(
            &[Layer::text("translated.yaml", stream(translation))],
            input,
        )
    }
}

/// What was written and what is said of it, as a reader sees it.
pub(crate) fn shown(translation: &Translation) -> String {
    format!(
        "{}\n=== report\n{}",
        stream(translation),
        to_text(translation)
    )
}

/// A document of what was written: `Kind/namespace/name`, or `Kind/name`.
pub(crate) fn document(translation: &Translation, title: &str) -> String {
    let found = translation
        .objects
        .iter()
        .find(|(it, _)| it.title() == title);
    let (object, _) = found.unwrap_or_else(|| {
        let titles: Vec<String> = translation
            .objects
            .iter()
            .map(|(it, _)| it.title())
            .collect();
        panic!("no {title} among {titles:#?}")
    });
    object.to_value().to_yaml()
}

/// Whether some difference has these words in it.
pub(crate) fn tells(translation: &Translation, words: &str) -> bool {
    translation.differences.iter().any(|it| {
        [&it.what, &it.before, &it.after, &it.why]
            .into_iter()
            .any(|text| text.contains(words))
    })
}
