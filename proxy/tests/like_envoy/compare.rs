//! Two outcomes of one request, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::bootstrap::find;
use crate::case::{Case, Order};
use crate::exceptions;
use crate::outcome::{Client, Headers, Logged, Outcome, Try};
use crate::upstream::TAG;

/// One thing that is not the same.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Number of the request.
    pub(crate) ask: usize,
    /// Where it shows, such as `try 1 header x-a`.
    pub(crate) at: String,
    pub(crate) envoy: String,
    pub(crate) ours: String,
}

impl Difference {
    /// What is alike in differences of one cause: where they show, numbers aside.
    pub(crate) fn kind(&self) -> String {
        let digits = |c: char| c.is_ascii_digit();
        let words = self.at.split(' ').filter(|word| !word.starts_with(digits));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// What differs in a case, known exceptions aside.
pub(crate) fn case(case: &Case, envoy: &[Outcome], ours: &[Outcome]) -> Vec<Difference> {
    if case.draws {
        return crate::compare::draws(case, envoy, ours, unlikely);
    }
    if case.counted {
        // whose turn it is when some leave the rotation is drawn: it gives one endpoint more, another less
        return crate::compare::draws(case, envoy, ours, |one, other| one.abs_diff(other) > 1);
    }
    let mut starts = [BTreeMap::new(), BTreeMap::new()];
    let mut all = Vec::new();
    for (ask, (envoy, ours)) in envoy.iter().zip(ours).enumerate() {
        if case.asks[ask].aside {
            continue;
        }
        let [first, second] = &mut starts;
        let sides = [facts(case, envoy, first), facts(case, ours, second)];
        let found = differences(ask, sides);
        if found.iter().any(|it| it.at == "tries") {
            // it is told or known; whose turn it is after another number of tries is no news
            starts.iter_mut().for_each(BTreeMap::clear);
        }
        let left = found
            .into_iter()
            .filter(|it| !exceptions::holds(case, it, ours));
        all.extend(left);
    }
    all
}

/// What is compared of an outcome, by name.
type Facts = BTreeMap<String, String>;

fn differences(ask: usize, [envoy, ours]: [Facts; 2]) -> Vec<Difference> {
    let names: BTreeSet<&String> = envoy.keys().chain(ours.keys()).collect();
    let none = || exceptions::NONE.to_owned();
    let mut found = Vec::new();
    for name in names {
        let values = (envoy.get(name), ours.get(name));
        if values.0 != values.1 {
            found.push(Difference {
                ask,
                at: name.clone(),
                envoy: values.0.cloned().unwrap_or_else(none),
                ours: values.1.cloned().unwrap_or_else(none),
            });
        }
    }
    found
}

/// Where the rotation of each cluster began.
type Starts = BTreeMap<&'static str, usize>;

fn facts(case: &Case, outcome: &Outcome, starts: &mut Starts) -> Facts {
    let mut facts = Facts::new();
    match &outcome.client {
        Client::Nothing(why) => {
            facts.insert("client".to_owned(), format!("no response: {why}"));
        }
        Client::Answered(answer) => {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            facts.insert("client status".to_owned(), answer.status.to_string());
            facts.insert("client body".to_owned(), body);
            if !answer.whole {
                facts.insert("client end".to_owned(), "broken off".to_owned());
            }
            let length = answer.body.len();
            put_headers("client", &told(&answer.headers, length), &mut facts);
            put_headers("client trailer", &answer.trailers, &mut facts);
        }
    }
    put_logged(outcome.logged.as_ref(), &mut facts);
    let is_copy = |one: &&Try| find(case, one.at).is_some_and(|(backend, _)| backend.copies);
    let count = outcome.tries.iter().filter(|it| !is_copy(it)).count();
    facts.insert("tries".to_owned(), count.to_string());
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    let mut number = 0;
    for one in &outcome.tries {
        let Some((backend, host)) = find(case, one.at) else {
            let name = format!("try {number} cluster");
            facts.insert(name, format!("none: {}", one.at));
            continue;
        };
        let name = if backend.copies {
            let nth = copies.entry(backend.name).or_default();
            *nth += 1;
            format!("copy {nth} to {}", backend.name)
        } else {
            number += 1;
            format!("try {number}")
        };
        facts.insert(format!("{name} cluster"), backend.name.to_owned());
        let size = backend.hosts.len();
        let endpoint = match backend.order {
            Order::Fixed => Some(host),
            Order::Rotation => {
                let start = *starts.entry(backend.name).or_insert(host);
                Some((host + size - start) % size)
            }
            // where it was drawn, which of the earlier ones it is
            Order::Drawn if case.draws => {
                let earlier = outcome.tries.iter().take(number - 1);
                let mut seen: Vec<_> = earlier.map(|earlier| earlier.at).collect();
                seen.dedup();
                seen.iter().position(|at| *at == one.at)
            }
            Order::Drawn => None,
        };
        let endpoint = endpoint.map_or_else(String::new, |number| number.to_string());
        facts.insert(format!("{name} endpoint"), endpoint);
        put_try(&name, one, &mut facts);
    }
    facts
}

fn put_logged(logged: Option<&Logged>, facts: &mut Facts) {
    let Some(logged) = logged else {
        return;
    };
    let mut put = |what: &str, value: &str| facts.insert(format!("log {what}"), value.to_owned());
    // which of them came first says nothing more
    let mut flags: Vec<&str> = logged.flags.split(',').collect();
    flags.sort_unstable();
    put("flags", &flags.join(","));
    put("details", &logged.details);
    put("tries", &logged.tries);
    put("cluster", &logged.cluster);
    put("bytes received", &logged.bytes[0]);
    put("bytes sent", &logged.bytes[1]);
}

fn put_try(name: &str, one: &Try, facts: &mut Facts) {
    let mut put = |what: &str, value: String| facts.insert(format!("{name} {what}"), value);
    put("http2", one.http2.to_string());
    put("method", one.method.clone());
    put("target", one.target.clone());
    put(
        "authority",
        one.authority.clone().unwrap_or_else(|| "(none)".to_owned()),
    );
    let body = one
        .body
        .map_or_else(|| "not whole".to_owned(), |n| format!("{n} bytes"));
    put("body", body);
    let mut headers = told(&one.headers, one.body.unwrap_or(0));
    if name.starts_with("try ") && name != "try 1" {
        headers.entry(EXPECTED.to_owned()).and_modify(Vec::clear);
    }
    put_headers(name, &headers, facts);
}

/// Of retries it is what is left of the route's time with Envoy, with ours the whole.
const EXPECTED: &str = "x-envoy-expected-rq-timeout-ms";

/// Headers without a length that only tells what came.
///
/// Source: RFC 9112 §6: a body may be framed with its length or in chunks, and one that is not there may have a length or none.
fn told(headers: &Headers, length: usize) -> Headers {
    let mut headers = headers.clone();
    let told = headers.get("content-length").and_then(|all| all.first());
    if told.and_then(|told| told.parse().ok()) == Some(length) {
        headers.remove("content-length");
    }
    headers
}

fn put_headers(name: &str, headers: &Headers, facts: &mut Facts) {
    for (header, values) in headers {
        if header == TAG {
            continue;
        }
        if let Some(value) = exceptions::value(header, values) {
            facts.insert(format!("{name} header {header}"), value);
        }
    }
}

/// How likely it may be that equal chances are taken for different ones, in one comparison.
const FALSE_ALARM: f64 = 1e-7;

/// Compares how often each outcome came; `far`: whether two numbers are too far apart.
fn draws(
    case: &Case,
    envoy: &[Outcome],
    ours: &[Outcome],
    far: impl Fn(u64, u64) -> bool,
) -> Vec<Difference> {
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for (side, outcomes) in [envoy, ours].into_iter().enumerate() {
        for (outcome, _) in outcomes
            .iter()
            .zip(&case.asks)
            .filter(|(_, ask)| !ask.aside)
        {
            let mut shown = String::new();
            for (name, value) in facts(case, outcome, &mut Starts::new()) {
                let _ = write!(shown, "{name}: {value}; ");
            }
            counts.entry(shown).or_default()[side] += 1;
        }
    }
    let total = envoy.len();
    counts
        .into_iter()
        .filter(|(_, [envoy, ours])| far(*envoy, *ours))
        .map(|(shown, [envoy, ours])| Difference {
            ask: 0,
            at: "how often".to_owned(),
            envoy: format!("{envoy} of {total}: {shown}"),
            ours: format!("{ours} of {total}"),
        })
        .collect()
}

/// Whether two counts out of equally many draws are too far apart for one chance: given their sum, each of the draws that it is
/// made of is on either side with even odds.
fn unlikely(one: u64, other: u64) -> bool {
    let (n, least) = (one + other, one.max(other));
    let ln_half = -std::f64::consts::LN_2;
    let tail: f64 = (least..=n)
        .map(|k| libm::exp(ln_choose(n, k) + n as f64 * ln_half))
        .sum();
    2.0 * tail < FALSE_ALARM
}

fn ln_choose(n: u64, k: u64) -> f64 {
    let ln_factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

#[test]
fn counts_are_far_apart_when_even_odds_hardly_give_them() {
    for (one, other, far) in [
        (200, 200, false),
        (200, 130, false),
        (200, 90, true),
        (0, 10, false),
        (0, 30, true),
        (0, 0, false),
    ] {
        assert_eq!(unlikely(one, other), far, "{one} and {other}");
        assert_eq!(unlikely(other, one), far, "{other} and {one}");
    }
}
