//! What is done to requests and answers, as filters.

use compare::Area;
use proxy_core::config::{
    Cors, CorsList, HostRewrite, PathMatch, PathRedirect, PathRewrite, Redirect, Share, TextMatch,
};
use proxy_core::heads::HeaderOp;

use crate::targets::common::edits::{Edits, Order};
use crate::targets::common::matching::simple;
use crate::yaml::Map;

/// Something that cannot be said, in words.
pub(crate) type Unsaid = Vec<(Area, String)>;

/// Edits of a head as a filter of this kind: `RequestHeaderModifier`.
pub(crate) fn modifier(request: bool, edits: &[HeaderOp], unsaid: &mut Unsaid) -> Option<Map> {
    let sorted = Edits::of(edits, Order::RemoveLast);
    let whose = if request { "requests" } else { "answers" };
    for what in &sorted.unsaid {
        unsaid.push((Area::Headers, format!("in {whose}, {what}")));
    }
    if sorted.is_empty() {
        return None;
    }
    let (kind, field) = match request {
        true => ("RequestHeaderModifier", "requestHeaderModifier"),
        false => ("ResponseHeaderModifier", "responseHeaderModifier"),
    };
    Some(Map::new().with("type", kind).with(field, sorted.as_lists()))
}

/// A redirect as a filter.
pub(crate) fn redirect(redirect: &Redirect, unsaid: &mut Unsaid) -> Map {
    if redirect.strip_query {
        unsaid.push((Area::Redirect, "the query is dropped".to_owned()));
    }
    let path = match &redirect.path {
        None => None,
        Some(PathRedirect::Full(to)) => Some(full(to)),
        Some(PathRedirect::JoinedPrefix(to)) => Some(prefix(to)),
        Some(PathRedirect::Prefix(to)) => {
            unsaid.push((
                Area::Redirect,
                format!("`{to}` is put before the rest of the path byte by byte"),
            ));
            Some(prefix(to))
        }
        Some(PathRedirect::Regex(..) | PathRedirect::Url(..)) => {
            unsaid.push((
                Area::Redirect,
                "the place is made from the old one by a pattern".to_owned(),
            ));
            None
        }
    };
    let settings = Map::new()
        .maybe("scheme", redirect.scheme.as_deref())
        .maybe("hostname", redirect.host.as_deref())
        .maybe("path", path)
        .maybe("port", redirect.port)
        .with("statusCode", redirect.status);
    Map::new()
        .with("type", "RequestRedirect")
        .with("requestRedirect", settings)
}

fn full(to: &str) -> Map {
    Map::new()
        .with("type", "ReplaceFullPath")
        .with("replaceFullPath", to)
}

fn prefix(to: &str) -> Map {
    Map::new()
        .with("type", "ReplacePrefixMatch")
        .with("replacePrefixMatch", to)
}

/// A change of path and authority as a filter.
pub(crate) fn rewrite(
    path: Option<&PathRewrite>,
    host: Option<&HostRewrite>,
    matched: &PathMatch,
    unsaid: &mut Unsaid,
) -> Option<Map> {
    let path = path.and_then(|path| path_rewrite(path, matched, unsaid));
    let host = match host {
        None => None,
        Some(HostRewrite::Literal(host)) => Some(&**host),
        Some(HostRewrite::Endpoint) => {
            unsaid.push((
                Area::Rewrite,
                "the host becomes that of the endpoint".to_owned(),
            ));
            None
        }
        Some(HostRewrite::Header(name)) => {
            unsaid.push((
                Area::Rewrite,
                format!("the host becomes the value of `{name}`"),
            ));
            None
        }
    };
    let settings = Map::new().maybe("hostname", host).maybe("path", path);
    (!settings.is_empty()).then(|| {
        Map::new()
            .with("type", "URLRewrite")
            .with("urlRewrite", settings)
    })
}

/// What a prefix is replaced in: only of a path that is matched by segments can its start be.
pub(crate) fn path_rewrite(
    path: &PathRewrite,
    matched: &PathMatch,
    unsaid: &mut Unsaid,
) -> Option<Map> {
    let mut lose = |what: String| {
        unsaid.push((Area::Rewrite, what));
        None
    };
    match (path, &*simple(matched)) {
        (PathRewrite::Full(to), _) => Some(full(to)),
        // what an exact condition has matched is the whole path
        (PathRewrite::Prefix(to) | PathRewrite::JoinedPrefix(to), PathMatch::Exact(_)) => {
            Some(full(to))
        }
        (PathRewrite::JoinedPrefix(to), PathMatch::Segments(_)) => Some(prefix(to)),
        (PathRewrite::JoinedPrefix(to), PathMatch::Prefix(own)) if own.starts_with('/') => {
            Some(prefix(to))
        }
        (PathRewrite::Prefix(to), PathMatch::Prefix(own) | PathMatch::Segments(own)) => {
            if own.ends_with('/') != to.ends_with('/') {
                let _: Option<Map> = lose(format!(
                    "`{own}` becomes `{to}` byte by byte, with a slash more or less"
                ));
            }
            Some(prefix(to))
        }
        (PathRewrite::JoinedPrefix(to) | PathRewrite::Prefix(to), _) => {
            lose(format!("what a pattern has matched becomes `{to}`"))
        }
        (PathRewrite::Regex(regex, to), _) => lose(format!(
            "every match of `{}` in the path becomes `{to}`",
            regex.as_str()
        )),
        (PathRewrite::Sequence(_), _) => lose("the path changes several times".to_owned()),
    }
}

/// Which pages of other origins may read answers, as a filter.
pub(crate) fn cors(cors: &Cors, unsaid: &mut Unsaid) -> Option<Map> {
    let mut origins: Vec<String> = Vec::new();
    for origin in &cors.origins {
        match origin {
            TextMatch::Exact(text) => origins.push(text.to_string()),
            TextMatch::Present => origins.push("*".to_owned()),
            TextMatch::Regex(regex) if crate::targets::common::matching::pattern(regex) == ".*" => {
                origins.push("*".to_owned());
            }
            TextMatch::Prefix(_)
            | TextMatch::Suffix(_)
            | TextMatch::Contains(_)
            | TextMatch::Regex(_)
            | TextMatch::Range(..)
            | TextMatch::Address(_) => unsaid.push((
                Area::Cors,
                "origins by a pattern may read answers".to_owned(),
            )),
        }
    }
    if !cors.hosts().is_empty() {
        unsaid.push((
            Area::Cors,
            "origins may read answers by a pattern of their host".to_owned(),
        ));
    }
    if origins.is_empty() {
        return None;
    }
    let list = |list: &Option<CorsList>| -> Vec<String> {
        match list {
            None => Vec::new(),
            Some(CorsList::Asked) => vec!["*".to_owned()],
            Some(CorsList::Text(text)) => split(text),
        }
    };
    let age = cors
        .max_age
        .as_ref()
        .and_then(|age| age.parse::<u32>().ok());
    if age.is_none() {
        unsaid.push((
            Area::Cors,
            "preflights are not told for how long they hold".to_owned(),
        ));
    }
    let settings = Map::new()
        .list("allowOrigins", origins)
        .maybe("allowCredentials", cors.credentials.then_some(true))
        .list("allowMethods", list(&cors.methods))
        .list("allowHeaders", list(&cors.headers))
        .list(
            "exposeHeaders",
            cors.expose.as_deref().map(split).unwrap_or_default(),
        )
        .maybe("maxAge", age.filter(|age| *age != 5));
    Some(Map::new().with("type", "CORS").with("cors", settings))
}

fn split(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A share of requests as `percent`, or as `fraction` where it is none.
pub(crate) fn share(share: Share, of: Map) -> Map {
    let ppm = share.as_ppm();
    if share == Share::ALL {
        of
    } else if ppm.is_multiple_of(10_000) {
        of.with("percent", ppm / 10_000)
    } else {
        let fraction = Map::new()
            .with("numerator", ppm)
            .with("denominator", 1_000_000_u32);
        of.with("fraction", fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_where_it_is_one_of_segments() {
        let rewrite = |to: &str, matched: PathMatch| {
            let mut unsaid = Unsaid::new();
            let made = path_rewrite(&PathRewrite::Prefix(to.into()), &matched, &mut unsaid);
            (made.is_some(), unsaid.len())
        };
        let rows = [
            (
                "the same slashes",
                "/b",
                PathMatch::Prefix("/a".into()),
                (true, 0),
            ),
            (
                "a slash less",
                "/",
                PathMatch::Prefix("/a".into()),
                (true, 1),
            ),
            ("both with", "/", PathMatch::Prefix("/a/".into()), (true, 0)),
            ("any path", "/b", PathMatch::Prefix("/".into()), (true, 1)),
            (
                "a whole path",
                "/b",
                PathMatch::Exact("/a".into()),
                (true, 0),
            ),
            (
                "a pattern",
                "/b",
                PathMatch::regex("/a.*").unwrap(),
                (false, 1),
            ),
        ];
        for (name, to, matched, expected) in rows {
            assert_eq!(rewrite(to, matched), expected, "{name}");
        }
    }

    #[test]
    fn shares_that_are_no_per_cent_are_fractions() {
        let of = |ppm| share(Share::from_ppm(ppm), Map::new());
        assert!(of(1_000_000).is_empty());
        assert!(of(250_000).get("percent").is_some());
        assert!(of(333_333).get("fraction").is_some());
    }
}
