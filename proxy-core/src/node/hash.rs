//! The hash that hashing balancers go by.

use core::net::IpAddr;

use xxhash_rust::xxh64::xxh64;

use crate::config::{HashPolicy, HashSource};
use crate::heads::Heads;
use crate::route::{RequestView, query_value, split_query};

/// The combined hash of a request; none when no source of the list is there.
///
/// Source: envoy `source/common/http/hash_policy.cc`: each found hash is combined with the rotated one before it, and a
/// terminal policy ends the list once there is a hash.
pub(super) fn of_request<H: Heads>(
    policies: &[HashPolicy],
    view: RequestView<'_, H>,
    source: Option<IpAddr>,
) -> Option<u64> {
    let mut hash: Option<u64> = None;
    for policy in policies {
        if let Some(new) = of_source(&policy.source, view, source) {
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
    view: RequestView<'_, H>,
    address: Option<IpAddr>,
) -> Option<u64> {
    let of = |text: &str| xxh64(text.as_bytes(), 0);
    let of_address = || address.map(|ip| of(&ip.to_string()));
    match source {
        HashSource::Header(name) => view.header(name).map(of),
        HashSource::Cookie { name, ttl } => match cookie(view.header("cookie").unwrap_or(""), name)
        {
            Some(value) => Some(of(value)),
            // a made cookie stands for the client's address
            None => ttl.and_then(|_| of_address()),
        },
        HashSource::SourceAddress => of_address(),
        HashSource::Param(name) => {
            let query = split_query(view.heads.path(view.head)).1?;
            query_value(query, name).map(of)
        }
        HashSource::Path => Some(of(view.path())),
    }
}

fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::HeadId;
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
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));
        for (name, sources, expected) in rows {
            let policy = |(source, terminal)| HashPolicy { source, terminal };
            let policies: Vec<HashPolicy> = sources.into_iter().map(policy).collect();
            assert_eq!(
                of_request(&policies, view, Some(client)),
                expected,
                "{name}"
            );
        }
    }
}
