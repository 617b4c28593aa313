//! Objects to policies.

use proxy_core::config::{Balancer, Share};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::annotations::{self, CLASS, Protocol, RouteNotes, ServiceNotes, annotations};
use super::ingress::{self, Ingress, IngressClass};
use super::paths::{PathKind, kong_paths};
use super::plugins::{GROUP, Plugins};
use super::policy::{Backend, Class, IngressPolicy, PathRule, ServicePolicies, ServicePolicy};
use super::settings::PluginSet;
use super::types::{ClassParameters, KongIngress, Upstream, Whole};
use super::upstreams::{Choice, choice};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::{Object, Objects};
use crate::model::{Service, ServiceKind, TargetPort};
use crate::text::{Spanned, read, read_part};

/// The controller's name in an IngressClass. Source: Kong/kubernetes-ingress-controller `internal/store/store.go`.
const CONTROLLER: &str = "ingress-controllers.konghq.com/kong";
/// The class that a controller serves unless told otherwise.
const DEFAULT_CLASS: &str = "kong";
/// Makes a class that of Ingresses without one.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Everything that Kong goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    /// One for each class that an Ingress has.
    pub(super) classes: Vec<Class>,
    /// By Service.
    pub(super) services: ServicePolicies,
    /// What plugins set that are for everything.
    pub(super) everywhere: PluginSet,
}

/// Reads every Ingress that Kong serves, and what belongs to it.
pub(super) fn policies(release: &str, cx: &mut Compile<'_>) -> Policies {
    let classes = classes(cx.objects, cx.diagnostics);
    let mut reader = Reader {
        release,
        cx,
        plugins: None,
        policies: Policies::default(),
    };
    let objects = reader.cx.objects;
    reader.plugins = Some(Plugins::new(objects));
    for object in objects.of("networking.k8s.io", "Ingress") {
        if let Some(class) = reader.class_of(object, &classes) {
            reader.ingress(object, &class);
        }
    }
    reader.rest();
    reader.policies
}

/// A class of Kong's.
#[derive(Clone, Debug)]
struct KnownClass {
    name: String,
    is_default: bool,
    parameters: ClassParameters,
    origin: crate::text::Span,
}

/// The IngressClass objects of Kong's controller, and the one that it serves without an object.
fn classes(objects: &Objects, out: &mut Diagnostics) -> Vec<KnownClass> {
    let mut known = Vec::new();
    for object in objects.of("networking.k8s.io", "IngressClass") {
        let controller = object
            .node
            .at("spec.controller")
            .and_then(|node| node.as_str());
        if controller != Some(CONTROLLER) {
            continue;
        }
        let class = read_part::<Whole<IngressClass>>(&object.node, out);
        let parameters = class
            .and_then(|class| parameters(&class.spec, objects, out))
            .unwrap_or_default();
        known.push(KnownClass {
            name: object.key.name.clone(),
            is_default: object
                .annotation(IS_DEFAULT)
                .is_some_and(|flag| flag.value == "true"),
            parameters,
            origin: object.span(),
        });
    }
    if objects
        .get("networking.k8s.io", "IngressClass", "", DEFAULT_CLASS)
        .is_none()
    {
        known.push(KnownClass {
            name: DEFAULT_CLASS.to_owned(),
            is_default: false,
            parameters: ClassParameters::default(),
            origin: crate::text::Span::NOWHERE,
        });
    }
    known
}

fn parameters(
    class: &IngressClass,
    objects: &Objects,
    out: &mut Diagnostics,
) -> Option<ClassParameters> {
    let reference = class.parameters.as_ref()?;
    let namespace = reference
        .namespace
        .as_ref()
        .map_or("", |namespace| namespace.value.as_str());
    let Some(object) = objects.get(GROUP, "IngressClassParameters", namespace, &reference.name)
    else {
        let message = format!(
            "no IngressClassParameters `{}` in namespace `{namespace}`",
            reference.name
        );
        out.push(
            Diagnostic::error("kong::unknown-parameters", message)
                .label(reference.name.span, "asked for here"),
        );
        return None;
    };
    Some(read::<Whole<ClassParameters>>(&object.node, out)?.spec)
}

struct Reader<'a, 'c> {
    release: &'a str,
    cx: &'a mut Compile<'c>,
    plugins: Option<Plugins<'c>>,
    policies: Policies,
}

impl<'c> Reader<'_, 'c> {
    /// The class by which Kong serves an Ingress, if it does.
    fn class_of(&self, object: &Object, classes: &[KnownClass]) -> Option<KnownClass> {
        let name = format!("{}/{}", object.key.namespace, object.key.name);
        let kind = self
            .cx
            .overrides
            .iter()
            .find(|o| *o.target == *name)
            .and_then(|o| o.kind.clone());
        let written = object
            .node
            .at("spec.ingressClassName")
            .and_then(|node| node.as_str());
        let written = written.or_else(|| object.annotation(CLASS).map(|class| class.value));
        let found = classes.iter().find(|class| match written {
            Some(name) => class.name == name,
            None => class.is_default,
        });
        match (kind.as_deref(), found) {
            (None, found) => found.cloned(),
            (Some("kong"), Some(found)) => Some(found.clone()),
            // the scenario says that Kong serves it, whatever its class
            (Some("kong"), None) => Some(KnownClass {
                name: written.unwrap_or(DEFAULT_CLASS).to_owned(),
                is_default: false,
                parameters: ClassParameters::default(),
                origin: object.span(),
            }),
            (Some(_), _) => None,
        }
    }

    fn ingress(&mut self, object: &Object, class: &KnownClass) {
        let notes = annotations::read_route(annotations(object), self.cx.diagnostics);
        let Some(Whole { spec, .. }) =
            read_part::<Whole<Ingress>>(&object.node, self.cx.diagnostics)
        else {
            return;
        };
        let plugins = self.report_notes(&notes, object);
        let prefix = notes
            .regex_prefix
            .as_ref()
            .map_or("/~", |prefix| prefix.value.as_str());
        let mut paths = Vec::new();
        for rule in &spec.rules {
            let Some(http) = &rule.http else {
                let span = rule
                    .host
                    .as_ref()
                    .map_or(object.name_span, |host| host.span);
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "kong::no-paths",
                        "a rule without paths does nothing in Kong",
                    )
                    .label(span, "this rule"),
                );
                continue;
            };
            for path in &http.paths {
                let text = path.path.as_ref().map_or("/", |path| path.value.as_str());
                let kind = path
                    .path_type
                    .as_ref()
                    .map_or(PathKind::Implementation, |kind| kind.value.into());
                let span = path.path.as_ref().map_or(path.span, |path| path.span);
                self.check_path(text, kind, prefix, class, span);
                let Some(backend) = self.backend(&path.backend, object, class) else {
                    continue;
                };
                paths.push(PathRule {
                    host: rule
                        .host
                        .as_ref()
                        .map(|host| host.to_ascii_lowercase())
                        .unwrap_or_default(),
                    path: text.to_owned(),
                    kind,
                    backend,
                    origin: self.cx.origins.written(span),
                });
            }
        }
        let default_backend = spec
            .default_backend
            .as_ref()
            .and_then(|backend| self.backend(backend, object, class));
        let policy = IngressPolicy {
            namespace: object.key.namespace.as_str().into(),
            name: object.key.name.as_str().into(),
            notes,
            paths,
            plugins,
            default_backend,
            certificate: spec
                .tls
                .iter()
                .find_map(|tls| tls.secret_name.as_ref())
                .map(|name| format!("{}/{}", object.key.namespace, name.value).into()),
            origin: self.cx.origins.written(object.name_span),
        };
        match self
            .policies
            .classes
            .iter_mut()
            .find(|known| *known.name == *class.name)
        {
            Some(known) => known.ingresses.push(policy),
            None => self.policies.classes.push(Class {
                name: class.name.as_str().into(),
                origin: if class.origin.is_nowhere() {
                    policy.origin
                } else {
                    self.cx.origins.written(class.origin)
                },
                ingresses: vec![policy],
            }),
        }
    }

    fn report_notes(&mut self, notes: &RouteNotes, object: &Object) -> PluginSet {
        let out = &mut *self.cx.diagnostics;
        let mut set = PluginSet::default();
        if let Some(plugins) = &mut self.plugins {
            set = plugins.read(&notes.plugins, &object.key.namespace, out);
        }
        if let Some(snis) = &notes.snis {
            let meaning = "requests in TLS are taken whatever their server name; the route's rank counts it all the same";
            out.push(
                Diagnostic::not_modelled(
                    "kong::not-modelled",
                    "`konghq.com/snis` is not modelled",
                    meaning,
                )
                .label(snis.span, ""),
            );
        }
        if let Some(rewrite) = &notes.rewrite {
            let meaning = "the controller runs with its feature gate `RewriteURIs`, without which it drops the Ingress";
            out.push(
                Diagnostic::assumed("kong::rewrite", "`konghq.com/rewrite` is read", meaning)
                    .label(rewrite.span, ""),
            );
        }
        for header in &notes.headers {
            let patterns = header
                .values
                .iter()
                .filter_map(|value| value.strip_prefix("~*"));
            for error in patterns.filter_map(|pattern| regex::Regex::new(pattern).err()) {
                out.push(
                    Diagnostic::error("kong::bad-regex", error.to_string())
                        .label(header.span, "this pattern"),
                );
            }
        }
        if let Some(name) = &notes.overridden_by {
            let exists = self
                .cx
                .objects
                .get(GROUP, "KongIngress", &object.key.namespace, name)
                .is_some();
            report_override(name, exists, "an Ingress", out);
        }
        set
    }

    fn check_path(
        &mut self,
        text: &str,
        kind: PathKind,
        prefix: &str,
        class: &KnownClass,
        span: crate::text::Span,
    ) {
        for error in kong_paths(text, kind, prefix)
            .iter()
            .filter_map(|path| path.matcher().err())
        {
            let help = "Kong's router takes no look-around and no back-references";
            self.cx.diagnostics.push(
                Diagnostic::error("kong::bad-regex", error.to_string())
                    .label(span, "this path")
                    .help(help),
            );
        }
        let legacy = class
            .parameters
            .enable_legacy_regex_detection
            .as_ref()
            .filter(|flag| flag.value);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-~/%".contains(c);
        if let Some(flag) = legacy
            && !text.chars().all(plain)
        {
            let meaning = "this path is taken as it is written, not as a regular expression";
            self.cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "kong::not-modelled",
                    "`enableLegacyRegexDetection` is not modelled",
                    meaning,
                )
                .label(span, "this path")
                .label(flag.span, "set here"),
            );
        }
    }

    /// The Service and port of a backend; one that is not there is an error.
    fn backend(
        &mut self,
        backend: &ingress::Backend,
        object: &Object,
        class: &KnownClass,
    ) -> Option<Backend> {
        let Some(wanted) = &backend.service else {
            let span = backend
                .resource
                .map_or(object.name_span, |resource| resource.span);
            let meaning =
                "the path leads nowhere: its requests fall to other routes or are answered 404";
            self.cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "kong::not-modelled",
                    "a backend that is no Service is not modelled",
                    meaning,
                )
                .label(span, ""),
            );
            return None;
        };
        let namespace = object.key.namespace.as_str();
        let services: &'c [Service] = self.cx.services;
        let Some(service) = services
            .iter()
            .find(|s| *s.namespace == *namespace && *s.name == *wanted.name.value)
        else {
            let names = services
                .iter()
                .filter(|s| *s.namespace == *namespace)
                .map(|s| &*s.name);
            let message = format!("no Service `{}` in namespace `{namespace}`", wanted.name);
            let problem = Diagnostic::error("kong::unknown-service", message)
                .label(wanted.name.span, "asked for here")
                .maybe_help(did_you_mean(&wanted.name, names));
            self.cx.diagnostics.push(problem);
            return None;
        };
        let Some(port) = port(service, wanted.port.as_ref()) else {
            self.report_port(service, wanted);
            return None;
        };
        if !self.policies.services.contains_key(&service.id) {
            let policy = self.service(service, class);
            self.policies.services.insert(service.id, policy);
        }
        Some(Backend {
            service: service.id,
            port,
        })
    }

    fn report_port(&mut self, service: &Service, wanted: &ingress::ServiceBackend) {
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|port| match &port.name {
                Some(name) => format!("`{}` ({name})", port.number),
                None => format!("`{}`", port.number),
            })
            .collect();
        let span = wanted
            .port
            .as_ref()
            .and_then(|port| Some(port.number.as_ref()?.span).or(Some(port.name.as_ref()?.span)));
        let problem = Diagnostic::error(
            "kong::unknown-port",
            format!("Service `{}` has no such port", service.name),
        )
        .label(span.unwrap_or(wanted.name.span), "this port")
        .label(service.span, "the Service")
        .help(format!("it has {}", ports.join(", ")));
        self.cx.diagnostics.push(problem);
    }

    /// How Kong sends to a Service: its annotations, a policy for its upstream, and the controller's defaults.
    fn service(&mut self, service: &Service, class: &KnownClass) -> ServicePolicy {
        let objects = self.cx.objects;
        let object = objects.get("", "Service", &service.namespace, &service.name);
        let notes = object
            .map(|object| annotations::read_service(annotations(object), self.cx.diagnostics))
            .unwrap_or_default();
        let mut own = PluginSet::default();
        if let Some(plugins) = &mut self.plugins {
            own = plugins.read(&notes.plugins, &service.namespace, self.cx.diagnostics);
        }
        if let Some(timeout) = notes
            .write_timeout
            .as_ref()
            .filter(|timeout| timeout.value < 1_000)
        {
            let meaning =
                "requests are taken to be written at once; a slow upstream does not run into it";
            self.cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "kong::not-modelled",
                    "`konghq.com/write-timeout` is not modelled",
                    meaning,
                )
                .label(timeout.span, ""),
            );
        }
        let choice = self.choice(&notes, service);
        let release = self.release;
        let parameters = class.parameters.service_upstream;
        let service_upstream =
            self.service_upstream(service, notes.service_upstream.or(parameters));
        let origins = &mut *self.cx.origins;
        let mut millis = |timeout: Option<Spanned<u64>>| {
            origins.sourced_or(
                timeout.map(|it| it.map(Duration::from_millis)),
                Duration::from_secs(60),
                release,
            )
        };
        let (connect_timeout, read_timeout) =
            (millis(notes.connect_timeout), millis(notes.read_timeout));
        ServicePolicy {
            protocol: origins.sourced_or(notes.protocol, Protocol::Http, release),
            path: origins.sourced_or(notes.path, "/".to_owned(), release),
            host_header: notes.host_header.map(|host| origins.sourced(host)),
            connect_timeout,
            read_timeout,
            plugins: own,
            retries: origins.sourced_or(notes.retries, 5, release),
            service_upstream,
            balancer: origins.sourced_or(choice.balancer, Balancer::KongRing, release),
            hash: choice.hash,
            active: choice.health.active.map(|check| origins.sourced(check)),
            passive: choice
                .health
                .passive
                .map(|settings| origins.sourced(settings)),
            threshold: origins.sourced_or(choice.health.threshold, Share::ZERO, release),
        }
    }

    /// Services without an address of their own resolve to their pods, whatever is asked for.
    fn service_upstream(
        &mut self,
        service: &Service,
        asked: Option<Spanned<bool>>,
    ) -> Sourced<bool> {
        let asked = self.cx.origins.sourced_or(asked, false, self.release);
        match &service.kind {
            ServiceKind::ClusterIp(_) => asked,
            ServiceKind::Headless => Sourced::new(false, asked.origin),
            ServiceKind::ExternalName(host) => {
                let meaning = format!("`{host}` is not reached: requests for it are answered 503");
                self.cx.diagnostics.push(
                    Diagnostic::not_modelled(
                        "kong::not-modelled",
                        "a Service of another name behind Kong is not modelled",
                        meaning,
                    )
                    .label(service.span, ""),
                );
                Sourced::new(false, asked.origin)
            }
        }
    }

    fn choice(&mut self, notes: &ServiceNotes, service: &Service) -> Choice {
        let objects = self.cx.objects;
        let out = &mut *self.cx.diagnostics;
        if let Some(name) = &notes.upstream_policy {
            let Some(object) = objects.get(GROUP, "KongUpstreamPolicy", &service.namespace, name)
            else {
                let names = objects
                    .of(GROUP, "KongUpstreamPolicy")
                    .map(|object| object.key.name.as_str());
                let message = format!(
                    "no KongUpstreamPolicy `{name}` in namespace `{}`",
                    service.namespace
                );
                out.push(
                    Diagnostic::error("kong::unknown-policy", message)
                        .label(name.span, "asked for here")
                        .maybe_help(did_you_mean(name, names)),
                );
                return Choice::default();
            };
            let policy = read::<Whole<Upstream>>(&object.node, out);
            return policy
                .map(|policy| choice(&policy.spec, out))
                .unwrap_or_default();
        }
        let Some(name) = &notes.overridden_by else {
            return Choice::default();
        };
        let object = objects.get(GROUP, "KongIngress", &service.namespace, name);
        report_override(name, object.is_some(), "a Service", out);
        let ingress = object
            .and_then(|object| read::<KongIngress>(&object.node, out))
            .unwrap_or_default();
        for part in [ingress.proxy, ingress.route].into_iter().flatten() {
            out.push(
                Diagnostic::warning("kong::kongingress", "the controller reads only `upstream` of a KongIngress")
                    .label(part.span, "has no effect")
                    .help("annotations on the Service and the Ingress took its place in the controller's third major release"),
            );
        }
        ingress
            .upstream
            .map(|upstream| choice(&upstream.modern(), out))
            .unwrap_or_default()
    }

    /// Kong's objects that nothing above asked for.
    fn rest(&mut self) {
        let out = &mut *self.cx.diagnostics;
        if let Some(plugins) = &self.plugins {
            self.policies.everywhere = plugins.read_rest(out);
        }
        for object in self
            .cx
            .objects
            .iter()
            .filter(|object| object.key.group == GROUP)
        {
            let key = &object.key;
            match key.kind.as_str() {
                "TCPIngress" | "UDPIngress" => out.push(
                    Diagnostic::not_modelled(
                        "kong::not-modelled",
                        format!("{key} is not modelled"),
                        "its ports are not served",
                    )
                    .label(object.name_span, ""),
                ),
                "KongConsumer" | "KongConsumerGroup" | "KongVault" | "KongLicense"
                | "KongCustomEntity" => out.push(
                    Diagnostic::listed(
                        "kong::listed",
                        format!("{key} has no bearing: plugins are not modelled"),
                    )
                    .label(object.name_span, ""),
                ),
                _ => {}
            }
        }
    }
}

/// The port that a backend asks for: by number, by name (its own or that of the pods' port), or the only one.
fn port(service: &Service, wanted: Option<&ingress::Port>) -> Option<u16> {
    let Some(wanted) = wanted else {
        return match &service.ports[..] {
            [only] => Some(only.number),
            _ => None,
        };
    };
    if let Some(number) = &wanted.number {
        return service.port(number.value).map(|port| port.number);
    }
    let name = &wanted.name.as_ref()?.value;
    let by_target = || {
        service
            .ports
            .iter()
            .find(|port| matches!(&port.target, TargetPort::Named(target) if **target == **name))
    };
    service
        .port_named(name)
        .or_else(by_target)
        .map(|port| port.number)
}

fn report_override(name: &Spanned<String>, exists: bool, on: &str, out: &mut Diagnostics) {
    if !exists {
        let message = format!("no KongIngress `{name}` in this namespace");
        out.push(
            Diagnostic::error("kong::unknown-kongingress", message)
                .label(name.span, "asked for here"),
        );
    } else if on == "an Ingress" {
        out.push(
            Diagnostic::warning(
                "kong::kongingress",
                "a KongIngress does nothing for an Ingress",
            )
            .label(name.span, "has no effect")
            .help("annotations took its place in the controller's third major release"),
        );
    }
}
