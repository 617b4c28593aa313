//! Rules of a VirtualService's `http`.

use compare::Area;
use proxy_core::config::{Forward, PathRewrite, RouteAction, Share};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::calls::Calls;
use super::does::{self, headers, percent};
use super::retries::retries as retries_of;
use super::{TARGET, matches};
use crate::intent::{Destination, Rule, Source};
use crate::loss::{Loss, Reach};
use crate::object::Written;
use crate::targets::common::backends::backend;
use crate::targets::common::duration::whole;
use crate::targets::common::groups::{Group, groups, is_any};
use crate::targets::common::retries;
use crate::yaml::Map;

/// Something that cannot be said, in words, with what was written in its place.
pub(super) type Unsaid = Vec<(Area, String, String)>;

/// What a writer of rules needs to know.
pub(super) struct Writer<'w, 'a> {
    pub(super) source: Source<'a>,
    /// Whose behaviour is written.
    pub(super) reach: Reach,
    /// Destinations that were named, with their subsets and how they are called.
    pub(super) calls: &'w mut Calls<'a>,
    /// What every condition asks besides: a port, a caller's namespace.
    pub(super) besides: Map,
}

impl<'a> Writer<'_, 'a> {
    /// Rules in their order.
    pub(super) fn rules(&mut self, rules: &[Rule<'a>], out: &mut Written) -> Vec<Map> {
        let all = groups(rules);
        let count = all.len();
        let mut made = Vec::new();
        for (nth, group) in all.iter().enumerate() {
            if nth + 1 == count && says_nothing(group) {
                continue;
            }
            made.extend(self.group(group, out));
        }
        made
    }

    /// A rule; two where what a path by segments becomes differs below it.
    fn group(&mut self, group: &Group<'_, 'a>, out: &mut Written) -> Vec<Map> {
        let rule = group.first();
        let route = rule.route;
        let mut unsaid = Unsaid::new();
        let (mut own, mut below): (Vec<Map>, Vec<Map>) = (Vec::new(), Vec::new());
        for one in &group.rules {
            match matches::matches(&one.route.matches) {
                Ok(found) => {
                    for condition in found {
                        let mut map = condition.map;
                        for (key, value) in self.besides.iter() {
                            map.set(key, value.clone());
                        }
                        match condition.below && rewrites(rule) {
                            true => below.push(map),
                            false => own.push(map),
                        }
                    }
                }
                Err(what) => {
                    let what = format!("`{}` is for {what}", one.route.name);
                    let why = "conditions of Istio cannot ask for that";
                    let loss =
                        Loss::new(self.reach, Area::Destination, one.route.origin, what, why);
                    let nearest = "the rule is left out, and later rules take its requests";
                    out.lose(loss.of_rule().nearest(nearest));
                }
            }
        }
        let mut made = Vec::new();
        for (conditions, is_below) in [(own, false), (below, true)] {
            if !conditions.is_empty() {
                made.push(self.rule(rule, conditions, is_below, &mut unsaid, out));
            }
        }
        for (area, what, nearest) in unsaid {
            let why = TARGET.why(area).unwrap_or("there is no field for it");
            let loss = Loss::new(self.reach, area, route.origin, what, why);
            out.lose(loss.nearest(nearest));
        }
        made
    }

    fn rule(
        &mut self,
        rule: &Rule<'a>,
        conditions: Vec<Map>,
        below: bool,
        unsaid: &mut Unsaid,
        out: &mut Written,
    ) -> Map {
        let route = rule.route;
        let mut map = Map::new();
        // a condition that asks for nothing takes everything, and so does none
        if !conditions.iter().any(Map::is_empty) {
            map.set("match", conditions);
        }
        match &route.action {
            RouteAction::Redirect(to) => map.set("redirect", does::redirect(to, unsaid)),
            RouteAction::Direct(answer) => {
                let body =
                    (!answer.body.is_empty()).then(|| Map::new().with("string", &*answer.body));
                let answer = Map::new().with("status", answer.status).maybe("body", body);
                map.set("directResponse", answer);
            }
            RouteAction::Forward(forward) => {
                self.forward(rule, forward, below, &mut map, unsaid, out);
            }
        }
        if let Some(fault) = &route.fault {
            map = map.map("fault", does::fault(fault, unsaid));
        }
        if let Some(cors) = &route.cors {
            map.set("corsPolicy", does::cors(cors));
        }
        // edits of the only destination come after the route's
        let lone = match &rule.to[..] {
            [only] => only.weighted,
            _ => None,
        };
        let request = lone.map(|it| &it.request_edits[..]).unwrap_or_default();
        let request = [&route.request_edits[..], request].concat();
        let response = lone.map(|it| &it.response_edits[..]).unwrap_or_default();
        let response = [&route.response_edits[..], response].concat();
        map = map.map("headers", headers(&request, &response, unsaid));
        if route.rate_limit.is_some() || !route.gates.is_empty() {
            unsaid.push((
                Area::Limit,
                "requests pass limits of their rate, of their number or a breaker".to_owned(),
                String::new(),
            ));
        }
        map
    }

    fn forward(
        &mut self,
        rule: &Rule<'a>,
        forward: &Forward,
        below: bool,
        map: &mut Map,
        unsaid: &mut Unsaid,
        out: &mut Written,
    ) {
        let rewrite = does::rewrite(forward, &rule.route.matches.path, below, unsaid);
        let mut routes = Vec::new();
        let several = rule.to.len() > 1;
        for to in &rule.to {
            let Some(destination) = self.destination(to, unsaid, out) else {
                continue;
            };
            let mut one = Map::new().with("destination", destination);
            if several {
                one.set("weight", to.weight);
                if let Some(weighted) = to.weighted {
                    let own = headers(&weighted.request_edits, &weighted.response_edits, unsaid);
                    one = one.map("headers", own);
                }
            }
            routes.push(one);
        }
        if routes.is_empty() {
            let answer = Map::new().with("status", forward.missing_status);
            map.set("directResponse", answer);
            return;
        }
        map.set("route", routes);
        *map = std::mem::take(map).map("rewrite", rewrite);
        if let Some(timeout) = retries::timeout(forward) {
            map.set("timeout", whole(timeout));
        }
        let hashed = !forward.hash.is_empty() && !several;
        if let Some(retries) = retries_of(forward, hashed, unsaid) {
            map.set("retries", retries);
        }
        self.mirrors(rule, forward, map, unsaid, out);
        let mut add = |is: bool, area: Area, what: &str| {
            if is {
                unsaid.push((area, what.to_owned(), String::new()));
            }
        };
        add(
            forward.session.is_some(),
            Area::Session,
            "clients stay with an endpoint",
        );
        add(
            forward.hedge.is_some(),
            Area::Retry,
            "a second try runs beside a slow first one",
        );
        add(
            forward.largest_body.is_some(),
            Area::Limit,
            "bodies beyond a size are refused",
        );
        let set = |it: Option<Sourced<Duration>>| it.is_some_and(|it| !it.value.is_zero());
        add(
            set(forward.idle_timeout),
            Area::Timeout,
            "streams on which nothing happens are ended",
        );
        add(
            set(forward.max_stream_duration),
            Area::Timeout,
            "streams live for a time",
        );
    }

    fn mirrors(
        &mut self,
        rule: &Rule<'a>,
        forward: &Forward,
        map: &mut Map,
        unsaid: &mut Unsaid,
        out: &mut Written,
    ) {
        let mut mirrors = Vec::new();
        for (mirror, to) in forward.mirrors.iter().zip(&rule.mirrors) {
            let Some(destination) = self.destination(to, unsaid, out) else {
                continue;
            };
            let mut one = Map::new().with("destination", destination);
            if mirror.share.value != Share::ALL {
                one.set("percentage", percent(mirror.share.value));
            }
            if mirror.shadow_host {
                unsaid.push((
                    Area::Mirror,
                    "copies have `-shadow` behind their host".to_owned(),
                    "copies keep their host".to_owned(),
                ));
            }
            mirrors.push(one);
        }
        if !mirrors.is_empty() {
            map.set("mirrors", mirrors);
        }
    }

    /// A destination; its Service's rule gets the subset that it asks for, and how it is called.
    fn destination(
        &mut self,
        to: &Destination<'a>,
        unsaid: &mut Unsaid,
        out: &mut Written,
    ) -> Option<Map> {
        match backend(self.source, to) {
            Ok(found) => {
                let subset = self.calls.add(self.source, to, self.reach, out);
                let port = Map::new().with("number", found.port);
                Some(
                    Map::new()
                        .with("host", super::host(found.namespace, found.name))
                        .maybe("subset", subset)
                        .with("port", port),
                )
            }
            Err(what) => {
                unsaid.push((
                    Area::Destination,
                    format!("requests go to {what}"),
                    String::new(),
                ));
                None
            }
        }
    }
}

/// Whether a last rule says what is so without it: that nothing is found.
fn says_nothing(group: &Group<'_, '_>) -> bool {
    let RouteAction::Direct(answer) = &group.first().route.action else {
        return false;
    };
    answer.status == 404
        && answer.body.is_empty()
        && group.matches().all(|it| {
            is_any(&it.path)
                && it.methods.is_empty()
                && it.headers.is_empty()
                && it.params.is_empty()
        })
}

/// Whether what matched of a path is replaced.
fn rewrites(rule: &Rule<'_>) -> bool {
    let path = rule.forward().and_then(|forward| forward.rewrite.as_ref());
    matches!(
        path,
        Some(PathRewrite::Prefix(_) | PathRewrite::JoinedPrefix(_))
    )
}
