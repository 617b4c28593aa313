//! The templates of rules of version 2: `/users/{id:[0-9]+}`.
//!
//! Source: gorilla/mux `regexp.go` (`newRouteRegexp`).

use super::http::{Pattern, bad_pattern};
use super::parse::{Arg, Problem};

/// A host.
pub(super) fn host(arg: &Arg) -> Result<Pattern, Problem> {
    template(arg, "[^.]+", |pattern| format!("(?i)^{pattern}$"))
}

/// A whole path.
pub(super) fn path(arg: &Arg) -> Result<Pattern, Problem> {
    template(arg, "[^/]+", |pattern| format!("^{pattern}$"))
}

/// The start of a path.
pub(super) fn prefix(arg: &Arg) -> Result<Pattern, Problem> {
    template(arg, "[^/]+", |pattern| format!("^{pattern}"))
}

/// The value of a query parameter.
pub(super) fn value(arg: &Arg, text: &str) -> Result<Pattern, Problem> {
    let part = Arg {
        text: text.to_owned(),
        at: arg.at.clone(),
    };
    template(&part, ".*", |pattern| format!("^{pattern}$"))
}

/// Whether a text has a part that stands for others.
pub(super) fn is_template(text: &str) -> bool {
    text.contains('{')
}

fn template(arg: &Arg, any: &str, whole: impl Fn(&str) -> String) -> Result<Pattern, Problem> {
    let unbalanced = || Problem::new(arg.at.clone(), "the braces of a template do not match");
    let (mut pattern, mut rest) = (String::new(), arg.text.as_str());
    while let Some(open) = rest.find(['{', '}']) {
        pattern.push_str(&regex::escape(&rest[..open]));
        let close = closing(&rest[open..]).ok_or_else(unbalanced)?;
        let inner = &rest[open + 1..open + close];
        let (name, part) = inner.split_once(':').unwrap_or((inner, any));
        if name.is_empty() || part.is_empty() {
            let message = "a part of a template has a name, and a pattern after its colon";
            return Err(Problem::new(arg.at.clone(), message));
        }
        pattern.push_str(&format!("(?:{part})"));
        rest = &rest[open + close + 1..];
    }
    pattern.push_str(&regex::escape(rest));
    Pattern::new(&whole(&pattern)).map_err(|error| bad_pattern(arg.at.clone(), &error))
}

/// Where the brace closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in text.bytes().enumerate() {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        if depth <= 0 {
            return (depth == 0).then_some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(text: &str) -> Arg {
        Arg {
            text: text.to_owned(),
            at: 0..text.len(),
        }
    }

    #[test]
    fn parts_in_braces_stand_for_what_their_pattern_takes() {
        type Read = fn(&Arg) -> Result<Pattern, Problem>;
        let rows: [(Read, &str, &str, bool); 9] = [
            (path, "/users/{id:[0-9]+}", "/users/42", true),
            (path, "/users/{id:[0-9]+}", "/users/42/x", false),
            (path, "/users/{id}", "/users/a.b", true),
            (prefix, "/users/{id:[0-9]{2}}", "/users/42/x", true),
            (prefix, "/users/{id:[0-9]{2}}", "/users/4/x", false),
            (host, "{sub:[a-z]+}.example.com", "shop.example.com", true),
            (
                host,
                "{sub:[a-z]+}.example.com",
                "a.shop.example.com",
                false,
            ),
            (host, "{any}.example.com", "A1.Example.com", true),
            (path, "/a.b", "/axb", false),
        ];
        for (read, template, text, want) in rows {
            let pattern = read(&arg(template)).expect(template);
            assert_eq!(pattern.regex().is_match(text), want, "{template}, {text}");
        }
    }

    #[test]
    fn what_is_no_template_is_a_problem() {
        for text in ["/{", "/}", "/{a", "/{:x}", "/{a:}", "/{a:(}"] {
            assert!(path(&arg(text)).is_err(), "{text}");
        }
    }
}
