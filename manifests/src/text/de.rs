//! A serde deserializer over a tree: types pull what they need, and every failure knows its node.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::spanned::{PRESENT, SCALAR_OR, SPANNED};
use super::{Entry, Key, Node, Span, Value};
use crate::diagnostics::did_you_mean;

/// What one pass over a tree notices besides the value, and what it leaves out because an earlier pass failed there.
#[derive(Default)]
pub(super) struct Pass<'a> {
    /// Keys that a struct does not have.
    pub(super) unknown: Vec<UnknownKey<'a>>,
    /// Whether keys that a struct does not have are of no interest.
    pub(super) partial: bool,
    /// Nodes that were reported already; as entries and items they count as not written.
    pub(super) broken: BTreeSet<NodeId>,
}

pub(super) struct UnknownKey<'a> {
    pub(super) key: &'a Key,
    pub(super) known: &'static [&'static str],
}

/// The identity of a node in a tree that stays borrowed, so its address does not change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct NodeId(usize);

impl NodeId {
    pub(super) fn of(node: &Node) -> Self {
        Self(std::ptr::from_ref(node).addr())
    }
}

/// Why a value could not be read, and the nodes around it from the inside out.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    /// The node that failed, then those around it.
    pub(super) trail: Vec<(NodeId, Span)>,
    /// What the innermost node is, in words.
    found: String,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// Something else was expected here.
    Type(String),
    /// A mapping lacks a required key.
    Missing(&'static str),
    /// A name that is none of a fixed set.
    Choice {
        wrong: String,
        known: &'static [&'static str],
    },
    /// A type's own complaint.
    Custom(String),
}

impl Failure {
    fn new(problem: Problem) -> Self {
        Self {
            problem,
            trail: Vec::new(),
            found: String::new(),
        }
    }

    fn expected(what: &str) -> Self {
        Self::new(Problem::Type(what.to_owned()))
    }

    /// Notes that the failure passed through `node` on its way out.
    fn through(mut self, node: &Node) -> Self {
        let id = NodeId::of(node);
        if self.trail.is_empty() {
            self.found = node.describe();
        }
        if self.trail.last().is_none_or(|(last, _)| *last != id) {
            self.trail.push((id, node.span));
        }
        self
    }

    /// What is wrong, in one line without the path.
    pub(super) fn message(&self) -> String {
        match &self.problem {
            Problem::Type(expected) => format!("expected {expected}, found {}", self.found),
            Problem::Missing(field) => format!("`{field}` is missing"),
            Problem::Choice { wrong, .. } => format!("`{wrong}` is not a choice here"),
            Problem::Custom(message) => message.clone(),
        }
    }

    /// What to do about it.
    pub(super) fn help(&self) -> Option<String> {
        match &self.problem {
            Problem::Choice { wrong, known } => {
                did_you_mean(wrong, known.iter().copied()).or_else(|| list("one of", known))
            }
            Problem::Type(expected)
                if expected == TEXT
                    && !self.found.ends_with("mapping")
                    && self.found != "a sequence" =>
            {
                Some("put it in quotes".to_owned())
            }
            Problem::Type(_) | Problem::Missing(_) | Problem::Custom(_) => None,
        }
    }
}

/// ``one of: `a`, `b` ``, unless they are too many to read.
pub(super) fn list(lead: &str, names: &[&str]) -> Option<String> {
    const READABLE: usize = 24;
    if names.is_empty() || names.len() > READABLE {
        return None;
    }
    let mut text = format!("{lead}: ");
    for (nth, name) in names.iter().enumerate() {
        let comma = if nth == 0 { "" } else { ", " };
        write!(text, "{comma}`{name}`").expect("a String takes every write");
    }
    Some(text)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Custom(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(&in_words(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(&in_words(&expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::expected(&in_words(&expected.to_string()))
    }

    fn unknown_variant(wrong: &str, known: &'static [&'static str]) -> Self {
        let wrong = wrong.to_owned();
        Self::new(Problem::Choice { wrong, known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing(field))
    }
}

const TEXT: &str = "text";
const MAPPING: &str = "a mapping";
const SEQUENCE: &str = "a sequence";

/// What a type expects, without Rust's names.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "a string" | "a borrowed string" => TEXT,
        "a boolean" => "`true` or `false`",
        "a map" => MAPPING,
        "f32" | "f64" => "a number",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number of 32 bits",
        "i64" | "i128" => "a whole number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number from 0",
        _ if expected.starts_with("struct ") => MAPPING,
        _ => expected,
    };
    words.to_owned()
}

/// Reads one node.
pub(super) struct Reader<'a, 'p> {
    node: &'a Node,
    /// The key under which the node stands.
    key: Option<&'a Key>,
    /// Whether scalars of any kind may be read as text: the way Kubernetes takes quantities.
    lenient: bool,
    pass: &'p mut Pass<'a>,
}

impl<'a, 'p> Reader<'a, 'p> {
    pub(super) fn new(node: &'a Node, pass: &'p mut Pass<'a>) -> Self {
        Self {
            node,
            key: None,
            lenient: false,
            pass,
        }
    }

    fn entry(entry: &'a Entry, pass: &'p mut Pass<'a>) -> Self {
        Self {
            key: Some(&entry.key),
            ..Self::new(&entry.value, pass)
        }
    }

    /// Hands the visitor whatever the node is.
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let node = self.node;
        let result = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visit_int(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_str(text),
            Value::Seq(items) => visitor.visit_seq(Items {
                items: items.iter(),
                pass: self.pass,
            }),
            Value::Map(map) => visitor.visit_map(Entries {
                entries: map.entries().iter(),
                current: None,
                fields: None,
                pass: self.pass,
            }),
        };
        result.map_err(|failure| failure.through(node))
    }

    fn fail<T>(&self, expected: &str) -> Result<T, Failure> {
        Err(Failure::expected(expected).through(self.node))
    }

    fn scalar_text(&self) -> Option<String> {
        match &self.node.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::Seq(_) | Value::Map(_) => None,
        }
    }
}

fn visit_int<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, Failure> {
    if let Ok(value) = u64::try_from(value) {
        visitor.visit_u64(value)
    } else if let Ok(value) = i64::try_from(value) {
        visitor.visit_i64(value)
    } else {
        visitor.visit_i128(value)
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_, '_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Int(value) => visitor
                .visit_f64(value as f64)
                .map_err(|failure: Failure| failure.through(self.node)),
            Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Seq(_)
            | Value::Map(_) => self.visit(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.scalar_text() {
            Some(text) if self.lenient => visitor
                .visit_string(text)
                .map_err(|failure: Failure| failure.through(self.node)),
            Some(_) | None => self.visit(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let node = self.node;
        let span = match (name, self.key) {
            (PRESENT, Some(key)) => key.span.to(node.span),
            (SCALAR_OR, _) if matches!(node.value, Value::Null | Value::Seq(_) | Value::Map(_)) => {
                return visitor.visit_newtype_struct(self);
            }
            (SPANNED | PRESENT | SCALAR_OR, _) => node.span,
            // A quantity may be written as a number.
            _ => {
                self.lenient = name == "Quantity";
                return visitor.visit_newtype_struct(self);
            }
        };
        self.lenient |= name == SCALAR_OR;
        let place = Placed {
            span,
            step: 0,
            value: Some(self),
        };
        visitor
            .visit_seq(place)
            .map_err(|failure| failure.through(node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.as_seq().is_none() {
            return self.fail(SEQUENCE);
        }
        self.visit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.as_map().is_none() {
            return self.fail(MAPPING);
        }
        self.visit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Some(map) = self.node.as_map() else {
            return self.fail(MAPPING);
        };
        let entries = Entries {
            entries: map.entries().iter(),
            current: None,
            fields: Some(fields),
            pass: self.pass,
        };
        visitor
            .visit_map(entries)
            .map_err(|failure: Failure| failure.through(self.node))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let node = self.node;
        let choice = match &node.value {
            Value::String(name) => Choice {
                name,
                at: node,
                content: None,
                pass: self.pass,
            },
            Value::Map(map) => match map.entries() {
                [entry] => Choice {
                    name: &entry.key.text,
                    at: node,
                    content: Some(entry),
                    pass: self.pass,
                },
                _ => {
                    let choices = list("exactly one of", variants)
                        .unwrap_or_else(|| "exactly one key".to_owned());
                    return self.fail(&choices.replace("of: ", "of "));
                }
            },
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Seq(_) => {
                let choices = list("one of", variants).unwrap_or_else(|| TEXT.to_owned());
                return self.fail(&choices.replace("of: ", "of "));
            }
        };
        visitor
            .visit_enum(choice)
            .map_err(|failure| failure.through(node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char bytes byte_buf unit unit_struct identifier
    }
}

/// A value's place and the value, as a sequence of four.
struct Placed<'a, 'p> {
    span: Span,
    step: u8,
    value: Option<Reader<'a, 'p>>,
}

impl<'de> SeqAccess<'de> for Placed<'_, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let number = match self.step {
            0 => self.span.source.0,
            1 => self.span.start,
            2 => self.span.end,
            _ => {
                let reader = self
                    .value
                    .take()
                    .ok_or_else(|| Failure::custom("a place has one value"))?;
                return seed.deserialize(reader).map(Some);
            }
        };
        self.step += 1;
        let number: U32Deserializer<Failure> = number.into_deserializer();
        seed.deserialize(number).map(Some)
    }
}

struct Items<'a, 'p> {
    items: std::slice::Iter<'a, Node>,
    pass: &'p mut Pass<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let broken = &self.pass.broken;
        let Some(item) = self.items.find(|item| !broken.contains(&NodeId::of(item))) else {
            return Ok(None);
        };
        let read = seed.deserialize(Reader::new(item, self.pass));
        read.map(Some).map_err(|failure| failure.through(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a, 'p> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    /// The keys of the struct that reads; a mapping with free keys has none.
    fields: Option<&'static [&'static str]>,
    pass: &'p mut Pass<'a>,
}

impl<'a> Entries<'a, '_> {
    /// The next entry to read. For a struct, a key with nothing behind it counts as not written, as Kubernetes has it.
    fn next(&mut self) -> Option<&'a Entry> {
        for entry in self.entries.by_ref() {
            if let Some(known) = self.fields {
                if !known.contains(&entry.key.text.as_str()) {
                    if !self.pass.partial {
                        let key = &entry.key;
                        self.pass.unknown.push(UnknownKey { key, known });
                    }
                    continue;
                }
                if entry.value.is_null() {
                    continue;
                }
            }
            if !self.pass.broken.contains(&NodeId::of(&entry.value)) {
                return Some(entry);
            }
        }
        None
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        self.current = self.next();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key = seed.deserialize(KeyReader(&entry.key));
        key.map(Some)
            .map_err(|failure| failure.through(&entry.value))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let entry = self
            .current
            .take()
            .ok_or_else(|| Failure::custom("a value has a key"))?;
        seed.deserialize(Reader::entry(entry, self.pass))
            .map_err(|failure| failure.through(&entry.value))
    }
}

/// Reads a mapping's key: text with a place; numbers and booleans as the type wants them.
struct KeyReader<'a>(&'a Key);

impl KeyReader<'_> {
    fn parsed<T: std::str::FromStr>(&self, what: &str) -> Result<T, Failure> {
        let wrong = &self.0.text;
        wrong
            .parse()
            .map_err(|_| Failure::custom(format!("the key `{wrong}` is not {what}")))
    }
}

macro_rules! numeric_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(self.parsed("a whole number in range")?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for KeyReader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(&self.0.text)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name != SPANNED {
            return visitor.visit_newtype_struct(self);
        }
        visitor.visit_seq(PlacedKey {
            key: self.0,
            step: 0,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let name: StrDeserializer<'_, Failure> = self.0.text.as_str().into_deserializer();
        visitor.visit_enum(name)
    }

    numeric_keys! {
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct PlacedKey<'a> {
    key: &'a Key,
    step: u8,
}

impl<'de> SeqAccess<'de> for PlacedKey<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let number = match self.step {
            0 => self.key.span.source.0,
            1 => self.key.span.start,
            2 => self.key.span.end,
            _ => return seed.deserialize(KeyReader(self.key)).map(Some),
        };
        self.step += 1;
        let number: U32Deserializer<Failure> = number.into_deserializer();
        seed.deserialize(number).map(Some)
    }
}

/// An externally tagged enum: `variant` or `variant: content`.
struct Choice<'a, 'p> {
    name: &'a str,
    at: &'a Node,
    content: Option<&'a Entry>,
    pass: &'p mut Pass<'a>,
}

impl<'de, 'a, 'p> EnumAccess<'de> for Choice<'a, 'p> {
    type Error = Failure;
    type Variant = Content<'a, 'p>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a, 'p>), Failure> {
        let name: StrDeserializer<'_, Failure> = self.name.into_deserializer();
        let variant = seed.deserialize(name)?;
        let content = Content {
            name: self.name,
            at: self.at,
            content: self.content,
            pass: self.pass,
        };
        Ok((variant, content))
    }
}

struct Content<'a, 'p> {
    name: &'a str,
    at: &'a Node,
    content: Option<&'a Entry>,
    pass: &'p mut Pass<'a>,
}

impl<'a, 'p> Content<'a, 'p> {
    fn reader(self, expected: &str) -> Result<Reader<'a, 'p>, Failure> {
        match self.content {
            Some(entry) => Ok(Reader::entry(entry, self.pass)),
            None => Err(
                Failure::expected(&format!("{expected} under `{}`", self.name)).through(self.at),
            ),
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_, '_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.content {
            None => Ok(()),
            Some(entry)
                if entry.value.is_null()
                    || entry
                        .value
                        .as_map()
                        .is_some_and(|map| map.entries().is_empty()) =>
            {
                Ok(())
            }
            Some(entry) => {
                Err(Failure::expected(&format!("nothing under `{}`", self.name))
                    .through(&entry.value))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.reader("a value")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        de::Deserializer::deserialize_seq(self.reader(SEQUENCE)?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let reader = self.reader(MAPPING)?;
        de::Deserializer::deserialize_struct(reader, "", fields, visitor)
    }
}
