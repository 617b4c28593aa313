//! What operators say of an exchange.

use std::cell::OnceCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use proxy_core::config::Name;
use proxy_core::draw::Purpose;
use proxy_core::event::AttemptFailure;
use proxy_core::ids::EndpointSlot;
use proxy_core::log::{
    AddressPart, End, GrpcForm, HeaderBytes, LogKind, Operator, PathKind, TimeUnit, TlsFact,
    Wanted, Whose,
};
use proxy_core::node::{Node, Record};
use proxy_core::reply::{Details, grpc_status};
use rustc_hash::FxHashMap;

use super::Kept;
use super::clock::Clock;
use super::line::{Said, Speaker};
use super::values::{GRPC, HOSTNAME, address_part, number, text, version};
use crate::arriving::Shown;
use crate::certificates;
use crate::heads::{HeadTable, Outgoing, RequestHead};

/// A client's connection, as records have it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) source: SocketAddr,
    /// Where it was meant to go.
    pub(crate) destination: SocketAddr,
    /// Its near end.
    pub(crate) local: SocketAddr,
    pub(crate) shown: Option<Rc<Shown>>,
}

/// A connection to an endpoint, as records have it.
#[derive(Clone)]
pub(crate) struct Far {
    pub(crate) number: u64,
    pub(crate) http2: bool,
    /// It has carried nothing but bytes.
    pub(crate) bytes: bool,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) shown: Option<Rc<Shown>>,
}

/// What operators say of one exchange.
pub(crate) struct Facts<'f> {
    node: &'f Node,
    pub(crate) it: Record<'f>,
    number: u32,
    heads: &'f HeadTable,
    request: Option<&'f RequestHead>,
    kept: &'f Kept,
    pub(crate) clock: Clock,
    pub(super) environment: FxHashMap<Box<str>, Option<Name>>,
    left: OnceCell<Option<Box<Left>>>,
    lines: u32,
}

/// A request as it left, where that is not as it came.
struct Left {
    headers: HeaderMap,
    path: Option<String>,
    authority: Option<Box<str>>,
}

impl<'f> Facts<'f> {
    pub(super) fn new(
        (node, it, number): (&'f Node, Record<'f>, u32),
        (heads, request): (&'f HeadTable, Option<&'f RequestHead>),
        kept: &'f Kept,
        clock: Clock,
        environment: FxHashMap<Box<str>, Option<Name>>,
    ) -> Self {
        Self {
            node,
            it,
            number,
            heads,
            request,
            kept,
            clock,
            environment,
            left: OnceCell::new(),
            lines: 0,
        }
    }

    fn left(&self) -> Option<&Left> {
        let left = self.left.get_or_init(|| {
            let request = self.request?;
            let mut headers = request.parts.headers.clone();
            let mut out = Outgoing::of(&mut headers, request.sketch);
            if !self
                .node
                .write_logged_head(self.number, self.heads, &mut out)
            {
                return None;
            }
            let path = out.path.take().map(|path| path.to_string());
            let authority = out.authority.take();
            Some(Box::new(Left {
                headers,
                path,
                authority,
            }))
        });
        left.as_deref()
    }

    fn path(&self) -> Option<&str> {
        let left = self.left().and_then(|left| left.path.as_deref());
        // a CONNECT has none
        left.or_else(|| Some(self.request?.path()).filter(|path| !path.is_empty()))
    }

    fn authority(&self) -> Option<&str> {
        let left = self.left().and_then(|left| left.authority.as_deref());
        left.or_else(|| self.request?.named())
    }

    pub(crate) fn request_header(&self, name: &str) -> Option<&[u8]> {
        let request = self.request?;
        match name {
            ":method" => return Some(request.parts.method.as_str().as_bytes()),
            ":path" => return self.path().map(str::as_bytes),
            ":authority" => return self.authority().map(str::as_bytes),
            ":scheme" => return Some(request.scheme().unwrap_or("http").as_bytes()),
            _ => {}
        }
        let left = self.left().map(|left| &left.headers);
        let headers = left.unwrap_or(&request.parts.headers);
        headers.get(name).map(|value| value.as_bytes())
    }

    fn response_header(&self, name: &str, out: &mut Vec<u8>) -> Said {
        let Some((status, headers)) = &self.kept.sent else {
            return Said::Nothing;
        };
        if name == ":status" {
            return text(Some(status.as_str().as_bytes()), out);
        }
        text(headers.get(name).map(|value| value.as_bytes()), out)
    }

    fn header_bytes(&self, of: HeaderBytes) -> u64 {
        let lines = |headers: &HeaderMap| -> usize {
            let lines = headers.iter();
            lines
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum()
        };
        let bytes = match of {
            HeaderBytes::Request => self.request.map_or(0, |request| {
                let left = self.left().map(|left| &left.headers);
                let headers = left.unwrap_or(&request.parts.headers);
                let named = if headers.contains_key(http::header::HOST) {
                    // `:authority` has its place
                    ":authority".len() - "host".len()
                } else {
                    self.authority()
                        .map_or(0, |it| ":authority".len() + it.len())
                };
                let path = self.path().map_or(0, str::len);
                let method = request.parts.method.as_str().len();
                let scheme = request.scheme().unwrap_or("http").len();
                let pseudo = ":method".len() + ":path".len() + ":scheme".len();
                lines(headers) + named + path + method + scheme + pseudo
            }),
            HeaderBytes::Response => self.kept.sent.as_ref().map_or(0, |(_, headers)| {
                lines(headers) + ":status".len() + "200".len()
            }),
            HeaderBytes::Trailers => self.kept.trailers.as_ref().map_or(0, lines),
        };
        bytes as u64
    }

    fn query(&self) -> Option<&str> {
        let (_, query) = self.original_or_rewritten()?.split_once('?')?;
        Some(query)
    }

    fn original(&self) -> Option<&str> {
        let original = self.request_header("x-envoy-original-path")?;
        std::str::from_utf8(original).ok()
    }

    pub(crate) fn original_or_rewritten(&self) -> Option<&str> {
        self.original().or_else(|| self.path())
    }

    fn address(&self, whose: Whose) -> Option<SocketAddr> {
        let record = self.it.record;
        match whose {
            Whose::Client => {
                let received = self.request.and_then(|request| request.received);
                Some(received.map_or(self.kept.client.source, |it| it.client))
            }
            Whose::Peer => Some(self.kept.client.source),
            Whose::Local => Some(self.kept.client.destination),
            Whose::DirectLocal => Some(self.kept.client.local),
            Whose::Upstream => self.node.endpoint(record.cluster?, record.endpoint?),
            Whose::UpstreamPeer => {
                record.upstream?;
                self.node.endpoint(record.cluster?, record.endpoint?)
            }
            Whose::UpstreamLocal => {
                record.upstream?;
                self.kept.far.as_ref()?.local
            }
        }
    }

    fn hosts_attempted(&self, port: bool, out: &mut Vec<u8>) -> Said {
        let record = self.it.record;
        let mut said = Said::Nothing;
        for (nth, slot) in record.attempted.iter().enumerate() {
            // of a carried connection each attempt is told
            let is_request = record.kind == LogKind::DownstreamEnd;
            if is_request && record.attempted[..nth].contains(slot) {
                continue;
            }
            let address = record.cluster.and_then(|id| self.node.endpoint(id, *slot));
            let Some(address) = address else {
                continue;
            };
            if said == Said::Text {
                out.push(b',');
            }
            let part = if port {
                AddressPart::Whole
            } else {
                AddressPart::WithoutPort
            };
            said = address_part(Some(address), part, out);
        }
        said
    }

    fn host_name(&self, port: bool, out: &mut Vec<u8>) -> Said {
        let record = self.it.record;
        let name = self.node.hostname(record.cluster, record.endpoint);
        if name.is_empty() {
            let part = if port {
                AddressPart::Whole
            } else {
                AddressPart::WithoutPort
            };
            return address_part(self.address(Whose::Upstream), part, out);
        }
        let bare = name
            .rsplit_once(':')
            .filter(|(_, after)| !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit()));
        let shown = match bare {
            Some((bare, _)) if !port => bare,
            Some(_) | None => name,
        };
        text(Some(shown.as_bytes()), out)
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.request_header("content-type").is_some_and(|kind| {
            let rest = kind.strip_prefix(b"application/grpc");
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
        })
    }

    /// What the response said of its gRPC status.
    pub(crate) fn grpc_message(&self) -> Option<String> {
        let name = "grpc-message";
        let trailers = self.kept.trailers.as_ref();
        let head = || self.kept.sent.as_ref()?.1.get(name);
        let message = trailers.and_then(|it| it.get(name)).or_else(head)?;
        Some(String::from_utf8_lossy(message.as_bytes()).into_owned())
    }

    /// Where an endpoint of the request's cluster is.
    pub(crate) fn endpoint(&self, slot: Option<EndpointSlot>) -> Option<SocketAddr> {
        self.node.endpoint(self.it.record.cluster?, slot?)
    }

    fn grpc(&self, form: GrpcForm, out: &mut Vec<u8>) -> Said {
        if !self.is_grpc() {
            return Said::Nothing;
        }
        let record = self.it.record;
        let status = record.grpc.unwrap_or_else(|| grpc_status(record.status));
        let names = GRPC.get(status as usize);
        match (form, names) {
            (GrpcForm::Number, _) => number(u64::from(status), out),
            (GrpcForm::Camel, Some((camel, _))) => text(Some(camel.as_bytes()), out),
            (GrpcForm::Snake, Some((_, snake))) => text(Some(snake.as_bytes()), out),
            (GrpcForm::Camel | GrpcForm::Snake, None) => {
                number(u64::from(status), out);
                Said::Text
            }
        }
    }

    fn tls(&self, end: End, fact: TlsFact, out: &mut Vec<u8>) -> Said {
        let shown = match end {
            End::Downstream => self.kept.client.shown.as_ref(),
            End::Upstream => {
                let far = self
                    .kept
                    .far
                    .as_ref()
                    .filter(|_| self.it.record.upstream.is_some());
                far.and_then(|far| far.shown.as_ref())
            }
        };
        let Some(shown) = shown else {
            return Said::Nothing;
        };
        let said = match fact {
            TlsFact::Version => shown.agreed.version.to_owned(),
            TlsFact::Cipher => shown.agreed.cipher.clone(),
            TlsFact::Of(whose, what) => {
                let own = shown.own_certificate.as_deref();
                let peer = shown.client.first().map(AsRef::as_ref);
                certificates::say(whose, what, own, peer).unwrap_or_default()
            }
        };
        if said.is_empty() {
            return Said::Nothing;
        }
        text(Some(said.as_bytes()), out)
    }

    fn lasted(
        &self,
        from: Option<u64>,
        to: Option<u64>,
        unit: TimeUnit,
        out: &mut Vec<u8>,
    ) -> Said {
        let (Some(from), Some(to)) = (from, to) else {
            return Said::Nothing;
        };
        let nanos = to.saturating_sub(from);
        let counted = match unit {
            TimeUnit::Millis => nanos / 1_000_000,
            TimeUnit::Micros => nanos / 1000,
            TimeUnit::Nanos => nanos,
        };
        number(counted, out)
    }

    fn stream_id(&self, out: &mut Vec<u8>) -> Said {
        let given = self.request_header("x-request-id");
        match given.filter(|id| !id.is_empty()) {
            Some(id) => text(Some(id), out),
            // a connection whose requests have ids has none
            None if self.request.is_none() && self.it.http().is_some() => Said::Nothing,
            None => self.uuid(0, out),
        }
    }

    fn uuid(&self, nth: u32, out: &mut Vec<u8>) -> Said {
        let key = self.it.record.key;
        let high = key.bits(Purpose::AccessLog, u32::MAX - 2 * nth);
        let low = key.bits(Purpose::AccessLog, u32::MAX - 2 * nth - 1);
        // version 4 (RFC 9562 §5.4)
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | 0b10 << 62;
        let _ = write!(
            out,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        );
        Said::Text
    }

    /// A variable of the environment, if it is set.
    pub(crate) fn variable(&mut self, name: &str) -> Option<&Name> {
        let known = self.environment.entry(name.into()).or_insert_with(|| {
            let value = std::env::var_os(name)?;
            Some(Arc::from(value.to_string_lossy()))
        });
        known.as_ref()
    }

    fn wanted<'n>(wanted: &'n Wanted, found: impl Fn(&'n str) -> bool) -> &'n str {
        match &wanted.otherwise {
            Some(otherwise) if !found(&wanted.name) => otherwise,
            Some(_) | None => &wanted.name,
        }
    }
}

impl Speaker for Facts<'_> {
    fn say(&mut self, operator: &Operator, out: &mut Vec<u8>) -> Said {
        let record = self.it.record;
        let moments = record.moments;
        match operator {
            Operator::StartTime(format) => {
                self.clock.write(moments.start, format, out);
                Said::Text
            }
            Operator::EmitTime(format) => {
                self.clock.write(moments.end, format, out);
                Said::Text
            }
            Operator::Lasted { from, to, unit } => {
                let at = |moment| moments.at(moment).map(|at| at.as_nanos());
                self.lasted(at(*from), at(*to), *unit, out)
            }
            Operator::RequestHeader(wanted) => {
                let name = Self::wanted(wanted, |name| self.request_header(name).is_some());
                text(self.request_header(name), out)
            }
            Operator::ResponseHeader(wanted) => {
                let sent = self.kept.sent.as_ref();
                let is_there = |name: &str| {
                    sent.is_some_and(|(_, headers)| name == ":status" || headers.contains_key(name))
                };
                self.response_header(Self::wanted(wanted, is_there), out)
            }
            Operator::ResponseTrailer(wanted) => {
                let trailers = self.kept.trailers.as_ref();
                let value = |name: &str| {
                    let value = trailers?.get(name)?;
                    Some(value.as_bytes())
                };
                text(
                    value(Self::wanted(wanted, |name| value(name).is_some())),
                    out,
                )
            }
            Operator::HeaderBytes(of) => number(self.header_bytes(*of), out),
            Operator::Path { kind, query } => {
                let path = match kind {
                    PathKind::Original => self.original_or_rewritten(),
                    PathKind::Rewritten => self.path(),
                    PathKind::OriginalOrRewritten => self.original_or_rewritten(),
                };
                let shown = path.map(|path| match path.split_once('?') {
                    Some((path, _)) if !query => path,
                    Some(_) | None => path,
                });
                text(shown.map(str::as_bytes), out)
            }
            Operator::Query => text(self.query().map(str::as_bytes), out),
            Operator::QueryParameter(name) => {
                let pairs = self.query().unwrap_or_default().split('&');
                let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                let found = pairs.find(|(key, _)| **key == **name);
                text(found.map(|(_, value)| value.as_bytes()), out)
            }
            Operator::Protocol => {
                let spoken = self.request.map(|it| it.parts.version);
                text(spoken.or(self.kept.version).map(version), out)
            }
            Operator::UpstreamProtocol => {
                let far = self.kept.far.as_ref().filter(|_| record.upstream.is_some());
                let shown: Option<&[u8]> = far.filter(|far| !far.bytes).map(|far| {
                    if far.http2 {
                        &b"HTTP/2"[..]
                    } else {
                        b"HTTP/1.1"
                    }
                });
                text(shown, out)
            }
            Operator::ResponseCode => number(u64::from(record.status), out),
            Operator::ResponseCodeDetails { .. } if record.details == Details::None => {
                Said::Nothing
            }
            Operator::ResponseCodeDetails { .. } => {
                let _ = write!(out, "{}", record.details);
                Said::Text
            }
            Operator::Flags { long } => {
                let mut names = record.flags.names(*long);
                out.extend_from_slice(names.next().unwrap_or("-").as_bytes());
                for name in names {
                    out.push(b',');
                    out.extend_from_slice(name.as_bytes());
                }
                Said::Text
            }
            Operator::BytesReceived => number(record.received + self.kept.received, out),
            Operator::BytesSent => number(record.sent + self.kept.own, out),
            Operator::LocalReplyBody => Said::Text,
            Operator::AccessLogType => text(Some(record.kind.name().as_bytes()), out),
            Operator::GrpcStatus(form) => self.grpc(*form, out),
            Operator::Address(whose, part) => address_part(self.address(*whose), *part, out),
            Operator::UpstreamHostName { port } => self.host_name(*port, out),
            Operator::UpstreamHostsAttempted { port } => self.hosts_attempted(*port, out),
            Operator::UpstreamCluster => text(self.it.cluster.map(|it| it.name.as_bytes()), out),
            Operator::UpstreamAttempts => number(u64::from(record.attempts), out),
            Operator::UpstreamTransportFailure => match record.failure {
                Some(AttemptFailure::ConnectRefused) => {
                    text(Some(b"delayed_connect_error:_Connection_refused"), out)
                }
                Some(_) | None => Said::Nothing,
            },
            Operator::UpstreamConnectionId => {
                let far = self.kept.far.as_ref().filter(|_| record.upstream.is_some());
                number(far.map_or(0, |far| far.number), out)
            }
            Operator::RequestedServerName => {
                let shown = self.kept.client.shown.as_ref();
                text(
                    shown.and_then(|it| Some(it.sni.as_deref()?.as_bytes())),
                    out,
                )
            }
            Operator::RouteName => text(self.it.route_name.map(str::as_bytes), out),
            Operator::FilterChainName
            | Operator::VirtualClusterName
            | Operator::ConnectionTerminationDetails
            | Operator::Absent => Said::Nothing,
            Operator::ConnectionId => number(self.kept.client.number, out),
            Operator::StreamId => self.stream_id(out),
            Operator::UniqueId => {
                self.lines += 1;
                self.uuid(self.lines, out)
            }
            Operator::Hostname => text(HOSTNAME.as_deref().map(str::as_bytes), out),
            Operator::Environment(name) => {
                // one that is not set is a dash, whatever becomes of what is not there
                let set = self.variable(name).map_or("-", |value| value);
                text(Some(set.as_bytes()), out)
            }
            Operator::Tls(end, fact) => self.tls(*end, *fact, out),
        }
    }
}
