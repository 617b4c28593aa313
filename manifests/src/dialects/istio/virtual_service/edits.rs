//! Edits of heads.
//!
//! Source: istio `pilot/pkg/networking/core/route/route.go` (`TranslateHeadersOperations`); envoy `source/common/router/header_parser.cc`,
//! which takes headers out before it puts any in.

use std::collections::BTreeMap;

use proxy_core::config::HeaderEdits;
use proxy_core::heads::HeaderOp;

use super::policy::Edits;
use super::types::{HeaderOperations, Headers};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Spanned;

/// Reads `headers`.
pub(super) fn edits(headers: Option<&Headers>, out: &mut Diagnostics) -> Edits {
    let mut edits = Edits::default();
    let Some(headers) = headers else {
        return edits;
    };
    if let Some(request) = &headers.request {
        edits.request_removals = removals(request);
        edits.request = additions(request, out);
        // of `set` and `add` the former decides
        edits.authority = authority(&request.set).or_else(|| authority(&request.add));
    }
    if let Some(response) = &headers.response {
        edits.response_removals = removals(response);
        edits.response = additions(response, out);
    }
    edits
}

impl Edits {
    /// Both as one, of which `self` comes first.
    pub(super) fn then(&self, other: &Self) -> Self {
        let both = |one: &HeaderEdits, other: &HeaderEdits| [&one[..], &other[..]].concat();
        Self {
            request_removals: both(&self.request_removals, &other.request_removals),
            request: both(&self.request, &other.request),
            response_removals: both(&self.response_removals, &other.response_removals),
            response: both(&self.response, &other.response),
            authority: self.authority.clone().or_else(|| other.authority.clone()),
        }
    }

    /// All edits toward the upstream in their order.
    pub(super) fn of_request(&self) -> HeaderEdits {
        [&self.request_removals[..], &self.request[..]].concat()
    }

    /// All edits toward the client in their order.
    pub(super) fn of_response(&self) -> HeaderEdits {
        [&self.response_removals[..], &self.response[..]].concat()
    }
}

fn removals(operations: &HeaderOperations) -> HeaderEdits {
    let names = operations.remove.iter().filter(|name| !is_internal(name));
    names
        .map(|name| HeaderOp::Remove(name.to_ascii_lowercase().into()))
        .collect()
}

fn additions(operations: &HeaderOperations, out: &mut Diagnostics) -> HeaderEdits {
    let mut edits = HeaderEdits::new();
    for (name, value) in plain(&operations.set, out) {
        edits.push(HeaderOp::Set(name, value));
    }
    for (name, value) in plain(&operations.add, out) {
        edits.push(HeaderOp::Append(name, value));
    }
    edits
}

fn plain(
    headers: &BTreeMap<Spanned<String>, Spanned<String>>,
    out: &mut Diagnostics,
) -> Vec<(Box<str>, Box<str>)> {
    let headers = headers.iter().filter(|(name, _)| !is_internal(name));
    headers
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            (name.into(), literal(value, out))
        })
        .collect()
}

/// The value without Envoy's escapes; what Envoy would fill in stays as it is written.
fn literal(value: &Spanned<String>, out: &mut Diagnostics) -> Box<str> {
    let text = value.replace("%%", "");
    if text.contains('%') {
        let message = "values that the proxy fills in are not modelled";
        let meaning = "the header has the text as it is written";
        out.push(
            Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                .label(value.span, "this value"),
        );
        return value.as_str().into();
    }
    value.replace("%%", "%").into()
}

fn authority(headers: &BTreeMap<Spanned<String>, Spanned<String>>) -> Option<Box<str>> {
    let found = headers.iter().find(|(name, _)| {
        name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
    })?;
    Some(found.1.as_str().into())
}

/// Names that no edit touches; the authority is rewritten instead.
fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}
