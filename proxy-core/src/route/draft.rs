use super::matching::RequestView;
use crate::heads::{HeadWriter, Heads};

/// A request's head as it leaves, for those who have to know before it is written.
pub(crate) struct Draft<'a, H> {
    view: RequestView<'a, H>,
    path: Option<String>,
    authority: Option<String>,
    edited: Vec<(String, Vec<String>)>,
}

impl<'a, H: Heads> Draft<'a, H> {
    /// The head as it came.
    pub(crate) const fn new(view: RequestView<'a, H>) -> Self {
        Self {
            view,
            path: None,
            authority: None,
            edited: Vec::new(),
        }
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        match &self.path {
            Some(path) => path,
            None => self.view.heads.path(self.view.head),
        }
    }

    /// Shows each value of a header, or that of a pseudo header.
    pub(crate) fn each_value(&self, name: &str, mut see: impl FnMut(&str)) {
        match (name, &self.authority) {
            (":path", _) => see(self.path()),
            (":authority" | "host", Some(authority)) => see(authority),
            _ => match self.edit_of(name) {
                Some(values) => values.iter().for_each(|value| see(value)),
                None => self.each_that_came(name, see),
            },
        }
    }

    fn each_that_came(&self, name: &str, mut see: impl FnMut(&str)) {
        self.view.any_value(name, |value| {
            see(value);
            false
        });
    }

    fn edit_of(&self, name: &str) -> Option<&Vec<String>> {
        let mut edited = self.edited.iter();
        Some(&edited.find(|(known, _)| known == name)?.1)
    }

    fn edit(&mut self, name: &str) -> &mut Vec<String> {
        let found = self.edited.iter().position(|(known, _)| known == name);
        let at = found.unwrap_or_else(|| {
            let mut values = Vec::new();
            self.each_that_came(name, |value| values.push(value.to_owned()));
            self.edited.push((name.to_owned(), values));
            self.edited.len() - 1
        });
        &mut self.edited[at].1
    }
}

impl<H: Heads> HeadWriter for Draft<'_, H> {
    fn set_path(&mut self, path: &str) {
        self.path = Some(path.to_owned());
    }

    fn set_authority(&mut self, authority: &str) {
        self.authority = Some(authority.to_owned());
    }

    fn set(&mut self, name: &str, value: &str) {
        let values = self.edit(name);
        values.clear();
        values.push(value.to_owned());
    }

    fn append(&mut self, name: &str, value: &str) {
        self.edit(name).push(value.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.edit(name).clear();
    }

    fn has(&self, name: &str) -> bool {
        match self.edit_of(name) {
            Some(values) => !values.is_empty(),
            None => self.view.header(name).is_some(),
        }
    }

    fn first(&self, name: &str) -> Option<&str> {
        match self.edit_of(name) {
            Some(values) => values.first().map(String::as_str),
            None => self.view.header(name),
        }
    }
}
