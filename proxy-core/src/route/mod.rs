//! Which route takes a request, and how the request leaves.

mod draft;
mod edits;
mod matching;

pub(crate) use draft::Draft;
pub use edits::{Copied, Departure, redirect_location, write_request, write_response};
pub(crate) use edits::{SPENT, spends_controls};
pub(crate) use matching::query_value;
pub use matching::{RequestView, find_route, find_route_for, header_matches, matched_prefix_len};

/// Splits a path from its query: the path without `?`, and the query without `?` if there is one.
#[must_use]
pub fn split_query(path: &str) -> (&str, Option<&str>) {
    match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests;
