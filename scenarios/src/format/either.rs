//! Values with a short form (a scalar) beside a mapping.

/// A value that is written as one scalar or as a mapping.
pub(super) trait ScalarOrMap: Sized {
    /// The long form.
    type Map;

    /// Reads the short form.
    fn scalar(text: &str) -> Result<Self, String>;

    /// Takes the long form.
    fn map(map: Self::Map) -> Self;
}

/// Reads `$name` through [`ScalarOrMap`]; its schema takes the short form as `$short` or the mapping.
macro_rules! scalar_or_map {
    ($name:ident, $short:ty) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use manifests::text::ScalarOr;
                use $crate::format::either::ScalarOrMap;
                match ScalarOr::deserialize(deserializer)? {
                    ScalarOr::Scalar(text) => {
                        Self::scalar(text.trim()).map_err(serde::de::Error::custom)
                    }
                    ScalarOr::Full(map) => Ok(Self::map(map)),
                }
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
