//! The little HTML that is written by hand.

/// Text that stands for itself in HTML and in quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Neither HTML nor XML has a way to write these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Units that stay on the line of their number.
const UNITS: [&str; 12] = [
    "ns", "µs", "ms", "s", "min", "h", "%", "/s", "k/s", "M/s", "pp", "k",
];

/// Escaped, with a space that does not break between a number and its unit.
#[must_use]
pub fn unbroken(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            let number = words[at - 1].ends_with(|c: char| c.is_ascii_digit());
            let unit = UNITS.contains(&word.trim_end_matches([',', '.', ';', ')']));
            out.push(if number && unit { '\u{a0}' } else { ' ' });
        }
        out.push_str(&escape(word));
    }
    out
}

/// Escaped, with names in backticks as code.
#[must_use]
pub fn with_code(text: &str) -> String {
    let mut out = String::new();
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    for (at, part) in parts.iter().enumerate() {
        if at % 2 == 0 {
            out.push_str(&unbroken(part));
        } else if at == last {
            // A backtick without a partner is one.
            out.push('`');
            out.push_str(&escape(part));
        } else {
            out.push_str("<code>");
            out.push_str(&escape(part));
            out.push_str("</code>");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_read_becomes_markup() {
        assert_eq!(
            escape("<a href=\"x\">'&'\u{0}"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;\u{fffd}"
        );
        assert_eq!(with_code("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(
            with_code("fell to 5.2 %, 3 at a time"),
            "fell to 5.2\u{a0}%, 3 at a time"
        );
        assert_eq!(with_code("a ` b"), "a ` b");
    }
}
