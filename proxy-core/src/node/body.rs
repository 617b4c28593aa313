//! Requests whose body is longer than their route takes.

use super::machine::{Env, Machine};
use crate::config::Forward;
use crate::heads::Heads;
use crate::ids::ExchangeId;
use crate::reply::ReplyReason;
use crate::shared::SharedState;

impl Machine {
    /// Whether the exchange ends here, since its body is longer than its route takes: by what it says of itself, or by what has come.
    ///
    /// Source: NGINX `client_max_body_size` (`ngx_http_core_find_config_phase` for a length that is told, `ngx_http_request_body_chunked_filter`
    /// for one that is not).
    #[inline(never)]
    pub(super) fn refuse_body<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        forward: &Forward,
    ) -> bool {
        let Some(largest) = forward.largest_body else {
            return false;
        };
        let exchange = self.exchange(id);
        let told = exchange.view(env.heads).number("content-length");
        if told.unwrap_or(0).max(exchange.request_bytes) <= largest.value {
            return false;
        }
        self.stream_over(env, id, ReplyReason::BodyTooLarge, largest.origin);
        true
    }
}
