use super::*;
use crate::demo::{Shape, run};
use crate::figures::tests::{ms, small};

/// Where to leave the pages to be looked at, when that is asked for.
fn leave(name: &str, html: &str) {
    if let Ok(dir) = std::env::var("WINDTUNNEL_PAGES") {
        std::fs::write(format!("{dir}/{name}.html"), html).unwrap();
    }
}

fn several() -> Page {
    Page::new(
        [Shape::Storm, Shape::Budget, Shape::Refused]
            .map(|s| run(s, 7))
            .to_vec(),
    )
}

/// Every element that must be closed is, in order.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 4] = ["meta", "br", "!doctype", "hr"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("an end of a tag");
        let tag = &rest[..end];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '/')
            .collect();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(closed),
                "near {}",
                &rest[..end.min(80)]
            );
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            if name == "script" || name == "style" {
                let close = format!("</{name}>");
                let to = rest.find(&close).expect("an end of a script");
                rest = &rest[to + close.len()..];
                continue;
            }
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn a_page_is_whole_and_fetches_nothing() {
    for (name, page) in [
        ("one", Page::new(vec![run(Shape::Storm, 7)])),
        ("several", several()),
    ] {
        let html = page.render();
        leave(name, &html);
        assert_well_formed(&html);
        for fetched in ["http://", "https://", "src=", "url(", "@import"] {
            assert!(!html.contains(fetched), "{name}: {fetched}");
        }
    }
}

#[test]
fn the_same_results_give_the_same_bytes_also_when_read_back() {
    let page = several();
    let html = page.render();
    assert_eq!(html, several().render());
    let back = crate::json::read(&crate::json::write(page.results())).unwrap();
    assert!(html == Page::new(back).render());
}

#[test]
fn the_verdict_is_the_worst_of_all() {
    assert_eq!(several().verdict(), State::Failed);
    assert!(
        several()
            .render()
            .contains("<title>retry-storm: failed · windtunnel</title>")
    );
}

#[test]
fn names_from_a_scenario_are_never_markup() {
    let evil = "<script>alert(1)</script>\"'&";
    let mut result = run(Shape::Storm, 7);
    result.scenario = evil.into();
    result.variant = Some(evil.into());
    result.loads[0].name = evil.into();
    result.workloads[2].name = evil.into();
    result.clusters[0].endpoints[0] = evil.into();
    result.faults[0].what = evil.into();
    result.origins[0].text = evil.into();
    result.basis.command = evil.into();
    result.waterfalls[0].request = evil.into();
    result.waterfalls[0].spans[1].marks[0].text = evil.into();
    result.expectations[0].expression = evil.into();
    let html = Page::new(vec![result.clone(), result]).render();
    assert!(!html.contains("<script>alert"));
    assert_well_formed(&html);
}

#[test]
fn a_result_with_nothing_in_it_is_a_page() {
    assert_well_formed(&Page::new(vec![small().finish(ms(40_000))]).render());
    assert_well_formed(&Page::new(vec![]).render());
}

#[test]
fn replications_show_their_spread() {
    let pooled = crate::pool::pool((1..=3).map(|seed| run(Shape::Budget, seed)).collect()).unwrap();
    let mut pooled = pooled;
    let expectation = crate::expect::Expectation::parse("success('shoppers') >= 0.9").unwrap();
    for r in &mut pooled.replications {
        r.expectations = vec![r.figures.get("success('shoppers')").copied()];
        r.held = vec![Some(true)];
    }
    crate::expect::judge(&[expectation], &mut pooled);
    let html = Page::new(vec![pooled]).render();
    leave("pooled", &html);
    assert!(html.contains("3 replications (seeds 1 to 3)"));
    assert!(html.contains("3 of 3"));
}

#[test]
fn what_envoy_does_otherwise_is_listed() {
    let ours = run(Shape::Storm, 7);
    assert!(!Page::new(vec![ours.clone()]).render().contains("departure"));
    let mut theirs = ours;
    theirs.basis.departures = vec!["cluster `a`: all connections are kept".into()];
    let html = Page::new(vec![theirs]).render();
    assert_well_formed(&html);
    for part in [
        "1 departure from what the manifests say",
        "<li>cluster <code>a</code>: all connections are kept</li>",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn what_was_tried_and_what_was_not_run_stand_beside_what_it_rests_on() {
    let mut result = run(Shape::Storm, 7);
    result.basis.partial = "stopped after 2 of 5 replications".into();
    let tried = |value: &str, flips: &[&str]| crate::result::Tried {
        value: value.into(),
        flips: flips.iter().map(|flip| (*flip).to_owned()).collect(),
    };
    result.basis.assumptions[0].tried = vec![
        tried("1.5 ms", &[]),
        tried("6 ms", &["`success('users') > 0.9` failed, not held"]),
    ];
    let html = Page::new(vec![result]).render();
    assert_well_formed(&html);
    for part in [
        "Not all was run: stopped after 2 of 5 replications.",
        "with 1.5\u{a0}ms every verdict stays",
        "<strong class=\"warn\">with 6 ms: <code>success(&#39;users&#39;) &gt; 0.9</code> failed, not held</strong>",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn what_two_files_assume_alike_is_said_once_with_both_places() {
    let (a, mut b) = (run(Shape::Storm, 7), run(Shape::Storm, 7));
    b.variant = Some("other".into());
    b.basis.assumptions[0].origin = "other.yaml:3".into();
    let mut out = String::new();
    basis::rests_on(&mut out, &[a.clone(), b]);
    let first = &a.basis.assumptions[0];
    let origins = format!("<small>{}, other.yaml:3</small>", first.origin);
    assert!(out.contains(&origins), "{out}");
    let all = a.basis.assumptions.len();
    let list = out.split_once("<h3>Assumed</h3>").unwrap().1;
    let list = list.split_once("</ul>").unwrap().0;
    assert_eq!(list.matches("<li>").count(), all);
    assert!(!list.contains("<small>in "), "{list}");
}

#[test]
fn a_run_that_was_cut_short_has_no_verdict_yet() {
    let mut cut = run(Shape::Budget, 7);
    cut.time.cut_at_ns = Some(70_000_000_000);
    cut.expectations.retain(|v| v.state == State::Held);
    let html = Page::new(vec![cut]).render();
    assert!(html.contains("<title>retry-storm: held so far · windtunnel</title>"));
    assert!(!html.contains("verdict held"));
}

#[test]
fn what_cannot_be_compared_is_said_in_the_place_of_differences() {
    let mut other = run(Shape::Budget, 7);
    other.loads[0].name = "bots".into();
    let html = Page::new(vec![run(Shape::Storm, 7), other]).render();
    let why = "cannot be compared with <strong>as written</strong>: they have no load in common";
    assert!(html.contains(why));
    assert_well_formed(&html);
}

/// What a reader reads, a line an element of text; pictures by what stands for them.
fn read_aloud(html: &str) -> String {
    let body = html.split_once("<main>").unwrap().1;
    let body = body.split_once("</main>").unwrap().0;
    let mut out = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("<svg ") {
        out.push_str(before);
        let (picture, after) = after.split_once("</svg>").unwrap();
        let alt = picture.split_once("aria-label=\"").unwrap().1;
        let alt = alt.split_once('"').unwrap().0;
        out.push_str(&format!("[{alt}]"));
        rest = after;
    }
    out.push_str(rest);
    let mut text = String::new();
    let mut rest = out.as_str();
    while let Some((words, after)) = rest.split_once('<') {
        text.push_str(words);
        let (tag, after) = after.split_once('>').unwrap();
        let is_cell = ["/td", "/th", "/time"].contains(&tag);
        if is_cell {
            text.push_str(" | ");
        } else if tag.starts_with('h') || tag.starts_with("br") {
            text.push('\n');
        }
        rest = after;
    }
    text.push_str(rest);
    let lines = text.lines().map(|l| l.trim().trim_end_matches('|').trim());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[test]
fn a_page_reads_from_the_verdict_down_to_where_it_comes_from() {
    insta::assert_snapshot!(read_aloud(&Page::new(vec![run(Shape::Storm, 7)]).render()));
}

#[test]
fn several_stand_side_by_side_and_their_differences_under_them() {
    insta::assert_snapshot!(read_aloud(&several().render()));
}
