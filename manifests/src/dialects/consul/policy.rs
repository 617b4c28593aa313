//! What was read, checked: values with their origins, in the words of the core.

use std::collections::BTreeMap;

use proxy_core::config::{
    Balancer, EscapedSlashes, HashPolicy, HeaderEdits, Name, RetryPolicy, RouteMatch, Underscores,
};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::filter::Filter;
use super::registry::Registry;
use crate::text::Span;

/// Everything that proxies go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    /// ServiceDefaults by service.
    pub(super) services: BTreeMap<Name, ServicePolicy>,
    /// ProxyDefaults.
    pub(super) proxy: ProxySettings,
    /// ServiceRouters by service.
    pub(super) routers: BTreeMap<Name, RouterPolicy>,
    /// ServiceSplitters by service.
    pub(super) splitters: BTreeMap<Name, SplitterPolicy>,
    /// ServiceResolvers by service.
    pub(super) resolvers: BTreeMap<Name, ResolverPolicy>,
    /// The mesh.
    pub(super) mesh: MeshPolicy,
    /// The catalog.
    pub(super) registry: Registry,
}

/// What a service speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// Bytes: nothing of what HTTP needs is in force.
    Tcp,
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// HTTP/2 with calls.
    Grpc,
}

impl Protocol {
    /// The words of `protocol`.
    pub(super) const NAMES: [(&str, Self); 4] = [
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("http2", Self::Http2),
        ("grpc", Self::Grpc),
    ];

    /// By its word, whatever its case.
    pub(super) fn named(text: &str) -> Option<Self> {
        let mut all = Self::NAMES.into_iter();
        let found = all.find(|(name, _)| text.eq_ignore_ascii_case(name))?;
        Some(found.1)
    }

    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }

    /// Whether requests are read.
    pub(super) const fn is_http(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Grpc => true,
            Self::Tcp => false,
        }
    }

    /// Whether requests share a connection.
    pub(super) const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }
}

/// Settings of a proxy that several places may make; the first that has one decides.
#[derive(Clone, Debug, Default)]
pub(super) struct ProxySettings {
    /// What the application speaks.
    pub(super) protocol: Option<Sourced<Protocol>>,
    /// Connections at a time.
    pub(super) max_connections: Option<Sourced<u32>>,
    /// Until a connection to the application stands.
    pub(super) connect_timeout: Option<Sourced<Duration>>,
    /// Until the application has answered; none inside: no bound.
    pub(super) request_timeout: Option<Sourced<Option<Duration>>>,
    /// Silence of a stream; zero: no bound.
    pub(super) idle_timeout: Option<Sourced<Duration>>,
    /// Bytes of a request's head.
    pub(super) head_bytes: Option<Sourced<u64>>,
    /// Whether plaintext to the application's port is taken.
    pub(super) permissive: Option<Sourced<bool>>,
}

impl ProxySettings {
    /// These, and where they say nothing, others.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            protocol: self.protocol.or(other.protocol),
            max_connections: self.max_connections.or(other.max_connections),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            request_timeout: self.request_timeout.or(other.request_timeout),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            head_bytes: self.head_bytes.or(other.head_bytes),
            permissive: self.permissive.or(other.permissive),
        }
    }

    /// These, all from one place.
    pub(super) fn at(self, origin: OriginId) -> Self {
        fn at<T>(value: Option<Sourced<T>>, origin: OriginId) -> Option<Sourced<T>> {
            value.map(|value| Sourced::new(value.value, origin))
        }
        Self {
            protocol: at(self.protocol, origin),
            max_connections: at(self.max_connections, origin),
            connect_timeout: at(self.connect_timeout, origin),
            request_timeout: at(self.request_timeout, origin),
            idle_timeout: at(self.idle_timeout, origin),
            head_bytes: at(self.head_bytes, origin),
            permissive: at(self.permissive, origin),
        }
    }
}

/// ServiceDefaults.
#[derive(Clone, Debug)]
pub(super) struct ServicePolicy {
    /// Of its own proxies.
    pub(super) own: ProxySettings,
    /// How its proxies call any other service.
    pub(super) upstreams: UpstreamPolicy,
    /// How they call some.
    pub(super) overrides: BTreeMap<Name, UpstreamPolicy>,
    /// Services that it names, and where.
    pub(super) named: Vec<(Name, Span)>,
    /// Whether the service is outside the mesh.
    pub(super) is_outside: bool,
    /// Where it is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// How an upstream is called.
#[derive(Clone, Debug, Default)]
pub(super) struct UpstreamPolicy {
    /// What is spoken, whatever the service says.
    pub(super) protocol: Option<Sourced<Protocol>>,
    /// Until a connection stands, whatever a resolver says.
    pub(super) connect_timeout: Option<Sourced<Duration>>,
    /// What may be under way at once; all of it from one place.
    pub(super) limits: Option<LimitsPolicy>,
    /// When instances are taken out; all of it from one place.
    pub(super) health: Option<Sourced<outlier::Settings>>,
}

impl UpstreamPolicy {
    /// These, and where they say nothing, others.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            protocol: self.protocol.or(other.protocol),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            limits: self.limits.or(other.limits),
            health: self.health.or(other.health),
        }
    }
}

/// What may be under way at once; what is not written is Envoy's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LimitsPolicy {
    /// Connections.
    pub(super) connections: Option<Sourced<u32>>,
    /// Requests that wait for one.
    pub(super) pending: Option<Sourced<u32>>,
    /// Requests.
    pub(super) requests: Option<Sourced<u32>>,
}

/// A ServiceRouter.
#[derive(Clone, Debug)]
pub(super) struct RouterPolicy {
    /// In their order.
    pub(super) routes: Vec<RoutePolicy>,
    /// Where it is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// A route.
#[derive(Clone, Debug)]
pub(super) struct RoutePolicy {
    /// Which requests.
    pub(super) matches: RouteMatch,
    /// Where they go.
    pub(super) to: Reference,
    /// Takes the place of what matched of the path.
    pub(super) rewrite: Option<Box<str>>,
    /// All tries together; none inside: no bound.
    pub(super) timeout: Option<Sourced<Option<Duration>>>,
    /// Silence of a stream; zero: no bound.
    pub(super) idle: Option<Sourced<Duration>>,
    /// Retries.
    pub(super) retry: Option<RetryPolicy>,
    /// Edits toward the upstream.
    pub(super) request: Modifiers,
    /// Edits toward the client.
    pub(super) response: Modifiers,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A service, or a subset of one, as an entry names it.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Service; none: the entry's own.
    pub(super) service: Option<Name>,
    /// Subset of it.
    pub(super) subset: Option<Name>,
    /// Where it is named.
    pub(super) span: Span,
}

/// A ServiceSplitter.
#[derive(Clone, Debug)]
pub(super) struct SplitterPolicy {
    /// Shares that are 10 000 together.
    pub(super) splits: Vec<SplitPolicy>,
    /// Where it is written.
    pub(super) span: Span,
}

/// A share.
#[derive(Clone, Debug)]
pub(super) struct SplitPolicy {
    /// Hundredths of a per cent.
    pub(super) weight: u32,
    /// Where it goes.
    pub(super) to: Reference,
    /// Edits toward the upstream.
    pub(super) request: Modifiers,
    /// Edits toward the client.
    pub(super) response: Modifiers,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A ServiceResolver.
#[derive(Clone, Debug)]
pub(super) struct ResolverPolicy {
    /// The subset where none is asked for.
    pub(super) default_subset: Option<Name>,
    /// Subsets by name.
    pub(super) subsets: BTreeMap<Name, SubsetPolicy>,
    /// Another service in its place.
    pub(super) redirect: Option<Target>,
    /// Where requests go without healthy instances, by subset; `*`: any other, the service as a whole among them.
    pub(super) failover: BTreeMap<Name, Vec<Target>>,
    /// Until a connection stands.
    pub(super) connect_timeout: Option<Sourced<Duration>>,
    /// All tries together, where nothing stands before it.
    pub(super) request_timeout: Option<Sourced<Duration>>,
    /// How an instance is chosen.
    pub(super) balance: Option<BalancePolicy>,
    /// Where it is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// A subset.
#[derive(Clone, Debug)]
pub(super) struct SubsetPolicy {
    /// Which instances; none: all.
    pub(super) filter: Option<Filter>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// Where a resolver sends instead.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Service and subset.
    pub(super) to: Reference,
    /// Whether it is in another datacenter or cluster, where nobody is here.
    pub(super) elsewhere: bool,
}

/// How an instance is chosen.
#[derive(Clone, Debug)]
pub(super) struct BalancePolicy {
    /// How; none: Envoy's.
    pub(super) balancer: Option<Sourced<Balancer>>,
    /// What a hash is made of.
    pub(super) hash: Vec<HashPolicy>,
}

impl BalancePolicy {
    /// Whether it goes by a hash.
    pub(super) const fn is_hashed(&self) -> bool {
        match &self.balancer {
            Some(balancer) => matches!(
                balancer.value,
                Balancer::RingHash { .. } | Balancer::Maglev { .. }
            ),
            None => false,
        }
    }
}

/// What holds for the whole mesh.
#[derive(Clone, Debug, Default)]
pub(super) struct MeshPolicy {
    /// Whether what is in no catalog cannot be reached, and who says so.
    pub(super) destinations_only: Option<OriginId>,
    /// Whether plaintext may be allowed.
    pub(super) allows_permissive: bool,
    /// Whether `x-forwarded-client-cert` goes.
    pub(super) sanitizes_certificates: bool,
    /// Whether paths stay as they are.
    pub(super) keeps_paths: bool,
    /// Whether slashes in a row are one.
    pub(super) merges_slashes: bool,
    /// What becomes of escaped slashes.
    pub(super) escaped_slashes: EscapedSlashes,
    /// What becomes of names with underscores.
    pub(super) underscores: Underscores,
}

/// Edits of a head by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Modifiers {
    /// Put beside what is there.
    pub(super) add: BTreeMap<Box<str>, Box<str>>,
    /// Put in its place.
    pub(super) set: BTreeMap<Box<str>, Box<str>>,
    /// Taken out.
    pub(super) remove: Vec<Box<str>>,
}

impl Modifiers {
    /// In Envoy's order: what goes, what is put in the place of others, what is put beside them.
    pub(super) fn edits(&self) -> HeaderEdits {
        let removed = self.remove.iter().cloned().map(HeaderOp::Remove);
        let set = self.set.iter();
        let set = set.map(|(name, value)| HeaderOp::Set(name.clone(), value.clone()));
        let added = self.add.iter();
        let added = added.map(|(name, value)| HeaderOp::Append(name.clone(), value.clone()));
        removed.chain(set).chain(added).collect()
    }

    /// These over `base`: of one name they decide, `add` as well as `set`.
    ///
    /// Source: hashicorp/consul 1.21 `agent/structs/config_entry_discoverychain.go`, `MergeHTTPHeaderModifiers`.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut merged = base.clone();
        merged.add.extend(self.add.clone());
        merged.set.extend(self.set.clone());
        for name in &self.remove {
            if !merged.remove.contains(name) {
                merged.remove.push(name.clone());
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modifiers(add: &[(&str, &str)], set: &[(&str, &str)], remove: &[&str]) -> Modifiers {
        let pairs = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect()
        };
        Modifiers {
            add: pairs(add),
            set: pairs(set),
            remove: remove.iter().map(|name| (*name).into()).collect(),
        }
    }

    #[test]
    fn of_two_splits_the_inner_one_decides() {
        let outer = modifiers(&[("a", "1"), ("b", "1")], &[("c", "1")], &["x"]);
        let inner = modifiers(&[("b", "2")], &[("c", "2"), ("d", "2")], &["x", "y"]);
        let expected = modifiers(
            &[("a", "1"), ("b", "2")],
            &[("c", "2"), ("d", "2")],
            &["x", "y"],
        );
        assert_eq!(inner.over(&outer), expected);
        assert_eq!(Modifiers::default().over(&outer), outer);
        assert_eq!(inner.over(&Modifiers::default()), inner);
    }
}
