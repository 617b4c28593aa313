//! From what people wrote to what it means.

use std::collections::BTreeMap;

use proxy_core::config::Name;

use super::attach::{RouteState, takes};
use super::backends::{BackendProblem, find_backend};
use super::listeners::{Bringer, ListenerState, Owner, Shared, find_conflicts};
use super::policies::{self, PolicyState};
use super::read::{Api, GROUP, RouteId};
use super::references::{Lookup, Namer, ReferenceProblem};
use super::types::{self, BackendRef, From, text};
use crate::model::ServiceId;

/// What everything comes to.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Every class, in the order of [`Api`].
    pub classes: Vec<ClassState>,
    /// The Gateways that are served, from the oldest to the youngest.
    pub gateways: Vec<GatewayState>,
    /// The sets whose Gateway is served, from the oldest to the youngest.
    pub sets: Vec<SetState>,
    /// Every route.
    pub routes: Vec<RouteState>,
    /// Every policy of backends.
    pub policies: Vec<PolicyState>,
}

/// A class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassState {
    /// Its place in [`Api`].
    pub at: usize,
    /// Who serves its Gateways.
    pub controller: String,
}

/// Whether a Gateway's controller is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControllerSeen {
    /// Its class names it.
    Named(String),
    /// The manifests have no such class.
    NoClass,
}

/// A Gateway as it came out.
#[derive(Clone, Debug)]
pub struct GatewayState {
    /// Its place in [`Api`].
    pub at: usize,
    /// Who serves it.
    pub controller: ControllerSeen,
    /// Its own listeners in their order, then those of sets.
    pub listeners: Vec<ListenerState>,
    /// What is wrong with the Gateway itself.
    pub problems: Vec<GatewayProblem>,
    /// The Secret with the certificate that backends are shown.
    pub client_certificate: Option<Name>,
}

/// What is wrong with a Gateway itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum GatewayProblem {
    /// It names parameters of a kind that is not known.
    Parameters,
    /// It asks for an address of a type that is not known.
    AddressType,
    /// It asks for an address that it cannot have.
    AddressUnusable,
    /// The certificate that backends would be shown.
    ClientCertificate(ReferenceProblem),
}

impl GatewayState {
    /// Whether a controller would accept it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        let soft = |it: &GatewayProblem| {
            matches!(
                it,
                GatewayProblem::ClientCertificate(_) | GatewayProblem::AddressUnusable
            )
        };
        self.problems.iter().all(soft)
    }
}

/// A set as it came out.
#[derive(Clone, Debug)]
pub struct SetState {
    /// Its place in [`Api`].
    pub at: usize,
    /// Its Gateway, by its place in [`Api`].
    pub gateway: usize,
    /// Whether that one takes it.
    pub is_allowed: bool,
}

impl Resolved {
    /// Resolves the Gateways of those classes that `serves` takes, by the name of their controller, and everything that belongs to them.
    pub fn new(api: &Api, lookup: Lookup<'_>, serves: impl Fn(Option<&str>) -> bool) -> Self {
        let classes: Vec<ClassState> = api
            .classes
            .iter()
            .enumerate()
            .map(|(at, class)| ClassState {
                at,
                controller: class.spec.controller_name.value.clone(),
            })
            .collect();
        let controller_of = |gateway: &types::Gateway| {
            let mut named = api.classes.iter().zip(&classes);
            let class = named.find(|(it, _)| it.key.name == gateway.gateway_class_name.value);
            class.map(|(_, class)| class.controller.clone())
        };
        let mut resolved = Self {
            classes: classes.clone(),
            policies: policies::resolve(api, lookup),
            ..Self::default()
        };
        for (at, gateway) in api.gateways.iter().enumerate() {
            let controller = controller_of(&gateway.spec);
            if serves(controller.as_deref()) {
                resolved.gateways.push(self::gateway(
                    api,
                    lookup,
                    at,
                    controller.map_or(ControllerSeen::NoClass, ControllerSeen::Named),
                ));
            }
        }
        resolved.add_sets(api, lookup);
        for gateway in &mut resolved.gateways {
            find_conflicts(&mut gateway.listeners);
        }
        for route in api.routes() {
            let state =
                RouteState::attach(route, api, lookup, &mut resolved.gateways, &resolved.sets);
            resolved.routes.push(state);
        }
        resolved
    }

    /// Attaches sets of listeners to their Gateways.
    fn add_sets(&mut self, api: &Api, lookup: Lookup<'_>) {
        for (at, set) in api.sets.iter().enumerate() {
            let parent = &set.spec.parent_ref;
            let is_gateway = text(&parent.group).is_none_or(|group| group == GROUP)
                && text(&parent.kind).is_none_or(|kind| kind == "Gateway");
            let namespace = text(&parent.namespace).unwrap_or(&set.key.namespace);
            let mut gateways = self.gateways.iter_mut().filter(|_| is_gateway);
            let gateway = gateways.find(|state| {
                let key = &api.gateways[state.at].key;
                key.name == parent.name.value && key.namespace == namespace
            });
            let Some(gateway) = gateway else {
                continue;
            };
            let of = &api.gateways[gateway.at];
            let allowed = of.spec.allowed_listeners.as_ref();
            let allowed = allowed.and_then(|it| it.namespaces.as_ref());
            let is_allowed = takes(
                allowed,
                From::None,
                (&of.key.namespace, &set.key.namespace),
                lookup,
            );
            self.sets.push(SetState {
                at,
                gateway: gateway.at,
                is_allowed,
            });
            if is_allowed {
                let shared = Shared {
                    api,
                    lookup,
                    gateway: &of.spec,
                    namespace: &of.key.namespace,
                };
                gateway.listeners.extend(shared.listeners(&Bringer {
                    owner: Owner::Set(at),
                    namespace: &set.key.namespace,
                    listeners: &set.spec.listeners,
                }));
            }
        }
    }

    /// The policy that a port of a Service, by its name, is known by.
    #[must_use]
    pub fn policy_for(&self, service: ServiceId, port: Option<&str>) -> Option<&PolicyState> {
        policies::policy_for(&self.policies, service, port)
    }

    /// Why backends of a route cannot be reached, each problem once, with the backend that has it first.
    #[must_use]
    pub fn backend_problems<'a>(
        api: &'a Api,
        lookup: Lookup<'_>,
        route: RouteId,
    ) -> BTreeMap<BackendProblem, &'a BackendRef> {
        let namespace = &api.route(route).key.namespace;
        let mut found = BTreeMap::new();
        for backend in api.backends(route) {
            if let Err(problem) = find_backend(api, lookup, (route.kind, namespace), backend) {
                found.entry(problem).or_insert(backend);
            }
        }
        found
    }
}

fn gateway(api: &Api, lookup: Lookup<'_>, at: usize, controller: ControllerSeen) -> GatewayState {
    let item = &api.gateways[at];
    let spec = &item.spec;
    let namespace = item.key.namespace.as_str();
    let mut problems = Vec::new();
    if spec
        .infrastructure
        .as_ref()
        .is_some_and(|it| it.parameters_ref.is_some())
    {
        problems.push(GatewayProblem::Parameters);
    }
    for address in &spec.addresses {
        match text(&address.r#type).unwrap_or("IPAddress") {
            "IPAddress" => {
                let value = text(&address.value);
                // where it listens is for the machine to say, not for the manifest
                if value.is_some_and(|value| !value.is_empty()) {
                    problems.push(GatewayProblem::AddressUnusable);
                }
            }
            _ => problems.push(GatewayProblem::AddressType),
        }
    }
    let shown = spec.tls.as_ref();
    let shown = shown.and_then(|tls| tls.backend.as_ref()?.client_certificate_ref.as_ref());
    let namer = Namer {
        kind: "Gateway",
        namespace,
    };
    let shown = shown.map(|reference| lookup.certificate(api, reference, namer));
    let client_certificate = match shown {
        None => None,
        Some(Ok(name)) => Some(name),
        Some(Err(problem)) => {
            problems.push(GatewayProblem::ClientCertificate(problem));
            None
        }
    };
    let shared = Shared {
        api,
        lookup,
        gateway: spec,
        namespace,
    };
    problems.dedup();
    GatewayState {
        at,
        controller,
        listeners: shared.listeners(&Bringer {
            owner: Owner::Gateway,
            namespace,
            listeners: &spec.listeners,
        }),
        problems,
        client_certificate,
    }
}
