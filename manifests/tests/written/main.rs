//! What a written bootstrap stands for, a real Envoy does: of things that no bootstrap is read as, and of sockets that a caller gives.

mod dumps;
mod envoy;
mod guide;
mod mesh;
mod nodes;

use std::net::SocketAddr;

use manifests::envoy::{Door, Logs};
use proxy_core::config::{
    Absent, Cluster, ClusterIndex, Endpoint, EndpointSet, Forward, HeaderMatch, ListenerAddress,
    PathMatch, PathRewrite, Route, RouteAction, RouteMatch, SectionDraft, TextMatch,
};
use proxy_core::heads::HeaderOp;
use proxy_core::node::Arrival;
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use envoy::{Running, ask, envoy, free, mirror};
use nodes::{direct, host, listener, node, retried, route};

#[test]
fn connections_are_handed_on_by_what_their_proxy_header_says() {
    let Some(envoy) = envoy() else { return };
    let mut draft = SectionDraft::default();
    let to = SocketAddr::from(([10, 96, 0, 1], 80));
    for (name, address) in [
        ("to", ListenerAddress::OutboundTo(to)),
        ("port", ListenerAddress::OutboundPort(90)),
        ("rest", ListenerAddress::OutboundRest),
        ("in", ListenerAddress::InboundPort(80)),
        ("in-rest", ListenerAddress::InboundRest),
    ] {
        let says = route(RouteMatch::all(), direct(name));
        listener(&mut draft, name, address, vec![host("*", vec![says])]);
    }
    let (out, own, other) = (
        free([127, 77, 0, 1]),
        free([127, 77, 0, 2]),
        free([127, 77, 0, 3]),
    );
    let inbound = |address, port| Door {
        address,
        arrival: Arrival::Inbound,
        meant: Some(SocketAddr::from(([10, 1, 0, 1], port))),
    };
    let outbound = Door {
        address: out,
        arrival: Arrival::Outbound,
        meant: None,
    };
    let doors = vec![inbound(own, 80), inbound(other, 81), outbound];
    let _running = Running::start(envoy, &node(draft), doors, None);
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for (address, port, expected) in [
        ("10.96.0.1", 80, "to"),
        ("10.96.0.2", 80, "rest"),
        ("10.96.0.1", 90, "port"),
        ("10.96.0.2", 90, "port"),
        ("10.96.0.2", 91, "rest"),
    ] {
        let header = format!("PROXY TCP4 10.1.0.1 {address} 5000 {port}\r\n");
        let said = ask(out, &format!("{header}{request}"));
        assert!(
            said.ends_with(&format!("\r\n\r\n{expected}")),
            "{address}:{port}: {said}"
        );
    }
    for (address, expected) in [(own, "in"), (other, "in-rest")] {
        let said = ask(address, request);
        assert!(
            said.ends_with(&format!("\r\n\r\n{expected}")),
            "{address}: {said}"
        );
    }
}

/// A route to the mirror.
fn forward(path: PathMatch, rewrite: Option<PathRewrite>) -> Route {
    let mut forward = Forward::to(ClusterIndex(0));
    forward.rewrite = rewrite;
    route(
        RouteMatch::path(path),
        RouteAction::Forward(Box::new(forward)),
    )
}

/// A route, its request's line and headers, and the line that the upstream sees; none: the route does not apply.
type Row = (Route, &'static str, Option<&'static str>);

fn rewrites() -> Vec<Row> {
    let joined = |to: &str| Some(PathRewrite::JoinedPrefix(to.into()));
    let replaced = |to: &str| Some(PathRewrite::Prefix(to.into()));
    let full = |to: &str| Some(PathRewrite::Full(to.into()));
    let segments = PathMatch::segments;
    let start = |text: &str| PathMatch::regex_start(text).expect("a pattern");
    vec![
        (
            forward(segments("/"), replaced("/b")),
            "GET /x?q=1",
            Some("GET /b/x?q=1 "),
        ),
        (
            forward(segments("/a"), joined("/")),
            "GET /a/x?q=1",
            Some("GET /x?q=1 "),
        ),
        (
            forward(segments("/a"), joined("/")),
            "GET /a",
            Some("GET / "),
        ),
        (forward(segments("/a"), joined("/")), "GET /ab", None),
        (
            forward(segments("/a"), joined("")),
            "GET /a/x",
            Some("GET /x "),
        ),
        (
            forward(PathMatch::Prefix("/a".into()), replaced("")),
            "GET /ax",
            Some("GET /x "),
        ),
        (
            forward(PathMatch::Exact("/a".into()), joined("/")),
            "GET /a",
            Some("GET / "),
        ),
        (
            forward(start("/a[0-9]"), replaced("/b")),
            "GET /a1/x",
            Some("GET /b/x "),
        ),
        (forward(start("/a[0-9]"), None), "GET /x/a1", None),
        (
            forward(segments("/a"), full("/b\\1")),
            "GET /a/x?q=1",
            Some("GET /b\\1?q=1 "),
        ),
    ]
}

fn conditions() -> Vec<Row> {
    let with = |change: fn(&mut RouteMatch)| {
        let mut route = forward(PathMatch::Prefix("/".into()), None);
        change(&mut route.matches);
        route
    };
    let methods = || with(|it| it.methods = vec!["GET".into(), "PUT".into()]);
    let unlike = |absent| HeaderMatch {
        name: "x-a".into(),
        value: TextMatch::Exact("v".into()),
        invert: true,
        ignore_case: false,
        absent,
    };
    let unequal = || {
        let mut route = with(|_| {});
        route.matches.headers.push(unlike(Absent::Unequal));
        route
    };
    let refused = || {
        let mut route = with(|_| {});
        route.matches.headers.push(unlike(Absent::Refused));
        route
    };
    vec![
        (methods(), "PUT /", Some("PUT / ")),
        (methods(), "DELETE /", None),
        (unequal(), "GET /", Some("GET / ")),
        (unequal(), "GET /\r\nx-a: w", Some("GET / ")),
        (unequal(), "GET /\r\nx-a: v", None),
        (refused(), "GET /", None),
        (refused(), "GET /\r\nx-a: w", Some("GET / ")),
    ]
}

fn edits() -> Vec<Row> {
    let edited = |ops: Vec<HeaderOp>| {
        let mut route = forward(PathMatch::Prefix("/".into()), None);
        route.request_edits = ops;
        route
    };
    let set = |value: &str| HeaderOp::Set("x-a".into(), value.into());
    let append = |value: &str| HeaderOp::Append("x-a".into(), value.into());
    let absent = |value: &str| HeaderOp::AddIfAbsent("x-a".into(), value.into());
    let remove = || HeaderOp::Remove("x-a".into());
    vec![
        (
            edited(vec![append("1"), set("2"), append("50%")]),
            "GET /",
            Some("\r\nx-a: 2\r\nx-a: 50%\r\n"),
        ),
        (
            edited(vec![absent("1"), append("2")]),
            "GET /",
            Some("\r\nx-a: 1\r\nx-a: 2\r\n"),
        ),
        (
            edited(vec![absent("1"), append("2")]),
            "GET /\r\nx-a: 0",
            Some("\r\nx-a: 2\r\n"),
        ),
        (
            edited(vec![remove(), append("1")]),
            "GET /\r\nx-a: 0",
            Some("\r\nx-a: 1\r\n"),
        ),
    ]
}

#[test]
fn routes_do_what_they_are_written_to_do() {
    let Some(envoy) = envoy() else { return };
    let mut rows = rewrites();
    rows.extend(conditions());
    rows.extend(edits());
    let mut draft = SectionDraft::default();
    let endpoints = EndpointSet {
        endpoints: vec![Endpoint::at(mirror())],
        ..EndpointSet::default()
    };
    draft.add_cluster(Cluster::envoy("mirror", endpoints));
    let hosts = (0..).zip(&rows).map(|(number, (route, ..))| {
        let next = self::route(RouteMatch::all(), direct("the next route"));
        host(&format!("r{number}.test"), vec![route.clone(), next])
    });
    let hosts = hosts.collect();
    let meant = SocketAddr::from(([10, 1, 0, 1], 80));
    listener(&mut draft, "l", ListenerAddress::Socket(meant), hosts);
    let door = Door {
        address: free([127, 77, 0, 4]),
        arrival: Arrival::Dialled,
        meant: Some(meant),
    };
    let _running = Running::start(envoy, &node(draft), vec![door], None);
    for (number, (_, asks, sees)) in rows.iter().enumerate() {
        let (line, headers) = asks.split_once("\r\n").unwrap_or((asks, ""));
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!("{headers}\r\n")
        };
        let request = format!(
            "{line} HTTP/1.1\r\nhost: r{number}.test\r\n{headers}connection: close\r\n\r\n"
        );
        let said = ask(door.address, &request);
        let (_, body) = said.split_once("\r\n\r\n").unwrap_or_default();
        match sees {
            Some(part) => assert!(body.contains(part), "{number} {asks}: {said}"),
            None => assert_eq!(body, "the next route", "{number} {asks}: {said}"),
        }
    }
}

#[test]
fn a_route_keeps_its_timeout_beside_that_of_grpc() {
    let Some(envoy) = envoy() else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoints = EndpointSet {
        endpoints: vec![Endpoint::at(silent.local_addr().expect("its address"))],
        ..EndpointSet::default()
    };
    let mut draft = SectionDraft::default();
    draft.add_cluster(Cluster::envoy("silent", endpoints));
    let mut forward = Forward::to(ClusterIndex(0));
    let timeout = Duration::from_millis(100);
    forward.timeout = Sourced::unsourced(Some(timeout));
    forward.grpc_timeout_max = Some(timeout);
    let to = route(RouteMatch::all(), RouteAction::Forward(Box::new(forward)));
    let meant = SocketAddr::from(([10, 1, 0, 1], 80));
    let address = ListenerAddress::Socket(meant);
    listener(&mut draft, "l", address, vec![host("*", vec![to])]);
    let door = Door {
        address: free([127, 77, 0, 7]),
        arrival: Arrival::Dialled,
        meant: Some(meant),
    };
    let _running = Running::start(envoy, &node(draft), vec![door], None);
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = ask(door.address, request);
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
}

#[test]
fn tries_are_logged_apart_from_requests_and_have_their_id() {
    let Some(envoy) = envoy() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let path = |name: &str| file(name).to_str().expect("a path").into();
    let endpoints = EndpointSet {
        endpoints: vec![Endpoint::at(free([127, 77, 0, 5]))],
        ..EndpointSet::default()
    };
    let mut draft = SectionDraft::default();
    draft.add_cluster(Cluster::envoy("closed", endpoints));
    let mut forward = Forward::to(ClusterIndex(0));
    forward.retry = Some(Box::new(retried(2)));
    let to = route(RouteMatch::all(), RouteAction::Forward(Box::new(forward)));
    let meant = SocketAddr::from(([10, 1, 0, 1], 80));
    let address = ListenerAddress::Socket(meant);
    listener(&mut draft, "l", address, vec![host("*", vec![to])]);
    let door = Door {
        address: free([127, 77, 0, 6]),
        arrival: Arrival::Dialled,
        meant: Some(meant),
    };
    let logs = Logs {
        requests: path("requests"),
        tries: path("tries"),
        ejections: path("ejections"),
    };
    let running = Running::start(envoy, &node(draft), vec![door], Some(logs));
    let said = ask(
        door.address,
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    running.end();
    let lines = |name: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(file(name)).expect("a log");
        let lines = text.lines();
        let parsed = lines.map(|line| serde_json::from_str(line).expect("JSON"));
        parsed.collect()
    };
    let (requests, tries) = (lines("requests"), lines("tries"));
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (&request["tries"], &request["flags"]),
        (&3.into(), &"URX,UF".into())
    );
    assert_eq!(tries.len(), 3, "{tries:?}");
    for each in &tries {
        assert_eq!(
            (&each["flags"], &each["route"]),
            (&"UF".into(), &"r".into())
        );
        assert!(each["id"].is_string() && each["id"] == request["id"]);
    }
}
