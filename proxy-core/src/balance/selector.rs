//! The whole way to an endpoint: priority, panic, locality, host.

use std::collections::BTreeMap;

use super::edf::Edf;
use super::group::{Group, Picker};
use super::priority::{Level, Spread, spread};
use super::zone_aware::{Split, split};
use super::{KONG_DECAY, random, slow_start};
use crate::config::{self, Cluster, EndpointSet, LocalityBalance, Name};
use crate::draw::{DrawKey, Purpose};
use crate::ids::EndpointSlot;
use crate::time::{Duration, Time};
use crate::words::Words;

/// An endpoint as the selector sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Which endpoint.
    pub slot: EndpointSlot,
    /// Whether it may be used outside panic.
    pub available: bool,
    /// Used first when 0.
    pub priority: u8,
    /// At least 1.
    pub weight: u32,
    /// `region/zone/subzone`.
    pub locality: Name,
    /// What consistent hashing hashes: address and port.
    pub key: Box<str>,
    /// The word that counts its requests under way.
    pub active_at: usize,
    /// Where its [`PeakEwma`](super::peak_ewma::PeakEwma) block is, or its [`LatestTimes`](super::traefik::LatestTimes).
    pub latency_at: usize,
    /// When slow start began for it.
    pub since: Time,
}

/// One choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Names the draws: one key a try.
    pub key: DrawKey,
    /// The request's hash, if it has one.
    pub hash: Option<u64>,
    /// How often the choice of this try was turned down before.
    pub rejected: u32,
    /// Slots that earlier tries of the request went to.
    pub failed: &'a [u32],
    /// Priorities that get nothing unless all would.
    pub spent_priorities: &'a [u8],
    /// Requests under way to the whole cluster.
    pub cluster_active: u64,
    /// The present.
    pub now: Time,
}

/// What was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// Which endpoint.
    pub slot: EndpointSlot,
    /// Out of how many.
    pub candidates: u32,
    /// Whether health was disregarded.
    pub panic: bool,
}

/// Chooses endpoints of one cluster for one worker.
#[derive(Clone, Debug)]
pub struct Selector {
    key: DrawKey,
    levels: Vec<LevelState>,
    spread: Spread,
    /// Whether the first level takes everything and only its healthy endpoints count, undivided.
    plain: bool,
    fail_on_panic: bool,
    /// What its pickers were made for.
    balancer: config::Balancer,
    latency_decay: Duration,
    slow_start: Option<slow_start::SlowStart>,
}

#[derive(Clone, Debug)]
struct LevelState {
    counts: Level,
    /// All endpoints, for panic.
    all: Group,
    /// Those that may be used.
    healthy: Group,
    places: Places,
}

/// How the healthy endpoints of a level are divided.
#[derive(Clone, Debug)]
enum Places {
    /// Not at all.
    One,
    /// By weight and availability of their localities.
    Weighted {
        groups: Vec<Group>,
        schedule: Edf,
        weights: Vec<f64>,
    },
    /// The caller's own first.
    Zones {
        groups: Vec<Group>,
        own: usize,
        split: Split,
        share: f64,
    },
}

/// A level, a locality of it (none: all), and whether only healthy endpoints take part.
type GroupName = (u8, Option<Name>, bool);

impl Selector {
    /// A selector without endpoints. `key` names its draws: where rotations start.
    #[must_use]
    pub fn new(key: DrawKey) -> Self {
        Self {
            key,
            levels: Vec::new(),
            spread: Spread::default(),
            plain: false,
            fail_on_panic: false,
            balancer: config::Balancer::Random,
            latency_decay: KONG_DECAY,
            slow_start: None,
        }
    }

    /// Adapts to the endpoints as they now are; rotations go on where they were, unless the balancer is another.
    pub fn rebuild(
        &mut self,
        config: &Cluster,
        set: &EndpointSet,
        locality: &str,
        members: Vec<Member>,
        now: Time,
    ) {
        let mut old: BTreeMap<GroupName, Group> = BTreeMap::new();
        for (number, level) in core::mem::take(&mut self.levels).into_iter().enumerate() {
            let number = number as u8;
            old.insert((number, None, false), level.all);
            old.insert((number, None, true), level.healthy);
            let groups = match level.places {
                Places::One => Vec::new(),
                Places::Weighted { groups, .. } | Places::Zones { groups, .. } => groups,
            };
            for group in groups {
                if let Some(first) = group.members.first() {
                    old.insert((number, Some(first.locality.clone()), true), group);
                }
            }
        }
        if self.balancer != config.balancer.value {
            self.balancer = config.balancer.value.clone();
            old.clear();
        }
        self.fail_on_panic = config.fail_traffic_on_panic;
        self.slow_start = config.slow_start.map(|s| s.value);
        self.latency_decay = match config.balancer.value {
            config::Balancer::PeakEwma { decay, .. } => decay,
            config::Balancer::RoundRobin
            | config::Balancer::LeastRequest { .. }
            | config::Balancer::Random
            | config::Balancer::RingHash { .. }
            | config::Balancer::Maglev { .. }
            | config::Balancer::KongRing
            | config::Balancer::KongLeastConnections
            | config::Balancer::KongLatency
            | config::Balancer::NginxEwma
            | config::Balancer::TraefikTurns
            | config::Balancer::TraefikTwoChoices
            | config::Balancer::TraefikLeastTime
            | config::Balancer::TraefikRendezvous
            | config::Balancer::OriginalDestination => KONG_DECAY,
        };
        let last = members.iter().map(|m| m.priority).max();
        for number in last.map(|last| 0..=last).into_iter().flatten() {
            let of_level = members.iter().filter(|m| m.priority == number).cloned();
            let level = self.build_level(
                config,
                set,
                (locality, now),
                number,
                of_level.collect(),
                &mut old,
            );
            self.levels.push(level);
        }
        let counts: Vec<Level> = self.levels.iter().map(|l| l.counts).collect();
        let threshold = config.panic_threshold.value.as_fraction() * 100.0;
        self.spread = spread(&counts, config.overprovisioning, threshold);
        let undivided =
            |l: &LevelState| matches!(l.places, Places::One) && !l.all.picker.keeps_order();
        self.plain = matches!(&self.levels[..], [only] if undivided(only))
            && self.spread.load[..] != [0]
            && self.spread.panic[..] == [false];
    }

    fn build_level(
        &self,
        config: &Cluster,
        set: &EndpointSet,
        (locality, now): (&str, Time),
        number: u8,
        all: Vec<Member>,
        old: &mut BTreeMap<GroupName, Group>,
    ) -> LevelState {
        let healthy: Vec<Member> = all.iter().filter(|m| m.available).cloned().collect();
        let counts = Level {
            healthy: healthy.len() as u32,
            total: all.len() as u32,
        };
        let mut group = |members: Vec<Member>, name: GroupName| {
            let fresh = || {
                let salt = u64::from(number) << 1 | u64::from(name.2);
                Picker::new(&config.balancer.value, self.key.child(salt))
            };
            let weighted = match config.locality.value {
                LocalityBalance::Weighted => locality_shares(set, number, &members),
                LocalityBalance::Ignored | LocalityBalance::ZoneAware(_) => None,
            };
            let mut group = match old.remove(&name) {
                // tables depend on nothing else, and are large
                Some(kept)
                    if kept.picker.is_hashing()
                        && kept.weighted == weighted
                        && kept.has_same_keys(&members) =>
                {
                    return Group { members, ..kept };
                }
                Some(kept) => Group {
                    members,
                    weighted,
                    ..kept
                },
                None => Group {
                    members,
                    weighted,
                    picker: fresh(),
                },
            };
            group.refresh(self.latency_decay, self.slow_start.as_ref(), now);
            group
        };
        let hashing = matches!(
            config.balancer.value,
            config::Balancer::RingHash { .. } | config::Balancer::Maglev { .. }
        );
        let places = match &config.locality.value {
            LocalityBalance::Ignored => Places::One,
            // one table has all localities, so that a hash keeps its endpoint
            LocalityBalance::Weighted | LocalityBalance::ZoneAware(_) if hashing => Places::One,
            LocalityBalance::Weighted => {
                let mut names: Vec<Name> = all.iter().map(|m| m.locality.clone()).collect();
                names.sort_unstable();
                names.dedup();
                let mut groups = Vec::new();
                let mut weights = Vec::new();
                for name in names {
                    let total = all.iter().filter(|m| m.locality == name).count();
                    let usable: Vec<Member> = healthy
                        .iter()
                        .filter(|m| m.locality == name)
                        .cloned()
                        .collect();
                    let weight = set
                        .locality_weights
                        .iter()
                        .find(|(l, p, _)| *l == name && *p == number)
                        .map_or(0, |(_, _, w)| *w);
                    let available = usable.len() as f64 / total.max(1) as f64
                        * f64::from(config.overprovisioning)
                        / 100.0;
                    let effective = f64::from(weight) * available.min(1.0);
                    if effective > 0.0 {
                        groups.push(group(usable, (number, Some(name), true)));
                        weights.push(effective);
                    }
                }
                let seed = self.key.bits(Purpose::Locality, u32::from(number));
                let schedule = Edf::after_picks(weights.len(), |i| weights[i], seed as u32);
                Places::Weighted {
                    groups,
                    schedule,
                    weights,
                }
            }
            LocalityBalance::ZoneAware(zones) => {
                zone_groups(zones, locality, number, &healthy, &mut group)
            }
        };
        LevelState {
            counts,
            all: group(all, (number, None, false)),
            healthy: group(healthy, (number, None, true)),
            places,
        }
    }

    /// The endpoint for one try; none: none may be used.
    #[inline(always)]
    pub fn choose(&mut self, words: &impl Words, choice: &Choice<'_>) -> Option<Chosen> {
        // a copy, so that the caller's need not lie in memory
        let choice = *choice;
        if self.plain {
            let (decay, slow_start) = (self.latency_decay, self.slow_start.as_ref());
            let group = &mut self.levels[0].healthy;
            let chosen = group.pick(words, choice, decay, slow_start)?;
            return Some(Chosen {
                slot: group.members[chosen].slot,
                candidates: group.members.len() as u32,
                panic: false,
            });
        }
        self.choose_place(words, choice)
    }

    /// [`Self::choose`] where there are several levels or localities, or panic.
    #[inline(never)]
    fn choose_place(&mut self, words: &impl Words, choice: Choice<'_>) -> Option<Chosen> {
        let number = self.choose_level(&choice)?;
        let panic = self.spread.panic[number];
        if panic && self.fail_on_panic {
            return None;
        }
        let Self {
            levels,
            latency_decay,
            slow_start,
            ..
        } = self;
        let level = &mut levels[number];
        let group = if panic || level.all.picker.keeps_order() {
            &mut level.all
        } else {
            match &mut level.places {
                Places::One => &mut level.healthy,
                Places::Weighted {
                    groups,
                    schedule,
                    weights,
                } => match schedule.pick(|i| weights[i]) {
                    Some(place) => &mut groups[place],
                    None => &mut level.healthy,
                },
                Places::Zones {
                    groups,
                    own,
                    split,
                    share,
                } => {
                    let place = choose_zone(*own, split, *share, choice.key);
                    match place.filter(|p| !groups[*p].members.is_empty()) {
                        Some(place) => &mut groups[place],
                        None => &mut level.healthy,
                    }
                }
            }
        };
        let chosen = group.pick(words, choice, *latency_decay, slow_start.as_ref())?;
        Some(Chosen {
            slot: group.members[chosen].slot,
            candidates: group.members.len() as u32,
            panic,
        })
    }

    fn choose_level(&self, choice: &Choice<'_>) -> Option<usize> {
        let load = &self.spread.load;
        if let [only] = load[..] {
            return (only > 0).then_some(0);
        }
        let hashing = self.levels.first()?.all.picker.is_hashing();
        let drawn = match choice.hash.filter(|_| hashing) {
            Some(hash) => hash % 100,
            // a hashing balancer stays in its level while it looks for another endpoint
            None if hashing => choice.key.below(Purpose::Priority, 0, 100),
            None => choice.key.below(Purpose::Priority, choice.rejected, 100),
        };
        // Envoy's ring and table do not ask for a retry's priorities
        let left_out = |i: usize| !hashing && choice.spent_priorities.contains(&(i as u8));
        self.spread.choose(drawn as u32, left_out)
    }

    /// Whether a priority besides these has endpoints that may be used.
    pub(crate) fn has_health_besides(&self, spent: &[u8]) -> bool {
        let mut health = self.spread.health.iter().enumerate();
        health.any(|(i, health)| *health > 0 && !spent.contains(&(i as u8)))
    }

    /// Whether there are no endpoints, well or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.counts.total == 0)
    }

    /// Whether any endpoint may be used now.
    #[must_use]
    pub fn has_any(&self) -> bool {
        let keeps = |l: &LevelState| l.all.picker.keeps_order();
        self.spread
            .load
            .iter()
            .zip(&self.levels)
            .any(|(load, level)| *load > 0 && (!keeps(level) || level.counts.healthy > 0))
    }
}

/// Groups by locality for zone-aware routing, or one group where it does not apply.
fn zone_groups(
    zones: &config::ZoneAware,
    locality: &str,
    number: u8,
    healthy: &[Member],
    group: &mut impl FnMut(Vec<Member>, GroupName) -> Group,
) -> Places {
    let own_members = healthy.iter().filter(|m| *m.locality == *locality).count() as u32;
    let forced = zones.force_local_min.is_some_and(|min| own_members >= min);
    if number > 0 || (!forced && (healthy.len() as u32) < zones.min_cluster_size) {
        return Places::One;
    }
    let mut names: Vec<Name> = healthy
        .iter()
        .map(|m| m.locality.clone())
        .chain(zones.callers.iter().map(|(name, _)| name.clone()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let Some(own) = names.iter().position(|name| **name == *locality) else {
        return Places::One;
    };
    let count = |name: &Name| healthy.iter().filter(|m| m.locality == *name).count() as u64;
    let upstreams: Vec<u64> = names.iter().map(count).collect();
    let callers: Vec<u64> = names
        .iter()
        .map(|name| {
            let of = zones.callers.iter().filter(|(n, _)| n == name);
            of.map(|(_, count)| u64::from(*count)).sum()
        })
        .collect();
    let split = if forced {
        Split {
            local: 10_000,
            residual: vec![0; names.len()],
        }
    } else {
        let Some(split) = split(own, &callers, &upstreams) else {
            return Places::One;
        };
        split
    };
    let groups = names
        .into_iter()
        .map(|name| {
            let members = healthy.iter().filter(|m| m.locality == name).cloned();
            group(members.collect(), (number, Some(name), true))
        })
        .collect();
    Places::Zones {
        groups,
        own,
        split,
        share: zones.enabled.as_fraction(),
    }
}

/// The locality for one try; none: any.
fn choose_zone(own: usize, split: &Split, share: f64, key: DrawKey) -> Option<usize> {
    if share < 1.0 && !key.chance(Purpose::Locality, 2, share) {
        return None;
    }
    if key.below(Purpose::Locality, 0, 10_000) < u64::from(split.local) {
        return Some(own);
    }
    random::weighted(split.residual.iter().copied(), key, Purpose::Locality)
}

/// The weights that localities have at a level, with their members; none: there are none.
fn locality_shares(
    set: &EndpointSet,
    number: u8,
    members: &[Member],
) -> Option<Vec<(u32, Vec<usize>)>> {
    let of_level = set.locality_weights.iter().filter(|(_, p, _)| *p == number);
    let shares: Vec<(u32, Vec<usize>)> = of_level
        .map(|(name, _, weight)| {
            let own = (0..members.len()).filter(|i| members[*i].locality == *name);
            (*weight, own.collect())
        })
        .collect();
    (!shares.is_empty()).then_some(shares)
}

#[cfg(test)]
mod tests;
