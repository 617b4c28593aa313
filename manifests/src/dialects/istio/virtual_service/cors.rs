//! Which pages of other origins may read answers.
//!
//! Source: istio 1.31 `pilot/pkg/networking/core/route/route.go` (`TranslateCORSPolicy`), `pkg/config/validation/validation.go`
//! (`validateCORSPolicy`).

use proxy_core::config::{Cors, CorsList, CorsManner, TextMatch};

use super::duration;
use super::matching::text;
use super::types::{CorsPolicy, UnmatchedPreflights};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::Spanned;

/// Methods that Istio takes (`supportedCORSMethods`).
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Reads `corsPolicy`; none when something of it is refused, which was reported.
pub(super) fn cors(written: &Spanned<CorsPolicy>, cx: &mut Compile<'_>) -> Option<Cors> {
    let origins = origins(written, cx);
    let methods = list(&written.allow_methods, is_method, "method", cx);
    let headers = list(&written.allow_headers, is_header, "header", cx);
    let expose = list(&written.expose_headers, is_header, "header", cx);
    let max_age = written.max_age.as_ref().map(|age| seconds(age, cx));
    let max_age = match max_age {
        Some(age) => Some(age?),
        None => None,
    };
    let unmatched = written.unmatched_preflights.map(|it| it.value);
    Some(Cors {
        origins: origins?,
        methods: methods?.map(CorsList::Text),
        headers: headers?.map(CorsList::Text),
        expose: expose?,
        max_age,
        credentials: written.allow_credentials.is_some_and(|it| it.value),
        exposes_early: false,
        manner: CorsManner::Envoy,
        forwards_others: unmatched != Some(UnmatchedPreflights::Ignore),
        origin: cx.origins.written(written.span),
    })
}

/// `allowOrigins`, else the deprecated `allowOrigin`.
fn origins(written: &CorsPolicy, cx: &mut Compile<'_>) -> Option<Vec<TextMatch>> {
    if written.allow_origins.is_empty() {
        let exact = written.allow_origin.iter();
        return Some(
            exact
                .map(|it| TextMatch::Exact(it.as_str().into()))
                .collect(),
        );
    }
    let mut found = Vec::new();
    let mut fits = true;
    for one in &written.allow_origins {
        let says = [&one.exact, &one.prefix, &one.regex];
        let is_empty = |it: &&Option<Spanned<String>>| it.as_ref().is_none_or(|it| it.is_empty());
        if says.iter().all(is_empty) {
            refuse(one, "an origin needs `exact`, `prefix` or `regex`", cx);
            fits = false;
            continue;
        }
        match text(one, one.span, cx.diagnostics) {
            Some(origin) => found.push(origin),
            None => fits = false,
        }
    }
    fits.then_some(found)
}

/// The names of a list with commas between; none: there is none.
fn list(
    all: &[Spanned<String>],
    fits: fn(&str) -> bool,
    what: &str,
    cx: &mut Compile<'_>,
) -> Option<Option<Box<str>>> {
    let mut all_fit = true;
    for one in all.iter().filter(|one| !fits(one)) {
        refuse(one, &format!("`{}` is no {what}", one.value), cx);
        all_fit = false;
    }
    let names: Vec<&str> = all.iter().map(|one| one.as_str()).collect();
    all_fit.then(|| (!names.is_empty()).then(|| names.join(",").into()))
}

fn is_method(name: &str) -> bool {
    METHODS.contains(&name)
}

/// Source: istio 1.31 `pkg/config/validation/validation.go` (`validHeaderNameRegex`), and `*`.
fn is_header(name: &str) -> bool {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(is_token)
}

/// `maxAge` as preflights are told it; parts of a second are refused.
fn seconds(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Box<str>> {
    let nanos = duration::positive(text, cx)?.value.as_nanos();
    if nanos % SECOND != 0 {
        refuse(text, "`maxAge` is in whole seconds", cx);
        return None;
    }
    Some((nanos / SECOND).to_string().into())
}

fn refuse<T>(at: &Spanned<T>, message: &str, cx: &mut Compile<'_>) {
    cx.diagnostics
        .push(Diagnostic::error("istio::cors", message).label(at.span, "refused by Istio"));
}
