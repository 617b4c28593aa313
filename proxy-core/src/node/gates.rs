//! Gates: what a request passes between the filters of its listener and what its route does.

use core::net::IpAddr;

use smallvec::SmallVec;

use super::contract::{Target, TimerId, TimerKind};
use super::exchange::Taken;
use super::machine::{Env, Exchange, Machine, Phase};
use crate::breaker::{self, BreakerState};
use crate::config::{
    AbsentKey, Breaker, Cidr, ClientOf, ForwardedEntry, Gate, GateKey, GateKind, HttpConnections,
    Name, RateLimit,
};
use crate::event::{Decision, Event};
use crate::heads::Heads;
use crate::ids::ExchangeId;
use crate::limit::delaying_bucket::{DelayingBucket, go_words};
use crate::limit::keyed::{Need, SEATS, Table};
use crate::limit::leaky_bucket;
use crate::limit::windows::Windows;
use crate::reply::{LocalReply, ReplyReason};
use crate::route::split_query;
use crate::shared::{BlockKey, SharedState};
use crate::time::{Duration, Time};

/// What an exchange has of the gates that it has passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Gated {
    /// Words in which it counts as under way.
    seats: SmallVec<[usize; 1]>,
    /// Breakers that want to know how it goes, by the number of their gate, and since when.
    watched: SmallVec<[(u16, Time); 1]>,
    /// Headers that its client is told.
    pub(super) told: Vec<(&'static str, Box<str>)>,
    /// The HTTP status of the node's own answer, whatever a gRPC client is told.
    pub(super) status: Option<u16>,
}

/// Where a worker finds the state of a gate.
#[derive(Clone, Debug)]
pub(super) enum GateState {
    Keyed(Table),
    /// By a hash of the expression, since it says what is measured.
    Breaker(u64, usize),
}

/// What a gate says of a request.
enum Verdict {
    Passes,
    Waits(Duration),
    Refuses(ReplyReason),
}

/// Shapes of tables besides [`SEATS`].
const DELAYING: u64 = 2;
const WINDOWS: u64 = 3;
/// With the number of buckets.
const LEAKY: u64 = 16;

type Key = SmallVec<[u8; 64]>;

impl Machine {
    /// Passes the gates of a route from number `from` on; whether the exchange waits or ends here.
    pub(super) fn pass_gates<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        taken: &Taken<'_>,
        from: usize,
    ) -> bool {
        let rest = taken.route.gates.get(from..).unwrap_or_default();
        for (number, gate) in (from..).zip(rest) {
            match self.ask_gate(env, id, http, (number, gate)) {
                Verdict::Passes => {}
                Verdict::Waits(after) => {
                    let exchange = self.exchange_mut(id);
                    exchange.phase = Phase::Held(number as u32);
                    let target = Target::Exchange(id, exchange.token);
                    let timer = TimerId::of_exchange(TimerKind::GateDelay, id);
                    self.decided(id, Decision::GateDelay(after), gate.origin);
                    self.arm_single(target, timer, env.now + after);
                    return true;
                }
                Verdict::Refuses(reason) => {
                    let reply = LocalReply {
                        status: gate.status,
                        grpc: None,
                        reason,
                        silent: false,
                        retried: false,
                        origin: gate.origin,
                        route: None,
                    };
                    self.reply(env, id, reply);
                    return true;
                }
            }
        }
        false
    }

    /// The time is over for which a gate has held a request.
    pub(super) fn gate_delay_over<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        let Phase::Held(number) = exchange.phase else {
            return;
        };
        exchange.phase = Phase::Routed;
        exchange.last_activity = env.now;
        exchange.begun = env.now;
        let place = exchange.place;
        let Some(at) = exchange.route else {
            return;
        };
        let http = env.configs.http(place);
        let http = http.expect("an exchange came over an HTTP chain");
        let taken = Taken::new(env.configs, place.config, at);
        if !self.pass_gates(env, id, http, &taken, number as usize + 1) {
            self.take_route(env, id, Some(taken));
        }
    }

    fn ask_gate<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        (number, gate): (usize, &Gate),
    ) -> Verdict {
        if !gate.exempt.is_empty() {
            let client = self.client_of(env, id, ClientOf::Believed);
            if client.is_some_and(|ip| lies_in(ip, &gate.exempt)) {
                return Verdict::Passes;
            }
        }
        match &gate.kind {
            GateKind::Rate { limit, key } => {
                let Some(key) = self.key_of(env, id, http, key) else {
                    return Verdict::Passes;
                };
                self.ask_rate(env, id, gate, limit, &key)
            }
            GateKind::InFlight { most, key } => {
                let Some(key) = self.key_of(env, id, http, key) else {
                    return Verdict::Passes;
                };
                self.ask_for_seat(env, id, gate, *most, &key)
            }
            GateKind::Breaker(breaker) => self.ask_breaker(env, id, (number, gate), breaker),
        }
    }

    fn ask_rate<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        gate: &Gate,
        limit: &RateLimit,
        key: &[u8],
    ) -> Verdict {
        let (now, unix) = (env.now, self.unix(env.now));
        let (shape, words) = match limit {
            RateLimit::Leaky(buckets) if buckets.is_empty() => return Verdict::Passes,
            RateLimit::Leaky(buckets) => (LEAKY + buckets.len() as u64, buckets.len()),
            RateLimit::Delaying(_) => (DELAYING, 1),
            RateLimit::Windows(_) => (WINDOWS, Windows::WORDS),
        };
        let (table, shared) = self.table(env.shared, &gate.name, shape, words);
        let hash = table.hash(shared, key);
        let need = |shared: &S, at: usize| {
            let spare = match limit {
                RateLimit::Leaky(buckets) => leaky_bucket::is_spare(shared, at, buckets, now),
                RateLimit::Delaying(_) => DelayingBucket::is_spare(shared, at, now),
                RateLimit::Windows(_) => Windows::is_spare(shared, at, unix),
            };
            if spare { Need::Spare } else { Need::Wanted }
        };
        // none only where workers take one another's entries: then nobody counts it
        let Some(at) = table.find(shared, hash, now, need) else {
            return Verdict::Passes;
        };
        let verdict = match limit {
            RateLimit::Leaky(buckets) => match leaky_bucket::take(shared, at, buckets, now) {
                Some(after) if after.is_zero() => Verdict::Passes,
                Some(after) => Verdict::Waits(after),
                None => Verdict::Refuses(ReplyReason::RateLimited),
            },
            RateLimit::Delaying(bucket) => match bucket.take(shared, at, now) {
                Ok(after) if after.is_zero() => Verdict::Passes,
                Ok(after) => Verdict::Waits(after),
                Err(after) => {
                    let seconds = after.as_nanos().div_ceil(1_000_000_000).to_string();
                    let told = &mut self.exchange_mut(id).gated_mut().told;
                    told.push(("retry-after", seconds.into()));
                    told.push(("x-retry-in", go_words(after).into()));
                    Verdict::Refuses(ReplyReason::RateLimited)
                }
            },
            RateLimit::Windows(windows) => {
                let reading = windows.take(shared, at, unix);
                if windows.tells {
                    let told = &mut self.exchange_mut(id).gated_mut().told;
                    let headers = reading.headers();
                    told.extend(headers.map(|(name, n)| (name, n.to_string().into())));
                }
                match reading.admitted {
                    true => Verdict::Passes,
                    false => Verdict::Refuses(ReplyReason::RateLimited),
                }
            }
        };
        let admitted = !matches!(verdict, Verdict::Refuses(_));
        self.decided(id, Decision::RateLimit { admitted }, gate.origin);
        verdict
    }

    fn ask_for_seat<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        gate: &Gate,
        most: u32,
        key: &[u8],
    ) -> Verdict {
        let now = env.now;
        let (table, shared) = self.table(env.shared, &gate.name, SEATS, 1);
        let hash = table.hash(shared, key);
        let need = |shared: &S, at: usize| match shared.get(at) {
            0 => Need::Spare,
            _ => Need::Held,
        };
        let most = u64::from(most);
        let take = |taken: u64| if taken < most { taken + 1 } else { taken };
        let seat = table.find(shared, hash, now, need);
        let seat = seat.filter(|at| shared.update(*at, take).0 < most);
        let admitted = seat.is_some();
        if let Some(at) = seat {
            self.exchange_mut(id).gated_mut().seats.push(at);
        }
        self.decided(id, Decision::InFlight { admitted }, gate.origin);
        match admitted {
            true => Verdict::Passes,
            false => Verdict::Refuses(ReplyReason::TooManyInFlight),
        }
    }

    fn ask_breaker<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
        (number, gate): (usize, &Gate),
        breaker: &Breaker,
    ) -> Verdict {
        let state = self.breaker(env.shared, &gate.name, breaker);
        let (admitted, change) = state.admit(env.shared, breaker, env.now);
        self.tell_breaker(gate, change);
        self.decided(id, Decision::Breaker { admitted }, gate.origin);
        if !admitted {
            return Verdict::Refuses(ReplyReason::BreakerOpen);
        }
        let watched = &mut self.exchange_mut(id).gated_mut().watched;
        watched.push((number as u16, env.now));
        Verdict::Passes
    }

    fn tell_breaker(&mut self, gate: &Gate, change: Option<breaker::Change>) {
        if let Some(change) = change {
            let origin = gate.origin;
            self.record(Target::Node, Event::Breaker { change, origin });
        }
    }

    /// An exchange that has passed gates is over.
    #[cold]
    pub(super) fn leave_gates<S: SharedState, H: Heads>(
        &mut self,
        env: &mut Env<'_, S, H>,
        id: ExchangeId,
    ) {
        let exchange = self.exchange_mut(id);
        let Some(mut gated) = exchange.gated.take() else {
            return;
        };
        // Traefik: a client that went away before it was answered counts as 499
        let status = gated.status.unwrap_or(exchange.status);
        let status = if status == 0 { 499 } else { status };
        let (at, config) = (exchange.route, exchange.place.config);
        for seat in gated.seats.drain(..) {
            env.shared.take_one(seat);
        }
        let unix = self.unix(env.now);
        for (number, since) in gated.watched.drain(..) {
            let Some(at) = at else {
                continue;
            };
            let gate = env.configs.route(config, at).gates.get(usize::from(number));
            let Some(gate) = gate else {
                continue;
            };
            if let GateKind::Breaker(breaker) = &gate.kind {
                let state = self.breaker(env.shared, &gate.name, breaker);
                let went = (status, env.now.since(since));
                let change = state.record(env.shared, breaker, went, env.now, unix);
                self.tell_breaker(gate, change);
            }
        }
        // what the client is told is yet to be written
        self.exchange_mut(id).gated = Some(gated);
    }

    /// The second of the Unix epoch.
    const fn unix(&self, now: Time) -> u64 {
        self.identity.epoch_nanos.saturating_add(now.as_nanos()) / 1_000_000_000
    }

    /// The state of gates with keys of one name and shape.
    fn table<'m, 's, S: SharedState>(
        &'m mut self,
        shared: &'s mut S,
        name: &Name,
        shape: u64,
        words: usize,
    ) -> (&'m mut Table, &'s mut S) {
        let is = |state: &GateState| matches!(state, GateState::Keyed(table) if table.is(shape));
        let known = self.gates.get(name).and_then(|all| all.iter().position(is));
        if known.is_none() {
            let seed = self.identity.key.as_u64();
            let table = Table::new(shared, (name, shape), words, seed);
            let states = self.gates.entry(name.clone()).or_default();
            states.push(GateState::Keyed(table));
        }
        let states = self.gates.get_mut(name).expect("known, or just made");
        let at = known.unwrap_or(states.len() - 1);
        match &mut states[at] {
            GateState::Keyed(table) => (table, shared),
            GateState::Breaker(..) => unreachable!("a table was looked for"),
        }
    }

    fn breaker<S: SharedState>(
        &mut self,
        shared: &mut S,
        name: &Name,
        breaker: &Breaker,
    ) -> BreakerState {
        let expression = breaker.expression.text();
        let shape = xxhash_rust::xxh64::xxh64(expression.as_bytes(), 0);
        let of = |state: &GateState| match state {
            GateState::Breaker(known, at) if *known == shape => Some(*at),
            GateState::Breaker(..) | GateState::Keyed(_) => None,
        };
        let known = self.gates.get(name).and_then(|all| all.iter().find_map(of));
        BreakerState::new(known.unwrap_or_else(|| {
            // the lowest shapes are those of tables
            let key = BlockKey::Gate(name.clone(), shape | 1 << 63);
            let at = shared.block(&key, BreakerState::words(&breaker.expression));
            let states = self.gates.entry(name.clone()).or_default();
            states.push(GateState::Breaker(shape, at));
            at
        }))
    }

    fn client_of<S, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        of: ClientOf,
    ) -> Option<IpAddr> {
        let exchange = self.exchange(id);
        let believed = match of {
            ClientOf::Believed => env.heads.received(exchange.head),
            ClientOf::Connection => None,
        };
        let address = match believed {
            Some(received) => received.client,
            None => self.downstreams.get(exchange.downstream?)?.accept.source,
        };
        Some(address.ip().to_canonical())
    }

    /// What a request is counted under; none: it is not counted.
    fn key_of<S, H: Heads>(
        &self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        key: &GateKey,
    ) -> Option<Key> {
        let view = self.exchange(id).view(env.heads);
        let address = |of, v6_prefix| {
            let ip = self.client_of(env, id, of);
            ip.map_or_else(Key::new, |ip| of_address(ip, v6_prefix))
        };
        let absent = |rule: &AbsentKey| match rule {
            AbsentKey::Shared => Some(Key::new()),
            AbsentKey::Address => Some(address(ClientOf::Believed, None)),
            AbsentKey::Passes => None,
        };
        let text = |text: &str| Some(Key::from_slice(text.as_bytes()));
        match key {
            GateKey::All => Some(Key::new()),
            GateKey::ClientAddress { of, v6_prefix } => Some(address(*of, *v6_prefix)),
            GateKey::Forwarded { entry, v6_prefix } => {
                let list = view.heads.header(view.head, "x-forwarded-for");
                // what this node has added itself is no news
                let received = view.heads.received(view.head).is_some();
                let adds = http.heads.as_deref().is_some_and(|rules| {
                    rules.client.remote_address && !rules.client.keeps_forwarded_for
                });
                let list = match list {
                    Some(list) if received && adds => list.rsplit_once(',').map(|(rest, _)| rest),
                    list => list,
                };
                Some(of_forwarded(list.unwrap_or_default(), entry, *v6_prefix))
            }
            GateKey::Header { name, absent: rule } => match view.heads.header(view.head, name) {
                Some(value) => text(value),
                None => absent(rule),
            },
            GateKey::Cookie { name, absent: rule } => {
                let mut found = None;
                view.any_value("cookie", |line| {
                    found = found
                        .take()
                        .or_else(|| text(super::hash::cookie(line, name)?));
                    found.is_some()
                });
                found.or_else(|| absent(rule))
            }
            GateKey::Host => text(view.heads.authority(view.head)),
            GateKey::Path(only) => {
                let path = split_query(view.heads.path(view.head)).0;
                if path == &**only {
                    text(path)
                } else {
                    Some(address(ClientOf::Believed, None))
                }
            }
        }
    }
}

impl Exchange {
    fn gated_mut(&mut self) -> &mut Gated {
        self.gated.get_or_insert_default()
    }
}

fn lies_in(ip: IpAddr, blocks: &[Cidr]) -> bool {
    blocks.iter().any(|block| block.contains(ip))
}

fn of_address(ip: IpAddr, v6_prefix: Option<u8>) -> Key {
    match ip {
        IpAddr::V4(ip) => Key::from_slice(&ip.octets()),
        IpAddr::V6(ip) => {
            let cut = 128 - u32::from(v6_prefix.unwrap_or(128).min(128));
            let bits = ip.to_bits().checked_shr(cut).unwrap_or(0);
            Key::from_slice(&bits.checked_shl(cut).unwrap_or(0).to_be_bytes())
        }
    }
}

/// Source: traefik `pkg/ip/strategy.go` (`DepthStrategy`, `PoolStrategy`): what is no address lies in no block.
fn of_forwarded(list: &str, entry: &ForwardedEntry, v6_prefix: Option<u8>) -> Key {
    let mut entries = list.rsplit(',').map(str::trim);
    let found = match entry {
        ForwardedEntry::FromRight(nth) => {
            nth.checked_sub(1).and_then(|nth| entries.nth(nth as usize))
        }
        ForwardedEntry::Outside(blocks) => entries.find(|entry| {
            let ip: Option<IpAddr> = entry.parse().ok();
            !entry.is_empty() && !ip.is_some_and(|ip| lies_in(ip, blocks))
        }),
    };
    let found = found.unwrap_or_default();
    match found.parse() {
        Ok(ip @ IpAddr::V6(_)) if v6_prefix.is_some() => of_address(ip, v6_prefix),
        Ok(_) | Err(_) => Key::from_slice(found.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str, bits: u8) -> Cidr {
        Cidr {
            address: text.parse().unwrap(),
            bits,
        }
    }

    #[test]
    fn an_entry_is_counted_from_the_right_or_is_the_first_outside() {
        let own = || ForwardedEntry::Outside(vec![block("10.0.0.0", 8)]);
        let list = "1.2.3.4, 5.6.7.8 ,10.0.0.1";
        for (name, list, entry, want) in [
            ("the last", list, ForwardedEntry::FromRight(1), "10.0.0.1"),
            ("the second", list, ForwardedEntry::FromRight(2), "5.6.7.8"),
            ("none so far", list, ForwardedEntry::FromRight(4), ""),
            ("no depth", list, ForwardedEntry::FromRight(0), ""),
            ("outside", list, own(), "5.6.7.8"),
            ("all inside", "10.1.1.1,10.2.2.2", own(), ""),
            (
                "no address lies in no block",
                "1.2.3.4,unknown",
                own(),
                "unknown",
            ),
            (
                "empty ones are passed over",
                "1.2.3.4,, 10.0.0.1",
                own(),
                "1.2.3.4",
            ),
            ("nothing", "", ForwardedEntry::FromRight(1), ""),
        ] {
            let key = of_forwarded(list, &entry, None);
            assert_eq!(&key[..], want.as_bytes(), "{name}");
        }
    }

    #[test]
    fn of_an_ipv6_address_the_first_bits_count() {
        let key = |text: &str, prefix| of_address(text.parse().unwrap(), prefix);
        assert_eq!(key("2001:db8::1", Some(64)), key("2001:db8::2", Some(64)));
        assert_ne!(
            key("2001:db8::1", Some(64)),
            key("2001:db8:0:1::1", Some(64))
        );
        assert_ne!(key("2001:db8::1", None), key("2001:db8::2", None));
        assert_eq!(key("2001:db8::1", Some(0)), key("::", Some(0)));
        assert_ne!(key("1.2.3.4", Some(0)), key("1.2.3.5", Some(0)));
        let all = of_forwarded("2001:db8::1", &ForwardedEntry::FromRight(1), Some(64));
        assert_eq!(all, key("2001:db8::7", Some(64)));
    }
}
