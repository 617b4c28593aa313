//! Shares of traffic that go nowhere.

use proxy_core::config::WeightedCluster;

use super::Lint;
use super::view::{Section, Sending, View};
use crate::diagnostics::Diagnostics;
use crate::model::{Members, Upstream};

/// A route to nobody.
pub(super) static NO_ENDPOINTS: Lint = Lint::warning(
    "route::no-endpoints",
    "A route to a Service without a pod",
    "No pod serves the port at which the route aims, so every request it takes is answered 503.",
    "check the selector, the target port and the replicas of the Service",
);
/// A share to nobody.
pub(super) static DEAD_SHARE: Lint = Lint::warning(
    "split::no-endpoints",
    "A share of a split without a pod",
    "The draw between destinations does not look at whether one has endpoints: the share of one without a pod is answered 503.",
    "take the destination out of the split until its pods are there",
);
/// A subset without a pod.
pub(super) static EMPTY_SUBSET: Lint = Lint::warning(
    "split::empty-subset",
    "A subset without a pod",
    "The Service has pods, and none of them has the labels of the subset: what a route sends there is answered 503.",
    "correct the labels of the subset, or of the pods",
);
/// Weights that look like percentages and are none.
pub(super) static NOT_A_HUNDRED: Lint = Lint::advice(
    "split::not-a-hundred",
    "Weights that are almost percentages",
    "Weights count relative to their sum. A sum that is close to 100 and is not suggests that one of them is not what was meant.",
    "let them add up to 100, or choose numbers that nobody takes for percentages",
);

pub(super) fn check(view: &View<'_>, out: &mut Diagnostics) {
    for section in &view.sections {
        for sending in section.sendings() {
            check_sum(view, sending, out);
            for weighted in sending.forward.clusters.iter().filter(|it| it.weight > 0) {
                check_one(view, section, sending, weighted, out);
            }
        }
    }
}

fn check_one(
    view: &View<'_>,
    section: &Section<'_>,
    sending: Sending<'_>,
    weighted: &WeightedCluster,
    out: &mut Diagnostics,
) {
    let Some((cluster, upstream)) = section.cluster(weighted) else {
        return;
    };
    if view.endpoints(upstream) != Some(0) {
        return;
    }
    let rule = [weighted.origin, sending.route.origin];
    let Some(rule) = rule.into_iter().find(|origin| view.is_written(*origin)) else {
        return;
    };
    let span = view.span(rule);
    if let Some(labels) = empty_subset(view, upstream) {
        let message = format!("no pod of `{}` has the labels {labels}", cluster.service);
        return out.push(
            EMPTY_SUBSET
                .found(message)
                .label(span, "leads to the subset")
                .label(view.span(cluster.origin), "the subset"),
        );
    }
    let others: u64 = sending
        .forward
        .clusters
        .iter()
        .map(|it| u64::from(it.weight))
        .sum();
    let others = others - u64::from(weighted.weight);
    if others > 0 {
        let share = f64::from(weighted.weight) / (others + u64::from(weighted.weight)) as f64;
        let message = format!(
            "{} % of the requests go to `{}`, which has no pod",
            (share * 1000.0).round() / 10.0,
            cluster.service
        );
        return out.push(DEAD_SHARE.found(message).label(span, "answered 503"));
    }
    // a Service that nobody leads to is no concern, and of one that selects nothing its own diagnostic tells
    let selects = View::target(upstream).is_none_or(|(service, ..)| {
        let service = view.service(service);
        !service.workloads.is_empty() && service.origin != rule
    });
    if selects {
        let message = format!("`{}` has no pod for these requests", cluster.service);
        out.push(NO_ENDPOINTS.found(message).label(span, "answered 503"));
    }
}

/// The labels of a subset whose Service has pods, none of which it takes.
fn empty_subset(view: &View<'_>, upstream: &Upstream) -> Option<String> {
    let Members::Pods {
        service,
        port,
        labels,
    } = &upstream.members
    else {
        return None;
    };
    if labels.is_empty() {
        return None;
    }
    let whole = Upstream {
        members: Members::Pods {
            service: *service,
            port: *port,
            labels: Vec::new(),
        },
        ..Upstream::default()
    };
    let has_pods = view.endpoints(&whole).is_some_and(|count| count > 0);
    let labels = labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("`{key}: {value}`"))
        .collect();
    has_pods.then(|| labels.join(", "))
}

fn check_sum(view: &View<'_>, sending: Sending<'_>, out: &mut Diagnostics) {
    /// As far from 100 as a slip of one weight gets.
    const NEAR: std::ops::RangeInclusive<u64> = 90..=110;
    let clusters = &sending.forward.clusters;
    let sum: u64 = clusters.iter().map(|it| u64::from(it.weight)).sum();
    if clusters.len() < 2 || !NEAR.contains(&sum) || sum == 100 {
        return;
    }
    let message = format!("these weights add up to {sum}");
    let mut found = NOT_A_HUNDRED.found(message);
    if clusters.iter().all(|it| view.is_written(it.origin)) {
        for weighted in clusters {
            let label = format!("{} of {sum}", weighted.weight);
            found = found.label(view.span(weighted.origin), label);
        }
    } else if view.is_written(sending.route.origin) {
        found = found.label(view.span(sending.route.origin), "splits");
    } else {
        return;
    }
    out.push(found);
}
