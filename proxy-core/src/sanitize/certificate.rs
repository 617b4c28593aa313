//! What upstreams are told of the client's certificate.

use super::client::Client;
use super::lines::Lines;
use crate::config::{CertificateForwarding, CertificateRules};
use crate::heads::{ArrivingHead, Field};

/// What the two ends of a TLS connection have shown each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificates {
    /// URIs that one's own certificate names.
    pub own_uris: Vec<Box<str>>,
    /// The client's, where it has shown one that is trusted.
    pub peer: Option<PeerCertificate>,
}

/// A client's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerCertificate {
    /// SHA-256 of it, in hexadecimal digits.
    pub hash: Box<str>,
    /// Its subject as RFC 2253 writes it.
    pub subject: Box<str>,
    /// Its URIs.
    pub uris: Vec<Box<str>>,
    /// Its DNS names.
    pub names: Vec<Box<str>>,
    /// It as PEM.
    pub pem: Box<str>,
    /// It and those that came with it as PEM, one after another.
    pub chain: Box<str>,
}

/// What is told of a certificate that was shown; empty where nothing is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown(Box<str>);

impl Shown {
    /// None: the client has shown none.
    ///
    /// Source: envoy `mutateXfccRequestHeader`.
    pub(super) fn of(rules: CertificateRules, certificates: &Certificates) -> Option<Self> {
        let peer = certificates.peer.as_ref()?;
        match rules.forwarding {
            CertificateForwarding::AppendForward | CertificateForwarding::SanitizeSet => {}
            CertificateForwarding::Sanitize
            | CertificateForwarding::ForwardOnly
            | CertificateForwarding::AlwaysForwardOnly => return Some(Self("".into())),
        }
        let mut parts: Vec<String> = Vec::new();
        parts.extend(certificates.own_uris.iter().map(|uri| format!("By={uri}")));
        parts.push(format!("Hash={}", peer.hash));
        if rules.certificate {
            parts.push(format!("Cert=\"{}\"", escaped(&peer.pem)));
        }
        if rules.chain {
            parts.push(format!("Chain=\"{}\"", escaped(&peer.chain)));
        }
        if rules.subject {
            parts.push(format!("Subject=\"{}\"", peer.subject));
        }
        if rules.uris {
            parts.extend(peer.uris.iter().map(|uri| format!("URI={uri}")));
            if peer.uris.is_empty() {
                parts.push("URI=".to_owned());
            }
        }
        if rules.names {
            parts.extend(peer.names.iter().map(|name| format!("DNS={name}")));
        }
        Some(Self(parts.join(";").into()))
    }
}

/// PEM in a header.
///
/// Source: envoy `source/common/tls/utility.cc` (`urlEncodedPemEncodedPeerCertificate`): these five and no others.
fn escaped(pem: &str) -> String {
    let mut out = String::with_capacity(pem.len() + pem.len() / 8);
    for letter in pem.chars() {
        match letter {
            '\n' => out.push_str("%0A"),
            ' ' => out.push_str("%20"),
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            other => out.push(other),
        }
    }
    out
}

/// Writes `x-forwarded-client-cert`, or takes it out.
///
/// Source: envoy `mutateXfccRequestHeader`.
pub(super) fn tell(
    rules: CertificateRules,
    client: &Client,
    lines: &Lines,
    head: &mut impl ArrivingHead,
) {
    if rules.forwarding == CertificateForwarding::AlwaysForwardOnly {
        return;
    }
    match (rules.forwarding, &client.certificate) {
        (CertificateForwarding::Sanitize, _) | (_, None) => {
            if lines.has(Field::ForwardedClientCert) {
                head.remove_field(Field::ForwardedClientCert);
            }
        }
        (CertificateForwarding::AppendForward, Some(Shown(told))) => {
            head.extend_field(Field::ForwardedClientCert, ",", told);
        }
        (CertificateForwarding::SanitizeSet, Some(Shown(told))) => {
            head.set_field(Field::ForwardedClientCert, told);
        }
        (
            CertificateForwarding::ForwardOnly | CertificateForwarding::AlwaysForwardOnly,
            Some(_),
        ) => {}
    }
}
