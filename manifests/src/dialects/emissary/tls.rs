//! TLSContexts: how TLS ends, and how it is spoken to services.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::hosts::Host;
use super::install::Install;
use super::read::sorted;
use super::types::{ContextSpec, Document, ModuleConfig, Tls};
use super::version::Version;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::Credential;
use crate::text::{Present, Span, Spanned, read};

/// One TLSContext.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Server names that it is for; none: it ends no TLS.
    pub(super) hosts: Vec<String>,
    /// `namespace/name` of its Secret.
    pub(super) secret: Option<Name>,
    /// Whether it has a certificate, of a Secret or from a file: without one it counts for none.
    pub(super) has_certificate: bool,
    /// Protocols that are offered.
    pub(super) alpn: Vec<Box<str>>,
    /// The server name asked for, on the way to a service.
    pub(super) sni: Option<String>,
    pub(super) origin: OriginId,
}

/// All of them; of several with one name the first counts.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irtlscontext.py`.
pub(super) fn contexts(
    install: &Install,
    module: &ModuleConfig,
    cx: &mut Compile<'_>,
) -> Vec<Context> {
    let mut found: BTreeMap<String, (Context, Span)> = BTreeMap::new();
    let defaults = module.defaults.as_ref();
    let namespacing = defaults.and_then(|it| it.tls_secret_namespacing);
    for object in sorted(cx.objects, install, "TLSContext") {
        if Version::of(object, cx.diagnostics).is_none() {
            continue;
        }
        let Some(document) = read::<Document<ContextSpec>>(&object.node, cx.diagnostics) else {
            continue;
        };
        let spec = document.spec;
        let name = object.key.name.clone();
        if let Some((_, first)) = found.get(&name) {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "emissary::second-context",
                    format!("a second TLSContext `{name}` is not read"),
                )
                .label(object.name_span, "has no effect")
                .label(*first, "this one counts"),
            );
            continue;
        }
        tell(&of_context(&spec), cx);
        let namespaced = spec.secret_namespacing.or(namespacing);
        let namespaced = namespaced.is_none_or(|it| it.value);
        let secret = spec.secret.as_ref().map(|secret| {
            let (name, namespace) = match secret.rsplit_once('.') {
                Some((name, namespace)) if namespaced => (name, namespace),
                Some(_) | None => (secret.as_str(), object.key.namespace.as_str()),
            };
            let name: Name = format!("{namespace}/{name}").into();
            assume_secret(&name, secret.span, cx);
            name
        });
        let context = Context {
            has_certificate: secret.is_some() || spec.cert_chain_file.is_some(),
            hosts: spec
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            namespace: object.key.namespace.clone(),
            secret,
            alpn: alpn(spec.alpn_protocols.as_ref()),
            sni: spec.sni.map(|sni| sni.value),
            origin: cx.origins.written(object.name_span),
            name: name.clone(),
        };
        found.insert(name, (context, object.name_span));
    }
    found.into_values().map(|(context, _)| context).collect()
}

/// Gives TLSContexts without a Secret those of the Hosts that use them.
///
/// Source: emissary `irhost.py` (`save_context`).
pub(super) fn complete(contexts: &mut [Context], hosts: &[Host]) {
    for context in contexts.iter_mut().filter(|it| it.secret.is_none()) {
        let mut uses = hosts.iter().filter_map(|host| host.tls.as_ref());
        if let Some(ends) = uses.find(|ends| ends.context.0 == context.name) {
            context.secret = Some(ends.certificate.clone());
            context.has_certificate = true;
        }
    }
}

/// What a Host says of TLS itself.
pub(super) fn of_host(spec: &Tls, cx: &mut Compile<'_>) -> Vec<Box<str>> {
    tell(
        &Unmodelled {
            files: [spec.cert_chain_file, spec.private_key_file],
            clients: [spec.ca_secret, spec.cacert_chain_file, spec.cert_required],
            revoked: spec.crl_secret,
            ciphers: [spec.cipher_suites, spec.ecdh_curves],
            versions: [
                spec.min_tls_version.map(|it| it.span),
                spec.max_tls_version.map(|it| it.span),
            ],
            ignored: spec.redirect_cleartext_from,
        },
        cx,
    );
    alpn(spec.alpn_protocols.as_ref())
}

/// Protocols with commas between; Envoy offers none unless told so, whereby clients speak HTTP/1.1.
fn alpn(written: Option<&Spanned<String>>) -> Vec<Box<str>> {
    let text = written.map_or("", |it| it.value.as_str());
    let all = text.split(',').map(str::trim);
    all.filter(|it| !it.is_empty()).map(Into::into).collect()
}

/// Fields of TLS that nothing is made of.
struct Unmodelled {
    files: [Option<Present>; 2],
    clients: [Option<Present>; 3],
    revoked: Option<Present>,
    ciphers: [Option<Present>; 2],
    versions: [Option<Span>; 2],
    ignored: Option<Present>,
}

fn of_context(spec: &ContextSpec) -> Unmodelled {
    Unmodelled {
        files: [spec.cert_chain_file, spec.private_key_file],
        clients: [spec.ca_secret, spec.cacert_chain_file, spec.cert_required],
        revoked: spec.crl_secret,
        ciphers: [spec.cipher_suites, spec.ecdh_curves],
        versions: [
            spec.min_tls_version.map(|it| it.span),
            spec.max_tls_version.map(|it| it.span),
        ],
        ignored: spec.redirect_cleartext_from,
    }
}

fn tell(fields: &Unmodelled, cx: &mut Compile<'_>) {
    let spans = |fields: &[Option<Present>]| -> Vec<Span> {
        fields.iter().flatten().map(|it| it.span).collect()
    };
    let mut say = |what: &str, spans: Vec<Span>, meaning: &str| {
        let Some(first) = spans.first() else {
            return;
        };
        let mut note =
            Diagnostic::not_modelled("emissary::not-modelled", what, meaning).label(*first, "");
        for other in &spans[1..] {
            note = note.label(*other, "");
        }
        cx.diagnostics.push(note);
    };
    say(
        "certificates of clients and of services",
        spans(&fields.clients),
        "CLIENTS WITHOUT A CERTIFICATE, which it would refuse, are served, and no service's certificate is looked at",
    );
    say(
        "certificates that are taken back",
        spans(&[fields.revoked]),
        "they count like others",
    );
    say(
        "a certificate from a file",
        spans(&fields.files),
        "the proxy signs one itself, which clients do not trust",
    );
    say(
        "ciphers and curves",
        spans(&fields.ciphers),
        "those of this proxy are offered",
    );
    say(
        "versions of TLS",
        fields.versions.iter().flatten().copied().collect(),
        "TLS 1.2 and 1.3 are spoken",
    );
    if let Some(ignored) = fields.ignored {
        cx.diagnostics.push(
            Diagnostic::warning("emissary::ignored", "Emissary 4 does not read this field")
                .label(ignored.span, "has no effect")
                .help("`requestPolicy.insecure` of a Host says what is done with requests in the clear"),
        );
    }
}

/// A Secret that is not among the manifests is taken to be in the cluster.
pub(super) fn assume_secret(name: &str, span: Span, cx: &mut Compile<'_>) {
    let Some((namespace, secret)) = name.split_once('/') else {
        return;
    };
    if cx.objects.get("", "Secret", namespace, secret).is_some() {
        return;
    }
    let message = format!("the Secret {name} is not among the manifests");
    let meaning = "it is taken to be in the cluster: Emissary leaves a Host out whose Secret is not there, and a TLSContext as well";
    cx.diagnostics.push(
        Diagnostic::assumed("emissary::secret", message, meaning).label(span, "asked for here"),
    );
}

/// How a service is spoken to over TLS: its certificate is not looked at.
///
/// Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3tls.py`; Envoy checks nothing without a validation context.
pub(super) fn credential(context: Option<&Context>, over_http2: bool) -> Credential {
    let own = context.and_then(|context| context.secret.clone());
    let alpn: Vec<Box<str>> = match context {
        Some(context) if !context.alpn.is_empty() => context.alpn.clone(),
        Some(_) | None if over_http2 => vec!["h2".into()],
        Some(_) | None => Vec::new(),
    };
    Credential {
        pairs: own.into_iter().collect(),
        roots: None,
        names: Vec::new(),
        checks_host: false,
        takes_any: false,
        alpn,
    }
}
