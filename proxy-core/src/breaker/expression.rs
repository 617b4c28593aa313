//! The expressions that open Traefik's circuit breaker.

use core::ops::Range;

use thiserror::Error;

use super::metrics::{Metrics, Reading};

/// A condition over the latest results: `ResponseCodeRatio(500, 600, 0, 600) > 0.25 || NetworkErrorRatio() > 0.10`.
///
/// Comparisons of a metric with a number are joined by `&&`, `||` and parentheses; `&&` binds closer. The metric stands on the left, and the
/// number has its kind: 0.5 for a ratio, 50 for milliseconds and requests.
///
/// Source: vulcand/oxy 2.2 `cbreaker/predicates.go`, over `go/parser` and vulcand/predicate 1.3: there is no `!`.
/// Departs: a line break counts as a space everywhere, and numbers are decimal.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    text: Box<str>,
    root: Node,
    /// Which counts it needs, by their place in the metrics.
    ratios: Vec<CodeRatio>,
    latency: bool,
}

/// A metric that is compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Metric {
    /// The share of answers 502 and 504.
    NetworkErrorRatio,
    /// The share of codes of one range in those of another; the number says which of the expression's.
    ResponseCodeRatio(usize),
    /// The latency in milliseconds that this per cent of the answers stayed within.
    LatencyAtQuantile(f64),
    /// Answers so far.
    RequestThreshold,
}

/// Two ranges of codes; the ends do not belong to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeRatio {
    /// Those that are counted.
    pub of: (i64, i64),
    /// Those that they are a share of.
    pub among: (i64, i64),
}

#[derive(Clone, PartialEq, Debug)]
enum Node {
    Compare(Metric, Comparison, Number),
    All(Vec<Self>),
    Any(Vec<Self>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    Unequal,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Number {
    Whole(i64),
    Real(f64),
}

/// What is wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{problem}")]
pub struct ExpressionError {
    /// Which bytes of the text.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub problem: ExpressionProblem,
}

/// What is wrong with a piece of an expression.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ExpressionProblem {
    /// Something else should stand here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// No such function.
    #[error(
        "no function `{0}`: there are NetworkErrorRatio(), ResponseCodeRatio(from, to, dividedByFrom, dividedByTo), LatencyAtQuantileMS(quantile) and RequestThreshold()"
    )]
    Function(Box<str>),
    /// The function takes other arguments.
    #[error("`{function}` takes {takes}")]
    Arguments {
        /// Which function.
        function: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// A metric is compared with a number of the other kind.
    #[error("{0}")]
    Kind(&'static str),
    /// It does not belong to the language.
    #[error("`{0}` is not supported")]
    Unsupported(Box<str>),
    /// Too many comparisons, or too many parentheses in one another.
    #[error("the expression has more than {0} parts")]
    TooLong(usize),
}

/// The most comparisons, and the most parentheses in one another.
const MOST: usize = 64;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parser = Parser {
            text,
            at: 0,
            token: Token::End,
            begin: 0,
            ratios: Vec::new(),
            latency: false,
            comparisons: 0,
        };
        parser.next()?;
        let root = parser.any(0)?;
        if parser.token != Token::End {
            return Err(parser.expected("`&&`, `||` or the end"));
        }
        Ok(Self {
            text: text.into(),
            root,
            ratios: parser.ratios,
            latency: parser.latency,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The ratios of codes that it asks for.
    #[must_use]
    pub fn ratios(&self) -> &[CodeRatio] {
        &self.ratios
    }

    /// Whether it asks for latencies.
    #[must_use]
    pub const fn asks_latency(&self) -> bool {
        self.latency
    }

    /// Whether it holds whatever is measured, or of nothing that can be; none: that depends.
    #[must_use]
    pub fn foregone(&self) -> Option<bool> {
        self.root.foregone()
    }

    /// Whether it holds of what was measured.
    pub(super) fn holds(&self, metrics: &Metrics<'_>, reading: &impl Reading) -> bool {
        self.root.holds(metrics, reading)
    }
}

impl Node {
    fn foregone(&self) -> Option<bool> {
        match self {
            Self::All(parts) => joined(parts, false),
            Self::Any(parts) => joined(parts, true),
            Self::Compare(metric, comparison, number) => {
                let number = match number {
                    Number::Whole(number) => *number as f64,
                    Number::Real(number) => *number,
                };
                let most = match metric {
                    Metric::NetworkErrorRatio => 1.0,
                    // the ranges need not lie in one another
                    Metric::ResponseCodeRatio(_)
                    | Metric::LatencyAtQuantile(_)
                    | Metric::RequestThreshold => f64::INFINITY,
                };
                comparison.foregone(number, most)
            }
        }
    }

    fn holds(&self, metrics: &Metrics<'_>, reading: &impl Reading) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(metrics, reading)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(metrics, reading)),
            Self::Compare(metric, comparison, number) => {
                let order = match number {
                    Number::Whole(number) => reading.whole(metrics, *metric).partial_cmp(number),
                    Number::Real(number) => reading.ratio(metrics, *metric).partial_cmp(number),
                };
                comparison.takes(order)
            }
        }
    }
}

/// What parts come to of which one that is `deciding` decides.
fn joined(parts: &[Node], deciding: bool) -> Option<bool> {
    let mut all = parts.iter().map(Node::foregone);
    if all.clone().any(|part| part == Some(deciding)) {
        return Some(deciding);
    }
    all.all(|part| part.is_some()).then_some(!deciding)
}

impl Comparison {
    /// What comes of comparing anything between 0 and `most` with a number.
    fn foregone(self, number: f64, most: f64) -> Option<bool> {
        let (below, above) = (number > most, number < 0.0);
        match self {
            Self::Less | Self::LessOrEqual if below => Some(true),
            Self::Less if number <= 0.0 => Some(false),
            Self::LessOrEqual if above => Some(false),
            Self::LessOrEqual if number >= most => Some(true),
            Self::Greater | Self::GreaterOrEqual if above => Some(true),
            Self::Greater if number >= most => Some(false),
            Self::GreaterOrEqual if below => Some(false),
            Self::GreaterOrEqual if number <= 0.0 => Some(true),
            Self::Equal if below || above => Some(false),
            Self::Unequal if below || above => Some(true),
            Self::Less
            | Self::LessOrEqual
            | Self::Equal
            | Self::Unequal
            | Self::Greater
            | Self::GreaterOrEqual => None,
        }
    }

    fn takes(self, order: Option<core::cmp::Ordering>) -> bool {
        let Some(order) = order else {
            return self == Self::Unequal;
        };
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Token {
    Name,
    Whole(i64),
    Real(f64),
    Open,
    Close,
    Comma,
    And,
    Or,
    Compare(Comparison),
    End,
}

struct Parser<'t> {
    text: &'t str,
    /// Behind the token.
    at: usize,
    token: Token,
    /// Where the token begins.
    begin: usize,
    ratios: Vec<CodeRatio>,
    latency: bool,
    comparisons: usize,
}

impl<'t> Parser<'t> {
    fn error(&self, problem: ExpressionProblem) -> ExpressionError {
        ExpressionError {
            at: self.begin..self.at,
            problem,
        }
    }

    fn expected(&self, what: &'static str) -> ExpressionError {
        self.error(ExpressionProblem::Expected(what))
    }

    fn word(&self) -> &'t str {
        &self.text[self.begin..self.at]
    }

    /// Reads the next token.
    fn next(&mut self) -> Result<(), ExpressionError> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.begin = self.text.len() - rest.len();
        let Some((token, length)) = token(rest) else {
            let length = rest.chars().next().map_or(0, char::len_utf8);
            self.at = self.begin + length;
            let text = self.word().into();
            return Err(self.error(ExpressionProblem::Unsupported(text)));
        };
        self.at = self.begin + length;
        self.token = match token {
            Some(token) => token,
            None => self.number()?,
        };
        Ok(())
    }

    fn number(&self) -> Result<Token, ExpressionError> {
        let word = self.word();
        let real = word.contains(['.', 'e', 'E']);
        // what Go reads as octal or with other digits is none here
        let octal = !real && word.len() > 1 && word.starts_with('0');
        let read = if real {
            word.parse().ok().map(Token::Real)
        } else {
            word.parse().ok().map(Token::Whole)
        };
        let unread = || self.error(ExpressionProblem::Unsupported(word.into()));
        read.filter(|_| !octal).ok_or_else(unread)
    }

    fn any(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut parts = vec![self.all(depth)?];
        while self.token == Token::Or {
            self.next()?;
            parts.push(self.all(depth)?);
        }
        Ok(single_or(parts, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut parts = vec![self.part(depth)?];
        while self.token == Token::And {
            self.next()?;
            parts.push(self.part(depth)?);
        }
        Ok(single_or(parts, Node::All))
    }

    fn part(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        if depth >= MOST || self.comparisons >= MOST {
            return Err(self.error(ExpressionProblem::TooLong(MOST)));
        }
        if self.token == Token::Open {
            self.next()?;
            let inner = self.any(depth + 1)?;
            self.take(Token::Close, "`)`")?;
            return Ok(inner);
        }
        self.comparisons += 1;
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExpressionError> {
        let metric = self.metric()?;
        let Token::Compare(comparison) = self.token else {
            return Err(self.expected("a comparison: `>`, `>=`, `<`, `<=`, `==` or `!=`"));
        };
        self.next()?;
        let number = match self.token {
            Token::Whole(number) => Number::Whole(number),
            Token::Real(number) => Number::Real(number),
            Token::Name
            | Token::Open
            | Token::Close
            | Token::Comma
            | Token::And
            | Token::Or
            | Token::Compare(_)
            | Token::End => return Err(self.expected("a number")),
        };
        let kind = match (metric, number) {
            (Metric::NetworkErrorRatio | Metric::ResponseCodeRatio(_), Number::Whole(_)) => {
                Some("a ratio is compared with a number with a point, like 0.5 or 1.0")
            }
            (Metric::LatencyAtQuantile(_) | Metric::RequestThreshold, Number::Real(_)) => {
                Some("milliseconds and requests are compared with a whole number")
            }
            (_, Number::Whole(_) | Number::Real(_)) => None,
        };
        if let Some(kind) = kind {
            return Err(self.error(ExpressionProblem::Kind(kind)));
        }
        self.next()?;
        Ok(Node::Compare(metric, comparison, number))
    }

    fn metric(&mut self) -> Result<Metric, ExpressionError> {
        if self.token != Token::Name {
            return Err(self.expected("a function, which stands on the left of its number"));
        }
        let (begin, end, name) = (self.begin, self.at, self.word());
        self.next()?;
        self.take(Token::Open, "`(`")?;
        let arguments = self.arguments()?;
        let wrong = |function, takes| ExpressionError {
            at: begin..end,
            problem: ExpressionProblem::Arguments { function, takes },
        };
        match (name, &arguments[..]) {
            ("NetworkErrorRatio", []) => Ok(Metric::NetworkErrorRatio),
            ("RequestThreshold", []) => Ok(Metric::RequestThreshold),
            ("LatencyAtQuantileMS", [Number::Real(quantile)]) => {
                self.latency = true;
                Ok(Metric::LatencyAtQuantile(*quantile))
            }
            (
                "ResponseCodeRatio",
                [
                    Number::Whole(a),
                    Number::Whole(b),
                    Number::Whole(c),
                    Number::Whole(d),
                ],
            ) => {
                let ratio = CodeRatio {
                    of: (*a, *b),
                    among: (*c, *d),
                };
                let known = self.ratios.iter().position(|known| *known == ratio);
                Ok(Metric::ResponseCodeRatio(known.unwrap_or_else(|| {
                    self.ratios.push(ratio);
                    self.ratios.len() - 1
                })))
            }
            ("NetworkErrorRatio", _) => Err(wrong("NetworkErrorRatio", "no arguments")),
            ("RequestThreshold", _) => Err(wrong("RequestThreshold", "no arguments")),
            ("LatencyAtQuantileMS", _) => Err(wrong(
                "LatencyAtQuantileMS",
                "one number with a point, the quantile in per cent, like 50.0",
            )),
            ("ResponseCodeRatio", _) => Err(wrong("ResponseCodeRatio", "four whole numbers")),
            _ => Err(ExpressionError {
                at: begin..end,
                problem: ExpressionProblem::Function(name.into()),
            }),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Number>, ExpressionError> {
        let mut arguments = Vec::new();
        while self.token != Token::Close {
            if !arguments.is_empty() {
                self.take(Token::Comma, "`,` or `)`")?;
                // Go allows one after the last
                if self.token == Token::Close {
                    break;
                }
            }
            arguments.push(match self.token {
                Token::Whole(number) => Number::Whole(number),
                Token::Real(number) => Number::Real(number),
                Token::Name
                | Token::Open
                | Token::Close
                | Token::Comma
                | Token::And
                | Token::Or
                | Token::Compare(_)
                | Token::End => return Err(self.expected("a number or `)`")),
            });
            if arguments.len() > MOST {
                return Err(self.error(ExpressionProblem::TooLong(MOST)));
            }
            self.next()?;
        }
        self.next()?;
        Ok(arguments)
    }

    fn take(&mut self, token: Token, what: &'static str) -> Result<(), ExpressionError> {
        if self.token != token {
            return Err(self.expected(what));
        }
        self.next()
    }
}

fn single_or(mut parts: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

/// The first token of a text without spaces before it, and its length; none for the token: a number of that length.
fn token(text: &str) -> Option<(Option<Token>, usize)> {
    const WORDS: [(&str, Token); 11] = [
        ("&&", Token::And),
        ("||", Token::Or),
        ("<=", Token::Compare(Comparison::LessOrEqual)),
        (">=", Token::Compare(Comparison::GreaterOrEqual)),
        ("==", Token::Compare(Comparison::Equal)),
        ("!=", Token::Compare(Comparison::Unequal)),
        ("<", Token::Compare(Comparison::Less)),
        (">", Token::Compare(Comparison::Greater)),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    let Some(first) = text.bytes().next() else {
        return Some((Some(Token::End), 0));
    };
    if let Some((word, token)) = WORDS.iter().find(|(word, _)| text.starts_with(word)) {
        return Some((Some(*token), word.len()));
    }
    let span = |belongs: &dyn Fn(usize, u8) -> bool| {
        let mut bytes = text.bytes().enumerate();
        bytes
            .find(|(i, byte)| !belongs(*i, *byte))
            .map_or(text.len(), |(i, _)| i)
    };
    if first.is_ascii_alphabetic() || first == b'_' {
        let length = span(&|_, byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return Some((Some(Token::Name), length));
    }
    if first.is_ascii_digit() || first == b'.' {
        let bytes = text.as_bytes();
        let length = span(&|i, byte| {
            let signed =
                matches!(byte, b'+' | b'-') && i > 0 && matches!(bytes[i - 1], b'e' | b'E');
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signed
        });
        return Some((None, length));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed {
        errors: f64,
        code: f64,
        millis: i64,
        requests: i64,
    }

    impl Reading for Fixed {
        fn whole(&self, _: &Metrics<'_>, metric: Metric) -> i64 {
            match metric {
                Metric::LatencyAtQuantile(_) => self.millis,
                Metric::RequestThreshold => self.requests,
                Metric::NetworkErrorRatio | Metric::ResponseCodeRatio(_) => unreachable!(),
            }
        }
        fn ratio(&self, _: &Metrics<'_>, metric: Metric) -> f64 {
            match metric {
                Metric::NetworkErrorRatio => self.errors,
                Metric::ResponseCodeRatio(_) => self.code,
                Metric::LatencyAtQuantile(_) | Metric::RequestThreshold => unreachable!(),
            }
        }
    }

    fn holds(text: &str) -> bool {
        let fixed = Fixed {
            errors: 0.6,
            code: 0.5,
            millis: 51,
            requests: 20,
        };
        let expression = Expression::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        expression.holds(&Metrics::new(0, &expression), &fixed)
    }

    /// The first seven after oxy's own `predicates_test.go`.
    #[test]
    fn expressions_compare_metrics_with_numbers() {
        for (text, want) in [
            ("NetworkErrorRatio() > 0.5", true),
            ("NetworkErrorRatio() < 0.5", false),
            ("LatencyAtQuantileMS(50.0) > 50", true),
            ("LatencyAtQuantileMS(50.0) < 50", false),
            ("ResponseCodeRatio(500, 600, 0, 600) > 0.5", false),
            ("ResponseCodeRatio(500, 600, 0, 600) >= 0.5", true),
            ("RequestThreshold() >= 20", true),
            ("RequestThreshold() != 20", false),
            ("RequestThreshold() == 20", true),
            ("RequestThreshold() <= 19", false),
            ("NetworkErrorRatio()>.5&&RequestThreshold()>10", true),
            (
                "NetworkErrorRatio() > 5e-1 && RequestThreshold() > 20",
                false,
            ),
            (
                "NetworkErrorRatio() > 0.9 || RequestThreshold() > 10 && LatencyAtQuantileMS(99.9) > 50",
                true,
            ),
            (
                "(NetworkErrorRatio() > 0.9 || RequestThreshold() > 10) && LatencyAtQuantileMS(50.0) > 100",
                false,
            ),
            (
                "RequestThreshold() > 10 || NetworkErrorRatio() > 0.9 && LatencyAtQuantileMS(50.0) > 100",
                true,
            ),
            ("((RequestThreshold() > 1))", true),
            ("ResponseCodeRatio(500,600,0,600,) >\n\t0.4", true),
        ] {
            assert_eq!(holds(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, at, says) in [
            ("", 0..0, "expected a function"),
            ("NetworkErrorRatio()", 19..19, "expected a comparison"),
            ("NetworkErrorRatio() > ", 22..22, "expected a number"),
            ("NetworkErrorRatio() > 1", 22..23, "a number with a point"),
            ("LatencyAtQuantileMS(50.0) > 50.0", 28..32, "a whole number"),
            (
                "LatencyAtQuantileMS(50) > 50",
                0..19,
                "the quantile in per cent",
            ),
            (
                "ResponseCodeRatio(500, 600) > 0.5",
                0..17,
                "four whole numbers",
            ),
            ("NetworkErrorRatio(1) > 0.5", 0..17, "no arguments"),
            ("Errors() > 0.5", 0..6, "no function `Errors`"),
            ("0.5 < NetworkErrorRatio()", 0..3, "stands on the left"),
            ("!(NetworkErrorRatio() > 0.5)", 0..1, "`!` is not supported"),
            ("NetworkErrorRatio() > -0.5", 22..23, "`-` is not supported"),
            (
                "NetworkErrorRatio() > 0.5 NetworkErrorRatio() > 0.5",
                26..43,
                "`&&`, `||` or the end",
            ),
            (
                "NetworkErrorRatio() > 0.5 &&",
                28..28,
                "expected a function",
            ),
            ("(NetworkErrorRatio() > 0.5", 26..26, "expected `)`"),
            ("NetworkErrorRatio( > 0.5", 19..20, "a number or `)`"),
            ("NetworkErrorRatio > 0.5", 18..19, "expected `(`"),
            ("RequestThreshold() > 010", 21..24, "`010` is not supported"),
            (
                "RequestThreshold() > 99999999999999999999",
                21..41,
                "is not supported",
            ),
            (
                "RequestThreshold() > 1 < 2",
                23..24,
                "`&&`, `||` or the end",
            ),
            ("NetworkErrorRatio() ≥ 0.5", 20..23, "`≥` is not supported"),
        ] {
            let error = Expression::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn an_expression_has_so_many_parts_and_no_more() {
        let deep = format!(
            "{}NetworkErrorRatio() > 0.5{}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        let long = ["NetworkErrorRatio() > 0.5"; 100].join(" || ");
        for text in [deep, long] {
            let error = Expression::parse(&text).expect_err("too long");
            assert_eq!(error.problem, ExpressionProblem::TooLong(64));
        }
        let most = ["NetworkErrorRatio() > 0.5"; 64].join(" && ");
        assert!(Expression::parse(&most).is_ok());
    }

    #[test]
    fn a_ratio_that_stands_twice_is_counted_once() {
        let text = "ResponseCodeRatio(500,600,0,600) > 0.5 && ResponseCodeRatio(500,600,0,600) < 0.9 || ResponseCodeRatio(429,430,0,600) > 0.1";
        let expression = Expression::parse(text).unwrap();
        let of: Vec<_> = expression.ratios().iter().map(|ratio| ratio.of).collect();
        assert_eq!(of, [(500, 600), (429, 430)]);
        assert!(!expression.asks_latency());
        assert_eq!(expression.text(), text);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[NetworkErrorRatio()>0.5&|!=<, \\x00-\\u{ffff}]{0,60}") {
            let _ = Expression::parse(&text);
        }
    }
}
