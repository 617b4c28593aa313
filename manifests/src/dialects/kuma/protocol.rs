//! What a port speaks: it decides whether there are requests at all, and which policies they have.

use proxy_core::config::UpstreamProtocol;

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// Bytes: `tcp`, and what is nothing that Kuma looks into.
    Tcp,
    /// Bytes that carry Kafka's messages.
    Kafka,
    /// Bytes: TLS of the application's own, MySQL, and words that Kuma does not know.
    Other,
}

impl Protocol {
    /// Of a Service's port: `appProtocol` where Kuma knows the word, else the annotation `<port>.service.kuma.io/protocol`, else `tcp`.
    ///
    /// Source: kuma 2.14 `pkg/plugins/runtime/k8s/controllers/inbound_converter.go`, `ProtocolTagFor`.
    pub(super) fn of_service_port(app_protocol: Option<&str>, annotation: Option<&str>) -> Self {
        let known =
            app_protocol.filter(|word| Self::of_word(word) != Self::Other || is_carried(word));
        let annotation = annotation.filter(|word| !word.is_empty());
        known.or(annotation).map_or(Self::Tcp, Self::of_word)
    }

    /// By Kuma's word for it, whatever its case.
    ///
    /// Source: kuma 2.14 `pkg/core/metadata/protocol.go`, `ParseProtocol`.
    pub(super) fn of_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "tcp" => Self::Tcp,
            "kafka" => Self::Kafka,
            _ => Self::Other,
        }
    }

    /// Whether requests are read.
    pub(super) const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }

    /// Kuma's word.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Kafka => "kafka",
            Self::Tcp | Self::Other => "tcp",
        }
    }

    /// What is spoken to the application.
    pub(super) const fn of_application(self) -> UpstreamProtocol {
        match self {
            Self::Http2 | Self::Grpc => UpstreamProtocol::Http2,
            Self::Http | Self::Tcp | Self::Kafka | Self::Other => UpstreamProtocol::Http1,
        }
    }
}

/// Whether Kuma knows a word that is carried as bytes.
fn is_carried(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "tls" | "mysql")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_speaks_what_is_declared_and_nothing_is_detected() {
        let rows = [
            (None, None, Protocol::Tcp),
            (Some("http"), None, Protocol::Http),
            (Some("HTTP2"), None, Protocol::Http2),
            (Some("grpc"), Some("http"), Protocol::Grpc),
            (Some("kubernetes.io/h2c"), None, Protocol::Tcp),
            (Some("kubernetes.io/h2c"), Some("http2"), Protocol::Http2),
            (Some("tls"), Some("http"), Protocol::Other),
            (Some("kafka"), None, Protocol::Kafka),
            (None, Some("http"), Protocol::Http),
            (None, Some(""), Protocol::Tcp),
            (None, Some("htpp"), Protocol::Other),
        ];
        for (app, annotation, expected) in rows {
            let found = Protocol::of_service_port(app, annotation);
            assert_eq!(found, expected, "{app:?} {annotation:?}");
        }
    }
}
