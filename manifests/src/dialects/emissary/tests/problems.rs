//! What is told, as it is shown.

use super::rig::*;

#[test]
fn services_that_would_be_asked_are_told_loudly() {
    let built = served(&[
        mapping("m", "{prefix: /x/, service: a}"),
        mapping(
            "n",
            "{prefix: /login/, service: a, bypass_auth: true, labels: {ambassador: []}}",
        ),
        object("AuthService", "auth", "{auth_service: a, proto: http}"),
        object(
            "RateLimitService",
            "limits",
            "{service: b, protocol_version: v3}",
        ),
        object("LogService", "logs", "{service: b, driver: http}"),
        object("TracingService", "traces", "{service: b, driver: zipkin}"),
        object("DevPortal", "portal", "{default: true}"),
    ]);
    for words in [
        "EVERY ROUTE IS OPEN: requests of 1 Mappings",
        "NOTHING IS LIMITED",
        "(1 Mappings have labels for it)",
        "a LogService is not told",
        "a TracingService is not told",
        "a DevPortal is not shown",
    ] {
        assert!(
            built.text.replace("\n", " ").contains(words) || built.text.contains(words),
            "{words}\n{}",
            built.text
        );
    }
    assert!(!built.problems.has_errors(), "{}", built.text);
    assert_eq!(built.get("h", "/x/"), "a_default /");
}

#[test]
fn the_services_own_fields_are_checked() {
    for (kind, spec, code) in [
        ("AuthService", "{}", "emissary::missing"),
        (
            "AuthService",
            "{auth_service: a, timeout: 1}",
            "field::unknown",
        ),
        ("RateLimitService", "{}", "emissary::missing"),
        (
            "RateLimitService",
            "{service: a, domian: x}",
            "field::unknown",
        ),
        ("LogService", "{servce: a}", "field::unknown"),
        ("TracingService", "{sevice: a}", "field::unknown"),
        ("DevPortal", "{defaults: true}", "field::unknown"),
        (
            "KubernetesEndpointResolver",
            "{adress: x}",
            "field::unknown",
        ),
    ] {
        let built = served(&[
            object(kind, "it", spec),
            mapping("m", "{prefix: /x/, service: a}"),
        ]);
        assert!(built.has(code), "{kind} {spec}\n{}", built.text);
    }
    let two = served(&[
        object("RateLimitService", "one", "{service: a}"),
        object("RateLimitService", "two", "{service: a}"),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(two.has("emissary::rate-limit"), "{}", two.text);
}

#[test]
fn kinds_that_emissary_does_not_read_are_told() {
    for (kind, words) in [
        ("FilterPolicy", "ROUTES ARE OPEN"),
        ("RateLimit", "nothing is limited"),
        ("Mappign", "no effect"),
    ] {
        let built = served(&[
            object(kind, "it", "{}"),
            mapping("m", "{prefix: /x/, service: a}"),
        ]);
        assert!(
            built.has("emissary::kind") && built.text.contains(words),
            "{}",
            built.text
        );
    }
    let id = served(&[mapping(
        "m",
        "{ambassador_id: default, prefix: /x/, service: a}",
    )]);
    assert!(id.has("emissary::field"), "{}", id.text);
}

#[test]
fn objects_in_annotations_are_told() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: old, annotations: {getambassador.io/config: 'kind: Mapping'}}\nspec: {selector: {app: a}, ports: [{port: 80}]}\n";
    let built = served(&[
        service.to_owned(),
        mapping("m", "{prefix: /x/, service: a}"),
    ]);
    assert!(built.has("emissary::annotation"), "{}", built.text);
}

#[test]
fn problems_are_shown_in_the_text() {
    let built = build(&[
        LISTENER.replace("8080", "8080, protocolStak: [HTTP]"),
        object(
            "Host",
            "edge",
            "{hostname: shop.example.com, tlsContext: {name: shop}, requestPolicy: {insecure: {action: Rout}}}",
        ),
        mapping("quote", "{prefix: /quote/, service: qoute, timeout_ms: 5s}"),
        mapping(
            "shop",
            "{prefix: /shop/, service: a, retry_policy: {retry_on: reset}, load_balancer: {policy: round_robin}}",
        ),
        object("Mapping", "lost", "{prefix: /lost/, service: b}"),
    ]);
    insta::assert_snapshot!(built.text);
}
