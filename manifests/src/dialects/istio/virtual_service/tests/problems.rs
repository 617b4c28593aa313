use super::harness::Read;

#[test]
fn problems_of_rules_are_shown_in_the_text() {
    let read = Read::spec(
        "http:
- match:
  - {uri: {exact: /a, prefix: /b}}
  - {uri: {regex: '(/a'}}
  - {headers: {'@request.auth.claims.group': {exact: admin}}}
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: review}}]
  retries: {attempts: 2, perTryTimeout: 5s, retryOn: 'gateway-eror,599'}
  timeout: 5s
- route: [{destination: {host: reviews, port: {number: 80}}}]
  retries: {attempts: 0, retryOn: 5xx}
- route: [{destination: {host: reviews.default, subset: v2}}]
  retries: {perTryTimeout: 2s}
- route: [{destination: {host: reviews, subset: v3}}]
  timeout: '10'
- route: [{destination: {host: reviews}}, {destination: {host: ratings}}]
  retries: {attempts: -1}
- redirect: {uri: /x, redirectCode: 300}
- directResponse: {status: 100}
- route: [{destination: {host: reviews}}]
  redirect: {uri: /x}
- name: nothing
- route: [{destination: {host: reviews}}]
  corsPolicy: {allowOrigins: [{}, {regex: '(a'}], allowMethods: [GTE], allowHeaders: ['x a'], maxAge: 1500ms}
  rewrite: {}
  headers: {request: {set: {x-from: '%DOWNSTREAM_REMOTE_ADDRESS%'}}}
- route: [{destination: {host: reviews}}]
  mirorr: {host: ratings}",
    );
    insta::assert_snapshot!(read.rendered());
}

#[test]
fn problems_of_faults_and_connections_are_shown_in_the_text() {
    let read = Read::spec(
        "http:
- route: [{destination: {host: reviews}}]
  fault: {}
- route: [{destination: {host: reviews}}]
  fault: {delay: {percentage: {value: 50}}}
- route: [{destination: {host: reviews}}]
  fault: {delay: {fixedDelay: 1s}, abort: {httpStatus: 99, percentage: {value: 101}}}
- route: [{destination: {host: reviews}}]
  fault: {abort: {grpcStatus: UNAVAILBLE, percentage: {value: 1}}}
- route: [{destination: {host: reviews}}]
  fault: {abort: {httpStatus: 99, percentage: {value: 10}}}
tcp:
- route: []
- match: [{destinationSubnets: [10.0.0.0/33], sourceSubnet: 10.0.0.0/8}]
  route: [{destination: {host: reviews}}]
tls:
- route: [{destination: {host: reviews}}]",
    );
    insta::assert_snapshot!(read.rendered());
}

#[test]
fn a_bound_of_each_try_that_is_not_shorter_than_the_timeout_is_void() {
    let rows = [
        (
            "timeout: 1s\nretries: {attempts: 2, perTryTimeout: 2s}",
            true,
        ),
        (
            "timeout: 2s\nretries: {attempts: 2, perTryTimeout: 2s}",
            true,
        ),
        (
            "timeout: 3s\nretries: {attempts: 2, perTryTimeout: 2s}",
            false,
        ),
        (
            "timeout: 0s\nretries: {attempts: 2, perTryTimeout: 2s}",
            false,
        ),
        ("retries: {attempts: 2, perTryTimeout: 2s}", false),
    ];
    for (settings, void) in rows {
        let problems = Read::rule(settings).problems();
        assert_eq!(
            problems.contains("timeout::void-per-try"),
            void,
            "{settings}"
        );
        assert_eq!(problems.is_empty(), !void, "{settings}");
    }
}

#[test]
fn a_rule_after_one_that_takes_everything_is_never_reached() {
    let answer = "directResponse: {status: 200}";
    let rows = [
        (format!("[{{{answer}}}]"), false),
        (
            format!("[{{match: [{{uri: {{prefix: /a}}}}], {answer}}}, {{{answer}}}]"),
            false,
        ),
        (format!("[{{{answer}}}, {{{answer}}}]"), true),
        (
            format!("[{{match: [{{uri: {{prefix: /}}}}], {answer}}}, {{{answer}}}]"),
            true,
        ),
        (
            format!("[{{match: [{{port: 80}}], {answer}}}, {{{answer}}}]"),
            false,
        ),
        (
            format!("[{{match: [{{sourceNamespace: far}}], {answer}}}, {{{answer}}}]"),
            false,
        ),
    ];
    for (http, late) in rows {
        let problems = Read::spec(&format!("http: {http}")).problems();
        assert_eq!(problems.contains("route::unreachable"), late, "{http}");
        assert_eq!(problems.is_empty(), !late, "{http}");
    }
}

#[test]
fn without_hosts_it_has_no_effect_unless_another_delegates_to_it() {
    let read = Read::yaml(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}
spec: {http: [{directResponse: {status: 200}}]}",
    );
    let problems = read.problems();
    assert!(problems.contains("istio::delegate"), "{problems}");
}
