//! `windtunnel translate`: manifests in; files, a report and an exit status out.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: cart, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
  - route: [{destination: {host: cart}}]
    timeout: 2s
";

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .arg("translate")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("shop.yaml"), SHOP).expect("it can be written");
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn files_are_written_and_what_differs_is_told() {
    let folder = shop();
    let output = run(
        folder.path(),
        &[
            "shop.yaml",
            "--to",
            "linkerd",
            "-o",
            "new/linkerd",
            "--report",
            "json",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let mut names: Vec<String> = fs::read_dir(folder.path().join("new/linkerd"))
        .expect("the folder")
        .map(|entry| text(entry.expect("an entry").file_name().as_encoded_bytes()))
        .collect();
    names.sort();
    assert_eq!(names, ["default.app.yaml", "namespaces.yaml"]);
    let app = fs::read_to_string(folder.path().join("new/linkerd/default.app.yaml"));
    let app = app.expect("the file");
    assert!(app.contains("timeout.linkerd.io/request: 2s"), "{app}");
    assert!(app.contains("# from shop.yaml:"), "{app}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["schema"], "windtunnel.dev/translate/v1");
    assert_eq!(report["equivalent"], false);
    assert_eq!(report["faults"].as_array().map(Vec::len), Some(0));
    let differences = report["differences"].as_array().expect("a list");
    assert!(
        differences.iter().all(|it| it["what"] != "timeout"),
        "{report:#}"
    );
}

#[test]
fn what_does_the_same_is_said_to() {
    let folder = shop();
    let output = run(folder.path(), &["shop.yaml", "--to", "istio"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stream = text(&output.stdout);
    assert!(stream.contains("kind: VirtualService"), "{stream}");
    let report = text(&output.stderr);
    assert!(report.contains("equivalent, as far as"), "{report}");
}

#[test]
fn a_report_may_go_to_a_file_as_markdown() {
    let folder = shop();
    let output = run(
        folder.path(),
        &[
            "-f",
            "shop.yaml",
            "--to",
            "kuma",
            "-o",
            "kuma",
            "--report",
            "markdown=report.md",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let report = fs::read_to_string(folder.path().join("report.md")).expect("the report");
    assert!(report.starts_with("## istio@"), "{report}");
    assert!(report.contains("| where | what |"), "{report}");
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = SHOP.replace("timeout: 2s", "timeout: soon");
    fs::write(folder.path().join("shop.yaml"), broken).expect("it can be written");
    let output = run(folder.path(), &["shop.yaml", "--to", "kuma", "-o", "kuma"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("kuma").exists());
    let output = run(folder.path(), &["shop.yaml", "--to", "nomad"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nothing is written for `nomad`"));
}
