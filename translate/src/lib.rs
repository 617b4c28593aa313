//! The nearest manifests of another system, and every difference in behaviour that remains.
//!
//! [`translate`] takes a compiled model, whatever dialects it was read from. What its proxies go by ([`intent`]) is written with the means of a
//! target ([`targets`]), which says of itself what it has no means for ([`Loss`]). Then the written text is read again by the readers that read
//! every manifest, and both models are asked the same by [`compare`]: what they decide differently is the rest, whether or not a loss explains
//! it. So nothing is claimed to be the same that was not compared, and a fault of a writer shows as a difference.
//!
//! The crate writes no files and prints nothing.
#![deny(missing_docs)]

pub mod intent;
mod loss;
mod object;
mod report;
pub mod targets;
mod verify;
mod write;
pub mod yaml;

use manifests::load::ObjectKey;

use intent::{Intent, Source};
use targets::Target;

pub use loss::{Loss, Reach};
pub use object::{Object, Written, dns_name};
pub use report::{to_json, to_markdown, to_text};
pub use write::{OutFile, files, stream};

/// What came of a translation.
#[derive(Debug)]
pub struct Translation {
    /// What it was translated from: `istio@1.29, kong`.
    pub source: String,
    /// What it was translated to.
    pub target: &'static Target,
    /// Objects in the order in which they are written, each with what it came from in words.
    pub objects: Vec<(Object, Vec<String>)>,
    /// Files that hold no objects, by name.
    pub files: Vec<(String, String)>,
    /// What remains different, by place.
    pub differences: Vec<Remaining>,
    /// What could not be read of what was written: faults of this crate, one line each.
    pub faults: Vec<String>,
    /// What people have to do besides.
    pub notes: Vec<String>,
    /// Objects that are said by the new ones.
    pub replaced: Vec<ObjectKey>,
    /// Secrets and the like, which stay where they are.
    pub left: Vec<ObjectKey>,
    /// How much was asked of both.
    pub asked: compare::Asked,
}

/// A difference in behaviour that remains.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Remaining {
    /// What it is about; none: a writer's words alone, or who has a sidecar.
    pub area: Option<compare::Area>,
    /// Whose behaviour: `everywhere`, `gateway kong/kong`, `callers of default/cart`, `pods of default/cart`, or a place as it was found.
    pub place: String,
    /// What: `timeout`, `retry.on`, or in a writer's words.
    pub what: String,
    /// What the source does; empty where a writer's own words say it all.
    pub before: String,
    /// Where that comes from: `vs.yaml:14`.
    pub rule: String,
    /// What the target does instead.
    pub after: String,
    /// Why the target cannot say it; empty: it was found by comparing, and no writer explains it.
    pub why: String,
    /// A request that shows it; empty where none was asked.
    pub example: String,
    /// Whether it was found by comparing, and not only told by a writer.
    pub found: bool,
}

impl Translation {
    /// Whether the target does all that the source did, as far as proxies were asked.
    #[must_use]
    pub fn is_equivalent(&self) -> bool {
        self.differences.is_empty() && self.faults.is_empty()
    }
}

/// Writes the nearest manifests of `target`, reads them again, and tells what remains different.
#[must_use]
pub fn translate(source: Source<'_>, target: &'static Target) -> Translation {
    let intent = Intent::of(source, target);
    let mut written = Written {
        objects: intent.carried.clone(),
        ..Written::default()
    };
    tell(&intent, &mut written);
    (target.write)(&intent, &mut written);
    write::order(&mut written.objects);
    let verdict = verify::verify(&intent, target, &written);
    let words = |object: &Object| -> Vec<String> {
        let rules = object.from.iter();
        let rules = rules.filter(|rule| source.is_written(**rule));
        let mut words: Vec<String> = rules.map(|rule| source.words(*rule)).collect();
        if !object.place.is_empty() {
            words.insert(0, object.place.clone());
        }
        words.dedup();
        words
    };
    Translation {
        source: intent.system(),
        target,
        objects: written
            .objects
            .iter()
            .map(|object| (object.clone(), words(object)))
            .collect(),
        differences: verdict.differences,
        faults: verdict.faults,
        asked: verdict.asked,
        files: written.files,
        notes: written.notes,
        replaced: intent.replaced,
        left: intent.left,
    }
}

/// Says what was taken out of what is carried over.
fn tell(intent: &Intent<'_>, written: &mut Written) {
    if !intent.taken_out.is_empty() {
        let keys = intent.taken_out.iter();
        let keys: Vec<String> = keys
            .map(|(key, count)| match count {
                1 => format!("`{key}`"),
                count => format!("`{key}` ({count})"),
            })
            .collect();
        written.note(format!(
            "labels and annotations of other systems were taken out: {}",
            keys.join(", ")
        ));
    }
    for workload in &intent.unmarked {
        written.note(format!(
            "pods of {workload} had no sidecar and are to have none: mark them where they are made"
        ));
    }
}
