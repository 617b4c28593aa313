//! Texts in which what is drawn is hidden.

use std::collections::BTreeMap;

/// A text in which ids that were drawn have names: which of them are alike is compared. The letter of a request's id that says why it is
/// traced stays.
pub(super) fn named(text: &str, names: &mut BTreeMap<String, String>, given: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length < 16 {
            let end = rest[length..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length + end]);
            rest = &rest[length + end..];
            continue;
        }
        let (id, after) = rest.split_at(length);
        rest = after;
        // of an id of 128 bits the low half may be one of 64
        for half in [&id[..length - 16], &id[length - 16..]] {
            if half.is_empty() || half.chars().all(|c| c == '0') || given.contains(half) {
                out.push_str(half);
                continue;
            }
            let number = names.len();
            let name = names.entry(half.to_owned());
            out.push_str(name.or_insert_with(|| format!("<{number}>")));
        }
    }
    out
}

/// A request's id with what is drawn of it hidden.
pub(super) fn without_request_ids(text: &str, given: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('-') {
        let begins = at.checked_sub(8);
        let whole = begins.and_then(|begins| rest.get(begins..begins + 36));
        let dashes = whole.is_some_and(|it| {
            it.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
        });
        match whole.filter(|it| dashes && !given.contains(&it[..8])) {
            Some(id) => {
                out.push_str(&rest[..at - 8]);
                out.push_str(&format!("<id {}>", &id[14..15]));
                rest = &rest[at + 28..];
            }
            None => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}
