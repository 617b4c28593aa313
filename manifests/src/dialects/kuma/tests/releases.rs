//! What differs between releases.

use proxy_core::config::{RouteAction, UpstreamTransport};

use super::harness::{Built, forward_of, get, named, plan, policy, to_all, to_web};

fn v3(text: &str) -> Built {
    plan(text).release("3.0").build()
}

const BY_LABELS: &str =
    "kind: MeshService, labels: {kuma.io/display-name: web, k8s.kuma.io/namespace: shop}";

fn route(backends: &str) -> String {
    let rule = format!(
        "matches: [{{path: {{type: PathPrefix, value: /a}}}}], default: {{backendRefs: [{backends}]}}"
    );
    named(
        "MeshHTTPRoute",
        "route",
        "shop",
        &format!("to: [{{targetRef: {{{BY_LABELS}}}, rules: [{{{rule}}}]}}]"),
    )
}

#[test]
fn a_rule_without_a_backend_that_is_there_answers_500_from_3_0_on_and_is_passed_by_before() {
    let gone = "{kind: MeshService, labels: {kuma.io/display-name: gone}, port: 80}";
    let built = v3(&route(gone));
    assert_eq!(built.codes(), ["kuma::unresolved-backend"]);
    let found = built.call("web", &get("/a")).expect("a route");
    let RouteAction::Direct(answer) = &found.action else {
        panic!("answered: {:?}", found.action)
    };
    assert_eq!(answer.status, 500);
    assert_eq!(built.shares(&built.web("/b"))[0].0, "web_shop_svc_80");
    let by_name = "{kind: MeshService, name: gone, namespace: shop, port: 80}";
    for backends in [gone, by_name] {
        let built = plan(&route(backends)).build();
        assert_eq!(built.codes(), ["kuma::unresolved-backend"]);
        assert_eq!(built.shares(&built.web("/a"))[0].0, "web_shop_svc_80");
    }
}

#[test]
fn the_share_of_a_backend_that_is_not_there_is_500_from_3_0_on_and_the_others_before() {
    let backends = "{kind: MeshService, labels: {kuma.io/display-name: gone}, port: 80, weight: 1}, {kind: MeshService, labels: {kuma.io/display-name: api}, port: 80, weight: 3}";
    let built = v3(&route(backends));
    let forward = built.web("/a");
    let shares = [(String::new(), 1), ("api_shop_svc_80".to_owned(), 3)];
    assert_eq!(built.shares(&forward), shares);
    assert_eq!(forward.missing_status, 500);
    let built = plan(&route(backends)).build();
    assert_eq!(
        built.shares(&built.web("/a")),
        [("api_shop_svc_80".to_owned(), 3)]
    );
}

#[test]
fn a_backend_by_a_port_that_speaks_no_http_leads_nowhere() {
    let built = v3(&route(
        "{kind: MeshService, labels: {kuma.io/display-name: db}, port: 5432}",
    ));
    assert_eq!(built.codes(), ["kuma::unresolved-backend"]);
    assert!(built.problems.contains("declares no HTTP"));
}

#[test]
fn release_3_0_selects_by_labels_alone_and_tells_what_it_does_not_read() {
    let built = v3(&policy("MeshRetry", &to_web("http: {numRetries: 1}")));
    assert_eq!(built.codes(), ["kuma::ignored"]);
    assert_eq!(built.retries("web").expect("stock").retries.value, 5);
    let by_labels =
        format!("to: [{{targetRef: {{{BY_LABELS}}}, default: {{http: {{numRetries: 1}}}}}}]");
    let built = v3(&policy("MeshRetry", &by_labels));
    assert_eq!(built.problems, "");
    let retry = built.retries("web").expect("retries");
    assert_eq!(retry.retries.value, 1);
    assert_eq!(built.origin(retry.backoff.origin), "default of kuma@3.0");
    let subset = format!(
        "targetRef: {{kind: MeshSubset, tags: {{app: api}}}}, {}",
        to_all("http: {numRetries: 1}")
    );
    assert!(
        v3(&policy("MeshRetry", &subset))
            .problems
            .contains("error[")
    );
}

#[test]
fn release_3_0_reads_rules_and_no_from() {
    let from = "targetRef: {kind: Dataplane, labels: {app: web}}, from: [{targetRef: {kind: Mesh}, default: {mode: Permissive}}]";
    let built = v3(&policy("MeshTLS", from));
    assert_eq!(built.codes(), ["kuma::ignored"]);
}

#[test]
fn release_3_0_has_mutual_tls_by_a_mesh_identity_alone() {
    let mesh = "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}}\n";
    let built = v3(mesh);
    assert_eq!(built.codes(), ["kuma::ignored"]);
    assert_eq!(
        built.cluster("web_shop_svc_80").transport,
        UpstreamTransport::Plaintext
    );
    let identity = policy(
        "MeshIdentity",
        "selector: {dataplane: {}}, provider: {type: Bundled}",
    );
    let built = v3(&identity);
    let is_mesh = matches!(
        built.cluster("web_shop_svc_80").transport,
        UpstreamTransport::Mesh { .. }
    );
    assert!(is_mesh);
}

#[test]
fn before_3_0_a_mesh_makes_mesh_services_only_where_it_says_so() {
    let mesh = |mode: &str| {
        format!(
            "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {{{mode}}}\n"
        )
    };
    let retry = named(
        "MeshRetry",
        "retry",
        "shop",
        "to: [{targetRef: {kind: MeshService, name: web, sectionName: http}, default: {http: {numRetries: 1}}}]",
    );
    let number = |mode: &str| {
        let built = plan(&format!("{}{retry}", mesh(mode))).build();
        let codes = built.codes().join(" ");
        (built.retries("web").expect("retries").retries.value, codes)
    };
    assert_eq!(number(""), (5, "kuma::no-mesh-services".to_owned()));
    assert_eq!(
        number("meshServices: {mode: Exclusive}"),
        (1, String::new())
    );
    // where no Mesh is written, nothing is known against it
    let built = plan(&retry).build();
    assert_eq!(built.retries("web").expect("retries").retries.value, 1);
    // by its tag a Service is meant all the same
    let built = plan(&format!(
        "{}{}",
        mesh(""),
        policy("MeshRetry", &to_web("http: {numRetries: 2}"))
    ))
    .build();
    assert_eq!(built.retries("web").expect("retries").retries.value, 2);
}

#[test]
fn built_in_gateways_are_told_and_in_3_0_gone() {
    let gateway = "apiVersion: kuma.io/v1alpha1\nkind: MeshGateway\nmetadata: {name: edge}\nspec: {conf: {listeners: [{port: 80, protocol: HTTP}]}}\n";
    assert_eq!(plan(gateway).build().codes(), ["kuma::not-modelled"]);
    assert_eq!(v3(gateway).codes(), ["kuma::ignored"]);
}

#[test]
fn every_release_has_the_same_stock_policies() {
    for release in super::super::DIALECT.releases {
        let built = plan("").release(release).build();
        assert_eq!(built.problems, "", "{release}");
        let route = built.call("web", &get("/")).expect("a route");
        let retry = forward_of(&route).retry.expect("retries");
        assert_eq!(retry.retries.value, 5, "{release}");
        assert_eq!(
            built.origin(retry.retries.origin),
            format!("default of kuma@{release}")
        );
    }
}
