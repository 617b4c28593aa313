//! The PROXY protocol's header: who a connection comes from and where it was meant to go, ahead of its first byte.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A longer header is none: addresses of IPv6 with some room for what may stand beside them.
const LONGEST: usize = 536;

/// Source and destination of a header, which is taken off the stream; none: there is no such header, or it names no addresses.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<(SocketAddr, SocketAddr)> {
    let mut seen = [0; LONGEST];
    let mut before = 0;
    loop {
        let length = stream.peek(&mut seen).await.ok()?;
        if length == 0 || (length == before && length == LONGEST) {
            return None;
        }
        let header = HeaderResult::parse(&seen[..length]);
        if header.is_complete() {
            let (length, found) = addresses(&header)?;
            let mut taken = [0; LONGEST];
            stream.read_exact(taken.get_mut(..length)?).await.ok()?;
            return Some(found);
        }
        if length == before {
            // the rest of it is under way
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        before = length;
    }
}

/// A header of version 2.
///
/// # Errors
/// Where the addresses are of different families.
pub fn header(source: SocketAddr, destination: SocketAddr) -> io::Result<Vec<u8>> {
    let stream = v2::Protocol::Stream;
    let version = v2::Version::Two | v2::Command::Proxy;
    v2::Builder::with_addresses(version, stream, (source, destination)).build()
}

/// Length and addresses of a whole header.
fn addresses(header: &HeaderResult<'_>) -> Option<(usize, (SocketAddr, SocketAddr))> {
    match header {
        HeaderResult::V1(Ok(header)) => {
            let found = match header.addresses {
                v1::Addresses::Tcp4(it) => pair(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v1::Addresses::Tcp6(it) => pair(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v1::Addresses::Unknown => return None,
            };
            Some((header.header.len(), found))
        }
        HeaderResult::V2(Ok(header)) => {
            let found = match header.addresses {
                v2::Addresses::IPv4(it) => pair(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v2::Addresses::IPv6(it) => pair(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return None,
            };
            Some((header.len(), found))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}

fn pair<A: Into<std::net::IpAddr>>(
    (source, from): (A, u16),
    (destination, to): (A, u16),
) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(source.into(), from),
        SocketAddr::new(destination.into(), to),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_version_names_both_ends_and_its_own_length() {
        let one = b"PROXY TCP4 10.0.0.1 10.96.0.7 4711 80\r\nGET / HTTP/1.1\r\n";
        let mut two = header(
            SocketAddr::from(([10, 0, 0, 1], 4711)),
            SocketAddr::from(([10, 96, 0, 7], 80)),
        )
        .expect("a header");
        let length = two.len();
        two.extend(b"GET /");
        let want = (
            SocketAddr::from(([10, 0, 0, 1], 4711)),
            SocketAddr::from(([10, 96, 0, 7], 80)),
        );
        let read = |bytes: &[u8]| addresses(&HeaderResult::parse(bytes));
        assert_eq!(read(one), Some((39, want)));
        assert_eq!(read(&two), Some((length, want)));
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), None);
    }
}
