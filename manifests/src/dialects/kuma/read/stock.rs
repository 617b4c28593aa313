//! The policies that Kuma makes for every mesh.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::super::policies::Policies;
use super::super::release::{DEFAULT_MESH, SYSTEM_NAMESPACE, mesh_of};
use super::super::rules::{ArrivingEntry, Rules, ToEntry};
use super::super::scope::{ControlPlane, Role, Scope, Top};
use super::super::stock;
use super::super::target::To;
use super::Reader;
use crate::diagnostics::Diagnostic;
use crate::text::{Node, Span};

impl Reader<'_, '_> {
    /// The stock policies of every mesh that does not go without them.
    pub(super) fn stock(&mut self) {
        let mut meshes: Vec<Name> = self.policies.meshes.keys().cloned().collect();
        meshes.push(DEFAULT_MESH.into());
        let proxies = self.cx.workloads.iter();
        meshes
            .extend(proxies.map(|it| mesh_of(&it.labels, &it.annotations, &it.namespace, self.cx)));
        meshes.sort();
        meshes.dedup();
        for mesh in meshes {
            let skipped = self.skipped(&mesh);
            let skips = |kind: &str| skipped.iter().any(|it| it == "*" || it == kind);
            let scope = |name: &str| Scope {
                mesh: mesh.clone(),
                namespace: SYSTEM_NAMESPACE.into(),
                name: format!("{name}-{mesh}").into(),
                top: Top::Mesh,
                role: Role::System,
                from: ControlPlane::Zone,
                origin: OriginId::NONE,
            };
            let to = |name: &str, conf: Node| ToEntry {
                scope: scope(name),
                to: To::Mesh,
                conf,
            };
            if !skips("MeshTimeout") {
                self.tell_hidden(&to("mesh-timeout-all", stock::timeouts()), |it| {
                    &it.timeouts
                });
                let arriving = ArrivingEntry {
                    scope: scope("mesh-timeout-all"),
                    is_rule: true,
                    conf: stock::arriving_timeouts(),
                };
                self.policies.timeouts.push_arriving(arriving);
                let sent = to("mesh-timeout-all", stock::timeouts());
                self.policies.timeouts.push_to(sent);
            }
            if !skips("MeshRetry") {
                self.tell_hidden(&to("mesh-retry-all", stock::retries()), |it| &it.retries);
                let sent = to("mesh-retry-all", stock::retries());
                self.policies.retries.push_to(sent);
            }
            if !skips("MeshCircuitBreaker") {
                let name = "mesh-circuit-breaker-all";
                self.tell_hidden(&to(name, stock::limits()), |it| &it.breakers);
                let sent = to("mesh-circuit-breaker-all", stock::limits());
                self.policies.breakers.push_to(sent);
            }
        }
    }

    /// Tells of policies for everybody that a stock policy takes something from, since its name comes first.
    fn tell_hidden(&mut self, stock: &ToEntry, rules: fn(&Policies) -> &Rules) {
        let hidden = rules(&self.policies).hidden_by(stock);
        for (name, origin) in hidden {
            let span = self.cx.origins.span(origin).unwrap_or(Span::NOWHERE);
            let message = format!(
                "the stock policy `{}` counts more than `{name}`: of equals the first name does",
                stock.scope.name
            );
            let help = "give it a name that comes before `mesh-`, name the kind under `skipCreatingInitialPolicies` of the Mesh, or target less than the mesh";
            self.cx.diagnostics.push(
                Diagnostic::warning("kuma::hidden", message)
                    .label(span, "what both set is as in the stock policy")
                    .help(help),
            );
        }
    }

    fn skipped(&self, mesh: &str) -> Vec<String> {
        let object = self.cx.objects.get("kuma.io", "Mesh", "", mesh);
        let list = object.and_then(|it| it.node.at("spec.skipCreatingInitialPolicies"));
        let items = list.and_then(Node::as_seq).unwrap_or_default().iter();
        items
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect()
    }
}
