//! The policy values that hold between one workload and another, in words, with the rule that set each.

use proxy_core::config::{
    Balancer, Cluster, Forward, NodeConfig, RetryBudget, RouteAction, Section,
};
use proxy_core::origin::{OriginId, Sourced};
use reports::setup::{Origin, PolicyValue};

/// What a proxy of this configuration does on the way to `services` (`namespace/name`). Of several routes that lead there the first
/// speaks; of several clusters every one that says something of its own.
#[must_use]
pub fn of(
    config: &NodeConfig,
    leads_there: &dyn Fn(&str) -> bool,
    origins: &[Origin],
) -> Vec<PolicyValue> {
    let mut list = List {
        origins,
        values: Vec::new(),
    };
    for section in &config.sections {
        let clusters = section.clusters().iter().enumerate();
        let ours: Vec<usize> = clusters
            .filter(|(_, cluster)| leads_there(&cluster.service))
            .map(|(at, _)| at)
            .collect();
        if ours.is_empty() {
            continue;
        }
        if let Some(forward) = route_to(section, &ours) {
            list.route(forward);
        }
        for at in ours {
            list.cluster(&section.clusters()[at]);
        }
    }
    list.values
}

/// What a proxy does on the way to a cluster that it has chosen.
pub(crate) fn of_cluster(cluster: &Cluster, origins: &[Origin]) -> Vec<PolicyValue> {
    let mut list = List {
        origins,
        values: Vec::new(),
    };
    list.cluster(cluster);
    list.values
}

fn route_to<'a>(section: &'a Section, clusters: &[usize]) -> Option<&'a Forward> {
    let hosts = section
        .tables()
        .iter()
        .flat_map(|table| &table.virtual_hosts);
    hosts.flat_map(|host| &host.routes).find_map(|route| {
        let RouteAction::Forward(forward) = &route.action else {
            return None;
        };
        let mut targets = forward.clusters.iter().filter_map(|it| it.cluster);
        let leads = targets.any(|target| clusters.contains(&(target.0 as usize)));
        leads.then_some(&**forward)
    })
}

struct List<'a> {
    origins: &'a [Origin],
    values: Vec<PolicyValue>,
}

impl List<'_> {
    fn add(&mut self, name: &str, value: String, origin: OriginId) {
        let origin = self.origins.get(origin.0 as usize);
        let value = PolicyValue {
            name: name.to_owned(),
            value,
            origin: origin.map(|origin| origin.text.clone()).unwrap_or_default(),
        };
        if !self.values.contains(&value) {
            self.values.push(value);
        }
    }

    fn limit(&mut self, name: &str, limit: Sourced<u32>) {
        if limit.value != u32::MAX {
            self.add(name, limit.value.to_string(), limit.origin);
        }
    }

    fn route(&mut self, forward: &Forward) {
        let timeout = forward.timeout;
        let text = timeout
            .value
            .map_or_else(|| "none".to_owned(), |timeout| timeout.to_string());
        self.add("request timeout", text, timeout.origin);
        let Some(retry) = &forward.retry else {
            self.add("retries", "0".to_owned(), forward.timeout.origin);
            return;
        };
        self.add(
            "retries",
            retry.retries.value.to_string(),
            retry.retries.origin,
        );
        if retry.retries.value == 0 {
            return;
        }
        let on = retry.on.value.to_string();
        self.add("retry on", on, retry.on.origin);
        if !retry.statuses.is_empty() {
            let statuses: Vec<String> = retry.statuses.iter().map(u16::to_string).collect();
            self.add("retried statuses", statuses.join(", "), retry.on.origin);
        }
        if let Some(timeout) = retry.per_try_timeout {
            self.add("per-try timeout", timeout.value.to_string(), timeout.origin);
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let balancer = &cluster.balancer;
        self.add(
            "balancing",
            balancer_words(&balancer.value),
            balancer.origin,
        );
        let connect = cluster.connect_timeout;
        self.add("connect timeout", connect.value.to_string(), connect.origin);
        let limits = cluster.limits[0];
        self.limit("connection limit", limits.connections);
        self.limit("pending-request limit", limits.pending);
        self.limit("request limit", limits.requests);
        match cluster.retry_budget {
            None => self.limit("concurrent-retry limit", limits.retries),
            Some(budget) => {
                let text = match budget.value {
                    RetryBudget::Concurrency(budget) => format!(
                        "{} % of the requests under way, at least {}",
                        budget.percent, budget.min_concurrency
                    ),
                    RetryBudget::Rate(_) => "a share of the requests of late".to_owned(),
                };
                self.add("retry budget", text, budget.origin);
            }
        }
        if let Some(outlier) = cluster.outlier {
            let value = outlier.value;
            let text = format!(
                "{} × 5xx, out for {}, at most {} % of the endpoints",
                value.consecutive_5xx,
                value.base_ejection_time,
                value.max_ejection_share.as_fraction() * 100.0
            );
            self.add("outlier ejection", text, outlier.origin);
        }
        if let Some(accrual) = cluster.accrual {
            let value = accrual.value;
            let text = format!(
                "{} failures in a row, out for {} and longer",
                value.max_failures, value.min_penalty
            );
            self.add("failure accrual", text, accrual.origin);
        }
        if let Some(passive) = cluster.passive {
            let value = passive.value;
            let text = format!(
                "{} failures within {}, out for as long",
                value.failures, value.window
            );
            self.add("passive health check", text, passive.origin);
        }
        for check in &cluster.health_checks {
            self.add("active health check", "yes".to_owned(), check.origin);
        }
    }
}

fn balancer_words(balancer: &Balancer) -> String {
    match balancer {
        Balancer::RoundRobin => "round robin",
        Balancer::LeastRequest { .. } => "least request",
        Balancer::Random => "random",
        Balancer::RingHash { .. } => "ring hash",
        Balancer::Maglev { .. } => "Maglev",
        Balancer::PeakEwma { .. } => "peak EWMA, better of two",
        Balancer::KongRing => "Kong's round robin",
        Balancer::KongLeastConnections => "Kong's least connections",
        Balancer::KongLatency => "Kong's latency",
        Balancer::NginxEwma => "ingress-nginx' ewma, better of two",
        Balancer::TraefikTurns => "Traefik's wrr",
        Balancer::TraefikTwoChoices => "Traefik's p2c, fewer requests of two",
        Balancer::TraefikLeastTime => "Traefik's leasttime",
        Balancer::TraefikRendezvous => "Traefik's hrw",
        Balancer::OriginalDestination => "the address it was sent to",
    }
    .to_owned()
}
