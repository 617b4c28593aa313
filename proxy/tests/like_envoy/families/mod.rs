//! Kinds of cases.

pub(crate) mod crowds;
pub(crate) mod draws;
pub(crate) mod endpoints;
pub(crate) mod faults;
pub(crate) mod limits;
pub(crate) mod matchers;
pub(crate) mod outlier;
pub(crate) mod rate_limits;
pub(crate) mod retries;
pub(crate) mod routing;
pub(crate) mod timeouts;
pub(crate) mod upgrades;
pub(crate) mod words;
