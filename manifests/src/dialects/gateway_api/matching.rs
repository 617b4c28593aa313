//! When a rule takes a request, and which of several does.

use std::cmp::Reverse;

use proxy_core::config::{Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, TextMatch};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::gateway_api::types::{GrpcMatch, GrpcMethod, HttpMatch, NamedCondition, text};
use crate::text::{Span, Spanned};

/// What decides between rules that take one request, the greatest first; age, name and place in the list decide after it.
///
/// Source: `HTTPRouteRule.matches`, `GRPCRouteRule.matches`. Regular expressions, of which the API leaves it open, stand between exact paths and
/// prefixes, longer ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    path: (Reverse<PathKind>, Reverse<usize>),
    has_no_method: bool,
    headers: Reverse<usize>,
    params: Reverse<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum PathKind {
    Prefix,
    Regex,
    Exact,
}

/// A condition and its rank.
pub(super) type Ranked = (Rank, RouteMatch);

/// The conditions of a rule for requests; one with a pattern that does not compile takes nothing.
pub(super) fn of_http(matches: &[HttpMatch], out: &mut Diagnostics) -> Vec<Ranked> {
    if matches.is_empty() {
        return http(&HttpMatch::default(), out).into_iter().collect();
    }
    matches.iter().filter_map(|one| http(one, out)).collect()
}

/// The conditions of a rule for calls.
pub(super) fn of_grpc(matches: &[GrpcMatch], out: &mut Diagnostics) -> Vec<Ranked> {
    if matches.is_empty() {
        return grpc(&GrpcMatch::default(), out).into_iter().collect();
    }
    matches.iter().filter_map(|one| grpc(one, out)).collect()
}

fn http(one: &HttpMatch, out: &mut Diagnostics) -> Option<Ranked> {
    let written = one.path.as_ref();
    let value = written.and_then(|path| path.value.as_ref());
    let path = value.map_or("/", |value| value.value.as_str());
    let span = value.map_or(Span::NOWHERE, |value| value.span);
    let kind = written.and_then(|path| path.r#type.as_ref());
    let (matches, kind) = match kind.map_or("PathPrefix", |kind| kind.value.as_str()) {
        "Exact" => (PathMatch::Exact(path.into()), PathKind::Exact),
        "PathPrefix" => (PathMatch::segments(path), PathKind::Prefix),
        "RegularExpression" => (
            compiled(PathMatch::regex(path), span, out)?,
            PathKind::Regex,
        ),
        other => {
            let span = kind.map_or(Span::NOWHERE, |kind| kind.span);
            unknown_type(other, span, out);
            return None;
        }
    };
    let headers = headers(&one.headers, out)?;
    let params = params(&one.query_params, out)?;
    let rank = Rank {
        path: (Reverse(kind), Reverse(path.len())),
        has_no_method: one.method.is_none(),
        headers: Reverse(headers.len()),
        params: Reverse(params.len()),
    };
    let matches = RouteMatch {
        methods: one
            .method
            .iter()
            .map(|method| method.as_str().into())
            .collect(),
        headers,
        params,
        ..RouteMatch::path(matches)
    };
    Some((rank, matches))
}

fn grpc(one: &GrpcMatch, out: &mut Diagnostics) -> Option<Ranked> {
    let (path, kind, length) = match &one.method {
        None => (PathMatch::Prefix("/".into()), PathKind::Prefix, 1),
        Some(method) => call(method, out)?,
    };
    let headers = headers(&one.headers, out)?;
    let rank = Rank {
        path: (Reverse(kind), Reverse(length)),
        has_no_method: true,
        headers: Reverse(headers.len()),
        params: Reverse(0),
    };
    let matches = RouteMatch {
        headers,
        grpc: true,
        ..RouteMatch::path(path)
    };
    Some((rank, matches))
}

/// The path of a call: `/package.Service/Method`.
fn call(method: &GrpcMethod, out: &mut Diagnostics) -> Option<(PathMatch, PathKind, usize)> {
    let written = |value: &Option<Spanned<String>>| {
        text(value)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let (service, name) = (written(&method.service), written(&method.method));
    let kind = method.r#type.as_ref();
    match kind.map_or("Exact", |kind| kind.value.as_str()) {
        "Exact" => Some(match (service, name) {
            (Some(service), Some(name)) => {
                let path = format!("/{service}/{name}");
                let length = path.len();
                (PathMatch::Exact(path.into()), PathKind::Exact, length)
            }
            (Some(service), None) => {
                let path = format!("/{service}/");
                let length = path.len();
                (PathMatch::Prefix(path.into()), PathKind::Prefix, length)
            }
            (None, Some(name)) => {
                let length = name.len();
                let pattern = format!("/[^/]+/{}", regex::escape(&name));
                let path = PathMatch::regex(&pattern).ok()?;
                // less than any service that is named
                (path, PathKind::Prefix, length.min(1))
            }
            (None, None) => (PathMatch::Prefix("/".into()), PathKind::Prefix, 1),
        }),
        "RegularExpression" => {
            let span = [&method.service, &method.method];
            let span = span.into_iter().flatten().next();
            let span = span.map_or(Span::NOWHERE, |value| value.span);
            let length = [&service, &name]
                .into_iter()
                .flatten()
                .map(String::len)
                .sum();
            let service = service.unwrap_or_else(|| "[^/]+".to_owned());
            let name = name.unwrap_or_else(|| "[^/]+".to_owned());
            let pattern = format!("/(?:{service})/(?:{name})");
            let path = compiled(PathMatch::regex(&pattern), span, out)?;
            Some((path, PathKind::Regex, length))
        }
        other => {
            unknown_type(other, kind.map_or(Span::NOWHERE, |kind| kind.span), out);
            None
        }
    }
}

/// Of a header that is named twice the first condition counts.
fn headers(conditions: &[NamedCondition], out: &mut Diagnostics) -> Option<Vec<HeaderMatch>> {
    let mut found: Vec<HeaderMatch> = Vec::new();
    for one in conditions {
        let name: Box<str> = one.name.to_ascii_lowercase().into();
        let value = value(one, out)?;
        if found.iter().all(|it| it.name != name) {
            found.push(HeaderMatch {
                name,
                value,
                invert: false,
                ignore_case: false,
                absent: Absent::Unequal,
            });
        }
    }
    Some(found)
}

/// Of a parameter that is named twice the first condition counts.
fn params(conditions: &[NamedCondition], out: &mut Diagnostics) -> Option<Vec<ParamMatch>> {
    let mut found: Vec<ParamMatch> = Vec::new();
    for one in conditions {
        let value = value(one, out)?;
        if found.iter().all(|it| *it.name != *one.name.value) {
            found.push(ParamMatch {
                name: one.name.as_str().into(),
                value,
                invert: false,
            });
        }
    }
    Some(found)
}

fn value(one: &NamedCondition, out: &mut Diagnostics) -> Option<TextMatch> {
    let kind = one.r#type.as_ref();
    match kind.map_or("Exact", |kind| kind.value.as_str()) {
        "Exact" => Some(TextMatch::Exact(one.value.as_str().into())),
        "RegularExpression" => compiled(TextMatch::regex(&one.value), one.value.span, out),
        other => {
            unknown_type(other, kind.map_or(Span::NOWHERE, |kind| kind.span), out);
            None
        }
    }
}

fn unknown_type(kind: &str, span: Span, out: &mut Diagnostics) {
    out.push(
        Diagnostic::error(
            "gateway-api::match-type",
            format!("nothing is compared as `{kind}`"),
        )
        .label(span, "this type")
        .help("write `Exact` or `RegularExpression`, for paths `PathPrefix`, too"),
    );
}

fn compiled<T>(pattern: Result<T, regex::Error>, span: Span, out: &mut Diagnostics) -> Option<T> {
    match pattern {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            out.push(
                Diagnostic::error("gateway-api::bad-regex", error.to_string())
                    .label(span, "this pattern"),
            );
            None
        }
    }
}
