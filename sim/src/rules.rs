//! What a rule of a proxy's configuration says, in words: what a route takes and does, and how a listener took a connection.

use proxy_core::config::{
    CloseReason, DownstreamTransport, Forward, Gate, GateKey, GateKind, HeaderMatch, HostRewrite,
    Listener, ListenerAddress, PathMatch, PathRewrite, RateLimit, RetryPolicy, Route, RouteAction,
    RouteMatch, RouteTable, TextMatch,
};
use proxy_core::limit::windows::Period;
use proxy_core::origin::OriginId;
use reports::outcome::Refusal;
use reports::trace::Subject;

/// One line about a rule.
pub(crate) struct Line {
    pub(crate) subject: Subject,
    pub(crate) text: String,
    pub(crate) origin: OriginId,
}

/// All that a route says of a request that it has taken, beside its name. Timeouts that run are decisions of their own; that there is
/// none is said here.
pub(crate) fn of_route(route: &Route) -> Vec<Line> {
    let mut lines = vec![Line {
        subject: Subject::Route,
        text: format!("takes {}", match_words(&route.matches)),
        origin: route.origin,
    }];
    match &route.action {
        RouteAction::Forward(forward) => of_forward(forward, route.origin, &mut lines),
        RouteAction::Redirect(redirect) => lines.push(Line {
            subject: Subject::Route,
            text: format!("redirects with {}", redirect.status),
            origin: route.origin,
        }),
        RouteAction::Direct(direct) => lines.push(Line {
            subject: Subject::Route,
            text: format!("answers {} itself", direct.status),
            origin: route.origin,
        }),
    }
    lines.extend(route.gates.iter().map(of_gate));
    if !route.request_edits.is_empty() {
        lines.push(Line {
            subject: Subject::Rewrite,
            text: "edits headers on the way to the server".to_owned(),
            origin: route.origin,
        });
    }
    lines
}

fn of_gate(gate: &Gate) -> Line {
    let key = |key: &GateKey| match key {
        GateKey::All => "all together".to_owned(),
        GateKey::ClientAddress { .. } => "by the client's address".to_owned(),
        GateKey::Forwarded { .. } => "by an entry of `x-forwarded-for`".to_owned(),
        GateKey::Header { name, .. } => format!("by `{name}`"),
        GateKey::Cookie { name, .. } => format!("by the cookie `{name}`"),
        GateKey::Host => "by host".to_owned(),
        GateKey::Path(path) => format!("together for `{path}`, else by the client's address"),
    };
    let text = match &gate.kind {
        GateKind::Rate { limit, key: by } => {
            format!("at most {}, {}", limit_words(limit), key(by))
        }
        GateKind::InFlight { most, key: by } => {
            format!("at most {most} under way at once, {}", key(by))
        }
        GateKind::Breaker(breaker) => {
            format!("a breaker opens when {}", breaker.expression.text())
        }
    };
    Line {
        subject: Subject::Filter,
        text: format!("{text}; else {}", gate.status),
        origin: gate.origin,
    }
}

fn limit_words(limit: &RateLimit) -> String {
    match limit {
        RateLimit::Leaky(buckets) => {
            let words = buckets.iter().map(|bucket| {
                let rate = bucket.leaks as f64 / 1_000.0;
                format!("{rate} a second and {} beyond", bucket.burst)
            });
            words.collect::<Vec<_>>().join(" and ")
        }
        RateLimit::Delaying(bucket) => format!(
            "{} in {} and {} at once, a wait of {} aside",
            bucket.average,
            bucket.period,
            bucket.burst.max(1),
            bucket.longest_wait()
        ),
        RateLimit::Windows(windows) => {
            let words = windows.limits.iter().map(|(period, limit)| {
                let period = match period {
                    Period::Second => "second",
                    Period::Minute => "minute",
                    Period::Hour => "hour",
                    Period::Day => "day",
                    Period::Month => "month",
                    Period::Year => "year",
                };
                format!("{limit} in a {period}")
            });
            words.collect::<Vec<_>>().join(" and ")
        }
    }
}

fn of_forward(forward: &Forward, origin: OriginId, lines: &mut Vec<Line>) {
    let weights: Vec<String> = forward
        .clusters
        .iter()
        .map(|each| each.weight.to_string())
        .collect();
    if weights.len() > 1 {
        lines.push(Line {
            subject: Subject::Route,
            text: format!("splits by weight {}", weights.join(" : ")),
            origin,
        });
    }
    let rewrite = forward.rewrite.as_ref().map(rewrite_words);
    let host = forward.host.as_ref().map(|host| match host {
        HostRewrite::Literal(host) => format!("the host becomes `{host}`"),
        HostRewrite::Endpoint => "the host becomes the endpoint's".to_owned(),
        HostRewrite::Header(name) => format!("the host becomes the value of `{name}`"),
    });
    lines.extend(rewrite.into_iter().chain(host).map(|text| Line {
        subject: Subject::Rewrite,
        text,
        origin,
    }));
    if forward.timeout.value.is_none() {
        lines.push(Line {
            subject: Subject::Timeout,
            text: "no request timeout".to_owned(),
            origin: forward.timeout.origin,
        });
    }
    of_retries(forward, lines);
}

fn rewrite_words(rewrite: &PathRewrite) -> String {
    match rewrite {
        PathRewrite::Prefix(with) | PathRewrite::JoinedPrefix(with) => {
            format!("what the path matched becomes `{with}`")
        }
        PathRewrite::Full(with) => format!("the path becomes `{with}`"),
        PathRewrite::Regex(pattern, with) => {
            format!("`{}` in the path becomes `{with}`", pattern.as_str())
        }
        PathRewrite::Sequence(all) => {
            let words: Vec<String> = all.iter().map(rewrite_words).collect();
            words.join(", then ")
        }
    }
}

fn of_retries(forward: &Forward, lines: &mut Vec<Line>) {
    let line = |text: String, origin| Line {
        subject: Subject::Retries,
        text,
        origin,
    };
    let Some(retry) = forward.retry.as_deref().filter(|it| it.retries.value > 0) else {
        let origin = forward.retry.as_ref().map(|retry| retry.retries.origin);
        lines.push(line("none".to_owned(), origin.unwrap_or(OriginId::NONE)));
        return;
    };
    lines.push(line(
        format!("up to {} after the first try", retry.retries.value),
        retry.retries.origin,
    ));
    lines.push(line(
        format!("on {}", conditions_words(retry)),
        retry.on.origin,
    ));
    let mut limits = Vec::new();
    if retry.spare_sent_non_idempotent {
        limits.push("not once bytes of a request were sent whose method is not idempotent");
    }
    if retry.failures_have_statuses {
        limits.push("a failure counts as the status that it would be answered with");
    }
    if retry.last_try_unbounded {
        limits.push("the last try without the per-try timeout");
    }
    lines.extend(
        limits
            .into_iter()
            .map(|text| line(text.to_owned(), retry.origin)),
    );
    if let Some(after) = retry.no_try_after.filter(|after| !after.value.is_zero()) {
        lines.push(line(
            format!("none once {} have passed", after.value),
            after.origin,
        ));
    }
    if let Some(bytes) = retry.body_limit {
        lines.push(line(
            format!("not with bodies beyond {bytes} bytes"),
            retry.origin,
        ));
    }
}

fn conditions_words(retry: &RetryPolicy) -> String {
    const BY_STATUS: &str = "retriable-status-codes";
    let statuses: Vec<String> = retry.statuses.iter().map(u16::to_string).collect();
    let statuses = match statuses.is_empty() {
        true => "none".to_owned(),
        false => statuses.join(" "),
    };
    let on = retry.on.value.to_string();
    let words = on.split(',').map(|condition| match condition {
        "" => "nothing".to_owned(),
        BY_STATUS => format!("{BY_STATUS} ({statuses})"),
        other => other.to_owned(),
    });
    words.collect::<Vec<String>>().join(", ")
}

fn match_words(matches: &RouteMatch) -> String {
    let mut words = Vec::new();
    if !matches.methods.is_empty() {
        words.push(matches.methods.join(" or "));
    }
    words.push(path_words(&matches.path));
    words.extend(matches.headers.iter().map(header_words));
    for param in &matches.params {
        let value = text_words(&param.value);
        words.push(format!("parameter {} {value}", param.name));
    }
    if matches.grpc {
        words.push("gRPC alone".to_owned());
    }
    if let Some(share) = matches.fraction {
        words.push(format!(
            "{} % of such requests",
            share.as_fraction() * 100.0
        ));
    }
    let case = if matches.ignore_case {
        ", in either case"
    } else {
        ""
    };
    format!("{}{case}", words.join(", "))
}

fn path_words(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("the path {path}"),
        PathMatch::Prefix(path) if &**path == "/" => "every path".to_owned(),
        PathMatch::Prefix(path) => format!("paths that begin with {path}"),
        PathMatch::Segments(path) if path.is_empty() => "every path".to_owned(),
        PathMatch::Segments(path) => format!("{path} and paths below it"),
        PathMatch::Connect => "CONNECT".to_owned(),
        PathMatch::Regex(regex) => format!("paths that match {}", plain(regex.as_str())),
        PathMatch::RegexStart(regex) => {
            format!("paths that begin with a match of {}", plain(regex.as_str()))
        }
    }
}

/// A pattern without the anchors that were put around it.
fn plain(pattern: &str) -> &str {
    let inner = pattern.strip_prefix("^(?:").unwrap_or(pattern);
    inner
        .strip_suffix(")$")
        .or_else(|| inner.strip_suffix(')'))
        .filter(|_| inner.len() < pattern.len())
        .unwrap_or(inner)
}

fn header_words(header: &HeaderMatch) -> String {
    let not = if header.invert { "not: " } else { "" };
    format!("{not}header {} {}", header.name, text_words(&header.value))
}

fn text_words(value: &TextMatch) -> String {
    match value {
        TextMatch::Exact(text) => format!("is `{text}`"),
        TextMatch::Prefix(text) => format!("begins with `{text}`"),
        TextMatch::Suffix(text) => format!("ends with `{text}`"),
        TextMatch::Contains(text) => format!("contains `{text}`"),
        TextMatch::Regex(regex) => format!("matches `{}`", plain(regex.as_str())),
        TextMatch::Range(from, below) => format!("is from {from} to below {below}"),
        TextMatch::Address(blocks) => {
            let blocks = blocks
                .iter()
                .map(|it| format!("{}/{}", it.address, it.bits));
            format!("is in {}", blocks.collect::<Vec<_>>().join(", "))
        }
        TextMatch::Present => "is there".to_owned(),
    }
}

/// The hosts that a table knows, where no route was found: at most a handful of them.
pub(crate) fn hosts_words(table: &RouteTable) -> String {
    const SHOWN: usize = 6;
    let domains: Vec<&str> = table
        .virtual_hosts
        .iter()
        .flat_map(|host| host.domains.iter().map(|domain| &**domain))
        .collect();
    let more = domains.len().saturating_sub(SHOWN);
    let shown = domains[..domains.len() - more].join(", ");
    match (domains.is_empty(), more) {
        (true, _) => "it has no route at all".to_owned(),
        (false, 0) => format!("it has routes for {shown}"),
        (false, more) => format!("it has routes for {shown} and {more} more"),
    }
}

/// A listener as people look for it.
pub(crate) fn listener_words(listener: &Listener) -> String {
    match listener.address {
        ListenerAddress::Socket(address) => {
            format!("listener {} on port {}", listener.name, address.port())
        }
        ListenerAddress::Datagrams(address) => {
            format!(
                "listener {} for datagrams on port {}",
                listener.name,
                address.port()
            )
        }
        ListenerAddress::OutboundTo(address) => format!("outbound listener for {address}"),
        ListenerAddress::OutboundPort(port) => format!("outbound listener for port {port}"),
        ListenerAddress::InboundPort(port) => format!("inbound listener for port {port}"),
        ListenerAddress::OutboundRest | ListenerAddress::InboundRest => {
            format!("listener {}", listener.name)
        }
    }
}

/// Why a connection was closed; `seen` says what it looked like, `listener` which one was asked.
pub(crate) fn close_words(reason: CloseReason, seen: &str, listener: Option<&Listener>) -> String {
    match reason {
        CloseReason::NoFilterChain => {
            let asked = listener.map_or_else(|| "the listener".to_owned(), listener_words);
            match listener.and_then(demands_tls) {
                Some(true) => format!("closed: {asked} takes mutual TLS alone, not {seen}"),
                Some(false) => format!("closed: {asked} takes TLS alone, not {seen}"),
                None => format!("closed: {asked} has no filter chain for {seen}"),
            }
        }
        CloseReason::NoListener => format!("closed: no listener takes {seen}"),
        CloseReason::BlackHole => {
            "closed: the destination is not known, and unknown ones are forbidden".to_owned()
        }
        CloseReason::ConnectionLimit => "closed: too many connections".to_owned(),
        CloseReason::ProcessLimit => "closed: too many connections of the proxy".to_owned(),
        CloseReason::Age => "closed: it has lived as long as it may".to_owned(),
        CloseReason::UpstreamFailed => {
            "closed: the connection that carries it on failed".to_owned()
        }
        CloseReason::Idle => "closed: nothing happened on it".to_owned(),
        CloseReason::Drain => "closed: the proxy drains".to_owned(),
        CloseReason::ClientGone => "closed: the client has gone".to_owned(),
        CloseReason::Handshake => format!("closed: {seen} presents no certificate of the mesh"),
    }
}

/// What policy refused a connection for; none where it ended by itself.
pub(crate) fn refusal(
    reason: CloseReason,
    is_tls: bool,
    listener: Option<&Listener>,
) -> Option<Refusal> {
    Some(match reason {
        CloseReason::NoFilterChain => match listener.and_then(demands_tls) {
            Some(true) if !is_tls => Refusal::MutualTls,
            Some(_) | None => Refusal::NoFilterChain,
        },
        CloseReason::NoListener => Refusal::NoListener,
        CloseReason::BlackHole => Refusal::UnknownDestination,
        CloseReason::ConnectionLimit | CloseReason::ProcessLimit => Refusal::Connections,
        CloseReason::Handshake => Refusal::NoCertificate,
        CloseReason::UpstreamFailed
        | CloseReason::Idle
        | CloseReason::Age
        | CloseReason::Drain
        | CloseReason::ClientGone => return None,
    })
}

/// Whether that is mutual, where every chain of a listener demands TLS.
fn demands_tls(listener: &Listener) -> Option<bool> {
    let mut all_mutual = true;
    for chain in &listener.chains {
        match chain.transport {
            DownstreamTransport::Plaintext => return None,
            DownstreamTransport::Tls { mutual, .. } => all_mutual &= mutual,
        }
    }
    (!listener.chains.is_empty()).then_some(all_mutual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_reads_as_a_sentence() {
        let segments = RouteMatch::path(PathMatch::segments("/a/"));
        let regex = PathMatch::regex("/(a|b)").expect("it compiles");
        let start = PathMatch::regex_start("/(a|b)").expect("it compiles");
        let header = RouteMatch {
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec![HeaderMatch {
                name: "x-tier".into(),
                value: TextMatch::Exact("gold".into()),
                invert: false,
                ignore_case: false,
                absent: proxy_core::config::Absent::Unequal,
            }],
            ..RouteMatch::all()
        };
        for (matches, expected) in [
            (RouteMatch::all(), "every path"),
            (segments, "/a and paths below it"),
            (RouteMatch::path(regex), "paths that match /(a|b)"),
            (
                RouteMatch::path(start),
                "paths that begin with a match of /(a|b)",
            ),
            (header, "GET or PUT, every path, header x-tier is `gold`"),
        ] {
            assert_eq!(match_words(&matches), expected);
        }
    }
}
