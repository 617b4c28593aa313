//! Ingresses to routers.
//!
//! Source: traefik `pkg/provider/kubernetes/ingress/kubernetes.go`: a rule is made of host and path, and has the priority of its length. TLS is
//! an annotation's or an entry point's matter: `spec.tls` brings certificates and nothing else.

use proxy_core::config::{Name, Session, SessionCarrier};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::Reader;
use super::annotations::{self, RouterNotes, ServiceNotes};
use super::routes::CLASS;
use super::transports::full;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::traefik::policy::{Leads, Router, Scheme, Servers, Step, Target};
use crate::dialects::traefik::rules;
use crate::dialects::traefik::types::Whole;
use crate::dialects::traefik::types::ingress::{Backend, Ingress, Path, PathType};
use crate::load::Object;
use crate::text::{Span, Spanned, read_part};

/// The controller's name in an IngressClass.
pub(in crate::dialects::traefik) const CONTROLLER: &str = "traefik.io/ingress-controller";
/// Makes a class that of Ingresses without one.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// The priority of a default backend's router: below all that have a rule.
const LAST: i64 = i32::MIN as i64;

impl Reader<'_, '_> {
    pub(super) fn ingresses(&mut self) {
        if !self.install.ingress.enabled {
            return;
        }
        self.reads = self.install.ingress.clone();
        let objects = self.cx.objects;
        let mut has_default = false;
        for object in objects.of("networking.k8s.io", "Ingress") {
            if !self.serves_ingress(object) || !self.reads.reads(&object.key.namespace) {
                continue;
            }
            let key = (object.key.namespace.clone(), object.key.name.clone());
            self.policies.ingresses.push(key);
            self.ingress(object, &mut has_default);
        }
    }

    /// Whether an Ingress is of a class of Traefik's.
    fn serves_ingress(&self, object: &Object) -> bool {
        let objects = self.cx.objects;
        let name = format!("{}/{}", object.key.namespace, object.key.name);
        let mut overrides = self.cx.overrides.iter();
        let said = overrides.find(|it| *it.target == *name);
        if let Some(kind) = said.and_then(|it| it.kind.as_deref()) {
            return kind == "traefik";
        }
        let own = self.reads.class.as_deref();
        let controller = |class: &Object| {
            let controller = class.node.at("spec.controller");
            controller.and_then(|node| node.as_str()) == Some(CONTROLLER)
        };
        let named = object.node.at("spec.ingressClassName");
        if let Some(named) = named.and_then(|node| node.as_str()) {
            if own.is_some_and(|own| own != named) {
                return false;
            }
            return match objects.get("networking.k8s.io", "IngressClass", "", named) {
                Some(class) => controller(class),
                // the chart brings a class called `traefik`
                None => named == own.unwrap_or("traefik"),
            };
        }
        let class = object.annotation(CLASS).map(|class| class.value);
        match (class, own) {
            (Some(class), Some(own)) => class == own,
            (Some(class), None) => class == "traefik" || class.is_empty(),
            (None, Some(_)) => false,
            // without a class it is everybody's, unless a cluster gives it the default one
            (None, None) => {
                let mut classes = objects.of("networking.k8s.io", "IngressClass");
                let default = classes.find(|class| {
                    class
                        .annotation(IS_DEFAULT)
                        .is_some_and(|flag| flag.value == "true")
                });
                default.is_none_or(controller)
            }
        }
    }

    fn ingress(&mut self, object: &Object, has_default: &mut bool) {
        let spec = read_part::<Whole<Ingress>>(&object.node, self.cx.diagnostics);
        let Some(Whole { spec, .. }) = spec else {
            return;
        };
        let from = object.key.namespace.clone();
        for tls in &spec.tls {
            if let Some(secret) = &tls.secret_name {
                let secret = full(&from, secret);
                if !self.policies.certificates.contains(&secret) {
                    self.policies.certificates.push(secret);
                }
            }
        }
        let Some(notes) = annotations::of_ingress(object, self.cx.diagnostics) else {
            return;
        };
        let Some(entry_points) = self.entry_points(&notes.entry_points, false) else {
            return;
        };
        let Some(tls) = self.ingress_tls(&notes, &from) else {
            return;
        };
        self.report_tls(&spec, &notes, &entry_points);
        let common = Router {
            name: "".into(),
            key: "".into(),
            alternatives: Vec::new(),
            priority: 0,
            entry_points,
            tls,
            steps: Vec::new(),
            leads: Leads::Further(Vec::new()),
            origin: self.cx.origins.written(object.name_span),
        };
        if spec.rules.is_empty()
            && let Some(backend) = &spec.default_backend
        {
            if std::mem::replace(has_default, true) {
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "traefik::default-backend",
                        "Traefik has one default backend, the first",
                    )
                    .label(object.name_span, "this one has no effect"),
                );
                return;
            }
            let rule = Spanned::new("PathPrefix(\"/\")".to_owned(), object.name_span);
            let made = self.ingress_router(object, &notes, backend, &rule, &common, "default");
            self.policies.routers.extend(made.map(|router| Router {
                priority: LAST,
                ..router
            }));
            return;
        }
        for (nth, rule) in spec.rules.iter().enumerate() {
            for (at, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                let Some(text) = self.rule_of(rule.host.as_ref(), path, &notes) else {
                    continue;
                };
                let span = path.path.as_ref().map_or(path.span, |path| path.span);
                let text = Spanned::new(text, span);
                let key = format!("{nth}.{at}");
                let made = self.ingress_router(object, &notes, &path.backend, &text, &common, &key);
                self.policies.routers.extend(made);
            }
        }
    }

    /// An Ingress that asks for TLS by `spec.tls` alone is served where its entry points are, in TLS only where those have it.
    fn report_tls(&mut self, spec: &Ingress, notes: &RouterNotes, entry_points: &[String]) {
        let Some(tls) = spec.tls.iter().find_map(|tls| tls.secret_name.as_ref()) else {
            return;
        };
        let mut at = self
            .install
            .entry_points
            .iter()
            .filter(|entry| match entry_points {
                [] => entry.is_default && !entry.udp,
                named => named.contains(&entry.name),
            });
        if notes.tls.is_none() && at.all(|entry| entry.tls.is_none()) {
            self.cx.diagnostics.push(
                Diagnostic::warning("traefik::ingress-tls", "this Ingress is not served in TLS: `spec.tls` brings a certificate and no more")
                    .label(tls.span, "in use where a router has TLS")
                    .help("annotate it with `traefik.ingress.kubernetes.io/router.tls: \"true\"`, or give its entry point `http.tls`"),
            );
        }
    }

    /// The outer none: the Ingress is left out.
    fn ingress_tls(
        &mut self,
        notes: &RouterNotes,
        from: &str,
    ) -> Option<Option<proxy_core::origin::OriginId>> {
        if let Some(options) = notes
            .tls_options
            .as_ref()
            .filter(|it| it.value != "default")
        {
            let provider = self.provider();
            crate::dialects::traefik::names::resolve_qualified(
                options,
                "TLSOption",
                from,
                &provider,
                self.cx,
            )?;
        }
        if let Some(issued) = notes.issued {
            let meaning = "the certificate is one that nobody has signed";
            self.not_modelled("an issued certificate", meaning, issued);
        }
        Some(notes.tls.map(|span| self.cx.origins.written(span)))
    }

    /// The rule that host and path make.
    fn rule_of(
        &mut self,
        host: Option<&Spanned<String>>,
        path: &Path,
        notes: &RouterNotes,
    ) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            let v2 = notes
                .syntax
                .as_ref()
                .map_or(self.install.syntax == rules::Syntax::V2, |it| {
                    it.value == "v2"
                });
            parts.push(match host.strip_prefix("*.") {
                Some(rest) if v2 => {
                    format!(
                        "HostRegexp({})",
                        quoted(&format!("{{subdomain:[a-zA-Z0-9-]+}}.{rest}"))
                    )
                }
                Some(_) | None => format!("Host({})", quoted(host)),
            });
        }
        let Some(written) = path.path.as_ref().filter(|path| !path.is_empty()) else {
            return Some(parts.join(" && "));
        };
        let matcher = match path.path_type.map(|kind| kind.value) {
            Some(PathType::Exact) => "Path",
            Some(PathType::Prefix) => "PathPrefix",
            Some(PathType::ImplementationSpecific) | None => match &notes.path_matcher {
                None => "PathPrefix",
                Some(matcher) => match matcher.value.as_str() {
                    known @ ("Path" | "PathPrefix" | "PathRegexp") => known,
                    other => {
                        let problem = Diagnostic::error(
                            "traefik::path-matcher",
                            format!("paths are not compared by `{other}`"),
                        )
                        .label(
                            matcher.span,
                            "the path is left out, and its requests are 404",
                        )
                        .help("write `Path`, `PathPrefix` or `PathRegexp`");
                        self.cx.diagnostics.push(problem);
                        return None;
                    }
                },
            },
        };
        parts.push(
            match (
                self.install.strict_prefixes,
                matcher,
                written.trim_end_matches('/'),
            ) {
                (true, "PathPrefix", "") => "PathPrefix(\"/\")".to_owned(),
                (true, "PathPrefix", path) => {
                    let below = quoted(&format!("{path}/"));
                    format!("(Path({}) || PathPrefix({below}))", quoted(path))
                }
                (_, matcher, _) => format!("{matcher}({})", quoted(written)),
            },
        );
        Some(parts.join(" && "))
    }

    fn ingress_router(
        &mut self,
        object: &Object,
        notes: &RouterNotes,
        backend: &Backend,
        rule: &Spanned<String>,
        common: &Router,
        key: &str,
    ) -> Option<Router> {
        let from = object.key.namespace.as_str();
        let syntax = self.syntax(notes.syntax.as_ref());
        let alternatives = match rules::http(rule, syntax) {
            Ok(alternatives) => Some(alternatives),
            Err(error) => {
                self.report_rule(rule, error);
                None
            }
        };
        let steps = self.qualified_steps(&notes.middlewares, from);
        let made = self.ingress_servers(object, backend);
        let priority = self.priority(notes.priority.as_ref(), rule.len() as i64);
        let (alternatives, mut steps, (servers, more)) = (alternatives?, steps?, made?);
        steps.extend(more);
        let name: Name = format!("{from}/{} {}", object.key.name, rule.value).into();
        Some(Router {
            name,
            key: format!("{from}/{} {key}", object.key.name).into(),
            alternatives,
            priority: priority?,
            steps,
            leads: Leads::To(Box::new(Target::Servers(Box::new(servers)))),
            origin: self.cx.origins.written(rule.span),
            ..common.clone()
        })
    }

    /// The servers of a backend, and the middlewares of its Service.
    fn ingress_servers(
        &mut self,
        object: &Object,
        backend: &Backend,
    ) -> Option<(Servers, Vec<Step>)> {
        let Some(wanted) = &backend.service else {
            let span = backend.resource.map_or(object.name_span, |it| it.span);
            let meaning = "the path is left out: its requests go to other routes, or are 404";
            self.not_modelled("a backend that is no Service", meaning, span);
            return None;
        };
        let from = object.key.namespace.as_str();
        let services = self.cx.services;
        let here = || services.iter().filter(|it| *it.namespace == *from);
        let Some(service) = here().find(|it| *it.name == *wanted.name.value) else {
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "traefik::unknown-service",
                    format!("no Service `{}` in namespace `{from}`", wanted.name),
                )
                .label(
                    wanted.name.span,
                    "without it the path is left out, and its requests are 404",
                )
                .maybe_help(did_you_mean(&wanted.name, here().map(|it| &*it.name))),
            );
            return None;
        };
        let port = wanted
            .port
            .as_ref()
            .and_then(|port| match (&port.number, &port.name) {
                (Some(number), _) => Some(number.map(|number| number.to_string())),
                (None, name) => name.clone(),
            });
        let Some(port) = port else {
            let message = "a Service is named with its port";
            self.error(
                "traefik::no-port",
                message,
                wanted.name.span,
                "no `port` beside it",
            );
            return None;
        };
        let found = self.port_of(service, &port, false)?;
        let written = self.cx.objects.get("", "Service", from, &service.name);
        let notes = match written {
            Some(written) => annotations::of_service(written, self.cx.diagnostics)?,
            None => ServiceNotes::default(),
        };
        let (native, nodes) = (notes.native_lb.as_ref(), notes.node_port_lb.as_ref());
        let at = self.place(found, native, nodes, wanted.name.span)?;
        let release = self.release;
        let default = self.cx.default_of(release);
        let scheme = self.scheme_of(&notes, found.port.number, found.port.name.as_deref())?;
        let transport = match &notes.transport {
            None => self.transport(None, from)?,
            Some(name) => self.transport(Some(name), from)?,
        };
        let steps = self.qualified_steps(&notes.middlewares, from)?;
        let servers = Servers {
            at,
            scheme,
            keeps_host: self
                .cx
                .origins
                .sourced_or(notes.pass_host_header, true, release),
            balancer: Sourced::new(proxy_core::config::Balancer::TraefikTurns, default),
            session: self.cookie(&notes),
            check: None,
            passive: None,
            transport,
            origin: self.cx.origins.written(wanted.name.span),
        };
        Some((servers, steps))
    }

    fn scheme_of(
        &mut self,
        notes: &ServiceNotes,
        port: u16,
        name: Option<&str>,
    ) -> Option<Sourced<Scheme>> {
        let Some(written) = &notes.scheme else {
            let secure = port == 443 || name.is_some_and(|name| name.starts_with("https"));
            let scheme = if secure { Scheme::Https } else { Scheme::Http };
            return Some(Sourced::new(scheme, self.cx.default_of(self.release)));
        };
        let scheme = match written.value.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "h2c" => Scheme::H2c,
            other => {
                let message = format!("servers are not spoken to in `{other}`");
                let span: Span = written.span;
                self.error(
                    "traefik::scheme",
                    &message,
                    span,
                    "write `http`, `https` or `h2c`",
                );
                return None;
            }
        };
        Some(Sourced::new(scheme, self.cx.origins.written(written.span)))
    }

    fn cookie(&mut self, notes: &ServiceNotes) -> Option<Session> {
        let span = notes.sticky?;
        let age = notes
            .cookie_age
            .and_then(|age| u64::try_from(age.value).ok());
        let text = |text: &Option<Spanned<String>>, default: &str| {
            text.as_ref()
                .map_or(default, |text| text.value.as_str())
                .into()
        };
        Some(Session {
            carrier: SessionCarrier::Cookie {
                name: text(&notes.cookie_name, "_traefik"),
                ttl: age.filter(|age| *age > 0).map(Duration::from_secs),
                path: Some(text(&notes.cookie_path, "/")),
            },
            origin: self.cx.origins.written(span),
        })
    }
}

/// A text as Go quotes it (`%q`), as far as hosts and paths go.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
