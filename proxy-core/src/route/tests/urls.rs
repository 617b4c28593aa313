//! Conditions on parts of the URL and on the client, and changes of the whole URL.

use core::net::{IpAddr, Ipv4Addr};

use super::*;

fn condition(name: &str, value: TextMatch) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

#[test]
fn parts_of_the_url_are_conditions_of_routes() {
    let exact = |text: &str| TextMatch::Exact(text.into());
    let rows = [
        ("the host", ":hostname", "shop:8080", "/a?b", "shop"),
        ("a host without port", ":hostname", "shop", "/a?b", "shop"),
        ("an address", ":hostname", "[::1]:80", "/", "::1"),
        ("an address without port", ":hostname", "[::1]", "/", "::1"),
        ("the path", ":pathname", "shop", "/a?b", "/a"),
        ("the URL", ":http", "shop:81", "/a?b", "http://shop:81/a?b"),
        (
            "the same over TLS",
            ":https",
            "shop",
            "/a",
            "https://shop/a",
        ),
    ];
    for (row, name, authority, path, want) in rows {
        let mut head = get(path);
        head.authority = authority.into();
        for (want, taken) in [(want, true), ("else", false)] {
            let mut matches = RouteMatch::all();
            matches.headers = vec![condition(name, exact(want))];
            assert_eq!(takes(matches, &head), taken, "{row}: {want}");
        }
    }
}

#[test]
fn a_client_is_known_by_the_block_that_its_address_lies_in() {
    let block = Cidr {
        address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, 0)),
        bits: 16,
    };
    let inside = condition(":client", TextMatch::Address(Box::new([block])));
    let outside = HeaderMatch {
        invert: true,
        ..inside.clone()
    };
    let rows = [
        (Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))), true),
        (Some(IpAddr::V4(Ipv4Addr::new(10, 2, 2, 3))), false),
        (None, false),
    ];
    for (client, within) in rows {
        for (condition, taken) in [(&inside, within), (&outside, !within)] {
            let mut matches = RouteMatch::all();
            matches.headers = vec![condition.clone()];
            let host = host(vec![route(matches)]);
            let found = find_route_for(&host, view(&get("/")), client, DrawKey::root(1));
            assert_eq!(found.is_some(), taken, "{client:?}");
        }
    }
}

#[test]
fn rewrites_of_a_sequence_follow_each_other() {
    let regex = |pattern: &str| Box::new(regex::Regex::new(pattern).expect("valid"));
    let mut route = route(RouteMatch::all());
    let mut forward = Forward::to(ClusterIndex(0));
    forward.rewrite = Some(PathRewrite::Sequence(vec![
        PathRewrite::Regex(regex("^/api"), "".into()),
        PathRewrite::Regex(regex("^"), "/v2".into()),
    ]));
    route.action = RouteAction::Forward(Box::new(forward));
    for (asked, sent) in [
        ("/api/items?x=1", "/v2/items?x=1"),
        ("/api", "/v2/"),
        ("/apis", "/v2/s"),
        ("/other", "/v2/other"),
    ] {
        let head = get(asked);
        let mut out = head.clone();
        write_request(&route, view(&head), Departure::PLAIN, &mut out);
        assert_eq!(out.path, sent, "{asked}");
    }
}

#[test]
fn a_redirect_of_the_whole_url_leads_where_the_pattern_says() {
    let pattern = regex::Regex::new(r"^https?://www\.([^/?]+)(.*)").expect("valid");
    let redirect = Redirect {
        status: 301,
        scheme: None,
        host: None,
        port: None,
        path: Some(PathRedirect::Url(Box::new(pattern), r"https://\1\2".into())),
        strip_query: false,
        omits_own_port: false,
    };
    let mut head = get("/a?b=1");
    head.authority = "www.shop.com".into();
    let route = route(RouteMatch::all());
    assert_eq!(
        redirect_location(&route, &redirect, "http", view(&head)),
        "https://shop.com/a?b=1"
    );
}
