//! Objects to policies.

mod objects;
pub(super) mod references;
mod routes;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;
use serde::de::DeserializeOwned;

use super::checks;
use super::notes::{bad_value, ignored, left_out};
use super::policies::{MeshRules, Policies};
use super::registry::Registry;
use super::release::{DEFAULT_MESH, MESH, Release, SYSTEM_NAMESPACE};
use super::rules::{ArrivingEntry, Rules, ToEntry};
use super::scope::{ControlPlane, Role, Scope, Top};
use super::stock;
use super::target::{By, To};
use super::types::{
    Document, Match, Passing, Passthrough, Policy, RefKind, RuleItem, TargetRef, ToItem,
};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Node, Span, Spanned, read};

/// Kinds that are known and not modelled, with what that means.
const NOT_MODELLED: &[(&str, &str)] = &[
    (
        "MeshAccessLog",
        "it has no bearing: requests are recorded all the same",
    ),
    (
        "MeshTrace",
        "it has no bearing: requests are followed all the same",
    ),
    (
        "MeshMetric",
        "it has no bearing: figures are counted all the same",
    ),
    (
        "MeshOpenTelemetryBackend",
        "it has no bearing: nothing is sent to it",
    ),
    (
        "MeshProxyPatch",
        "proxies are as they would be without its patches, whatever these change of traffic",
    ),
    (
        "HostnameGenerator",
        "the names that it makes are not known: callers ask for Services by their names in the cluster",
    ),
    (
        "ContainerPatch",
        "proxies have the resources that the scenario gives them",
    ),
    ("MeshTrust", "every identity of the mesh is trusted"),
    ("MeshZoneAddress", "there is one zone"),
    ("Zone", "there is one zone"),
    ("ZoneIngress", "there is one zone"),
    (
        "ZoneEgress",
        "services outside are dialled by whoever calls them",
    ),
    ("Workload", "it has no bearing: the control plane makes it"),
    (
        "Dataplane",
        "it has no bearing where the control plane makes it of a pod; one that people write is nobody's endpoint",
    ),
];
/// Built-in gateways of 2.x, with what that means.
const GATEWAYS: &[(&str, &str)] = &[
    (
        "MeshGateway",
        "nothing listens where it does: clients that dial it reach nobody",
    ),
    (
        "MeshGatewayInstance",
        "it has no pods and no Service: clients that dial it reach nobody",
    ),
    ("MeshGatewayRoute", "nothing listens for it"),
    ("MeshGatewayConfig", "nothing listens for it"),
];
/// Policies older than those that are modelled; each has a successor.
const OLD: &[(&str, &str)] = &[
    ("CircuitBreaker", "MeshCircuitBreaker"),
    ("ExternalService", "MeshExternalService"),
    ("FaultInjection", "MeshFaultInjection"),
    ("HealthCheck", "MeshHealthCheck"),
    ("ProxyTemplate", "MeshProxyPatch"),
    ("RateLimit", "MeshRateLimit"),
    ("Retry", "MeshRetry"),
    ("Timeout", "MeshTimeout"),
    ("TrafficLog", "MeshAccessLog"),
    ("TrafficPermission", "MeshTrafficPermission"),
    ("TrafficRoute", "MeshHTTPRoute"),
    ("TrafficTrace", "MeshTrace"),
    ("VirtualOutbound", "HostnameGenerator"),
];
/// Kinds that are read.
const READ: &[&str] = &[
    "Mesh",
    "MeshService",
    "MeshExternalService",
    "MeshMultiZoneService",
    "MeshIdentity",
    "MeshHTTPRoute",
    "MeshTCPRoute",
    "MeshTimeout",
    "MeshRetry",
    "MeshCircuitBreaker",
    "MeshHealthCheck",
    "MeshLoadBalancingStrategy",
    "MeshFaultInjection",
    "MeshRateLimit",
    "MeshTLS",
    "MeshPassthrough",
    "MeshTrafficPermission",
];
/// What the control plane itself writes.
const WRITTEN_BY_KUMA: &[&str] = &[
    "DataplaneInsight",
    "MeshInsight",
    "ServiceInsight",
    "ZoneInsight",
    "ZoneIngressInsight",
    "ZoneEgressInsight",
];

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

/// Which lists a kind of policy has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sides {
    /// `to` alone.
    Sent,
    /// `to`, `rules` and, in 2.x, `from`.
    Both,
    /// `rules` and, in 2.x, `from`; `to` is for gateways.
    Arriving,
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

    fn report(&mut self, object: &Object) {
        let kind = object.key.kind.as_str();
        let find = |rows: &[(&'static str, &'static str)]| {
            rows.iter().find(|row| row.0 == kind).map(|row| row.1)
        };
        if let Some(meaning) = find(NOT_MODELLED) {
            left_out(
                object.name_span,
                &object.key.to_string(),
                meaning,
                self.cx.diagnostics,
            );
        } else if let Some(meaning) = find(GATEWAYS) {
            self.report_old(object, meaning, "the built-in gateway is gone");
        } else if let Some(successor) = find(OLD) {
            let meaning = format!("it has no effect here: write a {successor} in its place");
            self.report_old(object, &meaning, &format!("write a {successor}"));
        } else if WRITTEN_BY_KUMA.contains(&kind) {
            let message = format!("{} has no bearing: the control plane writes it", object.key);
            self.cx
                .diagnostics
                .push(Diagnostic::listed("kuma::written", message).label(object.name_span, ""));
        } else if !READ.contains(&kind) {
            let known = READ.iter().copied();
            let known = known.chain(NOT_MODELLED.iter().map(|row| row.0));
            let message = format!("{} is of a kind that Kuma does not know", object.key);
            self.cx.diagnostics.push(
                Diagnostic::warning("kuma::unknown-kind", message)
                    .label(object.name_span, "has no effect")
                    .maybe_help(did_you_mean(kind, known)),
            );
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

    fn report_old(&mut self, object: &Object, meaning: &str, help: &str) {
        let what = object.key.to_string();
        if self.release.is_v3() {
            ignored(object.name_span, &what, help, self.cx.diagnostics);
        } else {
            left_out(object.name_span, &what, meaning, self.cx.diagnostics);
        }
    }

    /// Reads a policy's settings into the rules of its kind.
    fn policy<C: DeserializeOwned>(
        &mut self,
        object: &Object,
        sides: Sides,
        check: fn(&Spanned<C>, &mut crate::diagnostics::Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let read = read::<Document<Policy<C>>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        if self.is_shadow(object) {
            return;
        }
        let to = spec.to.as_ref().filter(|list| !list.is_empty());
        let from = spec.from.as_ref().filter(|list| !list.is_empty());
        let arriving = spec.rules.as_ref().filter(|list| !list.is_empty());
        if to.is_none() && from.is_none() && arriving.is_none() {
            let message = match sides {
                Sides::Sent => "`to` must have an item",
                Sides::Both => "one of `to`, `from` and `rules` must have an item",
                Sides::Arriving => "one of `from` and `rules` must have an item",
            };
            bad_value(object.name_span, message, self.cx.diagnostics);
            return;
        }
        for side in [from.map(|it| it.span), arriving.map(|it| it.span)] {
            if let (Sides::Sent, Some(span)) = (sides, side) {
                let message = format!("a {} has `to` alone", object.key.kind);
                bad_value(span, message, self.cx.diagnostics);
                return;
            }
        }
        if let (Some(rules), Some(other)) = (arriving, to.or(from)) {
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::bad-value", "`rules` stand alone")
                    .label(other.span, "must be empty")
                    .label(rules.span, "beside these"),
            );
            return;
        }
        let targets: Vec<&TargetRef> = to
            .into_iter()
            .flat_map(|list| list.iter())
            .map(|item| &item.target_ref)
            .collect();
        let Some(role) = self.role(object, &targets, from.is_some()) else {
            return;
        };
        let Some(scope) = self.scope(object, spec.target_ref.as_ref(), role) else {
            return;
        };
        if let Some(list) = to {
            match sides {
                Sides::Arriving => {
                    let meaning = "it is for gateways of Kuma's own, of which there are none";
                    left_out(list.span, "`to`", meaning, self.cx.diagnostics);
                }
                Sides::Sent | Sides::Both => {
                    for (nth, item) in list.iter().enumerate() {
                        self.sent(object, &scope, (nth, item), check, rules);
                    }
                }
            }
        }
        if let Some(list) = from {
            self.from(object, &scope, list, check, rules);
        }
        if let Some(list) = arriving {
            for (nth, item) in list.iter().enumerate() {
                self.arriving(object, &scope, (nth, item), check, rules);
            }
        }
    }

    fn sent<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        (nth, item): (usize, &ToItem<C>),
        check: fn(&Spanned<C>, &mut crate::diagnostics::Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let Some(conf) = self.checked(object, ("to", nth), item.default.as_ref(), check) else {
            return;
        };
        let to = match &scope.top {
            // what names a route above means its requests
            Top::Route => self.route_above(object),
            Top::Mesh | Top::Dataplane { .. } | Top::Tags { .. } | Top::Gateway => {
                self.to(object, &item.target_ref)
            }
        };
        if let Some(to) = to {
            let scope = scope.clone();
            rules(&mut self.policies).push_to(ToEntry { scope, to, conf });
        }
    }

    fn from<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        list: &Spanned<Vec<ToItem<C>>>,
        check: fn(&Spanned<C>, &mut crate::diagnostics::Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        if self.release.is_v3() {
            let help = "write `rules`";
            ignored(list.span, "`from`", help, self.cx.diagnostics);
            return;
        }
        for (nth, item) in list.iter().enumerate() {
            let Some(conf) = self.checked(object, ("from", nth), item.default.as_ref(), check)
            else {
                continue;
            };
            let kind = item.target_ref.kind;
            let faults = object.key.kind == "MeshFaultInjection";
            match kind.value {
                RefKind::Mesh => rules(&mut self.policies).push_arriving(ArrivingEntry {
                    scope: scope.clone(),
                    is_rule: false,
                    conf,
                }),
                RefKind::MeshSubset | RefKind::MeshService | RefKind::MeshServiceSubset
                    if faults =>
                {
                    let meaning = "it is injected into nobody's requests";
                    left_out(
                        kind.span,
                        "a fault for some callers",
                        meaning,
                        self.cx.diagnostics,
                    );
                }
                RefKind::MeshSubset
                | RefKind::MeshService
                | RefKind::MeshServiceSubset
                | RefKind::Dataplane
                | RefKind::MeshGateway
                | RefKind::MeshExternalService
                | RefKind::MeshMultiZoneService
                | RefKind::MeshHTTPRoute => {
                    let message = format!("`from` takes no {}", kind.value.name());
                    bad_value(kind.span, message, self.cx.diagnostics);
                }
            }
        }
    }

    fn arriving<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        (nth, item): (usize, &RuleItem<C>),
        check: fn(&Spanned<C>, &mut crate::diagnostics::Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let Some(conf) = self.checked(object, ("rules", nth), item.default.as_ref(), check) else {
            return;
        };
        let matches = item.matches.as_deref().unwrap_or_default();
        if matches.is_empty() {
            rules(&mut self.policies).push_arriving(ArrivingEntry {
                scope: scope.clone(),
                is_rule: true,
                conf,
            });
            return;
        }
        for one in matches {
            self.callers(one);
        }
        let first = matches
            .iter()
            .find_map(|one| one.spiffe_id.as_ref().or(one.sni.as_ref()));
        let span = first.map_or(object.name_span, |it| it.span);
        let meaning = "what the rule sets holds for nobody";
        left_out(
            span,
            "a rule for some callers",
            meaning,
            self.cx.diagnostics,
        );
    }

    /// Checks a condition on callers.
    fn callers(&mut self, one: &Match) {
        let values = [(&one.spiffe_id, true), (&one.sni, false)];
        for (value, takes_prefix) in values {
            let Some(value) = value else {
                continue;
            };
            match value.r#type.value.as_str() {
                "Exact" => {}
                "Prefix" if takes_prefix => {}
                _ => {
                    let message = if takes_prefix {
                        "write `Exact` or `Prefix`"
                    } else {
                        "write `Exact`"
                    };
                    bad_value(value.r#type.span, message, self.cx.diagnostics);
                }
            }
        }
    }

    /// The settings of an item as they are written, once they have passed Kuma's own validation.
    fn checked<C>(
        &mut self,
        object: &Object,
        (list, nth): (&str, usize),
        conf: Option<&Spanned<C>>,
        check: fn(&Spanned<C>, &mut crate::diagnostics::Diagnostics),
    ) -> Option<Node> {
        let item = object
            .node
            .at(&format!("spec.{list}"))?
            .as_seq()?
            .get(nth)?;
        let Some(conf) = conf else {
            bad_value(item.span, "`default` must be set", self.cx.diagnostics);
            return None;
        };
        let mark = self.cx.diagnostics.len();
        check(conf, self.cx.diagnostics);
        let is_wrong = |it: &Diagnostic| it.severity() == crate::diagnostics::Severity::Error;
        if self.cx.diagnostics.since(mark).iter().any(is_wrong) {
            return None;
        }
        item.get("default").cloned()
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

    /// The stock policies of every mesh that does not go without them.
    fn stock(&mut self) {
        let mut meshes: Vec<Name> = self.policies.meshes.keys().cloned().collect();
        meshes.push(DEFAULT_MESH.into());
        let proxies = self.cx.workloads.iter();
        meshes.extend(proxies.map(|it| {
            super::release::mesh_of(&it.labels, &it.annotations, &it.namespace, self.cx)
        }));
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
