//! Values as people read them, and as Go reads them.

use proxy_core::config::{Balancer, Cluster};
use proxy_core::retry::backoff::Backoff;
use proxy_core::time::Duration;

/// `10s`, `250ms`, `1500us`: the largest unit in which it is a whole number.
pub(crate) fn length(length: Duration) -> String {
    let nanos = length.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let fitting = units.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    match fitting {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => format!("{nanos}ns"),
    }
}

/// Whole seconds, not fewer than the length has, and at least one.
pub(crate) fn seconds_up(length: Duration) -> u64 {
    length.as_nanos().div_ceil(1_000_000_000).max(1)
}

/// Whether a length is whole seconds, and not none at all.
pub(crate) fn is_whole_seconds(length: Duration) -> bool {
    !length.is_zero() && length.as_nanos().is_multiple_of(1_000_000_000)
}

/// Whole milliseconds, not fewer than the length has, and at least one.
pub(crate) fn millis_up(length: Duration) -> u64 {
    length.as_nanos().div_ceil(1_000_000).max(1)
}

/// The pauses before further tries.
pub(crate) fn pauses(backoff: &Backoff) -> String {
    match backoff {
        Backoff::None => "at once".into(),
        Backoff::FullJitter(it) => format!("after up to {}, doubling", length(it.interval(0))),
        Backoff::AddedJitter(it) => format!("after {} and more, doubling", length(it.interval(0))),
        Backoff::Around(it) => format!("after around {}", length(it.interval(0))),
    }
}

/// How an endpoint is chosen.
pub(crate) fn balancer(cluster: &Cluster) -> &'static str {
    match &cluster.balancer.value {
        Balancer::RoundRobin => "in turn",
        Balancer::LeastRequest { .. } => "the less busy of a few",
        Balancer::Random => "any",
        Balancer::RingHash { .. } => "by a hash, on a ring",
        Balancer::Maglev { .. } => "by a hash, from a Maglev table",
        Balancer::PeakEwma { .. } => "the quicker of two by peak EWMA (Linkerd)",
        Balancer::KongRing => "in turn, on Kong's ring",
        Balancer::KongLeastConnections => "the fewest connections (Kong)",
        Balancer::KongLatency => "the quicker of two (Kong)",
        Balancer::NginxEwma => "the quicker of two (ingress-nginx)",
        Balancer::TraefikTurns => "in turn (Traefik)",
        Balancer::TraefikTwoChoices => "the less busy of two (Traefik)",
        Balancer::TraefikLeastTime => "the least time (Traefik)",
        Balancer::TraefikRendezvous => "by a hash of client and endpoint (Traefik)",
        Balancer::OriginalDestination => "whatever address it was meant for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_largest_unit_that_fits() {
        for (nanos, expected) in [
            (10_000_000_000, "10s"),
            (1_500_000_000, "1500ms"),
            (250_000_000, "250ms"),
            (1_500_000, "1500us"),
            (7, "7ns"),
        ] {
            assert_eq!(length(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn lengths_are_rounded_up_to_what_a_target_can_say() {
        assert_eq!(seconds_up(Duration::from_millis(1_500)), 2);
        assert_eq!(seconds_up(Duration::ZERO), 1);
        assert_eq!(millis_up(Duration::from_micros(1_500)), 2);
        assert!(is_whole_seconds(Duration::from_secs(3)));
        assert!(!is_whole_seconds(Duration::from_millis(300)));
    }
}
