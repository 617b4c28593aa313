//! Differences in what requests are for that no rule makes: they are in how systems read hosts, and in what they answer by themselves.

use compare::{Area, Difference};

/// Where ingress-nginx answers by itself to hosts that no Ingress has.
const NGINX: [&str; 2] = ["/healthz", "/nginx_status"];

/// Why requests are for others after a translation to a system, whatever was translated; none: for no such reason.
pub(super) fn why(dialect: &str, difference: &Difference) -> Option<&'static str> {
    let (_, host) = difference.place.rsplit_once("host ")?;
    if host.ends_with('.') {
        return Some("systems differ in what a host with a dot at its end is");
    }
    if host.bytes().any(|it| it.is_ascii_uppercase()) {
        return Some("systems differ in what a host in capitals is");
    }
    if has_port(host) {
        return Some("systems differ in what a host with a port is");
    }
    if !matches!(difference.area, Area::Destination | Area::Answer) {
        return None;
    }
    let (left, right) = (&difference.left, &difference.right);
    if left.text.starts_with("answered ") && left.origin.starts_with("default of ") {
        return Some("it was an answer of the gateway's own, which no object asks for");
    }
    let own = || NGINX.iter().any(|path| difference.example.ends_with(path));
    let answers = dialect == "nginx" && right.text.starts_with("answered ");
    (answers && own()).then_some("ingress-nginx answers there by itself")
}

/// Whether a host has its port behind it.
fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()))
}
