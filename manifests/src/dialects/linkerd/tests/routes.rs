//! HTTPRoutes whose parent is a Service, field by field.

use super::*;

/// An HTTPRoute of Service `a` with these annotations and this specification besides its parent.
fn http_route(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  \
         parentRefs: [{{kind: Service, group: core, name: a, port: 80}}]\n  {spec}\n---\n"
    )
}

fn rules(rules: &str) -> Cluster_ {
    Cluster_::with(&http_route("r", "", &format!("rules: {rules}")))
}

#[test]
fn each_match_takes_what_it_asks_for() {
    type Headers = &'static [(&'static str, &'static str)];
    type Row = (
        &'static str,
        &'static str,
        (&'static str, &'static str, Headers),
        bool,
    );
    let rows: [Row; 20] = [
        ("nothing", "{}", ("GET", "/any", &[]), true),
        (
            "a path: by segments unless written",
            "{path: {value: /a}}",
            ("GET", "/a/b", &[]),
            true,
        ),
        (
            "… and no longer word",
            "{path: {value: /a}}",
            ("GET", "/ab", &[]),
            false,
        ),
        (
            "PathPrefix with a slash at its end",
            "{path: {type: PathPrefix, value: /a/}}",
            ("GET", "/a", &[]),
            true,
        ),
        (
            "Exact",
            "{path: {type: Exact, value: /a}}",
            ("GET", "/a?x=1", &[]),
            true,
        ),
        (
            "Exact, not below",
            "{path: {type: Exact, value: /a}}",
            ("GET", "/a/", &[]),
            false,
        ),
        (
            "RegularExpression of the whole path",
            "{path: {type: RegularExpression, value: '/a[0-9]'}}",
            ("GET", "/a7", &[]),
            true,
        ),
        (
            "… and not of a part",
            "{path: {type: RegularExpression, value: '/a[0-9]'}}",
            ("GET", "/a77", &[]),
            false,
        ),
        (
            "a path without value: all",
            "{path: {type: PathPrefix}}",
            ("GET", "/any", &[]),
            true,
        ),
        ("a method", "{method: POST}", ("POST", "/", &[]), true),
        ("another method", "{method: POST}", ("GET", "/", &[]), false),
        (
            "a header, its name in any case",
            "{headers: [{name: X-Tier, value: gold}]}",
            ("GET", "/", &[("x-tier", "gold")]),
            true,
        ),
        (
            "a header, its value as it is",
            "{headers: [{name: x-tier, value: gold}]}",
            ("GET", "/", &[("x-tier", "Gold")]),
            false,
        ),
        (
            "no header",
            "{headers: [{name: x-tier, value: gold}]}",
            ("GET", "/", &[]),
            false,
        ),
        (
            "a header by pattern",
            "{headers: [{type: RegularExpression, name: x-tier, value: 'g.*'}]}",
            ("GET", "/", &[("x-tier", "gold")]),
            true,
        ),
        (
            "both of two headers",
            "{headers: [{name: x-a, value: '1'}, {name: x-b, value: '2'}]}",
            ("GET", "/", &[("x-a", "1")]),
            false,
        ),
        (
            "a parameter",
            "{queryParams: [{name: q, value: '1'}]}",
            ("GET", "/?p=0&q=1", &[]),
            true,
        ),
        (
            "another parameter",
            "{queryParams: [{name: q, value: '1'}]}",
            ("GET", "/?q=2", &[]),
            false,
        ),
        (
            "a parameter by pattern",
            "{queryParams: [{type: RegularExpression, name: q, value: '[0-9]+'}]}",
            ("GET", "/?q=42", &[]),
            true,
        ),
        (
            "everything at once",
            "{path: {value: /a}, method: GET, queryParams: [{name: q, value: '1'}]}",
            ("GET", "/b?q=1", &[]),
            false,
        ),
    ];
    for (name, matches, (method, path, headers), expected) in rows {
        let mut cluster = rules(&format!("[{{matches: [{matches}]}}]"));
        let request = Request {
            method,
            path,
            headers,
        };
        assert_eq!(cluster.call(&request).is_some(), expected, "{name}");
        assert_eq!(cluster.problems(), "", "{name}");
    }
}

#[test]
fn the_best_fit_counts_whatever_the_order() {
    // rules of two, the worse first, and which has its name in a header
    let rows = [
        (
            "a rule without matches is as long as `/`",
            "{}",
            "{path: {value: /}, headers: [{name: x, value: '1'}]}",
        ),
        (
            "a header before none",
            "{path: {value: /}}",
            "{headers: [{name: x, value: '1'}]}",
        ),
        (
            "a longer path before a header",
            "{headers: [{name: x, value: '1'}]}",
            "{path: {value: /a}}",
        ),
        (
            "a method before a header",
            "{headers: [{name: x, value: '1'}]}",
            "{method: GET}",
        ),
        (
            "a header before a parameter",
            "{queryParams: [{name: q, value: '1'}]}",
            "{headers: [{name: x, value: '1'}]}",
        ),
        (
            "two headers before one",
            "{headers: [{name: x, value: '1'}]}",
            "{headers: [{name: x, value: '1'}, {name: y, value: '2'}]}",
        ),
        (
            "the whole path before its beginning",
            "{path: {value: /a/b}}",
            "{path: {type: Exact, value: /a/b}}",
        ),
    ];
    for (name, worse, better) in rows {
        let marked = |matches: &str, mark: &str| {
            let matches = match matches {
                "{}" => String::new(),
                some => format!("matches: [{some}], "),
            };
            format!(
                "{{{matches}filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: rule, value: {mark}}}]}}}}]}}"
            )
        };
        let request = Request {
            method: "GET",
            path: "/a/b?q=1",
            headers: &[("x", "1"), ("y", "2")],
        };
        for list in [
            [marked(worse, "worse"), marked(better, "better")],
            [marked(better, "better"), marked(worse, "worse")],
        ] {
            let mut cluster = rules(&format!("[{}]", list.join(", ")));
            let (route, _) = cluster.call(&request).expect("a route");
            let said = format!("{:?}", route.request_edits);
            assert!(said.contains("better"), "{name}: {said}");
        }
    }
}

#[test]
fn hosts_are_those_that_are_named_whatever_port_follows() {
    // requests are for `anything.example:80`
    let rows = [
        ("none", "", true),
        ("the host", "hostnames: [anything.example]", true),
        ("in any case", "hostnames: [Anything.Example]", true),
        ("labels before it", "hostnames: ['*.example']", true),
        ("another", "hostnames: [other.example]", false),
        (
            "one of two",
            "hostnames: [other.example, anything.example]",
            true,
        ),
        ("a longer one", "hostnames: ['*.anything.example']", false),
    ];
    for (name, hosts, expected) in rows {
        let spec = match hosts {
            "" => "rules: [{}]".to_owned(),
            some => format!("{some}\n  rules: [{{}}]"),
        };
        let mut cluster = Cluster_::with(&http_route("r", "", &spec));
        assert_eq!(cluster.get("/").is_some(), expected, "{name}");
    }
}

#[test]
fn filters_edit_heads_and_redirect() {
    let edits = |filter: &str| {
        let mut cluster = rules(&format!("[{{filters: [{filter}]}}]"));
        let (route, _) = cluster.get("/").expect("a route");
        assert_eq!(cluster.problems(), "", "{filter}");
        route
    };
    let all = "{set: [{name: X-A, value: '1'}], add: [{name: x-b, value: '2'}], remove: [x-c]}";
    let route = edits(&format!(
        "{{type: RequestHeaderModifier, requestHeaderModifier: {all}}}"
    ));
    assert_eq!(
        (route.request_edits.len(), route.response_edits.len()),
        (3, 0)
    );
    let route = edits(&format!(
        "{{type: ResponseHeaderModifier, responseHeaderModifier: {all}}}"
    ));
    assert_eq!(
        (route.request_edits.len(), route.response_edits.len()),
        (0, 3)
    );
    let rows = [
        ("{}", (302, None, None, None)),
        (
            "{statusCode: 301, scheme: https}",
            (301, Some("https"), None, None),
        ),
        (
            "{hostname: new.example, port: 8443}",
            (302, None, Some("new.example"), Some(8_443)),
        ),
    ];
    for (redirect, expected) in rows {
        let route = edits(&format!(
            "{{type: RequestRedirect, requestRedirect: {redirect}}}"
        ));
        let RouteAction::Redirect(to) = &route.action else {
            panic!("a redirect")
        };
        let found = (to.status, to.scheme.as_deref(), to.host.as_deref(), to.port);
        assert_eq!(found, expected, "{redirect}");
    }
}

#[test]
fn filters_that_linkerd_refuses_are_errors() {
    for (kind, settings) in [
        ("URLRewrite", "urlRewrite: {hostname: x.example}"),
        (
            "RequestMirror",
            "requestMirror: {backendRef: {name: b, port: 80}}",
        ),
        ("ExtensionRef", "extensionRef: {group: g, kind: k, name: n}"),
        ("CORS", "cors: {}"),
        ("RequestHeaderModifier", "requestRedirect: {}"),
    ] {
        let problems = rules(&format!("[{{filters: [{{type: {kind}, {settings}}}]}}]")).problems();
        assert!(
            problems.contains(&format!(
                "error[linkerd::filter]: Linkerd does not take the filter `{kind}`"
            )),
            "{problems}"
        );
    }
}

#[test]
fn backends_have_shares() {
    let shares = |backends: &str| {
        let mut cluster = rules(&format!("[{{backendRefs: {backends}}}]"));
        let forward = cluster.forward("/");
        let shares = forward.clusters.iter();
        let shares: Vec<(bool, u32)> = shares.map(|it| (it.cluster.is_some(), it.weight)).collect();
        (shares, forward.missing_status, cluster.problems())
    };
    let there = [
        ("one", "[{name: b, port: 80}]", vec![(true, 1)]),
        (
            "two alike",
            "[{name: a, port: 80}, {name: b, port: 80}]",
            vec![(true, 1), (true, 1)],
        ),
        (
            "weights",
            "[{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 7}]",
            vec![(true, 0), (true, 7)],
        ),
        (
            "of a namespace, and of the core",
            "[{group: core, kind: Service, name: b, namespace: default, port: 80}]",
            vec![(true, 1)],
        ),
    ];
    for (name, backends, expected) in there {
        assert_eq!(shares(backends), (expected, 500, String::new()), "{name}");
    }
    let missing = [
        (
            "[{name: nobody, port: 80}]",
            "error[linkerd::unknown-service]",
        ),
        ("[{name: b, port: 81}]", "error[linkerd::unknown-port]"),
        ("[{name: b}]", "error[linkerd::no-port]"),
        (
            "[{name: b, port: 80, group: example.com, kind: Bucket}]",
            "not modelled[linkerd::not-modelled]: a backend that is no Service",
        ),
    ];
    for (backends, expected) in missing {
        let (shares, status, problems) = shares(backends);
        assert_eq!((shares, status), (vec![(false, 1)], 500), "{backends}");
        assert!(problems.contains(expected), "{backends}\n{problems}");
    }
}

#[test]
fn a_share_has_edits_of_its_own() {
    let mut cluster = rules(
        "[{backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a]}}]}]}]",
    );
    let edits: Vec<usize> = cluster
        .forward("/")
        .clusters
        .iter()
        .map(|it| it.request_edits.len())
        .collect();
    assert_eq!(edits, [0, 1]);
}

#[test]
fn retries_and_timeouts_are_the_services_each_by_itself() {
    let service = [
        ("retry.linkerd.io/http", "5xx"),
        ("retry.linkerd.io/limit", "7"),
        ("timeout.linkerd.io/request", "9s"),
        ("timeout.linkerd.io/idle", "4s"),
    ];
    // tries more, and the bounds of a request and of silence in seconds
    let rows = [
        ("nothing of its own", "", "", (7, Some(9), Some(4))),
        (
            "retries of its own",
            "retry.linkerd.io/limit: '2'",
            "",
            (2, Some(9), Some(4)),
        ),
        (
            "a timeout of its own",
            "timeout.linkerd.io/request: 1s",
            "",
            (7, Some(1), None),
        ),
        (
            "another timeout of its own",
            "timeout.linkerd.io/idle: 3s",
            "",
            (7, None, Some(3)),
        ),
        (
            "a timeout of its rule",
            "",
            "timeouts: {request: 2s}",
            (7, Some(2), None),
        ),
        (
            "the annotation before the rule",
            "timeout.linkerd.io/request: 1s",
            "timeouts: {request: 2s}",
            (7, Some(1), None),
        ),
        (
            "a rule's that is no bound",
            "",
            "timeouts: {request: 0s}",
            (7, Some(9), Some(4)),
        ),
        (
            "all of its own",
            "retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 1s",
            "",
            (1, Some(1), None),
        ),
    ];
    for (name, annotations, rule, expected) in rows {
        let route = http_route("r", annotations, &format!("rules: [{{{rule}}}]"));
        let mut cluster = Cluster_::annotated(&service, &route);
        let forward = cluster.forward("/");
        let seconds = |it: Duration| it.as_millis() / 1_000;
        let found = (
            forward.retry.expect("retries").retries.value,
            forward.timeout.value.map(seconds),
            forward.idle_timeout.map(|it| seconds(it.value)),
        );
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn of_equal_fits_the_route_whose_name_comes_first_counts() {
    let route = |name: &str| http_route(name, "", "rules: [{}]");
    let mut cluster = Cluster_::with(&(route("second") + &route("first")));
    assert_eq!(&*cluster.get("/").expect("a route").0.name, "default/first");
}

#[test]
fn a_route_may_be_for_one_port() {
    let mut cluster = Cluster_::with(
        &http_route("r", "", "rules: [{matches: [{path: {value: /only}}]}]")
            .replace(", port: 80}", "}"),
    );
    assert!(cluster.get("/").is_none(), "for every port");
    let mut other = Cluster_::with(&http_route(
        "r",
        "",
        "rules: [{matches: [{path: {value: /only}}]}]",
    ));
    other.services[0].ports[0].number = 81;
    let problems = other.problems();
    assert!(
        problems.contains("error[linkerd::unknown-port]: Service `a` has no port 80"),
        "{problems}"
    );
}

#[test]
fn kinds_that_are_not_modelled_are_told() {
    let rows = [
        (
            "policy.linkerd.io/v1beta3",
            "Server",
            "its port takes whom the default inbound policy takes",
        ),
        (
            "policy.linkerd.io/v1beta1",
            "ServerAuthorization",
            "it allows nobody",
        ),
        (
            "policy.linkerd.io/v1alpha1",
            "AuthorizationPolicy",
            "requests that it would refuse with 403 are served",
        ),
        (
            "policy.linkerd.io/v1alpha1",
            "MeshTLSAuthentication",
            "policies that name it",
        ),
        (
            "policy.linkerd.io/v1alpha1",
            "NetworkAuthentication",
            "policies that name it",
        ),
        (
            "policy.linkerd.io/v1alpha1",
            "HTTPLocalRateLimitPolicy",
            "no request is refused with 429",
        ),
        (
            "policy.linkerd.io/v1alpha1",
            "EgressNetwork",
            "carried as it comes",
        ),
        (
            "workload.linkerd.io/v1beta1",
            "ExternalWorkload",
            "no endpoint of any Service",
        ),
        (
            "multicluster.linkerd.io/v1alpha3",
            "Link",
            "there is one cluster",
        ),
    ];
    for (version, kind, expected) in rows {
        let yaml =
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n");
        let problems = Cluster_::with(&yaml).problems();
        let told =
            problems.contains("not modelled[linkerd::not-modelled]") && problems.contains(expected);
        assert!(told, "{kind}\n{problems}");
    }
    for kind in ["GRPCRoute", "TCPRoute", "TLSRoute"] {
        let yaml = |parent: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{parentRefs: [{{kind: {parent}, name: a}}]}}\n"
            )
        };
        assert!(
            Cluster_::with(&yaml("Service"))
                .problems()
                .contains("not modelled"),
            "{kind}"
        );
        assert_eq!(
            Cluster_::with(&yaml("Gateway")).problems(),
            "",
            "{kind} of a Gateway is another's"
        );
    }
}
