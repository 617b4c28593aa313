//! Which routes are attached to which listeners.

use super::hosts::{Host, intersection};
use super::listeners::{ListenerState, Owner};
use super::read::{Api, GROUP, RouteId, RouteRef};
use super::references::Lookup;
use super::resolve::{GatewayState, SetState};
use super::types::{self, From, Namespaces, ParentRef, text};
use crate::model::ServiceId;

/// A route on a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    /// Which route.
    pub route: RouteId,
    /// The hosts that both take; never empty.
    pub hosts: Vec<Host>,
}

/// A route and its parents.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// Which route.
    pub id: RouteId,
    /// Those of its parents that are known, in their order.
    pub parents: Vec<ParentState>,
}

/// What came of a route's wish for a parent.
#[derive(Clone, Debug)]
pub struct ParentState {
    /// Its place in `parentRefs`.
    pub at: usize,
    /// Who it is.
    pub parent: Parent,
    /// Why the route is not attached there.
    pub refusal: Option<RouteRefusal>,
}

/// A parent of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Parent {
    /// A Gateway, by its place in [`Api`].
    Gateway(usize),
    /// A set of listeners, by its place in [`Api`].
    Set(usize),
    /// A Service (GAMMA).
    Service(ServiceId),
}

/// Why a route is not attached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum RouteRefusal {
    /// The parent has no listener of that name and port.
    NoMatchingParent,
    /// Its listeners do not take the route's kind or namespace.
    NotAllowed,
    /// No listener shares a host with it.
    NoSharedHost,
}

impl RouteState {
    /// Attaches a route to the listeners of all its parents.
    pub(super) fn attach(
        route: RouteRef<'_>,
        api: &Api,
        lookup: Lookup<'_>,
        gateways: &mut [GatewayState],
        sets: &[SetState],
    ) -> Self {
        let mut parents = Vec::new();
        for (at, reference) in route.parents.iter().enumerate() {
            let Some(parent) = find_parent(route, reference, api, lookup, gateways, sets) else {
                continue;
            };
            let asking = Asking {
                route,
                reference,
                api,
                lookup,
            };
            let refusal = match parent {
                Parent::Gateway(at) => {
                    let gateway = gateways.iter_mut().find(|state| state.at == at);
                    gateway.and_then(|state| {
                        asking.attach_to(&mut state.listeners, Owner::Gateway, at)
                    })
                }
                Parent::Set(at) => {
                    let set = sets.iter().find(|set| set.at == at);
                    let gateway = set.filter(|set| set.is_allowed).map(|set| set.gateway);
                    match gateway {
                        None => Some(RouteRefusal::NoMatchingParent),
                        Some(of) => {
                            let gateway = gateways.iter_mut().find(|state| state.at == of);
                            gateway.and_then(|state| {
                                asking.attach_to(&mut state.listeners, Owner::Set(at), of)
                            })
                        }
                    }
                }
                Parent::Service(id) => {
                    let service = &lookup.services[id.index()];
                    let lacks = |port: u16| service.ports.iter().all(|it| it.number != port);
                    let port = reference.port.as_ref().map(|port| port.value);
                    port.is_some_and(lacks)
                        .then_some(RouteRefusal::NoMatchingParent)
                }
            };
            parents.push(ParentState {
                at,
                parent,
                refusal,
            });
        }
        Self {
            id: route.id,
            parents,
        }
    }
}

/// The parent that is meant; none: it is not there, or not one of those that are known.
fn find_parent(
    route: RouteRef<'_>,
    reference: &ParentRef,
    api: &Api,
    lookup: Lookup<'_>,
    gateways: &[GatewayState],
    sets: &[SetState],
) -> Option<Parent> {
    let namespace = text(&reference.namespace).unwrap_or(&route.key.namespace);
    let named = |key: &crate::load::ObjectKey| {
        key.name == reference.name.value && key.namespace == namespace
    };
    let kind = text(&reference.kind).unwrap_or("Gateway");
    match (text(&reference.group).unwrap_or(GROUP), kind) {
        (GROUP, "Gateway") => {
            let mut states = gateways.iter();
            let state = states.find(|state| named(&api.gateways[state.at].key))?;
            Some(Parent::Gateway(state.at))
        }
        (_, "ListenerSet" | "XListenerSet") => {
            let mut states = sets.iter();
            let state = states.find(|state| named(&api.sets[state.at].key))?;
            Some(Parent::Set(state.at))
        }
        ("" | "core", "Service") => {
            let mut services = lookup.services.iter();
            let service = services.find(|service| {
                *service.name == *reference.name.value && *service.namespace == *namespace
            })?;
            Some(Parent::Service(service.id))
        }
        _ => None,
    }
}

/// A route before its parent.
struct Asking<'a> {
    route: RouteRef<'a>,
    reference: &'a ParentRef,
    api: &'a Api,
    lookup: Lookup<'a>,
}

impl Asking<'_> {
    /// Attaches the route to those listeners of `owner` that take it.
    fn attach_to(
        &self,
        listeners: &mut [ListenerState],
        owner: Owner,
        gateway: usize,
    ) -> Option<RouteRefusal> {
        let mut refusal = RouteRefusal::NoMatchingParent;
        let hosts: Vec<Host> = self
            .route
            .hostnames
            .iter()
            .map(|host| Host::of(Some(&host.value)))
            .collect();
        let mut is_attached = false;
        for listener in listeners.iter_mut().filter(|it| it.owner == owner) {
            if !self.means(listener) {
                continue;
            }
            refusal = refusal.max(RouteRefusal::NotAllowed);
            if !self.is_allowed(listener, gateway) {
                continue;
            }
            refusal = refusal.max(RouteRefusal::NoSharedHost);
            let shared = intersection(&listener.host, &hosts);
            if shared.is_empty() {
                continue;
            }
            is_attached = true;
            let id = self.route.id;
            // a route may name a listener twice, by its name and by its port
            if listener.attached.iter().all(|it| it.route != id) {
                listener.attached.push(Attachment {
                    route: id,
                    hosts: shared,
                });
            }
        }
        (!is_attached).then_some(refusal)
    }

    fn means(&self, listener: &ListenerState) -> bool {
        let by_name = text(&self.reference.section_name);
        let by_port = self.reference.port.as_ref().map(|port| port.value);
        by_name.is_none_or(|name| *listener.name == *name)
            && by_port.is_none_or(|port| listener.port == port)
    }

    fn is_allowed(&self, listener: &ListenerState, gateway: usize) -> bool {
        let (spec, namespace): (&types::Listener, &str) = match listener.owner {
            Owner::Gateway => {
                let gateway = &self.api.gateways[gateway];
                (&gateway.spec.listeners[listener.at], &gateway.key.namespace)
            }
            Owner::Set(at) => {
                let set = &self.api.sets[at];
                (&set.spec.listeners[listener.at], &set.key.namespace)
            }
        };
        let namespaces = spec.allowed_routes.as_ref();
        let namespaces = namespaces.and_then(|routes| routes.namespaces.as_ref());
        listener.kinds.contains(&self.route.id.kind)
            && takes(
                namespaces,
                From::Same,
                (namespace, &self.route.key.namespace),
                self.lookup,
            )
    }
}

/// Whether an object of `own` takes those of `theirs`; where nothing is written, as `unwritten` says.
pub(super) fn takes(
    namespaces: Option<&Namespaces>,
    unwritten: From,
    (own, theirs): (&str, &str),
    lookup: Lookup<'_>,
) -> bool {
    let from = namespaces.and_then(|it| it.from.as_ref());
    match from.map_or(unwritten, |from| from.value) {
        From::All => true,
        From::Same => own == theirs,
        From::None => false,
        From::Selector => {
            let selector = namespaces.and_then(|it| it.selector.as_ref());
            selector.is_some_and(|it| it.takes(|key| lookup.namespace_label(theirs, key)))
        }
    }
}
