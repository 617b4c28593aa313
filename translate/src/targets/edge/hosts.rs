//! Which hosts a virtual host takes.

use proxy_core::config::VirtualHost;

/// A domain of a virtual host, without its port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) enum Domain {
    /// This one, in lower case.
    Exact(String),
    /// Whatever stands before this, however many labels; it begins with a dot, unless the domain had none.
    Under(String),
    /// Whatever stands behind this.
    Starting(String),
    /// All of them.
    Any,
}

impl Domain {
    /// A domain as the core has it: `shop.example.com`, `*.example.com`, `shop.*`, `*`, perhaps with a port.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let host = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let is_port = port == "*" || port.bytes().all(|b| b.is_ascii_digit());
                if is_port { host } else { text.as_str() }
            }
            Some(_) | None => text.as_str(),
        };
        match (host.strip_prefix('*'), host.strip_suffix('*')) {
            (Some(""), _) => Self::Any,
            (Some(rest), _) => Self::Under(rest.to_owned()),
            (None, Some(start)) => Self::Starting(start.to_owned()),
            (None, None) => Self::Exact(host.to_owned()),
        }
    }

    /// The domains of a virtual host, each once.
    pub(crate) fn all(host: &VirtualHost) -> Vec<Self> {
        let mut found: Vec<Self> = host.domains.iter().map(|it| Self::of(it)).collect();
        found.sort();
        found.dedup();
        if found.contains(&Self::Any) {
            return vec![Self::Any];
        }
        found
    }

    /// Whether every host of `other` is one of its own.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Under(own), Self::Exact(host) | Self::Under(host)) => {
                host.ends_with(own.as_str())
                    && (host.len() > own.len() || matches!(other, Self::Under(_)))
            }
            (Self::Starting(own), Self::Exact(host) | Self::Starting(host)) => {
                host.starts_with(own.as_str())
                    && (host.len() > own.len() || matches!(other, Self::Starting(_)))
            }
            (Self::Exact(own), Self::Exact(host)) => own == host,
            (Self::Exact(_), Self::Under(_) | Self::Starting(_) | Self::Any)
            | (Self::Under(_), Self::Starting(_) | Self::Any)
            | (Self::Starting(_), Self::Under(_) | Self::Any) => false,
        }
    }

    /// Whether some host may be one of both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Under(_), Self::Starting(_)) | (Self::Starting(_), Self::Under(_)) => true,
            _ => self.covers(other) || other.covers(self),
        }
    }

    /// As Ingresses and the Gateway API write it; none: they have no such pattern.
    pub(crate) fn ingress(&self) -> Option<String> {
        match self {
            Self::Exact(host) => Some(host.clone()),
            Self::Under(rest) if rest.starts_with('.') => Some(format!("*{rest}")),
            Self::Any => Some(String::new()),
            Self::Under(_) | Self::Starting(_) => None,
        }
    }

    /// As people know it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exact(host) => host.clone(),
            Self::Under(rest) => format!("*{rest}"),
            Self::Starting(start) => format!("{start}*"),
            Self::Any => "*".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_without_its_port() {
        for (text, expected) in [
            ("Shop.example.com", Domain::Exact("shop.example.com".into())),
            ("shop:8080", Domain::Exact("shop".into())),
            ("*.example.com", Domain::Under(".example.com".into())),
            ("*.example.com:80", Domain::Under(".example.com".into())),
            ("shop.*", Domain::Starting("shop.".into())),
            ("*", Domain::Any),
            ("*:80", Domain::Any),
            ("[::1]:80", Domain::Exact("[::1]".into())),
        ] {
            assert_eq!(Domain::of(text), expected, "{text}");
        }
    }

    #[test]
    fn wildcards_cover_what_lies_below_them() {
        let of = Domain::of;
        for (one, other, covers) in [
            ("*", "a", true),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "x.y.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", "*.b.a.com", true),
            ("*.a.com", "*.a.com", true),
            ("*.b.a.com", "*.a.com", false),
            ("a", "*", false),
        ] {
            assert_eq!(of(one).covers(&of(other)), covers, "{one} {other}");
        }
        assert!(of("a.*").meets(&of("*.com")));
        assert!(!of("a.com").meets(&of("b.com")));
    }
}
