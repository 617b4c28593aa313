//! Whom settings of `to` are for.

use proxy_core::config::Name;

use super::registry::{Item, ItemPort};
use super::types::RefKind;
use crate::model::{Labels, selects};

/// A destination that settings are for.
#[derive(Clone, Debug)]
pub(super) enum To {
    /// Every one.
    Mesh,
    /// Some of the registry's.
    Items {
        kind: RefKind,
        by: By,
        section: Option<Name>,
    },
    /// Requests that a route takes.
    Route(By),
}

/// How something is meant.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// By namespace and name.
    Name(Name, Name),
    /// By labels.
    Labels(Labels),
}

/// A MeshHTTPRoute, as references mean it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RouteId {
    pub(super) namespace: Name,
    pub(super) name: Name,
    pub(super) labels: Labels,
}

impl By {
    fn takes(&self, namespace: &str, name: &str, labels: &Labels) -> bool {
        match self {
            Self::Name(own, wanted) => **own == *namespace && **wanted == *name,
            Self::Labels(wanted) => selects(wanted, labels),
        }
    }
}

impl To {
    /// Its place among targets, the less specific first. Source: kuma 2.14 `pkg/plugins/policies/core/rules/outbound/sort.go`.
    pub(super) fn rank(&self) -> (u8, bool) {
        match self {
            Self::Mesh => (1, false),
            Self::Items { kind, section, .. } => {
                let place = match kind {
                    RefKind::MeshExternalService => 6,
                    RefKind::MeshMultiZoneService => 7,
                    RefKind::MeshService
                    | RefKind::Mesh
                    | RefKind::Dataplane
                    | RefKind::MeshSubset
                    | RefKind::MeshGateway
                    | RefKind::MeshServiceSubset
                    | RefKind::MeshHTTPRoute => 5,
                };
                (place, *kind == RefKind::MeshService && section.is_some())
            }
            Self::Route(_) => (9, false),
        }
    }

    /// Whether settings are for a destination.
    pub(super) fn takes_item(&self, item: &Item) -> bool {
        match self {
            Self::Mesh => true,
            Self::Items { kind, by, .. } => {
                *kind == item.kind && by.takes(&item.namespace, &item.name, &item.labels)
            }
            Self::Route(_) => false,
        }
    }

    /// Whether settings are for a port of a destination.
    pub(super) fn takes(&self, item: &Item, port: &ItemPort) -> bool {
        let is_port = match self {
            Self::Items {
                section: Some(section),
                ..
            } => *section == port.name || **section == *port.number.to_string(),
            Self::Items { section: None, .. } | Self::Mesh | Self::Route(_) => true,
        };
        is_port && self.takes_item(item)
    }

    /// Whether settings are for the requests of a route and no others.
    pub(super) fn takes_route(&self, route: &RouteId) -> bool {
        match self {
            Self::Route(by) => by.takes(&route.namespace, &route.name, &route.labels),
            Self::Mesh | Self::Items { .. } => false,
        }
    }
}

/// What `name_namespace_svc_port` means, as Services are called by tags in 2.x: namespace, name and port.
///
/// Source: kuma 2.14 `pkg/plugins/policies/core/rules/resolve/targetref.go`, `parseService`.
pub(super) fn of_tag(tag: &str) -> Option<(Name, Name, Option<u16>)> {
    let parts: Vec<&str> = tag.split('_').collect();
    match parts[..] {
        [name, namespace, "svc"] => Some((namespace.into(), name.into(), None)),
        [name, namespace, "svc", port] => {
            let port = port.parse().ok()?;
            Some((namespace.into(), name.into(), Some(port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_mean_a_service_and_a_port() {
        let name = |text: &str| Name::from(text);
        for (tag, expected) in [
            (
                "web_shop_svc_80",
                Some((name("shop"), name("web"), Some(80))),
            ),
            ("web_shop_svc", Some((name("shop"), name("web"), None))),
            ("web_shop_svc_http", None),
            ("web", None),
            ("web_shop_80", None),
        ] {
            assert_eq!(of_tag(tag), expected, "{tag}");
        }
    }
}
