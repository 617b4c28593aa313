//! "Did you mean": the nearest of some names.

/// The name nearest to `written`, when it is near enough to be what was meant. Ties go to the first.
pub(super) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (written.chars().count() / 3).max(1);
    let distances = names
        .into_iter()
        .map(|name| (distance(written, name), name));
    let (found, name) = distances.min_by_key(|&(distance, _)| distance)?;
    (found <= allowed).then_some(name)
}

/// `did you mean `a`?`, else the list of what there is, else `otherwise`.
pub(super) fn suggest<'a>(
    written: &str,
    what: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
    otherwise: &str,
) -> String {
    if let Some(name) = nearest(written, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match all.len() {
        0 => otherwise.to_owned(),
        1..=12 => format!("{what}: {}", all.join(", ")),
        more => format!("{what}: {} and {} more", all[..12].join(", "), more - 12),
    }
}

/// Levenshtein, by characters, upper and lower case alike, of at most 64 of them.
fn distance(a: &str, b: &str) -> usize {
    let letters = |s: &str| -> Vec<char> {
        let lower = s.chars().flat_map(char::to_lowercase);
        lower.take(64).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
