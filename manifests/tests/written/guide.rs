//! The proxies of a guide, and what they present.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::envoy::{Certificates, DataSource, KeyPair, Likeness};
use manifests::load::{Layer, load};
use manifests::model::{
    GatewayId, GatewayOverride, Input, Labels, MeshWish, Model, NodeRef, Place, Pod, Pods,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{DownstreamTransport, NodeConfig, UpstreamTransport};
use proxy_core::origin::OriginId;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, SanType};

/// A pod's sidecar, or a gateway.
pub(crate) struct Proxy {
    pub(crate) name: String,
    pub(crate) is_gateway: bool,
    pub(crate) ip: IpAddr,
    pub(crate) config: Arc<NodeConfig>,
}

/// A Service of the guide, by name, at its address.
pub(crate) fn service(layers: &[&str], name: &str) -> IpAddr {
    let (model, _) = model("istio", layers);
    let mut services = model.services().iter();
    let found = services.find(|it| &*it.name == name);
    found.and_then(|it| it.cluster_ip()).expect("its address")
}

/// The sidecars of one pod of every workload.
pub(crate) fn sidecars(layers: &[&str]) -> Vec<Proxy> {
    let mut all = proxies("istio", layers);
    all.retain(|proxy| !proxy.is_gateway);
    all
}

fn model(mesh: &str, layers: &[&str]) -> (Model, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/tutorial");
    let layers: Vec<Layer> = layers
        .iter()
        .map(|layer| Layer::path(*layer, folder.join(layer)))
        .collect();
    let (mut sources, mut origins) = (Sources::default(), Origins::default());
    let mut diagnostics = Diagnostics::default();
    let objects = load(&layers, &mut sources, &mut diagnostics);
    let kong = GatewayOverride {
        target: "default/api-gateway".into(),
        kind: Some("kong".into()),
        namespace: Some("kong".into()),
        labels: Labels::from([("app".into(), "kong".into())]),
        replicas: Some(1),
    };
    let input = Input {
        objects,
        overrides: vec![kong],
        mesh: MeshWish::Named {
            system: mesh.into(),
            release: None,
            span: Span::NOWHERE,
        },
        ..Input::default()
    };
    let model = Model::build(input, &mut origins, &mut diagnostics).expect("its mesh is known");
    (model, diagnostics.to_lines(&sources))
}

/// The proxies of one pod of every workload, Kong's gateway among them.
pub(crate) fn proxies(mesh: &str, layers: &[&str]) -> Vec<Proxy> {
    let (model, problems) = model(mesh, layers);
    let place = Place {
        locality: "local/a".into(),
        node: "".into(),
    };
    let ip =
        |workload: u32, nth: u32| IpAddr::V4(Ipv4Addr::new(10, 128, workload as u8, nth as u8 + 1));
    let mut pods = Pods::new(model.workloads().len());
    for workload in model.workloads() {
        for nth in 0..workload.replicas {
            pods.of_mut(workload.id).push(Pod {
                ip: ip(workload.id.0, nth),
                name: format!("{}-{nth}", workload.name).into(),
                place: place.clone(),
                ready: true,
                draining: false,
                labels: None,
            });
        }
    }
    let sidecars = model.workloads().iter().filter_map(|workload| {
        Some(Proxy {
            name: workload.name.to_string(),
            is_gateway: false,
            ip: ip(workload.id.0, 0),
            config: model.config(NodeRef::Sidecar(workload.id), &place, &pods)?,
        })
    });
    let gateways = (0..).zip(model.gateways()).filter_map(|(number, gateway)| {
        let node = NodeRef::Gateway(GatewayId(number));
        Some(Proxy {
            name: format!("gateway {number}"),
            is_gateway: true,
            ip: ip(gateway.workload?.0, 0),
            config: model.config(node, &place, &pods)?,
        })
    });
    let all: Vec<Proxy> = sidecars.chain(gateways).collect();
    assert!(!all.is_empty(), "{problems}");
    all
}

/// An authority of the test's own, which signs a certificate for every identity.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // whoever has the name of its authority counts as signed by itself
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = rcgen::KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), own.pem()).expect("a file");
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    /// Certificate and key of one name.
    fn pair(&self, name: &str) -> KeyPair {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        let shown = match name.contains("://") {
            true => name.try_into().map(SanType::URI),
            false => name.replace('/', ".").try_into().map(SanType::DnsName),
        };
        params.subject_alt_names.push(shown.expect("a name"));
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let plain = name.replace(['/', ':'], "-");
        let names = [format!("chain-{plain}.pem"), format!("key-{plain}.pem")];
        for (name, text) in names.iter().zip([made.pem(), key.serialize_pem()]) {
            std::fs::write(self.folder.path().join(name), text).expect("a file");
        }
        KeyPair {
            chain: self.file(&names[0]),
            key: self.file(&names[1]),
        }
    }

    fn file(&self, name: &str) -> DataSource {
        let path = self.folder.path().join(name);
        DataSource::File(path.to_str().expect("a path").into())
    }

    /// What every transport of a node presents.
    pub(crate) fn certificates(&self, config: &NodeConfig) -> Vec<Certificates> {
        let mut names: Vec<&str> = Vec::new();
        for section in &config.sections {
            for chain in section.listeners().iter().flat_map(|it| &it.chains) {
                if let DownstreamTransport::Tls { certificate, .. } = &chain.transport {
                    names.push(certificate);
                }
            }
            for cluster in section.clusters() {
                match &cluster.transport {
                    UpstreamTransport::Plaintext => {}
                    UpstreamTransport::Tls { certificate, .. } => {
                        names.extend(certificate.as_deref())
                    }
                    UpstreamTransport::Mesh { identity, .. } => names.push(identity),
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        let made = names.into_iter().map(|name| Certificates {
            name: name.into(),
            pairs: vec![self.pair(name)],
            trusted_ca: Some(self.file("ca.pem")),
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
        made.collect()
    }

    pub(crate) fn validate(&self, envoy: &Path, name: &str, likeness: &Likeness) {
        let file = self.folder.path().join("bootstrap.json");
        let text = serde_json::to_string_pretty(&likeness.bootstrap).expect("JSON");
        std::fs::write(&file, &text).expect("a file");
        let output = Command::new(envoy)
            .args(["--mode", "validate", "-l", "warning", "-c"])
            .arg(&file)
            .output()
            .expect("Envoy runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}\n{text}");
    }
}
