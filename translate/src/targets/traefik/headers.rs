//! Edits of heads and what pages of other origins may do, as one middleware.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{Cors, CorsList, HostRewrite, RouteAction, TextMatch};
use proxy_core::heads::HeaderOp;

use super::Writer;
use crate::targets::edge::flat::Rule;
use crate::targets::edge::patterns;
use crate::yaml::Map;

impl Writer<'_, '_> {
    pub(super) fn headers(&mut self, rule: &Rule<'_>) -> Option<Map> {
        let route = rule.route();
        let (mut request, mut response) =
            (route.request_edits.clone(), route.response_edits.clone());
        let mut host = None;
        if let RouteAction::Forward(forward) = &route.action {
            let own: Vec<_> = forward.clusters.iter().filter(|it| it.weight > 0).collect();
            match own[..] {
                [only] => {
                    request.extend(only.request_edits.iter().cloned());
                    response.splice(0..0, only.response_edits.iter().cloned());
                }
                _ => {
                    for one in own
                        .iter()
                        .filter(|it| !it.request_edits.is_empty() || !it.response_edits.is_empty())
                    {
                        let why =
                            "headers of one share are edited in Traefik where no other share is";
                        self.lose(
                            rule,
                            Area::Headers,
                            one.origin,
                            "edits of headers for a share of the requests",
                            why,
                            "",
                        );
                    }
                }
            }
            match &forward.host {
                Some(HostRewrite::Literal(literal)) => host = Some(literal.to_string()),
                Some(HostRewrite::Header(name)) => {
                    let why = "Traefik sets a Host that is written";
                    let what = format!("servers see the value of `{name}` as the host");
                    self.lose(
                        rule,
                        Area::Rewrite,
                        route.origin,
                        what,
                        why,
                        "the client's host",
                    );
                }
                Some(HostRewrite::Endpoint) | None => {}
            }
        }
        let request = self.edits(rule, &request, host);
        let response = self.edits(rule, &response, None);
        let mut spec = Map::new()
            .map("customRequestHeaders", request)
            .map("customResponseHeaders", response);
        if let Some(cors) = &route.cors {
            for (key, value) in self.cors(rule, cors).iter() {
                spec.set(key, value.clone());
            }
        }
        (!spec.is_empty()).then_some(spec)
    }

    /// Edits as names with values; an empty value takes a header away.
    fn edits(&mut self, rule: &Rule<'_>, edits: &[HeaderOp], host: Option<String>) -> Map {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        all.extend(host.map(|host| ("Host".to_owned(), host)));
        for edit in edits {
            let name = title(edit.name());
            let (value, kept) = match edit {
                HeaderOp::Set(_, value) => (value.to_string(), !value.is_empty()),
                HeaderOp::Remove(_) => (String::new(), true),
                HeaderOp::Append(_, value) | HeaderOp::AddIfAbsent(_, value) => {
                    (value.to_string(), false)
                }
                HeaderOp::IfPresent(..) => {
                    let why = "Traefik edits headers whether or not they are there";
                    let what = format!("an edit of `{}` where it is there", edit.name());
                    self.lose(
                        rule,
                        Area::Headers,
                        rule.route().origin,
                        what,
                        why,
                        "nothing",
                    );
                    continue;
                }
            };
            if !kept {
                let why = "Traefik sets headers or takes them away";
                let what = match value.is_empty() {
                    true => format!("`{}` with an empty value", edit.name()),
                    false => format!(
                        "a value of `{}` that is added to those that it has",
                        edit.name()
                    ),
                };
                self.lose(
                    rule,
                    Area::Headers,
                    rule.route().origin,
                    what,
                    why,
                    "it is set",
                );
            }
            all.insert(name, value);
        }
        let mut map = Map::new();
        for (name, value) in all {
            map.set(&name, value);
        }
        map
    }

    fn cors(&mut self, rule: &Rule<'_>, cors: &Cors) -> Map {
        let (mut origins, mut patterns) = (Vec::new(), Vec::new());
        for origin in &cors.origins {
            match origin {
                TextMatch::Exact(text) => origins.push(text.to_string()),
                TextMatch::Present => origins.push("*".to_owned()),
                other @ (TextMatch::Prefix(_)
                | TextMatch::Suffix(_)
                | TextMatch::Contains(_)
                | TextMatch::Regex(_)
                | TextMatch::Range(..)
                | TextMatch::Address(_)) => patterns.extend(patterns::search(other, false)),
            }
        }
        if !cors.hosts().is_empty() {
            let why = "Traefik's patterns are of whole origins";
            let what = "origins may read answers by a pattern of their host";
            self.lose(rule, Area::Cors, cors.origin, what, why, "");
        }
        if cors.forwards_others {
            let why = "Traefik answers every preflight itself";
            let what = "preflights of other origins go to the server";
            self.lose(rule, Area::Cors, cors.origin, what, why, "");
        }
        let list = |list: &Option<CorsList>| match list {
            None => Vec::new(),
            Some(CorsList::Asked) => vec!["*".to_owned()],
            Some(CorsList::Text(text)) => split(text),
        };
        if cors.methods == Some(CorsList::Asked) && !cors.credentials {
            let why = "Traefik says `*` where no credentials are sent";
            self.lose(
                rule,
                Area::Cors,
                cors.origin,
                "preflights are told what they ask for",
                why,
                "`*`",
            );
        }
        let expose = cors.expose.as_deref().map(split).unwrap_or_default();
        if cors.expose.is_some() && !cors.exposes_early {
            let why = "Traefik tells preflights, too";
            let what = "answers alone say which headers pages may read";
            self.lose(rule, Area::Cors, cors.origin, what, why, "");
        }
        let age: Option<i64> = cors.max_age.as_deref().and_then(|age| age.parse().ok());
        let mut map = Map::new()
            .list("accessControlAllowOriginList", origins)
            .list("accessControlAllowOriginListRegex", patterns)
            .list("accessControlAllowMethods", list(&cors.methods))
            .list("accessControlAllowHeaders", list(&cors.headers))
            .list("accessControlExposeHeaders", expose)
            .maybe("accessControlMaxAge", age);
        if cors.credentials {
            map.set("accessControlAllowCredentials", true);
        }
        map
    }
}

fn split(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts.map(str::to_owned).collect()
}

/// A header's name as people write it: `X-User-Id`.
pub(super) fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_are_as_people_write_them() {
        assert_eq!(title("x-user-id"), "X-User-Id");
        assert_eq!(title("cookie"), "Cookie");
    }
}
