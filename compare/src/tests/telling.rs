//! What is told once, what is counted, and what is passed over.

use proxy_core::config::RouteAction;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::rig::*;
use crate::{Area, Options};

#[test]
fn equal_differences_of_many_requests_and_places_are_one() {
    let mut left = shop();
    let mut right = shop();
    for draft in [&mut left, &mut right] {
        let more = draft.tables[0].virtual_hosts[0].clone();
        for name in ["a", "b", "c"] {
            let mut host = more.clone();
            host.domains = vec![name.into()];
            draft.tables[0].virtual_hosts.push(host);
        }
    }
    for host in &mut right.tables[0].virtual_hosts {
        for route in &mut host.routes {
            if let RouteAction::Forward(forward) = &mut route.action {
                forward.timeout = Sourced::new(Some(Duration::from_secs(15)), OriginId(9));
            }
        }
    }
    let comparison = told(left, right);
    let [only] = &comparison.differences[..] else {
        panic!("{:?}", comparison.differences);
    };
    assert_eq!((only.places, &*only.what), (4, "timeout"));
    assert!(only.count > 40, "{}", only.count);
    assert_eq!(only.right.origin, "rule 9");
}

#[test]
fn areas_fields_and_ports_that_are_passed_over_are_not_told_of() {
    let mut other = shop();
    cart_forward(&mut other).timeout = Sourced::unsourced(Some(Duration::from_secs(1)));
    let without = |options: Options| told_with(shop(), other.clone(), &options).differences;
    assert_eq!(without(Options::default()).len(), 1);
    let areas = Options {
        passed_areas: [Area::Timeout].into(),
        ..Options::default()
    };
    assert!(without(areas).is_empty());
    let fields = Options {
        passed_fields: ["timeout".to_owned()].into(),
        ..Options::default()
    };
    assert!(without(fields).is_empty());
    let ports = Options {
        passed_ports: [80].into(),
        ..Options::default()
    };
    assert!(without(ports).is_empty());
}

#[test]
fn requests_beyond_the_bound_are_counted() {
    let options = Options {
        most_requests: 3,
        ..Options::default()
    };
    let comparison = told_with(shop(), shop(), &options);
    let passed: Vec<&str> = comparison.passed.keys().map(String::as_str).collect();
    assert_eq!(passed, ["requests beyond the first 3 of two virtual hosts"]);
}
