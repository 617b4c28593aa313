//! The annotations of an Ingress, checked; and values that come from an annotation, from the ConfigMap or from the release.

use std::collections::BTreeMap;

use proxy_core::origin::Sourced;

use super::keys::{ALIASES, Bearing, KEYS, Key, Wrong};
use super::settings::Settings;
use super::values::{self, Check};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::Object;
use crate::origins::Origins;
use crate::text::{Entry, Span, Spanned};

/// The prefix of the annotations, unless the controller is told otherwise.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// What the annotations of an Ingress say; only values that the release takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    values: BTreeMap<&'static str, Spanned<String>>,
    /// The value for which the release answers 503 on every path.
    pub(super) denied: Option<Span>,
    /// Whether the release leaves the Ingress out.
    pub(super) refused: bool,
}

impl Notes {
    /// As it is written.
    pub(super) fn text(&self, name: &str) -> Option<&Spanned<String>> {
        self.values.get(name)
    }

    /// A flag.
    pub(super) fn flag(&self, name: &str) -> Option<Spanned<bool>> {
        let text = self.text(name)?;
        Some(Spanned::new(values::flag(text)?, text.span))
    }

    /// Whether a flag is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|flag| flag.value)
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Option<Spanned<i64>> {
        let text = self.text(name)?;
        Some(Spanned::new(values::number(text)?, text.span))
    }

    /// A value whose like the ConfigMap and the release have: the annotation's, the ConfigMap's, or `default`.
    pub(super) fn or<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        default: T,
        settings: &Settings,
        origins: &mut Origins,
    ) -> Sourced<T> {
        let written = self.text(name).or_else(|| settings.text(name));
        let written = written.and_then(|text| Some(Spanned::new(read(text)?, text.span)));
        origins.sourced_or(written, default, &settings.release)
    }
}

/// Reads and checks the annotations of an Ingress; what is not modelled is told.
pub(super) fn read(
    object: &Object,
    prefix: &str,
    settings: &Settings,
    out: &mut Diagnostics,
) -> Notes {
    let mut notes = Notes::default();
    let map = object.node.at("metadata.annotations");
    let entries: &[Entry] = map
        .and_then(|node| node.as_map())
        .map_or(&[], |map| map.entries());
    for entry in entries {
        let Some(written) = entry
            .key
            .text
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        let alias = ALIASES.iter().find(|(alias, _)| *alias == written);
        let name = alias.map_or(written, |(_, name)| name);
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            unknown(entry, written, prefix, out);
            continue;
        };
        let Some(value) = entry.value.as_str() else {
            // no text: the reader of the object has said so
            continue;
        };
        let has_alias = ALIASES.iter().any(|(_, name)| *name == key.name);
        let is_alias = has_alias.then_some(alias.is_some());
        take(&mut notes, entry, key, value, (settings, is_alias), out);
    }
    tell(&notes, entries, out);
    notes
}

fn take(
    notes: &mut Notes,
    entry: &Entry,
    key: &Key,
    value: &str,
    (settings, alias): (&Settings, Option<bool>),
    out: &mut Diagnostics,
) {
    let span = entry.value.span;
    if let Some(alias) = alias {
        // under its own name it counts
        let first = notes.values.get(key.name).map(|it| it.span);
        let without_effect = match (alias, first) {
            (true, Some(_)) => Some(span),
            (false, first) => first,
            (true, None) => None,
        };
        if let Some(span) = without_effect {
            out.push(
                Diagnostic::warning("nginx::twice", format!("`{}` is there twice", key.name))
                    .label(span, "has no effect: the other name of the annotation does"),
            );
        }
        if alias && first.is_some() {
            return;
        }
    }
    if value.trim().is_empty() {
        out.push(
            Diagnostic::warning("nginx::empty", format!("`{}` is empty", entry.key.text))
                .label(span, "as if it were not there"),
        );
        return;
    }
    if key.bearing == Bearing::Snippet {
        snippet(notes, entry, settings, out);
        return;
    }
    if key.check.takes(value) {
        let value = value.trim().to_owned();
        notes.values.insert(key.name, Spanned::new(value, span));
        return;
    }
    let message = format!("`{}` cannot be `{value}`", entry.key.text);
    let wanted = key.check.wanted();
    if key.check == Check::Count && values::number(value).is_some() {
        out.push(
            Diagnostic::error("nginx::bad-annotation", message)
                .label(span, "negative")
                .help("NGINX takes no such number: the controller would go on with the configuration that it has"),
        );
        return;
    }
    let problem = match key.wrong {
        Wrong::Default => Diagnostic::error("nginx::bad-annotation", message).help(format!(
            "write {wanted}; ingress-nginx passes over this value and keeps its default"
        )),
        Wrong::Refused => {
            notes.refused = true;
            Diagnostic::error("nginx::bad-annotation", message).help(format!(
                "write {wanted}; ingress-nginx leaves the whole Ingress out for this value"
            ))
        }
        Wrong::Denied => {
            notes.denied = notes.denied.or(Some(span));
            Diagnostic::warning("nginx::denied", message).help(format!(
                "write {wanted}; ingress-nginx answers 503 on every path of this Ingress for this value, and so it is here"
            ))
        }
    };
    out.push(problem.label(span, "not a value of it"));
}

fn snippet(notes: &mut Notes, entry: &Entry, settings: &Settings, out: &mut Diagnostics) {
    let message = format!("`{}` is not modelled", entry.key.text);
    if settings.takes_snippets() {
        let meaning = "whatever it does to requests and answers does not happen";
        out.push(
            Diagnostic::not_modelled("nginx::snippet", message, meaning).label(entry.key.span, ""),
        );
        return;
    }
    notes.refused = true;
    out.push(
        Diagnostic::error(
            "nginx::refused",
            format!("ingress-nginx refuses an Ingress with `{}`", entry.key.text),
        )
        .label(entry.key.span, "the whole Ingress is left out")
        .help(
            "take it out; a controller takes it whose ConfigMap has `allow-snippet-annotations: \"true\"` and `annotations-risk-level: Critical`",
        ),
    );
}

fn unknown(entry: &Entry, written: &str, prefix: &str, out: &mut Diagnostics) {
    let names = KEYS.iter().map(|key| key.name);
    let help = did_you_mean(written, names).map(|it| it.replacen('`', &format!("`{prefix}/"), 1));
    out.push(
        Diagnostic::error(
            "nginx::unknown-annotation",
            format!("ingress-nginx knows no annotation `{}`", entry.key.text),
        )
        .label(entry.key.span, "not known")
        .maybe_help(help),
    );
}

/// Tells what is not modelled of annotations that are there.
fn tell(notes: &Notes, entries: &[Entry], out: &mut Diagnostics) {
    for key in KEYS
        .iter()
        .filter(|key| notes.values.contains_key(key.name))
    {
        let value = notes.values[key.name].span;
        let Some(entry) = entries.iter().find(|entry| entry.value.span == value) else {
            continue;
        };
        let (name, span) = (&entry.key.text, entry.key.span);
        // what is switched off keeps nobody out
        let is_off = notes.flag(key.name).is_some_and(|flag| !flag.value);
        match key.bearing {
            Bearing::Used | Bearing::Snippet => {}
            Bearing::Not(_) | Bearing::Open(_) if is_off => {}
            Bearing::Not(meaning) => out.push(
                Diagnostic::not_modelled(
                    "nginx::not-modelled",
                    format!("`{name}` is not modelled"),
                    meaning,
                )
                .label(span, ""),
            ),
            Bearing::Open(meaning) => out.push(
                Diagnostic::warning(
                    "nginx::open",
                    format!("`{name}` is not modelled: the paths of this Ingress are open"),
                )
                .label(span, "keeps nobody out here")
                .help(meaning),
            ),
            Bearing::With(other) => out.push(
                Diagnostic::listed("nginx::beside", format!("`{name}` goes with `{other}`"))
                    .label(span, ""),
            ),
            Bearing::Idle => out.push(
                Diagnostic::listed(
                    "nginx::idle",
                    format!("`{name}` has no bearing on the result"),
                )
                .label(span, ""),
            ),
        }
    }
}
