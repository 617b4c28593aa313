//! Conditions on headers and parameters.

use std::collections::BTreeMap;

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, TextMatch};

use super::types::Texts;
use super::version::Version;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Node, Span, Spanned, Value};

/// What a header or a parameter must be.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irhttpmapping.py` (`KeyValueDecorator`).
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_regex: bool,
    pub(super) span: Span,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.value, self.is_regex) == (&other.name, &other.value, other.is_regex)
    }
}

impl Condition {
    /// How much it counts in the order of Mappings.
    pub(super) fn length(&self) -> usize {
        self.name.chars().count() + self.value.chars().count() + usize::from(self.is_regex)
    }

    /// What decides between those of one length.
    pub(super) fn key(&self) -> String {
        format!("{}-{}", self.name, self.value)
    }

    /// The value as the core compares it.
    fn text(&self) -> TextMatch {
        if !self.is_regex {
            return TextMatch::Exact(self.value.as_str().into());
        }
        // one that does not compile was reported; it takes nothing
        TextMatch::regex(&self.value).unwrap_or_else(|_| TextMatch::Exact("\0".into()))
    }

    /// As a condition on a header; none: it holds of every request.
    ///
    /// Source: `python/ambassador/src/ambassador/envoy/v3/v3route.py` (`generate_headers`): of the authority the value is a glob.
    pub(super) fn on_header(&self) -> Option<HeaderMatch> {
        let value = match self.value.as_str() {
            "*" if self.is_authority() => return None,
            glob if self.is_authority() => match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
                (Some(suffix), _) => TextMatch::Suffix(suffix.into()),
                (None, Some(prefix)) => TextMatch::Prefix(prefix.into()),
                (None, None) => self.text(),
            },
            _ => self.text(),
        };
        Some(HeaderMatch {
            name: self.name.to_ascii_lowercase().into(),
            value,
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        })
    }

    fn is_authority(&self) -> bool {
        !self.is_regex && self.name == ":authority"
    }

    /// As a condition on a parameter.
    pub(super) fn on_param(&self) -> ParamMatch {
        ParamMatch {
            name: self.name.as_str().into(),
            value: self.text(),
            invert: false,
        }
    }
}

/// Conditions by equality and by pattern, each kind by name.
///
/// Source: `pkg/api/getambassador.io/v2/handwritten.conversion.go`: where an old version says `true`, any value will do.
pub(super) fn conditions(
    exact: &BTreeMap<Spanned<String>, Node>,
    regex: &Texts,
    version: Version,
    out: &mut Diagnostics,
) -> Vec<Condition> {
    let mut equal = Vec::new();
    let mut patterns: BTreeMap<&str, Condition> = BTreeMap::new();
    for (name, value) in regex {
        let condition = Condition {
            name: name.value.clone(),
            value: value.value.clone(),
            is_regex: true,
            span: value.span,
        };
        check(&condition.value, value.span, out);
        patterns.insert(name, condition);
    }
    for (name, node) in exact {
        let one = |value: &str, is_regex| Condition {
            name: name.value.clone(),
            value: value.to_owned(),
            is_regex,
            span: node.span,
        };
        match &node.value {
            Value::String(text) => equal.push(one(text, false)),
            Value::Bool(wanted) => {
                version.only_old(
                    node.span,
                    "`regex_headers` or `regex_query_parameters` with `.*`",
                    out,
                );
                if *wanted {
                    patterns.entry(name).or_insert_with(|| one(".*", true));
                }
            }
            Value::Null | Value::Int(_) | Value::Float(_) | Value::Seq(_) | Value::Map(_) => {
                let found = node.describe();
                out.push(
                    Diagnostic::error("field::type", format!("expected text, found {found}"))
                        .label(node.span, "this value"),
                );
            }
        }
    }
    equal.extend(patterns.into_values());
    equal
}

/// What a path begins with, is, or matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PathKind {
    Prefix,
    Exact,
    Regex,
}

/// The condition on a path. One that does not compile takes nothing; it was reported.
pub(super) fn path(kind: PathKind, prefix: &str) -> PathMatch {
    match kind {
        PathKind::Prefix => PathMatch::Prefix(prefix.into()),
        PathKind::Exact => PathMatch::Exact(prefix.into()),
        PathKind::Regex => {
            PathMatch::regex(prefix).unwrap_or_else(|_| PathMatch::Exact("\0".into()))
        }
    }
}

/// Reports a pattern that does not compile.
pub(super) fn check(pattern: &str, span: Span, out: &mut Diagnostics) {
    if let Err(error) = TextMatch::regex(pattern) {
        out.push(
            Diagnostic::error("emissary::bad-regex", error.to_string())
                .label(span, "this pattern")
                .help("Envoy takes RE2: no look-around and no back-references"),
        );
    }
}
