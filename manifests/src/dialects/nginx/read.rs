//! Objects to policies: which controllers there are, which Ingresses each serves, and what they say.

use super::annotations::{self, Notes};
use super::checks::{self, deny};
use super::flags::Flags;
use super::policy::{Controller, DEFAULT_HOST, IngressPolicy, PathPolicy, RulePolicy, TlsPolicy};
use super::settings::Settings;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::ingress::{self, ServicePortId, class_of, controller_of};
use crate::kubernetes::{Ingress, PathType, PortRef};
use crate::load::{Object, ObjectKey};
use crate::model::{ServiceId, Workload};
use crate::text::{Entry, Spanned};

/// What controllers' ConfigMaps are called by the chart and by the older manifests.
const CONFIG_MAPS: &[&str] = &[
    "ingress-nginx-controller",
    "nginx-configuration",
    "nginx-ingress-controller",
    "ingress-nginx",
];

/// Every controller that serves an Ingress, and every Ingress that is theirs, those among them that they leave out.
pub(super) fn controllers(
    release: &str,
    cx: &mut Compile<'_>,
) -> (Vec<Controller>, Vec<ObjectKey>) {
    let mut controllers: Vec<Controller> = Vec::new();
    for workload in cx.workloads {
        if let Some(flags) = Flags::of(workload, cx.objects) {
            controllers.push(controller(release, Some(workload), flags, cx));
        }
    }
    if controllers.is_empty() {
        controllers.push(controller(release, None, Flags::default(), cx));
    }
    let mut claimed = Vec::new();
    for object in cx.objects.of("networking.k8s.io", "Ingress") {
        let at = controllers.iter().position(|it| serves(it, object, cx));
        let at = at.or_else(|| is_meant(object, cx).then_some(0));
        let Some(at) = at else {
            continue;
        };
        claimed.push(object.key.clone());
        let controller = &controllers[at];
        let mut reader = Reader { controller, cx };
        if let Some(policy) = reader.ingress(object) {
            controllers[at].ingresses.push(policy);
        }
    }
    controllers.retain(|it| !it.ingresses.is_empty());
    for controller in &mut controllers {
        controller.ingresses.sort_by(older);
        if controller.workload.is_none() {
            controller.origin = class_origin(controller, cx);
        }
    }
    (controllers, claimed)
}

/// The older of two Ingresses first; of two of one moment the one whose name comes later; one that no cluster has made yet comes after those that
/// one has, in the order written.
///
/// Source: `internal/ingress/controller/store/store.go` (`sortIngressSlice`).
fn older(a: &IngressPolicy, b: &IngressPolicy) -> std::cmp::Ordering {
    match (&a.created, &b.created) {
        (Some(first), Some(second)) => first
            .cmp(second)
            .then_with(|| b.full_name().cmp(&a.full_name())),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => std::cmp::Ordering::Equal,
    }
}

fn controller(
    release: &str,
    workload: Option<&Workload>,
    flags: Flags,
    cx: &mut Compile<'_>,
) -> Controller {
    let object = config_map(workload, &flags, cx);
    let settings = match object {
        Some(object) => Settings::read(release, object, cx.diagnostics),
        None => Settings::of(release),
    };
    let default_backend = flags
        .text("default-backend-service")
        .and_then(|name| default_service(name, cx));
    let class = flags.class().into();
    let mut made = Controller {
        class,
        workload: workload.map(|it| it.id),
        flags,
        settings,
        ingresses: Vec::new(),
        default_backend,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        origin: workload.map_or(proxy_core::origin::OriginId::NONE, |it| it.origin),
    };
    let named = |name: &str| made.settings.text(name).cloned();
    let (request, response) = (named("proxy-set-headers"), named("add-headers"));
    made.request_headers = request.map_or_else(Vec::new, |name| global_headers(&name, cx));
    made.response_headers = response.map_or_else(Vec::new, |name| global_headers(&name, cx));
    made
}

/// The class's object, else the first Ingress.
fn class_origin(controller: &Controller, cx: &mut Compile<'_>) -> proxy_core::origin::OriginId {
    let mut classes = cx.objects.of("networking.k8s.io", "IngressClass");
    let class = classes.find(|it| controller_of(it) == Some(controller.flags.controller()));
    match class {
        Some(class) => cx.origins.written(class.name_span),
        None => controller.ingresses[0].origin,
    }
}

/// The controller's ConfigMap: the one that its flags name, else one that is called as those of the chart are.
fn config_map<'c>(
    workload: Option<&Workload>,
    flags: &Flags,
    cx: &mut Compile<'c>,
) -> Option<&'c Object> {
    let objects = cx.objects;
    if let Some(named) = flags.text("configmap") {
        let (namespace, name) = named.split_once('/')?;
        let found = objects.get("", "ConfigMap", namespace, name);
        if found.is_none() {
            cx.diagnostics.push(
                Diagnostic::assumed(
                    "nginx::no-settings",
                    format!("no ConfigMap `{}`", named.value),
                    "the controller has the release's defaults",
                )
                .label(named.span, "named here"),
            );
        }
        return found;
    }
    let mut all = objects.of("", "ConfigMap");
    all.find(|object| {
        let beside = workload.is_none_or(|it| *it.namespace == *object.key.namespace);
        beside && CONFIG_MAPS.contains(&object.key.name.as_str())
    })
}

fn default_service(name: &Spanned<String>, cx: &mut Compile<'_>) -> Option<ServicePortId> {
    let (namespace, service) = name.split_once('/')?;
    let found = cx
        .services
        .iter()
        .find(|it| *it.namespace == *namespace && *it.name == *service);
    let Some(found) = found else {
        cx.diagnostics.push(
            Diagnostic::error(
                "nginx::unknown-default-backend",
                format!("no Service `{service}` in namespace `{namespace}`"),
            )
            .label(name.span, "asked for here"),
        );
        return None;
    };
    let port = found.ports.iter().find(|port| !port.udp)?.number;
    let service: ServiceId = found.id;
    Some(ServicePortId { service, port })
}

/// Whether the scenario says that an ingress-nginx serves an Ingress, whatever its class.
fn is_meant(object: &Object, cx: &Compile<'_>) -> bool {
    kind_of(object, cx).is_some_and(|kind| kind == "nginx")
}

fn kind_of<'c>(object: &Object, cx: &Compile<'c>) -> Option<&'c str> {
    let name = format!("{}/{}", object.key.namespace, object.key.name);
    let over = cx.overrides.iter().find(|it| *it.target == *name)?;
    over.kind.as_deref()
}

/// Whether a controller serves an Ingress.
///
/// Source: `internal/ingress/controller/store/store.go` (`GetIngressClass`). A class without an object that is called as the controller's own is
/// taken to be there, since the chart brings it.
fn serves(controller: &Controller, object: &Object, cx: &Compile<'_>) -> bool {
    if kind_of(object, cx).is_some_and(|kind| kind != "nginx") {
        return false;
    }
    let flags = &controller.flags;
    let watched = flags.text("watch-namespace");
    if watched.is_some_and(|it| *it.value != object.key.namespace) {
        return false;
    }
    let class = |name: &str| {
        cx.objects
            .get("networking.k8s.io", "IngressClass", "", name)
    };
    let own = |object: &Object| controller_of(object) == Some(flags.controller());
    let by_name = object
        .node
        .at("spec.ingressClassName")
        .and_then(|node| node.as_str());
    match (by_name, class_of(object)) {
        (Some(name), _) => match class(name) {
            Some(class) => own(class),
            None => name == flags.class(),
        },
        (None, Some(annotated)) => annotated == flags.class(),
        (None, None) => {
            let mut classes = cx.objects.of("networking.k8s.io", "IngressClass");
            flags.is_set("watch-ingress-without-class")
                || classes.any(|it| ingress::is_default(it) && own(it))
        }
    }
}

/// The headers of a ConfigMap that the controller's own names.
fn global_headers(name: &Spanned<String>, cx: &mut Compile<'_>) -> Vec<(String, Spanned<String>)> {
    match headers(name, cx) {
        Some(headers) => headers,
        None => {
            cx.diagnostics.push(
                Diagnostic::error(
                    "nginx::unknown-configmap",
                    format!("no ConfigMap `{}`", name.value),
                )
                .label(name.span, "asked for here")
                .help("write it as `namespace/name`"),
            );
            Vec::new()
        }
    }
}

/// The headers of a ConfigMap `namespace/name`, those without variables of NGINX; none: it is not there.
fn headers(name: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Vec<(String, Spanned<String>)>> {
    let (namespace, map) = name.split_once('/')?;
    let object = cx.objects.get("", "ConfigMap", namespace, map)?;
    let data = object.node.at("data").and_then(|node| node.as_map());
    let entries: &[Entry] = data.map_or(&[], |map| map.entries());
    let mut found = Vec::new();
    for entry in entries {
        let Some(value) = entry.value.as_str() else {
            continue;
        };
        let name = entry.key.text.as_str();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || value.chars().any(char::is_control) {
            cx.diagnostics.push(
                Diagnostic::error("nginx::bad-header", format!("`{name}` is no header"))
                    .label(entry.key.span, "not written")
                    .help("names have letters, digits, `-` and `_`, values no line breaks"),
            );
            continue;
        }
        if value.contains('$') {
            let message = format!("the variables in `{}` are not modelled", entry.key.text);
            cx.diagnostics.push(
                Diagnostic::not_modelled("nginx::variable", message, "the header is not written")
                    .label(entry.value.span, ""),
            );
            continue;
        }
        let value = Spanned::new(value.to_owned(), entry.value.span);
        found.push((entry.key.text.to_ascii_lowercase(), value));
    }
    Some(found)
}

struct Reader<'a, 'b, 'c> {
    controller: &'a Controller,
    cx: &'b mut Compile<'c>,
}

impl Reader<'_, '_, '_> {
    /// None: it cannot be read, or the release leaves it out.
    fn ingress(&mut self, object: &Object) -> Option<IngressPolicy> {
        let ingress = Ingress::of(object)?;
        let prefix = self.controller.flags.prefix();
        let settings = &self.controller.settings;
        let mut notes = annotations::read(object, prefix, settings, self.cx.diagnostics);
        if notes.refused {
            return None;
        }
        checks::check(&mut notes, object, prefix, self.cx.diagnostics);
        let namespace = object.key.namespace.as_str();
        let response_headers = self.custom_headers(&mut notes);
        let mut rules = Vec::new();
        for rule in &ingress.rules {
            let host = rule.host.as_ref();
            let paths = rule.paths.iter();
            let paths = paths.filter_map(|path| self.path(path, namespace));
            rules.push(RulePolicy {
                host: host
                    .map_or_else(|| DEFAULT_HOST.to_owned(), |host| host.to_ascii_lowercase()),
                paths: paths.collect(),
            });
        }
        let default_backend = ingress.default_backend.as_ref();
        let default_backend = default_backend.and_then(|it| self.backend(it, namespace));
        let tls = ingress.tls.iter().map(|tls| TlsPolicy {
            hosts: tls
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            secret: tls
                .secret
                .as_ref()
                .map(|secret| format!("{namespace}/{}", secret.value).into()),
        });
        Some(IngressPolicy {
            namespace: namespace.into(),
            name: object.key.name.as_str().into(),
            notes,
            rules,
            default_backend,
            tls: tls.collect(),
            response_headers,
            created: object.created.clone(),
            span: object.name_span,
            origin: self.cx.origins.written(object.name_span),
        })
    }

    fn path(
        &mut self,
        path: &crate::kubernetes::IngressPath,
        namespace: &str,
    ) -> Option<PathPolicy> {
        let exact = match path.path_type.value {
            PathType::Exact => true,
            PathType::Prefix | PathType::ImplementationSpecific => false,
        };
        let strict = path.path_type.value != PathType::ImplementationSpecific;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
        let is_strict = self
            .controller
            .settings
            .flag("strict-validate-path-type", true);
        if strict && is_strict && !path.path.chars().all(plain) {
            let message = format!("ingress-nginx's admission refuses the path `{}`", path.path);
            self.cx.diagnostics.push(
                Diagnostic::warning("nginx::path", message)
                    .label(
                        path.path.span,
                        "more than letters, digits, `/`, `_`, `-` and `.`",
                    )
                    .help(
                        "write `pathType: ImplementationSpecific`; it is served here all the same",
                    ),
            );
        }
        Some(PathPolicy {
            path: path.path.value.clone(),
            exact,
            backend: self.backend(&path.backend, namespace)?,
            span: path.path.span,
            origin: self.cx.origins.written(path.path.span),
        })
    }

    fn backend(
        &mut self,
        backend: &crate::kubernetes::Backend,
        namespace: &str,
    ) -> Option<ServicePortId> {
        let found = ingress::backend(backend, namespace, self.cx.services, self.cx.diagnostics)?;
        let service = &self.cx.services[found.service.index()];
        if let crate::model::ServiceKind::ExternalName(host) = &service.kind {
            let meaning = format!("`{host}` is not reached: requests for it are answered 503");
            self.cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "nginx::not-modelled",
                    "a Service of another name behind ingress-nginx is not modelled",
                    meaning,
                )
                .label(service.span, ""),
            );
        }
        let is_number =
            matches!(&backend.port.value, PortRef::Number(number) if *number == found.port);
        let is_name = matches!(backend.port.value, PortRef::Name(_));
        if !is_number && !is_name {
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "nginx::target-port",
                    format!("Service `{}` has this port on its pods only", service.name),
                )
                .label(
                    backend.port.span,
                    format!("taken for its port {}", found.port),
                ),
            );
        }
        Some(found)
    }

    /// Headers that answers leave with. Source: `internal/ingress/annotations/customheaders/main.go`.
    fn custom_headers(&mut self, notes: &mut Notes) -> Vec<(String, Spanned<String>)> {
        let Some(name) = notes.text("custom-headers").cloned() else {
            return Vec::new();
        };
        let allowed = self
            .controller
            .settings
            .text("global-allowed-response-headers");
        let allowed: Vec<String> = allowed.map_or_else(Vec::new, |text| {
            let names = text.split(',').map(str::trim);
            names.map(str::to_ascii_lowercase).collect()
        });
        let Some(headers) = headers(&name, self.cx) else {
            let words = format!("no ConfigMap `{}`, as `namespace/name`", name.value);
            deny(notes, name.span, &words, self.cx.diagnostics);
            return Vec::new();
        };
        if let Some((header, value)) = headers.iter().find(|(it, _)| !allowed.contains(it)) {
            let words = format!("`{header}` is not among `global-allowed-response-headers`");
            deny(notes, value.span, &words, self.cx.diagnostics);
        }
        headers
    }
}
