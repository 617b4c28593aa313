//! Certificates, keys and who is trusted.

use std::collections::BTreeSet;

use proxy_core::config::{Cluster, DownstreamTransport, Name, PrefaceVersion, UpstreamTransport};
use serde_json::{Value, json};

use super::super::tls::{Certificates, DataSource, SubjectKind, TlsVersion};
use super::cx::Cx;
use super::message::{Message, extension, string_match};

const SOCKET: &str = "envoy.transport_sockets.tls";
const AREA: &str = "envoy.extensions.transport_sockets";
/// The label of endpoints that speak mutual TLS, and its value; as Istio has them.
pub(super) const MATCH: &str = "envoy.transport_socket_match";

/// Writes the transport of a filter chain; none where it is plaintext.
pub(super) fn downstream(transport: &DownstreamTransport, cx: &mut Cx<'_>) -> Option<Value> {
    let DownstreamTransport::Tls {
        mutual,
        alpn,
        certificate,
    } = transport
    else {
        return None;
    };
    let mut context = Message::any(&format!("{AREA}.tls.v3.DownstreamTlsContext"));
    let found = find(certificate, cx);
    let mut common = common(found, alpn, &[]);
    if found.is_none_or(|found| found.pairs.is_empty()) {
        cx.departs(format!(
            "the certificate `{certificate}` is not there: it is expected among the secrets"
        ));
        let secret = json!({"name": &**certificate});
        common.set("tls_certificate_sds_secret_configs", vec![secret]);
    }
    if *mutual && found.is_none_or(|found| found.trusted_ca.is_none()) {
        cx.departs("any client that shows a certificate is taken: nobody is said who signs it");
    }
    context.set("common_tls_context", common);
    context.flag("require_client_certificate", *mutual);
    context.flag(
        "full_scan_certs_on_sni_mismatch",
        found.is_some_and(|found| found.full_scan),
    );
    Some(extension(SOCKET, context))
}

/// Writes the transport of a cluster into it, behind the header that its connections begin with.
pub(super) fn upstream(cluster: &Cluster, message: &mut Message, cx: &mut Cx<'_>) {
    inner_upstream(cluster, message, cx);
    let Some(version) = cluster.preface else {
        return;
    };
    let version = match version {
        PrefaceVersion::V1 => "V1",
        PrefaceVersion::V2 => "V2",
    };
    let behind = |socket: Value| {
        let kind = format!("{AREA}.proxy_protocol.v3.ProxyProtocolUpstreamTransport");
        let mut outer = Message::any(&kind);
        outer.set("config", json!({"version": version}));
        outer.set("transport_socket", socket);
        extension("envoy.transport_sockets.upstream_proxy_protocol", outer)
    };
    let plain = || {
        let plain = Message::any(&format!("{AREA}.raw_buffer.v3.RawBuffer"));
        extension("envoy.transport_sockets.raw_buffer", plain)
    };
    match message.take("transport_socket_matches") {
        Some(Value::Array(mut matches)) => {
            for each in &mut matches {
                let socket = each["transport_socket"].take();
                each["transport_socket"] = behind(socket);
            }
            message.set("transport_socket_matches", matches);
        }
        Some(_) | None => {
            let socket = message.take("transport_socket").unwrap_or_else(plain);
            message.set("transport_socket", behind(socket));
        }
    }
}

fn inner_upstream(cluster: &Cluster, message: &mut Message, cx: &mut Cx<'_>) {
    match &cluster.transport {
        UpstreamTransport::Plaintext => {}
        UpstreamTransport::Tls { sni, certificate } => {
            let found = certificate.as_ref().and_then(|name| find(name, cx));
            let alpn = found.map_or(&[][..], |found| &found.certificates.alpn);
            if let Some(name) = certificate.as_ref().filter(|_| found.is_none()) {
                unknown(name, cx);
            }
            let socket = upstream_context(sni, common(found, alpn, &[]));
            message.set("transport_socket", extension(SOCKET, socket));
        }
        UpstreamTransport::Mesh {
            sni,
            identity,
            alpn,
            only_where_meshed,
        } => {
            let found = find(identity, cx);
            let endpoints = cluster.endpoints.endpoints.iter();
            let peers: BTreeSet<&Name> = endpoints.filter_map(|it| it.identity.as_ref()).collect();
            let peers: Vec<&Name> = peers.into_iter().collect();
            let usual = found.map_or(&[][..], |found| &found.certificates.alpn);
            let alpn = if alpn.is_empty() { usual } else { alpn };
            let mut common = common(found, alpn, &peers);
            if found.is_some_and(|found| found.trusted_ca.is_none()) {
                cx.departs("any server is taken for the one that is meant: nobody is said who signs its certificate");
            }
            if found.is_none_or(|found| found.pairs.is_empty()) {
                unknown(identity, cx);
                let secret = json!({"name": &**identity});
                common.set("tls_certificate_sds_secret_configs", vec![secret]);
            }
            let socket = extension(SOCKET, upstream_context(sni, common));
            if !only_where_meshed {
                message.set("transport_socket", socket);
                return;
            }
            let plain = Message::any(&format!("{AREA}.raw_buffer.v3.RawBuffer"));
            let plain = extension("envoy.transport_sockets.raw_buffer", plain);
            let matches = vec![
                json!({"name": "meshed", "match": {"tlsMode": "istio"}, "transport_socket": socket}),
                json!({"name": "plain", "match": {}, "transport_socket": plain}),
            ];
            message.set("transport_socket_matches", matches);
        }
    }
}

fn unknown(name: &str, cx: &mut Cx<'_>) {
    cx.departs(format!(
        "the certificate `{name}` is not there, and nobody is said whom to trust"
    ));
}

fn upstream_context(sni: &str, common: Message) -> Message {
    let mut context = Message::any(&format!("{AREA}.tls.v3.UpstreamTlsContext"));
    context.text("sni", sni);
    context.within("common_tls_context", common);
    context
}

/// What is known of both sides of a handshake, and whether keys are shown.
type Found<'a> = Option<Shown<'a>>;

/// Certificates, with keys or without.
#[derive(Clone, Copy)]
struct Shown<'a> {
    certificates: &'a Certificates,
    shows_keys: bool,
}

impl std::ops::Deref for Shown<'_> {
    type Target = Certificates;

    fn deref(&self) -> &Certificates {
        self.certificates
    }
}

fn find<'a>(name: &str, cx: &Cx<'a>) -> Found<'a> {
    let written = cx.written;
    let mut all = written.certificates.iter();
    let certificates = all.find(|it| &*it.name == name)?;
    Some(Shown {
        certificates,
        shows_keys: written.shows_keys,
    })
}

/// Both sides of a handshake; `peers` are identities of which the other side must show one.
fn common(found: Found<'_>, alpn: &[Box<str>], peers: &[&Name]) -> Message {
    let mut message = Message::default();
    let protocols = alpn.iter().map(|protocol| Value::from(&**protocol));
    message.list("alpn_protocols", protocols.collect());
    let mut validation = Message::default();
    if let Some(found) = found {
        let mut parameters = Message::default();
        let least = found.min_version.map(version);
        parameters.maybe("tls_minimum_protocol_version", least);
        let most = found.max_version.map(version);
        parameters.maybe("tls_maximum_protocol_version", most);
        message.within("tls_params", parameters);
        let pairs = found.pairs.iter().map(|pair| {
            let key = match found.shows_keys {
                true => data(&pair.key),
                false => hidden(&pair.key),
            };
            json!({"certificate_chain": data(&pair.chain), "private_key": key})
        });
        message.list("tls_certificates", pairs.collect());
        self::validation(found.certificates, &mut validation);
    }
    let peers = peers.iter().map(|peer| {
        let matcher = json!({"exact": &***peer});
        json!({"san_type": kind_of(peer), "matcher": matcher})
    });
    let peers: Vec<Value> = peers.collect();
    if !peers.is_empty() && found.is_some_and(|found| found.trusted_ca.is_some()) {
        validation.set("match_typed_subject_alt_names", peers);
    }
    message.within("validation_context", validation);
    message
}

/// Identities are URIs, as in SPIFFE, or names of DNS, as in Linkerd.
fn kind_of(identity: &str) -> &'static str {
    if identity.contains("://") {
        "URI"
    } else {
        "DNS"
    }
}

fn validation(certificates: &Certificates, message: &mut Message) {
    message.maybe("trusted_ca", certificates.trusted_ca.as_ref().map(data));
    if certificates.system_roots {
        message.set("system_root_certs", json!({}));
    }
    message.flag("allow_expired_certificate", certificates.accepts_expired);
    if certificates.accepts_untrusted {
        message.set("trust_chain_verification", "ACCEPT_UNTRUSTED");
    }
    let (mut typed, mut plain) = (Vec::new(), Vec::new());
    for subject in &certificates.subjects {
        let Some(matcher) = string_match(&subject.matches, subject.ignore_case) else {
            continue;
        };
        let kind = match subject.kind {
            None => {
                plain.push(matcher);
                continue;
            }
            Some(SubjectKind::Email) => "EMAIL",
            Some(SubjectKind::Dns) => "DNS",
            Some(SubjectKind::Uri) => "URI",
            Some(SubjectKind::Ip) => "IP_ADDRESS",
            Some(SubjectKind::Other) => "OTHER_NAME",
        };
        typed.push(json!({"san_type": kind, "matcher": matcher}));
    }
    message.list("match_typed_subject_alt_names", typed);
    message.list("match_subject_alt_names", plain);
}

const fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_0 => "TLSv1_0",
        TlsVersion::V1_1 => "TLSv1_1",
        TlsVersion::V1_2 => "TLSv1_2",
        TlsVersion::V1_3 => "TLSv1_3",
    }
}

fn data(source: &DataSource) -> Value {
    match source {
        DataSource::File(path) => json!({"filename": &**path}),
        DataSource::Environment(name) => json!({"environment_variable": &**name}),
        DataSource::Inline(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!({"inline_string": text}),
            Err(_) => json!({"inline_bytes": base64(bytes)}),
        },
    }
}

/// As [`data`]; the bytes of a key are not shown.
fn hidden(source: &DataSource) -> Value {
    match source {
        DataSource::File(_) | DataSource::Environment(_) => data(source),
        DataSource::Inline(_) => json!({"inline_string": "[redacted]"}),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            let is_padding = place > group.len();
            text.push(if is_padding { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_looked_for_where_certificates_have_them() {
        assert_eq!(kind_of("spiffe://cluster.local/ns/a/sa/b"), "URI");
        assert_eq!(
            kind_of("b.a.serviceaccount.identity.linkerd.cluster.local"),
            "DNS"
        );
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (&[0xfb, 0xff, 0xfe], "+//+"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }
}
