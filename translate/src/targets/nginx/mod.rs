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
use super::edge::ingress;
use super::edge::services::{Named, copy, named, secret, stand_in};
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
            Area::Limit,
            "how much a client's connection may carry is ingress-nginx's own, for the whole gateway",
        ),
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
    let gateways = intent.to_write();
    let flats: Vec<Flat<'_>> = gateways.map(|it| Flat::of(it, intent.source)).collect();
    unsaid::of_gateways(&flats, (SYSTEM, TARGET.dialect), written);
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
        let mut all: Vec<(Location<'_>, Named, Option<Canary>)> = Vec::new();
        let mut seen: Vec<&[Domain]> = Vec::new();
        for rule in &flat.rules {
            if seen.contains(&&rule.domains[..]) {
                continue;
            }
            seen.push(&rule.domains);
            for location in self.locations(flat, &rule.domains) {
                if let Some((main, canary)) = self.leads(flat, &location) {
                    all.push((location, main, canary));
                }
            }
        }
        self.part(&mut all);
        let mut groups: Vec<(Group, Vec<PathOf>)> = Vec::new();
        for (location, main, canary) in &all {
            self.location(flat, location, main, canary.as_ref(), &mut groups);
        }
        // mains come before canaries: whoever is first makes an upstream what it is
        groups.sort_by_key(|(group, _)| group.is_canary);
        for (group, paths) in groups {
            self.ingress(group, &paths);
        }
    }

    /// Where a location leads, and its canary.
    fn leads(
        &mut self,
        flat: &Flat<'_>,
        location: &Location<'_>,
    ) -> Option<(Named, Option<Canary>)> {
        let rule = location.rule;
        unsaid::of_rule(rule, SYSTEM, self.written);
        match &rule.route().action {
            RouteAction::Forward(_) => self.backends(location),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => {
                let name = stand_in(self.intent, rule, flat, self.written);
                Some((name, None))
            }
        }
    }

    /// Gives Services names of their own where ingress-nginx would mix what is said of them: a canary belongs to a Service, and counts for every
    /// path that leads to it; and a Service that is a canary's is served by no path.
    fn part(&mut self, all: &mut [(Location<'_>, Named, Option<Canary>)]) {
        let originals: Vec<Named> = all.iter().map(|(_, main, _)| main.clone()).collect();
        let mut mains: Vec<(Named, Option<Canary>, Named)> = Vec::new();
        let mut canaries: Vec<(Named, BTreeMap<String, String>, Named)> = Vec::new();
        for (_, main, canary) in all {
            let wanted = (main.clone(), canary.clone());
            if let Some(canary) = canary {
                let notes = canary.annotations();
                let mut known = canaries.iter();
                let same = known.find(|(to, other, _)| *to == canary.to && *other == notes);
                let name = match same {
                    Some((_, _, name)) => name.clone(),
                    None => {
                        let taken = originals.contains(&canary.to)
                            || canaries.iter().any(|(to, _, _)| *to == canary.to);
                        let name = match taken {
                            true => copy(&canary.to, "canary", self.written),
                            false => canary.to.clone(),
                        };
                        canaries.push((canary.to.clone(), notes, name.clone()));
                        name
                    }
                };
                canary.to = name;
            }
            let mut known = mains.iter();
            let same = known.find(|(to, other, _)| (to, other) == (&wanted.0, &wanted.1));
            let name = match same {
                Some((_, _, name)) => name.clone(),
                None => {
                    let taken = mains.iter().any(|(to, _, _)| *to == wanted.0);
                    let name = match taken {
                        true => copy(main, "path", self.written),
                        false => main.clone(),
                    };
                    mains.push((wanted.0, wanted.1, name.clone()));
                    name
                }
            };
            *main = name;
        }
    }

    /// What comes of NGINX's listening for both, whatever was listened for.
    fn sides(&mut self, flat: &Flat<'_>) {
        let reach = Reach::Gateway(flat.gateway.id);
        let origin = flat.gateway.facts.origin;
        if !flat.tls {
            let what = "nothing is served over TLS";
            let why = "ingress-nginx listens for TLS, too, and shows a certificate of its own";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("the rules are served over TLS, too"));
        }
        if !flat.plain {
            let what = "nothing is served in plaintext";
            let why = "ingress-nginx listens for plaintext, too";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("such requests are sent to TLS with 308"));
        }
    }

    /// Writes one location and its canary.
    fn location(
        &mut self,
        flat: &Flat<'_>,
        location: &Location<'_>,
        main: &Named,
        canary: Option<&Canary>,
        groups: &mut Vec<(Group, Vec<PathOf>)>,
    ) {
        let rule = location.rule;
        let mut annotations = self.annotations(rule, main);
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
            add(groups, group, path(main));
            if let Some(canary) = canary {
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
        for (turned, condition) in &location.turned {
            let leads = turned.of.to.iter().find(|it| it.weight > 0);
            let name = leads.and_then(|to| named(self.intent, to, self.written));
            let single = turned.of.to.iter().filter(|it| it.weight > 0).count() == 1;
            let is_first = canary.is_none();
            match name {
                Some(name)
                    if is_first && single && name != main && name.namespace == main.namespace =>
                {
                    self.differs(rule, turned);
                    canary = Some(Canary::by_header(name, condition));
                }
                Some(_) | None => self.second(turned),
            }
        }
        for (name, share, to) in found {
            let origin = to
                .weighted
                .map_or_else(|| rule.route().origin, |it| it.origin);
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
        let spec = ingress::spec("nginx", &group.host, list, group.secret);
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
