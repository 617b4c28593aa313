//! Conditions on texts as regular expressions that are looked for in a text, in words that RE2, PCRE and the `regex` crate share.

use proxy_core::config::{PathMatch, TextMatch};
use regex::Regex;

/// Text that stands for itself in a pattern. Only what has a meaning there is escaped, so that names stay readable.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// What a pattern of the core's says, without what anchors it at the start.
fn body<'a>(regex: &'a Regex, end: &str) -> &'a str {
    let text = regex.as_str();
    let inner = text.strip_prefix("^(?:");
    inner.and_then(|it| it.strip_suffix(end)).unwrap_or(text)
}

/// The pattern that the whole of a text has to match, as it was written.
pub(crate) fn whole(regex: &Regex) -> &str {
    body(regex, ")$")
}

/// The pattern that the start of a text has to match, as it was written.
pub(crate) fn start(regex: &Regex) -> &str {
    body(regex, ")")
}

/// A pattern in brackets, where alternatives would otherwise reach beyond it.
pub(crate) fn grouped(pattern: &str) -> String {
    if pattern.contains('|') {
        format!("(?:{pattern})")
    } else {
        pattern.to_owned()
    }
}

/// What is looked for in a text of which the condition holds; none: it is not one of patterns.
pub(crate) fn search(value: &TextMatch, ignore_case: bool) -> Option<String> {
    let found = match value {
        TextMatch::Exact(text) => format!("^{}$", escaped(text)),
        TextMatch::Prefix(text) => format!("^{}", escaped(text)),
        TextMatch::Suffix(text) => format!("{}$", escaped(text)),
        TextMatch::Contains(text) => escaped(text),
        TextMatch::Regex(regex) => format!("^{}$", grouped(whole(regex))),
        TextMatch::Present => ".*".to_owned(),
        TextMatch::Range(..) | TextMatch::Address(_) => return None,
    };
    Some(match ignore_case {
        true => format!("(?i){found}"),
        false => found,
    })
}

/// What is looked for in a path of which the condition holds; none: no path is asked for, since the request is a CONNECT.
pub(crate) fn path(path: &PathMatch, ignore_case: bool) -> Option<String> {
    let fold = if ignore_case { "(?i)" } else { "" };
    Some(match path {
        PathMatch::Exact(text) => format!("{fold}^{}$", escaped(text)),
        PathMatch::Prefix(text) => format!("{fold}^{}", escaped(text)),
        PathMatch::Segments(text) if text.is_empty() => "^/".to_owned(),
        PathMatch::Segments(text) => format!("{fold}^{}(?:/|$)", escaped(text)),
        PathMatch::Regex(regex) => format!("^{}$", grouped(whole(regex))),
        PathMatch::RegexStart(regex) => format!("^{}", grouped(start(regex))),
        PathMatch::Connect => return None,
    })
}

/// A pattern without what anchors it, and without what says that case is of no account.
pub(crate) fn bare(pattern: &str) -> String {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix("(?s:.*)$").unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    let inner = ["(?i:", "(?:"]
        .iter()
        .find_map(|start| pattern.strip_prefix(start));
    let inner = inner.and_then(|it| it.strip_suffix(')')).unwrap_or(pattern);
    inner.strip_prefix("(?i)").unwrap_or(inner).to_owned()
}

/// A replacement with `\1` for a group, with `$1` in its place.
pub(crate) fn dollars(to: &str) -> String {
    let mut out = String::new();
    let mut chars = to.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                chars.next();
                // in braces, so that a digit behind it is none of the group's
                let next = chars.peek().copied();
                let joins = next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                if joins {
                    out.push_str(&format!("${{{digit}}}"));
                } else {
                    out.push('$');
                    out.push(digit);
                }
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_readable_in_patterns() {
        assert_eq!(
            escaped("shop-api.example.com/a_b"),
            r"shop-api\.example\.com/a_b"
        );
        assert_eq!(escaped("a+b(c)"), r"a\+b\(c\)");
    }

    #[test]
    fn texts_are_looked_for_as_their_condition_says() {
        let regex = |text: &str| TextMatch::regex(text).expect("a pattern");
        for (value, fold, expected) in [
            (TextMatch::Exact("a.b".into()), false, Some(r"^a\.b$")),
            (TextMatch::Prefix("a".into()), false, Some("^a")),
            (TextMatch::Suffix("a".into()), true, Some("(?i)a$")),
            (TextMatch::Contains("a".into()), false, Some("a")),
            (regex("a.*"), false, Some("^a.*$")),
            (regex("a|b"), false, Some("^(?:a|b)$")),
            (TextMatch::Present, false, Some(".*")),
            (TextMatch::Range(1, 2), false, None),
        ] {
            assert_eq!(search(&value, fold).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn paths_are_looked_for_as_their_condition_says() {
        let rows = [
            (PathMatch::Exact("/a".into()), false, "^/a$"),
            (PathMatch::Prefix("/a".into()), true, "(?i)^/a"),
            (PathMatch::segments("/a/"), false, "^/a(?:/|$)"),
            (PathMatch::segments("/"), false, "^/"),
            (
                PathMatch::regex("/v[0-9]+/.*").expect("valid"),
                false,
                "^/v[0-9]+/.*$",
            ),
            (
                PathMatch::regex_start("/v1|/v2").expect("valid"),
                false,
                "^(?:/v1|/v2)",
            ),
        ];
        for (condition, fold, expected) in rows {
            assert_eq!(
                path(&condition, fold).as_deref(),
                Some(expected),
                "{condition:?}"
            );
        }
        assert_eq!(path(&PathMatch::Connect, false), None);
    }

    #[test]
    fn groups_are_named_with_dollars() {
        for (to, expected) in [
            (r"/v2/\1", "/v2/$1"),
            (r"/\1a", "/${1}a"),
            (r"/a\\b", r"/a\b"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(dollars(to), expected, "{to}");
        }
    }
}
