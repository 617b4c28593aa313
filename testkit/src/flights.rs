//! Whole flights of the simulator, from the text of a scenario to its result.

use std::path::Path;

use manifests::diagnostics::Diagnostics;
use manifests::origins::Origins;
use manifests::text::Sources;
use reports::result::RunResult;
use scenarios::assemble::assemble;
use scenarios::read::{File, Override};
use sim::{Flight, Options};

/// One flight of a scenario text, whose manifests lie in `folder`; `sets` are overrides as on the command line.
///
/// # Panics
/// With the diagnostics, when the scenario cannot be flown.
#[must_use]
pub fn flight_in(folder: &Path, yaml: &str, variant: Option<&str>, sets: &[&str]) -> Flight {
    let (flight, told) = told_in(folder, yaml, variant, sets);
    flight.unwrap_or_else(|| panic!("{told}"))
}

/// The same with all that is told of it; no flight when it cannot be flown.
///
/// # Panics
/// When an override is none.
#[must_use]
pub fn told_in(
    folder: &Path,
    yaml: &str,
    variant: Option<&str>,
    sets: &[&str],
) -> (Option<Flight>, String) {
    let mut sources = Sources::default();
    let mut origins = Origins::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("scenario.yaml", yaml);
    let file = File::parse(&sources, source, &mut problems);
    let overrides: Vec<Override> = sets
        .iter()
        .map(|set| Override::parse(set, &mut sources, &mut problems).expect("an override"))
        .collect();
    let flown = file.and_then(|file| {
        assemble(
            &file,
            variant,
            &overrides,
            folder,
            &mut sources,
            &mut origins,
            &mut problems,
        )
    });
    let told = problems.render(&sources).to_string();
    let Some(flown) = flown else {
        return (None, told);
    };
    let texts = origins.rows(&sources).map(|origin| reports::setup::Origin {
        text: origin.text,
        snippet: origin.snippet,
        kind: String::new(),
    });
    let flight = Flight {
        changed: flown.changed,
        pushed: flown.pushed,
        ..Flight::new(flown.plan, flown.model, texts.collect())
    };
    (Some(flight), told)
}

/// One flight of a scenario text without manifests.
#[must_use]
pub fn flight(yaml: &str) -> Flight {
    flight_in(Path::new("."), yaml, None, &[])
}

/// Flies a scenario text under its own seed.
#[must_use]
pub fn fly(yaml: &str) -> RunResult {
    let flight = flight(yaml);
    sim::fly(&flight, flight.plan.seed, Options::default()).result
}

/// A scenario with this specification.
#[must_use]
pub fn scenario(spec: &str) -> String {
    format!(
        "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: test}}\nspec:\n{spec}"
    )
}

/// The folder of the shipped scenarios.
#[must_use]
pub fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// One flight of a shipped scenario.
///
/// # Panics
/// When it cannot be read or flown.
#[must_use]
pub fn shipped_flight(name: &str, variant: Option<&str>, sets: &[&str]) -> Flight {
    let folder = shipped().join(name);
    let text = std::fs::read_to_string(folder.join("scenario.yaml")).expect("a shipped scenario");
    flight_in(&folder, &text, variant, sets)
}
