//! What was read, checked and resolved: the policy controller's view of the cluster.

use std::collections::BTreeMap;

use proxy_core::accrual;
use proxy_core::config::{
    HeaderEdits, HeaderMatch, Name, ParamMatch, PathMatch, Redirect, RouteMatch,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::budget::RateBudget;
use proxy_core::time::Duration;

use super::annotations::{Ports, Retries, Timeouts};
use super::conditions::Failures;
use crate::model::ServiceId;

/// Everything that Linkerd's proxies go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    /// By Service.
    pub(super) services: BTreeMap<ServiceId, ServicePolicy>,
    /// Routes whose parent is a Service, in their order: oldest name first.
    pub(super) routes: Vec<RoutePolicy>,
    /// Service profiles.
    pub(super) profiles: Vec<ProfilePolicy>,
    /// Whether the release goes by what ports declare (`appProtocol`).
    pub(super) declares: bool,
}

/// What the annotations of a Service say.
#[derive(Clone, Debug)]
pub(super) struct ServicePolicy {
    /// Ports that are not looked into.
    pub(super) opaque: Ports,
    /// For the default route, and for routes that say nothing themselves.
    pub(super) requests: RequestPolicy,
    /// When endpoints rest.
    pub(super) accrual: Option<Sourced<accrual::Settings>>,
}

/// How requests are tried and bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestPolicy {
    /// Retries.
    pub(super) retries: Option<Sourced<Retries>>,
    /// Timeouts, each with its own origin.
    pub(super) timeouts: TimeoutPolicy,
}

/// Timeouts with their origins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimeoutPolicy {
    /// The whole stream.
    pub(super) request: Option<Sourced<Duration>>,
    /// From the end of the request to the end of the answer.
    pub(super) response: Option<Sourced<Duration>>,
    /// Without a byte.
    pub(super) idle: Option<Sourced<Duration>>,
}

/// A route.
#[derive(Clone, Debug)]
pub(super) struct RoutePolicy {
    /// Its namespace: of the Service, for everybody; another, for callers of that namespace alone.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// Whose traffic.
    pub(super) parent: ServiceId,
    /// Which port; none: all.
    pub(super) port: Option<u16>,
    /// Hosts; none: any.
    pub(super) hosts: Vec<String>,
    /// Rules.
    pub(super) rules: Vec<RulePolicy>,
    /// What its annotations say.
    pub(super) requests: RequestPolicy,
}

/// A rule of a route.
#[derive(Clone, Debug)]
pub(super) struct RulePolicy {
    /// Any of these; never empty.
    pub(super) matches: Vec<Condition>,
    /// Edits toward the upstream.
    pub(super) request_edits: HeaderEdits,
    /// Edits toward the client.
    pub(super) response_edits: HeaderEdits,
    /// Answers at once.
    pub(super) redirect: Option<Redirect>,
    /// Where it goes; none: to the parent.
    pub(super) backends: Vec<BackendPolicy>,
    /// `timeouts.request`.
    pub(super) timeout: Option<Sourced<Duration>>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One match of a rule.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// Path.
    pub(super) path: PathMatch,
    /// Method.
    pub(super) method: Option<String>,
    /// Headers.
    pub(super) headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub(super) params: Vec<ParamMatch>,
}

/// Where a share of requests goes.
#[derive(Clone, Debug)]
pub(super) struct BackendPolicy {
    /// A Service and port; none: one that is not there, its share is answered 500.
    pub(super) target: Option<(ServiceId, u16)>,
    /// Share.
    pub(super) weight: u32,
    /// Edits toward the upstream.
    pub(super) request_edits: HeaderEdits,
    /// Edits toward the client.
    pub(super) response_edits: HeaderEdits,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A service profile.
#[derive(Clone, Debug)]
pub(super) struct ProfilePolicy {
    /// Its namespace: of the Service, for everybody; another, for callers of that namespace, before the Service's own.
    pub(super) namespace: Name,
    /// Whose traffic.
    pub(super) service: ServiceId,
    /// In their order.
    pub(super) routes: Vec<ProfileRoutePolicy>,
    /// What bounds retries.
    pub(super) budget: Sourced<RateBudget>,
    /// Where traffic goes in place of the Service: its port is the request's own where none is written.
    pub(super) overrides: Vec<BackendPolicy>,
    /// Ports that are not looked into, besides.
    pub(super) opaque: Option<Ports>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A route of a profile.
#[derive(Clone, Debug)]
pub(super) struct ProfileRoutePolicy {
    /// For reports.
    pub(super) name: Name,
    /// Any of these; never empty.
    pub(super) matches: Vec<RouteMatch>,
    /// Which answers are failures.
    pub(super) failures: Failures,
    /// Whether failures are tried again.
    pub(super) retryable: Sourced<bool>,
    /// All tries together.
    pub(super) timeout: Option<Sourced<Duration>>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// How well a match fits, the better the greater: host before length of path before method before headers before query parameters.
///
/// Exact paths and regular expressions match the whole path, so they are longer than any prefix. Of equal fits the route whose name
/// comes first counts, then the place in the list.
///
/// Source: linkerd2-proxy `linkerd/http/route/src/http/match/{host,path}.rs`. Departs: a prefix that is the whole path is as long as an
/// exact match in Linkerd, so that a method or header may decide for it; here the exact one comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Fit {
    host: (u8, usize),
    path: usize,
    method: bool,
    headers: usize,
    params: usize,
}

impl Fit {
    /// The fit of `condition` for requests to `host`.
    pub(super) fn of(host: Option<&str>, condition: &Condition) -> Self {
        let host = match host {
            None => (0, 0),
            Some(host) if host.starts_with('*') => (1, host.len()),
            Some(host) => (2, host.len()),
        };
        let path = match &condition.path {
            // `/` is kept without its slash
            PathMatch::Prefix(prefix) | PathMatch::Segments(prefix) => prefix.len().max(1),
            PathMatch::Regex(_)
            | PathMatch::RegexStart(_)
            | PathMatch::Exact(_)
            | PathMatch::Connect => usize::MAX,
        };
        Self {
            host,
            path,
            method: condition.method.is_some(),
            headers: condition.headers.len(),
            params: condition.params.len(),
        }
    }
}

impl Policies {
    /// The profile that callers of `namespace` go by: their own namespace's, else the Service's.
    pub(super) fn profile(
        &self,
        service: ServiceId,
        callers: &str,
        own: &str,
    ) -> Option<&ProfilePolicy> {
        let of = |namespace: &str| {
            let mut found = self
                .profiles
                .iter()
                .filter(|profile| profile.service == service);
            found.find(|profile| &*profile.namespace == namespace)
        };
        of(callers).or_else(|| of(own))
    }

    /// The routes that callers of `namespace` go by for a port of a Service.
    pub(super) fn routes(
        &self,
        service: ServiceId,
        port: u16,
        callers: &str,
        own: &str,
    ) -> impl Iterator<Item = &RoutePolicy> {
        self.routes.iter().filter(move |route| {
            let ours = *route.namespace == *own || *route.namespace == *callers;
            route.parent == service && ours && route.port.is_none_or(|only| only == port)
        })
    }
}

impl TimeoutPolicy {
    /// Whether nothing is bounded.
    pub(super) const fn is_none(&self) -> bool {
        self.request.is_none() && self.response.is_none() && self.idle.is_none()
    }

    /// With the origins that `origin` gives the places of annotations.
    pub(super) fn of(
        timeouts: &Timeouts,
        mut origin: impl FnMut(crate::text::Span) -> OriginId,
    ) -> Self {
        let mut sourced = |timeout: &Option<crate::text::Spanned<Duration>>| {
            timeout
                .as_ref()
                .map(|timeout| Sourced::new(timeout.value, origin(timeout.span)))
        };
        Self {
            request: sourced(&timeouts.request),
            response: sourced(&timeouts.response),
            idle: sourced(&timeouts.idle),
        }
    }
}
