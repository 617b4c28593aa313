//! Which requests rules take, and which rule is asked first.

use std::cmp::Reverse;

use compare::Area;
use proxy_core::config::{PathMatch, PathRedirect, PathRewrite, RouteAction, RouteMatch};

use super::rules::{Reader, Writer};
use crate::intent::Rule;
use crate::loss::Loss;
use crate::object::Written;
use crate::targets::common::groups::{Group, covers};
use crate::targets::common::matching::{Departs, Plain, PlainPath, PlainText, plain};
use crate::yaml::Map;

/// Where a match comes among all: the least first. Exact before patterns before prefixes, longer before shorter, then by what else is asked.
pub(super) type Rank = (
    Reverse<u8>,
    Reverse<usize>,
    bool,
    Reverse<usize>,
    Reverse<usize>,
);

impl<'a> Writer<'_, 'a> {
    /// Matches of a rule as they are written, each with its rank and what it was made of.
    pub(super) fn matches<'r>(
        &self,
        group: &Group<'r, 'a>,
        before: &[&RouteMatch],
        out: &mut Written,
    ) -> (Vec<Map>, Vec<(Rank, &'r Rule<'a>)>) {
        let (mut maps, mut taken) = (Vec::new(), Vec::new());
        for rule in &group.rules {
            let absent = |found: &Plain| {
                let mut headers = found.headers.iter();
                headers
                    .find(|(_, text)| *text == PlainText::Absent)
                    .map(|(name, _)| name.clone())
            };
            let found = plain(&rule.route.matches).and_then(|found| {
                match absent(&found).filter(|_| self.reader != Reader::Kuma) {
                    Some(name) => Err(format!("a header `{name}` that must not be there")),
                    None => Ok(found),
                }
            });
            let found = match found {
                Ok(found) => found,
                Err(what) => {
                    let what = format!("`{}` is for {what}", rule.route.name);
                    let why = "its conditions cannot ask for that";
                    let loss =
                        Loss::new(self.reach, Area::Destination, rule.route.origin, what, why);
                    let nearest = "the rule is left out, and later rules take its requests";
                    out.lose(loss.of_rule().nearest(nearest));
                    continue;
                }
            };
            for departs in &found.departs {
                if before_takes(before, departs, &rule.route.matches) {
                    continue;
                }
                let loss = Loss::new(
                    self.reach,
                    Area::Destination,
                    rule.route.origin,
                    format!("`{}` matches paths byte by byte", rule.route.name),
                    "prefixes of paths go by whole segments",
                );
                out.lose(loss.of_rule().nearest(departs.words()));
            }
            // Kuma replaces prefixes only of paths that are asked for by prefix
            let whole = self.reader == Reader::Kuma && replaces_prefix(&rule.route.action);
            for (rank, map) in self.plain(&found, whole) {
                maps.push(map);
                taken.push((rank, *rule));
            }
        }
        // one that asks for nothing need not be written
        if let [only] = &maps[..]
            && only.is_empty()
            && self.reader != Reader::Kuma
        {
            maps.clear();
        }
        for map in &mut maps {
            if map.is_empty() {
                *map = Map::new().with("path", path_map("PathPrefix", "/"));
            }
        }
        (maps, taken)
    }

    /// One condition for each method; `whole` has the path written where it is any.
    fn plain(&self, found: &Plain, whole: bool) -> Vec<(Rank, Map)> {
        let (kind, text, word) = match &found.path {
            PlainPath::Exact(text) => (2, text, "Exact"),
            PlainPath::Regex(text) => (1, text, "RegularExpression"),
            PlainPath::Segments(text) => (0, text, "PathPrefix"),
        };
        let (kind, length) = match (self.reader, kind) {
            (Reader::Linkerd, 1 | 2) => (1, usize::MAX),
            (Reader::Linkerd, _) => (0, text.trim_end_matches('/').len().max(1)),
            (Reader::Api, _) => (kind, text.len()),
            // exact paths, then prefixes, then patterns
            (Reader::Kuma, 2) => (3, 0),
            (Reader::Kuma, 1) => (1, text.len()),
            (Reader::Kuma, _) => (2, text.len()),
        };
        let named = |all: &[(String, PlainText)]| -> Vec<Map> {
            let all = all.iter();
            all.map(|(name, value)| match value {
                PlainText::Exact(value) => Map::new()
                    // Kuma wants the word for parameters
                    .maybe("type", (self.reader == Reader::Kuma).then_some("Exact"))
                    .with("name", name.as_str())
                    .with("value", value.as_str()),
                PlainText::Regex(value) => Map::new()
                    .with("type", "RegularExpression")
                    .with("name", name.as_str())
                    .with("value", value.as_str()),
                PlainText::Absent => Map::new()
                    .with("type", "Absent")
                    .with("name", name.as_str()),
            })
            .collect()
        };
        let mut base = Map::new();
        if whole || !(word == "PathPrefix" && text == "/") {
            base.set("path", path_map(word, text));
        }
        let base = base
            .list("headers", named(&found.headers))
            .list("queryParams", named(&found.params));
        let rank = |has_method: bool| {
            (
                Reverse(kind),
                Reverse(length),
                !has_method,
                Reverse(found.headers.len()),
                Reverse(found.params.len()),
            )
        };
        if found.methods.is_empty() {
            return vec![(rank(false), base)];
        }
        let methods = found.methods.iter();
        methods
            .map(|method| (rank(true), base.clone().with("method", method.as_str())))
            .collect()
    }
}

fn path_map(kind: &str, value: &str) -> Map {
    Map::new().with("type", kind).with("value", value)
}

fn replaces_prefix(action: &RouteAction) -> bool {
    match action {
        RouteAction::Forward(forward) => matches!(
            forward.rewrite,
            Some(PathRewrite::Prefix(_) | PathRewrite::JoinedPrefix(_))
        ),
        RouteAction::Redirect(redirect) => matches!(
            redirect.path,
            Some(PathRedirect::Prefix(_) | PathRedirect::JoinedPrefix(_))
        ),
        RouteAction::Direct(_) => false,
    }
}

/// Whether a rule that is asked before takes what a prefix by segments takes besides.
fn before_takes(before: &[&RouteMatch], departs: &Departs, own: &RouteMatch) -> bool {
    let Departs::Without(path) = departs else {
        return false;
    };
    let besides = RouteMatch {
        path: PathMatch::Exact(path.as_str().into()),
        ..own.clone()
    };
    before.iter().any(|it| covers(it, &besides))
}
