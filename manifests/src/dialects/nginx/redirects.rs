//! Answers of NGINX's own: redirects, refusals, preflights.

use proxy_core::config::{DirectResponse, PathRedirect, Redirect, RouteAction};

use super::annotations::Notes;
use super::policy::Controller;
use super::servers::{Location, Plan};
use super::values;
use crate::diagnostics::{Diagnostic, Diagnostics};

/// An answer with a status and nothing else.
pub(super) fn direct(status: u16) -> RouteAction {
    RouteAction::Direct(DirectResponse {
        status,
        body: "".into(),
    })
}

/// `temporal-redirect`, else `permanent-redirect`. An address that is none is passed over.
///
/// Source: `internal/ingress/annotations/redirect/redirect.go`.
pub(super) fn written(notes: &Notes, out: &mut Diagnostics) -> Option<RouteAction> {
    let (name, code, codes, default) = match notes.text("temporal-redirect") {
        Some(_) => (
            "temporal-redirect",
            "temporal-redirect-code",
            300..=307,
            302,
        ),
        None => (
            "permanent-redirect",
            "permanent-redirect-code",
            300..=308,
            301,
        ),
    };
    let url = notes.text(name)?;
    let written = notes.number(code);
    let status = written.as_ref().and_then(|it| u16::try_from(it.value).ok());
    let status = status.filter(|status| codes.contains(status));
    if let Some(code) = written.filter(|_| status.is_none()) {
        out.push(
            Diagnostic::warning("nginx::redirect-code", "not a status of redirects")
                .label(code.span, format!("taken for {default}")),
        );
    }
    let Some(to) = address(url) else {
        out.push(
            Diagnostic::error(
                "nginx::bad-annotation",
                format!("`{name}` cannot be `{}`", url.value),
            )
            .label(url.span, "no address of a page")
            .help("write scheme and host, as `https://www.example.com/`; ingress-nginx passes over this value"),
        );
        return None;
    };
    Some(RouteAction::Redirect(Box::new(Redirect {
        status: status.unwrap_or(default),
        ..to
    })))
}

/// A redirect to an address as it stands.
fn address(url: &str) -> Option<Redirect> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.starts_with("http") {
        return None;
    }
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    (!host.is_empty()).then(|| Redirect {
        status: 301,
        scheme: Some(scheme.into()),
        host: Some(host.into()),
        port: None,
        path: Some(PathRedirect::Full(path.into())),
        // a query of the address itself stays
        strip_query: !path.contains('?'),
        omits_own_port: false,
    })
}

/// `app-root`: where the root of a host leads; a path that is none is passed over.
pub(super) fn app_root(notes: &Notes, out: &mut Diagnostics) -> Option<RouteAction> {
    let root = notes.text("app-root")?;
    if !root.starts_with('/') {
        out.push(
            Diagnostic::error(
                "nginx::bad-annotation",
                format!("`app-root` cannot be `{}`", root.value),
            )
            .label(root.span, "does not begin with `/`")
            .help("ingress-nginx passes over this value"),
        );
        return None;
    }
    Some(RouteAction::Redirect(Box::new(Redirect {
        status: 302,
        scheme: None,
        host: None,
        port: None,
        path: Some(PathRedirect::Full(root.as_str().into())),
        strip_query: true,
        omits_own_port: false,
    })))
}

/// Whether a request in plaintext is sent to TLS.
///
/// Source: `rootfs/etc/nginx/lua/lua_ingress.lua` (`redirect_to_https`).
pub(super) fn goes_to_tls(
    location: &Location<'_>,
    host: &str,
    controller: &Controller,
    plan: &Plan<'_>,
) -> bool {
    let settings = &controller.settings;
    let notes = location.ingress.map(|it| &it.notes);
    let flag = |name: &str, default: bool| {
        let own = notes.and_then(|notes| notes.flag(name));
        own.map_or_else(|| settings.flag(name, default), |it| it.value)
    };
    let plain = settings.plain_locations();
    if plain.iter().any(|start| location.path.starts_with(start)) {
        return false;
    }
    flag("force-ssl-redirect", false) || (flag("ssl-redirect", true) && plan.has_certificate(host))
}

/// The redirect to TLS; a slash at the end of the path goes unless it is to stay.
///
/// Departs: so it is where a query follows, while NGINX looks at the end of the whole.
pub(super) fn to_tls(location: &Location<'_>, controller: &Controller) -> RouteAction {
    let settings = &controller.settings;
    let own = location
        .ingress
        .and_then(|it| it.notes.flag("preserve-trailing-slash"));
    let keeps = own.map_or_else(
        || settings.flag("preserve-trailing-slash", false),
        |it| it.value,
    );
    RouteAction::Redirect(Box::new(Redirect {
        status: settings.number("http-redirect-code", 308),
        scheme: Some("https".into()),
        host: None,
        port: Some(443),
        path: (!keeps).then(without_last_slash),
        strip_query: false,
        omits_own_port: true,
    }))
}

fn without_last_slash() -> PathRedirect {
    let pattern = regex::Regex::new("/$").expect("a fixed pattern");
    PathRedirect::Regex(Box::new(pattern), "".into())
}

/// From the host with, or without, `www.` to the other. Source: `rootfs/etc/nginx/lua/nginx/ngx_srv_redirect.lua`.
pub(super) fn to_host(host: &str, controller: &Controller) -> RouteAction {
    RouteAction::Redirect(Box::new(Redirect {
        status: controller.settings.number("http-redirect-code", 308),
        scheme: None,
        host: Some(host.into()),
        port: None,
        path: Some(without_last_slash()),
        strip_query: false,
        omits_own_port: false,
    }))
}

/// From a path without the slash at its end to the one with it, which NGINX answers by itself.
///
/// Source: NGINX `ngx_http_core_find_static_location` (`auto_redirect`).
pub(super) fn to_slash(path: &str) -> RouteAction {
    RouteAction::Redirect(Box::new(Redirect {
        status: 301,
        scheme: None,
        host: None,
        port: None,
        path: Some(PathRedirect::Full(path.into())),
        strip_query: false,
        omits_own_port: false,
    }))
}

/// The longest body that is taken; 0: any.
pub(super) fn body_size(text: &str) -> Option<u64> {
    values::size(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_redirected_to_as_it_stands() {
        let rows = [
            ("https://www.example.com", "https", "www.example.com", ""),
            ("http://a.b:8080/c?d=e", "http", "a.b:8080", "/c?d=e"),
        ];
        for (url, scheme, host, path) in rows {
            let to = address(url).expect(url);
            assert_eq!(to.scheme.as_deref(), Some(scheme), "{url}");
            assert_eq!(to.host.as_deref(), Some(host), "{url}");
            assert!(
                matches!(&to.path, Some(PathRedirect::Full(full)) if **full == *path),
                "{url}"
            );
        }
        for url in ["/path", "ftp://a", "https://", "example.com"] {
            assert!(address(url).is_none(), "{url}");
        }
    }
}
