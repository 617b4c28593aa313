//! What the rules of `http` do.
//!
//! Source: istio `pilot/pkg/networking/core/route/route.go` (`translateRoute`, `applyHTTPRouteDestination`, `ApplyRedirect`).

use data_encoding::BASE64;
use proxy_core::config::{DirectResponse, PathRewrite, Share};
use proxy_core::origin::Sourced;

use super::edits::edits;
use super::faults::{fault, share, whole};
use super::matching::{compiled, condition};
use super::policy::{
    Action, Condition, DestinationPolicy, ForwardPolicy, MirrorPolicy, RedirectPolicy,
    RedirectPort, Rule, Target,
};
use super::types::{
    DerivePort, Destination, HttpDestination, HttpDirectResponse, HttpMatch, HttpRedirect,
    HttpRewrite, HttpRoute,
};
use super::{duration, retries};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::lints;
use crate::text::{Span, Spanned};

/// A rule with complete names; none when something of it is refused, which was reported.
pub(super) fn rule(
    written: &Spanned<HttpRoute>,
    namespace: &str,
    cx: &mut Compile<'_>,
) -> Option<Rule> {
    let conditions: Vec<Option<Condition>> = written
        .r#match
        .iter()
        .map(|one| condition(one, namespace, cx.diagnostics))
        .collect();
    let action = action(written, cx);
    let fault = written.fault.as_ref().map(|fault| self::fault(fault, cx));
    let cors = written.cors_policy.as_ref();
    let cors = cors.map(|policy| super::cors::cors(policy, cx));
    Some(Rule {
        name: written
            .name
            .as_ref()
            .map(|name| name.value.clone())
            .unwrap_or_default(),
        conditions: conditions.into_iter().collect::<Option<_>>()?,
        action: action?,
        edits: edits(written.headers.as_ref(), cx.diagnostics),
        fault: fault.unwrap_or(Some(None))?,
        cors: flipped(cors)?,
        origin: cx.origins.written(written.span),
    })
}

fn action(written: &Spanned<HttpRoute>, cx: &mut Compile<'_>) -> Option<Action> {
    let HttpRoute {
        route,
        redirect,
        direct_response,
        ..
    } = &written.value;
    match (&route[..], redirect, direct_response) {
        ([], Some(to), None) => Some(Action::Redirect(self::redirect(to, &written.r#match, cx)?)),
        ([], None, Some(response)) => Some(Action::Direct(direct(response, cx)?)),
        ([_, ..], None, None) => Some(Action::Forward(Box::new(forward(written, cx)?))),
        _ => {
            let message = "a rule has one of `route`, `redirect` and `directResponse`";
            let has = match (&route[..], redirect, direct_response) {
                ([], None, None) => "has none",
                _ => "has several",
            };
            cx.diagnostics
                .push(Diagnostic::error("istio::action", message).label(written.span, has));
            None
        }
    }
}

fn forward(written: &Spanned<HttpRoute>, cx: &mut Compile<'_>) -> Option<ForwardPolicy> {
    let timeout = written.timeout.as_ref();
    let timeout = timeout.map(|timeout| duration::or_off(timeout, cx));
    let retries = written.retries.as_ref();
    let retries = retries.map(|retries| retries::retries(retries, cx));
    let rewrite = written.rewrite.as_ref().map(|rewrite| {
        let authority = rewrite.authority.as_ref().filter(|a| !a.is_empty());
        (
            self::rewrite(rewrite, cx),
            authority.map(|authority| authority.as_str().into()),
        )
    });
    let mirrors = mirrors(written, cx);
    let destinations = destinations(written, cx);
    let (timeout, retries) = (flipped(timeout)?, flipped(retries)?);
    if let (Some(timeout), Some(bound)) = (&written.timeout, per_try(written)) {
        warn_void(timeout, bound, cx);
    }
    let (rewrite, authority) = match rewrite {
        Some((rewrite, authority)) => (rewrite?, authority),
        None => (None, None),
    };
    Some(ForwardPolicy {
        destinations: destinations?,
        timeout,
        retries,
        rewrite,
        authority,
        mirrors: mirrors?,
    })
}

/// What is wrong stays wrong, what is not written stays so.
fn flipped<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(read) => read.map(Some),
        None => Some(None),
    }
}

fn per_try(written: &HttpRoute) -> Option<&Spanned<String>> {
    written.retries.as_ref()?.per_try_timeout.as_ref()
}

/// Envoy leaves a bound of each try aside that is not shorter than the bound of all.
fn warn_void(timeout: &Spanned<String>, per_try: &Spanned<String>, cx: &mut Compile<'_>) {
    let (Some(all), Some(one)) = (duration::parse(timeout), duration::parse(per_try)) else {
        return;
    };
    if all.is_zero() || one < all {
        return;
    }
    let found = lints::timeouts::void_per_try((one, per_try.span), (all, timeout.span));
    cx.diagnostics.push(found);
}

/// The destinations with a share; a single one needs none.
fn destinations(
    written: &Spanned<HttpRoute>,
    cx: &mut Compile<'_>,
) -> Option<Vec<DestinationPolicy>> {
    let all = &written.route;
    let single = all.len() == 1;
    let mut found = Vec::new();
    for one in all {
        let weight = one.weight.map_or(0, |weight| weight.value);
        if !single && weight == 0 {
            continue;
        }
        found.push(destination(
            one,
            if single { 1 } else { weight },
            single,
            cx,
        ));
    }
    if found.is_empty() {
        no_weight(written.span, cx);
        return None;
    }
    Some(found)
}

/// Several destinations of which none has a share, which Istio refuses.
pub(super) fn no_weight(span: Span, cx: &mut Compile<'_>) {
    let message = "several destinations, and none has a `weight`";
    cx.diagnostics.push(
        Diagnostic::error("istio::weight", message)
            .label(span, "sends nothing anywhere")
            .help("give each destination its share, such as `weight: 90` and `weight: 10`"),
    );
}

fn destination(
    one: &HttpDestination,
    weight: u32,
    single: bool,
    cx: &mut Compile<'_>,
) -> DestinationPolicy {
    let edits = edits(one.headers.as_ref(), cx.diagnostics);
    if !single && edits.authority.is_some() {
        let message = "a new host for one of several destinations is not modelled";
        let meaning = "the upstream sees the route's host";
        cx.diagnostics.push(
            Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                .label(one.destination.host.span, "of this destination"),
        );
    }
    DestinationPolicy {
        to: target(&one.destination),
        weight,
        edits,
        origin: cx.origins.written(one.destination.host.span),
    }
}

/// A destination whose host was completed.
pub(super) fn target(destination: &Destination) -> Target {
    let subset = destination.subset.as_ref();
    Target {
        host: destination.host.value.clone(),
        subset: subset
            .map(|subset| subset.value.clone())
            .filter(|s| !s.is_empty()),
        port: destination.port.as_ref().map(|port| port.number.value),
    }
}

/// Copies; one without a share is none.
fn mirrors(written: &HttpRoute, cx: &mut Compile<'_>) -> Option<Vec<MirrorPolicy>> {
    let mut found = Vec::new();
    let mut add = |to: &Destination, share: Share, cx: &mut Compile<'_>| {
        if share != Share::ZERO {
            found.push(MirrorPolicy {
                to: target(to),
                share: Sourced::new(share, cx.origins.written(to.host.span)),
            });
        }
    };
    if let Some(to) = &written.mirror {
        let asked = match (&written.mirror_percentage, written.mirror_percent) {
            (Some(percentage), _) => share(percentage, cx.diagnostics)?,
            (None, Some(percent)) => whole(percent, cx.diagnostics)?,
            (None, None) => Share::ALL,
        };
        add(to, asked, cx);
    }
    for mirror in &written.mirrors {
        let asked = match &mirror.percentage {
            Some(percentage) => share(percentage, cx.diagnostics)?,
            None => Share::ALL,
        };
        if let Some(to) = &mirror.destination {
            add(to, asked, cx);
        }
    }
    Some(found)
}

fn rewrite(written: &Spanned<HttpRewrite>, cx: &mut Compile<'_>) -> Option<Option<PathRewrite>> {
    if let Some(regex) = &written.uri_regex_rewrite {
        let pattern = regex::Regex::new(&regex.r#match);
        let pattern = compiled(pattern, regex.r#match.span, cx.diagnostics)?;
        let to = regex.rewrite.as_str().into();
        return Some(Some(PathRewrite::Regex(Box::new(pattern), to)));
    }
    let uri = written.uri.as_ref().filter(|uri| !uri.is_empty());
    let has_authority = written.authority.as_ref().is_some_and(|a| !a.is_empty());
    if uri.is_none() && !has_authority {
        let message = "a rewrite needs `uri`, `authority` or `uriRegexRewrite`";
        cx.diagnostics
            .push(Diagnostic::error("istio::rewrite", message).label(written.span, "has none"));
        return None;
    }
    Some(uri.map(|uri| PathRewrite::Prefix(uri.as_str().into())))
}

fn redirect(
    written: &Spanned<HttpRedirect>,
    conditions: &[HttpMatch],
    cx: &mut Compile<'_>,
) -> Option<RedirectPolicy> {
    let status = written.redirect_code.as_ref();
    let code = status
        .map(|status| status.value)
        .filter(|code| *code != 0)
        .unwrap_or(301);
    if !matches!(code, 301 | 302 | 303 | 307 | 308) {
        let span = status.map_or(written.span, |status| status.span);
        cx.diagnostics.push(
            Diagnostic::error(
                "istio::redirect",
                format!("{code} is no status of a redirect"),
            )
            .label(span, "this status")
            .help("write 301, 302, 303, 307 or 308"),
        );
        return None;
    }
    check_prefix(written, conditions, cx)?;
    let port = match (&written.port, &written.derive_port) {
        (Some(port), _) => RedirectPort::Number(port.value),
        (None, Some(derive)) if derive.value == DerivePort::FromRequestPort => {
            RedirectPort::OfRequest
        }
        (None, _) => RedirectPort::Unsaid,
    };
    let text = |text: &Option<Spanned<String>>| {
        let text = text.as_ref().filter(|text| !text.is_empty())?;
        Some(text.as_str().into())
    };
    Some(RedirectPolicy {
        status: code,
        scheme: text(&written.scheme),
        authority: text(&written.authority),
        port,
        path: text(&written.uri),
        prefix: text(&written.prefix_rewrite),
    })
}

/// A new prefix excludes a whole path, and needs an old one.
///
/// Source: istio 1.31 `pkg/config/validation/validation.go` (`validateHTTPRedirect`).
fn check_prefix(
    written: &HttpRedirect,
    conditions: &[HttpMatch],
    cx: &mut Compile<'_>,
) -> Option<()> {
    let Some(prefix) = written.prefix_rewrite.as_ref().filter(|it| !it.is_empty()) else {
        return Some(());
    };
    let other = |condition: &&HttpMatch| {
        let uri = condition.uri.as_ref();
        uri.is_some_and(|uri| uri.prefix.is_none())
    };
    let (message, span) = match (&written.uri, conditions.iter().find(other)) {
        (Some(uri), _) if !uri.is_empty() => {
            ("`uri` and `prefixRewrite` exclude each other", uri.span)
        }
        (_, Some(one)) => {
            let span = one.uri.as_ref().map_or(prefix.span, |uri| uri.span);
            ("`prefixRewrite` needs conditions by `prefix`", span)
        }
        (_, None) => return Some(()),
    };
    cx.diagnostics.push(
        Diagnostic::error("istio::redirect", message)
            .label(span, "this one")
            .label(prefix.span, "the new prefix"),
    );
    None
}

fn direct(written: &Spanned<HttpDirectResponse>, cx: &mut Compile<'_>) -> Option<DirectResponse> {
    let status = written.status.map(|status| status.value);
    let Some(status) = status.filter(|status| (200..=600).contains(status)) else {
        let span = written.status.map_or(written.span, |status| status.span);
        let message = "a direct response needs a status from 200 to 600";
        cx.diagnostics
            .push(Diagnostic::error("istio::direct-response", message).label(span, "not one"));
        return None;
    };
    let body = written.body.as_ref();
    let body = match body.map(|body| (&body.string, &body.bytes)) {
        Some((Some(text), _)) => text.as_str().into(),
        Some((None, Some(bytes))) => decoded(bytes, cx)?,
        Some((None, None)) | None => Box::default(),
    };
    Some(DirectResponse { status, body })
}

/// A body in base 64. Bytes that are no text are left out.
fn decoded(written: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Box<str>> {
    let Ok(bytes) = BASE64.decode(written.as_bytes()) else {
        let message = "a body as `bytes` is in base 64";
        cx.diagnostics.push(
            Diagnostic::error("istio::direct-response", message)
                .label(written.span, "this is not")
                .help("write text as `string`"),
        );
        return None;
    };
    Some(match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let message = "a body that is no text is not modelled";
            let meaning = "the response has none";
            cx.diagnostics.push(
                Diagnostic::not_modelled("istio::not-modelled", message, meaning)
                    .label(written.span, "this body"),
            );
            Box::default()
        }
    })
}
