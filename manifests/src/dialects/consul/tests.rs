mod calls;
mod chains;
mod defaults;
mod harness;
mod inbound;
mod injection;
mod problems;
mod properties;
