//! JSON values as YAML that people read.

use serde_json::Value;

/// A document.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// Short values without parts of their own stand in one line.
const SHORT: usize = 100;

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(&pad);
                }
                out.push_str(&scalar_text(key));
                out.push(':');
                below(value, indent + 2, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (i, value) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                match in_line(value) {
                    Some(line) => out.push_str(&format!("{line}\n")),
                    None => block(value, indent + 2, out),
                }
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => out.push_str(&format!("{}\n", flow(value))),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    match in_line(value) {
        Some(line) => out.push_str(&format!(" {line}\n")),
        None => {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            block(value, indent, out);
        }
    }
}

fn in_line(value: &Value) -> Option<String> {
    Some(flow(value)).filter(|line| !line.contains('\n') && line.len() <= SHORT || is_leaf(value))
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let all: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar_text(key), flow(value)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Array(list) => {
            let all: Vec<String> = list.iter().map(flow).collect();
            format!("[{}]", all.join(", "))
        }
        Value::String(text) => scalar_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Quoted where it could be taken for something else.
fn scalar_text(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "true" | "false" | "on" | "off" | "null"
        );
    if plain {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
