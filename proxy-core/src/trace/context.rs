//! What requests say of the trace that they are part of, and how it is told to whoever comes next.

use crate::config::Propagation;
use crate::heads::{HeadWriter, Heads};
use crate::route::RequestView;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const B3: &str = "b3";
const B3_TRACE: &str = "x-b3-traceid";
const B3_SPAN: &str = "x-b3-spanid";
const B3_PARENT: &str = "x-b3-parentspanid";
const B3_SAMPLED: &str = "x-b3-sampled";

/// A span that a request came with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parent {
    pub(super) trace: u128,
    /// Whether the trace's id is told with 128 bits.
    pub(super) wide: bool,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
    /// Whether the trace is sampled, if it was said.
    pub(super) sampled: Option<bool>,
    /// `tracestate`.
    pub(super) state: Box<str>,
}

/// What a request says of its trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// Nothing, or no more than whether it is sampled.
    Nothing(Option<bool>),
    Parent(Parent),
    /// Something that cannot be understood: Envoy makes no span then, and leaves the headers as they are.
    Unsound,
}

/// Reads what a request says.
pub(super) fn read<H: Heads>(propagation: Propagation, head: RequestView<'_, H>) -> Came {
    match propagation {
        Propagation::W3c => w3c(head),
        Propagation::B3 { w3c: also, .. } => match b3(head) {
            Came::Nothing(None) if also => match w3c(head) {
                // the state is left as it is
                Came::Parent(parent) => Came::Parent(Parent {
                    state: Box::default(),
                    ..parent
                }),
                other @ (Came::Nothing(_) | Came::Unsound) => other,
            },
            other @ (Came::Nothing(_) | Came::Parent(_) | Came::Unsound) => other,
        },
    }
}

/// Source: W3C Trace Context (2021) §3; envoy `source/extensions/tracers/opentelemetry/span_context_extractor.cc`.
fn w3c<H: Heads>(head: RequestView<'_, H>) -> Came {
    let Some(line) = head.header(TRACEPARENT) else {
        return Came::Nothing(None);
    };
    let Some((trace, span, sampled)) = traceparent(line) else {
        return Came::Unsound;
    };
    let mut state = String::new();
    head.any_value(TRACESTATE, |value| {
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(value);
        false
    });
    Came::Parent(Parent {
        trace,
        wide: true,
        span,
        parent: None,
        sampled: Some(sampled),
        state: state.into(),
    })
}

fn traceparent(line: &str) -> Option<(u128, u64, bool)> {
    if line.len() != 55 {
        return None;
    }
    let mut parts = line.split('-').filter(|part| !part.is_empty());
    let mut next = |length| parts.next().filter(|part| part.len() == length);
    let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    if parts.next().is_some() {
        return None;
    }
    hexadecimal(version)?;
    let trace = hexadecimal(trace).filter(|id| *id != 0)?;
    let span = hexadecimal(span).filter(|id| *id != 0)? as u64;
    Some((trace, span, hexadecimal(flags)? & 1 == 1))
}

fn hexadecimal(digits: &str) -> Option<u128> {
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hexadecimal.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// An id of as many as 64 bits.
fn short(digits: &str) -> Option<u64> {
    u64::try_from(hexadecimal(digits)?).ok()
}

/// Source: github.com/openzipkin/b3-propagation; envoy `source/extensions/tracers/zipkin/span_context_extractor.cc`.
fn b3<H: Heads>(head: RequestView<'_, H>) -> Came {
    if let Some(line) = head.header(B3) {
        return b3_single(line);
    }
    let sampled = head
        .header(B3_SAMPLED)
        .map(|value| matches!(value, "1" | "true"));
    let (Some(trace), Some(span)) = (head.header(B3_TRACE), head.header(B3_SPAN)) else {
        return Came::Nothing(sampled);
    };
    let parent = head.header(B3_PARENT).filter(|id| !id.is_empty());
    let read = || {
        let (trace, wide) = b3_trace(trace)?;
        Some(Parent {
            trace,
            wide,
            span: short(span)?,
            parent: parent.map_or(Some(None), |id| short(id).map(Some))?,
            sampled,
            state: Box::default(),
        })
    };
    read().map_or(Came::Unsound, Came::Parent)
}

/// A trace's id, and whether it has 128 bits.
fn b3_trace(digits: &str) -> Option<(u128, bool)> {
    if digits.len() == 32 {
        return Some((hexadecimal(digits)?, true));
    }
    Some((u128::from(short(digits)?), false))
}

fn b3_single(line: &str) -> Came {
    if let "0" | "1" | "d" = line {
        return Came::Nothing(Some(line != "0"));
    }
    let mut parts = line.split('-');
    let mut read = || {
        let trace = parts.next().filter(|it| matches!(it.len(), 16 | 32))?;
        let (trace, wide) = b3_trace(trace)?;
        let span = parts.next().filter(|it| it.len() == 16).and_then(short)?;
        let sampled = match parts.next() {
            None => None,
            Some("0") => Some(false),
            Some("1" | "d") => Some(true),
            Some(_) => return None,
        };
        let parent = match parts.next() {
            None => None,
            Some(parent) if parent.len() == 16 => Some(short(parent)?),
            Some(_) => return None,
        };
        parts.next().is_none().then_some(Parent {
            trace,
            wide,
            span,
            parent,
            sampled,
            state: Box::default(),
        })
    };
    read().map_or(Came::Unsound, Came::Parent)
}

/// A span as upstreams are told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) trace: u128,
    pub(super) wide: bool,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
    pub(super) sampled: bool,
    pub(super) state: &'a str,
}

impl Told<'_> {
    const fn flag(&self) -> &'static str {
        if self.sampled { "1" } else { "0" }
    }

    fn trace(&self) -> String {
        match self.wide {
            true => format!("{:032x}", self.trace),
            false => format!("{:016x}", self.trace as u64),
        }
    }

    fn traceparent(&self) -> String {
        let flag = self.flag();
        format!("00-{:032x}-{:016x}-0{flag}", self.trace, self.span)
    }

    fn single(&self) -> String {
        let (trace, flag) = (self.trace(), self.flag());
        match self.parent {
            None => format!("{trace}-{:016x}-{flag}", self.span),
            Some(parent) => format!("{trace}-{:016x}-{flag}-{parent:016x}", self.span),
        }
    }
}

/// Writes what an upstream is told.
pub(super) fn write(propagation: Propagation, told: Told<'_>, out: &mut impl HeadWriter) {
    let Propagation::B3 { w3c, .. } = propagation else {
        out.set(TRACEPARENT, &told.traceparent());
        out.set(TRACESTATE, told.state);
        return;
    };
    if out.has(B3) {
        out.set(B3, &told.single());
    } else {
        out.set(B3_TRACE, &told.trace());
        out.set(B3_SPAN, &format!("{:016x}", told.span));
        if let Some(parent) = told.parent {
            out.set(B3_PARENT, &format!("{parent:016x}"));
        }
        out.set(B3_SAMPLED, told.flag());
    }
    if w3c {
        out.set(TRACEPARENT, &told.traceparent());
    }
}
