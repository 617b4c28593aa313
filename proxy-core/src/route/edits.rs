use crate::config::{
    Forward, HostRewrite, PathRedirect, PathRewrite, Redirect, Route, RouteAction,
};
use crate::heads::{HeadWriter, Heads};

use super::matching::{RequestView, matched_prefix_len};
use super::split_query;

/// Control headers that are spent here and never sent on, so that the next proxy does not obey them again.
///
/// Source: envoy `source/common/router/retry_state_impl.cc` (`RetryStateImpl::create`), `router.cc` (`decodeHeaders`,
/// `FilterUtility::finalTimeout`).
const SPENT: [&str; 9] = [
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

/// Facts of one try that show in its head.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Index into the route's weighted clusters.
    pub weighted: usize,
    /// Which try, where upstreams are told.
    pub attempt_count: Option<u16>,
    /// Time that the upstream has, in milliseconds; 0: not told.
    pub timeout_ms: u64,
    /// Host name of the endpoint.
    pub endpoint_host: &'a str,
    /// Whether it is a copy whose Host says so.
    pub shadow: bool,
}

/// Whether a request would leave through `route` with anything changed that does not depend on the try.
pub(crate) fn edits_request<H: Heads>(
    route: &Route,
    weighted: usize,
    view: RequestView<'_, H>,
    controls: bool,
) -> bool {
    let RouteAction::Forward(forward) = &route.action else {
        return false;
    };
    !route.request_edits.is_empty()
        || forward.rewrite.is_some()
        || forward.host.is_some()
        || forward
            .clusters
            .get(weighted)
            .is_some_and(|w| !w.request_edits.is_empty())
        || (controls || view.edge)
            && SPENT
                .iter()
                .any(|name| view.heads.header(view.head, name).is_some())
}

/// Turns a copy of the request's head, which `out` holds, into the head that leaves.
///
/// The order is Envoy's: spent control headers go, the path and host are rewritten, then the edits of the weighted
/// cluster and of the route are carried out.
pub fn write_request<H: Heads>(
    route: &Route,
    view: RequestView<'_, H>,
    departure: Departure<'_>,
    out: &mut impl HeadWriter,
) {
    for name in SPENT {
        out.remove(name);
    }
    if let RouteAction::Forward(forward) = &route.action {
        rewrite_path(route, forward, view, out);
        rewrite_host(forward, view, departure, out);
        if let Some(weighted) = forward.clusters.get(departure.weighted) {
            weighted.request_edits.iter().for_each(|op| op.apply(out));
        }
    }
    route.request_edits.iter().for_each(|op| op.apply(out));
    if departure.timeout_ms > 0 {
        out.set(
            "x-envoy-expected-rq-timeout-ms",
            &departure.timeout_ms.to_string(),
        );
    }
    if let Some(count) = departure.attempt_count {
        out.set("x-envoy-attempt-count", &count.to_string());
    }
    if departure.shadow {
        let host = view.heads.authority(view.head);
        let shadow = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{name}-shadow:{port}")
            }
            _ => format!("{host}-shadow"),
        };
        out.set_authority(&shadow);
    }
}

fn rewrite_path<H: Heads>(
    route: &Route,
    forward: &Forward,
    view: RequestView<'_, H>,
    out: &mut impl HeadWriter,
) {
    let Some(rewrite) = &forward.rewrite else {
        return;
    };
    let whole = view.heads.path(view.head);
    let (path, query) = split_query(whole);
    let mut new = match rewrite {
        PathRewrite::Full(to) => to.to_string(),
        PathRewrite::Prefix(to) => join(to, &path[matched_prefix_len(&route.matches, path)..]),
        PathRewrite::Regex(regex, to) => regex.replace_all(path, groups(to).as_str()).into_owned(),
    };
    if new.is_empty() {
        new.push('/');
    }
    if let Some(query) = query {
        new.push('?');
        new.push_str(query);
    }
    if new != whole {
        out.set_path(&new);
        out.set("x-envoy-original-path", whole);
    }
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

fn rewrite_host<H: Heads>(
    forward: &Forward,
    view: RequestView<'_, H>,
    departure: Departure<'_>,
    out: &mut impl HeadWriter,
) {
    match &forward.host {
        None => {}
        Some(HostRewrite::Literal(host)) => out.set_authority(host),
        Some(HostRewrite::Endpoint) if !departure.endpoint_host.is_empty() => {
            out.set_authority(departure.endpoint_host);
        }
        Some(HostRewrite::Endpoint) => {}
        Some(HostRewrite::Header(name)) => {
            if let Some(host) = view.header(name) {
                out.set_authority(host);
            }
        }
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
/// Source: Envoy v3 `RedirectAction`: the request's port is kept unless host or scheme change it; ports 80 and 443 go
/// when the scheme changes to the other.
#[must_use]
pub fn redirect_location<H: Heads>(
    route: &Route,
    redirect: &Redirect,
    scheme: &str,
    view: RequestView<'_, H>,
) -> String {
    let authority = view.heads.authority(view.head);
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (authority, None),
    };
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let mut location = format!(
        "{new_scheme}://{}",
        redirect.host.as_deref().unwrap_or(name)
    );
    let kept = port.filter(|p| {
        redirect.host.is_none() && !(new_scheme != scheme && (*p == "80" || *p == "443"))
    });
    if let Some(port) = redirect
        .port
        .map(|p| p.to_string())
        .or_else(|| kept.map(str::to_owned))
    {
        location.push(':');
        location.push_str(&port);
    }
    let (path, query) = split_query(view.heads.path(view.head));
    match &redirect.path {
        None => location.push_str(path),
        Some(PathRedirect::Full(to)) => location.push_str(to),
        Some(PathRedirect::Prefix(to)) => {
            location.push_str(&join(to, &path[matched_prefix_len(&route.matches, path)..]));
        }
    }
    if let Some(query) = query.filter(|_| !redirect.strip_query) {
        location.push('?');
        location.push_str(query);
    }
    location
}
