//! Routes and permissions.

use super::super::notes::{bad_value, left_out};
use super::super::policies::{HttpEntry, RouteRule, TcpEntry};
use super::super::registry::own_labels;
use super::super::routes::{check_conf, check_match};
use super::super::target::{RouteId, To};
use super::super::types::{
    BackendRef, Document, HttpRoute, HttpRouteTo, Permissions, RefKind, TargetRef, TcpRoute,
};
use super::Reader;
use super::objects::labels_of;
use crate::diagnostics::{Diagnostic, Severity};
use crate::load::Object;
use crate::text::read;

impl Reader<'_, '_> {
    /// Reads a route.
    pub(super) fn route(&mut self, object: &Object) {
        match object.key.kind.as_str() {
            "MeshHTTPRoute" => self.http_route(object),
            "MeshTCPRoute" => self.tcp_route(object),
            _ => {}
        }
    }

    fn http_route(&mut self, object: &Object) {
        let read = read::<Document<HttpRoute>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        if self.is_shadow(object) {
            return;
        }
        let list = spec.to.as_deref().unwrap_or_default();
        if list.is_empty() {
            bad_value(
                object.name_span,
                "`to` must have an item",
                self.cx.diagnostics,
            );
            return;
        }
        let targets: Vec<&TargetRef> = list.iter().map(|it| &it.target_ref).collect();
        let Some(role) = self.role(object, &targets, false) else {
            return;
        };
        let Some(scope) = self.scope(object, spec.target_ref.as_ref(), role) else {
            return;
        };
        let mesh = self.mesh_name(object);
        let (namespace, name) = (&object.key.namespace, &object.key.name);
        let mut labels = labels_of(object);
        labels.extend(own_labels(&mesh, namespace, name));
        let id = RouteId {
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
            labels,
        };
        for (nth, item) in list.iter().enumerate() {
            if let Some(hostnames) = item.hostnames {
                let message = "`hostnames` are of built-in gateways alone";
                bad_value(hostnames.span, message, self.cx.diagnostics);
            }
            let rules = self.http_rules(object, (nth, item));
            let Some(to) = self.destination_of(object, &item.target_ref) else {
                continue;
            };
            self.policies.routes.push(HttpEntry {
                scope: scope.clone(),
                to,
                id: id.clone(),
                rules,
            });
        }
        let rank = |it: &HttpEntry| {
            (
                it.scope.rank(),
                it.to.rank(),
                std::cmp::Reverse(it.scope.name.clone()),
            )
        };
        self.policies.routes.sort_by_key(rank);
    }

    /// The destination of a route.
    fn destination_of(&mut self, object: &Object, target: &TargetRef) -> Option<To> {
        match target.kind.value {
            RefKind::MeshService | RefKind::MeshExternalService | RefKind::MeshMultiZoneService => {
                self.to(object, target)
            }
            RefKind::Mesh
            | RefKind::Dataplane
            | RefKind::MeshSubset
            | RefKind::MeshGateway
            | RefKind::MeshServiceSubset
            | RefKind::MeshHTTPRoute => {
                let message = format!("a route leads from no {}", target.kind.value.name());
                bad_value(target.kind.span, message, self.cx.diagnostics);
                None
            }
        }
    }

    fn http_rules(
        &mut self,
        object: &Object,
        (nth, item): (usize, &HttpRouteTo),
    ) -> Vec<RouteRule> {
        let nodes = object.node.at("spec.to").and_then(|it| it.as_seq());
        let nodes = nodes
            .and_then(|it| it.get(nth))
            .and_then(|it| it.get("rules"));
        let nodes = nodes.and_then(|it| it.as_seq()).unwrap_or_default();
        let mut rules = Vec::new();
        for (at, rule) in item.rules.iter().enumerate() {
            let mark = self.cx.diagnostics.len();
            if rule.matches.is_empty() {
                bad_value(rule.matches.span, "must not be empty", self.cx.diagnostics);
            }
            for one in rule.matches.iter() {
                check_match(one, self.cx.diagnostics);
            }
            check_conf(
                &rule.default,
                &rule.matches,
                self.release,
                self.cx.diagnostics,
            );
            self.tell_backends(object, rule.default.backend_refs.as_deref(), true);
            let since = self.cx.diagnostics.since(mark);
            if since.iter().any(|it| it.severity() == Severity::Error) {
                continue;
            }
            rules.push(RouteRule {
                matches: rule.matches.value.clone(),
                node: nodes.get(at).and_then(|it| it.get("default")).cloned(),
                origin: self.cx.origins.written(rule.matches.span),
            });
        }
        rules
    }

    /// Tells which backends lead nowhere: Kuma says what becomes of their share, so that they are no errors.
    fn tell_backends(&mut self, object: &Object, backends: Option<&[BackendRef]>, http: bool) {
        let mesh = self.mesh_name(object);
        for backend in backends.unwrap_or_default() {
            let policies = &self.policies;
            let found = policies.backend(backend, &object.key.namespace, &mesh);
            let port = found.as_ref().and_then(|found| {
                let item = policies.registry.items.get(found.item)?;
                item.port_at(found.port)
            });
            let message = match port {
                None => {
                    "this backend leads nowhere: there is no such destination, or no such port of it"
                }
                Some(port) if http && !port.protocol.is_http() => {
                    "this backend leads nowhere: its port declares no HTTP"
                }
                Some(_) => continue,
            };
            let help = if self.release.is_v3() {
                "its share of requests is answered 500"
            } else {
                "the others take its share; without others, Kuma 2.x passes by the rule"
            };
            let span = backend
                .name
                .as_ref()
                .map_or(backend.kind.span, |it| it.span);
            self.cx.diagnostics.push(
                Diagnostic::warning("kuma::unresolved-backend", message)
                    .label(span, "this one")
                    .help(help),
            );
        }
    }

    fn tcp_route(&mut self, object: &Object) {
        let read = read::<Document<TcpRoute>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        if self.is_shadow(object) {
            return;
        }
        let list = spec.to.as_deref().unwrap_or_default();
        if list.is_empty() {
            bad_value(
                object.name_span,
                "`to` must have an item",
                self.cx.diagnostics,
            );
            return;
        }
        let targets: Vec<&TargetRef> = list.iter().map(|it| &it.target_ref).collect();
        let Some(role) = self.role(object, &targets, false) else {
            return;
        };
        let Some(scope) = self.scope(object, spec.target_ref.as_ref(), role) else {
            return;
        };
        for item in list {
            let [rule] = &item.rules[..] else {
                let span = item.target_ref.kind.span;
                bad_value(span, "`rules` must have one item", self.cx.diagnostics);
                continue;
            };
            let backends = rule.default.backend_refs.clone().unwrap_or_default();
            if backends.is_empty() {
                let span = item.target_ref.kind.span;
                bad_value(span, "`backendRefs` must not be empty", self.cx.diagnostics);
                continue;
            }
            for backend in &backends {
                super::super::backends::check(backend, self.release, self.cx.diagnostics);
            }
            self.tell_backends(object, Some(&backends), false);
            let Some(to) = self.destination_of(object, &item.target_ref) else {
                continue;
            };
            let origin = self.cx.origins.written(item.target_ref.kind.span);
            self.policies.tcp_routes.push(TcpEntry {
                scope: scope.clone(),
                to,
                backends,
                origin,
            });
        }
        let rank = |it: &TcpEntry| {
            (
                it.scope.rank(),
                it.to.rank(),
                std::cmp::Reverse(it.scope.name.clone()),
            )
        };
        self.policies.tcp_routes.sort_by_key(rank);
    }

    /// Who may call: checked, and not modelled.
    pub(super) fn permission(&mut self, object: &Object) {
        let read = read::<Document<Permissions>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        let from = spec.from.as_ref().filter(|list| !list.is_empty());
        let rules = spec.rules.as_ref().filter(|list| !list.is_empty());
        if from.is_none() && rules.is_none() {
            let message = "one of `from` and `rules` must have an item";
            bad_value(object.name_span, message, self.cx.diagnostics);
        }
        if let (Some(from), true) = (from, self.release.is_v3()) {
            let help = "write `rules`";
            super::ignored(from.span, "`from`", help, self.cx.diagnostics);
        }
        if let Some(role) = self.role(object, &[], from.is_some()) {
            let _: Option<_> = self.scope(object, spec.target_ref.as_ref(), role);
        }
        for item in from.into_iter().flat_map(|it| it.iter()) {
            if item.default.action.is_none() {
                let span = item.target_ref.kind.span;
                bad_value(span, "`default.action` must be set", self.cx.diagnostics);
            }
        }
        let lists = rules
            .into_iter()
            .flat_map(|it| it.iter())
            .map(|it| &it.default);
        for list in lists {
            let all = [&list.deny, &list.allow_with_shadow_deny, &list.allow];
            for one in all.into_iter().flatten().flatten() {
                self.callers(one);
            }
        }
        let mesh = self.mesh_name(object);
        let proves = self
            .policies
            .meshes
            .get(&mesh)
            .is_some_and(|it| it.mtls.is_some())
            || self.policies.identities.iter().any(|it| it.mesh == mesh);
        let meaning = if proves {
            "requests that it would refuse with 403 are served, those of callers that no policy allows among them"
        } else {
            "it would have no effect: no identities are proved in its mesh"
        };
        left_out(
            object.name_span,
            &object.key.to_string(),
            meaning,
            self.cx.diagnostics,
        );
    }
}
