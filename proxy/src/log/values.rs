//! Values as lines have them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::LazyLock;

use http::Version;
use proxy_core::log::AddressPart;

use super::line::Said;

pub(super) fn text(said: Option<&[u8]>, out: &mut Vec<u8>) -> Said {
    match said {
        Some(said) => {
            out.extend_from_slice(said);
            Said::Text
        }
        None => Said::Nothing,
    }
}

pub(super) fn number(said: u64, out: &mut Vec<u8>) -> Said {
    // a vector takes all that is written
    let _ = write!(out, "{said}");
    Said::Number
}

pub(super) fn address_part(
    address: Option<SocketAddr>,
    part: AddressPart,
    out: &mut Vec<u8>,
) -> Said {
    let Some(address) = address else {
        return Said::Nothing;
    };
    match part {
        AddressPart::Port => return number(u64::from(address.port()), out),
        AddressPart::Whole => {
            let _ = write!(out, "{address}");
        }
        AddressPart::WithoutPort => {
            let _ = write!(out, "{}", address.ip());
        }
    }
    Said::Text
}

pub(super) const fn version(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_2 => b"HTTP/2",
        Version::HTTP_10 => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    }
}

/// The machine's name.
pub(super) static HOSTNAME: LazyLock<Option<String>> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
});

/// The names of gRPC's statuses.
///
/// Source: envoy `source/common/grpc/status.cc` (`grpcStatusToString`), absl `StatusCodeToString`.
pub(super) const GRPC: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];
