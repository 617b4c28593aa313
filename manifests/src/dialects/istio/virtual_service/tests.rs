mod fields;
mod harness;
mod precedence;
