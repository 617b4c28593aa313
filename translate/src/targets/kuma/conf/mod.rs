//! Settings of a Service's port as fields of policies, complete, so that two ports can be told apart field by field.

mod cluster;
mod retry;

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{Cluster, Forward, HttpConnections};
use proxy_core::time::Duration;

pub(super) use cluster::{balance, breaker, health};
pub(super) use retry::{Speaks, retry};

use crate::targets::common::duration::whole;
use crate::targets::common::retries;
use crate::yaml::{Map, Value};

/// Something that cannot be said, in words, with what was written in its place.
pub(super) type Unsaid = Vec<(Area, String, String)>;

/// Kinds of policies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Timeout,
    Retry,
    Breaker,
    Balance,
    Health,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Timeout,
        Self::Retry,
        Self::Breaker,
        Self::Balance,
        Self::Health,
    ];

    /// As Kuma calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "MeshTimeout",
            Self::Retry => "MeshRetry",
            Self::Breaker => "MeshCircuitBreaker",
            Self::Balance => "MeshLoadBalancingStrategy",
            Self::Health => "MeshHealthCheck",
        }
    }

    /// The name of a policy for the whole mesh: it comes before those of stock ones, which would hide it otherwise.
    pub(super) const fn of_mesh(self) -> &'static str {
        match self {
            Self::Timeout => "all-timeouts",
            Self::Retry => "all-retries",
            Self::Breaker => "all-limits",
            Self::Balance => "all-balancing",
            Self::Health => "all-checks",
        }
    }

    /// What holds without any policy of this kind but the stock ones.
    pub(super) fn stock(self) -> Fields {
        let text = |text: &str| Value::from(text);
        let rows: Vec<(&str, Value)> = match self {
            Self::Timeout => vec![
                ("connectionTimeout", text("5s")),
                ("idleTimeout", text("1h")),
                ("http.requestTimeout", text("15s")),
                ("http.streamIdleTimeout", text("30m")),
                ("http.maxStreamDuration", text("0s")),
                ("http.maxConnectionDuration", text("0s")),
                ("http.requestHeadersTimeout", text("0s")),
            ],
            Self::Retry => {
                let http = ["GatewayError", "ConnectFailure", "RefusedStream"];
                let mut fields = Fields::new();
                for (kind, on) in [("http", &http[..]), ("grpc", &[][..])] {
                    let rows = [
                        ("numRetries", 5_u32.into()),
                        ("perTryTimeout", text("16s")),
                        ("backOff.baseInterval", text("25ms")),
                        ("backOff.maxInterval", text("250ms")),
                        ("retryOn", Value::from(on.to_vec())),
                    ];
                    for (field, value) in rows {
                        fields.insert(format!("{kind}.{field}"), value);
                    }
                }
                let none = Value::List(Vec::new());
                fields.insert("http.hostSelection".to_owned(), none);
                return fields;
            }
            Self::Breaker => vec![
                ("connectionLimits.maxConnections", 1024_u32.into()),
                ("connectionLimits.maxPendingRequests", 1024_u32.into()),
                ("connectionLimits.maxRequests", 1024_u32.into()),
                ("connectionLimits.maxRetries", 3_u32.into()),
            ],
            Self::Balance => vec![("loadBalancer.type", text("RoundRobin"))],
            Self::Health => Vec::new(),
        };
        rows.into_iter()
            .map(|(path, value)| (path.to_owned(), value))
            .collect()
    }
}

/// Fields by their dotted path.
pub(super) type Fields = BTreeMap<String, Value>;

/// Fields as a tree.
pub(super) fn nested(fields: &Fields) -> Map {
    let mut map = Map::new();
    for (path, value) in fields {
        let mut at = &mut map;
        let mut steps: Vec<&str> = path.split('.').collect();
        let last = steps.pop().unwrap_or_default();
        for step in steps {
            at = at.under(step);
        }
        at.set(last, value.clone());
    }
    map
}

/// The fields that differ from those that hold anyway.
pub(super) fn beyond(own: &Fields, held: &Fields) -> Fields {
    let mut fields: Fields = own
        .iter()
        .filter(|(path, value)| held.get(*path) != Some(value))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect();
    // parts that are one: settings of a pause or an ejection stand together
    let ejects = |all: &Fields| all.keys().any(|path| path.starts_with("outlierDetection."));
    if ejects(held) && !ejects(own) && !own.is_empty() {
        fields.insert("outlierDetection.disabled".to_owned(), true.into());
    }
    fields
}

fn length(of: Option<Duration>) -> Value {
    Value::from(whole(of.unwrap_or(Duration::ZERO)))
}

/// Timeouts of requests of a route, and of connections to its destination.
pub(super) fn timeouts(
    forward: Option<&Forward>,
    http: Option<&HttpConnections>,
    cluster: Option<&Cluster>,
) -> Fields {
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| {
        fields.insert(path.to_owned(), value);
    };
    if let Some(cluster) = cluster {
        set(
            "connectionTimeout",
            whole(cluster.connect_timeout.value).into(),
        );
        set(
            "idleTimeout",
            length(cluster.pool.idle_timeout.map(|it| it.value)),
        );
        set(
            "http.maxConnectionDuration",
            length(cluster.pool.max_duration.map(|it| it.value)),
        );
    }
    if let Some(forward) = forward {
        set("http.requestTimeout", length(retries::timeout(forward)));
        let idle = forward.idle_timeout.map(|it| it.value);
        let idle = idle.or_else(|| {
            http.and_then(|it| it.stream_idle_timeout)
                .map(|it| it.value)
        });
        set("http.streamIdleTimeout", length(idle));
        let stream = forward.max_stream_duration.map(|it| it.value);
        let stream = stream.or_else(|| {
            http.and_then(|it| it.max_stream_duration)
                .map(|it| it.value)
        });
        set("http.maxStreamDuration", length(stream));
        let head = http.and_then(|it| it.head_timeout).map(|it| it.value);
        set("http.requestHeadersTimeout", length(head));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::{ClusterIndex, EndpointSet};
    use proxy_core::origin::Sourced;

    #[test]
    fn fields_stand_in_a_tree() {
        let fields = Fields::from([
            ("http.requestTimeout".to_owned(), Value::from("1s")),
            ("connectionTimeout".to_owned(), Value::from("2s")),
        ]);
        let text = Value::from(nested(&fields)).to_yaml();
        assert_eq!(text, "connectionTimeout: 2s\nhttp:\n  requestTimeout: 1s\n");
    }

    #[test]
    fn what_the_stock_policies_say_is_not_beyond_them() {
        let cluster = Cluster::envoy("c", EndpointSet::default());
        let mut forward = Forward::to(ClusterIndex(0));
        forward.timeout = Sourced::unsourced(Some(Duration::from_secs(15)));
        forward.idle_timeout = Some(Sourced::unsourced(Duration::from_secs(1800)));
        let own = timeouts(Some(&forward), None, Some(&cluster));
        assert_eq!(beyond(&own, &Kind::Timeout.stock()), Fields::new());
        let own = breaker(&cluster, &mut Unsaid::new());
        assert_eq!(beyond(&own, &Kind::Breaker.stock()), Fields::new());
        let own = balance(&cluster, None, &mut Unsaid::new());
        assert_eq!(beyond(&own, &Kind::Balance.stock()), Fields::new());
    }

    #[test]
    fn no_timeout_is_zero_since_kuma_has_fifteen_seconds() {
        let forward = Forward::to(ClusterIndex(0));
        let own = timeouts(Some(&forward), None, None);
        let beyond = beyond(&own, &Kind::Timeout.stock());
        assert_eq!(beyond.get("http.requestTimeout"), Some(&Value::from("0s")));
    }

    #[test]
    fn no_retries_are_zero_since_kuma_has_five() {
        let forward = Forward::to(ClusterIndex(0));
        let own = retry(&forward, Speaks::Http, &mut Unsaid::new());
        let beyond = beyond(&own, &Kind::Retry.stock());
        assert_eq!(
            beyond,
            Fields::from([("http.numRetries".to_owned(), Value::from(0_u32))])
        );
    }

    #[test]
    fn ejection_that_others_have_is_turned_off() {
        let own = breaker(
            &Cluster::envoy("c", EndpointSet::default()),
            &mut Unsaid::new(),
        );
        let mut held = own.clone();
        held.insert("outlierDetection.interval".to_owned(), Value::from("10s"));
        let beyond = beyond(&own, &held);
        assert_eq!(
            beyond.get("outlierDetection.disabled"),
            Some(&Value::Bool(true))
        );
    }
}
