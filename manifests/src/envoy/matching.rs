//! When a route applies.

use proxy_core::config::{
    Absent, HeaderMatch, ParamMatch, PathMatch, RouteMatch, Share, TextMatch,
};

use super::compile::Cx;
use super::types::{HeaderMatcher, ParamMatcher, RegexMatcher, StringMatcher};
use super::{types, values};
use crate::text::{Node, Span, Spanned};

/// Compiles a route's match; none when it is refused, or has a condition that is not modelled: then the route is left out.
pub(super) fn route(node: &Node, cx: &mut Cx<'_>) -> Option<RouteMatch> {
    let written: types::RouteMatch = crate::text::read(node, cx.out)?;
    let unmodelled = [
        (written.path_match_policy, "path_match_policy"),
        (written.cookies, "cookies"),
        (written.tls_context, "tls_context"),
        (written.dynamic_metadata, "dynamic_metadata"),
        (written.filter_state, "filter_state"),
    ];
    for (field, name) in unmodelled {
        cx.note(
            field,
            name,
            "the route is left out: requests go on to later routes",
        );
    }
    if unmodelled.iter().any(|(field, _)| field.is_some()) {
        return None;
    }
    let path = path(&written, node.span, cx);
    let headers = headers(&written.headers, cx);
    let params = params(&written.query_parameters, cx);
    let fraction = written.runtime_fraction.as_ref();
    Some(RouteMatch {
        path: path?,
        ignore_case: written.case_sensitive == Some(false),
        methods: Vec::new(),
        headers: headers?,
        params: params?,
        grpc: written.grpc.is_some(),
        fraction: fraction.map(default_share),
    })
}

/// The share that a runtime fraction stands for; without a default it is nothing.
pub(super) fn default_share(fraction: &values::Runtime<values::Fraction>) -> Share {
    fraction
        .default_value
        .map_or(Share::ZERO, values::Fraction::share)
}

fn path(written: &types::RouteMatch, span: Span, cx: &mut Cx<'_>) -> Option<PathMatch> {
    let mut found = Vec::new();
    found.extend(written.connect_matcher.map(|_| PathMatch::Connect));
    found.extend(
        written
            .prefix
            .as_deref()
            .map(|text| PathMatch::Prefix(text.into())),
    );
    found.extend(
        written
            .path
            .as_deref()
            .map(|text| PathMatch::Exact(text.into())),
    );
    if let Some(text) = &written.path_separated_prefix {
        let fits = text.starts_with('/') && text.len() > 1 && !text.ends_with('/');
        if !fits || text.contains(['?', '#']) {
            cx.refuse(
                text.span,
                "must begin with `/`, have more than that, and not end in `/`",
            );
        }
        found.push(PathMatch::segments(text));
    }
    if let Some(matcher) = &written.safe_regex {
        let compiled = PathMatch::regex(&matcher.regex);
        match compiled {
            Ok(regex) => found.push(regex),
            Err(error) => {
                bad_regex(&matcher.regex, &error, cx);
                return None;
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(path), None) => Some(path),
        (None | Some(_), _) => {
            let message = "a match has one of `prefix`, `path`, `safe_regex`, `path_separated_prefix` and `connect_matcher`";
            cx.refuse(span, message);
            None
        }
    }
}

/// Conditions on headers; none when one is refused or not modelled, which is reported.
pub(super) fn headers(
    written: &[Spanned<HeaderMatcher>],
    cx: &mut Cx<'_>,
) -> Option<Vec<HeaderMatch>> {
    written.iter().map(|matcher| header(matcher, cx)).collect()
}

fn header(written: &Spanned<HeaderMatcher>, cx: &mut Cx<'_>) -> Option<HeaderMatch> {
    let old = StringMatcher {
        exact: written.exact_match.clone(),
        prefix: written.prefix_match.clone(),
        suffix: written.suffix_match.clone(),
        contains: written.contains_match.clone(),
        safe_regex: written.safe_regex_match.clone(),
        custom: None,
        ignore_case: false,
    };
    let is_old = old.is_some();
    let matcher = match &written.string_match {
        Some(matcher) => Some(matcher),
        None => is_old.then_some(&old),
    };
    let forms = usize::from(is_old)
        + usize::from(written.string_match.is_some())
        + usize::from(written.range_match.is_some())
        + usize::from(written.present_match.is_some());
    if forms > 1 {
        cx.refuse(written.span, "a header is matched in one way");
        return None;
    }
    let (value, ignore_case) = match (matcher, written.range_match) {
        (Some(matcher), _) => (text(matcher, written.span, cx)?, matcher.ignore_case),
        (None, Some(range)) => (TextMatch::Range(range.start, range.end), false),
        (None, None) => (TextMatch::Present, false),
    };
    // Envoy: a value that is not there matches nothing, inverted or not, unless it counts as empty.
    let absent = match value {
        _ if written.treat_missing_header_as_empty => Absent::Empty,
        TextMatch::Present => Absent::Unequal,
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_) => Absent::Refused,
    };
    Some(HeaderMatch {
        name: written.name.to_ascii_lowercase().into(),
        value,
        invert: written.invert_match != (written.present_match == Some(false)),
        ignore_case,
        absent,
    })
}

fn params(written: &[Spanned<ParamMatcher>], cx: &mut Cx<'_>) -> Option<Vec<ParamMatch>> {
    let mut conditions = Vec::new();
    for matcher in written {
        let value = match &matcher.string_match {
            Some(string) => folded(string, matcher.span, cx)?,
            None => TextMatch::Present,
        };
        conditions.push(ParamMatch {
            name: matcher.name.as_str().into(),
            value,
            invert: matcher.present_match == Some(false),
        });
    }
    Some(conditions)
}

impl StringMatcher {
    fn is_some(&self) -> bool {
        let texts = [&self.exact, &self.prefix, &self.suffix, &self.contains];
        texts.iter().any(|text| text.is_some()) || self.safe_regex.is_some()
    }
}

/// How a text is compared, case aside.
pub(super) fn text(written: &StringMatcher, span: Span, cx: &mut Cx<'_>) -> Option<TextMatch> {
    cx.note(written.custom, "custom", "the rule that has it is left out");
    if written.custom.is_some() {
        return None;
    }
    let mut found = Vec::new();
    let boxed = |text: &Option<String>| text.as_deref().map(Box::<str>::from);
    found.extend(boxed(&written.exact).map(TextMatch::Exact));
    found.extend(boxed(&written.prefix).map(TextMatch::Prefix));
    found.extend(boxed(&written.suffix).map(TextMatch::Suffix));
    found.extend(boxed(&written.contains).map(TextMatch::Contains));
    if let Some(matcher) = &written.safe_regex {
        match TextMatch::regex(&matcher.regex) {
            Ok(regex) => found.push(regex),
            Err(error) => {
                bad_regex(&matcher.regex, &error, cx);
                return None;
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(text), None) => Some(text),
        (None | Some(_), _) => {
            cx.refuse(
                span,
                "write one of `exact`, `prefix`, `suffix`, `contains` and `safe_regex`",
            );
            None
        }
    }
}

/// How a text is compared, where the comparison has no way to ignore case but a regular expression.
fn folded(written: &StringMatcher, span: Span, cx: &mut Cx<'_>) -> Option<TextMatch> {
    let plain = text(written, span, cx)?;
    if !written.ignore_case {
        return Some(plain);
    }
    let pattern = match &plain {
        TextMatch::Exact(text) => format!("(?is:{})", regex::escape(text)),
        TextMatch::Prefix(text) => format!("(?is:{}.*)", regex::escape(text)),
        TextMatch::Suffix(text) => format!("(?is:.*{})", regex::escape(text)),
        TextMatch::Contains(text) => format!("(?is:.*{}.*)", regex::escape(text)),
        TextMatch::Regex(_) | TextMatch::Range(..) | TextMatch::Address(_) | TextMatch::Present => {
            return Some(plain);
        }
    };
    Some(TextMatch::regex(&pattern).unwrap_or(plain))
}

fn bad_regex(pattern: &Spanned<String>, error: &regex::Error, cx: &mut Cx<'_>) {
    let error = error.to_string();
    let reason = error.lines().last().unwrap_or_default();
    let message = format!("`{pattern}` is no regular expression: {reason}");
    cx.refuse(pattern.span, message);
}

/// A regular expression that replaces what it finds.
pub(super) fn replacing(matcher: &RegexMatcher, cx: &mut Cx<'_>) -> Option<Box<regex::Regex>> {
    match regex::RegexBuilder::new(&matcher.regex)
        .size_limit(1 << 20)
        .build()
    {
        Ok(regex) => Some(Box::new(regex)),
        Err(error) => {
            bad_regex(&matcher.regex, &error, cx);
            None
        }
    }
}
