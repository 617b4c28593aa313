//! What a rule does besides sending on: redirects, rewrites, edits of heads, failures, pages of other origins.

use compare::Area;
use proxy_core::config::{
    Cors, CorsList, Fault, Forward, HostRewrite, PathMatch, PathRedirect, PathRewrite, Redirect,
    Share, TextMatch,
};
use proxy_core::heads::HeaderOp;

use super::rules::Unsaid;
use crate::targets::common::duration::whole;
use crate::targets::common::edits::{Edits, Order};
use crate::targets::common::groups::is_any;
use crate::targets::common::matching::{pattern, simple};
use crate::yaml::Map;

pub(super) fn percent(share: Share) -> Map {
    Map::new().with("value", share.as_fraction() * 100.0)
}

pub(super) fn headers(request: &[HeaderOp], response: &[HeaderOp], unsaid: &mut Unsaid) -> Map {
    let mut of = |edits: &[HeaderOp], whose: &str| {
        let sorted = Edits::of(edits, Order::RemoveFirst);
        for what in &sorted.unsaid {
            unsaid.push((Area::Headers, format!("in {whose}, {what}"), String::new()));
        }
        sorted.as_maps()
    };
    let (request, response) = (of(request, "requests"), of(response, "answers"));
    Map::new().map("request", request).map("response", response)
}

pub(super) fn redirect(to: &Redirect, unsaid: &mut Unsaid) -> Map {
    let mut lose = |what: &str| unsaid.push((Area::Redirect, what.to_owned(), String::new()));
    if to.strip_query {
        lose("the query is dropped");
    }
    let path = match &to.path {
        None => None,
        Some(PathRedirect::Full(path)) => Some(&**path),
        Some(PathRedirect::Prefix(_) | PathRedirect::JoinedPrefix(_)) => {
            lose("what matched of the path is replaced, and the rest kept");
            None
        }
        Some(PathRedirect::Regex(..) | PathRedirect::Url(..)) => {
            lose("the place is made from the old one by a pattern");
            None
        }
    };
    Map::new()
        .maybe("scheme", to.scheme.as_deref())
        .maybe("authority", to.host.as_deref())
        .maybe("port", to.port)
        .maybe("uri", path)
        .maybe("redirectCode", (to.status != 301).then_some(to.status))
}

/// What becomes of path and authority. What is put in the place of a match is put there byte by byte, so that below a path by segments it ends
/// with a slash, too.
pub(super) fn rewrite(
    forward: &Forward,
    matched: &PathMatch,
    below: bool,
    unsaid: &mut Unsaid,
) -> Map {
    let mut map = Map::new();
    let mut lose = |what: String| unsaid.push((Area::Rewrite, what, String::new()));
    match &forward.rewrite {
        None => {}
        Some(PathRewrite::Full(to)) => {
            let regex = Map::new()
                .with("match", "^.*$")
                .with("rewrite", to.replace('\\', "\\\\"));
            map.set("uriRegexRewrite", regex);
        }
        Some(PathRewrite::Prefix(to)) if below => map.set("uri", format!("{to}/")),
        Some(PathRewrite::Prefix(to)) => map.set("uri", &**to),
        Some(PathRewrite::JoinedPrefix(to)) => match &*simple(matched) {
            PathMatch::Segments(_) if is_any(matched) => {
                map.set("uri", format!("{}/", to.trim_end_matches('/')));
            }
            PathMatch::Segments(_) if below => {
                map.set("uri", format!("{}/", to.trim_end_matches('/')));
            }
            PathMatch::Segments(_) | PathMatch::Exact(_) => map.set("uri", &**to),
            PathMatch::Prefix(own) if own.ends_with('/') == to.ends_with('/') => {
                map.set("uri", &**to);
            }
            PathMatch::Prefix(own) => {
                lose(format!(
                    "`{own}` becomes `{to}`, with one slash before the rest"
                ));
                map.set("uri", &**to);
            }
            PathMatch::Regex(_) | PathMatch::RegexStart(_) | PathMatch::Connect => {
                lose(format!("what a pattern has matched becomes `{to}`"));
            }
        },
        Some(PathRewrite::Regex(regex, to)) => {
            let regex = Map::new()
                .with("match", regex.as_str())
                .with("rewrite", &**to);
            map.set("uriRegexRewrite", regex);
        }
        Some(PathRewrite::Sequence(_)) => lose("the path changes several times".to_owned()),
    }
    match &forward.host {
        None => {}
        Some(HostRewrite::Literal(host)) => map.set("authority", &**host),
        Some(HostRewrite::Endpoint) => lose("the host becomes that of the endpoint".to_owned()),
        Some(HostRewrite::Header(name)) => {
            lose(format!("the host becomes the value of `{name}`"));
        }
    }
    map
}

pub(super) fn fault(fault: &Fault, unsaid: &mut Unsaid) -> Map {
    let mut lose = |what: &str| unsaid.push((Area::Fault, what.to_owned(), String::new()));
    if !fault.headers.is_empty() {
        lose("failures are injected into some requests alone");
    }
    if fault.max_active.is_some() {
        lose("so many requests at most are under a failure");
    }
    let mut map = Map::new();
    if let Some(delay) = &fault.delay {
        match delay.fixed {
            Some(fixed) => map.set(
                "delay",
                Map::new()
                    .with("fixedDelay", whole(fixed))
                    .with("percentage", percent(delay.share)),
            ),
            None => lose("delays are as a header asks"),
        }
    }
    if let Some(abort) = &fault.abort {
        match (abort.status, abort.grpc) {
            (Some(status), None) => map.set(
                "abort",
                Map::new()
                    .with("httpStatus", status)
                    .with("percentage", percent(abort.share)),
            ),
            (_, Some(_)) => lose("calls are ended with a gRPC status"),
            (None, None) => lose("answers are as a header asks"),
        }
    }
    map
}

pub(super) fn cors(cors: &Cors) -> Map {
    let origin = |text: &TextMatch| match text {
        TextMatch::Exact(text) => Map::new().with("exact", &**text),
        TextMatch::Prefix(text) => Map::new().with("prefix", &**text),
        TextMatch::Regex(regex) => Map::new().with("regex", pattern(regex)),
        TextMatch::Present => Map::new().with("exact", "*"),
        TextMatch::Suffix(text) => Map::new().with("regex", format!(".*{}", regex::escape(text))),
        TextMatch::Contains(text) => {
            Map::new().with("regex", format!(".*{}.*", regex::escape(text)))
        }
        // no origin is a number or an address
        TextMatch::Range(..) | TextMatch::Address(_) => Map::new().with("regex", "^$"),
    };
    let list = |list: &Option<CorsList>| -> Vec<String> {
        match list {
            None => Vec::new(),
            Some(CorsList::Asked) => vec!["*".to_owned()],
            Some(CorsList::Text(text)) => text.split(',').map(|it| it.trim().to_owned()).collect(),
        }
    };
    let expose = cors.expose.as_deref();
    let expose = expose.map(|text| text.split(',').map(|it| it.trim().to_owned()).collect());
    Map::new()
        .list("allowOrigins", cors.origins.iter().map(origin).collect())
        .list("allowMethods", list(&cors.methods))
        .list("allowHeaders", list(&cors.headers))
        .list("exposeHeaders", expose.unwrap_or_default())
        .maybe("maxAge", cors.max_age.as_ref().map(|age| format!("{age}s")))
        .maybe("allowCredentials", cors.credentials.then_some(true))
        .maybe(
            "unmatchedPreflights",
            (!cors.forwards_others).then_some("IGNORE"),
        )
}
