//! MeshHTTPRoutes.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::origin::OriginId;

use super::conf::{self, Fields, Kind, Speaks, Unsaid};
use super::{TARGET, V1};
use crate::intent::{Called, Intent, Rule};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written as Out};
use crate::targets::common::groups::is_any;
use crate::targets::gateway_api::rules::{Made, Reader, Writer};
use crate::yaml::{Map, Value};

/// A route that was written, with what policies have to say of its requests.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) confs: BTreeMap<Kind, Fields>,
    pub(super) from: Vec<OriginId>,
}

/// What objects for a port are called.
pub(super) fn name_of(called: &Called<'_>) -> String {
    let service = called.service;
    match service.ports.iter().filter(|port| !port.udp).count() {
        0 | 1 => service.name.to_string(),
        _ => format!("{}-{}", service.name, called.port.number),
    }
}

/// A port as policies refer to it.
pub(super) fn target(called: &Called<'_>) -> Map {
    Map::new()
        .with("kind", "MeshService")
        .with("name", &*called.service.name)
        .with("namespace", &*called.service.namespace)
        .with("sectionName", called.port.number.to_string())
}

/// Routes of a port, one for rules in a row whose requests have the same policies.
pub(super) fn write<'a>(
    intent: &Intent<'a>,
    called: &Called<'a>,
    rules: &[Rule<'a>],
    out: &mut Out,
) -> Vec<Written> {
    let service = called.service;
    let reach = Reach::Service(service.id);
    let writer = Writer {
        source: intent.source,
        target: &TARGET,
        reader: Reader::Kuma,
        reach,
        namespace: service.namespace.to_string(),
    };
    let made = writer.rules(rules, out);
    let takes_all = |rule: &Rule<'_>| {
        let it = &rule.route.matches;
        is_any(&it.path) && it.methods.is_empty() && it.headers.is_empty() && it.params.is_empty()
    };
    if !rules.iter().any(takes_all)
        && let Some(last) = rules.last()
    {
        out.lose(
            Loss::new(
                reach,
                Area::Destination,
                last.route.origin,
                "requests that no rule takes are answered with 404",
                "what no rule of a MeshHTTPRoute takes reaches the Service",
            )
            .also(Area::Answer)
            .nearest("they reach the Service"),
        );
    }
    if let [only] = &made[..]
        && is_plain(only, called)
    {
        return Vec::new();
    }
    let speaks = Speaks::of(called.port.app_protocol.as_deref());
    let mut runs: Vec<(BTreeMap<Kind, Fields>, Vec<Made<'_, 'a>>)> = Vec::new();
    for made in made {
        let mut confs = BTreeMap::new();
        if let Some(forward) = made.of.forward() {
            let cluster = made.of.to.first().and_then(|to| to.cluster);
            confs.insert(Kind::Timeout, conf::timeouts(Some(forward), None, cluster));
            let retry = conf::retry(forward, speaks, &mut Unsaid::new());
            confs.insert(Kind::Retry, retry);
        }
        match runs.last_mut() {
            Some((own, all)) if *own == confs => all.push(made),
            Some(_) | None => runs.push((confs, vec![made])),
        }
    }
    let count = runs.len();
    let mut written = Vec::new();
    for (nth, (confs, made)) in runs.into_iter().enumerate() {
        let wanted = match count {
            1 => name_of(called),
            _ => format!("{}-{:02}", name_of(called), nth + 1),
        };
        let name = out.free_name("MeshHTTPRoute", &service.namespace, &wanted);
        let mut object = Object::new(V1, "MeshHTTPRoute", &service.namespace, &name);
        let mut from = Vec::new();
        for made in &made {
            object.comes_from(made.of.route.origin);
            from.push(made.of.route.origin);
        }
        let rules: Vec<Map> = made.into_iter().map(|made| made.rule).collect();
        let to = Map::new()
            .with("targetRef", target(called))
            .with("rules", rules);
        out.add(object.spec(Map::new().with("to", vec![to])));
        written.push(Written { name, confs, from });
    }
    written
}

/// Whether a rule says no more than that all requests go to the Service itself.
fn is_plain(made: &Made<'_, '_>, called: &Called<'_>) -> bool {
    let itself = Map::new()
        .with("kind", "MeshService")
        .with("name", &*called.service.name)
        .with("port", called.port.number);
    let does = Map::new().with("backendRefs", vec![itself]);
    let matches = &made.of.route.matches;
    let takes_all = is_any(&matches.path)
        && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.params.is_empty();
    takes_all && made.rule.get("default") == Some(&Value::Map(does))
}
