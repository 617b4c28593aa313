//! The examples that systems document, in our own words: what becomes of requests there, and what people are told.

mod asked;
mod emissary;
mod istio;
mod kong;
mod linkerd;
