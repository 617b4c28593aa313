//! `cors`: what its settings come to, and what is wrong with them.

use proxy_core::config::{Cors, CorsList, CorsManner, KongCors, RouteAction};

use super::Kong;
use super::plugins::{plugin, route};

/// With `cors` of these settings on the Ingress.
fn shared(config: &str) -> Kong {
    let cors = plugin("KongPlugin", "cors", "cors", config);
    Kong::ingress(&[("konghq.com/plugins", "cors")], "/", "Prefix", &cors)
}

fn policy(kong: &mut Kong) -> Cors {
    let cors = route(kong, "http").cors.expect("a policy");
    *cors
}

fn manner(cors: &Cors) -> &KongCors {
    match &cors.manner {
        CorsManner::Kong(kong) => kong,
        CorsManner::Envoy => panic!("not Kong's manner"),
    }
}

#[test]
fn without_settings_pages_of_any_origin_may_read_answers() {
    let mut kong = shared("{}");
    let cors = policy(&mut kong);
    assert_eq!(
        cors.methods,
        Some(CorsList::Text(
            "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT".into()
        ))
    );
    assert_eq!(cors.headers, Some(CorsList::Asked));
    assert_eq!(
        (cors.expose.as_deref(), cors.max_age.as_deref()),
        (None, None)
    );
    assert!(!cors.credentials && !cors.exposes_early && !cors.forwards_others);
    let manner = manner(&cors);
    assert_eq!(manner.says.as_deref(), Some("*"));
    assert!(manner.marks_others && !manner.continues && !manner.private_network);
    assert!(cors.allows("https://anybody.example"));
    assert_eq!(kong.origin(cors.origin), "kong.yaml:20");
    let problems = kong.problems();
    assert!(!problems.contains("cors"), "{problems}");
}

#[test]
fn every_setting_is_read() {
    let mut kong = shared(
        "{methods: [GET, PUT], headers: [x-a, x-b], exposed_headers: [x-c, x-d], max_age: 3600, credentials: true, private_network: true, \
         preflight_continue: true, allow_origin_absent: false}",
    );
    let cors = policy(&mut kong);
    assert_eq!(cors.methods, Some(CorsList::Text("GET,PUT".into())));
    assert_eq!(cors.headers, Some(CorsList::Text("x-a,x-b".into())));
    assert_eq!(cors.expose.as_deref(), Some("x-c,x-d"));
    assert_eq!(cors.max_age.as_deref(), Some("3600"));
    assert!(cors.credentials);
    let manner = manner(&cors);
    assert!(!manner.marks_others && manner.continues && manner.private_network);
}

/// Source: Kong `kong/plugins/cors/handler.lua` (`configure_origin`, `normalize_origin`).
#[test]
fn origins_are_one_several_or_patterns() {
    const A: &str = "https://a.example";
    const B: &str = "https://b.example:8443";
    // settings; what is said to everybody; who may read, who may not
    type Row<'a> = (&'a str, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        ("['*']", Some("*"), &[A, B, "null"], &[]),
        ("[]", Some("*"), &[A], &[]),
        ("[https://a.example]", Some(A), &[A], &[B]),
        // a single one is named as it is written
        (
            "['https://a.example:443']",
            Some("https://a.example:443"),
            &[],
            &[A],
        ),
        (
            "[https://a.example, 'https://b.example:8443']",
            None,
            &[A, B],
            &["https://a.example:8443", "http://a.example", "null"],
        ),
        // of several the usual port is of no account
        (
            "['https://a.example:443', 'http://c.example:80']",
            None,
            &[A, "http://c.example"],
            &[B],
        ),
        // without a colon it is the host that is looked at, to its end
        (
            "['.*\\.example']",
            None,
            &[A, B, "http://a.example"],
            &["https://a.example.evil", "https://example"],
        ),
        // with one the whole origin is
        (
            "['https://(a|b)\\.example']",
            None,
            &[A, "https://b.example"],
            &[B, "http://a.example", "https://c.example"],
        ),
        (
            "['^https://.+\\.example(:[0-9]+)?$']",
            None,
            &[A, B],
            &["https://a.example.evil", "http://a.example"],
        ),
        // the end belongs to the last alternative alone
        (
            "['a\\.example|b\\.example']",
            None,
            &[A, B, "https://a.example.evil"],
            &["https://b.example.evil", "https://x.a.example"],
        ),
        (
            "['^a\\.example$|^b\\.example$']",
            None,
            &[A, B],
            &["https://a.example.evil"],
        ),
    ];
    for (origins, says, allowed, refused) in rows {
        let mut kong = shared(&format!("{{origins: {origins}}}"));
        let cors = policy(&mut kong);
        assert_eq!(manner(&cors).says.as_deref(), *says, "{origins}");
        for origin in *allowed {
            assert!(cors.allows(origin), "{origins} allows {origin}");
        }
        for origin in *refused {
            assert!(!cors.allows(origin), "{origins} refuses {origin}");
        }
    }
}

#[test]
fn a_star_among_others_is_told() {
    let mut kong = shared("{origins: ['https://a.example', '*']}");
    assert_eq!(manner(&policy(&mut kong)).says.as_deref(), Some("*"));
    let problems = kong.problems();
    assert!(
        problems.contains("warning[kong::cors]: pages of every origin may read answers"),
        "{problems}"
    );
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_shared() {
    for (config, said) in [
        (
            "{methods: [GET, LINK]}",
            "error[kong::cors]: `LINK` is no method that Kong knows",
        ),
        ("{origins: ['(a']}", "error[kong::bad-regex]"),
        ("{origins: ['a(?!b)']}", "error[kong::bad-regex]"),
        ("{origin: ['*']}", "unknown field `origin`"),
        ("{max_age: soon}", "error[field::type]"),
    ] {
        let mut kong = shared(config);
        let problems = kong.problems();
        assert!(problems.contains(said), "{config}: {problems}");
    }
    let mut kong = shared("{methods: [LINK]}");
    assert!(route(&mut kong, "http").cors.is_none());
}

#[test]
fn the_ingress_comes_before_its_service_and_before_everything() {
    let everywhere = plugin("KongClusterPlugin", "all", "cors", "{max_age: 3}");
    let of_service = plugin("KongPlugin", "service", "cors", "{max_age: 2}");
    let own = plugin("KongPlugin", "own", "cors", "{max_age: 1}");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {konghq.com/plugins: service}}\n---\n";
    for (name, notes, others, age) in [
        ("everything", None, everywhere.clone(), "3"),
        (
            "the Service",
            None,
            format!("{everywhere}{of_service}{service}"),
            "2",
        ),
        (
            "the Ingress",
            Some(("konghq.com/plugins", "own")),
            format!("{everywhere}{of_service}{service}{own}"),
            "1",
        ),
    ] {
        let notes: Vec<_> = notes.into_iter().collect();
        let mut kong = Kong::ingress(&notes, "/", "Prefix", &others);
        assert_eq!(policy(&mut kong).max_age.as_deref(), Some(age), "{name}");
    }
}

/// Source: Kong `kong/runloop/handler.lua` (`access.before`), which comes before any plugin.
#[test]
fn what_is_to_come_again_in_tls_is_not_marked() {
    let cors = plugin("KongPlugin", "cors", "cors", "{}");
    let notes = [
        ("konghq.com/plugins", "cors"),
        ("konghq.com/protocols", "https"),
    ];
    let mut kong = Kong::ingress(&notes, "/", "Prefix", &cors);
    let plain = route(&mut kong, "http");
    assert!(matches!(plain.action, RouteAction::Direct(_)));
    assert!(plain.cors.is_none());
    assert!(route(&mut kong, "https").cors.is_some());
}
