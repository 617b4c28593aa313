//! Hosts: for which names Emissary has virtual hosts, which Mappings they take, and what is done with requests in the clear.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::globs;
use super::install::Install;
use super::read::{key, labels, sorted};
use super::tls::{self, Context, assume_secret};
use super::types::{Action, Document, HostSpec, Selector};
use super::version::Version;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Labels;
use crate::text::{Span, Spanned, read};

/// A certificate for where no Host is.
const FALLBACK_SECRET: &str = "fallback-self-signed-cert";

/// One Host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// `name.namespace`.
    pub(super) key: String,
    pub(super) namespace: String,
    pub(super) labels: Labels,
    /// A glob, in lower case.
    pub(super) hostname: String,
    /// Labels that its Mappings have; none: it goes by their names.
    pub(super) selector: Option<Labels>,
    pub(super) insecure: Action,
    /// How TLS ends; none: it does not.
    pub(super) tls: Option<Ends>,
    pub(super) origin: OriginId,
}

/// How TLS ends at a Host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ends {
    /// The TLSContext by name and namespace: Hosts of one server name share theirs.
    pub(super) context: (String, String),
    /// The Secret.
    pub(super) certificate: Name,
    pub(super) alpn: Vec<Box<str>>,
}

/// What of a Mapping, or of several in one group, decides whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// A glob.
    pub(super) host: Option<&'a str>,
    /// Whether it is a regular expression, which every Host takes.
    pub(super) is_regex: bool,
    pub(super) labels: &'a Labels,
}

impl Host {
    /// The name that clients ask for over TLS.
    pub(super) fn server_name(&self) -> &str {
        let (name, _) = self
            .hostname
            .rsplit_once(':')
            .unwrap_or((&self.hostname, ""));
        name
    }

    /// Source: emissary `python/ambassador/src/ambassador/ir/irhost.py` (`matches_httpgroup`).
    pub(super) fn takes(&self, asked: Asked<'_>, loose: bool) -> bool {
        let by_name = match (asked.is_regex, asked.host) {
            (true, _) => Some(true),
            (false, Some(host)) => Some(globs::meet(&self.hostname, host)),
            (false, None) => None,
        };
        let selector = self.selector.as_ref();
        let by_labels = selector.map(|wanted| globs::selects(wanted, asked.labels, loose));
        match (by_name, by_labels) {
            (name, labels) if loose => name == Some(true) || labels == Some(true),
            (Some(name), Some(labels)) => name && labels,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => false,
        }
    }
}

/// Those of the manifests that Emissary takes.
pub(super) fn all(install: &Install, contexts: &[Context], cx: &mut Compile<'_>) -> Vec<Host> {
    let objects = sorted(cx.objects, install, "Host");
    let mut found = Vec::new();
    for object in objects {
        if Version::of(object, cx.diagnostics).is_none() {
            continue;
        }
        let Some(document) = read::<Document<HostSpec>>(&object.node, cx.diagnostics) else {
            continue;
        };
        found.extend(host(object, &document.spec, contexts, cx));
    }
    found
}

fn host(
    object: &Object,
    spec: &HostSpec,
    contexts: &[Context],
    cx: &mut Compile<'_>,
) -> Option<Host> {
    tell(spec, cx);
    let tls = ends(object, spec, contexts, cx)?;
    let policy = spec.request_policy.as_ref();
    let insecure = policy.and_then(|policy| policy.insecure.as_ref()?.action);
    let hostname = spec.hostname.as_ref().filter(|name| !name.is_empty());
    let selector = [&spec.mapping_selector, &spec.selector];
    let selector = selector
        .into_iter()
        .find_map(|it| it.as_ref().filter(|it| !is_empty(it)));
    Some(Host {
        key: key(object),
        namespace: object.key.namespace.clone(),
        labels: labels(object),
        hostname: hostname.map_or_else(|| "*".to_owned(), |name| name.to_ascii_lowercase()),
        selector: selector.map(|it| wanted(it)),
        insecure: insecure.map_or(Action::Redirect, |action| action.value),
        tls,
        origin: cx.origins.written(object.name_span),
    })
}

const fn is_empty(selector: &Spanned<Selector>) -> bool {
    selector.value.match_labels.is_none() && selector.value.match_expressions.is_none()
}

/// The labels that a selector asks for.
pub(super) fn wanted(selector: &Selector) -> Labels {
    let all = selector.match_labels.iter().flatten();
    all.map(|(key, value)| (key.as_str().into(), value.as_str().into()))
        .collect()
}

/// How TLS ends; the outer none: Emissary leaves the Host out.
///
/// Source: emissary `irhost.py` (`setup`, `save_context`): TLS ends where there is a `tlsSecret`, whatever else is written.
fn ends(
    object: &Object,
    spec: &HostSpec,
    contexts: &[Context],
    cx: &mut Compile<'_>,
) -> Option<Option<Ends>> {
    let secret = spec.tls_secret.as_ref();
    let secret_name = secret.and_then(|secret| secret.name.as_ref());
    let named = spec.tls_context.as_ref().and_then(|it| it.name.as_ref());
    let Some(secret_name) = secret_name.filter(|name| !name.is_empty()) else {
        let unused = named
            .map(|it| it.span)
            .or_else(|| spec.tls.as_ref().map(|it| it.span));
        if let Some(span) = unused {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "emissary::no-certificate",
                    "Emissary ends TLS for Hosts with a `tlsSecret` alone",
                )
                .label(span, "has no effect")
                .help("name the Secret of the TLSContext under `tlsSecret`, too"),
            );
        }
        return Some(None);
    };
    let namespace = secret.and_then(|secret| secret.namespace.as_ref());
    let namespace = namespace.map_or(&*object.key.namespace, |it| it.as_str());
    let certificate: Name = format!("{namespace}/{secret_name}").into();
    assume_secret(&certificate, secret_name.span, cx);
    if let (Some(context), Some(own)) = (named, &spec.tls) {
        cx.diagnostics.push(
            Diagnostic::error(
                "emissary::host-tls",
                "a Host has `tlsContext` or `tls`, not both",
            )
            .label(own.span, "one too many")
            .label(context.span, "the other"),
        );
        return None;
    }
    let implicit = format!("{}-context", object.key.name);
    let found = match (named, &spec.tls) {
        (Some(name), _) => {
            let Some(found) = contexts.iter().find(|it| it.name == name.value) else {
                let names = contexts.iter().map(|it| it.name.as_str());
                cx.diagnostics.push(
                    Diagnostic::error(
                        "emissary::unknown-context",
                        format!("there is no TLSContext `{name}`"),
                    )
                    .label(name.span, "asked for here")
                    .maybe_help(did_you_mean(name, names)),
                );
                return None;
            };
            Some(found)
        }
        (None, Some(_)) => None,
        (None, None) => contexts.iter().find(|it| it.name == implicit),
    };
    let Some(context) = found else {
        let alpn = spec.tls.as_ref().map(|own| tls::of_host(own, cx));
        return Some(Some(Ends {
            context: (implicit, object.key.namespace.clone()),
            certificate,
            alpn: alpn.unwrap_or_default(),
        }));
    };
    if context.secret.as_ref().is_some_and(|it| *it != certificate) {
        let there = super::span_of(context.origin, cx);
        cx.diagnostics.push(
            Diagnostic::error(
                "emissary::other-secret",
                "the Host and its TLSContext have different Secrets",
            )
            .label(secret_name.span, "the Host's")
            .label(there, "the TLSContext"),
        );
        return None;
    }
    Some(Some(Ends {
        context: (context.name.clone(), context.namespace.clone()),
        certificate,
        alpn: context.alpn.clone(),
    }))
}

fn tell(spec: &HostSpec, cx: &mut Compile<'_>) {
    let out = &mut *cx.diagnostics;
    let mut ignored = |span: Span, why: &str| {
        out.push(
            Diagnostic::warning("emissary::ignored", why.to_owned()).label(span, "has no effect"),
        );
    };
    let policy = spec.request_policy.as_ref();
    let insecure = policy.and_then(|policy| policy.insecure.as_ref());
    if let Some(port) = insecure.and_then(|it| it.additional_port) {
        ignored(
            port.span,
            "Emissary 4 listens where a Listener says so, and nowhere else",
        );
    }
    if let Some(preview) = spec.preview_url {
        ignored(preview.span, "Emissary 4 does not read `previewUrl`");
    }
    if let Some(acme) = spec.acme_provider {
        out.push(
            Diagnostic::listed(
                "emissary::acme",
                "Emissary itself asks nobody for certificates",
            )
            .label(acme.span, "of the Edge Stack"),
        );
    }
    let selectors = [&spec.mapping_selector, &spec.selector];
    for selector in selectors.into_iter().flatten() {
        selector_words(selector, cx);
    }
}

/// Expressions of a selector are not read.
pub(super) fn selector_words(selector: &Selector, cx: &mut Compile<'_>) {
    if let Some(words) = selector.match_expressions {
        cx.diagnostics.push(
            Diagnostic::warning(
                "emissary::ignored",
                "Emissary reads `matchLabels` of a selector alone",
            )
            .label(
                words.span,
                "has no effect: what it would leave out is taken",
            ),
        );
    }
}

/// The Host of an Emissary that has none: every name, in the clear; over TLS, where there is a certificate for it.
///
/// Source: emissary `irhost.py` (`HostFactory.finalize`).
pub(super) fn fallback(install: &Install, defaults: OriginId, cx: &Compile<'_>) -> Host {
    let namespace = &install.namespace;
    let certificate = cx.objects.get("", "Secret", namespace, FALLBACK_SECRET);
    let context = ("default-host-context".to_owned(), namespace.to_string());
    Host {
        key: "default-host".to_owned(),
        namespace: namespace.to_string(),
        labels: Labels::new(),
        hostname: "*".to_owned(),
        selector: None,
        insecure: match certificate {
            Some(_) => Action::Redirect,
            None => Action::Route,
        },
        tls: certificate.map(|_| Ends {
            context,
            certificate: format!("{namespace}/{FALLBACK_SECRET}").into(),
            alpn: Vec::new(),
        }),
        origin: defaults,
    }
}
