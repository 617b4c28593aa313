//! Meshes, services and identities.

use std::net::IpAddr;

use proxy_core::config::Name;
use proxy_core::origin::Sourced;

use super::super::identity::{DEFAULT_DOMAIN, DEFAULT_PATH, places};
use super::super::notes::{bad_value, ignored, left_out, not_modelled};
use super::super::policies::{IdentityRule, MeshRules};
use super::super::protocol::Protocol;
use super::super::registry::{Behind, Item, ItemPort, Outside, own_labels};
use super::super::types::{
    BackendMode, Document, ExternalService, Identity, LabelSelector, Mesh, MeshService, Mtls,
    MultiZone, Passing, PortOf, RefKind, TlsMode,
};
use super::Reader;
use super::references::written;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::load::Object;
use crate::model::{Labels, TargetPort, selects};
use crate::text::{Present, ScalarOr, Spanned, read};

impl Reader<'_, '_> {
    /// Reads a destination that somebody wrote.
    pub(super) fn destination(&mut self, object: &Object) {
        match object.key.kind.as_str() {
            "MeshService" => self.mesh_service(object),
            "MeshExternalService" => self.external_service(object),
            "MeshMultiZoneService" => self.multi_zone(object),
            _ => {}
        }
    }

    fn mesh_service(&mut self, object: &Object) {
        let read = read::<Document<MeshService>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        let (namespace, name) = (&object.key.namespace, &object.key.name);
        let registry = &self.policies.registry;
        if registry
            .named(RefKind::MeshService, namespace, name)
            .is_some()
        {
            let message = format!(
                "{} is what Kuma makes of the Service of its name",
                object.key
            );
            self.cx
                .diagnostics
                .push(Diagnostic::listed("kuma::written", message).label(object.name_span, ""));
            return;
        }
        if let Some(one) = spec.selector.dataplane_ref {
            let meaning = "nobody is behind it";
            left_out(
                one.span,
                "a MeshService of one proxy",
                meaning,
                self.cx.diagnostics,
            );
        }
        let tags = spec.selector.dataplane_tags.as_ref();
        if let (Some(key), true) = (tags.and_then(|it| it.keys().next()), self.release.is_v3()) {
            let help = "write `dataplaneLabels`";
            ignored(key.span, "`dataplaneTags`", help, self.cx.diagnostics);
        }
        let labels = match (&spec.selector.dataplane_labels, tags) {
            (Some(labels), _) => Some(of_selector(labels)),
            (None, Some(tags)) if !self.release.is_v3() => Some(written(Some(tags))),
            (None, _) => None,
        };
        let behind = labels.map_or_else(|| Behind::Items(Vec::new()), Behind::Proxies);
        let ports = self.ports(&spec.ports);
        self.add(object, RefKind::MeshService, ports, behind);
    }

    fn external_service(&mut self, object: &Object) {
        let read = read::<Document<ExternalService>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        let out = &mut *self.cx.diagnostics;
        let meaning = "it has the endpoints that are written, if any";
        not_modelled(spec.extension, "`extension`", meaning, out);
        let meaning = "requests to it come in plaintext";
        not_modelled(spec.tls, "TLS to a service outside", meaning, out);
        let port = spec.r#match.port;
        let word = spec
            .r#match
            .protocol
            .as_ref()
            .map_or("tcp", |it| it.as_str());
        let endpoints = spec.endpoints.iter().flatten().map(|it| Outside {
            address: it.address.as_str().into(),
            port: it.port.map_or(0, |port| port.value),
            priority: it.priority.map_or(0, |it| it.value),
        });
        let behind = Behind::Outside(endpoints.collect());
        let ports = vec![ItemPort {
            number: port.value,
            name: port.value.to_string().into(),
            protocol: Protocol::of_word(word),
            target: TargetPort::Number(port.value),
        }];
        for endpoint in spec.endpoints.iter().flatten() {
            let known = endpoint.address.parse::<IpAddr>().is_ok()
                || self.cx.directory.service_named(&endpoint.address).is_some();
            if !known {
                let what = "an endpoint by a name outside of the cluster";
                let meaning = "nobody knows its address: it is no endpoint";
                left_out(endpoint.address.span, what, meaning, self.cx.diagnostics);
            }
        }
        self.add(object, RefKind::MeshExternalService, ports, behind);
    }

    fn multi_zone(&mut self, object: &Object) {
        let read = read::<Document<MultiZone>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        let ports = self.ports(&spec.ports);
        // who is behind it is found once every MeshService is known
        self.add(
            object,
            RefKind::MeshMultiZoneService,
            ports,
            Behind::Items(Vec::new()),
        );
    }

    fn ports(&mut self, ports: &[PortOf]) -> Vec<ItemPort> {
        let ports = ports.iter().map(|it| {
            let number = it.port.value;
            let target = match &it.target_port {
                None | Some(ScalarOr::Full(_)) => TargetPort::Number(number),
                Some(ScalarOr::Scalar(text)) => text.parse().map_or_else(
                    |_| TargetPort::Named(text.as_str().into()),
                    TargetPort::Number,
                ),
            };
            let name = it.name.as_ref().filter(|name| !name.is_empty());
            let word = it.app_protocol.as_ref().map_or("tcp", |it| it.as_str());
            ItemPort {
                number,
                name: name.map_or_else(|| number.to_string().into(), |it| it.as_str().into()),
                protocol: Protocol::of_word(word),
                target,
            }
        });
        ports.collect()
    }

    fn add(&mut self, object: &Object, kind: RefKind, ports: Vec<ItemPort>, behind: Behind) {
        let mesh = self.mesh_name(object);
        let (namespace, name) = (&object.key.namespace, &object.key.name);
        let mut labels = labels_of(object);
        labels.extend(own_labels(&mesh, namespace, name));
        let what = format!("the address of {}", object.key);
        let meaning = "callers cannot dial it: it is reached by routes that lead to it alone";
        left_out(object.name_span, &what, meaning, self.cx.diagnostics);
        let origin = self.cx.origins.written(object.name_span);
        self.policies.registry.items.push(Item {
            kind,
            mesh,
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
            labels,
            ports,
            behind,
            span: object.name_span,
            origin,
        });
    }

    /// Finds out which MeshServices are behind those of several zones, of which there is one.
    pub(super) fn gather_zones(&mut self) {
        let objects = self.cx.objects;
        for object in objects.of("kuma.io", "MeshMultiZoneService") {
            let path = "spec.selector.meshService.matchLabels";
            let entries = object.node.at(path).and_then(|it| it.as_map());
            let entries = entries.into_iter().flat_map(|it| it.entries());
            let wanted: Labels = entries
                .filter_map(|it| Some((it.key.text.as_str().into(), it.value.as_str()?.into())))
                .collect();
            let registry = &mut self.policies.registry;
            let kind = RefKind::MeshMultiZoneService;
            let Some(at) = registry.named(kind, &object.key.namespace, &object.key.name) else {
                continue;
            };
            let mesh = registry.items[at].mesh.clone();
            let taken = |item: &Item| {
                item.kind == RefKind::MeshService
                    && item.mesh == mesh
                    && selects(&wanted, &item.labels)
            };
            let all = registry.items.iter().enumerate();
            let found: Vec<usize> = all
                .filter(|(_, item)| taken(item))
                .map(|(at, _)| at)
                .collect();
            if found.is_empty() {
                self.cx.diagnostics.push(
                    Diagnostic::warning("kuma::unresolved", "no MeshService has these labels")
                        .label(object.name_span, "nobody is behind it"),
                );
            }
            registry.items[at].behind = Behind::Items(found);
        }
    }

    /// Reads a Mesh or an identity.
    pub(super) fn mesh(&mut self, object: &Object) {
        match object.key.kind.as_str() {
            "Mesh" => self.read_mesh(object),
            "MeshIdentity" => self.identity(object),
            _ => {}
        }
    }

    fn read_mesh(&mut self, object: &Object) {
        let read = read::<Document<Mesh>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        self.check_skipped(spec.skip_creating_initial_policies.as_deref());
        let mut rules = MeshRules::unwritten();
        if self.release.is_v3() {
            self.tell_unread(&spec);
        } else {
            rules.services = spec
                .mesh_services
                .as_ref()
                .and_then(|it| it.mode)
                .map_or(Passing::Disabled, |it| it.value);
            let outbound = spec.networking.as_ref().and_then(|it| it.outbound.as_ref());
            let passthrough = outbound.and_then(|it| it.passthrough);
            rules.passthrough = passthrough.map(|it| self.cx.origins.sourced(it));
            rules.mtls = spec.mtls.as_ref().and_then(|it| self.mtls(it));
            let out = &mut *self.cx.diagnostics;
            let meaning = "it has no bearing: requests are recorded and counted all the same";
            not_modelled(spec.tracing, "`tracing`", meaning, out);
            not_modelled(spec.logging, "`logging`", meaning, out);
            not_modelled(spec.metrics, "`metrics`", meaning, out);
            let meaning =
                "there is one zone, and services outside are dialled by whoever calls them";
            not_modelled(spec.routing, "`routing`", meaning, out);
            let meaning = "every pod that asks for a proxy is part of the mesh";
            not_modelled(spec.constraints, "`constraints`", meaning, out);
        }
        let name = object.key.name.as_str().into();
        self.policies.meshes.insert(name, rules);
    }

    fn check_skipped(&mut self, skipped: Option<&[Spanned<String>]>) {
        for kind in skipped.unwrap_or_default() {
            let known = super::super::stock::KINDS;
            // policies older than these have no stock ones any more
            let is_old = super::kinds::OLD.iter().any(|row| row.0 == kind.value);
            if kind.value == "*" || is_old || known.contains(&kind.value.as_str()) {
                continue;
            }
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "kuma::no-effect",
                    format!("there is no stock policy `{kind}`"),
                )
                .label(kind.span, "has no effect")
                .maybe_help(did_you_mean(kind, known)),
            );
        }
    }

    /// What 2.x reads of a Mesh, and 3.0 does not.
    fn tell_unread(&mut self, spec: &Mesh) {
        let out = &mut *self.cx.diagnostics;
        if let Some(mtls) = &spec.mtls {
            let help =
                "mutual TLS is off without a MeshIdentity; write one, and a MeshTLS for its mode";
            ignored(mtls.span, "`mtls` of a Mesh", help, out);
        }
        let outbound = spec.networking.as_ref().and_then(|it| it.outbound.as_ref());
        if let Some(passthrough) = outbound.and_then(|it| it.passthrough) {
            let help = "write a MeshPassthrough";
            ignored(passthrough.span, "`networking` of a Mesh", help, out);
        }
        let fields = [
            ("tracing", spec.tracing),
            ("logging", spec.logging),
            ("metrics", spec.metrics),
            ("routing", spec.routing),
            ("constraints", spec.constraints),
        ];
        for (what, field) in fields {
            if let Some(Present { span }) = field {
                let what = format!("`{what}` of a Mesh");
                ignored(span, &what, "leave it out", out);
            }
        }
        if let Some(mode) = spec.mesh_services.as_ref().and_then(|it| it.mode) {
            let help = "leave it out: MeshServices are made of all Services";
            ignored(mode.span, "`meshServices` of a Mesh", help, out);
        }
    }

    fn mtls(&mut self, mtls: &Spanned<Mtls>) -> Option<Sourced<TlsMode>> {
        let enabled = mtls.enabled_backend.as_ref().filter(|it| !it.is_empty())?;
        let mut backends = mtls.backends.iter().flatten();
        let Some(backend) = backends.find(|it| it.name == *enabled) else {
            let names = mtls.backends.iter().flatten().map(|it| it.name.as_str());
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::unknown-backend", format!("no backend `{enabled}`"))
                    .label(enabled.span, "asked for here")
                    .maybe_help(did_you_mean(enabled, names)),
            );
            return None;
        };
        let mode = match backend.mode.map(|it| it.value) {
            Some(BackendMode::Permissive) => TlsMode::Permissive,
            Some(BackendMode::Strict) | None => TlsMode::Strict,
        };
        let span = backend.mode.map_or(enabled.span, |it| it.span);
        Some(Sourced::new(mode, self.cx.origins.written(span)))
    }

    fn identity(&mut self, object: &Object) {
        let read = read::<Document<Identity>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        match &spec.provider {
            None => bad_value(
                object.name_span,
                "`provider` must be set",
                self.cx.diagnostics,
            ),
            Some(provider) => match provider.r#type.value.as_str() {
                "Bundled" | "Spire" | "Extension" => {}
                other => {
                    let known = ["Bundled", "Spire", "Extension"];
                    self.cx.diagnostics.push(
                        Diagnostic::error("kuma::bad-value", format!("no provider `{other}`"))
                            .label(provider.r#type.span, "this one")
                            .maybe_help(did_you_mean(other, known)),
                    );
                }
            },
        }
        let Some(proxies) = spec.selector.as_ref().and_then(|it| it.dataplane.as_ref()) else {
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "kuma::no-effect",
                    "an identity without `selector.dataplane` is nobody's",
                )
                .label(object.name_span, "has no effect")
                .help("write `selector: {dataplane: {}}` for all proxies"),
            );
            return;
        };
        let id = spec.spiffe_id.as_ref();
        let domain = self.template(id.and_then(|it| it.trust_domain.as_ref()), DEFAULT_DOMAIN);
        let path = self.template(id.and_then(|it| it.path.as_ref()), DEFAULT_PATH);
        let origin = self.cx.origins.written(object.name_span);
        let mesh = self.mesh_name(object);
        self.policies.identities.push(IdentityRule {
            mesh,
            name: object.key.name.as_str().into(),
            labels: of_selector(proxies),
            trust_domain: domain,
            path,
            origin,
        });
    }

    /// A text with places to fill; one with others than are known is not modelled.
    fn template(&mut self, text: Option<&Spanned<String>>, default: &str) -> Name {
        let Some(text) = text else {
            return default.into();
        };
        if places(text).all(|place| super::super::identity::PLACES.contains(&place)) {
            return text.as_str().into();
        }
        let meaning = format!("identities are made by `{default}`");
        left_out(text.span, "this template", &meaning, self.cx.diagnostics);
        default.into()
    }
}

/// The labels of an object.
pub(super) fn labels_of(object: &Object) -> Labels {
    let labels = object.node.at("metadata.labels");
    let entries = labels.and_then(|it| it.as_map()).into_iter();
    let entries = entries.flat_map(|it| it.entries());
    entries
        .filter_map(|it| Some((it.key.text.as_str().into(), it.value.as_str()?.into())))
        .collect()
}

fn of_selector(selector: &LabelSelector) -> Labels {
    written(selector.match_labels.as_ref())
}
