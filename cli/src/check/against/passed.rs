//! What was left out of a comparison, by kind.

use std::collections::BTreeMap;

use compare::Comparison;
use manifests::diagnostics::{Diagnostic, Severity};
use manifests::envoy::Bootstrap;

use super::codes;
use crate::print::counted;

/// What was left out.
pub(super) struct LeftOut {
    /// What the dump has and is not modelled, with how often.
    unmodelled: BTreeMap<String, usize>,
    /// Listeners for a sidecar's own ends.
    aside: Vec<String>,
    /// Services of the dump that the manifests do not have.
    services: Vec<String>,
    /// What else was passed over.
    others: Vec<String>,
}

pub(super) fn left_out(dump: &Bootstrap, aside: &[String], comparison: &Comparison) -> LeftOut {
    let mut unmodelled = BTreeMap::new();
    let notes = dump.notices.iter();
    let has_bearing = |it: &&Diagnostic| {
        let meaning = it.meaning().unwrap_or_default();
        // endpoints are not compared
        !meaning.starts_with("no bearing") && !meaning.starts_with("nothing is fetched")
    };
    for notice in notes
        .filter(|it| it.severity() == Severity::Note)
        .filter(has_bearing)
    {
        let what = notice.message.trim_end_matches(" is not modelled");
        *unmodelled.entry(what.to_owned()).or_default() += 1;
    }
    let (mut services, mut others) = (Vec::new(), Vec::new());
    for what in comparison.passed.keys() {
        let service = what.strip_prefix("the Service ");
        let service = service.and_then(|it| it.strip_suffix(": not asked about"));
        match service {
            Some(service) => services.push(service.to_owned()),
            None => others.push(what.clone()),
        }
    }
    LeftOut {
        unmodelled,
        aside: aside.to_vec(),
        services,
        others,
    }
}

impl LeftOut {
    /// All of it in one note; none: there is nothing.
    pub(super) fn note(&self, dump: &str) -> Option<Diagnostic> {
        let mut parts = Vec::new();
        if !self.services.is_empty() {
            let count = counted(self.services.len(), "Service", "Services");
            parts.push(format!(
                "{count} that the manifests do not have ({})",
                some(&self.services)
            ));
        }
        if !self.aside.is_empty() {
            let count = counted(self.aside.len(), "listener", "listeners");
            parts.push(format!(
                "{count} of the proxy's own ({})",
                some(&self.aside)
            ));
        }
        if !self.unmodelled.is_empty() {
            let mut kinds: Vec<(&String, &usize)> = self.unmodelled.iter().collect();
            kinds.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
            let kinds: Vec<String> = kinds
                .into_iter()
                .map(|(what, count)| match count {
                    1 => what.clone(),
                    _ => format!("{what} in {count} places"),
                })
                .collect();
            parts.push(format!("what is not modelled ({})", some(&kinds)));
        }
        parts.extend(self.others.iter().cloned());
        if parts.is_empty() {
            return None;
        }
        let message = format!(
            "left out of the comparison with {dump}: {}",
            parts.join("; ")
        );
        Some(Diagnostic::listed(codes::LEFT_OUT, message))
    }
}

/// The first few of a list.
fn some(all: &[String]) -> String {
    const NAMED: usize = 6;
    let named = all[..all.len().min(NAMED)].join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
