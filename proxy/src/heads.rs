//! The heads in flight, as `hyper` has read them, lent to the core by number.

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Uri, request, response};
use proxy_core::heads::{HeadId, HeadWriter, Heads, is_one_value};
use slab::Slab;

/// A head in flight.
#[derive(Debug)]
pub(crate) enum Head {
    Request(RequestHead),
    Response(response::Parts),
}

/// A request's head, its authority found wherever it was sent.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) parts: request::Parts,
    authority: Box<str>,
}

impl RequestHead {
    pub(crate) fn new(parts: request::Parts) -> Self {
        let named = parts.uri.authority().map(Authority::as_str);
        let named = named.or_else(|| parts.headers.get(HOST).and_then(|host| host.to_str().ok()));
        let authority = named.unwrap_or_default().into();
        Self { parts, authority }
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn path(&self) -> &str {
        self.parts
            .uri
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
    }
}

/// All heads in flight of a worker, each with the number of exchanges that keep it.
#[derive(Debug, Default)]
pub(crate) struct HeadTable(Slab<(Head, u32)>);

impl HeadTable {
    pub(crate) fn insert(&mut self, head: Head) -> HeadId {
        let id = u32::try_from(self.0.insert((head, 1)));
        HeadId(id.expect("fewer than 2^32 heads in flight"))
    }

    /// One more exchange keeps a head.
    pub(crate) fn keep(&mut self, id: HeadId) {
        if let Some((_, users)) = self.0.get_mut(id.0 as usize) {
            *users += 1;
        }
    }

    /// An exchange keeps a head no longer.
    pub(crate) fn remove(&mut self, id: HeadId) {
        if let Some((_, users)) = self.0.get_mut(id.0 as usize) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(id.0 as usize);
            }
        }
    }

    pub(crate) fn request(&self, id: HeadId) -> Option<&RequestHead> {
        match &self.0.get(id.0 as usize)?.0 {
            Head::Request(head) => Some(head),
            Head::Response(_) => None,
        }
    }

    pub(crate) fn response(&self, id: HeadId) -> Option<&response::Parts> {
        match &self.0.get(id.0 as usize)?.0 {
            Head::Response(head) => Some(head),
            Head::Request(_) => None,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `is` holds of one of a header's values; none: the header is not there.
fn any_value(headers: &HeaderMap, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
    let lines = headers.get_all(name).iter();
    let mut lines = lines.map(|value| value.to_str().unwrap_or_default());
    let first = lines.next()?;
    let Some(second) = lines.next() else {
        return Some(is(first));
    };
    if !is_one_value(name) {
        return Some(is(first) || is(second) || lines.any(is));
    }
    let mut all = format!("{first},{second}");
    for line in lines {
        all.push(',');
        all.push_str(line);
    }
    Some(is(&all))
}

impl Heads for HeadTable {
    fn method(&self, request: HeadId) -> &str {
        self.request(request)
            .map_or("", |head| head.parts.method.as_str())
    }

    fn authority(&self, request: HeadId) -> &str {
        self.request(request).map_or("", RequestHead::authority)
    }

    fn path(&self, request: HeadId) -> &str {
        self.request(request).map_or("/", RequestHead::path)
    }

    fn header(&self, request: HeadId, name: &str) -> Option<&str> {
        text(&self.request(request)?.parts.headers, name)
    }

    fn any_value(&self, request: HeadId, name: &str, is: impl FnMut(&str) -> bool) -> Option<bool> {
        any_value(&self.request(request)?.parts.headers, name, is)
    }

    fn scheme(&self, request: HeadId) -> &str {
        let scheme = self
            .request(request)
            .and_then(|it| it.parts.uri.scheme_str());
        scheme.unwrap_or("http")
    }

    fn status(&self, response: HeadId) -> u16 {
        self.response(response)
            .map_or(0, |head| head.status.as_u16())
    }

    fn response_header(&self, response: HeadId, name: &str) -> Option<&str> {
        text(&self.response(response)?.headers, name)
    }

    fn any_response_value(
        &self,
        response: HeadId,
        name: &str,
        is: impl FnMut(&str) -> bool,
    ) -> Option<bool> {
        any_value(&self.response(response)?.headers, name, is)
    }
}

/// A head on its way out, which the core edits.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) headers: &'a mut HeaderMap,
    /// Of a request.
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) authority: Option<Box<str>>,
}

impl<'a> Outgoing<'a> {
    pub(crate) const fn new(headers: &'a mut HeaderMap) -> Self {
        Self {
            headers,
            path: None,
            authority: None,
        }
    }
}

fn pair(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_str(value).ok()?))
}

/// A path whose bytes that no URI may have are escaped.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl HeadWriter for Outgoing<'_> {
    fn set_path(&mut self, path: &str) {
        self.path = path.parse().ok().or_else(|| escaped(path).parse().ok());
    }

    fn set_authority(&mut self, authority: &str) {
        self.authority = Some(authority.into());
    }

    fn set(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.headers.insert(name, value);
        }
    }

    fn append(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.headers.append(name, value);
        }
    }

    fn remove(&mut self, name: &str) {
        self.headers.remove(name);
    }

    fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    fn first(&self, name: &str) -> Option<&str> {
        text(self.headers, name)
    }
}

/// Headers that concern one connection alone.
///
/// Source: RFC 9110 §7.6.1.
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "te",
];

/// Takes out what concerns the connection that a head came over. `TE: trailers` stays, as gRPC asks for it.
pub(crate) fn leave_connection_behind(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    let trailers = headers.get_all("te").iter().any(|value| {
        let coded = value.to_str().unwrap_or_default();
        coded
            .split(',')
            .any(|c| c.trim().eq_ignore_ascii_case("trailers"))
    });
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
    if trailers {
        headers.insert("te", HeaderValue::from_static("trailers"));
    }
}

/// The URI of a request that leaves: the path alone on HTTP/1.1, the whole on HTTP/2.
pub(crate) fn uri(http2: bool, tls: bool, authority: &str, path: PathAndQuery) -> Uri {
    let parsed = http2.then(|| authority.parse::<Authority>().ok()).flatten();
    let Some(authority) = parsed else {
        return Uri::from(path);
    };
    let scheme = if tls { "https" } else { "http" };
    let built = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path.clone());
    built.build().unwrap_or_else(|_| Uri::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            Outgoing::new(&mut map).append(name, value);
        }
        map
    }

    #[test]
    fn what_a_connection_header_names_stays_behind_with_it() {
        let mut map = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, trailers"),
            ("x-kept", "1"),
        ]);
        leave_connection_behind(&mut map);
        assert_eq!(map, headers(&[("x-kept", "1"), ("te", "trailers")]));
    }

    #[test]
    fn an_authority_is_found_in_the_target_or_in_the_host_header() {
        let of = |uri: &str, host: &str| {
            let request = http::Request::builder()
                .uri(uri)
                .header(HOST, host)
                .body(());
            let head = RequestHead::new(request.expect("a request").into_parts().0);
            (head.authority().to_owned(), head.path().to_owned())
        };
        assert_eq!(of("/a?b=c", "one"), ("one".to_owned(), "/a?b=c".to_owned()));
        assert_eq!(of("http://two/", "one"), ("two".to_owned(), "/".to_owned()));
    }

    #[test]
    fn bytes_that_no_path_can_hold_are_escaped() {
        for (asked, sent) in [("/a?b", "/a?b"), ("/<a>?b c", "/%3Ca%3E?b%20c"), ("", "")] {
            let mut map = HeaderMap::new();
            let mut out = Outgoing::new(&mut map);
            out.set_path(asked);
            let path = out.path.map(|path| path.to_string());
            assert_eq!(path.unwrap_or_default(), sent, "{asked}");
        }
    }

    #[test]
    fn edits_that_no_header_can_hold_are_dropped() {
        let mut map = headers(&[("a", "1")]);
        let mut out = Outgoing::new(&mut map);
        out.set("a", "2\r\nb: 3");
        out.append("a\n", "2");
        assert_eq!(map, headers(&[("a", "1")]));
    }
}
