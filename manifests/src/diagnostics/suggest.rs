//! "Did you mean": the known name nearest to a wrong one.

/// The candidate that a typing slip turns into `wrong`; the first among equals, none when all are too far.
///
/// Distance counts insertions, deletions, substitutions and swaps of neighbours (Damerau 1964, restricted) without regard to case; a
/// third of the longer name may differ, and at least one letter.
#[must_use]
pub fn closest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = lower(wrong);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wrong)
        .filter_map(|candidate| {
            let other = lower(candidate);
            let allowed = (letters.len().max(other.len()) / 3).max(1);
            let distance = distance(&letters, &other);
            // With every letter changed nothing of the name is left to recognise.
            (distance <= allowed && distance < letters.len()).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?`` when a candidate is near enough.
#[must_use]
pub fn did_you_mean<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(wrong, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// Long names are cut: what differs after 64 letters is no slip.
fn lower(text: &str) -> Vec<char> {
    text.chars().take(64).flat_map(char::to_lowercase).collect()
}

fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1; right.len() + 1];
        for (column, b) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        for (wrong, names, expected) in [
            ("nmae", &["name", "namespace"][..], Some("name")),
            (
                "perTryTimout",
                &["perTryTimeout", "timeout"],
                Some("perTryTimeout"),
            ),
            ("Retries", &["retries"], Some("retries")),
            ("orders-v3", &["orders-v2", "orders-v1"], Some("orders-v2")),
            ("frobnicate", &["name", "retries"], None),
            ("a", &["b"], None),
            ("prot", &["port"], Some("port")),
        ] {
            assert_eq!(closest(wrong, names.iter().copied()), expected, "{wrong}");
        }
    }
}
