//! TCPMappings: connections that are carried as bytes.
//!
//! Source: emissary `python/ambassador/src/ambassador/ir/{irtcpmapping,irtcpmappinggroup}.py`.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::breakers::Breakers;
use super::groups::shares;
use super::mapping::{Origination, Reader};
use super::read::{key, sorted};
use super::resolvers::{self, Resolver};
use super::service::Target;
use super::types::{Document, TcpMappingSpec};
use super::version::Version;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::text::{Present, Span, Spanned, read};

/// TCPMappings of one port and server name.
#[derive(Clone, Debug)]
pub(super) struct TcpGroup {
    pub(super) port: u16,
    /// The server name; none: TLS is of no account.
    pub(super) host: Option<String>,
    pub(super) mappings: Vec<TcpMapping>,
    /// What each counts against the others.
    pub(super) weights: Vec<u32>,
    pub(super) origin: OriginId,
}

/// One TCPMapping.
#[derive(Clone, Debug)]
pub(super) struct TcpMapping {
    pub(super) name: String,
    pub(super) namespace: Name,
    pub(super) target: Target,
    pub(super) resolver: Resolver,
    pub(super) origination: Option<Origination>,
    pub(super) breakers: Option<Breakers>,
    pub(super) tag: Option<String>,
    weight: Option<Spanned<u32>>,
    span: Span,
    pub(super) origin: OriginId,
}

/// All groups, those that are asked first at the front.
pub(super) fn groups(reader: &mut Reader<'_, '_>) -> Vec<TcpGroup> {
    let objects = sorted(reader.cx.objects, reader.install, "TCPMapping");
    let mut places: BTreeMap<(u16, Option<String>), usize> = BTreeMap::new();
    let mut groups: Vec<TcpGroup> = Vec::new();
    for object in objects {
        if Version::of(object, reader.cx.diagnostics).is_none() {
            continue;
        }
        let document = read::<Document<TcpMappingSpec>>(&object.node, reader.cx.diagnostics);
        let Some(document) = document else { continue };
        let Some((port, host, mapping)) = mapping(object, &document.spec, reader) else {
            continue;
        };
        let place = *places.entry((port, host.clone())).or_insert(groups.len());
        if place == groups.len() {
            groups.push(TcpGroup {
                port,
                host,
                mappings: Vec::new(),
                weights: Vec::new(),
                origin: mapping.origin,
            });
        }
        let group = &mut groups[place];
        if let Some(first) = group.mappings.first()
            && (first.breakers != mapping.breakers
                || (mapping.origination.is_some() && first.origination != mapping.origination))
        {
            let message = format!(
                "Emissary leaves the TCPMapping {} out: it shares its connections with {}, and differs in `circuit_breakers` or `tls`",
                mapping.name, first.name
            );
            reader.cx.diagnostics.push(
                Diagnostic::warning("emissary::left-out", message)
                    .label(mapping.span, "left out")
                    .label(first.span, "the first of the group"),
            );
            continue;
        }
        group.mappings.push(mapping);
    }
    for group in &mut groups {
        weigh(group, reader);
    }
    groups.reverse();
    groups
}

/// What each of a group counts. Emissary gives Envoy the sums of shares up to each in the place of the shares.
///
/// Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3listener.py` (`finalize_tcp`).
fn weigh(group: &mut TcpGroup, reader: &mut Reader<'_, '_>) {
    if group.mappings.len() < 2 {
        group.weights = vec![100; group.mappings.len()];
        return;
    }
    let written: Vec<_> = group
        .mappings
        .iter()
        .map(|it| it.weight)
        .enumerate()
        .collect();
    let members = shares(&written, reader.cx);
    let ordered = members.iter().map(|it| group.mappings[it.mapping].clone());
    group.mappings = ordered.collect();
    group.weights = members.iter().map(|it| it.up_to).collect();
    let total: u32 = group.weights.iter().sum();
    let shares: Vec<String> = group
        .weights
        .iter()
        .zip(&group.mappings)
        .map(|(weight, mapping)| {
            let share = f64::from(*weight) * 100.0 / f64::from(total.max(1));
            format!("{} {share:.1} %", mapping.name)
        })
        .collect();
    let mut warning = Diagnostic::warning(
        "emissary::tcp-weight",
        format!(
            "Emissary weighs TCPMappings by the sums of their weights: {}",
            shares.join(", ")
        ),
    );
    for mapping in &group.mappings {
        let span = mapping.weight.map_or(mapping.span, |it| it.span);
        warning = warning.label(span, "one of them");
    }
    reader.cx.diagnostics.push(warning);
}

fn mapping(
    object: &Object,
    spec: &TcpMappingSpec,
    reader: &mut Reader<'_, '_>,
) -> Option<(u16, Option<String>, TcpMapping)> {
    let mut needs = |what: &str, is_there: bool| {
        if !is_there {
            let message = format!("a TCPMapping needs `{what}`");
            reader.cx.diagnostics.push(
                Diagnostic::error("emissary::missing", message)
                    .label(object.name_span, "without it"),
            );
        }
    };
    let service = spec.service.as_ref().filter(|it| !it.is_empty());
    needs("port", spec.port.is_some());
    needs("service", service.is_some());
    let (port, service) = (spec.port?.value, service?);
    tell(spec, reader.cx.diagnostics);
    let namespace = object.key.namespace.as_str();
    let version = match object.version.as_str() {
        "v3alpha1" => Version::New,
        _ => Version::Old,
    };
    let of_module = reader.module.resolver.as_ref();
    let own = spec.resolver.as_ref();
    let resolver = resolvers::find(reader.resolvers, own, of_module, reader.cx)?;
    let origination = reader.origination(spec.tls.as_ref(), version)?;
    let target = reader.target(service, namespace, resolver, origination.as_ref())?;
    let breakers = spec.circuit_breakers.as_ref();
    let breakers = breakers.or(reader.module.circuit_breakers.as_ref());
    let host = spec.host.as_ref().filter(|host| !host.is_empty());
    let mapping = TcpMapping {
        name: key(object),
        namespace: namespace.into(),
        target,
        resolver,
        origination,
        breakers: breakers.map(|it| Breakers::read(it, reader.cx.diagnostics)),
        tag: spec.cluster_tag.as_ref().map(|tag| tag.value.clone()),
        weight: spec.weight,
        span: object.name_span,
        origin: reader.cx.origins.written(object.name_span),
    };
    Some((port, host.map(|host| host.to_ascii_lowercase()), mapping))
}

fn tell(spec: &TcpMappingSpec, out: &mut Diagnostics) {
    let mut note = |field: Option<Present>, what: &str, meaning: &str| {
        if let Some(field) = field {
            out.push(
                Diagnostic::not_modelled("emissary::not-modelled", what, meaning)
                    .label(field.span, ""),
            );
        }
    };
    let meaning = "names are resolved to what the manifests have";
    note(spec.enable_ipv4, "`enable_ipv4`", meaning);
    note(spec.enable_ipv6, "`enable_ipv6`", meaning);
    if let Some(address) = spec.address.as_ref().filter(|it| !it.is_empty()) {
        out.push(
            Diagnostic::not_modelled(
                "emissary::not-modelled",
                "`address`",
                "the port listens on every address of the pod",
            )
            .label(address.span, ""),
        );
    }
    if let Some(idle) = spec.idle_timeout_ms {
        out.push(
            Diagnostic::warning("emissary::ignored", "Emissary makes nothing of this field")
                .label(idle.span, "silent connections are closed after an hour"),
        );
    }
}
