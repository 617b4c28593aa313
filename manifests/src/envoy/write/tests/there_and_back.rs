//! A bootstrap that is read, written and read again says what it said.

use serde_json::Value;

use super::portrait::{certificates, portrait};
use crate::envoy::{Bootstrap, Written, read, write};

/// What is written of a bootstrap, and what it is read as.
pub(super) fn again(written: &Value) -> Bootstrap {
    let text = serde_json::to_string_pretty(written).expect("JSON");
    match read("written.json", &text) {
        Ok(bootstrap) => bootstrap,
        Err(refused) => panic!("{refused}\n{text}"),
    }
}

/// Everything that a bootstrap says beside its node's configuration.
pub(super) fn around(bootstrap: &Bootstrap) -> Written {
    Written {
        admin: bootstrap.admin,
        locality: bootstrap.locality.clone(),
        certificates: bootstrap.tls.clone(),
        shows_keys: true,
        unresolved: bootstrap.unresolved.clone(),
        ..Written::default()
    }
}

/// Fails where what was read is not read again from what is written of it.
#[track_caller]
pub(in crate::envoy) fn there_and_back(first: &Bootstrap) {
    let likeness = write(&first.config, &around(first));
    let text = serde_json::to_string_pretty(&likeness.bootstrap).expect("JSON");
    let second = again(&likeness.bootstrap);
    assert_same(&portrait(&first.config), &portrait(&second.config), &text);
    assert_eq!(first.admin, second.admin);
    assert_eq!(first.locality, second.locality);
    // certificates of what is left out are not written
    let mut kept = first.tls.clone();
    kept.retain(|it| second.tls.iter().any(|other| other.name == it.name));
    assert_same(&certificates(&kept), &certificates(&second.tls), &text);
    assert_eq!(first.unresolved.len(), second.unresolved.len(), "{text}");
    for (before, after) in first.unresolved.iter().zip(&second.unresolved) {
        assert_eq!(before, after, "{text}");
    }
    let third = write(&second.config, &around(&second));
    assert_eq!(likeness.bootstrap, third.bootstrap);
    assert_eq!(likeness.departures.len(), third.departures.len());
}

/// Fails with the first lines that differ.
#[track_caller]
pub(super) fn assert_same(before: &str, after: &str, written: &str) {
    if before == after {
        return;
    }
    let pairs = before.lines().zip(after.lines());
    let same = pairs.take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(12);
    let part = |text: &str| -> String {
        let lines = text.lines().skip(from).take(30);
        lines.map(|line| format!("  {line}\n")).collect()
    };
    panic!(
        "before:\n{}after:\n{}written:\n{written}",
        part(before),
        part(after)
    );
}

const FILES: [(&str, &str); 9] = [
    ("plain", include_str!("../../tests/files/plain.json")),
    ("policy", include_str!("../../tests/files/policy.json")),
    ("tls", include_str!("../../tests/files/tls.json")),
    (
        "chain-out",
        include_str!("../../tests/files/chain-out.json"),
    ),
    ("chain-in", include_str!("../../tests/files/chain-in.json")),
    (
        "chainh2-out",
        include_str!("../../tests/files/chainh2-out.json"),
    ),
    ("jwt", include_str!("../../tests/files/jwt.json")),
    (
        "jwt-cache",
        include_str!("../../tests/files/jwt-cache.json"),
    ),
    ("lean", include_str!("../../tests/files/lean.json")),
];

#[test]
fn every_file_that_proxies_are_measured_with_comes_back() {
    for (name, text) in FILES {
        let first = match read(&format!("{name}.json"), text) {
            Ok(bootstrap) => bootstrap,
            Err(refused) => panic!("{refused}"),
        };
        let likeness = write(&first.config, &around(&first));
        assert_eq!(likeness.departures, [], "{name}");
        there_and_back(&first);
    }
}

#[test]
fn inline_keys_are_written_only_where_they_are_asked_for() {
    let text = "static_resources:\n  clusters:\n  - name: x\n    transport_socket:\n      name: tls\n      typed_config:\n        '@type': x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: chain}, private_key: {inline_string: hidden}}]}";
    let Ok(first) = read("keys.yaml", text) else {
        panic!("it is a bootstrap")
    };
    let mut written = around(&first);
    let shown = write(&first.config, &written).bootstrap.to_string();
    assert!(shown.contains("hidden") && shown.contains("chain"));
    written.shows_keys = false;
    let hidden = write(&first.config, &written).bootstrap.to_string();
    assert!(!hidden.contains("hidden") && hidden.contains("[redacted]"));
    assert!(hidden.contains("chain"));
}
