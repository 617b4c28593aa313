use super::*;

fn instance(words: &[(&str, &str)], tags: &[&str]) -> Instance {
    Instance {
        service: "web".to_owned(),
        words: words
            .iter()
            .map(|(name, word)| ((*name).to_owned(), (*word).to_owned()))
            .collect(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    }
}

#[test]
fn conditions_hold_as_in_bexpr() {
    let v2 = instance(&[("version", "2"), ("a-b", "x y")], &["canary", "blue"]);
    for (text, expected) in [
        ("Service.Meta.version == 2", true),
        ("Service.Meta.version == \"2\"", true),
        ("Service.Meta.version == `2`", true),
        ("Service.Meta.version==2", true),
        ("Service.Meta.version != 2", false),
        ("Service.Meta.version == 1", false),
        ("Service.Meta[\"version\"] == 2", true),
        ("Service.Meta[\"a-b\"] == \"x y\"", true),
        ("Service.Meta[`a-b`] contains x", true),
        ("Service.Meta.version matches \"^[0-9]$\"", true),
        ("Service.Meta.version not matches \"^[0-9]$\"", false),
        ("version in Service.Meta", true),
        ("nothing in Service.Meta", false),
        ("Service.Meta contains version", true),
        ("Service.Meta is not empty", true),
        ("canary in Service.Tags", true),
        ("green not in Service.Tags", true),
        ("Service.Tags contains blue", true),
        ("Service.Tags not contains blue", false),
        ("Service.Tags is empty", false),
        ("Service.Service == \"web-sidecar-proxy\"", true),
        ("Service.Kind == \"connect-proxy\"", true),
        // what is not there
        ("Service.Meta.none == x", false),
        ("Service.Meta.none != x", true),
        ("Service.Meta.none is empty", true),
        ("Service.Meta.none is not empty", false),
        ("Service.Meta.none not contains x", true),
        // joined
        ("not Service.Meta.version == 1", true),
        ("not not Service.Meta.version == 1", false),
        ("Service.Meta.version == 1 or canary in Service.Tags", true),
        (
            "Service.Meta.version == 1 and canary in Service.Tags",
            false,
        ),
        (
            "Service.Meta.version == 2 or Service.Meta.version == 3 and green in Service.Tags",
            true,
        ),
        (
            "(Service.Meta.version == 2 or Service.Meta.version == 3) and green in Service.Tags",
            false,
        ),
        (" ( Service.Meta.version == 2 ) ", true),
    ] {
        let filter = parse(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
        assert_eq!(filter.takes(&v2), expected, "{text}");
    }
}

#[test]
fn fields_that_only_consul_knows_are_taken_for_true_and_named() {
    for text in [
        "Node.Meta.zone == a",
        "Checks.Status == passing",
        "Service.Port == 80",
        "Service.Meta.version == x and Service.Meta[\"pod-name\"] == y",
    ] {
        let filter = parse(text).unwrap_or_else(|problem| panic!("{text}: {}", problem.message));
        assert!(filter.unknown().is_some(), "{text}");
    }
    let filter = parse("Node.Node == a").expect("an expression");
    assert!(filter.takes(&Instance::default()));
}

#[test]
fn what_is_no_expression_is_refused_in_words() {
    let deep = format!("{}Service.Meta.a == 1", "not ".repeat(1000));
    let open = "(".repeat(1000);
    for text in [
        "",
        "Service.Meta.version",
        "Service.Meta.version =",
        "Service.Meta.version == ",
        "Service.Meta.version == v1.2",
        "Service.Meta.version == 1x",
        "Service.Meta.version == \"open",
        "Service.Meta.a-b == 1",
        "Service.Meta[version] == 1",
        "Service.Meta[\"version\" == 1",
        "(Service.Meta.version == 1",
        "Service.Meta.version == 1)",
        "Service.Meta.version == 1 Service.Meta.version == 2",
        "Service.Meta.version == 1 and",
        "Service.Meta == x",
        "Service.Tags matches x",
        "Service.Meta.version matches \"(\"",
        "ServiceMeta.version == 1",
        "version == 1",
        "§",
        "\"a\\q\" in Service.Tags",
        &deep,
        &open,
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let help = parse("ServiceMeta.version == 1")
        .expect_err("no field")
        .help;
    assert_eq!(help.as_deref(), Some("write `Service.Meta.version`"));
}
