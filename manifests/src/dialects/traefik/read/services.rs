//! References to Services and TraefikServices to where they lead.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes_http.go` (`configBuilder`), `pkg/server/service/service.go`.

use super::{MOST_PARTS, Reader};
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::blocks;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::Target;
use crate::dialects::traefik::types::services::{
    Failover, Mirroring, ServiceRef, TraefikService, Weighted,
};
use crate::dialects::traefik::types::{Reference, Whole};
use crate::text::{Span, Spanned, read};

/// TraefikServices that lead to each other may not be nested deeper.
const MAX_DEPTH: usize = 16;

impl Reader<'_, '_> {
    /// Where one or several services of a route lead; none: the router is left out.
    pub(super) fn target(
        &mut self,
        services: &[Spanned<ServiceRef>],
        from: &str,
    ) -> Option<Target> {
        self.parts_left = MOST_PARTS;
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
        self.part(service.name.span)?;
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
            service.port.as_ref().map(super::scalar_span),
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

    fn mirroring(&mut self, mirroring: &Mirroring, from: &str, depth: usize) -> Option<Target> {
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
}
