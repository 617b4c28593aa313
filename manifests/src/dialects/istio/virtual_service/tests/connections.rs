use proxy_core::config::{ChainAction, CloseReason, ServerName};

use super::super::{Caller, L4Chain};
use super::harness::{Asks, Clusters, Read};
use crate::model::Labels;

const REVIEWS: &str = "reviews.default.svc.cluster.local";

fn chains(read: &Read, tls: bool) -> (Vec<L4Chain>, Clusters) {
    let labels = Labels::new();
    let caller = Caller {
        namespace: "default",
        labels: &labels,
    };
    let mut clusters = Clusters::default();
    let defaults = read.defaults(&Asks::of(REVIEWS));
    let all = read.all();
    let found = if tls {
        all.tls(REVIEWS, 9080, caller, "mesh", &mut clusters, &defaults)
    } else {
        all.tcp(REVIEWS, 9080, caller, "mesh", &mut clusters, &defaults)
    };
    (found, clusters)
}

fn leads_to(chain: &L4Chain, clusters: &Clusters) -> String {
    match &chain.action {
        ChainAction::Tcp(tcp) => {
            let all = tcp.clusters.iter();
            let all = all.map(|(at, weight)| format!("{} {weight}", clusters.names[at.0 as usize]));
            all.collect::<Vec<_>>().join(", ")
        }
        ChainAction::Close(CloseReason::UpstreamFailed) => "closed".into(),
        ChainAction::Http(_) | ChainAction::Udp(_) | ChainAction::Close(_) => {
            panic!("carried or closed")
        }
    }
}

#[test]
fn the_first_tcp_rule_for_any_address_ends_the_list() {
    let rows = [
        (
            "[{route: [{destination: {host: ratings}}]}]",
            vec!["ratings.default:9080 1"],
        ),
        (
            "[{match: [{port: 1}], route: [{destination: {host: ratings}}]}, {route: [{destination: {host: details}}]}]",
            vec!["details.default:9080 1"],
        ),
        (
            "[{match: [{destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: ratings}}]}, {route: [{destination: {host: details}}]}, {route: [{destination: {host: reviews}}]}]",
            vec!["ratings.default:9080 1", "details.default:9080 1"],
        ),
        (
            "[{route: [{destination: {host: ratings}, weight: 3}, {destination: {host: details}, weight: 1}, {destination: {host: reviews}}]}]",
            vec!["ratings.default:9080 3, details.default:9080 1"],
        ),
        (
            "[{match: [{sourceNamespace: far}], route: [{destination: {host: ratings}}]}]",
            vec![],
        ),
        (
            "[{match: [{sourceLabels: {a: b}}], route: [{destination: {host: ratings}}]}]",
            vec![],
        ),
    ];
    for (tcp, expected) in rows {
        let read = Read::spec(&format!("tcp: {tcp}"));
        let (found, clusters) = chains(&read, false);
        let found: Vec<String> = found.iter().map(|it| leads_to(it, &clusters)).collect();
        assert_eq!(found, expected, "{tcp}");
        assert_eq!(read.problems(), "", "{tcp}");
    }
}

#[test]
fn tls_goes_by_the_server_name_and_of_like_conditions_the_first_counts() {
    let read = Read::spec(
        "tls:
- {match: [{sniHosts: [A.example.com], sourceNamespace: far}], route: [{destination: {host: reviews}}]}
- {match: [{sniHosts: [A.example.com]}], route: [{destination: {host: ratings}}]}
- {match: [{sniHosts: [a.example.com]}], route: [{destination: {host: details}}]}
- {match: [{sniHosts: ['*.example.com'], port: 9080}], route: [{destination: {host: details}}]}",
    );
    let (found, clusters) = chains(&read, true);
    let found: Vec<_> = found
        .iter()
        .map(|it| (it.server_names.clone(), leads_to(it, &clusters)))
        .collect();
    assert_eq!(
        found,
        [
            (
                vec![ServerName::Exact("a.example.com".into())],
                "ratings.default:9080 1".into()
            ),
            (
                vec![ServerName::Suffix(".example.com".into())],
                "details.default:9080 1".into()
            ),
        ]
    );
}

#[test]
fn connections_to_what_is_not_there_are_closed() {
    let read = Read::spec("tcp: [{route: [{destination: {host: gone}}]}]");
    let (found, clusters) = chains(&read, false);
    assert_eq!(leads_to(&found[0], &clusters), "closed");
    assert!(read.problems().contains("istio::unknown-host"));
}
