//! The schema and the reader know the same keys, and take the same example.

use manifests::diagnostics::Diagnostics;
use manifests::text::{self, Node, Sources, Value as Yaml};
use scenarios::read::File;
use scenarios::schema::schema;
use serde_json::{Map, Value, json};

const EVERY_KEY: &str = include_str!("data/every-key.yaml");

fn root() -> Value {
    serde_json::from_str(&schema()).expect("a schema is JSON")
}

/// What this schema says, by the keywords that it uses.
struct Validator<'a>(&'a Value);

impl<'a> Validator<'a> {
    fn follow(&self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(path) => {
                let path = path
                    .strip_prefix('#')
                    .expect("references stay in the schema");
                self.follow(self.0.pointer(path).expect("references lead somewhere"))
            }
            None => schema,
        }
    }

    fn check(&self, schema: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.follow(schema);
        let fail = |why: String| Err(format!("{at}: {why}"));
        let Some(schema) = schema.as_object() else {
            return Ok(());
        };
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(key).and_then(Value::as_array) {
                let tried: Vec<String> = choices
                    .iter()
                    .filter_map(|each| self.check(each, value, at).err())
                    .collect();
                if tried.len() == choices.len() {
                    return fail(tried.join(" | "));
                }
            }
        }
        if let Some(expected) = schema.get("const").filter(|expected| *expected != value) {
            return fail(format!("not {expected}"));
        }
        if let Some(list) = schema
            .get("enum")
            .and_then(Value::as_array)
            .filter(|list| !list.contains(value))
        {
            return fail(format!("none of {list:?}"));
        }
        if let Some(kinds) = schema.get("type") {
            let kinds: Vec<&str> = kinds.as_array().map_or_else(
                || kinds.as_str().into_iter().collect(),
                |list| list.iter().filter_map(Value::as_str).collect(),
            );
            if !kinds.iter().any(|kind| is_a(kind, value)) {
                return fail(format!("{value} is none of {kinds:?}"));
            }
        }
        if let (Some(pattern), Some(text)) = (
            schema.get("pattern").and_then(Value::as_str),
            value.as_str(),
        ) && !regex::Regex::new(pattern)
            .expect("a pattern")
            .is_match(text)
        {
            return fail(format!("`{text}` does not match {pattern}"));
        }
        for (key, holds) in [
            ("minimum", (|a, b| a >= b) as fn(f64, f64) -> bool),
            ("maximum", |a, b| a <= b),
        ] {
            if let (Some(bound), Some(number)) =
                (schema.get(key).and_then(Value::as_f64), value.as_f64())
                && !holds(number, bound)
            {
                return fail(format!("{number} against {key} {bound}"));
            }
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            for (nth, item) in list.iter().enumerate() {
                self.check(items, item, &format!("{at}[{nth}]"))?;
            }
        }
        let Some(object) = value.as_object() else {
            return Ok(());
        };
        let bounds = (schema.get("minProperties"), schema.get("maxProperties"));
        let count = object.len() as u64;
        if bounds
            .0
            .and_then(Value::as_u64)
            .is_some_and(|least| count < least)
            || bounds
                .1
                .and_then(Value::as_u64)
                .is_some_and(|most| count > most)
        {
            return fail(format!("{count} keys"));
        }
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !object.contains_key(key) {
                return fail(format!("no {key}"));
            }
        }
        for (key, value) in object {
            let at = format!("{at}.{key}");
            match (
                schema.get("properties").and_then(|all| all.get(key)),
                schema.get("additionalProperties"),
            ) {
                (Some(property), _) => self.check(property, value, &at)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{at}: unknown")),
                (None, Some(more)) => self.check(more, value, &at)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// A value with every key that the schema has, down to types that hold themselves; `under` are the names of the types above.
    fn everything(&self, schema: &'a Value, under: &[&str]) -> Value {
        let name = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let sample = match name {
            "Period" => json!("1s"),
            "Rate" => json!("1/s"),
            "Share" => json!("1%"),
            "Bytes" => json!("1KiB"),
            "Factor" => json!(1),
            "CountOrShare" => json!("50%"),
            "Timestamp" => json!("2026-01-05T09:00:00Z"),
            "Match" | "RequestLine" => json!("GET /"),
            "Method" => json!("GET"),
            "Path" => json!("/"),
            "Host" => json!("a"),
            _ => Value::Null,
        };
        if !sample.is_null() {
            return sample;
        }
        let again = !name.is_empty() && under.contains(&name);
        let mut under = under.to_vec();
        under.push(name);
        let schema = self.follow(schema);
        if let Some(value) = schema
            .get("const")
            .or_else(|| schema.get("enum").and_then(|list| list.get(0)))
        {
            return value.clone();
        }
        let choices = schema
            .get("anyOf")
            .or_else(|| schema.get("oneOf"))
            .and_then(Value::as_array);
        if let Some(choices) = choices {
            if again {
                return self.everything(&choices[0], &under);
            }
            // The choice that says most: a mapping before a scalar before nothing.
            let mut values: Vec<Value> = choices
                .iter()
                .map(|each| self.everything(each, &under))
                .collect();
            values.sort_by_key(|value| (value.is_object(), !value.is_null()));
            return values.pop().expect("a choice has choices");
        }
        let kind = schema
            .get("type")
            .map(|kind| kind.as_array().map_or(kind, |list| &list[0]));
        match kind.and_then(Value::as_str) {
            Some("object") => {
                let mut object = Map::new();
                for (key, property) in schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    if required(schema, key) || !self.holds(property, &under) {
                        object.insert(key.clone(), self.everything(property, &under));
                    }
                }
                if let Some(more) = schema
                    .get("additionalProperties")
                    .filter(|more| !more.is_boolean())
                {
                    object.insert("some".to_owned(), self.everything(more, &under));
                }
                Value::Object(object)
            }
            Some("array") => match schema.get("prefixItems").and_then(Value::as_array) {
                Some(items) => items
                    .iter()
                    .map(|item| self.everything(item, &under))
                    .collect(),
                None => Value::Array(vec![self.everything(&schema["items"], &under)]),
            },
            Some("integer" | "number") => {
                schema.get("minimum").cloned().unwrap_or_else(|| json!(1))
            }
            Some("string") => json!("x"),
            Some("null") => Value::Null,
            Some("boolean") => json!(true),
            Some(_) | None => json!("anything"),
        }
    }

    /// Whether a property is of a type that stands above it already.
    fn holds(&self, property: &Value, under: &[&str]) -> bool {
        let text = property.to_string();
        under
            .iter()
            .any(|name| !name.is_empty() && text.contains(&format!("/{name}\"")))
    }
}

fn required(schema: &Value, key: &str) -> bool {
    let list = schema.get("required").and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|each| each == key))
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        other => panic!("{other} is no type"),
    }
}

fn to_json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Int(value) => json!(i64::try_from(*value).expect("a small number")),
        Yaml::Float(value) => json!(value),
        Yaml::String(text) => json!(text),
        Yaml::Seq(items) => items.iter().map(to_json).collect(),
        Yaml::Map(map) => map
            .entries()
            .iter()
            .map(|entry| (entry.key.text.clone(), to_json(&entry.value)))
            .collect(),
    }
}

fn parse(text: &str) -> Value {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("s.yaml", text);
    let documents = text::parse(&sources, source, &mut problems);
    assert!(problems.is_empty(), "{}", problems.render(&sources));
    to_json(&documents[0])
}

/// What the reader says of a scenario given as JSON.
fn read(value: &Value) -> String {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("s.json", value.to_string());
    if let Some(file) = File::parse(&sources, source, &mut problems) {
        let _read = file.flight(None, &[], &sources, &mut problems);
    }
    problems.to_lines(&sources)
}

#[test]
fn the_reference_example_is_valid() {
    let root = root();
    Validator(&root)
        .check(&root, &parse(EVERY_KEY), "")
        .expect("it is the reference");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let root = root();
    for (path, wrong) in [
        ("/spec/duration", json!("two minutes")),
        ("/spec/load/0/open/stages/0/hold", json!(200)),
        ("/spec/workloads/service-a/replicas", json!(0)),
        ("/spec/network/loss", json!("130")),
        ("/spec/faults/0/slow/factor", json!(-1)),
        ("/kind", json!("Deployment")),
    ] {
        let mut value = parse(EVERY_KEY);
        *value.pointer_mut(path).expect("it is in the example") = wrong;
        assert!(Validator(&root).check(&root, &value, "").is_err(), "{path}");
        assert!(read(&value).contains("error["), "{path}");
    }
}

#[test]
fn the_reader_takes_every_key_of_the_schema_and_no_other() {
    let root = root();
    let mut everything = Validator(&root).everything(&root, &[]);
    // Variants are edits, not keys.
    everything["spec"]
        .as_object_mut()
        .expect("a mapping")
        .remove("variants");
    everything["metadata"]["name"] = json!("x");
    assert_eq!(read(&everything), "");

    let mut paths = Vec::new();
    objects(&everything, String::new(), &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    let fixed = |path: &str| {
        ![
            "labels",
            "headers",
            "workloads",
            "versions",
            "gateways",
            "percentiles",
        ]
        .iter()
        .any(|open| path.ends_with(open))
    };
    for path in paths.iter().filter(|path| fixed(path)) {
        let mut value = everything.clone();
        let object = value
            .pointer_mut(path)
            .and_then(Value::as_object_mut)
            .expect("it is an object");
        object.insert("zzzzzzzzzzzz".to_owned(), json!(1));
        let said = read(&value);
        assert!(
            said.contains("error[field::unknown]: unknown field `zzzzzzzzzzzz`"),
            "{path}: {said}"
        );
    }
}

fn objects(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                objects(child, format!("{path}/{}", key.replace('/', "~1")), found);
            }
            found.push(path);
        }
        Value::Array(items) => {
            for (nth, child) in items.iter().enumerate() {
                objects(child, format!("{path}/{nth}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
