//! One request from its head to its last byte: filters, route, timeouts, end.

use core::net::IpAddr;

use smallvec::SmallVec;

use super::attempts::begin_attempt;
use super::configs::{Configs, Place, http_of};
use super::contract::{Action, Request, RouteRef, Side, Target, TimerId, TimerKind};
use super::lists::Attempts;
use super::machine::{
    Answer, Answered, AttemptStage, Downstream, Env, Exchange, Machine, Passage, Phase, Placing,
    Stage,
};
use super::rules::{
    choose_weighted, forward_of, longest_stream, read_terms, request_timeout, rules_of_stream,
    stream_idle,
};
use crate::config::{
    Changes, Fault, Forward, HttpConnections, HttpFilter, LocalRateLimit, Mirror, Plan,
    ReplyProfile, Route, RouteAction, Section, TableIndex, Terms,
};
use crate::draw::{DrawKey, Purpose};
use crate::event::{AccessRecord, AttemptResult, Decision, Detail, Event, Next, TimeoutKind};
use crate::heads::{Asks, HeadId, Heads};
use crate::ids::{AttemptId, DownstreamId, ExchangeId};
use crate::limit::token_bucket::TokenBucket;
use crate::origin::OriginId;
use crate::reply::{BadHead, DEADLINE_EXCEEDED, Flags, LocalReply, ReplyReason, grpc_status};
use crate::route::{
    Copied, Departure, Draft, RequestView, find_route_for, spends_controls, write_request,
};
use crate::shared::{BlockKey, SharedState};
use crate::time::{Duration, Time};

impl Exchange {
    #[inline(always)]
    fn new(
        request: &Request,
        key: DrawKey,
        down: &Downstream,
        http: &HttpConnections,
        (edge, controls): (bool, bool),
        taken: Option<&Taken<'_>>,
        now: Time,
    ) -> Self {
        Self {
            token: request.token,
            downstream: Some(request.downstream),
            place: down.place,
            head: request.head,
            path: request.key,
            key,
            start: now,
            completed: now,
            begun: now,
            last_activity: now,
            phase: Phase::Routed,
            route: taken.map(|t| t.at),
            weighted: 0,
            cluster: None,
            destination: down.accept.destination,
            hash: None,
            edge,
            http2: down.http2,
            passage: Passage::No,
            high_priority: taken.is_some_and(|t| t.plan.high_priority),
            controls,
            changes: taken.map_or_else(Changes::default, |t| t.plan.changes),
            replies: http.replies,
            tells: tells(http),
            ruled: http.heads.is_some(),
            request_done: request.end && request.asks == Asks::Nothing,
            request_bytes: request.bytes,
            retained: true,
            retain_limit: http.retained_bytes,
            terms: taken.map_or(Terms::NONE, |t| t.plan.terms),
            route_armed: false,
            attempts: Attempts::default(),
            tries: 0,
            retries_left: 0,
            backoffs: 0,
            retry_held: false,
            backing_off: false,
            tried: SmallVec::new(),
            committed: None,
            status: 0,
            flags: Flags::NONE,
            reply: None,
            origin: taken.map_or(OriginId::NONE, |t| t.route.origin),
            faulted: false,
            copied: Copied::Not,
            log: is_noted(http).then(Box::default),
            session: None,
            gated: None,
        }
    }

    pub(super) fn view<'h, H: Heads>(&self, heads: &'h H) -> RequestView<'h, H> {
        RequestView {
            heads,
            head: self.head,
            edge: self.edge,
        }
    }
}

/// The route that takes a request.
#[derive(Clone, Copy)]
pub(super) struct Taken<'e> {
    at: RouteRef,
    pub(super) route: &'e Route,
    plan: &'e Plan,
}

impl<'e> Taken<'e> {
    /// A route that was taken before.
    pub(super) fn new(configs: &'e Configs, config: u32, at: RouteRef) -> Self {
        Self {
            at,
            route: configs.route(config, at),
            plan: configs.plan(config, at),
        }
    }
}

/// Whether messages say what is done with them, as Envoy says it.
#[inline(always)]
fn tells(http: &HttpConnections) -> bool {
    http.replies == ReplyProfile::Envoy && http.heads.as_ref().is_none_or(|rules| rules.tells)
}

/// Whether anything is kept of requests for logs or spans.
#[inline(always)]
fn is_noted(http: &HttpConnections) -> bool {
    !http.logs.is_empty() || http.tracing.is_some()
}

/// Whether control headers are hidden, and whether there are some that have a say.
#[inline(always)]
fn says<H: Heads>(http: &HttpConnections, heads: &H, head: HeadId) -> (bool, bool) {
    match heads.received(head) {
        Some(received) => (false, received.controls),
        None => (http.edge, !http.edge && heads.has_controls(head)),
    }
}

/// Asks the request itself where its route leaves something open: the draw among several clusters, and what headers say.
#[inline(never)]
fn ask_request<H: Heads>(exchange: &mut Exchange, heads: &H, plan: &Plan, forward: &Forward) {
    let (view, controls) = (exchange.view(heads), exchange.controls);
    if !plan.single {
        let weighted = choose_weighted(forward, exchange.key);
        exchange.weighted = weighted as u16;
        exchange.changes = exchange.changes.through(&forward.clusters[weighted]);
    }
    exchange.changes.edits_request |= spends_controls(view, controls);
    let asked = controls || plan.asks_headers || has_grpc_timeout(view, plan);
    if asked {
        exchange.terms = read_terms(forward, view, controls);
    }
}

/// Whether a request brings a time of its own that its route heeds.
#[inline]
fn has_grpc_timeout<H: Heads>(view: RequestView<'_, H>, plan: &Plan) -> bool {
    plan.heeds_grpc_timeout && view.header("grpc-timeout").is_some()
}

/// Finds the route that takes a request to a virtual host.
#[inline(always)]
fn take<'e, H: Heads>(
    section: &'e Section,
    section_number: u16,
    table: TableIndex,
    host_number: u32,
    view: RequestView<'_, H>,
    client: IpAddr,
    key: DrawKey,
) -> Option<Taken<'e>> {
    let host = &section.tables()[table.0 as usize].virtual_hosts[host_number as usize];
    let plans = section.plans(table, host_number);
    let numbered = |number: u32, route: &'e Route, plan: &'e Plan| Taken {
        at: RouteRef {
            section: section_number,
            table: table.0,
            host: host_number,
            route: number,
        },
        route,
        plan,
    };
    // most hosts have one route for everything
    if let ([route, ..], [plan, ..]) = (&host.routes[..], plans)
        && plan.takes_all
        && view.heads.path(view.head).starts_with('/')
    {
        return Some(numbered(0, route, plan));
    }
    let number = find_route_for(host, view, Some(client), key)?;
    let at = number as usize;
    Some(numbered(number, &host.routes[at], &plans[at]))
}

impl Machine {
    #[inline]
    pub(super) fn exchange_mut(&mut self, id: ExchangeId) -> &mut Exchange {
        self.exchanges
            .get_mut(id)
            .expect("the caller has just found it")
    }

    #[inline]
    pub(super) fn exchange(&self, id: ExchangeId) -> &Exchange {
        self.exchanges
            .get(id)
            .expect("the caller has just found it")
    }

    pub(super) fn request<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        request: &Request,
    ) -> ExchangeId {
        let down = self.downstreams.get_mut(request.downstream);
        let Some(down) = down.filter(|d| d.stage == Stage::Http) else {
            let nowhere = ExchangeId {
                index: u32::MAX,
                generation: 0,
            };
            self.push(Target::Exchange(nowhere, request.token), Action::Ended);
            return nowhere;
        };
        down.streams += 1;
        down.served += 1;
        down.http2 |= request.http2;
        let place = down.place;
        let section = env.configs.section(place.config, place.section);
        let http = http_of(section, place).expect("a connection that serves HTTP has such a chain");
        if http
            .max_requests_per_connection
            .is_some_and(|max| down.served >= max.value)
        {
            down.draining = true;
        }
        if down.draining || self.draining {
            let target = Target::Downstream(request.downstream, down.token);
            self.actions.push(target, Action::DrainDownstream);
        }
        if let Some(why) = env.heads.received(request.head).and_then(|it| it.refused) {
            return self.refuse_head(env, request, http, why);
        }
        let (edge, controls) = says(http, env.heads, request.head);
        let authority = env.heads.authority(request.head);
        let host = down
            .last_host
            .find(authority, || section.virtual_host(http.table, authority));
        let view = RequestView {
            heads: env.heads,
            head: request.head,
            edge,
        };
        let key = request.key.follow(self.salt);
        let believed = env.heads.received(request.head).map(|it| it.client);
        let client = believed.unwrap_or(down.accept.source).ip();
        let taken = host.and_then(|host| {
            let number = place.section;
            take(section, number, http.table, host, view, client, key)
        });
        let Some(taken) = taken else {
            return self.request_without_route(env, request, key, http);
        };
        let (plain, now) = (down.plain && !taken.plan.does_more, env.now);
        let taken_by = Some(&taken);
        let id = self
            .exchanges
            .insert(|| Exchange::new(request, key, down, http, (edge, controls), taken_by, now));
        self.use_config(place.config);
        if self.actions.detail >= Detail::Decisions {
            self.tell_route(id, http, taken_by);
        }
        if http.tracing.is_some() {
            self.begin_trace(env, id, http, Some(taken.route));
        }
        if request.asks != Asks::Nothing {
            let forward = forward_of(taken.route);
            if self.hear(env, id, request.asks, (http, forward)) {
                self.begin_with_filters(env, id, http, Some(taken));
            }
            return id;
        }
        match &taken.route.action {
            RouteAction::Forward(forward) if plain => self.forward(env, id, taken.plan, forward),
            RouteAction::Forward(_) | RouteAction::Redirect(_) | RouteAction::Direct(_) => {
                self.begin_with_filters(env, id, http, Some(taken));
            }
        }
        id
    }

    /// A request that no route takes: filters may still have their say before it is told so.
    #[cold]
    fn request_without_route<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        request: &Request,
        key: DrawKey,
        http: &HttpConnections,
    ) -> ExchangeId {
        let down = self.downstreams.get(request.downstream);
        let down = down.expect("the caller has just found it");
        let says = says(http, env.heads, request.head);
        let (config, now) = (down.place.config, env.now);
        let id = self
            .exchanges
            .insert(|| Exchange::new(request, key, down, http, says, None, now));
        self.use_config(config);
        self.tell_route(id, http, None);
        self.begin_trace(env, id, http, None);
        self.begin_with_filters(env, id, http, None);
        id
    }

    /// A request whose head may not pass: neither filters nor routes see it.
    #[cold]
    fn refuse_head<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        request: &Request,
        http: &HttpConnections,
        why: BadHead,
    ) -> ExchangeId {
        let down = self.downstreams.get(request.downstream);
        let down = down.expect("the caller has just found it");
        let key = request.key.follow(self.salt);
        let (config, now) = (down.place.config, env.now);
        let id = self
            .exchanges
            .insert(|| Exchange::new(request, key, down, http, (false, false), None, now));
        self.use_config(config);
        self.reply_because(env, id, ReplyReason::BadHead(why), http.origin);
        id
    }

    /// Begins an exchange whose stream has timers, or which filters see before the router.
    #[inline(never)]
    fn begin_with_filters<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        taken: Option<Taken<'_>>,
    ) {
        self.arm_stream_timers(env, id, http, taken.and_then(|t| forward_of(t.route)));
        self.run_filters(env, id, http, taken, 0);
    }

    fn tell_route(&mut self, id: ExchangeId, http: &HttpConnections, taken: Option<&Taken<'_>>) {
        let (decision, origin) = match taken {
            Some(Taken { at, route, plan: _ }) => {
                let decision = Decision::Route {
                    section: at.section,
                    table: at.table,
                    host: at.host,
                    route: at.route,
                };
                (decision, route.origin)
            }
            None => (Decision::NoRoute, http.origin),
        };
        self.decided(id, decision, origin);
    }

    fn arm_stream_timers<S, H>(
        &mut self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        forward: Option<&Forward>,
    ) {
        let (idle, longest) = (stream_idle(http, forward), longest_stream(http, forward));
        let arrival = request_timeout(http);
        let exchange = self.exchange(id);
        let arrival = arrival.filter(|_| !exchange.request_done);
        let target = Target::Exchange(id, exchange.token);
        let timers = [
            (TimerKind::StreamIdle, idle, Some(TimeoutKind::StreamIdle)),
            (
                TimerKind::MaxStream,
                longest,
                Some(TimeoutKind::MaxStreamDuration),
            ),
            (TimerKind::RequestArrival, arrival, None),
        ];
        for (kind, after, told) in timers {
            let Some(after) = after else {
                continue;
            };
            self.arm(target, TimerId::of_exchange(kind, id), env.now, after.value);
            if let Some(kind) = told {
                let decision = Decision::Timeout {
                    kind,
                    after: after.value,
                };
                self.decided(id, decision, after.origin);
            }
        }
    }

    /// Runs the filters from number `from` on, and then the router.
    #[inline(never)]
    fn run_filters<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        taken: Option<Taken<'_>>,
        from: usize,
    ) {
        let route = taken.map(|t| t.route);
        let rest = http.filters.get(from..).unwrap_or_default();
        for (number, filter) in (from..).zip(rest) {
            let stops = match filter {
                HttpFilter::Fault(default) => {
                    let of_route = route.and_then(|r| r.fault.as_deref());
                    match of_route.or(default.as_ref()) {
                        Some(fault) => self.delay_by_fault(env, id, fault, number as u32),
                        None => false,
                    }
                }
                HttpFilter::LocalRateLimit(default) => {
                    let of_route = route.and_then(|r| r.rate_limit.as_deref());
                    match of_route.or(default.as_ref()) {
                        Some(limit) => self.limit_rate(env, id, limit),
                        None => false,
                    }
                }
                HttpFilter::Cors => self.answer_preflight(env, id, taken.as_ref()),
            };
            if stops {
                return;
            }
        }
        if let Some(taken) = &taken
            && !taken.route.gates.is_empty()
        {
            // what no limit is to count
            let forward = forward_of(taken.route).filter(|it| it.largest_body.is_some());
            if forward.is_some_and(|forward| self.refuse_body(env, id, forward))
                || self.pass_gates(env, id, http, taken, 0)
            {
                return;
            }
        }
        self.take_route(env, id, taken);
    }

    fn fault_applies<S, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        fault: &Fault,
    ) -> bool {
        let exchange = self.exchange(id);
        let view = exchange.view(env.heads);
        fault.headers.iter().all(|m| view.matches(m))
            && fault
                .max_active
                .is_none_or(|max| exchange.faulted || self.faults_at(exchange.place) < max)
    }

    /// Whether the exchange waits or ends here.
    fn delay_by_fault<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        fault: &Fault,
        number: u32,
    ) -> bool {
        if !self.fault_applies(env, id, fault) {
            return false;
        }
        let exchange = self.exchange(id);
        let view = exchange.view(env.heads);
        let delay = fault.delay.and_then(|delay| {
            let header = |name: &str| {
                view.heads
                    .header(view.head, name)?
                    .trim()
                    .parse::<u64>()
                    .ok()
            };
            let (after, percent) = match delay.fixed {
                Some(fixed) => (fixed, None),
                None => (
                    Duration::from_millis(header("x-envoy-fault-delay-request")?),
                    header("x-envoy-fault-delay-request-percentage"),
                ),
            };
            let share = capped_share(delay.share.as_fraction(), percent);
            let strikes = exchange.key.chance(Purpose::FaultDelay, number, share);
            (strikes && !after.is_zero()).then_some(after)
        });
        let Some(after) = delay else {
            return self.abort_by_fault(env, id, fault, number);
        };
        self.hold_fault(id);
        let exchange = self.exchange_mut(id);
        exchange.phase = Phase::Delayed(number);
        exchange.flags.insert(Flags::DI);
        let target = Target::Exchange(id, exchange.token);
        let timer = TimerId::of_exchange(TimerKind::FaultDelay, id);
        self.decided(id, Decision::FaultDelay(after), fault.origin);
        self.arm(target, timer, env.now, after);
        true
    }

    /// Requests under a fault that came in at a place.
    fn faults_at(&self, place: Place) -> u32 {
        self.faulted.get(&counted_at(place)).copied().unwrap_or(0)
    }

    fn hold_fault(&mut self, id: ExchangeId) {
        let exchange = self.exchange_mut(id);
        if !exchange.faulted {
            exchange.faulted = true;
            let at = counted_at(exchange.place);
            *self.faulted.entry(at).or_default() += 1;
        }
    }

    fn abort_by_fault<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        fault: &Fault,
        number: u32,
    ) -> bool {
        let exchange = self.exchange(id);
        let view = exchange.view(env.heads);
        let Some(abort) = fault.abort else {
            return false;
        };
        let header = |name: &str| {
            view.heads
                .header(view.head, name)?
                .trim()
                .parse::<u64>()
                .ok()
        };
        let by_header = || {
            let status = header("x-envoy-fault-abort-request").filter(|s| (200..600).contains(s));
            let grpc = || header("x-envoy-fault-abort-grpc-request");
            match status {
                Some(status) => Some((status as u16, None)),
                None => Some((200, Some(u32::try_from(grpc()?).ok()?))),
            }
        };
        let (answer, percent) = match (abort.status, abort.grpc) {
            (Some(status), grpc) => (Some((status, grpc)), None),
            (None, Some(grpc)) => (Some((200, Some(grpc))), None),
            (None, None) => (
                by_header(),
                header("x-envoy-fault-abort-request-percentage"),
            ),
        };
        let Some((status, grpc)) = answer else {
            return false;
        };
        let share = capped_share(abort.share.as_fraction(), percent);
        if !exchange.key.chance(Purpose::FaultAbort, number, share) {
            return false;
        }
        self.hold_fault(id);
        self.decided(id, Decision::FaultAbort(status), fault.origin);
        let reply = LocalReply {
            status,
            grpc,
            reason: ReplyReason::FaultAbort,
            silent: false,
            retried: false,
            origin: fault.origin,
            route: None,
        };
        self.reply(env, id, reply);
        true
    }

    pub(super) fn fault_delay_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        let Phase::Delayed(number) = exchange.phase else {
            return;
        };
        exchange.phase = Phase::Routed;
        exchange.last_activity = env.now;
        exchange.begun = env.now;
        let (place, at) = (exchange.place, exchange.route);
        let configs = env.configs;
        let http = configs
            .http(place)
            .expect("an exchange came over an HTTP chain");
        let taken = at.map(|at| Taken::new(configs, place.config, at));
        let of_route = taken.and_then(|t| t.route.fault.as_deref());
        let fault = match &http.filters[number as usize] {
            HttpFilter::Fault(default) => of_route.or(default.as_ref()),
            HttpFilter::LocalRateLimit(_) | HttpFilter::Cors => None,
        };
        let ended = fault.is_some_and(|fault| self.abort_by_fault(env, id, fault, number));
        if !ended {
            self.run_filters(env, id, http, taken, number as usize + 1);
        }
    }

    /// Whether the exchange ends here.
    fn limit_rate<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        limit: &LocalRateLimit,
    ) -> bool {
        let at = match self.buckets.get(&limit.name) {
            Some(&at) => at,
            None => {
                let key = BlockKey::Bucket(limit.name.clone());
                let at = env.shared.block(&key, TokenBucket::WORDS);
                self.buckets.insert(limit.name.clone(), at);
                at
            }
        };
        let admitted = TokenBucket::new(at).try_take(env.shared, &limit.bucket, env.now, 1);
        self.decided(id, Decision::RateLimit { admitted }, limit.origin);
        if admitted {
            return false;
        }
        let reply = LocalReply {
            status: if limit.status < 400 {
                429
            } else {
                limit.status
            },
            grpc: None,
            reason: ReplyReason::RateLimited,
            silent: false,
            retried: false,
            origin: limit.origin,
            route: None,
        };
        self.reply(env, id, reply);
        true
    }

    /// What the route does.
    pub(super) fn take_route<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        taken: Option<Taken<'_>>,
    ) {
        let Some(Taken { at, route, plan }) = taken else {
            let place = self.exchange(id).place;
            let origin = env.configs.chain(place).origin;
            self.reply_because(env, id, ReplyReason::NoRoute, origin);
            return;
        };
        let (status, reason) = match &route.action {
            RouteAction::Forward(forward) => return self.forward(env, id, plan, forward),
            RouteAction::Redirect(redirect) => (redirect.status, ReplyReason::Redirect),
            RouteAction::Direct(direct) => (direct.status, ReplyReason::Direct),
        };
        let reply = LocalReply {
            status,
            grpc: None,
            reason,
            silent: false,
            retried: false,
            origin: route.origin,
            route: Some(at),
        };
        self.reply(env, id, reply);
    }

    /// Sends the request on: settles where to and on which terms, and begins the first try.
    #[inline(always)]
    fn forward<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        plan: &Plan,
        forward: &Forward,
    ) {
        if forward.largest_body.is_some() && self.refuse_body(env, id, forward) {
            return;
        }
        let configs = env.configs;
        let mut exchange = self.exchanges.existing(id);
        let place = exchange.place;
        if exchange.controls
            || exchange.edge
            || !plan.single
            || plan.asks_headers
            || has_grpc_timeout(exchange.view(env.heads), plan)
        {
            ask_request(exchange, env.heads, plan, forward);
        }
        if let Some(session) = &forward.session {
            self.find_session(env, id, session, forward);
            exchange = self.exchanges.existing(id);
        }
        let chosen = &forward.clusters[usize::from(exchange.weighted)];
        let Some(index) = chosen.cluster else {
            let reply = LocalReply {
                status: forward.missing_status,
                grpc: None,
                reason: ReplyReason::NoCluster,
                silent: false,
                retried: false,
                origin: chosen.origin,
                route: None,
            };
            self.reply(env, id, reply);
            return;
        };
        let cluster = configs.cluster_id(place.config, place.section, index);
        exchange.cluster = Some(cluster);
        exchange.retries_left = exchange.terms.retries;
        exchange.retain_limit = exchange.retain_limit.min(exchange.terms.body_limit);
        let more_to_do = exchange.is_timed()
            && (exchange.terms.route_timeout.is_some() || !forward.mirrors.is_empty());
        // what is rare may change anything: the exchange is looked up again after it
        if !forward.hash.is_empty() {
            self.hash_request(env, id, forward);
            exchange = self.exchanges.existing(id);
        }
        if self
            .clusters
            .get(cluster.0 as usize)
            .is_none_or(Option::is_none)
        {
            self.make_cluster(env, cluster, (place.config, place.section, index));
            exchange = self.exchanges.existing(id);
        }
        let token = exchange.token;
        self.actions
            .decided((id, token), Decision::Cluster(cluster), chosen.origin);
        if exchange.request_bytes > 0 {
            self.retain(id);
            exchange = self.exchanges.existing(id);
        }
        let state = self.clusters[cluster.0 as usize].as_deref_mut();
        let mut placing = Placing {
            exchange,
            cluster: state.expect("just made"),
            upstreams: &mut self.upstreams,
            downstreams: &self.downstreams,
            actions: &mut self.actions,
        };
        let begun = begin_attempt(&mut placing, env, id, Some(forward));
        self.attempt_begun(env, begun);
        // timers of its tries have begun, since it was complete before them
        if more_to_do && self.exchanges.get(id).is_some() {
            self.arm_route_timeout(env, id);
            // departs: no copies are made of what upgrades
            if !forward.mirrors.is_empty() && self.exchange(id).request_done {
                self.mirror_all(env, id, forward);
            }
        }
    }

    fn hash_request<S, H: Heads>(
        &mut self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        forward: &Forward,
    ) {
        let exchange = self.exchange(id);
        let believed = env.heads.received(exchange.head).map(|it| it.client);
        let source = believed.or_else(|| {
            let down = self.downstreams.get(exchange.downstream?)?;
            Some(down.accept.source)
        });
        let source = source.map(|it| it.ip());
        let mut head = Draft::new(exchange.view(env.heads));
        if exchange.changes.edits_request
            && let Some(at) = exchange.route
        {
            let route = env.configs.route(exchange.place.config, at);
            let departure = Departure::of_request(usize::from(exchange.weighted));
            write_request(route, exchange.view(env.heads), departure, &mut head);
        }
        let hash = super::hash::of_request(&forward.hash, &head, source);
        self.exchange_mut(id).hash = hash;
    }

    /// Sees whether what came of the body may still be kept for another try.
    fn retain(&mut self, id: ExchangeId) {
        let exchange = self.exchange_mut(id);
        if exchange.retained && exchange.request_bytes > exchange.retain_limit {
            exchange.retained = false;
            if exchange.retries_left > 0 {
                self.act(id, Action::StopRetaining);
            }
        }
    }

    /// The request has been read to its end: the route's timeout begins.
    #[inline]
    fn arm_route_timeout<S, H>(&mut self, env: &Env<'_, S, H>, id: ExchangeId) {
        let exchange = self.exchange_mut(id);
        let Some(timeout) = exchange.terms.route_timeout else {
            return;
        };
        exchange.route_armed = true;
        let target = Target::Exchange(id, exchange.token);
        let timer = TimerId::of_exchange(TimerKind::Route, id);
        self.arm(target, timer, env.now, timeout.value);
        let decision = Decision::Timeout {
            kind: TimeoutKind::Route,
            after: timeout.value,
        };
        self.decided(id, decision, timeout.origin);
    }

    /// Arms the timers of tries that were sent before their request was complete.
    fn arm_timers_of_tries<S, H>(&mut self, env: &Env<'_, S, H>, id: ExchangeId) {
        let sent: SmallVec<[u16; 2]> = self
            .exchange(id)
            .attempts
            .iter()
            .filter(|a| a.stage == AttemptStage::Sent)
            .map(|a| a.number)
            .collect();
        for number in sent {
            let attempt = AttemptId {
                exchange: id,
                number,
            };
            self.arm_try_timers(env, attempt);
        }
    }

    /// Starts the copies that the route asks for; of a copy there is none.
    fn mirror_all<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        forward: &Forward,
    ) {
        for (number, mirror) in forward.mirrors.iter().enumerate() {
            if self.exchange(id).downstream.is_some() {
                self.mirror(env, id, forward, mirror, number as u32);
            }
        }
    }

    /// Starts a copy of a request as an exchange of its own.
    fn mirror<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        forward: &Forward,
        mirror: &Mirror,
        number: u32,
    ) {
        let parent = self.exchange(id);
        let share = mirror.share.value.as_fraction();
        if !parent.key.chance(Purpose::Mirror, number, share) {
            return;
        }
        let place = parent.place;
        let cluster = env
            .configs
            .cluster_id(place.config, place.section, mirror.cluster);
        let mut child = parent.clone();
        child.token = 0;
        child.downstream = None;
        // far from the numbers that tries have
        child.path = parent.path.child(1 << 32 | u64::from(number));
        child.key = child.path.follow(self.salt);
        child.cluster = Some(cluster);
        child.attempts = Attempts::default();
        child.tried.clear();
        child.tries = 0;
        child.committed = None;
        child.session = None;
        child.gated = None;
        // a copy has the route's timeout alone
        child.terms = Terms {
            route_timeout: parent.terms.route_timeout,
            ..Terms::NONE
        };
        child.retries_left = 0;
        child.passage = Passage::No;
        child.retry_held = false;
        child.route_armed = false;
        child.backing_off = false;
        child.faulted = false;
        child.log = None;
        child.flags = Flags::NONE;
        child.start = env.now;
        child.origin = mirror.share.origin;
        child.copied = match mirror.shadow_host {
            true => Copied::Marked,
            false => Copied::Plainly,
        };
        self.use_config(place.config);
        let child_id = self.exchanges.insert(|| child);
        self.copies.push((id, child_id));
        self.decided(id, Decision::Mirror(cluster), mirror.share.origin);
        self.act(id, Action::Spawned { child: child_id });
        self.make_cluster(env, cluster, (place.config, place.section, mirror.cluster));
        self.start_attempt(env, child_id, Some(forward));
        if self.exchanges.get(child_id).is_some() {
            self.arm_route_timeout(env, child_id);
        }
    }

    pub(super) fn request_data<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        bytes: u64,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        exchange.last_activity = env.now;
        exchange.request_bytes += bytes;
        // bytes of what a connection has become are no body
        let is_body = exchange.passage == Passage::No;
        if let Some(forward) = exchange.forward(env.configs)
            && is_body
            && forward.largest_body.is_some()
            && self.refuse_body(env, id, forward)
        {
            return;
        }
        self.retain(id);
    }

    pub(super) fn request_end<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        exchange.last_activity = env.now;
        if exchange.request_done {
            return;
        }
        match exchange.passage {
            Passage::No => {}
            // its body, if it has one, is not all that will come
            Passage::Asked(_) => return,
            Passage::Open => {
                exchange.request_done = true;
                exchange.completed = env.now;
                return;
            }
        }
        exchange.request_done = true;
        exchange.completed = env.now;
        let waits = matches!(exchange.phase, Phase::Delayed(_) | Phase::Held(_));
        if !waits {
            let forward = exchange.forward(env.configs);
            let timed = exchange.has_try_timers();
            self.arm_route_timeout(env, id);
            if timed {
                self.arm_timers_of_tries(env, id);
            }
            if let Some(forward) = forward {
                self.mirror_all(env, id, forward);
            }
        }
    }

    pub(super) fn backpressure(&mut self, id: ExchangeId, side: Side, full: bool) {
        if self.exchanges.get(id).is_none() {
            return;
        }
        let other = match side {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        };
        let action = if full {
            Action::Pause(other)
        } else {
            Action::Resume(other)
        };
        self.act(id, action);
    }

    /// Answers for a reason, with the status that the system at hand gives for it.
    pub(super) fn reply_because<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        reason: ReplyReason,
        origin: OriginId,
    ) {
        let exchange = self.exchange(id);
        let silent = asks_other_timeout_status(exchange, reason, env.heads);
        let status = if silent {
            204
        } else {
            reason.status(exchange.replies, exchange.request_done)
        };
        let reply = LocalReply {
            status,
            grpc: None,
            reason,
            silent,
            retried: false,
            origin,
            route: None,
        };
        self.reply(env, id, reply);
    }

    /// Answers the client and ends the exchange.
    pub(super) fn reply<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        mut reply: LocalReply,
    ) {
        let exchange = self.exchange_mut(id);
        if let Some(gated) = &mut exchange.gated {
            gated.status = Some(reply.status);
        }
        let is_grpc = exchange.view(env.heads).is_grpc();
        if !is_grpc {
            // a fault may have a status for gRPC; whoever speaks none gets the HTTP one
            reply.grpc = None;
        } else if reply.grpc.is_none() {
            // Envoy: `onStreamMaxDurationReached`
            let is_late = reply.reason == ReplyReason::MaxStreamDuration;
            reply.grpc = Some(if is_late {
                DEADLINE_EXCEEDED
            } else {
                grpc_status(reply.status)
            });
            reply.status = 200;
        }
        reply.retried = exchange.tries > 1;
        exchange.status = reply.status;
        exchange.flags.insert(reply.reason.flags());
        exchange.reply = Some(reply.reason);
        exchange.origin = reply.origin;
        if let Some(log) = &mut exchange.log {
            log.replied(reply.reason, exchange.http2, reply.grpc, env.now);
        }
        self.decided(id, Decision::LocalReply(reply.reason), reply.origin);
        if self.exchange(id).downstream.is_some() {
            self.act(id, Action::Reply(reply));
        }
        self.end_exchange(env, id);
    }

    /// Ends an exchange: cancels what still runs for it, records it, frees it.
    pub(super) fn end_exchange<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        self.end_exchange_here(env, id);
    }

    /// [`Self::end_exchange`] as part of the common path.
    #[inline(always)]
    pub(super) fn end_exchange_here<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let mut exchange = self.exchange(id);
        if exchange.retry_held || !exchange.attempts.is_empty() {
            self.cancel_attempts(env, id, None);
            self.release_retry(env, id);
            exchange = self.exchange(id);
        }
        if exchange.log.is_some() {
            self.log_exchange(env, id);
            exchange = self.exchange(id);
        }
        if exchange.gated.is_some() {
            self.leave_gates(env, id);
            exchange = self.exchange(id);
        }
        let target = Target::Exchange(id, exchange.token);
        let record = AccessRecord {
            exchange: id,
            token: exchange.token,
            start: exchange.start,
            status: exchange.status,
            flags: exchange.flags,
            reply: exchange.reply,
            cluster: exchange.cluster,
            attempts: exchange.tries,
            origin: exchange.origin,
        };
        let (place, downstream) = (exchange.place, exchange.downstream);
        let config = place.config;
        let (route_armed, faulted) = (exchange.route_armed, exchange.faulted);
        let passage = exchange.passage;
        let kept = answered(id, exchange);
        self.exchanges.remove(id);
        if let Some(kept) = kept {
            self.use_config(config);
            self.answered.push(kept);
        }
        if faulted && let Some(count) = self.faulted.get_mut(&counted_at(place)) {
            *count -= 1;
        }
        if route_armed {
            let timer = TimerId::of_exchange(TimerKind::Route, id);
            self.push(target, Action::Disarm { id: timer });
        }
        self.record(target, Event::Exchange(record));
        if passage != Passage::No {
            self.passage_over(target);
        }
        self.push(target, Action::Ended);
        self.leave_config(config);
        match downstream {
            Some(downstream) => self.stream_ended(env, downstream),
            None => self.copies.retain(|(_, copy)| *copy != id),
        }
    }

    /// The client went away before it was answered.
    pub(super) fn client_gone<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        exchange.flags.insert(Flags::DC);
        if exchange.committed.is_none() {
            exchange.status = 0;
        }
        if let Some(log) = &mut exchange.log {
            log.client_gone();
        }
        self.end_exchange(env, id);
    }

    /// The client's bytes are no body: it is the one to blame, and no endpoint.
    ///
    /// Source: envoy `ConnectionManagerImpl::ActiveStream::onCodecError`.
    pub(super) fn request_broken<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        let (http, _) = rules_of_stream(env, exchange);
        self.stream_over(env, id, ReplyReason::MalformedBody, http.origin);
    }

    /// A stream's own deadline: answered, or broken off once a response has begun.
    pub(super) fn stream_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        reason: ReplyReason,
        origin: OriginId,
    ) {
        let exchange = self.exchange_mut(id);
        if exchange.committed.is_none() {
            self.reply_because(env, id, reason, origin);
        } else {
            exchange.flags.insert(reason.flags());
            exchange.origin = origin;
            self.break_off(env, id, reason);
        }
    }

    /// Breaks a response off that has begun.
    pub(super) fn break_off<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        reason: ReplyReason,
    ) {
        if let Some(log) = &mut self.exchange_mut(id).log {
            log.broke_off(reason);
        }
        if self.exchange(id).downstream.is_some() {
            self.act(id, Action::Finish { broken: true });
        }
        self.end_exchange(env, id);
    }

    pub(super) fn stream_idle<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        let (http, forward) = rules_of_stream(env, exchange);
        let Some(idle) = stream_idle(http, forward) else {
            return;
        };
        let due = exchange.last_activity + idle.value;
        if due > env.now {
            let target = Target::Exchange(id, exchange.token);
            let timer = TimerId::of_exchange(TimerKind::StreamIdle, id);
            self.arm_single(target, timer, due);
        } else {
            self.stream_over(env, id, ReplyReason::StreamIdle, idle.origin);
        }
    }

    /// The longest time that a stream may live is over.
    pub(super) fn stream_too_long<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        let (http, forward) = rules_of_stream(env, exchange);
        if let Some(longest) = longest_stream(http, forward) {
            self.stream_over(env, id, ReplyReason::MaxStreamDuration, longest.origin);
        }
    }

    /// The time in which a request has to arrive is over.
    pub(super) fn request_late<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let late = self.exchanges.get(id);
        let late = late.filter(|e| !e.request_done && e.passage != Passage::Open);
        let Some(exchange) = late else {
            return;
        };
        let (http, _) = rules_of_stream(env, exchange);
        let origin = request_timeout(http).map_or(OriginId::NONE, |t| t.origin);
        self.stream_over(env, id, ReplyReason::RequestTimeout, origin);
    }

    /// The route's timeout: everything is given up, and the silent endpoints are charged with it.
    pub(super) fn route_timeout<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        if !exchange.route_armed {
            return;
        }
        exchange.route_armed = false;
        let origin = exchange
            .terms
            .route_timeout
            .map_or(OriginId::NONE, |t| t.origin);
        self.charge_silent_attempts(env, id);
        let exchange = self.exchange_mut(id);
        if exchange.committed.is_some() {
            exchange.flags.insert(Flags::UT);
            exchange.origin = origin;
            self.break_off(env, id, ReplyReason::RouteTimeout);
        } else {
            self.give_up_attempts(
                env,
                id,
                AttemptResult::Failed(crate::event::AttemptFailure::RouteTimeout),
                Next::Final,
                origin,
            );
            self.reply_because(env, id, ReplyReason::RouteTimeout, origin);
        }
    }

    /// No connection outlives its present requests, but those that carry bytes.
    pub(super) fn drain<S: SharedState, H: Heads>(&mut self, env: &mut Env<'_, S, H>) {
        self.draining = true;
        let all = self.downstreams.iter();
        let all = all.filter(|(_, down)| !matches!(down.stage, Stage::Tcp(_)));
        let all: Vec<DownstreamId> = all.map(|(raw, _)| raw.into()).collect();
        for id in all {
            self.drain_downstream(env, id);
        }
        self.drain_sessions(env);
    }
}

/// What the driver needs of an exchange to write the head of its answer, where anything is to be written.
#[inline]
fn answered(id: ExchangeId, exchange: &Exchange) -> Option<Answered> {
    exchange.downstream?;
    let by_route = matches!(
        exchange.reply,
        Some(ReplyReason::Direct | ReplyReason::Redirect)
    );
    let changes = exchange.changes;
    let gated = exchange.gated.as_ref();
    let written = exchange.ruled
        || changes.edits_response
        || changes.attempt_count_in_response
        || gated.is_some_and(|gated| !gated.told.is_empty());
    (written || by_route).then(|| Answered {
        exchange: id,
        answer: Answer::of(exchange),
    })
}

/// Whether the request wants to hear 204 of a timeout.
///
/// Source: envoy `source/common/router/router.cc` (`timeout_response_code_`).
fn asks_other_timeout_status<H: Heads>(
    exchange: &Exchange,
    reason: ReplyReason,
    heads: &H,
) -> bool {
    matches!(
        reason,
        ReplyReason::RouteTimeout | ReplyReason::PerTryTimeout | ReplyReason::PerTryIdle
    ) && exchange.controls
        && exchange
            .view(heads)
            .header("x-envoy-upstream-rq-timeout-alt-response")
            .is_some()
}

/// Where faults are counted: each filter counts its own.
const fn counted_at(place: Place) -> (u16, u32, u32) {
    (place.section, place.listener, place.chain)
}

/// A fault's share, or less where the request's header asks for less.
fn capped_share(share: f64, percent: Option<u64>) -> f64 {
    percent.map_or(share, |percent| share.min(percent as f64 / 100.0))
}
