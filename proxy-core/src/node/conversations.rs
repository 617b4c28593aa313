//! Connections as access logs have them, and how long they may last.

use smallvec::SmallVec;

use super::contract::{Target, TimerId, TimerKind};
use super::logging::{Logged, Source, passed};
use super::machine::{Downstream, Env, Machine, Stage};
use crate::config::{ChainAction, CloseReason, ClusterIndex};
use crate::event::AttemptFailure;
use crate::heads::Heads;
use crate::ids::{ClusterId, DownstreamId, EndpointSlot, UpstreamId};
use crate::log::{Exchanged, LogKind, LogRecord, Moments};
use crate::origin::OriginId;
use crate::reply::{Details, Flags};
use crate::shared::SharedState;
use crate::time::{Duration, Time};

use super::Node;

/// What is kept of a connection of which a log may have a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    cluster: Option<(ClusterId, ClusterIndex)>,
    endpoint: Option<EndpointSlot>,
    upstream: Option<UpstreamId>,
    attempted: SmallVec<[EndpointSlot; 2]>,
    failure: Option<AttemptFailure>,
    flags: Flags,
    details: Details,
}

impl Conversation {
    /// It goes to this cluster, if it has an endpoint.
    pub(super) fn chose(
        &mut self,
        cluster: (ClusterId, ClusterIndex),
        endpoint: Option<EndpointSlot>,
    ) {
        self.cluster = Some(cluster);
        match endpoint {
            None => self.flags.insert(Flags::UH),
            Some(endpoint) => {
                self.endpoint = Some(endpoint);
                self.attempted.push(endpoint);
                self.failure = None;
            }
        }
    }

    pub(super) const fn overflows(&mut self) {
        self.flags.insert(Flags::UO);
    }

    pub(super) const fn connected(&mut self, upstream: UpstreamId) {
        self.upstream = Some(upstream);
    }

    pub(super) const fn failed(&mut self, failure: AttemptFailure) {
        self.failure = Some(failure);
    }

    /// No further endpoint is tried.
    pub(super) const fn exhausted(&mut self) {
        self.flags.insert(Flags::UF);
        self.flags.insert(Flags::URX);
    }

    const fn closed(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::Age => self.flags.insert(Flags::DT),
            CloseReason::NoFilterChain => {
                self.flags.insert(Flags::NR);
                self.details = Details::NoFilterChain;
            }
            CloseReason::NoListener
            | CloseReason::BlackHole
            | CloseReason::ConnectionLimit
            | CloseReason::ProcessLimit
            | CloseReason::UpstreamFailed
            | CloseReason::Idle
            | CloseReason::Drain
            | CloseReason::ClientGone
            | CloseReason::Handshake => {}
        }
    }
}

impl Downstream {
    /// What is kept of it, where a log may have a record of it.
    pub(super) fn conversation(&mut self) -> Option<&mut Conversation> {
        self.conversation.as_deref_mut()
    }
}

impl Machine {
    /// A connection is over: its logs have their last records of it.
    #[cold]
    pub(super) fn log_end_of_connection<S, H: Heads>(
        &mut self,
        env: &Env<'_, S, H>,
        id: DownstreamId,
        reason: CloseReason,
    ) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        let Some(mut conversation) = down.conversation.take() else {
            return;
        };
        conversation.closed(reason);
        let reached = down.stage != Stage::Peeking;
        if reached {
            self.log_connection(
                env,
                id,
                &conversation,
                Source::Tcp,
                LogKind::TcpConnectionEnd,
            );
        }
        self.log_connection(env, id, &conversation, Source::Listener, LogKind::NotSet);
    }

    /// A carried connection stands, or goes on.
    fn log_carried<S, H: Heads>(&mut self, env: &Env<'_, S, H>, id: DownstreamId, kind: LogKind) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        if let Some(conversation) = down.conversation.take() {
            self.log_connection(env, id, &conversation, Source::Tcp, kind);
            if let Some(down) = self.downstreams.get_mut(id) {
                down.conversation = Some(conversation);
            }
        }
    }

    fn log_connection<S, H: Heads>(
        &mut self,
        env: &Env<'_, S, H>,
        id: DownstreamId,
        conversation: &Conversation,
        source: Source,
        kind: LogKind,
    ) {
        let down = self
            .downstreams
            .get(id)
            .expect("the caller has just found it");
        let place = down.place;
        let logs = source.logs(env.configs, place);
        let seen = Exchanged::<H> {
            status: 0,
            flags: conversation.flags,
            took: env.now.since(down.since),
            grpc: None,
            request: None,
            key: down.key,
        };
        let passed = passed(logs, &seen);
        if passed.is_empty() {
            return;
        }
        let record = LogRecord {
            kind,
            downstream: id,
            status: 0,
            flags: conversation.flags,
            details: conversation.details,
            http2: down.http2,
            received: 0,
            sent: 0,
            grpc: None,
            attempts: conversation.attempted.len() as u16,
            cluster: conversation.cluster.map(|(id, _)| id),
            endpoint: conversation.endpoint,
            upstream: conversation.upstream,
            attempted: conversation.attempted.clone(),
            failure: conversation.failure,
            moments: Moments {
                start: down.since,
                end: env.now,
                ..Moments::default()
            },
            key: down.key,
        };
        let cluster = conversation.cluster.map(|(_, index)| index);
        let target = Target::Downstream(id, down.token);
        self.keep_record(
            target,
            Logged::of_connection(place, record, passed, source, cluster),
        );
    }

    /// A carried connection stands: what bounds it begins.
    pub(super) fn carried<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
        upstream: UpstreamId,
    ) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        down.idle_since = env.now;
        if let Some(conversation) = down.conversation() {
            conversation.connected(upstream);
        }
        let (place, target) = (down.place, Target::Downstream(id, down.token));
        let Some(tcp) = env.configs.tcp(place) else {
            return;
        };
        if let Some(idle) = tcp.idle_timeout.filter(|idle| !idle.value.is_zero()) {
            let timer = TimerId::of_downstream(TimerKind::CarriedIdle, id);
            self.arm(target, timer, env.now, idle.value);
        }
        if let Some(every) = tcp.logs.every {
            let timer = TimerId::of_downstream(TimerKind::CarriedLog, id);
            self.arm(target, timer, env.now, every);
        }
        if tcp.logs.connected {
            self.log_carried(env, id, LogKind::TcpUpstreamConnected);
        }
    }

    /// Bytes were carried at this moment, and none since.
    pub(super) fn bytes_carried(&mut self, id: DownstreamId, last: Time) {
        if let Some(down) = self.downstreams.get_mut(id) {
            down.idle_since = down.idle_since.max(last);
        }
    }

    pub(super) fn carried_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let Some(down) = self.downstreams.get(id) else {
            return;
        };
        let idle = env.configs.tcp(down.place).and_then(|tcp| tcp.idle_timeout);
        let Some(idle) = idle.filter(|idle| !idle.value.is_zero()) else {
            return;
        };
        let due = down.idle_since + idle.value;
        if due > env.now {
            let target = Target::Downstream(id, down.token);
            let timer = TimerId::of_downstream(TimerKind::CarriedIdle, id);
            self.arm_single(target, timer, due);
        } else {
            self.close_downstream(env, id, CloseReason::Idle, idle.origin);
        }
    }

    /// A log is told of a connection that goes on.
    pub(super) fn carried_goes_on<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let Some(down) = self.downstreams.get(id) else {
            return;
        };
        let target = Target::Downstream(id, down.token);
        let every = env.configs.tcp(down.place).and_then(|tcp| tcp.logs.every);
        if let Some(every) = every {
            self.log_carried(env, id, LogKind::TcpPeriodic);
            let timer = TimerId::of_downstream(TimerKind::CarriedLog, id);
            self.arm(target, timer, env.now, every);
        }
    }

    /// Arms what bounds the whole life of a connection.
    pub(super) fn watch_age<S, H>(&mut self, env: &Env<'_, S, H>, id: DownstreamId) {
        let Some(down) = self.downstreams.get(id) else {
            return;
        };
        let Some((longest, _)) = longest_life(&env.configs.chain(down.place).action) else {
            return;
        };
        let due = down.since + longest;
        let target = Target::Downstream(id, down.token);
        let timer = TimerId::of_downstream(TimerKind::DownstreamAge, id);
        self.arm_single(target, timer, due.max(env.now));
    }

    /// A connection has lived as long as it may: bytes are carried no longer, and requests are let end.
    ///
    /// Source: envoy `ConnectionManagerImpl::onConnectionDurationTimeout`, `TcpProxy::Filter::onMaxDownstreamConnectionDuration`.
    pub(super) fn downstream_aged<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: DownstreamId,
    ) {
        let Some(down) = self.downstreams.get_mut(id) else {
            return;
        };
        let Some((_, origin)) = longest_life(&env.configs.chain(down.place).action) else {
            return;
        };
        if down.stage == Stage::Http && !down.draining {
            down.draining = true;
            down.leaves = CloseReason::Age;
            self.drain_downstream(env, id);
        } else if down.stage != Stage::Http {
            self.close_downstream(env, id, CloseReason::Age, origin);
        }
    }
}

/// How long a connection of this kind may live.
fn longest_life(action: &ChainAction) -> Option<(Duration, OriginId)> {
    let longest = match action {
        ChainAction::Http(http) => http.max_connection_duration,
        ChainAction::Tcp(tcp) => tcp.max_duration,
        ChainAction::Udp(_) | ChainAction::Close(_) => None,
    };
    let longest = longest.filter(|longest| !longest.value.is_zero())?;
    Some((longest.value, longest.origin))
}

impl Node {
    /// The driver's own number for the carried connection of which it has to say when bytes came last, before this timer is fired.
    #[must_use]
    pub fn asks_when_carried(&self, timer: TimerId) -> Option<(DownstreamId, u64)> {
        if timer.kind != TimerKind::CarriedIdle {
            return None;
        }
        let id = timer.downstream();
        Some((id, self.machine.downstreams.get(id)?.token))
    }

    /// How long the head of a request may take on a connection; none: the driver's own bound holds.
    #[must_use]
    pub fn head_timeout(&self, downstream: DownstreamId) -> Option<Duration> {
        let down = self.machine.downstreams.get(downstream)?;
        let timeout = self.configs.http(down.place)?.head_timeout?;
        Some(timeout.value).filter(|timeout| !timeout.is_zero())
    }

    /// Whether a log may have a record of a connection.
    #[must_use]
    pub fn is_logged(&self, downstream: DownstreamId) -> bool {
        let down = self.machine.downstreams.get(downstream);
        down.is_some_and(|down| down.conversation.is_some())
    }
}
