//! From arguments to flights: every scenario read, checked and assembled before anything flies.

use std::path::{Path, PathBuf};

use manifests::diagnostics::{Diagnostic, Diagnostics, Severity};
use manifests::load::Object;
use manifests::model::Model;
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::origin::OriginId;
use reports::expect::{Expectation, Names};
use reports::setup::Origin;
use scenarios::assemble::{Assembled, assemble};
use scenarios::assumptions::Assumption;
use scenarios::open::{Opened, open};
use scenarios::plan::Plan;
use scenarios::read::{BASE, Override};

use crate::told::Told;
use sim::Flight;

/// How scenarios are to be flown differently from what they say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Only these variants; none: all.
    pub(crate) variants: Vec<String>,
    /// `path=value` each.
    pub(crate) sets: Vec<String>,
    /// Whether to look for what is allowed and most likely not meant.
    pub(crate) lints: bool,
}

/// A scenario as it was named.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its name, fit for a file.
    pub(crate) name: String,
    /// What the command line calls it.
    pub(crate) argument: PathBuf,
    /// In the order of the file.
    pub(crate) flights: Vec<Prepared>,
    reading: Reading,
}

/// One flight, ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) flight: Flight,
    /// None: the scenario as it stands.
    pub(crate) variant: Option<String>,
    pub(crate) expectations: Vec<Expectation>,
    /// What it was read from.
    pub(crate) sources: Sources,
    /// What was said of it.
    pub(crate) problems: Diagnostics,
    /// The variant's own edits, for people to compare.
    pub(crate) edits: String,
    /// What the command line set in the scenario: path and value.
    pub(crate) sets: Vec<(String, String)>,
}

impl Prepared {
    /// What was assumed, by path.
    pub(crate) fn assumptions(&self) -> &[Assumption] {
        &self.flight.plan.assumptions
    }
}

/// Reads every flight of a scenario that is wished for; what is wrong goes to `told`. `None` when nothing could be made of it.
pub(crate) fn prepare(path: &Path, wishes: &Wishes, told: &mut Told) -> Option<Scenario> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let opened = open(path, &mut sources, &mut problems);
    let mut sets = Vec::new();
    for text in &wishes.sets {
        sets.extend(Override::parse(text, &mut sources, &mut problems));
    }
    told.add(&problems, &sources);
    let opened = opened.filter(|_| !problems.has_errors())?;
    let reading = Reading {
        opened,
        sets,
        lints: wishes.lints,
        sources,
        problems,
    };
    let mut names = reading.opened.file.flights();
    if !wishes.variants.is_empty() {
        names = wishes.variants.iter().map(String::as_str).collect();
    }
    let mut flights = Vec::new();
    for name in names {
        let (ready, problems, sources) = reading.flight(Some(name));
        told.add(&problems, &sources);
        flights.extend(ready);
    }
    let name = flights.first()?.flight.plan.name.clone();
    Some(Scenario {
        name,
        argument: path.to_owned(),
        flights,
        reading,
    })
}

impl Scenario {
    /// One of its flights with more values set.
    ///
    /// # Errors
    /// With the first problem in words, when the scenario cannot be flown with those values.
    pub(crate) fn again(&self, variant: Option<&str>, sets: &[String]) -> Result<Prepared, String> {
        let mut sources = self.reading.sources.clone();
        let mut problems = Diagnostics::default();
        let mut all = self.reading.sets.clone();
        for set in sets {
            all.extend(Override::parse(set, &mut sources, &mut problems));
        }
        let reading = Reading {
            opened: self.reading.opened.clone(),
            sets: all,
            lints: false,
            sources,
            problems,
        };
        let (ready, problems, sources) = reading.flight(variant);
        ready.ok_or_else(|| {
            let all = problems.sorted();
            let first = all.iter().find(|each| each.severity() == Severity::Error);
            first.map_or_else(String::new, |each| each.to_line(&sources))
        })
    }
}

/// A scenario file that was opened, and what its flights share.
#[derive(Debug)]
struct Reading {
    opened: Opened,
    sets: Vec<Override>,
    lints: bool,
    sources: Sources,
    problems: Diagnostics,
}

impl Reading {
    /// Assembles one flight; with it, or without when that failed, everything that was said and the texts it is about.
    fn flight(&self, name: Option<&str>) -> (Option<Prepared>, Diagnostics, Sources) {
        let mut sources = self.sources.clone();
        let mut problems = self.problems.clone();
        let mut origins = Origins::default();
        let file = &self.opened.file;
        let assembled = assemble(
            file,
            name,
            &self.sets,
            &self.opened.folder,
            &mut sources,
            &mut origins,
            &mut problems,
        );
        let expectations = assembled
            .as_ref()
            .map(|flown| expectations(flown, &sources, &mut problems));
        if let Some(assembled) = assembled.as_ref().filter(|_| self.lints) {
            lint(assembled, &origins, &mut problems);
        }
        let Some(assembled) = assembled.filter(|_| !problems.has_errors()) else {
            return (None, problems, sources);
        };
        let origins = rows(&assembled, &origins, &sources);
        let flown = assembled.plan.flight.clone();
        let edits = file.variants().iter().find(|variant| variant.name == flown);
        let edits = edits.map(|variant| sources.slice(variant.edits()).to_owned());
        let sets = self.sets.iter();
        let sets = sets.map(|set| (set.path().to_owned(), set.text(&sources).to_owned()));
        let prepared = Prepared {
            sets: sets.collect(),
            variant: Some(flown).filter(|name| name != BASE),
            flight: Flight {
                plan: assembled.plan,
                model: assembled.model,
                changed: assembled.changed,
                pushed: assembled.pushed,
                origins,
            },
            expectations: expectations.unwrap_or_default(),
            edits: edits.unwrap_or_default(),
            sources: sources.clone(),
            problems: problems.clone(),
        };
        (Some(prepared), problems, sources)
    }
}

/// Looks at the manifests at the start and after each change of them, as the scenario uses them.
fn lint(assembled: &Assembled, origins: &Origins, problems: &mut Diagnostics) {
    let usage = scenarios::usage::of(&assembled.plan);
    let later = assembled.changed.iter().chain(&assembled.pushed).flatten();
    for model in std::iter::once(&assembled.model).chain(later) {
        manifests::lints::run(model, origins, &usage, problems);
    }
}

/// Reads and checks what is expected, with each problem at its place in the scenario.
fn expectations(
    flown: &Assembled,
    sources: &Sources,
    problems: &mut Diagnostics,
) -> Vec<Expectation> {
    let names = names(&flown.plan, &flown.model);
    let mut all = Vec::new();
    for written in &flown.plan.expectations {
        let errors = match Expectation::parse(&written.text) {
            Ok(expectation) => {
                let errors = expectation.check(&names);
                all.push(expectation);
                errors
            }
            Err(error) => vec![error],
        };
        for error in errors {
            let span = within(sources, written.span, &written.text, &error.range);
            let mut problem = Diagnostic::error("expect::invalid", error.message)
                .label(span, "in this expectation");
            if !error.help.is_empty() {
                problem = problem.help(error.help);
            }
            problems.push(problem);
        }
    }
    all
}

/// The place of a part of an expectation, when it is written in the file as it reads; else the whole.
fn within(sources: &Sources, whole: Span, text: &str, range: &std::ops::Range<usize>) -> Span {
    let Some(at) = sources.slice(whole).find(text) else {
        return whole;
    };
    let place = |offset: usize| u32::try_from(at + offset).ok()?.checked_add(whole.start);
    match (place(range.start), place(range.end)) {
        (Some(start), Some(end)) if end <= whole.end => Span {
            start,
            end,
            ..whole
        },
        (Some(_) | None, Some(_) | None) => whole,
    }
}

/// What expectations may name.
fn names(plan: &Plan, model: &Model) -> Names {
    let workloads = plan.workloads.iter().map(|workload| workload.full_name());
    let gateways = model.gateways().iter().map(|each| each.name.to_string());
    let mut all: Vec<String> = workloads.chain(gateways).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|name| seen.insert(name.clone()));
    Names {
        loads: plan
            .loads
            .iter()
            .map(|load| load.name.to_string())
            .collect(),
        workloads: all,
        // Gateways' routes decide at run time who calls whom.
        edges: None,
        clusters: plan
            .services
            .iter()
            .map(|service| format!("{}/{}", service.namespace, service.name))
            .collect(),
        faults: plan
            .faults
            .iter()
            .map(|fault| fault.name.to_string())
            .collect(),
        duration: plan.duration,
    }
}

/// Every origin as reports show it: written ones with the object that they stand in.
pub(crate) fn rows(flown: &Assembled, origins: &Origins, sources: &Sources) -> Vec<Origin> {
    let later = flown.changed.iter().chain(&flown.pushed).flatten();
    let models: Vec<&Model> = std::iter::once(&flown.model)
        .chain(later)
        .map(|model| &**model)
        .collect();
    let kind = |id: OriginId| {
        let Some(span) = origins.span(id) else {
            return String::new();
        };
        let object = object_at(&models, span);
        object.map_or_else(|| "scenario".to_owned(), |object| object.key.to_string())
    };
    origins
        .rows(sources)
        .enumerate()
        .map(|(nth, row)| Origin {
            text: row.text,
            snippet: row.snippet,
            kind: kind(OriginId(u32::try_from(nth).unwrap_or(u32::MAX))),
        })
        .collect()
}

/// The object of any of the models that a place lies in.
pub(crate) fn object_at<'a>(models: &[&'a Model], span: Span) -> Option<&'a Object> {
    let holds = |object: &&Object| {
        let whole = object.span();
        whole.source == span.source && whole.start <= span.start && span.start < whole.end
    };
    models
        .iter()
        .find_map(|model| model.world().objects().iter().find(holds))
}
