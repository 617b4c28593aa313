//! What came of a request: what its upstreams saw of it, and its client.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Values of each header by its lower-case name, in the order in which they came.
pub(crate) type Headers = BTreeMap<String, Vec<String>>;

/// Header lines by name.
pub(crate) fn by_name<'a>(lines: impl IntoIterator<Item = &'a (String, String)>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        let values = headers.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.clone());
    }
    headers
}

/// What came of one request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) client: Client,
    /// Tries in the order in which they came to an upstream, then copies.
    pub(crate) tries: Vec<Try>,
    /// What the access log says of it; none: nothing.
    pub(crate) logged: Option<Logged>,
}

/// A line of the access log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Logged {
    pub(crate) flags: String,
    pub(crate) details: String,
    pub(crate) tries: String,
    pub(crate) cluster: String,
    /// Bytes from the client and to it.
    pub(crate) bytes: [String; 2],
}

/// What the client saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Client {
    Answered(Box<Answered>),
    /// No head came.
    Nothing(&'static str),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
}

/// What an upstream saw of a try.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    /// The endpoint's address.
    pub(crate) at: Ipv4Addr,
    pub(crate) http2: bool,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authority: Option<String>,
    pub(crate) headers: Headers,
    /// Bytes of the body; none: it did not come to its end.
    pub(crate) body: Option<usize>,
}
