//! Traefik's rule language: which requests a router takes.
//!
//! Source: traefik `pkg/muxer/http`, `pkg/muxer/tcp`, `pkg/rules`. The syntax of version 3; that of version 2 where a router asks for it.

mod http;
pub(super) mod normal;
mod parse;
mod tcp;
mod templates;
mod v2;

pub(super) use http::{HostPattern, Matcher, Pattern};
pub(super) use parse::Problem;
pub(super) use tcp::TcpMatcher;

use self::normal::Alternative;
use self::parse::{Call, Tree};
use crate::diagnostics::did_you_mean;
use crate::text::Span;

/// A version of the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Syntax {
    /// That of release 2.
    V2,
    /// Today's.
    #[default]
    V3,
}

/// Why a rule is no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RuleError {
    /// It does not read as one.
    Problem(Problem),
    /// It has too many alternatives to be spread out.
    TooMany,
}

/// The alternatives of a rule of an HTTP router.
pub(super) fn http(text: &str, syntax: Syntax) -> Result<Vec<Alternative<Matcher>>, RuleError> {
    let tree = parse::parse(text).map_err(RuleError::Problem)?;
    let tree = tree.try_map(&mut |call| match syntax {
        Syntax::V3 => http::matcher(&call).map(Tree::Leaf),
        Syntax::V2 => v2::matcher(&call),
    });
    let tree = tree.map_err(RuleError::Problem)?;
    normal::alternatives(&tree).ok_or(RuleError::TooMany)
}

/// The alternatives of a rule of a TCP router.
pub(super) fn tcp(text: &str, syntax: Syntax) -> Result<Vec<Alternative<TcpMatcher>>, RuleError> {
    let tree = parse::parse(text).map_err(RuleError::Problem)?;
    let tree = tree.try_map(&mut |call| tcp::matcher(&call, syntax));
    let tree = tree.map_err(RuleError::Problem)?;
    normal::alternatives(&tree).ok_or(RuleError::TooMany)
}

/// The place of a part of a rule: within its scalar where that is written plainly or between quotes without escapes, else the whole.
pub(super) fn place(rule: &str, whole: Span, part: std::ops::Range<usize>) -> Span {
    let written = (whole.end - whole.start) as usize;
    let before = match written.checked_sub(rule.len()) {
        Some(0) => 0,
        Some(2) => 1,
        Some(_) | None => return whole,
    };
    let at = |byte: usize| whole.start + before + u32::try_from(byte).unwrap_or(0);
    Span {
        start: at(part.start),
        end: at(part.end.max(part.start + 1).min(rule.len())),
        ..whole
    }
}

/// Which of `known` a call means: Traefik takes a name as it is spelt, all small, all capital, or with a capital at the start alone.
fn known_name<'k>(call: &Call, known: &[&'k str]) -> Result<&'k str, Problem> {
    let spelt = |name: &&&str| {
        let small = name.to_ascii_lowercase();
        let title = small[..1].to_ascii_uppercase() + &small[1..];
        [(**name).to_owned(), name.to_ascii_uppercase(), title, small].contains(&call.name)
    };
    known.iter().find(spelt).copied().ok_or_else(|| Problem {
        help: did_you_mean(&call.name, known.iter().copied())
            .or_else(|| Some(format!("known: {}", known.join(", ")))),
        ..Problem::new(
            call.at.clone(),
            format!("there is no matcher `{}`", call.name),
        )
    })
}

/// The arguments of a call; none may be empty.
fn arguments(call: &Call, counts: std::ops::RangeInclusive<usize>) -> Result<Vec<&str>, Problem> {
    if !counts.contains(&call.args.len()) {
        let wanted = match (*counts.start(), *counts.end()) {
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} or {most} arguments"),
        };
        let message = format!("`{}` takes {wanted}, not {}", call.name, call.args.len());
        let mut problem = Problem::new(call.at.clone(), message);
        if call.args.len() > 1 && *counts.end() == 1 {
            let each: Vec<String> = call
                .args
                .iter()
                .map(|arg| format!("{}(`{}`)", call.name, arg.text))
                .collect();
            problem.help = Some(format!("write {}", each.join(" || ")));
        }
        return Err(problem);
    }
    if let Some(empty) = call.args.iter().find(|arg| arg.text.is_empty()) {
        return Err(Problem::new(
            empty.at.clone(),
            "an argument may not be empty",
        ));
    }
    Ok(call.args.iter().map(|arg| arg.text.as_str()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SourceId;

    #[test]
    fn a_part_of_a_rule_is_pointed_at_where_that_can_be_told() {
        let rule = "Host(`a`) && Pth(`/`)";
        let whole = |len: usize| Span {
            source: SourceId(0),
            start: 100,
            end: 100 + len as u32,
        };
        for (len, want) in [
            (rule.len(), (113, 116)),
            (rule.len() + 2, (114, 117)),
            (rule.len() + 9, (100, 130)),
        ] {
            let found = place(rule, whole(len), 13..16);
            assert_eq!((found.start, found.end), want, "{len}");
        }
    }

    #[test]
    fn names_of_matchers_are_known_in_four_spellings() {
        for (name, known) in [
            ("PathPrefix", true),
            ("pathprefix", true),
            ("PATHPREFIX", true),
            ("Pathprefix", true),
            ("pathPrefix", false),
        ] {
            let found = http(&format!("{name}(`/a`)"), Syntax::V3);
            assert_eq!(found.is_ok(), known, "{name}");
        }
        let Err(RuleError::Problem(problem)) = http("Hots(`a`)", Syntax::V3) else {
            panic!("no such matcher");
        };
        assert_eq!(problem.help.as_deref(), Some("did you mean `Host`?"));
    }
}
