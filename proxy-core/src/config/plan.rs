//! What a route says of all its requests alike, worked out once when its section is made.

use super::{
    Forward, HostRewrite, PathMatch, Priority, RetryPolicy, Route, RouteAction, RouteMatch,
    VirtualHost, WeightedCluster,
};
use crate::origin::Sourced;
use crate::retry::conditions::{Condition, RetryOn};
use crate::time::Duration;

/// A route at a glance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Plan {
    /// Whether it takes every request whose path begins with a slash.
    pub(crate) takes_all: bool,
    /// Whether it has filter settings or stream timers of its own.
    pub(crate) does_more: bool,
    pub(crate) changes: Changes,
    /// Whether one cluster takes all, so that none is drawn.
    pub(crate) single: bool,
    pub(crate) high_priority: bool,
    /// The terms of a request without headers that have a say.
    pub(crate) terms: Terms,
    /// Whether other headers than control headers have a say in the terms.
    pub(crate) asks_headers: bool,
    /// Whether a request's own `grpc-timeout` bounds it.
    pub(crate) heeds_grpc_timeout: bool,
}

/// What changes on messages that leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changes {
    /// Whether requests leave changed, whatever the try.
    pub(crate) edits_request: bool,
    /// Whether responses leave changed.
    pub(crate) edits_response: bool,
    /// Whether the authority becomes the endpoint's host name.
    pub(crate) endpoint_host: bool,
    /// Whether upstreams see the number of the try.
    pub(crate) attempt_count: bool,
    /// Whether clients see how many tries there were.
    pub(crate) attempt_count_in_response: bool,
}

impl Changes {
    /// With the edits of the cluster that was drawn.
    pub(crate) const fn through(self, drawn: &WeightedCluster) -> Self {
        Self {
            edits_request: self.edits_request || !drawn.request_edits.is_empty(),
            edits_response: self.edits_response || !drawn.response_edits.is_empty(),
            ..self
        }
    }
}

/// The timeouts and retries of one request. Lengths of zero are no timeouts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Terms {
    pub(crate) route_timeout: Option<Sourced<Duration>>,
    pub(crate) per_try: Option<Sourced<Duration>>,
    pub(crate) per_try_idle: Option<Sourced<Duration>>,
    pub(crate) retry_on: RetryOn,
    pub(crate) retries: u32,
    /// Longer bodies are not kept for another try.
    pub(crate) body_limit: u64,
    /// No response with a status below this one and without a retry mark is retried.
    pub(crate) retried_from: u16,
    pub(crate) hedging: bool,
    /// Whether there are conditions of retries, even if the request's headers have voided them: then slow tries are hedged.
    pub(crate) has_conditions: bool,
}

impl Plan {
    /// The plan of a route of `host`.
    pub(crate) fn of(host: &VirtualHost, route: &Route) -> Self {
        let forward = match &route.action {
            RouteAction::Forward(forward) => Some(&**forward),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        };
        let terms = |f: &Forward| Terms::of(f).settled(f.retry.as_deref(), false);
        let edits = |f: &Forward| f.rewrite.is_some() || f.host.is_some();
        let changes = Changes {
            edits_request: !route.request_edits.is_empty() || forward.is_some_and(edits),
            edits_response: !route.response_edits.is_empty()
                || route.cors.is_some()
                || forward.is_some_and(|f| f.session.is_some()),
            endpoint_host: forward.is_some_and(|f| matches!(f.host, Some(HostRewrite::Endpoint))),
            attempt_count: host.attempt_count,
            attempt_count_in_response: host.attempt_count_in_response,
        };
        let single = forward.and_then(|f| match &f.clusters[..] {
            [only] => Some(only),
            _ => None,
        });
        Self {
            takes_all: takes_all(&route.matches),
            does_more: route.fault.is_some()
                || route.cors.is_some()
                || route.rate_limit.is_some()
                || !route.gates.is_empty()
                || forward.is_some_and(times_streams),
            changes: match single {
                Some(cluster) => changes.through(cluster),
                None => changes,
            },
            single: single.is_some(),
            high_priority: forward.is_some_and(|f| f.priority == Priority::High),
            terms: forward.map_or(Terms::NONE, terms),
            asks_headers: forward.is_some_and(asks_headers),
            heeds_grpc_timeout: forward.is_some_and(|f| f.grpc_timeout_max.is_some()),
        }
    }
}

impl Terms {
    /// No timeouts, no retries.
    pub(crate) const NONE: Self = Self {
        route_timeout: None,
        per_try: None,
        per_try_idle: None,
        retry_on: RetryOn::NONE,
        retries: 0,
        body_limit: u64::MAX,
        retried_from: u16::MAX,
        hedging: false,
        has_conditions: false,
    };

    /// What the route says, before the request has its say.
    pub(crate) fn of(forward: &Forward) -> Self {
        let set = |t: Sourced<Duration>| (!t.value.is_zero()).then_some(t);
        let timeout = forward.timeout;
        let of_route = Self {
            route_timeout: timeout
                .value
                .and_then(|value| set(Sourced::new(value, timeout.origin))),
            hedging: forward.hedge.is_some_and(|h| h.on_per_try_timeout),
            ..Self::NONE
        };
        let Some(policy) = forward.retry.as_deref() else {
            return of_route;
        };
        Self {
            retry_on: policy.on.value,
            retries: policy.retries.value,
            per_try: policy.per_try_timeout.and_then(set),
            per_try_idle: policy.per_try_idle_timeout.and_then(set),
            body_limit: policy.body_limit.unwrap_or(u64::MAX),
            ..of_route
        }
    }

    /// What holds when all have had their say: a try's timeout not shorter than the route's is void.
    pub(crate) fn settled(mut self, policy: Option<&RetryPolicy>, controls: bool) -> Self {
        let route_timeout = self.route_timeout;
        let void = |t: &Sourced<Duration>| route_timeout.is_some_and(|r| t.value >= r.value);
        self.per_try = self.per_try.filter(|t| !void(t));
        self.has_conditions = !self.retry_on.is_empty();
        if !self.has_conditions {
            self.retries = 0;
        }
        self.retried_from = if controls {
            0 // they may name any status, and any header
        } else {
            retried_from(self.retry_on, policy.map_or(&[], |p| &p.statuses))
        };
        self
    }
}

/// The lowest status that any condition of `on` takes, where no header of the response has a say.
fn retried_from(on: RetryOn, statuses: &[u16]) -> u16 {
    let by_condition = [
        (Condition::RetriableHeaders, 0),
        (Condition::Retriable4xx, 409),
        (Condition::ServerError, 500),
        (Condition::GatewayError, 502),
    ];
    let listed = statuses.iter().copied();
    let listed = listed.filter(|_| on.has(Condition::RetriableStatusCodes));
    let taken = by_condition.into_iter().filter(|(c, _)| on.has(*c));
    let lowest = taken.map(|(_, status)| status).chain(listed).min();
    lowest.unwrap_or(u16::MAX)
}

/// Whether other headers than control headers and `grpc-timeout` have a say in a request's terms.
fn asks_headers(forward: &Forward) -> bool {
    let policy = forward.retry.as_deref();
    policy.is_some_and(|p| !p.request_headers.is_empty())
}

const fn times_streams(forward: &Forward) -> bool {
    forward.idle_timeout.is_some() || forward.max_stream_duration.is_some()
}

fn takes_all(matches: &RouteMatch) -> bool {
    let any_path = match &matches.path {
        PathMatch::Prefix(want) => &**want == "/",
        PathMatch::Segments(want) => want.is_empty(),
        PathMatch::Exact(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => false,
    };
    any_path
        && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.params.is_empty()
        && !matches.grpc
        && matches.fraction.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Absent, ClusterIndex, Fault, HeaderMatch, Share, TextMatch};
    use crate::draw::DrawKey;
    use crate::heads::{HeadId, HeaderOp, Heads};
    use crate::origin::OriginId;
    use crate::retry::conditions::{Decision, ResponseHead, decide_on_response};
    use crate::route::{RequestView, find_route};

    #[test]
    fn no_policy_retries_a_status_below_the_one_that_it_is_asked_from() {
        let lists: [&[u16]; 3] = [&[], &[503], &[599, 204]];
        for first in Condition::ALL {
            for second in Condition::ALL {
                let on = RetryOn::NONE.with(first).with(second);
                for statuses in lists {
                    let from = retried_from(on, statuses);
                    for status in 100..from.min(700) {
                        let response = ResponseHead {
                            status,
                            grpc_status: None,
                            rate_limited: false,
                            early_data: false,
                        };
                        let decision = decide_on_response(on, response, statuses, || true);
                        assert_eq!(decision, Decision::No, "{on}, {statuses:?}: {status}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_policy_is_asked_from_the_lowest_status_that_it_retries() {
        let rows = [
            ("nothing", RetryOn::NONE, &[][..], u16::MAX),
            ("any server error", of(Condition::ServerError), &[], 500),
            ("gateway errors", of(Condition::GatewayError), &[], 502),
            (
                "a listed status",
                of(Condition::RetriableStatusCodes),
                &[429, 418],
                418,
            ),
            (
                "a list that does not count",
                of(Condition::ServerError),
                &[418],
                500,
            ),
            ("any header", of(Condition::RetriableHeaders), &[], 0),
        ];
        for (name, on, statuses, want) in rows {
            assert_eq!(retried_from(on, statuses), want, "{name}");
        }
    }

    #[test]
    fn control_headers_have_the_policy_asked_about_every_response() {
        assert_eq!(Terms::NONE.settled(None, true).retried_from, 0);
    }

    fn of(condition: Condition) -> RetryOn {
        RetryOn::NONE.with(condition)
    }

    /// A head with a path and nothing else.
    struct Path(&'static str);

    impl Heads for Path {
        fn method(&self, _: HeadId) -> &str {
            "GET"
        }
        fn authority(&self, _: HeadId) -> &str {
            ""
        }
        fn path(&self, _: HeadId) -> &str {
            self.0
        }
        fn header(&self, _: HeadId, _: &str) -> Option<&str> {
            None
        }
        fn status(&self, _: HeadId) -> u16 {
            200
        }
        fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
            None
        }
    }

    fn route(matches: RouteMatch) -> Route {
        Route {
            name: "".into(),
            matches,
            action: RouteAction::Forward(Box::new(Forward::to(ClusterIndex(0)))),
            request_edits: Vec::new(),
            response_edits: Vec::new(),
            fault: None,
            rate_limit: None,
            gates: Vec::new(),
            cors: None,
            tracing: None,
            origin: OriginId::NONE,
        }
    }

    fn host(route: Route) -> VirtualHost {
        VirtualHost {
            name: "".into(),
            domains: Vec::new(),
            routes: vec![route],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }
    }

    /// That of the only route.
    fn plan(host: &VirtualHost) -> Plan {
        Plan::of(host, &host.routes[0])
    }

    #[test]
    fn a_route_for_everything_takes_what_the_matching_would_have_it_take() {
        let with = |change: fn(&mut RouteMatch)| {
            let mut matches = RouteMatch::all();
            change(&mut matches);
            matches
        };
        let header = |m: &mut RouteMatch| {
            m.headers = vec![HeaderMatch {
                name: "x-a".into(),
                value: TextMatch::Present,
                invert: false,
                ignore_case: false,
                absent: Absent::Unequal,
            }];
        };
        let rows = [
            ("all", RouteMatch::all(), true),
            (
                "all segments",
                RouteMatch::path(PathMatch::segments("/")),
                true,
            ),
            (
                "a prefix",
                RouteMatch::path(PathMatch::Prefix("/a".into())),
                false,
            ),
            (
                "the root alone",
                RouteMatch::path(PathMatch::Exact("/".into())),
                false,
            ),
            ("a method", with(|m| m.methods = vec!["PUT".into()]), false),
            ("a header", with(header), false),
            ("gRPC", with(|m| m.grpc = true), false),
            ("no share", with(|m| m.fraction = Some(Share::ZERO)), false),
        ];
        for (name, matches, want) in rows {
            let host = host(route(matches));
            assert_eq!(plan(&host).takes_all, want, "{name}");
            let takes = |path| {
                let view = RequestView {
                    heads: &Path(path),
                    head: HeadId(0),
                    edge: false,
                };
                find_route(&host, view, DrawKey::root(1)).is_some()
            };
            let takes_all = ["/", "/b", "/b/c?d", "/?e"].into_iter().all(takes);
            assert_eq!(takes_all, want, "{name}");
        }
    }

    #[test]
    fn a_route_with_filters_or_stream_timers_of_its_own_does_more() {
        let plain = route(RouteMatch::all());
        assert!(!plan(&host(plain.clone())).does_more);
        let fault = Fault {
            delay: None,
            abort: None,
            headers: Vec::new(),
            max_active: None,
            origin: OriginId::NONE,
        };
        let faulty = Route {
            fault: Some(Box::new(fault)),
            ..plain.clone()
        };
        assert!(plan(&host(faulty)).does_more);
        let gate = crate::config::Gate {
            name: "g".into(),
            kind: crate::config::GateKind::InFlight {
                most: 1,
                key: crate::config::GateKey::All,
            },
            status: 503,
            exempt: Vec::new(),
            origin: OriginId::NONE,
        };
        let gated = Route {
            gates: vec![gate],
            ..plain.clone()
        };
        assert!(plan(&host(gated)).does_more);
        let mut forward = Forward::to(ClusterIndex(0));
        forward.idle_timeout = Some(Sourced::unsourced(Duration::ZERO));
        let timed = Route {
            action: RouteAction::Forward(Box::new(forward)),
            ..plain
        };
        let timed = plan(&host(timed));
        assert!(timed.does_more, "zero turns the listener's off");
    }

    #[test]
    fn a_single_cluster_has_its_edits_in_the_plan_and_one_of_several_when_it_is_drawn() {
        let edit = vec![HeaderOp::Remove("x-a".into())];
        let mut forward = Forward::to(ClusterIndex(0));
        forward.clusters[0].request_edits.clone_from(&edit);
        forward.clusters[0].response_edits = edit;
        let mut split = forward.clone();
        split
            .clusters
            .push(Forward::to(ClusterIndex(1)).clusters[0].clone());
        let departs = |forward: &Forward| {
            let action = RouteAction::Forward(Box::new(forward.clone()));
            let route = Route {
                action,
                ..route(RouteMatch::all())
            };
            plan(&host(route)).changes
        };
        let edits = |d: Changes| (d.edits_request, d.edits_response);
        assert_eq!(edits(departs(&forward)), (true, true));
        assert_eq!(edits(departs(&split)), (false, false));
        let drawn = |n: usize| edits(departs(&split).through(&split.clusters[n]));
        assert_eq!((drawn(0), drawn(1)), ((true, true), (false, false)));
    }
}
