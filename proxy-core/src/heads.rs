//! Requests and responses as the core sees them: lent by the driver, never owned.

#[cfg(test)]
pub(crate) mod asked;
mod fields;
mod owned;

use core::net::SocketAddr;

pub use fields::{Field, FieldSet};
pub use owned::OwnedHead;

use crate::reply::BadHead;
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
    /// Whether `is` holds of one of a request header's values; none: the header is not there. Several lines of a header for which
    /// [`is_one_value`] holds are one value.
    fn any_value(&self, request: HeadId, name: &str, is: impl FnMut(&str) -> bool) -> Option<bool> {
        self.header(request, name).map(is)
    }
    /// The scheme that the request came with.
    fn scheme(&self, _request: HeadId) -> &str {
        "http"
    }
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
    /// As [`any_value`](Self::any_value), of a response header.
    fn any_response_value(
        &self,
        response: HeadId,
        name: &str,
        is: impl FnMut(&str) -> bool,
    ) -> Option<bool> {
        self.response_header(response, name).map(is)
    }
    /// What came of the request's head when [`Node::receive`](crate::node::Node::receive) had it; none: nobody gave it there.
    fn received(&self, _request: HeadId) -> Option<&Received> {
        None
    }
}

/// What a client asks for besides an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Default)]
pub enum Asks {
    /// Nothing.
    #[default]
    Nothing,
    /// That the connection speaks what `Upgrade` says from then on.
    Upgrade,
    /// That bytes are carried to the authority: a CONNECT.
    Connect,
}

/// What came of a request's head by the rules of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The client, as far as the head may be believed; its port is 0 where only its address is known.
    pub client: SocketAddr,
    /// Whether the client is one of one's own.
    pub internal: bool,
    /// Whether the head has control headers that have a say.
    pub controls: bool,
    /// Whether the client wants the request traced, and its id back.
    pub traced: bool,
    /// What the client asks for besides an answer, as far as it is heard.
    pub asks: Asks,
    /// Why it goes no further.
    pub refused: Option<BadHead>,
}

/// Headers whose lines are joined by commas as they come.
///
/// Source: Envoy 1.40, "HTTP header map info" that it logs when it starts, without what never comes twice.
const ONE_VALUE: [&str; 46] = [
    "accept",
    "accept-encoding",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "authentication",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "grpc-accept-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "origin",
    "pragma",
    "proxy-status",
    "referer",
    "server",
    "te",
    "user-agent",
    "vary",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Whether several lines of a header, by its lower-case name, count as one value with commas between. Of other headers each line
/// counts by itself.
#[must_use]
pub fn is_one_value(name: &str) -> bool {
    ONE_VALUE.binary_search(&name).is_ok() || name.starts_with("x-envoy-")
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
    /// The first edits where the header is there, else the second. What they do to it does not change which.
    IfPresent(Box<str>, Box<[Self]>, Box<[Self]>),
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
            | Self::IfPresent(name, _, _)
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
    /// The first value that the header has now.
    fn first(&self, name: &str) -> Option<&str>;

    /// As [`set`](Self::set), for a header that is known.
    fn set_field(&mut self, field: Field, value: &str) {
        self.set(field.name(), value);
    }

    /// As [`set_field`](Self::set_field), for a value that never changes.
    fn set_const(&mut self, field: Field, value: &'static str) {
        self.set(field.name(), value);
    }

    /// As [`set_field`](Self::set_field), for a number.
    fn set_number(&mut self, field: Field, value: u64) {
        self.set(field.name(), &value.to_string());
    }

    /// Adds to a header that is a list: all its values become one, `separator` before the new end.
    fn extend_field(&mut self, field: Field, _separator: &str, value: &str) {
        self.append(field.name(), value);
    }

    /// As [`remove`](Self::remove), for a header that is known.
    fn remove_field(&mut self, field: Field) {
        self.remove(field.name());
    }

    /// As [`has`](Self::has), for a header that is known.
    fn has_field(&self, field: Field) -> bool {
        self.has(field.name())
    }
}

/// How a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0, and what calls itself older.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// The head of a request that has just come, which is read and changed where it is.
pub trait ArrivingHead: HeadWriter {
    /// How it came.
    fn version(&self) -> Version;
    /// The method.
    fn method(&self) -> &str;
    /// The scheme, where one was sent.
    fn scheme(&self) -> Option<&str>;
    /// Replaces the scheme.
    fn set_scheme(&mut self, scheme: &'static str);
    /// The authority, where one was sent.
    fn authority(&self) -> Option<&str>;
    /// Path and query.
    fn path(&self) -> &str;
    /// Shows the lower-case name and the value of each header line.
    fn each_line(&self, see: impl FnMut(&str, &[u8]));
    /// The last value of a header.
    fn last(&self, field: Field) -> Option<&str>;
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
            Self::IfPresent(name, there, absent) => {
                let edits = if head.has(name) { there } else { absent };
                edits.iter().for_each(|edit| edit.apply(head));
            }
            Self::Remove(name) => head.remove(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of one header.
    struct Lines(Vec<String>);

    impl HeadWriter for Lines {
        fn set_path(&mut self, _: &str) {}
        fn set_authority(&mut self, _: &str) {}
        fn set(&mut self, _: &str, value: &str) {
            self.0 = vec![value.to_owned()];
        }
        fn append(&mut self, _: &str, value: &str) {
            self.0.push(value.to_owned());
        }
        fn remove(&mut self, _: &str) {
            self.0.clear();
        }
        fn has(&self, _: &str) -> bool {
            !self.0.is_empty()
        }
        fn first(&self, _: &str) -> Option<&str> {
            self.0.first().map(String::as_str)
        }
    }

    #[test]
    fn edits_by_presence_go_by_what_was_there_before_them() {
        let set = |value: &str| HeaderOp::Set("x-a".into(), value.into());
        let append = |value: &str| HeaderOp::Append("x-a".into(), value.into());
        let edit = HeaderOp::IfPresent(
            "x-a".into(),
            Box::new([HeaderOp::Remove("x-a".into()), append("2")]),
            Box::new([set("3"), append("4")]),
        );
        for (before, after) in [(&["1"][..], &["2"][..]), (&[], &["3", "4"])] {
            let mut lines = Lines(before.iter().map(|v| (*v).to_owned()).collect());
            edit.apply(&mut lines);
            assert_eq!(lines.0, after);
        }
    }

    #[test]
    fn lines_of_some_headers_are_one_value() {
        assert!(ONE_VALUE.is_sorted());
        for (name, want) in [
            ("content-type", true),
            ("accept", true),
            ("x-envoy-max-retries", true),
            ("x-a", false),
            ("cookie", false),
        ] {
            assert_eq!(is_one_value(name), want, "{name}");
        }
    }

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
