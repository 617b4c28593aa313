//! Traefik 3.7 by its own kinds: IngressRoute, Middleware, TraefikService, ServersTransport.
//!
//! Every gateway is one Traefik, as its chart installs it: entry points `web` and `websecure`. A rule becomes a router; where the length of the
//! rules' texts would order them otherwise than they are asked now, all have priorities. What a rule refers to stands in its own namespace, since
//! Traefik takes no reference to another.

mod headers;
mod limits;
mod middlewares;
mod redirects;
mod rule;
mod servers;
mod services;

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::RouteAction;
use proxy_core::origin::OriginId;

use self::rule::Unsaid;
use super::edge::flat::{Flat, Rule, Sides, asks_for_tls};
use super::edge::hosts::Domain;
use super::edge::services::secret;
use super::edge::{mesh, unsaid};
use super::{Gateways, Target};
use crate::intent::Intent;
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::yaml::Map;

/// Traefik.
pub(super) static TARGET: Target = Target {
    name: "traefik",
    title: "Traefik 3.7",
    dialect: "traefik",
    release: "3.7",
    injection: None,
    gateways: Gateways::All,
    unsaid: &[
        (
            Area::Limit,
            "how much a client's connection may carry is Traefik's own, for the whole gateway",
        ),
        (
            Area::Reading,
            "Traefik reads heads in its own way, which its entry points may change",
        ),
        (
            Area::Upgrade,
            "Traefik lets connections become whatever clients and servers agree on",
        ),
        (
            Area::Pool,
            "Traefik keeps connections as its ServersTransports say, which know idle ones alone",
        ),
        (
            Area::Timeout,
            "the times of clients' connections are those of entry points",
        ),
        (
            Area::Answer,
            "Traefik answers in its own words and with its own statuses where it cannot send a request on",
        ),
    ],
    write,
};

/// What people call it in reasons.
const SYSTEM: &str = "Traefik";
/// The version of its kinds.
const VERSION: &str = "traefik.io/v1alpha1";
/// What it is called when it is read again: where its chart puts it.
const GATEWAY: &str = "traefik/traefik";

fn write(intent: &Intent<'_>, written: &mut Written) {
    mesh::losses(intent, SYSTEM, written);
    let gateways = intent.to_write();
    let flats: Vec<Flat<'_>> = gateways.map(|it| Flat::of(it, intent.source)).collect();
    unsaid::of_gateways(&flats, (SYSTEM, TARGET.dialect), written);
    let mut writer = Writer { intent, written };
    let mut routers = Vec::new();
    for flat in &flats {
        writer.written.stands_for(flat.gateway.id, GATEWAY);
        strict(flat, writer.written);
        for rule in &flat.rules {
            routers.extend(writer.router(rule, flat));
        }
    }
    writer.routes(&routers, &flats);
}

/// What some gateways tell clients over TLS by themselves.
fn strict(flat: &Flat<'_>, written: &mut Written) {
    if let Some(origin) = asks_for_tls(flat) {
        let what = "answers over TLS have `strict-transport-security`";
        let why = "Traefik adds none by itself, and one list of rules is written for both ports";
        let reach = Reach::Gateway(flat.gateway.id);
        written.lose(Loss::new(reach, Area::Headers, origin, what, why));
    }
}

/// What is needed to write objects.
struct Writer<'w, 'a> {
    intent: &'w Intent<'a>,
    written: &'w mut Written,
}

/// A router that is to be written.
struct Router<'a> {
    rule: Rule<'a>,
    namespace: String,
    text: String,
    middlewares: Vec<String>,
    services: Vec<Map>,
}

impl Writer<'_, '_> {
    /// A router; none: its rule cannot be said, which is told.
    fn router<'r>(&mut self, rule: &Rule<'r>, flat: &Flat<'r>) -> Option<Router<'r>> {
        let route = rule.route();
        let text = match rule::rule(&rule.domains, &rule.not, &rule.matches) {
            Ok(text) => text,
            Err(Unsaid(what)) => {
                let why = "no matcher of Traefik's asks for it";
                let loss = self.loss(
                    rule,
                    Area::Destination,
                    route.origin,
                    format!("a rule for {what}"),
                    why,
                );
                let loss =
                    loss.nearest("the rule is left out: its requests go to the rules after it");
                self.written.lose(
                    loss.also(Area::Redirect)
                        .also(Area::Answer)
                        .also(Area::Rewrite),
                );
                return None;
            }
        };
        unsaid::of_rule(rule, SYSTEM, self.written);
        let (namespace, services) = self.services(rule, flat)?;
        let middlewares = self.middlewares(rule, &namespace);
        if matches!(route.action, RouteAction::Forward(_)) && services.is_empty() {
            return None;
        }
        Some(Router {
            rule: rule.clone(),
            namespace,
            text,
            middlewares,
            services,
        })
    }

    /// Routers as IngressRoutes: one for each namespace, host and entry point.
    fn routes(&mut self, routers: &[Router<'_>], flats: &[Flat<'_>]) {
        let needs_priority = is_misordered(routers);
        let mut groups: BTreeMap<(String, String, bool), Vec<usize>> = BTreeMap::new();
        for (at, router) in routers.iter().enumerate() {
            let sides: &[bool] = match router.rule.sides {
                Sides::Plain => &[false],
                Sides::Tls => &[true],
                Sides::Both => &[false, true],
            };
            for tls in sides {
                let key = (router.namespace.clone(), router.rule.host(), *tls);
                groups.entry(key).or_default().push(at);
            }
        }
        for ((namespace, host, tls), members) in groups {
            let suffix = if tls { "-tls" } else { "" };
            let wanted = format!("{}{suffix}", dns_name(&host));
            let name = self.written.free_name("IngressRoute", &namespace, &wanted);
            let mut object = Object::new(VERSION, "IngressRoute", &namespace, &name);
            let mut list = Vec::new();
            for at in &members {
                let router = &routers[*at];
                let priority = needs_priority.then(|| (routers.len() - at) as u64);
                let middlewares = router.middlewares.iter();
                let middlewares: Vec<Map> = middlewares
                    .map(|it| Map::new().with("name", it.as_str()))
                    .collect();
                list.push(
                    Map::new()
                        .with("match", router.text.as_str())
                        .with("kind", "Rule")
                        .maybe("priority", priority)
                        .list("middlewares", middlewares)
                        .list("services", router.services.clone()),
                );
                object.comes_from(router.rule.route().origin);
            }
            let entry = if tls { "websecure" } else { "web" };
            let mut spec = Map::new()
                .with("entryPoints", vec![entry])
                .with("routes", list);
            if tls {
                let domain = Domain::of(&host);
                let gateway = routers[members[0]].rule.gateway;
                let flat = flats.iter().find(|it| it.gateway.id == gateway);
                let secret = flat
                    .and_then(|flat| secret(self.intent, flat, &domain, &namespace, self.written));
                spec.set("tls", Map::new().maybe("secretName", secret));
            }
            self.written.add(object.spec(spec));
        }
    }

    /// An object with these settings, and its name: one that says the same is used again.
    fn object(
        &mut self,
        kind: &str,
        namespace: &str,
        wanted: &str,
        spec: Map,
        rule: OriginId,
    ) -> String {
        let mut objects = self.written.objects.iter_mut();
        let same = objects.find(|it| {
            it.kind == kind
                && it.api_version == VERSION
                && it.namespace == namespace
                && it.body.get("spec") == Some(&spec.clone().into())
        });
        if let Some(same) = same {
            same.comes_from(rule);
            return same.name.clone();
        }
        let name = self.written.free_name(kind, namespace, wanted);
        let object = Object::new(VERSION, kind, namespace, &name);
        self.written.add(object.spec(spec).from(rule));
        name
    }

    fn loss(
        &self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Loss {
        Loss::new(Reach::Gateway(rule.gateway), area, origin, what, why)
    }

    fn lose(
        &mut self,
        rule: &Rule<'_>,
        area: Area,
        origin: OriginId,
        what: impl Into<String>,
        why: impl Into<String>,
        nearest: &str,
    ) {
        let loss = self.loss(rule, area, origin, what, why).nearest(nearest);
        self.written.lose(loss);
    }
}

/// Whether some request would be asked of two routers in another order, if their rules' lengths decided.
fn is_misordered(routers: &[Router<'_>]) -> bool {
    let pairs = routers.iter().enumerate();
    pairs.into_iter().any(|(at, first)| {
        routers[at + 1..]
            .iter()
            .any(|second| first.text.len() <= second.text.len() && first.rule.meets(&second.rule))
    })
}
