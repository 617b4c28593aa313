//! What filters make of requests and answers.

use proxy_core::config::{
    Cors, CorsList, CorsManner, HeaderEdits, HostRewrite, PathRedirect, PathRewrite, Redirect,
    Share, TextMatch,
};
use proxy_core::origin::OriginId;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::gateway_api::types::{
    self, BackendRef, Filter, Mirror, PathChange, RequestRedirect, UrlRewrite, text,
};
use crate::text::Spanned;

/// What a list of filters comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters<'a> {
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
    pub(super) redirect: Option<&'a RequestRedirect>,
    pub(super) rewrite: Option<&'a UrlRewrite>,
    pub(super) cors: Option<Cors>,
    pub(super) mirrors: Vec<(&'a BackendRef, Share)>,
    /// Whether one of them cannot be carried out, so that no request may pass.
    pub(super) is_broken: bool,
}

impl<'a> Filters<'a> {
    /// Reads a list; of those that may stand once the first counts.
    ///
    /// Source: `HTTPRouteFilter`: requests to a filter that an implementation cannot carry out are answered with an error.
    pub(super) fn of(filters: &'a [Filter], out: &mut Diagnostics) -> Self {
        let mut all = Self::default();
        for filter in filters {
            all.add(filter, out);
        }
        all
    }

    fn add(&mut self, filter: &'a Filter, out: &mut Diagnostics) {
        match filter.r#type.value.as_str() {
            "RequestHeaderModifier" => match &filter.request_header_modifier {
                Some(modifier) => self.request.extend(modifier.edits()),
                None => self.lacks(filter, out),
            },
            "ResponseHeaderModifier" => match &filter.response_header_modifier {
                Some(modifier) => self.response.extend(modifier.edits()),
                None => self.lacks(filter, out),
            },
            "RequestMirror" => match &filter.request_mirror {
                Some(mirror) => self.mirrors.push((&mirror.backend_ref, share(mirror))),
                None => self.lacks(filter, out),
            },
            "RequestRedirect" => match &filter.request_redirect {
                Some(redirect) => self.redirect = self.redirect.or(Some(redirect)),
                None => self.lacks(filter, out),
            },
            "CORS" => match &filter.cors {
                Some(cors) => self.cors = self.cors.take().or_else(|| Some(self::cors(cors))),
                None => self.lacks(filter, out),
            },
            "URLRewrite" => match &filter.url_rewrite {
                Some(rewrite) => self.rewrite = self.rewrite.or(Some(rewrite)),
                None => self.lacks(filter, out),
            },
            kind => {
                self.is_broken = true;
                let meaning = "requests that it is for are answered with 500";
                out.push(
                    Diagnostic::not_modelled(
                        "gateway-api::filter",
                        format!("the filter `{kind}` is not known"),
                        meaning,
                    )
                    .label(filter.r#type.span, ""),
                );
            }
        }
    }

    fn lacks(&mut self, filter: &Filter, out: &mut Diagnostics) {
        self.is_broken = true;
        out.push(
            Diagnostic::error(
                "gateway-api::filter-settings",
                format!("the filter `{}` has no settings", filter.r#type),
            )
            .label(filter.r#type.span, "this filter")
            .help("they stand beside `type`, under the filter's own name"),
        );
    }
}

fn share(mirror: &Mirror) -> Share {
    if let Some(fraction) = &mirror.fraction {
        let of = fraction.denominator.as_ref().map_or(100, |it| it.value);
        let ppm = u64::from(fraction.numerator.value) * 1_000_000 / u64::from(of.max(1));
        return Share::from_ppm(u32::try_from(ppm).unwrap_or(u32::MAX));
    }
    let percent = mirror.percent.as_ref();
    percent.map_or(Share::ALL, |percent| {
        Share::from_percent(f64::from(percent.value))
    })
}

/// A prefix that is replaced by nothing is replaced by the root.
fn rooted(path: &str) -> Box<str> {
    if path.is_empty() {
        "/".into()
    } else {
        path.into()
    }
}

/// Where a redirect leads from a listener of this scheme and port.
///
/// Source: `HTTPRequestRedirectFilter.port`.
pub(super) fn redirect(to: &RequestRedirect, (scheme, port): (&'static str, u16)) -> Redirect {
    let written = text(&to.scheme).map(str::to_ascii_lowercase);
    let own = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    let new_port = match (&to.port, &written) {
        (Some(port), _) => port.value,
        (None, Some(scheme)) => own(scheme),
        (None, None) => port,
    };
    let new_scheme = written.as_deref().unwrap_or(scheme);
    Redirect {
        status: to.status_code.as_ref().map_or(302, |status| status.value),
        scheme: Some(new_scheme.into()),
        host: text(&to.hostname).map(Into::into),
        port: Some(new_port),
        path: to.path.as_ref().and_then(path_redirect),
        strip_query: false,
        omits_own_port: true,
    }
}

fn path_redirect(path: &PathChange) -> Option<PathRedirect> {
    match path.r#type.value.as_str() {
        "ReplaceFullPath" => Some(PathRedirect::Full(
            text(&path.replace_full_path).map_or_else(|| "/".into(), rooted),
        )),
        "ReplacePrefixMatch" => Some(PathRedirect::JoinedPrefix(
            text(&path.replace_prefix_match).map_or_else(|| "/".into(), rooted),
        )),
        _ => None,
    }
}

/// The new path and host of what is rewritten.
pub(super) fn rewrite(to: &UrlRewrite) -> (Option<PathRewrite>, Option<HostRewrite>) {
    let path = to.path.as_ref().and_then(path_redirect);
    let path = path.map(|path| match path {
        PathRedirect::Full(to) => PathRewrite::Full(to),
        PathRedirect::JoinedPrefix(to) | PathRedirect::Prefix(to) => PathRewrite::JoinedPrefix(to),
        PathRedirect::Regex(pattern, to) | PathRedirect::Url(pattern, to) => {
            PathRewrite::Regex(pattern, to)
        }
    });
    let host = text(&to.hostname).map(|host| HostRewrite::Literal(host.into()));
    (path, host)
}

/// How long preflights hold where nobody says. Source: `HTTPCORSFilter.maxAge`.
const MAX_AGE: u32 = 5;

/// Source: `HTTPCORSFilter`, GEP-1767. A `*` is answered with what was asked for, which serves with credentials and without.
fn cors(written: &types::Cors) -> Cors {
    let origins = written.allow_origins.iter();
    let list = |all: &[Spanned<String>]| -> Option<CorsList> {
        if all.is_empty() {
            return None;
        }
        let names: Vec<&str> = all.iter().map(|it| it.value.as_str()).collect();
        Some(if names.contains(&"*") {
            CorsList::Asked
        } else {
            CorsList::Text(names.join(", ").into())
        })
    };
    let expose: Vec<&str> = written
        .expose_headers
        .iter()
        .map(|it| it.value.as_str())
        .collect();
    let max_age = written.max_age.as_ref().map_or(MAX_AGE, |age| age.value);
    let credentials = written.allow_credentials.as_ref();
    Cors {
        origins: origins.map(|origin| origin_match(origin)).collect(),
        methods: list(&written.allow_methods),
        headers: list(&written.allow_headers),
        expose: (!expose.is_empty()).then(|| expose.join(", ").into()),
        max_age: Some(max_age.to_string().into()),
        credentials: credentials.is_some_and(|it| it.value),
        exposes_early: true,
        forwards_others: false,
        manner: CorsManner::Envoy,
        origin: OriginId::NONE,
    }
}

/// An origin; a `*` stands for any, at the start of a host for one label or more.
fn origin_match(origin: &str) -> TextMatch {
    if origin == "*" {
        return TextMatch::Present;
    }
    let Some((before, after)) = origin.split_once('*') else {
        return TextMatch::Exact(origin.into());
    };
    let pattern = format!("{}[^/:]+{}", regex::escape(before), regex::escape(after));
    TextMatch::regex(&pattern).unwrap_or_else(|_| TextMatch::Exact(origin.into()))
}
