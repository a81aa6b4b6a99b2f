//! Reads HTTP/1.1 requests off a connection, within bounds.

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
pub(crate) enum Unreadable {
    /// The other side is gone or silent; there is nobody to response.
    Gone,
    /// It is no HTTP that this service speaks: response with this status, then close.
    Malformed(u16, &'static str),
}

/// A stream whose reads end at a deadline.
pub(crate) trait Deadline: Read {
    fn set_read_deadline(&mut self, deadline: Instant);
}

/// Reads one head; `None` when the connection ends between two requests.
pub(crate) fn read_head<S: Deadline>(from: &mut BufReader<S>) -> Result<Option<Head>, Unreadable> {
    from.get_mut().set_read_deadline(Instant::now() + IDLE);
    match from.fill_buf() {
        Ok([]) | Err(_) => return Ok(None),
        Ok(_) => {}
    }
    from.get_mut().set_read_deadline(Instant::now() + SLOWEST_HEAD);
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let start = bytes.len();
        read_line(from, &mut bytes, MAX_HEAD, TOO_LONG_HEAD)?;
        let blank = matches!(&bytes[start..], b"\r\n" | b"\n");
        if blank && start == 0 {
            // Some clients end a body with a line feed too many.
            bytes.clear();
        } else if blank {
            return parse_head(&bytes).map(Some);
        }
    }
}

/// Reads a body, keeping at most `limit` bytes of it. A longer one is read on and thrown away.
pub(crate) fn read_body<S: Deadline>(
    from: &mut BufReader<S>,
    framing: Framing,
    limit: u64,
    body: &mut Vec<u8>,
) -> Result<BodySize, Unreadable> {
    from.get_mut().set_read_deadline(Instant::now() + SLOWEST_BODY);
    let mut keeping = Keeping { limit, bytes: 0, body };
    match framing {
        Framing::Length(len) => keeping.read(from, len)?,
        Framing::Chunked => keeping.read_chunks(from)?,
    }
    Ok(BodySize { bytes: keeping.bytes, too_long: keeping.bytes > limit })
}

struct Keeping<'a> {
    limit: u64,
    bytes: u64,
    body: &'a mut Vec<u8>,
}

impl Keeping<'_> {
    fn read<S: Read>(&mut self, from: &mut BufReader<S>, len: u64) -> Result<(), Unreadable> {
        let room = self.limit.saturating_sub(self.bytes);
        let kept = len.min(room);
        self.bytes = self.bytes.saturating_add(len);
        if self.bytes > self.limit.saturating_add(MAX_DISCARDED) {
            return Err(Unreadable::Malformed(413, "The request is far too long."));
        }
        let before = self.body.len();
        self.body.reserve(usize::try_from(kept).unwrap_or(0));
        let read = from.take(kept).read_to_end(self.body);
        read.map_err(|_| Unreadable::Gone)?;
        if (self.body.len() - before) as u64 != kept {
            return Err(Unreadable::Gone);
        }
        let discarded = io::copy(&mut from.take(len - kept), &mut io::sink());
        match discarded {
            Ok(count) if count == len - kept => Ok(()),
            _ => Err(Unreadable::Gone),
        }
    }

    fn read_chunks<S: Read>(&mut self, from: &mut BufReader<S>) -> Result<(), Unreadable> {
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

fn skip_trailers<S: Read>(from: &mut BufReader<S>) -> Result<(), Unreadable> {
    let mut trailers = Vec::new();
    loop {
        let start = trailers.len();
        read_line(from, &mut trailers, MAX_HEAD, TOO_LONG_HEAD)?;
        if matches!(&trailers[start..], b"\r\n" | b"\n") {
            return Ok(());
        }
    }
}

/// Adds a line with its line feed, unless that makes more than `max` bytes.
fn read_line<S: Read>(
    from: &mut BufReader<S>,
    into: &mut Vec<u8>,
    max: usize,
    too_long: Unreadable,
) -> Result<(), Unreadable> {
    let room = max.saturating_sub(into.len()) as u64;
    let read = from.take(room).read_until(b'\n', into);
    match read {
        Ok(_) if into.ends_with(b"\n") => Ok(()),
        Ok(_) if into.len() >= max => Err(too_long),
        _ => Err(Unreadable::Gone),
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, Unreadable> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut storage);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LONG_HEAD),
        _ => return Err(Unreadable::Malformed(400, "The request is malformed.")),
    }
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_owned(), value)
        })
        .collect();
    let (path, query) = target(parsed.path.unwrap_or_default());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path,
        query,
        headers,
        body: Vec::new(),
        size: BodySize { bytes: 0, too_long: false },
    };
    let modern = parsed.version == Some(1);
    if modern && request.header("host").is_none() {
        return Err(Unreadable::Malformed(400, "The Host header is missing."));
    }
    Ok(Head {
        keep_alive: keeps_alive(&request, modern),
        expects_continue: modern && expects_continue(&request),
        framing: framing(&request)?,
        request,
    })
}

fn keeps_alive(request: &Request, modern: bool) -> bool {
    let mut tokens = request.header("connection").unwrap_or_default().split(',');
    let wanted = if modern { "close" } else { "keep-alive" };
    tokens.any(|token| token.trim().eq_ignore_ascii_case(wanted)) != modern
}

fn expects_continue(request: &Request) -> bool {
    let expect = request.header("expect").unwrap_or_default();
    expect.eq_ignore_ascii_case("100-continue")
}

/// Two ways to find the end of a body are one too many: a proxy might have taken the other.
fn framing(request: &Request) -> Result<Framing, Unreadable> {
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
        return Err(BAD_LENGTH);
    }
    let mut encodings = values("transfer-encoding");
    match (encodings.next(), length) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(length)) => {
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = digits.then(|| length.parse().ok()).flatten();
            length.map(Framing::Length).ok_or(BAD_LENGTH)
        }
        (Some(_), Some(_)) => Err(BAD_LENGTH),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && encodings.next().is_none() => {
            Ok(Framing::Chunked)
        }
        (Some(_), None) => Err(Unreadable::Malformed(501, "Unknown transfer encoding.")),
    }
}

/// Path and query of an origin-form or absolute-form target.
fn target(target: &str) -> (String, String) {
    let absolute = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let local = match absolute {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let local = local.split('#').next().unwrap_or(local);
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    (path.to_owned(), query.to_owned())
}

const BAD_CHUNK: Unreadable = Unreadable::Malformed(400, "A chunk is malformed.");
const BAD_LENGTH: Unreadable = Unreadable::Malformed(400, "The length of the body is not clear.");
const TOO_LONG_HEAD: Unreadable = Unreadable::Malformed(431, "The head is too long.");
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_CHUNK_LINE: usize = 4 * 1024;
/// What is read on after a body proved too long, so that its sender gets to see the response.
const MAX_DISCARDED: u64 = 256 << 20;
const IDLE: Duration = Duration::from_secs(120);
const SLOWEST_HEAD: Duration = Duration::from_secs(10);
const SLOWEST_BODY: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(io::Cursor<Vec<u8>>);

    impl Read for Bytes {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Deadline for Bytes {
        fn set_read_deadline(&mut self, _: Instant) {}
    }

    fn reader(bytes: &[u8]) -> BufReader<Bytes> {
        BufReader::new(Bytes(io::Cursor::new(bytes.to_vec())))
    }

    fn status(bytes: &[u8]) -> Option<u16> {
        match read_head(&mut reader(bytes)) {
            Err(Unreadable::Malformed(status, _)) => Some(status),
            _ => None,
        }
    }

    #[test]
    fn a_head_is_taken_apart() {
        let mut from = reader(b"\r\nPUT /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET");
        let head = read_head(&mut from).unwrap().unwrap();
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
        assert!(read_head(&mut reader(b"")).unwrap().is_none());
        assert!(matches!(read_head(&mut reader(b"GET / HT")), Err(Unreadable::Gone)));
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
            assert!(matches!(read, Err(Unreadable::Malformed(400, _))), "{wrong:?}");
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
        assert!(matches!(cut, Err(Unreadable::Gone)));
        let huge = read_body(&mut reader(b"abc"), Framing::Length(u64::MAX), 9, &mut Vec::new());
        assert!(matches!(huge, Err(Unreadable::Malformed(413, _))));
    }
}
