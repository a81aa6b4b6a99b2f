//! One blocking HTTP exchange, and its retry where that does no harm.
//!
//! Below the session a status code is not an error: it is an [`Response`] like any other.

mod form;
mod origin;
mod proxy;
mod retry;
mod sender;
mod ureq;

use std::fmt;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue, Method, header};
use uuid::Uuid;

pub(crate) use self::form::form_encoded;
pub(crate) use self::origin::Origin;
pub(crate) use self::proxy::Proxy;
pub(crate) use self::retry::RetryPolicy;
pub(crate) use self::sender::{AuthorizedRequest, Outcome, Sender};
pub(crate) use self::ureq::{Timeouts, UreqTransport};

/// One blocking exchange: sends the call, reads the whole response.
pub(crate) trait Transport: Send + Sync + fmt::Debug {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure>;
}

/// What the caller of an endpoint wants sent, without where to and in whose name.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    /// The words for errors and logs: "open channel load-1 of pipe …".
    pub(crate) attempted: String,
    pub(crate) method: Method,
    /// Percent-encoded, starting with a slash.
    pub(crate) path: String,
    /// Percent-encoded pairs joined by `&`, without the request id; often empty.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// Borrowed, so that a retry costs no copy.
    pub(crate) body: Option<&'r [u8]>,
    pub(crate) replay: Replay,
    /// The same over all retries of this request.
    pub(crate) request_id: Uuid,
    /// Whether the query carries request id and retry count, which only the service itself understands.
    pub(crate) labels: Labels,
    /// Less than the retry budget, where the caller waits for something else at the same time.
    pub(crate) timeout: Option<Duration>,
}

impl<'r> Request<'r> {
    pub(crate) fn new(method: Method, path: impl Into<String>, attempted: impl Into<String>) -> Request<'r> {
        Request {
            attempted: attempted.into(),
            method,
            path: path.into(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: None,
            replay: Replay::Safe,
            request_id: Uuid::new_v4(),
            labels: Labels::InQuery,
            timeout: None,
        }
    }

    pub(crate) fn query(mut self, query: String) -> Request<'r> {
        self.query = query;
        self
    }

    pub(crate) fn body(mut self, content_type: &'static str, bytes: &'r [u8]) -> Request<'r> {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Some(bytes);
        self
    }

    /// For a server other than the service.
    pub(crate) fn unlabelled(mut self) -> Request<'r> {
        self.labels = Labels::None;
        self
    }

    pub(crate) fn replay(mut self, replay: Replay) -> Request<'r> {
        self.replay = replay;
        self
    }
}

/// Where the request id and the retry count are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Labels {
    InQuery,
    None,
}

/// What it means to send the same request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Harmless: reading, opening, asking for a token.
    Safe,
    /// Allowed, but if all answers are lost only its channel knows whether it was applied.
    Tracked,
    /// Allowed, but if all answers are lost nobody knows whether it was applied.
    Untraceable,
}

/// A request made ready for the wire.
pub(crate) struct Call<'c> {
    pub(crate) method: &'c Method,
    pub(crate) url: &'c str,
    pub(crate) headers: &'c HeaderMap,
    pub(crate) body: Option<&'c [u8]>,
}

/// A complete response, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// It came after one or more answers of 429.
    pub(crate) was_throttled: bool,
}

impl Response {
    pub(crate) fn new(status: u16, headers: HeaderMap, body: Vec<u8>) -> Response {
        Response { status, headers, body, was_throttled: false }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// When the server says it answered; unknown for a response out of somebody's cache.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        if self.headers.contains_key(header::AGE) {
            return None;
        }
        httpdate::parse_http_date(self.header(header::DATE)?).ok()
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// What happened, in words; no URL and no header.
    pub(crate) happened: String,
}

/// How far a failed exchange got, which decides whether it may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection came about: nothing was sent, and trying again may help.
    Connecting,
    /// No connection came about and none will: a bad certificate, a bad proxy.
    Refusing,
    /// The connection broke while the body was being sent. A server that refuses early looks like this too.
    Sending,
    /// All was sent, the response did not come, or not whole.
    Receiving,
}
