//! Edits of heads, level by level.
//!
//! Source: Envoy v3 `docs/root/configuration/http/http_conn_man/headers.rst`: weighted cluster, route, virtual host, table; with
//! `most_specific_header_mutations_wins` weighted cluster, table, virtual host, route (`WeightedClusterEntry::finalizeRequestHeaders`); `source/common/router/header_parser.cc` takes headers out before it puts any in.
//! Within a level conditions go by what is there before anything is put in; then headers are overwritten, then added.

use proxy_core::config::HeaderEdits;
use proxy_core::heads::HeaderOp;

use super::compile::Cx;
use super::types::{AppendAction, HeaderValueOption};
use crate::text::Spanned;

/// The edits of one level.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
}

/// The edits around a route, in the order of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    pub(super) table: Level,
    pub(super) host: Level,
    /// Whether the table has the more specific level come last.
    pub(super) specific_wins: bool,
}

type Additions = [Spanned<HeaderValueOption>];
type Removals = [Spanned<String>];

/// Reads the edits of one level: of requests, then of responses.
pub(super) fn level(
    request: (&Additions, &Removals),
    response: (&Additions, &Removals),
    cx: &mut Cx<'_>,
) -> Level {
    Level {
        request: edits(request, cx),
        response: edits(response, cx),
    }
}

impl Levels {
    /// The edits of a route, those of the levels around it included. Those of its cluster come before all of them.
    pub(super) fn around(&self, route: &Level) -> Level {
        match self.specific_wins {
            true => join(&[&self.table, &self.host, route]),
            false => join(&[route, &self.host, &self.table]),
        }
    }
}

fn join(levels: &[&Level]) -> Level {
    Level {
        request: levels
            .iter()
            .flat_map(|level| level.request.clone())
            .collect(),
        response: levels
            .iter()
            .flat_map(|level| level.response.clone())
            .collect(),
    }
}

fn edits((add, remove): (&Additions, &Removals), cx: &mut Cx<'_>) -> HeaderEdits {
    let mut edits = HeaderEdits::new();
    for name in remove {
        edits.extend(changeable(name, cx).map(HeaderOp::Remove));
    }
    let additions: Vec<Addition> = add.iter().filter_map(|it| addition(it, cx)).collect();
    let mut names: Vec<&str> = Vec::new();
    for addition in &additions {
        if !names.contains(&&*addition.name) {
            names.push(&addition.name);
        }
    }
    for name in names {
        edits.extend(additions_to(name, &additions));
    }
    edits
}

/// What is put into one header.
struct Addition {
    name: Box<str>,
    value: Box<str>,
    action: AppendAction,
}

impl Addition {
    /// Whether it is carried out where the header was there, or was not.
    fn holds(&self, present: bool) -> bool {
        match self.action {
            AppendAction::AppendIfExistsOrAdd | AppendAction::OverwriteIfExistsOrAdd => true,
            AppendAction::AddIfAbsent => !present,
            AppendAction::OverwriteIfExists => present,
        }
    }

    const fn overwrites(&self) -> bool {
        matches!(
            self.action,
            AppendAction::OverwriteIfExistsOrAdd | AppendAction::OverwriteIfExists
        )
    }
}

/// The edits of one header at one level.
fn additions_to(name: &str, all: &[Addition]) -> HeaderEdits {
    let own: Vec<&Addition> = all.iter().filter(|it| &*it.name == name).collect();
    if let [only] = own[..]
        && only.action == AppendAction::AddIfAbsent
    {
        return vec![HeaderOp::AddIfAbsent(name.into(), only.value.clone())];
    }
    let when = |present: bool| -> Vec<HeaderOp> {
        let held = || own.iter().filter(move |it| it.holds(present));
        let last = held().rfind(|it| it.overwrites());
        let set = last.map(|it| HeaderOp::Set(name.into(), it.value.clone()));
        let added = held().filter(|it| !it.overwrites());
        let added = added.map(|it| HeaderOp::Append(name.into(), it.value.clone()));
        set.into_iter().chain(added).collect()
    };
    let (there, absent) = (when(true), when(false));
    if there == absent {
        return there;
    }
    vec![HeaderOp::IfPresent(
        name.into(),
        there.into(),
        absent.into(),
    )]
}

fn addition(option: &Spanned<HeaderValueOption>, cx: &mut Cx<'_>) -> Option<Addition> {
    let header = &option.header;
    cx.note(header.raw_value, "raw_value", "the header is not written");
    let name = changeable(&header.key, cx)?;
    let value = header.value.as_ref()?;
    if value.is_empty() && !option.keep_empty_value {
        return None;
    }
    let value = literal(value, cx);
    let append = option.append.map(|append| match append {
        true => AppendAction::AppendIfExistsOrAdd,
        false => AppendAction::OverwriteIfExistsOrAdd,
    });
    let action = append
        .or(option.append_action)
        .unwrap_or(AppendAction::AppendIfExistsOrAdd);
    Some(Addition {
        name,
        value,
        action,
    })
}

fn changeable(name: &Spanned<String>, cx: &mut Cx<'_>) -> Option<Box<str>> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(':') || lower == "host" {
        cx.refuse(
            name.span,
            "headers that begin with `:`, and `host`, cannot be changed here",
        );
        return None;
    }
    Some(lower.into())
}

/// The value without Envoy's escapes; what Envoy would fill in stays as it is written.
fn literal(value: &Spanned<String>, cx: &mut Cx<'_>) -> Box<str> {
    if value.replace("%%", "").contains('%') {
        let meaning = "the header has the text as it is written";
        cx.left_out(value.span, "a value that the proxy fills in", meaning);
        return value.as_str().into();
    }
    value.replace("%%", "%").into()
}
