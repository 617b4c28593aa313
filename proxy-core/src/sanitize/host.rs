//! The authority of a request in the form that virtual hosts are written in.

use crate::config::{HostRules, StripPort};
use crate::heads::ArrivingHead;

/// Takes the dot and the port from the authority where they are not wanted; `port` is the one that was dialled.
///
/// Source: envoy `maybeNormalizeHost`.
pub(super) fn normalize(rules: HostRules, port: u16, head: &mut impl ArrivingHead) {
    if rules == HostRules::default() {
        return;
    }
    let Some(whole) = head.authority() else {
        return;
    };
    let undotted = rules.strip_dot.then(|| without_dot(whole)).flatten();
    let authority = undotted.as_deref().unwrap_or(whole);
    let bare = match rules.strip_port {
        StripPort::Never => None,
        StripPort::Matching => without_port(authority, |it| it == u32::from(port)),
        StripPort::Any => without_port(authority, |_| true),
    };
    let wanted = bare.unwrap_or(authority);
    if wanted.len() != whole.len() {
        let wanted = wanted.to_owned();
        head.set_authority(&wanted);
    }
}

/// Source: envoy `source/common/http/header_utility.cc` (`stripTrailingHostDot`).
fn without_dot(authority: &str) -> Option<String> {
    let (name, rest) = authority.rsplit_once('.')?;
    (rest.is_empty() || rest.starts_with(':')).then(|| format!("{name}{rest}"))
}

/// Source: envoy `source/common/http/header_utility.cc` (`stripPortFromHost`): an IPv6 address stands in brackets, and a port is a
/// number of 32 bits.
fn without_port(authority: &str, strips: impl Fn(u32) -> bool) -> Option<&str> {
    let (name, port) = authority.rsplit_once(':')?;
    if port.contains(']') {
        return None;
    }
    strips(port.parse().ok()?).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 1.40.0 made of them.
    #[test]
    fn ports_and_dots_go_where_envoy_takes_them() {
        for (authority, any, matching, dot) in [
            ("h.example:80", "h.example", "h.example:80", "h.example:80"),
            ("h.example:8080", "h.example", "h.example", "h.example:8080"),
            ("h.example.", "h.example.", "h.example.", "h.example"),
            (
                "h.example.:80",
                "h.example.",
                "h.example.:80",
                "h.example:80",
            ),
            ("[::1]:80", "[::1]", "[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]", "[::1]", "[::1]"),
            ("h.example:", "h.example:", "h.example:", "h.example:"),
            ("h:abc", "h:abc", "h:abc", "h:abc"),
            ("1.2.3.4:99", "1.2.3.4", "1.2.3.4:99", "1.2.3.4:99"),
            (".", ".", ".", ""),
            ("h..", "h..", "h..", "h."),
            ("", "", "", ""),
            ("h:99999", "h", "h:99999", "h:99999"),
            (
                "h:4294967376",
                "h:4294967376",
                "h:4294967376",
                "h:4294967376",
            ),
        ] {
            let or_same = |it: Option<&str>| it.unwrap_or(authority).to_owned();
            assert_eq!(
                or_same(without_port(authority, |_| true)),
                any,
                "{authority:?}"
            );
            assert_eq!(
                or_same(without_port(authority, |port| port == 8080)),
                matching,
                "{authority:?}"
            );
            assert_eq!(
                or_same(without_dot(authority).as_deref()),
                dot,
                "{authority:?}"
            );
        }
    }
}
