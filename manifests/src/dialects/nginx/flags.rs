//! How a controller was started: the arguments of its container.
//!
//! Source: kubernetes/ingress-nginx 1.15 `pkg/flags/flags.go`.

use std::collections::BTreeMap;

use crate::load::{Object, Objects};
use crate::model::{Workload, WorkloadKind};
use crate::text::{Node, Spanned, Value};

/// The controller's name in an IngressClass.
const CONTROLLER: &str = "k8s.io/ingress-nginx";
/// The class by annotation.
const CLASS: &str = "nginx";

/// Flags with their values; those that are not there have the release's.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    values: BTreeMap<String, Spanned<String>>,
}

impl Flags {
    /// The flags of the containers of a workload that runs the controller; none: it does not.
    pub(super) fn of(workload: &Workload, objects: &Objects) -> Option<Self> {
        let object = object_of(workload, objects)?;
        let pod = match workload.kind {
            WorkloadKind::Pod => "spec.containers",
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Job
            | WorkloadKind::Scenario
            | WorkloadKind::Gateway => "spec.template.spec.containers",
        };
        let containers = object.node.at(pod).map_or(&[][..], items);
        let container = containers.iter().find(|it| is_controller(it))?;
        let mut values = BTreeMap::new();
        for list in ["command", "args"] {
            for argument in container.get(list).map_or(&[][..], items) {
                if let Some(text) = argument.as_str()
                    && let Some(flag) = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))
                {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                    let value = value.replace("$(POD_NAMESPACE)", &workload.namespace);
                    values.insert(name.to_owned(), Spanned::new(value, argument.span));
                }
            }
        }
        Some(Self { values })
    }

    /// As it is written; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&Spanned<String>> {
        self.values.get(name).filter(|it| !it.is_empty())
    }

    /// Whether a flag is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some_and(|it| **it == "true")
    }

    /// The controller of the classes that it serves.
    pub(super) fn controller(&self) -> &str {
        self.text("controller-class")
            .map_or(CONTROLLER, |it| it.as_str())
    }

    /// The class that it serves by annotation.
    pub(super) fn class(&self) -> &str {
        self.text("ingress-class").map_or(CLASS, |it| it.as_str())
    }

    /// What its annotations begin with.
    pub(super) fn prefix(&self) -> &str {
        self.text("annotations-prefix")
            .map_or(super::annotations::PREFIX, |it| it.as_str())
    }

    /// A port that it listens on.
    pub(super) fn port(&self, name: &str, default: u16) -> u16 {
        let written = self.text(name).and_then(|it| it.parse().ok());
        written.unwrap_or(default)
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Seq(items) => items,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Map(_) => &[],
    }
}

fn object_of<'a>(workload: &Workload, objects: &'a Objects) -> Option<&'a Object> {
    let (group, kind) = match workload.kind {
        WorkloadKind::Deployment => ("apps", "Deployment"),
        WorkloadKind::StatefulSet => ("apps", "StatefulSet"),
        WorkloadKind::DaemonSet => ("apps", "DaemonSet"),
        WorkloadKind::ReplicaSet => ("apps", "ReplicaSet"),
        WorkloadKind::Pod => ("", "Pod"),
        WorkloadKind::Job | WorkloadKind::Scenario | WorkloadKind::Gateway => return None,
    };
    objects.get(group, kind, &workload.namespace, &workload.name)
}

/// By its image or by what it runs.
fn is_controller(container: &Node) -> bool {
    let image = container.get("image").and_then(Node::as_str);
    let by_image = |image: &str| {
        image.contains("ingress-nginx/controller")
            || image.contains("ingress-nginx-controller")
            || image.contains("nginx-ingress-controller")
    };
    let runs = |list: &str| {
        let words = container.get(list).map_or(&[][..], items).iter();
        let mut words = words.filter_map(Node::as_str);
        words.any(|word| word.ends_with("/nginx-ingress-controller"))
    };
    image.is_some_and(by_image) || runs("args") || runs("command")
}
