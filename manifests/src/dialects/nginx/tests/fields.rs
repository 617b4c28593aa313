//! What each annotation and each setting does: by default, set, at its edges, and with a value that it cannot have.
//!
//! Source: ingress-nginx `docs/user-guide/nginx-configuration/{annotations,configmap}.md`.

use proxy_core::config::{
    Balancer, Forward, HashSource, RetryPolicy, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::retry::conditions::Condition;
use proxy_core::time::Duration;

use super::harness::*;
use crate::model::NodeRef;

const HOST: &str = "a.example.com";

type Notes = &'static [(&'static str, &'static str)];

fn forward(notes: &[(&str, &str)], data: &[(&str, &str)]) -> Forward {
    annotated_with(notes, &[settings(data)]).forward(&get(HOST, "/"))
}

fn retry(notes: &[(&str, &str)], data: &[(&str, &str)]) -> RetryPolicy {
    *forward(notes, data).retry.expect("retries")
}

#[test]
fn timeouts_come_from_the_annotation_the_configmap_or_the_release() {
    // connect, silence
    let rows: &[(&str, Notes, Notes, (u64, u64))] = &[
        ("the release's", &[], &[], (5, 60)),
        (
            "the ConfigMap's",
            &[],
            &[("proxy-connect-timeout", "7"), ("proxy-read-timeout", "90")],
            (7, 90),
        ),
        (
            "the annotations'",
            &[
                ("proxy-connect-timeout", "1"),
                ("proxy-read-timeout", "3600"),
            ],
            &[("proxy-connect-timeout", "7"), ("proxy-read-timeout", "90")],
            (1, 3600),
        ),
        (
            "with units, which is none",
            &[
                ("proxy-connect-timeout", "1s"),
                ("proxy-read-timeout", "5m"),
            ],
            &[],
            (5, 60),
        ),
        (
            "below nothing",
            &[("proxy-read-timeout", "-1")],
            &[],
            (5, 60),
        ),
    ];
    for (name, notes, data, (connect, silence)) in rows {
        let built = annotated_with(notes, &[settings(data)]);
        let ask = get(HOST, "/");
        let of_try = built
            .forward(&ask)
            .retry
            .expect("retries")
            .per_try_idle_timeout;
        let seconds = (
            built.cluster(&ask).connect_timeout.value,
            of_try.expect("a bound of silence").value,
        );
        let expected = (Duration::from_secs(*connect), Duration::from_secs(*silence));
        assert_eq!(seconds, expected, "{name}");
        assert_eq!(built.forward(&ask).timeout.value, None, "{name}");
    }
}

#[test]
fn every_value_says_where_it_is_from() {
    let built = annotated_with(
        &[("proxy-connect-timeout", "1")],
        &[settings(&[("proxy-read-timeout", "90")])],
    );
    let ask = get(HOST, "/");
    let retry = built.forward(&ask).retry.expect("retries");
    let silence = retry.per_try_idle_timeout.expect("a bound of silence");
    let connect = built.cluster(&ask).connect_timeout.origin;
    assert_eq!(built.origin(retry.retries.origin), "default of nginx@1.15");
    assert!(built.origin(silence.origin).starts_with("edge.yaml:"));
    assert!(built.origin(connect).starts_with("edge.yaml:"));
    assert_ne!(built.origin(silence.origin), built.origin(connect));
}

#[test]
fn tries_are_counted_in_all_and_nothing_waits_between_them() {
    let rows: &[(&str, Notes, Notes, u32)] = &[
        ("the release's", &[], &[], 2),
        ("once", &[("proxy-next-upstream-tries", "1")], &[], 0),
        ("five times", &[("proxy-next-upstream-tries", "5")], &[], 4),
        (
            "the ConfigMap's",
            &[],
            &[("proxy-next-upstream-tries", "2")],
            1,
        ),
        (
            "without a bound",
            &[("proxy-next-upstream-tries", "0")],
            &[],
            999,
        ),
        (
            "no number",
            &[("proxy-next-upstream-tries", "some")],
            &[],
            2,
        ),
    ];
    for (name, notes, data, expected) in rows {
        assert_eq!(retry(notes, data).retries.value, *expected, "{name}");
    }
}

#[test]
fn what_is_tried_again_is_said_in_nginxs_words() {
    use Condition::{ConnectFailure, PerTryTimeout, Reset, RetriableStatusCodes};
    let rows: &[(&str, &str, &[Condition], &[u16])] = &[
        (
            "as by default",
            "error timeout",
            &[Reset, ConnectFailure],
            &[],
        ),
        (
            "statuses",
            "error timeout http_502 http_429",
            &[Reset, ConnectFailure, RetriableStatusCodes],
            &[502, 429],
        ),
        ("off", "off", &[], &[]),
        ("silence alone", "timeout", &[PerTryTimeout], &[]),
        (
            "commas, which is none",
            "error,timeout,http_500",
            &[Reset, ConnectFailure],
            &[],
        ),
    ];
    for (name, words, on, statuses) in rows {
        let policy = retry(&[("proxy-next-upstream", words)], &[]);
        let conditions: Vec<Condition> = policy.on.value.iter().collect();
        assert_eq!(conditions, *on, "{name}");
        assert_eq!(policy.statuses, *statuses, "{name}");
    }
}

#[test]
fn what_is_not_idempotent_is_sent_once_unless_it_is_told_otherwise() {
    let words = "error timeout non_idempotent";
    assert!(retry(&[], &[]).spare_sent_non_idempotent);
    assert!(!retry(&[("proxy-next-upstream", words)], &[]).spare_sent_non_idempotent);
    assert!(!retry(&[], &[("retry-non-idempotent", "true")]).spare_sent_non_idempotent);
}

#[test]
fn a_body_that_is_passed_on_as_it_comes_is_not_sent_again() {
    assert_eq!(retry(&[], &[]).body_limit, None);
    let off = &[("proxy-request-buffering", "off")];
    assert_eq!(retry(off, &[]).body_limit, Some(0));
    assert_eq!(retry(&[], off).body_limit, Some(0));
}

#[test]
fn bodies_are_bounded() {
    let rows: &[(&str, Notes, Notes, Option<u64>)] = &[
        ("the release's", &[], &[], Some(1 << 20)),
        ("more", &[("proxy-body-size", "8m")], &[], Some(8 << 20)),
        (
            "in kilobytes",
            &[("proxy-body-size", "16K")],
            &[],
            Some(16 << 10),
        ),
        ("any", &[("proxy-body-size", "0")], &[], None),
        (
            "the ConfigMap's",
            &[],
            &[("proxy-body-size", "2g")],
            Some(2 << 30),
        ),
        ("no size", &[("proxy-body-size", "8mb")], &[], Some(1 << 20)),
    ];
    for (name, notes, data, expected) in rows {
        let largest = forward(notes, data).largest_body.map(|it| it.value);
        assert_eq!(largest, *expected, "{name}");
    }
}

#[test]
fn endpoints_are_spoken_to_as_the_annotation_says() {
    let ask = get(HOST, "/");
    let tls = Ask {
        tls: true,
        ..ask.clone()
    };
    let rows = [
        (None, &ask, false, false),
        (Some("HTTP"), &ask, false, false),
        (Some("HTTPS"), &ask, true, false),
        (Some("GRPC"), &ask, false, true),
        (Some("grpcs"), &ask, true, true),
        (Some("AUTO_HTTP"), &ask, false, false),
        (Some("AUTO_HTTP"), &tls, true, false),
        (Some("h2c"), &ask, false, false),
    ];
    for (protocol, ask, secured, http2) in rows {
        let notes: Vec<_> = protocol
            .map(|it| ("backend-protocol", it))
            .into_iter()
            .collect();
        let cluster = annotated(&notes).cluster(ask);
        let is_secured = cluster.transport != UpstreamTransport::Plaintext;
        let is_http2 = cluster.protocol == UpstreamProtocol::Http2;
        assert_eq!((is_secured, is_http2), (secured, http2), "{protocol:?}");
    }
}

#[test]
fn ingresses_of_one_backend_share_a_cluster_unless_it_is_dialled_otherwise() {
    let built = build(&[
        ingress("one", &[], &["a.example.com / prefix a"]),
        ingress("two", &[], &["b.example.com / prefix a"]),
        ingress(
            "tls",
            &[("backend-protocol", "HTTPS")],
            &["c.example.com / prefix a"],
        ),
        ingress(
            "slow",
            &[("proxy-connect-timeout", "9")],
            &["d.example.com / prefix a"],
        ),
    ]);
    let names = ["a", "b", "c", "d"].map(|it| built.ask(&get(&format!("{it}.example.com"), "/")));
    assert_eq!(
        names,
        [
            "shop-a-80",
            "shop-a-80",
            "shop-a-80/https",
            "shop-a-80/http"
        ]
    );
}

#[test]
fn the_services_address_is_dialled_where_it_is_asked_for() {
    let dials = |notes: &[(&str, &str)], data: &[(&str, &str)], service: &str| {
        let rule = format!("a.example.com / prefix {service}");
        let built = build(&[settings(data), ingress("web", notes, &[&rule])]);
        let leads = built.cluster(&get(HOST, "/")).endpoints.endpoints.len();
        let pods = built.model.config(
            NodeRef::Gateway(crate::model::GatewayId(0)),
            &crate::model::Place {
                locality: "".into(),
                node: "".into(),
            },
            &crate::model::Pods::listed(),
        );
        assert!(pods.is_some());
        leads
    };
    let on = &[("service-upstream", "true")];
    // no pods are there: only an address is an endpoint
    assert_eq!(dials(&[], &[], "a"), 0);
    assert_eq!(dials(on, &[], "a"), 1);
    assert_eq!(dials(&[], on, "a"), 1);
    assert_eq!(dials(&[("service-upstream", "false")], on, "a"), 0);
}

#[test]
fn requests_keep_their_host_unless_another_is_given() {
    assert_eq!(annotated(&[]).ask(&get(HOST, "/")), "shop-a-80");
    let built = annotated(&[("upstream-vhost", "a.shop.svc")]);
    assert_eq!(built.ask(&get(HOST, "/")), "shop-a-80 as a.shop.svc/");
}

#[test]
fn endpoints_are_chosen_in_turn_by_time_or_by_a_hash() {
    let balancer = |notes: &[(&str, &str)], data: &[(&str, &str)]| {
        let built = annotated_with(notes, &[settings(data)]);
        let ask = get(HOST, "/");
        (built.cluster(&ask).balancer.value, built.forward(&ask).hash)
    };
    let is = |notes: &[(&str, &str)], data: &[(&str, &str)], expected: &Balancer| {
        let found = balancer(notes, data).0;
        assert_eq!(&found, expected, "{notes:?} {data:?}");
    };
    is(&[], &[], &Balancer::RoundRobin);
    is(&[("load-balance", "ewma")], &[], &Balancer::NginxEwma);
    is(&[], &[("load-balance", "ewma")], &Balancer::NginxEwma);
    is(
        &[("load-balance", "round_robin")],
        &[("load-balance", "ewma")],
        &Balancer::RoundRobin,
    );
    let (hashing, hash) = balancer(
        &[
            ("upstream-hash-by", "$http_x_user$request_uri"),
            ("load-balance", "ewma"),
        ],
        &[],
    );
    assert!(matches!(hashing, Balancer::RingHash { .. }), "{hashing:?}");
    let sources: Vec<HashSource> = hash.into_iter().map(|it| it.source).collect();
    let header = |name: &str| HashSource::Header(name.into());
    assert_eq!(sources, [header("x-user"), header(":path")]);
}

#[test]
fn connections_are_kept_as_the_configmap_says() {
    type Row = (Notes, (Option<u32>, u32, u64));
    let rows: &[Row] = &[
        (&[], (Some(320), 10_000, 60)),
        (
            &[
                ("upstream-keepalive-connections", "64"),
                ("upstream-keepalive-requests", "100"),
                ("upstream-keepalive-timeout", "4"),
            ],
            (Some(64), 100, 4),
        ),
        (&[("upstream-keepalive-connections", "0")], (Some(0), 1, 60)),
    ];
    for (data, (kept, requests, idle)) in rows {
        let built = annotated_with(&[], &[settings(data)]);
        let pool = built.cluster(&get(HOST, "/")).pool;
        let found = (
            pool.max_idle,
            pool.max_requests_per_connection.expect("a bound").value,
            pool.idle_timeout.expect("a bound").value,
        );
        assert_eq!(
            found,
            (*kept, *requests, Duration::from_secs(*idle)),
            "{data:?}"
        );
    }
}

#[test]
fn clients_connections_are_kept_as_the_configmap_says() {
    let bounds = |data: &[(&str, &str)]| {
        let http = annotated_with(&[], &[settings(data)]).http(false);
        (
            http.idle_timeout.expect("a bound").value,
            http.max_requests_per_connection.expect("a bound").value,
        )
    };
    assert_eq!(bounds(&[]), (Duration::from_secs(75), 1000));
    let data = [("keep-alive", "10"), ("keep-alive-requests", "5")];
    assert_eq!(bounds(&data), (Duration::from_secs(10), 5));
}

#[test]
fn clients_over_tls_are_told_to_stay_with_it() {
    let told = |data: &[(&str, &str)], tls: bool| {
        let built = annotated_with(&[], &[settings(data)]);
        built.response_headers(&Ask {
            tls,
            ..get(HOST, "/")
        })
    };
    let age = "strict-transport-security: max-age=31536000; includeSubDomains";
    assert_eq!(told(&[], true), [age]);
    assert_eq!(told(&[], false), Vec::<String>::new());
    assert_eq!(told(&[("hsts", "false")], true), Vec::<String>::new());
    let data = [
        ("hsts-max-age", "60"),
        ("hsts-include-subdomains", "false"),
        ("hsts-preload", "true"),
    ];
    assert_eq!(
        told(&data, true),
        ["strict-transport-security: max-age=60; preload"]
    );
}

fn headers(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{{data}}}\n"
    )
}

#[test]
fn headers_are_written_as_configmaps_say() {
    let built = annotated_with(
        &[("custom-headers", "shop/own")],
        &[
            settings(&[
                ("add-headers", "shop/all"),
                ("proxy-set-headers", "shop/request"),
                ("global-allowed-response-headers", "X-Own"),
            ]),
            headers("own", "X-Own: a"),
            headers("all", "X-All: b"),
            headers("request", "X-Request: c, X-Variable: $remote_addr"),
        ],
    );
    let ask = get(HOST, "/");
    assert_eq!(built.response_headers(&ask), ["x-all: b", "x-own: a"]);
    assert_eq!(built.request_headers(&ask), ["x-request: c"]);
    assert!(built.has("nginx::variable"), "{}", built.lines());
}

#[test]
fn headers_that_are_not_allowed_deny_the_path() {
    let own = headers("own", "X-Own: a");
    let note: Notes = &[("custom-headers", "shop/own")];
    for (name, others) in [
        ("not allowed", vec![own.clone()]),
        (
            "not there",
            vec![settings(&[("global-allowed-response-headers", "X-Own")])],
        ),
    ] {
        let built = annotated_with(note, &others);
        assert_eq!(built.ask(&get(HOST, "/")), "503", "{name}");
        assert!(built.has("nginx::denied"), "{name}");
    }
}

#[test]
fn the_prefix_that_was_cut_is_told_where_the_path_is_rewritten() {
    let rows: &[(Notes, &[&str])] = &[
        (&[("x-forwarded-prefix", "/app")], &[]),
        (
            &[("x-forwarded-prefix", "/app"), ("rewrite-target", "/x")],
            &["x-forwarded-prefix: /app"],
        ),
    ];
    for (notes, expected) in rows {
        assert_eq!(annotated(notes).request_headers(&get(HOST, "/")), *expected);
    }
}

#[test]
fn pages_of_any_origin_may_read_answers_where_it_is_switched_on() {
    let built = annotated(&[("enable-cors", "true"), ("cors-max-age", "600")]);
    let preflight = Ask {
        method: "OPTIONS",
        ..get(HOST, "/")
    };
    assert_eq!(built.ask(&preflight), "204");
    let told = built.response_headers(&get(HOST, "/"));
    assert_eq!(
        told,
        [
            "access-control-allow-origin: *",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, PUT, POST, DELETE, PATCH, OPTIONS",
            "access-control-allow-headers: DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
            "access-control-max-age: 600",
        ]
    );
    assert_eq!(built.response_headers(&preflight), told);
    let off = annotated(&[("enable-cors", "false")]);
    assert_eq!(off.ask(&preflight), "shop-a-80");
}

#[test]
fn pages_of_some_origins_may_read_answers() {
    let built = annotated(&[
        ("enable-cors", "true"),
        ("cors-allow-origin", "https://*.shop.org:8080, http://b.org"),
        ("cors-allow-credentials", "false"),
    ]);
    let cors = built.route(&get(HOST, "/")).expect("a route").cors;
    let cors = cors.expect("rules for pages of other origins");
    let rows = [
        ("https://x.shop.org:8080", true),
        ("https://x.y.shop.org:8080", false),
        ("https://shop.org:8080", false),
        ("http://b.org", true),
        ("http://b.org.evil", false),
        ("HTTP://B.ORG", true),
    ];
    for (origin, allowed) in rows {
        assert_eq!(cors.allows(origin), allowed, "{origin}");
    }
    assert!(!cors.credentials && cors.forwards_others);
}

#[test]
fn copies_go_where_the_annotation_says() {
    let mirrors = |target: &str| {
        let built = annotated(&[("mirror-target", target)]);
        let mirrors = built.forward(&get(HOST, "/")).mirrors;
        let config = built.config();
        let clusters = config.sections[0].clusters();
        let names = mirrors.iter().map(|it| {
            let cluster = &clusters[it.cluster.0 as usize];
            format!(
                "{} of {}",
                cluster.endpoints.endpoints.len(),
                cluster.service
            )
        });
        (names.collect::<Vec<_>>(), built.codes().concat())
    };
    let rows = [
        (
            "http://b.shop.svc.cluster.local$request_uri",
            vec!["1 of b.shop.svc.cluster.local"],
            "",
        ),
        ("https://10.1.2.3$request_uri", vec!["1 of 10.1.2.3"], ""),
        (
            "https://test.example.org$request_uri",
            vec![],
            "nginx::mirror",
        ),
        ("http://b$request_uri", vec!["1 of b"], ""),
        ("http://b/fixed", vec!["1 of b"], "nginx::not-modelled"),
    ];
    for (target, expected, codes) in rows {
        let (names, found) = mirrors(target);
        assert_eq!(names, expected, "{target}");
        assert_eq!(found, codes, "{target}");
    }
}

#[test]
fn upgrades_pass_to_endpoints() {
    let upgrades = annotated(&[]).http(false).upgrades;
    assert_eq!(upgrades.others, proxy_core::config::Unlisted::Allowed);
    assert!(!upgrades.of_kind("CONNECT").expect("a rule").allowed);
}

#[test]
fn it_listens_where_it_is_told_to_and_is_dialled_by_its_service() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: ingress-nginx}\nspec:\n  selector: {app: ingress}\n  ports: \
                   [{name: http, port: 8000, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}, {name: metrics, port: 10254, targetPort: \
                   10254}]\n";
    let built = build(&[
        controller("--http-port=8080, --https-port=8443"),
        service.into(),
        ingress("web", &[], &["a.example.com / prefix a"]),
    ]);
    let facts = &built.model.gateways()[0];
    assert_eq!(&*facts.name, "ingress-nginx/ingress-nginx-controller");
    let ports: Vec<_> = facts
        .listens
        .iter()
        .map(|it| (it.port, it.bound, it.tls))
        .collect();
    assert_eq!(ports, [(8000, 8080, false), (443, 8443, true)]);
}

#[test]
fn the_configmap_is_the_one_that_the_controller_names() {
    let other = settings(&[("proxy-body-size", "5m")]).replace("ingress-nginx-controller", "other");
    let built = build(&[
        controller("--configmap=$(POD_NAMESPACE)/other"),
        other,
        settings(&[("proxy-body-size", "9m")]),
        ingress("web", &[], &["a.example.com / prefix a"]),
    ]);
    let forward = built.forward(&get(HOST, "/"));
    assert_eq!(forward.largest_body.expect("a size").value, 5 << 20);
}
