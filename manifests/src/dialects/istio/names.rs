//! Host names, and who may see what.

use proxy_core::config::Name;

use crate::text::Spanned;

/// Where Istio itself is installed: policies of this namespace hold for the whole mesh.
pub(super) const ROOT_NAMESPACE: &str = "istio-system";

/// The full name of a host as written in a resource of `namespace`: a name without a dot is a Service beside it.
///
/// Source: istio 1.29 `pilot/pkg/model/virtualservice.go`, `ResolveShortnameToFQDN`.
pub(super) fn full(host: &str, namespace: &str) -> Name {
    let host = host.to_ascii_lowercase();
    if host.contains('.') || host.contains('*') {
        host.into()
    } else {
        format!("{host}.{namespace}.svc.cluster.local").into()
    }
}

/// Whether `pattern` (`*`, `*.example.com`, or a whole name) covers all of `host`, which may be a pattern too.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.trim_start_matches('*').ends_with(suffix) || suffix.is_empty(),
        None => pattern == host,
    }
}

/// The namespaces that see something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Export(Vec<Name>);

impl Export {
    /// `exportTo` of a resource; none: everybody.
    pub(super) fn of(written: &[Spanned<String>]) -> Self {
        Self(
            written
                .iter()
                .map(|one| one.value.as_str().into())
                .collect(),
        )
    }

    /// The same as an annotation writes it: words with commas.
    pub(super) fn of_annotation(text: &str) -> Self {
        let words = text.split(',').map(str::trim);
        Self(
            words
                .filter(|word| !word.is_empty())
                .map(Name::from)
                .collect(),
        )
    }

    /// Its own namespace alone.
    pub(super) fn private() -> Self {
        Self(vec![".".into()])
    }

    /// Whether `viewer` sees a resource of namespace `home`; `*` is everybody, `.` its own namespace, `~` nobody.
    pub(super) fn shows(&self, home: &str, viewer: &str) -> bool {
        let shown = |to: &Name| match &**to {
            "*" => true,
            "." => home == viewer,
            "~" => false,
            namespace => namespace == viewer,
        };
        self.0.is_empty() || self.0.iter().any(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_services_beside_the_resource() {
        let rows = [
            ("a", "a.shop.svc.cluster.local"),
            ("A", "a.shop.svc.cluster.local"),
            ("a.other", "a.other"),
            ("*", "*"),
            ("*.com", "*.com"),
            ("example.com", "example.com"),
        ];
        for (host, expected) in rows {
            assert_eq!(&*full(host, "shop"), expected, "{host}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_that_end_like_it() {
        let rows = [
            ("*", "a.b", true),
            ("*", "*.b", true),
            ("*.b", "a.b", true),
            ("*.b", "a.a.b", true),
            ("*.b", "b", false),
            ("*.b", "*.b", true),
            ("*.a.b", "*.b", false),
            ("a.b", "a.b", true),
            ("a.b", "*.b", false),
        ];
        for (pattern, host, expected) in rows {
            assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn export_decides_who_sees() {
        let rows = [
            ("", "a", "b", true),
            ("*", "a", "b", true),
            (".", "a", "a", true),
            (".", "a", "b", false),
            ("b, c", "a", "b", true),
            ("b", "a", "a", false),
            ("~", "a", "a", false),
        ];
        for (words, home, viewer, expected) in rows {
            let export = Export::of_annotation(words);
            assert_eq!(
                export.shows(home, viewer),
                expected,
                "{words} {home} {viewer}"
            );
        }
    }
}
