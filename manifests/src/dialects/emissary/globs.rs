//! Host names with a `*` at one end.

use crate::model::Labels;

/// Whether there can be a name that both globs take.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irutils.py` (`hostglob_matches`), its comparison of lengths included: `*.a.com` and
/// `*.b.a.com` share names, `*a.com` and `a.com` do not.
pub(super) fn meet(one: &str, other: &str) -> bool {
    if one == other || one == "*" || other == "*" {
        return true;
    }
    if one.is_empty() || other.is_empty() || one.starts_with('.') || other.starts_with('.') {
        return false;
    }
    let at_start = (one.starts_with('*'), other.starts_with('*'));
    let at_end = (one.ends_with('*'), other.ends_with('*'));
    if (at_start.0 && at_end.0) || (at_start.1 && at_end.1) {
        return false;
    }
    match (at_start, at_end) {
        ((false, false), (false, false)) => false,
        // what stands before one and behind the other can stand in one name
        ((true, _), (_, true)) | ((_, true), (true, _)) => true,
        ((true, other_too), _) => at(one, other, other_too, End::Start),
        ((false, true), _) => at(other, one, false, End::Start),
        (_, (true, other_too)) => at(one, other, other_too, End::End),
        (_, (false, true)) => at(other, one, false, End::End),
    }
}

#[derive(Clone, Copy)]
enum End {
    Start,
    End,
}

/// A glob, and a name or another glob of the same end.
fn at(glob: &str, other: &str, other_is_glob: bool, end: End) -> bool {
    let bare = |text: &'_ str| -> String {
        match end {
            End::Start => text[1..].to_owned(),
            End::End => text[..text.len() - 1].to_owned(),
        }
    };
    let mut short = bare(glob);
    let mut long = if other_is_glob {
        bare(other)
    } else {
        other.to_owned()
    };
    if glob.len() > long.len() {
        if !other_is_glob {
            return false;
        }
        (short, long) = (bare(other), bare(glob));
    }
    match end {
        End::Start => long.ends_with(&short),
        End::End => long.starts_with(&short),
    }
}

/// Whether `labels` have what is asked for: all of it, or any of it in an Emissary that was told so. Nothing asked for is had by all.
///
/// Source: `irutils.py` (`selector_matches`).
pub(super) fn selects(wanted: &Labels, labels: &Labels, any: bool) -> bool {
    let has = |(key, value)| labels.get(key) == Some(value);
    wanted.is_empty()
        || match any {
            true => wanted.iter().any(has),
            false => wanted.iter().all(has),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of emissary `python/tests/unit/test_hostglob_matches.py`'s kind.
    #[test]
    fn globs_meet_where_a_name_can_have_both() {
        for (one, other, want) in [
            ("a.com", "a.com", true),
            ("a.com", "b.com", false),
            ("*", "a.com", true),
            ("*", "*.com", true),
            ("*.com", "a.com", true),
            ("*.com", "com", false),
            ("*a.com", "a.com", false),
            ("*a.com", "ba.com", true),
            ("*.com", "a.org", false),
            ("*.a.com", "*.b.a.com", true),
            ("*.b.a.com", "*.a.com", true),
            ("*.a.com", "*.b.com", false),
            ("a.*", "a.com", true),
            ("a.*", "b.com", false),
            ("a.*", "*.com", true),
            ("a.*", "a.b.*", true),
            ("*.com", "a.*", true),
            ("*a*", "bab", false),
            ("*a*", "*a*", true),
            (".a.com", "*.com", false),
            ("", "a.com", false),
        ] {
            assert_eq!(meet(one, other), want, "{one}, {other}");
            assert_eq!(meet(other, one), want, "{other}, {one}");
        }
    }

    #[test]
    fn all_labels_are_asked_for_and_none_is_had_by_everybody() {
        let labels = |all: &[(&str, &str)]| {
            all.iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect()
        };
        let own: Labels = labels(&[("a", "1"), ("b", "2")]);
        for (wanted, any, want) in [
            (labels(&[]), false, true),
            (labels(&[("a", "1")]), false, true),
            (labels(&[("a", "1"), ("b", "2")]), false, true),
            (labels(&[("a", "1"), ("b", "3")]), false, false),
            (labels(&[("a", "1"), ("b", "3")]), true, true),
            (labels(&[("c", "1")]), true, false),
        ] {
            assert_eq!(selects(&wanted, &own, any), want, "{wanted:?} {any}");
        }
        assert!(!selects(&labels(&[("a", "1")]), &Labels::new(), false));
    }
}
