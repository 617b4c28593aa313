//! What the mesh's policy does not reach: it acts in the caller's proxy, and only on what is sent to a Service's address.

use std::collections::BTreeSet;

use proxy_core::origin::OriginId;

use super::Lint;
use crate::dialects::{Compile, Gateway, Lead, Mesh};
use crate::model::{GatewayId, WorkloadId};
use crate::text::Span;

/// A gateway's requests go by none of the rules that were written for callers of a Service.
pub(super) static UNASKED: Lint = Lint::warning(
    "mesh::unasked",
    "Policy of a mesh that a gateway's requests pass by",
    "A mesh's rules for callers act in the caller's sidecar, and only on what is sent to the address of a Service. A gateway without a \
     sidecar, or one that picks pods itself and dials those, is asked for none of them: no route, no retry, no timeout, no split.",
    "give the gateway a sidecar and let it dial the Service",
);
/// A gateway's connections are turned away.
pub(super) static REFUSED: Lint = Lint::warning(
    "mesh::refused",
    "Plaintext to pods that take mutual TLS alone",
    "Pods that demand a certificate of the mesh reset every connection that comes without one: from a gateway or a workload without a \
     sidecar, or past the sidecar to an address that the mesh does not know.",
    "bring the caller into the mesh and let it call the Service, or let the port take plaintext, too",
);

/// What is known of one gateway's way into the mesh once it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// Its dialect says where its rules lead.
    pub(crate) leads: bool,
    /// Something was told of its way.
    pub(crate) told: bool,
}

/// Warns of gateways that pass by policies which somebody wrote for the Services behind them, and of those that are turned away for
/// coming without a certificate of the mesh. This is told as the manifests are read, since only then a dialect can say what would help.
pub(crate) fn report(
    mesh: &dyn Mesh,
    gateways: &[(GatewayId, &dyn Gateway)],
    cx: &mut Compile<'_>,
) -> Vec<Reached> {
    let mut reached = vec![Reached::default(); cx.gateways.len()];
    for (id, gateway) in gateways {
        let mark = cx.diagnostics.len();
        let leads = report_of(mesh, *id, *gateway, cx);
        reached[id.index()] = Reached {
            leads,
            told: cx.diagnostics.len() > mark,
        };
    }
    reached
}

/// Whether the dialect of the gateway says where its rules lead.
fn report_of(mesh: &dyn Mesh, id: GatewayId, gateway: &dyn Gateway, cx: &mut Compile<'_>) -> bool {
    let mut leads = false;
    let facts = &cx.gateways[id.index()];
    let (None, Some(pods)) = (&facts.identity, facts.workload) else {
        return false;
    };
    let way = Way {
        name: facts.name.to_string(),
        namespace: facts.namespace.to_string(),
        pods,
        has_sidecar: cx.workloads[pods.index()].sidecar.is_some(),
    };
    let mut services = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for lead in gateway.leads(cx, id) {
        leads = true;
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
    leads
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
        let mut warning = UNASKED.found(message).label(span(lead.origin, cx), led);
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
            REFUSED
                .found(message)
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
