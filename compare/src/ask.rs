//! Which routes take a request.

use std::cell::OnceCell;

use proxy_core::config::{HttpConnections, Route, RouteMatch, VirtualHost};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadWriter, OwnedHead};
use proxy_core::route::find_route_for;

/// Puts in what routes see of the scheme: where heads are ruled, nobody before the proxy is believed unless it is trusted.
///
/// Source: envoy `source/common/http/conn_manager_utility.cc` (`mutateRequestHeaders`).
pub(crate) fn receive(request: &mut OwnedHead, http: &HttpConnections) {
    const PROTO: &str = "x-forwarded-proto";
    let Some(rules) = &http.heads else {
        return;
    };
    let client = &rules.client;
    let trusts_none =
        client.remote_address && client.trusted_hops == 0 && client.believed.is_none();
    if trusts_none || !request.has(PROTO) {
        request.set(PROTO, request.scheme_word());
    }
}

/// A virtual host that is asked again and again.
pub(crate) struct Asker<'a> {
    pub(crate) host: &'a VirtualHost,
    /// Each route alone and for all that it matches, where some routes take a fraction.
    alone: OnceCell<Vec<VirtualHost>>,
}

impl<'a> Asker<'a> {
    pub(crate) const fn new(host: &'a VirtualHost) -> Self {
        Self {
            host,
            alone: OnceCell::new(),
        }
    }

    /// The routes that take a request with their shares of such requests; the rest is taken by none.
    ///
    /// One draw serves the fractions of all routes: of two with 10 % and 30 % the second takes 20 %.
    pub(crate) fn takers(&self, request: &OwnedHead) -> Vec<(f64, &'a Route)> {
        let key = DrawKey::root(0);
        let routes = &self.host.routes;
        if routes.iter().all(|route| route.matches.fraction.is_none()) {
            let found = find_route_for(self.host, request.view(), request.client, key);
            let route = found.and_then(|at| routes.get(at as usize));
            return route.map(|route| (1.0, route)).into_iter().collect();
        }
        let alone = self
            .alone
            .get_or_init(|| routes.iter().map(|it| alone(self.host, it)).collect());
        let mut found = Vec::new();
        let mut taken = 0.0;
        for (route, host) in routes.iter().zip(alone) {
            if find_route_for(host, request.view(), request.client, key).is_none() {
                continue;
            }
            let share = route.matches.fraction.map_or(1.0, |it| it.as_fraction());
            if share > taken {
                found.push((share - taken, route));
                taken = share;
            }
            if taken >= 1.0 {
                break;
            }
        }
        found
    }
}

/// A host of one route that takes all that it matches.
fn alone(host: &VirtualHost, route: &Route) -> VirtualHost {
    let matches = RouteMatch {
        fraction: None,
        ..route.matches.clone()
    };
    VirtualHost {
        name: host.name.clone(),
        domains: Vec::new(),
        routes: vec![Route {
            matches,
            ..route.clone()
        }],
        attempt_count: host.attempt_count,
        attempt_count_in_response: host.attempt_count_in_response,
        origin: host.origin,
    }
}
