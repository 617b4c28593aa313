//! The controller's default backend (`--default-backend-service`), for requests that no Ingress takes.

use proxy_core::config::{
    Balancer, Cluster, ClusterIndex, EndpointSet, Forward, Limits, LocalityBalance, Share,
};
use proxy_core::origin::Sourced;

use super::clusters::{Clusters, members};
use super::policy::Controller;
use super::servers::Location;
use crate::dialects::Compile;
use crate::ingress::ServicePortId;
use crate::model::Upstream;

/// How requests are sent to the default backend; none: there is none.
pub(super) fn without_annotations(
    location: &Location<'_>,
    controller: &Controller,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Option<Forward> {
    let backend = location.backend?;
    let cluster = cluster(backend, clusters, cx);
    let mut forward = Forward::to(cluster);
    forward.clusters[0].origin = controller.origin;
    forward.timeout = Sourced::new(None, clusters.default);
    Some(forward)
}

fn cluster(backend: ServicePortId, clusters: &mut Clusters, cx: &Compile<'_>) -> ClusterIndex {
    let known = clusters.out.draft.clusters.iter();
    let at = known.into_iter().position(|it| *it.name == *NAME);
    if let Some(at) = at.and_then(|at| u32::try_from(at).ok()) {
        return ClusterIndex(at);
    }
    let service = &cx.services[backend.service.index()];
    let default = clusters.default;
    let made = Cluster {
        service: service.full_name().into(),
        balancer: Sourced::new(Balancer::RoundRobin, default),
        locality: Sourced::new(LocalityBalance::Ignored, default),
        panic_threshold: Sourced::new(Share::ZERO, default),
        fail_traffic_on_panic: true,
        limits: [Limits::unlimited(default); 2],
        origin: service.origin,
        ..Cluster::envoy(NAME, EndpointSet::default())
    };
    let upstream = Upstream {
        members: members(backend, false),
        ..Upstream::default()
    };
    clusters.out.add(made, upstream)
}

/// What the controller calls it.
const NAME: &str = "upstream-default-backend";
