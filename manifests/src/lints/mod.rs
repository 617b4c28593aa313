//! What is allowed and most likely not meant, found by following the compiled configuration of every proxy.
//!
//! A lint knows no dialect: it looks at the [`Model`], in which every dialect's rules are tables, clusters and limits with their origins. So
//! a dialect that is added is covered without a change here. [`LINTS`] has all of them with their reasons; [`run`] tells what they find. A
//! few are found while manifests are read, since only the text knows, and are told under the same codes.
//!
//! `# windtunnel: allow(code) reason` on a field or above it, or the annotation `windtunnel.dev/allow` of an object, silences one there; see
//! [`Silence`](crate::diagnostics::Silence).

mod bypass;
mod gateways;
mod hops;
mod limits;
mod overlap;
pub(crate) mod reach;
mod resends;
mod rewrites;
mod sample;
mod sidecars;
mod silence;
mod splits;
pub(crate) mod timeouts;
mod tries;
pub(crate) mod unreachable;
mod usage;
mod view;

pub use usage::{Ask, Asker, Entrance, Room, Usage};

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::model::Model;
use crate::origins::Origins;
use view::View;

/// Something to look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lint {
    /// Its stable name, `area::rule`.
    pub code: &'static str,
    /// How grave what it finds is.
    pub level: Level,
    /// What it is about, in a line.
    pub name: &'static str,
    /// Why that is worth a look.
    pub reason: &'static str,
    /// What to do about it, where the finding itself has nothing better to say.
    pub help: &'static str,
}

/// How grave the findings of a lint are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Most likely a mistake.
    Warning,
    /// Perhaps meant.
    Advice,
}

impl Lint {
    const fn warning(
        code: &'static str,
        name: &'static str,
        reason: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            code,
            level: Level::Warning,
            name,
            reason,
            help,
        }
    }

    const fn advice(
        code: &'static str,
        name: &'static str,
        reason: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            level: Level::Advice,
            ..Self::warning(code, name, reason, help)
        }
    }

    /// Something that it found.
    pub(crate) fn found(&self, message: impl Into<String>) -> Diagnostic {
        let found = match self.level {
            Level::Warning => Diagnostic::warning(self.code, message),
            Level::Advice => Diagnostic::advice(self.code, message),
        };
        found.help(self.help)
    }
}

/// Every lint, by code.
pub static LINTS: &[&Lint] = &[
    &gateways::BETWEEN,
    &limits::NEVER,
    &limits::NO_RETRIES,
    &limits::NOTHING,
    &sidecars::FEW,
    &bypass::FOREIGN,
    &sidecars::OUTSIDE,
    &reach::REFUSED,
    &reach::UNASKED,
    &limits::NO_EJECTION,
    &limits::ONLY_ONE,
    &limits::PANIC,
    &overlap::SAME_CONTROL,
    &tries::MULTIPLIED,
    &resends::NEVER,
    &resends::NON_IDEMPOTENT,
    &resends::TIMEOUT,
    &splits::NO_ENDPOINTS,
    &rewrites::ONE_PATH,
    &unreachable::UNREACHABLE,
    &sidecars::NO_INTERCEPTION,
    &silence::NO_REASON,
    &silence::SYNTAX,
    &silence::UNUSED,
    &splits::EMPTY_SUBSET,
    &splits::DEAD_SHARE,
    &splits::NOT_A_HUNDRED,
    &timeouts::CUT_OFF,
    &timeouts::OUTER_SHORTER,
    &timeouts::VOID_PER_TRY,
];

/// The lint of a code.
#[must_use]
pub fn named(code: &str) -> Option<&'static Lint> {
    LINTS.iter().copied().find(|lint| lint.code == code)
}

/// What a code or an area (`retry::`) was meant to be that no lint has, where one is near: ``did you mean `retry::`?``. Dialects have codes of
/// their own.
#[must_use]
pub fn misspelt(code: &str) -> Option<String> {
    let codes = || LINTS.iter().map(|lint| lint.code);
    let area = |code: &'static str| code.split_inclusive("::").next();
    match code.ends_with("::") {
        true => {
            let is_known = codes().any(|known| known.starts_with(code));
            did_you_mean(code, codes().filter_map(area)).filter(|_| !is_known)
        }
        false => did_you_mean(code, codes()).filter(|_| named(code).is_none()),
    }
}

/// Looks for everything in a model; `usage` is what is known of its use, if anything.
pub fn run(model: &Model, origins: &Origins, usage: &Usage, out: &mut Diagnostics) {
    let view = View::new(model, origins, usage);
    let checks: [fn(&View<'_>, &mut Diagnostics); 11] = [
        unreachable::check,
        rewrites::check,
        resends::check,
        timeouts::check,
        limits::check,
        splits::check,
        tries::check,
        overlap::check,
        bypass::check,
        sidecars::check,
        gateways::check,
    ];
    for check in checks {
        check(&view, out);
    }
}

pub(crate) use silence::{no_reason, unreadable, unused};

#[cfg(test)]
mod tests {
    use super::misspelt;

    #[test]
    fn slips_in_codes_and_areas_are_known() {
        for (code, meant) in [
            ("retyr::", Some("did you mean `retry::`?")),
            ("retry::", None),
            (
                "split::empty-subest",
                Some("did you mean `split::empty-subset`?"),
            ),
            ("retry::multiplied", None),
            ("a-dialects::own", None),
        ] {
            assert_eq!(misspelt(code).as_deref(), meant, "{code}");
        }
    }
}
