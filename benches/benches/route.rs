//! What does finding a route cost, by the number of routes and virtual hosts and by the kind of match?
//!
//! The request's route stands in the middle of its list, so that half of the list is looked at; the virtual host is found by
//! its exact name, or by the longest of many wildcards.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use proxy_core::config::*;
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::origin::OriginId;
use proxy_core::route::{RequestView, find_route};

const COUNTS: [usize; 3] = [1, 100, 10_000];
const HEAD: HeadId = HeadId(0);

/// One request.
struct Head {
    authority: String,
    path: String,
}

impl Heads for Head {
    fn method(&self, _: HeadId) -> &str {
        "GET"
    }
    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }
    fn path(&self, _: HeadId) -> &str {
        &self.path
    }
    fn header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
    fn status(&self, _: HeadId) -> u16 {
        200
    }
    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

fn head(authority: &str, path: &str) -> Head {
    Head {
        authority: authority.to_owned(),
        path: path.to_owned(),
    }
}

fn virtual_host(domains: Vec<Box<str>>, paths: impl Iterator<Item = PathMatch>) -> VirtualHost {
    let route = |path| Route {
        name: "route".into(),
        matches: RouteMatch::path(path),
        action: RouteAction::Direct(DirectResponse {
            status: 200,
            body: "".into(),
        }),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin: OriginId::NONE,
    };
    VirtualHost {
        name: "host".into(),
        domains,
        routes: paths.map(route).collect(),
        attempt_count: false,
        attempt_count_in_response: false,
        origin: OriginId::NONE,
    }
}

/// A kind of match with what makes the condition of a number.
type Kind = (&'static str, fn(usize) -> PathMatch);

const KINDS: [Kind; 4] = [
    ("exact", |i| {
        PathMatch::Exact(format!("/api/v1/items/{i}").into())
    }),
    ("prefix", |i| {
        PathMatch::Prefix(format!("/api/v1/items/{i}").into())
    }),
    ("segments", |i| {
        PathMatch::segments(&format!("/api/v1/items/{i}"))
    }),
    ("regex", |i| {
        PathMatch::regex(&format!("/api/v[0-9]+/items/{i}")).expect("it is a pattern")
    }),
];

fn by_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for (name, kind) in KINDS {
        for count in COUNTS {
            let host = virtual_host(vec!["*".into()], (0..count).map(|i| kind(100_000 + i)));
            let wanted = count / 2;
            let head = head("shop", &format!("/api/v1/items/{}", 100_000 + wanted));
            let view = RequestView {
                heads: &head,
                head: HEAD,
                edge: false,
            };
            let find = || find_route(&host, view, DrawKey::root(1));
            assert_eq!(find(), Some(wanted as u32), "{name} {count}");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(find);
            });
        }
    }
    group.finish();
}

fn by_host(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("virtual_host");
    for (name, star) in [("exact", ""), ("suffix", "*.")] {
        for count in COUNTS {
            let domain = |i: usize| format!("shop-{}.example.com", 100_000 + i);
            let hosts = (0..count).map(|i| {
                let domains = vec![format!("{star}{}", domain(i)).into()];
                virtual_host(domains, core::iter::empty())
            });
            let mut draft = SectionDraft::default();
            let table = draft.add_table(RouteTable {
                name: "table".into(),
                virtual_hosts: hosts.collect(),
                ignore_port: false,
            });
            let section = draft.build().expect("it is a section");
            let wanted = count / 2;
            let authority = match star {
                "" => domain(wanted),
                _ => format!("www.{}", domain(wanted)),
            };
            let find = || section.virtual_host(table, &authority);
            assert_eq!(find(), Some(wanted as u32), "{name} {count}");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(find);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, by_path, by_host);
criterion_main!(benches);
