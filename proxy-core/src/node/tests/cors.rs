//! Requests from pages of other origins.

use super::rig::*;
use crate::config::*;
use crate::origin::OriginId;
use crate::reply::ReplyReason;

fn cors() -> Cors {
    Cors {
        origins: vec![
            TextMatch::Exact("https://a.example".into()),
            TextMatch::Suffix(".b.example".into()),
        ],
        methods: Some(CorsList::Text("GET, PUT".into())),
        headers: Some(CorsList::Text("x-a".into())),
        expose: Some("x-b".into()),
        max_age: Some("60".into()),
        credentials: false,
        exposes_early: false,
        forwards_others: false,
        manner: CorsManner::Envoy,
        origin: OriginId::NONE,
    }
}

fn rig(tune: impl FnOnce(&mut Cors)) -> Rig {
    let mut cors = cors();
    tune(&mut cors);
    let route = |index| Route {
        cors: Some(Box::new(cors)),
        response_edits: vec![crate::heads::HeaderOp::Set("x-edit".into(), "1".into())],
        ..route_to(Forward::to(index))
    };
    Rig::new(config_with(
        Cluster::envoy("c", endpoints(1)),
        route,
        |http| http.filters.push(HttpFilter::Cors),
    ))
}

/// The status, whether the node answers itself, and what was written to the answer's head.
fn asked(
    rig: &mut Rig,
    method: &str,
    headers: &[(&str, &str)],
) -> (u16, Option<ReplyReason>, Vec<String>) {
    rig.added.clear();
    let owned = headers.iter();
    let request = Head {
        headers: owned
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..head(method)
    };
    let (token, _) = rig.send_head(request, true);
    rig.run_until(rig.now + ms(100));
    let reason = match rig.seen(token) {
        Seen::Local(reply) => Some(reply.reason),
        Seen::Response(_) | Seen::Broken | Seen::Nothing => None,
    };
    (rig.got(token).1, reason, std::mem::take(&mut rig.added))
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://a.example"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-c"),
];

/// Envoy: `CorsFilter::decodeHeaders`.
#[test]
fn a_preflight_is_answered_before_the_router() {
    let mut rig = rig(|_| {});
    let (status, reason, told) = asked(&mut rig, "OPTIONS", &PREFLIGHT);
    assert_eq!((status, reason), (200, Some(ReplyReason::Preflight)));
    assert_eq!(
        told,
        [
            "access-control-allow-origin: https://a.example",
            "vary: origin",
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: x-a",
            "access-control-max-age: 60",
        ]
    );
    assert!(rig.sent.is_empty(), "no endpoint saw it");
}

#[test]
fn what_is_asked_for_is_allowed_where_everything_is() {
    let mut rig = rig(|cors| {
        cors.methods = Some(CorsList::Asked);
        cors.headers = Some(CorsList::Asked);
        cors.credentials = true;
        cors.exposes_early = true;
        cors.max_age = None;
    });
    let (_, _, told) = asked(&mut rig, "OPTIONS", &PREFLIGHT);
    assert_eq!(
        told,
        [
            "access-control-allow-origin: https://a.example",
            "vary: origin",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: x-b",
            "access-control-allow-methods: PUT",
            "access-control-allow-headers: x-c",
        ]
    );
    // nothing is said of headers where none were asked for
    let (_, _, told) = asked(&mut rig, "OPTIONS", &PREFLIGHT[..2]);
    assert!(
        !told.iter().any(|it| it.contains("allow-headers")),
        "{told:?}"
    );
}

#[test]
fn only_a_preflight_is_one() {
    let other = [("origin", "https://a.example")];
    let nowhere = [("access-control-request-method", "PUT")];
    let mut rig = rig(|_| {});
    for (name, method, headers) in [
        ("another method", "GET", &PREFLIGHT[..]),
        ("no method asked for", "OPTIONS", &other[..]),
        ("no origin", "OPTIONS", &nowhere[..]),
    ] {
        let (status, reason, _) = asked(&mut rig, method, headers);
        assert_eq!((status, reason), (200, None), "{name}");
    }
    assert_eq!(rig.sent.len(), 3);
}

/// Envoy: `CorsFilter::encodeHeaders`.
#[test]
fn an_answer_says_which_pages_may_read_it() {
    let mut rig = rig(|_| {});
    let from = |origin| vec![("origin", origin)];
    for (origin, allowed) in [
        ("https://a.example", true),
        ("https://x.b.example", true),
        ("https://c.example", false),
        ("", false),
    ] {
        let (_, _, told) = asked(&mut rig, "GET", &from(origin));
        let mut want = vec!["x-edit: 1".to_owned()];
        if allowed {
            want.push(format!("access-control-allow-origin: {origin}"));
            want.push("vary: origin".to_owned());
            want.push("access-control-expose-headers: x-b".to_owned());
        }
        assert_eq!(told, want, "{origin}");
    }
}

#[test]
fn a_preflight_of_another_origin_is_allowed_nothing() {
    let headers = [
        ("origin", "https://c.example"),
        ("access-control-request-method", "PUT"),
    ];
    let mut refusing = rig(|_| {});
    let (status, reason, told) = asked(&mut refusing, "OPTIONS", &headers);
    assert_eq!((status, reason), (200, Some(ReplyReason::Preflight)));
    assert_eq!(told, [""; 0]);
    let mut forwarding = rig(|cors| cors.forwards_others = true);
    let (_, reason, told) = asked(&mut forwarding, "OPTIONS", &headers);
    assert_eq!((reason, forwarding.sent.len()), (None, 1));
    assert_eq!(told, ["x-edit: 1"]);
}

/// ingress-nginx: `CORS` of `rootfs/etc/nginx/template/nginx.tmpl`.
#[test]
fn a_proxy_that_answers_as_nginx_does_gives_a_preflight_204() {
    let route = |index| Route {
        cors: Some(Box::new(cors())),
        ..route_to(Forward::to(index))
    };
    let cluster = Cluster::envoy("c", endpoints(1));
    let mut rig = Rig::new(config_with(cluster, route, |http| {
        http.replies = ReplyProfile::Nginx;
        http.filters.push(HttpFilter::Cors);
    }));
    let (status, reason, _) = asked(&mut rig, "OPTIONS", &PREFLIGHT);
    assert_eq!((status, reason), (204, Some(ReplyReason::Preflight)));
}

fn as_kong(tune: impl FnOnce(&mut Cors, &mut KongCors)) -> Rig {
    rig(|cors| {
        let mut kong = KongCors {
            hosts: Vec::new(),
            says: None,
            marks_others: true,
            continues: false,
            private_network: false,
        };
        cors.expose = None;
        tune(cors, &mut kong);
        cors.manner = CorsManner::Kong(kong);
    })
}

/// Kong: `kong/plugins/cors/handler.lua` (`configure_origin`, `configure_credentials`).
#[test]
fn kong_marks_every_answer() {
    type Tune = fn(&mut Cors, &mut KongCors);
    let any: Tune = |_, kong| kong.says = Some("*".into());
    let any_with_credentials: Tune = |cors, kong| {
        kong.says = Some("*".into());
        cors.credentials = true;
    };
    let one: Tune = |cors, kong| {
        kong.says = Some("https://a.example".into());
        cors.credentials = true;
    };
    let one_asked: Tune = |_, kong| {
        kong.says = Some("https://a.example".into());
        kong.marks_others = false;
    };
    let listed: Tune = |cors, _| cors.expose = Some("x-b".into());
    let by_host: Tune = |cors, kong| {
        cors.origins.clear();
        kong.hosts = vec![TextMatch::Suffix(".example".into())];
    };
    const A: &str = "access-control-allow-origin: https://a.example";
    const ANY: &str = "access-control-allow-origin: *";
    const VARY: &str = "vary: origin";
    const CREDENTIALS: &str = "access-control-allow-credentials: true";
    const EXPOSED: &str = "access-control-expose-headers: x-b";
    let rows: [(&str, Tune, Option<&str>, &[&str]); 11] = [
        ("any, asked", any, Some("https://c.test"), &[ANY]),
        ("any, not asked", any, None, &[ANY]),
        (
            "any with credentials, asked",
            any_with_credentials,
            Some("https://a.example"),
            &[VARY, A, CREDENTIALS],
        ),
        (
            "any with credentials, not asked",
            any_with_credentials,
            None,
            &[ANY],
        ),
        (
            "one, asked by another",
            one,
            Some("https://c.test"),
            &[VARY, A, CREDENTIALS],
        ),
        ("one, not asked", one, None, &[VARY, A, CREDENTIALS]),
        ("one, where others are not marked", one_asked, None, &[]),
        (
            "one of several",
            listed,
            Some("https://a.example"),
            &[VARY, A, EXPOSED],
        ),
        (
            "none of several",
            listed,
            Some("https://c.test"),
            &[VARY, EXPOSED],
        ),
        (
            "by its host",
            by_host,
            Some("https://a.example"),
            &[VARY, A],
        ),
        ("by another host", by_host, Some("https://c.test"), &[VARY]),
    ];
    for (name, tune, origin, marks) in rows {
        let mut rig = as_kong(tune);
        let headers: Vec<(&str, &str)> = origin.map(|it| ("origin", it)).into_iter().collect();
        let (status, reason, told) = asked(&mut rig, "GET", &headers);
        assert_eq!((status, reason), (200, None), "{name}");
        let mut want = vec!["x-edit: 1"];
        want.extend(marks);
        assert_eq!(told, want, "{name}");
    }
}

#[test]
fn kong_tells_a_preflight_of_methods_and_headers_whatever_its_origin() {
    let other = [
        ("origin", "https://c.test"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-private-network", "true"),
    ];
    let mut rig = as_kong(|_, kong| kong.private_network = true);
    let (status, reason, told) = asked(&mut rig, "OPTIONS", &other);
    assert_eq!((status, reason), (200, Some(ReplyReason::Preflight)));
    assert_eq!(
        told,
        [
            "vary: origin",
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: x-a",
            "access-control-max-age: 60",
            "access-control-allow-private-network: true",
        ]
    );
    assert!(rig.sent.is_empty(), "no endpoint saw it");
}

#[test]
fn kong_leaves_preflights_that_go_on_as_they_are() {
    let mut rig = as_kong(|_, kong| kong.continues = true);
    let (status, reason, told) = asked(&mut rig, "OPTIONS", &PREFLIGHT);
    assert_eq!((status, reason, rig.sent.len()), (200, None, 1));
    assert_eq!(told, ["x-edit: 1"]);
    let (_, _, told) = asked(&mut rig, "GET", &PREFLIGHT[..1]);
    assert_eq!(told.len(), 3, "{told:?}");
}

/// The profile of its other answers is NGINX's, which would be 204.
#[test]
fn kong_gives_a_preflight_200() {
    let mut cors = cors();
    cors.manner = CorsManner::Kong(KongCors {
        hosts: Vec::new(),
        says: None,
        marks_others: true,
        continues: false,
        private_network: false,
    });
    let route = |index| Route {
        cors: Some(Box::new(cors)),
        ..route_to(Forward::to(index))
    };
    let cluster = Cluster::envoy("c", endpoints(1));
    let mut rig = Rig::new(config_with(cluster, route, |http| {
        http.replies = ReplyProfile::Nginx;
        http.filters.push(HttpFilter::Cors);
    }));
    let (status, ..) = asked(&mut rig, "OPTIONS", &PREFLIGHT);
    assert_eq!(status, 200);
}
