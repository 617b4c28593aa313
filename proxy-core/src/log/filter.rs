//! Which records a log has.

use crate::config::{HeaderMatch, Share};
use crate::draw::{DrawKey, Purpose};
use crate::heads::Heads;
use crate::reply::Flags;
use crate::route::RequestView;
use crate::time::Duration;

/// How a number is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Relation {
    /// It is this.
    Equal,
    /// It is another.
    Unequal,
    /// It is this or more.
    AtLeast,
    /// It is this or less.
    AtMost,
}

/// A condition on a number.
///
/// Source: Envoy v3 `ComparisonFilter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Comparison {
    /// How it is compared.
    pub relation: Relation,
    /// With what.
    pub with: u64,
}

impl Comparison {
    /// Whether it holds of `number`.
    #[must_use]
    pub const fn holds(self, number: u64) -> bool {
        match self.relation {
            Relation::Equal => number == self.with,
            Relation::Unequal => number != self.with,
            Relation::AtLeast => number >= self.with,
            Relation::AtMost => number <= self.with,
        }
    }
}

/// Which records a log has.
///
/// Source: Envoy v3 `AccessLogFilter`.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// By the status; 0 where none was sent.
    Status(Comparison),
    /// By the whole time, in milliseconds.
    Duration(Comparison),
    /// This share of them; each filter draws for itself under its number.
    Share(Share, u32),
    /// All of these must hold.
    All(Vec<Self>),
    /// One of these must hold.
    Any(Vec<Self>),
    /// By a header of the request.
    Header(HeaderMatch),
    /// By flags: one of these, or any flag at all where none is named.
    Flags(Flags),
    /// By the gRPC status.
    Grpc {
        /// These.
        statuses: Vec<u32>,
        /// Whether all but these.
        others: bool,
    },
}

/// An exchange that is over, as filters see it.
#[derive(Clone, Copy)]
pub struct Exchanged<'a, H> {
    /// Its status.
    pub status: u16,
    /// Its flags.
    pub flags: Flags,
    /// How long it took.
    pub took: Duration,
    /// What its response said of gRPC.
    pub grpc: Option<u32>,
    /// Its request; none: it was no HTTP.
    pub request: Option<RequestView<'a, H>>,
    /// Names its draws.
    pub key: DrawKey,
}

impl LogFilter {
    /// Whether an exchange passes.
    pub fn passes<H: Heads>(&self, it: &Exchanged<'_, H>) -> bool {
        match self {
            Self::Status(by) => by.holds(u64::from(it.status)),
            Self::Duration(by) => by.holds(it.took.as_millis()),
            Self::Share(share, number) => {
                it.key
                    .chance(Purpose::AccessLog, *number, share.as_fraction())
            }
            Self::All(all) => all.iter().all(|each| each.passes(it)),
            Self::Any(any) => any.iter().any(|each| each.passes(it)),
            Self::Header(condition) => it.request.is_some_and(|view| view.matches(condition)),
            Self::Flags(Flags::NONE) => it.flags != Flags::NONE,
            Self::Flags(flags) => it.flags.intersects(*flags),
            Self::Grpc { statuses, others } => {
                let status = it
                    .grpc
                    .unwrap_or_else(|| crate::reply::grpc_status(it.status));
                statuses.contains(&status) != *others
            }
        }
    }
}
