//! Kong 3.9 by its ingress controller: Ingresses with annotations, KongPlugin, KongUpstreamPolicy.
//!
//! Ingresses, since they are what has all of Kong's own means (priorities, rewrites, protocols, plugins) by annotation; what only an HTTPRoute has,
//! which is shares of several Services, is lost and said. How Kong calls a Service (timeouts, tries, balancing) stands at the Service, so that two
//! rules that lead to one cannot differ in it.

mod conditions;
mod paths;
mod plugins;
mod services;
mod upstreams;

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{HostRewrite, RouteAction};
use proxy_core::origin::OriginId;

use self::paths::{Entry, Written as WrittenPath};
use super::edge::flat::{Flat, Rule, Sides, Upgrade, asks_for_tls};
use super::edge::ingress;
use super::edge::services::{secret, stand_in};
use super::edge::{mesh, unsaid};
use super::{Gateways, Target};
use crate::intent::Intent;
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::yaml::Map;

/// Kong.
pub(super) static TARGET: Target = Target {
    name: "kong",
    title: "Kong 3.9 with its ingress controller",
    dialect: "kong",
    release: "3.9",
    injection: None,
    gateways: Gateways::All,
    unsaid: &[
        (
            Area::Limit,
            "how much a client's connection may carry is Kong's own, for the whole gateway",
        ),
        (
            Area::Reading,
            "Kong reads heads in its own way, which its own configuration may change",
        ),
        (
            Area::Upgrade,
            "Kong lets connections become WebSockets, and endpoints hear of nothing else",
        ),
        (
            Area::Pool,
            "Kong has its own for all Services: 512 idle connections for 60 s, 10 000 requests on each",
        ),
        (
            Area::Timeout,
            "the times of clients' connections are in Kong's own configuration",
        ),
        (
            Area::Answer,
            "Kong answers in its own words and with its own statuses where it cannot send a request on",
        ),
    ],
    write,
};

/// What people call it in reasons.
const SYSTEM: &str = "Kong";
/// What it is called when it is read again: where its charts put it.
const GATEWAY: &str = "kong/kong";
/// The group of its kinds.
const GROUP: &str = "configuration.konghq.com";
/// The prefix of its annotations.
const PREFIX: &str = "konghq.com/";

fn write(intent: &Intent<'_>, written: &mut Written) {
    mesh::losses(intent, SYSTEM, written);
    let gateways = intent.to_write();
    let flats: Vec<Flat<'_>> = gateways.map(|it| Flat::of(it, intent.source)).collect();
    unsaid::of_gateways(&flats, (SYSTEM, TARGET.dialect), written);
    let mut writer = Writer {
        intent,
        written,
        called: BTreeMap::new(),
    };
    for flat in &flats {
        writer.written.stands_for(flat.gateway.id, GATEWAY);
        writer.gateway(flat);
        strict(flat, writer.written);
    }
}

/// What some gateways tell clients over TLS by themselves.
fn strict(flat: &Flat<'_>, written: &mut Written) {
    if let Some(origin) = asks_for_tls(flat) {
        let what = "answers over TLS have `strict-transport-security`";
        let why = "Kong adds none by itself, and one list of rules is written for both ports";
        let reach = Reach::Gateway(flat.gateway.id);
        written.lose(Loss::new(reach, Area::Headers, origin, what, why));
    }
}

/// What is needed to write objects.
struct Writer<'w, 'a> {
    intent: &'w Intent<'a>,
    written: &'w mut Written,
    /// What annotations Services have by now, by namespace and name.
    called: BTreeMap<(String, String), BTreeMap<&'static str, String>>,
}

/// A rule with its conditions as annotations, and its paths.
struct Said<'r> {
    rule: &'r Rule<'r>,
    annotations: BTreeMap<String, String>,
    entries: Vec<Entry>,
    /// The path with groups, where a rewrite needs them.
    path: Option<WrittenPath>,
}

/// A rule with a path of its and what it leads to.
type Placed<'r> = (&'r Rule<'r>, WrittenPath, Map);

/// What an Ingress says of all of its paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Group {
    namespace: String,
    host: String,
    annotations: BTreeMap<String, String>,
    secret: Option<String>,
}

impl Writer<'_, '_> {
    fn gateway(&mut self, flat: &Flat<'_>) {
        self.sides(flat);
        let mut said: Vec<Said<'_>> = Vec::new();
        for rule in &flat.rules {
            let upgrade = flat.upgrade(&rule.domains);
            if rule.is_beyond_label(&flat.rules) || upgrade.is_some() && rule.sides == Sides::Plain
            {
                // the rules over TLS say it, or those for all hosts
                continue;
            }
            said.extend(self.said(rule, upgrade));
        }
        let by_priority = paths::to_be_numbered(&said);
        let many = said.len();
        for (at, one) in said.iter_mut().enumerate() {
            if by_priority.contains(&one.rule.domains) {
                let priority = (many - at) as u64;
                one.entries
                    .iter_mut()
                    .for_each(|entry| entry.as_regex(priority));
                let key = format!("{PREFIX}regex-priority");
                one.annotations.insert(key, priority.to_string());
            }
        }
        let mut groups: Vec<(Group, Vec<Placed<'_>>)> = Vec::new();
        for one in &said {
            let (rule, mut annotations) = (one.rule, one.annotations.clone());
            let Some((namespace, backend)) = self.backend(rule, flat, &mut annotations) else {
                continue;
            };
            let plugins = self.plugins(rule, &namespace);
            if !plugins.is_empty() {
                annotations.insert(format!("{PREFIX}plugins"), plugins.join(", "));
            }
            let path = one
                .path
                .clone()
                .unwrap_or_else(|| paths::written(rule, &one.entries));
            for domain in &rule.domains {
                let Some(host) = domain.ingress() else {
                    let why = "a host of an Ingress has a wildcard for its first label alone";
                    let what = format!("requests to `{}`", domain.text());
                    self.lose(rule, Area::Destination, rule.route().origin, what, why, "");
                    continue;
                };
                let secret = match rule.sides {
                    Sides::Plain => None,
                    Sides::Tls | Sides::Both => {
                        secret(self.intent, flat, domain, &namespace, self.written)
                    }
                };
                let group = Group {
                    namespace: namespace.clone(),
                    host,
                    annotations: annotations.clone(),
                    secret,
                };
                let member = (rule, path.clone(), backend.clone());
                match groups.iter_mut().find(|(it, _)| *it == group) {
                    Some((_, members)) => members.push(member),
                    None => groups.push((group, vec![member])),
                }
            }
        }
        for (first, second) in paths::misordered(&said) {
            let what = format!(
                "the rule `{}` is asked before `{}`",
                first.route().name,
                second.route().name
            );
            let why = "Kong asks routes with more kinds of conditions and more headers first";
            let origin = first.route().origin;
            let loss = self.loss(first, Area::Destination, origin, what, why);
            self.written.lose(
                loss.also(Area::Answer)
                    .also(Area::Redirect)
                    .also(Area::Rewrite),
            );
        }
        for (group, members) in groups {
            self.ingress(group, &members);
        }
        self.annotate();
    }

    /// A rule with its conditions and paths; none: something of them cannot be said, which is told.
    fn said<'r>(&mut self, rule: &'r Rule<'r>, upgrade: Option<Upgrade>) -> Option<Said<'r>> {
        let mut annotations = self.conditions(rule, upgrade)?;
        let mut entries = self.entries(rule)?;
        unsaid::of_rule(rule, SYSTEM, self.written);
        let mut path = None;
        if let Some(rewrite) = rule.rewrite() {
            path = self.rewrite(rule, rewrite, &mut annotations);
        }
        if path.is_some() {
            entries = vec![Entry::of_pattern(rule)];
        }
        Some(Said {
            rule,
            annotations,
            entries,
            path,
        })
    }

    /// What comes of Kong's listening for both, whatever was listened for.
    fn sides(&mut self, flat: &Flat<'_>) {
        let reach = Reach::Gateway(flat.gateway.id);
        let origin = flat.gateway.facts.origin;
        if !flat.tls {
            let what = "nothing is served over TLS";
            let why = "Kong listens for TLS, too, and shows a certificate of its own";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("the rules are served over TLS, too"));
        }
        if !flat.plain {
            let what = "nothing is served in plaintext";
            let why = "Kong listens for plaintext, too";
            let loss = Loss::new(reach, Area::Connection, origin, what, why);
            self.written
                .lose(loss.nearest("such requests are answered 426"));
        }
    }

    /// Kong's paths of a rule; none: its path cannot be said, which is told.
    fn entries(&mut self, rule: &Rule<'_>) -> Option<Vec<Entry>> {
        let found = paths::entries(rule);
        if found.is_none() {
            let why = "a regular expression of Kong's begins with a slash";
            let what = "a rule for a path by a regular expression, or for CONNECT";
            let loss = self.loss(rule, Area::Destination, rule.route().origin, what, why);
            let loss = loss.nearest("the rule is left out: its requests go to the rules after it");
            self.written
                .lose(loss.also(Area::Redirect).also(Area::Answer));
        }
        found
    }

    /// What a rewrite of the path needs: an annotation, and perhaps a path with groups.
    fn rewrite(
        &mut self,
        rule: &Rule<'_>,
        rewrite: &proxy_core::config::PathRewrite,
        annotations: &mut BTreeMap<String, String>,
    ) -> Option<WrittenPath> {
        let Some(said) = paths::rewrite(&rule.matches, rewrite) else {
            let why = "Kong writes a path anew with groups of its own path";
            let what = "a rewrite of the path";
            self.lose(
                rule,
                Area::Rewrite,
                rule.route().origin,
                what,
                why,
                "the path stays",
            );
            return None;
        };
        match said {
            paths::Rewritten::Stripped => {
                annotations.insert(format!("{PREFIX}strip-path"), "true".into());
                None
            }
            paths::Rewritten::Anew { to, path } => {
                annotations.insert(format!("{PREFIX}rewrite"), to);
                self.written.note("start Kong's ingress controller with its feature gate `RewriteURIs`: without it `konghq.com/rewrite` is not read");
                path
            }
        }
    }

    /// The Service that a rule leads to, with how Kong calls it.
    fn backend(
        &mut self,
        rule: &Rule<'_>,
        flat: &Flat<'_>,
        annotations: &mut BTreeMap<String, String>,
    ) -> Option<(String, Map)> {
        let route = rule.route();
        let RouteAction::Forward(forward) = &route.action else {
            let name = stand_in(self.intent, rule, flat, self.written);
            let backend = backend(&name.name, name.port);
            return Some((name.namespace, backend));
        };
        let (name, to) = self.main(rule)?;
        if let Some(cluster) = to.cluster {
            self.called(rule, forward, cluster, &name);
        }
        match &forward.host {
            None => {}
            Some(HostRewrite::Endpoint) => {
                annotations.insert(format!("{PREFIX}preserve-host"), "false".into());
            }
            Some(HostRewrite::Literal(host)) => {
                annotations.insert(format!("{PREFIX}preserve-host"), "false".into());
                self.call(
                    rule,
                    Area::Rewrite,
                    route.origin,
                    &name,
                    "host-header",
                    host.to_string(),
                );
            }
            Some(HostRewrite::Header(header)) => {
                let why = "Kong sets a Host that is written";
                let what = format!("servers see the value of `{header}` as the host");
                self.lose(
                    rule,
                    Area::Rewrite,
                    route.origin,
                    what,
                    why,
                    "the client's host",
                );
            }
        }
        Some((name.namespace.clone(), backend(&name.name, name.port)))
    }

    fn ingress(&mut self, group: Group, members: &[(&Rule<'_>, WrittenPath, Map)]) {
        let wanted = dns_name(if group.host.is_empty() {
            "any"
        } else {
            &group.host
        });
        let name = self.written.free_name("Ingress", &group.namespace, &wanted);
        let mut object = Object::new("networking.k8s.io/v1", "Ingress", &group.namespace, &name);
        object.annotations = group.annotations;
        let mut list: Vec<Map> = Vec::new();
        for (rule, path, backend) in members {
            let map = Map::new()
                .with("path", path.text.as_str())
                .with("pathType", path.kind)
                .with("backend", backend.clone());
            if !list.contains(&map) {
                list.push(map);
            }
            object.comes_from(rule.route().origin);
        }
        let spec = ingress::spec("kong", &group.host, list, group.secret);
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

fn backend(name: &str, port: u16) -> Map {
    let service = Map::new()
        .with("name", name)
        .with("port", Map::new().with("number", port));
    Map::new().with("service", service)
}
