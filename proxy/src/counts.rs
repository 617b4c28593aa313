//! What a worker counts by cluster: its own numbers, which nobody else touches, added up when somebody asks.

use hdrhistogram::Histogram;
use proxy_core::config::Name;
use proxy_core::event::{
    AttemptFailure, AttemptRecord, AttemptResult, EjectionReason, Event, Next, SessionFact,
    SessionRefusal,
};
use proxy_core::ids::ClusterId;
use proxy_core::time::Time;

use crate::datagrams::Heard;

macro_rules! counters {
    ($of:ident, $doc:literal: $($field:ident = $name:literal, $help:literal;)*) => {
        #[doc = $doc]
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $of {
            $(#[doc = $help] pub(crate) $field: u64,)*
        }

        impl $of {
            /// Name, help and value of each.
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$(($name, $help, self.$field),)*].into_iter()
            }

            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

// Source: Envoy 1.40, "Cluster manager statistics" and "Outlier detection statistics".
counters! {
    ClusterCounts, "Counters of one cluster.":
    total = "upstream_rq_total", "Tries.";
    completed = "upstream_rq_completed", "Tries that were answered.";
    of_1xx = "upstream_rq_1xx", "Of them, 1xx.";
    of_2xx = "upstream_rq_2xx", "Of them, 2xx.";
    of_3xx = "upstream_rq_3xx", "Of them, 3xx.";
    of_4xx = "upstream_rq_4xx", "Of them, 4xx.";
    of_5xx = "upstream_rq_5xx", "Of them, 5xx.";
    retry = "upstream_rq_retry", "Tries that were followed by another.";
    retry_success = "upstream_rq_retry_success", "Retries whose answer went to the client.";
    retry_overflow = "upstream_rq_retry_overflow", "Retries that a limit or a budget refused.";
    retry_limit_exceeded = "upstream_rq_retry_limit_exceeded", "Failures after which no retry was left.";
    timeout = "upstream_rq_timeout", "Tries that the route's timeout ended.";
    per_try_timeout = "upstream_rq_per_try_timeout", "Tries that their own timeout ended.";
    per_try_idle_timeout = "upstream_rq_per_try_idle_timeout", "Tries that were silent for too long.";
    rx_reset = "upstream_rq_rx_reset", "Tries that the endpoint reset.";
    cancelled = "upstream_rq_cancelled", "Tries that nobody wanted any more.";
    pending_overflow = "upstream_rq_pending_overflow", "Tries that a limit refused.";
    connect_fail = "upstream_cx_connect_fail", "Tries whose connection did not come to stand.";
    connect_timeout = "upstream_cx_connect_timeout", "Of them, for want of time.";
    none_healthy = "upstream_cx_none_healthy", "Tries for which no endpoint could be used.";
    destroyed = "upstream_cx_destroy_remote_with_active_rq", "Tries whose connection the endpoint closed.";
    protocol_error = "upstream_cx_protocol_error", "Tries whose answer was none.";
    cx_overflow = "upstream_cx_overflow", "Clients with datagrams that a limit refused.";
    sess_rx_datagrams = "udp.sess_rx_datagrams", "Datagrams of endpoints.";
    sess_rx_dropped = "udp.sess_rx_datagrams_dropped", "Those that were too long.";
    sess_rx_errors = "udp.sess_rx_errors", "Failures to hear endpoints.";
    sess_tx_datagrams = "udp.sess_tx_datagrams", "Datagrams to endpoints.";
    sess_tx_errors = "udp.sess_tx_errors", "Those that could not be sent.";
    ejections = "outlier_detection.ejections_enforced_total", "Endpoints taken out.";
    ejected_5xx = "outlier_detection.ejections_enforced_consecutive_5xx", "For 5xx in a row.";
    ejected_gateway = "outlier_detection.ejections_enforced_consecutive_gateway_failure", "For 502, 503 or 504 in a row.";
    ejected_local = "outlier_detection.ejections_enforced_consecutive_local_origin_failure", "For local failures in a row.";
    ejected_rate = "outlier_detection.ejections_enforced_success_rate", "For a success rate far below the others'.";
    ejected_local_rate = "outlier_detection.ejections_enforced_local_origin_success_rate", "The same of local results.";
    ejected_share = "outlier_detection.ejections_enforced_failure_percentage", "For too large a share of failures.";
    ejected_local_share = "outlier_detection.ejections_enforced_local_origin_failure_percentage", "The same of local results.";
    ejections_overflow = "outlier_detection.ejections_overflow", "Endpoints that stayed because too many were out.";
}

// Source: Envoy 1.40, "UDP proxy statistics"; the last is one of its listener's.
counters! {
    Udp, "Counters of a rule that takes datagrams.":
    total = "downstream_sess_total", "Clients.";
    active = "downstream_sess_active", "Of them, those whose sessions are not over.";
    idle_timeout = "idle_timeout", "Sessions that were silent for too long.";
    rx_bytes = "downstream_sess_rx_bytes", "Bytes of clients.";
    rx_datagrams = "downstream_sess_rx_datagrams", "Datagrams of clients.";
    rx_errors = "downstream_sess_rx_errors", "Failures to hear clients.";
    tx_bytes = "downstream_sess_tx_bytes", "Bytes to clients.";
    tx_datagrams = "downstream_sess_tx_datagrams", "Datagrams to clients.";
    tx_errors = "downstream_sess_tx_errors", "Those that could not be sent.";
    rx_dropped = "downstream_rx_datagram_dropped", "Datagrams of clients that were too long.";
}

/// Times in microseconds, to two digits.
pub(crate) type Times = Histogram<u32>;

/// Longest time that is told apart: an hour.
const LONGEST: u64 = 3_600_000_000;

pub(crate) fn times() -> Times {
    Histogram::new_with_max(LONGEST, 2).expect("the bounds are in order")
}

/// What one cluster has seen.
#[derive(Clone, Debug)]
pub(crate) struct ClusterBook {
    pub(crate) counts: ClusterCounts,
    pub(crate) time: Times,
}

impl Default for ClusterBook {
    fn default() -> Self {
        Self {
            counts: ClusterCounts::default(),
            time: times(),
        }
    }
}

/// What a worker has seen.
#[derive(Debug)]
pub(crate) struct Books {
    /// By cluster.
    clusters: Vec<Option<Box<ClusterBook>>>,
    /// By the name of the rule.
    pub(crate) udp: Vec<(Name, Udp)>,
    pub(crate) downstream_time: Times,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            udp: Vec::new(),
            downstream_time: times(),
        }
    }
}

impl Books {
    pub(crate) fn of(&self, cluster: ClusterId) -> Option<&ClusterBook> {
        self.clusters.get(cluster.0 as usize)?.as_deref()
    }

    fn book(&mut self, cluster: ClusterId) -> &mut ClusterBook {
        let at = cluster.0 as usize;
        if self.clusters.len() <= at {
            self.clusters.resize_with(at + 1, || None);
        }
        self.clusters[at].get_or_insert_default()
    }

    /// The figures of a rule for datagrams.
    pub(crate) fn udp(&mut self, name: &Name) -> &mut Udp {
        let known = self.udp.iter().position(|(it, _)| it == name);
        let at = known.unwrap_or_else(|| {
            self.udp.push((name.clone(), Udp::default()));
            self.udp.len() - 1
        });
        &mut self.udp[at].1
    }

    /// A datagram was sent to an endpoint, or could not be.
    pub(crate) fn sent_datagram(&mut self, cluster: ClusterId, ok: bool) {
        let counts = &mut self.book(cluster).counts;
        match ok {
            true => counts.sess_tx_datagrams += 1,
            false => counts.sess_tx_errors += 1,
        }
    }

    /// An endpoint was listened to.
    pub(crate) fn heard_datagram(&mut self, cluster: ClusterId, heard: Heard) {
        let counts = &mut self.book(cluster).counts;
        match heard {
            Heard::Datagram => counts.sess_rx_datagrams += 1,
            Heard::TooLong => counts.sess_rx_dropped += 1,
            Heard::Error => counts.sess_rx_errors += 1,
        }
    }

    /// Counts from zero again.
    pub(crate) fn reset(&mut self) {
        for book in self.clusters.iter_mut().flatten() {
            book.counts = ClusterCounts::default();
        }
    }

    pub(crate) fn record(&mut self, now: Time, event: &Event) {
        match event {
            Event::Exchange(record) => note(&mut self.downstream_time, record.start, now),
            Event::Attempt(record) => self.book(record.cluster).attempt(now, record),
            Event::Ejected { cluster, why, .. } => self.book(*cluster).counts.ejected(*why),
            Event::EjectionRefused {
                cluster, by_cap, ..
            } => self.book(*cluster).counts.ejections_overflow += u64::from(*by_cap),
            Event::Session {
                cluster: Some(cluster),
                fact: SessionFact::Refused(refusal),
                ..
            } => {
                let counts = &mut self.book(*cluster).counts;
                match refusal {
                    SessionRefusal::NoEndpoint => counts.none_healthy += 1,
                    SessionRefusal::Overflow => counts.cx_overflow += 1,
                    SessionRefusal::NoListener | SessionRefusal::Drain => {}
                }
            }
            Event::Decision { .. }
            | Event::Session { .. }
            | Event::Breaker { .. }
            | Event::Returned { .. }
            | Event::Health { .. }
            | Event::Closed { .. }
            | Event::Upgrade(_)
            | Event::Traced(_)
            | Event::Updated => {}
        }
    }
}

fn note(times: &mut Times, since: Time, now: Time) {
    times.saturating_record(now.since(since).as_nanos() / 1000);
}

impl ClusterBook {
    fn attempt(&mut self, now: Time, record: &AttemptRecord) {
        let counts = &mut self.counts;
        counts.total += u64::from(record.endpoint.is_some());
        match record.result {
            AttemptResult::Response(status) => {
                counts.completed += 1;
                *match status / 100 {
                    0 | 1 => &mut counts.of_1xx,
                    2 => &mut counts.of_2xx,
                    3 => &mut counts.of_3xx,
                    4 => &mut counts.of_4xx,
                    _ => &mut counts.of_5xx,
                } += 1;
                note(&mut self.time, record.start, now);
            }
            AttemptResult::Cancelled => counts.cancelled += 1,
            AttemptResult::Failed(failure) => counts.failed(failure),
        }
        let counts = &mut self.counts;
        match record.next {
            Next::Retried => counts.retry += 1,
            Next::RetryOverflow => counts.retry_overflow += 1,
            Next::RetriesExhausted => counts.retry_limit_exceeded += 1,
            Next::Final if record.number > 1 => {
                let answered = matches!(record.result, AttemptResult::Response(_));
                counts.retry_success += u64::from(answered);
            }
            Next::Final | Next::OutOfTime | Next::NotRetriable | Next::Superseded => {}
        }
    }
}

impl ClusterCounts {
    const fn failed(&mut self, failure: AttemptFailure) {
        let counter = match failure {
            AttemptFailure::NoHealthyUpstream => &mut self.none_healthy,
            AttemptFailure::Overflow => &mut self.pending_overflow,
            AttemptFailure::ConnectRefused => &mut self.connect_fail,
            AttemptFailure::ConnectTimeout => {
                self.connect_timeout += 1;
                &mut self.connect_fail
            }
            AttemptFailure::Terminated => &mut self.destroyed,
            AttemptFailure::Reset | AttemptFailure::RefusedStream => &mut self.rx_reset,
            AttemptFailure::PerTryTimeout => &mut self.per_try_timeout,
            AttemptFailure::PerTryIdle => &mut self.per_try_idle_timeout,
            AttemptFailure::RouteTimeout => &mut self.timeout,
            AttemptFailure::Protocol => &mut self.protocol_error,
        };
        *counter += 1;
    }

    const fn ejected(&mut self, why: EjectionReason) {
        self.ejections += 1;
        let counter = match why {
            EjectionReason::Consecutive5xx
            | EjectionReason::FailureAccrual
            | EjectionReason::PassiveCheck => &mut self.ejected_5xx,
            EjectionReason::ConsecutiveGateway => &mut self.ejected_gateway,
            EjectionReason::ConsecutiveLocalOrigin => &mut self.ejected_local,
            EjectionReason::SuccessRate => &mut self.ejected_rate,
            EjectionReason::LocalOriginSuccessRate => &mut self.ejected_local_rate,
            EjectionReason::FailurePercentage => &mut self.ejected_share,
            EjectionReason::LocalOriginFailurePercentage => &mut self.ejected_local_share,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::ids::{EndpointSlot, ExchangeId};
    use proxy_core::origin::OriginId;
    use proxy_core::time::Duration;

    fn attempt(number: u16, result: AttemptResult, next: Next) -> Event {
        Event::Attempt(AttemptRecord {
            exchange: ExchangeId {
                index: 0,
                generation: 0,
            },
            token: 0,
            number,
            cluster: ClusterId(3),
            endpoint: Some(EndpointSlot(0)),
            start: Time::ZERO,
            result,
            next,
            origin: OriginId::NONE,
            hedged: false,
        })
    }

    #[test]
    fn a_retry_that_helps_is_told_from_one_that_does_not() {
        let mut books = Books::default();
        let now = Time::ZERO + Duration::from_millis(7);
        let failed = AttemptResult::Failed(AttemptFailure::PerTryTimeout);
        for event in [
            attempt(1, failed, Next::Retried),
            attempt(2, AttemptResult::Response(200), Next::Final),
            attempt(1, failed, Next::Retried),
            attempt(2, failed, Next::RetriesExhausted),
        ] {
            books.record(now, &event);
        }
        let book = books.of(ClusterId(3)).expect("it was used");
        let counts = &book.counts;
        assert_eq!((counts.total, counts.completed, counts.of_2xx), (4, 1, 1));
        assert_eq!((counts.retry, counts.retry_success), (2, 1));
        assert_eq!(
            (counts.per_try_timeout, counts.retry_limit_exceeded),
            (3, 1)
        );
        assert_eq!(book.time.len(), 1);
        assert!((6900..7100).contains(&book.time.max()));
        assert!(books.of(ClusterId(2)).is_none(), "nobody used it");
    }

    #[test]
    fn books_of_workers_add_up() {
        let mut sum = ClusterCounts {
            total: 1,
            ..ClusterCounts::default()
        };
        let other = ClusterCounts {
            total: 2,
            retry: 5,
            ..ClusterCounts::default()
        };
        sum.add(&other);
        assert_eq!((sum.total, sum.retry), (3, 5));
        assert_eq!(sum.all().map(|(.., value)| value).sum::<u64>(), 8);
    }
}
