//! What the writers of systems that are gateways alone have alike.

mod authority;
pub(crate) mod flat;
pub(crate) mod hosts;
pub(crate) mod ingress;
pub(crate) mod mesh;
pub(crate) mod overlap;
pub(crate) mod patterns;
pub(crate) mod plain;
pub(crate) mod retries;
pub(crate) mod rule;
pub(crate) mod services;
pub(crate) mod unsaid;
pub(crate) mod words;
