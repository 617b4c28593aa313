use proxy_core::config::{Cors, CorsList};

use super::harness::Read;

fn cors(policy: &str) -> Cors {
    let read = Read::rule(&format!("corsPolicy: {policy}"));
    assert_eq!(read.problems(), "", "{policy}");
    *read.first().cors.expect("a policy")
}

#[test]
fn origins_are_allowed_as_they_are_written() {
    let rows = [
        (
            "{allowOrigins: [{exact: 'https://a.example'}]}",
            [true, false, false],
        ),
        (
            "{allowOrigins: [{prefix: 'https://a.'}]}",
            [true, false, true],
        ),
        (
            "{allowOrigins: [{regex: 'https://[a-z]\\.example'}]}",
            [true, true, false],
        ),
        (
            "{allowOrigins: [{exact: 'https://a.example'}, {exact: 'https://b.example'}]}",
            [true, true, false],
        ),
        // in a whole text, too, this is any origin
        ("{allowOrigins: [{exact: '*'}]}", [true, true, true]),
        ("{allowOrigin: ['https://b.example']}", [false, true, false]),
        (
            "{allowOrigin: ['https://b.example'], allowOrigins: [{exact: 'https://a.example'}]}",
            [true, false, false],
        ),
        ("{}", [false, false, false]),
    ];
    let origins = ["https://a.example", "https://b.example", "https://a.other"];
    for (policy, expected) in rows {
        let cors = cors(policy);
        assert_eq!(origins.map(|it| cors.allows(it)), expected, "{policy}");
    }
}

#[test]
fn preflights_are_told_lists_with_commas_and_whole_seconds() {
    let text = |list: Option<CorsList>| match list {
        Some(CorsList::Text(text)) => text.into_string(),
        Some(CorsList::Asked) => "asked".to_owned(),
        None => String::new(),
    };
    let rows = [
        ("{}", ["", "", "", ""]),
        (
            "{allowMethods: [GET, PUT], allowHeaders: [x-a, '*'], exposeHeaders: [x-b], maxAge: 24h}",
            ["GET,PUT", "x-a,*", "x-b", "86400"],
        ),
        ("{maxAge: 90s, allowMethods: ['*']}", ["*", "", "", "90"]),
    ];
    for (policy, expected) in rows {
        let cors = cors(policy);
        let told = [
            text(cors.methods),
            text(cors.headers),
            cors.expose.unwrap_or_default().into_string(),
            cors.max_age.unwrap_or_default().into_string(),
        ];
        assert_eq!(told, expected, "{policy}");
        assert!(!cors.exposes_early, "{policy}");
    }
}

#[test]
fn preflights_of_other_origins_go_upstream_unless_they_are_ignored() {
    let rows = [
        ("{}", true, false),
        ("{unmatchedPreflights: UNSPECIFIED}", true, false),
        (
            "{unmatchedPreflights: FORWARD, allowCredentials: true}",
            true,
            true,
        ),
        (
            "{unmatchedPreflights: IGNORE, allowCredentials: false}",
            false,
            false,
        ),
    ];
    for (policy, forwards, credentials) in rows {
        let cors = cors(policy);
        assert_eq!(cors.forwards_others, forwards, "{policy}");
        assert_eq!(cors.credentials, credentials, "{policy}");
    }
}

#[test]
fn a_delegate_has_the_policy_of_its_root_unless_it_has_its_own() {
    let of = |root: &str, own: &str| {
        let read = Read::yaml(&format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: root}}
spec:
  hosts: [reviews]
  http: [{{delegate: {{name: inner, namespace: default}}{root}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: inner}}
spec:
  http: [{{route: [{{destination: {{host: reviews}}}}]{own}}}]
"
        ));
        assert_eq!(read.problems(), "");
        let cors = read.first().cors;
        cors.and_then(|cors| cors.max_age).unwrap_or_default()
    };
    assert_eq!(&*of("", ""), "");
    assert_eq!(&*of(", corsPolicy: {maxAge: 1s}", ""), "1");
    assert_eq!(
        &*of(", corsPolicy: {maxAge: 1s}", ", corsPolicy: {maxAge: 2s}"),
        "2"
    );
}

#[test]
fn redirects_and_direct_answers_have_policies_too() {
    for action in ["redirect: {uri: /x}", "directResponse: {status: 200}"] {
        let read = Read::spec(&format!("http: [{{{action}, corsPolicy: {{maxAge: 1s}}}}]"));
        assert!(read.first().cors.is_some(), "{action}");
        assert_eq!(read.problems(), "", "{action}");
    }
}
