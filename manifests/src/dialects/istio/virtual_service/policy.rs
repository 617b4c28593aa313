//! What was read and checked: names complete, delegates merged, every value with its origin.

use proxy_core::config::{
    Cidr, Cors, DirectResponse, Fault, HeaderEdits, Name, PathRewrite, RouteMatch, ServerName,
    Share, TextMatch,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::retry::conditions::RetryOn;
use proxy_core::time::Duration;

use crate::model::{Labels, selects};

use super::super::export::Export;
use super::Caller;
use super::names::MESH;

/// One VirtualService with hosts.
#[derive(Clone, Debug)]
pub(super) struct VirtualServicePolicy {
    /// Its namespace.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// Whose requests, in lower case.
    pub(super) hosts: Vec<String>,
    /// Who takes it: `mesh` or `namespace/name`; never empty.
    pub(super) gateways: Vec<String>,
    /// Who sees it.
    pub(super) exported: Export,
    /// Rules for requests.
    pub(super) http: Vec<Rule>,
    /// Rules for TLS connections.
    pub(super) tls: Vec<L4Rule>,
    /// Rules for other connections.
    pub(super) tcp: Vec<L4Rule>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One of `http`.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// For reports.
    pub(super) name: String,
    /// Any of these; empty: every request.
    pub(super) conditions: Vec<Condition>,
    /// What it does.
    pub(super) action: Action,
    /// Edits of heads.
    pub(super) edits: Edits,
    /// Injected failures.
    pub(super) fault: Option<Fault>,
    /// Pages of other origins.
    pub(super) cors: Option<Cors>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One match of a rule.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// For reports.
    pub(super) name: Option<String>,
    /// Which proxies take it at all.
    pub(super) audience: Audience,
    /// What the scheme must be, which a listener decides.
    pub(super) scheme: Option<TextMatch>,
    /// What the request must be.
    pub(super) matches: RouteMatch,
}

/// Which proxies take a condition, and on which port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Audience {
    /// These gateways; empty: any that the VirtualService is bound to.
    pub(super) gateways: Vec<String>,
    /// Callers with these labels.
    pub(super) labels: Labels,
    /// Callers of this namespace.
    pub(super) namespace: Option<Name>,
    /// This port.
    pub(super) port: Option<u16>,
}

impl Audience {
    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
    }

    fn has_gateway(&self, gateway: &str) -> bool {
        self.gateways.iter().any(|it| it == gateway)
    }

    fn has_caller(&self, caller: Caller<'_>) -> bool {
        let at_home = self.namespace.as_deref();
        selects(&self.labels, caller.labels)
            && at_home.is_none_or(|namespace| namespace == caller.namespace)
    }

    /// For requests: where gateways are written, nothing else about the caller counts.
    ///
    /// Source: istio `pilot/pkg/networking/core/route/route.go` (`sourceMatchHTTP`).
    pub(super) fn takes_requests(&self, caller: Caller<'_>, gateway: &str, port: u16) -> bool {
        self.has_port(port)
            && if self.gateways.is_empty() {
                self.has_caller(caller)
            } else {
                self.has_gateway(gateway)
            }
    }

    /// For connections: all of it counts, of gateways the caller left out.
    ///
    /// Source: istio `pilot/pkg/networking/core/tls.go` (`matchTLS`, `matchTCP`), `gateway.go` (`l4SingleMatch`).
    pub(super) fn takes_connections(&self, caller: Caller<'_>, gateway: &str, port: u16) -> bool {
        self.has_port(port)
            && (gateway != MESH || self.has_caller(caller))
            && (self.gateways.is_empty() || self.has_gateway(gateway))
    }
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Sends the request on.
    Forward(Box<ForwardPolicy>),
    /// Answers with another address.
    Redirect(RedirectPolicy),
    /// Answers itself.
    Direct(DirectResponse),
}

/// Sends a request on.
#[derive(Clone, Debug)]
pub(super) struct ForwardPolicy {
    /// One or several, those without a share left out; never empty.
    pub(super) destinations: Vec<DestinationPolicy>,
    /// All tries together; zero: no bound.
    pub(super) timeout: Option<Sourced<Duration>>,
    /// Retries; none: the release's.
    pub(super) retries: Option<RetriesPolicy>,
    /// Change of the path.
    pub(super) rewrite: Option<PathRewrite>,
    /// Another authority.
    pub(super) authority: Option<Box<str>>,
    /// Copies.
    pub(super) mirrors: Vec<MirrorPolicy>,
}

/// Where a share of requests or connections goes.
#[derive(Clone, Debug)]
pub(super) struct DestinationPolicy {
    /// To whom.
    pub(super) to: Target,
    /// Share.
    pub(super) weight: u32,
    /// Edits of heads.
    pub(super) edits: Edits,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A host with subset and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Complete.
    pub(super) host: String,
    /// Subset.
    pub(super) subset: Option<String>,
    /// Port, where one is written.
    pub(super) port: Option<u16>,
}

/// Edits of both heads.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Edits {
    /// Taken out of requests, before anything is put in.
    pub(super) request_removals: HeaderEdits,
    /// Put into requests.
    pub(super) request: HeaderEdits,
    /// Taken out of responses, before anything is put in.
    pub(super) response_removals: HeaderEdits,
    /// Put into responses.
    pub(super) response: HeaderEdits,
    /// The authority that edits of `host` or `:authority` ask for.
    pub(super) authority: Option<Box<str>>,
}

/// What `retries` says; what it leaves out is the release's.
#[derive(Clone, Debug)]
pub(super) struct RetriesPolicy {
    /// Tries after the first; 0: retries are off.
    pub(super) attempts: Sourced<u32>,
    /// Conditions and statuses.
    pub(super) on: Option<(Sourced<RetryOn>, Vec<u16>)>,
    /// Bound of each try.
    pub(super) per_try_timeout: Option<Sourced<Duration>>,
    /// Whether endpoints already tried are avoided.
    pub(super) ignore_previous_hosts: Option<Sourced<bool>>,
    /// Whether other localities are tried.
    pub(super) remote_localities: bool,
    /// Pauses.
    pub(super) backoff: Option<Sourced<Backoff>>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A copy of requests.
#[derive(Clone, Debug)]
pub(super) struct MirrorPolicy {
    /// To whom.
    pub(super) to: Target,
    /// Share of requests.
    pub(super) share: Sourced<Share>,
}

/// An answer with another address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RedirectPolicy {
    /// Status.
    pub(super) status: u16,
    /// Scheme; none: as asked.
    pub(super) scheme: Option<Box<str>>,
    /// Host; none: as asked.
    pub(super) authority: Option<Box<str>>,
    /// Port.
    pub(super) port: RedirectPort,
    /// Path; none: as asked.
    pub(super) path: Option<Box<str>>,
    /// What stands in the place of what the path's condition matched, where `path` has none.
    pub(super) prefix: Option<Box<str>>,
}

/// The port of a redirect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RedirectPort {
    /// As asked, or the scheme's own if that changes.
    Unsaid,
    /// The one that was dialled.
    OfRequest,
    /// This one.
    Number(u16),
}

/// One of `tcp` or `tls`.
#[derive(Clone, Debug)]
pub(super) struct L4Rule {
    /// Any of these; empty: every connection.
    pub(super) conditions: Vec<L4Condition>,
    /// Where connections go; never empty.
    pub(super) destinations: Vec<DestinationPolicy>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One match of a rule for connections.
#[derive(Clone, Debug, Default)]
pub(super) struct L4Condition {
    /// Which proxies take it at all.
    pub(super) audience: Audience,
    /// Server names.
    pub(super) server_names: Vec<ServerName>,
    /// Address blocks dialled.
    pub(super) destinations: Vec<Cidr>,
}
