//! How long messages take, and what faults do to them.

use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};
use scenarios::distribution::Distribution;
use scenarios::plan::{Network, Peer, Plan, Select};

use super::World;
use super::parts::{Conn, Distance, OUTSIDE};

/// TCP sends a lost segment again after this long, then after twice as long, and so on. Source: Linux `TCP_RTO_MIN`.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// The longest pause between two tries. Source: Linux `TCP_RTO_MAX`.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Latencies, and the faults in force.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    legs: [Leg; 4],
    is_free: bool,
    loss: f64,
    /// Faults of connections in force.
    pub(crate) troubles: Vec<Trouble>,
}

#[derive(Clone, Debug)]
enum Leg {
    Constant(Duration),
    Drawn(Distribution),
}

/// One fault of connections.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// Its place in the plan's faults.
    pub(crate) number: u32,
    /// Whose connections; none: those of `pods`, either way.
    pub(crate) edge: Option<(Peer, Peer)>,
    /// The pods that it selects, by number; only without an edge.
    pub(crate) pods: Vec<u32>,
    pub(crate) delay: Option<Distribution>,
    pub(crate) loss: f64,
    /// Nothing gets through until then.
    pub(crate) cut_until: Option<Time>,
    pub(crate) reset: f64,
    pub(crate) blackhole: f64,
}

impl Trouble {
    pub(crate) const fn new(number: u32, edge: Option<(Peer, Peer)>, pods: Vec<u32>) -> Self {
        Self {
            number,
            edge,
            pods,
            delay: None,
            loss: 0.0,
            cut_until: None,
            reset: 0.0,
            blackhole: 0.0,
        }
    }
}

impl Net {
    pub(crate) fn new(plan: &Plan) -> Self {
        let Network {
            same_node,
            same_zone,
            cross_zone,
            external,
            loss,
            is_free,
        } = plan.network;
        let leg = |id| {
            let shape = plan.program.distribution(id);
            if shape.cv() == 0.0 {
                Leg::Constant(shape.sample(0.5))
            } else {
                Leg::Drawn(shape.clone())
            }
        };
        Self {
            legs: [same_node, same_zone, cross_zone, external].map(leg),
            is_free,
            loss,
            troubles: Vec::new(),
        }
    }

    /// Whether messages take no time at all.
    #[inline]
    pub(crate) const fn is_instant(&self) -> bool {
        self.is_free && self.is_quiet()
    }

    /// Whether messages only take their time.
    #[inline]
    pub(crate) const fn is_quiet(&self) -> bool {
        self.troubles.is_empty() && self.loss == 0.0
    }

    #[inline]
    pub(crate) fn latency(&self, distance: Distance, key: DrawKey, index: u32) -> Duration {
        if self.is_free {
            return Duration::ZERO;
        }
        let leg = match distance {
            Distance::SamePod => return Duration::ZERO,
            Distance::SameNode => &self.legs[0],
            Distance::SameZone => &self.legs[1],
            Distance::CrossZone => &self.legs[2],
            Distance::External => &self.legs[3],
        };
        match leg {
            Leg::Constant(latency) => *latency,
            Leg::Drawn(shape) => shape.sample(key.unit(Purpose::NetworkLatency, index)),
        }
    }
}

impl World<'_> {
    /// When a message arrives while the network loses or delays some; none: never.
    #[cold]
    pub(super) fn troubled(&self, conn: &Conn, at: Time, key: DrawKey, index: u32) -> Option<Time> {
        let mut extra = Duration::ZERO;
        let mut kept = 1.0 - self.net.loss;
        let mut cut: Option<Time> = None;
        for trouble in self.net.troubles.iter().filter(|t| self.touches(t, conn)) {
            if let Some(delay) = &trouble.delay {
                let u = key.unit(
                    Purpose::NetworkLatency,
                    1_000 + trouble.number * 1_000 + index,
                );
                extra += delay.sample(u);
            }
            kept *= 1.0 - trouble.loss;
            cut = cut.max(trouble.cut_until);
        }
        let mut leaves = at;
        let mut pause = RETRANSMISSION;
        if let Some(until) = cut {
            if until == Time::MAX {
                return None;
            }
            while leaves < until {
                leaves += pause;
                pause = (pause + pause).min(LONGEST_PAUSE);
            }
        }
        let mut number = 0;
        while kept < 1.0
            && number < 15
            && key.chance(Purpose::NetworkLoss, index * 16 + number, 1.0 - kept)
        {
            leaves += pause;
            pause = (pause + pause).min(LONGEST_PAUSE);
            number += 1;
        }
        Some(leaves + self.net.latency(conn.distance, key, index) + extra)
    }

    /// Whether a fault of connections strikes this one.
    pub(super) fn touches(&self, trouble: &Trouble, conn: &Conn) -> bool {
        if conn.from == conn.to {
            return false;
        }
        match trouble.edge {
            Some((from, to)) => {
                self.is_peer(from, conn.from, conn.load) && self.is_peer(to, conn.to, OUTSIDE)
            }
            None => trouble.pods.contains(&conn.from) || trouble.pods.contains(&conn.to),
        }
    }

    /// Whether nothing gets from one pod to another at present.
    pub(super) fn is_cut_off(&self, from: u32, to: u32) -> bool {
        self.net.troubles.iter().any(|trouble| {
            let among = |pod: &u32| trouble.pods.contains(pod);
            trouble.cut_until.is_some() && trouble.edge.is_none() && (among(&from) || among(&to))
        })
    }

    fn is_peer(&self, peer: Peer, pod: u32, load: u32) -> bool {
        match peer {
            Peer::Workload(workload) => {
                pod != OUTSIDE && self.pods[pod as usize].workload == workload.0
            }
            Peer::Load(id) => pod == OUTSIDE && load == id.0,
            Peer::Gateways => pod != OUTSIDE && self.pods[pod as usize].gateway.is_some(),
        }
    }

    /// The pods that a fault selects at this moment, by number.
    pub(super) fn selected(&self, select: &Select, name: &str) -> Vec<u32> {
        let fits = |number: &u32| {
            let pod = &self.pods[*number as usize];
            !pod.gone
                && select.workload.is_none_or(|w| w.0 == pod.workload)
                && select.version.is_none_or(|v| v as u32 == pod.version)
                && select.zone.is_none_or(|zone| zone == pod.zone)
                && select.node.is_none_or(|node| node == pod.node)
        };
        let all: Vec<u32> = (0..self.pods.len() as u32).filter(fits).collect();
        let wanted = select.pods.of(all.len());
        if wanted == all.len() {
            return all;
        }
        let key = self.root.child(hash_of(name));
        let mut ranked: Vec<(u64, u32)> = all
            .into_iter()
            .map(|pod| {
                let state = &self.pods[pod as usize];
                let own = key
                    .child(u64::from(state.workload))
                    .child(u64::from(state.ordinal));
                (own.bits(Purpose::FaultSelection, 0), pod)
            })
            .collect();
        ranked.sort_unstable();
        let mut chosen: Vec<u32> = ranked
            .into_iter()
            .take(wanted)
            .map(|(_, pod)| pod)
            .collect();
        chosen.sort_unstable();
        chosen
    }
}

/// Tells names apart. FNV-1a, 64 bits.
#[must_use]
pub fn hash_of(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
