//! Edits of heads, level by level.
//!
//! Source: Envoy v3 `docs/root/configuration/http/http_conn_man/headers.rst`: weighted cluster, route, virtual host, table, unless
//! `most_specific_header_mutations_wins`; `source/common/router/header_parser.cc` takes headers out before it puts any in.

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
    /// The edits of a route and those of each of its clusters, as the core carries them out: cluster, then route.
    pub(super) fn around(&self, route: Level, clusters: Vec<Level>) -> (Level, Vec<Level>) {
        if !self.specific_wins {
            let all = [&route, &self.host, &self.table];
            return (join(&all), clusters);
        }
        if clusters
            .iter()
            .all(|l| l.request.is_empty() && l.response.is_empty())
        {
            let all = [&self.table, &self.host, &route];
            return (join(&all), clusters);
        }
        // Clusters come last, so that everything before them goes with them.
        let with = |cluster: &Level| join(&[&self.table, &self.host, &route, cluster]);
        (Level::default(), clusters.iter().map(with).collect())
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
    for option in add {
        edits.extend(addition(option, cx));
    }
    edits
}

fn addition(option: &Spanned<HeaderValueOption>, cx: &mut Cx<'_>) -> Option<HeaderOp> {
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
    Some(match action {
        AppendAction::AppendIfExistsOrAdd => HeaderOp::Append(name, value),
        AppendAction::AddIfAbsent => HeaderOp::AddIfAbsent(name, value),
        AppendAction::OverwriteIfExistsOrAdd => HeaderOp::Set(name, value),
        AppendAction::OverwriteIfExists => {
            let meaning = "the header stays as it is";
            cx.left_out(option.span, "`OVERWRITE_IF_EXISTS`", meaning);
            return None;
        }
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
