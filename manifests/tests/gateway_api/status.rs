//! What a controller would say.

use manifests::gateway_api::status::Stamps;
use serde_json::Value;

use super::rig::*;

/// Every object with its status, by `Kind/name`.
fn statuses(parts: &[String]) -> Vec<(String, Value)> {
    let built = build(parts);
    assert!(!built.problems.has_errors(), "{}", built.text);
    let all = built.model.statuses().iter();
    all.map(|status| {
        let value = serde_json::to_value(status).expect("it can be written");
        let name = format!(
            "{}/{}",
            value["kind"].as_str().unwrap_or_default(),
            value["metadata"]["name"].as_str().unwrap_or_default()
        );
        (name, value)
    })
    .collect()
}

fn of<'a>(all: &'a [(String, Value)], name: &str) -> &'a Value {
    let found = all.iter().find(|(it, _)| it == name);
    &found.unwrap_or_else(|| panic!("{name} has a status")).1
}

/// `Accepted` as `+Accepted`, a condition that does not hold as `-Reason`.
fn said(conditions: &Value) -> Vec<String> {
    let conditions = conditions.as_array().expect("conditions");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    conditions
        .iter()
        .map(|it| {
            let sign = if it["status"] == "True" { '+' } else { '-' };
            format!("{}{sign}{}", text(&it["type"]), text(&it["reason"]))
        })
        .collect()
}

#[test]
fn what_serves_is_said_with_its_generation() {
    let all = statuses(&[gateway(HTTP), route("r", &to("a"))]);
    assert_eq!(
        said(&of(&all, "GatewayClass/edge")["status"]["conditions"]),
        ["Accepted+Accepted"]
    );
    let edge = of(&all, "Gateway/edge");
    let own = said(&edge["status"]["conditions"]);
    assert_eq!(
        own,
        [
            "Accepted+Accepted",
            "Programmed+Programmed",
            "ResolvedRefs+ResolvedRefs"
        ]
    );
    assert_eq!(edge["status"]["conditions"][0]["observedGeneration"], 3);
    let listener = &edge["status"]["listeners"][0];
    assert_eq!(listener["attachedRoutes"], 1);
    assert_eq!(
        said(&listener["conditions"]),
        [
            "Accepted+Accepted",
            "Programmed+Programmed",
            "ResolvedRefs+ResolvedRefs",
            "Conflicted-NoConflicts"
        ]
    );
    let kinds: Vec<&str> = listener["supportedKinds"]
        .as_array()
        .expect("kinds")
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["HTTPRoute", "GRPCRoute"]);
    let parent = &of(&all, "HTTPRoute/r")["status"]["parents"][0];
    assert_eq!(parent["controllerName"], "example.com/edge");
    assert_eq!(parent["parentRef"]["name"], "edge");
    assert_eq!(parent["conditions"][0]["observedGeneration"], 7);
    assert_eq!(
        said(&parent["conditions"]),
        ["Accepted+Accepted", "ResolvedRefs+ResolvedRefs"]
    );
}

/// Source: `RouteConditionReason` of `apis/v1/shared_types.go`.
#[test]
fn why_a_route_is_not_attached_is_said() {
    let listener = "{name: http, port: 80, protocol: HTTP, hostname: '*.example.com', allowedRoutes: {kinds: [{kind: HTTPRoute}]}}";
    let rows = [
        (
            "taken",
            "{name: edge}",
            "[a.example.com]",
            "Accepted+Accepted",
        ),
        (
            "another section",
            "{name: edge, sectionName: tcp}",
            "[]",
            "Accepted-NoMatchingParent",
        ),
        (
            "another port",
            "{name: edge, port: 81}",
            "[]",
            "Accepted-NoMatchingParent",
        ),
        (
            "both, which do not go together",
            "{name: edge, sectionName: http, port: 81}",
            "[]",
            "Accepted-NoMatchingParent",
        ),
        (
            "another host",
            "{name: edge}",
            "[example.com, a.example.org]",
            "Accepted-NoMatchingListenerHostname",
        ),
    ];
    for (name, parent, hosts, want) in rows {
        let route = route("r", &format!("hostnames: {hosts}\n{}", to("a"))).replacen(
            "parentRefs: [{name: edge}]",
            &format!("parentRefs: [{parent}]"),
            1,
        );
        let all = statuses(&[gateway(listener), route]);
        let parents = &of(&all, "HTTPRoute/r")["status"]["parents"];
        assert_eq!(said(&parents[0]["conditions"])[0], want, "{name}");
        let attached = &of(&all, "Gateway/edge")["status"]["listeners"][0]["attachedRoutes"];
        assert_eq!(*attached, u32::from(want.contains('+')), "{name}");
    }
    let foreign = route("r", &to("a"))
        .replacen("namespace: shop", "namespace: other", 1)
        .replacen("{name: edge}", "{name: edge, namespace: shop}", 1);
    let calls = foreign
        .replacen("HTTPRoute", "GRPCRoute", 1)
        .replace("namespace: other", "namespace: shop");
    for (kind, route) in [("HTTPRoute", foreign), ("GRPCRoute", calls)] {
        let all = statuses(&[gateway(listener), route]);
        let parents = &of(&all, &format!("{kind}/r"))["status"]["parents"];
        assert_eq!(
            said(&parents[0]["conditions"])[0],
            "Accepted-NotAllowedByListeners",
            "{kind}"
        );
    }
    let nowhere = route("r", &to("a")).replacen("{name: edge}", "{name: gone}", 1);
    let all = statuses(&[gateway(listener), nowhere]);
    assert!(
        all.iter().all(|(name, _)| name != "HTTPRoute/r"),
        "nobody here has a say in it"
    );
}

#[test]
fn where_backends_do_not_lead_is_said() {
    for (backend, want) in [
        ("{name: gone, port: 80}", "ResolvedRefs-BackendNotFound"),
        (
            "{name: c, namespace: other, port: 80}",
            "ResolvedRefs-RefNotPermitted",
        ),
        (
            "{name: a, kind: Thing, port: 80}",
            "ResolvedRefs-InvalidKind",
        ),
    ] {
        let rules = format!("rules: [{{backendRefs: [{{name: a, port: 80}}, {backend}]}}]");
        let all = statuses(&[gateway(HTTP), route("r", &rules)]);
        let parents = &of(&all, "HTTPRoute/r")["status"]["parents"];
        assert_eq!(said(&parents[0]["conditions"])[1], want, "{backend}");
    }
}

/// Source: `ListenerConditionReason` of `apis/v1/gateway_types.go`.
#[test]
fn why_a_listener_does_not_serve_is_said() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "a protocol that is not known",
            "{name: x, port: 81, protocol: example.com/X}",
            "Accepted-UnsupportedProtocol Programmed-Invalid ResolvedRefs+ResolvedRefs",
        ),
        (
            "a mode that is not known",
            "{name: x, port: 81, protocol: HTTPS, tls: {mode: Passthrough}}",
            "Accepted-UnsupportedValue Programmed-Invalid ResolvedRefs+ResolvedRefs",
        ),
        (
            "kinds that do not fit",
            "{name: x, port: 81, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}, {kind: HTTPRoute}]}}",
            "Accepted+Accepted Programmed+Programmed ResolvedRefs-InvalidRouteKinds",
        ),
        (
            "no certificate",
            "{name: x, port: 81, protocol: HTTPS, tls: {certificateRefs: [{name: gone}]}}",
            "Accepted+Accepted Programmed-Invalid ResolvedRefs-InvalidCertificateRef",
        ),
        (
            "one that is not granted",
            "{name: x, port: 81, protocol: HTTPS, tls: {certificateRefs: [{name: s, namespace: other}]}}",
            "Accepted+Accepted Programmed-Invalid ResolvedRefs-RefNotPermitted",
        ),
        (
            "the host of another",
            "{name: x, port: 80, protocol: HTTP}",
            "Accepted-HostnameConflict Programmed-HostnameConflict ResolvedRefs+ResolvedRefs",
        ),
        (
            "another protocol",
            "{name: x, port: 80, protocol: TCP}",
            "Accepted-ProtocolConflict Programmed-ProtocolConflict ResolvedRefs+ResolvedRefs",
        ),
        (
            "datagrams beside",
            "{name: x, port: 80, protocol: UDP}",
            "Accepted+Accepted Programmed+Programmed ResolvedRefs+ResolvedRefs",
        ),
    ];
    for (name, listener, want) in rows {
        let all = statuses(&[gateway(&format!("{HTTP}, {listener}"))]);
        let edge = of(&all, "Gateway/edge");
        let conditions = said(&edge["status"]["listeners"][1]["conditions"]);
        assert_eq!(conditions[..3].join(" "), *want, "{name}");
        let own = said(&edge["status"]["conditions"]);
        let valid = want.starts_with("Accepted+");
        let first = match (valid, want.contains("Conflict")) {
            (true, _) => "Accepted+Accepted",
            (false, false) => "Accepted+ListenersNotValid",
            // of two in one Gateway none is served
            (false, true) => "Accepted-ListenersNotValid",
        };
        assert_eq!(own[0], first, "{name}");
    }
}

#[test]
fn a_gateway_that_asks_for_what_is_not_known_is_not_accepted() {
    let rows = [
        (
            "infrastructure: {parametersRef: {group: example.com, kind: Thing, name: t}}",
            "Accepted-InvalidParameters",
        ),
        (
            "addresses: [{type: example.com/x, value: y}]",
            "Accepted-UnsupportedAddress",
        ),
        ("addresses: [{type: IPAddress}]", "Accepted+Accepted"),
        (
            "addresses: [{value: 10.0.0.1}]",
            "Programmed-AddressNotUsable",
        ),
    ];
    for (field, want) in rows {
        let edge = gateway(HTTP).replacen("  listeners:", &format!("  {field}\n  listeners:"), 1);
        let all = statuses(&[edge]);
        let own = said(&of(&all, "Gateway/edge")["status"]["conditions"]);
        assert!(own.iter().any(|it| it == want), "{field}: {own:?}");
    }
}

#[test]
fn a_gateway_is_programmed_where_it_has_every_address_that_it_asks_for() {
    let rows = [
        ("127.0.0.7", "Programmed+Programmed"),
        ("127.0.0.8", "Programmed-AddressNotUsable"),
        (
            "127.0.0.7}, {value: 127.0.0.8",
            "Programmed-AddressNotUsable",
        ),
        ("a.example.com", "Programmed-AddressNotUsable"),
        (
            "127.0.0.7}, {type: example.com/x, value: y",
            "Programmed-AddressNotUsable",
        ),
    ];
    for (asked, want) in rows {
        let field = format!("  addresses: [{{value: {asked}}}]\n  listeners:");
        let built = build(&[gateway(HTTP).replacen("  listeners:", &field, 1)]);
        let mut all = built.model.statuses().to_vec();
        let edge = all.iter_mut().find(|it| it.gateway().is_some());
        let edge = edge.expect("the Gateway's");
        edge.listens_at([std::net::IpAddr::from([127, 0, 0, 7])]);
        let value = serde_json::to_value(&*edge).expect("it can be written");
        let own = said(&value["status"]["conditions"]);
        assert!(own.iter().any(|it| it == want), "{asked}: {own:?}");
        assert_eq!(value["status"]["addresses"][0]["value"], "127.0.0.7");
    }
}

#[test]
fn a_condition_keeps_its_time_until_it_changes() {
    let mut stamps = Stamps::default();
    let mut at = |service: &str, now: &str| -> Vec<String> {
        let built = build(&[gateway(HTTP), route("r", &to(service))]);
        let mut all = built.model.statuses().to_vec();
        let status = all.last_mut().expect("the route's");
        status.stamp(&mut stamps, now);
        let value = serde_json::to_value(&*status).expect("it can be written");
        let conditions = value["status"]["parents"][0]["conditions"].as_array();
        let times = conditions
            .into_iter()
            .flatten()
            .map(|it| it["lastTransitionTime"].clone());
        times
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(at("a", "1"), ["1", "1"]);
    assert_eq!(at("b", "2"), ["1", "1"]);
    assert_eq!(at("gone", "3"), ["1", "3"]);
    assert_eq!(at("gone", "4"), ["1", "3"]);
}
