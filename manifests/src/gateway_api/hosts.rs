//! Host names: which one another covers, and how much one says.

use std::fmt;

/// Hosts that a listener or a route takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Host {
    /// Any.
    Any,
    /// Every name that ends in this, which begins with a dot (`*.example.com` is `.example.com`).
    Under(String),
    /// This one.
    Exact(String),
}

impl Host {
    /// As written, whatever its case; none: any.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().to_ascii_lowercase();
        match text.strip_prefix('*') {
            _ if text.is_empty() || text == "*" => Self::Any,
            Some(suffix) => Self::Under(suffix.to_owned()),
            None => Self::Exact(text),
        }
    }

    /// Whether every name that `other` takes is taken, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Under(_)) => false,
            (Self::Under(own), Self::Under(other)) => other.ends_with(own),
            (Self::Under(own), Self::Exact(other)) => {
                other.len() > own.len() && other.ends_with(own)
            }
            (Self::Exact(own), Self::Exact(other)) => own == other,
        }
    }

    /// How much it says: an exact name more than any pattern, a longer one more than a shorter.
    #[must_use]
    pub const fn weight(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Under(suffix) => (1, suffix.len()),
            Self::Exact(name) => (2, name.len()),
        }
    }

    /// As the core writes it: a name, `*.suffix` or `*`.
    #[must_use]
    pub fn domain(&self) -> Box<str> {
        self.to_string().into()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Under(suffix) => write!(f, "*{suffix}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// The names that both a listener and a route take, which has these hosts (none: any); empty where there is none.
///
/// Source: `HTTPRoute.spec.hostnames`: of two that intersect the one that says more counts.
#[must_use]
pub fn intersection(listener: &Host, route: &[Host]) -> Vec<Host> {
    if route.is_empty() {
        return vec![listener.clone()];
    }
    let mut shared = Vec::new();
    for host in route {
        let common = if listener.covers(host) {
            host
        } else if host.covers(listener) {
            listener
        } else {
            continue;
        };
        if !shared.contains(common) {
            shared.push(common.clone());
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the examples of `HTTPRoute.spec.hostnames`.
    #[test]
    fn what_a_listener_and_a_route_share_is_what_says_more() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &["*"]),
            ("", &["a.b"], &["a.b"]),
            ("test.example.com", &[], &["test.example.com"]),
            (
                "test.example.com",
                &["test.example.com", "*.example.com"],
                &["test.example.com"],
            ),
            (
                "*.example.com",
                &["*.example.com", "test.example.com", "foo.test.example.com"],
                &["*.example.com", "test.example.com", "foo.test.example.com"],
            ),
            ("*.example.com", &["example.com", "test.example.net"], &[]),
            ("*.example.com", &["*.net"], &[]),
            (
                "*.example.com",
                &["*.a.example.com", "*.com"],
                &["*.a.example.com", "*.example.com"],
            ),
            ("a.b", &["A.B"], &["a.b"]),
            ("*.b", &[".b"], &[]),
        ];
        for (listener, route, want) in rows {
            let hosts: Vec<Host> = route.iter().map(|host| Host::of(Some(host))).collect();
            let listener_host = Host::of(Some(listener));
            let shared = intersection(&listener_host, &hosts);
            let shared: Vec<String> = shared.iter().map(Host::to_string).collect();
            assert_eq!(shared, *want, "{listener} and {route:?}");
        }
    }

    #[test]
    fn an_exact_name_says_more_than_a_pattern() {
        let mut hosts: Vec<Host> = ["*", "a.example.com", "*.com", "*.example.com", "b.c"]
            .iter()
            .map(|host| Host::of(Some(host)))
            .collect();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.weight()));
        let order: Vec<String> = hosts.iter().map(Host::to_string).collect();
        assert_eq!(
            order,
            ["a.example.com", "b.c", "*.example.com", "*.com", "*"]
        );
    }
}
