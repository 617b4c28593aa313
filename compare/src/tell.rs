//! What was found, each thing once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use proxy_core::origin::{OriginId, Sourced};

use super::{Area, Asked, Comparison, Difference, Options, Said, Side};

/// What one side has of a number of fields, in an order that both sides share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    area: Area,
    what: Cow<'static, str>,
    /// What it is compared by.
    key: String,
    /// What it is called; empty: `key`.
    shown: String,
    origin: OriginId,
}

impl Sheet {
    /// Adds a field: equal texts are equal values.
    pub(crate) fn row(
        &mut self,
        area: Area,
        what: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
        origin: OriginId,
    ) {
        self.rows.push(Row {
            area,
            what: what.into(),
            key: text.into(),
            shown: String::new(),
            origin,
        });
    }

    /// Adds a field that is there or not, with fields of its own that count where both sides have it.
    pub(crate) fn part(
        &mut self,
        area: Area,
        what: &'static str,
        inner: Option<Self>,
        origin: OriginId,
    ) {
        let Some(inner) = inner else {
            self.row(area, what, NONE, origin);
            return;
        };
        let shown = inner.summary(what);
        self.rows.push(Row {
            area,
            what: what.into(),
            key: "some".to_owned(),
            shown,
            origin,
        });
        self.rows.extend(inner.rows);
    }

    /// All of another sheet.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Everything in words: `on 5xx, retries 2`.
    fn summary(&self, of: &str) -> String {
        let prefix = format!("{of}.");
        let words = self.rows.iter().filter(|row| row.key != NONE);
        let words: Vec<String> = words
            .map(|row| {
                let what = row.what.strip_prefix(&*prefix).unwrap_or(&row.what);
                format!("{what} {}", row.shown())
            })
            .collect();
        match words.is_empty() {
            true => "set".to_owned(),
            false => words.join(", "),
        }
    }

    /// The texts of all rows, to tell sheets apart.
    pub(crate) fn key(&self) -> String {
        let rows = self.rows.iter();
        let rows: Vec<String> = rows
            .map(|row| format!("{}={}", row.what, row.key))
            .collect();
        rows.join("\n")
    }
}

impl Row {
    fn shown(&self) -> &str {
        match self.shown.is_empty() {
            true => &self.key,
            false => &self.shown,
        }
    }
}

/// What is not there.
pub(crate) const NONE: &str = "none";

/// A value in words, or that there is none.
pub(crate) fn maybe<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), words)
}

/// The same of a value with its rule: the words, and the rule, or that of whoever would have set it.
pub(crate) fn sourced<T: Copy>(
    value: Option<Sourced<T>>,
    around: OriginId,
    words: impl FnOnce(T) -> String,
) -> (String, OriginId) {
    match value {
        Some(value) => (words(value.value), value.origin),
        None => (NONE.to_owned(), around),
    }
}

/// Where it was asked, and what shows it.
pub(crate) struct Context<'a> {
    pub(crate) place: &'a str,
    pub(crate) example: &'a dyn Fn() -> String,
}

/// What tells a difference from others: the field, and text and origin of both sides.
type Key = (String, [(String, String); 2]);

/// Everything that was found so far.
pub(crate) struct Tell<'a> {
    sides: [&'a Side<'a>; 2],
    options: &'a Options,
    pub(crate) asked: Asked,
    list: Vec<Difference>,
    places: Vec<BTreeSet<String>>,
    /// The turn in which each was told last.
    turns: Vec<usize>,
    turn: usize,
    known: BTreeMap<Key, usize>,
    passed: BTreeMap<String, usize>,
}

impl<'a> Tell<'a> {
    pub(crate) const fn new(sides: [&'a Side<'a>; 2], options: &'a Options) -> Self {
        Self {
            sides,
            options,
            asked: Asked {
                connections: 0,
                requests: 0,
                clusters: 0,
            },
            list: Vec::new(),
            places: Vec::new(),
            turns: Vec::new(),
            turn: 0,
            known: BTreeMap::new(),
            passed: BTreeMap::new(),
        }
    }

    /// Compares two sheets row by row, and gives the differences by their numbers.
    pub(crate) fn sheets(
        &mut self,
        context: &Context<'_>,
        left: &Sheet,
        right: &Sheet,
    ) -> Vec<usize> {
        let mut found = Vec::new();
        self.rows(left, right, |tell, row, other| {
            found.extend(tell.difference(context, row, other));
        });
        found
    }

    /// The same of fields whose texts depend on what was asked: of each field the first difference is told, and later ones are counted with it.
    pub(crate) fn firsts(
        &mut self,
        context: &Context<'_>,
        left: &Sheet,
        right: &Sheet,
        known: &mut BTreeMap<String, usize>,
    ) {
        self.rows(left, right, |tell, row, other| {
            match known.get(&*row.what) {
                Some(at) => tell.again(&[*at]),
                None => {
                    let found = tell.difference(context, row, other);
                    known.extend(found.map(|at| (row.what.to_string(), at)));
                }
            }
        });
    }

    /// Shows each field that both sheets have and that differs.
    fn rows(&mut self, left: &Sheet, right: &Sheet, mut see: impl FnMut(&mut Self, &Row, &Row)) {
        // fields stand in one order on both sides: those of one side alone follow from what was told before
        let mut others = right.rows.iter();
        for row in &left.rows {
            let Some(at) = others.clone().position(|it| it.what == row.what) else {
                continue;
            };
            let Some(other) = others.nth(at) else {
                continue;
            };
            if row.key != other.key {
                see(self, row, other);
            }
        }
    }

    /// Tells of one field.
    pub(crate) fn field(
        &mut self,
        context: &Context<'_>,
        area: Area,
        what: &'static str,
        said: [(String, OriginId); 2],
    ) {
        let [left, right] = said.map(|(text, origin)| {
            let mut sheet = Sheet::default();
            sheet.row(area, what, text, origin);
            sheet
        });
        self.sheets(context, &left, &right);
    }

    fn difference(&mut self, context: &Context<'_>, left: &Row, right: &Row) -> Option<usize> {
        if self.options.passed_areas.contains(&left.area) {
            return None;
        }
        if self.options.passed_fields.contains(&*left.what) {
            self.pass(format!("{}: not told of", left.what));
            return None;
        }
        let said = |row: &Row, side: usize| Said {
            text: row.shown().to_owned(),
            origin: (self.sides[side].origin)(row.origin),
            id: row.origin,
        };
        let (left, right, area, what) = (said(left, 0), said(right, 1), left.area, &left.what);
        let words = |said: &Said| (said.text.clone(), said.origin.clone());
        let key: Key = (what.to_string(), [words(&left), words(&right)]);
        if let Some(at) = self.known.get(&key).copied() {
            self.places[at].insert(context.place.to_owned());
            self.again(&[at]);
            return Some(at);
        }
        let at = self.list.len();
        self.list.push(Difference {
            area,
            place: context.place.to_owned(),
            what: what.to_string(),
            left,
            right,
            example: (context.example)(),
            count: 1,
            places: 1,
        });
        self.places.push(BTreeSet::from([context.place.to_owned()]));
        self.turns.push(self.turn);
        self.known.insert(key, at);
        Some(at)
    }

    /// The same differences show again, in the same place; what shows several times in one turn counts once.
    pub(crate) fn again(&mut self, found: &[usize]) {
        for at in found {
            if self.turns[*at] != self.turn {
                self.turns[*at] = self.turn;
                self.list[*at].count += 1;
            }
        }
    }

    /// Something else is asked about.
    pub(crate) const fn turn(&mut self) {
        self.turn += 1;
    }

    /// Counts what is not compared.
    pub(crate) fn pass(&mut self, what: impl Into<String>) {
        *self.passed.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn done(mut self) -> Comparison {
        for (difference, places) in self.list.iter_mut().zip(&self.places) {
            difference.places = places.len();
        }
        Comparison {
            asked: self.asked,
            differences: self.list,
            passed: self.passed,
        }
    }
}
