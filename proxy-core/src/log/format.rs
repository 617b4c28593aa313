//! How the lines of a log look.

use super::{Operator, Wants};

/// How the lines of a log look.
#[derive(Clone, PartialEq, Debug)]
pub struct Format {
    /// Text or JSON.
    pub layout: Layout,
    /// Whether what is not there leaves nothing: no dash in text, no field in JSON.
    pub omits_empty: bool,
}

/// Text or JSON.
#[derive(Clone, PartialEq, Debug)]
pub enum Layout {
    /// As it is written, its line end included.
    Text(Template),
    /// One object a line.
    Json(Shape),
}

/// Text with operators.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Template(pub Vec<Piece>);

/// A part of a template.
#[derive(Clone, PartialEq, Debug)]
pub enum Piece {
    /// As it is.
    Text(Box<str>),
    /// What the operator says, and how many bytes of it at most.
    Operator(Operator, Option<usize>),
}

/// A value of JSON with operators. What one operator alone makes keeps its type.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// Fields, in their order.
    Object(Vec<Field>),
    /// Values in a row.
    List(Vec<Self>),
    /// Text, or the value of its one operator.
    Template(Template),
    /// A value as it is, written as JSON.
    Constant(Box<str>),
}

/// A field of an object.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Shape,
}

impl Template {
    fn operators(&self) -> impl Iterator<Item = &Operator> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Operator(operator, _) => Some(operator),
            Piece::Text(_) => None,
        })
    }

    fn wants(&self) -> Wants {
        self.operators()
            .map(Operator::wants)
            .fold(Wants::default(), Wants::or)
    }
}

impl Shape {
    fn wants(&self) -> Wants {
        match self {
            Self::Object(fields) => fields
                .iter()
                .map(|field| field.value.wants())
                .fold(Wants::default(), Wants::or),
            Self::List(all) => all
                .iter()
                .map(Self::wants)
                .fold(Wants::default(), Wants::or),
            Self::Template(template) => template.wants(),
            Self::Constant(_) => Wants::default(),
        }
    }
}

impl Format {
    /// What a driver has to keep for it.
    #[must_use]
    pub fn wants(&self) -> Wants {
        match &self.layout {
            Layout::Text(template) => template.wants(),
            Layout::Json(shape) => shape.wants(),
        }
    }
}
