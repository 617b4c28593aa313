//! Values in words that are equal where the values are.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use proxy_core::config::{Cidr, HeaderMatch, Share, TextMatch};
use proxy_core::time::Duration;

use crate::tell::NONE;

/// `90 % shop/cart:80 {v1}, 10 % shop/cart:80 {v2}`; what has all stands alone.
pub(crate) fn shares(all: impl IntoIterator<Item = (String, f64)>) -> String {
    let mut merged: BTreeMap<String, f64> = BTreeMap::new();
    for (name, share) in all {
        *merged.entry(name).or_default() += share;
    }
    let words: Vec<String> = match merged.len() {
        0 => return "nowhere".to_owned(),
        1 => merged.into_keys().collect(),
        _ => merged
            .iter()
            .map(|(name, share)| format!("{} {name}", percent(*share)))
            .collect(),
    };
    words.join(", ")
}

/// `33.33 %` of a share between 0 and 1.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// `10 %`, to a part per million.
pub(crate) fn share(share: Share) -> String {
    let (whole, rest) = (share.as_ppm() / 10_000, share.as_ppm() % 10_000);
    if rest == 0 {
        return format!("{whole} %");
    }
    let rest = format!("{rest:04}");
    format!("{whole}.{} %", rest.trim_end_matches('0'))
}

/// A length, of which zero is none.
pub(crate) fn length(length: Duration) -> String {
    match length.is_zero() {
        true => NONE.to_owned(),
        false => length.to_string(),
    }
}

/// A bound, of which the greatest number is none.
pub(crate) fn bound(most: u32) -> String {
    match most {
        u32::MAX => NONE.to_owned(),
        _ => most.to_string(),
    }
}

pub(crate) fn yes(is: bool) -> String {
    let word = if is { "yes" } else { "no" };
    word.to_owned()
}

/// All of a list, or that there is nothing in it.
pub(crate) fn list<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    match words.is_empty() {
        true => NONE.to_owned(),
        false => words.join(", "),
    }
}

/// The name of a variant: `append forward`.
pub(crate) fn variant(value: &impl Debug) -> String {
    let mut words = String::new();
    for (nth, letter) in format!("{value:?}").chars().enumerate() {
        if letter.is_ascii_uppercase() && nth > 0 {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// `10.0.0.0/8`.
pub(crate) fn block(block: &Cidr) -> String {
    format!("{}/{}", block.address, block.bits)
}

/// `= a`, `begins with a`.
pub(crate) fn text_match(value: &TextMatch) -> String {
    match value {
        TextMatch::Exact(text) => format!("= {text}"),
        TextMatch::Prefix(text) => format!("begins with {text}"),
        TextMatch::Suffix(text) => format!("ends with {text}"),
        TextMatch::Contains(text) => format!("contains {text}"),
        TextMatch::Regex(regex) => format!("is like {regex}"),
        TextMatch::Range(from, below) => format!("is from {from} to below {below}"),
        TextMatch::Address(blocks) => format!("lies in {}", list(blocks.iter().map(block))),
        TextMatch::Present => "is there".to_owned(),
    }
}

/// `x-a = 1 and not x-b is there`; conditions stand in the order of their names.
pub(crate) fn conditions(all: &[HeaderMatch]) -> String {
    let mut words: Vec<String> = all
        .iter()
        .map(|it| {
            let not = if it.invert { "not " } else { "" };
            let case = if it.ignore_case {
                " whatever its case"
            } else {
                ""
            };
            let absent = match it.absent {
                proxy_core::config::Absent::Unequal => "",
                // what is not there equals nothing anyway
                proxy_core::config::Absent::Refused if !it.invert => "",
                proxy_core::config::Absent::Refused => ", never where it is absent",
                proxy_core::config::Absent::Empty => ", empty where it is absent",
            };
            format!("{not}{} {}{case}{absent}", it.name, text_match(&it.value))
        })
        .collect();
    words.sort();
    match words.is_empty() {
        true => NONE.to_owned(),
        false => words.join(" and "),
    }
}

/// `200-299`.
pub(crate) fn range((from, to): &(u16, u16)) -> String {
    match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_people_say_them() {
        let of =
            |all: &[(&str, f64)]| shares(all.iter().map(|(name, it)| ((*name).to_owned(), *it)));
        assert_eq!(of(&[("a", 1.0)]), "a");
        assert_eq!(of(&[("b", 0.1), ("a", 0.9)]), "90 % a, 10 % b");
        assert_eq!(of(&[("a", 0.5), ("a", 0.5)]), "a");
        assert_eq!(of(&[]), "nowhere");
        assert_eq!(percent(1.0 / 3.0), "33.33 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(share(Share::from_percent(0.01)), "0.01 %");
        assert_eq!(share(Share::from_percent(12.5)), "12.5 %");
    }

    #[test]
    fn variants_read_as_words() {
        assert_eq!(
            variant(&proxy_core::config::CertificateForwarding::AppendForward),
            "append forward"
        );
    }
}
