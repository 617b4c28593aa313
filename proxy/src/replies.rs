//! What stands in the answers that a node gives by itself.

use http::Version;
use http::header::{CONNECTION, HeaderMap, HeaderValue, LOCATION};
use proxy_core::reply::{BadHead, LocalReply, ReplyReason};

use crate::heads::RequestHead;

/// The body of a local reply; none: it has none.
///
/// Source: envoy `source/common/router/router.cc`, `source/common/http/conn_manager_impl.cc`, `source/extensions/filters/http/local_ratelimit`,
/// `source/extensions/filters/http/fault`.
pub(crate) const fn text(reason: ReplyReason) -> Option<&'static str> {
    Some(match reason {
        ReplyReason::NoHealthyUpstream | ReplyReason::Failfast => "no healthy upstream",
        ReplyReason::Overflow | ReplyReason::LoadShed => {
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        }
        ReplyReason::ConnectFailure => {
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        }
        ReplyReason::ConnectTimeout => {
            "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
        }
        ReplyReason::UpstreamTermination => {
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
        }
        ReplyReason::UpstreamReset => {
            "upstream connect error or disconnect/reset before headers. reset reason: remote reset"
        }
        ReplyReason::LocalReset => {
            "upstream connect error or disconnect/reset before headers. reset reason: local reset"
        }
        ReplyReason::UpstreamProtocolError => {
            "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
        }
        ReplyReason::RouteTimeout | ReplyReason::PerTryTimeout => "upstream request timeout",
        ReplyReason::StreamIdle => "stream timeout",
        ReplyReason::MaxStreamDuration => "upstream max stream duration reached",
        ReplyReason::RequestTimeout => "request timeout",
        ReplyReason::RateLimited => "local_rate_limited",
        ReplyReason::FaultAbort => "fault filter abort",
        ReplyReason::NoRoute
        | ReplyReason::NoCluster
        | ReplyReason::Direct
        | ReplyReason::Redirect
        | ReplyReason::Draining => return None,
        ReplyReason::MalformedBody => "Bad Request",
        ReplyReason::BadHead(why) => match why {
            BadHead::TooLarge => "Request Header Fields Too Large",
            BadHead::Version => "Upgrade Required",
            BadHead::Underscore | BadHead::Connection => "Bad Request",
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

/// Whether the client is told that a rate limit refused it.
pub(crate) const fn is_rate_limited(reason: ReplyReason) -> bool {
    matches!(reason, ReplyReason::RateLimited)
}
