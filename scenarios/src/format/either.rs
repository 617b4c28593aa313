//! Values with a short form (a scalar) beside a mapping.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, MapAccess, Visitor};

/// A value that is written as one scalar or as a mapping.
pub(super) trait ScalarOrMap: Sized {
    /// The long form.
    type Map;

    /// What should stand here, for an error about something else.
    const EXPECTED: &'static str;

    /// Reads the short form.
    fn scalar(text: &str) -> Result<Self, String>;

    /// Takes the long form.
    fn map(map: Self::Map) -> Self;
}

pub(super) struct EitherVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: ScalarOrMap<Map: Deserialize<'de>>> Visitor<'de> for EitherVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::scalar(text.trim()).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        T::scalar(&value.to_string()).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        T::scalar(&value.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        T::scalar(&value.to_string()).map_err(E::custom)
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<T, E> {
        T::scalar(&value.to_string()).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        T::scalar(&value.to_string()).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Map::deserialize(MapAccessDeserializer::new(map)).map(T::map)
    }
}

/// Reads `$name` through [`ScalarOrMap`]; its schema takes the short form as `$short` or the mapping.
macro_rules! scalar_or_map {
    ($name:ident, $short:ty) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer
                    .deserialize_any($crate::format::either::EitherVisitor(std::marker::PhantomData))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let short = generator.subschema_for::<$short>();
                let map = generator
                    .subschema_for::<<Self as $crate::format::either::ScalarOrMap>::Map>();
                schemars::json_schema!({ "anyOf": [short, map] })
            }
        }
    };
}
pub(super) use scalar_or_map;
