//! The matchers of version 2, which take several arguments and templates.
//!
//! Source: traefik `pkg/muxer/http/matcher_v2.go`.

use super::http::{HostPattern, Matcher, Pattern, ascii, bad_pattern, block};
use super::parse::{Arg, Call, Problem, Tree};
use super::{arguments, known_name, templates};

const MATCHERS: &[&str] = &[
    "Host",
    "HostHeader",
    "HostRegexp",
    "ClientIP",
    "Path",
    "PathPrefix",
    "Method",
    "Headers",
    "HeadersRegexp",
    "Query",
];

pub(super) fn matcher(call: &Call) -> Result<Tree<Matcher>, Problem> {
    let name = known_name(call, MATCHERS)?;
    arguments(call, 1..=usize::MAX)?;
    let any = |of: fn(&Arg) -> Result<Matcher, Problem>| {
        let each = call.args.iter().map(|arg| of(arg).map(Tree::Leaf));
        each.collect::<Result<Vec<_>, Problem>>().map(Tree::Or)
    };
    match name {
        "Host" | "HostHeader" => {
            let each = call.args.iter().map(|arg| {
                // a star is no wildcard here
                let host = ascii(call, &arg.text)?.to_ascii_lowercase();
                let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
                Ok(Tree::Leaf(Matcher::Host(HostPattern::Exact(host))))
            });
            each.collect::<Result<_, Problem>>().map(Tree::Or)
        }
        "HostRegexp" => any(|arg| templates::host(arg).map(Matcher::HostRegexp)),
        "Path" => any(path),
        "PathPrefix" => any(prefix),
        "Method" => any(|arg| Ok(Matcher::Method(arg.text.to_ascii_uppercase()))),
        "ClientIP" => {
            let blocks = (0..call.args.len()).map(|nth| block(call, nth));
            let blocks = blocks.collect::<Result<_, Problem>>()?;
            Ok(Tree::Leaf(Matcher::ClientIp(blocks)))
        }
        "Query" => {
            let each = call.args.iter().map(|arg| query(arg).map(Tree::Leaf));
            each.collect::<Result<_, Problem>>().map(Tree::And)
        }
        headers => {
            if call.args.len() % 2 == 1 {
                let message = format!("`{headers}` takes names and values in pairs");
                return Err(Problem::new(call.at.clone(), message));
            }
            let pairs = call.args.chunks_exact(2);
            let each = pairs.map(|pair| header(headers, &pair[0], &pair[1]).map(Tree::Leaf));
            each.collect::<Result<_, Problem>>().map(Tree::And)
        }
    }
}

fn path(arg: &Arg) -> Result<Matcher, Problem> {
    rooted(arg)?;
    if templates::is_template(&arg.text) {
        return templates::path(arg).map(Matcher::PathRegexp);
    }
    Ok(Matcher::Path(arg.text.clone()))
}

fn prefix(arg: &Arg) -> Result<Matcher, Problem> {
    rooted(arg)?;
    if templates::is_template(&arg.text) {
        return templates::prefix(arg).map(Matcher::PathRegexp);
    }
    Ok(Matcher::PathPrefix(arg.text.clone()))
}

fn rooted(arg: &Arg) -> Result<(), Problem> {
    let is_rooted = arg.text.starts_with('/');
    let problem = || Problem::new(arg.at.clone(), "a path begins with `/`");
    is_rooted.then_some(()).ok_or_else(problem)
}

fn query(arg: &Arg) -> Result<Matcher, Problem> {
    let (key, value) = arg.text.split_once('=').unwrap_or((&arg.text, ""));
    if value.is_empty() || templates::is_template(value) {
        let pattern = match value {
            "" => Pattern::new(".*").map_err(|error| bad_pattern(arg.at.clone(), &error))?,
            value => templates::value(arg, value)?,
        };
        return Ok(Matcher::QueryRegexp(key.to_owned(), pattern));
    }
    Ok(Matcher::Query(key.to_owned(), value.to_owned()))
}

fn header(matcher: &str, name: &Arg, value: &Arg) -> Result<Matcher, Problem> {
    let key = name.text.to_ascii_lowercase();
    if key == "host" {
        return Ok(Matcher::Never);
    }
    if matcher == "Headers" {
        return Ok(Matcher::Header(key, value.text.clone()));
    }
    let pattern = Pattern::new(&value.text);
    let pattern = pattern.map_err(|error| bad_pattern(value.at.clone(), &error))?;
    Ok(Matcher::HeaderRegexp(key, pattern))
}

#[cfg(test)]
mod tests {
    use super::super::{RuleError, Syntax, http};

    #[test]
    fn several_arguments_are_alternatives_but_for_pairs_and_queries() {
        for (rule, alternatives, conditions) in [
            ("Host(`a`, `b`)", 2, 1),
            ("PathPrefix(`/a`, `/b`, `/c/{x}`)", 3, 1),
            ("Method(`GET`, `POST`)", 2, 1),
            ("Headers(`X-A`, `1`, `X-B`, `2`)", 1, 2),
            ("Query(`a=1`, `b`)", 1, 2),
            ("ClientIP(`10.0.0.1`, `10.1.0.0/16`)", 1, 1),
            ("HostHeader(`a`) && HeadersRegexp(`X-A`, `^b`)", 1, 2),
        ] {
            let all = http(rule, Syntax::V2).expect(rule);
            let sizes = (all.len(), all[0].len());
            assert_eq!(sizes, (alternatives, conditions), "{rule}");
        }
    }

    #[test]
    fn matchers_of_one_version_are_none_of_the_other() {
        for (rule, syntax) in [
            ("Header(`a`, `b`)", Syntax::V2),
            ("PathRegexp(`a`)", Syntax::V2),
            ("Headers(`a`, `b`)", Syntax::V3),
            ("HostHeader(`a`)", Syntax::V3),
        ] {
            let read = http(rule, syntax);
            assert!(matches!(read, Err(RuleError::Problem(_))), "{rule}");
        }
    }
}
