//! What a connection manager does to heads, whatever their route.

use std::borrow::Cow;

use proxy_core::config::{
    CertificateForwarding, CertificateRules, Cidr, ClientRules, EscapedSlashes, HeadLimits,
    HeadRules, HostRules, PathRules, Scheme, ServerTransformation, StripPort, Underscores,
};

use super::compile::Cx;
use super::listeners;
use super::types::{
    self, ClientCertificate, ClientHttp, HttpConnectionManager, ServerHeader, SlashesAction,
    UnderscoresAction,
};
use crate::text::{Span, Spanned};

/// The name in `server` where the file gives none.
///
/// Departs: Envoy calls itself `envoy`. Who asks for that name gets it, with `server_name`.
const SERVER: &str = "windtunnel";
/// Kilobytes that a request's head may have at most, whatever the file says.
const MOST_KILOBYTES: u32 = 8192;
const UUID: &str = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";

/// Compiles all of a manager's fields that are about heads; what its filters and its routes say of them is not among these.
pub(super) fn rules(
    written: &HttpConnectionManager,
    common: &ClientHttp,
    span: Span,
    cx: &mut Cx<'_>,
) -> HeadRules {
    let mut rules = HeadRules::unwritten(SERVER);
    rules.client = client(written, cx);
    rules.request_id.generates = written.generate_request_id.unwrap_or(true);
    rules.request_id.keeps_external = written.preserve_external_request_id;
    rules.request_id.in_response = written.always_set_request_id_in_response;
    (rules.request_id.says_traced, rules.request_id.samples) = traced(written, cx);
    rules.certificate = certificate(written);
    rules.path = PathRules {
        escaped_slashes: match written.path_with_escaped_slashes_action {
            SlashesAction::ImplementationSpecificDefault | SlashesAction::KeepUnchanged => {
                EscapedSlashes::Keep
            }
            SlashesAction::RejectRequest => EscapedSlashes::Reject,
            SlashesAction::UnescapeAndRedirect => EscapedSlashes::Redirect,
            SlashesAction::UnescapeAndForward => EscapedSlashes::Forward,
        },
        normalizes: written.normalize_path == Some(true),
        merges_slashes: written.merge_slashes,
    };
    rules.host = host(written, span, cx);
    rules.limits = limits(written, common, cx);
    rules.underscores = match common.headers_with_underscores_action {
        UnderscoresAction::Allow => Underscores::Allow,
        UnderscoresAction::RejectRequest => Underscores::Reject,
        UnderscoresAction::DropHeader => Underscores::Drop,
    };
    let http1: Option<types::ClientHttp1> = cx.read_maybe(written.http_protocol_options.as_ref());
    let http1 = http1.unwrap_or_default();
    rules.http10 = http1.accept_http_10;
    let host = Some(http1.default_host_for_http_10).filter(|host| !host.is_empty());
    rules.default_host = host.map(Into::into);
    if let Some(transformation) = &written.scheme_header_transformation {
        rules.scheme_of_upstream = transformation.match_upstream;
        rules.scheme = scheme(transformation.scheme_to_overwrite.as_ref(), cx);
    }
    if let Some(passed) = written.proxy_100_continue.filter(|passed| passed.value) {
        let meaning = "clients that wait for `100 Continue` are told to go on at once";
        cx.left_out(passed.span, "`proxy_100_continue`", meaning);
    }
    rules.via = text(written.via.as_ref(), cx).map(Into::into);
    if let Some(name) = text(written.server_name.as_ref(), cx) {
        rules.server.name = Cow::Owned(name);
    }
    rules.server.transformation = match written.server_header_transformation {
        ServerHeader::Overwrite => ServerTransformation::Overwrite,
        ServerHeader::AppendIfAbsent => ServerTransformation::AppendIfAbsent,
        ServerHeader::PassThrough => ServerTransformation::PassThrough,
    };
    if written.add_user_agent == Some(true) {
        rules.caller = Some(cx.caller.clone());
    }
    rules
}

fn client(written: &HttpConnectionManager, cx: &mut Cx<'_>) -> ClientRules {
    let remote_address = written.use_remote_address.is_some_and(|it| it.value);
    let hops = written.xff_num_trusted_hops;
    if let Some(extensions) = written.original_ip_detection_extensions {
        if remote_address || hops.is_some_and(|hops| hops.value.0 > 0) {
            let message = "`original_ip_detection_extensions` go with neither `use_remote_address` nor `xff_num_trusted_hops`";
            cx.refuse(extensions.span, message);
        }
        let meaning = "the client is who `x-forwarded-for` says";
        cx.left_out(
            extensions.span,
            "`original_ip_detection_extensions`",
            meaning,
        );
    }
    let internal = match &written.internal_address_config {
        None => Vec::new(),
        Some(config) if config.cidr_ranges.is_empty() => private(),
        Some(config) => {
            let ranges = config.cidr_ranges.iter();
            ranges
                .filter_map(|range| listeners::cidr(range, cx))
                .collect()
        }
    };
    ClientRules {
        remote_address,
        trusted_hops: hops.map_or(0, |hops| hops.value.0),
        keeps_forwarded_for: written.skip_xff_append,
        believed: None,
        internal,
        forwarded_port: written.append_x_forwarded_port,
    }
}

/// The addresses that are internal where the file says that some are, and not which.
///
/// Source: envoy `source/common/network/utility.cc` (`isInternalAddress`): RFC 1918, RFC 4193 and the machine itself.
fn private() -> Vec<Cidr> {
    let block = |address: std::net::IpAddr, bits| Cidr { address, bits };
    vec![
        block([10, 0, 0, 0].into(), 8),
        block([172, 16, 0, 0].into(), 12),
        block([192, 168, 0, 0].into(), 16),
        block([127, 0, 0, 1].into(), 32),
        block([0xfd00, 0, 0, 0, 0, 0, 0, 0].into(), 8),
        block([0, 0, 0, 0, 0, 0, 0, 1].into(), 128),
    ]
}

/// Whether an id says that its request is traced, and whether it has a say in it.
fn traced(written: &HttpConnectionManager, cx: &mut Cx<'_>) -> (bool, bool) {
    let extension = written.request_id_extension.as_ref();
    let Some(node) = extension.and_then(|extension| extension.typed_config.as_ref()) else {
        return (true, true);
    };
    match cx.typed(node) {
        Some(typed) if typed.kind == UUID => {
            let config: Option<types::UuidRequestId> = cx.read(&typed.config);
            let is_on = |said: Option<bool>| said != Some(false);
            config.map_or((true, true), |config| {
                let samples = is_on(config.use_request_id_for_trace_sampling);
                (is_on(config.pack_trace_reason), samples)
            })
        }
        Some(typed) => {
            let what = format!("the request id extension `{}`", typed.kind);
            cx.left_out(typed.span, &what, "request ids are UUIDs");
            (true, true)
        }
        None => (true, true),
    }
}

fn certificate(written: &HttpConnectionManager) -> CertificateRules {
    let details = &written.set_current_client_cert_details;
    CertificateRules {
        forwarding: match written.forward_client_cert_details {
            ClientCertificate::Sanitize => CertificateForwarding::Sanitize,
            ClientCertificate::ForwardOnly => CertificateForwarding::ForwardOnly,
            ClientCertificate::AppendForward => CertificateForwarding::AppendForward,
            ClientCertificate::SanitizeSet => CertificateForwarding::SanitizeSet,
            ClientCertificate::AlwaysForwardOnly => CertificateForwarding::AlwaysForwardOnly,
        },
        subject: details.subject,
        certificate: details.cert,
        chain: details.chain,
        names: details.dns,
        uris: details.uri,
    }
}

fn host(written: &HttpConnectionManager, span: Span, cx: &mut Cx<'_>) -> HostRules {
    let (any, matching) = (
        written.strip_any_host_port,
        written.strip_matching_host_port,
    );
    if any && matching {
        let message = "write one of `strip_any_host_port` and `strip_matching_host_port`";
        cx.refuse(span, message);
    }
    HostRules {
        strip_port: match (any, matching) {
            (true, _) => StripPort::Any,
            (false, true) => StripPort::Matching,
            (false, false) => StripPort::Never,
        },
        strip_dot: written.strip_trailing_host_dot,
    }
}

fn limits(written: &HttpConnectionManager, common: &ClientHttp, cx: &mut Cx<'_>) -> HeadLimits {
    let mut limits = HeadLimits::default();
    if let Some(kilobytes) = written.max_request_headers_kb {
        if !(1..=MOST_KILOBYTES).contains(&kilobytes.value.0) {
            cx.refuse(kilobytes.span, "must be from 1 to 8192");
        }
        limits.bytes = u64::from(kilobytes.value.0) << 10;
    }
    if let Some(count) = common.max_headers_count {
        if count.value.0 == 0 {
            cx.refuse(count.span, "must be at least 1");
        }
        limits.headers = count.value.0;
    }
    limits
}

fn scheme(written: Option<&Spanned<String>>, cx: &mut Cx<'_>) -> Option<Scheme> {
    let written = written?;
    let scheme = Scheme::parse(written);
    if scheme.is_none() {
        cx.refuse(written.span, "must be `http` or `https`");
    }
    scheme
}

/// A header's value; an empty one is none.
fn text(written: Option<&Spanned<String>>, cx: &mut Cx<'_>) -> Option<String> {
    let written = written?;
    if written.contains(['\0', '\n', '\r']) {
        cx.refuse(written.span, "a header's value is one line");
        return None;
    }
    Some(written.value.clone()).filter(|text| !text.is_empty())
}
