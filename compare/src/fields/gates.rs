//! Gates in words.

use proxy_core::config::{AbsentKey, ClientOf, ForwardedEntry, Gate, GateKey, GateKind, RateLimit};

use super::words::{block, list, variant, yes};

/// `5 a second and 10 more by the client's address, refused with 503`.
pub(super) fn gate(gate: &Gate) -> String {
    let what = match &gate.kind {
        GateKind::Rate { limit, key } => format!("{} {}", rate(limit), keyed(key)),
        GateKind::InFlight { most, key } => format!("{most} at once {}", keyed(key)),
        GateKind::Breaker(breaker) => format!(
            "a breaker that opens at {}, looked at every {}, refuses for {} and recovers in {}",
            breaker.expression.text(),
            breaker.check_period,
            breaker.fallback,
            breaker.recovery
        ),
    };
    let exempt = match gate.exempt.is_empty() {
        true => String::new(),
        false => format!(", but for {}", list(gate.exempt.iter().map(block))),
    };
    format!("{what}, refused with {}{exempt}", gate.status)
}

fn rate(limit: &RateLimit) -> String {
    match limit {
        RateLimit::Leaky(buckets) => {
            let buckets = buckets.iter().map(|it| {
                let (whole, rest) = (it.leaks / 1_000, it.leaks % 1_000);
                let rest = match rest {
                    0 => String::new(),
                    _ => format!(".{rest:03}"),
                };
                let delay = match it.delay_after {
                    Some(after) => format!(", waiting from request {after} on"),
                    None => String::new(),
                };
                format!("{whole}{rest} a second and {} more{delay}", it.burst)
            });
            list(buckets)
        }
        RateLimit::Delaying(bucket) => format!(
            "{} in {} and {} at once",
            bucket.average, bucket.period, bucket.burst
        ),
        RateLimit::Windows(windows) => {
            let mut limits: Vec<String> = windows
                .limits
                .iter()
                .map(|(period, most)| format!("{most} a {}", variant(period)))
                .collect();
            limits.sort();
            format!("{}, told: {}", list(limits), yes(windows.tells))
        }
    }
}

fn keyed(key: &GateKey) -> String {
    let prefix = |bits: Option<u8>| bits.map_or_else(String::new, |it| format!("/{it}"));
    let absent = |absent: AbsentKey| match absent {
        AbsentKey::Shared => "those without it together",
        AbsentKey::Address => "those without it by address",
        AbsentKey::Passes => "those without it pass",
    };
    match key {
        GateKey::All => "of everybody".to_owned(),
        GateKey::ClientAddress { of, v6_prefix } => {
            let of = match of {
                ClientOf::Connection => "the connection's address",
                ClientOf::Believed => "the client's address",
            };
            format!("by {of}{}", prefix(*v6_prefix))
        }
        GateKey::Forwarded { entry, v6_prefix } => {
            let entry = match entry {
                ForwardedEntry::FromRight(nth) => format!("entry {nth} from the right"),
                ForwardedEntry::Outside(blocks) => {
                    format!("the last entry outside {}", list(blocks.iter().map(block)))
                }
            };
            format!("by {entry} of x-forwarded-for{}", prefix(*v6_prefix))
        }
        GateKey::Header { name, absent: of } => format!("by {name}, {}", absent(*of)),
        GateKey::Cookie { name, absent: of } => format!("by the cookie {name}, {}", absent(*of)),
        GateKey::Host => "by host".to_owned(),
        GateKey::Path(path) => format!("for {path}"),
    }
}
