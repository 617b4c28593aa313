//! What is told of silences themselves.

use super::Lint;
use crate::diagnostics::{Diagnostic, Silence, did_you_mean};
use crate::text::{Span, Spanned};

/// A silence of nothing.
pub(super) static UNUSED: Lint = Lint::warning(
    "silence::unused",
    "A silence that silences nothing",
    "Nothing of that code is found there, any more or at all. What is silenced for no reason hides what comes later.",
    "take the code away, or put the comment on the field that the finding points at",
);
/// A silence that does not say why.
pub(super) static NO_REASON: Lint = Lint::advice(
    "silence::no-reason",
    "A silence without a reason",
    "Whoever meets it later cannot tell whether it still holds.",
    "write why after the code: `# windtunnel: allow(retry::multiplied) the budget bounds it`",
);

/// A silence that nobody can read.
pub(super) static SYNTAX: Lint = Lint::warning(
    "silence::syntax",
    "A comment that was to silence something",
    "The comment begins as one that silences, and goes on otherwise: nothing is silenced by it.",
    "write `# windtunnel: allow(code) reason`; several codes are separated by commas",
);

/// A comment that cannot be read.
pub(crate) fn unreadable(span: Span) -> Diagnostic {
    let found = SYNTAX.found("this comment silences nothing");
    found.label(span, "cannot be read")
}

/// A code of a silence that nothing was found for.
pub(crate) fn unused(code: &Spanned<String>) -> Diagnostic {
    let known = super::LINTS.iter().map(|lint| lint.code);
    let is_known = super::named(code).is_some();
    let near = did_you_mean(code, known).filter(|_| !is_known);
    UNUSED
        .found(format!("`{}` is allowed here, and not found", code.value))
        .label(code.span, "silences nothing")
        .maybe_help(near)
}

/// A silence without a reason.
pub(crate) fn no_reason(silence: &Silence) -> Option<Diagnostic> {
    let lacks = silence.reason.is_empty();
    lacks.then(|| {
        NO_REASON
            .found("this silence does not say why")
            .label(silence.span, "no reason given")
    })
}
