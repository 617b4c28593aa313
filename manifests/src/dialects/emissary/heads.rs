//! What is done to the heads of requests and answers, whatever their Mapping.

use proxy_core::config::{
    CertificateForwarding, CertificateRules, ClientRules, EscapedSlashes, HeadLimits, HeadRules,
    HostRules, PathRules, ServerRules, ServerTransformation, StripPort, Underscores,
};

use super::types::ModuleConfig;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::Spanned;

/// The rules of a Listener: paths have one form, whatever is written.
///
/// Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3listener.py` (`base_http_config`, `finalize_http`), `v3httpfilter.py`
/// (`V3HTTPFilter_router`).
pub(super) fn rules(module: &ModuleConfig, trusted_hops: u32) -> HeadRules {
    let is = |field: &Option<Spanned<bool>>| field.is_some_and(|it| it.value);
    let unwritten = HeadRules::unwritten("envoy");
    let mut request_id = unwritten.request_id;
    request_id.keeps_external = is(&module.preserve_external_request_id);
    HeadRules {
        client: ClientRules {
            remote_address: is_edge(module),
            trusted_hops,
            ..ClientRules::default()
        },
        request_id,
        certificate: certificate(module),
        path: PathRules {
            escaped_slashes: match is(&module.reject_requests_with_escaped_slashes) {
                true => EscapedSlashes::Reject,
                false => EscapedSlashes::Keep,
            },
            normalizes: true,
            merges_slashes: is(&module.merge_slashes),
        },
        host: HostRules {
            strip_port: match is(&module.strip_matching_host_port) {
                true => StripPort::Matching,
                false => StripPort::Never,
            },
            strip_dot: false,
        },
        limits: HeadLimits {
            bytes: module
                .max_request_headers_kb
                .filter(|kb| kb.value > 0)
                .map_or_else(|| HeadLimits::default().bytes, |kb| kb.value << 10),
            ..HeadLimits::default()
        },
        underscores: underscores(module),
        http10: is(&module.enable_http10),
        server: ServerRules {
            name: match &module.server_name {
                Some(name) => name.value.clone().into(),
                None => "envoy".into(),
            },
            transformation: ServerTransformation::default(),
        },
        tells: !is(&module.suppress_envoy_headers),
        ..unwritten
    }
}

/// Whether the client of a request is who made the connection.
pub(super) fn is_edge(module: &ModuleConfig) -> bool {
    module.use_remote_address.is_none_or(|it| it.value)
}

const UNDERSCORES: [(&str, Underscores); 3] = [
    ("ALLOW", Underscores::Allow),
    ("DROP_HEADER", Underscores::Drop),
    ("REJECT_REQUEST", Underscores::Reject),
];

const FORWARDING: [(&str, CertificateForwarding); 5] = [
    ("SANITIZE", CertificateForwarding::Sanitize),
    ("FORWARD_ONLY", CertificateForwarding::ForwardOnly),
    ("APPEND_FORWARD", CertificateForwarding::AppendForward),
    ("SANITIZE_SET", CertificateForwarding::SanitizeSet),
    (
        "ALWAYS_FORWARD_ONLY",
        CertificateForwarding::AlwaysForwardOnly,
    ),
];

fn chosen<T: Copy>(field: &Option<Spanned<String>>, all: &[(&str, T)]) -> Option<T> {
    let written = field.as_ref()?;
    let found = all.iter().find(|(name, _)| *name == written.value);
    found.map(|(_, value)| *value)
}

fn underscores(module: &ModuleConfig) -> Underscores {
    chosen(&module.headers_with_underscores_action, &UNDERSCORES).unwrap_or_default()
}

fn certificate(module: &ModuleConfig) -> CertificateRules {
    let details = module.set_current_client_cert_details.as_ref();
    let forwarding = chosen(&module.forward_client_cert_details, &FORWARDING);
    CertificateRules {
        forwarding: forwarding.unwrap_or_default(),
        subject: details.is_some_and(|it| it.subject),
        certificate: details.is_some_and(|it| it.cert),
        chain: details.is_some_and(|it| it.chain),
        names: details.is_some_and(|it| it.dns),
        uris: details.is_some_and(|it| it.uri),
    }
}

/// Reports words that are none of Envoy's.
pub(super) fn check(module: &ModuleConfig, out: &mut Diagnostics) {
    let mut one = |field: &Option<Spanned<String>>, known: Vec<&str>| {
        let Some(written) = field else {
            return;
        };
        if known.contains(&written.as_str()) {
            return;
        }
        let help = did_you_mean(written, known.iter().copied())
            .unwrap_or_else(|| format!("known: {}", known.join(", ")));
        out.push(
            Diagnostic::error("emissary::choice", format!("`{written}` is no choice here"))
                .label(written.span, "this value")
                .help(help),
        );
    };
    let names = |all: &[(&'static str, Underscores)]| all.iter().map(|(name, _)| *name).collect();
    one(&module.headers_with_underscores_action, names(&UNDERSCORES));
    let names: Vec<&str> = FORWARDING.iter().map(|(name, _)| *name).collect();
    one(&module.forward_client_cert_details, names);
}
