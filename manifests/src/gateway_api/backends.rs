//! Where routes lead.

use super::grants::{self, Naming};
use super::read::{Api, RouteKind};
use super::references::Lookup;
use super::types::{BackendRef, text};
use crate::model::{ServiceId, ServicePort};

/// Why a backend cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum BackendProblem {
    /// It is of a kind that is not known.
    Kind,
    /// It is in another namespace, and no ReferenceGrant allows it.
    NotPermitted,
    /// There is no such Service, or it has no such port.
    NotFound,
    /// Its port's protocol does not fit the route.
    Protocol,
}

/// The Service and port that a route of `namespace` names.
///
/// # Errors
/// Why there is none.
pub fn find_backend(
    api: &Api,
    lookup: Lookup<'_>,
    (kind, namespace): (RouteKind, &str),
    backend: &BackendRef,
) -> Result<(ServiceId, u16), BackendProblem> {
    let is_service = matches!(text(&backend.group), None | Some(""))
        && matches!(text(&backend.kind), None | Some("Service"));
    if !is_service {
        return Err(BackendProblem::Kind);
    }
    let of = text(&backend.namespace).unwrap_or(namespace);
    let naming = Naming {
        from: grants::route(kind, namespace),
        to: ("", "Service", of, &backend.name),
    };
    if !grants::permits(&api.grants, naming) {
        return Err(BackendProblem::NotPermitted);
    }
    let mut services = lookup.services.iter();
    let service = services
        .find(|service| *service.namespace == *of && *service.name == *backend.name.value)
        .ok_or(BackendProblem::NotFound)?;
    let port = backend.port.as_ref().ok_or(BackendProblem::NotFound)?.value;
    let udp = kind == RouteKind::Udp;
    let has = |wanted: bool| {
        let fits = |it: &ServicePort| it.number == port && it.udp == wanted;
        service.ports.iter().any(fits)
    };
    match (has(udp), has(!udp)) {
        (true, _) => Ok((service.id, port)),
        (false, true) => Err(BackendProblem::Protocol),
        (false, false) => Err(BackendProblem::NotFound),
    }
}
