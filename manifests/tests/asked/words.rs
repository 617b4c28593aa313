//! Routes, and what they do, in words.

use std::fmt::{Display, Write as _};

use proxy_core::config::{
    Fault, Forward, Gate, GateKind, HashSource, HeaderMatch, PathMatch, PathRewrite, RateLimit,
    RetryPolicy, Route, Section, SessionCarrier, Share, TextMatch,
};
use proxy_core::retry::backoff::Backoff;

use super::World;

/// `90 % `, or nothing where it is everything.
pub(super) fn share_of(weight: u32, all: u32) -> String {
    match (weight, all) {
        (weight, all) if weight == all => String::new(),
        (_, 0) => "0 % ".to_owned(),
        (weight, all) => {
            let text = format!("{:.2}", f64::from(weight) * 100.0 / f64::from(all));
            let text = text.trim_end_matches('0').trim_end_matches('.');
            format!("{text} % ")
        }
    }
}

pub(super) fn percent(share: Share) -> String {
    format!("{} %", f64::from(share.as_ppm()) / 10_000.0)
}

fn text(value: &TextMatch) -> String {
    match value {
        TextMatch::Exact(text) => format!("= {text:?}"),
        TextMatch::Prefix(text) => format!("begins with {text:?}"),
        TextMatch::Suffix(text) => format!("ends with {text:?}"),
        TextMatch::Contains(text) => format!("contains {text:?}"),
        TextMatch::Regex(regex) => format!("~ {regex}"),
        TextMatch::Range(from, below) => format!("from {from} to below {below}"),
        TextMatch::Address(blocks) => format!("in {blocks:?}"),
        TextMatch::Present => "is there".to_owned(),
    }
}

fn header(condition: &HeaderMatch) -> String {
    let not = if condition.invert { "not " } else { "" };
    format!("{not}{} {}", condition.name, text(&condition.value))
}

/// Name and conditions of a route.
pub(super) fn route(route: &Route) -> String {
    let matches = &route.matches;
    let path = match &matches.path {
        PathMatch::Exact(path) => format!("{path} alone"),
        PathMatch::Prefix(path) => format!("{path}…"),
        PathMatch::Segments(path) => format!("{path}/ and below"),
        PathMatch::Regex(regex) => format!("~ {regex}"),
        PathMatch::RegexStart(regex) => format!("~ {regex} at its start"),
        PathMatch::Connect => "CONNECT".to_owned(),
    };
    let mut out = format!("route {:?}: {path}", route.name);
    if matches.ignore_case {
        out.push_str(" in any case");
    }
    if !matches.methods.is_empty() {
        let _ = write!(out, ", {}", matches.methods.join("|"));
    }
    for condition in &matches.headers {
        let _ = write!(out, ", {}", header(condition));
    }
    for param in &matches.params {
        let not = if param.invert { "not " } else { "" };
        let _ = write!(out, ", {not}?{} {}", param.name, text(&param.value));
    }
    if matches.grpc {
        out.push_str(", gRPC");
    }
    if let Some(fraction) = matches.fraction {
        let _ = write!(out, ", {} of them", percent(fraction));
    }
    out
}

fn rewrite(to: &PathRewrite) -> String {
    match to {
        PathRewrite::Prefix(to) => format!("what matched becomes {to:?}"),
        PathRewrite::JoinedPrefix(to) => format!("what matched becomes {to:?}, joined by a slash"),
        PathRewrite::Full(to) => format!("the path becomes {to:?}"),
        PathRewrite::Regex(pattern, to) => format!("{pattern} becomes {to:?}"),
        PathRewrite::Sequence(all) => {
            let all: Vec<String> = all.iter().map(rewrite).collect();
            all.join(", then ")
        }
    }
}

fn backoff(pause: Backoff) -> String {
    match pause {
        Backoff::None => "no pause".to_owned(),
        Backoff::FullJitter(it) => format!("pauses by {it:?}"),
        Backoff::AddedJitter(it) => {
            format!(
                "pauses of {} to {} and up to {} times as much more",
                it.min, it.max, it.jitter
            )
        }
        Backoff::Around(it) => format!("pauses around {}, growing by {}", it.first, it.factor),
    }
}

fn statuses(all: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for status in all {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == *status => *to = *status,
            Some(_) | None => runs.push((*status, *status)),
        }
    }
    let runs = runs.iter().map(|(from, to)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    });
    runs.collect::<Vec<_>>().join(" ")
}

impl World {
    /// An injected failure.
    pub(super) fn fault(&self, fault: &Fault) -> String {
        let mut out = "fault:".to_owned();
        if let Some(delay) = &fault.delay {
            let fixed = delay
                .fixed
                .map_or_else(|| "as asked".to_owned(), |it| it.to_string());
            let _ = write!(out, " {} wait {fixed}", percent(delay.share));
        }
        if let Some(abort) = &fault.abort {
            let status = abort.status.or_else(|| abort.grpc.map(|it| it as u16));
            let _ = write!(
                out,
                " {} get {status:?} grpc {:?}",
                percent(abort.share),
                abort.grpc
            );
        }
        let _ = write!(out, " ({})", self.origin(fault.origin));
        out
    }

    /// A limit or breaker before the upstream.
    pub(super) fn gate(&self, gate: &Gate) -> String {
        let kind = match &gate.kind {
            GateKind::Rate {
                limit: RateLimit::Windows(windows),
                key,
            } => {
                let limits = windows.limits.iter();
                let limits = limits.map(|(period, most)| format!("{most} in a {period:?}"));
                let tells = if windows.tells { "" } else { ", untold" };
                let limits: Vec<String> = limits.collect();
                format!("{} by {key:?}{tells}", limits.join(" and "))
            }
            GateKind::Rate { .. } | GateKind::InFlight { .. } | GateKind::Breaker(_) => {
                format!("{:?}", gate.kind)
            }
        };
        format!(
            "passes {:?}, else {}: {kind} ({})",
            gate.name,
            gate.status,
            self.origin(gate.origin)
        )
    }

    /// How a request is sent on: where to, for how long, how often.
    pub(super) fn forward(&self, forward: &Forward, section: &Section) -> String {
        let mut out = String::new();
        let all: u32 = forward.clusters.iter().map(|leg| leg.weight).sum();
        for leg in &forward.clusters {
            let to = match leg.cluster {
                Some(at) => format!("[{}]", section.clusters()[at.0 as usize].name),
                None => format!("nobody: {}", forward.missing_status),
            };
            let share = share_of(leg.weight, all);
            self.line(
                &mut out,
                format!("{share}to {to} ({})", self.origin(leg.origin)),
            );
        }
        let timeout = forward.timeout;
        let value = timeout
            .value
            .map_or_else(|| "none".to_owned(), |it| it.to_string());
        self.line(
            &mut out,
            format!("timeout {value} ({})", self.origin(timeout.origin)),
        );
        let bounds = [
            ("silence", &forward.idle_timeout),
            ("the whole stream", &forward.max_stream_duration),
        ];
        for (what, bound) in bounds {
            if let Some(bound) = bound {
                self.line(&mut out, format!("{what} at most {}", self.sourced(bound)));
            }
        }
        if let Some(retry) = &forward.retry {
            self.retry(retry, &mut out);
        }
        if let Some(to) = &forward.rewrite {
            self.line(&mut out, rewrite(to));
        }
        for mirror in &forward.mirrors {
            let to = &section.clusters()[mirror.cluster.0 as usize].name;
            let share = percent(mirror.share.value);
            self.line(
                &mut out,
                format!(
                    "{share} copied to [{to}] ({})",
                    self.origin(mirror.share.origin)
                ),
            );
        }
        for policy in &forward.hash {
            let source = match &policy.source {
                HashSource::Header(name) => format!("header {name}"),
                HashSource::Cookie { name, ttl } => match ttl {
                    Some(ttl) => format!("cookie {name}, made for {ttl}"),
                    None => format!("cookie {name}"),
                },
                HashSource::SourceAddress => "the client's address".to_owned(),
                HashSource::Param(name) => format!("parameter {name}"),
                HashSource::Path => "the path".to_owned(),
            };
            let last = match policy.terminal {
                true => "; what follows counts only without it",
                false => "",
            };
            self.line(&mut out, format!("hashed by {source}{last}"));
        }
        if let Some(session) = &forward.session {
            let by = match &session.carrier {
                SessionCarrier::Cookie { name, .. } => format!("cookie {name}"),
                SessionCarrier::Header(name) => format!("header {name}"),
            };
            self.line(&mut out, format!("stays by {by}"));
        }
        if forward.priority != proxy_core::config::Priority::Default {
            self.line(&mut out, "priority high".to_owned());
        }
        for upgrade in forward.upgrades.iter().filter(|it| it.allowed) {
            self.line(&mut out, format!("may become {}", upgrade.kind));
        }
        out
    }

    fn retry(&self, retry: &RetryPolicy, out: &mut String) {
        let often = match retry.retries.value {
            u32::MAX => "as often as the budget allows".to_owned(),
            retries => format!("{retries} more"),
        };
        let on = if retry.statuses.is_empty() {
            retry.on.value.to_string()
        } else {
            format!("{}: {}", retry.on.value, statuses(&retry.statuses))
        };
        self.line(
            out,
            format!(
                "tried {often} ({}) on {on} ({})",
                self.origin(retry.retries.origin),
                self.origin(retry.on.origin)
            ),
        );
        let mut details = vec![format!(
            "{} ({})",
            backoff(retry.backoff.value),
            self.origin(retry.backoff.origin)
        )];
        let mut bound = |what: &str, bound: Option<String>| {
            details.extend(bound.map(|it| format!("{what} {it}")));
        };
        fn of<T: Display>(
            world: &World,
            value: Option<&proxy_core::origin::Sourced<T>>,
        ) -> Option<String> {
            value.map(|it| world.sourced(it))
        }
        bound("a try", of(self, retry.per_try_timeout.as_ref()));
        bound(
            "a try's silence",
            of(self, retry.per_try_idle_timeout.as_ref()),
        );
        bound("none after", of(self, retry.no_try_after.as_ref()));
        bound(
            "another endpoint, re-picked at most",
            of(self, retry.avoid_previous.as_ref()),
        );
        bound(
            "bodies to",
            retry.body_limit.map(|it| format!("{it} bytes")),
        );
        if !retry.headers.is_empty() {
            let all: Vec<String> = retry.headers.iter().map(header).collect();
            details.push(format!("answers with {}", all.join(" or ")));
        }
        if !retry.request_headers.is_empty() {
            let all: Vec<String> = retry.request_headers.iter().map(header).collect();
            details.push(format!("only where {}", all.join(" or ")));
        }
        if retry.spare_sent_non_idempotent {
            details.push("never a POST of which something was sent".to_owned());
        }
        if retry.last_try_unbounded && retry.per_try_timeout.is_some() {
            details.push("the last try without bound".to_owned());
        }
        self.line(out, format!("  {}", details.join("; ")));
    }

    fn line(&self, out: &mut String, text: String) {
        let _ = writeln!(out, "    {text}");
    }
}
