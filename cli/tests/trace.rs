//! `windtunnel trace` as people and scripts use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What came of a run.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

/// Runs in a folder; the repository's own when none is given.
fn trace_in(folder: Option<&Path>, args: &[&str]) -> Ran {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .arg("trace")
        .args(args)
        .current_dir(folder.unwrap_or(&repository))
        .output()
        .expect("the program starts");
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn trace(args: &[&str]) -> Ran {
    trace_in(None, args)
}

const URL: &str = "http://api.example.com/service-a";

fn tutorial(variant: &str, more: &[&str]) -> Ran {
    let mut args = vec!["-f", "scenarios/tutorial", "--variant", variant];
    args.extend(more);
    trace(&args)
}

/// The lines about one failure.
fn failure<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("If "));
    let mut found: Vec<&str> = Vec::new();
    let first = lines.find(|line| line.trim_start().starts_with(name));
    found.extend(first);
    found.extend(lines.take_while(|line| line.starts_with("      ")));
    found
}

#[test]
fn the_tutorial_is_followed_decision_by_decision() {
    for (variant, status) in [("guide", 1), ("meshed", 0), ("storm", 0), ("linkerd", 0)] {
        let ran = tutorial(variant, &[URL]);
        assert_eq!(ran.status, status, "{variant}: {}", ran.err);
        let warned: Vec<&str> = ran
            .err
            .lines()
            .filter(|l| l.starts_with("mesh::"))
            .collect();
        let expected: &[&str] = match variant {
            "guide" => &["mesh::refused", "mesh::unasked"],
            _ => &[],
        };
        assert_eq!(warned, expected, "{variant}");
        assert_eq!(ran.err.is_empty(), expected.is_empty(), "{}", ran.err);
        insta::assert_snapshot!(variant, ran.out);
    }
}

#[test]
fn the_same_trace_has_the_same_bytes() {
    let args = [URL, "-o", "json"];
    assert_eq!(tutorial("storm", &args).out, tutorial("storm", &args).out);
}

#[test]
fn strict_turns_a_gateway_outside_the_mesh_away_by_its_rule() {
    let ran = tutorial("guide", &[URL]);
    let closed: Vec<&str> = ran.out.lines().filter(|l| l.contains("closed: ")).collect();
    assert_eq!(closed.len(), 6, "Kong tries six times");
    let rule = "layered/istio-policies.yaml:9";
    assert!(closed.iter().all(|line| line.ends_with(rule)), "{closed:?}");
    assert!(ran.out.contains("The client gets 502"), "{}", ran.out);
}

#[test]
fn retries_on_5xx_multiply_a_failure_and_say_by_which_rule() {
    let meshed = tutorial("meshed", &[URL]).out;
    let storm = tutorial("storm", &[URL]).out;
    assert!(failure(&meshed, "answers 500")[1].contains("1 try: 500"));
    let lines = failure(&storm, "answers 500");
    assert!(
        lines[1].contains("4 tries: 500, no retries left"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("storm/retries.yaml:14"), "{lines:?}");
}

#[test]
fn a_server_that_hangs_is_left_after_every_tries_timeout() {
    let ran = tutorial("meshed", &[URL]);
    let lines = failure(&ran.out, "does not answer");
    assert!(
        lines[0].contains("the client gets 504 after 2s"),
        "{lines:?}"
    );
    let ran = tutorial("storm", &[URL]);
    let lines = failure(&ran.out, "does not answer");
    // four tries of 2 s, and three short pauses
    assert!(
        lines[0].contains("the client gets 504 after 8."),
        "{lines:?}"
    );
}

#[test]
fn manifests_alone_are_followed_with_the_mesh_that_they_show() {
    let manifests = ["-f", "scenarios/tutorial/layered"];
    let from = |who: &str| {
        let mut args = manifests.to_vec();
        args.extend(["--from", who, "http://service-a/x?y=1", "--way"]);
        trace(&args)
    };
    let workload = from("default/service-a");
    assert_eq!(workload.status, 0, "{}", workload.err);
    insta::assert_snapshot!("from_a_workload", workload.out);
    let pod = from("default/service-a-7c5ddbdf54-x2v9k");
    assert_eq!(pod.out, workload.out);
    let outside = from("outside");
    assert_eq!(outside.status, 1);
    assert!(
        outside
            .out
            .contains("takes mutual TLS alone, not plaintext")
    );
}

#[test]
fn a_request_is_sent_by_the_pod_that_is_named_and_no_other() {
    let from = |who: &str| {
        let manifests = "scenarios/tutorial/layered";
        trace(&["-f", manifests, "--from", who, "http://service-a/", "--way"])
    };
    for pod in ["service-a-0", "service-a-1"] {
        let ran = from(&format!("default/{pod}"));
        assert_eq!(ran.status, 0, "{}", ran.err);
        let sender = ran.out.lines().find(|line| line.ends_with(" application"));
        assert_eq!(sender, Some(&*format!("{pod} application")));
        let proxy = format!("  {pod} sidecar, outbound");
        assert!(ran.out.contains(&proxy), "{}", ran.out);
    }
    let ran = from("default/service-a-2");
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    let pods = "there is no pod `default/service-a-2`: default/service-a has 2 pods, service-a-0 and service-a-1";
    assert!(ran.err.contains(pods), "{}", ran.err);
}

#[test]
fn a_host_that_nobody_knows_says_who_was_asked() {
    let ran = tutorial("meshed", &["http://web.example.com/"]);
    assert_eq!(ran.status, 1);
    let asked = "no route takes it: it has routes for api.example.com";
    assert!(ran.out.contains(asked), "{}", ran.out);
    assert!(
        ran.out.contains("listener kong-http on port 8000"),
        "{}",
        ran.out
    );
    let from = ["--from", "default/service-a"];
    let ran = tutorial("meshed", &[&from[..], &["http://servce-a/"]].concat());
    assert_eq!(ran.status, 1);
    let asked = "the name servce-a is not known: asked 1 Service and the hosts of the mesh";
    assert!(ran.out.contains(asked), "{}", ran.out);
    let ran = tutorial("guide", &["http://api.example.com:81/"]);
    assert_eq!(ran.status, 1);
    let asked = "no gateway takes api.example.com on port 81: asked default/api-gateway";
    assert!(ran.out.contains(asked), "{}", ran.out);
}

#[test]
fn json_has_the_way_and_the_failures() {
    let ran = tutorial("meshed", &[URL, "-o", "json"]);
    assert_eq!(ran.status, 0);
    for part in [
        "\"program\": \"windtunnel\"",
        "\"workload\": \"default/service-a\"",
        "\"side\": \"outbound\"",
        "\"origin\": \"scenarios/tutorial/layered/istio-policies.yaml:23\"",
        "\"answers\": 503",
    ] {
        assert!(ran.out.contains(part), "{part}");
    }
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let broken = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n";
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.yaml"), broken).expect("it can be written");
    let here = Some(folder.path());
    let tutorial = ["-f", "scenarios/tutorial"];
    let of_tutorial = |more: &[&str]| trace(&[&tutorial[..], more].concat());
    for (ran, expected) in [
        (trace_in(here, &["-f", "a.yaml", "http://a/"]), "a.yaml:4:8"),
        (
            trace_in(here, &["-f", "b.yaml", "http://a/"]),
            "cannot read `b.yaml`",
        ),
        (trace_in(here, &["-f", "-", "http://a/"]), "standard input"),
        (of_tutorial(&["ftp://a/"]), "`ftp` is not http or https"),
        (of_tutorial(&["http://a/", "-H", "x"]), "x-user: u1"),
        (of_tutorial(&["http://a/", "-d", "4kb"]), "4KiB"),
        (of_tutorial(&["http://a/", "-X", "get"]), "capital letters"),
        (
            of_tutorial(&["http://a/", "--from", "kong/api-gatewy"]),
            "kong/api-gateway",
        ),
        (
            of_tutorial(&["http://a/", "--from", "gateway=kng"]),
            "default/api-gateway",
        ),
        (
            of_tutorial(&["http://a/", "--variant", "meshe"]),
            "did you mean `meshed`",
        ),
        (
            of_tutorial(&["https://service-a/", "--from", "default/service-a"]),
            "`https` leads to gateways alone",
        ),
        (
            trace(&[
                "-f",
                "scenarios/tutorial/layered",
                "--variant",
                "x",
                "http://a/",
            ]),
            "`--variant` is of a scenario",
        ),
    ] {
        assert_eq!(ran.status, 2, "{expected}: {}", ran.err);
        assert!(ran.err.contains(expected), "{expected}: {}", ran.err);
        assert_eq!(ran.out, "", "{expected}");
    }
}

#[test]
fn the_example_of_the_help_text_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    let shared = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: NAME, image: NAME, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec:
  selector: {app: NAME}
  ports: [{port: 80, targetPort: 8080}]
";
    for name in ["cart", "orders"] {
        let path: PathBuf = manifests.join(format!("{name}.yaml"));
        fs::write(path, shared.replace("NAME", name)).expect("it can be written");
    }
    let args = "-f manifests/ --from shop/cart -X POST -d 4KiB http://orders/pay -H";
    let args: Vec<&str> = args.split(' ').chain(["x-user: u1"]).collect();
    let ran = trace_in(Some(folder.path()), &args);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    insta::assert_snapshot!("example", ran.out);
}
