//! ServiceEntry: hosts that Kubernetes does not know as Services.

use std::net::IpAddr;

use proxy_core::config::{Cidr, Name};

use super::export::Export;
use super::notes::{bad_value, labels, left_out, not_modelled};
use super::protocol::Protocol;
use super::registry::{Behind, EntryEndpoint, Host, Place, Port, Registry, single};
use super::types::{Document, EntryPort, Location, Resolution, ServiceEntry, WorkloadEntry};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::selects;
use crate::text::{Spanned, read};

/// Takes the hosts of an entry in.
pub(super) fn read_entry(object: &Object, registry: &mut Registry, cx: &mut Compile<'_>) {
    let Some(Document { spec, .. }) = read::<Document<ServiceEntry>>(&object.node, cx.diagnostics)
    else {
        return;
    };
    if spec.hosts.is_empty() {
        bad_value(
            object.name_span,
            "a ServiceEntry needs `hosts`",
            cx.diagnostics,
        );
    }
    if let (Some(_), Some(first)) = (&spec.workload_selector, spec.endpoints.first()) {
        let span = first
            .address
            .as_ref()
            .map_or(object.name_span, |at| at.span);
        bad_value(
            span,
            "`endpoints` and `workloadSelector` exclude each other",
            cx.diagnostics,
        );
    }
    not_modelled(
        spec.subject_alt_names,
        "`subjectAltNames`",
        "which names the server may prove is not looked at",
        cx.diagnostics,
    );
    let ports: Vec<Port> = spec
        .ports
        .iter()
        .filter_map(|written| port(written, cx))
        .collect();
    let addresses: Vec<Cidr> = spec
        .addresses
        .iter()
        .filter_map(|written| block(written, cx))
        .collect();
    for name in &spec.hosts {
        let behind = behind(&spec, name, object, cx);
        registry.add(Host {
            name: name.to_ascii_lowercase().into(),
            aliases: Vec::new(),
            namespace: object.key.namespace.as_str().into(),
            title: name.value.as_str().into(),
            ports: ports.clone(),
            addresses: addresses.clone(),
            behind,
            export: Export::of(&spec.export_to),
            external: spec
                .location
                .is_none_or(|location| location.value == Location::MeshExternal),
            nearest: Vec::new(),
            origin: cx.origins.written(name.span),
        });
    }
}

fn port(written: &EntryPort, cx: &mut Compile<'_>) -> Option<Port> {
    let protocol = match &written.protocol {
        None => Protocol::of_service_port(written.number.value, Some(&written.name), None),
        Some(word) => match Protocol::of_word(word) {
            Some(protocol) => protocol,
            None if word.is_empty() => Protocol::Detected,
            None => {
                if !word.eq_ignore_ascii_case("udp") {
                    cx.diagnostics.push(
                        Diagnostic::error("istio::bad-value", format!("`{word}` is no protocol"))
                            .label(word.span, "this value")
                            .help("write one of HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL"),
                    );
                }
                return None;
            }
        },
    };
    Some(Port {
        number: written.number.value,
        protocol,
        name: written.name.value.as_str().into(),
        target: written
            .target_port
            .map_or(written.number.value, |port| port.value),
    })
}

fn block(written: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Cidr> {
    let (address, bits) = match written.split_once('/') {
        Some((address, bits)) => (address, bits.parse().ok()),
        None => (written.as_str(), Some(u8::MAX)),
    };
    let parsed = address
        .parse::<IpAddr>()
        .ok()
        .zip(bits)
        .and_then(|(ip, bits)| {
            let most = single(ip).bits;
            let bits = if bits == u8::MAX { most } else { bits };
            (bits <= most).then_some(Cidr { address: ip, bits })
        });
    if parsed.is_none() {
        bad_value(
            written.span,
            format!("`{written}` is neither an address nor a block of addresses"),
            cx.diagnostics,
        );
    }
    parsed
}

fn behind(
    spec: &ServiceEntry,
    name: &Spanned<String>,
    object: &Object,
    cx: &mut Compile<'_>,
) -> Behind {
    if let Some(selector) = &spec.workload_selector {
        let wanted = labels(&selector.labels);
        let workloads = cx.workloads.iter().filter(|workload| {
            *workload.namespace == *object.key.namespace && selects(&wanted, &workload.labels)
        });
        return Behind::Workloads(workloads.map(|workload| workload.id).collect());
    }
    match spec.resolution.map_or(Resolution::None, |it| it.value) {
        Resolution::None => Behind::Dialled,
        Resolution::Static => endpoints(&spec.endpoints, object, cx),
        Resolution::DynamicDns => {
            left_out(
                name.span,
                "`resolution: DYNAMIC_DNS`",
                "requests go to the address that was dialled",
                cx.diagnostics,
            );
            Behind::Dialled
        }
        Resolution::Dns | Resolution::DnsRoundRobin if spec.endpoints.is_empty() => {
            let own = WorkloadEntry {
                address: Some(name.clone()),
                ..WorkloadEntry::default()
            };
            endpoints(&[own], object, cx)
        }
        Resolution::Dns | Resolution::DnsRoundRobin => endpoints(&spec.endpoints, object, cx),
    }
}

fn endpoints(written: &[WorkloadEntry], object: &Object, cx: &mut Compile<'_>) -> Behind {
    let found = written
        .iter()
        .filter_map(|entry| endpoint(entry, object, cx))
        .collect();
    Behind::Endpoints(found)
}

/// An endpoint at an address, or at a Service by its name; there is no other DNS to ask.
fn endpoint(
    written: &WorkloadEntry,
    object: &Object,
    cx: &mut Compile<'_>,
) -> Option<EntryEndpoint> {
    let address = written.address.as_ref()?;
    let at = match address.parse::<IpAddr>() {
        Ok(ip) => Place::Address(ip),
        Err(_) => {
            let Some(service) = cx.directory.service_named(address.trim_end_matches('.')) else {
                left_out(
                    address.span,
                    &format!("the DNS name `{address}`"),
                    "it has no address here, so calls are answered 503 without a try",
                    cx.diagnostics,
                );
                return None;
            };
            Place::Service(service)
        }
    };
    not_modelled(
        written.network,
        "`network`",
        "there is one network",
        cx.diagnostics,
    );
    let name = |text: &Spanned<String>| Name::from(text.value.as_str());
    let identity = written.service_account.as_ref().map(|account| {
        format!(
            "spiffe://cluster.local/ns/{}/sa/{account}",
            object.key.namespace
        )
        .into()
    });
    Some(EntryEndpoint {
        at,
        ports: written
            .ports
            .iter()
            .map(|(port, number)| (name(port), number.value))
            .collect(),
        labels: labels(&written.labels),
        locality: written.locality.as_ref().map_or_else(|| "".into(), name),
        weight: written.weight.map_or(1, |weight| weight.value.max(1)),
        identity,
    })
}
