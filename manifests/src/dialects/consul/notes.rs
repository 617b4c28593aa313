//! What is said about values: wrong ones, and those that are understood and not modelled.

use proxy_core::origin::{OriginId, Sourced};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Present, Span, Spanned};

/// A value that Consul refuses.
pub(super) fn bad_value(span: Span, message: impl Into<String>, out: &mut Diagnostics) {
    out.push(Diagnostic::error("consul::bad-value", message).label(span, "this value"));
}

/// Something that is understood and not modelled; `meaning` says what that does to the result.
pub(super) fn left_out(span: Span, what: &str, meaning: impl Into<String>, out: &mut Diagnostics) {
    let message = format!("{what} is not modelled");
    out.push(Diagnostic::not_modelled("consul::not-modelled", message, meaning).label(span, ""));
}

/// The same of a field, if it is written.
pub(super) fn field_left_out(
    field: Option<Present>,
    what: &str,
    meaning: &str,
    out: &mut Diagnostics,
) {
    if let Some(field) = field {
        left_out(field.span, what, meaning, out);
    }
}

/// Something that the community edition refuses.
pub(super) fn enterprise(written: Option<&Spanned<String>>, what: &str, out: &mut Diagnostics) {
    if let Some(written) = written.filter(|written| !written.is_empty()) {
        needs_enterprise(written.span, what, out);
    }
}

/// The same, wherever it is written.
pub(super) fn needs_enterprise(span: Span, what: &str, out: &mut Diagnostics) {
    out.push(
        Diagnostic::error(
            "consul::enterprise",
            format!("{what} needs Consul Enterprise: the community edition refuses it"),
        )
        .label(span, "refused"),
    );
}

/// Text that is written and not empty: Go takes an empty one for none.
pub(super) fn given(text: Option<&Spanned<String>>) -> Option<&Spanned<String>> {
    text.filter(|text| !text.is_empty())
}

/// What every value falls back to, with the release as its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `default of consul@…`.
    pub(super) origin: OriginId,
}

impl Defaults {
    pub(super) const fn of<T>(self, value: T) -> Sourced<T> {
        Sourced::new(value, self.origin)
    }
}
