//! The Module `ambassador`: what holds for a whole Emissary.

use super::install::Install;
use super::read::sorted;
use super::types::{Document, ModuleConfig, ModuleSpec};
use super::version::Version;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::text::read;

/// The name that counts. Source: emissary `python/ambassador/src/ambassador/ir/irambassador.py`.
const NAME: &str = "ambassador";

/// Its settings; those of no Module, where there is none.
pub(super) fn config(install: &Install, cx: &mut Compile<'_>) -> ModuleConfig {
    let mut found: Option<(ModuleConfig, crate::text::Span)> = None;
    for object in sorted(cx.objects, install, "Module") {
        let out = &mut *cx.diagnostics;
        if Version::of(object, out).is_none() {
            continue;
        }
        let Some(document) = read::<Document<ModuleSpec>>(&object.node, out) else {
            continue;
        };
        match (object.key.name.as_str(), &found) {
            (NAME, None) => {}
            (NAME, Some((_, first))) => {
                out.push(
                    Diagnostic::warning(
                        "emissary::second-module",
                        "a second Module `ambassador` is not read",
                    )
                    .label(object.name_span, "has no effect")
                    .label(*first, "this one counts"),
                );
                continue;
            }
            (name, _) => {
                other(name, object.name_span, out);
                continue;
            }
        }
        let config = document.spec.config;
        let config = config.and_then(|node| read::<ModuleConfig>(&node, out));
        found = Some((config.unwrap_or_default(), object.name_span));
    }
    found.map(|(config, _)| config).unwrap_or_default()
}

fn other(name: &str, span: crate::text::Span, out: &mut Diagnostics) {
    out.push(match name {
        "tls" => Diagnostic::not_modelled(
            "emissary::not-modelled",
            "the Module `tls`",
            "TLS ends as Hosts and TLSContexts say, and nowhere else",
        )
        .label(span, ""),
        "authentication" => Diagnostic::not_modelled(
            "emissary::open",
            "the Module `authentication`",
            "EVERY ROUTE IS OPEN: requests that it would refuse are served",
        )
        .label(span, ""),
        _ => Diagnostic::warning(
            "emissary::module",
            format!("nothing reads a Module `{name}`"),
        )
        .label(span, "has no effect")
        .help("the one that counts is called `ambassador`"),
    });
}
