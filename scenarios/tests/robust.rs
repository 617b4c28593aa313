//! Whatever is written, reading it ends with a plan or with located errors, never with a panic.

use std::fmt::Write as _;

use manifests::diagnostics::Diagnostics;
use manifests::text::Sources;
use proptest::prelude::*;
use scenarios::plan::{Known, KnownService, KnownWorkload, Plan};
use scenarios::read::{File, Memory, Override};

const EVERY_KEY: &str = include_str!("data/every-key.yaml");

fn known() -> Known {
    Known {
        workloads: vec![KnownWorkload {
            namespace: "default".to_owned(),
            name: "service-a".to_owned(),
            replicas: 2,
            in_manifests: true,
            is_gateway: false,
        }],
        services: vec![KnownService {
            namespace: "default".to_owned(),
            name: "service-a".to_owned(),
            ports: vec![80],
            workloads: vec![0],
            in_manifests: true,
        }],
        gateways: vec!["default/api-gateway".to_owned()],
    }
}

/// Compiles every flight; gives a plan and the errors.
fn fly(text: &str, set: Option<&str>) -> (Option<Plan>, usize) {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source = sources.add("s.yaml", text);
    let overrides: Vec<Override> = set
        .and_then(|set| Override::parse(set, &mut sources, &mut problems))
        .into_iter()
        .collect();
    let mut last = None;
    if let Some(file) = File::parse(&sources, source, &mut problems) {
        for name in file.flights() {
            let flight = file.flight(Some(name), &overrides, &sources, &mut problems);
            last = flight.and_then(|flight| {
                let _declared = flight.declared(&[]);
                Plan::compile(
                    &flight,
                    &known(),
                    &Memory::default(),
                    &mut sources,
                    &mut problems,
                )
            });
        }
    }
    let _drawn = problems.render(&sources);
    (last, problems.errors())
}

/// Starts every generator of a plan and takes a few of its requests.
fn start(plan: &Plan) {
    for load in 0..plan.loads.len() {
        let load = scenarios::plan::LoadId::at(load);
        let root = Plan::root(plan.seed);
        let arrivals = plan.arrivals(load, root).into_iter().flatten().take(100);
        let mut before = None;
        for arrival in arrivals {
            assert!(before <= Some(arrival.at));
            before = Some(arrival.at);
        }
    }
}

const ABSURD: &[&str] = &[
    "-1",
    "0",
    ".nan",
    ".inf",
    "1e308",
    "-0.0",
    "99999999999999999999999",
    "\"\"",
    "null",
    "[]",
    "{}",
    "[[[[]]]]",
    "{a: {b: {c: []}}}",
    "-5s",
    "0s",
    "1e9/s",
    "0/s",
    "200%",
    "1KiB",
    "GET",
    "GET /",
    "service-b",
    "*x",
    "&x y",
    "<<",
    "true",
    "2026-01-01",
    "!!str 5",
    "'",
    "{",
    "- -",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        fly(&text, None);
        fly(EVERY_KEY, Some(&text));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fly(&String::from_utf8_lossy(&bytes), None);
    }

    #[test]
    fn no_absurd_value_panics(at in any::<prop::sample::Index>(), value in prop::sample::select(ABSURD), second in any::<prop::sample::Index>(), other in prop::sample::select(ABSURD)) {
        let mut text = EVERY_KEY.to_owned();
        for (at, value) in [(at, value), (second, other)] {
            let starts: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
            let start = starts[at.index(starts.len())];
            let end = start + text[start..].find([',', '}', ']', '\n']).unwrap_or(text.len() - start);
            text.replace_range(start..end, value);
        }
        let (plan, errors) = fly(&text, None);
        prop_assert!(plan.is_some() || errors > 0, "refused without a word:\n{text}");
        if let Some(plan) = plan {
            start(&plan);
        }
    }

    #[test]
    fn no_missing_piece_panics(at in any::<prop::sample::Index>(), length in 1_usize..80) {
        let chars: Vec<char> = EVERY_KEY.chars().collect();
        let start = at.index(chars.len());
        let text: String = chars[..start].iter().chain(chars.iter().skip(start + length)).collect();
        let (plan, errors) = fly(&text, None);
        prop_assert!(plan.is_some() || errors > 0, "refused without a word:\n{text}");
    }

    #[test]
    fn no_shuffled_lines_panic(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = EVERY_KEY.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        fly(&lines.join("\n"), None);
    }
}

#[test]
fn steps_may_be_nested_as_deep_as_the_reader_goes() {
    for depth in [1, 20, 200] {
        let mut text = String::from(
            "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {name: deep}\nspec: {duration: 1s, workloads: {a: {handlers: [{match: /, steps: ",
        );
        for _ in 0..depth {
            text.push_str("[{parallel: ");
        }
        text.push_str("[{time: 1ms}]");
        for _ in 0..depth {
            text.push_str("}]");
        }
        text.push_str("}]}}}\n");
        let (plan, errors) = fly(&text, None);
        assert_eq!(plan.is_some(), depth < 40, "{depth}");
        assert_eq!(errors > 0, depth >= 40, "{depth}");
    }
}

#[test]
fn long_chains_of_calls_are_walked_without_a_stack() {
    let mut text = String::from(
        "apiVersion: windtunnel.dev/v1alpha1\nkind: Scenario\nmetadata: {name: long}\nspec:\n  duration: 1s\n  workloads:\n",
    );
    for nth in 0..3000 {
        writeln!(text, "    w{nth}: {{handlers: [{{match: /, steps: [{{call: {{workload: w{}, request: GET /}}}}]}}]}}", nth + 1).expect("a String takes every write");
    }
    text.push_str("    w3000: {handlers: [{match: /}]}\n");
    let (plan, errors) = fly(&text, None);
    assert_eq!(
        (plan.map(|plan| plan.workloads.len()), errors),
        (Some(3002), 0)
    );
}
