//! The annotations that Linkerd's policy controller reads from Services and routes.
//!
//! Source: linkerd/linkerd2 `policy-controller/k8s/index/src/outbound/index.rs` and `outbound/index/{http,grpc}.rs`. Departs: what
//! the controller would log and drop is an error here.

use proxy_core::accrual::Settings;
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::duration::{Whole, parse};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::text::{Entry, Spanned};

/// Every annotation under the prefixes that are checked here; an unknown one under them is an error.
const KNOWN: &[&str] = &[
    "retry.linkerd.io/http",
    "retry.linkerd.io/grpc",
    "retry.linkerd.io/limit",
    "retry.linkerd.io/timeout",
    "timeout.linkerd.io/request",
    "timeout.linkerd.io/response",
    "timeout.linkerd.io/idle",
    "balancer.linkerd.io/failure-accrual",
    "balancer.linkerd.io/failure-accrual-consecutive-max-failures",
    "balancer.linkerd.io/failure-accrual-consecutive-min-penalty",
    "balancer.linkerd.io/failure-accrual-consecutive-max-penalty",
    "balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio",
];
const CHECKED: &[&str] = &[
    "retry.linkerd.io/",
    "timeout.linkerd.io/",
    "balancer.linkerd.io/",
];

/// Retries by annotation.
#[derive(Clone, PartialEq, Debug)]
pub struct Retries {
    /// Statuses that are tried again.
    pub statuses: Vec<u16>,
    /// gRPC statuses that are tried again.
    pub grpc: RetryOn,
    /// Tries after the first; 1 unless set.
    pub limit: u32,
    /// Bound of a try until its answer begins; dropped on the last try.
    pub timeout: Option<Spanned<Duration>>,
    /// The annotation that is named for it: the conditions, or the first there is.
    pub at: Spanned<()>,
}

/// Timeouts by annotation; they are not tried again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Timeouts {
    /// The whole stream.
    pub request: Option<Spanned<Duration>>,
    /// From the end of the request to the end of the answer.
    pub response: Option<Spanned<Duration>>,
    /// Without a byte.
    pub idle: Option<Spanned<Duration>>,
}

/// What the annotations of a Service or a route say.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Notes {
    /// Retries.
    pub retries: Option<Retries>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Failure accrual; Services only.
    pub accrual: Option<Spanned<Settings>>,
    /// Ports that are not looked into; Services and workloads only.
    pub opaque_ports: Option<Spanned<Ports>>,
}

/// Ports and ranges of ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Those that the chart lists: protocols where the server speaks first.
    ///
    /// Source: linkerd/linkerd2 `charts/linkerd-control-plane/values.yaml` (`proxy.opaquePorts`).
    #[must_use]
    pub fn of_chart() -> Self {
        Self(
            [25, 587, 3306, 4444, 5432, 6379, 9300, 11211]
                .map(|port| (port, port))
                .to_vec(),
        )
    }

    /// `25,8000-8100`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let range = |word: &str| {
            let (from, to) = word.split_once('-').unwrap_or((word, word));
            let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            (from <= to && from > 0).then_some((from, to))
        };
        words.map(range).collect::<Option<_>>().map(Self)
    }

    /// Each of them, once.
    pub fn all(&self) -> impl Iterator<Item = u16> {
        let ports: std::collections::BTreeSet<u16> =
            self.0.iter().flat_map(|(from, to)| *from..=*to).collect();
        ports.into_iter()
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&port))
    }
}

/// Reads annotations; `entries` is the mapping as written.
pub fn read(entries: &[Entry], out: &mut Diagnostics) -> Notes {
    report_unknown(entries, out);
    let mut reader = Reader { entries, out };
    Notes {
        retries: reader.retries(),
        timeouts: Timeouts {
            request: reader.duration("timeout.linkerd.io/request"),
            response: reader.duration("timeout.linkerd.io/response"),
            idle: reader.duration("timeout.linkerd.io/idle"),
        },
        accrual: reader.accrual(),
        opaque_ports: reader.value(
            "config.linkerd.io/opaque-ports",
            "ports and ranges such as `25,8000-8100`",
            Ports::parse,
        ),
    }
}

fn report_unknown(entries: &[Entry], out: &mut Diagnostics) {
    for entry in entries {
        let key = entry.key.text.as_str();
        if key.starts_with("balancer.alpha.linkerd.io/") {
            let message = format!("`{key}` is not modelled");
            let meaning = "endpoints that fail are not taken out or avoided on its account, and traffic to them is overstated";
            out.push(
                Diagnostic::not_modelled("linkerd::not-modelled", message, meaning)
                    .label(entry.key.span, ""),
            );
        }
        if CHECKED.iter().any(|prefix| key.starts_with(prefix)) && !KNOWN.contains(&key) {
            let message = format!("Linkerd knows no annotation `{key}`");
            let help = did_you_mean(key, KNOWN.iter().copied());
            out.push(
                Diagnostic::error("linkerd::unknown-annotation", message)
                    .label(entry.key.span, "not known")
                    .maybe_help(help),
            );
        }
    }
}

struct Reader<'a> {
    entries: &'a [Entry],
    out: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn retries(&mut self) -> Option<Retries> {
        let http = self.value(
            "retry.linkerd.io/http",
            "a list of `5xx`, `gateway-error`, statuses and ranges of them",
            statuses,
        );
        let grpc = self.value("retry.linkerd.io/grpc", "a list of `cancelled`, `deadline-exceeded`, `internal`, `resource-exhausted`, `unavailable`", grpc);
        let limit = self.value(
            "retry.linkerd.io/limit",
            "a whole number up to 65535",
            |text| text.parse::<u16>().ok(),
        );
        let limit = limit.filter(|limit| limit.value != 0);
        let timeout = self.duration("retry.linkerd.io/timeout");
        let at = [
            http.as_ref().map(|it| it.span),
            grpc.as_ref().map(|it| it.span),
            limit.as_ref().map(|it| it.span),
            timeout.as_ref().map(|it| it.span),
        ];
        let at = at.into_iter().flatten().next()?;
        Some(Retries {
            statuses: http.map(|it| it.value).unwrap_or_default(),
            grpc: grpc.map_or(RetryOn::NONE, |it| it.value),
            limit: limit.map_or(1, |limit| u32::from(limit.value)),
            timeout,
            at: Spanned::new((), at),
        })
    }

    fn accrual(&mut self) -> Option<Spanned<Settings>> {
        const PREFIX: &str = "balancer.linkerd.io/failure-accrual";
        let mode = self.value(PREFIX, "`consecutive`", |mode| {
            (mode == "consecutive").then_some(())
        })?;
        let key = |suffix: &str| format!("{PREFIX}-consecutive-{suffix}");
        let max_failures = self.value(&key("max-failures"), "a whole number", |text| {
            text.parse().ok()
        });
        let min_penalty = self.duration(&key("min-penalty"));
        let max_penalty = self.duration(&key("max-penalty"));
        let jitter = self.value(&key("jitter-ratio"), "a number from 0 to 100", |text| {
            text.parse()
                .ok()
                .filter(|ratio| (0.0..=100.0).contains(ratio))
        });
        let defaults = Settings::linkerd();
        let penalty =
            |it: &Option<Spanned<Duration>>, default| it.as_ref().map_or(default, |it| it.value);
        let accrual = Settings {
            max_failures: max_failures.map_or(defaults.max_failures, |it| it.value),
            min_penalty: penalty(&min_penalty, defaults.min_penalty),
            max_penalty: penalty(&max_penalty, defaults.max_penalty),
            jitter: jitter.map_or(defaults.jitter, |it| it.value),
        };
        if accrual.min_penalty > accrual.max_penalty {
            let mut problem = Diagnostic::error(
                "linkerd::penalties",
                "the least penalty is longer than the greatest",
            );
            for (penalty, text) in [(min_penalty, "the least"), (max_penalty, "the greatest")] {
                if let Some(penalty) = penalty {
                    problem = problem.label(penalty.span, text);
                }
            }
            self.out
                .push(problem.help("the greatest is 60 s unless it is set"));
            return None;
        }
        Some(mode.map(|()| accrual))
    }

    /// A length of time; zero counts as not written.
    fn duration(&mut self, key: &str) -> Option<Spanned<Duration>> {
        let read = self.value(
            key,
            "a whole number with `ms`, `s`, `m`, `h` or `d`",
            |text| parse(text, Whole::Only),
        );
        read.filter(|duration| !duration.value.is_zero())
    }

    fn value<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let entry = self.entries.iter().find(|entry| entry.key.text == key)?;
        let text = entry.value.as_str()?;
        let value = read(text.trim());
        if value.is_none() {
            let message = format!("`{key}` cannot be `{text}`");
            let help = format!("write {expected}");
            self.out.push(
                Diagnostic::error("linkerd::bad-annotation", message)
                    .label(entry.value.span, "not a value of it")
                    .help(help),
            );
        }
        value.map(|value| Spanned::new(value, entry.value.span))
    }
}

fn statuses(text: &str) -> Option<Vec<u16>> {
    let mut all = Vec::new();
    // a space is no part of any word, there as here
    for word in text.split(',') {
        let (from, to) = match word.to_ascii_lowercase().as_str() {
            "5xx" => (500, 599),
            "gateway-error" => (502, 504),
            word => {
                let (from, to) = word.split_once('-').unwrap_or((word, word));
                (from.parse().ok()?, to.parse().ok()?)
            }
        };
        if from > to || from < 100 || to > 599 {
            return None;
        }
        all.extend(from..=to);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

fn grpc(text: &str) -> Option<RetryOn> {
    let condition = |word: &str| match word.to_ascii_lowercase().as_str() {
        "cancelled" => Some(Condition::Cancelled),
        "deadline-exceeded" => Some(Condition::DeadlineExceeded),
        "internal" => Some(Condition::Internal),
        "resource-exhausted" => Some(Condition::ResourceExhausted),
        "unavailable" => Some(Condition::Unavailable),
        _ => None,
    };
    text.split(',').map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_words_numbers_and_ranges() {
        assert_eq!(statuses("gateway-error"), Some(vec![502, 503, 504]));
        assert_eq!(statuses("5xx").map(|all| all.len()), Some(100));
        assert_eq!(statuses("429,502-503,502"), Some(vec![429, 502, 503]));
        assert_eq!(statuses("Gateway-Error"), statuses("gateway-error"));
        for wrong in [
            "", "600", "99", "503-502", "5XY", "gateway", "429, 502", "429,",
        ] {
            assert_eq!(statuses(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ports_are_numbers_and_ranges() {
        let ports = Ports::parse("25, 8000-8002").expect("a list");
        let inside: Vec<u16> = (1..9000).filter(|port| ports.has(*port)).collect();
        assert_eq!(inside, [25, 8000, 8001, 8002]);
        for wrong in ["a", "2-1", "0", "70000"] {
            assert_eq!(Ports::parse(wrong), None, "{wrong}");
        }
        assert!(Ports::of_chart().has(6379));
    }
}
