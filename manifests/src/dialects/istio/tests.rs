mod harness;
mod inbound;
mod injection;
mod outbound;
mod problems;
mod properties;
mod rules;
mod scopes;
