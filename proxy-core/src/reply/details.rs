//! Why a response is as it is, in the words of Envoy's `%RESPONSE_CODE_DETAILS%`.

use core::fmt;

use super::{BadHead, ReplyReason};

/// Why a response is as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Details {
    /// There was none.
    #[default]
    None,
    /// An upstream answered.
    ViaUpstream,
    /// The node answered itself.
    Reply {
        /// Why.
        reason: ReplyReason,
        /// Whether the request came over HTTP/2.
        http2: bool,
    },
    /// An upstream answered a handshake with something else than the switch it was asked for.
    NotSwitched,
    /// The response had begun, and broke off.
    BrokenOff(ReplyReason),
    /// The client went away.
    ClientGone,
    /// No filter chain takes the connection.
    NoFilterChain,
}

impl fmt::Display for Details {
    /// Source: envoy `source/common/stream_info/response_code_details`, `envoy/stream_info/stream_info.h` (`ResponseCodeDetailValues`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::ViaUpstream => f.write_str("via_upstream"),
            Self::NotSwitched => f.write_str("websocket_handshake_unsuccessful"),
            Self::Reply { reason, http2 } => match reset(*reason) {
                Some(why) => write!(f, "upstream_reset_before_response_started{{{why}}}"),
                None => f.write_str(of_reply(*reason, *http2)),
            },
            Self::BrokenOff(reason) => match reset(*reason) {
                Some(why) => write!(f, "upstream_reset_after_response_started{{{why}}}"),
                None => f.write_str(of_reply(*reason, false)),
            },
            Self::ClientGone => f.write_str("downstream_remote_disconnect"),
            Self::NoFilterChain => f.write_str("filter_chain_not_found"),
        }
    }
}

/// What an upstream's stream was reset by.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other reasons are no resets of a stream"
)]
const fn reset(reason: ReplyReason) -> Option<&'static str> {
    Some(match reason {
        ReplyReason::ConnectFailure => {
            "remote_connection_failure|delayed_connect_error:_Connection_refused"
        }
        ReplyReason::ConnectTimeout => "connection_timeout",
        ReplyReason::Overflow | ReplyReason::LoadShed => "overflow",
        ReplyReason::UpstreamTermination => "connection_termination",
        ReplyReason::UpstreamReset => "remote_reset",
        ReplyReason::UpstreamRefused => "remote_refused_stream_reset",
        ReplyReason::LocalReset => "local_reset",
        ReplyReason::UpstreamProtocolError => "protocol_error",
        _ => return None,
    })
}

const fn of_reply(reason: ReplyReason, http2: bool) -> &'static str {
    match reason {
        ReplyReason::NoRoute => "route_not_found",
        ReplyReason::NoCluster => "cluster_not_found",
        ReplyReason::NoHealthyUpstream | ReplyReason::Failfast => "no_healthy_upstream",
        ReplyReason::RouteTimeout => "response_timeout",
        ReplyReason::PerTryTimeout => "upstream_per_try_timeout",
        ReplyReason::PerTryIdle => "upstream_per_try_idle_timeout",
        ReplyReason::StreamIdle => "stream_idle_timeout",
        ReplyReason::MaxStreamDuration => "max_duration_timeout",
        ReplyReason::RequestTimeout => "request_overall_timeout",
        ReplyReason::BodyTooLarge => "request_payload_too_large",
        ReplyReason::RateLimited | ReplyReason::TooManyInFlight => "local_rate_limited",
        ReplyReason::BreakerOpen => "breaker_open",
        ReplyReason::FaultAbort => "fault_filter_abort",
        ReplyReason::Direct | ReplyReason::Redirect => "direct_response",
        ReplyReason::MalformedBody => "http1.codec_error",
        ReplyReason::UpgradeRefused => "upgrade_failed",
        ReplyReason::Preflight => "cors_response",
        ReplyReason::Draining => "draining",
        ReplyReason::BadHead(why) => of_bad_head(why, http2),
        ReplyReason::ConnectFailure
        | ReplyReason::ConnectTimeout
        | ReplyReason::Overflow
        | ReplyReason::LoadShed
        | ReplyReason::UpstreamTermination
        | ReplyReason::UpstreamReset
        | ReplyReason::UpstreamRefused
        | ReplyReason::LocalReset
        | ReplyReason::UpstreamProtocolError => "upstream_reset",
    }
}

const fn of_bad_head(why: BadHead, http2: bool) -> &'static str {
    match (why, http2) {
        (BadHead::TooLarge, false) => "http1.headers_too_large",
        (BadHead::TooLarge, true) => "http2.header_list_size_too_large",
        (BadHead::Underscore, false) => "http1.unexpected_underscore",
        (BadHead::Underscore, true) => "http2.unexpected_underscore",
        (BadHead::Connection, _) => "http1.connection_header_rejected",
        (BadHead::Version, _) => "low_version",
        (BadHead::Target, _) => "http1.invalid_url",
        (BadHead::NoHost, _) => "missing_host_header",
        (BadHead::PathForm, _) => "absolute_path_rejected",
        (BadHead::Path | BadHead::PathRedirect, _) => "path_normalization_failed",
    }
}
