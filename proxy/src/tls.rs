//! TLS in both directions: what the core says of a handshake, as `rustls` wants to have it.

mod clients;
mod io;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use proxy_core::config::TextMatch;
use proxy_core::node::{HandshakePlan, TlsPlan};
use rustc_hash::FxHashMap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) use io::{Agreed, Io};

use crate::process::Secrets;
use crate::shown::Several;

/// What a side of a handshake has: its own certificates, and whom it believes.
#[derive(Debug, Default)]
pub struct Secret {
    /// A client shows the first.
    pairs: Vec<Pair>,
    /// Whether all are looked at where none has the name that a client asks for.
    full_scan: bool,
    /// None: nobody's certificate is checked.
    roots: Option<Arc<RootCertStore>>,
    /// The certificates of those.
    authorities: Vec<CertificateDer<'static>>,
    /// Whether the peer's certificate must have the server name that was asked for.
    checks_host: bool,
    /// Whether clients are asked for a certificate and served whatever they show.
    takes_any: bool,
    /// Subject alternative names of which the peer's certificate must have one; empty: any will do.
    names: Vec<TextMatch>,
    /// Application protocols that are offered where the configuration itself names none.
    alpn: Vec<Box<str>>,
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Pair {
    fn certified(&self) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let key = self.key.clone_key();
        let certified = CertifiedKey::from_der(self.chain.clone(), key, &provider())?;
        Ok(Arc::new(certified))
    }
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It is no PEM, or has not what it should have.
    #[error("the {what} cannot be read: {why}")]
    Pem {
        /// Which part.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Certificate and key do not fit.
    #[error("certificate and key cannot be used: {0}")]
    Pair(rustls::Error),
    /// The certificates of the authority cannot be used.
    #[error("the trusted CA cannot be used: {0}")]
    Authority(String),
}

impl Secret {
    /// From PEM: a certificate with its chain and its key, the trusted authority, the names that the peer must have, and the application
    /// protocols that are offered.
    ///
    /// # Errors
    /// Where one of them cannot be read, or they do not fit.
    pub fn new(
        pair: Option<(&[u8], &[u8])>,
        authority: Option<&[u8]>,
        names: Vec<TextMatch>,
        alpn: Vec<Box<str>>,
    ) -> Result<Self, SecretError> {
        let pairs: Vec<(&[u8], &[u8])> = pair.into_iter().collect();
        Self::of_several(&pairs, authority, names, alpn)
    }

    /// The same of several certificates, of which a server shows one by the name that is asked for.
    ///
    /// # Errors
    /// As those of [`Secret::new`].
    pub fn of_several(
        several: &[(&[u8], &[u8])],
        authority: Option<&[u8]>,
        names: Vec<TextMatch>,
        alpn: Vec<Box<str>>,
    ) -> Result<Self, SecretError> {
        let mut pairs = Vec::new();
        for (certificates, private) in several {
            let key = PrivateKeyDer::from_pem_slice(private);
            pairs.push(Pair {
                chain: certificates_of("certificate chain", certificates)?,
                key: key.map_err(|why| pem("private key", &why))?,
            });
        }
        let mut roots = None;
        let mut authorities = Vec::new();
        if let Some(authority) = authority {
            let mut store = RootCertStore::empty();
            for certificate in certificates_of("trusted CA", authority)? {
                authorities.push(certificate.clone());
                let added = store.add(certificate);
                added.map_err(|why| SecretError::Authority(why.to_string()))?;
            }
            roots = Some(Arc::new(store));
        }
        let secret = Self {
            pairs,
            full_scan: false,
            roots,
            authorities,
            checks_host: false,
            takes_any: false,
            names,
            alpn,
        };
        // what does not fit is found before it serves
        secret.server(false, &[]).map_err(SecretError::Pair)?;
        Ok(secret)
    }

    /// Where none has the name that a client asks for, the first is shown, unless `scans`: then the first that the client can use.
    #[must_use]
    pub fn scanning(mut self, scans: bool) -> Self {
        self.full_scan = scans;
        self
    }

    /// Whether a server must be called as it was asked for (Envoy: `auto_sni_san_validation`).
    #[must_use]
    pub fn checking_host(mut self, checks: bool) -> Self {
        self.checks_host = checks;
        self
    }

    /// Whether clients are asked for a certificate and served whatever they show; for where no authority is named.
    #[must_use]
    pub fn taking_any(mut self, takes: bool) -> Self {
        self.takes_any = takes;
        self
    }

    /// Certificates of the authorities that are believed, and those that are shown.
    pub(crate) fn certificates(&self) -> [Vec<&CertificateDer<'static>>; 2] {
        let shown = self.pairs.iter().flat_map(|pair| &pair.chain);
        [self.authorities.iter().collect(), shown.collect()]
    }

    fn server(&self, mutual: bool, alpn: &[Box<str>]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.roots {
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
                let verifier = if mutual {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier
                    .build()
                    .map_err(|e| rustls::Error::General(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None if self.takes_any => {
                builder.with_client_cert_verifier(Arc::new(clients::AnyClient))
            }
            None if mutual => {
                let why = "clients must show a certificate, and no authority is trusted";
                return Err(rustls::Error::General(why.to_owned()));
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = match &self.pairs[..] {
            [] => {
                // of a client without a certificate of its own: never asked to serve
                let resolver = rustls::server::ResolvesServerCertUsingSni::new();
                return Ok(Arc::new(builder.with_cert_resolver(Arc::new(resolver))));
            }
            [only] => builder.with_single_cert(only.chain.clone(), only.key.clone_key())?,
            several => {
                let all = several.iter().map(Pair::certified);
                let all = all.collect::<Result<Vec<_>, _>>()?;
                builder.with_cert_resolver(Arc::new(Several::new(all, self.full_scan)))
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        if mutual {
            // a resumed session would skip the check of a certificate that may have expired since
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(Arc::new(config))
    }

    fn client(&self, alpn: &[Box<str>], peer: Option<&str>) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions()?;
        let names = match peer {
            Some(peer) => vec![TextMatch::Exact(peer.into())],
            None => self.names.clone(),
        };
        let chain = match &self.roots {
            Some(roots) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
                Some(
                    verifier
                        .build()
                        .map_err(|e| rustls::Error::General(e.to_string()))?,
                )
            }
            None => None,
        };
        let verifier = Arc::new(Verifier {
            chain,
            names,
            checks_host: self.checks_host,
        });
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.pairs.first() {
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        let alpn = if alpn.is_empty() { &self.alpn } else { alpn };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

fn certificates_of(
    what: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SecretError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let read = read.map_err(|why| pem(what, &why))?;
    if read.is_empty() {
        return Err(pem(what, &"there is no certificate in it"));
    }
    Ok(read)
}

fn pem(what: &'static str, why: &dyn fmt::Display) -> SecretError {
    let why = why.to_string();
    SecretError::Pem { what, why }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What signatures of handshakes are checked with.
fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// Checks a server's certificate as Envoy does: its chain where an authority is named, its names where some are demanded.
///
/// Source: Envoy v3 `CertificateValidationContext`: `trusted_ca`, `match_typed_subject_alt_names`.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    names: Vec<TextMatch>,
    /// Whether the server must be called as it was asked for.
    checks_host: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(chain) = &self.chain {
            let checked =
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
            match checked {
                Ok(_) => {}
                // the chain is checked before the name, which is looked at below
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if !self.checks_host => {}
                Err(error) => return Err(error),
            }
        }
        let has = alternative_names(end_entity);
        if !self.names.is_empty()
            && !self
                .names
                .iter()
                .any(|name| has.iter().any(|it| name.matches(it)))
        {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// URIs and DNS names of a certificate.
fn alternative_names(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let mut named = Vec::new();
    for name in &names.value.general_names {
        if let GeneralName::URI(name) | GeneralName::DNSName(name) = name {
            named.push((*name).into());
        }
    }
    named
}

/// The identity of a certificate: its first URI, else its first name, else its subject.
fn identity_of(certificate: &CertificateDer<'_>) -> Box<str> {
    let names = alternative_names(certificate);
    let uri = names.iter().find(|name| name.contains("://"));
    let named = uri.or_else(|| names.first()).cloned();
    named.unwrap_or_else(|| crate::certificates::subject(certificate).into())
}

type ServerKey = (Box<str>, bool, Vec<Box<str>>);
type ClientKey = (Option<Box<str>>, Option<Box<str>>, Vec<Box<str>>);

/// The secrets of a process by the names that its configuration calls them, and what was made of them.
#[derive(Default)]
pub(crate) struct Keeper {
    secrets: Secrets,
    servers: RefCell<FxHashMap<ServerKey, Arc<ServerConfig>>>,
    clients: RefCell<FxHashMap<ClientKey, Arc<ClientConfig>>>,
}

impl Keeper {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    /// What serves a handshake; none: there is no such certificate.
    pub(crate) fn acceptor(&self, plan: &HandshakePlan<'_>) -> Option<TlsAcceptor> {
        let key = (plan.certificate.into(), plan.mutual, plan.alpn.to_vec());
        if let Some(known) = self.servers.borrow().get(&key) {
            return Some(known.clone().into());
        }
        let secret = self.secrets.get(plan.certificate)?;
        let made = secret.server(plan.mutual, plan.alpn).ok()?;
        self.servers.borrow_mut().insert(key, made.clone());
        Some(made.into())
    }

    /// Whether who is at the other end of a handshake that was served has one of the names that are demanded.
    pub(crate) fn admits(&self, certificate: &str, stream: &Io) -> bool {
        let demanded = self
            .secrets
            .get(certificate)
            .map_or(&[][..], |it| &it.names);
        let names = stream.peer_names();
        demanded.is_empty()
            || demanded
                .iter()
                .any(|name| names.iter().any(|it| name.matches(it)))
    }

    /// Whether certificates that clients show under a name are looked at.
    pub(crate) fn checks_clients(&self, certificate: &str) -> bool {
        let secret = self.secrets.get(certificate);
        secret.is_some_and(|secret| secret.roots.is_some())
    }

    /// The certificate that is shown under a name; of several the first.
    pub(crate) fn own(&self, certificate: &str) -> Option<&CertificateDer<'static>> {
        self.secrets.get(certificate)?.pairs.first()?.chain.first()
    }

    /// What begins a handshake, and the name that is asked for.
    pub(crate) fn connector(
        &self,
        plan: &TlsPlan<'_>,
        host: std::net::IpAddr,
    ) -> Option<(TlsConnector, ServerName<'static>)> {
        let name = if plan.sni.is_empty() {
            ServerName::from(host)
        } else {
            ServerName::try_from(plan.sni.to_owned()).ok()?
        };
        let (certificate, peer) = (plan.certificate.map(Into::into), plan.peer.map(Into::into));
        let key = (certificate, peer, plan.alpn.to_vec());
        if let Some(known) = self.clients.borrow().get(&key) {
            return Some((known.clone().into(), name));
        }
        let nothing = Secret::default();
        let secret = match plan.certificate {
            Some(certificate) => self.secrets.get(certificate)?,
            None => &nothing,
        };
        let mut made = secret.client(plan.alpn, plan.peer).ok()?;
        made.enable_sni = !plan.sni.is_empty();
        let made = Arc::new(made);
        self.clients.borrow_mut().insert(key, made.clone());
        Some((made.into(), name))
    }
}
