//! Where requests are traced: what becomes of their heads, and what is kept for their spans.

use super::Node;
use super::contract::Target;
use super::machine::{Env, Exchange, Machine};
use crate::config::{HttpConnections, Route, TraceSide};
use crate::event::Event;
use crate::heads::{Field, HeadId, HeadWriter, Heads};
use crate::ids::{AttemptId, ExchangeId};
use crate::trace::{Begun, Trace};

impl Exchange {
    /// Its trace, where it has one.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.log.as_ref()?.trace.as_deref()
    }

    /// What the endpoint calls the request, where this node asked it.
    pub(super) fn note_operation<H: Heads>(&mut self, heads: &H, head: HeadId) {
        let trace = self.log.as_mut().and_then(|log| log.trace.as_deref_mut());
        let told = heads.response_header(head, Field::DecoratorOperation.name());
        if let (Some(trace), Some(told)) = (trace, told) {
            trace.renamed(told);
        }
    }
}

impl Machine {
    /// Decides whether a request is traced, once its route is known.
    #[cold]
    pub(super) fn begin_trace<S, H: Heads>(
        &mut self,
        env: &Env<'_, S, H>,
        id: ExchangeId,
        http: &HttpConnections,
        route: Option<&Route>,
    ) {
        let Some(tracing) = http.tracing.as_deref() else {
            return;
        };
        let node = self.identity.key;
        let exchange = self.exchange(id);
        let rules = http.heads.as_deref();
        let begun = Begun {
            head: exchange.view(env.heads),
            route: route.and_then(|route| route.tracing.as_deref()),
            by_id: rules.is_none_or(|rules| rules.request_id.samples),
            says_reason: rules.is_none_or(|rules| rules.request_id.says_traced),
            request: exchange.path,
            own: node.child(exchange.path.as_u64()),
        };
        let (trace, mark) = Trace::begin(tracing, &begun);
        let target = Target::Exchange(id, exchange.token);
        self.record(target, Event::Traced(trace.reason));
        self.mark = Some(mark);
        if let Some(note) = &mut self.exchange_mut(id).log {
            note.trace = Some(Box::new(trace));
        }
    }
}

impl Node {
    /// Writes into the head of the request that was taken in last what its being traced changes; to be called before any action of
    /// that call is done. False: nothing changes.
    pub fn mark_head(&mut self, out: &mut impl HeadWriter) -> bool {
        match self.machine.mark.take() {
            Some(mark) => {
                mark.write(out);
                true
            }
            None => false,
        }
    }

    /// Whether [`Node::mark_head`] has something to write.
    #[must_use]
    #[inline]
    pub const fn marks_head(&self) -> bool {
        self.machine.mark.is_some()
    }

    /// Tells the upstream of a try which trace its request is part of.
    pub fn write_trace(&self, attempt: AttemptId, out: &mut impl HeadWriter) {
        let exchange = self.machine.exchanges.get(attempt.exchange);
        if let Some(trace) = exchange.and_then(Exchange::trace) {
            trace.write(attempt.number, out);
        }
    }
}

/// Which name of a request's span the client of its response is told.
pub(super) fn write_operation(
    http: &HttpConnections,
    told: Option<&str>,
    out: &mut impl HeadWriter,
) {
    match http.tracing.as_deref().map(|tracing| tracing.side) {
        None => {}
        Some(TraceSide::Egress) => out.remove_field(Field::DecoratorOperation),
        Some(TraceSide::Ingress) => {
            if let Some(told) = told {
                out.set_field(Field::DecoratorOperation, told);
            }
        }
    }
}
