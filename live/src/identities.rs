//! Certificates of the run: an authority of its own, and one for every identity that a proxy presents.

use std::sync::Arc;

use manifests::envoy::{Certificates, DataSource, KeyPair as Presented};
use proxy::kubernetes::presented;
use proxy::{Secret, Secrets};
use proxy_core::config::NodeConfig;
use proxy_core::origin::OriginId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustc_hash::FxHashMap;

use crate::Refusal;

/// Signs what the proxies of a run present.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    known: FxHashMap<Box<str>, (String, String)>,
}

fn broken(error: &rcgen::Error) -> Refusal {
    Refusal::Certificates(error.to_string())
}

impl Authority {
    pub(crate) fn new() -> Result<Self, Refusal> {
        let mut params =
            CertificateParams::new(Vec::<String>::new()).map_err(|error| broken(&error))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // whoever has the name of its authority counts as signed by itself
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of the run");
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().map_err(|error| broken(&error))?;
        let own = params.self_signed(&key).map_err(|error| broken(&error))?;
        Ok(Self {
            pem: own.pem(),
            issuer: Issuer::new(params, key),
            known: FxHashMap::default(),
        })
    }

    fn pair(&mut self, name: &str) -> Result<(String, String), Refusal> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let mut params =
            CertificateParams::new(Vec::<String>::new()).map_err(|error| broken(&error))?;
        let shown = if name.contains("://") {
            name.try_into().map(SanType::URI)
        } else {
            name.replace('/', ".").try_into().map(SanType::DnsName)
        };
        params
            .subject_alt_names
            .push(shown.map_err(|error| broken(&error))?);
        let key = KeyPair::generate().map_err(|error| broken(&error))?;
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| broken(&error))?;
        let pair = (made.pem(), key.serialize_pem());
        self.known.insert(name.into(), pair.clone());
        Ok(pair)
    }

    /// Everything that a configuration presents.
    pub(crate) fn secrets(&mut self, config: &NodeConfig) -> Result<Secrets, Refusal> {
        let mut secrets = FxHashMap::default();
        for name in presented(config) {
            let (chain, key) = self.pair(&name)?;
            let pair = Some((chain.as_bytes(), key.as_bytes()));
            let secret = Secret::new(pair, Some(self.pem.as_bytes()), Vec::new(), Vec::new());
            let secret = secret.map_err(|error| Refusal::Certificates(error.to_string()))?;
            secrets.insert(name, secret);
        }
        Ok(Arc::new(secrets))
    }

    /// The same, as an Envoy is told of it.
    pub(crate) fn certificates(
        &mut self,
        config: &NodeConfig,
    ) -> Result<Vec<Certificates>, Refusal> {
        let inline = |pem: &str| DataSource::Inline(pem.as_bytes().into());
        let mut all = Vec::new();
        for name in presented(config) {
            let (chain, key) = self.pair(&name)?;
            all.push(Certificates {
                name: (*name).into(),
                pairs: vec![Presented {
                    chain: inline(&chain),
                    key: inline(&key),
                }],
                trusted_ca: Some(inline(&self.pem)),
                system_roots: false,
                subjects: Vec::new(),
                accepts_untrusted: false,
                accepts_expired: false,
                full_scan: false,
                alpn: Vec::new(),
                min_version: None,
                max_version: None,
                origin: OriginId::NONE,
            });
        }
        Ok(all)
    }
}
