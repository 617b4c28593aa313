//! Which endpoint is chosen, and who stays with one, as annotations.

use compare::Area;
use proxy_core::config::{Balancer, Cluster, Forward, HashPolicy, HashSource, SessionCarrier};

use super::Writer;
use super::annotations::Notes;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::words;

impl Writer<'_, '_> {
    pub(super) fn balance(
        &mut self,
        rule: &Rule<'_>,
        forward: &Forward,
        cluster: &Cluster,
        notes: &mut Notes,
    ) {
        let balancer = &cluster.balancer;
        let hashes = matches!(
            balancer.value,
            Balancer::RingHash { .. } | Balancer::Maglev { .. } | Balancer::TraefikRendezvous
        );
        if forward.session.is_some() {
            // affinity has the say
            return;
        }
        let (nearest, exact) = if hashes {
            match self.hash(rule, &forward.hash) {
                Some(variables) => {
                    notes.set("upstream-hash-by", &*variables);
                    (
                        format!("by a hash of `{variables}`"),
                        matches!(balancer.value, Balancer::RingHash { bound: None, .. }),
                    )
                }
                None => ("in turn".to_owned(), false),
            }
        } else {
            match &balancer.value {
                Balancer::RoundRobin => return,
                Balancer::NginxEwma => {
                    notes.set("load-balance", "ewma");
                    return;
                }
                Balancer::PeakEwma { .. }
                | Balancer::KongLatency
                | Balancer::TraefikLeastTime
                | Balancer::LeastRequest { .. }
                | Balancer::KongLeastConnections
                | Balancer::TraefikTwoChoices => {
                    notes.set("load-balance", "ewma");
                    ("the quicker of two (`ewma`)".to_owned(), false)
                }
                Balancer::Random
                | Balancer::KongRing
                | Balancer::TraefikTurns
                | Balancer::OriginalDestination
                | Balancer::RingHash { .. }
                | Balancer::Maglev { .. }
                | Balancer::TraefikRendezvous => ("in turn".to_owned(), false),
            }
        };
        if !exact {
            let what = format!("endpoints are chosen: {}", words::balancer(cluster));
            let why = "ingress-nginx has balancers of its own";
            self.lose(rule, Area::Balance, balancer.origin, what, why, &nearest);
        } else {
            let why = "ingress-nginx has a ring of its own size";
            self.lose(
                rule,
                Area::Balance,
                balancer.origin,
                "the size of a ring",
                why,
                &nearest,
            );
        }
    }

    /// What is hashed, as variables of NGINX; none: nothing that it knows.
    fn hash(&mut self, rule: &Rule<'_>, hash: &[HashPolicy]) -> Option<String> {
        let each = hash.iter().map(|policy| variable(&policy.source));
        let known: Vec<String> = each.flatten().collect();
        if known.len() != hash.len()
            || hash.is_empty()
            || hash.iter().any(|it| it.terminal) && hash.len() > 1
        {
            let why = "ingress-nginx hashes one text of variables, all of them together";
            self.lose(
                rule,
                Area::Session,
                rule.route().origin,
                "what is hashed",
                why,
                "what it can",
            );
        }
        (!known.is_empty()).then(|| known.concat())
    }

    pub(super) fn session(&mut self, rule: &Rule<'_>, forward: &Forward, notes: &mut Notes) {
        let Some(session) = forward.session.as_deref() else {
            return;
        };
        let SessionCarrier::Cookie { name, ttl, path } = &session.carrier else {
            let why = "ingress-nginx holds clients by a cookie";
            let what = "a header holds clients to an endpoint";
            self.lose(rule, Area::Session, session.origin, what, why, "");
            return;
        };
        notes.set("affinity", "cookie");
        notes.set("affinity-mode", "persistent");
        if &**name != "INGRESSCOOKIE" {
            notes.set("session-cookie-name", &**name);
        }
        if let Some(path) = path {
            notes.set("session-cookie-path", &**path);
        }
        if let Some(ttl) = ttl {
            notes.set(
                "session-cookie-max-age",
                ttl.as_nanos().div_ceil(1_000_000_000).to_string(),
            );
        }
        let balancer = rule.of.to.iter().find_map(|to| to.cluster);
        if let Some(cluster) = balancer.filter(|it| it.balancer.value != Balancer::Random) {
            let why = "with affinity ingress-nginx leads a new client to any endpoint";
            let what = format!(
                "endpoints of new clients are chosen: {}",
                words::balancer(cluster)
            );
            self.lose(
                rule,
                Area::Balance,
                cluster.balancer.origin,
                what,
                why,
                "any",
            );
        }
    }
}

/// The variable that a hash goes by.
fn variable(source: &HashSource) -> Option<String> {
    let named = |prefix: &str, name: &str| {
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        plain.then(|| format!("{prefix}{}", name.replace('-', "_").to_ascii_lowercase()))
    };
    match source {
        HashSource::Header(name) => match &**name {
            ":path" => Some("$request_uri".to_owned()),
            ":authority" => Some("$host".to_owned()),
            ":method" => Some("$request_method".to_owned()),
            name => named("$http_", name),
        },
        HashSource::Cookie { name, .. } => {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            plain.then(|| format!("$cookie_{name}"))
        }
        HashSource::Param(name) => {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            plain.then(|| format!("$arg_{name}"))
        }
        HashSource::SourceAddress => Some("$remote_addr".to_owned()),
        HashSource::Path => Some("$uri".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_a_variable_of_nginx() {
        let header = |name: &str| HashSource::Header(name.into());
        let cookie = HashSource::Cookie {
            name: "user".into(),
            ttl: None,
        };
        for (source, expected) in [
            (header("x-user-id"), Some("$http_x_user_id")),
            (header(":path"), Some("$request_uri")),
            (header(":authority"), Some("$host")),
            (cookie, Some("$cookie_user")),
            (HashSource::Param("id".into()), Some("$arg_id")),
            (HashSource::SourceAddress, Some("$remote_addr")),
            (HashSource::Param("a-b".into()), None),
        ] {
            assert_eq!(variable(&source).as_deref(), expected, "{source:?}");
        }
    }
}
