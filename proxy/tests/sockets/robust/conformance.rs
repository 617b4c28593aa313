//! HTTP/2 as RFC 9113 and RFC 7541 have it, asked by h2spec.

use std::collections::BTreeSet;
use std::process::Command;

use super::{bootstrap, skipped};
use crate::harness::{Upstream, answer, free_port, proxy};

/// What a socket that serves HTTP/1.1 as well cannot do: bytes that are no preface are a request to it, and it answers that in HTTP/1.1
/// before it closes, as Envoy does.
const OF_BOTH_PROTOCOLS: [&str; 1] = ["Sends invalid connection preface"];

#[tokio::test]
async fn every_case_of_h2spec_holds() {
    let Some(h2spec) = std::env::var_os("H2SPEC") else {
        skipped(
            "no h2spec to ask; name the binary of `go install github.com/summerwind/h2spec/cmd/h2spec@latest` in $H2SPEC",
        );
        return;
    };
    let up = Upstream::start(|_, _| answer(200, "hello")).await;
    let port = free_port();
    let route = "                route: {cluster: back}";
    let _proxy = proxy(&bootstrap(port, route, &[up.port]));
    let asked = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(h2spec);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--timeout", "5"]).output()
    });
    let asked = asked
        .await
        .expect("it was waited for")
        .expect("h2spec runs");
    let told = String::from_utf8_lossy(&asked.stdout);
    let failed: BTreeSet<&str> = told
        .lines()
        .filter_map(|line| line.trim().strip_prefix("× ")?.split_once(": "))
        .map(|(_, case)| case)
        .collect();
    assert_eq!(failed, BTreeSet::from(OF_BOTH_PROTOCOLS), "{told}");
    let totals = told.lines().find(|line| line.contains(" tests, "));
    let totals = totals.unwrap_or_else(|| panic!("it says how many: {told}"));
    assert_eq!(totals.trim(), "145 tests, 144 passed, 0 skipped, 1 failed");
}
