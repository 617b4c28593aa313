//! What was read, checked and resolved: the control plane's view of the cluster.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::dataplane::Dataplane;
use super::registry::{Item, Registry};
use super::release::Release;
use super::rules::Rules;
use super::scope::Scope;
use super::target::{RouteId, To};
use super::types::{BackendRef, HttpMatch, Passing, TlsMode};
use crate::model::{Labels, selects};
use crate::text::Node;

/// Everything that Kuma's proxies go by.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    pub(super) release: Release,
    /// By name; a mesh that no object brings is not here.
    pub(super) meshes: BTreeMap<Name, MeshRules>,
    pub(super) registry: Registry,
    pub(super) timeouts: Rules,
    pub(super) retries: Rules,
    pub(super) breakers: Rules,
    pub(super) checks: Rules,
    pub(super) strategies: Rules,
    pub(super) faults: Rules,
    pub(super) limits: Rules,
    pub(super) tls: Rules,
    pub(super) passthrough: Rules,
    /// MeshHTTPRoutes by destination, the less specific first.
    pub(super) routes: Vec<HttpEntry>,
    /// MeshTCPRoutes by destination, the less specific first.
    pub(super) tcp_routes: Vec<TcpEntry>,
    pub(super) identities: Vec<IdentityRule>,
}

/// What a Mesh says.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeshRules {
    /// Mutual TLS by an authority of the Mesh, and whether plaintext is taken all the same (2.x); none: it is off.
    pub(super) mtls: Option<Sourced<TlsMode>>,
    /// Whether destinations that are not known are dialled.
    pub(super) passthrough: Option<Sourced<bool>>,
    /// Whether MeshServices are made of Services.
    pub(super) services: Passing,
}

/// Routes of a destination.
#[derive(Clone, Debug)]
pub(super) struct HttpEntry {
    pub(super) scope: Scope,
    pub(super) to: To,
    pub(super) id: RouteId,
    pub(super) rules: Vec<RouteRule>,
}

/// A rule of a route.
#[derive(Clone, Debug)]
pub(super) struct RouteRule {
    pub(super) matches: Vec<HttpMatch>,
    /// What is done, as it is written.
    pub(super) node: Option<Node>,
    pub(super) origin: OriginId,
}

/// Where connections to a destination go.
#[derive(Clone, Debug)]
pub(super) struct TcpEntry {
    pub(super) scope: Scope,
    pub(super) to: To,
    pub(super) backends: Vec<BackendRef>,
    pub(super) origin: OriginId,
}

/// An identity that proxies have.
#[derive(Clone, Debug)]
pub(super) struct IdentityRule {
    pub(super) mesh: Name,
    pub(super) name: Name,
    /// Labels of proxies that have it.
    pub(super) labels: Labels,
    pub(super) trust_domain: Name,
    /// With places to fill.
    pub(super) path: Name,
    pub(super) origin: OriginId,
}

impl Policies {
    /// Nothing but destinations.
    pub(super) fn new(release: Release, registry: Registry) -> Self {
        Self {
            release,
            meshes: BTreeMap::new(),
            registry,
            timeouts: Rules::default(),
            retries: Rules::default(),
            breakers: Rules::default(),
            checks: Rules::default(),
            strategies: Rules::default(),
            faults: Rules::default(),
            limits: Rules::default(),
            tls: Rules::default(),
            passthrough: Rules::default(),
            routes: Vec::new(),
            tcp_routes: Vec::new(),
            identities: Vec::new(),
        }
    }

    /// Whether a policy for what is sent takes some proxies of a mesh and not others.
    pub(super) fn are_narrow(&self) -> bool {
        let kinds = [
            &self.timeouts,
            &self.retries,
            &self.breakers,
            &self.checks,
            &self.strategies,
            &self.passthrough,
        ];
        kinds.into_iter().any(Rules::are_narrow)
            || self.routes.iter().any(|it| it.scope.top.is_narrow())
            || self.tcp_routes.iter().any(|it| it.scope.top.is_narrow())
    }

    /// The routes that `proxy` goes by for what it sends to a destination, the less specific first.
    pub(super) fn routes_to<'a>(
        &'a self,
        proxy: &'a Dataplane<'_>,
        item: &'a Item,
        port: &'a super::registry::ItemPort,
    ) -> impl Iterator<Item = &'a HttpEntry> {
        let routes = self.routes.iter();
        routes.filter(move |it| it.scope.takes(proxy) && it.to.takes(item, port))
    }

    /// The identity of a proxy: of those whose labels it has, the one that asks for the most.
    ///
    /// Source: kuma 2.14 `pkg/core/resources/apis/meshidentity/api/v1alpha1/helpers.go`, `BestMatched`.
    pub(super) fn identity(&self, proxy: &Dataplane<'_>) -> Option<&IdentityRule> {
        let all = self.identities.iter();
        let ours = all.filter(|it| it.mesh == proxy.mesh && selects(&it.labels, &proxy.labels));
        ours.min_by_key(|it| (usize::MAX - it.labels.len(), it.name.clone()))
    }
    /// What people wrote of calls of a Service, by kind and name, the most specific first of each kind.
    pub(super) fn written_for(
        &self,
        proxy: &Dataplane<'_>,
        service: crate::model::ServiceId,
    ) -> Vec<(String, OriginId)> {
        let Some(at) = self.registry.of_service(service) else {
            return Vec::new();
        };
        let item = &self.registry.items[at];
        let kinds = [
            ("MeshTimeout", &self.timeouts),
            ("MeshRetry", &self.retries),
            ("MeshCircuitBreaker", &self.breakers),
            ("MeshHealthCheck", &self.checks),
            ("MeshLoadBalancingStrategy", &self.strategies),
        ];
        let routes = self.routes.iter().rev();
        let routes = routes.filter(|it| it.scope.takes(proxy) && it.to.takes_item(item));
        let routes = routes.map(|it| ("MeshHTTPRoute", &it.scope));
        let policies = kinds.into_iter().flat_map(|(kind, rules)| {
            rules
                .written_for(proxy, item)
                .map(move |scope| (kind, scope))
        });
        let mut found: Vec<(String, OriginId)> = Vec::new();
        for (kind, scope) in routes.chain(policies) {
            let name = format!("{kind} `{}/{}`", scope.namespace, scope.name);
            if !found.iter().any(|(other, _)| *other == name) {
                found.push((name, scope.origin));
            }
        }
        found
    }
}
