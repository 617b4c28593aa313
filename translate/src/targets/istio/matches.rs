//! Conditions of routes.

use proxy_core::config::{Absent, HeaderMatch, PathMatch, RouteMatch, TextMatch};

use crate::targets::common::matching::{PlainText, pattern, simple, text, words};
use crate::yaml::Map;

/// A condition in Istio's words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Written {
    /// What is written; empty: every request.
    pub(super) map: Map,
    /// Of a path by segments the part that goes on after the slash, whose rewrites differ.
    pub(super) below: bool,
}

/// The conditions that a match comes to: one, or two for a path by segments. An error says in words what cannot be said.
pub(super) fn matches(matches: &RouteMatch) -> Result<Vec<Written>, String> {
    if matches.fraction.is_some() {
        return Err("a share of the requests that match".to_owned());
    }
    let mut base = Map::new();
    let (mut headers, mut without) = (Map::new(), Map::new());
    method(matches, &mut base)?;
    for header in &matches.headers {
        match &*header.name {
            ":method" if !header.invert => set_once(&mut base, "method", of(&header.value)?)?,
            ":authority" if !header.invert && !header.ignore_case => {
                set_once(&mut base, "authority", of(&header.value)?)?;
            }
            name if name.starts_with(':') => return Err(format!("a condition on `{name}`")),
            _ => self::header(header, &mut headers, &mut without)?,
        }
    }
    if matches.grpc {
        let kind = Map::new().with("regex", r"application/grpc(?:\+.*)?");
        set_once(&mut headers, "content-type", kind)?;
    }
    let mut params = Map::new();
    for param in &matches.params {
        if param.invert {
            return Err(format!(
                "a query parameter `{}` that must not be so",
                param.name
            ));
        }
        set_once(&mut params, &param.name, of(&param.value)?)?;
    }
    let base = base
        .map("headers", headers)
        .map("withoutHeaders", without)
        .map("queryParams", params);
    let paths = paths(matches)?;
    let all = paths.into_iter().map(|(path, below)| {
        let mut map = Map::new();
        if let Some(path) = path {
            let is_regex = path.get("regex").is_some();
            map.set("uri", path);
            if matches.ignore_case && !is_regex {
                map.set("ignoreUriCase", true);
            }
        }
        for (key, value) in base.iter() {
            map.set(key, value.clone());
        }
        Written { map, below }
    });
    Ok(all.collect())
}

fn set_once(map: &mut Map, key: &str, value: Map) -> Result<(), String> {
    if map.get(key).is_some() {
        return Err(format!("two conditions on `{key}`"));
    }
    map.set(key, value);
    Ok(())
}

fn method(matches: &RouteMatch, base: &mut Map) -> Result<(), String> {
    let methods = &matches.methods;
    let condition = match &methods[..] {
        [] => return Ok(()),
        [only] => Map::new().with("exact", &**only),
        several => Map::new().with("regex", several.join("|")),
    };
    set_once(base, "method", condition)
}

fn paths(matches: &RouteMatch) -> Result<Vec<(Option<Map>, bool)>, String> {
    let one = |kind: &str, text: String| vec![(Some(Map::new().with(kind, text)), false)];
    Ok(match &*simple(&matches.path) {
        PathMatch::Prefix(path) if matches!(&**path, "" | "/") => vec![(None, false)],
        PathMatch::Segments(path) if path.is_empty() => vec![(None, false)],
        PathMatch::Exact(path) => one("exact", path.to_string()),
        PathMatch::Prefix(path) => one("prefix", path.to_string()),
        PathMatch::Segments(path) => vec![
            (Some(Map::new().with("exact", &**path)), false),
            (Some(Map::new().with("prefix", format!("{path}/"))), true),
        ],
        PathMatch::Regex(regex) => one("regex", pattern(regex).to_owned()),
        PathMatch::RegexStart(regex) => one("regex", format!("(?:{}).*", pattern(regex))),
        PathMatch::Connect => return Err("CONNECT".to_owned()),
    })
}

/// A text condition; nothing in it: it is there.
fn of(value: &TextMatch) -> Result<Map, String> {
    Ok(match value {
        TextMatch::Exact(text) => Map::new().with("exact", &**text),
        TextMatch::Prefix(text) => Map::new().with("prefix", &**text),
        TextMatch::Present => Map::new(),
        TextMatch::Regex(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_) => match text(value, false) {
            Some(PlainText::Regex(pattern)) => Map::new().with("regex", pattern),
            Some(PlainText::Exact(text)) => Map::new().with("exact", text),
            Some(PlainText::Absent) | None => {
                return Err("a value that is compared as a number or an address".to_owned());
            }
        },
    })
}

fn header(header: &HeaderMatch, headers: &mut Map, without: &mut Map) -> Result<(), String> {
    let unsaid = || format!("a header `{}` that {}", header.name, words(header));
    if header.absent == Absent::Empty && header.value.matches("") {
        return Err(unsaid());
    }
    let condition = if header.ignore_case {
        match text(&header.value, true) {
            Some(PlainText::Regex(pattern)) => Map::new().with("regex", pattern),
            Some(PlainText::Exact(_) | PlainText::Absent) | None => return Err(unsaid()),
        }
    } else {
        of(&header.value).map_err(|_| unsaid())?
    };
    if !header.invert {
        return set_once(headers, &header.name, condition);
    }
    // Istio has a header that must not be there, or not be so, and takes one that is missing for one that is not so
    if header.absent == Absent::Refused && !matches!(header.value, TextMatch::Present) {
        set_once(headers, &header.name, Map::new())?;
    }
    set_once(without, &header.name, condition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Value;

    fn written(condition: &RouteMatch) -> Vec<String> {
        let all = matches(condition).unwrap();
        all.into_iter()
            .map(|it| Value::from(it.map).to_yaml())
            .collect()
    }

    #[test]
    fn a_path_by_segments_is_itself_and_what_lies_below() {
        let condition = RouteMatch::path(PathMatch::segments("/api"));
        assert_eq!(
            written(&condition),
            ["uri:\n  exact: /api\n", "uri:\n  prefix: /api/\n"]
        );
        assert_eq!(written(&RouteMatch::all()), ["{}\n"]);
    }

    #[test]
    fn a_header_that_must_not_be_so_stands_apart() {
        let mut condition = RouteMatch::all();
        condition.headers = vec![HeaderMatch {
            name: "x-canary".into(),
            value: TextMatch::Exact("yes".into()),
            invert: true,
            ignore_case: false,
            absent: Absent::Unequal,
        }];
        assert_eq!(
            written(&condition),
            ["withoutHeaders:\n  x-canary:\n    exact: \"yes\"\n"]
        );
        condition.headers[0].absent = Absent::Refused;
        assert!(written(&condition)[0].starts_with("headers:\n  x-canary: {}\n"));
    }

    #[test]
    fn several_methods_are_a_pattern() {
        let mut condition = RouteMatch::all();
        condition.methods = vec!["GET".into(), "HEAD".into()];
        assert_eq!(written(&condition), ["method:\n  regex: GET|HEAD\n"]);
        condition.headers = vec![HeaderMatch {
            name: ":method".into(),
            value: TextMatch::Exact("GET".into()),
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        }];
        assert_eq!(
            matches(&condition).unwrap_err(),
            "two conditions on `method`"
        );
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        let mut condition = RouteMatch::all();
        condition.fraction = Some(proxy_core::config::Share::from_percent(5.0));
        assert!(matches(&condition).unwrap_err().contains("a share"));
        let mut condition = RouteMatch::all();
        condition.params = vec![proxy_core::config::ParamMatch {
            name: "a".into(),
            value: TextMatch::Present,
            invert: true,
        }];
        assert!(matches(&condition).is_err());
    }
}
