use super::harness::{Asks, Read, Request};

const REVIEWS: &str = "reviews.default.svc.cluster.local";

#[test]
fn the_first_rule_that_matches_takes_a_request() {
    let read = Read::spec(
        "http:
- match: [{uri: {prefix: /a}}, {headers: {x-a: {}}}]
  route: [{destination: {host: ratings}}]
- match: [{uri: {prefix: /a/b}}]
  redirect: {uri: /never}
- match: [{uri: {exact: /c}}]
  directResponse: {status: 200}
- route: [{destination: {host: details}}]
- match: [{uri: {exact: /d}}]
  directResponse: {status: 204}",
    );
    let rows = [
        (Request::get("/a"), "ratings.default:9080"),
        (Request::get("/a/b"), "ratings.default:9080"),
        (Request::with(&[("x-a", "1")]), "ratings.default:9080"),
        (Request::get("/c"), "200"),
        (Request::get("/"), "details.default:9080"),
        (Request::get("/d"), "details.default:9080"),
    ];
    for (request, cluster) in rows {
        assert_eq!(read.decide(&request), cluster, "{}", request.path);
    }
    // each condition is a route, and nothing follows the rule without any
    assert_eq!(read.reviews().len(), 5);
}
