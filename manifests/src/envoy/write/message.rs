//! Messages of Envoy's API as JSON: what is as it would be without being written is not written.

use std::net::{IpAddr, SocketAddr};

use proxy_core::config::{Cidr, Name, Share, TextMatch};
use proxy_core::time::Duration;
use regex::Regex;
use serde_json::{Map, Value, json};

/// The longest length of time that Envoy takes: 292 years.
const LONGEST: u64 = 9_223_372_035;

/// A message under construction.
#[derive(Clone, Default)]
pub(super) struct Message(Map<String, Value>);

impl Message {
    /// A typed config; `kind` is the name of its message.
    pub(super) fn any(kind: &str) -> Self {
        let mut message = Self::default();
        message.set("@type", format!("type.googleapis.com/{kind}"));
        message
    }

    pub(super) fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.to_owned(), value.into());
    }

    /// Written where it is there.
    pub(super) fn maybe(&mut self, field: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(field, value);
        }
    }

    /// Written where it is true.
    pub(super) fn flag(&mut self, field: &str, value: bool) {
        if value {
            self.set(field, true);
        }
    }

    /// Written where it is not what holds anyway.
    pub(super) fn unless<T: PartialEq + Into<Value>>(&mut self, field: &str, value: T, usual: T) {
        if value != usual {
            self.set(field, value);
        }
    }

    /// Written where it has anything in it.
    pub(super) fn list(&mut self, field: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.set(field, values);
        }
    }

    /// Written where it is not empty.
    pub(super) fn text(&mut self, field: &str, text: &str) {
        if !text.is_empty() {
            self.set(field, text);
        }
    }

    /// A message in a field, written where it says anything.
    pub(super) fn within(&mut self, field: &str, inner: Self) {
        if !inner.is_empty() {
            self.set(field, inner);
        }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    /// Takes in what another says.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Self::Object(message.0)
    }
}

/// An extension: a name and its typed config.
pub(super) fn extension(name: &str, config: Message) -> Value {
    json!({"name": name, "typed_config": Value::from(config)})
}

/// Seconds with as many digits as they have.
pub(super) fn length(length: Duration) -> String {
    let nanos = length.as_nanos();
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 || whole >= LONGEST {
        return format!("{}s", whole.min(LONGEST));
    }
    format!("{whole}.{}s", format!("{rest:09}").trim_end_matches('0'))
}

/// A length that is off where there is none.
pub(super) fn timer(of: Option<Duration>) -> String {
    length(of.unwrap_or(Duration::ZERO))
}

/// `type.v3.FractionalPercent`.
pub(super) fn fraction(share: Share) -> Value {
    let parts = share.as_ppm();
    for (scale, name) in [(10_000, "HUNDRED"), (100, "TEN_THOUSAND")] {
        if parts.is_multiple_of(scale) {
            return json!({"numerator": parts / scale, "denominator": name});
        }
    }
    json!({"numerator": parts, "denominator": "MILLION"})
}

/// `type.v3.Percent`.
pub(super) fn percent(share: Share) -> Value {
    json!({"value": f64::from(share.as_ppm()) / 1e4})
}

/// `core.v3.RuntimeFractionalPercent` that no runtime key changes.
pub(super) fn runtime_fraction(share: Share) -> Value {
    json!({"default_value": fraction(share)})
}

/// `core.v3.RuntimeDouble`, of which Envoy demands the name of a key.
pub(super) fn runtime_double(number: f64, key: &str) -> Value {
    json!({"default_value": number, "runtime_key": format!("windtunnel.{key}")})
}

/// `core.v3.Address`.
pub(super) fn socket(at: SocketAddr) -> Value {
    socket_of(&at.ip().to_string(), at.port())
}

/// `core.v3.Address` of a name.
pub(super) fn socket_of(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

/// `core.v3.CidrRange`.
pub(super) fn cidr(block: &Cidr) -> Value {
    json!({"address_prefix": block.address.to_string(), "prefix_len": block.bits})
}

/// Every address of the kind that `like` is of.
pub(super) const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

/// `core.v3.Locality` of `region/zone/subzone`; none where nothing is known.
pub(super) fn locality(name: &str) -> Option<Value> {
    let mut message = Message::default();
    let mut parts = name.splitn(3, '/');
    for field in ["region", "zone", "sub_zone"] {
        message.text(field, parts.next().unwrap_or_default());
    }
    Some(message).filter(|it| !it.is_empty()).map(Value::from)
}

/// Labels as the data of a filter.
pub(super) fn labels(labels: &[(Name, Name)]) -> Value {
    let entries = labels.iter();
    let entries = entries.map(|(key, value)| (key.to_string(), Value::from(&**value)));
    Value::Object(entries.collect())
}

/// What stands between the anchors that a compiled pattern has around it.
pub(super) fn pattern(regex: &Regex) -> &str {
    let text = regex.as_str();
    let inner = text.strip_prefix("^(?:");
    let inner =
        inner.and_then(|inner| inner.strip_suffix(")$").or_else(|| inner.strip_suffix(')')));
    inner.unwrap_or(text)
}

/// `type.matcher.v3.RegexMatcher`.
pub(super) fn regex(pattern: &str) -> Value {
    json!({"regex": pattern})
}

/// `type.matcher.v3.StringMatcher`; none where the text is not compared as text.
pub(super) fn string_match(matches: &TextMatch, ignore_case: bool) -> Option<Value> {
    let mut message = Message::default();
    match matches {
        TextMatch::Exact(text) => message.set("exact", &**text),
        // Envoy takes no empty ones; they hold of every text
        TextMatch::Prefix(text) | TextMatch::Suffix(text) | TextMatch::Contains(text)
            if text.is_empty() =>
        {
            message.set("safe_regex", regex("(?s:.*)"));
        }
        TextMatch::Prefix(text) => message.set("prefix", &**text),
        TextMatch::Suffix(text) => message.set("suffix", &**text),
        TextMatch::Contains(text) => message.set("contains", &**text),
        TextMatch::Regex(compiled) => message.set("safe_regex", regex(pattern(compiled))),
        TextMatch::Range(..) | TextMatch::Address(_) | TextMatch::Present => return None,
    }
    // a regular expression has a case of its own, and Envoy takes none that is to have another
    let is_pattern = message.has("safe_regex");
    message.flag("ignore_case", ignore_case && !is_pattern);
    Some(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_as_many_digits_as_they_need() {
        for (nanos, text) in [
            (0, "0s"),
            (15_000_000_000, "15s"),
            (250_000_000, "0.25s"),
            (1_000_000_001, "1.000000001s"),
            (u64::MAX, "9223372035s"),
        ] {
            assert_eq!(length(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn shares_have_the_coarsest_denominator_that_is_exact() {
        for (parts, text) in [
            (1_000_000, r#"{"denominator":"HUNDRED","numerator":100}"#),
            (500, r#"{"denominator":"TEN_THOUSAND","numerator":5}"#),
            (7, r#"{"denominator":"MILLION","numerator":7}"#),
            (0, r#"{"denominator":"HUNDRED","numerator":0}"#),
        ] {
            assert_eq!(fraction(Share::from_ppm(parts)).to_string(), text);
        }
    }

    #[test]
    fn localities_fall_into_their_parts() {
        for (name, text) in [
            ("r", r#"{"region":"r"}"#),
            ("r/z/s", r#"{"region":"r","sub_zone":"s","zone":"z"}"#),
            ("/z", r#"{"zone":"z"}"#),
            ("r/z/s/t", r#"{"region":"r","sub_zone":"s/t","zone":"z"}"#),
        ] {
            assert_eq!(locality(name).unwrap().to_string(), text);
        }
        assert_eq!(locality(""), None);
    }
}
