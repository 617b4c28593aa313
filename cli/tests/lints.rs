//! `windtunnel check`: every lint as its page describes it, silences, levels, and what the findings become.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use manifests::lints::{LINTS, Level};
use serde_json::Value;
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/lints.md");

/// A folder to check in.
struct Bench(TempDir);

struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            let path = bench.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        bench
    }

    fn check(&self, args: &[&str]) -> Ran {
        self.check_with(args, "")
    }

    fn check_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
            .arg("check")
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // a program that reads nothing has closed it
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
        Ran {
            status: output.status.code().expect("no signal ends it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let ran = self.check(&all);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.err))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("it was written")
    }
}

/// The codes of what is graver than notes.
fn codes(json: &Value) -> BTreeSet<String> {
    let findings = json["findings"].as_array().expect("a list").iter();
    let grave = findings.filter(|it| {
        let kind = it["kind"].as_str().expect("a kind");
        matches!(kind, "error" | "warning" | "advice")
    });
    grave
        .map(|it| it["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// Blocks of YAML on the page below a heading: what the fence says behind `yaml`, and the text.
fn blocks(section: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = section;
    while let Some((_, begun)) = rest.split_once("```yaml") {
        let (info, body) = begun.split_once('\n').expect("a fence ends its line");
        let (text, after) = body.split_once("```").expect("a block ends");
        found.push((info.trim(), text));
        rest = after;
    }
    found
}

/// Lints of the page by code, with their part of it.
fn sections() -> Vec<(&'static str, &'static str)> {
    let parts = PAGE.split("\n### `").skip(1);
    parts
        .map(|part| part.split_once('`').expect("a heading with a code"))
        .collect()
}

fn base() -> &'static str {
    let head = PAGE.split("\n### `").next().expect("a beginning");
    let all = blocks(head);
    all.last().expect("the objects of the examples").1
}

#[test]
fn the_page_has_every_lint_in_its_own_words() {
    let documented: Vec<&str> = sections().into_iter().map(|(code, _)| code).collect();
    let mut known: Vec<&str> = LINTS.iter().map(|lint| lint.code).collect();
    known.sort_unstable();
    assert_eq!(documented, known);
    for (code, section) in sections() {
        let lint = manifests::lints::named(code).expect("it is known");
        let level = match lint.level {
            Level::Warning => "Warning",
            Level::Advice => "Advice",
        };
        for text in [
            format!("{}. *{level}.*", lint.name),
            lint.reason.to_owned(),
            format!("What to do: {}.", lint.help),
        ] {
            assert!(
                section.contains(&text),
                "{code}: the page does not say: {text}"
            );
        }
    }
}

#[test]
fn nothing_is_found_in_the_objects_of_the_examples() {
    let bench = Bench::new(&[("base.yaml", base())]);
    let json = bench.json(&["-f", "base.yaml"]);
    assert_eq!(codes(&json), BTreeSet::new(), "{json:#}");
}

#[test]
fn each_example_is_found_until_it_is_mended() {
    let mut without = Vec::new();
    for (code, section) in sections() {
        let all = blocks(section);
        let [(info, found), (then, mended)] = all[..] else {
            assert!(all.is_empty(), "{code}: an example and what mends it");
            without.push(code);
            continue;
        };
        let bench = Bench::new(&[
            ("base.yaml", base()),
            ("found.yaml", found),
            ("mended.yaml", mended),
        ]);
        let layers: &[&str] = match info {
            "found" => &["base.yaml", "found.yaml", "mended.yaml"],
            "found alone" => &["found.yaml", "mended.yaml"],
            other => panic!("{code}: {other}?"),
        };
        let before = &layers[..layers.len() - 1];
        let after = match then {
            "mended instead" => &["base.yaml", "mended.yaml"],
            _ => layers,
        };
        let json = bench.json(before);
        assert!(
            codes(&json).contains(code),
            "{code} is not found:\n{json:#}"
        );
        assert!(json["counts"]["errors"] == 0, "{code}:\n{json:#}");
        let json = bench.json(after);
        assert!(
            !codes(&json).contains(code),
            "{code} is still found:\n{json:#}"
        );
        assert!(json["counts"]["errors"] == 0, "{code}:\n{json:#}");
    }
    // no dialect that is read from manifests can write these; the tests beside them have them
    assert_eq!(without, ["limit::no-retries", "retry::never"]);
}

#[test]
fn what_is_found_is_drawn_at_its_places() {
    let mut drawn = String::new();
    for (code, section) in sections() {
        let Some((info, found)) = blocks(section).first().copied() else {
            continue;
        };
        let bench = Bench::new(&[("base.yaml", base()), ("found.yaml", found)]);
        let layers: &[&str] = match info {
            "found alone" => &["found.yaml"],
            _ => &["base.yaml", "found.yaml"],
        };
        let json = bench.json(layers);
        let findings = json["findings"].as_array().expect("a list");
        for finding in findings.iter().filter(|it| it["code"] == code) {
            drawn.push_str(&format!(
                "{code}: {}\n",
                finding["message"].as_str().expect("words")
            ));
            for place in finding["places"].as_array().expect("a list") {
                let (file, line) = (place["file"].as_str().expect("a file"), &place["line"]);
                let text = place["text"].as_str().unwrap_or_default();
                drawn.push_str(&format!("    {file}:{line}: {text}\n"));
            }
        }
    }
    insta::assert_snapshot!(drawn);
}

fn silences() -> &'static str {
    let all = blocks(PAGE);
    all.iter()
        .find(|(info, _)| *info == "silence")
        .expect("an example")
        .1
}

#[test]
fn a_comment_or_an_annotation_silences_a_code_where_it_stands() {
    let bench = Bench::new(&[("base.yaml", base()), ("found.yaml", silences())]);
    let json = bench.json(&["base.yaml", "found.yaml"]);
    assert_eq!(codes(&json), BTreeSet::new(), "{json:#}");
    assert_eq!(json["counts"]["silenced"], 2, "{json:#}");
    let silenced = json["silenced"].as_array().expect("a list");
    let reasons: BTreeSet<&str> = silenced
        .iter()
        .map(|it| it["reason"].as_str().expect("one"))
        .collect();
    let expected = [
        "orders carry an idempotency key",
        "the rest comes with the next release",
    ];
    assert_eq!(reasons, BTreeSet::from(expected));
    let ran = bench.check(&["base.yaml", "found.yaml"]);
    assert!(ran.out.contains("2 silenced"), "{}", ran.out);
    let taken_away = silences().replace("allow(retry::non-idempotent)", "allow(retry::multiplied)");
    let bench = Bench::new(&[("base.yaml", base()), ("found.yaml", &taken_away)]);
    let found = codes(&bench.json(&["base.yaml", "found.yaml"]));
    let expected = ["retry::non-idempotent", "silence::unused"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn levels_and_codes_may_be_denied() {
    let (_, section) = sections()
        .into_iter()
        .find(|(code, _)| *code == "split::not-a-hundred")
        .expect("it is there");
    let bench = Bench::new(&[("base.yaml", base()), ("found.yaml", blocks(section)[0].1)]);
    for (deny, status) in [
        ("warnings", 0),
        ("advice", 1),
        ("notes", 1),
        ("split::not-a-hundred", 1),
        ("split::", 1),
        ("retry::", 0),
        ("retry::multiplied", 0),
        ("split", 2),
    ] {
        let ran = bench.check(&["base.yaml", "found.yaml", "--deny", deny]);
        assert_eq!(ran.status, status, "{deny}: {}", ran.err);
        assert_eq!(
            ran.out.contains("1 denied"),
            status == 1 && deny != "notes",
            "{deny}: {}",
            ran.out
        );
    }
    let broken = Bench::new(&[("a.yaml", "kind: Service\n")]);
    assert_eq!(broken.check(&["a.yaml", "--deny", "warnings"]).status, 2);
}

#[test]
fn standard_input_is_checked_like_a_file() {
    let bench = Bench::new(&[]);
    let text = format!("{}---\n{}", base(), silences());
    let ran = bench.check_with(&["-f", "-", "--lines"], &text);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(!ran.out.contains("warning["), "{}", ran.out);
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reports"},
        "spec": {"containers": [{"name": "app", "image": "app"}, {"name": "proxy", "image": "envoyproxy/envoy"}]}}]}"#;
    let ran = bench.check_with(&["-f", "-", "--lines"], list);
    assert!(
        ran.out
            .contains("<stdin>:2:75: warning[sidecar::no-interception]"),
        "{}",
        ran.out
    );
    let allowed = list.replace(r#"{"name": "reports"}"#, r#"{"name": "reports", "annotations": {"windtunnel.dev/allow": "sidecar::no-interception a test"}}"#);
    let ran = bench.check_with(&["-f", "-", "--lines"], &allowed);
    assert!(!ran.out.contains("sidecar::no-interception"), "{}", ran.out);
}

#[test]
fn a_scenario_shows_who_calls_whom() {
    let scenario = "apiVersion: windtunnel.dev/v1alpha1
kind: Scenario
metadata: {name: calls}
spec:
  duration: 10s
  manifests: [base.yaml, over.yaml]
  workloads:
    shop/orders:
      concurrency: 4
      handlers: [{match: /, time: 2ms, steps: [{call: {service: shop/stock, request: GET /, retries: 2, timeout: 1s}}]}]
    shop/stock: {concurrency: 4, queue: {limit: 10}, handlers: [{match: /, time: 2ms}]}
    shop/payments: {handlers: [{match: /, time: 2ms}]}
    shop/mail: {handlers: [{match: /, time: 2ms}]}
    outside/legacy: {handlers: [{match: /, time: 2ms, steps: [{call: {service: shop/stock, request: GET /}}]}]}
  load:
    - {name: users, via: gateway, requests: [{host: api.example.com, path: /orders}], open: {rate: 50/s}, client: {timeout: 1s, retries: 1}}
    - {name: batch, via: outside/legacy, requests: [{host: stock.shop, path: /}], open: {rate: 1/s}}
";
    let over = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  http: [{timeout: 3s, retries: {attempts: 3, retryOn: connect-failure}, route: [{destination: {host: stock}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: shop}
spec: {host: stock, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1000}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
";
    let bench = Bench::new(&[
        ("scenario.yaml", scenario),
        ("base.yaml", base()),
        ("over.yaml", over),
    ]);
    let json = bench.json(&["scenario.yaml"]);
    let found = codes(&json);
    for code in [
        "retry::multiplied",
        "timeout::outer-shorter",
        "mesh::refused",
        "limit::never-reached",
    ] {
        assert!(found.contains(code), "{code}:\n{json:#}");
    }
    let all = json["findings"].as_array().expect("a list");
    let says = |code: &str, part: &str| {
        let mut of = all.iter().filter(|it| it["code"] == code);
        assert!(
            of.any(|it| it["message"].as_str().expect("words").contains(part)),
            "{part}\n{json:#}"
        );
    };
    says(
        "retry::multiplied",
        "12 tries of each request: 3 by the application `shop/orders` × 4 by the sidecar of `shop/orders`",
    );
    says(
        "timeout::outer-shorter",
        "the application `shop/orders` gives up on `shop/stock` after 1s",
    );
    says("mesh::refused", "`outside/legacy`, which has no sidecar");
    says("limit::never-reached", "has room for 28 requests");
}

#[test]
fn findings_become_sarif_that_its_schema_takes() {
    let (_, section) = sections()
        .into_iter()
        .find(|(code, _)| *code == "retry::multiplied")
        .expect("it is there");
    let stock = silences().replacen("name: orders", "name: stock", 1);
    let stock = stock.replace("hosts: [orders]", "hosts: [stock]");
    let bench = Bench::new(&[
        ("a b/base.yaml", base()),
        ("a b/found.yaml", blocks(section)[0].1),
        ("c.yaml", &stock),
    ]);
    let outputs = [
        "-o",
        "sarif=out.sarif",
        "-o",
        "markdown=out.md",
        "-o",
        "text=out.txt",
        "-o",
        "json=out.json",
    ];
    let args: Vec<&str> = [
        "a b/base.yaml",
        "a b/found.yaml",
        "c.yaml",
        "--deny",
        "retry::",
    ]
    .into_iter()
    .chain(outputs)
    .collect();
    let ran = bench.check(&args);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.is_empty(), "{}", ran.err);
    let log: Value = serde_json::from_str(&bench.read("out.sarif")).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let runs = log["runs"].as_array().expect("required");
    let run = &runs[0];
    assert_eq!(run["tool"]["driver"]["name"], "windtunnel");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert!(!results.is_empty());
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().expect("a number") as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            !result["message"]["text"]
                .as_str()
                .expect("required")
                .is_empty()
        );
        let level = result["level"].as_str().expect("a level");
        assert!(["none", "note", "warning", "error"].contains(&level));
        let related = result["relatedLocations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let own = result["locations"].as_array().expect("a list").iter();
        for location in own.chain(&related) {
            let place = &location["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().expect("required");
            assert!(!uri.contains(' '), "{uri}");
            let region = &place["region"];
            let number = |key: &str| region[key].as_u64().expect("a number");
            assert!(number("startLine") >= 1 && number("startColumn") >= 1);
            assert!(
                (number("endLine"), number("endColumn"))
                    >= (number("startLine"), number("startColumn"))
            );
        }
    }
    let of = |code: &str| {
        results
            .iter()
            .find(|it| it["ruleId"] == code)
            .expect("it is found")
    };
    assert_eq!(of("retry::multiplied")["level"], "error");
    let mut silenced = results.iter().filter(|it| !it["suppressions"].is_null());
    let silenced = silenced.next().expect("one is silenced");
    assert_eq!(silenced["ruleId"], "retry::non-idempotent");
    let suppression = &silenced["suppressions"][0];
    assert_eq!(suppression["kind"], "inSource");
    assert_eq!(
        suppression["justification"],
        "orders carry an idempotency key"
    );
    let markdown = bench.read("out.md");
    for part in [
        "### windtunnel check: ",
        "| warning (denied) | a b/found.yaml:",
        "<summary>Silenced (2)</summary>",
    ] {
        assert!(markdown.contains(part), "{part}:\n{markdown}");
    }
    assert!(bench.read("out.txt").contains("retry::multiplied"));
    let json: Value = serde_json::from_str(&bench.read("out.json")).expect("JSON");
    assert_eq!(json["schema"], "windtunnel.dev/check/v1");
    let mut codes = results.iter().filter(|it| it["level"] == "error");
    assert!(codes.all(|it| {
        it["ruleId"]
            .as_str()
            .expect("a rule")
            .starts_with("retry::")
    }));
    let denied = results.iter().filter(|it| it["level"] == "error").count();
    assert_eq!(
        json["denied"], denied,
        "those that are errors in the other output"
    );
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_anything_is_read() {
    let bench = Bench::new(&[("a.yaml", "")]);
    for (args, part) in [
        (
            &["a.yaml", "-o", "json", "-o", "sarif"][..],
            "only one output",
        ),
        (&["a.yaml", "-o", "json=no/such/x"], "no folder"),
        (&["a.yaml", "-o", "html=x"], "`html` is not"),
        (&["a.yaml", "-o", "json", "--lines"], "cannot be used with"),
    ] {
        let ran = bench.check(args);
        assert_eq!(ran.status, 2, "{args:?}");
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
    assert!(!Path::new(bench.0.path()).join("x").exists());
}
