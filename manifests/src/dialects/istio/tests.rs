mod harness;
mod inbound;
mod injection;
mod outbound;
mod rules;
mod scopes;
