//! The `.status` that a controller would write.
//!
//! Conditions and their reasons are those of `apis/v1/gateway_types.go`, `httproute_types.go`, `shared_types.go`, `listenerset_types.go` and
//! `backendtlspolicy_types.go`. Times and addresses are for the caller to put in: [`ObjectStatus::stamp`], [`ObjectStatus::listens_at`].

mod gateways;
mod policies;
mod routes;
mod stamps;

use serde::Serialize;

pub use stamps::Stamps;

use super::read::{Api, Item};
use super::references::Lookup;
use super::resolve::{ControllerSeen, Resolved};
use crate::load::ObjectKey;

/// The controller of Gateways whose class is not there.
const CONTROLLER: &str = "windtunnel.dev/gateway-controller";

/// An object with its status, as it is written.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    api_version: String,
    kind: String,
    metadata: Meta,
    status: Status,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Meta {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    generation: i64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
enum Status {
    Class(ClassStatus),
    Gateway(GatewayStatus),
    Set(SetStatus),
    Route(RouteStatus),
    Policy(PolicyStatus),
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ClassStatus {
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayStatus {
    addresses: Vec<Address>,
    conditions: Vec<Condition>,
    listeners: Vec<ListenerStatus>,
    attached_listener_sets: usize,
    /// Addresses that it asks for, and what would be said of a Gateway that has them.
    #[serde(skip)]
    asked: Option<(Vec<String>, Condition)>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct SetStatus {
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listeners: Vec<ListenerStatus>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct RouteStatus {
    parents: Vec<ParentStatus>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct PolicyStatus {
    ancestors: Vec<AncestorStatus>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Address {
    r#type: &'static str,
    value: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListenerStatus {
    name: String,
    supported_kinds: Vec<SupportedKind>,
    attached_routes: usize,
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct SupportedKind {
    group: &'static str,
    kind: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ParentStatus {
    parent_ref: Reference,
    controller_name: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AncestorStatus {
    ancestor_ref: Reference,
    controller_name: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

/// A condition.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
    observed_generation: i64,
    last_transition_time: String,
}

impl Condition {
    fn new(
        of: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
        generation: i64,
    ) -> Self {
        Self {
            r#type: of,
            status: if holds { "True" } else { "False" },
            reason,
            message: message.into(),
            observed_generation: generation,
            last_transition_time: String::new(),
        }
    }
}

impl ObjectStatus {
    fn new<T>(item: &Item<T>, status: Status) -> Self {
        let ObjectKey {
            group: _,
            kind,
            namespace,
            name,
        } = item.key.clone();
        Self {
            api_version: item.api_version.clone(),
            kind,
            metadata: Meta {
                name,
                namespace,
                generation: item.generation,
            },
            status,
        }
    }

    /// Whether it is a Gateway, and which: `namespace/name`.
    #[must_use]
    pub fn gateway(&self) -> Option<String> {
        let name = || format!("{}/{}", self.metadata.namespace, self.metadata.name);
        matches!(self.status, Status::Gateway(_)).then(name)
    }

    /// Says where a Gateway listens. One that asks for addresses is programmed where it has all of them.
    pub fn listens_at(&mut self, addresses: impl IntoIterator<Item = std::net::IpAddr>) {
        let Status::Gateway(status) = &mut self.status else {
            return;
        };
        let addresses = addresses.into_iter().map(|ip| Address {
            r#type: "IPAddress",
            value: ip.to_string(),
        });
        status.addresses = addresses.collect();
        let Some((asked, programmed)) = &status.asked else {
            return;
        };
        let has = |wanted: &String| {
            let wanted = wanted.parse::<std::net::IpAddr>();
            let wanted = wanted.map(|ip| ip.to_string());
            wanted.is_ok_and(|wanted| status.addresses.iter().any(|it| it.value == wanted))
        };
        if asked.iter().all(has) {
            let mut conditions = status.conditions.iter_mut();
            if let Some(said) = conditions.find(|it| it.r#type == programmed.r#type) {
                said.clone_from(programmed);
            }
        }
    }

    /// Every condition, with what tells it apart from its like.
    fn conditions(&mut self) -> Vec<(String, &mut Condition)> {
        fn under<'a>(
            of: &str,
            conditions: &'a mut [Condition],
        ) -> impl Iterator<Item = (String, &'a mut Condition)> {
            conditions
                .iter_mut()
                .map(move |it| (format!("{of} {}", it.r#type), it))
        }
        let mut found = Vec::new();
        match &mut self.status {
            Status::Class(status) => found.extend(under("", &mut status.conditions)),
            Status::Gateway(status) => {
                found.extend(under("", &mut status.conditions));
                for listener in &mut status.listeners {
                    found.extend(under(&listener.name, &mut listener.conditions));
                }
            }
            Status::Set(status) => {
                found.extend(under("", &mut status.conditions));
                for listener in &mut status.listeners {
                    found.extend(under(&listener.name, &mut listener.conditions));
                }
            }
            Status::Route(status) => {
                for parent in &mut status.parents {
                    let of = parent.parent_ref.place();
                    found.extend(under(&of, &mut parent.conditions));
                }
            }
            Status::Policy(status) => {
                for ancestor in &mut status.ancestors {
                    let of = ancestor.ancestor_ref.place();
                    found.extend(under(&of, &mut ancestor.conditions));
                }
            }
        }
        found
    }
}

impl Reference {
    fn place(&self) -> String {
        let section = self.section_name.as_deref().unwrap_or_default();
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        let (kind, namespace, name) = (&self.kind, &self.namespace, &self.name);
        format!("{kind}/{namespace}/{name}/{section}/{port}")
    }
}

impl ControllerSeen {
    fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::NoClass => CONTROLLER,
        }
    }
}

/// Every object that is served, or would be, with its status.
#[must_use]
pub fn statuses(api: &Api, resolved: &Resolved, lookup: Lookup<'_>) -> Vec<ObjectStatus> {
    let classes = resolved.classes.iter().map(|state| {
        let item = &api.classes[state.at];
        let message = "Gateways of this class are served";
        let accepted = Condition::new("Accepted", true, "Accepted", message, item.generation);
        let status = ClassStatus {
            conditions: vec![accepted],
        };
        ObjectStatus::new(item, Status::Class(status))
    });
    let mut all: Vec<ObjectStatus> = classes.collect();
    all.extend(gateways::gateways(api, resolved));
    all.extend(gateways::sets(api, resolved));
    all.extend(routes::routes(api, resolved, lookup));
    all.extend(policies::policies(api, resolved, lookup));
    all
}
