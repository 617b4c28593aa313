//! From CEL's syntax tree to ours, with types and the bytes each part was written in.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

use super::figure::Figure;
use super::near::suggest;
use super::{Binary, Compare, ExpectError, Expr, Kind, MAX_LENGTH, MAX_NESTING, Node, Written};

mod functions;

use functions::{Arguments, figure};

type Result<T> = std::result::Result<T, ExpectError>;

const FUNCTIONS: [&str; 13] = [
    "latency",
    "okLatency",
    "success",
    "goodput",
    "throughput",
    "errors",
    "attempts",
    "amplification",
    "ejections",
    "utilization",
    "queue",
    "recovery",
    "duration",
];

pub(super) fn parse(text: &str) -> Result<Node> {
    guard(text)?;
    let parser = Parser::default().max_recursion_depth(96);
    let (tree, source) = parser
        .parse_with_source_info(text)
        .map_err(|errors| syntax_error(text, &errors.errors))?;
    let reader = Reader { text, source };
    let root = reader.node(&tree, 0)?;
    if root.kind() != Kind::Bool {
        let message = format!(
            "an expectation is {}, this is {}",
            Kind::Bool.words(),
            root.kind().words()
        );
        let help = if root.kind() == Kind::Duration {
            "compare it: `… < duration('400ms')`"
        } else {
            "compare it: `… >= 0.99`"
        };
        return Err(ExpectError::new(root.range, message).help(help));
    }
    Ok(root)
}

/// Bounds the work of the parser before it starts: its own cap on depth does not count brackets of every kind.
fn guard(text: &str) -> Result<()> {
    if text.len() > MAX_LENGTH {
        let mut cut = MAX_LENGTH;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let message = format!(
            "an expectation has at most {MAX_LENGTH} bytes, this has {}",
            text.len()
        );
        return Err(ExpectError::new(cut..text.len(), message).help("split it in two"));
    }
    let mut depth = 0_usize;
    let mut signs = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        signs = match c {
            '!' | '-' | '?' => signs + 1,
            c if c.is_whitespace() => signs,
            _ => 0,
        };
        if depth > MAX_NESTING || signs > MAX_NESTING {
            return Err(too_deep(at..at + c.len_utf8()));
        }
    }
    Ok(())
}

fn too_deep(range: Range<usize>) -> ExpectError {
    let message = format!("an expectation nests at most {MAX_NESTING} deep");
    ExpectError::new(range, message).help("split it in two")
}

fn syntax_error(text: &str, errors: &[cel::ParseError]) -> ExpectError {
    let Some(first) = errors.first() else {
        return ExpectError::new(0..text.len(), "not an expression");
    };
    let (line, column) = first.pos;
    let before: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let rest = text.get(before..).unwrap_or("");
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start = rest
        .char_indices()
        .nth(column)
        .map_or(rest.len(), |(at, _)| at);
    let start = before + start;
    let width = text[start..].chars().next().map_or(0, char::len_utf8);
    let what = first
        .msg
        .strip_prefix("Syntax error: ")
        .unwrap_or(&first.msg);
    let what = what.split(" expecting").next().unwrap_or(what);
    let what = what.replace("<EOF>", "end of text");
    let unended =
        what.contains("token recognition error") && text[start..].starts_with(['\'', '"']);
    let help = if unended {
        "a string begins here and has no end"
    } else {
        "an expectation reads like `latency('shoppers').p99 < duration('400ms')`"
    };
    ExpectError::new(start..start + width, format!("syntax error: {what}")).help(help)
}

struct Reader<'a> {
    text: &'a str,
    source: SourceInfo,
}

impl Reader<'_> {
    /// The bytes of the token that stands for a node: a literal, an operator, the bracket of a call, the dot of a field.
    fn token(&self, id: u64) -> Range<usize> {
        let (start, stop) = self.source.offset_for(id).unwrap_or((0, 0));
        let byte = |at: usize| {
            let at = at.min(self.text.len());
            (at..=self.text.len()).find(|&at| self.text.is_char_boundary(at))
        };
        let byte = |at: usize| byte(at).unwrap_or(self.text.len());
        let start = byte(start as usize);
        start..byte(stop as usize + 1).max(start)
    }

    /// From a call's name to its closing bracket.
    fn call_range(&self, id: u64, call: &CallExpr) -> Range<usize> {
        let bracket = self.token(id).start;
        let head = self.text[..bracket].trim_end();
        let start = head.len().saturating_sub(call.func_name.len());
        let last = call.args.iter().map(|a| self.token(a.id).end).max();
        let inside = last.unwrap_or(bracket).max(bracket).min(self.text.len());
        let close = self.text[inside..].find(')');
        start..close.map_or(self.text.len(), |at| inside + at + 1)
    }

    fn node(&self, tree: &IdedExpr, depth: usize) -> Result<Node> {
        let token = self.token(tree.id);
        if depth > 2 * MAX_NESTING {
            return Err(too_deep(token));
        }
        match &tree.expr {
            Cel::Literal(literal) => self.literal(literal, token),
            Cel::Call(call) => self.call(tree.id, call, depth),
            Cel::Select(select) => self.select(tree, &select.operand, &select.field, depth),
            Cel::Ident(name) => Err(self.bare_name(name, token)),
            Cel::Comprehension(_) | Cel::List(_) | Cel::Map(_) | Cel::Struct(_) => {
                let message = "lists, maps and macros have no place in an expectation";
                Err(ExpectError::new(token, message))
            }
            Cel::Unspecified => Err(ExpectError::new(0..self.text.len(), "not an expression")),
        }
    }

    fn bare_name(&self, name: &str, range: Range<usize>) -> ExpectError {
        let error = ExpectError::new(range, format!("there is no value `{name}`"));
        if FUNCTIONS.contains(&name) {
            error.help(format!("`{name}` is a function: `{name}(…)`"))
        } else {
            error.help(format!("a name is a string: `'{name}'`"))
        }
    }

    fn literal(&self, literal: &LiteralValue, range: Range<usize>) -> Result<Node> {
        let expr = match literal {
            LiteralValue::Boolean(b) => Expr::Bool(*b.inner()),
            LiteralValue::Double(d) => Expr::Number(*d.inner()),
            LiteralValue::Int(i) => Expr::Number(*i.inner() as f64),
            LiteralValue::UInt(u) => Expr::Number(*u.inner() as f64),
            LiteralValue::String(s) => {
                let error =
                    ExpectError::new(range, "a string stands only as an argument of a function");
                return Err(if super::parse_go(s.inner()).is_some() {
                    error.help(format!("did you mean `duration('{}')`?", s.inner()))
                } else {
                    error
                });
            }
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                return Err(ExpectError::new(
                    range,
                    "neither a number nor a truth value",
                ));
            }
        };
        Ok(Node { range, expr })
    }

    fn call(&self, id: u64, call: &CallExpr, depth: usize) -> Result<Node> {
        if let Some(target) = &call.target {
            let range = self.token(target.id).start..self.call_range(id, call).end;
            return Err(ExpectError::new(range, "an expectation has no methods"));
        }
        let inner = |at: usize| self.node(&call.args[at], depth + 1);
        let token = self.token(id);
        let binary = match call.func_name.as_str() {
            operators::LOGICAL_AND => Binary::And,
            operators::LOGICAL_OR => Binary::Or,
            operators::LESS => Binary::Compare(Compare::Less),
            operators::LESS_EQUALS => Binary::Compare(Compare::LessOrEqual),
            operators::GREATER => Binary::Compare(Compare::Greater),
            operators::GREATER_EQUALS => Binary::Compare(Compare::GreaterOrEqual),
            operators::EQUALS => Binary::Compare(Compare::Equal),
            operators::NOT_EQUALS => Binary::Compare(Compare::NotEqual),
            operators::ADD => Binary::Add,
            operators::SUBSTRACT => Binary::Subtract,
            operators::MULTIPLY => Binary::Multiply,
            operators::DIVIDE => Binary::Divide,
            operators::LOGICAL_NOT => {
                let inner = expect_kind(inner(0)?, Kind::Bool)?;
                let range = token.start..inner.range.end;
                let expr = Expr::Not(Box::new(inner));
                return Ok(Node { range, expr });
            }
            operators::NEGATE => {
                let inner = inner(0)?;
                if inner.kind() == Kind::Bool {
                    return Err(mismatch(&inner, "a number"));
                }
                let range = token.start..inner.range.end;
                let expr = Expr::Negate(Box::new(inner));
                return Ok(Node { range, expr });
            }
            operators::CONDITIONAL => return conditional(inner(0)?, inner(1)?, inner(2)?),
            name if name.starts_with(|c: char| c.is_alphabetic()) => {
                return self.function(id, call, None);
            }
            _ => {
                return Err(ExpectError::new(
                    token,
                    "this operator has no place in an expectation",
                ));
            }
        };
        let (left, right) = (inner(0)?, inner(1)?);
        typed(binary, &left, &right)?;
        Ok(Node {
            range: left.range.start..right.range.end,
            expr: Expr::Binary(binary, Box::new(left), Box::new(right)),
        })
    }

    fn select(
        &self,
        tree: &IdedExpr,
        operand: &IdedExpr,
        field: &str,
        depth: usize,
    ) -> Result<Node> {
        let dot = self.token(tree.id).start;
        let after = &self.text[dot..];
        let from = after.find(field).unwrap_or(0);
        let range = dot + from..(dot + from + field.len()).min(self.text.len());
        match &operand.expr {
            Cel::Call(call) if call.target.is_none() && FUNCTIONS.contains(&&*call.func_name) => {
                self.function(operand.id, call, Some((field, range)))
            }
            Cel::Unspecified
            | Cel::Call(_)
            | Cel::Comprehension(_)
            | Cel::Ident(_)
            | Cel::List(_)
            | Cel::Literal(_)
            | Cel::Map(_)
            | Cel::Select(_)
            | Cel::Struct(_) => {
                self.node(operand, depth + 1)?;
                Err(ExpectError::new(
                    range,
                    format!("there is no field `{field}`"),
                ))
            }
        }
    }

    /// A call of one of ours, with the field that was selected from it.
    fn function(
        &self,
        id: u64,
        call: &CallExpr,
        field: Option<(&str, Range<usize>)>,
    ) -> Result<Node> {
        let name = call.func_name.as_str();
        let mut range = self.call_range(id, call);
        if !FUNCTIONS.contains(&name) {
            let at = range.start..(range.start + name.len()).min(self.text.len());
            let help = suggest(name, "there are", FUNCTIONS, "");
            return Err(ExpectError::new(at, format!("there is no function `{name}`")).help(help));
        }
        let args = Arguments::read(self, call, &range)?;
        let expr = if name == "duration" {
            args.count(1..=1, "duration('400ms')")?;
            Expr::Duration(args.duration(0)?)
        } else {
            let names: Written = args.list.iter().map(|(_, range)| range.clone()).collect();
            let field_name = field.as_ref().map(|(name, _)| *name);
            let figure = figure(name, &args, field.clone(), &range)?;
            let takes_field = matches!(figure, Figure::Latency { .. } | Figure::Queue { .. });
            if let (false, Some((_, at)), Some(field)) = (takes_field, &field, field_name) {
                let message = format!("`{name}` has no field `{field}`");
                return Err(ExpectError::new(at.clone(), message).help("leave it out"));
            }
            Expr::Figure(figure, names)
        };
        if let Some((field, at)) = field {
            if name == "duration" {
                let message = format!("a duration has no field `{field}`");
                return Err(ExpectError::new(at, message));
            }
            range.end = at.end;
        }
        Ok(Node { range, expr })
    }
}

fn expect_kind(node: Node, kind: Kind) -> Result<Node> {
    if node.kind() == kind {
        Ok(node)
    } else {
        Err(mismatch(&node, kind.words()))
    }
}

fn mismatch(node: &Node, wanted: &str) -> ExpectError {
    let message = format!("{wanted} belongs here, this is {}", node.kind().words());
    ExpectError::new(node.range.clone(), message)
}

fn conditional(condition: Node, yes: Node, no: Node) -> Result<Node> {
    let condition = expect_kind(condition, Kind::Bool)?;
    let no = expect_kind(no, yes.kind())?;
    Ok(Node {
        range: condition.range.start..no.range.end,
        expr: Expr::Conditional(Box::new(condition), Box::new(yes), Box::new(no)),
    })
}

fn typed(op: Binary, left: &Node, right: &Node) -> Result<()> {
    let (l, r) = (left.kind(), right.kind());
    let fits = match op {
        Binary::And | Binary::Or => {
            let odd = if l == Kind::Bool { right } else { left };
            return if odd.kind() == Kind::Bool {
                Ok(())
            } else {
                Err(mismatch(odd, Kind::Bool.words()))
            };
        }
        Binary::Compare(Compare::Equal | Compare::NotEqual) => l == r,
        Binary::Compare(_) | Binary::Add | Binary::Subtract => l == r && l != Kind::Bool,
        Binary::Multiply => {
            l != Kind::Bool && r != Kind::Bool && !(l == Kind::Duration && r == Kind::Duration)
        }
        Binary::Divide => {
            l != Kind::Bool && r != Kind::Bool && !(l == Kind::Number && r == Kind::Duration)
        }
    };
    if fits {
        return Ok(());
    }
    let range = left.range.start..right.range.end;
    let message = format!("{} and {} do not go together here", l.words(), r.words());
    let error = ExpectError::new(range, message);
    Err(match (&left.expr, &right.expr) {
        (Expr::Number(n), _) | (_, Expr::Number(n))
            if l == Kind::Duration || r == Kind::Duration =>
        {
            error.help(format!("write `duration('{n}s')` or `duration('{n}ms')`"))
        }
        _ => error,
    })
}
