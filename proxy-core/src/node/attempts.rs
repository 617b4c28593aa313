//! Tries: where they go, how they end, and whether another follows.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::contract::{Action, ResetCause, Target, TimerId, TimerKind};
use super::endpoints::pick_endpoint;
use super::judgement::Report;
use super::lists::Actions;
use super::machine::{Attempt, AttemptStage, Env, Exchange, Machine, Passage, Placing};
use super::pool::{Found, find_connection};
use super::upgrades::{Came, came};
use crate::config::{Forward, RetryBudget, RetryPolicy};
use crate::event::{
    AttemptFailure, AttemptRecord, AttemptResult, Decision, Event, Next, TimeoutKind,
};
use crate::heads::{HeadId, Heads};
use crate::ids::{AttemptId, ClusterId, EndpointSlot, ExchangeId, UpstreamId};
use crate::limit::concurrency::{ConcurrencyLimit, Resource};
use crate::origin::{OriginId, Sourced};
use crate::reply::{Flags, ReplyReason};
use crate::retry::budget::{Balance, RequestWindow};
use crate::retry::conditions::{self, Condition, Reset, ResetContext, ResponseHead, RetryOn};
use crate::retry::{Admission, admit, backoff};
use crate::route::header_matches;
use crate::shared::SharedState;
use crate::time::{Duration, Time};

/// A wish to retry, or why there is none.
enum Wish {
    No,
    AfterBackoff,
    /// As long as the response asks for.
    After(Duration),
    AtOnce,
}

impl Machine {
    /// Begins the next try.
    pub(super) fn start_attempt<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        forward: Option<&Forward>,
    ) {
        let begun = begin_attempt(&mut self.placing(id), env, id, forward);
        self.attempt_begun(env, begun);
    }

    /// What comes of a try that was begun.
    #[inline(always)]
    pub(super) fn attempt_begun<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        (attempt, found): (AttemptId, Option<Found>),
    ) {
        match found {
            Some(found) => self.connection_found(env, attempt, found),
            None => self.no_endpoint(env, attempt),
        }
    }

    /// No endpoint may be used: the try waits, where the cluster has a queue, or fails.
    fn no_endpoint<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
    ) {
        let exchange = self.exchange(attempt.exchange);
        let id = exchange.cluster.expect("a try has a cluster");
        let token = exchange.token;
        let cluster = self.cluster_mut(id).expect("made before the first try");
        if let Some(queue) = cluster.config.queue {
            if cluster.failing_fast || cluster.queue.len() >= queue.value.capacity as usize {
                let reason = ReplyReason::LoadShed;
                self.end_attempt_record(
                    attempt,
                    (
                        AttemptResult::Failed(AttemptFailure::NoHealthyUpstream),
                        false,
                    ),
                    (Next::Final, queue.origin),
                    env.now,
                );
                self.reply_because(env, attempt.exchange, reason, queue.origin);
                return;
            }
            cluster.queue.push_back(attempt);
            if !cluster.queue_armed {
                cluster.queue_armed = true;
                let timer = TimerId::of_cluster(TimerKind::QueueWait, id, 0);
                self.arm(Target::Node, timer, env.now, queue.value.timeout);
            }
            return;
        }
        let _ = token;
        let origin = cluster.config.origin;
        self.end_attempt_record(
            attempt,
            (
                AttemptResult::Failed(AttemptFailure::NoHealthyUpstream),
                false,
            ),
            (Next::NotRetriable, origin),
            env.now,
        );
        let exchange = self.exchange(attempt.exchange);
        if exchange.attempts.is_empty() && !exchange.backing_off {
            self.reply_because(
                env,
                attempt.exchange,
                ReplyReason::NoHealthyUpstream,
                origin,
            );
        }
    }

    /// Arms a try's own timers: it has a connection and its request is complete.
    ///
    /// Source: envoy `source/common/router/upstream_request.cc` (`onPoolReady`).
    pub(super) fn arm_try_timers<S, H>(&mut self, env: &Env<'_, S, H>, attempt: AttemptId) {
        let is_last = self.exchange(attempt.exchange).retries_left == 0 && attempt.number > 1;
        let unbounded = is_last && self.drops_last_timeout(env, attempt);
        let exchange = self.exchange_mut(attempt.exchange);
        let (per_try, idle) = (exchange.terms.per_try, exchange.terms.per_try_idle);
        let target = Target::Exchange(attempt.exchange, exchange.token);
        let Some(entry) = exchange.attempt_mut(attempt.number) else {
            return;
        };
        entry.last_activity = env.now;
        let per_try = per_try.filter(|_| !entry.per_try_armed && !unbounded);
        let idle = idle.filter(|_| !entry.idle_armed);
        entry.per_try_armed |= per_try.is_some();
        entry.idle_armed |= idle.is_some();
        if let Some(after) = per_try {
            self.arm_try_timer(env, attempt, target, TimerKind::PerTry, after);
        }
        if let Some(after) = idle {
            self.arm_try_timer(env, attempt, target, TimerKind::PerTryIdle, after);
        }
    }

    fn arm_try_timer<S, H>(
        &mut self,
        env: &Env<'_, S, H>,
        attempt: AttemptId,
        target: Target,
        kind: TimerKind,
        after: Sourced<Duration>,
    ) {
        let timer = TimerId::of_attempt(kind, attempt);
        self.arm(target, timer, env.now, after.value);
        let told = if kind == TimerKind::PerTry {
            TimeoutKind::PerTry
        } else {
            TimeoutKind::PerTryIdle
        };
        let decision = Decision::Timeout {
            kind: told,
            after: after.value,
        };
        self.decided(attempt.exchange, decision, after.origin);
    }

    fn drops_last_timeout<S, H>(&self, env: &Env<'_, S, H>, attempt: AttemptId) -> bool {
        self.policy(env, attempt.exchange)
            .is_some_and(|p| p.last_try_unbounded)
    }

    /// A response's head has come.
    pub(super) fn upstream_head<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        head: HeadId,
        end: bool,
    ) {
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return;
        };
        exchange.last_activity = env.now;
        let cluster = exchange.cluster.expect("a try has a cluster");
        let committed = exchange.committed.is_some();
        let retried_from = exchange.terms.retried_from;
        let Some(entry) = exchange.attempt_mut(attempt.number) else {
            return;
        };
        if entry.stage != AttemptStage::Sent {
            return;
        }
        let status = env.heads.status(head);
        entry.stage = AttemptStage::Responding;
        entry.status = status;
        entry.last_activity = env.now;
        let (took, waited) = (env.now.since(entry.sent), env.now.since(entry.start));
        let endpoint = entry.endpoint;
        if let Some(log) = &mut exchange.log {
            log.try_answered(attempt.number, status, env.now);
        }
        let marked = env.heads.has_retry_marks(head);
        if let Some(log) = exchange.log.as_mut().filter(|_| marked) {
            let grpc = env.heads.response_header(head, "grpc-status");
            log.grpc_in_head(grpc.and_then(|status| status.trim().parse().ok()));
        }
        let state = self.cluster(cluster).expect("made before the first try");
        let (watched, pays) = (state.watched, state.pays_for_retries);
        if let Some(endpoint) = endpoint.filter(|_| watched) {
            let is_grpc = || {
                let exchange = self.exchanges.get(attempt.exchange);
                exchange.is_some_and(|exchange| exchange.view(env.heads).is_grpc())
            };
            let grpc = (marked && is_grpc())
                .then(|| env.heads.response_header(head, "grpc-status"))
                .flatten()
                .and_then(|s| s.parse().ok());
            let report = Report::Response {
                status,
                grpc,
                took,
                waited,
            };
            self.report(env, cluster, endpoint, report);
        }
        if committed {
            return;
        }
        // most responses are not of a kind that their policy would look at
        let wish = if status < retried_from && !marked {
            Wish::No
        } else {
            self.wish_after_response(env, attempt.exchange, head, status)
        };
        if matches!(wish, Wish::No) {
            if pays {
                self.deposit(env, cluster);
            }
            self.commit(env, attempt, (head, status), end, None);
        } else {
            self.retry_response(env, attempt, (head, status), end, &wish);
        }
    }

    /// A response that may be retried: it is, or it goes to the client all the same.
    #[cold]
    fn retry_response<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        (head, status): (HeadId, u16),
        end: bool,
        wish: &Wish,
    ) {
        let result = AttemptResult::Response(status);
        let exchange = self.exchange(attempt.exchange);
        let overtaken = exchange
            .attempt(attempt.number)
            .is_some_and(|a| a.overtaken);
        let admitted = if overtaken {
            (Next::NotRetriable, exchange.origin, Duration::ZERO)
        } else {
            self.admit_retry(env, attempt, wish)
        };
        match admitted {
            (Next::Retried, origin, pause) => {
                self.end_attempt(env, attempt, result, (Next::Retried, origin), end);
                self.retry_after(env, attempt.exchange, pause, origin);
            }
            // a response that would be retried is no answer while another try may have a better one
            (_, origin, _) if self.others_run(attempt) => {
                self.end_attempt(env, attempt, result, (Next::Superseded, origin), end);
            }
            (why, origin, _) => {
                self.commit(env, attempt, (head, status), end, Some((why, origin)));
            }
        }
    }

    /// The response of this try goes to the client.
    #[inline(always)]
    fn commit<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        (head, status): (HeadId, u16),
        mut end: bool,
        refused: Option<(Next, OriginId)>,
    ) {
        let but = Some(attempt.number);
        let mut exchange = self.exchanges.existing(attempt.exchange);
        if exchange.attempts.has_other_than(but) {
            self.cancel_others(env, attempt.exchange, but);
            exchange = self.exchanges.existing(attempt.exchange);
        }
        if exchange.retry_held {
            self.release_retry(env, attempt.exchange);
            exchange = self.exchanges.existing(attempt.exchange);
        }
        exchange.committed = Some(attempt.number);
        exchange.status = status;
        let came = match exchange.passage {
            Passage::No => Came::Answer,
            Passage::Asked(_) | Passage::Open => came(exchange, env.heads, head),
        };
        if came != Came::Answer {
            end = came == Came::Head;
        }
        if exchange.log.is_some() {
            exchange.note_answer(attempt.number, end, env.now);
            exchange.note_operation(env.heads, head);
        }
        if came != Came::Answer {
            self.wish_answered(attempt.exchange, came);
            exchange = self.exchanges.existing(attempt.exchange);
        }
        exchange.backing_off = false;
        let is_copy = exchange.downstream.is_none();
        let keeps = !exchange.request_done && exchange.retained && exchange.retries_left > 0;
        let mut next = (Next::Final, exchange.origin);
        if let Some((why, origin)) = refused {
            exchange.origin = origin;
            next = (why, origin);
        }
        let target = Target::Exchange(attempt.exchange, exchange.token);
        if keeps {
            self.actions.push(target, Action::StopRetaining);
        }
        if !is_copy {
            let forward = match came {
                Came::Switch => Action::Switch { attempt },
                Came::Head | Came::Answer => Action::Forward { attempt, end },
            };
            self.actions.push(target, forward);
        }
        if end {
            let result = AttemptResult::Response(status);
            let how = (result, true);
            let ended = record_end(exchange, &mut self.actions, attempt, how, next, env.now);
            if let Some(ended) = ended {
                self.leave_endpoint(env, attempt, &ended, result, true);
            }
            self.end_exchange_here(env, attempt.exchange);
        } else if next.0 != Next::Final {
            // told now, since the end of the response says nothing of it
            self.decided(attempt.exchange, Decision::NoRetry(next.0), next.1);
        }
    }

    pub(super) fn upstream_data<S, H>(
        &mut self,
        env: &Env<'_, S, H>,
        attempt: AttemptId,
        bytes: u64,
    ) {
        if let Some(exchange) = self.exchanges.get_mut(attempt.exchange) {
            exchange.last_activity = env.now;
            if let Some(log) = &mut exchange.log {
                log.data(bytes);
            }
            let idle = exchange.terms.per_try_idle;
            let target = Target::Exchange(attempt.exchange, exchange.token);
            if let Some(entry) = exchange.attempt_mut(attempt.number) {
                entry.last_activity = env.now;
                if let Some(after) = idle.filter(|_| !entry.idle_armed) {
                    entry.idle_armed = true;
                    self.arm_try_timer(env, attempt, target, TimerKind::PerTryIdle, after);
                }
            }
        }
    }

    /// A response is complete.
    pub(super) fn upstream_end<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        grpc_status: Option<u32>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return;
        };
        if exchange.committed != Some(attempt.number) {
            return;
        }
        if let Some(log) = &mut exchange.log {
            log.response_end(grpc_status, env.now);
        }
        let Some(entry) = exchange.attempt(attempt.number) else {
            return;
        };
        let result = AttemptResult::Response(entry.status);
        let (is_copy, origin) = (exchange.downstream.is_none(), exchange.origin);
        if !is_copy {
            self.act(attempt.exchange, Action::Finish { broken: false });
        }
        self.end_attempt(env, attempt, result, (Next::Final, origin), true);
        self.end_exchange(env, attempt.exchange);
    }

    pub(super) fn upstream_reset<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        cause: ResetCause,
    ) {
        let failure = match cause {
            ResetCause::ConnectionClosed => AttemptFailure::Terminated,
            ResetCause::Remote => AttemptFailure::Reset,
            ResetCause::Refused => AttemptFailure::RefusedStream,
            ResetCause::Protocol => AttemptFailure::Protocol,
        };
        self.attempt_failed(env, attempt, failure);
    }

    /// A try ended without a response, or broke off within one.
    pub(super) fn attempt_failed<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        failure: AttemptFailure,
    ) {
        let Some(exchange) = self.exchanges.get(attempt.exchange) else {
            return;
        };
        let Some(&entry) = exchange.attempt(attempt.number) else {
            return;
        };
        let cluster = exchange.cluster.expect("a try has a cluster");
        let started = matches!(entry.stage, AttemptStage::Sent | AttemptStage::Responding);
        if let Some(endpoint) = entry.endpoint {
            self.report(env, cluster, endpoint, Report::Failed { failure });
        }
        let exchange = self.exchange_mut(attempt.exchange);
        if let Some(log) = &mut exchange.log {
            log.failed(failure);
        }
        if exchange.committed == Some(attempt.number) {
            let reason = reply_reason(failure);
            let origin = exchange.origin;
            self.end_attempt(
                env,
                attempt,
                AttemptResult::Failed(failure),
                (Next::Final, origin),
                false,
            );
            self.exchange_mut(attempt.exchange)
                .flags
                .insert(reason.flags());
            self.break_off(env, attempt.exchange, reason);
            return;
        }
        let wish = if entry.overtaken {
            Wish::No
        } else {
            self.wish_after_reset(env, attempt.exchange, failure, started)
        };
        let (next, origin, pause) = match wish {
            Wish::No => (
                Next::NotRetriable,
                self.failure_origin(env, attempt, failure),
                Duration::ZERO,
            ),
            Wish::AtOnce | Wish::After(_) | Wish::AfterBackoff => {
                self.admit_retry(env, attempt, &wish)
            }
        };
        let others = self.others_run(attempt);
        let told = if next != Next::Retried && others {
            Next::Superseded
        } else {
            next
        };
        self.end_attempt(
            env,
            attempt,
            AttemptResult::Failed(failure),
            (told, origin),
            false,
        );
        if next == Next::Retried {
            self.retry_after(env, attempt.exchange, pause, origin);
        } else if !others {
            self.reply_because(env, attempt.exchange, reply_reason(failure), origin);
        }
    }

    /// The rule behind a failure that nothing retries: the timeout or limit that made it, else the route.
    fn failure_origin<S, H>(
        &self,
        env: &Env<'_, S, H>,
        attempt: AttemptId,
        failure: AttemptFailure,
    ) -> OriginId {
        let exchange = self.exchange(attempt.exchange);
        let cluster = exchange.cluster.and_then(|id| self.cluster(id));
        let of_cluster = |f: fn(&crate::config::Cluster, usize) -> OriginId| {
            cluster.map_or(OriginId::NONE, |c| f(&c.config, exchange.priority()))
        };
        let _ = env;
        let of_timeout = |t: Option<Sourced<Duration>>| t.map_or(exchange.origin, |t| t.origin);
        match failure {
            AttemptFailure::PerTryTimeout => of_timeout(exchange.terms.per_try),
            AttemptFailure::PerTryIdle => of_timeout(exchange.terms.per_try_idle),
            AttemptFailure::RouteTimeout => of_timeout(exchange.terms.route_timeout),
            AttemptFailure::Overflow => of_cluster(|c, p| c.limits[p].pending.origin),
            AttemptFailure::ConnectTimeout => of_cluster(|c, _| c.connect_timeout.origin),
            AttemptFailure::NoHealthyUpstream
            | AttemptFailure::ConnectRefused
            | AttemptFailure::Terminated
            | AttemptFailure::Reset
            | AttemptFailure::RefusedStream
            | AttemptFailure::Protocol => exchange.origin,
        }
    }

    /// Whether another try of the exchange runs or is about to.
    fn others_run(&self, attempt: AttemptId) -> bool {
        let exchange = self.exchange(attempt.exchange);
        exchange.backing_off || exchange.attempts.has_other_than(Some(attempt.number))
    }

    fn policy<'e, S, H>(&self, env: &Env<'e, S, H>, id: ExchangeId) -> Option<&'e RetryPolicy> {
        self.exchange(id).forward(env.configs)?.retry.as_deref()
    }

    fn may_retry_at_all(&self, id: ExchangeId) -> bool {
        let exchange = self.exchange(id);
        exchange.downstream.is_some()
            && !exchange.terms.retry_on.is_empty()
            && exchange.retained
            && exchange.committed.is_none()
    }

    /// What the policy makes of a response.
    fn wish_after_response<S: SharedState, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        head: HeadId,
        status: u16,
    ) -> Wish {
        if !self.may_retry_at_all(id) {
            return Wish::No;
        }
        let exchange = self.exchange(id);
        let policy = self.policy(env, id);
        let header = |name: &str| env.heads.response_header(head, name);
        let (codes, on) = (retriable(env, exchange, policy), exchange.terms.retry_on);
        let grpc = || header("grpc-status").and_then(|s| s.trim().parse().ok());
        let response = ResponseHead {
            status,
            grpc_status: asks_grpc(on).then(grpc).flatten(),
            rate_limited: false,
            early_data: false,
        };
        let header_match = || {
            let by_policy = policy.is_some_and(|p| {
                p.headers.iter().any(|m| {
                    header_matches(m, |name, is| response_value(env.heads, head, name, is))
                })
            });
            let named = exchange
                .controls
                .then(|| {
                    exchange
                        .view(env.heads)
                        .header("x-envoy-retriable-header-names")
                })
                .flatten();
            let by_request = named.is_some_and(|list| {
                list.split(',')
                    .any(|name| header(&name.trim().to_ascii_lowercase()).is_some())
            });
            by_policy || by_request
        };
        // a mark of rate limiting asks for a retry or forbids one: it is of no account where neither is at stake
        let marks = on.has(Condition::EnvoyRateLimited);
        let plain = || conditions::decide_on_response(on, response, &codes, header_match);
        if !marks && plain() == conditions::Decision::No {
            return Wish::No;
        }
        let response = ResponseHead {
            rate_limited: header("x-envoy-ratelimited").is_some(),
            ..response
        };
        if spares(policy, exchange.view(env.heads).method()) {
            return Wish::No;
        }
        match conditions::decide_on_response(on, response, &codes, header_match) {
            conditions::Decision::No => Wish::No,
            conditions::Decision::Immediately(_) => Wish::AtOnce,
            conditions::Decision::WithBackoff(_) => self
                .asked_pause(env, id, policy, head)
                .map_or(Wish::AfterBackoff, Wish::After),
        }
    }

    /// The pause that a response asks for, if the policy listens.
    fn asked_pause<S, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        policy: Option<&RetryPolicy>,
        head: HeadId,
    ) -> Option<Duration> {
        let exchange = self.exchange(id);
        let limited = policy?.rate_limited_backoff.as_ref()?;
        let unix = (self.identity.epoch_nanos + env.now.as_nanos()) / 1_000_000_000;
        let intervals = limited.headers.iter().filter_map(|(name, format)| {
            format.interval(env.heads.response_header(head, name)?, unix)
        });
        backoff::rate_limited(
            intervals,
            limited.max_interval,
            // far from the numbers that the policy's own pauses have
            1 << 16 | u32::from(exchange.tries),
            exchange.key,
        )
    }

    fn wish_after_reset<S: SharedState, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        failure: AttemptFailure,
        request_started: bool,
    ) -> Wish {
        if !self.may_retry_at_all(id) {
            return Wish::No;
        }
        let reset = match failure {
            AttemptFailure::Overflow => Reset::Overflow,
            AttemptFailure::ConnectRefused | AttemptFailure::ConnectTimeout => {
                Reset::ConnectFailure
            }
            AttemptFailure::RefusedStream => Reset::RefusedStream,
            AttemptFailure::Terminated | AttemptFailure::Reset | AttemptFailure::Protocol => {
                Reset::Disconnect
            }
            AttemptFailure::PerTryTimeout | AttemptFailure::PerTryIdle => Reset::PerTryTimeout,
            AttemptFailure::NoHealthyUpstream | AttemptFailure::RouteTimeout => return Wish::No,
        };
        let exchange = self.exchange(id);
        let policy = self.policy(env, id);
        let spared = spares(policy, exchange.view(env.heads).method());
        if request_started && spared {
            return Wish::No;
        }
        let context = ResetContext {
            reset,
            request_started,
            http3_with_fallback: false,
        };
        let by_status = || {
            let stands_for = reply_reason(failure).status(exchange.replies, true);
            !spared
                && exchange.terms.retry_on.has(Condition::RetriableStatusCodes)
                && policy
                    .is_some_and(|p| p.failures_have_statuses && p.statuses.contains(&stands_for))
        };
        match conditions::decide_on_reset(exchange.terms.retry_on, context) {
            conditions::Decision::No if by_status() => Wish::AfterBackoff,
            conditions::Decision::No => Wish::No,
            conditions::Decision::WithBackoff(_) => Wish::AfterBackoff,
            conditions::Decision::Immediately(_) => Wish::AtOnce,
        }
    }

    /// Whether a wished retry happens, by which rule, and after which pause. One that does not shows in the exchange's flags.
    ///
    /// Source: envoy `source/common/router/router.cc` (`onUpstreamHeaders`, `maybeRetryReset`, `onSoftPerTryTimeout`).
    fn admit_retry<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        wish: &Wish,
    ) -> (Next, OriginId, Duration) {
        let id = attempt.exchange;
        self.release_retry(env, id);
        let policy = self.policy(env, id);
        let exchange = self.exchange(id);
        let latest = policy.and_then(|p| p.no_try_after);
        let latest = latest.filter(|after| !after.value.is_zero());
        if let Some(after) = latest
            && env.now.since(exchange.begun) >= after.value
        {
            return (Next::OutOfTime, after.origin, Duration::ZERO);
        }
        let (mut left, key, backoffs) = (exchange.retries_left, exchange.key, exchange.backoffs);
        let priority = exchange.priority();
        let cluster_id = exchange.cluster.expect("a try has a cluster");
        let cluster = self.cluster(cluster_id).expect("made before the first try");
        let limits = ConcurrencyLimit::new(cluster.limits_at(priority));
        let budget = cluster.config.budget_of(priority).copied();
        let ceiling = cluster.config.limits[priority].retries;
        let (window, balance) = (cluster.window(), cluster.balance());
        let mut limit_origin = ceiling.origin;
        let shared = &mut *env.shared;
        let now = env.now;
        let admission = admit(&mut left, || match budget.map(|b| (b.value, b.origin)) {
            None => limits.try_take(shared, Resource::Retries, u64::from(ceiling.value)),
            Some((RetryBudget::Concurrency(budget), origin)) => {
                limit_origin = origin;
                let requests = match budget.interval {
                    Some(interval) => window.count(shared, interval, now),
                    None => {
                        limits.active(shared, Resource::Requests)
                            + limits.active(shared, Resource::PendingRequests)
                    }
                };
                limits.try_take(shared, Resource::Retries, budget.limit(requests))
            }
            Some((RetryBudget::Rate(budget), origin)) => {
                limit_origin = origin;
                let paid = balance.withdraw(shared, &budget, now);
                if paid {
                    limits.take(shared, Resource::Retries);
                }
                paid
            }
        });
        let exchange = self.exchange_mut(id);
        exchange.retries_left = left;
        let policy_origin = policy.map_or(exchange.origin, |p| p.on.origin);
        match admission {
            Admission::LimitExceeded => {
                exchange.flags.insert(Flags::URX);
                let origin = policy.map_or(exchange.origin, |p| p.retries.origin);
                (Next::RetriesExhausted, origin, Duration::ZERO)
            }
            Admission::Overflow => {
                exchange.flags.insert(Flags::UO);
                (Next::RetryOverflow, limit_origin, Duration::ZERO)
            }
            Admission::Retry => {
                exchange.retry_held = true;
                let pause = match wish {
                    Wish::No | Wish::AtOnce => Duration::ZERO,
                    Wish::After(pause) => *pause,
                    Wish::AfterBackoff => {
                        exchange.backoffs += 1;
                        let backoff = policy.map_or_else(
                            || backoff::Backoff::FullJitter(backoff::FullJitter::envoy_v3()),
                            |p| p.backoff.value,
                        );
                        backoff.delay(backoffs, key)
                    }
                };
                (Next::Retried, policy_origin, pause)
            }
        }
    }

    /// Gives back the retry that the exchange holds of its cluster's limit.
    pub(super) fn release_retry<S: SharedState, H>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let exchange = self.exchange_mut(id);
        if !core::mem::take(&mut exchange.retry_held) {
            return;
        }
        let (cluster, priority) = (
            exchange.cluster.expect("a try has a cluster"),
            exchange.priority(),
        );
        let at = self.cluster(cluster).map(|c| c.limits_at(priority));
        if let Some(at) = at {
            ConcurrencyLimit::new(at).release(env.shared, Resource::Retries);
        }
    }

    /// An outcome that needs no retry pays into a rate budget.
    fn deposit<S: SharedState, H>(&self, env: &mut Env<'_, S, H>, id: ClusterId) {
        let cluster = self.cluster(id).expect("made before the first try");
        if let Some(RetryBudget::Rate(budget)) = cluster.config.retry_budget.map(|b| b.value) {
            cluster.balance().deposit(env.shared, &budget, env.now);
        }
    }

    fn retry_after<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        pause: Duration,
        origin: OriginId,
    ) {
        let exchange = self.exchange_mut(id);
        let number = exchange.tries + 1;
        exchange.backing_off = true;
        let target = Target::Exchange(id, exchange.token);
        let decision = Decision::Retry {
            number,
            after: pause,
        };
        self.decided(id, decision, origin);
        if pause.is_zero() {
            self.backoff_over(
                env,
                AttemptId {
                    exchange: id,
                    number,
                },
            );
        } else {
            let attempt = AttemptId {
                exchange: id,
                number,
            };
            let timer = TimerId::of_attempt(TimerKind::Backoff, attempt);
            self.arm_single(target, timer, env.now + pause);
        }
    }

    pub(super) fn backoff_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return;
        };
        if !exchange.backing_off || exchange.tries + 1 != attempt.number {
            return;
        }
        exchange.backing_off = false;
        let forward = exchange.forward(env.configs);
        self.start_attempt(env, attempt.exchange, forward);
    }

    /// A try's timeout: it is given up, or overtaken by a second one where the route hedges.
    pub(super) fn per_try_timeout<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return;
        };
        if exchange.committed.is_some() {
            // Envoy: one timer turns the other off, which bytes turn on again
            if let Some(entry) = exchange.attempt_mut(attempt.number) {
                entry.per_try_armed = false;
                entry.idle_armed = false;
            }
            return;
        }
        let hedging = exchange.terms.hedging;
        let origin = exchange.terms.per_try.map_or(OriginId::NONE, |t| t.origin);
        let Some(entry) = exchange.attempt_mut(attempt.number) else {
            return;
        };
        if !core::mem::take(&mut entry.per_try_armed) {
            return;
        }
        if hedging {
            self.hedge(env, attempt, origin);
        } else {
            self.attempt_failed(env, attempt, AttemptFailure::PerTryTimeout);
        }
    }

    /// A try is slow: it goes on, its endpoint is charged, and another begins beside it.
    ///
    /// Source: envoy `source/common/router/router.cc` (`onSoftPerTryTimeout`).
    fn hedge<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        origin: OriginId,
    ) {
        let exchange = self.exchange_mut(attempt.exchange);
        let cluster = exchange.cluster.expect("a try has a cluster");
        let retries = exchange.terms.has_conditions;
        let Some(entry) = exchange.attempt_mut(attempt.number) else {
            return;
        };
        entry.charged = true;
        if let Some(endpoint) = entry.endpoint {
            let report = Report::Failed {
                failure: AttemptFailure::PerTryTimeout,
            };
            self.report(env, cluster, endpoint, report);
        }
        if !retries {
            return;
        }
        // retried whatever the conditions are, while retries remain
        let (next, rule, pause) = self.admit_retry(env, attempt, &Wish::AfterBackoff);
        if next == Next::Retried {
            let exchange = self.exchange_mut(attempt.exchange);
            if let Some(entry) = exchange.attempt_mut(attempt.number) {
                entry.overtaken = true;
            }
            self.decided(attempt.exchange, Decision::Hedge, origin);
            self.retry_after(env, attempt.exchange, pause, rule);
        } else {
            self.decided(attempt.exchange, Decision::NoRetry(next), rule);
        }
    }

    pub(super) fn per_try_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return;
        };
        let Some(idle) = exchange.terms.per_try_idle else {
            return;
        };
        let (hedging, committed) = (exchange.terms.hedging, exchange.committed.is_some());
        if exchange
            .attempt(attempt.number)
            .is_none_or(|a| !a.idle_armed)
        {
            return;
        }
        let target = Target::Exchange(attempt.exchange, exchange.token);
        let Some(entry) = exchange.attempt_mut(attempt.number) else {
            return;
        };
        let due = entry.last_activity + idle.value;
        if due > env.now {
            let timer = TimerId::of_attempt(TimerKind::PerTryIdle, attempt);
            self.arm_single(target, timer, due);
        } else if !hedging {
            self.attempt_failed(env, attempt, AttemptFailure::PerTryIdle);
        } else if !committed {
            self.hedge(env, attempt, idle.origin);
        }
    }

    /// Holds the route's timeout against every endpoint that has not begun to answer.
    pub(super) fn charge_silent_attempts<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let exchange = self.exchange(id);
        let Some(cluster) = exchange.cluster else {
            return;
        };
        let silent: SmallVec<[EndpointSlot; 2]> = exchange
            .attempts
            .iter()
            .filter(|a| a.stage == AttemptStage::Sent && !a.charged)
            .filter_map(|a| a.endpoint)
            .collect();
        for endpoint in silent {
            let report = Report::Failed {
                failure: AttemptFailure::RouteTimeout,
            };
            self.report(env, cluster, endpoint, report);
        }
    }

    /// Cancels every try but one.
    #[inline]
    pub(super) fn cancel_attempts<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        but: Option<u16>,
    ) {
        if self.exchange(id).attempts.has_other_than(but) {
            self.cancel_others(env, id, but);
        }
    }

    #[cold]
    fn cancel_others<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        but: Option<u16>,
    ) {
        let exchange = self.exchange(id);
        let origin = exchange.origin;
        let numbers: SmallVec<[u16; 4]> = exchange
            .attempts
            .iter()
            .map(|a| a.number)
            .filter(|n| Some(*n) != but)
            .collect();
        for number in numbers {
            let attempt = AttemptId {
                exchange: id,
                number,
            };
            self.end_attempt(
                env,
                attempt,
                AttemptResult::Cancelled,
                (Next::Superseded, origin),
                false,
            );
        }
    }

    /// Ends every try with one result.
    pub(super) fn give_up_attempts<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        result: AttemptResult,
        next: Next,
        origin: OriginId,
    ) {
        let numbers: SmallVec<[u16; 4]> = self
            .exchange(id)
            .attempts
            .iter()
            .map(|a| a.number)
            .collect();
        for number in numbers {
            let attempt = AttemptId {
                exchange: id,
                number,
            };
            self.end_attempt(env, attempt, result, (next, origin), false);
        }
    }

    /// Ends a try: its connection is freed when the response was read `whole`, else its stream is reset.
    fn end_attempt<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        result: AttemptResult,
        next: (Next, OriginId),
        whole: bool,
    ) {
        if let Some(ended) = self.end_attempt_record(attempt, (result, whole), next, env.now) {
            self.leave_endpoint(env, attempt, &ended, result, whole);
        }
    }

    /// What a try that has ended leaves at its endpoint.
    #[inline(always)]
    fn leave_endpoint<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        attempt: AttemptId,
        ended: &EndedAttempt,
        result: AttemptResult,
        whole: bool,
    ) {
        let unjudged = result == AttemptResult::Cancelled && ended.stage == AttemptStage::Sent;
        if unjudged && let Some(endpoint) = ended.endpoint {
            let exchange = self.exchange(attempt.exchange);
            let cluster = exchange.cluster.expect("a try has a cluster");
            self.unjudged(env, cluster, endpoint);
        }
        match (ended.stage, ended.upstream) {
            (AttemptStage::Pending, _) => {
                let endpoint = ended.endpoint.expect("it is placed");
                self.leave_pool_queue(env, attempt, endpoint, ended.pool);
            }
            (_, Some(upstream)) => {
                let reusable = whole && ended.request_done;
                let closed_below = matches!(
                    result,
                    AttemptResult::Failed(
                        AttemptFailure::Terminated
                            | AttemptFailure::Reset
                            | AttemptFailure::RefusedStream
                            | AttemptFailure::Protocol
                    )
                );
                if !reusable && !closed_below {
                    self.act(attempt.exchange, Action::Cancel { attempt });
                }
                let whole = ended.rtt(env.now);
                self.release_connection(env, attempt, (ended.priority, whole), upstream, reusable);
            }
            (AttemptStage::Unplaced | AttemptStage::Sent | AttemptStage::Responding, None) => {}
        }
    }

    /// Takes a try out of its exchange and records how it went.
    fn end_attempt_record(
        &mut self,
        attempt: AttemptId,
        how: (AttemptResult, bool),
        next: (Next, OriginId),
        now: Time,
    ) -> Option<EndedAttempt> {
        let exchange = self.exchanges.existing(attempt.exchange);
        record_end(exchange, &mut self.actions, attempt, how, next, now)
    }
}

/// What is still of interest of a try that has ended.
struct EndedAttempt {
    stage: AttemptStage,
    endpoint: Option<EndpointSlot>,
    pool: u16,
    upstream: Option<UpstreamId>,
    priority: usize,
    request_done: bool,
    /// When it was begun, and when it was sent.
    clock: (Time, Time),
    /// Whether no other follows it.
    is_last: bool,
}

impl EndedAttempt {
    /// How long it took as NGINX's balancer counts it, where it is the one that counts: the time to the connection, and again that with all
    /// that came after it.
    ///
    /// Source: ingress-nginx `ewma.lua` (`after_balance`); nginx `$upstream_connect_time`, `$upstream_response_time`.
    #[inline]
    fn rtt(&self, now: Time) -> Option<Duration> {
        let (start, sent) = self.clock;
        self.is_last.then(|| sent.since(start) + now.since(start))
    }
}

/// Takes a try out of its exchange and records how it went, and whether its response was read whole.
#[inline(always)]
fn record_end(
    exchange: &mut Exchange,
    actions: &mut Actions,
    attempt: AttemptId,
    (result, whole): (AttemptResult, bool),
    (next, origin): (Next, OriginId),
    now: Time,
) -> Option<EndedAttempt> {
    let entry = exchange.take_attempt(attempt.number)?;
    if let Some(log) = &mut exchange.log {
        let flags = match result {
            AttemptResult::Failed(failure) => reply_reason(failure).flags(),
            AttemptResult::Response(_) | AttemptResult::Cancelled => Flags::NONE,
        };
        log.try_ended(attempt.number, result, (flags, whole), now);
    }
    let target = Target::Exchange(attempt.exchange, exchange.token);
    let record = AttemptRecord {
        exchange: attempt.exchange,
        token: exchange.token,
        number: attempt.number,
        cluster: exchange.cluster.expect("a try has a cluster"),
        endpoint: entry.endpoint,
        start: entry.start,
        result,
        next,
        origin,
        hedged: entry.hedged,
    };
    if entry.per_try_armed {
        let timer = TimerId::of_attempt(TimerKind::PerTry, attempt);
        actions.push(target, Action::Disarm { id: timer });
    }
    actions.record(target, Event::Attempt(record));
    Some(EndedAttempt {
        stage: entry.stage,
        endpoint: entry.endpoint,
        pool: entry.pool,
        upstream: entry.upstream,
        priority: exchange.priority(),
        // of what has carried other bytes no further request is to be heard
        request_done: exchange.request_done && exchange.passage == Passage::No,
        clock: (entry.start, entry.sent),
        is_last: !matches!(next, Next::Retried | Next::Superseded),
    })
}

/// Begins the next try of an exchange; no endpoint for it: none found.
#[inline(always)]
pub(super) fn begin_attempt<S: SharedState, H: Heads>(
    placing: &mut Placing<'_>,
    env: &mut Env<'_, S, H>,
    id: ExchangeId,
    forward: Option<&Forward>,
) -> (AttemptId, Option<Found>) {
    let exchange = &mut *placing.exchange;
    exchange.tries += 1;
    let number = exchange.tries;
    let hedged = !exchange.attempts.is_empty();
    let attempt = AttemptId {
        exchange: id,
        number,
    };
    let endpoint = pick_endpoint(placing, env, attempt, forward);
    let now = env.now;
    if let Some(log) = &mut placing.exchange.log {
        log.chose(number, endpoint, now);
    }
    placing.exchange.attempts.push(|| Attempt {
        number,
        start: now,
        sent: now,
        stage: AttemptStage::Unplaced,
        endpoint,
        pool: 0,
        upstream: None,
        hedged,
        overtaken: false,
        charged: false,
        per_try_armed: false,
        last_activity: now,
        idle_armed: false,
        status: 0,
    });
    let Some(endpoint) = endpoint else {
        return (attempt, None);
    };
    let found = find_connection(placing, env, attempt, endpoint);
    (attempt, Some(found))
}

/// Whether `is` holds of a value of a response's header, or of its status.
fn response_value<H: Heads>(
    heads: &H,
    head: HeadId,
    name: &str,
    is: &dyn Fn(&str) -> bool,
) -> Option<bool> {
    match name {
        ":status" => Some(is(&heads.status(head).to_string())),
        _ => heads.any_response_value(head, name, is),
    }
}

/// Statuses that `retriable-status-codes` stands for: the policy's, and those that the request adds.
fn retriable<'e, S, H: Heads>(
    env: &Env<'e, S, H>,
    exchange: &Exchange,
    policy: Option<&'e RetryPolicy>,
) -> Cow<'e, [u16]> {
    let codes = policy.map_or(&[][..], |p| &p.statuses);
    if !exchange.controls {
        return Cow::Borrowed(codes);
    }
    let view = exchange.view(env.heads);
    let Some(list) = view.header("x-envoy-retriable-status-codes") else {
        return Cow::Borrowed(codes);
    };
    let asked = list.split(',').filter_map(|c| c.trim().parse().ok());
    codes.iter().copied().chain(asked).collect()
}

/// Whether a response's gRPC status may decide.
fn asks_grpc(on: RetryOn) -> bool {
    [
        Condition::Cancelled,
        Condition::DeadlineExceeded,
        Condition::ResourceExhausted,
        Condition::Internal,
        Condition::Unavailable,
    ]
    .into_iter()
    .any(|condition| on.has(condition))
}

/// Whether the policy leaves requests of this method alone once bytes of them were sent.
///
/// Source: nginx `proxy_next_upstream`: POST, LOCK and PATCH are not idempotent.
fn spares(policy: Option<&RetryPolicy>, method: &str) -> bool {
    policy.is_some_and(|p| p.spare_sent_non_idempotent)
        && matches!(method, "POST" | "LOCK" | "PATCH")
}

fn reply_reason(failure: AttemptFailure) -> ReplyReason {
    match failure {
        AttemptFailure::NoHealthyUpstream => ReplyReason::NoHealthyUpstream,
        AttemptFailure::Overflow => ReplyReason::Overflow,
        AttemptFailure::ConnectRefused => ReplyReason::ConnectFailure,
        AttemptFailure::ConnectTimeout => ReplyReason::ConnectTimeout,
        AttemptFailure::Terminated => ReplyReason::UpstreamTermination,
        AttemptFailure::Reset => ReplyReason::UpstreamReset,
        AttemptFailure::RefusedStream => ReplyReason::UpstreamRefused,
        AttemptFailure::PerTryTimeout => ReplyReason::PerTryTimeout,
        AttemptFailure::PerTryIdle => ReplyReason::PerTryIdle,
        AttemptFailure::RouteTimeout => ReplyReason::RouteTimeout,
        AttemptFailure::Protocol => ReplyReason::UpstreamProtocolError,
    }
}

/// The window of a budget that counts requests over an interval, and the balance of one that counts a rate.
pub(super) const BUDGET_WORDS: usize = RequestWindow::WORDS + Balance::WORDS;
