//! What names of certificates stand for, where a Secret of that name is not all there is to it.

use proxy_core::config::{Name, TextMatch};

use crate::gateway_api::{AltName, Roots, TlsEnd, Trust};

/// What a side of a handshake has: its own certificates, and whom it believes.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Secrets (`namespace/name`) with certificate and key; of several the one that fits the server name asked for is shown, else the first.
    pub pairs: Vec<Name>,
    /// Whose certificates are believed; none: nobody's is looked at.
    pub roots: Option<Roots>,
    /// Names of which the peer's certificate must have one; empty: any will do.
    pub names: Vec<TextMatch>,
    /// Whether the peer's certificate must have the server name that was asked for.
    pub checks_host: bool,
    /// Whether clients are asked for a certificate and served whatever they show.
    pub takes_any: bool,
    /// Application protocols that are offered.
    pub alpn: Vec<Box<str>>,
}

impl Credential {
    /// A listener's end of TLS.
    #[must_use]
    pub fn of_listener(tls: &TlsEnd) -> Self {
        let clients = tls.clients.as_ref();
        let takes_any = clients.is_some_and(|it| it.fallback);
        Self {
            pairs: tls.certificates.clone(),
            roots: clients
                .filter(|_| !takes_any)
                .map(|clients| clients.roots.clone()),
            names: Vec::new(),
            checks_host: false,
            takes_any,
            alpn: Vec::new(),
        }
    }

    /// The near end of TLS to a backend.
    ///
    /// Source: `BackendTLSPolicy.spec.validation`: alternative names, where there are some, take the place of the host name.
    #[must_use]
    pub fn of_backend(trust: &Trust, own: Option<Name>, over_http2: bool) -> Self {
        let names = trust.names.iter().map(|name| match name {
            AltName::Uri(uri) => TextMatch::Exact(uri.as_str().into()),
            AltName::Host(host) => host_match(host),
        });
        let alpn: &[&str] = if over_http2 { &["h2"] } else { &["http/1.1"] };
        Self {
            pairs: own.into_iter().collect(),
            roots: Some(trust.roots.clone()),
            names: names.collect(),
            checks_host: trust.names.is_empty(),
            takes_any: false,
            alpn: alpn.iter().map(|name| (*name).into()).collect(),
        }
    }
}

/// A name of a certificate that stands for a host: itself, or a pattern for one label in the place of its first.
///
/// Source: RFC 6125 §6.4.3.
fn host_match(host: &str) -> TextMatch {
    let exact = || TextMatch::Exact(host.into());
    let Some((first, rest)) = host.split_once('.') else {
        return exact();
    };
    let first = if first == "*" {
        "[^.]+".to_owned()
    } else {
        regex::escape(first)
    };
    let pattern = format!(r"(?i:{first}|\*)\.(?i:{})", regex::escape(rest));
    TextMatch::regex(&pattern).unwrap_or_else(|_| exact())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_met_by_itself_and_by_a_pattern_for_one_label() {
        let rows = [
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "A.example.com", true),
            ("a.example.com", "*.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("a.example.com", "a.example.org", false),
            ("a.example.com", "*.com", false),
            ("*.example.com", "b.example.com", true),
            ("*.example.com", "b.c.example.com", false),
            ("a", "a", true),
            ("a", "b", false),
        ];
        for (asked, shown, want) in rows {
            assert_eq!(host_match(asked).matches(shown), want, "{asked}, {shown}");
        }
    }
}
