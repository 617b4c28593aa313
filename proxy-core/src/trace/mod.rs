//! Traces: which requests are traced, what their spans are called, and what upstreams are told.
//!
//! The node decides all of it and draws the ids; a driver puts what happened into spans once a request is over, and sends them.
//!
//! Source: envoy 1.40 `source/common/http/conn_manager_utility.cc` (`mutateTracingRequestHeader`), `conn_manager_impl.cc` (`traceRequest`),
//! `source/extensions/tracers/{opentelemetry,zipkin}`, and what it was seen to do.

mod context;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::config::{Name, Propagation, RouteTracing, Sampler, TraceProvider, TraceSide, Tracing};
use crate::draw::{DrawKey, Purpose};
use crate::event::{AttemptFailure, AttemptResult};
use crate::heads::{Field, HeadWriter, Heads};
use crate::ids::EndpointSlot;
use crate::reply::Flags;
use crate::route::RequestView;
use crate::time::Time;
use context::{Came, Parent, Told};

/// Why a request is traced, or that it is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum TraceReason {
    /// It is not.
    NotTraceable,
    /// It was drawn.
    Sampling,
    /// A node wants it (`x-envoy-force-trace`).
    ServiceForced,
    /// Its client wants it (`x-client-trace-id`).
    ClientForced,
}

/// Letters of a UUID.
const UUID: usize = 36;
/// Which letter of a request's id says why it is traced.
const LETTER: usize = 14;

impl TraceReason {
    /// What a request's id says.
    ///
    /// Source: envoy `source/extensions/request_id/uuid/config.cc`.
    fn of_id(id: &str) -> Self {
        match id.as_bytes() {
            bytes if bytes.len() != UUID => Self::NotTraceable,
            bytes => match bytes[LETTER] {
                b'9' => Self::Sampling,
                b'a' => Self::ServiceForced,
                b'b' => Self::ClientForced,
                _ => Self::NotTraceable,
            },
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::NotTraceable => "4",
            Self::Sampling => "9",
            Self::ServiceForced => "a",
            Self::ClientForced => "b",
        }
    }
}

/// What becomes of a request's head because it is traced, or is not: to be written before the request leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    reason: Option<TraceReason>,
    operation: Operation,
}

/// What becomes of `x-envoy-decorator-operation` of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Operation {
    Stays,
    Goes,
    Is(Name),
}

impl Mark {
    pub(crate) fn write(&self, out: &mut impl HeadWriter) {
        if let Some(reason) = self.reason {
            let id = out.first(Field::RequestId.name()).map(str::to_owned);
            let id = id.filter(|id| id.len() == UUID && id.is_ascii());
            if let Some(mut id) = id {
                id.replace_range(LETTER..=LETTER, reason.letter());
                out.set_field(Field::RequestId, &id);
            }
        }
        match &self.operation {
            Operation::Stays => {}
            Operation::Goes => out.remove_field(Field::DecoratorOperation),
            Operation::Is(name) => out.set_field(Field::DecoratorOperation, name),
        }
    }
}

/// A request's span, as far as the node knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// Why the request is traced.
    pub reason: TraceReason,
    /// The span; none: there is none, and upstreams are told what the request came with.
    pub span: Option<Span>,
    /// What it is called, if it was given a name.
    pub operation: Option<Box<str>>,
    /// Its tries, where they have spans of their own.
    pub tries: SmallVec<[TrySpan; 2]>,
    spawns: bool,
    side: TraceSide,
    /// Whether clients are told the route's name for it.
    tells: bool,
    key: DrawKey,
}

/// Where a span stands in its trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Of which trace; never zero.
    pub trace: u128,
    /// Whether that id is told with 128 bits.
    pub wide: bool,
    /// Which span; never zero.
    pub id: u64,
    /// Of which it is a child.
    pub parent: Option<u64>,
    /// Whether that one came with the request.
    pub remote: bool,
    /// Whether it is the same as that of the client.
    pub shared: bool,
    /// Whether it is sent to whoever gathers spans.
    pub sampled: bool,
    /// `tracestate`.
    pub state: Box<str>,
    propagation: Propagation,
}

/// The span of a try.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TrySpan {
    /// Which try, from 1.
    pub number: u16,
    /// Its id.
    pub id: u64,
    /// When it began.
    pub start: Time,
    /// When it was sent, if it was.
    pub sent: Option<Time>,
    /// When its response began, if it did.
    pub answered: Option<Time>,
    /// When it was over.
    pub end: Time,
    /// To which endpoint it went.
    pub endpoint: Option<EndpointSlot>,
    /// Status of its response; 0: there was none.
    pub status: u16,
    /// Why it had none.
    pub failure: Option<AttemptFailure>,
    /// The same as flags.
    pub flags: Flags,
    /// Whether it was given up before its end.
    pub cancelled: bool,
    /// Whether it went over HTTP/2; none: it was not sent.
    pub http2: Option<bool>,
}

/// What is known of a request when it is decided about.
pub(crate) struct Begun<'a, H> {
    pub(crate) head: RequestView<'a, H>,
    pub(crate) route: Option<&'a RouteTracing>,
    /// Whether the request's id says why it is traced.
    pub(crate) says_reason: bool,
    /// Whether the request's id has a say.
    pub(crate) by_id: bool,
    /// Names what the request draws.
    pub(crate) request: DrawKey,
    /// Names what this node draws for it.
    pub(crate) own: DrawKey,
}

impl Trace {
    /// Decides about a request.
    pub(crate) fn begin<H: Heads>(tracing: &Tracing, begun: &Begun<'_, H>) -> (Self, Mark) {
        let (reason, changed) = reason(tracing, begun);
        let provider = tracing.provider.as_deref();
        let span = provider.and_then(|it| span(it, tracing, reason, begun));
        let decorator = begun.route.and_then(|it| it.decorator.as_ref());
        let name = decorator
            .map(|it| &it.operation)
            .filter(|name| !name.is_empty());
        let propagates = decorator.is_some_and(|it| it.propagates);
        let header = Field::DecoratorOperation.name();
        let mut operation = name.map(|name| Box::from(&**name));
        let mut tells = name.is_some() && propagates;
        let written = match (tracing.side, name) {
            (TraceSide::Egress, Some(name)) if propagates => Operation::Is(name.clone()),
            (TraceSide::Egress, _) => Operation::Stays,
            (TraceSide::Ingress, _) => match begun.head.header(header) {
                Some(told) => {
                    if !told.is_empty() {
                        operation = Some(told.into());
                        tells = false;
                    }
                    Operation::Goes
                }
                None => Operation::Stays,
            },
        };
        tells &= tracing.side == TraceSide::Ingress;
        let trace = Self {
            reason,
            span,
            operation,
            tries: SmallVec::new(),
            spawns: tracing.spawns,
            side: tracing.side,
            tells,
            key: begun.own,
        };
        let mark = Mark {
            reason: changed.filter(|_| begun.says_reason),
            operation: written,
        };
        (trace, mark)
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.span.as_ref().is_some_and(|span| span.sampled)
    }

    /// Whether the client is told the route's name for its request.
    pub(crate) const fn tells(&self) -> bool {
        self.tells
    }

    /// The endpoint's name for it, which is heard where requests go out.
    pub(crate) fn renamed(&mut self, operation: &str) {
        if self.side == TraceSide::Egress && !operation.is_empty() {
            self.operation = Some(operation.into());
        }
    }

    /// A try begins.
    pub(crate) fn try_begun(&mut self, number: u16, endpoint: Option<EndpointSlot>, now: Time) {
        if !self.spawns || self.span.is_none() {
            return;
        }
        self.tries.push(TrySpan {
            number,
            id: id(self.key, FIRST_TRY + u32::from(number)),
            start: now,
            sent: None,
            answered: None,
            end: now,
            endpoint,
            status: 0,
            failure: None,
            flags: Flags::NONE,
            cancelled: false,
            http2: None,
        });
    }

    fn of_try(&mut self, number: u16) -> Option<&mut TrySpan> {
        self.tries.iter_mut().find(|it| it.number == number)
    }

    /// It is sent.
    pub(crate) fn try_sent(&mut self, number: u16, http2: bool, now: Time) {
        if let Some(it) = self.of_try(number) {
            it.sent = Some(now);
            it.http2 = Some(http2);
        }
    }

    /// Its response begins.
    pub(crate) fn try_answered(&mut self, number: u16, status: u16, now: Time) {
        if let Some(it) = self.of_try(number) {
            it.answered = Some(now);
            it.status = status;
        }
    }

    /// It is over; `whole`: its response was read to its end.
    pub(crate) fn try_ended(
        &mut self,
        number: u16,
        result: AttemptResult,
        (flags, whole): (Flags, bool),
        now: Time,
    ) {
        let Some(it) = self.of_try(number) else {
            return;
        };
        it.end = now;
        match result {
            AttemptResult::Response(status) => {
                it.status = status;
                it.cancelled = !whole;
            }
            AttemptResult::Failed(failure) => {
                it.failure = Some(failure);
                if failure != AttemptFailure::RouteTimeout {
                    it.flags = flags;
                }
                it.cancelled = is_given_up(failure);
            }
            AttemptResult::Cancelled => it.cancelled = true,
        }
    }

    /// Writes what the upstream of a try is told.
    pub(crate) fn write(&self, number: u16, out: &mut impl HeadWriter) {
        let Some(span) = &self.span else {
            return;
        };
        let own = self.tries.iter().find(|it| it.number == number);
        let (id, parent) = match own {
            Some(own) => (own.id, Some(span.id)),
            None => (span.id, span.parent),
        };
        let told = Told {
            trace: span.trace,
            wide: span.wide,
            span: id,
            parent,
            sampled: span.sampled,
            state: &span.state,
        };
        context::write(span.propagation, told, out);
    }
}

/// Whether a try that failed so was given up by this node.
const fn is_given_up(failure: AttemptFailure) -> bool {
    matches!(
        failure,
        AttemptFailure::PerTryTimeout | AttemptFailure::PerTryIdle | AttemptFailure::RouteTimeout
    )
}

/// Why a request is traced, and whether its id is to say something else than it does.
fn reason<H: Heads>(tracing: &Tracing, begun: &Begun<'_, H>) -> (TraceReason, Option<TraceReason>) {
    if !begun.by_id {
        return (TraceReason::Sampling, None);
    }
    let head = begun.head;
    let id = head.header(Field::RequestId.name());
    let Some((id, number)) = id.and_then(|id| Some((id, number(id)?))) else {
        return (TraceReason::NotTraceable, None);
    };
    let shares = begun.route.and_then(|it| it.shares);
    let shares = shares.unwrap_or(tracing.shares);
    let mut reason = TraceReason::NotTraceable;
    if begun.says_reason {
        reason = TraceReason::of_id(id);
    }
    let mut changed = None;
    if reason == TraceReason::NotTraceable {
        let drawn = || begun.own.bits(Purpose::Trace, CLIENT);
        if head.header("x-client-trace-id").is_some() && shares.client.has(drawn()) {
            reason = TraceReason::ClientForced;
        } else if head.header(Field::ForceTrace.name()).is_some() {
            reason = TraceReason::ServiceForced;
        } else if shares.random.has(number) {
            reason = TraceReason::Sampling;
        }
        changed = Some(reason).filter(|it| *it != TraceReason::NotTraceable);
    }
    if reason != TraceReason::NotTraceable && !shares.overall.has(number) {
        reason = TraceReason::NotTraceable;
        changed = Some(reason);
    }
    (reason, changed)
}

/// The number that shares go by: what its id begins with.
fn number(id: &str) -> Option<u64> {
    let digits = id.get(..8)?;
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_hexadecimal.then(|| u64::from_str_radix(digits, 16).ok())??;
    Some(number % 10_000)
}

const CLIENT: u32 = 0;
const TRACE_HIGH: u32 = 1;
const TRACE_LOW: u32 = 2;
const SPAN: u32 = 3;
const FIRST_TRY: u32 = 16;

/// An id that is none of a kind that is forbidden.
const fn id(key: DrawKey, index: u32) -> u64 {
    match key.bits(Purpose::Trace, index) {
        0 => 1,
        id => id,
    }
}

fn span<H: Heads>(
    provider: &TraceProvider,
    tracing: &Tracing,
    reason: TraceReason,
    begun: &Begun<'_, H>,
) -> Option<Span> {
    let wanted = reason != TraceReason::NotTraceable;
    let (own, propagation) = (begun.own, provider.propagation);
    let decide = |parent: Option<bool>| match provider.sampler {
        _ if propagation == Propagation::W3c && !wanted => false,
        Sampler::Reason => parent.unwrap_or(wanted),
        Sampler::Always => true,
        Sampler::ParentElseAlways => parent.unwrap_or(true),
    };
    match context::read(propagation, begun.head) {
        Came::Unsound => None,
        Came::Nothing(sampled) => {
            let (id, trace, wide) = fresh(propagation, begun);
            Some(Span {
                trace,
                wide,
                id,
                parent: None,
                remote: false,
                shared: shares(propagation, tracing.side),
                sampled: decide(sampled),
                state: Box::default(),
                propagation,
            })
        }
        Came::Parent(parent) => {
            let shared = shares(propagation, tracing.side);
            let Parent {
                trace, wide, state, ..
            } = parent;
            let (id, of) = match shared {
                true => (parent.span, parent.parent),
                false => (id(own, SPAN), Some(parent.span)),
            };
            Some(Span {
                trace,
                wide,
                id,
                parent: of,
                remote: true,
                shared,
                sampled: decide(parent.sampled),
                state,
                propagation,
            })
        }
    }
}

/// Whether the span of a request that comes in is that of whoever sent it.
fn shares(propagation: Propagation, side: TraceSide) -> bool {
    match propagation {
        Propagation::W3c => false,
        Propagation::B3 { shares, .. } => shares && side == TraceSide::Ingress,
    }
}

/// The ids of a trace that begins here. Its halves are drawn under different keys, so that traces of two processes differ.
fn fresh<H>(propagation: Propagation, begun: &Begun<'_, H>) -> (u64, u128, bool) {
    let high = u128::from(begun.request.bits(Purpose::Trace, TRACE_HIGH)) << 64;
    match propagation {
        Propagation::W3c => {
            let low = u128::from(id(begun.own, TRACE_LOW));
            (id(begun.own, SPAN), high | low, true)
        }
        // Zipkin's first span has the id of its trace
        Propagation::B3 { wide, .. } => {
            let id = id(begun.own, SPAN);
            let high = if wide { high } else { 0 };
            (id, high | u128::from(id), wide)
        }
    }
}
