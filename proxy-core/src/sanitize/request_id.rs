//! Request ids.

use super::IdKeys;
use super::lines::Lines;
use crate::config::RequestIdRules;
use crate::draw::Purpose;
use crate::heads::{ArrivingHead, Field};

/// Letters of a UUID.
const LENGTH: usize = 36;
/// Which letter says why a request is traced.
const TRACE_LETTER: usize = 14;
/// What it says of a request that is not.
const NOT_TRACED: u8 = b'4';

/// Gives a request an id where it has none, or where a client outside has no say in it.
///
/// Source: envoy `source/extensions/request_id/uuid/config.cc` (`UUIDRequestIDExtension::set`).
pub(super) fn settle(
    rules: RequestIdRules,
    edge: bool,
    keys: IdKeys,
    lines: &Lines,
    head: &mut impl ArrivingHead,
) {
    let present = lines
        .has(Field::RequestId)
        .then(|| head.last(Field::RequestId));
    let present = present.flatten().filter(|id| !id.is_empty());
    match present {
        Some(id) if edge && rules.keeps_external => {
            let traced = rules.says_traced.then(|| untraced(id)).flatten();
            if let Some(id) = traced {
                head.set_field(Field::RequestId, &id);
            }
        }
        Some(_) if !edge => {}
        Some(_) | None => {
            let id = uuid(keys);
            let id = core::str::from_utf8(&id).expect("hexadecimal digits and dashes");
            head.set_field(Field::RequestId, id);
        }
    }
}

/// The same id without what another proxy says of its being traced; none: it says nothing.
fn untraced(id: &str) -> Option<String> {
    let letter = *id.as_bytes().get(TRACE_LETTER)?;
    if id.len() != LENGTH || letter == NOT_TRACED || !id.is_ascii() {
        return None;
    }
    let mut id = id.to_owned();
    id.replace_range(TRACE_LETTER..=TRACE_LETTER, "4");
    Some(id)
}

/// A random UUID. Its halves are drawn under different keys, so that two processes whose requests meet in one are told apart by the
/// other.
///
/// Source: RFC 9562 §5.4 (version 4).
fn uuid(keys: IdKeys) -> [u8; LENGTH] {
    let high = keys.request.bits(Purpose::RequestId, 0);
    let own = keys.node.child(keys.request.as_u64());
    let low = own.bits(Purpose::RequestId, 1);
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let mut text = [b'-'; LENGTH];
    let bytes = high.to_be_bytes().into_iter().chain(low.to_be_bytes());
    let mut at = 0;
    for (number, byte) in bytes.enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0xf)];
        at += 2;
    }
    text
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::draw::DrawKey;

    fn id(request: u64, node: u64) -> String {
        let keys = IdKeys {
            request: DrawKey::root(request),
            node: DrawKey::root(node),
        };
        String::from_utf8(uuid(keys).to_vec()).unwrap()
    }

    #[test]
    fn ids_are_random_uuids() {
        let mut seen = BTreeSet::new();
        let mut ones = [0_u32; LENGTH];
        for request in 0..2_000 {
            let id = id(request, 7);
            assert_eq!(id.len(), LENGTH);
            for (at, letter) in id.bytes().enumerate() {
                match at {
                    8 | 13 | 18 | 23 => assert_eq!(letter, b'-'),
                    TRACE_LETTER => assert_eq!(letter, NOT_TRACED),
                    19 => assert!(matches!(letter, b'8' | b'9' | b'a' | b'b')),
                    _ => {
                        assert!(DIGITS.contains(&letter));
                        ones[at] += u32::from(letter == b'1');
                    }
                }
            }
            assert!(seen.insert(id));
        }
        // 2000 draws of 16 digits: 125 on average, 11 to either side; six of that
        let free = |at: &usize| !matches!(at, 8 | 13 | 14 | 18 | 19 | 23);
        let counts = (0..LENGTH).filter(free).map(|at| ones[at]);
        assert!(
            counts.into_iter().all(|n| (59..=191).contains(&n)),
            "{ones:?}"
        );
    }

    #[test]
    fn ids_of_one_request_differ_between_nodes() {
        assert_ne!(id(1, 1), id(1, 2));
        assert_eq!(id(1, 1), id(1, 1));
    }
}
