//! References between objects.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes.go` (`resolveReference`, `makeID`), `pkg/provider/provider.go` (`Normalize`).

use super::GROUP;
use super::install::Provider;
use super::types::Reference;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::{Object, Objects};
use crate::text::Spanned;

/// What a reference with a provider's name ends with, of objects in the cluster.
const CRD: &str = "kubernetescrd";

/// Every object of a kind of Traefik's, in the order written.
pub(super) fn all<'c>(objects: &'c Objects, kind: &str) -> Vec<&'c Object> {
    let found = objects
        .iter()
        .filter(|object| object.key.group == GROUP && object.key.kind == kind);
    found.collect()
}

/// The object that a reference names; what is not there, or may not be referred to, is an error.
pub(super) fn resolve<'c>(
    reference: &Reference,
    kind: &str,
    from: &str,
    provider: &Provider,
    cx: &mut Compile<'c>,
) -> Option<&'c Object> {
    if reference.name.contains('@') {
        return resolve_qualified(&reference.name, kind, from, provider, cx);
    }
    let named = reference.namespace.as_ref();
    let namespace = named.map_or(from, |it| it.value.as_str());
    let namespace = if namespace.is_empty() {
        from
    } else {
        namespace
    };
    if namespace != from && !provider.cross_namespace {
        let span = named.map_or(reference.name.span, |it| it.span);
        report_foreign(span, kind, from, cx);
        return None;
    }
    let objects = cx.objects;
    let found = objects.get(GROUP, kind, namespace, &reference.name);
    if found.is_none() {
        report_missing(&reference.name, kind, namespace, cx);
    }
    found
}

/// The object that `namespace-name@kubernetescrd` names.
pub(super) fn resolve_qualified<'c>(
    name: &Spanned<String>,
    kind: &str,
    from: &str,
    provider: &Provider,
    cx: &mut Compile<'c>,
) -> Option<&'c Object> {
    let (id, by) = name.rsplit_once('@')?;
    if by != CRD {
        let message = format!("`{name}` is of the provider `{by}`");
        let meaning = "what it names is not among the manifests: its router serves nothing";
        cx.diagnostics.push(
            Diagnostic::not_modelled("traefik::other-provider", message, meaning)
                .label(name.span, ""),
        );
        return None;
    }
    let objects = cx.objects;
    let candidates = all(objects, kind);
    let found = candidates.iter().copied().find(|object| {
        normalized(&format!("{}-{}", object.key.namespace, object.key.name)) == normalized(id)
    });
    let Some(found) = found else {
        let names: Vec<String> = candidates
            .iter()
            .map(|it| format!("{}-{}@{CRD}", it.key.namespace, it.key.name))
            .collect();
        cx.diagnostics.push(
            Diagnostic::error(unknown(kind), format!("no {kind} is named by `{name}`"))
                .label(name.span, "asked for here")
                .maybe_help(did_you_mean(name, names.iter().map(String::as_str)))
                .maybe_help(
                    (!candidates.is_empty() && !id.contains('-'))
                        .then(|| format!("write its namespace before it: `{from}-{id}@{CRD}`")),
                ),
        );
        return None;
    };
    // of Ingresses every reference has a provider's name, and so may lead anywhere
    if found.key.namespace != from && provider.is_crd && !provider.cross_namespace {
        report_foreign(name.span, kind, from, cx);
        return None;
    }
    Some(found)
}

/// Letters and digits as they are, everything else one dash.
fn normalized(text: &str) -> String {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

pub(super) fn report_foreign(
    span: crate::text::Span,
    kind: &str,
    from: &str,
    cx: &mut Compile<'_>,
) {
    cx.diagnostics.push(
        Diagnostic::error(
            "traefik::cross-namespace",
            format!("a {kind} outside of namespace `{from}` may not be referred to"),
        )
        .label(span, "the router is left out, and its requests are 404")
        .help("Traefik allows it with `--providers.kubernetescrd.allowcrossnamespace=true`"),
    );
}

fn report_missing(name: &Spanned<String>, kind: &str, namespace: &str, cx: &mut Compile<'_>) {
    let all = all(cx.objects, kind);
    let here = all.iter().filter(|it| it.key.namespace == namespace);
    let names = here.map(|it| it.key.name.as_str());
    let elsewhere = all.iter().find(|it| it.key.name == name.value);
    let help = did_you_mean(name, names).or_else(|| {
        let other = &elsewhere?.key.namespace;
        Some(format!("there is one in namespace `{other}`"))
    });
    cx.diagnostics.push(
        Diagnostic::error(
            unknown(kind),
            format!("no {kind} `{name}` in namespace `{namespace}`"),
        )
        .label(
            name.span,
            "without it the router is left out, and its requests are 404",
        )
        .maybe_help(help),
    );
}

/// The code of a reference to nothing.
fn unknown(kind: &str) -> &'static str {
    match kind {
        "Middleware" | "MiddlewareTCP" => "traefik::unknown-middleware",
        "TraefikService" => "traefik::unknown-traefikservice",
        "ServersTransport" | "ServersTransportTCP" => "traefik::unknown-transport",
        "TLSOption" => "traefik::unknown-tlsoption",
        _ => "traefik::unknown-reference",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_letters_and_digits() {
        for (left, right) in [
            ("default-strip", "default-strip"),
            ("shop-a.b", "shop-a-b"),
            ("a--b", "a-b"),
        ] {
            assert_eq!(normalized(left), normalized(right));
        }
    }
}
