//! Paths in one form, so that what a route forbids cannot be asked for in another.

use crate::config::{EscapedSlashes, PathRules};
use crate::route::split_query;

/// A path that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Normal {
    /// With its query.
    pub(super) path: String,
    /// Whether it had escaped slashes.
    pub(super) unescaped: bool,
}

/// A path that has no normal form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unnormal;

/// The path as the rules want it; none: it is as they want it. Its query stays as it came.
///
/// Source: envoy `maybeNormalizePath`.
pub(super) fn normalize(rules: PathRules, whole: &str) -> Result<Option<Normal>, Unnormal> {
    if rules == PathRules::default() {
        return Ok(None);
    }
    let (came, query) = split_query(whole);
    let slashes = rules.escaped_slashes != EscapedSlashes::Keep;
    let unescaped = slashes.then(|| unescape_slashes(came)).flatten();
    let found = unescaped.is_some();
    let mut path = unescaped;
    if rules.normalizes {
        let normal = canonical(path.as_deref().unwrap_or(came))?;
        path = normal.or(path);
    }
    if rules.merges_slashes {
        let merged = merge_slashes(path.as_deref().unwrap_or(came));
        path = merged.or(path);
    }
    Ok(path.map(|mut path| {
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        Normal {
            path,
            unescaped: found,
        }
    }))
}

/// None: there are no escaped slashes.
///
/// Source: envoy `source/common/http/path_utility.cc` (`unescapeSlashes`).
fn unescape_slashes(path: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    let mut copied = 0;
    while let Some(at) = rest.find('%') {
        let slash = match rest.as_bytes().get(at + 1..at + 3) {
            Some(b"2f" | b"2F") => Some('/'),
            Some(b"5c" | b"5C") => Some('\\'),
            Some(_) | None => None,
        };
        let begins = path.len() - rest.len() + at;
        if let Some(slash) = slash {
            out.push_str(&path[copied..begins]);
            out.push(slash);
            copied = begins + 3;
            rest = &path[copied..];
        } else {
            rest = &path[begins + 1..];
        }
    }
    (copied > 0).then(|| {
        out.push_str(&path[copied..]);
        out
    })
}

/// None: there are no slashes in a row.
///
/// Source: envoy `source/common/http/path_utility.cc` (`mergeSlashes`), which leaves a path of slashes alone two of them.
fn merge_slashes(path: &str) -> Option<String> {
    if !path.contains("//") {
        return None;
    }
    let mut out = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    if path.ends_with('/') {
        out.push('/');
    }
    Some(out)
}

/// The path without dot segments and with each escape in one form; none: it is so already.
///
/// Source: Chromium `url/url_canon_path.cc` (`CanonicalizePath`), which Envoy calls (`PathUtil::canonicalPath`).
fn canonical(path: &str) -> Result<Option<String>, Unnormal> {
    let bytes = path.as_bytes();
    if bytes
        .iter()
        .all(|byte| KIND[usize::from(*byte)] == Kind::Stays)
        && !path.contains("/.")
    {
        return Ok(None);
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let Some(length) = dot(&bytes[at..])
            && out.ends_with('/')
        {
            match segment(&bytes[at..], length) {
                Segment::Same(taken) => at += taken,
                Segment::Up(taken) => {
                    at += taken;
                    go_up(&mut out);
                }
                Segment::Name => {
                    out.push('.');
                    at += length;
                }
            }
            continue;
        }
        match KIND[usize::from(byte)] {
            Kind::Stays => out.push(char::from(byte)),
            Kind::Backslash => out.push('/'),
            Kind::Escaped => escape(byte, &mut out),
            Kind::Percent => match escaped(&bytes[at..]) {
                Some(0) => return Err(Unnormal),
                Some(plain) if is_unreserved(plain) => {
                    out.push(char::from(plain));
                    at += 2;
                }
                Some(_) => {
                    out.push_str(&path[at..at + 3]);
                    at += 2;
                }
                None => out.push('%'),
            },
            Kind::Forbidden => return Err(Unnormal),
        }
        at += 1;
    }
    Ok((out != path).then_some(out))
}

/// What becomes of a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stays,
    Backslash,
    Percent,
    Escaped,
    Forbidden,
}

const KIND: [Kind; 256] = {
    let mut kinds = [Kind::Stays; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            0 => Kind::Forbidden,
            b'\\' => Kind::Backslash,
            b'%' => Kind::Percent,
            b'"' | b'#' | b'<' | b'>' | b'?' | b'^' | b'`' | b'{' | b'|' | b'}' => Kind::Escaped,
            1..=b' ' | 0x7f.. => Kind::Escaped,
            _ => Kind::Stays,
        };
        byte += 1;
    }
    kinds
};

fn escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        out.push(char::from(DIGITS[usize::from(digit)]));
    }
}

/// The byte that the escape at the start of `bytes` stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Source: RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// How many bytes the dot at the start takes, escaped or not.
fn dot(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'.', ..] => Some(1),
        [b'%', b'2', b'e' | b'E', ..] => Some(3),
        _ => None,
    }
}

/// What a segment that begins with a dot is, with the bytes that it takes, its slash included.
enum Segment {
    Same(usize),
    Up(usize),
    Name,
}

fn segment(bytes: &[u8], dot_length: usize) -> Segment {
    let end_at = |at: usize| match bytes.get(at) {
        None => Some(at),
        Some(b'/' | b'\\') => Some(at + 1),
        Some(_) => None,
    };
    if let Some(end) = end_at(dot_length) {
        return Segment::Same(end);
    }
    let second = dot(&bytes[dot_length..]).map(|length| dot_length + length);
    match second.and_then(end_at) {
        Some(end) => Segment::Up(end),
        None => Segment::Name,
    }
}

/// Takes the last segment from a path that ends with a slash; above the first there is none.
fn go_up(out: &mut String) {
    if out.len() > 1 {
        let above = out[..out.len() - 1].rfind('/').unwrap_or(0);
        out.truncate(above + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(escaped_slashes: EscapedSlashes, normalizes: bool, merges_slashes: bool) -> PathRules {
        PathRules {
            escaped_slashes,
            normalizes,
            merges_slashes,
        }
    }

    fn with(rules: PathRules, path: &str) -> String {
        match normalize(rules, path) {
            Ok(None) => path.to_owned(),
            Ok(Some(normal)) => normal.path,
            Err(Unnormal) => "400".to_owned(),
        }
    }

    /// What 1.40.0 made of each: normalized, merged, both, and both after unescaping.
    #[test]
    fn paths_have_the_form_that_envoy_gives_them() {
        use EscapedSlashes::{Forward, Keep};
        let all = [
            rules(Keep, true, false),
            rules(Keep, false, true),
            rules(Keep, true, true),
            rules(Forward, true, true),
        ];
        for (path, want) in [
            ("/a/../b", ["/b", "/a/../b", "/b", "/b"]),
            ("/a/./b/", ["/a/b/", "/a/./b/", "/a/b/", "/a/b/"]),
            ("/..", ["/", "/..", "/", "/"]),
            ("/a/..", ["/", "/a/..", "/", "/"]),
            ("/a/%2e%2e/b", ["/b", "/a/%2e%2e/b", "/b", "/b"]),
            ("/a%2Fb", ["/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"]),
            ("/a\\b", ["/a/b", "/a\\b", "/a/b", "/a/b"]),
            (
                "/a//b///c?x=//y",
                [
                    "/a//b///c?x=//y",
                    "/a/b/c?x=//y",
                    "/a/b/c?x=//y",
                    "/a/b/c?x=//y",
                ],
            ),
            ("//a", ["//a", "/a", "/a", "/a"]),
            ("//", ["//", "//", "//", "//"]),
            ("/%41%7e%zz", ["/A~%zz", "/%41%7e%zz", "/A~%zz", "/A~%zz"]),
            ("/a;p=1/../c", ["/c", "/a;p=1/../c", "/c", "/c"]),
            ("/%00", ["400", "/%00", "400", "400"]),
            ("/a/%2e", ["/a/", "/a/%2e", "/a/", "/a/"]),
            ("/a/.%2e/x", ["/x", "/a/.%2e/x", "/x", "/x"]),
            ("/a?b=/../c", ["/a?b=/../c"; 4]),
            ("/%e4%b8%ad", ["/%e4%b8%ad"; 4]),
            (
                "/a|b\"<>^`{}",
                [
                    "/a%7Cb%22%3C%3E%5E%60%7B%7D",
                    "/a|b\"<>^`{}",
                    "/a%7Cb%22%3C%3E%5E%60%7B%7D",
                    "/a%7Cb%22%3C%3E%5E%60%7B%7D",
                ],
            ),
            ("/AbC%2dx", ["/AbC-x", "/AbC%2dx", "/AbC-x", "/AbC-x"]),
            ("/a/b/..//c", ["/a//c", "/a/b/../c", "/a/c", "/a/c"]),
            ("/../../x", ["/x", "/../../x", "/x", "/x"]),
            ("/a%", ["/a%"; 4]),
            ("/a%2", ["/a%2"; 4]),
            ("/a/...", ["/a/..."; 4]),
            ("/.a/b", ["/.a/b"; 4]),
            ("/a/.", ["/a/", "/a/.", "/a/", "/a/"]),
            ("/a%20b%21%2a", ["/a%20b%21%2a"; 4]),
            ("/a/%2e%2fb", ["/a/.%2fb", "/a/%2e%2fb", "/a/.%2fb", "/a/b"]),
            ("/a%255cb", ["/a%255cb"; 4]),
            (
                "/%2F..%2Fb",
                ["/%2F..%2Fb", "/%2F..%2Fb", "/%2F..%2Fb", "/b"],
            ),
            (
                "/a%2F%2e%2e%2Fb",
                ["/a%2F..%2Fb", "/a%2F%2e%2e%2Fb", "/a%2F..%2Fb", "/b"],
            ),
            ("/!$&'()*+,;=:@-._~", ["/!$&'()*+,;=:@-._~"; 4]),
            ("/[x]", ["/[x]"; 4]),
            (
                "/a%2F?q=%2F",
                ["/a%2F?q=%2F", "/a%2F?q=%2F", "/a%2F?q=%2F", "/a/?q=%2F"],
            ),
        ] {
            assert_eq!(all.map(|rules| with(rules, path)), want, "{path:?}");
        }
    }

    /// What 1.40.0 made of each.
    #[test]
    fn slashes_are_unescaped_where_they_are_looked_for() {
        let unescaping = rules(EscapedSlashes::Forward, false, false);
        for (path, want) in [
            ("/a%2fb/%5c%5C", Some("/a/b/\\\\")),
            ("/%2F..%2Fb", Some("//../b")),
            ("/a/%2e%2fb", Some("/a/%2e/b")),
            ("/a%2F?q=%2F", Some("/a/?q=%2F")),
            ("/a%2Gb%2", None),
            ("/a%255cb", None),
            ("/a/../b", None),
        ] {
            let want = want.map(|path| Normal {
                path: path.to_owned(),
                unescaped: true,
            });
            assert_eq!(normalize(unescaping, path), Ok(want), "{path:?}");
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn a_normal_path_is_its_own_normal_form(path in "/[a/.%2eE\\\\{z0-9]{0,24}") {
                let rules = rules(EscapedSlashes::Keep, true, true);
                let once = with(rules, &path);
                prop_assume!(once != "400" && !once.bytes().all(|b| b == b'/'));
                let has_dots = once.split('/').any(|segment| matches!(segment, "." | ".."));
                prop_assert!(!has_dots, "{path} became {once}");
                prop_assert!(!once.trim_end_matches('/').contains("//"), "{path} became {once}");
                // an escape may come to light by the unescaping of another, and is one more only then
                if !once.contains('%') {
                    prop_assert_eq!(with(rules, &once), once);
                }
            }
        }
    }
}
