use std::fmt;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::refusal::Refusal;

/// A response, and its bytes on the wire.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    /// The connection closes after this response, and the head says so.
    is_last: bool,
}

/// A body that is written piece by piece, for one that would take much memory as a whole.
pub(crate) trait StreamedBody: fmt::Debug + Send {
    /// The number of bytes that [`write_to`](Self::write_to) writes.
    fn len(&self) -> u64;

    fn write_to(&self, to: &mut dyn Write) -> io::Result<()>;
}

#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    Streamed(Box<dyn StreamedBody>),
}

impl Response {
    pub(crate) fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self::new(status, content_type, Body::Bytes(body))
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().into_bytes())
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", body.into().into_bytes())
    }

    /// Without a body, and so without its type.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Bytes(Vec::new()), is_last: false }
    }

    pub(crate) fn streamed(content_type: &str, body: Box<dyn StreamedBody>) -> Self {
        Self::new(200, content_type, Body::Streamed(body))
    }

    /// The usual form of a refusal.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let body = json!({
            "code": refusal.code,
            "message": refusal.message,
            "data": null,
            "success": false,
        });
        Self::json(refusal.status, &body)
    }

    /// Only the name of the status, as text.
    pub(crate) fn status_name(status: u16) -> Self {
        Self::text(status, reason(status))
    }

    fn new(status: u16, content_type: &str, body: Body) -> Self {
        Self { status, headers: vec![header("content-type", content_type)], body, is_last: false }
    }

    /// Adds a header, in place of one of the same name.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.headers.push(header(name, value));
        self
    }

    /// Announces that the connection closes after this response.
    pub(crate) fn closing(mut self) -> Self {
        self.is_last = true;
        self
    }

    /// Writes the whole response.
    pub(crate) fn write(&self, to: &mut impl Write, clock: &Clock) -> io::Result<()> {
        let mut head = self.head(clock);
        match &self.body {
            Body::Bytes(body) => {
                // One write: with two, the second may wait for the other side to acknowledge the first.
                head.extend_from_slice(body);
                to.write_all(&head)?;
            }
            Body::Streamed(body) => {
                to.write_all(&head)?;
                body.write_to(to)?;
            }
        }
        to.flush()
    }

    /// Writes the head and half of the body, or half of the head when there is no body to halve.
    pub(crate) fn write_half(&self, to: &mut impl Write, clock: &Clock) -> io::Result<()> {
        let mut bytes = self.head(clock);
        match &self.body {
            Body::Bytes(body) if !body.is_empty() => {
                bytes.extend_from_slice(&body[..body.len() / 2]);
            }
            _ => bytes.truncate(bytes.len() / 2),
        }
        to.write_all(&bytes)?;
        to.flush()
    }

    /// A `date` or `connection` header that was set by hand, as faults do, replaces the server's own.
    fn head(&self, clock: &Clock) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut line = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        if !self.has("date") {
            line("date", &httpdate::fmt_http_date(clock.now()));
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        // These two statuses have no body, and a length would make some clients wait for one.
        if !matches!(self.status, 204 | 304) {
            line("content-length", &self.body.len().to_string());
        }
        if self.is_last && !self.has("connection") {
            line("connection", "close");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(present, _)| present.eq_ignore_ascii_case(name))
    }
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Streamed(body) => body.len(),
        }
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn reason(status: u16) -> &'static str {
    // The crate `http`, not this module.
    ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unnamed")
}
