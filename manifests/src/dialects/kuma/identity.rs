//! What proxies prove to each other.

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::dataplane::{Dataplane, Inbound};
use super::policies::Policies;
use super::release::{Defaults, ZONE};
use super::types::{Tls, TlsMode};
use crate::dialects::Compile;

/// What stands before the path of an identity, unless a MeshIdentity says otherwise.
///
/// Source: kuma 2.14 `pkg/core/resources/apis/meshidentity/api/v1alpha1/helpers.go`.
pub(super) const DEFAULT_DOMAIN: &str = "{{ .Mesh }}.{{ .Zone }}.mesh.local";
/// The path of an identity, unless a MeshIdentity says otherwise.
pub(super) const DEFAULT_PATH: &str = "/ns/{{ .Namespace }}/sa/{{ .ServiceAccount }}";
/// Places that are filled.
pub(super) const PLACES: [&str; 5] = [
    ".Mesh",
    ".Zone",
    ".Namespace",
    ".ServiceAccount",
    ".Workload",
];

/// The places of a template.
pub(super) fn places(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{")
        .skip(1)
        .map(|part| part.split("}}").next().unwrap_or_default().trim())
}

fn filled(template: &str, proxy: &Dataplane<'_>) -> String {
    let mut text = String::new();
    for (nth, part) in template.split("{{").enumerate() {
        let Some((place, rest)) = part.split_once("}}").filter(|_| nth > 0) else {
            text.push_str(part);
            continue;
        };
        let label = |key: &str| proxy.labels.get(key).map(|value| &**value);
        text.push_str(match place.trim() {
            ".Mesh" => &proxy.mesh,
            ".Zone" => ZONE,
            ".Namespace" => &proxy.workload.namespace,
            ".ServiceAccount" => &proxy.workload.service_account,
            ".Workload" => label("kuma.io/workload").unwrap_or_default(),
            _ => "",
        });
        text.push_str(rest);
    }
    text
}

/// That a proxy proves who it is.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// `spiffe://…`.
    pub(super) identity: Name,
    /// Whether plaintext is taken, unless a MeshTLS says otherwise.
    pub(super) mode: TlsMode,
    /// By which rule.
    pub(super) origin: OriginId,
}

impl Policies {
    /// What a proxy proves; none: it speaks plaintext. A MeshIdentity comes before the authority of the Mesh, which 3.0 does not read.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/meshtls/plugin/v1alpha1/plugin.go`, `getMeshTLSMode`.
    pub(super) fn proof(&self, proxy: &Dataplane<'_>) -> Option<Proof> {
        if let Some(rule) = self.identity(proxy) {
            let domain = filled(&rule.trust_domain, proxy);
            let path = filled(&rule.path, proxy);
            return Some(Proof {
                identity: format!("spiffe://{domain}{path}").into(),
                mode: TlsMode::Strict,
                origin: rule.origin,
            });
        }
        let mtls = self.meshes.get(&proxy.mesh)?.mtls?;
        Some(Proof {
            identity: by_service(proxy),
            mode: mtls.value,
            origin: mtls.origin,
        })
    }

    /// The name of a proxy, proved or not.
    pub(super) fn name_of(&self, proxy: &Dataplane<'_>) -> Name {
        self.proof(proxy)
            .map_or_else(|| by_service(proxy), |proof| proof.identity)
    }

    /// Whether a port takes plaintext beside mutual TLS; none: it takes plaintext alone.
    pub(super) fn mode(
        &self,
        proxy: &Dataplane<'_>,
        port: &Inbound,
        defaults: Defaults,
        cx: &mut Compile<'_>,
    ) -> Option<Sourced<TlsMode>> {
        let proof = self.proof(proxy)?;
        let written = self.tls.arriving::<Tls>(proxy, port);
        Some(match written.and_then(|tls| tls.mode) {
            Some(mode) => defaults.sourced(mode, cx),
            None => Sourced::new(proof.mode, proof.origin),
        })
    }
}

/// Source: kuma 2.14 `pkg/xds/envoy/tls/tls.go`, `ServiceSpiffeID`.
fn by_service(proxy: &Dataplane<'_>) -> Name {
    format!("spiffe://{}/{}", proxy.mesh, proxy.service_tag()).into()
}
