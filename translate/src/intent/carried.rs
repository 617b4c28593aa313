//! Objects that no system owns, and what becomes of the others.

use std::collections::{BTreeMap, BTreeSet};

use manifests::dialects::DIALECTS;
use manifests::load::{Object as Read, ObjectKey};
use manifests::model::{Workload, WorkloadKind};

use super::{Gateway, Mesh, Source};
use crate::object::Object;
use crate::targets::{Injection, Mark, Target};
use crate::yaml::{Map, Value};

/// What marks of a system begin with, before their slash; those with a dot in front are any name below it.
const DOMAINS: &[(&str, &[&str])] = &[
    ("istio", &["istio.io", ".istio.io"]),
    ("linkerd", &["linkerd.io", ".linkerd.io"]),
    ("kuma", &["kuma.io", ".kuma.io"]),
    ("consul", &["consul.hashicorp.com"]),
    (
        "kong",
        &["konghq.com", ".konghq.com", "ingress.kubernetes.io"],
    ),
    ("emissary", &["getambassador.io", ".getambassador.io"]),
    ("nginx", &["nginx.ingress.kubernetes.io"]),
    (
        "traefik",
        &["traefik.ingress.kubernetes.io", "traefik.io", ".traefik.io"],
    ),
];
/// A label of Istio's without a slash.
const ISTIO_INJECTION: &str = "istio-injection";
/// What becomes of every object.
pub(super) struct Sorted {
    pub(super) carried: Vec<Object>,
    pub(super) replaced: Vec<ObjectKey>,
    pub(super) left: Vec<ObjectKey>,
    /// Labels and annotations that were taken out, and how often.
    pub(super) taken_out: BTreeMap<String, usize>,
    /// Workloads that must not have a sidecar of the target's, and have no object to say so.
    pub(super) unmarked: Vec<String>,
}

pub(super) fn sort(
    source: Source<'_>,
    target: &Target,
    gateways: &[Gateway<'_>],
    mesh: Option<&Mesh<'_>>,
) -> Sorted {
    let stay: BTreeSet<&str> = gateways
        .iter()
        .filter(|gateway| gateway.stays)
        .map(|gateway| gateway.facts.dialect)
        .collect();
    let mut sorter = Sorter {
        stay,
        out: Sorted {
            carried: Vec::new(),
            replaced: Vec::new(),
            left: Vec::new(),
            taken_out: BTreeMap::new(),
            unmarked: Vec::new(),
        },
    };
    for object in source.model.world().objects().iter() {
        sorter.object(source, object);
    }
    if let (Some(injection), Some(_)) = (target.injection, mesh) {
        sorter.inject(source, injection);
    }
    sorter.out
}

struct Sorter<'a> {
    /// Dialects of gateways that stay.
    stay: BTreeSet<&'a str>,
    out: Sorted,
}

impl Sorter<'_> {
    fn object(&mut self, source: Source<'_>, object: &Read) {
        let key = &object.key;
        if key.group.is_empty() && key.kind == "Secret" {
            self.out.left.push(key.clone());
        } else if self.is_replaced(object) {
            self.out.replaced.push(key.clone());
        } else {
            let carried = self.carry(source, object);
            self.out.carried.push(carried);
        }
    }

    /// Whether what an object says is said by what writers write.
    fn is_replaced(&self, object: &Read) -> bool {
        let (group, kind) = (object.key.group.as_str(), object.key.kind.as_str());
        let is_ingress = group == "networking.k8s.io" && matches!(kind, "Ingress" | "IngressClass");
        let owners = DIALECTS.iter().filter(|it| (it.reads)(group, kind));
        let owners: Vec<&str> = owners.map(|dialect| dialect.name).collect();
        let is_gateway_api = group == "gateway.networking.k8s.io";
        if owners.is_empty() && !is_ingress && !is_gateway_api {
            return false;
        }
        // a staying gateway may go by Ingress and by the Gateway API, whoever else reads them
        let is_shared = is_ingress || is_gateway_api;
        let is_kept = owners.iter().any(|owner| self.stay.contains(owner))
            || (is_shared && !self.stay.is_empty());
        !is_kept || is_for_mesh(object)
    }

    fn carry(&mut self, source: Source<'_>, read: &Read) -> Object {
        let key = &read.key;
        let api_version = match key.group.as_str() {
            "" => read.version.clone(),
            group => format!("{group}/{}", read.version),
        };
        let mut object = Object::new(&api_version, &key.kind, &key.namespace, &key.name);
        object.place = source.sources.locate(read.name_span);
        let mut all = Value::of(&read.node).into_map().unwrap_or_default();
        let mut metadata = all.remove("metadata").and_then(Value::into_map);
        let mut metadata = metadata.take().unwrap_or_default();
        for field in ["name", "namespace", "generateName"] {
            metadata.remove(field);
        }
        self.clean(&mut metadata);
        let mut texts = |field: &str| -> BTreeMap<String, String> {
            let map = metadata.remove(field).and_then(Value::into_map);
            let map = map.unwrap_or_default();
            map.iter()
                .map(|(key, value)| (key.to_owned(), text(value)))
                .collect()
        };
        object.labels = texts("labels");
        object.annotations = texts("annotations");
        object.metadata = metadata;
        all.retain(|field| !matches!(field, "apiVersion" | "kind"));
        object.body = all;
        if let Some(template) = object.template() {
            let metadata = template.under("metadata");
            self.clean(metadata);
            if metadata.is_empty() {
                template.remove("metadata");
            }
        }
        object
    }

    /// Takes labels and annotations out that a system reads which is not there any more: of meshes all.
    fn clean(&mut self, metadata: &mut Map) {
        for field in ["labels", "annotations"] {
            let Some(mut map) = metadata.remove(field).and_then(Value::into_map) else {
                continue;
            };
            map.retain(|key| {
                let goes = owner(key).is_some_and(|owner| !self.stay.contains(owner));
                if goes {
                    *self.out.taken_out.entry(key.to_owned()).or_default() += 1;
                }
                !goes
            });
            if !map.is_empty() {
                metadata.set(field, map);
            }
        }
    }

    /// Marks namespaces with somebody in the mesh, and in those who is not.
    fn inject(&mut self, source: Source<'_>, injection: Injection) {
        let Injection::Marked { namespace, out } = injection else {
            return;
        };
        let workloads = source.model.workloads();
        let meshed = workloads.iter().filter(|it| it.sidecar.is_some());
        let namespaces: BTreeSet<&str> = meshed.map(|it| &*it.namespace).collect();
        for name in &namespaces {
            self.mark_namespace(name, namespace);
        }
        // gateways with an identity of their own have no sidecar, and none is put beside them
        let others = workloads.iter().filter(|it| {
            it.sidecar.is_none() && !it.host_network && namespaces.contains(&*it.namespace)
        });
        for workload in others {
            self.mark_pods(workload, out);
        }
    }

    fn mark_namespace(&mut self, name: &str, mark: Mark) {
        let mut carried = self.out.carried.iter_mut();
        let found = carried.find(|it| it.kind == "Namespace" && it.name == name);
        let object = match found {
            Some(object) => object,
            None => {
                let made = Object::new("v1", "Namespace", "", name);
                self.out.carried.insert(0, made);
                &mut self.out.carried[0]
            }
        };
        match mark {
            Mark::Label(key, value) => object.labels.insert(key.into(), value.into()),
            Mark::Annotation(key, value) => object.annotations.insert(key.into(), value.into()),
        };
    }

    fn mark_pods(&mut self, workload: &Workload, mark: Mark) {
        let kind = match workload.kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
            WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::Job => "Job",
            WorkloadKind::Pod => "Pod",
            WorkloadKind::Scenario | WorkloadKind::Gateway => "",
        };
        let mut carried = self.out.carried.iter_mut();
        let found = carried.find(|it| {
            it.kind == kind && *it.namespace == *workload.namespace && *it.name == *workload.name
        });
        let Some(object) = found else {
            self.out.unmarked.push(workload.full_name());
            return;
        };
        if kind == "Pod" {
            match mark {
                Mark::Label(key, value) => object.labels.insert(key.into(), value.into()),
                Mark::Annotation(key, value) => object.annotations.insert(key.into(), value.into()),
            };
        } else if let Some(template) = object.template() {
            let metadata = template.under("metadata");
            match mark {
                Mark::Label(key, value) => metadata.under("labels").set(key, value),
                Mark::Annotation(key, value) => metadata.under("annotations").set(key, value),
            }
        }
    }
}

/// The system that reads a label or an annotation; none: nobody whom we know.
fn owner(key: &str) -> Option<&'static str> {
    if key == ISTIO_INJECTION {
        return Some("istio");
    }
    let (domain, _) = key.split_once('/')?;
    let is_it = |own: &str| match own.strip_prefix('.') {
        Some(_) => domain.ends_with(own),
        None => domain == own,
    };
    let found = DOMAINS
        .iter()
        .find(|(_, domains)| domains.iter().any(|own| is_it(own)));
    found.map(|(system, _)| *system)
}

/// Whether a route's parents are Services: it is for callers in a mesh.
fn is_for_mesh(object: &Read) -> bool {
    let parents = object.node.at("spec.parentRefs").and_then(|it| it.as_seq());
    let is_service = |parent: &manifests::text::Node| {
        parent.get("kind").and_then(|kind| kind.as_str()) == Some("Service")
    };
    parents.is_some_and(|all| !all.is_empty() && all.iter().all(is_service))
}

/// A label's or annotation's value, which is text whatever it looks like.
fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_belongs_to_the_system_that_reads_it() {
        for (key, system) in [
            ("istio-injection", Some("istio")),
            ("sidecar.istio.io/inject", Some("istio")),
            ("istio.io/rev", Some("istio")),
            ("linkerd.io/inject", Some("linkerd")),
            ("config.linkerd.io/opaque-ports", Some("linkerd")),
            ("80.service.kuma.io/protocol", Some("kuma")),
            ("ingress.kubernetes.io/service-upstream", Some("kong")),
            ("nginx.ingress.kubernetes.io/rewrite-target", Some("nginx")),
            ("notistio.io/a", None),
            ("app", None),
            ("app.kubernetes.io/name", None),
        ] {
            assert_eq!(owner(key), system, "{key}");
        }
    }
}
