//! Listeners: the ports of the pods, and what is spoken there.

use proxy_core::origin::OriginId;

use super::globs;
use super::hosts::{self, Host};
use super::install::Install;
use super::read::sorted;
use super::tcp::TcpGroup;
use super::types::{Document, Layer, ListenerSpec, Protocol, Security};
use super::version::Version;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Labels;
use crate::text::{Spanned, read};

/// One port.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) port: u16,
    /// Whether requests are read from it.
    pub(super) http: bool,
    /// Whether TLS may end there.
    pub(super) tls: bool,
    /// Whether connections begin with the PROXY protocol.
    pub(super) proxy: bool,
    pub(super) security: Security,
    /// Proxies before this one that are believed.
    pub(super) depth: u32,
    /// The namespace of its Hosts; none: any.
    namespace: Option<String>,
    /// Labels of its Hosts.
    selector: Labels,
    pub(super) origin: OriginId,
}

impl Listener {
    /// Source: emissary `python/ambassador/src/ambassador/ir/irlistener.py` (`matches_host`).
    pub(super) fn takes(&self, host: &Host, loose: bool) -> bool {
        let near = self.namespace.as_ref();
        near.is_none_or(|namespace| *namespace == host.namespace)
            && globs::selects(&self.selector, &host.labels, loose)
    }
}

/// Those of the manifests, the first of each port, and those that TCPMappings need.
pub(super) fn all(install: &Install, tcp: &[TcpGroup], cx: &mut Compile<'_>) -> Vec<Listener> {
    let mut found: Vec<Listener> = Vec::new();
    for object in sorted(cx.objects, install, "Listener") {
        if Version::of(object, cx.diagnostics).is_none() {
            continue;
        }
        let Some(document) = read::<Document<ListenerSpec>>(&object.node, cx.diagnostics) else {
            continue;
        };
        let Some(listener) = listener(object, &document.spec, cx) else {
            continue;
        };
        if let Some(first) = found.iter().find(|it| it.port == listener.port) {
            let there = super::span_of(first.origin, cx);
            let message = format!("two Listeners have port {}", listener.port);
            cx.diagnostics.push(
                Diagnostic::warning("emissary::second-listener", message)
                    .label(object.name_span, "has no effect")
                    .label(there, "has the port"),
            );
            continue;
        }
        found.push(listener);
    }
    for group in tcp {
        if found.iter().all(|it| it.port != group.port) {
            found.push(Listener {
                name: format!("listener-0.0.0.0-{}", group.port),
                port: group.port,
                http: false,
                tls: group.host.is_some(),
                proxy: false,
                security: Security::Secure,
                depth: 0,
                namespace: Some(install.namespace.to_string()),
                selector: Labels::new(),
                origin: group.origin,
            });
        }
    }
    found
}

fn listener(object: &Object, spec: &ListenerSpec, cx: &mut Compile<'_>) -> Option<Listener> {
    let out = &mut *cx.diagnostics;
    if let Some(streams) = spec.http2_max_concurrent_streams {
        let meaning = "clients have as many streams at a time as they like";
        out.push(
            Diagnostic::not_modelled(
                "emissary::not-modelled",
                "`http2MaxConcurrentStreams`",
                meaning,
            )
            .label(streams.span, ""),
        );
    }
    let layers = layers(object, spec, out)?;
    let has = |layer: Layer| layers.contains(&layer);
    if layers.last() == Some(&Layer::Udp) {
        let meaning =
            "nothing listens for datagrams: clients that do not fall back to TCP are not served";
        out.push(
            Diagnostic::not_modelled("emissary::not-modelled", "HTTP/3", meaning)
                .label(object.name_span, "this Listener"),
        );
        return None;
    }
    let mut needs = |what: &str, is_there: bool| {
        if !is_there {
            out.push(
                Diagnostic::error("emissary::listener", format!("a Listener needs `{what}`"))
                    .label(object.name_span, "without it"),
            );
        }
    };
    needs("port", spec.port.is_some());
    needs("securityModel", spec.security_model.is_some());
    needs("hostBinding", spec.host_binding.is_some());
    let (port, security) = (spec.port?, spec.security_model?);
    let binding = spec.host_binding.as_ref()?;
    let from = binding.namespace.as_ref().and_then(|it| it.from.as_ref());
    if from.is_none() && binding.selector.is_none() {
        out.push(
            Diagnostic::error(
                "emissary::listener",
                "`hostBinding` says whose Hosts are taken, by `namespace` or by `selector`",
            )
            .label(binding.span, "says nothing"),
        );
        return None;
    }
    let namespace = match from.map(|from| from.to_ascii_uppercase()).as_deref() {
        Some("ALL") => None,
        None | Some("SELF") => Some(object.key.namespace.clone()),
        Some(_) => {
            let span = from.map_or(binding.span, |from| from.span);
            out.push(
                Diagnostic::error(
                    "emissary::listener",
                    "Hosts are of the Listener's own namespace, or of all",
                )
                .label(span, "here")
                .help("write `SELF` or `ALL`"),
            );
            return None;
        }
    };
    let selector = binding.selector.as_ref();
    if let Some(selector) = selector {
        hosts::selector_words(selector, cx);
    }
    Some(Listener {
        name: object.key.name.clone(),
        port: port.value,
        http: has(Layer::Http),
        tls: has(Layer::Tls),
        proxy: has(Layer::Proxy),
        security: security.value,
        depth: spec.l7_depth.map_or(0, |depth| depth.value),
        namespace,
        selector: selector.map(|it| hosts::wanted(it)).unwrap_or_default(),
        origin: cx.origins.written(object.name_span),
    })
}

/// What is spoken, from the top.
fn layers(object: &Object, spec: &ListenerSpec, out: &mut Diagnostics) -> Option<Vec<Layer>> {
    let stack = spec.protocol_stack.as_ref().filter(|it| !it.is_empty());
    if let Some(stack) = stack {
        if let Some(protocol) = spec.protocol {
            out.push(
                Diagnostic::warning(
                    "emissary::listener",
                    "of `protocol` and `protocolStack` the latter counts",
                )
                .label(protocol.span, "has no effect")
                .label(stack.span, "counts"),
            );
        }
        let layers: Vec<Layer> = stack.iter().map(|layer| layer.value).collect();
        let last = stack.last()?;
        if !matches!(last.value, Layer::Tcp | Layer::Udp) {
            let message = "at the bottom of a stack is TCP or UDP";
            out.push(Diagnostic::error("emissary::listener", message).label(last.span, "here"));
            return None;
        }
        return Some(layers);
    }
    let Some(protocol) = spec.protocol else {
        out.push(
            Diagnostic::error(
                "emissary::listener",
                "a Listener needs `protocol` or `protocolStack`",
            )
            .label(object.name_span, "has neither"),
        );
        return None;
    };
    stack_of(protocol, out)
}

/// Source: emissary `irlistener.py` (`ProtocolStacks`).
fn stack_of(protocol: Spanned<Protocol>, out: &mut Diagnostics) -> Option<Vec<Layer>> {
    let layers: &[Layer] = match protocol.value {
        Protocol::Http => &[Layer::Http, Layer::Tcp],
        Protocol::Https => &[Layer::Tls, Layer::Http, Layer::Tcp],
        Protocol::HttpProxy => &[Layer::Proxy, Layer::Http, Layer::Tcp],
        Protocol::HttpsProxy => &[Layer::Tls, Layer::Proxy, Layer::Http, Layer::Tcp],
        Protocol::Tcp => &[Layer::Tcp],
        Protocol::Tls => &[Layer::Tls, Layer::Tcp],
        Protocol::Udp => {
            out.push(
                Diagnostic::error("emissary::listener", "Emissary has no stack of `UDP`")
                    .label(protocol.span, "this protocol")
                    .help("HTTP/3 is `protocolStack: [TLS, HTTP, UDP]`"),
            );
            return None;
        }
    };
    Some(layers.to_vec())
}
