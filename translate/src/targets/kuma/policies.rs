//! Policies: what most ports have for the whole mesh, and the others what they have besides.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::Cluster;
use proxy_core::origin::OriginId;

use super::conf::{self, Fields, Kind, Speaks, Unsaid, beyond, nested};
use super::routes::{self, Written as Routed};
use super::{SYSTEM, TARGET, V1};
use crate::intent::{Called, Callers, Intent, Mesh, Rule, Serves};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::targets::gateway_api::mesh_parts;
use crate::yaml::Map;

/// Everything that policies say of a port.
struct Port<'w, 'a> {
    called: &'w Called<'a>,
    callers: &'w Callers<'a>,
    /// By kind, for the port as a whole.
    confs: BTreeMap<Kind, Fields>,
    /// Where they come from.
    from: Vec<OriginId>,
}

pub(super) fn write(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
    let mut ports = Vec::new();
    for called in &mesh.services {
        let Some((callers, others)) = called.callers.split_first() else {
            continue;
        };
        for other in others {
            mesh_parts::tell_apart(intent, called, other, out);
        }
        if !is_meshed(intent, called) {
            outside(called, callers, out);
            continue;
        }
        ports.extend(port(called, callers, out));
    }
    let held: BTreeMap<Kind, Fields> = Kind::ALL
        .into_iter()
        .map(|kind| (kind, of_mesh(kind, &ports)))
        .collect();
    for (kind, fields) in &held {
        let fields = beyond(fields, &kind.stock());
        if !fields.is_empty() {
            let target = Map::new().with("kind", "Mesh");
            add(*kind, (SYSTEM, kind.of_mesh()), target, &fields, &[], out);
        }
    }
    for port in &ports {
        own(intent, port, &held, out);
    }
}

/// Whether somebody behind a Service has a proxy; Kuma knows no others.
fn is_meshed(intent: &Intent<'_>, called: &Called<'_>) -> bool {
    let workloads = intent.source.model.workloads();
    let mut behind = called.service.workloads.iter();
    behind.any(|id| workloads[id.index()].sidecar.is_some())
}

fn outside(called: &Called<'_>, callers: &Callers<'_>, out: &mut Written) {
    let Some(rule) = callers.rules().and_then(|rules| rules.first()) else {
        return;
    };
    let loss = Loss::new(
        Reach::Service(called.service.id),
        Area::Connection,
        rule.route.origin,
        "requests to a Service without proxies behind it go by routes and policies",
        "Kuma knows Services by the proxies behind them",
    );
    out.lose(loss.nearest("connections pass as they come"));
}

/// What policies say of a port as a whole: by its last route, which takes what no other rule does.
fn port<'w, 'a>(
    called: &'w Called<'a>,
    callers: &'w Callers<'a>,
    out: &mut Written,
) -> Option<Port<'w, 'a>> {
    let reach = Reach::Service(called.service.id);
    let mut unsaid = Unsaid::new();
    let mut confs = BTreeMap::new();
    let mut from = Vec::new();
    match &callers.serves {
        Serves::Requests { http, .. } => {
            mesh_parts::declare(called, out);
            let rules = callers.rules().unwrap_or_default();
            let last = rules.iter().rev().find_map(Rule::forward);
            let cluster = callers.cluster(called.service.id);
            confs.insert(Kind::Timeout, conf::timeouts(last, Some(http), cluster));
            if let Some(forward) = last {
                let speaks = Speaks::of(called.port.app_protocol.as_deref());
                confs.insert(Kind::Retry, conf::retry(forward, speaks, &mut unsaid));
                from.push(forward.timeout.origin);
                from.extend(forward.retry.as_ref().map(|it| it.origin));
            }
            if let Some(cluster) = cluster {
                of_cluster(cluster, last, &mut confs, &mut unsaid, &mut from);
            }
        }
        Serves::Bytes { .. } => {
            let cluster = callers.cluster(called.service.id)?;
            confs.insert(Kind::Timeout, conf::timeouts(None, None, Some(cluster)));
            of_cluster(cluster, None, &mut confs, &mut unsaid, &mut from);
        }
        Serves::Datagrams { .. } | Serves::Untouched | Serves::Closed => return None,
    }
    for (area, what, nearest) in unsaid {
        let why = TARGET.why(area).unwrap_or_default();
        let rule = from.first().copied().unwrap_or(called.service.origin);
        out.lose(Loss::new(reach, area, rule, what, why).nearest(nearest));
    }
    Some(Port {
        called,
        callers,
        confs,
        from,
    })
}

fn of_cluster(
    cluster: &Cluster,
    forward: Option<&proxy_core::config::Forward>,
    confs: &mut BTreeMap<Kind, Fields>,
    unsaid: &mut Unsaid,
    from: &mut Vec<OriginId>,
) {
    confs.insert(Kind::Breaker, conf::breaker(cluster, unsaid));
    confs.insert(Kind::Balance, conf::balance(cluster, forward, unsaid));
    confs.insert(Kind::Health, conf::health(cluster, unsaid));
    from.extend(cluster.outlier.map(|it| it.origin));
    from.push(cluster.origin);
}

/// What most ports have; of kinds that are for some alone, what holds anyway.
fn of_mesh(kind: Kind, ports: &[Port<'_, '_>]) -> Fields {
    if kind == Kind::Health {
        return kind.stock();
    }
    let mut counts: Vec<(&Fields, usize)> = Vec::new();
    for fields in ports.iter().filter_map(|port| port.confs.get(&kind)) {
        // those of calls and bytes are fewer, and have fields of their own
        if kind == Kind::Retry && !fields.contains_key("http.numRetries") {
            continue;
        }
        match counts.iter_mut().find(|(own, _)| *own == fields) {
            Some((_, count)) => *count += 1,
            None => counts.push((fields, 1)),
        }
    }
    // of equals the first
    let most = counts.iter().rev().max_by_key(|(_, count)| *count);
    let mut fields = kind.stock();
    if let Some((own, _)) = most {
        fields.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    fields
}

/// What a port has besides: policies for its Service's port, routes, and policies for those that differ.
fn own(intent: &Intent<'_>, port: &Port<'_, '_>, held: &BTreeMap<Kind, Fields>, out: &mut Written) {
    let service = port.called.service;
    for (kind, fields) in &port.confs {
        let fields = beyond(fields, &held[kind]);
        if fields.is_empty() {
            continue;
        }
        let wanted = routes::name_of(port.called);
        let name = out.free_name(kind.name(), &service.namespace, &wanted);
        let target = routes::target(port.called);
        let place = (&*service.namespace, name.as_str());
        add(*kind, place, target, &fields, &port.from, out);
    }
    let Some(rules) = port.callers.rules() else {
        return;
    };
    for routed in routes::write(intent, port.called, rules, out) {
        of_route(port, &routed, held, out);
    }
}

/// Policies for the requests of a route, where they differ from those of the port. They are merged with the mesh's, and pass by the port's own.
fn of_route(
    port: &Port<'_, '_>,
    routed: &Routed,
    held: &BTreeMap<Kind, Fields>,
    out: &mut Written,
) {
    let service = port.called.service;
    for (kind, fields) in &routed.confs {
        // a policy for a route passes by the port's own: what that one sets has to be said again
        let ports = port.confs.get(kind).map(|it| beyond(it, &held[kind]));
        let ports = ports.unwrap_or_default();
        let mut own = beyond(fields, &held[kind]);
        for path in ports.keys() {
            if let Some(value) = fields.get(path) {
                own.insert(path.clone(), value.clone());
            }
        }
        if own.is_empty() || own == ports {
            continue;
        }
        let target = Map::new()
            .with("kind", "MeshHTTPRoute")
            .with("name", routed.name.as_str());
        let place = (&*service.namespace, routed.name.as_str());
        let name = out.free_name(kind.name(), place.0, place.1);
        add(*kind, (place.0, &name), target, &own, &routed.from, out);
    }
}

fn add(
    kind: Kind,
    (namespace, name): (&str, &str),
    target: Map,
    fields: &Fields,
    from: &[OriginId],
    out: &mut Written,
) {
    let item = Map::new()
        .with("targetRef", target)
        .with("default", nested(fields));
    let mut object = Object::new(V1, kind.name(), namespace, name);
    for origin in from {
        object.comes_from(*origin);
    }
    out.add(object.spec(Map::new().with("to", vec![item])));
}
