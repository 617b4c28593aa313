//! A router's middlewares as the routes that they split it into.
//!
//! A middleware that does one thing to some requests and another to the others (a redirect, a prefix that a path may have or not) makes two
//! routes of one, the narrower first.

use proxy_core::config::{
    Cors, DirectResponse, Gate, HeaderMatch, PathMatch, PathRedirect, PathRewrite, Redirect,
    RetryPolicy, RouteAction, RouteMatch, TextMatch,
};
use proxy_core::heads::HeaderOp;
use regex::Regex;

use super::conditions::condition;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::dialects::traefik::policy::{HeaderRules, Step, StepKind};
use crate::dialects::traefik::rules::Pattern;

/// A router is split into so many routes at most.
const MOST: usize = 64;
/// How `redirectScheme` takes a URL apart. Source: traefik `pkg/middlewares/redirect/redirect_scheme.go`.
const URL: &str = r"^(https?://)?(\[[\w:.]+\]|[\w._-]+)?(:\d+)?((?s:.*))$";

/// Which connections a list of routes is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Those in plaintext.
    Plain,
    /// Those in TLS.
    Tls,
}

impl Side {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }

    const fn own_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// What is done to some of a router's requests.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// Which: those of the router's rule of which this holds, too.
    pub(super) matches: RouteMatch,
    /// Edits toward the server.
    pub(super) request: Vec<HeaderOp>,
    /// Edits toward the client, those of the last middleware first.
    pub(super) response: Vec<HeaderOp>,
    /// The Host that the server sees.
    pub(super) host: Option<String>,
    /// Changes of the path.
    pub(super) rewrites: Vec<PathRewrite>,
    /// What is passed on the way.
    pub(super) gates: Vec<Gate>,
    /// Tries after the first.
    pub(super) retry: Option<Box<RetryPolicy>>,
    /// What pages of other origins may do.
    pub(super) cors: Option<Cors>,
    /// The answer, where the server is not asked.
    pub(super) answer: Option<RouteAction>,
}

/// The routes that a router's middlewares make of requests of which `base` holds; `key` names the state of its middlewares.
pub(super) fn branches(
    steps: &[Step],
    base: RouteMatch,
    side: Side,
    key: &str,
    cx: &mut Compile<'_>,
) -> Vec<Branch> {
    let mut open = vec![Branch {
        matches: base,
        request: Vec::new(),
        response: Vec::new(),
        host: None,
        rewrites: Vec::new(),
        gates: Vec::new(),
        retry: None,
        cors: None,
        answer: None,
    }];
    for (nth, step) in steps.iter().enumerate() {
        let mut next = Vec::new();
        for branch in open {
            if branch.answer.is_some() {
                next.push(branch);
            } else {
                next.extend(branch.through(step, nth, side, key, cx));
            }
        }
        if next.len() > MOST {
            report(
                step,
                "so many prefixes and redirects in a row are not modelled",
                "those after the first are left out",
                cx,
            );
            next.truncate(MOST);
        }
        open = next;
    }
    open
}

fn report(step: &Step, message: &str, meaning: &str, cx: &mut Compile<'_>) {
    let mut note = Diagnostic::not_modelled("traefik::order", message, meaning);
    if let Some(span) = cx.origins.span(step.origin) {
        note = note.label(span, "");
    }
    cx.diagnostics.push(note);
}

impl Branch {
    fn through(
        mut self,
        step: &Step,
        nth: usize,
        side: Side,
        key: &str,
        cx: &mut Compile<'_>,
    ) -> Vec<Self> {
        match &step.kind {
            StepKind::AddPrefix(prefix) => {
                self.rewrites.push(regex("^", &literal(prefix)));
            }
            StepKind::StripPrefix(prefixes) => return self.strip(prefixes),
            StepKind::StripPattern(patterns) => {
                let all: Vec<String> = patterns
                    .iter()
                    .map(|it| format!("(?:{})", it.regex()))
                    .collect();
                if !all.is_empty() {
                    self.rewrites
                        .push(regex(&format!("^(?:{})", all.join("|")), ""));
                }
            }
            StepKind::ReplacePath(path) => {
                self.rewrites.push(PathRewrite::Full(path.as_str().into()))
            }
            StepKind::ReplacePattern(pattern, to) => {
                let pattern = Box::new(pattern.regex());
                self.rewrites
                    .push(PathRewrite::Regex(pattern, to.as_str().into()));
            }
            StepKind::RedirectScheme {
                scheme,
                port,
                permanent,
            } => return self.sent_to_scheme(scheme, *port, *permanent, side),
            StepKind::RedirectPattern {
                pattern,
                to,
                permanent,
            } => {
                if !self.rewrites.is_empty() {
                    let meaning = "it looks at the path as the client sent it";
                    report(
                        step,
                        "a redirect after a change of the path is not modelled",
                        meaning,
                        cx,
                    );
                }
                return self.by_pattern(pattern, to, *permanent, side);
            }
            StepKind::Headers(rules) => return self.headers(rules, side),
            StepKind::Allow(blocks, status) => {
                let outside = TextMatch::Address(blocks.as_slice().into());
                let refused = self.clone().answered(
                    condition(":client", outside, true),
                    direct(*status, reason(*status)),
                );
                return vec![refused, self];
            }
            StepKind::Gate(kind, status) => {
                if self.retry.is_some() {
                    let meaning =
                        "a request passes it once, where in Traefik each of its tries would";
                    report(
                        step,
                        "what comes after a retry is not asked at each try",
                        meaning,
                        cx,
                    );
                }
                self.gates.push(Gate {
                    name: format!("{key} {nth} {}", step.name).into(),
                    kind: kind.clone(),
                    status: *status,
                    exempt: Vec::new(),
                    origin: step.origin,
                });
            }
            StepKind::Retry(policy) => {
                if self.retry.is_some() {
                    let meaning = "the first alone is there: tries are not multiplied";
                    report(step, "a retry within a retry is not modelled", meaning, cx);
                } else {
                    self.retry = Some(policy.clone());
                }
            }
        }
        vec![self]
    }

    /// One branch for each prefix that the path may have, and one for paths that have none.
    fn strip(mut self, prefixes: &[String]) -> Vec<Self> {
        if !self.rewrites.is_empty() {
            // of a path that is not the client's any more a condition cannot ask
            let all: Vec<String> = prefixes.iter().map(|it| regex::escape(it)).collect();
            self.rewrites
                .push(regex(&format!("^(?:{})", all.join("|")), ""));
            return vec![self];
        }
        let mut all = Vec::new();
        for prefix in prefixes.iter().filter(|prefix| !prefix.is_empty()) {
            let mut stripped = self.clone();
            let has = stripped.matches.path.clone();
            let is_sure = matches!(&has, PathMatch::Prefix(own) | PathMatch::Exact(own)
                if own.starts_with(prefix.as_str()));
            if !is_sure {
                let value = TextMatch::Prefix(prefix.as_str().into());
                stripped
                    .matches
                    .headers
                    .push(condition(":pathname", value, false));
            }
            let pattern = format!("^{}", regex::escape(prefix));
            stripped.rewrites.push(regex(&pattern, ""));
            let told = HeaderOp::Append("x-forwarded-prefix".into(), prefix.as_str().into());
            stripped.request.push(told);
            all.push(stripped);
            if is_sure {
                return all;
            }
        }
        all.push(self);
        all
    }

    fn sent_to_scheme(
        self,
        scheme: &str,
        port: Option<u16>,
        permanent: bool,
        side: Side,
    ) -> Vec<Self> {
        let to = match port {
            None => format!(r"{scheme}://\2\4"),
            Some(port) => format!(r"{scheme}://\2:{port}\4"),
        };
        let redirect = |branch: Self| branch.redirected(URL, &to, permanent);
        if scheme != side.scheme() {
            return redirect(self);
        }
        // a request that has the scheme is sent on, unless it is for another port
        let mut other = self.clone();
        match port {
            None => {
                let own = format!("(?s:.*):{}", side.own_port());
                other.matches.headers.push(condition(
                    ":authority",
                    pattern("(?s:.*):[0-9]+"),
                    false,
                ));
                other
                    .matches
                    .headers
                    .push(condition(":authority", pattern(&own), true));
            }
            Some(port) => {
                let there = pattern(&format!("(?s:.*):{port}"));
                other
                    .matches
                    .headers
                    .push(condition(":authority", there, true));
            }
        }
        let mut all = redirect(other);
        all.push(self);
        all
    }

    fn by_pattern(self, asked: &Pattern, to: &str, permanent: bool, side: Side) -> Vec<Self> {
        let name = match side {
            Side::Plain => ":http",
            Side::Tls => ":https",
        };
        let with = |value| {
            let mut branch = self.clone();
            branch.matches.headers.push(condition(name, value, false));
            branch
        };
        let mut all = Vec::new();
        if let Some(start) = arrived(asked, to) {
            all.push(with(pattern(&format!("{}(?s:.*)", regex::escape(&start)))));
        }
        let redirected = with(asked.condition());
        all.extend(redirected.redirected(asked.regex().as_str(), to, permanent));
        all.push(self);
        all
    }

    /// GET is redirected with another status than all other methods.
    fn redirected(self, pattern: &str, to: &str, permanent: bool) -> Vec<Self> {
        let (get, others) = if permanent { (301, 308) } else { (302, 307) };
        let action = |status| {
            let pattern = Regex::new(pattern).expect("it was compiled before");
            RouteAction::Redirect(Box::new(Redirect {
                status,
                scheme: None,
                host: None,
                port: None,
                path: Some(PathRedirect::Url(Box::new(pattern), to.into())),
                strip_query: false,
                omits_own_port: false,
            }))
        };
        let takes = |method: &str| {
            let methods = &self.matches.methods;
            methods.is_empty() || methods.iter().any(|it| **it == *method)
        };
        let mut all = Vec::new();
        if takes("GET") {
            let mut branch = self.clone();
            branch.matches.methods = vec!["GET".into()];
            branch.answer = Some(action(get));
            all.push(branch);
        }
        if self.matches.methods.len() != 1 || !takes("GET") {
            let mut branch = self;
            branch.answer = Some(action(others));
            all.push(branch);
        }
        all
    }

    fn headers(mut self, rules: &HeaderRules, side: Side) -> Vec<Self> {
        let refused = (!rules.allowed_hosts.is_empty()).then(|| {
            let hosts: Vec<String> = rules
                .allowed_hosts
                .iter()
                .map(|it| regex::escape(it))
                .collect();
            let hosts = pattern(&format!("(?i:{})", hosts.join("|")));
            let other = condition(":authority", hosts, true);
            self.clone().answered(other, direct(500, "Bad Host"))
        });
        self.request.extend(rules.request.iter().cloned());
        if let Some(host) = &rules.host {
            self.host = Some(host.clone());
        }
        let over_tls = (side == Side::Tls).then(|| rules.response_over_tls.iter());
        let mut response: Vec<HeaderOp> = over_tls.into_iter().flatten().cloned().collect();
        response.extend(rules.response.iter().cloned());
        // the answer passes the last middleware first
        response.append(&mut self.response);
        self.response = response;
        if self.cors.is_none() {
            self.cors.clone_from(&rules.cors);
        }
        refused.into_iter().chain([self]).collect()
    }

    fn answered(mut self, when: HeaderMatch, answer: RouteAction) -> Self {
        self.matches.headers.push(when);
        self.answer = Some(answer);
        self
    }
}

fn regex(pattern: &str, to: &str) -> PathRewrite {
    let compiled = Regex::new(pattern).expect("it is made of parts that were compiled, or escaped");
    PathRewrite::Regex(Box::new(compiled), to.into())
}

/// What URLs begin with that a redirect would send to themselves: they pass. It can be told where the replacement ends with the group that takes
/// all the rest: of `^https?://(?:www\.)?(.+)` and `https://www.${1}` those with `https://www.`.
///
/// Source: traefik `pkg/middlewares/redirect/redirect.go`.
/// Departs: where it cannot be told so, they are sent to themselves.
fn arrived(asked: &Pattern, to: &str) -> Option<String> {
    const RESTS: [&str; 3] = ["a", "a.example/b?c=d", "www.a.example/"];
    let (start, group) = to.split_once('\\')?;
    let group: usize = group.parse().ok()?;
    let regex = asked.regex();
    let stays = |rest: &&str| {
        let url = format!("{start}{rest}");
        let found = regex.captures(&url);
        found.is_some_and(|found| {
            let whole = found.get(0).is_some_and(|it| it.as_str() == url);
            whole && found.get(group).is_some_and(|it| it.as_str() == *rest)
        })
    };
    RESTS.iter().all(stays).then(|| start.to_owned())
}

fn pattern(pattern: &str) -> TextMatch {
    TextMatch::regex(pattern).expect("a small pattern of escaped parts")
}

/// Text that stands for itself where `\1` is a group.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\")
}

fn direct(status: u16, body: &str) -> RouteAction {
    RouteAction::Direct(DirectResponse {
        status,
        body: body.into(),
    })
}

/// What Traefik writes under a status of its own.
fn reason(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "",
    }
}
