//! Cross-origin requests: preflights are answered before the router, answers say who may read them.

use super::exchange::Taken;
use super::machine::{Env, Machine};
use crate::config::{Cors, CorsList, CorsManner, KongCors};
use crate::heads::{HeadId, HeadWriter, Heads};
use crate::ids::ExchangeId;
use crate::reply::{LocalReply, ReplyReason};
use crate::route::RequestView;
use crate::shared::SharedState;

const ORIGIN: &str = "origin";
const ASKED_METHOD: &str = "access-control-request-method";
const ASKED_HEADERS: &str = "access-control-request-headers";
const ASKED_NETWORK: &str = "access-control-request-private-network";
const ALLOWED: &str = "access-control-allow-origin";
const CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSED: &str = "access-control-expose-headers";

/// Whether a request asks what another one may.
///
/// Source: envoy `source/extensions/filters/http/cors/cors_filter.cc` (`decodeHeaders`).
fn is_preflight<H: Heads>(view: RequestView<'_, H>) -> bool {
    let has = |name| view.header(name).is_some_and(|value| !value.is_empty());
    view.method() == "OPTIONS" && has(ORIGIN) && has(ASKED_METHOD)
}

impl Machine {
    /// Whether the exchange ends here, since it is a preflight.
    pub(super) fn answer_preflight<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        taken: Option<&Taken<'_>>,
    ) -> bool {
        let Some(cors) = taken.and_then(|it| it.route.cors.as_deref()) else {
            return false;
        };
        let view = self.exchange(id).view(env.heads);
        if !is_preflight(view) {
            return false;
        }
        let replies = self.exchange(id).replies;
        let status = match &cors.manner {
            CorsManner::Kong(kong) if kong.continues => return false,
            CorsManner::Kong(_) => 200,
            CorsManner::Envoy => {
                let allowed = view.header(ORIGIN).is_some_and(|it| cors.allows(it));
                if !allowed && cors.forwards_others {
                    return false;
                }
                ReplyReason::Preflight.status(replies, true)
            }
        };
        let reply = LocalReply {
            status,
            grpc: None,
            reason: ReplyReason::Preflight,
            silent: true,
            retried: false,
            origin: cors.origin,
            route: None,
        };
        self.reply(env, id, reply);
        true
    }
}

/// Writes who may read an answer, or what a preflight may; `preflight`: it was answered here.
pub(super) fn write<H: Heads>(
    cors: &Cors,
    head: HeadId,
    heads: &H,
    preflight: bool,
    out: &mut impl HeadWriter,
) {
    match &cors.manner {
        CorsManner::Envoy => write_envoy(cors, head, heads, preflight, out),
        CorsManner::Kong(kong) => write_kong(cors, kong, head, heads, preflight, out),
    }
}

/// Source: envoy `cors_filter.cc` (`decodeHeaders`, `encodeHeaders`). Departs: `Vary` names the origin, as the Fetch Standard has it where an
/// answer depends on it.
fn write_envoy<H: Heads>(
    cors: &Cors,
    head: HeadId,
    heads: &H,
    preflight: bool,
    out: &mut impl HeadWriter,
) {
    let Some(origin) = heads.header(head, ORIGIN).filter(|it| cors.allows(it)) else {
        return;
    };
    out.set(ALLOWED, origin);
    out.append("vary", ORIGIN);
    if cors.credentials {
        out.set(CREDENTIALS, "true");
    }
    if let Some(expose) = cors
        .expose
        .as_deref()
        .filter(|_| !preflight || cors.exposes_early)
    {
        out.set(EXPOSED, expose);
    }
    if preflight {
        write_lists(cors, head, heads, out);
    }
}

/// Source: Kong `kong/plugins/cors/handler.lua` (`access`, `header_filter`). Departs: the asking origin is named as it came, where Kong leaves
/// out its scheme's usual port, which browsers do not send.
fn write_kong<H: Heads>(
    cors: &Cors,
    kong: &KongCors,
    head: HeadId,
    heads: &H,
    preflight: bool,
    out: &mut impl HeadWriter,
) {
    let asks = RequestView {
        heads,
        head,
        edge: false,
    };
    if !preflight && kong.continues && is_preflight(asks) {
        return;
    }
    let origin = heads.header(head, ORIGIN).filter(|it| !it.is_empty());
    if origin.is_none() && !kong.marks_others {
        return;
    }
    let any = kong.says.as_deref() == Some("*");
    if !any {
        out.append("vary", ORIGIN);
    }
    let named = match &kong.says {
        Some(says) => Some(&**says),
        None => origin.filter(|it| cors.allows(it)),
    };
    match named {
        Some(named) => out.set(ALLOWED, named),
        None => out.remove(ALLOWED),
    }
    if cors.credentials {
        match origin.filter(|_| any) {
            Some(origin) => {
                out.append("vary", ORIGIN);
                out.set(ALLOWED, origin);
                out.set(CREDENTIALS, "true");
            }
            // `*` does not go with credentials
            None if any => {}
            None => out.set(CREDENTIALS, "true"),
        }
    }
    if !preflight {
        if let Some(expose) = &cors.expose {
            out.set(EXPOSED, expose);
        }
        return;
    }
    write_lists(cors, head, heads, out);
    if kong.private_network && heads.header(head, ASKED_NETWORK) == Some("true") {
        out.set("access-control-allow-private-network", "true");
    }
}

/// What a preflight is told besides its origin.
fn write_lists<H: Heads>(cors: &Cors, head: HeadId, heads: &H, out: &mut impl HeadWriter) {
    let lists = [
        ("access-control-allow-methods", &cors.methods, ASKED_METHOD),
        ("access-control-allow-headers", &cors.headers, ASKED_HEADERS),
    ];
    for (name, list, asked) in lists {
        let text = match list {
            None => continue,
            Some(CorsList::Text(text)) => Some(&**text),
            Some(CorsList::Asked) => heads.header(head, asked),
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.set(name, text);
        }
    }
    if let Some(age) = &cors.max_age {
        out.set("access-control-max-age", age);
    }
}
