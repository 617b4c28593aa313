//! Clusters of several endpoints, where the request says which is taken.

use serde_json::{Map, Value, json};

use super::words::map;
use crate::case::{Backend, Host, Order};
use crate::dice::Dice;

/// Takes endpoints by a hash.
pub(crate) fn hashing(name: &'static str, slot: u8, dice: &mut Dice) -> Backend {
    let mut fields = if dice.percent(50) {
        let ring = match dice.below(3) {
            0 => json!({"minimum_ring_size": 16}),
            1 => json!({"minimum_ring_size": 100, "maximum_ring_size": 200}),
            _ => json!({}),
        };
        map(json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": ring}))
    } else {
        let table = match dice.below(3) {
            0 => json!({"table_size": 101}),
            _ => json!({}),
        };
        map(json!({"lb_policy": "MAGLEV", "maglev_lb_config": table}))
    };
    fields.insert("connect_timeout".to_owned(), json!("1s"));
    let weighted = dice.percent(40);
    let hosts = (0..dice.between(2, 6)).map(|_| {
        let mut host = Host::default();
        if weighted {
            let weight = dice.between(1, 5);
            host.fields
                .insert("load_balancing_weight".to_owned(), json!(weight));
        }
        host
    });
    Backend {
        name,
        slot,
        fields,
        hosts: hosts.collect(),
        order: Order::Fixed,
        copies: false,
    }
}

/// What a request is hashed by; the last is there in every request.
pub(crate) fn hash_policy(dice: &mut Dice) -> Value {
    let mut policies: Vec<Value> = (0..dice.below(3))
        .map(|_| {
            let mut policy = match dice.below(4) {
                0 => json!({"cookie": {"name": "user"}}),
                1 => json!({"query_parameter": {"name": "q"}}),
                2 => json!({"header": {"header_name": "X-B"}}),
                _ => json!({"header": {"header_name": "x-a"}}),
            };
            if dice.percent(30) {
                policy["terminal"] = json!(true);
            }
            policy
        })
        .collect();
    policies.push(match dice.below(3) {
        0 => json!({"connection_properties": {"source_ip": true}}),
        1 => json!({"header": {"header_name": ":authority"}}),
        _ => json!({"header": {"header_name": ":path"}}),
    });
    Value::from(policies)
}

const VERSIONS: [(&str, &str); 4] = [("1", "prod"), ("2", "prod"), ("3", "test"), ("4", "test")];

/// Has an endpoint of each version, and two of each stage.
pub(crate) fn subsets(name: &'static str, slot: u8, dice: &mut Dice) -> Backend {
    let mut selectors = vec![json!({"keys": ["version"]})];
    if dice.percent(70) {
        selectors.push(json!({"keys": ["stage", "version"]}));
    }
    let mut config = json!({"subset_selectors": selectors});
    if dice.percent(30) {
        config["fallback_policy"] = json!("DEFAULT_SUBSET");
        config["default_subset"] = json!({"version": dice.pick(&["1", "2", "5"])});
    }
    let fields = json!({"lb_subset_config": config});
    let hosts = VERSIONS.iter().map(|(version, stage)| Host {
        fields: map(json!({"metadata": {"filter_metadata": {
            "envoy.lb": {"version": version, "stage": stage},
        }}})),
        ..Host::default()
    });
    Backend {
        name,
        slot,
        fields: map(fields),
        hosts: hosts.collect(),
        order: Order::Fixed,
        copies: false,
    }
}

/// Which endpoints of [`subsets`] a route takes: one, or none.
pub(crate) fn subset(dice: &mut Dice) -> Value {
    let mut labels = Map::new();
    if dice.percent(85) {
        let version = dice.pick(&["1", "2", "3", "4", "5"]);
        labels.insert("version".to_owned(), json!(version));
    }
    if dice.percent(40) {
        labels.insert("stage".to_owned(), json!(dice.pick(&["prod", "test"])));
    }
    json!({"filter_metadata": {"envoy.lb": labels}})
}
