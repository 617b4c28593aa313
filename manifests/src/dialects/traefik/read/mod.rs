//! Objects to the routers of one Traefik.

mod annotations;
mod headers;
mod ingress;
mod l4;
mod limits;
mod middlewares;
mod routes;
mod services;
mod tls;
mod transports;

pub(super) use ingress::CONTROLLER;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use proxy_core::time::Duration;

use super::duration;
use super::install::{Install, Provider};
use super::policy::{Policies, Step};
use super::rules::{Problem, RuleError, Syntax, place};
use super::types::{Reference, Scalar};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::Compile;
use crate::load::ObjectKey;
use crate::text::{ScalarOr, Span, Spanned};

/// Reads everything that one Traefik serves.
pub(super) fn policies(install: &Install, release: &str, cx: &mut Compile<'_>) -> Policies {
    let mut reader = Reader::new(install, release, cx);
    reader.entry_steps();
    reader.tls();
    reader.ingress_routes();
    reader.l4();
    reader.ingresses();
    let mut policies = reader.policies;
    policies.used = reader.used;
    policies
        .routers
        .sort_by_key(|router| Reverse(router.priority));
    policies.tcp.sort_by_key(|router| Reverse(router.priority));
    policies
}

/// Lists the middlewares that no router of any Traefik has; what is wrong with them is told all the same.
pub(super) fn report_unused(
    install: &Install,
    used: BTreeSet<ObjectKey>,
    release: &str,
    cx: &mut Compile<'_>,
) {
    let mut reader = Reader::new(install, release, cx);
    reader.used = used;
    reader.unused();
}

/// The highest priority that people may set is this much below the highest there is.
const RESERVED_PRIORITIES: i64 = 1_000;

struct Reader<'a, 'c> {
    release: &'a str,
    install: &'a Install,
    /// The provider whose objects are read.
    reads: Provider,
    cx: &'a mut Compile<'c>,
    /// Middlewares of Services of the router that is read, with the namespace that they are named in.
    service_steps: Vec<(Reference, String)>,
    /// Middlewares that routers have.
    used: BTreeSet<ObjectKey>,
    policies: Policies,
}

impl<'a, 'c> Reader<'a, 'c> {
    fn new(install: &'a Install, release: &'a str, cx: &'a mut Compile<'c>) -> Self {
        Self {
            release,
            install,
            reads: install.crd.clone(),
            cx,
            service_steps: Vec::new(),
            used: BTreeSet::new(),
            policies: Policies::default(),
        }
    }
}

impl Reader<'_, '_> {
    fn provider(&self) -> Provider {
        self.reads.clone()
    }

    fn error(&mut self, code: &'static str, message: &str, span: Span, label: &str) {
        let problem = Diagnostic::error(code, message).label(span, label);
        self.cx.diagnostics.push(problem);
    }

    fn not_modelled(&mut self, what: &str, meaning: &str, span: Span) {
        let what = match what.contains(' ') {
            true => what.to_owned(),
            false => format!("`{what}`"),
        };
        self.not_modelled_with(&format!("{what} is not modelled"), meaning, span);
    }

    fn not_modelled_with(&mut self, message: &str, meaning: &str, span: Span) {
        self.cx.diagnostics.push(
            Diagnostic::not_modelled("traefik::not-modelled", message, meaning).label(span, ""),
        );
    }

    /// The middlewares of the Services that a target has led to; they run after the router's own.
    fn steps_of_services(&mut self, single: bool) -> Option<Vec<Step>> {
        let written = std::mem::take(&mut self.service_steps);
        if !single {
            if let Some((reference, _)) = written.first() {
                let meaning = "the Service is reached without them, since it is one of several";
                self.not_modelled("middlewares of a Service", meaning, reference.name.span);
            }
            return Some(Vec::new());
        }
        let mut all = Vec::new();
        for (reference, from) in written {
            all.extend(self.steps(&[reference], &from)?);
        }
        Some(all)
    }

    /// The middlewares of entry points, which may be of any namespace.
    fn entry_steps(&mut self) {
        let entries = self.install.entry_points.iter();
        for entry in entries.filter(|entry| !entry.middlewares.is_empty()) {
            self.reads.cross_namespace = true;
            let steps = self.qualified_steps(&entry.middlewares, "default");
            self.policies.entry_steps.insert(entry.name.clone(), steps);
        }
        self.reads = self.install.crd.clone();
    }

    /// The priority of a router: the length of its rule, unless one is set.
    fn priority(&mut self, written: Option<&Spanned<i64>>, length: i64) -> Option<i64> {
        let Some(written) = written.filter(|it| it.value != 0) else {
            return Some(length);
        };
        if written.value > i64::MAX - RESERVED_PRIORITIES {
            let message = "so high a priority is Traefik's own";
            self.error(
                "traefik::priority",
                message,
                written.span,
                "the router is left out, and its requests are 404",
            );
            return None;
        }
        Some(written.value)
    }

    fn syntax(&mut self, written: Option<&Spanned<String>>) -> Syntax {
        let Some(written) = written.filter(|it| !it.is_empty()) else {
            return self.install.syntax;
        };
        let mut note = Diagnostic::warning(
            "traefik::deprecated",
            "the syntax of a rule will not be a choice for long",
        )
        .label(written.span, "deprecated");
        let syntax = match written.value.as_str() {
            "v2" => Syntax::V2,
            "v3" | "default" => Syntax::V3,
            other => {
                note = note.help(format!("`{other}` is none: rules are read as of version 3"));
                Syntax::V3
            }
        };
        self.cx.diagnostics.push(note);
        syntax
    }

    /// A rule that is none leaves its router out.
    fn report_rule(&mut self, rule: &Spanned<String>, error: RuleError) {
        let problem = match error {
            RuleError::Problem(Problem { at, message, help }) => {
                let span = place(rule, rule.span, at);
                Diagnostic::error("traefik::rule", message)
                    .label(span, "the router is left out, and its requests are 404")
                    .maybe_help(help)
            }
            RuleError::TooMany => {
                let meaning = "its router is left out: its requests go to others, or are 404";
                let message = format!(
                    "a rule with more than {} alternatives is not modelled",
                    super::rules::normal::MOST_ALTERNATIVES
                );
                Diagnostic::not_modelled("traefik::not-modelled", message, meaning)
                    .label(rule.span, "")
            }
        };
        self.cx.diagnostics.push(problem);
    }

    /// Entry points of a router; none: it names some, and none of them is there.
    fn entry_points(&mut self, written: &[Spanned<String>], udp: bool) -> Option<Vec<String>> {
        let mut found = Vec::new();
        for name in written {
            match self.install.entry_point(name) {
                Some(entry) if entry.udp == udp => found.push(entry.name.clone()),
                Some(_) => {
                    let message = match udp {
                        true => format!("the entry point `{name}` is not for datagrams"),
                        false => format!("the entry point `{name}` is for datagrams"),
                    };
                    self.error(
                        "traefik::entry-point",
                        &message,
                        name.span,
                        "its router is not served here",
                    );
                }
                None => {
                    let all = self.install.entry_points.iter();
                    let names: Vec<&str> = all.map(|it| it.name.as_str()).collect();
                    let problem = Diagnostic::error(
                        "traefik::unknown-entrypoint",
                        format!("Traefik has no entry point `{name}`"),
                    )
                    .label(name.span, "its router is not served here")
                    .help(format!("it has {}", names.join(", ")))
                    .maybe_help(did_you_mean(name, names.iter().copied()));
                    self.cx.diagnostics.push(problem);
                }
            }
        }
        (written.is_empty() || !found.is_empty()).then_some(found)
    }
}

/// Whether an object of this class is served by a provider: its own class, and without one those of class `traefik` and of none.
///
/// Source: traefik `pkg/provider/kubernetes/crd/kubernetes.go` (`shouldProcessIngress`).
fn is_served(class: Option<&str>, provider: &Provider) -> bool {
    let class = class.unwrap_or_default();
    match &provider.class {
        Some(own) => own == class,
        None => class.is_empty() || class == "traefik",
    }
}

/// A number or a text as text.
fn scalar(written: &Scalar, what: &str, out: &mut Diagnostics) -> Option<Spanned<String>> {
    match written {
        ScalarOr::Scalar(text) => Some(text.clone()),
        ScalarOr::Full(node) => {
            let message = format!("expected {what}, found {}", node.describe());
            out.push(Diagnostic::error("field::type", message).label(node.span, "this value"));
            None
        }
    }
}

fn scalar_span(written: &Scalar) -> Span {
    match written {
        ScalarOr::Scalar(text) => text.span,
        ScalarOr::Full(node) => node.span,
    }
}

/// A length of time.
fn time(written: &Scalar, out: &mut Diagnostics) -> Option<Spanned<Duration>> {
    let text = scalar(written, "a length of time", out)?;
    let found = duration::parse(&text);
    if found.is_none() {
        let message = format!("`{text}` is no length of time");
        out.push(
            Diagnostic::error("traefik::duration", message)
                .label(text.span, "not one of Go's")
                .help("write `100ms`, `1m30s`, or a whole number of seconds"),
        );
    }
    found.map(|time| Spanned::new(time, text.span))
}
