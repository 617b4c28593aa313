//! The proxies of a guide, of Istio, Linkerd and Kong, as bootstraps of Envoys, which Envoy itself takes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use manifests::envoy::{Door, Sockets, Written, write};
use proxy_core::config::ListenerAddress;
use proxy_core::node::Arrival;

use super::envoy::{Running, ask, envoy, free, mirror};
use super::guide::{Authority, Proxy, proxies, service, sidecars};

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

/// A sidecar's endpoints, each as somebody dials it.
fn dialled(
    proxy: &Proxy,
    place: impl Fn(SocketAddr) -> SocketAddr,
) -> BTreeMap<SocketAddr, SocketAddr> {
    let sections = proxy.config.sections.iter();
    let clusters = sections.flat_map(|section| section.clusters());
    let endpoints = clusters.flat_map(|cluster| &cluster.endpoints.endpoints);
    endpoints
        .map(|it| (it.address, place(it.address)))
        .collect()
}

#[test]
fn two_envoys_speak_mutual_tls_as_the_guides_sidecars_do() {
    let Some(envoy) = envoy() else { return };
    const LAYERS: &[&str] = &["layered", "meshed"];
    let authority = Authority::new();
    let all = sidecars(LAYERS);
    let named = |name: &str| all.iter().find(|it| it.name == name).expect("a sidecar");
    let (caller, server) = (named("api-gateway"), named("service-a"));
    let listeners = server.config.sections.iter();
    let listeners = listeners.flat_map(|section| section.listeners());
    let mut ports = listeners.filter_map(|it| match it.address {
        ListenerAddress::InboundPort(port) => Some(port),
        ListenerAddress::Socket(_)
        | ListenerAddress::Datagrams(_)
        | ListenerAddress::OutboundTo(_)
        | ListenerAddress::OutboundPort(_)
        | ListenerAddress::OutboundRest
        | ListenerAddress::InboundRest => None,
    });
    let port = ports.next().expect("its application's port");
    let application = mirror();
    let inbound = Door {
        address: free([127, 77, 1, 1]),
        arrival: Arrival::Inbound,
        meant: Some(SocketAddr::new(server.ip, port)),
    };
    let outbound = Door {
        address: free([127, 77, 1, 2]),
        arrival: Arrival::Outbound,
        meant: None,
    };
    let written = |proxy: &Proxy, door: Door, to| Written {
        certificates: authority.certificates(&proxy.config),
        endpoints: {
            let mut places = dialled(proxy, |_| to);
            places.extend(door.meant.map(|meant| (meant, to)));
            places
        },
        sockets: Sockets::Doors(vec![door]),
        ..Written::default()
    };
    let _server = Running::written(
        envoy.clone(),
        &server.config,
        &written(server, inbound, application),
    );
    let _caller = Running::written(
        envoy,
        &caller.config,
        &written(caller, outbound, inbound.address),
    );
    let request = "GET /x HTTP/1.1\r\nhost: service-a\r\nconnection: close\r\n\r\n";
    let address = service(LAYERS, "service-a");
    let header = format!("PROXY TCP4 {} {address} 5000 80\r\n", caller.ip);
    let said = ask(outbound.address, &format!("{header}{request}"));
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(said.contains("GET /x HTTP/1.1"), "{said}");
    // who is no Envoy of the mesh is not let in
    let said = ask(inbound.address, request);
    assert!(!said.contains("200 OK"), "{said}");
}
