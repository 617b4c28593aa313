//! Exchanges that become passages for bytes.

use http::Response;
use proxy_core::ids::AttemptId;
use proxy_core::node::Input;
use tokio::task::spawn_local;

use super::{Came, Stage};
use crate::body::ResponseBody;
use crate::heads::{Head, Outgoing, ResponseHead};
use crate::tls::Io;
use crate::upgrades::{self, Far};
use crate::worker::{Handle, Worker};

impl Handle {
    /// The connection that a CONNECT asks for stands.
    pub(super) fn tunnel_stands(&self, token: usize, attempt: AttemptId, io: Io) {
        self.with_worker(|worker| {
            let Some(exchange) = worker.exchanges.get_mut(token) else {
                return;
            };
            let mut attempts = exchange.attempts.iter_mut();
            let Some(sent) = attempts.find(|it| it.id == attempt) else {
                return;
            };
            let head = Response::new(()).into_parts().0;
            let head = worker.heads.insert(Head::Response(ResponseHead::new(head)));
            exchange.heads.push(head);
            sent.stage = Stage::Answered(head, Came::Switch(Far::Bytes(io)));
            let arrived = Input::UpstreamHead {
                attempt,
                head,
                end: false,
                bytes: 0,
            };
            worker.call(|node, cx| node.handle(cx, arrived));
        });
    }
}

impl Worker {
    /// The client's connection, or its stream, becomes what it asked for.
    #[cold]
    pub(super) fn switch(&mut self, handle: &Handle, token: usize, attempt: AttemptId) {
        let now = self.at;
        let Some(exchange) = self.exchanges.get_mut(token) else {
            return;
        };
        let mut attempts = exchange.attempts.iter_mut();
        let Some(answered) = attempts.find(|it| it.id == attempt) else {
            return;
        };
        let http2 = answered.http2;
        let Stage::Answered(head, Came::Switch(far)) =
            std::mem::replace(&mut answered.stage, Stage::Sent)
        else {
            return;
        };
        let Some(head) = self.heads.take_response(head) else {
            return;
        };
        let (sketch, mut head) = (head.sketch, head.parts);
        let mut out = Outgoing::of(&mut head.headers, sketch);
        let node = &self.node;
        node.write_response(now, attempt.exchange, &self.heads, &mut out);
        if let Some(kept) = &mut exchange.kept {
            kept.answer(head.status, &head.headers, 0);
        }
        let Some(near) = exchange.passage.as_mut().and_then(|it| {
            it.dress(&mut head);
            it.take()
        }) else {
            return;
        };
        let connection = exchange.passage.as_ref().and_then(|it| it.connection());
        if let Some(down) = connection.and_then(|token| self.downstreams.get_mut(token)) {
            down.carried = true;
        }
        let mut response = Response::new(ResponseBody::Own(None));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        exchange.reply = Some(response);
        exchange.wake();
        spawn_local(upgrades::carry(handle.clone(), attempt, near, far, http2));
    }
}
