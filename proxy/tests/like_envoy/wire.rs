//! HTTP/1.1 as it is on the wire, without an opinion about it.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection, and what was read of it beyond the last message.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A head: its first line and its header lines.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) lines: Vec<(String, String)>,
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    Length(usize),
    Chunks,
    /// With the connection.
    Close,
}

/// A body as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) whole: bool,
}

impl Head {
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter();
        let line = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.as_str())
    }

    fn is_chunked(&self) -> bool {
        let coding = self.value("transfer-encoding").unwrap_or_default();
        coding.to_ascii_lowercase().contains("chunked")
    }

    fn length(&self) -> Option<usize> {
        self.value("content-length")?.trim().parse().ok()
    }

    /// Of a request.
    pub(crate) fn framing_of_request(&self) -> Framing {
        if self.is_chunked() {
            Framing::Chunks
        } else {
            Framing::Length(self.length().unwrap_or(0))
        }
    }

    /// Of a response to a request of `method`.
    pub(crate) fn framing_of_response(&self, method: &str, status: u16) -> Framing {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            Framing::Length(0)
        } else if self.is_chunked() {
            Framing::Chunks
        } else {
            self.length().map_or(Framing::Close, Framing::Length)
        }
    }

    /// Whether the connection ends with the message.
    pub(crate) fn closes(&self) -> bool {
        self.value("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Wire {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.read).await
    }

    /// Done when there is something to read, or the connection has ended.
    pub(crate) async fn wait(&self) {
        let _ = self.stream.readable().await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next head; none: the connection ended before it was whole.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let end = self.read.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Ok(Some(parse(&head)));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What has come, or what comes next; none: the connection has ended.
    pub(crate) async fn some(&mut self) -> Option<Vec<u8>> {
        if self.read.is_empty() && !self.fill().await.is_ok_and(|read| read > 0) {
            return None;
        }
        Some(std::mem::take(&mut self.read))
    }

    pub(crate) async fn body(&mut self, framing: Framing) -> Taken {
        let mut taken = Taken::default();
        let whole = match framing {
            Framing::Length(length) => self.exactly(length, &mut taken.bytes).await,
            Framing::Chunks => self.chunks(&mut taken).await,
            Framing::Close => self.rest(&mut taken.bytes).await,
        };
        taken.whole = whole.unwrap_or(false);
        taken
    }

    /// Whether all of `length` bytes came.
    async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        let wanted = into.len() + length;
        loop {
            let some = self.read.len().min(wanted - into.len());
            into.extend(self.read.drain(..some));
            if into.len() == wanted {
                return Ok(true);
            }
            if self.fill().await? == 0 {
                return Ok(false);
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Ok(Some(latin1(&line[..end])));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn chunks(&mut self, taken: &mut Taken) -> io::Result<bool> {
        loop {
            let Some(line) = self.line().await? else {
                return Ok(false);
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return Ok(false);
            };
            if size == 0 {
                break;
            }
            if !self.exactly(size, &mut taken.bytes).await? || self.line().await?.is_none() {
                return Ok(false);
            }
        }
        loop {
            match self.line().await? {
                None => return Ok(false),
                Some(line) if line.is_empty() => return Ok(true),
                Some(line) => taken.trailers.extend(pair(&line)),
            }
        }
    }

    async fn rest(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        while self.fill().await? > 0 {}
        into.append(&mut self.read);
        Ok(true)
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn pair(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

fn parse(bytes: &[u8]) -> Head {
    let text = latin1(bytes);
    let mut lines = text.split("\r\n");
    Head {
        first: lines.next().unwrap_or_default().to_owned(),
        lines: lines.filter_map(pair).collect(),
    }
}

/// A body in the framing that was told.
pub(crate) fn framed(chunked: bool, body: &[u8], trailers: &[(String, String)]) -> Vec<u8> {
    if !chunked {
        return body.to_vec();
    }
    let mut out = Vec::new();
    if !body.is_empty() {
        out.extend(format!("{:x}\r\n", body.len()).bytes());
        out.extend(body);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n");
    for (name, value) in trailers {
        out.extend(format!("{name}: {value}\r\n").bytes());
    }
    out.extend(b"\r\n");
    out
}
