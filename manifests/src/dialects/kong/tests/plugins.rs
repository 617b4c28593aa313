//! Plugins: those that are modelled, and whose counts for a request.

use proxy_core::config::{AbsentKey, ClientOf, GateKey, GateKind, RateLimit, Route, RouteAction};
use proxy_core::limit::windows::Period;

use super::{Kong, Request, route_of};

pub(super) fn plugin(kind: &str, name: &str, plugin: &str, config: &str) -> String {
    let labels = if kind == "KongClusterPlugin" {
        ", labels: {global: \"true\"}"
    } else {
        ""
    };
    format!(
        "apiVersion: configuration.konghq.com/v1\nkind: {kind}\nmetadata: {{name: {name}{labels}}}\nplugin: {plugin}\nconfig: {config}\n---\n"
    )
}

fn service(plugins: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, annotations: {{konghq.com/plugins: {plugins}}}}}\n---\n"
    )
}

/// With `rate-limiting` of these settings on the Ingress.
fn limited(config: &str) -> Kong {
    let limit = plugin("KongPlugin", "limit", "rate-limiting", config);
    Kong::ingress(&[("konghq.com/plugins", "limit")], "/", "Prefix", &limit)
}

pub(super) fn route(kong: &mut Kong, side: &str) -> Route {
    let section = kong
        .only()
        .draft
        .build()
        .expect("a section that can be used");
    let request = Request {
        method: "GET",
        host: "a.example.com",
        path: "/",
        headers: &[],
    };
    route_of(&section, side, &request).expect("a route")
}

/// Name, limits, status, key and whether clients are told, of the only gate.
fn limit(kong: &mut Kong) -> (String, Vec<(Period, u64)>, u16, GateKey, bool) {
    let route = route(kong, "http");
    let [gate] = &route.gates[..] else {
        panic!("one gate: {:?}", route.gates);
    };
    let GateKind::Rate {
        limit: RateLimit::Windows(windows),
        key,
    } = &gate.kind
    else {
        panic!("windows: {gate:?}");
    };
    let name = gate.name.to_string();
    (
        name,
        windows.limits.clone(),
        gate.status,
        key.clone(),
        windows.tells,
    )
}

/// Settings, limits, status, key and whether clients are told.
type Row = (&'static str, Vec<(Period, u64)>, u16, GateKey, bool);

const ADDRESS: GateKey = GateKey::ClientAddress {
    of: ClientOf::Believed,
    v6_prefix: None,
};

#[test]
fn a_limit_counts_by_address_and_answers_429_unless_it_says_otherwise() {
    let mut kong = limited("{minute: 5, policy: local}");
    assert_eq!(
        limit(&mut kong),
        (
            "kong rate-limiting route default.web.a.a.example.com.80".to_owned(),
            vec![(Period::Minute, 5)],
            429,
            ADDRESS,
            true
        )
    );
    let gate = route(&mut kong, "http").gates.remove(0);
    assert_eq!(
        kong.origin(gate.origin),
        "kong.yaml:20",
        "where the plugin is named"
    );
    let problems = kong.problems();
    assert!(
        !problems.contains("kong::rate") && !problems.contains("kong::plugin"),
        "{problems}"
    );
}

#[test]
fn every_setting_of_a_limit_is_read() {
    let header = GateKey::Header {
        name: "x-user".into(),
        absent: AbsentKey::Address,
    };
    let rows: Vec<Row> = vec![
        (
            "{second: 1, minute: 2, hour: 3, day: 4, month: 5, year: 6}",
            Period::ALL.into_iter().zip(1..).collect(),
            429,
            ADDRESS,
            true,
        ),
        (
            "{hour: 9, limit_by: ip}",
            vec![(Period::Hour, 9)],
            429,
            ADDRESS,
            true,
        ),
        (
            "{hour: 9, limit_by: consumer}",
            vec![(Period::Hour, 9)],
            429,
            ADDRESS,
            true,
        ),
        (
            "{hour: 9, limit_by: credential}",
            vec![(Period::Hour, 9)],
            429,
            ADDRESS,
            true,
        ),
        (
            "{hour: 9, limit_by: header, header_name: X-User}",
            vec![(Period::Hour, 9)],
            429,
            header,
            true,
        ),
        (
            "{hour: 9, limit_by: path, path: /pay}",
            vec![(Period::Hour, 9)],
            429,
            GateKey::Path("/pay".into()),
            true,
        ),
        (
            "{day: 1, error_code: 503}",
            vec![(Period::Day, 1)],
            503,
            ADDRESS,
            true,
        ),
        (
            "{day: 1, hide_client_headers: true}",
            vec![(Period::Day, 1)],
            429,
            ADDRESS,
            false,
        ),
        (
            "{day: 1, fault_tolerant: false, sync_rate: -1}",
            vec![(Period::Day, 1)],
            429,
            ADDRESS,
            true,
        ),
        (
            "{minute: 0.5}",
            vec![(Period::Minute, 1)],
            429,
            ADDRESS,
            true,
        ),
    ];
    for (config, limits, status, key, tells) in rows {
        let mut kong = limited(config);
        let (_, got_limits, got_status, got_key, got_tells) = limit(&mut kong);
        assert_eq!(
            (got_limits, got_status, got_key, got_tells),
            (limits, status, key, tells),
            "{config}"
        );
        assert_eq!(kong.diagnostics.errors(), 0, "{config}");
    }
}

#[test]
fn what_is_wrong_with_a_limit_is_located() {
    let rows = [
        (
            "{policy: local}",
            "error[kong::rate-limiting]: `rate-limiting` needs at least one of",
        ),
        (
            "{minute: 0}",
            "error[kong::rate-limiting]: `minute` must be greater than 0",
        ),
        (
            "{minute: -1}",
            "error[kong::rate-limiting]: `minute` must be greater than 0",
        ),
        (
            "{second: 9, hour: 8}",
            "error[kong::rate-limiting]: `hour` cannot be lower than `second`",
        ),
        (
            "{minute: 1, limit_by: header}",
            "error[kong::rate-limiting]: `limit_by` asks for `header_name`",
        ),
        (
            "{minute: 1, limit_by: path}",
            "error[kong::rate-limiting]: `limit_by` asks for `path`",
        ),
        (
            "{minute: 1, limit_by: path, path: pay}",
            "error[kong::rate-limiting]: `path` begins with a slash",
        ),
        (
            "{minute: 1, error_code: 42}",
            "error[kong::rate-limiting]: `error_code` is a status",
        ),
        (
            "{minute: 1, sync_rate: 1}",
            "error[kong::rate-limiting]: `sync_rate` is for the policy `redis` alone",
        ),
        (
            "{minute: 1, sync_rate: 0.001, policy: redis, redis: {host: r}}",
            "error[kong::rate-limiting]: `sync_rate` is at least 0.02",
        ),
        (
            "{minute: 1, policy: redis}",
            "error[kong::rate-limiting]: the policy `redis` needs",
        ),
        ("{minute: 1, limit_by: user}", "error[field::"),
        (
            "{minut: 1}",
            "error[field::unknown]: unknown field `minut`: did you mean `minute`?",
        ),
        ("{minute: many}", "error[field::"),
    ];
    for (config, expected) in rows {
        let mut kong = limited(config);
        let problems = kong.problems();
        assert!(
            problems.contains(expected),
            "{config}: {expected}\n{problems}"
        );
    }
}

#[test]
fn what_a_limit_has_that_is_not_modelled_is_said() {
    let rows = [
        (
            "{minute: 1, policy: redis, redis: {host: r, port: 6379}}",
            "a store that several Kongs share",
        ),
        (
            "{minute: 1, policy: redis, redis_host: r}",
            "each lets the whole limit pass",
        ),
        (
            "{minute: 1, policy: cluster}",
            "a store that several Kongs share",
        ),
        (
            "{minute: 1, error_message: No.}",
            "`error_message` is not modelled",
        ),
        ("{minute: 1.5}", "`minute` counts as the next whole number"),
    ];
    for (config, expected) in rows {
        let mut kong = limited(config);
        let problems = kong.problems();
        assert!(
            problems.contains(expected),
            "{config}: {expected}\n{problems}"
        );
        assert_eq!(kong.diagnostics.errors(), 0, "{config}\n{problems}");
    }
}

#[test]
fn the_plugin_of_the_route_comes_before_that_of_the_service_and_of_everything() {
    let limits = |minute: u32, kind: &str, name: &str| {
        plugin(
            kind,
            name,
            "rate-limiting",
            &format!("{{minute: {minute}}}"),
        )
    };
    let all = service("two") + &limits(1, "KongPlugin", "one") + &limits(2, "KongPlugin", "two");
    let all = all + &limits(3, "KongClusterPlugin", "three");
    let asked: &[(&str, &str)] = &[("konghq.com/plugins", "one")];
    let mut by_route = Kong::ingress(asked, "/", "Prefix", &all);
    let (name, limits_of_route, ..) = limit(&mut by_route);
    assert_eq!(
        (&*name, limits_of_route),
        (
            "kong rate-limiting route default.web.a.a.example.com.80",
            vec![(Period::Minute, 1)]
        )
    );
    let mut by_service = Kong::ingress(&[], "/", "Prefix", &all);
    let (name, limits_of_service, ..) = limit(&mut by_service);
    assert_eq!(
        (&*name, limits_of_service),
        (
            "kong rate-limiting service default.a.80",
            vec![(Period::Minute, 2)]
        )
    );
    let alone = limits(3, "KongClusterPlugin", "three");
    let mut by_all = Kong::ingress(&[], "/", "Prefix", &alone);
    let (name, limits_of_all, ..) = limit(&mut by_all);
    assert_eq!(
        (&*name, limits_of_all),
        ("kong rate-limiting everything", vec![(Period::Minute, 3)])
    );
}

#[test]
fn a_limit_by_service_counts_all_to_one_service() {
    let mut kong = limited("{minute: 1, limit_by: service}");
    let (name, _, _, key, _) = limit(&mut kong);
    assert_eq!(key, GateKey::All);
    assert!(name.ends_with(" to default.a.80"), "{name}");
}

#[test]
fn requests_that_are_to_come_again_in_tls_are_not_counted() {
    let limit = plugin("KongPlugin", "limit", "rate-limiting", "{minute: 1}");
    let asked = [
        ("konghq.com/plugins", "limit"),
        ("konghq.com/protocols", "https"),
    ];
    let mut kong = Kong::ingress(&asked, "/", "Prefix", &limit);
    assert!(route(&mut kong, "http").gates.is_empty());
    assert_eq!(route(&mut kong, "https").gates.len(), 1);
}

#[test]
fn plugins_that_are_off_for_some_or_twice_do_not_count() {
    let off = "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: limit}\nplugin: rate-limiting\ndisabled: true\nconfig: {minute: 1}\n";
    let asked: &[(&str, &str)] = &[("konghq.com/plugins", "limit")];
    let mut kong = Kong::ingress(asked, "/", "Prefix", off);
    assert!(route(&mut kong, "http").gates.is_empty());
    let some = off.replace("disabled: true", "consumerRef: joe");
    let mut kong = Kong::ingress(asked, "/", "Prefix", &some);
    assert!(route(&mut kong, "http").gates.is_empty());
    assert!(
        kong.problems()
            .contains("consumers are not recognised: it does nothing")
    );
    let secret = off.replace(
        "disabled: true\nconfig: {minute: 1}",
        "configFrom: {secretKeyRef: {name: s, key: k}}",
    );
    let mut kong = Kong::ingress(asked, "/", "Prefix", &secret);
    assert!(route(&mut kong, "http").gates.is_empty());
    assert!(kong.problems().contains("settings are in a Secret"));
    let some = off.replace("disabled: true", "protocols: [https]");
    let mut kong = Kong::ingress(asked, "/", "Prefix", &some);
    assert_eq!(route(&mut kong, "http").gates.len(), 1);
    assert!(kong.problems().contains("`protocols` is not modelled"));
    let two = plugin("KongPlugin", "one", "rate-limiting", "{minute: 1}")
        + &plugin("KongPlugin", "two", "rate-limiting", "{minute: 2}");
    let mut kong = Kong::ingress(&[("konghq.com/plugins", "one, two")], "/", "Prefix", &two);
    assert!(
        kong.problems().contains("error[kong::two-plugins]"),
        "{}",
        kong.problems()
    );
}

#[test]
fn a_termination_answers_in_place_of_the_service() {
    let rows = [
        ("{}", 503, "{\"message\":\"Service unavailable\"}"),
        ("{status_code: 404}", 404, "{\"message\":\"Not found\"}"),
        ("{status_code: 418}", 418, ""),
        (
            "{status_code: 403, message: \"So \\\"no\\\"\"}",
            403,
            "{\"message\":\"So \\\"no\\\"\"}",
        ),
        (
            "{status_code: 200, body: ok, content_type: text/plain}",
            200,
            "ok",
        ),
    ];
    for (config, status, body) in rows {
        let stop = plugin("KongPlugin", "stop", "request-termination", config);
        let limit = plugin("KongClusterPlugin", "limit", "rate-limiting", "{minute: 1}");
        let asked: &[(&str, &str)] = &[("konghq.com/plugins", "stop")];
        let mut kong = Kong::ingress(asked, "/", "Prefix", &(stop + &limit));
        let route = route(&mut kong, "http");
        let RouteAction::Direct(answer) = &route.action else {
            panic!("{config}: {:?}", route.action);
        };
        assert_eq!((answer.status, &*answer.body), (status, body), "{config}");
        assert_eq!(route.gates.len(), 1, "limits come first");
    }
}

#[test]
fn what_is_wrong_with_a_termination_or_not_modelled_is_said() {
    let rows = [
        (
            "{status_code: 99}",
            "error[kong::request-termination]: `status_code` is a status",
        ),
        ("{message: m, body: b}", "`message` cannot stand with"),
        (
            "{content_type: text/plain}",
            "`content_type` needs a `body`",
        ),
        ("{echo: true, body: b}", "`echo` cannot stand with"),
        (
            "{trigger: x-stop}",
            "not modelled[kong::request-termination]: `trigger` is not modelled",
        ),
        ("{echo: true}", "the content of the answer is not modelled"),
        (
            "{content_type: text/plain, body: b}",
            "the content of the answer is not modelled",
        ),
        ("{statuscode: 404}", "error[field::unknown]"),
    ];
    for (config, expected) in rows {
        let stop = plugin("KongPlugin", "stop", "request-termination", config);
        let asked: &[(&str, &str)] = &[("konghq.com/plugins", "stop")];
        let mut kong = Kong::ingress(asked, "/", "Prefix", &stop);
        let problems = kong.problems();
        assert!(
            problems.contains(expected),
            "{config}: {expected}\n{problems}"
        );
    }
}
