mod harness;
mod inbound;
mod injection;
mod outbound;
mod properties;
mod rules;
mod scopes;
