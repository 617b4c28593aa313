//! Requests, and which routes take them.

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;

use proxy_core::config::{HttpConnections, Route, RouteMatch, VirtualHost};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, HeadWriter, Heads};
use proxy_core::route::{RequestView, find_route_for};

/// The one head there is.
pub(crate) const HEAD: HeadId = HeadId(0);

/// A request's head, and who sends it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) tls: bool,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) client: Option<IpAddr>,
}

impl Request {
    pub(crate) fn new(method: &str, tls: bool, authority: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            tls,
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            client: None,
        }
    }

    pub(crate) const fn view(&self) -> RequestView<'_, Self> {
        RequestView {
            heads: self,
            head: HEAD,
            edge: false,
        }
    }

    /// Puts in what routes see of the scheme: where heads are ruled, nobody before the proxy is believed unless it is trusted.
    ///
    /// Source: envoy `source/common/http/conn_manager_utility.cc` (`mutateRequestHeaders`).
    pub(crate) fn receive(&mut self, http: &HttpConnections) {
        const PROTO: &str = "x-forwarded-proto";
        let Some(rules) = &http.heads else {
            return;
        };
        let client = &rules.client;
        let trusts_none =
            client.remote_address && client.trusted_hops == 0 && client.believed.is_none();
        if trusts_none || !self.has(PROTO) {
            let word = self.scheme_word();
            self.set(PROTO, word);
        }
    }

    pub(crate) const fn scheme_word(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The values of a header, in one.
    pub(crate) fn values(&self, name: &str) -> Option<String> {
        let of_name = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// `GET http://shop/cart?x=1 with x-user: a`.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme_word();
        write!(
            f,
            "{} {scheme}://{}{}",
            self.method, self.authority, self.path
        )?;
        for (nth, (name, value)) in self.headers.iter().enumerate() {
            let word = if nth == 0 { " with " } else { ", " };
            write!(f, "{word}{name}: {value}")?;
        }
        if let Some(client) = self.client {
            write!(f, " from {client}")?;
        }
        Ok(())
    }
}

impl Heads for Request {
    fn method(&self, _: HeadId) -> &str {
        &self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }

    fn path(&self, _: HeadId) -> &str {
        &self.path
    }

    fn scheme(&self, _: HeadId) -> &str {
        self.scheme_word()
    }

    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.first(name)
    }

    fn any_value(&self, _: HeadId, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let first = values.next()?;
        Some(is(&first.1) || values.any(|(_, value)| is(value)))
    }

    fn status(&self, _: HeadId) -> u16 {
        200
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for Request {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    fn set_authority(&mut self, authority: &str) {
        authority.clone_into(&mut self.authority);
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }

    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
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
    pub(crate) fn takers(&self, request: &Request) -> Vec<(f64, &'a Route)> {
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
