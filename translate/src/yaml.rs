//! Trees that are written as YAML, with their keys in the order in which they were put in.

use manifests::text;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// What is written.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text, quoted where another reader would take it for something else.
    Text(String),
    /// A sequence.
    List(Vec<Self>),
    /// A mapping.
    Map(Map),
}

/// A mapping with its keys in the order in which they were put in; no key occurs twice.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// With `key`, in the place of a value that it may have had.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// With `key`, if there is something to be said.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With a list under `key`, unless it is empty.
    #[must_use]
    pub fn list(self, key: &str, items: Vec<impl Into<Value>>) -> Self {
        if items.is_empty() {
            self
        } else {
            self.with(key, items)
        }
    }

    /// With a mapping under `key`, unless it is empty.
    #[must_use]
    pub fn map(self, key: &str, map: Self) -> Self {
        if map.is_empty() {
            self
        } else {
            self.with(key, map)
        }
    }

    /// Puts a value in, or in the place of the one that `key` has.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(own, _)| own == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(own, _)| own == key);
        found.map(|(_, value)| value)
    }

    /// The mapping under `key`, made where there is none.
    pub fn under(&mut self, key: &str) -> &mut Self {
        if !matches!(self.get(key), Some(Value::Map(_))) {
            self.set(key, Self::new());
        }
        let found = self.0.iter_mut().find(|(own, _)| own == key);
        match found {
            Some((_, Value::Map(map))) => map,
            Some(_) | None => unreachable!("a mapping was put there"),
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(own, _)| own == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the keys that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value {
    /// What was read, without its places.
    #[must_use]
    pub fn of(node: &text::Node) -> Self {
        match &node.value {
            text::Value::Null => Self::Null,
            text::Value::Bool(value) => Self::Bool(*value),
            text::Value::Int(value) => Self::Int(*value),
            text::Value::Float(value) => Self::Float(*value),
            text::Value::String(text) => Self::Text(text.clone()),
            text::Value::Seq(items) => Self::List(items.iter().map(Self::of).collect()),
            text::Value::Map(map) => {
                let entries = map.entries().iter();
                let entries = entries.map(|entry| (entry.key.text.clone(), Self::of(&entry.value)));
                Self::Map(Map(entries.collect()))
            }
        }
    }

    /// The mapping, when this is one.
    #[must_use]
    pub fn into_map(self) -> Option<Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::List(_) => None,
        }
    }

    /// As a YAML document, with its last line break.
    ///
    /// # Panics
    /// Never: no value is beyond YAML, and a string takes everything that is written into it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // folding would break long patterns and annotations where they have spaces
        let options = serde_saphyr::ser_options! { folded_wrap_chars: 1 << 20 };
        let mut text = serde_saphyr::to_string_with_options(self, options)
            .expect("trees of plain values can be written");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(*value),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Map(Map(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    /// A whole number is written without a fraction.
    fn from(value: f64) -> Self {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            Self::Int(value as i128)
        } else {
            Self::Float(value)
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_in_which_they_were_put_in() {
        let inner = Map::new().with("port", 80_u16).with("name", "http");
        let value: Value = Map::new()
            .with("kind", "Service")
            .with("apiVersion", "v1")
            .with("ports", vec![inner])
            .into();
        assert_eq!(
            value.to_yaml(),
            "kind: Service\napiVersion: v1\nports:\n- port: 80\n  name: http\n"
        );
    }

    #[test]
    fn text_stays_text_for_whoever_reads_it() {
        for text in [
            "true",
            "yes",
            "on",
            "y",
            "null",
            "~",
            "12",
            "0x1f",
            "1e3",
            "1.5",
            "007",
            "12:30:45",
            "",
            " lead",
            "a: b",
            "# no comment",
            "- x",
            "*",
            "&a",
            "!t",
            "%",
            "@",
            "`",
            "{a}",
            "[b]",
            "a\nb\n",
            "a\tb",
            "it's",
            "\"q\"",
            "5xx",
            "503",
            ".inf",
            "2026-01-01",
            "<<",
            "=",
            "^/a(?:/|$)",
            "back\\slash",
            "\u{e9}",
            "trail ",
        ] {
            let yaml = Value::from(Map::new().with("key", text)).to_yaml();
            let mut sources = text::Sources::default();
            let source = sources.add("t.yaml", yaml.as_str());
            let mut problems = manifests::diagnostics::Diagnostics::default();
            let read = text::parse(&sources, source, &mut problems);
            let found = read.first().and_then(|node| node.get("key"));
            let found = found.and_then(text::Node::as_str);
            assert_eq!(found, Some(text), "{yaml}");
        }
    }

    #[test]
    fn nothing_is_written_where_nothing_is_said() {
        let none: Option<&str> = None;
        let empty: Vec<&str> = Vec::new();
        let map = Map::new()
            .maybe("a", none)
            .list("b", empty)
            .map("c", Map::new());
        assert!(map.is_empty());
    }
}
