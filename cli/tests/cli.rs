//! The program as scripts and people use it: arguments in; exit status, files and text out.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of its own to run the program in.
struct Bench {
    folder: TempDir,
}

/// What came of a run.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn bench() -> Bench {
    Bench {
        folder: tempfile::tempdir().expect("a folder"),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A short scenario that expects what is given.
fn scenario(name: &str, expect: &[&str], more: &str) -> String {
    let expect: String = expect
        .iter()
        .map(|each| format!("    - \"{each}\"\n"))
        .collect();
    format!(
        "apiVersion: windtunnel.dev/v1alpha1
kind: Scenario
metadata: {{name: {name}}}
spec:
  duration: 10s
  workloads:
    orders: {{concurrency: 4, handlers: [{{match: /, time: 2ms}}]}}     # assumed: a guess
  load:
    - {{name: users, via: direct, requests: [{{host: orders, path: /}}], open: {{rate: 50/s}}}}
  expect:
{expect}{more}"
    )
}

const VARIANTS: &str = "  variants:
    slow: {}
    fast: {workloads: {orders: {concurrency: 8}}}
";

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("it can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it is there")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder");
        let names = entries.map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windtunnel"));
        command.args(args).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A program that refuses its arguments does not read.
        let _ = child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ran {
    #[track_caller]
    fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Self {
        assert!(self.err.contains(part), "{part} is not in:\n{}", self.err);
        self
    }

    #[track_caller]
    fn prints(self, part: &str) -> Self {
        assert!(self.out.contains(part), "{part} is not in:\n{}", self.out);
        self
    }
}

#[test]
fn the_exit_status_is_the_worst_verdict() {
    for (expect, status) in [
        (&["success('users') > 0.5"][..], 0),
        (&[], 0),
        (&["success('users') > 0.5", "success('users') < 0.5"], 1),
        (
            &["latency('users', '9s', '9500ms').p99 < duration('0s')"],
            1,
        ),
    ] {
        let bench = bench();
        bench.write("s.yaml", scenario("s", expect, ""));
        bench
            .run(&["run", "s.yaml"])
            .exits(status)
            .prints("windtunnel-report.html");
        assert_eq!(bench.names(), ["s.yaml", "windtunnel-report.html"]);
    }
}

#[test]
fn verdicts_of_all_variants_are_printed_and_stand_on_one_page() {
    let bench = bench();
    bench.write(
        "scenario.yaml",
        scenario("two", &["success('users') > 0.5"], VARIANTS),
    );
    bench
        .run(&["run", "."])
        .exits(0)
        .prints("✓ two: slow held")
        .prints("✓ two: fast held");
    let page = bench.read("windtunnel-report.html");
    assert!(page.contains("<title>two: held") && page.contains("fast"));
    assert!(!page.contains(bench.folder.path().to_str().unwrap()));
    bench
        .run(&["run", ".", "--variant", "fast"])
        .exits(0)
        .prints("two: fast");
    bench
        .run(&["run", ".", "--variant", "fats"])
        .exits(2)
        .says("did you mean `fast`?");
}

#[test]
fn what_is_wrong_is_shown_at_its_place_and_nothing_is_written() {
    for (text, part) in [
        (
            scenario("s", &["latency('user').p99 < duration('1s')"], ""),
            "did you mean `users`?",
        ),
        (scenario("s", &["1.0 <"], ""), "[s.yaml:11:13]"),
        (
            scenario("s", &["success('users') >= 99"], ""),
            "[s.yaml:11:28]",
        ),
        (
            scenario("s", &["success('users') >= 99"], ""),
            "did you mean `0.99`?",
        ),
        (scenario("s", &["true"], ""), "the same in every run"),
        (
            scenario("s", &["success('users') > 0.5"], "  manifests: [none/]\n"),
            "cannot read `none/`",
        ),
        (
            scenario("s", &["success('users') > 0.5"], "  mesh: istoi\n"),
            "did you mean `istio`?",
        ),
        (
            scenario("s", &["success('users') > 0.5"], "  durations: 1s\n"),
            "[s.yaml:12:3]",
        ),
        ("a: [".to_owned(), "[s.yaml:1:"),
        ("".to_owned(), "there is no scenario here"),
    ] {
        let bench = bench();
        bench.write("s.yaml", &text);
        bench.write(
            "good.yaml",
            scenario("good", &["success('users') > 0.5"], ""),
        );
        bench
            .run(&["run", "good.yaml", "s.yaml", "--out", "pages"])
            .exits(2)
            .says(part);
        assert_eq!(bench.names(), ["good.yaml", "s.yaml"], "{text}");
    }
}

#[test]
fn manifests_that_cannot_be_read_are_the_only_thing_that_is_wrong() {
    let bench = bench();
    let text = scenario("s", &[], "  manifests: [nope]\n");
    let text = text.replace("via: direct", "via: gateway/default/edge");
    let text = text.replace("host: orders, path", "host: elsewhere, path");
    bench.write("s.yaml", text);
    for command in ["run", "check"] {
        let ran = bench.run(&[command, "s.yaml"]).exits(2);
        ran.says("load::unreadable").says("\n1 error");
    }
}

#[test]
fn every_format_is_written_and_results_can_be_read_back() {
    let bench = bench();
    bench.write(
        "s.yaml",
        scenario(
            "s",
            &["success('users') > 0.5", "success('users') < 0.5"],
            VARIANTS,
        ),
    );
    let all = [
        "run",
        "s.yaml",
        "-o",
        "json=r.json",
        "-o",
        "html=r.html",
        "-o",
        "junit=r.xml",
        "-o",
        "markdown=r.md",
    ];
    bench.run(&all).exits(1);
    assert_eq!(
        bench.names(),
        ["r.html", "r.json", "r.md", "r.xml", "s.yaml"]
    );
    assert!(bench.read("r.json").contains("\"program\":\"windtunnel\""));
    assert_eq!(bench.read("r.xml").matches("<failure ").count(), 2);
    assert!(bench.read("r.md").starts_with("### ✗ s: failed"));
    bench
        .run(&["report", "r.json", "-o", "html=again.html"])
        .exits(1);
    assert_eq!(bench.read("again.html"), bench.read("r.html"));
    let printed = bench
        .run(&["report", "r.json", "-o", "markdown=-"])
        .exits(1);
    assert_eq!(printed.out, bench.read("r.md"));
}

#[test]
fn results_depend_neither_on_threads_nor_on_when_they_are_made() {
    let bench = bench();
    bench.write(
        "s.yaml",
        scenario("s", &["success('users') > 0.5"], VARIANTS),
    );
    let result = |threads: &str| {
        let args = [
            "run",
            "s.yaml",
            "--replications",
            "5",
            "-j",
            threads,
            "-o",
            "json=-",
        ];
        bench.run(&args).out
    };
    let once = result("1");
    assert!(once.contains("\"seeds\":"));
    for threads in ["1", "2", "5"] {
        assert!(result(threads) == once, "{threads} threads");
    }
}

#[test]
fn a_result_says_what_it_rests_on() {
    let bench = bench();
    bench.write("a b.yaml", scenario("s", &["success('users') > 0.5"], ""));
    let ran = bench
        .run(&[
            "run",
            "a b.yaml",
            "--set",
            "load.users.open.rate=9/s",
            "-o",
            "json=-",
        ])
        .exits(0);
    for part in [
        "\"command\":\"windtunnel run 'a b.yaml' --seed 1 --set load.users.open.rate=9/s\"",
        "\"digests\":[[\"a b.yaml\",\"xxh3:",
        "workloads.orders",
        "a b.yaml:7: a guess",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    assert!(!ran.out.contains(bench.folder.path().to_str().unwrap()));
}

#[test]
fn several_scenarios_have_a_page_each() {
    let bench = bench();
    bench.write(
        "a/scenario.yaml",
        scenario("same", &["success('users') > 0.5"], ""),
    );
    bench.write(
        "b/scenario.yaml",
        scenario("same", &["success('users') > 0.5"], ""),
    );
    bench.run(&["run", "a", "b"]).exits(0);
    for page in [
        "windtunnel-report/same.html",
        "windtunnel-report/same-2.html",
    ] {
        assert!(bench.path(page).is_file(), "{page}");
    }
    bench
        .run(&["run", "a", "b", "-o", "html=x.html"])
        .exits(2)
        .says("--out DIR");
}

#[test]
fn a_scenario_may_come_from_standard_input() {
    let bench = bench();
    let text = scenario("piped", &["success('users') > 0.5"], "");
    bench
        .run_with(&["run", "-", "-o", "markdown=-"], &text)
        .exits(0)
        .prints("✓ piped: held");
    bench
        .run_with(&["run", "-"], "kind: Pod\n")
        .exits(2)
        .says("<stdin>:1:");
}

#[test]
fn strange_arguments_are_refused_in_words() {
    let bench = bench();
    bench.write("s.yaml", scenario("s", &["success('users') > 0.5"], ""));
    bench.write("bytes.yaml", [0xff, 0xfe, 0x00]);
    bench.write("deep.yaml", "[".repeat(100_000));
    bench.write("empty/x.txt", "");
    for (args, part) in [
        (&["run"][..], "<PATH>"),
        (&["run", "none.yaml"], "cannot read `none.yaml`"),
        (&["run", "empty"], "`empty` has no scenario.yaml"),
        (&["run", "bytes.yaml"], "UTF-8"),
        (&["run", "deep.yaml"], "deep"),
        (&["run", "s.yaml", "--replications", "0"], "0 is not in"),
        (&["run", "s.yaml", "-j", "0"], "a number from 1"),
        (&["run", "s.yaml", "--seed", "x"], "--seed"),
        (
            &["run", "s.yaml", "--set", "nothing"],
            "is not `path=value`",
        ),
        (
            &["run", "s.yaml", "--set", "load.nobody.open.rate=1/s"],
            "nobody",
        ),
        (&["run", "s.yaml", "-o", "pdf=x"], "`pdf` is not json"),
        (&["run", "s.yaml", "-o", "json"], "`json=FILE`"),
        (
            &["run", "s.yaml", "-o", "json=no/such/x"],
            "there is no folder",
        ),
        (&["run", "s.yaml", "-o", "json=empty"], "it is a folder"),
        (
            &["run", "s.yaml", "-o", "json=x", "-o", "html=x"],
            "written twice",
        ),
        (
            &["run", "s.yaml", "-o", "json=-", "-o", "html=-"],
            "only one",
        ),
        (&["run", "s.yaml", "-o", "json=x", "--open"], "--open"),
        (&["run", "s.yaml", "--out", "s.yaml"], "is a file"),
        (&["report", "s.yaml"], "not a result"),
        (&["diff", "s.yaml", "none.json"], "cannot read `none.json`"),
        (
            &["diff", "s.yaml#none", "s.yaml"],
            "there is no variant `none`",
        ),
        (&["init", "-f", "empty"], "no workload"),
        (&["check", "none.yaml"], "cannot read `none.yaml`"),
    ] {
        let ran = bench.run(args).exits(2).says(part);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
    assert_eq!(
        bench.names(),
        ["bytes.yaml", "deep.yaml", "empty", "s.yaml"]
    );
}

#[test]
fn a_foreign_or_later_result_is_refused() {
    let bench = bench();
    for (text, part) in [
        ("{}", "not a result of windtunnel"),
        (
            "{\"program\":\"windtunnel\",\"schemaVersion\":99,\"results\":[]}",
            "schema version 99",
        ),
        (
            "{\"program\":\"windtunnel\",\"schemaVersion\":1,\"results\":[]}",
            "there is no result",
        ),
        (
            "{\"program\":\"windtunnel\",\"schemaVersion\":1,\"results\":[{}]}",
            "not a result",
        ),
        ("[", "not a result"),
    ] {
        bench.write("r.json", text);
        bench.run(&["report", "r.json"]).exits(2).says(part);
    }
    assert_eq!(bench.names(), ["r.json"]);
}

#[test]
fn a_thing_does_not_differ_from_itself() {
    let bench = bench();
    bench.write(
        "s.yaml",
        scenario("s", &["success('users') > 0.5"], VARIANTS),
    );
    bench
        .run(&["diff", "s.yaml", "s.yaml"])
        .exits(0)
        .prints("nothing differs");
    bench.run(&["run", "s.yaml", "-o", "json=r.json"]).exits(0);
    bench
        .run(&["diff", "r.json", "s.yaml"])
        .exits(2)
        .says("one of `slow`, `fast`");
    bench
        .run(&["diff", "r.json#slow", "s.yaml#slow", "-o", "html=d.html"])
        .exits(0)
        .prints("r.json#slow → s.yaml#slow");
    assert!(bench.path("d.html").is_file());
}

#[test]
fn results_that_cannot_be_compared_end_diff_as_bad_input_does() {
    let bench = bench();
    bench.write("s.yaml", scenario("s", &["success('users') > 0.5"], ""));
    let longer =
        scenario("s", &["success('users') > 0.5"], "").replace("duration: 10s", "duration: 20s");
    bench.write("longer.yaml", longer);
    let ran = bench.run(&["diff", "s.yaml", "longer.yaml"]).exits(2);
    ran.says("cannot be compared: one is of 10 s and the other of 20 s");
    let ran = bench.run(&[
        "diff",
        "s.yaml",
        "s.yaml",
        "--set",
        "load.users.open.rate=9/s",
    ]);
    ran.exits(0).prints("nothing differs");
    let busier =
        scenario("s", &["success('users') > 0.5"], "").replace("rate: 50/s", "rate: 200/s");
    bench.write("busier.yaml", busier);
    let ran = bench.run(&["diff", "s.yaml", "busier.yaml"]).exits(1);
    assert!(!ran.out.contains("better") || ran.out.contains("nothing is called better"));
    ran.prints("! the offered load differs: `users` ")
        .prints("intervals of the difference over");
}

#[test]
fn a_run_that_was_cut_short_is_no_success_wherever_it_is_read() {
    let bench = bench();
    bench.write("s.yaml", scenario("s", &["success('users') > 0.5"], ""));
    bench.run(&["run", "s.yaml", "-o", "json=r.json"]).exits(0);
    let cut = bench.read("r.json");
    let cut = cut.replace("\"cutAtNs\":null", "\"cutAtNs\":5000000000");
    bench.write("cut.json", cut);
    bench
        .run(&[
            "report",
            "cut.json",
            "-o",
            "junit=j.xml",
            "-o",
            "markdown=m.md",
        ])
        .exits(1)
        .prints("? s held so far")
        .prints("! the run was cut short at 00:05.0 of 00:10.0");
    assert_eq!(bench.read("j.xml").matches("<error ").count(), 1);
    assert!(bench.read("m.md").starts_with("### ? s: held so far\n"));
}

#[test]
fn results_that_are_called_the_same_are_called_by_their_files() {
    let bench = bench();
    bench.write("s.yaml", scenario("s", &["success('users') > 0.5"], ""));
    for name in ["json=before.json", "json=after.json"] {
        bench.run(&["run", "s.yaml", "-o", name]).exits(0);
    }
    bench
        .run(&["report", "before.json", "after.json", "-o", "html=x.html"])
        .exits(0);
    let page = bench.read("x.html");
    assert!(!page.contains("as written"));
    assert!(page.contains("<th>before.json</th><th>after.json</th>"));
}

#[test]
fn check_reads_scenarios_and_manifests_mixed() {
    let bench = bench();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop");
    let shop = shop.to_str().unwrap();
    bench.write(
        "all/one/scenario.yaml",
        scenario("one", &["success('users') > 0.5"], VARIANTS),
    );
    bench.write("all/one/layer/broken.yaml", "kind: Deployment");
    bench
        .run(&["check", "-f", shop, "all"])
        .exits(0)
        .prints("scenario one: 2 variants")
        .prints("3 workloads, 3 Services, no gateway");
    bench.write(
        "all/two/app.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n",
    );
    bench.run(&["check", "all"]).exits(2).says("app.yaml:4:");
    bench
        .run(&["check", "all", "--lines"])
        .exits(2)
        .prints("all/two/app.yaml:4:");
    bench
        .run_with(&["check", "-f", "-"], "kind: Deployment")
        .exits(2)
        .says("<stdin>");
    assert_eq!(bench.names(), ["all"]);
}

#[test]
fn notes_that_say_the_same_are_told_once_and_traffic_policy_first() {
    let bench = bench();
    for name in ["a", "b", "c"] {
        let text = format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, image: c, readinessProbe: {{tcpSocket: {{port: 80}}}}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}
"
        );
        bench.write(&format!("m/{name}.yaml"), text);
    }
    let forbids = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: z}
spec: {podSelector: {}}
";
    bench.write("m/z.yaml", forbids);
    let told = bench.run(&["check", "m"]).exits(0).prints("2 notes");
    assert_eq!(
        told.err.matches("not modelled: ").count(),
        2,
        "{}",
        told.err
    );
    let policy = told.err.find("NetworkPolicy/default/z is not modelled");
    let probe = told.err.find("not modelled: `readinessProbe`");
    assert!(policy.is_some() && policy < probe, "{}", told.err);
    let told = told.says("3 places: also m/b.yaml:8, m/c.yaml:8");
    assert!(!told.err.contains("m/b.yaml:8:"), "{}", told.err);
    bench.run(&["init", "-f", "m", "-o", "s.yaml"]).exits(0);
    let summary = bench.run(&["run", "s.yaml", "-o", "markdown=-"]);
    summary.exits(0).prints(
        "not modelled, on a loaded path: m/a.yaml:8 `readinessProbe` (3 places: also m/b.yaml:8, m/c.yaml:8): ",
    );
}

#[test]
fn every_shipped_scenario_without_a_mesh_passes_check() {
    let scenarios = repository().join("scenarios");
    for name in ["mm1", "hedging", "social-network", "cascading-failure"] {
        bench()
            .run(&["check", scenarios.join(name).to_str().unwrap()])
            .exits(0);
    }
}

#[test]
fn a_first_scenario_flies_and_marks_what_it_guesses() {
    let bench = bench();
    let app =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop/app.yaml")).unwrap();
    bench.write("deploy/app.yaml", app);
    bench.write("windy/keep", "");
    bench
        .run(&[
            "init",
            "-f",
            "deploy",
            "-o",
            "windy/scenario.yaml",
            "--name",
            "shop",
        ])
        .exits(0);
    let text = bench.read("windy/scenario.yaml");
    for part in [
        "manifests: [\"../deploy\"]",
        "    web:\n",
        "    back/stock:\n",
        "- call: {service: orders, request: GET /}",
        "- call: {service: back/stock, request: GET /}",
        "- {host: web, path: /}",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("service: web"), "a circle:\n{text}");
    let unmarked = text
        .lines()
        .filter(|line| line.contains("ms") && !line.contains("# assumed"));
    assert_eq!(unmarked.count(), 0, "{text}");
    bench.run(&["check", "windy"]).exits(0);
    let printed = bench
        .run(&["init", "-f", "deploy", "--name", "shop"])
        .exits(0);
    assert_eq!(printed.out, text.replace("\"../deploy\"", "deploy"));
    bench
        .run(&["init", "-f", "deploy", "-o", "windy/scenario.yaml"])
        .exits(2)
        .says("--force");
    assert_eq!(bench.read("windy/scenario.yaml"), text);
}

#[test]
fn a_first_scenario_enters_by_the_gateways_of_the_manifests() {
    let bench = bench();
    let layered = repository().join("scenarios/tutorial/layered");
    let ran = bench.run(&["init", "-f", layered.to_str().unwrap()]);
    ran.exits(0)
        .prints("via: gateway/")
        .prints("{host: api.example.com, path: /service-a}");
}

#[test]
fn a_first_scenario_has_a_load_for_each_host_of_a_gateway() {
    let bench = bench();
    let app =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop/app.yaml"))
            .unwrap();
    let rule = |host: &str, path: &str| {
        format!(
            "    - {{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}\n"
        )
    };
    let ingress = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: edge}}\nspec:\n  ingressClassName: kong\n  rules:\n{}{}{}",
        rule("a.example.com", "/one"),
        rule("a.example.com", "/two"),
        rule("\"*.b.example.com\"", "/"),
    );
    bench.write("app.yaml", format!("{app}---\n{ingress}"));
    let ran = bench.run(&["init", "-f", "app.yaml"]).exits(0);
    for part in [
        "- {host: a.example.com, path: /one}",
        "- {host: a.example.com, path: /two}",
        "- {host: www.b.example.com, path: /}",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    assert_eq!(ran.out.matches("via: gateway/").count(), 2, "{}", ran.out);
}

#[test]
fn a_first_scenario_names_the_mesh_that_the_manifests_show() {
    let bench = bench();
    let layered = repository().join("scenarios/tutorial/layered");
    let args = ["init", "-f", layered.to_str().unwrap(), "-o", "first.yaml"];
    bench.run(&args).exits(0);
    assert!(bench.read("first.yaml").contains("  mesh: istio@"));
    bench.run(&["check", "first.yaml"]).exits(0);
}

#[test]
fn every_assumed_value_is_tried_and_its_name_stands_in_the_result() {
    let bench = bench();
    bench.write("s.yaml", scenario("s", &["success('users') > 0.5"], ""));
    let ran = bench
        .run(&["run", "s.yaml", "--assumptions", "-o", "json=-"])
        .exits(0);
    assert!(ran.out.contains("\"tried\":[{\"value\":"), "{}", ran.out);
    let table = bench.run(&["run", "s.yaml", "--assumptions"]).exits(0);
    table.prints("as written: no verdict depends on any of ");
}

#[test]
fn what_the_command_line_sets_is_said_to_be_set_and_not_assumed() {
    let bench = bench();
    let text = scenario("s", &[], "").replace(
        "open: {rate: 50/s}}",
        "open: {rate: 50/s}}  # assumed: some",
    );
    bench.write("s.yaml", text);
    let written = bench.run(&["run", "s.yaml", "-o", "markdown=-"]).exits(0);
    written.prints("- assumed: `load.users` = ");
    let set = ["run", "s.yaml", "--set", "load.users.open.rate=20/s", "-o"];
    let summary = bench.run(&[&set[..], &["markdown=-"]].concat()).exits(0);
    assert!(!summary.out.contains("50/s"), "{}", summary.out);
    summary
        .prints("- set on the command line: `load.users.open.rate` = `20/s`\n")
        .prints("- assumed: `workloads.orders` = ");
    bench
        .run(&[&set[..], &["html=-"]].concat())
        .exits(0)
        .prints("<li><code>load.users.open.rate</code>: <strong><code>20/s</code></strong></li>");
}

#[test]
fn quiet_says_what_did_not_hold_and_nothing_else() {
    let bench = bench();
    let (held, failed) = ("success('users') > 0.5", "success('users') < 0.5");
    let unknown = "latency('users', '9s', '9500ms').p99 < duration('0s')";
    bench.write("good.yaml", scenario("good", &[held], VARIANTS));
    bench.write("bad.yaml", scenario("bad", &[held, failed, unknown], ""));
    let quiet = ["-q", "-o", "json=r.json"];
    let good = bench
        .run(&[&["run", "good.yaml"][..], &quiet].concat())
        .exits(0);
    assert_eq!((good.out.as_str(), good.err.as_str()), ("", ""));
    let bad = bench
        .run(&[&["run", "bad.yaml"][..], &quiet].concat())
        .exits(1);
    assert_eq!(bad.out, "");
    assert!(!bad.err.contains(held), "{}", bad.err);
    bad.says("✗ bad failed").says(failed).says(unknown);
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_terminated_is_written_as_far_as_it_was_flown() {
    /// Whether a process blocks SIGTERM, as it does once it heeds it.
    fn heeds(pid: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = blocked.expect("Linux says so").trim();
        u64::from_str_radix(blocked, 16).expect("a mask") & (1 << 14) != 0
    }
    let bench = bench();
    // longer than anybody waits
    let text = scenario("s", &[], VARIANTS).replace("duration: 10s", "duration: 1000h");
    bench.write("s.yaml", text);
    let mut child = bench
        .command(&["run", "s.yaml", "-o", "markdown=-", "-j", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    while !heeds(child.id()) {
        assert_eq!(child.try_wait().expect("it is ours"), None);
        std::thread::yield_now();
    }
    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143));
    let err = String::from_utf8(output.stderr).expect("text");
    assert!(err.contains("stopping"), "{err}");
    // it may come before the first event
    let out = String::from_utf8(output.stdout).expect("text");
    let marked = out.contains("Not all was run");
    assert!(marked || err.contains("nothing is written"), "{out}{err}");
}

#[test]
fn every_command_shows_an_example_of_itself() {
    let bench = bench();
    let help = bench.run(&["--help"]).exits(0);
    for name in [
        "run",
        "diff",
        "check",
        "init",
        "report",
        "schema",
        "completions",
    ] {
        assert!(help.out.contains(&format!("\n  {name} ")), "{}", help.out);
        bench
            .run(&[name, "--help"])
            .exits(0)
            .prints("Examples:")
            .prints(&format!("windtunnel {name}"));
    }
    bench.run(&["--version"]).exits(0).prints("windtunnel ");
}

#[test]
fn the_schema_and_the_completions_are_printed() {
    let bench = bench();
    bench
        .run(&["schema"])
        .exits(0)
        .prints("\"Windtunnel scenario\"");
    for shell in ["bash", "zsh", "fish"] {
        bench
            .run(&["completions", shell])
            .exits(0)
            .prints("windtunnel");
    }
}

#[test]
fn an_envoy_that_is_not_there_is_bad_input() {
    let bench = bench();
    bench.write("shop.yaml", scenario("shop", &[], ""));
    for (arguments, said) in [
        (
            &["--proxy", "envoy", "--envoy", "nowhere/envoy"][..],
            "no Envoy: nowhere/envoy (given) is not there",
        ),
        (
            &["--proxy", "windtunnel", "--envoy", "envoy"],
            "--envoy names what --proxy envoy flies with",
        ),
    ] {
        let ran = bench.run(&[&["live", "shop.yaml"], arguments].concat());
        ran.exits(2).says(said);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = bench();
    let mut child = bench
        .command(&["schema"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
