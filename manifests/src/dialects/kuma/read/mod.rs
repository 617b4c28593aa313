//! Objects to policies.

mod kinds;
mod lists;
mod objects;
pub(super) mod references;
mod routes;
mod stock;

use proxy_core::config::Name;

use self::lists::Sides;
use super::checks;
use super::notes::{bad_value, ignored, left_out};
use super::policies::{MeshRules, Policies};
use super::registry::Registry;
use super::release::{DEFAULT_MESH, MESH, Release, SYSTEM_NAMESPACE};
use super::rules::{Rules, ToEntry};
use super::scope::Role;
use super::target::{By, To};
use super::types::{Document, Passing, Passthrough, RefKind, TargetRef};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Span, Spanned, read};

/// Reads everything that Kuma's proxies go by.
pub(super) fn policies(release: Release, cx: &mut Compile<'_>) -> Policies {
    let registry = Registry::of_services(cx);
    let mut reader = Reader {
        policies: Policies::new(release, registry),
        release,
        cx,
    };
    let objects = reader.cx.objects;
    let own = || {
        objects
            .iter()
            .filter(|object| object.key.group == "kuma.io")
    };
    own().for_each(|object| reader.destination(object));
    reader.gather_zones();
    own().for_each(|object| reader.mesh(object));
    // routes first: policies may be for them
    own().for_each(|object| reader.route(object));
    own().for_each(|object| reader.policy_of(object));
    reader.stock();
    reader.tell_bytes();
    reader.tell_permissions();
    reader.tell_annotations();
    let mut policies = reader.policies;
    let all = [
        &mut policies.timeouts,
        &mut policies.retries,
        &mut policies.breakers,
        &mut policies.checks,
        &mut policies.strategies,
        &mut policies.faults,
        &mut policies.limits,
        &mut policies.tls,
        &mut policies.passthrough,
    ];
    all.into_iter().for_each(Rules::sort);
    policies
}

struct Reader<'r, 'a> {
    policies: Policies,
    release: Release,
    cx: &'r mut Compile<'a>,
}

impl Reader<'_, '_> {
    fn policy_of(&mut self, object: &Object) {
        let kind = object.key.kind.as_str();
        match kind {
            "MeshTimeout" => {
                self.policy(object, Sides::Both, checks::timeouts, |it| &mut it.timeouts);
            }
            "MeshRetry" => self.policy(object, Sides::Sent, checks::retry, |it| &mut it.retries),
            "MeshCircuitBreaker" => {
                self.policy(object, Sides::Both, checks::breaker, |it| &mut it.breakers);
            }
            "MeshHealthCheck" => {
                self.policy(object, Sides::Sent, checks::health, |it| &mut it.checks);
            }
            "MeshLoadBalancingStrategy" => {
                self.policy(object, Sides::Sent, checks::strategy, |it| {
                    &mut it.strategies
                });
            }
            "MeshFaultInjection" => {
                self.policy(object, Sides::Arriving, checks::faults, |it| &mut it.faults);
            }
            "MeshRateLimit" => {
                self.policy(object, Sides::Arriving, checks::rate_limits, |it| {
                    &mut it.limits
                });
            }
            "MeshTLS" => self.policy(object, Sides::Arriving, checks::tls, |it| &mut it.tls),
            "MeshPassthrough" => self.passthrough(object),
            "MeshTrafficPermission" => self.permission(object),
            _ => self.report(object),
        }
    }

    /// Tells of routes of ports that declare no HTTP.
    fn tell_bytes(&mut self) {
        let items = &self.policies.registry.items;
        for entry in &self.policies.routes {
            let ports = items.iter().flat_map(|item| {
                let ports = item.ports.iter();
                ports.filter(move |port| entry.to.takes(item, port))
            });
            let mut ports = ports.peekable();
            if ports.peek().is_none() || ports.any(|port| port.protocol.is_http()) {
                continue;
            }
            let span = self
                .cx
                .origins
                .span(entry.scope.origin)
                .unwrap_or(Span::NOWHERE);
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "kuma::no-http",
                    format!(
                        "MeshHTTPRoute `{}` is for a port that declares no HTTP",
                        entry.scope.name
                    ),
                )
                .label(span, "has no effect")
                .help("declare it: `appProtocol: http` on the Service's port"),
            );
        }
    }

    fn passthrough(&mut self, object: &Object) {
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            target_ref: Option<TargetRef>,
            default: Option<Spanned<Passthrough>>,
        }
        let read = read::<Document<Spec>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        if self.is_shadow(object) {
            return;
        }
        let mark = self.cx.diagnostics.len();
        for one in spec
            .default
            .iter()
            .flat_map(|it| it.append_match.iter().flatten())
        {
            super::passthrough::check(one, self.cx.diagnostics);
        }
        if !self.cx.diagnostics.since(mark).is_empty() {
            return;
        }
        let Some(role) = self.role(object, &[], false) else {
            return;
        };
        let Some(scope) = self.scope(object, spec.target_ref.as_ref(), role) else {
            return;
        };
        if let Some(conf) = object.node.at("spec.default").cloned() {
            let to = To::Mesh;
            self.policies
                .passthrough
                .push_to(ToEntry { scope, to, conf });
        }
    }

    /// Whether a policy is there to be looked at alone.
    fn is_shadow(&mut self, object: &Object) -> bool {
        let effect = object.label("kuma.io/effect");
        let shadow = effect.filter(|it| it.value == "shadow");
        if let Some(shadow) = shadow {
            let message = format!("{} is a shadow: it has no effect", object.key);
            self.cx
                .diagnostics
                .push(Diagnostic::listed("kuma::shadow", message).label(shadow.span, ""));
        }
        shadow.is_some()
    }

    /// On whose behalf a policy was written; none: Kuma would refuse it.
    fn role(&mut self, object: &Object, targets: &[&TargetRef], has_from: bool) -> Option<Role> {
        if object.key.namespace == SYSTEM_NAMESPACE {
            return Some(Role::System);
        }
        if has_from && !targets.is_empty() {
            let message = "outside of the control plane's namespace, `to` and `from` do not stand in one policy";
            bad_value(object.name_span, message, self.cx.diagnostics);
            return None;
        }
        if targets.is_empty() {
            return Some(Role::WorkloadOwner);
        }
        let produced = targets.iter().filter(|it| self.is_own(object, it)).count();
        match produced {
            0 => Some(Role::Consumer),
            all if all == targets.len() => Some(Role::Producer),
            _ => {
                let message = "items for Services of this namespace and items for others do not stand in one policy";
                bad_value(object.name_span, message, self.cx.diagnostics);
                None
            }
        }
    }

    /// Whether an item is for something of the policy's own namespace.
    fn is_own(&self, object: &Object, target: &TargetRef) -> bool {
        let kind = target.kind.value;
        if !matches!(kind, RefKind::MeshService | RefKind::MeshHTTPRoute) {
            return false;
        }
        let own = object.key.namespace.as_str();
        if !self.release.is_v3() {
            let namespace = target.namespace.as_ref().map(|it| it.value.as_str());
            return target.name.is_some() && namespace.is_none_or(|it| it.is_empty() || it == own);
        }
        let labels = target.labels.iter().flatten();
        let labels = labels.map(|(key, value)| (key.value.as_str(), value.value.as_str()));
        let (mut named, mut only, mut near) = (false, true, true);
        for (key, value) in labels {
            match key {
                "kuma.io/display-name" => named = true,
                "k8s.kuma.io/namespace" => near = value == own,
                _ => only = false,
            }
        }
        named && only && near
    }

    /// Which mesh an object is of.
    fn mesh_name(&self, object: &Object) -> Name {
        let label = object.label(MESH).or_else(|| object.annotation(MESH));
        label.map_or_else(|| DEFAULT_MESH.into(), |it| it.value.into())
    }

    fn tell_permissions(&mut self) {
        let meshes = self.policies.meshes.clone();
        for (name, rules) in &meshes {
            let identities = self.policies.identities.iter();
            let mut of_mesh = identities.filter(|it| it.mesh == *name);
            let origin = rules
                .mtls
                .map(|it| it.origin)
                .or_else(|| of_mesh.next().map(|it| it.origin));
            let Some(origin) = origin else {
                continue;
            };
            let objects = self.cx.objects.of("kuma.io", "MeshTrafficPermission");
            let mut of_mesh = objects.filter(|it| self.mesh_name(it) == *name);
            if of_mesh.next().is_some() {
                continue;
            }
            let span = self.cx.origins.span(origin).unwrap_or(Span::NOWHERE);
            let what = format!(
                "the refusal of every request in mesh `{name}`, whose identities are proved and which has no MeshTrafficPermission,"
            );
            let meaning = "requests that Kuma refuses with 403 are served";
            left_out(span, &what, meaning, self.cx.diagnostics);
        }
    }

    fn tell_annotations(&mut self) {
        super::annotations::check(self.cx);
    }
}

impl MeshRules {
    /// What is not written.
    pub(super) const fn unwritten() -> Self {
        Self {
            mtls: None,
            passthrough: None,
            services: Passing::Everywhere,
        }
    }
}

/// How an object is meant by name.
fn by_name(namespace: &str, name: &str) -> By {
    By::Name(namespace.into(), name.into())
}
