//! What connections may become: `upgrade_configs` of connection managers and of routes.

use std::collections::BTreeMap;

use proxy_core::config::{Unlisted, Upgrade, Upgrades};

use super::compile::Cx;
use super::types::{self, HttpConnectionManager, ManagerUpgrade, RouteUpgrade};
use crate::text::{Span, Spanned};

const CONNECT: &str = "CONNECT";

/// What a connection manager lets its connections become.
pub(super) fn of_manager(written: &HttpConnectionManager, cx: &mut Cx<'_>) -> Upgrades {
    let mut listed = Vec::new();
    let mut names = Names::default();
    for each in &written.upgrade_configs {
        let ManagerUpgrade {
            upgrade_type,
            filters,
            enabled,
        } = &each.value;
        names.take(upgrade_type, each.span, cx);
        if let Some(filters) = filters.first() {
            let meaning = "requests that upgrade pass the filters of all others";
            cx.left_out(filters.span, "`filters` of an upgrade", meaning);
        }
        listed.push(Upgrade {
            kind: upgrade_type.as_str().into(),
            allowed: enabled.unwrap_or(true),
            origin: cx.written(each.span),
        });
    }
    let http2: Option<types::Http2Options> = cx.read_maybe(written.http2_protocol_options.as_ref());
    if let Some(most) = http2.as_ref().and_then(|it| it.max_concurrent_streams) {
        let meaning = "clients have as many streams at a time as they like";
        cx.left_out(most.span, "`max_concurrent_streams` of clients", meaning);
    }
    Upgrades {
        listed,
        others: Unlisted::Refused,
        http2: http2.is_some_and(|it| it.allow_connect),
    }
}

/// What a route lets connections become, whatever their manager says, and whether a CONNECT ends here.
pub(super) fn of_route(written: &[Spanned<RouteUpgrade>], cx: &mut Cx<'_>) -> (Vec<Upgrade>, bool) {
    let mut upgrades = Vec::new();
    let mut names = Names::default();
    let mut ends_connect = false;
    for each in written {
        let RouteUpgrade {
            upgrade_type,
            enabled,
            connect_config,
        } = &each.value;
        names.take(upgrade_type, each.span, cx);
        if let Some(config) = connect_config {
            if !upgrade_type.eq_ignore_ascii_case(CONNECT) {
                cx.refuse(config.span, "only CONNECT has a `connect_config`");
            }
            let meaning = "the endpoint hears nothing but the bytes after the CONNECT";
            cx.note(
                config.proxy_protocol_config,
                "proxy_protocol_config",
                meaning,
            );
            if let Some(post) = config.allow_post.filter(|post| post.value) {
                let meaning = "a POST is sent on as a POST";
                cx.left_out(post.span, "`allow_post`", meaning);
            }
            ends_connect = true;
        }
        upgrades.push(Upgrade {
            kind: upgrade_type.as_str().into(),
            allowed: enabled.unwrap_or(true),
            origin: cx.written(each.span),
        });
    }
    (upgrades, ends_connect)
}

/// Names that were given so far: each may be given once.
#[derive(Default)]
struct Names(BTreeMap<String, Span>);

impl Names {
    fn take(&mut self, name: &str, span: Span, cx: &mut Cx<'_>) {
        if self.0.insert(name.to_ascii_lowercase(), span).is_some() {
            cx.refuse(span, "this upgrade stands twice");
        }
    }
}
