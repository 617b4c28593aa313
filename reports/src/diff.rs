//! What differs between two sets of texts, line by line.

use std::collections::BTreeMap;

/// Lines shown around a change.
const AROUND: usize = 3;
/// More lines than this on either side of what is alike at both ends are shown as replaced altogether.
const MOST: usize = 3_000;

/// How a line stands between old and new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// In both.
    Same,
    /// Only in the old one.
    Removed,
    /// Only in the new one.
    Added,
    /// Lines in both that are left out here.
    Skipped,
}

/// One text that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileDiff {
    /// Its name.
    pub name: String,
    /// Its lines, long stretches that are alike left out.
    pub lines: Vec<(Sign, String)>,
}

/// Texts that differ or are only on one side, by name; those alike are absent.
#[must_use]
pub fn diff(old: &[(String, String)], new: &[(String, String)]) -> Vec<FileDiff> {
    let mut names: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (name, text) in old {
        names.entry(name).or_default().0 = text;
    }
    for (name, text) in new {
        names.entry(name).or_default().1 = text;
    }
    names
        .into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(name, (old, new))| {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
            FileDiff {
                name: name.to_owned(),
                lines: shortened(&lines(&old, &new)),
            }
        })
        .collect()
}

fn lines<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Sign, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev());
    let tail = tail.take(rest).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut all: Vec<(Sign, &str)> = old[..head].iter().map(|l| (Sign::Same, *l)).collect();
    if a.len() > MOST || b.len() > MOST {
        all.extend(a.iter().map(|l| (Sign::Removed, *l)));
        all.extend(b.iter().map(|l| (Sign::Added, *l)));
    } else {
        all.extend(longest_common(a, b));
    }
    all.extend(old[old.len() - tail..].iter().map(|l| (Sign::Same, *l)));
    all
}

/// By the longest common subsequence; removals stand before additions.
fn longest_common<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(Sign, &'a str)> {
    let width = b.len() + 1;
    let mut table = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if a[i] == b[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            all.push((Sign::Same, a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len()
            || (i < a.len() && table[(i + 1) * width + j] >= table[i * width + j + 1])
        {
            all.push((Sign::Removed, a[i]));
            i += 1;
        } else {
            all.push((Sign::Added, b[j]));
            j += 1;
        }
    }
    all
}

fn shortened(lines: &[(Sign, &str)]) -> Vec<(Sign, String)> {
    let mut near = vec![false; lines.len()];
    for (at, (sign, _)) in lines.iter().enumerate() {
        if *sign != Sign::Same {
            let end = (at + AROUND + 1).min(lines.len());
            near[at.saturating_sub(AROUND)..end].fill(true);
        }
    }
    let mut all = Vec::new();
    let mut skipped = 0;
    for (at, (sign, line)) in lines.iter().enumerate() {
        if near[at] {
            flush(&mut skipped, &mut all);
            all.push((*sign, (*line).to_owned()));
        } else {
            skipped += 1;
        }
    }
    flush(&mut skipped, &mut all);
    all
}

fn flush(skipped: &mut u64, all: &mut Vec<(Sign, String)>) {
    if *skipped > 0 {
        let words = crate::words::plural(*skipped, "line", "lines");
        all.push((Sign::Skipped, format!("{words} alike")));
        *skipped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let one = |text: &str| vec![("vs.yaml".to_owned(), text.to_owned())];
        let files = diff(&one(old), &one(new));
        let sign = |s: &Sign| match s {
            Sign::Same => ' ',
            Sign::Removed => '-',
            Sign::Added => '+',
            Sign::Skipped => '~',
        };
        let lines = files.iter().flat_map(|f| &f.lines);
        lines.map(|(s, l)| format!("{}{l}", sign(s))).collect()
    }

    #[test]
    fn changed_lines_are_shown_with_their_neighbours() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni";
        let new = old.replace('h', "H");
        assert_eq!(
            shown(old, &new),
            ["~4 lines alike", " e", " f", " g", "-h", "+H", " i"]
        );
        assert_eq!(shown(old, old), [""; 0]);
        assert_eq!(
            shown("a\nb\nc", "a\nx\nb\nc\ny"),
            [" a", "+x", " b", " c", "+y"]
        );
        assert_eq!(shown("", "a"), ["+a"]);
    }

    #[test]
    fn files_of_one_side_are_wholly_added_or_removed() {
        let files = diff(
            &[("old".into(), "1\n2".into())],
            &[("new".into(), "3".into())],
        );
        assert_eq!(
            (files[0].name.as_str(), files[0].lines[0].0),
            ("new", Sign::Added)
        );
        assert_eq!((files[1].name.as_str(), files[1].lines.len()), ("old", 2));
    }
}
