//! Paths of locations, and patterns of PCRE in the `regex` crate's words.

use proxy_core::config::PathMatch;

/// How the path of a location is compared: as it is, or as a regular expression at the start of paths, whatever its case and whatever the
/// path's type.
///
/// Source: `buildLocation`.
///
/// # Errors
/// When the regular expression does not compile.
pub(super) fn path_match(path: &str, exact: bool, regex: bool) -> Result<PathMatch, regex::Error> {
    if regex {
        return PathMatch::regex_start(&format!("(?i){}", rust_pattern(path)));
    }
    Ok(match exact {
        true => PathMatch::Exact(path.into()),
        false => PathMatch::Prefix(path.into()),
    })
}

/// A pattern of PCRE in the `regex` crate's words.
pub(super) fn rust_pattern(pattern: &str) -> String {
    // groups with names; look-behind begins alike
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find("(?<") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let after = &found[3..];
        let is_name = !after.starts_with(['=', '!']);
        out.push_str(if is_name { "(?P<" } else { "(?<" });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups_are_written_as_the_regex_crate_has_them() {
        let rows = [
            ("/a", "/a"),
            ("/(?<v>v1)/(?<w>x)", "/(?P<v>v1)/(?P<w>x)"),
            ("/(?P<v>v1)", "/(?P<v>v1)"),
            ("(?<=a)b", "(?<=a)b"),
        ];
        for (pattern, expected) in rows {
            assert_eq!(rust_pattern(pattern), expected, "{pattern}");
        }
    }
}
