//! The middlewares that refuse and that try again: rateLimit, inFlightReq, circuitBreaker, retry, buffering.
//!
//! Source: traefik `pkg/middlewares/{ratelimiter,inflightreq,circuitbreaker,retry,buffering}`, `pkg/middlewares/extractor.go`.

use proxy_core::breaker::Expression;
use proxy_core::config::{
    AbsentKey, Breaker, ClientOf, ForwardedEntry, GateKey, GateKind, RateLimit, RetryPolicy,
};
use proxy_core::limit::delaying_bucket::DelayingBucket;
use proxy_core::origin::Sourced;
use proxy_core::retry::backoff::{Around, Backoff};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::middlewares::one;
use super::{Reader, time};
use crate::dialects::traefik::blocks;
use crate::dialects::traefik::policy::StepKind;
use crate::dialects::traefik::rules::place;
use crate::dialects::traefik::types::middlewares::{
    Buffering, CircuitBreaker, InFlightReq, IpStrategy, RateLimit as WrittenLimit, Retry,
    SourceCriterion,
};
use crate::text::Spanned;

/// Longer requests are not tried again for their status, unless it is said otherwise.
const RETRIED_BODY: i64 = 2 << 20;

impl Reader<'_, '_> {
    pub(super) fn rate_limit(&mut self, it: &Spanned<WrittenLimit>) -> Option<Vec<StepKind>> {
        if let Some(redis) = &it.redis {
            let meaning = "each Traefik counts for itself, so that all together let through so many times as much";
            self.not_modelled("redis", meaning, redis.span);
        }
        let period = match &it.period {
            Some(period) => time(period, self.cx.diagnostics)?.value,
            None => Duration::from_secs(1),
        };
        let by_client = GateKey::ClientAddress {
            of: ClientOf::Connection,
            v6_prefix: None,
        };
        let key = self.key(it.source_criterion.as_ref(), by_client)?;
        let limit = RateLimit::Delaying(DelayingBucket {
            average: it.average.map_or(0, |average| average.value),
            period,
            burst: it.burst.map_or(1, |burst| burst.value),
        });
        one(StepKind::Gate(GateKind::Rate { limit, key }, 429))
    }

    pub(super) fn in_flight(&mut self, it: &Spanned<InFlightReq>) -> Option<Vec<StepKind>> {
        let key = self.key(it.source_criterion.as_ref(), GateKey::Host)?;
        let most = it.amount.map_or(0, |amount| amount.value);
        one(StepKind::Gate(GateKind::InFlight { most, key }, 429))
    }

    /// By what requests are told apart.
    fn key(
        &mut self,
        criterion: Option<&Spanned<SourceCriterion>>,
        default: GateKey,
    ) -> Option<GateKey> {
        let Some(criterion) = criterion else {
            return Some(default);
        };
        let header = criterion
            .request_header_name
            .as_ref()
            .filter(|name| !name.is_empty());
        let host = criterion.request_host.filter(|host| host.value);
        let spans = [
            criterion.ip_strategy.as_ref().map(|it| it.span),
            header.map(|it| it.span),
            host.map(|it| it.span),
        ];
        let written: Vec<_> = spans.into_iter().flatten().collect();
        if let [_, second, ..] = written[..] {
            self.refuse("requests are told apart by one thing", second);
            return None;
        }
        if let Some(strategy) = &criterion.ip_strategy {
            return self.client(strategy);
        }
        if let Some(name) = header {
            return Some(GateKey::Header {
                name: name.to_ascii_lowercase().into(),
                absent: AbsentKey::Shared,
            });
        }
        Some(host.map_or(default, |_| GateKey::Host))
    }

    /// Who the client is.
    fn client(&mut self, strategy: &Spanned<IpStrategy>) -> Option<GateKey> {
        let v6_prefix = match strategy.ipv6_subnet {
            Some(bits) if !(1..=128).contains(&bits.value) => {
                self.refuse("addresses of version 6 have 128 bits", bits.span);
                return None;
            }
            bits => bits.map(|bits| bits.value),
        };
        if let Some(depth) = strategy.depth.filter(|depth| depth.value > 0) {
            let entry = ForwardedEntry::FromRight(depth.value);
            return Some(GateKey::Forwarded { entry, v6_prefix });
        }
        if strategy.excluded_ips.is_empty() {
            return Some(GateKey::ClientAddress {
                of: ClientOf::Connection,
                v6_prefix,
            });
        }
        let mut outside = Vec::new();
        for text in &strategy.excluded_ips {
            let Some(block) = blocks::parse(text) else {
                let message = format!("`{text}` is neither an address nor a block of them");
                self.refuse(&message, text.span);
                return None;
            };
            outside.push(block);
        }
        // Source: `PoolStrategy` has no bits of version 6
        Some(GateKey::Forwarded {
            entry: ForwardedEntry::Outside(outside),
            v6_prefix: None,
        })
    }

    pub(super) fn breaker(&mut self, it: &Spanned<CircuitBreaker>) -> Option<Vec<StepKind>> {
        let Some(written) = it.expression.as_ref().filter(|text| !text.is_empty()) else {
            return self.refuse("a circuitBreaker needs an `expression`", it.span);
        };
        let expression = match Expression::parse(written) {
            Ok(expression) => expression,
            Err(error) => {
                let span = place(written, written.span, error.at.clone());
                return self.refuse(&error.to_string(), span);
            }
        };
        let mut length = |scalar: &Option<_>, default| match scalar {
            None => Some(default),
            Some(scalar) => {
                let found = time(scalar, self.cx.diagnostics)?.value;
                // Source: `circuitbreaker.New`: what is not above 0 is not set
                Some(if found == Duration::ZERO {
                    default
                } else {
                    found
                })
            }
        };
        let check_period = length(&it.check_period, Duration::from_millis(100))?;
        let fallback = length(&it.fallback_duration, Duration::from_secs(10))?;
        let recovery = length(&it.recovery_duration, Duration::from_secs(10))?;
        let status = it.response_code.map_or(503, |code| match code.value {
            0 => 503,
            code => code,
        });
        if !(100..600).contains(&status) {
            return self.refuse(&format!("there is no status {status}"), it.span);
        }
        let breaker = Breaker {
            expression,
            check_period,
            fallback,
            recovery,
        };
        one(StepKind::Gate(GateKind::Breaker(breaker), status))
    }

    /// Attempts are all tries. Before anything was sent any request is tried again; for its status one of an idempotent method.
    pub(super) fn retry(&mut self, it: &Spanned<Retry>) -> Option<Vec<StepKind>> {
        let Some(attempts) = it.attempts.filter(|attempts| attempts.value > 0) else {
            let span = it.attempts.map_or(it.span, |attempts| attempts.span);
            return self.refuse("a retry needs `attempts`, 1 at least", span);
        };
        let off = it.disable_retry_on_network_error.is_some_and(|it| it.value);
        if off && it.status.is_empty() {
            return self.refuse(
                "a retry of nothing: neither of failures nor of a status",
                it.span,
            );
        }
        let mut statuses = Vec::new();
        for text in &it.status {
            let Some(ranges) = blocks::statuses(text) else {
                let message = format!("`{text}` is no status and no range of them");
                return self.refuse(&message, text.span);
            };
            statuses.extend(ranges.into_iter().flat_map(|(from, to)| from..=to));
        }
        let pause = match &it.initial_interval {
            Some(interval) => Some(time(interval, self.cx.diagnostics)?),
            None => None,
        };
        let timeout = match &it.timeout {
            Some(timeout) => Some(time(timeout, self.cx.diagnostics)?),
            None => None,
        };
        let origin = self.cx.origins.written(it.span);
        let mut on = RetryOn::NONE;
        if !off {
            let conditions = [Condition::ConnectFailure, Condition::ResetBeforeRequest];
            on = conditions.into_iter().fold(on, RetryOn::with);
        }
        if !statuses.is_empty() {
            on = on.with(Condition::RetriableStatusCodes);
        }
        let backoff = match pause.filter(|pause| pause.value > Duration::ZERO) {
            None => Sourced::new(Backoff::None, self.cx.default_of(self.release)),
            Some(pause) => {
                let around = Around::traefik(pause.value, attempts.value);
                Sourced::new(Backoff::Around(around), self.cx.origins.written(pause.span))
            }
        };
        let any_method = it.retry_non_idempotent_method.is_some_and(|it| it.value);
        let most = it
            .max_request_body_bytes
            .map_or(RETRIED_BODY, |most| most.value);
        let body_limit = u64::try_from(most).ok().filter(|_| !statuses.is_empty());
        let no_try_after = timeout.filter(|timeout| timeout.value > Duration::ZERO);
        one(StepKind::Retry(Box::new(RetryPolicy {
            on: Sourced::new(on, origin),
            failures_have_statuses: !statuses.is_empty(),
            statuses,
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::new(attempts.value - 1, self.cx.origins.written(attempts.span)),
            per_try_timeout: None,
            per_try_idle_timeout: None,
            backoff,
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: !any_method,
            last_try_unbounded: false,
            no_try_after: no_try_after.map(|timeout| self.cx.origins.sourced(timeout)),
            body_limit,
            origin,
        })))
    }

    pub(super) fn buffering(&mut self, it: &Spanned<Buffering>) -> Option<Vec<StepKind>> {
        if let Some(most) = it.max_request_body_bytes.filter(|most| most.value > 0) {
            let meaning = "longer requests pass, where Traefik answers 413";
            self.not_modelled("maxRequestBodyBytes", meaning, most.span);
        }
        if let Some(most) = it.max_response_body_bytes.filter(|most| most.value > 0) {
            let meaning = "longer answers pass, where Traefik answers 500";
            self.not_modelled("maxResponseBodyBytes", meaning, most.span);
        }
        if let Some(expression) = it.retry_expression.as_ref().filter(|it| !it.is_empty()) {
            let meaning = "its requests are not tried again; the middleware `retry` is modelled";
            self.not_modelled("retryExpression", meaning, expression.span);
        }
        let meaning = "requests and answers are passed on as they come, so that slow clients and servers see each other";
        self.not_modelled("buffering", meaning, it.span);
        Some(Vec::new())
    }
}
