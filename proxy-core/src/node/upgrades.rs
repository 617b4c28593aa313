//! Requests after which their connection speaks another protocol: `Upgrade` and CONNECT.
//!
//! The node says whether that may be, where to, and on which terms; once an endpoint has switched, bytes are carried both ways as they come.
//!
//! Source: envoy `source/common/http/filter_manager.cc` (`createUpgradeFilterChain`), `conn_manager_impl.cc`
//! (`ActiveStream::decodeHeaders`), `source/common/router/upstream_codec_filter.cc`, and what 1.40.0 was seen to do.

use super::contract::{Action, Target, TimerId, TimerKind};
use super::machine::{Env, Exchange, Machine, Passage, Wish};
use crate::config::{Forward, HttpConnections, Unlisted, Upgrade};
use crate::event::{Event, UpgradeFact};
use crate::heads::{Asks, HeadId, Heads};
use crate::ids::ExchangeId;
use crate::origin::OriginId;
use crate::reply::ReplyReason;
use crate::shared::SharedState;

/// What CONNECT is called among upgrades.
const CONNECT: &str = "CONNECT";

/// What the first response is, seen as the answer to a wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// The switch that was asked for.
    Switch,
    /// A refusal, of which the client has the head alone.
    Head,
    /// Any other answer, as good as that to a request without a wish.
    Answer,
}

impl Machine {
    /// Hears what a request with a route asks for. False: it has been refused, and the exchange is over.
    #[cold]
    pub(super) fn hear<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        asks: Asks,
        (http, forward): (&HttpConnections, Option<&Forward>),
    ) -> bool {
        let exchange = self.exchange(id);
        let target = Target::Exchange(id, exchange.token);
        let header = || exchange.view(env.heads).header("upgrade");
        let kind = match asks {
            Asks::Nothing => return true,
            Asks::Upgrade => header().unwrap_or_default(),
            Asks::Connect => CONNECT,
        };
        let wish = match asks {
            Asks::Connect if forward.is_some_and(|it| it.ends_connect) => Wish::Tunnel,
            Asks::Connect => Wish::Connect,
            Asks::Upgrade if kind.eq_ignore_ascii_case("websocket") => Wish::WebSocket,
            Asks::Upgrade | Asks::Nothing => Wish::Other,
        };
        let (allowed, origin) = may_become(kind, http, forward);
        if allowed {
            self.exchange_mut(id).passage = Passage::Asked(wish);
            self.record(target, Event::Upgrade(UpgradeFact::Allowed));
        } else {
            self.record(target, Event::Upgrade(UpgradeFact::Refused));
            self.reply_because(env, id, ReplyReason::UpgradeRefused, origin);
        }
        allowed
    }

    /// What an exchange becomes with an answer to its wish. Where bytes are carried from now on, what bounds an answer no longer bounds it.
    #[cold]
    pub(super) fn wish_answered(&mut self, id: ExchangeId, came: Came) {
        let exchange = self.exchange_mut(id);
        if came != Came::Switch {
            if let Some(log) = exchange.log.as_mut().filter(|_| exchange.status != 101) {
                log.not_switched();
            }
            return;
        }
        exchange.passage = Passage::Open;
        let target = Target::Exchange(id, exchange.token);
        if core::mem::take(&mut exchange.route_armed) {
            let timer = TimerId::of_exchange(TimerKind::Route, id);
            self.push(target, Action::Disarm { id: timer });
        }
    }

    /// An exchange with a wish is over.
    pub(super) fn passage_over(&mut self, target: Target) {
        self.record(target, Event::Upgrade(UpgradeFact::Over));
    }
}

/// Whether a connection may become `kind`: as the route says, else as the listener does.
fn may_become(kind: &str, http: &HttpConnections, forward: Option<&Forward>) -> (bool, OriginId) {
    let mut of_route = forward.into_iter().flat_map(|forward| &forward.upgrades);
    let of_route = of_route.find(|it| it.kind.eq_ignore_ascii_case(kind));
    let said = of_route.or_else(|| http.upgrades.of_kind(kind));
    let unlisted = http.upgrades.others == Unlisted::Allowed;
    said.map_or((unlisted, http.origin), |it: &Upgrade| {
        (it.allowed, it.origin)
    })
}

/// What a response is to the wish of its exchange.
#[cold]
pub(super) fn came<H: Heads>(exchange: &Exchange, heads: &H, head: HeadId) -> Came {
    let Passage::Asked(wish) = exchange.passage else {
        return Came::Answer;
    };
    let status = heads.status(head);
    let switches = match wish {
        Wish::WebSocket | Wish::Other => {
            status == 101 && heads.response_header(head, "upgrade").is_some()
        }
        Wish::Connect | Wish::Tunnel => (200..300).contains(&status),
    };
    match wish {
        _ if switches => Came::Switch,
        // there is no more to an answer of this kind
        _ if status == 101 => Came::Head,
        Wish::WebSocket if status < 400 => Came::Head,
        Wish::WebSocket | Wish::Other | Wish::Connect | Wish::Tunnel => Came::Answer,
    }
}
