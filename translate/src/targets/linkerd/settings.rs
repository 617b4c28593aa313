//! Ports that are not looked into, endpoints that fail, and who refuses plaintext.

use std::collections::BTreeMap;

use compare::Area;
use manifests::dialects::linkerd::annotations::Ports;
use proxy_core::accrual;
use proxy_core::config::Cluster;
use proxy_core::time::Duration;

use crate::intent::{Accepts, Called, Intent, Mesh, Serves};
use crate::loss::{Loss, Reach};
use crate::object::Written;
use crate::targets::common::duration::single;

const OPAQUE: &str = "config.linkerd.io/opaque-ports";
const INBOUND: &str = "config.linkerd.io/default-inbound-policy";
const ACCRUAL: &str = "balancer.linkerd.io/failure-accrual";

/// Ports that are not looked into, where Linkerd would or would not by itself.
pub(super) fn opaque(ports: &[&Called<'_>], out: &mut Written) {
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
pub(super) fn accrual(called: &Called<'_>, cluster: &Cluster, out: &mut Written) {
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
pub(super) fn strictness(intent: &Intent<'_>, mesh: &Mesh<'_>, out: &mut Written) {
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
