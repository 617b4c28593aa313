//! The `headers` middleware: edits of heads, cross-origin requests, and what browsers are told.
//!
//! Source: traefik `pkg/middlewares/headers/{header,secure}.go`, unrolled/secure.

use proxy_core::config::{Cors, CorsList, CorsManner, TextMatch};
use proxy_core::heads::HeaderOp;

use super::Reader;
use super::middlewares::one;
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::policy::{HeaderRules, StepKind};
use crate::dialects::traefik::types::middlewares::Headers;
use crate::dialects::traefik::types::services::Texts;
use crate::text::{Span, Spanned};

impl Reader<'_, '_> {
    pub(super) fn headers(&mut self, it: &Spanned<Headers>) -> Option<Vec<StepKind>> {
        let mut rules = HeaderRules::default();
        for (name, value) in &it.custom_request_headers {
            match name.to_ascii_lowercase().as_str() {
                "host" if !value.is_empty() => rules.host = Some(value.value.clone()),
                // Go keeps it out of the headers, where there is then nothing to take away
                "host" => {}
                name => rules.request.push(edit(name, value)),
            }
        }
        rules.response = edits(&it.custom_response_headers);
        rules.cors = self.cors(it)?;
        // of several middlewares the answer's headers are written last by the first; here secure ones come before custom ones
        let mut secure = Vec::new();
        self.secure(it, &mut secure, &mut rules);
        secure.append(&mut rules.response);
        rules.response = secure;
        let gone = [
            it.feature_policy,
            it.ssl_redirect,
            it.ssl_temporary_redirect,
            it.ssl_host,
            it.ssl_force_host,
        ];
        for field in gone.into_iter().flatten() {
            self.cx.diagnostics.push(
                Diagnostic::warning("traefik::gone", "Traefik 3 does nothing by this")
                    .label(field.span, "has no effect")
                    .help("the middleware `redirectScheme` redirects to TLS"),
            );
        }
        let asks = !it.custom_request_headers.is_empty()
            || !it.custom_response_headers.is_empty()
            || rules.cors.is_some()
            || it.add_vary_header.is_some_and(|vary| vary.value)
            || !rules.response.is_empty()
            || !rules.response_over_tls.is_empty()
            || !rules.allowed_hosts.is_empty();
        if !asks {
            return self.refuse(
                "a headers middleware that asks for nothing is none",
                it.span,
            );
        }
        one(StepKind::Headers(Box::new(rules)))
    }

    /// What browsers are told, whatever the server says.
    fn secure(&mut self, it: &Headers, out: &mut Vec<HeaderOp>, rules: &mut HeaderRules) {
        let is = |flag: &Option<Spanned<bool>>| flag.is_some_and(|flag| flag.value);
        let mut set = |name: &str, value: &str| {
            out.push(HeaderOp::Set(name.into(), value.into()));
        };
        let text = |text: &Option<Spanned<String>>| {
            let text = text.as_ref().map(|text| text.value.clone());
            text.filter(|text| !text.is_empty())
        };
        if let Some(value) = text(&it.custom_frame_options_value) {
            set("x-frame-options", &value);
        } else if is(&it.frame_deny) {
            set("x-frame-options", "DENY");
        }
        if is(&it.content_type_nosniff) {
            set("x-content-type-options", "nosniff");
        }
        if let Some(value) = text(&it.custom_browser_xss_value) {
            set("x-xss-protection", &value);
        } else if is(&it.browser_xss_filter) {
            set("x-xss-protection", "1; mode=block");
        }
        for (name, value) in [
            ("content-security-policy", &it.content_security_policy),
            (
                "content-security-policy-report-only",
                &it.content_security_policy_report_only,
            ),
            ("referrer-policy", &it.referrer_policy),
            ("permissions-policy", &it.permissions_policy),
        ] {
            if let Some(value) = text(value) {
                set(name, &value);
            }
        }
        let development = is(&it.is_development);
        if let Some(seconds) = it.sts_seconds.filter(|seconds| seconds.value > 0)
            && !development
        {
            let mut value = format!("max-age={}", seconds.value);
            if is(&it.sts_include_subdomains) {
                value.push_str("; includeSubDomains");
            }
            if is(&it.sts_preload) {
                value.push_str("; preload");
            }
            let op = HeaderOp::Set("strict-transport-security".into(), value.into());
            if is(&it.force_sts_header) {
                out.push(op);
            } else {
                rules.response_over_tls.push(op);
            }
        }
        if !development {
            let hosts = it.allowed_hosts.iter();
            rules.allowed_hosts = hosts.map(|host| host.to_ascii_lowercase()).collect();
        }
        let ignored: [(Option<Span>, &str); 3] = [
            (
                it.hosts_proxy_headers.map(|it| it.span),
                "hosts are those of requests, whatever these headers say",
            ),
            (
                it.ssl_proxy_headers.map(|it| it.span),
                "TLS is that of the connection, whatever these headers say",
            ),
            (
                it.public_key.as_ref().map(|it| it.span),
                "browsers are told of no keys",
            ),
        ];
        for (span, meaning) in ignored {
            if let Some(span) = span {
                self.not_modelled("this header setting", meaning, span);
            }
        }
    }

    /// What pages of other origins may do; the outer none: a pattern is none.
    fn cors(&mut self, it: &Headers) -> Option<Option<Cors>> {
        let credentials = it
            .access_control_allow_credentials
            .is_some_and(|it| it.value);
        let mut origins: Vec<TextMatch> = Vec::new();
        for origin in &it.access_control_allow_origin_list {
            origins.push(match origin.value.as_str() {
                "*" => TextMatch::Present,
                origin => TextMatch::Exact(origin.into()),
            });
        }
        for regex in &it.access_control_allow_origin_list_regex {
            origins.push(self.pattern(regex)?.condition());
        }
        if let Some(vary) = it.add_vary_header.filter(|it| it.value) {
            self.not_modelled(
                "addVaryHeader",
                "answers do not say `Vary: Origin`",
                vary.span,
            );
        }
        let list = |all: &[Spanned<String>]| {
            if all.is_empty() {
                return None;
            }
            if credentials && all.iter().any(|it| it.value == "*") {
                return Some(CorsList::Asked);
            }
            let all: Vec<&str> = all.iter().map(|it| it.value.as_str()).collect();
            Some(CorsList::Text(all.join(",").into()))
        };
        let methods = list(&it.access_control_allow_methods);
        let headers = list(&it.access_control_allow_headers);
        let expose = match list(&it.access_control_expose_headers) {
            Some(CorsList::Text(text)) => Some(text),
            // with credentials a star says nothing
            Some(CorsList::Asked) | None => None,
        };
        let max_age = it
            .access_control_max_age
            .map(|age| age.value.to_string().into());
        let spans = [
            it.access_control_allow_origin_list
                .first()
                .map(|it| it.span),
            it.access_control_allow_origin_list_regex
                .first()
                .map(|it| it.span),
            it.access_control_allow_methods.first().map(|it| it.span),
            it.access_control_allow_headers.first().map(|it| it.span),
            it.access_control_expose_headers.first().map(|it| it.span),
            it.access_control_max_age.map(|it| it.span),
            it.access_control_allow_credentials
                .filter(|it| it.value)
                .map(|it| it.span),
        ];
        let Some(span) = spans.into_iter().flatten().next() else {
            return Some(None);
        };
        if origins.is_empty() {
            let meaning = "without an allowed origin nothing is done: preflights go to the server, where Traefik would answer them";
            self.not_modelled("cross-origin settings without origins", meaning, span);
            return Some(None);
        }
        Some(Some(Cors {
            origins,
            methods,
            headers,
            expose,
            max_age,
            credentials,
            exposes_early: true,
            forwards_others: false,
            manner: CorsManner::Envoy,
            origin: self.cx.origins.written(span),
        }))
    }
}

fn edits(texts: &Texts) -> Vec<HeaderOp> {
    let each = texts.iter();
    each.map(|(name, value)| edit(&name.to_ascii_lowercase(), value))
        .collect()
}

/// An empty value takes the header away.
fn edit(name: &str, value: &Spanned<String>) -> HeaderOp {
    match value.value.as_str() {
        "" => HeaderOp::Remove(name.into()),
        value => HeaderOp::Set(name.into(), value.into()),
    }
}
