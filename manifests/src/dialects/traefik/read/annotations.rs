//! The annotations that Traefik reads on Ingresses and on their Services.
//!
//! Source: traefik `pkg/provider/kubernetes/ingress/annotations.go`; keys are read whatever their case.

use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::Object;
use crate::text::{Entry, Span, Spanned};

/// The prefix of Traefik's annotations.
const PREFIX: &str = "traefik.ingress.kubernetes.io/";

/// What the annotations of an Ingress say of its routers.
#[derive(Clone, Debug, Default)]
pub(super) struct RouterNotes {
    pub(super) path_matcher: Option<Spanned<String>>,
    pub(super) entry_points: Vec<Spanned<String>>,
    pub(super) middlewares: Vec<Spanned<String>>,
    pub(super) priority: Option<Spanned<i64>>,
    pub(super) syntax: Option<Spanned<String>>,
    /// Where TLS is asked for.
    pub(super) tls: Option<Span>,
    pub(super) tls_options: Option<Spanned<String>>,
    /// Who issues certificates, and for which names.
    pub(super) issued: Option<Span>,
}

/// What the annotations of a Service say of it.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceNotes {
    pub(super) scheme: Option<Spanned<String>>,
    pub(super) transport: Option<Spanned<String>>,
    pub(super) pass_host_header: Option<Spanned<bool>>,
    pub(super) middlewares: Vec<Spanned<String>>,
    pub(super) native_lb: Option<Spanned<bool>>,
    pub(super) node_port_lb: Option<Spanned<bool>>,
    /// Whether a cookie keeps clients at one server, and where that is said.
    pub(super) sticky: Option<Span>,
    pub(super) cookie_name: Option<Spanned<String>>,
    pub(super) cookie_path: Option<Spanned<String>>,
    pub(super) cookie_age: Option<Spanned<i64>>,
}

/// One annotation after the prefix.
struct Note<'a> {
    key: String,
    value: &'a str,
    key_span: Span,
    span: Span,
}

impl Note<'_> {
    fn text(&self) -> Spanned<String> {
        Spanned::new(self.value.trim().to_owned(), self.span)
    }

    fn words(&self) -> Vec<Spanned<String>> {
        let words = self
            .value
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty());
        words
            .map(|word| Spanned::new(word.to_owned(), self.span))
            .collect()
    }

    fn flag(&self, out: &mut Diagnostics) -> Option<Spanned<bool>> {
        self.read(
            |text| text.to_ascii_lowercase().parse().ok(),
            "`\"true\"` or `\"false\"`",
            out,
        )
    }

    fn number(&self, out: &mut Diagnostics) -> Option<Spanned<i64>> {
        self.read(|text| text.parse().ok(), "a whole number", out)
    }

    fn read<T>(
        &self,
        read: impl Fn(&str) -> Option<T>,
        wanted: &str,
        out: &mut Diagnostics,
    ) -> Option<Spanned<T>> {
        let value = read(self.value.trim());
        if value.is_none() {
            let message = format!("`{PREFIX}{}` cannot be `{}`", self.key, self.value);
            out.push(
                Diagnostic::error("traefik::bad-annotation", message)
                    .label(self.span, "Traefik leaves the whole object out")
                    .help(format!("write {wanted}")),
            );
        }
        value.map(|value| Spanned::new(value, self.span))
    }

    fn not_modelled(&self, meaning: &str, out: &mut Diagnostics) {
        let message = format!("`{PREFIX}{}` is not modelled", self.key);
        out.push(
            Diagnostic::not_modelled("traefik::not-modelled", message, meaning)
                .label(self.key_span, ""),
        );
    }
}

const ROUTER: &[&str] = &[
    "router.entrypoints",
    "router.middlewares",
    "router.observability.accesslogs",
    "router.observability.metrics",
    "router.observability.traceverbosity",
    "router.observability.tracing",
    "router.pathmatcher",
    "router.priority",
    "router.rulesyntax",
    "router.tls",
    "router.tls.certresolver",
    "router.tls.domains",
    "router.tls.options",
];

const SERVICE: &[&str] = &[
    "service.middlewares",
    "service.nativelb",
    "service.nodeportlb",
    "service.passhostheader",
    "service.serversscheme",
    "service.serverstransport",
    "service.sticky.cookie",
    "service.sticky.cookie.domain",
    "service.sticky.cookie.httponly",
    "service.sticky.cookie.maxage",
    "service.sticky.cookie.name",
    "service.sticky.cookie.path",
    "service.sticky.cookie.samesite",
    "service.sticky.cookie.secure",
];

/// Reads the annotations of an Ingress; none: one of them has Traefik leave it out.
pub(super) fn of_ingress(object: &Object, out: &mut Diagnostics) -> Option<RouterNotes> {
    let mut notes = RouterNotes::default();
    let before = out.errors();
    for note in &notes_of(object, ROUTER, SERVICE, "a Service", out) {
        match note.key.as_str() {
            "router.pathmatcher" => notes.path_matcher = Some(note.text()),
            "router.entrypoints" => notes.entry_points = note.words(),
            "router.middlewares" => notes.middlewares = note.words(),
            "router.priority" => notes.priority = note.number(out),
            "router.rulesyntax" => notes.syntax = Some(note.text()),
            "router.tls" => {
                let asked = note.flag(out).filter(|asked| asked.value);
                notes.tls = notes.tls.or_else(|| asked.map(|asked| asked.span));
            }
            "router.tls.options" => {
                notes.tls = Some(note.span);
                notes.tls_options = Some(note.text());
            }
            key if key.starts_with("router.tls.") => {
                notes.tls = Some(note.span);
                notes.issued = Some(note.span);
            }
            // logs and traces have no bearing
            _ => {}
        }
    }
    (out.errors() == before).then_some(notes)
}

/// Reads the annotations of a Service; none: one of them has Traefik leave its paths out.
pub(super) fn of_service(object: &Object, out: &mut Diagnostics) -> Option<ServiceNotes> {
    let mut notes = ServiceNotes::default();
    let before = out.errors();
    for note in &notes_of(object, SERVICE, ROUTER, "an Ingress", out) {
        match note.key.as_str() {
            "service.serversscheme" => notes.scheme = Some(note.text()),
            "service.serverstransport" => notes.transport = Some(note.text()),
            "service.passhostheader" => notes.pass_host_header = note.flag(out),
            "service.middlewares" => notes.middlewares = note.words(),
            "service.nativelb" => notes.native_lb = note.flag(out),
            "service.nodeportlb" => notes.node_port_lb = note.flag(out),
            "service.sticky.cookie" => {
                let asked = note.flag(out).filter(|asked| asked.value);
                notes.sticky = notes.sticky.or_else(|| asked.map(|asked| asked.span));
            }
            cookie => {
                notes.sticky = Some(note.span);
                match cookie {
                    "service.sticky.cookie.name" => notes.cookie_name = Some(note.text()),
                    "service.sticky.cookie.path" => notes.cookie_path = Some(note.text()),
                    "service.sticky.cookie.maxage" => notes.cookie_age = note.number(out),
                    "service.sticky.cookie.domain" => {
                        note.not_modelled("the cookie is for the host that set it", out);
                    }
                    // what browsers do with it has no bearing
                    _ => {}
                }
            }
        }
    }
    (out.errors() == before).then_some(notes)
}

/// Traefik's annotations of an object; those that are read elsewhere or not known are reported.
fn notes_of<'o>(
    object: &'o Object,
    here: &[&str],
    there: &[&str],
    elsewhere: &str,
    out: &mut Diagnostics,
) -> Vec<Note<'o>> {
    let map = object.node.at("metadata.annotations");
    let map = map.and_then(|node| node.as_map());
    let entries: &[Entry] = map.map_or(&[], |map| map.entries());
    let mut found = Vec::new();
    for entry in entries {
        let Some(key) = entry.key.text.strip_prefix(PREFIX) else {
            continue;
        };
        let key = key.to_ascii_lowercase();
        let is =
            |known: &&&str| **known == key || is_domain(&key) && **known == "router.tls.domains";
        if here.iter().any(|known| is(&known)) {
            found.extend(entry.value.as_str().map(|value| Note {
                key,
                value,
                key_span: entry.key.span,
                span: entry.value.span,
            }));
        } else if there.iter().any(|known| is(&known)) {
            let message = format!("`{}` does nothing here", entry.key.text);
            out.push(
                Diagnostic::warning("traefik::misplaced-annotation", message)
                    .label(entry.key.span, "has no effect here")
                    .help(format!("Traefik reads it on {elsewhere}")),
            );
        } else {
            let known = here.iter().copied();
            let help = did_you_mean(&key, known);
            let help = help.map(|help| help.replacen('`', &format!("`{PREFIX}"), 1));
            let message = format!("Traefik knows no annotation `{}`", entry.key.text);
            out.push(
                Diagnostic::error("traefik::unknown-annotation", message)
                    .label(entry.key.span, "Traefik leaves the whole object out")
                    .maybe_help(help),
            );
        }
    }
    found
}

/// `router.tls.domains.0.main`.
fn is_domain(key: &str) -> bool {
    let rest = key.strip_prefix("router.tls.domains.");
    let parts = rest.and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(nth, part)| {
        nth.bytes().all(|b| b.is_ascii_digit()) && matches!(part, "main" | "sans")
    })
}
