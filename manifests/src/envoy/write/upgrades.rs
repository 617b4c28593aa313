//! What connections may become.

use proxy_core::config::{Forward, Unlisted, Upgrade, Upgrades};
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::Message;

/// Names that most clients mean where every name is let through: Envoy has no word for all.
const USUAL: [&str; 1] = ["websocket"];

/// Writes what a manager lets its connections become.
pub(super) fn of_manager(upgrades: &Upgrades, message: &mut Message, cx: &mut Cx<'_>) {
    let mut configs: Vec<Value> = upgrades.listed.iter().map(config).collect();
    match upgrades.others {
        Unlisted::Refused => {}
        Unlisted::Allowed => {
            let unnamed = USUAL.iter().filter(|name| upgrades.of_kind(name).is_none());
            configs.extend(unnamed.map(|name| json!({"upgrade_type": name})));
            cx.departs("connections may become WebSockets, and nothing else that clients ask for");
        }
        Unlisted::Unheard => cx.departs(
            "requests that want an upgrade that is not listed are refused, not sent on without it",
        ),
    }
    message.list("upgrade_configs", configs);
    if upgrades.http2 {
        message.set("http2_protocol_options", json!({"allow_connect": true}));
    }
}

/// Writes what a route lets connections become.
pub(super) fn of_route(forward: &Forward, message: &mut Message) {
    let is_connect = |it: &Upgrade| it.kind.eq_ignore_ascii_case("CONNECT");
    let configs = forward.upgrades.iter().map(|each| {
        let mut config = config(each);
        if forward.ends_connect && is_connect(each) {
            config["connect_config"] = json!({});
        }
        config
    });
    let configs: Vec<Value> = configs.collect();
    message.list("upgrade_configs", configs);
}

fn config(upgrade: &Upgrade) -> Value {
    let mut config = json!({"upgrade_type": &*upgrade.kind});
    if !upgrade.allowed {
        config["enabled"] = json!(false);
    }
    config
}
