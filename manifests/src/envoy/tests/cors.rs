//! Pages of other origins.

use proxy_core::config::{CorsList, HttpFilter};

use super::harness::*;

fn with_policy(policy: &str) -> String {
    with_filters(
        "",
        "- {name: f, typed_config: {'@type': x/envoy.extensions.filters.http.cors.v3.Cors}}",
        &format!(
            "virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  - {{match: {{prefix: /}}, route: {{cluster: a}}, typed_per_filter_config: \
             {{envoy.filters.http.cors: {policy}}}}}"
        ),
    )
}

const POLICY: &str = "'@type': x/envoy.extensions.filters.http.cors.v3.CorsPolicy";

/// Envoy: `CorsPolicy`.
#[test]
fn a_route_says_which_pages_may_read_it() {
    let b = accepted(&with_policy(&format!(
        "{{{POLICY}, allow_origin_string_match: [{{exact: 'https://a'}}, {{suffix: .b}}], allow_methods: 'GET, PUT', allow_headers: '*', expose_headers: x-a, \
         max_age: '60', allow_credentials: true, forward_not_matching_preflights: false}}"
    )));
    assert!(matches!(b.http().filters[..], [HttpFilter::Cors]));
    let cors = b.route().cors.as_deref().unwrap();
    for (origin, allowed) in [
        ("https://a", true),
        ("https://x.b", true),
        ("https://ab", false),
    ] {
        assert_eq!(cors.allows(origin), allowed, "{origin}");
    }
    assert_eq!(cors.methods, Some(CorsList::Text("GET, PUT".into())));
    assert_eq!(cors.headers, Some(CorsList::Text("*".into())));
    assert_eq!(cors.expose.as_deref(), Some("x-a"));
    assert_eq!(cors.max_age.as_deref(), Some("60"));
    assert_eq!((cors.credentials, cors.forwards_others), (true, false));

    let b = accepted(&with_policy(&format!("{{{POLICY}}}")));
    let cors = b.route().cors.as_deref().unwrap();
    assert!(cors.origins.is_empty() && cors.methods.is_none() && !cors.credentials);
    assert!(cors.forwards_others, "the default");
}

/// Envoy: `CorsFilter::isOriginAllowed`.
#[test]
fn what_matches_a_star_allows_every_origin() {
    for (matcher, allowed) in [
        ("exact: '*'", true),
        ("prefix: '*'", true),
        ("suffix: .b", false),
    ] {
        let policy = format!("{{{POLICY}, allow_origin_string_match: [{{{matcher}}}]}}");
        let b = accepted(&with_policy(&policy));
        let cors = b.route().cors.as_deref().unwrap();
        assert_eq!(cors.allows("https://a"), allowed, "{matcher}");
    }
}

#[test]
fn a_star_stands_for_every_origin() {
    let policy = format!("{{{POLICY}, allow_origin_string_match: [{{exact: '*'}}]}}");
    let b = accepted(&with_policy(&policy));
    assert!(b.route().cors.as_deref().unwrap().allows("https://a"));
}

#[test]
fn a_policy_that_is_off_allows_nobody() {
    let off = "filter_enabled: {default_value: {numerator: 0}}";
    for policy in [
        format!("{{{POLICY}, allow_origin_string_match: [{{prefix: h}}], {off}}}"),
        "{'@type': x/envoy.config.route.v3.FilterConfig, disabled: true}".to_owned(),
    ] {
        let b = accepted(&with_policy(&policy));
        let cors = b.route().cors.as_deref().unwrap();
        assert!(!cors.allows("https://a"), "{policy}");
    }
}

/// Envoy: the deprecated `RouteAction.cors` and `VirtualHost.cors`, which Emissary still writes.
#[test]
fn a_policy_in_the_older_place_counts_where_the_filter_is_told_nothing() {
    let policy =
        |origin: &str| format!("cors: {{allow_origin_string_match: [{{exact: {origin}}}]}}");
    let typed = format!(
        ", typed_per_filter_config: {{envoy.filters.http.cors: {{{POLICY}, allow_origin_string_match: [{{exact: filter}}]}}}}"
    );
    let of_route = format!(", {}", policy("route"));
    let of_host = format!("\n  {}", policy("host"));
    for (host, route, filter, allowed) in [
        (&*of_host, &*of_route, &*typed, Some("filter")),
        (&of_host, &of_route, "", Some("route")),
        (&of_host, "", "", Some("host")),
        ("", &of_route, "", Some("route")),
        ("", "", "", None),
    ] {
        let b = accepted(&with_filters(
            "",
            "- {name: f, typed_config: {'@type': x/envoy.extensions.filters.http.cors.v3.Cors}}",
            &format!(
                "virtual_hosts:\n- name: v\n  domains: ['*']{host}\n  routes:\n  - {{match: {{prefix: /}}, route: {{cluster: a{route}}}{filter}}}"
            ),
        ));
        let cors = b.route().cors.as_deref();
        let known = ["filter", "route", "host"];
        let found = known
            .into_iter()
            .find(|it| cors.is_some_and(|cors| cors.allows(it)));
        assert_eq!(found, allowed);
    }
}
