//! Where a value came from: every policy value carries the rule that set it, so that each decision can name it.

use core::fmt;

/// A row of the table of origins that whoever compiled the configuration keeps (file and line, or whose default).
///
/// The core only carries it around. [`OriginId::NONE`] is for values nobody set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OriginId(pub u32);

impl OriginId {
    /// No rule: the behaviour is the proxy's own.
    pub const NONE: Self = Self(0);
}

impl fmt::Debug for OriginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin#{}", self.0)
    }
}

/// A value and the rule that set it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sourced<T> {
    /// What applies.
    pub value: T,
    /// Who says so.
    pub origin: OriginId,
}

impl<T> Sourced<T> {
    /// `value`, set by `origin`.
    pub const fn new(value: T, origin: OriginId) -> Self {
        Self { value, origin }
    }

    /// `value`, set by no rule.
    pub const fn unsourced(value: T) -> Self {
        Self {
            value,
            origin: OriginId::NONE,
        }
    }
}
