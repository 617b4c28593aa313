//! Which `Referer` goes on.

use crate::heads::{ArrivingHead, Field};

/// Whether a request's `Referer` is one: a path, or a URL without user and fragment.
///
/// Source: envoy `mutateRequestHeaders` ("Sanitize referer field"), and what 1.40.0 was seen to keep; RFC 9110 §10.1.3.
pub(super) fn is_sound(head: &impl ArrivingHead) -> bool {
    head.last(Field::Referer).is_some_and(is_reference)
}

fn is_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !bytes.iter().all(u8::is_ascii_graphic) || bytes.contains(&b'#') {
        return false;
    }
    let Some(end) = bytes.iter().position(|b| matches!(b, b':' | b'/' | b'?')) else {
        return true;
    };
    if bytes[end] != b':' {
        return true;
    }
    let (scheme, rest) = text.split_at(end);
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let is_scheme = bytes[0].is_ascii_alphabetic() && scheme.bytes().all(letters);
    is_scheme
        && rest.strip_prefix("://").is_some_and(|rest| {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            is_authority(&rest[..end])
        })
}

fn is_authority(authority: &str) -> bool {
    // nobody before the @ is no user
    let host = authority.strip_prefix('@').unwrap_or(authority);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let is_name = match name.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.is_some_and(|inside| inside.parse::<core::net::Ipv6Addr>().is_ok()),
        None => {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            !name.is_empty() && name.bytes().all(fits)
        }
    };
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 1.40.0 kept and took away.
    #[test]
    fn references_without_user_and_fragment_stay() {
        for kept in [
            "http://a/b",
            "a/b",
            "/x",
            "",
            "foo",
            "?x",
            "//",
            "//u@a/",
            "u@a",
            "/x:y",
            "android-app://x",
            "chrome-extension://abc/x",
            "http://[::1]/",
            "http://a?x",
            "http://@a",
            "HTTP://A",
            "http://a/@x",
            "http://-",
            "http://1.2.3.4:80/x",
            "http://a/<>\"",
        ] {
            assert!(is_reference(kept), "{kept:?}");
        }
        for gone in [
            "http://",
            "https://u:p@a:1/x",
            "about:blank",
            "foo:80",
            "a:80/x",
            "mailto:x@y",
            "http:///x",
            "http://a:99999",
            "http://a:/x",
            "http://[::1/",
            "http://a_b/",
            "http://a#f",
            "#",
            "http:/a",
            "http://a/b c",
            "file:///x",
            "://a",
            "x@://a",
            "http://a:1:2",
            "http://a%20b/",
            "http://a\\b",
        ] {
            assert!(!is_reference(gone), "{gone:?}");
        }
    }
}
