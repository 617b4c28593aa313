//! Who may see what.

use proxy_core::config::Name;

use crate::text::Spanned;

/// Where Istio itself is installed: policies of this namespace hold for the whole mesh.
pub(super) const ROOT_NAMESPACE: &str = "istio-system";

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
