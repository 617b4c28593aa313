//! The JSON Schema of scenario files, for editors.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;

use crate::format::{API_VERSION, KIND, Scenario};

/// The JSON Schema (draft 2020-12) of a scenario file, pretty-printed.
///
/// It follows the types that files are read into, so it knows exactly their keys; unknown keys are refused as the reader refuses them.
#[must_use]
pub fn schema() -> String {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let schema = generator.root_schema_for::<Scenario>();
    let mut value = schema.to_value();
    close(&mut value);
    if let Some(root) = value.as_object_mut() {
        root.insert("title".to_owned(), "Windtunnel scenario".into());
        if let Some(properties) = root
            .get_mut("properties")
            .and_then(|value| value.as_object_mut())
        {
            properties.insert(
                "apiVersion".to_owned(),
                serde_json::json!({ "const": API_VERSION }),
            );
            properties.insert("kind".to_owned(), serde_json::json!({ "const": KIND }));
        }
    }
    serde_json::to_string_pretty(&value).expect("a schema is plain JSON")
}

/// Refuses unknown keys in every object that has a fixed set of them.
fn close(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            let fixed = map
                .get("properties")
                .is_some_and(serde_json::Value::is_object);
            if fixed && map.get("type").is_some_and(|kind| kind == "object") {
                map.insert("additionalProperties".to_owned(), false.into());
            }
            for (_, child) in map.iter_mut() {
                close(child);
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(close),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
