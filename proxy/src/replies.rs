//! What stands in the answers that a node gives by itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::Version;
use http::header::{CONNECTION, HeaderMap, HeaderValue, LOCATION};
use proxy_core::reply::{BadHead, LocalReply, ReplyReason};

use crate::heads::RequestHead;

/// The body of a local reply; none: it has none.
///
/// Source: envoy `source/common/router/router.cc`, `source/common/http/conn_manager_impl.cc`, `source/extensions/filters/http/local_ratelimit`,
/// `source/extensions/filters/http/fault`.
pub(crate) fn text(reply: &LocalReply) -> Option<Cow<'static, str>> {
    match reset(reply.reason) {
        Some(why) => {
            let again = if reply.retried {
                "retried and the latest "
            } else {
                ""
            };
            Some(Cow::Owned(format!(
                "upstream connect error or disconnect/reset before headers. {again}reset reason: {why}"
            )))
        }
        None => plain(reply.reason).map(Cow::Borrowed),
    }
}

/// What an upstream's stream was reset by.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other reasons are no resets of a stream"
)]
const fn reset(reason: ReplyReason) -> Option<&'static str> {
    Some(match reason {
        ReplyReason::Overflow | ReplyReason::LoadShed => "overflow",
        ReplyReason::ConnectFailure => "remote connection failure",
        ReplyReason::ConnectTimeout => "connection timeout",
        ReplyReason::UpstreamTermination => "connection termination",
        ReplyReason::UpstreamReset => "remote reset",
        ReplyReason::UpstreamRefused => "remote refused stream reset",
        ReplyReason::LocalReset => "local reset",
        ReplyReason::UpstreamProtocolError => "protocol error",
        _ => return None,
    })
}

const fn plain(reason: ReplyReason) -> Option<&'static str> {
    Some(match reason {
        ReplyReason::NoHealthyUpstream | ReplyReason::Failfast => "no healthy upstream",
        ReplyReason::RouteTimeout | ReplyReason::PerTryTimeout | ReplyReason::PerTryIdle => {
            "upstream request timeout"
        }
        ReplyReason::StreamIdle => "stream timeout",
        ReplyReason::MaxStreamDuration => "downstream duration timeout",
        ReplyReason::RequestTimeout => "request timeout",
        ReplyReason::BodyTooLarge => "Request Entity Too Large",
        ReplyReason::RateLimited | ReplyReason::TooManyInFlight => "local_rate_limited",
        ReplyReason::FaultAbort => "fault filter abort",
        ReplyReason::NoRoute
        | ReplyReason::NoCluster
        | ReplyReason::Direct
        | ReplyReason::Redirect
        | ReplyReason::Draining
        | ReplyReason::Overflow
        | ReplyReason::LoadShed
        | ReplyReason::ConnectFailure
        | ReplyReason::ConnectTimeout
        | ReplyReason::UpstreamTermination
        | ReplyReason::UpstreamReset
        | ReplyReason::UpstreamRefused
        | ReplyReason::LocalReset
        | ReplyReason::UpstreamProtocolError
        | ReplyReason::UpgradeRefused
        | ReplyReason::BreakerOpen
        | ReplyReason::Preflight => return None,
        ReplyReason::MalformedBody => "Bad Request",
        ReplyReason::BadHead(why) => match why {
            BadHead::TooLarge => "Request Header Fields Too Large",
            BadHead::Version => "Upgrade Required",
            BadHead::Underscore | BadHead::Connection | BadHead::Target => "Bad Request",
            BadHead::NoHost | BadHead::PathForm | BadHead::Path | BadHead::PathRedirect => {
                return None;
            }
        },
    })
}

/// Writes what the head of a local reply has for its reason: where the client is sent to, and that the connection ends.
pub(crate) fn write_head(reply: &LocalReply, request: Option<&RequestHead>, out: &mut HeaderMap) {
    let Some(request) = request else {
        return;
    };
    if reply.reason == ReplyReason::BadHead(BadHead::PathRedirect)
        && let Ok(path) = HeaderValue::from_str(request.path())
    {
        out.insert(LOCATION, path);
    }
    if reply.closes() && request.parts.version < Version::HTTP_2 {
        out.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// A message as gRPC carries it.
///
/// Source: gRPC over HTTP/2, "Percent-Encoded"; envoy `source/common/common/utility.cc` (`PercentEncoding::encode`).
pub(crate) fn percent_encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_what_no_header_can() {
        for (text, want) in [
            ("plain text", "plain text"),
            ("100%", "100%25"),
            ("two\nlines", "two%0Alines"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(percent_encoded(text), want);
        }
    }
}
