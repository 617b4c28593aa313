//! Fields whose only say is what people are told, and those of `headers`, one by one.

use super::rig::*;

#[test]
fn each_header_setting_writes_its_header() {
    // what is set, and the headers of an answer in plaintext and over TLS
    let rows = [
        ("frameDeny: true", "x-frame-options: DENY", ""),
        (
            "customFrameOptionsValue: SAMEORIGIN",
            "x-frame-options: SAMEORIGIN",
            "",
        ),
        (
            "{frameDeny: true, customFrameOptionsValue: SAMEORIGIN}",
            "x-frame-options: SAMEORIGIN",
            "",
        ),
        (
            "contentTypeNosniff: true",
            "x-content-type-options: nosniff",
            "",
        ),
        (
            "browserXssFilter: true",
            "x-xss-protection: 1; mode=block",
            "",
        ),
        ("customBrowserXSSValue: '0'", "x-xss-protection: 0", ""),
        ("contentSecurityPolicy: a", "content-security-policy: a", ""),
        (
            "contentSecurityPolicyReportOnly: b",
            "content-security-policy-report-only: b",
            "",
        ),
        ("referrerPolicy: origin", "referrer-policy: origin", ""),
        ("permissionsPolicy: p", "permissions-policy: p", ""),
        ("stsSeconds: 9", "", "strict-transport-security: max-age=9"),
        (
            "{stsSeconds: 9, stsIncludeSubdomains: true, stsPreload: true}",
            "",
            "strict-transport-security: max-age=9; includeSubDomains; preload",
        ),
        (
            "{stsSeconds: 9, forceSTSHeader: true}",
            "strict-transport-security: max-age=9",
            "",
        ),
        (
            "{stsSeconds: 0, frameDeny: true}",
            "x-frame-options: DENY",
            "",
        ),
        (
            "{stsSeconds: 9, isDevelopment: true, frameDeny: true}",
            "x-frame-options: DENY",
            "",
        ),
        ("customResponseHeaders: {X-A: '1'}", "x-a: 1", ""),
    ];
    for (setting, plain, more_over_tls) in rows {
        let spec = match setting.starts_with('{') {
            true => format!("headers: {setting}"),
            false => format!("headers: {{{setting}}}"),
        };
        let built = through(&[&spec]);
        let answered = |ask: &Ask<'_>| {
            let lines = built.answered(ask, &[]).into_iter();
            let lines = lines.map(|(name, value)| format!("{name}: {value}"));
            lines.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(answered(&get("shop.example", "/")), plain, "{setting}");
        let both = [plain, more_over_tls]
            .into_iter()
            .filter(|it| !it.is_empty());
        let both = both.collect::<Vec<_>>().join(", ");
        assert_eq!(
            answered(&over_tls("shop.example", "/")),
            both,
            "{setting} over TLS"
        );
    }
}

#[test]
fn settings_that_are_not_carried_out_are_told() {
    let rows = [
        (
            "headers: {addVaryHeader: true, frameDeny: true}",
            "answers do not say `Vary: Origin`",
        ),
        (
            "headers: {hostsProxyHeaders: [x-host], frameDeny: true}",
            "whatever these headers say",
        ),
        (
            "headers: {sslProxyHeaders: {x-proto: https}, frameDeny: true}",
            "whatever these headers say",
        ),
        (
            "headers: {publicKey: k, frameDeny: true}",
            "browsers are told of no keys",
        ),
        (
            "headers: {featurePolicy: f, frameDeny: true}",
            "warning[traefik::gone]",
        ),
        (
            "headers: {sslRedirect: true, frameDeny: true}",
            "warning[traefik::gone]",
        ),
        (
            "headers: {sslTemporaryRedirect: true, frameDeny: true}",
            "warning[traefik::gone]",
        ),
        (
            "headers: {sslHost: h, frameDeny: true}",
            "warning[traefik::gone]",
        ),
        (
            "headers: {sslForceHost: true, frameDeny: true}",
            "warning[traefik::gone]",
        ),
        ("compress: {}", "the size that their servers give them"),
        ("contentType: {}", "the content type that they have"),
        (
            "grpcWeb: {allowOrigins: ['*']}",
            "calls of browsers pass as they are",
        ),
        (
            "passTLSClientCert: {pem: true}",
            "servers are told nothing of clients' certificates",
        ),
        (
            "plugin: {demo: {}}",
            "requests and answers pass as they are",
        ),
        (
            "encodedCharacters: {allowEncodedSlash: true}",
            "paths pass whatever they escape",
        ),
        (
            "errors: {status: ['500-599'], service: {name: a, port: 80}, query: '/{status}', statusRewrites: {'500': 502}, errorRequestHeaders: [x]}",
            "failing answers keep their status and body",
        ),
        ("buffering: {maxResponseBodyBytes: 10}", "not modelled"),
        (
            "buffering: {retryExpression: 'IsNetworkError() && Attempts() < 2'}",
            "not modelled",
        ),
        (
            "rateLimit: {average: 5, redis: {endpoints: ['redis:6379']}}",
            "not modelled",
        ),
    ];
    for (spec, expected) in rows {
        let lines = through(&[spec]).lines();
        assert!(lines.contains(expected), "{spec}\n{lines}");
        assert!(!lines.contains("error["), "{spec}\n{lines}");
    }
}

#[test]
fn settings_of_transports_that_are_not_carried_out_are_told() {
    let with = |spec: &str| {
        let transport = object("ServersTransport", "t", spec);
        let route = routes(&[
            "{match: 'PathPrefix(`/`)', services: [{name: a, port: 80, serversTransport: t}]}",
        ]);
        build(&[route, transport]).lines()
    };
    let rows = [
        (
            "maxIdleConnsPerHost: 7",
            "idle connections are kept until their time is over, however many",
        ),
        (
            "cipherSuites: [TLS_AES_128_GCM_SHA256]",
            "its ciphers are the usual ones",
        ),
        (
            "minVersion: VersionTLS13",
            "its versions of TLS are the usual ones",
        ),
        (
            "maxVersion: VersionTLS13",
            "its versions of TLS are the usual ones",
        ),
        (
            "spiffe: {trustDomain: example}",
            "servers have no identities of SPIFFE",
        ),
        (
            "peerCertURI: spiffe://x",
            "a server's certificate needs no URI",
        ),
        (
            "forwardingTimeouts: {readIdleTimeout: 5s}",
            "are not asked whether they are alive",
        ),
        (
            "forwardingTimeouts: {pingTimeout: 5s}",
            "are not asked whether they are alive",
        ),
        (
            "rootCAs: [{secret: s, configMap: c}]",
            "error[traefik::root-ca]",
        ),
    ];
    for (spec, expected) in rows {
        let lines = with(spec);
        assert!(lines.contains(expected), "{spec}\n{lines}");
    }
}
