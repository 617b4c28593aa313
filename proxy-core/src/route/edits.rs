use std::borrow::Cow;

use crate::config::{
    Forward, HostRewrite, PathRedirect, PathRewrite, Redirect, Route, RouteAction,
};
use crate::heads::{Field, HeadWriter, Heads};

use super::matching::{RequestView, matched_prefix_len};
use super::split_query;

/// Control headers that are spent here and never sent on, so that the next proxy does not obey them again.
///
/// Source: envoy `source/common/router/retry_state_impl.cc` (`RetryStateImpl::create`), `router.cc` (`decodeHeaders`,
/// `FilterUtility::finalTimeout`).
pub(crate) const SPENT: [&str; 9] = [
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
];

/// Whether a request is a copy of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Default)]
pub enum Copied {
    /// It is none.
    #[default]
    Not,
    /// It is, under the same host.
    Plainly,
    /// It is, and its host says so.
    Marked,
}

/// Control headers that are spent here, and of which nothing is made.
///
/// Source: envoy `source/common/router/router.cc` (`decodeHeaders`).
const SPENT_FOR_NOTHING: [Field; 2] = [Field::AltStatName, Field::StreamDuration];

/// Facts of one try that show in its head.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Index into the route's weighted clusters.
    pub weighted: usize,
    /// Whether the head may have control headers.
    pub controls: bool,
    /// Which try, where upstreams are told.
    pub attempt_count: Option<u16>,
    /// Time that the upstream has, in milliseconds; 0: not told.
    pub timeout_ms: u64,
    /// Host name of the endpoint.
    pub endpoint_host: &'a str,
    /// Whether it is a copy.
    pub copied: Copied,
    /// Whether upstreams are told what a rewritten path and authority were.
    pub tells: bool,
}

impl Departure<'_> {
    /// A try to the first cluster, of which upstreams learn nothing but what rewrites replaced.
    pub const PLAIN: Self = Self {
        weighted: 0,
        controls: true,
        attempt_count: None,
        timeout_ms: 0,
        endpoint_host: "",
        copied: Copied::Not,
        tells: true,
    };

    /// What is known of a request before it has a try.
    pub(crate) const fn of_request(weighted: usize) -> Self {
        Self {
            weighted,
            ..Self::PLAIN
        }
    }
}

/// Whether a request has control headers that are spent here; `controls`: it may have some that have a say.
pub(crate) fn spends_controls<H: Heads>(view: RequestView<'_, H>, controls: bool) -> bool {
    let has = |name: &&str| view.heads.header(view.head, name).is_some();
    (controls || view.edge && view.heads.has_controls(view.head)) && SPENT.iter().any(has)
}

/// Turns a copy of the request's head, which `out` holds, into the head that leaves.
///
/// The order is Envoy's: spent control headers go, upstreams are told time and number of the try, the edits of the weighted cluster and
/// of the route are carried out, then host and path are rewritten.
///
/// Source: envoy `source/common/router/router.cc` (`decodeHeaders`), `config_impl.cc` (`finalizeRequestHeaders`); of copies
/// `shadow_writer_impl.cc`.
pub fn write_request<H: Heads>(
    route: &Route,
    view: RequestView<'_, H>,
    departure: Departure<'_>,
    out: &mut impl HeadWriter,
) {
    if departure.controls {
        for name in SPENT {
            out.remove(name);
        }
        for field in SPENT_FOR_NOTHING {
            out.remove_field(field);
        }
    }
    if departure.timeout_ms > 0 {
        out.set_number(Field::ExpectedTimeout, departure.timeout_ms);
    }
    if let Some(count) = departure.attempt_count {
        out.set_number(Field::AttemptCount, u64::from(count));
    }
    let forward = match &route.action {
        RouteAction::Forward(forward) => Some(&**forward),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    };
    if let Some(weighted) = forward.and_then(|f| f.clusters.get(departure.weighted)) {
        weighted.request_edits.iter().for_each(|op| op.apply(out));
    }
    route.request_edits.iter().for_each(|op| op.apply(out));
    if let Some(count) = departure.attempt_count.filter(|count| *count > 1) {
        // of a later try the number stands whatever the edits of the first made of it
        out.set_number(Field::AttemptCount, u64::from(count));
    }
    let asked = view.heads.authority(view.head);
    let mut host = None;
    if let Some(forward) = forward {
        host = new_host(forward, departure, out);
        if host.is_some() {
            tell_host(forward, asked, departure, out);
        }
        rewrite_path(route, forward, view, departure, out);
    }
    if departure.copied != Copied::Not {
        out.set_const(Field::Internal, "true");
    }
    if departure.copied == Copied::Marked {
        host = Some(marked(host.as_deref().unwrap_or(asked)).into());
    }
    if let Some(host) = host {
        out.set_authority(&host);
    }
}

/// A host that says of a request that it is a copy.
fn marked(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{name}-shadow:{port}")
        }
        Some(_) | None => format!("{host}-shadow"),
    }
}

fn rewrite_path<H: Heads>(
    route: &Route,
    forward: &Forward,
    view: RequestView<'_, H>,
    departure: Departure<'_>,
    out: &mut impl HeadWriter,
) {
    let Some(rewrite) = &forward.rewrite else {
        return;
    };
    let whole = view.heads.path(view.head);
    if whole.is_empty() {
        // a CONNECT has no path
        return;
    }
    let (path, query) = split_query(whole);
    let mut new = rewritten(route, rewrite, path);
    if let Some(query) = query {
        new.push('?');
        new.push_str(query);
    }
    if departure.tells {
        out.set_field(Field::OriginalPath, whole);
    }
    if new != whole {
        out.set_path(&new);
    }
}

/// A path after a rewrite; it begins with a slash.
fn rewritten(route: &Route, rewrite: &PathRewrite, path: &str) -> String {
    let matched = || matched_prefix_len(&route.matches, path).min(path.len());
    let mut new = match rewrite {
        PathRewrite::Full(to) => to.to_string(),
        PathRewrite::Prefix(to) => format!("{to}{}", &path[matched()..]),
        PathRewrite::JoinedPrefix(to) => join(to, &path[matched()..]),
        PathRewrite::Regex(regex, to) => regex.replace_all(path, groups(to).as_str()).into_owned(),
        PathRewrite::Sequence(all) => {
            let each = all.iter();
            each.fold(path.to_owned(), |path, rewrite| {
                rewritten(route, rewrite, &path)
            })
        }
    };
    // departs: Envoy breaks a request whose path has lost its first slash
    if !new.starts_with('/') {
        new.insert(0, '/');
    }
    new
}

/// Envoy's `\1` in the `regex` crate's words: `${1}`; a literal dollar stays one.
fn groups(to: &str) -> String {
    let mut out = String::with_capacity(to.len() + 4);
    let mut chars = to.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(d)) if d.is_ascii_digit() => {
                out.push_str(&format!("${{{d}}}"));
                chars.next();
            }
            ('\\', Some('\\')) => {
                out.push('\\');
                chars.next();
            }
            ('$', _) => out.push_str("$$"),
            _ => out.push(c),
        }
    }
    out
}

/// Replaces a matched prefix: exactly one slash joins the halves.
fn join(prefix: &str, rest: &str) -> String {
    match (prefix.ends_with('/'), rest.starts_with('/')) {
        (true, true) => format!("{prefix}{}", &rest[1..]),
        (false, false) if !rest.is_empty() && prefix.is_empty() => format!("/{rest}"),
        _ => format!("{prefix}{rest}"),
    }
}

/// What the host becomes; none: it stays.
fn new_host<'a>(
    forward: &'a Forward,
    departure: Departure<'a>,
    out: &impl HeadWriter,
) -> Option<Cow<'a, str>> {
    match forward.host.as_ref()? {
        HostRewrite::Literal(host) => Some(Cow::Borrowed(host)),
        HostRewrite::Endpoint => {
            let host = departure.endpoint_host;
            // a copy was made before the request had an endpoint
            let named = !host.is_empty() && departure.copied == Copied::Not;
            named.then_some(Cow::Borrowed(host))
        }
        HostRewrite::Header(name) => {
            let host = out.first(name).filter(|host| !host.is_empty());
            host.map(|host| Cow::Owned(host.to_owned()))
        }
    }
}

/// Tells upstreams which host was asked for before it was rewritten.
///
/// Source: envoy `source/common/http/utility.cc` (`updateAuthority`).
fn tell_host(forward: &Forward, asked: &str, departure: Departure<'_>, out: &mut impl HeadWriter) {
    if forward.forwarded_host && !asked.is_empty() {
        let told = out.first(Field::ForwardedHost.name());
        let last = told.and_then(|told| told.rsplit(',').next());
        if last != Some(asked) {
            out.extend_field(Field::ForwardedHost, ",", asked);
        }
    }
    if departure.tells {
        out.set_field(Field::OriginalHost, asked);
    }
}

/// Carries the edits toward the client out on a copy of a response's head.
pub fn write_response(route: &Route, weighted: usize, out: &mut impl HeadWriter) {
    if let RouteAction::Forward(forward) = &route.action
        && let Some(weighted) = forward.clusters.get(weighted)
    {
        weighted.response_edits.iter().for_each(|op| op.apply(out));
    }
    route.response_edits.iter().for_each(|op| op.apply(out));
}

/// The `Location` of a redirect.
///
/// Source: envoy `source/common/http/utility.cc` (`newUri`, `processRequestHost`): the request's port is kept unless the host changes,
/// a port is set, or the scheme changes and it is the old one's own; a new path with a query brings it along for good.
#[must_use]
pub fn redirect_location<H: Heads>(
    route: &Route,
    redirect: &Redirect,
    scheme: &str,
    view: RequestView<'_, H>,
) -> String {
    if let Some(PathRedirect::Url(regex, to)) = &redirect.path {
        let url = view.url(scheme);
        return regex.replace_all(&url, groups(to).as_str()).into_owned();
    }
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let host = match redirect.host.as_deref() {
        Some(host) => host,
        None => {
            let asked = view.heads.authority(view.head);
            let at = asked.rfind(if asked.starts_with('[') { "]:" } else { ":" });
            let at = at.map(|at| if asked.starts_with('[') { at + 1 } else { at });
            let (name, port) = asked.split_at(at.unwrap_or(asked.len()));
            let own = matches!((scheme, port), ("http", ":80") | ("https", ":443"));
            if redirect.port.is_some() || (new_scheme != scheme && own) {
                name
            } else {
                asked
            }
        }
    };
    let own = |port: &u16| matches!((new_scheme, *port), ("http", 80) | ("https", 443));
    let port = redirect.port;
    let port = port
        .filter(|port| !(redirect.omits_own_port && own(port)))
        .map_or_else(String::new, |port| format!(":{port}"));
    let path = new_path(route, redirect, view.heads.path(view.head));
    format!("{new_scheme}://{host}{port}{path}")
}

/// Path and query that a redirect leads to.
fn new_path(route: &Route, redirect: &Redirect, asked: &str) -> String {
    let (path, query) = split_query(asked);
    let matched = || matched_prefix_len(&route.matches, path);
    let mut new = match &redirect.path {
        Some(PathRedirect::Full(to)) if to.contains('?') => return to.to_string(),
        Some(PathRedirect::Full(to)) => to.to_string(),
        Some(PathRedirect::Prefix(to)) => format!("{to}{}", &path[matched()..]),
        Some(PathRedirect::JoinedPrefix(to)) => join(to, &path[matched()..]),
        Some(PathRedirect::Regex(regex, to)) => {
            regex.replace_all(path, groups(to).as_str()).into_owned()
        }
        // the whole location, which was made before
        Some(PathRedirect::Url(..)) | None => path.to_owned(),
    };
    if redirect.strip_query {
        new.truncate(new.find('?').unwrap_or(new.len()));
    } else if let Some(query) = query {
        new.push('?');
        new.push_str(query);
    }
    new
}
