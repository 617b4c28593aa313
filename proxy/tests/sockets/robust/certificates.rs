//! Certificates that are not to be believed, and certificates that change.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::bootstrap;
use crate::harness::pki::{authority, inline, made, signed};
use crate::harness::with_sockets;
use crate::harness::{Client, Upstream, answer, free_port, proxy, update};

const PLAIN: &str = "                route: {cluster: back}";

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

/// A chain that ends TLS with a certificate, and asks for one of its clients where an authority for them is named.
fn ends_tls(pair: &(String, String), clients: Option<&str>) -> String {
    let clients = clients.map_or_else(String::new, |ca| {
        format!(
            "\n            validation_context: {{trusted_ca: {}}}",
            inline(ca)
        )
    });
    let demands = !clients.is_empty();
    format!(
        "      transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: {demands}
          common_tls_context:
            tls_certificates: [{{certificate_chain: {}, private_key: {}}}]{clients}",
        inline(&pair.0),
        inline(&pair.1),
    )
}

/// A cluster over TLS that believes `ca`, and that its peer is called `back.example`.
fn begins_tls(ca: &str) -> String {
    format!(
        "    transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: back.example
          common_tls_context:
            validation_context:
              trusted_ca: {}
              match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: back.example}}}}]",
        inline(ca)
    )
}

fn year(year: i32) -> impl Fn(&mut rcgen::CertificateParams) {
    move |params| {
        params.not_before = rcgen::date_time_ymd(year, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
    }
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_to_be_believed_gets_no_request() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let (ours, ca) = authority();
    let (strangers, _) = authority();
    let cases = [
        ("good", signed("back.example", &ours), 200),
        ("expired", made("back.example", &ours, year(2001)), 503),
        (
            "not yet valid",
            made("back.example", &ours, year(2999)),
            503,
        ),
        ("of another name", signed("other.example", &ours), 503),
        (
            "of another authority",
            signed("back.example", &strangers),
            503,
        ),
    ];
    for (name, pair, status) in cases {
        let (middle, port) = (free_port(), free_port());
        let before = up.paths().len();
        let _back = proxy(&with_sockets(
            middle,
            &ends_tls(&pair, None),
            PLAIN,
            "",
            &[up.port],
        ));
        let _front = proxy(&with_sockets(port, "", PLAIN, &begins_tls(&ca), &[middle]));
        let (head, _) = Client::http1(port).await.send(get("/")).await;
        assert_eq!(head.status, status, "{name}");
        let reached = up.paths().len() - before;
        assert_eq!(reached, usize::from(status == 200), "{name}");
    }
}

/// A client that believes `ca` and shows a certificate; none: it was refused.
async fn shows(
    port: u16,
    ca: &str,
    pair: Option<&(String, String)>,
) -> Option<http1::SendRequest<Full<Bytes>>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match pair {
        Some((chain, key)) => {
            let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            config
                .with_client_auth_cert(vec![chain], key)
                .expect("a pair")
        }
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let name = "front.example".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

async fn status(sender: Option<http1::SendRequest<Full<Bytes>>>) -> Option<u16> {
    // with TLS 1.3 a client hears of its refusal only after its first request
    let response = sender?.send_request(get("/").map(Full::new)).await.ok()?;
    Some(response.status().as_u16())
}

#[tokio::test]
async fn a_client_whose_certificate_is_not_to_be_believed_is_not_served() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let (ours, ca) = authority();
    let (strangers, _) = authority();
    let port = free_port();
    let own = signed("front.example", &ours);
    let _proxy = proxy(&with_sockets(
        port,
        &ends_tls(&own, Some(&ca)),
        PLAIN,
        "",
        &[up.port],
    ));
    let cases = [
        ("good", Some(signed("client", &ours)), Some(200)),
        ("none", None, None),
        ("expired", Some(made("client", &ours, year(2001))), None),
        (
            "of another authority",
            Some(signed("client", &strangers)),
            None,
        ),
    ];
    for (name, pair, expected) in cases {
        let got = status(shows(port, &ca, pair.as_ref()).await).await;
        assert_eq!(got, expected, "{name}");
    }
    assert_eq!(up.paths().len(), 1);
}

#[tokio::test]
async fn new_certificates_are_shown_to_new_connections_and_old_ones_stay() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let (first, first_ca) = authority();
    let (second, second_ca) = authority();
    let port = free_port();
    let served = |by| {
        let pair = signed("front.example", by);
        with_sockets(port, &ends_tls(&pair, None), PLAIN, "", &[up.port])
    };
    let proxy = proxy(&served(&first));
    let mut old = shows(port, &first_ca, None).await.expect("it is believed");
    let mut ask = async || {
        old.send_request(get("/").map(Full::new))
            .await
            .expect("a response")
            .status()
    };
    assert_eq!(ask().await, 200);
    update(&proxy, &served(&second));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(
        shows(port, &first_ca, None).await.is_none(),
        "the old one is still shown"
    );
    assert_eq!(status(shows(port, &second_ca, None).await).await, Some(200));
    // whoever came before is still served
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn a_client_that_speaks_plaintext_to_tls_is_closed_and_others_are_served() {
    let up = Upstream::start(|_, _| answer(200, "")).await;
    let (ours, ca) = authority();
    let port = free_port();
    let own = signed("front.example", &ours);
    let _proxy = proxy(&with_sockets(
        port,
        &ends_tls(&own, None),
        PLAIN,
        "",
        &[up.port],
    ));
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\0\0\0\0",
    ] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        stream.write_all(bytes).await.expect("it is read");
        stream.shutdown().await.expect("it is read");
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), read).await;
        assert!(ended.is_ok(), "{bytes:?} leaves the connection open");
    }
    assert_eq!(status(shows(port, &ca, None).await).await, Some(200));
}

#[test]
fn a_key_that_is_not_its_certificates_is_refused_before_anything_is_served() {
    let (ours, _) = authority();
    let (chain, _) = signed("front.example", &ours);
    let (_, key) = signed("front.example", &ours);
    let text = with_sockets(free_port(), &ends_tls(&(chain, key), None), PLAIN, "", &[1]);
    let error = proxy::parse("bootstrap.yaml", &text).expect_err("it is refused");
    assert!(error.to_string().contains("cannot be used"), "{error}");
    let plain = bootstrap(free_port(), PLAIN, &[1]);
    assert!(proxy::parse("bootstrap.yaml", &plain).is_ok());
}

/// Believes anybody, and verifies these signatures alone.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// The certificate that a server shows to a client that asks for `name`; none: they do not agree.
async fn shown(port: u16, name: &str, schemes: &[SignatureScheme]) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(schemes.to_vec())))
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.ok()?;
    let certificates = stream.get_ref().1.peer_certificates()?;
    Some(certificates.first()?.to_vec())
}

const RSA_KEY: &str = include_str!("../harness/rsa.pem");

/// Envoy: `DefaultTlsCertificateSelector`.
#[tokio::test]
async fn of_several_certificates_the_one_is_shown_that_is_asked_for_and_can_be_used() {
    const EC: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;
    let (ours, _) = authority();
    let rsa = |name: &str| {
        let key = rcgen::KeyPair::from_pem(RSA_KEY).expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &ours).expect("a certificate");
        (certificate.pem(), RSA_KEY.to_owned())
    };
    let first = signed("first.example", &ours);
    let (ec, other) = (signed("shop.example", &ours), rsa("shop.example"));
    let wild = signed("*.wild.example", &ours);
    let chain = |all: &[&(String, String)], scan: bool| {
        let pairs = all.iter().map(|(chain, key)| {
            let (chain, key) = (inline(chain), inline(key));
            format!("{{certificate_chain: {chain}, private_key: {key}}}")
        });
        let pairs: Vec<String> = pairs.collect();
        ends_tls(all[0], None)
            .replace(
                &format!("[{}]", pairs[0]),
                &format!("[{}]", pairs.join(", ")),
            )
            .replace(
                "require_client_certificate: false",
                &format!("full_scan_certs_on_sni_mismatch: {scan}"),
            )
    };
    let der = |pair: &(String, String)| {
        let certificate = CertificateDer::from_pem_slice(pair.0.as_bytes());
        certificate.expect("a certificate").to_vec()
    };
    let port = free_port();
    let bootstrap = |all: &[&(String, String)], scan| {
        with_sockets(port, &chain(all, scan), PLAIN, "", &[free_port()])
    };
    let all = [&first, &ec, &other, &wild];
    let proxy = proxy(&bootstrap(&all, false));
    for (name, schemes, want) in [
        ("shop.example", &[EC, RSA][..], Some(&ec)),
        ("shop.example", &[RSA], Some(&other)),
        ("a.wild.example", &[EC, RSA], Some(&wild)),
        ("a.b.wild.example", &[EC, RSA], Some(&first)),
        ("else.example", &[EC, RSA], Some(&first)),
        // the first is of no use to it
        ("else.example", &[RSA], None),
    ] {
        let shown = shown(port, name, schemes).await;
        assert_eq!(shown, want.map(der), "{name} {schemes:?}");
    }
    // others take their places while it runs
    let renewed = signed("shop.example", &ours);
    update(&proxy, &bootstrap(&[&first, &renewed, &other], true));
    let taken_over =
        async { while shown(port, "shop.example", &[EC]).await != Some(der(&renewed)) {} };
    let patience = std::time::Duration::from_secs(10);
    let taken_over = tokio::time::timeout(patience, taken_over).await;
    taken_over.expect("the new one is shown");
    let scanned = shown(port, "else.example", &[RSA]).await;
    assert_eq!(scanned, Some(der(&other)), "all are looked at");
}
