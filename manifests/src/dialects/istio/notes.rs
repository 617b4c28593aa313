//! What is said about values: wrong ones, and those that are understood and not modelled.

use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::duration::parse;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::model::Labels;
use crate::text::{Present, Span, Spanned};

use super::types::Written;

/// A value that Istio's own validation refuses.
pub(super) fn bad_value(span: Span, message: impl Into<String>, out: &mut Diagnostics) {
    out.push(Diagnostic::error("istio::bad-value", message).label(span, "this value"));
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
    out.push(Diagnostic::not_modelled("istio::not-modelled", message, meaning).label(span, ""));
}

/// A length of time; one that is none is an error.
pub(super) fn duration(
    text: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Duration>> {
    let text = text?;
    let Some(duration) = parse(text) else {
        cx.diagnostics.push(
            Diagnostic::error("istio::duration", format!("`{text}` is no length of time"))
                .label(text.span, "this value")
                .help("write numbers with units, such as `500ms` or `1m30s`"),
        );
        return None;
    };
    Some(Sourced::new(duration, cx.origins.written(text.span)))
}

/// A length of time that must be at least a millisecond.
pub(super) fn positive_duration(
    text: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Sourced<Duration>> {
    let found = duration(text, cx)?;
    if found.value < Duration::from_millis(1) {
        let span = text.map_or(Span::NOWHERE, |text| text.span);
        bad_value(span, "must be at least 1ms", cx.diagnostics);
        return None;
    }
    Some(found)
}

/// A number of which zero stands for none; a negative one is an error.
pub(super) fn count(number: Option<Spanned<i32>>, cx: &mut Compile<'_>) -> Option<Sourced<u32>> {
    let number = number?;
    match u32::try_from(number.value) {
        Ok(0) => None,
        Ok(value) => Some(Sourced::new(value, cx.origins.written(number.span))),
        Err(_) => {
            bad_value(number.span, "must not be negative", cx.diagnostics);
            None
        }
    }
}

/// Per cent from 0 to 100; one outside is an error.
pub(super) fn percent(number: Spanned<f64>, cx: &mut Compile<'_>) -> Option<Sourced<f64>> {
    if (0.0..=100.0).contains(&number.value) {
        return Some(Sourced::new(number.value, cx.origins.written(number.span)));
    }
    bad_value(number.span, "must be from 0 to 100", cx.diagnostics);
    None
}

/// Labels without their places.
pub(super) fn labels(written: &Written) -> Labels {
    let name = |text: &Spanned<String>| text.value.as_str().into();
    written
        .iter()
        .map(|(key, value)| (name(key), name(value)))
        .collect()
}

/// What every value falls back to, with the release as its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `default of istio@…`.
    pub(super) origin: OriginId,
}

impl Defaults {
    pub(super) const fn of<T>(self, value: T) -> Sourced<T> {
        Sourced::new(value, self.origin)
    }
}
