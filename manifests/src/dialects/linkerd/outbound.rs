//! What leaves meshed pods: one listener for each port of each Service, and the rest as it comes.

use std::collections::BTreeMap;

use core::net::SocketAddr;

use proxy_core::config::{
    Absent, ChainAction, ChainMatch, ClusterIndex, FailfastQueue, Forward, HeaderMatch, Listener,
    ListenerAddress, PathMatch, RetryBudget, RetryPolicy, Route, RouteAction, RouteMatch,
    RouteTable, TextMatch, UpstreamProtocol, UpstreamTransport, VirtualHost, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::{AddedJitter, Backoff};
use proxy_core::retry::conditions::{Condition as RetryCondition, RetryOn};
use proxy_core::time::Duration;

use super::annotations::Ports;
use super::compile::{Defaults, chain, cluster, detected, http, original_destination, tcp};
use super::policy::{
    BackendPolicy, Condition, Fit, Policies, ProfilePolicy, RequestPolicy, RoutePolicy, RulePolicy,
    TimeoutPolicy,
};
use crate::dialects::{Compile, Compiled};
use crate::model::{Members, Service, ServiceId, Upstream};

/// Requests that may wait for an endpoint, and how long. Source: linkerd/linkerd2 `policy-controller/grpc/src/outbound.rs`.
const QUEUE: FailfastQueue = FailfastQueue {
    capacity: 100,
    timeout: Duration::from_secs(3),
};
/// Longest body that is kept for a retry. Source: linkerd/linkerd2 `policy-controller/grpc/src/outbound/http.rs`.
const RETRY_BODY: u64 = 64 * 1024;

/// Who calls: all that an outbound section depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callers<'a> {
    /// Their namespace.
    pub(super) namespace: &'a str,
    /// Their identity.
    pub(super) identity: &'a str,
    /// Ports that their proxies leave alone.
    pub(super) skipped: &'a Ports,
}

/// The outbound section of `callers`.
pub(super) fn section(
    policies: &Policies,
    callers: Callers<'_>,
    defaults: Defaults,
    cx: &Compile<'_>,
) -> Compiled {
    let mut section = Section {
        policies,
        callers,
        defaults,
        cx,
        out: Compiled::default(),
        clusters: BTreeMap::new(),
    };
    for service in cx.services {
        let Some(ip) = service.cluster_ip() else {
            continue;
        };
        for port in service
            .ports
            .iter()
            .filter(|port| !port.udp && !callers.skipped.has(port.number))
        {
            section.listener(service, port.number, SocketAddr::new(ip, port.number));
        }
    }
    section.rest();
    section.out
}

struct Section<'a> {
    policies: &'a Policies,
    callers: Callers<'a>,
    defaults: Defaults,
    cx: &'a Compile<'a>,
    out: Compiled,
    clusters: BTreeMap<(ServiceId, u16), ClusterIndex>,
}

impl Section<'_> {
    fn listener(&mut self, service: &Service, port: u16, address: SocketAddr) {
        let name = format!("{}.{}:{port}", service.name, service.namespace);
        let cluster = self.cluster(service.id, port);
        let defaults = self.defaults;
        let bytes = || ChainAction::Tcp(tcp(cluster, defaults));
        let chains = if self.is_opaque(service, port) {
            vec![chain(ChainMatch::default(), bytes(), service.origin)]
        } else {
            let table = RouteTable {
                name: name.as_str().into(),
                virtual_hosts: vec![self.virtual_host(service, port)],
                ignore_port: false,
            };
            let table = self.out.draft.add_table(table);
            detected(http(table, defaults), bytes, service.origin).to_vec()
        };
        self.out.draft.listeners.push(Listener {
            name: name.into(),
            address: ListenerAddress::OutboundTo(address),
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: service.origin,
        });
    }

    /// By the port's `appProtocol` (from 2.18 on), by annotation, or by the profile.
    ///
    /// Source: linkerd/linkerd2 `policy-controller/core/src/outbound.rs` (`AppProtocol`).
    fn is_opaque(&self, service: &Service, port: u16) -> bool {
        let declared = service
            .port(port)
            .and_then(|it| it.app_protocol.as_deref())
            .filter(|_| self.policies.declares);
        match declared.map(str::to_ascii_lowercase).as_deref() {
            Some("linkerd.io/opaque" | "linkerd.io/tcp") => return true,
            // declared: lists of ports are of no account
            Some("http" | "kubernetes.io/h2c") => return false,
            Some(_) | None => {}
        }
        let profile = self.profile(service);
        self.policies
            .services
            .get(&service.id)
            .is_some_and(|policy| policy.opaque.has(port))
            || profile
                .and_then(|profile| profile.opaque.as_ref())
                .is_some_and(|ports| ports.has(port))
    }

    fn profile(&self, service: &Service) -> Option<&ProfilePolicy> {
        self.policies
            .profile(service.id, self.callers.namespace, &service.namespace)
    }

    /// One virtual host takes every authority: the address has chosen the Service.
    fn virtual_host(&mut self, service: &Service, port: u16) -> VirtualHost {
        let policies = self.policies;
        let profile = policies.profile(service.id, self.callers.namespace, &service.namespace);
        let routes = match profile {
            Some(profile) => self.profile_routes(profile, service, port),
            None => self.policy_routes(service, port),
        };
        VirtualHost {
            name: service.full_name().into(),
            domains: vec!["*".into()],
            routes,
            attempt_count: false,
            attempt_count_in_response: false,
            origin: service.origin,
        }
    }

    fn policy_routes(&mut self, service: &Service, port: u16) -> Vec<Route> {
        let policies = self.policies;
        let own = policies
            .services
            .get(&service.id)
            .map(|policy| &policy.requests);
        let mut ranked: Vec<(Fit, Route)> = Vec::new();
        let mut none = true;
        for route in policies.routes(service.id, port, self.callers.namespace, &service.namespace) {
            none = false;
            for rule in &route.rules {
                let action = self.rule_action(rule, service, port, (&route.requests, own));
                ranked.extend(rule_routes(route, rule, &action));
            }
        }
        if none {
            let mut forward = Forward::to(self.cluster(service.id, port));
            forward.clusters[0].origin = service.origin;
            let none = RequestPolicy::default();
            self.apply(&mut forward, (&none, own), None);
            return vec![route(
                "default",
                RouteMatch::all(),
                RouteAction::Forward(Box::new(forward)),
                service.origin,
            )];
        }
        // stable: equal fits stay in the order of their routes
        ranked.sort_by(|(a, _), (b, _)| b.cmp(a));
        ranked.into_iter().map(|(_, route)| route).collect()
    }

    fn rule_action(
        &mut self,
        rule: &RulePolicy,
        service: &Service,
        port: u16,
        requests: (&RequestPolicy, Option<&RequestPolicy>),
    ) -> RouteAction {
        if let Some(redirect) = &rule.redirect {
            return RouteAction::Redirect(Box::new(redirect.clone()));
        }
        let mut forward = Forward::to(self.cluster(service.id, port));
        forward.clusters[0].origin = rule.origin;
        if !rule.backends.is_empty() {
            forward.clusters = self.weighted(&rule.backends, port);
            // a backend that is not there answers with an injected 500
            forward.missing_status = 500;
        }
        self.apply(&mut forward, requests, rule.timeout);
        RouteAction::Forward(Box::new(forward))
    }

    fn weighted(&mut self, backends: &[BackendPolicy], port: u16) -> Vec<WeightedCluster> {
        let clusters = backends.iter().map(|backend| WeightedCluster {
            cluster: backend
                .target
                .map(|(service, own)| self.cluster(service, if own == 0 { port } else { own })),
            weight: backend.weight,
            request_edits: backend.request_edits.clone(),
            response_edits: backend.response_edits.clone(),
            origin: backend.origin,
        });
        clusters.collect()
    }

    /// Retries and timeouts by annotation; `timeouts.request` of a rule counts where no annotation of its route says otherwise. The
    /// Service's retries are those of routes that have none, and so are its timeouts, each by itself.
    ///
    /// Source: linkerd/linkerd2 `policy-controller/grpc/src/outbound/http.rs` (`convert_outbound_route`).
    fn apply(
        &self,
        forward: &mut Forward,
        (route, service): (&RequestPolicy, Option<&RequestPolicy>),
        rule: Option<Sourced<Duration>>,
    ) {
        let mut timeouts = route.timeouts;
        timeouts.request = timeouts.request.or(rule);
        if timeouts.is_none() {
            timeouts = service.map_or_else(TimeoutPolicy::default, |service| service.timeouts);
        }
        let whole = timeouts.request;
        let some = |timeout: Sourced<Duration>| Sourced::new(Some(timeout.value), timeout.origin);
        // The response timeout begins when the request has ended, as the core's timeout does. The request timeout begins with the
        // request; alone it stands for the core's timeout, which is the same for requests that come in one piece.
        (forward.timeout, forward.max_stream_duration) = match (timeouts.response, whole) {
            (Some(response), whole) => (some(response), whole),
            (None, Some(whole)) => (some(whole), None),
            (None, None) => (Sourced::new(None, self.defaults.origin), None),
        };
        forward.idle_timeout = timeouts.idle;
        let retries = route.retries.as_ref();
        let retries = retries.or_else(|| service?.retries.as_ref());
        forward.retry = retries.map(
            |Sourced {
                 value: retries,
                 origin,
             }| {
                let origin = *origin;
                let on = RetryOn::NONE
                    .with(RetryCondition::RetriableStatusCodes)
                    .with(RetryCondition::RefusedStream)
                    .with(RetryCondition::PerTryTimeout)
                    .union(retries.grpc);
                Box::new(RetryPolicy {
                    statuses: retries.statuses.clone(),
                    retries: Sourced::new(retries.limit, origin),
                    per_try_timeout: retries
                        .timeout
                        .as_ref()
                        .map(|timeout| Sourced::new(timeout.value, origin)),
                    backoff: self
                        .defaults
                        .of(Backoff::AddedJitter(AddedJitter::linkerd_retry())),
                    ..retry_policy(Sourced::new(on, origin))
                })
            },
        );
    }

    /// Source: linkerd2-proxy `linkerd/app/outbound/src/http/retry.rs`: no limit but the budget, no backoff, answers alone.
    fn profile_routes(
        &mut self,
        profile: &ProfilePolicy,
        service: &Service,
        port: u16,
    ) -> Vec<Route> {
        let mut plain = Forward::to(self.cluster(service.id, port));
        plain.clusters[0].origin = profile.origin;
        if !profile.overrides.is_empty() {
            plain.clusters = self.weighted(&profile.overrides, port);
        }
        plain.timeout = self.defaults.of(None);
        let mut routes = Vec::new();
        for rule in &profile.routes {
            let mut forward = plain.clone();
            if let Some(timeout) = rule.timeout {
                forward.timeout = Sourced::new(Some(timeout.value), timeout.origin);
            }
            forward.retry = rule.retryable.value.then(|| {
                let mut on = RetryOn::NONE.with(RetryCondition::RetriableStatusCodes);
                let mut headers = Vec::new();
                if rule.failures.by_code {
                    on = on.with(RetryCondition::RetriableHeaders);
                    headers.push(failed_call());
                }
                Box::new(RetryPolicy {
                    statuses: rule.failures.statuses.clone(),
                    headers,
                    retries: Sourced::new(u32::MAX, profile.budget.origin),
                    backoff: self.defaults.of(Backoff::None),
                    ..retry_policy(Sourced::new(on, rule.retryable.origin))
                })
            });
            let action = RouteAction::Forward(Box::new(forward));
            routes.extend(
                rule.matches
                    .iter()
                    .map(|matches| route(&rule.name, matches.clone(), action.clone(), rule.origin)),
            );
        }
        routes.push(route(
            "default",
            RouteMatch::all(),
            RouteAction::Forward(Box::new(plain)),
            profile.origin,
        ));
        routes
    }

    fn cluster(&mut self, id: ServiceId, port: u16) -> ClusterIndex {
        if let Some(index) = self.clusters.get(&(id, port)) {
            return *index;
        }
        let cx = self.cx;
        let service = &cx.services[id.index()];
        let meshed = service
            .workloads
            .iter()
            .find_map(|workload| cx.workloads[workload.index()].sidecar.as_ref());
        let profile = self.profile(service);
        let name = format!("{}.{}:{port}", service.name, service.namespace);
        let mut cluster = cluster(&name, &service.full_name(), self.defaults);
        if let Some(sidecar) = meshed {
            // between proxies every request travels on HTTP/2
            cluster.protocol = UpstreamProtocol::Http2;
            cluster.transport = UpstreamTransport::Mesh {
                sni: sidecar.identity.clone(),
                identity: self.callers.identity.into(),
                alpn: Vec::new(),
                only_where_meshed: true,
            };
        }
        cluster.retry_budget = profile.map(|profile| {
            Sourced::new(
                RetryBudget::Rate(profile.budget.value),
                profile.budget.origin,
            )
        });
        // a service profile turns failure accrual off
        let policy = self
            .policies
            .services
            .get(&id)
            .filter(|_| profile.is_none());
        cluster.accrual = policy.and_then(|policy| policy.accrual);
        cluster.queue = Some(self.defaults.of(QUEUE));
        cluster.origin = service.origin;
        let members = Members::Pods {
            service: id,
            port,
            labels: Vec::new(),
        };
        let index = self.out.add(
            cluster,
            Upstream {
                members,
                ..Upstream::default()
            },
        );
        self.clusters.insert((id, port), index);
        index
    }

    /// Addresses that belong to no Service: carried there as they are.
    fn rest(&mut self) {
        let cluster = original_destination("passthrough", self.defaults);
        let cluster = self.out.add(cluster, Upstream::default());
        let origin = self.defaults.origin;
        let mut forward = Forward::to(cluster);
        forward.clusters[0].origin = origin;
        forward.timeout = self.defaults.of(None);
        let forward = RouteAction::Forward(Box::new(forward));
        let table = self.out.draft.add_table(RouteTable {
            name: "passthrough".into(),
            virtual_hosts: vec![VirtualHost {
                name: "passthrough".into(),
                domains: vec!["*".into()],
                routes: vec![route("passthrough", RouteMatch::all(), forward, origin)],
                attempt_count: false,
                attempt_count_in_response: false,
                origin,
            }],
            ignore_port: false,
        });
        let defaults = self.defaults;
        let bytes = || ChainAction::Tcp(tcp(cluster, defaults));
        let listener = |name: &str, address, chains| Listener {
            name: name.into(),
            address,
            chains,
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin,
        };
        let chains = detected(http(table, defaults), bytes, origin).to_vec();
        let mut listeners = vec![listener("outbound", ListenerAddress::OutboundRest, chains)];
        for port in self.callers.skipped.all() {
            listeners.push(listener(
                &format!("skipped:{port}"),
                ListenerAddress::OutboundPort(port),
                vec![chain(ChainMatch::default(), bytes(), origin)],
            ));
        }
        self.out.draft.listeners.extend(listeners);
    }
}

/// A policy of Linkerd's with nothing yet but its conditions.
fn retry_policy(on: Sourced<RetryOn>) -> RetryPolicy {
    RetryPolicy {
        on,
        statuses: Vec::new(),
        headers: Vec::new(),
        request_headers: Vec::new(),
        retries: Sourced::new(0, on.origin),
        per_try_timeout: None,
        per_try_idle_timeout: None,
        backoff: Sourced::new(Backoff::None, on.origin),
        rate_limited_backoff: None,
        avoid_previous: None,
        previous_priorities: None,
        spare_sent_non_idempotent: false,
        last_try_unbounded: true,
        no_try_after: None,
        failures_have_statuses: false,
        body_limit: Some(RETRY_BODY),
        origin: on.origin,
    }
}

/// Calls of gRPC that failed, where no class of answers says otherwise: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL,
/// UNAVAILABLE, DATA_LOSS.
///
/// Source: linkerd2-proxy `linkerd/proxy/client-policy/src/grpc.rs` (`Codes::default`).
fn failed_call() -> HeaderMatch {
    HeaderMatch {
        name: "grpc-status".into(),
        value: TextMatch::regex("2|4|7|13|14|15").expect("a fixed pattern"),
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// One route for each match and host of a rule.
fn rule_routes(policy: &RoutePolicy, rule: &RulePolicy, action: &RouteAction) -> Vec<(Fit, Route)> {
    let mut hosts: Vec<Option<&str>> = policy
        .hosts
        .iter()
        .map(|host| Some(host.as_str()))
        .collect();
    if hosts.is_empty() {
        hosts.push(None);
    }
    let mut routes = Vec::new();
    for host in hosts {
        for condition in &rule.matches {
            let mut matches = RouteMatch::path(condition.path.clone());
            matches.methods = condition
                .method
                .iter()
                .map(|method| method.as_str().into())
                .collect();
            matches.headers = host
                .map(host_condition)
                .into_iter()
                .chain(condition.headers.iter().cloned())
                .collect();
            matches.params.clone_from(&condition.params);
            let mut compiled = route(
                &format!("{}/{}", policy.namespace, policy.name),
                matches,
                action.clone(),
                rule.origin,
            );
            compiled.request_edits.clone_from(&rule.request_edits);
            compiled.response_edits.clone_from(&rule.response_edits);
            routes.push((Fit::of(host, condition), compiled));
        }
    }
    routes
}

/// Takes requests for a host, whatever port follows; `*.` stands for one label or more.
fn host_condition(host: &str) -> HeaderMatch {
    let pattern = match host.strip_prefix("*.") {
        Some(suffix) => format!("[^:]+\\.{}", regex::escape(suffix)),
        None => regex::escape(host),
    };
    let value = TextMatch::regex(&format!("(?i:{pattern})(?::[0-9]+)?"))
        .expect("an escaped host makes a small pattern");
    HeaderMatch {
        name: ":authority".into(),
        value,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

pub(super) fn route(
    name: &str,
    matches: RouteMatch,
    action: RouteAction,
    origin: OriginId,
) -> Route {
    Route {
        name: name.into(),
        matches,
        action,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin,
    }
}

impl Condition {
    /// Every request.
    pub(super) fn all() -> Self {
        Self {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: Vec::new(),
            params: Vec::new(),
        }
    }
}
