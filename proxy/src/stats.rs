//! What a process counts, under Envoy's names.

use std::sync::atomic::{AtomicU64, Ordering};

use proxy_core::config::CloseReason;
use proxy_core::event::{Event, Next, UpgradeFact};
use proxy_core::trace::TraceReason;

macro_rules! counters {
    ($($field:ident = $name:literal, $help:literal;)*) => {
        /// Counters of all workers.
        #[derive(Debug, Default)]
        pub struct Stats {
            $(#[doc = $help] pub $field: AtomicU64,)*
        }

        impl Stats {
            /// Name, help and value of each.
            fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$(($name, $help, self.$field.load(Ordering::Relaxed)),)*].into_iter()
            }

            fn clear(&self) {
                $(self.$field.store(0, Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    downstream_cx_total = "http.downstream_cx_total", "Connections accepted.";
    downstream_cx_proxy_proto_error = "listener.downstream_cx_proxy_proto_error", "Connections that did not begin as the PROXY protocol has it.";
    dns_attempt = "dns.update_attempt", "Names of endpoints that were asked for again.";
    dns_failure = "dns.update_failure", "Of them, those that nobody knew; what was found before holds.";
    downstream_rq_total = "http.downstream_rq_total", "Requests that ended.";
    downstream_rq_1xx = "http.downstream_rq_1xx", "Of them, answered 1xx.";
    downstream_rq_2xx = "http.downstream_rq_2xx", "Of them, answered 2xx.";
    downstream_rq_3xx = "http.downstream_rq_3xx", "Of them, answered 3xx.";
    downstream_rq_4xx = "http.downstream_rq_4xx", "Of them, answered 4xx.";
    downstream_rq_5xx = "http.downstream_rq_5xx", "Of them, answered 5xx.";
    downstream_rq_gone = "http.downstream_rq_rx_reset", "Of them, given up by their clients before an answer.";
    downstream_cx_upgrades_total = "http.downstream_cx_upgrades_total", "Requests that were allowed to upgrade, and CONNECTs.";
    downstream_cx_upgrades_active = "http.downstream_cx_upgrades_active", "Of them, under way.";
    downstream_rq_ws_on_non_ws_route = "http.downstream_rq_ws_on_non_ws_route", "Upgrades and CONNECTs that were refused.";
    downstream_rq_header_timeout = "http.downstream_rq_header_timeout", "Connections closed because the head of a request took too long.";
    downstream_cx_idle_timeout = "http.downstream_cx_idle_timeout", "Connections closed because they had no request for too long.";
    downstream_cx_max_duration_reached = "http.downstream_cx_max_duration_reached", "Connections that ended because they were too old.";
    tcp_idle_timeout = "tcp.idle_timeout", "Carried connections closed because nothing was carried for too long.";
    tcp_max_downstream_connection_duration = "tcp.max_downstream_connection_duration", "Carried connections closed because they were too old.";
    downstream_cx_overflow = "listener.downstream_cx_overflow", "Connections closed because their listener had too many.";
    downstream_global_cx_overflow = "listener.downstream_global_cx_overflow", "Connections closed because the process had too many.";
    no_filter_chain_match = "listener.no_filter_chain_match", "Connections closed because no filter chain took them.";
    upstream_rq_total = "cluster.upstream_rq_total", "Tries that ended.";
    upstream_rq_retry = "cluster.upstream_rq_retry", "Tries that were followed by another.";
    upstream_rq_retry_overflow = "cluster.upstream_rq_retry_overflow", "Retries that a limit or a budget refused.";
    ejections_enforced_total = "cluster.outlier_detection.ejections_enforced_total", "Endpoints taken out.";
    tracing_random_sampling = "http.tracing.random_sampling", "Requests that were drawn to be traced.";
    tracing_service_forced = "http.tracing.service_forced", "Requests that a proxy wanted traced.";
    tracing_client_enabled = "http.tracing.client_enabled", "Requests that their clients wanted traced.";
    tracing_not_traceable = "http.tracing.not_traceable", "Requests that were not traced.";
    otlp_spans_sent = "tracing.opentelemetry.spans_sent", "Spans that a collector took.";
    otlp_spans_dropped = "tracing.opentelemetry.spans_dropped", "Spans that found no room, or no collector that took them.";
    otlp_timer_flushed = "tracing.opentelemetry.timer_flushed", "Times that few spans were sent because they had waited.";
    zipkin_spans_sent = "tracing.zipkin.spans_sent", "Spans that a collector took.";
    zipkin_spans_dropped = "tracing.zipkin.spans_dropped", "Spans that found no room, or no collector that took them.";
    zipkin_timer_flushed = "tracing.zipkin.timer_flushed", "Times that few spans were sent because they had waited.";
    zipkin_reports_sent = "tracing.zipkin.reports_sent", "Messages with spans that were taken.";
    zipkin_reports_dropped = "tracing.zipkin.reports_dropped", "Those that a collector refused.";
    zipkin_reports_failed = "tracing.zipkin.reports_failed", "Those that no collector answered.";
    config_updates = "server.config_updates", "Configurations put in force after the first.";
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts from zero again, but for what is under way.
    pub(crate) fn reset(&self) {
        let active = self.downstream_cx_upgrades_active.load(Ordering::Relaxed);
        self.clear();
        self.downstream_cx_upgrades_active
            .store(active, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, event: &Event) {
        match event {
            Event::Exchange(record) => {
                Self::count(&self.downstream_rq_total);
                Self::count(match record.status {
                    0 => &self.downstream_rq_gone,
                    1..200 => &self.downstream_rq_1xx,
                    200..300 => &self.downstream_rq_2xx,
                    300..400 => &self.downstream_rq_3xx,
                    400..500 => &self.downstream_rq_4xx,
                    500.. => &self.downstream_rq_5xx,
                });
            }
            Event::Attempt(record) => {
                Self::count(&self.upstream_rq_total);
                match record.next {
                    Next::Retried => Self::count(&self.upstream_rq_retry),
                    Next::RetryOverflow => Self::count(&self.upstream_rq_retry_overflow),
                    Next::Final
                    | Next::RetriesExhausted
                    | Next::OutOfTime
                    | Next::NotRetriable
                    | Next::Superseded => {}
                }
            }
            Event::Ejected { .. } => Self::count(&self.ejections_enforced_total),
            Event::Upgrade(fact) => match fact {
                UpgradeFact::Allowed => {
                    Self::count(&self.downstream_cx_upgrades_total);
                    Self::count(&self.downstream_cx_upgrades_active);
                }
                UpgradeFact::Refused => Self::count(&self.downstream_rq_ws_on_non_ws_route),
                UpgradeFact::Over => {
                    self.downstream_cx_upgrades_active
                        .fetch_sub(1, Ordering::Relaxed);
                }
            },
            Event::Closed {
                reason, carried, ..
            } => self.record_closed(*reason, *carried),
            Event::Traced(reason) => Self::count(match reason {
                TraceReason::Sampling => &self.tracing_random_sampling,
                TraceReason::ServiceForced => &self.tracing_service_forced,
                TraceReason::ClientForced => &self.tracing_client_enabled,
                TraceReason::NotTraceable => &self.tracing_not_traceable,
            }),
            Event::Updated => Self::count(&self.config_updates),
            Event::Decision { .. }
            | Event::EjectionRefused { .. }
            | Event::Breaker { .. }
            | Event::Returned { .. }
            | Event::Health { .. }
            | Event::Session { .. } => {}
        }
    }

    fn record_closed(&self, reason: CloseReason, carried: bool) {
        Self::count(match (reason, carried) {
            (CloseReason::ConnectionLimit, _) => &self.downstream_cx_overflow,
            (CloseReason::ProcessLimit, _) => &self.downstream_global_cx_overflow,
            (CloseReason::NoFilterChain, _) => &self.no_filter_chain_match,
            (CloseReason::Idle, false) => &self.downstream_cx_idle_timeout,
            (CloseReason::Idle, true) => &self.tcp_idle_timeout,
            (CloseReason::Age, false) => &self.downstream_cx_max_duration_reached,
            (CloseReason::Age, true) => &self.tcp_max_downstream_connection_duration,
            (
                CloseReason::NoListener
                | CloseReason::BlackHole
                | CloseReason::UpstreamFailed
                | CloseReason::Drain
                | CloseReason::ClientGone
                | CloseReason::Handshake,
                _,
            ) => return,
        });
    }
}

/// Name, help and value of a counter.
pub(crate) type Counted = (&'static str, &'static str, u64);

/// The counters of several processes together.
pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Stats>) -> Vec<Counted> {
    let none = Stats::default();
    let mut sums: Vec<Counted> = none.all().collect();
    for stats in all {
        for (sum, (_, _, value)) in sums.iter_mut().zip(stats.all()) {
            sum.2 += value;
        }
    }
    sums
}
