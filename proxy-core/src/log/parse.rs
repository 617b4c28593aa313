//! Formats as people write them.
//!
//! Source: envoy `source/common/formatter/substitution_formatter.cc` (1.40): `%NAME%`, `%NAME(parameters)%`, `%NAME(parameters):length%`;
//! `%%` is a percent sign.

mod absent;

use absent::{ABSENT, Takes};
use thiserror::Error;

use super::format::{Piece, Template};
use super::operator::{
    AddressPart, Certificate, End, GrpcForm, HeaderBytes, Moment, Operator, PathKind, Subject,
    TimeUnit, TlsFact, Wanted, Whose,
};
use super::strftime::TimeFormat;

/// Why a format is none. `at` counts bytes.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FormatError {
    /// A percent sign begins nothing.
    #[error("byte {at}: `%` begins no operator; a percent sign is written `%%`")]
    NoOperator {
        /// Where.
        at: usize,
    },
    /// There is no such operator.
    #[error("byte {at}: there is no operator `{name}`")]
    Unknown {
        /// Where.
        at: usize,
        /// What is written.
        name: Box<str>,
    },
    /// It needs parameters.
    #[error("byte {at}: `{name}` needs parameters")]
    NoParameters {
        /// Where.
        at: usize,
        /// Which.
        name: Box<str>,
    },
    /// It takes none.
    #[error("byte {at}: `{name}` takes no parameters")]
    Parameters {
        /// Where.
        at: usize,
        /// Which.
        name: Box<str>,
    },
    /// It takes no length.
    #[error("byte {at}: `{name}` takes no length")]
    Length {
        /// Where.
        at: usize,
        /// Which.
        name: Box<str>,
    },
    /// Its parameters are not of the kind that it takes.
    #[error("byte {at}: `{name}` does not take `{parameters}`: {want}")]
    BadParameters {
        /// Where.
        at: usize,
        /// Which.
        name: Box<str>,
        /// What is written.
        parameters: Box<str>,
        /// What it takes.
        want: &'static str,
    },
}

/// Something that Envoy has and this node does not: it says nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unmodelled {
    /// As it is written.
    pub what: Box<str>,
    /// What stands in its place.
    pub meaning: &'static str,
}

/// What a format says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parsed {
    /// Text and operators.
    pub template: Template,
    /// What is understood and not modelled.
    pub unmodelled: Vec<Unmodelled>,
}

/// Reads a format.
///
/// # Errors
/// Where Envoy would refuse it.
pub fn parse(text: &str) -> Result<Parsed, FormatError> {
    let mut out = Parsed::default();
    let mut at = 0;
    while let Some(percent) = text[at..].find('%') {
        push_text(&text[at..at + percent], &mut out);
        at += percent;
        if text[at + 1..].starts_with('%') {
            push_text("%", &mut out);
            at += 2;
            continue;
        }
        let command = Command::read(text, at).ok_or(FormatError::NoOperator { at })?;
        let operator = command.operator(&mut out.unmodelled)?;
        let piece = Piece::Operator(operator, command.length);
        out.template.0.push(piece);
        at = command.end;
    }
    push_text(&text[at..], &mut out);
    Ok(out)
}

fn push_text(text: &str, out: &mut Parsed) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(before)) = out.template.0.last_mut() {
        *before = format!("{before}{text}").into();
    } else {
        out.template.0.push(Piece::Text(text.into()));
    }
}

/// An operator as it is written.
#[derive(Clone, Copy)]
struct Command<'t> {
    at: usize,
    end: usize,
    name: &'t str,
    parameters: &'t str,
    length: Option<usize>,
}

const DASH: &str = "a dash stands in its place";

impl<'t> Command<'t> {
    /// The command that the percent sign `at` begins.
    fn read(text: &'t str, at: usize) -> Option<Self> {
        let rest = &text[at + 1..];
        let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let length = rest.bytes().take_while(|b| is_name(*b)).count();
        let (name, rest) = rest.split_at(length);
        if name.is_empty() {
            return None;
        }
        let from = at + 1 + length;
        if let Some(inside) = rest.strip_prefix('(') {
            // the first bracket that could end it does
            let mut brackets = inside.match_indices(')');
            return brackets.find_map(|(close, _)| {
                let (length, taken) = length_and_end(&inside[close + 1..])?;
                let parameters = &inside[..close];
                (!parameters.contains('\n')).then_some(Self {
                    at,
                    end: from + 1 + close + 1 + taken,
                    name,
                    parameters,
                    length,
                })
            });
        }
        let (length, taken) = length_and_end(rest)?;
        Some(Self {
            at,
            end: from + taken,
            name,
            parameters: "",
            length,
        })
    }

    fn name(&self) -> Box<str> {
        self.name.into()
    }

    fn bad(&self, want: &'static str) -> FormatError {
        FormatError::BadParameters {
            at: self.at,
            name: self.name(),
            parameters: self.parameters.into(),
            want,
        }
    }

    fn check(&self, takes: Takes, length: bool) -> Result<(), FormatError> {
        let (at, name) = (self.at, self.name());
        match takes {
            Takes::Nothing if !self.parameters.is_empty() => {
                return Err(FormatError::Parameters { at, name });
            }
            Takes::Needed if self.parameters.is_empty() => {
                return Err(FormatError::NoParameters { at, name });
            }
            Takes::Nothing | Takes::Optional | Takes::Needed => {}
        }
        if self.length.is_some() && !length {
            return Err(FormatError::Length { at, name });
        }
        Ok(())
    }

    fn operator(&self, unmodelled: &mut Vec<Unmodelled>) -> Result<Operator, FormatError> {
        if let Some(operator) = plain(self.name) {
            self.check(Takes::Nothing, false)?;
            return Ok(operator);
        }
        match self.name {
            "START_TIME" | "EMIT_TIME" => self.time(unmodelled),
            "REQ" | "REQUEST_HEADER" => Ok(Operator::RequestHeader(self.wanted()?)),
            "RESP" | "RESPONSE_HEADER" => Ok(Operator::ResponseHeader(self.wanted()?)),
            "TRAILER" | "RESPONSE_TRAILER" => Ok(Operator::ResponseTrailer(self.wanted()?)),
            "ENVIRONMENT" => {
                self.check(Takes::Needed, true)?;
                Ok(Operator::Environment(self.parameters.into()))
            }
            "QUERY_PARAM" => {
                self.check(Takes::Needed, true)?;
                Ok(Operator::QueryParameter(self.parameters.into()))
            }
            "QUERY_PARAMS" => {
                self.check(Takes::Optional, true)?;
                match self.parameters {
                    "" | "ORIG" => Ok(Operator::Query),
                    "DECODED" => {
                        let meaning = "the query stands as it came";
                        self.leave_out(meaning, unmodelled);
                        Ok(Operator::Query)
                    }
                    _ => Err(self.bad("`ORIG` or `DECODED`")),
                }
            }
            "PATH" => self.path(),
            "RESPONSE_CODE_DETAILS" => {
                self.check(Takes::Optional, false)?;
                let blanks = self.parameters == "ALLOW_WHITESPACES";
                Ok(Operator::ResponseCodeDetails { blanks })
            }
            "GRPC_STATUS" => {
                self.check(Takes::Optional, false)?;
                let form = match self.parameters {
                    "" | "CAMEL_STRING" => GrpcForm::Camel,
                    "SNAKE_STRING" => GrpcForm::Snake,
                    "NUMBER" => GrpcForm::Number,
                    _ => return Err(self.bad("`CAMEL_STRING`, `SNAKE_STRING` or `NUMBER`")),
                };
                Ok(Operator::GrpcStatus(form))
            }
            "COMMON_DURATION" => self.common_duration(unmodelled),
            name => self.address_or_other(name, unmodelled),
        }
    }

    fn leave_out(&self, meaning: &'static str, unmodelled: &mut Vec<Unmodelled>) {
        let what = if self.parameters.is_empty() {
            self.name()
        } else {
            format!("{}({})", self.name, self.parameters).into()
        };
        unmodelled.push(Unmodelled { what, meaning });
    }

    fn time(&self, unmodelled: &mut Vec<Unmodelled>) -> Result<Operator, FormatError> {
        self.check(Takes::Optional, false)?;
        if asks_for_newline(self.parameters) {
            return Err(self.bad("a time without line ends"));
        }
        let format = if self.parameters.is_empty() {
            TimeFormat::standard()
        } else {
            let (format, unknown) = TimeFormat::parse(self.parameters);
            for what in unknown {
                let meaning = "it stands as it is written";
                unmodelled.push(Unmodelled { what, meaning });
            }
            format
        };
        Ok(match self.name {
            "START_TIME" => Operator::StartTime(format),
            _ => Operator::EmitTime(format),
        })
    }

    fn wanted(&self) -> Result<Wanted, FormatError> {
        self.check(Takes::Needed, true)?;
        let mut names = self.parameters.split('?');
        let name = names.next().unwrap_or_default();
        let otherwise = names.next().filter(|name| !name.is_empty());
        if names.next().is_some() {
            return Err(self.bad("a header, and perhaps another behind a question mark"));
        }
        let is_name = |name: &str| {
            let name = name.strip_prefix(':').unwrap_or(name);
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        if !is_name(name) || !otherwise.is_none_or(is_name) {
            return Err(self.bad("the names of headers"));
        }
        let lower = |name: &str| match name.to_ascii_lowercase() {
            host if host == "host" => ":authority".into(),
            other => other.into(),
        };
        Ok(Wanted {
            name: lower(name),
            otherwise: otherwise.map(lower),
        })
    }

    fn path(&self) -> Result<Operator, FormatError> {
        self.check(Takes::Optional, true)?;
        let mut options = self.parameters.splitn(2, ':');
        let query = match options.next().unwrap_or_default() {
            "" | "WQ" => true,
            "NQ" => false,
            _ => return Err(self.bad("`WQ` or `NQ`")),
        };
        let kind = match options.next().unwrap_or_default() {
            "" | "ORIG_OR_PATH" => PathKind::OriginalOrRewritten,
            "ORIG" => PathKind::Original,
            "PATH" => PathKind::Rewritten,
            _ => return Err(self.bad("`ORIG`, `PATH` or `ORIG_OR_PATH`")),
        };
        Ok(Operator::Path { kind, query })
    }

    fn common_duration(&self, unmodelled: &mut Vec<Unmodelled>) -> Result<Operator, FormatError> {
        self.check(Takes::Needed, false)?;
        let parts: Vec<&str> = self.parameters.split(':').collect();
        let want = "two moments and `ms`, `us` or `ns`, with colons between";
        let [from, to, unit] = parts[..] else {
            return Err(self.bad(want));
        };
        let unit = match unit {
            "ms" => TimeUnit::Millis,
            "us" => TimeUnit::Micros,
            "ns" => TimeUnit::Nanos,
            _ => return Err(self.bad(want)),
        };
        let (Some(from), Some(to)) = (Moment::parse(from), Moment::parse(to)) else {
            self.leave_out(DASH, unmodelled);
            return Ok(Operator::Absent);
        };
        Ok(Operator::Lasted { from, to, unit })
    }

    fn address_or_other(
        &self,
        name: &str,
        unmodelled: &mut Vec<Unmodelled>,
    ) -> Result<Operator, FormatError> {
        if let Some(whose) = without_port(name) {
            self.check(Takes::Optional, false)?;
            if self.parameters.is_empty() {
                return Ok(Operator::Address(whose, AddressPart::WithoutPort));
            }
            self.leave_out(DASH, unmodelled);
            return Ok(Operator::Absent);
        }
        let Some((_, takes, length)) = ABSENT.iter().find(|(known, ..)| *known == name) else {
            return Err(FormatError::Unknown {
                at: self.at,
                name: name.into(),
            });
        };
        self.check(*takes, *length)?;
        self.leave_out(DASH, unmodelled);
        Ok(Operator::Absent)
    }
}

/// An optional length and the percent sign that ends a command, with the bytes that they take.
fn length_and_end(text: &str) -> Option<(Option<usize>, usize)> {
    if text.starts_with('%') {
        return Some((None, 1));
    }
    let digits = text.strip_prefix(':')?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let length = digits[..count].parse().ok()?;
    digits[count..]
        .starts_with('%')
        .then_some((Some(length), count + 2))
}

/// Whether a time format asks for a line end.
///
/// Source: envoy, `getSystemTimeFormatNewlinePattern`.
fn asks_for_newline(format: &str) -> bool {
    format.split('%').skip(1).any(|after| {
        let after = after.trim_start_matches(['-', '_', '0', '^', '#']);
        let after = after.trim_start_matches(|c: char| matches!(c, '1'..='9'));
        let after = after.strip_prefix(['E', 'O']).unwrap_or(after);
        after.starts_with('n')
    })
}

fn without_port(name: &str) -> Option<Whose> {
    Some(match name.strip_suffix("_WITHOUT_PORT")? {
        "DOWNSTREAM_REMOTE_ADDRESS" => Whose::Client,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Whose::Peer,
        "DOWNSTREAM_LOCAL_ADDRESS" => Whose::Local,
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS" => Whose::DirectLocal,
        "UPSTREAM_REMOTE_ADDRESS" => Whose::UpstreamPeer,
        "UPSTREAM_LOCAL_ADDRESS" => Whose::UpstreamLocal,
        _ => return None,
    })
}

/// Operators that stand alone.
fn plain(name: &str) -> Option<Operator> {
    let lasted = |from, to| Operator::Lasted {
        from,
        to,
        unit: TimeUnit::Millis,
    };
    Some(match name {
        "DURATION" => lasted(Moment::Start, Moment::End),
        "REQUEST_DURATION" => lasted(Moment::Start, Moment::RequestEnd),
        "REQUEST_TX_DURATION" => lasted(Moment::Start, Moment::UpstreamRequestEnd),
        "RESPONSE_DURATION" => lasted(Moment::Start, Moment::UpstreamResponseStart),
        "RESPONSE_TX_DURATION" => lasted(Moment::UpstreamResponseStart, Moment::ResponseEnd),
        "REQUEST_HEADERS_BYTES" => Operator::HeaderBytes(HeaderBytes::Request),
        "RESPONSE_HEADERS_BYTES" => Operator::HeaderBytes(HeaderBytes::Response),
        "RESPONSE_TRAILERS_BYTES" => Operator::HeaderBytes(HeaderBytes::Trailers),
        "PROTOCOL" => Operator::Protocol,
        "UPSTREAM_PROTOCOL" => Operator::UpstreamProtocol,
        "RESPONSE_CODE" => Operator::ResponseCode,
        "RESPONSE_FLAGS" => Operator::Flags { long: false },
        "RESPONSE_FLAGS_LONG" => Operator::Flags { long: true },
        "CONNECTION_TERMINATION_DETAILS" => Operator::ConnectionTerminationDetails,
        "BYTES_RECEIVED" => Operator::BytesReceived,
        "BYTES_SENT" => Operator::BytesSent,
        "LOCAL_REPLY_BODY" => Operator::LocalReplyBody,
        "ACCESS_LOG_TYPE" => Operator::AccessLogType,
        "GRPC_STATUS_NUMBER" => Operator::GrpcStatus(GrpcForm::Number),
        "UPSTREAM_HOST" => Operator::Address(Whose::Upstream, AddressPart::Whole),
        "UPSTREAM_HOST_NAME" => Operator::UpstreamHostName { port: true },
        "UPSTREAM_HOST_NAME_WITHOUT_PORT" => Operator::UpstreamHostName { port: false },
        "UPSTREAM_HOSTS_ATTEMPTED" => Operator::UpstreamHostsAttempted { port: true },
        "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT" => Operator::UpstreamHostsAttempted { port: false },
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Operator::UpstreamCluster,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Operator::UpstreamAttempts,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Operator::UpstreamTransportFailure,
        "UPSTREAM_CONNECTION_ID" => Operator::UpstreamConnectionId,
        "REQUESTED_SERVER_NAME" => Operator::RequestedServerName,
        "ROUTE_NAME" => Operator::RouteName,
        "VIRTUAL_CLUSTER_NAME" => Operator::VirtualClusterName,
        "FILTER_CHAIN_NAME" => Operator::FilterChainName,
        "CONNECTION_ID" => Operator::ConnectionId,
        "STREAM_ID" => Operator::StreamId,
        "UNIQUE_ID" => Operator::UniqueId,
        "HOSTNAME" => Operator::Hostname,
        _ => return address(name).or_else(|| tls(name)),
    })
}

fn address(name: &str) -> Option<Operator> {
    let (whose, part) = match name.strip_suffix("_PORT") {
        Some(whose) => (whose, AddressPart::Port),
        None => (name.strip_suffix("_ADDRESS")?, AddressPart::Whole),
    };
    let whose = match whose {
        "DOWNSTREAM_REMOTE" => Whose::Client,
        "DOWNSTREAM_DIRECT_REMOTE" => Whose::Peer,
        "DOWNSTREAM_LOCAL" => Whose::Local,
        "DOWNSTREAM_DIRECT_LOCAL" => Whose::DirectLocal,
        "UPSTREAM_REMOTE" => Whose::UpstreamPeer,
        "UPSTREAM_LOCAL" => Whose::UpstreamLocal,
        _ => return None,
    };
    Some(Operator::Address(whose, part))
}

fn tls(name: &str) -> Option<Operator> {
    let (end, rest) = match name.strip_prefix("DOWNSTREAM_") {
        Some(rest) => (End::Downstream, rest),
        None => (End::Upstream, name.strip_prefix("UPSTREAM_")?),
    };
    let fact = match (end, rest) {
        (_, "TLS_VERSION") => TlsFact::Version,
        (_, "TLS_CIPHER") => TlsFact::Cipher,
        (_, "PEER_SUBJECT") => TlsFact::Of(Certificate::Peer, Subject::Subject),
        (_, "PEER_ISSUER") => TlsFact::Of(Certificate::Peer, Subject::Issuer),
        (_, "PEER_URI_SAN") => TlsFact::Of(Certificate::Peer, Subject::Uris),
        (_, "PEER_DNS_SAN") => TlsFact::Of(Certificate::Peer, Subject::Names),
        (_, "LOCAL_URI_SAN") => TlsFact::Of(Certificate::Own, Subject::Uris),
        (_, "LOCAL_DNS_SAN") => TlsFact::Of(Certificate::Own, Subject::Names),
        (_, "PEER_CERT") => TlsFact::Of(Certificate::Peer, Subject::Pem),
        (End::Downstream, "LOCAL_SUBJECT") => TlsFact::Of(Certificate::Own, Subject::Subject),
        (End::Downstream, "PEER_SERIAL") => TlsFact::Of(Certificate::Peer, Subject::Serial),
        (End::Downstream, "PEER_FINGERPRINT_256") => {
            TlsFact::Of(Certificate::Peer, Subject::Fingerprint)
        }
        (End::Downstream, "PEER_FINGERPRINT_1") => {
            TlsFact::Of(Certificate::Peer, Subject::OldFingerprint)
        }
        _ => return None,
    };
    Some(Operator::Tls(end, fact))
}

#[cfg(test)]
mod tests;
