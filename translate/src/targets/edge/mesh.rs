//! What only sidecars did.

use std::collections::BTreeSet;

use compare::Area;
use proxy_core::config::{Cluster, RouteAction, UpstreamTransport};
use proxy_core::origin::OriginId;

use super::{retries, words};
use crate::intent::{Accepts, Called, Intent, Rule, Serves};
use crate::loss::{Loss, Reach};
use crate::object::Written;

/// Everything about callers and servers that sidecars decide.
const AREAS: &[Area] = &[
    Area::Connection,
    Area::Destination,
    Area::Redirect,
    Area::Answer,
    Area::Rewrite,
    Area::Headers,
    Area::Reading,
    Area::Timeout,
    Area::Retry,
    Area::Mirror,
    Area::Fault,
    Area::Limit,
    Area::Cors,
    Area::Session,
    Area::Upgrade,
    Area::Balance,
    Area::Ejection,
    Area::Health,
    Area::Pool,
    Area::Tls,
];

/// What callers in the mesh lose, a loss for each Service, and who may call, a loss for each workload.
pub(crate) fn losses(intent: &Intent<'_>, system: &str, written: &mut Written) {
    let Some(mesh) = &intent.mesh else {
        return;
    };
    let mut seen = BTreeSet::new();
    for called in &mesh.services {
        if !seen.insert(called.service.id) {
            continue;
        }
        let ports = mesh
            .services
            .iter()
            .filter(|it| it.service.id == called.service.id);
        let (mut said, mut rule) = (Vec::new(), OriginId::NONE);
        for port in ports {
            of_service(port, intent, &mut said, &mut rule);
        }
        if said.is_empty() {
            continue;
        }
        let why = format!(
            "{system} is a gateway: between pods there is no proxy that would do it, and kube-proxy picks a pod for each connection"
        );
        let mut loss = Loss::new(
            Reach::Service(called.service.id),
            Area::Destination,
            rule,
            said.join(", "),
            why,
        );
        for area in AREAS {
            loss = loss.also(*area);
        }
        written.lose(loss);
    }
    for workload in &mesh.workloads {
        let (accepts, rule) = workload.accepts;
        let ports = workload
            .ports
            .iter()
            .map(|(_, accepts, rule)| (*accepts, *rule));
        let strict = ports
            .chain([(accepts, rule)])
            .find(|(it, _)| *it == Accepts::Meshed);
        let (what, rule) = match strict {
            Some((_, rule)) => ("connections that are not the mesh's are refused", rule),
            None => (
                "connections of the mesh are authenticated and encrypted",
                rule,
            ),
        };
        let why =
            format!("{system} has nothing beside pods: they take any connection, in plaintext");
        let mut loss = Loss::new(
            Reach::Workload(workload.workload),
            Area::Tls,
            rule,
            what,
            why,
        );
        for area in AREAS {
            loss = loss.also(*area);
        }
        written.lose(loss);
    }
}

/// What callers of a Service's port have by their sidecars, in words, and the first rule that somebody wrote.
fn of_service(
    called: &Called<'_>,
    intent: &Intent<'_>,
    said: &mut Vec<String>,
    rule: &mut OriginId,
) {
    let mut say = |words: String, origin: OriginId| {
        if *rule == OriginId::NONE || !intent.source.is_written(*rule) {
            *rule = origin;
        }
        if !said.contains(&words) {
            said.push(words);
        }
    };
    for callers in &called.callers {
        match &callers.serves {
            Serves::Requests { hosts, .. } => {
                for rule in hosts.iter().flat_map(|host| &host.rules) {
                    of_rule(rule, &mut say);
                }
            }
            Serves::Closed => say("connections are refused".into(), OriginId::NONE),
            Serves::Bytes { to, .. } => {
                let clusters = to.iter().filter_map(|it| it.cluster);
                clusters.for_each(|cluster| of_cluster(cluster, &mut say));
            }
            Serves::Datagrams { .. } | Serves::Untouched => {}
        }
        if callers.workloads.len()
            != called
                .callers
                .iter()
                .map(|it| it.workloads.len())
                .sum::<usize>()
        {
            say(
                "rules that are for some callers alone".into(),
                OriginId::NONE,
            );
        }
    }
}

fn of_rule(rule: &Rule<'_>, say: &mut dyn FnMut(String, OriginId)) {
    let route = rule.route;
    if let Some(fault) = &route.fault {
        say("injected failures".into(), fault.origin);
    }
    if !super::flat::takes_all(&route.matches) {
        say(
            "rules by path, method, header or parameter".into(),
            route.origin,
        );
    }
    if !route.request_edits.is_empty() || !route.response_edits.is_empty() {
        say("edits of headers".into(), route.origin);
    }
    if let Some(limit) = &route.rate_limit {
        say("a rate limit".into(), limit.origin);
    }
    let forward = match &route.action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Redirect(_) => return say("a redirect".into(), route.origin),
        RouteAction::Direct(_) => return say("answers of a rule's own".into(), route.origin),
    };
    if rule.to.iter().filter(|it| it.weight > 0).count() > 1 {
        say("shares of several destinations".into(), route.origin);
    }
    if let Some(timeout) = forward.timeout.value.filter(|it| !it.is_zero()) {
        say(
            format!("a timeout of {}", words::length(timeout)),
            forward.timeout.origin,
        );
    }
    if let Some(policy) = forward
        .retry
        .as_deref()
        .filter(|_| retries::tried(forward).is_some())
    {
        say(retries::words(policy), policy.retries.origin);
    }
    if forward.rewrite.is_some() || forward.host.is_some() {
        say("a rewrite".into(), route.origin);
    }
    if let Some(mirror) = forward.mirrors.first() {
        say("copies of requests".into(), mirror.share.origin);
    }
    if forward.session.is_some() || !forward.hash.is_empty() {
        say("clients that stay with an endpoint".into(), route.origin);
    }
    for cluster in rule.to.iter().filter_map(|it| it.cluster) {
        of_cluster(cluster, say);
    }
}

fn of_cluster(cluster: &Cluster, say: &mut dyn FnMut(String, OriginId)) {
    let balancer = format!(
        "endpoints chosen for each request ({})",
        words::balancer(cluster)
    );
    say(balancer, cluster.balancer.origin);
    let out = [
        cluster.outlier.as_ref().map(|it| it.origin),
        cluster.accrual.as_ref().map(|it| it.origin),
        cluster.passive.as_ref().map(|it| it.origin),
    ];
    for origin in out.into_iter().flatten() {
        say("failing endpoints are taken out".into(), origin);
    }
    if let UpstreamTransport::Mesh { .. } = &cluster.transport {
        say("mutual TLS".into(), cluster.origin);
    }
}
