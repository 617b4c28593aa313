//! Blocks of addresses, and lists of status codes.

use std::net::IpAddr;

use proxy_core::config::Cidr;

/// An address, or a block of them.
pub(super) fn parse(text: &str) -> Option<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
        None => most,
    };
    Some(Cidr { address, bits })
}

/// Statuses as `500,502-504`, or as single items of a list.
pub(super) fn statuses(text: &str) -> Option<Vec<(u16, u16)>> {
    let each = text.split(',').map(|part| {
        let (from, to) = part
            .trim()
            .split_once('-')
            .unwrap_or_else(|| (part.trim(), part.trim()));
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        ((100..=599).contains(&from) && (from..=599).contains(&to)).then_some((from, to))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_addresses_are_read() {
        for (text, bits) in [
            ("10.0.0.0/8", Some(8)),
            ("10.0.0.1", Some(32)),
            ("fd00::/8", Some(8)),
            ("::1", Some(128)),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|block| block.bits), bits, "{text}");
        }
    }

    #[test]
    fn statuses_are_single_or_ranges() {
        for (text, want) in [
            ("503", Some(vec![(503, 503)])),
            ("500-504", Some(vec![(500, 504)])),
            ("404,500-599", Some(vec![(404, 404), (500, 599)])),
            ("504-500", None),
            ("5xx", None),
            ("600", None),
        ] {
            assert_eq!(statuses(text), want, "{text}");
        }
    }
}
