//! A run made up by formula in the shape of a retry storm, for tests of what is made of results.

use proxy_core::time::{Duration, Time};

use crate::expect::{Expectation, judge};
use crate::ids::{
    ChangeId, ClusterId, EdgeId, EndpointId, FaultId, LoadId, OriginId, ProxyId, WorkloadId,
};
use crate::outcome::{
    AttemptKind, EjectionReason, ErrorReason, Handled, Limit, Outcome, Refusal, RetryCondition, Why,
};
use crate::recorder::Recorder;
use crate::result::{Assumption, Basis, NotModelled, Note, RunResult};
use crate::setup::{
    ChangeSetup, ClusterSetup, EdgeSetup, FaultSetup, LoadSetup, Origin, PolicyValue, ProxySetup,
    Setup, WorkloadKind, WorkloadSetup,
};
use crate::waterfall::{Chosen, Lane, LaneKind, Mark, Span, SpanKind, Waterfall};

/// Which of the made-up runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Retries without a budget: it outlives its trigger.
    Storm,
    /// The same with a budget: it heals.
    Budget,
    /// Nothing gets through.
    Refused,
}

impl Shape {
    /// 0 well, 1 collapsed.
    fn severity(self, t: f64) -> f64 {
        let rise = ((t - 30.0) / 4.0).clamp(0.0, 1.0);
        match self {
            Self::Storm => rise,
            Self::Budget => 0.35 * rise * (1.0 - ((t - 50.0) / 4.0).clamp(0.0, 1.0)),
            Self::Refused => 0.0,
        }
    }
}

/// A number in 0..1 that depends on nothing but its arguments.
fn noise(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

const SECOND: u64 = 1_000_000_000;
const NAMES: [&str; 5] = [
    "api-gateway",
    "service-a",
    "service-b",
    "service-c",
    "service-d",
];
const EDGES: [(u32, u32); 4] = [(0, 1), (1, 2), (1, 3), (1, 4)];

fn setup(shape: Shape, seed: u64) -> Setup {
    let policy = |name: &str, value: &str, origin: &str| PolicyValue {
        name: name.into(),
        value: value.into(),
        origin: origin.into(),
    };
    let origin = |text: &str, kind: &str| Origin {
        text: text.into(),
        kind: kind.into(),
        snippet: if kind.starts_with("mode STRICT") {
            "mode: STRICT".into()
        } else {
            String::new()
        },
    };
    let mut b_policies = vec![
        policy("retries", "2, on 5xx, at once", "layered/vs.yaml:14"),
        policy("timeout", "1 s", "layered/vs.yaml:18"),
        policy("per-try timeout", "400 ms", "layered/vs.yaml:16"),
        policy("pending requests", "1,024", "default of istio@1.29"),
        policy(
            "outlier ejection",
            "5 × 5xx in a row, 30 s",
            "layered/dr.yaml:12",
        ),
    ];
    if shape == Shape::Budget {
        b_policies.push(policy(
            "retry budget",
            "20 %, at least 3",
            "budget/dr.yaml:21",
        ));
    }
    Setup {
        scenario: "retry-storm".into(),
        variant: match shape {
            Shape::Storm => None,
            Shape::Budget => Some("budget".into()),
            Shape::Refused => Some("kong outside the mesh".into()),
        },
        seed,
        duration: Duration::from_secs(120),
        warmup: Duration::from_secs(10),
        window: None,
        start_time: Some("2026-01-05T09:00:00Z".into()),
        loads: vec![LoadSetup {
            name: "shoppers".into(),
            enters: Some(WorkloadId(0)),
            users: None,
        }],
        workloads: NAMES
            .iter()
            .enumerate()
            .map(|(at, name)| WorkloadSetup {
                name: (*name).into(),
                namespace: if at == 0 { "kong" } else { "default" }.into(),
                kind: if at == 0 {
                    WorkloadKind::Gateway
                } else {
                    WorkloadKind::Application
                },
                replicas: 2,
            })
            .collect(),
        edges: EDGES
            .iter()
            .map(|&(from, to)| EdgeSetup {
                from: WorkloadId(from),
                to: WorkloadId(to),
                policies: if to == 2 {
                    b_policies.clone()
                } else {
                    vec![policy(
                        "retries",
                        "2, on connect-failure, refused-stream",
                        "default of istio@1.29",
                    )]
                },
            })
            .collect(),
        clusters: vec![ClusterSetup {
            name: "outbound|80||service-b.default.svc.cluster.local".into(),
            edge: Some(EdgeId(1)),
            endpoints: vec!["service-b-0".into(), "service-b-1".into()],
        }],
        proxies: vec![
            ProxySetup {
                name: "api-gateway-0".into(),
                workload: Some(WorkloadId(0)),
                workers: 2,
            },
            ProxySetup {
                name: "api-gateway-1".into(),
                workload: Some(WorkloadId(0)),
                workers: 2,
            },
        ],
        faults: vec![FaultSetup {
            name: "slow-b".into(),
            what: "`service-b` slowed 10×".into(),
            start: Time::from_nanos(30 * SECOND),
            end: Time::from_nanos(50 * SECOND),
        }],
        changes: vec![ChangeSetup {
            name: "scale-c".into(),
            what: "`service-c` scaled from 2 to 3 replicas".into(),
            at: Time::from_nanos(52 * SECOND),
            reaches: crate::setup::Reaches::Pods,
        }],
        origins: vec![
            origin(
                "layered/vs.yaml:14",
                "retries of VirtualService default/service-b",
            ),
            origin(
                "budget/dr.yaml:21",
                "retry budget of DestinationRule default/service-b",
            ),
            origin(
                "layered/dr.yaml:12",
                "outlier ejection of DestinationRule default/service-b",
            ),
            origin(
                "layered/strict.yaml:6",
                "mode STRICT of PeerAuthentication default/default",
            ),
        ],
    }
}

/// The run, judged.
pub(crate) fn run(shape: Shape, seed: u64) -> RunResult {
    let mut r = Recorder::new(setup(shape, seed));
    for w in 0..5 {
        r.capacity(WorkloadId(w), Time::ZERO, 32);
    }
    for second in 0..120 {
        if second == 30 {
            r.fault_started(FaultId(0), Time::from_nanos(30 * SECOND));
        }
        if second == 50 {
            r.fault_ended(FaultId(0), Time::from_nanos(50 * SECOND));
        }
        if second == 52 {
            r.config_applied(ChangeId(0), Time::from_nanos(52 * SECOND + SECOND / 4));
        }
        one_second(&mut r, shape, seed, second);
    }
    let mut result = r.finish(Time::from_nanos(120 * SECOND));
    result.basis = basis(shape);
    if shape == Shape::Storm {
        result.waterfalls = vec![waterfall()];
    }
    let expectations = [
        "latency('shoppers').p99 < duration('400ms')",
        "success('shoppers') >= 0.995",
        "amplification('service-a', 'service-b') < 1.2",
        "recovery('slow-b') < duration('15s')",
    ];
    let expectations = expectations.map(|text| Expectation::parse(text).unwrap());
    judge(&expectations, &mut result);
    result
}

fn one_second(r: &mut Recorder, shape: Shape, seed: u64, second: u64) {
    let (cluster, edge) = (ClusterId(0), EdgeId(1));
    let offered = 260 + (noise(seed, second) * 40.0) as u64;
    for n in 0..offered {
        let key = seed * 1_000_003 + second * 997 + n;
        let at = second * SECOND + n * SECOND / offered;
        let severity = shape.severity(at as f64 / 1e9);
        let intended = Time::from_nanos(at);
        let spread = libm::exp(1.6 * (noise(key, 1) - 0.5) + 2.0 * noise(key, 2) * noise(key, 3));
        let took = (18e6 * spread * (1.0 + 24.0 * severity)) as u64;
        let fails = noise(key, 4) < 0.85 * severity;
        let (took, outcome) = if shape == Shape::Refused {
            let reset = Outcome {
                status: 503,
                reason: ErrorReason::Reset,
                attempts: 1,
            };
            (2_000_000 + took / 20, reset)
        } else if fails && noise(key, 5) < 0.7 {
            (
                5 * SECOND,
                Outcome {
                    status: 0,
                    reason: ErrorReason::Timeout,
                    attempts: 1,
                },
            )
        } else if fails {
            (
                took,
                Outcome {
                    status: 503,
                    reason: ErrorReason::Overflow,
                    attempts: 1,
                },
            )
        } else {
            (
                took.min(5 * SECOND),
                Outcome {
                    status: 200,
                    reason: ErrorReason::None,
                    attempts: 1,
                },
            )
        };
        r.request_started(LoadId(0), intended);
        if at + took < 120 * SECOND {
            r.request_finished(LoadId(0), intended, Time::from_nanos(at + took), outcome);
        }
        let reached = if shape == Shape::Refused { 1 } else { 4 };
        for (e, _) in EDGES.iter().enumerate().take(reached) {
            let e = EdgeId(e as u32);
            r.attempt_started(e, intended, AttemptKind::First, None);
            let bad = shape == Shape::Refused || (e == edge && noise(key, 6) < 0.9 * severity);
            let reason = if !bad {
                ErrorReason::None
            } else if shape == Shape::Refused {
                ErrorReason::Reset
            } else {
                ErrorReason::Timeout
            };
            let took = Duration::from_nanos(if bad { 400_000_000 } else { took / 3 });
            r.attempt_finished(e, intended, reason, took);
            r.call_finished(e, intended, reason);
            if bad && e == edge {
                retries(r, shape, intended, took);
            }
        }
        if shape == Shape::Refused {
            let (from, by) = (Some(WorkloadId(0)), WorkloadId(1));
            let rule = Some(OriginId(3));
            r.connection_refused(from, by, intended, Refusal::MutualTls, rule);
        } else {
            r.handled(
                WorkloadId(2),
                intended,
                if noise(key, 7) < 0.6 * severity {
                    Handled::Wasted
                } else {
                    Handled::Served
                },
            );
        }
    }
    let now = Time::from_nanos(second * SECOND);
    let severity = shape.severity(second as f64 + 0.5);
    let jitter = noise(seed, second + 9_000);
    for (w, base) in [(1, 9.0), (2, 14.0), (3, 5.0), (4, 4.0)] {
        let own = if w == 2 {
            18.0 * severity
        } else {
            14.0 * severity * (4.0 - f64::from(w)) / 3.0
        };
        let quiet = if shape == Shape::Refused { 0.0 } else { 1.0 };
        r.busy(
            WorkloadId(w),
            now,
            ((base + 3.0 * jitter) * quiet + own.max(0.0)).min(32.0) as u64,
        );
    }
    r.queue_length(
        WorkloadId(2),
        now,
        (severity * (180.0 + 20.0 * jitter)) as u64,
    );
    r.queue_length(WorkloadId(1), now, (severity * 40.0 * jitter) as u64);
    for p in 0..2 {
        r.proxy_busy(
            ProxyId(p),
            now,
            u64::from(noise(second, u64::from(p)) < 0.4),
        );
    }
    if shape == Shape::Storm && matches!(second, 37 | 70 | 103) {
        let endpoint = EndpointId(u32::from(second == 70));
        r.ejection_started(
            cluster,
            endpoint,
            None,
            now,
            EjectionReason::Consecutive5xx,
            Some(OriginId(2)),
        );
    }
    if shape == Shape::Storm && matches!(second, 67 | 100) {
        r.ejection_ended(cluster, EndpointId(u32::from(second == 100)), None, now);
    }
    if shape == Shape::Storm && second == 36 {
        r.note(now, Note::QueueFull { workload: 2 });
        r.limit_opened(cluster, now, Limit::Pending, None);
    }
    if shape == Shape::Budget && second == 31 {
        r.limit_opened(cluster, now, Limit::RetryBudget, Some(OriginId(1)));
    }
    if shape == Shape::Budget && second == 52 {
        r.limit_closed(cluster, now, Limit::RetryBudget);
    }
}

fn retries(r: &mut Recorder, shape: Shape, now: Time, took: Duration) {
    let edge = EdgeId(1);
    let why = Why {
        origin: Some(OriginId(0)),
        condition: RetryCondition::Status5xx,
    };
    let tries = if shape == Shape::Budget {
        u32::from(noise(now.as_nanos(), 8) < 0.2)
    } else {
        2
    };
    for _ in 0..tries {
        r.attempt_started(edge, now, AttemptKind::Retry, Some(why));
        r.attempt_finished(edge, now, ErrorReason::Timeout, took);
    }
    if shape == Shape::Budget && tries == 0 {
        r.rejected(edge, now, Limit::RetryBudget, Some(OriginId(1)));
    }
}

fn basis(shape: Shape) -> Basis {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: service-b}\nspec:\n  host: service-b\n  trafficPolicy:\n";
    let budget = if shape == Shape::Budget {
        "    retryBudget: {percent: 20, minRetryConcurrency: 3}\n"
    } else {
        ""
    };
    Basis {
        version: "0.1.0".into(),
        command: "windtunnel run scenarios/retry-storm --seed 7".into(),
        digests: vec![
            (
                "scenarios/retry-storm/scenario.yaml".into(),
                "xxh3:8f2e9c01d77a4be1".into(),
            ),
            (
                "scenarios/retry-storm/layered/vs.yaml".into(),
                "xxh3:01aa55c2e8d09b73".into(),
            ),
        ],
        releases: vec![
            ("istio".into(), "1.29".into()),
            ("kong".into(), "3.9".into()),
        ],
        assumptions: vec![Assumption {
            what: "service time of `service-d`".into(),
            value: "exponential, mean 3 ms".into(),
            origin: "scenario.yaml:41, marked as assumed".into(),
            tried: Vec::new(),
        }],
        set: Vec::new(),
        not_modelled: vec![
            NotModelled {
                field: "layered/vs.yaml:31 `corsPolicy`".into(),
                means: "preflight requests are not answered by the proxy".into(),
                on_loaded_path: false,
            },
            NotModelled {
                field: "layered/dr.yaml:9 `tcpKeepalive`".into(),
                means: "idle connections are never probed".into(),
                on_loaded_path: true,
            },
        ],
        diagnostics: String::new(),
        departures: Vec::new(),
        partial: String::new(),
        manifests: vec![(
            "dr.yaml".into(),
            format!(
                "{rule}    connectionPool: {{}}\n{budget}    outlierDetection: {{consecutive5xxErrors: 5}}\n"
            ),
        )],
    }
}

fn waterfall() -> Waterfall {
    let ms = |n: u64| 41 * SECOND + n * 1_000_000;
    let lane = |name: &str, kind| Lane {
        name: name.into(),
        kind,
    };
    let span =
        |lane: u32, parent: Option<u32>, from: u64, to: u64, kind, name: &str, outcome: &str| {
            Span {
                lane,
                parent,
                start_ns: ms(from),
                end_ns: ms(to),
                kind,
                name: name.into(),
                outcome: outcome.into(),
                failed: matches!(outcome, "504" | "503" | "per-try timeout"),
                marks: vec![],
            }
        };
    let mark = |at: u64, text: &str, origin: Option<&str>| Mark {
        at_ns: ms(at),
        text: text.into(),
        origin: origin.map(str::to_owned),
    };
    let mut spans = vec![
        span(0, None, 0, 902, SpanKind::Exchange, "GET /service-a", "504"),
        span(
            1,
            Some(0),
            1,
            901,
            SpanKind::Exchange,
            "route service-a",
            "504",
        ),
        span(
            2,
            Some(1),
            2,
            900,
            SpanKind::Exchange,
            "handler GET /",
            "504",
        ),
        span(
            3,
            Some(2),
            5,
            897,
            SpanKind::Exchange,
            "call service-b",
            "504",
        ),
        span(
            3,
            Some(3),
            6,
            406,
            SpanKind::Attempt,
            "attempt 1 to service-b-0",
            "per-try timeout",
        ),
        span(4, Some(4), 8, 306, SpanKind::Waiting, "queue", ""),
        span(
            4,
            Some(4),
            306,
            440,
            SpanKind::Working,
            "handler GET /items",
            "answered nobody",
        ),
        span(3, Some(3), 406, 431, SpanKind::Backoff, "back-off", ""),
        span(
            3,
            Some(3),
            431,
            831,
            SpanKind::Attempt,
            "attempt 2 to service-b-1",
            "per-try timeout",
        ),
        span(5, Some(8), 433, 831, SpanKind::Waiting, "queue", ""),
    ];
    spans[1].marks.push(mark(
        1,
        "route matched: prefix /service-a",
        Some("layered/kong.yaml:9"),
    ));
    spans[3].marks.push(mark(
        5,
        "endpoint service-b-0 picked: fewer active requests (14 against 19)",
        Some("default of istio@1.29"),
    ));
    spans[3].marks.push(mark(
        406,
        "retry 1 of 2: per-try timeout counts as 5xx",
        Some("layered/vs.yaml:14"),
    ));
    spans[3].marks.push(mark(
        831,
        "no further retry: the route timeout of 1 s leaves no time",
        Some("layered/vs.yaml:18"),
    ));
    Waterfall {
        chosen: Chosen::Failed,
        request: "GET api.example.com/service-a".into(),
        outcome: "504 after 902 ms".into(),
        failed: true,
        start_ns: ms(0),
        end_ns: ms(902),
        lanes: vec![
            lane("shoppers", LaneKind::Client),
            lane("api-gateway-0", LaneKind::Gateway),
            lane("service-a-1", LaneKind::Application),
            lane("service-a-1", LaneKind::Sidecar),
            lane("service-b-0", LaneKind::Application),
            lane("service-b-1", LaneKind::Application),
        ],
        spans,
    }
}
