//! Settings by their keys.

use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::args::Setting;
use super::{ABOVE_ALL, EntryPoint, EntryRedirect, Install, Provider};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::dialects::traefik::rules::Syntax;
use crate::dialects::traefik::{blocks, duration};
use crate::text::Spanned;

/// Settings of these have no bearing on what becomes of requests.
const WITHOUT_BEARING: &[&str] = &[
    "accesslog",
    "api",
    "certificatesresolvers",
    "global",
    "hub",
    "log",
    "metrics",
    "ping",
    "tracing",
    "serverstransport.insecureskipverify",
    "serverstransport.rootcas",
];

/// Settings of an entry point that have none either.
const ENTRY_POINT_WITHOUT_BEARING: &[&str] = &[
    "allowacmebypass",
    "http.tls.certresolver",
    "http.tls.domains",
    "http2",
    "observability",
    "reuseport",
    "transport.lifecycle",
    "transport.respondingtimeouts.writetimeout",
];

/// Puts the settings in their places.
pub(super) fn apply(
    settings: &[Setting],
    install: &mut Install,
    release: &str,
    cx: &mut Compile<'_>,
) {
    for setting in settings {
        let key = setting.key.as_str();
        if let Some(rest) = key.strip_prefix("entrypoints.") {
            entry_point(rest, setting, install, release, cx);
        } else if let Some(rest) = under(key, "providers.kubernetescrd") {
            provider(rest, setting, &mut install.crd, cx);
        } else if let Some(rest) = under(key, "providers.kubernetesingress") {
            if rest == "strictprefixmatching" {
                install.strict_prefixes = is_true(setting);
            } else {
                provider(rest, setting, &mut install.ingress, cx);
            }
        } else if let Some(rest) = key.strip_prefix("serverstransport.forwardingtimeouts.") {
            forwarding(rest, setting, install, cx);
        } else if key == "core.defaultrulesyntax" {
            install.syntax = match setting.value.as_str() {
                "v2" => Syntax::V2,
                _ => Syntax::V3,
            };
        } else if WITHOUT_BEARING
            .iter()
            .all(|name| under(key, name).is_none())
        {
            not_modelled(setting, meaning_of(key), cx);
        }
    }
    let asks = settings
        .iter()
        .any(|it| it.key.ends_with(".asdefault") && is_true(it));
    if asks {
        // where some ask for it, the others are no defaults
        for entry_point in &mut install.entry_points {
            let key = format!("entrypoints.{}.asdefault", entry_point.name);
            entry_point.is_default = settings.iter().any(|it| it.key == key && is_true(it));
        }
    }
    install.entry_points.retain(|it| it.port != 0);
}

fn meaning_of(key: &str) -> &'static str {
    if under(key, "configfile").is_some() || under(key, "providers.file").is_some() {
        return "the file is not read: what it sets and routes is not there";
    }
    if under(key, "providers").is_some() {
        return "what this provider brings is not there";
    }
    if under(key, "experimental").is_some() {
        return "plugins do nothing";
    }
    "it is as if it were not set"
}

/// What follows a key's first parts; empty for the key itself.
fn under<'k>(key: &'k str, first: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(first)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('.')
}

fn is_true(setting: &Setting) -> bool {
    setting.value.eq_ignore_ascii_case("true") || setting.value == "1"
}

fn not_modelled(setting: &Setting, meaning: &str, cx: &mut Compile<'_>) {
    cx.diagnostics.push(
        Diagnostic::not_modelled(
            "traefik::setting",
            format!("Traefik's setting `{}` is not modelled", setting.key),
            meaning,
        )
        .label(setting.span, ""),
    );
}

fn bad(setting: &Setting, wanted: &str, cx: &mut Compile<'_>) {
    let message = format!("`{}` cannot be `{}`", setting.key, setting.value);
    cx.diagnostics.push(
        Diagnostic::error("traefik::bad-setting", message)
            .label(setting.span, "not a value of it")
            .help(format!("write {wanted}")),
    );
}

fn time(setting: &Setting, cx: &mut Compile<'_>) -> Option<Sourced<Duration>> {
    let found = duration::parse(&setting.value);
    if found.is_none() {
        bad(setting, "a length of time such as `30s`", cx);
    }
    found.map(|time| Sourced::new(time, cx.origins.written(setting.span)))
}

/// A length of time, of which 0 is for ever.
fn limit(setting: &Setting, cx: &mut Compile<'_>) -> Option<Option<Sourced<Duration>>> {
    let found = time(setting, cx)?;
    Some(Some(found).filter(|time| time.value > Duration::ZERO))
}

fn entry_point(
    rest: &str,
    setting: &Setting,
    install: &mut Install,
    release: &str,
    cx: &mut Compile<'_>,
) {
    let (name, key) = rest.split_once('.').unwrap_or((rest, ""));
    let at = install.entry_points.iter().position(|it| it.name == name);
    let at = at.unwrap_or_else(|| {
        let mut new = EntryPoint::new(name, 0, release, cx);
        new.origin = cx.origins.written(setting.span);
        install.entry_points.push(new);
        install.entry_points.len() - 1
    });
    let entry = &mut install.entry_points[at];
    match key {
        "" => {}
        "address" => match address(&setting.value) {
            Some((port, udp)) => {
                (entry.port, entry.udp) = (port, udp);
                entry.origin = cx.origins.written(setting.span);
            }
            None => bad(setting, "an address such as `:8000` or `:53/udp`", cx),
        },
        // of all of them; see `apply`
        "asdefault" => {}
        "http.tls" | "http.tls.options" => {
            let is_set = key != "http.tls" || is_true(setting);
            entry.tls = is_set.then(|| cx.origins.written(setting.span));
            if key == "http.tls.options" {
                not_modelled(setting, "its TLS is that of the default options", cx);
            }
        }
        "http.middlewares" => {
            let names = setting.value.split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty());
            let names = names.map(|name| Spanned::new(name.to_owned(), setting.span));
            entry.middlewares.extend(names);
        }
        "http.redirections.entrypoint.to" => redirect(entry, setting).to.clone_from(&setting.value),
        "http.redirections.entrypoint.scheme" => {
            redirect(entry, setting).scheme.clone_from(&setting.value);
        }
        "http.redirections.entrypoint.permanent" => {
            redirect(entry, setting).permanent = is_true(setting);
        }
        "http.redirections.entrypoint.priority" => match setting.value.parse() {
            Ok(priority) => redirect(entry, setting).priority = priority,
            Err(_) => bad(setting, "a whole number", cx),
        },
        "http.sanitizepath" => entry.sanitizes = is_true(setting),
        "forwardedheaders.insecure" => {
            if is_true(setting) {
                let all = ["0.0.0.0/0", "::/0"];
                entry
                    .believed
                    .extend(all.into_iter().filter_map(blocks::parse));
            }
        }
        "forwardedheaders.trustedips" => {
            for range in setting.value.split(',').map(str::trim) {
                match blocks::parse(range) {
                    Some(block) => entry.believed.push(block),
                    None => bad(setting, "addresses and blocks of them, with commas", cx),
                }
            }
        }
        "forwardedheaders.notappendxforwardedfor" => entry.keeps_forwarded_for = is_true(setting),
        "transport.respondingtimeouts.readtimeout" => {
            if let Some(found) = limit(setting, cx) {
                install.entry_points[at].read_timeout = found;
            }
        }
        "transport.respondingtimeouts.idletimeout" => {
            if let Some(found) = limit(setting, cx) {
                install.entry_points[at].idle_timeout = found;
            }
        }
        "transport.keepalivemaxtime" => {
            if let Some(found) = limit(setting, cx) {
                install.entry_points[at].max_age = found;
            }
        }
        "transport.keepalivemaxrequests" => match setting.value.parse::<u32>() {
            Ok(0) => entry.max_requests = None,
            Ok(most) => {
                let origin = cx.origins.written(setting.span);
                entry.max_requests = Some(Sourced::new(most, origin));
            }
            Err(_) => bad(setting, "a whole number", cx),
        },
        "udp.timeout" => {
            if let Some(found) = time(setting, cx) {
                install.entry_points[at].udp_timeout = found;
            }
        }
        other => {
            let known = ENTRY_POINT_WITHOUT_BEARING.iter();
            if known.into_iter().all(|name| under(other, name).is_none()) {
                let meaning = match other {
                    _ if other.starts_with("proxyprotocol") => {
                        "connections begin with their first byte"
                    }
                    _ if other.starts_with("http3") => "HTTP/3 is not spoken",
                    _ => "it is as if it were not set",
                };
                not_modelled(setting, meaning, cx);
            }
        }
    }
}

/// `:8000`, `0.0.0.0:8000/tcp`, `[::]:53/udp`.
fn address(text: &str) -> Option<(u16, bool)> {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (_, port) = address.rsplit_once(':')?;
    let udp = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some((port, udp))
}

fn redirect<'e>(entry: &'e mut EntryPoint, setting: &Setting) -> &'e mut EntryRedirect {
    entry.redirect.get_or_insert_with(|| EntryRedirect {
        to: String::new(),
        scheme: "https".to_owned(),
        permanent: true,
        priority: ABOVE_ALL,
        span: setting.span,
    })
}

fn provider(rest: &str, setting: &Setting, provider: &mut Provider, cx: &mut Compile<'_>) {
    let list = || setting.value.split(',').map(|it| it.trim().to_owned());
    // any setting of a provider starts it
    provider.enabled = !rest.is_empty() || is_true(setting);
    match rest {
        "" => {}
        "ingressclass" => {
            provider.class = Some(setting.value.clone()).filter(|class| !class.is_empty());
        }
        "namespaces" => provider.namespaces = list().collect(),
        "allowcrossnamespace" => provider.cross_namespace = is_true(setting),
        "allowexternalnameservices" => provider.external_names = is_true(setting),
        "allowemptyservices" => provider.empty_services = is_true(setting),
        "nativelbbydefault" => {
            let origin = cx.origins.written(setting.span);
            provider.native_lb = Sourced::new(is_true(setting), origin);
        }
        "labelselector" => not_modelled(setting, "objects are read whatever their labels", cx),
        other => {
            const KNOWN: &[&str] = &[
                "certauthfilepath",
                "crossprovidernamespaces",
                "disableclusterscoperesources",
                "disableingressclasslookup",
                "endpoint",
                "ingressendpoint",
                "throttleduration",
                "token",
            ];
            if KNOWN.iter().all(|name| under(other, name).is_none()) {
                not_modelled(setting, "it is as if it were not set", cx);
            }
        }
    }
}

fn forwarding(rest: &str, setting: &Setting, install: &mut Install, cx: &mut Compile<'_>) {
    match rest {
        "dialtimeout" => {
            if let Some(found) = time(setting, cx) {
                install.transport.dial_timeout = found;
            }
        }
        "responseheadertimeout" => {
            if let Some(found) = limit(setting, cx) {
                install.transport.response_header_timeout = found;
            }
        }
        "idleconntimeout" => {
            if let Some(found) = time(setting, cx) {
                install.transport.idle_timeout = found;
            }
        }
        _ => not_modelled(setting, "it is as if it were not set", cx),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_and_a_protocol() {
        for (text, want) in [
            (":8000", Some((8000, false))),
            ("0.0.0.0:80/tcp", Some((80, false))),
            ("[::]:53/udp", Some((53, true))),
            (":53/UDP", Some((53, true))),
            ("8000", None),
            (":0", None),
            (":80/sctp", None),
            (":http", None),
        ] {
            assert_eq!(address(text), want, "{text}");
        }
    }

    #[test]
    fn a_key_is_under_another_by_its_parts() {
        for (key, first, want) in [
            (
                "providers.kubernetescrd",
                "providers.kubernetescrd",
                Some(""),
            ),
            (
                "providers.kubernetescrd.a.b",
                "providers.kubernetescrd",
                Some("a.b"),
            ),
            (
                "providers.kubernetesingressnginx",
                "providers.kubernetesingress",
                None,
            ),
        ] {
            assert_eq!(under(key, first), want, "{key}");
        }
    }
}
