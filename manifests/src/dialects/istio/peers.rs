//! PeerAuthentication: whether a port of a pod takes plaintext, mutual TLS, or both.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::export::ROOT_NAMESPACE;
use super::notes::labels;
use super::types::{Document, MutualTls, MutualTlsMode, PeerAuthentication};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::{Labels, Workload, selects};
use crate::text::read;

/// What a port takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Plaintext.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS.
    Strict,
}

/// Every PeerAuthentication, the one that counts as oldest first.
///
/// Manifests tell no time of creation; of equally old ones Istio takes them by name and namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    policies: Vec<Peer>,
}

#[derive(Clone, Debug)]
struct Peer {
    namespace: Name,
    name: Name,
    /// Empty: all pods of its namespace.
    selector: Labels,
    mode: Option<Sourced<Mode>>,
    ports: BTreeMap<u16, Option<Sourced<Mode>>>,
    origin: OriginId,
}

impl Peers {
    /// Takes one in.
    pub(super) fn add(&mut self, object: &Object, cx: &mut Compile<'_>) {
        let Some(Document { spec, .. }) =
            read::<Document<PeerAuthentication>>(&object.node, cx.diagnostics)
        else {
            return;
        };
        let selector = spec
            .selector
            .as_ref()
            .map(|selector| labels(&selector.match_labels))
            .unwrap_or_default();
        let is_whole = selector.is_empty();
        if let Some((port, _)) = spec.port_level_mtls.first_key_value()
            && is_whole
        {
            cx.diagnostics.push(
                Diagnostic::error("istio::bad-value", "`portLevelMtls` needs a `selector`")
                    .label(port.span, "without one")
                    .help("say whose port it is with `selector.matchLabels`"),
            );
        }
        if !is_whole && object.key.namespace == ROOT_NAMESPACE {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::ignored",
                    format!("{} has no effect", object.key),
                )
                .label(object.name_span, "has a selector")
                .help("a policy of the root namespace is for the whole mesh; put it into the namespace of the pods"),
            );
            return;
        }
        let ports = spec
            .port_level_mtls
            .iter()
            .filter(|_| !is_whole)
            .filter_map(|(port, tls)| {
                let Ok(number) = port.parse::<u16>() else {
                    let message = format!("`{port}` is no port");
                    super::notes::bad_value(port.span, message, cx.diagnostics);
                    return None;
                };
                Some((number, mode(Some(tls), cx)))
            })
            .collect();
        self.policies.push(Peer {
            namespace: object.key.namespace.as_str().into(),
            name: object.key.name.as_str().into(),
            mode: mode(spec.mtls.as_ref(), cx),
            ports,
            origin: cx.origins.written(object.name_span),
            selector,
        });
    }

    /// Puts them in their order, and warns of those that another one shuts out.
    pub(super) fn finish(&mut self, cx: &mut Compile<'_>) {
        self.policies
            .sort_by(|a, b| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)));
        let mut first: BTreeMap<(Name, Labels), OriginId> = BTreeMap::new();
        for peer in &self.policies {
            let key = (peer.namespace.clone(), peer.selector.clone());
            let Some(other) = first.get(&key) else {
                first.insert(key, peer.origin);
                continue;
            };
            let span = |origin| {
                cx.origins
                    .span(origin)
                    .unwrap_or(crate::text::Span::NOWHERE)
            };
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::ignored",
                    format!("PeerAuthentication/{}/{} has no effect", peer.namespace, peer.name),
                )
                .label(span(peer.origin), "this one")
                .label(span(*other), "this one counts")
                .help("of several for the same pods the oldest counts; in manifests, the first by name"),
            );
        }
    }

    /// What `port` of the pods of `workload` takes: the port's own mode, else the workload's, the namespace's, the mesh's, else both.
    ///
    /// Source: istio 1.29 `pilot/pkg/security/authn/policy_applier.go`, `ComposePeerAuthentication`.
    pub(super) fn mode(&self, workload: &Workload, port: u16, default: OriginId) -> Sourced<Mode> {
        let own = self.of_workload(workload);
        let own_port = own.and_then(|peer| peer.ports.get(&port).copied().flatten());
        own_port
            .or_else(|| own.and_then(|peer| peer.mode))
            .or_else(|| self.of_namespace(&workload.namespace))
            .or_else(|| self.of_namespace(ROOT_NAMESPACE))
            .unwrap_or_else(|| Sourced::new(Mode::Permissive, default))
    }

    /// Ports of the workload's pods that have a mode of their own.
    pub(super) fn ports(&self, workload: &Workload) -> impl Iterator<Item = u16> {
        let own = self.of_workload(workload);
        own.into_iter().flat_map(|peer| peer.ports.keys().copied())
    }

    /// Whether the policies of a namespace and of the mesh, those with a selector aside, turn mutual TLS off: then callers do not try it,
    /// whatever single workloads ask for.
    ///
    /// Source: istio 1.29 `pilot/pkg/model/push_context.go`, `BestEffortInferServiceMTLSMode`.
    pub(super) fn is_off_in(&self, namespace: &str) -> bool {
        let mode = self
            .of_namespace(namespace)
            .or_else(|| self.of_namespace(ROOT_NAMESPACE));
        mode.is_some_and(|mode| mode.value == Mode::Disable)
    }

    fn of_workload(&self, workload: &Workload) -> Option<&Peer> {
        self.policies.iter().find(|peer| {
            !peer.selector.is_empty()
                && peer.namespace == workload.namespace
                && selects(&peer.selector, &workload.labels)
        })
    }

    fn of_namespace(&self, namespace: &str) -> Option<Sourced<Mode>> {
        let found = self
            .policies
            .iter()
            .find(|peer| peer.selector.is_empty() && *peer.namespace == *namespace);
        found?.mode
    }
}

fn mode(written: Option<&MutualTls>, cx: &mut Compile<'_>) -> Option<Sourced<Mode>> {
    let written = written?.mode?;
    let mode = match written.value {
        MutualTlsMode::Unset => return None,
        MutualTlsMode::Disable => Mode::Disable,
        MutualTlsMode::Permissive => Mode::Permissive,
        MutualTlsMode::Strict => Mode::Strict,
    };
    Some(Sourced::new(mode, cx.origins.written(written.span)))
}
