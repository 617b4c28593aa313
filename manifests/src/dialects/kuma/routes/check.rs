//! What Kuma's own validation asks of routes.

use proxy_core::config::{PathMatch, TextMatch};

use super::super::notes::{bad_value, ignored};
use super::super::release::Release;
use super::super::types::{
    self, Filter, FilterType, HeaderMatchType, HttpMatch, HttpRuleConf, PathRewriteType, PathType,
    ValueType,
};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Span;

/// Methods that a match may ask for.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// What Kuma's own validation asks of a match.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshhttproute/api/v1alpha1/validation.go`.
pub(in super::super) fn check_match(one: &HttpMatch, out: &mut Diagnostics) {
    if let Some(path) = &one.path {
        let text = path.value.value.as_str();
        match path.r#type.value {
            PathType::RegularExpression => pattern(PathMatch::regex(text), path.value.span, out),
            PathType::PathPrefix if text != "/" && text.ends_with('/') => {
                let message = "needs no slash at its end: it matches by segments";
                bad_value(path.value.span, message, out);
            }
            PathType::PathPrefix | PathType::Exact => {
                if !text.starts_with('/') {
                    bad_value(path.value.span, "must begin with a slash", out);
                }
            }
        }
    }
    let method = one.method.as_ref();
    if let Some(method) = method.filter(|it| !METHODS.contains(&it.as_str())) {
        let message = format!("write one of {}", METHODS.join(", "));
        bad_value(method.span, message, out);
    }
    let params = one.query_params.as_deref().unwrap_or_default();
    for (nth, param) in params.iter().enumerate() {
        if params[..nth].iter().any(|it| it.name == param.name) {
            bad_value(param.name.span, "stands a second time", out);
        }
        if param.r#type.value == ValueType::RegularExpression {
            pattern(TextMatch::regex(&param.value), param.value.span, out);
        }
    }
    for header in one.headers.iter().flatten() {
        header_match(header, out);
    }
}

/// What Kuma's own validation asks of a header's condition.
pub(in super::super) fn header_match(one: &types::HeaderMatch, out: &mut Diagnostics) {
    let kind = one.r#type.map_or(HeaderMatchType::Exact, |it| it.value);
    let value = one.value.as_ref().filter(|it| !it.is_empty());
    match (kind, value) {
        (HeaderMatchType::Present | HeaderMatchType::Absent, Some(value)) => {
            bad_value(value.span, "must not be set", out);
        }
        (HeaderMatchType::RegularExpression, Some(value)) => {
            pattern(TextMatch::regex(value), value.span, out);
        }
        (
            HeaderMatchType::Exact
            | HeaderMatchType::Present
            | HeaderMatchType::RegularExpression
            | HeaderMatchType::Absent
            | HeaderMatchType::Prefix,
            _,
        ) => {}
    }
}

fn pattern<T>(pattern: Result<T, regex::Error>, span: Span, out: &mut Diagnostics) {
    if let Err(error) = pattern {
        out.push(
            Diagnostic::error("kuma::bad-regex", error.to_string()).label(span, "this pattern"),
        );
    }
}

/// What Kuma's own validation asks of what a rule does.
pub(in super::super) fn check_conf(
    conf: &HttpRuleConf,
    matches: &[HttpMatch],
    release: Release,
    out: &mut Diagnostics,
) {
    let by_prefix = |one: &HttpMatch| {
        let path = one.path.as_ref();
        path.is_some_and(|path| path.r#type.value == PathType::PathPrefix)
    };
    let all_by_prefix = matches.iter().all(by_prefix);
    for filter in conf.filters.iter().flatten() {
        check_filter(filter, all_by_prefix, out);
    }
    let backends = conf.backend_refs.iter().flatten();
    for backend in backends {
        super::super::backends::check(backend, release, out);
    }
}

fn check_filter(filter: &Filter, all_by_prefix: bool, out: &mut Diagnostics) {
    let span = filter.r#type.span;
    let mut needs = |is_there: bool, field: &str| {
        if !is_there {
            bad_value(span, format!("`{field}` must be set"), out);
        }
    };
    match filter.r#type.value {
        FilterType::RequestHeaderModifier => {
            needs(
                filter.request_header_modifier.is_some(),
                "requestHeaderModifier",
            );
        }
        FilterType::ResponseHeaderModifier => {
            needs(
                filter.response_header_modifier.is_some(),
                "responseHeaderModifier",
            );
        }
        FilterType::RequestRedirect => needs(filter.request_redirect.is_some(), "requestRedirect"),
        FilterType::UrlRewrite => needs(filter.url_rewrite.is_some(), "urlRewrite"),
        FilterType::RequestMirror => needs(filter.request_mirror.is_some(), "requestMirror"),
    }
    let redirect = filter.request_redirect.as_ref();
    let rewrite = filter.url_rewrite.as_ref();
    let paths = [
        redirect.and_then(|it| it.path.as_ref()),
        rewrite.and_then(|it| it.path.as_ref()),
    ];
    for path in paths.into_iter().flatten() {
        let (value, field) = match path.r#type.value {
            PathRewriteType::ReplaceFullPath => (&path.replace_full_path, "replaceFullPath"),
            PathRewriteType::ReplacePrefixMatch => {
                (&path.replace_prefix_match, "replacePrefixMatch")
            }
        };
        if value.is_none() {
            bad_value(path.r#type.span, format!("`{field}` must be set"), out);
        }
        if let (Some(prefix), false) = (&path.replace_prefix_match, all_by_prefix) {
            let message = "may stand only where all matches are by `PathPrefix`";
            bad_value(prefix.span, message, out);
        }
    }
    let redirects = |status: u32| matches!(status, 301 | 302 | 303 | 307 | 308);
    let status = redirect.and_then(|it| it.status_code);
    if let Some(status) = status.filter(|it| !redirects(it.value.into())) {
        bad_value(status.span, "write 301, 302, 303, 307 or 308", out);
    }
    if let Some(host) = rewrite.and_then(|it| it.host_to_backend_hostname) {
        let what = "`hostToBackendHostname`";
        ignored(host.span, what, "it is for built-in gateways", out);
    }
    let mirror = filter.request_mirror.as_ref();
    let percentage = mirror.and_then(|it| it.percentage);
    if let Some(percentage) = percentage.filter(|it| !(0.0..=100.0).contains(&it.value.0)) {
        bad_value(percentage.span, "must be from 0 to 100", out);
    }
}
