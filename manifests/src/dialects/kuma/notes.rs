//! What is said about values: wrong ones, and those that are understood and not modelled.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Present, Span};

/// A value that Kuma's own validation refuses.
pub(super) fn bad_value(span: Span, message: impl Into<String>, out: &mut Diagnostics) {
    out.push(Diagnostic::error("kuma::bad-value", message).label(span, "this value"));
}

/// A field that is understood and not modelled, if it is written; `meaning` says what that does to the result.
pub(super) fn not_modelled(
    field: Option<Present>,
    what: &str,
    meaning: &str,
    out: &mut Diagnostics,
) {
    if let Some(field) = field {
        left_out(field.span, what, meaning, out);
    }
}

/// Something that is understood and not modelled.
pub(super) fn left_out(span: Span, what: &str, meaning: &str, out: &mut Diagnostics) {
    let message = format!("{what} is not modelled");
    out.push(Diagnostic::not_modelled("kuma::not-modelled", message, meaning).label(span, ""));
}

/// Something that the release does not read, so that it has no effect.
pub(super) fn ignored(span: Span, what: &str, help: &str, out: &mut Diagnostics) {
    let message = format!("this release of Kuma does not read {what}");
    out.push(
        Diagnostic::warning("kuma::ignored", message)
            .label(span, "has no effect")
            .help(help),
    );
}
