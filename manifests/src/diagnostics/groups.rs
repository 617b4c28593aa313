//! Notes that say the same of several places, told once.

use std::collections::BTreeMap;

use super::{Diagnostic, Diagnostics, Kind, Severity};
use crate::text::{Sources, Span};

/// A diagnostic with every place that it is about; only notes have several.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The one at the first place.
    pub first: &'a Diagnostic,
    /// Places of the others.
    pub others: Vec<Span>,
}

/// Places that are named after the first.
const NAMED: usize = 3;

/// `7 places: also b.yaml:3, c.yaml:9, c.yaml:12, …` of the places beside the first; empty when there are none.
#[must_use]
pub fn also(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let named = others[..others.len().min(NAMED)].join(", ");
    let more = if others.len() > NAMED { ", …" } else { "" };
    format!("{} places: also {named}{more}", others.len() + 1)
}

impl Group<'_> {
    /// The other places in words; empty when there are none.
    #[must_use]
    pub fn also(&self, sources: &Sources) -> String {
        let places: Vec<String> = self.others.iter().map(|it| sources.locate(*it)).collect();
        also(&places)
    }
}

impl Diagnostics {
    /// Everything, by place; then the notes, those that say the same told once: first what would change where requests go or what is
    /// answered, then other notes.
    #[must_use]
    pub fn grouped(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut known: BTreeMap<(&str, &str, &Kind), usize> = BTreeMap::new();
        for each in self.sorted() {
            if each.severity() == Severity::Note {
                let key = (each.code, each.message.as_str(), &each.kind);
                if let (Some(at), Some(span)) = (known.get(&key), each.span()) {
                    groups[*at].others.push(span);
                    continue;
                }
                known.insert(key, groups.len());
            }
            let others = Vec::new();
            groups.push(Group {
                first: each,
                others,
            });
        }
        groups.sort_by_key(|group| group.first.weight());
        groups
    }

    /// As [`Diagnostics::to_lines`], with notes that say the same on one line.
    #[must_use]
    pub fn to_grouped_lines(&self, sources: &Sources) -> String {
        let mut out = String::new();
        for group in self.grouped() {
            out.push_str(&group.first.to_line(sources));
            let also = group.also(sources);
            if !also.is_empty() {
                out.push_str(&format!(" ({also})"));
            }
            out.push('\n');
        }
        out
    }
}

impl Diagnostic {
    /// Where it stands among others that are told in groups: errors and warnings, then advice and what is not modelled of traffic policy, then
    /// single fields of pods and Services, what was assumed and what is listed.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match &self.kind {
            Kind::Error | Kind::Warning => 0,
            Kind::Advice => 1,
            Kind::NotModelled { .. } if self.code != "kubernetes::field" => 1,
            Kind::NotModelled { .. } | Kind::Assumed { .. } => 2,
            Kind::Listed => 3,
        }
    }
}
