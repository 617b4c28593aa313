//! Filter expressions of subsets: which instances of a service are in them.
//!
//! Source: hashicorp/go-bexpr 0.1.2 `grammar.peg`, `evaluate.go`; the fields are those of `CheckServiceNode` (hashicorp/consul 1.21
//! `agent/structs/structs.go`), of which an instance's own words are known here.

use std::collections::BTreeMap;

use regex::Regex;

mod parse;
#[cfg(test)]
mod tests;

pub(super) use parse::parse;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Any.
    Or(Box<Self>, Box<Self>),
    /// Not this.
    Not(Box<Self>),
    /// A condition on a field.
    Field(Field, Test),
}

/// What is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Field {
    /// `Service.Meta`: the words of an instance by name.
    Words,
    /// `Service.Meta.version`.
    Word(String),
    /// `Service.Tags`.
    Tags,
    /// `Service.Service`: the name of an instance's proxy.
    Name,
    /// `Service.Kind`: what the instance is, which is a proxy.
    Kind,
    /// A field that Consul knows and that is not known here.
    Unknown(String),
}

/// How it is compared.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// `==` and `!=`.
    Equal(String, bool),
    /// `contains`, `in` and their opposites: part of a text, member of a list, key of a map.
    Has(String, bool),
    /// `matches` and `not matches`: somewhere in the text.
    Matches(Box<Regex>, bool),
    /// `is empty` and `is not empty`.
    Empty(bool),
}

/// What is known of an instance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Instance {
    /// The service's name.
    pub(super) service: String,
    /// Its words.
    pub(super) words: BTreeMap<String, String>,
    /// Its tags.
    pub(super) tags: Vec<String>,
}

impl Filter {
    /// Whether an instance is taken. A condition on a field that is not known is taken for one that holds.
    pub(super) fn takes(&self, instance: &Instance) -> bool {
        match self {
            Self::And(left, right) => left.takes(instance) && right.takes(instance),
            Self::Or(left, right) => left.takes(instance) || right.takes(instance),
            Self::Not(inner) => !inner.takes(instance),
            Self::Field(field, test) => field.holds(test, instance),
        }
    }

    /// A field that is not known here, if the expression has one.
    pub(super) fn unknown(&self) -> Option<&str> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.unknown().or_else(|| right.unknown())
            }
            Self::Not(inner) => inner.unknown(),
            Self::Field(Field::Unknown(name), _) => Some(name),
            Self::Field(
                Field::Words | Field::Word(_) | Field::Tags | Field::Name | Field::Kind,
                _,
            ) => None,
        }
    }
}

impl Field {
    fn holds(&self, test: &Test, instance: &Instance) -> bool {
        match self {
            Self::Words => test.of_names(instance.words.keys()),
            Self::Word(name) => match instance.words.get(name) {
                Some(word) => test.of_text(word),
                // what is not there equals nothing and has nothing
                None => test.of_absent(),
            },
            Self::Tags => test.of_names(instance.tags.iter()),
            Self::Name => test.of_text(&format!("{}-sidecar-proxy", instance.service)),
            Self::Kind => test.of_text("connect-proxy"),
            Self::Unknown(_) => true,
        }
    }
}

impl Test {
    fn of_text(&self, text: &str) -> bool {
        match self {
            Self::Equal(value, equal) => (text == value) == *equal,
            Self::Has(value, has) => text.contains(value.as_str()) == *has,
            Self::Matches(regex, matches) => regex.is_match(text) == *matches,
            Self::Empty(empty) => text.is_empty() == *empty,
        }
    }

    fn of_names<'a>(&self, mut names: impl Iterator<Item = &'a String>) -> bool {
        match self {
            Self::Has(value, has) => names.any(|name| name == value) == *has,
            Self::Empty(empty) => names.next().is_none() == *empty,
            // refused when it was read
            Self::Equal(_, equal) => !equal,
            Self::Matches(_, matches) => !matches,
        }
    }

    /// Source: go-bexpr `evaluateMatchExpressionRecurse`: of a key that is not there `==`, `in` and `is not empty` do not hold, all else does.
    const fn of_absent(&self) -> bool {
        match self {
            Self::Equal(_, equal) => !*equal,
            Self::Has(_, has) => !*has,
            Self::Matches(_, _) => true,
            Self::Empty(empty) => *empty,
        }
    }
}
