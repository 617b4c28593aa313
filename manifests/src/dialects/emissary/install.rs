//! Which Emissaries there are: Deployments of the manifests, with what their environment says.

use std::collections::BTreeSet;

use proxy_core::config::Name;

use super::GROUP;
use crate::dialects::Compile;
use crate::load::{Object, Objects};
use crate::model::WorkloadId;
use crate::text::{Node, Value};

/// Where the guides put Emissary, and what its chart calls it.
const NAMESPACE: &str = "emissary";
const NAME: &str = "emissary-ingress";
/// Whose an object is that does not say it, and who an Emissary is that is not told.
pub(super) const DEFAULT_ID: &str = "default";
/// Says it of an Ingress or an IngressClass.
const ID: &str = "getambassador.io/ambassador-id";
/// Everybody's.
const AUTOMATIC: &str = "_automatic_";

/// One Emissary.
///
/// Source: emissary `python/ambassador/src/ambassador/config/config.py`.
#[derive(Clone, Debug)]
pub(super) struct Install {
    /// `namespace/name` of its Deployment.
    pub(super) name: Name,
    /// `AMBASSADOR_ID`: which objects it reads.
    pub(super) id: String,
    /// `AMBASSADOR_NAMESPACE`: its own.
    pub(super) namespace: Name,
    /// `AMBASSADOR_SINGLE_NAMESPACE`: it reads no other.
    pub(super) single_namespace: bool,
    /// Not `AMBASSADOR_DISABLE_ENDPOINTS`.
    pub(super) endpoints: bool,
    /// `DISABLE_STRICT_LABEL_SELECTORS`: one label of several is enough.
    pub(super) loose_selectors: bool,
    /// Its pods, if they are among the manifests.
    pub(super) workload: Option<WorkloadId>,
}

impl Install {
    /// Whether it reads an object that belongs to `ids`.
    fn takes(&self, object: &Object, ids: &[String]) -> bool {
        let is_near = !self.single_namespace || *object.key.namespace == *self.namespace;
        is_near
            && ids
                .iter()
                .any(|id| *id == self.id || (ids.len() == 1 && id == AUTOMATIC))
    }

    /// Whether it reads an object of Emissary's kinds.
    pub(super) fn reads(&self, object: &Object) -> bool {
        self.takes(object, &ids(object))
    }

    /// Whether it reads an Ingress or an IngressClass.
    pub(super) fn reads_ingress(&self, object: &Object) -> bool {
        let id = object.annotation(ID).map_or(DEFAULT_ID, |it| it.value);
        id == self.id
            && (!self.single_namespace
                || object.key.namespace.is_empty()
                || *object.key.namespace == *self.namespace)
    }

    fn assumed(id: &str) -> Self {
        let name = if id == DEFAULT_ID { NAME } else { id };
        Self {
            name: format!("{NAMESPACE}/{name}").into(),
            id: id.to_owned(),
            namespace: NAMESPACE.into(),
            single_namespace: false,
            endpoints: true,
            loose_selectors: false,
            workload: None,
        }
    }
}

/// Whose an object of Emissary's kinds is.
pub(super) fn ids(object: &Object) -> Vec<String> {
    let spec = object.node.get("spec");
    let field = |name| spec.and_then(|spec: &Node| spec.get(name));
    let own = |node: &Node| node.as_str().map(str::to_owned);
    let of = |node: &Node| -> Vec<String> {
        match node.as_seq() {
            Some(items) => items.iter().filter_map(own).collect(),
            None => own(node).into_iter().collect(),
        }
    };
    let mut all: Vec<String> = [field("ambassador_id"), field("ambassadorId")]
        .into_iter()
        .flatten()
        .flat_map(of)
        .collect();
    if all.is_empty() {
        all.push(DEFAULT_ID.to_owned());
    }
    all
}

/// Those of the manifests; where there are none, one for each id that an object has.
pub(super) fn all(ingresses: &[&Object], cx: &Compile<'_>) -> Vec<Install> {
    let mut found: Vec<Install> = Vec::new();
    for workload in cx.workloads {
        let Some(container) = container(cx.objects, &workload.namespace, &workload.name) else {
            continue;
        };
        let value = |name| env(container, name);
        let flag = |name| value(name).is_some_and(|text| !text.is_empty());
        let namespace = match (
            value("AMBASSADOR_NAMESPACE"),
            has_env(container, "AMBASSADOR_NAMESPACE"),
        ) {
            (Some(text), _) => Name::from(text),
            // taken from the pod itself
            (None, true) => workload.namespace.clone(),
            (None, false) => "default".into(),
        };
        found.push(Install {
            name: workload.full_name().into(),
            id: value("AMBASSADOR_ID").unwrap_or(DEFAULT_ID).to_owned(),
            namespace,
            single_namespace: flag("AMBASSADOR_SINGLE_NAMESPACE"),
            endpoints: !flag("AMBASSADOR_DISABLE_ENDPOINTS"),
            loose_selectors: value("DISABLE_STRICT_LABEL_SELECTORS")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            workload: Some(workload.id),
        });
    }
    if !found.is_empty() {
        return found;
    }
    let own = cx.objects.iter().filter(|object| object.key.group == GROUP);
    let mut wanted: BTreeSet<String> = own.flat_map(ids).filter(|id| id != AUTOMATIC).collect();
    wanted.extend(ingresses.iter().map(|it| {
        it.annotation(ID)
            .map_or(DEFAULT_ID, |it| it.value)
            .to_owned()
    }));
    wanted.iter().map(|id| Install::assumed(id)).collect()
}

/// The container of a workload that runs Emissary.
fn container<'a>(objects: &'a Objects, namespace: &str, name: &str) -> Option<&'a Node> {
    let kinds = [
        ("apps", "Deployment", "spec.template.spec.containers"),
        ("apps", "DaemonSet", "spec.template.spec.containers"),
        ("apps", "StatefulSet", "spec.template.spec.containers"),
        ("", "Pod", "spec.containers"),
    ];
    kinds.iter().find_map(|(group, kind, path)| {
        let object = objects.get(group, kind, namespace, name)?;
        let mut containers = object.node.at(path)?.as_seq()?.iter();
        containers.find(|container| is_emissary(container))
    })
}

/// By its environment or its image. What converts versions of its objects has the image, too.
fn is_emissary(container: &Node) -> bool {
    let has_word = |path: &str, word: &str| {
        let words = container
            .get(path)
            .and_then(Node::as_seq)
            .unwrap_or_default();
        words.iter().any(|it| it.as_str() == Some(word))
    };
    if has_word("command", "apiext") || has_word("args", "apiext") {
        return false;
    }
    if has_env(container, "AMBASSADOR_NAMESPACE") || has_env(container, "AMBASSADOR_ID") {
        return true;
    }
    let image = container
        .get("image")
        .and_then(Node::as_str)
        .unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let name = last.split([':', '@']).next().unwrap_or_default();
    matches!(name, "emissary" | "emissary-ingress" | "ambassador" | "aes")
}

fn entry<'a>(container: &'a Node, name: &str) -> Option<&'a Node> {
    let all = container.get("env")?.as_seq()?;
    all.iter()
        .find(|it| it.get("name").and_then(Node::as_str) == Some(name))
}

fn has_env(container: &Node, name: &str) -> bool {
    entry(container, name).is_some()
}

fn env<'a>(container: &'a Node, name: &str) -> Option<&'a str> {
    match &entry(container, name)?.get("value")?.value {
        Value::String(text) => Some(text),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Seq(_)
        | Value::Map(_) => None,
    }
}
