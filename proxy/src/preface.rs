//! The PROXY protocol's header: who a connection comes from and where it was meant to go, ahead of its first byte.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ppp::{v1, v2};
use proxy_core::config::{Preface, PrefaceVersion};
use proxy_core::node::Ends;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest line of version 1, with its end.
///
/// Source: §2.1 of the protocol.
const LONGEST_LINE: usize = 107;
const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2: signature, version, command, family, and the length of what follows.
const FIXED: usize = 16;

/// What a connection begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// A header that names both ends.
    Ends(Ends),
    /// A header that names none: the connection is its sender's own.
    Own,
    /// No header, and none is needed.
    Nothing,
    /// No header, or one that is not taken.
    Bad,
}

/// How the first bytes of a connection look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looks {
    /// A header of this version and length.
    Header(PrefaceVersion, usize),
    /// No header.
    Other,
    /// Too few bytes to tell.
    Short,
}

fn looks(first: &[u8]) -> Looks {
    let begins = |with: &[u8]| {
        let length = first.len().min(with.len());
        first[..length] == with[..length]
    };
    if begins(SIGNATURE) {
        return match first.get(FIXED - 2..FIXED) {
            Some(length) => {
                let rest = u16::from_be_bytes([length[0], length[1]]);
                Looks::Header(PrefaceVersion::V2, FIXED + usize::from(rest))
            }
            None => Looks::Short,
        };
    }
    if !begins(LINE) {
        return Looks::Other;
    }
    let line = &first[..first.len().min(LONGEST_LINE)];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => Looks::Header(PrefaceVersion::V1, end + 1),
        None if first.len() < LONGEST_LINE => Looks::Short,
        None => Looks::Other,
    }
}

/// Takes the header off a connection, if it begins with one.
///
/// # Errors
/// Where the connection breaks.
pub(crate) async fn read(stream: &mut TcpStream, rules: Preface) -> io::Result<Said> {
    let mut seen = [0; LONGEST_LINE];
    let mut before = 0;
    loop {
        let length = stream.peek(&mut seen).await?;
        if length == 0 {
            return Ok(Said::Bad);
        }
        match looks(&seen[..length]) {
            Looks::Header(version, length) => {
                let is_taken = match version {
                    PrefaceVersion::V1 => rules.v1,
                    PrefaceVersion::V2 => rules.v2,
                };
                if !is_taken {
                    return Ok(without(rules));
                }
                let mut header = vec![0; length];
                stream.read_exact(&mut header).await?;
                return Ok(said(version, &header));
            }
            Looks::Other => return Ok(without(rules)),
            Looks::Short => {}
        }
        if length == before {
            // the rest of it is under way
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        before = length;
    }
}

const fn without(rules: Preface) -> Said {
    match rules.optional {
        true => Said::Nothing,
        false => Said::Bad,
    }
}

/// What a whole header says.
fn said(version: PrefaceVersion, header: &[u8]) -> Said {
    let ends = match version {
        PrefaceVersion::V1 => match v1::Header::try_from(header).map(|it| it.addresses) {
            Ok(v1::Addresses::Tcp4(it)) => ends(
                (it.source_address, it.source_port),
                (it.destination_address, it.destination_port),
            ),
            Ok(v1::Addresses::Tcp6(it)) => ends(
                (it.source_address, it.source_port),
                (it.destination_address, it.destination_port),
            ),
            Ok(v1::Addresses::Unknown) => return Said::Own,
            Err(_) => return Said::Bad,
        },
        PrefaceVersion::V2 => match v2::Header::try_from(header) {
            Ok(it) if it.command == v2::Command::Local => return Said::Own,
            Ok(it) => match it.addresses {
                v2::Addresses::IPv4(it) => ends(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v2::Addresses::IPv6(it) => ends(
                    (it.source_address, it.source_port),
                    (it.destination_address, it.destination_port),
                ),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return Said::Bad,
            },
            Err(_) => return Said::Bad,
        },
    };
    let is_one = |at: SocketAddr| match at.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    match is_one(ends.source) && is_one(ends.destination) {
        true => Said::Ends(ends),
        false => Said::Bad,
    }
}

fn ends<A: Into<IpAddr>>((source, from): (A, u16), (destination, to): (A, u16)) -> Ends {
    Ends {
        source: SocketAddr::new(source.into(), from),
        destination: SocketAddr::new(destination.into(), to),
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

/// The header for a connection on behalf of a client; of one that is the proxy's `own`, or whose ends are of different families, it says so.
///
/// Source: envoy `source/extensions/transport_sockets/proxy_protocol/proxy_protocol.cc`: version 1 has no word for a connection of one's own
/// but its ends.
pub(crate) fn for_client(
    version: PrefaceVersion,
    client: Option<Ends>,
    own: Ends,
) -> io::Result<Vec<u8>> {
    let is_of_one = |it: &Ends| it.source.is_ipv4() == it.destination.is_ipv4();
    match version {
        PrefaceVersion::V1 => {
            let ends = client.unwrap_or(own);
            if !is_of_one(&ends) {
                return Ok(b"PROXY UNKNOWN\r\n".to_vec());
            }
            let family = if ends.source.is_ipv4() { 4 } else { 6 };
            let (from, to) = (ends.source, ends.destination);
            let (from_ip, to_ip) = (from.ip(), to.ip());
            let ports = format!("{} {}", from.port(), to.port());
            Ok(format!("PROXY TCP{family} {from_ip} {to_ip} {ports}\r\n").into_bytes())
        }
        PrefaceVersion::V2 => match client.filter(is_of_one) {
            Some(ends) => header(ends.source, ends.destination),
            None => {
                let mut local = SIGNATURE.to_vec();
                local.extend([0x20, 0, 0, 0]);
                Ok(local)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn read_whole(bytes: &[u8]) -> Option<(Said, usize)> {
        match looks(bytes) {
            Looks::Header(version, length) => Some((said(version, &bytes[..length]), length)),
            Looks::Other | Looks::Short => None,
        }
    }

    #[test]
    fn either_version_names_both_ends_and_its_own_length() {
        let want = Ends {
            source: at("10.0.0.1:4711"),
            destination: at("10.96.0.7:80"),
        };
        let one = b"PROXY TCP4 10.0.0.1 10.96.0.7 4711 80\r\nGET / HTTP/1.1\r\n";
        let mut two = header(want.source, want.destination).expect("a header");
        let length = two.len();
        two.extend(b"GET /");
        assert_eq!(read_whole(one), Some((Said::Ends(want), 39)));
        assert_eq!(read_whole(&two), Some((Said::Ends(want), length)));
        // what stands beside the addresses is passed over
        let mut more = header(want.source, want.destination).expect("a header");
        more[15] += 5;
        more.extend([0x05, 0, 2, b'i', b'd']);
        assert_eq!(read_whole(&more), Some((Said::Ends(want), length + 5)));
    }

    #[test]
    fn headers_that_name_nobody_are_told_from_bad_ones() {
        for (line, want) in [
            ("PROXY UNKNOWN\r\n", Said::Own),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", Said::Bad),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", Said::Bad),
            ("PROXY TCP4 0.0.0.0 10.0.0.2 1 2\r\n", Said::Bad),
            ("PROXY TCP4 10.0.0.1 224.0.0.1 1 2\r\n", Said::Bad),
            ("PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n", Said::Bad),
        ] {
            let read = read_whole(line.as_bytes());
            assert_eq!(read.map(|(said, _)| said), Some(want), "{line}");
        }
        let own = Ends {
            source: at("1.1.1.1:1"),
            destination: at("2.2.2.2:2"),
        };
        let local = for_client(PrefaceVersion::V2, None, own).expect("a header");
        assert_eq!(read_whole(&local), Some((Said::Own, FIXED)));
        let mut unix = local;
        unix[12] = 0x21;
        unix[13] = 0x31;
        assert_eq!(read_whole(&unix).map(|(said, _)| said), Some(Said::Bad));
    }

    #[test]
    fn a_header_is_known_as_soon_as_it_can_be() {
        for (bytes, want) in [
            (&b"P"[..], Looks::Short),
            (b"PROXY TCP4", Looks::Short),
            (b"POST / HTTP/1.1", Looks::Other),
            (b"\r\n\r\n", Looks::Short),
            (b"\r\nGET", Looks::Other),
            (SIGNATURE, Looks::Short),
            (&[b'x'; 4], Looks::Other),
        ] {
            assert_eq!(looks(bytes), want, "{bytes:?}");
        }
        let mut endless = LINE.to_vec();
        endless.resize(LONGEST_LINE, b'x');
        assert_eq!(looks(&endless), Looks::Other);
    }

    #[test]
    fn what_is_written_is_read() {
        let own = Ends {
            source: at("127.0.0.1:5"),
            destination: at("127.0.0.1:6"),
        };
        let six = Ends {
            source: at("[fd00::1]:7"),
            destination: at("[fd00::2]:8"),
        };
        let mixed = Ends {
            source: at("10.0.0.1:7"),
            ..six
        };
        for (version, client, want) in [
            (PrefaceVersion::V1, Some(six), Said::Ends(six)),
            (PrefaceVersion::V2, Some(six), Said::Ends(six)),
            (PrefaceVersion::V1, None, Said::Ends(own)),
            (PrefaceVersion::V2, None, Said::Own),
            (PrefaceVersion::V1, Some(mixed), Said::Own),
            (PrefaceVersion::V2, Some(mixed), Said::Own),
        ] {
            let written = for_client(version, client, own).expect("a header");
            let read = read_whole(&written);
            assert_eq!(read, Some((want, written.len())), "{version:?} {client:?}");
        }
    }
}
