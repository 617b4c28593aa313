//! What one namespace allows another, and TLS toward backends.

use serde::Deserialize;

use super::ObjectRef;
use crate::text::{Present, Spanned};

/// `ReferenceGrant.spec`: its namespace allows these to name those.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// Who.
    pub from: Vec<GrantFrom>,
    /// What.
    pub to: Vec<GrantTo>,
}

/// Who may name something.
#[derive(Clone, Debug, Deserialize)]
pub struct GrantFrom {
    /// API group; empty for the core.
    pub group: Spanned<String>,
    /// Kind.
    pub kind: Spanned<String>,
    /// Namespace.
    pub namespace: Spanned<String>,
}

/// What may be named.
#[derive(Clone, Debug, Deserialize)]
pub struct GrantTo {
    /// API group; empty for the core.
    pub group: Spanned<String>,
    /// Kind.
    pub kind: Spanned<String>,
    /// Name; none: any.
    #[serde(default)]
    pub name: Option<Spanned<String>>,
}

/// `BackendTLSPolicy.spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicy {
    /// Which Services.
    pub target_refs: Vec<TargetRef>,
    /// How they are known.
    pub validation: PolicyValidation,
    /// Settings of the controller's own.
    #[serde(default)]
    pub options: Option<Present>,
}

/// A Service, or one of its ports.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group; empty for the core.
    pub group: Spanned<String>,
    /// Kind.
    pub kind: Spanned<String>,
    /// Name.
    pub name: Spanned<String>,
    /// A port by name; none: all.
    #[serde(default)]
    pub section_name: Option<Spanned<String>>,
}

/// How a backend is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyValidation {
    /// ConfigMaps with `ca.crt`.
    #[serde(default)]
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// `System`: those that the proxy's machine believes.
    #[serde(default, rename = "wellKnownCACertificates")]
    pub well_known: Option<Spanned<String>>,
    /// The server name asked for, and the name that its certificate must have where no others are written.
    pub hostname: Spanned<String>,
    /// Names of which its certificate must have one.
    #[serde(default)]
    pub subject_alt_names: Vec<AltName>,
}

/// A name in a certificate.
#[derive(Clone, Debug, Deserialize)]
pub struct AltName {
    /// `Hostname` or `URI`.
    pub r#type: Spanned<String>,
    /// The former.
    #[serde(default)]
    pub hostname: Option<Spanned<String>>,
    /// The latter.
    #[serde(default)]
    pub uri: Option<Spanned<String>>,
}
