//! Whole files, as proxies are measured with: they load, and only notices are said.

use proxy_core::config::{DownstreamTransport, HttpFilter, UpstreamProtocol, UpstreamTransport};

use crate::envoy::{Bootstrap, read};

const FILES: [(&str, &str); 9] = [
    ("plain", include_str!("files/plain.json")),
    ("policy", include_str!("files/policy.json")),
    ("tls", include_str!("files/tls.json")),
    ("chain-out", include_str!("files/chain-out.json")),
    ("chain-in", include_str!("files/chain-in.json")),
    ("chainh2-out", include_str!("files/chainh2-out.json")),
    ("jwt", include_str!("files/jwt.json")),
    ("jwt-cache", include_str!("files/jwt-cache.json")),
    ("lean", include_str!("files/lean.json")),
];

fn file(name: &str) -> Bootstrap {
    let (_, text) = FILES.iter().find(|(other, _)| *other == name).unwrap();
    match read(&format!("{name}.json"), text) {
        Ok(bootstrap) => bootstrap,
        Err(refused) => panic!("{refused}"),
    }
}

#[test]
fn every_file_loads_and_says_what_it_leaves_out() {
    let mut said = String::new();
    for (name, _) in FILES {
        let b = file(name);
        for notice in &b.notices {
            said.push_str(&notice.to_line(&b.sources));
            said.push('\n');
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn every_file_has_one_route_to_one_cluster_of_loopback() {
    for (name, _) in FILES {
        let b = file(name);
        assert_eq!(
            (b.routes().len(), b.section().clusters().len()),
            (1, 1),
            "{name}"
        );
        let endpoints = &b.cluster("be").endpoints.endpoints;
        assert!(
            endpoints
                .iter()
                .all(|endpoint| endpoint.address.ip().is_loopback()),
            "{name}"
        );
        let expected = if name.ends_with("-out") { 1 } else { 3 };
        assert_eq!(endpoints.len(), expected, "{name}");
    }
}

#[test]
fn policies_are_in_force() {
    let b = file("policy");
    let retry = b.forward().retry.as_deref().unwrap();
    assert_eq!(
        (retry.on.value.to_string().as_str(), retry.retries.value),
        ("5xx", 2)
    );
    assert!(matches!(
        &b.http().filters[..],
        [HttpFilter::LocalRateLimit(Some(_))]
    ));
    assert_eq!(b.route().request_edits.len(), 1);
    assert_eq!(b.route().response_edits.len(), 1);
}

#[test]
fn both_ends_of_a_sidecar_chain_present_certificates() {
    let out = file("chainh2-out");
    assert_eq!(out.cluster("be").protocol, UpstreamProtocol::Http2);
    assert!(
        matches!(&out.cluster("be").transport, UpstreamTransport::Tls { sni, .. } if &**sni == "localhost")
    );
    assert_eq!(&*out.tls[0].alpn[0], "h2");
    assert_eq!(
        file("chain-out").cluster("be").protocol,
        UpstreamProtocol::Http1
    );
    let within = file("chain-in");
    assert!(matches!(
        &within.chain().transport,
        DownstreamTransport::Tls { mutual: true, .. }
    ));
    assert!(within.tls[0].trusted_ca.is_some());
}
