//! The process started from Kubernetes manifests: what it serves, and what happens when they change.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::process::Process;
use crate::harness::{Client, Upstream, answer, free_port};
use bytes::Bytes;
use http::{Request, StatusCode};
use tempfile::TempDir;

/// What it says on standard error when it refuses to start.
fn refusal(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_windtunnel-proxy"))
        .args(args)
        .args(["--mode", "validate"])
        .output()
        .expect("it runs");
    assert_eq!(done.status.code(), Some(2), "it is refused");
    String::from_utf8(done.stderr).expect("text")
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:
  clusterIP: 10.96.0.9
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
---
"
    )
}

pub(crate) fn slice(name: &str, ports: &[u16]) -> String {
    let slice = |port: &u16| {
        format!(
            "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{port}
  namespace: shop
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
ports: [{{name: http, port: {port}}}]
---
"
        )
    };
    ports.iter().map(slice).collect()
}

/// A Kong Ingress that sends `/cart` to the Service `cart`.
fn ingress() -> String {
    "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: kong
  rules:
  - http:
      paths:
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
"
    .to_owned()
}

fn gateway(hosts: &str, servers: &[(u16, &str)]) -> String {
    let servers: String = servers
        .iter()
        .map(|(port, rest)| {
            format!("  - {{port: {{number: {port}, name: p{port}, {rest}, hosts: ['{hosts}']}}\n")
        })
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  selector: {{app: edge}}
  servers:
{servers}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: cart, namespace: shop}}
spec:
  hosts: ['{hosts}']
  gateways: [edge]
  http:
  - headers: {{response: {{set: {{x-by: edge}}}}}}
    route: [{{destination: {{host: cart, port: {{number: 80}}}}}}]
---
"
    )
}

const HTTP: &str = "protocol: HTTP}";

fn listens(gateway: &str, ports: &[(u16, u16)]) -> String {
    let ports: Vec<String> = ports
        .iter()
        .map(|(written, actual)| format!("\"{written}\": {actual}"))
        .collect();
    format!(
        "{{\"gateways\": {{\"{gateway}\": {{\"address\": \"127.0.0.1\", \"ports\": {{{}}}}}}}}}",
        ports.join(", ")
    )
}

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, String)]) -> Self {
        let folder = Self(TempDir::new().expect("a folder"));
        fs::create_dir(folder.0.path().join("manifests")).expect("a folder");
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("it is written");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(crate) fn gateway(&self, more: &[&str]) -> Process {
        let (manifests, map) = (self.path("manifests"), self.path("map.json"));
        let mut args = vec!["gateway", "-f", &manifests];
        if Path::new(&map).exists() {
            args.extend(["--listen-map", &map]);
        }
        args.extend(more);
        Process::start(&args)
    }
}

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

async fn status(port: u16, path: &str) -> StatusCode {
    Client::http1(port).await.send(get(path)).await.0.status
}

/// How often a change is looked for, and how long it is waited for in between.
pub(crate) const PATIENCE: usize = 400;
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// Waits until a request is answered so.
pub(crate) async fn answered(port: u16, path: &str, wanted: impl Fn(StatusCode) -> bool) {
    let mut got = StatusCode::OK;
    for _ in 0..PATIENCE {
        got = status(port, path).await;
        if wanted(got) {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("{path} is still answered {got}");
}

#[tokio::test]
async fn an_ingress_is_served_at_the_endpoints_of_slices_and_follows_them() {
    let first = Upstream::start(|_, _| answer(201, "")).await;
    let second = Upstream::start(|_, _| answer(202, "")).await;
    let port = free_port();
    let folder = Folder::new(&[
        ("manifests/shop.yaml", service("cart") + &ingress()),
        ("manifests/slice.yaml", slice("cart", &[first.port])),
    ]);
    folder.write(
        "map.json",
        &listens("kong/kong", &[(80, port), (443, free_port())]),
    );
    let _process = folder.gateway(&[]);
    assert_eq!(status(port, "/cart").await, 201);
    assert_eq!(status(port, "/else").await, 404);

    folder.write("manifests/slice.yaml", &slice("cart", &[second.port]));
    answered(port, "/cart", |got| got == 202).await;

    // what is bad is refused, and what was before stays
    folder.write("manifests/slice.yaml", "kind: [");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status(port, "/cart").await, 202);

    folder.write("manifests/slice.yaml", "");
    answered(port, "/cart", |got| got == 503).await;
}

#[tokio::test]
async fn a_plugin_limits_what_comes_in_a_year_for_all_workers_together() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let plugin = "apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {name: limit, namespace: shop}
plugin: rate-limiting
config: {year: 3, policy: local}
---
";
    let limited = ingress().replace(
        "{name: shop, namespace: shop}",
        "{name: shop, namespace: shop, annotations: {konghq.com/plugins: limit}}",
    );
    let folder = Folder::new(&[(
        "manifests/shop.yaml",
        service("cart") + &slice("cart", &[up.port]) + plugin + &limited,
    )]);
    folder.write(
        "map.json",
        &listens("kong/kong", &[(80, port), (443, free_port())]),
    );
    let _process = folder.gateway(&[]);
    let mut left = Vec::new();
    for _ in 0..3 {
        // a connection each, so that both workers may have some
        let (head, _) = Client::http1(port).await.send(get("/cart")).await;
        assert_eq!(head.status, StatusCode::OK);
        left.push(head.headers["x-ratelimit-remaining-year"].clone());
    }
    assert_eq!(left, ["2", "1", "0"]);
    let (head, _) = Client::http1(port).await.send(get("/cart")).await;
    assert_eq!(head.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(head.headers["ratelimit-limit"], "3");
    assert!(head.headers.contains_key("retry-after"));
    assert_eq!(status(port, "/else").await, 404);
}

#[tokio::test]
async fn a_port_that_a_gateway_gains_is_listened_on_and_one_that_it_loses_is_not() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let (one, two) = (free_port(), free_port());
    let folder = Folder::new(&[
        (
            "manifests/shop.yaml",
            service("cart") + &slice("cart", &[up.port]),
        ),
        ("manifests/edge.yaml", gateway("*", &[(80, HTTP)])),
    ]);
    folder.write("map.json", &listens("shop/edge", &[(80, one), (81, two)]));
    let _process = folder.gateway(&["--gateway", "shop/edge"]);
    let (head, _) = Client::http1(one).await.send(get("/")).await;
    assert_eq!(
        (head.status, &head.headers["x-by"]),
        (StatusCode::OK, &"edge".parse().expect("a value"))
    );
    let dial = |port| std::net::TcpStream::connect(("127.0.0.1", port));
    assert!(dial(two).is_err(), "nothing listens there yet");

    folder.write("manifests/edge.yaml", &gateway("*", &[(81, HTTP)]));
    for _ in 0..PATIENCE {
        if dial(two).is_ok() && dial(one).is_err() {
            break;
        }
        tokio::time::sleep(STEP).await;
    }
    assert!(dial(one).is_err(), "it is still listened on");
    assert_eq!(status(two, "/").await, 200);
}

#[tokio::test]
async fn tls_ends_with_the_certificate_of_a_secret() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let port = free_port();
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]);
    let made = made.expect("a certificate");
    let secret = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: shop-tls, namespace: shop}}
type: kubernetes.io/tls
data:
  tls.crt: {}
  tls.key: {}
",
        data_encoding::BASE64.encode(made.cert.pem().as_bytes()),
        data_encoding::BASE64.encode(made.signing_key.serialize_pem().as_bytes()),
    );
    let https = "protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop-tls}";
    let folder = Folder::new(&[
        (
            "manifests/shop.yaml",
            service("cart") + &slice("cart", &[up.port]),
        ),
        (
            "manifests/edge.yaml",
            gateway("shop.example", &[(443, https)]),
        ),
        ("manifests/secret.yaml", secret),
    ]);
    folder.write("map.json", &listens("shop/edge", &[(443, port)]));
    let _process = folder.gateway(&[]);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    let name = "shop.example".try_into().expect("a name");
    let stream = connector.connect(name, stream.expect("it listens")).await;
    let io = hyper_util::rt::TokioIo::new(stream.expect("the certificate is believed"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let request = get("/").map(http_body_util::Full::new);
    let response = sender.send_request(request).await.expect("a response");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_sidecar_takes_the_calls_of_its_workload_where_the_listen_map_says() {
    let old = Upstream::start(|_, _| answer(201, "")).await;
    let port = free_port();
    let mesh = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - match: [{uri: {prefix: /gone}}]
    directResponse: {status: 410}
  - route: [{destination: {host: cart}}]
---
";
    let folder = Folder::new(&[(
        "manifests/shop.yaml",
        mesh.to_owned() + &service("cart") + &slice("cart", &[old.port]),
    )]);
    folder.write(
        "map.json",
        &format!(
            "{{\"mesh\": {{\"shop/web\": {{\"shop/cart\": {{\"address\": \"127.0.0.1\", \"ports\": {{\"80\": {port}}}}}}}}}}}"
        ),
    );
    let (manifests, map) = (folder.path("manifests"), folder.path("map.json"));
    let args = [
        "sidecar",
        "-f",
        &manifests,
        "--listen-map",
        &map,
        "--workload",
        "shop/web",
    ];
    let _process = Process::start(&args);
    let mut client = Client::http1(port).await;
    let mut ask = async |path: &str| {
        let request = Request::get(path).header("host", "cart");
        let request = request.body(Bytes::new()).expect("a request");
        client.send(request).await.0.status
    };
    assert_eq!(ask("/").await, 201);
    assert_eq!(ask("/gone/for/good").await, 410);
}

#[test]
fn what_cannot_be_served_is_refused_with_what_there_is() {
    let folder = Folder::new(&[(
        "manifests/shop.yaml",
        service("cart") + &gateway("*", &[(80, HTTP)]),
    )]);
    let manifests = folder.path("manifests");
    for (args, says) in [
        (
            vec!["gateway", "-f", &manifests, "--gateway", "shop/egde"],
            "no gateway is called `shop/egde`: did you mean `shop/edge`?",
        ),
        (
            vec!["sidecar", "-f", &manifests, "--workload", "shop/web"],
            "no workload is called `shop/web`",
        ),
        (vec!["gateway", "-f", "/nowhere/at-all"], "/nowhere/at-all"),
        (
            vec!["gateway", "-f", &manifests, "--mesh", "istoi"],
            "no mesh `istoi` is known",
        ),
    ] {
        let error = refusal(&args);
        assert!(error.contains(says), "{args:?}: {error}");
    }
    folder.write("map.json", &listens("shop/other", &[(80, 1)]));
    let map = folder.path("map.json");
    let error = refusal(&["gateway", "-f", &manifests, "--listen-map", &map]);
    assert!(error.contains("nothing of it can be served"), "{error}");
    folder.write("manifests/shop.yaml", &service("cart"));
    let error = refusal(&["gateway", "-f", &manifests]);
    assert!(error.contains("have no gateway that is known"), "{error}");
}
