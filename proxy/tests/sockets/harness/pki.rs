//! Certificates made for a test.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A certificate with its key, signed by `by`.
pub(crate) fn signed(name: &str, by: &Issuer<'_, KeyPair>) -> (String, String) {
    made(name, by, |_| {})
}

/// The same, after `change` of what it says.
pub(crate) fn made(
    name: &str,
    by: &Issuer<'_, KeyPair>,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let names = vec![name.to_owned()];
    let mut params = CertificateParams::new(names).expect("a name");
    change(&mut params);
    let certificate = params.signed_by(&key, by).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// An authority, and its certificate.
pub(crate) fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    let pem = certificate.pem();
    (Issuer::new(params, key), pem)
}

/// PEM as a value in YAML's flow style.
pub(crate) fn inline(pem: &str) -> String {
    format!("{{inline_string: {pem:?}}}")
}
