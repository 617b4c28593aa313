//! Objects to policies.

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::notes::{Defaults, bad_value};
use super::policy::Policies;
use super::registry::Registry;
use super::types::{Document, Mesh, ProxyDefaults, Resolver, Router, ServiceDefaults, Splitter};
use super::{annotations, check, defaults, mesh, others, resolver, router, settings, splitter};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Span, read};

use super::injection::GROUP;

/// Kinds of which there is one of a name, whatever its namespace in Kubernetes.
const ENTRIES: [&str; 5] = [
    "ServiceDefaults",
    "ServiceRouter",
    "ServiceSplitter",
    "ServiceResolver",
    "ServiceIntentions",
];

/// Reads everything that Consul's proxies go by.
pub(super) fn policies(defaults: Defaults, cx: &mut Compile<'_>) -> Policies {
    let objects = cx.objects;
    let mut policies = Policies {
        registry: Registry::of(defaults.origin, cx),
        ..Policies::default()
    };
    for object in objects.iter() {
        annotations::check(object, cx.diagnostics);
        if object.key.group.is_empty() && object.key.kind == "Service" {
            others::check_label(object, cx.diagnostics);
        }
    }
    // what the mesh allows is needed to read the others
    for object in objects.of(GROUP, "Mesh") {
        if is_called(object, "mesh", cx)
            && let Some(written) = spec::<Mesh>(object, cx)
        {
            policies.mesh = mesh::mesh(&written, cx);
        }
    }
    let allows = policies.mesh.allows_permissive;
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for object in objects.iter().filter(|object| object.key.group == GROUP) {
        let kind = object.key.kind.as_str();
        if ENTRIES.contains(&kind) {
            let name = object.key.name.as_str();
            if let Some(first) = seen.insert((kind, name), object.name_span) {
                twice(object, first, cx);
            }
        }
        let name = Name::from(object.key.name.as_str());
        match kind {
            "Mesh" => {}
            "ProxyDefaults" => {
                if is_called(object, "global", cx)
                    && let Some(written) = spec::<ProxyDefaults>(object, cx)
                {
                    policies.proxy = settings::proxy(&written, allows, cx);
                }
            }
            "ServiceDefaults" => {
                if let Some(written) = spec::<ServiceDefaults>(object, cx) {
                    let read = defaults::service(object, &written, allows, cx);
                    policies.services.insert(name, read);
                }
            }
            "ServiceRouter" => {
                if let Some(written) = spec::<Router>(object, cx) {
                    let read = router::read(object, &written, defaults, cx);
                    policies.routers.insert(name, read);
                }
            }
            "ServiceSplitter" => {
                if let Some(written) = spec::<Splitter>(object, cx) {
                    let read = splitter::read(object, &written, cx);
                    policies.splitters.extend(read.map(|read| (name, read)));
                }
            }
            "ServiceResolver" => {
                if let Some(written) = spec::<Resolver>(object, cx) {
                    let read = resolver::read(object, &written, defaults, cx);
                    policies.resolvers.insert(name, read);
                }
            }
            _ => others::read(object, &policies.registry, cx),
        }
    }
    check::report(&policies, defaults, cx);
    policies
}

/// The `spec` of an object.
pub(super) fn spec<T: serde::de::DeserializeOwned + Default>(
    object: &Object,
    cx: &mut Compile<'_>,
) -> Option<T> {
    read::<Document<T>>(&object.node, cx.diagnostics).map(|document| document.spec)
}

/// Kinds of which there is one object have one name.
fn is_called(object: &Object, name: &str, cx: &mut Compile<'_>) -> bool {
    if object.key.name == name {
        return true;
    }
    let message = format!(
        "{} is called `{name}`, else Consul refuses it",
        object.key.kind
    );
    bad_value(object.name_span, message, cx.diagnostics);
    false
}

fn twice(object: &Object, first: Span, cx: &mut Compile<'_>) {
    let message = format!(
        "there are two {} called `{}`: without Consul Enterprise there is one namespace",
        object.key.kind, object.key.name
    );
    cx.diagnostics.push(
        Diagnostic::error("consul::twice", message)
            .label(object.name_span, "refused")
            .label(first, "the first"),
    );
}
