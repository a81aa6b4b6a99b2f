//! One blocking HTTP round trip, and its retries where they do no harm.
//!
//! Below the session a status code is not an error: a response with any status is a [`Response`].

mod bypass;
mod certificate;
mod failure;
mod form;
mod notice;
mod origin;
pub(crate) mod page;
mod proxy;
mod retry;
mod route;
#[cfg(test)]
mod scripted;
mod sender;
mod ureq;

use std::fmt;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue, Method, header};
use uuid::Uuid;

pub(crate) use self::bypass::Bypass;
pub(crate) use self::failure::{Failure, Persistence, Stage};
pub(crate) use self::form::form_encoded;
pub(crate) use self::notice::Notice;
pub(crate) use self::origin::Origin;
pub(crate) use self::proxy::Proxy;
pub(crate) use self::retry::RetryPolicy;
pub(crate) use self::route::Route;
#[cfg(test)]
pub(crate) use self::scripted::Script;
pub(crate) use self::sender::{AuthorizedRequest, Limits, Outcome, Sender};
pub(crate) use self::ureq::{Timeouts, UreqTransport};
use crate::clock::Deadline;
use crate::error::clean;
use crate::secret::Redaction;

/// One blocking round trip: sends the request and reads the whole response.
pub(crate) trait Transport: Send + Sync + fmt::Debug {
    fn call(&self, call: &Call<'_>) -> Result<Response, Failure>;

    /// How a request to this origin goes.
    fn route(&self, origin: &Origin) -> Route {
        Route::direct(origin)
    }
}

/// What to send, without the host and the credentials.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    /// For errors and logs, after "could not": "open channel load-1 of pipe …".
    pub(crate) attempted: String,
    pub(crate) method: Method,
    /// Percent-encoded, starting with a slash.
    pub(crate) path: String,
    /// Percent-encoded pairs joined by `&`; often empty.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// Borrowed, so that a retry costs no copy.
    pub(crate) body: Option<&'r [u8]>,
    pub(crate) replay: Replay,
    /// The same for all retries of this request.
    pub(crate) request_id: Uuid,
    /// How long the caller waits: no retry starts later, and an attempt in progress is cut off. `None`: until the retry
    /// budget ends, and the attempt in progress then is finished.
    pub(crate) timeout: Option<Duration>,
    /// Those of the call that this request is a part of; it has no more than them.
    pub(crate) within: Option<Limits>,
    /// The longest body of a success that is read. A longer one is an error; that of any other response is cut.
    pub(crate) max_response: usize,
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
            timeout: None,
            within: None,
            max_response: MAX_RESPONSE_BYTES,
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

    pub(crate) fn within(mut self, limits: Limits) -> Request<'r> {
        self.within = Some(limits);
        self
    }

    /// A success has a few kilobytes at most: a name, a token, a document.
    pub(crate) fn expect_short(mut self) -> Request<'r> {
        self.max_response = MAX_SHORT_BYTES;
        self
    }

    pub(crate) fn replay(mut self, replay: Replay) -> Request<'r> {
        self.replay = replay;
        self
    }
}

/// What it means to send the same request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Harmless: reading, opening, asking for a token.
    Safe,
    /// Allowed, but if all responses are lost, only its channel knows whether it was applied.
    Tracked,
    /// Allowed, but if all responses are lost, there is no way to find out whether it was applied.
    Untraceable,
    /// Allowed only while it cannot have been applied: twice is not the same as once (RFC 9110, section 9.2.2).
    #[cfg_attr(
        not(feature = "hiiretail"),
        allow(dead_code, reason = "the requests of one service all may be repeated")
    )]
    Once,
}

/// A request with its complete URL and headers, ready to send.
pub(crate) struct Call<'c> {
    pub(crate) method: &'c Method,
    pub(crate) url: &'c str,
    pub(crate) headers: &'c HeaderMap,
    pub(crate) body: Option<&'c [u8]>,
    pub(crate) route: &'c Route,
    pub(crate) max_response: usize,
    pub(crate) notice: &'c Notice<'c>,
    /// When the round trip is cut off, whatever it has achieved.
    pub(crate) deadline: Option<Deadline>,
}

/// A complete response with any status.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// An earlier attempt of the same request got a 429.
    pub(crate) was_throttled: bool,
    /// How often the request was sent in all.
    pub(crate) attempts: u32,
    /// Where it comes from.
    pub(crate) route: Route,
    /// The secrets that went out with the request, which any text of the response may repeat.
    pub(crate) secrets: Redaction,
}

impl Response {
    pub(crate) fn new(status: u16, headers: HeaderMap, body: Vec<u8>) -> Response {
        let (route, secrets) = (Route::default(), Redaction::default());
        Response { status, headers, body, was_throttled: false, attempts: 1, route, secrets }
    }

    /// A text of this response for a message: without what was sent, on one line, and not long.
    pub(crate) fn shown(&self, text: &str) -> String {
        clean(&self.secrets.redact(text))
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The server's clock when it made the response. `None` for a response from a cache, which was made earlier.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        if self.headers.contains_key(header::AGE) {
            return None;
        }
        httpdate::parse_http_date(self.header(header::DATE)?).ok()
    }
}

/// The longest known response is the status of 2000 channels, less than 2 MB.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// The longest tokens have about ten kilobytes, and so has a page that explains an error.
const MAX_SHORT_BYTES: usize = 64 * 1024;
