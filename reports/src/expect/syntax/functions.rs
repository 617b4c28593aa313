//! The functions of an expectation and what they take.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, LiteralValue};

use super::{Reader, Result};
use crate::expect::ExpectError;
use crate::expect::figure::{Figure, LoadFigure, Window};
use crate::expect::near::suggest;
use crate::figures::Stat;
use crate::outcome::ErrorReason;

/// Strings and where they stand.
pub(super) struct Arguments {
    call: Range<usize>,
    pub(super) list: Vec<(String, Range<usize>)>,
}

impl Arguments {
    pub(super) fn read(reader: &Reader<'_>, call: &CallExpr, range: &Range<usize>) -> Result<Self> {
        let mut list = Vec::new();
        for arg in &call.args {
            list.push(Self::one(reader, call, arg)?);
        }
        let call = range.clone();
        Ok(Self { call, list })
    }

    /// A string, or `duration('30s')` where a window begins or ends.
    fn one(reader: &Reader<'_>, call: &CallExpr, arg: &IdedExpr) -> Result<(String, Range<usize>)> {
        let at = reader.token(arg.id);
        if let Cel::Literal(LiteralValue::String(s)) = &arg.expr {
            return Ok((s.inner().to_owned(), at));
        }
        if let Cel::Call(inner) = &arg.expr
            && inner.func_name == "duration"
            && call.func_name != "duration"
            && let [only] = inner.args.as_slice()
            && let Cel::Literal(LiteralValue::String(s)) = &only.expr
        {
            return Ok((s.inner().to_owned(), reader.call_range(arg.id, inner)));
        }
        let error = ExpectError::new(at, "arguments are strings");
        Err(match &arg.expr {
            Cel::Ident(name) => error.help(format!("write `'{name}'`")),
            Cel::Unspecified
            | Cel::Call(_)
            | Cel::Comprehension(_)
            | Cel::List(_)
            | Cel::Literal(_)
            | Cel::Map(_)
            | Cel::Select(_)
            | Cel::Struct(_) => error,
        })
    }

    pub(super) fn count(
        &self,
        allowed: std::ops::RangeInclusive<usize>,
        usage: &str,
    ) -> Result<()> {
        if allowed.contains(&self.list.len()) {
            return Ok(());
        }
        let message = format!("wrong number of arguments: {}", self.list.len());
        Err(ExpectError::new(self.call.clone(), message).help(format!("write `{usage}`")))
    }

    pub(super) fn text(&self, at: usize) -> String {
        self.list[at].0.clone()
    }

    pub(super) fn duration(&self, at: usize) -> Result<f64> {
        let (text, range) = &self.list[at];
        crate::expect::parse_go(text).ok_or_else(|| {
            ExpectError::new(range.clone(), format!("`{text}` is not a duration"))
                .help("durations read like `400ms`, `1.5s` or `1m30s`")
        })
    }

    /// The window given by the arguments from `at` on, `usage` without it.
    fn window(&self, at: usize, usage: &str) -> Result<Option<Window>> {
        if self.list.len() == at {
            return Ok(None);
        }
        let with = usage.replacen(')', ", '30s', '50s')", 1);
        if self.list.len() != at + 2 {
            let message = format!("wrong number of arguments: {}", self.list.len());
            let help = format!("write `{usage}`, or over a window `{with}`");
            return Err(ExpectError::new(self.call.clone(), message).help(help));
        }
        let (from_ns, to_ns) = (self.duration(at)? as u64, self.duration(at + 1)? as u64);
        if from_ns >= to_ns {
            let range = self.list[at].1.start..self.list[at + 1].1.end;
            let message = "the window ends before it begins";
            return Err(ExpectError::new(range, message).help(format!("write `{with}`")));
        }
        Ok(Some(Window { from_ns, to_ns }))
    }
}

pub(super) fn figure(
    name: &str,
    args: &Arguments,
    field: Option<(&str, Range<usize>)>,
    call: &Range<usize>,
) -> Result<Figure> {
    let usage = match name {
        "latency" | "okLatency" => format!("{name}('load').p99"),
        "errors" => "errors('load', 'timeout')".to_owned(),
        "attempts" | "amplification" => format!("{name}('from', 'to')"),
        "ejections" => "ejections('cluster')".to_owned(),
        "utilization" | "queue" => format!("{name}('workload')"),
        "recovery" => "recovery('fault')".to_owned(),
        _ => format!("{name}('load')"),
    };
    let names = if matches!(name, "errors" | "attempts" | "amplification") {
        2
    } else {
        1
    };
    if name == "recovery" {
        args.count(1..=1, &usage)?;
        return Ok(Figure::Recovery {
            fault: args.text(0),
        });
    }
    if args.list.len() < names {
        args.count(names..=names, &usage)?;
    }
    let window = args.window(names, &usage)?;
    let first = args.text(0);
    Ok(match name {
        "latency" | "okLatency" => Figure::Latency {
            load: first,
            only_ok: name == "okLatency",
            stat: stat(name, field, call)?,
            window,
        },
        "success" => Figure::Load {
            load: first,
            what: LoadFigure::Success,
            window,
        },
        "goodput" => Figure::Load {
            load: first,
            what: LoadFigure::Goodput,
            window,
        },
        "throughput" => Figure::Load {
            load: first,
            what: LoadFigure::Throughput,
            window,
        },
        "errors" => Figure::Errors {
            load: first,
            reason: reason(args)?,
            window,
        },
        "attempts" | "amplification" => Figure::Edge {
            from: first,
            to: args.text(1),
            per_first: name == "amplification",
            window,
        },
        "ejections" => Figure::Ejections {
            cluster: first,
            window,
        },
        "utilization" => Figure::Utilization {
            workload: first,
            window,
        },
        _ => Figure::Queue {
            workload: first,
            highest: highest(field)?,
            window,
        },
    })
}

fn stat(name: &str, field: Option<(&str, Range<usize>)>, call: &Range<usize>) -> Result<Stat> {
    let names = Stat::ALL.map(Stat::name);
    let Some((field, range)) = field else {
        let message = format!("`{name}` is a distribution, not one number");
        let all = names.map(|n| format!("`.{n}`")).join(", ");
        return Err(ExpectError::new(call.clone(), message).help(format!("add one of {all}")));
    };
    let found = Stat::ALL.into_iter().find(|s| s.name() == field);
    found.ok_or_else(|| {
        let message = format!("`{name}` has no field `{field}`");
        ExpectError::new(range, message).help(suggest(field, "there are", names, ""))
    })
}

fn highest(field: Option<(&str, Range<usize>)>) -> Result<bool> {
    match field {
        None => Ok(false),
        Some(("mean", _)) => Ok(false),
        Some(("max", _)) => Ok(true),
        Some((field, range)) => {
            let message = format!("`queue` has no field `{field}`");
            let help = "there are `.mean`, which it is without a field, and `.max`";
            Err(ExpectError::new(range, message).help(help))
        }
    }
}

fn reason(args: &Arguments) -> Result<ErrorReason> {
    let (text, range) = &args.list[1];
    ErrorReason::from_key(text).ok_or_else(|| {
        let keys: Vec<&str> = ErrorReason::ALL.iter().map(|r| r.key()).collect();
        let help = suggest(text, "there are", keys.clone(), "");
        let help = if help.ends_with("more") {
            format!("there are: {}", keys.join(", "))
        } else {
            help
        };
        ExpectError::new(range.clone(), format!("there is no reason `{text}`")).help(help)
    })
}
