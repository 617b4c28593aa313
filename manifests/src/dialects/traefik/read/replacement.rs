//! What the matches of a pattern become.

use crate::dialects::traefik::rules::Pattern;

/// Go's `$1`, `${1}` and `${name}` as the core has groups: `\1`. A name is as long as it can be, and what names no group is nothing.
///
/// Source: Go `regexp.Expand`.
pub(super) fn template(to: &str, pattern: &Pattern) -> String {
    let regex = pattern.regex();
    let group = |name: &str| -> Option<usize> {
        let number = name.parse().ok();
        let named = || regex.capture_names().position(|it| it == Some(name));
        number
            .or_else(named)
            .filter(|nth| *nth < regex.captures_len().min(10))
    };
    let mut out = String::new();
    let mut rest = to;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('\\') {
            out.push_str("\\\\");
            rest = &rest[at + 1..];
            continue;
        }
        let after = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, next) = if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        } else if let Some(inner) = after.strip_prefix('{') {
            let found = inner.split_once('}');
            let Some((name, next)) =
                found.filter(|(name, _)| !name.is_empty() && name.chars().all(is_name))
            else {
                // not a group: the dollar stands for itself
                out.push('$');
                rest = after;
                continue;
            };
            (name, next)
        } else {
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            if end == 0 {
                out.push('$');
                rest = after;
                continue;
            }
            after.split_at(end)
        };
        if let Some(nth) = group(name) {
            // one digit, so that one that follows is none of the group's
            out.push_str(&format!("\\{nth}"));
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_gos_are() {
        let pattern = Pattern::new("^/(?P<who>a+)/(b)").expect("valid");
        for (to, want) in [
            ("/x/$1", r"/x/\1"),
            ("/x/${2}y", r"/x/\2y"),
            ("/${who}", r"/\1"),
            ("/$who-x", r"/\1-x"),
            ("/$1x", "/"),
            ("/$3", "/"),
            ("/$$1", "/$1"),
            (r"/a\1", r"/a\\1"),
            ("/$", "/$"),
            ("/${", "/${"),
        ] {
            assert_eq!(template(to, &pattern), want, "{to}");
        }
    }
}
