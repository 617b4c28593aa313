//! Canaries: some of a location's requests go elsewhere.

use proxy_core::config::{Absent, HeaderMatch, TextMatch};

use super::annotations::Notes;
use crate::diagnostics::{Diagnostic, Diagnostics};

/// Where requests that meet conditions go.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// Conditions.
    pub(super) headers: Vec<HeaderMatch>,
    /// Where to.
    pub(super) to: Turned,
}

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turned {
    /// To the main backend.
    Main,
    /// To the canary.
    Canary,
    /// To either, by weight: this many of so many to the canary.
    Either(u32, u32),
}

/// The turns of a canary, in the order in which they are tried; the last takes every request.
///
/// With a client's `cookie` of affinity that side is kept which has its endpoint, whatever headers say. Source:
/// `rootfs/etc/nginx/lua/balancer.lua` (`route_to_alternative_balancer`).
pub(super) fn turns(notes: &Notes, sticky: Option<&str>, out: &mut Diagnostics) -> Vec<Turn> {
    let weight = weight(notes);
    let mut turns = Vec::new();
    if let Some(name) = sticky {
        turns.push(Turn {
            headers: vec![cookie(name, "[^;]*")],
            to: weight,
        });
    }
    if let Some(name) = notes.text("canary-by-header") {
        let name = name.to_ascii_lowercase();
        let value = notes.text("canary-by-header-value");
        let pattern = notes.text("canary-by-header-pattern");
        match (value, pattern) {
            (Some(value), ignored) => {
                if let Some(ignored) = ignored {
                    out.push(
                        Diagnostic::warning(
                            "nginx::canary",
                            "`canary-by-header-value` has the say over `canary-by-header-pattern`",
                        )
                        .label(ignored.span, "has no effect"),
                    );
                }
                let exact = TextMatch::Exact(value.as_str().into());
                turns.push(Turn::by(header(&name, exact), Turned::Canary));
            }
            (None, Some(pattern)) => {
                let whole = format!("(?s:.*)(?:{})(?s:.*)", super::paths::rust_pattern(pattern));
                match TextMatch::regex(&whole) {
                    Ok(regex) => turns.push(Turn::by(header(&name, regex), Turned::Canary)),
                    Err(error) => out.push(
                        Diagnostic::error("nginx::bad-regex", error.to_string())
                            .label(pattern.span, "this pattern"),
                    ),
                }
            }
            (None, None) => {
                for (word, to) in [("always", Turned::Canary), ("never", Turned::Main)] {
                    let exact = TextMatch::Exact(word.into());
                    turns.push(Turn::by(header(&name, exact), to));
                }
            }
        }
    }
    if let Some(name) = notes.text("canary-by-cookie") {
        turns.push(Turn::by(cookie(name, "always"), Turned::Canary));
        turns.push(Turn::by(cookie(name, "never"), Turned::Main));
    }
    turns.push(Turn {
        headers: Vec::new(),
        to: weight,
    });
    turns
}

impl Turn {
    fn by(condition: HeaderMatch, to: Turned) -> Self {
        Self {
            headers: vec![condition],
            to,
        }
    }
}

/// A total below 100 counts as 100; a weight beyond the total is all of it.
fn weight(notes: &Notes) -> Turned {
    let number = |name: &str| notes.number(name).map(|it| it.value);
    let total = number("canary-weight-total").unwrap_or(100).max(100);
    let total = u32::try_from(total).unwrap_or(u32::MAX);
    let weight = number("canary-weight").unwrap_or(0).max(0);
    let weight = u32::try_from(weight).unwrap_or(u32::MAX).min(total);
    match weight {
        0 => Turned::Main,
        all if all == total => Turned::Canary,
        some => Turned::Either(some, total),
    }
}

fn header(name: &str, value: TextMatch) -> HeaderMatch {
    HeaderMatch {
        name: name.into(),
        value,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// Whether a cookie has a value.
fn cookie(name: &str, value: &str) -> HeaderMatch {
    let pattern = format!(
        r"(?s:(?:.*;)?\s*(?i:{})={value}\s*(?:;.*)?)",
        regex::escape(name)
    );
    // a pattern that is too long takes no request
    let pattern = TextMatch::regex(&pattern).unwrap_or_else(|_| TextMatch::Exact("\0".into()));
    header("cookie", pattern)
}
