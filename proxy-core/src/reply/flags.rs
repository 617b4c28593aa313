//! Response flags.

use core::fmt;

/// Envoy's response flags of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Flags(u32);

macro_rules! flags {
    ($($name:ident = $bit:expr, $long:literal, $doc:expr;)*) => {
        impl Flags {
            $(#[doc = $doc] pub const $name: Self = Self(1 << $bit);)*
            const ALL: &[(Self, &str, &str)] = &[$((Self::$name, stringify!($name), $long),)*];
        }
    };
}

// In the order in which they are written, which is that of Envoy's `CoreResponseFlag`.
flags! {
    LH = 0, "FailedLocalHealthCheck", "The node is not healthy.";
    UH = 1, "NoHealthyUpstream", "No healthy upstream.";
    UT = 2, "UpstreamRequestTimeout", "Upstream request timeout.";
    LR = 3, "LocalReset", "Local reset.";
    UR = 4, "UpstreamRemoteReset", "Upstream remote reset.";
    UF = 5, "UpstreamConnectionFailure", "Upstream connection failure.";
    UC = 6, "UpstreamConnectionTermination", "Upstream connection termination.";
    UO = 7, "UpstreamOverflow", "Upstream overflow.";
    NR = 8, "NoRouteFound", "No route.";
    DI = 9, "DelayInjected", "Delay injected.";
    FI = 10, "FaultInjected", "Fault injected.";
    RL = 11, "RateLimited", "Rate limited.";
    UAEX = 12, "UnauthorizedExternalService", "Denied by an authorization service.";
    RLSE = 13, "RateLimitServiceError", "The rate limit service failed.";
    DC = 14, "DownstreamConnectionTermination", "Downstream connection terminated.";
    URX = 15, "UpstreamRetryLimitExceeded", "Retry limit exceeded.";
    SI = 16, "StreamIdleTimeout", "Stream idle timeout.";
    IH = 17, "InvalidEnvoyRequestHeaders", "A control header makes no sense.";
    DPE = 18, "DownstreamProtocolError", "Downstream protocol error.";
    UMSDR = 19, "UpstreamMaxStreamDurationReached", "Upstream max stream duration reached.";
    RFCF = 20, "ResponseFromCacheFilter", "From a cache.";
    NFCF = 21, "NoFilterConfigFound", "A filter has no configuration yet.";
    DT = 22, "DurationTimeout", "The connection lived too long.";
    UPE = 23, "UpstreamProtocolError", "Upstream protocol error.";
    NC = 24, "NoClusterFound", "No cluster.";
    OM = 25, "OverloadManagerTerminated", "The process is short of something.";
    DF = 26, "DnsResolutionFailed", "A name has no address.";
    DO = 27, "DropOverload", "Dropped by a share that an endpoint service named.";
    DR = 28, "DownstreamRemoteReset", "The client reset the stream.";
    UDO = 29, "UnconditionalDropOverload", "Dropped as all are.";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// By its letters.
    #[must_use]
    pub fn parse(letters: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, short, _)| *short == letters);
        found.map(|(flag, ..)| *flag)
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one flag of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Sets the flags of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names of those that are set, in their order.
    pub fn names(self, long: bool) -> impl Iterator<Item = &'static str> {
        let set = Self::ALL
            .iter()
            .filter(move |(flag, ..)| self.contains(*flag));
        set.map(move |(_, short, name)| if long { *name } else { *short })
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names(false);
        f.write_str(names.next().unwrap_or("-"))?;
        names.try_for_each(|name| write!(f, ",{name}"))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_in_one_order_and_none_as_a_dash() {
        assert_eq!(Flags::NONE.to_string(), "-");
        assert_eq!(Flags::URX.with(Flags::UF).to_string(), "UF,URX");
        assert_eq!(Flags::URX.with(Flags::UT).to_string(), "UT,URX");
    }

    #[test]
    fn every_flag_is_found_by_its_letters() {
        for (flag, short, long) in Flags::ALL {
            assert_eq!(Flags::parse(short), Some(*flag), "{long}");
        }
        assert_eq!(Flags::parse("XX"), None);
    }
}
