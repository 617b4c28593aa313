//! What a person should know: fields that nothing is made of, and services that would be asked.

use super::read::{Reading, sorted};
use super::types::{
    AuthSpec, DevPortalSpec, Document, LogSpec, MappingSpec, ModuleConfig, RateLimitSpec,
    TracingSpec,
};
use super::version::Version;
use super::{GROUP, heads};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::{Present, Span, read};

/// Mappings as an older way has them.
const ANNOTATION: &str = "getambassador.io/config";

/// Tells of everything but Mappings, which tell of themselves when they are read.
pub(super) fn tell(reading: &Reading, cx: &mut Compile<'_>) {
    of_module(&reading.module, cx.diagnostics);
    heads::check(&reading.module, cx.diagnostics);
    no_listener(reading, cx);
    auth(reading, cx);
    rate_limits(reading, cx);
    others(reading, cx);
    annotations(cx);
    other_kinds(cx);
}

/// Without a Listener nothing listens. Source: emissary `python/ambassador/src/ambassador/ir/irlistener.py`.
fn no_listener(reading: &Reading, cx: &mut Compile<'_>) {
    let serves = !reading.mappings.is_empty() || !reading.tcp.is_empty();
    if !reading.listeners.is_empty() || !serves {
        return;
    }
    let first = reading.mappings.first().map(|mapping| mapping.span);
    cx.diagnostics.push(
        Diagnostic::warning(
            "emissary::no-listener",
            format!(
                "NOTHING IS SERVED: the Emissary `{}` has no Listener",
                reading.install.id
            ),
        )
        .label(first.unwrap_or(Span::NOWHERE), "no request reaches it")
        .help("Emissary listens where a Listener says so, and nowhere else; its chart makes one with `createDefaultListeners`"),
    );
}

fn auth(reading: &Reading, cx: &mut Compile<'_>) {
    for object in sorted(cx.objects, &reading.install, "AuthService") {
        let out = &mut *cx.diagnostics;
        let Some(spec) = spec::<AuthSpec>(object, out) else {
            continue;
        };
        if spec.auth_service.is_none() {
            out.push(
                Diagnostic::error("emissary::missing", "an AuthService needs `auth_service`")
                    .label(object.name_span, "without it"),
            );
        }
        let bypassing = reading.mappings.iter();
        let bypassing = bypassing
            .filter(|it| it.spec.bypass_auth.is_some_and(|flag| flag.value))
            .count();
        let open = reading.mappings.len() - bypassing;
        let down = match spec.failure_mode_allow.is_some_and(|it| it.value) {
            true => "when it does not answer, Emissary would let them pass",
            false => "when it does not answer, Emissary would refuse them with 403",
        };
        let meaning = format!(
            "EVERY ROUTE IS OPEN: requests of {open} Mappings that it would refuse are served and counted by rate limits, which Emissary asks after it, and none waits for it; {down}"
        );
        out.push(
            Diagnostic::not_modelled("emissary::open", "an AuthService is not asked", meaning)
                .label(object.name_span, "this service"),
        );
    }
}

fn rate_limits(reading: &Reading, cx: &mut Compile<'_>) {
    let objects = sorted(cx.objects, &reading.install, "RateLimitService");
    let out = &mut *cx.diagnostics;
    if let [first, second, ..] = objects[..] {
        out.push(
            Diagnostic::warning(
                "emissary::rate-limit",
                "of several RateLimitServices Emissary asks none",
            )
            .label(second.name_span, "one too many")
            .label(first.name_span, "the first"),
        );
    }
    for object in objects {
        let Some(spec) = spec::<RateLimitSpec>(object, out) else {
            continue;
        };
        if spec.service.is_none() {
            out.push(
                Diagnostic::error("emissary::missing", "a RateLimitService needs `service`")
                    .label(object.name_span, "without it"),
            );
        }
        let labelled = reading
            .mappings
            .iter()
            .filter(|it| it.spec.labels.is_some())
            .count();
        let meaning = format!(
            "NOTHING IS LIMITED: no request is refused with 429 ({labelled} Mappings have labels for it), and none waits for it"
        );
        out.push(
            Diagnostic::not_modelled(
                "emissary::unlimited",
                "a RateLimitService is not asked",
                meaning,
            )
            .label(object.name_span, "this service"),
        );
    }
}

fn others(reading: &Reading, cx: &mut Compile<'_>) {
    let install = &reading.install;
    let out = &mut *cx.diagnostics;
    let say = |object: &Object, what: &str, meaning: &str, out: &mut Diagnostics| {
        out.push(
            Diagnostic::not_modelled("emissary::not-modelled", what, meaning)
                .label(object.name_span, ""),
        );
    };
    for object in sorted(cx.objects, install, "LogService") {
        if spec::<LogSpec>(object, out).is_some() {
            say(
                object,
                "a LogService is not told",
                "no bearing on traffic",
                out,
            );
        }
    }
    for object in sorted(cx.objects, install, "TracingService") {
        if spec::<TracingSpec>(object, out).is_some() {
            let meaning = "requests are not traced; no bearing on where they go";
            say(object, "a TracingService is not told", meaning, out);
        }
    }
    for object in sorted(cx.objects, install, "DevPortal") {
        if spec::<DevPortalSpec>(object, out).is_some() {
            say(object, "a DevPortal is not shown", "its pages are 404", out);
        }
    }
}

fn spec<T: serde::de::DeserializeOwned + Default>(
    object: &Object,
    out: &mut Diagnostics,
) -> Option<T> {
    Version::of(object, out)?;
    Some(read::<Document<T>>(&object.node, out)?.spec)
}

/// Kinds of Emissary's own. Source: emissary `python/ambassador/src/ambassador/fetch/ambassador.py`.
const KINDS: [&str; 14] = [
    "AuthService",
    "ConsulResolver",
    "DevPortal",
    "Host",
    "KubernetesEndpointResolver",
    "KubernetesServiceResolver",
    "Listener",
    "LogService",
    "Mapping",
    "Module",
    "RateLimitService",
    "TCPMapping",
    "TLSContext",
    "TracingService",
];

/// Other kinds of the group are those of the Edge Stack, which Emissary does not read either.
fn other_kinds(cx: &mut Compile<'_>) {
    let own = cx.objects.iter().filter(|it| it.key.group == GROUP);
    for object in own.filter(|it| !KINDS.contains(&it.key.kind.as_str())) {
        let meaning = match object.key.kind.as_str() {
            "Filter" | "FilterPolicy" => "ROUTES ARE OPEN that it would guard",
            "RateLimit" => "nothing is limited by it",
            _ => "it has no effect",
        };
        let message = format!("Emissary does not read {}", object.key);
        cx.diagnostics.push(
            Diagnostic::not_modelled("emissary::kind", message, meaning)
                .label(object.name_span, "of the Edge Stack, or of no release"),
        );
    }
}

/// Objects written into annotations are not read.
fn annotations(cx: &mut Compile<'_>) {
    for object in cx.objects.iter() {
        if let Some(annotation) = object.annotation(ANNOTATION) {
            cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "emissary::annotation",
                    "objects in an annotation are not read",
                    "what they ask for is not served",
                )
                .label(annotation.span, "these")
                .help("write them as objects of their own"),
            );
        }
    }
}

struct Notes<'a>(&'a mut Diagnostics);

impl Notes<'_> {
    fn unmodelled(&mut self, field: Option<Present>, name: &str, meaning: &str) {
        if let Some(field) = field {
            self.0.push(
                Diagnostic::not_modelled("emissary::not-modelled", format!("`{name}`"), meaning)
                    .label(field.span, ""),
            );
        }
    }

    fn ignored(&mut self, field: Option<Present>, name: &str) {
        if let Some(field) = field {
            self.0.push(
                Diagnostic::warning(
                    "emissary::ignored",
                    format!("Emissary 4 makes nothing of `{name}`"),
                )
                .label(field.span, "has no effect"),
            );
        }
    }
}

/// Tells of the fields of a Mapping.
pub(super) fn of_mapping(spec: &MappingSpec, out: &mut Diagnostics) {
    let mut notes = Notes(out);
    let names = "names are resolved to what the manifests have";
    notes.unmodelled(spec.dns_type, "dns_type", names);
    notes.unmodelled(spec.enable_ipv4, "enable_ipv4", names);
    notes.unmodelled(spec.enable_ipv6, "enable_ipv6", names);
    notes.unmodelled(spec.respect_dns_ttl, "respect_dns_ttl", names);
    let keepalive = spec
        .keepalive
        .as_ref()
        .map(|node| Present { span: node.span });
    notes.unmodelled(keepalive, "keepalive", "the system's own settings hold");
    let asked = "there is nobody to ask";
    notes.unmodelled(
        spec.auth_context_extensions,
        "auth_context_extensions",
        asked,
    );
    notes.ignored(spec.outlier_detection, "outlier_detection");
    notes.ignored(spec.error_response_overrides, "error_response_overrides");
    notes.ignored(
        spec.bypass_error_response_overrides,
        "bypass_error_response_overrides",
    );
    notes.ignored(spec.modules, "modules");
    notes.ignored(spec.envoy_override, "envoy_override");
}

/// Tells of the settings of the Module `ambassador`.
fn of_module(module: &ModuleConfig, out: &mut Diagnostics) {
    let mut notes = Notes(out);
    let buffered = module.buffer.as_ref().and_then(|it| it.max_request_bytes);
    let meaning = "requests are passed on as they come, and none is refused with 413";
    notes.unmodelled(buffered, "buffer", meaning);
    let open = "CLIENTS THAT IT WOULD REFUSE with 403 are served";
    notes.unmodelled(module.ip_allow, "ip_allow", open);
    notes.unmodelled(module.ip_deny, "ip_deny", open);
    notes.unmodelled(module.lua_scripts, "lua_scripts", "they do not run");
    notes.unmodelled(module.gzip, "gzip", "answers are not compressed");
    let bridge = "gRPC is passed on as it comes";
    notes.unmodelled(module.enable_grpc_web, "enable_grpc_web", bridge);
    notes.unmodelled(
        module.enable_grpc_http11_bridge,
        "enable_grpc_http11_bridge",
        bridge,
    );
    notes.unmodelled(module.grpc_stats, "grpc_stats", "no bearing on traffic");
    let log = "access is logged as the proxy is told, if at all";
    notes.unmodelled(module.envoy_log_format, "envoy_log_format", log);
    notes.unmodelled(module.envoy_log_path, "envoy_log_path", log);
    notes.unmodelled(module.envoy_log_type, "envoy_log_type", log);
    let names = "headers have the case that this proxy gives them";
    notes.unmodelled(module.proper_case, "proper_case", names);
    notes.unmodelled(module.header_case_overrides, "header_case_overrides", names);
    let addresses = "names are resolved to what the manifests have";
    notes.unmodelled(module.enable_ipv4, "enable_ipv4", addresses);
    notes.unmodelled(module.enable_ipv6, "enable_ipv6", addresses);
    notes.unmodelled(
        module.keepalive,
        "keepalive",
        "the system's own settings hold",
    );
    let limits = "there is nobody to ask";
    notes.unmodelled(module.default_label_domain, "default_label_domain", limits);
    notes.unmodelled(module.default_labels, "default_labels", limits);
    let length = "a request with a length and chunks is refused";
    notes.unmodelled(module.allow_chunked_length, "allow_chunked_length", length);
    notes.unmodelled(module.runtime_flags, "runtime_flags", "they have no say");
    let size = "patterns may be as large as this proxy takes them";
    notes.unmodelled(module.regex_max_size, "regex_max_size", size);
    for (probe, name) in [
        (&module.diagnostics, "diagnostics"),
        (&module.liveness_probe, "liveness_probe"),
        (&module.readiness_probe, "readiness_probe"),
    ] {
        let fields = probe.as_ref().map(|it| {
            [it.prefix, it.rewrite, it.service, it.enabled]
                .into_iter()
                .flatten()
                .next()
        });
        let meaning = "the paths of Emissary's own, below `/ambassador/v0/`, are not there";
        notes.unmodelled(fields.flatten(), name, meaning);
    }
    for (field, name) in [
        (module.auth_enabled, "auth_enabled"),
        (module.debug_mode, "debug_mode"),
        (module.error_response_overrides, "error_response_overrides"),
        (module.prune_unreachable_routes, "prune_unreachable_routes"),
        (module.regex_type, "regex_type"),
        (module.service_port, "service_port"),
        (module.tls, "tls"),
        (module.use_proxy_proto, "use_proxy_proto"),
        (
            module.x_forwarded_proto_redirect,
            "x_forwarded_proto_redirect",
        ),
        (module.xff_num_trusted_hops, "xff_num_trusted_hops"),
        (
            module.buffer.as_ref().and_then(|it| it.max_request_time),
            "max_request_time",
        ),
    ] {
        notes.ignored(field, name);
    }
}
