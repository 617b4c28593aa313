//! What requests are sent to, in words.

use std::fmt::Write as _;

use proxy_core::config::{
    Balancer, Cluster, Discovery, Limits, LocalityBalance, RetryBudget, UpstreamProtocol,
    UpstreamTransport,
};
use proxy_core::health::Check;
use proxy_core::origin::Sourced;
use proxy_core::outlier;

use super::World;
use super::words::percent;

fn bound(most: u32) -> String {
    match most {
        u32::MAX => "any".to_owned(),
        _ => most.to_string(),
    }
}

fn balancer(chosen: &Balancer) -> String {
    match chosen {
        Balancer::RoundRobin => "in turn".to_owned(),
        Balancer::LeastRequest { choices, .. } => format!("least requests of {choices}"),
        Balancer::Random => "at random".to_owned(),
        Balancer::RingHash {
            min_size, max_size, ..
        } => format!("hash on a ring of {min_size} to {max_size}"),
        Balancer::Maglev { size, .. } => format!("hash in a table of {size}"),
        Balancer::PeakEwma { default_rtt, decay } => {
            format!("peak latency, {default_rtt} at first, forgotten over {decay}")
        }
        Balancer::KongRing
        | Balancer::KongLeastConnections
        | Balancer::KongLatency
        | Balancer::NginxEwma
        | Balancer::TraefikTurns
        | Balancer::TraefikTwoChoices
        | Balancer::TraefikLeastTime
        | Balancer::TraefikRendezvous
        | Balancer::OriginalDestination => format!("{chosen:?}"),
    }
}

impl World {
    /// A cluster with its endpoints.
    pub(super) fn cluster(&self, cluster: &Cluster) -> String {
        let mut out = format!("\n[{}]", cluster.name);
        if cluster.discovery == Discovery::OriginalDestination {
            out.push_str(" wherever it was meant for");
        }
        for endpoint in &cluster.endpoints.endpoints {
            let _ = write!(out, " {}:{}", endpoint.hostname, endpoint.address.port());
        }
        let protocol = match cluster.protocol {
            UpstreamProtocol::Http1 => "HTTP/1.1",
            UpstreamProtocol::Http2 => "HTTP/2",
            UpstreamProtocol::Downstream => "HTTP as it came",
        };
        let transport = match &cluster.transport {
            UpstreamTransport::Plaintext => "plaintext".to_owned(),
            UpstreamTransport::Tls { sni, .. } => format!("TLS to {sni:?}"),
            UpstreamTransport::Mesh {
                only_where_meshed, ..
            } => {
                let only = if *only_where_meshed {
                    " where meshed"
                } else {
                    ""
                };
                format!("mutual TLS{only}")
            }
        };
        let _ = writeln!(
            out,
            "\n  {protocol}, {transport}; connected in {}",
            self.sourced(&cluster.connect_timeout)
        );
        let _ = writeln!(
            out,
            "  chosen {} ({})",
            balancer(&cluster.balancer.value),
            self.origin(cluster.balancer.origin)
        );
        if cluster.locality.value != LocalityBalance::Ignored {
            let _ = writeln!(out, "  by place: {:?}", cluster.locality.value);
        }
        let _ = writeln!(
            out,
            "  panic below {} ({})",
            percent(cluster.panic_threshold.value),
            self.origin(cluster.panic_threshold.origin)
        );
        self.limits(&cluster.limits, &mut out);
        self.pool(cluster, &mut out);
        self.health(cluster, &mut out);
        match cluster.retry_budget {
            Some(Sourced {
                value: RetryBudget::Concurrency(budget),
                origin,
            }) => {
                let _ = writeln!(
                    out,
                    "  retries at most {} % of requests, {} at least ({})",
                    budget.percent,
                    budget.min_concurrency,
                    self.origin(origin)
                );
            }
            Some(Sourced {
                value: RetryBudget::Rate(budget),
                origin,
            }) => {
                let _ = writeln!(out, "  {budget:?} ({})", self.origin(origin));
            }
            None => {}
        }
        if let Some(Sourced { value, origin }) = cluster.queue {
            let _ = writeln!(
                out,
                "  with nobody there {} wait for {} ({})",
                value.capacity,
                value.timeout,
                self.origin(origin)
            );
        }
        if let Some(Sourced { value, origin }) = cluster.slow_start {
            let _ = writeln!(out, "  {value:?} ({})", self.origin(origin));
        }
        out
    }

    fn limits(&self, both: &[Limits; 2], out: &mut String) {
        for (name, limits) in ["", " of high priority"].iter().zip(both) {
            if *limits == both[0] && !name.is_empty() {
                continue;
            }
            let all = [
                ("connections", limits.connections),
                ("waiting", limits.pending),
                ("requests", limits.requests),
                ("retries", limits.retries),
            ];
            let words = all.iter().map(|(what, most)| {
                format!(
                    "{} {what} ({})",
                    bound(most.value),
                    self.origin(most.origin)
                )
            });
            let words: Vec<String> = words.collect();
            let _ = writeln!(out, "  at once{name}: {}", words.join(", "));
        }
    }

    fn pool(&self, cluster: &Cluster, out: &mut String) {
        let pool = &cluster.pool;
        let mut words = Vec::new();
        if let Some(most) = &pool.max_requests_per_connection {
            words.push(format!("{} requests", self.sourced(most)));
        }
        if let Some(idle) = &pool.idle_timeout {
            words.push(format!("idle for {}", self.sourced(idle)));
        }
        if let Some(most) = &pool.max_duration {
            words.push(format!("for {}", self.sourced(most)));
        }
        if !words.is_empty() {
            let _ = writeln!(out, "  a connection: {}", words.join(", "));
        }
    }

    fn health(&self, cluster: &Cluster, out: &mut String) {
        if let Some(Sourced { value, origin }) = &cluster.outlier {
            let _ = writeln!(out, "  {} ({})", ejection(value), self.origin(*origin));
        }
        if let Some(Sourced { value, origin }) = cluster.accrual {
            let _ = writeln!(
                out,
                "  out after {} failures in a row, for {} to {} and up to {} more ({})",
                value.max_failures,
                value.min_penalty,
                value.max_penalty,
                value.jitter,
                self.origin(origin)
            );
        }
        for Sourced { value, origin } in &cluster.health_checks {
            let _ = writeln!(out, "  {} ({})", probe(value), self.origin(*origin));
        }
    }
}

fn ejection(it: &outlier::Settings) -> String {
    let mut counts = Vec::new();
    let mut count = |often: u32, enforced: u32, what: &str| {
        if often > 0 && enforced > 0 {
            counts.push(format!("{often} {what}"));
        }
    };
    count(
        it.consecutive_5xx,
        it.enforcing_consecutive_5xx.as_ppm(),
        "answers of 5xx",
    );
    count(
        it.consecutive_gateway_failure,
        it.enforcing_consecutive_gateway_failure.as_ppm(),
        "gateway errors",
    );
    if it.split_local_origin {
        count(
            it.consecutive_local_origin_failure,
            it.enforcing_consecutive_local_origin.as_ppm(),
            "failures to connect",
        );
    }
    let returns = match it.base_ejection_time == proxy_core::time::Duration::MAX {
        true => "until a probe passes".to_owned(),
        false => format!("for {} more each time", it.base_ejection_time),
    };
    format!(
        "out after {} in a row, {returns}, {} of them at most, looked at every {}",
        counts.join(" or "),
        percent(it.max_ejection_share),
        it.interval
    )
}

fn probe(it: &Check) -> String {
    let path = it.path.as_deref().unwrap_or("a connection");
    format!(
        "probed by {path} every {} ({:?} while unwell) for {}, in after {}, out after {}, well with {:?}",
        it.interval,
        it.unhealthy_interval,
        it.timeout,
        it.healthy_threshold,
        it.unhealthy_threshold,
        it.expected
    )
}
