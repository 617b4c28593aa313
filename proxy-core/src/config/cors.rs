//! Which pages of other origins may read a route's answers.

use super::TextMatch;
use crate::origin::OriginId;

/// Cross-origin resource sharing (Fetch Standard, "CORS protocol").
///
/// Source: Envoy v3 `CorsPolicy`. A preflight is answered here with 200; one whose origin is not allowed is answered without anything that would
/// allow it, unless it is sent on.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Origins that are allowed; none: nothing is done (Envoy: `allow_origin_string_match`).
    pub origins: Vec<TextMatch>,
    /// What preflights are told of methods; none: nothing.
    pub methods: Option<CorsList>,
    /// What preflights are told of request headers; none: nothing.
    pub headers: Option<CorsList>,
    /// Response headers that pages may read; none: nothing is said.
    pub expose: Option<Box<str>>,
    /// For how long preflights hold, in seconds; none: nothing is said.
    pub max_age: Option<Box<str>>,
    /// Whether pages may send what tells their user.
    pub credentials: bool,
    /// Whether preflights are told of `expose`, too.
    pub exposes_early: bool,
    /// Whether preflights of other origins go upstream (Envoy: `forward_not_matching_preflights`).
    pub forwards_others: bool,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What a preflight is told of methods or headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CorsList {
    /// This text.
    Text(Box<str>),
    /// Whatever it asks for, which with credentials is what `*` cannot say.
    Asked,
}

impl Cors {
    /// Whether pages of an origin are allowed. What matches `*` as it stands allows every origin.
    ///
    /// Source: envoy `source/extensions/filters/http/cors/cors_filter.cc` (`isOriginAllowed`).
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        let mut origins = self.origins.iter();
        origins.any(|it| it.matches("*") || it.matches(origin))
    }
}
