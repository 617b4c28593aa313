//! Ingress objects, as every controller reads them before its own annotations.

use super::schema::{self, Labels, PathType, PortRef};
use super::service::Service;
use super::{World, read_checked};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::{Object, ObjectKey};
use crate::text::{Span, Spanned};

/// An Ingress.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Who it is.
    pub key: ObjectKey,
    /// `ingressClassName`; the older annotation is among `annotations`.
    pub class: Option<Spanned<String>>,
    /// Labels.
    pub labels: Labels,
    /// Annotations: what controllers add to the meaning.
    pub annotations: Labels,
    /// Where requests go that no rule takes.
    pub default_backend: Option<Backend>,
    /// Rules in the order written.
    pub rules: Vec<IngressRule>,
    /// TLS.
    pub tls: Vec<IngressTls>,
    /// The text of its name.
    pub span: Span,
}

/// A host's rules.
#[derive(Clone, Debug)]
pub struct IngressRule {
    /// The host, `*.` at its start for one label of any name; none: every host.
    pub host: Option<Spanned<String>>,
    /// Paths in the order written.
    pub paths: Vec<IngressPath>,
    /// The whole rule.
    pub span: Span,
}

/// A path and where it leads.
#[derive(Clone, Debug)]
pub struct IngressPath {
    /// The path; `/` when none is written.
    pub path: Spanned<String>,
    /// How it is compared.
    pub path_type: Spanned<PathType>,
    /// Where it leads.
    pub backend: Backend,
    /// The whole entry.
    pub span: Span,
}

/// A Service and one of its ports.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The Service's name, in the namespace of the Ingress.
    pub service: Spanned<String>,
    /// The Service's port.
    pub port: Spanned<PortRef>,
}

/// A host's certificate.
#[derive(Clone, Debug)]
pub struct IngressTls {
    /// The hosts.
    pub hosts: Vec<Spanned<String>>,
    /// The Secret with the certificate, in the namespace of the Ingress.
    pub secret: Option<Spanned<String>>,
}

impl Ingress {
    /// An annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<Spanned<&str>> {
        self.annotations
            .get(key)
            .map(|value| Spanned::new(value.as_str(), value.span))
    }

    /// Every backend that it names.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let paths = self.rules.iter().flat_map(|rule| &rule.paths);
        self.default_backend
            .iter()
            .chain(paths.map(|path| &path.backend))
    }
}

impl Ingress {
    /// An object that a [`World`] has read, once more for those who have none; its problems are told there.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        read(object, &mut Diagnostics::default())
    }
}

pub(super) fn read(object: &Object, problems: &mut Diagnostics) -> Option<Ingress> {
    let schema::Ingress { metadata, spec } = read_checked(object, problems)?;
    let mut rules = Vec::new();
    for Spanned { value: rule, span } in spec.rules {
        let paths = rule.http.map(|http| http.paths).unwrap_or_default();
        rules.push(IngressRule {
            host: rule.host.filter(|host| !host.is_empty()),
            paths: paths
                .into_iter()
                .filter_map(|each| path(each, problems))
                .collect(),
            span,
        });
    }
    Some(Ingress {
        key: object.key.clone(),
        class: spec.ingress_class_name,
        labels: metadata.labels,
        annotations: metadata.annotations,
        default_backend: spec
            .default_backend
            .and_then(|each| backend(each, problems)),
        rules,
        tls: spec
            .tls
            .into_iter()
            .map(|tls| IngressTls {
                hosts: tls.value.hosts,
                secret: tls.value.secret_name,
            })
            .collect(),
        span: object.name_span,
    })
}

fn path(written: Spanned<schema::IngressPath>, problems: &mut Diagnostics) -> Option<IngressPath> {
    let Spanned { value, span } = written;
    let path = value
        .path
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| Spanned::new("/".to_owned(), value.path_type.span));
    let must_be_absolute = match value.path_type.value {
        PathType::Exact | PathType::Prefix => true,
        PathType::ImplementationSpecific => false,
    };
    if must_be_absolute && !path.starts_with('/') {
        problems.push(
            Diagnostic::error(
                "ingress::path",
                format!("the path `{path}` does not start with `/`"),
            )
            .label(path.span, "this path")
            .help(format!("write `/{path}`")),
        );
    }
    Some(IngressPath {
        path,
        path_type: value.path_type,
        backend: backend(value.backend, problems)?,
        span,
    })
}

fn backend(written: Spanned<schema::Backend>, problems: &mut Diagnostics) -> Option<Backend> {
    let Spanned { value, span } = written;
    let Some(service) = value.service else {
        problems.push(match value.resource {
            Some(resource) => Diagnostic::not_modelled(
                "ingress::resource",
                "a backend that is no Service",
                "this path is left out",
            )
            .label(resource.span, "this backend"),
            None => Diagnostic::error("ingress::backend", "a backend needs a `service`")
                .label(span, "this backend"),
        });
        return None;
    };
    let port = service
        .port
        .and_then(|port| match (&port.name, port.number) {
            (Some(name), None) => Some(Spanned::new(PortRef::Name(name.value.clone()), name.span)),
            (None, Some(number)) => Some(number.map(PortRef::Number)),
            (Some(_), Some(_)) | (None, None) => None,
        });
    let Some(port) = port else {
        problems.push(
            Diagnostic::error(
                "ingress::backend",
                format!("the backend `{}` needs one port", service.name),
            )
            .label(span, "this backend")
            .help("write `port: {number: 80}` or `port: {name: http}`"),
        );
        return None;
    };
    Some(Backend {
        service: service.name,
        port,
    })
}

impl World {
    /// The Service and its port that a reference means, or an error on the reference.
    pub fn backend<'a>(
        &'a self,
        namespace: &str,
        service: &Spanned<String>,
        port: &Spanned<PortRef>,
        problems: &mut Diagnostics,
    ) -> Option<(&'a Service, usize)> {
        let Some(found) = self.service_named(namespace, service) else {
            problems.push(self.no_such_service(namespace, service));
            return None;
        };
        let at = found.ports.iter().position(|each| match &port.value {
            PortRef::Number(number) => *each.number == *number,
            PortRef::Name(name) => *each.name == **name,
        });
        if let Some(at) = at {
            return Some((found, at));
        }
        let wrong = match &port.value {
            PortRef::Number(number) => number.to_string(),
            PortRef::Name(name) => name.clone(),
        };
        let ports: Vec<String> = found
            .ports
            .iter()
            .map(|port| {
                if port.name.is_empty() {
                    port.number.to_string()
                } else {
                    format!("{} ({})", port.number, port.name)
                }
            })
            .collect();
        problems.push(
            Diagnostic::error(
                "reference::port",
                format!("the Service {} has no port `{wrong}`", found.title()),
            )
            .label(port.span, "this port")
            .label(found.span, "this Service")
            .help(format!("it has: {}", ports.join(", "))),
        );
        None
    }

    /// That no Service is called so, with help towards those that are.
    #[must_use]
    pub fn no_such_service(&self, namespace: &str, name: &Spanned<String>) -> Diagnostic {
        let problem = Diagnostic::error(
            "reference::service",
            format!("no Service `{name}` in the namespace `{namespace}`"),
        )
        .label(name.span, "named here");
        let elsewhere = self
            .services()
            .iter()
            .find(|service| !service.is_gone && *service.name == **name);
        if let Some(service) = elsewhere {
            return problem
                .label(service.span, "one is called so here")
                .help(format!(
                    "the Service of that name is in the namespace `{}`",
                    service.namespace
                ));
        }
        let here = self
            .services()
            .iter()
            .filter(|service| !service.is_gone && *service.namespace == *namespace);
        let names: Vec<&str> = here.map(|service| &*service.name).collect();
        match did_you_mean(name, names.iter().copied()) {
            Some(help) => problem.help(help),
            None => problem.help(
                "add the Service to the manifests, or a workload of that name to the scenario",
            ),
        }
    }

    /// Reports every reference of an Ingress that leads nowhere. For when all workloads are there.
    pub fn check_references(&self, problems: &mut Diagnostics) {
        for ingress in self.ingresses() {
            for backend in ingress.backends() {
                let _: Option<(&Service, usize)> = self.backend(
                    &ingress.key.namespace,
                    &backend.service,
                    &backend.port,
                    problems,
                );
            }
            for secret in ingress.tls.iter().filter_map(|tls| tls.secret.as_ref()) {
                if self
                    .objects()
                    .get("", "Secret", &ingress.key.namespace, secret)
                    .is_none()
                {
                    problems.push(
                        Diagnostic::assumed(
                            "reference::secret",
                            format!("no Secret `{secret}` in the namespace `{}`", ingress.key.namespace),
                            "a certificate that fits is assumed, as secrets are often kept elsewhere",
                        )
                        .label(secret.span, "named here"),
                    );
                }
            }
        }
        for service in self.services().iter().filter(|service| !service.is_gone) {
            self.check_targets(service, problems);
        }
    }

    /// What is wrong between a Service and its pods.
    fn check_targets(&self, service: &Service, problems: &mut Diagnostics) {
        let Some(selector) = service
            .selector
            .as_ref()
            .filter(|_| !service.span.is_nowhere())
        else {
            return;
        };
        if service.workloads.is_empty() {
            problems.push(self.no_pods(service, selector));
        }
        for port in &service.ports {
            let workloads = || service.workloads.iter().map(|id| self.workload(*id));
            match &port.target.value {
                PortRef::Name(name)
                    if workloads().next().is_some()
                        && workloads().all(|each| each.port_named(name).is_none()) =>
                {
                    let names: Vec<&str> = workloads()
                        .flat_map(|each| each.ports())
                        .filter_map(|port| port.name.as_deref())
                        .collect();
                    problems.push(
                        Diagnostic::error(
                            "reference::target-port",
                            format!(
                                "no container of {} has a port called `{name}`",
                                service.title()
                            ),
                        )
                        .label(port.target.span, "this port")
                        .maybe_help(did_you_mean(name, names.iter().copied())),
                    );
                }
                PortRef::Number(number) => {
                    let misses = |each: &&super::Workload| {
                        let declared = each.ports().map(|port| *port.number).collect::<Vec<u16>>();
                        !declared.is_empty() && !declared.contains(number)
                    };
                    if let Some(workload) = workloads().find(misses) {
                        let declared: Vec<String> = workload
                            .ports()
                            .map(|port| port.number.to_string())
                            .collect();
                        let mut problem = Diagnostic::warning(
                            "service::target-port",
                            format!(
                                "no container of {} declares the port {number}",
                                workload.title()
                            ),
                        )
                        .label(port.target.span, "requests go to this port")
                        .help(format!(
                            "declared: {}; whether anything listens on {number} is not known",
                            declared.join(", ")
                        ));
                        if let Some(first) = workload.ports().next() {
                            problem = problem.label(first.number.span, "declared here");
                        }
                        problems.push(problem);
                    }
                }
                PortRef::Name(_) => {}
            }
        }
    }

    fn no_pods(&self, service: &Service, selector: &Spanned<Labels>) -> Diagnostic {
        let problem = Diagnostic::warning(
            "service::no-pods",
            format!("no pod has the labels that {} selects", service.title()),
        )
        .label(selector.span, "this selector");
        let near = self
            .workloads()
            .iter()
            .filter(|workload| !workload.is_gone && workload.namespace == service.namespace)
            .find_map(|workload| {
                selector.iter().find_map(|(key, wanted)| {
                    let found = workload.labels.get(key)?;
                    did_you_mean(wanted, [found.as_str()]).map(|help| (found.span, help))
                })
            });
        match near {
            Some((span, help)) => problem.label(span, "a pod has this").help(help),
            None => problem.help("requests to it find no endpoint"),
        }
    }
}
