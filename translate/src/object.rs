//! Objects that are written, and what becomes of all of them.

use std::collections::BTreeMap;

use manifests::model::{GatewayId, Service, ServiceId};
use proxy_core::origin::OriginId;

use crate::loss::Loss;
use crate::yaml::{Map, Value};

/// Where pod templates are.
const TEMPLATES: &[(&str, &[&str])] = &[
    ("Deployment", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("ReplicationController", &["spec", "template"]),
    ("Job", &["spec", "template"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// A Kubernetes object that is written.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for kinds that have none.
    pub namespace: String,
    /// The name, unique among those of its kind and namespace.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// What else stands in `metadata`.
    pub metadata: Map,
    /// Everything that stands after `metadata`: `spec`, `data`, …
    pub body: Map,
    /// Where it is written, for what is carried over: `app.yaml:3`; else empty.
    pub place: String,
    /// The rules that it comes from: each is named in a comment above it. Those that nobody wrote are passed over.
    pub from: Vec<OriginId>,
}

impl Object {
    /// One with nothing in it; `namespace` is empty for kinds that have none.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            metadata: Map::new(),
            body: Map::new(),
            place: String::new(),
            from: Vec::new(),
        }
    }

    /// With this `spec`.
    #[must_use]
    pub fn spec(mut self, spec: Map) -> Self {
        self.body.set("spec", spec);
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// Says that a rule is one of those that it comes from.
    #[must_use]
    pub fn from(mut self, rule: OriginId) -> Self {
        self.comes_from(rule);
        self
    }

    /// Says that a rule is one of those that it comes from.
    pub fn comes_from(&mut self, rule: OriginId) {
        if !self.from.contains(&rule) {
            self.from.push(rule);
        }
    }

    /// The template of its pods, if it has one.
    pub fn template(&mut self) -> Option<&mut Map> {
        let (_, path) = TEMPLATES.iter().find(|(kind, _)| *kind == self.kind)?;
        let mut at = &mut self.body;
        for step in *path {
            at.get(step)?;
            at = at.under(step);
        }
        Some(at)
    }

    /// Sets an annotation of its pods: in their template, or its own where it is a pod itself.
    pub fn annotate_pods(&mut self, key: &str, value: &str) {
        match self.template() {
            Some(template) => template
                .under("metadata")
                .under("annotations")
                .set(key, value),
            None => {
                self.annotations.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    /// `Kind/namespace/name`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{}/{}", self.kind, self.name),
            namespace => format!("{}/{namespace}/{}", self.kind, self.name),
        }
    }

    /// As it is written: `apiVersion`, `kind`, `metadata`, and then the rest.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let texts = |all: &BTreeMap<String, String>| {
            let mut map = Map::new();
            for (key, value) in all {
                map.set(key, value.as_str());
            }
            map
        };
        let mut metadata = Map::new().with("name", self.name.as_str());
        if !self.namespace.is_empty() {
            metadata.set("namespace", self.namespace.as_str());
        }
        let mut metadata = metadata
            .map("labels", texts(&self.labels))
            .map("annotations", texts(&self.annotations));
        for (key, value) in self.metadata.iter() {
            metadata.set(key, value.clone());
        }
        let mut all = Map::new()
            .with("apiVersion", self.api_version.as_str())
            .with("kind", self.kind.as_str())
            .with("metadata", metadata);
        for (key, value) in self.body.iter() {
            all.set(key, value.clone());
        }
        all.into()
    }
}

/// Everything that a target's writer makes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Written {
    /// Objects, in the order in which they were made; what is carried over comes first.
    pub objects: Vec<Object>,
    /// Files that hold no objects (bootstraps), by name.
    pub files: Vec<(String, String)>,
    /// What the target cannot say.
    pub losses: Vec<Loss>,
    /// For each gateway that was written anew what it is called when it is read again: the name of its
    /// [`GatewayFacts`](manifests::model::GatewayFacts).
    pub gateways: Vec<(GatewayId, String)>,
    /// What people have to do besides, in words: Secrets that are not written, a controller that has to run.
    pub notes: Vec<String>,
    /// Services that were made for subsets of others; see [`Written::subset`].
    pub subsets: Vec<Subset>,
}

/// A Service that stands for a subset of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subset {
    /// What it is called.
    pub name: String,
    /// Whose pods.
    pub service: ServiceId,
    /// Which of them.
    pub labels: Vec<(String, String)>,
}

impl Written {
    /// Adds an object. One of the same kind, namespace and name is a fault of the writer's, which reading again shows.
    pub fn add(&mut self, object: Object) {
        self.objects.push(object);
    }

    /// The object of this kind and name, to add to it.
    pub fn find(&mut self, kind: &str, namespace: &str, name: &str) -> Option<&mut Object> {
        let is_it =
            |it: &&mut Object| it.kind == kind && it.namespace == namespace && it.name == name;
        self.objects.iter_mut().find(is_it)
    }

    /// Says what the target cannot say; equal losses are one.
    pub fn lose(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    /// Says what people have to do besides, once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Says that a gateway was written anew, and what it is called when it is read again.
    pub fn stands_for(&mut self, gateway: GatewayId, name: impl Into<String>) {
        self.gateways.push((gateway, name.into()));
    }

    /// The name of a Service for those pods of another that have some labels, in its namespace: for targets that know no subsets. It is
    /// made when it is asked for first, and counts as that subset when both are compared.
    pub fn subset(&mut self, of: &Service, labels: &[(String, String)]) -> String {
        let mut known = self.subsets.iter();
        if let Some(known) = known.find(|it| it.service == of.id && it.labels == labels) {
            return known.name.clone();
        }
        let values: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
        let name = format!("{}-{}", of.name, values.join("-"));
        let name = self.free_name("Service", &of.namespace, &name);
        let mut object = match self.find("Service", &of.namespace, &of.name) {
            Some(whole) => whole.clone(),
            None => Object::new("v1", "Service", &of.namespace, &name),
        };
        object.name.clone_from(&name);
        object.place = String::new();
        object.comes_from(of.origin);
        let spec = object.body.under("spec");
        for own in [
            "clusterIP",
            "clusterIPs",
            "externalIPs",
            "loadBalancerIP",
            "type",
        ] {
            spec.remove(own);
        }
        let selector = spec.under("selector");
        for (key, value) in &of.selector {
            selector.set(key, &**value);
        }
        for (key, value) in labels {
            selector.set(key, value.as_str());
        }
        self.add(object);
        self.subsets.push(Subset {
            name: name.clone(),
            service: of.id,
            labels: labels.to_vec(),
        });
        name
    }

    /// A name that no object of this kind has yet: `wanted`, or with a number behind it.
    #[must_use]
    pub fn free_name(&self, kind: &str, namespace: &str, wanted: &str) -> String {
        let is_taken = |name: &str| {
            let mut objects = self.objects.iter();
            objects.any(|it| it.kind == kind && it.namespace == namespace && it.name == name)
        };
        let wanted = dns_name(wanted);
        if !is_taken(&wanted) {
            return wanted;
        }
        let numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
        let mut free = numbered.filter(|name| !is_taken(name));
        free.next().expect("numbers do not end")
    }
}

/// A name as Kubernetes takes it: lower-case letters, digits and dashes, at most 63 of them.
#[must_use]
pub fn dns_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let mut name = String::new();
    for c in text.chars().map(plain) {
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    // room for a number
    let name: String = name.trim_matches('-').chars().take(58).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "any".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_as_people_write_it() {
        let object = Object::new("v1", "Service", "shop", "cart")
            .annotated("example.com/a", "1")
            .spec(Map::new().with("type", "ClusterIP"));
        assert_eq!(
            object.to_value().to_yaml(),
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: cart\n  namespace: shop\n  annotations:\n    example.com/a: \"1\"\nspec:\n  type: ClusterIP\n"
        );
    }

    #[test]
    fn names_are_as_kubernetes_takes_them() {
        for (text, name) in [
            ("Shop_Example.com", "shop-example-com"),
            ("*.example.com", "example-com"),
            ("*", "any"),
            ("--", "any"),
        ] {
            assert_eq!(dns_name(text), name);
        }
        assert!(dns_name(&"a".repeat(200)).len() <= 63);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let mut written = Written::default();
        for name in ["shop", "shop-2", "shop-3"] {
            let free = written.free_name("HTTPRoute", "default", "shop");
            assert_eq!(free, name);
            written.add(Object::new("v1", "HTTPRoute", "default", &free));
        }
        assert_eq!(written.free_name("Gateway", "default", "shop"), "shop");
    }
}
