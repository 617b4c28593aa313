//! The certificates that a configuration names: Secrets by `namespace/name`, the identity of the mesh from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifests::gateway_api::Roots;
use manifests::load::Vault;
use manifests::model::{Credential, Model, NodeRef};
use proxy_core::config::{DownstreamTransport, NodeConfig, UpstreamTransport};
use rustc_hash::FxHashMap;

use crate::bootstrap::LoadError;
use crate::process::Secrets;
use crate::tls::Secret;

/// Where the certificate of a mesh identity lies.
///
/// Source: the names are those that Istio's agent writes (`OUTPUT_CERTS`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityFiles(PathBuf);

impl IdentityFiles {
    /// The files `cert-chain.pem`, `key.pem` and `root-cert.pem` of a folder.
    #[must_use]
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn secret(&self) -> Result<Secret, LoadError> {
        let read = |name: &str| {
            let path = self.0.join(name);
            std::fs::read(&path).map_err(|error| {
                LoadError::new(format!("cannot read {}: {error}\n", path.display()))
            })
        };
        let (chain, key) = (read("cert-chain.pem")?, read("key.pem")?);
        let authority = read("root-cert.pem")?;
        let pair = Some((chain.as_slice(), key.as_slice()));
        Secret::new(pair, Some(&authority), Vec::new(), Vec::new())
            .map_err(|error| LoadError::new(format!("{}: {error}\n", self.0.display())))
    }
}

/// The certificates and identities that a configuration presents, each once.
#[must_use]
pub fn presented(config: &NodeConfig) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for section in &config.sections {
        for chain in section.listeners().iter().flat_map(|it| &it.chains) {
            if let DownstreamTransport::Tls { certificate, .. } = &chain.transport {
                names.push((&**certificate).into());
            }
        }
        for cluster in section.clusters() {
            match &cluster.transport {
                UpstreamTransport::Plaintext => {}
                UpstreamTransport::Tls { certificate, .. } => {
                    names.extend(certificate.iter().map(|name| Box::from(&**name)));
                }
                UpstreamTransport::Mesh { identity, .. } => names.push((&**identity).into()),
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Everything that a configuration presents, as far as it is there; what is not, or cannot be used, is told.
pub(super) fn gather(
    (model, node): (&Model, NodeRef),
    config: &NodeConfig,
    vault: &Vault,
    identity: Option<&IdentityFiles>,
    notices: &mut String,
) -> Result<Secrets, LoadError> {
    let mut secrets = FxHashMap::default();
    for name in presented(config) {
        if is_identity(&name) {
            match identity {
                Some(files) => {
                    secrets.insert(name, files.secret()?);
                }
                None => notices.push_str(&format!(
                    "{}: it would speak mutual TLS as {name}: without --identity-dir those connections fail\n",
                    config.name
                )),
            }
            continue;
        }
        if let Some(credential) = model.credential(node, &name) {
            match of_credential(credential, vault) {
                Ok(made) => {
                    secrets.insert(name, made);
                }
                Err(why) => notices.push_str(&format!(
                    "{}: {name}: {why}: its TLS connections are closed\n",
                    config.name
                )),
            }
            continue;
        }
        let Some((namespace, secret)) = name.split_once('/') else {
            let made = own(&name).map_err(|why| LoadError::new(format!("{name}: {why}\n")))?;
            secrets.insert(name, made);
            continue;
        };
        if !vault.has(namespace, secret) {
            notices.push_str(&format!(
                "{}: no Secret is called {namespace}/{secret}: TLS connections that it would serve are closed\n",
                config.name
            ));
            continue;
        }
        match of_secret(vault, namespace, secret) {
            Ok(read) => {
                secrets.insert(name, read);
            }
            Err(why) => notices.push_str(&format!(
                "{}: Secret {namespace}/{secret}: {why}: TLS connections that it would serve are closed\n",
                config.name
            )),
        }
    }
    Ok(Arc::new(secrets))
}

/// Identities of a mesh are URIs (SPIFFE), or names below a trust domain (Linkerd).
fn is_identity(name: &str) -> bool {
    name.contains("://") || name.contains(".identity.")
}

/// A certificate that a gateway signs itself, for where no Secret is named: browsers warn of it.
///
/// Source: Kong 3.9 `ssl_cert`: "If not set, Kong generates a self-signed certificate"; other gateways do alike.
fn own(name: &str) -> Result<Secret, String> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]);
    let made = made.map_err(|error| error.to_string())?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let pair = Some((chain.as_bytes(), key.as_bytes()));
    let secret = Secret::new(pair, None, Vec::new(), Vec::new());
    secret.map_err(|error| error.to_string())
}

/// Source: Kubernetes, "TLS Secrets": `tls.crt` and `tls.key`; `ca.crt` is a custom of many.
fn of_secret(vault: &Vault, namespace: &str, name: &str) -> Result<Secret, String> {
    let value = |key: &'static str| {
        let value = vault.get(namespace, name, key);
        value.ok_or_else(|| format!("it has no `{key}`"))
    };
    let pair = Some((value("tls.crt")?, value("tls.key")?));
    let authority = vault.get(namespace, name, "ca.crt");
    let secret = Secret::new(pair, authority, Vec::new(), Vec::new());
    secret.map_err(|error| error.to_string())
}

/// Where machines keep the certificates that they believe. Source: Go, `crypto/x509/root_linux.go`.
const BELIEVED: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn of_credential(credential: &Credential, vault: &Vault) -> Result<Secret, String> {
    let mut pairs = Vec::new();
    for pair in &credential.pairs {
        let (namespace, name) = pair.split_once('/').unwrap_or(("", pair));
        let value = |key: &'static str| {
            let value = vault.get(namespace, name, key);
            value.ok_or_else(|| format!("Secret {pair} has no `{key}`"))
        };
        pairs.push((value("tls.crt")?, value("tls.key")?));
    }
    let machine = match &credential.roots {
        Some(Roots::System) => {
            let found = BELIEVED.iter().find_map(|path| std::fs::read(path).ok());
            found.ok_or("this machine has no certificates that it believes")?
        }
        Some(Roots::Pem(_)) | None => Vec::new(),
    };
    let authority: Option<Vec<u8>> = credential.roots.as_ref().map(|roots| match roots {
        Roots::System => machine,
        Roots::Pem(texts) => texts.join("\n").into_bytes(),
    });
    let (names, alpn) = (credential.names.clone(), credential.alpn.clone());
    let secret = Secret::of_several(&pairs, authority.as_deref(), names, alpn);
    let secret = secret.map_err(|error| error.to_string())?;
    Ok(secret
        .checking_host(credential.checks_host)
        .taking_any(credential.takes_any))
}
