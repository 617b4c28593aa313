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
