//! What is given to both proxies: a listener with its clusters, and requests.

use std::time::Duration;

use serde_json::{Map, Value};

/// One listener, its clusters, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it was made from.
    pub(crate) seed: u64,
    /// Fields of the connection manager beside those that every case has; `route_config` is one of them.
    pub(crate) manager: Map<String, Value>,
    /// Routes call them by `@` and their name.
    pub(crate) clusters: Vec<Backend>,
    /// Sent one after the other.
    pub(crate) asks: Vec<Ask>,
    /// Whether requests are all alike and draw what becomes of them: outcomes are compared by how often they come.
    pub(crate) draws: bool,
    /// Whether it is only compared how many requests went how: where a rotation begins is drawn.
    pub(crate) counted: bool,
}

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// Which of the case's addresses are its own.
    pub(crate) slot: u8,
    /// Fields beside its name, type and endpoints.
    pub(crate) fields: Map<String, Value>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) order: Order,
    /// Whether it gets copies alone, which come when they come.
    pub(crate) copies: bool,
}

/// What two runs of one proxy have in common in the endpoints that they choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Every endpoint.
    Fixed,
    /// The endpoint after the one before; where it begins is drawn.
    Rotation,
    /// None.
    Drawn,
}

/// An endpoint of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Nobody listens there.
    pub(crate) refuses: bool,
    /// What it does whatever it is asked; none: what the request is answered.
    pub(crate) does: Option<Answer>,
    /// Fields of `LbEndpoint` beside the address.
    pub(crate) fields: Map<String, Value>,
    /// Fields of the `LocalityLbEndpoints` around it; neighbours with the same are in one.
    pub(crate) around: Map<String, Value>,
}

/// A request, and what upstreams do with it.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) http2: bool,
    pub(crate) method: String,
    /// What stands in the request line; of HTTP/2 the path.
    pub(crate) target: String,
    /// `Host`, or `:authority`.
    pub(crate) authority: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// By number of the try; the last is for all that follow.
    pub(crate) answers: Vec<Answer>,
    /// Silence before it is sent.
    pub(crate) pause: Duration,
    /// Whether the next is sent while this one is under way.
    pub(crate) beside: bool,
    /// Whether what comes of it is of no account.
    pub(crate) aside: bool,
    /// Silence in the middle of its body.
    pub(crate) stall: Duration,
    /// What follows once its connection has become something else.
    pub(crate) carried: Option<Carried>,
}

/// What follows on a connection that has become something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carried {
    /// So many bytes, which are to come back.
    Bytes(usize),
    /// A request to whoever is at the other end.
    Request,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    None,
    /// Of a length that is told beforehand.
    Sized(usize),
    /// Of a length that is not.
    Chunked(usize),
}

/// What an upstream does with a try.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Silence before.
    pub(crate) after: Duration,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Respond(Response),
    /// Gives what is asked for with this head, and sends back whatever follows; a request that asks for nothing is answered 200.
    Switch(Response),
    /// Closes the connection, or the stream of HTTP/2 with this code, before there is a head.
    Reset(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) trailers: Vec<(String, String)>,
    /// Silence between head and body.
    pub(crate) pause: Duration,
    /// The connection closes, or the stream is reset, in the middle of the body.
    pub(crate) breaks: bool,
}

impl Response {
    pub(crate) const fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Sized(TRY.len() + 3),
            trailers: Vec::new(),
            pause: Duration::ZERO,
            breaks: false,
        }
    }
}

impl Answer {
    pub(crate) const fn of(response: Response) -> Self {
        Self {
            after: Duration::ZERO,
            deed: Deed::Respond(response),
        }
    }

    pub(crate) const fn status(status: u16) -> Self {
        Self::of(Response::status(status))
    }
}

const TRY: &str = "answer of try ";

/// A body of `length` bytes that shows which try it answers.
pub(crate) fn body_of(number: usize, length: usize) -> Vec<u8> {
    let mut body = format!("{TRY}{number:>3}").into_bytes();
    body.resize(length, b'.');
    body
}
