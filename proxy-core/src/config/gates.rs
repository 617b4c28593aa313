//! What the requests of a route have to pass before they are sent on: limits by key, and the breaker of a gateway.

use super::{Cidr, Name};
use crate::breaker::Expression;
use crate::limit::delaying_bucket::DelayingBucket;
use crate::limit::leaky_bucket::LeakyBucket;
use crate::limit::windows::Windows;
use crate::origin::OriginId;
use crate::time::Duration;

/// One gate. Those of a route are passed in their order, after the filters of the listener and whatever the route then does; the first
/// that refuses answers.
#[derive(Clone, PartialEq, Debug)]
pub struct Gate {
    /// Names its state, which the workers of a process share and which outlives updates: gates of one name and kind share it, each
    /// going by its own numbers.
    pub name: Name,
    /// What it looks at.
    pub kind: GateKind,
    /// The status of its refusals. NGINX: 503; Kong, Traefik: 429; Traefik's breaker: 503.
    pub status: u16,
    /// Clients that pass without being counted, by the address that the node believes them to have (NGINX: `limit-whitelist`).
    pub exempt: Vec<Cidr>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What a gate looks at.
#[derive(Clone, PartialEq, Debug)]
pub enum GateKind {
    /// How often requests come.
    Rate {
        /// Which are too many.
        limit: RateLimit,
        /// Whose are counted together.
        key: GateKey,
    },
    /// How many are under way: an exchange has a seat from here to its end, however it ends. At 0 everything is refused.
    InFlight {
        /// So many at once for each key.
        most: u32,
        /// Whose are counted together.
        key: GateKey,
    },
    /// How those before went.
    Breaker(Breaker),
}

/// Which requests come too often.
#[derive(Clone, PartialEq, Debug)]
pub enum RateLimit {
    /// NGINX's: each bucket has to let a request pass, and what any of them refuses is counted by none. None at all refuse nothing.
    Leaky(Vec<LeakyBucket>),
    /// Traefik's: a request waits a little where it would be the next, else it is refused and told how long it would have been.
    Delaying(DelayingBucket),
    /// Kong's: so many from one turn of the clock to the next.
    Windows(Windows),
}

/// Whose requests are counted together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GateKey {
    /// Everybody's.
    All,
    /// Those of one client's address.
    ClientAddress {
        /// Which address that is.
        of: ClientOf,
        /// The bits of an IPv6 address that count; none: all (Traefik: `ipv6Subnet`).
        v6_prefix: Option<u8>,
    },
    /// Those with one entry of `x-forwarded-for`. Where there is no such entry, all without share one key.
    Forwarded {
        /// Which entry.
        entry: ForwardedEntry,
        /// The bits of an IPv6 address that count; none: all.
        v6_prefix: Option<u8>,
    },
    /// Those with one value of a header, by its lower-case name.
    Header {
        /// Which header.
        name: Box<str>,
        /// Where it is not there.
        absent: AbsentKey,
    },
    /// Those with one value of a cookie.
    Cookie {
        /// Which cookie.
        name: Box<str>,
        /// Where it is not there.
        absent: AbsentKey,
    },
    /// Those to one host, with its port if one was sent, as it was sent.
    Host,
    /// Those for this path (without query); of other paths those of one client's address (Kong: `limit_by: path`).
    Path(Box<str>),
}

/// Which address a client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ClientOf {
    /// The other end of its connection (Traefik).
    Connection,
    /// What the rules for heads believe of the request, where there are some (NGINX, Kong).
    Believed,
}

/// An entry of `x-forwarded-for`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForwardedEntry {
    /// The n-th from the right, from 1 (Traefik: `depth`).
    FromRight(u32),
    /// The rightmost that lies in none of these blocks (Traefik: `excludedIPs`).
    Outside(Vec<Cidr>),
}

/// What a request is counted under that lacks what it would be counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AbsentKey {
    /// With all others that lack it (Traefik).
    Shared,
    /// Under its client's address, as it is believed (Kong).
    Address,
    /// It passes uncounted (NGINX).
    Passes,
}

/// Traefik's circuit breaker: refuses everything for a while once an expression over the latest results holds, and then lets more and more
/// pass. Its state belongs to the process.
///
/// Source: vulcand/oxy 2.2 `cbreaker/cbreaker.go`; traefik `pkg/middlewares/circuitbreaker`.
#[derive(Clone, PartialEq, Debug)]
pub struct Breaker {
    /// What opens it; see [`Expression::parse`].
    pub expression: Expression,
    /// How long after one look at the expression the next may come; results alone are occasions. Traefik: 100 ms.
    pub check_period: Duration,
    /// How long it refuses everything. Traefik: 10 s.
    pub fallback: Duration,
    /// How long it then lets some pass, from none at first to half of them in the end. Traefik: 10 s.
    pub recovery: Duration,
}
