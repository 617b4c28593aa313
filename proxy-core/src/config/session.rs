//! Clients that stay with one endpoint.

use crate::origin::OriginId;
use crate::time::Duration;

/// The requests of a client go to the endpoint that served its first, as long as that may be used.
///
/// Source: Envoy v3 `StatefulSession` with `CookieBasedSessionState` or `HeaderBasedSessionState`. Departs: the address stands as it is, not in
/// base64, and an endpoint of any of a route's clusters counts before the draw among them (GEP-1619: a session holds across splits).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// What carries the endpoint's address.
    pub carrier: SessionCarrier,
    /// The rule that made it.
    pub origin: OriginId,
}

/// What carries an endpoint's address to the client and back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Name.
        name: Box<str>,
        /// How long it holds; none: as long as the client's session.
        ttl: Option<Duration>,
        /// Paths that it is for; none: those of the request's folder.
        path: Option<Box<str>>,
    },
    /// A header, by its lower-case name, of responses and then of requests.
    Header(Box<str>),
}
