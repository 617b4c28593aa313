//! Metrics under the field's names, as `/stats` and as Prometheus reads them.
//!
//! Source: Envoy 1.40 `source/server/admin/stats_render.cc`, `prometheus_stats.cc`; the buckets are those of its histograms.

use std::fmt::Write as _;

use super::shots::{ClusterShot, ProxyShot, downstream_times};
use crate::counts::Times;
use crate::stats::Counted;

/// Upper bounds of buckets, in milliseconds.
const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];
const QUANTILES: [f64; 10] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    of: Of,
    /// Without the name of what it is of: `upstream_rq_total`.
    name: String,
    help: &'static str,
    value: Value,
}

/// What a metric is of.
#[derive(Debug)]
enum Of {
    Process,
    Cluster(String),
    /// A rule for datagrams.
    Udp(String),
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(u64),
    Times(Box<Times>),
}

impl Metric {
    /// As `/stats` calls it.
    fn full_name(&self) -> String {
        match &self.of {
            Of::Process => self.name.clone(),
            Of::Cluster(cluster) => format!("cluster.{cluster}.{}", self.name),
            Of::Udp(rule) => format!("udp.{rule}.{}", self.name),
        }
    }
}

/// Every metric, sorted by name.
pub(super) fn all(counted: &[Counted], shots: &[ProxyShot], uptime: u64) -> Vec<Metric> {
    let mut all = Vec::new();
    let mut process = |name: &str, help, value| {
        all.push(Metric {
            of: Of::Process,
            name: name.to_owned(),
            help,
            value,
        });
    };
    for (name, help, value) in counted {
        // what is under way goes down again
        let value = match name.ends_with("_active") {
            true => Value::Gauge(*value),
            false => Value::Counter(*value),
        };
        process(name, help, value);
    }
    let sum = |of: fn(&ProxyShot) -> u64| Value::Gauge(shots.iter().map(of).sum());
    process(
        "http.downstream_cx_active",
        "Connections of clients.",
        sum(|it| it.connections),
    );
    process(
        "http.downstream_rq_active",
        "Requests under way.",
        sum(|it| it.exchanges),
    );
    process(
        "http.downstream_rq_time",
        "Milliseconds from a request's first byte to the end of its answer.",
        Value::Times(Box::new(downstream_times(shots))),
    );
    process(
        "server.uptime",
        "Seconds since the start.",
        Value::Gauge(uptime),
    );
    process("server.live", "1 while it serves.", Value::Gauge(1));
    let clusters = shots.iter().flat_map(|shot| &shot.clusters);
    clusters.for_each(|cluster| of_cluster(cluster, &mut all));
    for (rule, counts) in shots.iter().flat_map(|shot| &shot.udp) {
        all.extend(counts.all().map(|(name, help, value)| Metric {
            of: Of::Udp(rule.to_string()),
            name: name.to_owned(),
            help,
            value: match name.ends_with("_active") {
                true => Value::Gauge(value),
                false => Value::Counter(value),
            },
        }));
    }
    all.sort_by_cached_key(Metric::full_name);
    all
}

fn of_cluster(cluster: &ClusterShot, all: &mut Vec<Metric>) {
    let mut one = |name: &str, help, value| {
        all.push(Metric {
            of: Of::Cluster(cluster.name.clone()),
            name: name.to_owned(),
            help,
            value,
        });
    };
    for (name, help, value) in cluster.book.counts.all() {
        one(name, help, Value::Counter(value));
    }
    let endpoints = &cluster.endpoints;
    let count = |is: &dyn Fn(&super::shots::EndpointShot) -> bool| {
        Value::Gauge(endpoints.iter().filter(|it| is(it)).count() as u64)
    };
    one("membership_total", "Endpoints.", count(&|_| true));
    one(
        "membership_healthy",
        "Endpoints that are used outside panic.",
        count(&|it| it.is_healthy()),
    );
    one(
        "outlier_detection.ejections_active",
        "Endpoints that are out.",
        count(&|it| it.ejected),
    );
    let sum = |of: fn(&proxy_core::node::Active) -> u64| {
        Value::Gauge(cluster.active.iter().map(of).sum())
    };
    one(
        "upstream_cx_active",
        "Connections.",
        sum(|it| it.connections),
    );
    one(
        "upstream_rq_active",
        "Tries under way.",
        sum(|it| it.requests),
    );
    one(
        "upstream_rq_pending_active",
        "Tries that wait for a connection.",
        sum(|it| it.pending),
    );
    for (priority, (active, limits)) in ["default", "high"]
        .iter()
        .zip(cluster.active.iter().zip(&cluster.limits))
    {
        let open = [
            ("cx_open", active.connections, limits[0]),
            ("rq_pending_open", active.pending, limits[1]),
            ("rq_open", active.requests, limits[2]),
            ("rq_retry_open", active.retries, limits[3]),
        ];
        for (what, active, limit) in open {
            one(
                &format!("circuit_breakers.{priority}.{what}"),
                "1 while the limit is reached.",
                Value::Gauge(u64::from(active >= u64::from(limit))),
            );
        }
    }
    one(
        "upstream_rq_time",
        "Milliseconds from a try's beginning to its answer.",
        Value::Times(Box::new(cluster.book.time.clone())),
    );
}

/// `/stats`; those whose name contains `filter`, and with `used` those alone that have counted something.
pub(super) fn plain(metrics: &[Metric], filter: &str, used: bool) -> String {
    let mut out = String::new();
    let wanted = metrics.iter().map(|it| (it.full_name(), &it.value));
    for (name, value) in wanted.filter(|(name, _)| name.contains(filter)) {
        let _ = match value {
            Value::Counter(0) | Value::Gauge(0) if used => Ok(()),
            Value::Counter(value) | Value::Gauge(value) => writeln!(out, "{name}: {value}"),
            Value::Times(times) if times.is_empty() && used => Ok(()),
            Value::Times(times) if times.is_empty() => writeln!(out, "{name}: No recorded values"),
            Value::Times(times) => writeln!(out, "{name}: {}", quantiles(times)),
        };
    }
    out
}

fn quantiles(times: &Times) -> String {
    let each = QUANTILES.iter().map(|quantile| {
        let value = times.value_at_quantile(quantile / 100.0) as f64 / 1000.0;
        format!("P{quantile}(nan,{value})")
    });
    each.collect::<Vec<_>>().join(" ")
}

/// `/stats?format=json`.
pub(super) fn json(metrics: &[Metric], filter: &str, used: bool) -> serde_json::Value {
    let mut all = Vec::new();
    for metric in metrics {
        let name = metric.full_name();
        match &metric.value {
            Value::Counter(value) | Value::Gauge(value)
                if name.contains(filter) && (*value > 0 || !used) =>
            {
                all.push(serde_json::json!({"name": name, "value": value}));
            }
            Value::Counter(_) | Value::Gauge(_) | Value::Times(_) => {}
        }
    }
    serde_json::json!({"stats": all})
}

/// Labels and their values.
type Tags = Vec<(&'static str, String)>;

/// `/stats/prometheus`.
pub(super) fn prometheus(metrics: &[Metric]) -> String {
    let mut lines: Vec<(String, &Metric, Tags)> = metrics
        .iter()
        .map(|metric| {
            let (name, mut tags) = tagged(&metric.name);
            let prefix = match &metric.of {
                Of::Process => "envoy_",
                Of::Cluster(cluster) => {
                    tags.push(("envoy_cluster_name", cluster.clone()));
                    "envoy_cluster_"
                }
                Of::Udp(rule) => {
                    tags.push(("envoy_udp_prefix", rule.clone()));
                    "envoy_udp_"
                }
            };
            (
                format!("{prefix}{}", name.replace(['.', '-'], "_")),
                metric,
                tags,
            )
        })
        .collect();
    // all values of a name stand together
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::new();
    let mut before = "";
    for (name, metric, tags) in &lines {
        if name != before {
            let kind = match metric.value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Times(_) => "histogram",
            };
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
            before = name;
        }
        match &metric.value {
            Value::Counter(value) | Value::Gauge(value) => {
                let _ = writeln!(out, "{name}{{{}}} {value}", written(tags, None));
            }
            Value::Times(times) => histogram(&mut out, name, tags, times),
        }
    }
    out
}

/// A name without what Prometheus has as a label.
fn tagged(name: &str) -> (String, Tags) {
    for class in ["1xx", "2xx", "3xx", "4xx", "5xx"] {
        if let Some(stem) = name.strip_suffix(class) {
            let label = ("envoy_response_code_class", class[..1].to_owned());
            return (format!("{stem}xx"), vec![label]);
        }
    }
    (name.to_owned(), Vec::new())
}

fn written(tags: &[(&str, String)], more: Option<(&str, String)>) -> String {
    let all = tags.iter().chain(&more);
    let all = all.map(|(label, value)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{label}=\"{value}\"")
    });
    all.collect::<Vec<_>>().join(",")
}

fn histogram(out: &mut String, name: &str, tags: &[(&str, String)], times: &Times) {
    let mut below = 0;
    let mut recorded = times.iter_recorded().peekable();
    for bound in BUCKETS {
        while let Some(next) = recorded.peek()
            && next.value_iterated_to() as f64 <= bound * 1000.0
        {
            below += next.count_since_last_iteration();
            recorded.next();
        }
        let tags = written(tags, Some(("le", bound.to_string())));
        let _ = writeln!(out, "{name}_bucket{{{tags}}} {below}");
    }
    let all = times.len();
    let sum: f64 = times
        .iter_recorded()
        .map(|it| it.value_iterated_to() as f64 / 1000.0 * it.count_at_value() as f64)
        .sum();
    let tags_of_all = written(tags, Some(("le", "+Inf".to_owned())));
    let _ = writeln!(out, "{name}_bucket{{{tags_of_all}}} {all}");
    let tags = written(tags, None);
    let _ = writeln!(
        out,
        "{name}_sum{{{tags}}} {sum}\n{name}_count{{{tags}}} {all}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::times;

    #[test]
    fn classes_of_answers_are_a_label() {
        assert_eq!(
            tagged("upstream_rq_5xx"),
            (
                "upstream_rq_xx".to_owned(),
                vec![("envoy_response_code_class", "5".to_owned())]
            )
        );
        assert_eq!(tagged("upstream_rq_total").1, []);
    }

    #[test]
    fn buckets_count_all_that_lies_below_their_bound() {
        let mut times = times();
        for micros in [400, 900, 900, 4_000, 7_200_000_000] {
            times.saturating_record(micros);
        }
        let mut out = String::new();
        let tags = [("envoy_cluster_name", "a\"b".to_owned())];
        histogram(&mut out, "t", &tags, &times);
        for line in [
            r#"t_bucket{envoy_cluster_name="a\"b",le="0.5"} 1"#,
            r#"t_bucket{envoy_cluster_name="a\"b",le="1"} 3"#,
            r#"t_bucket{envoy_cluster_name="a\"b",le="5"} 4"#,
            r#"t_bucket{envoy_cluster_name="a\"b",le="1800000"} 4"#,
            r#"t_bucket{envoy_cluster_name="a\"b",le="+Inf"} 5"#,
            r#"t_count{envoy_cluster_name="a\"b"} 5"#,
        ] {
            assert!(out.lines().any(|it| it == line), "{line}\n{out}");
        }
    }
}
