//! Texts in JSON, as Envoy writes them.

use std::io::Write as _;

/// Writes a text in quotes. Bytes that are no UTF-8 stand as the letters of these numbers.
///
/// Source: RFC 8259 §7; envoy `source/common/json/json_sanitizer.cc`: what need not be escaped is not.
pub(super) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            escaped(letter, out);
        }
        for byte in chunk.invalid() {
            escaped(char::from(*byte), out);
        }
    }
    out.push(b'"');
}

fn escaped(letter: char, out: &mut Vec<u8>) {
    let short = match letter {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '\n' => b"\\n",
        '\r' => b"\\r",
        '\t' => b"\\t",
        '\u{8}' => b"\\b",
        '\u{c}' => b"\\f",
        '\0'..=' ' | '\u{7f}' if letter != ' ' => {
            // a vector takes all that is written
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
            return;
        }
        _ => {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_is_escaped() {
        for (text, want) in [
            (&b"a b/<>'"[..], r#""a b/<>'""#),
            (b"\"\\\n\r\t\x08\x0c", r#""\"\\\n\r\t\b\f""#),
            (b"\x00\x1f\x7f", r#""\u0000\u001f\u007f""#),
            ("é€".as_bytes(), "\"é€\""),
            (b"a\xe9b", "\"aéb\""),
            (b"", r#""""#),
        ] {
            let mut out = Vec::new();
            quoted(text, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(want), "{text:?}");
        }
    }
}
