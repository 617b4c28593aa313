//! Ingresses of controllers that are not known, by class.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::NAME;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::ingress::{ANY_HOST, ServicePortId, backend, class_of, controller_of, is_default};
use crate::kubernetes::{Ingress, PathType};
use crate::load::{Object, ObjectKey};

/// The gateway of one class, or of one Ingress that the scenario names.
#[derive(Clone, Debug)]
pub(super) struct PlainGateway {
    /// The class's name; none: the scenario names its Ingress.
    pub(super) class: Option<Name>,
    /// In the order written.
    pub(super) ingresses: Vec<PlainIngress>,
    /// The class, else the Ingress.
    pub(super) origin: OriginId,
}

/// An Ingress.
#[derive(Clone, Debug)]
pub(super) struct PlainIngress {
    /// As it is written.
    pub(super) ingress: Ingress,
    /// Its paths, in the order written.
    pub(super) paths: Vec<PlainPath>,
    /// Where requests go that no path takes.
    pub(super) default_backend: Option<ServicePortId>,
    /// When a cluster has made it.
    pub(super) created: Option<String>,
    /// Where its name is written.
    pub(super) origin: OriginId,
}

/// A path of a host.
#[derive(Clone, Debug)]
pub(super) struct PlainPath {
    /// Lower case, perhaps with `*.` at its start; [`ANY_HOST`] for any.
    pub(super) host: String,
    /// As written.
    pub(super) path: String,
    /// The whole path; else its first segments.
    pub(super) exact: bool,
    /// Where it leads.
    pub(super) backend: ServicePortId,
    /// Where it is written.
    pub(super) origin: OriginId,
}

pub(super) fn gateways(
    taken: &dyn Fn(&ObjectKey) -> bool,
    cx: &mut Compile<'_>,
) -> Vec<PlainGateway> {
    let mut found: Vec<PlainGateway> = Vec::new();
    for object in cx.objects.of("networking.k8s.io", "Ingress") {
        if taken(&object.key) {
            continue;
        }
        let Some((class, origin)) = served_by(object, cx) else {
            continue;
        };
        let Some(ingress) = read(object, cx) else {
            continue;
        };
        let same = found
            .iter_mut()
            .find(|it| class.is_some() && it.class == class);
        match same {
            Some(gateway) => gateway.ingresses.push(ingress),
            None => found.push(PlainGateway {
                class,
                ingresses: vec![ingress],
                origin,
            }),
        }
    }
    for gateway in &mut found {
        // of two the older counts
        let age = |it: &PlainIngress| (it.created.is_none(), it.created.clone());
        gateway.ingresses.sort_by_key(age);
    }
    found
}

/// The class by which an Ingress is served, told as what it is; none: the scenario says that it is served.
fn served_by(object: &Object, cx: &mut Compile<'_>) -> Option<(Option<Name>, OriginId)> {
    let name = format!("{}/{}", object.key.namespace, object.key.name);
    let over = cx.overrides.iter().find(|it| *it.target == *name);
    if let Some(kind) = over.and_then(|over| over.kind.as_deref()) {
        let origin = cx.origins.written(object.name_span);
        return (kind == NAME).then_some((None, origin));
    }
    let class = match class_of(object) {
        Some(class) => cx
            .objects
            .get("networking.k8s.io", "IngressClass", "", class)?,
        None => {
            let mut classes = cx.objects.of("networking.k8s.io", "IngressClass");
            classes.find(|class| is_default(class))?
        }
    };
    let controller = controller_of(class)?;
    let meaning = "its Ingresses are served as `networking.k8s.io/v1` has it, with no timeouts, retries or limits of requests; annotations are not read";
    cx.diagnostics.push(
        Diagnostic::assumed(
            "ingress::unknown-controller",
            format!("the controller `{controller}` is not known"),
            meaning,
        )
        .label(class.name_span, "this class")
        .help("say what it is under `gateways` of the scenario, where that is known here"),
    );
    let origin = cx.origins.written(class.name_span);
    Some((Some(class.key.name.as_str().into()), origin))
}

fn read(object: &Object, cx: &mut Compile<'_>) -> Option<PlainIngress> {
    let ingress = Ingress::of(object)?;
    let namespace = object.key.namespace.as_str();
    let mut paths = Vec::new();
    for rule in &ingress.rules {
        let host = rule.host.as_ref();
        let host = host.map_or_else(|| ANY_HOST.to_owned(), |host| host.to_ascii_lowercase());
        for path in &rule.paths {
            let found = backend(&path.backend, namespace, cx.services, cx.diagnostics);
            let Some(found) = found else {
                continue;
            };
            paths.push(PlainPath {
                host: host.clone(),
                path: path.path.value.clone(),
                exact: match path.path_type.value {
                    PathType::Exact => true,
                    PathType::Prefix | PathType::ImplementationSpecific => false,
                },
                backend: found,
                origin: cx.origins.written(path.path.span),
            });
        }
    }
    let default_backend = ingress.default_backend.as_ref();
    let default_backend =
        default_backend.and_then(|it| backend(it, namespace, cx.services, cx.diagnostics));
    Some(PlainIngress {
        ingress,
        paths,
        default_backend,
        created: object.created.clone(),
        origin: cx.origins.written(object.name_span),
    })
}
