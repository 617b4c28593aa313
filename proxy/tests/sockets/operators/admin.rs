//! What the admin port says and changes.

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{ROUTE, closes, end};
use crate::harness::pki::{authority, inline, signed};
use crate::harness::{Client, Upstream, answer, free_port, proxy, with_sockets};

async fn admin(port: u16, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "a");
    let request = request.body(Bytes::new()).expect("a request");
    let (head, body) = Client::http1(port).await.send(request).await;
    (
        head.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn the_admin_port_shows_and_changes_what_the_process_says_and_counts() {
    let (authority, _) = authority();
    let (certificate, key) = signed("shop.example", &authority);
    let upstream = Upstream::start(|_, _| answer(200, "")).await;
    let (port, at) = (free_port(), free_port());
    let tls = format!(
        "      transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {{tls_certificates: [{{certificate_chain: {}, private_key: {}}}]}}",
        inline(&certificate),
        inline(&key),
    );
    let text = with_sockets(port, &tls, ROUTE, "", &[upstream.port]);
    let text = format!(
        "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {at}}}}}}}\n{text}"
    );
    let proxy = proxy(&text);
    for path in [
        "/logging",
        "/reset_counters",
        "/reopen_logs",
        "/drain_listeners",
    ] {
        assert_eq!(admin(at, "GET", path).await.0, 405, "{path}");
    }
    let (status, said) = admin(at, "POST", "/logging?paths=hc:trace,file:off").await;
    assert_eq!(status, 200);
    assert!(
        said.contains("  hc: trace\n") && said.contains("  file: off\n"),
        "{said}"
    );
    for (query, why) in [
        ("level=loud", "unknown logger level"),
        ("paths=nope:info", "unknown logger name"),
        ("nope=info", "unknown logger name"),
    ] {
        let (status, said) = admin(at, "POST", &format!("/logging?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(said.starts_with(&format!("error: {why}\n")), "{said}");
    }
    let (_, said) = admin(at, "POST", "/logging?level=info").await;
    assert!(
        said.contains("  hc: info\n") && said.contains("  file: info\n"),
        "{said}"
    );
    let (_, said) = admin(at, "GET", "/certs").await;
    let certs: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let shown = &certs["certificates"][0]["cert_chain"][0];
    let names = serde_json::json!([{"dns": "shop.example"}]);
    assert_eq!(shown["subject_alt_names"], names, "{said}");
    assert!(
        shown["expiration_time"]
            .as_str()
            .is_some_and(|it| it.ends_with('Z')),
        "{said}"
    );
    let (status, said) = admin(at, "GET", "/memory").await;
    assert!(status == 200 && said.contains("\"allocated\""), "{said}");
    let (status, said) = admin(at, "GET", "/runtime").await;
    assert!(status == 200 && said.contains("\"layers\""), "{said}");
    // one that is no TLS has no chain
    let mut plain = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("it is sent");
    closes(&mut plain).await;
    let counted = |said: &str| {
        let line = said
            .lines()
            .find(|line| line.starts_with("http.downstream_cx_total: "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let (_, said) = admin(at, "GET", "/stats").await;
    assert_eq!(counted(&said), Some(1), "{said}");
    assert_eq!(
        admin(at, "POST", "/reset_counters").await,
        (200, "OK\n".to_owned())
    );
    let (_, said) = admin(at, "GET", "/stats").await;
    assert_eq!(counted(&said), Some(0), "{said}");
    let (_, said) = admin(at, "GET", "/help").await;
    for path in [
        "/logging",
        "/certs",
        "/memory",
        "/runtime",
        "/reset_counters",
        "/reopen_logs",
    ] {
        assert!(said.contains(path), "{path}");
    }
    end(proxy).await;
}
