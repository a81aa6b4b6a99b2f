use std::fmt;
use std::time::Duration;

use ::http::HeaderMap;
use zeroize::Zeroizing;

use super::server_words::ServerWords;
use crate::error::{Error, ErrorKind};
use crate::http::{AuthorizedRequest, Origin, Outcome, Request, Response, Sender};

/// A URL that receives a client secret or provides a document: https, or http to this machine itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) origin: Origin,
    /// Empty, or begins with a slash.
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Endpoint {
    /// `role` names the URL in errors: "token endpoint".
    pub(crate) fn parse(url: &str, role: &str) -> Result<Endpoint, Error> {
        Endpoint::like(url, role, EXAMPLE)
    }

    /// The same, with an example of what the URL is.
    pub(super) fn like(url: &str, role: &str, example: &str) -> Result<Endpoint, Error> {
        let url = url.trim();
        let refuse = |reason: &str| Error::new(ErrorKind::Config, format!("the {role} {reason}")).advise(example);
        if url.contains('#') {
            return Err(refuse("has a fragment (#)"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("contains white space or a character outside ASCII"));
        }
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
        let origin = Origin::parse(&url[..end], role).map_err(|error| error.or_advise(example))?;
        if url[end..].contains(NOT_IN_URLS) {
            return Err(refuse("contains a character that no URL contains"));
        }
        let (path, query) = url[end..].split_once('?').unwrap_or((&url[end..], ""));
        Ok(Endpoint { origin, path: path.to_owned(), query: query.to_owned() })
    }

    /// Sends a request to this endpoint. An error if there is no response.
    pub(super) fn send(&self, sender: &Sender, outgoing: Outgoing<'_>) -> Result<Answer, Error> {
        let Outgoing { request, authorization, is_final, sent } = outgoing;
        let outcome = sender.send(&AuthorizedRequest {
            request,
            origin: &self.origin,
            authorization,
            label: &|_| None,
            is_final,
            sent,
            limits: sender.limits(request),
        });
        let Outcome { result, sent, retry_after, .. } = outcome;
        let attempted = request.attempted.clone();
        match result {
            Ok(response) => Ok(Answer::new(response, sent, retry_after, attempted)),
            Err(failure) => {
                let error = failure.into_error("check the network and the URL");
                Err(error.with_attempts(sent).attempting(attempted))
            }
        }
    }
}

/// A request to an authorization server.
pub(super) struct Outgoing<'r> {
    pub(super) request: &'r Request<'r>,
    pub(super) authorization: HeaderMap,
    /// Whether a failure of the server (5xx) is final.
    pub(super) is_final: &'r dyn Fn(&Response) -> bool,
    /// How often the request was sent before, with another secret.
    pub(super) sent: u32,
}

/// A response of an authorization server, and what an error about it has to say.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Wiped, because it may hold a token.
    pub(super) text: Zeroizing<String>,
    sent: u32,
    retry_after: Option<Duration>,
    attempted: String,
}

impl Answer {
    pub(super) fn new(response: Response, sent: u32, retry_after: Option<Duration>, attempted: String) -> Answer {
        let text = Zeroizing::new(String::from_utf8(response.body).unwrap_or_else(|error| {
            let bytes = Zeroizing::new(error.into_bytes());
            String::from_utf8_lossy(&bytes).into_owned()
        }));
        Answer { status: response.status, headers: response.headers, text, sent, retry_after, attempted }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// An error about this response.
    pub(super) fn error(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.explain(Error::new(kind, reason))
    }

    /// Adds what is known of the response to an error about it.
    pub(super) fn explain(&self, error: Error) -> Error {
        let error = error.with_status(self.status).with_attempts(self.sent).with_retry_after(self.retry_after);
        error.attempting(&*self.attempted)
    }

    /// The error of a status that means the same at every endpoint.
    pub(super) fn failure(&self, words: &ServerWords) -> Option<Error> {
        let (kind, happened, advice) = match self.status {
            300..400 => (
                ErrorKind::Protocol,
                "the response redirects to another URL, which is not followed",
                "give the final URL",
            ),
            429 => (ErrorKind::Throttled, "the server demands fewer requests", "try again later"),
            // Not implemented, or not in this version of HTTP: there is no such endpoint.
            501 | 505 => return None,
            408 | 500.. => (ErrorKind::Unavailable, "the server fails", "try again later"),
            _ => return None,
        };
        Some(self.error(kind, words.after(happened)).with_code(words.code.clone()).advise(advice))
    }
}

/// Without the query, which might contain a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// They are percent-encoded (RFC 3986, section 2).
const NOT_IN_URLS: [char; 9] = ['"', '<', '>', '\\', '^', '`', '{', '|', '}'];

const EXAMPLE: &str = "write it like https://auth.example.com/oauth2/token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_origin_path_and_query() {
        for (url, origin, path, query) in [
            ("https://a.example/oauth2/token", "https://a.example", "/oauth2/token", ""),
            ("https://A.example:8443/t?tenant=1", "https://a.example:8443", "/t", "tenant=1"),
            ("https://a.example?x=y", "https://a.example", "", "x=y"),
            (" https://a.example ", "https://a.example", "", ""),
            ("http://127.0.0.1:9/t", "http://127.0.0.1:9", "/t", ""),
        ] {
            let endpoint = Endpoint::parse(url, "token endpoint").unwrap();
            assert_eq!(
                (endpoint.origin.to_string().as_str(), &*endpoint.path, &*endpoint.query),
                (origin, path, query)
            );
        }
    }

    #[test]
    fn a_url_that_is_not_safe_for_a_secret_is_refused() {
        for url in
            ["http://a.example/t", "https://joe:sesame@a.example/t", "a.example/t", "https://a/t#x", "https://a/ t", ""]
                .into_iter()
                .chain(["https://a/t|", "https://a/<tenant>/t", "https://a?x=^", "https://a:0/t"])
        {
            let error = Endpoint::parse(url, "token endpoint").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token endpoint") && !shown.contains("sesame"), "{shown}");
        }
    }
}
