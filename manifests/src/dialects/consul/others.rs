//! Kinds that are read, checked and not modelled, and what that means.

use super::annotations;
use super::notes::{bad_value, enterprise, given, left_out};
use super::read::spec;
use super::registry::Registry;
use super::types::{
    ExportedServices, IngressGateway, IntentionHeader, IntentionHttp, Intentions, JwtProvider,
    Permission, Registration, RequestLimit, SamenessGroup, Source, Spec, TerminatingGateway,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::text::Spanned;

/// Kinds whose fields are not looked at: they are for the API gateway.
const OF_GATEWAYS: [(&str, &str); 6] = [
    (
        "GatewayClassConfig",
        "what a class of gateways is made of has no bearing",
    ),
    (
        "GatewayPolicy",
        "no token is asked for: requests that it would refuse are served",
    ),
    (
        "RouteAuthFilter",
        "no token is asked for: requests that it would refuse are served",
    ),
    ("RouteRetryFilter", "the gateway tries nothing again by it"),
    ("RouteTimeoutFilter", "the gateway bounds nothing by it"),
    ("MeshService", "routes of the Gateway API cannot lead to it"),
];
/// Methods that a permission may name.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
];

/// Reads an object of Consul's group that no proxy here goes by.
pub(super) fn read(object: &Object, registry: &Registry, cx: &mut Compile<'_>) {
    let kind = object.key.kind.as_str();
    let meaning = match kind {
        "ServiceIntentions" => {
            if let Some(written) = spec::<Intentions>(object, cx) {
                intentions(object, &written, registry, cx);
            }
            return;
        }
        "IngressGateway" => {
            if let Some(written) = spec::<IngressGateway>(object, cx) {
                ingress(&written, registry, cx);
            }
            "no gateway of its own serves what it lists"
        }
        "TerminatingGateway" => {
            spec::<TerminatingGateway>(object, cx);
            "services outside are called as any address outside the mesh"
        }
        "JWTProvider" => {
            spec::<JwtProvider>(object, cx);
            "no token is asked for: requests that it would refuse with 401 are served"
        }
        "ExportedServices" => {
            spec::<ExportedServices>(object, cx);
            "there is one cluster: nobody else calls them"
        }
        "SamenessGroup" => {
            spec::<SamenessGroup>(object, cx);
            "there is one cluster, and groups need Consul Enterprise"
        }
        "PeeringAcceptor" | "PeeringDialer" => {
            spec::<Spec>(object, cx);
            "there is one cluster"
        }
        "ControlPlaneRequestLimit" => {
            spec::<RequestLimit>(object, cx);
            "it bounds what Consul's own servers are asked, not what services are"
        }
        "Registration" => {
            spec::<Registration>(object, cx);
            "what it registers is no instance of any service"
        }
        _ => match OF_GATEWAYS.iter().find(|(known, _)| *known == kind) {
            Some((_, meaning)) => meaning,
            None => {
                unknown(object, cx.diagnostics);
                return;
            }
        },
    };
    left_out(
        object.name_span,
        &object.key.to_string(),
        meaning,
        cx.diagnostics,
    );
}

fn unknown(object: &Object, out: &mut Diagnostics) {
    let known = [
        "ServiceDefaults",
        "ProxyDefaults",
        "ServiceRouter",
        "ServiceSplitter",
        "ServiceResolver",
        "ServiceIntentions",
        "Mesh",
        "IngressGateway",
        "TerminatingGateway",
        "JWTProvider",
        "ExportedServices",
        "SamenessGroup",
        "PeeringAcceptor",
        "PeeringDialer",
        "ControlPlaneRequestLimit",
        "Registration",
    ];
    let kind = object.key.kind.as_str();
    let known = known
        .into_iter()
        .chain(OF_GATEWAYS.iter().map(|(kind, _)| *kind));
    out.push(
        Diagnostic::error(
            "consul::unknown-kind",
            format!("Consul has no kind `{kind}`"),
        )
        .label(object.name_span, "this object")
        .maybe_help(did_you_mean(kind, known)),
    );
}

/// Who may call is not modelled: whatever an intention refuses is served, which is told as loudly as can be.
fn intentions(object: &Object, written: &Intentions, registry: &Registry, cx: &mut Compile<'_>) {
    let destination = given(written.destination.name.as_ref());
    enterprise(
        written.destination.namespace.as_ref(),
        "a namespace of Consul",
        cx.diagnostics,
    );
    if written.sources.is_empty() {
        bad_value(
            object.name_span,
            "an intention needs `sources`",
            cx.diagnostics,
        );
    }
    match destination {
        None => bad_value(
            object.name_span,
            "an intention needs the `name` of a `destination`",
            cx.diagnostics,
        ),
        Some(name) => known(name, registry, cx.diagnostics),
    }
    let mut refuses = false;
    for source in &written.sources {
        refuses |= self::source(source, registry, cx.diagnostics);
    }
    let asks = written
        .jwt
        .as_ref()
        .is_some_and(|jwt| !jwt.providers.is_empty());
    let name = destination.map_or("*", |name| name.as_str());
    let whom = match name {
        "*" => "every service".to_owned(),
        name => format!("`{name}`"),
    };
    if refuses || asks {
        cx.diagnostics.push(
            Diagnostic::warning(
                "consul::open",
                format!("{whom} is open here: who may call is not modelled"),
            )
            .label(object.name_span, "refuses some, and here serves all")
            .help(format!(
                "requests that {} would refuse are counted as served",
                object.key
            )),
        );
    }
    left_out(
        object.name_span,
        &object.key.to_string(),
        "it allows nobody and refuses nobody: requests that it would refuse with 403, and connections that it would close, are served",
        cx.diagnostics,
    );
}

fn known(name: &Spanned<String>, registry: &Registry, out: &mut Diagnostics) {
    if name.as_str() == "*" || registry.get(name).is_some() {
        return;
    }
    out.push(
        Diagnostic::warning(
            "consul::unknown-service",
            format!("the mesh has no service `{name}`"),
        )
        .label(name.span, "named here")
        .maybe_help(did_you_mean(name, registry.names())),
    );
}

/// Checks who calls; whether some of them are refused.
fn source(written: &Spanned<Source>, registry: &Registry, out: &mut Diagnostics) -> bool {
    enterprise(written.namespace.as_ref(), "a namespace of Consul", out);
    enterprise(written.partition.as_ref(), "a partition", out);
    enterprise(written.sameness_group.as_ref(), "a sameness group", out);
    match given(written.name.as_ref()) {
        None => bad_value(written.span, "a source needs a `name`", out),
        Some(name) if given(written.peer.as_ref()).is_none() => known(name, registry, out),
        Some(_) => {}
    }
    let action = given(written.action.as_ref());
    match (action, written.permissions.is_empty()) {
        (None, true) => bad_value(written.span, "needs `action` or `permissions`", out),
        (Some(action), false) => {
            bad_value(
                action.span,
                "`action` and `permissions` exclude each other",
                out,
            );
        }
        (Some(action), true) => return !allows(action, out),
        (None, false) => {}
    }
    for permission in &written.permissions {
        self::permission(permission, out);
    }
    // whoever no permission names has the mesh's default
    !written.permissions.is_empty()
}

fn allows(action: &Spanned<String>, out: &mut Diagnostics) -> bool {
    match action.as_str() {
        "allow" => true,
        "deny" => false,
        _ => {
            bad_value(action.span, "must be `allow` or `deny`", out);
            true
        }
    }
}

fn permission(written: &Spanned<Permission>, out: &mut Diagnostics) {
    match given(written.action.as_ref()) {
        None => bad_value(written.span, "a permission needs an `action`", out),
        Some(action) => {
            allows(action, out);
        }
    }
    match &written.http {
        None if written.jwt.is_none() => {
            bad_value(written.span, "a permission needs `http`", out);
        }
        None => {}
        Some(http) => requests(http, out),
    }
}

fn requests(written: &Spanned<IntentionHttp>, out: &mut Diagnostics) {
    let exact = given(written.path_exact.as_ref());
    let prefix = given(written.path_prefix.as_ref());
    let regex = given(written.path_regex.as_ref());
    if [exact, prefix, regex].into_iter().flatten().count() > 1 {
        let message = "has one of `pathExact`, `pathPrefix` and `pathRegex` at most";
        bad_value(written.span, message, out);
    }
    for path in [exact, prefix].into_iter().flatten() {
        if !path.starts_with('/') {
            bad_value(path.span, "must begin with `/`", out);
        }
    }
    for header in &written.header {
        self::header(header, out);
    }
    for (at, method) in written.methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            bad_value(method.span, format!("`{method}` is no method"), out);
        } else if written.methods[..at].contains(method) {
            bad_value(method.span, format!("`{method}` stands twice"), out);
        }
    }
}

fn header(written: &Spanned<IntentionHeader>, out: &mut Diagnostics) {
    if given(written.name.as_ref()).is_none() {
        bad_value(written.span, "needs a `name`", out);
    }
    let forms = [
        given(written.exact.as_ref()),
        given(written.prefix.as_ref()),
        given(written.suffix.as_ref()),
        given(written.contains.as_ref()),
        given(written.regex.as_ref()),
    ];
    let count = forms.into_iter().flatten().count() + usize::from(written.present);
    if count != 1 {
        bad_value(
            written.span,
            "has one of `present`, `exact`, `prefix`, `suffix`, `contains` and `regex`",
            out,
        );
    }
    if written.ignore_case && forms[..4].iter().all(Option::is_none) {
        bad_value(
            written.span,
            "`ignoreCase` is for `exact`, `prefix`, `suffix` and `contains`",
            out,
        );
    }
}

fn ingress(written: &IngressGateway, registry: &Registry, cx: &mut Compile<'_>) {
    for listener in &written.listeners {
        if !listener
            .port
            .is_some_and(|port| (1..=65535).contains(&port.value))
        {
            bad_value(
                listener.span,
                "needs a `port` from 1 to 65535",
                cx.diagnostics,
            );
        }
        if let Some(protocol) = given(listener.protocol.as_ref())
            && !["tcp", "http", "http2", "grpc"].contains(&protocol.as_str())
        {
            let message = "must be `tcp`, `http`, `http2` or `grpc`";
            bad_value(protocol.span, message, cx.diagnostics);
        }
        for service in &listener.services {
            match given(service.name.as_ref()) {
                None => bad_value(service.span, "needs a `name`", cx.diagnostics),
                Some(name) => known(name, registry, cx.diagnostics),
            }
        }
    }
}

/// What a Service says of the catalog; a label that is no truth value leaves it in.
pub(super) fn check_label(object: &Object, out: &mut Diagnostics) {
    let label = object.label(annotations::IGNORE);
    if let Some(label) = label.filter(|label| annotations::boolean(label.value).is_none()) {
        let message = format!("`{}` cannot be `{label}`", annotations::IGNORE);
        out.push(
            Diagnostic::warning("consul::bad-label", message)
                .label(label.span, "the Service is not left out")
                .help("write \"true\""),
        );
    }
}
