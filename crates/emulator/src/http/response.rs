//! A response, and its bytes on the wire.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::refusal::Refusal;
use crate::state::table::Block;

/// Status, headers and body of one response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    Rows(Vec<Arc<Block>>),
}

impl Response {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().into_bytes())
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", body.into().into_bytes())
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let body = json!({
            "code": refusal.code,
            "message": refusal.message,
            "data": null,
            "success": false,
        });
        Self::json(refusal.status, &body)
    }

    /// The name of the status and nothing else.
    pub(crate) fn named(status: u16) -> Self {
        Self::text(status, reason(status))
    }

    /// Landed rows, written without being gathered first.
    pub(crate) fn rows(blocks: Vec<Arc<Block>>) -> Self {
        Self { status: 200, headers: vec![header("content-type", "application/x-ndjson")], body: Body::Rows(blocks) }
    }

    pub(crate) fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![header("content-type", content_type)], body: Body::Bytes(body) }
    }

    /// Adds a header; one of the same name gives way.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.headers.push(header(name, value));
        self
    }

    /// Writes the whole response.
    pub(crate) fn write(&self, to: &mut impl Write, clock: &Clock, last: bool) -> io::Result<()> {
        let mut head = self.head(clock, last);
        match &self.body {
            Body::Bytes(body) => {
                head.extend_from_slice(body);
                to.write_all(&head)?;
            }
            Body::Rows(blocks) => {
                to.write_all(&head)?;
                for block in blocks {
                    block.write(to)?;
                }
            }
        }
        to.flush()
    }

    /// Writes the head and half of the body, or half of the head when there is no body.
    pub(crate) fn write_half(&self, to: &mut impl Write, clock: &Clock) -> io::Result<()> {
        let mut bytes = self.head(clock, false);
        match &self.body {
            Body::Bytes(body) if !body.is_empty() => {
                bytes.extend_from_slice(&body[..body.len() / 2]);
            }
            _ => bytes.truncate(bytes.len() / 2),
        }
        to.write_all(&bytes)?;
        to.flush()
    }

    fn head(&self, clock: &Clock, last: bool) -> Vec<u8> {
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
        if !matches!(self.status, 204 | 304) {
            line("content-length", &self.body.len().to_string());
        }
        if last && !self.has("connection") {
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
            Self::Rows(blocks) => blocks.iter().map(|block| block.len()).sum(),
        }
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn reason(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unnamed")
}
