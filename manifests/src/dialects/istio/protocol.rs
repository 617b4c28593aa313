//! What a port speaks, as far as its declaration says.

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Protocol {
    /// HTTP/1.1 (`http`).
    Http1,
    /// HTTP/2 (`http2`).
    Http2,
    /// gRPC (`grpc`, `grpc-web`).
    Grpc,
    /// Bytes (`tcp`, `mysql`, `mongo`, `redis`).
    Tcp,
    /// TLS that the application itself speaks (`tls`, `https`).
    Tls,
    /// Not declared: proxies look into the first bytes.
    Detected,
}

/// Ports whose servers speak first, so that nobody waits for the client's first bytes: SMTP, DNS, MySQL, MongoDB.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

impl Protocol {
    /// By `appProtocol`, else by the port's name up to its first hyphen.
    ///
    /// Source: istio 1.29 `pkg/config/kube/conversion.go`, `ConvertProtocol`.
    pub(super) fn of_service_port(
        number: u16,
        name: Option<&str>,
        app_protocol: Option<&str>,
    ) -> Self {
        let declared = match app_protocol {
            Some("kubernetes.io/h2c") => return Self::Http2,
            Some("kubernetes.io/ws") => return Self::Http1,
            Some("kubernetes.io/wss") => return Self::Tls,
            Some(other) => other,
            None => name.unwrap_or_default(),
        };
        let is_grpc_web = declared
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("grpc-web"));
        let word = if is_grpc_web {
            "grpc-web"
        } else {
            declared.split('-').next().unwrap_or_default()
        };
        let undeclared = if SERVER_FIRST.contains(&number) {
            Self::Tcp
        } else {
            Self::Detected
        };
        Self::of_word(word).unwrap_or(undeclared)
    }

    /// By the word that Istio's own resources have for it; none when it is no such word.
    ///
    /// Source: istio 1.29 `pkg/config/protocol/instance.go`, `Parse`.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "http" | "http_proxy" => Some(Self::Http1),
            "http2" => Some(Self::Http2),
            "grpc" | "grpc-web" => Some(Self::Grpc),
            "tcp" | "mongo" | "redis" | "mysql" => Some(Self::Tcp),
            "tls" | "https" => Some(Self::Tls),
            _ => None,
        }
    }

    /// Whether it is declared as HTTP of any version.
    pub(super) const fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2 | Self::Grpc)
    }

    /// Whether it is declared as bytes, or as TLS that is none of the mesh's.
    pub(super) const fn is_bytes(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_speaks_what_its_declaration_says() {
        let rows = [
            (80, None, None, Protocol::Detected),
            (80, Some("http"), None, Protocol::Http1),
            (80, Some("http-web"), None, Protocol::Http1),
            (80, Some("HTTP2-x"), None, Protocol::Http2),
            (80, Some("httpx"), None, Protocol::Detected),
            (80, Some("grpc-web-x"), None, Protocol::Grpc),
            (80, Some("grpc"), None, Protocol::Grpc),
            (443, Some("https"), None, Protocol::Tls),
            (80, Some("web"), Some("http"), Protocol::Http1),
            (80, Some("http"), Some("tcp"), Protocol::Tcp),
            (80, None, Some("kubernetes.io/h2c"), Protocol::Http2),
            (80, None, Some("kubernetes.io/wss"), Protocol::Tls),
            (3306, None, None, Protocol::Tcp),
            (3306, Some("http"), None, Protocol::Http1),
            (6379, Some("redis"), None, Protocol::Tcp),
        ];
        for (number, name, app, expected) in rows {
            let found = Protocol::of_service_port(number, name, app);
            assert_eq!(found, expected, "{number} {name:?} {app:?}");
        }
    }
}
