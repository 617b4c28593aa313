//! The conditions of service profiles: which requests, and which answers.
//!
//! Source: linkerd/linkerd2 `controller/api/destination/profile_translator.go`, `pkg/profiles/profiles.go`; linkerd2-proxy
//! `linkerd/service-profiles/src/proto.rs`, `linkerd/service-profiles/src/http.rs`, `linkerd/app/core/src/classify.rs`.

use proxy_core::config::{Absent, HeaderMatch, PathMatch, RouteMatch, TextMatch};

use super::routes::compiled;
use super::types::{ProfileMatch, ResponseClass, ResponseMatch, StatusRange};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::Span;

/// As many alternatives a condition may have.
const MOST: usize = 64;

/// What an alternative asks for, all at once.
type Alternative = Vec<HeaderMatch>;

/// A condition as routes, any of which may take a request; none, with a report, when it is no condition or one of too many alternatives.
/// What it says stands together: method, path, `all`, `any` and `not` have to hold at once.
pub(super) fn requests(
    condition: &ProfileMatch,
    at: Span,
    out: &mut Diagnostics,
) -> Option<Vec<RouteMatch>> {
    let before = out.errors();
    match alternatives(condition, false, at, out) {
        Some(found) => Some(found.into_iter().map(route_match).collect()),
        None => {
            if out.errors() == before {
                let message = format!("a condition of more than {MOST} alternatives");
                let meaning =
                    "the route is left out: its requests are neither tried again nor timed out";
                let note = Diagnostic::not_modelled("linkerd::not-modelled", message, meaning);
                out.push(note.label(at, ""));
            }
            None
        }
    }
}

/// Alternatives of which one must hold; none: too many, or what was reported.
fn alternatives(
    condition: &ProfileMatch,
    not: bool,
    at: Span,
    out: &mut Diagnostics,
) -> Option<Vec<Alternative>> {
    let mut parts: Vec<Vec<Alternative>> = Vec::new();
    if let Some(pattern) = &condition.path_regex {
        let value = compiled(TextMatch::regex(&searched(pattern)), pattern.span, out)?;
        parts.push(vec![vec![literal(":pathname", value, not)]]);
    }
    if let Some(method) = &condition.method {
        let value = TextMatch::Exact(method.value.as_str().into());
        parts.push(vec![vec![literal(":method", value, not)]]);
    }
    for (list, is_any) in [(&condition.all, false), (&condition.any, true)] {
        if list.is_empty() {
            continue;
        }
        let inner = list.iter().map(|it| alternatives(it, not, at, out));
        let inner: Vec<Vec<Alternative>> = inner.collect::<Option<_>>()?;
        parts.push(join(inner, is_any != not)?);
    }
    if let Some(inner) = &condition.not {
        parts.push(alternatives(inner, !not, at, out)?);
    }
    if parts.is_empty() {
        let message = "a condition asks for a path, a method, `all`, `any` or `not`";
        let problem = Diagnostic::error("linkerd::condition", message);
        out.push(
            problem
                .label(at, "nothing is asked for")
                .help("Linkerd refuses the whole profile"),
        );
        return None;
    }
    join(parts, not)
}

/// Any of the parts, or all of them at once.
fn join(parts: Vec<Vec<Alternative>>, any: bool) -> Option<Vec<Alternative>> {
    let mut joined: Vec<Alternative> = Vec::new();
    if any {
        joined.extend(parts.into_iter().flatten());
    } else {
        joined.push(Vec::new());
        for part in parts {
            let both = joined.iter().flat_map(|left| {
                let rights = part.iter();
                rights.map(move |right| left.iter().chain(right).cloned().collect())
            });
            let both: Vec<Alternative> = both.take(MOST + 1).collect();
            joined = both;
        }
    }
    (joined.len() <= MOST).then_some(joined)
}

fn literal(name: &str, value: TextMatch, invert: bool) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value,
        invert,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// The pattern of a whole path that finds what Linkerd's finds: an anchor is put at each end that has none, and what stands between is
/// searched for, so that in `/a|/b` the first is anchored at its start alone and the second at its end.
fn searched(pattern: &str) -> String {
    let pattern = pattern.trim();
    if !pattern.contains('|') {
        return pattern.to_owned();
    }
    let start = if pattern.starts_with('^') { "" } else { "^" };
    let end = if pattern.ends_with('$') { "" } else { "$" };
    format!("(?s:.*?)(?:{start}{pattern}{end})(?s:.*)")
}

/// An alternative as a route: one path and one method stand where routes have them.
fn route_match(asked: Alternative) -> RouteMatch {
    let mut matches = RouteMatch::all();
    let mut has_path = false;
    for condition in asked {
        match (&*condition.name, &condition.value) {
            (":pathname", TextMatch::Regex(regex)) if !condition.invert && !has_path => {
                has_path = true;
                matches.path = PathMatch::Regex(regex.clone());
            }
            (":method", TextMatch::Exact(method))
                if !condition.invert && matches.methods.is_empty() =>
            {
                matches.methods = vec![method.clone()];
            }
            _ => matches.headers.push(condition),
        }
    }
    matches
}

/// What a profile says of answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failures {
    /// Statuses that are failures: the first class that takes a status decides, 5xx where none does.
    pub(super) statuses: Vec<u16>,
    /// Whether the status of gRPC counts: no class takes answers of 200.
    pub(super) by_code: bool,
}

/// Reads classes of answers.
pub(super) fn failures(classes: &[ResponseClass], out: &mut Diagnostics) -> Failures {
    let read = classes.iter().filter_map(|class| {
        let answers = kept(&class.condition, out)?;
        let is_failure = class.is_failure.as_ref().is_some_and(|flag| flag.value);
        Some((answers, is_failure))
    });
    let read: Vec<(Answers, bool)> = read.collect();
    let class_of = |status: u16| read.iter().find(|(answers, _)| answers.take(status));
    let is_failure = |status: u16| class_of(status).map_or(status >= 500, |(_, failure)| *failure);
    Failures {
        statuses: (100..600).filter(|status| is_failure(*status)).collect(),
        by_code: class_of(200).is_none(),
    }
}

/// Which answers, as proxies keep it.
#[derive(Clone, Debug)]
enum Answers {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Status(u16, u16),
}

impl Answers {
    fn take(&self, status: u16) -> bool {
        match self {
            Self::All(all) => all.iter().all(|it| it.take(status)),
            Self::Any(all) => all.iter().any(|it| it.take(status)),
            Self::Not(it) => !it.take(status),
            Self::Status(min, max) => (*min..=*max).contains(&status),
        }
    }
}

/// What proxies keep of a condition; none: nothing, so that what asks for it is as if it were not there.
fn kept(condition: &ResponseMatch, out: &mut Diagnostics) -> Option<Answers> {
    let mut parts = Vec::new();
    for (list, is_any) in [(&condition.all, false), (&condition.any, true)] {
        let inner: Vec<Answers> = list.iter().filter_map(|it| kept(it, out)).collect();
        if !inner.is_empty() {
            parts.push(match is_any {
                true => Answers::Any(inner),
                false => Answers::All(inner),
            });
        }
    }
    if let Some(range) = &condition.status {
        parts.extend(status(range, out));
    }
    if let Some(inner) = &condition.not {
        parts.extend(kept(inner, out).map(|it| Answers::Not(Box::new(it))));
    }
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Answers::All(parts)),
    }
}

/// A range of statuses. Proxies drop one of a single bound, although it is documented to stand for both.
fn status(range: &StatusRange, out: &mut Diagnostics) -> Option<Answers> {
    let bounds = [&range.min, &range.max].map(|it| it.filter(|it| it.value != 0));
    for bound in bounds.iter().flatten() {
        if !(100..=599).contains(&bound.value) {
            let problem =
                Diagnostic::error("linkerd::status", "a bound is a status from 100 to 599");
            out.push(
                problem
                    .label(bound.span, "")
                    .help("Linkerd refuses the whole profile"),
            );
            return None;
        }
    }
    match bounds {
        [Some(min), Some(max)] if min.value > max.value => {
            let problem = Diagnostic::error(
                "linkerd::status",
                "the greatest status is less than the least",
            );
            out.push(
                problem
                    .label(max.span, "the greatest")
                    .label(min.span, "the least")
                    .help("Linkerd refuses the whole profile"),
            );
            None
        }
        [Some(min), Some(max)] => Some(Answers::Status(min.value, max.value)),
        [Some(only), None] | [None, Some(only)] => {
            let message = "Linkerd's proxies drop a range of statuses with one bound";
            let help = format!(
                "write `min: {0}` and `max: {0}` for this status alone",
                only
            );
            out.push(
                Diagnostic::warning("linkerd::ignored", message)
                    .label(only.span, "takes no answer")
                    .help(help),
            );
            None
        }
        [None, None] => None,
    }
}
