//! Whether one request may be taken by either of two conditions, so that their order counts.

use proxy_core::config::{HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};

/// Whether some request may meet both; where that cannot be told it may.
pub(crate) fn may_meet(one: &RouteMatch, other: &RouteMatch) -> bool {
    let apart = methods_apart(&one.methods, &other.methods)
        || paths_apart(one, other)
        || headers_apart(&one.headers, &other.headers)
        || params_apart(&one.params, &other.params);
    !apart
}

fn methods_apart(one: &[Box<str>], other: &[Box<str>]) -> bool {
    !one.is_empty() && !other.is_empty() && one.iter().all(|method| !other.contains(method))
}

/// Whether no path is taken by both. Regular expressions are asked about whole paths alone.
fn paths_apart(one: &RouteMatch, other: &RouteMatch) -> bool {
    use PathMatch::{Connect, Exact, Prefix, Regex, RegexStart, Segments};
    let fold = one.ignore_case || other.ignore_case;
    let text = |text: &str| match fold {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    match (&one.path, &other.path) {
        (Connect, Connect) => false,
        (Connect, _) | (_, Connect) => true,
        (Exact(path), of) | (of, Exact(path)) => !takes(of, &text(path), fold),
        (Prefix(a), Prefix(b)) => {
            let (a, b) = (text(a), text(b));
            !a.starts_with(&b) && !b.starts_with(&a)
        }
        (Segments(a), Segments(b)) => {
            let (a, b) = (text(a), text(b));
            !within(&a, &b) && !within(&b, &a)
        }
        (Prefix(a), Segments(b)) | (Segments(b), Prefix(a)) => {
            let (a, b) = (text(a), text(b));
            !within(&a, &b) && !b.starts_with(&a) && !format!("{b}/").starts_with(&a)
        }
        (Regex(_) | RegexStart(_), _) | (_, Regex(_) | RegexStart(_)) => false,
    }
}

/// Whether a path lies within segments.
fn within(path: &str, segments: &str) -> bool {
    path.strip_prefix(segments)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn takes(of: &PathMatch, path: &str, fold: bool) -> bool {
    let own = |text: &str| match fold {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    match of {
        PathMatch::Exact(text) => own(text) == path,
        PathMatch::Prefix(text) => path.starts_with(&own(text)),
        PathMatch::Segments(text) => within(path, &own(text)),
        // of letters whose case does not count nothing is told apart
        PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => fold || regex.is_match(path),
        PathMatch::Connect => false,
    }
}

/// Whether both ask for one header, and for different values of it.
fn headers_apart(one: &[HeaderMatch], other: &[HeaderMatch]) -> bool {
    let exact = |it: &HeaderMatch| match &it.value {
        TextMatch::Exact(text) if !it.ignore_case => Some(text.clone()),
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present => None,
    };
    one.iter().any(|a| {
        other.iter().filter(|b| a.name == b.name).any(|b| {
            match (exact(a), exact(b)) {
                // a header may have both values, a pseudo header has one
                (Some(a_text), Some(b_text)) if a.name.starts_with(':') => {
                    !a.invert && !b.invert && a_text != b_text
                }
                (Some(a_text), Some(b_text)) => a.invert != b.invert && a_text == b_text,
                (Some(_), None) | (None, Some(_)) | (None, None) => false,
            }
        })
    })
}

/// Of a parameter the first value counts, so that two values are apart.
fn params_apart(one: &[ParamMatch], other: &[ParamMatch]) -> bool {
    let exact = |it: &ParamMatch| match &it.value {
        TextMatch::Exact(text) => Some(text.clone()),
        TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present => None,
    };
    one.iter().any(|a| {
        other
            .iter()
            .filter(|b| a.name == b.name)
            .any(|b| match (exact(a), exact(b)) {
                (Some(a_text), Some(b_text)) => match (a.invert, b.invert) {
                    (false, false) => a_text != b_text,
                    (true, false) | (false, true) => a_text == b_text,
                    (true, true) => false,
                },
                (Some(_), None) | (None, Some(_)) | (None, None) => false,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_core::config::Absent;

    fn path(path: PathMatch) -> RouteMatch {
        RouteMatch::path(path)
    }

    fn header(name: &str, value: &str) -> RouteMatch {
        let mut all = RouteMatch::all();
        all.headers.push(HeaderMatch {
            name: name.into(),
            value: TextMatch::Exact(value.into()),
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        });
        all
    }

    #[test]
    fn paths_meet_where_one_lies_in_the_other() {
        let exact = |text: &str| path(PathMatch::Exact(text.into()));
        let prefix = |text: &str| path(PathMatch::Prefix(text.into()));
        let segments = |text: &str| path(PathMatch::segments(text));
        let regex = |text: &str| path(PathMatch::regex(text).expect("valid"));
        let rows = [
            (exact("/a"), exact("/a"), true),
            (exact("/a"), exact("/b"), false),
            (exact("/a/b"), segments("/a"), true),
            (exact("/ab"), segments("/a"), false),
            (exact("/ab"), prefix("/a"), true),
            (segments("/a"), segments("/a/b"), true),
            (segments("/a"), segments("/ab"), false),
            (segments("/"), segments("/ab"), true),
            (prefix("/a"), segments("/ab"), true),
            (prefix("/a/"), segments("/a"), true),
            (prefix("/b"), segments("/a"), false),
            (prefix("/a"), prefix("/ab"), true),
            (prefix("/a"), prefix("/b"), false),
            (exact("/v1"), regex("/v[0-9]"), true),
            (exact("/w1"), regex("/v[0-9]"), false),
            (regex("/a.*"), segments("/b"), true),
            (path(PathMatch::Connect), segments("/"), false),
        ];
        for (one, other, expected) in rows {
            assert_eq!(may_meet(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(may_meet(&other, &one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn methods_pseudo_headers_and_parameters_have_one_value_and_headers_may_have_two() {
        let method = |method: &str| RouteMatch {
            methods: vec![method.into()],
            ..RouteMatch::all()
        };
        assert!(!may_meet(&method("GET"), &method("PUT")));
        assert!(may_meet(&method("GET"), &RouteMatch::all()));
        assert!(may_meet(&header("x-user", "a"), &header("x-user", "b")));
        assert!(!may_meet(
            &header(":authority", "a"),
            &header(":authority", "b")
        ));
        let param = |value: &str| {
            let mut all = RouteMatch::all();
            all.params.push(ParamMatch {
                name: "v".into(),
                value: TextMatch::Exact(value.into()),
                invert: false,
            });
            all
        };
        assert!(!may_meet(&param("1"), &param("2")));
        assert!(may_meet(&param("1"), &param("1")));
    }
}
