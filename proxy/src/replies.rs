//! What stands in the answers that a node gives by itself.

use proxy_core::reply::ReplyReason;

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
    })
}

/// Whether the client is told that a rate limit refused it.
pub(crate) const fn is_rate_limited(reason: ReplyReason) -> bool {
    matches!(reason, ReplyReason::RateLimited)
}
