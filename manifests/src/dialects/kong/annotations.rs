//! The annotations that Kong's ingress controller reads.
//!
//! Source: Kong/kubernetes-ingress-controller `internal/annotations/annotations.go`, `internal/dataplane/kongstate/{route,service}.go`.
//! Departs: a value that the controller would pass over in silence is an error here.

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::Object;
use crate::text::{Entry, Span, Spanned};

/// The prefix of Kong's own annotations.
const PREFIX: &str = "konghq.com/";
/// Sends to the Service's address in place of its pods'.
const SERVICE_UPSTREAM: &str = "ingress.kubernetes.io/service-upstream";
/// Answers plaintext requests with a redirect.
const FORCE_SSL: &str = "ingress.kubernetes.io/force-ssl-redirect";
/// The class of an object before there were class names.
pub(super) const CLASS: &str = "kubernetes.io/ingress.class";

/// One annotation as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Annotation<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a str,
    /// Where the key stands.
    pub key_span: Span,
    /// Where the value stands.
    pub span: Span,
}

/// The annotations of an object, in the order written.
pub fn annotations(object: &Object) -> impl Iterator<Item = Annotation<'_>> {
    let map = object
        .node
        .at("metadata.annotations")
        .and_then(|node| node.as_map());
    let entries: &[Entry] = map.map_or(&[], |map| map.entries());
    entries.iter().filter_map(|entry| {
        let value = entry.value.as_str()?;
        Some(Annotation {
            key: &entry.key.text,
            value,
            key_span: entry.key.span,
            span: entry.value.span,
        })
    })
}

/// Which object an annotation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Route,
    Service,
    Both,
    Elsewhere,
}

/// Every key after [`PREFIX`], and where it is read. Keys with a dot at the end take a name after it.
const KEYS: &[(&str, Place)] = &[
    ("plugins", Place::Both),
    ("tags", Place::Both),
    ("override", Place::Both),
    ("protocols", Place::Route),
    ("methods", Place::Route),
    ("snis", Place::Route),
    ("strip-path", Place::Route),
    ("preserve-host", Place::Route),
    ("regex-priority", Place::Route),
    ("regex-prefix", Place::Route),
    ("path-handling", Place::Route),
    ("headers.", Place::Route),
    ("headers-separator", Place::Route),
    ("https-redirect-status-code", Place::Route),
    ("request-buffering", Place::Route),
    ("response-buffering", Place::Route),
    ("host-aliases", Place::Route),
    ("rewrite", Place::Route),
    ("protocol", Place::Service),
    ("path", Place::Service),
    ("client-cert", Place::Service),
    ("host-header", Place::Service),
    ("upstream-policy", Place::Service),
    ("connect-timeout", Place::Service),
    ("read-timeout", Place::Service),
    ("write-timeout", Place::Service),
    ("retries", Place::Service),
    ("tls-verify", Place::Service),
    ("tls-verify-depth", Place::Service),
    ("ca-certificates-secrets", Place::Service),
    ("ca-certificates-configmaps", Place::Service),
    ("gatewayclass-unmanaged", Place::Elsewhere),
    ("publish-service", Place::Elsewhere),
];

/// What a route allows or what a Service speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2 in plaintext.
    Http,
    /// The same in TLS.
    Https,
    /// gRPC in plaintext.
    Grpc,
    /// gRPC in TLS.
    Grpcs,
}

/// How the Service's path and the request's path are joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathHandling {
    /// One slash joins them.
    V0,
    /// Put together as they are.
    V1,
}

/// A header condition: any of the values, without regard to case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderAsked {
    /// Lower case.
    pub name: String,
    /// Texts, or regular expressions behind `~*`.
    pub values: Vec<String>,
    /// Where they stand.
    pub span: Span,
}

/// A plugin that an object asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginAsked {
    /// `namespace:name` names one of another namespace.
    pub namespace: Option<String>,
    /// Its object's name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// What the annotations of an Ingress say of its routes. `None` is the controller's default.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RouteNotes {
    /// Default: off.
    pub strip_path: Option<Spanned<bool>>,
    /// Default: on.
    pub preserve_host: Option<Spanned<bool>>,
    /// Default: HTTP and HTTPS.
    pub protocols: Option<Spanned<Vec<Protocol>>>,
    /// Default: any.
    pub methods: Option<Spanned<Vec<String>>>,
    /// Default: any.
    pub snis: Option<Spanned<Vec<String>>>,
    /// All of them at once.
    pub headers: Vec<HeaderAsked>,
    /// Default: 0.
    pub regex_priority: Option<Spanned<u64>>,
    /// Default: `/~`.
    pub regex_prefix: Option<Spanned<String>>,
    /// Default: version 0.
    pub path_handling: Option<Spanned<PathHandling>>,
    /// Default: 426, and 302 when [`Self::force_ssl`] is set.
    pub https_status: Option<Spanned<u16>>,
    /// Takes HTTP out of the protocols.
    pub force_ssl: Option<Spanned<bool>>,
    /// Default: on.
    pub request_buffering: Option<Spanned<bool>>,
    /// Hosts beside the rule's own.
    pub host_aliases: Vec<Spanned<String>>,
    /// The path that goes upstream; `$1` stands for a group.
    pub rewrite: Option<Spanned<String>>,
    /// Plugins of the routes.
    pub plugins: Vec<PluginAsked>,
    /// A KongIngress.
    pub overridden_by: Option<Spanned<String>>,
}

/// What the annotations of a Service say of its upstream. `None` is the controller's default.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ServiceNotes {
    /// Default: HTTP.
    pub protocol: Option<Spanned<Protocol>>,
    /// Default: `/`.
    pub path: Option<Spanned<String>>,
    /// The Host of requests whose own is not kept.
    pub host_header: Option<Spanned<String>>,
    /// A KongUpstreamPolicy of the Service's namespace.
    pub upstream_policy: Option<Spanned<String>>,
    /// Milliseconds; default 60 000.
    pub connect_timeout: Option<Spanned<u64>>,
    /// Milliseconds; default 60 000.
    pub read_timeout: Option<Spanned<u64>>,
    /// Milliseconds; default 60 000.
    pub write_timeout: Option<Spanned<u64>>,
    /// Tries after the first; default 5.
    pub retries: Option<Spanned<u32>>,
    /// Default: off.
    pub service_upstream: Option<Spanned<bool>>,
    /// Plugins of the service.
    pub plugins: Vec<PluginAsked>,
    /// A KongIngress.
    pub overridden_by: Option<Spanned<String>>,
}

/// Reads the annotations of an Ingress.
pub fn read_route<'a>(
    annotations: impl IntoIterator<Item = Annotation<'a>>,
    out: &mut Diagnostics,
) -> RouteNotes {
    let mut notes = RouteNotes::default();
    let all: Vec<Annotation<'a>> = annotations.into_iter().collect();
    let separator = all
        .iter()
        .find(|a| a.key == "konghq.com/headers-separator")
        .map_or(",", |a| a.value);
    for note in &all {
        if note.key == FORCE_SSL {
            notes.force_ssl = flag(note, out);
        }
        let Some(key) = kongs_key(note, Place::Route, out) else {
            continue;
        };
        match key {
            "strip-path" => notes.strip_path = flag(note, out),
            "preserve-host" => notes.preserve_host = flag(note, out),
            "protocols" => {
                notes.protocols = list(note, protocol, "`http`, `https`, `grpc` or `grpcs`", out)
            }
            "methods" => notes.methods = list(note, method, "methods in capital letters", out),
            "snis" => {
                notes.snis = list(
                    note,
                    |name| Some(name.to_ascii_lowercase()),
                    "server names",
                    out,
                )
            }
            "regex-priority" => notes.regex_priority = number(note, out),
            "regex-prefix" => notes.regex_prefix = Some(text(note)),
            "path-handling" => notes.path_handling = one(note, path_handling, "`v0` or `v1`", out),
            "https-redirect-status-code" => {
                notes.https_status = one(note, redirect_status, "426, 301, 302, 307 or 308", out)
            }
            "request-buffering" => notes.request_buffering = flag(note, out),
            "response-buffering" => not_modelled(
                note,
                "answers are passed on as they come; where it stays on, Kong takes slow clients off the upstream's hands",
                out,
            ),
            "host-aliases" => notes.host_aliases = words(note),
            "rewrite" => notes.rewrite = Some(text(note)),
            "plugins" => notes.plugins = plugins(note),
            "override" => notes.overridden_by = Some(text(note)),
            "headers-separator" | "tags" => {}
            header => {
                if let Some(name) = header
                    .strip_prefix("headers.")
                    .filter(|name| !name.is_empty() && !note.value.is_empty())
                {
                    let values = note
                        .value
                        .split(separator)
                        .map(|value| value.trim().to_owned())
                        .collect();
                    notes.headers.push(HeaderAsked {
                        name: name.to_ascii_lowercase(),
                        values,
                        span: note.span,
                    });
                }
            }
        }
    }
    notes.headers.sort_by(|a, b| a.name.cmp(&b.name));
    notes
}

/// Reads the annotations of a Service.
pub fn read_service<'a>(
    annotations: impl IntoIterator<Item = Annotation<'a>>,
    out: &mut Diagnostics,
) -> ServiceNotes {
    let mut notes = ServiceNotes::default();
    for note in annotations {
        let note = &note;
        if note.key == SERVICE_UPSTREAM {
            notes.service_upstream = flag(note, out);
        }
        let Some(key) = kongs_key(note, Place::Service, out) else {
            continue;
        };
        match key {
            "protocol" => {
                notes.protocol = one(note, protocol, "`http`, `https`, `grpc` or `grpcs`", out)
            }
            "path" => notes.path = one(note, absolute, "a path that begins with `/`", out),
            "host-header" => notes.host_header = Some(text(note)),
            "upstream-policy" => notes.upstream_policy = Some(text(note)),
            "connect-timeout" => notes.connect_timeout = number(note, out),
            "read-timeout" => notes.read_timeout = number(note, out),
            "write-timeout" => notes.write_timeout = number(note, out),
            "retries" => notes.retries = one(note, retries, "a whole number up to 32767", out),
            "plugins" => notes.plugins = plugins(note),
            "override" => notes.overridden_by = Some(text(note)),
            "client-cert"
            | "tls-verify"
            | "tls-verify-depth"
            | "ca-certificates-secrets"
            | "ca-certificates-configmaps" => {
                not_modelled(note, "certificates of upstreams are taken as valid", out);
            }
            // `tags`, and keys that were reported above
            _ => {}
        }
    }
    notes
}

/// The part after `konghq.com/`, when this is a key of Kong's that is read at `place`; others are reported.
fn kongs_key<'a>(note: &Annotation<'a>, place: Place, out: &mut Diagnostics) -> Option<&'a str> {
    let key = note.key.strip_prefix(PREFIX)?;
    let known = KEYS
        .iter()
        .find(|(name, _)| *name == key || (name.ends_with('.') && key.starts_with(name)));
    let Some((_, at)) = known else {
        let names = KEYS.iter().map(|(name, _)| *name);
        let help = did_you_mean(key, names).map(|words| words.replacen('`', "`konghq.com/", 1));
        let message = format!("Kong knows no annotation `{}`", note.key);
        out.push(
            Diagnostic::error("kong::unknown-annotation", message)
                .label(note.key_span, "not known")
                .maybe_help(help),
        );
        return None;
    };
    if *at == place || *at == Place::Both {
        return Some(key);
    }
    let (here, there) = match (place, at) {
        (_, Place::Service) => ("an Ingress", "the Service that it sends to"),
        (_, Place::Route) => ("a Service", "the Ingress"),
        (_, Place::Elsewhere | Place::Both) => ("this object", "a GatewayClass or Gateway"),
    };
    let message = format!("`{}` does nothing on {here}", note.key);
    let help = format!("Kong reads it on {there}");
    out.push(
        Diagnostic::warning("kong::misplaced-annotation", message)
            .label(note.key_span, "has no effect here")
            .help(help),
    );
    None
}

fn text(note: &Annotation<'_>) -> Spanned<String> {
    Spanned::new(note.value.to_owned(), note.span)
}

/// The words of a comma-separated list; empty ones do not count.
fn words(note: &Annotation<'_>) -> Vec<Spanned<String>> {
    let words = note
        .value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words
        .map(|word| Spanned::new(word.to_owned(), note.span))
        .collect()
}

fn plugins(note: &Annotation<'_>) -> Vec<PluginAsked> {
    let asked = words(note).into_iter().map(|word| {
        let (namespace, name) = match word.value.split_once(':') {
            Some((namespace, name)) => (Some(namespace.trim().to_owned()), name.trim().to_owned()),
            None => (None, word.value.clone()),
        };
        PluginAsked {
            namespace,
            name,
            span: word.span,
        }
    });
    asked.collect()
}

fn flag(note: &Annotation<'_>, out: &mut Diagnostics) -> Option<Spanned<bool>> {
    one(
        note,
        |value| value.to_ascii_lowercase().parse().ok(),
        "`\"true\"` or `\"false\"`",
        out,
    )
}

fn number(note: &Annotation<'_>, out: &mut Diagnostics) -> Option<Spanned<u64>> {
    one(note, |value| value.parse().ok(), "a whole number", out)
}

fn one<T>(
    note: &Annotation<'_>,
    read: impl Fn(&str) -> Option<T>,
    expected: &str,
    out: &mut Diagnostics,
) -> Option<Spanned<T>> {
    let value = read(note.value.trim());
    if value.is_none() {
        bad_value(note, expected, out);
    }
    value.map(|value| Spanned::new(value, note.span))
}

fn list<T>(
    note: &Annotation<'_>,
    read: impl Fn(&str) -> Option<T>,
    expected: &str,
    out: &mut Diagnostics,
) -> Option<Spanned<Vec<T>>> {
    let values: Option<Vec<T>> = words(note).iter().map(|word| read(&word.value)).collect();
    let Some(values) = values else {
        bad_value(note, expected, out);
        return None;
    };
    (!values.is_empty()).then(|| Spanned::new(values, note.span))
}

fn bad_value(note: &Annotation<'_>, expected: &str, out: &mut Diagnostics) {
    let message = format!("`{}` cannot be `{}`", note.key, note.value);
    let help = format!("write {expected}; Kong would pass over this value and keep its default");
    out.push(
        Diagnostic::error("kong::bad-annotation", message)
            .label(note.span, "not a value of it")
            .help(help),
    );
}

fn not_modelled(note: &Annotation<'_>, meaning: &str, out: &mut Diagnostics) {
    let message = format!("`{}` is not modelled", note.key);
    out.push(
        Diagnostic::not_modelled("kong::not-modelled", message, meaning).label(note.key_span, ""),
    );
}

fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "http" => Some(Protocol::Http),
        "https" => Some(Protocol::Https),
        "grpc" => Some(Protocol::Grpc),
        "grpcs" => Some(Protocol::Grpcs),
        _ => None,
    }
}

fn method(text: &str) -> Option<String> {
    text.bytes()
        .all(|b| b.is_ascii_uppercase())
        .then(|| text.to_owned())
}

fn path_handling(text: &str) -> Option<PathHandling> {
    match text {
        "v0" => Some(PathHandling::V0),
        "v1" => Some(PathHandling::V1),
        _ => None,
    }
}

fn redirect_status(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|status| [426, 301, 302, 307, 308].contains(status))
}

fn absolute(text: &str) -> Option<String> {
    text.starts_with('/').then(|| text.to_owned())
}

fn retries(text: &str) -> Option<u32> {
    text.parse().ok().filter(|retries| *retries <= 32_767)
}
