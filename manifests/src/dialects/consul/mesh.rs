//! Mesh: what holds for all proxies.
//!
//! Source: hashicorp/consul 1.21 `agent/structs/config_entry_mesh.go`, `agent/xds/listeners.go` (`setNormalizationOptions`).

use proxy_core::config::{EscapedSlashes, Underscores};

use super::notes::{bad_value, field_left_out, given, left_out};
use super::policy::MeshPolicy;
use super::types::{Mesh, Normalization};
use crate::diagnostics::Diagnostics;
use crate::dialects::Compile;

/// Reads Mesh.
pub(super) fn mesh(written: &Mesh, cx: &mut Compile<'_>) -> MeshPolicy {
    let mut policy = MeshPolicy::default();
    let only = written.transparent_proxy.as_ref();
    let only = only.and_then(|it| it.mesh_destinations_only);
    policy.destinations_only = only
        .filter(|it| it.value)
        .map(|it| cx.origins.written(it.span));
    policy.allows_permissive = written.allow_permissive.is_some_and(|it| it.value);
    if let Some(tls) = &written.tls {
        for side in [&tls.incoming, &tls.outgoing].into_iter().flatten() {
            let meaning = "versions and ciphers of TLS are the drivers' own";
            left_out(side.span, "what TLS is made of", meaning, cx.diagnostics);
        }
    }
    let peering = written.peering.as_ref();
    field_left_out(
        peering.and_then(|it| it.peer_through_mesh_gateways),
        "peering",
        "there is one cluster",
        cx.diagnostics,
    );
    if let Some(validate) = written.validate_clusters.filter(|it| it.value) {
        let meaning = "tables are loaded whatever clusters they name";
        left_out(validate.span, "`validateClusters`", meaning, cx.diagnostics);
    }
    if let Some(http) = &written.http {
        policy.sanitizes_certificates = http
            .sanitize_x_forwarded_client_cert
            .is_some_and(|it| it.value);
        let incoming = http.incoming.as_ref();
        if let Some(rules) = incoming.and_then(|it| it.request_normalization.as_ref()) {
            normalization(rules, &mut policy, cx.diagnostics);
        }
    }
    policy
}

fn normalization(rules: &Normalization, policy: &mut MeshPolicy, out: &mut Diagnostics) {
    policy.keeps_paths = rules
        .insecure_disable_path_normalization
        .is_some_and(|it| it.value);
    policy.merges_slashes = rules.merge_slashes.is_some_and(|it| it.value);
    if let Some(action) = given(rules.path_with_escaped_slashes_action.as_ref()) {
        match action.as_str() {
            "IMPLEMENTATION_SPECIFIC_DEFAULT" | "KEEP_UNCHANGED" => {}
            "REJECT_REQUEST" => policy.escaped_slashes = EscapedSlashes::Reject,
            "UNESCAPE_AND_FORWARD" => policy.escaped_slashes = EscapedSlashes::Forward,
            "UNESCAPE_AND_REDIRECT" => policy.escaped_slashes = EscapedSlashes::Redirect,
            _ => bad_value(
                action.span,
                "must be `KEEP_UNCHANGED`, `REJECT_REQUEST`, `UNESCAPE_AND_FORWARD` or `UNESCAPE_AND_REDIRECT`",
                out,
            ),
        }
    }
    if let Some(action) = given(rules.headers_with_underscores_action.as_ref()) {
        match action.as_str() {
            "ALLOW" => {}
            "REJECT_REQUEST" => policy.underscores = Underscores::Reject,
            "DROP_HEADER" => policy.underscores = Underscores::Drop,
            _ => bad_value(
                action.span,
                "must be `ALLOW`, `REJECT_REQUEST` or `DROP_HEADER`",
                out,
            ),
        }
    }
}
