//! Routers to virtual hosts and routes.

use std::collections::BTreeSet;

use proxy_core::config::{
    DirectResponse, Forward, HostRewrite, Mirror, PathRewrite, RetryPolicy, Route, RouteAction,
    RouteTable, Share, VirtualHost, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::retry::conditions::RetryOn;

use super::branches::{Branch, Side, branches};
use super::clusters::{Clusters, hash};
use super::conditions::{Hosts, route_match};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::dialects::traefik::policy::{Leads, Router, Servers, Step, Target};
use crate::dialects::traefik::rules::normal::Alternative;
use crate::dialects::traefik::rules::{HostPattern, Matcher};

/// A router of one entry point.
#[derive(Clone, Debug)]
pub(super) struct Served<'p> {
    pub(super) router: &'p Router,
    /// The entry point's middlewares, which come first.
    pub(super) before: &'p [Step],
    /// What names the state of its middlewares here.
    pub(super) key: String,
}

/// A router that others lead to, flat: the conditions of all and the middlewares of all.
struct Leaf<'p> {
    router: &'p Router,
    alternatives: Vec<Alternative<Matcher>>,
    steps: Vec<Step>,
    key: String,
    target: Option<&'p Target>,
}

/// Alternatives of routers that lead to others are multiplied up to here.
const MOST_ALTERNATIVES: usize = 1_024;

/// The table of routers, which are in the order in which they are asked.
pub(super) fn table(
    name: &str,
    served: &[Served<'_>],
    side: Side,
    origin: OriginId,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> RouteTable {
    let mut leaves = Vec::new();
    for it in served {
        let steps = it.before.to_vec();
        flatten(it.router, &it.key, &[Vec::new()], &steps, &mut leaves, cx);
    }
    let exact = leaves.iter().flat_map(|leaf| &leaf.alternatives).flatten();
    let exact = exact.filter_map(|literal| match &literal.matcher {
        Matcher::Host(HostPattern::Exact(host)) => Some(host.clone()),
        _ => None,
    });
    let exact: BTreeSet<String> = exact.collect();
    let mut virtual_hosts = Vec::new();
    for host in &exact {
        let routes = routes(&leaves, Hosts::One(host), side, clusters, cx);
        // a dot at the end of a host is of no account
        let domains = vec![host.as_str().into(), format!("{host}.").into()];
        virtual_hosts.push(virtual_host(host, domains, routes, origin));
    }
    let others = routes(&leaves, Hosts::Others, side, clusters, cx);
    virtual_hosts.push(virtual_host("*", vec!["*".into()], others, origin));
    RouteTable {
        name: name.into(),
        virtual_hosts,
        ignore_port: true,
    }
}

fn virtual_host(
    name: &str,
    domains: Vec<Box<str>>,
    routes: Vec<Route>,
    origin: OriginId,
) -> VirtualHost {
    VirtualHost {
        name: name.into(),
        domains,
        routes,
        attempt_count: false,
        attempt_count_in_response: false,
        origin,
    }
}

fn flatten<'p>(
    router: &'p Router,
    key: &str,
    above: &[Alternative<Matcher>],
    steps: &[Step],
    leaves: &mut Vec<Leaf<'p>>,
    cx: &mut Compile<'_>,
) {
    let mut alternatives = Vec::new();
    for upper in above {
        for own in &router.alternatives {
            let mut both = upper.clone();
            let new = own.iter().filter(|literal| !upper.contains(literal));
            both.extend(new.cloned());
            alternatives.push(both);
        }
    }
    if alternatives.len() > MOST_ALTERNATIVES {
        let meaning = "requests of its last alternatives go to other routers, or are 404";
        let message = format!(
            "so many alternatives of nested routers are not modelled: `{}`",
            router.name
        );
        cx.diagnostics.push(Diagnostic::not_modelled(
            "traefik::not-modelled",
            message,
            meaning,
        ));
        alternatives.truncate(MOST_ALTERNATIVES);
    }
    let mut all = steps.to_vec();
    all.extend(router.steps.iter().cloned());
    let (target, further): (_, &[Router]) = match &router.leads {
        Leads::To(target) => (Some(&**target), &[]),
        Leads::Further(further) => (None, further),
    };
    for child in further {
        // state of the middlewares above is that of the router above
        flatten(child, key, &alternatives, &all, leaves, cx);
    }
    leaves.push(Leaf {
        router,
        alternatives,
        steps: all,
        key: key.to_owned(),
        target,
    });
}

fn routes(
    leaves: &[Leaf<'_>],
    hosts: Hosts<'_>,
    side: Side,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Vec<Route> {
    let mut all = Vec::new();
    for leaf in leaves {
        for alternative in &leaf.alternatives {
            let Some(matches) = route_match(alternative, hosts) else {
                continue;
            };
            for branch in branches(&leaf.steps, matches, side, &leaf.key, cx) {
                all.push(route(leaf, branch, clusters, cx));
            }
        }
    }
    all
}

fn route(leaf: &Leaf<'_>, branch: Branch, clusters: &mut Clusters, cx: &mut Compile<'_>) -> Route {
    let Branch {
        matches,
        request,
        response,
        host,
        rewrites,
        gates,
        retry,
        cors,
        answer,
    } = branch;
    let action = match (answer, leaf.target) {
        (Some(answer), _) => answer,
        // a router above took it, and none below does
        (None, None) => direct(404, "404 page not found\n"),
        (None, Some(target)) => {
            let parts = Parts {
                host,
                rewrites,
                retry,
            };
            forward(leaf.router, target, parts, clusters, cx)
        }
    };
    Route {
        name: leaf.router.name.clone(),
        matches,
        action,
        request_edits: request,
        response_edits: response,
        fault: None,
        rate_limit: None,
        cors: cors.map(Box::new),
        gates,
        tracing: None,
        origin: leaf.router.origin,
    }
}

fn direct(status: u16, body: &str) -> RouteAction {
    RouteAction::Direct(DirectResponse {
        status,
        body: body.into(),
    })
}

/// What middlewares have to say of sending a request on.
struct Parts {
    host: Option<String>,
    rewrites: Vec<PathRewrite>,
    retry: Option<Box<RetryPolicy>>,
}

fn forward(
    router: &Router,
    target: &Target,
    parts: Parts,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> RouteAction {
    let leaves = target.leaves();
    let mut weighted = Vec::new();
    for (servers, weight) in leaves.iter().filter(|(_, weight)| *weight > 0) {
        weighted.push(WeightedCluster {
            cluster: Some(clusters.requests(servers, cx)),
            weight: u32::try_from(*weight).unwrap_or(u32::MAX),
            request_edits: Vec::new(),
            response_edits: Vec::new(),
            origin: servers.origin,
        });
    }
    let Some(first) = weighted.first().and_then(|it| it.cluster) else {
        return direct(503, "no available server\n");
    };
    let used: Vec<&Servers> = leaves
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(it, _)| *it)
        .collect();
    let mut forward = Forward::to(first);
    forward.clusters = weighted;
    forward.timeout = Sourced::new(None, clusters.defaults);
    forward.retry = retry(parts.retry, used[0], clusters.defaults);
    let mut rewrites = parts.rewrites;
    forward.rewrite = match rewrites.len() {
        0 => None,
        1 => rewrites.pop(),
        _ => Some(PathRewrite::Sequence(rewrites)),
    };
    let keeps = used
        .iter()
        .filter(|servers| servers.keeps_host.value)
        .count();
    if keeps > 0 && keeps < used.len() {
        let message = "servers of one router that see the client's Host, and others that do not, are not modelled";
        let meaning = "all of them see it";
        let mut note = Diagnostic::not_modelled("traefik::not-modelled", message, meaning);
        if let Some(span) = cx.origins.span(router.origin) {
            note = note.label(span, "");
        }
        cx.diagnostics.push(note);
    }
    forward.host = match parts.host {
        Some(host) if keeps > 0 => Some(HostRewrite::Literal(host.into())),
        _ if keeps > 0 => None,
        _ => Some(HostRewrite::Endpoint),
    };
    if used
        .iter()
        .any(|it| it.balancer.value == proxy_core::config::Balancer::TraefikRendezvous)
    {
        forward.hash.push(hash());
    }
    forward.session = session(target, &used).map(Box::new);
    forward.mirrors = mirrors(target, clusters, cx);
    RouteAction::Forward(Box::new(forward))
}

/// The policy of a retry, with the bound on how long a server may be silent.
fn retry(
    policy: Option<Box<RetryPolicy>>,
    servers: &Servers,
    defaults: OriginId,
) -> Option<Box<RetryPolicy>> {
    let silence = servers.transport.response_header_timeout;
    match (policy, silence) {
        (None, None) => None,
        (Some(mut policy), silence) => {
            policy.per_try_idle_timeout = silence;
            Some(policy)
        }
        (None, Some(silence)) => Some(Box::new(RetryPolicy {
            on: Sourced::new(RetryOn::NONE, defaults),
            statuses: Vec::new(),
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::new(0, defaults),
            per_try_timeout: None,
            per_try_idle_timeout: Some(silence),
            backoff: Sourced::new(Backoff::None, defaults),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: true,
            last_try_unbounded: false,
            no_try_after: None,
            failures_have_statuses: false,
            body_limit: None,
            origin: silence.origin,
        })),
    }
}

/// Where clients stay: of several services with one of them, else with a server.
fn session(target: &Target, used: &[&Servers]) -> Option<proxy_core::config::Session> {
    match target {
        Target::Split {
            session: Some(session),
            ..
        } => Some(session.clone()),
        Target::Mirrored { main, .. } => session(main, used),
        Target::Split { .. } | Target::Servers(_) => match used {
            [only] => only.session.clone(),
            _ => None,
        },
    }
}

fn mirrors(target: &Target, clusters: &mut Clusters, cx: &mut Compile<'_>) -> Vec<Mirror> {
    let Target::Mirrored { copies, .. } = target else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (copy, percent) in copies {
        let leaves = copy.leaves();
        let total: u64 = leaves.iter().map(|(_, weight)| weight).sum();
        for (servers, weight) in leaves {
            // of a service that is several each has its share of the copies
            let part = f64::from(percent.value) * weight as f64 / total.max(1) as f64;
            all.push(Mirror {
                cluster: clusters.requests(servers, cx),
                share: Sourced::new(Share::from_percent(part), percent.origin),
                shadow_host: false,
            });
        }
    }
    all
}
