//! Kong with its ingress controller: Ingresses of its classes, its annotations and its own kinds.
//!
//! A Kong serves every Ingress of one class, whatever its namespace. It picks a pod itself, from the endpoints of the Service that a
//! path leads to; `ingress.kubernetes.io/service-upstream` makes it dial the Service's address instead. The router is that of the
//! flavour `traditional_compatible`. Of the Gateway API nothing is read.

pub mod annotations;
mod compile;
mod cors;
mod gateways;
mod health;
pub mod ingress;
pub mod paths;
mod plugins;
mod policy;
mod read;
mod settings;
mod table;
#[cfg(test)]
mod tests;
pub mod types;
mod upstreams;

use proxy_core::origin::OriginId;

use self::policy::{Backend, Class};
use super::{Compile, Compiled, Dialect, Gateway, Lead};
use crate::load::ObjectKey;
use crate::model::{GatewayFacts, GatewayId};

/// Kong.
pub static DIALECT: Dialect = Dialect {
    name: "kong",
    releases: &["3.9"],
    reads: |group, _kind| group == plugins::GROUP,
    shows: |_objects| None,
    mesh: None,
    gateways: Some(|release, cx| {
        let release = format!("kong@{release}");
        let policies = read::policies(&release, cx);
        Box::new(Kong { release, policies })
    }),
};

struct Kong {
    release: String,
    policies: read::Policies,
}

impl Gateway for Kong {
    fn release(&self) -> &str {
        &self.release
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let classes = &self.policies.classes;
        classes
            .iter()
            .map(|class| gateways::facts(class, classes.len() == 1, cx))
            .collect()
    }

    fn serves(&self, ingress: &ObjectKey) -> bool {
        let mut all = self
            .policies
            .classes
            .iter()
            .flat_map(|class| &class.ingresses);
        all.any(|it| *it.namespace == *ingress.namespace && *it.name == *ingress.name)
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        let class = self.class(cx, gateway);
        let rules = class.ingresses.iter().flat_map(|ingress| {
            let paths = ingress.paths.iter();
            let paths = paths.map(|rule| (rule.backend, rule.origin));
            paths.chain(ingress.default_backend.map(|it| (it, ingress.origin)))
        });
        rules
            .map(|(backend, origin)| self.lead(backend, origin, cx))
            .collect()
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let origin = cx.default_of(&self.release);
        compile::section(
            self.class(cx, gateway),
            (&self.policies.services, &self.policies.everywhere),
            compile::Defaults { origin },
            cx,
        )
    }
}

impl Kong {
    fn class(&self, cx: &Compile<'_>, gateway: GatewayId) -> &Class {
        let facts = &cx.gateways[gateway.index()];
        // classes and gateways stand in one order
        let nth = cx.gateways[..gateway.index()]
            .iter()
            .filter(|other| other.dialect == facts.dialect)
            .count();
        &self.policies.classes[nth]
    }

    fn lead(&self, backend: Backend, origin: OriginId, cx: &Compile<'_>) -> Lead {
        let policy = self.policies.services.get(&backend.service);
        let service = cx.services[backend.service.index()].full_name();
        Lead {
            service: backend.service,
            port: backend.port,
            dials_pods: policy.is_none_or(|policy| !policy.service_upstream.value),
            remedy: format!(
                "annotate Service `{service}` with `ingress.kubernetes.io/service-upstream: \"true\"`, so that Kong dials the Service; \
                 where its port is declared to be HTTP, by its name or `appProtocol`, the Ingress needs `konghq.com/preserve-host: \"false\"`, too"
            ),
            origin,
        }
    }
}
