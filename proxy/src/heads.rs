//! The heads in flight, as `hyper` has read them, lent to the core by number.

use std::cell::RefCell;

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Uri, request, response};
use proxy_core::heads::{self, Field, HeadId, HeadWriter, Heads, Received, is_one_value};
use slab::Slab;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::fields;

/// A head in flight.
#[derive(Debug)]
pub(crate) enum Head {
    Request(Box<RequestHead>),
    Response(ResponseHead),
    /// A response's that is on its way to its client.
    Taken,
}

/// Which headers a message may have: a bit for what is easily seen of each name. Most look-ups are for headers that are not there, and
/// this tells so without reading any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sketch(u64);

impl Sketch {
    /// All that may be there.
    const FULL: Self = Self(u64::MAX);

    #[inline]
    fn bit(name: &str) -> u64 {
        let bytes = name.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return 0;
        };
        let (first, last) = (first.to_ascii_lowercase(), last.to_ascii_lowercase());
        let seen = bytes.len() * 11 + usize::from(first) * 5 + usize::from(last) * 3;
        1 << (seen % 64)
    }

    pub(crate) fn add(&mut self, name: &str) {
        self.0 |= Self::bit(name);
    }

    #[inline]
    pub(crate) fn may_have(self, name: &str) -> bool {
        self.0 & Self::bit(name) != 0
    }
}

/// What a request is for, where that is no longer as it came.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) authority: Option<Box<str>>,
    pub(crate) scheme: Option<&'static str>,
}

/// A request's head, its authority found wherever it was sent.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) parts: request::Parts,
    /// The `Host` header as it was sent, where it is text: what is asked for most often.
    host: Option<SmolStr>,
    pub(crate) sketch: Sketch,
    /// Whether it has a header that tells a proxy what to do.
    controls: bool,
    /// The authority and the scheme, where they are no longer as they came.
    pub(crate) settled: Settled,
    pub(crate) received: Option<Received>,
    /// Whether its headers have left with a try: nobody asks for them any more.
    left: bool,
}

impl RequestHead {
    pub(crate) fn new(parts: request::Parts) -> Self {
        let mut sketch = Sketch::default();
        let mut controls = false;
        for name in parts.headers.keys() {
            let name = name.as_str();
            sketch.add(name);
            controls |= name.starts_with("x-envoy-") && heads::is_control(name);
        }
        let host = match parts.uri.authority() {
            Some(_) => None,
            None => parts.headers.get(HOST).and_then(ascii).map(SmolStr::new),
        };
        Self {
            parts,
            host,
            sketch,
            controls,
            settled: Settled::default(),
            received: None,
            left: false,
        }
    }

    /// Whether a header was here and is asked for too late. That a request does not speak gRPC is seen by its `content-type` before
    /// it leaves, and by the missing one after.
    fn has_lost(&self, name: &str) -> bool {
        self.left && name != "content-type" && self.sketch.may_have(name)
    }

    pub(crate) fn authority(&self) -> &str {
        self.named().unwrap_or_default()
    }

    /// The authority; none: none was sent.
    pub(crate) fn named(&self) -> Option<&str> {
        let sent = || self.parts.uri.authority().map(Authority::as_str);
        let host = || self.host.as_deref();
        let settled = self.settled.authority.as_deref();
        settled.or_else(sent).or_else(host)
    }

    pub(crate) fn scheme(&self) -> Option<&str> {
        self.settled.scheme.or_else(|| self.parts.uri.scheme_str())
    }

    /// Whether the authority stands in the `Host` header as it was sent.
    pub(crate) fn has_host_alone(&self) -> bool {
        self.settled.authority.is_none() && self.parts.uri.authority().is_none()
    }

    /// Empty of a CONNECT, which has none.
    pub(crate) fn path(&self) -> &str {
        self.parts
            .uri
            .path_and_query()
            .map_or("", PathAndQuery::as_str)
    }
}

/// A response's head, and what one look at the names of its headers tells.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) parts: response::Parts,
    pub(crate) sketch: Sketch,
    /// Whether it has a header that asks for a retry, or for none.
    marked: bool,
}

impl ResponseHead {
    pub(crate) fn new(parts: response::Parts) -> Self {
        let mut sketch = Sketch::default();
        let mut marked = false;
        for name in parts.headers.keys() {
            let name = name.as_str();
            sketch.add(name);
            marked |= heads::is_retry_mark(name);
        }
        Self {
            parts,
            sketch,
            marked,
        }
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
            Head::Response(_) | Head::Taken => None,
        }
    }

    /// Takes a request's headers, of which nobody will ask any more; none: another exchange has the same head.
    pub(crate) fn take_headers(&mut self, id: HeadId) -> Option<HeaderMap> {
        let (head, users) = self.0.get_mut(id.0 as usize)?;
        match head {
            Head::Request(head) if *users == 1 => {
                head.left = true;
                Some(std::mem::take(&mut head.parts.headers))
            }
            Head::Request(_) | Head::Response(_) | Head::Taken => None,
        }
    }

    pub(crate) fn request_mut(&mut self, id: HeadId) -> Option<&mut RequestHead> {
        match &mut self.0.get_mut(id.0 as usize)?.0 {
            Head::Request(head) => Some(head),
            Head::Response(_) | Head::Taken => None,
        }
    }

    pub(crate) fn response(&self, id: HeadId) -> Option<&ResponseHead> {
        match &self.0.get(id.0 as usize)?.0 {
            Head::Response(head) => Some(head),
            Head::Request(_) | Head::Taken => None,
        }
    }

    /// Takes a response's head out, to be sent on.
    pub(crate) fn take_response(&mut self, id: HeadId) -> Option<ResponseHead> {
        let (head, _) = self.0.get_mut(id.0 as usize)?;
        match std::mem::replace(head, Head::Taken) {
            Head::Response(head) => Some(head),
            other @ (Head::Request(_) | Head::Taken) => {
                *head = other;
                None
            }
        }
    }
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    ascii(headers.get(name)?)
}

/// Whether `is` holds of one of a header's values; none: the header is not there.
fn any_value(headers: &HeaderMap, name: &str, mut is: impl FnMut(&str) -> bool) -> Option<bool> {
    let lines = headers.get_all(name).iter();
    let mut lines = lines.map(|value| ascii(value).unwrap_or_default());
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

    fn scheme(&self, request: HeadId) -> &str {
        let scheme = self.request(request).and_then(RequestHead::scheme);
        scheme.unwrap_or("http")
    }

    fn received(&self, request: HeadId) -> Option<&Received> {
        self.request(request)?.received.as_ref()
    }

    fn header(&self, request: HeadId, name: &str) -> Option<&str> {
        let head = self.request(request)?;
        debug_assert!(!head.has_lost(name), "`{name}` has left with a try");
        head.sketch
            .may_have(name)
            .then(|| text(&head.parts.headers, name))?
    }

    fn has_controls(&self, request: HeadId) -> bool {
        let head = self.request(request);
        head.is_some_and(|head| head.controls)
    }

    fn any_value(&self, request: HeadId, name: &str, is: impl FnMut(&str) -> bool) -> Option<bool> {
        let head = self.request(request)?;
        debug_assert!(!head.has_lost(name), "`{name}` has left with a try");
        if !head.sketch.may_have(name) {
            return None;
        }
        any_value(&head.parts.headers, name, is)
    }

    fn status(&self, response: HeadId) -> u16 {
        self.response(response)
            .map_or(0, |head| head.parts.status.as_u16())
    }

    fn has_retry_marks(&self, response: HeadId) -> bool {
        let head = self.response(response);
        head.is_some_and(|head| head.marked)
    }

    fn response_header(&self, response: HeadId, name: &str) -> Option<&str> {
        let head = self.response(response)?;
        head.sketch
            .may_have(name)
            .then(|| text(&head.parts.headers, name))?
    }

    fn any_response_value(
        &self,
        response: HeadId,
        name: &str,
        is: impl FnMut(&str) -> bool,
    ) -> Option<bool> {
        let head = self.response(response)?;
        if !head.sketch.may_have(name) {
            return None;
        }
        any_value(&head.parts.headers, name, is)
    }
}

/// A head on its way out, which the core edits.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) headers: &'a mut HeaderMap,
    sketch: Sketch,
    /// Of a request.
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) authority: Option<Box<str>>,
}

impl<'a> Outgoing<'a> {
    pub(crate) const fn new(headers: &'a mut HeaderMap) -> Self {
        Self::of(headers, Sketch::FULL)
    }

    pub(crate) const fn sketch(&self) -> Sketch {
        self.sketch
    }

    /// With headers of which the sketch is known.
    pub(crate) const fn of(headers: &'a mut HeaderMap, sketch: Sketch) -> Self {
        Self {
            headers,
            sketch,
            path: None,
            authority: None,
        }
    }
}

pub(crate) fn pair(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name_of(name)?, HeaderValue::from_str(value).ok()?))
}

/// A header's name as `http` has it. Names that a configuration writes are the same for every request, and are checked once.
fn name_of(name: &str) -> Option<HeaderName> {
    const PLACES: usize = 64;
    type Known = [Option<HeaderName>; PLACES];
    thread_local! {
        static KNOWN: RefCell<Known> = const { RefCell::new([const { None }; PLACES]) };
    }
    KNOWN.with_borrow_mut(|known| {
        let place = &mut known[Sketch::bit(name).trailing_zeros() as usize % PLACES];
        if let Some(known) = place
            && known.as_str() == name
        {
            return Some(known.clone());
        }
        let made = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(place.insert(made).clone())
    })
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

/// A path as a URI has it.
pub(crate) fn path_of(path: &str) -> Option<PathAndQuery> {
    path.parse().ok().or_else(|| escaped(path).parse().ok())
}

impl HeadWriter for Outgoing<'_> {
    fn set_path(&mut self, path: &str) {
        self.path = path_of(path);
    }

    fn set_authority(&mut self, authority: &str) {
        self.authority = Some(authority.into());
    }

    fn set(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.sketch.add(name.as_str());
            self.headers.insert(name, value);
        }
    }

    fn append(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.sketch.add(name.as_str());
            self.headers.append(name, value);
        }
    }

    #[inline]
    fn remove(&mut self, name: &str) {
        if self.sketch.may_have(name) {
            self.headers.remove(name);
        }
    }

    #[inline]
    fn has(&self, name: &str) -> bool {
        self.sketch.may_have(name) && self.headers.contains_key(name)
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.sketch
            .may_have(name)
            .then(|| text(self.headers, name))?
    }

    fn set_field(&mut self, field: Field, value: &str) {
        self.sketch.add(field.name());
        fields::set(self.headers, field, value);
    }

    fn set_const(&mut self, field: Field, value: &'static str) {
        self.sketch.add(field.name());
        fields::set_const(self.headers, field, value);
    }

    fn set_number(&mut self, field: Field, value: u64) {
        self.sketch.add(field.name());
        fields::set_number(self.headers, field, value);
    }

    fn extend_field(&mut self, field: Field, separator: &str, value: &str) {
        self.sketch.add(field.name());
        fields::extend(self.headers, field, separator, value);
    }
}

/// Headers that concern one connection alone.
///
/// Source: RFC 9110 §7.6.1.
static HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what concerns the connection that a head came over, and tells whether that ends with the message. `TE: trailers` stays, as
/// gRPC asks for it.
pub(crate) fn leave_connection_behind(headers: &mut HeaderMap) -> bool {
    // most heads have nothing of the kind, or `connection` alone
    let bit = |name: &HeaderName| {
        // lengths tell nearly all others apart
        if !matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17) {
            return 0;
        }
        let at = HOP_BY_HOP.iter().position(|it| it == name);
        at.map_or(0_u8, |at| 1 << at)
    };
    let found = headers.keys().fold(0, |all, name| all | bit(name));
    if found == 0 {
        return false;
    }
    let mut closes = false;
    let mut named: SmallVec<[HeaderName; 4]> = SmallVec::new();
    let has = |at: usize| found & 1 << at != 0;
    if has(0) {
        let values = headers.get_all(CONNECTION).iter();
        let telling = values.filter(|value| *value != "keep-alive");
        for option in telling.flat_map(listed) {
            if option.eq_ignore_ascii_case("close") {
                closes = true;
            } else if !option.eq_ignore_ascii_case("keep-alive") {
                named.extend(HeaderName::from_bytes(option.as_bytes()));
            }
        }
    }
    let asks = |option: &str| option.eq_ignore_ascii_case("trailers");
    let trailers = has(1) && headers.get_all(TE).iter().flat_map(listed).any(asks);
    for (at, name) in HOP_BY_HOP.iter().enumerate() {
        if has(at) {
            headers.remove(name);
        }
    }
    for name in named {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    closes
}

/// A value as text, if it is such in ASCII.
#[inline]
pub(crate) fn ascii(value: &HeaderValue) -> Option<&str> {
    // as `HeaderValue::to_str`, which looks at one byte after the other
    let bytes = value.as_bytes();
    let text = str::from_utf8(bytes).ok()?;
    bytes.is_ascii().then_some(text)
}

/// What a value lists, between commas.
fn listed(value: &HeaderValue) -> impl Iterator<Item = &str> {
    ascii(value).unwrap_or_default().split(',').map(str::trim)
}

/// The URI of a request that leaves: the path alone on HTTP/1.1, the whole on HTTP/2.
pub(crate) fn uri(http2: bool, scheme: &str, authority: &str, path: PathAndQuery) -> Uri {
    let parsed = http2.then(|| authority.parse::<Authority>().ok()).flatten();
    let Some(authority) = parsed else {
        return Uri::from(path);
    };
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
        assert!(leave_connection_behind(&mut map), "it closes");
        assert_eq!(map, headers(&[("x-kept", "1"), ("te", "trailers")]));
        let mut map = headers(&[("connection", "Keep-Alive"), ("te", "gzip")]);
        assert!(!leave_connection_behind(&mut map), "it stays");
        assert!(map.is_empty());
    }

    #[test]
    fn values_are_text_as_http_has_it() {
        for value in [&b"plain"[..], b"", b"caf\xc3\xa9", b"\xff", b"a\tb"] {
            let value = HeaderValue::from_bytes(value).expect("a value");
            assert_eq!(ascii(&value), value.to_str().ok(), "{value:?}");
        }
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
    fn names_are_what_is_written_whatever_was_written_before() {
        // the second and the third have one place
        for name in ["x-user", "x-ab-z", "x-ba-z", "X-User", "x-user", ""] {
            let made = name_of(name);
            let want = HeaderName::from_bytes(name.as_bytes()).ok();
            assert_eq!(made, want, "{name}");
            assert_eq!(name_of(name), want, "{name}, the second time");
        }
        assert_eq!(name_of("a\n"), None);
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
