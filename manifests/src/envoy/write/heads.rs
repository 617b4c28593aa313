//! What a connection manager does to heads, whatever their route.

use proxy_core::config::{
    CertificateForwarding, CertificateRules, ClientRules, EscapedSlashes, HeadLimits, HeadRules,
    HttpConnections, ServerTransformation, StripPort, Underscores,
};
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::{Message, cidr};

const UUID: &str = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";
/// Kilobytes that Envoy lets a request's head have at most.
const MOST_KILOBYTES: u64 = 8192;

/// Writes the manager's fields that are about heads; `common` are those of the connection.
pub(super) fn rules(
    http: &HttpConnections,
    message: &mut Message,
    common: &mut Message,
    cx: &mut Cx<'_>,
) {
    let Some(rules) = http.heads.as_deref() else {
        untouched(http, message, cx);
        return;
    };
    client(&rules.client, message);
    if rules.client.believed.is_some() {
        cx.departs_everywhere(
            "what clients outside of some ranges say of `x-forwarded-…` is not taken out",
        );
    }
    if !rules.request_id.generates {
        message.set("generate_request_id", false);
    }
    let ids = rules.request_id;
    message.flag("preserve_external_request_id", ids.keeps_external);
    message.flag("always_set_request_id_in_response", ids.in_response);
    if !ids.says_traced || !ids.samples {
        let mut uuid = Message::any(UUID);
        if !ids.says_traced {
            uuid.set("pack_trace_reason", false);
        }
        if !ids.samples {
            uuid.set("use_request_id_for_trace_sampling", false);
        }
        message.set(
            "request_id_extension",
            json!({"typed_config": Value::from(uuid)}),
        );
    }
    certificate(rules.certificate, message);
    message.flag("normalize_path", rules.path.normalizes);
    message.flag("merge_slashes", rules.path.merges_slashes);
    let slashes = match rules.path.escaped_slashes {
        EscapedSlashes::Keep => None,
        EscapedSlashes::Reject => Some("REJECT_REQUEST"),
        EscapedSlashes::Redirect => Some("UNESCAPE_AND_REDIRECT"),
        EscapedSlashes::Forward => Some("UNESCAPE_AND_FORWARD"),
    };
    message.maybe("path_with_escaped_slashes_action", slashes);
    message.flag(
        "strip_any_host_port",
        rules.host.strip_port == StripPort::Any,
    );
    message.flag(
        "strip_matching_host_port",
        rules.host.strip_port == StripPort::Matching,
    );
    message.flag("strip_trailing_host_dot", rules.host.strip_dot);
    limits(rules.limits, message, common, cx);
    match rules.underscores {
        Underscores::Allow => {}
        Underscores::Drop => common.set("headers_with_underscores_action", "DROP_HEADER"),
        Underscores::Reject => common.set("headers_with_underscores_action", "REJECT_REQUEST"),
    }
    let mut http1 = Message::default();
    http1.flag("accept_http_10", rules.http10);
    http1.maybe("default_host_for_http_10", rules.default_host.as_deref());
    message.within("http_protocol_options", http1);
    scheme(rules, message);
    message.maybe("via", rules.via.as_deref());
    message.text("server_name", &rules.server.name);
    let server = match rules.server.transformation {
        ServerTransformation::Overwrite => None,
        ServerTransformation::AppendIfAbsent => Some("APPEND_IF_ABSENT"),
        ServerTransformation::PassThrough => Some("PASS_THROUGH"),
    };
    message.maybe("server_header_transformation", server);
    message.flag("add_user_agent", rules.caller.is_some());
}

/// Heads are taken as they come, as far as Envoy does that.
fn untouched(http: &HttpConnections, message: &mut Message, cx: &mut Cx<'_>) {
    message.flag("use_remote_address", http.edge);
    message.flag("skip_xff_append", http.edge);
    message.set("generate_request_id", false);
    message.set("server_header_transformation", "PASS_THROUGH");
    message.set("max_request_headers_kb", MOST_KILOBYTES);
    cx.departs_everywhere("heads are not taken as they come: `x-forwarded-proto`, `x-envoy-upstream-service-time` and the like are written, bad heads are refused, and control headers have a say only where Envoy takes a client for internal");
}

fn client(rules: &ClientRules, message: &mut Message) {
    message.flag("use_remote_address", rules.remote_address);
    message.unless("xff_num_trusted_hops", rules.trusted_hops, 0);
    message.flag("skip_xff_append", rules.keeps_forwarded_for);
    if !rules.internal.is_empty() {
        let ranges: Vec<Value> = rules.internal.iter().map(cidr).collect();
        message.set("internal_address_config", json!({"cidr_ranges": ranges}));
    }
    message.flag("append_x_forwarded_port", rules.forwarded_port);
}

fn certificate(rules: CertificateRules, message: &mut Message) {
    let forwarding = match rules.forwarding {
        CertificateForwarding::Sanitize => None,
        CertificateForwarding::ForwardOnly => Some("FORWARD_ONLY"),
        CertificateForwarding::AppendForward => Some("APPEND_FORWARD"),
        CertificateForwarding::SanitizeSet => Some("SANITIZE_SET"),
        CertificateForwarding::AlwaysForwardOnly => Some("ALWAYS_FORWARD_ONLY"),
    };
    message.maybe("forward_client_cert_details", forwarding);
    let mut details = Message::default();
    if rules.subject {
        details.set("subject", true);
    }
    details.flag("cert", rules.certificate);
    details.flag("chain", rules.chain);
    details.flag("dns", rules.names);
    details.flag("uri", rules.uris);
    message.within("set_current_client_cert_details", details);
}

fn limits(limits: HeadLimits, message: &mut Message, common: &mut Message, cx: &mut Cx<'_>) {
    let usual = HeadLimits::default();
    if limits.bytes != usual.bytes {
        let kilobytes = limits.bytes.div_ceil(1 << 10).clamp(1, MOST_KILOBYTES);
        if kilobytes << 10 != limits.bytes {
            let most = kilobytes << 10;
            cx.departs(format!(
                "a head may have {most} bytes, not {}",
                limits.bytes
            ));
        }
        message.set("max_request_headers_kb", kilobytes);
    }
    if limits.headers != usual.headers {
        common.set("max_headers_count", limits.headers.max(1));
    }
}

fn scheme(rules: &HeadRules, message: &mut Message) {
    let mut scheme = Message::default();
    let to = rules.scheme.map(proxy_core::config::Scheme::as_str);
    scheme.maybe("scheme_to_overwrite", to);
    scheme.flag("match_upstream", rules.scheme_of_upstream);
    message.within("scheme_header_transformation", scheme);
}
