//! Where copies of requests go.

use proxy_core::config::{
    Balancer, Cluster, ClusterIndex, Endpoint, EndpointSet, Limits, UpstreamTransport,
};
use proxy_core::origin::Sourced;

use super::clusters::Clusters;
use super::policy::IngressPolicy;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{Destination, Members, Upstream};
use crate::text::Spanned;

/// The cluster of `mirror-target`; none: there are no copies.
///
/// Source: `internal/ingress/annotations/mirror/main.go`, `buildMirrorLocations`.
pub(super) fn cluster(
    ingress: &IngressPolicy,
    clusters: &mut Clusters,
    cx: &mut Compile<'_>,
) -> Option<ClusterIndex> {
    let target = ingress.notes.text("mirror-target")?.clone();
    let name = format!("mirror-{}-{}", ingress.namespace, ingress.name);
    let known = clusters.out.draft.clusters.iter();
    if let Some(at) = known.into_iter().position(|it| *it.name == *name) {
        return Some(ClusterIndex(u32::try_from(at).ok()?));
    }
    let Some((tls, host, port, rest)) = parts(&target) else {
        left_out(
            &target,
            "it names no scheme and no host that is written out",
            cx,
        );
        return None;
    };
    if rest != "$request_uri" {
        let meaning = "copies have the path of the request";
        cx.diagnostics.push(
            Diagnostic::not_modelled(
                "nginx::not-modelled",
                "a path in `mirror-target` is not modelled",
                meaning,
            )
            .label(target.span, ""),
        );
    }
    if let Some(body) = ingress
        .notes
        .text("mirror-request-body")
        .filter(|it| ***it == "off")
    {
        cx.diagnostics.push(
            Diagnostic::not_modelled(
                "nginx::not-modelled",
                "`mirror-request-body: off` is not modelled",
                "copies have the body of the request",
            )
            .label(body.span, ""),
        );
    }
    let found = cx
        .directory
        .resolve(cx.services, &ingress.namespace, &host, port);
    let members = match found {
        Some(Destination::Service(address)) => Members::Address {
            service: address.service,
            port: address.port,
        },
        Some(Destination::Headless { service, port }) => Members::Pods {
            service,
            port,
            labels: Vec::new(),
        },
        Some(Destination::Outside(all)) => {
            Members::Fixed(all.into_iter().map(Endpoint::at).collect())
        }
        None => {
            left_out(&target, "nobody is called so", cx);
            return None;
        }
    };
    let origin = cx.origins.written(target.span);
    let default = clusters.default;
    let cluster = Cluster {
        service: host.as_str().into(),
        balancer: Sourced::new(Balancer::RoundRobin, default),
        transport: if tls {
            UpstreamTransport::Tls {
                sni: host.as_str().into(),
                certificate: None,
            }
        } else {
            UpstreamTransport::Plaintext
        },
        limits: [Limits::unlimited(default); 2],
        origin,
        ..Cluster::envoy(&name, EndpointSet::default())
    };
    let upstream = Upstream {
        members,
        ..Upstream::default()
    };
    Some(clusters.out.add(cluster, upstream))
}

/// Whether TLS is spoken, host, port, and what follows.
fn parts(target: &str) -> Option<(bool, String, u16, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let at = rest.find(['/', '$', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(at);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, if tls { 443 } else { 80 }),
    };
    (!host.is_empty()).then(|| (tls, host.to_ascii_lowercase(), port, rest))
}

fn left_out(target: &Spanned<String>, why: &str, cx: &mut Compile<'_>) {
    cx.diagnostics.push(
        Diagnostic::not_modelled(
            "nginx::mirror",
            format!("requests are not copied to `{}`: {why}", target.value),
            "the copies' load, and what waits for them, is not there",
        )
        .label(target.span, ""),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let rows = [
            (
                "https://test.env.com$request_uri",
                Some((true, "test.env.com", 443, "$request_uri")),
            ),
            ("http://a.b:8080/c", Some((false, "a.b", 8080, "/c"))),
            ("https://a", Some((true, "a", 443, ""))),
            ("$scheme://a", None),
            ("/path", None),
            ("http://:80", None),
        ];
        for (target, expected) in rows {
            let found = parts(target);
            let found = found
                .as_ref()
                .map(|(tls, host, port, rest)| (*tls, host.as_str(), *port, *rest));
            assert_eq!(found, expected, "{target}");
        }
    }
}
