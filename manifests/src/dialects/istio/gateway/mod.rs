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
use super::clusters::{self, Clusters};
use super::notes::Defaults;
use super::read::Policies;
use super::release::Release;
use super::virtual_service::{Caller, Server, VirtualServices};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled, Gateway};
use crate::model::{GatewayFacts, GatewayId, Labels};
use crate::text::Span;

/// Reads all Gateways, and what is bound to them; without any, nothing at all is read.
pub(super) fn read(release: &'static str, cx: &mut Compile<'_>) -> Box<dyn Gateway> {
    let title = format!("istio@{release}");
    let mut groups = Vec::new();
    let policies = read::has_any(cx).then(|| {
        let policies = super::read::policies(Release(release), cx);
        let gateways = read::gateways(cx);
        report_unserved(&gateways, &policies.routes, cx);
        groups = read::groups(&gateways, cx);
        report_conflicts(&groups, cx);
        policies
    });
    Box::new(Gateways {
        title,
        groups,
        policies,
    })
}

struct Gateways {
    title: String,
    groups: Vec<Group>,
    /// None without any Gateway.
    policies: Option<Policies>,
}

impl Gateway for Gateways {
    fn release(&self) -> &str {
        &self.title
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let Some(policies) = &self.policies else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for group in &self.groups {
            let mut facts = facts::facts(group, cx);
            let caller = Caller {
                namespace: &facts.namespace,
                labels: &facts.labels,
            };
            facts.hosts = section::hosts(group, &policies.routes, caller);
            found.push(facts);
        }
        found
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let Some(policies) = &self.policies else {
            return Compiled::default();
        };
        let defaults = Defaults {
            origin: cx.default_of(&self.title),
        };
        let facts = &cx.gateways[gateway.index()];
        let identity = facts.identity.clone().unwrap_or_else(|| Name::from(""));
        // groups and gateways stand in one order
        let before = cx.gateways[..gateway.index()].iter();
        let nth = before
            .filter(|other| other.dialect == facts.dialect)
            .count();
        let caller = clusters::Caller {
            namespace: &facts.namespace,
            labels: &facts.labels,
            identity: &identity,
            gateway: true,
        };
        let mut clusters = Clusters::new(policies, caller, cx.services, cx.workloads, defaults);
        let serving = Serving {
            group: &self.groups[nth],
            services: &policies.routes,
            caller: caller.asks(),
            identity: identity.clone(),
            release: policies.release.0,
            defaults,
        };
        let draft = section::serve(&serving, &mut clusters);
        let mut compiled = clusters.out;
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
