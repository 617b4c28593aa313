//! Istio's gateways: proxies at the edge of the mesh, and part of it.
//!
//! Pods that several Gateways select serve all of them. A request that no VirtualService takes is answered 404.

mod facts;
mod policy;
mod read;
mod section;
#[cfg(test)]
mod tests;
pub mod types;

use std::collections::BTreeMap;

use proxy_core::config::Name;

use self::policy::{GatewayPolicy, Group, ServerPolicy};
use self::section::Serving;
use super::virtual_service::{Caller, Destinations, Server, VirtualServices};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled, Gateway};
use crate::model::{GatewayFacts, GatewayId, Labels};
use crate::text::Span;

/// Makes the clusters of gateways' sections.
pub(super) trait ClusterSource: Send + Sync {
    /// For one gateway, which speaks with its own identity.
    fn open<'a, 'c: 'a>(
        &'a self,
        gateway: &'a GatewayFacts,
        cx: &mut Compile<'c>,
    ) -> Box<dyn GatewayClusters + 'a>;
}

/// The clusters of one gateway's section, made as its routes ask for them.
pub(super) trait GatewayClusters: Destinations {
    /// The section with all of them, without listeners and tables yet.
    fn finish(self: Box<Self>) -> Compiled;
}

/// Reads what makes clusters, for a release.
pub(super) type ReadSource =
    fn(release: &'static str, cx: &mut Compile<'_>) -> Box<dyn ClusterSource>;

/// Reads all Gateways, and what is bound to them; without any, nothing at all is read.
pub(super) fn read(
    release: &'static str,
    cx: &mut Compile<'_>,
    clusters: ReadSource,
) -> Box<dyn Gateway> {
    if !read::has_any(cx) {
        return Box::new(Gateways {
            release,
            title: format!("istio@{release}"),
            groups: Vec::new(),
            serving: None,
        });
    }
    let gateways = read::gateways(cx);
    let services = VirtualServices::read(cx);
    report_unserved(&gateways, &services, cx);
    let groups = read::groups(&gateways, cx);
    report_conflicts(&groups, cx);
    Box::new(Gateways {
        release,
        title: format!("istio@{release}"),
        groups,
        serving: Some((services, clusters(release, cx))),
    })
}

struct Gateways {
    release: &'static str,
    title: String,
    groups: Vec<Group>,
    serving: Option<(VirtualServices, Box<dyn ClusterSource>)>,
}

impl Gateway for Gateways {
    fn release(&self) -> &str {
        &self.title
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let Some((services, _)) = &self.serving else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for group in &self.groups {
            let mut facts = facts::facts(group, cx);
            let caller = Caller {
                namespace: &facts.namespace,
                labels: &facts.labels,
            };
            facts.hosts = section::hosts(group, services, caller);
            found.push(facts);
        }
        found
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let Some((services, clusters)) = &self.serving else {
            return Compiled::default();
        };
        let origin = cx.default_of(&self.title);
        let gateways = cx.gateways;
        let facts = &gateways[gateway.index()];
        // groups and gateways stand in one order
        let before = gateways[..gateway.index()].iter();
        let nth = before
            .filter(|other| other.dialect == facts.dialect)
            .count();
        let serving = Serving {
            group: &self.groups[nth],
            services,
            caller: Caller {
                namespace: &facts.namespace,
                labels: &facts.labels,
            },
            identity: facts.identity.clone().unwrap_or_else(|| Name::from("")),
            release: self.release,
            origin,
        };
        let mut clusters = clusters.open(facts, cx);
        let draft = section::serve(&serving, &mut *clusters);
        let mut compiled = clusters.finish();
        compiled.draft.tables = draft.tables;
        compiled.draft.listeners = draft.listeners;
        compiled
    }
}

/// Reports VirtualServices that a Gateway takes and has no host for.
fn report_unserved(gateways: &[GatewayPolicy], services: &VirtualServices, cx: &mut Compile<'_>) {
    let none = Labels::new();
    for gateway in gateways {
        let servers = gateway.servers.iter().map(|server| Server {
            gateway: &gateway.name,
            port: server.port,
            hosts: &server.hosts,
            caller: Caller {
                namespace: "",
                labels: &none,
            },
        });
        let servers: Vec<Server<'_>> = servers.collect();
        for origin in services.unserved(&gateway.name, &servers) {
            let (of_service, of_gateway) =
                (cx.origins.span(origin), cx.origins.span(gateway.origin));
            let message = format!(
                "the Gateway {} has no host of this VirtualService",
                gateway.name
            );
            cx.diagnostics.push(
                Diagnostic::warning("istio::no-shared-host", message)
                    .label(of_service.unwrap_or(Span::NOWHERE), "no request reaches it there")
                    .label(of_gateway.unwrap_or(Span::NOWHERE), "the Gateway")
                    .help("compare `hosts` of both; of the Gateway's, a part before a slash is a namespace"),
            );
        }
    }
}

/// Reports servers that cannot share their port with an older one, and are left out.
fn report_conflicts(groups: &[Group], cx: &mut Compile<'_>) {
    for group in groups {
        let mut first: BTreeMap<u16, &ServerPolicy> = BTreeMap::new();
        for server in group.servers() {
            let before = *first.entry(group.bound(server.port)).or_insert(server);
            if core::ptr::eq(before, server) || section::fits(before, server) {
                continue;
            }
            let (here, there) = (
                cx.origins.span(server.origin),
                cx.origins.span(before.origin),
            );
            let message = format!("two servers cannot share port {}", server.port);
            cx.diagnostics.push(
                Diagnostic::warning("istio::port-conflict", message)
                    .label(here.unwrap_or(Span::NOWHERE), "left out")
                    .label(there.unwrap_or(Span::NOWHERE), "has the port")
                    .help("HTTP goes together with HTTP, and TLS with TLS"),
            );
        }
    }
}
