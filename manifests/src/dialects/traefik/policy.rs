//! What was read, checked and resolved: the routers of one Traefik.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proxy_core::config::{Balancer, Cidr, Cors, GateKind, Name, RetryPolicy, Session};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;
use proxy_core::{health, passive};

use super::rules::normal::Alternative;
use super::rules::{Matcher, Pattern, TcpMatcher};
use crate::load::ObjectKey;
use crate::model::ServiceId;

/// Everything that one Traefik serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    /// HTTP routers, those whose priority is highest first, and of equal ones in the order written.
    pub(super) routers: Vec<Router>,
    /// TCP routers, in the same order.
    pub(super) tcp: Vec<TcpRouter>,
    /// UDP routers, in the order written.
    pub(super) udp: Vec<UdpRouter>,
    /// The Secrets with certificates, `namespace/name`.
    pub(super) certificates: Vec<Name>,
    /// The one for names that no certificate has.
    pub(super) default_certificate: Option<Name>,
    /// Protocols offered in TLS, where the default TLSOption says.
    pub(super) alpn: Option<Vec<String>>,
    /// Middlewares of entry points by their name; none: one of them cannot be made, which unmakes all routers there.
    pub(super) entry_steps: BTreeMap<String, Option<Vec<Step>>>,
    /// Middlewares that routers have.
    pub(super) used: BTreeSet<ObjectKey>,
    /// Ingresses that it serves, as `(namespace, name)`.
    pub(super) ingresses: Vec<(String, String)>,
}

/// An HTTP router.
#[derive(Clone, Debug)]
pub(super) struct Router {
    /// As people know it: `default/web Host(…)`.
    pub(super) name: Name,
    /// What names the state of its middlewares.
    pub(super) key: Name,
    /// Which requests it takes.
    pub(super) alternatives: Vec<Alternative<Matcher>>,
    /// Higher is asked first.
    pub(super) priority: i64,
    /// Entry points, in lower case; empty: the default ones.
    pub(super) entry_points: Vec<String>,
    /// Whether it serves TLS, and only that.
    pub(super) tls: Option<OriginId>,
    /// What is done on the way, in this order.
    pub(super) steps: Vec<Step>,
    /// Where it leads.
    pub(super) leads: Leads,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// Where a router leads.
#[derive(Clone, Debug)]
pub(super) enum Leads {
    /// To servers.
    To(Box<Target>),
    /// To other routers, of which none may take a request: it is 404 then.
    Further(Vec<Router>),
}

/// A middleware.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// `namespace/name`.
    pub(super) name: Name,
    /// What it does.
    pub(super) kind: StepKind,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// What a middleware does.
#[derive(Clone, Debug)]
pub(super) enum StepKind {
    /// Puts this before the path.
    AddPrefix(String),
    /// Takes the first of these that the path has off it.
    StripPrefix(Vec<String>),
    /// Takes what the first of these matches off the start of the path.
    StripPattern(Vec<Pattern>),
    /// Another path.
    ReplacePath(String),
    /// Another path by a pattern; `\1` stands for a group.
    ReplacePattern(Pattern, String),
    /// A redirect to another scheme, unless the request has it.
    RedirectScheme {
        /// The scheme.
        scheme: String,
        /// The port, unless it is the scheme's own.
        port: Option<u16>,
        /// Whether for good.
        permanent: bool,
    },
    /// A redirect where the whole URL matches; `\1` stands for a group.
    RedirectPattern {
        /// The pattern.
        pattern: Pattern,
        /// What its matches become.
        to: String,
        /// Whether for good.
        permanent: bool,
    },
    /// Edits of heads, and what pages of other origins may do.
    Headers(Box<HeaderRules>),
    /// Refuses clients that are in none of the blocks.
    Allow(Vec<Cidr>, u16),
    /// A gate.
    Gate(GateKind, u16),
    /// Tries again.
    Retry(Box<RetryPolicy>),
}

/// Edits of heads, and what pages of other origins may do.
#[derive(Clone, Debug, Default)]
pub(super) struct HeaderRules {
    /// Toward the server.
    pub(super) request: Vec<HeaderOp>,
    /// The Host that the server sees.
    pub(super) host: Option<String>,
    /// Toward the client.
    pub(super) response: Vec<HeaderOp>,
    /// The same, over TLS alone.
    pub(super) response_over_tls: Vec<HeaderOp>,
    /// What pages of other origins may do.
    pub(super) cors: Option<Cors>,
    /// Other hosts are answered 500; empty: all are served.
    pub(super) allowed_hosts: Vec<String>,
}

/// What a router or a share of it leads to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The servers of a Service.
    Servers(Box<Servers>),
    /// Several, by weight.
    Split {
        /// Each with its weight.
        parts: Vec<(Self, u32)>,
        /// Whether clients stay where they are.
        session: Option<Session>,
    },
    /// One that answers, and others that get copies.
    Mirrored {
        /// The one.
        main: Box<Self>,
        /// The others, with their share in per cent.
        copies: Vec<(Self, Sourced<u32>)>,
    },
}

/// The servers of a Service's port, and how they are used.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Servers {
    /// Where they are.
    pub(super) at: Place,
    /// What is spoken.
    pub(super) scheme: Sourced<Scheme>,
    /// Whether they see the client's Host.
    pub(super) keeps_host: Sourced<bool>,
    /// How one is chosen.
    pub(super) balancer: Sourced<Balancer>,
    /// Whether clients stay with one.
    pub(super) session: Option<Session>,
    /// Probes.
    pub(super) check: Option<Sourced<health::Check>>,
    /// What answers say of them.
    pub(super) passive: Option<Sourced<passive::Settings>>,
    /// How they are connected to.
    pub(super) transport: Connect,
    /// Where they are referred to.
    pub(super) origin: OriginId,
}

/// Where servers are.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Place {
    /// The pods behind a Service's port.
    Pods(ServiceId, u16),
    /// The Service's own address.
    Address(ServiceId, u16),
    /// Addresses of another name.
    Fixed(ServiceId, Vec<SocketAddr>, String),
}

/// What is spoken to servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    /// HTTP/1.1.
    Http,
    /// The same in TLS.
    Https,
    /// HTTP/2 in plaintext.
    H2c,
}

/// How servers are connected to.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Connect {
    /// Until a connection stands.
    pub(super) dial_timeout: Sourced<Duration>,
    /// Until the head of an answer has come; none: for ever.
    pub(super) response_header_timeout: Option<Sourced<Duration>>,
    /// Until an idle connection is closed.
    pub(super) idle_timeout: Sourced<Duration>,
    /// The server name sent; none: the Service's.
    pub(super) server_name: Option<String>,
    /// Secrets with the certificate that is shown.
    pub(super) certificates: Vec<Name>,
    /// Whose certificates are believed: Secrets and ConfigMaps, with whether they are the latter.
    pub(super) authorities: Vec<(Name, bool)>,
    /// Whether certificates are not looked at.
    pub(super) skips_verification: bool,
}

/// A TCP router.
#[derive(Clone, Debug)]
pub(super) struct TcpRouter {
    /// Which connections it takes.
    pub(super) alternatives: Vec<Alternative<TcpMatcher>>,
    /// Higher is asked first.
    pub(super) priority: i64,
    /// Entry points, in lower case; empty: the default ones.
    pub(super) entry_points: Vec<String>,
    /// What it does with TLS.
    pub(super) tls: TcpTls,
    /// Where it leads, by weight.
    pub(super) servers: Vec<(TcpServers, u32)>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// What a TCP router does with TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TcpTls {
    /// It takes connections without.
    None,
    /// It ends here.
    Ends,
    /// It ends at the server.
    Passes,
}

/// The servers of a TCP or UDP router.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TcpServers {
    /// Where they are.
    pub(super) at: Place,
    /// Whether they are spoken to in TLS.
    pub(super) tls: bool,
    /// Who the client is, ahead of a connection: version 1 or 2.
    pub(super) preface: Option<u8>,
    /// Until a connection stands.
    pub(super) dial_timeout: Sourced<Duration>,
    /// Where they are referred to.
    pub(super) origin: OriginId,
}

/// A UDP router.
#[derive(Clone, Debug)]
pub(super) struct UdpRouter {
    /// Entry points, in lower case; empty: all for datagrams.
    pub(super) entry_points: Vec<String>,
    /// Where it leads, by weight.
    pub(super) servers: Vec<(TcpServers, u32)>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

impl Target {
    /// Every part that answers, with its share of all as a weight.
    pub(super) fn leaves(&self) -> Vec<(&Servers, u64)> {
        match self {
            Self::Servers(servers) => vec![(servers, 1)],
            Self::Mirrored { main, .. } => main.leaves(),
            Self::Split { parts, .. } => {
                let inner: Vec<_> = parts.iter().map(|(part, _)| part.leaves()).collect();
                let total = |leaves: &[(&Servers, u64)]| leaves.iter().map(|(_, w)| w).sum::<u64>();
                let common = inner
                    .iter()
                    .map(|leaves| total(leaves).max(1))
                    .fold(1, common);
                let mut all = Vec::new();
                for ((_, weight), leaves) in parts.iter().zip(inner) {
                    let scale = u64::from(*weight).saturating_mul(common / total(&leaves).max(1));
                    let each = leaves.into_iter();
                    all.extend(each.map(|(leaf, share)| (leaf, share.saturating_mul(scale))));
                }
                reduced(all)
            }
        }
    }
}

/// A common multiple; where the least would be very large, shares are rounded.
fn common(a: u64, b: u64) -> u64 {
    const MOST: u64 = 1 << 40;
    let least = a / divisor(a, b) * b.min(MOST);
    least.min(MOST)
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { divisor(b, a % b) }
}

/// The same shares in the smallest numbers, which fit 32 bits together.
fn reduced(mut all: Vec<(&Servers, u64)>) -> Vec<(&Servers, u64)> {
    let by = all.iter().fold(0, |by, (_, weight)| divisor(*weight, by));
    let sum: u64 = all.iter().map(|(_, weight)| weight / by.max(1)).sum();
    let shift = (64 - sum.leading_zeros()).saturating_sub(31);
    for (_, weight) in &mut all {
        let exact = *weight / by.max(1);
        *weight = (exact >> shift).max(u64::from(exact > 0));
    }
    all
}
