//! What becomes of connections.

use std::collections::BTreeMap;

use proxy_core::config::{
    ChainAction, ChainMatch, CloseReason, DownstreamTransport, Forward, HeadRules, ListenerAddress,
    Preface, RouteMatch, SectionDraft, ServerName, TransportProtocol, UdpRoute,
};
use proxy_core::origin::{OriginId, Sourced};

use super::rig::*;
use crate::{Area, Destination, Options, Side, compare, learn};

#[test]
fn every_field_of_a_listener_and_its_connections_is_told() {
    type Change = fn(&mut SectionDraft);
    let rows: [(&str, Change); 9] = [
        ("connections of the listener: none | 5", |it| {
            it.listeners[0].max_connections = Some(Sourced::unsourced(5));
        }),
        ("connections of the process: none | 5", |it| {
            it.listeners[0].process_limit = Some(Sourced::unsourced(5));
        }),
        (
            "PROXY header: none | version 1: yes, version 2: yes",
            |it| {
                it.listeners[0].preface = Some(Preface {
                    optional: false,
                    v1: true,
                    v2: true,
                });
            },
        ),
        ("client idle timeout: none | 9s", |it| {
            requests(it).idle_timeout = Some(secs(9))
        }),
        ("request timeout: none | 9s", |it| {
            requests(it).request_timeout = Some(secs(9))
        }),
        ("client connection age: none | 9s", |it| {
            requests(it).max_connection_duration = Some(secs(9));
        }),
        ("head timeout: none | 9s", |it| {
            requests(it).head_timeout = Some(secs(9))
        }),
        ("bytes kept for a retry: 1048576 | 64", |it| {
            requests(it).retained_bytes = 64
        }),
        ("control headers of clients: are obeyed | go", |it| {
            requests(it).edge = true
        }),
    ];
    for (expected, change) in rows {
        assert_eq!(changed(change), [expected]);
    }
}

#[test]
fn how_heads_are_read_is_compared_where_both_say_it() {
    let with = |change: fn(&mut HeadRules)| {
        let mut draft = shop();
        let mut rules = HeadRules::unwritten("envoy");
        change(&mut rules);
        requests(&mut draft).heads = Some(std::sync::Arc::new(rules));
        draft
    };
    let rows: [(&str, Edit<HeadRules>); 3] = [
        ("paths are normalized: no | yes", |it| {
            it.path.normalizes = true
        }),
        ("trusted hops: 0 | 1", |it| it.client.trusted_hops = 1),
        ("server: envoy, overwrite | istio-envoy, overwrite", |it| {
            it.server.name = "istio-envoy".into();
        }),
    ];
    for (expected, change) in rows {
        assert_eq!(said(&told(with(|_| {}), with(change))), [expected]);
    }
    let comparison = told(shop(), with(|_| {}));
    assert!(
        comparison.differences.is_empty(),
        "{:?}",
        comparison.differences
    );
    assert_eq!(comparison.passed.len(), 1, "{:?}", comparison.passed);
}

#[test]
fn a_port_that_one_side_does_not_serve_is_closed_there() {
    let mut other = shop();
    serving(
        &mut other,
        port(8080),
        vec![host(&["*"], vec![route(RouteMatch::all())])],
    );
    let comparison = told(shop(), other);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!((&*only.place, only.area), ("port 8080", Area::Connection));
    assert_eq!(
        (&*only.left.text, &*only.right.text),
        ("closed", "requests are read")
    );
}

#[test]
fn ports_are_those_that_clients_dial() {
    let mut bound = draft();
    let hosts = || vec![host(&["*"], vec![route(RouteMatch::all())])];
    serving(&mut bound, port(8080), hosts());
    let mut dialled = draft();
    serving(&mut dialled, port(80), hosts());
    let (left, right) = (built(bound), built(dialled));
    let origin = |_| String::new();
    let mut one = Side::new(&left, &origin, &Destination::of_cluster);
    let other = Side::new(&right, &origin, &Destination::of_cluster);
    let options = Options::default();
    assert_eq!(compare(&one, &other, &options).differences.len(), 2);
    one.ports.insert(8080, 80);
    assert!(compare(&one, &other, &options).differences.is_empty());
}

fn secured(names: &[&str], to: &str) -> SectionDraft {
    let mut draft = draft();
    let table = draft.add_table(table(vec![host(&["*"], vec![route(RouteMatch::all())])]));
    let mut chain = chain(
        ChainMatch {
            server_names: names
                .iter()
                .map(|it| ServerName::Exact((*it).into()))
                .collect(),
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        http(table),
    );
    chain.transport = DownstreamTransport::Tls {
        mutual: to == "mutual",
        alpn: Vec::new(),
        certificate: "c".into(),
    };
    draft.listeners.push(listener(port(443), vec![chain]));
    draft
}

#[test]
fn server_names_are_asked_about_one_by_one() {
    let comparison = told(secured(&["shop"], ""), secured(&["shop", "store"], ""));
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!(
        (&*only.left.text, &*only.right.text),
        ("closed", "TLS ends here, requests are read")
    );
    assert!(only.example.contains("TLS for store"), "{}", only.example);
    let comparison = told(secured(&["shop"], ""), secured(&["shop"], "mutual"));
    assert_eq!(
        said(&comparison),
        ["connection: TLS ends here, requests are read | mutual TLS ends here, requests are read"]
    );
}

/// Pods that take plaintext beside mutual TLS, or not.
fn arriving(plain: bool, rest: bool) -> SectionDraft {
    let mut draft = draft();
    let mut chains = Vec::new();
    let mut mutual = chain(
        ChainMatch {
            port: rest.then_some(8080),
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        },
        bytes(&[(CART, 1)]),
    );
    mutual.transport = DownstreamTransport::Tls {
        mutual: true,
        alpn: Vec::new(),
        certificate: "c".into(),
    };
    chains.push(mutual);
    if plain {
        let raw = ChainMatch {
            port: rest.then_some(8080),
            transport: Some(TransportProtocol::Raw),
            ..ChainMatch::default()
        };
        chains.push(chain(raw, bytes(&[(CART, 1)])));
    }
    let address = match rest {
        true => ListenerAddress::InboundRest,
        false => ListenerAddress::InboundPort(8080),
    };
    draft.listeners.push(listener(address, chains));
    draft
}

#[test]
fn a_server_that_takes_plaintext_differs_from_one_that_does_not() {
    let comparison = told(arriving(false, false), arriving(true, false));
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!(
        (&*only.left.text, &*only.right.text),
        ("closed", "bytes are carried")
    );
    assert_eq!(only.place, "inbound at port 8080");
    assert_eq!(only.example, "a connection inbound at port 8080");
}

#[test]
fn one_listener_for_all_ports_and_one_for_each_are_alike() {
    for plain in [true, false] {
        let comparison = told(arriving(plain, false), arriving(plain, true));
        assert!(
            comparison.differences.is_empty(),
            "{:?}",
            comparison.differences
        );
    }
}

/// A sidecar that knows `cart` by an address.
fn leaving(address: [u8; 4], share: u32) -> SectionDraft {
    let mut draft = draft();
    let clusters = [(CART, 10 - share), (SPARE, share)];
    let action = match share {
        0 => bytes(&[(CART, 1)]),
        _ => bytes(&clusters),
    };
    let to = ListenerAddress::OutboundTo((address, 6379).into());
    draft
        .listeners
        .push(listener(to, vec![chain(ChainMatch::default(), action)]));
    let closed = ChainAction::Close(CloseReason::BlackHole);
    let rest = chain(ChainMatch::default(), closed);
    draft
        .listeners
        .push(listener(ListenerAddress::OutboundRest, vec![rest]));
    draft
}

#[test]
fn a_service_is_asked_about_by_the_address_that_each_side_knows() {
    let origin = |_| String::new();
    let ask = |left: SectionDraft, right: SectionDraft, knows: bool| {
        let (left, right) = (built(left), built(right));
        let side = |sections| {
            let mut side = Side::new(sections, &origin, &Destination::of_cluster);
            if knows {
                side.addresses = learn(sections, &Destination::of_cluster);
            }
            side
        };
        compare(&side(&left), &side(&right), &Options::default())
    };
    let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let alike = ask(leaving(here, 0), leaving(there, 0), true);
    assert!(alike.differences.is_empty(), "{:?}", alike.differences);
    let unknown = ask(leaving(here, 0), leaving(there, 0), false);
    assert_eq!(
        unknown.differences.len(),
        2,
        "either closes what the other takes"
    );
    // `spare` has there the address that `cart` has here
    let mut spare = leaving(here, 0);
    spare.listeners[0].chains[0].action = bytes(&[(SPARE, 1)]);
    let found = ask(leaving(here, 0), spare, true);
    assert_eq!(
        said(&found),
        [
            "connection: bytes are carried | closed",
            "connection: closed | bytes are carried"
        ]
    );
}

#[test]
fn shares_and_timers_of_carried_bytes_are_compared() {
    let mut other = leaving([10, 0, 0, 1], 1);
    let found = said(&told(leaving([10, 0, 0, 1], 0), other.clone()));
    assert_eq!(found, ["destination: cart | 90 % cart, 10 % spare"]);
    let before = other.clone();
    if let ChainAction::Tcp(route) = &mut other.listeners[0].chains[0].action {
        route.idle_timeout = Some(secs(60));
        route.connect_retries = 2;
        route.max_duration = Some(secs(90));
    }
    assert_eq!(
        said(&told(before, other)),
        [
            "idle timeout of bytes: none | 60s",
            "longest connection of bytes: none | 90s",
            "further endpoints after a failed connect: 0 | 2"
        ]
    );
}

#[test]
fn datagrams_are_compared_too() {
    let with = |idle| {
        let mut draft = draft();
        let action = ChainAction::Udp(UdpRoute {
            name: "u".into(),
            clusters: vec![(CART, 1)],
            idle_timeout: Some(secs(idle)),
            per_datagram: false,
            hash: None,
            largest_request: 1500,
            largest_answer: 1500,
            origin: OriginId::NONE,
        });
        let address = ListenerAddress::Datagrams(([0, 0, 0, 0], 53).into());
        draft.listeners.push(listener(
            address,
            vec![chain(ChainMatch::default(), action)],
        ));
        draft
    };
    let comparison = told(with(60), with(5));
    assert_eq!(said(&comparison), ["idle timeout of datagrams: 60s | 5s"]);
    assert_eq!(comparison.differences[0].place, "port 53 for datagrams");
}

#[test]
fn addresses_are_learnt_from_listeners_chains_and_domains() {
    let mut draft = leaving([10, 0, 0, 1], 0);
    let block = proxy_core::config::Cidr {
        address: "10.0.0.3".parse().expect("an address"),
        bits: 32,
    };
    let matches = ChainMatch {
        destinations: vec![block],
        ..ChainMatch::default()
    };
    draft.listeners[1]
        .chains
        .push(chain(matches, bytes(&[(WEB, 1)])));
    let domains = ["books.shop.svc.cluster.local", "books", "10.0.0.4"];
    let books = host(&domains, vec![to(RouteMatch::all(), Forward::to(SPARE))]);
    serving(&mut draft, ListenerAddress::OutboundPort(80), vec![books]);
    let learnt = learn(&built(draft), &Destination::of_cluster);
    let words: BTreeMap<String, &str> = learnt
        .iter()
        .map(|(ip, name)| (ip.to_string(), name.as_str()))
        .collect();
    let expected = [
        ("10.0.0.1", "cart"),
        ("10.0.0.3", "web"),
        ("10.0.0.4", "shop/books"),
    ];
    assert_eq!(
        words,
        expected.map(|(ip, name)| (ip.to_owned(), name)).into()
    );
}

#[test]
fn an_address_among_the_domains_is_asked_for_by_each_sides_own() {
    let with = |ip: &str| {
        let mut draft = draft();
        let books = host(
            &["books.shop.svc.cluster.local", ip],
            vec![route(RouteMatch::all())],
        );
        serving(&mut draft, ListenerAddress::OutboundPort(80), vec![books]);
        built(draft)
    };
    let (left, right) = (with("10.0.0.4"), with("10.9.9.9"));
    let origin = |_| String::new();
    let side = |sections| {
        let mut side = Side::new(sections, &origin, &Destination::of_cluster);
        side.addresses = learn(sections, &Destination::of_cluster);
        side
    };
    let found = compare(&side(&left), &side(&right), &Options::default());
    assert!(found.differences.is_empty(), "{:?}", found.differences);
}

#[test]
fn services_that_are_not_asked_about_are_counted() {
    let books = |to_cluster| {
        let domains = ["books.shop.svc.cluster.local", "books"];
        host(
            &domains,
            vec![to(RouteMatch::all(), Forward::to(to_cluster))],
        )
    };
    let dns = || {
        let domains = ["dns.kube-system.svc.cluster.local"];
        host(&domains, vec![to(RouteMatch::all(), Forward::to(WEB))])
    };
    let mut left = draft();
    serving(
        &mut left,
        ListenerAddress::OutboundPort(80),
        vec![books(CART)],
    );
    let mut right = draft();
    serving(
        &mut right,
        ListenerAddress::OutboundPort(80),
        vec![books(SPARE), dns()],
    );
    serving(&mut right, ListenerAddress::OutboundPort(9153), vec![dns()]);
    let options = Options {
        known: Some(["shop/books".to_owned()].into()),
        ..Options::default()
    };
    let comparison = told_with(left, right, &options);
    assert_eq!(said(&comparison), ["destination: cart | spare"]);
    let passed: Vec<&str> = comparison.passed.keys().map(String::as_str).collect();
    assert_eq!(
        passed,
        [
            "port 9153: only Services that are not asked about",
            "the Service kube-system/dns: not asked about"
        ]
    );
}

#[test]
fn plain_bytes_do_not_pass_where_tls_ends() {
    let any = |mut draft: SectionDraft| {
        draft.listeners[0].chains[0].matches.transport = None;
        draft
    };
    let comparison = told(secured(&["shop"], ""), any(secured(&["shop"], "")));
    assert!(
        comparison.differences.is_empty(),
        "{:?}",
        comparison.differences
    );
}
