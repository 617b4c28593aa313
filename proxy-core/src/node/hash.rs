//! The hash that hashing balancers go by.

use core::net::IpAddr;
use xxhash_rust::xxh64::xxh64;

use crate::config::{HashPolicy, HashSource};
use crate::heads::Heads;
use crate::route::{Draft, query_value, split_query};

/// The combined hash of a request as it leaves; none when no source of the list is there.
///
/// Source: envoy `source/common/http/hash_policy.cc`: each found hash is combined with the rotated one before it, and a
/// terminal policy ends the list once there is a hash. The router has edited the head by then.
pub(super) fn of_request<H: Heads>(
    policies: &[HashPolicy],
    head: &Draft<'_, H>,
    source: Option<IpAddr>,
) -> Option<u64> {
    let mut hash: Option<u64> = None;
    for policy in policies {
        if let Some(new) = of_source(&policy.source, head, source) {
            hash = Some(hash.map_or(0, |old| old.rotate_left(1)) ^ new);
        }
        if policy.terminal && hash.is_some() {
            break;
        }
    }
    hash
}

fn of_source<H: Heads>(
    source: &HashSource,
    head: &Draft<'_, H>,
    address: Option<IpAddr>,
) -> Option<u64> {
    let of = |text: &str| xxh64(text.as_bytes(), 0);
    let of_address = || address.map(|ip| of(&ip.to_string()));
    match source {
        HashSource::Header(name) => of_header(head, name),
        HashSource::Cookie { name, ttl } => {
            let mut found = None;
            head.each_value("cookie", |line| {
                found = found.or_else(|| cookie(line, name).map(of));
            });
            match found {
                Some(hash) => Some(hash),
                // a made cookie stands for the client's address
                None => ttl.and_then(|_| of_address()),
            }
        }
        HashSource::SourceAddress => of_address(),
        HashSource::Param(name) => {
            let query = split_query(head.path()).1?;
            query_value(query, name).map(of)
        }
        HashSource::Path => Some(of(split_query(head.path()).0)),
    }
}

/// The hash of a header's values, whatever their order.
fn of_header<H: Heads>(head: &Draft<'_, H>, name: &str) -> Option<u64> {
    let (mut count, mut of_one) = (0, 0);
    head.each_value(name, |value| {
        count += 1;
        of_one = xxh64(value.as_bytes(), 0);
    });
    if count <= 1 {
        return (count == 1).then_some(of_one);
    }
    let mut values = Vec::new();
    head.each_value(name, |value| values.push(value.to_owned()));
    values.sort_unstable();
    let seeded = |seed, value: &String| xxh64(value.as_bytes(), seed);
    Some(values.iter().fold(0, seeded))
}

pub(super) fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::{HeadId, HeadWriter};
    use crate::route::RequestView;
    use core::net::Ipv4Addr;

    /// A request for `/a?user=u&empty` with some headers.
    struct Asked;

    impl Heads for Asked {
        fn method(&self, _: HeadId) -> &str {
            "GET"
        }
        fn authority(&self, _: HeadId) -> &str {
            "shop"
        }
        fn path(&self, _: HeadId) -> &str {
            "/a?user=u&empty"
        }
        fn header(&self, _: HeadId, name: &str) -> Option<&str> {
            match name {
                "x-user" => Some("u"),
                "x-shop" => Some("s"),
                "cookie" => Some("a=1; session=\"c\"; b=2"),
                _ => None,
            }
        }
        fn status(&self, _: HeadId) -> u16 {
            0
        }
        fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
            None
        }
    }

    fn header(name: &str) -> HashSource {
        HashSource::Header(name.into())
    }

    fn cookie_named(name: &str, ttl: Option<u64>) -> HashSource {
        HashSource::Cookie {
            name: name.into(),
            ttl: ttl.map(crate::time::Duration::from_secs),
        }
    }

    /// Envoy: `RouteAction.hash_policy`.
    #[test]
    fn a_hash_is_made_of_all_sources_there_are_up_to_a_terminal_one() {
        let hash = |text: &str| xxh64(text.as_bytes(), 0);
        let both = |first: &str, second: &str| hash(first).rotate_left(1) ^ hash(second);
        let (user, shop) = (header("x-user"), header("x-shop"));
        let none = header("x-none");
        type Row = (&'static str, Vec<(HashSource, bool)>, Option<u64>);
        let rows: [Row; 12] = [
            ("nothing", vec![], None),
            ("a header", vec![(user.clone(), false)], Some(hash("u"))),
            ("none there", vec![(none.clone(), true)], None),
            (
                "two",
                vec![(user.clone(), false), (shop.clone(), false)],
                Some(both("u", "s")),
            ),
            (
                "the order counts",
                vec![(shop.clone(), false), (user.clone(), false)],
                Some(both("s", "u")),
            ),
            (
                "terminal",
                vec![(user.clone(), true), (shop.clone(), false)],
                Some(hash("u")),
            ),
            (
                "terminal and absent",
                vec![(none, true), (shop.clone(), false)],
                Some(hash("s")),
            ),
            (
                "a parameter",
                vec![(HashSource::Param("user".into()), false)],
                Some(hash("u")),
            ),
            (
                "a cookie",
                vec![(cookie_named("session", None), false)],
                Some(hash("c")),
            ),
            ("no cookie", vec![(cookie_named("x", None), false)], None),
            (
                "a cookie that is made",
                vec![(cookie_named("x", Some(60)), false)],
                Some(hash("10.1.1.1")),
            ),
            (
                "the client",
                vec![(HashSource::SourceAddress, false)],
                Some(hash("10.1.1.1")),
            ),
        ];
        let view = RequestView {
            heads: &Asked,
            head: HeadId(0),
            edge: false,
        };
        let head = Draft::new(view);
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));
        for (name, sources, expected) in rows {
            let policy = |(source, terminal)| HashPolicy { source, terminal };
            let policies: Vec<HashPolicy> = sources.into_iter().map(policy).collect();
            assert_eq!(
                of_request(&policies, &head, Some(client)),
                expected,
                "{name}"
            );
        }
    }

    /// Envoy: the router edits a head before it looks for an endpoint; `HeaderHashMethod` sorts values.
    #[test]
    fn a_hash_is_that_of_the_head_that_leaves_whatever_the_order_of_values() {
        let hash = |text: &str, seed| xxh64(text.as_bytes(), seed);
        let view = RequestView {
            heads: &Asked,
            head: HeadId(0),
            edge: false,
        };
        let mut head = Draft::new(view);
        head.append("x-user", "a");
        head.set("x-new", "n");
        head.remove("x-shop");
        head.set_path("/b?user=w");
        head.set_authority("other");
        for (source, expected) in [
            (header("x-user"), Some(hash("u", hash("a", 0)))),
            (header("x-new"), Some(hash("n", 0))),
            (header("x-shop"), None),
            (header(":path"), Some(hash("/b?user=w", 0))),
            (header(":authority"), Some(hash("other", 0))),
            (HashSource::Param("user".into()), Some(hash("w", 0))),
            (HashSource::Path, Some(hash("/b", 0))),
        ] {
            let policy = HashPolicy {
                source: source.clone(),
                terminal: false,
            };
            assert_eq!(of_request(&[policy], &head, None), expected, "{source:?}");
        }
    }
}
