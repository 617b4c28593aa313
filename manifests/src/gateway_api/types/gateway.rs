//! Who serves, and where.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ObjectRef, ParentRef};
use crate::text::{Present, Spanned};

/// `GatewayClass.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClass {
    /// Who serves Gateways of this class.
    pub controller_name: Spanned<String>,
    /// More settings, in a kind of the controller's own.
    #[serde(default)]
    pub parameters_ref: Option<Present>,
    /// For people.
    #[serde(default)]
    pub description: Option<Present>,
}

/// `Gateway.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Its class.
    pub gateway_class_name: Spanned<String>,
    /// Where it listens.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Addresses that it asks for.
    #[serde(default)]
    pub addresses: Vec<Addresses>,
    /// What its pods get.
    #[serde(default)]
    pub infrastructure: Option<Infrastructure>,
    /// Whose ListenerSets it takes; none: nobody's.
    #[serde(default)]
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS in both directions.
    #[serde(default)]
    pub tls: Option<GatewayTls>,
    /// Whether routes without parents are its own.
    #[serde(default)]
    pub default_scope: Option<Present>,
}

/// `ListenerSet.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSet {
    /// Its Gateway.
    pub parent_ref: ParentRef,
    /// Where it listens.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

/// A listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique in its object.
    pub name: Spanned<String>,
    /// Hosts that it takes; none: any.
    #[serde(default)]
    pub hostname: Option<Spanned<String>>,
    /// Port.
    pub port: Spanned<u16>,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or one of the controller's own.
    pub protocol: Spanned<String>,
    /// Its end of TLS.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Whose routes it takes.
    #[serde(default)]
    pub allowed_routes: Option<AllowedRoutes>,
}

/// A listener's end of TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// `Terminate` or `Passthrough`; none: the former.
    pub mode: Option<Spanned<String>>,
    /// Secrets with certificate and key.
    pub certificate_refs: Vec<ObjectRef>,
    /// Settings of the controller's own.
    pub options: Option<Present>,
    /// As older releases wrote what clients must show.
    pub frontend_validation: Option<Validation>,
}

/// Whose routes a listener takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From where.
    pub namespaces: Option<Namespaces>,
    /// Of which kinds; none: all that fit the protocol.
    pub kinds: Vec<RouteGroupKind>,
}

/// Whose ListenerSets a Gateway takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// From where.
    pub namespaces: Option<Namespaces>,
}

/// Namespaces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Which.
    pub from: Option<Spanned<From>>,
    /// For [`From::Selector`].
    pub selector: Option<Selector>,
}

/// Which namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum From {
    /// Every one.
    All,
    /// Those whose labels fit.
    Selector,
    /// The object's own.
    Same,
    /// None.
    None,
}

/// What labels must be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// All of these.
    pub match_labels: BTreeMap<Spanned<String>, Spanned<String>>,
    /// All of these.
    pub match_expressions: Vec<Requirement>,
}

/// A demand on a label.
#[derive(Clone, Debug, Deserialize)]
pub struct Requirement {
    /// Which label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Spanned<Operator>,
    /// For the first two.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It has none of them, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether labels, asked for by key, fit.
    pub fn takes<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let equal = self
            .match_labels
            .iter()
            .all(|(key, value)| label(key) == Some(value.as_str()));
        equal
            && self.match_expressions.iter().all(|asked| {
                let value = label(&asked.key);
                let listed = value.is_some_and(|value| asked.values.iter().any(|it| it == value));
                match asked.operator.value {
                    Operator::In => listed,
                    Operator::NotIn => !listed,
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
    }
}

/// A kind of route.
#[derive(Clone, Debug, Deserialize)]
pub struct RouteGroupKind {
    /// API group; none: the Gateway API.
    #[serde(default)]
    pub group: Option<Spanned<String>>,
    /// Kind.
    pub kind: Spanned<String>,
}

/// An address that a Gateway asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Addresses {
    /// `IPAddress`, `Hostname` or one of the controller's own; none: the first.
    pub r#type: Option<Spanned<String>>,
    /// Which; none: any of the type.
    pub value: Option<Spanned<String>>,
}

/// What a Gateway's pods get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// Labels.
    pub labels: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Annotations.
    pub annotations: BTreeMap<Spanned<String>, Spanned<String>>,
    /// More settings, in a kind of the controller's own.
    pub parameters_ref: Option<ObjectRef>,
}

/// TLS of a whole Gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GatewayTls {
    /// Toward backends.
    pub backend: Option<BackendTls>,
    /// Toward clients.
    pub frontend: Option<FrontendTls>,
}

/// What backends are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTls {
    /// A Secret with certificate and key.
    pub client_certificate_ref: Option<ObjectRef>,
}

/// What clients must show.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTls {
    /// On every port that has none of its own.
    pub default: PortTlsConfig,
    /// By port.
    #[serde(default)]
    pub per_port: Vec<PortTls>,
}

/// What clients must show on a port.
#[derive(Clone, Debug, Deserialize)]
pub struct PortTls {
    /// Which port.
    pub port: Spanned<u16>,
    /// What.
    pub tls: PortTlsConfig,
}

/// What clients must show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortTlsConfig {
    /// None: nothing.
    pub validation: Option<Validation>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validation {
    /// ConfigMaps with `ca.crt`.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `AllowValidOnly` or `AllowInsecureFallback`; none: the former.
    pub mode: Option<Spanned<String>>,
}
