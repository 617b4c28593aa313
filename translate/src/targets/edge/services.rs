//! Destinations as Services: one of some pods of a Service is a Service of its own.

use manifests::model::{NodeRef, ServiceId};
use proxy_core::config::Name;

use super::flat::Flat;
use super::hosts::Domain;
use crate::intent::{Destination, Intent, Leads};
use crate::object::{Object, Subset, Written};
use crate::yaml::Map;

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
}

/// The Service of these pods, made where they are some of a Service's; none: that Service has no selector.
pub(crate) fn of_pods(
    intent: &Intent<'_>,
    pods: &Pods<'_>,
    written: &mut Written,
) -> Option<Named> {
    let service = intent.source.service(pods.service);
    let name = if pods.labels.is_empty() {
        service.name.to_string()
    } else if service.selector.is_empty() {
        return None;
    } else {
        let labels = pods.labels.iter();
        let labels = labels.map(|(key, value)| (key.to_string(), value.to_string()));
        written.subset(service, &labels.collect::<Vec<_>>())
    };
    Some(Named {
        service: pods.service,
        namespace: service.namespace.to_string(),
        name,
        port: pods.port,
        by_address: false,
    })
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
/// behind it.
pub(crate) fn stand_in(
    intent: &Intent<'_>,
    rule: &super::flat::Rule<'_>,
    flat: &Flat<'_>,
    written: &mut Written,
) -> Named {
    let own = flat.rules.iter().filter(|it| it.domains == rule.domains);
    let candidates = own.chain(&flat.rules).flat_map(|it| &it.of.to);
    for to in candidates {
        if let Some(found) = named(intent, to, written) {
            return found;
        }
    }
    let namespace = flat.gateway.facts.namespace.to_string();
    let name = "nobody";
    if written.find("Service", &namespace, name).is_none() {
        let port = Map::new().with("port", 80_u16);
        let spec = Map::new().with("ports", vec![port]);
        written.add(Object::new("v1", "Service", &namespace, name).spec(spec));
    }
    Named {
        service: ServiceId(u32::MAX),
        namespace,
        name: name.to_owned(),
        port: 80,
        by_address: false,
    }
}

/// Another Service with the same pods, for systems that keep what is said of a Service by its name.
pub(crate) fn copy(of: &Named, suffix: &str, written: &mut Written) -> Named {
    let wanted = format!("{}-{suffix}", of.name);
    let name = written.free_name("Service", &of.namespace, &wanted);
    let mut object = match written.find("Service", &of.namespace, &of.name) {
        Some(whole) => whole.clone(),
        None => return of.clone(),
    };
    object.name.clone_from(&name);
    object.place = String::new();
    let spec = object.body.under("spec");
    for own in [
        "clusterIP",
        "clusterIPs",
        "externalIPs",
        "loadBalancerIP",
        "type",
    ] {
        spec.remove(own);
    }
    written.add(object);
    // it counts as what it is a copy of
    let subset = written
        .subsets
        .iter()
        .find(|it| it.service == of.service && it.name == of.name);
    let labels = subset.map(|it| it.labels.clone()).unwrap_or_default();
    written.subsets.push(Subset {
        name: name.clone(),
        service: of.service,
        labels,
    });
    Named { name, ..of.clone() }
}
