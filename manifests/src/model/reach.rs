//! What the mesh's policy does not reach: it acts in the caller's proxy, and only on what is sent to a Service's address.

use std::collections::BTreeSet;

use proxy_core::origin::OriginId;

use super::{GatewayId, WorkloadId};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Gateway, Lead, Mesh};
use crate::text::Span;

/// Warns of gateways that pass by policies which somebody wrote for the Services behind them, and of those that are turned away for
/// coming without a certificate of the mesh.
pub(super) fn report(
    mesh: &dyn Mesh,
    gateways: &[(GatewayId, &dyn Gateway)],
    cx: &mut Compile<'_>,
) {
    for (id, gateway) in gateways {
        let facts = &cx.gateways[id.index()];
        let (None, Some(pods)) = (&facts.identity, facts.workload) else {
            continue;
        };
        let way = Way {
            name: facts.name.to_string(),
            namespace: facts.namespace.to_string(),
            pods,
            has_sidecar: cx.workloads[pods.index()].sidecar.is_some(),
        };
        let mut services = BTreeSet::new();
        let mut ports = BTreeSet::new();
        for lead in gateway.leads(cx, *id) {
            if way.has_sidecar && !lead.dials_pods {
                continue;
            }
            if services.insert(lead.service) {
                way.report_unasked(mesh, &lead, cx);
            }
            if ports.insert((lead.service, lead.port)) {
                way.report_refused(mesh, &lead, cx);
            }
        }
    }
}

/// A gateway's way into the mesh, as it is.
struct Way {
    name: String,
    namespace: String,
    pods: WorkloadId,
    has_sidecar: bool,
}

impl Way {
    fn report_unasked(&self, mesh: &dyn Mesh, lead: &Lead, cx: &mut Compile<'_>) {
        let rules = mesh.rules_for_callers(cx, self.pods, lead.service);
        if rules.is_empty() {
            return;
        }
        let names: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
        let service = cx.services[lead.service.index()].full_name();
        let (why, led) = match self.has_sidecar {
            true => (
                format!("it dials the pods of `{service}`, not the Service"),
                "leads to pod addresses",
            ),
            false => (
                "its pods have no sidecar, which is what asks".to_owned(),
                "leads there",
            ),
        };
        let message = format!(
            "gateway `{}` never asks {}: {why}",
            self.name,
            names.join(" and ")
        );
        let mut warning =
            Diagnostic::warning("mesh::unasked", message).label(span(lead.origin, cx), led);
        for (_, origin) in &rules {
            warning = warning.label(span(*origin, cx), "never asked for these requests");
        }
        cx.diagnostics.push(warning.help(self.help(mesh, lead)));
    }

    fn report_refused(&self, mesh: &dyn Mesh, lead: &Lead, cx: &mut Compile<'_>) {
        let service = &cx.services[lead.service.index()];
        let Some(target) = service.port(lead.port).map(|port| port.target.clone()) else {
            return;
        };
        let (name, behind) = (service.full_name(), service.workloads.clone());
        let refusing = behind.iter().find_map(|id| {
            let workload = &cx.workloads[id.index()];
            let port = workload.target_port(&target)?;
            workload.sidecar.as_ref()?;
            mesh.refuses_plaintext(cx, *id, port)
        });
        let Some(rule) = refusing else {
            return;
        };
        let message = format!(
            "the pods of `{name}` refuse every connection of gateway `{}`: it comes in plaintext",
            self.name
        );
        cx.diagnostics.push(
            Diagnostic::warning("mesh::refused", message)
                .label(span(lead.origin, cx), "leads to them")
                .label(span(rule, cx), "takes mutual TLS alone")
                .help(self.help(mesh, lead)),
        );
    }

    fn help(&self, mesh: &dyn Mesh, lead: &Lead) -> String {
        let mut steps = Vec::new();
        if !self.has_sidecar {
            steps.extend(mesh.joining(&self.namespace));
        }
        if lead.dials_pods {
            steps.push(lead.remedy.clone());
        }
        steps.join("; and ")
    }
}

fn span(origin: OriginId, cx: &Compile<'_>) -> Span {
    cx.origins.span(origin).unwrap_or(Span::NOWHERE)
}
