//! The plugin `cors`.
//!
//! Source: Kong 3.9 `kong/plugins/cors/{schema,handler}.lua`.

use proxy_core::config::{Cors, CorsList, CorsManner, KongCors, TextMatch};
use proxy_core::origin::OriginId;
use serde::Deserialize;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::text::{Node, Spanned, read};

const CODE: &str = "kong::cors";

/// What a preflight may be told of; and what it is told where nobody says.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT",
];

/// Which pages of other origins may read answers.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CorsRule {
    origins: Origins,
    methods: String,
    headers: Vec<String>,
    exposed: Vec<String>,
    max_age: Option<String>,
    credentials: bool,
    private_network: bool,
    continues: bool,
    marks_others: bool,
}

/// Whose pages.
#[derive(Clone, PartialEq, Debug)]
enum Origins {
    /// Anybody's.
    Any,
    /// Those of one, which every answer names.
    One(String),
    /// Those that one of these takes.
    Listed(Vec<Listed>),
}

/// An origin of several, or a pattern of them.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Listed {
    /// This one.
    Plain(String),
    /// Those whose whole text it takes.
    Pattern(String),
    /// Those whose host it takes: there is no colon in it.
    HostPattern(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    origins: Option<Vec<Spanned<String>>>,
    headers: Option<Vec<Spanned<String>>>,
    exposed_headers: Option<Vec<Spanned<String>>>,
    methods: Option<Vec<Spanned<String>>>,
    max_age: Option<Spanned<f64>>,
    credentials: Option<Spanned<bool>>,
    private_network: Option<Spanned<bool>>,
    preflight_continue: Option<Spanned<bool>>,
    allow_origin_absent: Option<Spanned<bool>>,
}

/// Reads the settings; none: what is wrong was reported.
pub(super) fn cors(config: Option<&Node>, out: &mut Diagnostics) -> Option<CorsRule> {
    let written: Written = match config {
        Some(config) => read(config, out)?,
        None => Written::default(),
    };
    let before = out.errors();
    let origins = Origins::of(written.origins.as_deref().unwrap_or_default(), out);
    let methods = match &written.methods {
        None => METHODS.join(","),
        Some(methods) => joined(methods),
    };
    for method in written.methods.iter().flatten() {
        if !METHODS.contains(&method.as_str()) {
            let message = format!("`{}` is no method that Kong knows", method.value);
            out.push(
                Diagnostic::error(CODE, message)
                    .label(method.span, "")
                    .help(format!("one of {}", METHODS.join(", "))),
            );
        }
    }
    let texts = |list: &Option<Vec<Spanned<String>>>| -> Vec<String> {
        let all = list.iter().flatten();
        all.map(|it| it.value.clone()).collect()
    };
    let is_set = |flag: Option<Spanned<bool>>| flag.is_some_and(|it| it.value);
    let rule = CorsRule {
        origins,
        methods,
        headers: texts(&written.headers),
        exposed: texts(&written.exposed_headers),
        max_age: written.max_age.map(|age| age.value.to_string()),
        credentials: is_set(written.credentials),
        private_network: is_set(written.private_network),
        continues: is_set(written.preflight_continue),
        marks_others: written.allow_origin_absent.is_none_or(|it| it.value),
    };
    (out.errors() == before).then_some(rule)
}

fn joined(list: &[Spanned<String>]) -> String {
    let all: Vec<&str> = list.iter().map(|it| it.value.as_str()).collect();
    all.join(",")
}

impl Origins {
    /// One that is no pattern is named to whoever asks; of a list that has `*` nothing else counts.
    ///
    /// Source: `configure_origin`. Departs: where `*` stands among others, answers to requests that name no origin say `*`, too, and none says
    /// `Vary`.
    fn of(written: &[Spanned<String>], out: &mut Diagnostics) -> Self {
        let any = written.iter().find(|it| it.value == "*");
        if let Some(any) = any.filter(|_| written.len() > 1) {
            out.push(
                Diagnostic::warning(CODE, "pages of every origin may read answers")
                    .label(any.span, "the others count for nothing beside it")
                    .help("take `*` out for the others to count"),
            );
        }
        if any.is_some() || written.is_empty() {
            return Self::Any;
        }
        if let [only] = written
            && is_plain(only)
        {
            return Self::One(only.value.clone());
        }
        let mut listed = Vec::new();
        for origin in written {
            if is_plain(origin) {
                let bare = without_usual_port(origin);
                listed.push(Listed::Plain(bare.to_owned()));
                continue;
            }
            let pattern = pattern(origin);
            match TextMatch::regex(&pattern) {
                Ok(_) if origin.contains(':') => listed.push(Listed::Pattern(pattern)),
                Ok(_) => listed.push(Listed::HostPattern(pattern)),
                Err(error) => out.push(
                    Diagnostic::error("kong::bad-regex", error.to_string())
                        .label(origin.span, "this origin")
                        .help("look-around and back-references are not understood here"),
                ),
            }
        }
        Self::Listed(listed)
    }

    /// What is said whoever asks.
    fn says(&self) -> Option<&str> {
        match self {
            Self::Any => Some("*"),
            Self::One(origin) => Some(origin),
            Self::Listed(_) => None,
        }
    }

    /// Which whole origins are allowed.
    fn whole(&self) -> Vec<TextMatch> {
        match self {
            Self::Any => vec![TextMatch::Present],
            Self::One(origin) => vec![TextMatch::Exact(origin.as_str().into())],
            Self::Listed(listed) => {
                let all = listed.iter().filter_map(|it| match it {
                    Listed::Plain(origin) => Some(TextMatch::Exact(origin.as_str().into())),
                    Listed::Pattern(pattern) => TextMatch::regex(pattern).ok(),
                    Listed::HostPattern(_) => None,
                });
                all.collect()
            }
        }
    }

    /// Whose hosts are allowed.
    fn hosts(&self) -> Vec<TextMatch> {
        let listed = match self {
            Self::Any | Self::One(_) => &[][..],
            Self::Listed(listed) => listed,
        };
        let all = listed.iter().filter_map(|it| match it {
            Listed::HostPattern(pattern) => TextMatch::regex(pattern).ok(),
            Listed::Plain(_) | Listed::Pattern(_) => None,
        });
        all.collect()
    }
}

/// Whether an origin is compared as it is written. Source: `[^A-Za-z0-9.:/-]` of `configure_origin`.
fn is_plain(origin: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:/-".contains(c);
    origin.chars().all(plain)
}

/// An origin without the usual port of its scheme, as browsers write it. Source: `normalize_origin`.
fn without_usual_port(origin: &str) -> &str {
    let port = match origin.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        Some(_) | None => return origin,
    };
    origin.strip_suffix(port).unwrap_or(origin)
}

/// A pattern as Kong understands it: it begins where the text begins, and a `$` is put to its end, which of several alternatives ends the last
/// alone.
///
/// Source: `configure_origin`.
fn pattern(written: &str) -> String {
    let inner = written.strip_prefix('^').unwrap_or(written);
    let end = if inner.ends_with('$') { "" } else { "$" };
    format!("(?:{inner}{end})(?s:.*)")
}

impl CorsRule {
    /// The policy of a route.
    pub(super) fn policy(&self, origin: OriginId) -> Cors {
        Cors {
            origins: self.origins.whole(),
            methods: Some(CorsList::Text(self.methods.as_str().into())),
            headers: Some(if self.headers.is_empty() {
                CorsList::Asked
            } else {
                CorsList::Text(self.headers.join(",").into())
            }),
            expose: (!self.exposed.is_empty()).then(|| self.exposed.join(",").into()),
            max_age: self.max_age.as_deref().map(Into::into),
            credentials: self.credentials,
            exposes_early: false,
            forwards_others: self.continues,
            manner: CorsManner::Kong(KongCors {
                hosts: self.origins.hosts(),
                says: self.origins.says().map(Into::into),
                marks_others: self.marks_others,
                continues: self.continues,
                private_network: self.private_network,
            }),
            origin,
        }
    }
}
