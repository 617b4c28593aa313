//! Rules of an HTTPRoute: those of the Gateway API itself, and of systems that read its routes in part.

use std::collections::BTreeSet;

use compare::Area;
use proxy_core::config::{Forward, RouteAction, RouteMatch, SessionCarrier, Share};
use proxy_core::origin::OriginId;
use proxy_core::retry::conditions::Condition;

use super::conditions::Rank;
use super::filters::{self, Unsaid};
use crate::intent::{Destination, Rule, Source};
use crate::loss::{Loss, Reach};
use crate::object::Written;
use crate::targets::Target;
use crate::targets::common::backends::backend;
use crate::targets::common::duration::whole;
use crate::targets::common::groups::{Group, action, groups, is_any, overtaken};
use crate::targets::common::retries;
use crate::yaml::Map;

/// Who reads the routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// A controller of the Gateway API, or a mesh that has all of it.
    Api,
    /// Linkerd: conditions, shares, header edits and redirects; retries and timeouts by annotation.
    Linkerd,
    /// Kuma, whose MeshHTTPRoutes are much alike; retries and timeouts by policies of their own.
    Kuma,
}

/// What a writer of rules needs to know.
pub(crate) struct Writer<'w, 'a> {
    pub(crate) source: Source<'a>,
    pub(crate) target: &'w Target,
    pub(crate) reader: Reader,
    /// Whose behaviour is written.
    pub(crate) reach: Reach,
    /// Namespace of the route.
    pub(crate) namespace: String,
}

/// A rule that was made.
pub(crate) struct Made<'r, 'a> {
    pub(crate) rule: Map,
    /// What it was made of.
    pub(crate) of: &'r Rule<'a>,
    /// Namespaces that its backends are in, other than the route's.
    pub(crate) abroad: BTreeSet<String>,
}

impl<'a> Writer<'_, 'a> {
    /// Rules in their order. What the target asks in another order, where that matters, is lost.
    pub(crate) fn rules<'r>(&self, rules: &'r [Rule<'a>], out: &mut Written) -> Vec<Made<'r, 'a>> {
        let mut made = Vec::new();
        let mut ranked: Vec<(Rank, &RouteMatch, String)> = Vec::new();
        let mut rules_of: Vec<&Rule<'a>> = Vec::new();
        let all = groups(rules);
        let count = all.len();
        for (nth, group) in all.iter().enumerate() {
            if nth + 1 == count && self.says_nothing(group) {
                continue;
            }
            let before: Vec<&RouteMatch> = all[..nth].iter().flat_map(Group::matches).collect();
            let (matches, taken) = self.matches(group, &before, out);
            if taken.is_empty() {
                continue;
            }
            for (rank, of) in taken {
                ranked.push((rank, &of.route.matches, action(of)));
                rules_of.push(of);
            }
            made.push(self.rule(group, matches, out));
        }
        for (late, early) in overtaken(&ranked) {
            let (first, then) = (rules_of[late].route, rules_of[early].route);
            let what = format!("`{}` comes before `{}`", first.name, then.name);
            let why = match self.reader {
                Reader::Api => {
                    "the Gateway API asks the most specific condition first, whatever the order of rules"
                }
                Reader::Linkerd => {
                    "Linkerd asks the most specific condition first, whatever the order of rules"
                }
                Reader::Kuma => {
                    "Kuma asks the most specific condition first, whatever the order of rules"
                }
            };
            out.lose(
                Loss::new(self.reach, Area::Destination, first.origin, what, why)
                    .of_rule()
                    .nearest(format!("`{}` is asked first", then.name)),
            );
        }
        made
    }

    /// Whether a last rule says what is so without it: that nothing is found.
    fn says_nothing(&self, group: &Group<'_, 'a>) -> bool {
        let rule = group.first().route;
        let RouteAction::Direct(answer) = &rule.action else {
            return false;
        };
        let any = |it: &RouteMatch| {
            is_any(&it.path)
                && it.methods.is_empty()
                && it.headers.is_empty()
                && it.params.is_empty()
        };
        answer.status == 404 && answer.body.is_empty() && group.matches().all(any)
    }

    fn rule<'r>(
        &self,
        group: &Group<'r, 'a>,
        matches: Vec<Map>,
        out: &mut Written,
    ) -> Made<'r, 'a> {
        let of = group.first();
        let route = of.route;
        let mut unsaid = Unsaid::new();
        let mut filters: Vec<Map> = Vec::new();
        let mut rule = Map::new().list("matches", matches);
        let mut abroad = BTreeSet::new();
        let lone = match &of.to[..] {
            [only] => only.weighted,
            _ => None,
        };
        // edits of the only destination come after those of the route
        let edits = |own: &[proxy_core::heads::HeaderOp],
                     more: Option<&[proxy_core::heads::HeaderOp]>| {
            [own, more.unwrap_or_default()].concat()
        };
        let request = edits(&route.request_edits, lone.map(|it| &it.request_edits[..]));
        let response = edits(&route.response_edits, lone.map(|it| &it.response_edits[..]));
        let is_redirect = matches!(route.action, RouteAction::Redirect(_));
        if !is_redirect {
            filters.extend(filters::modifier(true, &request, &mut unsaid));
        }
        filters.extend(filters::modifier(false, &response, &mut unsaid));
        if let Some(cors) = &route.cors {
            match self.reader {
                Reader::Api => filters.extend(filters::cors(cors, &mut unsaid)),
                Reader::Linkerd | Reader::Kuma => {
                    unsaid.push((Area::Cors, "pages of other origins may read answers".into()));
                }
            }
        }
        let mut backends = Vec::new();
        match &route.action {
            RouteAction::Redirect(to) => filters.push(filters::redirect(to, &mut unsaid)),
            RouteAction::Direct(answer) => {
                if answer.status != 500 || !answer.body.is_empty() {
                    let what = format!("requests are answered with {}", answer.status);
                    unsaid.push((Area::Answer, what));
                }
            }
            RouteAction::Forward(forward) => {
                self.forward(of, forward, &mut filters, &mut unsaid, &mut abroad, out);
                backends = self.backends(of, &mut unsaid, &mut abroad, out);
                if backends.is_empty() {
                    unsaid.push((Area::Destination, "no destination can be named".to_owned()));
                }
            }
        }
        let does = Map::new()
            .list("filters", filters)
            .list("backendRefs", backends);
        if self.reader == Reader::Kuma {
            rule = rule.with("default", does);
        } else {
            for (key, value) in does.iter() {
                rule.set(key, value.clone());
            }
        }
        if let RouteAction::Forward(forward) = &route.action {
            rule = self.policies(forward, rule, &mut unsaid);
        }
        self.extras(of, &mut unsaid);
        for (area, what) in unsaid {
            let why = self.target.why(area).unwrap_or("there is no field for it");
            self.lose(area, route.origin, what, why, "", out);
        }
        Made { rule, of, abroad }
    }

    /// Filters of a rule that sends on.
    fn forward(
        &self,
        of: &Rule<'a>,
        forward: &Forward,
        filters: &mut Vec<Map>,
        unsaid: &mut Unsaid,
        abroad: &mut BTreeSet<String>,
        out: &mut Written,
    ) {
        let matched = &of.route.matches.path;
        let (path, host) = (forward.rewrite.as_ref(), forward.host.as_ref());
        match self.reader {
            Reader::Api | Reader::Kuma => {
                filters.extend(filters::rewrite(path, host, matched, unsaid));
            }
            Reader::Linkerd => {
                if path.is_some() || host.is_some() {
                    unsaid.push((Area::Rewrite, "path or host are rewritten".to_owned()));
                }
            }
        }
        for (mirror, to) in forward.mirrors.iter().zip(&of.mirrors) {
            if self.reader == Reader::Linkerd {
                unsaid.push((Area::Mirror, "copies of requests are sent elsewhere".into()));
                continue;
            }
            if mirror.shadow_host {
                unsaid.push((
                    Area::Mirror,
                    "copies have `-shadow` behind their host".to_owned(),
                ));
            }
            if let Some(reference) = self.reference(to, unsaid, abroad, out) {
                let settings = Map::new().with("backendRef", reference);
                let share = mirror.share.value;
                let settings = match self.reader {
                    Reader::Kuma if share != Share::ALL => {
                        settings.with("percentage", share.as_fraction() * 100.0)
                    }
                    Reader::Kuma => settings,
                    Reader::Api | Reader::Linkerd => filters::share(share, settings),
                };
                filters.push(
                    Map::new()
                        .with("type", "RequestMirror")
                        .with("requestMirror", settings),
                );
            }
        }
    }

    /// Backends with their shares, and edits of their own where there are several.
    fn backends(
        &self,
        of: &Rule<'a>,
        unsaid: &mut Unsaid,
        abroad: &mut BTreeSet<String>,
        out: &mut Written,
    ) -> Vec<Map> {
        let mut backends = Vec::new();
        let several = of.to.len() > 1;
        for to in &of.to {
            let Some(mut reference) = self.reference(to, unsaid, abroad, out) else {
                continue;
            };
            if several {
                reference.set("weight", to.weight);
                if let Some(weighted) = to.weighted
                    && self.reader == Reader::Kuma
                {
                    if !weighted.request_edits.is_empty() || !weighted.response_edits.is_empty() {
                        unsaid.push((
                            Area::Headers,
                            "one of several destinations has edits of its own".to_owned(),
                        ));
                    }
                } else if let Some(weighted) = to.weighted {
                    let request = filters::modifier(true, &weighted.request_edits, unsaid);
                    let response = filters::modifier(false, &weighted.response_edits, unsaid);
                    let filters: Vec<Map> = request.into_iter().chain(response).collect();
                    reference = reference.list("filters", filters);
                }
            }
            backends.push(reference);
        }
        backends
    }

    /// A destination as a reference to a Service; a subset has one of its own.
    fn reference(
        &self,
        to: &Destination<'a>,
        unsaid: &mut Unsaid,
        abroad: &mut BTreeSet<String>,
        out: &mut Written,
    ) -> Option<Map> {
        match backend(self.source, to) {
            Ok(found) => {
                let name = match found.labels.is_empty() {
                    true => found.name.to_owned(),
                    false => out.subset(self.source.service(found.service), &found.labels),
                };
                let mut reference = Map::new()
                    .maybe(
                        "kind",
                        (self.reader == Reader::Kuma).then_some("MeshService"),
                    )
                    .with("name", name);
                if found.namespace != self.namespace {
                    reference.set("namespace", found.namespace);
                    abroad.insert(found.namespace.to_owned());
                }
                Some(reference.with("port", found.port))
            }
            Err(what) => {
                unsaid.push((Area::Destination, format!("requests go to {what}")));
                None
            }
        }
    }

    /// Timeouts, retries and sessions of a rule.
    fn policies(&self, forward: &Forward, rule: Map, unsaid: &mut Unsaid) -> Map {
        let mut timeouts = Map::new();
        let mut rule = rule;
        if self.reader != Reader::Api {
            // annotations or policies say both
            return rule;
        }
        if let Some(timeout) = retries::timeout(forward) {
            timeouts.set("request", whole(timeout));
        }
        if let Some(bound) = retries::per_try(forward) {
            timeouts.set("backendRequest", whole(bound));
        }
        rule = rule.map("timeouts", timeouts);
        if let Some(policy) = retries::effective(forward) {
            let mut written = Map::new();
            let codes = retries::statuses(policy);
            if !codes.is_empty() {
                written.set("codes", codes);
            }
            written.set("attempts", policy.retries.value);
            match retries::pauses(policy.backoff.value) {
                Ok(None) => {}
                Ok(Some((first, _))) => written.set("backoff", whole(first)),
                Err(what) => unsaid.push((Area::Retry, what.to_owned())),
            }
            rule.set("retry", written);
            if retries::is_class(&policy.statuses) {
                let what = "every status from 500 to 599 is tried again";
                unsaid.push((Area::Retry, what.to_owned()));
            }
            let on = policy.on.value;
            let said = [
                Condition::ConnectFailure,
                Condition::Reset,
                Condition::RefusedStream,
                Condition::RetriableStatusCodes,
            ];
            let exact = on.iter().all(|it| said.contains(&it));
            let whole = said[..3].iter().all(|it| on.has(*it));
            if !exact || !whole {
                unsaid.push((
                    Area::Retry,
                    format!("tries follow `{}` alone", retries::words(on)),
                ));
            }
            for extra in retries::extras(policy) {
                unsaid.push((Area::Retry, extra));
            }
            if !policy.request_headers.is_empty() {
                unsaid.push((Area::Retry, "only some requests are tried again".to_owned()));
            }
            if policy.avoid_previous.is_some() {
                unsaid.push((
                    Area::Retry,
                    "endpoints that were tried are avoided".to_owned(),
                ));
            }
        }
        if let Some(session) = &forward.session {
            let written = match &session.carrier {
                SessionCarrier::Header(name) => Map::new()
                    .with("sessionName", &**name)
                    .with("type", "Header"),
                SessionCarrier::Cookie { name, ttl, .. } => {
                    let written = Map::new()
                        .with("sessionName", &**name)
                        .with("type", "Cookie");
                    match ttl {
                        Some(ttl) => written
                            .with("absoluteTimeout", whole(*ttl))
                            .with("cookieConfig", Map::new().with("lifetimeType", "Permanent")),
                        None => written,
                    }
                }
            };
            rule.set("sessionPersistence", written);
        }
        rule
    }

    /// What no reader of these routes has a word for.
    fn extras(&self, of: &Rule<'a>, unsaid: &mut Unsaid) {
        let route = of.route;
        let mut add = |is: bool, area: Area, what: &str| {
            if is {
                unsaid.push((area, what.to_owned()));
            }
        };
        add(route.fault.is_some(), Area::Fault, "failures are injected");
        add(
            route.rate_limit.is_some(),
            Area::Limit,
            "requests are limited by a token bucket",
        );
        add(
            !route.gates.is_empty(),
            Area::Limit,
            "requests pass limits or a breaker",
        );
        let RouteAction::Forward(forward) = &route.action else {
            return;
        };
        let (is_linkerd, is_kuma) = (self.reader == Reader::Linkerd, self.reader == Reader::Kuma);
        add(
            !forward.hash.is_empty() && !is_kuma,
            Area::Session,
            "requests are hashed to endpoints",
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
        add(
            forward.idle_timeout.is_some() && !is_linkerd && !is_kuma,
            Area::Timeout,
            "streams on which nothing happens are ended",
        );
        add(
            forward.max_stream_duration.is_some() && !is_linkerd && !is_kuma,
            Area::Timeout,
            "streams live for a time",
        );
        add(
            forward.session.is_some() && (is_linkerd || is_kuma),
            Area::Session,
            "clients stay with an endpoint",
        );
    }

    fn lose(
        &self,
        area: Area,
        rule: OriginId,
        what: impl Into<String>,
        why: &str,
        nearest: &str,
        out: &mut Written,
    ) {
        out.lose(Loss::new(self.reach, area, rule, what, why).nearest(nearest));
    }
}
