//! From trees to messages: protobuf's names and typed configs.

use serde::de::DeserializeOwned;

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::{self, Entry, Key, Map, Node, Span, Spanned, Value};

/// One message of Envoy's API, as far as it is modelled.
pub(super) trait Message: DeserializeOwned {
    /// Fields that are understood and not modelled, by what that means for the result.
    const OTHERS: Others;
}

/// Meanings with the fields that they are of.
pub(super) type Others = &'static [(&'static str, &'static [&'static str])];

/// Reads a message: wrong types and unknown fields are errors, fields that are not modelled are noted.
pub(super) fn message<T: Message>(node: &Node, out: &mut Diagnostics) -> Option<T> {
    let mut known = node.clone();
    if let Some(map) = known.as_map_mut() {
        for (meaning, names) in T::OTHERS {
            for entry in names.iter().filter_map(|name| map.remove(name)) {
                if !entry.value.is_null() {
                    let span = entry.key.span.to(entry.value.span);
                    left_out(span, &format!("`{}`", entry.key.text), meaning, out);
                }
            }
        }
    }
    let mut problems = Diagnostics::default();
    let value = text::read(&known, &mut problems);
    out.extend(problems.into_iter().map(|each| suggest::<T>(node, each)));
    value
}

/// The message of a filter that is known by its name alone, with nothing set.
///
/// Source: envoy 1.36 `envoy.reloadable_features.no_extension_lookup_by_name`, which Emissary turns off; releases from 1.40 on refuse it.
pub(super) fn by_name(name: Option<&Spanned<String>>, span: Span) -> Option<Typed> {
    const KNOWN: [(&str, &str); 4] = [
        ("envoy.filters.http.cors", "http.cors.v3.Cors"),
        ("envoy.filters.http.router", "http.router.v3.Router"),
        (
            "envoy.filters.listener.proxy_protocol",
            "listener.proxy_protocol.v3.ProxyProtocol",
        ),
        (
            "envoy.filters.listener.tls_inspector",
            "listener.tls_inspector.v3.TlsInspector",
        ),
    ];
    let name = name?;
    let (_, kind) = KNOWN.iter().find(|(known, _)| *known == name.value)?;
    Some(Typed {
        kind: format!("envoy.extensions.filters.{kind}"),
        span,
        config: Node {
            span,
            value: Value::Map(Map::default()),
        },
    })
}

/// Something that is understood and not modelled; `meaning` says what that does to the result.
pub(super) fn left_out(span: Span, what: &str, meaning: &str, out: &mut Diagnostics) {
    let message = format!("{what} is not modelled");
    out.push(Diagnostic::not_modelled("envoy::not-modelled", message, meaning).label(span, ""));
}

/// Lets an unknown field of this message be a slip of a field that is not modelled.
fn suggest<T: Message>(node: &Node, mut problem: Diagnostic) -> Diagnostic {
    let key = problem.span().and_then(|span| {
        let mut entries = node.as_map()?.entries().iter();
        entries.find(|entry| entry.key.span == span)
    });
    let is_unsure = |help: &String| !help.starts_with("did you mean");
    if let (Some(entry), "field::unknown") = (key, problem.code)
        && problem.help.as_ref().is_none_or(is_unsure)
    {
        let names = T::OTHERS
            .iter()
            .flat_map(|(_, names)| names.iter().copied());
        problem.help = did_you_mean(&entry.key.text, names).or(problem.help);
    }
    problem
}

/// A typed config: the name of its message and the message.
pub(super) struct Typed {
    /// Without `type.googleapis.com/`.
    pub(super) kind: String,
    pub(super) span: Span,
    pub(super) config: Node,
}

/// Reads the `@type` of an `Any`, and looks into a `TypedStruct`.
pub(super) fn typed(node: &Node, out: &mut Diagnostics) -> Option<Typed> {
    let mut config = node.clone();
    let Some(map) = config.as_map_mut() else {
        let found = node.describe();
        out.push(
            Diagnostic::error("envoy::type", format!("expected a mapping, found {found}"))
                .label(node.span, "this typed config"),
        );
        return None;
    };
    let Some(kind) = map.remove("@type") else {
        out.push(
            Diagnostic::error("envoy::type", "a typed config says what it is with `@type`")
                .label(node.span, "without `@type`"),
        );
        return None;
    };
    let Some(url) = kind.value.as_str() else {
        let found = kind.value.describe();
        out.push(
            Diagnostic::error("envoy::type", format!("expected text, found {found}"))
                .label(kind.value.span, "the name of a message"),
        );
        return None;
    };
    let name = short(url);
    if matches!(name, "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct")
        && let Some(url) = map.get("type_url").and_then(Node::as_str)
    {
        let empty = Node {
            span: node.span,
            value: Value::Map(Map::default()),
        };
        return Some(Typed {
            kind: short(url).to_owned(),
            span: kind.value.span,
            config: map.get("value").cloned().unwrap_or(empty),
        });
    }
    Some(Typed {
        kind: name.to_owned(),
        span: kind.value.span,
        config,
    })
}

/// The name of a message without what stands before it in a URL.
pub(super) fn short(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// Mappings whose keys are free, while their values are messages.
const NAMED: [&str; 3] = [
    "typed_extension_protocol_options",
    "typed_filter_metadata",
    "typed_per_filter_config",
];
/// Free data, of which nothing is a message.
const FREE: [&str; 6] = [
    "default_subset",
    "filter_metadata",
    "json_format",
    "match_attributes",
    "static_layer",
    "typed_json_format",
];

/// Gives the fields their names in snake case, where they stand in the lower camel case that protobuf's JSON allows as well.
pub(super) fn rename(node: &mut Node, out: &mut Diagnostics) {
    rename_under(node, "", out);
}

fn rename_under(node: &mut Node, field: &str, out: &mut Diagnostics) {
    match &mut node.value {
        Value::Map(map) => {
            let mut renamed = Map::default();
            for entry in map.entries() {
                let mut entry = entry.clone();
                if !NAMED.contains(&field) {
                    rename_key(&mut entry.key);
                }
                if !FREE.contains(&entry.key.text.as_str()) {
                    rename_under(&mut entry.value, &entry.key.text, out);
                }
                push_once(&mut renamed, entry, out);
            }
            *map = renamed;
        }
        Value::Seq(items) => {
            for item in items {
                rename_under(item, field, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
    }
}

fn push_once(map: &mut Map, entry: Entry, out: &mut Diagnostics) {
    let Some(first) = map.entry(&entry.key.text) else {
        map.insert(entry);
        return;
    };
    let message = format!("`{}` stands twice, in both spellings", entry.key.text);
    out.push(
        Diagnostic::error("envoy::duplicate-field", message)
            .label(entry.key.span, "again")
            .label(first.key.span, "first"),
    );
}

fn rename_key(key: &mut Key) {
    let is_camel = key.text.starts_with(|c: char| c.is_ascii_lowercase())
        && key.text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_camel {
        return;
    }
    // The one place where a digit begins a word.
    let text = key.text.replace("onsecutive5xx", "onsecutive_5xx");
    let mut snake = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    key.text = snake;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    fn renamed(text: &str) -> (Vec<String>, Vec<&'static str>) {
        let mut sources = Sources::default();
        let source = sources.add("a.yaml", text);
        let mut out = Diagnostics::default();
        let mut document = text::parse(&sources, source, &mut out).remove(0);
        rename(&mut document, &mut out);
        let mut names = Vec::new();
        walk(&document, &mut names);
        (names, out.codes().into_iter().collect())
    }

    fn walk(node: &Node, names: &mut Vec<String>) {
        for entry in node.as_map().map_or(&[][..], Map::entries) {
            names.push(entry.key.text.clone());
            walk(&entry.value, names);
        }
        for item in node.as_seq().unwrap_or_default() {
            walk(item, names);
        }
    }

    #[test]
    fn fields_may_stand_in_camel_case_and_free_keys_stay() {
        for (text, names) in [
            (
                "loadAssignment: {lbEndpoints: 1}",
                &["load_assignment", "lb_endpoints"][..],
            ),
            ("http2ProtocolOptions: 1", &["http2_protocol_options"]),
            ("consecutive5xx: 1", &["consecutive_5xx"]),
            ("enforcingConsecutive5xx: 1", &["enforcing_consecutive_5xx"]),
            ("a: [{bC: 1}]", &["a", "b_c"]),
            ("'@type': x", &["@type"]),
            (
                "typedPerFilterConfig: {myFilter: {maxTokens: 1}}",
                &["typed_per_filter_config", "myFilter", "max_tokens"],
            ),
            (
                "filterMetadata: {envoy.lb: {myKey: 1}}",
                &["filter_metadata", "envoy.lb", "myKey"],
            ),
        ] {
            assert_eq!(renamed(text).0, names, "{text}");
        }
    }

    #[test]
    fn a_field_in_both_spellings_is_an_error() {
        let (_, codes) = renamed("lbPolicy: RANDOM\nlb_policy: RANDOM\n");
        assert_eq!(codes, ["envoy::duplicate-field"]);
    }
}
