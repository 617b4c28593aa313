//! Route tables of all kinds.

use proxy_core::config::{
    Absent, ClusterIndex, Cors, CorsList, CorsManner, DirectResponse, Fault, FaultAbort,
    FaultDelay, Forward, HashPolicy, HashSource, HeaderEdits, HeaderMatch, Hedge, HostRewrite,
    LocalRateLimit, Mirror, ParamMatch, PathMatch, PathRedirect, PathRewrite, Priority,
    RateLimitedBackoff, Redirect, RetryPolicy, Route, RouteAction, RouteMatch, RouteTable, Share,
    TextMatch, Upgrade, VirtualHost, WeightedCluster,
};
use proxy_core::heads::HeaderOp;
use proxy_core::limit::token_bucket::{Refill, Settings};
use proxy_core::origin::OriginId;
use proxy_core::retry::backoff::{Backoff, FullJitter, ResetFormat};
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;
use regex::Regex;

use super::super::dice::Dice;
use super::{count, length, sourced, timer};

pub(super) fn table(dice: &mut Dice<'_>, number: usize, clusters: usize) -> RouteTable {
    let name = format!("t{number}");
    let everywhere = dice.rarely();
    let hosts = dice.below(3);
    let mut virtual_hosts: Vec<VirtualHost> = (0..hosts)
        .map(|host| virtual_host(dice, &format!("{name}/{host}"), host, clusters))
        .collect();
    if everywhere {
        // one bucket for all routes of the table
        let shared = limit(dice, &name);
        for route in virtual_hosts.iter_mut().flat_map(|host| &mut host.routes) {
            route.rate_limit = Some(Box::new(shared.clone()));
        }
    }
    RouteTable {
        name: name.into(),
        virtual_hosts,
        ignore_port: dice.yes(),
    }
}

fn virtual_host(dice: &mut Dice<'_>, place: &str, host: u8, clusters: usize) -> VirtualHost {
    let mut domains = vec![format!("{host}.test").into()];
    if dice.yes() {
        domains.push(
            dice.one(&[format!("*.{host}.test"), format!("{host}.*")])
                .into(),
        );
    }
    let count = dice.below(3);
    let mut routes: Vec<Route> = (0..count)
        .map(|number| route(dice, &format!("{place}/{number}"), clusters))
        .collect();
    if dice.rarely() {
        // one bucket for all routes of the host
        let shared = limit(dice, place);
        for route in &mut routes {
            route.rate_limit = Some(Box::new(shared.clone()));
        }
    }
    VirtualHost {
        name: format!("v{host}").into(),
        domains,
        routes,
        attempt_count: dice.yes(),
        attempt_count_in_response: dice.yes(),
        origin: OriginId::NONE,
    }
}

fn route(dice: &mut Dice<'_>, place: &str, clusters: usize) -> Route {
    Route {
        name: place.into(),
        matches: matches(dice),
        action: match dice.below(4) {
            0 => RouteAction::Direct(DirectResponse {
                status: dice.one(&[200, 503, 599]),
                body: dice.one(&["", "gone"]).into(),
            }),
            1 => RouteAction::Redirect(Box::new(redirect(dice))),
            _ => RouteAction::Forward(Box::new(forward(dice, clusters))),
        },
        request_edits: edits(dice),
        response_edits: edits(dice),
        fault: dice.rarely().then(|| Box::new(fault(dice))),
        rate_limit: dice.rarely().then(|| Box::new(limit(dice, place))),
        cors: dice.rarely().then(|| Box::new(cors(dice))),
        gates: Vec::new(),
        tracing: None,
        origin: OriginId::NONE,
    }
}

fn cors(dice: &mut Dice<'_>) -> Cors {
    Cors {
        origins: dice.some(2, text),
        methods: dice.maybe(|_| CorsList::Text("GET, PUT".into())),
        headers: dice.maybe(|_| CorsList::Text("*".into())),
        expose: dice.maybe(|_| "x-a".into()),
        max_age: dice.maybe(|_| "60".into()),
        credentials: dice.yes(),
        exposes_early: false,
        forwards_others: dice.yes(),
        manner: CorsManner::Envoy,
        origin: OriginId::NONE,
    }
}

fn matches(dice: &mut Dice<'_>) -> RouteMatch {
    RouteMatch {
        path: match dice.below(4) {
            0 => PathMatch::Prefix(dice.one(&["/", "", "/a"]).into()),
            1 if dice.rarely() => PathMatch::Connect,
            1 => PathMatch::Exact("/a/b".into()),
            2 => PathMatch::segments("/a.b"),
            _ => PathMatch::regex("/[a-z]+|/x").expect("a pattern"),
        },
        ignore_case: dice.yes(),
        methods: Vec::new(),
        headers: dice.some(2, header),
        params: dice.some(2, param),
        grpc: dice.yes(),
        fraction: dice.maybe(share),
    }
}

fn share(dice: &mut Dice<'_>) -> Share {
    dice.one(&[0, 1, 500, 250_000, 1_000_000].map(Share::from_ppm))
}

fn text(dice: &mut Dice<'_>) -> TextMatch {
    match dice.below(5) {
        0 => TextMatch::Exact(dice.one(&["v", "", "%"]).into()),
        1 => TextMatch::Prefix("v".into()),
        2 => TextMatch::Suffix("v".into()),
        3 => TextMatch::Contains("v".into()),
        _ => TextMatch::regex("v(1|2)|w").expect("a pattern"),
    }
}

fn header(dice: &mut Dice<'_>) -> HeaderMatch {
    let (value, ignore_case) = match dice.below(4) {
        0 => (TextMatch::Present, false),
        1 => (TextMatch::Range(-5, dice.one(&[5, i64::MAX])), false),
        _ => {
            let value = text(dice);
            let is_pattern = matches!(value, TextMatch::Regex(_));
            (value, dice.yes() && !is_pattern)
        }
    };
    let usual = match matches!(value, TextMatch::Present) {
        true => Absent::Unequal,
        false => Absent::Refused,
    };
    HeaderMatch {
        name: dice.one(&["x-a", ":method", ":authority"]).into(),
        value,
        invert: dice.yes(),
        ignore_case,
        absent: dice.one(&[usual, Absent::Empty]),
    }
}

fn param(dice: &mut Dice<'_>) -> ParamMatch {
    let value = match dice.yes() {
        false => TextMatch::Present,
        true => text(dice),
    };
    ParamMatch {
        name: "q".into(),
        invert: matches!(value, TextMatch::Present) && dice.yes(),
        value,
    }
}

fn edits(dice: &mut Dice<'_>) -> HeaderEdits {
    dice.some(4, |dice| {
        let name: Box<str> = dice.one(&["x-a", "x-b"]).into();
        let value: Box<str> = dice.one(&["1", "2", "", "100%", "%%"]).into();
        match dice.below(5) {
            0 => HeaderOp::Set(name, value),
            1 => HeaderOp::Append(name, value),
            2 => HeaderOp::AddIfAbsent(name, value),
            3 => HeaderOp::Remove(name),
            _ => HeaderOp::IfPresent(name.clone(), [HeaderOp::Set(name, value)].into(), [].into()),
        }
    })
}

fn pattern(text: &str) -> Box<Regex> {
    Box::new(Regex::new(text).expect("a pattern"))
}

fn redirect(dice: &mut Dice<'_>) -> Redirect {
    Redirect {
        status: dice.one(&[301, 302, 303, 307, 308]),
        scheme: dice.maybe(|dice| dice.one(&["https", "http"]).into()),
        host: dice.maybe(|_| "other.test".into()),
        port: dice.maybe(|dice| dice.one(&[80, 8443])),
        path: dice.maybe(|dice| match dice.below(3) {
            0 => PathRedirect::Full("/whole".into()),
            1 => PathRedirect::Prefix("/p".into()),
            _ => PathRedirect::Regex(pattern("^/(a)"), "/\\1".into()),
        }),
        strip_query: dice.yes(),
        omits_own_port: false,
    }
}

pub(super) fn upgrade(dice: &mut Dice<'_>) -> Upgrade {
    Upgrade {
        kind: dice.one(&["websocket", "CONNECT"]).into(),
        allowed: dice.yes(),
        origin: OriginId::NONE,
    }
}

fn forward(dice: &mut Dice<'_>, clusters: usize) -> Forward {
    let mut to = Forward::to(ClusterIndex(0));
    to.clusters = destinations(dice, clusters);
    to.missing_status = dice.one(&[503, 404, 500]);
    to.timeout = sourced(dice.one(&[
        Some(Duration::from_secs(15)),
        None,
        Some(Duration::from_millis(1)),
    ]));
    to.idle_timeout =
        dice.maybe(|dice| sourced(dice.one(&[Duration::ZERO, Duration::from_secs(1)])));
    to.max_stream_duration = timer(dice);
    to.grpc_timeout_max = dice.maybe(length);
    if to.max_stream_duration.is_some() {
        // Envoy: whoever has a longest stream has no timeout of the route
        to.timeout.value = None;
    }
    to.retry = dice.maybe(|dice| Box::new(retry(dice)));
    to.hedge = dice.maybe(|dice| Hedge {
        on_per_try_timeout: dice.yes(),
        origin: OriginId::NONE,
    });
    to.rewrite = dice.maybe(|dice| match dice.yes() {
        false => PathRewrite::Prefix("/p".into()),
        true => PathRewrite::Regex(pattern("^/(a)"), "/\\1".into()),
    });
    to.host = dice.maybe(|dice| match dice.below(3) {
        0 => HostRewrite::Literal("other.test".into()),
        1 => HostRewrite::Endpoint,
        _ => HostRewrite::Header("x-host".into()),
    });
    to.forwarded_host = dice.yes();
    if clusters > 0 {
        to.mirrors = dice.some(2, |dice| Mirror {
            cluster: ClusterIndex(u32::from(dice.below(clusters as u8))),
            share: sourced(share(dice)),
            shadow_host: !dice.yes(),
        });
    }
    to.hash = dice.some(3, |dice| HashPolicy {
        source: match dice.below(4) {
            0 => HashSource::Header("x-a".into()),
            1 => HashSource::Cookie {
                name: "c".into(),
                ttl: dice.maybe(|dice| dice.one(&[Duration::ZERO, Duration::from_secs(1)])),
            },
            2 => HashSource::SourceAddress,
            _ => HashSource::Param("q".into()),
        },
        terminal: dice.yes(),
    });
    to.upgrades = dice.some(2, |dice| upgrade(dice));
    to.upgrades.dedup_by(|one, other| one.kind == other.kind);
    to.ends_connect = to.upgrades.iter().any(|it| &*it.kind == "CONNECT") && dice.yes();
    to.priority = dice.one(&[Priority::Default, Priority::High]);
    if dice.rarely() {
        to.subset = vec![
            ("stage".into(), "prod".into()),
            ("version".into(), "v1".into()),
        ];
    }
    to
}

fn destinations(dice: &mut Dice<'_>, clusters: usize) -> Vec<WeightedCluster> {
    let one = |dice: &mut Dice<'_>, weight| WeightedCluster {
        cluster: match clusters {
            0 => None,
            _ if dice.rarely() => None,
            count => Some(ClusterIndex(u32::from(dice.below(count as u8)))),
        },
        weight,
        request_edits: edits(dice),
        response_edits: edits(dice),
        origin: OriginId::NONE,
    };
    let mut all = vec![one(dice, 1)];
    let more = dice.some(2, |dice| dice.one(&[0, 1, 99]));
    for weight in more {
        all.push(one(dice, weight));
    }
    all
}

fn retry(dice: &mut Dice<'_>) -> RetryPolicy {
    let conditions = dice.some(4, |dice| {
        let at = dice.below(16);
        Condition::ALL[usize::from(at)]
    });
    let base = Duration::from_millis(dice.one(&[25, 1, 100]));
    let most = dice.maybe(|dice| Duration::from_millis(dice.one(&[250, 1_000])));
    RetryPolicy {
        on: sourced(conditions.into_iter().collect()),
        statuses: dice.some(2, |dice| dice.one(&[404, 503])),
        headers: dice.some(1, header),
        request_headers: dice.some(1, header),
        retries: sourced(dice.one(&[1, 0, 2, u32::MAX])),
        per_try_timeout: timer(dice),
        per_try_idle_timeout: timer(dice),
        backoff: sourced(Backoff::FullJitter(FullJitter::new(base, most))),
        rate_limited_backoff: dice.maybe(|dice| RateLimitedBackoff {
            headers: vec![(
                "retry-after".into(),
                dice.one(&[ResetFormat::Seconds, ResetFormat::UnixTimestamp]),
            )],
            max_interval: dice.one(&[Duration::from_secs(300), Duration::from_secs(1)]),
        }),
        avoid_previous: dice.maybe(|dice| sourced(dice.one(&[1, 5]))),
        previous_priorities: dice.maybe(|dice| dice.one(&[2, 1])),
        spare_sent_non_idempotent: false,
        last_try_unbounded: false,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: None,
        origin: OriginId::NONE,
    }
}

pub(super) fn fault(dice: &mut Dice<'_>) -> Fault {
    Fault {
        delay: dice.maybe(|dice| FaultDelay {
            fixed: dice.maybe(length),
            share: share(dice),
        }),
        abort: dice.maybe(|dice| {
            let (status, grpc) = dice.one(&[(Some(503), None), (None, Some(14)), (None, None)]);
            FaultAbort {
                status,
                grpc,
                share: share(dice),
            }
        }),
        headers: dice.some(1, header),
        max_active: dice.maybe(count),
        origin: OriginId::NONE,
    }
}

pub(super) fn limit(dice: &mut Dice<'_>, name: &str) -> LocalRateLimit {
    LocalRateLimit {
        bucket: Settings {
            max_tokens: count(dice),
            tokens_per_fill: count(dice),
            fill_interval: dice.one(&[Duration::from_secs(1), Duration::from_millis(50)]),
            refill: Refill::Continuous,
        },
        status: dice.one(&[429, 503]),
        name: name.into(),
        origin: OriginId::NONE,
    }
}
