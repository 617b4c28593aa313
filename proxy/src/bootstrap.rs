//! An Envoy bootstrap file and all that it names, ready to be served.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::envoy::{self, Certificates, DataSource, RuntimeLayer, Unresolved};
use proxy_core::config::{EndpointSet, Name, NodeConfig};
use rustc_hash::FxHashMap;

use crate::names::{self, Named};
use crate::process::Secrets;
use crate::tls::Secret;

/// A bootstrap with its certificates read and its names resolved.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the node does.
    pub config: Arc<NodeConfig>,
    /// Certificates and authorities.
    pub secrets: Secrets,
    /// Endpoints of clusters some of which the file gives by name.
    pub endpoints: Vec<(Name, Arc<EndpointSet>)>,
    /// The names of those, which are asked for again and again.
    pub names: Arc<[Named]>,
    /// Where the admin port is.
    pub admin: Option<SocketAddr>,
    /// Where the node stands.
    pub locality: Name,
    /// Static layers of the runtime.
    pub runtime: Vec<RuntimeLayer>,
    /// Files of certificates that the bootstrap names.
    pub files: Vec<PathBuf>,
    /// What is not modelled, and what could not be done, for people to read.
    pub notices: String,
}

/// Why a bootstrap or manifests cannot be served, for people to read.
#[derive(Debug)]
pub struct LoadError(String);

impl LoadError {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// Reads a bootstrap file, and the files that it names.
///
/// # Errors
/// Where a file cannot be read, the bootstrap says what Envoy would refuse, or certificates cannot be used.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| LoadError(format!("cannot read {name}: {error}")))?;
    parse(&name, &text)
}

/// The same of a text that was read before.
///
/// # Errors
/// As those of [`load`].
pub fn parse(name: &str, text: &str) -> Result<Loaded, LoadError> {
    let bootstrap = envoy::read(name, text);
    let bootstrap = bootstrap.map_err(|refused| LoadError(refused.to_string()))?;
    let mut diagnostics = Diagnostics::default();
    diagnostics.extend(bootstrap.notices);
    let mut notices = diagnostics.render(&bootstrap.sources);
    let mut secrets = FxHashMap::default();
    for certificates in &bootstrap.tls {
        let secret = secret(certificates, &mut notices)?;
        secrets.insert(Box::from(&*certificates.name), secret);
    }
    let names = resolve(&bootstrap.unresolved, &mut notices);
    Ok(Loaded {
        endpoints: names::sets(&bootstrap.config, &names),
        names,
        config: bootstrap.config,
        secrets: Arc::new(secrets),
        admin: bootstrap.admin,
        locality: bootstrap.locality,
        runtime: bootstrap.runtime,
        files: bootstrap.tls.iter().flat_map(files).collect(),
        notices,
    })
}

/// The files of a set of certificates.
fn files(certificates: &Certificates) -> Vec<PathBuf> {
    let pairs = certificates.pairs.iter();
    let sources = pairs.flat_map(|pair| [&pair.chain, &pair.key]);
    let sources = sources.chain(&certificates.trusted_ca);
    let files = sources.filter_map(|source| match source {
        DataSource::File(path) => Some(PathBuf::from(&**path)),
        DataSource::Inline(_) | DataSource::Environment(_) => None,
    });
    files.collect()
}

fn secret(certificates: &Certificates, notices: &mut String) -> Result<Secret, LoadError> {
    let failed = |why: &dyn fmt::Display| LoadError(format!("{}: {why}", certificates.name));
    let bytes = |source: &DataSource| bytes(source).map_err(|why| failed(&why));
    let mut told = |what: &str| {
        notices.push_str(&format!("{}: {what}\n", certificates.name));
    };
    if certificates.pairs.len() > 1 && !certificates.name.starts_with("listener/") {
        told("of several certificates of a client the first alone is presented");
    }
    if certificates.system_roots {
        told("the authorities of the system are not asked: name a trusted_ca");
    }
    if certificates.min_version.is_some() || certificates.max_version.is_some() {
        told("TLS 1.2 and 1.3 are spoken whatever versions are named");
    }
    if certificates.accepts_expired {
        told("certificates that are out of date are refused all the same");
    }
    let mut pairs = Vec::new();
    for pair in &certificates.pairs {
        pairs.push((bytes(&pair.chain)?, bytes(&pair.key)?));
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs
        .iter()
        .map(|(chain, key)| (chain.as_slice(), key.as_slice()))
        .collect();
    let authority = match &certificates.trusted_ca {
        Some(source) if !certificates.accepts_untrusted => Some(bytes(source)?),
        Some(_) | None => None,
    };
    let subjects = certificates.subjects.iter();
    let secret = Secret::of_several(
        &pairs,
        authority.as_deref(),
        subjects.map(|subject| subject.matches.clone()).collect(),
        certificates.alpn.clone(),
    );
    let secret = secret.map_err(|why| failed(&why))?;
    Ok(secret.scanning(certificates.full_scan))
}

fn bytes(source: &DataSource) -> Result<Vec<u8>, String> {
    match source {
        DataSource::File(path) => {
            std::fs::read(&**path).map_err(|error| format!("cannot read {path}: {error}"))
        }
        DataSource::Inline(bytes) => Ok(bytes.to_vec()),
        DataSource::Environment(name) => std::env::var(&**name)
            .map(String::into_bytes)
            .map_err(|error| format!("${name}: {error}")),
    }
}

/// Asks for the names of endpoints for the first time; those that nobody knows are told, and asked for again later.
fn resolve(unresolved: &[Unresolved], notices: &mut String) -> Arc<[Named]> {
    let all = unresolved.iter().map(|name| {
        let (named, told) = Named::first(name);
        if let Err(error) = told {
            let (cluster, host) = (&name.cluster, &name.host);
            notices.push_str(&format!("{cluster}: {host} has no address: {error}\n"));
        }
        named
    });
    all.collect()
}
