//! What a result rests on.

use std::collections::BTreeSet;

use manifests::diagnostics::{Diagnostic, Kind, also};
use manifests::dialects::DIALECTS;
use manifests::model::Model;
use manifests::text::Sources;
use reports::result::{Assumption, NotModelled, RunResult};
use xxhash_rust::xxh3::xxh3_64;

use super::assumed::Assumed;
use crate::prepare::{Prepared, object_at};

/// What the text of a variant's edits is called beside the manifests.
const EDITS: &str = "lines of the variant in the scenario";
/// What begins the name of a text from the command line; such texts are in the command already.
const SET: &str = "--set ";

/// Fills in everything but what the flight itself left there.
pub(crate) fn fill(
    result: &mut RunResult,
    flight: &Prepared,
    command: String,
    differing: &BTreeSet<(String, String)>,
) {
    let loaded = loaded(result);
    let basis = &mut result.basis;
    basis.version = env!("CARGO_PKG_VERSION").to_owned();
    basis.command = command;
    basis.digests = texts(&flight.sources)
        .map(|(name, text)| (name.to_owned(), digest(text)))
        .collect();
    basis.releases = releases(&flight.flight.model);
    basis.assumptions = assumptions(flight);
    basis.set = flight.sets.clone();
    basis.not_modelled = not_modelled(flight, &loaded);
    basis.diagnostics = flight.problems.to_grouped_lines(&flight.sources);
    let mut shown: Vec<(String, String)> = texts(&flight.sources)
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .filter(|each| differing.contains(each))
        .collect();
    let edits = undescribed(&dedented(&flight.edits));
    if !edits.is_empty() && !differing.is_empty() {
        shown.push((EDITS.to_owned(), edits));
    }
    basis.manifests = shown;
}

/// Lines after the first moved left together: the first was cut out of the middle of its line.
fn dedented(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let rest = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let least = rest.map(indent).min().unwrap_or(0);
    let moved = text.lines().enumerate().map(|(at, line)| match at {
        0 => line,
        _ => line.get(least..).unwrap_or_default(),
    });
    moved.collect::<Vec<&str>>().join("\n")
}

/// Without its description, which changes nothing.
fn undescribed(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        let goes_on = line.starts_with(' ') || line.trim().is_empty();
        inside = line.starts_with("description:") || (inside && goes_on);
        !inside
    });
    kept.collect::<Vec<&str>>().join("\n")
}

/// Texts that some flights of a scenario read and others do not; they are set side by side. Empty for one flight.
pub(crate) fn differing<'a>(
    flights: impl Iterator<Item = &'a Prepared>,
) -> BTreeSet<(String, String)> {
    let of = |flight: &Prepared| -> BTreeSet<(String, String)> {
        let all = texts(&flight.sources);
        let mut all: BTreeSet<(String, String)> = all
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        all.insert((EDITS.to_owned(), flight.edits.clone()));
        all
    };
    let sets: Vec<BTreeSet<(String, String)>> = flights.map(of).collect();
    let Some(first) = sets.first() else {
        return BTreeSet::new();
    };
    let everywhere = |each: &&(String, String)| sets.iter().all(|set| set.contains(*each));
    let common: BTreeSet<(String, String)> = first.iter().filter(everywhere).cloned().collect();
    let all = sets.iter().flatten().cloned();
    all.filter(|each| !common.contains(each)).collect()
}

/// What was read from files, each once.
fn texts(sources: &Sources) -> impl Iterator<Item = (&str, &str)> {
    let mut seen = BTreeSet::new();
    sources
        .iter()
        .map(|(_, source)| (source.name(), source.text()))
        .filter(move |(name, text)| !name.starts_with(SET) && seen.insert((*name, *text)))
}

/// Of the text as it was understood: what is secret in it is blanked first.
fn digest(text: &str) -> String {
    format!("xxh3:{:016x}", xxh3_64(text.as_bytes()))
}

fn releases(model: &Model) -> Vec<(String, String)> {
    let mesh = model.mesh().and_then(|text| text.split_once('@'));
    let mut all: Vec<(String, String)> = mesh
        .map(|(system, release)| (system.to_owned(), release.to_owned()))
        .into_iter()
        .collect();
    for dialect in DIALECTS {
        let runs = model
            .gateways()
            .iter()
            .any(|each| each.dialect == dialect.name);
        if runs && !all.iter().any(|(system, _)| system == dialect.name) {
            all.push((dialect.name.to_owned(), dialect.releases[0].to_owned()));
        }
    }
    all
}

/// Those of the scenario by path, then those of the manifests.
fn assumptions(flight: &Prepared) -> Vec<Assumption> {
    let assumed = Assumed::all(flight.assumptions());
    let of_scenario = assumed.iter().map(|each| Assumption {
        what: each.what(),
        value: each.value.clone(),
        origin: each.origin(&flight.sources),
        tried: Vec::new(),
    });
    let mut all: Vec<Assumption> = of_scenario.collect();
    for each in flight.problems.notes() {
        if let Kind::Assumed { meaning } = &each.kind {
            let place = each.span().map(|span| flight.sources.locate(span));
            all.push(Assumption {
                what: each.message.clone(),
                value: meaning.clone(),
                origin: place.unwrap_or_default(),
                tried: Vec::new(),
            });
        }
    }
    all
}

/// Names of workloads that dealt with requests, were called, or are entered by a load.
fn loaded(result: &RunResult) -> BTreeSet<String> {
    let mut at: BTreeSet<u32> = result.loads.iter().filter_map(|load| load.enters).collect();
    for edge in result
        .edges
        .iter()
        .filter(|edge| edge.totals.attempts() > 0)
    {
        at.extend([edge.from, edge.to]);
    }
    let numbered = result.workloads.iter().zip(0_u32..);
    numbered
        .filter(|(workload, nth)| at.contains(nth) || workload.handled.values().any(|n| *n > 0))
        .map(|(workload, _)| workload.name.clone())
        .collect()
}

/// What is not modelled, told once for all places on loaded paths, and once for those elsewhere; first what is traffic policy.
fn not_modelled(flight: &Prepared, loaded: &BTreeSet<String>) -> Vec<NotModelled> {
    let mut notes = flight.problems.notes();
    notes.sort_by_key(|note| note.weight());
    let mut all: Vec<(NotModelled, Vec<String>)> = Vec::new();
    for note in notes {
        let Kind::NotModelled { meaning } = &note.kind else {
            continue;
        };
        let place = note.span().map(|span| flight.sources.locate(span));
        let one = NotModelled {
            field: note.message.clone(),
            means: meaning.clone(),
            on_loaded_path: is_loaded(note, flight, loaded),
        };
        match all.iter_mut().find(|(known, _)| *known == one) {
            Some((_, places)) => places.extend(place),
            None => all.push((one, place.into_iter().collect())),
        }
    }
    let located = all.into_iter().map(|(mut one, places)| {
        if let Some((first, others)) = places.split_first() {
            one.field = format!("{first} {}", one.field);
            if !others.is_empty() {
                one.field.push_str(&format!(" ({})", also(others)));
            }
        }
        one
    });
    located.collect()
}

/// Whether the object that a note is about lies on a path that carried load. Rather too often than too seldom: its text names a
/// workload that did, or it names no workload at all and so may concern every one.
fn is_loaded(note: &Diagnostic, flight: &Prepared, loaded: &BTreeSet<String>) -> bool {
    let later = flight.flight.changed.iter().chain(&flight.flight.pushed);
    let mut models: Vec<&Model> = vec![&flight.flight.model];
    models.extend(later.flatten().map(|model| &**model));
    let Some(object) = note.span().and_then(|span| object_at(&models, span)) else {
        return true;
    };
    let words: BTreeSet<&str> = flight
        .sources
        .slice(object.span())
        .split(is_border)
        .collect();
    let named = |name: &str| words.contains(name);
    let all = flight.flight.plan.workloads.iter();
    loaded.iter().any(|name| named(name)) || !all.map(|each| &*each.name).any(named)
}

/// What ends a name of Kubernetes; a dot does, since `orders.default.svc` names `orders`.
fn is_border(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_text_alone() {
        // Of the empty text, as the reference implementation's tests have it.
        assert_eq!(digest(""), "xxh3:2d06800538d394c2");
        assert_ne!(digest("a"), digest("b"));
    }

    #[test]
    fn edits_start_at_the_margin() {
        assert_eq!(
            dedented("a: b\n      c:\n        - d\n\n      e: f"),
            "a: b\nc:\n  - d\n\ne: f"
        );
    }

    #[test]
    fn a_description_is_no_difference() {
        let text = "description: >\n  a\n\n  b\nmesh: linkerd\nmanifests+: [linkerd/]";
        assert_eq!(undescribed(text), "mesh: linkerd\nmanifests+: [linkerd/]");
        assert_eq!(undescribed("description: \"as it stands\""), "");
    }

    #[test]
    fn words_of_an_object_are_names_of_kubernetes() {
        let words: Vec<&str> = "host: orders-v2.shop.svc".split(is_border).collect();
        assert_eq!(words, ["host", "", "orders-v2", "shop", "svc"]);
    }
}
