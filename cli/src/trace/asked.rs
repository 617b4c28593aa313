//! The request that the arguments describe.

use manifests::diagnostics::did_you_mean;
use manifests::model::Model;
use scenarios::plan::Plan;
use scenarios::plan::WorkloadId;
use sim::Flight;
use sim::trace::{Request, Source};

use super::Args;

/// A URL, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    pub(super) tls: bool,
    /// Lower case; with a port when that is not the scheme's.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

/// A header with its name in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    name: String,
    value: String,
}

pub(super) fn url(text: &str) -> Result<Url, String> {
    let (tls, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, _)) => return Err(format!("`{scheme}` is not http or https")),
        None => (false, text),
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (&*authority, None),
    };
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(letter) {
        return Err("a host such as `api.example.com` or `orders.shop:8080` is missing".into());
    }
    let number = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(number)) if number > 0 => Some(number),
        Some(_) => return Err("the port is a number from 1 to 65535".into()),
    };
    if path.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err("the path has a character that must be escaped".into());
    }
    let own = if tls { 443 } else { 80 };
    Ok(Url {
        tls,
        authority: match number.filter(|number| *number != own) {
            None => host.to_owned(),
            Some(number) => format!("{host}:{number}"),
        },
        path: match path.strip_prefix('?') {
            Some(_) => format!("/{path}"),
            None if path.is_empty() => "/".to_owned(),
            None => path.to_owned(),
        },
    })
}

/// The authority that a `Host` header names.
fn host(value: &str) -> Result<String, String> {
    match url(value) {
        Ok(named) if named.path == "/" && !value.contains(['/', '?', '#']) => Ok(named.authority),
        Ok(_) | Err(_) => Err(format!("`-H`: `{}` is no host", value.escape_debug())),
    }
}

pub(super) fn method(text: &str) -> Result<String, String> {
    let good = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    match good {
        true => Ok(text.to_owned()),
        false => Err("a method such as `GET` is in capital letters".into()),
    }
}

pub(super) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("write it as in `x-user: u1`")?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`{name}` is no name of a header"));
    }
    let value = value.trim();
    match value.bytes().all(|b| b >= b' ' && b != 0x7f) {
        true => Ok(Header {
            name,
            value: value.to_owned(),
        }),
        false => Err("its value has a control character".into()),
    }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("write it as in `512`, `4KiB` or `1MiB`".into()),
    };
    let number = digits.parse::<u64>().ok();
    let bytes = number.and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| *bytes <= 1 << 40)
        .ok_or_else(|| "write it as in `512`, `4KiB` or `1MiB`, at most 1024GiB".into())
}

/// The request, its sender looked up among what the manifests have.
pub(super) fn request(args: &Args, flight: &Flight) -> Result<Request, String> {
    let from = source(args.from.as_deref(), flight)?;
    if args.url.tls && !matches!(from, Source::Gateway(_)) {
        return Err(
            "`https` leads to gateways alone: that an application speaks TLS itself is not traced"
                .into(),
        );
    }
    let method = match (&args.method, args.data) {
        (Some(method), _) => method,
        (None, None) => "GET",
        (None, Some(_)) => "POST",
    };
    let mut authority = args.url.authority.clone();
    let mut headers = Vec::new();
    for header in &args.header {
        match header.name.as_str() {
            // as curl has it: the connection goes where the URL says, which a gateway does not look at
            "host" if matches!(from, Source::Gateway(_)) => authority = host(&header.value)?,
            "host" => return Err("the URL names the host: leave `-H 'Host: …'` to gateways".into()),
            name => headers.push((name.into(), header.value.as_str().into())),
        }
    }
    Ok(Request {
        from,
        tls: args.url.tls,
        method: method.into(),
        authority: authority.into(),
        path: args.url.path.as_str().into(),
        headers,
        size: args.data.unwrap_or(0),
    })
}

fn source(from: Option<&str>, flight: &Flight) -> Result<Source, String> {
    let model = &*flight.model;
    match from {
        None if model.gateways().is_empty() => Ok(Source::Outside),
        None => Ok(Source::Gateway(None)),
        Some("outside") => Ok(Source::Outside),
        Some("gateway") if model.gateways().is_empty() => Err(
            "`--from gateway`: the manifests have no gateway; `--from outside` leads straight to a Service"
                .into(),
        ),
        Some("gateway") => Ok(Source::Gateway(None)),
        Some(text) => match text.split_once('=') {
            Some(("gateway", name)) => gateway(name, model),
            Some(_) | None => sender(text, model, &flight.plan),
        },
    }
}

fn gateway(name: &str, model: &Model) -> Result<Source, String> {
    let names: Vec<&str> = model.gateways().iter().map(|it| &*it.name).collect();
    let is_it = |full: &&&str| **full == name || full.rsplit('/').next() == Some(name);
    match names.iter().find(is_it) {
        Some(full) => Ok(Source::Gateway(Some((*full).into()))),
        None => Err(unknown("gateway", name, &names)),
    }
}

/// The workload of this name, its pod of this name, or the workload that a pod which a cluster named would be of.
fn sender(text: &str, model: &Model, plan: &Plan) -> Result<Source, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    let of_namespace = model
        .workloads()
        .iter()
        .filter(|each| &*each.namespace == namespace);
    let fitting = of_namespace.filter(|each| {
        let rest = name.strip_prefix(&*each.name);
        rest.is_some_and(|rest| rest.is_empty() || is_ordinal(rest) || is_generated(rest))
    });
    let full = format!("{namespace}/{name}");
    let Some(found) = fitting.max_by_key(|each| each.name.len()) else {
        let names: Vec<String> = model
            .workloads()
            .iter()
            .map(|each| each.full_name())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(unknown("workload", &full, &names));
    };
    let id = WorkloadId(found.id.0);
    let rest = &name[found.name.len()..];
    if rest.is_empty() {
        return Ok(Source::Workload(id));
    }
    let versions = plan.workloads.get(id.index()).map(|it| &*it.versions);
    let count = versions
        .unwrap_or_default()
        .iter()
        .map(|version| version.replicas)
        .sum();
    let world = &model.world().workloads()[id.index()];
    match (0..count).find(|ordinal| world.pod_name(*ordinal) == name) {
        Some(ordinal) => Ok(Source::Pod(id, ordinal)),
        None if is_generated(rest) => Ok(Source::Workload(id)),
        None => {
            let there = match count {
                0 => "has no pod".to_owned(),
                1 => format!("has one pod, {}", world.pod_name(0)),
                2 => format!(
                    "has 2 pods, {} and {}",
                    world.pod_name(0),
                    world.pod_name(1)
                ),
                _ => format!(
                    "has {count} pods, {} to {}",
                    world.pod_name(0),
                    world.pod_name(count - 1)
                ),
            };
            Err(format!(
                "`--from`: there is no pod `{full}`: {} {there}",
                found.full_name()
            ))
        }
    }
}

/// `-0`, as the pods of a StatefulSet are called, and all that are simulated.
fn is_ordinal(rest: &str) -> bool {
    let digits = rest.strip_prefix('-').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `-7c5ddbdf54-x2v9k` of a Deployment, `-x2v9k` of a DaemonSet. Source: Kubernetes' name generators, whose letters are
/// `bcdfghjklmnpqrstvwxz2456789`.
fn is_generated(rest: &str) -> bool {
    let drawn = |part: &str| {
        part.bytes()
            .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
    };
    let Some(rest) = rest.strip_prefix('-') else {
        return false;
    };
    let parts: Vec<&str> = rest.split('-').collect();
    match parts.as_slice() {
        [pod] => pod.len() == 5 && drawn(pod),
        [set, pod] => (6..=10).contains(&set.len()) && drawn(set) && pod.len() == 5 && drawn(pod),
        _ => false,
    }
}

fn unknown(what: &str, name: &str, names: &[&str]) -> String {
    let help = did_you_mean(name, names.iter().copied());
    let there = match names.is_empty() {
        true => format!("the manifests have no {what}"),
        false => format!("there is {}", names.join(", ")),
    };
    format!(
        "`--from`: there is no {what} `{name}`; {}",
        help.unwrap_or(there)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        for (text, tls, authority, path) in [
            (
                "http://api.example.com/a?x=1#top",
                false,
                "api.example.com",
                "/a?x=1",
            ),
            ("https://API.example.com", true, "api.example.com", "/"),
            ("https://a:443/", true, "a", "/"),
            ("http://a:443/", false, "a:443", "/"),
            ("orders.shop:8080/pay", false, "orders.shop:8080", "/pay"),
            ("orders?x", false, "orders", "/?x"),
        ] {
            let expected = Url {
                tls,
                authority: authority.into(),
                path: path.into(),
            };
            assert_eq!(url(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "/a",
            "ftp://a/",
            "http://:80/",
            "a:0",
            "a:x",
            "a b/",
            "a/b c",
            "u@a/",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4KiB", Some(4096)),
            ("2MiB", Some(2 << 20)),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["", "KiB", "4kb", "-1", "99999999999999999999", "2000GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let expected = Header {
            name: "x-user".into(),
            value: "u1: a".into(),
        };
        assert_eq!(header("X-User:  u1: a "), Ok(expected));
        for text in ["x", ": a", "a b: c", "a: \u{7}"] {
            assert!(header(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_pods_are_told_from_names_of_others() {
        for (suffix, expected) in [
            ("-0", true),
            ("-12", true),
            ("-7c5ddbdf54-x2v9k", true),
            ("-x2v9k", true),
            ("-v2", false),
            ("-canary", false),
            ("-", false),
            ("x", false),
        ] {
            let found = is_ordinal(suffix) || is_generated(suffix);
            assert_eq!(found, expected, "{suffix}");
        }
    }
}
