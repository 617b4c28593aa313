//! Requests and responses as the core sees them: lent by the driver, never owned.

use crate::route::SPENT;

/// A message head that the driver keeps until its exchange ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct HeadId(pub u32);

/// The heads in flight. Header names are asked for in lower case; of a repeated header the first value is given.
pub trait Heads {
    /// The request's method, for example `GET`.
    fn method(&self, request: HeadId) -> &str;
    /// The authority (`Host`), with its port if one was sent.
    fn authority(&self, request: HeadId) -> &str;
    /// Path and query as sent.
    fn path(&self, request: HeadId) -> &str;
    /// The first value of a request header.
    fn header(&self, request: HeadId, name: &str) -> Option<&str>;
    /// Whether the request may carry a header for which [`is_control`] holds; false spares the node their look-up.
    fn has_controls(&self, _request: HeadId) -> bool {
        true
    }
    /// The response's status code.
    fn status(&self, response: HeadId) -> u16;
    /// Whether the response may carry a header for which [`is_retry_mark`] holds; false spares the node their look-up.
    fn has_retry_marks(&self, _response: HeadId) -> bool {
        true
    }
    /// The first value of a response header.
    fn response_header(&self, response: HeadId, name: &str) -> Option<&str>;
}

/// Whether a request header, by its lower-case name, tells a proxy what to do: Envoy's control headers of timeouts and retries.
///
/// Those that only tell the upstream something (`x-envoy-attempt-count`) are none, nor are those of the fault filter.
#[must_use]
pub fn is_control(name: &str) -> bool {
    SPENT.contains(&name)
}

/// Whether a response header, by its lower-case name, has a say in whether the response is retried, whatever the policy.
#[must_use]
pub fn is_retry_mark(name: &str) -> bool {
    matches!(name, "grpc-status" | "x-envoy-ratelimited")
}

/// One pending edit of a head's fields.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum HeaderOp {
    /// Replaces every value of the header, or adds it.
    Set(Box<str>, Box<str>),
    /// Adds one more value.
    Append(Box<str>, Box<str>),
    /// Adds the header only where it is absent.
    AddIfAbsent(Box<str>, Box<str>),
    /// Removes every value.
    Remove(Box<str>),
}

impl HeaderOp {
    /// The lower-case name of the header that this edit touches.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Set(name, _)
            | Self::Append(name, _)
            | Self::AddIfAbsent(name, _)
            | Self::Remove(name) => name,
        }
    }
}

/// What a driver applies an edited head to: its own wire head, or a simulator's interned template.
pub trait HeadWriter {
    /// Replaces path and query.
    fn set_path(&mut self, path: &str);
    /// Replaces the authority.
    fn set_authority(&mut self, authority: &str);
    /// Replaces every value of a header, or adds it.
    fn set(&mut self, name: &str, value: &str);
    /// Adds one more value of a header.
    fn append(&mut self, name: &str, value: &str);
    /// Removes every value of a header.
    fn remove(&mut self, name: &str);
    /// Whether the header is there now.
    fn has(&self, name: &str) -> bool;
}

impl HeaderOp {
    /// Carries the edit out on `head`.
    pub fn apply(&self, head: &mut impl HeadWriter) {
        match self {
            Self::Set(name, value) => head.set(name, value),
            Self::Append(name, value) => head.append(name, value),
            Self::AddIfAbsent(name, value) => {
                if !head.has(name) {
                    head.set(name, value);
                }
            }
            Self::Remove(name) => head.remove(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_headers_are_those_that_tell_the_proxy_something() {
        let rows = [
            ("x-envoy-upstream-rq-timeout-ms", true),
            ("x-envoy-upstream-rq-timeout-alt-response", true),
            ("x-envoy-upstream-rq-per-try-timeout-ms", true),
            ("x-envoy-hedge-on-per-try-timeout", true),
            ("x-envoy-retry-on", true),
            ("x-envoy-retry-grpc-on", true),
            ("x-envoy-max-retries", true),
            ("x-envoy-retriable-header-names", true),
            ("x-envoy-retriable-status-codes", true),
            ("x-envoy-attempt-count", false),
            ("x-envoy-expected-rq-timeout-ms", false),
            ("x-request-id", false),
        ];
        for (name, want) in rows {
            assert_eq!(is_control(name), want, "{name}");
        }
    }
}
