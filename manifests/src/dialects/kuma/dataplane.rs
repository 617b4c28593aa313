//! Workloads as policies see them.

use proxy_core::config::Name;

use super::protocol::Protocol;
use super::release::{MESH, ZONE, mesh_of};
use crate::dialects::Compile;
use crate::model::{Labels, Service, ServiceId, Workload};

/// Labelled or annotated with this, a Service or pod is none of Kuma's.
const IGNORE: &str = "kuma.io/ignore";
/// On pods: a gateway of another system, whose arriving traffic is its own.
pub(super) const GATEWAY: &str = "kuma.io/gateway";

/// The proxy beside a workload.
#[derive(Clone, Debug)]
pub(super) struct Dataplane<'a> {
    pub(super) workload: &'a Workload,
    /// Its mesh.
    pub(super) mesh: Name,
    /// What references by labels go by.
    pub(super) labels: Labels,
    /// A gateway of another system: nothing is done to what arrives.
    pub(super) is_gateway: bool,
    /// Ports that Services lead to, in the order of the Services' names.
    pub(super) inbounds: Vec<Inbound>,
}

/// A port of the pods that a Service leads to.
#[derive(Clone, Debug)]
pub(super) struct Inbound {
    /// The pods' port.
    pub(super) number: u16,
    /// What policies for one port call it: the container's name for it, else its number.
    ///
    /// Source: kuma 2.14 `pkg/plugins/runtime/k8s/util/util.go` (`FindPort`), `api/mesh/v1alpha1/dataplane_helpers.go` (`GetSectionName`).
    pub(super) name: Name,
    pub(super) protocol: Protocol,
    pub(super) service: ServiceId,
    /// What references by tags go by (2.x).
    pub(super) tags: Labels,
}

impl<'a> Dataplane<'a> {
    pub(super) fn of(workload: &'a Workload, cx: &Compile<'_>) -> Self {
        let mut services: Vec<&Service> = cx
            .services
            .iter()
            .filter(|service| service.workloads.contains(&workload.id) && !is_ignored(service))
            .collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let inbounds = services
            .iter()
            .flat_map(|service| inbounds(service, workload));
        Self {
            inbounds: inbounds.collect(),
            ..Self::without_ports(workload, cx)
        }
    }

    /// The same without its ports, for what does not depend on them.
    pub(super) fn without_ports(workload: &'a Workload, cx: &Compile<'_>) -> Self {
        let mesh = mesh_of(
            &workload.labels,
            &workload.annotations,
            &workload.namespace,
            cx,
        );
        let gateway = workload.annotations.get(GATEWAY).map(|value| &**value);
        let is_gateway = matches!(gateway, Some("enabled" | "true" | "yes"));
        let mut labels = workload.labels.clone();
        let own = [
            (MESH, &*mesh),
            ("kuma.io/zone", ZONE),
            ("kuma.io/env", "kubernetes"),
            ("kuma.io/origin", "zone"),
            ("k8s.kuma.io/namespace", &workload.namespace),
            ("k8s.kuma.io/service-account", &workload.service_account),
            (
                "kuma.io/proxy-type",
                if is_gateway { "gateway" } else { "sidecar" },
            ),
        ];
        labels.extend(own.map(|(key, value)| (key.into(), value.into())));
        // the workload is that of the label, else the service account's
        labels
            .entry("kuma.io/workload".into())
            .or_insert_with(|| workload.service_account.clone());
        Self {
            workload,
            mesh,
            labels,
            is_gateway,
            inbounds: Vec::new(),
        }
    }

    /// The port of this number.
    pub(super) fn inbound(&self, number: u16) -> Option<&Inbound> {
        self.inbounds
            .iter()
            .find(|inbound| inbound.number == number)
    }

    /// The tags that one of its ports must have (2.x); pods behind no Service have tags, too.
    pub(super) fn has_tags(&self, wanted: &Labels) -> bool {
        if self.inbounds.is_empty() {
            let tags = serviceless_tags(self.workload);
            return has_tags(&tags, wanted);
        }
        let mut all = self.inbounds.iter();
        all.any(|inbound| has_tags(&inbound.tags, wanted))
    }

    /// `kuma.io/service` of its first port, by which it is called in 2.x.
    pub(super) fn service_tag(&self) -> Name {
        let first = self.inbounds.first();
        let tag = first.and_then(|inbound| inbound.tags.get("kuma.io/service").cloned());
        tag.unwrap_or_else(|| {
            format!("{}_{}_svc", self.workload.name, self.workload.namespace).into()
        })
    }
}

/// Whether tags have all that is asked for; `*` asks for any value.
///
/// Source: kuma 2.14 `api/mesh/v1alpha1/dataplane_helpers.go`, `TagSelector.Matches`.
pub(super) fn has_tags(tags: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| {
        let own = tags.get(key);
        own == Some(value) || (&**value == "*" && own.is_some())
    })
}

/// Whether Kuma has nothing to do with a Service.
pub(super) fn is_ignored(service: &Service) -> bool {
    let says = |labels: &Labels| matches!(labels.get(IGNORE).map(|it| &**it), Some("true" | "yes"));
    says(&service.labels) || says(&service.annotations)
}

fn inbounds(service: &Service, workload: &Workload) -> Vec<Inbound> {
    let ports = service.ports.iter().filter(|port| !port.udp);
    ports
        .filter_map(|port| {
            let number = workload.target_port(&port.target)?;
            let key = format!("{}.service.kuma.io/protocol", port.number);
            let annotation = service.annotations.get(key.as_str()).map(|value| &**value);
            let protocol = Protocol::of_service_port(port.app_protocol.as_deref(), annotation);
            let mut declared = workload.ports.iter().filter(|it| it.number == number);
            let name = declared.find_map(|it| it.name.clone());
            let name = name.unwrap_or_else(|| number.to_string().into());
            let mut tags = pod_tags(workload);
            let own = [
                ("k8s.kuma.io/namespace", workload.namespace.to_string()),
                ("k8s.kuma.io/service-name", service.name.to_string()),
                ("k8s.kuma.io/service-port", port.number.to_string()),
                ("kuma.io/service", service_tag(service, port.number)),
                ("kuma.io/protocol", protocol.name().to_owned()),
                ("kuma.io/zone", ZONE.to_owned()),
            ];
            tags.extend(own.map(|(key, value)| (key.into(), value.into())));
            Some(Inbound {
                number,
                name,
                protocol,
                service: service.id,
                tags,
            })
        })
        .collect()
}

/// What a port of a Service is called in 2.x.
pub(super) fn service_tag(service: &Service, port: u16) -> String {
    format!("{}_{}_svc_{port}", service.name, service.namespace)
}

fn pod_tags(workload: &Workload) -> Labels {
    let labels = workload.labels.iter();
    labels
        .filter(|(key, value)| !value.is_empty() && !key.contains("kuma.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn serviceless_tags(workload: &Workload) -> Labels {
    let mut tags = pod_tags(workload);
    let service = format!("{}_{}_svc", workload.name, workload.namespace);
    let own = [
        ("k8s.kuma.io/namespace", workload.namespace.to_string()),
        ("kuma.io/service", service),
        ("kuma.io/protocol", "tcp".to_owned()),
        ("kuma.io/zone", ZONE.to_owned()),
    ];
    tags.extend(own.map(|(key, value)| (key.into(), value.into())));
    tags
}
