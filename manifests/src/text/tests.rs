use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::diagnostics::Diagnostics;

/// Parses and reads one text; gives the value and the problems as lines.
fn read_text<T: serde::de::DeserializeOwned>(text: &str) -> (Option<T>, String) {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let file = sources.add("a.yaml", text);
    let documents = parse(&sources, file, &mut problems);
    let value = documents.first().and_then(|node| read(node, &mut problems));
    (value, problems.to_lines(&sources))
}

fn parse_text(text: &str) -> (Vec<Node>, String) {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let file = sources.add("a.yaml", text);
    let documents = parse(&sources, file, &mut problems);
    (documents, problems.to_lines(&sources))
}

#[derive(Deserialize, Debug, PartialEq)]
struct Port {
    port: u16,
    name: Option<String>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Time {
    Constant(String),
    Exponential { mean: String },
    Never,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Everything {
    name: Spanned<String>,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    labels: BTreeMap<Spanned<String>, String>,
    share: Option<f64>,
    time: Option<ScalarOr<Time>>,
    tls: Option<Present>,
    raw: Option<Node>,
}

#[test]
fn a_type_reads_values_places_and_subtrees() {
    let text = "name: web\nports:\n- {port: 80, name: http}\n- port: 0x1F\nlabels: {app: web}\nshare: 1\ntime: 4ms\ntls:\n  mode: x\nraw: [1, {a: b}]\n";
    let (value, problems) = read_text::<Everything>(text);
    assert_eq!(problems, "");
    let value = value.expect("nothing is wrong");
    let slice = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!(slice(value.name.span), "web");
    assert_eq!(
        value.ports[1],
        Port {
            port: 31,
            name: None
        }
    );
    assert_eq!(value.labels.get("app").map(String::as_str), Some("web"));
    let (label, _) = value.labels.first_key_value().expect("one label");
    assert_eq!(slice(label.span), "app");
    assert_eq!(value.share, Some(1.0));
    assert!(
        matches!(&value.time, Some(ScalarOr::Scalar(short)) if short.value == "4ms" && slice(short.span) == "4ms")
    );
    assert_eq!(
        slice(value.tls.expect("written").span).trim_end(),
        "tls:\n  mode: x"
    );
    let raw = value.raw.expect("written");
    assert_eq!(raw.at("1.a").and_then(Node::as_str), Some("b"));
    assert_eq!(slice(raw.span), "[1, {a: b}]");
}

#[test]
fn enums_take_a_name_or_one_key() {
    for (text, expected) in [
        ("never", Some(Time::Never)),
        ("never:", Some(Time::Never)),
        ("constant: 4ms", Some(Time::Constant("4ms".to_owned()))),
        (
            "exponential: {mean: 1s}",
            Some(Time::Exponential {
                mean: "1s".to_owned(),
            }),
        ),
        ("sometimes", None),
        ("constant", None),
        ("{constant: 1s, never: }", None),
        ("{}", None),
        ("3", None),
    ] {
        let (value, problems) = read_text::<Time>(text);
        assert_eq!(value.is_none(), !problems.is_empty(), "{text}: {problems}");
        assert_eq!(value, expected, "{text}");
    }
}

#[test]
fn every_problem_of_a_tree_is_reported_in_one_go() {
    let (value, problems) = read_text::<Everything>(
        "nmae: x\nports:\n- port: high\n  nam: x\n- port: 70000\n- {name: y}\nshare: lots\ntime: {exponental: {mean: 1s}}\nlabels: {a: 1}\n",
    );
    assert_eq!(value, None);
    assert_eq!(
        problems,
        "a.yaml:1:1: error[field::unknown]: unknown field `nmae`: did you mean `name`?\n\
         a.yaml:1:1: error[field::missing]: `name` is missing\n\
         a.yaml:3:9: error[field::type]: ports[0].port: expected a whole number from 0 to 65535, found the string `high`\n\
         a.yaml:4:3: error[field::unknown]: unknown field `nam`: did you mean `name`?\n\
         a.yaml:5:9: error[field::type]: ports[1].port: expected a whole number from 0 to 65535, found the number `70000`\n\
         a.yaml:6:3: error[field::missing]: ports[2]: `port` is missing\n\
         a.yaml:7:8: error[field::type]: share: expected a number, found the string `lots`\n\
         a.yaml:8:7: error[field::choice]: time: `exponental` is not a choice here: did you mean `exponential`?\n\
         a.yaml:9:13: error[field::type]: labels.a: expected text, found the number `1`: put it in quotes\n"
    );
}

#[test]
fn an_unknown_key_inside_a_long_form_is_found() {
    let (value, problems) =
        read_text::<Everything>("name: a\ntime: {exponential: {mean: 1s, maen: 2s}}\n");
    assert!(value.is_some());
    assert_eq!(
        problems,
        "a.yaml:2:32: error[field::unknown]: unknown field `maen`: did you mean `mean`?\n"
    );
}

#[test]
fn a_key_with_nothing_behind_it_counts_as_not_written() {
    let (value, problems) = read_text::<Everything>("name: a\nports:\nlabels: null\nshare: ~\n");
    assert_eq!(problems, "");
    assert_eq!(value.map(|value| value.ports.len()), Some(0));
}

#[test]
fn kubernetes_types_read_strictly() {
    use k8s_openapi::api::core::v1::{Container, Service};
    let (service, problems) = read_text::<Service>(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n    tragetPort: http\n",
    );
    assert_eq!(
        problems,
        "a.yaml:7:5: error[field::unknown]: unknown field `tragetPort`: did you mean `targetPort`?\n"
    );
    assert_eq!(
        service
            .and_then(|service| service.spec)
            .and_then(|spec| spec.ports)
            .map(|ports| ports.len()),
        Some(1)
    );
    let (container, problems) = read_text::<Container>(
        "name: a\nresources: {limits: {cpu: 2, memory: 1Gi}}\nports: [{containerPort: 8080}]\n",
    );
    assert_eq!(problems, "");
    let limits = container
        .and_then(|container| container.resources)
        .and_then(|resources| resources.limits);
    assert_eq!(
        limits.and_then(|limits| limits.get("cpu").map(|cpu| cpu.0.clone())),
        Some("2".to_owned())
    );
}

#[test]
fn anchors_aliases_and_merge_keys_are_applied() {
    let (documents, problems) =
        parse_text("base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\nlist: [*base]\n");
    assert_eq!(problems, "");
    let root = &documents[0];
    for (path, expected) in [("use.a", 1), ("use.b", 3), ("list.0.b", 2)] {
        assert_eq!(
            root.at(path).map(|node| &node.value),
            Some(&Value::Int(expected)),
            "{path}"
        );
    }
}

#[test]
fn texts_that_cannot_be_read_are_located_errors() {
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                before.trim_end_matches(", ")
            ));
        }
        text
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (name, text, expected) in [
        (
            "duplicate key",
            "a: 1\nb: 2\na: 3\n",
            "a.yaml:3:1: error[yaml::duplicate-key]",
        ),
        ("syntax", "a: [1, 2\nb: 3\n", "error[yaml::syntax]"),
        ("alias bomb", bomb.as_str(), "error[yaml::too-many-aliases]"),
        ("depth", deep.as_str(), "error[yaml::too-deep]"),
        ("recursion", "a: &a [*a]\n", "error[yaml::alias]"),
        ("tag", "a: !!python/object x\n", "error[yaml::tag]"),
        ("merge of a scalar", "a: {<<: 1}\n", "error[yaml::merge]"),
        ("a mapping as key", "{a: 1}: 2\n", "error[yaml::key]"),
    ] {
        let (_, problems) = parse_text(text);
        assert!(problems.contains(expected), "{name}: {problems}");
    }
}

#[test]
fn documents_of_nothing_are_left_out_and_json_is_yaml() {
    let (documents, problems) = parse_text(
        "---\n# only a comment\n---\na: 1\n---\n{\"b\": [true, null, 1.5, \"x\\u00e9\"]}\n",
    );
    assert_eq!(problems, "");
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].at("b.3").and_then(Node::as_str), Some("xé"));
}

#[test]
fn places_count_characters_and_spans_count_bytes() {
    let mut sources = Sources::default();
    let file = sources.add("ü.yaml", "é: ß\nkey: value\n");
    let documents = parse(&sources, file, &mut Diagnostics::default());
    let first = documents[0].get("é").expect("written");
    assert_eq!(sources.slice(first.span), "ß");
    assert_eq!(
        sources.position(first.span),
        Some(Position { line: 1, column: 4 })
    );
    let second = documents[0].get("key").expect("written");
    assert_eq!(sources.slice(second.span), "value");
    assert_eq!(sources.locate(second.span), "ü.yaml:2");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-a-c0-9:{}\\[\\],\"'&*!|> \n#~.<éß]{0,80}") {
        let mut sources = Sources::default();
        let mut problems = Diagnostics::default();
        let file = sources.add("a.yaml", text.as_str());
        for node in parse(&sources, file, &mut problems) {
            let _ = read::<Everything>(&node, &mut problems);
            let copy = read::<Node>(&node, &mut problems);
            prop_assert_eq!(format!("{copy:?}"), format!("{:?}", Some(&node)));
        }
        let _ = problems.render(&sources);
        let _ = problems.to_lines(&sources);
    }

    #[test]
    fn no_bytes_panic(text in any::<String>()) {
        let (documents, _) = parse_text(&text);
        for node in documents {
            let _ = read::<Everything>(&node, &mut Diagnostics::default());
        }
    }

    #[test]
    fn no_shape_panics_a_type(
        key in "name|ports|labels|share|time|tls|raw|other",
        value in "(\\[|\\{a: )?(x|1|-1|99999999999999999999|1\\.5|null|true|\\{\\}|\\[\\]|\\{port: 1\\}|\\{never: \\}|\\{exponential: \\{mean: 1\\}\\})",
    ) {
        let close = match value.as_bytes() { [b'[', ..] if !value.ends_with(']') => "]", [b'{', b'a', ..] => "}", _ => "" };
        let (value, problems) = read_text::<Everything>(&format!("name: a\nx{key}: 1\n{key}: {value}{close}\n"));
        prop_assert!(value.is_some() || problems.contains("error["));
    }
}

#[test]
fn a_flow_collection_ends_at_its_bracket() {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let text = "a: {b: [1, 2]}  # a comment\nc: [x]\n";
    let source = sources.add("t.yaml", text);
    let documents = parse(&sources, source, &mut problems);
    let slice = |path: &str| sources.slice(documents[0].at(path).expect(path).span);
    assert_eq!(slice("a"), "{b: [1, 2]}");
    assert_eq!(slice("a.b"), "[1, 2]");
    assert_eq!(slice("c"), "[x]");
}
