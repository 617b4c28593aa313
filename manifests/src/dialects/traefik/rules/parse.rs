//! The text of a rule to a tree of calls.
//!
//! Source: traefik `pkg/rules/parser.go` over vulcand/predicate: a rule is an expression of the Go language, of calls with texts as their
//! arguments, `!`, `&&` before `||`, and parentheses.

use std::ops::Range;

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 64;

/// What is wrong with a rule, and where in its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// Bytes of the rule.
    pub(crate) at: Range<usize>,
    /// In words.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            help: None,
        }
    }
}

/// A text argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Arg {
    /// What stands between the quotes.
    pub(crate) text: String,
    /// Where, quotes included.
    pub(crate) at: Range<usize>,
}

/// A matcher with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// As written.
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) at: Range<usize>,
    /// The arguments.
    pub(crate) args: Vec<Arg>,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Tree<T> {
    /// A condition.
    Leaf(T),
    /// Turned round.
    Not(Box<Self>),
    /// All of them.
    And(Vec<Self>),
    /// Any of them.
    Or(Vec<Self>),
}

impl<T> Tree<T> {
    /// The same tree of other leaves.
    pub(super) fn try_map<U, E>(
        self,
        change: &mut impl FnMut(T) -> Result<Tree<U>, E>,
    ) -> Result<Tree<U>, E> {
        Ok(match self {
            Self::Leaf(leaf) => change(leaf)?,
            Self::Not(inner) => Tree::Not(Box::new(inner.try_map(change)?)),
            Self::And(all) => Tree::And(each(all, change)?),
            Self::Or(all) => Tree::Or(each(all, change)?),
        })
    }
}

fn each<T, U, E>(
    all: Vec<Tree<T>>,
    change: &mut impl FnMut(T) -> Result<Tree<U>, E>,
) -> Result<Vec<Tree<U>>, E> {
    all.into_iter().map(|tree| tree.try_map(change)).collect()
}

/// Reads a rule.
pub(super) fn parse(text: &str) -> Result<Tree<Call>, Problem> {
    let mut parser = Parser { text, at: 0 };
    let tree = parser.any(0)?;
    parser.blanks();
    match parser.rest().chars().next() {
        None => Ok(tree),
        Some(found) => Err(parser.unexpected(found, "`&&`, `||` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, token: &str) -> bool {
        self.blanks();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn any(&mut self, depth: usize) -> Result<Tree<Call>, Problem> {
        let mut all = vec![self.all(depth)?];
        while self.takes("||") {
            all.push(self.all(depth)?);
        }
        Ok(one_or(all, Tree::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Tree<Call>, Problem> {
        let mut all = vec![self.one(depth)?];
        while self.takes("&&") {
            all.push(self.one(depth)?);
        }
        Ok(one_or(all, Tree::And))
    }

    fn one(&mut self, depth: usize) -> Result<Tree<Call>, Problem> {
        if depth > MAX_DEPTH {
            let at = self.at..self.text.len();
            return Err(Problem::new(at, "the rule is nested too deep"));
        }
        if self.takes("!") {
            return Ok(Tree::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes("(") {
            let open = self.at - 1;
            let inner = self.any(depth + 1)?;
            if !self.takes(")") {
                return Err(Problem::new(
                    open..open + 1,
                    "this parenthesis is not closed",
                ));
            }
            return Ok(inner);
        }
        self.call().map(Tree::Leaf)
    }

    fn call(&mut self) -> Result<Call, Problem> {
        self.blanks();
        let start = self.at;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let name: String = self.rest().chars().take_while(|c| is_name(*c)).collect();
        if name.is_empty() {
            return Err(match self.rest().chars().next() {
                Some(found) => self.unexpected(found, "a matcher such as `PathPrefix(…)`"),
                None => Problem::new(start..start, "a matcher is missing at the end"),
            });
        }
        self.at += name.len();
        let at = start..self.at;
        if !self.takes("(") {
            return Err(Problem::new(at, format!("`{name}` has no arguments")));
        }
        let mut args = Vec::new();
        while !self.takes(")") {
            args.push(self.argument(&name)?);
            self.blanks();
            if !self.takes(",") && !self.rest().starts_with(')') {
                return Err(match self.rest().chars().next() {
                    Some(found) => self.unexpected(found, "`,` or `)`"),
                    None => Problem::new(at, format!("the arguments of `{name}` have no end")),
                });
            }
        }
        Ok(Call { name, at, args })
    }

    fn argument(&mut self, of: &str) -> Result<Arg, Problem> {
        self.blanks();
        let start = self.at;
        let Some(quote) = self.rest().chars().next() else {
            return Err(Problem::new(
                start..start,
                format!("the arguments of `{of}` have no end"),
            ));
        };
        if !matches!(quote, '`' | '"') {
            let mut problem = self.unexpected(quote, "a text between backquotes");
            problem.help = Some(format!("write `{of}(`…`)`"));
            return Err(problem);
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(Problem::new(start..start + 1, "this text has no end"));
            };
            self.at += c.len_utf8();
            match c {
                c if c == quote => break,
                '\\' if quote == '"' => text.push(self.escape(start)?),
                '\n' if quote == '"' => {
                    return Err(Problem::new(start..self.at, "a text ends on its line"));
                }
                c => text.push(c),
            }
        }
        Ok(Arg {
            text,
            at: start..self.at,
        })
    }

    /// What follows a backslash between double quotes, as Go has it.
    fn escape(&mut self, start: usize) -> Result<char, Problem> {
        let bad = |end: usize| Problem::new(start..end, "Go knows no such escape in a text");
        let Some(c) = self.rest().chars().next() else {
            return Err(bad(self.at));
        };
        self.at += c.len_utf8();
        let digits = match c {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '"' => return Ok(c),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(bad(self.at)),
        };
        let hex: String = self.rest().chars().take(digits).collect();
        let code = u32::from_str_radix(&hex, 16).ok();
        let found = code
            .filter(|_| hex.len() == digits)
            .and_then(char::from_u32);
        self.at += hex.len();
        found.ok_or_else(|| bad(self.at))
    }

    fn unexpected(&self, found: char, wanted: &str) -> Problem {
        let at = self.at..self.at + found.len_utf8();
        Problem::new(at, format!("`{found}` stands where {wanted} should"))
    }
}

fn one_or(mut all: Vec<Tree<Call>>, many: impl Fn(Vec<Tree<Call>>) -> Tree<Call>) -> Tree<Call> {
    if all.len() == 1 {
        all.swap_remove(0)
    } else {
        many(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tree: &Tree<Call>) -> String {
        let join = |all: &[Tree<Call>], with: &str| {
            let all: Vec<String> = all.iter().map(shown).collect();
            format!("({})", all.join(with))
        };
        match tree {
            Tree::Leaf(call) => {
                let args: Vec<&str> = call.args.iter().map(|arg| &*arg.text).collect();
                format!("{}[{}]", call.name, args.join("|"))
            }
            Tree::Not(inner) => format!("not {}", shown(inner)),
            Tree::And(all) => join(all, " and "),
            Tree::Or(all) => join(all, " or "),
        }
    }

    #[test]
    fn rules_are_expressions_of_go() {
        for (text, want) in [
            ("Host(`a.b`)", "Host[a.b]"),
            (
                "Host(`a`) && PathPrefix(`/x`) || Path(`/y`)",
                "((Host[a] and PathPrefix[/x]) or Path[/y])",
            ),
            (
                "Host(`a`) && (PathPrefix(`/x`) || !Path(\"/y\"))",
                "(Host[a] and (PathPrefix[/x] or not Path[/y]))",
            ),
            ("!!Host(`a`)", "not not Host[a]"),
            (" Header( `X-A` ,\t`b` , ) ", "Header[X-A|b]"),
            (r#"Path("/a\tb\u00e9\x41\"")"#, "Path[/a\tbéA\"]"),
            (r"PathRegexp(`^/\d+\b`)", r"PathRegexp[^/\d+\b]"),
            ("Host()", "Host[]"),
        ] {
            assert_eq!(shown(&parse(text).expect(text)), want, "{text}");
        }
    }

    #[test]
    fn problems_of_a_rule_have_their_place_in_its_text() {
        for (text, at, message) in [
            ("", 0..0, "a matcher is missing at the end"),
            ("Host(`a`) &&", 12..12, "a matcher is missing at the end"),
            ("Host(`a`) && && Path(`/`)", 13..14, "`&` stands where"),
            ("Host(`a`", 0..4, "the arguments of `Host` have no end"),
            ("Host(`a)", 5..6, "this text has no end"),
            ("(Host(`a`)", 0..1, "this parenthesis is not closed"),
            ("Host(`a`) and Path(`/`)", 10..11, "`a` stands where"),
            ("Host('a')", 5..6, "`'` stands where"),
            ("Host", 0..4, "`Host` has no arguments"),
            ("Host(`a` `b`)", 9..10, "```"),
            (r#"Path("/\q")"#, 5..9, "Go knows no such escape"),
        ] {
            let problem = parse(text).expect_err(text);
            assert_eq!(problem.at, at, "{text}: {}", problem.message);
            assert!(
                problem.message.starts_with(message),
                "{text}: {}",
                problem.message
            );
        }
    }

    #[test]
    fn deep_rules_are_refused_rather_than_followed() {
        for (open, close) in [("(", ")"), ("!", "")] {
            let text = format!("{}Host(`a`){}", open.repeat(9_999), close.repeat(9_999));
            let problem = parse(&text).expect_err("too deep");
            assert_eq!(problem.message, "the rule is nested too deep");
        }
    }
}
