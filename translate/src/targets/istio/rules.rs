//! Rules of a VirtualService's `http`.

use compare::Area;
use proxy_core::config::{
    Cors, CorsList, Fault, Forward, HostRewrite, PathMatch, PathRedirect, PathRewrite, Redirect,
    RetryPolicy, RouteAction, Share, TextMatch,
};
use proxy_core::retry::backoff::{Backoff, FullJitter};
use proxy_core::retry::conditions::{Condition, RetryOn};

use super::calls::Calls;
use super::{TARGET, matches};
use crate::intent::{Destination, Rule, Source};
use crate::loss::{Loss, Reach};
use crate::object::Written;
use crate::targets::common::backends::backend;
use crate::targets::common::duration::whole;
use crate::targets::common::edits::{Edits, Order};
use crate::targets::common::groups::{Group, groups, is_any};
use crate::targets::common::matching::pattern;
use crate::targets::common::retries;
use crate::yaml::Map;

/// Words of `retryOn` that Istio takes.
const WORDS: [Condition; 15] = [
    Condition::ServerError,
    Condition::GatewayError,
    Condition::Reset,
    Condition::ResetBeforeRequest,
    Condition::ConnectFailure,
    Condition::EnvoyRateLimited,
    Condition::Retriable4xx,
    Condition::RefusedStream,
    Condition::RetriableHeaders,
    Condition::Http3PostConnectFailure,
    Condition::Cancelled,
    Condition::DeadlineExceeded,
    Condition::ResourceExhausted,
    Condition::Internal,
    Condition::Unavailable,
];
/// Picks before an endpoint that was tried is taken all the same.
const PICKS: u32 = 5;

/// Something that cannot be said, in words, with what was written in its place.
type Unsaid = Vec<(Area, String, String)>;

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
            RouteAction::Redirect(to) => map.set("redirect", redirect(to, unsaid)),
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
            map = map.map("fault", self::fault(fault, unsaid));
        }
        if let Some(cors) = &route.cors {
            map.set("corsPolicy", self::cors(cors));
            unsaid.push((
                Area::Cors,
                "pages of other origins may read answers".to_owned(),
                "written as `corsPolicy`, which was not compared".to_owned(),
            ));
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
        let rewrite = rewrite(forward, &rule.route.matches.path, below, unsaid);
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
        if let Some(retries) = self::retries(forward, hashed, unsaid) {
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
        let set = |it: Option<proxy_core::origin::Sourced<proxy_core::time::Duration>>| {
            it.is_some_and(|it| !it.value.is_zero())
        };
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
            if !mirror.shadow_host {
                unsaid.push((
                    Area::Mirror,
                    "copies keep their host".to_owned(),
                    "copies have `-shadow` behind their host".to_owned(),
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

fn percent(share: Share) -> Map {
    Map::new().with("value", share.as_fraction() * 100.0)
}

fn headers(
    request: &[proxy_core::heads::HeaderOp],
    response: &[proxy_core::heads::HeaderOp],
    unsaid: &mut Unsaid,
) -> Map {
    let mut of = |edits: &[proxy_core::heads::HeaderOp], whose: &str| {
        let sorted = Edits::of(edits, Order::RemoveFirst);
        for what in &sorted.unsaid {
            unsaid.push((Area::Headers, format!("in {whose}, {what}"), String::new()));
        }
        sorted.as_maps()
    };
    let (request, response) = (of(request, "requests"), of(response, "answers"));
    Map::new().map("request", request).map("response", response)
}

fn redirect(to: &Redirect, unsaid: &mut Unsaid) -> Map {
    let mut lose = |what: &str| unsaid.push((Area::Redirect, what.to_owned(), String::new()));
    if to.strip_query {
        lose("the query is dropped");
    }
    let path = match &to.path {
        None => None,
        Some(PathRedirect::Full(path)) => Some(&**path),
        Some(PathRedirect::Prefix(_) | PathRedirect::JoinedPrefix(_)) => {
            lose("what matched of the path is replaced, and the rest kept");
            None
        }
        Some(PathRedirect::Regex(..) | PathRedirect::Url(..)) => {
            lose("the place is made from the old one by a pattern");
            None
        }
    };
    Map::new()
        .maybe("scheme", to.scheme.as_deref())
        .maybe("authority", to.host.as_deref())
        .maybe("port", to.port)
        .maybe("uri", path)
        .maybe("redirectCode", (to.status != 301).then_some(to.status))
}

/// What becomes of path and authority. What is put in the place of a match is put there byte by byte, so that below a path by segments it ends
/// with a slash, too.
fn rewrite(forward: &Forward, matched: &PathMatch, below: bool, unsaid: &mut Unsaid) -> Map {
    let mut map = Map::new();
    let mut lose = |what: String| unsaid.push((Area::Rewrite, what, String::new()));
    match &forward.rewrite {
        None => {}
        Some(PathRewrite::Full(to)) => {
            let regex = Map::new()
                .with("match", "^.*$")
                .with("rewrite", to.replace('\\', "\\\\"));
            map.set("uriRegexRewrite", regex);
        }
        Some(PathRewrite::Prefix(to)) if below => map.set("uri", format!("{to}/")),
        Some(PathRewrite::Prefix(to)) => map.set("uri", &**to),
        Some(PathRewrite::JoinedPrefix(to)) => match matched {
            PathMatch::Segments(_) if is_any(matched) => {
                map.set("uri", format!("{}/", to.trim_end_matches('/')));
            }
            PathMatch::Segments(_) if below => {
                map.set("uri", format!("{}/", to.trim_end_matches('/')));
            }
            PathMatch::Segments(_) | PathMatch::Exact(_) => map.set("uri", &**to),
            PathMatch::Prefix(own) if own.ends_with('/') == to.ends_with('/') => {
                map.set("uri", &**to);
            }
            PathMatch::Prefix(own) => {
                lose(format!(
                    "`{own}` becomes `{to}`, with one slash before the rest"
                ));
                map.set("uri", &**to);
            }
            PathMatch::Regex(_) | PathMatch::RegexStart(_) | PathMatch::Connect => {
                lose(format!("what a pattern has matched becomes `{to}`"));
            }
        },
        Some(PathRewrite::Regex(regex, to)) => {
            let regex = Map::new()
                .with("match", regex.as_str())
                .with("rewrite", &**to);
            map.set("uriRegexRewrite", regex);
        }
        Some(PathRewrite::Sequence(_)) => lose("the path changes several times".to_owned()),
    }
    match &forward.host {
        None => {}
        Some(HostRewrite::Literal(host)) => map.set("authority", &**host),
        Some(HostRewrite::Endpoint) => lose("the host becomes that of the endpoint".to_owned()),
        Some(HostRewrite::Header(name)) => {
            lose(format!("the host becomes the value of `{name}`"));
        }
    }
    map
}

/// `retries`, where they differ from the release's.
fn retries(forward: &Forward, hashed: bool, unsaid: &mut Unsaid) -> Option<Map> {
    let Some(policy) = retries::effective(forward) else {
        return Some(Map::new().with("attempts", 0_u32));
    };
    let (words, statuses) = conditions(policy, unsaid);
    let default = RetryOn::NONE
        .with(Condition::ConnectFailure)
        .with(Condition::RefusedStream)
        .with(Condition::Unavailable)
        .with(Condition::Cancelled);
    let is_default = words == default && statuses.is_empty();
    let mut map = Map::new().with("attempts", policy.retries.value);
    if let Some(bound) = retries::per_try(forward) {
        map.set("perTryTimeout", whole(bound));
    }
    if !is_default {
        let mut list: Vec<String> = words.iter().map(|it| it.name().to_owned()).collect();
        list.extend(statuses.iter().map(ToString::to_string));
        if list.is_empty() {
            return Some(Map::new().with("attempts", 0_u32));
        }
        map.set("retryOn", list.join(","));
    }
    if policy.previous_priorities.is_some() {
        map.set("retryRemoteLocalities", true);
    }
    let avoids = policy.avoid_previous.is_some();
    if avoids == hashed {
        map.set("retryIgnorePreviousHosts", avoids);
    }
    if policy.avoid_previous.is_some_and(|it| it.value != PICKS) {
        unsaid.push((
            Area::Retry,
            "so many picks are made before an endpoint that was tried is taken again".to_owned(),
            format!("{PICKS} picks"),
        ));
    }
    match retries::pauses(policy.backoff.value) {
        Ok(None) => {}
        Ok(Some((first, most))) => {
            map.set("backoff", whole(first));
            let stock = Backoff::FullJitter(FullJitter::new(first, None));
            if policy.backoff.value != stock {
                unsaid.push((
                    Area::Retry,
                    format!("pauses grow up to {}", whole(most)),
                    "pauses grow up to ten times the first".to_owned(),
                ));
            }
        }
        Err(what) => unsaid.push((
            Area::Retry,
            what.to_owned(),
            "pauses of 25 ms and more, at random".to_owned(),
        )),
    }
    for extra in retries::extras(policy) {
        unsaid.push((Area::Retry, extra, String::new()));
    }
    if !policy.request_headers.is_empty() {
        unsaid.push((
            Area::Retry,
            "only some requests are tried again".to_owned(),
            "all are".to_owned(),
        ));
    }
    if policy.last_try_unbounded && retries::per_try(forward).is_some() {
        unsaid.push((
            Area::Retry,
            "the last try may take as long as it needs".to_owned(),
            "it is bound as the others are".to_owned(),
        ));
    }
    if let Some(most) = policy.body_limit {
        unsaid.push((
            Area::Retry,
            format!("bodies of more than {most} bytes are not tried again"),
            "those that fit Envoy's buffer are".to_owned(),
        ));
    }
    let is_bare = map.iter().count() == 1 && policy.retries.value == 2;
    (!is_bare).then_some(map)
}

/// Words and statuses that Istio takes; a whole class of statuses is a word.
fn conditions(policy: &RetryPolicy, unsaid: &mut Unsaid) -> (RetryOn, Vec<u16>) {
    let on = policy.on.value;
    let mut words: RetryOn = on.iter().filter(|it| WORDS.contains(it)).collect();
    let mut statuses: Vec<u16> = match on.has(Condition::RetriableStatusCodes) {
        true => policy.statuses.clone(),
        false => Vec::new(),
    };
    if (500..600).all(|status| statuses.contains(&status)) {
        statuses.retain(|status| *status < 500);
        words = words.with(Condition::ServerError);
        unsaid.push((
            Area::Retry,
            "every status from 500 to 599 is tried again, and no failure without one".to_owned(),
            "`5xx`, which stands for failures without an answer, too".to_owned(),
        ));
    }
    if on.has(Condition::PerTryTimeout) && !words.has(Condition::ServerError) {
        unsaid.push((
            Area::Retry,
            "a try that takes too long is tried again".to_owned(),
            "`gateway-error`, which stands for it and for 502, 503 and 504".to_owned(),
        ));
        words = words.with(Condition::GatewayError);
    }
    (words, statuses)
}

fn fault(fault: &Fault, unsaid: &mut Unsaid) -> Map {
    let mut lose = |what: &str| unsaid.push((Area::Fault, what.to_owned(), String::new()));
    if !fault.headers.is_empty() {
        lose("failures are injected into some requests alone");
    }
    if fault.max_active.is_some() {
        lose("so many requests at most are under a failure");
    }
    let mut map = Map::new();
    if let Some(delay) = &fault.delay {
        match delay.fixed {
            Some(fixed) => map.set(
                "delay",
                Map::new()
                    .with("fixedDelay", whole(fixed))
                    .with("percentage", percent(delay.share)),
            ),
            None => lose("delays are as a header asks"),
        }
    }
    if let Some(abort) = &fault.abort {
        match (abort.status, abort.grpc) {
            (Some(status), None) => map.set(
                "abort",
                Map::new()
                    .with("httpStatus", status)
                    .with("percentage", percent(abort.share)),
            ),
            (_, Some(_)) => lose("calls are ended with a gRPC status"),
            (None, None) => lose("answers are as a header asks"),
        }
    }
    map
}

fn cors(cors: &Cors) -> Map {
    let origin = |text: &TextMatch| match text {
        TextMatch::Exact(text) => Map::new().with("exact", &**text),
        TextMatch::Prefix(text) => Map::new().with("prefix", &**text),
        TextMatch::Regex(regex) => Map::new().with("regex", pattern(regex)),
        TextMatch::Present
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_) => Map::new().with("regex", ".*"),
    };
    let list = |list: &Option<CorsList>| -> Vec<String> {
        match list {
            None => Vec::new(),
            Some(CorsList::Asked) => vec!["*".to_owned()],
            Some(CorsList::Text(text)) => text.split(',').map(|it| it.trim().to_owned()).collect(),
        }
    };
    let expose = cors.expose.as_deref();
    let expose = expose.map(|text| text.split(',').map(|it| it.trim().to_owned()).collect());
    Map::new()
        .list("allowOrigins", cors.origins.iter().map(origin).collect())
        .list("allowMethods", list(&cors.methods))
        .list("allowHeaders", list(&cors.headers))
        .list("exposeHeaders", expose.unwrap_or_default())
        .maybe("maxAge", cors.max_age.as_ref().map(|age| format!("{age}s")))
        .maybe("allowCredentials", cors.credentials.then_some(true))
}
