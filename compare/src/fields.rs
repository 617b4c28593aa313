//! What is compared: every field that decides something, in words, with the rule that set it.

mod clusters;
mod connections;
mod effects;
mod ejection;
mod filters;
mod forward;
mod gates;
mod heads;
mod retry;
mod words;

pub(crate) use clusters::{clusters, tls_by_endpoint};
pub(crate) use connections::{http, listener, tcp, udp};
pub(crate) use effects::{departures, redirects};
pub(crate) use filters::{direct, filters, filters_key};
pub(crate) use forward::forward;
pub(crate) use words::shares;
