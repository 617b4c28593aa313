//! Kinds of cases.

pub(crate) mod crowds;
pub(crate) mod draws;
pub(crate) mod endpoints;
pub(crate) mod matchers;
pub(crate) mod retries;
pub(crate) mod routing;
pub(crate) mod words;
