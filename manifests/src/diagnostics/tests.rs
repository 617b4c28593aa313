use super::*;
use crate::text::Sources;

fn span(sources: &Sources, text: &str) -> Span {
    let (id, source) = sources
        .iter()
        .find(|(_, source)| source.text().contains(text))
        .expect("some text has it");
    let start = u32::try_from(source.text().find(text).expect("it has it")).expect("small");
    let end = start + u32::try_from(text.len()).expect("small");
    Span {
        source: id,
        start,
        end,
    }
}

#[test]
fn a_diagnostic_draws_its_text_in_every_file() {
    let mut sources = Sources::default();
    sources.add("vs.yaml", "spec:\n  hosts:\n  - ordres\n");
    sources.add("svc.yaml", "kind: Service\nname: orders\n");
    let problem = Diagnostic::error("route::unknown-host", "no service is called `ordres`")
        .label(span(&sources, "ordres"), "named here")
        .label(span(&sources, "orders"), "this one exists")
        .help("did you mean `orders`?");
    insta::assert_snapshot!(problem.render(&sources), @"
    route::unknown-host

      × no service is called `ordres`
       ╭─[vs.yaml:3:5]
     2 │   hosts:
     3 │   - ordres
       ·     ───┬──
       ·        ╰── named here
       ╰────
       ╭─[svc.yaml:2:7]
     1 │ kind: Service
     2 │ name: orders
       ·       ───┬──
       ·          ╰── this one exists
       ╰────
      help: did you mean `orders`?
    ");
    assert_eq!(
        problem.to_line(&sources),
        "vs.yaml:3:5: error[route::unknown-host]: no service is called `ordres`: did you mean `orders`?"
    );
}

#[test]
fn diagnostics_are_ordered_by_place_and_each_is_kept_once() {
    let mut sources = Sources::default();
    sources.add("a.yaml", "first: 1\nsecond: 2\n");
    let mut problems = Diagnostics::default();
    let second = Diagnostic::warning("x::second", "second").label(span(&sources, "second"), "");
    problems.push(second.clone());
    problems.push(second);
    problems.push(
        Diagnostic::not_modelled("x::first", "`first`", "its cost is left out")
            .label(span(&sources, "first"), ""),
    );
    problems.push(Diagnostic::assumed(
        "x::nowhere",
        "the mesh",
        "Istio, since a VirtualService was given",
    ));
    assert_eq!(
        problems.to_lines(&sources),
        "assumed[x::nowhere]: the mesh: Istio, since a VirtualService was given\n\
         a.yaml:1:1: not modelled[x::first]: `first`: its cost is left out\n\
         a.yaml:2:1: warning[x::second]: second\n"
    );
    assert_eq!(
        (
            problems.errors(),
            problems.warnings(),
            problems.notes().len()
        ),
        (0, 1, 2)
    );
    assert!(!problems.has_errors());
    assert!(problems.render(&sources).ends_with("1 warning, 2 notes\n"));
}

#[test]
fn a_label_outside_its_text_still_reaches_the_reader() {
    let mut sources = Sources::default();
    let file = sources.add("a.yaml", "short");
    let beyond = Span {
        source: file,
        start: 90,
        end: 95,
    };
    let problem = Diagnostic::error("x::y", "wrong").label(beyond, "here");
    assert!(problem.render(&sources).contains("wrong"));
    assert_eq!(problem.to_line(&Sources::default()), "error[x::y]: wrong");
}

#[test]
fn notes_that_say_the_same_are_told_once_and_policy_comes_first() {
    let mut sources = Sources::default();
    let fields = "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\n";
    sources.add("pods.yaml", fields);
    sources.add("plugins.yaml", "limit: 5\nbad: 1\n");
    let mut all = Diagnostics::default();
    for name in ["a", "b", "c", "d", "e"] {
        let probe = Diagnostic::not_modelled("kubernetes::field", "`readinessProbe`", "no probe");
        all.push(probe.label(span(&sources, &format!("{name}: 1")), ""));
    }
    let place = span(&sources, "limit");
    let limit = Diagnostic::not_modelled("kong::plugin", "`rate-limiting`", "nobody is refused");
    all.push(limit.label(place, ""));
    let bad = span(&sources, "bad");
    for _ in 0..2 {
        all.push(Diagnostic::warning("x::bad", "this is bad").label(bad, ""));
    }
    all.push(Diagnostic::warning("x::bad", "this is bad").label(place, ""));
    insta::assert_snapshot!(all.to_grouped_lines(&sources), @"
    plugins.yaml:1:1: warning[x::bad]: this is bad
    plugins.yaml:2:1: warning[x::bad]: this is bad
    plugins.yaml:1:1: not modelled[kong::plugin]: `rate-limiting`: nobody is refused
    pods.yaml:1:1: not modelled[kubernetes::field]: `readinessProbe`: no probe (5 places: also pods.yaml:2, pods.yaml:3, pods.yaml:4, …)
    ");
}
