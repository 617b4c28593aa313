//! A request's head as the core reads and changes it before anything else is done with the request.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::LazyLock;

use http::header::UPGRADE;
use http::{HeaderValue, Method, Uri};
use hyper::server::conn::{http1, http2};
use proxy_core::config::HeadLimits;
use proxy_core::draw::DrawKey;
use proxy_core::heads::{ArrivingHead, Asks, Field, HeadWriter, Version};
use proxy_core::ids::DownstreamId;
use proxy_core::node::Arrived;
use rustls::pki_types::CertificateDer;

use crate::heads::{RequestHead, ascii, leave_connection_behind, pair, path_of, text};
use crate::local::Local;
use crate::tls::Agreed;
use crate::worker::Worker;
use crate::{certificates, fields, upgrades};

impl HeadWriter for RequestHead {
    fn set_path(&mut self, path: &str) {
        let Some(path) = path_of(path) else {
            return;
        };
        let mut parts = std::mem::take(&mut self.parts.uri).into_parts();
        parts.path_and_query = Some(path.clone());
        self.parts.uri = Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(path));
    }

    fn set_authority(&mut self, authority: &str) {
        self.settled.authority = Some(authority.into());
    }

    fn set(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.sketch.add(name.as_str());
            self.parts.headers.insert(name, value);
        }
    }

    fn append(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = pair(name, value) {
            self.sketch.add(name.as_str());
            self.parts.headers.append(name, value);
        }
    }

    fn remove(&mut self, name: &str) {
        if self.sketch.may_have(name) {
            self.parts.headers.remove(name);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.sketch.may_have(name) && self.parts.headers.contains_key(name)
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.sketch
            .may_have(name)
            .then(|| text(&self.parts.headers, name))?
    }

    fn set_field(&mut self, field: Field, value: &str) {
        self.sketch.add(field.name());
        fields::set(&mut self.parts.headers, field, value);
    }

    fn set_const(&mut self, field: Field, value: &'static str) {
        self.sketch.add(field.name());
        fields::set_const(&mut self.parts.headers, field, value);
    }

    fn set_number(&mut self, field: Field, value: u64) {
        self.sketch.add(field.name());
        fields::set_number(&mut self.parts.headers, field, value);
    }

    fn extend_field(&mut self, field: Field, separator: &str, value: &str) {
        self.sketch.add(field.name());
        fields::extend(&mut self.parts.headers, field, separator, value);
    }
}

impl ArrivingHead for RequestHead {
    fn version(&self) -> Version {
        match self.parts.version {
            http::Version::HTTP_2 | http::Version::HTTP_3 => Version::Http2,
            http::Version::HTTP_11 => Version::Http11,
            _ => Version::Http10,
        }
    }

    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn scheme(&self) -> Option<&str> {
        Self::scheme(self)
    }

    fn set_scheme(&mut self, scheme: &'static str) {
        self.settled.scheme = Some(scheme);
    }

    fn authority(&self) -> Option<&str> {
        self.named()
    }

    fn path(&self) -> &str {
        Self::path(self)
    }

    fn each_line(&self, mut see: impl FnMut(&str, &[u8])) {
        for (name, value) in &self.parts.headers {
            see(name.as_str(), value.as_bytes());
        }
    }

    fn last(&self, field: Field) -> Option<&str> {
        if !self.sketch.may_have(field.name()) {
            return None;
        }
        let values = self.parts.headers.get_all(fields::name(field));
        let last: Option<&HeaderValue> = values.iter().next_back();
        ascii(last?)
    }
}

/// What was shown and agreed upon in the handshake of a connection.
#[derive(Debug)]
pub(crate) struct Shown {
    /// What one's own certificate is called.
    pub(crate) own: Box<str>,
    /// One's own certificate, where there is one.
    pub(crate) own_certificate: Option<CertificateDer<'static>>,
    /// The other end's certificate, and those that came with it.
    pub(crate) client: Vec<CertificateDer<'static>>,
    /// The server name that was asked for.
    pub(crate) sni: Option<Box<str>>,
    pub(crate) agreed: Agreed,
}

impl Worker {
    /// Has the node do to a request's head what is to be done before anything else; gives what it asks for besides an answer.
    pub(crate) fn receive(
        &mut self,
        downstream: DownstreamId,
        key: DrawKey,
        head: &mut RequestHead,
    ) -> Asks {
        let (downstreams, keeper) = (&self.downstreams, &self.keeper);
        let certificates = |token: u64| {
            let shown = downstreams.get(token as usize)?.shown.as_deref()?;
            let own = keeper.own(&shown.own);
            Some(certificates::describe(
                own.map(AsRef::as_ref),
                &shown.client,
            ))
        };
        let arrived = Arrived {
            downstream,
            key,
            own_address: *OWN_ADDRESS,
        };
        head.received = self.node.receive(arrived, certificates, head);
        if let Some(received) = &head.received {
            return received.asks;
        }
        let asks = if head.sketch.may_have(UPGRADE.as_str()) || head.parts.method == Method::CONNECT
        {
            self.node.asks(downstream, head)
        } else {
            Asks::Nothing
        };
        let headers = &mut head.parts.headers;
        let kind = headers.get(UPGRADE).filter(|_| asks == Asks::Upgrade);
        let kind = kind.cloned();
        leave_connection_behind(headers);
        if let Some(kind) = kind {
            upgrades::say(headers, kind);
        }
        asks
    }
}

/// Headers that HTTP/1 may have without asking for memory for each head.
const HEADERS_AT_ONCE: u32 = 100;
/// Bytes that HTTP/1 reads of a head unless told to read more.
const BYTES_AT_ONCE: u64 = 400 << 10;
/// What HTTP/2 counts for each header besides its name and its value.
///
/// Source: RFC 9113 §6.5.2.
const OVERHEAD: u64 = 32;

/// Has a connection read as much of a head as the node would take, so that the node may refuse it.
///
/// Departs: of more than 100 headers on HTTP/1, and of much more than allowed on HTTP/2, the refusal is `hyper`'s own: 431 without a body.
pub(crate) fn bound_http1(builder: &mut http1::Builder, limits: HeadLimits) {
    if limits.headers > HEADERS_AT_ONCE {
        builder.max_headers(limits.headers as usize);
    }
    if limits.bytes > BYTES_AT_ONCE {
        builder.max_buf_size(limits.bytes as usize);
    }
}

/// The same on HTTP/2.
pub(crate) fn bound_http2(builder: &mut http2::Builder<Local>, limits: HeadLimits) {
    let listed = limits.bytes + OVERHEAD * u64::from(limits.headers);
    let listed = u32::try_from(listed).unwrap_or(u32::MAX);
    builder.max_header_list_size(listed);
}

static OWN_ADDRESS: LazyLock<IpAddr> = LazyLock::new(own_address);

/// This machine's address: the one that would reach the world.
///
/// Source: envoy `source/common/network/utility.cc` (`getLocalAddress`) takes the first interface that is up and is not the loopback.
/// Departs: it is asked which address the way out of the machine begins at, which is the same where there is one interface.
fn own_address() -> IpAddr {
    // nothing is sent: to connect a datagram socket is to choose an address. The other end is reserved for documentation (RFC 5737)
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str) -> RequestHead {
        let request = http::Request::get(uri)
            .header("host", "one.example")
            .header("via", "a")
            .header("via", "b");
        RequestHead::new(request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn a_path_is_replaced_wherever_the_request_is_for() {
        for (uri, want) in [("/a?b", "/c?d"), ("http://h/a?b", "http://h/c?d")] {
            let mut head = head(uri);
            head.set_path("/c?d");
            assert_eq!(head.path(), "/c?d", "{uri}");
            assert_eq!(head.parts.uri.to_string(), want, "{uri}");
        }
    }

    #[test]
    fn lines_are_shown_as_they_came_and_the_last_is_the_last() {
        let head = head("/");
        let mut lines = Vec::new();
        head.each_line(|name, value| {
            lines.push(format!("{name}: {}", String::from_utf8_lossy(value)));
        });
        assert_eq!(lines, ["host: one.example", "via: a", "via: b"]);
        assert_eq!(head.last(Field::Via), Some("b"));
        assert_eq!(head.last(Field::Te), None);
    }

    #[test]
    fn what_is_settled_takes_the_place_of_what_was_sent() {
        let mut head = head("http://h/a");
        assert_eq!((head.authority(), head.scheme()), ("h", Some("http")));
        head.set_authority("new");
        head.set_scheme("https");
        assert_eq!((head.authority(), head.scheme()), ("new", Some("https")));
    }
}
