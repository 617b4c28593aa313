//! Conditions of routes in the words that the Gateway API and its kin have: exact, by segments, by pattern.

use std::borrow::Cow;

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};
use regex::Regex;

/// A condition that is one of three kinds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plain {
    /// The path.
    pub(crate) path: PlainPath,
    /// Methods, any of them; empty: all.
    pub(crate) methods: Vec<String>,
    /// Headers by lower-case name, each once.
    pub(crate) headers: Vec<(String, PlainText)>,
    /// Query parameters, each once.
    pub(crate) params: Vec<(String, PlainText)>,
    /// How it takes others than the original did.
    pub(crate) departs: Vec<Departs>,
}

/// How a prefix by segments takes others than one by bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Departs {
    /// Paths that go on in the segment that this one ends in are not taken.
    Within(String),
    /// This path is taken, which had to go on after its slash.
    Without(String),
}

impl Departs {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Within(path) => {
                format!(
                    "paths that begin with `{path}` and go on in the same segment are not taken"
                )
            }
            Self::Without(path) => format!("`{path}` without its slash is taken, too"),
        }
    }
}

/// A path condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PlainPath {
    /// Equal.
    Exact(String),
    /// Begins with these segments; `/` is any path.
    Segments(String),
    /// The whole path matches (RE2).
    Regex(String),
}

/// A text condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PlainText {
    /// Equal.
    Exact(String),
    /// The whole text matches (RE2).
    Regex(String),
    /// It is not there; of headers alone, and no word of the Gateway API's.
    Absent,
}

/// The pattern of a whole match, or of one from the start, as somebody wrote it.
pub(crate) fn pattern(regex: &Regex) -> &str {
    let text = regex.as_str();
    let inner = text.strip_prefix("^(?:");
    let inner = inner.map(|it| {
        it.strip_suffix(")$")
            .or_else(|| it.strip_suffix(')'))
            .unwrap_or(it)
    });
    inner.unwrap_or(text)
}

/// A path condition without a pattern where the pattern is plain text: `^/cart$` is the path `/cart`.
pub(crate) fn simple(path: &PathMatch) -> Cow<'_, PathMatch> {
    let found = match path {
        PathMatch::Regex(regex) => {
            literal(pattern(regex)).map(|text| PathMatch::Exact(text.into()))
        }
        PathMatch::RegexStart(regex) => {
            let text = pattern(regex);
            match text.strip_suffix('$') {
                Some(whole) if !whole.ends_with('\\') => {
                    literal(whole).map(|text| PathMatch::Exact(text.into()))
                }
                Some(_) | None => literal(text).map(|text| PathMatch::Prefix(text.into())),
            }
        }
        PathMatch::Exact(_)
        | PathMatch::Prefix(_)
        | PathMatch::Segments(_)
        | PathMatch::Connect => None,
    };
    found.map_or(Cow::Borrowed(path), Cow::Owned)
}

/// The one text that a pattern matches, if it is plain.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next()?;
                if escaped.is_alphanumeric() {
                    return None;
                }
                text.push(escaped);
            }
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => {
                return None;
            }
            c => text.push(c),
        }
    }
    Some(text)
}

/// What a condition comes to; an error says in words what of it cannot be said.
pub(crate) fn plain(matches: &RouteMatch) -> Result<Plain, String> {
    if matches.fraction.is_some() {
        return Err("a share of the requests that match".to_owned());
    }
    let mut departs = Vec::new();
    let path = path(matches, &mut departs)?;
    let mut methods: Vec<String> = matches.methods.iter().map(ToString::to_string).collect();
    let mut headers: Vec<(String, PlainText)> = Vec::new();
    for header in &matches.headers {
        if *header.name == *":method" {
            let own =
                self::methods(header).ok_or_else(|| format!("a method that {}", words(header)))?;
            methods = match methods.is_empty() {
                true => own,
                false => methods.into_iter().filter(|it| own.contains(it)).collect(),
            };
            if methods.is_empty() {
                return Err("methods of which none can be".to_owned());
            }
            continue;
        }
        if header.name.starts_with(':') {
            return Err(format!("a condition on `{}`", header.name));
        }
        let text = self::header(header)?;
        if headers.iter().any(|(name, _)| **name == *header.name) {
            return Err(format!("two conditions on the header `{}`", header.name));
        }
        headers.push((header.name.to_string(), text));
    }
    if matches.grpc {
        let kind = PlainText::Regex(r"application/grpc(?:\+.*)?".to_owned());
        headers.push(("content-type".to_owned(), kind));
    }
    let mut params: Vec<(String, PlainText)> = Vec::new();
    for param in &matches.params {
        let text = self::param(param)?;
        if params.iter().any(|(name, _)| **name == *param.name) {
            return Err(format!("two conditions on the parameter `{}`", param.name));
        }
        params.push((param.name.to_string(), text));
    }
    Ok(Plain {
        path,
        methods,
        headers,
        params,
        departs,
    })
}

fn path(matches: &RouteMatch, departs: &mut Vec<Departs>) -> Result<PlainPath, String> {
    let ignore = matches.ignore_case;
    Ok(match &*simple(&matches.path) {
        PathMatch::Prefix(path) if matches!(&**path, "" | "/") => PlainPath::Segments("/".into()),
        PathMatch::Segments(path) if path.is_empty() => PlainPath::Segments("/".into()),
        PathMatch::Exact(path) if ignore => {
            PlainPath::Regex(format!("(?i:{})", regex::escape(path)))
        }
        PathMatch::Exact(path) => PlainPath::Exact(path.to_string()),
        PathMatch::Segments(path) if ignore => {
            PlainPath::Regex(format!("(?i:{})(?:/.*)?", regex::escape(path)))
        }
        PathMatch::Segments(path) => PlainPath::Segments(path.to_string()),
        PathMatch::Prefix(path) if ignore || !path.starts_with('/') => {
            let flag = if ignore { "i" } else { "" };
            PlainPath::Regex(format!("(?{flag}:{}).*", regex::escape(path)))
        }
        PathMatch::Prefix(path) => {
            let segments = path.trim_end_matches('/');
            departs.push(match segments.len() == path.len() {
                true => Departs::Within(path.to_string()),
                false => Departs::Without(segments.to_owned()),
            });
            PlainPath::Segments(if segments.is_empty() {
                "/".to_owned()
            } else {
                segments.to_owned()
            })
        }
        PathMatch::Regex(regex) => PlainPath::Regex(pattern(regex).to_owned()),
        PathMatch::RegexStart(regex) => PlainPath::Regex(format!("(?:{}).*", pattern(regex))),
        PathMatch::Connect => return Err("CONNECT".to_owned()),
    })
}

/// The methods that a condition on `:method` takes.
pub(crate) fn methods(header: &HeaderMatch) -> Option<Vec<String>> {
    let is_method = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    if header.invert {
        return None;
    }
    match &header.value {
        TextMatch::Exact(method) => Some(vec![method.to_string()]),
        TextMatch::Regex(regex) => {
            let text = pattern(regex);
            let text = text
                .strip_prefix("(?:")
                .and_then(|it| it.strip_suffix(')'))
                .unwrap_or(text);
            let text = text
                .strip_prefix('(')
                .and_then(|it| it.strip_suffix(')'))
                .unwrap_or(text);
            let all: Vec<String> = text.split('|').map(str::to_owned).collect();
            all.iter().all(|it| is_method(it)).then_some(all)
        }
        TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present => None,
    }
}

fn header(header: &HeaderMatch) -> Result<PlainText, String> {
    let unsaid = || format!("a header `{}` that {}", header.name, words(header));
    if header.invert && matches!(header.value, TextMatch::Present) {
        return Ok(PlainText::Absent);
    }
    if header.invert || (header.absent == Absent::Empty && header.value.matches("")) {
        return Err(unsaid());
    }
    text(&header.value, header.ignore_case).ok_or_else(unsaid)
}

fn param(param: &ParamMatch) -> Result<PlainText, String> {
    let unsaid = || format!("a query parameter `{}` that is compared so", param.name);
    if param.invert {
        return Err(unsaid());
    }
    text(&param.value, false).ok_or_else(unsaid)
}

/// How a text is compared, as a whole match; none: by no pattern.
pub(crate) fn text(value: &TextMatch, ignore_case: bool) -> Option<PlainText> {
    let of = |pattern: String| {
        PlainText::Regex(match ignore_case {
            true => format!("(?i:{pattern})"),
            false => pattern,
        })
    };
    Some(match value {
        TextMatch::Exact(text) if ignore_case => of(regex::escape(text)),
        TextMatch::Exact(text) => PlainText::Exact(text.to_string()),
        TextMatch::Prefix(text) => of(format!("{}.*", regex::escape(text))),
        TextMatch::Suffix(text) => of(format!(".*{}", regex::escape(text))),
        TextMatch::Contains(text) => of(format!(".*{}.*", regex::escape(text))),
        TextMatch::Regex(regex) => of(pattern(regex).to_owned()),
        TextMatch::Present => PlainText::Regex(".*".to_owned()),
        TextMatch::Range(..) | TextMatch::Address(_) => return None,
    })
}

/// A condition in words: ``must not be `a` ``.
pub(crate) fn words(header: &HeaderMatch) -> String {
    let not = if header.invert { "must not" } else { "must" };
    match &header.value {
        TextMatch::Exact(text) => format!("{not} be `{text}`"),
        TextMatch::Prefix(text) => format!("{not} begin with `{text}`"),
        TextMatch::Suffix(text) => format!("{not} end with `{text}`"),
        TextMatch::Contains(text) => format!("{not} contain `{text}`"),
        TextMatch::Regex(regex) => format!("{not} match `{}`", pattern(regex)),
        TextMatch::Range(from, below) => format!("{not} be a number from {from} to below {below}"),
        TextMatch::Address(_) => format!("{not} be an address of a block"),
        TextMatch::Present => format!("{not} be there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &str, value: TextMatch, invert: bool) -> HeaderMatch {
        HeaderMatch {
            name: name.into(),
            value,
            invert,
            ignore_case: false,
            absent: Absent::Unequal,
        }
    }

    #[test]
    fn methods_are_found_wherever_a_system_puts_them() {
        let exact = condition(":method", TextMatch::Exact("GET".into()), false);
        let several = TextMatch::regex("GET|POST").unwrap();
        let several = condition(":method", several, false);
        assert_eq!(methods(&exact), Some(vec!["GET".to_owned()]));
        assert_eq!(
            methods(&several),
            Some(vec!["GET".to_owned(), "POST".to_owned()])
        );
        let other = condition(":method", TextMatch::regex("G.*").unwrap(), false);
        assert_eq!(methods(&other), None);
        let not = condition(":method", TextMatch::Exact("GET".into()), true);
        assert_eq!(methods(&not), None);
    }

    #[test]
    fn a_prefix_by_bytes_is_one_by_segments_and_says_so() {
        let of = |path: &str| plain(&RouteMatch::path(PathMatch::Prefix(path.into()))).unwrap();
        assert!(of("/").departs.is_empty());
        assert_eq!(of("/").path, PlainPath::Segments("/".into()));
        assert_eq!(of("/a").departs.len(), 1);
        assert_eq!(of("/a/").path, PlainPath::Segments("/a".into()));
    }

    #[test]
    fn a_pattern_is_written_as_it_was() {
        let whole = PathMatch::regex("/a(b|c)?").unwrap();
        let found = plain(&RouteMatch::path(whole)).unwrap();
        assert_eq!(found.path, PlainPath::Regex("/a(b|c)?".into()));
        let plain_text = PathMatch::regex(r"/a\.b").unwrap();
        let found = plain(&RouteMatch::path(plain_text)).unwrap();
        assert_eq!(found.path, PlainPath::Exact("/a.b".into()));
        let ended = PathMatch::regex_start("/a$").unwrap();
        let found = plain(&RouteMatch::path(ended)).unwrap();
        assert_eq!(found.path, PlainPath::Exact("/a".into()));
        let start = PathMatch::regex_start("/v[0-9]+").unwrap();
        let found = plain(&RouteMatch::path(start)).unwrap();
        assert_eq!(found.path, PlainPath::Regex("(?:/v[0-9]+).*".into()));
    }

    #[test]
    fn what_must_not_be_cannot_be_said() {
        let mut matches = RouteMatch::all();
        matches.headers = vec![condition("x-a", TextMatch::Exact("1".into()), true)];
        let unsaid = plain(&matches).unwrap_err();
        assert_eq!(unsaid, "a header `x-a` that must not be `1`");
    }
}
