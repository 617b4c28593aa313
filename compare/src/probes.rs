//! Requests that a route takes, and near ones that it must not take.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use proxy_core::config::{
    HeaderMatch, ParamMatch, PathMatch, Route, RouteMatch, TextMatch, VirtualHost,
};
use proxy_core::heads::OwnedHead;

use super::sample::samples;

/// Routes of two hosts together, up to which each is asked with the conditions of each other.
const CROSSED: usize = 24;
/// A path that nobody has.
const NOWHERE: &str = "/no/such/path";
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));

/// What requests of two virtual hosts are asked with, the plainest first; none of them: no such host.
pub(crate) fn requests(
    hosts: [Option<&VirtualHost>; 2],
    authority: &str,
    tls: bool,
    most: usize,
) -> (Vec<OwnedHead>, usize) {
    let mut all = BTreeSet::new();
    for path in ["/", NOWHERE] {
        for method in ["GET", "POST"] {
            all.insert(OwnedHead::new(method, tls, authority, path));
        }
    }
    let routes: Vec<&Route> = hosts
        .into_iter()
        .flatten()
        .flat_map(|host| &host.routes)
        .collect();
    let probes: Vec<Probe> = routes
        .iter()
        .map(|route| Probe::of(&route.matches))
        .collect();
    for probe in &probes {
        probe.around(authority, tls, &mut all);
    }
    if probes.len() <= CROSSED {
        for one in &probes {
            for other in &probes {
                one.crossed(other, authority, tls, &mut all);
            }
        }
    }
    let mut all: Vec<OwnedHead> = all.into_iter().collect();
    all.sort_by_key(|it| (it.headers.len(), it.path.len(), it.method != "GET"));
    let beyond = all.len().saturating_sub(most);
    all.truncate(most);
    (all, beyond)
}

/// Authorities that conditions of routes ask for.
pub(crate) fn authorities(host: &VirtualHost) -> impl Iterator<Item = String> + '_ {
    let conditions = host.routes.iter().flat_map(|route| &route.matches.headers);
    let of_authority = |it: &&HeaderMatch| matches!(&*it.name, ":authority" | ":hostname" | "host");
    conditions.filter(of_authority).flat_map(|condition| {
        let values = Values::of(condition);
        values.good.into_iter().chain(values.near).flatten()
    })
}

/// Values that a condition takes, and near ones; none: the header is not there.
struct Values {
    good: Vec<Option<String>>,
    near: Vec<Option<String>>,
}

impl Values {
    fn of(condition: &HeaderMatch) -> Self {
        Self::of_text(&condition.value, condition.invert)
    }

    fn of_text(value: &TextMatch, invert: bool) -> Self {
        let some = |texts: Vec<String>| texts.into_iter().map(Some).collect::<Vec<_>>();
        let other = |text: &str| format!("{text}x");
        let (good, near) = match value {
            TextMatch::Exact(text) => (
                some(vec![text.to_string()]),
                some(vec![other(text), format!("x{text}"), flipped(text)]),
            ),
            TextMatch::Prefix(text) => (
                some(vec![other(text), text.to_string()]),
                some(vec![format!("x{text}"), flipped(text)]),
            ),
            TextMatch::Suffix(text) => (
                some(vec![format!("x{text}"), text.to_string()]),
                some(vec![other(text), flipped(text)]),
            ),
            TextMatch::Contains(text) => (
                some(vec![format!("x{text}x"), text.to_string()]),
                some(vec!["x".to_owned(), flipped(text)]),
            ),
            TextMatch::Regex(regex) => {
                let (good, near): (Vec<String>, Vec<String>) = samples(regex.as_str())
                    .into_iter()
                    .partition(|text| regex.is_match(text));
                let beyond = good.first().map(|text| other(text));
                (some(good), some(near.into_iter().chain(beyond).collect()))
            }
            TextMatch::Range(from, below) => (
                some(vec![from.to_string(), below.saturating_sub(1).to_string()]),
                some(vec![from.saturating_sub(1).to_string(), below.to_string()]),
            ),
            TextMatch::Address(blocks) => (
                some(blocks.iter().map(|it| it.address.to_string()).collect()),
                some(vec![ELSEWHERE.to_string()]),
            ),
            TextMatch::Present => (some(vec!["x".to_owned()]), Vec::new()),
        };
        let absent = [None, Some("other".to_owned())];
        match invert {
            false => Self {
                good,
                near: near.into_iter().chain(absent).collect(),
            },
            true if matches!(value, TextMatch::Present) => Self {
                good: vec![None],
                near: good,
            },
            true => Self {
                good: [Some("other".to_owned()), None]
                    .into_iter()
                    .chain(near)
                    .collect(),
                near: good,
            },
        }
    }

    /// The first value that the condition takes.
    fn first(&self) -> Option<&str> {
        self.good.first().and_then(Option::as_deref)
    }

    fn others(&self) -> impl Iterator<Item = Option<&str>> {
        let rest = self.good.iter().skip(1);
        rest.chain(&self.near).map(Option::as_deref)
    }
}

/// What the conditions of a route are asked with.
struct Probe {
    methods: Vec<String>,
    /// That the route takes, and then near ones; a query may stand at the end.
    paths: Vec<String>,
    near_paths: Vec<String>,
    is_connect: bool,
    grpc: bool,
    headers: Vec<(String, Values)>,
    params: Vec<(String, Values)>,
}

impl Probe {
    fn of(matches: &RouteMatch) -> Self {
        let (mut paths, mut near_paths) = paths(&matches.path);
        let slashed = |paths: &mut Vec<String>| {
            for path in paths {
                if !path.starts_with('/') {
                    path.insert(0, '/');
                }
            }
        };
        slashed(&mut paths);
        slashed(&mut near_paths);
        if paths.is_empty() {
            paths.push("/".to_owned());
        }
        let param = |it: &ParamMatch| (it.name.to_string(), Values::of_text(&it.value, it.invert));
        Self {
            methods: matches.methods.iter().map(ToString::to_string).collect(),
            paths,
            near_paths,
            is_connect: matches!(matches.path, PathMatch::Connect),
            grpc: matches.grpc,
            headers: matches
                .headers
                .iter()
                .map(|it| (it.name.to_string(), Values::of(it)))
                .collect(),
            params: matches.params.iter().map(param).collect(),
        }
    }

    /// The plainest request that the route takes.
    fn plain(&self, authority: &str, tls: bool) -> OwnedHead {
        let method = self.methods.first().map_or("GET", |it| it);
        let mut request = OwnedHead::new(method, tls, authority, &self.paths[0]);
        if self.is_connect {
            "CONNECT".clone_into(&mut request.method);
            request.path.clear();
        }
        self.conditions(&mut request);
        request
    }

    /// Puts in what conditions beside the path ask for.
    fn conditions(&self, request: &mut OwnedHead) {
        for (name, values) in &self.headers {
            put(request, name, values.first());
        }
        for (name, values) in &self.params {
            put_param(request, name, values.first());
        }
        if self.grpc {
            put(request, "content-type", Some("application/grpc"));
        }
    }

    fn around(&self, authority: &str, tls: bool, all: &mut BTreeSet<OwnedHead>) {
        let plain = self.plain(authority, tls);
        for path in self
            .paths
            .iter()
            .chain(&self.near_paths)
            .filter(|_| !self.is_connect)
        {
            let mut request = plain.clone();
            let query = plain.path.split_once('?').map(|(_, query)| query);
            request.path = match query {
                Some(query) => format!("{path}?{query}"),
                None => path.clone(),
            };
            all.insert(request);
        }
        let mut asked = plain.clone();
        put_param(&mut asked, "q", Some("1"));
        all.insert(asked);
        let others = ["GET", "POST", "DELETE"].map(str::to_owned);
        for method in self.methods.iter().chain(&others) {
            let mut request = plain.clone();
            request.method.clone_from(method);
            if request.path.is_empty() {
                request.path.push('/');
            }
            all.insert(request);
        }
        for (name, values) in &self.headers {
            for value in values.others() {
                let mut request = plain.clone();
                put(&mut request, name, value);
                all.insert(request);
            }
        }
        for (name, values) in &self.params {
            for value in values.others() {
                let mut request = plain.clone();
                put_param(&mut request, name, value);
                all.insert(request);
            }
        }
        if self.grpc {
            let mut request = plain.clone();
            put(&mut request, "content-type", None);
            all.insert(request);
        }
        all.insert(plain);
    }

    /// A request that both take, where their conditions allow it.
    fn crossed(&self, other: &Self, authority: &str, tls: bool, all: &mut BTreeSet<OwnedHead>) {
        let mut request = self.plain(authority, tls);
        other.conditions(&mut request);
        if let Some(method) = other.methods.first().filter(|_| self.methods.is_empty()) {
            request.method.clone_from(method);
        }
        if request.path.is_empty() && request.method != "CONNECT" {
            request.path.push('/');
        }
        all.insert(request);
    }
}

fn paths(path: &PathMatch) -> (Vec<String>, Vec<String>) {
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    match path {
        PathMatch::Exact(text) => (
            vec![text.to_string()],
            vec![
                format!("{text}bar"),
                format!("{text}/"),
                format!("{text}/x"),
                bare(text),
                flipped(text),
            ],
        ),
        PathMatch::Prefix(text) => (
            vec![
                text.to_string(),
                format!("{text}bar"),
                format!("{}/x", bare(text)),
            ],
            vec![
                bare(text),
                format!("{}bar", bare(text)),
                flipped(text),
                format!("/x{text}"),
            ],
        ),
        PathMatch::Segments(text) => (
            vec![text.to_string(), format!("{text}/"), format!("{text}/x")],
            vec![format!("{text}bar"), flipped(text), format!("/x{text}")],
        ),
        PathMatch::Regex(regex) | PathMatch::RegexStart(regex) => {
            let (good, near): (Vec<String>, Vec<String>) = samples(regex.as_str())
                .into_iter()
                .partition(|text| regex.is_match(text));
            let mut beyond = Vec::new();
            for text in good.iter().take(2) {
                beyond.extend([
                    format!("{text}bar"),
                    format!("{text}/"),
                    format!("/x{text}"),
                    bare(text),
                    flipped(text),
                ]);
            }
            (good, near.into_iter().chain(beyond).collect())
        }
        PathMatch::Connect => (Vec::new(), Vec::new()),
    }
}

/// The text with its last letter in the other case.
fn flipped(text: &str) -> String {
    let Some((at, letter)) = text.char_indices().rfind(|(_, c)| c.is_ascii_alphabetic()) else {
        return format!("{text}X");
    };
    let other = match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

/// Gives a header, or what else a condition may name, this value.
fn put(request: &mut OwnedHead, name: &str, value: Option<&str>) {
    match (name, value) {
        (":authority" | ":hostname" | "host", Some(host)) => {
            host.clone_into(&mut request.authority)
        }
        (":method", Some(method)) => method.clone_into(&mut request.method),
        (":path", Some(path)) if path.starts_with('/') => path.clone_into(&mut request.path),
        (":pathname", Some(path)) if path.starts_with('/') => {
            let query = request.path.split_once('?').map(|(_, query)| query);
            request.path = match query {
                Some(query) => format!("{path}?{query}"),
                None => path.to_owned(),
            };
        }
        (":scheme", Some(scheme)) => request.tls = scheme == "https",
        (":client", value) => request.client = value.and_then(|it| it.parse().ok()),
        (name, _) if name.starts_with(':') || name == "host" => {}
        (name, value) => {
            request.headers.retain(|(known, _)| known != name);
            if let Some(value) = value {
                request.headers.push((name.to_owned(), value.to_owned()));
                request.headers.sort();
            }
        }
    }
}

/// Gives a query parameter this value.
fn put_param(request: &mut OwnedHead, name: &str, value: Option<&str>) {
    if request.path.is_empty() {
        return;
    }
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (request.path.clone(), String::new()),
    };
    let of_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(name);
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(of_other)
        .map(str::to_owned)
        .collect();
    pairs.extend(value.map(|value| format!("{name}={value}")));
    request.path = match pairs.is_empty() {
        true => path,
        false => format!("{path}?{}", pairs.join("&")),
    };
}

#[cfg(test)]
mod tests {
    use proxy_core::config::Cidr;
    use proxy_core::draw::DrawKey;
    use proxy_core::origin::OriginId;
    use proxy_core::route::find_route;

    use super::*;

    fn host(matches: RouteMatch) -> VirtualHost {
        VirtualHost {
            name: "h".into(),
            domains: vec!["h".into()],
            routes: vec![crate::tests::rig::route(matches)],
            attempt_count: false,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        }
    }

    fn asked(matches: RouteMatch) -> (usize, usize) {
        let host = host(matches);
        let (all, beyond) = requests([Some(&host), None], "h", false, 1_000);
        assert_eq!(beyond, 0);
        let takes = |it: &&OwnedHead| find_route(&host, it.view(), DrawKey::root(1)).is_some();
        let taken = all.iter().filter(takes).count();
        (taken, all.len() - taken)
    }

    #[test]
    fn every_condition_is_asked_with_what_it_takes_and_with_what_it_does_not() {
        let header = |name: &str, value: TextMatch, invert| {
            let mut matches = RouteMatch::all();
            matches.headers.push(HeaderMatch {
                name: name.into(),
                value,
                invert,
                ignore_case: false,
                absent: proxy_core::config::Absent::Unequal,
            });
            matches
        };
        let param = |value: TextMatch| {
            let mut matches = RouteMatch::all();
            matches.params.push(ParamMatch {
                name: "p".into(),
                value,
                invert: false,
            });
            matches
        };
        let path = RouteMatch::path;
        let methods = RouteMatch {
            methods: vec!["PUT".into()],
            ..RouteMatch::all()
        };
        let grpc = RouteMatch {
            grpc: true,
            ..RouteMatch::all()
        };
        let regex = |pattern| TextMatch::regex(pattern).expect("a pattern");
        for (name, matches) in [
            ("exact", path(PathMatch::Exact("/a".into()))),
            ("prefix", path(PathMatch::Prefix("/a/".into()))),
            ("segments", path(PathMatch::segments("/a"))),
            (
                "regex",
                path(PathMatch::regex("/v[0-9]+/.*").expect("a pattern")),
            ),
            (
                "start",
                path(PathMatch::regex_start("/v[0-9]").expect("a pattern")),
            ),
            ("methods", methods),
            ("grpc", grpc),
            ("header", header("x-a", TextMatch::Exact("1".into()), false)),
            ("no header", header("x-a", TextMatch::Present, true)),
            ("header regex", header("x-a", regex("a|b"), false)),
            ("header range", header("x-a", TextMatch::Range(3, 5), false)),
            (
                "not this",
                header("x-a", TextMatch::Prefix("a".into()), true),
            ),
            (
                "method header",
                header(":method", TextMatch::Exact("PUT".into()), false),
            ),
            (
                "client",
                header(
                    ":client",
                    TextMatch::Address(
                        [Cidr {
                            address: "10.0.0.0".parse().expect("an address"),
                            bits: 8,
                        }]
                        .into(),
                    ),
                    false,
                ),
            ),
            ("param", param(TextMatch::Exact("1".into()))),
            ("param suffix", param(TextMatch::Suffix("1".into()))),
        ] {
            // `:client` is looked at where the client is known
            if name == "client" {
                let host = host(matches);
                let (all, _) = requests([Some(&host), None], "h", false, 1_000);
                let takers = |it: &&OwnedHead| !crate::ask::Asker::new(&host).takers(it).is_empty();
                let taken = all.iter().filter(takers).count();
                assert!(taken > 0 && taken < all.len(), "{name}");
                continue;
            }
            let (taken, left) = asked(matches);
            assert!(taken > 0, "{name} takes none");
            assert!(left > 0, "{name} takes all");
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted() {
        let host = host(RouteMatch::path(PathMatch::Exact("/a".into())));
        let (all, beyond) = requests([Some(&host), None], "h", false, 3);
        assert_eq!(all.len(), 3);
        assert!(beyond > 0);
    }

    #[test]
    fn the_last_letter_changes_its_case() {
        for (text, expected) in [("/ab", "/aB"), ("/A1", "/a1"), ("/1", "/1X"), ("", "X")] {
            assert_eq!(flipped(text), expected);
        }
    }
}
