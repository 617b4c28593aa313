//! Lengths of time of rules, and which of them Istio takes.

use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

pub(super) use super::super::duration::parse;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::Spanned;

/// The least that Istio's validation takes, source: istio `pkg/config/validation/agent/validation.go` (`ValidateDuration`).
const LEAST: Duration = Duration::from_millis(1);

/// A length of time of at least a millisecond; anything else is an error.
pub(super) fn positive(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let duration = parse(text).filter(|duration| *duration >= LEAST);
    if duration.is_none() {
        refuse(text, cx);
    }
    Some(Sourced::new(duration?, cx.origins.written(text.span)))
}

/// The same, or zero, which stands for none.
pub(super) fn or_off(text: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let duration = parse(text).filter(|duration| duration.is_zero() || *duration >= LEAST);
    if duration.is_none() {
        refuse(text, cx);
    }
    Some(Sourced::new(duration?, cx.origins.written(text.span)))
}

fn refuse(text: &Spanned<String>, cx: &mut Compile<'_>) {
    let message = format!("`{text}` is no length of time of 1ms or more");
    cx.diagnostics.push(
        Diagnostic::error("istio::duration", message)
            .label(text.span, "this value")
            .help("write a number and a unit, such as `500ms` or `1m30s`"),
    );
}
