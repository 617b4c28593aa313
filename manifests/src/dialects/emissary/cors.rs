//! `cors`.

use proxy_core::config::{Cors, CorsList, CorsManner, TextMatch};

use super::types::{CorsSpec, texts};
use super::version::Version;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::{Node, Spanned};

/// The policy. Lists are put together as one text, which Envoy answers with as it is.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/ircors.py`; envoy `source/extensions/filters/http/cors/cors_filter.cc` of `*`.
pub(super) fn policy(written: &Spanned<CorsSpec>, version: Version, cx: &mut Compile<'_>) -> Cors {
    let origins = list(written.origins.as_ref(), version, cx);
    // of old versions a text is several origins with commas between
    let origins = origins.iter().flat_map(|origin| origin.split(','));
    let origins: Vec<TextMatch> = origins
        .map(|origin| match origin {
            "*" => TextMatch::Present,
            origin => TextMatch::Exact(origin.into()),
        })
        .collect();
    let joined = |node: Option<&Node>, cx: &mut Compile<'_>| -> Option<Box<str>> {
        let all = list(node, version, cx);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join(", ").into())
    };
    let max_age = written.max_age.as_ref().filter(|age| !age.is_empty());
    Cors {
        origins,
        methods: joined(written.methods.as_ref(), cx).map(CorsList::Text),
        headers: joined(written.headers.as_ref(), cx).map(CorsList::Text),
        expose: joined(written.exposed_headers.as_ref(), cx),
        max_age: max_age.map(|age| age.as_str().into()),
        credentials: written.credentials.is_some_and(|it| it.value),
        exposes_early: false,
        forwards_others: true,
        manner: CorsManner::Envoy,
        origin: cx.origins.written(written.span),
    }
}

fn list(node: Option<&Node>, version: Version, cx: &mut Compile<'_>) -> Vec<String> {
    let Some(node) = node else {
        return Vec::new();
    };
    if node.as_str().is_some() {
        version.only_old(node.span, "a list", cx.diagnostics);
    }
    match texts(node) {
        Some(all) => all.into_iter().map(|it| it.value).collect(),
        None => {
            let found = node.describe();
            cx.diagnostics.push(
                Diagnostic::error(
                    "field::type",
                    format!("expected a list of texts, found {found}"),
                )
                .label(node.span, "this value"),
            );
            Vec::new()
        }
    }
}
