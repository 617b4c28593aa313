//! One object: who it is, where it stands, and what a cluster added to it.

use std::fmt;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Node, Span, Spanned, Value};

/// Where objects of namespaced kinds stand that name no namespace.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What a cluster writes into `metadata` on its own.
const CLUSTER_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Kinds without a namespace; a kind that is not here and is not known counts as namespaced.
const CLUSTER_KINDS: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("configuration.konghq.com", "KongClusterPlugin"),
    ("configuration.konghq.com", "KongLicense"),
    ("configuration.konghq.com", "KongVault"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("kuma.io", "Mesh"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
];

/// What makes an object the same object in another layer; versions of its group do not tell objects apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// The API group; empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for kinds that have none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// One Kubernetes object as it was written, without what a cluster adds.
#[derive(Clone, Debug)]
pub struct Object {
    /// Who it is.
    pub key: ObjectKey,
    /// The version within its group: `v1`.
    pub version: String,
    /// The whole document.
    pub node: Node,
    /// Which layer it came from, from 0.
    pub layer: usize,
    /// The text of `metadata.name`.
    pub name_span: Span,
    /// What controls it, when a cluster had made it for something else (a Pod of a ReplicaSet).
    pub owner: Option<Owner>,
    /// When a cluster has made it, as it writes that: of two times the earlier is the lesser text.
    pub created: Option<String>,
    /// How often its specification has changed, as a cluster counts.
    pub generation: Option<i64>,
}

/// The controller in an object's `ownerReferences`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// Whether a document is for kustomize, which reads it beside the manifests.
pub(super) fn is_of_kustomize(node: &Node) -> bool {
    let version = node.get("apiVersion").and_then(Node::as_str);
    version.is_some_and(|version| version.starts_with("kustomize.config.k8s.io/"))
}

impl Object {
    /// The whole document's place.
    #[must_use]
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// A label of the object.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<Spanned<&str>> {
        text_at(self.node.get("metadata")?.get("labels")?.get(key)?)
    }

    /// An annotation of the object.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<Spanned<&str>> {
        text_at(self.node.get("metadata")?.get("annotations")?.get(key)?)
    }

    /// Finds out who an object is; what lacks a kind or a name is an error.
    pub(super) fn identify(node: Node, layer: usize, problems: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_none() {
            let found = format!("a Kubernetes object is a mapping, not {}", node.describe());
            problems.push(
                Diagnostic::error("load::no-object", found).label(node.span, "this document"),
            );
            return None;
        }
        let api_version = required(&node, &node, "apiVersion", problems);
        let kind = required(&node, &node, "kind", problems);
        let metadata = node.get("metadata");
        let name = match metadata {
            Some(metadata) => name_of(&node, metadata, problems),
            None => {
                problems.push(
                    Diagnostic::error(
                        "load::no-name",
                        "an object needs a name: `metadata` is missing",
                    )
                    .label(kind.map_or(node.span, |kind| kind.span), "this object"),
                );
                None
            }
        };
        let namespace = match metadata.and_then(|metadata| metadata.get("namespace")) {
            Some(at) => Some(text_of(at, "metadata.namespace", problems)?),
            None => None,
        };
        let (api_version, kind, name) = (api_version?, kind?, name?);
        let (group, version) = api_version
            .value
            .split_once('/')
            .unwrap_or(("", api_version.value));
        let is_cluster_wide = CLUSTER_KINDS.contains(&(group, kind.value));
        let namespace = match namespace {
            _ if is_cluster_wide => "",
            Some(namespace) if !namespace.value.is_empty() => namespace.value,
            Some(_) | None => DEFAULT_NAMESPACE,
        };
        let key = ObjectKey {
            group: group.to_owned(),
            kind: kind.value.to_owned(),
            namespace: namespace.to_owned(),
            name: name.value.to_owned(),
        };
        Some(Self {
            key,
            version: version.to_owned(),
            layer,
            name_span: name.span,
            owner: metadata.and_then(controller),
            created: metadata.and_then(created),
            generation: metadata.and_then(generation),
            node,
        })
    }

    /// Takes out what a cluster adds, and names it.
    pub(super) fn clean(&mut self) -> Vec<&'static str> {
        let mut found = Vec::new();
        let Some(root) = self.node.as_map_mut() else {
            return found;
        };
        // A CustomResourceDefinition or an object of some other API may have a meaningful status; none of those is modelled.
        if root.remove("status").is_some() {
            found.push("status");
        }
        if let Some(metadata) = root.get_mut("metadata").and_then(Node::as_map_mut) {
            found.extend(
                CLUSTER_METADATA
                    .iter()
                    .copied()
                    .filter(|field| metadata.remove(field).is_some()),
            );
        }
        found
    }
}

/// The objects of a `List`, or of a typed list such as `ServiceList`, whose items need not repeat their kind.
pub(super) fn list_items(node: &Node) -> Option<Vec<Node>> {
    let kind = node.get("kind")?.as_str()?;
    let item_kind = kind.strip_suffix("List")?;
    let items = node.get("items")?.as_seq()?;
    let inherit = |item: &Node| {
        let mut item = item.clone();
        if !item_kind.is_empty()
            && let Some(map) = item.as_map_mut()
        {
            let list = node.as_map().expect("it has a kind");
            for field in ["apiVersion", "kind"] {
                if map.get(field).is_none()
                    && let Some(entry) = list.entry(field)
                {
                    let mut entry = entry.clone();
                    if field == "kind" {
                        entry.value.value = Value::String(item_kind.to_owned());
                    }
                    map.insert(entry);
                }
            }
        }
        item
    };
    Some(items.iter().map(inherit).collect())
}

fn required<'a>(
    object: &Node,
    within: &'a Node,
    field: &str,
    problems: &mut Diagnostics,
) -> Option<Spanned<&'a str>> {
    match within.get(field) {
        Some(value) => text_of(value, field, problems),
        None => {
            problems.push(
                Diagnostic::error(
                    "load::no-object",
                    format!("not a Kubernetes object: `{field}` is missing"),
                )
                .label(object.span, "this document"),
            );
            None
        }
    }
}

fn name_of<'a>(
    object: &Node,
    metadata: &'a Node,
    problems: &mut Diagnostics,
) -> Option<Spanned<&'a str>> {
    if let Some(name) = metadata.get("name") {
        return text_of(name, "metadata.name", problems);
    }
    // `kubectl create` would make up an ending; the name serves as it stands.
    if let Some(name) = metadata.get("generateName") {
        return text_of(name, "metadata.generateName", problems);
    }
    problems.push(
        Diagnostic::error(
            "load::no-name",
            "an object needs a name: `metadata.name` is missing",
        )
        .label(
            if metadata.is_null() {
                object.span
            } else {
                metadata.span
            },
            "this object",
        ),
    );
    None
}

fn text_of<'a>(
    value: &'a Node,
    path: &str,
    problems: &mut Diagnostics,
) -> Option<Spanned<&'a str>> {
    let text = text_at(value);
    if text.is_none() {
        problems.push(
            Diagnostic::error(
                "field::type",
                format!("{path}: expected text, found {}", value.describe()),
            )
            .label(value.span, "this value"),
        );
    }
    text
}

fn text_at(value: &Node) -> Option<Spanned<&str>> {
    value.as_str().map(|text| Spanned::new(text, value.span))
}

fn created(metadata: &Node) -> Option<String> {
    let at = metadata.get("creationTimestamp")?.as_str()?;
    Some(at.to_owned())
}

fn generation(metadata: &Node) -> Option<i64> {
    match metadata.get("generation")?.value {
        Value::Int(number) => i64::try_from(number).ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Seq(_)
        | Value::Map(_) => None,
    }
}

fn controller(metadata: &Node) -> Option<Owner> {
    let owners = metadata.get("ownerReferences")?.as_seq()?;
    let owner = owners.iter().find(|owner| {
        owner
            .get("controller")
            .is_some_and(|flag| flag.value == Value::Bool(true))
    })?;
    Some(Owner {
        kind: owner.get("kind")?.as_str()?.to_owned(),
        name: owner.get("name")?.as_str()?.to_owned(),
    })
}
