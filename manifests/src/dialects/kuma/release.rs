//! What differs between releases.

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use crate::dialects::Compile;
use crate::text::{Span, Spanned};

/// A release, as far as it differs from others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Release(u16, u16);

impl Release {
    pub(super) fn of(release: &str) -> Self {
        let (major, minor) = release.split_once('.').unwrap_or((release, ""));
        let number = |text: &str| text.parse().unwrap_or_default();
        Self(number(major), number(minor))
    }

    /// From 3.0 on: references by labels alone, `rules` in the place of `from`, mutual TLS by MeshIdentity, and a backend that is not there
    /// is answered 500.
    pub(super) fn is_v3(self) -> bool {
        self >= Self(3, 0)
    }

    /// Whether ports that no Service leads to are closed where mutual TLS is asked for: from 2.13 on. Source: kuma `UPGRADE.md`.
    pub(super) fn closes_other_ports(self) -> bool {
        self >= Self(2, 13)
    }
}

/// The zone that everything is in: there is one control plane, and zones of a cluster's nodes are none of Kuma's.
pub(super) const ZONE: &str = "default";
/// The mesh of what names none.
pub(super) const DEFAULT_MESH: &str = "default";
/// Where the control plane runs, and policies that hold for everybody stand.
pub(super) const SYSTEM_NAMESPACE: &str = "kuma-system";
/// Which mesh an object or pod is part of.
pub(super) const MESH: &str = "kuma.io/mesh";

/// What every value falls back to, with the release as its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `default of kuma@…`.
    pub(super) origin: OriginId,
}

impl Defaults {
    pub(super) const fn of<T>(self, value: T) -> Sourced<T> {
        Sourced::new(value, self.origin)
    }

    /// Where a setting comes from: stock policies are the release's own and stand nowhere.
    pub(super) fn at(self, span: Span, cx: &mut Compile<'_>) -> OriginId {
        if span.is_nowhere() {
            self.origin
        } else {
            cx.origins.written(span)
        }
    }

    /// A setting with its origin.
    pub(super) fn sourced<T>(self, value: Spanned<T>, cx: &mut Compile<'_>) -> Sourced<T> {
        let origin = self.at(value.span, cx);
        Sourced::new(value.value, origin)
    }

    /// A setting with its origin, or what the release has.
    pub(super) fn or<T>(
        self,
        value: Option<Spanned<T>>,
        default: T,
        cx: &mut Compile<'_>,
    ) -> Sourced<T> {
        match value {
            Some(value) => self.sourced(value, cx),
            None => self.of(default),
        }
    }
}

/// The mesh that an object of these labels is part of.
///
/// Source: kuma 2.14 `pkg/plugins/runtime/k8s/util/util.go`, `MeshOfByLabelOrAnnotation`.
pub(super) fn mesh_of(
    labels: &crate::model::Labels,
    annotations: &crate::model::Labels,
    namespace: &str,
    cx: &Compile<'_>,
) -> Name {
    let own = labels.get(MESH).or_else(|| annotations.get(MESH));
    if let Some(mesh) = own.filter(|mesh| !mesh.is_empty()) {
        return mesh.clone();
    }
    let namespace = cx.objects.get("", "Namespace", "", namespace);
    let written =
        namespace.and_then(|object| object.label(MESH).or_else(|| object.annotation(MESH)));
    written
        .filter(|mesh| !mesh.value.is_empty())
        .map_or_else(|| DEFAULT_MESH.into(), |mesh| mesh.value.into())
}
