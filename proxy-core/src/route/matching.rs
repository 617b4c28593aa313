use core::net::IpAddr;

use crate::config::{Absent, HeaderMatch, PathMatch, RouteMatch, TextMatch, VirtualHost};
use crate::draw::{DrawKey, Purpose};
use crate::heads::{HeadId, Heads};

use super::split_query;

/// A request as filters and routes see it: its head, and what the node knows besides.
pub struct RequestView<'a, H> {
    /// The heads in flight.
    pub heads: &'a H,
    /// Which head.
    pub head: HeadId,
    /// Whether client-sent `x-envoy-*` control headers are hidden (the connection comes from outside).
    pub edge: bool,
}

impl<H> Clone for RequestView<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for RequestView<'_, H> {}

impl<'a, H: Heads> RequestView<'a, H> {
    /// The method.
    #[must_use]
    pub fn method(self) -> &'a str {
        self.heads.method(self.head)
    }

    /// Path without query.
    #[must_use]
    pub fn path(self) -> &'a str {
        split_query(self.heads.path(self.head)).0
    }

    /// First value of a header or pseudo header.
    #[must_use]
    pub fn header(self, name: &str) -> Option<&'a str> {
        match name {
            ":method" => Some(self.heads.method(self.head)),
            ":authority" | "host" => Some(self.heads.authority(self.head)),
            ":path" => Some(self.heads.path(self.head)),
            ":scheme" => Some(self.heads.scheme(self.head)),
            ":hostname" => Some(hostname(self.heads.authority(self.head))),
            ":pathname" => Some(self.path()),
            _ if self.edge && name.starts_with("x-envoy-") => None,
            _ => self.heads.header(self.head, name),
        }
    }

    /// Whether `is` holds of one of a header's values, or of that of a pseudo header; none: it is not there.
    pub fn any_value(self, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
        match name {
            "host" => self.header(name).map(is),
            ":http" => Some(is(&self.url("http"))),
            ":https" => Some(is(&self.url("https"))),
            _ if name.starts_with(':') => self.header(name).map(is),
            _ if self.edge && name.starts_with("x-envoy-") => None,
            _ => self.heads.any_value(self.head, name, is),
        }
    }

    /// The URL as it is over `scheme`.
    #[must_use]
    pub fn url(self, scheme: &str) -> String {
        let (authority, path) = (self.heads.authority(self.head), self.heads.path(self.head));
        format!("{scheme}://{authority}{path}")
    }

    /// Whether a condition on a header holds.
    #[must_use]
    pub fn matches(self, condition: &HeaderMatch) -> bool {
        header_matches(condition, |name, is| self.any_value(name, is))
    }

    /// A control header as a number.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// Whether it is a gRPC request: content type `application/grpc` or `application/grpc+…`.
    #[must_use]
    pub fn is_grpc(self) -> bool {
        let is_grpc = |kind: &str| {
            let rest = kind.strip_prefix("application/grpc");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
        };
        self.any_value("content-type", is_grpc).unwrap_or(false)
    }
}

/// The host of an authority, without brackets and port.
fn hostname(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[')
        && let Some((address, _)) = rest.split_once(']')
    {
        return address;
    }
    match authority.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        Some(_) | None => authority,
    }
}

/// [`find_route_for`] of a client that is not known.
#[must_use]
pub fn find_route<H: Heads>(
    host: &VirtualHost,
    view: RequestView<'_, H>,
    key: DrawKey,
) -> Option<u32> {
    find_route_for(host, view, None, key)
}

/// The first route of `host` that takes the request, by its index. A CONNECT, which has no path, is taken by [`PathMatch::Connect`] alone.
///
/// Source: Envoy v3 `VirtualHost.routes`: list order, first match wins. One draw, named by `key`, serves the fractions of all
/// routes (`source/common/router/config_impl.cc`, `evaluateRuntimeMatch`): of two routes with 10 % and 30 % the second takes 20 %.
#[must_use]
pub fn find_route_for<H: Heads>(
    host: &VirtualHost,
    view: RequestView<'_, H>,
    client: Option<IpAddr>,
    key: DrawKey,
) -> Option<u32> {
    // a path as it was sent is split only for a condition that looks at where it ends
    let whole = view.heads.path(view.head);
    let pathless = whole.is_empty() && view.method() == "CONNECT";
    host.routes.iter().enumerate().find_map(|(i, route)| {
        let is_connect = matches!(route.matches.path, PathMatch::Connect);
        let taken = is_connect == pathless
            && (pathless || path_matches(&route.matches, whole))
            && conditions_match(&route.matches, view, client)
            && route
                .matches
                .fraction
                .is_none_or(|share| key.chance(Purpose::RuntimeFraction, 0, share.as_fraction()));
        taken.then_some(i as u32)
    })
}

/// Whether the path condition takes `whole`, a path with its query.
fn path_matches(matches: &RouteMatch, whole: &str) -> bool {
    let fold = matches.ignore_case;
    if let PathMatch::Prefix(want) = &matches.path {
        // a question mark could only stand for a query's, and the query is of no account
        return starts_with(whole, want, fold) && !want.as_bytes().contains(&b'?');
    }
    let path = split_query(whole).0;
    match &matches.path {
        PathMatch::Exact(want) => eq(path, want, fold),
        PathMatch::Prefix(want) => starts_with(path, want, fold),
        PathMatch::Segments(want) => {
            starts_with(path, want, fold)
                && matches!(path.as_bytes().get(want.len()), None | Some(b'/'))
        }
        PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => regex.is_match(path),
        PathMatch::Connect => false,
    }
}

fn eq(text: &str, want: &str, fold: bool) -> bool {
    text == want || (fold && text.eq_ignore_ascii_case(want))
}

fn starts_with(text: &str, want: &str, fold: bool) -> bool {
    text.starts_with(want)
        || (fold
            && text
                .as_bytes()
                .get(..want.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(want.as_bytes())))
}

/// How many bytes of `path` the route's path condition took: what a prefix rewrite or redirect replaces.
#[must_use]
pub fn matched_prefix_len(matches: &RouteMatch, path: &str) -> usize {
    match &matches.path {
        PathMatch::Exact(_) | PathMatch::Regex(_) => path.len(),
        PathMatch::Prefix(want) | PathMatch::Segments(want) => want.len(),
        PathMatch::RegexStart(regex) => regex.find(path).map_or(0, |found| found.end()),
        PathMatch::Connect => 0,
    }
}

fn conditions_match<H: Heads>(
    matches: &RouteMatch,
    view: RequestView<'_, H>,
    client: Option<IpAddr>,
) -> bool {
    let holds = |condition: &HeaderMatch| match (&*condition.name, client) {
        (":client", Some(client)) => {
            header_matches(condition, |_, is| Some(is(&client.to_string())))
        }
        (":client", None) => header_matches(condition, |_, _| None),
        _ => view.matches(condition),
    };
    (matches.methods.is_empty() || matches.methods.iter().any(|m| **m == *view.method()))
        && matches.headers.iter().all(holds)
        && (!matches.grpc || view.is_grpc())
        && (matches.params.is_empty() || params_match(matches, view))
}

/// Whether a header condition holds for a head, of whose header's values `any` says whether one is such: of several values one has
/// to match, and none where the condition is turned round.
#[must_use]
pub fn header_matches(
    condition: &HeaderMatch,
    any: impl FnOnce(&str, &dyn Fn(&str) -> bool) -> Option<bool>,
) -> bool {
    let is = |value: &str| text_matches(&condition.value, value, condition.ignore_case);
    let holds = match (any(&condition.name, &is), condition.absent) {
        (Some(holds), _) => holds,
        (None, Absent::Unequal) => false,
        (None, Absent::Refused) => return false,
        (None, Absent::Empty) => is(""),
    };
    holds != condition.invert
}

fn text_matches(matches: &TextMatch, text: &str, fold: bool) -> bool {
    if !fold {
        return matches.matches(text);
    }
    match matches {
        TextMatch::Exact(want) => text.eq_ignore_ascii_case(want),
        TextMatch::Prefix(want) => starts_with(text, want, true),
        TextMatch::Suffix(want) => text
            .len()
            .checked_sub(want.len())
            .and_then(|at| text.as_bytes().get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(want.as_bytes())),
        TextMatch::Contains(want) => text
            .to_ascii_lowercase()
            .contains(&want.to_ascii_lowercase()),
        TextMatch::Regex(_) | TextMatch::Range(..) | TextMatch::Address(_) | TextMatch::Present => {
            matches.matches(text)
        }
    }
}

fn params_match<H: Heads>(matches: &RouteMatch, view: RequestView<'_, H>) -> bool {
    let query = split_query(view.heads.path(view.head)).1.unwrap_or("");
    matches.params.iter().all(|want| {
        let value = query_value(query, &want.name);
        value.is_some_and(|value| want.value.matches(value)) != want.invert
    })
}

/// The first value of a query parameter; a parameter without `=` has an empty one. Not percent-decoded, as in Envoy.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
