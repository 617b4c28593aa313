//! What holds of all configurations.

use proptest::prelude::*;
use proptest::sample::select;

use proxy_core::config::{
    ChainMatch, ClusterIndex, Forward, ListenerAddress, PathMatch, RouteMatch, SectionDraft, Share,
};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::rig::*;
use crate::{Comparison, Difference};

/// A route in numbers: path, cluster, timeout, header, fraction, weights.
type Numbers = (usize, u32, u64, Option<u8>, Option<u32>, u32);

fn route_of((path, cluster, timeout, by, fraction, weight): Numbers) -> proxy_core::config::Route {
    let paths = [
        PathMatch::Prefix("/".into()),
        PathMatch::Prefix("/cart".into()),
        PathMatch::segments("/cart"),
        PathMatch::Exact("/cart".into()),
        PathMatch::regex("/cart/[0-9]+(/x)?").expect("a pattern"),
        PathMatch::regex_start("/c").expect("a pattern"),
    ];
    let mut matches = RouteMatch::path(paths[path % paths.len()].clone());
    matches
        .headers
        .extend(by.map(|value| header("x-user", &value.to_string())));
    matches.fraction = fraction.map(Share::from_ppm);
    let mut forward = Forward::to(ClusterIndex(cluster % 3));
    if weight > 0 {
        forward
            .clusters
            .push(weighted(ClusterIndex((cluster + 1) % 3), weight));
    }
    let length = (timeout > 0).then(|| Duration::from_secs(timeout));
    forward.timeout = Sourced::new(length, OriginId(9));
    to(matches, forward)
}

fn some_route() -> impl Strategy<Value = Numbers> {
    (
        0..6_usize,
        0..3_u32,
        0..3_u64,
        proptest::option::of(0..2_u8),
        proptest::option::of(select(vec![0, 100_000, 500_000])),
        0..3_u32,
    )
}

/// Gateways and sidecars with a few hosts and routes.
fn some_draft() -> impl Strategy<Value = SectionDraft> {
    let domains = vec!["shop", "*.shop", "store", "*", "shop:80", "shop.*"];
    let hosts = proptest::collection::btree_map(
        select(domains),
        proptest::collection::vec(some_route(), 0..4),
        0..4,
    );
    let address = select(vec![
        port(80),
        port(8080),
        ListenerAddress::OutboundPort(80),
        ListenerAddress::OutboundTo(([10, 0, 0, 1], 80).into()),
        ListenerAddress::InboundRest,
    ]);
    (hosts, address, any::<bool>(), 0..4_u64).prop_map(|(hosts, address, ignore, connect)| {
        let mut draft = draft();
        draft.clusters[0].connect_timeout = secs(1 + connect);
        let hosts = hosts.into_iter().map(|(domain, routes)| {
            let routes = routes.into_iter().map(route_of).collect();
            host(&[domain], routes)
        });
        let mut made = table(hosts.collect());
        made.ignore_port = ignore;
        let made = draft.add_table(made);
        let chain = chain(ChainMatch::default(), http(made));
        draft.listeners.push(listener(address, vec![chain]));
        draft
    })
}

fn sorted(mut comparison: Comparison) -> Comparison {
    let key = |it: &Difference| {
        let texts = [it.left.text.clone(), it.right.text.clone()];
        (it.what.clone(), it.place.clone(), it.example.clone(), texts)
    };
    comparison.differences.sort_by_key(key);
    comparison
}

fn mirrored(mut comparison: Comparison) -> Comparison {
    for each in &mut comparison.differences {
        std::mem::swap(&mut each.left, &mut each.right);
    }
    sorted(comparison)
}

/// A change of one field of the shop, and what it is told as.
#[derive(Clone, Copy, Debug)]
enum Change {
    Timeout(u64),
    Retries(u32),
    PerTry(u64),
    Weight(u32),
    Connect(u64),
    Most(u32),
    Consecutive(u32),
    Rewrite(u8),
    Header(u8),
    Status(u16),
    Idle(u64),
    Path(u8),
}

fn some_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1..10_000_u64).prop_map(Change::Timeout),
        (3..100_u32).prop_map(Change::Retries),
        (1..10_000_u64).prop_map(Change::PerTry),
        (1..1_000_u32).prop_map(Change::Weight),
        (6..10_000_u64).prop_map(Change::Connect),
        (0..1_000_u32).prop_map(Change::Most),
        (6..1_000_u32).prop_map(Change::Consecutive),
        any::<u8>().prop_map(Change::Rewrite),
        any::<u8>().prop_map(Change::Header),
        (400..600_u16).prop_map(Change::Status),
        (1..10_000_u64).prop_map(Change::Idle),
        any::<u8>().prop_map(Change::Path),
    ]
}

impl Change {
    fn apply(self, draft: &mut SectionDraft) -> &'static str {
        match self {
            Self::Timeout(length) => {
                let length = Some(Duration::from_millis(length));
                cart_forward(draft).timeout = Sourced::unsourced(length);
                "timeout"
            }
            Self::Retries(count) => {
                cart_retry(draft).retries.value = count;
                "retry.retries"
            }
            Self::PerTry(length) => {
                cart_retry(draft).per_try_timeout =
                    Some(Sourced::unsourced(Duration::from_millis(length)));
                "per-try timeout"
            }
            Self::Weight(weight) => {
                cart_forward(draft).clusters.push(weighted(SPARE, weight));
                "destination"
            }
            Self::Connect(length) => {
                draft.clusters[0].connect_timeout = secs(length);
                "connect timeout"
            }
            Self::Most(count) => {
                draft.clusters[0].limits[0].requests.value = count;
                "limits.requests"
            }
            Self::Consecutive(count) => {
                let mut settings = outlier::Settings::envoy_v3();
                settings.consecutive_5xx = count;
                draft.clusters[0].outlier = Some(Sourced::unsourced(settings));
                "outlier"
            }
            Self::Rewrite(to) => {
                let to = format!("/r{to}");
                let rewrite = proxy_core::config::PathRewrite::Prefix(to.as_str().into());
                cart_forward(draft).rewrite = Some(rewrite);
                "path"
            }
            Self::Header(value) => {
                let edit = HeaderOp::Set("x-a".into(), value.to_string().into());
                cart(draft).request_edits.push(edit);
                "request header x-a"
            }
            Self::Status(status) => {
                cart(draft).action = direct(status);
                "destination"
            }
            Self::Idle(length) => {
                requests(draft).idle_timeout = Some(secs(length));
                "client idle timeout"
            }
            Self::Path(path) => {
                let path = format!("/cart{path}");
                cart(draft).matches.path = PathMatch::Prefix(path.as_str().into());
                "destination"
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_configuration_differs_from_itself(draft in some_draft()) {
        let comparison = told(draft.clone(), draft);
        prop_assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    }

    #[test]
    fn what_is_told_from_one_side_is_told_from_the_other(
        left in some_draft(),
        right in some_draft(),
    ) {
        let there = sorted(told(left.clone(), right.clone()));
        let back = mirrored(told(right, left));
        prop_assert_eq!(there, back);
    }

    #[test]
    fn a_change_of_one_field_is_found(change in some_change()) {
        let mut other = shop();
        let what = change.apply(&mut other);
        let comparison = told(shop(), other);
        let found: Vec<&str> = comparison.differences.iter().map(|it| &*it.what).collect();
        prop_assert!(found.contains(&what), "{change:?}: {found:?}");
    }
}
