//! The Ingress that classes of it have in common.

use crate::yaml::Map;

/// The `spec` of an Ingress of one host, whose `paths` are in its order; an empty host takes any.
pub(crate) fn spec(class: &str, host: &str, paths: Vec<Map>, secret: Option<String>) -> Map {
    let host = Some(host).filter(|host| !host.is_empty());
    let rule = Map::new()
        .maybe("host", host)
        .with("http", Map::new().with("paths", paths));
    let tls = secret.map(|secret| {
        let hosts: Vec<&str> = host.into_iter().collect();
        Map::new().list("hosts", hosts).with("secretName", secret)
    });
    Map::new()
        .with("ingressClassName", class)
        .list("tls", tls.into_iter().collect::<Vec<_>>())
        .with("rules", vec![rule])
}
