//! Header fields that the core knows by number, in a map of `http`'s: their names are made once.

use std::cell::RefCell;
use std::sync::LazyLock;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use proxy_core::heads::Field;

static NAMES: LazyLock<[HeaderName; Field::ALL.len()]> =
    LazyLock::new(|| Field::ALL.map(|field| HeaderName::from_static(field.name())));

/// The name of a field.
pub(crate) fn name(field: Field) -> &'static HeaderName {
    &NAMES[field as usize]
}

/// Replaces all values of a field. A value that no header can hold is left out.
pub(crate) fn set(headers: &mut HeaderMap, field: Field, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name(field), value);
    }
}

pub(crate) fn set_const(headers: &mut HeaderMap, field: Field, value: &'static str) {
    headers.insert(name(field), HeaderValue::from_static(value));
}

pub(crate) fn set_number(headers: &mut HeaderMap, field: Field, value: u64) {
    headers.insert(name(field), number(value));
}

/// A number as a header's value. Timeouts and times taken are mostly what they were a moment ago.
fn number(value: u64) -> HeaderValue {
    const PLACES: usize = 256;
    type Known = [Option<(u64, HeaderValue)>; PLACES];
    thread_local! {
        static KNOWN: RefCell<Known> = const { RefCell::new([const { None }; PLACES]) };
    }
    KNOWN.with_borrow_mut(|known| {
        let place = &mut known[value as usize % PLACES];
        match place {
            Some((is, text)) if *is == value => text.clone(),
            _ => place.insert((value, HeaderValue::from(value))).1.clone(),
        }
    })
}

/// Makes all values of a field one, and puts another at its end.
pub(crate) fn extend(headers: &mut HeaderMap, field: Field, separator: &str, value: &str) {
    let mut list: Vec<u8> = Vec::new();
    let values = headers.get_all(name(field)).iter();
    let values = values.map(HeaderValue::as_bytes).chain([value.as_bytes()]);
    for value in values.filter(|value| !value.is_empty()) {
        if !list.is_empty() {
            list.extend_from_slice(separator.as_bytes());
        }
        list.extend_from_slice(value);
    }
    if let Ok(list) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(name(field), list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whatever_was_written_before() {
        for value in [0, 7, 256, 0, 263, 7, u64::MAX, 255] {
            assert_eq!(number(value), value.to_string());
            assert_eq!(number(value), value.to_string(), "the second time");
        }
    }

    #[test]
    fn lists_become_one_value_with_another_at_its_end() {
        for (came, want) in [
            (&[][..], "d"),
            (&["a"], "a, d"),
            (&["a, b", "c"], "a, b, c, d"),
            (&[""], "d"),
        ] {
            let mut headers = HeaderMap::new();
            for value in came {
                headers.append(name(Field::Via), HeaderValue::from_static(value));
            }
            extend(&mut headers, Field::Via, ", ", "d");
            assert_eq!(headers.get_all("via").iter().count(), 1, "{came:?}");
            assert_eq!(headers["via"], want, "{came:?}");
        }
    }

    #[test]
    fn what_no_header_can_hold_is_left_out() {
        let mut headers = HeaderMap::new();
        set(&mut headers, Field::Via, "a\nb");
        assert!(headers.is_empty());
        set_number(&mut headers, Field::AttemptCount, 3);
        assert_eq!(headers["x-envoy-attempt-count"], "3");
    }
}
