//! What callers in a mesh go by, as routes whose parent is a Service (GAMMA).

use compare::Area;
use proxy_core::config::Name;

use super::gateways::{grant, split};
use super::rules::{Reader, Writer};
use super::{GROUP, TARGET, V1};
use crate::intent::{Accepts, Called, Callers, Intent, Mesh};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::yaml::{Map, Value};

pub(super) fn write(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
    for called in &mesh.services {
        let Some((first, others)) = called.callers.split_first() else {
            continue;
        };
        let home = &called.service.namespace;
        if first.rules().is_some() {
            declare(called, out);
        }
        route(intent, called, first, home, out);
        let of_first = namespaces(intent, first);
        for other in others {
            // routes of a caller's own namespace take the place of the Service's
            match &namespaces(intent, other)[..] {
                [only] if only != home && !of_first.contains(only) => {
                    route(intent, called, other, only, out);
                }
                _ => tell_apart(intent, called, other, out),
            }
        }
    }
    for inbound in &mesh.workloads {
        let (accepts, origin) = inbound.accepts;
        if accepts == Accepts::Meshed {
            out.lose(Loss::new(
                Reach::Workload(inbound.workload),
                Area::Connection,
                origin,
                "plaintext is refused (strict mutual TLS)",
                "the Gateway API does not say how members of a mesh know each other",
            ));
        }
    }
    let names: Vec<String> = mesh
        .workloads
        .iter()
        .map(|it| intent.source.model.workloads()[it.workload.index()].full_name())
        .collect();
    out.note(format!(
        "the Gateway API does not say who is in a mesh: {} are to have its proxies",
        names.join(", ")
    ));
}

/// A port without a word of its protocol is not read: requests of callers go by no route then.
pub(crate) fn declare(called: &Called<'_>, out: &mut Written) {
    if called.port.app_protocol.is_some() {
        return;
    }
    says(called, "http", out);
}

/// Says in a Service what a port of it speaks.
pub(crate) fn says(called: &Called<'_>, protocol: &str, out: &mut Written) {
    let service = called.service;
    let Some(object) = out.find("Service", &service.namespace, &service.name) else {
        return;
    };
    let spec = object.body.under("spec");
    let Some(Value::List(mut ports)) = spec.get("ports").cloned() else {
        return;
    };
    let number = Value::Int(called.port.number.into());
    for port in &mut ports {
        if let Value::Map(port) = port
            && port.get("port") == Some(&number)
        {
            port.set("appProtocol", protocol);
        }
    }
    spec.set("ports", ports);
}

/// Namespaces of callers, each once.
pub(crate) fn namespaces(intent: &Intent<'_>, callers: &Callers<'_>) -> Vec<Name> {
    let workloads = intent.source.model.workloads();
    let all = callers.workloads.iter();
    let mut names: Vec<Name> = all
        .map(|id| workloads[id.index()].namespace.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Says that some callers go by other rules than the rest.
pub(crate) fn tell_apart(
    intent: &Intent<'_>,
    called: &Called<'_>,
    callers: &Callers<'_>,
    out: &mut Written,
) {
    let workloads = intent.source.model.workloads();
    let names = callers.workloads.iter();
    let names: Vec<String> = names.map(|id| workloads[id.index()].full_name()).collect();
    let first = callers.rules().and_then(|rules| rules.first());
    let rule = first.map_or(called.service.origin, |rule| rule.route.origin);
    let loss = Loss::new(
        Reach::Service(called.service.id),
        Area::Destination,
        rule,
        format!("rules for {} alone", names.join(", ")),
        "routes are for all callers of a Service, or for those of one namespace",
    );
    out.lose(
        loss.of_rule()
            .also(Area::Balance)
            .also(Area::Pool)
            .also(Area::Ejection)
            .nearest("they go by the rules of the other callers"),
    );
}

/// Routes for callers of a Service's port, in `namespace`.
fn route(
    intent: &Intent<'_>,
    called: &Called<'_>,
    callers: &Callers<'_>,
    namespace: &str,
    out: &mut Written,
) {
    let Some(rules) = callers.rules() else {
        return;
    };
    let service = called.service;
    let writer = Writer {
        source: intent.source,
        target: &TARGET,
        reader: Reader::Api,
        reach: Reach::Service(service.id),
        namespace: namespace.to_owned(),
    };
    let made = writer.rules(rules, out);
    let is_home = namespace == &*service.namespace;
    if is_home
        && let [only] = &made[..]
        && is_plain(&only.rule, &service.name, called.port.number)
    {
        // without a route requests go to the Service itself
        return;
    }
    let mut parent = Map::new()
        .with("group", "")
        .with("kind", "Service")
        .with("name", &*service.name);
    if !is_home {
        parent.set("namespace", &*service.namespace);
    }
    parent.set("port", called.port.number);
    let many_ports = service.ports.iter().filter(|port| !port.udp).count() > 1;
    let wanted = match many_ports {
        true => format!("{}-{}", service.name, called.port.number),
        false => service.name.to_string(),
    };
    let parts = split(made);
    let count = parts.len();
    for (nth, part) in parts.into_iter().enumerate() {
        let wanted = match count {
            1 => wanted.clone(),
            _ => format!("{wanted}-{:02}", nth + 1),
        };
        let name = out.free_name("HTTPRoute", namespace, &wanted);
        let mut object = Object::new(V1, "HTTPRoute", namespace, &name);
        for made in &part {
            object.comes_from(made.of.route.origin);
            for abroad in made.abroad.iter().filter(|it| **it != *service.namespace) {
                let who = Map::new()
                    .with("group", GROUP)
                    .with("kind", "HTTPRoute")
                    .with("namespace", namespace);
                let what = Map::new().with("group", "").with("kind", "Service");
                grant(abroad, &name, vec![who], what, out);
            }
        }
        let rules: Vec<Map> = part.into_iter().map(|made| made.rule).collect();
        let spec = Map::new()
            .with("parentRefs", vec![parent.clone()])
            .list("rules", rules);
        out.add(object.spec(spec));
    }
}

/// Whether a rule says no more than that all requests go to the Service itself.
pub(crate) fn is_plain(rule: &Map, service: &str, port: u16) -> bool {
    let own = Map::new().with("name", service).with("port", port);
    let mut fields = rule.iter();
    matches!((fields.next(), fields.next()), (Some(("backendRefs", Value::List(all))), None)
        if matches!(&all[..], [Value::Map(only)] if *only == own))
}
