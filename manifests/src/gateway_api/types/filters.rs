//! What is done to requests and their answers.

use proxy_core::config::HeaderEdits;
use proxy_core::heads::HeaderOp;
use serde::Deserialize;

use super::{BackendRef, ObjectRef};
use crate::text::{Present, Spanned};

/// Something done to a request or its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// What.
    pub r#type: Spanned<String>,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HeaderModifier>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HeaderModifier>,
    /// For `RequestMirror`.
    #[serde(default)]
    pub request_mirror: Option<Mirror>,
    /// For `RequestRedirect`.
    #[serde(default)]
    pub request_redirect: Option<RequestRedirect>,
    /// For `URLRewrite`.
    #[serde(default)]
    pub url_rewrite: Option<UrlRewrite>,
    /// For `CORS`.
    #[serde(default)]
    pub cors: Option<Cors>,
    /// For `ExternalAuth`.
    #[serde(default)]
    pub external_auth: Option<Present>,
    /// For `ExtensionRef`.
    #[serde(default)]
    pub extension_ref: Option<ObjectRef>,
}

/// Edits of a head.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Replaced or made.
    pub set: Vec<Header>,
    /// Put beside what is there.
    pub add: Vec<Header>,
    /// Taken out.
    pub remove: Vec<Spanned<String>>,
}

impl HeaderModifier {
    /// What it does, in the order of `HTTPHeaderFilter`: set, add, remove.
    #[must_use]
    pub fn edits(&self) -> HeaderEdits {
        let name = |header: &Header| -> Box<str> { header.name.to_ascii_lowercase().into() };
        let value = |header: &Header| -> Box<str> { header.value.value.as_str().into() };
        let set = self.set.iter();
        let set = set.map(|header| HeaderOp::Set(name(header), value(header)));
        let add = self.add.iter();
        let add = add.map(|header| HeaderOp::Append(name(header), value(header)));
        let remove = self.remove.iter();
        let remove = remove.map(|name| HeaderOp::Remove(name.to_ascii_lowercase().into()));
        set.chain(add).chain(remove).collect()
    }
}

/// A header.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// Name.
    pub name: Spanned<String>,
    /// Value.
    pub value: Spanned<String>,
}

/// Copies.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Where they go.
    pub backend_ref: BackendRef,
    /// How many of a hundred; none: all.
    #[serde(default)]
    pub percent: Option<Spanned<u32>>,
    /// The same as a fraction.
    #[serde(default)]
    pub fraction: Option<Fraction>,
}

/// A fraction.
#[derive(Clone, Debug, Deserialize)]
pub struct Fraction {
    /// So many.
    pub numerator: Spanned<u32>,
    /// Of so many; none: 100.
    #[serde(default)]
    pub denominator: Option<Spanned<u32>>,
}

/// An answer with another address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// Scheme; none: as asked.
    pub scheme: Option<Spanned<String>>,
    /// Host; none: as asked.
    pub hostname: Option<Spanned<String>>,
    /// Path; none: as asked.
    pub path: Option<PathChange>,
    /// Port; none: the scheme's own where that is written, else the listener's.
    pub port: Option<Spanned<u16>>,
    /// Status; none: 302.
    pub status_code: Option<Spanned<u16>>,
}

/// Another path.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathChange {
    /// `ReplaceFullPath` or `ReplacePrefixMatch`.
    pub r#type: Spanned<String>,
    /// Replaces all of it.
    #[serde(default)]
    pub replace_full_path: Option<Spanned<String>>,
    /// Replaces what the route's path matched.
    #[serde(default)]
    pub replace_prefix_match: Option<Spanned<String>>,
}

/// Another address upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UrlRewrite {
    /// Host.
    pub hostname: Option<Spanned<String>>,
    /// Path.
    pub path: Option<PathChange>,
}

/// Which pages of other origins may read answers (GEP-1767).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// `scheme://host[:port]`, with `*` for any, or for labels at the start of a host.
    pub allow_origins: Vec<Spanned<String>>,
    /// Whether with cookies and the like; none: not.
    pub allow_credentials: Option<Spanned<bool>>,
    /// Methods, or `*`.
    pub allow_methods: Vec<Spanned<String>>,
    /// Request headers, or `*`.
    pub allow_headers: Vec<Spanned<String>>,
    /// Response headers that a page may read, or `*`.
    pub expose_headers: Vec<Spanned<String>>,
    /// How many seconds a preflight's answer holds; none: 5.
    pub max_age: Option<Spanned<u32>>,
}
