//! Listeners of a Gateway and of the sets that are attached to it, and why some of them do not serve.

use std::sync::Arc;

use proxy_core::config::Name;

use super::attach::Attachment;
use super::hosts::Host;
use super::policies::Roots;
use super::read::{Api, GROUP, RouteKind};
use super::references::{Lookup, Namer, ReferenceProblem};
use super::types::{self, Validation, text};
use crate::text::Span;

/// Who brings a listener.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Owner {
    /// The Gateway itself.
    Gateway,
    /// A ListenerSet, by its place in [`Api`].
    Set(usize),
}

/// What a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Protocol {
    /// Requests in the clear.
    Http,
    /// Requests over TLS.
    Https,
    /// Connections by server name.
    Tls,
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
    /// One of some controller's own.
    Other,
}

impl Protocol {
    fn of(text: &str) -> Self {
        match text {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "TLS" => Self::Tls,
            "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            _ => Self::Other,
        }
    }

    /// Whether it goes by server names, so that several share a port.
    #[must_use]
    pub const fn has_server_names(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// The routes that fit.
    ///
    /// Source: `Listener.protocol`, and the table of "TLS" in the API's guide.
    const fn kinds(self, ends: Option<Termination>) -> &'static [RouteKind] {
        match (self, ends) {
            (Self::Http | Self::Https, _) => &[RouteKind::Http, RouteKind::Grpc],
            (Self::Tls, Some(Termination::Here)) => &[RouteKind::Tls, RouteKind::Tcp],
            (Self::Tls, _) => &[RouteKind::Tls],
            (Self::Tcp, _) => &[RouteKind::Tcp],
            (Self::Udp, _) => &[RouteKind::Udp],
            (Self::Other, _) => &[],
        }
    }
}

/// Where TLS ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Termination {
    /// At the listener.
    Here,
    /// At the backend.
    Beyond,
}

/// A listener's end of TLS.
#[derive(Clone, PartialEq, Debug)]
pub struct TlsEnd {
    /// Where it ends.
    pub ends: Termination,
    /// Secrets (`namespace/name`) of those certificates that can be used.
    pub certificates: Vec<Name>,
    /// What clients must show; none: nothing.
    pub clients: Option<Clients>,
}

/// What clients must show.
#[derive(Clone, PartialEq, Debug)]
pub struct Clients {
    /// Whom their certificates must come from.
    pub roots: Roots,
    /// Whether they are served all the same without one, or with another.
    pub fallback: bool,
}

/// What is wrong with a listener.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum ListenerProblem {
    /// Its protocol is not known.
    Protocol,
    /// Its TLS mode is not known, or there is none where one is needed.
    Mode,
    /// It allows kinds of routes that are not known or do not fit its protocol.
    RouteKinds,
    /// A certificate.
    Certificate(ReferenceProblem),
    /// An authority of clients.
    ClientAuthority(ReferenceProblem),
    /// There is no authority of clients that can be used, though one is asked for.
    NoClientAuthority,
    /// Another listener has its place.
    Conflict(Conflict),
}

/// What two listeners cannot share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Conflict {
    /// A port with two protocols.
    Protocol,
    /// A host name.
    Hostname,
}

/// A listener as it came out.
#[derive(Clone, Debug)]
pub struct ListenerState {
    /// Who brings it.
    pub owner: Owner,
    /// Its place in its owner's list.
    pub at: usize,
    /// Its name.
    pub name: Name,
    /// Its port.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whom it takes.
    pub host: Host,
    /// The routes it takes.
    pub kinds: Vec<RouteKind>,
    /// Its end of TLS.
    pub tls: Option<TlsEnd>,
    /// What is wrong with it.
    pub problems: Vec<ListenerProblem>,
    /// The routes that are attached to it, from the oldest of each kind.
    pub attached: Vec<Attachment>,
    /// The text of its name.
    pub span: Span,
}

impl ListenerState {
    /// Whether a controller would accept it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        !self.problems.iter().any(|problem| match problem {
            ListenerProblem::Protocol
            | ListenerProblem::Mode
            | ListenerProblem::NoClientAuthority
            | ListenerProblem::Conflict(_) => true,
            ListenerProblem::RouteKinds
            | ListenerProblem::Certificate(_)
            | ListenerProblem::ClientAuthority(_) => false,
        })
    }

    /// Whether it serves: with TLS that ends here it needs a certificate.
    #[must_use]
    pub fn serves(&self) -> bool {
        let lacks = |tls: &TlsEnd| tls.ends == Termination::Here && tls.certificates.is_empty();
        self.is_accepted() && !self.tls.as_ref().is_some_and(lacks)
    }

    /// What conflicts with it.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        self.problems.iter().find_map(|problem| match problem {
            ListenerProblem::Conflict(conflict) => Some(*conflict),
            ListenerProblem::Protocol
            | ListenerProblem::Mode
            | ListenerProblem::RouteKinds
            | ListenerProblem::Certificate(_)
            | ListenerProblem::ClientAuthority(_)
            | ListenerProblem::NoClientAuthority => None,
        })
    }
}

/// Whose listeners are read.
pub(super) struct Bringer<'a> {
    pub(super) owner: Owner,
    pub(super) namespace: &'a str,
    pub(super) listeners: &'a [types::Listener],
}

/// What all listeners of a Gateway share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) api: &'a Api,
    pub(super) lookup: Lookup<'a>,
    pub(super) gateway: &'a types::Gateway,
    pub(super) namespace: &'a str,
}

impl Shared<'_> {
    /// The listeners that somebody brings, each by itself.
    pub(super) fn listeners(&self, of: &Bringer<'_>) -> Vec<ListenerState> {
        let all = of.listeners.iter().enumerate();
        all.map(|(at, listener)| self.listener(of, at, listener))
            .collect()
    }

    fn listener(&self, of: &Bringer<'_>, at: usize, listener: &types::Listener) -> ListenerState {
        let protocol = Protocol::of(&listener.protocol);
        let mut problems = Vec::new();
        if protocol == Protocol::Other {
            problems.push(ListenerProblem::Protocol);
        }
        let tls = protocol
            .has_server_names()
            .then(|| self.tls_end(of, listener, protocol, &mut problems))
            .flatten();
        let fitting = protocol.kinds(tls.as_ref().map(|tls| tls.ends));
        let kinds = kinds(listener, fitting, &mut problems);
        ListenerState {
            owner: of.owner,
            at,
            name: listener.name.value.as_str().into(),
            port: listener.port.value,
            protocol,
            host: match protocol {
                // they see no name
                Protocol::Tcp | Protocol::Udp | Protocol::Other => Host::Any,
                Protocol::Http | Protocol::Https | Protocol::Tls => {
                    Host::of(text(&listener.hostname))
                }
            },
            kinds,
            tls,
            problems,
            attached: Vec::new(),
            span: listener.name.span,
        }
    }

    fn tls_end(
        &self,
        of: &Bringer<'_>,
        listener: &types::Listener,
        protocol: Protocol,
        problems: &mut Vec<ListenerProblem>,
    ) -> Option<TlsEnd> {
        let written = listener.tls.as_ref();
        let mode = written.and_then(|tls| text(&tls.mode));
        let ends = match mode {
            None | Some("Terminate") => Termination::Here,
            // requests are read here, so that their TLS ends here
            Some("Passthrough") if protocol == Protocol::Tls => Termination::Beyond,
            Some(_) => {
                problems.push(ListenerProblem::Mode);
                return None;
            }
        };
        let mut end = TlsEnd {
            ends,
            certificates: Vec::new(),
            clients: None,
        };
        if ends == Termination::Beyond {
            return Some(end);
        }
        let namer = Namer {
            kind: match of.owner {
                Owner::Gateway => "Gateway",
                Owner::Set(_) => "ListenerSet",
            },
            namespace: of.namespace,
        };
        let references = written.map_or(&[][..], |tls| &tls.certificate_refs);
        if references.is_empty() {
            problems.push(ListenerProblem::Certificate(ReferenceProblem::NotFound));
        }
        for reference in references {
            match self.lookup.certificate(self.api, reference, namer) {
                Ok(name) => end.certificates.push(name),
                Err(problem) => problems.push(ListenerProblem::Certificate(problem)),
            }
        }
        end.clients = self.clients(listener, problems);
        Some(end)
    }

    /// What clients must show on a listener's port, whoever brings it.
    ///
    /// Source: GEP-91: the port's own settings take the place of the default.
    fn clients(
        &self,
        listener: &types::Listener,
        problems: &mut Vec<ListenerProblem>,
    ) -> Option<Clients> {
        let older = listener.tls.as_ref();
        let older = older.and_then(|tls| tls.frontend_validation.as_ref());
        let frontend = self.gateway.tls.as_ref();
        let frontend = frontend.and_then(|tls| tls.frontend.as_ref());
        let of_port = frontend.map(|frontend| {
            let mut ports = frontend.per_port.iter();
            let own = ports.find(|it| it.port.value == listener.port.value);
            own.map_or(&frontend.default, |own| &own.tls)
        });
        let of_port = of_port.and_then(|tls| tls.validation.as_ref());
        let validation: &Validation = of_port.or(older)?;
        let namer = Namer {
            kind: "Gateway",
            namespace: self.namespace,
        };
        let mut texts: Vec<Arc<str>> = Vec::new();
        for reference in &validation.ca_certificate_refs {
            match self.lookup.authority(self.api, reference, namer) {
                Ok(text) => texts.push(text),
                Err(problem) => problems.push(ListenerProblem::ClientAuthority(problem)),
            }
        }
        if texts.is_empty() {
            problems.push(ListenerProblem::NoClientAuthority);
        }
        Some(Clients {
            roots: Roots::Pem(texts),
            fallback: text(&validation.mode) == Some("AllowInsecureFallback"),
        })
    }
}

fn kinds(
    listener: &types::Listener,
    fitting: &[RouteKind],
    problems: &mut Vec<ListenerProblem>,
) -> Vec<RouteKind> {
    let asked = listener.allowed_routes.as_ref();
    let asked = asked.map_or(&[][..], |routes| &routes.kinds);
    if asked.is_empty() {
        return fitting.to_vec();
    }
    let mut kinds = Vec::new();
    for one in asked {
        let is_ours = matches!(text(&one.group), None | Some(GROUP));
        let known = fitting
            .iter()
            .find(|kind| is_ours && kind.name() == one.kind.value);
        match known {
            Some(kind) if !kinds.contains(kind) => kinds.push(*kind),
            Some(_) => {}
            None => problems.push(ListenerProblem::RouteKinds),
        }
    }
    kinds
}

/// Finds listeners that cannot be beside each other. Of one owner's none of them serves; of several the first has its place: those of the Gateway
/// come before those of sets, older sets before younger ones.
///
/// Source: `Gateway.spec.listeners` ("Distinct Listeners"), GEP-1713.
pub(super) fn find_conflicts(listeners: &mut [ListenerState]) {
    let mut from = 0;
    // an owner's listeners stand together
    while let Some(first) = listeners.get(from) {
        let owner = first.owner;
        let rest = listeners[from..].iter();
        let to = from + rest.take_while(|it| it.owner == owner).count();
        let (before, own) = listeners.split_at_mut(from);
        let own = &mut own[..to - from];
        let placed = || before.iter().filter(|it| it.conflict().is_none());
        mark(own, |one| {
            placed().filter_map(|other| conflict(one, other)).min()
        });
        let found: Vec<Option<Conflict>> = own
            .iter()
            .map(|one| {
                let siblings = own.iter().filter(|other| !core::ptr::eq(*other, one));
                let placed = siblings.filter(|it| it.conflict().is_none());
                placed.filter_map(|other| conflict(one, other)).min()
            })
            .collect();
        let mut found = found.into_iter();
        mark(own, |_| found.next().flatten());
        from = to;
    }
}

fn mark(
    listeners: &mut [ListenerState],
    mut conflict: impl FnMut(&ListenerState) -> Option<Conflict>,
) {
    for listener in listeners {
        let found = conflict(listener).filter(|_| listener.conflict().is_none());
        listener
            .problems
            .extend(found.map(ListenerProblem::Conflict));
    }
}

fn conflict(one: &ListenerState, other: &ListenerState) -> Option<Conflict> {
    let is_udp = |listener: &ListenerState| listener.protocol == Protocol::Udp;
    let is_other = |listener: &ListenerState| listener.protocol == Protocol::Other;
    let apart = one.port != other.port || is_udp(one) != is_udp(other);
    // what no one serves has no place to lose
    if apart || is_other(one) || is_other(other) {
        return None;
    }
    let both_by_name = one.protocol.has_server_names() && other.protocol.has_server_names();
    if one.protocol != other.protocol && !both_by_name {
        return Some(Conflict::Protocol);
    }
    (one.host == other.host).then_some(Conflict::Hostname)
}
