//! The Gateway API: gateways and HTTPRoutes, and for meshes HTTPRoutes whose parent is a Service (GAMMA).

mod conditions;
pub(crate) mod filters;
mod gateways;
mod mesh;
pub(crate) mod rules;

use compare::Area;

pub(crate) use gateways::write as write_gateways;

/// What writers of other meshes need of this one.
pub(crate) mod mesh_parts {
    pub(crate) use super::mesh::{declare, is_plain, says, tell_apart};
}

use super::{Gateways, Injection, Target};
use crate::intent::Intent;
use crate::object::Written;

/// The API group.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";
/// Of everything but what is experimental.
pub(crate) const V1: &str = "gateway.networking.k8s.io/v1";

/// The Gateway API by itself, without a controller's own extensions.
pub(super) static TARGET: Target = Target {
    name: "gateway-api",
    title: "Gateway API 1.5",
    dialect: "gateway-api",
    release: "1.5",
    injection: Some(Injection::Named),
    gateways: Gateways::All,
    unsaid: &[
        (
            Area::Balance,
            "the Gateway API has no balancing: each controller has its own",
        ),
        (
            Area::Ejection,
            "the Gateway API does not take endpoints out that fail",
        ),
        (
            Area::Health,
            "the Gateway API has no health checks: readiness probes of pods decide alone",
        ),
        (
            Area::Limit,
            "the Gateway API has no limits of rates, of requests under way or of bodies",
        ),
        (
            Area::Pool,
            "the Gateway API says nothing of connections to endpoints",
        ),
        (Area::Fault, "the Gateway API injects no failures"),
        (
            Area::Reading,
            "what is done to heads is the controller's own",
        ),
        (
            Area::Upgrade,
            "which protocols may be upgraded to is the controller's own",
        ),
        (
            Area::Answer,
            "a route of the Gateway API cannot answer by itself, except with redirects",
        ),
        (
            Area::Tls,
            "the Gateway API does not encrypt between the members of a mesh",
        ),
        (
            Area::Retry,
            "retries of the Gateway API have a number, statuses and a least pause, and follow every failure of a connection",
        ),
        (
            Area::Session,
            "the Gateway API knows sessions by a cookie or a header, and no hashing",
        ),
        (
            Area::Timeout,
            "the Gateway API bounds requests and single tries, and no silence of streams or connections",
        ),
        (
            Area::Headers,
            "headers that proxies add by themselves are their own affair",
        ),
        (
            Area::Connection,
            "what connections become besides is the controller's own",
        ),
    ],
    write,
};

fn write(intent: &Intent<'_>, out: &mut Written) {
    let all: Vec<_> = intent.to_write().collect();
    write_gateways(intent, &all, out);
    if let Some(mesh) = &intent.mesh {
        mesh::write(intent, mesh, out);
    }
}
