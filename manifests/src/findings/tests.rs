use super::*;
use crate::text::{self, Sources};

/// Readings of one text in which diagnostics of these codes point at the first place of a word.
fn found(text: &str, readings: &[&[(&'static str, &str)]]) -> Findings {
    let mut findings = Findings::default();
    for reading in readings {
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let source = sources.add("a.yaml", text);
        text::parse(&sources, source, &mut problems);
        for (code, word) in *reading {
            let start = u32::try_from(text.find(word).expect("it is there")).unwrap();
            let span = Span {
                source,
                start,
                end: start + 1,
            };
            problems.push(Diagnostic::warning(code, "found").label(span, ""));
        }
        findings.add(&problems, &sources);
    }
    findings.close();
    findings
}

fn told(findings: &Findings) -> Vec<String> {
    let all = findings.all().into_iter();
    all.map(|each| format!("{} {}", each.code, each.places[0].line))
        .collect()
}

#[test]
fn a_comment_covers_the_field_it_stands_on_and_what_is_in_it() {
    let cases = [
        (
            "on the field",
            "a: {}\nb: # windtunnel: allow(x::y) why\n  word: 1\nc: 2\n",
            true,
        ),
        (
            "above the field",
            "a: {}\n# windtunnel: allow(x::y) why\nb:\n  word: 1\nc: 2\n",
            true,
        ),
        (
            "above other comments",
            "a: 1\n# windtunnel: allow(x::y) why\n\n# more\nb:\n  word: 1\n",
            true,
        ),
        (
            "on another field",
            "a: 1 # windtunnel: allow(x::y) why\nb:\n  word: 1\n",
            false,
        ),
        (
            "above another field",
            "# a\nz: 1\n# windtunnel: allow(x::y) why\na: 1\nb:\n  word: 1\n",
            false,
        ),
        (
            "above the document",
            "# windtunnel: allow(x::y) why\na: 1\nb: {c: [word]}\n",
            true,
        ),
        (
            "above its beginning",
            "# windtunnel: allow(x::y) why\n---\na: 1\nb: word\n",
            true,
        ),
        (
            "another document",
            "a: 1\n# windtunnel: allow(x::y) why\n---\nb: word\n",
            true,
        ),
        (
            "of an item",
            "a:\n  # windtunnel: allow(x::y) why\n  - b: 1\n    c: word\n  - d: 1\n",
            true,
        ),
        (
            "of another item",
            "a:\n  # windtunnel: allow(x::y) why\n  - b: 1\n  - d: word\n",
            false,
        ),
        (
            "of a list",
            "a: # windtunnel: allow(x::y) why\n- b: 1\n- d: word\n",
            true,
        ),
        (
            "on the same line",
            "a:\n  b: word # windtunnel: allow(x::y) why\n",
            true,
        ),
        (
            "of an item on its line",
            "a:\n  - {b: word} # windtunnel: allow(x::y) why\n",
            true,
        ),
        (
            "several codes",
            "a: word # windtunnel: allow(x::z, x::y) why\n",
            true,
        ),
        (
            "another code",
            "a: word # windtunnel: allow(x::z) why\n",
            false,
        ),
        (
            "in a text",
            "b: |\n  # windtunnel: allow(x::y) why\n  word\n",
            false,
        ),
        (
            "in quotes",
            "b: \"word # windtunnel: allow(x::y) why\"\n",
            false,
        ),
        ("no comment", "b: word#windtunnel: allow(x::y) why\n", false),
    ];
    for (name, text, expected) in cases {
        let findings = found(text, &[&[("x::y", "word")]]);
        assert_eq!(findings.silenced().len(), usize::from(expected), "{name}");
    }
}

#[test]
fn what_silences_nothing_is_told_unless_some_reading_has_it() {
    let text = "a: word # windtunnel: allow(x::y, x::z) why\n";
    let both: &[&[_]] = &[&[("x::y", "word")], &[("x::z", "word")]];
    assert_eq!(told(&found(text, both)), Vec::<String>::new());
    assert_eq!(
        told(&found(text, &[&[("x::y", "word")]])),
        ["silence::unused 1"]
    );
    assert_eq!(
        told(&found(text, &[&[]])),
        ["silence::unused 1", "silence::unused 1"]
    );
    let bare = "a: word # windtunnel: allow(x::y)\n";
    assert_eq!(
        told(&found(bare, &[&[("x::y", "word")]])),
        ["silence::no-reason 1"]
    );
}

#[test]
fn a_comment_that_cannot_be_read_is_told() {
    for text in [
        "a: 1 # windtunnel: allow x::y\n",
        "a: 1 # windtunnel: allow()\n",
        "a: 1 # windtunnel: allow(x::y\n",
        "a: 1 # windtunnel: deny(x::y)\n",
    ] {
        assert_eq!(told(&found(text, &[&[]])), ["silence::syntax 1"], "{text}");
    }
}

#[test]
fn errors_are_never_silenced() {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let text = "a: 1 # windtunnel: allow(x::bad) why\na: 2\n";
    let source = sources.add("a.yaml", text);
    text::parse(&sources, source, &mut problems);
    let span = Span {
        source,
        start: 0,
        end: 1,
    };
    problems.push(Diagnostic::error("x::bad", "bad").label(span, ""));
    let mut findings = Findings::default();
    findings.add(&problems, &sources);
    findings.close();
    let counts = findings.counts();
    assert_eq!((counts.errors, counts.silenced), (2, 0));
    assert_eq!(counts.words(), "2 errors, 1 warning");
}

#[test]
fn equal_notes_are_one_finding_with_several_places() {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let source = sources.add("a.yaml", "a\nb\nc\n");
    for start in [0, 2, 4] {
        let span = Span {
            source,
            start,
            end: start + 1,
        };
        problems.push(Diagnostic::listed("x::note", "the same").label(span, ""));
    }
    let mut findings = Findings::default();
    findings.add(&problems, &sources);
    findings.add(&problems, &sources);
    let all = findings.all();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].others.len(), 2);
    assert_eq!(all[0].lines().lines().count(), 3);
    assert!(all[0].text().contains("3 places: also a.yaml:2, a.yaml:3"));
    assert_eq!(findings.counts().words(), "1 note");
}

#[test]
fn levels_include_what_is_graver() {
    let rules = |text: &str| Deny::parse(text).unwrap();
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    sources.add("a.yaml", "a\n");
    problems.push(Diagnostic::error("x::error", ""));
    problems.push(Diagnostic::warning("x::warning", ""));
    problems.push(Diagnostic::advice("y::advice", ""));
    problems.push(Diagnostic::listed("y::note", ""));
    let mut findings = Findings::default();
    findings.add(&problems, &sources);
    for (rule, count) in [
        ("warnings", 2),
        ("advice", 3),
        ("notes", 4),
        ("y::", 2),
        ("y::note", 1),
        ("z::", 0),
    ] {
        assert_eq!(findings.denied(&[rules(rule)]).len(), count, "{rule}");
    }
    for text in ["", "x", "::", "::x", "error"] {
        assert_eq!(Deny::parse(text), None, "{text}");
    }
}

#[test]
fn markdown_stays_in_its_table_whatever_is_written() {
    let mut sources = Sources::default();
    let source = sources.add("a|b.yaml", "a\n");
    let span = Span {
        source,
        start: 0,
        end: 1,
    };
    let mut problems = Diagnostics::default();
    let message = "`a|b` <script> *x*\n| new row @someone #1";
    problems.push(Diagnostic::warning("x::y", message).label(span, ""));
    let mut findings = Findings::default();
    findings.add(&problems, &sources);
    let text = to_markdown(&findings, &[]);
    let row = text.lines().find(|line| line.contains("x::y")).unwrap();
    let expected =
        r"| warning | a\|b.yaml:1 | `a\|b` &lt;script> \*x\* \| new row \@someone \#1 | `x::y` |";
    assert_eq!(row, expected);
}
