//! Names as Istio completes and compares them.

use std::net::IpAddr;

/// The gateway that stands for all sidecars.
pub(in super::super) const MESH: &str = "mesh";

/// A host with its namespace, where it was left out: only a name without any dot is completed.
///
/// `reviews` of `default` becomes `reviews.default.svc.cluster.local`; `reviews.default` stays, and is no Service.
/// Source: istio `pilot/pkg/model/config.go` (`ResolveShortnameToFQDN`).
pub(in super::super) fn complete(host: &str, namespace: &str) -> String {
    if host == "*" || host.contains('.') || host.parse::<IpAddr>().is_ok() {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// A gateway as `namespace/name`: of the same namespace unless written (`namespace/name`, `./name` or `name.namespace…`).
///
/// Source: istio `pilot/pkg/model/config.go` (`resolveGatewayName`).
pub(in super::super) fn complete_gateway(name: &str, namespace: &str) -> String {
    if name == MESH {
        return name.to_owned();
    }
    match (name.split_once('/'), name.split_once('.')) {
        (Some((".", name)), _) => format!("{namespace}/{name}"),
        (Some(_), _) => name.to_owned(),
        (None, Some((name, rest))) => {
            let namespace = rest.split('.').next().unwrap_or(rest);
            format!("{namespace}/{name}")
        }
        (None, None) => format!("{namespace}/{name}"),
    }
}

/// Whether a host is a wildcard.
pub(in super::super) fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether every host that `inner` takes is taken by `outer`.
///
/// Source: istio `pkg/config/host/name.go` (`SubsetOf`).
pub(in super::super) fn is_within(inner: &str, outer: &str) -> bool {
    match (inner.strip_prefix('*'), outer.strip_prefix('*')) {
        (None, None) => inner == outer,
        (Some(inner), Some(outer)) => inner.ends_with(outer),
        (None, Some(outer)) => inner.ends_with(outer),
        (Some(_), None) => false,
    }
}

/// What two hosts have in common: the narrower of the two, if it lies within the other.
pub(in super::super) fn intersection<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if is_within(one, other) {
        Some(one)
    } else if is_within(other, one) {
        Some(other)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_dot_are_completed() {
        for (host, full) in [
            ("reviews", "reviews.shop.svc.cluster.local"),
            ("reviews.default", "reviews.default"),
            ("api.example.com", "api.example.com"),
            ("*", "*"),
            ("*.example.com", "*.example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
        ] {
            assert_eq!(complete(host, "shop"), full, "{host}");
        }
    }

    #[test]
    fn gateways_are_of_the_same_namespace_unless_written() {
        for (name, full) in [
            ("mesh", "mesh"),
            ("public", "shop/public"),
            ("./public", "shop/public"),
            ("edge/public", "edge/public"),
            ("public.edge", "edge/public"),
            ("public.edge.svc.cluster.local", "edge/public"),
        ] {
            assert_eq!(complete_gateway(name, "shop"), full, "{name}");
        }
    }

    #[test]
    fn the_narrower_of_two_hosts_is_what_they_share() {
        for (one, other, shared) in [
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("a.example.com", "*", Some("a.example.com")),
            ("*.example.com", "*.com", Some("*.example.com")),
            ("*", "*", Some("*")),
            ("a.example.com", "b.example.com", None),
            ("example.com", "*.example.com", None),
            ("*.a.com", "*.b.com", None),
        ] {
            assert_eq!(intersection(one, other), shared, "{one} {other}");
            assert_eq!(intersection(other, one), shared, "{other} {one}");
        }
    }
}
