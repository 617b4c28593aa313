//! The Gateway API's resources as people write them.
//!
//! Source: kubernetes-sigs/gateway-api `apis/v1`, `apis/v1alpha2`, `apis/v1alpha3`, `apisx/v1alpha1`. What the standard channel has is read from
//! every version; a kind's versions differ in maturity, not in fields.

mod filters;
mod gateway;
mod policy;
mod routes;

pub use filters::{
    Cors, Filter, Fraction, Header, HeaderModifier, Mirror, PathChange, RequestRedirect, UrlRewrite,
};
pub use gateway::{
    Addresses, AllowedListeners, AllowedRoutes, BackendTls, From, FrontendTls, Gateway,
    GatewayClass, GatewayTls, Infrastructure, Listener, ListenerSet, ListenerTls, Namespaces,
    Operator, PortTls, PortTlsConfig, Requirement, RouteGroupKind, Selector, Validation,
};
pub use policy::{
    AltName, BackendTlsPolicy, Grant, GrantFrom, GrantTo, PolicyValidation, TargetRef,
};
pub use routes::{
    BackendRef, CookieConfig, GrpcMatch, GrpcMethod, GrpcRoute, GrpcRule, HttpMatch, HttpRoute,
    HttpRule, L4Route, L4Rule, NamedCondition, PathCondition, Retry, SessionPersistence, Timeouts,
};

use serde::Deserialize;

use crate::text::{Present, Spanned};

/// An object with a `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<T> {
    /// API group and version.
    #[serde(default)]
    pub api_version: Option<Present>,
    /// Kind.
    #[serde(default)]
    pub kind: Option<Present>,
    /// Who it is.
    #[serde(default)]
    pub metadata: Option<Present>,
    /// What it asks for.
    pub spec: T,
}

/// A parent of a route, or of a set of listeners.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group; none: the Gateway API.
    #[serde(default)]
    pub group: Option<Spanned<String>>,
    /// Kind; none: Gateway.
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// Namespace; none: the object's own.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
    /// Name.
    pub name: Spanned<String>,
    /// A listener; none: all.
    #[serde(default)]
    pub section_name: Option<Spanned<String>>,
    /// A port; none: all.
    #[serde(default)]
    pub port: Option<Spanned<u16>>,
}

/// An object that something needs, such as a Secret.
#[derive(Clone, Debug, Deserialize)]
pub struct ObjectRef {
    /// API group; none: the core.
    #[serde(default)]
    pub group: Option<Spanned<String>>,
    /// Kind; none: what is usual where it stands.
    #[serde(default)]
    pub kind: Option<Spanned<String>>,
    /// Name.
    pub name: Spanned<String>,
    /// Namespace; none: the object's own.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
}

/// The text of an optional field.
pub fn text(value: &Option<Spanned<String>>) -> Option<&str> {
    value.as_ref().map(|value| value.value.as_str())
}
