//! Who sends requests, and when.

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::Located;
use super::distribution::Times;
use super::scalars::{Bytes, Count, Factor, Period, Rate, Scalar, scalar};
use super::workload::{Backoff, HeaderValue, Hedge};

/// A stream of requests; one of `open`, `closed` and `trace` says when they come.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Its name.
    pub name: Located<String>,
    /// `gateway` (or `gateway/name`), `direct` (to the Service of the host), or a workload from whose pods it comes; default `gateway`.
    pub via: Option<Located<String>>,
    /// What is asked for, by weight; a trace brings its own.
    #[serde(default)]
    pub requests: Vec<Located<Request>>,
    /// Requests come on their own, whatever becomes of them.
    pub open: Option<Located<Open>>,
    /// Users send the next request after the answer and a think time.
    pub closed: Option<Located<Closed>>,
    /// A CSV file with the columns `time,method,host,path` and maybe `size`.
    pub trace: Option<Located<String>>,
    /// How the client behaves.
    pub client: Option<Client>,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its share in the mix, against the others; default 1.
    pub weight: Option<Located<Factor>>,
    /// Default GET.
    pub method: Option<Located<Method>>,
    /// The authority.
    pub host: Located<Host>,
    /// Path and query.
    pub path: Located<Path>,
    /// Header values.
    #[serde(default)]
    pub headers: IndexMap<Located<String>, Located<HeaderValue>>,
    /// Bytes of the body; default none.
    pub size: Option<Located<Bytes>>,
}

/// Requests come on their own: one of `rate` and `stages` is given.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Open {
    /// Default `poisson`.
    pub arrivals: Option<Arrivals>,
    /// The same rate all the time.
    pub rate: Option<Located<Rate>>,
    /// One after the other; after the last no more requests come.
    pub stages: Option<Located<Vec<Located<Stage>>>>,
}

/// How open arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Arrivals {
    /// Independent of each other.
    Poisson,
    /// Evenly.
    Constant,
}

/// A stage: one of `hold` and `ramp` is given.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// The rate all the while.
    pub hold: Option<Located<Rate>>,
    /// The rate at the end; it changes in a straight line from the rate before.
    pub ramp: Option<Located<Rate>>,
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Located<Period>,
}

/// Users who wait for their answers.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// How many.
    pub users: Located<Count<1, 1_000_000>>,
    /// Between an answer and the next request, and before the first; default no time.
    pub think: Option<Located<Times>>,
}

/// How a client behaves.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Client {
    /// Default `http/1.1`.
    pub protocol: Option<Protocol>,
    /// The most that it opens; default as many as needed.
    pub connections: Option<Located<Count<1, 1_000_000>>>,
    /// How long each try may take; default for ever.
    pub timeout: Option<Located<Period>>,
    /// Tries after the first; default none.
    pub retries: Option<Located<Count<0, 100>>>,
    /// Waits between tries; default none.
    pub backoff: Option<Located<Backoff>>,
    /// A second copy of a request that is slow.
    pub hedge: Option<Located<Hedge>>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
pub enum Protocol {
    /// One request a connection at a time.
    #[serde(rename = "http/1.1")]
    Http1,
    /// Many requests a connection at once.
    #[serde(rename = "http/2")]
    Http2,
}

/// A request's method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(pub String);

scalar!(
    Method,
    schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]+$" })
);

impl Scalar for Method {
    const EXPECTED: &'static str = "a method such as `GET`";

    fn parse(text: &str) -> Result<Self, String> {
        super::workload::method(text).map(Self)
    }
}

/// Path and query of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub String);

scalar!(
    Path,
    schemars::json_schema!({ "type": "string", "pattern": "^/" })
);

impl Scalar for Path {
    const EXPECTED: &'static str = "a path such as `/items`";

    fn parse(text: &str) -> Result<Self, String> {
        super::workload::path(text).map(Self)
    }
}

/// The authority of a request: a name or an address, with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(pub String);

scalar!(
    Host,
    schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+(:[0-9]+)?$" })
);

impl Scalar for Host {
    const EXPECTED: &'static str = "a host such as `api.example.com` or `orders:8080`";

    fn parse(text: &str) -> Result<Self, String> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let named = (1..=253).contains(&name.len()) && name.bytes().all(letters);
        let ported = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if named && ported {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "`{}` is not {}",
                text.escape_debug(),
                Self::EXPECTED
            ))
        }
    }
}
