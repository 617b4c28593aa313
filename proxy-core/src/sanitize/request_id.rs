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
    let mut digits = [0; 32];
    digits[..16].copy_from_slice(&hexadecimal(high));
    digits[16..].copy_from_slice(&hexadecimal(low));
    let mut text = [b'-'; LENGTH];
    for (from, to, length) in [(0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)] {
        text[to..to + length].copy_from_slice(&digits[from..from + length]);
    }
    text
}

/// Sixteen digits, all at once: each of a number's half bytes lies in a byte of its own, and becomes a digit there.
fn hexadecimal(number: u64) -> [u8; 16] {
    const ONES: u128 = u128::from_ne_bytes([1; 16]);
    let mut spread = u128::from(number);
    for (shift, mask) in [
        (32, 0x0000_0000_ffff_ffff_u128),
        (16, 0x0000_ffff_u128),
        (8, 0x00ff_u128),
        (4, 0x0f_u128),
    ] {
        let width = shift * 2;
        let every = (0..128 / width).fold(0, |all, at| all | mask << (at * width));
        spread = (spread | spread << shift) & every;
    }
    // bit 4 of the sum is set where the half byte is above nine
    let letters = (spread + 6 * ONES) >> 4 & ONES;
    let digits = spread + u128::from(b'0') * ONES + letters * u128::from(b'a' - b'0' - 10);
    digits.to_be_bytes()
}

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
                        assert!(b"0123456789abcdef".contains(&letter));
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

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [
            0,
            1,
            0x0123_4567_89ab_cdef,
            0xfedc_ba98_7654_3210,
            u64::MAX,
            0x9a9a << 24,
        ] {
            let text = hexadecimal(number);
            assert_eq!(text, *format!("{number:016x}").as_bytes());
        }
    }
}
