mod connections;
mod delegation;
mod fields;
mod harness;
mod precedence;
mod problems;
mod properties;
