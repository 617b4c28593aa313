//! Values of annotations and of the controller's ConfigMap, as the release checks them.
//!
//! Source: kubernetes/ingress-nginx `internal/ingress/annotations/parser/validators.go`.

use core::net::IpAddr;

use proxy_core::config::Cidr;

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// `true`, `false` and what Go takes for them.
    Flag,
    /// A whole number, perhaps negative.
    Number,
    /// A whole number that NGINX takes: not negative.
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, whatever their case.
    AnyCase(&'static [&'static str]),
    /// Bytes, perhaps with `k`, `m` or `g`.
    Size,
    /// Addresses and blocks of them, with commas between.
    Blocks,
    /// Letters, digits and these characters.
    Letters(&'static str),
    /// Words of `proxy_next_upstream`.
    NextUpstream,
    /// Statuses from 400 to 599, with commas between.
    Errors,
    /// A status from 400 to 599.
    Status,
    /// Seconds as a cookie has them.
    Age,
    /// Names of methods, with commas between.
    Methods,
    /// Origins of pages, with commas between.
    Origins,
    /// `off`, or two names.
    Pair,
    /// `CN=` and a regular expression.
    CommonName,
    /// The name of a Service.
    Name,
    /// Whatever is written.
    Any,
}

/// Letters of names and paths.
const BASIC: &str = "-._~/:";
/// Names and paths.
pub(super) const TEXT: Check = Check::Letters(BASIC);
/// Names and paths, with blanks.
pub(super) const SPACED: Check = Check::Letters("-._~/: ");
/// Regular expressions.
pub(super) const PATTERN: Check = Check::Letters("-._~/:^$[](){}*+?|&=\\");
/// Hosts, perhaps as regular expressions, with commas between.
pub(super) const HOSTS: Check = Check::Letters("-._~/:^$[](){}*+?|&=\\,");
/// Addresses of pages.
pub(super) const URL: Check = Check::Letters("-._~/:,?&=");
/// Addresses of pages with variables of NGINX.
pub(super) const URL_WITH_VARIABLES: Check = Check::Letters("-._~/:, ?&=$");
/// Paths with groups of a regular expression.
pub(super) const CAPTURES: Check = Check::Letters("-._~/:$");
/// Variables of NGINX.
pub(super) const VARIABLES: Check = Check::Letters("-_${}");
/// Names of headers, with commas between.
pub(super) const HEADERS: Check = Check::Letters("-_, ");
/// What OpenSSL calls ciphers.
pub(super) const CIPHERS: Check = Check::Letters("-_!:+@=");
/// `on` or `off`.
pub(super) const SWITCH: Check = Check::Word(&["on", "off"]);

impl Check {
    /// Whether a value is one; an empty one is not asked about.
    pub(super) fn takes(self, text: &str) -> bool {
        let trimmed = text.trim();
        match self {
            Self::Flag => flag(text).is_some(),
            Self::Number => number(text).is_some(),
            Self::Count => number(text).is_some_and(|number| number >= 0),
            Self::Word(words) => words.contains(&trimmed),
            Self::AnyCase(words) => words.contains(&&*trimmed.to_ascii_lowercase()),
            Self::Size => size(text).is_some(),
            Self::Blocks => blocks(text).is_some(),
            Self::Letters(more) => {
                let known = |c: char| c.is_ascii_alphanumeric() || c == ' ' || more.contains(c);
                text.chars().all(known)
            }
            Self::NextUpstream => {
                !trimmed.is_empty() && trimmed.split(' ').all(|word| NEXT.contains(&word))
            }
            Self::Errors => codes(text).is_some(),
            Self::Status => number(text).is_some_and(|it| (400..600).contains(&it)),
            Self::Age => trimmed == "0" || trimmed.trim_start_matches('-').parse::<u64>().is_ok(),
            Self::Methods => {
                let is = |c: char| c.is_ascii_alphabetic() || c == ',' || c == ' ';
                trimmed.starts_with(|c: char| c.is_ascii_alphabetic()) && trimmed.chars().all(is)
            }
            Self::Origins => {
                let is = |c: char| c.is_ascii_alphanumeric() || "-.:/*, ".contains(c);
                trimmed.chars().all(is)
            }
            Self::Pair => trimmed == "off" || trimmed.split_whitespace().count() == 2,
            Self::CommonName => {
                let pattern = text.strip_prefix("CN=");
                pattern.is_some_and(|it| regex::Regex::new(it).is_ok())
            }
            Self::Name => {
                let is = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is)
            }
            Self::Any => true,
        }
    }

    /// What to write, as help.
    pub(super) fn wanted(self) -> String {
        match self {
            Self::Flag => "`\"true\"` or `\"false\"`".into(),
            Self::Number => "a whole number, in quotes and without a unit".into(),
            Self::Count => {
                "a whole number that is not negative, in quotes and without a unit".into()
            }
            Self::Word(words) | Self::AnyCase(words) => {
                let words: Vec<String> = words.iter().map(|it| format!("`{it}`")).collect();
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("{} or {last}", rest.join(", "))
                    }
                    Some(_) | None => words.concat(),
                }
            }
            Self::Size => "bytes, as `8m`".into(),
            Self::Blocks => "addresses or blocks of them, as `10.0.0.0/8,192.0.2.1`".into(),
            Self::Letters(more) => format!("letters, digits and `{more}`"),
            Self::NextUpstream => format!("words among {}", NEXT.join(", ")),
            Self::Errors => "statuses from 400 to 599, as `404,503`".into(),
            Self::Status => "a status from 400 to 599".into(),
            Self::Age => "seconds".into(),
            Self::Methods => "methods, as `GET, PUT`".into(),
            Self::Origins => "origins, as `https://*.example.com, https://example.org:8443`".into(),
            Self::Pair => "`off`, or what to replace and by what".into(),
            Self::CommonName => "`CN=` and a regular expression".into(),
            Self::Name => "the name of a Service".into(),
            Self::Any => "anything".into(),
        }
    }
}

/// The words of `proxy_next_upstream`.
const NEXT: &[&str] = &[
    "error",
    "timeout",
    "invalid_header",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "non_idempotent",
    "off",
];

/// What Go's `strconv.ParseBool` takes.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What Go's `strconv.Atoi` takes.
pub(super) fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Bytes; none: it is no size.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(digits) => (digits, text.as_bytes()[text.len() - 1]),
        None => (&*text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let shift = match unit {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        _ => 0,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// Addresses and blocks; none: one of them is neither.
pub(super) fn blocks(text: &str) -> Option<Vec<Cidr>> {
    text.split(',').map(|one| block(one.trim())).collect()
}

fn block(text: &str) -> Option<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some(Cidr { address, bits })
}

/// Statuses; none: one of them is none.
pub(super) fn codes(text: &str) -> Option<Vec<u16>> {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words
        .map(|word| word.parse().ok().filter(|code| (400..600).contains(code)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_the_release_checks_them() {
        let rows: &[(&str, Check, &[&str], &[&str])] = &[
            (
                "flags",
                Check::Flag,
                &["true", "False", "1", "t"],
                &["yes", "on", "tRUE", ""],
            ),
            (
                "numbers",
                Check::Number,
                &["0", "-3", "+7", "60"],
                &["60s", "1.5", "", "-", " 5", "99999999999999999999"],
            ),
            ("counts", Check::Count, &["0", "60"], &["-1", "60s", ""]),
            (
                "sizes",
                Check::Size,
                &["1", "8m", "10K", "2g", "0"],
                &["8mb", "5b", "m", "-1", "1.5m", "99999999999999999999g"],
            ),
            (
                "blocks",
                Check::Blocks,
                &["10.0.0.0/8", "192.0.2.1, ::1/128"],
                &["10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/8,"],
            ),
            (
                "conditions of another try",
                Check::NextUpstream,
                &["error timeout", "off", "http_503 non_idempotent"],
                &["error,timeout", "http_501", "error  timeout", ""],
            ),
            (
                "statuses",
                Check::Errors,
                &["404", "404,503", "404, 503,"],
                &["200", "4xx", "600"],
            ),
            (
                "words",
                Check::Word(&["any", "all"]),
                &["any", " all "],
                &["ANY", "some"],
            ),
            (
                "words in any case",
                Check::AnyCase(&["http", "grpc"]),
                &["HTTP", "grpc"],
                &["h2"],
            ),
            (
                "paths with groups",
                CAPTURES,
                &["/$1/$2", "/a-b_c"],
                &["/a?b=1", "/(x)", "/;", "/a\n/b"],
            ),
            (
                "common names",
                Check::CommonName,
                &["CN=a", "CN=.*\\.example\\.com"],
                &["a", "CN=("],
            ),
            (
                "origins",
                Check::Origins,
                &["*", "https://a.example:80, http://*.b"],
                &["https://a.example/;"],
            ),
        ];
        for (name, check, good, bad) in rows {
            for text in *good {
                assert!(check.takes(text), "{name}: {text:?}");
            }
            for text in *bad {
                assert!(!check.takes(text), "{name}: {text:?}");
            }
        }
    }

    #[test]
    fn sizes_are_bytes() {
        let rows = [
            ("0", 0),
            ("512", 512),
            ("8k", 8 << 10),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
        ];
        for (text, bytes) in rows {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
    }
}
