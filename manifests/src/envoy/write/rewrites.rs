//! Changes of paths, by rewrites and redirects.

use proxy_core::config::{PathMatch, PathRedirect, PathRewrite, RouteMatch};
use serde_json::{Value, json};

use super::message::{Message, pattern, regex};

/// How Envoy is told to change a path.
enum Change {
    /// What the route's path matched is replaced.
    Prefix(String),
    /// Every match of a pattern is replaced; the substitution has `\1` for a group.
    Regex(String, String),
}

impl Change {
    fn write(self, message: &mut Message) {
        match self {
            Self::Prefix(to) => message.set("prefix_rewrite", to),
            Self::Regex(pattern, to) => message.set("regex_rewrite", substitute(&pattern, &to)),
        }
    }
}

fn substitute(pattern: &str, to: &str) -> Value {
    json!({"pattern": regex(pattern), "substitution": to})
}

/// Text that stands for itself in a substitution.
fn literal(to: &str) -> String {
    to.replace('\\', "\\\\")
}

/// What the route's path matches, from the start of a path on.
fn matched(matches: &RouteMatch) -> String {
    let text = |text: &str| match matches.ignore_case {
        true => format!("(?i:{})", regex::escape(text)),
        false => regex::escape(text),
    };
    match &matches.path {
        PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Connect => "(?s:.*)".to_owned(),
        PathMatch::Prefix(prefix) | PathMatch::Segments(prefix) => text(prefix),
        PathMatch::RegexStart(compiled) => format!("(?:{})", pattern(compiled)),
    }
}

/// What was matched is replaced, byte by byte.
fn prefix(to: &str, matches: &RouteMatch) -> Change {
    match &matches.path {
        // Envoy matches the first slash
        PathMatch::Segments(text) if text.is_empty() => Change::Prefix(format!("{to}/")),
        PathMatch::RegexStart(_) => Change::Regex(format!("^{}", matched(matches)), literal(to)),
        PathMatch::Segments(text) if !text.starts_with('/') || text.contains(['?', '#']) => {
            Change::Regex(format!("^{}", matched(matches)), literal(to))
        }
        PathMatch::Exact(_)
        | PathMatch::Regex(_)
        | PathMatch::Connect
        | PathMatch::Prefix(_)
        | PathMatch::Segments(_) => Change::Prefix(to.to_owned()),
    }
}

/// What was matched is replaced; exactly one slash joins the halves.
fn joined(to: &str, matches: &RouteMatch) -> Change {
    let is_whole = matches!(matches.path, PathMatch::Exact(_) | PathMatch::Regex(_));
    if is_whole && !to.is_empty() || !to.is_empty() && !to.ends_with('/') {
        return prefix(to, matches);
    }
    let to = if to.is_empty() { "/" } else { to };
    Change::Regex(format!("^{}/?", matched(matches)), literal(to))
}

/// Writes a rewrite of the path.
pub(super) fn rewrite(rewrite: &PathRewrite, matches: &RouteMatch, message: &mut Message) {
    let change = match rewrite {
        // nothing is no prefix for Envoy, and a path begins with a slash
        PathRewrite::Prefix(to) if to.is_empty() => joined("", matches),
        PathRewrite::Prefix(to) => prefix(to, matches),
        PathRewrite::JoinedPrefix(to) => joined(to, matches),
        PathRewrite::Full(to) => {
            let slash = if to.starts_with('/') { "" } else { "/" };
            Change::Regex("^(?s:.*)$".to_owned(), format!("{slash}{}", literal(to)))
        }
        PathRewrite::Regex(compiled, to) => Change::Regex(compiled.as_str().into(), to.to_string()),
        PathRewrite::Sequence(all) => {
            if let Some(first) = all.first() {
                self::rewrite(first, matches, message);
            }
            return;
        }
    };
    change.write(message);
}

/// Writes the path of a redirect.
pub(super) fn redirect(path: &PathRedirect, matches: &RouteMatch, message: &mut Message) {
    match path {
        PathRedirect::Full(to) => message.set("path_redirect", &**to),
        PathRedirect::Prefix(to) => prefix(to, matches).write(message),
        PathRedirect::JoinedPrefix(to) => joined(to, matches).write(message),
        PathRedirect::Regex(compiled, to) => {
            message.set("regex_rewrite", substitute(compiled.as_str(), to));
        }
        PathRedirect::Url(..) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy makes of a path, by what is written.
    fn envoy(message: &Message, matches: &RouteMatch, path: &str) -> String {
        let written = Value::from(Message::clone(message));
        if let Some(to) = written["prefix_rewrite"].as_str() {
            let taken = match &matches.path {
                PathMatch::Segments(text) if text.is_empty() => 1,
                PathMatch::Prefix(text) | PathMatch::Segments(text) => text.len(),
                PathMatch::Exact(_)
                | PathMatch::Regex(_)
                | PathMatch::RegexStart(_)
                | PathMatch::Connect => path.len(),
            };
            return format!("{to}{}", &path[taken..]);
        }
        let regex = written["regex_rewrite"]["pattern"]["regex"].as_str();
        let to = written["regex_rewrite"]["substitution"].as_str().unwrap();
        let to = to.replace("\\\\", "\\").replace('$', "$$");
        let regex = regex::Regex::new(regex.unwrap()).unwrap();
        regex.replace_all(path, to.as_str()).into_owned()
    }

    #[test]
    fn rewrites_are_said_in_envoys_words() {
        let joined = |to: &str| PathRewrite::JoinedPrefix(to.into());
        let replaced = |to: &str| PathRewrite::Prefix(to.into());
        let full = |to: &str| PathRewrite::Full(to.into());
        let segments = PathMatch::segments;
        let prefix = |text: &str| PathMatch::Prefix(text.into());
        let start = |text: &str| PathMatch::regex_start(text).unwrap();
        for (path, rewrite, asked, becomes) in [
            (segments("/foo"), replaced("/bar"), "/foo/x", "/bar/x"),
            (segments("/"), replaced("/bar"), "/x", "/bar/x"),
            (segments("/foo"), joined("/bar"), "/foo", "/bar"),
            (segments("/foo"), joined("/"), "/foo/x", "/x"),
            (segments("/foo"), joined("/"), "/foo", "/"),
            (segments("/foo"), joined(""), "/foo/x", "/x"),
            (segments("/"), joined("/bar/"), "/x", "/bar/x"),
            (prefix("/foo/"), joined("/"), "/foo/x", "/x"),
            (prefix("/f.o"), joined("/b/"), "/f.o/x", "/b/x"),
            (prefix("/foo"), replaced(""), "/foo/x", "/x"),
            (prefix("/foo"), replaced(""), "/foox", "/x"),
            (PathMatch::Exact("/foo".into()), joined("/"), "/foo", "/"),
            (
                PathMatch::Exact("/foo".into()),
                replaced("/b"),
                "/foo",
                "/b",
            ),
            (start("/f\\d"), replaced("/b"), "/f1/x", "/b/x"),
            (start("/f\\d"), joined("/"), "/f1/x", "/x"),
            (segments("/foo"), full("/a\\1$2"), "/foo/x", "/a\\1$2"),
            (segments("/foo"), full("a"), "/foo/x", "/a"),
        ] {
            let matches = RouteMatch::path(path);
            let mut message = Message::default();
            self::rewrite(&rewrite, &matches, &mut message);
            let found = envoy(&message, &matches, asked);
            assert_eq!(found, becomes, "{:?} {rewrite:?} {asked}", matches.path);
        }
    }
}
