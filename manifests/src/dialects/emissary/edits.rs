//! Headers that are added and taken out.

use std::collections::BTreeMap;

use proxy_core::config::HeaderEdits;
use proxy_core::heads::HeaderOp;

use super::types::{AddedHeaders, texts};
use super::version::Version;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Node, Spanned, Value};

/// Headers by name, with their value and whether they stand beside one that is there.
pub(super) type Added = BTreeMap<String, (Box<str>, bool)>;

/// Reads headers that are added.
///
/// Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3route.py` (`generate_headers_to_add`).
pub(super) fn added(written: &AddedHeaders, version: Version, out: &mut Diagnostics) -> Added {
    let mut all = Added::new();
    for (name, node) in written {
        let Some(lower) = changeable(name, out) else {
            continue;
        };
        match &node.value {
            Value::String(text) => {
                version.only_old(node.span, "`{value: …}`", out);
                let value = literal(&Spanned::new(text.clone(), node.span), out);
                all.insert(lower, (value, true));
            }
            Value::Map(_) => {
                let Some(header) = crate::text::read::<Header>(node, out) else {
                    continue;
                };
                let value = header.value.map(|value| literal(&value, out));
                all.insert(lower, (value.unwrap_or_default(), header.append));
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Seq(_) => {
                let found = node.describe();
                let message = format!("expected a mapping with `value`, found {found}");
                out.push(Diagnostic::error("field::type", message).label(node.span, "this value"));
            }
        }
    }
    all
}

#[derive(serde::Deserialize)]
#[serde(default)]
struct Header {
    value: Option<Spanned<String>>,
    append: bool,
    #[serde(rename = "v2Representation")]
    _v2: Option<crate::text::Present>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            value: None,
            append: true,
            _v2: None,
        }
    }
}

/// Reads headers that are taken out.
pub(super) fn removed(written: &Node, version: Version, out: &mut Diagnostics) -> Vec<String> {
    if written.as_str().is_some() {
        version.only_old(written.span, "a list", out);
    }
    let Some(names) = texts(written) else {
        let found = written.describe();
        let message = format!("expected a list of texts, found {found}");
        out.push(Diagnostic::error("field::type", message).label(written.span, "this value"));
        return Vec::new();
    };
    names
        .iter()
        .filter_map(|name| changeable(name, out))
        .collect()
}

/// The edits of one level: Envoy takes headers out before it puts any in. A value that is empty is not put in.
pub(super) fn edits(added: &Added, removed: &[String]) -> HeaderEdits {
    let gone = removed.iter();
    let mut edits: HeaderEdits = gone
        .map(|name| HeaderOp::Remove(name.as_str().into()))
        .collect();
    let kept = added.iter().filter(|(_, (value, _))| !value.is_empty());
    edits.extend(kept.map(|(name, (value, append))| {
        let (name, value) = (name.as_str().into(), value.clone());
        match append {
            true => HeaderOp::Append(name, value),
            false => HeaderOp::Set(name, value),
        }
    }));
    edits
}

fn changeable(name: &Spanned<String>, out: &mut Diagnostics) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(':') || lower == "host" {
        out.push(
            Diagnostic::error(
                "emissary::header",
                "Envoy changes no header that begins with `:`, and not `host`",
            )
            .label(name.span, "this header")
            .help("`host_rewrite` changes the Host"),
        );
        return None;
    }
    Some(lower)
}

/// The value without Envoy's escapes; what Envoy would fill in stays as it is written.
fn literal(value: &Spanned<String>, out: &mut Diagnostics) -> Box<str> {
    if value.replace("%%", "").contains('%') {
        let meaning = "the header has the text as it is written";
        out.push(
            Diagnostic::not_modelled(
                "emissary::not-modelled",
                "a value that Envoy fills in",
                meaning,
            )
            .label(value.span, ""),
        );
        return value.as_str().into();
    }
    value.replace("%%", "%").into()
}
