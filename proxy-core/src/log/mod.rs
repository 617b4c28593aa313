//! Access logs: which exchanges and connections are told of, where, and in which words.
//!
//! A node decides whether a log has a record of an exchange ([`LogFilter`]) and what the record says ([`LogRecord`]); a driver
//! puts it into words as the log's [`Format`] has them, and writes it.
//!
//! Source: Envoy v3 `AccessLog`, `AccessLogFilter`, `SubstitutionFormatString`; 1.40 for what it does with them.

mod filter;
mod format;
mod operator;
mod parse;
mod record;
mod strftime;

use std::sync::Arc;

pub use filter::{Comparison, Exchanged, LogFilter, Relation};
pub use format::{Field, Format, Layout, Piece, Shape, Template};
pub use operator::{
    AddressPart, Certificate, End, GrpcForm, HeaderBytes, Moment, Operator, PathKind, Subject,
    TimeUnit, TlsFact, Wanted, Whose,
};
pub use parse::{FormatError, Parsed, Unmodelled, parse};
pub use record::{LogKind, LogRecord, Moments};
pub use strftime::{Fill, TimeFormat, TimeNumber, TimePiece};

use crate::config::Name;
use crate::origin::OriginId;

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where its lines go.
    pub sink: LogSink,
    /// Which records it has; none: all.
    pub filter: Option<LogFilter>,
    /// How its lines look.
    pub format: Format,
    /// The rule that made it.
    pub origin: OriginId,
}

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum LogSink {
    /// To the end of the file of this path.
    File(Name),
    /// To the standard output.
    Stdout,
    /// To the standard error.
    Stderr,
}

/// The logs of one place of a configuration; by default there are none, and nothing is done for them.
#[derive(Clone, Debug, Default)]
pub struct Logs(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    all: Vec<AccessLog>,
    wants: Wants,
}

/// What a driver has to keep of an exchange until its record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// The head of the response as it was sent.
    pub response: bool,
    /// The response's trailers.
    pub trailers: bool,
}

impl Wants {
    /// What either of both wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            response: self.response || other.response,
            trailers: self.trailers || other.trailers,
        }
    }
}

impl Logs {
    /// These logs.
    #[must_use]
    pub fn new(all: Vec<AccessLog>) -> Self {
        if all.is_empty() {
            return Self(None);
        }
        let wants = all.iter().map(|log| log.format.wants());
        let wants = wants.fold(Wants::default(), Wants::or);
        Self(Some(Arc::new(Kept { all, wants })))
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All of them, in their order.
    #[must_use]
    pub fn all(&self) -> &[AccessLog] {
        self.0.as_deref().map_or(&[], |kept| &kept.all)
    }

    /// What a driver has to keep for them.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.0
            .as_deref()
            .map_or_else(Wants::default, |kept| kept.wants)
    }
}
