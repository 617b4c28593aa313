//! DestinationRule: how a host is called, for which callers.

mod balance;
mod pool;
mod read;

use std::collections::BTreeMap;

use proxy_core::balance::slow_start::SlowStart;
use proxy_core::config::{Balancer, HashPolicy, Name};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::outlier;
use proxy_core::retry::budget::ConcurrencyBudget;
use proxy_core::time::Duration;

pub(super) use pool::read_pool;
pub(super) use read::read_rule;

use super::export::{Export, ROOT_NAMESPACE};
use super::virtual_service::names::is_within;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::{Distribution, Labels, selects};
use crate::text::Span;

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its namespace.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// Host or pattern, fully qualified.
    pub(super) host: Name,
    /// Where the host is written.
    pub(super) host_span: Span,
    /// Who sees it.
    pub(super) export: Export,
    /// Callers of its namespace that it is for; none: all callers.
    pub(super) selector: Option<Labels>,
    /// What holds for the host.
    pub(super) policy: Option<Policy>,
    /// Named parts, in their order.
    pub(super) subsets: Vec<SubsetRule>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A named part of a host.
#[derive(Clone, Debug)]
pub(super) struct SubsetRule {
    /// Its name.
    pub(super) name: Name,
    /// Labels of its pods.
    pub(super) labels: Labels,
    /// Over the rule's own, block by block.
    pub(super) policy: Option<Policy>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A traffic policy: what holds for all ports, and in its place for single ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// For all ports.
    pub(super) whole: Traffic,
    /// For single ports: whole policies, of which nothing is inherited.
    pub(super) ports: BTreeMap<u16, Traffic>,
}

/// The blocks of a traffic policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    /// `loadBalancer`.
    pub(super) balance: Option<Balance>,
    /// `connectionPool`.
    pub(super) pool: Option<Pool>,
    /// `outlierDetection`.
    pub(super) outlier: Option<Sourced<Outliers>>,
    /// `tls`.
    pub(super) tls: Option<Sourced<Tls>>,
    /// `retryBudget`.
    pub(super) budget: Option<Sourced<ConcurrencyBudget>>,
}

/// Choice of an endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    /// None: the release's own.
    pub(super) balancer: Option<Sourced<Balancer>>,
    /// What a hashing balancer goes by.
    pub(super) hash: Vec<HashPolicy>,
    /// `warmup`; of no account to balancers that know no weights.
    pub(super) slow_start: Option<Sourced<SlowStart>>,
    /// `localityLbSetting`.
    pub(super) locality: Option<Sourced<Locality>>,
}

/// Choice by place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Locality {
    /// `enabled: false`.
    Off,
    /// `distribute`.
    Shares(Vec<Distribution>),
    /// `failover` (from, to) and `failoverPriority` (label, value).
    Failover {
        /// Which region comes after which.
        regions: Vec<(Name, Name)>,
        /// Labels in their order.
        labels: Vec<(Name, Option<Name>)>,
    },
}

/// Limits and timeouts; what is not written, or zero, is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    /// Connections.
    pub(super) max_connections: Option<Sourced<u32>>,
    /// Until a connection stands.
    pub(super) connect_timeout: Option<Sourced<Duration>>,
    /// Longest life of a connection.
    pub(super) max_duration: Option<Sourced<Duration>>,
    /// Without a byte (TCP).
    pub(super) tcp_idle: Option<Sourced<Duration>>,
    /// Requests that wait for a connection.
    pub(super) pending: Option<Sourced<u32>>,
    /// Requests under way.
    pub(super) requests: Option<Sourced<u32>>,
    /// Retries under way.
    pub(super) retries: Option<Sourced<u32>>,
    /// Requests that a connection carries.
    pub(super) per_connection: Option<Sourced<u32>>,
    /// Without a request (HTTP); else `tcp_idle` counts.
    pub(super) http_idle: Option<Sourced<Duration>>,
    /// Streams of an HTTP/2 connection.
    pub(super) streams: Option<Sourced<u32>>,
    /// Speaks HTTP/2 to a host that declares HTTP/1.1.
    pub(super) upgrade: bool,
    /// Speaks what the client speaks.
    pub(super) as_client: bool,
}

/// When endpoints rest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Outliers {
    /// Envoy's settings.
    pub(super) settings: outlier::Settings,
    /// `minHealthPercent`, and where it is written; 0 and the block's place unless set.
    pub(super) panic: Sourced<u32>,
}

/// TLS to a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Tls {
    /// Plaintext.
    Disable,
    /// TLS to a server checked by name, with a certificate of one's own or not.
    Simple {
        /// Server name sent.
        sni: Option<Name>,
        /// Certificate presented.
        certificate: Option<Name>,
    },
    /// Mutual TLS with the mesh's identities, whether or not the endpoint is known to have one.
    Mesh {
        /// Server name sent.
        sni: Option<Name>,
    },
}

impl Policy {
    /// What holds for a port, and whether it is written for that port alone.
    fn at(&self, port: u16) -> (&Traffic, bool) {
        match self.ports.get(&port) {
            Some(traffic) => (traffic, true),
            None => (&self.whole, false),
        }
    }
}

impl Rule {
    /// What holds for `port` of the host, or of one of its subsets: the subset's blocks over the rule's own, and a policy of a single port
    /// in the place of the whole.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/util/util.go`, `MergeSubsetTrafficPolicy`. The retry budget of a rule stays where a subset
    /// says nothing of one, even under a port's own policy of the subset.
    pub(super) fn traffic(&self, subset: Option<&SubsetRule>, port: u16) -> Traffic {
        let mut traffic = self
            .policy
            .as_ref()
            .map(|policy| policy.at(port).0.clone())
            .unwrap_or_default();
        let Some(over) = subset.and_then(|subset| subset.policy.as_ref()) else {
            return traffic;
        };
        let (over, of_port) = over.at(port);
        if over.pool.is_some() || of_port {
            traffic.pool.clone_from(&over.pool);
        }
        if over.outlier.is_some() || of_port {
            traffic.outlier = over.outlier;
        }
        if over.balance.is_some() || of_port {
            traffic.balance.clone_from(&over.balance);
        }
        if over.tls.is_some() || of_port {
            traffic.tls.clone_from(&over.tls);
        }
        if over.budget.is_some() {
            traffic.budget = over.budget;
        }
        traffic
    }

    /// The subset of that name.
    pub(super) fn subset(&self, name: &str) -> Option<&SubsetRule> {
        self.subsets.iter().find(|subset| *subset.name == *name)
    }

    fn is_private(&self) -> bool {
        self.selector.is_some() || self.export == Export::private()
    }
}

/// Who calls, as far as rules ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer<'a> {
    /// Namespace.
    pub(super) namespace: &'a str,
    /// Labels of its pods; none: rules with a selector are not for it (a server looks at its own port).
    pub(super) labels: Option<&'a Labels>,
}

/// Every rule, those for one host merged as Istio merges them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Takes one in.
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether some rule depends on labels of the caller's pods.
    pub(super) fn ask_for_labels(&self) -> bool {
        self.rules.iter().any(|rule| rule.selector.is_some())
    }

    /// Puts them in order (those with a selector first, then by name, as manifests tell no time of creation) and merges rules of one
    /// namespace, host and selector: the first one's policy counts, and the subsets of all.
    ///
    /// Source: istio 1.29 `pilot/pkg/model/destination_rule.go`, `mergeDestinationRule`.
    pub(super) fn finish(&mut self, cx: &mut Compile<'_>) {
        self.rules.sort_by(|a, b| {
            let rank = |rule: &Rule| {
                (
                    rule.selector.is_none(),
                    rule.name.clone(),
                    rule.namespace.clone(),
                )
            };
            rank(a).cmp(&rank(b))
        });
        let mut merged: Vec<Rule> = Vec::new();
        for rule in std::mem::take(&mut self.rules) {
            let same = merged.iter_mut().find(|other| {
                other.namespace == rule.namespace
                    && other.host == rule.host
                    && other.selector == rule.selector
                    && other.export == rule.export
            });
            match same {
                Some(first) => merge(first, rule, cx),
                None => merged.push(rule),
            }
        }
        self.rules = merged;
    }

    /// The rule for `host` (of namespace `home`): of the viewer's namespace, else of the host's, else of the root namespace; there the one
    /// with the most specific host, and among equals one whose selector takes the viewer.
    ///
    /// Source: istio 1.29 `pilot/pkg/model/push_context.go`, `destinationRule`; `sidecar.go`, `DestinationRule`.
    pub(super) fn find(&self, host: &str, home: &str, viewer: Viewer<'_>) -> Option<&Rule> {
        let own = self.most_specific(host, viewer, |rule| {
            let is_own = *rule.namespace == *viewer.namespace;
            // in the root namespace, rules for the whole mesh come last
            is_own
                && if viewer.namespace == ROOT_NAMESPACE {
                    rule.is_private()
                } else {
                    rule.export.shows(&rule.namespace, viewer.namespace)
                }
        });
        let exported = |namespace: &str| {
            self.most_specific(host, viewer, |rule| {
                *rule.namespace == *namespace
                    && !rule.is_private()
                    && rule.export.shows(&rule.namespace, viewer.namespace)
            })
        };
        own.or_else(|| exported(home))
            .or_else(|| exported(ROOT_NAMESPACE))
    }

    fn most_specific(
        &self,
        host: &str,
        viewer: Viewer<'_>,
        eligible: impl Fn(&Rule) -> bool,
    ) -> Option<&Rule> {
        let fits = |rule: &&Rule| is_within(host, &rule.host) && eligible(rule);
        // a whole name beats patterns, a longer pattern a shorter one
        let rank = |rule: &Rule| (!rule.host.starts_with('*'), rule.host.len());
        let best = self.rules.iter().filter(fits).map(rank).max()?;
        let mut equal = self
            .rules
            .iter()
            .filter(fits)
            .filter(|rule| rank(rule) == best);
        let takes = |rule: &&Rule| {
            rule.selector.as_ref().is_none_or(|selector| {
                viewer
                    .labels
                    .is_some_and(|labels| selects(selector, labels))
            })
        };
        equal.find(takes)
    }
}

fn merge(first: &mut Rule, other: Rule, cx: &mut Compile<'_>) {
    let span = |origin| cx.origins.span(origin).unwrap_or(Span::NOWHERE);
    let (here, there) = (span(other.origin), span(first.origin));
    if other.policy.is_some() && first.policy.is_some() {
        cx.diagnostics.push(
            Diagnostic::warning(
                "istio::ignored",
                format!(
                    "the traffic policy of DestinationRule/{}/{} has no effect",
                    other.namespace, other.name
                ),
            )
            .label(here, "this rule")
            .label(there, "the policy of this one counts for the same host")
            .help("of several for one host the oldest counts; in manifests, the first by name"),
        );
    }
    if first.policy.is_none() {
        first.policy = other.policy;
    }
    for subset in other.subsets {
        if first.subset(&subset.name).is_none() {
            first.subsets.push(subset);
        }
    }
}
