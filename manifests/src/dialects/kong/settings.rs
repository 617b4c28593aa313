//! Plugins that are modelled: what they are set to.
//!
//! Source: Kong 3.9 `kong/plugins/{rate-limiting,request-termination}/{schema,handler}.lua`.

use proxy_core::config::{AbsentKey, ClientOf, DirectResponse, GateKey};
use proxy_core::limit::windows::{Period, Windows};
use serde::Deserialize;

use super::cors::CorsRule;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Node, Present, Span, Spanned, read};

/// What the plugins of one object set, at most one of a kind.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct PluginSet {
    /// `rate-limiting`.
    pub(super) rate: Option<Spanned<RateRule>>,
    /// `request-termination`.
    pub(super) termination: Option<Spanned<DirectResponse>>,
    /// `cors`.
    pub(super) cors: Option<Spanned<CorsRule>>,
}

impl PluginSet {
    /// Of each kind its own, else the other's: they are never merged.
    ///
    /// Source: Kong `kong/runloop/plugins_iterator.lua`.
    pub(super) fn or<'a>(&'a self, other: &'a Self) -> PluginView<'a> {
        let own = self.view();
        PluginView {
            rate: own.rate.or(other.rate.as_ref()),
            termination: own.termination.or(other.termination.as_ref()),
            cors: own.cors.or(other.cors.as_ref()),
        }
    }

    fn view(&self) -> PluginView<'_> {
        PluginView {
            rate: self.rate.as_ref(),
            termination: self.termination.as_ref(),
            cors: self.cors.as_ref(),
        }
    }
}

/// The plugins that count for a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct PluginView<'a> {
    pub(super) rate: Option<&'a Spanned<RateRule>>,
    pub(super) termination: Option<&'a Spanned<DirectResponse>>,
    pub(super) cors: Option<&'a Spanned<CorsRule>>,
}

/// A rate limit.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct RateRule {
    /// So many in which windows.
    pub(super) windows: Windows,
    /// Whose are counted together.
    pub(super) by: CountedBy,
    /// The status of a refusal.
    pub(super) status: u16,
}

/// Whose requests are counted together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CountedBy {
    /// All to one Service.
    Service,
    /// Those with one key.
    Key(GateKey),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RateLimiting {
    second: Option<Spanned<f64>>,
    minute: Option<Spanned<f64>>,
    hour: Option<Spanned<f64>>,
    day: Option<Spanned<f64>>,
    month: Option<Spanned<f64>>,
    year: Option<Spanned<f64>>,
    limit_by: Option<Spanned<LimitBy>>,
    header_name: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    policy: Option<Spanned<Store>>,
    /// Of no account: what is counted here never fails.
    #[serde(rename = "fault_tolerant")]
    _fault_tolerant: Option<Spanned<bool>>,
    redis: Option<Present>,
    hide_client_headers: Option<Spanned<bool>>,
    error_code: Option<Spanned<f64>>,
    error_message: Option<Spanned<String>>,
    sync_rate: Option<Spanned<f64>>,
    redis_host: Option<Present>,
    redis_port: Option<Present>,
    redis_username: Option<Present>,
    redis_password: Option<Present>,
    redis_ssl: Option<Present>,
    redis_ssl_verify: Option<Present>,
    redis_server_name: Option<Present>,
    redis_timeout: Option<Present>,
    redis_database: Option<Present>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LimitBy {
    Consumer,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Store {
    Local,
    Cluster,
    Redis,
}

const CODE: &str = "kong::rate-limiting";

/// Reads the settings of `rate-limiting`; `name` is where its kind is written.
pub(super) fn rate_limiting(
    config: Option<&Node>,
    name: Span,
    out: &mut Diagnostics,
) -> Option<RateRule> {
    let written: RateLimiting = match config {
        Some(config) => read(config, out)?,
        None => RateLimiting::default(),
    };
    let before = out.errors();
    let limits = written.limits(name, out);
    let by = written.counted_by(name, out);
    written.check_store(name, out);
    let status = written.error_code.map_or(Some(429), |code| {
        let whole = code.value.fract() == 0.0 && (100.0..=599.0).contains(&code.value);
        if !whole {
            out.push(
                Diagnostic::error(CODE, "`error_code` is a status from 100 to 599")
                    .label(code.span, ""),
            );
        }
        whole.then_some(code.value as u16)
    });
    if let Some(message) = &written.error_message {
        let meaning =
            "a refusal says what it is in the proxy's own words; its status and headers are Kong's";
        out.push(
            Diagnostic::not_modelled(CODE, "`error_message` is not modelled", meaning)
                .label(message.span, ""),
        );
    }
    let (by, status) = (by?, status?);
    (out.errors() == before).then(|| RateRule {
        windows: Windows {
            limits,
            tells: written.hide_client_headers.is_none_or(|hide| !hide.value),
        },
        by,
        status,
    })
}

impl RateLimiting {
    fn periods(&self) -> impl Iterator<Item = (Period, &'static str, Spanned<f64>)> {
        let all = [
            (Period::Second, "second", self.second),
            (Period::Minute, "minute", self.minute),
            (Period::Hour, "hour", self.hour),
            (Period::Day, "day", self.day),
            (Period::Month, "month", self.month),
            (Period::Year, "year", self.year),
        ];
        all.into_iter()
            .filter_map(|(period, name, limit)| Some((period, name, limit?)))
    }

    fn limits(&self, name: Span, out: &mut Diagnostics) -> Vec<(Period, u64)> {
        let mut limits = Vec::new();
        let mut before: Option<(&str, Spanned<f64>)> = None;
        for (period, word, limit) in self.periods() {
            if limit.value.is_nan() || limit.value <= 0.0 {
                out.push(
                    Diagnostic::error(CODE, format!("`{word}` must be greater than 0"))
                        .label(limit.span, ""),
                );
                continue;
            }
            if let Some((shorter, less)) = before.filter(|(_, less)| limit.value < less.value) {
                let message = format!("`{word}` cannot be lower than `{shorter}`");
                out.push(
                    Diagnostic::error(CODE, message)
                        .label(limit.span, "the lower one")
                        .label(less.span, "the other one"),
                );
            }
            if limit.value.fract() != 0.0 {
                let meaning = "as many requests pass, and clients are told of the whole number";
                let message = format!("`{word}` counts as the next whole number");
                out.push(Diagnostic::assumed(CODE, message, meaning).label(limit.span, ""));
            }
            limits.push((period, limit.value.ceil() as u64));
            before = Some((word, limit));
        }
        if self.periods().next().is_none() {
            let message = "`rate-limiting` needs at least one of `second`, `minute`, `hour`, `day`, `month` and `year`";
            out.push(Diagnostic::error(CODE, message).label(name, "this plugin"));
        }
        limits
    }

    fn counted_by(&self, name: Span, out: &mut Diagnostics) -> Option<CountedBy> {
        let by = self
            .limit_by
            .unwrap_or_else(|| Spanned::new(LimitBy::Consumer, name));
        let mut needs = |field: &str| {
            let message = format!("`limit_by` asks for `{field}`, which is not set");
            out.push(Diagnostic::error(CODE, message).label(by.span, ""));
        };
        let key = match by.value {
            LimitBy::Service => return Some(CountedBy::Service),
            // nobody is recognised here, and who is not counts by address
            LimitBy::Consumer | LimitBy::Credential | LimitBy::Ip => GateKey::ClientAddress {
                of: ClientOf::Believed,
                v6_prefix: None,
            },
            LimitBy::Header => match &self.header_name {
                Some(header) => GateKey::Header {
                    name: header.value.to_ascii_lowercase().into(),
                    absent: AbsentKey::Address,
                },
                None => {
                    needs("header_name");
                    return None;
                }
            },
            LimitBy::Path => match &self.path {
                Some(path) if path.value.starts_with('/') => {
                    GateKey::Path(path.value.as_str().into())
                }
                Some(path) => {
                    let message = "`path` begins with a slash";
                    out.push(Diagnostic::error(CODE, message).label(path.span, ""));
                    return None;
                }
                None => {
                    needs("path");
                    return None;
                }
            },
        };
        Some(CountedBy::Key(key))
    }

    fn check_store(&self, name: Span, out: &mut Diagnostics) {
        let policy = self
            .policy
            .unwrap_or_else(|| Spanned::new(Store::Local, name));
        let old = [
            self.redis_host,
            self.redis_port,
            self.redis_username,
            self.redis_password,
            self.redis_ssl,
            self.redis_ssl_verify,
            self.redis_server_name,
            self.redis_timeout,
            self.redis_database,
        ];
        let redis = self.redis.or_else(|| old.into_iter().flatten().next());
        match policy.value {
            Store::Local => {}
            Store::Cluster | Store::Redis => {
                let meaning = "each Kong counts by itself: of several replicas each lets the whole limit pass";
                out.push(
                    Diagnostic::not_modelled(
                        CODE,
                        "a store that several Kongs share is not modelled",
                        meaning,
                    )
                    .label(policy.span, ""),
                );
            }
        }
        if policy.value == Store::Redis && redis.is_none() {
            let message = "the policy `redis` needs `redis.host` and `redis.port`";
            out.push(Diagnostic::error(CODE, message).label(policy.span, ""));
        }
        if let Some(rate) = self.sync_rate.filter(|rate| rate.value != -1.0) {
            if policy.value != Store::Redis {
                let message = "`sync_rate` is for the policy `redis` alone";
                out.push(Diagnostic::error(CODE, message).label(rate.span, ""));
            } else if rate.value.is_nan() || rate.value < 0.02 {
                let message = "`sync_rate` is at least 0.02, or -1 for every request";
                out.push(Diagnostic::error(CODE, message).label(rate.span, ""));
            }
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Termination {
    status_code: Option<Spanned<u16>>,
    message: Option<Spanned<String>>,
    content_type: Option<Spanned<String>>,
    body: Option<Spanned<String>>,
    echo: Option<Spanned<bool>>,
    trigger: Option<Spanned<String>>,
}

/// Reads the settings of `request-termination`; none: requests are not answered by it, which was reported.
pub(super) fn termination(config: Option<&Node>, out: &mut Diagnostics) -> Option<DirectResponse> {
    const CODE: &str = "kong::request-termination";
    let written: Termination = match config {
        Some(config) => read(config, out)?,
        None => Termination::default(),
    };
    let set = |text: &Option<Spanned<String>>| {
        text.as_ref()
            .filter(|text| !text.value.is_empty())
            .map(|text| text.span)
    };
    let (message, body, kind) = (
        set(&written.message),
        set(&written.body),
        set(&written.content_type),
    );
    let mut wrong = |says: &str, span: Span| {
        out.push(Diagnostic::error(CODE, says).label(span, ""));
    };
    let status = written.status_code.map_or(503, |status| status.value);
    if let Some(status) = written.status_code
        && !(100..=599).contains(&status.value)
    {
        wrong("`status_code` is a status from 100 to 599", status.span);
        return None;
    }
    if let (Some(_), Some(span)) = (message, kind.or(body)) {
        wrong("`message` cannot stand with `content_type` or `body`", span);
        return None;
    }
    if let (Some(span), None) = (kind, body) {
        wrong("`content_type` needs a `body`", span);
        return None;
    }
    let echoes = written.echo.filter(|echo| echo.value);
    if let (Some(_), Some(span)) = (echoes, kind.or(body)) {
        wrong("`echo` cannot stand with `content_type` or `body`", span);
        return None;
    }
    if let Some(trigger) = &written.trigger {
        let meaning = "requests with that header or parameter go on to the upstream in place of being answered by Kong";
        out.push(
            Diagnostic::not_modelled(
                CODE,
                "`trigger` is not modelled: the plugin does nothing",
                meaning,
            )
            .label(trigger.span, ""),
        );
        return None;
    }
    if let Some(span) = kind.or_else(|| echoes.map(|echo| echo.span)) {
        let meaning = "the answer has the plugin's status, not its content";
        out.push(
            Diagnostic::not_modelled(CODE, "the content of the answer is not modelled", meaning)
                .label(span, ""),
        );
    }
    let says = |text: &str| format!("{{\"message\":{}}}", serde_json::Value::from(text));
    let body = match (&written.body, &written.message) {
        (Some(body), _) if !body.value.is_empty() => body.value.clone(),
        (_, Some(message)) => says(&message.value),
        _ => said_by(status).map(says).unwrap_or_default(),
    };
    Some(DirectResponse {
        status,
        body: body.into(),
    })
}

/// What Kong says of a status by itself.
const fn said_by(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}
