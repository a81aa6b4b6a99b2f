use std::fmt;
use std::time::Duration;

use ::http::HeaderMap;

use crate::error::{Error, ErrorKind};
use crate::http::{AuthorizedRequest, Failure, Origin, Request, Response, Sender};

/// A URL that a client secret is sent to, or a document is read from: https, or http to this machine itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) origin: Origin,
    /// Empty, or from its slash on.
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Endpoint {
    /// `role` says whose URL it is, as in "token endpoint".
    pub(crate) fn parse(url: &str, role: &str) -> Result<Endpoint, Error> {
        let url = url.trim();
        let refuse = |happened: &str| {
            Error::new(ErrorKind::Config, format!("the {role} {happened}"))
                .advise("write it like https://auth.example.com/oauth2/token")
        };
        if url.contains('#') {
            return Err(refuse("has a fragment (#)"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("contains white space or a character outside ASCII"));
        }
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
        let origin = Origin::parse(&url[..end], role)?;
        let (path, query) = url[end..].split_once('?').unwrap_or((&url[end..], ""));
        Ok(Endpoint { origin, path: path.to_owned(), query: query.to_owned() })
    }

    /// Sends a request for this endpoint; no response, and one that means the same of every endpoint, is an error.
    pub(super) fn ask(
        &self,
        sender: &Sender,
        request: &Request<'_>,
        authorization: HeaderMap,
    ) -> Result<Response, Error> {
        let deadline = sender.deadline(request);
        let outcome = sender.send(&AuthorizedRequest {
            request,
            origin: &self.origin,
            authorization,
            label: &|_| None,
            is_final: &|_| false,
            sent: 0,
            deadline,
        });
        let response = outcome.result.map_err(Failure::into_error);
        let response = response.and_then(|response| general(response, outcome.retry_after));
        response.map_err(|error| error.with_attempts(outcome.sent).attempting(&*request.attempted))
    }
}

/// A response that is the endpoint's own to read.
fn general(response: Response, retry_after: Option<Duration>) -> Result<Response, Error> {
    let (kind, happened, advice) = match response.status {
        300..400 => {
            (ErrorKind::Protocol, "the response points to another address, which is not followed", "give the final URL")
        }
        429 => (ErrorKind::Throttled, "the server demands fewer requests", "try again later"),
        408 | 500..600 => (ErrorKind::Unavailable, "the server fails", "try again later"),
        _ => return Ok(response),
    };
    Err(Error::new(kind, happened).with_status(response.status).with_retry_after(retry_after).advise(advice))
}

/// Without the query, which might hold a key.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parted_into_origin_path_and_query() {
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
    fn what_is_not_safe_to_send_a_secret_to_is_refused() {
        for url in
            ["http://a.example/t", "https://joe:sesame@a.example/t", "a.example/t", "https://a/t#x", "https://a/ t", ""]
        {
            let error = Endpoint::parse(url, "token endpoint").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token endpoint") && !shown.contains("sesame"), "{shown}");
        }
    }
}
