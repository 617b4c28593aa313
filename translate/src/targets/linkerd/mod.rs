//! Linkerd: HTTPRoutes whose parent is a Service, and annotations of them and of Services.

mod policy;
mod settings;

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::origin::OriginId;

use self::policy::{Policy, policy};
use super::gateway_api::rules::{Made, Reader, Writer};
use super::gateway_api::{V1, mesh_parts, write_gateways};
use super::{Gateways, Injection, Mark, Target};
use crate::intent::{Called, Callers, Intent, Rule};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::yaml::Map;

const INJECT: &str = "linkerd.io/inject";
/// Linkerd, which has no gateway of its own.
pub(super) static TARGET: Target = Target {
    name: "linkerd",
    title: "Linkerd 2.19",
    dialect: "linkerd",
    release: "2.19",
    injection: Some(Injection::Marked {
        namespace: Mark::Annotation(INJECT, "enabled"),
        out: Mark::Annotation(INJECT, "disabled"),
    }),
    gateways: Gateways::None,
    unsaid: &[
        (
            Area::Balance,
            "Linkerd balances by the peak EWMA of round trips, always",
        ),
        (
            Area::Ejection,
            "Linkerd takes endpoints out after failures in a row alone, and tries them again after a penalty",
        ),
        (
            Area::Health,
            "Linkerd has no health checks: readiness probes of pods decide alone",
        ),
        (
            Area::Limit,
            "Linkerd bounds neither what is under way nor rates of what is sent",
        ),
        (
            Area::Pool,
            "connections between Linkerd's proxies are its own affair",
        ),
        (
            Area::Fault,
            "Linkerd injects no failures, but for shares that go to a Service that fails",
        ),
        (Area::Mirror, "Linkerd sends no copies"),
        (Area::Rewrite, "Linkerd rewrites neither paths nor hosts"),
        (
            Area::Cors,
            "Linkerd does not speak for pages of other origins",
        ),
        (Area::Session, "Linkerd holds no client to one pod"),
        (
            Area::Retry,
            "retries of Linkerd follow statuses, refused streams and its own retry timeout, without a pause, and keep bodies of up to 64 KiB",
        ),
        (
            Area::Answer,
            "Linkerd answers by itself with redirects alone, and refuses with statuses of its own",
        ),
        (
            Area::Tls,
            "proxies of Linkerd always know each other by mutual TLS",
        ),
        (Area::Reading, "what is done to heads is Linkerd's own"),
        (
            Area::Upgrade,
            "Linkerd lets pass whatever a connection becomes",
        ),
        (
            Area::Timeout,
            "Linkerd bounds requests, answers and silent streams, and no connections",
        ),
        (
            Area::Headers,
            "headers that proxies add by themselves are their own affair",
        ),
        (
            Area::Connection,
            "what connections become besides is detected by Linkerd",
        ),
    ],
    write,
};

fn write(intent: &Intent<'_>, out: &mut Written) {
    let gateways: Vec<_> = intent.to_write().collect();
    write_gateways(intent, &gateways, out);
    let Some(mesh) = &intent.mesh else {
        return;
    };
    let mut by_service: BTreeMap<u32, Vec<&Called<'_>>> = BTreeMap::new();
    for called in &mesh.services {
        by_service
            .entry(called.service.id.0)
            .or_default()
            .push(called);
    }
    for called in by_service.values() {
        service(intent, called, out);
    }
    settings::strictness(intent, mesh, out);
}

/// Rules that follow each other with one policy, and what they come from.
type Run = (Policy, Vec<Map>, Vec<OriginId>);

/// Everything of a Service, all ports together.
fn service(intent: &Intent<'_>, ports: &[&Called<'_>], out: &mut Written) {
    let Some(first) = ports.first() else {
        return;
    };
    let service = first.service;
    let mut policies: Vec<Policy> = Vec::new();
    let mut routes: Vec<(&Called<'_>, Vec<Run>)> = Vec::new();
    for called in ports {
        let Some((callers, others)) = called.callers.split_first() else {
            continue;
        };
        for other in others {
            mesh_parts::tell_apart(intent, called, other, out);
        }
        let Some(rules) = callers.rules() else {
            continue;
        };
        let made = written(intent, called, rules, out);
        if let [only] = &made[..]
            && mesh_parts::is_plain(&only.1.rule, &service.name, called.port.number)
        {
            policies.push(only.0.clone());
        } else {
            routes.push((called, runs(made)));
        }
    }
    // the Service's own word counts for its ports without routes
    let own = policies.first().cloned().unwrap_or_default();
    let alike = policies.iter().all(|policy| *policy == own);
    if alike && !own.0.is_empty() {
        annotate(out, &service.namespace, &service.name, &own);
    } else if !alike {
        for called in ports {
            own_route(called, out);
        }
    }
    for (called, runs) in routes {
        let count = runs.len();
        for (nth, (policy, rules, from)) in runs.into_iter().enumerate() {
            let wanted = match count {
                1 => route_name(called),
                _ => format!("{}-{:02}", route_name(called), nth + 1),
            };
            let name = out.free_name("HTTPRoute", &service.namespace, &wanted);
            let mut object = route(called, &name, rules);
            for (key, value) in policy.0 {
                object.annotations.insert(key.to_owned(), value);
            }
            for origin in from {
                object.comes_from(origin);
            }
            out.add(object);
        }
    }
    settings::opaque(ports, out);
    if let Some(cluster) = first.callers.first().and_then(|it| it.cluster(service.id)) {
        settings::accrual(first, cluster, out);
    }
}

/// A route that says no more than its annotations: for ports of one Service that differ.
fn own_route(called: &Called<'_>, out: &mut Written) {
    let rules = called.callers.first().and_then(Callers::rules);
    let Some([rule]) = rules else {
        return;
    };
    let Some(forward) = rule.forward() else {
        return;
    };
    let (policy, _) = policy(forward);
    if policy.0.is_empty() {
        return;
    }
    let backend = Map::new()
        .with("name", &*called.service.name)
        .with("port", called.port.number);
    let rules = vec![Map::new().with("backendRefs", vec![backend])];
    let name = out.free_name("HTTPRoute", &called.service.namespace, &route_name(called));
    let mut object = route(called, &name, rules).from(rule.route.origin);
    for (key, value) in policy.0 {
        object.annotations.insert(key.to_owned(), value);
    }
    out.add(object);
}

fn route_name(called: &Called<'_>) -> String {
    let service = called.service;
    match service.ports.iter().filter(|port| !port.udp).count() {
        0 | 1 => service.name.to_string(),
        _ => format!("{}-{}", service.name, called.port.number),
    }
}

fn route(called: &Called<'_>, name: &str, rules: Vec<Map>) -> Object {
    let parent = Map::new()
        .with("group", "")
        .with("kind", "Service")
        .with("name", &*called.service.name)
        .with("port", called.port.number);
    let spec = Map::new()
        .with("parentRefs", vec![parent])
        .list("rules", rules);
    Object::new(V1, "HTTPRoute", &called.service.namespace, name).spec(spec)
}

/// Rules of a port, each with how its requests are tried and bounded.
fn written<'r, 'a>(
    intent: &Intent<'a>,
    called: &Called<'a>,
    rules: &'r [Rule<'a>],
    out: &mut Written,
) -> Vec<(Policy, Made<'r, 'a>)> {
    let reach = Reach::Service(called.service.id);
    let writer = Writer {
        source: intent.source,
        target: &TARGET,
        reader: Reader::Linkerd,
        reach,
        namespace: called.service.namespace.to_string(),
    };
    let made = writer.rules(rules, out);
    let mut all = Vec::new();
    for made in made {
        let (policy, unsaid) = match made.of.forward() {
            Some(forward) => policy(forward),
            None => (Policy::default(), Vec::new()),
        };
        for (area, what, nearest) in unsaid {
            let why = TARGET.why(area).unwrap_or_default();
            let loss = Loss::new(reach, area, made.of.route.origin, what, why);
            out.lose(loss.nearest(nearest));
        }
        all.push((policy, made));
    }
    all
}

/// Rules in a row with the same policy share a route, which has its annotations.
fn runs(made: Vec<(Policy, Made<'_, '_>)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (policy, made) in made {
        let origin = made.of.route.origin;
        match runs.last_mut() {
            Some((own, rules, from)) if *own == policy => {
                rules.push(made.rule);
                from.push(origin);
            }
            Some(_) | None => runs.push((policy, vec![made.rule], vec![origin])),
        }
    }
    runs
}

fn annotate(out: &mut Written, namespace: &str, name: &str, policy: &Policy) {
    if let Some(object) = out.find("Service", namespace, name) {
        for (key, value) in &policy.0 {
            object.annotations.insert((*key).to_owned(), value.clone());
        }
    }
}
