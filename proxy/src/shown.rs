//! Which of several certificates a server shows: by the name that its client asks for, then by the kind of key that the client can use.
//!
//! Source: envoy `source/common/tls/default_tls_certificate_selector.cc` (1.40).

use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates with their keys, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Several {
    all: Vec<Arc<CertifiedKey>>,
    /// By name, those with wildcards without their star: one of each kind of key at most, the earlier before the later.
    by_name: FxHashMap<Box<str>, Vec<usize>>,
    /// Whether all are looked at where none has the name that is asked for.
    full_scan: bool,
}

/// What a client can verify.
#[derive(Clone, Copy, Debug)]
struct Able<'a>(&'a [SignatureScheme]);

impl Able<'_> {
    fn ecdsa(self) -> bool {
        self.0.iter().any(|scheme| {
            matches!(
                scheme,
                SignatureScheme::ECDSA_NISTP256_SHA256
                    | SignatureScheme::ECDSA_NISTP384_SHA384
                    | SignatureScheme::ECDSA_NISTP521_SHA512
                    | SignatureScheme::ECDSA_SHA1_Legacy
            )
        })
    }
}

/// What comes of a look at some certificates.
#[derive(Default)]
struct Found {
    best: Option<usize>,
    /// One that will do if there is no better.
    candidate: Option<usize>,
}

impl Several {
    pub(crate) fn new(all: Vec<Arc<CertifiedKey>>, full_scan: bool) -> Self {
        let mut by_name: FxHashMap<Box<str>, Vec<usize>> = FxHashMap::default();
        for (at, key) in all.iter().enumerate() {
            let names = key.cert.first().map(|it| names_of(it)).unwrap_or_default();
            for name in names {
                let stem = match name.strip_prefix('*') {
                    Some(rest) if rest.starts_with('.') => rest,
                    Some(_) | None => &name,
                };
                let known = by_name.entry(stem.into()).or_default();
                let kind = |at: &usize| all[*at].key.algorithm();
                if known.iter().all(|it| kind(it) != key.key.algorithm()) {
                    known.push(at);
                }
            }
        }
        Self {
            all,
            by_name,
            full_scan,
        }
    }

    fn look<'a>(&self, among: impl IntoIterator<Item = &'a usize>, able: Able<'_>) -> Found {
        let mut found = Found::default();
        for at in among {
            let key = &self.all[*at].key;
            let is_ecdsa = key.algorithm() == SignatureAlgorithm::ECDSA;
            let is_best = match is_ecdsa {
                true => key.choose_scheme(able.0).is_some(),
                false => !able.ecdsa(),
            };
            if is_best {
                found.best = Some(*at);
                return found;
            }
            if able.ecdsa() && !is_ecdsa && found.candidate.is_none() {
                found.candidate = Some(*at);
            }
        }
        found
    }

    fn by_name(&self, name: &str, able: Able<'_>) -> Option<usize> {
        let known = self.by_name.get(name)?;
        let found = self.look(known, able);
        found.best.or(found.candidate)
    }

    /// The certificate for a client that asks for `name`.
    fn choose(&self, name: Option<&str>, able: Able<'_>) -> usize {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let above = name.get(1..).and_then(|rest| rest.find('.'));
            let above = above.map(|at| &name[at + 1..]);
            let wildcard = above.filter(|above| above.len() > 1);
            let named = self.by_name(name, able);
            let named = named.or_else(|| self.by_name(wildcard?, able));
            if named.is_some() || !self.full_scan {
                return named.unwrap_or(0);
            }
        }
        let all: Vec<usize> = (0..self.all.len()).collect();
        let found = self.look(&all, able);
        found.best.or(found.candidate).unwrap_or(0)
    }
}

impl ResolvesServerCert for Several {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let able = Able(hello.signature_schemes());
        let at = self.choose(hello.server_name(), able);
        self.all.get(at).cloned()
    }
}

/// The names that a certificate is for: its alternative ones, else the common one.
///
/// Source: RFC 6125 §6.4.4.
fn names_of(certificate: &[u8]) -> Vec<Box<str>> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let lower = |name: &str| Box::from(name.to_ascii_lowercase());
    if let Ok(Some(names)) = parsed.subject_alternative_name() {
        let names = names.value.general_names.iter();
        let dns = names.filter_map(|name| {
            let GeneralName::DNSName(name) = name else {
                return None;
            };
            Some(lower(name))
        });
        return dns.collect();
    }
    let common = parsed.subject().iter_common_name().next();
    let common = common.and_then(|it| it.as_str().ok());
    common.map(lower).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use rustls::crypto::ring::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;

    const P256: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const P384: SignatureScheme = SignatureScheme::ECDSA_NISTP384_SHA384;
    const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

    /// A key of 2048 bits that nobody else has any use for.
    const RSA_KEY: &str = include_str!("../tests/sockets/harness/rsa.pem");

    fn certified(key: &KeyPair, names: &[&str], common: Option<&str>) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let certificate = params.self_signed(key).expect("a certificate");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let signer = any_supported_type(&private).expect("a key of a known kind");
        let chain = vec![certificate.der().clone()];
        Arc::new(CertifiedKey::new(chain, signer))
    }

    fn ecdsa(names: &[&str]) -> Arc<CertifiedKey> {
        certified(&KeyPair::generate().expect("a key"), names, None)
    }

    fn rsa(names: &[&str]) -> Arc<CertifiedKey> {
        certified(&KeyPair::from_pem(RSA_KEY).expect("a key"), names, None)
    }

    #[test]
    fn the_name_comes_first_and_then_the_kind_of_key() {
        let several = |full_scan| {
            let all = vec![
                rsa(&["first.example"]),
                ecdsa(&["a.example", "*.b.example"]),
                rsa(&["a.example"]),
                ecdsa(&["x.b.example"]),
                rsa(&["a.example"]),
            ];
            Several::new(all, full_scan)
        };
        for (name, able, full_scan, want) in [
            (Some("a.example"), &[P256, RSA][..], false, 1),
            (Some("a.example"), &[RSA], false, 2),
            (Some("A.example"), &[RSA], false, 0),
            // of the curve that it has
            (Some("a.example"), &[P384, RSA], false, 2),
            (Some("y.b.example"), &[P256], false, 1),
            (Some("x.b.example"), &[P256], false, 3),
            // a wildcard stands for one label
            (Some("x.y.b.example"), &[P256], false, 0),
            (Some("b.example"), &[P256], false, 0),
            (Some("first.example"), &[P256, RSA], false, 0),
            // nobody has the name
            (Some("else.example"), &[P256, RSA], false, 0),
            (Some("else.example"), &[P256, RSA], true, 1),
            (Some("else.example"), &[RSA], true, 0),
            // a client that asks for none
            (None, &[P256, RSA], false, 1),
            (None, &[RSA], false, 0),
        ] {
            let found = several(full_scan).choose(name, Able(able));
            assert_eq!(found, want, "{name:?} {able:?} {full_scan}");
        }
    }

    #[test]
    fn the_common_name_counts_where_there_is_no_other() {
        let key = KeyPair::generate().expect("a key");
        let all = vec![
            ecdsa(&["first.example"]),
            certified(&key, &["alternative.example"], Some("both.example")),
            certified(&key, &[], Some("common.example")),
        ];
        let several = Several::new(all, false);
        for (name, want) in [
            ("alternative.example", 1),
            ("both.example", 0),
            ("common.example", 2),
        ] {
            assert_eq!(several.choose(Some(name), Able(&[P256])), want, "{name}");
        }
    }
}
