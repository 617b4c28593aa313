//! From text to expressions.

use regex::RegexBuilder;

use super::{Field, Filter, Test};

/// Parentheses and `not` within one another.
const MAX_DEPTH: usize = 64;
/// Parts of one expression.
const MAX_TOKENS: usize = 4096;
/// Bytes of a compiled regular expression.
const REGEX_LIMIT: usize = 1 << 20;

/// What is wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) struct Problem {
    /// In words.
    pub(in super::super) message: String,
    /// What to do about it.
    pub(in super::super) help: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    /// A field, a word of the language, or a value without quotes.
    Path(Vec<String>),
    Number(String),
    Text(String),
    Equal,
    Unequal,
    Open,
    Close,
}

type Parsed<T> = Result<T, Problem>;

/// Reads an expression.
pub(in super::super) fn parse(text: &str) -> Parsed<Filter> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let filter = parser.either()?;
    match parser.peek(0) {
        None => Ok(filter),
        Some(Token::Close) => Err(problem("`)` closes nothing")),
        Some(_) => Err(problem("between two conditions stands `and` or `or`")),
    }
}

fn problem(message: impl Into<String>) -> Problem {
    Problem {
        message: message.into(),
        help: None,
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek(ahead), Some(Token::Path(path)) if path.len() == 1 && path[0] == word)
    }

    /// Takes these words, if they are next.
    fn words(&mut self, words: &[&str]) -> bool {
        let all = (0..)
            .zip(words)
            .all(|(ahead, word)| self.is_word(ahead, word));
        if all {
            self.at += words.len();
        }
        all
    }

    fn either(&mut self) -> Parsed<Filter> {
        let mut left = self.both()?;
        while self.words(&["or"]) {
            let right = self.both()?;
            left = Filter::Or(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn both(&mut self) -> Parsed<Filter> {
        let mut left = self.one()?;
        while self.words(&["and"]) {
            let right = self.one()?;
            left = Filter::And(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn one(&mut self) -> Parsed<Filter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(problem(format!(
                "conditions stand more than {MAX_DEPTH} deep in one another"
            )));
        }
        let found = if self.words(&["not"]) {
            Filter::Not(Box::new(self.one()?))
        } else if self.peek(0) == Some(&Token::Open) {
            self.at += 1;
            let inner = self.either()?;
            if self.peek(0) != Some(&Token::Close) {
                return Err(problem("a `)` is missing"));
            }
            self.at += 1;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn condition(&mut self) -> Parsed<Filter> {
        let Some(first) = self.peek(0).cloned() else {
            return Err(problem("a condition is missing"));
        };
        self.at += 1;
        for (words, has) in [(&["in"][..], true), (&["not", "in"][..], false)] {
            if self.words(words) {
                let value =
                    value_of(&first).ok_or_else(|| problem("before `in` stands a value"))?;
                let field = self.field()?;
                return checked(field, Test::Has(value, has));
            }
        }
        let Token::Path(path) = &first else {
            return Err(problem(
                "a condition begins with a field, such as `Service.Meta.version`",
            ));
        };
        let field = field(path)?;
        let test = self.test()?;
        checked(field, test)
    }

    fn field(&mut self) -> Parsed<Field> {
        let path = match self.peek(0) {
            Some(Token::Path(path)) => path.clone(),
            Some(_) | None => {
                return Err(problem("after `in` stands a field, such as `Service.Tags`"));
            }
        };
        self.at += 1;
        field(&path)
    }

    fn test(&mut self) -> Parsed<Test> {
        for (words, empty) in [
            (&["is", "empty"][..], true),
            (&["is", "not", "empty"][..], false),
        ] {
            if self.words(words) {
                return Ok(Test::Empty(empty));
            }
        }
        let sign = match self.peek(0) {
            Some(Token::Equal) => Some(true),
            Some(Token::Unequal) => Some(false),
            Some(_) | None => None,
        };
        if let Some(equal) = sign {
            self.at += 1;
            return Ok(Test::Equal(self.value()?, equal));
        }
        for (words, has) in [(&["contains"][..], true), (&["not", "contains"][..], false)] {
            if self.words(words) {
                return Ok(Test::Has(self.value()?, has));
            }
        }
        for (words, matches) in [(&["matches"][..], true), (&["not", "matches"][..], false)] {
            if self.words(words) {
                let pattern = self.value()?;
                return regex(&pattern, matches);
            }
        }
        Err(problem(
            "after a field stands `==`, `!=`, `contains`, `matches`, `is empty` or the opposite of one",
        ))
    }

    fn value(&mut self) -> Parsed<String> {
        let value = self.peek(0).and_then(value_of);
        self.at += 1;
        value.ok_or_else(|| problem("a value is missing"))
    }
}

fn regex(pattern: &str, matches: bool) -> Parsed<Test> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_LIMIT).build();
    match built {
        Ok(regex) => Ok(Test::Matches(Box::new(regex), matches)),
        Err(error) => {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            Err(problem(format!(
                "`{pattern}` is no regular expression: {reason}"
            )))
        }
    }
}

/// Lists and maps are not compared as a whole.
fn checked(field: Field, test: Test) -> Parsed<Filter> {
    let whole = matches!(field, Field::Words | Field::Tags);
    if whole && matches!(test, Test::Equal(..) | Test::Matches(..)) {
        return Err(problem(
            "a list and a map are asked with `contains`, `in` and `is empty` alone",
        ));
    }
    Ok(Filter::Field(field, test))
}

fn field(path: &[String]) -> Parsed<Field> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok(match parts[..] {
        ["Service", "Meta"] => Field::Words,
        // a pod's own name and id are not known before there are pods
        ["Service", "Meta", name] if !matches!(name, "pod-name" | "pod-uid") => {
            Field::Word(name.to_owned())
        }
        ["Service", "Tags"] => Field::Tags,
        ["Service", "Service"] => Field::Name,
        ["Service", "Kind"] => Field::Kind,
        ["Service" | "Node" | "Checks", _, ..] | ["Checks"] => Field::Unknown(parts.join(".")),
        _ => {
            let help = match parts[..] {
                ["ServiceMeta", ref rest @ ..] => Some(format!(
                    "write `{}`",
                    [&["Service", "Meta"], rest].concat().join(".")
                )),
                ["Meta", ref rest @ ..] => Some(format!(
                    "write `{}`",
                    [&["Service", "Meta"], rest].concat().join(".")
                )),
                ["Tags" | "ServiceTags"] => Some("write `Service.Tags`".to_owned()),
                _ => Some(
                    "fields begin with `Service`, `Node` or `Checks`, as in `Service.Meta.version`"
                        .to_owned(),
                ),
            };
            return Err(Problem {
                message: format!("instances have no field `{}`", parts.join(".")),
                help,
            });
        }
    })
}

fn value_of(token: &Token) -> Option<String> {
    match token {
        Token::Path(path) => Some(path.join(".")),
        Token::Number(text) | Token::Text(text) => Some(text.clone()),
        Token::Equal | Token::Unequal | Token::Open | Token::Close => None,
    }
}

fn tokens(text: &str) -> Parsed<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, tail) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '=' | '!' => match rest.strip_prefix("==") {
                Some(tail) => (Token::Equal, tail),
                None => {
                    let tail = rest
                        .strip_prefix("!=")
                        .ok_or_else(|| problem("values are compared with `==` and `!=`"))?;
                    (Token::Unequal, tail)
                }
            },
            '"' | '`' => {
                let (text, tail) = quoted(rest)?;
                (Token::Text(text), tail)
            }
            '-' | '0'..='9' => number(rest)?,
            'a'..='z' | 'A'..='Z' => path(rest)?,
            other => {
                return Err(problem(format!(
                    "`{other}` stands where nothing begins with it"
                )));
            }
        };
        found.push(token);
        if found.len() > MAX_TOKENS {
            return Err(problem("it is too long"));
        }
        rest = tail.trim_start();
    }
    Ok(found)
}

/// What stands between two quotes, and what comes after them. Between backquotes it is as it stands.
fn quoted(text: &str) -> Parsed<(String, &str)> {
    let quote = if text.starts_with('`') { '`' } else { '"' };
    let inside = &text[1..];
    let end = inside
        .find(quote)
        .ok_or_else(|| problem("a text does not end"))?;
    let (inside, tail) = (&inside[..end], &inside[end + 1..]);
    if quote == '`' || !inside.contains('\\') {
        return Ok((inside.to_owned(), tail));
    }
    let mut plain = String::new();
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('\\') => '\\',
                Some(_) | None => {
                    return Err(problem(
                        "an escape that is not known; write the text between backquotes",
                    ));
                }
            },
            other => other,
        });
    }
    Ok((plain, tail))
}

fn number(text: &str) -> Parsed<(Token, &str)> {
    let end = text
        .char_indices()
        .find(|(at, letter)| {
            !(letter.is_ascii_digit() || *letter == '.' || (*at == 0 && *letter == '-'))
        })
        .map_or(text.len(), |(at, _)| at);
    let (number, tail) = text.split_at(end);
    let digits = number.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let after = tail.chars().next();
    let ends = after.is_none_or(|letter| letter.is_whitespace() || letter == ')');
    if fits(whole) && fits(fraction) && ends && (whole == "0" || !whole.starts_with('0')) {
        return Ok((Token::Number(number.to_owned()), tail));
    }
    Err(problem(
        "a number is followed by a space; write other values between quotes",
    ))
}

fn path(text: &str) -> Parsed<(Token, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, tail) = identifier(rest);
        parts.push(part.to_owned());
        rest = tail;
        while let Some(tail) = rest.strip_prefix('[') {
            let tail = tail.trim_start();
            if !tail.starts_with(['"', '`']) {
                return Err(problem("between `[` and `]` stands a text in quotes"));
            }
            let (key, tail) = quoted(tail)?;
            parts.push(key);
            rest = tail
                .trim_start()
                .strip_prefix(']')
                .ok_or_else(|| problem("a `]` is missing"))?;
        }
        let next = rest.strip_prefix('.');
        match next.filter(|next| next.starts_with(|letter: char| letter.is_ascii_alphabetic())) {
            Some(next) => rest = next,
            None => break,
        }
    }
    if rest.starts_with(['.', '-']) {
        return Err(Problem {
            message: format!("`{}` is followed by what no name has", parts.join(".")),
            help: Some("write names with other letters as `Service.Meta[\"a-b\"]`, and values between quotes".to_owned()),
        });
    }
    Ok((Token::Path(parts), rest))
}

fn identifier(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .unwrap_or(text.len());
    text.split_at(end)
}
