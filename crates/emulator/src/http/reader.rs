//! Reads HTTP/1.1 requests off a connection, within bounds of size and time.

use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use crate::http::request::{BodySize, Request};

/// The head of a request, and how its body is framed.
pub(crate) struct Head {
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// Why no request could be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client closed the connection or went silent, between two requests or within one. There is nothing to respond
    /// to.
    Closed,
    /// What came is not HTTP as this server speaks it: it responds with this status and closes the connection.
    Malformed { status: u16, message: &'static str },
}

/// A stream whose reads end at a deadline.
pub(crate) trait ReadDeadline: Read {
    fn set_read_deadline(&mut self, deadline: Instant);
}

/// Reads the head of the next request.
pub(crate) fn read_head<S: ReadDeadline>(from: &mut BufReader<S>) -> Result<Head, ReadError> {
    from.get_mut().set_read_deadline(Instant::now() + IDLE_TIMEOUT);
    match from.fill_buf() {
        Ok([]) | Err(_) => return Err(ReadError::Closed),
        Ok(_) => {}
    }
    // The clock of a head starts with its first byte: until then the connection is merely idle.
    from.get_mut().set_read_deadline(Instant::now() + HEAD_TIMEOUT);
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let start = bytes.len();
        read_line(from, &mut bytes, MAX_HEAD, HEAD_TOO_LONG)?;
        let is_blank = matches!(&bytes[start..], b"\r\n" | b"\n");
        if is_blank && start == 0 {
            // Some clients end a body with a line feed too many (RFC 9112, section 2.2).
            bytes.clear();
        } else if is_blank {
            return parse_head(&bytes);
        }
    }
}

/// Reads a body and keeps at most `limit` bytes of it. The rest of a longer one is read and thrown away: many clients
/// look at the response only after they sent everything, and the connection can be used again.
pub(crate) fn read_body<S: ReadDeadline>(
    from: &mut BufReader<S>,
    framing: Framing,
    limit: u64,
    body: &mut Vec<u8>,
) -> Result<BodySize, ReadError> {
    from.get_mut().set_read_deadline(Instant::now() + BODY_TIMEOUT);
    let mut reader = BodyReader { limit, bytes: 0, body };
    match framing {
        Framing::Length(len) => reader.read(from, len)?,
        Framing::Chunked => reader.read_chunks(from)?,
    }
    Ok(BodySize { bytes: reader.bytes, too_long: reader.bytes > limit })
}

struct BodyReader<'a> {
    limit: u64,
    /// Read so far, thrown away or not.
    bytes: u64,
    body: &'a mut Vec<u8>,
}

impl BodyReader<'_> {
    fn read<S: Read>(&mut self, from: &mut BufReader<S>, len: u64) -> Result<(), ReadError> {
        let room = self.limit.saturating_sub(self.bytes);
        let kept = len.min(room);
        self.bytes = self.bytes.saturating_add(len);
        if self.bytes > self.limit.saturating_add(MAX_DISCARDED) {
            return Err(ReadError::Malformed { status: 413, message: "The request is far too long." });
        }
        let before = self.body.len();
        self.body.reserve(usize::try_from(kept).unwrap_or(0));
        let read = from.take(kept).read_to_end(self.body);
        read.map_err(|_| ReadError::Closed)?;
        if (self.body.len() - before) as u64 != kept {
            return Err(ReadError::Closed);
        }
        let discarded = io::copy(&mut from.take(len - kept), &mut io::sink());
        match discarded {
            Ok(count) if count == len - kept => Ok(()),
            _ => Err(ReadError::Closed),
        }
    }

    fn read_chunks<S: Read>(&mut self, from: &mut BufReader<S>) -> Result<(), ReadError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            read_line(from, &mut line, MAX_CHUNK_LINE, BAD_CHUNK)?;
            let len = match httparse::parse_chunk_size(&line) {
                Ok(httparse::Status::Complete((_, len))) => len,
                _ => return Err(BAD_CHUNK),
            };
            if len == 0 {
                return skip_trailers(from);
            }
            self.read(from, len)?;
            line.clear();
            read_line(from, &mut line, 2, BAD_CHUNK)?;
            if !matches!(line.as_slice(), b"\r\n" | b"\n") {
                return Err(BAD_CHUNK);
            }
        }
    }
}

fn skip_trailers<S: Read>(from: &mut BufReader<S>) -> Result<(), ReadError> {
    let mut trailers = Vec::new();
    loop {
        let start = trailers.len();
        read_line(from, &mut trailers, MAX_HEAD, HEAD_TOO_LONG)?;
        if matches!(&trailers[start..], b"\r\n" | b"\n") {
            return Ok(());
        }
    }
}

/// Adds a line with its line feed, unless `into` would become longer than `max` bytes.
fn read_line<S: Read>(
    from: &mut BufReader<S>,
    into: &mut Vec<u8>,
    max: usize,
    too_long: ReadError,
) -> Result<(), ReadError> {
    let room = max.saturating_sub(into.len()) as u64;
    let read = from.take(room).read_until(b'\n', into);
    match read {
        Ok(_) if into.ends_with(b"\n") => Ok(()),
        Ok(_) if into.len() >= max => Err(too_long),
        _ => Err(ReadError::Closed),
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, ReadError> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut storage);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LONG),
        _ => return Err(malformed("The request is malformed.")),
    }
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| {
            // All headers that matter here are ASCII; others only have to be shown in the log.
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_owned(), value)
        })
        .collect();
    let (path, query) = split_target(parsed.path.unwrap_or_default());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path,
        query,
        headers,
        body: Vec::new(),
        size: BodySize { bytes: 0, too_long: false },
    };
    let is_http_1_1 = parsed.version == Some(1);
    if is_http_1_1 && request.header("host").is_none() {
        return Err(malformed("The Host header is missing."));
    }
    Ok(Head {
        keep_alive: keeps_alive(&request, is_http_1_1),
        expects_continue: is_http_1_1 && expects_continue(&request),
        framing: framing(&request)?,
        request,
    })
}

/// HTTP/1.1 keeps a connection unless told to close it, HTTP/1.0 closes it unless told to keep it.
fn keeps_alive(request: &Request, is_http_1_1: bool) -> bool {
    let mut options = request.header("connection").unwrap_or_default().split(',');
    let mut has = |wanted: &str| options.any(|option| option.trim().eq_ignore_ascii_case(wanted));
    if is_http_1_1 { !has("close") } else { has("keep-alive") }
}

fn expects_continue(request: &Request) -> bool {
    let expect = request.header("expect").unwrap_or_default();
    expect.eq_ignore_ascii_case("100-continue")
}

/// Refuses every head that leaves two ways to find the end of the body: a proxy on the way might take the other one,
/// and then one side reads a request where the other sees a body (request smuggling).
fn framing(request: &Request) -> Result<Framing, ReadError> {
    let values = |name: &'static str| {
        request
            .headers
            .iter()
            .filter(move |(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let mut lengths = values("content-length");
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return Err(UNCLEAR_LENGTH);
    }
    let mut encodings = values("transfer-encoding");
    match (encodings.next(), length) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(length)) => parse_length(length).map(Framing::Length).ok_or(UNCLEAR_LENGTH),
        (Some(_), Some(_)) => Err(UNCLEAR_LENGTH),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && encodings.next().is_none() => {
            Ok(Framing::Chunked)
        }
        (Some(_), None) => Err(ReadError::Malformed { status: 501, message: "Unknown transfer encoding." }),
    }
}

/// Digits only: Rust would also take a plus sign, which other readers of the same bytes may not.
fn parse_length(length: &str) -> Option<u64> {
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| length.parse().ok()).flatten()
}

/// Path and query of an origin-form or absolute-form target.
fn split_target(target: &str) -> (String, String) {
    let absolute = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let local = match absolute {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    // No client may send a fragment, but some do, and it is not part of the path.
    let local = local.split('#').next().unwrap_or(local);
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    (path.to_owned(), query.to_owned())
}

const fn malformed(message: &'static str) -> ReadError {
    ReadError::Malformed { status: 400, message }
}

const BAD_CHUNK: ReadError = malformed("A chunk is malformed.");
const UNCLEAR_LENGTH: ReadError = malformed("The length of the body is not clear.");
const HEAD_TOO_LONG: ReadError = ReadError::Malformed { status: 431, message: "The head is too long." };
/// Room for long tokens and paths; the heads of known clients stay below 8 KiB.
const MAX_HEAD: usize = 32 * 1024;
/// Known clients send about a dozen.
const MAX_HEADERS: usize = 100;
/// A size takes a few bytes, but extensions may follow it, such as the signature of each chunk.
const MAX_CHUNK_LINE: usize = 4 * 1024;
/// How much of a body is read after it proved too long. It bounds the time that goes into it, and is far above what a
/// client sends by mistake.
const MAX_DISCARDED: u64 = 256 << 20;
/// Longer than clients usually keep idle connections, so that they close first and never send into a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A head fits into one packet; ten seconds allow for a busy machine and still end clients that trickle bytes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for the longest body on a busy machine.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(io::Cursor<Vec<u8>>);

    impl Read for Bytes {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl ReadDeadline for Bytes {
        fn set_read_deadline(&mut self, _: Instant) {}
    }

    fn reader(bytes: &[u8]) -> BufReader<Bytes> {
        BufReader::new(Bytes(io::Cursor::new(bytes.to_vec())))
    }

    fn status(bytes: &[u8]) -> Option<u16> {
        match read_head(&mut reader(bytes)) {
            Err(ReadError::Malformed { status, .. }) => Some(status),
            _ => None,
        }
    }

    #[test]
    fn a_head_is_taken_apart() {
        let mut from = reader(b"\r\nPUT /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET");
        let head = read_head(&mut from).unwrap();
        assert_eq!(head.request.method, "PUT");
        assert_eq!(head.request.path, "/a%2Fb");
        assert_eq!(head.request.query, "c=d");
        assert_eq!(head.request.header("HOST"), Some("x"));
        assert!(head.keep_alive);
        let mut body = Vec::new();
        let size = read_body(&mut from, head.framing, 3, &mut body).unwrap();
        assert_eq!((body.as_slice(), size.bytes, size.too_long), (&b"abc"[..], 3, false));
        assert_eq!(from.fill_buf().unwrap(), b"GET");
    }

    #[test]
    fn unclear_or_strange_heads_are_refused() {
        let with = |headers: &str| format!("GET / HTTP/1.1\r\n{headers}\r\n").into_bytes();
        assert_eq!(status(b"garbage\r\n\r\n"), Some(400));
        assert_eq!(status(&with("")), Some(400));
        assert_eq!(status(&with("Host: x\r\nContent-Length: -1\r\n")), Some(400));
        assert_eq!(status(&with("Host: x\r\nContent-Length: +1\r\n")), Some(400));
        assert_eq!(status(&with("Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n")), Some(400));
        assert_eq!(status(&with("Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n")), Some(400));
        assert_eq!(status(&with("Host: x\r\nTransfer-Encoding: gzip\r\n")), Some(501));
        assert_eq!(status(&with(&"A: b\r\n".repeat(101))), Some(431));
        assert_eq!(status(&with(&format!("A: {}\r\n", "b".repeat(40_000)))), Some(431));
        assert!(matches!(read_head(&mut reader(b"")), Err(ReadError::Closed)));
        assert!(matches!(read_head(&mut reader(b"GET / HT")), Err(ReadError::Closed)));
    }

    #[test]
    fn chunks_with_extensions_and_trailers_are_one_body() {
        let mut body = Vec::new();
        let mut from = reader(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\nnext");
        let size = read_body(&mut from, Framing::Chunked, 100, &mut body).unwrap();
        assert_eq!((body.as_slice(), size.bytes), (&b"abcde"[..], 5));
        assert_eq!(from.fill_buf().unwrap(), b"next");
        for wrong in [&b"x\r\nabc\r\n"[..], b"3\r\nabcd\r\n", b"ffffffffffffffffff\r\n"] {
            let read = read_body(&mut reader(wrong), Framing::Chunked, 100, &mut Vec::new());
            assert!(matches!(read, Err(ReadError::Malformed { status: 400, .. })), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_over_the_limit_is_read_and_thrown_away() {
        let mut body = Vec::new();
        let mut from = reader(b"abcdefnext");
        let size = read_body(&mut from, Framing::Length(6), 4, &mut body).unwrap();
        assert_eq!((body.as_slice(), size.bytes, size.too_long), (&b"abcd"[..], 6, true));
        assert_eq!(from.fill_buf().unwrap(), b"next");
        let cut = read_body(&mut reader(b"abc"), Framing::Length(4), 9, &mut Vec::new());
        assert!(matches!(cut, Err(ReadError::Closed)));
        let huge = read_body(&mut reader(b"abc"), Framing::Length(u64::MAX), 9, &mut Vec::new());
        assert!(matches!(huge, Err(ReadError::Malformed { status: 413, .. })));
    }
}
