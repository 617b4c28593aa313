//! What pages of other origins may do, as annotations.

use compare::Area;
use proxy_core::config::{Cors, CorsList, TextMatch};

use super::Writer;
use super::annotations::Notes;
use crate::targets::edge::flat::Rule;

/// What CORS says unless it is told otherwise. Source: kubernetes/ingress-nginx `internal/ingress/annotations/cors/main.go`.
const CORS_METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const CORS_AGE: &str = "1728000";

impl Writer<'_, '_> {
    pub(super) fn cors(&mut self, rule: &Rule<'_>, cors: &Cors, notes: &mut Notes) {
        notes.set("enable-cors", "true");
        let mut origins = Vec::new();
        let mut lost =
            vec!["preflights are answered with 204, with every header of the path".to_owned()];
        for origin in &cors.origins {
            match origin {
                TextMatch::Exact(text) => origins.push(text.to_string()),
                TextMatch::Present => origins.push("*".to_owned()),
                TextMatch::Prefix(_)
                | TextMatch::Suffix(_)
                | TextMatch::Contains(_)
                | TextMatch::Regex(_)
                | TextMatch::Range(..)
                | TextMatch::Address(_) => lost.push("an origin by a pattern".to_owned()),
            }
        }
        if !cors.hosts().is_empty() {
            lost.push("an origin by a pattern of its host".to_owned());
        }
        if !origins.is_empty() && !origins.contains(&"*".to_owned()) {
            notes.set("cors-allow-origin", origins.join(", "));
        }
        match &cors.methods {
            Some(CorsList::Text(text)) if &**text == CORS_METHODS => {}
            Some(CorsList::Text(text)) => notes.set(
                "cors-allow-methods",
                text.replace(',', ", ").replace("  ", " "),
            ),
            Some(CorsList::Asked) | None => {
                lost.push("methods that are asked for, or none".to_owned())
            }
        }
        match &cors.headers {
            Some(CorsList::Text(text)) => notes.set("cors-allow-headers", &**text),
            Some(CorsList::Asked) | None => {
                lost.push("headers that are asked for, or none".to_owned())
            }
        }
        match cors.max_age.as_deref() {
            Some(CORS_AGE) => {}
            Some(age) => notes.set("cors-max-age", age),
            None => lost.push("preflights hold for as long as browsers have it".to_owned()),
        }
        if let Some(expose) = cors.expose.as_deref() {
            notes.set("cors-expose-headers", expose);
        }
        if !cors.credentials {
            notes.set("cors-allow-credentials", "false");
        }
        let why = "ingress-nginx has its own words for pages of other origins";
        let loss = self
            .loss(rule, Area::Cors, cors.origin, lost.join(", "), why)
            .nearest("`enable-cors`");
        self.written
            .lose(loss.also(Area::Headers).also(Area::Answer));
    }
}
