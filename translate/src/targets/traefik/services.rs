//! Destinations as services of routers.

use compare::Area;
use proxy_core::config::{Forward, RouteAction, SessionCarrier};

use super::{SYSTEM, Writer};
use crate::intent::Destination;
use crate::targets::edge::flat::{Flat, Rule};
use crate::targets::edge::services::{Named, named, stand_in};
use crate::targets::edge::unsaid;
use crate::yaml::{Map, Value};

impl Writer<'_, '_> {
    /// Where a router leads, and the namespace that it stands in; none: nowhere, which is told.
    pub(super) fn services(
        &mut self,
        rule: &Rule<'_>,
        flat: &Flat<'_>,
    ) -> Option<(String, Vec<Map>)> {
        let route = rule.route();
        let RouteAction::Forward(forward) = &route.action else {
            // whatever a middleware answers, a router leads somewhere
            let name = stand_in(self.intent, rule, flat, self.written);
            let service = Map::new().with("name", name.name).with("port", name.port);
            return Some((name.namespace, vec![service]));
        };
        let mut found: Vec<(Named, u32, &Destination<'_>)> = Vec::new();
        for to in rule.of.to.iter().filter(|it| it.weight > 0) {
            match named(self.intent, to, self.written) {
                Some(name) => found.push((name, to.weight, to)),
                None => unsaid::of_destination(self.intent, rule, to, SYSTEM, self.written),
            }
        }
        let namespace = found.first().map(|(name, _, _)| name.namespace.clone())?;
        for (name, _, to) in found.iter().filter(|(it, _, _)| it.namespace != namespace) {
            let what = format!(
                "a share of the requests goes to {}/{}",
                name.namespace, name.name
            );
            let why = "a router and its services are of one namespace, unless Traefik is started with `allowCrossNamespace`";
            let origin = to.weighted.map_or(route.origin, |it| it.origin);
            self.lose(
                rule,
                Area::Destination,
                origin,
                what,
                why,
                "the others have it",
            );
        }
        found.retain(|(name, _, _)| name.namespace == namespace);
        let single = found.len() == 1;
        let mut services = Vec::new();
        for (name, weight, to) in &found {
            let mut service = self.server(rule, forward, name, to);
            if !single {
                service.set("weight", *weight);
            }
            if single && let Some(sticky) = self.sticky(rule, forward) {
                service.set("sticky", sticky);
            }
            services.push(service);
        }
        let sticky = if single {
            None
        } else {
            self.sticky(rule, forward)
        };
        let copies = self.copies(rule, forward, &namespace);
        if copies.is_empty() && sticky.is_none() {
            return Some((namespace, services));
        }
        Some(self.composed(rule, namespace, services, sticky, copies))
    }

    /// Services that a router cannot have by itself: shares that clients stay with, and copies.
    fn composed(
        &mut self,
        rule: &Rule<'_>,
        namespace: String,
        mut services: Vec<Map>,
        sticky: Option<Map>,
        copies: Vec<Map>,
    ) -> (String, Vec<Map>) {
        let origin = rule.route().origin;
        let wanted = |services: &[Map], what: &str| {
            let first = services.first().and_then(|it| it.get("name"));
            let name = if let Some(Value::Text(name)) = first {
                name
            } else {
                "services"
            };
            format!("{name}-{what}")
        };
        if services.len() > 1 || sticky.is_some() {
            let name = wanted(&services, "shares");
            let weighted = Map::new()
                .with("services", services)
                .maybe("sticky", sticky);
            let spec = Map::new().with("weighted", weighted);
            let name = self.object("TraefikService", &namespace, &name, spec, origin);
            services = vec![Map::new().with("name", name).with("kind", "TraefikService")];
        }
        if !copies.is_empty() {
            let name = wanted(&services, "mirrored");
            let mut mirroring = Map::new();
            for (key, value) in services[0].iter() {
                mirroring.set(key, value.clone());
            }
            mirroring.set("mirrors", copies);
            let spec = Map::new().with("mirroring", mirroring);
            let name = self.object("TraefikService", &namespace, &name, spec, origin);
            services = vec![Map::new().with("name", name).with("kind", "TraefikService")];
        }
        (namespace, services)
    }

    fn copies(&mut self, rule: &Rule<'_>, forward: &Forward, namespace: &str) -> Vec<Map> {
        let mut copies = Vec::new();
        for (to, mirror) in rule.of.mirrors.iter().zip(&forward.mirrors) {
            // one that leads to no Service was told
            let Some(name) = named(self.intent, to, self.written) else {
                continue;
            };
            let origin = mirror.share.origin;
            if name.namespace != namespace {
                let what = format!("copies to {}/{}", name.namespace, name.name);
                let why = "a router and its services are of one namespace";
                self.lose(rule, Area::Mirror, origin, what, why, "");
                continue;
            }
            let ppm = mirror.share.value.as_ppm();
            let percent = ppm.div_ceil(10_000);
            if ppm % 10_000 != 0 {
                let what = format!("copies of {} % of the requests", f64::from(ppm) / 10_000.0);
                let why = "Traefik copies whole per cents";
                self.lose(
                    rule,
                    Area::Mirror,
                    origin,
                    what,
                    why,
                    &format!("{percent} %"),
                );
            }
            let service = self.server(rule, forward, &name, to);
            copies.push(service.with("percent", percent));
        }
        copies
    }

    fn sticky(&mut self, rule: &Rule<'_>, forward: &Forward) -> Option<Map> {
        let session = forward.session.as_deref()?;
        let SessionCarrier::Cookie { name, ttl, path } = &session.carrier else {
            let why = "Traefik holds clients by a cookie";
            self.lose(
                rule,
                Area::Session,
                session.origin,
                "a header holds clients to an endpoint",
                why,
                "",
            );
            return None;
        };
        let path = path.as_deref().unwrap_or("/");
        let age = ttl.map(|ttl| ttl.as_nanos().div_ceil(1_000_000_000));
        let cookie = Map::new()
            .with("name", &**name)
            .maybe("maxAge", age)
            .maybe("path", (path != "/").then_some(path));
        if rule.of.to.iter().filter(|it| it.weight > 0).count() > 1 {
            let why = "Traefik's cookie over shares names one of them, not a server";
            let what = "clients stay with an endpoint, whichever share it is of";
            self.lose(
                rule,
                Area::Session,
                session.origin,
                what,
                why,
                "they stay with their share",
            );
        }
        Some(Map::new().with("cookie", cookie))
    }
}
