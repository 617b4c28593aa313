//! A request's head for tests, as a driver would have it.

use super::{ArrivingHead, Field, HeadWriter, Version};

/// `GET /` of `h.example` over HTTP/1.1, unless told otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) scheme: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) path: String,
    pub(crate) lines: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn with(lines: &[(&str, &str)]) -> Self {
        let lines = lines.iter();
        Self {
            version: Version::Http11,
            method: "GET".to_owned(),
            scheme: None,
            authority: Some("h.example".to_owned()),
            path: "/".to_owned(),
            lines: lines
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    /// The values of a header, in one.
    pub(crate) fn said(&self, name: &str) -> Option<String> {
        let of_name = self.lines.iter().filter(|(it, _)| it == name);
        let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }
}

impl HeadWriter for Asked {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    fn set_authority(&mut self, authority: &str) {
        self.authority = Some(authority.to_owned());
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.lines.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.lines.retain(|(it, _)| it != name);
    }

    fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|(it, _)| it == name)
    }

    fn first(&self, name: &str) -> Option<&str> {
        let found = self.lines.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    fn extend_field(&mut self, field: Field, separator: &str, value: &str) {
        let of_name = self.lines.iter().filter(|(it, _)| it == field.name());
        let values = of_name.map(|(_, value)| value.as_str()).chain([value]);
        let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
        let whole = values.join(separator);
        self.set(field.name(), &whole);
    }
}

impl ArrivingHead for Asked {
    fn version(&self) -> Version {
        self.version
    }

    fn method(&self) -> &str {
        &self.method
    }

    fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }

    fn set_scheme(&mut self, scheme: &'static str) {
        self.scheme = Some(scheme.to_owned());
    }

    fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn each_line(&self, mut see: impl FnMut(&str, &[u8])) {
        for (name, value) in &self.lines {
            see(name, value.as_bytes());
        }
    }

    fn last(&self, field: Field) -> Option<&str> {
        let mut lines = self.lines.iter().rev();
        let found = lines.find(|(name, _)| name == field.name());
        found.map(|(_, value)| value.as_str())
    }
}
