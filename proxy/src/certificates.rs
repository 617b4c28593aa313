//! What upstreams are told of certificates, as Envoy writes it.

use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use proxy_core::log::{Certificate, Subject};
use proxy_core::sanitize::{Certificates, PeerCertificate};
use rustls::pki_types::CertificateDer;
use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// What the two ends of a connection have shown; of the client's the first is its own.
pub(crate) fn describe(own: Option<&[u8]>, client: &[CertificateDer<'_>]) -> Certificates {
    Certificates {
        own_uris: own.map(alternative_names).unwrap_or_default().uris,
        peer: client.first().map(|first| peer(first, client)),
    }
}

/// The subject of a certificate; empty where it cannot be read.
pub(crate) fn subject(certificate: &[u8]) -> String {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map_or_else(|_| String::new(), |(_, it)| distinguished(it.subject()))
}

fn peer(certificate: &[u8], chain: &[CertificateDer<'_>]) -> PeerCertificate {
    let names = alternative_names(certificate);
    let subject = subject(certificate);
    let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
    let chain: String = chain.iter().map(|each| pem(each)).collect();
    PeerCertificate {
        hash: HEXLOWER.encode(hash.as_ref()).into(),
        subject: subject.into(),
        uris: names.uris,
        names: names.dns,
        pem: pem(certificate).into(),
        chain: chain.into(),
    }
}

/// Alternative names of a certificate, in their order.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) uris: Vec<Box<str>>,
    pub(crate) dns: Vec<Box<str>>,
}

pub(crate) fn alternative_names(certificate: &[u8]) -> Names {
    let mut names = Names::default();
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return names;
    };
    let Ok(Some(all)) = parsed.subject_alternative_name() else {
        return names;
    };
    for name in &all.value.general_names {
        if let GeneralName::URI(uri) = name {
            names.uris.push((*uri).into());
        } else if let GeneralName::DNSName(name) = name {
            names.dns.push((*name).into());
        }
    }
    names
}

/// What an access log says of one of two certificates; none: nothing.
///
/// Source: envoy `source/common/formatter/stream_info_formatter.cc`: several names with commas between.
pub(crate) fn say(
    whose: Certificate,
    what: Subject,
    own: Option<&[u8]>,
    peer: Option<&[u8]>,
) -> Option<String> {
    let certificate = match whose {
        Certificate::Peer => peer,
        Certificate::Own => own,
    }?;
    let parsed = || {
        X509Certificate::from_der(certificate)
            .ok()
            .map(|(_, it)| it)
    };
    Some(match what {
        Subject::Subject => distinguished(parsed()?.subject()),
        Subject::Issuer => distinguished(parsed()?.issuer()),
        Subject::Serial => HEXLOWER.encode(trimmed(parsed()?.raw_serial())),
        Subject::Fingerprint => digest(&ring::digest::SHA256, certificate),
        Subject::OldFingerprint => digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate),
        Subject::Uris => alternative_names(certificate).uris.join(","),
        Subject::Names => alternative_names(certificate).dns.join(","),
        Subject::Pem => url_encoded(&pem(certificate)),
    })
}

fn digest(algorithm: &'static ring::digest::Algorithm, of: &[u8]) -> String {
    HEXLOWER.encode(ring::digest::digest(algorithm, of).as_ref())
}

/// A number's bytes without the one that only says that it is positive.
fn trimmed(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}

/// Source: envoy `source/common/tls/connection_info_impl_base.cc` (`urlEncodedPemEncodedPeerCertificate`).
fn url_encoded(pem: &str) -> String {
    let mut out = String::with_capacity(pem.len() + 64);
    for letter in pem.chars() {
        match letter {
            '\n' => out.push_str("%0A"),
            ' ' => out.push_str("%20"),
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            _ => out.push(letter),
        }
    }
    out
}

/// Source: RFC 7468 §2: lines of 64 letters.
fn pem(certificate: &[u8]) -> String {
    let encoded = BASE64.encode(certificate);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// A name as RFC 2253 writes it: the last part first.
///
/// Source: envoy `source/common/tls/utility.cc` (`getSubjectFromCertificate`: `XN_FLAG_RFC2253`).
fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in name.iter_rdn() {
        let attributes = part.iter().map(|attribute| {
            let (kind, value) = (attribute.attr_type(), attribute.attr_value());
            match short_name(kind) {
                Some(short) => format!("{short}={}", escaped(&attribute_text(value))),
                None => format!("{}=#{}", kind.to_id_string(), hexadecimal(value)),
            }
        });
        parts.push(attributes.collect::<Vec<_>>().join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn attribute_text(value: &Any<'_>) -> String {
    const BMP_STRING: u32 = 30;
    if value.tag().0 == BMP_STRING {
        let units = value.data.chunks_exact(2);
        let units = units.map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
        return char::decode_utf16(units)
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
    }
    String::from_utf8_lossy(value.data).into_owned()
}

/// A value whose kind has no name, with its tag and its length.
fn hexadecimal(value: &Any<'_>) -> String {
    let length = value.data.len();
    let mut der = vec![value.tag().0 as u8];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        Ok(byte) => der.extend([0x81, byte]),
        Err(_) => {
            der.push(0x82);
            der.extend((length as u16).to_be_bytes());
        }
    }
    der.extend_from_slice(value.data);
    data_encoding::HEXUPPER.encode(&der)
}

/// The names that RFC 2253 and OpenSSL give to kinds of attributes.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    const NAMES: [(&str, &str); 18] = [
        ("2.5.4.3", "CN"),
        ("2.5.4.4", "SN"),
        ("2.5.4.5", "serialNumber"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "street"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("2.5.4.12", "title"),
        ("2.5.4.17", "postalCode"),
        ("2.5.4.42", "GN"),
        ("2.5.4.43", "initials"),
        ("2.5.4.44", "generationQualifier"),
        ("2.5.4.46", "dnQualifier"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
    ];
    let id = kind.to_id_string();
    let found = NAMES.iter().find(|(known, _)| *known == id);
    found.map(|(_, name)| *name)
}

/// Source: RFC 2253 §2.4; letters outside of ASCII by their bytes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(byte)]),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b'#' if at == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(names: &[(DnType, &str)], alternative: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            let value = DnValue::Utf8String((*value).to_owned());
            params.distinguished_name.push(kind.clone(), value);
        }
        params.subject_alt_names = alternative;
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        made.der().clone()
    }

    fn email() -> DnType {
        DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1])
    }

    /// What 1.40.0 told of such a certificate.
    #[test]
    fn a_subject_is_written_as_envoy_writes_it() {
        let made = certificate(
            &[
                (DnType::CountryName, "DE"),
                (DnType::OrganizationName, "Acme, \"Inc\" +x"),
                (DnType::OrganizationalUnitName, " lead"),
                (DnType::CommonName, "client=ü"),
                (email(), "a@b"),
            ],
            Vec::new(),
        );
        let told = describe(None, &[made]).peer.expect("it was shown");
        assert_eq!(
            &*told.subject,
            r#"emailAddress=a@b,CN=client=\C3\BC,OU=\ lead,O=Acme\, \"Inc\" \+x,C=DE"#
        );
    }

    #[test]
    fn what_rfc_2253_has_no_letters_for_is_escaped() {
        for (text, want) in [
            ("#a#", r"\#a#"),
            (" a b ", r"\ a b\ "),
            ("<;>\\", r"\<\;\>\\"),
            ("a\tb", r"a\09b"),
            (" ", r"\ "),
            ("", ""),
        ] {
            assert_eq!(escaped(text), want, "{text:?}");
        }
        let unknown = DnType::CustomDnType(vec![1, 2, 3, 4]);
        let made = certificate(&[(unknown, "ab")], Vec::new());
        let told = describe(None, &[made]).peer.expect("it was shown");
        assert_eq!(&*told.subject, "1.2.3.4=#0C026162");
    }

    #[test]
    fn names_and_encodings_are_those_of_the_certificate() {
        let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
        let dns = |text: &str| SanType::DnsName(text.try_into().expect("ASCII"));
        let names = vec![
            dns("a.example"),
            uri("spiffe://td/a"),
            dns("b.example"),
            uri("urn:b"),
        ];
        let made = certificate(&[(DnType::CommonName, "a")], names);
        let other = certificate(&[(DnType::CommonName, "b")], Vec::new());
        let told = describe(Some(&made), &[made.clone(), other.clone()]);
        let peer = told.peer.expect("it was shown");
        assert_eq!(
            told.own_uris,
            ["spiffe://td/a".into(), "urn:b".into()] as [Box<str>; 2]
        );
        assert_eq!(peer.uris, told.own_uris);
        assert_eq!(
            peer.names,
            ["a.example".into(), "b.example".into()] as [Box<str>; 2]
        );
        assert_eq!(peer.hash.len(), 64);
        assert_eq!(&*peer.chain, format!("{}{}", pem(&made), pem(&other)));
        let lines: Vec<&str> = peer.pem.lines().collect();
        assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
        assert!(lines[1].len() == 64 && lines[lines.len() - 2].len() <= 64);
        use rustls::pki_types::pem::PemObject;
        let back = CertificateDer::from_pem_slice(peer.pem.as_bytes());
        assert_eq!(back.expect("PEM"), made);
    }
}
