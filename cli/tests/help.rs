//! What the program says of itself, as a reader sees it.

use std::process::Command;

#[test]
fn help_reads_as_it_did() {
    for name in [
        "",
        "run",
        "diff",
        "check",
        "init",
        "trace",
        "translate",
        "report",
        "live",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windtunnel"));
        if !name.is_empty() {
            command.arg(name);
        }
        let output = command.arg("--help").output().expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("text");
        let name = if name.is_empty() { "windtunnel" } else { name };
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_mistake_is_drawn_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "apiVersion: windtunnel.dev/v1alpha1
kind: Scenario
metadata: {name: shop}
spec:
  duration: 10s
  workloads:
    orders: {concurency: 4, handlers: [{match: /, time: 2ms}]}
  load:
    - {name: users, via: direct, requests: [{host: order, path: /}], open: {rate: 50}}
  expect:
    - \"latency('user').p99 < duration('1s') && goodput('users') > 10\"
";
    std::fs::write(folder.path().join("shop.yaml"), text).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_windtunnel"))
        .args(["run", "shop.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).expect("text");
    insta::assert_snapshot!("mistakes", text);
}
