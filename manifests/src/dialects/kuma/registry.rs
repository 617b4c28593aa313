//! Destinations by which policies and routes are written: MeshServices, which Kuma makes of Services, and those that people write.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::dataplane::is_ignored;
use super::protocol::Protocol;
use super::release::{ZONE, mesh_of};
use super::types::RefKind;
use crate::dialects::Compile;
use crate::model::{Labels, Service, ServiceId, ServiceKind, TargetPort};
use crate::text::Span;

/// All destinations; their place in the list is their id.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    pub(super) items: Vec<Item>,
}

/// A destination.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// MeshService, MeshExternalService or MeshMultiZoneService.
    pub(super) kind: RefKind,
    pub(super) mesh: Name,
    pub(super) namespace: Name,
    pub(super) name: Name,
    pub(super) labels: Labels,
    pub(super) ports: Vec<ItemPort>,
    pub(super) behind: Behind,
    pub(super) span: Span,
    pub(super) origin: OriginId,
}

/// A port of a destination.
#[derive(Clone, Debug)]
pub(super) struct ItemPort {
    pub(super) number: u16,
    /// Its name, else its number.
    pub(super) name: Name,
    pub(super) protocol: Protocol,
    /// What is dialled on a pod.
    pub(super) target: TargetPort,
}

/// Who is behind a destination.
#[derive(Clone, Debug)]
pub(super) enum Behind {
    /// The proxies behind a Service.
    Service(ServiceId),
    /// Proxies with these labels.
    Proxies(Labels),
    /// Addresses outside.
    Outside(Vec<Outside>),
    /// Those behind other destinations, and their ports of the same number.
    Items(Vec<usize>),
}

/// An address outside.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    pub(super) address: Box<str>,
    pub(super) port: u16,
    pub(super) priority: u8,
}

impl Item {
    /// `namespace/name`.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The port of this name or number.
    pub(super) fn port(&self, section: &str) -> Option<&ItemPort> {
        let number = section.parse::<u16>().ok();
        let mut ports = self.ports.iter();
        ports.find(|port| *port.name == *section || Some(port.number) == number)
    }

    /// The port of this number.
    pub(super) fn port_at(&self, number: u16) -> Option<&ItemPort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

impl Registry {
    /// The Services that Kuma takes for destinations.
    ///
    /// Source: kuma 2.14 `pkg/plugins/runtime/k8s/controllers/meshservice_controller.go`.
    pub(super) fn of_services(cx: &Compile<'_>) -> Self {
        let services = cx.services.iter();
        let taken = services.filter(|service| {
            !is_ignored(service) && !matches!(service.kind, ServiceKind::ExternalName(_))
        });
        Self {
            items: taken.map(|service| item(service, cx)).collect(),
        }
    }

    /// The destination that a Service is.
    pub(super) fn of_service(&self, service: ServiceId) -> Option<usize> {
        let mut items = self.items.iter();
        items.position(|item| matches!(item.behind, Behind::Service(id) if id == service))
    }

    /// The destination of this kind and name.
    pub(super) fn named(&self, kind: RefKind, namespace: &str, name: &str) -> Option<usize> {
        let mut items = self.items.iter();
        items.position(|item| {
            item.kind == kind && *item.namespace == *namespace && *item.name == *name
        })
    }
}

fn item(service: &Service, cx: &Compile<'_>) -> Item {
    let mesh = mesh_of(
        &service.labels,
        &service.annotations,
        &service.namespace,
        cx,
    );
    let headless = matches!(service.kind, ServiceKind::Headless);
    let mut labels = service.labels.clone();
    labels.extend(own_labels(&mesh, &service.namespace, &service.name));
    let more = [
        ("k8s.kuma.io/service-name", &*service.name),
        ("kuma.io/managed-by", "k8s-controller"),
        (
            "k8s.kuma.io/is-headless-service",
            if headless { "true" } else { "false" },
        ),
    ];
    labels.extend(more.map(|(key, value)| (key.into(), value.into())));
    let ports = service.ports.iter().filter(|port| !port.udp);
    let ports = ports.map(|port| {
        let key = format!("{}.service.kuma.io/protocol", port.number);
        let annotation = service.annotations.get(key.as_str()).map(|value| &**value);
        ItemPort {
            number: port.number,
            name: port
                .name
                .clone()
                .unwrap_or_else(|| port.number.to_string().into()),
            protocol: Protocol::of_service_port(port.app_protocol.as_deref(), annotation),
            target: port.target.clone(),
        }
    });
    Item {
        kind: RefKind::MeshService,
        mesh,
        namespace: service.namespace.clone(),
        name: service.name.clone(),
        labels,
        ports: ports.collect(),
        behind: Behind::Service(service.id),
        span: service.span,
        origin: service.origin,
    }
}

/// The labels that the control plane gives to an object.
pub(super) fn own_labels(mesh: &str, namespace: &str, name: &str) -> Labels {
    let all = [
        ("kuma.io/display-name", name),
        ("k8s.kuma.io/namespace", namespace),
        ("kuma.io/mesh", mesh),
        ("kuma.io/zone", ZONE),
        ("kuma.io/env", "kubernetes"),
        ("kuma.io/origin", "zone"),
    ];
    let named = all.map(|(key, value)| (Name::from(key), Name::from(value)));
    Labels::from(named)
}
