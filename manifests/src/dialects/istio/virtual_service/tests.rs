mod connections;
mod cors;
mod delegation;
mod fields;
mod harness;
mod precedence;
mod problems;
mod properties;
