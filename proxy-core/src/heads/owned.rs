//! A request's head that nobody lends.

use core::fmt;
use core::net::IpAddr;

use super::{HeadId, HeadWriter, Heads};
use crate::route::RequestView;

/// A request's head for asking the core where nothing arrives: what a route would take, and as what it would leave.
///
/// It is the one head of its own [`Heads`], whichever id is asked for, and has no response: its status is 200, without headers. Header names are
/// in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct OwnedHead {
    /// The method.
    pub method: String,
    /// Whether the request came over TLS, which is all that tells its scheme.
    pub tls: bool,
    /// The authority.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Names and values of the headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Who sends it, where that counts.
    pub client: Option<IpAddr>,
}

impl OwnedHead {
    /// A request without headers from nobody in particular.
    #[must_use]
    pub fn new(method: &str, tls: bool, authority: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            tls,
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            client: None,
        }
    }

    /// The request as routes are asked.
    #[must_use]
    pub const fn view(&self) -> RequestView<'_, Self> {
        RequestView {
            heads: self,
            head: HeadId(0),
            edge: false,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme_word(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The values of a header, in one; none: it is not there.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<String> {
        let of_name = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// `GET http://shop/cart?x=1 with x-user: a from 192.0.2.1`.
impl fmt::Display for OwnedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme_word();
        write!(
            f,
            "{} {scheme}://{}{}",
            self.method, self.authority, self.path
        )?;
        for (nth, (name, value)) in self.headers.iter().enumerate() {
            let word = if nth == 0 { " with " } else { ", " };
            write!(f, "{word}{name}: {value}")?;
        }
        if let Some(client) = self.client {
            write!(f, " from {client}")?;
        }
        Ok(())
    }
}

impl Heads for OwnedHead {
    fn method(&self, _: HeadId) -> &str {
        &self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        &self.authority
    }

    fn path(&self, _: HeadId) -> &str {
        &self.path
    }

    fn scheme(&self, _: HeadId) -> &str {
        self.scheme_word()
    }

    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        self.first(name)
    }

    fn any_value(&self, _: HeadId, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let first = values.next()?;
        Some(is(&first.1) || values.any(|(_, value)| is(value)))
    }

    fn status(&self, _: HeadId) -> u16 {
        200
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}

impl HeadWriter for OwnedHead {
    fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    fn set_authority(&mut self, authority: &str) {
        authority.clone_into(&mut self.authority);
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }

    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated() -> OwnedHead {
        let mut head = OwnedHead::new("GET", true, "shop", "/cart?x=1");
        head.append("x-a", "1");
        head.append("x-b", "2");
        head.append("x-a", "3");
        head
    }

    #[test]
    fn a_head_is_told_in_one_line() {
        let mut head = repeated();
        assert_eq!(
            head.to_string(),
            "GET https://shop/cart?x=1 with x-a: 1, x-b: 2, x-a: 3"
        );
        head.headers.clear();
        head.client = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(head.to_string(), "GET https://shop/cart?x=1 from 192.0.2.1");
    }

    #[test]
    fn each_value_of_a_repeated_header_counts() {
        let head = repeated();
        let any = |name, wanted| head.any_value(HeadId(0), name, |value| value == wanted);
        assert_eq!(any("x-a", "3"), Some(true));
        assert_eq!(any("x-a", "2"), Some(false));
        assert_eq!(any("x-c", "2"), None);
        assert_eq!(head.header(HeadId(0), "x-a"), Some("1"));
        assert_eq!(head.values("x-a").as_deref(), Some("1, 3"));
        assert_eq!(head.values("x-c"), None);
    }

    #[test]
    fn a_set_header_takes_the_place_of_all_its_values() {
        let mut head = repeated();
        head.set("x-a", "4");
        assert_eq!(head.values("x-a").as_deref(), Some("4"));
        head.remove("x-a");
        assert!(!head.has("x-a") && head.has("x-b"));
    }
}
