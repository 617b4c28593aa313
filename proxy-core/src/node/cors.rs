//! Cross-origin requests: preflights are answered before the router, answers say who may read them.

use super::exchange::Taken;
use super::machine::{Env, Machine};
use crate::config::{Cors, CorsList};
use crate::heads::{HeadId, HeadWriter, Heads};
use crate::ids::ExchangeId;
use crate::reply::{LocalReply, ReplyReason};
use crate::route::RequestView;
use crate::shared::SharedState;

const ORIGIN: &str = "origin";
const ASKED_METHOD: &str = "access-control-request-method";
const ASKED_HEADERS: &str = "access-control-request-headers";

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
        let allowed = view.header(ORIGIN).is_some_and(|it| cors.allows(it));
        if !allowed && cors.forwards_others {
            return false;
        }
        let replies = self.exchange(id).replies;
        let reply = LocalReply {
            status: ReplyReason::Preflight.status(replies, true),
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

/// Writes who may read an answer, or what a preflight may.
///
/// Source: envoy `cors_filter.cc` (`decodeHeaders`, `encodeHeaders`). Departs: `Vary` names the origin, as the Fetch Standard has it where an
/// answer depends on it.
pub(super) fn write<H: Heads>(
    cors: &Cors,
    head: HeadId,
    heads: &H,
    preflight: bool,
    out: &mut impl HeadWriter,
) {
    let Some(origin) = heads.header(head, ORIGIN).filter(|it| cors.allows(it)) else {
        return;
    };
    out.set("access-control-allow-origin", origin);
    out.append("vary", ORIGIN);
    if cors.credentials {
        out.set("access-control-allow-credentials", "true");
    }
    if let Some(expose) = cors
        .expose
        .as_deref()
        .filter(|_| !preflight || cors.exposes_early)
    {
        out.set("access-control-expose-headers", expose);
    }
    if !preflight {
        return;
    }
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
