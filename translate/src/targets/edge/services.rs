//! Destinations as Services: one of some pods of a Service is a Service of its own.

use std::collections::BTreeMap;

use manifests::model::{NodeRef, Service, ServiceId, TargetPort};
use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::flat::Flat;
use super::hosts::Domain;
use crate::intent::{Destination, Intent, Leads};
use crate::object::{Object, Written, dns_name};
use crate::yaml::{Map, Value};

/// A Service's port as rules name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) struct Named {
    /// The Service that it is, or whose pods it has some of.
    pub(crate) service: ServiceId,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its port.
    pub(crate) port: u16,
    /// The Service's own address is dialled.
    pub(crate) by_address: bool,
}

/// The Service of a destination, made where it is some of a Service's pods; none: it leads to no Service that can be named.
pub(crate) fn named(
    intent: &Intent<'_>,
    to: &Destination<'_>,
    written: &mut Written,
) -> Option<Named> {
    let Leads::Service {
        service,
        port,
        labels,
        by_address,
    } = &to.leads
    else {
        return None;
    };
    let pods = Pods {
        service: *service,
        port: *port,
        labels,
        rule: to.weighted.map(|it| it.origin),
    };
    let found = of_pods(intent, &pods, written)?;
    Some(Named {
        by_address: *by_address,
        ..found
    })
}

/// Pods behind a Service's port.
pub(crate) struct Pods<'a> {
    /// The Service.
    pub(crate) service: ServiceId,
    /// Its port.
    pub(crate) port: u16,
    /// Labels that they have besides; empty: all of its pods.
    pub(crate) labels: &'a [(Name, Name)],
    /// The rule that asks for them.
    pub(crate) rule: Option<OriginId>,
}

/// The Service of these pods, made where there is none; none: the Service that they are some of has no selector.
pub(crate) fn of_pods(
    intent: &Intent<'_>,
    pods: &Pods<'_>,
    written: &mut Written,
) -> Option<Named> {
    let service = intent.source.service(pods.service);
    let named = |name: &str| Named {
        service: pods.service,
        namespace: service.namespace.to_string(),
        name: name.to_owned(),
        port: pods.port,
        by_address: false,
    };
    if pods.labels.is_empty() {
        return Some(named(&service.name));
    }
    if service.selector.is_empty() {
        return None;
    }
    let mut selector: BTreeMap<Name, Name> = service.selector.clone();
    selector.extend(pods.labels.iter().cloned());
    let target = |of: &Service| of.port(pods.port).map(|it| it.target.clone());
    let same = |other: &&Service| {
        other.namespace == service.namespace
            && other.selector == selector
            && target(other) == target(service)
    };
    if let Some(there) = intent.source.model.services().iter().find(same) {
        return Some(named(&there.name));
    }
    let values: Vec<&str> = pods.labels.iter().map(|(_, value)| &**value).collect();
    let wanted = dns_name(&format!("{}-{}", service.name, values.join("-")));
    let spec = spec(service, &selector);
    // annotations that were put on it since are of no account
    let made = written.objects.iter().find(|it| {
        it.kind == "Service"
            && *it.namespace == *service.namespace
            && it.name.starts_with(&wanted)
            && it.body.get("spec") == Some(&Value::Map(spec.clone()))
    });
    if let Some(made) = made {
        return Some(named(&made.name));
    }
    let name = written.free_name("Service", &service.namespace, &wanted);
    let object = Object::new("v1", "Service", &service.namespace, &name)
        .spec(spec)
        .from(pods.rule.unwrap_or(service.origin));
    written.add(object);
    Some(named(&name))
}

/// The Secret with the certificate of a host, by its name; where it is of another namespace than the object that names it, that is told.
pub(crate) fn secret(
    intent: &Intent<'_>,
    flat: &Flat<'_>,
    host: &Domain,
    namespace: &str,
    written: &mut Written,
) -> Option<String> {
    let shown = flat.certificate(host)?;
    let node = NodeRef::Gateway(flat.gateway.id);
    let known = intent.source.model.credential(node, &shown.certificate);
    let name = match known {
        Some(known) => known.pairs.first()?.clone(),
        None => shown.certificate.clone(),
    };
    let (of, name) = name.split_once('/')?;
    if of != namespace {
        written.note(format!(
            "copy the Secret `{of}/{name}` to the namespace `{namespace}`: its certificate is named there"
        ));
    }
    Some(name.to_owned())
}

/// A Service for rules that the gateway answers itself: one that the host's other rules lead to, else any of the gateway's, else one with nobody
/// behind it; with its namespace and port.
pub(crate) fn stand_in(
    intent: &Intent<'_>,
    rule: &super::flat::Rule<'_>,
    flat: &Flat<'_>,
    written: &mut Written,
) -> (String, String, u16) {
    let own = flat.rules.iter().filter(|it| it.domains == rule.domains);
    let candidates = own.chain(&flat.rules).flat_map(|it| &it.of.to);
    for to in candidates {
        if let Some(found) = named(intent, to, written) {
            return (found.namespace, found.name, found.port);
        }
    }
    let namespace = flat.gateway.facts.namespace.to_string();
    let name = "nobody";
    if written.find("Service", &namespace, name).is_none() {
        let port = Map::new().with("port", 80_u16);
        let spec = Map::new().with("ports", vec![port]);
        written.add(Object::new("v1", "Service", &namespace, name).spec(spec));
    }
    (namespace, name.to_owned(), 80)
}

/// A Service of some pods, with the ports of all of them.
fn spec(service: &Service, selector: &BTreeMap<Name, Name>) -> Map {
    let mut labels = Map::new();
    for (key, value) in selector {
        labels.set(key, &**value);
    }
    let ports = service.ports.iter().map(|port| {
        let target: Value = match &port.target {
            TargetPort::Number(number) => (*number).into(),
            TargetPort::Named(name) => (&**name).into(),
        };
        Map::new()
            .maybe("name", port.name.as_deref())
            .maybe("protocol", port.udp.then_some("UDP"))
            .maybe("appProtocol", port.app_protocol.as_deref())
            .with("port", port.number)
            .with("targetPort", target)
    });
    Map::new()
        .with("selector", labels)
        .with("ports", ports.collect::<Vec<_>>())
}
