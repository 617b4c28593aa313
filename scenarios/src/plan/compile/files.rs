//! Files beside the scenario: traces of requests and observed times.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifests::text::{SourceId, Span};
use proxy_core::time::{Duration, Time};

use super::Compiler;
use crate::format::Located;
use crate::format::scalars::{Bytes, Period, Scalar};
use crate::format::{Host, Method, Path};
use crate::plan::ids::RequestId;
use crate::plan::known::DEFAULT_NAMESPACE;
use crate::plan::load::TraceRow;
use crate::plan::workload::RequestTemplate;

/// After so many wrong lines the rest of a file is not looked at.
const MAX_WRONG_LINES: usize = 10;
/// The most lines of one file.
const MAX_LINES: usize = 20_000_000;

impl Compiler<'_> {
    fn open(&mut self, path: &Located<String>) -> Option<(SourceId, Arc<str>)> {
        match self.files.read(path) {
            Ok(text) if text.lines().count() > MAX_LINES => {
                let message = format!("`{}` has more than {MAX_LINES} lines", **path);
                self.error("file::too-long", message, path.span(), "this file");
                None
            }
            Ok(text) => {
                let text: Arc<str> = text.into();
                Some((self.sources.add(self.files.name(path), text.clone()), text))
            }
            Err(problem) => {
                let message = format!("`{}` cannot be read: {problem}", **path);
                self.error("file::unreadable", message, path.span(), "this file");
                None
            }
        }
    }

    /// One duration a line; empty lines and comments (`#`) are passed over.
    pub(super) fn observed(&mut self, path: &Located<String>) -> Option<Vec<f64>> {
        let (source, text) = self.open(path)?;
        let mut values = Vec::new();
        let mut wrong = 0;
        for (span, line) in lines(source, &text) {
            match Period::parse(line) {
                Ok(period) => values.push(period.0.as_nanos() as f64),
                Err(problem) => {
                    self.error("file::duration", problem, span, "this line");
                    wrong += 1;
                    if wrong == MAX_WRONG_LINES {
                        break;
                    }
                }
            }
        }
        (wrong == 0).then_some(values)
    }

    /// The rows of a trace in the order of time, and the requests that occur in it.
    pub(super) fn trace(
        &mut self,
        path: &Located<String>,
    ) -> Option<(Vec<TraceRow>, Vec<RequestId>)> {
        let (source, text) = self.open(path)?;
        let mut known: BTreeMap<(String, String, String, u64), RequestId> = BTreeMap::new();
        let mut rows = Vec::new();
        let mut wrong = 0;
        for (span, line) in lines(source, &text) {
            if rows.is_empty() && line.starts_with("time,") {
                continue;
            }
            match row(line) {
                Ok((at, request)) if at < Time::ZERO + self.duration => {
                    let request = match known.get(&request) {
                        Some(id) => *id,
                        None => {
                            let id = self.traced(&request);
                            known.insert(request, id);
                            id
                        }
                    };
                    rows.push(TraceRow { at, request });
                }
                Ok(_) => {}
                Err(problem) => {
                    self.error("trace::row", problem, span, "this line");
                    wrong += 1;
                    if wrong == MAX_WRONG_LINES {
                        break;
                    }
                }
            }
        }
        if wrong > 0 {
            return None;
        }
        if rows.is_empty() {
            let message = format!("`{}` has no request within the run", **path);
            self.error("trace::empty", message, path.span(), "this file");
            return None;
        }
        rows.sort_by_key(|row: &TraceRow| row.at);
        let mut requests: Vec<RequestId> = known.into_values().collect();
        requests.sort_unstable();
        Some((rows, requests))
    }

    fn traced(&mut self, (method, host, path, size): &(String, String, String, u64)) -> RequestId {
        let to = self.target(host, DEFAULT_NAMESPACE);
        self.requests.push(RequestTemplate {
            method: method.as_str().into(),
            authority: host.as_str().into(),
            path: path.as_str().into(),
            headers: Vec::new(),
            size: *size,
            to,
        });
        RequestId::at(self.requests.len() - 1)
    }
}

/// The lines with something on them, each with its place.
fn lines(source: SourceId, text: &str) -> impl Iterator<Item = (Span, &str)> {
    let mut start = 0;
    text.split('\n').filter_map(move |line| {
        let at = start;
        start += line.len() + 1;
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let trimmed = line.trim();
        let span = Span {
            source,
            start: place(at),
            end: place(at + line.trim_end().len()),
        };
        (!trimmed.is_empty() && !trimmed.starts_with('#')).then_some((span, trimmed))
    })
}

type Row = (Time, (String, String, String, u64));

/// `time,method,host,path[,size]`; the time as a duration or in seconds since the start.
fn row(line: &str) -> Result<Row, String> {
    let fields = fields(line)?;
    let (time, method, host, path, size) = match &fields[..] {
        [time, method, host, path] => (time, method, host, path, None),
        [time, method, host, path, size] => (time, method, host, path, Some(size)),
        _ => {
            return Err(format!(
                "a row has the columns `time,method,host,path` and maybe `size`, this one has {}",
                fields.len()
            ));
        }
    };
    let at = match time.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Duration::from_secs_f64(seconds),
        Ok(_) => return Err(format!("`{time}` is not a time since the start")),
        Err(_) => Period::parse(time)?.0,
    };
    let size = size.map_or(Ok(0), |size| Bytes::parse(size).map(|size| size.0))?;
    let request = (
        Method::parse(method)?.0,
        Host::parse(host)?.0,
        Path::parse(path)?.0,
        size,
    );
    Ok((Time::ZERO + at, request))
}

/// Fields by RFC 4180, a row on one line.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let field = rest.trim_start();
        if let Some(quoted) = field.strip_prefix('"') {
            let mut text = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|next| next.1 == '"') => {
                        chars.next();
                        text.push('"');
                    }
                    Some((at, '"')) => break at,
                    Some((_, letter)) => text.push(letter),
                    None => return Err("a quote is not closed".to_owned()),
                }
            };
            fields.push(text);
            let after = quoted[end + 1..].trim_start();
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(fields),
                None => return Err("a comma is missing after a quote".to_owned()),
            }
        } else {
            match field.split_once(',') {
                Some((text, next)) => {
                    fields.push(text.trim_end().to_owned());
                    rest = next;
                }
                None => {
                    fields.push(field.trim_end().to_owned());
                    return Ok(fields);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_trace_have_four_columns_or_five() {
        let ok = |line: &str| row(line).unwrap_or_else(|problem| panic!("{line}: {problem}"));
        let (at, request) = ok("1.5, GET, api.example.com, /a?b=1");
        assert_eq!(at, Time::from_nanos(1_500_000_000));
        assert_eq!(
            request,
            (
                "GET".to_owned(),
                "api.example.com".to_owned(),
                "/a?b=1".to_owned(),
                0
            )
        );
        assert_eq!(
            ok("250ms,POST,a:8080,\"/x,y\",4KiB").1,
            (
                "POST".to_owned(),
                "a:8080".to_owned(),
                "/x,y".to_owned(),
                4096
            )
        );
        for wrong in [
            "1,GET,a",
            "x,GET,a,/",
            "-1,GET,a,/",
            "NaN,GET,a,/",
            "1,get,a,/",
            "1,GET,a b,/",
            "1,GET,a,x",
            "1,GET,a,/,-5",
            "1,GET,a,\"/",
            "1,GET,a,\"/\"x",
        ] {
            assert!(row(wrong).is_err(), "{wrong}");
        }
    }
}
