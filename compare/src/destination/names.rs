//! What the names of clusters say, as the control planes of Envoy make them.

use proxy_core::config::{Cluster, Discovery};

use super::Destination;

/// Whoever was meant by the connection.
pub(super) const DIALLED: &str = "wherever it was dialled";
/// What stands behind a sidecar.
pub(super) const APPLICATION: &str = "the application";
/// Where nothing goes.
const NOWHERE: &str = "nowhere";

impl Destination {
    /// Whom a cluster leads to, by its name; where that says nothing, the cluster's service.
    #[must_use]
    pub fn of_cluster(cluster: &Cluster) -> Self {
        if let Some(found) = Self::of_name(&cluster.name) {
            return found;
        }
        match cluster.discovery {
            Discovery::OriginalDestination => Self::service(DIALLED, None),
            Discovery::Endpoints if cluster.service.is_empty() => {
                Self::service(&*cluster.name, None)
            }
            Discovery::Endpoints => Self::service(&*cluster.service, None),
        }
    }

    /// Whom a cluster of this name leads to, where its name is one that Istio, Consul or Kuma make.
    ///
    /// Source: istio 1.29 `pilot/pkg/model/push_context.go` (`BuildSubsetKey`, `BuildDNSSrvSubsetKey`); hashicorp/consul 1.21
    /// `agent/connect/sni.go`; kuma 2.14 `pkg/core/resources/apis/core/destinationname`, `pkg/xds/envoy/names`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        of_istio(name)
            .or_else(|| of_consul(name))
            .or_else(|| of_kuma(name))
    }

    /// The Service that a host name stands for: `cart.shop.svc.cluster.local` is `shop/cart`; any other stands for itself.
    #[must_use]
    pub fn of_host(host: &str, port: Option<u16>) -> Self {
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut labels = host.split('.');
        let service = match (labels.next(), labels.next(), labels.next()) {
            (Some(name), Some(namespace), Some("svc")) if !name.is_empty() => {
                format!("{namespace}/{name}")
            }
            _ => host.to_owned(),
        };
        Self::service(service, port)
    }
}

fn of_istio(name: &str) -> Option<Destination> {
    match name {
        "PassthroughCluster"
        | "InboundPassthroughCluster"
        | "InboundPassthroughClusterIpv4"
        | "InboundPassthroughClusterIpv6" => return Some(Destination::service(DIALLED, None)),
        "BlackHoleCluster" => return Some(Destination::service(NOWHERE, None)),
        _ => {}
    }
    let parts: Vec<&str> = if name.contains('|') {
        name.split('|').collect()
    } else {
        name.split("_.")
            .map(|part| part.trim_matches('.'))
            .collect()
    };
    let [direction, port, subset, host, ..] = parts[..] else {
        return None;
    };
    let port = port.parse().ok()?;
    match direction {
        "outbound" => Some(Destination {
            subset: subset.to_owned(),
            ..Destination::of_host(host, Some(port))
        }),
        "inbound" => Some(Destination::service(APPLICATION, Some(port))),
        _ => None,
    }
}

fn of_consul(name: &str) -> Option<Destination> {
    match name {
        "local_app" => return Some(Destination::service(APPLICATION, None)),
        "original-destination" | "passed" => return Some(Destination::service(DIALLED, None)),
        _ => {}
    }
    let name = name.rsplit_once('~').map_or(name, |(_, name)| name);
    if !name.ends_with(".consul") {
        return None;
    }
    let labels: Vec<&str> = name.split('.').collect();
    let is_mark = |label: &&str| matches!(*label, "internal" | "internal-v1" | "external");
    let at = labels.iter().position(is_mark)?;
    let (of, mark) = (&labels[..at.checked_sub(1)?], labels[at]);
    let (subset, service, namespace) = match (mark, of) {
        ("internal", [service, namespace]) => ("", *service, *namespace),
        ("internal", [subset, service, namespace]) => (*subset, *service, *namespace),
        ("internal-v1", [service, namespace, _]) => ("", *service, *namespace),
        ("internal-v1", [subset, service, namespace, _]) => (*subset, *service, *namespace),
        ("external", [service, namespace, ..]) => ("", *service, *namespace),
        _ => return None,
    };
    let service = match namespace {
        "default" => service.to_owned(),
        _ => format!("{namespace}/{service}"),
    };
    Some(Destination {
        subset: subset.to_owned(),
        ..Destination::service(service, None)
    })
}

fn of_kuma(name: &str) -> Option<Destination> {
    for application in ["localhost:", "localhost_", "inbound:"] {
        let port = name.strip_prefix(application);
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            return Some(Destination::service(APPLICATION, Some(port)));
        }
    }
    let passed = [
        "outbound:passthrough",
        "inbound:passthrough",
        "meshpassthrough_",
    ];
    if passed.iter().any(|start| name.starts_with(start)) {
        return Some(Destination::service(DIALLED, None));
    }
    if let Some(rest) = name.strip_prefix("kri_") {
        // kri_msvc_mesh_zone_namespace_name_port
        let parts: Vec<&str> = rest.split('_').collect();
        let [_, _, _, namespace, service, port] = parts[..] else {
            return None;
        };
        let service = match namespace {
            "" => service.to_owned(),
            _ => format!("{namespace}/{service}"),
        };
        return Some(Destination::service(service, port.parse().ok()));
    }
    let (name, subset) = match name.split_once('[') {
        Some((name, subset)) => (name, subset.trim_end_matches(']')),
        None => (name, ""),
    };
    let parts: Vec<&str> = name.split('_').collect();
    let (service, namespace, port) = match parts[..] {
        // a hash after the port tells splits of one service apart
        [service, namespace, "svc" | "extsvc" | "mzsvc", port] => {
            (service, namespace, port.split('-').next().unwrap_or(port))
        }
        [_, service, namespace, _, "msvc" | "mzsvc" | "extsvc", port] => (service, namespace, port),
        _ => return None,
    };
    Some(Destination {
        subset: subset.to_owned(),
        ..Destination::service(format!("{namespace}/{service}"), Some(port.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_name_says_whom_it_leads_to() {
        for (name, expected) in [
            ("outbound|80||cart.shop.svc.cluster.local", "shop/cart:80"),
            (
                "outbound|80|v1|cart.shop.svc.cluster.local",
                "shop/cart:80 {v1}",
            ),
            (
                "outbound|80||cart.shop.svc.cluster.local|bytes",
                "shop/cart:80",
            ),
            (
                "outbound_.80_.v1_.cart.shop.svc.cluster.local",
                "shop/cart:80 {v1}",
            ),
            ("outbound|443||api.example.com", "api.example.com:443"),
            ("inbound|9080||", "the application:9080"),
            (
                "inbound|9080|http|cart.shop.svc.cluster.local",
                "the application:9080",
            ),
            ("PassthroughCluster", "wherever it was dialled"),
            ("BlackHoleCluster", "nowhere"),
            (
                "cart.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul",
                "cart",
            ),
            (
                "v1.cart.shop.dc1.internal.11111111-2222-3333-4444-555555555555.consul",
                "shop/cart {v1}",
            ),
            ("custom~cart.default.dc1.internal.cluster.consul", "cart"),
            (
                "v1.cart.ns.ap.dc1.internal-v1.cluster.consul",
                "ns/cart {v1}",
            ),
            ("local_app", "the application"),
            ("original-destination", "wherever it was dialled"),
            ("cart_shop_svc_80", "shop/cart:80"),
            ("cart_shop_svc_80-9f1e", "shop/cart:80"),
            ("cart_shop_svc_80[version=v1]", "shop/cart:80 {version=v1}"),
            ("default_cart_shop_zone-1_msvc_80", "shop/cart:80"),
            ("kri_msvc_default_zone-1_shop_cart_80", "shop/cart:80"),
            ("localhost:8080", "the application:8080"),
            ("outbound:passthrough:ipv4", "wherever it was dialled"),
        ] {
            let found = Destination::of_name(name).map(|it| it.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn other_names_stand_for_themselves() {
        for name in [
            "",
            "orders",
            "outbound|http||x",
            "a_b_c",
            "x.consul",
            "kri_",
            "|||",
            "a|1|b|c",
        ] {
            assert_eq!(Destination::of_name(name), None, "{name}");
        }
        let cluster = Cluster::envoy("orders", proxy_core::config::EndpointSet::default());
        assert_eq!(Destination::of_cluster(&cluster).to_string(), "orders");
    }
}
