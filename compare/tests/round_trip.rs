//! What is written of a node is read as a node that decides alike: in one go, and by way of a real Envoy's `/config_dump`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use compare::{Comparison, Destination, Options, Side, compare};
use manifests::diagnostics::Diagnostics;
use manifests::envoy::{self, Written};
use manifests::load::{self, Layer};
use manifests::model::{GatewayId, Input, Model, NodeRef, Place, Pods, WorkloadId};
use manifests::origins::Origins;
use manifests::text::Sources;
use proxy_core::config::{
    Cluster, DownstreamTransport, NodeConfig, SectionDraft, UpstreamTransport,
};

/// Manifests of this workspace, with a proxy of each.
const SHOPS: [&str; 3] = [
    "../cli/tests/data/against/istio/shop.yaml",
    "../manifests/tests/data/hashicups",
    "../manifests/tests/data/layered",
];

fn model(path: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let layer = Layer::path(path.display().to_string(), &path);
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let objects = load::load(&[layer], &mut sources, &mut problems);
    let input = Input {
        objects,
        ..Input::default()
    };
    let model = Model::build(input, &mut Origins::default(), &mut problems);
    assert!(!problems.has_errors(), "{}", problems.render(&sources));
    model.expect("no mesh is asked for by name")
}

fn nodes(model: &Model) -> Vec<(NodeRef, Arc<NodeConfig>)> {
    // what Kong does is no Envoy's
    let gateways = (0..).zip(model.gateways());
    let gateways = gateways.filter(|(_, facts)| facts.dialect != "kong");
    let gateways = gateways.map(|(at, _)| NodeRef::Gateway(GatewayId(at)));
    let sidecars = (0..).zip(model.workloads());
    let sidecars = sidecars.map(|(at, _)| NodeRef::Sidecar(WorkloadId(at)));
    let pods = Pods::new(model.workloads().len());
    let all = gateways.chain(sidecars);
    all.filter_map(|node| {
        let config = model.config(node, &Place::default(), &pods)?;
        Some((node, without_tls(&config)))
    })
    .collect()
}

/// The same node without TLS: keys of a mesh are no part of its configuration, and nothing is spoken without them.
fn without_tls(config: &NodeConfig) -> Arc<NodeConfig> {
    let sections = config.sections.iter().map(|section| {
        let mut draft = SectionDraft {
            listeners: section.listeners().to_vec(),
            tables: section.tables().to_vec(),
            clusters: section.clusters().iter().map(|it| (**it).clone()).collect(),
        };
        for cluster in &mut draft.clusters {
            cluster.transport = UpstreamTransport::Plaintext;
        }
        for listener in &mut draft.listeners {
            for chain in &mut listener.chains {
                chain.transport = DownstreamTransport::Plaintext;
            }
        }
        Arc::new(draft.build().expect("it was one before"))
    });
    Arc::new(NodeConfig {
        sections: sections.collect(),
        ..config.clone()
    })
}

/// A cluster by its name, as it was before it was written once for each socket.
fn named(cluster: &Cluster) -> Destination {
    let name = &*cluster.name;
    let name = name.split_once(" at ").map_or(name, |(name, _)| name);
    Destination::service(name, None)
}

fn compared(one: &NodeConfig, other: &NodeConfig) -> Comparison {
    let origin = |_| String::new();
    let left = Side::new(&one.sections, &origin, &named);
    let right = Side::new(&other.sections, &origin, &named);
    let options = Options {
        passed_ports: [15001, 15006].into(),
        ..Options::default()
    };
    compare(&left, &right, &options)
}

fn read(node: NodeRef, text: &str) -> Arc<NodeConfig> {
    let read = match node {
        NodeRef::Gateway(_) => envoy::read("dump", text),
        NodeRef::Sidecar(_) => envoy::read_sidecar("dump", text),
    };
    read.unwrap_or_else(|refused| panic!("{refused}")).config
}

fn assert_alike(path: &str, config: &NodeConfig, back: &NodeConfig) {
    let comparison = compared(config, back);
    let differences: Vec<String> = comparison
        .differences
        .iter()
        .map(|it| {
            format!(
                "{}: {}: {} | {}",
                it.place, it.what, it.left.text, it.right.text
            )
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{path} {}:\n{}",
        config.name,
        differences.join("\n")
    );
    assert!(comparison.asked.connections > 0, "{path} {}", config.name);
}

#[test]
fn what_is_written_of_a_node_decides_as_the_node() {
    for path in SHOPS {
        for (node, config) in nodes(&model(path)) {
            let written = envoy::write(&config, &Written::default());
            let back = read(node, &written.bootstrap.to_string());
            assert_alike(path, &config, &back);
        }
    }
}

#[test]
fn what_a_real_envoy_says_of_itself_decides_as_the_node() {
    let Some(program) = std::env::var_os("ENVOY").map(PathBuf::from) else {
        eprintln!("SKIPPED: no Envoy to ask; name its binary in $ENVOY");
        return;
    };
    for path in SHOPS {
        for (node, config) in nodes(&model(path)) {
            let admin = free();
            let written = Written {
                admin: Some(admin),
                ..Written::default()
            };
            let likeness = envoy::write(&config, &written);
            let running = Running::start(&program, &likeness.bootstrap.to_string(), admin);
            let back = read(node, &dump(admin));
            drop(running);
            assert_alike(path, &config, &back);
        }
    }
}

fn free() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
    probe.local_addr().expect("its address")
}

/// An Envoy that runs until it is dropped.
struct Running {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(program: &Path, bootstrap: &str, admin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap).expect("a file");
        let mut command = Command::new(program);
        command.args([
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "-l",
            "error",
            "-c",
        ]);
        let child = command.arg(&file).stderr(Stdio::null()).spawn();
        let mut running = Self {
            child: child.expect("Envoy runs"),
            _folder: folder,
        };
        for _ in 0..300 {
            if TcpStream::connect(admin).is_ok() {
                return running;
            }
            let ended = running.child.try_wait().expect("its state");
            assert!(ended.is_none(), "Envoy refuses its bootstrap");
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("nobody listens at {admin}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer on `/config_dump?include_eds`.
fn dump(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    let request = "GET /config_dump?include_eds HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, mut body) = answer.split_once("\r\n\r\n").expect("a head");
    if !head.contains("chunked") {
        return body.to_owned();
    }
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a piece");
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    text
}
