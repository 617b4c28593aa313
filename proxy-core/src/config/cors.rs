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
    /// Whose manner it is.
    pub manner: CorsManner,
    /// The rule that made it.
    pub origin: OriginId,
}

/// Whom answers are marked for, and how.
#[derive(Clone, Debug, Default)]
pub enum CorsManner {
    /// An origin that is allowed is named to itself, others hear nothing: as Envoy does, and the Gateway API has it.
    #[default]
    Envoy,
    /// As Kong's plugin does.
    Kong(KongCors),
}

/// What Kong's plugin does its own way: a preflight is answered with 200 and told of methods and headers whatever its origin, and answers to
/// origins that are not allowed lose `Access-Control-Allow-Origin` and nothing else.
///
/// Source: Kong 3.9 `kong/plugins/cors/handler.lua`.
#[derive(Clone, Debug)]
pub struct KongCors {
    /// Origins that are allowed for their host, whatever its scheme and port.
    pub hosts: Vec<TextMatch>,
    /// What every answer says of origins, whoever asks: `*`, or the only one; none: the asking one is named where it is allowed. With
    /// credentials the asking origin takes the place of `*`.
    pub says: Option<Box<str>>,
    /// Whether answers to requests that name no origin are marked, too.
    pub marks_others: bool,
    /// Whether preflights go upstream, whose answers stay as they are.
    pub continues: bool,
    /// Whether a preflight that asks for it may come from a public page to a private network.
    pub private_network: bool,
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
    /// Origins that are allowed for their host alone.
    #[must_use]
    pub fn hosts(&self) -> &[TextMatch] {
        match &self.manner {
            CorsManner::Envoy => &[],
            CorsManner::Kong(kong) => &kong.hosts,
        }
    }

    /// Whether pages of an origin are allowed. As Envoy has it, what matches `*` as it stands allows every origin.
    ///
    /// Source: envoy `source/extensions/filters/http/cors/cors_filter.cc` (`isOriginAllowed`).
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        let has = |text: &str| self.origins.iter().any(|it| it.matches(text));
        match &self.manner {
            CorsManner::Envoy => has("*") || has(origin),
            CorsManner::Kong(kong) => {
                has(origin) || kong.hosts.iter().any(|it| it.matches(host_of(origin)))
            }
        }
    }
}

/// The host of an origin; of one that has none, such as `null`, all of it.
fn host_of(origin: &str) -> &str {
    let Some((_, rest)) = origin.split_once("://") else {
        return origin;
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origins_host_has_no_scheme_and_no_port() {
        for (origin, host) in [
            ("https://a.example", "a.example"),
            ("https://a.example:8443", "a.example"),
            ("http://[::1]:80", "::1"),
            ("null", "null"),
            ("", ""),
        ] {
            assert_eq!(host_of(origin), host, "{origin}");
        }
    }
}
