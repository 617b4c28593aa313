//! What several readings found, each thing once, with silences heeded: as text for people, as lines, JSON, Markdown and SARIF.
//!
//! Variants of a scenario share most of what they read, and say the same of it: a [`Findings`] takes in each reading's
//! [`Diagnostics`] with the texts they are about, keeps what is new, and knows places by file and line, so that it needs the texts no more.

mod json;
mod markdown;
mod sarif;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Severity, Silence, also};
use crate::lints;
use crate::text::{Sources, Span};

pub use json::to_json;
pub use markdown::to_markdown;
pub use sarif::to_sarif;

/// What was found so far.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What is drawn: this and what is graver; none: nothing.
    drawn: Option<Severity>,
    list: Vec<Finding>,
    silenced: Vec<Silenced>,
    seen: BTreeSet<String>,
    /// Notes by what they say, as places in `list`.
    same: BTreeMap<String, usize>,
    /// What is to be told of silences once all readings are in.
    silences: BTreeMap<(String, u32, u32), Used>,
}

/// A code of a silence.
#[derive(Clone, Debug)]
struct Used {
    is_used: bool,
    unused: Finding,
    no_reason: Option<Finding>,
}

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its stable code.
    pub code: &'static str,
    /// What it is, and for notes what it means for the result.
    pub kind: Kind,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The places it is about, the main one first; those that nobody wrote have none.
    pub places: Vec<Place>,
    /// Other places of which the same note holds.
    pub others: Vec<Place>,
    /// With the text around each place, for people; empty where nobody wants it.
    pub drawn: String,
    /// As `error[code]: message`, without a place.
    rest: String,
    weight: u8,
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// The line of its end.
    pub end_line: u32,
    /// One past its last character.
    pub end_column: u32,
    /// What is said of it; may be empty.
    pub text: String,
}

/// Something that was found, and that somebody had asked to be spared of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silenced {
    /// What was found.
    pub finding: Finding,
    /// Why it is silenced; may be empty.
    pub reason: String,
    /// Where that is written.
    pub by: Place,
}

/// How many findings there are of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// The input is refused.
    pub errors: usize,
    /// Most likely a mistake.
    pub warnings: usize,
    /// Worth a look.
    pub advice: usize,
    /// Worth knowing: not modelled, assumed, without a bearing.
    pub notes: usize,
    /// Not told, since somebody asked for that.
    pub silenced: usize,
}

/// What is refused besides errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deny {
    /// Warnings.
    Warnings,
    /// Warnings and advice.
    Advice,
    /// Whatever there is to say.
    Notes,
    /// This code, or all of an area (`retry::`).
    Code(String),
}

impl Default for Findings {
    fn default() -> Self {
        Self::new(Some(Severity::Note))
    }
}

impl Findings {
    /// None yet. Those of this severity and graver ones are drawn for people, which costs some time.
    #[must_use]
    pub const fn new(drawn: Option<Severity>) -> Self {
        Self {
            drawn,
            list: Vec::new(),
            silenced: Vec::new(),
            seen: BTreeSet::new(),
            same: BTreeMap::new(),
            silences: BTreeMap::new(),
        }
    }

    /// Takes in what one reading found.
    pub fn add(&mut self, problems: &Diagnostics, sources: &Sources) {
        for silence in problems.silences() {
            self.meet(silence, sources);
        }
        for each in problems.sorted() {
            self.take(each, problems.silences(), sources);
        }
    }

    /// Ends the readings: tells of silences that silenced nothing in any of them, and of those without a reason. Only for readings with
    /// lints, since silences are mostly of those.
    pub fn close(&mut self) {
        for (_, used) in std::mem::take(&mut self.silences) {
            if !used.is_used {
                self.list.push(used.unused);
            }
            self.list.extend(used.no_reason);
        }
    }

    /// Remembers a silence until something is found for each of its codes.
    fn meet(&mut self, silence: &Silence, sources: &Sources) {
        for (nth, code) in silence.codes.iter().enumerate() {
            let Some(key) = key(silence, nth, sources) else {
                continue;
            };
            if self.silences.contains_key(&key) {
                continue;
            }
            let no_reason = lints::no_reason(silence).filter(|_| nth == 0);
            let used = Used {
                is_used: false,
                unused: self.finding(&lints::unused(code), sources),
                no_reason: no_reason.map(|it| self.finding(&it, sources)),
            };
            self.silences.insert(key, used);
        }
    }

    fn take(&mut self, each: &Diagnostic, silences: &[Silence], sources: &Sources) {
        let mut by = silences.iter();
        let silence = by.find_map(|silence| Some((silence, silence.code_for(each)?)));
        if let Some((silence, code)) = silence {
            let nth = silence
                .codes
                .iter()
                .position(|it| it.span == code.span && it.value == code.value);
            let key = key(silence, nth.unwrap_or_default(), sources);
            if let Some(used) = key.and_then(|key| self.silences.get_mut(&key)) {
                used.is_used = true;
            }
        }
        let line = each.to_line(sources);
        if !self.seen.insert(line) {
            return;
        }
        let finding = self.finding(each, sources);
        if let Some((silence, _)) = silence {
            let by = Place::of(silence.span, String::new(), sources);
            self.silenced.extend(by.map(|by| Silenced {
                finding,
                reason: silence.reason.clone(),
                by,
            }));
            return;
        }
        if each.severity() == Severity::Note {
            let says = format!("{} {} {:?}", each.code, each.message, each.kind);
            if let (Some(at), Some(place)) = (self.same.get(&says), finding.places.first()) {
                self.list[*at].others.push(place.clone());
                return;
            }
            self.same.insert(says, self.list.len());
        }
        self.list.push(finding);
    }

    fn finding(&self, diagnostic: &Diagnostic, sources: &Sources) -> Finding {
        let is_drawn = self
            .drawn
            .is_some_and(|least| diagnostic.severity() <= least);
        Finding::of(diagnostic, sources, is_drawn)
    }

    /// Everything that is told, the gravest kinds first.
    #[must_use]
    pub fn all(&self) -> Vec<&Finding> {
        let mut all: Vec<&Finding> = self.list.iter().collect();
        all.sort_by_key(|each| each.weight);
        all
    }

    /// What is not told.
    #[must_use]
    pub fn silenced(&self) -> &[Silenced] {
        &self.silenced
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            silenced: self.silenced.len(),
            ..Counts::default()
        };
        for each in self.all() {
            *match each.kind {
                Kind::Error => &mut counts.errors,
                Kind::Warning => &mut counts.warnings,
                Kind::Advice => &mut counts.advice,
                Kind::NotModelled { .. } | Kind::Assumed { .. } | Kind::Listed => &mut counts.notes,
            } += 1;
        }
        counts
    }

    /// Those that are refused although they are no errors.
    #[must_use]
    pub fn denied(&self, rules: &[Deny]) -> Vec<&Finding> {
        let mut all = self.all();
        all.retain(|each| rules.iter().any(|rule| rule.takes(each)));
        all
    }
}

/// Where a code of a silence is written, which is the same in each reading.
fn key(silence: &Silence, nth: usize, sources: &Sources) -> Option<(String, u32, u32)> {
    let place = Place::of(silence.span, String::new(), sources)?;
    let nth = u32::try_from(nth).ok()?;
    Some((place.file, place.line, nth))
}

impl Finding {
    fn of(diagnostic: &Diagnostic, sources: &Sources, is_drawn: bool) -> Self {
        let drawn = is_drawn.then(|| diagnostic.render(sources));
        let labels = diagnostic.labels.iter();
        let places = labels.filter_map(|it| Place::of(it.span, it.text.clone(), sources));
        Self {
            code: diagnostic.code,
            kind: diagnostic.kind.clone(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            places: places.collect(),
            others: Vec::new(),
            drawn: drawn.unwrap_or_default(),
            rest: diagnostic.to_words(),
            weight: diagnostic.weight(),
        }
    }

    /// How grave it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// A line for each place of which it holds: `file:line:column: error[code]: message`.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for place in self.places.iter().take(1).chain(&self.others) {
            let Place {
                file, line, column, ..
            } = place;
            lines.push_str(&format!("{file}:{line}:{column}: {}\n", self.rest));
        }
        match lines.is_empty() {
            true => format!("{}\n", self.rest),
            false => lines,
        }
    }

    /// Drawn for people, with the other places of which the same holds.
    #[must_use]
    pub fn text(&self) -> String {
        let others: Vec<String> = self.others.iter().map(Place::cite).collect();
        let also = also(&others);
        match also.is_empty() {
            true => self.drawn.clone(),
            false => format!("{}  {also}\n", self.drawn),
        }
    }
}

impl Place {
    fn of(span: Span, text: String, sources: &Sources) -> Option<Self> {
        let source = sources.get(span.source)?;
        let end = Span {
            start: span.end,
            ..span
        };
        let (start, end) = (sources.position(span)?, sources.position(end)?);
        Some(Self {
            file: source.name().to_owned(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            text,
        })
    }

    /// `file:line`.
    #[must_use]
    pub fn cite(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl Counts {
    /// `2 errors, 1 warning, 3 silenced`; empty when there is nothing.
    #[must_use]
    pub fn words(&self) -> String {
        let plural = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        let mut words = Vec::new();
        for (count, one) in [(self.errors, "error"), (self.warnings, "warning")] {
            if count > 0 {
                words.push(plural(count, one));
            }
        }
        if self.advice > 0 {
            let pieces = if self.advice == 1 { "piece" } else { "pieces" };
            words.push(format!("{} {pieces} of advice", self.advice));
        }
        if self.notes > 0 {
            words.push(plural(self.notes, "note"));
        }
        if self.silenced > 0 {
            words.push(format!("{} silenced", self.silenced));
        }
        words.join(", ")
    }
}

impl Deny {
    /// `warnings`, `advice`, `notes`, a code, or an area with its colons; none: nothing is called so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "warning" | "warnings" => Some(Self::Warnings),
            "advice" => Some(Self::Advice),
            "note" | "notes" => Some(Self::Notes),
            _ if text.contains("::") && !text.starts_with("::") => {
                Some(Self::Code(text.to_owned()))
            }
            _ => None,
        }
    }

    fn takes(&self, finding: &Finding) -> bool {
        match self {
            Self::Warnings => finding.severity() <= Severity::Warning,
            Self::Advice => finding.severity() <= Severity::Warning || finding.kind == Kind::Advice,
            Self::Notes => true,
            Self::Code(code) => match code.ends_with("::") {
                true => finding.code.starts_with(code),
                false => finding.code == code,
            },
        }
    }
}
