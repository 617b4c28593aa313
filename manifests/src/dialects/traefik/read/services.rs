//! References to Services and TraefikServices to where they lead.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes_http.go` (`configBuilder`), `pkg/server/service/service.go`.

use std::net::SocketAddr;

use proxy_core::config::{Balancer, Session, SessionCarrier};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;
use proxy_core::{health, passive};

use super::{Reader, scalar, time};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::traefik::blocks;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::{Place, Scheme, Servers, Target};
use crate::dialects::traefik::types::services::{
    Failover, HealthCheck, PassiveHealthCheck, ServiceRef, Sticky, TraefikService, Weighted,
};
use crate::dialects::traefik::types::{Reference, Scalar, Whole};
use crate::model::{Destination, Service, ServiceKind, ServicePort};
use crate::text::{Span, Spanned, read};

/// TraefikServices that lead to each other may not be nested deeper.
const MAX_DEPTH: usize = 16;

/// A Service's port as a reference names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'c> {
    pub(super) service: &'c Service,
    pub(super) port: &'c ServicePort,
}

impl<'c> Reader<'_, 'c> {
    /// Where one or several services of a route lead; none: the router is left out.
    pub(super) fn target(
        &mut self,
        services: &[Spanned<ServiceRef>],
        from: &str,
    ) -> Option<Target> {
        match services {
            [only] => self.service(only, from, 0),
            several => {
                let weighted = Weighted {
                    services: several.to_vec(),
                    sticky: None,
                };
                self.weighted(&weighted, from, 0)
            }
        }
    }

    pub(super) fn service(
        &mut self,
        service: &Spanned<ServiceRef>,
        from: &str,
        depth: usize,
    ) -> Option<Target> {
        if let Some(percent) = &service.percent {
            let message = "a `percent` is one of a mirror";
            self.error(
                "traefik::percent",
                message,
                percent.span,
                "not of what answers",
            );
        }
        match service.kind.as_ref().map(|kind| kind.value.as_str()) {
            None | Some("" | "Service") => {
                let servers = self.servers(service, from)?;
                Some(Target::Servers(Box::new(servers)))
            }
            Some("TraefikService") => self.traefik_service(service, from, depth),
            Some(other) => {
                let span = service.kind.as_ref().map_or(service.span, |kind| kind.span);
                let message = format!("a service is no `{other}`");
                self.cx.diagnostics.push(
                    Diagnostic::error("traefik::service-kind", message)
                        .label(span, "this kind")
                        .help("write `Service` or `TraefikService`"),
                );
                None
            }
        }
    }

    fn traefik_service(
        &mut self,
        service: &Spanned<ServiceRef>,
        from: &str,
        depth: usize,
    ) -> Option<Target> {
        if service.name.ends_with("@internal") {
            let message = format!("`{}` is Traefik's own", service.name);
            let meaning = "its router is not served: its API and dashboard are not there";
            self.not_modelled_with(&message, meaning, service.name.span);
            return None;
        }
        let reference = Reference {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        };
        let provider = self.provider();
        let object = names::resolve(&reference, "TraefikService", from, &provider, self.cx)?;
        if depth >= MAX_DEPTH {
            let message = "TraefikServices lead to each other in a circle";
            self.error(
                "traefik::circle",
                message,
                service.name.span,
                "round again from here",
            );
            return None;
        }
        self.report_unused(service);
        let spec = read::<Whole<TraefikService>>(&object.node, self.cx.diagnostics)?.spec;
        let namespace = object.key.namespace.clone();
        let kinds = [
            spec.weighted.as_ref().map(|it| it.span),
            spec.mirroring.as_ref().map(|it| it.span),
            spec.highest_random_weight.as_ref().map(|it| it.span),
            spec.failover.as_ref().map(|it| it.span),
        ];
        let written: Vec<Span> = kinds.into_iter().flatten().collect();
        match written[..] {
            [] => {
                let message = format!("{} is of no kind", object.key);
                self.error("traefik::service-kinds", &message, object.name_span, "");
                return None;
            }
            [first, second, ..] => {
                self.cx.diagnostics.push(
                    Diagnostic::error("traefik::service-kinds", "a TraefikService is of one kind")
                        .label(second, "one too many")
                        .label(first, "the first"),
                );
                return None;
            }
            [_] => {}
        }
        if let Some(weighted) = &spec.weighted {
            return self.weighted(weighted, &namespace, depth + 1);
        }
        if let Some(mirroring) = &spec.mirroring {
            return self.mirroring(mirroring, &namespace, depth + 1);
        }
        if let Some(hashed) = &spec.highest_random_weight {
            let meaning = "requests are spread by chance with the same weights: a client does not stay with one service";
            self.not_modelled("highestRandomWeight", meaning, hashed.span);
            let weighted = Weighted {
                services: hashed.services.clone(),
                sticky: None,
            };
            return self.weighted(&weighted, &namespace, depth + 1);
        }
        let failover = spec.failover?;
        self.failover(&failover, &namespace, depth + 1)
    }

    /// What a reference to a TraefikService has no use for.
    fn report_unused(&mut self, service: &ServiceRef) {
        let spans = [
            service.port.as_ref().map(|it| super::scalar_span(it)),
            service.scheme.as_ref().map(|it| it.span),
            service.strategy.as_ref().map(|it| it.span),
            service.sticky.as_ref().map(|it| it.span),
            service.pass_host_header.as_ref().map(|it| it.span),
            service.servers_transport.as_ref().map(|it| it.span),
            service.native_lb.as_ref().map(|it| it.span),
            service.health_check.as_ref().map(|it| it.span),
            service.passive_health_check.as_ref().map(|it| it.span),
            service.middlewares.first().map(|it| it.name.span),
        ];
        for span in spans.into_iter().flatten() {
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "traefik::unused",
                    "Traefik does not read this of a TraefikService",
                )
                .label(span, "has no effect")
                .help("write it where the TraefikService names its Services"),
            );
        }
    }

    fn weighted(&mut self, weighted: &Weighted, from: &str, depth: usize) -> Option<Target> {
        let mut parts = Vec::new();
        for service in &weighted.services {
            let target = self.service(service, from, depth)?;
            parts.push((target, service.weight.map_or(1, |weight| weight.value)));
        }
        let session = weighted.sticky.as_ref();
        let session = session.and_then(|sticky| self.session(sticky));
        Some(Target::Split { parts, session })
    }

    fn mirroring(
        &mut self,
        mirroring: &crate::dialects::traefik::types::services::Mirroring,
        from: &str,
        depth: usize,
    ) -> Option<Target> {
        let main = Spanned::new(mirroring.main(), mirroring.name.span);
        let main = self.service(&main, from, depth)?;
        if let Some(body) = mirroring.mirror_body.as_ref().filter(|body| !body.value) {
            self.not_modelled("mirrorBody: false", "copies have their bodies", body.span);
        }
        if let Some(size) = mirroring
            .max_body_size
            .as_ref()
            .filter(|size| size.value >= 0)
        {
            self.not_modelled("maxBodySize", "requests are copied however long", size.span);
        }
        let mut copies = Vec::new();
        for mirror in &mirroring.mirrors {
            let plain = Spanned::new(
                ServiceRef {
                    percent: None,
                    ..mirror.value.clone()
                },
                mirror.span,
            );
            let target = self.service(&plain, from, depth)?;
            let Some(percent) = mirror.percent else {
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "traefik::mirror",
                        "a mirror without `percent` gets nothing",
                    )
                    .label(mirror.name.span, "no copies go here")
                    .help("write `percent: 100` for all of them"),
                );
                continue;
            };
            if percent.value > 100 {
                let message = "a mirror gets 100 per cent at most";
                self.error("traefik::percent", message, percent.span, "more than all");
                return None;
            }
            copies.push((target, self.cx.origins.sourced(percent)));
        }
        Some(Target::Mirrored {
            main: Box::new(main),
            copies,
        })
    }

    /// The service that answers; Traefik goes over to the other by health, which Services of a cluster have not, or by status.
    fn failover(
        &mut self,
        failover: &Spanned<Failover>,
        from: &str,
        depth: usize,
    ) -> Option<Target> {
        let main = self.service(&failover.service, from, depth)?;
        self.service(&failover.fallback, from, depth)?;
        let checked = failover.service.health_check.is_some();
        for status in &failover.errors.status {
            if blocks::statuses(status).is_none() {
                let message = format!("`{status}` is no status and no range of them");
                self.error("traefik::status", &message, status.span, "");
                return None;
            }
        }
        if !checked && failover.errors.status.is_empty() {
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "traefik::failover",
                    "nothing says when the fallback takes over, so that Traefik refuses the service",
                )
                .label(failover.span, "its routers are left out, and their requests are 404")
                .help("write `errors: {status: [\"500-599\"]}`"),
            );
            return None;
        }
        let meaning = "everything goes to the main service, whose failing answers are passed on; the fallback gets nothing";
        self.not_modelled("failover", meaning, failover.span);
        Some(main)
    }

    /// The servers of a Service.
    pub(super) fn servers(&mut self, service: &ServiceRef, from: &str) -> Option<Servers> {
        let namespace = service.namespace.as_ref();
        let found = self.find_port(&service.name, namespace, service.port.as_ref(), from)?;
        let at = self.place(
            found,
            service.native_lb.as_ref(),
            service.node_port_lb.as_ref(),
            service.name.span,
        )?;
        let release = self.release;
        let scheme = self.scheme(service.scheme.as_ref(), found)?;
        let balancer = self.balancer(service.strategy.as_ref())?;
        let check = match (&service.health_check, &found.service.kind) {
            (None, _) => None,
            (Some(check), ServiceKind::ExternalName(_)) => Some(self.check(check)?),
            (Some(check), ServiceKind::ClusterIp(_) | ServiceKind::Headless) => {
                self.cx.diagnostics.push(
                    Diagnostic::error(
                        "traefik::health-check",
                        "Traefik probes Services of another name (`ExternalName`) alone",
                    )
                    .label(check.span, "it leaves the router out, and its requests are 404")
                    .help("pods that are not ready are no servers; `passiveHealthCheck` goes by answers"),
                );
                return None;
            }
        };
        let passive = service.passive_health_check.as_ref();
        let passive = passive.and_then(|it| self.passive(it, check.is_some()));
        let owner = service
            .namespace
            .as_ref()
            .map_or(from, |it| it.value.as_str());
        let transport = self.transport(service.servers_transport.as_ref(), owner)?;
        if let Some(forwarding) = service.response_forwarding {
            self.not_modelled(
                "responseForwarding",
                "answers are passed on as they come",
                forwarding.span,
            );
        }
        if !service.middlewares.is_empty() {
            self.service_steps.extend(
                service
                    .middlewares
                    .iter()
                    .cloned()
                    .map(|it| (it, owner.to_owned())),
            );
        }
        let session = service
            .sticky
            .as_ref()
            .and_then(|sticky| self.session(sticky));
        Some(Servers {
            at,
            scheme,
            keeps_host: self
                .cx
                .origins
                .sourced_or(service.pass_host_header, true, release),
            balancer,
            session,
            check,
            passive,
            transport,
            origin: self.cx.origins.written(service.name.span),
        })
    }

    /// A Service and its port; what is not there is an error.
    pub(super) fn find_port(
        &mut self,
        name: &Spanned<String>,
        namespace: Option<&Spanned<String>>,
        port: Option<&Scalar>,
        from: &str,
    ) -> Option<Found<'c>> {
        if name.contains('@') {
            let message = format!("`{name}` is of another provider");
            let meaning = "what it names is not among the manifests: its router serves nothing";
            self.not_modelled_with(&message, meaning, name.span);
            return None;
        }
        let wanted = namespace
            .map(|it| it.value.as_str())
            .filter(|it| !it.is_empty());
        let wanted = wanted.unwrap_or(from);
        if wanted != from && !self.provider().cross_namespace {
            let span = namespace.map_or(name.span, |it| it.span);
            names::report_foreign(span, "Service", from, self.cx);
            return None;
        }
        let services = self.cx.services;
        let here = || services.iter().filter(|it| *it.namespace == *wanted);
        let Some(service) = here().find(|it| *it.name == *name.value) else {
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "traefik::unknown-service",
                    format!("no Service `{name}` in namespace `{wanted}`"),
                )
                .label(
                    name.span,
                    "without it the router is left out, and its requests are 404",
                )
                .maybe_help(did_you_mean(name, here().map(|it| &*it.name))),
            );
            return None;
        };
        let Some(port) = port else {
            let message = "a Service is named with its port";
            self.error(
                "traefik::no-port",
                message,
                name.span,
                "no `port` beside it",
            );
            return None;
        };
        let text = scalar(port, "a port", self.cx.diagnostics)?;
        self.port_of(service, &text, false)
    }

    /// The port of a Service, by number or name.
    pub(super) fn port_of(
        &mut self,
        service: &'c Service,
        text: &Spanned<String>,
        udp: bool,
    ) -> Option<Found<'c>> {
        let number: Option<u16> = text.parse().ok();
        let is_it = |port: &&ServicePort| match number {
            Some(number) => port.number == number,
            None => port.name.as_deref() == Some(text.value.as_str()),
        };
        let found = service.ports.iter().find(is_it);
        let Some(port) = found else {
            let ports = service.ports.iter().map(|port| match &port.name {
                Some(name) => format!("`{}` ({name})", port.number),
                None => format!("`{}`", port.number),
            });
            let ports: Vec<String> = ports.collect();
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "traefik::unknown-port",
                    format!("Service `{}` has no such port", service.name),
                )
                .label(text.span, "this port")
                .label(service.span, "the Service")
                .help(format!("it has {}", ports.join(", "))),
            );
            return None;
        };
        if port.udp != udp {
            let message = match udp {
                true => "datagrams are carried to a port of protocol UDP",
                false => "this port is for datagrams alone",
            };
            self.error("traefik::protocol", message, text.span, "this port");
            return None;
        }
        Some(Found { service, port })
    }

    /// Where the servers of a Service are.
    pub(super) fn place(
        &mut self,
        found: Found<'c>,
        native: Option<&Spanned<bool>>,
        nodes: Option<&Spanned<bool>>,
        span: Span,
    ) -> Option<Place> {
        let Found { service, port } = found;
        if let Some(nodes) = nodes.filter(|it| it.value) {
            let meaning = "pods are dialled themselves, not the ports of their nodes";
            self.not_modelled("nodePortLB", meaning, nodes.span);
        }
        if let ServiceKind::ExternalName(host) = &service.kind {
            return self.external(service, host, port.number, span);
        }
        let by_default = self.provider().native_lb.value;
        if !native.map_or(by_default, |it| it.value) {
            self.report_empty(service, span);
            return Some(Place::Pods(service.id, port.number));
        }
        if service.cluster_ip().is_none() {
            let message = format!("Service `{}` has no address of its own", service.name);
            let span = native.map_or(span, |it| it.span);
            self.error(
                "traefik::native-lb",
                &message,
                span,
                "the router is left out, and its requests are 404",
            );
            return None;
        }
        Some(Place::Address(service.id, port.number))
    }

    /// A Service that no pod stands behind unmakes its router, unless the provider keeps such.
    fn report_empty(&mut self, service: &Service, span: Span) {
        if self.provider().empty_services {
            return;
        }
        let pods = service.workloads.iter();
        let pods: u32 = pods.map(|id| self.cx.workloads[id.index()].replicas).sum();
        if pods == 0 && service.listed.is_empty() {
            let message = format!("nobody stands behind Service `{}`", service.name);
            let meaning = "its requests are answered 503; this Traefik would leave the router out (404), since it is not started with `allowemptyservices`";
            self.cx.diagnostics.push(
                Diagnostic::not_modelled("traefik::empty-service", message, meaning)
                    .label(span, ""),
            );
        }
    }

    fn external(&mut self, service: &Service, host: &str, port: u16, span: Span) -> Option<Place> {
        if !self.provider().external_names {
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "traefik::external-name",
                    format!("Service `{}` is one of another name, which Traefik does not serve", service.name),
                )
                .label(span, "the router is left out, and its requests are 404")
                .help("Traefik allows it with `--providers.kubernetescrd.allowexternalnameservices=true`"),
            );
            return None;
        }
        let services = self.cx.services;
        let found = self
            .cx
            .directory
            .resolve(services, &service.namespace, host, port);
        Some(match found {
            Some(Destination::Service(at)) => Place::Address(at.service, at.port),
            Some(Destination::Headless { service, port }) => Place::Pods(service, port),
            Some(Destination::Outside(all)) => Place::Fixed(
                service.id,
                all.into_iter().collect::<Vec<SocketAddr>>(),
                host.to_owned(),
            ),
            None => {
                let message = format!("the name `{host}` stands for nothing that is known");
                let meaning = "requests to it are answered 503";
                self.not_modelled_with(&message, meaning, span);
                Place::Fixed(service.id, Vec::new(), host.to_owned())
            }
        })
    }

    fn scheme(
        &mut self,
        scheme: Option<&Spanned<String>>,
        found: Found<'_>,
    ) -> Option<Sourced<Scheme>> {
        let Some(scheme) = scheme.filter(|it| !it.is_empty()) else {
            let secure = found.port.number == 443
                || found
                    .port
                    .name
                    .as_deref()
                    .is_some_and(|name| name.starts_with("https"));
            let scheme = if secure { Scheme::Https } else { Scheme::Http };
            return Some(Sourced::new(scheme, self.cx.default_of(self.release)));
        };
        let known = match scheme.value.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "h2c" => Scheme::H2c,
            _ => {
                let message = format!("servers are not spoken to in `{scheme}`");
                self.cx.diagnostics.push(
                    Diagnostic::error("traefik::scheme", message)
                        .label(scheme.span, "this scheme")
                        .help("write `http`, `https` or `h2c`"),
                );
                return None;
            }
        };
        Some(Sourced::new(known, self.cx.origins.written(scheme.span)))
    }

    fn balancer(&mut self, strategy: Option<&Spanned<String>>) -> Option<Sourced<Balancer>> {
        let Some(strategy) = strategy.filter(|it| !it.is_empty()) else {
            let default = self.cx.default_of(self.release);
            return Some(Sourced::new(Balancer::TraefikTurns, default));
        };
        let balancer = match strategy.value.as_str() {
            "wrr" => Balancer::TraefikTurns,
            "p2c" => Balancer::TraefikTwoChoices,
            "hrw" => Balancer::TraefikRendezvous,
            "leasttime" => Balancer::TraefikLeastTime,
            "RoundRobin" => {
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "traefik::deprecated",
                        "`RoundRobin` is the older name of `wrr`",
                    )
                    .label(strategy.span, "deprecated"),
                );
                Balancer::TraefikTurns
            }
            other => {
                let known = ["wrr", "p2c", "hrw", "leasttime"];
                self.cx.diagnostics.push(
                    Diagnostic::error(
                        "traefik::strategy",
                        format!("Traefik balances by no `{other}`"),
                    )
                    .label(strategy.span, "this strategy")
                    .help("write `wrr`, `p2c`, `hrw` or `leasttime`")
                    .maybe_help(did_you_mean(other, known)),
                );
                return None;
            }
        };
        Some(Sourced::new(
            balancer,
            self.cx.origins.written(strategy.span),
        ))
    }

    pub(super) fn session(&mut self, sticky: &Spanned<Sticky>) -> Option<Session> {
        let cookie = sticky.cookie.as_ref()?;
        if let Some(domain) = cookie.domain {
            self.not_modelled(
                "domain",
                "the cookie is for the host that set it",
                domain.span,
            );
        }
        // Source: `pkg/server/cookie/cookie.go`: a name that nobody chose is a hash of the service's
        let name = cookie
            .name
            .as_ref()
            .map_or("_traefik", |name| name.value.as_str());
        let age = cookie.max_age.as_ref().map(|age| age.value);
        let age = age
            .and_then(|age| u64::try_from(age).ok())
            .filter(|age| *age > 0);
        Some(Session {
            carrier: SessionCarrier::Cookie {
                name: name.into(),
                ttl: age.map(Duration::from_secs),
                path: Some(
                    cookie
                        .path
                        .as_ref()
                        .map_or("/", |path| path.value.as_str())
                        .into(),
                ),
            },
            origin: self.cx.origins.written(cookie.span),
        })
    }

    /// Probes. Source: `pkg/healthcheck/healthcheck.go`: servers are up until a probe fails, and one probe decides.
    fn check(&mut self, check: &Spanned<HealthCheck>) -> Option<Sourced<health::Check>> {
        if let Some(mode) = check.mode.as_ref().filter(|mode| mode.value == "grpc") {
            self.not_modelled("mode: grpc", "servers are asked by HTTP", mode.span);
        }
        for field in [
            check.scheme,
            check.port,
            check.follow_redirects,
            check.headers,
        ]
        .into_iter()
        .flatten()
        {
            self.not_modelled(
                "this setting of probes",
                "probes are sent without it",
                field.span,
            );
        }
        if let Some(method) = check.method.as_ref().filter(|it| it.value != "GET") {
            self.not_modelled("method", "probes are GET requests", method.span);
        }
        let fallback = Duration::from_secs(30);
        let interval = self.time_or(check.interval.as_ref(), fallback)?;
        let unhealthy = match &check.unhealthy_interval {
            Some(_) => self.time_or(check.unhealthy_interval.as_ref(), fallback)?,
            None => interval,
        };
        let timeout = self.time_or(check.timeout.as_ref(), Duration::from_secs(5))?;
        let status = check
            .status
            .as_ref()
            .map(|it| it.value)
            .filter(|it| *it > 0);
        let made = health::Check {
            path: Some(
                check
                    .path
                    .as_ref()
                    .map_or("/", |path| path.value.as_str())
                    .into(),
            ),
            host: check
                .hostname
                .as_ref()
                .map_or("", |host| host.value.as_str())
                .into(),
            timeout,
            interval,
            interval_jitter: Duration::ZERO,
            unhealthy_interval: Some(unhealthy),
            no_traffic_interval: None,
            unhealthy_threshold: 1,
            healthy_threshold: 1,
            expected: vec![status.map_or((200, 399), |status| (status, status))],
            retriable: Vec::new(),
        };
        Some(Sourced::new(made, self.cx.origins.written(check.span)))
    }

    fn time_or(&mut self, written: Option<&Scalar>, default: Duration) -> Option<Duration> {
        let Some(written) = written else {
            return Some(default);
        };
        let found = time(written, self.cx.diagnostics)?;
        // Source: `NewServiceHealthChecker`
        Some(if found.value == Duration::ZERO {
            default
        } else {
            found.value
        })
    }

    fn passive(
        &mut self,
        passive: &Spanned<PassiveHealthCheck>,
        checked: bool,
    ) -> Option<Sourced<passive::Settings>> {
        let default = passive::Settings::traefik();
        let window = match &passive.failure_window {
            Some(window) => time(window, self.cx.diagnostics)?.value,
            None => default.window,
        };
        let failures = passive.max_failed_attempts;
        let failures = failures.map_or(default.failures, |it| it.value.max(1));
        let settings = passive::Settings {
            window,
            failures,
            returned_by_checks: checked,
        };
        Some(Sourced::new(
            settings,
            self.cx.origins.written(passive.span),
        ))
    }
}
