//! What a scenario assumed, place by place: a value that an anchor shares is one assumption, wherever it is used.

use std::collections::BTreeMap;

use manifests::text::{Sources, Span};
use scenarios::assumptions::{Assumption, AssumptionSource};

/// One assumed value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Assumed {
    /// Every path that it stands at; never empty.
    paths: Vec<String>,
    pub(super) value: String,
    pub(super) why: String,
    span: Option<Span>,
    /// Other values to try in its place.
    pub(super) others: Vec<String>,
}

impl Assumed {
    /// Those of a flight, in the order in which they first occur.
    pub(super) fn all(assumptions: &[Assumption]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut places: BTreeMap<Span, usize> = BTreeMap::new();
        for each in assumptions {
            let span = match each.source {
                AssumptionSource::Default => None,
                AssumptionSource::Marked(span) => Some(span),
            };
            if let Some(known) = span.and_then(|span| places.get(&span)) {
                all[*known].paths.push(each.path.clone());
                continue;
            }
            if let Some(span) = span {
                places.insert(span, all.len());
            }
            all.push(Self {
                paths: vec![each.path.clone()],
                value: without_anchor(&each.value),
                why: each.why.clone(),
                span,
                others: each
                    .alternatives
                    .iter()
                    .map(|text| without_anchor(text))
                    .collect(),
            });
        }
        all
    }

    /// Where it stands, in words: `` `workloads.a.concurrency` and 2 more ``.
    pub(super) fn what(&self) -> String {
        let first = format!("`{}`", self.paths[0]);
        match self.paths.len() {
            1 => first,
            count => format!("{first} and {} more", count - 1),
        }
    }

    /// Why it is so, and where that is written.
    pub(super) fn origin(&self, sources: &Sources) -> String {
        match self.span {
            Some(span) => format!("{}: {}", sources.locate(span), self.why),
            None => self.why.clone(),
        }
    }

    /// The overrides that put another value in its place everywhere.
    pub(super) fn sets(&self, other: &str) -> Vec<String> {
        let paths = self.paths.iter();
        paths.map(|path| format!("{path}={other}")).collect()
    }
}

/// A value as it would be written in another place.
fn without_anchor(text: &str) -> String {
    let inner = text
        .strip_prefix('&')
        .and_then(|rest| rest.split_once(char::is_whitespace));
    inner
        .map_or(text, |(_, value)| value.trim_start())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(path: &str, start: u32) -> Assumption {
        Assumption {
            path: path.into(),
            value: "&work 5ms".into(),
            why: "a guess".into(),
            alternatives: vec!["&work 2.5ms".into(), "&work 10ms".into()],
            source: AssumptionSource::Marked(Span {
                source: manifests::text::SourceId(0),
                start,
                end: start + 9,
            }),
        }
    }

    #[test]
    fn a_value_that_an_anchor_shares_is_one_assumption() {
        let all = Assumed::all(&[
            marked("a.time", 3),
            marked("b.time", 3),
            marked("c.time", 20),
        ]);
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].what().as_str(), all[0].value.as_str()),
            ("`a.time` and 1 more", "5ms")
        );
        assert_eq!(
            all[0].sets(&all[0].others[0]),
            ["a.time=2.5ms", "b.time=2.5ms"]
        );
        assert_eq!(all[1].what(), "`c.time`");
    }

    #[test]
    fn defaults_have_no_place_and_stay_apart() {
        let default = |path: &str| Assumption {
            source: AssumptionSource::Default,
            ..marked(path, 0)
        };
        assert_eq!(Assumed::all(&[default("a"), default("b")]).len(), 2);
    }
}
