//! Routers that lead to those of other IngressRoutes.
//!
//! Source: traefik `pkg/server/router/router.go` (`ParseRouterTree`).

use std::collections::BTreeSet;

use super::Reader;
use crate::dialects::traefik::policy::{Leads, Router};
use crate::load::ObjectKey;
use crate::text::Span;

/// Routers may not be nested deeper.
const MAX_DEPTH: usize = 16;
/// More IngressRoutes may not stand below one, each counted as often as it is reached.
const MOST_VISITS: usize = 256;
/// More routers may not come of one IngressRoute.
const MOST_ROUTERS: usize = 1_024;

/// The routers of an IngressRoute, before it is known which lead to which.
#[derive(Clone, Debug)]
pub(super) struct Routers {
    pub(super) key: ObjectKey,
    pub(super) span: Span,
    pub(super) parents: Vec<ObjectKey>,
    /// Each with whether it leads to services.
    pub(super) routers: Vec<(Router, bool)>,
}

/// How far a search has come.
#[derive(Default)]
struct Search {
    reached: BTreeSet<ObjectKey>,
    /// Below the IngressRoute that is no child.
    visits: usize,
}

impl Reader<'_, '_> {
    /// The routers that are no children, with those that they lead to.
    pub(super) fn nested(&mut self, all: &[Routers]) -> Vec<Router> {
        let mut search = Search::default();
        let mut roots = Vec::new();
        for root in all.iter().filter(|it| it.parents.is_empty()) {
            search.visits = 0;
            roots.extend(self.led(root, all, 0, &mut search));
        }
        for lost in all.iter().filter(|it| !search.reached.contains(&it.key)) {
            let message = "no router of an entry point leads to these";
            let label = "they are left out, and their requests are 404";
            self.error("traefik::child", message, lost.span, label);
        }
        roots
    }

    /// The routers of an IngressRoute with those that they lead to.
    fn led(
        &mut self,
        of: &Routers,
        all: &[Routers],
        depth: usize,
        search: &mut Search,
    ) -> Vec<Router> {
        search.reached.insert(of.key.clone());
        if depth >= MAX_DEPTH {
            let message = "routers lead to each other in a circle, or through very many others";
            self.error("traefik::circle", message, of.span, "left out, and 404");
            return Vec::new();
        }
        let mut children: Vec<Router> = Vec::new();
        for child in all.iter().filter(|child| child.parents.contains(&of.key)) {
            search.visits += 1;
            if search.visits > MOST_VISITS {
                self.too_many(child.span);
                search.reached.insert(child.key.clone());
                break;
            }
            children.extend(self.led(child, all, depth + 1, search));
        }
        children.sort_by_key(|router| std::cmp::Reverse(router.priority));
        let below: usize = children.iter().map(size).sum();
        if below.saturating_mul(of.routers.len()) > MOST_ROUTERS {
            self.too_many(of.span);
            return Vec::new();
        }
        let mut led = Vec::new();
        for (router, leads) in &of.routers {
            let mut router = router.clone();
            let problem = match (leads, children.is_empty()) {
                (true, true) => None,
                (true, false) => Some("a router with services is no parent of others"),
                (false, true) => Some("a router leads to services or to other routers"),
                (false, false) => {
                    router.leads = Leads::Further(children.clone());
                    None
                }
            };
            match problem {
                None => led.push(router),
                Some(message) => {
                    let span = self.cx.origins.span(router.origin);
                    let label = "it is left out, and its requests are 404";
                    let span = span.unwrap_or(Span::NOWHERE);
                    self.error("traefik::router", message, span, label);
                }
            }
        }
        led
    }

    fn too_many(&mut self, span: Span) {
        let meaning = "those from here on are left out, and their requests are 404";
        self.not_modelled("so deep a nesting of routers", meaning, span);
    }
}

/// Routers that one stands for, with itself.
fn size(router: &Router) -> usize {
    match &router.leads {
        Leads::To(_) => 1,
        Leads::Further(further) => 1 + further.iter().map(size).sum::<usize>(),
    }
}
