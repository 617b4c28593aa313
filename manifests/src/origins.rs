//! Where each policy value came from: the table behind [`OriginId`].

use indexmap::IndexSet;
use proxy_core::origin::{OriginId, Sourced};

use crate::text::{Sources, Span, Spanned};

/// Who set a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// No rule: the proxy's own behaviour.
    Unruled,
    /// Somebody wrote it.
    Written(Span),
    /// A system's release brings it: `istio@1.29`.
    Default {
        /// The system with its release.
        release: String,
    },
    /// Nobody wrote it and no release brings it: it was assumed, for the reason given.
    Assumed {
        /// What was assumed, and why.
        reason: String,
    },
}

/// An origin as reports show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OriginText {
    /// `vs.yaml:14`, `default of istio@1.29`, or the words of an assumption; empty when no rule set the value.
    pub text: String,
    /// The first line of what is written there, shortened; empty for what nobody wrote.
    pub snippet: String,
    /// Whether somebody wrote it.
    pub is_written: bool,
}

/// All origins of a run; equal ones are one row. Row 0 is [`OriginId::NONE`].
#[derive(Clone, Debug)]
pub struct Origins {
    rows: IndexSet<Origin>,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            rows: IndexSet::from([Origin::Unruled]),
        }
    }
}

impl Origins {
    /// The text that sets a value.
    pub fn written(&mut self, span: Span) -> OriginId {
        if span.is_nowhere() {
            OriginId::NONE
        } else {
            self.insert(Origin::Written(span))
        }
    }

    /// A default that `release` brings (`istio@1.29`).
    pub fn default_of(&mut self, release: &str) -> OriginId {
        let release = release.to_owned();
        self.insert(Origin::Default { release })
    }

    /// Something assumed, in words that can stand alone.
    pub fn assumed(&mut self, reason: &str) -> OriginId {
        let reason = reason.to_owned();
        self.insert(Origin::Assumed { reason })
    }

    /// A written value with its origin.
    pub fn sourced<T>(&mut self, value: Spanned<T>) -> Sourced<T> {
        let origin = self.written(value.span);
        Sourced::new(value.value, origin)
    }

    /// The written value, or what `release` brings.
    pub fn sourced_or<T>(
        &mut self,
        value: Option<Spanned<T>>,
        default: T,
        release: &str,
    ) -> Sourced<T> {
        match value {
            Some(value) => self.sourced(value),
            None => Sourced::new(default, self.default_of(release)),
        }
    }

    /// Who stands behind `id`; unknown ids count as no rule.
    #[must_use]
    pub fn get(&self, id: OriginId) -> &Origin {
        self.rows
            .get_index(id.0 as usize)
            .unwrap_or(&Origin::Unruled)
    }

    /// The place, when somebody wrote it.
    #[must_use]
    pub fn span(&self, id: OriginId) -> Option<Span> {
        match self.get(id) {
            Origin::Written(span) => Some(*span),
            Origin::Unruled | Origin::Default { .. } | Origin::Assumed { .. } => None,
        }
    }

    /// `vs.yaml:14` or `default of istio@1.29`.
    #[must_use]
    pub fn text(&self, id: OriginId, sources: &Sources) -> String {
        match self.get(id) {
            Origin::Unruled => String::new(),
            Origin::Written(span) => sources.locate(*span),
            Origin::Default { release } => format!("default of {release}"),
            Origin::Assumed { reason } => format!("assumed: {reason}"),
        }
    }

    /// Every row in order, as a report shows it; the row's number is the [`OriginId`].
    pub fn rows<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = OriginText> + 'a {
        self.rows.iter().enumerate().map(|(nth, origin)| {
            let snippet = match origin {
                Origin::Written(span) => snippet(sources, *span),
                Origin::Unruled | Origin::Default { .. } | Origin::Assumed { .. } => String::new(),
            };
            OriginText {
                text: self.text(OriginId(row(nth)), sources),
                snippet,
                is_written: matches!(origin, Origin::Written(_)),
            }
        })
    }

    fn insert(&mut self, origin: Origin) -> OriginId {
        let (nth, _) = self.rows.insert_full(origin);
        OriginId(row(nth))
    }
}

fn row(nth: usize) -> u32 {
    u32::try_from(nth).expect("fewer than 2^32 rules")
}

/// The whole first line that the span stands on, so that the key is seen beside the value.
fn snippet(sources: &Sources, span: Span) -> String {
    const LONGEST: usize = 120;
    let Some(source) = sources.get(span.source) else {
        return String::new();
    };
    let line = source.line_of(span.start);
    let text = source
        .text()
        .get(source.lines(line, line))
        .unwrap_or_default()
        .trim();
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SourceId;

    #[test]
    fn equal_origins_are_one_row_and_read_as_people_cite_them() {
        let mut sources = Sources::default();
        let source = sources.add("vs.yaml", "retries:\n  attempts: 3\n");
        let span = Span {
            source,
            start: 21,
            end: 22,
        };
        let mut origins = Origins::default();
        let written = origins.written(span);
        let default = origins.default_of("istio@1.29");
        assert_eq!(origins.written(span), written);
        assert_eq!(origins.default_of("istio@1.29"), default);
        assert_eq!(origins.written(Span::NOWHERE), OriginId::NONE);
        assert_eq!(origins.text(written, &sources), "vs.yaml:2");
        assert_eq!(origins.text(default, &sources), "default of istio@1.29");
        assert_eq!(origins.text(OriginId(99), &sources), "");
        let rows: Vec<OriginText> = origins.rows(&sources).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (rows[1].snippet.as_str(), rows[1].is_written),
            ("attempts: 3", true)
        );
        assert_eq!(rows[2].snippet, "");
        let unknown = Span {
            source: SourceId(7),
            start: 0,
            end: 1,
        };
        assert_eq!(snippet(&sources, unknown), "");
    }
}
