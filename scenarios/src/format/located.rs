//! Values that know where they are written.

use std::borrow::{Borrow, Cow};
use std::ops::Deref;

use manifests::text::{Span, Spanned};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// A value and the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located<T>(Spanned<T>);

impl<T> Located<T> {
    /// Where the value is written.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.span
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Borrow<str> for Located<String> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
