//! How heads are read, whatever their route.

use proxy_core::config::HeadRules;
use proxy_core::origin::OriginId;

use super::words::{block, list, variant, yes};
use crate::Area;
use crate::tell::{NONE, Sheet, maybe};

pub(super) fn heads(rules: &HeadRules, origin: OriginId) -> Sheet {
    let mut sheet = Sheet::default();
    let mut row = |what: &'static str, text: String| sheet.row(Area::Reading, what, text, origin);
    let client = &rules.client;
    row("client from the connection", yes(client.remote_address));
    row("trusted hops", client.trusted_hops.to_string());
    row(
        "x-forwarded-for kept as it is",
        yes(client.keeps_forwarded_for),
    );
    row(
        "internal addresses",
        list(client.internal.iter().map(block)),
    );
    row("x-forwarded-port", yes(client.forwarded_port));
    let believed = |all: &Vec<_>| list(all.iter().map(block));
    let believed = match &client.believed {
        Some(all) => believed(all),
        None => "everybody".to_owned(),
    };
    row("whose word is believed", believed);
    let id = rules.request_id;
    row("request id is made", yes(id.generates));
    row("request id of outside is kept", yes(id.keeps_external));
    row("request id in responses", yes(id.in_response));
    let certificate = rules.certificate;
    row("x-forwarded-client-cert", variant(&certificate.forwarding));
    let told = [
        ("subject", certificate.subject),
        ("certificate", certificate.certificate),
        ("chain", certificate.chain),
        ("DNS names", certificate.names),
        ("URIs", certificate.uris),
    ];
    let told = told.into_iter().filter(|(_, is)| *is).map(|(name, _)| name);
    row("told of the client's certificate", list(told));
    row("escaped slashes", variant(&rules.path.escaped_slashes));
    row("paths are normalized", yes(rules.path.normalizes));
    row("slashes are merged", yes(rules.path.merges_slashes));
    row(
        "port of the authority goes",
        variant(&rules.host.strip_port),
    );
    row("last dot of the authority goes", yes(rules.host.strip_dot));
    row("most header lines", rules.limits.headers.to_string());
    row("longest head in bytes", rules.limits.bytes.to_string());
    row("headers with underscores", variant(&rules.underscores));
    row("HTTP/1.0", yes(rules.http10));
    row(
        "host of HTTP/1.0",
        maybe(rules.default_host.as_deref(), str::to_owned),
    );
    row("scheme", maybe(rules.scheme, |it| it.as_str().to_owned()));
    row("scheme of the upstream", yes(rules.scheme_of_upstream));
    row("via", maybe(rules.via.as_deref(), str::to_owned));
    let server = match rules.server.name.is_empty() {
        true => NONE.to_owned(),
        false => rules.server.name.to_string(),
    };
    row(
        "server",
        format!("{server}, {}", variant(&rules.server.transformation)),
    );
    row(
        "headers of one's own clients alone",
        list(rules.internal_only.iter()),
    );
    row("says what it does in x-envoy headers", yes(rules.tells));
    sheet
}
