//! What is done to the head of every request before any route sees it, and to that of every response before the client does.
//!
//! Source: envoy `source/common/http/conn_manager_impl.cc` (`ActiveStream::decodeHeaders`, in whose order it is done here) and
//! `conn_manager_utility.cc` (`mutateRequestHeaders`, `mutateResponseHeaders`), and what 1.40.0 was seen to do.

mod certificate;
mod client;
mod host;
mod lines;
mod path;
mod referer;
mod request_id;
mod response;
#[cfg(test)]
mod tests;

pub use certificate::{Certificates, PeerCertificate};
pub(crate) use client::Client;
pub(crate) use response::write_response;

use crate::config::{EscapedSlashes, HeadRules, Scheme, Unlisted, Upgrades};
use crate::draw::DrawKey;
use crate::heads::{ArrivingHead, Asks, Field, FieldSet, Received, Version};
use crate::reply::BadHead;
use lines::Lines;
use path::Unnormal;

/// Headers of one connection alone, of which `te` may say something to the next.
///
/// Source: RFC 9110 §7.6.1; envoy `mutateRequestHeaders`.
const HOP_BY_HOP: FieldSet = FieldSet::of(&[
    Field::Connection,
    Field::KeepAlive,
    Field::ProxyConnection,
    Field::TransferEncoding,
    Field::Upgrade,
]);

/// Those of them that say nothing of an upgrade.
const OF_THE_HOP_ALONE: FieldSet = FieldSet::of(&[
    Field::KeepAlive,
    Field::ProxyConnection,
    Field::TransferEncoding,
]);

/// Headers that only one's own clients may send.
///
/// Source: envoy `cleanInternalHeaders`.
const INTERNAL_ONLY: FieldSet = FieldSet::of(&[
    Field::RetriableStatusCodes,
    Field::RetriableHeaderNames,
    Field::RetryOn,
    Field::RetryGrpcOn,
    Field::MaxRetries,
    Field::AltStatName,
    Field::RouteTimeout,
    Field::PerTryTimeout,
    Field::TimeoutAltResponse,
    Field::StreamDuration,
    Field::ExpectedTimeout,
    Field::ForceTrace,
    Field::IpTags,
    Field::OriginalUrl,
    Field::HedgeOnPerTryTimeout,
]);

/// Headers that no client may send where this proxy is the first.
///
/// Source: envoy `cleanInternalHeaders` of an `edge_request`.
const NOT_FROM_OUTSIDE: FieldSet = FieldSet::of(&[
    Field::DecoratorOperation,
    Field::ServiceCluster,
    Field::ServiceNode,
    Field::OriginalPath,
    Field::OriginalHost,
]);

/// What hops say of those before them.
///
/// Source: traefik `pkg/middlewares/forwardedheaders/forwarded_header.go` (`xHeaders`).
const FORWARDED: FieldSet = FieldSet::of(&[
    Field::ForwardedFor,
    Field::ForwardedProto,
    Field::ForwardedPort,
    Field::ForwardedHost,
]);

/// The same, of what is no field here.
const OTHERS_OF_FORWARDING: [&str; 7] = [
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-prefix",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-real-ip",
];

/// Headers that have a say in what is done with a request of one's own.
const CONTROLS: FieldSet = FieldSet::of(&[
    Field::RetryOn,
    Field::RetryGrpcOn,
    Field::MaxRetries,
    Field::HedgeOnPerTryTimeout,
    Field::RetriableHeaderNames,
    Field::RetriableStatusCodes,
    Field::PerTryTimeout,
    Field::RouteTimeout,
    Field::TimeoutAltResponse,
]);

/// Names the draws of a request id: the request's key, and the node's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdKeys {
    pub(crate) request: DrawKey,
    pub(crate) node: DrawKey,
}

/// Does to a request's head what the rules of its connection say.
pub(crate) fn receive(
    rules: &HeadRules,
    client: &Client,
    keys: IdKeys,
    upgrades: &Upgrades,
    head: &mut impl ArrivingHead,
) -> Received {
    let mut received = Received {
        client: client.source,
        internal: false,
        controls: false,
        traced: false,
        asks: Asks::Nothing,
        refused: None,
    };
    let checked = check(rules, client, upgrades, head);
    match checked {
        Ok((lines, asks)) => {
            received.asks = asks;
            accept(rules, client, keys, &lines, head, &mut received);
        }
        Err(why) => received.refused = Some(why),
    }
    received
}

/// Whether a head may pass, with its path and its authority as they are from now on.
fn check(
    rules: &HeadRules,
    client: &Client,
    upgrades: &Upgrades,
    head: &mut impl ArrivingHead,
) -> Result<(Lines, Asks), BadHead> {
    let mut lines = Lines::of(head, rules)?;
    let asks = if lines.has(Field::Upgrade) || head.method() == "CONNECT" {
        asks(upgrades, head)
    } else {
        Asks::Nothing
    };
    // what an upgrade needs to be understood stays as it is
    if asks != Asks::Upgrade {
        lines.drop_named(head)?;
    }
    if lines.has(Field::Expect) {
        let waits = head.last(Field::Expect);
        if waits.is_some_and(|it| it.eq_ignore_ascii_case("100-continue")) {
            head.remove_field(Field::Expect);
        }
    }
    if head.version() == Version::Http10 {
        if !rules.http10 {
            return Err(BadHead::Version);
        }
        if let (None, Some(host)) = (head.authority(), &rules.default_host) {
            head.set_authority(host);
        }
    }
    if head.authority().is_none() {
        return Err(BadHead::NoHost);
    }
    if !head.path().starts_with('/') && head.method() != "CONNECT" {
        return Err(BadHead::PathForm);
    }
    if asks == Asks::Connect && head.version() < Version::Http2 && !has_target(head) {
        return Err(BadHead::Target);
    }
    if !head.path().is_empty() {
        normalize_path(rules, head)?;
    }
    host::normalize(rules.host, client.port, head);
    Ok((lines, asks))
}

fn normalize_path(rules: &HeadRules, head: &mut impl ArrivingHead) -> Result<(), BadHead> {
    let normal = path::normalize(rules.path, head.path());
    let Some(normal) = normal.map_err(|Unnormal| BadHead::Path)? else {
        return Ok(());
    };
    let escaped = normal.unescaped;
    match rules.path.escaped_slashes {
        EscapedSlashes::Reject if escaped => return Err(BadHead::Path),
        EscapedSlashes::Redirect if escaped && is_grpc(head) => return Err(BadHead::Path),
        EscapedSlashes::Keep
        | EscapedSlashes::Reject
        | EscapedSlashes::Redirect
        | EscapedSlashes::Forward => {}
    }
    head.set_path(&normal.path);
    if escaped && rules.path.escaped_slashes == EscapedSlashes::Redirect {
        return Err(BadHead::PathRedirect);
    }
    Ok(())
}

/// Whether a CONNECT says where to, and has no body, as it must on HTTP/1.
///
/// Source: envoy `source/common/http/http1/codec_impl.cc` (`handlePath`, `onHeadersCompleteBase`).
fn has_target(head: &impl ArrivingHead) -> bool {
    let port = head.authority().and_then(|it| it.rsplit_once(':'));
    let has_port = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let body = ["content-length", "transfer-encoding"];
    let empty = |name: &&str| head.first(name).is_none_or(|value| value.trim() == "0");
    has_port && head.path().is_empty() && body.iter().all(empty)
}

/// What a request asks for besides an answer, as far as `upgrades` hears it: an upgrade has a name in `Upgrade`, and `Connection` says so. A
/// wish for HTTP/2 is never heard.
///
/// Source: envoy `source/common/http/utility.cc` (`Utility::isUpgrade`); `http1/codec_impl.cc` (`onHeadersCompleteBase`) of `h2c`.
pub(crate) fn asks(upgrades: &Upgrades, head: &impl ArrivingHead) -> Asks {
    let kind = head.last(Field::Upgrade).map(str::trim);
    let kind = kind.filter(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case("h2c"));
    let mut named = false;
    if kind.is_some() && head.version() > Version::Http10 {
        head.each_line(|name, value| {
            named |= name == Field::Connection.name()
                && value
                    .split(|byte| *byte == b',')
                    .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
        });
    }
    let heard = |kind| upgrades.others != Unlisted::Unheard || upgrades.of_kind(kind).is_some();
    match kind.filter(|_| named) {
        Some(kind) if heard(kind) => Asks::Upgrade,
        None if head.method() == "CONNECT" => Asks::Connect,
        Some(_) | None => Asks::Nothing,
    }
}

fn is_grpc(head: &impl ArrivingHead) -> bool {
    let mut grpc = false;
    head.each_line(|name, value| {
        if name == "content-type"
            && let Some(rest) = value.strip_prefix(b"application/grpc")
        {
            grpc = rest.is_empty() || rest[0] == b'+';
        }
    });
    grpc
}

/// Settles who the client is, takes out what it may not say, and puts in what upstreams are told.
fn accept(
    rules: &HeadRules,
    client: &Client,
    keys: IdKeys,
    lines: &Lines,
    head: &mut impl ArrivingHead,
    received: &mut Received,
) {
    if lines.has_any(HOP_BY_HOP) {
        let gone = match received.asks {
            Asks::Upgrade => OF_THE_HOP_ALONE,
            Asks::Nothing | Asks::Connect => HOP_BY_HOP,
        };
        lines.remove(gone, head);
    }
    lines.sanitize_te(head);
    if lines.has(Field::Referer) && (lines.repeats(Field::Referer) || !referer::is_sound(head)) {
        head.remove_field(Field::Referer);
    }
    let unbelieved;
    let lines = if client.believed {
        lines
    } else {
        lines.remove(FORWARDED, head);
        for name in OTHERS_OF_FORWARDING {
            head.remove(name);
        }
        unbelieved = lines.without(FORWARDED);
        &unbelieved
    };
    let seen = client::tell(rules, client, lines, head);
    received.client = seen.address;
    received.internal = seen.internal;
    set_scheme(rules, client, head);
    let edge = rules.client.remote_address && !seen.internal;
    if seen.internal {
        head.set_const(Field::Internal, "true");
        received.controls = lines.has_any(CONTROLS);
        received.traced = lines.has(Field::ForceTrace);
    } else {
        if lines.has(Field::Internal) {
            head.remove_field(Field::Internal);
        }
        lines.remove(INTERNAL_ONLY, head);
        if edge {
            lines.remove(NOT_FROM_OUTSIDE, head);
        }
        for name in &rules.internal_only {
            head.remove(name);
        }
    }
    if let Some(caller) = &rules.caller {
        client::name_caller(caller, head);
    }
    if let Some(via) = &rules.via {
        head.extend_field(Field::Via, ", ", via);
    }
    if edge {
        client.write_external_address(seen.address, head);
    }
    if rules.request_id.generates {
        request_id::settle(rules.request_id, edge, keys, lines, head);
    }
    certificate::tell(rules.certificate, client, lines, head);
}

/// A request without a scheme has the one that `x-forwarded-proto` says, if it is one, else that of its connection.
fn set_scheme(rules: &HeadRules, client: &Client, head: &mut impl ArrivingHead) {
    if let Some(scheme) = rules.scheme {
        head.set_scheme(scheme.as_str());
        head.set_const(Field::ForwardedProto, scheme.as_str());
    } else if head.scheme().is_none() {
        let said = head.last(Field::ForwardedProto).and_then(Scheme::parse);
        let scheme = said.unwrap_or_else(|| Scheme::over(client.tls));
        head.set_scheme(scheme.as_str());
    }
}
