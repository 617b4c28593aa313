//! A connection, in the clear or not, and what its handshake has shown.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::{alternative_names, identity_of};

/// What a handshake has agreed upon; empty: there was none.
#[derive(Clone, Default, Debug)]
pub(crate) struct Agreed {
    pub(crate) version: &'static str,
    pub(crate) cipher: String,
}

/// A cipher suite as OpenSSL calls it: those of TLS 1.3 as the registry does, older ones without `TLS`, `WITH` and lines.
fn cipher_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let rest = name.strip_prefix("TLS_").unwrap_or(name);
    let rest = rest.replace("_WITH_", "_").replace("AES_", "AES");
    let rest = rest
        .strip_suffix("_POLY1305_SHA256")
        .map_or_else(|| rest.clone(), |rest| format!("{rest}_POLY1305"));
    rest.replace('_', "-")
}

/// A connection, in the clear or not.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    /// The identity that the peer has shown, if it has shown one that is trusted.
    pub(crate) fn peer(&self) -> Option<Box<str>> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let shown = stream.get_ref().1.peer_certificates()?.first()?;
        Some(identity_of(shown))
    }

    /// What the peer has shown, its own certificate first.
    pub(crate) fn peer_chain(&self) -> Vec<CertificateDer<'static>> {
        let shown = match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates(),
        };
        let shown = shown.unwrap_or_default().iter();
        shown.map(|each| each.clone().into_owned()).collect()
    }

    pub(super) fn peer_names(&self) -> Vec<Box<str>> {
        let Self::Tls(stream) = self else {
            return Vec::new();
        };
        let shown = stream.get_ref().1.peer_certificates();
        shown
            .and_then(|shown| shown.first())
            .map_or_else(Vec::new, alternative_names)
    }

    /// What was agreed upon in its handshake.
    pub(crate) fn agreed(&self) -> Agreed {
        let Self::Tls(stream) = self else {
            return Agreed::default();
        };
        let (_, session) = stream.get_ref();
        let suite = session.negotiated_cipher_suite();
        Agreed {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(_) | None => "",
            },
            cipher: suite.map_or_else(String::new, |suite| cipher_name(suite.suite())),
        }
    }

    /// The server name that its client asked for.
    pub(crate) fn server_name(&self) -> Option<Box<str>> {
        match self {
            Self::Tls(stream) => match &**stream {
                TlsStream::Server(stream) => stream.get_ref().1.server_name().map(Into::into),
                TlsStream::Client(_) => None,
            },
            Self::Plain(_) => None,
        }
    }

    /// The near end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr().ok(),
            Self::Tls(stream) => stream.get_ref().0.local_addr().ok(),
        }
    }

    /// Whether HTTP/2 was agreed upon.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
