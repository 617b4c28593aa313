//! Reading again what was written.

use manifests::diagnostics::{Diagnostics, Severity};
use manifests::load::{Layer, ObjectKey, load};
use manifests::model::{Input, MeshWish, Model, SidecarRules};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::Name;

use crate::intent::{Intent, Source};
use crate::object::{Object, Written};
use crate::targets::{Injection, Target};
use crate::write;
use crate::yaml::{Map, Value};

/// What was written, read again.
pub(super) struct Again {
    pub(super) model: Model,
    pub(super) origins: Origins,
    pub(super) sources: Sources,
}

impl Again {
    pub(super) fn read(
        intent: &Intent<'_>,
        target: &Target,
        written: &Written,
        faults: &mut Vec<String>,
    ) -> Option<Self> {
        let rows: Vec<(Object, Vec<String>)> = written
            .objects
            .iter()
            .map(|object| (object.clone(), Vec::new()))
            .collect();
        let mut text = write::documents(rows.iter());
        for key in intent.left.iter().filter(|key| key.kind == "Secret") {
            text.push_str("---\n");
            text.push_str(&stand_in(intent.source, key).to_value().to_yaml());
        }
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let mut origins = Origins::default();
        let layer = Layer::text("translated.yaml", text);
        let objects = load(&[layer], &mut sources, &mut problems);
        let input = Input {
            objects,
            mesh: wish(intent, target),
            sidecars: SidecarRules {
                inject: named(intent, target),
                skip: Vec::new(),
            },
            before: Some(intent.source.model),
            ..Input::default()
        };
        let model = Model::build(input, &mut origins, &mut problems);
        let all = problems.sorted();
        let errors = all.iter().filter(|it| it.severity() == Severity::Error);
        faults.extend(errors.map(|it| it.to_line(&sources)));
        model.map(|model| Self {
            model,
            origins,
            sources,
        })
    }
}

/// A Secret of this name and these keys, and nothing in it.
fn stand_in(source: Source<'_>, key: &ObjectKey) -> Object {
    let mut object = Object::new("v1", "Secret", &key.namespace, &key.name);
    let objects = source.model.world().objects();
    let read = objects.get("", "Secret", &key.namespace, &key.name);
    let mut data = Map::new();
    for field in ["data", "stringData"] {
        let map = read
            .and_then(|read| read.node.get(field))
            .and_then(|it| it.as_map());
        for entry in map.into_iter().flat_map(|map| map.entries()) {
            data.set(&entry.key.text, "");
        }
    }
    if let Some(kind) = read.and_then(|read| read.node.get("type")) {
        object.body.set("type", Value::of(kind));
    }
    object.body.set("data", data);
    object
}

/// The mesh that the written manifests are for.
fn wish(intent: &Intent<'_>, target: &Target) -> MeshWish {
    match (target.injection, &intent.mesh) {
        (Some(_), Some(_)) => MeshWish::Named {
            system: target.dialect.to_owned(),
            release: Some(target.release.to_owned()),
            span: Span::NOWHERE,
        },
        (_, _) => MeshWish::None,
    }
}

/// Workloads in the mesh, where no label can say so.
fn named(intent: &Intent<'_>, target: &Target) -> Vec<Name> {
    let is_named = target.injection == Some(Injection::Named);
    let workloads = intent.source.model.workloads().iter();
    let meshed = workloads.filter(|it| is_named && it.sidecar.is_some());
    meshed.map(|it| it.full_name().into()).collect()
}
