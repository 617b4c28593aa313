//! What a path of an Ingress becomes in Kong, and in which order Kong tries its routes.

use proxy_core::config::PathMatch;

/// How an Ingress compares a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathKind {
    /// The whole path.
    Exact,
    /// By segments.
    Prefix,
    /// As Kong has it: a byte prefix, or a regular expression behind the regex prefix.
    Implementation,
}

/// One path of a Kong route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KongPath {
    /// The request's path begins with these bytes.
    Plain(String),
    /// The request's path begins with a match.
    Regex(String),
}

/// The paths that the controller makes of one path of an Ingress.
///
/// `Prefix /a` becomes the plain path `/a/` and the regular expression `/a$`, `Exact /a` the regular expression `/a$`, anything
/// else stays as it is; slashes that repeat are one. What is written begins a regular expression when it begins with `regex_prefix`
/// (default `/~`), whatever its path type. Nothing is escaped: a dot in an exact path is any character, as it is in Kong.
///
/// Source: Kong/kubernetes-ingress-controller `internal/dataplane/translator/subtranslator/ingress.go` (`PathsFromIngressPaths`,
/// `MaybePrependRegexPrefix`).
#[must_use]
pub fn kong_paths(path: &str, kind: PathKind, regex_prefix: &str) -> Vec<KongPath> {
    let path = one_slash(path);
    let written = match kind {
        PathKind::Prefix => match path.trim_matches('/') {
            "" => vec!["/".to_owned()],
            base => vec![format!("/{base}/"), format!("~/{base}$")],
        },
        PathKind::Exact => vec![format!("~/{}$", path.trim_start_matches('/'))],
        PathKind::Implementation if path.is_empty() => vec!["/".to_owned()],
        PathKind::Implementation => vec![path],
    };
    let marked = written.into_iter().map(|text| {
        if !regex_prefix.is_empty() && text.starts_with(regex_prefix) {
            text.replacen(regex_prefix, "~", 1)
        } else {
            text
        }
    });
    marked.map(KongPath::parse).collect()
}

/// Slashes that follow each other become one.
fn one_slash(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

impl KongPath {
    /// A path as Kong's own entities write it: `~` marks a regular expression.
    fn parse(text: String) -> Self {
        match text.strip_prefix('~') {
            Some(regex) => Self::Regex(regex.replace("?<", "?P<")),
            None => Self::Plain(text),
        }
    }

    /// The core's condition for it.
    ///
    /// # Errors
    /// When the regular expression does not compile: Kong's router has none with look-around or back-references either.
    pub fn matcher(&self) -> Result<PathMatch, regex::Error> {
        match self {
            Self::Plain(prefix) => Ok(PathMatch::Prefix(prefix.as_str().into())),
            Self::Regex(pattern) => PathMatch::regex_start(pattern),
        }
    }

    /// As people write it in Kong.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Plain(prefix) => prefix.clone(),
            Self::Regex(pattern) => format!("~{pattern}"),
        }
    }
}

/// Where a route with one path stands among all routes: greater ones are tried first.
///
/// The order of the fields is the order of their weight. Source: Kong `kong/router/transform.lua` (`get_priority`), the router flavour
/// `traditional_compatible`, which is the default since 3.0. Two routes of equal rank are tried in an order that Kong leaves to their
/// ids; here the one written first is tried first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank {
    /// How many of methods, hosts, headers, paths and server names the route asks for.
    pub kinds: u8,
    /// No host with a wildcard. A route without hosts does not have it.
    pub plain_hosts: bool,
    /// Header names asked for, at most 255.
    pub headers: u8,
    /// A regular expression before a plain path.
    pub regex: bool,
    /// `regex_priority`; plain paths have 0.
    pub regex_priority: u64,
    /// Bytes of the plain path; a regular expression has 0.
    pub length: u32,
}

/// What of a route decides its rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asks<'a> {
    /// Whether methods are asked for.
    pub methods: bool,
    /// Hosts, wildcards included.
    pub hosts: &'a [String],
    /// How many header names are asked for.
    pub headers: usize,
    /// Whether server names are asked for.
    pub snis: bool,
    /// The path.
    pub path: &'a KongPath,
    /// `regex_priority`.
    pub regex_priority: u64,
}

impl Rank {
    /// The rank of a route that asks for this.
    #[must_use]
    pub fn of(asks: Asks<'_>) -> Self {
        let kinds = [
            asks.methods,
            !asks.hosts.is_empty(),
            asks.headers > 0,
            asks.snis,
            true,
        ];
        let (regex, regex_priority, length) = match asks.path {
            KongPath::Plain(prefix) => (false, 0, u32::try_from(prefix.len()).unwrap_or(u32::MAX)),
            KongPath::Regex(_) => (true, asks.regex_priority, 0),
        };
        Self {
            kinds: kinds.iter().map(|asked| u8::from(*asked)).sum(),
            plain_hosts: !asks.hosts.is_empty()
                && asks.hosts.iter().all(|host| !host.contains('*')),
            headers: u8::try_from(asks.headers).unwrap_or(u8::MAX),
            regex,
            regex_priority,
            length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingress_paths_become_kong_paths() {
        let plain = |text: &str| KongPath::Plain(text.to_owned());
        let regex = |text: &str| KongPath::Regex(text.to_owned());
        let rows = [
            (
                "prefix",
                "/service-a",
                PathKind::Prefix,
                vec![plain("/service-a/"), regex("/service-a$")],
            ),
            (
                "prefix with a slash at its end",
                "/a/b/",
                PathKind::Prefix,
                vec![plain("/a/b/"), regex("/a/b$")],
            ),
            ("prefix of all", "/", PathKind::Prefix, vec![plain("/")]),
            ("no prefix at all", "", PathKind::Prefix, vec![plain("/")]),
            ("exact", "/a", PathKind::Exact, vec![regex("/a$")]),
            ("exact of the root", "/", PathKind::Exact, vec![regex("/$")]),
            (
                "byte prefix",
                "/a",
                PathKind::Implementation,
                vec![plain("/a")],
            ),
            (
                "nothing written",
                "",
                PathKind::Implementation,
                vec![plain("/")],
            ),
            (
                "regular expression",
                "/~/v[0-9]+",
                PathKind::Implementation,
                vec![regex("/v[0-9]+")],
            ),
            (
                "repeated slashes",
                "//a///b",
                PathKind::Implementation,
                vec![plain("/a/b")],
            ),
            (
                "named group",
                "/~/(?<v>v1)",
                PathKind::Implementation,
                vec![regex("/(?P<v>v1)")],
            ),
            (
                "regular expression behind a segment prefix",
                "/~/a",
                PathKind::Prefix,
                vec![regex("/a/"), regex("/~/a$")],
            ),
        ];
        for (name, path, kind, expected) in rows {
            assert_eq!(kong_paths(path, kind, "/~"), expected, "{name}");
        }
    }

    #[test]
    fn an_annotation_may_set_another_regex_prefix() {
        let paths = kong_paths("/@/v1", PathKind::Implementation, "/@");
        assert_eq!(paths, [KongPath::Regex("/v1".to_owned())]);
        let paths = kong_paths("/~/v1", PathKind::Implementation, "/@");
        assert_eq!(paths, [KongPath::Plain("/~/v1".to_owned())]);
    }

    #[test]
    fn routes_are_ranked_as_kong_ranks_them() {
        let plain = |text: &str| KongPath::Plain(text.to_owned());
        let regex = KongPath::Regex("/a$".to_owned());
        let (short, long) = (plain("/a/"), plain("/a/very/long/path/"));
        let (exact, wild) = (["a.example.com".to_owned()], ["*.example.com".to_owned()]);
        let base = Asks {
            methods: false,
            hosts: &exact,
            headers: 0,
            snis: false,
            path: &short,
            regex_priority: 0,
        };
        let rows = [
            (
                "a longer path wins",
                Asks {
                    path: &long,
                    ..base
                },
                base,
            ),
            (
                "a regular expression beats any plain path",
                Asks {
                    path: &regex,
                    ..base
                },
                Asks {
                    path: &long,
                    ..base
                },
            ),
            (
                "regex priority counts among regular expressions",
                Asks {
                    path: &regex,
                    regex_priority: 5,
                    ..base
                },
                Asks {
                    path: &regex,
                    ..base
                },
            ),
            (
                "regex priority is nothing to a plain path",
                Asks {
                    path: &long,
                    ..base
                },
                Asks {
                    regex_priority: 9,
                    ..base
                },
            ),
            (
                "a plain host beats a wildcard whatever the path",
                base,
                Asks {
                    hosts: &wild,
                    path: &regex,
                    ..base
                },
            ),
            (
                "a wildcard host beats no host",
                Asks {
                    hosts: &wild,
                    ..base
                },
                Asks {
                    hosts: &[],
                    path: &regex,
                    ..base
                },
            ),
            (
                "more kinds beat a plain host",
                Asks {
                    hosts: &wild,
                    methods: true,
                    ..base
                },
                Asks {
                    path: &regex,
                    ..base
                },
            ),
            (
                "more headers beat a regular expression",
                Asks { headers: 2, ..base },
                Asks {
                    headers: 1,
                    path: &regex,
                    ..base
                },
            ),
        ];
        for (name, first, second) in rows {
            let (first, second) = (Rank::of(first), Rank::of(second));
            assert!(first > second, "{name}: {first:?} {second:?}");
        }
    }
}
