//! Pages of other origins.

use proxy_core::config::{Cors, CorsList, CorsManner, TextMatch};
use proxy_core::heads::HeaderOp;

use super::policy::IngressPolicy;
use crate::dialects::Compile;

/// Which pages of other origins may read answers; `None` for any, whose answers all say the same.
///
/// Source: `nginx.tmpl` (`CORS`), `internal/ingress/annotations/cors/main.go`.
#[derive(Clone, Debug)]
pub(super) enum Sharing {
    /// With pages of any origin, in these headers.
    Any(Vec<HeaderOp>),
    /// With pages of some.
    Some(Box<Cors>),
}

/// What `enable-cors` makes of answers.
pub(super) fn sharing(ingress: &IngressPolicy, cx: &mut Compile<'_>) -> Option<Sharing> {
    let notes = &ingress.notes;
    let enabled = notes.flag("enable-cors").filter(|flag| flag.value)?;
    let text = |name: &str, default: &str| {
        let written = notes.text(name);
        written.map_or_else(|| default.to_owned(), |it| it.value.clone())
    };
    let methods = text("cors-allow-methods", METHODS);
    let headers = text("cors-allow-headers", HEADERS);
    let age = text("cors-max-age", "1728000");
    let expose = notes.text("cors-expose-headers");
    let credentials = notes.flag("cors-allow-credentials");
    let credentials = credentials.is_none_or(|it| it.value);
    let origins = text("cors-allow-origin", "*");
    let origins: Vec<&str> = origins
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    if origins.contains(&"*") {
        let set = |name: &str, value: &str| HeaderOp::Set(name.into(), value.into());
        let mut edits = vec![set("access-control-allow-origin", "*")];
        if credentials {
            edits.push(set("access-control-allow-credentials", "true"));
        }
        edits.push(set("access-control-allow-methods", &methods));
        edits.push(set("access-control-allow-headers", &headers));
        if let Some(expose) = expose {
            edits.push(set("access-control-expose-headers", expose));
        }
        edits.push(set("access-control-max-age", &age));
        return Some(Sharing::Any(edits));
    }
    Some(Sharing::Some(Box::new(Cors {
        origins: origins.iter().filter_map(|it| page_origin(it)).collect(),
        methods: Some(CorsList::Text(methods.into())),
        headers: Some(CorsList::Text(headers.into())),
        expose: expose.map(|it| it.as_str().into()),
        max_age: Some(age.into()),
        credentials,
        exposes_early: true,
        forwards_others: true,
        manner: CorsManner::Envoy,
        origin: cx.origins.written(enabled.span),
    })))
}

const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";

/// Whatever stands before it, whatever its case; `*.` is one label.
fn page_origin(text: &str) -> Option<TextMatch> {
    let pattern = regex::escape(text).replacen(r"\*", "[A-Za-z0-9-]+", 1);
    TextMatch::regex(&format!("(?is:.*{pattern})")).ok()
}
