//! Who the client is, and what it may say.

use super::*;
use crate::config::Caller;
use crate::heads::HeadWriter;

#[test]
fn a_file_that_says_nothing_adds_the_protocol_and_an_id() {
    let head = Manager::new(|_| ()).get(&[("accept", "*/*")]);
    let lines = lines_but(&head, &["x-request-id"]);
    assert_eq!(lines, ["accept: */*", "x-forwarded-proto: http"]);
    assert_eq!(head.said("x-request-id").unwrap().len(), 36);
    assert_eq!(head.scheme.as_deref(), Some("http"));
}

#[test]
fn an_edge_says_who_connected_and_a_neighbour_is_said_by_this_machines_address() {
    let local = edge().get(&[]);
    let lines = lines_but(&local, &["x-request-id"]);
    assert_eq!(
        lines,
        [
            "x-forwarded-for: 192.0.2.2",
            "x-forwarded-proto: http",
            "x-envoy-external-address: 127.0.0.1",
        ]
    );
    for (source, said) in [
        ("1.2.3.4:5", "1.2.3.4"),
        ("127.0.0.2:5", "127.0.0.2"),
        ("[::ffff:1.2.3.4]:5", "1.2.3.4"),
        ("[2001:db8::1]:5", "2001:db8::1"),
        ("[::1]:5", NODE),
    ] {
        let head = edge().source(source).get(&[]);
        assert_eq!(head.said("x-forwarded-for").unwrap(), said, "{source}");
    }
}

#[test]
fn what_hops_say_of_the_client_is_believed_as_far_as_they_are_trusted() {
    let mut one_hop = edge();
    one_hop.rules.client.trusted_hops = 1;
    let plain = Manager::new(|_| ());
    let behind_one = Manager::new(|rules| rules.client.trusted_hops = 1);
    let skipping = Manager::new(|rules| {
        rules.client.remote_address = true;
        rules.client.keeps_forwarded_for = true;
    });
    let here = "127.0.0.1:4000";
    let appended = "1.2.3.4, 10.5.6.7,192.0.2.2";
    let came = "1.2.3.4, 10.5.6.7";
    for (name, manager, client, forwarded, proto) in [
        ("edge", &edge(), here, appended, "http"),
        ("one trusted hop", &one_hop, "10.5.6.7:0", appended, "https"),
        ("not an edge", &plain, "10.5.6.7:0", came, "https"),
        (
            "not an edge, one hop",
            &behind_one,
            "1.2.3.4:0",
            came,
            "https",
        ),
        ("edge that keeps", &skipping, here, came, "http"),
    ] {
        let head = Asked::with(&[("x-forwarded-for", came), ("x-forwarded-proto", "https")]);
        let (received, head) = manager.receive(head);
        assert_eq!(received.client.to_string(), client, "{name}");
        assert_eq!(head.said("x-forwarded-for").unwrap(), forwarded, "{name}");
        assert_eq!(head.said("x-forwarded-proto").unwrap(), proto, "{name}");
    }
}

#[test]
fn of_earlier_hops_nothing_is_left_unless_who_says_it_is_believed() {
    let believing = |ranges: Vec<crate::config::Cidr>| {
        Manager::new(|rules| {
            rules.client.remote_address = true;
            rules.client.forwarded_port = true;
            rules.client.believed = Some(ranges);
        })
        .source("10.1.2.3:4")
    };
    let lines = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-host", "a"),
        ("x-real-ip", "1.2.3.4"),
        ("x-forwarded-prefix", "/a"),
    ];
    let told = |manager: Manager| {
        let head = manager.get(&lines);
        lines.map(|(name, _)| head.said(name).unwrap_or_default())
    };
    assert_eq!(
        told(believing(vec![range("10.2.0.0", 16)])),
        ["10.1.2.3", "http", "8080", "", "", ""]
    );
    assert_eq!(
        told(believing(vec![range("10.0.0.0", 8)])),
        ["1.2.3.4,10.1.2.3", "https", "443", "a", "1.2.3.4", "/a"]
    );
}

#[test]
fn only_one_address_that_is_named_as_such_is_internal() {
    for (said, internal) in [
        (&["10.0.0.1"][..], true),
        (&["10.0.0.1 "], true),
        (&["8.8.8.8"], false),
        (&["8.8.8.8, 10.0.0.1"], false),
        (&["10.0.0.2", "10.0.0.1"], false),
        (&["10.0.0.1,"], false),
        (&["10.0.0.1:80"], false),
        (&["garbage"], false),
        (&[""], false),
        (&[], false),
    ] {
        let lines: Vec<_> = said.iter().map(|it| ("x-forwarded-for", *it)).collect();
        let (received, head) = Manager::inside(|_| ()).receive(Asked::with(&lines));
        assert_eq!(received.internal, internal, "{said:?}");
        let told = head.said("x-envoy-internal");
        assert_eq!(told.as_deref(), internal.then_some("true"), "{said:?}");
    }
    let edge = Manager::inside(|rules| rules.client.remote_address = true);
    assert!(edge.receive(Asked::with(&[])).0.internal);
    let said = Asked::with(&[("x-forwarded-for", "")]);
    assert!(!edge.receive(said).0.internal, "somebody stands between");
    let unnamed = Manager::new(|rules| rules.client.remote_address = true);
    let (received, _) = unnamed.source("10.0.0.1:1").receive(Asked::with(&[]));
    assert!(!received.internal, "no address is, unless it is named");
}

/// Every `x-envoy-` header of Envoy's, and others that it does not know.
const ENVOYS: [&str; 27] = [
    "x-envoy-internal",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-stream-duration-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-original-path",
    "x-envoy-original-host",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-attempt-count",
    "x-envoy-is-timeout-retry",
    "x-envoy-original-dst-host",
    "x-envoy-upstream-service-time",
    "x-envoy-fault-abort-request",
    "x-envoy-foo",
];

#[test]
fn clients_may_say_only_what_their_place_allows() {
    let lines: Vec<_> = ENVOYS.iter().map(|name| (*name, "7")).collect();
    let gone = |manager: &Manager, more: &[(&str, &str)]| {
        let head = manager.get(&[&lines, more].concat());
        let gone = ENVOYS.iter().filter(|name| head.said(name).is_none());
        gone.map(|name| name.trim_start_matches("x-envoy-").to_owned())
            .collect::<Vec<_>>()
    };
    let control = &ENVOYS[..16];
    let outside = &ENVOYS[..21];
    let bare = |names: &[&str]| {
        let names = names.iter().map(|name| name.trim_start_matches("x-envoy-"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(gone(&Manager::new(|_| ()), &[]), bare(control));
    assert_eq!(gone(&edge(), &[]), bare(outside));
    let own = Manager::inside(|_| ());
    assert_eq!(gone(&own, &[("x-forwarded-for", "10.0.0.1")]), bare(&[]));
    let (received, head) = own.receive(Asked::with(
        &[&lines[..], &[("x-forwarded-for", "10.0.0.1")]].concat(),
    ));
    assert!(received.controls && received.traced);
    assert_eq!(head.said("x-envoy-internal").unwrap(), "true");
    let (received, _) = edge().receive(Asked::with(&lines));
    assert!(!received.controls && !received.traced);
}

#[test]
fn headers_that_are_internal_only_are_taken_from_others() {
    let manager = Manager::inside(|rules| rules.internal_only = vec!["x-only".into()]);
    assert!(!manager.get(&[("x-only", "1")]).has("x-only"));
    let own = [("x-only", "1"), ("x-forwarded-for", "10.0.0.1")];
    assert!(manager.get(&own).has("x-only"));
}

#[test]
fn ports_vias_and_callers_are_told_where_they_are_to_be() {
    let manager = |hops| {
        Manager::new(move |rules| {
            rules.client.remote_address = true;
            rules.client.forwarded_port = true;
            rules.client.trusted_hops = hops;
            rules.via = Some("me".into());
            rules.caller = Some(Caller {
                cluster: "ncl".into(),
                node: "nid".into(),
            });
        })
    };
    let head = manager(0).get(&[("via", "a"), ("via", "b"), ("x-forwarded-port", "1")]);
    for (name, want) in [
        ("via", "a, b, me"),
        ("x-forwarded-port", "8080"),
        ("user-agent", "ncl"),
        ("x-envoy-downstream-service-cluster", "ncl"),
        ("x-envoy-downstream-service-node", "nid"),
    ] {
        assert_eq!(head.said(name).unwrap(), want, "{name}");
    }
    let head = manager(1).get(&[("user-agent", "curl"), ("x-forwarded-port", "1")]);
    assert_eq!(
        head.said("x-forwarded-port").unwrap(),
        "1",
        "a trusted hop's"
    );
    assert_eq!(head.said("user-agent").unwrap(), "curl");
    let inner = Manager::new(|rules| rules.client.forwarded_port = true);
    assert_eq!(inner.get(&[]).said("x-forwarded-port").unwrap(), "8080");
}

#[test]
fn a_scheme_is_the_one_that_was_sent_or_said_or_that_of_the_connection() {
    let over_tls = |tls| {
        let mut manager = Manager::new(|_| ());
        manager.tls = tls;
        manager
    };
    for (name, tls, said, sent, scheme, proto) in [
        ("plain", false, None, None, "http", "http"),
        ("over TLS", true, None, None, "https", "https"),
        ("said", false, Some("https"), None, "https", "https"),
        ("said wrongly", true, Some("foo"), None, "https", "foo"),
        ("sent", false, None, Some("https"), "https", "http"),
    ] {
        let said: Vec<_> = said
            .map(|it| ("x-forwarded-proto", it))
            .into_iter()
            .collect();
        let mut head = Asked::with(&said);
        head.scheme = sent.map(str::to_owned);
        let (_, head) = over_tls(tls).receive(head);
        assert_eq!(head.scheme.as_deref(), Some(scheme), "{name}");
        assert_eq!(head.said("x-forwarded-proto").unwrap(), proto, "{name}");
    }
    let fixed = Manager::new(|rules| rules.scheme = Some(Scheme::Https));
    let head = fixed.get(&[("x-forwarded-proto", "http")]);
    assert_eq!(head.scheme.as_deref(), Some("https"));
    assert_eq!(head.said("x-forwarded-proto").unwrap(), "https");
}
