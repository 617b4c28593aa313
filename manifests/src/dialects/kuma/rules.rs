//! The settings of one kind of policy, and which of them hold for whom.

use std::cmp::Reverse;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;
use serde::de::DeserializeOwned;

use super::dataplane::{Dataplane, Inbound};
use super::merge::{merged, overlap};
use super::registry::{Item, ItemPort};
use super::scope::Scope;
use super::target::{RouteId, To};
use crate::diagnostics::Diagnostics;
use crate::text::{Node, read_part};

/// The settings of one kind of policy, the less specific before the more.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    to: Vec<ToEntry>,
    arriving: Vec<ArrivingEntry>,
}

/// Settings for what is sent to a destination.
#[derive(Clone, Debug)]
pub(super) struct ToEntry {
    pub(super) scope: Scope,
    pub(super) to: To,
    pub(super) conf: Node,
}

/// Settings for what arrives.
#[derive(Clone, Debug)]
pub(super) struct ArrivingEntry {
    pub(super) scope: Scope,
    /// Of `rules`; else of `from`.
    pub(super) is_rule: bool,
    pub(super) conf: Node,
}

/// What is sent where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toward<'a> {
    pub(super) item: &'a Item,
    pub(super) port: &'a ItemPort,
    /// The route that takes the request, if one of the policies' does.
    pub(super) route: Option<&'a RouteId>,
}

impl Rules {
    pub(super) fn push_to(&mut self, entry: ToEntry) {
        self.to.push(entry);
    }

    pub(super) fn push_arriving(&mut self, entry: ArrivingEntry) {
        self.arriving.push(entry);
    }

    /// Brings settings into their order: of equal ranks the name that comes first counts most.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/rules/{outbound,inbound}/sort.go`.
    pub(super) fn sort(&mut self) {
        self.to.sort_by(|a, b| {
            let rank = |entry: &ToEntry| (entry.scope.rank(), entry.to.rank());
            let name = |entry: &ToEntry| Reverse(entry.scope.name.clone());
            rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b)))
        });
        self.arriving.sort_by(|a, b| {
            let name = |entry: &ArrivingEntry| Reverse(entry.scope.name.clone());
            let ranks = a.scope.rank().cmp(&b.scope.rank());
            ranks.then_with(|| name(a).cmp(&name(b)))
        });
    }

    /// Whether one of the policies takes some proxies of a mesh and not others.
    pub(super) fn are_narrow(&self) -> bool {
        self.to.iter().any(|entry| entry.scope.top.is_narrow())
    }

    /// Policies of the same rank as a stock one, whose names come after its own, that set what it sets.
    pub(super) fn hidden_by(&self, stock: &ToEntry) -> Vec<(Name, OriginId)> {
        let same = |entry: &&ToEntry| {
            entry.scope.mesh == stock.scope.mesh
                && entry.scope.rank() == stock.scope.rank()
                && entry.to.rank() == stock.to.rank()
                && entry.scope.name > stock.scope.name
                && overlap(&entry.conf, &stock.conf)
        };
        let entries = self.to.iter().filter(same);
        entries
            .map(|entry| (entry.scope.name.clone(), entry.scope.origin))
            .collect()
    }

    /// The policies that people wrote of what `proxy` sends to a destination, the most specific first.
    pub(super) fn written_for<'a>(
        &'a self,
        proxy: &'a Dataplane<'_>,
        item: &'a Item,
    ) -> impl Iterator<Item = &'a Scope> {
        let entries = self.to.iter().rev();
        entries
            .filter(move |entry| !matches!(entry.to, To::Mesh))
            .filter(move |entry| entry.scope.takes(proxy) && entry.to.takes_item(item))
            .map(|entry| &entry.scope)
    }

    /// What holds for what `proxy` sends. Settings for a route are put upon those for the whole mesh, past those for the destination.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/core/rules/outbound/resourcerules.go` (`isRelevant`), `context.go`.
    pub(super) fn toward<T: DeserializeOwned + Default>(
        &self,
        proxy: &Dataplane<'_>,
        toward: Toward<'_>,
    ) -> T {
        let ours = || self.to.iter().filter(|entry| entry.scope.takes(proxy));
        let of_route = toward
            .route
            .filter(|route| ours().any(|entry| entry.to.takes_route(route)));
        let holds = |entry: &&ToEntry| match of_route {
            Some(route) => matches!(entry.to, To::Mesh) || entry.to.takes_route(route),
            None => entry.to.takes(toward.item, toward.port),
        };
        conf(ours().filter(holds).map(|entry| &entry.conf))
    }

    /// What holds for a proxy, wherever it sends; none: no policy has anything to say.
    pub(super) fn own<T: DeserializeOwned + Default>(&self, proxy: &Dataplane<'_>) -> Option<T> {
        let entries = self.to.iter().filter(|entry| entry.scope.takes(proxy));
        let mut entries = entries.peekable();
        entries.peek()?;
        Some(conf(entries.map(|entry| &entry.conf)))
    }

    /// What holds for what arrives for a port, all of it merged; none: no policy has anything to say.
    pub(super) fn arriving<T: DeserializeOwned + Default>(
        &self,
        proxy: &Dataplane<'_>,
        port: &Inbound,
    ) -> Option<T> {
        let mut entries = self.of_port(proxy, port).peekable();
        entries.peek()?;
        Some(conf(entries.map(|entry| &entry.conf)))
    }

    /// What holds for what arrives for a port, each policy on its own.
    pub(super) fn each_arriving<T: DeserializeOwned + Default>(
        &self,
        proxy: &Dataplane<'_>,
        port: &Inbound,
    ) -> Vec<T> {
        let of = |is_rule: bool| {
            self.of_port(proxy, port)
                .filter(move |entry| entry.is_rule == is_rule)
                .map(|entry| &entry.conf)
        };
        // where there are rules, what `from` says is of no account
        if of(true).next().is_some() {
            return of(true).map(|node| conf([node])).collect();
        }
        let mut merged = of(false).peekable();
        match merged.peek() {
            Some(_) => vec![conf(merged)],
            None => Vec::new(),
        }
    }

    fn of_port<'a>(
        &'a self,
        proxy: &'a Dataplane<'_>,
        port: &'a Inbound,
    ) -> impl Iterator<Item = &'a ArrivingEntry> {
        let entries = self.arriving.iter();
        entries.filter(move |entry| entry.scope.takes_port(proxy, port))
    }
}

/// Settings that were checked one by one, as one.
fn conf<'a, T: DeserializeOwned + Default>(confs: impl IntoIterator<Item = &'a Node>) -> T {
    let node = merged(confs);
    read_part(&node, &mut Diagnostics::default()).unwrap_or_default()
}
