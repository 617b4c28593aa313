//! Gateways of the Gateway API on real sockets: what only sockets, certificates and files can show.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::pki::{authority, made, signed};
use crate::harness::{Client, Upstream, answer, free_port};
use crate::manifests::{Folder, PATIENCE, STEP, answered, service, slice};

type Pair = (String, String);

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: edge}
spec: {controllerName: example.com/edge}
---
";

/// A Gateway `shop/NAME` with these fields besides, and a route of its own to a Service.
fn gateway(name: &str, spec: &str, service: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec:
  gatewayClassName: edge
  {spec}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: {name}}}]
  rules:
  - backendRefs: [{{name: {service}, port: 80}}]
    filters: [{{type: CORS, cors: {{allowOrigins: ['https://*.example'], allowMethods: ['*']}}}}]
---
"
    )
}

fn secret(name: &str, pair: &Pair) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: shop}}
stringData: {{tls.crt: {:?}, tls.key: {:?}}}
---
",
        pair.0, pair.1
    )
}

fn config_map(name: &str, ca: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: shop}}
data: {{ca.crt: {ca:?}}}
---
"
    )
}

const HTTP: &str = "listeners: [{name: http, port: 80, protocol: HTTP}]";

fn https(secrets: &str) -> String {
    format!(
        "listeners: [{{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{secrets}]}}}}]"
    )
}

fn map(gateways: &[(&str, u16, u16)]) -> String {
    let rows = gateways.iter().map(|(name, port, actual)| {
        format!(
            "\"shop/{name}\": {{\"address\": \"127.0.0.1\", \"ports\": {{\"{port}\": {actual}}}}}"
        )
    });
    let rows: Vec<String> = rows.collect();
    format!("{{\"gateways\": {{{}}}}}", rows.join(", "))
}

fn get() -> Request<Bytes> {
    let request = Request::get("/").header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

/// The reason of a condition of the first listener, or of the route's first parent.
fn condition(status: &Value, kind: &str, of: &str) -> String {
    let mut items = status["items"].as_array().expect("a list").iter();
    let item = items.rfind(|it| it["kind"] == kind);
    let status = &item.expect("it has a status")["status"];
    let first = match kind {
        "Gateway" => &status["listeners"][0],
        _ => &status["parents"][0],
    };
    let mut conditions = first["conditions"].as_array().expect("conditions").iter();
    let found = conditions.rfind(|it| it["type"] == of);
    found.expect("it is said")["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_gateway_serves_and_its_status_follows_what_is_written() {
    let up = Upstream::start(|_, _| answer(201, "")).await;
    let port = free_port();
    let folder = Folder::new(&[
        (
            "manifests/shop.yaml",
            CLASS.to_owned() + &service("cart") + &slice("cart", &[up.port]),
        ),
        ("manifests/edge.yaml", gateway("edge", HTTP, "cart")),
    ]);
    folder.write("map.json", &map(&[("edge", 80, port)]));
    let path = folder.path("status.json");
    let _process = folder.gateway(&["--status", &path]);
    let read = || -> Value {
        let text = fs::read_to_string(&path).expect("it is there as soon as it serves");
        serde_json::from_str(&text).expect("it is never half written")
    };
    let status = read();
    assert_eq!(condition(&status, "Gateway", "Programmed"), "Programmed");
    assert_eq!(
        condition(&status, "HTTPRoute", "ResolvedRefs"),
        "ResolvedRefs"
    );
    let mut gateways = status["items"].as_array().expect("a list").iter();
    let gateway_status = gateways.rfind(|it| it["kind"] == "Gateway");
    let addresses = &gateway_status.expect("it has a status")["status"]["addresses"];
    assert_eq!(addresses[0]["value"], "127.0.0.1");
    let (head, _) = Client::http1(port).await.send(get()).await;
    assert_eq!(head.status, 201);

    folder.write("manifests/edge.yaml", &gateway("edge", HTTP, "gone"));
    answered(port, "/", |got| got == 500).await;
    for _ in 0..PATIENCE {
        if condition(&read(), "HTTPRoute", "ResolvedRefs") == "BackendNotFound" {
            return;
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("the status does not follow: {}", read());
}

#[tokio::test]
async fn preflights_are_answered_and_answers_say_who_may_read_them() {
    let up = Upstream::start(|_, _| answer(201, "")).await;
    let port = free_port();
    let folder = Folder::new(&[(
        "manifests/shop.yaml",
        CLASS.to_owned()
            + &service("cart")
            + &slice("cart", &[up.port])
            + &gateway("edge", HTTP, "cart"),
    )]);
    folder.write("map.json", &map(&[("edge", 80, port)]));
    let _process = folder.gateway(&[]);
    let ask = async |method: &str, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "shop.example")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .body(Bytes::new())
            .expect("a request");
        let (head, body) = Client::http1(port).await.send(request).await;
        let header = |name: &str| {
            let value = head.headers.get(name)?;
            Some(value.to_str().expect("text").to_owned())
        };
        (
            head.status.as_u16(),
            body.len(),
            header("access-control-allow-origin"),
            header("access-control-allow-methods"),
        )
    };
    let text = |text: &str| Some(text.to_owned());
    let (ours, theirs) = ("https://a.b.example", "https://example.org");
    assert_eq!(
        ask("OPTIONS", ours).await,
        (200, 0, text(ours), text("PUT"))
    );
    assert_eq!(ask("OPTIONS", theirs).await, (200, 0, None, None));
    assert!(up.paths().is_empty(), "no preflight went upstream");
    assert_eq!(ask("PUT", ours).await, (201, 0, text(ours), None));
    assert_eq!(ask("PUT", theirs).await, (201, 0, None, None));
}

/// What a client that believes `ca` and asks for `name` is shown, and the connection; none: it was refused.
async fn dial(
    port: u16,
    name: &str,
    ca: &str,
    pair: Option<&Pair>,
) -> Option<(CertificateDer<'static>, http1::SendRequest<Full<Bytes>>)> {
    let mut roots = RootCertStore::empty();
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes());
    let believed = certificate(ca).expect("a certificate");
    roots.add(believed).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match pair {
        Some((chain, key)) => {
            let chain = vec![certificate(chain).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let name = name.to_owned().try_into().expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream.expect("it listens")).await;
    let stream = stream.ok()?;
    let shown = stream.get_ref().1.peer_certificates()?.first()?.clone();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some((shown, sender))
}

async fn status_over(port: u16, name: &str, ca: &str, pair: Option<&Pair>) -> Option<u16> {
    let (_, mut sender) = dial(port, name, ca, pair).await?;
    // with TLS 1.3 a client hears of its refusal only after its first request
    let response = sender.send_request(get().map(Full::new)).await.ok()?;
    Some(response.status().as_u16())
}

#[tokio::test]
async fn of_several_certificates_the_one_that_has_the_name_asked_for_is_shown() {
    let up = Upstream::start(|_, _| answer(201, "")).await;
    let (ours, ca) = authority();
    let pairs = ["first.example", "second.example"].map(|name| signed(name, &ours));
    let port = free_port();
    let folder = Folder::new(&[(
        "manifests/shop.yaml",
        CLASS.to_owned()
            + &service("cart")
            + &slice("cart", &[up.port])
            + &secret("first", &pairs[0])
            + &secret("second", &pairs[1])
            + &gateway("edge", &https("{name: first}, {name: second}"), "cart"),
    )]);
    folder.write("map.json", &map(&[("edge", 443, port)]));
    let _process = folder.gateway(&[]);
    for (name, at) in [("second.example", 1), ("first.example", 0)] {
        let (shown, mut sender) = dial(port, name, &ca, None).await.expect("it is believed");
        let wanted = CertificateDer::from_pem_slice(pairs[at].0.as_bytes());
        assert_eq!(shown, wanted.expect("a certificate"), "{name}");
        let response = sender.send_request(get().map(Full::new)).await;
        assert_eq!(response.expect("a response").status(), 201, "{name}");
    }
}

#[tokio::test]
async fn clients_are_served_for_what_they_show_or_whatever_they_show() {
    let up = Upstream::start(|_, _| answer(201, "")).await;
    let (ours, ca) = authority();
    let (strangers, _) = authority();
    // a client's certificate need have no names
    let nameless = made("x", &ours, |params| params.subject_alt_names.clear());
    let stranger = signed("x", &strangers);
    for (mode, none, other) in [
        ("AllowValidOnly", None, None),
        ("AllowInsecureFallback", Some(201), Some(201)),
    ] {
        let port = free_port();
        let validation = format!(
            "tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}], mode: {mode}}}}}}}}}\n  {}",
            https("{name: own}")
        );
        let folder = Folder::new(&[(
            "manifests/shop.yaml",
            CLASS.to_owned()
                + &service("cart")
                + &slice("cart", &[up.port])
                + &secret("own", &signed("edge.example", &ours))
                + &config_map("ca", &ca)
                + &gateway("edge", &validation, "cart"),
        )]);
        folder.write("map.json", &map(&[("edge", 443, port)]));
        let _process = folder.gateway(&[]);
        let ask = async |pair: Option<&Pair>| status_over(port, "edge.example", &ca, pair).await;
        assert_eq!(ask(Some(&nameless)).await, Some(201), "{mode}");
        assert_eq!(ask(None).await, none, "{mode}");
        assert_eq!(ask(Some(&stranger)).await, other, "{mode}");
    }
}

/// Two Gateways of one process, the first before the second, which demands a certificate of its clients.
#[tokio::test]
async fn a_backend_over_tls_is_known_by_its_policy() {
    let up = Upstream::start(|_, _| answer(201, "")).await;
    let (ours, ca) = authority();
    let (_, another) = authority();
    let rows = [
        ("known", "ca", "hostname: back.example", Some("mine"), 201),
        (
            "of another authority",
            "another",
            "hostname: back.example",
            Some("mine"),
            503,
        ),
        (
            "of another name",
            "ca",
            "hostname: else.example",
            Some("mine"),
            503,
        ),
        (
            "by another of its names",
            "ca",
            "hostname: else.example, subjectAltNames: [{type: Hostname, hostname: back.example}]",
            Some("mine"),
            201,
        ),
        (
            "by a name that it has not",
            "ca",
            "hostname: back.example, subjectAltNames: [{type: URI, uri: 'spiffe://x'}]",
            Some("mine"),
            503,
        ),
        (
            "that is shown nothing",
            "ca",
            "hostname: back.example",
            None,
            503,
        ),
    ];
    for (name, authority, validation, shown, want) in rows {
        let (front, back) = (free_port(), free_port());
        let shows = shown.map_or_else(String::new, |name| {
            format!("tls: {{backend: {{clientCertificateRef: {{name: {name}}}}}}}\n  ")
        });
        let demands = format!(
            "tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}}}}}}}\n  {}",
            https("{name: back}")
        );
        let policy = format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: back, namespace: shop}}
spec:
  targetRefs: [{{group: '', kind: Service, name: back}}]
  validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: {authority}}}], {validation}}}
---
"
        );
        let folder = Folder::new(&[(
            "manifests/shop.yaml",
            CLASS.to_owned()
                + &service("cart")
                + &slice("cart", &[up.port])
                + &service("back").replace("10.96.0.9", "10.96.0.10")
                + &slice("back", &[back])
                + &secret("back", &signed("back.example", &ours))
                + &secret("mine", &signed("front.example", &ours))
                + &config_map("ca", &ca)
                + &config_map("another", &another)
                + &policy
                + &gateway("front", &format!("{shows}{HTTP}"), "back")
                + &gateway("back", &demands, "cart"),
        )]);
        folder.write(
            "map.json",
            &map(&[("front", 80, front), ("back", 443, back)]),
        );
        let _process = folder.gateway(&[]);
        let (head, _) = Client::http1(front).await.send(get()).await;
        assert_eq!(head.status, want, "{name}");
    }
}
