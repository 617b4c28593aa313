//! References of policies.

use proxy_core::config::Name;

use super::super::notes::{bad_value, ignored, left_out};
use super::super::registry::Item;
use super::super::scope::{ControlPlane, Role, Scope, Top};
use super::super::target::{By, To, of_tag};
use super::super::types::{Passing, ProxyType, RefKind, TargetRef, Written};
use super::{Reader, by_name};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::load::Object;
use crate::model::Labels;
use crate::text::{Span, Spanned};

/// A destination, as references of policies and of routes mean it.
#[derive(Clone, Copy)]
pub(in super::super) struct Meant<'a> {
    pub(in super::super) kind: Spanned<RefKind>,
    pub(in super::super) name: Option<&'a Spanned<String>>,
    pub(in super::super) namespace: Option<&'a Spanned<String>>,
    pub(in super::super) labels: Option<&'a Written>,
    pub(in super::super) section: Option<&'a Spanned<String>>,
}

impl<'a> Meant<'a> {
    fn of(target: &'a TargetRef) -> Self {
        Self {
            kind: target.kind,
            name: target.name.as_ref(),
            namespace: target.namespace.as_ref(),
            labels: target.labels.as_ref(),
            section: target.section_name.as_ref(),
        }
    }
}

impl Reader<'_, '_> {
    /// Whose proxies a policy is for; none: Kuma would refuse it, or nobody's.
    pub(super) fn scope(
        &mut self,
        object: &Object,
        target: Option<&TargetRef>,
        role: Role,
    ) -> Option<Scope> {
        let top = match target {
            None => Top::Mesh,
            Some(target) => self.top(object, target)?,
        };
        let from = match object.label("kuma.io/origin").map(|it| it.value) {
            Some("global") => ControlPlane::Global,
            Some(_) | None => ControlPlane::Zone,
        };
        let name = object.label("kuma.io/display-name");
        Some(Scope {
            mesh: self.mesh_name(object),
            namespace: object.key.namespace.as_str().into(),
            name: name.map_or_else(|| object.key.name.as_str().into(), |it| it.value.into()),
            top,
            role,
            from,
            origin: self.cx.origins.written(object.name_span),
        })
    }

    fn top(&mut self, object: &Object, target: &TargetRef) -> Option<Top> {
        let kind = target.kind;
        if !self.knows(kind) || !self.has_only_what_fits(target) {
            return None;
        }
        let sidecars = target.proxy_types.as_ref().is_none_or(|list| {
            list.is_empty() || list.iter().any(|it| it.value == ProxyType::Sidecar)
        });
        if !sidecars {
            return Some(Top::Gateway);
        }
        let tags = written(target.tags.as_ref());
        let service = || {
            let name = target.name.as_ref()?;
            Some((Name::from("kuma.io/service"), Name::from(name.as_str())))
        };
        match kind.value {
            RefKind::Mesh => Some(Top::Mesh),
            RefKind::Dataplane => self.dataplane(object, target),
            RefKind::MeshSubset => Some(Top::Tags { ranked: 3, tags }),
            RefKind::MeshService => Some(Top::Tags {
                ranked: 5,
                tags: service().into_iter().collect(),
            }),
            RefKind::MeshServiceSubset => {
                let mut tags = tags;
                tags.extend(service());
                Some(Top::Tags { ranked: 8, tags })
            }
            RefKind::MeshGateway => {
                let meaning = "there are no gateways of Kuma's own: it is for nobody";
                left_out(
                    kind.span,
                    "a policy for a MeshGateway",
                    meaning,
                    self.cx.diagnostics,
                );
                Some(Top::Gateway)
            }
            RefKind::MeshHTTPRoute if !self.release.is_v3() => Some(Top::Route),
            RefKind::MeshHTTPRoute
            | RefKind::MeshExternalService
            | RefKind::MeshMultiZoneService => {
                let message = format!("no policy is for the proxies of a {}", kind.value.name());
                bad_value(kind.span, message, self.cx.diagnostics);
                None
            }
        }
    }

    fn dataplane(&mut self, object: &Object, target: &TargetRef) -> Option<Top> {
        let name = match &target.name {
            Some(name) if self.release.is_v3() => {
                self.ignored_name(name.span);
                return None;
            }
            Some(name) => {
                let namespace = target.namespace.as_ref();
                let namespace = namespace.map_or(object.key.namespace.as_str(), |it| &it.value);
                let mut workloads = self.cx.workloads.iter();
                let is_pod = workloads.any(|it| {
                    it.kind == crate::model::WorkloadKind::Pod
                        && *it.namespace == *namespace
                        && *it.name == *name.value
                });
                if !is_pod {
                    let meaning =
                        "pods of one workload go by the same policies: it is for none of them";
                    left_out(
                        name.span,
                        "a policy for one pod of a workload",
                        meaning,
                        self.cx.diagnostics,
                    );
                }
                Some((namespace.into(), name.as_str().into()))
            }
            None => None,
        };
        let section = target.section_name.as_ref();
        Some(Top::Dataplane {
            name,
            labels: written(target.labels.as_ref()),
            section: section.map(|it| it.as_str().into()),
        })
    }

    /// Whether the release knows a kind of reference.
    pub(super) fn knows(&mut self, kind: Spanned<RefKind>) -> bool {
        let gone = matches!(
            kind.value,
            RefKind::MeshSubset | RefKind::MeshGateway | RefKind::MeshServiceSubset
        );
        if gone && self.release.is_v3() {
            let message = format!("Kuma 3.0 knows no {}", kind.value.name());
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::bad-value", message)
                    .label(kind.span, "this kind")
                    .help("select proxies by `kind: Dataplane` and `labels`"),
            );
            return false;
        }
        true
    }

    /// Source: kuma 2.14 `pkg/core/resources/apis/mesh/validators.go`, `ValidateTargetRef`.
    fn has_only_what_fits(&mut self, target: &TargetRef) -> bool {
        use RefKind as Kind;
        let kind = target.kind.value;
        let by_name = !matches!(kind, Kind::Mesh | Kind::MeshSubset);
        let by_labels = matches!(
            kind,
            Kind::Dataplane
                | Kind::MeshService
                | Kind::MeshHTTPRoute
                | Kind::MeshExternalService
                | Kind::MeshMultiZoneService
        );
        let by_tags = matches!(
            kind,
            Kind::MeshSubset | Kind::MeshServiceSubset | Kind::MeshGateway
        );
        let sections = matches!(
            kind,
            Kind::Dataplane | Kind::MeshService | Kind::MeshMultiZoneService
        );
        let text = |it: &Option<Spanned<String>>| it.as_ref().map(|it| it.span);
        let map = |it: &Option<Written>| {
            let first = it.as_ref().and_then(|it| it.keys().next());
            first.map(|key| key.span)
        };
        let types = target.proxy_types.as_ref().and_then(|it| it.first());
        let fields = [
            ("name", text(&target.name), by_name),
            ("namespace", text(&target.namespace), by_labels),
            ("labels", map(&target.labels), by_labels),
            ("tags", map(&target.tags), by_tags),
            ("mesh", text(&target.mesh), false),
            ("sectionName", text(&target.section_name), sections),
            (
                "proxyTypes",
                types.map(|it| it.span),
                matches!(kind, Kind::Mesh | Kind::MeshSubset),
            ),
        ];
        let mut fits = true;
        for (field, span, allowed) in fields {
            if let (Some(span), false) = (span, allowed) {
                let message = format!("a reference to a {} has no `{field}`", kind.name());
                bad_value(span, message, self.cx.diagnostics);
                fits = false;
            }
        }
        if let (Some(labels), Some(name)) = (map(&target.labels), text(&target.name)) {
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::bad-value", "`labels` and `name` exclude each other")
                    .label(labels, "these")
                    .label(name, "and this"),
            );
            fits = false;
        }
        fits
    }

    /// Whom settings of `to` are for; none: Kuma would refuse them, or nobody.
    pub(super) fn to(&mut self, object: &Object, target: &TargetRef) -> Option<To> {
        if !self.knows(target.kind) || !self.has_only_what_fits(target) {
            return None;
        }
        match target.kind.value {
            RefKind::Mesh => Some(To::Mesh),
            RefKind::MeshHTTPRoute => self.route_of(object, target),
            RefKind::MeshService | RefKind::MeshExternalService | RefKind::MeshMultiZoneService => {
                self.items_of(object, Meant::of(target))
            }
            RefKind::Dataplane
            | RefKind::MeshSubset
            | RefKind::MeshGateway
            | RefKind::MeshServiceSubset => {
                let message = format!("`to` takes no {}", target.kind.value.name());
                bad_value(target.kind.span, message, self.cx.diagnostics);
                None
            }
        }
    }

    /// A destination as it is meant; one that is not there is an error where it is named, a warning where labels select nothing.
    pub(in super::super) fn items_of(&mut self, object: &Object, meant: Meant<'_>) -> Option<To> {
        let kind = meant.kind.value;
        let section = meant.section.map(|it| Name::from(it.as_str()));
        if let Some(labels) = meant.labels.filter(|labels| !labels.is_empty()) {
            self.are_made(object, meant.kind)?;
            let by = By::Labels(written(Some(labels)));
            let to = To::Items { kind, by, section };
            let span = labels.keys().next().map_or(meant.kind.span, |it| it.span);
            self.is_somebody(&to, span)?;
            return Some(to);
        }
        let Some(name) = meant.name else {
            bad_value(
                meant.kind.span,
                "`labels` or, in 2.x, `name` must be set",
                self.cx.diagnostics,
            );
            return None;
        };
        if self.release.is_v3() {
            self.ignored_name(name.span);
            return None;
        }
        let tag = (kind == RefKind::MeshService && section.is_none())
            .then(|| of_tag(name))
            .flatten();
        let to = match tag {
            Some((namespace, service, port)) => To::Items {
                kind,
                by: By::Name(namespace, service),
                section: port.map(|port| port.to_string().into()),
            },
            None => {
                self.are_made(object, meant.kind)?;
                let namespace = meant.namespace.map(|it| it.value.as_str());
                let namespace = namespace.unwrap_or(&object.key.namespace);
                To::Items {
                    kind,
                    by: by_name(namespace, name),
                    section,
                }
            }
        };
        self.is_there(&to, name)?;
        Some(to)
    }

    /// Whether there are MeshServices at all: in 2.x a Mesh has them only where it says so. Where no Mesh is written, nothing is known
    /// against it.
    fn are_made(&mut self, object: &Object, kind: Spanned<RefKind>) -> Option<()> {
        let mesh = self.mesh_name(object);
        let rules = self.policies.meshes.get(&mesh);
        let off = rules.is_some_and(|it| match it.services {
            Passing::Disabled | Passing::ReachableBackends => true,
            Passing::Everywhere | Passing::Exclusive => false,
        });
        if kind.value == RefKind::MeshService && off && !self.release.is_v3() {
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "kuma::no-mesh-services",
                    format!("mesh `{mesh}` makes no MeshServices: this is for nobody"),
                )
                .label(kind.span, "has no effect")
                .help("set `meshServices: {mode: Exclusive}` in the Mesh, or name the Service by its tag, `<name>_<namespace>_svc_<port>`"),
            );
            return None;
        }
        Some(())
    }

    /// Whether labels select a destination.
    fn is_somebody(&mut self, to: &To, span: Span) -> Option<()> {
        let items = self.policies.registry.items.iter();
        let found = items
            .filter(|item| to.takes_item(item))
            .any(|item| has_section(to, item));
        if !found {
            self.cx.diagnostics.push(
                Diagnostic::warning("kuma::unresolved", "no destination has these labels")
                    .label(span, "has no effect"),
            );
            return None;
        }
        Some(())
    }

    /// Whether a destination of this name is there.
    fn is_there(&mut self, to: &To, name: &Spanned<String>) -> Option<()> {
        let To::Items { kind, by, section } = to else {
            return Some(());
        };
        let By::Name(namespace, own) = by else {
            return Some(());
        };
        let registry = &self.policies.registry;
        let Some(at) = registry.named(*kind, namespace, own) else {
            let all = registry.items.iter().filter(|item| item.kind == *kind);
            let near = all.filter(|item| item.namespace == *namespace);
            let help = did_you_mean(own, near.map(|item| &*item.name));
            let what = match kind {
                RefKind::MeshService => "Service",
                RefKind::MeshExternalService
                | RefKind::MeshMultiZoneService
                | RefKind::Mesh
                | RefKind::Dataplane
                | RefKind::MeshSubset
                | RefKind::MeshGateway
                | RefKind::MeshServiceSubset
                | RefKind::MeshHTTPRoute => kind.name(),
            };
            let message = format!("no {what} `{own}` in namespace `{namespace}`");
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::unknown-service", message)
                    .label(name.span, "asked for here")
                    .maybe_help(help),
            );
            return None;
        };
        let item = &registry.items[at];
        if let Some(section) = section.as_ref().filter(|it| item.port(it).is_none()) {
            let ports: Vec<String> = item
                .ports
                .iter()
                .map(|port| format!("`{}`", port.name))
                .collect();
            let message = format!("`{}` has no port `{section}`", item.title());
            let (span, help) = (item.span, format!("it has {}", ports.join(", ")));
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::unknown-port", message)
                    .label(name.span, "asked for here")
                    .label(span, "the Service")
                    .help(help),
            );
            return None;
        }
        Some(())
    }

    fn route_of(&mut self, object: &Object, target: &TargetRef) -> Option<To> {
        if let Some(labels) = target.labels.as_ref().filter(|it| !it.is_empty()) {
            return Some(To::Route(By::Labels(written(Some(labels)))));
        }
        let Some(name) = &target.name else {
            bad_value(
                target.kind.span,
                "`labels` or, in 2.x, `name` must be set",
                self.cx.diagnostics,
            );
            return None;
        };
        if self.release.is_v3() {
            self.ignored_name(name.span);
            return None;
        }
        let namespace = target.namespace.as_ref().map(|it| it.value.as_str());
        let namespace = namespace.unwrap_or(&object.key.namespace);
        self.known_route(namespace, name)
    }

    /// The route that a policy's own `targetRef` names (2.x).
    pub(super) fn route_above(&mut self, object: &Object) -> Option<To> {
        let target = object.node.at("spec.targetRef")?;
        let name = target.get("name")?;
        let text = Spanned::new(name.as_str()?.to_owned(), name.span);
        self.known_route(&object.key.namespace, &text)
    }

    fn known_route(&mut self, namespace: &str, name: &Spanned<String>) -> Option<To> {
        let routes = self.policies.routes.iter();
        let mut near = routes.filter(|it| *it.id.namespace == *namespace);
        if near.clone().any(|it| *it.id.name == *name.value) {
            return Some(To::Route(by_name(namespace, name)));
        }
        let help = did_you_mean(name, near.by_ref().map(|it| &*it.id.name));
        let message = format!("no MeshHTTPRoute `{name}` in namespace `{namespace}`");
        self.cx.diagnostics.push(
            Diagnostic::error("kuma::unknown-route", message)
                .label(name.span, "asked for here")
                .maybe_help(help),
        );
        None
    }

    fn ignored_name(&mut self, span: Span) {
        let help = "write `labels: {kuma.io/display-name: …, k8s.kuma.io/namespace: …}`";
        ignored(span, "`name` of a reference", help, self.cx.diagnostics);
    }
}

fn has_section(to: &To, item: &Item) -> bool {
    match to {
        To::Items {
            section: Some(section),
            ..
        } => item.port(section).is_some(),
        To::Items { section: None, .. } | To::Mesh | To::Route(_) => true,
    }
}

/// Labels without their places.
pub(in super::super) fn written(labels: Option<&Written>) -> Labels {
    let labels = labels.into_iter().flatten();
    labels
        .map(|(key, value)| (key.value.as_str().into(), value.value.as_str().into()))
        .collect()
}
