//! What a proxy on the open network meets: clients that mean harm, peers that break off, changes under load.

mod certificates;
mod changes;
mod floods;
mod smuggling;

/// A bootstrap with one listener in plaintext, one virtual host and one cluster `back`; `route` is what follows the match of `/`.
pub(crate) fn bootstrap(port: u16, route: &str, upstreams: &[u16]) -> String {
    with_sockets(port, "", route, "", upstreams)
}

/// The same with what stands before the filters of its chain, and what else stands in its cluster.
pub(crate) fn with_sockets(
    port: u16,
    chain: &str,
    route: &str,
    cluster: &str,
    upstreams: &[u16],
) -> String {
    let endpoints: String = upstreams
        .iter()
        .map(|port| {
            format!(
                "          - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
            )
        })
        .collect();
    format!(
        "static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - name: only
{chain}
      filters:
      - name: http
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{prefix: /}}
{route}
          http_filters:
          - name: router
            typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: back
    type: STATIC
    connect_timeout: 1s
    lb_policy: ROUND_ROBIN
{cluster}
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}
