//! The codes of differences.

use compare::Area;

/// The code that differences of an area are told under.
pub(super) const fn of(area: Area) -> &'static str {
    match area {
        Area::Connection => "against::connection",
        Area::Destination => "against::destination",
        Area::Redirect => "against::redirect",
        Area::Answer => "against::answer",
        Area::Rewrite => "against::rewrite",
        Area::Headers => "against::headers",
        Area::Reading => "against::reading",
        Area::Timeout => "against::timeout",
        Area::Retry => "against::retry",
        Area::Mirror => "against::mirror",
        Area::Fault => "against::fault",
        Area::Limit => "against::limit",
        Area::Cors => "against::cors",
        Area::Session => "against::session",
        Area::Upgrade => "against::upgrade",
        Area::Balance => "against::balance",
        Area::Ejection => "against::ejection",
        Area::Health => "against::health",
        Area::Pool => "against::pool",
        Area::Tls => "against::tls",
    }
}

/// What was left out of a comparison.
pub(super) const LEFT_OUT: &str = "against::left-out";
/// A dump of which it is not known whose it is.
pub(super) const NODE: &str = "against::node";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/against.md");

    #[test]
    fn every_code_is_of_one_area_and_stands_on_its_page() {
        let codes: BTreeSet<&str> = Area::ALL.into_iter().map(of).collect();
        assert_eq!(codes.len(), Area::ALL.len());
        for area in Area::ALL {
            assert_eq!(of(area), format!("against::{area}"));
        }
        for code in codes.into_iter().chain([LEFT_OUT, NODE]) {
            assert!(PAGE.contains(&format!("`{code}`")), "{code}");
        }
    }
}
