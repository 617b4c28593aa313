//! Where routes lead.

use super::notes::{bad_value, ignored};
use super::policies::Policies;
use super::read::references::written;
use super::registry::Item;
use super::release::Release;
use super::target::of_tag;
use super::types::{BackendRef, RefKind};
use crate::diagnostics::Diagnostics;
use crate::model::{Labels, selects};

/// A destination that a route leads to.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    /// Its place in the registry.
    pub(super) item: usize,
    pub(super) port: u16,
    /// Tags that those behind it must have (2.x).
    pub(super) tags: Labels,
}

/// What Kuma's own validation asks of a backend.
pub(super) fn check(backend: &BackendRef, release: Release, out: &mut Diagnostics) {
    let kind = backend.kind;
    match kind.value {
        RefKind::MeshService | RefKind::MeshExternalService | RefKind::MeshMultiZoneService => {}
        RefKind::MeshServiceSubset if !release.is_v3() => {}
        RefKind::MeshServiceSubset
        | RefKind::Mesh
        | RefKind::Dataplane
        | RefKind::MeshSubset
        | RefKind::MeshGateway
        | RefKind::MeshHTTPRoute => {
            let message = format!("a backend is no {}", kind.value.name());
            bad_value(kind.span, message, out);
        }
    }
    let has_labels = backend.labels.as_ref().is_some_and(|it| !it.is_empty());
    match (&backend.name, has_labels) {
        (None, false) => {
            bad_value(kind.span, "`labels` or, in 2.x, `name` must be set", out);
        }
        (Some(name), true) => {
            bad_value(name.span, "`labels` and `name` exclude each other", out);
        }
        (Some(name), false) if release.is_v3() => {
            let help = "write `labels: {kuma.io/display-name: …, k8s.kuma.io/namespace: …}`";
            ignored(name.span, "`name` of a reference", help, out);
        }
        (Some(_), false) | (None, true) => {}
    }
}

impl Policies {
    /// The destination of a route that stands in `namespace`; none: it is not there.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/rules/resolve/backendref.go`; of 3.0 `api/common/v1alpha1/targetref.go`.
    pub(super) fn backend(
        &self,
        backend: &BackendRef,
        namespace: &str,
        mesh: &str,
    ) -> Option<Backend> {
        let section = backend.section_name.as_ref().map(|it| it.value.clone());
        let section = section.or_else(|| backend.port.map(|port| port.value.to_string()));
        let labels = written(backend.labels.as_ref());
        if !labels.is_empty() {
            return self.by_labels(backend, labels, namespace, mesh, section.as_deref());
        }
        let name = backend.name.as_ref().filter(|_| !self.release.is_v3())?;
        let kind = backend.kind.value;
        let is_by_tag = kind == RefKind::MeshServiceSubset
            || (kind == RefKind::MeshService && section.is_none());
        if is_by_tag {
            let (namespace, name, port) = of_tag(name)?;
            let item = self
                .registry
                .named(RefKind::MeshService, &namespace, &name)?;
            let tags = written(backend.tags.as_ref());
            let port = port?;
            self.registry.items[item].port_at(port)?;
            return Some(Backend { item, port, tags });
        }
        let namespace = backend.namespace.as_ref().map_or(namespace, |it| &it.value);
        let item = self.registry.named(kind, namespace, name)?;
        self.at(item, section.as_deref())
    }

    fn by_labels(
        &self,
        backend: &BackendRef,
        mut labels: Labels,
        namespace: &str,
        mesh: &str,
        section: Option<&str>,
    ) -> Option<Backend> {
        if labels.contains_key("kuma.io/display-name") {
            labels
                .entry("k8s.kuma.io/namespace".into())
                .or_insert_with(|| namespace.into());
        }
        let mut items = self.registry.items.iter();
        let takes = |item: &Item| {
            item.kind == backend.kind.value && *item.mesh == *mesh && selects(&labels, &item.labels)
        };
        let item = items.position(takes)?;
        self.at(item, section)
    }

    /// A port of a destination, the only one where none is named.
    fn at(&self, item: usize, section: Option<&str>) -> Option<Backend> {
        let ports = &self.registry.items[item].ports;
        let port = match (section, &ports[..]) {
            (Some(section), _) => self.registry.items[item].port(section)?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        Some(Backend {
            item,
            port: port.number,
            tags: Labels::new(),
        })
    }
}
