//! Datagrams through a proxy, to endpoints that echo them, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::{Change, Proxy};
use proxy_core::config::{ChainAction, NodeConfig, SectionDraft};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::harness::{self, free_port, proxy_with};

/// Longer than any datagram takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for one that should not come.
const SILENCE: Duration = Duration::from_millis(200);

/// A socket that sends back what it gets, behind its own name.
struct Echo {
    name: u8,
    port: u16,
    /// Who sent what it got.
    seen: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Echo {
    async fn start(name: u8) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let port = socket.local_addr().expect("its address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = seen.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                all.lock().expect("nobody panicked").push(from);
                if let Some(first) = buffer[..length].first_mut() {
                    *first = name;
                }
                let sent = socket.send_to(&buffer[..length], from).await;
                sent.expect("it is sent back");
            }
        });
        Self { name, port, seen }
    }

    fn seen(&self) -> Vec<SocketAddr> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

struct Client(UdpSocket);

impl Client {
    async fn of(proxy: SocketAddr) -> Self {
        let any = match proxy {
            SocketAddr::V4(_) => "127.0.0.1:0",
            SocketAddr::V6(_) => "[::1]:0",
        };
        let socket = UdpSocket::bind(any).await.expect("a port");
        socket.connect(proxy).await.expect("an address");
        Self(socket)
    }

    async fn at(port: u16) -> Self {
        Self::of(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    async fn send(&self, bytes: &[u8]) {
        let sent = self.0.send(bytes).await;
        assert_eq!(sent.expect("it is sent"), bytes.len());
    }

    async fn hear(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_535];
        let heard = timeout(patience, self.0.recv(&mut buffer)).await.ok()?;
        buffer.truncate(heard.expect("the proxy listens"));
        Some(buffer)
    }

    /// The name of the endpoint that answers.
    async fn ask(&self) -> u8 {
        self.send(&[0, 1, 2]).await;
        let answer = self.hear(PATIENCE).await.expect("an answer");
        assert_eq!(&answer[1..], [1, 2]);
        answer[0]
    }
}

/// A bootstrap with a listener for datagrams at this address, and a cluster `back`.
fn bootstrap(at: SocketAddr, filter: &str, more: &str, upstreams: &[&Echo]) -> String {
    let endpoints: String = upstreams
        .iter()
        .map(|up| {
            format!(
                "          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}\n",
                up.port
            )
        })
        .collect();
    format!(
        "static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{protocol: UDP, address: '{}', port_value: {}}}}}
{more}
    listener_filters:
    - name: envoy.filters.udp_listener.udp_proxy
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: front
        matcher: {{on_no_match: {{action: {{name: route, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: back}}}}}}}}
{filter}
  clusters:
  - name: back
    type: STATIC
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
{endpoints}",
        at.ip(),
        at.port()
    )
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn start(port: u16, filter: &str, upstreams: &[&Echo]) -> Proxy {
    proxy_with(&bootstrap(local(port), filter, "", upstreams), 1)
}

#[tokio::test]
async fn datagrams_of_two_clients_go_there_and_back_apart() {
    let up = Echo::start(b'a').await;
    let port = free_port();
    let _proxy = start(port, "", &[&up]);
    let (one, other) = (Client::at(port).await, Client::at(port).await);
    for round in 1..=3_u8 {
        one.send(&[0, 1, round]).await;
        other.send(&[0, 2, round]).await;
        assert_eq!(one.hear(PATIENCE).await, Some(vec![b'a', 1, round]));
        assert_eq!(other.hear(PATIENCE).await, Some(vec![b'a', 2, round]));
    }
    one.send(&[]).await;
    assert_eq!(one.hear(PATIENCE).await, Some(vec![]), "one without bytes");
    let sources: BTreeSet<SocketAddr> = up.seen().into_iter().collect();
    assert_eq!(sources.len(), 2, "each has a socket of its own");
    assert_eq!(up.seen().len(), 7);
}

#[tokio::test]
async fn a_session_that_was_silent_is_over_and_the_next_has_another_socket() {
    let up = Echo::start(b'a').await;
    let port = free_port();
    let _proxy = start(port, "        idle_timeout: 0.1s", &[&up]);
    let client = Client::at(port).await;
    client.ask().await;
    client.ask().await;
    let before = up.seen();
    assert_eq!(before[0], before[1]);
    // what it waits for is the end of a session, which nobody outside can see
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.ask().await;
    assert_ne!(up.seen()[2], before[0]);
}

#[tokio::test]
async fn a_client_keeps_its_endpoint_until_that_is_gone() {
    let (one, two) = (Echo::start(b'a').await, Echo::start(b'b').await);
    let port = free_port();
    let proxy = start(port, "", &[&one, &two]);
    let clients = [Client::at(port).await, Client::at(port).await];
    let mut found = Vec::new();
    for client in &clients {
        let first = client.ask().await;
        for _ in 0..3 {
            assert_eq!(client.ask().await, first);
        }
        found.push(first);
    }
    found.sort_unstable();
    assert_eq!(found, [b'a', b'b'], "they take turns");
    harness::update(&proxy, &bootstrap(local(port), "", "", &[&two]));
    for client in &clients {
        // the change takes a moment
        let moved = timeout(PATIENCE, async { while client.ask().await != two.name {} });
        moved.await.expect("the endpoint that is left serves it");
    }
}

#[tokio::test]
async fn every_datagram_may_go_elsewhere() {
    let (one, two) = (Echo::start(b'a').await, Echo::start(b'b').await);
    let port = free_port();
    let per_datagram = "        use_per_packet_load_balancing: true";
    let _proxy = start(port, per_datagram, &[&one, &two]);
    let client = Client::at(port).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(client.ask().await);
    }
    assert_ne!(answers[0], answers[1]);
    assert_eq!(answers[..2], answers[2..4]);
    assert_eq!(answers[..2], answers[4..]);
}

/// Envoy: `max_rx_datagram_size`, 1500 unless told otherwise.
#[tokio::test]
async fn the_longest_datagrams_there_are_pass_where_they_may() {
    let up = Echo::start(b'a').await;
    let (port, wide) = (free_port(), free_port());
    let _narrow = start(port, "", &[&up]);
    let client = Client::at(port).await;
    client.send(&[7; 1501]).await;
    assert_eq!(client.hear(SILENCE).await, None);
    client.send(&[7; 1500]).await;
    let answer = client.hear(PATIENCE).await.expect("an answer");
    assert_eq!((answer.len(), up.seen().len()), (1500, 1));

    let sizes = "{max_rx_datagram_size: 65535}";
    let more = format!("    udp_listener_config: {{downstream_socket_config: {sizes}}}");
    let _wide = proxy_with(&bootstrap(local(wide), "", &more, &[&up]), 1);
    let client = Client::at(wide).await;
    let mut longest = vec![7; 65_507];
    client.send(&longest).await;
    longest[0] = b'a';
    assert!(client.hear(PATIENCE).await == Some(longest), "all of it");
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    let up = Echo::start(b'a').await;
    let port = free_port();
    let any = SocketAddr::from(([0, 0, 0, 0], port));
    let _proxy = proxy_with(&bootstrap(any, "", "", &[&up]), 1);
    let six = free_port();
    let any = SocketAddr::new("::".parse().expect("an address"), six);
    let _six = proxy_with(&bootstrap(any, "", "", &[&up]), 1);
    for at in [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.77:{port}"),
        format!("[::1]:{six}"),
    ] {
        // a connected socket hears nobody else
        let client = Client::of(at.parse().expect("an address")).await;
        assert_eq!(client.ask().await, b'a', "{at}");
    }
}

#[tokio::test]
async fn clients_find_their_sessions_whichever_worker_has_them() {
    let (one, two) = (Echo::start(b'a').await, Echo::start(b'b').await);
    let port = free_port();
    let _proxy = proxy_with(&bootstrap(local(port), "", "", &[&one, &two]), 2);
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(Client::at(port).await);
    }
    let mut first = Vec::new();
    for client in &clients {
        first.push(client.ask().await);
    }
    for _ in 0..3 {
        for (client, first) in clients.iter().zip(&first) {
            assert_eq!(client.ask().await, *first);
        }
    }
    let sources: BTreeSet<SocketAddr> = one.seen().into_iter().chain(two.seen()).collect();
    assert_eq!(sources.len(), 32);
}

/// The same configuration with shares of clients for two clusters.
fn split(config: &NodeConfig, weights: [u32; 2]) -> NodeConfig {
    let section = &config.sections[0];
    let mut draft = SectionDraft::default();
    for cluster in section.clusters() {
        draft.add_cluster((**cluster).clone());
    }
    let mut listener = section.listeners()[0].clone();
    let ChainAction::Udp(route) = &mut listener.chains[0].action else {
        panic!("it is for datagrams")
    };
    route.clusters = ["back", "other"]
        .iter()
        .map(|name| section.cluster_named(name).expect("it is there"))
        .zip(weights)
        .collect();
    draft.listeners.push(listener);
    NodeConfig {
        sections: vec![Arc::new(draft.build().expect("a section"))],
        ..config.clone()
    }
}

#[tokio::test]
async fn clusters_have_their_share_of_clients() {
    let (one, two) = (Echo::start(b'a').await, Echo::start(b'b').await);
    let port = free_port();
    let text = bootstrap(local(port), "", "", &[&one]);
    let other = bootstrap(local(port), "", "", &[&two]);
    let other = other.split_once("  - name: back").expect("a cluster").1;
    let other = other.replace("cluster_name: back", "cluster_name: other");
    let text = format!("{text}  - name: other{other}");
    let proxy = proxy_with(&text, 1);
    let read = proxy::parse("bootstrap.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    let changed = Change {
        config: Arc::new(split(&read.config, [3, 1])),
        ..Change::from(&read)
    };
    proxy.update(changed).expect("its sockets are there");
    let seen = |client: &Client| client.0.local_addr().expect("its address");
    let mut shares: BTreeMap<u8, u32> = BTreeMap::new();
    let mut known = BTreeSet::new();
    const CLIENTS: u32 = 400;
    // until the change is there all go to one
    let moved = timeout(PATIENCE, async {
        while Client::at(port).await.ask().await == b'a' {}
    });
    moved.await.expect("both are used");
    while shares.values().sum::<u32>() < CLIENTS {
        let client = Client::at(port).await;
        // a port that was used before has its session still
        if known.insert(seen(&client)) {
            *shares.entry(client.ask().await).or_default() += 1;
        }
    }
    let share = f64::from(shares[&b'a']) / f64::from(CLIENTS);
    // four standard deviations of a share of 3/4
    assert!((share - 0.75).abs() < 0.087, "{shares:?}");
}

#[tokio::test]
async fn draining_answers_what_is_under_way_and_ends() {
    let up = Echo::start(b'a').await;
    let port = free_port();
    let proxy = start(port, "", &[&up]);
    let client = Client::at(port).await;
    client.ask().await;
    proxy.drain();
    // its session is there until it is silent
    client.ask().await;
    timeout(PATIENCE, proxy.ended()).await.expect("it ends");
    let ip = client.0.peer_addr().expect("an address").ip();
    assert_eq!(ip, IpAddr::from(Ipv4Addr::LOCALHOST));
}
