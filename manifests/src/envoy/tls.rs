//! Certificates, keys and who is trusted.

use std::collections::BTreeMap;

use proxy_core::config::{DownstreamTransport, Name, PrefaceVersion, TextMatch, UpstreamTransport};
use proxy_core::origin::OriginId;

use super::compile::Cx;
use super::matching;
use super::read::Typed;
use super::types::{self, ProxyVersion, SanType, TrustChain};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::text::{Map, Node, Span, Spanned, Value};

const SOCKET: &str = "envoy.extensions.transport_sockets.";

/// What one side of TLS presents and whom it trusts.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The name by which transports of the configuration refer to it: `listener/<listener>/<chain>`, `cluster/<cluster>`.
    pub name: Name,
    /// Certificates with their keys; a client may have none.
    pub pairs: Vec<KeyPair>,
    /// Who signs the other side; none: nobody asks who the other side is.
    pub trusted_ca: Option<DataSource>,
    /// Whether the system's own authorities are trusted.
    pub system_roots: bool,
    /// One of these must be among the other side's names; empty: any name.
    pub subjects: Vec<Subject>,
    /// Whether a certificate of the other side that nobody trusted signed will do.
    pub accepts_untrusted: bool,
    /// Whether a certificate of the other side may be out of date.
    pub accepts_expired: bool,
    /// Whether a server whose certificates have not the name that a client asks for looks for one that the client can use; else it shows the
    /// first.
    pub full_scan: bool,
    /// Application protocols, best first.
    pub alpn: Vec<Box<str>>,
    /// The lowest version; none: the library's own.
    pub min_version: Option<TlsVersion>,
    /// The highest version; none: the library's own.
    pub max_version: Option<TlsVersion>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// A certificate chain with its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPair {
    /// PEM, the leaf first.
    pub chain: DataSource,
    /// PEM.
    pub key: DataSource,
}

/// Where bytes come from.
#[derive(Clone, PartialEq, Eq)]
pub enum DataSource {
    /// A file, as it is written: relative to the working directory.
    File(Box<str>),
    /// The bytes themselves.
    Inline(Box<[u8]>),
    /// A variable of the environment.
    Environment(Box<str>),
}

impl std::fmt::Debug for DataSource {
    /// Inline bytes may be a key: only their number is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::Environment(name) => write!(f, "Environment({name:?})"),
        }
    }
}

/// A name that a certificate may have.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Of which kind; none: any.
    pub kind: Option<SubjectKind>,
    /// How it is compared.
    pub matches: TextMatch,
    /// Without regard to case.
    pub ignore_case: bool,
}

/// Kinds of names in a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubjectKind {
    /// An e-mail address.
    Email,
    /// A DNS name.
    Dns,
    /// A URI.
    Uri,
    /// An IP address.
    Ip,
    /// Some other name.
    Other,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// 1.0.
    V1_0,
    /// 1.1.
    V1_1,
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// The file's secrets by name.
#[derive(Default)]
pub(super) struct Secrets {
    certificates: BTreeMap<String, Node>,
    validations: BTreeMap<String, Node>,
}

impl Secrets {
    /// Takes in one of `static_resources.secrets`.
    pub(super) fn add(node: &Node, cx: &mut Cx<'_>) {
        let Some(secret) = cx.read::<types::Secret>(node) else {
            return;
        };
        let name = secret.name.unwrap_or_default();
        if let Some(node) = secret.tls_certificate {
            cx.secrets.certificates.insert(name.clone(), node);
        }
        if let Some(node) = secret.validation_context {
            cx.secrets.validations.insert(name, node);
        }
    }

    fn find(
        config: &types::SdsConfig,
        secrets: fn(&Self) -> &BTreeMap<String, Node>,
        cx: &mut Cx<'_>,
    ) -> Option<Node> {
        let meaning = "nothing is fetched: the secret of that name in the file is taken";
        cx.note(config.sds_config, "sds_config", meaning);
        let name = config.name.as_ref()?;
        if let Some(node) = secrets(&cx.secrets).get(&name.value) {
            return Some(node.clone());
        }
        let help = did_you_mean(name, secrets(&cx.secrets).keys().map(String::as_str));
        cx.out.push(
            Diagnostic::error(
                "envoy::unknown-secret",
                format!("there is no secret `{name}` for this"),
            )
            .label(name.span, "not among `static_resources.secrets`")
            .maybe_help(help),
        );
        None
    }
}

/// The places of inline keys and passwords, so that no diagnostic shows them.
pub(super) fn secrets(node: &Node) -> Vec<Span> {
    const KEYS: [&str; 6] = [
        "private_key",
        "privateKey",
        "password",
        "pkcs12",
        "generic_secret",
        "genericSecret",
    ];
    let mut hidden = Vec::new();
    for entry in node.as_map().map_or(&[][..], Map::entries) {
        if KEYS.contains(&entry.key.text.as_str()) {
            hide(&entry.value, &mut hidden);
        } else {
            hidden.extend(secrets(&entry.value));
        }
    }
    for item in node.as_seq().unwrap_or_default() {
        hidden.extend(secrets(item));
    }
    hidden
}

fn hide(node: &Node, hidden: &mut Vec<Span>) {
    let inline = [
        "inline_string",
        "inlineString",
        "inline_bytes",
        "inlineBytes",
    ];
    for entry in node.as_map().map_or(&[][..], Map::entries) {
        match &entry.value.value {
            Value::Map(_) => hide(&entry.value, hidden),
            _ if inline.contains(&entry.key.text.as_str()) => hidden.push(entry.value.span),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Seq(_) => {}
        }
    }
}

/// The transport of a filter chain; none when it is refused, or of a kind that is not modelled.
pub(super) fn downstream(
    socket: &Node,
    name: &str,
    cx: &mut Cx<'_>,
) -> Option<DownstreamTransport> {
    let extension: types::Extension = crate::text::read(socket, cx.out)?;
    let typed = cx.typed(extension.typed_config.as_ref()?)?;
    match typed.kind.strip_prefix(SOCKET).unwrap_or_default() {
        "raw_buffer.v3.RawBuffer" => Some(DownstreamTransport::Plaintext),
        "tls.v3.DownstreamTlsContext" => {
            let written: types::DownstreamTls = cx.read(&typed.config)?;
            let mut certificates =
                certificates(written.common_tls_context.as_ref(), name, &typed.config, cx)?;
            certificates.full_scan = written.full_scan_certs_on_sni_mismatch;
            if certificates.pairs.is_empty() {
                cx.refuse(
                    typed.config.span,
                    "a server needs a certificate: write `tls_certificates`",
                );
            }
            let transport = DownstreamTransport::Tls {
                mutual: written.require_client_certificate,
                alpn: certificates.alpn.clone(),
                certificate: name.into(),
            };
            cx.tls.push(certificates);
            Some(transport)
        }
        _ => {
            let meaning = "the chain is left out";
            cx.left_out(socket.span, "this transport socket", meaning);
            None
        }
    }
}

/// The transport of a cluster, and the header that its connections begin with; none when it is refused, or of a kind that is not modelled.
pub(super) fn upstream(
    socket: &Node,
    name: &str,
    cx: &mut Cx<'_>,
) -> Option<(UpstreamTransport, Option<PrefaceVersion>)> {
    let extension: types::Extension = crate::text::read(socket, cx.out)?;
    let typed = cx.typed(extension.typed_config.as_ref()?)?;
    if typed.kind.strip_prefix(SOCKET) != Some("proxy_protocol.v3.ProxyProtocolUpstreamTransport") {
        return Some((inner_upstream(socket, &typed, name, cx)?, None));
    }
    let written: types::UpstreamPreface = cx.read(&typed.config)?;
    let config: Option<types::ProxyConfig> = cx.read_maybe(written.config.as_ref());
    let Some(inner) = &written.transport_socket else {
        cx.refuse(typed.config.span, "`transport_socket` is missing");
        return None;
    };
    let version = match config.unwrap_or_default().version {
        ProxyVersion::V1 => PrefaceVersion::V1,
        ProxyVersion::V2 => PrefaceVersion::V2,
    };
    let extension: types::Extension = crate::text::read(inner, cx.out)?;
    let typed = cx.typed(extension.typed_config.as_ref()?)?;
    let transport = inner_upstream(inner, &typed, name, cx);
    Some((
        transport.unwrap_or(UpstreamTransport::Plaintext),
        Some(version),
    ))
}

fn inner_upstream(
    socket: &Node,
    typed: &Typed,
    name: &str,
    cx: &mut Cx<'_>,
) -> Option<UpstreamTransport> {
    match typed.kind.strip_prefix(SOCKET).unwrap_or_default() {
        "raw_buffer.v3.RawBuffer" => Some(UpstreamTransport::Plaintext),
        "tls.v3.UpstreamTlsContext" => {
            let written: types::UpstreamTls = cx.read(&typed.config)?;
            let certificates =
                certificates(written.common_tls_context.as_ref(), name, &typed.config, cx)?;
            cx.tls.push(certificates);
            Some(UpstreamTransport::Tls {
                sni: written.sni.as_str().into(),
                certificate: Some(name.into()),
            })
        }
        _ => {
            let meaning = "connections to the cluster are plaintext";
            cx.left_out(socket.span, "this transport socket", meaning);
            None
        }
    }
}

fn certificates(
    common: Option<&Node>,
    name: &str,
    context: &Node,
    cx: &mut Cx<'_>,
) -> Option<Certificates> {
    let mut made = Certificates {
        name: name.into(),
        pairs: Vec::new(),
        trusted_ca: None,
        system_roots: false,
        subjects: Vec::new(),
        accepts_untrusted: false,
        accepts_expired: false,
        full_scan: false,
        alpn: Vec::new(),
        min_version: None,
        max_version: None,
        origin: cx.written(context.span),
    };
    let Some(common) = common else {
        return Some(made);
    };
    let written: types::CommonTls = cx.read(common)?;
    let alpn = written.alpn_protocols.iter();
    made.alpn = alpn.map(|protocol| protocol.as_str().into()).collect();
    let parameters: Option<types::TlsParameters> = cx.read_maybe(written.tls_params.as_ref());
    if let Some(parameters) = parameters {
        made.min_version = parameters.tls_minimum_protocol_version.and_then(version);
        made.max_version = parameters.tls_maximum_protocol_version.and_then(version);
    }
    for node in &written.tls_certificates {
        made.pairs.extend(pair(node, cx));
    }
    for config in &written.tls_certificate_sds_secret_configs {
        let node = Secrets::find(config, |secrets| &secrets.certificates, cx);
        made.pairs.extend(node.and_then(|node| pair(&node, cx)));
    }
    let combined = written.combined_validation_context.as_ref();
    let inline = combined.and_then(|combined| combined.default_validation_context.clone());
    let by_name =
        combined.and_then(|combined| combined.validation_context_sds_secret_config.as_ref());
    for config in [
        written.validation_context_sds_secret_config.as_ref(),
        by_name,
    ]
    .into_iter()
    .flatten()
    {
        if let Some(node) = Secrets::find(config, |secrets| &secrets.validations, cx) {
            validation(&node, &mut made, cx);
        }
    }
    for node in written.validation_context.iter().chain(&inline) {
        validation(node, &mut made, cx);
    }
    Some(made)
}

const fn version(written: types::TlsVersion) -> Option<TlsVersion> {
    match written {
        types::TlsVersion::Auto => None,
        types::TlsVersion::V1_0 => Some(TlsVersion::V1_0),
        types::TlsVersion::V1_1 => Some(TlsVersion::V1_1),
        types::TlsVersion::V1_2 => Some(TlsVersion::V1_2),
        types::TlsVersion::V1_3 => Some(TlsVersion::V1_3),
    }
}

fn pair(node: &Node, cx: &mut Cx<'_>) -> Option<KeyPair> {
    let written: types::TlsCertificate = cx.read(node)?;
    let (Some(chain), Some(key)) = (&written.certificate_chain, &written.private_key) else {
        cx.refuse(
            node.span,
            "a certificate needs `certificate_chain` and `private_key`",
        );
        return None;
    };
    Some(KeyPair {
        chain: data(chain, node.span, cx)?,
        key: data(key, node.span, cx)?,
    })
}

fn validation(node: &Node, made: &mut Certificates, cx: &mut Cx<'_>) -> Option<()> {
    let written: types::ValidationContext = cx.read(node)?;
    if let Some(source) = &written.trusted_ca {
        made.trusted_ca = data(source, node.span, cx);
    }
    made.system_roots |= written.system_root_certs.is_some();
    made.accepts_expired |= written.allow_expired_certificate;
    let chain = written.trust_chain_verification.map(|chain| chain.value);
    made.accepts_untrusted |= chain == Some(TrustChain::AcceptUntrusted);
    for subject in &written.match_typed_subject_alt_names {
        let kind = match subject.san_type {
            None | Some(SanType::Unspecified) => None,
            Some(SanType::Email) => Some(SubjectKind::Email),
            Some(SanType::Dns) => Some(SubjectKind::Dns),
            Some(SanType::Uri) => Some(SubjectKind::Uri),
            Some(SanType::IpAddress) => Some(SubjectKind::Ip),
            Some(SanType::OtherName) => Some(SubjectKind::Other),
        };
        made.subjects
            .extend(self::subject(kind, &subject.matcher, node.span, cx));
    }
    for matcher in &written.match_subject_alt_names {
        made.subjects.extend(subject(None, matcher, node.span, cx));
    }
    Some(())
}

fn subject(
    kind: Option<SubjectKind>,
    matcher: &types::StringMatcher,
    span: Span,
    cx: &mut Cx<'_>,
) -> Option<Subject> {
    Some(Subject {
        kind,
        matches: matching::text(matcher, span, cx)?,
        ignore_case: matcher.ignore_case,
    })
}

fn data(source: &types::DataSource, span: Span, cx: &mut Cx<'_>) -> Option<DataSource> {
    let file = source
        .filename
        .as_ref()
        .map(|path| DataSource::File(path.as_str().into()));
    let text = source.inline_string.as_ref();
    let text = text.map(|text| DataSource::Inline(text.as_bytes().into()));
    let variable = source.environment_variable.as_ref();
    let variable = variable.map(|name| DataSource::Environment(name.as_str().into()));
    let bytes = match &source.inline_bytes {
        Some(bytes) => Some(decoded(bytes, cx)?),
        None => None,
    };
    let mut found = [file, text, variable, bytes].into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(data), None) => Some(data),
        (None | Some(_), _) => {
            cx.refuse(span, "write one of `filename`, `inline_string`, `inline_bytes` and `environment_variable`");
            None
        }
    }
}

fn decoded(text: &Spanned<String>, cx: &mut Cx<'_>) -> Option<DataSource> {
    let bytes = base64(text);
    if bytes.is_none() {
        cx.refuse(text.span, "this is no base64");
    }
    bytes.map(|bytes| DataSource::Inline(bytes.into()))
}

/// The text that a source has in itself, and where; none: it is elsewhere, or no text.
pub(super) fn text(source: &types::DataSource) -> Option<(Box<str>, Span)> {
    if let Some(text) = &source.inline_string {
        return Some((text.as_str().into(), text.span));
    }
    let bytes = source.inline_bytes.as_ref()?;
    let text = String::from_utf8(base64(bytes)?).ok()?;
    Some((text.into(), bytes.span))
}

/// Base64 of either alphabet, with or without padding: what protobuf's JSON takes.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    });
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let bits = group
            .iter()
            .fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
        let bits = bits << (6 * (4 - group.len()));
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&three[..group.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_of_either_alphabet() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGVsbG8=", Some(b"hello")),
            ("aGVsbG8", Some(b"hello")),
            ("-_8=", Some(&[0xfb, 0xff])),
            ("+/8=", Some(&[0xfb, 0xff])),
            ("a", None),
            ("a b", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }
}
