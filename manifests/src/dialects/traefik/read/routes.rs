//! IngressRoutes to routers.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes_http.go` (`loadIngressRouteConfiguration`), `pkg/server/router/router.go`.

use proxy_core::config::Name;

use super::{Reader, is_served};
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::{Leads, Router, Target};
use crate::dialects::traefik::rules;
use crate::dialects::traefik::types::Whole;
use crate::dialects::traefik::types::routes::{IngressRoute, Route};
use crate::load::{Object, ObjectKey};
use crate::text::read;

/// The older way to name a class.
pub(super) const CLASS: &str = "kubernetes.io/ingress.class";
/// Routers may not be nested deeper.
const MAX_DEPTH: usize = 16;

/// The routers of an IngressRoute, before it is known which lead to which.
#[derive(Clone, Debug)]
struct Routers {
    key: ObjectKey,
    parents: Vec<ObjectKey>,
    /// Each with where it leads, if to services.
    routers: Vec<(Router, bool)>,
}

impl Reader<'_, '_> {
    pub(super) fn ingress_routes(&mut self) {
        if !self.install.crd.enabled {
            return;
        }
        let objects = names::all(self.cx.objects, "IngressRoute");
        let mut all = Vec::new();
        for object in objects {
            let spec = read::<Whole<IngressRoute>>(&object.node, self.cx.diagnostics);
            let Some(Whole { spec, .. }) = spec else {
                continue;
            };
            let class = spec.ingress_class_name.as_ref().map(|it| it.value.as_str());
            let class = class.or_else(|| object.annotation(CLASS).map(|it| it.value));
            if !is_served(class, &self.reads) || !self.reads.reads(&object.key.namespace) {
                continue;
            }
            all.extend(self.ingress_route(object, &spec));
        }
        let roots = all.iter().filter(|it| it.parents.is_empty());
        let roots: Vec<Router> = roots.flat_map(|it| self.led(it, &all, 0)).collect();
        self.policies.routers.extend(roots);
    }

    fn ingress_route(&mut self, object: &Object, spec: &IngressRoute) -> Option<Routers> {
        let from = object.key.namespace.as_str();
        let mut parents = Vec::new();
        for reference in &spec.parent_refs {
            let provider = self.provider();
            let parent = names::resolve(reference, "IngressRoute", from, &provider, self.cx)?;
            parents.push(parent.key.clone());
        }
        if !parents.is_empty() {
            let spans = [
                spec.tls.as_ref().map(|it| it.span),
                spec.entry_points.first().map(|it| it.span),
            ];
            if let Some(span) = spans.into_iter().flatten().next() {
                let message =
                    "routers that others lead to have no entry points and no TLS of their own";
                self.error("traefik::child", message, span, "they are left out");
                return None;
            }
        }
        let entry_points = self.entry_points(&spec.entry_points, false)?;
        let tls = match &spec.tls {
            None => None,
            Some(tls) => {
                self.router_tls(tls, from)?;
                Some(self.cx.origins.written(tls.span))
            }
        };
        let mut routers: Vec<(Router, bool)> = Vec::new();
        for (nth, route) in spec.routes.iter().enumerate() {
            let name: Name = format!("{from}/{} {}", object.key.name, route.r#match).into();
            if let Some(at) = routers.iter().position(|(router, _)| router.name == name) {
                self.cx.diagnostics.push(
                    Diagnostic::warning(
                        "traefik::same-rule",
                        "two routes of an IngressRoute with one rule are one router: the last is it",
                    )
                    .label(route.r#match.span, "takes the place of the one before"),
                );
                routers.remove(at);
            }
            let Some((router, leads)) = self.route(route, name, from) else {
                continue;
            };
            let router = Router {
                key: format!("{from}/{}#{nth}", object.key.name).into(),
                entry_points: entry_points.clone(),
                tls,
                ..router
            };
            routers.push((router, leads));
        }
        Some(Routers {
            key: object.key.clone(),
            parents,
            routers,
        })
    }

    /// A router, and whether it leads to services.
    fn route(&mut self, route: &Route, name: Name, from: &str) -> Option<(Router, bool)> {
        if let Some(kind) = route
            .kind
            .as_ref()
            .filter(|kind| !kind.is_empty() && kind.value != "Rule")
        {
            let message = format!("a route is of kind `Rule`, not `{kind}`");
            self.error("traefik::route-kind", &message, kind.span, "it is left out");
            return None;
        }
        if let Some(seen) = route.observability {
            self.cx.diagnostics.push(
                Diagnostic::listed(
                    "traefik::listed",
                    "logs and traces of a router have no bearing",
                )
                .label(seen.span, ""),
            );
        }
        let rule = &route.r#match;
        let syntax = self.syntax(route.syntax.as_ref());
        let alternatives = match rules::http(rule, syntax) {
            Ok(alternatives) => Some(alternatives),
            Err(error) => {
                self.report_rule(rule, error);
                None
            }
        };
        // of one router every problem is told
        let steps = self.steps(&route.middlewares, from);
        self.service_steps.clear();
        let target = match &route.services[..] {
            [] => Some(None),
            services => self.target(services, from).map(Some),
        };
        let priority = self.priority(route.priority.as_ref(), rule.len() as i64);
        let (alternatives, mut steps, target) = (alternatives?, steps?, target?);
        let single = matches!(target, Some(Target::Servers(_)));
        steps.extend(self.steps_of_services(single)?);
        if alternatives
            .iter()
            .flatten()
            .any(|it| it.matcher == rules::Matcher::Never)
        {
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "traefik::host-header",
                    "no condition on the header `Host` ever holds",
                )
                .label(rule.span, "Go keeps the host apart from the headers")
                .help("write Host(`…`)"),
            );
        }
        let leads = target.is_some();
        let router = Router {
            name,
            key: "".into(),
            alternatives,
            priority: priority?,
            entry_points: Vec::new(),
            tls: None,
            steps,
            leads: target.map_or_else(|| Leads::Further(Vec::new()), |it| Leads::To(Box::new(it))),
            origin: self.cx.origins.written(rule.span),
        };
        Some((router, leads))
    }

    /// The routers of an IngressRoute with those that they lead to.
    fn led(&mut self, of: &Routers, all: &[Routers], depth: usize) -> Vec<Router> {
        let mut children: Vec<Router> = Vec::new();
        if depth < MAX_DEPTH {
            for child in all.iter().filter(|child| child.parents.contains(&of.key)) {
                children.extend(self.led(child, all, depth + 1));
            }
        }
        children.sort_by_key(|router| std::cmp::Reverse(router.priority));
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
                    self.error(
                        "traefik::router",
                        message,
                        span.unwrap_or(crate::text::Span::NOWHERE),
                        label,
                    );
                }
            }
        }
        led
    }
}
