//! Endpoints: which one a try goes to, and how they come and go.

use core::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::cluster::{CLUSTER_WORDS, ClusterState};
use super::configs::Configs;
use super::contract::Target;
use super::machine::{Env, Machine, Placing};
use super::pool::find_connection;
use super::sticky;
use crate::balance::selector::{Choice, Chosen};
use crate::config::{ClusterIndex, Discovery, EndpointSet, Forward, Name, RetryPolicy};
use crate::draw::{DrawKey, Step};
use crate::event::{AttemptFailure, AttemptResult, Decision, Next};
use crate::heads::Heads;
use crate::ids::{AttemptId, ClusterId, EndpointSlot};
use crate::reply::ReplyReason;
use crate::shared::{BlockKey, SharedState};

impl Machine {
    /// Makes a cluster's state on its first use.
    pub(super) fn make_cluster<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        (config, section, index): (u32, u16, ClusterIndex),
    ) {
        if self.cluster(id).is_some() {
            return;
        }
        if self.clusters.len() < env.configs.cluster_count() {
            self.clusters.resize(env.configs.cluster_count(), None);
        }
        let config = Arc::clone(env.configs.cluster(config, section, index));
        let at = env
            .shared
            .block(&BlockKey::Cluster(config.name.clone()), CLUSTER_WORDS);
        let endpoints = self
            .later
            .remove(&config.name)
            .unwrap_or_else(|| Arc::clone(&config.endpoints));
        let key = self.identity.key.child(u64::from(id.0));
        let locality = Arc::clone(&self.identity.locality);
        let mut state = Box::new(ClusterState::new(config, at, key, locality));
        state.set_endpoints(env.shared, endpoints, env.now);
        self.clusters[id.0 as usize] = Some(state);
    }

    /// The endpoint for a carried connection.
    pub(super) fn pick_for_connection<S: SharedState, H>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        key: DrawKey,
        destination: SocketAddr,
    ) -> Option<EndpointSlot> {
        let cluster = self.cluster_mut(id).expect("just made");
        if cluster.config.discovery == Discovery::OriginalDestination {
            return Some(cluster.slot_at(env.shared, destination, env.now));
        }
        self.pick_by(env, id, key, None)
    }

    /// The endpoint for something that is no request.
    pub(super) fn pick_by<S: SharedState, H>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
        key: DrawKey,
        hash: Option<u64>,
    ) -> Option<EndpointSlot> {
        let cluster = self.cluster_mut(id).expect("just made");
        let choice = Choice {
            key,
            hash,
            rejected: 0,
            failed: &[],
            spent_priorities: &[],
            cluster_active: env.shared.get(cluster.requests_at(0)),
            now: env.now,
        };
        Some(cluster.choose(env.shared, choice, &[])?.slot)
    }

    /// Tries that waited for an endpoint get one, as far as there are any.
    pub(super) fn serve_queue<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
    ) {
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        if cluster.queue.is_empty() && !cluster.failing_fast {
            return;
        }
        if !cluster.selector.has_any() {
            return;
        }
        cluster.failing_fast = false;
        let waiting = core::mem::take(&mut cluster.queue);
        for attempt in waiting {
            let Some(exchange) = self.exchanges.get(attempt.exchange) else {
                continue;
            };
            if exchange.attempt(attempt.number).is_none() {
                continue;
            }
            let forward = exchange.forward(env.configs);
            let mut placing = self.placing(attempt.exchange);
            let Some(endpoint) = pick_endpoint(&mut placing, env, attempt, forward) else {
                placing.cluster.queue.push_back(attempt);
                continue;
            };
            let entry = placing.exchange.attempt_mut(attempt.number);
            entry.expect("it waits").endpoint = Some(endpoint);
            let found = find_connection(&mut placing, env, attempt, endpoint);
            self.connection_found(env, attempt, found);
        }
    }

    /// The time that requests may wait for an endpoint is over: all that wait fail, and new ones fail at once.
    pub(super) fn queue_wait_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
    ) {
        let Some(cluster) = self.cluster_mut(id) else {
            return;
        };
        cluster.queue_armed = false;
        if cluster.selector.has_any() {
            return;
        }
        let origin = cluster
            .config
            .queue
            .map_or(cluster.config.origin, |q| q.origin);
        cluster.failing_fast = true;
        let waiting = core::mem::take(&mut cluster.queue);
        for attempt in waiting {
            let exchange = self.exchanges.get(attempt.exchange);
            if exchange.and_then(|e| e.attempt(attempt.number)).is_none() {
                continue;
            }
            let failure = AttemptFailure::NoHealthyUpstream;
            self.give_up_attempts(
                env,
                attempt.exchange,
                AttemptResult::Failed(failure),
                Next::Final,
                origin,
            );
            self.reply_because(env, attempt.exchange, ReplyReason::Failfast, origin);
        }
    }

    /// Takes the endpoints of a cluster as they are from now on.
    pub(super) fn set_endpoints<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        name: &str,
        set: Arc<EndpointSet>,
    ) {
        let Some((section, index)) = env.configs.cluster_named(name) else {
            return;
        };
        let current = env.configs.current();
        let id = env.configs.cluster_id(current, section, index);
        if self.cluster(id).is_none() {
            let name = Arc::clone(&env.configs.cluster(current, section, index).name);
            self.later.insert(name, set);
            return;
        }
        let cluster = self.cluster_mut(id).expect("found above");
        cluster.set_endpoints(env.shared, set, env.now);
        let checks = !cluster.config.health_checks.is_empty();
        if checks && self.identity.elected {
            self.check_all(env, id);
        }
        self.leave_absent_hosts(env, id);
        self.serve_queue(env, id);
    }

    /// Connections to endpoints that are gone take no more requests.
    fn leave_absent_hosts<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ClusterId,
    ) {
        let cluster = self.cluster(id).expect("the caller has it");
        let absent = |slot: EndpointSlot| !cluster.hosts[slot.0 as usize].present;
        let of_gone: Vec<_> = self
            .upstreams
            .iter()
            .filter(|(_, up)| up.cluster == id && absent(up.endpoint))
            .map(|(raw, _)| raw.into())
            .collect();
        for upstream in of_gone {
            self.drain_upstream(env, upstream);
        }
        self.end_absent_sessions(env, id);
    }

    /// Follows the configuration now in force.
    pub(super) fn reconfigure<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>) {
        let configs: &Configs = env.configs;
        let current = configs.current();
        let sections = configs.config(current).sections.iter().enumerate();
        for (s, section) in sections {
            for (i, config) in section.clusters().iter().enumerate() {
                let id = configs.cluster_id(current, s as u16, ClusterIndex(i as u32));
                let is_new = |cluster: &ClusterState| !Arc::ptr_eq(&cluster.config, config);
                if !self.cluster(id).is_some_and(is_new) {
                    continue;
                }
                let endpoints = self.later.remove(&config.name);
                let endpoints = endpoints.unwrap_or_else(|| Arc::clone(&config.endpoints));
                let cluster = self.cluster_mut(id).expect("looked at just now");
                cluster.reconfigure(env.shared, config, endpoints, env.now);
                self.leave_absent_hosts(env, id);
                self.serve_queue(env, id);
            }
        }
        self.replace_connections(env);
        self.replace_sessions(env);
        self.start_checks(env);
        self.record(Target::Node, crate::event::Event::Updated);
    }
}

/// Finds a try its endpoint; none may be used: none.
#[inline(always)]
pub(super) fn pick_endpoint<S: SharedState, H: Heads>(
    placing: &mut Placing<'_>,
    env: &mut Env<'_, S, H>,
    attempt: AttemptId,
    forward: Option<&Forward>,
) -> Option<EndpointSlot> {
    let Placing {
        exchange, cluster, ..
    } = placing;
    if cluster.config.discovery == Discovery::OriginalDestination {
        let slot = cluster.slot_at(env.shared, exchange.destination, env.now);
        exchange.tried.push(slot.0);
        return Some(slot);
    }
    if exchange.session.is_some()
        && attempt.number == 1
        && let Some(slot) = sticky::held(placing, env.shared)
    {
        return chosen_by_session(placing, attempt, slot);
    }
    let Placing {
        exchange, cluster, ..
    } = placing;
    let labels = forward.map_or(&[][..], |f| &f.subset);
    // the first try's way is a constant
    let step = match attempt.number {
        1 => const { Step::to(1) },
        number => Step::to(u64::from(number)),
    };
    let choice = Choice {
        key: exchange.key.follow(step),
        hash: exchange.hash,
        rejected: 0,
        failed: &exchange.tried,
        spent_priorities: &[],
        cluster_active: if cluster.hashes {
            env.shared.get(cluster.requests_at(exchange.priority()))
        } else {
            0
        },
        now: env.now,
    };
    let policy = forward.and_then(|f| f.retry.as_deref());
    let chosen = match policy.filter(|_| !exchange.tried.is_empty()) {
        None => cluster.choose(env.shared, choice, labels),
        Some(policy) => pick_again(env.shared, cluster, choice, labels, policy),
    }?;
    exchange.tried.push(chosen.slot.0);
    if let Some(session) = &mut exchange.session {
        session.chosen = Some(cluster.hosts[chosen.slot.0 as usize].address);
    }
    let decision = Decision::Endpoint {
        cluster: exchange.cluster?,
        endpoint: chosen.slot,
        candidates: chosen.candidates,
        panic: chosen.panic,
    };
    let origin = cluster.config.balancer.origin;
    let id = (attempt.exchange, exchange.token);
    placing.actions.decided(id, decision, origin);
    Some(chosen.slot)
}

/// An endpoint that the client has brought: there was no choice.
fn chosen_by_session(
    placing: &mut Placing<'_>,
    attempt: AttemptId,
    slot: EndpointSlot,
) -> Option<EndpointSlot> {
    let Placing {
        exchange, cluster, ..
    } = placing;
    exchange.tried.push(slot.0);
    if let Some(session) = &mut exchange.session {
        session.chosen = Some(cluster.hosts[slot.0 as usize].address);
    }
    let decision = Decision::Endpoint {
        cluster: exchange.cluster?,
        endpoint: slot,
        candidates: 1,
        panic: false,
    };
    let id = (attempt.exchange, exchange.token);
    placing.actions.decided(id, decision, exchange.origin);
    Some(slot)
}

/// The endpoint for a retry: as its policy has it, another one than those tried, and of another priority.
fn pick_again<S: SharedState>(
    shared: &S,
    cluster: &mut ClusterState,
    choice: Choice<'_>,
    labels: &[(Name, Name)],
    policy: &RetryPolicy,
) -> Option<Chosen> {
    let priorities = spent_priorities(cluster, policy, choice.failed, labels);
    let avoid = policy.avoid_previous.map_or(0, |a| a.value);
    let mut picked = None;
    for rejected in 0..=avoid {
        let choice = Choice {
            rejected,
            spent_priorities: &priorities,
            ..choice
        };
        picked = cluster.choose(shared, choice, labels);
        match picked {
            Some(chosen) if rejected < avoid && choice.failed.contains(&chosen.slot.0) => {}
            Some(_) | None => break,
        }
    }
    picked
}

/// Priorities that a retry leaves out: those already tried, brought up to date after every so many tries. Once none is left
/// that could be used, the tries so far are forgotten.
///
/// Source: Envoy v3 `retry_priorities.previous_priorities`,
/// `source/extensions/retry/priority/previous_priorities/previous_priorities.cc`.
fn spent_priorities(
    cluster: &ClusterState,
    policy: &RetryPolicy,
    tried: &[u32],
    labels: &[(Name, Name)],
) -> SmallVec<[u8; 4]> {
    let mut spent = SmallVec::new();
    let Some(every) = policy.previous_priorities.filter(|every| *every > 0) else {
        return spent;
    };
    let priority = |slot: &u32| {
        let address = cluster.hosts[*slot as usize].address;
        let endpoints = &cluster.endpoints.endpoints;
        Some(endpoints.iter().find(|e| e.address == address)?.priority)
    };
    for tries in tried.chunks_exact(every as usize) {
        spent.extend(tries.iter().filter_map(priority));
        if !cluster.has_health_besides(&spent, labels) {
            spent.clear();
        }
    }
    spent
}
