//! Endpoints: those with addresses, and those that somebody must resolve.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::config::{DiscoveredHealth, Endpoint, EndpointSet, Name};
use proxy_core::time::Duration;

use super::compile::{Cx, HostPort};
use super::types::{self, DiscoveryType, HealthStatus};
use crate::text::{Node, Span};

/// An endpoint by name, to be resolved and then added to its cluster's endpoints.
#[derive(Clone, PartialEq, Debug)]
pub struct Unresolved {
    /// The cluster that it is of.
    pub cluster: Name,
    /// The name.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Which of its addresses count.
    pub resolution: Resolution,
    /// Of which family its addresses are to be.
    pub family: LookupFamily,
    /// How often it is resolved anew. Envoy: 5 s.
    pub refresh: Duration,
    /// Drawn on top of that, up to this.
    pub jitter: Duration,
    /// The bound of the pause after a first failure, which doubles with each, and what it doubles up to; none: as usual.
    pub failure: Option<(Duration, Duration)>,
    /// Everything but the address, which is unspecified.
    pub endpoint: Endpoint,
}

/// Which addresses of a name count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// Each is an endpoint (Envoy: `STRICT_DNS`).
    All,
    /// The first of each answer is the one for new connections (Envoy: `LOGICAL_DNS`).
    First,
}

/// Of which family the addresses of a name are to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupFamily {
    /// Those of IPv6 if there are any, else those of IPv4 (Envoy: `AUTO`).
    Auto,
    /// IPv4.
    V4Only,
    /// IPv6.
    V6Only,
    /// Those of IPv4 if there are any, else those of IPv6.
    V4Preferred,
    /// Both.
    All,
}

/// How names are asked for.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    pub(super) family: LookupFamily,
    pub(super) refresh: Duration,
    pub(super) jitter: Duration,
    pub(super) failure: Option<(Duration, Duration)>,
}

/// What endpoints need to know of their cluster.
pub(super) struct Of<'a> {
    pub(super) cluster: &'a str,
    pub(super) kind: DiscoveryType,
    pub(super) asking: Asking,
}

/// The endpoints of an assignment, and its over-provisioning factor.
#[derive(Default)]
pub(super) struct Assignment {
    pub(super) endpoints: EndpointSet,
    pub(super) overprovisioning: Option<u32>,
}

/// `region/zone/subzone`, without what is empty at the end.
pub(super) fn locality(written: &types::Locality) -> Name {
    let parts = [&*written.region, &*written.zone, &*written.sub_zone];
    parts.join("/").trim_end_matches('/').into()
}

/// Labels of the filter `envoy.lb`, which subsets go by.
pub(super) fn labels(metadata: &types::Metadata) -> Vec<(Name, Name)> {
    let balancer = metadata.filter_metadata.get("envoy.lb");
    balancer.map(labels_of).unwrap_or_default()
}

/// Labels as they stand in a `Struct`.
pub(super) fn labels_of(written: &Node) -> Vec<(Name, Name)> {
    let entries = written.as_map().map_or(&[][..], |map| map.entries());
    let text = |node: &Node| match &node.value {
        crate::text::Value::Bool(value) => Some(value.to_string()),
        crate::text::Value::Int(value) => Some(value.to_string()),
        crate::text::Value::Float(value) => Some(value.to_string()),
        crate::text::Value::String(value) => Some(value.clone()),
        crate::text::Value::Null | crate::text::Value::Seq(_) | crate::text::Value::Map(_) => None,
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.text.as_str().into(), text(&entry.value)?.into())))
        .collect()
}

/// Compiles a load assignment.
pub(super) fn assignment(node: &Node, of: &Of<'_>, cx: &mut Cx<'_>) -> Assignment {
    let mut assignment = Assignment::default();
    let Some(written) = cx.read::<types::LoadAssignment>(node) else {
        return assignment;
    };
    let policy: Option<types::AssignmentPolicy> = cx.read_maybe(written.policy.as_ref());
    let factor = policy.and_then(|policy| policy.overprovisioning_factor);
    if let Some(factor) = factor {
        if factor.value.0 == 0 {
            cx.refuse(factor.span, "must be above 0");
        }
        assignment.overprovisioning = Some(factor.value.0);
    }
    for node in &written.endpoints {
        locality_endpoints(node, of, &mut assignment.endpoints, cx);
    }
    assignment
}

fn locality_endpoints(node: &Node, of: &Of<'_>, set: &mut EndpointSet, cx: &mut Cx<'_>) {
    let Some(written) = cx.read::<types::LocalityEndpoints>(node) else {
        return;
    };
    let locality = written
        .locality
        .as_ref()
        .map_or_else(|| "".into(), locality);
    let priority = written.priority.map_or(0, |priority| priority.value.0);
    let Ok(priority) = u8::try_from(priority).map_err(|_| ()) else {
        let span = written
            .priority
            .map_or(Span::NOWHERE, |priority| priority.span);
        cx.refuse(span, "must be from 0 to 128");
        return;
    };
    if let Some(weight) = written.load_balancing_weight {
        set.locality_weights
            .push((Arc::clone(&locality), priority, weight.0));
    }
    for node in &written.lb_endpoints {
        let template = Endpoint {
            locality: Arc::clone(&locality),
            priority,
            ..Endpoint::at(SocketAddr::from(([0, 0, 0, 0], 0)))
        };
        endpoint(node, template, of, set, cx);
    }
}

fn endpoint(
    node: &Node,
    template: Endpoint,
    of: &Of<'_>,
    set: &mut EndpointSet,
    cx: &mut Cx<'_>,
) -> Option<()> {
    let written: types::LbEndpoint = cx.read(node)?;
    let inner: types::Endpoint = cx.read_maybe(written.endpoint.as_ref())?;
    let Some(address) = &inner.address else {
        cx.refuse(node.span, "an endpoint needs an `address`");
        return None;
    };
    let at = cx.address(address)?;
    let weight = written.load_balancing_weight;
    if let Some(weight) = weight.filter(|weight| weight.value.0 == 0) {
        cx.refuse(weight.span, "must be at least 1");
    }
    // what is resolved is called by the name that it was resolved from, what is not has no name of itself
    let is_resolved = matches!(
        of.kind,
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns
    );
    let hostname = if is_resolved && inner.hostname.is_empty() {
        &at.host.value
    } else {
        &inner.hostname
    };
    let labels = written.metadata.as_ref().map(labels).unwrap_or_default();
    let canary = labels
        .iter()
        .any(|(key, value)| &**key == "canary" && &**value == "true");
    let endpoint = Endpoint {
        hostname: hostname.as_str().into(),
        weight: weight.map_or(1, |weight| weight.value.0),
        health: match written.health_status {
            HealthStatus::Unknown | HealthStatus::Healthy => DiscoveredHealth::Healthy,
            HealthStatus::Unhealthy | HealthStatus::Timeout => DiscoveredHealth::Unhealthy,
            HealthStatus::Draining => DiscoveredHealth::Draining,
            HealthStatus::Degraded => {
                let meaning = "the endpoint counts as healthy";
                cx.left_out(node.span, "the health status `DEGRADED`", meaning);
                DiscoveredHealth::Healthy
            }
        },
        labels: labels.into(),
        canary,
        ..template
    };
    add(at, endpoint, of, set, node.span, cx);
    Some(())
}

fn add(
    at: HostPort,
    endpoint: Endpoint,
    of: &Of<'_>,
    set: &mut EndpointSet,
    span: Span,
    cx: &mut Cx<'_>,
) {
    let resolution = match of.kind {
        DiscoveryType::StrictDns => Resolution::All,
        DiscoveryType::LogicalDns => Resolution::First,
        DiscoveryType::Static | DiscoveryType::Eds | DiscoveryType::OriginalDst => {
            let Some(address) = at.literal() else {
                let message = format!(
                    "`{}` is no IP address: a static cluster resolves no names",
                    at.host
                );
                cx.refuse(at.host.span, message);
                return;
            };
            push(
                Endpoint {
                    address,
                    ..endpoint
                },
                set,
                span,
                cx,
            );
            return;
        }
    };
    match at.literal() {
        Some(address) => push(
            Endpoint {
                address,
                ..endpoint
            },
            set,
            span,
            cx,
        ),
        None => cx.unresolved.push(Unresolved {
            cluster: of.cluster.into(),
            host: at.host.value.into(),
            port: at.port,
            resolution,
            family: of.asking.family,
            refresh: of.asking.refresh,
            jitter: of.asking.jitter,
            failure: of.asking.failure,
            endpoint,
        }),
    }
}

/// An address stands once; of two Envoy keeps the first.
fn push(endpoint: Endpoint, set: &mut EndpointSet, span: Span, cx: &mut Cx<'_>) {
    if set
        .endpoints
        .iter()
        .any(|other| other.address == endpoint.address)
    {
        let what = format!("the address `{}` a second time", endpoint.address);
        cx.left_out(span, &what, "the first counts");
        return;
    }
    set.endpoints.push(endpoint);
}
