//! Chosen requests watched on their way.

use proxy_core::event::{AttemptRecord, Decision};
use proxy_core::node::Target;
use proxy_core::origin::OriginId;
use reports::outcome::Outcome;
use scenarios::app::Note;
use scenarios::client::Asked;
use scenarios::plan::CallId;

use super::World;
use crate::slab::Key;

impl World<'_> {
    pub(super) fn watch_request(&mut self, _load: u32, _asked: &Asked) -> u32 {
        0
    }
    pub(super) fn watch_arrival(&mut self, _key: Key, _worker: u32) {}
    pub(super) fn watch_answer(&mut self, _key: Key, _pod: u32, _status: u16) {}
    pub(super) fn watch_note(&mut self, _pod: u32, _token: u64, _note: Note) {}
    pub(super) fn watch_call(&mut self, _key: Key, _pod: u32, _to: CallId) {}
    pub(super) fn watch_decision(
        &mut self,
        _worker: u32,
        _target: Target,
        _decision: Decision,
        _origin: OriginId,
    ) {
    }
    pub(super) fn watch_attempt(&mut self, _worker: u32, _record: &AttemptRecord) {}
    pub(super) fn watch_end(&mut self, _load: u32, _asked: &Asked, _outcome: Outcome) {}
}
