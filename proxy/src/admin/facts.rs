//! Pages of the process as a whole: its runtime keys, its certificates, its memory.

use std::collections::{BTreeMap, BTreeSet};

use manifests::envoy::RuntimeLayer;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::View;
use crate::certificates::alternative_names;
use crate::clock;
use crate::log::Clock;

/// Source: Envoy 1.40 `source/server/admin/runtime_handler.cc`: of several layers the last that has a key decides.
pub(super) fn runtime(layers: &[RuntimeLayer]) -> Value {
    let names: Vec<&str> = layers.iter().map(|layer| &*layer.name).collect();
    let keys: BTreeSet<&str> = layers
        .iter()
        .flat_map(|layer| layer.entries.iter().map(|(key, _)| &**key))
        .collect();
    let entries: BTreeMap<&str, Value> = keys
        .into_iter()
        .map(|key| {
            let of_layer = |layer: &RuntimeLayer| {
                let mut entries = layer.entries.iter().rev();
                let found = entries.find(|(known, _)| *known == key);
                found.map_or_else(String::new, |(_, value)| value.clone())
            };
            let values: Vec<String> = layers.iter().map(of_layer).collect();
            let last = values.iter().rev().find(|value| !value.is_empty());
            let last = last.cloned().unwrap_or_default();
            (key, json!({"final_value": last, "layer_values": values}))
        })
        .collect();
    json!({"layers": names, "entries": entries})
}

/// Source: `envoy.admin.v3.Certificates`. Where a certificate was read from is not said.
pub(super) fn certificates(views: &[View]) -> Value {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for view in views {
        let secrets = view.settings.borrow().secrets.clone();
        for (name, secret) in secrets.iter() {
            let [believed, shown] = secret.certificates();
            let list = |all: Vec<&CertificateDer<'_>>| -> Vec<Value> {
                all.iter().filter_map(|it| certificate(it)).collect()
            };
            let shown = json!({"ca_cert": list(believed), "cert_chain": list(shown)});
            all.insert(name.to_string(), shown);
        }
    }
    json!({"certificates": all.into_values().collect::<Vec<_>>()})
}

fn certificate(der: &[u8]) -> Option<Value> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let names = alternative_names(der);
    let uris = names.uris.iter().map(|uri| json!({"uri": &**uri}));
    let names: Vec<Value> = names
        .dns
        .iter()
        .map(|name| json!({"dns": &**name}))
        .chain(uris)
        .collect();
    let validity = parsed.validity();
    let (from, until) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let now = i64::try_from(clock::since_epoch().as_secs()).unwrap_or(i64::MAX);
    let days = until.saturating_sub(now).max(0) / 86_400;
    let stamp = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let clock = Clock {
            epoch: seconds.saturating_mul(1_000_000_000),
        };
        clock.timestamp()
    };
    Some(json!({
        "serial_number": format!("{:x}", parsed.serial),
        "subject_alt_names": names,
        "days_until_expiration": days.to_string(),
        "valid_from": stamp(from),
        "expiration_time": stamp(until),
    }))
}

/// Source: `envoy.admin.v3.Memory`, filled with what Linux counts: memory of one's own in use, memory reserved, memory in use in all.
pub(super) fn memory() -> Option<Value> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((kilobytes * 1024).to_string())
    };
    Some(json!({
        "allocated": bytes("RssAnon")?,
        "heap_size": bytes("VmData")?,
        "total_physical_bytes": bytes("VmRSS")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layer_with_a_key_decides() {
        let layer = |name: &str, entries: &[(&str, &str)]| RuntimeLayer {
            name: name.into(),
            entries: entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let layers = [
            layer("a", &[("x", "1"), ("y", "2")]),
            layer("b", &[("x", "3")]),
        ];
        let shown = runtime(&layers);
        assert_eq!(shown["layers"], json!(["a", "b"]));
        let x = json!({"final_value": "3", "layer_values": ["1", "3"]});
        let y = json!({"final_value": "2", "layer_values": ["2", ""]});
        assert_eq!(shown["entries"], json!({"x": x, "y": y}));
    }

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        let memory = memory().expect("Linux");
        for field in ["allocated", "heap_size", "total_physical_bytes"] {
            let bytes = memory[field].as_str().and_then(|it| it.parse::<u64>().ok());
            assert!(bytes.is_some_and(|bytes| bytes > 1024), "{field}: {memory}");
        }
    }
}
