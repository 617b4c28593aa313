//! The page says what targets say of themselves.

use translate::targets::TARGETS;

#[test]
fn the_page_has_every_reason_that_a_target_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/translate.md");
    let page = std::fs::read_to_string(path).expect("the page");
    for target in TARGETS {
        assert!(
            page.contains(&format!("`{}`", target.name)),
            "{}",
            target.name
        );
        let missing: Vec<String> = target
            .unsaid
            .iter()
            .map(|(area, why)| format!("| {area} | {why} |"))
            .filter(|row| !page.contains(row.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "of {}:\n{}",
            target.name,
            missing.join("\n")
        );
    }
}
