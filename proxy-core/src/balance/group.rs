//! Candidates of one place with the picker that chooses among them.

use super::bounded_load::BoundedLoad;
use super::kong::{self, Wheel};
use super::least_request::{self, LeastRequest, Selection, Settings};
use super::maglev::Maglev;
use super::peak_ewma::{self, PeakEwma};
use super::ring_hash::RingHash;
use super::round_robin::RoundRobin;
use super::selector::{Choice, Member};
use super::traefik::{self, LatestTimes, LeastTime, Turns};
use super::weights::Normalized;
use super::{Hosts, nginx, random, slow_start};
use crate::config;
use crate::draw::{DrawKey, Purpose};
use crate::time::{Duration, Time};
use crate::words::Words;

/// Candidates with their picker.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) members: Vec<Member>,
    /// Weights of localities and the members of each, for tables over several.
    pub(super) weighted: Option<Vec<(u32, Vec<usize>)>>,
    pub(super) picker: Picker,
}

/// An endpoint picker and its state.
#[derive(Clone, Debug)]
pub(super) enum Picker {
    RoundRobin(RoundRobin),
    LeastRequest(LeastRequest),
    Random,
    RingHash(RingHash, Option<BoundedLoad>),
    Maglev(Maglev, Option<BoundedLoad>),
    PeakEwma,
    KongWheel(Wheel),
    KongLeastConnections,
    KongLatency,
    NginxEwma,
    TraefikTurns(Turns),
    TraefikTwoChoices,
    TraefikLeastTime(LeastTime),
    TraefikRendezvous,
}

impl Picker {
    pub(super) fn new(balancer: &config::Balancer, key: DrawKey) -> Self {
        let bounded = |bound: &Option<config::HashBalance>| {
            bound.as_ref().map(|b| BoundedLoad::new(b.factor))
        };
        match balancer {
            config::Balancer::RoundRobin => Self::RoundRobin(RoundRobin::new(key)),
            config::Balancer::LeastRequest {
                choices,
                bias,
                full_scan,
            } => {
                let settings = Settings {
                    selection: if *full_scan {
                        Selection::FullScan
                    } else {
                        Selection::Choices((*choices).max(1))
                    },
                    active_request_bias: *bias,
                };
                Self::LeastRequest(LeastRequest::new(settings, key))
            }
            config::Balancer::Random | config::Balancer::OriginalDestination => Self::Random,
            config::Balancer::RingHash {
                min_size,
                max_size,
                bound,
            } => Self::RingHash(RingHash::new(*min_size, *max_size), bounded(bound)),
            config::Balancer::Maglev { size, bound } => {
                Self::Maglev(Maglev::new(*size), bounded(bound))
            }
            config::Balancer::PeakEwma { .. } => Self::PeakEwma,
            config::Balancer::KongRing => Self::KongWheel(Wheel::new(key)),
            config::Balancer::KongLeastConnections => Self::KongLeastConnections,
            config::Balancer::KongLatency => Self::KongLatency,
            config::Balancer::NginxEwma => Self::NginxEwma,
            config::Balancer::TraefikTurns => Self::TraefikTurns(Turns::new(key)),
            config::Balancer::TraefikTwoChoices => Self::TraefikTwoChoices,
            config::Balancer::TraefikLeastTime => Self::TraefikLeastTime(LeastTime::new(key)),
            config::Balancer::TraefikRendezvous => Self::TraefikRendezvous,
        }
    }

    /// Whether the request's hash decides.
    pub(super) const fn is_hashing(&self) -> bool {
        matches!(self, Self::RingHash(..) | Self::Maglev(..))
    }

    /// Whether it keeps its order over unavailable candidates too.
    pub(super) const fn keeps_order(&self) -> bool {
        matches!(
            self,
            Self::KongWheel(_)
                | Self::KongLeastConnections
                | Self::KongLatency
                | Self::TraefikTurns(_)
        )
    }
}

/// Candidates with what this process shares about them.
struct View<'a, W> {
    members: &'a [Member],
    words: Option<&'a W>,
    latency_decay: Duration,
    slow_start: Option<&'a slow_start::SlowStart>,
    /// Whether response times are means, not estimates that decay.
    means: bool,
    now: Time,
}

impl<W: Words> Hosts for View<'_, W> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.members.len()
    }

    fn weight(&self, i: usize) -> u32 {
        self.members[i].weight
    }

    #[inline(always)]
    fn active(&self, i: usize) -> u64 {
        match self.words {
            Some(words) => words.get(self.members[i].active_at),
            None => 0,
        }
    }

    fn key(&self, i: usize) -> &str {
        &self.members[i].key
    }

    fn slow_start(&self, i: usize) -> f64 {
        self.slow_start
            .map_or(1.0, |s| s.factor(self.now.since(self.members[i].since)))
    }

    fn any_in_slow_start(&self) -> bool {
        self.slow_start.is_some_and(|s| {
            let starting = |m: &Member| self.now.since(m.since) < s.window;
            self.members.iter().any(starting)
        })
    }

    fn latency(&self, i: usize) -> f64 {
        self.words.map_or(0.0, |w| {
            if self.means {
                return LatestTimes::new(self.members[i].latency_at).mean(w);
            }
            let ewma = PeakEwma::new(self.members[i].latency_at);
            ewma.estimate(w, self.latency_decay, self.now)
        })
    }

    fn is_available(&self, i: usize) -> bool {
        self.members[i].available
    }
}

/// Kong's time constant.
///
/// Source: kong `kong/runloop/balancer/latency.lua` (`DECAY_TIME`).
pub(crate) const KONG_DECAY: Duration = Duration::from_secs(10);

impl Group {
    pub(super) fn has_same_keys(&self, members: &[Member]) -> bool {
        let same = |(a, b): (&Member, &Member)| a.key == b.key && a.weight == b.weight;
        self.members.len() == members.len() && self.members.iter().zip(members).all(same)
    }

    pub(super) fn refresh(
        &mut self,
        latency_decay: Duration,
        slow_start: Option<&slow_start::SlowStart>,
        now: Time,
    ) {
        let view: View<'_, Vec<u64>> = View {
            members: &self.members,
            words: None,
            latency_decay,
            slow_start,
            means: false,
            now,
        };
        let normalized = || match &self.weighted {
            Some(localities) => Normalized::by_locality(&view, localities),
            None => Normalized::flat(&view),
        };
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.refresh(&view),
            Picker::LeastRequest(picker) => picker.refresh(&view),
            Picker::RingHash(ring, bounded) => {
                let weights = normalized();
                ring.refresh(&view, &weights);
                if let Some(bounded) = bounded {
                    bounded.refresh(&weights);
                }
            }
            Picker::Maglev(table, bounded) => {
                let weights = normalized();
                table.refresh(&view, &weights);
                if let Some(bounded) = bounded {
                    bounded.refresh(&weights);
                }
            }
            Picker::KongWheel(wheel) => wheel.refresh(&view),
            Picker::TraefikTurns(turns) => turns.refresh(&view),
            Picker::TraefikLeastTime(least) => least.refresh(&view),
            Picker::Random
            | Picker::PeakEwma
            | Picker::KongLeastConnections
            | Picker::KongLatency
            | Picker::NginxEwma
            | Picker::TraefikTwoChoices
            | Picker::TraefikRendezvous => {}
        }
    }

    #[inline(always)]
    pub(super) fn pick<W: Words>(
        &mut self,
        words: &W,
        choice: Choice<'_>,
        latency_decay: Duration,
        slow_start: Option<&slow_start::SlowStart>,
    ) -> Option<usize> {
        let members = &self.members;
        let means = matches!(self.picker, Picker::TraefikLeastTime(_));
        let view = || View {
            members,
            words: Some(words),
            latency_decay,
            slow_start,
            means,
            now: choice.now,
        };
        // every rejection draws anew
        let key = if choice.rejected == 0 {
            choice.key
        } else {
            choice.key.child(u64::from(choice.rejected) << 32)
        };
        if let Picker::LeastRequest(picker) = &self.picker
            && let Some(choices) = picker.draws()
        {
            return least_request::fewest_of_draws(&view(), choices, key);
        }
        // another view, since what functions of their own look at has to lie in memory
        let (view, failed) = (view(), choice.failed);
        let failed = |i: usize| failed.contains(&members[i].slot.0);
        let hash = || {
            let fallback = || key.bits(Purpose::HashFallback, 0);
            choice.hash.unwrap_or_else(fallback)
        };
        let settle = |bounded: &Option<BoundedLoad>, hash: u64, first: usize| match bounded {
            Some(bounded) => bounded.settle(&view, choice.cluster_active, hash, first),
            None => first,
        };
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.pick(&view),
            Picker::LeastRequest(picker) => picker.pick(&view, key),
            Picker::Random => random::pick(&view, key),
            Picker::RingHash(ring, bounded) => {
                let hash = hash();
                let first = ring.pick(hash, choice.rejected)?;
                Some(settle(bounded, hash, first))
            }
            Picker::Maglev(table, bounded) => {
                let hash = hash();
                let first = table.pick(hash, choice.rejected)?;
                Some(settle(bounded, hash, first))
            }
            Picker::PeakEwma => peak_ewma::pick(&view, key),
            Picker::KongWheel(wheel) => wheel.pick(&view),
            Picker::KongLeastConnections => kong::least_connections(&view, failed),
            Picker::KongLatency => kong::latency(&view, failed),
            Picker::NginxEwma => nginx::ewma(&view, failed, key),
            Picker::TraefikTurns(turns) => turns.pick(&view),
            Picker::TraefikTwoChoices => traefik::two_choices(&view, key),
            Picker::TraefikLeastTime(least) => least.pick(&view),
            Picker::TraefikRendezvous => traefik::rendezvous(&view, hash()),
        }
    }
}
