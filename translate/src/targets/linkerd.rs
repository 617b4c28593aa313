//! Linkerd: HTTPRoutes whose parent is a Service, and annotations of them and of Services.

use std::collections::BTreeMap;

use compare::Area;
use manifests::dialects::linkerd::annotations::Ports;
use proxy_core::accrual;
use proxy_core::config::{Cluster, Forward};
use proxy_core::origin::OriginId;
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;

use super::common::duration::single;
use super::common::retries;
use super::gateway_api::rules::{Made, Reader, Writer};
use super::gateway_api::{V1, mesh_parts, write_gateways};
use super::{Gateways, Injection, Mark, Target};
use crate::intent::{Accepts, Called, Callers, Intent, Mesh, Rule, Serves};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written};
use crate::yaml::Map;

const INJECT: &str = "linkerd.io/inject";
const OPAQUE: &str = "config.linkerd.io/opaque-ports";
const INBOUND: &str = "config.linkerd.io/default-inbound-policy";
const ACCRUAL: &str = "balancer.linkerd.io/failure-accrual";

/// Linkerd, which has no gateway of its own.
pub(super) static TARGET: Target = Target {
    name: "linkerd",
    title: "Linkerd 2.19",
    dialect: "linkerd",
    release: "2.19",
    injection: Some(Injection::Marked {
        namespace: Mark::Annotation(INJECT, "enabled"),
        out: Mark::Annotation(INJECT, "disabled"),
    }),
    gateways: Gateways::None,
    unsaid: &[
        (
            Area::Balance,
            "Linkerd balances by the peak EWMA of round trips, always",
        ),
        (
            Area::Ejection,
            "Linkerd takes endpoints out after failures in a row alone, and tries them again after a penalty",
        ),
        (
            Area::Health,
            "Linkerd has no health checks: readiness probes of pods decide alone",
        ),
        (
            Area::Limit,
            "Linkerd bounds neither what is under way nor rates of what is sent",
        ),
        (
            Area::Pool,
            "connections between Linkerd's proxies are its own affair",
        ),
        (
            Area::Fault,
            "Linkerd injects no failures, but for shares that go to a Service that fails",
        ),
        (Area::Mirror, "Linkerd sends no copies"),
        (Area::Rewrite, "Linkerd rewrites neither paths nor hosts"),
        (
            Area::Cors,
            "Linkerd does not speak for pages of other origins",
        ),
        (Area::Session, "Linkerd holds no client to one pod"),
        (
            Area::Retry,
            "retries of Linkerd follow statuses, refused streams and its own retry timeout, without a pause, and keep bodies of up to 64 KiB",
        ),
        (
            Area::Answer,
            "Linkerd answers by itself with redirects alone, and refuses with statuses of its own",
        ),
        (
            Area::Tls,
            "proxies of Linkerd always know each other by mutual TLS",
        ),
        (Area::Reading, "what is done to heads is Linkerd's own"),
        (
            Area::Upgrade,
            "Linkerd lets pass whatever a connection becomes",
        ),
        (
            Area::Timeout,
            "Linkerd bounds requests, answers and silent streams, and no connections",
        ),
        (
            Area::Connection,
            "what connections become besides is detected by Linkerd",
        ),
    ],
    write,
};

fn write(intent: &Intent<'_>, out: &mut Written) {
    let gateways: Vec<_> = intent.to_write().collect();
    write_gateways(intent, &gateways, out);
    let Some(mesh) = &intent.mesh else {
        return;
    };
    let mut by_service: BTreeMap<u32, Vec<&Called<'_>>> = BTreeMap::new();
    for called in &mesh.services {
        by_service
            .entry(called.service.id.0)
            .or_default()
            .push(called);
    }
    for called in by_service.values() {
        service(intent, called, out);
    }
    strictness(intent, mesh, out);
}

/// How requests are tried and bounded, as annotations say it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Policy(BTreeMap<&'static str, String>);

/// Everything of a Service, all ports together.
fn service(intent: &Intent<'_>, ports: &[&Called<'_>], out: &mut Written) {
    let Some(first) = ports.first() else {
        return;
    };
    let service = first.service;
    let mut policies: Vec<Policy> = Vec::new();
    let mut routes: Vec<(&Called<'_>, Vec<(Policy, Vec<Map>, Vec<OriginId>)>)> = Vec::new();
    for called in ports {
        let Some((callers, others)) = called.callers.split_first() else {
            continue;
        };
        for other in others {
            mesh_parts::tell_apart(intent, called, other, out);
        }
        let Some(rules) = callers.rules() else {
            continue;
        };
        let made = written(intent, called, rules, out);
        if let [only] = &made[..]
            && mesh_parts::is_plain(&only.1.rule, &service.name, called.port.number)
        {
            policies.push(only.0.clone());
        } else {
            routes.push((called, runs(made)));
        }
    }
    // the Service's own word counts for its ports without routes
    let own = policies.first().cloned().unwrap_or_default();
    let alike = policies.iter().all(|policy| *policy == own);
    if alike && !own.0.is_empty() {
        annotate(out, &service.namespace, &service.name, &own);
    } else if !alike {
        for called in ports {
            own_route(called, out);
        }
    }
    for (called, runs) in routes {
        let count = runs.len();
        for (nth, (policy, rules, from)) in runs.into_iter().enumerate() {
            let wanted = match count {
                1 => route_name(called),
                _ => format!("{}-{:02}", route_name(called), nth + 1),
            };
            let name = out.free_name("HTTPRoute", &service.namespace, &wanted);
            let mut object = route(called, &name, rules);
            for (key, value) in policy.0 {
                object.annotations.insert(key.to_owned(), value);
            }
            for origin in from {
                object.comes_from(origin);
            }
            out.add(object);
        }
    }
    opaque(ports, out);
    if let Some(cluster) = first.callers.first().and_then(|it| it.cluster(service.id)) {
        accrual(first, cluster, out);
    }
}

/// A route that says no more than its annotations: for ports of one Service that differ.
fn own_route(called: &Called<'_>, out: &mut Written) {
    let rules = called.callers.first().and_then(Callers::rules);
    let Some([rule]) = rules else {
        return;
    };
    let Some(forward) = rule.forward() else {
        return;
    };
    let (policy, _) = policy(forward);
    if policy.0.is_empty() {
        return;
    }
    let backend = Map::new()
        .with("name", &*called.service.name)
        .with("port", called.port.number);
    let rules = vec![Map::new().with("backendRefs", vec![backend])];
    let name = out.free_name("HTTPRoute", &called.service.namespace, &route_name(called));
    let mut object = route(called, &name, rules).from(rule.route.origin);
    for (key, value) in policy.0 {
        object.annotations.insert(key.to_owned(), value);
    }
    out.add(object);
}

fn route_name(called: &Called<'_>) -> String {
    let service = called.service;
    match service.ports.iter().filter(|port| !port.udp).count() {
        0 | 1 => service.name.to_string(),
        _ => format!("{}-{}", service.name, called.port.number),
    }
}

fn route(called: &Called<'_>, name: &str, rules: Vec<Map>) -> Object {
    let parent = Map::new()
        .with("group", "core")
        .with("kind", "Service")
        .with("name", &*called.service.name)
        .with("port", called.port.number);
    let spec = Map::new()
        .with("parentRefs", vec![parent])
        .list("rules", rules);
    Object::new(V1, "HTTPRoute", &called.service.namespace, name).spec(spec)
}

/// Rules of a port, each with how its requests are tried and bounded.
fn written<'r, 'a>(
    intent: &Intent<'a>,
    called: &Called<'a>,
    rules: &'r [Rule<'a>],
    out: &mut Written,
) -> Vec<(Policy, Made<'r, 'a>)> {
    let reach = Reach::Service(called.service.id);
    let writer = Writer {
        source: intent.source,
        target: &TARGET,
        reader: Reader::Linkerd,
        reach,
        namespace: called.service.namespace.to_string(),
    };
    let made = writer.rules(rules, out);
    let mut all = Vec::new();
    for made in made {
        let (policy, unsaid) = match made.of.forward() {
            Some(forward) => policy(forward),
            None => (Policy::default(), Vec::new()),
        };
        for (area, what, nearest) in unsaid {
            let why = TARGET.why(area).unwrap_or_default();
            let loss = Loss::new(reach, area, made.of.route.origin, what, why);
            out.lose(loss.nearest(nearest));
        }
        all.push((policy, made));
    }
    all
}

/// Rules in a row with the same policy share a route, which has its annotations.
fn runs(made: Vec<(Policy, Made<'_, '_>)>) -> Vec<(Policy, Vec<Map>, Vec<OriginId>)> {
    let mut runs: Vec<(Policy, Vec<Map>, Vec<OriginId>)> = Vec::new();
    for (policy, made) in made {
        let origin = made.of.route.origin;
        match runs.last_mut() {
            Some((own, rules, from)) if *own == policy => {
                rules.push(made.rule);
                from.push(origin);
            }
            Some(_) | None => runs.push((policy, vec![made.rule], vec![origin])),
        }
    }
    runs
}

type Unsaid = Vec<(Area, String, String)>;

/// Annotations for how requests of a route are tried and bounded, and what of it they cannot say.
fn policy(forward: &Forward) -> (Policy, Unsaid) {
    let mut notes: BTreeMap<&'static str, String> = BTreeMap::new();
    let mut unsaid = Unsaid::new();
    let mut bound = retries::timeout(forward);
    if let Some(policy) = retries::effective(forward) {
        let on = policy.on.value;
        let mut http: Vec<String> = Vec::new();
        if on.has(Condition::ServerError) {
            http.push("5xx".to_owned());
        } else if on.has(Condition::GatewayError) {
            http.push("gateway-error".to_owned());
        }
        if on.has(Condition::Retriable4xx) {
            http.push("409".to_owned());
        }
        if on.has(Condition::RetriableStatusCodes) {
            let listed = policy.statuses.iter();
            let listed =
                listed.filter(|status| !(on.has(Condition::ServerError) && **status >= 500));
            http.extend(listed.map(ToString::to_string));
        }
        let grpc = [
            Condition::Cancelled,
            Condition::DeadlineExceeded,
            Condition::Internal,
            Condition::ResourceExhausted,
            Condition::Unavailable,
        ];
        let grpc: Vec<&str> = grpc
            .into_iter()
            .filter(|it| on.has(*it))
            .map(Condition::name)
            .collect();
        if !http.is_empty() {
            notes.insert("retry.linkerd.io/http", http.join(","));
        }
        if !grpc.is_empty() {
            notes.insert("retry.linkerd.io/grpc", grpc.join(","));
        }
        if let Some(limit) = u16::try_from(policy.retries.value)
            .ok()
            .filter(|it| *it != 1)
        {
            notes.insert("retry.linkerd.io/limit", limit.to_string());
        } else if policy.retries.value == 1 && notes.is_empty() {
            notes.insert("retry.linkerd.io/limit", "1".to_owned());
        }
        // a try that takes too long is tried again only where the source would do so
        let slow = [
            Condition::ServerError,
            Condition::GatewayError,
            Condition::Reset,
            Condition::PerTryTimeout,
        ];
        if let Some(each) = retries::per_try(forward) {
            if slow.into_iter().any(|it| on.has(it)) {
                notes.insert("retry.linkerd.io/timeout", single(each));
                if !policy.last_try_unbounded {
                    unsaid.push((
                        Area::Retry,
                        "the last try is bound, too".to_owned(),
                        "Linkerd lets the last try take as long as it needs".to_owned(),
                    ));
                }
            } else {
                // nobody tries again what ends so: the answer is 504 after this time
                bound = Some(bound.map_or(each, |whole| whole.min(each)));
                unsaid.push((
                    Area::Retry,
                    "each try is bound, and one that takes too long is not tried again".to_owned(),
                    format!("the answer has to come within {}", single(each)),
                ));
            }
        }
        let failed = [
            Condition::ConnectFailure,
            Condition::Reset,
            Condition::ResetBeforeRequest,
        ];
        let failed: Vec<&str> = failed
            .into_iter()
            .filter(|it| on.has(*it))
            .map(Condition::name)
            .collect();
        if !failed.is_empty() {
            unsaid.push((
                Area::Retry,
                format!("tries follow `{}`", failed.join(", ")),
                "requests wait for an endpoint that is ready instead, up to 3 s".to_owned(),
            ));
        }
        for extra in retries::extras(policy) {
            unsaid.push((Area::Retry, extra, String::new()));
        }
    } else if let Some(each) = retries::per_try(forward) {
        bound = Some(bound.map_or(each, |whole| whole.min(each)));
    }
    match (bound, forward.max_stream_duration) {
        (Some(bound), Some(stream)) if !stream.value.is_zero() => {
            notes.insert("timeout.linkerd.io/response", single(bound));
            notes.insert("timeout.linkerd.io/request", single(stream.value));
        }
        (Some(bound), _) => {
            notes.insert("timeout.linkerd.io/request", single(bound));
        }
        (None, Some(stream)) if !stream.value.is_zero() => {
            notes.insert("timeout.linkerd.io/request", single(stream.value));
        }
        (None, _) => {}
    }
    if let Some(idle) = forward.idle_timeout.filter(|it| !it.value.is_zero()) {
        notes.insert("timeout.linkerd.io/idle", single(idle.value));
    }
    (Policy(notes), unsaid)
}

fn annotate(out: &mut Written, namespace: &str, name: &str, policy: &Policy) {
    if let Some(object) = out.find("Service", namespace, name) {
        for (key, value) in &policy.0 {
            object.annotations.insert((*key).to_owned(), value.clone());
        }
    }
}

/// Ports that are not looked into, where Linkerd would or would not by itself.
fn opaque(ports: &[&Called<'_>], out: &mut Written) {
    let stock = Ports::of_chart();
    let mut wanted: Vec<String> = Vec::new();
    let mut differs = false;
    for called in ports {
        let number = called.port.number;
        let carried = match called.callers.first().map(|it| &it.serves) {
            Some(Serves::Bytes { .. }) => true,
            Some(Serves::Requests { .. }) => false,
            // nobody says anything: Linkerd's own list is as good as any
            Some(Serves::Untouched | Serves::Closed | Serves::Datagrams { .. }) | None => {
                stock.has(number)
            }
        };
        differs |= carried != stock.has(number);
        if carried {
            wanted.push(number.to_string());
        }
    }
    let Some(first) = ports.first().filter(|_| differs) else {
        return;
    };
    let service = first.service;
    if let Some(object) = out.find("Service", &service.namespace, &service.name) {
        object
            .annotations
            .insert(OPAQUE.to_owned(), wanted.join(","));
    }
}

/// Endpoints that fail: Linkerd's own settings as they are, Envoy's as near as may be.
fn accrual(called: &Called<'_>, cluster: &Cluster, out: &mut Written) {
    let service = called.service;
    let settings = match (&cluster.accrual, &cluster.outlier) {
        (Some(own), _) => own.value,
        (None, Some(outlier)) => {
            let ejection = outlier.value;
            let all = proxy_core::config::Share::ZERO;
            let counts = [
                (ejection.enforcing_consecutive_5xx, ejection.consecutive_5xx),
                (
                    ejection.enforcing_consecutive_gateway_failure,
                    ejection.consecutive_gateway_failure,
                ),
            ];
            let counts = counts
                .into_iter()
                .filter(|(share, count)| *share > all && *count > 0);
            let Some(failures) = counts.map(|(_, count)| count).min() else {
                return;
            };
            let least = ejection.base_ejection_time;
            let most = ejection.max_ejection_time.max(least);
            out.lose(
                Loss::new(
                    Reach::Service(service.id),
                    Area::Ejection,
                    outlier.origin,
                    "endpoints are taken out by a sweep, up to a share of them, and return after a time",
                    "Linkerd takes an endpoint out at once, however many are out, until a request to it succeeds",
                )
                .also(Area::Balance)
                .nearest(format!(
                    "failure accrual: {failures} failures in a row, {} to {} out",
                    single(least),
                    single(most)
                )),
            );
            accrual::Settings {
                max_failures: failures,
                min_penalty: least,
                max_penalty: most,
                ..accrual::Settings::linkerd()
            }
        }
        (None, None) => return,
    };
    let Some(object) = out.find("Service", &service.namespace, &service.name) else {
        return;
    };
    let stock = accrual::Settings::linkerd();
    let mut set = |suffix: &str, value: String| {
        object
            .annotations
            .insert(format!("{ACCRUAL}{suffix}"), value);
    };
    set("", "consecutive".to_owned());
    if settings.max_failures != stock.max_failures {
        set(
            "-consecutive-max-failures",
            settings.max_failures.to_string(),
        );
    }
    let mut penalty = |suffix: &str, own: Duration, stock: Duration| {
        if own != stock {
            set(suffix, single(own));
        }
    };
    penalty(
        "-consecutive-min-penalty",
        settings.min_penalty,
        stock.min_penalty,
    );
    penalty(
        "-consecutive-max-penalty",
        settings.max_penalty,
        stock.max_penalty,
    );
    if (settings.jitter - stock.jitter).abs() > f64::EPSILON {
        set("-consecutive-jitter-ratio", settings.jitter.to_string());
    }
}

/// Who refuses plaintext: namespaces where all do, else their pods.
fn strictness(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
    let workloads = intent.source.model.workloads();
    let mut strict: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for inbound in &mesh.workloads {
        let workload = &workloads[inbound.workload.index()];
        let is_strict = inbound.accepts.0 == Accepts::Meshed;
        strict
            .entry(&workload.namespace)
            .or_default()
            .push(is_strict);
        let reach = Reach::Workload(inbound.workload);
        for (port, accepts, origin) in &inbound.ports {
            out.lose(
                Loss::new(
                    reach,
                    Area::Connection,
                    *origin,
                    format!("port {port} takes {}", words(*accepts)),
                    "a single port is Linkerd's Server, which is not written",
                )
                .also(Area::Answer)
                .nearest(format!(
                    "it takes {} as the others do",
                    words(inbound.accepts.0)
                )),
            );
        }
        if inbound.accepts.0 == Accepts::Plaintext {
            out.lose(Loss::new(
                reach,
                Area::Connection,
                inbound.accepts.1,
                "mutual TLS is off",
                "proxies of Linkerd always offer it to each other",
            ));
        }
    }
    for inbound in &mesh.workloads {
        let workload = &workloads[inbound.workload.index()];
        let all = strict
            .get(&*workload.namespace)
            .is_some_and(|all| all.iter().all(|it| *it));
        if inbound.accepts.0 != Accepts::Meshed {
            continue;
        }
        let object = if all {
            out.find("Namespace", "", &workload.namespace)
        } else {
            [
                "Deployment",
                "StatefulSet",
                "DaemonSet",
                "ReplicaSet",
                "Pod",
            ]
            .into_iter()
            .find(|kind| {
                out.find(kind, &workload.namespace, &workload.name)
                    .is_some()
            })
            .and_then(|kind| out.find(kind, &workload.namespace, &workload.name))
        };
        match object {
            Some(object) if all => {
                object
                    .annotations
                    .insert(INBOUND.to_owned(), "all-authenticated".to_owned());
            }
            Some(object) => object.annotate_pods(INBOUND, "all-authenticated"),
            None => {}
        }
    }
}

const fn words(accepts: Accepts) -> &'static str {
    match accepts {
        Accepts::Both => "plaintext, too",
        Accepts::Meshed => "the mesh alone",
        Accepts::Plaintext => "plaintext alone",
        Accepts::Nothing => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::{ClusterIndex, RetryPolicy};
    use proxy_core::origin::Sourced;
    use proxy_core::retry::backoff::Backoff;
    use proxy_core::retry::conditions::RetryOn;

    fn forward(on: RetryOn, retries: u32) -> Forward {
        let mut forward = Forward::to(ClusterIndex(0));
        forward.retry = Some(Box::new(RetryPolicy {
            on: Sourced::unsourced(on),
            statuses: Vec::new(),
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: Sourced::unsourced(retries),
            per_try_timeout: None,
            per_try_idle_timeout: None,
            backoff: Sourced::unsourced(Backoff::None),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: false,
            last_try_unbounded: false,
            no_try_after: None,
            failures_have_statuses: false,
            body_limit: None,
            origin: OriginId::NONE,
        }));
        forward
    }

    fn note(policy: &Policy, key: &str) -> Option<String> {
        policy.0.get(key).cloned()
    }

    #[test]
    fn retries_on_server_errors_are_an_annotation() {
        let (written, unsaid) = policy(&forward(RetryOn::NONE.with(Condition::ServerError), 3));
        assert_eq!(
            note(&written, "retry.linkerd.io/http").as_deref(),
            Some("5xx")
        );
        assert_eq!(
            note(&written, "retry.linkerd.io/limit").as_deref(),
            Some("3")
        );
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }

    #[test]
    fn retries_of_connections_have_no_word_and_that_is_said() {
        let on = RetryOn::NONE.with(Condition::ConnectFailure);
        let (_, unsaid) = policy(&forward(on, 2));
        assert_eq!(unsaid.len(), 1);
        assert!(unsaid[0].1.contains("connect-failure"), "{unsaid:?}");
    }

    #[test]
    fn a_bound_of_tries_that_are_not_tried_again_is_a_bound_of_the_answer() {
        let on = RetryOn::NONE.with(Condition::ConnectFailure);
        let mut slow = forward(on, 3);
        let each = Some(Sourced::unsourced(Duration::from_secs(2)));
        slow.retry.as_mut().unwrap().per_try_timeout = each;
        let (written, _) = policy(&slow);
        assert_eq!(
            note(&written, "timeout.linkerd.io/request").as_deref(),
            Some("2s")
        );
        assert_eq!(note(&written, "retry.linkerd.io/timeout"), None);
        let on = on.with(Condition::ServerError);
        let mut again = forward(on, 3);
        again.retry.as_mut().unwrap().per_try_timeout = each;
        let (written, _) = policy(&again);
        assert_eq!(
            note(&written, "retry.linkerd.io/timeout").as_deref(),
            Some("2s")
        );
        assert_eq!(note(&written, "timeout.linkerd.io/request"), None);
    }

    #[test]
    fn no_retries_are_no_annotation() {
        let (written, unsaid) = policy(&forward(RetryOn::NONE, 5));
        assert!(written.0.is_empty() && unsaid.is_empty());
    }
}
