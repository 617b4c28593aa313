use super::*;
use crate::demo::{Shape, run};
use crate::figures::tests::{ms, small};

fn titles(results: &[RunResult]) -> String {
    let panels = panels(results);
    let rows = panels.iter().flat_map(|p| {
        let head = format!("{}\n", p.name);
        let rows = p.rows.iter().map(|r| format!("  {}\n", r.title));
        std::iter::once(head).chain(rows)
    });
    rows.collect()
}

#[test]
fn titles_say_what_is_to_be_seen() {
    insta::assert_snapshot!(titles(&[run(Shape::Storm, 7), run(Shape::Budget, 7)]));
}

#[test]
fn a_run_with_nothing_in_it_has_its_strips_too() {
    insta::assert_snapshot!(titles(&[small().finish(ms(40_000))]));
}

#[test]
fn rows_of_one_kind_are_drawn_on_one_scale() {
    let both = panels(&[run(Shape::Storm, 7), run(Shape::Refused, 7)]);
    let labels = |row: &Row| -> Vec<String> {
        let svg = row.svg.as_deref().unwrap_or_default();
        let texts = svg.split("text-anchor=\"end\"").skip(1);
        texts
            .map(|t| {
                t.split_once('>')
                    .unwrap()
                    .1
                    .split('<')
                    .next()
                    .unwrap()
                    .trim()
                    .to_owned()
            })
            .collect()
    };
    for panel in both
        .iter()
        .filter(|p| p.rows.iter().all(|r| r.svg.is_some()))
    {
        assert_eq!(
            labels(&panel.rows[0]),
            labels(&panel.rows[1]),
            "{}",
            panel.name
        );
        assert!(
            !labels(&panel.rows[0]).is_empty() || panel.name.starts_with("Endpoints"),
            "{}",
            panel.name
        );
    }
}

#[test]
fn what_is_read_out_has_a_value_a_bin() {
    for panel in panels(&[run(Shape::Storm, 7)]) {
        for series in &panel.rows[0].series {
            assert_eq!(series.values.len(), 120, "{}", series.name);
        }
    }
}
