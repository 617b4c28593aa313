//! Ingresses of Emissary's classes, as Hosts and Mappings.
//!
//! Source: emissary `python/ambassador/src/ambassador/fetch/ingress.py`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::hosts::{Ends, Host};
use super::mapping::{Identity, Mapping, Reader};
use super::read::labels;
use super::tls::assume_secret;
use super::types::{Action, Document, MappingSpec};
use super::version::Version;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Labels;
use crate::text::{Present, Spanned, read_part};

const GROUP: &str = "networking.k8s.io";
/// The controller's name in an IngressClass, in lower case.
const CONTROLLER: &str = "getambassador.io/ingress-controller";
/// The older way to name a class.
const CLASS: &str = "kubernetes.io/ingress.class";
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Ties the Mappings of an Ingress to its Hosts.
const TIE: &str = "a10r-k8s-ingress";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    default_backend: Option<Backend>,
    rules: Vec<Rule>,
    tls: Vec<Tls>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    host: Option<Spanned<String>>,
    http: Option<Paths>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Paths {
    paths: Vec<Spanned<Path>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Path {
    path: Option<Spanned<String>>,
    path_type: Option<Spanned<String>>,
    backend: Backend,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Backend {
    service: Option<ServiceName>,
    resource: Option<Present>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceName {
    name: Option<Spanned<String>>,
    port: Port,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    number: Option<u16>,
    name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tls {
    hosts: Option<Vec<Spanned<String>>>,
    secret_name: Option<Spanned<String>>,
}

/// The Ingresses of Emissary's classes, and those that a scenario gives it.
pub(super) fn of_class<'c>(cx: &Compile<'c>) -> Vec<&'c Object> {
    let objects = cx.objects;
    let mut classes: BTreeMap<&str, bool> = BTreeMap::new();
    for class in objects.of(GROUP, "IngressClass") {
        let controller = class.node.at("spec.controller");
        let controller = controller.and_then(|node| node.as_str());
        if controller.is_some_and(|name| name.eq_ignore_ascii_case(CONTROLLER)) {
            let is_default = class.annotation(IS_DEFAULT);
            let is_default = is_default.is_some_and(|flag| flag.value == "true");
            classes.insert(&class.key.name, is_default);
        }
    }
    let is_its = |object: &&Object| {
        let name = format!("{}/{}", object.key.namespace, object.key.name);
        let over = cx.overrides.iter().find(|over| *over.target == *name);
        if let Some(kind) = over.and_then(|over| over.kind.as_deref()) {
            return kind == "emissary";
        }
        let written = object.node.at("spec.ingressClassName");
        let written = written.and_then(|node| node.as_str());
        let older = object.annotation(CLASS).map(|class| class.value);
        match (written, older) {
            (Some(class), _) if classes.contains_key(class) => true,
            (_, Some(class)) => class.eq_ignore_ascii_case("ambassador"),
            // a cluster writes the default class into an Ingress without one
            (None, None) => classes.values().any(|is_default| *is_default),
            (Some(_), None) => false,
        }
    };
    objects.of(GROUP, "Ingress").filter(is_its).collect()
}

fn spec(object: &Object, cx: &mut Compile<'_>) -> Option<Spec> {
    // all of it was checked where Kubernetes' own kinds are read
    Some(read_part::<Document<Spec>>(&object.node, cx.diagnostics)?.spec)
}

fn tie(object: &Object) -> String {
    format!("a10r-ingress-{}-{}", object.key.name, object.key.namespace)
}

/// A Host for each name with a certificate; requests in the clear are routed there, too.
pub(super) fn hosts(ingresses: &[&Object], cx: &mut Compile<'_>) -> Vec<Host> {
    let mut found = Vec::new();
    for object in ingresses {
        let Some(spec) = spec(object, cx) else {
            continue;
        };
        for (nth, tls) in spec.tls.iter().enumerate() {
            let Some(secret) = &tls.secret_name else {
                continue;
            };
            let namespace = &object.key.namespace;
            let certificate = format!("{namespace}/{secret}");
            assume_secret(&certificate, secret.span, cx);
            let any = [Spanned::new("*".to_owned(), secret.span)];
            let names = tls.hosts.as_deref().unwrap_or(&any);
            for (at, hostname) in names.iter().enumerate() {
                let name = format!("{}-{nth}-{at}", object.key.name);
                let selector = Labels::from([(TIE.into(), tie(object).into())]);
                found.push(Host {
                    key: format!("{name}.{namespace}"),
                    namespace: namespace.clone(),
                    labels: labels(object),
                    hostname: hostname.to_ascii_lowercase(),
                    selector: Some(selector),
                    insecure: Action::Route,
                    tls: Some(Ends {
                        context: (format!("{name}-context"), namespace.clone()),
                        certificate: certificate.as_str().into(),
                        alpn: Vec::new(),
                    }),
                    origin: cx.origins.written(hostname.span),
                });
            }
        }
    }
    found
}

/// A Mapping for each path, and one for the default backend.
pub(super) fn mappings(ingresses: &[&Object], reader: &mut Reader<'_, '_>) -> Vec<Mapping> {
    let mut found = Vec::new();
    for object in ingresses {
        let Some(spec) = spec(object, reader.cx) else {
            continue;
        };
        let mut own = labels(object);
        if !spec.tls.is_empty() {
            own.insert(TIE.into(), tie(object).into());
        }
        for (suffix, wanted) in wanted(object, &spec, reader.cx) {
            let (name, namespace) = (&object.key.name, &object.key.namespace);
            let identity = Identity {
                key: format!("{name}-{suffix}.{namespace}"),
                name: format!("{namespace}/{name}-{suffix}"),
                namespace: namespace.clone(),
                labels: own.clone(),
                version: Version::New,
                span: object.name_span,
            };
            found.extend(reader.mapping(identity, wanted));
        }
    }
    found
}

/// What is wanted of each Mapping, with what is put behind the Ingress's name.
fn wanted(object: &Object, spec: &Spec, cx: &mut Compile<'_>) -> Vec<(String, MappingSpec)> {
    let text = |value: &str, span| Some(Spanned::new(value.to_owned(), span));
    let mut found = Vec::new();
    let backend = spec.default_backend.as_ref();
    if let Some(service) = backend.and_then(|backend| service(object, backend, cx)) {
        let wanted = MappingSpec {
            prefix: text("/", service.span),
            hostname: text("*", service.span),
            service: Some(service),
            ..MappingSpec::default()
        };
        found.push(("default-backend".to_owned(), wanted));
    }
    for (nth, rule) in spec.rules.iter().enumerate() {
        let paths = rule.http.iter().flat_map(|http| &http.paths);
        for (at, path) in paths.enumerate() {
            let Some(service) = service(object, &path.backend, cx) else {
                continue;
            };
            let written = path.path.as_ref().filter(|it| !it.is_empty());
            let span = written.map_or(service.span, |it| it.span);
            let prefix = written.map_or("/", |it| it.value.as_str());
            let kind = path.path_type.as_ref().map(|kind| kind.value.as_str());
            let is_exact = kind == Some("Exact");
            let mut wanted = MappingSpec {
                prefix: text(prefix, span),
                prefix_exact: Some(Spanned::new(is_exact, span)),
                precedence: Some(Spanned::new(i64::from(is_exact), span)),
                service: Some(service),
                ..MappingSpec::default()
            };
            match rule.host.as_ref().filter(|host| !host.is_empty()) {
                Some(host) if host.starts_with("*.") => {
                    let rest = host[1..].replace('.', "\\.");
                    let pattern = format!("^[a-z0-9]([-a-z0-9]*[a-z0-9])?{rest}$");
                    wanted.host = text(&pattern, host.span);
                    wanted.host_regex = Some(Spanned::new(true, host.span));
                }
                Some(host) => wanted.hostname = Some(host.clone()),
                None if spec.tls.is_empty() => wanted.hostname = text("*", span),
                None => {}
            }
            found.push((format!("{nth}-{at}"), wanted));
        }
    }
    found
}

/// The Service of a backend, as a Mapping writes it.
fn service(object: &Object, backend: &Backend, cx: &mut Compile<'_>) -> Option<Spanned<String>> {
    if let Some(resource) = backend.resource {
        let meaning = "its requests fall to other routes, or are answered 404";
        cx.diagnostics.push(
            Diagnostic::not_modelled(
                "emissary::not-modelled",
                "a backend that is no Service",
                meaning,
            )
            .label(resource.span, ""),
        );
    }
    let written = backend.service.as_ref()?;
    let name = written.name.as_ref()?;
    let namespace = object.key.namespace.as_str();
    let named = || {
        let mut services = cx.services.iter();
        let service = services.find(|it| *it.namespace == *namespace && *it.name == *name.value)?;
        Some(service.port_named(written.port.name.as_deref()?)?.number)
    };
    let port = match (written.port.number.or_else(named), &written.port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(port)) => port.clone(),
        (None, None) => return None,
    };
    Some(Spanned::new(
        format!("{name}.{namespace}:{port}"),
        name.span,
    ))
}
