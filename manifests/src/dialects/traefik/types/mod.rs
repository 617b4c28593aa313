//! Traefik's kinds as people write them.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/traefikio/v1alpha1`, and `pkg/config/dynamic` for what that takes from there.

pub mod ingress;
pub mod middlewares;
pub mod routes;
pub mod services;
pub mod transports;

use serde::Deserialize;

use crate::text::{Node, Present, ScalarOr, Spanned};

/// An object with a `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole<T> {
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

/// A number or a text: a port, a length of time.
pub type Scalar = ScalarOr<Node>;

/// A reference to an object of Traefik's.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    /// Its name; `name@provider` for one of another provider.
    pub name: Spanned<String>,
    /// Its namespace; none: that of the object that refers to it.
    #[serde(default)]
    pub namespace: Option<Spanned<String>>,
}
