use std::fmt;

use ::http::{HeaderMap, HeaderValue, header};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::error::{Error, ErrorKind};
use crate::http::{Failure, Response, Stage};
use crate::secret::Secret;

/// What differs between one service and the next: headers, labels, and the meaning of responses.
///
/// The defaults are those of any API that takes a bearer token (RFC 6750) and uses status codes as HTTP defines them, so a
/// plain service needs no method at all.
pub(crate) trait Dialect: Send + Sync + fmt::Debug {
    /// The headers that carry the token.
    fn authorize(&self, token: &Secret) -> Result<HeaderMap, Failure> {
        bearer(token)
    }

    /// Query pairs that identify an attempt to the service, given how often the request was sent before.
    fn label(&self, _request_id: Uuid, _sent: u32) -> Option<String> {
        None
    }

    /// Whether a status or code of the service's own refuses the token. A 401 always does. Any other
    /// 403 is judged by its code and message.
    fn refuses_token(&self, _status: u16, _code: &str) -> bool {
        false
    }

    /// Whether a failure of the server (5xx) is final, although those are usually worth a retry.
    fn is_final(&self, _response: &Response) -> bool {
        false
    }

    /// The failure that a response with a successful status reports in its body.
    fn hidden_failure(&self, _response: &Response) -> Option<Error> {
        None
    }

    /// The kind and the advice of an error response. Credential errors have no advice here: the session adds its own.
    fn meaning(&self, status: u16, _code: &str) -> (ErrorKind, &'static str) {
        by_status(status)
    }

    /// Whether the service itself made this error response, and not a proxy or a gateway before it. Without a mark of its own a
    /// service is believed to have made all.
    fn is_own(&self, _response: &Response, _problem: &Problem) -> bool {
        true
    }

    /// What to check when a response that is not the service's own denies access.
    fn stranger_advice(&self) -> &'static str {
        "check the URL, and whether a proxy or a gateway responds in place of the service"
    }

    /// What to check when no server responds.
    fn unreachable_advice(&self) -> &'static str {
        "check the network and the URL"
    }
}

/// `Authorization: Bearer`, hidden from logs and from `Debug`.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderMap, Failure> {
    let unsendable = || Failure::new(Stage::Misconfigured, "the token contains characters that a header cannot carry");
    // The header itself would take others, and the transport would not.
    if !token.expose().is_ascii() {
        return Err(unsendable());
    }
    let value = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&value).map_err(|_| unsendable())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// What a status means as HTTP defines it.
pub(crate) fn by_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        300..400 => (ErrorKind::Protocol, "check the URL: credentials are sent to no other host"),
        // A server that does not know the method or the version of HTTP never will.
        501 | 505 => (ErrorKind::Refused, "check the URL: the server is not the service"),
        401 | 403 => (ErrorKind::Credentials, ""),
        404 => (ErrorKind::Refused, "check the URL and the names in the request"),
        429 => (ErrorKind::Throttled, "try again later"),
        408 | 499 | 500.. => (ErrorKind::Unavailable, "try again later"),
        400..500 => (ErrorKind::Refused, "correct the request; repeating it will not help"),
        _ => (ErrorKind::Protocol, "report this response"),
    }
}
