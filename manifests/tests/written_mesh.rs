//! The proxies of a guide, of Istio, Linkerd and Kong, as bootstraps of Envoys, which Envoy itself takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use manifests::diagnostics::Diagnostics;
use manifests::envoy::{
    Certificates, DataSource, Door, KeyPair, Likeness, Sockets, Written, write,
};
use manifests::load::{Layer, load};
use manifests::model::{
    GatewayId, GatewayOverride, Input, Labels, MeshWish, Model, NodeRef, Place, Pod, Pods,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{DownstreamTransport, NodeConfig, UpstreamTransport};
use proxy_core::node::Arrival;
use proxy_core::origin::OriginId;

/// A pod's sidecar, or a gateway.
struct Proxy {
    name: String,
    is_gateway: bool,
    ip: IpAddr,
    config: Arc<NodeConfig>,
}

/// The sidecars of one pod of every workload.
fn sidecars(layers: &[&str]) -> Vec<Proxy> {
    let mut all = proxies("istio", layers);
    all.retain(|proxy| !proxy.is_gateway);
    all
}

/// The proxies of one pod of every workload, Kong's gateway among them.
fn proxies(mesh: &str, layers: &[&str]) -> Vec<Proxy> {
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
    assert!(!all.is_empty(), "{}", diagnostics.to_lines(&sources));
    all
}

/// An authority of the test's own, which signs itself, as certificate of every identity.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let params = rcgen::CertificateParams::new(vec!["test".to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("chain.pem", own.pem());
        write("key.pem", key.serialize_pem());
        Self { folder }
    }

    fn file(&self, name: &str) -> DataSource {
        let path = self.folder.path().join(name);
        DataSource::File(path.to_str().expect("a path").into())
    }

    /// What every transport of a node presents.
    fn certificates(&self, config: &NodeConfig) -> Vec<Certificates> {
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
            pairs: vec![KeyPair {
                chain: self.file("chain.pem"),
                key: self.file("key.pem"),
            }],
            trusted_ca: Some(self.file("chain.pem")),
            system_roots: false,
            subjects: Vec::new(),
            accepts_untrusted: false,
            accepts_expired: false,
            alpn: Vec::new(),
            min_version: None,
            max_version: None,
            origin: OriginId::NONE,
        });
        made.collect()
    }

    fn validate(&self, envoy: &Path, name: &str, likeness: &Likeness) {
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

/// Envoy, if the environment names it.
fn envoy() -> Option<PathBuf> {
    let found = std::env::var_os("ENVOY").map(PathBuf::from);
    if found.is_none() {
        eprintln!("SKIPPED: no Envoy to ask; name its binary in $ENVOY");
    }
    found
}

const FLIGHTS: [&[&str]; 5] = [
    &["layered"],
    &["layered", "meshed"],
    &["layered", "meshed", "storm"],
    &["layered", "meshed", "storm", "budget"],
    &["layered", "meshed", "storm", "limits"],
];

#[test]
fn the_guides_sidecars_are_envoys_but_for_what_is_told() {
    let authority = Authority::new();
    let mut told = Vec::new();
    for sidecar in sidecars(&["layered", "meshed"]) {
        let written = Written {
            certificates: authority.certificates(&sidecar.config),
            locality: "local/a".into(),
            ..Written::default()
        };
        let likeness = write(&sidecar.config, &written);
        let departures = likeness.departures.iter();
        told.extend(departures.map(|it| format!("{}: {}", sidecar.name, it.what)));
    }
    told.sort();
    told.dedup();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn envoy_takes_the_guides_sidecars() {
    let Some(envoy) = envoy() else { return };
    let authority = Authority::new();
    for layers in FLIGHTS {
        for sidecar in sidecars(layers) {
            let written = Written {
                admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
                certificates: authority.certificates(&sidecar.config),
                locality: "local/a".into(),
                ..Written::default()
            };
            let likeness = write(&sidecar.config, &written);
            authority.validate(&envoy, &sidecar.name, &likeness);
        }
    }
}

#[test]
fn envoy_takes_the_guides_sidecars_on_loopback() {
    let Some(envoy) = envoy() else { return };
    let authority = Authority::new();
    let here = |at: SocketAddr| {
        let IpAddr::V4(ip) = at.ip() else { return at };
        let [_, b, c, d] = ip.octets();
        SocketAddr::from(([127, b, c, d], at.port()))
    };
    for sidecar in sidecars(&["layered", "meshed"]) {
        let sections = sidecar.config.sections.iter();
        let endpoints = sections
            .flat_map(|section| section.clusters())
            .flat_map(|cluster| &cluster.endpoints.endpoints)
            .map(|endpoint| (endpoint.address, here(endpoint.address)));
        let inbound = [80, 8080, 9090].map(|port| {
            let meant = SocketAddr::new(sidecar.ip, port);
            Door {
                address: here(meant),
                arrival: Arrival::Inbound,
                meant: Some(meant),
            }
        });
        let mut doors = inbound.to_vec();
        doors.push(Door {
            address: here(SocketAddr::new(sidecar.ip, 15001)),
            arrival: Arrival::Outbound,
            meant: None,
        });
        let written = Written {
            certificates: authority.certificates(&sidecar.config),
            endpoints: endpoints.collect(),
            sockets: Sockets::Doors(doors),
            ..Written::default()
        };
        let likeness = write(&sidecar.config, &written);
        authority.validate(&envoy, &sidecar.name, &likeness);
    }
}

#[test]
fn what_envoys_do_otherwise_than_linkerd_and_kong_is_told() {
    let mut told = Vec::new();
    for proxy in proxies("linkerd", &["layered", "meshed", "linkerd"]) {
        let likeness = write(&proxy.config, &Written::default());
        let departures = likeness.departures.iter();
        let whose = if proxy.is_gateway { "Kong" } else { "Linkerd" };
        told.extend(departures.map(|it| format!("{whose}: {}", it.what)));
    }
    told.sort();
    told.dedup();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn envoy_takes_the_place_of_linkerd_and_kong() {
    let Some(envoy) = envoy() else { return };
    let authority = Authority::new();
    for proxy in proxies("linkerd", &["layered", "meshed", "linkerd"]) {
        let written = Written {
            certificates: authority.certificates(&proxy.config),
            ..Written::default()
        };
        let likeness = write(&proxy.config, &written);
        authority.validate(&envoy, &proxy.name, &likeness);
    }
}
