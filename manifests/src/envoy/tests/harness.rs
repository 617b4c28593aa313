//! Bootstrap files in a few lines, and what came of them.

use proxy_core::config::{
    ChainAction, Cluster, FilterChain, Forward, HttpConnections, Listener, NodeConfig, Route,
    RouteAction, Section,
};
use proxy_core::origin::OriginId;

use crate::envoy::write::there_and_back;
use crate::envoy::{Bootstrap, Refused, read};

/// The bootstrap file `b.yaml`; one that is refused fails the test with what was said, and so does one that does not say the same once it
/// has been written.
#[track_caller]
pub(super) fn accepted(text: &str) -> Bootstrap {
    match read("b.yaml", text) {
        Ok(bootstrap) => {
            there_and_back(&bootstrap);
            bootstrap
        }
        Err(refused) => panic!("{refused}\n{text}"),
    }
}

/// Why `b.yaml` is refused.
#[track_caller]
pub(super) fn refused(text: &str) -> Box<Refused> {
    match read("b.yaml", text) {
        Ok(_) => panic!("this is accepted:\n{text}"),
        Err(refused) => refused,
    }
}

impl Refused {
    /// `code: message` of each error, in order of place.
    pub(super) fn errors(&self) -> Vec<String> {
        let all = self.diagnostics.sorted();
        let errors = all
            .iter()
            .filter(|each| each.severity() == crate::diagnostics::Severity::Error);
        errors
            .map(|each| format!("{}: {}", each.code, each.message))
            .collect()
    }
}

impl Bootstrap {
    pub(super) fn section(&self) -> &Section {
        let NodeConfig { sections, .. } = &*self.config;
        &sections[0]
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.section().listeners()[0]
    }

    pub(super) fn chain(&self) -> &FilterChain {
        &self.listener().chains[0]
    }

    pub(super) fn http(&self) -> &HttpConnections {
        match &self.chain().action {
            ChainAction::Http(http) => http,
            other @ (ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_)) => {
                panic!("{other:?}")
            }
        }
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.section().tables()[0].virtual_hosts[0].routes
    }

    pub(super) fn route(&self) -> &Route {
        &self.routes()[0]
    }

    pub(super) fn forward(&self) -> &Forward {
        match &self.route().action {
            RouteAction::Forward(forward) => forward,
            other @ (RouteAction::Redirect(_) | RouteAction::Direct(_)) => panic!("{other:?}"),
        }
    }

    pub(super) fn cluster(&self, name: &str) -> &Cluster {
        let clusters = self.section().clusters();
        let found = clusters.iter().find(|cluster| &*cluster.name == name);
        found.unwrap()
    }

    /// `file:line` of whoever set a value, or whose default it is.
    pub(super) fn origin(&self, id: OriginId) -> &str {
        &self.origins[id.0 as usize].text
    }

    /// The message of each notice.
    pub(super) fn notes(&self) -> Vec<&str> {
        let notes = self.notices.iter();
        notes.map(|notice| notice.message.as_str()).collect()
    }
}

/// Shifts every line but the first.
pub(super) fn indent(text: &str, by: usize) -> String {
    text.trim().replace('\n', &format!("\n{}", " ".repeat(by)))
}

pub(super) const CLUSTER_A: &str = "  - name: a
    load_assignment:
      cluster_name: a
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}
  - name: b
  - name: c
";

/// A listener whose manager has these fields beside its routes and router.
pub(super) fn with_manager(fields: &str, routes: &str) -> String {
    with_filters(fields, "", routes)
}

/// Likewise, with filters before the router.
pub(super) fn with_filters(fields: &str, filters: &str, routes: &str) -> String {
    let fields = indent(fields, 10);
    let filters = indent(filters, 10);
    let routes = indent(routes, 12);
    format!(
        "static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 0.0.0.0, port_value: 8080}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          {fields}
          http_filters:
          {filters}
          - name: router
            typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            {routes}
  clusters:
{CLUSTER_A}"
    )
}

/// Routes of one virtual host for every domain.
pub(super) fn with_routes(routes: &str) -> String {
    let routes = indent(routes, 2);
    with_manager(
        "",
        &format!("virtual_hosts:\n- name: v\n  domains: ['*']\n  routes:\n  {routes}"),
    )
}

/// One route for every path, with these fields of its action.
pub(super) fn with_action(fields: &str) -> String {
    let fields = indent(fields, 4);
    with_routes(&format!("- match: {{prefix: /}}\n  route:\n    {fields}"))
}

/// One cluster `x` with these fields, and nobody who uses it.
pub(super) fn with_cluster(fields: &str) -> String {
    let fields = indent(fields, 4);
    format!("static_resources:\n  clusters:\n  - name: x\n    {fields}\n")
}
