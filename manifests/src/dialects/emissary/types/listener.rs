//! Listeners.

use serde::Deserialize;

use super::Selector;
use crate::text::{Node, Present, Spanned};

/// `Listener.spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSpec {
    /// Whose it is.
    #[serde(rename = "ambassador_id")]
    pub ambassador_id: Option<Node>,
    /// The port of the pods.
    pub port: Option<Spanned<u16>>,
    /// A usual stack.
    pub protocol: Option<Spanned<Protocol>>,
    /// A stack, from the top.
    pub protocol_stack: Option<Spanned<Vec<Spanned<Layer>>>>,
    /// Which requests are secure.
    pub security_model: Option<Spanned<Security>>,
    /// A name for figures.
    pub stats_prefix: Option<Present>,
    /// Proxies before this one that are believed.
    pub l7_depth: Option<Spanned<u32>>,
    /// Streams of a client's connection.
    #[serde(rename = "http2MaxConcurrentStreams")]
    pub http2_max_concurrent_streams: Option<Present>,
    /// Whose Hosts it takes.
    pub host_binding: Option<Spanned<Binding>>,
}

/// A usual stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS, and in the clear.
    Https,
    /// HTTP over the PROXY protocol.
    HttpProxy,
    /// HTTP over the PROXY protocol and TLS.
    HttpsProxy,
    /// Bytes.
    Tcp,
    /// Bytes over TLS.
    Tls,
    /// There is no stack of it.
    Udp,
}

/// A layer of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layer {
    /// HTTP.
    Http,
    /// The PROXY protocol.
    Proxy,
    /// TLS.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which requests are secure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Security {
    /// Those of which `x-forwarded-proto` says so.
    Xfp,
    /// All.
    Secure,
    /// None.
    Insecure,
}

/// Whose Hosts a Listener takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Binding {
    /// Of which namespaces.
    pub namespace: Option<NamespaceBinding>,
    /// With which labels.
    pub selector: Option<Spanned<Selector>>,
}

/// Of which namespaces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceBinding {
    /// `SELF` or `ALL`.
    pub from: Option<Spanned<String>>,
}
