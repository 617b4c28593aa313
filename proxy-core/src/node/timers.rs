//! Ids of timers, made and read in one place.

use super::{TimerId, contract::TimerKind};
use crate::ids::{
    AttemptId, ClusterId, DownstreamId, EndpointSlot, ExchangeId, SessionId, UpstreamId,
};

impl TimerId {
    pub(super) const fn of_exchange(kind: TimerKind, exchange: ExchangeId) -> Self {
        Self {
            kind,
            index: exchange.index,
            generation: exchange.generation,
            number: 0,
        }
    }

    pub(super) const fn of_attempt(kind: TimerKind, attempt: AttemptId) -> Self {
        Self {
            kind,
            index: attempt.exchange.index,
            generation: attempt.exchange.generation,
            number: attempt.number as u32,
        }
    }

    pub(super) const fn of_upstream(kind: TimerKind, upstream: UpstreamId) -> Self {
        Self {
            kind,
            index: upstream.index,
            generation: upstream.generation,
            number: 0,
        }
    }

    pub(super) const fn of_downstream(kind: TimerKind, downstream: DownstreamId) -> Self {
        Self {
            kind,
            index: downstream.index,
            generation: downstream.generation,
            number: 0,
        }
    }

    pub(super) const fn of_session(kind: TimerKind, session: SessionId) -> Self {
        Self {
            kind,
            index: session.index,
            generation: session.generation,
            number: 0,
        }
    }

    pub(super) const fn of_cluster(kind: TimerKind, cluster: ClusterId, number: u32) -> Self {
        Self {
            kind,
            index: cluster.0,
            generation: 0,
            number,
        }
    }

    pub(super) const fn of_endpoint(
        kind: TimerKind,
        cluster: ClusterId,
        endpoint: EndpointSlot,
        number: u32,
    ) -> Self {
        Self {
            kind,
            index: cluster.0,
            generation: endpoint.0,
            number,
        }
    }

    pub(super) const fn exchange(self) -> ExchangeId {
        ExchangeId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) const fn attempt(self) -> AttemptId {
        AttemptId {
            exchange: self.exchange(),
            number: self.number as u16,
        }
    }

    pub(super) const fn upstream(self) -> UpstreamId {
        UpstreamId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) const fn downstream(self) -> DownstreamId {
        DownstreamId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) const fn session(self) -> SessionId {
        SessionId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) const fn cluster(self) -> ClusterId {
        ClusterId(self.index)
    }

    pub(super) const fn endpoint(self) -> EndpointSlot {
        EndpointSlot(self.generation)
    }
}
