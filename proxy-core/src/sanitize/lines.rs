//! The header lines of a request in one look: what is there, how much it is, and what must not pass.

use smallvec::SmallVec;

use crate::config::{HeadRules, Underscores};
use crate::heads::{ArrivingHead, Field, FieldSet, Version};
use crate::reply::BadHead;

/// What `Connection` may name, no more.
///
/// Source: envoy `source/common/http/utility.cc` (`sanitizeConnectionHeader`, `MAX_ALLOWED_NOMINATED_HEADERS`).
const NAMED_AT_MOST: usize = 10;
/// A longer `TE` is refused where `Connection` names it.
const LONGEST_TE: usize = 256;

/// What a request's header lines have.
#[derive(Debug, Default)]
pub(super) struct Lines {
    known: FieldSet,
    repeated: FieldSet,
}

impl Lines {
    /// Looks at all lines; takes out those with an underscore where they are not to pass.
    pub(super) fn of(head: &mut impl ArrivingHead, rules: &HeadRules) -> Result<Self, BadHead> {
        let mut lines = Self::default();
        let looks_for_underscores = rules.underscores != Underscores::Allow;
        let mut underscored: SmallVec<[Box<str>; 2]> = SmallVec::new();
        let start = Start::of(head);
        let (mut count, mut bytes) = (start.count, start.bytes);
        head.each_line(|name, value| {
            count += 1;
            bytes += name.len() + value.len() + start.bytes_of_line;
            lines.see(name);
            if looks_for_underscores && name.contains('_') {
                underscored.push(name.into());
            }
        });
        if count > rules.limits.headers || bytes as u64 > rules.limits.bytes {
            return Err(BadHead::TooLarge);
        }
        if !underscored.is_empty() && rules.underscores == Underscores::Reject {
            return Err(BadHead::Underscore);
        }
        for name in &underscored {
            head.remove(name);
        }
        Ok(lines)
    }

    #[inline]
    fn see(&mut self, name: &str) {
        if let Some(field) = Field::of(name)
            && self.known.insert(field)
        {
            self.repeated.insert(field);
        }
    }

    pub(super) const fn has(&self, field: Field) -> bool {
        self.known.has(field)
    }

    pub(super) const fn has_any(&self, fields: FieldSet) -> bool {
        !self.known.and(fields).is_empty()
    }

    pub(super) const fn repeats(&self, field: Field) -> bool {
        self.repeated.has(field)
    }

    /// As if none of these had been there.
    pub(super) const fn without(&self, fields: FieldSet) -> Self {
        Self {
            known: self.known.without(fields),
            repeated: self.repeated.without(fields),
        }
    }

    /// Takes out of `head` what it has of these.
    pub(super) fn remove(&self, fields: FieldSet, head: &mut impl ArrivingHead) {
        for field in self.known.and(fields).iter() {
            head.remove_field(field);
        }
    }

    /// Takes out what `Connection` names. A client must not hide by it where a request comes from.
    ///
    /// Source: envoy `source/common/http/utility.cc` (`sanitizeConnectionHeader`).
    pub(super) fn drop_named(&mut self, head: &mut impl ArrivingHead) -> Result<(), BadHead> {
        if !self.has(Field::Connection) || head.version() == Version::Http2 {
            return Ok(());
        }
        let (mut count, mut named) = (0, SmallVec::<[Box<str>; 4]>::new());
        head.each_line(|name, value| {
            if name == Field::Connection.name() {
                for token in tokens(value) {
                    count += 1;
                    let is_option = ["close", "keep-alive"]
                        .iter()
                        .any(|option| token.eq_ignore_ascii_case(option.as_bytes()));
                    if !is_option {
                        let token = String::from_utf8_lossy(token);
                        named.push(token.to_ascii_lowercase().into());
                    }
                }
            }
        });
        if count >= NAMED_AT_MOST {
            return Err(BadHead::Connection);
        }
        if named.is_empty() {
            return Ok(());
        }
        for name in named {
            match Field::of(&name) {
                Some(Field::ForwardedFor | Field::ForwardedHost | Field::ForwardedProto) => {
                    return Err(BadHead::Connection);
                }
                Some(Field::Te) => {
                    let te = head.last(Field::Te);
                    if te.is_some_and(|te| te.len() >= LONGEST_TE) {
                        return Err(BadHead::Connection);
                    }
                }
                Some(Field::Connection) => {}
                None if name.starts_with(':') => return Err(BadHead::Connection),
                None if &*name == "host" => return Err(BadHead::NoHost),
                Some(_) | None => head.remove(&name),
            }
        }
        *self = Self::default();
        head.each_line(|name, _| self.see(name));
        Ok(())
    }

    /// Of `TE` only `trailers` means anything to the next.
    ///
    /// Source: envoy `sanitizeTEHeader`.
    pub(super) fn sanitize_te(&self, head: &mut impl ArrivingHead) {
        if !self.has(Field::Te) {
            return;
        }
        let mut trailers = false;
        head.each_line(|name, value| {
            if name == Field::Te.name() {
                trailers |= tokens(value).any(|token| token == b"trailers");
            }
        });
        if trailers {
            head.set_const(Field::Te, "trailers");
        } else {
            head.remove_field(Field::Te);
        }
    }
}

/// The members of a list, empty ones left out.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !token.is_empty())
}

/// What stands before the header lines, and how a line is counted.
///
/// Source: envoy's codecs as 1.40.0 was seen to count: on HTTP/1 the bytes as they came, on HTTP/2 names and values.
/// Departs: on HTTP/1 one space after each colon is taken for granted.
struct Start {
    count: u32,
    bytes: usize,
    bytes_of_line: usize,
}

impl Start {
    fn of(head: &impl ArrivingHead) -> Self {
        let (method, path) = (head.method().len(), head.path().len());
        if head.version() < Version::Http2 {
            return Self {
                count: 0,
                bytes: method + path + "  HTTP/1.1\r\n\r\n".len(),
                bytes_of_line: ": \r\n".len(),
            };
        }
        let authority = head.authority();
        let scheme = head.scheme().unwrap_or("http");
        let of_authority = authority.map_or(0, |it| ":authority".len() + it.len());
        Self {
            count: 3 + u32::from(authority.is_some()),
            bytes: ":method:path:scheme".len() + method + path + scheme.len() + of_authority,
            bytes_of_line: 0,
        }
    }
}
