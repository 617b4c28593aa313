//! What surprises people.

use proxy_core::config::{HttpFilter, Share, UpstreamProtocol, UpstreamTransport};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn, Vocabulary};
use proxy_core::time::Duration;

use super::harness::{arriving, forward_of, get, http_of, policy, tcp_of, to_all, to_web, with};

fn words(list: &str) -> RetryOn {
    RetryOn::parse(list, Vocabulary::Both, |_| {})
}

#[test]
fn without_any_policy_gateway_errors_are_tried_again_five_times() {
    let built = with("");
    assert_eq!(built.problems, "");
    let retry = built.retries("web").expect("stock retries");
    assert_eq!(retry.retries.value, 5);
    assert_eq!(
        retry.on.value,
        words("gateway-error,connect-failure,refused-stream")
    );
    assert_eq!(built.origin(retry.retries.origin), "default of kuma@2.14");
    assert_eq!(built.origin(retry.on.origin), "default of kuma@2.14");
    let expected = FullJitter::new(Duration::from_millis(25), Some(Duration::from_millis(250)));
    assert_eq!(retry.backoff.value, Backoff::FullJitter(expected));
    assert!(retry.avoid_previous.is_none());
}

#[test]
fn the_16_s_of_a_try_never_pass_under_the_15_s_of_the_request() {
    let forward = with("").web("/");
    let timeout = forward.timeout.value.expect("a timeout");
    let retry = forward.retry.expect("retries");
    let per_try = retry.per_try_timeout.expect("a bound of a try").value;
    assert_eq!(
        (timeout, per_try),
        (Duration::from_secs(15), Duration::from_secs(16))
    );
    // the core drops a bound of a try that is not shorter than the request's
    assert!(per_try >= timeout);
}

#[test]
fn at_most_three_retries_to_a_service_are_under_way() {
    let built = with("");
    let cluster = built.cluster("web_shop_svc_80");
    let limits = cluster.limits[0];
    assert_eq!(limits.retries.value, 3);
    assert_eq!(
        [limits.connections, limits.pending, limits.requests].map(|it| it.value),
        [1024; 3]
    );
    assert_eq!(built.origin(limits.retries.origin), "default of kuma@2.14");
    assert!(cluster.outlier.is_none());
}

#[test]
fn another_number_of_retries_keeps_the_stock_pauses() {
    let built = with(&policy("MeshRetry", &to_web("http: {numRetries: 1}")));
    assert_eq!(built.problems, "");
    let retry = built.retries("web").expect("retries");
    assert_eq!(retry.retries.value, 1);
    assert_eq!(built.origin(retry.retries.origin), "test.yaml:5");
    let per_try = retry.per_try_timeout.expect("stays");
    assert_eq!(per_try.value, Duration::from_secs(16));
    assert_eq!(built.origin(per_try.origin), "default of kuma@2.14");
    assert_eq!(built.origin(retry.backoff.origin), "default of kuma@2.14");
    // nobody else's
    assert_eq!(built.retries("orders").expect("stock").retries.value, 5);
}

#[test]
fn faults_are_the_servers_so_that_clients_try_them_again() {
    let conf = "http: [{abort: {httpStatus: 503, percentage: 100}}]";
    let built = with(&policy("MeshFaultInjection", &arriving("web", conf)));
    assert_eq!(built.problems, "");
    let listener = built.arriving("web", 8080);
    let [HttpFilter::Fault(Some(fault))] = &http_of(&listener.chains[0].action).filters[..] else {
        panic!("one fault at the server")
    };
    let abort = fault.abort.expect("an answer");
    assert_eq!((abort.status, abort.share), (Some(503), Share::ALL));
    assert_eq!(built.origin(fault.origin), "test.yaml:5");
    let caller = built.listener("api", built.address("web"));
    assert!(http_of(&caller.chains[0].action).filters.is_empty());
    let retry = built.retries("web").expect("the caller's");
    assert!(retry.on.value.has(Condition::GatewayError));
}

#[test]
fn with_every_endpoint_out_all_are_used_again() {
    let conf =
        "outlierDetection: {maxEjectionPercent: 100, detectors: {totalFailures: {consecutive: 3}}}";
    let built = with(&policy("MeshCircuitBreaker", &to_web(conf)));
    assert_eq!(built.problems, "");
    let cluster = built.cluster("web_shop_svc_80");
    let outlier = cluster.outlier.expect("ejection");
    assert_eq!(outlier.value.max_ejection_share, Share::ALL);
    assert_eq!(cluster.panic_threshold.value, Share::from_percent(50.0));
    // the limits are the stock ones all the same
    assert_eq!(cluster.limits[0].retries.value, 3);
}

#[test]
fn a_prefix_takes_whole_segments() {
    let spec = "to: [{targetRef: {kind: MeshService, name: web_shop_svc_80}, rules: [{matches: [{path: {type: PathPrefix, value: /foo}}], default: {backendRefs: [{kind: MeshService, name: orders_far_svc_80}]}}]}]";
    let built = with(&policy("MeshHTTPRoute", spec));
    assert_eq!(built.problems, "");
    let to = |path: &str| built.shares(&built.web(path))[0].0.clone();
    for (path, expected) in [
        ("/foo", "orders_far_svc_80"),
        ("/foo/bar", "orders_far_svc_80"),
        ("/foo?x=1", "orders_far_svc_80"),
        ("/foobar", "web_shop_svc_80"),
        ("/", "web_shop_svc_80"),
    ] {
        assert_eq!(to(path), expected, "{path}");
    }
}

#[test]
fn requests_that_no_rule_takes_reach_the_service() {
    let spec = "to: [{targetRef: {kind: MeshService, name: web_shop_svc_80}, rules: [{matches: [{path: {type: Exact, value: /only}}], default: {backendRefs: [{kind: MeshService, name: orders_far_svc_80}]}}]}]";
    let built = with(&policy("MeshHTTPRoute", spec));
    let forward = built.web("/other");
    assert_eq!(built.shares(&forward), [("web_shop_svc_80".to_owned(), 1)]);
    assert!(forward.retry.is_some());
}

#[test]
fn a_port_that_declares_nothing_has_no_requests() {
    let built = with("");
    let listener = built.listener("api", built.address("mute"));
    let tcp = tcp_of(&listener.chains[0].action);
    assert_eq!(tcp.connect_retries, 4);
    assert_eq!(
        tcp.idle_timeout.expect("an hour").value,
        Duration::from_secs(3600)
    );
    let arriving = built.arriving("mute", 8083);
    let idle = tcp_of(&arriving.chains[0].action).idle_timeout;
    assert_eq!(idle.expect("two hours").value, Duration::from_secs(7200));
}

#[test]
fn a_port_that_speaks_http2_is_never_tried_again() {
    let built = with(&policy("MeshRetry", &to_all("http: {numRetries: 9}")));
    assert!(built.retries("duo").is_none());
    assert_eq!(built.retries("web").expect("retries").retries.value, 9);
}

#[test]
fn calls_are_tried_again_for_more_than_requests() {
    let built = with("");
    let retry = built.retries("rpc").expect("stock retries");
    let expected = "cancelled,connect-failure,gateway-error,refused-stream,reset,resource-exhausted,unavailable";
    assert_eq!(retry.on.value, words(expected));
    assert_eq!(retry.retries.value, 5);
}

#[test]
fn naming_canceled_loses_the_condition() {
    let conf = "grpc: {retryOn: [Canceled, Unavailable]}";
    let built = with(&policy("MeshRetry", &to_all(conf)));
    assert_eq!(built.codes(), ["kuma::canceled"]);
    let on = built.retries("rpc").expect("retries").on.value;
    assert_eq!(on, words("unavailable"));
    assert!(!on.has(Condition::Cancelled));
}

#[test]
fn methods_limit_all_retries_to_them_and_statuses_add_to_the_stock_conditions() {
    let conf = "http: {retryOn: [HttpMethodGet, '500']}";
    let built = with(&policy("MeshRetry", &to_all(conf)));
    assert_eq!(built.problems, "");
    let retry = built.retries("web").expect("retries");
    let expected = "gateway-error,connect-failure,refused-stream,retriable-status-codes";
    assert_eq!(retry.on.value, words(expected));
    assert_eq!(retry.statuses, [500]);
    let [method] = &retry.request_headers[..] else {
        panic!("one condition")
    };
    assert_eq!(&*method.name, ":method");
    assert!(method.value.matches("GET") && !method.value.matches("POST"));
}

#[test]
fn no_retries_are_no_policy() {
    let built = with(&policy("MeshRetry", &to_web("http: {numRetries: 0}")));
    assert!(built.retries("web").is_none());
    assert!(built.retries("orders").is_some());
}

#[test]
fn a_mesh_may_go_without_stock_policies_and_keeps_the_timeouts() {
    let mesh = "apiVersion: kuma.io/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {skipCreatingInitialPolicies: ['*']}\n";
    let built = with(mesh);
    assert_eq!(built.problems, "");
    assert!(built.retries("web").is_none());
    let forward = built.web("/");
    // the plug-in has the same constants
    assert_eq!(forward.timeout.value, Some(Duration::from_secs(15)));
    // and for what arrives those of what is sent
    let section = built.inbound("web");
    let host = &section.tables()[0].virtual_hosts[0];
    let arriving = forward_of(&host.routes[0]);
    assert_eq!(arriving.timeout.value, Some(Duration::from_secs(15)));
    let stocked = with("").inbound("web");
    let host = &stocked.tables()[0].virtual_hosts[0];
    assert_eq!(forward_of(&host.routes[0]).timeout.value, None);
}

#[test]
fn between_proxies_requests_travel_on_http2_and_in_plaintext_unless_a_mesh_asks_for_tls() {
    let built = with("");
    let cluster = built.cluster("web_shop_svc_80");
    assert_eq!(cluster.protocol, UpstreamProtocol::Http2);
    assert_eq!(cluster.transport, UpstreamTransport::Plaintext);
    let section = built.inbound("web");
    assert_eq!(section.clusters()[0].protocol, UpstreamProtocol::Http1);
}

#[test]
fn services_without_a_proxy_behind_them_are_passed_by() {
    let built = with("");
    let listener = built.listener("api", built.address("legacy"));
    assert_eq!(&*listener.name, "outbound:passthrough");
    assert!(built.call("web", &get("/")).is_some());
}
