//! What differs between releases.

use core::fmt;

/// A release of Istio: `1.29`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Release(pub(super) &'static str);

/// The releases whose defaults are known: first the usual one, then the others, newest first.
pub(super) const RELEASES: &[&str] = &[
    "1.29", "1.31", "1.30", "1.28", "1.27", "1.26", "1.25", "1.24", "1.23",
];

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Release {
    fn minor(self) -> u32 {
        let minor = self.0.split('.').nth(1);
        minor
            .and_then(|minor| minor.parse().ok())
            .expect("releases are written as 1.n")
    }

    /// Whether a server's proxy sends a request again that was reset before anything of it was sent to the application.
    ///
    /// Source: istio `pilot/pkg/features/pilot.go`, `ENABLE_INBOUND_RETRY_POLICY`: off in 1.23, on since 1.24, where ports declared as gRPC
    /// are left out.
    pub(super) fn retries_inbound(self) -> bool {
        self.minor() >= 24
    }

    /// Whether `warmup` is known beside `warmupDurationSecs`.
    ///
    /// Source: istio `pilot/pkg/networking/core/cluster_traffic_policy.go`: since 1.24.
    pub(super) fn has_warmup(self) -> bool {
        self.minor() >= 24
    }

    /// Whether the `trafficDistribution` of Services counts for sidecars.
    ///
    /// Source: istio `pilot/pkg/networking/core/loadbalancer/loadbalancer.go`: since 1.25.
    pub(super) fn has_traffic_distribution(self) -> bool {
        self.minor() >= 25
    }

    /// Whether `retryBudget` is known.
    ///
    /// Source: istio `pilot/pkg/networking/core/cluster_traffic_policy.go`: since 1.27.
    pub(super) fn has_retry_budget(self) -> bool {
        self.minor() >= 27
    }

    /// Whether proxies are told of pods that are not ready, for which Envoy's panic routing is turned off: it would send to them.
    ///
    /// Source: istio 1.31 `pilot/pkg/features/experimental.go`, `PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS`: since 1.31. Departs: pods that are not
    /// ready are left out of every release's endpoints here, so that they count in no share of what is healthy.
    pub(super) fn tells_of_unready(self) -> bool {
        self.minor() >= 31
    }

    /// Whether copies of requests have `-shadow` behind their host.
    ///
    /// Source: istio 1.31 `pilot/pkg/features/pilot.go`, `DISABLE_SHADOW_HOST_SUFFIX`: not since 1.28.
    pub(super) fn marks_copies(self) -> bool {
        self.minor() < 28
    }

    /// Whether a host name with its last dot finds its virtual host.
    ///
    /// Source: istio `pilot/pkg/features/pilot.go`, `PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN`: since 1.27.
    pub(super) fn knows_last_dot(self) -> bool {
        self.minor() >= 27
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_its_release() {
        // newest first: retries inbound, warmup, traffic distribution, retry budget, last dot, unready endpoints
        let rows = [
            ("1.31", [true, true, true, true, true, true]),
            ("1.30", [true, true, true, true, true, false]),
            ("1.29", [true, true, true, true, true, false]),
            ("1.27", [true, true, true, true, true, false]),
            ("1.26", [true, true, true, false, false, false]),
            ("1.25", [true, true, true, false, false, false]),
            ("1.24", [true, true, false, false, false, false]),
            ("1.23", [false, false, false, false, false, false]),
        ];
        for (name, expected) in rows {
            let release = Release(name);
            let found = [
                release.retries_inbound(),
                release.has_warmup(),
                release.has_traffic_distribution(),
                release.has_retry_budget(),
                release.knows_last_dot(),
                release.tells_of_unready(),
            ];
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn releases_stand_newest_first_behind_the_usual_one() {
        let minors: Vec<u32> = RELEASES.iter().map(|name| Release(name).minor()).collect();
        assert!(minors[1..].is_sorted_by(|a, b| a > b), "{minors:?}");
        assert!(!minors[1..].contains(&minors[0]), "{minors:?}");
    }
}
