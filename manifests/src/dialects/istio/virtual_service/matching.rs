//! Conditions on requests.
//!
//! Source: istio `pilot/pkg/networking/core/route/route.go` (`TranslateRouteMatch`).

use std::collections::BTreeMap;

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};

use super::names::complete_gateway;
use super::policy::{Audience, Condition};
use super::types::{HttpMatch, StringMatch};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::model::Labels;
use crate::text::{Span, Spanned};

/// Headers of this name look into a token's claims.
const CLAIMS: &str = "@request.auth.claims";

/// A condition; none when something of it is refused, which was reported.
pub(super) fn condition(
    one: &HttpMatch,
    namespace: &str,
    out: &mut Diagnostics,
) -> Option<Condition> {
    let path = one.uri.as_ref().map(|uri| path(uri, out));
    let ignore_case = one.ignore_uri_case.is_some_and(|ignore| ignore.value);
    let mut matches = RouteMatch::all();
    let mut headers = headers(&one.headers, false, out);
    headers.extend(self::headers(&one.without_headers, true, out));
    let mut pseudo = |name: &str, value: &Option<Spanned<StringMatch>>| {
        let value = text(value.as_ref()?, value.as_ref()?.span, out);
        Some(value.map(|value| header(name, value, false)))
    };
    let method = pseudo(":method", &one.method);
    let authority = pseudo(":authority", &one.authority);
    headers.extend(method.into_iter().chain(authority));
    let scheme = one
        .scheme
        .as_ref()
        .map(|scheme| text(scheme, scheme.span, out));
    let params: Vec<Option<ParamMatch>> = one
        .query_params
        .iter()
        .map(|(name, value)| {
            Some(ParamMatch {
                name: name.as_str().into(),
                value: value_of(value.as_ref(), name.span, out)?,
                invert: false,
            })
        })
        .collect();
    if let Some(path) = path {
        matches.path = path?;
    }
    matches.ignore_case = ignore_case;
    matches.headers = headers.into_iter().collect::<Option<_>>()?;
    matches.params = params.into_iter().collect::<Option<_>>()?;
    let scheme = match scheme {
        Some(scheme) => Some(scheme?),
        None => None,
    };
    Some(Condition {
        name: one.name.as_ref().map(|name| name.value.clone()),
        audience: audience(
            &one.gateways,
            &one.source_labels,
            one.source_namespace.as_ref(),
            one.port.as_ref(),
            namespace,
        ),
        scheme,
        matches,
    })
}

/// Which proxies take a condition.
pub(super) fn audience(
    gateways: &[Spanned<String>],
    labels: &BTreeMap<Spanned<String>, Spanned<String>>,
    source: Option<&Spanned<String>>,
    port: Option<&Spanned<u16>>,
    namespace: &str,
) -> Audience {
    Audience {
        gateways: gateways
            .iter()
            .map(|gateway| complete_gateway(gateway, namespace))
            .collect(),
        labels: labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect::<Labels>(),
        namespace: source
            .map(|source| source.as_str().into())
            .filter(|name: &proxy_core::config::Name| !name.is_empty()),
        port: port.map(|port| port.value).filter(|port| *port != 0),
    }
}

/// Whether a route takes every request that reaches it.
///
/// Source: istio `pilot/pkg/networking/core/route/route.go` (`IsCatchAllRoute`).
pub(in super::super) fn takes_all(matches: &RouteMatch) -> bool {
    let any_path = match &matches.path {
        PathMatch::Prefix(prefix) => &**prefix == "/",
        PathMatch::Regex(regex) => regex.as_str() == "^(?:.*)$",
        PathMatch::Exact(_)
        | PathMatch::Segments(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => false,
    };
    any_path
        && matches.headers.is_empty()
        && matches.params.is_empty()
        && matches.methods.is_empty()
}

fn path(uri: &Spanned<StringMatch>, out: &mut Diagnostics) -> Option<PathMatch> {
    Some(match text(uri, uri.span, out)? {
        TextMatch::Exact(path) => PathMatch::Exact(path),
        TextMatch::Prefix(path) => PathMatch::Prefix(path),
        TextMatch::Regex(regex) => PathMatch::Regex(regex),
        TextMatch::Present
        | TextMatch::Range(..)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Address(_) => PathMatch::Prefix("/".into()),
    })
}

fn headers(
    conditions: &BTreeMap<Spanned<String>, Option<StringMatch>>,
    invert: bool,
    out: &mut Diagnostics,
) -> Vec<Option<HeaderMatch>> {
    let mut all = Vec::new();
    for (name, value) in conditions {
        let value = value_of(value.as_ref(), name.span, out);
        if name.starts_with(CLAIMS) {
            claims(name, invert, out);
            // no request of a run has claims that were checked
            if !invert {
                all.push(Some(header(name, TextMatch::Present, false)));
            }
            continue;
        }
        // Envoy takes a header that is missing for an empty one here, so that one which matches the empty text must be there
        if invert
            && let Some(value) = &value
            && !matches!(value, TextMatch::Present)
            && value.matches("")
        {
            all.push(Some(header(name, TextMatch::Present, false)));
        }
        all.push(value.map(|value| header(name, value, invert)));
    }
    all
}

fn claims(name: &Spanned<String>, invert: bool, out: &mut Diagnostics) {
    let meaning = if invert {
        "the condition always holds: requests of a run have no claims"
    } else {
        "the condition never holds: requests of a run have no claims"
    };
    let message = "routing by the claims of a token is not modelled";
    out.push(
        Diagnostic::not_modelled("istio::not-modelled", message, meaning)
            .label(name.span, "this condition"),
    );
}

fn header(name: &str, value: TextMatch, invert: bool) -> HeaderMatch {
    HeaderMatch {
        name: name.to_ascii_lowercase().into(),
        value,
        invert,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

fn value_of(value: Option<&StringMatch>, span: Span, out: &mut Diagnostics) -> Option<TextMatch> {
    value.map_or(Some(TextMatch::Present), |value| text(value, span, out))
}

/// How a text is compared; `*` as a regular expression is no pattern, it asks that there be something.
pub(super) fn text(value: &StringMatch, span: Span, out: &mut Diagnostics) -> Option<TextMatch> {
    let StringMatch {
        exact,
        prefix,
        regex,
    } = value;
    match (exact, prefix, regex) {
        (None, None, None) => Some(TextMatch::Present),
        (Some(text), None, None) => Some(TextMatch::Exact(text.as_str().into())),
        (None, Some(text), None) => Some(TextMatch::Prefix(text.as_str().into())),
        (None, None, Some(pattern)) if pattern.value == "*" => Some(TextMatch::Present),
        (None, None, Some(pattern)) => compiled(TextMatch::regex(pattern), pattern.span, out),
        _ => {
            let message = "a comparison is one of `exact`, `prefix` and `regex`";
            out.push(
                Diagnostic::error("istio::match", message)
                    .label(span, "has several")
                    .help("leave one of them"),
            );
            None
        }
    }
}

/// A regular expression that compiles; any other is an error.
pub(super) fn compiled<T>(
    pattern: Result<T, regex::Error>,
    span: Span,
    out: &mut Diagnostics,
) -> Option<T> {
    pattern
        .map_err(|error| {
            out.push(
                Diagnostic::error("istio::bad-regex", error.to_string())
                    .label(span, "this pattern"),
            );
        })
        .ok()
}
