//! ingress-nginx 1.15: Ingresses with its annotations, one for each set of annotations of a host.
//!
//! A rule becomes a path; what it asks beside host and path can be a canary's alone: one header, or a share of the requests, one canary to a path.
//! As soon as one path of a host is rewritten or is a regular expression all of them are patterns, at the start of the request's path, in any case.

mod annotations;
mod answers;
mod balance;
mod canaries;
mod cors;
mod limits;
mod locations;

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::RouteAction;
use proxy_core::origin::OriginId;

use self::canaries::Canary;
use self::locations::Location;
use super::edge::flat::{Flat, Rule, Sides};
use super::edge::hosts::Domain;
use super::edge::services::{Named, named, secret, stand_in};
use super::edge::{mesh, unsaid};
use super::{Gateways, Target};
use crate::intent::Intent;
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::yaml::Map;

/// ingress-nginx.
pub(super) static TARGET: Target = Target {
    name: "nginx",
    title: "ingress-nginx 1.15",
    dialect: "nginx",
    release: "1.15",
    injection: None,
    gateways: Gateways::All,
    unsaid: &[
        (
            Area::Reading,
            "ingress-nginx reads heads in its own way, which its ConfigMap may change for all hosts",
        ),
        (
            Area::Upgrade,
            "whatever a client wants a connection to become, ingress-nginx lets the endpoint hear of",
        ),
        (
            Area::Pool,
            "its ConfigMap has it for all Services: 320 idle connections for 60 s, 10 000 requests and an hour each",
        ),
        (
            Area::Headers,
            "ingress-nginx edits headers by its ConfigMap, and adds `strict-transport-security` to answers over TLS by itself",
        ),
        (
            Area::Answer,
            "ingress-nginx answers by itself where no rule takes a request, and `/healthz` of unknown hosts",
        ),
        (
            Area::Timeout,
            "the times of clients' connections are in its ConfigMap, for all hosts",
        ),
    ],
    write,
};

/// What people call it in reasons.
const SYSTEM: &str = "ingress-nginx";
/// What it is called when it is read again: where its chart puts it.
const GATEWAY: &str = "ingress-nginx/nginx";
/// The prefix of its annotations.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";

fn write(intent: &Intent<'_>, written: &mut Written) {
    mesh::losses(intent, SYSTEM, written);
    let flats: Vec<Flat<'_>> = intent.to_write().map(Flat::of).collect();
    unsaid::of_gateways(&flats, SYSTEM, written);
    let mut writer = Writer { intent, written };
    for flat in &flats {
        writer.written.stands_for(flat.gateway.id, GATEWAY);
        writer.gateway(flat);
    }
}

/// What is needed to write objects.
struct Writer<'w, 'a> {
    intent: &'w Intent<'a>,
    written: &'w mut Written,
}

/// What an Ingress says of all of its paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Group {
    namespace: String,
    host: String,
    annotations: BTreeMap<String, String>,
    secret: Option<String>,
    is_canary: bool,
}

/// A path of an Ingress.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PathOf {
    path: String,
    kind: &'static str,
    service: String,
    port: u16,
    origin: OriginId,
}

impl Writer<'_, '_> {
    fn gateway(&mut self, flat: &Flat<'_>) {
        self.sides(flat);
        let mut groups: Vec<(Group, Vec<PathOf>)> = Vec::new();
        let mut mains: Vec<(Named, Option<Canary>)> = Vec::new();
        let mut seen: Vec<&[Domain]> = Vec::new();
        for rule in &flat.rules {
            if seen.contains(&&rule.domains[..]) {
                continue;
            }
            seen.push(&rule.domains);
            let locations = self.locations(flat, &rule.domains);
            for location in &locations {
                let Some(main) = self.location(flat, location, &mut groups) else {
                    continue;
                };
                mains.push(main);
            }
        }
        self.shared_canaries(flat, &mains);
        // mains come before canaries: whoever is first makes an upstream what it is
        groups.sort_by_key(|(group, _)| group.is_canary);
        for (group, paths) in groups {
            self.ingress(group, &paths);
        }
    }

    /// What comes of NGINX's listening for both, whatever was listened for.
    fn sides(&mut self, flat: &Flat<'_>) {
        let reach = Reach::Gateway(flat.gateway.id);
        let origin = flat.gateway.facts.origin;
        if !flat.tls {
            let what = "nothing listens for TLS";
            let why = "ingress-nginx listens for TLS, too, and shows a certificate of its own";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("the rules are served over TLS, too"));
        }
        if !flat.plain {
            let what = "nothing listens for plaintext";
            let why = "ingress-nginx listens for plaintext, too";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("such requests are sent to TLS with 308"));
        }
    }

    /// Writes one location and its canary; gives the Service that it leads to.
    fn location(
        &mut self,
        flat: &Flat<'_>,
        location: &Location<'_>,
        groups: &mut Vec<(Group, Vec<PathOf>)>,
    ) -> Option<(Named, Option<Canary>)> {
        let rule = location.rule;
        unsaid::of_rule(rule, SYSTEM, self.written);
        let (main, canary) = match &rule.route().action {
            RouteAction::Forward(_) => self.backends(location)?,
            RouteAction::Redirect(_) | RouteAction::Direct(_) => {
                let (namespace, name, port) = stand_in(self.intent, rule, flat, self.written);
                let service = self.intent.source.model.services().iter();
                let service = service
                    .clone()
                    .find(|it| *it.namespace == *namespace && *it.name == *name);
                let service = service.map_or(manifests::model::ServiceId(u32::MAX), |it| it.id);
                let named = Named {
                    service,
                    namespace,
                    name,
                    port,
                    by_address: false,
                };
                (named, None)
            }
        };
        let mut annotations = self.annotations(rule, &main);
        annotations.extend(location.annotations.clone());
        for domain in &rule.domains {
            let Some(host) = domain.ingress() else {
                let why = "a host of an Ingress has a wildcard for its first label alone";
                let what = format!("requests to `{}`", domain.text());
                self.lose(rule, Area::Destination, rule.route().origin, what, why, "");
                continue;
            };
            if matches!(domain, Domain::Under(_)) && !rule.takes_single_labels() {
                let why = "a wildcard of an Ingress stands for one label";
                let what = format!("`{}` takes any number of labels", domain.text());
                let loss = self.loss(rule, Area::Destination, rule.route().origin, what, why);
                self.written.lose(loss.also(Area::Answer));
            }
            let secret = match location.sides {
                Sides::Plain => None,
                Sides::Tls | Sides::Both => {
                    secret(self.intent, flat, domain, &main.namespace, self.written)
                }
            };
            let mut own = annotations.clone();
            self.over_tls(flat, location, secret.is_some(), &mut own);
            let group = Group {
                namespace: main.namespace.clone(),
                host: host.clone(),
                annotations: own,
                secret,
                is_canary: false,
            };
            let path = |name: &Named| PathOf {
                path: location.path.clone(),
                kind: location.kind,
                service: name.name.clone(),
                port: name.port,
                origin: rule.route().origin,
            };
            add(groups, group, path(&main));
            if let Some(canary) = &canary {
                let group = Group {
                    namespace: main.namespace.clone(),
                    host,
                    annotations: canary.annotations(),
                    secret: None,
                    is_canary: true,
                };
                add(groups, group, path(&canary.to));
            }
        }
        Some((main, canary))
    }

    /// The Service of a location, and its canary.
    fn backends(&mut self, location: &Location<'_>) -> Option<(Named, Option<Canary>)> {
        let rule = location.rule;
        let mut found = Vec::new();
        for to in rule.of.to.iter().filter(|it| it.weight > 0) {
            match named(self.intent, to, self.written) {
                Some(name) => found.push((name, to.weight, to)),
                None => unsaid::of_destination(self.intent, rule, to, SYSTEM, self.written),
            }
        }
        // the largest share is the main one's; of equal ones the first
        let most = found.iter().map(|(_, weight, _)| *weight).max()?;
        let at = found.iter().position(|(_, weight, _)| *weight == most)?;
        let (main, weight, to) = found.remove(at);
        if let Some(cluster) = to.cluster {
            unsaid::of_cluster(cluster, rule, SYSTEM, self.written);
        }
        let mut canary: Option<Canary> = None;
        let headers: Vec<_> = location.turned.iter().collect();
        for (turned, condition) in headers {
            let leads = turned.of.to.iter().find(|it| it.weight > 0);
            let name = leads.and_then(|to| named(self.intent, to, self.written));
            let single = turned.of.to.iter().filter(|it| it.weight > 0).count() == 1;
            match (name, &canary) {
                (Some(name), None)
                    if single && name != main && name.namespace == main.namespace =>
                {
                    self.differs(rule, turned);
                    canary = Some(Canary::by_header(name, condition));
                }
                (_, _) => self.second(turned),
            }
        }
        for (name, share, to) in found {
            let origin = to.weighted.map_or(rule.route().origin, |it| it.origin);
            let fits = name.namespace == main.namespace
                && canary
                    .as_ref()
                    .is_none_or(|it| it.to == name && it.share.is_none());
            if fits {
                let canary = canary.get_or_insert_with(|| Canary::of(name.clone()));
                canary.share = Some((share, weight + share));
                continue;
            }
            let what = format!(
                "a share of the requests goes to {}/{}",
                name.namespace, name.name
            );
            let why = "a path has one canary beside its main Service, in its own namespace";
            self.lose(
                rule,
                Area::Destination,
                origin,
                what,
                why,
                &format!("{} has it", main.name),
            );
        }
        Some((main, canary))
    }

    /// A rule that would be a second canary of its path.
    fn second(&mut self, rule: &Rule<'_>) {
        let why = "a path has one canary, which is another Service";
        let what = "a rule for a header beside others of its path";
        let loss = self.loss(rule, Area::Destination, rule.route().origin, what, why);
        let loss = loss.nearest("the rule is left out: its requests go to the rules after it");
        self.written.lose(
            loss.also(Area::Answer)
                .also(Area::Redirect)
                .also(Area::Rewrite),
        );
    }

    /// What a canary's rule has otherwise than its path's.
    fn differs(&mut self, main: &Rule<'_>, canary: &Rule<'_>) {
        let digest = |rule: &Rule<'_>| {
            let mut route = rule.route().clone();
            route.name = "".into();
            route.matches = proxy_core::config::RouteMatch::all();
            route.origin = OriginId::NONE;
            if let RouteAction::Forward(forward) = &mut route.action {
                forward.clusters.clear();
            }
            format!("{route:?}")
        };
        if digest(main) != digest(canary) {
            let why = "a canary has the annotations of its path's main Ingress";
            let what = "a rule for a header has settings of its own";
            let mut loss = self.loss(canary, Area::Timeout, canary.route().origin, what, why);
            for area in [
                Area::Retry,
                Area::Rewrite,
                Area::Headers,
                Area::Limit,
                Area::Session,
            ] {
                loss = loss.also(area);
            }
            self.written.lose(loss.nearest("those of the path"));
        }
    }

    /// Canaries belong to Services: every path to one has them.
    fn shared_canaries(&mut self, flat: &Flat<'_>, mains: &[(Named, Option<Canary>)]) {
        let reach = Reach::Gateway(flat.gateway.id);
        let origin = flat.gateway.facts.origin;
        for (at, (main, canary)) in mains.iter().enumerate() {
            let other = mains[..at]
                .iter()
                .find(|(name, it)| name == main && it != canary);
            if other.is_some() {
                let what = format!("shares of {}/{} differ by path", main.namespace, main.name);
                let why =
                    "ingress-nginx keeps canaries by Service: every path that leads to it has them";
                self.written
                    .lose(Loss::new(reach, Area::Destination, origin, what, why));
            }
            let is_main = |to: &Named| mains.iter().any(|(name, _)| name == to);
            if let Some(canary) = canary.as_ref().filter(|it| is_main(&it.to)) {
                let name = &canary.to;
                let what = format!(
                    "{}/{} has rules of its own, and shares of another's",
                    name.namespace, name.name
                );
                let why = "a Service that is a canary's serves no path of its own, and one that has a path is nobody's canary";
                self.written
                    .lose(Loss::new(reach, Area::Destination, origin, what, why));
            }
        }
    }

    fn ingress(&mut self, group: Group, paths: &[PathOf]) {
        let host = if group.host.is_empty() {
            "any"
        } else {
            &group.host
        };
        let suffix = if group.is_canary { "-canary" } else { "" };
        let wanted = format!("{}{suffix}", dns_name(host));
        let name = self.written.free_name("Ingress", &group.namespace, &wanted);
        let mut object = Object::new("networking.k8s.io/v1", "Ingress", &group.namespace, &name);
        object.annotations = group.annotations;
        let mut list = Vec::new();
        for path in paths {
            let service = Map::new()
                .with("name", path.service.as_str())
                .with("port", Map::new().with("number", path.port));
            list.push(
                Map::new()
                    .with("path", path.path.as_str())
                    .with("pathType", path.kind)
                    .with("backend", Map::new().with("service", service)),
            );
            object.comes_from(path.origin);
        }
        let host = Some(group.host.as_str()).filter(|host| !host.is_empty());
        let rule = Map::new()
            .maybe("host", host)
            .with("http", Map::new().with("paths", list));
        let tls = group.secret.map(|secret| {
            let hosts: Vec<&str> = host.into_iter().collect();
            Map::new().list("hosts", hosts).with("secretName", secret)
        });
        let spec = Map::new()
            .with("ingressClassName", "nginx")
            .list("tls", tls.into_iter().collect::<Vec<_>>())
            .with("rules", vec![rule]);
        self.written.add(object.spec(spec));
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

fn add(groups: &mut Vec<(Group, Vec<PathOf>)>, group: Group, path: PathOf) {
    match groups.iter_mut().find(|(it, _)| *it == group) {
        Some((_, paths)) => paths.push(path),
        None => groups.push((group, vec![path])),
    }
}
