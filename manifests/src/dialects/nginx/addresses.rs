//! Which addresses may ask: 403 for the others.

use proxy_core::config::{Absent, HeaderMatch, TextMatch};
use proxy_core::origin::OriginId;

use super::policy::{Controller, IngressPolicy};
use super::values;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;

/// Conditions of which each refuses a client with 403: first those that are named, then those that are not. The client is whom the rules for
/// heads take for it. The ConfigMap's lists count where the Ingress has none of its own.
///
/// Source: `nginx.tmpl` (`deny`, `allow`, `deny all`). With `satisfy: any` whoever proves who they are may ask from anywhere, so that nobody is
/// refused by address where that is asked for, too.
pub(super) fn refused(
    ingress: &IngressPolicy,
    controller: &Controller,
    cx: &mut Compile<'_>,
) -> Vec<(HeaderMatch, OriginId)> {
    let (notes, settings) = (&ingress.notes, &controller.settings);
    let lists = [
        ("denylist-source-range", "denylist-source-range", false),
        ("allowlist-source-range", "whitelist-source-range", true),
    ];
    let asks = notes.text("auth-url").is_some() || notes.text("auth-type").is_some();
    let any = notes.text("satisfy").filter(|it| asks && ***it == "any");
    let mut conditions = Vec::new();
    for (name, setting, others) in lists {
        let written = notes.text(name).or_else(|| settings.text(setting));
        let Some((written, blocks)) = written.and_then(|text| Some((text, values::blocks(text)?)))
        else {
            continue;
        };
        if let Some(any) = any {
            let message = "addresses are not asked for, since a login would do as well";
            cx.diagnostics.push(
                Diagnostic::warning("nginx::open", message)
                    .label(written.span, "keeps nobody out here")
                    .label(any.span, "either is enough"),
            );
            continue;
        }
        let condition = HeaderMatch {
            name: ":client".into(),
            value: TextMatch::Address(blocks.into()),
            invert: others,
            ignore_case: false,
            absent: Absent::Unequal,
        };
        conditions.push((condition, cx.origins.written(written.span)));
    }
    conditions
}
