//! TLS toward clients: certificates, TLSOptions, TLSStores.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes.go` (`buildTLSOptions`, `buildTLSStores`).

use super::Reader;
use super::transports::full;
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::names;
use crate::dialects::traefik::types::routes::Tls;
use crate::dialects::traefik::types::transports::{TlsOption, TlsStore};
use crate::dialects::traefik::types::{Reference, Whole};
use crate::text::{Present, Spanned, read};

/// The name of the options and of the store that serve where no others are asked for.
const DEFAULT: &str = "default";

impl Reader<'_, '_> {
    pub(super) fn tls(&mut self) {
        if !self.install.crd.enabled {
            return;
        }
        for object in names::all(self.cx.objects, "TLSOption") {
            let spec = read::<Whole<TlsOption>>(&object.node, self.cx.diagnostics);
            let Some(Whole { spec, .. }) = spec else {
                continue;
            };
            if let Some(auth) = &spec.client_auth
                && let Some(kind) = auth.client_auth_type.as_ref()
            {
                let meaning = match kind.value.as_str() {
                    "NoClientCert" | "RequestClientCert" | "" => None,
                    "RequireAnyClientCert"
                    | "VerifyClientCertIfGiven"
                    | "RequireAndVerifyClientCert" => Some(
                        "CLIENTS NEED NO CERTIFICATE: what is refused in the handshake passes here",
                    ),
                    other => {
                        let message =
                            format!("clients are not asked for certificates by `{other}`");
                        self.error(
                            "traefik::client-auth",
                            &message,
                            kind.span,
                            "not a way to ask",
                        );
                        None
                    }
                };
                if let Some(meaning) = meaning {
                    self.not_modelled("clientAuth", meaning, auth.span);
                }
            }
            if let Some(strict) = spec.sni_strict.filter(|it| it.value) {
                let meaning = "clients that name no known server are shown the default certificate";
                self.not_modelled("sniStrict", meaning, strict.span);
            }
            let listed = [
                spec.min_version,
                spec.max_version,
                spec.cipher_suites,
                spec.curve_preferences,
            ];
            for field in listed.into_iter().flatten() {
                let meaning = "versions and ciphers of TLS are the usual ones";
                self.not_modelled("this setting of TLS", meaning, field.span);
            }
            if object.key.name == DEFAULT
                && let Some(alpn) = &spec.alpn_protocols
            {
                self.policies.alpn = Some(alpn.value.clone());
            }
        }
        for object in names::all(self.cx.objects, "TLSStore") {
            let spec = read::<Whole<TlsStore>>(&object.node, self.cx.diagnostics);
            let Some(Whole { spec, .. }) = spec else {
                continue;
            };
            if object.key.name != DEFAULT {
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "traefik::store",
                        "only a TLSStore called `default` serves",
                    )
                    .label(object.name_span, "has no effect"),
                );
                continue;
            }
            let namespace = object.key.namespace.as_str();
            if let Some(certificate) = &spec.default_certificate {
                let secret = full(namespace, &certificate.secret_name);
                self.policies.default_certificate = Some(secret);
            }
            let more = spec.certificates.iter();
            let more = more.map(|certificate| full(namespace, &certificate.secret_name));
            self.policies.certificates.extend(more);
            if let Some(generated) = spec.default_generated_cert {
                self.made_up(generated);
            }
        }
    }

    fn made_up(&mut self, written: Present) {
        let meaning = "the certificate is one that nobody has signed";
        self.not_modelled("an issued certificate", meaning, written.span);
    }

    /// TLS of an HTTP router; none: it is left out.
    pub(super) fn router_tls(&mut self, tls: &Spanned<Tls>, from: &str) -> Option<()> {
        let parts = (tls.options.as_ref(), tls.store.as_ref());
        self.tls_of(tls.secret_name.as_ref(), parts, from)?;
        if let Some(resolver) = tls.cert_resolver {
            self.made_up(resolver);
        }
        Some(())
    }

    pub(super) fn tls_of(
        &mut self,
        secret: Option<&Spanned<String>>,
        (options, store): (Option<&Reference>, Option<&Reference>),
        from: &str,
    ) -> Option<()> {
        if let Some(secret) = secret.filter(|it| !it.is_empty()) {
            let secret = full(from, secret);
            if !self.policies.certificates.contains(&secret) {
                self.policies.certificates.push(secret);
            }
        }
        if let Some(options) = options.filter(|it| !it.name.is_empty() && it.name.value != DEFAULT)
        {
            let provider = self.provider();
            names::resolve(options, "TLSOption", from, &provider, self.cx)?;
        }
        if let Some(store) = store.filter(|it| it.name.value != DEFAULT) {
            self.cx.diagnostics.push(
                Diagnostic::warning("traefik::store", "only a TLSStore called `default` serves")
                    .label(store.name.span, "has no effect"),
            );
        }
        Some(())
    }
}
