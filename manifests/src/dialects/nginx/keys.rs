//! Every annotation of the release: what it may be, what a wrong value does, and what becomes of it here.

use super::values::{
    CAPTURES, CIPHERS, Check, HEADERS, HOSTS, PATTERN, SPACED, SWITCH, TEXT, URL,
    URL_WITH_VARIABLES, VARIABLES,
};

/// An annotation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// What stands after the prefix.
    pub(super) name: &'static str,
    /// What it may be.
    pub(super) check: Check,
    /// What the release does where it is something else.
    pub(super) wrong: Wrong,
    /// What becomes of it here.
    pub(super) bearing: Bearing,
}

/// What the release does with a value that an annotation cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// It goes by the default.
    Default,
    /// It leaves the whole Ingress out.
    Refused,
    /// It answers 503 on every path of the Ingress.
    Denied,
}

/// What becomes of an annotation here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bearing {
    /// It is modelled.
    Used,
    /// It is read beside another one, and told with that.
    With(&'static str),
    /// It is not modelled, with what that means.
    Not(&'static str),
    /// It is not modelled, and whatever it keeps out passes.
    Open(&'static str),
    /// It has no bearing on traffic.
    Idle,
    /// NGINX's own configuration, which the release refuses unless it is told otherwise.
    Snippet,
}

use Bearing::{Idle, Not, Open, Snippet, Used, With};
use Wrong::{Default, Denied, Refused};

const fn key(name: &'static str, check: Check, wrong: Wrong, bearing: Bearing) -> Key {
    Key {
        name,
        check,
        wrong,
        bearing,
    }
}

/// Other names of annotations. Source: `AnnotationAliases`.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("whitelist-source-range", "allowlist-source-range"),
    ("limit-whitelist", "limit-allowlist"),
];

const BUFFERS: &str = "answers pass as they come, whatever their size; buffers take no slow client off an endpoint's hands";
const UPSTREAM_TLS: &str = "certificates of endpoints are taken as they are";

/// Every annotation. Source: kubernetes/ingress-nginx 1.15 `internal/ingress/annotations`.
pub(super) const KEYS: &[Key] = &[
    // requests to locations
    key("rewrite-target", CAPTURES, Default, Used),
    key("use-regex", Check::Flag, Default, Used),
    key("app-root", CAPTURES, Default, Used),
    key("ssl-redirect", Check::Flag, Default, Used),
    key("force-ssl-redirect", Check::Flag, Default, Used),
    key("preserve-trailing-slash", Check::Flag, Default, Used),
    key("x-forwarded-prefix", CAPTURES, Refused, Used),
    key("server-alias", HOSTS, Refused, Used),
    key("permanent-redirect", URL, Refused, Used),
    key("permanent-redirect-code", Check::Number, Refused, Used),
    key("temporal-redirect", URL, Refused, Used),
    key("temporal-redirect-code", Check::Number, Refused, Used),
    key("from-to-www-redirect", Check::Flag, Refused, Used),
    key(
        "relative-redirects",
        Check::Flag,
        Refused,
        Not("redirects name scheme and host"),
    ),
    key(
        "use-port-in-redirects",
        Check::Flag,
        Default,
        Not("redirects to TLS name no port"),
    ),
    // proxying
    key("proxy-connect-timeout", Check::Count, Default, Used),
    key("proxy-read-timeout", Check::Count, Default, Used),
    key(
        "proxy-send-timeout",
        Check::Count,
        Default,
        Not("requests are taken to be written at once; a slow endpoint does not run into it"),
    ),
    key("proxy-next-upstream", Check::NextUpstream, Default, Used),
    key("proxy-next-upstream-tries", Check::Count, Default, Used),
    key("proxy-next-upstream-timeout", Check::Count, Default, Used),
    key("proxy-body-size", Check::Size, Default, Used),
    key("proxy-request-buffering", SWITCH, Default, Used),
    key("proxy-buffering", SWITCH, Default, Not(BUFFERS)),
    key("proxy-buffers-number", Check::Number, Default, Not(BUFFERS)),
    key("proxy-buffer-size", Check::Size, Default, Not(BUFFERS)),
    key(
        "proxy-busy-buffers-size",
        Check::Size,
        Default,
        Not(BUFFERS),
    ),
    key(
        "proxy-max-temp-file-size",
        Check::Size,
        Default,
        Not(BUFFERS),
    ),
    key("client-body-buffer-size", Check::Size, Refused, Idle),
    key(
        "proxy-http-version",
        Check::Word(&["1.0", "1.1"]),
        Default,
        Not("endpoints are spoken to in HTTP/1.1, on connections that stay"),
    ),
    key(
        "proxy-cookie-domain",
        Check::Pair,
        Default,
        Not("cookies pass as endpoints set them"),
    ),
    key(
        "proxy-cookie-path",
        URL,
        Default,
        Not("cookies pass as endpoints set them"),
    ),
    key(
        "proxy-redirect-from",
        URL,
        Default,
        Not("redirects pass as endpoints write them"),
    ),
    key(
        "proxy-redirect-to",
        URL,
        Default,
        With("proxy-redirect-from"),
    ),
    key(
        "backend-protocol",
        Check::AnyCase(&["auto_http", "http", "https", "grpc", "grpcs", "fcgi"]),
        Default,
        Used,
    ),
    key("service-upstream", Check::Flag, Default, Used),
    key("upstream-vhost", PATTERN, Refused, Used),
    key("custom-headers", TEXT, Default, Used),
    key(
        "connection-proxy-header",
        Check::Word(&["close", "keep-alive"]),
        Refused,
        Not("connections to endpoints stay, and WebSockets pass"),
    ),
    key(
        "custom-http-errors",
        Check::Errors,
        Refused,
        Not("answers with these statuses pass as they are, and no default backend is asked"),
    ),
    key(
        "default-backend",
        Check::Name,
        Refused,
        Not("a Service without endpoints is answered with 503"),
    ),
    key(
        "disable-proxy-intercept-errors",
        Check::Flag,
        Default,
        With("custom-http-errors"),
    ),
    key("mirror-target", URL_WITH_VARIABLES, Default, Used),
    key("mirror-request-body", SWITCH, Default, Used),
    key("mirror-host", PATTERN, Default, Used),
    key("fastcgi-index", TEXT, Refused, With("backend-protocol")),
    key(
        "fastcgi-params-configmap",
        TEXT,
        Refused,
        With("backend-protocol"),
    ),
    // limits
    key("limit-rps", Check::Number, Refused, Used),
    key("limit-rpm", Check::Number, Refused, Used),
    key("limit-connections", Check::Number, Refused, Used),
    key("limit-burst-multiplier", Check::Number, Default, Used),
    key("limit-allowlist", Check::Blocks, Refused, Used),
    key(
        "limit-rate",
        Check::Number,
        Default,
        Not("answers pass as fast as the network takes them"),
    ),
    key(
        "limit-rate-after",
        Check::Number,
        Default,
        With("limit-rate"),
    ),
    // endpoints
    key(
        "load-balance",
        Check::Word(&[
            "round_robin",
            "chash",
            "chashsubset",
            "sticky_balanced",
            "sticky_persistent",
            "ewma",
        ]),
        Refused,
        Used,
    ),
    key("upstream-hash-by", VARIABLES, Refused, Used),
    key(
        "upstream-hash-by-subset",
        Check::Flag,
        Refused,
        Not("a value leads to one endpoint, not to any of a few"),
    ),
    key(
        "upstream-hash-by-subset-size",
        Check::Number,
        Refused,
        With("upstream-hash-by-subset"),
    ),
    key("affinity", Check::Word(&["cookie"]), Default, Used),
    key(
        "affinity-mode",
        Check::Word(&["balanced", "persistent"]),
        Default,
        Used,
    ),
    key(
        "affinity-canary-behavior",
        Check::Word(&["sticky", "legacy"]),
        Default,
        Used,
    ),
    key("session-cookie-name", TEXT, Default, Used),
    key("session-cookie-path", URL, Default, Used),
    key("session-cookie-expires", Check::Age, Default, Used),
    key("session-cookie-max-age", Check::Age, Default, Used),
    key(
        "session-cookie-domain",
        TEXT,
        Default,
        Not("the cookie is for the host that was asked"),
    ),
    key(
        "session-cookie-samesite",
        Check::AnyCase(&["none", "lax", "strict"]),
        Default,
        Idle,
    ),
    key("session-cookie-secure", Check::Flag, Default, Idle),
    key(
        "session-cookie-conditional-samesite-none",
        Check::Flag,
        Default,
        Idle,
    ),
    key(
        "session-cookie-change-on-failure",
        Check::Flag,
        Default,
        Not(
            "a client's further tries go to its endpoint as long as that is there, as with `false`",
        ),
    ),
    // canaries
    key("canary", Check::Flag, Default, Used),
    key("canary-by-header", TEXT, Default, Used),
    key("canary-by-header-value", TEXT, Default, Used),
    key("canary-by-header-pattern", PATTERN, Default, Used),
    key("canary-by-cookie", TEXT, Default, Used),
    key("canary-weight", Check::Number, Default, Used),
    key("canary-weight-total", Check::Number, Default, Used),
    // pages of other origins
    key("enable-cors", Check::Flag, Default, Used),
    key("cors-allow-origin", Check::Origins, Default, Used),
    key("cors-allow-methods", Check::Methods, Default, Used),
    key("cors-allow-headers", HEADERS, Default, Used),
    key("cors-allow-credentials", Check::Flag, Default, Used),
    key(
        "cors-expose-headers",
        Check::Letters("-_, *"),
        Default,
        Used,
    ),
    key("cors-max-age", Check::Number, Default, Used),
    // TLS
    key("ssl-passthrough", Check::Flag, Refused, Used),
    key("ssl-ciphers", CIPHERS, Refused, Idle),
    key("ssl-prefer-server-ciphers", Check::Flag, Default, Idle),
    key("proxy-ssl-secret", TEXT, Refused, Not(UPSTREAM_TLS)),
    key("proxy-ssl-ciphers", CIPHERS, Default, Idle),
    key("proxy-ssl-name", PATTERN, Default, With("proxy-ssl-secret")),
    key("proxy-ssl-protocols", Check::Letters(". "), Default, Idle),
    key(
        "proxy-ssl-verify",
        SWITCH,
        Default,
        With("proxy-ssl-secret"),
    ),
    key(
        "proxy-ssl-verify-depth",
        Check::Number,
        Default,
        With("proxy-ssl-secret"),
    ),
    key(
        "proxy-ssl-server-name",
        SWITCH,
        Default,
        With("proxy-ssl-secret"),
    ),
    // who may
    key(
        "auth-tls-secret",
        TEXT,
        Refused,
        Open(
            "clients without a certificate, or with another one, whom NGINX answers with 400, are served",
        ),
    ),
    key(
        "auth-tls-verify-client",
        Check::Word(&["on", "off", "optional", "optional_no_ca"]),
        Default,
        With("auth-tls-secret"),
    ),
    key(
        "auth-tls-verify-depth",
        Check::Number,
        Default,
        With("auth-tls-secret"),
    ),
    key(
        "auth-tls-error-page",
        Check::Letters("-._~/:@"),
        Refused,
        With("auth-tls-secret"),
    ),
    key(
        "auth-tls-pass-certificate-to-upstream",
        Check::Flag,
        Refused,
        With("auth-tls-secret"),
    ),
    key(
        "auth-tls-match-cn",
        Check::CommonName,
        Refused,
        With("auth-tls-secret"),
    ),
    key(
        "auth-type",
        Check::Word(&["basic", "digest"]),
        Refused,
        Open(
            "requests without a password, which NGINX answers with 401, are served; limits count them in NGINX too, which asks for the password after them",
        ),
    ),
    key("auth-secret", TEXT, Denied, With("auth-type")),
    key(
        "auth-secret-type",
        Check::Word(&["auth-file", "auth-map"]),
        Refused,
        With("auth-type"),
    ),
    key("auth-realm", SPACED, Refused, With("auth-type")),
    key(
        "auth-url",
        URL_WITH_VARIABLES,
        Refused,
        Open(
            "nobody is asked: requests that would be answered with 401 or 403, or with 500 while the service is down, are served, and its time is not spent; limits count them in NGINX too, which asks after them",
        ),
    ),
    key(
        "auth-method",
        Check::Word(&[
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
        ]),
        Denied,
        With("auth-url"),
    ),
    key("auth-signin", URL_WITH_VARIABLES, Default, With("auth-url")),
    key("auth-signin-redirect-param", URL, Default, With("auth-url")),
    key("auth-response-headers", HEADERS, Denied, With("auth-url")),
    key("auth-proxy-set-headers", TEXT, Default, With("auth-url")),
    key("auth-request-redirect", URL, Default, With("auth-url")),
    key("auth-cache-key", VARIABLES, Default, With("auth-url")),
    key(
        "auth-cache-duration",
        Check::Letters("-._~/:, "),
        Default,
        With("auth-url"),
    ),
    key(
        "auth-always-set-cookie",
        Check::Flag,
        Default,
        With("auth-url"),
    ),
    key("auth-keepalive", Check::Number, Default, With("auth-url")),
    key(
        "auth-keepalive-share-vars",
        Check::Flag,
        Default,
        With("auth-url"),
    ),
    key(
        "auth-keepalive-requests",
        Check::Number,
        Default,
        With("auth-url"),
    ),
    key(
        "auth-keepalive-timeout",
        Check::Number,
        Default,
        With("auth-url"),
    ),
    key("enable-global-auth", Check::Flag, Default, Used),
    key("allowlist-source-range", Check::Blocks, Denied, Used),
    key("denylist-source-range", Check::Blocks, Denied, Used),
    key("satisfy", Check::Word(&["any", "all"]), Default, Used),
    key(
        "enable-modsecurity",
        Check::Flag,
        Default,
        Open("nothing is looked at, and nothing refused with 403"),
    ),
    key(
        "enable-owasp-core-rules",
        Check::Flag,
        Default,
        With("enable-modsecurity"),
    ),
    key(
        "modsecurity-transaction-id",
        VARIABLES,
        Default,
        With("enable-modsecurity"),
    ),
    // what is kept of requests
    key("enable-access-log", Check::Flag, Default, Idle),
    key("enable-rewrite-log", Check::Flag, Default, Idle),
    key("enable-opentelemetry", Check::Flag, Default, Idle),
    key(
        "opentelemetry-trust-incoming-span",
        Check::Flag,
        Default,
        Idle,
    ),
    key("opentelemetry-operation-name", TEXT, Refused, Idle),
    key("http2-push-preload", Check::Flag, Refused, Idle),
    // configuration of NGINX itself
    key("configuration-snippet", Check::Any, Refused, Snippet),
    key("server-snippet", Check::Any, Refused, Snippet),
    key("stream-snippet", Check::Any, Refused, Snippet),
    key("auth-snippet", Check::Any, Refused, Snippet),
    key("modsecurity-snippet", Check::Any, Refused, Snippet),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_annotation_stands_once_and_leads_to_one_that_is_there() {
        let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        for (alias, name) in ALIASES {
            assert!(names.contains(name) && !names.contains(alias), "{alias}");
        }
        for key in KEYS {
            if let Bearing::With(other) = key.bearing {
                assert!(names.contains(other), "{}: {other}", key.name);
            }
        }
    }
}
