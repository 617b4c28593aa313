//! Who sends requests, resolved. When they come is [`crate::arrivals`].

use std::sync::Arc;

use manifests::text::Span;
use proxy_core::draw::{DrawKey, Purpose};
use proxy_core::time::{Duration, Time};

use super::ids::{DistId, PolicyId, RequestId, WorkloadId};

/// A stream of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub name: Box<str>,
    pub via: Via,
    /// What is asked for; of a trace the requests that occur in it.
    pub mix: Vec<Mixed>,
    pub process: Process,
    pub client: Client,
    /// Windows in which the load is multiplied, in the order of the faults.
    pub surges: Vec<Surge>,
    /// Where it is written.
    pub span: Span,
}

/// Where requests enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// This gateway as `namespace/name` or `name`; none: the one that takes the request's host.
    Gateway(Option<Box<str>>),
    /// Straight to the Service of the host, by a client without a proxy.
    Direct,
    /// From the pods of this workload, through its sidecar if it has one.
    Workload(WorkloadId),
}

/// One kind of request of a mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    /// The shares of this and all before it; 1 at the last.
    pub cumulative: f64,
    pub request: RequestId,
}

/// When requests come.
#[derive(Clone, Debug, PartialEq)]
pub enum Process {
    /// On their own, at a rate that changes in straight lines.
    Open {
        arrivals: Arrivals,
        /// One after the other from the start, without gaps.
        stages: Arc<[Stage]>,
    },
    /// Each user sends the next request after the answer and a think time.
    Closed { users: u32, think: Option<DistId> },
    /// As a file says; in the order of time.
    Trace(Arc<[TraceRow]>),
}

/// How open arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other.
    Poisson,
    /// Evenly.
    Constant,
}

/// A time during which the rate changes in a straight line; rates per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub from: f64,
    pub to: f64,
    pub lasts: Duration,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    pub at: Time,
    pub request: RequestId,
}

/// A window in which the load is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surge {
    pub from: Time,
    pub until: Time,
    pub factor: f64,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Client {
    pub protocol: Protocol,
    /// None: as many as needed.
    pub connections: Option<u32>,
    pub policy: PolicyId,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One request a connection at a time.
    Http1,
    /// Many requests a connection at once.
    Http2,
}

impl Load {
    /// The root of the load's draws under a run's `root`: from its name, so that another load beside it changes nothing.
    #[must_use]
    pub fn key(&self, root: DrawKey) -> DrawKey {
        // FNV-1a, 64 bits: names are few, and the draw's own mixing does the rest.
        let hash = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        root.child(hash)
    }

    /// Which request of the mix the arrival under `key` is.
    #[must_use]
    pub fn pick(&self, key: DrawKey) -> RequestId {
        let last = self.mix.len() - 1;
        if last == 0 {
            return self.mix[0].request;
        }
        let u = key.unit(Purpose::RequestMix, 0);
        let at = self.mix.partition_point(|mixed| mixed.cumulative <= u);
        self.mix[at.min(last)].request
    }
}
