//! What Ingresses have alike, whoever serves them: where their backends lead, and the older name of their class.

mod hosts;

pub(crate) use hosts::{ANY_HOST, HostRoutes, route_table};

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::kubernetes::{Backend, PortRef};
use crate::load::Object;
use crate::model::{Service, ServiceId, TargetPort};

/// The older way to name an Ingress's class.
pub(crate) const CLASS: &str = "kubernetes.io/ingress.class";
/// Makes a class that of Ingresses without one.
pub(crate) const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// A port of a Service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) struct ServicePortId {
    /// The Service.
    pub(crate) service: ServiceId,
    /// Its port.
    pub(crate) port: u16,
}

/// The Service and port of a backend of an Ingress in `namespace`; one that is not there is an error.
pub(crate) fn backend(
    backend: &Backend,
    namespace: &str,
    services: &[Service],
    out: &mut Diagnostics,
) -> Option<ServicePortId> {
    let here = || services.iter().filter(|it| *it.namespace == *namespace);
    let Some(service) = here().find(|it| *it.name == *backend.service.value) else {
        let message = format!(
            "no Service `{}` in namespace `{namespace}`",
            backend.service
        );
        out.push(
            Diagnostic::error("ingress::unknown-service", message)
                .label(backend.service.span, "asked for here")
                .maybe_help(did_you_mean(&backend.service, here().map(|it| &*it.name))),
        );
        return None;
    };
    let Some(port) = port(service, &backend.port.value) else {
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|port| match &port.name {
                Some(name) => format!("`{}` ({name})", port.number),
                None => format!("`{}`", port.number),
            })
            .collect();
        out.push(
            Diagnostic::error(
                "ingress::unknown-port",
                format!("Service `{}` has no such port", service.name),
            )
            .label(backend.port.span, "this port")
            .label(service.span, "the Service")
            .help(format!("it has {}", ports.join(", "))),
        );
        return None;
    };
    Some(ServicePortId {
        service: service.id,
        port,
    })
}

/// By number, by name, or by what is dialled on pods.
fn port(service: &Service, wanted: &PortRef) -> Option<u16> {
    let by_target = |port: &&crate::model::ServicePort| match (&port.target, wanted) {
        (TargetPort::Number(target), PortRef::Number(wanted)) => target == wanted,
        (TargetPort::Named(target), PortRef::Name(wanted)) => **target == **wanted,
        (TargetPort::Number(_), PortRef::Name(_)) | (TargetPort::Named(_), PortRef::Number(_)) => {
            false
        }
    };
    let own = match wanted {
        PortRef::Number(number) => service.port(*number),
        PortRef::Name(name) => service.port_named(name),
    };
    let own = own.or_else(|| service.ports.iter().filter(|it| !it.udp).find(by_target));
    own.map(|port| port.number)
}

/// The name of an Ingress's class, as it is written.
pub(crate) fn class_of(object: &Object) -> Option<&str> {
    let written = object.node.at("spec.ingressClassName");
    let written = written.and_then(|node| node.as_str());
    written.or_else(|| object.annotation(CLASS).map(|class| class.value))
}

/// The controller of a class that has an object.
pub(crate) fn controller_of(class: &Object) -> Option<&str> {
    class
        .node
        .at("spec.controller")
        .and_then(|node| node.as_str())
}

/// Whether a class is that of Ingresses without one.
pub(crate) fn is_default(class: &Object) -> bool {
    class
        .annotation(IS_DEFAULT)
        .is_some_and(|flag| flag.value == "true")
}
