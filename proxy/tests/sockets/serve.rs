//! A proxy on real sockets between a client and scripted upstreams.

use std::time::Duration;

use crate::harness::pki::{authority, inline, signed};
use crate::harness::{self, Client, Upstream, free_port, proxy, proxy_with, with_sockets};
use bytes::Bytes;
use http::{Request, StatusCode};

/// A bootstrap with one listener, whose virtual host takes all, and one cluster `back`.
pub(crate) fn bootstrap(port: u16, route: &str, cluster: &str, upstreams: &[u16]) -> String {
    with_sockets(port, "", route, cluster, upstreams)
}

const PLAIN: &str = "                route: {cluster: back}";

fn get(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("host", "shop.example");
    request.body(Bytes::new()).expect("a request")
}

#[tokio::test]
async fn a_request_is_carried_there_and_its_response_back() {
    let up = Upstream::start(|request, _| {
        let seen = request.headers().get("x-added").is_some();
        harness::answer(if seen { 201 } else { 500 }, "hello")
    })
    .await;
    let port = free_port();
    let route = "                route: {cluster: back}
                request_headers_to_add: [{header: {key: x-added, value: one}}]
                response_headers_to_add: [{header: {key: x-back, value: two}}]";
    let _proxy = proxy(&bootstrap(port, route, "", &[up.port]));
    let mut client = Client::http1(port).await;
    for _ in 0..3 {
        let (head, body) = client.send(get("/a?b=c")).await;
        assert_eq!(
            (head.status, &body[..]),
            (StatusCode::CREATED, &b"hello"[..])
        );
        assert_eq!(head.headers["x-back"], "two");
    }
    assert_eq!(up.connections(), 1, "one connection serves them all");
    assert_eq!(up.paths(), ["/a?b=c"; 3]);
}

#[tokio::test]
async fn what_no_route_takes_is_not_found_and_what_no_endpoint_takes_is_unavailable() {
    let port = free_port();
    let route = "                route: {cluster: back}";
    let text = bootstrap(port, route, "", &[free_port()]).replace("'*'", "known.example");
    let _proxy = proxy(&text);
    let mut client = Client::http1(port).await;
    let (head, _) = client.send(get("/")).await;
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    let known = Request::get("/").header("host", "known.example");
    let (head, body) = client
        .send(known.body(Bytes::new()).expect("a request"))
        .await;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    let text = String::from_utf8_lossy(&body);
    assert!(text.starts_with("upstream connect error"), "{text}");
}

#[tokio::test]
async fn a_failed_try_is_repeated_with_its_whole_body() {
    let up = Upstream::start(|_, nth| harness::answer(if nth == 0 { 503 } else { 200 }, "")).await;
    let port = free_port();
    let route =
        "                route: {cluster: back, retry_policy: {retry_on: 5xx, num_retries: 2}}";
    let _proxy = proxy(&bootstrap(port, route, "", &[up.port]));
    let mut client = Client::http1(port).await;
    let body = Bytes::from(vec![7; 200_000]);
    let request = Request::post("/").header("host", "shop.example");
    let (head, _) = client
        .send(request.body(body.clone()).expect("a request"))
        .await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(up.bodies(), [200_000, 200_000]);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_a_timeout() {
    let up = Upstream::slow(Duration::from_secs(5)).await;
    let port = free_port();
    let route = "                route: {cluster: back, timeout: 0.2s}";
    let _proxy = proxy(&bootstrap(port, route, "", &[up.port]));
    let (head, body) = Client::http1(port).await.send(get("/")).await;
    assert_eq!(head.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(&body[..], b"upstream request timeout");
}

const HTTP2: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}";

#[tokio::test]
async fn an_endpoint_that_allows_few_streams_gets_more_connections() {
    let up = Upstream::narrow(Duration::from_secs(1), 2).await;
    let port = free_port();
    let _proxy = proxy_with(&bootstrap(port, PLAIN, HTTP2, &[up.port]), 1);
    let first = Client::http1(port).await.send(get("/")).await;
    assert_eq!((first.0.status, up.connections()), (StatusCode::OK, 1));
    let mut all = tokio::task::JoinSet::new();
    for sent in 1..=6 {
        all.spawn(async move { Client::http1(port).await.send(get("/")).await.0.status });
        // until a new connection's settings are known, as many may be sent on it as the cluster allows
        while up.paths().len() <= sent {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let all = all.join_all().await;
    assert_eq!(all, [StatusCode::OK; 6]);
    assert_eq!(up.connections(), 3, "two streams on each");
}

#[tokio::test]
async fn http2_and_http11_meet_in_any_combination() {
    let up = Upstream::start(|_, _| harness::answer(200, "hello")).await;
    for cluster in ["", HTTP2] {
        let port = free_port();
        let _proxy = proxy(&bootstrap(port, PLAIN, cluster, &[up.port]));
        for mut client in [Client::http1(port).await, Client::http2(port).await] {
            let (head, body) = client.send(get("/")).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"hello"[..]));
        }
    }
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let up = Upstream::echo().await;
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, "", &[up.port]));
    for mut client in [Client::http1(port).await, Client::http2(port).await] {
        let body = Bytes::from((0..8_000_000_u32).map(|n| n as u8).collect::<Vec<u8>>());
        let request = Request::post("/").header("host", "shop.example");
        let (head, back) = client
            .send(request.body(body.clone()).expect("a request"))
            .await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(back == body, "{} of {} bytes", back.len(), body.len());
    }
}

#[tokio::test]
async fn requests_are_spread_over_endpoints_in_turn() {
    let ups = [
        Upstream::start(|_, _| harness::answer(200, "")).await,
        Upstream::start(|_, _| harness::answer(200, "")).await,
    ];
    let port = free_port();
    let _proxy = proxy(&bootstrap(port, PLAIN, "", &[ups[0].port, ups[1].port]));
    let mut client = Client::http1(port).await;
    for _ in 0..10 {
        client.send(get("/")).await;
    }
    assert_eq!(ups.each_ref().map(|up| up.paths().len()), [5, 5]);
}

#[tokio::test]
async fn a_drained_process_finishes_what_is_under_way_and_ends() {
    let up = Upstream::slow(Duration::from_millis(500)).await;
    let port = free_port();
    let proxy = proxy_with(&bootstrap(port, PLAIN, "", &[up.port]), 2);
    let mut client = Client::http1(port).await;
    let request = client.send(get("/"));
    let drained = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.drain();
        proxy.ended().await;
    };
    let ((head, _), ()) = tokio::join!(request, drained);
    assert_eq!(head.status, StatusCode::OK);
    let refused = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    assert!(refused.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn another_configuration_takes_over_between_two_requests() {
    let ups = [
        Upstream::start(|_, _| harness::answer(200, "one")).await,
        Upstream::start(|_, _| harness::answer(200, "two")).await,
    ];
    let port = free_port();
    let proxy = proxy(&bootstrap(port, PLAIN, "", &[ups[0].port]));
    let mut client = Client::http1(port).await;
    assert_eq!(&client.send(get("/")).await.1[..], b"one");
    harness::update(&proxy, &bootstrap(port, PLAIN, "", &[ups[1].port]));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(&client.send(get("/")).await.1[..], b"two");
}

/// The inbound end of a chain, which asks for a certificate of its clients, and an outbound end that has one of `client`.
fn chain(
    up: u16,
    alpn: &str,
    client: (&str, &str),
    expects: &str,
) -> (proxy::Proxy, proxy::Proxy, u16) {
    chain_with("", up, alpn, client, expects)
}

/// Two proxies with mutual TLS between them, whose managers have these fields.
pub(crate) fn chain_with(
    manager: &str,
    up: u16,
    alpn: &str,
    client: (&str, &str),
    expects: &str,
) -> (proxy::Proxy, proxy::Proxy, u16) {
    let manager = format!("codec_type: AUTO\n          {manager}");
    let managed = |text: String| text.replace("codec_type: AUTO", &manager);
    let (issuer, ca) = authority();
    let (certificate, key) = signed("back.example", &issuer);
    let own = signed(client.0, &issuer);
    let (middle, port) = (free_port(), free_port());
    let inbound = format!(
        "      transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates: [{{certificate_chain: {}, private_key: {}}}]
            validation_context: {{trusted_ca: {}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: front.example}}}}]}}",
        inline(&certificate),
        inline(&key),
        inline(&ca),
    );
    let back = proxy(&managed(with_sockets(middle, &inbound, PLAIN, "", &[up])));
    let pair = format!(
        "            tls_certificates: [{{certificate_chain: {}, private_key: {}}}]\n",
        inline(&own.0),
        inline(&own.1)
    );
    let pair = if client.1 == "shown" {
        pair
    } else {
        String::new()
    };
    let outbound = format!(
        "    transport_socket:
        name: tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: back.example
          common_tls_context:
            alpn_protocols: [{alpn}]
{pair}            validation_context:
              trusted_ca: {}
              match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: {expects}}}}}]",
        inline(&ca),
    );
    let front = proxy(&managed(bootstrap(port, PLAIN, &outbound, &[middle])));
    (front, back, port)
}

#[tokio::test]
async fn two_proxies_meet_over_mutual_tls() {
    let up = Upstream::start(|_, _| harness::answer(200, "hello")).await;
    for alpn in ["h2", "http/1.1"] {
        let (_front, _back, port) =
            chain(up.port, alpn, ("front.example", "shown"), "back.example");
        let (head, body) = Client::http1(port).await.send(get("/")).await;
        assert_eq!(
            (head.status, &body[..]),
            (StatusCode::OK, &b"hello"[..]),
            "{alpn}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_and_a_server_of_another_name_are_refused() {
    let up = Upstream::start(|_, _| harness::answer(200, "hello")).await;
    for (shown, expects) in [("hidden", "back.example"), ("shown", "other.example")] {
        let (_front, _back, port) = chain(up.port, "http/1.1", ("front.example", shown), expects);
        let (head, _) = Client::http1(port).await.send(get("/")).await;
        assert_eq!(
            head.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{shown} {expects}"
        );
    }
    let (_front, _back, port) = chain(
        up.port,
        "http/1.1",
        ("stranger.example", "shown"),
        "back.example",
    );
    let (head, _) = Client::http1(port).await.send(get("/")).await;
    assert_eq!(
        head.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "a client of another name"
    );
    assert_eq!(up.paths().len(), 0);
}
