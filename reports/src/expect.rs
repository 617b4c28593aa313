//! Expectations: what must hold of a result, written in a part of CEL.
//!
//! Grammar and tokens are CEL's; of its library there is what a number, a duration and a truth value need: comparisons,
//! `&& || !`, `?:`, `+ - * /`, `duration('1m30s')`, and the functions of [`Figure`]. Lists, maps, macros and fields of
//! other types are refused. Departs from CEL: every number is a double, and a duration may be multiplied or divided by a
//! number or divided by a duration. What is wrong with an expectation is said before the run: [`Expectation::parse`]
//! finds syntax, functions and types, [`Expectation::check`] the names of this scenario.
//!
//! A figure without samples has no value. As with an error in CEL, `false && …` and `true || …` do not need the other
//! side; otherwise the expectation is inconclusive.

use std::ops::Range;

mod check;
mod evaluate;
mod figure;
mod go_duration;
mod near;
mod syntax;
#[cfg(test)]
mod tests;

pub use check::Names;
pub use evaluate::judge;
pub use figure::{Figure, Window};
pub use go_duration::{format_go, parse_go};

/// Most bytes of one expectation.
pub const MAX_LENGTH: usize = 1_000;
/// Most brackets within brackets, and most operators within operators.
pub const MAX_NESTING: usize = 24;

/// What is wrong with an expectation, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExpectError {
    /// Bytes of the expectation.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What could be done about it; empty when nothing comes to mind.
    pub help: String,
}

impl ExpectError {
    fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            range,
            message: message.into(),
            help: String::new(),
        }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: help.into(),
            ..self
        }
    }
}

/// One expectation, well formed and well typed.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    text: String,
    root: Node,
}

impl Expectation {
    /// Reads an expectation; it must be a truth value.
    ///
    /// # Errors
    /// On too long or too deep a text, on a syntax error, and on unknown functions, wrong arguments and wrong types.
    pub fn parse(text: &str) -> Result<Self, ExpectError> {
        let root = syntax::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    /// The text as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A part of an expectation and the bytes it was written in.
#[derive(Clone, PartialEq, Debug)]
struct Node {
    range: Range<usize>,
    expr: Expr,
}

#[derive(Clone, PartialEq, Debug)]
enum Expr {
    Bool(bool),
    Number(f64),
    /// Nanoseconds.
    Duration(f64),
    Figure(Figure, Written),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    Conditional(Box<Node>, Box<Node>, Box<Node>),
}

/// Where the names in a figure were written, in the order of its arguments.
type Written = Vec<Range<usize>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Binary {
    And,
    Or,
    Compare(Compare),
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// What a part yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Number,
    Duration,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::Duration => "a duration",
        }
    }
}

impl Node {
    const fn kind(&self) -> Kind {
        match &self.expr {
            Expr::Bool(_) | Expr::Not(_) => Kind::Bool,
            Expr::Number(_) => Kind::Number,
            Expr::Duration(_) => Kind::Duration,
            Expr::Figure(figure, _) => {
                if figure.is_duration() {
                    Kind::Duration
                } else {
                    Kind::Number
                }
            }
            Expr::Negate(inner) => inner.kind(),
            Expr::Conditional(_, yes, _) => yes.kind(),
            Expr::Binary(op, left, right) => match op {
                Binary::And | Binary::Or | Binary::Compare(_) => Kind::Bool,
                Binary::Add | Binary::Subtract => left.kind(),
                Binary::Multiply => match (left.kind(), right.kind()) {
                    (Kind::Duration, _) | (_, Kind::Duration) => Kind::Duration,
                    (Kind::Number | Kind::Bool, Kind::Number | Kind::Bool) => Kind::Number,
                },
                Binary::Divide => match (left.kind(), right.kind()) {
                    (Kind::Duration, Kind::Number) => Kind::Duration,
                    (
                        Kind::Duration | Kind::Number | Kind::Bool,
                        Kind::Duration | Kind::Number | Kind::Bool,
                    ) => Kind::Number,
                },
            },
        }
    }
}
