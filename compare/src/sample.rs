//! Texts that a pattern takes.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Most samples of one pattern.
const MOST: usize = 8;
/// Longer ones are not made.
const LONGEST: usize = 1_024;

/// Texts that a pattern takes, as far as its parts show them: the plainest first, then one for each way in which a part may be otherwise. What
/// a part demands of its surroundings (`\b`) is not heeded, so the pattern itself has the last word.
pub(crate) fn samples(pattern: &str) -> Vec<String> {
    let Ok(hir) = regex_syntax::parse(pattern) else {
        return Vec::new();
    };
    of(&hir)
}

fn of(hir: &Hir) -> Vec<String> {
    let mut found = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8_lossy(&literal.0).into_owned()],
        HirKind::Class(class) => of_class(class),
        HirKind::Repetition(repetition) => repeated(repetition),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Concat(parts) => joined(parts),
        HirKind::Alternation(ways) => {
            // the first of each way, before other samples of any
            let all: Vec<Vec<String>> = ways.iter().map(of).collect();
            let most = all.iter().map(Vec::len).max().unwrap_or_default();
            let nth = |n| all.iter().filter_map(move |way: &Vec<String>| way.get(n));
            (0..most).flat_map(nth).cloned().collect()
        }
    };
    found.retain(|text| text.len() <= LONGEST);
    found.truncate(MOST);
    found
}

fn of_class(class: &Class) -> Vec<String> {
    const PLAIN: [char; 6] = ['a', '1', 'A', '-', '_', 'x'];
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .map(|it| (it.start(), it.end()))
            .collect(),
        Class::Bytes(class) => {
            let ranges = class.ranges().iter();
            ranges
                .map(|it| (char::from(it.start()), char::from(it.end())))
                .collect()
        }
    };
    let has = |c: &char| ranges.iter().any(|(from, to)| (from..=to).contains(&c));
    let plain = PLAIN.into_iter().filter(has);
    let mut found: Vec<String> = plain.take(2).map(String::from).collect();
    if found.is_empty() {
        found.extend(ranges.first().map(|(from, _)| from.to_string()));
    }
    found
}

fn repeated(repetition: &Repetition) -> Vec<String> {
    let inner = of(&repetition.sub);
    let Some(first) = inner.first() else {
        return Vec::new();
    };
    let (min, max) = (repetition.min, repetition.max);
    let times = |n: u32| {
        let whole = first.len().checked_mul(n as usize);
        whole
            .filter(|len| *len <= LONGEST)
            .map(|_| first.repeat(n as usize))
    };
    let allowed = |n: u32| max.is_none_or(|max| n <= max);
    let least = min.max(1);
    let mut found = Vec::new();
    if allowed(least) {
        found.extend(times(least));
        // other samples of what is repeated, once
        if least == 1 {
            found.extend(inner.iter().skip(1).cloned());
        }
    }
    if min == 0 {
        found.push(String::new());
    }
    if allowed(least + 1) {
        found.extend(times(least + 1));
    }
    found
}

/// The plainest of each part, then with each part as it may be otherwise.
fn joined(parts: &[Hir]) -> Vec<String> {
    let all: Vec<Vec<String>> = parts.iter().map(of).collect();
    if all.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let with = |part: usize, nth: usize| {
        let pieces = all
            .iter()
            .enumerate()
            .map(|(at, of_part)| match at == part {
                true => of_part[nth].as_str(),
                false => of_part[0].as_str(),
            });
        pieces.collect::<String>()
    };
    let mut found = vec![with(0, 0)];
    for (part, of_part) in all.iter().enumerate() {
        for nth in 1..of_part.len() {
            if found.len() < MOST {
                found.push(with(part, nth));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_show_each_way_that_a_pattern_may_go() {
        for (pattern, expected) in [
            ("^(?:/api/v[0-9]+)$", &["/api/v1", "/api/v11"][..]),
            ("/items?/x", &["/items/x", "/item/x"]),
            ("/a|/b/c", &["/a", "/b/c"]),
            ("/.*", &["/a", "/1", "/", "/aa"]),
            ("(?i)/ab", &["/ab", "/Ab", "/aB"]),
            ("[^/]+", &["a", "1", "aa"]),
            ("a{3}", &["aaa"]),
            ("a{2,}", &["aa", "aaa"]),
            ("(", &[]),
            ("", &[""]),
        ] {
            let mut found = samples(pattern);
            if pattern.starts_with("(?i)") {
                // classes of both cases begin with either
                found.iter_mut().for_each(|it| *it = it.to_lowercase());
                assert!(found.iter().all(|it| it == "/ab"), "{pattern}: {found:?}");
                continue;
            }
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn what_would_be_too_long_is_not_made() {
        assert!(samples("a{2000}").is_empty());
        assert!(samples("(a{500}){500}b").is_empty());
    }

    proptest! {
        #[test]
        fn a_pattern_without_conditions_on_its_surroundings_takes_its_samples(
            pattern in "(/[a-c]{1,3}|[.]|[a-d]|\\[0-9\\]\\+|\\(x\\|yz\\)\\?|[a-c]\\*){1,6}",
        ) {
            let regex = regex::Regex::new(&format!("^(?:{pattern})$")).expect("it is made of good parts");
            let found = samples(&pattern);
            prop_assert!(!found.is_empty());
            for text in found {
                prop_assert!(regex.is_match(&text), "{pattern}: {text}");
            }
        }
    }
}
