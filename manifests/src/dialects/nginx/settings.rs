//! The controller's ConfigMap: defaults for every Ingress, and what counts for all of NGINX.
//!
//! Source: kubernetes/ingress-nginx 1.15 `internal/ingress/controller/config/config.go`, `internal/ingress/controller/template/configmap.go`.

use std::collections::BTreeMap;

use proxy_core::origin::Sourced;

use super::values::{self, Check, HEADERS, SWITCH, TEXT, URL, URL_WITH_VARIABLES};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::Object;
use crate::origins::Origins;
use crate::text::{Entry, Spanned};

/// What the ConfigMap says; only values that the release takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// `nginx@1.15`
    pub(super) release: String,
    values: BTreeMap<&'static str, Spanned<String>>,
}

/// What becomes of a key here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bearing {
    /// It is modelled.
    Used,
    /// It is not modelled, with what that means.
    Not(&'static str),
    /// It is not modelled, and whatever it keeps out passes.
    Open(&'static str),
    /// It has no bearing on traffic.
    Idle,
}

use Bearing::{Idle, Not, Open, Used};

const BUFFERS: &str = "answers pass as they come, whatever their size; buffers take no slow client off an endpoint's hands";
const COOKIES: &str = "cookies pass as endpoints set them";
const REDIRECTS: &str = "redirects pass as endpoints write them";
const SNIPPETS: &str = "whatever it does to requests and answers does not happen";
const GLOBAL_AUTH: &str = "nobody is asked: requests that would be answered with 401 or 403, or with 500 while the service is down, are served";
const STREAMS: &str = "ports for bytes and datagrams are not served";
const LIMITS: &str = "heads are bounded otherwise: 100 lines and 60 KiB";

/// Every key. The second half, which has no bearing on traffic, is in [`IDLE`].
const KEYS: &[(&str, Check, Bearing)] = &[
    ("proxy-body-size", Check::Size, Used),
    ("proxy-connect-timeout", Check::Count, Used),
    ("proxy-read-timeout", Check::Count, Used),
    (
        "proxy-send-timeout",
        Check::Count,
        Not("requests are taken to be written at once; a slow endpoint does not run into it"),
    ),
    ("proxy-next-upstream", Check::NextUpstream, Used),
    ("proxy-next-upstream-tries", Check::Count, Used),
    ("proxy-next-upstream-timeout", Check::Count, Used),
    ("retry-non-idempotent", Check::Flag, Used),
    ("proxy-request-buffering", SWITCH, Used),
    ("proxy-buffering", SWITCH, Not(BUFFERS)),
    ("proxy-buffers-number", Check::Number, Not(BUFFERS)),
    ("proxy-buffer-size", Check::Size, Not(BUFFERS)),
    ("proxy-busy-buffers-size", Check::Size, Not(BUFFERS)),
    ("proxy-max-temp-file-size", Check::Size, Not(BUFFERS)),
    ("proxy-cookie-path", URL, Not(COOKIES)),
    ("proxy-cookie-domain", Check::Pair, Not(COOKIES)),
    ("proxy-redirect-from", URL, Not(REDIRECTS)),
    ("proxy-redirect-to", URL, Not(REDIRECTS)),
    (
        "proxy-http-version",
        Check::Word(&["1.0", "1.1"]),
        Not("endpoints are spoken to in HTTP/1.1, on connections that stay"),
    ),
    ("load-balance", Check::Word(&["round_robin", "ewma"]), Used),
    ("service-upstream", Check::Flag, Used),
    ("upstream-hash-by", values::VARIABLES, Idle),
    ("ssl-redirect", Check::Flag, Used),
    ("force-ssl-redirect", Check::Flag, Used),
    ("preserve-trailing-slash", Check::Flag, Used),
    (
        "http-redirect-code",
        Check::Word(&["301", "302", "307", "308"]),
        Used,
    ),
    ("no-tls-redirect-locations", Check::Letters("-._~/:,"), Used),
    ("no-auth-locations", Check::Letters("-._~/:,"), Idle),
    (
        "use-port-in-redirects",
        Check::Flag,
        Not("redirects to TLS name no port"),
    ),
    (
        "relative-redirects",
        Check::Flag,
        Not("redirects name scheme and host"),
    ),
    ("limit-req-status-code", Check::Status, Used),
    ("limit-conn-status-code", Check::Status, Used),
    (
        "limit-conn-zone-variable",
        values::VARIABLES,
        Not("limits count by the address of a connection's other end"),
    ),
    (
        "limit-rate",
        Check::Number,
        Not("answers pass as fast as the network takes them"),
    ),
    ("limit-rate-after", Check::Number, Idle),
    ("upstream-keepalive-connections", Check::Count, Used),
    ("upstream-keepalive-requests", Check::Count, Used),
    ("upstream-keepalive-timeout", Check::Count, Used),
    ("upstream-keepalive-time", Check::Letters(""), Used),
    ("keep-alive", Check::Count, Used),
    ("keep-alive-requests", Check::Count, Used),
    ("client-header-timeout", Check::Count, Used),
    (
        "client-body-timeout",
        Check::Count,
        Not("bodies of requests may come as slowly as they like"),
    ),
    ("hsts", Check::Flag, Used),
    ("hsts-max-age", Check::Count, Used),
    ("hsts-include-subdomains", Check::Flag, Used),
    ("hsts-preload", Check::Flag, Used),
    ("add-headers", TEXT, Used),
    ("proxy-set-headers", TEXT, Used),
    ("global-allowed-response-headers", HEADERS, Used),
    ("hide-headers", HEADERS, Used),
    ("allow-snippet-annotations", Check::Flag, Used),
    (
        "annotations-risk-level",
        Check::AnyCase(&["low", "medium", "high", "critical"]),
        Used,
    ),
    ("use-http2", Check::Flag, Used),
    (
        "use-forwarded-headers",
        Check::Flag,
        Not("a client is whoever has made the connection, whatever headers say"),
    ),
    (
        "enable-real-ip",
        Check::Flag,
        Not("a client is whoever has made the connection, whatever headers say"),
    ),
    (
        "compute-full-forwarded-for",
        Check::Flag,
        Not(
            "the client's address is put at the end of what `X-Forwarded-For` says, as with `true`",
        ),
    ),
    (
        "use-proxy-protocol",
        Check::Flag,
        Not("connections begin without a header of the PROXY protocol"),
    ),
    (
        "custom-http-errors",
        Check::Errors,
        Not("answers with these statuses pass as they are, and no default backend is asked"),
    ),
    ("disable-proxy-intercept-errors", Check::Flag, Idle),
    ("enable-underscores-in-headers", Check::Flag, Used),
    ("large-client-header-buffers", Check::Any, Not(LIMITS)),
    ("client-header-buffer-size", Check::Size, Not(LIMITS)),
    ("http2-max-field-size", Check::Size, Not(LIMITS)),
    ("http2-max-header-size", Check::Size, Not(LIMITS)),
    ("http2-max-requests", Check::Number, Not(LIMITS)),
    (
        "http2-max-concurrent-streams",
        Check::Number,
        Not("a client's connection carries as many requests at once as the driver allows"),
    ),
    (
        "ssl-reject-handshake",
        Check::Flag,
        Not("names that no Ingress has are shown the default certificate"),
    ),
    ("main-snippet", Check::Any, Not(SNIPPETS)),
    ("http-snippet", Check::Any, Not(SNIPPETS)),
    ("server-snippet", Check::Any, Not(SNIPPETS)),
    ("stream-snippet", Check::Any, Not(SNIPPETS)),
    ("location-snippet", Check::Any, Not(SNIPPETS)),
    ("modsecurity-snippet", Check::Any, Not(SNIPPETS)),
    ("global-auth-url", URL_WITH_VARIABLES, Open(GLOBAL_AUTH)),
    ("whitelist-source-range", Check::Blocks, Used),
    ("denylist-source-range", Check::Blocks, Used),
    (
        "block-cidrs",
        Check::Any,
        Open("clients of these addresses, whom NGINX answers with 403, are served"),
    ),
    (
        "block-user-agents",
        Check::Any,
        Open("these clients, whom NGINX answers with 403, are served"),
    ),
    (
        "block-referers",
        Check::Any,
        Open("requests from these pages, which NGINX answers with 403, are served"),
    ),
    (
        "enable-modsecurity",
        Check::Flag,
        Open("nothing is looked at, and nothing refused with 403"),
    ),
    ("proxy-stream-timeout", Check::Any, Not(STREAMS)),
    ("proxy-stream-next-upstream", Check::Any, Not(STREAMS)),
    (
        "proxy-stream-next-upstream-timeout",
        Check::Any,
        Not(STREAMS),
    ),
    ("proxy-stream-next-upstream-tries", Check::Any, Not(STREAMS)),
    ("proxy-stream-responses", Check::Any, Not(STREAMS)),
    (
        "worker-shutdown-timeout",
        Check::Any,
        Not(
            "what is under way when a gateway goes ends with its process, or as the scenario has it",
        ),
    ),
];

/// Keys without bearing on traffic.
const IDLE: &[&str] = &[
    "access-log-params",
    "access-log-path",
    "allow-backend-server-header",
    "allow-cross-namespace-resources",
    "annotation-value-word-blocklist",
    "app-root",
    "bind-address",
    "bind-address-ipv4",
    "bind-address-ipv6",
    "brotli-level",
    "brotli-min-length",
    "brotli-types",
    "client-body-buffer-size",
    "debug-connections",
    "default-type",
    "disable-access-log",
    "disable-http-access-log",
    "disable-ipv6",
    "disable-ipv6-dns",
    "disable-stream-access-log",
    "enable-access-log-for-default-backend",
    "enable-aio-write",
    "enable-auth-access-log",
    "enable-brotli",
    "enable-multi-accept",
    "enable-ocsp",
    "enable-opentelemetry",
    "enable-owasp-modsecurity-crs",
    "enable-serial-reloads",
    "enable-syslog",
    "error-log-level",
    "error-log-path",
    "forwarded-for-header",
    "forwarded-for-proxy-protocol-header",
    "forwarded-host-header",
    "generate-request-id",
    "geoip2-autoreload-in-minutes",
    "global-auth-always-set-cookie",
    "global-auth-cache-duration",
    "global-auth-cache-key",
    "global-auth-method",
    "global-auth-request-redirect",
    "global-auth-response-headers",
    "global-auth-signin",
    "global-auth-signin-redirect-param",
    "global-auth-snippet",
    "grpc-buffer-size-kb",
    "gzip-disable",
    "gzip-level",
    "gzip-min-length",
    "gzip-types",
    "http-access-log-path",
    "ignore-invalid-headers",
    "log-format-escape-json",
    "log-format-escape-none",
    "log-format-stream",
    "log-format-upstream",
    "lua-shared-dicts",
    "map-hash-bucket-size",
    "max-worker-connections",
    "max-worker-open-files",
    "nginx-status-ipv4-whitelist",
    "nginx-status-ipv6-whitelist",
    "opentelemetry-config",
    "opentelemetry-operation-name",
    "opentelemetry-trust-incoming-span",
    "otel-max-export-batch-size",
    "otel-max-queuesize",
    "otel-sampler",
    "otel-sampler-parent-based",
    "otel-sampler-ratio",
    "otel-schedule-delay-millis",
    "otel-service-name",
    "otlp-collector-host",
    "otlp-collector-port",
    "proxy-add-original-uri-header",
    "proxy-headers-hash-bucket-size",
    "proxy-headers-hash-max-size",
    "proxy-protocol-header-timeout",
    "proxy-real-ip-cidr",
    "proxy-ssl-location-only",
    "reuse-port",
    "server-name-hash-bucket-size",
    "server-name-hash-max-size",
    "server-tokens",
    "skip-access-log-urls",
    "ssl-buffer-size",
    "ssl-ciphers",
    "ssl-dh-param",
    "ssl-early-data",
    "ssl-ecdh-curve",
    "ssl-protocols",
    "ssl-session-cache",
    "ssl-session-cache-size",
    "ssl-session-ticket-key",
    "ssl-session-tickets",
    "ssl-session-timeout",
    "stream-access-log-path",
    "strict-validate-path-type",
    "syslog-host",
    "syslog-port",
    "upstream-hash-by-subset",
    "upstream-hash-by-subset-size",
    "use-geoip2",
    "use-gzip",
    "variables-hash-bucket-size",
    "variables-hash-max-size",
    "worker-cpu-affinity",
    "worker-processes",
];

impl Settings {
    /// The release's defaults alone.
    pub(super) fn of(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            values: BTreeMap::new(),
        }
    }

    /// Reads and checks a ConfigMap; what is not modelled is told.
    pub(super) fn read(release: &str, object: &Object, out: &mut Diagnostics) -> Self {
        let mut settings = Self::of(release);
        let data = object.node.at("data").and_then(|node| node.as_map());
        for entry in data.map_or(&[][..], |map| map.entries()) {
            let Some(value) = entry.value.as_str() else {
                continue;
            };
            settings.take(entry, value, out);
        }
        settings
    }

    fn take(&mut self, entry: &Entry, value: &str, out: &mut Diagnostics) {
        let name = entry.key.text.as_str();
        let Some((known, check, bearing)) = KEYS.iter().find(|(known, ..)| *known == name) else {
            if !IDLE.contains(&name) {
                let names = KEYS
                    .iter()
                    .map(|(known, ..)| *known)
                    .chain(IDLE.iter().copied());
                out.push(
                    Diagnostic::error(
                        "nginx::unknown-setting",
                        format!("ingress-nginx knows no setting `{name}`"),
                    )
                    .label(entry.key.span, "not known")
                    .maybe_help(did_you_mean(name, names)),
                );
            }
            return;
        };
        if value.trim().is_empty() {
            return;
        }
        if !check.takes(value) {
            out.push(
                Diagnostic::error(
                    "nginx::bad-setting",
                    format!("`{name}` cannot be `{value}`"),
                )
                .label(entry.value.span, "not a value of it")
                .help(format!(
                    "write {}; ingress-nginx passes over this value and keeps its default",
                    check.wanted()
                )),
            );
            return;
        }
        let span = entry.value.span;
        let is_off = values::flag(value) == Some(false) && *check == Check::Flag;
        self.values
            .insert(known, Spanned::new(value.trim().to_owned(), span));
        let message = format!("`{name}` is not modelled");
        match bearing {
            Used | Idle => {}
            Not(_) | Open(_) if is_off => {}
            Not(meaning) => out.push(
                Diagnostic::not_modelled("nginx::not-modelled", message, *meaning)
                    .label(entry.key.span, ""),
            ),
            Open(meaning) => out.push(
                Diagnostic::warning("nginx::open", format!("{message}: every path is open"))
                    .label(entry.key.span, "keeps nobody out here")
                    .help(*meaning),
            ),
        }
    }

    /// As it is written.
    pub(super) fn text(&self, name: &str) -> Option<&Spanned<String>> {
        self.values.get(name)
    }

    /// The ConfigMap's value, or `default`.
    pub(super) fn or<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
        default: T,
        origins: &mut Origins,
    ) -> Sourced<T> {
        let written = self.text(name);
        let written = written.and_then(|text| Some(Spanned::new(read(text)?, text.span)));
        origins.sourced_or(written, default, &self.release)
    }

    /// A flag, or `default`.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        let written = self.text(name).and_then(|text| values::flag(text));
        written.unwrap_or(default)
    }

    /// A number, or `default`.
    pub(super) fn number(&self, name: &str, default: u16) -> u16 {
        let written = self.text(name).and_then(|text| text.parse().ok());
        written.unwrap_or(default)
    }

    /// Whether Ingresses may bring configuration of NGINX itself.
    pub(super) fn takes_snippets(&self) -> bool {
        let level = self.text("annotations-risk-level");
        let critical = level.is_some_and(|level| level.eq_ignore_ascii_case("critical"));
        self.flag("allow-snippet-annotations", false) && critical
    }

    /// The start of paths that are not redirected to TLS.
    pub(super) fn plain_locations(&self) -> Vec<&str> {
        let written = self.text("no-tls-redirect-locations");
        let written = written.map_or("/.well-known/acme-challenge", |text| text.as_str());
        written
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_setting_stands_once() {
        let names = || {
            KEYS.iter()
                .map(|(name, ..)| *name)
                .chain(IDLE.iter().copied())
        };
        let once: BTreeSet<&str> = names().collect();
        assert_eq!(once.len(), names().count());
    }
}
