//! Where requests go, and how they leave.

use proxy_core::config::{
    Forward, HashPolicy, HashSource, HostRewrite, Mirror, PathMatch, PathRedirect, PathRewrite,
    Priority, Redirect, RouteAction, RouteMatch, Session, SessionCarrier, Share, TextMatch,
    Upgrade,
};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::rig::*;
use crate::Area;

#[test]
fn a_configuration_does_not_differ_from_itself() {
    let comparison = told(shop(), shop());
    assert!(
        comparison.differences.is_empty(),
        "{:?}",
        comparison.differences
    );
    assert!(comparison.passed.is_empty());
    assert!(comparison.asked.requests > 20, "{:?}", comparison.asked);
    assert_eq!(comparison.asked.clusters, 2);
}

#[test]
fn a_request_that_goes_elsewhere_is_told_with_an_example() {
    let mut other = shop();
    cart_forward(&mut other).clusters = vec![weighted(SPARE, 1)];
    let comparison = told(shop(), other);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!((only.area, &*only.what), (Area::Destination, "destination"));
    assert_eq!((&*only.left.text, &*only.right.text), ("cart", "spare"));
    assert_eq!((&*only.left.origin, only.left.id), ("rule 1", OriginId(1)));
    assert_eq!(only.place, "port 80, host shop");
    assert_eq!(only.example, "GET http://shop/cart");
    assert!(only.count > 1, "near ones that it takes show it as well");
    assert_eq!(only.places, 1);
}

#[test]
fn shares_are_compared_whatever_their_weights_add_up_to() {
    let split = |weights: [u32; 2]| {
        let mut draft = shop();
        cart_forward(&mut draft).clusters =
            vec![weighted(CART, weights[0]), weighted(SPARE, weights[1])];
        draft
    };
    assert!(told(split([90, 10]), split([9, 1])).differences.is_empty());
    assert_eq!(
        said(&told(split([90, 10]), split([8, 2]))),
        ["destination: 90 % cart, 10 % spare | 80 % cart, 20 % spare"]
    );
}

#[test]
fn an_order_of_clusters_is_no_difference_and_neither_is_one_of_no_weight() {
    let mut other = shop();
    cart_forward(&mut other).clusters = vec![weighted(SPARE, 0), weighted(CART, 3)];
    assert!(told(shop(), other).differences.is_empty());
}

#[test]
fn fractions_of_routes_count_as_shares() {
    let mut fractions = shop();
    let mut first = to(prefix("/cart"), Forward::to(SPARE));
    first.matches.fraction = Some(Share::from_percent(25.0));
    let mut second = to(prefix("/cart"), Forward::to(WEB));
    second.matches.fraction = Some(Share::from_percent(40.0));
    let routes = &mut fractions.tables[0].virtual_hosts[0].routes;
    routes.insert(0, second);
    routes.insert(0, first);
    let mut weights = shop();
    let forward = cart_forward(&mut weights);
    forward.clusters = vec![weighted(CART, 60), weighted(SPARE, 25), weighted(WEB, 15)];
    let comparison = told(fractions, weights);
    let places: Vec<&str> = comparison.differences.iter().map(|it| &*it.what).collect();
    // the share is the same; that the fractions have no retries is told apart
    assert_eq!(places, ["retry"]);
}

#[test]
fn near_requests_show_what_a_condition_does_not_take() {
    let with = |path: PathMatch| {
        let mut draft = shop();
        cart(&mut draft).matches.path = path;
        draft
    };
    let exact = |text: &str| PathMatch::Exact(text.into());
    let regex = |text: &str| PathMatch::regex(text).expect("a pattern");
    for (name, left, right, example) in [
        (
            "segments",
            PathMatch::Prefix("/cart".into()),
            PathMatch::segments("/cart"),
            "GET http://shop/cartbar",
        ),
        (
            "a slash at the end",
            PathMatch::Prefix("/cart".into()),
            PathMatch::Prefix("/cart/".into()),
            "GET http://shop/cart",
        ),
        (
            "exact",
            exact("/cart"),
            PathMatch::segments("/cart"),
            "GET http://shop/cart/",
        ),
        (
            "patterns",
            regex("/cart/[0-9]"),
            regex("/cart/[0-9]+"),
            "GET http://shop/cart/11",
        ),
        (
            "optional parts",
            regex("/carts?"),
            exact("/carts"),
            "GET http://shop/cart",
        ),
    ] {
        let comparison = told(with(left), with(right));
        let examples: Vec<&str> = comparison
            .differences
            .iter()
            .map(|it| &*it.example)
            .collect();
        assert!(examples.contains(&example), "{name}: {examples:?}");
    }
}

#[test]
fn conditions_beside_the_path_are_asked_about_one_by_one() {
    let cased = |draft: &mut _| {
        cart(draft).matches.ignore_case = true;
    };
    let mut left = shop();
    cart(&mut left).matches.headers = vec![header("x-user", "a")];
    let rows: [(&str, Edit<RouteMatch>, &str); 5] = [
        (
            "another value",
            |it| it.headers[0].value = TextMatch::Prefix("a".into()),
            "GET http://shop/cart with x-user: ax",
        ),
        (
            "absent",
            |it| {
                it.headers[0].invert = true;
            },
            "GET http://shop/cart",
        ),
        (
            "a method",
            |it| it.methods = vec!["POST".into()],
            "GET http://shop/cart with x-user: a",
        ),
        (
            "a parameter",
            |it| {
                it.params = vec![proxy_core::config::ParamMatch {
                    name: "p".into(),
                    value: TextMatch::Exact("1".into()),
                    invert: false,
                }];
            },
            "GET http://shop/cart with x-user: a",
        ),
        (
            "gRPC",
            |it| it.grpc = true,
            "GET http://shop/cart with x-user: a",
        ),
    ];
    for (name, change, example) in rows {
        let mut right = shop();
        cart(&mut right).matches.headers = vec![header("x-user", "a")];
        change(&mut cart(&mut right).matches);
        let comparison = told(left.clone(), right);
        let examples: Vec<&str> = comparison
            .differences
            .iter()
            .map(|it| &*it.example)
            .collect();
        assert!(examples.contains(&example), "{name}: {examples:?}");
    }
    assert_eq!(
        changed(cased),
        [
            "destination: web | cart",
            "retry: none | on 5xx,retriable-status-codes, retries 2, statuses 429, back-off any part of 25ms, doubling up to 250ms, sent non-idempotent requests are left alone no, last try without its timeout no, statuses of failures no"
        ]
    );
}

#[test]
fn of_two_rules_for_one_request_the_first_is_told() {
    let mut left = shop();
    let mut right = shop();
    let by = |name: &str, to_cluster| {
        let mut matches = prefix("/");
        matches.headers = vec![header(name, "1")];
        to(matches, Forward::to(to_cluster))
    };
    left.tables[0].virtual_hosts[0].routes = vec![by("x-a", CART), by("x-b", SPARE)];
    right.tables[0].virtual_hosts[0].routes = vec![by("x-b", SPARE), by("x-a", CART)];
    let comparison = told(left, right);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!(only.example, "GET http://shop/ with x-a: 1, x-b: 1");
    assert_eq!((&*only.left.text, &*only.right.text), ("cart", "spare"));
}

#[test]
fn hosts_are_asked_for_with_and_without_ports_and_below_wildcards() {
    let with = |domains: &[&str], ignore_port| {
        let mut draft = shop();
        draft.tables[0].ignore_port = ignore_port;
        draft.tables[0].virtual_hosts[0].domains = domains.iter().map(|it| (*it).into()).collect();
        draft
    };
    let all = [
        (
            "a port",
            with(&["shop"], false),
            with(&["shop"], true),
            "host shop:80",
        ),
        (
            "a wildcard",
            with(&["shop"], false),
            with(&["shop", "*.shop"], false),
            "host a.b.shop",
        ),
        (
            "all",
            with(&["shop"], false),
            with(&["*"], false),
            "host shop:80",
        ),
        (
            "another",
            with(&["shop"], false),
            with(&["store"], false),
            "host shop",
        ),
    ];
    for (name, left, right, place) in all {
        let comparison = told(left, right);
        let places: Vec<&str> = comparison.differences.iter().map(|it| &*it.place).collect();
        let place = format!("port 80, {place}");
        assert!(places.contains(&&*place), "{name}: {places:?}");
    }
}

#[test]
fn what_no_route_takes_is_answered_404_whatever_the_reason() {
    let mut left = shop();
    left.tables[0].virtual_hosts[0].routes.truncate(1);
    let mut right = left.clone();
    right.tables[0].virtual_hosts.push(host(&["*"], Vec::new()));
    assert!(told(left, right).differences.is_empty());
}

#[test]
fn every_field_of_a_route_is_told() {
    type Change = fn(&mut Forward);
    let rows: [(&str, Change); 14] = [
        ("timeout: none | 15s", |it| {
            it.timeout = Sourced::unsourced(Some(Duration::from_secs(15)))
        }),
        ("idle timeout: none | 5s", |it| {
            it.idle_timeout = Some(secs(5))
        }),
        ("longest stream: none | 5s", |it| {
            it.max_stream_duration = Some(secs(5))
        }),
        ("grpc-timeout: is not heeded | is obeyed", |it| {
            it.grpc_timeout_max = Some(Duration::ZERO)
        }),
        ("grpc-timeout: is not heeded | is obeyed up to 3s", |it| {
            it.grpc_timeout_max = Some(Duration::from_secs(3));
        }),
        ("longest body: none | 10 bytes", |it| {
            it.largest_body = Some(Sourced::unsourced(10))
        }),
        ("priority: default | high", |it| {
            it.priority = Priority::High
        }),
        ("mirrors: none | 10 % to spare", |it| {
            it.mirrors = vec![Mirror {
                cluster: SPARE,
                share: Sourced::unsourced(Share::from_percent(10.0)),
                shadow_host: true,
            }];
        }),
        ("session: none | header x-s", |it| {
            it.session = Some(Box::new(Session {
                carrier: SessionCarrier::Header("x-s".into()),
                origin: OriginId::NONE,
            }));
        }),
        ("upgrade to websocket: is refused | passes", |it| {
            it.upgrades = vec![Upgrade {
                kind: "websocket".into(),
                allowed: true,
                origin: OriginId::NONE,
            }];
        }),
        ("path: kept | /basket", |it| {
            it.rewrite = Some(PathRewrite::Prefix("/basket".into()))
        }),
        ("authority: kept | cart.internal", |it| {
            it.host = Some(HostRewrite::Literal("cart.internal".into()));
        }),
        ("authority: kept | the endpoint's host name", |it| {
            it.host = Some(HostRewrite::Endpoint)
        }),
        ("destination: cart | no cluster, answered 500", |it| {
            it.clusters[0].cluster = None;
            it.missing_status = 500;
        }),
    ];
    for (expected, change) in rows {
        let found = changed(|draft| change(cart_forward(draft)));
        assert_eq!(found.first().map(String::as_str), Some(expected));
    }
    assert_eq!(
        changed(|draft| draft.tables[0].virtual_hosts[0].attempt_count = true),
        ["attempt count for upstreams: no | yes"]
    );
    assert_eq!(
        changed(|draft| draft.tables[0].virtual_hosts[0].attempt_count_in_response = true),
        ["attempt count for clients: no | yes"]
    );
}

#[test]
fn a_listeners_timer_counts_where_a_route_has_none() {
    let of_listener = changed(|draft| requests(draft).stream_idle_timeout = Some(secs(5)));
    assert_eq!(of_listener, ["idle timeout: none | 5s"]);
    let mut left = shop();
    requests(&mut left).stream_idle_timeout = Some(secs(5));
    let mut right = shop();
    for route in &mut right.tables[0].virtual_hosts[0].routes {
        if let RouteAction::Forward(forward) = &mut route.action {
            forward.idle_timeout = Some(secs(5));
        }
    }
    assert!(told(left, right).differences.is_empty());
}

#[test]
fn a_hash_counts_where_the_balancer_goes_by_it() {
    let hashed = |draft: &mut proxy_core::config::SectionDraft| {
        cart_forward(draft).hash = vec![HashPolicy {
            source: HashSource::Header("x-user".into()),
            terminal: true,
        }];
    };
    assert!(changed(hashed).is_empty());
    let ring = |mut draft: proxy_core::config::SectionDraft| {
        draft.clusters[0].balancer.value = proxy_core::config::Balancer::Maglev {
            size: 65_537,
            bound: None,
        };
        draft
    };
    let mut other = ring(shop());
    hashed(&mut other);
    assert_eq!(
        said(&told(ring(shop()), other)),
        ["hash: none | header x-user and no further"]
    );
}

#[test]
fn edits_are_compared_by_what_comes_of_them() {
    let set = |name: &str, value: &str| HeaderOp::Set(name.into(), value.into());
    let with = |edits: Vec<HeaderOp>| {
        let mut draft = shop();
        cart(&mut draft).request_edits = edits;
        draft
    };
    // an edit that another one undoes, and an order that is of no account
    let left = with(vec![set("x-a", "0"), set("x-b", "2"), set("x-a", "1")]);
    let right = with(vec![
        HeaderOp::Remove("x-a".into()),
        HeaderOp::Append("x-a".into(), "1".into()),
        set("x-b", "2"),
    ]);
    assert!(told(left, right).differences.is_empty());
    let left = with(vec![set("x-a", "1")]);
    let right = with(vec![HeaderOp::Append("x-a".into(), "1".into())]);
    assert_eq!(
        said(&told(left, right)),
        ["request header x-a: 1 | 1, or before, 1 where it was `before`"]
    );
    let left = with(vec![set("x-a", "1")]);
    let right = with(vec![HeaderOp::AddIfAbsent("x-a".into(), "1".into())]);
    assert_eq!(
        said(&told(left, right)),
        ["request header x-a: 1 | 1, or before where it was `before`"]
    );
    assert_eq!(
        changed(|draft| cart(draft).response_edits = vec![set("x-c", "3")]),
        ["response header x-c: none, or before where it was `before` | 3"]
    );
    let of_cluster = changed(|draft| {
        cart_forward(draft).clusters[0].request_edits = vec![set("x-d", "4")];
    });
    assert_eq!(
        of_cluster,
        ["request header x-d: none, or before where it was `before` | 4"]
    );
}

#[test]
fn a_rewrite_is_told_by_the_paths_that_come_of_it() {
    let with = |rewrite| {
        let mut draft = shop();
        cart(&mut draft).matches.path = PathMatch::segments("/cart");
        cart_forward(&mut draft).rewrite = Some(rewrite);
        draft
    };
    let replaced = with(PathRewrite::Prefix("/".into()));
    let joined = with(PathRewrite::JoinedPrefix("/".into()));
    let comparison = told(replaced, joined);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!((&*only.left.text, &*only.right.text), ("//", "/"));
    assert_eq!(only.example, "GET http://shop/cart/");
    assert_eq!(only.area, Area::Rewrite);
}

fn redirect() -> Redirect {
    Redirect {
        status: 301,
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: None,
        strip_query: false,
        omits_own_port: false,
    }
}

#[test]
fn redirects_and_answers_are_compared_by_what_clients_see() {
    let with = |action: RouteAction| {
        let mut draft = shop();
        cart(&mut draft).action = action;
        draft
    };
    let to = |redirect: Redirect| with(RouteAction::Redirect(Box::new(redirect)));
    let first = |left, right| said(&told(left, right)).into_iter().next();
    let one = |text: &str| Some(text.to_owned());
    assert_eq!(
        first(
            to(redirect()),
            to(Redirect {
                status: 308,
                ..redirect()
            })
        ),
        one("redirect status: 301 | 308")
    );
    let path = Some(PathRedirect::Full("/x".into()));
    assert_eq!(
        first(to(redirect()), to(Redirect { path, ..redirect() })),
        one("location: https://shop/cart | https://shop/x")
    );
    assert_eq!(
        first(to(redirect()), with(direct(404))),
        one("destination: a redirect | answered 404")
    );
    assert_eq!(
        first(with(direct(200)), with(direct(503))),
        one("destination: answered 200 | answered 503")
    );
    let body = |text: &str| {
        with(RouteAction::Direct(proxy_core::config::DirectResponse {
            status: 200,
            body: text.into(),
        }))
    };
    assert_eq!(first(body("a"), body("b")), one("body: `a` | `b`"));
}
