//! Answers of NGINX's own as annotations: redirects, refusals, and what is sent to TLS.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{DirectResponse, PathRedirect, Redirect};

use super::locations::Location;
use super::{PREFIX, Writer};
use crate::targets::edge::flat::{Flat, Rule, Sides};

impl Writer<'_, '_> {
    /// The annotations of a redirect; none: it cannot be said, which is told.
    pub(super) fn redirect(
        &mut self,
        rule: &Rule<'_>,
        redirect: &Redirect,
    ) -> Option<Vec<(&'static str, String)>> {
        let origin = rule.route().origin;
        let full = match &redirect.path {
            Some(PathRedirect::Full(path)) => Some(path.to_string()),
            None => None,
            Some(_) => {
                self.left_out(
                    rule,
                    "a redirect to another start of the path",
                    "a redirect of ingress-nginx leads to one address",
                );
                return None;
            }
        };
        let Some(host) = redirect.host.as_deref() else {
            self.left_out(
                rule,
                "a redirect to the host that was asked for",
                "a redirect of ingress-nginx leads to an address that is written whole",
            );
            return None;
        };
        let scheme = redirect.scheme.as_deref().unwrap_or(match rule.sides {
            Sides::Tls => "https",
            Sides::Plain | Sides::Both => "http",
        });
        let own = if scheme == "https" { 443 } else { 80 };
        let port = redirect.port.filter(|port| *port != own);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        if full.is_none() || !redirect.strip_query {
            let why = "a redirect of ingress-nginx leads to one address, whatever was asked for";
            let what = "path and query of the request are kept by a redirect";
            self.lose(rule, Area::Redirect, origin, what, why, "they are not");
        }
        let url = format!("{scheme}://{host}{port}{}", full.unwrap_or_default());
        let known = |c: char| c.is_ascii_alphanumeric() || "-._~/:,?&= ".contains(c);
        if !url.chars().all(known) {
            self.left_out(
                rule,
                "a redirect to an address with other letters",
                "ingress-nginx takes letters, digits and `-._~/:,?&=` in it",
            );
            return None;
        }
        let permanent = matches!(redirect.status, 301 | 308);
        let (name, code, default) = match permanent {
            true => ("permanent-redirect", "permanent-redirect-code", 301),
            false => ("temporal-redirect", "temporal-redirect-code", 302),
        };
        let mut all = vec![(name, url)];
        if redirect.status != default {
            all.push((code, redirect.status.to_string()));
        }
        Some(all)
    }

    pub(super) fn direct(&mut self, rule: &Rule<'_>, answer: &DirectResponse) {
        if answer.status == 403 && answer.body.is_empty() {
            return;
        }
        let what = format!("requests are answered with {}", answer.status);
        let why = "ingress-nginx answers by itself where it refuses a client";
        self.lose(rule, Area::Answer, rule.route().origin, what, why, "403");
    }

    /// What is sent to TLS, and what is not.
    pub(super) fn over_tls(
        &mut self,
        flat: &Flat<'_>,
        location: &Location<'_>,
        has_secret: bool,
        annotations: &mut BTreeMap<String, String>,
    ) {
        let mut set = |name: &str, value: &str| {
            annotations.insert(format!("{PREFIX}{name}"), value.to_owned());
        };
        let rule = location.rule;
        let Some(upgrade) = flat.upgrade(&rule.domains) else {
            match location.sides {
                Sides::Plain => {}
                Sides::Both if has_secret => set("ssl-redirect", "false"),
                Sides::Both => {}
                Sides::Tls => {
                    set("force-ssl-redirect", "true");
                    let why = "ingress-nginx listens for plaintext, too";
                    let what = "requests in plaintext have no rule";
                    let loss = self.loss(rule, Area::Redirect, rule.route().origin, what, why);
                    let loss = loss.nearest("they are sent to TLS with 308");
                    self.written
                        .lose(loss.also(Area::Answer).also(Area::Destination));
                }
            }
            return;
        };
        if !has_secret {
            set("force-ssl-redirect", "true");
        }
        if !upgrade.changes_path {
            set("preserve-trailing-slash", "true");
        }
        if upgrade.status != 308 {
            let why = "its ConfigMap has the status for all hosts (`http-redirect-code`)";
            let what = format!("requests are sent to TLS with {}", upgrade.status);
            self.lose(rule, Area::Redirect, upgrade.origin, what, why, "308");
        }
    }
}
