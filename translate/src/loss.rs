//! What a target cannot say.

use compare::Area;
use manifests::model::{GatewayId, ServiceId, WorkloadId};
use proxy_core::origin::OriginId;

/// A rule, or a part of one, that the target has no means for.
///
/// A loss explains the differences of its area that are found when the written manifests are read again. One that explains none is told all the
/// same: comparing sees what proxies decide, and not everything that they do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Loss {
    /// Whose behaviour it changes.
    pub reach: Reach,
    /// What it is about: differences of these areas are its doing.
    pub areas: Vec<Area>,
    /// Whether it is a whole rule, or its place among others: what its requests have by another rule is its doing, too.
    pub whole_rule: bool,
    /// The rule that set what is lost.
    pub rule: OriginId,
    /// What is lost, as a person would say it: `retries of POST requests`.
    pub what: String,
    /// Why the target cannot say it.
    pub why: String,
    /// What was written in its place; empty: nothing.
    pub nearest: String,
}

/// Whose behaviour a loss changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Reach {
    /// Every proxy's.
    Everywhere,
    /// A gateway's.
    Gateway(GatewayId),
    /// That of callers of a Service, gateways among them.
    Service(ServiceId),
    /// That of a server's own proxies.
    Workload(WorkloadId),
}

impl Loss {
    /// Something that is lost with nothing in its place.
    #[must_use]
    pub fn new(
        reach: Reach,
        area: Area,
        rule: OriginId,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            reach,
            areas: vec![area],
            whole_rule: false,
            rule,
            what: what.into(),
            why: why.into(),
            nearest: String::new(),
        }
    }

    /// Says that differences of another area come from it, too.
    #[must_use]
    pub fn also(mut self, area: Area) -> Self {
        if !self.areas.contains(&area) {
            self.areas.push(area);
        }
        self
    }

    /// Says that it is a whole rule that is lost, or its place among others: requests of its go by another one, which may do anything otherwise.
    #[must_use]
    pub fn of_rule(mut self) -> Self {
        self.whole_rule = true;
        [Area::Destination, Area::Answer, Area::Redirect]
            .into_iter()
            .fold(self, Self::also)
    }

    /// Says what was written in its place.
    #[must_use]
    pub fn nearest(mut self, nearest: impl Into<String>) -> Self {
        self.nearest = nearest.into();
        self
    }
}
